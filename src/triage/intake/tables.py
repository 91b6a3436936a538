"""Exports that are no JSON as entries: tables with a header row (CSV, TSV), PostgreSQL's csvlog, journald's export format."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from io import BytesIO, StringIO
from itertools import chain, islice

import msgspec

from triage.intake.sources import Stream

Placed = tuple[bytes, int, int]  # an entry as JSON, its first line, its lines
FIELD_CAP = 64 << 20  # bytes of a row that does not end
_BEHIND = ("x\n",)  # a line that comes out as a row of its own where no cell is open

# What a column is called in entries, by its heading in lower case. Headings of other columns are kept.
_TIMES = (
    *("timestamp", "@timestamp", "time", "date", "datetime", "date time", "_time", "ts", "log_time", "eventtime"),
    *("event_time", "timegenerated", "timegenerated [utc]", "timestamp [utc]", "timestamp (utc)", "time (utc)", "created_at"),
)  # fmt: skip
_TEXTS = (
    *("message", "msg", "_raw", "log", "line", "content", "text", "@message", "textpayload", "body", "event", "log_s"),
    *("resultdescription", "jsonpayload.message", "log message", "log entry"),
)
_HEADINGS = {
    **dict.fromkeys(_TIMES, "timestamp"),
    **dict.fromkeys(_TEXTS, "message"),
    **dict.fromkeys(("level", "severity", "loglevel", "log.level", "log level", "status", "priority"), "level"),
    **dict.fromkeys(("service", "service_name", "service.name", "application", "app", "source"), "service"),
    **dict.fromkeys(("host", "hostname", "host.name", "instance", "pod"), "instance"),
    **dict.fromkeys(("logger", "logger_name", "category", "component"), "logger"),
}
_POSTGRES = (  # the columns of csvlog, in the names of jsonlog; older servers write fewer
    *("timestamp", "user", "dbname", "pid", "connection_from", "session_id", "line_num", "ps", "session_start", "vxid"),
    *("txid", "error_severity", "state_code", "message", "detail", "hint", "internal_query", "internal_position"),
    *("context", "statement", "cursor_position", "location", "application_name", "backend_type", "leader_pid", "query_id"),
)  # fmt: skip
_POSTGRES_ROW = re.compile(
    r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \w+,(?:"[^"]*"|[^,"]*),(?:"[^"]*"|[^,"]*),\d+,(?:[^\n]*,)?'
    r"(?:DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC),[0-9A-Z]{5},"
)
_JOURNAL = re.compile(rb"(?:[A-Z_][A-Z0-9_]*=[^\n]*\n)*__REALTIME_TIMESTAMP=\d+\n")


def find_table(head: bytes) -> tuple[str, tuple[str, ...]] | None:
    """The separator and the headings of a table that starts with these bytes; None when it is no table of log lines."""
    first = head[: 1 << 16].decode("utf-8", "replace").removeprefix("\ufeff")
    if _POSTGRES_ROW.match(first):
        return ",", _POSTGRES
    line = first.partition("\n")[0].rstrip("\r")
    if not line.replace("\t", "").isprintable():
        return None
    for mark in (",", "\t", ";"):
        if mark not in line:
            continue
        row = next(csv.reader([line], delimiter=mark), [])
        names = [name.strip().lower() for name in row]
        if len(set(names)) == len(names) >= 2 and set(names) & set(_TIMES) and set(names) & set(_TEXTS):
            return mark, _headings(row)
    return None


def _headings(row: Sequence[str]) -> tuple[str, ...]:
    """The headings as keys; the first one of each meaning has it."""
    names: list[str] = []
    for heading in row:
        name = _HEADINGS.get(heading.strip().lower(), heading.strip())
        names.append(heading.strip() if name in names else name)
    return tuple(names)


def is_journal(head: bytes) -> bool:
    """Whether these are the first bytes of `journalctl -o export`."""
    return bool(_JOURNAL.match(head.lstrip(b"\n")))


def rows_of(
    stream: Stream, mark: str, columns: tuple[str, ...], size: int
) -> Iterator[tuple[int, int, int, tuple[Placed, ...], int, tuple[str, ...]]]:
    """Rows of a table as entries: (first line, lines, bytes, entries, lines without one, notices), part by part.

    A cell may hold newlines; a row belongs to the part that holds its end.
    """
    rest, line, fresh = b"", 1, columns is not _POSTGRES
    notices: tuple[str, ...] = ()
    for block in stream.blocks(size):
        data, notices = rest + block.data, notices + block.notices
        entries, blank, lines = _entries(data, line, mark, columns, fresh, last=len(data) > FIELD_CAP)
        end = _end_of(data, lines)
        if lines:
            yield line, lines, end, entries, blank, notices
            fresh, notices = False, ()
        line, rest = line + lines, data[end:]
    if rest:
        entries, blank, lines = _entries(rest, line, mark, columns, fresh, last=True)
        every = rest.count(b"\n") + (not rest.endswith(b"\n"))  # one of them may be nothing but a carriage return
        yield line, every, len(rest), entries, blank + every - lines, notices


def _end_of(data: bytes, lines: int) -> int:
    """Where the first `lines` lines of the data end."""
    return data.rfind(b"\n") + 1 if lines == data.count(b"\n") else sum(map(len, islice(BytesIO(data), lines)))


def _entries(
    data: bytes, line: int, mark: str, columns: tuple[str, ...], fresh: bool, *, last: bool
) -> tuple[tuple[Placed, ...], int, int]:
    """The rows of these lines as entries, the number of lines that hold none, and of the lines that were read.

    Unless these are the `last` lines, a row with an open cell at their end is left for later.
    """
    csv.field_size_limit(FIELD_CAP * 2)
    text = re.sub("\x00|\r(?!\n)", "", data.decode("utf-8", "replace"))  # which the reader refuses
    reader = csv.reader(chain(StringIO(text, newline="\n"), () if last else _BEHIND), delimiter=mark)
    entries: list[Placed] = []
    before = blank = 0
    whole = data.count(b"\n")
    for row in reader:
        lines = reader.line_num - before
        if not last and reader.line_num > whole:  # the line that was put behind them, alone or in an open cell
            break
        if not row or (fresh and not before):
            blank += lines
        elif len(row) > len(columns) or (len(row) < 2 <= len(columns)):
            entries.append((mark.join(row).encode("utf-8", "replace"), line + before, lines))
        else:
            filled = zip(columns, row, strict=False)
            cells = {"message": "", **{name: cell for name, cell in filled if cell != ""}}
            entries.append((msgspec.json.encode(cells), line + before, lines))
        before = reader.line_num
    return tuple(entries), blank, before


def journal_of(stream: Stream, size: int) -> Iterator[tuple[int, int, int, tuple[Placed, ...], int, tuple[str, ...]]]:
    """Entries of journald's export format, part by part, as `rows_of` gives them."""
    rest, line = b"", 1
    for block in stream.blocks(size):
        data = rest + block.data
        entries, end, blank = _journal(data, line, last=False)
        lines = data.count(b"\n", 0, end)
        if lines:
            yield line, lines, end, entries, blank, block.notices
        line, rest = line + lines, data[end:]
    if rest:
        entries, end, blank = _journal(rest, line, last=True)
        yield line, rest.count(b"\n") + (not rest.endswith(b"\n")), len(rest), entries, blank, ()


