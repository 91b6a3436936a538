"""From inputs to a Summary, a Report or the frame of records: the pipeline, end to end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from triage.errors import TriageError
from triage.grouping.clusters import cluster_records
from triage.grouping.marks import mark
from triage.grouping.signature import find_failing, sign
from triage.intake.decode import Batch, ReadOptions, decode
from triage.intake.formats import Catalog, load_catalog
from triage.intake.sources import Source, open_sources
from triage.intake.traces import Assembled, assemble, known_traces
from triage.packs import pattern_dirs
from triage.report import Report
from triage.schema import QUIET, SIGNED, TIME
from triage.summary import Summary, merge_all

_AGO = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d)$")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ROOM = 24 << 20
_ROWS = 131_072  # quiet events that are counted before tables are made of them
_LOUD = 32_768  # the same for events that carry a failure, which are kept whole until then
_BATCHES = 512  # and batches: on a slow stream each is a few lines, and takes more memory for itself than for them


@dataclass(frozen=True, slots=True)
class Options:
    """How to read and what to keep. Times are ISO 8601, or "30m": that long before the log's end is `since`."""

    patterns: tuple[Path, ...] = ()
    tz: str = "UTC"
    input_format: str | None = None
    level_map: Mapping[str, str] = field(default_factory=dict)
    field_map: Mapping[str, str] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    services: tuple[str, ...] = ()
    title: str | None = None
    repo: Path | None = None
    baseline: Mapping[str, Any] | None = None  # the report of a good time, as `Report.to_dict()` gives it
    with_fields: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reading is: of the input `name`, bytes of bytes_total (None: unknown), and the records counted in it so far.

    It comes at least every 32 MB of text; records are counted in larger steps, so they follow a little later.
    """

    name: str
    bytes_read: int
    bytes_total: int | None
    records: int


def summarize(
    inputs: Sequence[str],
    options: Options | None = None,
    *,
    stdin: BinaryIO | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Read all inputs (files, globs, folders, "-") in flat memory into one Summary.

    Raises TriageError for what the user can put right: no such file, a bad pattern file, a time that is none.
    """
    options = options or Options()
    # freed at once: from then on the allocator keeps memory of such size instead of giving it back each time
    bytes(_ROOM)
    catalog = catalog_of(folders(options))
    options = _dated(inputs, catalog, options)
    sources = open_sources(inputs, stdin=stdin)
    return merge_all(part for source in sources for part in _parts(source, catalog, options, progress))


