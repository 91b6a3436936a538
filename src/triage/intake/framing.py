"""How entries lie in a stream: one a line, or JSON values that take many lines or share one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from json.decoder import JSONDecoder
from typing import Any

from triage.intake.sources import Block, Stream

VALUE_CAP = 64 << 20  # characters of one JSON value that does not end

_WRAPPED = re.compile(
    rb'\s*\{(?:\s*"[\w@]+"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[\d.]+|null|true|false)\s*,)*\s*"(?:events|entries|logs|records|items|logEvents|data)"\s*:\s*\[\s*(?=\{)'
)
_LISTED = re.compile(rb"\[[ \t]*(?:\r?\n([ \t]*))?\{[ \t]*\r?$", re.MULTILINE)
_CLOSING = re.compile(r'[}\],\s]*|"(?:[^"\\]|\\.)*"\s*:.*', re.DOTALL)  # what follows the list in a wrapping object
_SKIP = re.compile(r"[\s,\[\]]*")


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of the input: `data` whole lines from `line` on, or `objects` (text, first line, lines).

    `lines` and `size` (bytes) are what it takes of the input, `blank` the lines of it that hold no entry.
    """

    line: int
    lines: int
    size: int
    data: bytes = b""
    objects: tuple[tuple[bytes, int, int], ...] | None = None
    blank: int = 0
    notices: tuple[str, ...] = ()


def framing(head: bytes) -> str:
    """lines, pretty or scan: how the entries of an input lie whose first bytes are these."""
    text = head.lstrip()
    if not text.startswith((b"{", b"[")):
        return "lines"
    first = text.split(b"\n", 1)[0].strip()
    if text.startswith(b"["):
        inside = text[1:].lstrip()
        if not inside.startswith(b"{"):
            return "lines"
        opener = inside.split(b"\n", 1)[0].strip()
        if opener == b"{":
            return "pretty"
        return "rows" if first in (b"[",) or first.endswith(b"},") else "scan"
    if _WRAPPED.match(text):
        return "pretty" if re.search(rb"\[\s*\n\s*\{\s*\n", text[:65536]) else "scan"
    return "pretty" if first == b"{" else "lines"


def pieces(stream: Stream, how: str, size: int) -> Iterator[Piece]:
    """The input cut into pieces of about `size` bytes."""
    if how == "scan":
        yield from _scanned(stream)
    elif how == "pretty":
        yield from _pretty(stream, size)
    else:
        for block in stream.blocks(size):
            yield Piece(block.line, block.lines, len(block.data), block.data, None, 0, block.notices)


def _pretty(stream: Stream, size: int) -> Iterator[Piece]:
    """Pretty-printed objects: raw newlines never stand inside JSON strings, so lines show where objects end."""
    opener: re.Pattern[bytes] | None = None
    border = re.compile(rb"$^")
    rest, line = b"", 1
    for block in stream.blocks(size):
        data = rest + block.data
        if opener is None:
            found = _LISTED.search(data) if not re.match(rb"\s*\{[ \t]*\r?\n", data) or _WRAPPED.match(data) else None
            indent = (found[1] or b"") if found else (re.match(rb"\s*?([ \t]*)\{", data) or [b"", b""])[1]
            opener = re.compile(rb"^(?:.*\[[ \t]*)?" + re.escape(indent) + rb"\{[ \t]*\r?$", re.MULTILINE)
            border = re.compile(rb"^" + re.escape(indent) + rb"\}[ \t]*(,?)[ \t]*(\{?)[ \t]*\]?\r?$", re.MULTILINE)
        objects, end, blank = _objects(data, line, opener, border)
        used = data[:end]
        lines = used.count(b"\n")
        yield Piece(line, lines, end, b"", tuple(objects), blank, block.notices)
        line, rest = line + lines, data[end:]
        if len(rest) > VALUE_CAP:
            yield Piece(line, rest.count(b"\n"), len(rest), rest)
            line, rest = line + rest.count(b"\n"), b""
    if rest:
        lines = rest.count(b"\n") + (not rest.endswith(b"\n"))
        closing = not rest.strip(b" \t\r\n,[]}")
        if closing or (opener is not None and not opener.search(rest)):
            yield Piece(line, lines, len(rest), b"", (), lines)
        else:
            yield Piece(line, lines, len(rest), b"", ((rest.rstrip(), line, lines),), 0)