def _journal(data: bytes, line: int, *, last: bool) -> tuple[tuple[Placed, ...], int, int]:
    """Whole entries of the data, where what follows them starts, and the empty lines between them."""
    entries: list[Placed] = []
    at = end = blank = 0
    fields: dict[str, str] = {}
    start = line
    while at < len(data):
        stop = data.find(b"\n", at)
        if stop < 0:
            if not last:
                break
            stop = len(data)
        name, equals, value = data[at:stop].partition(b"=")
        if stop == at:  # an empty line ends an entry
            if at > end:
                entries.append((_entry(fields, data[end:at]), start, data.count(b"\n", end, at)))
            blank += 1
            end, fields = stop + 1, {}
            start = line + data.count(b"\n", 0, end)
        elif equals:
            fields[name.decode("ascii", "replace")] = value.decode("utf-8", "replace")
        else:  # a value with newlines or other bytes in it: its length, then it
            length = int.from_bytes(data[stop + 1 : stop + 9], "little")
            if length > FIELD_CAP:  # no length: the line is broken
                at = stop + 1
                continue
            value = data[stop + 9 : stop + 9 + length]
            if stop + 9 + length >= len(data) and not last:
                break
            fields[name.decode("ascii", "replace")] = value.decode("utf-8", "replace")
            stop = min(stop + 9 + length, len(data))
        at = stop + 1
    if last and (tail := data[end:]):
        entries.append((_entry(fields, tail), start, tail.count(b"\n") + (not tail.endswith(b"\n"))))
        end = len(data)
    return tuple(entries), end, blank


def _entry(fields: dict[str, str], lines: bytes) -> bytes:
    """The fields as an entry; lines of which none could be read as they are."""
    return msgspec.json.encode(fields) if fields else lines.removesuffix(b"\n")
