"""What a log is made to mean: roots, chains, what is kept apart, what is no incident, and what must not be claimed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from triage.engine import analyze
from triage.report import Report

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
Log = Callable[..., Report]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Write named logs of (seconds, line) and analyse them together; a line's stamp is written in front."""

    def run(**files: list[tuple[float, str]]) -> Report:
        paths = []
        for name, lines in files.items():
            path = tmp_path / f"{name}.log"
            path.write_text("".join(f"{_stamp(s)} {text}\n" for s, text in lines))
            paths.append(str(path))
        return analyze(paths)

    return run


def _stamp(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _request(status: int, path: str = "/orders/17") -> str:
    return f'10.0.0.7 - - [02/Mar/2026:10:00:00 +0000] "GET {path} HTTP/1.1" {status} 12 "-" "curl/8" rt=0.010'


def _trace(error: str, *, file: str = "/app/shop/orders.py") -> str:
    return f'Traceback (most recent call last):\n  File "{file}", line 7, in price\n    return rates[code]\n{error}'


def _begin(report: Report) -> timedelta:
    """How long after the log's start the first incident begins."""
    start = report.incidents[0].start
    assert start is not None
    return start - START


def _titles(report: Report) -> list[list[str]]:
    return [[report.failure(r.failure).message for r in i.roots] for i in report.incidents]


def _chain_words(report: Report) -> list[list[str]]:
    return [[report.failure(f).message for f in chain] for i in report.incidents for chain in i.chains]


def test_an_uncaught_exception_is_the_root_of_the_failed_requests(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(60)]
    for i in range(60, 90, 3):
        lines += [(i, f"ERROR shop: request failed\n{_trace('KeyError: 17')}"), (i + 0.1, _request(500))]
        lines += [(i + 1.0, _request(200, "/health"))]
    report = log(api=lines)
    assert _titles(report)[0][0] == "17"
    assert _chain_words(report)[0] == ["17", "HTTP 500"]
    assert report.counts.errors == 10
    assert report.http is not None
    assert report.http.errors == 10
    assert report.severity in ("P1", "P2")


def test_a_record_with_its_traceback_is_one_failing_record(log: Log) -> None:
    lines = [(float(i), "INFO shop: priced") for i in range(60)]
    lines += [(60.0 + i, f"ERROR shop: cannot price\n{_trace('KeyError: 17')}") for i in range(12)]
    report = log(api=lines)
    assert report.counts.errors == 12
    assert report.incidents[0].impact == "12 failing records"
    assert report.severity_why.startswith("12 error records;")


def test_a_crash_loop_leads_from_the_exception_to_the_exit_to_the_failed_requests(log: Log) -> None:
    lines: list[tuple[float, str]] = [(float(i), _request(200)) for i in range(30)]
    for boot in range(40, 140, 10):
        lines += [
            (boot, "INFO app: starting"),
            (
                boot + 1.0,
                f"ERROR app: cannot start\n{_trace('ModuleNotFoundError: No module named ' + repr('billing'))}",
            ),
            (boot + 2.0, "Container exited with code 1"),
            (boot + 3.0, _request(503)),
        ]
    report = log(api=lines)
    assert _chain_words(report)[0] == ["No module named 'billing'", "Container exited with code 1", "HTTP 503"]
    assert report.severity == "P0"
    assert report.exits.codes == {"1": 10}
    assert report.exits.loops[0].interval_s == 10.0
    assert "has not completed a start" in report.headline


def test_two_faults_of_different_services_stay_apart(log: Log) -> None:
    cart = [(float(i), _request(200)) for i in range(100)] + [
        x
        for i in range(20, 50, 3)
        for x in ((i + 0.2, f"ERROR cart: failed\n{_trace('KeyError: 5')}"), (i + 0.3, _request(500)))
    ]
    mail = [(float(i), "INFO mail: sent") for i in range(100)] + [
        (
            i + 0.5,
            f"ERROR mail: failed\n{_trace('smtplib.SMTPServerDisconnected: Connection unexpectedly closed', file='/app/mail.py')}",
        )
        for i in range(60, 90, 3)
    ]
    report = log(cart=sorted(cart), mailer=sorted(mail))
    assert len(report.incidents) == 2
    assert {len(r) for r in _titles(report)} == {1}
    assert not set(report.incidents[0].roots[0].failure) & set(report.incidents[1].chains)


def test_a_dependency_named_by_its_callers_is_the_root_even_as_a_warning(log: Log) -> None:
    stock = [(float(i), "INFO stock: ok") for i in range(0, 120, 2)]
    stock += [(60.0 + i, "WARNING stock: waiting for lock on table items 4100 ms") for i in range(0, 40, 2)]
    front = [(float(i), _request(200)) for i in range(60)]
    for i in range(0, 40, 2):
        front += [
            (
                61.5 + i,
                "ERROR front: call failed: HTTPConnectionPool(host='stock.internal', port=8080): Read timed out.",
            ),
            (61.6 + i, _request(504)),
        ]
    report = log(stock=sorted(stock), front=sorted(front))
    assert "waiting for lock" in _titles(report)[0][0]
    assert any(link.kind == "names" for link in report.links)


def test_effects_without_a_cause_get_no_root_and_the_next_log_is_named(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(60)]
    for i in range(60, 90):
        lines += [
            (
                float(i),
                "[error] 7#7: *9 upstream timed out (110: Connection timed out) while reading response header from upstream, "
                'client: 10.0.0.9, server: _, request: "GET /a HTTP/1.1", upstream: "http://payments.example.com:8080/a"',
            ),
            (i + 0.1, _request(504)),
        ]
    report = log(gateway=lines)
    assert report.healthy is False
    assert all(not i.roots for i in report.incidents)
    assert "not in these logs" in report.headline
    assert "payments.example.com" in report.headline


@pytest.mark.parametrize(
    "noise",
    [
        ["WARNING warnings: DeprecationWarning: quote() is deprecated"] * 40,
        [_request(404, "/wp-login.php")] * 200,
        ["ERROR client: read timed out, retrying (attempt 1 of 3)"],
        [
            "INFO server: Shutting down",
            "INFO server: Started server process [9]",
            "INFO server: Application startup complete.",
        ],
        ["INFO health: no errors, 0 failed checks"] * 30,
    ],
)
def test_noise_is_no_incident(log: Log, noise: list[str]) -> None:
    lines = [(float(i), _request(200)) for i in range(300)] + [(i + 0.5, text) for i, text in enumerate(noise)]
    report = log(api=sorted(lines))
    assert report.healthy is True
    assert report.severity is None
    assert report.incidents == ()
    assert "Nothing here deserves an incident" in report.headline


def test_a_rare_error_is_found_under_loud_warnings(log: Log) -> None:
    lines = [(float(i), "WARNING pool: 8 of 10 connections busy") for i in range(900)]
    lines += [(i + 0.4, _request(200)) for i in range(900)]
    for i in (300, 450, 600):
        lines += [
            (i + 0.5, f"ERROR shop: failed\n{_trace('ZeroDivisionError: division by zero')}"),
            (i + 0.6, _request(500)),
        ]
    report = log(api=sorted(lines))
    assert _titles(report)[0][0] == "division by zero"


@pytest.mark.parametrize(
    ("error", "never"),
    [
        ("ModuleNotFoundError: No module named 'auth_service'", {"dns", "auth", "oauth"}),
        ("asyncpg.exceptions.TooManyConnectionsError: too many connections for role", {"memory"}),
        ("ValueError: auth_service returned an odd number", {"auth"}),
    ],
)
def test_words_inside_words_name_no_cause(log: Log, error: str, never: set[str]) -> None:
    report = log(api=[(float(i), f"ERROR app: failed\n{_trace(error)}") for i in range(5)])
    assert not {f.category for f in report.findings} & never


def test_statuses_are_never_one_group(log: Log) -> None:
    lines = [(float(i), _request(s)) for i, s in enumerate([200, 500, 503] * 20)]
    report = log(api=lines)
    assert report.http is not None
    assert report.http.status == {"200": 20, "500": 20, "503": 20}
    assert {c.message for c in report.clusters if "50" in c.message} == {f.message for f in report.failures} or len(
        {c.id for c in report.clusters}
    ) == 2


def test_the_same_incident_as_json_and_as_text_has_the_same_ids(tmp_path: Path) -> None:
    trace = _trace("KeyError: 'rate'")
    text, entries = tmp_path / "a.log", tmp_path / "b.jsonl"
    text.write_text("".join(f"{_stamp(i)} ERROR shop: pricing failed for order {i}\n{trace}\n" for i in range(20)))
    entries.write_text(
        "".join(
            json.dumps(
                {
                    "timestamp": _stamp(i),
                    "level": "error",
                    "logger": "shop",
                    "message": f"pricing failed for order {i}\n{trace}",
                }
            )
            + "\n"
            for i in range(20)
        )
    )
    a, b = analyze([str(text)]), analyze([str(entries)])
    assert [(c.id, c.count) for c in a.clusters] == [(c.id, c.count) for c in b.clusters]
    assert {f.id for f in a.failures} == {f.id for f in b.failures}
    assert a.counts.error_rate == b.counts.error_rate == 1.0


def test_clocks_that_differ_do_not_turn_cause_and_effect_around(log: Log) -> None:
    skew = 90.0
    stock = [(skew + i, "INFO stock: ok") for i in range(0, 400, 2)]
    stock += [(skew + 60.0 + i, "WARNING stock: waiting for lock on table items 4100 ms") for i in range(0, 100, 2)]
    front = [(float(i), _request(200)) for i in range(60)]
    for i in range(0, 100, 2):
        front += [
            (
                61.5 + i,
                "ERROR front: call failed: HTTPConnectionPool(host='stock.internal', port=8080): Read timed out.",
            ),
            (61.6 + i, _request(504)),
        ]
    report = log(stock=sorted(stock), front=sorted(front))
    assert "waiting for lock" in _titles(report)[0][0]


def test_an_early_warning_stands_in_front_of_the_root_and_is_none(log: Log) -> None:
    lines = [(float(i), "INFO app: ok") for i in range(600)]
    for cycle in range(0, 600, 100):
        lines += [(cycle + x + 0.3, f"WARNING app: cache size {x} entries") for x in (60, 70, 80)]
        lines += [(cycle + 90.5, "kernel: Memory cgroup out of memory: Killed process 812 (python)")]
        lines += [(cycle + 90.6, "app.service: Main process exited, code=killed, status=9/KILL")]
    report = log(app=sorted(lines))
    assert "out of memory" in _titles(report)[0][0].lower()
    assert report.exits.signals == {"SIGKILL": 6}


def test_every_claim_points_at_a_line_that_exists(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(60)]
    for i in range(60, 90, 3):
        lines += [(i, f"ERROR shop: request failed\n{_trace('KeyError: 17')}"), (i + 0.1, _request(500))]
    report = log(api=lines)
    last = report.intake.lines
    shown = [e for link in report.links for e in link.evidence] + [e for c in report.clusters for e in c.examples]
    assert shown
    assert all(1 <= e.line <= last for e in shown)


def test_the_ledger_accounts_for_every_line(log: Log) -> None:
    report = log(api=[(1.0, f"ERROR shop: failed\n{_trace('KeyError: 17')}"), (2.0, "INFO shop: ok")])
    records_lines = report.intake.records + report.intake.continuation
    assert report.intake.lines == records_lines + report.intake.blank + report.intake.rejected


def test_an_empty_log_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("")
    report = analyze([str(tmp_path / "empty.log")])
    assert report.healthy is True
    assert report.headline == "No records: there is nothing to analyse."


def test_connections_that_fail_each_time_a_neighbour_was_killed_are_its_effect(log: Log) -> None:
    kernel = [
        (300.0 + 200 * n, "ERROR Memory cgroup out of memory: Killed process 4411 (tunnel) total-vm:188234kB")
        for n in range(6)
    ]
    shop = [(float(s), "INFO shop: served") for s in range(0, 1500, 5)]
    for at, _ in kernel:
        shop += [
            (at + 2 + n, "ERROR shop: price lookup failed: dial tcp 127.0.0.1:15001: connect: connection refused")
            for n in range(20)
        ]
    report = log(host=kernel, shop=sorted(shop))
    assert len(report.incidents) == 1
    assert _titles(report)[0][0].startswith("Memory cgroup out of memory")


def test_connections_that_fail_at_any_time_are_not_the_effect_of_one_that_restarts(log: Log) -> None:
    kernel = [
        (300.0 + 200 * n, "ERROR Memory cgroup out of memory: Killed process 4411 (tunnel) total-vm:188234kB")
        for n in range(6)
    ]
    shop = [
        (float(s), "ERROR shop: price lookup failed: dial tcp 10.0.0.7:9000: connect: connection refused")
        for s in range(300, 1500, 7)
    ]
    report = log(host=kernel, shop=shop)
    assert not any(
        link.why.startswith("nothing answers") for link in report.links
    )  # it fails just as often when nothing was killed


def test_a_server_and_its_client_that_log_one_short_error_are_one_incident(log: Log) -> None:
    lines = {"postgres": [(60.0 * n, "ERROR:  deadlock detected") for n in range(1, 9)]}
    raised = _trace("psycopg2.errors.DeadlockDetected: deadlock detected\nDETAIL:  Process 4 waits for ShareLock")
    lines["stock"] = [(60.0 * n + 1, f"ERROR stock: reservation failed\n{raised}") for n in range(1, 9)]
    report = log(**lines)
    assert len(report.incidents) == 1
    root = report.failure(report.incidents[0].roots[0].failure)
    assert (root.message, root.services) == ("deadlock detected", ("postgres",))


def test_a_line_of_ids_alone_is_no_cause(log: Log) -> None:
    lines: list[tuple[float, str]] = [(float(i), _request(200)) for i in range(100)]
    for n in range(100, 130):
        lines += [
            (n, "ERROR [0b0a31c8-5d2e-4f57-9f7e-3f5f9d6a2c11]"),
            (n + 0.1, f"ERROR shop: failed\n{_trace('KeyError: 17')}"),
            (n + 0.2, _request(500)),
        ]
    report = log(api=lines)
    assert _titles(report)[0] == ["17"]


def test_a_rare_failure_of_another_service_stays_a_root_of_its_own(log: Log) -> None:
    big = [
        (
            float(s),
            f"ERROR cart: failed\n{_trace('redis.exceptions.ResponseError: MISCONF Redis is configured to save RDB snapshots')}",
        )
        for s in range(100, 900)
    ]
    cart = sorted([*big, *((s + 0.1, _request(500)) for s, _ in big)])
    small = [(float(s), f"ERROR reports: failed\n{_trace('KeyError: 17')}") for s in range(300, 900, 30)]
    reports = sorted([*small, *((s + 0.1, _request(500, "/reports")) for s, _ in small)])
    named = {m for titles in _titles(log(cart=cart, reports=reports)) for m in titles}
    assert "17" in named


def test_an_error_that_a_remark_of_its_neighbour_precedes_is_no_less_an_incident(log: Log) -> None:
    remark = "http: TLS handshake error from 10.1.4.22:41000: remote error: tls: bad certificate"
    error = "ERROR shop: charge failed: x509: certificate signed by unknown authority"
    pay = [(20.0 * n, remark) for n in range(10, 60)]
    report = log(pay=pay, shop=[(at + 0.01, error) for at, _ in pay])
    assert not report.healthy
    assert "unknown authority" in _titles(report)[0][0]


def test_single_lines_minutes_apart_do_not_tell_of_one_event(log: Log) -> None:
    lines = [
        (100.0, "ERROR shop: cannot write /srv/a: No space left on device"),
        (900.0, "ERROR shop: read-only file system: /srv/b"),
    ]
    assert not any("the same event" in link.why for link in log(shop=lines).links)


def test_lines_that_only_note_an_exit_are_no_incidents_of_their_own(log: Log) -> None:
    lines: list[tuple[float, str]] = []
    for boot in range(10, 600, 60):
        lines += [
            (boot, f"ERROR app: Exception in worker process\n{_trace('KeyError: 17')}"),
            (boot + 0.2, "ERROR Worker (pid:21775) exited with code 3"),
            (boot + 9.0, "Container exited with code 3"),
        ]
    assert len(log(api=lines).incidents) == 1


def test_a_limit_that_a_warning_names_exactly_is_the_root_of_the_time_outs(log: Log) -> None:
    lines = [
        (60.0 * n, "WARNING: [pool www] server reached pm.max_children setting (10), consider raising it")
        for n in range(10, 30)
    ]
    proxy: list[tuple[float, str]] = [(float(s), _request(200)) for s in range(0, 2000, 10)]
    for s in range(610, 1800, 8):
        error = "[error] 71#71: *9 upstream timed out (110: Connection timed out) while reading response header from upstream"
        proxy += [(s, f'{error}, client: 10.0.0.9, upstream: "fastcgi://unix:/run/php.sock"'), (s + 0.1, _request(504))]
    report = log(web=sorted([*lines, *proxy]))
    assert _titles(report)[0][0].startswith("[pool www] server reached pm.max_children")


def test_workers_of_a_pool_that_are_replaced_are_no_service_that_cannot_start(log: Log) -> None:
    lines: list[tuple[float, str]] = [(float(s), "INFO worker: done") for s in range(0, 900, 5)]
    killed = "ERROR Process 'ForkPoolWorker-1' pid:345 exited with 'signal 9 (SIGKILL)'"
    lines += [(s + 0.5, killed) for s in range(60, 900, 60)]
    report = log(worker=sorted(lines))
    assert report.severity == "P1"


def test_requests_that_a_program_tells_of_behind_its_header_are_counted(log: Log) -> None:
    lines = [(float(i), f"INFO shop.http: GET /items/{i} {500 if i % 4 == 0 else 200} 12.5ms") for i in range(80)]
    http = log(api=lines).http
    assert http is not None
    assert http.status == {"200": 60, "500": 20}
    assert http.latency_ms is not None
    assert http.latency_ms.mean == 12.5


def test_requests_in_messages_do_not_count_where_a_server_logs_them(log: Log) -> None:
    lines = [
        x for i in range(40) for x in ((float(i), f"INFO shop.http: GET /items/{i} 200 3ms"), (i + 0.01, _request(200)))
    ]
    http = log(api=lines).http
    assert http is not None
    assert http.requests == 40


def test_a_request_that_tells_why_it_failed_is_cause_and_effect(tmp_path: Path) -> None:
    def entry(second: int) -> str:
        at, bad = f"2026-03-02T10:{second // 60:02d}:{second % 60:02d}Z", second > 60 and second % 3 == 0
        seen = {"time": at, "level": "error" if bad else "info", "method": "GET", "path": f"/orders/{second}"}
        told = (
            {"msg": "request failed", "status": 500, "error": "pq: deadlock detected"}
            if bad
            else {"msg": "request", "status": 200}
        )
        return json.dumps(seen | told)

    path = tmp_path / "orders.jsonl"
    path.write_text("\n".join(map(entry, range(180))) + "\n")
    report = analyze(str(path))
    assert _chain_words(report)[0] == ["request failed: pq: deadlock detected", "HTTP 500"]
    assert report.incidents[0].roots


def test_a_known_cause_said_again_and_again_is_an_incident_at_any_level(log: Log) -> None:
    refused = "WARN jobs: webhook refused: signature mismatch"
    quiet = [(float(i), "INFO jobs: done") for i in range(200)]
    report = log(jobs=sorted([*quiet, *((100.5 + i, refused) for i in range(40))]))
    assert not report.healthy
    assert _titles(report)[0] == ["webhook refused: signature mismatch"]
    assert log(jobs=sorted([*quiet, *((100.5 + i, refused) for i in range(3))])).healthy


def test_refused_logins_all_along_beside_requests_that_are_served_are_no_incident(log: Log) -> None:
    knocks = [(i + 0.5, 'ERROR db: password authentication failed for user "admin"') for i in range(3, 200, 9)]
    served = [(float(i), _request(200)) for i in range(200)]
    assert log(db=knocks, front=served).healthy
    assert not log(db=[k for k in knocks if k[0] > 120], front=served).healthy


def test_clients_that_left_are_no_incident(log: Log) -> None:
    left = [
        (i * 40.5, "WARNING web: org.apache.catalina.connector.ClientAbortException: java.io.IOException: Broken pipe")
        for i in range(1, 5)
    ]
    assert log(api=sorted([*((float(i), _request(200)) for i in range(200)), *left])).healthy


def test_a_probe_that_gets_no_such_path_is_the_root_of_the_restarts(log: Log) -> None:
    lines = [(float(i), "INFO search: ready") for i in range(0, 400, 5)]
    for start in range(120, 380, 30):
        lines += [
            (start + 10.0 * k, "WARNING kubelet: Liveness probe failed: HTTP probe failed with statuscode: 404")
            for k in range(3)
        ]
        lines.append((start + 20.2, "WARNING kubelet: Container search failed liveness probe, will be restarted"))
    report = log(search=sorted(lines))
    assert _titles(report)[0] == ["Liveness probe failed: HTTP probe failed with statuscode: 404"]
    assert report.severity in ("P0", "P1")


def test_a_reason_that_no_rule_knows_is_the_root_where_there_is_no_other(log: Log) -> None:
    lines = [(float(i), "INFO tariff: priced") for i in range(200)]
    lines += [(100.5 + i, f"ERROR tariff: could not price basket {i}: zone 17 has no carrier") for i in range(0, 90, 3)]
    report = log(tariff=sorted(lines))
    assert _titles(report)[0] == ["could not price basket 0: zone 17 has no carrier"]
    assert report.incidents[0].roots[0].confidence < 0.5


def test_another_services_error_answer_is_a_root_of_little_confidence(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(100)]
    for i in range(40, 90, 2):
        lines.append(
            (
                i + 0.2,
                f"ERROR pay: charge failed\n{_trace('httpx.HTTPStatusError: Server error 503 Service Unavailable')}",
            )
        )
        lines.append((i + 0.3, _request(500)))
    root = log(pay=sorted(lines)).incidents[0].roots[0]
    assert root.confidence == 0.5
    assert "nother service" in root.against


def test_a_single_early_failure_does_not_outweigh_the_calls_that_fail_with_each_request(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(600)]
    lines += [(100.0, "ERROR pool: server closed the connection unexpectedly")]
    for i in range(300, 500, 4):
        lines += [(i + 0.1, "WARN retry: got response with status 503, will retry in 10 ms")]
        lines += [(i + 0.2, f"ERROR pay: charge failed order={i} {{:unexpected_status, 503, busy}}")]
        lines += [(i + 0.3, _request(502))]
    report = log(api=sorted(lines))
    assert "charge failed" in _titles(report)[0][0]
    assert _chain_words(report)[0][-1] == "HTTP 502"
    assert "got response with status 503" in _chain_words(report)[0][0]
    assert report.incidents[0].roots[0].confidence <= 0.5, "another service failed: its own log has the cause"
    assert not any("server closed" in f for f in _chain_words(report)[0])


def test_one_end_of_a_process_that_is_told_of_twice_is_one(tmp_path: Path) -> None:
    rows = []
    for k in range(8):
        for lag, text in ((0.0, "INFO Main child exited normally with code: 3"), (4.0, "machine exited with exit code 3, restarting")):  # fmt: skip
            rows.append(
                {"timestamp": _stamp(60.0 * k + lag), "level": "info", "instance": f"m{k % 2}", "message": text}
            )
    path = tmp_path / "fly.jsonl"
    path.write_text(
        "".join(json.dumps({"region": "ams", "meta": {"Instance": r["instance"]}, **r}) + "\n" for r in rows)
    )
    report = analyze([str(path)])
    assert report.exits.codes == {"3": 8}
    assert sum(1 for f in report.failures if f.role == "exit") == 1


def test_what_runs_since_long_before_is_not_what_sets_a_louder_failure_off(log: Log) -> None:
    lines = [(float(i), "INFO orders: polled") for i in range(0, 3600, 2)]
    lines += [(t + 0.5, "ERROR orders: address lookup failed: I/O error on GET request for \"https://a.example\": Read timed out") for t in (200, 700, 900, 1300, 1500, 1900, 2500, 2900, 3200, 3500)]  # fmt: skip
    lines += [(1600.0 + 40 * k, "ERROR orders: paid orders without a shipment") for k in range(45)]
    report = log(orders=sorted(lines))
    assert not any("address lookup" in chain[0] for chain in _chain_words(report))


STRANGERS = (40, 310, 420, 980, 1100, 1490, 1530, 2200, 2350, 2900, 3010, 3420)  # seconds at which no timer is at work


def test_rare_failures_from_outside_all_along_are_noise(log: Log) -> None:
    lines = [(float(i), "INFO hooks: delivered") for i in range(0, 3600, 2)]
    lines += [
        (t + 0.5, f"ERROR hooks: rejected webhook from 198.51.100.{t % 200}: signature mismatch") for t in STRANGERS
    ]
    report = log(hooks=sorted(lines))
    assert report.healthy
    assert report.noise, "they are listed all the same"


def test_a_job_whose_every_run_fails_is_no_noise(log: Log) -> None:
    lines = [(float(i), "INFO hooks: delivered") for i in range(0, 3600, 2)]
    lines += [(300.0 * k + 7.5, "ERROR sync: pull from partner: Read timed out") for k in range(12)]
    assert not log(hooks=sorted(lines)).healthy


def test_failures_of_the_program_itself_are_no_noise_however_rare_and_even(log: Log) -> None:
    lines = [(float(i), "INFO hooks: delivered") for i in range(0, 3600, 2)]
    lines += [(t + 0.5, f"ERROR shop: cannot price\n{_trace('KeyError: 17')}") for t in STRANGERS]
    assert not log(hooks=sorted(lines)).healthy


def test_failures_from_outside_that_are_many_are_no_noise(log: Log) -> None:
    lines = [(float(i), "INFO hooks: delivered") for i in range(0, 3600, 20)]
    lines += [(t + 0.5, "ERROR hooks: rejected webhook: signature mismatch") for t in STRANGERS]
    assert not log(hooks=sorted(lines)).healthy


def test_starts_are_not_judged_where_nothing_says_how_they_went(log: Log) -> None:
    lines = [(float(i), "INFO hooks: delivered") for i in range(60)] + [
        (61.0, "INIT_START Runtime Version: nodejs:20.v1")
    ]
    assert log(hooks=lines).exits.starts == 0


def _two_services(*, lag: float, end: float, last: float = 3000.0) -> dict[str, list[tuple[float, str]]]:
    """Workers that fail from 1200 s to 2400 s, and a shop that gives up polling from `lag` after that to `end`."""
    worker = [(float(i), "INFO worker: priced") for i in range(0, int(last), 5)]
    worker += [(1200.0 + 12 * k, f"ERROR worker: cannot price\n{_trace('psycopg2.errors.UndefinedColumn: column orders.code does not exist')}") for k in range(101)]  # fmt: skip
    shop = [(float(i), "INFO shop: served") for i in range(0, int(last), 5)]
    pace = (end - 1200.0 - lag) / 60
    shop += [
        (1200.0 + lag + pace * k, "ERROR shop: invoice is not priced yet, giving up after 3 polls") for k in range(61)
    ]
    return {"worker": sorted(worker), "shop": sorted(shop)}


def test_services_whose_failures_begin_and_end_together_are_one_incident(log: Log) -> None:
    report = log(**_two_services(lag=30.0, end=2402.0))
    assert len(report.incidents) == 1
    assert "does not exist" in _titles(report)[0][0]
    assert any("not priced yet" in chain[-1] for chain in _chain_words(report))


def test_services_whose_failures_only_overlap_are_not_linked(log: Log) -> None:
    for case in (_two_services(lag=300.0, end=2402.0), _two_services(lag=30.0, end=2000.0)):
        report = log(**case)
        assert not any("not priced yet" in chain[-1] for chain in _chain_words(report))


def test_a_failure_with_a_known_cause_of_its_own_is_not_linked_by_its_time(log: Log) -> None:
    case = _two_services(lag=30.0, end=2402.0)
    case["shop"] = [(t, m.replace("invoice is not priced yet, giving up after 3 polls", "No space left on device")) for t, m in case["shop"]]  # fmt: skip
    assert len(log(**case).incidents) == 2


def test_many_failures_that_a_program_tells_as_warnings_weigh_like_errors(log: Log) -> None:
    lines = [(float(i), "INFO shop: priced") for i in range(60)]
    lines += [(60.0 + i, f"WARN shop: listener failed\n{_trace('KeyError: 17')}") for i in range(30)]
    report = log(api=lines)
    assert report.severity == "P2"
    assert report.severity_why.startswith("30 failing records;")


def test_a_call_that_tells_of_an_answer_follows_the_service_that_gave_it(log: Log) -> None:
    api, shop = (
        [(float(i), _request(200)) for i in range(0, 3000, 5)],
        [(i + 0.5, "INFO shop: served") for i in range(0, 3000, 5)],
    )
    for k in range(100):
        t = 1200.0 + 12 * k
        api += [(t, f"ERROR api: cannot price\n{_trace('KeyError: 17')}"), (t + 0.1, _request(500))]
        shop += [(t + 0.2, "ERROR shop: rates failed: unexpected status code: 500")]
    report = log(api=sorted(api), shop=sorted(shop))
    assert [len(report.incidents), _titles(report)[0][0]] == [1, "17"]
    assert any(c[0] == "17" and "unexpected status" in c[-1] for c in _chain_words(report))


def test_clients_that_leave_all_along_are_no_effect_of_failed_requests(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(0, 3600, 2)]
    lines += [(180.0 * k + 50.3, "WARN web: client closed connection: write: broken pipe") for k in range(20)]
    for k in range(12):
        lines += [
            (2400.1 + 20 * k, "ERROR web: home feed: context deadline exceeded"),
            (2400.2 + 20 * k, _request(504)),
        ]
    report = log(web=sorted(lines))
    assert _begin(report) >= timedelta(seconds=2399)


def test_a_warning_that_stood_when_the_log_began_does_not_tell_when_the_incident_did(log: Log) -> None:
    monit = [
        (60.0 * k + 1, "ERROR 'data' inode usage 97.1% matches resource limit [inode usage > 90.0%]") for k in range(50)
    ]
    app = [(float(i), _request(200)) for i in range(0, 3000, 3)]
    for k in range(60):
        app += [
            (2000.1 + 10 * k, "ERROR shop: cannot write /srv/sessions/a: No space left on device"),
            (2000.2 + 10 * k, _request(500)),
        ]
    report = log(monit=monit, shop=sorted(app))
    assert len(report.incidents) == 1
    assert _begin(report) >= timedelta(seconds=2000)
    assert "inode usage" in _chain_words(report)[0][0], "it is the early sign all the same"


def test_queries_for_each_row_are_why_the_server_in_front_is_slow(log: Log) -> None:
    def served(ms: float, path: str = "/orders") -> str:
        return f'10.0.0.7 - - [02/Mar/2026:10:00:00 +0000] "GET {path} HTTP/1.1" 200 12 "-" "curl/8" rt={ms / 1000:.3f}'

    nginx = [(float(i), served(60 + i % 7)) for i in range(0, 1800, 2)]
    nginx += [(float(i), served(4000 + i % 900)) for i in range(1800, 3600, 2)]
    web = [(i - 0.5, "INFO web: served") for i in range(2, 3600, 2)]
    web += [
        (i - 0.1, "WARNING nplusone: Potential n+1 query detected on `Invoice.customer`") for i in range(1800, 3600, 2)
    ]
    report = log(nginx=nginx, web=sorted(web))
    assert "Potential n+1 query" in _titles(report)[0][0]


def test_programs_that_fail_on_a_disk_follow_the_kernel_that_tells_of_the_device(log: Log) -> None:
    kernel = [
        (100.0 + k, "ERROR blk_update_request: I/O error, dev nvme1n1, sector 4194 op 0x1:(WRITE)") for k in range(5)
    ]
    db = [(float(i), "INFO db: checkpoint complete") for i in range(0, 100, 2)]
    db += [(110.0 + 30 * k, "FATAL db: could not create lock file: Read-only file system") for k in range(20)]
    report = log(kernel=kernel, db=sorted(db))
    assert len(report.incidents) == 1
    assert "dev nvme1n1" in _titles(report)[0][0]


def test_a_probe_fails_before_the_restart_that_it_brings_about(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(0, 900, 3)]
    for k in range(8):
        t = 300.0 + 60 * k
        lines += [
            (t + n, 'WARN Liveness probe failed: Get "http://10.7.2.20:3000/livez": context deadline exceeded')
            for n in (0, 10, 20)
        ]
        lines += [(t + 20.5, "Container api failed liveness probe, will be restarted"), (t + 21, _request(502))]
    report = log(k8s=sorted(lines))
    restart = next(f.id for f in report.failures if "will be restarted" in f.message)
    probe = next(f.id for f in report.failures if f.message.startswith("Liveness probe"))
    pairs = {(link.cause, link.effect) for link in report.links}
    assert (probe, restart) in pairs
    assert (restart, probe) not in pairs


def test_strays_of_an_effect_do_not_move_the_beginning_of_an_incident(log: Log) -> None:
    lines = [(float(i), _request(200)) for i in range(0, 3600, 2)]
    lines += [(200.3, _request(500)), (900.3, _request(500))]
    for k in range(100):
        lines += [
            (2400.1 + 6 * k, f"ERROR shop: cannot price\n{_trace('KeyError: 17')}"),
            (2400.3 + 6 * k, _request(500)),
        ]
    report = log(web=sorted(lines))
    assert _begin(report) >= timedelta(seconds=2400)


def test_a_rare_spelling_of_an_incidents_own_failure_is_no_incident_beside_it(log: Log) -> None:
    lines = [(float(i), "INFO shop: served") for i in range(0, 3600, 2)]
    lines += [
        (1000.1 + 10 * k, f"ERROR shop: write of session {k} failed: No space left on device") for k in range(100)
    ]
    lines += [(1200.3, "ERROR shop: flush of the journal: ENOSPC: no space left on device, write")]
    assert len(log(web=sorted(lines)).incidents) == 1


def test_a_server_that_keeps_ending_is_why_it_is_not_reached_and_why_the_pool_runs_out(log: Log) -> None:
    postgresql = [(float(i), "INFO LOG:  checkpoint complete") for i in range(0, 600, 20)]
    for k in range(30):
        t = 600.0 + 43 * k
        postgresql += [(t, 'FATAL:  could not create lock file "postmaster.pid": Read-only file system')]
        postgresql += [(t + 0.1, "postgresql.service: Main process exited, code=exited, status=1/FAILURE")]
    app = [(float(i), _request(200)) for i in range(0, 600, 4)]
    for k in range(300):
        t = 601.0 + 4.3 * k
        app += [(t, "ERROR pool: failed to connect: tcp connect (localhost:5432): connection refused - :econnrefused")]
        if k % 2:
            app += [
                (t + 0.5, "ERROR pool: connection not available and request was dropped from queue after 2897ms"),
                (t + 0.6, _request(500)),
            ]
    report = log(postgresql=sorted(postgresql), shop=sorted(app))
    assert len(report.incidents) == 1
    assert "Read-only file system" in _titles(report)[0][0]
    words = [" > ".join(chain) for chain in _chain_words(report)]
    assert any(
        "Main process exited" in w and "connection refused" in w and "dropped from queue" in w and "HTTP 500" in w
        for w in words
    )


def test_a_port_names_a_server_by_custom_only_where_one_service_is_such_a_server(log: Log) -> None:
    def case(**more: list[tuple[float, str]]) -> Report:
        ends = [(100.0 + 50 * k, "postgres exited with code 1") for k in range(12)]
        refused = [
            (101.0 + 3.1 * k, "ERROR cannot connect to db.internal:5432: connection refused") for k in range(190)
        ]
        return log(postgres=ends, shop=refused, **more)

    assert any(link.kind == "names" for link in case().links)
    other = [(float(i), "INFO LOG:  checkpoint complete") for i in range(0, 700, 20)]
    assert not any(link.kind == "names" for link in case(**{"postgres-archive": other}).links)


def test_answers_that_took_less_than_can_be_told_took_none(log: Log) -> None:
    report = log(gateway=[(float(i), _request(200).replace("rt=0.010", "rt=0.000")) for i in range(40)])
    assert report.http is not None
    assert report.http.latency_ms is not None
    assert (report.http.latency_ms.p50, report.http.latency_ms.p99) == (0.0, 0.0)


def test_an_exception_of_libraries_alone_is_at_the_frame_that_raised_it(tmp_path: Path) -> None:
    trace = (
        "ERROR tomcat: Error configuring application listener",
        "java.lang.NoClassDefFoundError: javax/servlet/ServletContextListener",
        "\tat org.apache.catalina.loader.WebappClassLoaderBase.findClassInternal(WebappClassLoaderBase.java:2475)",
        "Caused by: java.lang.ClassNotFoundException: javax.servlet.ServletContextListener",
        "\tat org.apache.catalina.loader.WebappClassLoaderBase.loadClass(WebappClassLoaderBase.java:1467)",
    )
    path = tmp_path / "app.log"
    path.write_text(
        "".join(f"2026-03-02 10:00:{n:02d},000 {trace[0]}\n" + "\n".join(trace[1:]) + "\n" for n in range(9))
    )
    report = analyze([str(path)])
    assert "WebappClassLoaderBase.java:1467" in report.headline
    assert "2475" not in report.headline
