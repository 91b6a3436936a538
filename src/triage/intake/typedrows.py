"""Entries of a format whose paths are known: a decoder that builds only what is asked for, and columns out of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any, Protocol

import msgspec
import polars as pl
from msgspec import Struct, field

from triage.intake.cutting import Cutting, Keys, Tree, cutting_of, tree_of
from triage.intake.distinct import LAST_SEGMENT
from triage.intake.exports import as_text
from triage.intake.formats import Format, Place
from triage.intake.times import ISO
from triage.schema import TIME

Reader = Callable[[Sequence[Any]], list[Any]]  # objects to one value of each


class Spot(Struct, frozen=True):
    """Where an entry holds a value: number of the object in Typed.nodes, and what reads the value in such objects."""

    path: str
    node: int
    read: Reader
    sure: bool = True  # nothing is cut out of the value, so that it is there when it is not null


class Node(Struct, frozen=True):
    """An object inside an entry: number of the one around it, what reads it there, and what stands for a missing one."""

    outer: int
    read: Reader
    missing: Any
    values: int  # how many values are asked for


class Typed(Struct, frozen=True):
    """A decoder of one format's entries that builds only what the format asks for."""

    entry: Format
    decoder: Any
    required: tuple[Spot, ...]  # of the values that no entry of the format lacks
    nodes: tuple[Node, ...]  # the entry itself, then the objects in it, outer before inner
    tree: Tree  # the same for what cuts values out of lines
    numbers: frozenset[str]  # the paths whose values stay numbers where all of them are whole ones
    lasts: frozenset[str]  # the paths of whose texts only what is behind the last slash is wanted
    fields: Mapping[str, tuple[tuple[str, Spot], ...]]  # field -> its candidates, each a column and a place

    @property
    def places(self) -> dict[str, Spot]:
        """The place of each column, candidates of a field in their order."""
        return {column: place for candidates in self.fields.values() for column, place in candidates}


def typed_decoder(entry: Format) -> Typed:
    """The decoder for a format whose paths are known."""
    paths = {f"g_{name}#{n}": p for name, ps in entry.fields.items() for n, p in enumerate(ps)}
    paths |= {f"k_{n}#": rule.path for n, rule in enumerate(entry.kinds)}
    paths |= {f"s_{n}#": Place(tuple(s.split("."))) for n, s in enumerate(entry.structured)}
    longer = {path.keys[:n] for path in paths.values() for n in range(1, len(path.keys))}
    paths = {column: path for column, path in paths.items() if path.keys not in longer}
    tree: dict[str, Any] = {}
    for keys in [*(p.keys for p in paths.values()), *((k,) for k in entry.keys)]:
        node = tree
        for key in keys:
            node = node.setdefault(key, {})
    empties: dict[Keys, Any] = {}
    model = _struct(tree, (), empties)
    nodes = [Node(0, list, None, 0)]
    numbers: dict[Keys, int] = {(): 0}
    readers: dict[Keys, Reader] = {}
    waiting: list[tuple[Keys, dict[str, Any]]] = [((), tree)]
    for at, below in waiting:  # outer before inner: the list grows while it is walked
        for n, (key, inside) in enumerate(below.items()):
            inner = (*at, key)
            readers[inner] = _reader(n)
            if inside:
                numbers[inner] = len(nodes)
                nodes.append(Node(numbers[at], readers[inner], empties[inner], len(inside)))
                waiting.append((inner, inside))
    fields: dict[str, list[tuple[str, Spot]]] = defaultdict(list)
    for column, path in paths.items():
        spot = Spot(path.dotted, numbers[path.keys[:-1]], readers[path.keys], path.extract is None)
        fields[column.partition("#")[0]].append((column, spot))
    used = Counter(spot.path for spots in fields.values() for _, spot in spots)
    wanted = {spot.path for name in _NUMBERS for _, spot in fields.get(name, ()) if spot.sure and used[spot.path] == 1}
    times = (
        []
        if entry.times and ISO[0] not in entry.times
        else [p.keys for p in entry.fields.get("at", ()) if not p.extract]
    )
    times = [keys for keys in times if used[".".join(keys)] == 1]
    lasts = {
        p.dotted: p.keys
        for p in paths.values()
        if p.extract == LAST_SEGMENT and used[p.dotted] == 1 and p.keys[0] not in entry.keys
    }
    asked = [*(path.keys for path in paths.values()), *((key,) for key in entry.keys if not tree[key])]
    return Typed(
        entry,
        msgspec.json.Decoder(model, strict=False),
        tuple(Spot(key, 0, readers[key,]) for key in entry.keys),
        tuple(nodes),
        tree_of(
            asked,
            strict=True,
            numbers=[keys for keys in asked if ".".join(keys) in wanted],
            times=times,
            lasts=[*lasts.values()],
        ),
        frozenset(wanted),
        frozenset(lasts),
        {name: tuple(spots) for name, spots in fields.items()},
    )


