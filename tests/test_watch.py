"""Logs that still run: the same truth as `analyze` at any moment, sources that grow, events, the screen and its end."""

from __future__ import annotations

import itertools
import json
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conftest import ROOT, SAMPLES
from triage.diagnosis.diagnose import diagnose
from triage.engine import analyze
from triage.intake.growing import GrowingFile
from triage.intake.joining import joined
from triage.intake.sources import HEAD_BYTES, Block, Source
from triage.live.child import SILENCE_S, Command
from triage.live.events import QUIET, Announcer
from triage.options import Options, catalog_of
from triage.report import Incident, Report
from triage.watch import Growing, Watch

LOGS = (
    SAMPLES / "render-missing-init" / "logs.txt",
    SAMPLES / "railway-cache-import" / "logs.jsonl",
    SAMPLES / "railway-cache-import" / "logs.http.jsonl",
)
STREAMS = sorted(p for p in (ROOT / "tests" / "streams").iterdir() if p.suffix != ".json")
RUN = [sys.executable, "-c", "from triage.cli import main; main()"]
CRASH = b"""2026-03-02T10:14:07Z INFO started
2026-03-02T10:14:08Z ERROR cannot load settings
Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
    import settings
ModuleNotFoundError: No module named 'settings'
"""


def watch_lines(name: str, lines: list[bytes], sizes: Iterator[int], *, looks: int = 0) -> dict[str, Any]:
    """The report of lines that came in parts of these sizes, with some looks at it on the way."""
    growing = Growing(Source(name, None, datetime.now(UTC), BytesIO), catalog_of(None), Options())
    at = 0
    while at < len(lines):
        part = lines[at : at + next(sizes)]
        growing.take([Block(b"".join(part), at + 1, len(part))])
        at += len(part)
        if looks:
            looks -= 1
            growing.summary()
    return comparable(diagnose(growing.summary()))


def comparable(report: Report) -> dict[str, Any]:
    """The report without what says in which order records were complete, which depends on when they came."""
    return replace(report, intake=replace(report.intake, out_of_order=0)).to_dict()


# ------------------------------------------------------------------------------------------------ the same truth


@settings(max_examples=6, deadline=None)
@given(st.sampled_from((*LOGS, *STREAMS)), st.floats(0.02, 1), st.integers(0, 1000), st.integers(0, 4))
def test_the_state_after_some_lines_is_what_analyze_says_of_them(
    log: Path, share: float, seed: int, looks: int
) -> None:
    """Wherever the log is cut, in a traceback or in an object too, however it comes, and however often it is looked at."""
    lines = log.read_bytes().splitlines(keepends=True)
    lines = lines[: max(1, int(share * len(lines)))]
    chance = random.Random(seed)
    sizes = iter(lambda: chance.choice((1, 7, 120, 700)), 0)
    prefix = BytesIO(b"".join(lines))
    assert watch_lines("-", lines, sizes, looks=looks) == comparable(analyze("-", stdin=prefix))


@pytest.mark.parametrize("log", LOGS[:2], ids=lambda p: p.name)
def test_a_long_stream_is_read_on_from_where_it_was(log: Path, tmp_path: Path) -> None:
    """Longer than the head, so that the parts behind it go through forks of the decoder and of the assembler."""
    lines = log.read_bytes().splitlines(keepends=True) * 3
    assert sum(map(len, lines)) > 2 * HEAD_BYTES
    whole = tmp_path / "app.log"
    whole.write_bytes(b"".join(lines))
    chance = random.Random(4)
    sizes = iter(lambda: chance.choice((3, 50, 411, 2000)), 0)
    assert watch_lines(str(whole), lines, sizes, looks=6) == comparable(analyze(whole))


