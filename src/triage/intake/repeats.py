"""Records of text that say the same as ones before them: what becomes of their lines is known, so these never become rows.

Compiled code tells them apart by their bytes; what one of them was once it was put together is learned here, and the others
are that at other times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import polars as pl
from msgspec import Struct, field

from triage.schema import EVENTS, TIME, alone, empty

if TYPE_CHECKING:
    from triage.intake._cutter import Repeated as Found

_CUT = "truncated"  # of texts that say so of themselves, which are counted where they are rows (truncated.py)


class Question(Struct, frozen=True):
    """A record that may come again: the line and the number of lines it takes, the numbers of what stands below its header and of the
    whole (0: none), and what its header says."""

    line: int
    lines: int
    body: int
    record: int
    text: str


class Repeated(Struct, frozen=True):
    """Records that came before among lines that were sifted: `again` (line, at, record) is what is left of those that are known as a whole,
    `bodies` (line, body) of those whose header is kept; `questions` are on records that are not known yet."""

    by: Repeats
    again: pl.DataFrame
    bodies: pl.DataFrame
    questions: tuple[Question, ...]

    @staticmethod
    def of(found: Found, by: Repeats, ahead: int) -> Repeated | None:
        """What compiled code tells, its times so many microseconds ahead of UTC; None where that is nothing."""
        (lines, times, records), (heads, bodies), questions = found
        line, head = pl.Series(lines), pl.Series(heads)
        if not (len(line) or len(head) or questions):
            return None
        again = {"line": line, "at": (pl.Series(times) - ahead).cast(TIME), "record": pl.Series(records)}
        below = {"line": head, "body": pl.Series(bodies)}
        return Repeated(by, pl.DataFrame(again), pl.DataFrame(below), tuple(Question(*one) for one in questions))


class Repeats(Struct):
    """What is known of the records of a source that came twice; `settle` tells compiled code (whether it is a record, its number,
    whether it is known)."""

    settle: Callable[[bool, int, bool], None]
    _records: pl.DataFrame = field(default_factory=lambda: empty({**EVENTS, "record": pl.Int64()}))
    _bodies: pl.DataFrame = field(default_factory=lambda: empty(_BODY))
    _asked: dict[int, Question] = field(default_factory=dict)
    _bare: pl.DataFrame = field(default_factory=lambda: empty({"line": pl.Int64(), "body": pl.Int64()}))

    @property
    def waits(self) -> bool:
        """Whether a header did not come yet of which the lines below it are known."""
        return self._bare.height > 0

    def complete(self, events: pl.DataFrame, repeated: Sequence[Repeated] = (), *, learn: bool = True) -> pl.DataFrame:
        """The events of a batch, those that were put together of its rows and those that came before; in order of their lines."""
        self._bare = pl.concat([self._bare, *(one.bodies for one in repeated)])
        if self._bare.height:
            events = self._put_below(events)
        if learn:
            self._asked.update({question.line: question for one in repeated for question in one.questions})
            self._learn(events)
        again = [one.again for one in repeated if one.again.height]
        if not again:
            return events
        both = pl.concat(again)
        known = self._records[self._records["record"].search_sorted(both["record"])]
        made = known.with_columns_seq(both["line"], both["at"]).select_seq(events.columns)
        return pl.concat([events, made]).sort("line", maintain_order=True)

    def _put_below(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with what stood below those headers of which nothing else was kept."""
        place = events.select_seq("line", place=pl.int_range(pl.len(), dtype=pl.Int64))
        found = self._bare.join(place, on="line", how="left", maintain_order="left")
        here = found.filter(pl.col("place").is_not_null())
        self._bare = found.filter(pl.col("place").is_null()).drop("place")
        below = self._bodies[self._bodies["body"].search_sorted(here["body"])]
        return events.with_columns_seq(
            events["stack"].clone().scatter(here["place"], below["stack"]),
            events["lines"].clone().scatter(here["place"], below["lines"]),
        )

    def _learn(self, events: pl.DataFrame) -> None:
        """What the records are that were asked for, those that are among these events."""
        if not self._asked:
            return
        told = alone(events.filter(pl.col("line").is_in(list(self._asked))))
        records, bodies = [], []
        for n, (line, lines, message, stack, cut) in enumerate(told.select_seq(_LEARNED).iter_rows()):
            question = self._asked.pop(line)
            whole = lines == question.lines and not cut and _CUT not in f"{message}\n{stack or ''}".lower()
            if question.body:
                known = whole and stack is not None and message == question.text
                self.settle(False, question.body, known)
                bodies += [(question.body, stack, lines)] if known else []
            if question.record:
                self.settle(True, question.record, whole)
                records += [(n, question.record)] if whole else []
        self._asked.clear()  # a record that comes later is asked for again
        if bodies:
            more = pl.DataFrame(bodies, schema=_BODY, orient="row")
            self._bodies = pl.concat([self._bodies, more]).unique("body", keep="first").sort("body")
        if records:
            places, numbers = (list(column) for column in zip(*records, strict=True))
            more = told[places].with_columns_seq(record=pl.Series(numbers, dtype=pl.Int64))
            self._records = pl.concat([self._records, more]).unique("record", keep="first").sort("record")


_BODY: dict[str, pl.DataType] = {"body": pl.Int64(), "stack": pl.String(), "lines": pl.Int64()}
_LEARNED = ("line", "lines", "message", "stack", "truncated")
