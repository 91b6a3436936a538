"""Reports of six kinds of log, made by hand, for the tests of what is drawn from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from triage.report import (
    Action,
    Claim,
    Cluster,
    CodeLine,
    Counts,
    Evidence,
    Exits,
    Failure,
    Finding,
    Http,
    Incident,
    Input,
    Intake,
    Latency,
    Link,
    Loop,
    Metric,
    Moment,
    Rate,
    Report,
    Root,
    Route,
    RuledOut,
    Source,
    Why,
    Window,
)

TOOL = {"name": "triage", "version": "0.1.0"}
SECRETS = ("s3cr3t/w@rd", "hunter2", "jane.doe@example.com", "4242 4242 4242 4242", "Zt9wXb2LmKc4Rv8NsYd1Hf6G")

TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/shop/core/sockets.py", line 53, in <module>
    from ledger_client import Session
ModuleNotFoundError: No module named 'ledger_client'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/core/layers.py", line 5, in load_layers
    import core.sockets
ImportError: the socket layer cannot be imported

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/core/layers.py", line 13, in build
    load_layers()
RuntimeError: the layers of the application were not built"""


def moment(clock: str) -> datetime:
    """A time of the day on which all these logs were written."""
    return datetime.fromisoformat(f"2026-03-14T{clock}+00:00").astimezone(UTC)


def slices(
    start: datetime, records: list[int], errors: list[int], *, requests: list[int], failed: list[int]
) -> tuple[Rate, ...]:
    return tuple(
        Rate(start + timedelta(minutes=2 * n), r, e, 0, q, f)
        for n, (r, e, q, f) in enumerate(zip(records, errors, requests, failed, strict=True))
    )


def empty() -> Report:
    """A report on an input without a single record."""
    return Report(
        tool=TOOL,
        title="empty.log",
        inputs=(Input("empty.log", "text", "no line to recognise a format by", 0, 0, 0),),
        intake=Intake(0, 0, 0, 0, 0, 0, 0),
        window=None,
        healthy=True,
        severity=None,
        severity_why="",
        headline="The input holds no records.",
        counts=Counts(0, 0, 0, 0.0),
        http=None,
        exits=Exits({}, {}, 0),
    )


