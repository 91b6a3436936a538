"""Logs that still run: the same truth as `analyze` at any moment, sources that grow, events, the screen and its end."""

from __future__ import annotations

import json
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import SAMPLES
from triage.diagnosis.diagnose import diagnose
from triage.engine import Options, analyze, catalog_of
from triage.intake.growing import GrowingFile
from triage.intake.sources import HEAD_BYTES, Block, Source
from triage.live.events import QUIET, Announcer
from triage.report import Incident, Report
from triage.watch import Growing

LOGS = (
    SAMPLES / "render-missing-init" / "logs.txt",
    SAMPLES / "railway-cache-import" / "logs.jsonl",
    SAMPLES / "railway-cache-import" / "logs.http.jsonl",
)
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


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(LOGS), st.floats(0.05, 1), st.integers(0, 1000))
def test_the_state_after_some_lines_is_what_analyze_says_of_them(log: Path, share: float, seed: int) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    lines = lines[: max(1, int(share * len(lines)))]
    chance = random.Random(seed)
    sizes = iter(lambda: chance.choice((1, 7, 120, 700)), 0)
    prefix = BytesIO(b"".join(lines))
    assert watch_lines("-", lines, sizes, looks=2) == comparable(analyze("-", stdin=prefix))


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
