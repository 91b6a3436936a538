"""Values cut out of lines of JSON by compiled code, where that was built: columns without an object for each entry."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
from msgspec import Struct

from triage.intake import compiled
from triage.intake.distinct import plain_texts
from triage.intake.exports import as_text

if TYPE_CHECKING:
    from triage.intake._cutter import Cut, Cutter

Keys = tuple[str, ...]


class Tree(Struct, frozen=True):
    """What is asked of entries. `strict`: one that has another thing than an object around a value that is asked for is foreign."""

    slots: tuple[tuple[int, bytes, int, int, int], ...]  # node, key, leaf, inner node (-1: none), what it is wanted as
    paths: tuple[Keys, ...]  # of the leaves
    strict: bool


_AS_TEXT, _AS_LAST, _AS_NUMBER, _AS_TIME = range(4)


def tree_of(
    leaves: Iterable[Keys],
    *,
    strict: bool,
    numbers: Collection[Keys] = (),
    times: Collection[Keys] = (),
    lasts: Collection[Keys] = (),
) -> Tree:
    """The tree in which these leaves hang.

    Where at `numbers` all values are whole numbers they stay that, and where at `times` all are stamps in UTC (RFC 3339
    with Z or +00:00) and no entry lacks one they are read. Of texts at `lasts` what stands behind the last slash is taken.
    """
    leaves = tuple(dict.fromkeys(leaves))
    nodes: dict[Keys, int] = {(): 0}
    for keys in leaves:
        for n in range(1, len(keys)):
            nodes.setdefault(keys[:n], len(nodes))
    places = {keys: n for n, keys in enumerate(leaves)}
    ways = ((_AS_NUMBER, numbers), (_AS_TIME, times), (_AS_LAST, lasts))
    slots = []
    for keys in dict.fromkeys([*leaves, *(keys for keys in nodes if keys)]):
        place = (nodes[keys[:-1]], keys[-1].encode(), places.get(keys, -1), nodes.get(keys, -1))
        wanted = next((way for way, which in ways if keys in which), _AS_TEXT)
        slots.append((*place, wanted))
    return Tree(tuple(slots), leaves, strict)


class Column(Struct, frozen=True):
    """What stood at a path: one text in all entries, or a value for each (null: none): texts (where they are few, as an
    Enum), whole numbers or times.

    `raw` says that some texts begin with a NUL: behind it stands JSON that is no text.
    """

    values: pl.Series | str
    raw: bool

    def said(self, say: Callable[[Any], str | None] = as_text, nothing: Collection[str] = ()) -> pl.Series | str | None:
        """The values, with `say` asked what JSON that is no text says; the texts of `nothing` are none."""
        values = self.values
        if isinstance(values, str):
            return None if values in nothing else say(msgspec.json.decode(values[1:])) if self.raw else values
        if nothing or self.raw:
            values = plain_texts(values)
        if nothing:
            none = values.is_in(nothing).fill_null(False)
            values = values.zip_with(~none, pl.Series([None], dtype=pl.String))
        if not self.raw:
            return values
        rows = values.str.starts_with(_RAW).fill_null(False).arg_true()
        texts = pl.Series([say(msgspec.json.decode(text[1:])) for text in values.gather(rows)], dtype=pl.String)
        return values.scatter(rows, texts)


_RAW = "\x00"


class Found(Struct, frozen=True):
    """What stood in the lines that were taken: their numbers, and at each path one text for all, or a value for each."""

    count: int
    lines: pl.Series
    shapes: pl.Series  # of each line the number of its top keys in `keys`
    keys: Sequence[Keys]
    columns: Mapping[Keys, Column]


def cutting_of(tree: Tree) -> Cutting | None:
    """What cuts by this tree; None where triage was installed without its compiled part."""
    return Cutting(tree, compiled.CUTTER) if compiled.CUTTER is not None else None


def _values(column: Cut | tuple[Cut, list[str]] | str) -> pl.Series | str:
    if isinstance(column, str):
        return column
    if isinstance(column, tuple):
        codes, texts = column
        return pl.Series(codes).cat.to(pl.Enum(texts))
    return pl.Series(column)


class Cutting:
    """Lines of a batch, cut as they come, piece by piece."""

    def __init__(self, tree: Tree, cutter: type[Cutter]) -> None:
        self._tree = tree
        self._cutter = cutter(list(tree.slots), tree.strict)
        self._pieces: list[tuple[int, bytes, bytes | None]] = []
        self._split: tuple[int, list[bytes]] = (0, [])

    def add(self, data: bytes, line: int, numbers: bytes | None = None) -> list[tuple[int, bytes]]:
        """Take whole lines, the first of which is number `line`, or which have these `numbers` (64 bits each); those that are to be
        read otherwise, with their numbers."""
        self._pieces.append((line, data, numbers))
        return [(number, data[start:end]) for number, start, end in self._cutter.add(data, line, numbers)]

    def flagged(self) -> bool:
        """Whether since this was asked last a key may have come that says of a text that it was cut."""
        return self._cutter.flagged()

    def finish(self) -> Found:
        """What was found in all of them."""
        count, lines, shapes, keys, columns = self._cutter.finish()
        values = {self._tree.paths[leaf]: Column(_values(column), raw) for leaf, (column, raw) in columns.items()}
        return Found(count, pl.Series(lines), pl.Series(shapes), keys, values)

    def raw(self, line: int) -> bytes:
        """The line of that number."""
        at = bisect_right(self._pieces, line, key=lambda piece: piece[0]) - 1
        first, data, numbers = self._pieces[at]
        if self._split[0] != first or not self._split[1]:
            self._split = first, data.split(b"\n")
        return self._split[1][line - first if numbers is None else bisect_left(memoryview(numbers).cast("q"), line)]