def crash_loop() -> Report:
    """(a) A service that cannot start: three chained exceptions, an exit, HTTP 503 and 500."""
    start, end = moment("04:41:00.600000"), moment("05:40:57")
    first = Evidence("logs.json", 4569, TRACEBACK, start)
    gone = Evidence("logs.json", 4566, "Container called exit(3).", moment("04:41:01.100000"))
    probe = Evidence("logs.json", 4560, "GET /health 503 60.000112s", moment("04:41:05"))
    last = Evidence("logs.json", 2, "Container called exit(3).", end)
    noisy = Evidence("logs.json", 4570, "DeprecationWarning: datetime.utcnow() is deprecated", moment("04:41:00"))
    failures = (
        Failure("f:module", "exception", "ModuleNotFoundError", "No module named 'ledger_client'", 1290, start, end, ("shop-staging",), ("v1:aaaaaaaaaaaa",), "core/sockets.py:53 in <module>", ("core/layers.py:13 in build", "core/layers.py:5 in load_layers", "core/sockets.py:53 in <module>")),
        Failure("f:import", "exception", "ImportError", "the socket layer cannot be imported", 1290, start, end, ("shop-staging",), ("v1:aaaaaaaaaaaa",), "core/layers.py:5 in load_layers", (), "wrapper"),
        Failure("f:runtime", "exception", "RuntimeError", "the layers of the application were not built", 1290, start, end, ("shop-staging",), ("v1:aaaaaaaaaaaa",), "core/layers.py:13 in build", (), "wrapper"),
        Failure("f:exit", "exit", None, "Container called exit(3).", 1290, gone.at, end, ("shop-staging",), ("v1:bbbbbbbbbbbb",), None, (), "exit"),
        Failure("f:503", "http", None, "HTTP 503", 88, probe.at, end, ("shop-staging",), ("v1:cccccccccccc",), None, (), "http"),
        Failure("f:500", "http", None, "HTTP 500", 63, probe.at, end, ("shop-staging",), ("v1:cccccccccccc",), None, (), "http"),
    )  # fmt: skip
    links = (
        Link("f:module", "f:import", "raised_from", 1290, None, 1.0, (first,), "the traceback says so"),
        Link("f:import", "f:runtime", "raised_from", 1290, None, 1.0, (first,), "the traceback says so"),
        Link("f:runtime", "f:exit", "same_instance", 1290, 0.5, 0.95, (gone,), "in the same instance, each time"),
        Link("f:exit", "f:503", "precedes", 88, 3.9, 0.8, (probe,), "no instance is left to serve"),
        Link("f:exit", "f:500", "precedes", 63, 3.9, 0.8, (probe,), "no instance is left to serve"),
    )
    trend = (
        43,
        41,
        44,
        43,
        43,
        42,
        43,
        45,
        43,
        43,
        42,
        43,
        43,
        44,
        43,
        43,
        43,
        42,
        43,
        43,
        44,
        43,
        43,
        43,
        43,
        43,
        43,
        43,
        43,
        43,
    )
    clusters = (
        Cluster("v1:aaaaaaaaaaaa", "ERROR", "ModuleNotFoundError", "the layers of the application were not built", "the layers of the application were not built", 1290, start, end, ("shop-staging",), 12, (first,), trend),
        Cluster("v1:bbbbbbbbbbbb", "WARNING", None, "Container called exit(3).", "Container called exit(<num>).", 1290, gone.at, end, ("shop-staging",), 12, (gone, last), trend),
        Cluster("v1:cccccccccccc", "ERROR", None, "GET /health", "GET /health", 151, probe.at, end, ("shop-staging",), 1, (probe,), tuple(5 for _ in trend)),
        Cluster("v1:dddddddddddd", "WARNING", None, "DeprecationWarning: datetime.utcnow() is deprecated", "DeprecationWarning: datetime.utcnow() is deprecated", 57, noisy.at, end, ("shop-staging",), 12, (noisy,), tuple(2 for _ in trend)),
    )  # fmt: skip
    return Report(
        tool=TOOL,
        title="shop-staging cannot start",
        inputs=(Input("logs.json", "gcp-cloud-run", "4,570 of 4,570 entries have the keys of Cloud Logging", 14_112_000, 4570, 4570),),
        intake=Intake(4570, 4570, 0, 0, 0, 0, 4569, ("newest first: sorted by time",)),
        window=Window(start, end),
        healthy=False,
        severity="P0",
        severity_why="none of 1,290 starts succeeded and 151 of 151 requests failed",
        headline="shop-staging has not completed one start in 60 minutes.",
        counts=Counts(4570, 3280, 1290, 0.7177),
        http=Http(151, 151, 1.0, {"500": 63, "503": 88}, Latency(151, 8500.0, 3000.0, 21000.0, 28500.0, 59000.0, 60000.1, 60000.0), (
            Route("shop-staging", "GET", "/health", 88, 88, 1.0, 6000.0, 60000.0, 60000.1),
            Route("shop-staging", "POST", "/api/orders/{id}", 63, 63, 1.0, 2100.0, 8300.0, 9100.0),
        ), "edge"),
        exits=Exits({"3": 1290}, {}, 1289, (Loop("shop-staging", "exit(3)", 1290, 2.8),), 1290, 0),
        clusters=clusters,
        failures=failures,
        links=links,
        incidents=(
            Incident(
                "i1", "shop-staging cannot start", start, end, True, "P0", "no start succeeded",
                (Root("f:module", 0.97, 0.99, "it is the first failure in the log, stands innermost in every traceback, and no other failure comes before it in any instance", "nothing found; a start that succeeds without the module would refute it"),),
                (("f:module", "f:import", "f:runtime", "f:exit", "f:503"), ("f:module", "f:import", "f:runtime", "f:exit", "f:500")),
                ("f:503", "f:500"),
                "Every worker dies importing `ledger_client`; the container exits with code 3 and is started again, 1,290 times. All 151 requests failed.",
                None,
            ),
        ),
        findings=(
            Finding("python-module-not-found", "A module is missing in the image", "dependencies", ("f:module",), "the module is neither installed nor in the path of the program that imports it",
                    ("`python -c \"import ledger_client\"` in the image", "`pip list` in the image"), ("add the package to the image's requirements", "correct the import if the module was moved or renamed"),
                    ("import the application in CI inside the built image",), ("a start that succeeds without the module",), 0.95, (first,)),
        ),
        ruled_out=tuple(RuledOut(c, w, 4570) for c, w in (("database", "connections refused, pools exhausted"), ("memory", "out of memory, signal 9"), ("disk", "no space left"), ("DNS", "names that do not resolve"), ("TLS", "certificates that expired"))),
        timeline=(
            Moment(start, "onset", "first ModuleNotFoundError (the log begins here: it may have started earlier)", (first,)),
            Moment(moment("04:41:01.100000"), "exit", "first exit(3), restart loop begins, one every 2.8 s", (gone,)),
            Moment(moment("04:41:05"), "http", "first request fails: GET /health 503", (probe,)),
            Moment(end, "end", "last record: still failing", (last,)),
        ),
        five_whys=(
            Why("Why do requests fail?", "No instance is running: 1,290 of 1,290 exited.", "observed", (gone,)),
            Why("Why do they exit?", "The application raises while it is built.", "observed", (first,)),
            Why("Why does it raise?", "core/sockets.py imports ledger_client, which is not in the path.", "observed", (first,)),
            Why("Why is it not in the path?", "It is imported as if it were part of this code base.", "inferred"),
            Why("Why did nothing stop this release?", "which check starts the image before it gets traffic?", "human"),
        ),
        actions=(
            Action("P1", "detect", "Alert on the rate of restarts, not on each error.", ("f:exit",)),
            Action("P0", "repair", "Make `ledger_client` importable in this image, or take the import out of `core/sockets.py:53`.", ("f:module",)),
            Action("P0", "mitigate", "Roll back to the last revision that started.", ("f:exit",)),
            Action("P2", "prevent", "Import the application in CI inside the built image.", ("f:module",)),
        ),
        metrics=(
            Metric("starts that succeed", "≥ 1 in 5 min", "0"),
            Metric("requests that fail", "< 1 %", "100 %"),
            Metric("restarts", "< 1 per hour", "1,289"),
        ),
        rates=slices(start, [152] * 30, [109] * 30, requests=[5] * 30, failed=[5] * 30),
        slice_s=120.0,
        noise=("v1:dddddddddddd",),
    )  # fmt: skip


