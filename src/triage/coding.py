"""Rows whose text columns are put into one number: to group by that takes a fraction of the time that many columns take."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec import Struct

CLASS = "class"
FEW = 8_192  # rows, of which it is not worth it
_INT = pl.Int64()
_SPARSE = 1 << 16  # numbers of classes beyond which those that no row has are taken out
_LOOKED_UP = 1 << 22  # up to so many a table tells the new ones


class Coded(Struct, frozen=True):
    """Rows with the number of their class, and what the classes stand for, a row for each number; few rows are left as they are."""

    rows: pl.DataFrame
    classes: pl.DataFrame | None
    names: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell the classes apart."""
        return self.names if self.classes is None else (CLASS,)

    def name(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows made of these by their keys, with what those stand for in front of the other columns."""
        return rows if self.classes is None else self.classes[rows[CLASS]].hstack(rows.drop(CLASS))


def code(rows: pl.DataFrame, names: Sequence[str], *, known: Coded | None = None, few: int | None = None) -> Coded:
    """The rows without these columns, which make their class: rows that are equal there are of one class, nulls as well.

    `known` has classes of the same rows that were found before: they become a part of theirs.
    """
    if known is None and rows.height < (FEW if few is None else few):
        return Coded(rows, None, tuple(names))
    same: list[pl.Series] = []
    found = [] if known is None or known.classes is None else [(known.rows[CLASS], known.classes)]
    for name in names if rows.height else ():
        value, places = _number(rows[name])
        if places is None:
            same.append(value)
        else:
            found.append((places, value.to_frame()))
    if not rows.height or not found:
        number = pl.repeat(0, rows.height, dtype=_INT, eager=True).alias(CLASS)
        classes = pl.concat([*(frame.clear() for _, frame in found), rows.select_seq(names).head(1)], how="horizontal")
        return Coded(rows.drop(names).with_columns_seq(number), classes)
    number, classes = found[0]
    frames, span = [classes], classes.height
    for places, values in found[1:]:
        if span * values.height > _SPARSE:
            number, classes = _without_unused(number, frames, span)
            frames, span = [classes], classes.height
        number = number * values.height + places
        frames.append(values)
        span *= values.height
    if len(found) > 1 or isinstance(classes.dtypes[0], pl.Enum):
        number, classes = _without_unused(number, frames, span)
    classes = classes.with_columns_seq(pl.lit(value.first(), value.dtype).alias(value.name) for value in same)
    return Coded(rows.drop(names).with_columns_seq(number.alias(CLASS)), classes)


def _number(column: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """The different values of a column, and for each row the place of its own among them: None where there is but one."""
    nulls = column.null_count()
    if nulls == len(column) or (not nulls and (column == column[0]).all()):
        return column.head(1), None
    if isinstance(column.dtype, pl.Enum):
        values, places = pl.Series(column.name, column.dtype.categories, dtype=column.dtype), column.to_physical()
    elif column.dtype == pl.String:
        categories = pl.Categories.random()  # that nobody else adds to: numbered from 0
        drawn = column.cast(pl.Categorical(categories))
        places = drawn.to_physical()
        highest = places.max()
        assert isinstance(highest, int)
        numbers = pl.int_range(highest + 1, dtype=pl.UInt32, eager=True)
        values = numbers.cat.to(drawn.dtype).cast(pl.String).alias(column.name)
    else:
        values = column.drop_nulls().unique().sort()
        places = values.search_sorted(column)
    places = places.cast(_INT)
    if not nulls:
        return values, places
    none = pl.Series(column.name, [None], dtype=column.dtype)
    return pl.concat([values, none]), places.zip_with(column.is_not_null(), pl.Series([len(values)], dtype=_INT))


def _without_unused(number: pl.Series, frames: Sequence[pl.DataFrame], span: int) -> tuple[pl.Series, pl.DataFrame]:
    """The rows numbered by what they have of these frames without gaps, and what each number stands for."""
    used = number.unique().sort()
    if len(used) == span:
        places = number
    elif span <= _LOOKED_UP:
        table = pl.repeat(0, span, dtype=_INT, eager=True)
        places = table.scatter(used, pl.int_range(len(used), dtype=_INT, eager=True)).gather(number)
    else:
        places = used.search_sorted(number).cast(_INT)
    parts = []
    for frame in reversed(frames):
        parts.append(frame[used % frame.height])
        used = used // frame.height
    return places, pl.concat(reversed(parts), how="horizontal")