def test_a_traceback_that_is_still_open_is_shown_and_then_whole() -> None:
    lines = CRASH.splitlines(keepends=True)
    growing = Growing(Source("-", None, datetime.now(UTC), BytesIO), catalog_of(None), Options())
    growing.take([Block(b"".join(lines[:4]), 1, 4)])
    assert diagnose(growing.summary()).counts.records == 2
    growing.take([Block(b"".join(lines[4:]), 5, 2)])
    report = diagnose(growing.summary())
    assert report.counts.records == 2
    assert "No module named 'settings'" in report.headline


# ------------------------------------------------------------------------------------------------ files that grow


def test_a_file_is_followed_through_its_birth_a_truncation_and_a_rotation(tmp_path: Path) -> None:
    path, ended = tmp_path / "app.log", threading.Event()
    file = GrowingFile(path, ended)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(file.read, b"")))
    reader.start()

    def wait_for(text: bytes) -> None:
        until = time.monotonic() + 10
        while not b"".join(got).endswith(text):
            assert time.monotonic() < until, got
            time.sleep(0.02)

    path.write_bytes(b"one\ntwo\nthree\n")
    wait_for(b"three\n")
    path.write_bytes(b"cut\n")
    wait_for(b"cut\n")
    with path.open("ab") as old:
        path.rename(tmp_path / "app.log.1")
        old.write(b"late and without an end")
        old.flush()
        wait_for(b"end")
        path.write_bytes(b"new\n")
        wait_for(b"\nnew\n")
    ended.set()
    reader.join()
    file.close()
    assert b"".join(got) == b"one\ntwo\nthree\ncut\nlate and without an end\nnew\n"
    assert [n.split(": ")[1].split(";")[0] for n in file.notices] == ["was truncated", "was rotated"]


# ------------------------------------------------------------------------------------------------ events


def standing(report: Report, incident: Incident, **changes: Any) -> Report:
    """The report with that incident alone, changed so."""
    return replace(report, incidents=(replace(incident, **changes),))


def test_an_incident_is_told_once_and_again_when_its_verdict_changes() -> None:
    report = analyze(LOGS[1])
    assert report.window is not None
    incident = report.incidents[0]
    report = standing(report, incident, ongoing=True, end=report.window.end)
    worse = standing(report, report.incidents[0], severity="P3")
    announcer = Announcer(60)
    assert announcer.take(report, 0) == []  # it may be half of a traceback
    assert announcer.waits
    assert [e.kind for e in announcer.take(report, 1)] == ["opened"]
    assert announcer.take(report, 100) == []
    assert [e.kind for e in announcer.take(worse, 101)] == ["changed"]
    assert announcer.take(report, 120) == []  # too soon
    assert [e.kind for e in announcer.take(report, 162)] == ["changed"]


def test_an_incident_with_something_logged_behind_it_is_told_at_once() -> None:
    report = analyze(LOGS[1])
    assert report.window is not None
    report = standing(report, report.incidents[0], ongoing=True, end=report.window.end - timedelta(milliseconds=1))
    assert [e.kind for e in Announcer(60).take(report, 0)] == ["opened"]


def test_a_recovery_needs_the_log_to_go_on_without_failures() -> None:
    report = analyze(LOGS[1])
    assert report.window is not None
    end = report.window.end
    failing = standing(report, report.incidents[0], ongoing=True, end=end - timedelta(seconds=1))
    lull = standing(report, report.incidents[0], ongoing=False, end=end - timedelta(seconds=5))
    over = standing(report, report.incidents[0], ongoing=False, end=end - QUIET)
    announcer = Announcer(10)
    assert [e.kind for e in announcer.take(failing, 0)] == ["opened"]
    assert announcer.take(lull, 20) == []
    [event] = announcer.take(over, 40)
    assert (event.kind, event.incident.ongoing) == ("recovered", False)
    assert announcer.take(over, 80) == []
    assert [e.kind for e in announcer.take(failing, 90)] == ["returned"]
    assert [e.kind for e in announcer.take(lull, 95, last=True)] == ["recovered"]