def java_bug() -> Report:
    """(b) A bug in one route of a Java service: some requests get HTTP 500."""
    start, onset, end = moment("09:00:00"), moment("09:24:10.250000"), moment("10:00:00")
    stack = 'java.lang.NullPointerException: Cannot invoke "Address.zip()" because the return value of "Order.address()" is null\n\tat com.example.orders.Labels.of(Labels.java:41)\n\tat com.example.orders.OrderController.label(OrderController.java:88)'
    first = Evidence("orders.log", 20_114, stack, onset)
    failures = (
        Failure("f:npe", "exception", "java.lang.NullPointerException", "Cannot invoke \"Address.zip()\" because the return value of \"Order.address()\" is null", 412, onset, end, ("orders",), ("v1:111111111111",), "Labels.java:41 in Labels.of", ("OrderController.java:88 in OrderController.label", "Labels.java:41 in Labels.of")),
        Failure("f:h500", "http", None, "HTTP 500", 412, onset, end, ("orders",), ("v1:222222222222",), None, (), "http"),
    )  # fmt: skip
    rising = [0] * 12 + [4, 9, 14, 22, 22, 25, 28, 30, 26, 24, 29, 30, 26, 24, 26, 25, 24, 24]
    return Report(
        tool=TOOL,
        title="orders answers one route with 500",
        inputs=(Input("orders.log", "logback", "the first 998 of 1,000 lines match", 8_400_321, 51_200, 48_020),),
        intake=Intake(51_200, 48_020, 12, 3, 3_165, 0, 0),
        window=Window(start, end),
        healthy=False,
        severity="P2",
        severity_why="4.1 % of requests fail",
        headline="One route of orders fails for orders without an address since 09:24.",
        counts=Counts(48_020, 412, 37, 412 / 48_020),
        http=Http(10_050, 412, 0.041, {"200": 9600, "404": 38, "500": 412}, Latency(10_050, 38.0, 22.0, 80.0, 121.0, 340.0, 2210.0), (
            Route("orders", "GET", "/orders/{id}/label", 1910, 412, 0.2157, 20.0, 90.0, 700.0),
            Route("orders", "GET", "/orders/{id}", 8140, 0, 0.0, 22.0, 125.0, 2210.0),
        )),
        exits=Exits({}, {}, 0, (), 0, 0),
        clusters=(
            Cluster("v1:111111111111", "ERROR", "java.lang.NullPointerException", "Servlet.service() for servlet [dispatcher] threw exception", "Servlet.service() for servlet [<*>] threw exception", 412, onset, end, ("orders",), 3, (first,), tuple(rising)),
        ),
        failures=failures,
        links=(Link("f:npe", "f:h500", "same_trace", 412, 0.002, 0.99, (first,), "the same request, 412 of 412 times"),),
        incidents=(
            Incident("i1", "orders answers one route with 500", onset, end, True, "P2", "4.1 % of requests fail",
                     (Root("f:npe", 0.93, 1.0, "it is the only exception of the requests that failed"),), (("f:npe", "f:h500"),), ("f:h500",),
                     "412 of 1,910 requests for a label failed.", "release 2026.3.2 started 40 s before the first failure"),
        ),
        timeline=(
            Moment(moment("09:23:30"), "deploy", "release 2026.3.2 starts"),
            Moment(onset, "onset", "first java.lang.NullPointerException", (first,)),
        ),
        actions=(Action("P0", "mitigate", "Roll back release 2026.3.2."), Action("P1", "repair", "Handle orders without an address in `Labels.java:41`.")),
        metrics=(Metric("GET /orders/{id}/label that fail", "< 0.1 %", "21.6 %"),),
        rates=slices(start, [1600] * 30, rising, requests=[335] * 30, failed=rising),
        slice_s=120.0,
    )  # fmt: skip


