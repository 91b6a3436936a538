"""A file that is read in parts, by however many processes, gives what it gives when it is read in one go."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from triage import shards, workers
from triage.engine import analyze, summarize
from triage.errors import TriageError
from triage.intake.sources import Part, cut_lines, open_sources
from triage.options import Options, reading_options
from triage.shards import Reader, put_together
from triage.summary import Summary, merge_all

STACK = (
    "Traceback (most recent call last):",
    '  File "/app/pay.py", line 7, in pay',
    '    raise ValueError("bad")',
    "ValueError: bad amount 3",
)
GO = ("panic: runtime error: index out of range [3] with length 3", "", "goroutine 1 [running]:", "main.pay(...)", "\t/app/pay.go:17 +0x1d")
JAVA = (
    "java.lang.IllegalStateException: no pool",
    "\tat com.shop.Pool.take(Pool.java:31)",
    "\tat com.shop.Api.pay(Api.java:9)",
    "Caused by: java.net.ConnectException: refused",
    "\tat java.net.Socket.connect(Socket.java:3)",
)


def entry(second: float, instance: str, **fields: object) -> str:
    stamp = f"2026-03-02T10:{int(second) // 60 % 60:02d}:{second % 60:09.6f}Z"
    labels = {"service_name": "api", "revision_name": "api-1"}
    resource = {"type": "cloud_run_revision", "labels": labels}
    return json.dumps({"timestamp": stamp, "resource": resource, "labels": {"instanceId": instance}, **fields})


def stamped(second: float, text: str) -> str:
    return f"2026-03-02 10:{int(second) // 60 % 60:02d}:{second % 60:06.3f}".replace(".", ",") + f" {text}"


def make_text(kinds: Sequence[tuple[str, int]]) -> list[str]:
    """Lines of plain text: each kind is some records of a class, its number says which and when."""
    lines: list[str] = []
    second = 0.0
    for kind, n in kinds:
        second += n % 7 * 0.3
        lines += {
            "info": [stamped(second, f"INFO app.order: order {n} stored")],
            "warning": [stamped(second, f"WARNING app.order: slow query took {n} ms")],
            "error": [stamped(second, "ERROR app.order: cannot pay"), *STACK],
            "chain": [stamped(second, "ERROR app.order: cannot pay"), *STACK, "", "During handling of the above exception, another exception occurred:", "", *STACK],
            "java": [stamped(second, "ERROR app.order: cannot take"), *JAVA],
            "undated": [f"INFO:     started process {n}"],
            "bare": [f"some text {n}", "  and more"],
            "stack": [*STACK],
            "go": [*GO],
            "blank": [""],
            "access": [f'10.0.0.{n % 9} - - [02/Mar/2026:10:{int(second) // 60:02d}:{int(second) % 60:02d} +0000] "GET /pay/{n} HTTP/1.1" {500 if n % 3 else 200} 17 "-" "curl/8"'],
            "early": [stamped(max(0, second - 9), "INFO app.order: late line")],
            "far": [f"2001-01-01 00:00:{n % 60:02d},000 ERROR app.order: before its time"],
            "later": [f"2029-0{n % 9 + 1}-01 00:00:00,000 INFO app.order: much later"],
            "cri": [f"2026-03-02T10:{int(second) // 60:02d}:{int(second) % 60:02d}.000000000Z stdout P half of ", f"2026-03-02T10:{int(second) // 60:02d}:{int(second) % 60:02d}.000000000Z stdout F an entry {n}"],
            "long": [stamped(second, "ERROR app.order: " + "x" * 70_000)],
            "broken": ["\udcff".join(("half", f"a line {n}"))],
        }[kind]  # fmt: skip
    return lines


def make_json(kinds: Sequence[tuple[str, int]]) -> list[str]:
    """Entries of several instances that write at the same time; tracebacks also as one entry a line."""
    lines: list[str] = []
    second = 0.0
    for kind, n in kinds:
        second += n % 7 * 0.3
        at = f"i{n % 3}"
        lines += {
            "info": [entry(second, at, severity="INFO", textPayload=f"order {n} stored")],
            "plain": [entry(second, at, textPayload=f"text {n}")],
            "error": [entry(second, at, severity="ERROR", textPayload="\n".join(["cannot pay", *STACK]))],
            "lines": [entry(second + i * 0.001, at, severity="ERROR", textPayload=line) for i, line in enumerate(STACK)],
            "quiet": [entry(second + i * 0.001, at, textPayload=line) for i, line in enumerate(JAVA)],
            "frame": [entry(second, at, textPayload=JAVA[n % len(JAVA)])],
            "request": [entry(second, at, severity="ERROR", httpRequest={"requestMethod": "GET", "requestUrl": f"/pay/{n}", "status": 503, "latency": "0.5s"})],
            "system": [entry(second, at, logName="projects/p/logs/run.googleapis.com%2Fvarlog%2Fsystem", severity="WARNING", textPayload="Container called exit(3).")],
            "numbered": [entry(second, at, severity=500, jsonPayload={"message": "cannot store", "n": n})],
            "text": [f"no entry at all {n}"],
            "cut": [entry(second, at, severity="INFO", textPayload="cut")[: 30 + n % 60]],
            "blank": [""],
            "new": [entry(second, f"x{n}", textPayload=STACK[n % 4])],
        }[kind]  # fmt: skip
    return lines


TEXT = ("info", "warning", "error", "chain", "java", "undated", "bare", "stack", "go", "blank", "access", "early", "far", "later", "cri", "broken")  # fmt: skip
JSON = ("info", "plain", "error", "lines", "quiet", "frame", "request", "system", "numbered", "text", "cut", "blank", "new")  # fmt: skip


def listed(kinds: Sequence[str]) -> st.SearchStrategy[list[tuple[str, int]]]:
    common = st.sampled_from(kinds[:3])
    return st.lists(st.tuples(st.one_of(common, st.sampled_from(kinds)), st.integers(0, 999)), min_size=5, max_size=60)


def read_in_parts(path: Path, size: int, options: Options | None = None) -> Summary:
    reader = Reader(options or Options())
    tasks = reader.plan(open_sources([str(path)]), size=size)
    return merge_all(put_together(tasks, (reader.run(task) for task in tasks), reader, lambda _: None))


def assert_same(a: Summary, b: Summary) -> None:
    assert a.widths == b.widths
    for name, rows in a.tables.items():
        assert_frame_equal(rows, b[name])


@pytest.fixture(scope="module", autouse=True)
def patience() -> None:
    """Parts that began with a wrong assumption never make the rest to be read in one go."""
    before, shards._PATIENCE = shards._PATIENCE, 10_000
    yield
    shards._PATIENCE = before


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    return path


mixed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip


@mixed
@given(listed(TEXT), st.sampled_from((150, 400, 1000)))
def test_text_gives_the_same_wherever_it_is_cut(tmp_path: Path, kinds: list[tuple[str, int]], size: int) -> None:
    path = write(tmp_path / "app.log", make_text(kinds))
    assert_same(read_in_parts(path, size), read_in_parts(path, 1 << 30))


@mixed
@given(listed(JSON), st.sampled_from((500, 1500, 4000)))
def test_entries_give_the_same_wherever_they_are_cut(tmp_path: Path, kinds: list[tuple[str, int]], size: int) -> None:
    path = write(tmp_path / "app.jsonl", make_json(kinds))
    assert_same(read_in_parts(path, size), read_in_parts(path, 1 << 30))