def test_incidents_that_share_a_failure_stay_two() -> None:
    report = analyze(LOGS[1])
    one = replace(report.incidents[0], id="one", ongoing=True)
    other = replace(one, id="two", roots=(replace(one.roots[0], failure="another"), *one.roots[1:]))
    announcer = Announcer(60)
    both = replace(report, incidents=(one, other))
    assert [e.incident.id for e in announcer.take(both, 0, last=True)] == ["one", "two"]
    assert announcer.take(both, 100) == []
    assert announcer.take(replace(report, incidents=(other, one)), 200) == []
    assert announcer.take(replace(report, incidents=(other,)), 300) == []  # the one is part of the other now


@pytest.mark.parametrize(("goes_on", "kinds"), [(True, ["opened", "recovered"]), (False, ["opened"])])
def test_an_incident_is_over_when_the_log_goes_on_without_it_and_not_when_all_is_silent(
    goes_on: bool, kinds: list[str]
) -> None:
    def line(second: int) -> bytes:
        failing = 60 <= second < 120
        text = "ERROR shop.main: cannot store order: KeyError" if failing else "INFO shop.main: stored order"
        return b"2026-03-02 10:%02d:%02d,000 %s %d\n" % (second // 60, second % 60, text.encode(), second)

    growing = Growing(Source("-", None, datetime.now(UTC), BytesIO), catalog_of(None), Options())
    announcer, told = Announcer(10), []
    for second in range(0, 180 if goes_on else 120, 10):
        growing.take([Block(b"".join(line(second + n) for n in range(10)), second + 1, 10)])
        told += announcer.take(diagnose(growing.summary()), float(second))
    for clock in range(180, 600, 60):  # nothing comes any more
        told += announcer.take(diagnose(growing.summary()), float(clock))
    assert [e.kind for e in told] == kinds
    assert told[-1].incident.ongoing is not goes_on


def test_what_turns_out_to_be_no_incident_is_withdrawn() -> None:
    report = analyze(LOGS[1])
    announcer = Announcer(60)
    assert len(announcer.take(standing(report, report.incidents[0], ongoing=True), 0, last=True)) == 1
    assert announcer.take(replace(report, incidents=()), 30) == []
    assert [e.kind for e in announcer.take(replace(report, incidents=()), 61)] == ["withdrawn"]
    assert announcer.take(replace(report, incidents=()), 200) == []


# ------------------------------------------------------------------------------------------------ the program


def start(*args: str, **given: Any) -> subprocess.Popen[bytes]:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | given
    return subprocess.Popen([*RUN, "watch", *args], **pipes)


def read_line(process: subprocess.Popen[bytes], seconds: float = 30) -> bytes:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    assert ready, "nothing came"
    return process.stdout.readline()


def finish(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    out, err = process.communicate(timeout=60)
    return out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_verdict_comes_while_the_log_runs_and_a_signal_gives_the_report(number: signal.Signals) -> None:
    process = start("-")
    assert process.stdin is not None
    process.stdin.write(CRASH)
    process.stdin.flush()
    first = read_line(process)
    assert b"opened" in first
    assert b"settings" in first
    process.send_signal(number)
    out, err = finish(process)
    assert process.returncode == 0, err
    assert b"No module named 'settings'" in out


def test_events_are_json_lines_and_run_a_command(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(CRASH)
    told, report = tmp_path / "told", tmp_path / "report.json"
    hook = f'cat >> "{told}"; echo "$TRIAGE_EVENT" >> "{told}"'
    process = start("--jsonl", "--on-incident", hook, "-o", str(report), str(tmp_path / "app.log"))
    event = json.loads(read_line(process))
    assert event["event"] == "opened"
    assert event["severity"] in ("P0", "P1", "P2", "P3")
    process.send_signal(signal.SIGINT)
    out, _ = finish(process)
    assert process.returncode == 0
    assert all(json.loads(line)["event"] for line in out.splitlines())
    assert json.loads(report.read_text())["counts"]["records"] == 2
    assert told.read_text().splitlines()[1] == "opened"


def test_the_exit_code_of_a_command_is_kept_and_told(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(CRASH)
    process = start("--quiet", "--", "sh", "-c", f'cat "{log}"; echo gone >&2; exit 7')
    out, err = finish(process)
    assert process.returncode == 7
    assert b"No module named 'settings'" in out
    assert b"sh ended with exit code 7" in err


def test_a_command_that_cannot_be_run_is_the_users_mistake() -> None:
    process = start("--", "no-such-command-anywhere")
    _, err = finish(process)
    assert process.returncode == 2
    assert b"cannot run no-such-command-anywhere" in err


# ------------------------------------------------------------------------------------------------ the end


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.15), (signal.SIGINT, 0.4), (signal.SIGTERM, 0.9), (signal.SIGINT, 1.6)],
    ids=str,
)
def test_a_signal_at_any_moment_gives_the_report(number: signal.Signals, after: float) -> None:
    """From the moment on when the program listens to signals, while it still imports, reads, looks or waits."""
    code = """
import signal, sys
from triage.cli import run
from triage.live import signals
def caught():
    print("ready", file=sys.stderr, flush=True)
before = signal.signal
def noted(number, handler):
    done = before(number, handler)
    if number == signal.SIGTERM and getattr(handler, "__module__", "") == "triage.live.signals":
        caught()
    return done
signal.signal = noted
raise SystemExit(run(["watch", "--format", "json", "-"]))
"""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(CRASH)
        process.stdin.flush()
        assert process.stderr.readline() == b"ready\n"
        time.sleep(after)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out[out.index(b"{\n") if b"opened" in out else 0 :])
    assert report["counts"]["records"] in (0, 2)