def healthy() -> Report:
    """(c) A log in which nothing is wrong."""
    start, end = moment("00:00:00"), moment("23:59:59")
    warning = Evidence("app.log", 812, "slow query: 1.2 s", moment("03:10:00"))
    return Report(
        tool=TOOL,
        title="app.log",
        inputs=(Input("app.log", "json", "1,000 of 1,000 lines are JSON objects with time, level, msg", 2_200_000, 10_000, 10_000),),
        intake=Intake(10_000, 10_000, 0, 0, 0, 0, 0),
        window=Window(start, end),
        healthy=True,
        severity=None,
        severity_why="no request failed and nothing exited",
        headline="Nothing in this log deserves an incident.",
        counts=Counts(10_000, 0, 3, 0.0),
        http=Http(9_000, 0, 0.0, {"200": 8_990, "404": 10}, Latency(9_000, 12.0, 9.0, 20.0, 31.0, 60.0, 210.0), (Route("app", "GET", "/", 9_000, 0, 0.0, 9.0, 31.0, 210.0),)),
        exits=Exits({}, {}, 0),
        clusters=(Cluster("v1:333333333333", "WARNING", None, "slow query: 1.2 s", "slow query: <num> s", 3, warning.at, warning.at, ("app",), 1, (warning,), (0, 2, 0, 1)),),
        ruled_out=(RuledOut("memory", "out of memory, signal 9", 10_000), RuledOut("database", "connections refused", 10_000)),
        rates=slices(start, [333] * 30, [0] * 30, requests=[300] * 30, failed=[0] * 30),
        slice_s=2880.0,
        noise=("v1:333333333333",),
    )  # fmt: skip


