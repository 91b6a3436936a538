"""Values cut out of lines of JSON by compiled code, where that was built: columns without an object for each entry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from triage.intake._cutter import Cutter

try:
    from triage.intake import _cutter
except ImportError:  # no compiler where triage was installed: msgspec reads every line, at a third of the speed
    CUTTER: type[Cutter] | None = None
else:
    CUTTER = _cutter.Cutter

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that is asked for: `number` where whole numbers are to stay numbers, `text` where nothing but text will do."""

    number: bool = False
    text: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """What is asked of entries. `strict`: one that has another thing than an object around a value that is asked for is foreign."""

    slots: tuple[tuple[int, bytes, int, int, bool, bool], ...]  # node, key, leaf, inner node (-1: none), number, text
    paths: tuple[Keys, ...]  # of the leaves
    strict: bool


def tree_of(leaves: Mapping[Keys, Leaf], *, strict: bool) -> Tree:
    """The tree in which these leaves hang."""
    nodes: dict[Keys, int] = {(): 0}
    for keys in leaves:
        for n in range(1, len(keys)):
            nodes.setdefault(keys[:n], len(nodes))
    numbers = {keys: n for n, keys in enumerate(leaves)}
    slots = []
    for keys in dict.fromkeys([*leaves, *(keys for keys in nodes if keys)]):
        leaf = leaves.get(keys, Leaf())
        place = (nodes[keys[:-1]], keys[-1].encode(), numbers.get(keys, -1), nodes.get(keys, -1))
        slots.append((*place, leaf.number, leaf.text))
    return Tree(tuple(slots), tuple(leaves), strict)


@dataclass(frozen=True, slots=True)
class Found:
    """What stood in the lines that were taken: their numbers, and at each path one text for all, or a value for each."""

    count: int
    lines: pl.Series
    shapes: pl.Series  # of each line the number of its top keys in `keys`
    keys: Sequence[Keys]
    values: Mapping[Keys, pl.Series | str]


class Cutting:
    """Lines of a batch, cut as they come, piece by piece."""

    def __init__(self, tree: Tree, cutter: type[Cutter]) -> None:
        self._tree = tree
        self._cutter = cutter(list(tree.slots), tree.strict)
        self._pieces: list[tuple[int, bytes]] = []
        self._split: tuple[int, list[bytes]] = (0, [])

    def add(self, data: bytes, line: int) -> list[tuple[int, bytes]]:
        """Take whole lines, the first of which is number `line`; those that are to be read otherwise, with their numbers."""
        self._pieces.append((line, data))
        return [(number, data[start:end]) for number, start, end in self._cutter.add(data, line)]

    def finish(self) -> Found:
        """What was found in all of them."""
        count, lines, shapes, keys, columns = self._cutter.finish()
        values = {
            self._tree.paths[leaf]: column if isinstance(column, str) else pl.Series(column)
            for leaf, column in columns.items()
        }
        return Found(count, pl.Series(lines), pl.Series(shapes), keys, values)

    def raw(self, line: int) -> bytes:
        """The line of that number."""
        at = bisect_right(self._pieces, line, key=lambda piece: piece[0]) - 1
        first, data = self._pieces[at]
        if self._split[0] != first or not self._split[1]:
            self._split = first, data.split(b"\n")
        return self._split[1][line - first]
