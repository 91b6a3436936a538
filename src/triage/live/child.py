"""The command that is watched: its start, its end, its start again, and what is said of them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

from triage.errors import TriageError

GRACE_S = 3.0  # that a command has to end once it was asked to
SILENCE_S = 60.0  # without a line, after which a connection may have timed out
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # before the command is started again, one after the other
LASTING_S = 30.0  # a command that ran so long was well: the pauses begin anew


class Command:
    """A command, started again when it ends if `reconnect` says so; all that it writes comes out of `descriptor`."""

    def __init__(self, words: Sequence[str], *, reconnect: bool = False) -> None:
        self._words, self._reconnect = tuple(words), reconnect
        self.descriptor, self._write = os.pipe()
        self._child: subprocess.Popen[bytes] | None = None
        self._began = self._heard = 0.0
        self._lines = self._tries = 0
        self._again: float | None = None
        self._silent = False
        self.code: int | None = None  # how it ended, once it will not be started again
        self._start()

    def check(self, now: float, lines: int) -> list[str]:
        """Start it again when it is time for that; what happened to it, with `lines` come so far, as sentences."""
        said = self._listen(now, lines)
        if self._again is not None:
            if now >= self._again:
                self._start()
            return said
        if self.code is None and self._child is not None and (code := self._child.poll()) is not None:
            said.append(self._take_end(code, now))
        return said

    def stop(self) -> int:
        """Ask it to end, make it end; its exit code."""
        self._reconnect, self._again = False, None
        code = self.code
        if self._child is not None and code is None:
            code = _stop(self._child)
        self.code = code or 0
        self._close()
        return self.code

    def tell_end(self, *, asked: bool) -> str:
        """How it ended, as a sentence."""
        return f"{self._words[0]} {_how(self.code or 0)}" + (", because the watch was" if asked else "")

    def _start(self) -> None:
        try:
            self._child = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=self._write, stderr=subprocess.STDOUT
            )
        except OSError as problem:
            self._close()
            raise TriageError(
                f"cannot run {self._words[0]}: {problem.strerror}", hint="check the command behind --"
            ) from None
        self._began = self._heard = time.monotonic()
        self._again, self._silent = None, False

    def _take_end(self, code: int, now: float) -> str:
        ran = f"{self._words[0]} {_how(code)} after {now - self._began:.0f} s"
        if not self._reconnect:
            self.code = code
            self._close()
            return ""
        self._tries = 0 if now - self._began >= LASTING_S else self._tries
        pause = PAUSES_S[min(self._tries, len(PAUSES_S) - 1)]
        self._tries += 1
        self._again = now + pause
        with suppress(BlockingIOError):
            os.set_blocking(self._write, False)
            os.write(self._write, b"\n")  # half a line must not go on with the first of what comes then
        os.set_blocking(self._write, True)
        return f"{ran}; it is started again in {pause:.0f} s"

    def _listen(self, now: float, lines: int) -> list[str]:
        name = self._words[0]
        if lines != self._lines:
            was, quiet = self._silent, now - self._heard
            self._lines, self._heard, self._silent = lines, now, False
            return [f"{name} writes again, after {quiet:.0f} s"] if was else []
        if not self._silent and self._again is None and self.code is None and now - self._heard >= SILENCE_S:
            self._silent = True
            return [f"{name} has written nothing for {SILENCE_S:.0f} s: it is silent, or its connection is gone"]
        return []

    def _close(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1


def _stop(child: subprocess.Popen[bytes]) -> int:
    if child.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(0.3)  # the same Ctrl-C, or the end of its output, may have ended it
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            return child.wait(GRACE_S)
        child.kill()
    return child.wait()


def _how(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
