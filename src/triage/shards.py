"""A large file in parts: each is read by itself, by whatever process, and what lies across their borders is put together.

A part is read as if it were the first of its file. What that may get wrong is known: it is checked against what is known
once all before it was read, and a part that began with a wrong assumption is read again. So a report is the same however
many processes there are, and wherever the file was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.counting import Beginning, Gathering, Order, begin, count, is_earlier
from triage.grouping.marks import telling_words
from triage.grouping.requests import WORDS
from triage.intake.borders import BORDER, Opening
from triage.intake.calm import FIRST_ROWS, Telling
from triage.intake.decode import Account, Batch, Decoder, batches_of, decode, look, sieve_of
from triage.intake.detection import Reading
from triage.intake.entries import EntrySieve, Widths
from triage.intake.framing import pieces
from triage.intake.letters import patterns_of
from triage.intake.plausible import Plausible
from triage.intake.repeats import Repeats
from triage.intake.rows import Tally
from triage.intake.sources import Part, Source, Stream, cut_lines, is_plain
from triage.intake.stacks import known_traces
from triage.intake.traces import Assembled, Assembler, Waiting
from triage.intake.truncated import Cuts, Long
from triage.options import Options, catalog_of, folders, keeper, reading_options
from triage.schema import EVENTS, INTAKE, TIME, conform, empty
from triage.summary import Merging, Summary, merge_all
from triage.sums import Sums

SMALLEST = 48 << 20  # bytes of a part: what it costs to begin one must not show
LARGEST = 512 << 20
_PARTS = 2  # of a file of middle size: as many as there are processes, unless more memory is given than usual
_EVEN = 192 << 20  # bytes of a part, of which there may be twice as many: failures crowd in some, which take longer
_TOGETHER = 8 << 20  # bytes of small files that are read in one go
_BEFORE = 64 << 10  # bytes in front of a part, where the time is looked for that its first records take
_PATIENCE = 2  # parts of a source that are read again before the rest is read in one go


class Start(Struct, frozen=True):
    """What the head of a source says that every part of it has to know."""

    beginning: Beginning
    mixed: frozenset[int]


class Task(Struct, frozen=True):
    """What one process reads in one go: some whole sources, or a part of one, of which `start` is known."""

    sources: tuple[Source, ...]
    part: Part | None = None
    start: Start | None = None

    @property
    def size(self) -> int:
        """Bytes, as far as they are known."""
        if self.part is not None:
            return (self.part.end or self.sources[0].size or 0) - self.part.start
        return sum(source.size or 0 for source in self.sources)


class Partial(Struct, frozen=True):
    """What was read of a part, with lines counted from its start, and what it takes to put it behind what is before it.

    `aside` are rows that whoever read what is before has to read, `lent` the times that undated rows among those and among
    the waiting ones take. `bare` are streams of which text without a header was read as if they began with a header. `waits` are bytes and lines at its end that wait for more; `borrowed` is the time in front of the part that its first records took, where they `asked` for one.
    """

    summary: Summary
    records: int
    lines: int
    waits: tuple[int, int]
    waiting: Waiting
    aside: pl.DataFrame | None
    lent: pl.DataFrame
    bare: frozenset[int]
    account: Account
    first: datetime | None
    last: datetime | None
    disorder: int
    borrowed: datetime | None
    asked: bool


Outcome = Summary | Partial | None  # None: it cannot be read from its middle
Read = Callable[[Source, int, int], None]  # told of a source, bytes and records that were read of it


class Reader:
    """Does tasks, one after the other, with what was learned of their sources."""

    def __init__(self, options: Options, read: Read | None = None) -> None:
        self._options, self._read = options, read
        self._dirs = folders(options)
        # lines that never become rows cannot be left out one by one
        whole = not (options.since or options.until or options.services)
        telling = Telling(telling_words(self._dirs), _parts_of_traces(self._dirs), WORDS) if whole else None
        self._reading_as = replace(reading_options(options), telling=telling)
        self._known: dict[str, Reading] = {}
        self._sieves: dict[str, EntrySieve | None] = {}
        self._widths: dict[
            str, Mapping[str, int]
        ] = {}  # of buckets in what was read of a source: no part needs finer ones

    def plan(self, sources: Sequence[Source], *, size: int | None = None) -> list[Task]:
        """The sources as tasks in input order; what they are depends on the sources alone, so all is merged in the same way.

        `size` are the bytes of a part, where they are not to follow from the size of the file.
        """
        tasks: list[Task] = []
        small: list[Source] = []
        for source in sources:
            cuts = self._cut(source, size)
            if small and (cuts or sum(s.size or 0 for s in [*small, source]) > _TOGETHER):
                tasks.append(Task(tuple(small)))
                small = []
            if cuts:
                tasks += [Task((source,), part, cuts[0]) for part in cuts[1]]
            else:
                small.append(source)
        return [*tasks, Task(tuple(small))] if small else tasks

    def _cut(self, source: Source, size: int | None) -> tuple[Start, list[Part]] | None:
        """The parts of a file that can be read in parts and is worth it, and what each has to know."""
        if source.size is None or source.size < 2 * (size or SMALLEST):
            return None
        with source.opener() as file:
            if not is_plain(file.read(8)):
                return None
        stream = source.open()
        reading = self.look(source, stream)
        if reading.framing.how != "lines":
            return None
        decoder = Decoder(source, reading, self._reading_as)
        found = (decoder.take([piece], last=False) for piece in pieces(stream, reading.framing, 1 << 20))
        taken, height = list[Batch](), 0
        while height < FIRST_ROWS and (batch := next(found, None)) is not None:
            taken.append(batch)
            height += batch.rows.height
        beginning, batches = begin(iter(taken))
        if beginning.newest_first:
            return None
        assembler = Assembler(known_traces(self._dirs), newest_first=False)
        for batch in batches:
            assembler.take(batch)
        parts = cut_lines(source, size or _part_size(source.size))
        return (Start(beginning, assembler.waiting.mixed), parts) if len(parts) > 1 else None

    def look(self, source: Source, stream: Stream | None = None) -> Reading:
        """How the source is read."""
        if source.name not in self._known:
            head = stream or source.open()
            self._known[source.name] = look(source, head, catalog_of(self._dirs), self._reading_as)
        return self._known[source.name]

    def run(self, task: Task) -> Outcome:
        """Do a task: a Summary of whole sources, or the Partial of a part."""
        if task.part is None or task.start is None:
            return merge_all(part for source in task.sources for part in self.summarize(source))
        return self._read_part(task.sources[0], task.part, task.start)

    def summarize(self, source: Source) -> Iterator[Summary]:
        """The summaries of a source that is read from its start to its end."""
        beginning, batches = begin(decode(source, catalog_of(self._dirs), self._reading_as))
        course = self.course(source, Order(beginning), Assembler(known_traces(self._dirs), beginning.newest_first))
        for batch in batches:
            yield from course.take(batch)
            del batch
        yield from course.finish()

    def course(self, source: Source, order: Order, assembler: Assembler) -> Course:
        """What the batches of a source go through."""
        return Course(source, order, assembler, keeper(self._options), Gathering(self._dirs), self._read)

    def begin(self, source: Source, start: Start) -> tuple[Decoder, Course]:
        """What reads a source from its start."""
        order, assembler = Order(start.beginning), Assembler(known_traces(self._dirs), newest_first=False)
        reading = self.look(source)
        if source.name not in self._sieves:
            self._sieves[source.name] = sieve_of(source, reading, self._reading_as)
        sieve = self._sieves[source.name]
        sieve = sieve.fork() if sieve is not None else None
        return Decoder(source, reading, self._reading_as, sieve), self.course(source, order, assembler)

    def batches(self, source: Source, part: Part, decoder: Decoder) -> Iterator[Batch]:
        """The batches of a part."""
        stream = source.open(part)
        return batches_of(stream, decoder, self.look(source), self._reading_as, ends=part.end is None)

    def _read_part(self, source: Source, part: Part, start: Start) -> Partial | None:
        """What is read of a part as if nothing was in front of it."""
        decoder, course = self.begin(source, start)
        opening = None
        if part.start > 0:
            decoder.carry_on(_account(Plausible(self.look(source).usual, inside=True)))
            course.order.ask = lambda: self._time_before(source, part.start)
            course.assembler = Assembler(known_traces(self._dirs), newest_first=False, mixed=start.mixed)
            opening = Opening(course.assembler)
        course.read = None  # it is told when it is put in its place
        merging = Merging()
        if widths := self._widths.get(source.name):
            course.gathering.widen(widths)
            decoder.widen(_sifted(widths))
        asides: list[pl.DataFrame] = []
        lent: list[pl.DataFrame] = []
        lines = disorder = 0
        for batch in self.batches(source, part, decoder):
            lines += int(batch.intake["lines"].sum())
            course.order.see(batch.times, batch.disorder)
            disorder, course.order.disorder = disorder + course.order.disorder, 0
            if opening is None:
                assembled = course.assembler.take(batch)
            else:
                if batch.intake["notices"].list.len().sum():  # they name lines
                    return None
                rows, aside = opening.take(batch.rows)
                if opening.hopeless:
                    return None
                assembled = course.assembler.insert(rows, batch.intake)
                if aside is not None:
                    asides.append(aside)
                    lent.append(_lent(aside, course.order))
                del rows
            assembled, calm, requests = course.complete(assembled, batch), batch.calm, batch.requests
            del batch
            for summary in course.count(assembled, calm=calm, requests=requests):
                merging.add(summary)
                course.gathering.widen(merging.widths)
                decoder.widen(_sifted(merging.widths))
            del assembled, calm, requests
        if course.repeats is not None and course.repeats.waits:
            return None
        waiting = course.assembler.waiting
        if waiting.held is not None:
            lent.append(_lent(waiting.held, course.order))
        for summary in course.rest():
            merging.add(summary)
        merged = merging.merged()
        self._widths[source.name] = merged.widths
        order = course.order
        return Partial(
            summary=merged,
            records=course.records,
            lines=lines + decoder.waits[1],
            waits=decoder.waits,
            waiting=replace(waiting, count=opening.count) if opening is not None else waiting,
            aside=pl.concat(asides) if asides else None,
            lent=pl.concat(lent) if lent else _TIMES,
            bare=frozenset(opening.bare) if opening is not None else frozenset(),
            account=decoder.account,
            first=order.first,
            last=order.last,
            disorder=disorder,
            borrowed=order.borrowed,
            asked=order.asked,
        )

    def _time_before(self, source: Source, at: int) -> datetime | None:
        """The last time in the lines directly in front of that byte."""
        with source.opener() as file:
            file.seek(max(0, at - _BEFORE))
            data = file.read(min(at, _BEFORE))
        lines = data[data.find(b"\n") + 1 :]
        reading = self.look(source)
        decoder = Decoder(source, reading, self._reading_as)
        times = [
            decoder.take([piece], last=True).rows["at"].drop_nulls()
            for piece in pieces(Stream(source.name, BytesIO(lines)), reading.framing, _BEFORE)
        ]
        found = pl.concat(times) if times else pl.Series(dtype=TIME)
        return found[-1] if len(found) else None


def _part_size(size: int) -> int:
    """Bytes of a part of a file of that size: at least one for each process, and more where that costs next to nothing."""
    return max(SMALLEST, min(LARGEST, size // _PARTS, max(_EVEN, size // (2 * _PARTS))))


def _sifted(widths: Mapping[str, int]) -> Widths:
    """The widths of buckets in which lines are told apart that never become rows."""
    return Widths(widths["volume"], widths["traffic"], widths["activity"], widths["rhythm"])


def _parts_of_traces(dirs: tuple[Path, ...] | None) -> tuple[str, ...]:
    return tuple(patterns_of(known_traces(dirs)).values())


_IS_ROW = (pl.col("format") != BORDER).fill_null(value=True)
_TIMES = pl.DataFrame(schema={"line": pl.Int64, "at": TIME})


def _lent(rows: pl.DataFrame, order: Order) -> pl.DataFrame:
    """The times that undated rows would take as events, each as if it stood on the line before."""
    lines = rows.filter(pl.col("at").is_null() & _IS_ROW)["line"]
    return pl.DataFrame({"line": lines - 1, "at": order.before(lines)}) if len(lines) else _TIMES


def _last_time(order: Order, line: int) -> pl.DataFrame:
    """The last time that was seen, as that of the row in front of a line."""
    return pl.DataFrame({"line": [line - 1], "at": [order.last]}, schema=_TIMES.schema).drop_nulls()


def _without_borders(assembled: Assembled) -> Assembled:
    return Assembled(assembled.events.filter(_IS_ROW), assembled.intake)


def _account(stamps: Plausible) -> Account:
    return Account(Tally(), stamps, Cuts(), Long())


class Course(Struct):
    """The way of the batches of one source: put together, sorted into what matters, gathered into tables."""

    source: Source
    order: Order
    assembler: Assembler
    keep: Callable[[Assembled], Assembled]
    gathering: Gathering
    read: Read | None
    records: int = 0
    repeats: Repeats | None = None

    def take(self, batch: Batch) -> Iterator[Summary]:
        """Summaries, as soon as there is enough for one."""
        self.order.see(batch.times, batch.disorder)
        size = int(batch.intake["bytes"].sum())
        assembled, calm, requests = self.complete(self.assembler.take(batch), batch), batch.calm, batch.requests
        del batch
        yield from self.count(assembled, size, calm, requests)

    def complete(self, assembled: Assembled, batch: Batch | None = None) -> Assembled:
        """What was put together of a batch, with its records that came before."""
        repeated = batch.repeated if batch is not None else ()
        if repeated:
            self.repeats = repeated[0].by
        if self.repeats is None:
            return assembled
        events = self.repeats.complete(assembled.events, repeated, learn=not self.order.begun.newest_first)
        return Assembled(events, assembled.intake)

    def count(
        self,
        assembled: Assembled,
        size: int = 0,
        calm: pl.DataFrame | None = None,
        requests: Sums | None = None,
    ) -> Iterator[Summary]:
        """The same for events that are put together already, and lines that only count (CALM), with the requests among them."""
        assembled = self.keep(assembled)
        counted = count(assembled, self.order, self.gathering.dirs, calm, requests)
        self.tell(size, assembled.events.height + int(counted.calm["count"].sum()))
        del assembled
        self.order.forget(self.assembler.oldest)
        yield from self.gathering.take(counted)

    def tell(self, size: int, records: int) -> None:
        """Say how far reading is."""
        self.records += records
        if self.read is not None:
            self.read(self.source, size, records)

    def finish(self) -> Iterator[Summary]:
        """What still waited."""
        yield from self.count(self.complete(self.assembler.finish()))
        yield from self.rest()

    def rest(self) -> Iterator[Summary]:
        """The summary of what is gathered so far."""
        yield from self.gathering.rest()


class Trunk:
    """The parts of one source, put one behind the other."""

    def __init__(self, source: Source, start: Start, reader: Reader) -> None:
        self._source, self._start, self._reader = source, start, reader
        self._decoder, self._course = reader.begin(source, start)
        keep = self._course.keep
        self._course.keep = lambda assembled: keep(_without_borders(assembled))
        self._line = 1
        self._waits = (0, 0)
        self._read_again = 0

    @property
    def impatient(self) -> bool:
        """Whether parts are no use here: from now on everything is read in one go."""
        return self._read_again >= _PATIENCE

    def take(self, task: Task, partial: Partial | None) -> Iterator[Summary]:
        """Summaries of the next part, and of what it and those before it have in common."""
        if task.part is None:
            return
        fitting = None if partial is None or self.impatient else self._fit(partial)
        if partial is None or fitting is None:
            self._read_again += 1
            yield from self._read(task.part)
        else:
            yield from self._append(partial, *fitting)
            self._course.tell(task.size, partial.records)

    def finish(self) -> Iterator[Summary]:
        """What waited until the end, and what is to be said of the source as a whole."""
        for batch in self._decoder.finish():
            yield from self._course.take(batch)
        ledger = conform(
            pl.DataFrame({"source": [self._source.name], "notices": [[]]}, schema_overrides=INTAKE), INTAKE
        )
        yield from self._course.count(Assembled(empty(EVENTS), ledger))
        yield from self._course.finish()

    def _fit(self, partial: Partial) -> tuple[Assembler, Assembled] | None:
        """What the rows put aside become; None where the part began with an assumption that was wrong."""
        order, assembler = self._course.order, self._course.assembler.fork()
        before = self._time(order)
        entered = partial.account.stamps.entered
        if self._waits != (0, 0) or self._decoder.waits != (0, 0) or (partial.asked and partial.borrowed != before):
            return None
        if entered is not None and not self._decoder.account.stamps.welcomes(entered):
            return None
        held, aside = assembler.waiting.held, self._shift(partial.aside)
        own = [] if aside is None else [aside.filter(_IS_ROW)]
        if any(assembler.unsettled(rows) for rows in ([] if held is None else [held]) + own):
            return None
        events = Assembled(empty(EVENTS), empty(INTAKE))
        if aside is not None and aside.height:
            found = assembler.insert(aside, empty(INTAKE)), assembler.close(aside.filter(~_IS_ROW))
            events = Assembled(*(pl.concat([getattr(a, n) for a in found]) for n in ("events", "intake")))
        if partial.bare & (assembler.waiting.mixed ^ self._start.mixed):
            return None
        return assembler, events

    def _append(self, partial: Partial, assembler: Assembler, events: Assembled) -> Iterator[Summary]:
        course, order = self._course, self._course.order
        yield shift_lines(partial.summary, self._line - 1)
        course.assembler = assembler
        order.know(_last_time(order, self._line))
        order.know(partial.lent.with_columns_seq(pl.col("line") + self._line - 1))
        order.disorder += partial.disorder + (
            partial.first is not None and order.last is not None and is_earlier(partial.first, order.last)
        )
        assembler.follow(replace(partial.waiting, held=self._shift(partial.waiting.held)))
        yield from course.count(events)
        order.last = order.last if partial.last is None else partial.last
        self._decoder.carry_on(_sum(self._decoder.account, partial.account, self._line - 1))
        self._line += partial.lines
        self._waits = partial.waits

    def _read(self, part: Part) -> Iterator[Summary]:
        """Read the part with all that is known of those before it."""
        size, lines = self._waits
        line, told = self._line - lines, self._line - lines - self._decoder.waits[1]  # what waits is still to be told
        self._waits = (0, 0)
        self._course.order.know(_last_time(self._course.order, told))
        for batch in self._reader.batches(self._source, Part(part.start - size, part.end, line), self._decoder):
            told += int(batch.intake["lines"].sum())
            yield from self._course.take(batch)
        self._line = told + self._decoder.waits[1]
        yield from self._course.rest()

    def _shift(self, rows: pl.DataFrame | None) -> pl.DataFrame | None:
        return None if rows is None else rows.with_columns_seq(pl.col("line") + self._line - 1)

    def _time(self, order: Order) -> datetime | None:
        return order.begun.first if order.last is None else order.last


def shift_lines(summary: Summary, by: int) -> Summary:
    """The summary of a part with the lines as they are numbered in the whole."""
    moved = {
        name: rows.with_columns_seq(pl.col("line") + by)
        for name, rows in summary.tables.items()
        if "line" in rows.columns
    }
    return Summary({**summary.tables, **moved}, summary.widths)


def _sum(a: Account, b: Account, lines: int) -> Account:
    """What was counted of two parts of a source, the second of which begins behind that many lines."""

    def earlier(one: int | None, other: int | None) -> int | None:
        return one if one is not None or other is None else other + lines

    stamps = replace(
        a.stamps, count=a.stamps.count + b.stamps.count, line=earlier(a.stamps.line, b.stamps.line),
        at=a.stamps.at if a.stamps.line is not None else b.stamps.at,
    )  # fmt: skip
    if b.stamps.last is not None:
        stamps = replace(stamps, last=b.stamps.last, refused=b.stamps.refused)
    return Account(
        Tally(a.tally.zone + b.tally.zone, a.tally.year + b.tally.year),
        stamps,
        Cuts(a.cuts.entries + b.cuts.entries, earlier(a.cuts.line, b.cuts.line)),
        Long(a.long.count + b.long.count, earlier(a.long.line, b.long.line)),
    )


def put_together(
    tasks: Sequence[Task], outcomes: Iterable[Outcome], reader: Reader, drop: Callable[[Task], None]
) -> Iterator[Summary]:
    """The summaries of all tasks, from what came of each, in order; `drop` is told of tasks that need not be done."""
    trunk: Trunk | None = None
    for task, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, Summary):
            yield outcome
            continue
        if task.start is None or task.part is None:
            continue
        if trunk is None:
            trunk = Trunk(task.sources[0], task.start, reader)
        yield from trunk.take(task, outcome)
        if trunk.impatient:
            drop(task)
        if task.part.end is None:
            yield from trunk.finish()
            trunk = None
