"""Blocks of a source to ROWS: envelopes unwrapped, times and levels normalised, every line accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from io import BytesIO
from zoneinfo import ZoneInfo

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from triage.errors import TriageError
from triage.intake import compiled
from triage.intake.calm import Calm, Sieve, Sifted, Telling
from triage.intake.cutting import Tree
from triage.intake.detection import MAPPED, Reading, study, with_fields, with_levels
from triage.intake.entries import EntrySieve, SiftedEntries, Widths
from triage.intake.formats import Catalog, Detection
from triage.intake.framing import Piece, pieces
from triage.intake.jsonrows import Entries, frames_of, read_lines, read_objects
from triage.intake.levels import read_level
from triage.intake.plausible import Plausible
from triage.intake.repeats import Repeated
from triage.intake.retold import Retold
from triage.intake.rows import Tally, blank_rows
from triage.intake.setin import SetIn, names_above
from triage.intake.sources import Source, Stream
from triage.intake.textrows import read_texts
from triage.intake.times import Clock
from triage.intake.truncated import Cuts, Long
from triage.intake.typedrows import Typed
from triage.schema import ANSWERED, ASKED, CALM, INTAKE, LEVELS, ROWS, conform, empty
from triage.sums import Sums

BATCH_BYTES = 24 << 20  # of entries that are made into rows at once where memory is not short
TEXT_BYTES = 8 << 20  # the same of plain lines
_RAW = 8  # times as many bytes may be read at once where most lines only count, so that little of them is left
_SIFTED = 8  # times as many bytes of JSON are sifted at once: less is kept at their ends
HELD_CAP = 4 << 20  # bytes that wait for the rest of a split entry


class ReadOptions(Struct, frozen=True):
    """How to read: zone of stamps without one, a format that is forced, words that mean levels, sizes in bytes.

    `field_map` names the key (dotted where it stands deeper) in which JSON entries hold a field: it is asked first.
    `telling` is what says of lines more than that they were written; where it is given, lines that only count become no rows
    (Batch.calm).
    """

    tz: str = "UTC"
    input_format: str | None = None
    level_map: Mapping[str, str] = field(default_factory=dict)
    field_map: Mapping[str, str] = field(default_factory=dict)
    with_fields: bool = False
    block_bytes: int = 1 << 20  # of JSON lines that are decoded at once: they stay in the cache of the processor
    batch_bytes: int = BATCH_BYTES  # that are made into rows at once
    text_bytes: int = TEXT_BYTES  # of plain lines
    year: int | None = None
    telling: Telling | None = None

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.tz)
        except (KeyError, ValueError, OSError):
            raise TriageError(f"no time zone called {self.tz!r}", hint="use a name like Europe/Berlin or UTC") from None
        for word, level in self.level_map.items():
            if level.upper() not in LEVELS and read_level(level) is None:
                raise TriageError(f"{level!r} is no level for {word!r}", hint=f"one of {', '.join(LEVELS).lower()}")
        for name, key in self.field_map.items():
            if name not in MAPPED or not key:
                raise TriageError(f"no field called {name!r} with a key {key!r}", hint=f"fields: {', '.join(MAPPED)}")


class Batch(Struct, frozen=True):
    """ROWS of a part of a source, the CALM of its lines that only count, and the one INTAKE row that accounts for both.

    `requests` are those that lines tell of which only count, `repeated` records that came before, whose lines are no rows. `times` are line and time of the rows and of the first and last of the other lines that stand together, in input order,
    `disorder` how many of those between them are dated before the one in front of them.
    """

    rows: pl.DataFrame
    intake: pl.DataFrame
    calm: pl.DataFrame | None
    times: pl.DataFrame
    disorder: int = 0
    requests: Sums | None = None
    repeated: tuple[Repeated, ...] = ()


def decode(source: Source, catalog: Catalog, options: ReadOptions | None = None) -> Iterator[Batch]:
    """The rows of a source in input order, batch by batch.

    Over all batches: lines = sum of rows' lines + blank + rejected. A broken JSON line is kept as a row with its raw
    text, lines 0, and counted in rejected. A line that is empty is a row with the message "" (the assembler, which may
    need it inside a stack, counts it as blank); `blank` here are only lines that hold nothing but JSON punctuation.
    An input without a byte gives one batch without rows, so that it is accounted for as well.
    """
    options = options or ReadOptions()
    stream = source.open()
    reading = look(source, stream, catalog, options)
    decoder = Decoder(source, reading, options)
    yield from batches_of(stream, decoder, reading, options, live=source.size is None)
    yield from decoder.finish(stream.take_notices())


def batches_of(
    stream: Stream, decoder: Decoder, reading: Reading, options: ReadOptions, *, live: bool = False, ends: bool = True
) -> Iterator[Batch]:
    """The batches of a stream; `ends` says that the source ends with it. What comes in live is not kept waiting."""
    parts = pieces(stream, reading.framing, piece_bytes(reading, options, sifted=decoder.sifts))
    if reading.json_first or live:
        size = 0 if live else options.batch_bytes
        groups = _grouped(parts, size, options.batch_bytes if live else _RAW * options.batch_bytes, decoder)
    else:
        # what is left of calm lines is tracebacks more often than not, which take more room each
        groups = _grouped(parts, options.text_bytes // 2, _RAW * options.text_bytes, decoder)
    for group, last in groups:
        yield decoder.take(group, last=last and ends)


def look(source: Source, stream: Stream, catalog: Catalog, options: ReadOptions) -> Reading:
    """How the source is read, by the head of this stream and what the user says; consumes nothing."""
    known = with_fields(with_levels(catalog, options.level_map), options.field_map)
    return study(stream, known, options.input_format, Clock(options.tz, source.modified, options.year))


def piece_bytes(reading: Reading, options: ReadOptions, *, sifted: bool = False) -> int:
    """How large a piece is that is read at once; of a large one that is sifted less is kept at its ends."""
    block = options.block_bytes * (_SIFTED if sifted else 1)
    return min(block if reading.json_first else options.text_bytes, options.batch_bytes)


class Account(Struct, frozen=True):
    """What is counted of a source over all its batches: stamps that leave something out or lie far off, texts that were cut."""

    tally: Tally
    stamps: Plausible
    cuts: Cuts
    long: Long


class Decoder:
    """What `decode` keeps between two batches of a source: the start of an entry that is split, and what was assumed."""

    def __init__(self, source: Source, reading: Reading, options: ReadOptions, sieve: EntrySieve | None = None) -> None:
        self._source, self._reading, self._options = source, reading, options
        self._clock = Clock(options.tz, source.modified, options.year, day_first=reading.day_first)
        self._tally, self._stamps, self._cuts = Tally(), Plausible(reading.usual), Cuts()
        self._long = Long()
        spoken = [one for one in reading.json if one.name in reading.detection.formats]
        self._retold = Retold() if any(one.retells for one in spoken) else None
        self._set_in = SetIn() if not reading.json_first and names_above(reading.layers.first) else None
        self._sieve: Sieve | None = None
        self._entries: EntrySieve | None = None
        if options.telling is not None and not options.with_fields:
            if reading.header is not None:
                self._sieve = Sieve(reading.header, options.telling)
            self._entries = sieve or sieve_of(source, reading, options)
        self._notices = list(reading.notices)
        self._held: Piece | None = None
        self._nothing = True

    def fork(self) -> Decoder:
        """Another that goes on from here: what it is given, or that it is finished, changes nothing in this one."""
        other = copy(self)
        other._tally, other._stamps, other._cuts = replace(self._tally), replace(self._stamps), replace(self._cuts)
        other._long, other._notices = replace(self._long), list(self._notices)
        other._retold, other._set_in = copy(self._retold), copy(self._set_in)
        return other

    @property
    def sifts(self) -> bool:
        """Whether entries that only count are told apart from the start."""
        return self._entries is not None and self._entries.worthwhile

    def widen(self, widths: Widths) -> None:
        """Tell lines that only count, and requests among them, apart in slices of so many microseconds from now on: no finer ones
        are asked for."""
        if self._sieve is not None:
            self._sieve.width = max(widths.entries, self._sieve.width)
        if self._entries is not None:
            self._entries.widths.widen(widths)

    @property
    def account(self) -> Account:
        """What was counted so far, to be told at the end."""
        return Account(self._tally, self._stamps, self._cuts, self._long)

    @property
    def waits(self) -> tuple[int, int]:
        """How many bytes and lines at the end of what was taken wait for the rest of their entry."""
        return (len(self._held.data), self._held.lines) if self._held is not None else (0, 0)

    def carry_on(self, account: Account) -> None:
        """Go on from what was counted of the part of the source in front of this one."""
        self._tally, self._stamps, self._cuts, self._long = account.tally, account.stamps, account.cuts, account.long
        self._notices, self._nothing = [], False

    def take(self, group: list[Piece], *, last: bool) -> Batch:
        """The rows of these pieces, which are emptied; an entry that may go on waits unless they are the last."""
        parts = [*group] if self._held is None else [self._held, *group]
        group.clear()  # what is done with is not held on to: each is a lot of memory
        self._held = None
        before = replace(self._tally)
        taken = self._read(parts, last=last)
        if taken.pending is not None and not last:
            parts, self._held = _split(parts, taken.pending)
            self._tally = before  # it is read again
            taken = self._read(parts, last=True)
        if self._entries is not None:
            self._entries.learn(taken.rows)
        said = [*self._notices, *(notice for part in parts for notice in part.notices)]
        self._notices, self._nothing = [], False
        self._cuts.see_texts(taken.rows)
        if self._reading.typed is None:  # platforms whose fields are known have no such field
            self._cuts.see_flags(taken.suspects)
        ends = pl.concat([calm.ends for calm in taken.calm]) if taken.calm else None
        rows = taken.rows if self._set_in is None else self._set_in.named(taken.rows)
        rows = self._long.shorten(self._stamps.believed(rows, ends))
        rows = rows if self._retold is None else self._retold.once(rows)
        uncounted = taken.rejected, taken.blank
        return _batch(rows, parts, uncounted, self._source, self._reading.detection, said, taken.calm, self._entries)

    def finish(self, notices: Sequence[str] = ()) -> Iterator[Batch]:
        """What still waited, and what is to be said of the source as a whole."""
        if self._held is not None:
            yield self.take([], last=True)
        assumed = _assumptions(self._tally, self._source, self._options)
        name = self._source.name
        said = [*self._stamps.notices(name), *self._cuts.notices(name), *self._long.notices(name)]
        final = [*self._notices, *notices, *assumed, *said]
        if final or self._nothing:
            yield _batch(empty_rows(), [], (0, 0), self._source, self._reading.detection, final)

    def sift(self, part: Piece) -> Piece:
        """The piece, without lines that only count where those are told apart."""
        if self._entries is not None and part.lines and part.objects is None:
            entries = self._entries.sift(part.data, part.line, part.lines, self._read_some)
            return part if entries is None else replace(part, data=b"", sifted=entries)
        if self._sieve is None or not part.lines:
            return part
        sifted = self._sieve.sift(part.data, part.line, part.lines)
        if sifted is None or not self._stamps.near(sifted.calm.stamps):
            return part
        return replace(part, data=b"", sifted=sifted)

    def _read_some(self, lines: SiftedEntries) -> pl.DataFrame:
        """The rows of some lines in front of others, which nothing is counted of: they are read again."""
        numbers = memoryview(lines.numbers).cast("q")
        part = Piece(numbers[0], len(numbers), len(lines.data), sifted=lines)
        return _read([part], self._reading, self._options, self._clock, Tally(), last=True).rows

    def _read(self, parts: list[Piece], *, last: bool) -> _Taken:
        return _read(parts, self._reading, self._options, self._clock, self._tally, last=last)


def sieve_of(source: Source, reading: Reading, options: ReadOptions) -> EntrySieve | None:
    """What tells entries of the source that only count; parts of it take forks."""
    if reading.plan is None or options.telling is None or options.with_fields:
        return None
    hint = source.service_hint, source.instance_hint
    return EntrySieve(reading.plan, options.telling, reading.usual, hint, source.size or 0)


def empty_rows() -> pl.DataFrame:
    """ROWS work frame without rows."""
    return blank_rows(pl.DataFrame({"i": pl.Series([], dtype=pl.Int64)}))


def _grouped(parts: Iterator[Piece], size: int, raw: int, decoder: Decoder) -> Iterator[tuple[list[Piece], bool]]:
    """Pieces, sifted, that together take about `size` bytes and were made of no more than `raw`, and whether they are the last ones."""
    group: list[Piece] = []
    taken = read = 0
    part = next(parts, None)
    while part is not None:
        sifted, part = decoder.sift(part), None  # the bytes of one are not held while the next are read
        part = next(parts, None)
        group.append(sifted)
        taken, read = taken + sifted.weight, read + sifted.size
        if part is None or taken + sifted.weight > size or read + sifted.size > raw:
            yield group, part is None
            group, taken, read = [], 0, 0


def _split(parts: list[Piece], pending: int) -> tuple[list[Piece], Piece | None]:
    """The pieces up to what waits for more input, and the rest; no rest when it is too large to be held."""
    if parts[0].objects is not None:
        objects = [one for part in parts for one in part.objects or ()]
        rest = tuple(objects[pending:])
        if sum(len(body) for body, _, _ in rest) > HELD_CAP:
            return parts, None
        lines = sum(count for _, _, count in rest)
        all_lines, size, blank = (sum(getattr(p, n) for p in parts) for n in ("lines", "size", "blank"))
        notices = tuple(notice for part in parts for notice in part.notices)
        done = Piece(parts[0].line, all_lines - lines, size, b"", tuple(objects[:pending]), blank, notices)
        return [done], Piece(rest[0][1], lines, 0, b"", rest)
    at = next(n for n, part in enumerate(parts) if pending < part.line + part.lines)
    if any(isinstance(part.sifted, SiftedEntries) for part in parts[at:]):
        return _split_entries(parts, at, pending)
    if isinstance(sifted := parts[at].sifted, Sifted):  # lines at the end are kept, all of them
        early = int(sifted.numbers.search_sorted(pending))
        tail = "".join(f"{line}\n" for line in sifted.lines[early:]).encode()
        sifted = replace(sifted, lines=sifted.lines[:early], numbers=sifted.numbers[:early])
        end = Piece(pending, parts[at].line + parts[at].lines - pending, len(tail), tail)
        start = replace(parts[at], lines=pending - parts[at].line, size=parts[at].size - len(tail), sifted=sifted)
        parts = [*parts[:at], start, end, *parts[at + 1 :]]
        at += 1
    if any(part.sifted is not None for part in parts[at:]):
        return parts, None  # what is behind it is read already, and most of it gone
    cut = _offset(parts[at].data, pending - parts[at].line)
    rest_data = b"".join((parts[at].data[cut:], *(p.data for p in parts[at + 1 :])))
    if len(rest_data) > HELD_CAP:
        return parts, None
    last = parts[at]
    done = replace(last, lines=pending - last.line, size=cut, data=last.data[:cut])
    more = tuple(notice for part in parts[at + 1 :] for notice in part.notices)
    lines = sum(p.lines for p in parts[at:]) - done.lines
    return [*parts[:at], done], Piece(pending, lines, len(rest_data), rest_data, notices=more)


def _split_entries(parts: list[Piece], at: int, pending: int) -> tuple[list[Piece], Piece | None]:
    """The same where entries that only count are gone from some pieces from that place on; what is behind it joins the rest."""
    mine, *behind = map(_sifted_of, parts[at:])
    early, late = mine.split(pending)
    rest = late.joined(behind)
    if len(rest.data) > HELD_CAP:
        return parts, None
    last = parts[at]
    done = replace(last, lines=pending - last.line, data=b"", sifted=early)
    lines = sum(part.lines for part in parts[at:]) - done.lines
    more = tuple(notice for part in parts[at + 1 :] for notice in part.notices)
    size = sum(part.size for part in parts[at + 1 :])
    return [*parts[:at], done], Piece(pending, lines, size, sifted=rest, notices=more)


def _sifted_of(part: Piece) -> SiftedEntries:
    """The entries of a piece, of which all are kept where it was not sifted."""
    found = part.sifted
    return found if isinstance(found, SiftedEntries) else SiftedEntries.of(part.data, part.line, part.lines)


def _offset(data: bytes, lines: int) -> int:
    """Where the line behind the first `lines` of the data starts."""
    at = 0
    for _ in range(lines):
        at = data.find(b"\n", at) + 1
        if not at:
            return len(data)
    return at


class _Taken(Struct, frozen=True):
    """Rows of some pieces, how many of their lines were rejected and blank, the row from which on it waits for more (None:
    nowhere), JSON in which an entry may say that its text was cut, and lines that only count."""

    rows: pl.DataFrame
    rejected: int
    blank: int
    pending: int | None
    suspects: Sequence[bytes]
    calm: Sequence[Calm] = ()


def _read(
    parts: list[Piece], reading: Reading, options: ReadOptions, clock: Clock, tally: Tally, *, last: bool
) -> _Taken:
    """What some pieces hold."""
    rejected = blank = 0
    suspects: Sequence[bytes] = ()
    tidy = False
    calm: list[Calm] = []
    if parts[0].objects is not None or reading.json_first:
        entries = _entries(parts, None, None) if options.with_fields else _entries(parts, reading.typed, reading.tree)
        frames = frames_of(entries, reading.typed, reading.json, options.with_fields, clock, tally)
        rejected, blank, suspects = entries.rejected, entries.blank, entries.suspects
        calm = [part.sifted.calm for part in parts if part.sifted is not None and part.sifted.calm.rows.height]
        del entries
    else:
        frames, tidy = [], True
        for part in parts:
            lines, numbers, plain = _lines_of(part)
            if part.sifted is not None and (part.sifted.calm.rows.height or part.sifted.calm.repeated is not None):
                calm.append(part.sifted.calm)
                tally.zone += part.sifted.calm.count if part.sifted.calm.unzoned else 0
            frames.append(_lines_frame(lines, numbers))
            tidy &= plain
    read = read_texts(
        _joined(frames), reading.layers, clock, tally, last=last, with_fields=options.with_fields, tidy=tidy
    )
    return _Taken(read.rows, rejected, blank, read.pending, suspects, calm)


def _entries(parts: Sequence[Piece], typed: Typed | None, tree: Tree | None) -> Entries:
    entries = Entries()
    for part in parts:
        if part.objects is not None:
            read_objects(part.objects, typed, entries)
        elif isinstance(part.sifted, SiftedEntries):
            read_lines(part.sifted.data, part.line, part.lines, typed, entries, tree, part.sifted.numbers)
        else:
            read_lines(part.data, part.line, part.lines, typed, entries, tree)
    return entries


def _joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """One frame of all; the list is emptied."""
    frame = pl.concat(frames, rechunk=True) if len(frames) > 1 else frames[0].rechunk() if frames else empty_rows()
    frames.clear()
    return frame


def _lines_frame(lines: pl.Series, numbers: pl.Series) -> pl.DataFrame:
    """A row for each line."""
    return blank_rows(pl.DataFrame({"message": lines, "i": numbers, "line": numbers}).with_columns_seq(lines=_ONE))


_ONE = pl.lit(1, dtype=pl.Int64)


def _lines_of(part: Piece) -> tuple[pl.Series, pl.Series, bool]:
    """The lines of a piece that are kept, their numbers, and whether they are tidy."""
    sifted = part.sifted
    if isinstance(sifted, Sifted):
        return sifted.lines, sifted.numbers, sifted.tidy
    data, numbers = part.data, pl.int_range(part.line, part.line + part.lines, dtype=pl.Int64, eager=True)
    if sifted is not None:
        data, numbers = sifted.data, pl.Series(memoryview(sifted.numbers).cast("q"), dtype=pl.Int64)
    if not data:
        return pl.Series("message", [], dtype=pl.String), numbers.head(0), True
    lines, tidy = _plain_lines(data, len(numbers))
    return lines, numbers, tidy


def _plain_lines(data: bytes, count: int) -> tuple[pl.Series, bool]:
    """So many lines without their ends, bytes that are no UTF-8 replaced, NUL bytes dropped; and whether they are tidy."""
    if compiled.lines_of is not None and (found := compiled.lines_of(data)) is not None:
        column, escapes, returns = found
        return pl.Series("message", column), not (escapes or returns)
    tidy = b"\x1b" not in data and b"\r" not in data  # far cheaper than to ask each line
    if b"\x00" not in data and b"\r" not in data:
        try:
            lines = pl.read_lines(BytesIO(data), name="message")["message"]
        except pl.exceptions.PolarsError:  # it has bytes that are no UTF-8
            lines = None
        if lines is not None and len(lines) == count:
            return lines, tidy
    text = data.decode("utf-8", "replace").replace("\x00", "").removesuffix("\n")
    lines = pl.Series("message", text.split("\n"), dtype=pl.String)
    return (lines.str.strip_suffix("\r") if "\r" in text else lines), tidy


def _batch(
    rows: pl.DataFrame,
    parts: list[Piece],
    uncounted: tuple[int, int],
    source: Source,
    detection: Detection,
    notices: list[str],
    calm: Sequence[Calm] = (),
    sieve: EntrySieve | None = None,
) -> Batch:
    """The batch of these rows; `sieve` knows what the groups and classes stand for of entries that only count."""
    rejected, blank = uncounted
    rows = rows.with_columns(pl.lit(source.name).alias("source"))
    if source.service_hint is not None and rows["service"].null_count():
        hinted = pl.col("service").is_null()
        rows = rows.with_columns(
            pl.col("service").fill_null(source.service_hint),
            pl.when(hinted)
            .then(pl.col("instance").fill_null(pl.lit(source.instance_hint, dtype=pl.String)))
            .otherwise("instance")
            .alias("instance"),
        )
    ledger = {
        "source": [source.name],
        "format": [detection.chain],
        "why": [detection.why],
        "bytes": [sum(part.size for part in parts)],
        "lines": [sum(part.lines for part in parts)],
        "blank": [sum(part.blank for part in parts) + blank],
        "rejected": [rejected],
        "notices": [notices],
    }
    rows = conform(rows, ROWS) if len(rows) else empty(ROWS)
    intake = pl.DataFrame(ledger, schema=INTAKE)
    times = rows.select_seq("line", "at")
    if not calm:
        return Batch(rows, intake, None, times)
    counted = pl.concat([one.rows for one in calm]).with_columns_seq(source=pl.lit(source.name))
    requests = None
    if sieve is None:
        counted = counted.with_columns_seq(service=pl.lit(source.service_hint, pl.String))
    else:
        counted = pl.concat([counted.drop("group"), sieve.names[counted["group"]]], how="horizontal")
        found = [one.requests for one in calm if one.requests is not None]
        if found:
            classes = sieve.classes.with_columns_seq(source=pl.lit(source.name))
            requests = Sums.together(found)
            requests = replace(requests, classes=conform(classes, ASKED), answers=conform(sieve.answers, ANSWERED))
    times = times.merge_sorted(pl.concat([one.ends for one in calm]), key="line")
    repeated = tuple(one.repeated for one in calm if one.repeated is not None)
    return Batch(rows, intake, conform(counted, CALM), times, sum(one.disorder for one in calm), requests, repeated)


def _assumptions(tally: Tally, source: Source, options: ReadOptions) -> list[str]:
    said = []
    if tally.zone:
        said.append(f"{source.name}: {tally.zone:,} stamps name no time zone; {options.tz} was assumed (--tz sets it)")
    if tally.year:
        said.append(
            f"{source.name}: {tally.year:,} stamps name no year; the one in which the log was written was assumed"
        )
    return said