def _struct(tree: dict[str, Any], at: Keys, empties: dict[Keys, Any]) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    for n, (key, below) in enumerate(tree.items()):
        if below:
            model = _struct(below, (*at, key), empties)
            empty = empties[*at, key] = model()
            fields.append((f"f{n}", model, msgspec.field(name=key, default_factory=_constant(empty))))
        else:
            fields.append((f"f{n}", Any, msgspec.field(name=key, default=None)))
    return msgspec.defstruct("_".join(("Entry", *(k for k in at if k.isidentifier()))), fields, frozen=True, gc=False)


def _reader(number: int) -> Reader:
    """What reads the field f<number>: a loop of its own for each, as fast as Python goes (attrgetter takes three times as long)."""
    read: Reader = eval(f"lambda objects: [o.f{number:d} for o in objects]")
    return read


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


class _Values(Struct, frozen=True):
    """What stands at a path in some entries: a text that is the same in all of them, or one value each."""

    values: pl.Series | str
    rows: Sequence[int] | None  # of the entries it stands in; None: in all
    node: int

    def series(self, count: int, dtype: pl.DataType) -> pl.Series:
        """One value for each entry it stands in, of `count` in the block."""
        if isinstance(self.values, str):
            size = count if self.rows is None else len(self.rows)
            return pl.Series([self.values], dtype=dtype).new_from_index(0, size)
        if self.values.dtype == TIME and dtype == pl.String:
            return self.values.dt.strftime(STAMP)
        return self.values if self.values.dtype == dtype else self.values.cast(dtype)


STAMP = "%Y-%m-%dT%H:%M:%S%.6fZ"


class Bodies(Protocol):
    """The texts of entries."""

    def __getitem__(self, number: int, /) -> bytes: ...


class _Raws(Struct, frozen=True):
    """The texts of entries that were cut."""

    cutting: Cutting
    lines: pl.Series

    def __getitem__(self, number: int) -> bytes:
        return self.cutting.raw(self.lines[number])


class _Block(Struct, frozen=True):
    """Entries that were decoded at once: what stands at each path, their place in order, first line and number of lines."""

    columns: Mapping[str, _Values]
    orders: Sequence[int] | pl.Series
    lines: Sequence[int] | pl.Series
    counts: Sequence[int] | None  # None: one line each
    bodies: Callable[[], Bodies]


class Odd(Struct, frozen=True):
    """An entry that is not of the format after all, or says nothing where the format looks for it."""

    body: bytes
    line: int
    lines: int
    order: int


