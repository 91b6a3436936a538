"""Work on the distinct values of a column where there are few of them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

_FEW = 64
_PROBE = 256
LAST_SEGMENT = "([^/]+)$"


def plain_texts(values: pl.Series) -> pl.Series:
    """The values as texts, where they came as an Enum of the few that there are."""
    return changed(values, lambda texts: texts)


def changed(values: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What `change` makes of the values, each by itself, asked once for each distinct one where they came as an Enum of the few."""
    if not isinstance(values.dtype, pl.Enum):
        return change(values)
    return change(values.dtype.categories).gather(values.to_physical()).alias(values.name)


def on_distinct(values: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What `change` makes of the values, each by itself, asked once for each distinct one where they are few.

    Nulls must stay nulls.
    """
    if isinstance(values.dtype, pl.Enum) or len(values) <= _PROBE or values.head(_PROBE).n_unique() > _FEW:
        return changed(values, change)
    distinct = values.unique().drop_nulls()
    if len(distinct) > _FEW:
        return change(values)
    done = change(distinct)
    if done.dtype == values.dtype and done.equals(distinct):
        return values
    if done.null_count() == len(done):
        return pl.Series(values.name, [None], dtype=done.dtype).new_from_index(0, len(values))
    if len(done) == 1 and not values.null_count():
        return done.new_from_index(0, len(values)).alias(values.name)
    return done.gather(values.cast(pl.Enum(distinct)).to_physical()).alias(values.name)


def cut_out(values: pl.Series, regex: str) -> pl.Series:
    """The first group of the regex in each value; null where it does not match."""
    if regex == LAST_SEGMENT and values.dtype == pl.String and (segments := _last_segments(values)) is not None:
        return segments
    return on_distinct(values, lambda texts: texts.str.extract(regex, 1))


def _last_segments(values: pl.Series) -> pl.Series | None:
    """What stands behind the last slash, where all values have the same text before it; else None."""
    first = values.drop_nulls().head(1)
    if not len(first):
        return None
    prefix = first[0][: first[0].rfind("/") + 1]
    if not values.str.starts_with(prefix).all():
        return None
    rest = values.str.strip_prefix(prefix)
    if rest.str.contains("/", literal=True).any() or (rest == "").any():
        return None
    return rest
