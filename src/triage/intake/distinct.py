"""Work on the distinct values of a column where there are few of them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

_FEW = 64
_PROBE = 256
LAST_SEGMENT = "([^/]+)$"


def on_distinct(values: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What `change` makes of the values, each by itself, asked once for each distinct one where they are few.

    Nulls must stay nulls.
    """
    if len(values) <= _PROBE or values.head(_PROBE).n_unique() > _FEW:
        return change(values)
    distinct = values.unique().drop_nulls()
    if len(distinct) > _FEW:
        return change(values)
    changed = change(distinct)
    if changed.dtype == values.dtype and changed.equals(distinct):
        return values
    if changed.null_count() == len(changed):
        return pl.Series(values.name, [None], dtype=changed.dtype).new_from_index(0, len(values))
    if len(changed) == 1 and not values.null_count():
        return changed.new_from_index(0, len(values)).alias(values.name)
    return values.replace_strict(distinct, changed, default=None, return_dtype=changed.dtype)


def cut_out(values: pl.Series, regex: str) -> pl.Series:
    """The first group of the regex in each value; null where it does not match."""
    if regex == LAST_SEGMENT and (segments := _last_segments(values)) is not None:
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
