"""Objects printed over many lines behind a header of their own, as log tools do that set JSON out for people."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from triage.intake.sources import Stream

Entries = tuple[tuple[bytes, int, int], ...]

_OPENS = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*(?: [^\s{}]+)? \{"
_OPENING = re.compile(_OPENS + rb"[ \t]*\r?")
_AT_HEAD = re.compile(rb"^" + _OPENS + rb"[ \t]*\r?\n[ \t]+\"[^\n]*\r?\n", re.MULTILINE)
_MOST_LINES = 5_000  # of one object: what does not end by then is no object


def is_headed(head: bytes) -> bool:
    """Whether objects open at the end of stamped lines and go on, set out, on the next ones."""
    return _AT_HEAD.search(head) is not None


def headed_of(stream: Stream, size: int) -> Iterator[tuple[int, int, int, Entries, int, tuple[str, ...]]]:
    """Parts of the input: first line, lines, bytes, entries (text, first line, lines), blank lines, notices.

    An object becomes one line behind its header; every other line is an entry of its own.
    """
    waiting: list[bytes] = []
    line = 1
    for block in stream.blocks(size):
        lines = waiting + block.data.removesuffix(b"\n").split(b"\n")
        entries, used = _gathered(lines, line, final=False)
        waiting = lines[used:]
        yield line, used, len(block.data), entries, 0, block.notices
        line += used
    if waiting:
        entries, used = _gathered(waiting, line, final=True)
        yield line, used, 0, entries, 0, ()


def _gathered(lines: list[bytes], first: int, *, final: bool) -> tuple[Entries, int]:
    """The entries of these lines, and how many lines they take; an object that may go on waits for more."""
    entries: list[tuple[bytes, int, int]] = []
    at = 0
    while at < len(lines):
        if _OPENING.fullmatch(lines[at]):
            end = _end_of(lines, at)
            if end is None and not final and len(lines) - at <= _MOST_LINES:
                return tuple(entries), at
            body = b"".join(part.strip() for part in lines[at + 1 : end + 1]) if end is not None else b""
            if end is not None and _is_object(b"{" + body):
                entries.append((lines[at].rstrip() + body, first + at, end + 1 - at))
                at = end + 1
                continue
        entries.append((lines[at].rstrip(b"\r"), first + at, 1))
        at += 1
    return tuple(entries), at


def _end_of(lines: list[bytes], start: int) -> int | None:
    """The line that closes the object which opens on `start`; its own number where something else comes first."""
    for n in range(start + 1, min(len(lines), start + _MOST_LINES)):
        text = lines[n]
        if text.startswith(b"}"):
            return n
        if text.strip() and not text.startswith((b" ", b"\t")):
            return start
    return None


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