class TypedEntries(Struct):
    """Entries of one format that were decoded so far."""

    blocks: list[_Block] = field(default_factory=list)
    cutting: Cutting | None = None
    cut_out: frozenset[str] = frozenset()  # paths at which `sort_out` found what the format wants of the texts there

    @property
    def empty(self) -> bool:
        """Whether there are none."""
        return not self.blocks and self.cutting is None

    def cut(self, typed: Typed, data: bytes, line: int, numbers: bytes | None = None) -> list[tuple[int, bytes]] | None:
        """Add whole lines, the first of which is number `line`, or which have these numbers: those, with their numbers, that are
        to be read otherwise; None where all are."""
        self.cutting = self.cutting or cutting_of(typed.tree)
        return self.cutting.add(data, line, numbers) if self.cutting is not None else None

    def _take_cut(self, typed: Typed, cutting: Cutting) -> None:
        """Add what was cut as a block."""
        found, self.cutting = cutting.finish(), None
        if not found.count:
            return
        values = {".".join(keys): column for keys, column in found.columns.items()}
        columns: dict[str, _Values] = {}
        for spots in (*typed.fields.values(), *(((spot.path, spot),) for spot in typed.required)):
            for _, spot in spots:
                column = values[spot.path].said() if spot.path in values else None
                if column is not None:
                    columns[spot.path] = _Values(column, None, spot.node)
                    if spot.sure and (isinstance(column, str) or not column.null_count()):
                        break  # a field's later candidates are only asked where the earlier ones are empty
        self.blocks.append(_Block(columns, found.lines, found.lines, None, lambda: _Raws(cutting, found.lines)))

    def add(
        self,
        typed: Typed,
        found: Sequence[Any],
        orders: Sequence[int],
        lines: Sequence[int],
        counts: Sequence[int] | None,
        bodies: Callable[[], Bodies],
    ) -> None:
        """Add what the decoder of `typed` found; `bodies` gives the text of each."""
        if found:
            self.blocks.append(_Block(_columns(typed, found), orders, lines, counts, bodies))

    def sort_out(self, typed: Typed) -> tuple[pl.DataFrame, dict[str, pl.Series], list[Odd]]:
        """Columns i, line and lines of the entries; what stands at each path, as text (a status as a number, where it is one
        everywhere); and those that are not among them."""
        if self.cutting is not None:
            self.cut_out = typed.lasts if not self.blocks else frozenset()
            self._take_cut(typed, self.cutting)
        if not self.blocks:
            return pl.DataFrame(schema=dict.fromkeys(("i", "line", "lines"), pl.Int64)), {}, []
        places_of: dict[tuple[int, tuple[bool, ...]], pl.Series | None] = {}
        columns = {
            path: self._column(path, path in typed.numbers, places_of)
            for path in dict.fromkeys(path for block in self.blocks for path in block.columns)
        }
        places = pl.DataFrame(
            {
                "i": pl.concat([_numbers(b.orders) for b in self.blocks]),
                "line": pl.concat([_numbers(b.lines) for b in self.blocks]),
                "lines": pl.concat([_numbers(b.counts) if b.counts else _ones(len(b.lines)) for b in self.blocks]),
            }
        )
        odd = _odd(typed, columns, places.height)
        if odd is None:
            return places, columns, []
        return (
            places.filter(~odd),
            {path: values.filter(~odd) for path, values in columns.items()},
            self._bodies(odd.arg_true().to_list()),
        )

    def _column(
        self, path: str, number: bool, places_of: dict[tuple[int, tuple[bool, ...]], pl.Series | None]
    ) -> pl.Series:
        """What stands at the path in each entry; `places_of` keeps for the next path of the same node which value that is."""
        parts = [block.columns.get(path) for block in self.blocks]
        some = [part for part in parts if part is not None]
        sizes = [len(block.lines) for block in self.blocks]
        if isinstance(text := some[0].values, str) and all(
            p is not None and p.rows is None and isinstance(p.values, str) and p.values == text for p in parts
        ):
            return pl.Series([text], dtype=pl.String).new_from_index(0, sum(sizes))
        if len(parts) == 1 and isinstance(text, pl.Series) and isinstance(text.dtype, pl.Enum):
            return text
        number = number and all(isinstance(part.values, pl.Series) and part.values.dtype == pl.Int64 for part in some)
        timed = all(
            isinstance(part.values, pl.Series) and part.values.dtype == TIME for part in parts if part is not None
        )
        dtype = pl.Int64() if number else TIME if timed and len(some) == len(parts) else pl.String()
        values = pl.concat([p.series(size, dtype) for p, size in zip(parts, sizes, strict=True) if p is not None])
        key = some[0].node, tuple(part is not None for part in parts)
        if key not in places_of:
            places_of[key] = _places(parts, sizes)
        place = places_of[key]
        return values if place is None else values.gather(place)

    def _bodies(self, numbers: Sequence[int]) -> list[Odd]:
        """The entries of these numbers, which ascend."""
        odd: list[Odd] = []
        first, at = 0, 0
        for block in self.blocks:
            end = first + len(block.lines)
            bodies: Bodies | None = None
            while at < len(numbers) and numbers[at] < end:
                bodies = block.bodies() if bodies is None else bodies
                n = numbers[at] - first
                odd.append(Odd(bodies[n], block.lines[n], block.counts[n] if block.counts else 1, block.orders[n]))
                at += 1
            first = end
        return odd


def _ones(count: int) -> pl.Series:
    return pl.Series([1], dtype=pl.Int64).new_from_index(0, count)


def _numbers(values: Sequence[int] | pl.Series) -> pl.Series:
    if isinstance(values, pl.Series):
        return values
    if isinstance(values, range):
        return pl.int_range(values.start, values.stop, dtype=pl.Int64, eager=True)
    return pl.Series(values, dtype=pl.Int64)


def _places(parts: Sequence[_Values | None], sizes: Sequence[int]) -> pl.Series | None:
    """For each entry of all blocks the number of its value, where the values of those that have one stand in a row."""
    if all(part is not None and part.rows is None for part in parts):
        return None
    at: list[pl.Series] = []
    first = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is not None:
            here = (
                pl.int_range(size, dtype=pl.Int64, eager=True)
                if part.rows is None
                else pl.Series(part.rows, dtype=pl.Int64)
            )
            at.append(here + first)
        first += size
    rows = pl.concat(at)
    place = pl.Series([None], dtype=pl.UInt32).new_from_index(0, first)
    return place.scatter(rows, pl.int_range(len(rows), dtype=pl.UInt32, eager=True))


