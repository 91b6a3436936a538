"""Bytes that keep coming: a file that grows, is rotated or truncated, and a pipe; each as a raw stream that can be ended."""

from __future__ import annotations

import io
import os
import select
import threading
from pathlib import Path

PIECE = 32 << 10  # at most so much at once: what came is passed on as whole lines without waiting for more
POLL_S = 0.1


class GrowingFile(io.RawIOBase):
    """A file read to its end and on from there, whatever takes its place under its name; it need not exist yet.

    `ended` ends it. What happened to the file is told in `notices`, sentences that the reader takes out.
    """

    def __init__(self, path: Path, ended: threading.Event) -> None:
        super().__init__()
        self.notices: list[str] = []
        self._path, self._ended = path, ended
        self._file: io.FileIO | None = None
        self._newline = True  # the last byte that was read ended a line

    def readable(self) -> bool:
        return True

    def read(self, size: int = PIECE) -> bytes:
        """What there is, waiting for it; nothing only once it was ended and all that is there was read."""
        while True:
            stop = self._ended.is_set()
            if data := self._read(min(size, PIECE)):
                self._newline = data.endswith(b"\n")
                return data
            if stop:
                return b""
            if self._replaced() and not self._newline:  # what follows is another file's first line
                self._newline = True
                return b"\n"
            self._ended.wait(POLL_S if self._file is None or not self._waiting() else 0)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()

    def _read(self, size: int) -> bytes:
        if self._file is None:
            if not self._path.exists():
                return b""
            self._file = io.FileIO(self._path)
        return self._file.read(size) or b""

    def _waiting(self) -> bool:
        return self._file is not None and os.fstat(self._file.fileno()).st_size > self._file.tell()

    def _replaced(self) -> bool:
        """Whether another file is read from now on, or the same one from its start again."""
        if self._file is None or not self._path.exists():
            return False
        mine, there = os.fstat(self._file.fileno()), self._path.stat()
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            if self._waiting():
                return False  # first what the old one still got
            self._file.close()
            self._file = None
            self.notices.append(f"{self._path}: was rotated; the new file is read on")
            return True
        if mine.st_size < self._file.tell():
            self._file.seek(0)
            self.notices.append(f"{self._path}: was truncated; it is read from its start again")
            return True
        return False


class Pipe(io.RawIOBase):
    """What comes out of a descriptor, until it ends or `ended` is set."""

    def __init__(self, descriptor: int, ended: threading.Event) -> None:
        super().__init__()
        self.notices: list[str] = []
        self._descriptor, self._ended = descriptor, ended

    def readable(self) -> bool:
        return True

    def read(self, size: int = PIECE) -> bytes:
        """What there is, waiting for it; nothing at the end."""
        while not self._ended.is_set():
            if select.select([self._descriptor], [], [], POLL_S * 2)[0]:
                return os.read(self._descriptor, min(size, PIECE))
        return b""
