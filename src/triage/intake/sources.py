"""Names given by the user to blocks of whole lines: files, globs, folders, pipes, decompressed by content."""

from __future__ import annotations

import bz2
import codecs
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from glob import glob, has_magic
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from msgspec import Struct
from msgspec.structs import replace

from triage.errors import TriageError
from triage.intake.compiled import count_lines

STDIN = "-"
LINE_CAP = 16 << 20  # bytes of one line that are kept
BLOCK_BYTES = 8 << 20
HEAD_BYTES = 256 << 10
# a line that begins so has no header: it goes on the line above, as journalctl sets it in by the header's width
SET_IN = b" " * 12
_READ = 1 << 20
_BORDER = 64 << 10  # bytes in which a line ends, if it is not a long one

_LOG_SUFFIXES = (".log", ".txt", ".json", ".jsonl", ".ndjson", ".out", ".err")
_PACKED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
_DATED = re.compile(r"[._-]\d{4}-?\d\d-?\d\d(?:[T_-]?\d{2,6})?$")
_NUMBERED = re.compile(r"(?<=\.log|\.txt|\.out|\.err|json)[.-]\d{1,4}$")
_CRI_NAME = re.compile(
    r"^(?P<pod>[a-z0-9][a-z0-9.-]*)_(?P<namespace>[a-z0-9-]+)_(?P<container>[a-z0-9-]+?)(?:-[0-9a-f]{64})?$"
)
_DOCKER_NAME = re.compile(r"^(?:.*[._-])?[0-9a-f]{12,64}-(?P<name>[A-Za-z0-9][\w.-]*)$")
_NOT_A_SERVICE = frozenset(
    [
        "all",
        "access",
        "combined",
        "console",
        "current",
        "data",
        "error",
        "errors",
        "events",
        "export",
        "http",
        "https",
        "json",
        "log",
        "logs",
        "message",
        "messages",
        "out",
        "output",
        "request",
        "requests",
        "stderr",
        "stdout",
        "syslog",
        "txt",
    ]
)


class Block(Struct, frozen=True):
    """Whole lines of bytes; `line` is the number of the first, `lines` how many there are.

    Only the last line of the input may lack its newline. `notices` tell what was lost on the way.
    """

    data: bytes
    line: int
    lines: int
    notices: tuple[str, ...] = ()


class Source(Struct, frozen=True):
    """An input: `name` as the user gave it, `size` in bytes or None, and how to open it.

    `service_hint` and `instance_hint` come from the file's name; `modified` is when it was last written (for a pipe:
    when it was opened) and tells the year of stamps that name none.
    """

    name: str
    size: int | None
    modified: datetime
    opener: Callable[[], BinaryIO]
    service_hint: str | None = None
    instance_hint: str | None = None

    def open(self, part: Part | None = None) -> Stream:
        """The input from its start, decompressed, as UTF-8 bytes; or a part of it, which is plain text."""
        if part is None:
            return Stream(self.name, self.opener(), live=self.size is None)
        return Stream(self.name, _Window(self.opener(), part), first=part.line, within=part.start > 0)

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[Block]:
        """The whole input as blocks of whole lines of about `size` bytes."""
        return self.open().blocks(size)


class Part(Struct, frozen=True):
    """Whole lines of a file: its bytes from `start` to `end` (None: what there is); `line` is the number of the first."""

    start: int
    end: int | None
    line: int = 1


