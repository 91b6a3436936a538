"""The loop of `triage watch`: reads, diagnoses at intervals, shows, tells, takes keys, until it ends with the report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from triage.engine import Options
from triage.intake.sources import STDIN
from triage.live.child import GRACE_S, Command
from triage.live.events import Announcer, Event
from triage.live.keys import Keys, take_over, terminal_size
from triage.live.notify import Notifier, Receiver
from triage.live.signals import Asked
from triage.rendering import events, screen
from triage.report import Report
from triage.watch import Watch

PAUSE_S = 0.3  # from one diagnosis to the next, at least
BUSY_SHARE = 8  # and as long as it takes, or so many times that where the buffer fills up: reading comes first then
WAIT_S = 0.1  # so soon is a key answered
DRAW_S = 5.0  # the screen says how long it has been silent
PULSE_S = 30.0


class Wishes(Struct, frozen=True):
    """What the user asked for, and the terminal as the command line sees it."""

    screen: bool
    colour: bool
    redact: bool
    quiet: bool
    cooldown_s: float
    jsonl: bool = False
    on_incident: str | None = None
    receivers: tuple[Receiver, ...] = ()
    reconnect: bool = False
    until: datetime | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], object] = str
    show: Callable[[str], object] = str
    write: Callable[[Report], object] = id


class Ended(Struct, frozen=True):
    """How it ended: the report of all that was read, and the exit code of the command that was watched."""

    report: Report
    code: int


def run(
    inputs: Sequence[str], command: Sequence[str], options: Options, wishes: Wishes, asked: Asked, *, pipe: int | None
) -> Ended:
    """Watch until the sources end, the user quits or a signal comes."""
    child = Command(command, reconnect=wishes.reconnect) if command else None
    name = " ".join(command)
    with ExitStack() as closing:
        if child is not None:
            closing.callback(child.stop)
            watch = Watch(["-"], options, pipe=child.descriptor, called=name, newest=wishes.screen)
        else:
            watch = Watch(inputs, options, pipe=pipe, newest=wishes.screen)
        closing.callback(watch.end)
        names = (name,) if command else tuple("standard input" if i == STDIN else i for i in inputs)
        session = _Session(watch, wishes, options, asked, names, child)
        with take_over(wishes.screen) as keys:
            watch.start()
            session.loop(keys)
        watch.drain(GRACE_S)
        code = child.stop() if child is not None else 0
        report = watch.report(ended=True, repo=options.repo)
        session.finish(report)
    if child is not None:
        wishes.say(child.tell_end(asked=asked.yes))
    return Ended(report, 0 if asked.yes else code if code >= 0 else 128 - code)


class _Session:
    """The loop and what it remembers."""

    def __init__(
        self,
        watch: Watch,
        wishes: Wishes,
        options: Options,
        asked: Asked,
        names: tuple[str, ...],
        child: Command | None,
    ) -> None:
        self._watch, self._wishes, self._options = watch, wishes, options
        self._asked, self._names, self._child = asked, names, child
        self._announcer = Announcer(wishes.cooldown_s)
        self._notifier = Notifier(wishes.receivers)
        self._report: Report | None = None
        self._shown: Report | None = None
        self._view = screen.View()
        self._frozen = False
        self._mark: screen.Mark | None = None
        self._said: list[str] = []
        self._kept: list[str] = []  # what only the screen said and is to stay
        self._hooks: list[subprocess.Popen[bytes]] = []
        self._fresh = self._pulsed = self._counted = time.monotonic()
        self._lines, self._rate = 0, 0.0
        self._size = (0, 0)

    def loop(self, keys: Keys) -> None:
        """Until the sources are over or somebody asks for the end."""
        watch, due, late, drawn = self._watch, 0.0, 0.0, 0.0
        stale = False  # something was taken since the last look
        while not (self._asked.yes or watch.over):
            if time.monotonic() - drawn >= DRAW_S or self._was_resized():
                self._draw()
                drawn = time.monotonic()
            fresh = watch.wait(WAIT_S)
            for key in keys():
                self._press(key)
                drawn = 0.0
            now = time.monotonic()
            if self._listen(now):
                drawn = 0.0
            behind = watch.full
            if fresh and (now >= due or behind):
                watch.take()
                self._fresh, stale = now, True
            if stale and now >= (late if behind else due):
                self._look(now)
                done = time.monotonic()
                due, late = done + max(PAUSE_S - (done - now), done - now), done + BUSY_SHARE * (done - now)
                drawn, stale = 0.0, False
            elif self._report is not None and self._announcer.waits and self._announce(self._report):
                drawn = 0.0
            if fresh and now < due:
                time.sleep(min(0.05, due - now))
            if self._wishes.until is not None and datetime.now(UTC) >= self._wishes.until:
                watch.end()

    def finish(self, report: Report) -> None:
        """Tell what is still to be told, and wait for those who are told, but not for ever."""
        self._announce(report, last=True)
        self._notifier.finish(GRACE_S + 2)
        for hook in self._hooks:
            with suppress(subprocess.TimeoutExpired):
                hook.wait(GRACE_S)
        for sentence in (*self._kept, *self._notifier.problems(), *self._check_hooks()):
            self._wishes.say(sentence)

    def _look(self, now: float) -> None:
        self._count(now)
        self._report = self._watch.report()
        if not self._frozen:
            self._shown = self._report
        self._announce(self._report)

    def _listen(self, now: float) -> bool:
        """Take what the command and the receivers have to say; whether there is something."""
        said = [*self._notifier.problems(), *self._check_hooks()]
        if self._child is not None:
            said += [s for s in self._child.check(now, self._watch.arrived.lines) if s]
        for sentence in said:
            if self._wishes.screen:
                self._said.append(sentence)
                self._kept.append(sentence)
            else:
                self._wishes.say(sentence)
        return bool(said)

    def _announce(self, report: Report, *, last: bool = False) -> bool:
        """Tell what happened to the incidents; whether something did."""
        found = self._announcer.take(report, time.monotonic(), last=last)
        for event in found:
            self._tell(event)
        return bool(found)

    def _check_hooks(self) -> list[str]:
        ended = [p for p in self._hooks if p.poll() is not None]
        self._hooks = [p for p in self._hooks if p.poll() is None]
        return [f"triage: --on-incident ended with {p.returncode}" for p in ended if p.returncode]

    def _tell(self, event: Event) -> None:
        wishes = self._wishes
        told = events.message(event.kind, event.at, event.incident, event.report, redact=wishes.redact)
        self._notifier.send(told)
        line = json.dumps(events.as_event(told))
        if wishes.jsonl:
            wishes.show(line)
        elif wishes.screen:
            self._said.append(told.text)
        else:
            wishes.show(told.text)
        if wishes.on_incident:
            further = {
                "TRIAGE_EVENT": told.kind,
                "TRIAGE_SEVERITY": told.incident.severity,
                "TRIAGE_TEXT": told.text,
                "TRIAGE_MARKDOWN": events.as_markdown(told),
            }
            self._call(wishes.on_incident, line, {k: v.replace("\0", "") for k, v in further.items()})

    def _call(self, command: str, line: str, further: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env={**self._wishes.environment, **further},
        )  # fmt: skip
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(line.encode() + b"\n")
        self._hooks.append(process)

    def _press(self, key: str) -> None:
        match key:
            case "q":
                self._asked.yes = True
            case "f":
                self._frozen = not self._frozen
                self._shown = self._shown if self._frozen else self._report
            case "m":
                self._mark = screen.Mark.of(self._report, datetime.now(UTC))
            case "w" if self._report is not None:
                report = self._watch.report(repo=self._options.repo) if self._options.repo else self._report
                self._said.append(str(self._wishes.write(report)))
            case _ if self._shown is not None:
                self._view = screen.turn(self._view, key, self._shown)

    def _count(self, now: float) -> None:
        lines = self._watch.arrived.lines
        if now - self._counted > 0.2:
            self._rate = (lines - self._lines) / (now - self._counted)
            self._counted, self._lines = now, lines

    def _was_resized(self) -> bool:
        if not self._wishes.screen:
            return False
        before, self._size = self._size, terminal_size()
        return before != self._size

    def _draw(self) -> None:
        wishes, now = self._wishes, time.monotonic()
        quiet = now - self._fresh
        status = screen.Status(
            self._names, self._watch.arrived.lines, self._rate if quiet < 5 else 0.0, quiet, self._frozen,
            self._mark, tuple(self._said),
        )  # fmt: skip
        if wishes.screen:
            width, height = self._size
            view = self._view
            if view.opened:
                view = replace(view, newest=self._watch.newest(view.chosen))
            lines = screen.screen(
                self._shown, status, view, width=width, height=height, colour=wishes.colour, redact=wishes.redact
            )
            sys.stdout.write("\x1b[H" + "\r\n".join(line + "\x1b[K" for line in lines) + "\x1b[J")
            sys.stdout.flush()
        elif not wishes.jsonl and not wishes.quiet and self._report is not None and now - self._pulsed >= PULSE_S:
            self._pulsed = now
            wishes.show(screen.pulse(self._report, status, redact=wishes.redact))