def test_a_second_signal_stops_the_watch_at_once() -> None:
    code = """
import os, signal, time
from triage.cli import run
from triage.watch import Watch
def stuck(self, **how):
    if how.get("ended"):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    return before(self, **how)
before, Watch.report = Watch.report, stuck
look = Watch.take
def take(self):
    look(self)
    os.kill(os.getpid(), signal.SIGINT)
Watch.take = take
raise SystemExit(run(["watch", "-"]))
"""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdin is not None
        process.stdin.write(CRASH)
        process.stdin.flush()
        process.communicate(timeout=40)
    assert process.returncode == 130


# ------------------------------------------------------------------------------------------------ what is read


def analysed(*args: str, text: bytes = b"") -> dict[str, Any]:
    """The JSON report that the watch of these arguments ends with, standard input being that text."""
    process = start("--jsonl", *args)
    _, err = process.communicate(text, timeout=60)
    assert process.returncode == 0, err
    [path] = [a for a in args if a.endswith(".json")]
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def test_since_until_and_service_leave_out_what_is_not_asked_for(tmp_path: Path) -> None:
    report = str(tmp_path / "report.json")
    lines = b"".join(b"2026-03-02T10:14:%02dZ INFO turn %d\n" % (n, n) for n in range(10))
    read = analysed("-", "-o", report, "--since", "2026-03-02T10:14:03Z", text=lines)
    assert read["counts"]["records"] == 7
    compose = b"".join(
        b"%s-1  | 2026-03-02 10:14:%02d,000 INFO x: turn\n" % (s, n) for n in range(5) for s in (b"api", b"db")
    )
    assert analysed("-", "-o", report, "--service", "api", text=compose)["counts"]["records"] == 5
    assert analysed("-", "-o", report, "--since", "30m", text=lines)["counts"]["records"] == 0  # long before now


def test_the_watch_ends_when_it_was_asked_to(tmp_path: Path) -> None:
    log, report = tmp_path / "app.log", tmp_path / "report.json"
    log.write_bytes(CRASH)
    process = start("--quiet", "--until", "1s", "-o", str(report), str(log))
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(report.read_text())["counts"]["records"] == 2


def test_the_report_at_the_end_looks_at_the_source(tmp_path: Path) -> None:
    source = tmp_path / "repo"
    source.mkdir()
    (source / "main.py").write_text("import os\n\nimport settings\n")
    report = tmp_path / "report.json"
    assert analysed("-", "-o", str(report), "--repo", str(source), text=CRASH)["source"] is not None