class _Window:
    """A part of a file, as a file that can be read."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        file.seek(part.start)
        self._file = file
        self._at = part.start
        self._left = None if part.end is None else part.end - part.start

    @property
    def is_regular(self) -> bool:
        """Whether it can be read from any place."""
        return isinstance(self._file, FileIO) and hasattr(os, "pread")

    def read(self, size: int) -> bytes:
        data = self._file.read(size if self._left is None else min(size, self._left))
        if self._left is not None:
            self._left -= len(data)
        self._at += len(data)
        return data

    def whole_lines(self, size: int) -> bytes | None:
        """The next lines as they are, at most `size` bytes, read in one go; b"" at the end. None, and nothing is read, where the line in which they
        would end is a long one."""
        if self._left is not None and self._left <= size:
            return self.read(self._left)
        near = min(size, _BORDER)
        end = os.pread(self._file.fileno(), near, self._at + size - near)
        if len(end) < near:
            return self.read(size)
        border = end.rfind(b"\n")
        return self.read(size - near + border + 1) if border >= 0 else None

    def close(self) -> None:
        self._file.close()


def cut_lines(source: Source, size: int) -> list[Part]:
    """A file of plain text as parts of whole lines of about `size` bytes each; none begins with a line that is `SET_IN`."""
    total = source.size or 0
    borders = [0]
    with source.opener() as file:
        while borders[-1] + size < total:
            at = _next_line(file, borders[-1] + size - 1)
            while _is_set_in(file, at):
                at = _next_line(file, at)
            if at >= total:
                break
            borders.append(at)
    return [Part(start, end) for start, end in zip(borders, [*borders[1:], None], strict=True)]


def _next_line(file: BinaryIO, at: int) -> int:
    """Where the line starts that is behind the one of this byte; the end of the file where there is none."""
    file.seek(at)
    while data := file.read(1 << 16):
        found = data.find(b"\n")
        if found >= 0:
            return at + found + 1
        at += len(data)
    return at


def _is_set_in(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return file.read(len(SET_IN)) == SET_IN


def is_plain(head: bytes) -> bool:
    """Whether the bytes of an input that begins with these are its text: neither packed nor of two bytes a character."""
    return not head.startswith((*_PACKERS, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


class Stream:
    """One reading of a source: look at its head first, then take blocks or chunks, once."""

    def __init__(
        self, name: str, file: BinaryIO | _Window, *, live: bool = False, first: int = 1, within: bool = False
    ) -> None:
        self.name = name
        self._window = file if isinstance(file, _Window) and file.is_regular else None
        self._within = within
        file = cast(BinaryIO, file)
        self.notices: list[str] = []
        self._first = first  # the number of the first line that is still to come
        self._chunks = _read(file, name) if within else _as_utf8(_unpack(file, name, self.notices))
        self._seen: list[bytes] = []
        self.ended = False
        self._live = live

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """The first bytes, at least one line of them and up to about `size`; nothing is consumed.

        On a pipe it is what has arrived once there is a line; it never waits for more than that.
        """
        have = sum(map(len, self._seen))
        while have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                self.ended = True
                break
            self._seen.append(chunk)
            have += len(chunk)
            if self._live and len(chunk) < _READ // 16 and b"\n" in chunk:  # a slow pipe: what there is must do
                break
        self._seen = [b"".join(self._seen)]
        return self._seen[0][:size]

    def chunks(self) -> Iterator[bytes]:
        """All bytes, in pieces of any size."""
        yield from self._seen
        self._seen = []
        yield from self._chunks

    def take_notices(self) -> tuple[str, ...]:
        """What was lost since the last call, as sentences."""
        taken = tuple(self.notices)
        self.notices.clear()
        return taken

    def blocks(self, size: int = BLOCK_BYTES, cap: int = LINE_CAP) -> Iterator[Block]:
        """Blocks of whole lines of about `size` bytes; lines longer than `cap` keep their first part."""
        if size <= cap:
            yield from self._read_in_one_go(size)
        line = self._first
        pending, held = list[bytes](), 0
        begun = over = 0  # of the line that is being read: bytes kept, bytes dropped
        for chunk in self.chunks():
            cut = chunk.find(b"\n")
            if over or begun + (cut if cut >= 0 else len(chunk)) > cap:  # inside one huge line
                part = chunk if cut < 0 else chunk[:cut]
                keep = max(0, cap - begun)
                pending.append(part[:keep])
                held, begun, over = held + len(part[:keep]), begun + len(part[:keep]), over + len(part[keep:])
                if cut < 0:
                    continue
                number = line + b"".join(pending).count(10)
                self.notices.append(f"{self.name}: line {number} is too long: {over:,} bytes of it were dropped")
                over, chunk = 0, chunk[cut:]
            held += len(chunk)
            cut = chunk.rfind(b"\n") + 1
            begun = len(chunk) - cut if cut else begun + len(chunk)
            if not cut or not (held >= size or (self._live and len(chunk) < _READ // 16)):
                pending.append(chunk)
                continue
            # one copy: pages of new memory cost more than reading does
            data = b"".join((*pending, memoryview(chunk)[:cut]))
            pending = [chunk[cut:]] if cut < len(chunk) else []
            held = len(chunk) - cut
            blocks, data = _cut(data, line, size), b""
            while blocks:  # none is held on to while the next is read
                line = blocks[0].line + blocks[0].lines
                yield replace(blocks.pop(0), notices=self.take_notices())
        if over:
            self.notices.append(f"{self.name}: the last line is too long: {over:,} bytes of it were dropped")
        data = b"".join(pending)
        notices = self.take_notices()
        if data or notices:
            for block in _cut(data, line, size) or [Block(b"", line, 0)]:
                yield replace(block, notices=notices)
                notices = ()

    def _read_in_one_go(self, size: int) -> Iterator[Block]:
        """Blocks of a part of a file, up to a long line, if there is one: nothing is copied, and none is held on to."""
        if self._window is None or self._seen:
            return
        while data := self._window.whole_lines(size):
            data = data if self._within else data.removeprefix(codecs.BOM_UTF8)
            blocks = [Block(data, self._first, count_lines(data))]
            self._first, self._within, data = self._first + blocks[0].lines, True, b""
            yield blocks.pop()
        if self._within:
            self._chunks = _read(cast(BinaryIO, self._window), self.name)


def _cut(data: bytes, line: int, size: int) -> list[Block]:
    """Blocks of about `size` bytes out of whole lines."""
    blocks, start = [], 0
    while start < len(data):
        end = len(data) if len(data) - start <= 2 * size else data.rfind(b"\n", start, start + size) + 1
        if end <= start:
            end = data.find(b"\n", start) + 1 or len(data)
        part = data[start:end] if (start, end) != (0, len(data)) else data
        lines = count_lines(part)
        blocks.append(Block(part, line, lines))
        line, start = line + lines, end
    return blocks


def open_sources(names: Sequence[str], *, stdin: BinaryIO | None = None) -> list[Source]:
    """The inputs that the names stand for: files, globs, folders (searched for log-like files) and "-" for `stdin`.

    A file that several names reach is taken once. TriageError when a name leads nowhere.
    """
    found: dict[str, Source] = {}
    for name in names or ([STDIN] if stdin is not None else []):
        for source in _resolve(name, stdin):
            key = STDIN if source.name == STDIN else os.path.realpath(source.name)
            found.setdefault(key, source)
    if not found:
        raise TriageError("no input", hint="name a log file, or pipe one in")
    return hint_services(list(found.values()))


def _resolve(name: str, stdin: BinaryIO | None) -> Iterator[Source]:
    path = Path(name)
    if name == STDIN:
        if stdin is None:
            raise TriageError("nothing is piped in for -", hint="pipe a log in, or name a file")
        yield Source(STDIN, None, datetime.now(UTC), lambda: stdin)
    elif path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.is_file() and _looks_like_a_log(p)]
        if not files:
            raise TriageError(
                f"no log files in {name}",
                hint=f"known there: {' '.join(_LOG_SUFFIXES + _PACKED_SUFFIXES)}; name others directly",
            )
        yield from (_file(os.fspath(p)) for p in files)
    elif path.exists():
        yield _file(name)
    elif has_magic(name):
        names = sorted(glob(name, recursive=True))  # noqa: PTH207 - names as the user's shell would give them
        hits = [p for p in names if not Path(p).is_dir()]
        if not hits:
            raise TriageError(f"no file matches {name}", hint="check the pattern; ** reaches into folders")
        yield from (_file(p) for p in hits)
    else:
        raise TriageError(f"no such file: {name}", hint=_nearby(path))


def _file(name: str) -> Source:
    path = Path(name)
    try:
        stat = path.stat()
        with path.open("rb"):
            pass
    except OSError as problem:
        raise TriageError(f"cannot read {name}: {problem.strerror}", hint="check that you may read it") from None
    regular = path.is_file()
    return Source(
        name,
        stat.st_size if regular else None,
        datetime.fromtimestamp(stat.st_mtime, UTC),
        partial(_open, name),
    )


def _open(name: str) -> BinaryIO:
    return cast(BinaryIO, Path(name).open("rb", buffering=0))


def _read(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The bytes of a file as they are; closes it (never standard input)."""
    try:
        while data := file.read(_READ):
            yield data
    finally:
        if name != STDIN:
            file.close()