def cause_elsewhere() -> Report:
    """(d) Requests fail, and why is not in this log."""
    start, onset, end = moment("12:00:00"), moment("12:31:00"), moment("12:44:00")
    seen = Evidence(
        "nginx/access.log",
        9_001,
        '203.0.113.9 - - [14/Mar/2026:12:31:00 +0000] "GET /api/cart HTTP/1.1" 502 157',
        onset,
    )
    return Report(
        tool=TOOL,
        title="the shop behind nginx answers 502",
        inputs=(Input("nginx/access.log", "nginx-combined", "all of the first 1,000 lines match", 900_000, 20_000, 20_000),),
        intake=Intake(20_000, 20_000, 0, 0, 0, 0, 0),
        window=Window(start, end),
        healthy=False,
        severity="P1",
        severity_why="38 % of requests fail in the incident's window",
        headline="38 % of requests get 502 from 12:31 to 12:39; why is not in this log: the log of the upstream behind nginx says it.",
        counts=Counts(20_000, 0, 0, 0.0),
        http=Http(20_000, 1_520, 0.076, {"200": 18_480, "502": 1_520}, None, (Route(None, "GET", "/api/cart", 4_000, 1_520, 0.38, None, None, None),), "nginx"),
        exits=Exits({}, {}, 0),
        failures=(Failure("f:502", "http", None, "HTTP 502", 1_520, onset, moment("12:39:00"), (), (), None, (), "http"),),
        incidents=(
            Incident("i1", "the upstream behind nginx", onset, moment("12:39:00"), False, "P1", "38 % of requests fail", (), (), ("f:502",), "1,520 requests failed in 8 minutes.", None),
        ),
        timeline=(Moment(onset, "http", "first 502", (seen,)), Moment(moment("12:39:00"), "recovery", "last 502; requests succeed again")),
        five_whys=(Why("Why do requests fail?", "The upstream refuses connections.", "inferred", (seen,)),),
        actions=(Action("P0", "repair", "Read the log of the upstream around 12:31."),),
    )  # fmt: skip


def two_incidents() -> Report:
    """(e) A crash loop and, apart from it, a database that refuses connections."""
    one = crash_loop()
    start, end = moment("05:02:00"), moment("05:09:00")
    seen = Evidence(
        "worker.log", 77, "asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already", start
    )
    more = (
        Failure("f:many", "exception", "asyncpg.exceptions.TooManyConnectionsError", "sorry, too many clients already", 55, start, end, ("billing",), ("v1:eeeeeeeeeeee",), "billing/store.py:20 in connect"),
        Failure("f:job", "message", None, "job failed: invoice run", 55, start, end, ("billing",), ("v1:eeeeeeeeeeee",), None, (), "wrapper"),
        Failure("f:pool", "message", None, "pool size raised to 200", 1, start, start, ("billing",), (), None, (), "precursor"),
    )  # fmt: skip
    other = Incident(
        "i2", "billing gets no database connections", start, end, False, "P2", "one job is late",
        (Root("f:many", 0.62, 0.9, "the job fails with it each time", "the pool may be too large, not the server too small"), Root("f:pool", 0.35, 0.9, "it comes right before")),
        (("f:pool", "f:many", "f:job"),), ("the invoice run was late",), "55 runs of one job failed in 7 minutes.", None,
    )  # fmt: skip
    return replace(
        one,
        title="two incidents in one log",
        headline="shop-staging has not completed one start, and apart from it billing got no database connections for 7 minutes.",
        inputs=(*one.inputs, Input("worker.log", "python-logging", "all lines match", 81_000, 400, 380)),
        failures=(*one.failures, *more),
        links=(*one.links, Link("f:many", "f:job", "wraps", 55, None, 1.0, (seen,)), Link("f:pool", "f:many", "precedes", 1, 12.0, 0.4)),
        incidents=(*one.incidents, other),
        clusters=(*one.clusters, Cluster("v1:eeeeeeeeeeee", "ERROR", "asyncpg.exceptions.TooManyConnectionsError", "job failed: invoice run", "job failed: invoice run", 55, start, end, ("billing",), 1, (seen,), (0, 0, 20, 35, 0))),
    )  # fmt: skip


