"""How far apart in time and place two rows of one record may be."""

from __future__ import annotations

import polars as pl

from triage.schema import LEVEL

GAP_US = 2_000_000  # lines of one record come at most this far apart
WARNING_GAP_US = 200_000  # behind a warning, which is complete by itself more often than not
TEXT_GAP_US = 250_000  # plain text, which a stream without headers holds: lines of one message are written at once
REACH = 50_000  # rows of the whole input between two rows of one record


def far() -> pl.Expr:
    """Whether a row is too far from the one in front of it to go on its record; a frame with `_pos`, `at`, `level`, `bare`."""
    away = (pl.col("_pos") - pl.col("_pos").shift(1)) > REACH
    return (_moved() > _gap()).fill_null(False) | away


def late() -> pl.Expr:
    """Whether a row comes too long after the one in front of it for the lines of one message that is plain text."""
    return (_moved() > TEXT_GAP_US).fill_null(False) & ~_coarse().fill_null(False)


def _gap() -> pl.Expr:
    """How far, in microseconds, a row may be from the one in front of it: stamps of whole seconds may turn in between."""
    warned = ~pl.col("bare").shift(1) & (pl.col("level").shift(1) == pl.lit("WARNING", dtype=LEVEL))
    return (
        pl.when(warned.fill_null(False))
        .then(pl.when(_coarse()).then(1_000_000).otherwise(WARNING_GAP_US))
        .otherwise(GAP_US)
    )


def _moved() -> pl.Expr:
    """How far, in microseconds, a row is from the one in front of it."""
    return (pl.col("at") - pl.col("at").shift(1)).dt.total_microseconds().abs()


def _coarse() -> pl.Expr:
    """Whether the stamps of a row and of the one in front of it are of whole seconds."""
    second = pl.col("at").to_physical() % 1_000_000 == 0
    return second & second.shift(1)