def _nearby(path: Path) -> str:
    import difflib

    folder = path.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {folder / close[0]}?" if close else "check the name; globs and folders work too"


def _looks_like_a_log(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith("."):
        return False
    stem = _bare(name)
    return stem != name or name.endswith(_LOG_SUFFIXES)


def _bare(name: str) -> str:
    """The name without what rotation, packing and log suffixes add."""
    while True:
        cut = name
        for suffix in (*_PACKED_SUFFIXES, "-json.log", *_LOG_SUFFIXES):
            if cut.lower().endswith(suffix) and len(cut) > len(suffix):
                cut = cut[: -len(suffix)]
                break
        else:
            cut = _NUMBERED.sub("", _DATED.sub("", cut))
        if cut == name:
            return name
        name = cut


def hint_services(sources: list[Source]) -> list[Source]:
    """The sources with what their names say of service and instance."""
    stems = {s.name: _bare(Path(s.name).name) for s in sources if s.name != STDIN}
    tokens = {stem: re.split(r"(?<=[._-])", stem) for stem in set(stems.values())}
    several = len(tokens) > 1
    prefix = _common(list(tokens.values())) if several else 0
    suffix = _common([t[prefix:][::-1] for t in tokens.values()]) if several else 0
    hinted = []
    for source in sources:
        stem = stems.get(source.name)
        if stem is None:
            hinted.append(source)
            continue
        middle = "".join(tokens[stem][prefix : len(tokens[stem]) - suffix]).strip("._-")
        service, instance = _name_service(stem, middle, "".join(tokens[stem][:prefix]).strip("._-"), several)
        hinted.append(replace(source, service_hint=service, instance_hint=instance))
    return hinted


def _name_service(stem: str, middle: str, shared: str, several: bool) -> tuple[str | None, str | None]:
    for text in (middle, stem):
        if found := _CRI_NAME.match(text):
            return found["container"], found["pod"]
        if found := _DOCKER_NAME.match(text):
            return found["name"], None
    if not several:
        return None, None
    if middle.isdigit():
        return (shared if _is_service(shared) else None), stem
    return (middle if _is_service(middle) else None), None


def _is_service(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]", text)) and text.lower() not in _NOT_A_SERVICE


def _common(lists: list[list[str]]) -> int:
    """How many leading tokens all lists share, so that each keeps its last one's worth."""
    count = 0
    for tokens in zip(*lists, strict=False):
        if len(set(tokens)) > 1:
            break
        count += 1
    return count


def _unpack(file: BinaryIO, name: str, notices: list[str]) -> Iterator[bytes]:
    """The plain bytes of a file that may be packed; closes the file (never standard input's)."""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    try:
        first = read(_READ)
        while first and len(first) < 6:
            more = read(_READ)
            if not more:
                break
            first += more
        for magic, packer in _PACKERS.items():
            if first.startswith(magic):
                yield from _inflate(first, read, packer, name, notices)
                return
        while first:
            yield first
            first = read(_READ) or b""
    finally:
        if name != STDIN:
            file.close()


def _step_zlib(unpacker: Any, data: bytes) -> tuple[bytes, bytes, bool]:
    out = unpacker.decompress(data, _PLAIN_CAP)
    return out, unpacker.unconsumed_tail, bool(unpacker.unconsumed_tail) or len(out) >= _PLAIN_CAP


def _step_buffered(unpacker: Any, data: bytes) -> tuple[bytes, bytes, bool]:
    return unpacker.decompress(data, _PLAIN_CAP), b"", not unpacker.eof and not unpacker.needs_input


def _step_zstd(unpacker: Any, data: bytes) -> tuple[bytes, bytes, bool]:
    return unpacker.decompress(data[: 1 << 16]), data[1 << 16 :], len(data) > 1 << 16


def _zstd() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


def _zstd_error() -> type[Exception]:
    import zstandard

    error: type[Exception] = zstandard.ZstdError
    return error


class _Packer(Struct, frozen=True):
    """A kind of packed file. `step` takes (unpacker, data) to (plain bytes, data left over, more plain bytes to come)."""

    kind: str
    make: Callable[[], Any]
    step: Callable[[Any, bytes], tuple[bytes, bytes, bool]]
    error: Callable[[], type[Exception]]


_PLAIN_CAP = (
    4 * _READ
)  # plain bytes of one step, so that a small file which unpacks to gigabytes stays in memory's bounds
_PACKERS = {
    b"\x1f\x8b": _Packer("gzip", lambda: zlib.decompressobj(31), _step_zlib, lambda: zlib.error),
    b"\x28\xb5\x2f\xfd": _Packer("zstd", _zstd, _step_zstd, _zstd_error),
    b"BZh": _Packer("bzip2", bz2.BZ2Decompressor, _step_buffered, lambda: OSError),
    b"\xfd7zXZ\x00": _Packer("xz", lzma.LZMADecompressor, _step_buffered, lambda: lzma.LZMAError),
}


def _inflate(
    first: bytes, read: Callable[[int], bytes], packer: _Packer, name: str, notices: list[str]
) -> Iterator[bytes]:
    """Every member of a packed file; what is cut or damaged ends it with a notice."""
    what = f"{name}: the {packer.kind} data"
    unpacker, data, error = packer.make(), first, packer.error()
    while True:
        try:
            out, left, more = packer.step(unpacker, data)
        except (error, ValueError, EOFError):
            notices.append(f"{what} is damaged and ends early; what could be read was kept")
            return
        if out:
            yield out
        if unpacker.eof:
            data = unpacker.unused_data + (left if packer.kind == "zstd" else b"")
            data = data.lstrip(b"\0") or (read(_READ) or b"").lstrip(b"\0")  # archives may be padded
            if not data:
                return
            unpacker = packer.make()
        elif more:
            data = left
        else:
            data = read(_READ) or b""
            if not data:
                notices.append(f"{what} ends early; what could be read was kept")
                return


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks without a byte order mark; UTF-16 becomes UTF-8. Other bytes pass as they are."""
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= 3:
            break
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and first[2:4] != b"\0\0":
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        yield decoder.decode(first).encode("utf-8", "replace")
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "replace")
        tail = decoder.decode(b"", final=True).encode("utf-8", "replace")
        if tail:
            yield tail
        return
    if first := first.removeprefix(codecs.BOM_UTF8):
        yield first
    yield from chunks
