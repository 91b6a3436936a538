"""Entries of one format as they were decoded, asked for what stands in them: as Python objects, or as columns cut out of lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import msgspec
import polars as pl
from msgspec import Struct

from triage.intake.cutting import Cutting, Found
from triage.intake.distinct import changed, plain_texts
from triage.intake.exports import Entry, as_exception, as_text
from triage.intake.formats import Place
from triage.intake.typedrows import as_texts

Change = Callable[[pl.Series], pl.Series]


class Given(Protocol):
    """Entries of one format."""

    @property
    def count(self) -> int:
        """How many there are."""

    def has(self, path: Place) -> bool:
        """Whether one of them may have something at the path."""

    def values(self, path: Place, *, exception: bool = False, change: Change | None = None) -> pl.Series:
        """What stands at the path in each, as text (null: nothing), then changed, each by itself."""

    def beyond(self, known: frozenset[str]) -> pl.Series:
        """Which of them have a key that is not known."""

    def entry(self, number: int) -> Entry:
        """One of them as a whole."""


class Objects:
    """Entries that are Python objects."""

    def __init__(self, objects: Sequence[Entry]) -> None:
        self._objects = objects

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._objects)

    @cached_property
    def _present(self) -> frozenset[str]:
        return frozenset().union(*self._objects)

    def has(self, path: Place) -> bool:
        """Whether one of them may have something at the path."""
        return path.keys[0] in self._present or path.dotted in self._present

    def values(self, path: Place, *, exception: bool = False, change: Change | None = None) -> pl.Series:
        """What stands at the path in each, as text (null: nothing), then changed, each by itself."""
        found = _pick(self._objects, path)
        texts = pl.Series([as_exception(v) for v in found], dtype=pl.String) if exception else as_texts(found)
        return change(texts) if change else texts

    def beyond(self, known: frozenset[str]) -> pl.Series:
        """Which of them have a key that is not known."""
        return pl.Series([not known.issuperset(entry) for entry in self._objects], dtype=pl.Boolean)

    def entry(self, number: int) -> Entry:
        """One of them as a whole."""
        return self._objects[number]


def _pick(objects: Sequence[Entry], path: Place) -> list[Any]:
    """What stands at the path in each object."""
    if len(path.keys) == 1:
        key = path.keys[0]
        return [o.get(key) for o in objects]
    spellings = path.spellings
    return [next((v for keys in spellings if (v := _inside(entry, keys)) is not None), None) for entry in objects]


def _inside(entry: Entry, keys: Sequence[str]) -> Any:
    value: Any = entry
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


class CutRows(Struct, frozen=True):
    """Entries whose values were cut out of their lines: those of these rows (None: all)."""

    found: Found
    cutting: Cutting
    rows: pl.Series | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return self.found.count if self.rows is None else len(self.rows)

    @property
    def lines(self) -> pl.Series:
        """The numbers of their lines."""
        return self._mine(self.found.lines)

    def has(self, path: Place) -> bool:
        """Whether one of them may have something at the path."""
        return any(keys in self.found.columns for keys in path.spellings)

    def values(self, path: Place, *, exception: bool = False, change: Change | None = None) -> pl.Series:
        """What stands at the path in each, as text (null: nothing), then changed, each by itself."""
        say, nothing = (as_exception, _NO_EXCEPTION) if exception else (as_text, ())
        given = [self.found.columns[keys].said(say, nothing) for keys in path.spellings if keys in self.found.columns]
        parts = [values for values in given if values is not None]
        if parts and isinstance(parts[0], str):  # the same in all of them: one is worked on
            one = pl.Series([parts[0]], dtype=pl.String)
            return (change(one) if change else one).new_from_index(0, self.count)
        if not parts:
            return pl.Series([None], dtype=pl.String).new_from_index(0, self.count)
        columns = [self._mine(_series(values, self.found.count)) for values in parts]
        texts = columns[0] if len(columns) == 1 else pl.select(pl.coalesce(map(plain_texts, columns))).to_series()
        return changed(texts, change) if change else texts

    def beyond(self, known: frozenset[str]) -> pl.Series:
        """Which of them have a key that is not known."""
        shapes = pl.Series([not known.issuperset(keys) for keys in self.found.keys], dtype=pl.Boolean)
        return shapes.gather(self._mine(self.found.shapes))

    def entry(self, number: int) -> Entry:
        """One of them as a whole."""
        decoded: Entry = msgspec.json.decode(self.cutting.raw(self.lines[number]))
        return decoded

    def _mine(self, values: pl.Series) -> pl.Series:
        # of a part of the rows the few texts may be fewer, and what is made of them may depend on it
        return values if self.rows is None else plain_texts(values).gather(self.rows)


def _series(values: pl.Series | str, count: int) -> pl.Series:
    if isinstance(values, str):
        return pl.Series([values], dtype=pl.String).new_from_index(0, count)
    return values


_NO_EXCEPTION = ("", "None", "NoneType: None")  # with these, loggers say that there was none