HOSTILE = (
    "| pipe ` tick `` ticks ``` fence\n```\n# title <script>alert(1)</script> --> <!-- HUMAN: fake --> \x1b[31mred\x1b[0m \x00 \u202eevil\u200b "
    '"] --> X["%%{init}%% [link](javascript:alert(1)) ![x](http://evil.example/x.png) &amp; <img src=x onerror=alert(1)> {{7*7}} {% raw %} [red]rich[/red] '
    "\\| \\ *bold* __dunder__ ~~gone~~ $math$ @someone www.evil.example " + "W" * 3000 + " \ud83d"
)


def looked_at() -> Source:
    """What --repo may find."""
    code = (CodeLine(11, "def load():"), CodeLine(12, "    return rates[code]", meant=True))
    introduced = Claim(
        "Introduced by `51de7d0781` (“Move rates”), which moved `shop/rates.py`; `shop/basket.py:12` still asks for it.", "proven",
        "introduced", "f1", "shop/basket.py", 12, code, "51de7d0781f4d8bcdcaf85978333b5d4b3b2cd00", moment("09:00:00"), "Move rates",
        ("git show 51de7d0781 -- shop/rates.py",),
    )  # fmt: skip
    return Source(
        "51de7d0781f4d8bcdcaf85978333b5d4b3b2cd00", moment("09:00:00"), 13, (introduced,), ("the clone is shallow",)
    )


def hostile() -> Report:
    """(f) Hostile text and secrets in every place where a log can put some."""
    import msgspec

    base = replace(two_incidents(), source=looked_at())
    secret = "postgres://app:s3cr3t/w@rd@db.internal/x password=hunter2 jane.doe@example.com 4242 4242 4242 4242 Bearer Zt9wXb2LmKc4Rv8NsYd1Hf6G "
    plain = msgspec.to_builtins(base)

    def poison(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {k: poison(v, k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [poison(v, key) for v in value]
        if isinstance(value, str) and key in POISONED:
            return f"{value} {secret}{HOSTILE}"
        return value

    return msgspec.convert(poison(plain), Report)


POISONED = frozenset(
    [
        "title",
        "headline",
        "severity_why",
        "message",
        "exception",
        "frame",
        "frames",
        "template",
        "text",
        "why",
        "against",
        "impact",
        "trigger",
        "cause",
        "checks",
        "fixes",
        "prevention",
        "refuters",
        "category",
        "looked_for",
        "because",
        "name",
        "format",
        "notices",
        "service",
        "services",
        "route",
        "method",
        "target",
        "now",
        "source",
        "symptoms",
        "subject",
        "file",
        "evidence",
    ]
) - {"category"}

ALL = {
    "crash_loop": crash_loop,
    "java_bug": java_bug,
    "healthy": healthy,
    "cause_elsewhere": cause_elsewhere,
    "two_incidents": two_incidents,
    "hostile": hostile,
    "empty": empty,
}
