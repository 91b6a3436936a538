"""`triage watch` from its start to its report: reads, diagnoses at intervals, shows, takes keys and signals."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from triage.errors import TriageError

if TYPE_CHECKING:
    from triage.engine import Options
    from triage.rendering.screen import Mark
    from triage.report import Report
    from triage.watch import Announcer, Event, Watch

PAUSE_S = 0.7  # from one diagnosis to the next, at least; and so long that at most half of the time goes into them
PULSE_S = 30.0
GRACE_S = 3.0  # that a command has to end once it was asked to


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for, and the terminal as the command line sees it."""

    screen: bool
    colour: bool
    redact: bool
    quiet: bool
    cooldown_s: float
    jsonl: bool = False
    on_incident: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], object] = str
    show: Callable[[str], object] = str
    write: Callable[[Report], object] = id


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: the report of all that was read, and the exit code of the command that was watched."""

    report: Report
    code: int


def run(inputs: Sequence[str], command: Sequence[str], options: Options, wishes: Wishes, *, pipe: int | None) -> Ended:
    """Watch until the sources end, the user quits or a signal comes. A second signal is a KeyboardInterrupt."""
    from triage.watch import Announcer, Watch

    child = _start(command) if command else None
    if child is not None and child.stdout is not None:
        watch = Watch(["-"], options, pipe=child.stdout.fileno(), called=" ".join(command))
    else:
        watch = Watch(inputs, options, pipe=pipe)
    session = _Session(watch, wishes, Announcer(wishes.cooldown_s), tuple([" ".join(command)] if command else inputs))
    try:
        with _signals(session):
            with _screen(wishes) as keys:
                watch.start()
                session.loop(keys)
            watch.drain(GRACE_S)
            stopped = _stop(child) if child is not None else None
            report = watch.report(ended=True)
            session.announce(report, last=True)
        if child is not None and stopped is not None:
            wishes.say(_tell_end(command, stopped, asked=session.asked))
        return Ended(report, 0 if session.asked or stopped is None else stopped if stopped >= 0 else 128 - stopped)
    finally:
        watch.end()
        if child is not None:
            _stop(child)


class _Session:
    """The loop and what it remembers."""

    def __init__(self, watch: Watch, wishes: Wishes, announcer: Announcer, names: tuple[str, ...]) -> None:
        self.asked = False  # the user or a signal ended it
        self._watch, self._wishes, self._announcer, self._names = watch, wishes, announcer, names
        self._report: Report | None = None
        self._shown: Report | None = None
        self._frozen = False
        self._mark: Mark | None = None
        self._said: list[str] = []
        self._running: list[subprocess.Popen[bytes]] = []
        self._fresh = self._pulsed = self._counted = time.monotonic()
        self._lines, self._rate = 0, 0.0

    def loop(self, keys: Callable[[float], str]) -> None:
        """Until the sources are over or somebody asks for the end."""
        watch, due, drawn = self._watch, 0.0, 0.0
        self._draw()
        while not self.asked and not watch.over:
            fresh = watch.wait(0.2)
            for key in keys(0.0 if fresh else 0.05):
                self._press(key)
                drawn = 0.0
            now = time.monotonic()
            if fresh and (now >= due or watch.full):
                watch.take()
                self._fresh = now
                if now >= due:
                    self._count(now)
                    self._report = watch.report()
                    if not self._frozen:
                        self._shown = self._report
                    self.announce(self._report)
                    cost = time.monotonic() - now
                    due, drawn = now + cost + max(PAUSE_S - cost, cost), 0.0
            elif self._report is not None and self.announce(self._report):
                drawn = 0.0
            if fresh and now < due:
                time.sleep(min(0.05, due - now))
            if time.monotonic() - drawn >= 5.0:
                self._draw()
                drawn = time.monotonic()

    def announce(self, report: Report, *, last: bool = False) -> bool:
        """Tell what happened to the incidents; whether something did."""
        events = self._announcer.take(report, float("inf") if last else time.monotonic())
        for event in events:
            self._tell(event)
        self._running = [p for p in self._running if p.poll() is None]
        for process in self._running if last else ():
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        return bool(events)

    def _tell(self, event: Event) -> None:
        from triage.rendering.redaction import redacted
        from triage.rendering.screen import announcement

        wishes = self._wishes
        incident = redacted(event.incident) if wishes.redact else event.incident
        headline = redacted(event.headline) if wishes.redact else event.headline
        text = announcement(event.kind, incident, headline)
        plain = {
            "event": event.kind,
            "at": event.at.isoformat().replace("+00:00", "Z") if event.at else None,
            "incident": incident.id,
            "severity": incident.severity,
            "title": incident.title,
            "headline": headline,
            "ongoing": incident.ongoing,
            "text": text,
        }
        line = json.dumps(plain)
        if wishes.jsonl:
            wishes.show(line)
        elif wishes.screen:
            self._said.append(text)
        else:
            wishes.show(text)
        if wishes.on_incident:
            self._call(
                wishes.on_incident,
                line,
                {"TRIAGE_EVENT": event.kind, "TRIAGE_SEVERITY": incident.severity, "TRIAGE_TEXT": text},
            )

    def _call(self, command: str, line: str, further: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env={**self._wishes.environment, **further},
        )  # fmt: skip
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(line.encode() + b"\n")
        self._running.append(process)

    def _press(self, key: str) -> None:
        match key:
            case "q" | "\x1b":
                self.asked = True
            case "f":
                self._frozen = not self._frozen
                self._shown = self._shown if self._frozen else self._report
            case "m":
                from triage.rendering.screen import Mark

                counts = self._report.counts if self._report is not None else None
                self._mark = Mark(datetime.now(UTC), counts.records if counts else 0, counts.errors if counts else 0)
            case "w" if self._report is not None:
                self._said.append(str(self._wishes.write(self._report)))

    def _count(self, now: float) -> None:
        lines = self._watch.arrived.lines
        if now - self._counted > 0.2:
            self._rate = (lines - self._lines) / (now - self._counted)
            self._counted, self._lines = now, lines

    def _draw(self) -> None:
        from triage.rendering.screen import Status, pulse, screen

        wishes, now = self._wishes, time.monotonic()
        quiet = now - self._fresh
        status = Status(
            self._names, self._watch.arrived.lines, self._rate if quiet < 5 else 0.0, quiet, self._frozen,
            self._mark, tuple(self._said),
        )  # fmt: skip
        if wishes.screen:
            import shutil

            width, height = shutil.get_terminal_size((80, 24))
            lines = screen(self._shown, status, width=width, height=height, colour=wishes.colour, redact=wishes.redact)
            sys.stdout.write("\x1b[H" + "\r\n".join(line + "\x1b[K" for line in lines) + "\x1b[J")
            sys.stdout.flush()
        elif not wishes.jsonl and not wishes.quiet and self._report is not None and now - self._pulsed >= PULSE_S:
            self._pulsed = now
            wishes.show(pulse(self._report, status, redact=wishes.redact))


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as problem:
        raise TriageError(f"cannot run {command[0]}: {problem.strerror}", hint="check the command behind --") from None


def _stop(child: subprocess.Popen[bytes]) -> int:
    """Ask it to end, make it end; its exit code."""
    if child.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(0.3)  # the same Ctrl-C, or the end of its output, may have ended it
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            return child.wait(GRACE_S)
        child.kill()
    return child.wait()


def _tell_end(command: Sequence[str], code: int, *, asked: bool) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"{command[0]} {how}" + (", because the watch was" if asked else "")


@contextmanager
def _signals(session: _Session) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks for the report, the second one stops."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(_number: int, _frame: object) -> None:
        if session.asked:
            raise KeyboardInterrupt
        session.asked = True

    try:
        for number in before:
            signal.signal(number, on_signal)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _screen(wishes: Wishes) -> Iterator[Callable[[float], str]]:
    """The other screen of the terminal and its keys one by one; whatever happens, the terminal is as before afterwards."""
    if not wishes.screen:
        yield lambda _seconds: ""
        return
    import termios
    import tty

    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        terminal = os.dup(sys.stdout.fileno())
    before = termios.tcgetattr(terminal)

    def keys(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 16).decode("ascii", "ignore") if ready else ""

    try:
        tty.setcbreak(terminal)
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        yield keys
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        os.close(terminal)
