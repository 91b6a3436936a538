"""Inputs while they are read: signals that end standard input, and progress on stderr."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct, field

if TYPE_CHECKING:
    from triage.engine import Progress

PATIENCE_S = 0.7  # a progress bar appears only when the work takes longer than this


class Stopped(BaseException):
    """A signal ended the work before there was a result."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Reading(Struct):
    """What the signals said while inputs are read; `stdin` ends when one arrived."""

    stdin: BinaryIO | None = None
    signals: list[int] = field(default_factory=list)


@contextmanager
def open_reading(names: Sequence[str]) -> Iterator[Reading]:
    """While this lasts, Ctrl-C and SIGTERM end standard input where it is one of the inputs, else they end the work."""
    reading = Reading()
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    live = "-" in names
    wake_read, wake_write = os.pipe()

    def on_signal(number: int, _frame: object) -> None:
        if not live or reading.signals:  # nothing to save, or asked for the second time
            raise Stopped(number)
        reading.signals.append(number)
        os.write(wake_write, b"!")

    if live:
        reading.stdin = _open_stdin(wake_read)
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, on_signal)
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wake_read)
        os.close(wake_write)


def _open_stdin(wake: int) -> BinaryIO:
    """Standard input as bytes that end when `wake` becomes readable, even while a read waits for a quiet pipe."""
    import io

    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        return io.BytesIO()
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return stream  # type: ignore[no-any-return] # not a file of the system: nothing to wait for
    if sys.platform == "win32":
        return stream  # type: ignore[no-any-return] # select() knows sockets only there
    import select

    class Ending(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, room: memoryview) -> int:  # type: ignore[override] # typeshed: any writable buffer
            ready, _, _ = select.select([descriptor, wake], [], [])
            return 0 if wake in ready else os.readv(descriptor, [room])

    return io.BufferedReader(Ending(), 1 << 20)


@contextmanager
def show_progress(wanted: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A function that draws progress on stderr once the work takes long; None where nobody would see it."""
    if not (wanted and sys.stderr is not None and sys.stderr.isatty()):
        yield None
        return
    import rich.progress as bars
    from rich.console import Console

    began = time.monotonic()
    seen: dict[str, int] = {}  # input -> its records
    drawing = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=30),
        bars.DownloadColumn(),
        bars.TextColumn("{task.fields[records]:,} records"),
        bars.TimeRemainingColumn(),
        console=Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR"))),
        transient=True,
    )
    task = drawing.add_task("", total=None, records=0)

    def advance(now: Progress) -> None:
        another, seen[now.name] = now.name not in seen, now.records
        if time.monotonic() - began < PATIENCE_S:
            return
        if another:
            drawing.reset(task, description=_shorten(now.name), total=now.bytes_total)
        drawing.update(task, description=_shorten(now.name), total=now.bytes_total, completed=now.bytes_read)
        drawing.update(task, records=sum(seen.values()))
        if not drawing.live.is_started:
            drawing.start()

    try:
        yield advance
    finally:
        if drawing.live.is_started:
            drawing.stop()


def _shorten(name: str, to: int = 40) -> str:
    shown = "standard input" if name == "-" else name
    return (shown if len(shown) <= to else "…" + shown[-to + 1 :]).replace("[", "\\[")
