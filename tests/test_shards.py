"""A file that is read in parts, by however many processes, gives what it gives when it is read in one go."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from polars.testing import assert_frame_equal

from triage import options, shards, workers
from triage.engine import analyze, summarize
from triage.errors import TriageError
from triage.intake import entries
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
GO = (
    "panic: runtime error: index out of range [3] with length 3",
    "",
    "goroutine 1 [running]:",
    "main.pay(...)",
    "\t/app/pay.go:17 +0x1d",
)
JAVA = (
    "java.lang.IllegalStateException: no pool",
    "\tat com.shop.Pool.take(Pool.java:31)",
    "\tat com.shop.Api.pay(Api.java:9)",
    "Caused by: java.net.ConnectException: refused",
    "\tat java.net.Socket.connect(Socket.java:3)",
)


PANIC = (
    "thread 'worker' (71) panicked at src/pay.rs:23:35:",
    "no stock left",
    "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
)
NODE = (
    "/srv/pay.js:17",
    "    throw new TypeError('no stock');",
    "    ^",
    "",
    "TypeError: no stock",
    "    at charge (/srv/pay.js:17:22)",
    "",
    "Node.js v20.11.0",
)


def entry(second: float, instance: str, **fields: object) -> str:
    stamp = f"2026-03-02T10:{int(second) // 60 % 60:02d}:{second % 60:09.6f}Z"
    labels = {"service_name": "api", "revision_name": "api-1"}
    resource = {"type": "cloud_run_revision", "labels": labels}
    return json.dumps({"timestamp": stamp, "resource": resource, "labels": {"instanceId": instance}, **fields})


def stamped(second: float, text: str) -> str:
    return f"2026-03-02 10:{int(second) // 60 % 60:02d}:{second % 60:06.3f}".replace(".", ",") + f" {text}"


def journalled(second: float, writer: str, lines: Sequence[str]) -> list[str]:
    """A message of several lines as journalctl prints it: all but the first set in by the width of the header."""
    header = f"Mar 02 10:{int(second) // 60 % 60:02d}:{int(second) % 60:02d} node2 {writer}: "
    return [header + lines[0], *(" " * len(header) + line for line in lines[1:])]


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
            "linewise": [stamped(second, f"ERROR app.order: {text}") for text in (*STACK, *JAVA)],
            "panic": [stamped(second, text) for text in PANIC],
            "node": [stamped(second, text) for text in NODE],
            "torn": [stamped(second, f"{'INFO' if n % 2 else 'ERROR'} app.order: {(STACK + JAVA + GO)[n % 14]}")],
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
            "journal": journalled(second, f"app{n % 2}[{n % 3}]", ["cannot pay", *STACK] if n % 2 else ["state", f"  a={n}", "", "  b"]),
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
            "structured": [entry(second + i * 0.001, at, severity="WARNING", jsonPayload={"message": line, "logger": "stderr"}) for i, line in enumerate(STACK + JAVA)],
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


TEXT = ("info", "warning", "error", "chain", "java", "linewise", "panic", "node", "torn", "undated", "bare", "stack", "go", "blank", "access", "early", "far", "later", "cri", "journal", "broken")  # fmt: skip
JSON = ("info", "plain", "error", "lines", "quiet", "structured", "frame", "request", "system", "numbered", "text", "cut", "blank", "new")  # fmt: skip


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
def patience() -> Iterator[None]:
    """Parts that began with a wrong assumption never make the rest to be read in one go."""
    before, shards._PATIENCE = shards._PATIENCE, 10_000
    yield
    shards._PATIENCE = before


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    return path


mixed = settings(
    deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip


@mixed
@given(listed(TEXT), st.sampled_from((150, 400, 1000)))
def test_text_gives_the_same_wherever_it_is_cut(tmp_path: Path, kinds: list[tuple[str, int]], size: int) -> None:
    path = write(tmp_path / "app.log", make_text(kinds))
    assert_same(read_in_parts(path, size), read_in_parts(path, 1 << 30))


def test_entries_that_a_border_splits_are_read_again(tmp_path: Path) -> None:
    """What waits for its other half at the end of a part is counted once, also where several such borders follow."""
    path = write(tmp_path / "app.log", make_text([("java" if n % 9 == 4 else "cri", n) for n in range(36)]))
    whole = read_in_parts(path, 1 << 30)
    for size in (150, 213):
        assert_same(read_in_parts(path, size), whole)


def test_a_message_with_its_header_on_each_line_is_one_record_across_a_border(tmp_path: Path) -> None:
    lines = []
    for n in range(16):
        stamp = f"2026-03-02 10:00:{n:02d}.307885+00:00"
        lines += [
            f"{stamp} [info] <0.{n}.0> accepting AMQP connection",
            f"{stamp} [error] <0.{n}.0> Channel error on connection:",
        ]
        lines += [f"{stamp} [error] <0.{n}.0> operation queue.declare failed", f"{stamp} [error] <0.{n}.0> at once"]
    path = write(tmp_path / "rabbit.log", lines)
    whole = read_in_parts(path, 1 << 30)
    assert whole["sources"]["records"].sum() == 32
    for size in (170, 333):
        assert_same(read_in_parts(path, size), whole)


def test_lines_that_a_journal_sets_in_go_on_the_message_of_their_writer_wherever_it_is_cut(tmp_path: Path) -> None:
    lines: list[str] = []
    for n in range(12):
        lines += journalled(
            n, f"app{n % 2}[{n % 2}]", ["cannot pay", *STACK] if n % 3 else ["stored", "  a", "", "  b"]
        )
    path = write(tmp_path / "journal.log", lines)
    whole = read_in_parts(path, 1 << 30)
    assert whole["sources"]["records"].sum() == 12
    assert set(whole["clusters"]["service"]) == {"app0", "app1"}
    for size in (90, 333):
        assert_same(read_in_parts(path, size), whole)
    with pytest.MonkeyPatch.context() as patched:
        small = replace(reading_options(Options()), block_bytes=60, batch_bytes=120, text_bytes=60)
        patched.setattr(shards, "reading_options", lambda _: small)
        assert_same(read_in_parts(path, 1 << 30), whole)


@mixed
@given(listed(JSON), st.sampled_from((500, 1500, 4000)))
def test_entries_give_the_same_wherever_they_are_cut(tmp_path: Path, kinds: list[tuple[str, int]], size: int) -> None:
    path = write(tmp_path / "app.jsonl", make_json(kinds))
    assert_same(read_in_parts(path, size), read_in_parts(path, 1 << 30))


@mixed
@given(listed(JSON), listed(TEXT), st.sampled_from((1, 3000, 1 << 20)))
def test_the_size_of_the_blocks_changes_nothing(
    tmp_path: Path, entries: list[tuple[str, int]], texts: list[tuple[str, int]], size: int
) -> None:
    paths = [write(tmp_path / "a.jsonl", make_json(entries)), write(tmp_path / "b.log", make_text(texts))]
    whole = [read_in_parts(path, 1 << 30) for path in paths]
    with pytest.MonkeyPatch.context() as patched:
        small = replace(reading_options(Options()), block_bytes=size, batch_bytes=2 * size, text_bytes=size)
        patched.setattr(shards, "reading_options", lambda _: small)
        for path, one in zip(paths, whole, strict=True):
            assert_same(read_in_parts(path, 1 << 30), one)


def make_large(path: Path, records: int) -> Path:
    """A log of two services, with tracebacks, that is large enough for several parts."""
    kinds = [
        ("error" if n % 40 == 0 else "chain" if n % 97 == 0 else "access" if n % 7 == 0 else "info", n)
        for n in range(records)
    ]
    return write(path, make_text(kinds))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SMALLEST", 64 << 10)
    monkeypatch.setattr(shards, "_TOGETHER", 64 << 10)
    monkeypatch.setattr(entries, "WORTHWHILE", 0)  # in this process only: the others read every entry as a row


@pytest.mark.usefixtures("small_parts")
def test_one_two_and_seven_processes_give_the_same_report_byte_for_byte(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    make_large(folder / "app.log", 6_000)
    write(folder / "web.jsonl", make_json([("info" if n % 9 else "lines", n) for n in range(1_500)]))
    for n in range(5):
        write(folder / f"small-{n}.log", make_text([("error", n), ("info", n)]))
    reports = [
        json.dumps(analyze([str(folder)], Options(jobs=jobs)).to_dict(), sort_keys=True, default=str)
        for jobs in (1, 2, 7)
    ]
    assert reports[0] == reports[1] == reports[2]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shards, "SMALLEST", 1 << 30)
        whole = json.dumps(analyze([str(folder)]).to_dict(), sort_keys=True, default=str)
    assert reports[0] == whole


@pytest.mark.usefixtures("small_parts")
def test_a_worker_that_is_killed_ends_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_large(tmp_path / "app.log", 3_000)
    monkeypatch.setattr(workers, "_PROGRAM", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(TriageError, match="ended by signal 9"):
        summarize([str(path)], Options(jobs=2))


@pytest.mark.usefixtures("small_parts")
def test_what_goes_wrong_in_a_worker_is_raised_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_large(tmp_path / "app.log", 3_000)
    failing = workers._PROGRAM.replace(
        "from triage.workers import serve; ",
        "from triage import workers; from triage.errors import TriageError; from triage.workers import serve\n"
        "def fail(*_): raise TriageError('no such luck', hint='try again')\n"
        "workers.Reader.run = fail\n",
    )
    monkeypatch.setattr(workers, "_PROGRAM", failing)
    with pytest.raises(TriageError, match="no such luck"):
        summarize([str(path)], Options(jobs=2))


def test_ctrl_c_ends_all_processes_at_once(tmp_path: Path) -> None:
    path = make_large(tmp_path / "app.log", 3_000)
    code = """