def analyze(
    inputs: Sequence[str] | str | Path,
    options: Options | None = None,
    *,
    stdin: BinaryIO | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Read all inputs and find out what happened."""
    from triage.diagnosis.diagnose import diagnose

    options = options or Options()
    summary = summarize(_names(inputs), options, stdin=stdin, progress=progress)
    return diagnose(
        summary, title=options.title, patterns=options.patterns, repo=options.repo, baseline=options.baseline
    )


def report_on(
    inputs: Sequence[str],
    options: Options | None = None,
    *,
    stdin: BinaryIO | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """The report of logs, or of summaries where every input is one."""
    from triage.diagnosis.diagnose import diagnose

    if not all(name.endswith(".summary") for name in inputs):
        return analyze(inputs, options, stdin=stdin, progress=progress)
    merged = Summary.merge([Summary.load(Path(name)) for name in inputs])
    return diagnose(merged, patterns=(options or Options()).patterns)


@dataclass(frozen=True, slots=True)
class Records:
    """The records of some inputs, read when asked for."""

    inputs: tuple[str, ...]
    options: Options
    stdin: BinaryIO | None = None

    def batches(self) -> Iterator[pl.DataFrame]:
        """Frames of records in input order: the columns of `triage records`."""
        yield from cluster_records(self._signed())

    def _signed(self) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
        """Frames of records, and which of them a report counts."""
        dirs = folders(self.options)
        catalog = catalog_of(dirs)
        options = _dated(self.inputs, catalog, self.options)
        for source in open_sources(self.inputs, stdin=self.stdin):
            for assembled, _ in _events(source, catalog, options):
                if len(assembled.events):
                    signed, _ = sign(assembled.events, every=True, dirs=dirs)
                    yield _columns(signed), find_failing(assembled.events, dirs=dirs)

    def collect(self) -> pl.DataFrame:
        """All records in one frame."""
        frames = list(self.batches())
        return pl.concat(frames) if frames else _columns(pl.DataFrame(schema=SIGNED))


def read(
    inputs: Sequence[str] | str | Path, options: Options | None = None, *, stdin: BinaryIO | None = None
) -> Records:
    """The records of the inputs, one row for each thing that the program logged."""
    return Records(tuple(_names(inputs)), options or Options(), stdin)


def moment(text: str, end: datetime | None = None) -> datetime:
    """A point in time from ISO 8601 or a span such as "30m" before `end`; TriageError when it is neither."""
    if (ago := read_span(text)) is not None:
        if end is None:
            raise TriageError(
                f"{text!r} is a span, and here a point in time is needed", hint="write it like 2026-03-02T10:14:07Z"
            )
        return end - ago
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TriageError(
            f"{text!r} is no time", hint="write it like 2026-03-02T10:14:07Z, or a span like 30m"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def read_span(text: str) -> timedelta | None:
    """How long "30m" is; None for what is no span."""
    found = _AGO.match(text.strip())
    return timedelta(seconds=float(found[1]) * _UNIT[found[2]]) if found else None


def folders(options: Options) -> tuple[Path, ...] | None:
    """The pattern folders where the user brings some; None where ours alone count, which are read once."""
    return pattern_dirs(options.patterns) if options.patterns else None


def catalog_of(dirs: tuple[Path, ...] | None) -> Catalog:
    """The formats of those pattern folders; ours for None."""
    return _our_catalog() if dirs is None else load_catalog(dirs)


@cache
def _our_catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def _dated(inputs: Sequence[str], catalog: Catalog, options: Options) -> Options:
    """The options with spans such as "30m" turned into times, counted back from the log's end: that takes a look at all of it."""
    spans = [t for t in (options.since, options.until) if t and _AGO.match(t.strip())]
    if not spans:
        return options
    if "-" in inputs:
        raise TriageError(
            f"{spans[0]!r} counts from the log's end, which a pipe does not know",
            hint="write the time: 2026-03-02T10:14:07Z",
        )
    ends = [
        last
        for source in open_sources(inputs)
        for batch in decode(source, catalog, reading_options(options))
        if isinstance(last := batch.rows["at"].max(), datetime)
    ]
    end = max(ends, default=None)
    since, until = (moment(t, end).isoformat() if t else None for t in (options.since, options.until))
    return replace(options, since=since, until=until)


def reading_options(options: Options) -> ReadOptions:
    """What of the options concerns decoding."""
    return ReadOptions(
        tz=options.tz,
        input_format=options.input_format,
        level_map=options.level_map,
        field_map=options.field_map,
        with_fields=options.with_fields,
    )


def _names(inputs: Sequence[str] | str | Path) -> list[str]:
    return [str(inputs)] if isinstance(inputs, str | Path) else [str(i) for i in inputs]


def _columns(signed: pl.DataFrame) -> pl.DataFrame:
    return signed.select(
        "source", "line", "lines", "at", "level", "service", "instance", "deployment", "trace", "logger", "message", "stack",
        "exception", "template", "signature", pl.col("signature").alias("cluster"),
        "method", "route", "status", "latency_ms", "exit_code", "fields",
    )  # fmt: skip


def _parts(
    source: Source, catalog: Catalog, options: Options, progress: Callable[[Progress], None] | None
) -> Iterator[Summary]:
    read_bytes = records = 0
    last: datetime | None = None
    dirs = folders(options)
    quiet, loud = _Waiting(dirs), _Waiting(dirs)

    def passed(batch: Batch) -> None:
        nonlocal read_bytes
        read_bytes += int(batch.intake["bytes"].sum())
        if progress is not None:
            progress(Progress(source.name, read_bytes, source.size, records))

    for assembled, newest_first in _events(source, catalog, options, passed):
        counted, last = count(assembled, last, newest_first, dirs)
        records += len(assembled.events)
        del assembled
        quiet.add(replace(counted, loud=counted.loud.clear(), marks=counted.marks.clear()))
        if quiet.events >= _ROWS or len(quiet.batches) >= _BATCHES:
            yield quiet.summary()
        for piece in _cut(counted):
            if (loud.events and loud.events + piece.loud.height > _LOUD) or len(loud.batches) >= _BATCHES:
                yield loud.summary()
            loud.add(piece)
    yield from (waiting.summary() for waiting in (quiet, loud) if waiting.batches)
    if progress is not None:
        progress(Progress(source.name, read_bytes, source.size, records))


@dataclass(frozen=True, slots=True)
class Counted:
    """A batch of events, ready to be summarized: those that carry a failure or a mark whole, of the quiet ones what counts."""

    loud: pl.DataFrame
    marks: pl.DataFrame
    quiet: pl.DataFrame
    intake: pl.DataFrame
    disorder: int
    undated: int


def count(
    assembled: Assembled, last: datetime | None, newest_first: bool, dirs: tuple[Path, ...] | None
) -> tuple[Counted, datetime | None]:
    """The batch sorted into what matters and what only counts; and the time to compare the next batch with."""
    events = assembled.events
    undated = events["at"].null_count()
    disorder, after = _disorder(events, last, newest_first)
    marks = mark(events, dirs=dirs)
    loud = find_failing(events, marks=marks, dirs=dirs)
    if marks.height:
        loud = loud.clone().scatter(marks["row"], True)
        place = loud.cast(pl.Int64).cum_sum() - 1
        marks = marks.with_columns(row=place.gather(marks["row"]))
    events = _lend_times(events, last)
    counted = Counted(
        events.filter(loud), marks, events.select(QUIET.keys()).filter(~loud), assembled.intake, disorder, undated
    )
    return counted, after


@dataclass(slots=True)
class _Waiting:
    """Batches that wait until they are worth a Summary. The quiet ones wait apart from the loud: there are more of them, and each is less."""

    dirs: tuple[Path, ...] | None
    batches: list[Counted] = field(default_factory=list)
    events: int = 0
    widths: Mapping[str, int] = field(default_factory=dict)

    def add(self, counted: Counted) -> None:
        self.batches.append(counted)
        self.events += counted.quiet.height + counted.loud.height

    def summary(self) -> Summary:
        """The Summary of what has waited; nothing does any more."""
        part = summarize_counted(self.batches, self.dirs, self.widths)
        self.batches, self.events, self.widths = [], 0, part.widths
        return part


def _cut(counted: Counted) -> Iterator[Counted]:
    """What the batch holds of loud events, in pieces of no more than _LOUD."""
    for start in range(0, counted.loud.height, _LOUD):
        mine = counted.marks.filter(pl.col("row").is_between(start, start + _LOUD, closed="left"))
        yield Counted(
            counted.loud.slice(start, _LOUD), mine.with_columns(pl.col("row") - start),
            counted.quiet.clear(), counted.intake.clear(), 0, 0,
        )  # fmt: skip


def summarize_counted(batches: Sequence[Counted], dirs: tuple[Path, ...] | None, widths: Mapping[str, int]) -> Summary:
    """One Summary of some batches: a few large steps cost less than many small ones."""
    first, marks = 0, []
    for batch in batches:
        marks.append(batch.marks.with_columns(pl.col("row") + first))
        first += batch.loud.height
    marked = pl.concat(marks)
    signed, nodes = sign(pl.concat([b.loud for b in batches]), marks=marked, dirs=dirs)
    return Summary.of(
        signed,
        nodes,
        pl.concat([b.intake for b in batches]),
        marks=marked,
        quiet=pl.concat([b.quiet for b in batches]),
        disorder=sum(b.disorder for b in batches),
        undated=sum(b.undated for b in batches),
        widths=widths,
    )


def _events(
    source: Source, catalog: Catalog, options: Options, passed: Callable[[Batch], None] | None = None
) -> Iterator[tuple[Assembled, bool]]:
    """The events of one source, filtered as asked, and whether the source has the newest first.

    `passed` is told of each batch as soon as it is decoded.
    """
    batches = decode(source, catalog, reading_options(options))
    if passed is not None:
        batches = map(partial(_tell, passed), batches)
    first = next(batches, None)
    if first is None:
        return
    newest_first = descends(first.rows)
    batches = chain([first], batches)
    del first  # nobody holds on to a batch that is done with: each is a lot of memory

    kept = map(keeper(options), assemble(batches, newest_first=newest_first, traces=known_traces(folders(options))))
    yield from zip(kept, repeat(newest_first), strict=False)


def keeper(options: Options) -> Callable[[Assembled], Assembled]:
    """A function that leaves out the events which the options do not ask for."""
    since, until = (moment(t) if t else None for t in (options.since, options.until))

    def keep(assembled: Assembled) -> Assembled:
        events = assembled.events
        if since is not None:
            events = events.filter(pl.col("at") >= since)
        if until is not None:
            events = events.filter(pl.col("at") <= until)
        if options.services:
            events = events.filter(pl.col("service").is_in(options.services))
        return Assembled(events, assembled.intake)

    return keep


def _tell(passed: Callable[[Batch], None], batch: Batch) -> Batch:
    passed(batch)
    return batch


def _lend_times(events: pl.DataFrame, last: datetime | None) -> pl.DataFrame:
    """Events without a time take that of the event in front of them, so that they have a place in the order of things."""
    if not events["at"].null_count():
        return events
    return events.with_columns(pl.col("at").forward_fill().fill_null(pl.lit(last, TIME)).backward_fill())


def descends(rows: pl.DataFrame) -> bool:
    """Whether the rows run from new to old: nine of ten steps in time go back."""
    steps = rows["at"].drop_nulls().diff().drop_nulls()
    moved = steps.filter(steps != timedelta(0))
    return len(moved) > 0 and (moved < timedelta(0)).sum() > 0.9 * len(moved)


def _disorder(events: pl.DataFrame, last: datetime | None, newest_first: bool) -> tuple[int, datetime | None]:
    """How many events are dated before the one in front of them, and the time to compare the next batch with."""
    at = events["at"].drop_nulls()
    if len(at) == 0:
        return 0, last
    if newest_first:
        return 0, at[-1]
    steps = at.diff().drop_nulls()
    count = int((steps < timedelta(0)).sum())
    first, end = at[0], at[-1]
    return count + (last is not None and first < last), end
