"""From inputs to a Summary, a Report or the frame of records: the pipeline, end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.counting import begin
from triage.errors import TriageError
from triage.grouping.clusters import cluster_records
from triage.grouping.signature import find_failing, sign
from triage.intake.decode import decode
from triage.intake.formats import Catalog
from triage.intake.sources import Source, open_sources
from triage.intake.stacks import known_traces
from triage.intake.traces import assemble
from triage.options import AGO, Options, catalog_of, folders, keeper, moment, reading_options
from triage.report import Report
from triage.schema import SIGNED
from triage.shards import Reader, put_together
from triage.summary import Summary, merge_all
from triage.workers import do_all

__all__ = ["Options", "Progress", "Records", "analyze", "moment", "read", "report_on", "summarize"]

_ROOM = 24 << 20


class Progress(Struct, frozen=True):
    """How far reading is: of the input `name`, bytes of bytes_total (None: unknown), and the records counted in it so far.

    It comes at least every 64 MB of text; records are counted in larger steps, so they follow a little later.
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
    options = _dated(inputs, catalog_of(folders(options)), options)
    reader = Reader(options, _told(progress) if progress is not None else None)
    tasks = reader.plan(open_sources(inputs, stdin=stdin))
    dropped: set[str] = set()
    with do_all(tasks, options, reader, lambda task: task.sources[0].name in dropped) as outcomes:
        parts = put_together(tasks, outcomes, reader, lambda task: dropped.add(task.sources[0].name))
        return merge_all(parts)


def _told(progress: Callable[[Progress], None]) -> Callable[[Source, int, int], None]:
    """What tells `progress` how far each source is read, of how much more of it was."""
    seen: dict[str, tuple[int, int]] = {}

    def tell(source: Source, size: int, records: int) -> None:
        before = seen.get(source.name, (0, 0))
        now = seen[source.name] = (before[0] + size, before[1] + records)
        progress(Progress(source.name, now[0], source.size, now[1]))

    return tell


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


class Records(Struct, frozen=True):
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
            beginning, batches = begin(decode(source, catalog, reading_options(options)))
            work = assemble(batches, newest_first=beginning.newest_first, traces=known_traces(dirs))
            for assembled in map(keeper(options), work):
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


def _dated(inputs: Sequence[str], catalog: Catalog, options: Options) -> Options:
    """The options with spans such as "30m" turned into times, counted back from the log's end: that takes a look at all of it."""
    spans = [t for t in (options.since, options.until) if t and AGO.match(t.strip())]
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


def _names(inputs: Sequence[str] | str | Path) -> list[str]:
    return [str(inputs)] if isinstance(inputs, str | Path) else [str(i) for i in inputs]


def _columns(signed: pl.DataFrame) -> pl.DataFrame:
    return signed.select(
        "source", "line", "lines", "at", "level", "service", "instance", "deployment", "trace", "logger", "message", "stack",
        "exception", "template", "signature", pl.col("signature").alias("cluster"),
        "method", "route", "status", "latency_ms", "exit_code", "fields",
    )  # fmt: skip
