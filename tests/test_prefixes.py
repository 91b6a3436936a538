"""Tracebacks behind whatever a platform or a logger puts in front of every line: each is one record of one group."""

from __future__ import annotations

from io import BytesIO

import pytest

from triage.engine import analyze

TRACES = {
    "ConnectionError": [
        "Traceback (most recent call last):",
        '  File "/app/pay/views.py", line 41, in charge',
        "    result = gateway.charge(order)",
        "             ^^^^^^^^^^^^^^^^^^^^^",
        '  File "/app/pay/gateway.py", line 17, in charge',
        '    raise ConnectionError("gateway refused: 10.0.0.9:443")',
        "ConnectionError: gateway refused: 10.0.0.9:443",
    ],
    "java.net.SocketTimeoutException": [
        "java.lang.IllegalStateException: pool exhausted",
        "\tat com.acme.Pool.take(Pool.java:88)",
        "\tat com.acme.Web.handle(Web.java:31)",
        "Caused by: java.net.SocketTimeoutException: connect timed out",
        "\tat java.base/java.net.Socket.connect(Socket.java:633)",
        "\t... 2 more",
    ],
    "TypeError": [
        "TypeError: Cannot read properties of undefined (reading 'id')",
        "    at charge (/app/src/pay.js:17:22)",
        "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
    ],
    "NoMethodError": [
        "NoMethodError: undefined method `charge' for nil:NilClass",
        "/app/lib/pay.rb:17:in `charge'",
        "/app/lib/web.rb:9:in `call'",
    ],
    "panic": [
        "thread 'worker-1' (19624) panicked at src/seats.rs:23:35:",
        "index out of bounds: the len is 14 but the index is 14",
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ],
    "System.InvalidOperationException": [
        "Unhandled exception. System.InvalidOperationException: no seat left",
        "   at Acme.Seats.Take(Int32 row) in /src/Seats.cs:line 23",
        "   at Acme.Program.Main(String[] args) in /src/Program.cs:line 9",
    ],
}
PREFIXES = {
    "none": "",
    "syslog": "Mar  2 10:0{k}:0{bad:d} web-1 app[812]: ",
    "syslog, ISO": "2026-03-02T10:0{k}:0{bad:d}.000000+00:00 web-1 app[812]: ",
    "RFC 5424": "<14>1 2026-03-02T10:0{k}:0{bad:d}.000000Z web-1 app 812 - - ",
    "Fly": "2026-03-02T10:0{k}:0{bad:d}.123Z app[148e2] fra [{level}] ",
    "Fly, all info": "2026-03-02T10:0{k}:0{bad:d}.123Z app[148e2] fra [info] ",
    "Heroku": "2026-03-02T10:0{k}:0{bad:d}.123456+00:00 app[web.1]: ",
    "compose": "web-1  | ",
    "compose -t": "web-1  | 2026-03-02T10:0{k}:0{bad:d}.123456789Z ",
    "kubectl --prefix": "[pod/web-7d9f/web] ",
    "CRI": "2026-03-02T10:0{k}:0{bad:d}.123456789Z stderr F ",
    "Sidekiq": "2026-03-02T10:0{k}:0{bad:d}.123Z pid=4 tid=1abc {level}: ",
    "a logger": "2026-03-02 10:0{k}:0{bad:d},123 {level} [app] ",
    "JBoss": "10:0{k}:0{bad:d},123 {level}  [stderr] (default task-1) ",
    "a time": "2026-03-02 10:0{k}:0{bad:d} ",
    "a time in brackets": "[2026-03-02T10:0{k}:0{bad:d}Z] ",
    "CloudWatch": "2026-03-02T10:0{k}:0{bad:d}.123Z web/app/0123456789abcdef ",
    "Azure": "2026-03-02T10:0{k}:0{bad:d}.1234567Z ",
}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("exception", TRACES)
def test_a_traceback_is_one_record_behind_every_prefix(prefix: str, exception: str) -> None:
    lines = []
    for k in range(6):
        good, bad = (PREFIXES[prefix].format(k=k, bad=bad, level="WARN" if bad else "INFO") for bad in (False, True))
        lines += [f"{good}request ok {k}", *(bad + line for line in TRACES[exception])]
    report = analyze("-", stdin=BytesIO("".join(f"{line}\n" for line in lines).encode()))
    assert report.counts.records == 12
    assert [(cluster.count, cluster.exception) for cluster in report.clusters] == [(6, exception)]


@pytest.mark.parametrize("prefix", ["a time", "a time in brackets", "Heroku", "syslog", "Azure"])
def test_an_indentation_that_all_lines_share_is_none(prefix: str) -> None:
    lines = []
    for k in range(6):
        good, bad = (f"{PREFIXES[prefix].format(k=k, bad=bad, level='')}   " for bad in (False, True))
        lines += [f"{good}request ok {k}", *(bad + line for line in TRACES["ConnectionError"])]
    report = analyze("-", stdin=BytesIO("".join(f"{line}\n" for line in lines).encode()))
    assert report.counts.records == 12
    assert [(cluster.count, cluster.exception) for cluster in report.clusters] == [(6, "ConnectionError")]


def test_the_name_of_a_failure_breaks_no_code_span_and_ends_with_its_reason() -> None:
    lines = []
    for k in range(6):
        lines += [
            f"2026-03-02 10:0{k}:01,000 ERROR [app] PrismaClientInitializationError:",
            "Invalid `prisma.room.findMany()` invocation:",
            "",
            "Authentication failed against database server",
            "    at async RoomsService.list (/srv/app/dist/rooms/rooms.service.js:24:16)",
        ]
    report = analyze("-", stdin=BytesIO("".join(f"{line}\n" for line in lines).encode()))
    assert report.headline.count("`") % 2 == 0
    assert "Invalid 'prisma.room.findMany()' invocation: Authentication failed" in report.headline
