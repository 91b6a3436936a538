"""The screen of a log that still runs: what it shows, and that it takes keys on a real terminal of any size."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from conftest import ROOT, SAMPLES
from triage.engine import analyze
from triage.live.keys import name_keys
from triage.rendering.screen import Mark, Status, View, listed, pulse, screen, turn
from triage.report import Evidence, Report

LOG = SAMPLES / "railway-cache-import" / "logs.jsonl"
RUN = [sys.executable, "-c", "from triage.cli import main; main()"]
LINES = b"""2026-03-02T10:14:06Z INFO started
2026-03-02T10:14:07Z ERROR cannot reach the ledger
2026-03-02T10:14:08Z ERROR cannot load settings
Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
    import settings
ModuleNotFoundError: No module named 'settings'
2026-03-02T10:14:09Z ERROR cannot reach the ledger
2026-03-02T10:14:10Z INFO ready
"""


@pytest.fixture(scope="module")
def report() -> Report:
    return analyze(LOG)


# ------------------------------------------------------------------------------------------------ what it shows


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (40, 10), (20, 4)])
@pytest.mark.parametrize("view", ["list", "near"])
def test_a_screen_fits_whatever_is_looked_at(report: Report, width: int, height: int, view: str) -> None:
    status = Status(("app.log",), 1053, 20.0, 0.0, said=("wrote report.md",))
    near = View(listed(report)[0].id, opened=view == "near")
    lines = screen(report, status, near, width=width, height=height, colour=False)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert not any("\x1b" in line for line in lines)
    assert lines[-1].startswith("esc back"[: width - 1] if near.opened else "q quit")
    assert lines[-2].startswith("wrote report.md")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_the_screen_has_verdict_rates_groups_and_chain(report: Report, width: int, height: int) -> None:
    lines = screen(report, Status(("app.log",), 1053, 20.0, 0.0), width=width, height=height, colour=False)
    assert lines[1].startswith(f" {report.severity} ")
    headings = [line for line in lines if line in ("Rates", "What failed", "How it unfolds", "Do")]
    assert headings[:3] == ["Rates", "What failed", "How it unfolds"]
    assert sum(line.startswith("  └─") or "  └─" in line for line in lines) >= 2


def test_colour_is_there_only_when_asked_for(report: Report) -> None:
    status = Status(("app.log",), 1, 0.0, 0.0)
    assert any("\x1b[" in line for line in screen(report, status, width=80, height=24, colour=True))


def test_before_the_first_line_the_screen_says_that_it_waits() -> None:
    lines = screen(None, Status(("app.log",), 0, 0.0, 7.0), width=80, height=24, colour=False)
    assert "silent for 7 s" in lines[0]
    assert "no line has come yet" in lines[2]


def test_a_line_tells_how_it_stands(report: Report) -> None:
    line = pulse(report, Status(("-",), 1053, 20.0, 0.0))
    assert line.startswith("P0 · 441 records")
    assert "\n" not in line


def test_a_group_from_near_has_its_figures_its_place_in_the_chain_and_its_newest_lines(report: Report) -> None:
    one = next(c for c in listed(report) if "exited" in c.message)
    newest = tuple(
        Evidence("app.log", n, f"Container exited with code 1, time {n}", datetime(2026, 3, 2, 10, n, tzinfo=UTC))
        for n in (9, 8, 7)
    )
    mark = Mark(datetime(2026, 3, 2, 9, tzinfo=UTC), 100, 10, {one.id: one.count - 2})
    status = Status(("app.log",), 1, 0.0, 0.0, mark=mark)
    text = "\n".join(screen(report, status, View(one.id, True, 0, newest), width=100, height=40, colour=False))
    assert f"{one.count} records, 2 since the mark" in " ".join(text.split())
    assert re.search(r"trend +\d\d:\d\d:\d\d .*[▁▂▃▄▅▆▇█]", text)
    assert "came of" in text
    assert text.index("time 9") < text.index("time 8") < text.index("time 7")


def test_lines_of_a_group_are_scrolled_below_what_is_known_of_it(report: Report) -> None:
    one = listed(report)[0]
    newest = tuple(Evidence("app.log", n, f"text {n}") for n in range(200, 0, -1))

    def shown(scroll: int) -> list[str]:
        view = View(one.id, True, scroll, newest)
        return screen(report, Status(("x",), 1, 0.0, 0.0), view, width=80, height=24, colour=False)

    first, later, end = shown(0), shown(9), shown(10_000)
    assert any("text 200" in line for line in first)
    assert later[1:4] == first[1:4]
    assert not any("text 200" in line for line in later)
    assert any("text 1" in line.split() or line.strip() == "text 1" for line in end)


def test_lines_that_are_shown_from_near_are_redacted_and_harmless(report: Report) -> None:
    one = listed(report)[0]
    newest = (Evidence("app.log", 1, "login with password=hunter2-Zq81xWv\x1b[2J gone"),)
    view = View(one.id, True, 0, newest)
    text = "\n".join(screen(report, Status(("x",), 1, 0.0, 0.0), view, width=100, height=40, colour=False))
    assert "hunter2" not in text
    assert "\x1b" not in text


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("q", ["q"]),
        ("\x1b", ["esc"]),
        ("\x1b[A\x1b[B", ["up", "down"]),
        ("\x1bOA\x1b[1;5B", ["up", "down"]),
        ("\x1b[5~\x1b[6~\r", ["page up", "page down", "enter"]),
        ("\x1b[200~3\x1b[201~", ["3"]),
    ],
)
def test_keys_have_names(typed: str, keys: list[str]) -> None:
    assert name_keys(typed) == keys


def test_keys_choose_open_and_leave_groups(report: Report) -> None:
    ids = [c.id for c in listed(report)]

    def after(*keys: str) -> View:
        view = View()
        for key in keys:
            view = turn(view, key, report)
        return view

    assert after("down", "down", "up") == View(ids[0])
    assert after("up") == View(ids[0])
    assert after("enter") == View(ids[0], opened=True)
    assert after("2") == View(ids[1], opened=True)
    assert after("2", "down", "down", "up") == View(ids[1], opened=True, scroll=1)
    assert after("2", "right", "left", "left", "left") == View(ids[-1], opened=True)
    assert after("2", "esc") == View(ids[1])
    assert after("2", "esc", "esc") == View()
    assert after("x", "9") in (View(), View(ids[8], opened=True) if len(ids) > 8 else View())


def test_keys_do_nothing_where_there_is_no_group(report: Report) -> None:
    fine = replace(report, clusters=(), incidents=())
    for key in ("down", "enter", "1", "esc"):
        assert turn(View(), key, fine) == View()


# ------------------------------------------------------------------------------------------------ a real terminal


@dataclass
class Terminal:
    """The program on a terminal of its own, seen from the other end."""

    pid: int
    ours: int
    rows: int = 24
    columns: int = 80

    def resize(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def read_until(self, text: bytes, seconds: float = 60) -> bytes:
        got, until = b"", time.monotonic() + seconds
        while text not in got:
            assert time.monotonic() < until, got[-3000:]
            if select.select([self.ours], [], [], 0.1)[0]:
                got += os.read(self.ours, 65536)
        return got

    def end(self) -> int:
        """The exit code; what is still written is thrown away."""
        while True:
            try:
                if not os.read(self.ours, 65536):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(LINES)
    return path


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    started: list[Terminal] = []
    yield started
    for one in started:
        os.close(one.ours)


def start(started: list[Terminal], *args: str | Path, rows: int = 24, columns: int = 80, **env: str) -> Terminal:
    pid, ours = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        os.execvpe(RUN[0], [*RUN, "watch", *map(str, args)], {**kept, "TERM": "xterm-256color", **env})
    one = Terminal(pid, ours)
    one.resize(rows, columns)
    started.append(one)
    return one


forks = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


@forks
@pytest.mark.parametrize("end", [b"q", b"\x03", signal.SIGTERM], ids=["q", "ctrl-c", "SIGTERM"])
def test_the_screen_takes_keys_and_leaves_the_terminal_as_it_was(
    terminals: list[Terminal], log: Path, tmp_path: Path, end: bytes | signal.Signals
) -> None:
    written = tmp_path / "now.md"
    one = start(terminals, "-o", written, log, NO_COLOR="1")
    before = termios.tcgetattr(one.ours)
    shown = one.read_until(b"opened")
    assert b"\x1b[?1049h" in shown
    assert not re.search(rb"\x1b\[[\d;]*m", shown)
    one.press(b"m")
    one.read_until(b"since the mark")
    one.press(b"f")
    one.read_until(b"frozen")
    one.press(b"w")
    one.read_until(b"wrote")
    assert written.is_file()
    if isinstance(end, bytes):
        one.press(end)
    else:
        os.kill(one.pid, end)
    rest = one.read_until(b"writes the full report")
    assert b"\x1b[?1049l" in rest
    assert termios.tcgetattr(one.ours)[3] == before[3]
    assert one.end() == 0


@forks
def test_a_group_is_chosen_opened_scrolled_and_left(terminals: list[Terminal], log: Path) -> None:
    one = start(terminals, log)
    one.read_until(b"What failed")
    one.press(b"\x1b[B")
    one.read_until("▶".encode())
    one.press(b"\r")
    near = one.read_until(b"esc back")
    assert b"Newest first" in near
    assert b"cannot reach the ledger" in near or b"cannot load settings" in near
    with log.open("ab") as more:
        more.write(b"2026-03-02T10:14:20Z ERROR cannot reach the ledger\n")
    one.press(b"1")
    one.read_until(b"2026-03-02 10:14:20")
    one.press(b"\x1b[C")
    one.read_until(b'File "/app/main.py", line 3')
    one.press(b"\x1b")
    one.read_until(b"q quit")
    one.press(b"q")
    one.read_until(b"writes the full report")
    assert one.end() == 0


@forks
def test_a_screen_follows_the_size_of_its_terminal(terminals: list[Terminal], log: Path) -> None:
    one = start(terminals, log, rows=40, columns=120)
    one.read_until(b"opened")
    for rows, columns in ((12, 50), (50, 160), (4, 20)):
        one.resize(rows, columns)
        until = time.monotonic() + 60
        while True:  # what was drawn for the old size may still be on its way
            drawn = one.read_until(b"\x1b[J").split(b"\x1b[H")[-1]
            lines = re.sub(rb"\x1b\[[\d;?]*[A-Za-z]", b"", drawn).decode(errors="ignore").split("\r\n")
            if len(lines) == rows and max(map(len, lines)) <= columns:
                break
            assert time.monotonic() < until, lines
    one.press(b"q")
    one.read_until(b"\x1b[?1049l")
    assert one.end() == 0