def test_a_command_is_started_again_when_it_ends_and_that_is_told(tmp_path: Path) -> None:
    count, report = tmp_path / "count", tmp_path / "report.json"
    script = f'echo x >> "{count}"; echo "2026-03-02T10:14:07Z INFO run"; printf "half"; [ $(wc -l < "{count}") -ge 3 ] && sleep 60; exit 3'
    process = start("--quiet", "--reconnect", "-o", str(report), "--", "sh", "-c", script)
    until = time.monotonic() + 60
    while not (count.exists() and count.read_text().count("x") >= 3):
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = finish(process)
    assert process.returncode == 0
    assert err.count(b"sh ended with exit code 3 after 0 s; it is started again") == 2
    intake = json.loads(report.read_text())["intake"]
    assert (intake["lines"], intake["blank"]) == (6, 0)


def test_reconnect_needs_a_command() -> None:
    process = start("--reconnect", "app.log")
    _, err = finish(process)
    assert process.returncode == 2
    assert b"--reconnect needs a command" in err


def test_a_silent_command_is_told_of_and_when_it_writes_again() -> None:
    command = Command(["sleep", "30"])
    try:
        now = time.monotonic()
        assert command.check(now, 0) == []
        [said] = command.check(now + SILENCE_S + 1, 0)
        assert "sleep has written nothing for 60 s" in said
        assert command.check(now + SILENCE_S + 30, 0) == []
        [said] = command.check(now + SILENCE_S + 31, 5)
        assert "sleep writes again, after 9" in said
    finally:
        command.stop()


def test_a_hook_that_fails_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(CRASH)
    process = start("--quiet", "--until", "2s", "--on-incident", "exit 9", str(tmp_path / "app.log"))
    _, err = finish(process)
    assert b"--on-incident ended with 9" in err


def test_small_blocks_become_large_ones_of_the_same_lines() -> None:
    blocks = [Block(b"a\n" * n, 1 + n * (n - 1) // 2, n, (f"n{n}",) if n % 3 == 0 else ()) for n in range(1, 30)]
    put = list(joined(blocks, 100))
    assert b"".join(b.data for b in put) == b"".join(b.data for b in blocks)
    assert sum(b.lines for b in put) == sum(b.lines for b in blocks)
    assert [n for b in put for n in b.notices] == [n for b in blocks for n in b.notices]
    assert len(put) < len(blocks)
    assert all(a.line + a.lines == b.line for a, b in itertools.pairwise(put))
    assert max(len(b.data) for b in put) <= 100


def test_the_newest_records_of_a_group_are_kept() -> None:
    lines = [b"2026-03-02T10:%02d:%02dZ ERROR cannot reach ledger-%d\n" % (n // 60, n % 60, n) for n in range(900)]
    watch = Watch([], Options(), newest=True)
    watch._growing["-"] = growing = Growing(
        Source("-", None, datetime.now(UTC), BytesIO), catalog_of(None), Options(), newest=True
    )
    for at in range(0, 900, 90):
        growing.take([Block(b"".join(lines[at : at + 90]), at + 1, 90)])
    [group] = watch.report().clusters
    newest = watch.newest(group.id)
    assert len(newest) >= 200
    assert [e.line for e in newest[:3]] == [900, 899, 898]
    assert "ledger-899" in newest[0].text


def test_a_signal_inside_of_what_polars_does_is_noted_like_any_other() -> None:
    code = """
import os, signal, threading, time
from triage.live.signals import catch_signals
with catch_signals() as asked:
    import polars as pl
    asked.again()
    rows = pl.DataFrame({"a": range(500_000)}).lazy().select(pl.col("a").sort().cum_sum().sort_by("a"))
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    end = time.monotonic() + 30
    while not asked.yes and time.monotonic() < end:
        rows.collect()
    print(asked.yes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
