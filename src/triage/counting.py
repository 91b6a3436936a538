"""Events to summaries: where the rows of a source stand in time, what of a batch counts, and tables of many batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from triage.grouping.marks import mark
from triage.grouping.signature import find_failing, sign
from triage.intake.calm import FIRST_ROWS
from triage.intake.decode import Batch
from triage.intake.traces import Assembled
from triage.schema import CALM, QUIET, TIME, alone, empty
from triage.summary import Summary
from triage.sums import Sums

_ROWS = 98_304  # quiet events that are counted before tables are made of them
_LOUD = 16_384  # the same for events that carry a failure, which are kept whole until then
_BATCHES = 512  # and batches: on a slow stream each is a few lines, and takes more memory for itself than for them


class Beginning(Struct, frozen=True):
    """What the first rows of a source say of all of it: whether it has the newest first, and the first time in it."""

    newest_first: bool = False
    first: datetime | None = None

    @staticmethod
    def of(rows: pl.DataFrame) -> Beginning:
        """What these rows say, and none of those behind the first 2,000: it must not depend on where the input is cut."""
        at = rows["at"].head(FIRST_ROWS).drop_nulls()
        return Beginning(_descends(at), at[0] if len(at) else None)


def begin(batches: Iterator[Batch]) -> tuple[Beginning, Iterator[Batch]]:
    """What the first rows say, and the batches from the first one on."""
    taken: list[Batch] = []
    height = 0
    for batch in batches:
        taken.append(batch)
        height += batch.rows.height
        if height >= FIRST_ROWS:
            break
    times = [batch.rows.select_seq("at") for batch in taken if batch.rows.height]
    beginning = Beginning.of(pl.concat(times)) if times else Beginning()
    return beginning, chain(_given(taken), batches)


def _given(batches: list[Batch]) -> Iterator[Batch]:
    """The batches one by one; nobody holds on to one that is done with: each is a lot of memory."""
    while batches:
        yield batches.pop(0)


def is_earlier(at: datetime, other: datetime) -> bool:
    """Whether a time lies before another; a stamp of whole seconds may be of anywhere in its second."""
    return at < other and at != other.replace(microsecond=0)


def _steps_back(at: pl.Series) -> int:
    """How many of these times are earlier than the one in front of them."""
    back = (at < at.shift(1)).arg_true()
    return int((at.gather(back) != at.gather(back - 1).dt.truncate("1s")).sum()) if len(back) else 0


def _descends(at: pl.Series) -> bool:
    """Whether these times run from new to old: nine of ten steps go back."""
    back = _steps_back(at)
    return back > 0.9 * (back + int((at > at.shift(1)).sum()))


class Order(Struct):
    """Where the rows of one source stand in time, one batch after the other, wherever they are cut.

    It counts the rows that are dated before the one in front of them, and lends those events without a time that of the
    row in front of them, so that they have a place in the order of things; the first ones take the first time there is,
    or where the source is read from its middle what `ask` says.
    """

    begun: Beginning
    ask: Callable[[], datetime | None] | None = None
    asked: bool = False
    borrowed: datetime | None = None  # what it said
    first: datetime | None = None  # of the rows seen
    last: datetime | None = None
    disorder: int = 0
    _dated: tuple[pl.DataFrame, ...] = ()  # line and time of rows that an event to come may stand behind

    def fork(self) -> Order:
        """Another that goes on from here and changes nothing in this one."""
        return replace(self)

    def see(self, rows: pl.DataFrame, disorder: int = 0) -> None:
        """Take note of the next rows, in input order; `disorder` is how many of others between them are dated before the one
        in front of them."""
        dated = rows.select_seq("line", "at")
        if dated["at"].null_count():
            dated = dated.filter(pl.col("at").is_not_null())
        if not dated.height:
            return
        at = dated["at"]
        if not self.begun.newest_first:
            self.disorder += disorder + _steps_back(at) + (self.last is not None and is_earlier(at[0], self.last))
        self.first = at[0] if self.first is None else self.first
        self.last = at[-1]
        self._dated += (dated,)

    def know(self, lent: pl.DataFrame) -> None:
        """Take times as those of rows in front of events to come: lines and times."""
        if lent.height:
            self._dated = (pl.concat([*self._dated, lent]).sort("line", maintain_order=True),)

    def before(self, lines: pl.Series) -> pl.Series:
        """The time of the last dated row in front of each of these lines; of the first one where there is none."""
        if not self._dated:
            return pl.Series("at", [self._earliest()], dtype=TIME).new_from_index(0, len(lines))
        dated = pl.concat(self._dated)
        place = dated["line"].search_sorted(lines, side="left").cast(pl.Int64) - 1
        found = dated["at"].gather(place.clip(0))
        first = place < 0
        return found.zip_with(~first, pl.Series([self._earliest()], dtype=TIME)) if first.any() else found

    def _earliest(self) -> datetime | None:
        """The time of records in front of which no dated row was seen."""
        if self.ask is None:
            return self.begun.first
        if not self.asked:
            self.asked, self.borrowed = True, self.ask()
        return self.borrowed

    def lend(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events, each with a time."""
        bare = events["at"].is_null().arg_true()
        if not len(bare):
            return events
        times = self.before(events["line"].gather(bare))
        return events.with_columns_seq(events["at"].scatter(bare, times))

    def forget(self, oldest: int | None) -> None:
        """Drop what no event to come can stand behind; the first of their lines is `oldest` (None: all are to be read yet)."""
        keep = len(self._dated)
        for n, dated in enumerate(self._dated):
            if oldest is not None and dated["line"][-1] >= oldest:
                keep = n
                break
        self._dated = (*(dated.tail(1) for dated in self._dated[max(0, keep - 1) : keep]), *self._dated[keep:])


