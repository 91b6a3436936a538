"""Ctrl-C and SIGTERM while something is watched: the first asks for the report, the second stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct


class Asked(Struct):
    """Whether a signal has come."""

    yes: bool = False
    numbers: tuple[signal.Signals, ...] = ()

    def again(self) -> None:
        """Set the handlers once more: polars puts its own in front of them when it is imported, and ends what it does by a KeyboardInterrupt."""
        for number in self.numbers:
            signal.signal(number, signal.getsignal(number))


@contextmanager
def catch_signals() -> Iterator[Asked]:
    """While this lasts, the first signal is noted and the second is a KeyboardInterrupt."""
    asked = Asked()
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: signal.getsignal(n) for n in numbers}

    def on_signal(_number: int, _frame: object) -> None:
        if asked.yes:
            raise KeyboardInterrupt
        asked.yes = True

    try:
        for number in before:
            signal.signal(number, on_signal)
        asked.numbers = tuple(before)
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
