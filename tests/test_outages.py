"""What a service that is down, broken or at its limit does to others: links, roots and weight."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from triage.engine import analyze
from triage.rendering import render
from triage.report import Report

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
Lines = list[tuple[float, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def report_of(folder: Path, **logs: Lines) -> Report:
    """One docker compose stream of services that write (seconds, line)."""
    merged = sorted((second, name, text) for name, lines in logs.items() for second, text in lines)
    path = folder / "app.log"
    path.write_text(
        "".join(
            f"{name}-1  | {START + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S.%fZ} {text}\n"
            for second, name, text in merged
        )
    )
    return analyze([str(path)])


def request(status: int, second: float) -> str:
    at = (START + timedelta(seconds=second)).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'10.0.0.7 - - [{at}] "GET /orders/17 HTTP/1.1" {status} 12 "-" "curl/8"'


def served(until: int) -> Lines:
    return [(float(s), request(200, s)) for s in range(0, until, 2)]


def links(report: Report) -> set[tuple[str, str]]:
    """The links by the first words of their ends."""
    name = {f.id: (f.message or f.exception or "")[:24] for f in report.failures}
    return {(name[link.cause], name[link.effect]) for link in report.links}


def first_roots(report: Report) -> list[str]:
    return [report.failure(i.roots[0].failure).message for i in report.incidents if i.roots]


def test_callers_that_wait_for_a_worker_that_keeps_ending_follow_it(folder: Path) -> None:
    loop = [(600.0 + 40 * n, "ERROR worker: stock subscription is gone: NotFound") for n in range(30)]
    loop += [(600.5 + 40 * n, "exited with code 1") for n in range(30)]
    waits = [(660.0 + 25 * n, f"ERROR web: order {n} has no shipment after 60 s: deadline exceeded") for n in range(44)]
    early = [(s - 640.0, text) for s, text in waits]
    found = report_of(folder, worker=loop, web=waits, edge=served(1800))
    ended = [effect for cause, effect in links(found) if cause.startswith("exited with code")]
    assert any(effect.startswith("order") for effect in ended)
    before = report_of(folder, worker=loop, web=[*early, *waits], edge=served(1800))
    assert not any(c.startswith("exited with code") and e.startswith("order") for c, e in links(before))


def test_a_session_that_a_rare_failure_broke_follows_it(folder: Path) -> None:
    broken = [(301.0 + n, "ERROR app: cannot store order: The EntityManager is closed.") for n in range(200)]
    once = 'ERROR app: duplicate key value violates unique constraint "uniq_invoice_number"'
    found = report_of(folder, app=[(300.0, once), *broken], edge=served(600))
    assert first_roots(found)[0].startswith("duplicate key value")
    late = report_of(folder, app=[*broken, (520.0, once)], edge=served(600))
    assert not any(cause.startswith("duplicate key") for cause, _ in links(late))


def test_connections_that_the_server_ended_are_missed_when_they_are_used_next(folder: Path) -> None:
    ended = [(300.0 + 40 * n, "FATAL:  terminating connection due to idle-in-transaction timeout") for n in range(12)]
    missed = [
        (345.0 + 40 * n, "ERROR web: psycopg2.OperationalError: server closed the connection unexpectedly")
        for n in range(12)
    ]
    found = report_of(folder, db=ended, web=missed, edge=served(900))
    assert first_roots(found) == ["terminating connection due to idle-in-transaction timeout"]
    late = report_of(folder, db=[(s + 600, text) for s, text in ended], web=missed, edge=served(1500))
    assert not any(cause.startswith("terminating connection") for cause, _ in links(late))


def test_jobs_lose_their_locks_while_the_event_loop_is_blocked(folder: Path) -> None:
    blocked = [(300.0 + 20 * n, f"WARN event loop was blocked for {1_000 + n} ms") for n in range(20)]
    lost = [(300.3 + 10 * n, f"ERROR worker error: Missing lock for job {n}. moveToFinished") for n in range(40)]
    found = report_of(folder, worker=[*blocked, *lost], edge=served(900))
    assert [root[:26] for root in first_roots(found)] == ["event loop was blocked for"]


def test_operations_that_run_into_one_limit_follow_the_one_that_met_it_first(folder: Path) -> None:
    accept = [(300.0 + n, "ERROR app: accept error: Too many open files (os error 24)") for n in range(200)]
    lookup = [
        (310.0 + 3 * n, "ERROR app: delivery failed: dns error: Too many open files (os error 24)") for n in range(60)
    ]
    found = report_of(folder, app=[*accept, *lookup], edge=served(600))
    assert ("accept error: Too many o", "delivery failed: dns err") in links(found)
    assert len(found.incidents) == 1


@pytest.mark.parametrize(("waiting", "linked"), [("invoices", True), ("receipts", False)])
def test_failures_about_the_same_queue_belong_together(folder: Path, waiting: str, linked: bool) -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/app/worker.py", line 7, in consume\n    channel.declare()\n'
        "pika.exceptions.ChannelClosedByBroker: (406, \"PRECONDITION_FAILED - inequivalent arg for queue 'invoices'\")"
    )
    died = [(300.0 + n / 1000, text) for n, text in enumerate(trace.split("\n"))]
    grows = [(900.0 + 60 * n, f"WARN web: queue {waiting} has {40 + 10 * n} messages waiting") for n in range(9)]
    found = report_of(folder, worker=died, web=grows, edge=served(1500))
    assert any(effect.startswith("queue ") for _, effect in links(found)) is linked


def test_a_proxy_that_is_refused_is_the_best_root_where_nothing_else_is_known(folder: Path) -> None:
    refused = [
        (
            300.0 + n,
            f"2026/03/02 10:{5 + n // 60:02d}:{n % 60:02d} [error] 7#7: *{n} connect() failed (113: Host is unreachable) while connecting "
            'to upstream, client: 10.0.0.9, server: _, request: "GET /a HTTP/1.1", upstream: "http://10.0.12.87:8080/a"',
        )
        for n in range(120)
    ]
    failed = [(300.1 + n, request(502, 300 + n)) for n in range(120)]
    found = report_of(folder, edge=[*served(300), *refused, *failed])
    root = found.incidents[0].roots[0]
    assert found.failure(root.failure).message.startswith("connect() failed (113")
    assert root.confidence <= 0.45
    assert "why is not among the inputs" in root.against


def test_errors_that_are_tried_again_all_along_are_no_incident(folder: Path) -> None:
    text = "could not serialize access due to concurrent update"
    pairs = [(float(s), n) for n, s in enumerate((40, 130, 700, 820, 1500, 1560, 2100, 2450))]
    db = [(s, f"ERROR:  {text}") for s, _ in pairs]
    again = [(s + 0.01, f"WARN web: seat {n}: {text}, retrying (1)") for s, n in pairs]
    assert report_of(folder, db=db, web=again, edge=served(2600)).healthy is True
    final = [(s, word.replace("WARN", "ERROR").replace("retrying (1)", "giving up")) for s, word in again]
    assert report_of(folder, db=db, web=final, edge=served(2600)).healthy is False


@pytest.mark.parametrize(
    ("level", "told", "healthy"),
    [("WARN", "trying again", True), ("WARN", "", False), ("ERROR", "trying again", False)],
)
def test_a_traceback_in_a_remark_that_it_is_tried_again_is_no_incident(
    folder: Path, level: str, told: str, healthy: bool
) -> None:
    trace = (
        f"{level} importer: run 19 attempt 1 of 3 failed, {told}", "Traceback (most recent call last):",
        '  File "/app/feed.py", line 7, in read', "    return get(url)", "ValueError: no such station",
    )  # fmt: skip
    if not told:
        trace = (f"{level} importer: run 19 failed", *trace[1:])
    found = report_of(folder, importer=[(300.0 + n / 1000, text) for n, text in enumerate(trace)], edge=served(900))
    assert found.healthy is healthy


def test_whose_request_met_a_dead_backend_says_nothing_of_the_failure(folder: Path) -> None:
    refused = [
        (
            300.0 + n,
            f"2026/03/02 10:{5 + n // 60:02d}:{n % 60:02d} [error] 7#7: *{n} connect() failed (111: Connection refused) while connecting "
            f'to upstream, client: 10.0.0.9, server: _, request: "GET {path} HTTP/1.1", upstream: "http://10.0.12.87:8080{path}"',
        )
        for n, path in enumerate(["/.git/config", *["/orders"] * 90])
    ]
    found = report_of(folder, edge=[*served(300), *refused, *[(300.1 + n, request(502, 300 + n)) for n in range(91)]])
    assert ("connect() failed (111: C", "HTTP 502") in links(found)


def test_an_origin_that_the_service_refuses_with_an_exception_is_its_own_failure(folder: Path) -> None:
    lines = (
        "GET /lessons failed",
        "Error: Origin https://learn.acme.io is not allowed by CORS",
        "    at check (/app/cors.js:7:12)",
    )
    failed = [
        (300.0 + 2 * n + k / 1000, f"[error] {text}" if not k else text)
        for n in range(60)
        for k, text in enumerate(lines)
    ]
    found = report_of(
        folder, api=failed, edge=[*served(300), *[(300.1 + 2 * n, request(500, 300 + 2 * n)) for n in range(60)]]
    )
    assert first_roots(found) == ["Origin https://learn.acme.io is not allowed by CORS"]


def test_a_foreign_host_header_is_an_incident_only_when_it_comes_again(folder: Path) -> None:
    refused = (
        "ERROR web: Invalid HTTP_HOST header: '198.51.100.77'. You may need to add '198.51.100.77' to ALLOWED_HOSTS."
    )
    assert report_of(folder, web=[(500.0, refused)], edge=served(900)).healthy is True
    again = [(500.0 + n, refused) for n in range(90)]
    assert report_of(folder, web=again, edge=served(900)).healthy is False


def test_jobs_that_fail_beside_requests_that_do_not_weigh_as_much_as_without_requests(folder: Path) -> None:
    trace = [
        "Traceback (most recent call last):",
        '  File "/app/tasks.py", line 7, in send',
        "    mail(order)",
        "TypeError: no locale",
    ]
    failing = [(300.0 + 10 * n + k / 1000, text) for n in range(30) for k, text in enumerate(trace)]
    found = report_of(folder, worker=failing, web=served(900))
    assert found.incidents[0].severity == "P2"
    assert "answers no requests" in found.incidents[0].severity_why
    own = report_of(folder, web=[*failing, *served(900)])
    assert own.incidents[0].severity == "P3"


def test_a_call_fails_on_the_answer_that_another_service_logged_right_before(folder: Path) -> None:
    gateway: Lines = [(float(s), request(200, s)) for s in range(0, 300, 2)]
    billing: Lines = []
    for n in range(90):
        at = 300.0 + 7 * n
        gateway.append((at, request(502, at)))
        if n % 3 == 0:
            call = "requests.exceptions.HTTPError: 502 Server Error: Bad Gateway for url: http://gateway/accounts/7"
            trace = [
                "Traceback (most recent call last):",
                '  File "/app/billing.py", line 7, in price',
                "    r.raise_for_status()",
                call,
            ]
            billing += [(at + 0.05 + k / 1000, text) for k, text in enumerate(trace)]
    found = report_of(folder, gateway=gateway, billing=billing)
    assert any(cause == "HTTP 502" and effect.startswith("502 Server Error") for cause, effect in links(found))


@pytest.mark.parametrize(("uneven", "requests"), [(0, 160), (7, 327)])
def test_requests_that_two_servers_log_alike_are_counted_once(folder: Path, uneven: int, requests: int) -> None:
    def asked(status: int, more: int) -> Lines:
        paths = [path for path in ("/orders", "/cart", "/items", "/login") for _ in range(40)] + ["/cart"] * more
        return [(n * 2.0, request(status, n * 2).replace("/orders/17", path)) for n, path in enumerate(paths)]

    found = report_of(folder, controller=asked(502, 0), shop=asked(200, uneven))
    assert found.http is not None
    assert found.http.requests == requests
    assert found.http.status["502"] == 160


def test_the_end_of_a_runtime_follows_what_each_of_its_lives_met(folder: Path) -> None:
    lives: Lines = []
    for n in range(6):
        begun = 300.0 + 120 * n
        for k in range(4):
            lines = (
                "10:00:00.000 [error] GenServer Rates terminating",
                "** (ArgumentError) not a float",
                "    (rates 0.9.3) lib/feed.ex:11: Rates.Feed.parse/1",
            )
            lives += [(begun + k * 0.1 + at / 1000, line) for at, line in enumerate(lines)]
        lives.append(
            (begun + 31, '{"Kernel pid terminated",application_controller,"{application_terminated,rates,shutdown}"}')
        )
        lives.append((begun + 40, "exited with code 1"))
    found = report_of(folder, rates=lives, edge=served(1200))
    assert first_roots(found) == ["not a float"]


@pytest.mark.parametrize(
    ("told", "linked"),
    [("queue holds {n} parcels, the oldest was not printed", True), ("parcel {n} was not seen again", False)],
)
def test_what_has_to_pile_up_first_is_told_later_than_what_callers_miss(folder: Path, told: str, linked: bool) -> None:
    loop = [(600.0 + 100 * n, "ERROR shipper: parcel code is broken: 12,500") for n in range(12)]
    loop += [(600.5 + 100 * n, "exited with code 2") for n in range(12)]
    late = [(1000.0 + 70 * n, f"WARN api: {told.format(n=n + 9)}") for n in range(16)]
    found = report_of(folder, shipper=loop, api=late, edge=served(2400))
    assert (
        any(c.startswith("exited with code") and e.startswith(("queue", "parcel")) for c, e in links(found)) is linked
    )


@pytest.mark.parametrize(
    ("age", "linked"),
    [("47 minutes old", True), ("older than 1 h", True), ("47 seconds old", False), ("too old", False)],
)
def test_what_is_old_follows_the_job_that_ended_before_it_made_it_new(folder: Path, age: str, linked: bool) -> None:
    runs = [(300.0 + 600 * n, "ERROR import: no such column: price") for n in range(6)]
    runs += [(300.5 + 600 * n, "exited with code 1") for n in range(6)]
    old = [(2400.0 + 40 * n, f"ERROR catalog: quote refused: prices are {age}") for n in range(30)]
    found = report_of(folder, job=runs, web=old, edge=served(3900))
    assert any(c.startswith("exited with code") and e.startswith("quote") for c, e in links(found)) is linked


def test_who_is_refused_without_a_name_follows_the_one_process_that_keeps_ending(folder: Path) -> None:
    loop = [(600.0 + 100 * n, 'ERROR nginx: host not found in upstream "accounts.internal"') for n in range(10)]
    loop += [(600.5 + 100 * n, "exited with code 1") for n in range(10)]
    refused = [
        (630.0 + 20 * n, "ERROR web: account was not loaded: connect ECONNREFUSED 172.17.0.1:8080") for n in range(45)
    ]
    found = report_of(folder, proxy=loop, web=refused, edge=served(1800))
    assert first_roots(found) == ['host not found in upstream "accounts.internal"']


@pytest.mark.parametrize(("lived", "ready"), [(5, 0), (90, 5)])
def test_a_process_that_ends_right_after_it_came_up_did_not_come_up(folder: Path, lived: int, ready: int) -> None:
    lives: Lines = []
    for n in range(6):
        begun = 300.0 + 200 * n
        lives += [
            (begun, "INFO app: Starting gunicorn 23.0.0"),
            (begun + 1, "INFO app: Listening at: http://0.0.0.0:8000 (7)"),
        ]
        lives += [(begun + lived, "ERROR app: no such setting: PRICES"), (begun + 1 + lived, "exited with code 3")]
    found = report_of(folder, app=lives, edge=served(1600))
    assert (found.exits.ready, found.exits.restarts) == (ready, 6)


def test_a_step_behind_an_exception_that_is_left_out_tells_how_it_is_linked(folder: Path) -> None:
    stack = (
        "ERROR web: account was not loaded", "TypeError: fetch failed", "    at async account (/app/shop.js:3:9) {",
        "  [cause]: Error: connect ECONNREFUSED 172.17.0.1:8080", "      at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1607:16)", "}",
    )  # fmt: skip
    loop = [(600.0 + 100 * n, 'ERROR nginx: host not found in upstream "accounts.internal"') for n in range(10)]
    loop += [(600.5 + 100 * n, "exited with code 1") for n in range(10)]
    refused = [(630.0 + 20 * n + k / 1000, line) for n in range(45) for k, line in enumerate(stack)]
    page = render(report_of(folder, proxy=loop, web=refused, edge=served(1800)), "md")
    assert "sets in 30 s after proxy began to end again and again" in page
    assert "*leads to*" not in page


def test_callers_that_find_no_connection_follow_statements_that_became_slow(folder: Path) -> None:
    text = "duration: 812.441 ms  statement: SELECT * FROM orders WHERE lower(email) = $1"
    slow = [(600.0 + 5 * n, f"INFO db: {text}") for n in range(80)]
    starved = "ERROR app: orders-pool - Connection is not available, request timed out after 750ms"
    waits = [(660.0 + 7 * n, starved) for n in range(40)]
    found = report_of(folder, db=slow, app=waits, edge=[*served(1800), *((s + 0.1, request(500, s)) for s, _ in waits)])
    assert first_roots(found) == [text]
    ever = [(10.0 + 20 * n, f"INFO db: {text}") for n in range(80)]
    found = report_of(folder, db=ever, app=waits, edge=[*served(1800), *((s + 0.1, request(500, s)) for s, _ in waits)])
    assert first_roots(found)[0].startswith("orders-pool")


@pytest.mark.parametrize("backend", ["fastcgi://127.0.0.1:9000", "fastcgi://unix:/run/php/php8.3-fpm.sock:"])
def test_a_proxy_waits_for_php_whose_workers_are_all_busy(folder: Path, backend: str) -> None:
    script = "child {n}, script '/var/www/shop/index.php' (request: \"POST /index.php\") executing too slow (5.012 sec), logging"
    fpm = [(580.0 + 11 * n, f"WARNING: [pool www] {script.format(n=n)}") for n in range(60)]
    fpm += [
        (605.0 + 60 * n, "WARNING: [pool www] server reached pm.max_children setting (20), consider raising it")
        for n in range(10)
    ]
    late = f'ERROR nginx: upstream timed out (110: Connection timed out) while reading response header from upstream, upstream: "{backend}"'
    edge = [(600.0 + 5 * n, late) for n in range(120)] + [
        (600.0 + 5 * n, request(504, 600.0 + 5 * n)) for n in range(120)
    ]
    found = report_of(folder, edge=edge + served(1800), **{"php-fpm": fpm})
    assert first_roots(found) == ["server reached pm.max_children setting (20), consider raising it"]
    assert any(cause.startswith("child") and effect.startswith("server reached") for cause, effect in links(found))


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("duration: 8812.441 ms  statement: ", True),
        ("duration: 812.441 ms  statement: ", False),
        ("slow query (8.8 s): ", True),
    ],
)
def test_a_slow_statement_began_before_the_line_that_tells_of_its_end(folder: Path, text: str, linked: bool) -> None:
    slow = [(603.0 + 5 * n, f"WARNING db: {text}SELECT * FROM orders WHERE lower(email) = $1") for n in range(80)]
    waits = [
        (600.0 + 7 * n, "ERROR app: orders-pool - Connection is not available, request timed out after 3000ms")
        for n in range(50)
    ]
    found = report_of(folder, db=slow, app=waits, edge=[*served(1800), *((s + 0.1, request(500, s)) for s, _ in waits)])
    assert first_roots(found)[0].startswith(text[:9] if linked else "orders-pool")


@pytest.mark.parametrize(("status", "healthy"), [(409, True), (200, False)])
def test_what_breaks_a_constraint_and_is_told_so_is_no_incident(folder: Path, status: int, healthy: bool) -> None:
    times = [100.0 + 90 * n for n in range(12)]
    broken = [(s, 'ERROR db: duplicate key value violates unique constraint "users_email_key"') for s in times]
    answers = [(s + 0.01, request(status, s)) for s in times]
    assert report_of(folder, db=broken, edge=[*served(1800), *answers]).healthy == healthy


def test_a_proxy_without_backends_follows_its_own_refused_calls_beside_a_lesser_incident(folder: Path) -> None:
    refused = "ERROR nginx: connect() failed (111: Connection refused) while connecting to upstream, client: 10.0.0.7"
    none_left = "ERROR nginx: no live upstreams while connecting to upstream, client: 10.0.0.7"
    proxy = [(600.0 + n, refused) for n in range(6)] + [(606.0 + 5 * n, none_left) for n in range(80)]
    failed = [(s + 0.01, request(502, s)) for s, _ in proxy]
    coupons = [(60.0 + 40 * n, "ERROR shop: coupon service answered 410, coupon ignored") for n in range(40)]
    found = report_of(folder, proxy=proxy, shop=coupons, edge=[*served(1800), *failed])
    assert first_roots(found)[0].startswith("connect() failed")
    assert any(c.startswith("connect()") and e.startswith("no live") for c, e in links(found))


@pytest.mark.parametrize(("down", "linked"), [(300.0, True), (420.0, False)])
def test_clients_that_are_refused_follow_the_server_that_says_it_goes_down(
    folder: Path, down: float, linked: bool
) -> None:
    told = [(down + n, "FATAL:  terminating connection due to administrator command") for n in range(2)]
    refused = (
        'ERROR api: psycopg2.OperationalError: connection to server at "postgres", port 5432 failed: Connection refused'
    )
    found = report_of(
        folder, postgres=told, api=[(310.0 + 2 * n, refused) for n in range(40)], edge=served(310) + served(600)[200:]
    )
    assert (("terminating connection du", "connection to server at") in _pairs(found)) == linked


def _pairs(report: Report) -> set[tuple[str, str]]:
    return {(cause[:25], effect[:23]) for cause, effect in _long_links(report)}


def _long_links(report: Report) -> set[tuple[str, str]]:
    name = {f.id: f.message or f.exception or "" for f in report.failures}
    return {(name[link.cause], name[link.effect]) for link in report.links}


def test_callers_give_up_while_work_holds_up_the_process_that_they_call(folder: Path) -> None:
    held = [(600.0 + 30 * n, "WARNING quotes: event loop was blocked for 1236 ms") for n in range(12)]
    waits = [(606.0 + 6 * n, "ERROR web: httpx.ReadTimeout: timed out") for n in range(55)]
    found = report_of(folder, quotes=held, web=waits, edge=served(1000))
    assert any(cause.startswith("event loop was blocked") for cause, _ in links(found))
    assert "because the event loop was blocked: `event loop was blocked for 1236 ms` in `quotes`" in found.headline
    all_along = [(s - 590.0, text) for s, text in held] + held
    assert not any(
        c.startswith("event loop was blocked")
        for c, _ in links(report_of(folder, quotes=all_along, web=waits, edge=served(1000)))
    )


def test_a_proxy_that_was_refused_at_a_restart_is_not_why_requests_fail_later(folder: Path) -> None:
    refused = "[error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, upstream: http://media:80/x"
    at = [(n, (START + timedelta(seconds=n)).strftime("%Y/%m/%d %H:%M:%S ") + refused) for n in (200.0, 204.0)]
    failed = [(440.0 + 5 * n, "ERROR media: OSError: [Errno 13] Permission denied: '/data/7.png'") for n in range(40)]
    answers = [(s + 0.01, request(500, s)) for s, _ in failed]
    found = report_of(folder, nginx=[*at, *answers, *served(440)], media=failed)
    assert ("[Errno 13] Permission de", "HTTP 500") in links(found)
    assert not any(cause.startswith("connect() failed") and effect == "HTTP 500" for cause, effect in links(found))


def test_a_panic_follows_the_error_that_was_logged_again_and_again_before_it(folder: Path) -> None:
    lines: Lines = []
    for start in range(300, 900, 60):
        lines += [(start + n, "ERROR ledger: cannot decode posting: invalid digit found in string") for n in range(6)]
        lines += [
            (start + 5.0001, "thread 'main' panicked at src/main.rs:81:34:"),
            (start + 5.0002, "6 postings in a row could not be decoded, refusing to go on"),
            (start + 5.0003, "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"),
            (start + 7.0, "exited with code 101"),
        ]
    found = report_of(folder, ledger=lines)
    assert ("cannot decode posting: i", "6 postings in a row coul") in links(found)
    assert first_roots(found)[0].startswith("cannot decode posting")


def test_work_piles_up_while_the_one_that_does_it_keeps_ending(folder: Path) -> None:
    ends = [(600.0 + 60 * n, "exited with code 2") for n in range(15)]
    depth = [(640.0 + 20 * n, f"WARNING dispatcher: queue depth {41 + n} above limit 40") for n in range(42)]
    found = report_of(folder, worker=ends, dispatcher=depth, edge=served(1500))
    assert any(c.startswith("exited with code") and e.startswith("queue depth") for c, e in links(found))


@pytest.mark.parametrize(("late", "linked"), [(20.0, True), (400.0, False)])
def test_workers_are_busy_because_what_they_wait_for_does_not_answer(folder: Path, late: float, linked: bool) -> None:
    full = [(600.0 + 4 * n, "ERROR orders: worker pool exhausted, 40 waiting") for n in range(200)]
    stack = (
        "Traceback (most recent call last):",
        '  File "/app/orders.py", line 8, in price',
        "requests.exceptions.ReadTimeout: timed out",
    )
    waits = [
        (601.0 + late + 8 * n + place / 1e4, text)
        for n in range(int((800 - late) / 8))
        for place, text in enumerate(("ERROR orders: quote failed", *stack))
    ]
    found = report_of(folder, orders=full + waits, edge=[(s + 0.01, request(503, s)) for s, _ in full] + served(600))
    assert any(effect.startswith("worker pool exhausted") for _, effect in links(found)) == linked


@pytest.mark.parametrize(("late", "linked"), [(0.0, True), (90.0, False)])
def test_who_is_refused_only_while_a_service_is_down_follows_its_end(folder: Path, late: float, linked: bool) -> None:
    ends = (400.0, 900.0)
    pdf: Lines = [(0.0, "INFO:     Application startup complete.")]
    for end in ends:
        pdf += [(end, "exited with code 137"), (end + 40.0, "INFO:     Application startup complete.")]
    refused = [
        (end + late + 1.0 + 4 * n, "ERROR billing: ConnectError: [Errno 111] Connection refused")
        for end in ends
        for n in range(9)
    ]
    found = report_of(folder, pdf=pdf, billing=refused, edge=served(1500))
    told = any(c.startswith("exited with code 137") and "[Errno 111]" in e for c, e in links(found))
    assert told == linked
    if linked:
        root = found.incidents[0].roots[0]
        assert found.failure(root.failure).message.startswith("exited with code 137")
        assert root.confidence <= 0.45
        assert "not why" in root.against


def test_an_end_that_is_told_of_twice_counts_once_though_the_second_words_differ(folder: Path) -> None:
    path = folder / "fly.log"
    said = ("machine exited with exit code 1, restarting",) * 3 + ("machine exited with exit code 1, not restarting",)
    path.write_text("".join(
        f"2026-02-11T01:{30 + 5 * n}:48Z app[a94c6becd89ab9] lhr [info] INFO Main child exited normally with code: 1\n"
        f"2026-02-11T01:{30 + 5 * n}:49Z runner[a94c6becd89ab9] lhr [info]{text}\n"
        for n, text in enumerate(said)
    ))  # fmt: skip
    assert analyze([str(path)]).exits.codes == {"1": 4}


def test_a_start_that_says_twice_that_it_serves_came_up_once(folder: Path) -> None:
    up = (
        "INFO:     Started server process [7]",
        "INFO:     Application startup complete.",
        "INFO:     Uvicorn running on http://0.0.0.0:80",
    )
    lines = [(at + n, text) for at in (0.0, 440.0, 940.0) for n, text in enumerate(up)]
    lines += [(at, "exited with code 137") for at in (400.0, 900.0)]
    exits = report_of(folder, pdf=lines, edge=[*served(400), *((s, request(502, s)) for s in range(401, 440, 3))]).exits
    assert exits.ready <= exits.starts == 2


@pytest.mark.parametrize(("late", "linked"), [(0.03, True), (7.0, False)])
def test_a_client_loses_the_connection_that_the_broker_says_it_closes(folder: Path, late: float, linked: bool) -> None:
    taken = [(600.0 + 20 * n, "Client telemetry-ingest already connected, closing old connection.") for n in range(24)]
    lost = [(at + late, "WARNING mqtt: connection lost: EOF") for at, _ in taken]
    stale = [(700.0 + 2 * n, "ERROR board: telemetry is stale") for n in range(190)]
    logs = {
        "mosquitto": taken,
        "telemetry-ingest": lost,
        "board": stale,
        "edge": [*served(690), *((s + 0.01, request(503, s)) for s, _ in stale)],
    }
    found = report_of(folder, **logs)
    told = {(c, e) for c, e in links(found) if c.startswith("Client telemetry-ingest")}
    assert any(e.startswith("connection lost") for _, e in told) == linked
    if linked:
        assert ("connection lost: EOF", "telemetry is stale") in links(found)
        assert first_roots(found)[0].startswith("Client telemetry-ingest")
        assert "use one identity" in found.headline


def test_what_is_stale_follows_only_who_is_named_after_it(folder: Path) -> None:
    lost = [(600.0 + 20 * n, "WARNING mqtt: connection lost: EOF") for n in range(24)]
    stale = [(700.0 + 2 * n, "ERROR board: telemetry is stale") for n in range(190)]
    assert links(report_of(folder, **{"telemetry-ingest": lost, "board": stale})) == {
        ("connection lost: EOF", "telemetry is stale")
    }
    assert not links(report_of(folder, **{"invoices": lost, "board": stale}))
    early = [(s - 590.0, text) for s, text in lost]  # over before
    assert not links(report_of(folder, **{"telemetry-ingest": early, "board": stale}))


@pytest.mark.parametrize(("code", "cause"), [(404, "Server catalog/catalog1 is D"), (503, "backend catalog has no s")])
def test_a_check_that_asks_for_the_wrong_path_takes_servers_out(folder: Path, code: int, cause: str) -> None:
    down = f'[WARNING]  (7) : Server catalog/catalog{{}} is DOWN, reason: Layer7 wrong status, code: {code}, info: "-", check duration: 1ms.'
    proxy = [
        (600.0, down.format(1)),
        (690.0, down.format(2)),
        (690.001, "[ALERT]    (7) : backend catalog has no server available!"),
    ]
    refused = [(691.0 + 2 * n, request(503, 691.0 + 2 * n)) for n in range(180)]
    roots = first_roots(report_of(folder, haproxy=[*served(690), *proxy, *refused]))
    assert any(root.startswith(cause) for root in roots)
    assert code == 503 or not any(root.startswith("backend") for root in roots)


def test_a_plain_message_that_quotes_another_services_error_follows_it(folder: Path) -> None:
    limit = 'nextval: reached maximum value of sequence "events_id_seq" (2147483647)'
    base = [
        (600.0 + 9 * n, f"2026-03-02 10:{10 + (9 * n) // 60:02d}:{(9 * n) % 60:02d}.112 UTC [7] ERROR:  {limit}")
        for n in range(60)
    ]
    quoted = [
        (s + 0.003, f"ERROR app: DBD::Pg::st execute failed: ERROR:  {limit} at app.pl line 27.") for s, _ in base
    ]
    failed = [(s + 0.005, request(500, s)) for s, _ in base]
    found = report_of(folder, postgres=base, tracker=quoted, nginx=[*served(600), *failed])
    assert ("nextval: reached maximum", "DBD::Pg::st execute fail") in links(found)
    assert first_roots(found) == [limit]
    alone = report_of(
        folder, postgres=base[:20], tracker=quoted, nginx=[*served(600), *failed]
    )  # far more often without
    assert ("nextval: reached maximum", "DBD::Pg::st execute fail") not in links(alone)


def test_what_comes_right_behind_a_crash_is_no_early_sign_of_the_next(folder: Path) -> None:
    crash = (
        "mailer.rb:14:in `emails': PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'emails' (Bunny::PreconditionFailed)",
        "\tfrom mailer.rb:36:in `<main>'",
    )
    mailer = [(600.0 + 90 * n + place / 1e4, text) for n in range(10) for place, text in enumerate(crash)]
    closed = [(580.0, "WARNING rabbit: client unexpectedly closed TCP connection")]
    closed += [(600.2 + 90 * n, "WARNING rabbit: client unexpectedly closed TCP connection") for n in range(10)]
    found = report_of(folder, mailer=mailer, rabbitmq=closed)
    assert not any(cause.startswith("client unexpectedly") for cause, _ in links(found))


def test_statements_that_a_database_refuses_to_programs_that_answer_well_are_no_incident(folder: Path) -> None:
    refused = [
        (40.0 + 61.0 * n, 'ERROR:  duplicate key value violates unique constraint "transfer_pkey"') for n in range(40)
    ]
    assert report_of(folder, postgres=refused, ledger=served(2600)).healthy
    once = [(900.0, "ERROR:  canceling statement due to statement timeout")]
    assert report_of(folder, postgres=refused + once, ledger=served(2600)).healthy
    failed = [(s + 0.01, request(500, s)) for s, _ in refused]
    assert not report_of(folder, postgres=refused, ledger=[*served(2600), *failed]).healthy
    late = [(s, text) for s, text in refused if s > 1500]
    assert not report_of(folder, postgres=late, ledger=served(2600)).healthy
    assert not report_of(folder, ledger=[*served(2600), *[(s, "ERROR app: " + text) for s, text in refused]]).healthy


def test_an_ets_table_goes_with_the_process_that_failed_before(folder: Path) -> None:
    def raised(at: float, what: str, place: str) -> Lines:
        lines = (
            "** (ArgumentError) errors were found at the given arguments:", "", f"  * 1st argument: {what}", "",
            f"    (rates 1.9.2) lib/{place}: Rates.Store.fetch/1",
        )  # fmt: skip
        return [(at + n / 1e4, f"10:10:00.119 [error] {text}" if not n else text) for n, text in enumerate(lines)]

    owner = raised(600.0, "not a textual representation of a float", "loader.ex:37")
    lost = [
        line
        for n in range(100)
        for line in raised(601.0 + 2 * n, "the table identifier does not refer to an existing ETS table", "store.ex:3")
    ]
    failed = [(601.5 + 2 * n, request(500, 601.5 + 2 * n)) for n in range(100)]
    found = report_of(folder, rates=[*served(600), *owner, *lost, *failed])
    assert "not a textual representation of a float" in first_roots(found)[0]
    assert "loader.ex:37" in found.headline


def test_two_servers_that_log_the_very_same_requests_count_them_once(folder: Path) -> None:
    def asked(at: float, path: str, php: bool) -> str:
        stamp = (START + timedelta(seconds=at)).strftime("%d/%b/%Y:%H:%M:%S +0000")
        if php:
            return f'127.0.0.1 -  {stamp} "GET {path}" 200'
        return f'10.0.0.7 - - [{stamp}] "GET {path} HTTP/1.1" 200 12 "-" "curl/8" rt=0.003'

    paths = [("/cart", "/products", "/ping")[n % 3] for n in range(300)]
    one, other = (
        [(2.0 * n + php / 100, asked(2.0 * n, path, php)) for n, path in enumerate(paths)] for php in (False, True)
    )
    report = report_of(folder, web=one, php=other)
    assert report.http is not None
    assert report.http.requests == 300
    fewer = report_of(folder, web=one, php=other[:-9])
    assert fewer.http is not None
    assert fewer.http.requests == 591


@pytest.mark.parametrize(("server", "linked"), [("nats", True), ("billing", False)])
def test_a_server_and_its_client_log_one_known_failure_in_words_of_their_own(
    folder: Path, server: str, linked: bool
) -> None:
    told = [
        (
            600.0 + 4 * n,
            'ERROR 127.0.0.1:45546 - cid:15 - Publish Violation - User "orders", Subject "orders.placed"',
        )
        for n in range(90)
    ]
    met = [
        (s - 0.002 + 0.004 * (n % 2), 'ERROR orders: nats: permissions violation for publish to "orders.placed"')
        for n, (s, _) in enumerate(told)
    ]
    found = report_of(
        folder, **{server: told, "orders": met, "edge": [*served(600), *((s + 0.9, request(504, s)) for s, _ in told)]}
    )
    assert (
        any(
            "Publish Violation" in found.failure(x.cause).message
            and "permissions violation" in found.failure(x.effect).message
            for x in found.links
        )
        == linked
    )


def _waiting(pid: int, lock: str, *, table: int = 16386) -> str:
    return f"LOG:  process {pid} still waiting for {lock} on relation {table} of database 16384 after 1000.{pid} ms"


@pytest.mark.parametrize(
    ("strong", "table", "root"),
    [
        ("AccessExclusiveLock", 16386, "AccessExclusiveLock"),
        ("ShareLock", 16386, "ShareLock"),  # of an index that is made: it keeps out who writes
        ("ShareUpdateExclusiveLock", 16386, "RowExclusiveLock"),  # and this one does not
        ("AccessExclusiveLock", 20000, "RowExclusiveLock"),  # of another table
    ],
)
def test_statements_queue_behind_who_asks_for_a_strong_lock(folder: Path, strong: str, table: int, root: str) -> None:
    stamp = "2026-03-02 10:10:03 UTC [7] "
    told = [(601.0, stamp + _waiting(71, strong, table=table))]
    told += [(603.0 + 4 * n, stamp + _waiting(100 + n, "RowExclusiveLock")) for n in range(20)]
    told += [(633.0 + 4 * n, f"{stamp}ERROR:  canceling statement due to statement timeout") for n in range(20)]
    api = [(633.2 + 4 * n, request(500, 633.2 + 4 * n)) for n in range(20)]
    short = "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00"
    api += [(633.1 + 4 * n, "ERROR api: canceling statement due to statement timeout") for n in range(20)]
    api += [(640.3 + 4 * n, f"ERROR api: {short}") for n in range(20)]
    found = report_of(folder, postgres=told, api=api + served(1800))
    assert root in first_roots(found)[0]
    assert any("canceling" in cause and "QueuePool" in effect for cause, effect in links(found))


def test_waits_for_locks_that_end_well_are_no_incident(folder: Path) -> None:
    told = [
        (37.0 * n * n % 1800, f"2026-03-02 10:00:00 UTC [{n}] {_waiting(100 + n, 'RowExclusiveLock')}")
        for n in range(20)
    ]
    assert report_of(folder, postgres=told, api=served(1800)).healthy


@pytest.mark.parametrize(
    ("began", "linked"),
    [([599.0], True), ([420.0], False), ([200.0, 599.0], False), ([655.0], False)],
)  # right before; long before; another time without harm; when others waited already
def test_work_on_a_whole_table_is_why_others_wait_for_locks(folder: Path, began: list[float], linked: bool) -> None:
    stamp = "2026-03-02 10:10:03 UTC [7] "
    told = [(603.0 + 4 * n, stamp + _waiting(100 + n, "RowExclusiveLock")) for n in range(20)]
    told += [(612.0 + 4 * n, f"{stamp}ERROR:  canceling statement due to lock timeout") for n in range(20)]
    release = [(s, "INFO release: Migrating to AddWindowToOrders (20260302101512)") for s in began]
    api = [(612.2 + 4 * n, request(500, 612.2 + 4 * n)) for n in range(20)] + served(1800)
    found = report_of(folder, postgres=told, release=release, api=api)
    assert first_roots(found)[0].startswith("Migrating to" if linked else "process 100 still waiting")
    assert (("Migrating to AddWindowTo", "process 100 still waitin") in links(found)) == linked
    assert ("process 100 still waitin", "canceling statement due ") in links(found)


def test_a_migration_that_nobody_waits_for_is_no_failure(folder: Path) -> None:
    release = [(600.0, "INFO release: Migrating to AddWindowToOrders (20260302101512)")]
    failed = [(610.0 + 4 * n, "ERROR api: no such column: window") for n in range(20)]
    failed += [(610.1 + 4 * n, request(500, 610.1 + 4 * n)) for n in range(20)]
    assert report_of(folder, release=release, api=served(1800)).healthy
    found = report_of(folder, release=release, api=failed + served(1800))
    assert first_roots(found) == ["no such column: window"]
    assert not found.noise
    assert not any(c.message.startswith("Migrating") for c in found.clusters)


@pytest.mark.parametrize(("until", "linked"), [(1790.0, True), (900.0, False)])
def test_a_disk_that_segments_fill_follows_what_should_archive_them(folder: Path, until: float, linked: bool) -> None:
    stamp = "2026-03-02 10:10:03 UTC [7] "
    told = [(float(s), f"{stamp}LOG:  archive command failed with exit code 1") for s in range(600, int(until), 61)]
    full = 'could not write to file "pg_wal/xlogtemp.71": No space left on device'
    told += [(1800.0 + n, f"{stamp}{'PANIC' if n % 2 else 'ERROR'}:  {full}") for n in range(6)]
    api = [(1800.2 + 4 * n, request(500, 1800.2 + 4 * n)) for n in range(20)]
    found = report_of(folder, postgres=told, api=api + served(1800))
    assert (("archive command failed w", "could not write to file ") in links(found)) == linked
    assert first_roots(found)[0].startswith("archive command" if linked else "could not write")


def test_callers_fail_while_a_process_starts_anew_behind_its_last_words(folder: Path) -> None:
    ends = [600.0, 900.0, 1300.0]
    media = [(10.0, "INFO Server listening on port 8080"), (10.0, "INFO Starting media-api")]
    media += [(s, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory") for s in ends]
    media += [(s + 9.0, "INFO Starting media-api") for s in ends] + [
        (s + 9.2, "INFO Server listening on port 8080") for s in ends
    ]
    failed = [
        (s + 1.5 * n, "ERROR gateway: httpx.ConnectError: All connection attempts failed")
        for s in ends
        for n in range(1, 6)
    ]
    failed += [(s + 0.1, request(502, s + 0.1)) for s, _ in failed]
    found = report_of(folder, media=media, gateway=failed + served(1800))
    assert ("FATAL ERROR: Reached hea", "All connection attempts ") in links(found)
    assert first_roots(found)[0].startswith("FATAL ERROR")


@pytest.mark.parametrize(("lag", "label"), [(0.004, True), (20.0, False)])
def test_what_a_driver_says_in_front_of_the_traceback_is_its_label(folder: Path, lag: float, label: bool) -> None:
    raised = (
        "Microsoft.EntityFrameworkCore.DbUpdateException: An error occurred while saving the entity changes.",
        " ---> Microsoft.Data.SqlClient.SqlException (0x80131904): Transaction (Process ID 7) was deadlocked on lock resources",
        "   at Microsoft.Data.SqlClient.SqlCommand.EndExecute(IAsyncResult result)",
        "   --- End of inner exception stack trace ---",
        "   at Orders.Api.Checkout.Save(Order order) in /src/Checkout.cs:line 71",
    )
    api: Lines = []
    for n in range(20):
        at = 600.0 + 40 * n
        api.append((at, "ERROR api: Failed executing DbCommand (1,279ms) [Parameters=[@p0='?'], CommandTimeout='30']"))
        api.append((at + lag, "ERROR api: An exception occurred in the database while saving changes"))
        api += [(at + lag + 0.0001 * k, line) for k, line in enumerate(raised, 1)]
        api.append((at + lag + 0.01, request(500, at + lag + 0.01)))
    found = report_of(folder, api=api + served(1800))
    driver = next(f.id for f in found.failures if (f.message or "").startswith("Failed executing"))
    told = {(link.kind, found.failure(link.cause).exception) for link in found.links if link.effect == driver}
    assert (("wraps", "Microsoft.Data.SqlClient.SqlException") in told) == label


def _units(folder: Path, lines: Lines) -> Report:
    """What syslog has of services that systemd runs."""
    stamped = sorted((s, f"{START + timedelta(seconds=s):%Y-%m-%dT%H:%M:%S.%f}+00:00 web1 {text}") for s, text in lines)
    path = folder / "syslog"
    path.write_text("".join(f"{line}\n" for _, line in stamped))
    return analyze([str(path)])


def test_ends_that_systemd_tells_of_follow_the_failures_of_their_units(folder: Path) -> None:
    full = 'PANIC:  could not write to file "pg_wal/xlogtemp.71": No space left on device'
    refused = "FATAL:  the database system is starting up"
    lines: Lines = [(float(s), f"nginx[7]: {request(200, s)}") for s in range(0, 600, 3)]
    for n in range(6):
        at = 600.0 + 40 * n
        lines += [(at, f"postgres[71]: [5-1] {full}"), (at + 5, f"postgres[71]: [6-1] {refused}")]
        lines += [(at + 1, "systemd[1]: postgresql.service: Main process exited, code=exited, status=1/FAILURE")]
        lines += [(at + 10, "shop[9]: ERROR startup failed: no connection to the database")]
        lines += [(at + 11, "systemd[1]: shop.service: Main process exited, code=exited, status=1/FAILURE")]
        lines += [(at + 11, "systemd[1]: shop.service: Failed with result 'exit-code'.")]
        lines += [(at + k, f"nginx[7]: {request(502, at + k)}") for k in range(12, 36, 2)]
    found = _units(folder, lines)
    causes = {
        (found.failure(k.effect).message or "")[:30]: (found.failure(k.cause).message or "")[:30] for k in found.links
    }
    assert causes["postgresql.service: Main proce"].startswith("could not write to file")
    assert "startup failed" in causes["shop.service: Main process exi"]
    assert causes["shop.service: Failed with resu"].startswith("shop.service: Main process")
    assert found.exits is not None
    assert {(loop.service, loop.code, loop.count) for loop in found.exits.loops} == {
        ("shop", "1", 6),
        ("postgresql", "1", 6),
    }


def test_what_is_there_beside_an_incident_is_no_part_of_it(folder: Path) -> None:
    """Clients that left before it too, an error that the program does without, and warnings that come all the time."""
    told = [(float(s), "WARNING edge: no endpoints for shop/legacy-admin") for s in range(30, 1800, 120)]
    web = [
        (s, "ERROR web: session cache unavailable, falling back to database: connection pool timeout")
        for s in (420.0, 900.0)
    ]
    web += [
        (s, "ERROR web: write response: write tcp 10.0.0.7:8080->10.0.0.9:35002: write: broken pipe")
        for s in (300.0, 640.2)
    ]
    quote = [(600.0 + 2 * n, "ERROR quote: KeyError: 'weight'") for n in range(60)]
    edge = [(600.1 + 2 * n, request(500, 600.1 + 2 * n)) for n in range(60)]
    found = report_of(folder, edge=edge + told + served(1800), web=web, quote=quote)
    (incident,) = found.incidents
    assert first_roots(found) == ["'weight'"]
    assert incident.start is not None
    assert incident.start - START >= timedelta(seconds=600)


@pytest.mark.parametrize(("late", "linked"), [(0.0, True), (700.0, False)])
def test_who_is_refused_while_a_server_does_not_come_back_from_a_planned_stop_follows_its_end(
    folder: Path, late: float, linked: bool
) -> None:
    stamp = "17286:M 02 Mar 2026 10:10:00.269"
    store = [(1.0, f"{stamp} * Ready to accept connections"), (500.0, f"{stamp} # User requested shutdown...")]
    damaged = f"{stamp} # Bad file format reading the append only file a.1.incr.aof: make a backup of your AOF file"
    store += [(505.0 + 40 * n, damaged) for n in range(6)]
    store += [(506.0 + 40 * n, "exited with code 1") for n in range(6)]
    store += [(1100.0, f"{stamp} * Ready to accept connections")]
    refused = "ERROR web: session lost: Redis::CannotConnectError"
    web = [(502.0 + late + 5 * n, refused) for n in range(110)]
    found = report_of(folder, redis=store, web=web + served(1800))
    assert (("exited with code 1", "session lost: Redis::Can") in links(found)) == linked
    if linked:
        assert "Bad file format" in first_roots(found)[0]


def test_a_probe_that_ends_a_container_before_it_serves_is_the_root_and_what_is_called_router_no_front(
    folder: Path,
) -> None:
    probe = 'Liveness probe failed: Get "http://10.42.3.17:4000/healthz": dial tcp 10.42.3.17:4000: connect: connection refused'
    ended = "Container router failed liveness probe, will be restarted"
    back = "Back-off restarting failed container router in pod router-5b8f7d9c66-m4t9z_prod(6a1f9f0e)"
    router: Lines = [(300.0 + 60 * n + 10 * k, f"WARNING {probe}") for n in range(7) for k in range(3)]
    router += [(321.0 + 60 * n, ended) for n in range(7)] + [(330.0 + 60 * n, f"WARNING {back}") for n in range(7)]
    router += [(s, request(200, s)) for s in range(0, 250, 5)]
    front: Lines = [
        (s, f"{request(200, s)} 126 0.026 [prod-router-80] [] 10.42.3.17:4000 512 0.026 200 {'a' * 32}")
        for s in range(0, 250, 2)
    ]
    bad = "126 0.000 [prod-router-80] [] 10.42.3.17:4000 512 0.000 502"
    front += [(s, f"{request(502, s)} {bad} {'b' * 32}") for s in range(290, 720, 2)]
    found = report_of(folder, router=router, controller=front)
    assert first_roots(found) == [probe]
    assert found.http is not None
    assert found.http.layer == "controller"
    drawn = links(found)
    assert any("Liveness probe" in cause and "router failed" in effect for cause, effect in drawn)
    assert any("router failed" in cause and "Back-off" in effect for cause, effect in drawn)
    assert not any("Back-off" in cause and "Liveness" in effect for cause, effect in drawn)


def test_what_usually_follows_from_a_known_failure_and_comes_right_behind_it_is_its_effect(folder: Path) -> None:
    refused = [(600.0 + 7 * n, "ERROR shop: ReplyError: WRONGPASS invalid username-password pair") for n in range(40)]
    flushed = "ERROR shop: MaxRetriesPerRequestError: Reached the max retries per request limit (which is 1)."
    shop = [*refused, (614.1, flushed), (670.1, flushed), (740.1, flushed)]
    shop += [(s + 0.01, request(500, s)) for s, _ in refused]
    found = report_of(folder, shop=shop + served(1800))
    assert len(found.incidents) == 1
    assert any("WRONGPASS" in cause and "max retries" in effect for cause, effect in links(found))


def test_a_call_that_names_who_answered_badly_follows_what_failed_there(folder: Path) -> None:
    full = [
        (600.0 + 9 * n, "ERROR cart: OutOfMemoryError: command not allowed when used memory > 'maxmemory'")
        for n in range(30)
    ]
    given = "ERROR giving up on POST /carts/13/items after 4 attempts: upstream cart returned 500"
    gateway = [(s + 0.02, given) for s, _ in full] + [(s + 0.03, request(502, s)) for s, _ in full]
    found = report_of(folder, cart=full, gateway=gateway + served(1800))
    assert any("command not" in cause and "giving up" in effect for cause, effect in links(found))
    assert "maxmemory" in first_roots(found)[0]


@pytest.mark.parametrize(("often", "healthy"), [(2, True), (40, False)])
def test_a_job_that_fails_and_is_tried_again_by_its_queue_is_no_incident_while_it_is_rare(
    folder: Path, often: int, healthy: bool
) -> None:
    stamp = "2026-03-02T10:14:07.112Z pid=7 tid=o75"
    job = '{"context":"Job raised exception","job":{"retry":5,"queue":"default","class":"NotifyJob"}}'
    lines: Lines = []
    for n in range(often):
        at = 300.0 + 29.0 * n
        lines += [(at, f"{stamp} WARN: {job}"), (at + 0.001, f"{stamp} WARN: RuntimeError: chat answered 429")]
        lines += [(at + 0.002, f"{stamp} WARN: /app/jobs/notify_job.rb:11:in `perform'")]
        lines += [(at + 0.003, "/usr/gems/sidekiq-6.4.1/lib/sidekiq/processor.rb:196:in `execute_job'")]
    assert report_of(folder, jobs=lines, web=served(1800)).healthy == healthy


def test_nothing_listens_because_the_process_ended_right_before(folder: Path) -> None:
    trace = ["Traceback (most recent call last):", '  File "/app/main.py", line 7, in <module>', "    load()"]
    probe = 'Default STARTUP TCP probe failed 1 time consecutively for container "web-1" on port 8080. The instance was not started.'
    web: Lines = []
    for n in range(5):
        at = 600.0 + 120 * n
        web += [(at + k / 1000, text) for k, text in enumerate([*trace, "KeyError: 'SESSION_TTL'"])]
        web += [(at + 6.0, "Container called exit(1)."), (at + 6.001, f"ERROR {probe}")]
    found = report_of(folder, web=web, edge=served(1800))
    assert ("Container called exit(1)", probe[:24]) in links(found)
    assert "SESSION_TTL" in first_roots(found)[0]


def test_attempts_that_fail_for_one_reason_come_before_the_error_that_gives_up(folder: Path) -> None:
    reason = "remote error: tls: bad certificate"
    url = "https://tokens.internal:8443/v1/token?sub=u9"
    server, gateway = [], []
    for n in range(60):
        at = 600.0 + 11 * n
        server += [
            (
                at + k / 10,
                f"http: TLS handshake error from 10.0.0.7:{40000 + n}: tls: client didn't provide a certificate",
            )
            for k in range(2)
        ]
        gateway += [(at + 0.01 + k / 10, f"WARN token attempt={k + 1}: Get {url}: {reason}") for k in range(2)]
        gateway += [(at + 0.15, f"ERROR no token after 2 attempts: Get {url}: {reason}"), (at + 0.16, request(502, at))]
    found = report_of(folder, tokens=server, gateway=gateway + served(1800))
    drawn = links(found)
    assert any("TLS handshake" in cause and "token attempt" in effect for cause, effect in drawn)
    assert any("token attempt" in cause and "no token after" in effect for cause, effect in drawn)
    assert "TLS handshake" in first_roots(found)[0]


@pytest.mark.parametrize("others", [0, 1])
def test_work_that_piles_up_follows_the_only_error_of_another_service_by_then(folder: Path, others: int) -> None:
    worker = [(600.0, "INFO jobs: order 7 sent"), (620.0, "ERROR jobs: KeyError: 'BGN'")]
    if others:
        worker.append((700.0, "ERROR jobs: ValueError: no such rate"))
    web = [(900.0 + 20 * n, "ERROR web: receipt queue is full: 120 waiting") for n in range(30)]
    web += [(s + 0.01, request(503, s)) for s, _ in web]
    found = report_of(folder, worker=worker, web=web + served(1800))
    linked = any("BGN" in cause and "queue is full" in effect for cause, effect in links(found))
    assert linked == (not others)
    if linked:
        root = found.incidents[0].roots[0]
        assert root.confidence <= 0.5
        assert "order alone" in root.against


def test_a_process_that_ends_after_its_last_attempt_is_an_incident(folder: Path) -> None:
    worker = [(600.0 + 200 * n, "WARN sync failed, attempt 3 of 3, no retry left") for n in range(2)]
    worker += [(600.2 + 200 * n, "exited with code 1") for n in range(2)]
    assert not report_of(folder, worker=worker, web=served(1800)).healthy


@pytest.mark.parametrize(
    ("level", "writer", "status", "healthy"),
    [
        ("WARN", "web", 200, True),
        ("ERROR", "web", 200, False),
        ("WARN", "jobs", 200, False),
        ("WARN", "web", 500, False),
    ],
)
def test_what_a_program_that_answers_all_requests_calls_no_error_is_no_incident(
    folder: Path, level: str, writer: str, status: int, healthy: bool
) -> None:
    trace = [
        f"{level} {writer}: rate not fetched",
        "Traceback (most recent call last):",
        '  File "/app/rates.py", line 7, in get',
    ]
    trace += ["    return ask(url)", "TimeoutError: no answer"]
    handled = [(300.0 + 40 * n + k / 1000, text) for n in range(12) for k, text in enumerate(trace)]
    logs = {"web": served(1800) + [(s + 0.01, request(status, s)) for s in range(301, 700, 40)]}
    logs[writer] = logs.get(writer, []) + handled
    assert report_of(folder, **logs).healthy == healthy


def test_what_a_database_refuses_to_programs_that_answer_all_requests_well_is_no_incident(folder: Path) -> None:
    stamp = "2026-03-02 10:10:03 UTC [7] "
    texts = ["ERROR:  canceling statement due to statement timeout", 'FATAL:  role "admin" does not exist']
    texts += ["FATAL:  terminating connection due to administrator command"]
    refused = [(20.0 + 85 * n, stamp + texts[n % 3]) for n in range(21)]
    assert report_of(folder, postgresql=refused, web=served(1800)).healthy
    full = [
        (200.0 + 31 * n, f'{stamp}PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device')
        for n in range(3)
    ]
    assert not report_of(folder, postgresql=refused + full, web=served(1800)).healthy


@pytest.mark.parametrize(("failed", "severity"), [(3, "P3"), (9, "P0")])
def test_a_few_requests_that_fail_within_seconds_of_a_long_log_weigh_little(
    folder: Path, failed: int, severity: str
) -> None:
    refused = (
        "[error] 7#7: *415 connect() failed (111: Connection refused) while connecting to upstream, client: 10.0.0.7"
    )
    blip = [(600.1 + 0.1 * n, f"2026/03/02 10:10:00 {refused}") for n in range(failed)]
    blip += [(s + 0.01, request(502, s)) for s, _ in blip]
    found = report_of(folder, edge=blip + served(2400))
    assert [i.severity for i in found.incidents] == [severity]


@pytest.mark.parametrize(
    ("moments", "level", "text", "healthy"),
    [
        (range(600, 640, 4), "ERROR", "redis: connect to 10.0.0.5:6379: connection refused", True),
        (range(600, 1700, 20), "ERROR", "redis: connect to 10.0.0.5:6379: connection refused", False),
        (range(1760, 1800, 4), "ERROR", "redis: connect to 10.0.0.5:6379: connection refused", False),
    ],
)
def test_what_is_over_and_harmed_no_request_is_no_incident(
    folder: Path, moments: range, level: str, text: str, healthy: bool
) -> None:
    told = [(float(s), f"{level} web: {text}") for s in moments]
    found = report_of(folder, web=told + served(1800))
    assert found.healthy == healthy
    assert bool(found.passed) == healthy
    assert not set(found.passed) & set(found.noise)
    if healthy:
        assert "Came and went" in render(found, "md")
        assert "Came and went" in render(found, "terminal")


@pytest.mark.parametrize(
    ("error", "healthy"), [("KeyError: 'price'", False), ("ConnectionResetError: [Errno 104] reset", True)]
)
def test_an_error_of_the_program_itself_is_an_incident_however_short(folder: Path, error: str, healthy: bool) -> None:
    trace = [
        "ERROR web: cart not priced",
        "Traceback (most recent call last):",
        '  File "/app/cart.py", line 7, in price',
        "    return item[key]",
        error,
    ]
    told = [(600.0 + 3 * n + k / 1000, text) for n in range(5) for k, text in enumerate(trace)]
    assert report_of(folder, web=told + served(1800)).healthy == healthy


@pytest.mark.parametrize(
    ("retried", "error", "healthy"),
    [
        (7, "ConnectionResetError: [Errno 104] Connection reset by peer", True),
        (5, "ConnectionResetError: [Errno 104] Connection reset by peer", False),
        (7, "KeyError: 'mail'", False),
    ],
)
def test_a_job_that_its_runner_tries_again_each_time_is_no_incident(
    folder: Path, retried: int, error: str, healthy: bool
) -> None:
    trace = [
        "ERROR jobs: Failed to process message send_mail(7) with unhandled exception.",
        "Traceback (most recent call last):",
        '  File "/app/jobs.py", line 13, in send_mail',
        "    post(mail)",
        error,
    ]
    told = [(200.0 * n + 100 + k / 1000, text) for n in range(7) for k, text in enumerate(trace)]
    told += [(200.0 * n + 100.2, "INFO jobs: Retrying message '1bbbc1eb' in 381 milliseconds.") for n in range(retried)]
    assert report_of(folder, jobs=told, web=served(1800)).healthy == healthy


def test_work_that_piles_up_after_the_one_error_of_its_consumer_is_an_incident(folder: Path) -> None:
    crash = [
        "ERROR worker: consumer of mails ended",
        "Traceback (most recent call last):",
        '  File "/app/mails.py", line 9, in run',
        "    handle(take())",
        "ValueError: no match",
    ]
    once = [(300.0 + k / 1000, text) for k, text in enumerate(crash)]
    deep = [(500.0 + 40 * n, f"WARN worker: queue depth mails={20 + 9 * n} thumbs=0") for n in range(30)]
    found = report_of(folder, worker=once + deep, web=served(1800))
    assert first_roots(found) == ["no match"]
    assert found.severity == "P1"
    assert "does not get its work done" in found.headline
    assert report_of(folder, worker=deep[:3], web=served(1800)).healthy


def fly(second: float, message: str, *, provider: str = "app", status: int = 0) -> str:
    at = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    asked = {"ID": "01H", "Method": "GET", "Version": "2"} if status else {"ID": "", "Method": "", "Version": ""}
    meta = {"Event": {"Provider": provider}, "HTTP": {"Request": asked, "Response": {"status_code": status}}}
    url = {"Full": "https://shop.fly.dev/menu" if status else ""}
    level = "error" if status else "info"
    entry = {"level": level, "instance": "5683606c41098e", "message": message, "region": "fra", "timestamp": at}
    return json.dumps(entry | {"meta": meta | {"URL": url, "Error": {"Code": 0, "Message": ""}}})


@pytest.mark.parametrize(("address", "told"), [("127.0.0.1:8000", True), ("0.0.0.0:8080", False)])
def test_a_proxy_that_finds_nothing_where_the_program_does_not_listen(folder: Path, address: str, told: bool) -> None:
    head = "[2026-03-02 10:00:00 +0000] [7] [INFO]"
    refused = "[PC01] instance refused connection. is your app listening on 0.0.0.0:8080?"
    lines = [(1.0, fly(1, f"{head} Running on http://0.0.0.0:8080 (CTRL + C to quit)"))]
    lines += [(float(s), fly(s, request(200, s))) for s in range(10, 600, 5)]
    lines += [(600.0, fly(600, f"{head} Running on http://{address} (CTRL + C to quit)"))]
    lines += [(float(s), fly(s, refused, provider="proxy", status=502)) for s in range(610, 900, 5)]
    path = folder / "fly.jsonl"
    path.write_text("".join(f"{line}\n" for _, line in sorted(lines)))
    found = analyze([str(path)])
    assert found.http is not None
    assert found.http.status == {"200": 118, "502": 58}, "what the proxy answered and what the program answered"
    (incident,) = found.incidents
    root = incident.roots[0]
    assert found.failure(root.failure).message == refused
    assert ("the program says that it listens on" in root.why.lower()) == told
    assert (root.confidence > 0.6) == told
    assert (refused[:24], "HTTP 502") in links(found)


def test_what_a_platform_says_of_a_request_that_failed_is_no_cause_where_another_is_known(folder: Path) -> None:
    def entry(second: float, **more: object) -> str:
        at = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        resource = {"type": "cloud_run_revision", "labels": {"service_name": "shop"}}
        log = {"insertId": f"{second}", "logName": "projects/p/logs/run.googleapis.com%2Frequests"}
        return json.dumps(log | {"timestamp": at, "resource": resource, "severity": "ERROR"} | more)

    text = (
        "The request failed because either the HTTP response was malformed or connection to the instance had an error."
    )
    asked = {"requestMethod": "GET", "requestUrl": "https://shop.run.app/export", "latency": "2.1s"}
    lines = [(float(s), entry(s, severity="INFO", httpRequest=asked | {"status": 200})) for s in range(0, 900, 3)]
    for n in range(12):
        limit = "Memory limit of 512 MiB exceeded with 530 MiB used. Consider increasing the memory limit"
        lines += [(100.0 + 50 * n, entry(100.0 + 50 * n, textPayload=limit))]
        lines += [(100.1 + 50 * n, entry(100.1 + 50 * n, textPayload=text, httpRequest=asked | {"status": 503}))]
    path = folder / "run.jsonl"
    path.write_text("".join(f"{line}\n" for _, line in sorted(lines)))
    found = analyze([str(path)])
    (incident,) = found.incidents
    chain = [found.failure(f).message for f in incident.chains[0]]
    assert chain[0].startswith("Memory limit")
    assert chain[-1] == "HTTP 503"
    assert not any(message.startswith("The request failed") for message in chain)
    assert any(c.message.startswith("The request failed") for c in found.clusters), "it is counted all the same"


@pytest.mark.parametrize(("minutes", "severity"), [(30, "P1"), (2, "P0")])
def test_a_job_that_fails_in_each_run_is_no_program_that_cannot_start(
    folder: Path, minutes: int, severity: str
) -> None:
    ended = [
        (60.0 * minutes * n + k / 10, text)
        for n in range(1, 7)
        for k, text in enumerate(("ERROR nightly: no figures of yesterday", "exited with code 1"))
    ]
    (incident,) = report_of(folder, nightly=ended).incidents
    assert incident.severity == severity
    assert ("each run of a job" in incident.severity_why) == (severity == "P1")


@pytest.mark.parametrize(
    ("label", "healthy"),
    [
        ("ERROR agent: failed to send 180 points to collector, dropping oldest 60", True),
        ("ERROR agent: the order was not sent", False),
    ],
)
def test_an_exception_under_what_is_harmless_is_harmless(folder: Path, label: str, healthy: bool) -> None:
    trace = [
        label,
        "Traceback (most recent call last):",
        '  File "/opt/agent/send.py", line 9, in send',
        "    post(points)",
        "ConnectionRefusedError: [Errno 111] Connection refused",
    ]
    told = [(100.0 * n + k / 1000, text) for n in range(15) for k, text in enumerate(trace)]
    assert report_of(folder, agent=told, web=served(1800)).healthy == healthy


@pytest.mark.parametrize(
    ("text", "healthy"),
    [
        ("cover of book 138 not available, using the placeholder", True),
        ("message 17 failed, it will be delivered again", True),
        ("cover of book 138 not available", False),
        ("message 17 failed, giving up after the next attempt", False),
    ],
)
def test_records_that_say_that_the_program_goes_on_are_believed(folder: Path, text: str, healthy: bool) -> None:
    trace = [
        f"ERROR web: {text}",
        "Traceback (most recent call last):",
        '  File "/app/covers.py", line 7, in get',
        "    raise NotThere(number)",
        "covers.NotThere: 138",
    ]
    moments = [37.0, 170.5, 260.0, 455.0, 520.0, 788.0, 905.5, 1130.0, 1201.0, 1399.0, 1450.0, 1688.0]
    told = [(s + k / 1000, line) for s in moments for k, line in enumerate(trace)]
    assert report_of(folder, web=told + served(1800)).healthy == healthy


def test_exceptions_for_requests_that_cannot_be_read_are_no_incident_where_as_many_are_refused(folder: Path) -> None:
    trace = ["ERROR web: SyntaxError: Unexpected token } in JSON at position 21", "    at JSON.parse (<anonymous>)"]
    trace += ["    at parse (/app/parse.js:93:21)"]
    moments = [31.0 + 110 * n + 17 * (n % 3) for n in range(15)]
    told = [(s + k / 1000, line) for s in moments for k, line in enumerate(trace)]
    refused = [(s + 0.01, request(400, s)) for s in moments]
    assert report_of(folder, web=told + refused + served(1800)).healthy
    assert not report_of(folder, web=told + served(1800)).healthy


def test_what_is_far_more_than_an_incident_is_no_symptom_of_it_because_of_its_time(folder: Path) -> None:
    small = [(600.0 + 3 * n, "ERROR db: canceling statement due to lock timeout") for n in range(4)]
    large = [(600.0 + 4 * n, "ERROR copy: row is not as it was told") for n in range(200)]
    found = report_of(folder, db=small, copy=large)
    assert len(found.incidents) == 2
    assert not any(len(i.symptoms) for i in found.incidents)


def test_what_another_service_answers_badly_with_is_the_cause_and_no_refusal_before(folder: Path) -> None:
    trace = [
        "ERROR pricing: cannot quote",
        "Traceback (most recent call last):",
        '  File "/app/q.py", line 2, in quote',
    ]
    trace += ["    rate = tier.rate", "AttributeError: 'NoneType' object has no attribute 'rate'"]
    moments = [700.0 + 23 * n + 5 * (n % 3) for n in range(30)]
    inner = [(s + k / 1000, line) for s in moments for k, line in enumerate(trace)]
    told = [(s + 0.1, "ERROR shop: AxiosError: Request failed with status code 500") for s in moments]
    refused = [(690.0, "ERROR shop: Error: connect ECONNREFUSED 10.0.0.9:8080"), (690.1, request(502, 690))]
    failed = [(s + 0.15, request(502, s)) for s in moments]
    found = report_of(folder, pricing=inner, shop=refused + told + failed + served(1500))
    assert [root[:29] for root in first_roots(found)] == ["'NoneType' object has no attr"]


@pytest.mark.parametrize(("ended", "linked"), [(595.0, True), (1900.0, False)])
def test_a_lock_that_a_killed_run_left_behind_follows_its_end(folder: Path, ended: float, linked: bool) -> None:
    locked = [(600.0 + 90 * n, "ERROR web: MigrationLocked: Migration table is already locked") for n in range(10)]
    ends = [(601.0 + 90 * n, "exited with code 1") for n in range(10)]
    found = report_of(folder, web=[(ended, "exited with code 137"), *locked, *ends], edge=served(600))
    assert first_roots(found)[0].endswith("Migration table is already locked")
    assert (("exited with code 137", "MigrationLocked: Migrati") in links(found)) == linked


def test_what_is_given_up_follows_what_failed_for_the_same_reason(folder: Path) -> None:
    reason = "decode reading: invalid character 'x' looking for beginning of value"
    failed = [(600.0 + 4 * n, f"ERROR worker: message not processed: {reason}") for n in range(90)]
    last = [
        (640.0 + 12 * n, f"ERROR worker: giving up on message, moving it to readings_dead: {reason}") for n in range(27)
    ]
    found = report_of(folder, worker=failed + last)
    assert first_roots(found) == [f"message not processed: {reason}"]
    other = [(s, text.replace(reason, "the disk of the store is full")) for s, text in last]
    assert len(report_of(folder, worker=failed + other).incidents) == 2


def test_a_client_without_a_connection_follows_what_it_was_lost_on(folder: Path) -> None:
    lost = [(600.0 + 25 * n, "[sessions] connection error: connect ECONNREFUSED 10.0.0.9:6379") for n in range(7)]
    refused = [
        (603.0 + 25 * n, "ERROR Error: Stream isn't writeable and enableOfflineQueue options is false")
        for n in range(7)
    ]
    failed = [(603.1 + 25 * n, request(500, 603 + 25 * n)) for n in range(7)]
    found = report_of(folder, shop=lost + refused + failed + served(1200))
    assert first_roots(found) == ["[sessions] connection error: connect ECONNREFUSED 10.0.0.9:6379"]


def test_a_share_of_very_few_requests_weighs_less(folder: Path) -> None:
    few = [(600.0 + n, f"ERROR shop: NoTier: none for {n}") for n in range(3)]
    failed = [(600.1 + n, request(500, 600 + n)) for n in range(3)]
    assert [i.severity for i in report_of(folder, shop=few + failed + served(602)).incidents] == ["P2"]


def test_an_end_at_the_memory_limit_counts_with_its_code(folder: Path) -> None:
    killed = [
        (300.0 + 200 * n, "Container 'web' was terminated with exit code '137' and reason 'OOMKilled'")
        for n in range(4)
    ]
    assert report_of(folder, platform=killed, web=served(1200)).exits.codes == {"137": 4}


def test_a_store_that_refuses_writes_follows_its_own_word_that_it_cannot_save(folder: Path) -> None:
    at = (START + timedelta(seconds=600)).strftime("%d %b %Y %H:%M:%S.000")
    saves = (
        "Failed opening the temp RDB file temp-{n}.rdb (in server root dir /data) for saving: No such file or directory"
    )
    store = [(600.0 + 200 * n, f"31:C {at} # {saves.format(n=n)}") for n in range(3)]
    refused = "redis.exceptions.ResponseError: MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."
    failed = [(620.0 + 10 * n, f"ERROR cart: {refused}") for n in range(40)]
    answers = [(620.1 + 10 * n, request(500, 620 + 10 * n)) for n in range(40)]
    found = report_of(folder, redis=store, cart=failed + answers + served(1200))
    assert [text[:33] for text in first_roots(found)] == ["Failed opening the temp RDB file "]


def test_who_is_named_after_what_is_old_made_it_so(folder: Path) -> None:
    failed = [(3600.0 + 600 * n, "ERROR import: feed refused: two rows have the same key") for n in range(20)]
    other = [(3700.0 + 600 * n, "ERROR mail: no template for letter") for n in range(20)]
    old = [
        (9000.0 + 300 * n, f"ERROR publish: stock is {1.5 + n / 12:.1f} hours old, refusing to publish")
        for n in range(20)
    ]
    stock = [*failed, *((60.0 * n, f"INFO import: batch {n} read") for n in range(150))]
    found = report_of(folder, **{"import-stock": stock, "mail": other, "publisher": old})
    assert [cause[:12] for cause, effect in links(found) if effect.startswith("stock is")] == ["feed refused"]


def entries_of(folder: Path, *entries: tuple[float, dict[str, object]]) -> Report:
    """A log of JSON entries at these seconds."""
    path = folder / "app.jsonl"
    stamped = [
        {"timestamp": (START + timedelta(seconds=second)).isoformat(), **entry}
        for second, entry in sorted(entries, key=lambda e: e[0])
    ]
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in stamped))
    return analyze([str(path)])


def test_work_that_ends_with_its_client_is_no_incident(folder: Path) -> None:
    calm: list[tuple[float, dict[str, object]]] = [
        (
            3.0 * n,
            {"level": "info", "service": "shop", "message": "found", "method": "GET", "path": "/find", "status": 200},
        )
        for n in range(800)
    ]
    ends: list[tuple[float, dict[str, object]]] = []
    for n in range(11):
        about: dict[str, object] = {"service": "shop", "request_id": f"fra1-77aa{n:04d}"}
        aborted = "AbortError: This operation was aborted\n    at find (/srv/app.js:28:9)\n    at async run (/srv/app.js:40:5)"
        ends += [
            (1000.0 + 135 * n, {"level": "error", "message": aborted, **about}),
            (1000.1 + 135 * n, {"level": "warning", "message": "client closed the request", **about}),
        ]
    assert not entries_of(folder, *calm, *ends).incidents
    alone = [(second, entry) for second, entry in ends if entry["level"] == "error"]
    assert entries_of(folder, *calm, *alone).incidents


def test_what_happens_once_in_each_life_long_before_its_end_is_not_why_it_ends(folder: Path) -> None:
    lines: list[tuple[float, dict[str, object]]] = []
    lost = (
        "TypeError: no match of right hand side value\n    at serve (/srv/app.js:28:9)\n    at run (/srv/app.js:40:5)"
    )
    for n in range(4):
        about: dict[str, object] = {"service": "collector", "instance": f"collector-{n}"}
        start = 6600.0 * n
        lines += [
            (start + 60, {"level": "error", "message": lost, **about}),
            (start + 6000, {"level": "error", "message": "table of names is at its end", **about}),
            (start + 6010, {"level": "error", "message": "exited with code 1", **about}),
            *((start + 70 + 30 * k, {"level": "info", "message": f"event {k} kept", **about}) for k in range(190)),
        ]
    found = links(entries_of(folder, *lines))
    assert ("no match of right hand s", "table of names is at its") not in found


def test_bursts_of_rows_that_are_skipped_all_along_are_no_incident(folder: Path) -> None:
    feed: Lines = []
    for hour in range(12):
        feed += [(3600.0 * hour + 3 * n, f"ERROR import: line {n} cannot be read, skipped") for n in range(5)]
        feed += [(3600.0 * hour + 20 + n, f"INFO import: batch {n} stored") for n in range(60)]
    assert not report_of(folder, importer=feed).incidents


def test_probes_that_find_a_program_not_ready_while_it_starts_are_no_failed_requests(folder: Path) -> None:
    asked: Lines = [(6.0 * n, f"INFO GET /orders/{n} 200 4ms") for n in range(300)]
    asked += [(10.0 * n + 5, "INFO GET /ready 200 1ms") for n in range(180)]
    starts = [(600.0 * life + 0.5 * n, "INFO GET /ready 503 0ms") for life in range(3) for n in range(4)]
    refused = [(200.0 + 300 * n, f"WARNING web: order {n}x cannot be read, answering 400") for n in range(5)]
    found = report_of(folder, web=[*asked, *starts, *refused])
    assert found.http is not None
    assert found.http.errors == len(starts)
    assert not found.incidents
    others = [(s, text.replace("/ready", "/orders/7")) for s, text in starts]
    assert report_of(folder, web=[*asked, *others]).incidents
    long = [(600.0 + 5 * n, text) for n, (_, text) in enumerate(5 * starts)]
    assert report_of(folder, web=[*asked, *long]).incidents
    to_the_end = [(1795.0 + 0.5 * n, text) for n, (_, text) in enumerate(starts)]
    assert report_of(folder, web=[*asked, *to_the_end]).incidents


def test_workers_that_are_asked_to_end_have_not_crashed(folder: Path) -> None:
    calm = [(10.0 * n, f"[2026-03-02 10:00:00 +0000] [7] [INFO] batch {n} stored") for n in range(200)]

    def ended(signal: str) -> Lines:
        return [(900.0 + n, f"[2026-03-02 10:00:00 +0000] [7] [ERROR] Worker (pid:{20 + n}) was sent {signal}!") for n in range(2)]  # fmt: skip

    assert not report_of(folder, web=[*calm, *ended("SIGTERM")]).incidents
    assert report_of(folder, web=[*calm, *ended("SIGABRT")]).incidents


def test_a_service_that_answers_that_something_is_gone_fails_who_asked_it(folder: Path) -> None:
    asked: Lines = [(4.0 * n, f"INFO GET /orders/{n} 200 4ms") for n in range(300)]
    for n in range(20):
        cart = 600.0 + 20 * n
        asked += [
            (cart, f"QuoteUnavailable: no shipping quote for cart c{98119 + 731 * n}"),
            (cart, "    at quote (file:///app/server.mjs:20:11) {"),
            (cart, "  [cause]: RateApiError: rates answered 410: this version was retired"),
            (cart, "      at rates (file:///app/server.mjs:12:34)"),
            (cart, "}"),
            (cart + 0.1, f"INFO GET /carts/{n}/quote 503 4ms"),
        ]
    found = report_of(folder, web=sorted(asked, key=lambda line: line[0]))
    assert first_roots(found) == ["rates answered 410: this version was retired"]


def test_a_link_that_goes_down_is_why_calls_fail_meanwhile(folder: Path) -> None:
    down = [600.0, 900.0, 1300.0]
    kernel = [(s, "ixgbe 0000:3b:00.0 ens1f0: NIC Link is Down") for s in down]
    kernel += [(s + 60, "ixgbe 0000:3b:00.0 ens1f0: NIC Link is Up 10 Gbps, Flow Control: RX/TX") for s in down]
    calls = [
        (s + 3 + n, "ERROR pricing: refresh failed: rpc error: code = Unavailable desc = connection error")
        for s in down
        for n in range(0, 55, 5)
    ]
    failed = [(s + 0.1, request(503, s)) for s, _ in calls]
    report = report_of(folder, kernel=kernel, pricing=calls, gateway=served(1800) + failed)
    assert first_roots(report)[0].endswith("NIC Link is Down")
    assert next(c.count for c in report.clusters if "NIC Link is Down" in c.message) == 3


def test_what_kubelet_and_nomad_tell_of_the_ends_of_tasks_is_counted(folder: Path) -> None:
    kubelet, nomad = [], []
    for n in range(4):
        kubelet += [
            (600.0 + 60 * n + s, f'I0302 10:1{n}:0{s}.000000    1423 prober.go:107] "Probe failed" probeType="Liveness" pod="shop/orders-{n}" containerName="orders" probeResult="failure" output="connection refused"')
            for s in range(3)
        ]  # fmt: skip
        kubelet += [(605.0 + 60 * n, f'I0302 10:1{n}:05.000000    1423 kuberuntime_manager.go:1056] "Message for Container of pod" containerName="orders" pod="shop/orders-{n}" containerMessage="Container orders failed liveness probe, will be restarted"')]  # fmt: skip
        kubelet += [(608.0 + 60 * n, f'I0302 10:1{n}:08.000000    1423 generic.go:334] "Generic (PLEG): container finished" podID="3cbd{n}" containerID="ee92{n}" exitCode=137')]  # fmt: skip
        nomad += [(700.0 + 60 * n, f'[INFO]  client.alloc_runner.task_runner: Task event: alloc_id=db99{n} task=rank type=Terminated msg="Exit Code: 2, Exit Message: \\"Docker container exited\\"" failed=false')]  # fmt: skip
    report = report_of(folder, kubelet=kubelet, nomad=nomad, web=[(float(s), "INFO web: alive") for s in range(1200)])
    assert report.exits.codes == {"137": 4, "2": 4}
    told = {c.message.split('"')[1]: c.count for c in report.clusters if c.message.startswith('"')}
    assert told["Probe failed"] == 12
    assert told["Message for Container of pod"] == 4


def test_statements_of_the_slow_log_head_the_pool_that_runs_dry(folder: Path) -> None:
    slow = "".join(
        f"# Time: {START + timedelta(seconds=590 + 20 * n):%Y-%m-%dT%H:%M:%S.%fZ}\n# User@Host: shop[shop] @  [10.20.0.31]  Id: {n}\n"
        f"# Query_time: {45 + n}.478198  Lock_time: 0.000009 Rows_sent: 11  Rows_examined: 1841324{n}\nSET timestamp=177277673{n};\n"
        f"select id,total from orders where customer_id={7000 + n} order by created_at desc limit 20;\n"
        for n in range(30)
    )
    (folder / "mysql-slow.log").write_text(slow)
    lines = [
        f"{START + timedelta(seconds=600 + 20 * n):%Y-%m-%dT%H:%M:%S.%fZ} ERROR shop.pool: HikariPool-1 - Connection is not available, request timed out after 30001ms"
        for n in range(30)
    ]
    lines = [f"{START:%Y-%m-%dT%H:%M:%S.%fZ} INFO shop.main: started", *lines]
    (folder / "shop.log").write_text("".join(f"{line}\n" for line in lines))
    waits = [
        f'{START + timedelta(seconds=630 + 20 * n):%Y/%m/%d %H:%M:%S} [error] 29#29: *{n} upstream timed out (110: Connection timed out) while reading response header from upstream, client: 10.0.0.9, request: "GET /orders HTTP/1.1", upstream: "http://10.20.0.31:8080/orders"'
        for n in range(30)
    ]
    (folder / "nginx-error.log").write_text("".join(f"{line}\n" for line in waits))
    (folder / "nginx-access.log").write_text(
        "".join(f"{line}\n" for n in range(30) for line in (request(500, 600 + 20 * n), request(504, 630 + 20 * n)))
    )
    report = analyze([str(folder)])
    (cluster,) = (c for c in report.clusters if "Query_time" in c.message)
    assert cluster.count == 30
    assert "select id,total from orders where customer_id=" in cluster.message.splitlines()[0]
    assert first_roots(report)[0].startswith("Query_time: ")
    drawn = links(report)
    assert ("upstream timed out (110:", "HTTP 504") in drawn
    assert ("upstream timed out (110:", "HTTP 500") not in drawn
    assert any(cause.startswith("Query_time") and effect.startswith("upstream") for cause, effect in drawn)


def test_what_members_of_a_replica_set_tell_of_each_other_is_told_of_a_failure(folder: Path) -> None:
    def said(second: float, part: str, text: str, **attr: object) -> str:
        at = f"{START + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "+00:00"
        entry = {"t": {"$date": at}, "s": "I", "c": part, "id": 7, "ctx": "ReplCoord-1", "msg": text, "attr": attr}
        return json.dumps(entry) + "\n"

    lines = [said(s, "NETWORK", "Connection accepted", connectionId=s) for s in range(600)]
    for s in (200, 400):
        lines += [said(s + n, "COMMAND", "Slow query", durationMillis=4000 + n, ns="shop.carts") for n in range(10)]
        lines += [
            said(s + 5, "REPL_HB", "Heartbeat failed after max retries", error={"errmsg": "Request 812 timed out"})
        ]
        lines += [
            said(s + 6, "ELECTION", "Starting an election, since we've seen no PRIMARY in election timeout period")
        ]
        lines += [said(s + 9, "ELECTION", "Stepping down from primary, because a new term has begun")]
    (folder / "mongo.jsonl").write_text("".join(sorted(lines)))
    report = analyze([str(folder)])
    assert {c.message.split(",")[0]: c.count for c in report.clusters} == {
        "Slow query": 20, "Heartbeat failed after max retries: Request 812 timed out": 2, "Starting an election": 2, "Stepping down from primary": 2,
    }  # fmt: skip


def test_a_roll_out_of_many_pods_whose_probes_fail_a_few_times_each_is_no_incident(folder: Path) -> None:
    def event(second: float, pod: int) -> str:
        at = f"{START + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"
        entry = {
            "type": "Warning", "reason": "Unhealthy", "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
            "lastTimestamp": at, "involvedObject": {"kind": "Pod", "name": f"web-58cbd6f7f9-{pod:05d}"},
        }  # fmt: skip
        return json.dumps(entry) + "\n"

    (folder / "web.log").write_text("".join(f"{request(200, s)}\n" for s in range(0, 1800, 2)))
    (folder / "events.jsonl").write_text(
        "".join(event(600 + 30 * pod + 5 * n, pod) for pod in range(8) for n in range(2))
    )
    assert not analyze([str(folder)]).incidents
    (folder / "events.jsonl").write_text("".join(event(600 + 30 * n, 1) for n in range(16)))
    assert analyze([str(folder)]).incidents


def test_orders_that_are_refused_all_along_and_answered_so_by_the_server_in_front_are_no_incident(folder: Path) -> None:
    def log(reasons: list[str], status: int) -> Report:
        rejected = [
            (
                7.0 + 100 * n,
                f"ERROR orders: Order rejected: {reasons[n % len(reasons) if n > 15 else 0]} (order={7000 + n})",
            )
            for n in range(40)
        ]
        answers = [(s + 0.1, request(status, s)) for s, _ in rejected]
        return report_of(folder, orders=rejected, nginx=served(4000) + answers)

    reasons = ["insufficient funds", "price outside of the band", "price outside of the band", "market is closed"]
    assert not log(reasons, 422).incidents
    assert log(reasons, 200).incidents
    assert log(reasons, 502).incidents


def test_a_start_that_waits_for_a_lock_is_ended_by_its_probe_and_leaves_the_work_to_the_others(folder: Path) -> None:
    lives = [600.0 + 90 * n for n in range(8)]
    orders = [(s, 'INFO flyway: Migrating schema "public" to version "48 - audit channel"') for s in lives]
    locks = [
        (s + 1, f"2026-03-02 10:00:00.000 UTC [90{n}] LOG:  process 90{n} still waiting for AccessExclusiveLock on relation 16734 of database 16401 after 1000.2 ms")
        for n, s in enumerate(lives)
    ]  # fmt: skip
    kubelet = [
        (s + 15 + 10 * n, 'I0302 10:10:00.000000    1423 prober.go:107] "Probe failed" probeType="Liveness" pod="shop/orders-7b4c9d6f9c-r6x4b" podUID="3cbd" containerName="orders" probeResult="failure" output="connection refused"')
        for s in lives for n in range(3)
    ]  # fmt: skip
    kubelet += [(s + 35.03, 'I0302 10:10:00.000000    1423 kuberuntime_manager.go:1056] "Message for Container of pod" containerName="orders" pod="shop/orders-7b4c9d6f9c-r6x4b" containerMessage="Container orders failed liveness probe, will be restarted"') for s in lives]  # fmt: skip
    kubelet += [(s + 66, 'I0302 10:10:00.000000    1423 generic.go:334] "Generic (PLEG): container finished" podID="3cbd" containerID="ee92" exitCode=137') for s in lives]  # fmt: skip
    starved = [700.0 + 6 * n for n in range(90)]
    orders += [(s, "ERROR pool: HikariPool-1 - Connection is not available, request timed out after 3000ms") for s in starved]  # fmt: skip
    failed = [(s + 0.01, request(503, s)) for s in starved]
    report = report_of(folder, orders=orders, postgres=locks, kubelet=kubelet, web=served(1800) + failed)
    assert "still waiting for AccessExclusiveLock" in first_roots(report)[0]
    effects = " ".join(report.failure(link.effect).message[:20] for link in report.links)
    for words in ('"Probe failed" probeT', '"Message for Contain', '"Generic (PLEG): con', "HikariPool-1 - Conne"):
        assert words[:20] in effects


def test_clients_of_a_replica_set_follow_what_its_members_tell(folder: Path) -> None:
    away = [600.0, 900.0, 1200.0]
    mongo = [
        (s - 20 + n, f"INFO mongod: Slow query: update shop.carts took {4000 + n} ms") for s in away for n in range(18)
    ]
    mongo += [
        (s + n, "Heartbeat failed after max retries: Request 812 timed out") for s in away for n in range(0, 30, 5)
    ]
    calls = [(s + n + 0.5, "ERROR api: MongoServerSelectionError: Server selection timed out after 3000 ms") for s in away for n in range(0, 30, 5)]  # fmt: skip
    failed = [(s + 0.01, request(500, s)) for s, _ in calls]
    report = report_of(folder, mongo=mongo, api=calls, web=served(1800) + failed)
    assert ("Heartbeat failed after m", "Server selection timed o") in links(report)


def test_calls_that_are_refused_follow_the_failure_of_the_one_service_that_answers_so(folder: Path) -> None:
    moments = [600.0 + 15 * n for n in range(60)]
    broker = [(s, "WARNING broker: token request failed error=invalid_client AADSTS7000222: The provided client secret keys for app 'x' are expired.") for s in moments[::4]]  # fmt: skip
    broker += [(s + 1, request(401, s)) for s in moments]
    docs = [
        (s + 1.01, "ERROR docs: Error: document fetch failed: Request failed with status code 401") for s in moments
    ]
    failed = [(s + 1.02, request(500, s)) for s in moments]
    report = report_of(folder, broker=broker, docs=docs, web=served(1800) + failed)
    assert "AADSTS7000222" in first_roots(report)[0]
    assert any("which broker alone answers" in link.why for link in report.links)
    others = [(s, text.replace("401", "404")) for s, text in broker]
    report = report_of(folder, broker=others, docs=docs, web=served(1800) + failed)
    assert not any("alone answers" in link.why for link in report.links)


def test_a_task_that_nomad_stops_is_down_until_it_serves_again(folder: Path) -> None:
    ends = [600.0, 1200.0, 1800.0]
    nomad = []
    for s in ends:
        said = "[INFO]  client.alloc_runner.task_runner: {}alloc_id=be94e7bc-f750-42b1 task=stock {}"
        nomad += [
            (
                s,
                said.format(
                    "Task event: ", 'type=Terminated msg="Exit Code: 143, Exit Message: \\"ended\\"" failed=false'
                ),
            )
        ]
        nomad += [(s + 0.01, said.format("restarting task: ", 'reason="" delay=0s'))]
    stock = [(s + 100, "INFO c.h.StockApplication: Started StockApplication in 97.2 seconds") for s in (-99.0, *ends)]
    refused = [(s + 5 + 9 * n, "ERROR shop: stock lookup failed: connect ECONNREFUSED 10.30.1.12:8080") for s in ends for n in range(10)]  # fmt: skip
    failed = [(s + 0.01, request(500, s)) for s, _ in refused]
    report = report_of(folder, nomad=nomad, stock=stock, shop=refused, web=served(2400) + failed)
    assert report.exits.codes == {"143": 3}
    causes = {cause for cause, effect in links(report) if effect.startswith("stock lookup failed")}
    assert causes
    assert all("task" in cause.lower() for cause in causes)


def test_a_call_that_meets_some_of_the_failed_answers_is_not_why_they_failed(folder: Path) -> None:
    moments = [600.0 + 10 * n for n in range(60)]
    trace = "ERROR reports: Exception on /reports/summary [GET]"
    stack = ["Traceback (most recent call last):", '  File "/app/reports.py", line 31, in mean', "    return total / count", "ZeroDivisionError: division by zero"]  # fmt: skip
    raised = [(s + n / 10_000, line) for s in moments for n, line in enumerate((trace, *stack))]
    failed = [(s + 0.012, request(500, s)) for s in moments]
    mailer = [(s + 3, "ERROR mailer: AxiosError: Request failed with status code 500") for s in moments[::5]]
    report = report_of(folder, reports=raised, mailer=mailer, web=served(1800) + failed)
    assert first_roots(report)[0] == "division by zero"
    assert not any(cause.startswith("AxiosError") for cause, effect in links(report) if effect == "HTTP 500")