import os, signal, sys, threading, time
from triage import options, shards, workers
from triage.cli import run
shards.SMALLEST = 64 << 10
workers._PROGRAM = "import time; print(flush=True); time.sleep(60)"
shards.Reader.run = lambda *_: time.sleep(60)
def stop():
    time.sleep(1.5)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=stop).start()
raise SystemExit(run(["analyze", sys.argv[1], "--jobs", "3"]))
"""
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert process.wait(30) == 128 + signal.SIGINT
    assert time.monotonic() - began < 30


def test_few_bytes_are_read_in_one_process(tmp_path: Path) -> None:
    path = make_large(tmp_path / "app.log", 100)
    reader = Reader(Options())
    tasks = reader.plan(open_sources([str(path)]))
    assert workers.choose_jobs(tasks, Options()) == 1
    assert workers.choose_jobs(tasks * 9, Options(jobs=7)) == 7


def test_a_file_is_cut_at_the_ends_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"one\n" + b"x" * 300 + b"\n\nfour\nfive")
    (source,) = open_sources([str(path)])
    for size in range(1, 320):
        parts = cut_lines(source, size)
        read = [b"".join(source.open(part).chunks()) for part in parts]
        assert b"".join(read) == path.read_bytes()
        assert all(data.endswith(b"\n") for data in read[:-1])
        assert parts[-1] == Part(parts[-1].start, None)


@pytest.mark.parametrize(("text", "size"), [("512MB", 512 << 20), ("2g", 2 << 30), ("1.5 GiB", 3 << 29), ("200000000", 200_000_000)])  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    assert options.size(text) == size


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"memory": 1}])
def test_what_the_machine_cannot_give_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(TriageError):
        Options(**wrong)  # type: ignore[arg-type] # both are numbers