class Counted(Struct, frozen=True):
    """A batch of events, ready to be summarized: those that carry a failure or a mark whole, of the quiet ones what counts, and
    those that never became rows (CALM), with the requests among them."""

    loud: pl.DataFrame
    marks: pl.DataFrame
    quiet: pl.DataFrame
    intake: pl.DataFrame
    disorder: int
    undated: int
    calm: pl.DataFrame
    requests: Sums | None = None


def count(
    assembled: Assembled,
    order: Order,
    dirs: tuple[Path, ...] | None,
    calm: pl.DataFrame | None = None,
    requests: Sums | None = None,
) -> Counted:
    """The batch sorted into what matters and what only counts, with the disorder that was seen since the last one."""
    events = assembled.events
    undated = events["at"].null_count()
    disorder, order.disorder = order.disorder, 0
    marks = mark(events, dirs=dirs)
    loud = find_failing(events, marks=marks, dirs=dirs)
    if marks.height:
        loud = loud.clone().scatter(marks["row"], True)
        place = loud.cast(pl.Int64).cum_sum() - 1
        marks = marks.with_columns_seq(row=place.gather(marks["row"]))
    events = order.lend(events)
    quiet = events.select_seq(QUIET.keys()).filter(~loud)
    calm = empty(CALM) if calm is None else calm
    return Counted(alone(events.filter(loud)), marks, quiet, assembled.intake, disorder, undated, calm, requests)


def _cut(counted: Counted, room: int) -> Iterator[Counted]:
    """What the batch holds of loud events, in pieces: one of no more than `room`, then of no more than _LOUD."""
    start, size = 0, room or _LOUD
    while start < counted.loud.height:
        mine = counted.marks.filter(pl.col("row").is_between(start, start + size, closed="left"))
        yield Counted(
            counted.loud.slice(start, size), mine.with_columns_seq(pl.col("row") - start),
            counted.quiet.clear(), counted.intake.clear(), 0, 0, counted.calm.clear(),
        )  # fmt: skip
        start, size = start + size, _LOUD


class _Waiting(Struct):
    """Batches that wait until they are worth a Summary."""

    dirs: tuple[Path, ...] | None
    batches: list[Counted] = field(default_factory=list)
    events: int = 0
    widths: Mapping[str, int] = field(default_factory=dict)

    def add(self, counted: Counted) -> None:
        self.batches.append(counted)
        self.events += counted.quiet.height + counted.loud.height + counted.calm.height
        self.events += counted.requests.height if counted.requests is not None else 0

    def join(self, other: _Waiting) -> None:
        """Take over what waits in the other."""
        self.batches, self.events = [*self.batches, *other.batches], self.events + other.events
        self.widths = {
            n: max(w.get(n, 0) for w in (self.widths, other.widths)) for n in {**self.widths, **other.widths}
        }
        other.batches, other.events = [], 0

    def summary(self) -> Summary:
        """The Summary of what has waited; nothing does any more."""
        part = summarize_counted(self.batches, self.dirs, self.widths)
        self.batches, self.events, self.widths = [], 0, part.widths
        return part


class Gathering:
    """Counted batches that wait for tables: a few large steps cost less than many small ones.

    The quiet events wait apart from the loud: there are more of them, and each is less.
    """

    def __init__(self, dirs: tuple[Path, ...] | None) -> None:
        self.dirs = dirs
        self._quiet, self._loud = _Waiting(dirs), _Waiting(dirs)

    def take(self, counted: Counted) -> Iterator[Summary]:
        """Summaries of what waited, as soon as it is enough."""
        quiet, loud = self._quiet, self._loud
        quiet.add(replace(counted, loud=counted.loud.clear(), marks=counted.marks.clear()))
        if quiet.events >= _ROWS or len(quiet.batches) >= _BATCHES:
            yield quiet.summary()
        for piece in _cut(counted, _LOUD - loud.events):
            loud.add(piece)
            if loud.events >= _LOUD or len(loud.batches) >= _BATCHES:
                yield loud.summary()

    def widen(self, widths: Mapping[str, int]) -> None:
        """Make no finer buckets than these from now on: what comes will be merged with a summary that has none."""
        for waiting in (self._quiet, self._loud):
            waiting.widths = {n: max(width, waiting.widths.get(n, 0)) for n, width in widths.items()}

    def rest(self) -> Iterator[Summary]:
        """The summary of what waits, two where that is much."""
        if len(self._quiet.batches) + len(self._loud.batches) <= _BATCHES:
            self._loud.join(self._quiet)
        yield from (waiting.summary() for waiting in (self._quiet, self._loud) if waiting.batches)


def summarize_counted(batches: Sequence[Counted], dirs: tuple[Path, ...] | None, widths: Mapping[str, int]) -> Summary:
    """One Summary of some batches."""
    first, marks = 0, []
    for batch in batches:
        marks.append(batch.marks.with_columns_seq(pl.col("row") + first))
        first += batch.loud.height
    marked = pl.concat(marks)
    signed, nodes = sign(pl.concat([b.loud for b in batches]), marks=marked, dirs=dirs)
    return Summary.of(
        signed,
        nodes,
        pl.concat([b.intake for b in batches]),
        marks=marked,
        quiet=pl.concat([b.quiet for b in batches]),
        calm=pl.concat([b.calm for b in batches]),
        requests=Sums.joined([b.requests for b in batches if b.requests is not None]),
        disorder=sum(b.disorder for b in batches),
        undated=sum(b.undated for b in batches),
        widths=widths,
    )