class _Inside(Struct, frozen=True):
    """The objects of one node: which entries have one (None: there is one for each, if only an empty one), and those."""

    rows: Sequence[int] | None
    objects: Sequence[Any]


def _columns(typed: Typed, found: Sequence[Any]) -> dict[str, _Values]:
    """What stands at each path, as text or whole numbers, where some entry has it.

    A field's later candidates are only asked where the earlier ones are empty.
    """
    insides: dict[int, _Inside] = {0: _Inside(None, found)}
    columns: dict[str, _Values] = {}
    empty: set[str] = set()
    full: set[str] = set()
    for places in (*typed.fields.values(), *(((spot.path, spot),) for spot in typed.required)):
        for _, place in places:
            if place.path not in columns and place.path not in empty:
                inside = _inside(typed, place.node, insides)
                values = place.read(inside.objects)
                missing = values.count(None)
                if missing == len(values):
                    empty.add(place.path)
                    continue
                columns[place.path] = _Values(_together(values), inside.rows, place.node)
                if place.sure and not missing and inside.rows is None:
                    full.add(place.path)
            if place.path in full:
                break
    return columns


def _inside(typed: Typed, number: int, known: dict[int, _Inside]) -> _Inside:
    """The objects that stand at a node. Where a look at some shows that entries have none, only those that are there are taken."""
    if number not in known:
        node = typed.nodes[number]
        outer = _inside(typed, node.outer, known)
        objects: Sequence[Any] = node.read(outer.objects)
        rows = outer.rows
        missing = node.missing
        if any(value is missing for value in (*objects[:_PROBE], *objects[-1:])):
            have = [n for n, value in enumerate(objects) if value is not missing]
            if len(have) < len(objects):
                objects = [objects[n] for n in have]
                rows = have if rows is None else [rows[n] for n in have]
        known[number] = _Inside(rows, objects)
    return known[number]


_PROBE = 8


def _together(values: list[Any]) -> pl.Series | str:
    """The values as the one text that all of them are, as whole numbers where they are nothing else, or as text."""
    first = values[0]
    if type(first) is str and first == values[-1] == values[len(values) // 2] and values.count(first) == len(values):
        return first
    if type(next(value for value in values if value is not None)) is int:
        numbers = _whole_numbers(values)
        if numbers is not None:
            return numbers
    return as_texts(values)


def _whole_numbers(values: Sequence[Any]) -> pl.Series | None:
    """The values where they are whole numbers of 64 bits, or not there; else None."""
    if not set(map(type, values)) <= {int, type(None)}:
        return None
    try:
        return pl.Series(values, dtype=pl.Int64)
    except (TypeError, OverflowError):  # a number beyond 64 bits
        return None


def _odd(typed: Typed, columns: Mapping[str, pl.Series], count: int) -> pl.Series | None:
    """Which entries lack what the format requires, or are no request and have no message where it looks for one."""
    everything = pl.Series([True]).new_from_index(0, count)
    spots = [spot for name in _SAID for _, spot in typed.fields.get(name, ()) if spot.sure]
    said = [columns[spot.path] for spot in spots if spot.path in columns]
    if not said or any(spot.path not in columns for spot in typed.required):
        return everything
    lacking = [columns[s.path].is_null() for s in typed.required if columns[s.path].null_count()]
    if all(values.null_count() for values in said):
        lacking.append(reduce(and_, (values.is_null() for values in said)))
    odd = reduce(or_, lacking) if lacking else None
    return odd if odd is not None and odd.any() else None


_NUMBERS = ("g_status",)
_SAID = ("g_message", "g_route", "g_status")


def as_texts(values: Sequence[Any]) -> pl.Series:
    """The values as text, null for what is not there."""
    try:
        return pl.Series(values, dtype=pl.String)
    except TypeError:  # not all of them are text
        numbers = _whole_numbers(values)
    if numbers is not None:
        return numbers.cast(pl.String)
    texts = list(values)
    kinds = list(map(type, values))
    for kind in set(kinds) - {str, type(None)}:  # most often a few among many texts
        at = -1
        for _ in range(kinds.count(kind)):
            at = kinds.index(kind, at + 1)
            texts[at] = as_text(values[at])
    return pl.Series(texts, dtype=pl.String)