def _objects(
    data: bytes, line: int, opener: re.Pattern[bytes], border: re.Pattern[bytes]
) -> tuple[list[tuple[bytes, int, int]], int, int]:
    """Whole objects in `data`, where the last one ends, and the number of lines between them."""
    objects: list[tuple[bytes, int, int]] = []
    blank, at, number = 0, 0, line
    start: int | None = None
    while True:
        if start is None:
            found = opener.search(data, at)
            if not found:
                return objects, at, blank
            start = data.index(b"{", found.start())
            skipped = data.count(b"\n", at, start)
            blank += skipped
            number += skipped
        end = border.search(data, start)
        if not end or (end.end() == len(data) and not data.endswith(b"\n")):
            return objects, at, blank
        stop = data.index(b"}", end.start()) + 1
        inner = data[start:stop]
        lines = inner.count(b"\n") + 1
        if end[2]:  # "}, {" on one line: the next object starts on the line where this one ends
            objects.append((inner, number, lines - 1))
            number += lines - 1
            at = start = end.start(2)
            continue
        objects.append((inner, number, lines))
        number += lines
        at, start = min(end.end() + 1, len(data)), None


def _scanned(stream: Stream) -> Iterator[Piece]:
    """Values one behind the other, wherever the lines end. A line belongs to the piece that holds its first byte."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    scan = JSONDecoder(strict=False).raw_decode
    text, line, fresh, opened, covered = "", 1, True, False, 0
    chunks = stream.chunks()
    final = False
    while not final:
        chunk = next(chunks, None)
        final = chunk is None
        text += decoder.decode(chunk or b"", final)
        at, first, objects = 0, line, list[tuple[bytes, int]]()
        if not opened and (wrapped := _WRAPPED.match(text[: 1 << 16].encode("utf-8", "replace"))):
            at = len(wrapped[0].decode("utf-8", "replace"))
        opened = True
        line += text.count("\n", 0, at)
        while at < len(text):
            skip = _SKIP.match(text, at)
            here = skip.end() if skip else at
            line += text.count("\n", at, here)
            at = here
            if here >= len(text):
                break
            end = _value_end(text, here, scan, final)
            if end is None:
                break
            body = text[here:end]
            if body.startswith("{") or not _CLOSING.fullmatch(body):
                objects.append((body.encode("utf-8", "replace"), line))
            line += body.count("\n")
            at = end
        used, text = text[:at], text[at:]
        lines = used.count("\n", 0, len(used) - 1) + fresh if used else 0
        placed, taken = _place(objects, covered, first + lines - fresh if not fresh else first + lines - 1)
        fresh = used.endswith("\n") if used else fresh
        covered = max(covered, line if not fresh else line - 1)
        yield Piece(
            first, lines, len(used.encode("utf-8", "replace")), b"", placed, lines - taken, stream.take_notices()
        )


def _value_end(text: str, start: int, scan: Callable[[str, int], tuple[Any, int]], final: bool) -> int | None:
    """Where the value that starts there ends; None when more text is needed to say."""
    if text[start] == "{":
        try:
            return scan(text, start)[1]
        except (JSONDecodeError, RecursionError):
            if not final and len(text) - start < VALUE_CAP:
                return None
    cut = text.find("\n", start)
    if cut < 0 and not final and len(text) - start < 1 << 16:
        return None
    return len(text) if cut < 0 else cut


def _place(objects: list[tuple[bytes, int]], covered: int, last: int) -> tuple[tuple[tuple[bytes, int, int], ...], int]:
    """Objects with the lines that are theirs, each line given to the first object on it; and how many lines that is."""
    placed: list[tuple[bytes, int, int]] = []
    taken = 0
    for body, line in objects:
        until = min(line + body.count(b"\n"), last)
        take = max(0, until - max(covered, line - 1))
        placed.append((body, line, take))
        taken += take
        covered = max(covered, until)
    return tuple(placed), taken


__all__ = ["Block", "Piece", "framing", "pieces"]
