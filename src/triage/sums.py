"""Requests in sums: how durations are told apart, and those requests that never became rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.coding import CLASS, code
from triage.schema import RATE_US, TIME

LATENCY_BASE = 1.01  # one step of latency is 1 % wide
LATENCY_MIN_MS = 0.001
BAND = 40  # steps of latency in one band: each is half as slow again as the one before
PACE_US = RATE_US << 10  # microseconds in which requests are held against their own usual: 16 s
_MOST_MS = 1e15
_INT = pl.Int64()
_COMMON: dict[str, pl.DataType] = {
    CLASS: _INT,
    "step": _INT,  # of durations, or the band of such; null: not told
    "bucket": _INT,  # microseconds since 1970, at which the stretch of time begins
    "count": _INT,
    "timed": _INT,  # of these so many tell how long they took
    "total_us": _INT,
    "line": _INT,  # of the first
    "first": TIME,
    "last": TIME,
    "min_ms": pl.Float64(),
    "max_ms": pl.Float64(),
}
_FAILED = (CLASS, "bucket", "count", "first", "last")  # of those that failed
_NO_STEP = -(2**63)  # as intake/_requests.c has it


def step_of(ms: pl.Expr) -> pl.Expr:
    """The step of durations in milliseconds."""
    return (ms.clip(LATENCY_MIN_MS) / LATENCY_MIN_MS).log(LATENCY_BASE).floor().cast(_INT)


@cache
def bounds() -> pl.Series:
    """The least duration of each step from 1 on, in milliseconds: where `step_of` begins to give it, to the last bit."""
    last = int(pl.select(step_of(pl.lit(_MOST_MS))).item())
    steps = pl.int_range(1, last + 1, dtype=_INT, eager=True)
    guess = pl.select(pl.lit(LATENCY_MIN_MS) * pl.lit(LATENCY_BASE).pow(steps)).to_series()
    frame = pl.DataFrame({"step": steps, "low": guess * (1 - 1e-9), "high": guess * (1 + 1e-9)})
    middle = (pl.col("low") + pl.col("high")) / 2
    above = step_of(middle) >= pl.col("step")
    for _ in range(64):  # halves until neighbours are left
        frame = frame.with_columns(
            low=pl.when(above).then(pl.col("low")).otherwise(middle), high=pl.when(above).then(middle).otherwise("high")
        )
    return frame["high"]


class Sums(Struct, frozen=True):
    """Requests that never became rows: by how long they took, by stretches of time, and by both, of which the first has finer
    steps and the second finer stretches; those that failed by fine stretches of time, and by those of their rhythm.

    What their classes stand for (schema ASKED) and the answers of those that failed (schema ANSWERED) is a row for each number.
    """

    steps: pl.DataFrame
    moments: pl.DataFrame
    paces: pl.DataFrame
    failures: pl.DataFrame
    rhythm: pl.DataFrame
    classes: pl.DataFrame
    answers: pl.DataFrame

    @property
    def height(self) -> int:
        """Rows of all tables."""
        return sum(table.height for table in self._tables)

    @property
    def weight(self) -> int:
        """About how many bytes they take in memory."""
        return int(sum(table.estimated_size() for table in self._tables))

    @property
    def _tables(self) -> tuple[pl.DataFrame, ...]:
        return self.steps, self.moments, self.paces, self.failures, self.rhythm

    @staticmethod
    def of(tables: Sequence[Sequence[pl.Series]]) -> Sums:
        """What compiled code handed out; nothing is known of the classes and answers yet."""
        steps, moments, paces, failures, rhythm = map(_table, tables)
        nothing = pl.DataFrame()
        return Sums(steps, moments, paces, failures.select(*_FAILED), rhythm.select(*_FAILED), nothing, nothing)

    @staticmethod
    def joined(parts: Sequence[Sums]) -> Sums | None:
        """All of these; None of none. Classes, and answers, that mean the same are one."""
        if not parts:
            return None
        places, classes = _merged([part.classes for part in parts])
        answered, answers = _merged([part.answers for part in parts])
        named = [part._renamed(*own) for part, *own in zip(parts, places, answered, strict=True)]
        return replace(Sums.together(named), classes=classes, answers=answers)

    @staticmethod
    def together(parts: Sequence[Sums]) -> Sums:
        """All of these, whose classes and answers are the same."""
        return parts[0]._with(*(pl.concat(tables) for tables in zip(*(part._tables for part in parts), strict=True)))

    def _renamed(self, places: pl.Series, answers: pl.Series) -> Sums:
        asked = (_renumbered(table, places) for table in (self.steps, self.moments, self.paces))
        failed = (_renumbered(table, answers) for table in (self.failures, self.rhythm))
        return self._with(*asked, *failed)

    def _with(self, *tables: pl.DataFrame) -> Sums:
        """The same with these tables."""
        steps, moments, paces, failures, rhythm = tables
        return Sums(steps, moments, paces, failures, rhythm, self.classes, self.answers)


def _merged(parts: Sequence[pl.DataFrame]) -> tuple[list[pl.Series], pl.DataFrame]:
    """For each part the places of its rows among the different ones of all, and these."""
    found = code(pl.concat(parts), parts[0].columns, few=0)
    starts = accumulate((part.height for part in parts), initial=0)
    places = [found.rows[CLASS].slice(start, part.height) for start, part in zip(starts, parts, strict=False)]
    return places, parts[0] if found.classes is None else found.classes


def _renumbered(table: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    return table.with_columns_seq(places.gather(table[CLASS]).alias(CLASS))


def _table(columns: Sequence[pl.Series]) -> pl.DataFrame:
    rows = pl.DataFrame([*columns], schema=[*_COMMON])
    step = pl.col("step")
    return rows.with_columns_seq(
        pl.col("first", "last").cast(TIME),
        pl.when(step != _NO_STEP).then(step).alias("step"),
        *(pl.when(pl.col("timed") > 0).then(pl.col(name)).alias(name) for name in ("min_ms", "max_ms")),
    )
