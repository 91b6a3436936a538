"""How entries lie in a stream: one a line, JSON values that take many lines or share one, or rows of a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from json.decoder import JSONDecoder
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from triage.intake.headed import headed_of, is_headed
from triage.intake.sources import Block, Stream
from triage.intake.tables import find_table, is_journal, journal_of, rows_of

if TYPE_CHECKING:
    from triage.intake.calm import Sifted
    from triage.intake.entries import SiftedEntries

VALUE_CAP = 64 << 20  # characters of one JSON value that does not end

_WRAPPED = re.compile(
    rb'\s*\{(?:\s*"[\w@]+"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[\d.]+|null|true|false)\s*,)*\s*"(?:events|entries|logs|records|items|logEvents|data)"\s*:\s*\[\s*(?=\{)'
)
_LISTED = re.compile(rb"\[[ \t]*(?:\r?\n(?P<indent>[ \t]*))?\{[ \t]*\r?\n(?P<inside>[ \t]*)")
_OPENS_ALONE = re.compile(rb"\s*?(?P<indent>[ \t]*)\{[ \t]*\r?\n(?P<inside>[ \t]*)")
_CLOSING = re.compile(r'[}\],\s]*|"(?:[^"\\]|\\.)*"\s*:.*', re.DOTALL)  # what follows the list in a wrapping object
_SKIP = re.compile(r"[\s,\[\]]*")


class Piece(Struct, frozen=True):
    """Part of the input: `data` whole lines from `line` on, or `objects` (text, first line, lines).

    `lines` and `size` (bytes) are what it takes of the input, `blank` the lines of it that hold no entry. `sifted` is what
    was made of its lines already, which it holds no more.
    """

    line: int
    lines: int
    size: int
    data: bytes = b""
    objects: tuple[tuple[bytes, int, int], ...] | None = None
    blank: int = 0
    notices: tuple[str, ...] = ()
    sifted: Sifted | SiftedEntries | None = None

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory."""
        return self.size if self.sifted is None else self.sifted.weight


class Framing(Struct, frozen=True):
    """How the entries of an input lie: `how` is lines, pretty, scan, table, journal or headed.

    A pretty object opens behind `indent`; the cells of a table stand between `mark`s, under the headings `columns`.
    """

    how: str
    indent: bytes = b""
    mark: str = ""
    columns: tuple[str, ...] = ()


def find_framing(head: bytes) -> Framing:
    """How the entries lie of an input whose first bytes are these."""
    text = head.lstrip()
    if not text.startswith((b"{", b"[")):
        if is_journal(head):
            return Framing("journal")
        table = find_table(head)
        if table:
            return Framing("table", mark=table[0], columns=table[1])
        return Framing("headed" if is_headed(head) else "lines")
    if text.startswith(b"{") and not _WRAPPED.match(text):
        return _pretty_or_scan(_OPENS_ALONE.match(head)) if _OPENS_ALONE.match(head) else Framing("lines")
    if text.startswith(b"[") and not text[1:].lstrip().startswith(b"{"):
        return Framing("lines")
    if alone := _LISTED.search(text):
        return _pretty_or_scan(alone)
    first = text.split(b"\n", 1)[0].strip()
    return Framing("lines" if text.startswith(b"[") and (first == b"[" or first.endswith(b"},")) else "scan")


def _pretty_or_scan(opening: re.Match[bytes] | None) -> Framing:
    """Pretty when what is inside the object stands further right than its brace, so that borders can be told by lines."""
    if opening is None:
        return Framing("scan")
    indent = opening["indent"] or b""
    return Framing("pretty", indent) if len(opening["inside"]) > len(indent) else Framing("scan")


def pieces(stream: Stream, framing: Framing, size: int) -> Iterator[Piece]:
    """The input cut into pieces of about `size` bytes."""
    if framing.how == "scan":
        yield from _scanned(stream)
    elif framing.how in ("table", "journal", "headed"):
        table = framing.how == "table"
        other = headed_of if framing.how == "headed" else journal_of
        parts = rows_of(stream, framing.mark, framing.columns, size) if table else other(stream, size)
        for line, lines, length, entries, blank, notices in parts:
            yield Piece(line, lines, length, b"", entries, blank, notices)
    elif framing.how == "pretty":
        yield from _pretty(stream, framing.indent, size)
    else:
        yield from map(_piece, stream.blocks(size))


def _piece(block: Block) -> Piece:
    return Piece(block.line, block.lines, len(block.data), block.data, None, 0, block.notices)


def _pretty(stream: Stream, indent: bytes, size: int) -> Iterator[Piece]:
    """Pretty-printed objects: raw newlines never stand inside JSON strings, so lines show where objects end."""
    opener = re.compile(rb"^(?:.*\[[ \t]*)?" + re.escape(indent) + rb"\{[ \t]*\r?$", re.MULTILINE)
    border = re.compile(rb"^" + re.escape(indent) + rb"\}[ \t]*,?[ \t]*(\{?)[ \t]*\]?\r?\n", re.MULTILINE)
    rest, line, inside = b"", 1, False  # inside: the rest starts with an object, in the middle of a line
    for block in stream.blocks(size):
        data = rest + block.data
        objects, end, blank = _objects(data, line, opener, border, inside)
        lines = data.count(b"\n", 0, end)
        yield Piece(line, lines, end, b"", tuple(objects), blank, block.notices)
        inside = data[end - 1 : end] != b"\n" if end else inside
        line, rest = line + lines, data[end:]
        if len(rest) > VALUE_CAP:
            lines = rest.count(b"\n")
            yield Piece(line, lines, len(rest), b"", ((rest, line, lines),))
            line, rest = line + lines, b""
    if rest:
        lines = rest.count(b"\n") + (not rest.endswith(b"\n"))
        cut = None if inside else opener.search(rest)
        tail: tuple[tuple[bytes, int, int], ...] = ()
        blank = lines
        if cut or inside:
            start = rest.index(b"{", cut.start() if cut else 0)
            blank = rest.count(b"\n", 0, start)
            stop = re.search(rb"^" + re.escape(indent) + rb"\}", rest, re.MULTILINE)
            body = rest[start : stop.end() if stop else len(rest)]
            tail = ((body.rstrip(), line + blank, lines - blank),)
        yield Piece(line, lines, len(rest), b"", tail, blank)


def _objects(
    data: bytes, line: int, opener: re.Pattern[bytes], border: re.Pattern[bytes], inside: bool
) -> tuple[list[tuple[bytes, int, int]], int, int]:
    """Whole objects in `data`, where what follows them starts, and the number of lines between them."""
    objects: list[tuple[bytes, int, int]] = []
    blank, at = 0, 0
    start: int | None = 0 if inside else None
    while True:
        if start is None:
            found = opener.search(data, at)
            if not found:
                return objects, at, blank
            start = data.index(b"{", found.start())
        end = border.search(data, start)
        if not end:
            return objects, at, blank
        skipped = data.count(b"\n", at, start)
        stop = data.index(b"}", end.start()) + 1
        lines = data.count(b"\n", start, stop) + (not end[1])
        objects.append((data[start:stop], line + skipped, lines))
        blank += skipped
        line += skipped + lines
        at = end.start(1) if end[1] else end.end()
        start = at if end[1] else None  # "}, {": the next object starts on the line where this one ends


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
