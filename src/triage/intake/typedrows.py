"""Entries of a format whose paths are known: a decoder that builds only what is asked for, and columns out of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from triage.intake.exports import as_text
from triage.intake.formats import Format, Place

Keys = tuple[str, ...]
Reader = Callable[[Sequence[Any]], list[Any]]  # objects to one value of each


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an entry holds a value: number of the object in Typed.nodes, and what reads the value in such objects."""

    path: str
    node: int
    read: Reader
    sure: bool = True  # nothing is cut out of the value, so that it is there when it is not null


@dataclass(frozen=True, slots=True)
class Node:
    """An object inside an entry: number of the one around it, what reads it there, and what stands for a missing one."""

    outer: int
    read: Reader
    missing: Any


@dataclass(frozen=True, slots=True)
class Typed:
    """A decoder of one format's entries that builds only what the format asks for."""

    entry: Format
    decoder: Any
    required: tuple[Reader, ...]  # of the values that no entry of the format lacks
    nodes: tuple[Node, ...]  # the entry itself, then the objects in it, outer before inner
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
    nodes = [Node(0, list, None)]
    numbers: dict[Keys, int] = {(): 0}
    readers: dict[Keys, Reader] = {}
    waiting: list[tuple[Keys, dict[str, Any]]] = [((), tree)]
    for at, below in waiting:  # outer before inner: the list grows while it is walked
        for n, (key, inside) in enumerate(below.items()):
            inner = (*at, key)
            readers[inner] = _reader(n)
            if inside:
                numbers[inner] = len(nodes)
                nodes.append(Node(numbers[at], readers[inner], empties[inner]))
                waiting.append((inner, inside))
    fields: dict[str, list[tuple[str, Spot]]] = defaultdict(list)
    for column, path in paths.items():
        spot = Spot(path.dotted, numbers[path.keys[:-1]], readers[path.keys], path.extract is None)
        fields[column.partition("#")[0]].append((column, spot))
    return Typed(
        entry,
        msgspec.json.Decoder(model, strict=False),
        tuple(readers[key,] for key in entry.keys),
        tuple(nodes),
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


@dataclass(slots=True)
class TypedEntries:
    """What was decoded so far: columns by path, in blocks, and the place in order, first line and lines of each entry."""

    blocks: list[tuple[int, dict[str, pl.Series]]] = field(default_factory=list)
    at: list[tuple[Sequence[int], Sequence[int], Sequence[int] | None]] = field(default_factory=list)

    def columns(self) -> dict[str, pl.Series]:
        """One column a path that some entry has, as text."""
        names = dict.fromkeys(path for _, block in self.blocks for path in block)
        nothing = pl.Series([None], dtype=pl.String)
        return {
            path: pl.concat(
                [block[path] if path in block else nothing.new_from_index(0, count) for count, block in self.blocks]
            )
            for path in names
        }

    def places(self) -> pl.DataFrame:
        """Columns i, line and lines of the entries."""
        return pl.DataFrame(
            {
                "i": pl.concat([_numbers(order) for order, _, _ in self.at]),
                "line": pl.concat([_numbers(line) for _, line, _ in self.at]),
                "lines": pl.concat([_numbers(many or [1] * len(line)) for _, line, many in self.at]),
            }
        )


def _numbers(values: Sequence[int]) -> pl.Series:
    if isinstance(values, range):
        return pl.int_range(values.start, values.stop, dtype=pl.Int64, eager=True)
    return pl.Series(values, dtype=pl.Int64)


@dataclass(frozen=True, slots=True)
class _Inside:
    """The objects of one node: which entries have one (None: all of them), and those."""

    rows: Sequence[int] | None
    objects: Sequence[Any]


def add_typed(
    typed: Typed,
    found: Sequence[Any],
    orders: Sequence[int],
    lines: Sequence[int],
    counts: Sequence[int] | None,
    into: TypedEntries,
) -> Sequence[int]:
    """Add decoded entries, except those that are not of the format or say nothing where it looks for it: their numbers."""
    if not found:
        return ()
    insides = _insides(typed, found)
    needed = [read(found) for read in typed.required]
    odd = {n for values in needed if None in values for n, value in enumerate(values) if value is None}
    columns = _columns(typed, insides, len(found))
    odd.update(_speechless(columns, len(found)))
    if odd:
        keep = [n for n in range(len(found)) if n not in odd]
        columns = {c: [values[n] for n in keep] for c, values in columns.items()}
        orders, lines = [orders[n] for n in keep], [lines[n] for n in keep]
        counts = [counts[n] for n in keep] if counts else None
    places = typed.places
    series: dict[str, pl.Series] = {}
    for column, values in columns.items():
        path = places[column].path
        if path not in series:
            series[path] = as_texts(values)
    into.blocks.append((len(lines), series))
    into.at.append((orders, lines, counts))
    return sorted(odd)


def _columns(typed: Typed, insides: Sequence[_Inside], count: int) -> dict[str, Sequence[Any]]:
    """The columns that the entries fill; a field's later candidates are only asked where the earlier ones are empty."""
    columns: dict[str, Sequence[Any]] = {}
    read: dict[str, Sequence[Any]] = {}
    for places in typed.fields.values():
        for column, place in places:
            values = read.get(place.path)
            if values is None:
                values = read[place.path] = _values(insides[place.node], place, count)
            if values:
                columns[column] = values
                if place.sure and None not in values:
                    break
    return columns


def _insides(typed: Typed, found: Sequence[Any]) -> list[_Inside]:
    """Per node, the objects that stand there."""
    insides = [_Inside(None, found)]
    for node in typed.nodes[1:]:
        outer = insides[node.outer]
        objects = node.read(outer.objects)
        missing = node.missing
        have = [n for n, value in enumerate(objects) if value is not missing]
        if len(have) == len(objects):
            insides.append(_Inside(outer.rows, objects))
            continue
        rows = have if outer.rows is None else [outer.rows[n] for n in have]
        insides.append(_Inside(rows, [objects[n] for n in have]))
    return insides


def _values(inside: _Inside, place: Spot, count: int) -> Sequence[Any]:
    """One value an entry; nothing when no entry has one."""
    some = place.read(inside.objects)
    if some.count(None) == len(some):
        return ()
    if inside.rows is None:
        return some
    values: list[Any] = [None] * count
    for n, value in zip(inside.rows, some, strict=True):
        values[n] = value
    return values


def _speechless(columns: Mapping[str, Sequence[Any]], count: int) -> list[int]:
    """The entries that are no request and have no message where the format looks for one."""
    said = [values for column, values in columns.items() if column.startswith(("g_message#", "g_route#", "g_status#"))]
    if any(None not in values for values in said):
        return []
    left: list[int] | None = None
    for values in said:
        left = [n for n in (range(count) if left is None else left) if values[n] is None]
    return list(range(count)) if left is None else left


def as_texts(values: Sequence[Any]) -> pl.Series:
    """The values as text, null for what is not there."""
    try:
        return pl.Series(values, dtype=pl.String)
    except TypeError:  # not all of them are text
        kinds = set(map(type, values)) - {type(None)}
    if kinds == {int}:
        try:
            return pl.Series(values, dtype=pl.Int64).cast(pl.String)
        except (TypeError, OverflowError):  # a number beyond 64 bits
            return pl.Series([None if v is None else str(v) for v in values], dtype=pl.String)
    return pl.Series([as_text(v) for v in values], dtype=pl.String)
