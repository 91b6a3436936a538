"""JSON entries to rows: typed decoding where a format names its paths, plain objects with an alias table elsewhere."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl

from triage.intake.exports import EXPORTS, Entry, as_exception, as_text, explode
from triage.intake.formats import Format, Place, to_json
from triage.intake.rows import Tally, blank_rows, fill
from triage.intake.times import Clock

SUB_BLOCK = 1 << 20  # bytes that are decoded at once: objects stay in the cache of the processor


@dataclass(frozen=True, slots=True)
class Typed:
    """A decoder of one format's entries that builds only what the format asks for."""

    entry: Format
    decoder: Any
    required: tuple[Callable[[Any], Any], ...]
    fields: Mapping[str, tuple[tuple[str, Spot], ...]]  # field -> its candidates, each a column and a place

    @property
    def places(self) -> dict[str, Spot]:
        """The place of each column, candidates of a field in their order."""
        return {column: place for candidates in self.fields.values() for column, place in candidates}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a typed entry holds a value: the object around it (one shared empty one where it is missing), and the key."""

    path: str
    around: Callable[[Any], Any] | None
    missing: Any
    get: Callable[[Any], Any]
    sure: bool = True  # nothing is cut out of the value, so that it is there when it is not null


@dataclass(slots=True)
class Entries:
    """Entries of one block, sorted by how they were read, each with its place in order, first line and number of lines."""

    typed: dict[str, list[Any]] = field(default_factory=dict)  # values by path; the last entries may be missing
    typed_count: int = 0
    typed_at: list[tuple[Sequence[int], Sequence[int], Sequence[int] | None]] = field(default_factory=list)
    objects: list[Entry] = field(default_factory=list)
    objects_at: list[tuple[int, int, int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    texts_at: list[tuple[int, int, int]] = field(default_factory=list)
    rejected: int = 0
    blank: int = 0


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
    names: dict[tuple[str, ...], str] = {}
    empties: dict[tuple[str, ...], Any] = {}
    model = _struct(tree, (), names, empties)

    def getter(keys: tuple[str, ...], start: int = 0) -> Callable[[Any], Any]:
        return attrgetter(".".join(names[keys[: n + 1]] for n in range(start, len(keys))))

    fields: dict[str, list[tuple[str, Spot]]] = defaultdict(list)
    for column, path in paths.items():
        outer = path.keys[:1] if len(path.keys) > 1 else ()
        place = Spot(
            path.dotted,
            getter(outer) if outer else None,
            empties.get(outer),
            getter(path.keys, len(outer)),
            path.extract is None,
        )
        fields[column.partition("#")[0]].append((column, place))
    required = tuple(getter((key,)) for key in entry.keys)
    return Typed(
        entry,
        msgspec.json.Decoder(model, strict=False),
        required,
        {name: tuple(places) for name, places in fields.items()},
    )


def _struct(
    tree: dict[str, Any], at: tuple[str, ...], names: dict[tuple[str, ...], str], empties: dict[tuple[str, ...], Any]
) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    for n, (key, below) in enumerate(tree.items()):
        inner = (*at, key)
        names[inner] = f"f{n}"
        if below:
            model = _struct(below, inner, names, empties)
            empties[inner] = model()
            fields.append((f"f{n}", model, msgspec.field(name=key, default_factory=_constant(empties[inner]))))
        else:
            fields.append((f"f{n}", Any, msgspec.field(name=key, default=None)))
    return msgspec.defstruct("_".join(("Entry", *(k for k in at if k.isidentifier()))), fields, frozen=True, gc=False)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _columns(typed: Typed, found: Sequence[Any]) -> dict[str, list[Any]]:
    """The columns that these entries fill; a field's later candidates are only asked where the earlier ones are empty."""
    columns: dict[str, list[Any]] = {}
    read: dict[str, list[Any]] = {}
    inside: dict[int, tuple[list[int] | None, list[Any]]] = {}
    for places in typed.fields.values():
        for column, place in places:
            values = read.get(place.path)
            if values is None:
                values = read[place.path] = _values(place, found, inside)
            if values:
                columns[column] = values
                if place.sure and None not in values:
                    break
    return columns


def _values(place: Spot, found: Sequence[Any], inside: dict[int, tuple[list[int] | None, list[Any]]]) -> list[Any]:
    """One value an entry; an empty list when no entry has one."""
    if place.around is None:
        return _unless_empty(list(map(place.get, found)))
    known = inside.get(id(place.missing))
    if known is None:
        around = list(map(place.around, found))
        missing = place.missing
        where = [n for n, value in enumerate(around) if value is not missing]
        known = inside[id(missing)] = (
            (None, around) if len(where) == len(around) else (where, [around[n] for n in where])
        )
    where_, objects = known
    some = _unless_empty(list(map(place.get, objects)))
    if where_ is None or not some:
        return some
    values: list[Any] = [None] * len(found)
    for n, value in zip(where_, some, strict=True):
        values[n] = value
    return values


def _unless_empty(values: list[Any]) -> list[Any]:
    return values if values.count(None) < len(values) else []


def read_lines(data: bytes, line: int, lines: int, typed: Typed | None) -> Entries:
    """The entries of whole lines, of which the first is number `line`: JSON objects, and text lines between them."""
    entries = Entries()
    if _read_parts(data, line, typed, entries, careful=False) == line + lines:
        return entries
    entries = Entries()  # there are lines without an object, which a decoder passes over
    _read_parts(data, line, typed, entries, careful=True)
    return entries


def _read_parts(data: bytes, line: int, typed: Typed | None, into: Entries, *, careful: bool) -> int:
    """Add lines part by part; gives the number of the line behind them. Careful means that lines are counted."""
    start = 0
    while start < len(data):
        end = len(data)
        if end - start > SUB_BLOCK:
            end = data.rfind(b"\n", start, start + SUB_BLOCK) + 1 or data.find(b"\n", start) + 1 or end
        part = data[start:end]
        start = end
        count = part.count(b"\n") + (not part.endswith(b"\n")) if careful else None
        done = _read_whole(part, line, count, typed, into)
        line += _read_singly(part, line, typed, into) if done is None else done
    return line


def _read_singly(part: bytes, line: int, typed: Typed | None, into: Entries) -> int:
    """Add lines of which some are no object that the decoder takes, each by itself, and give their number."""
    raws = part.removesuffix(b"\n").split(b"\n")
    found, where = [], []
    for n, raw in enumerate(raws):
        entry = _decode_typed(raw, typed) if typed else None
        if entry is None:
            read_one(raw, line + n, 1, into)
        else:
            found.append(entry)
            where.append(line + n)
    if typed and found:
        _add_typed(typed, found, where, where, None, lambda n: raws[where[n] - line], into)
    return len(raws)


def _read_whole(part: bytes, line: int, count: int | None, typed: Typed | None, into: Entries) -> int | None:
    """Add objects, one a line, and give their number; None when some line is no object or they are not `count`."""
    try:
        found = typed.decoder.decode_lines(part) if typed else _PLAIN.decode_lines(part)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if count is not None and len(found) != count:
        return None
    if typed is not None:
        if any(None in map(get, found) for get in typed.required):
            return None
        raws: list[bytes] = []

        def take_raw(n: int) -> bytes:
            raws[:] = raws or part.split(b"\n")
            return raws[n]

        where = range(line, line + len(found))
        _add_typed(typed, found, where, where, None, take_raw, into)
        return len(found)
    if not all(type(e) is dict for e in found):
        return None
    for n, entry in enumerate(found):
        _add_object(entry, line + n, line + n, 1, into)
    return len(found)


def read_objects(objects: Sequence[tuple[bytes, int, int]], typed: Typed | None) -> Entries:
    """The entries that are given as (text, first line, lines)."""
    entries = Entries()
    found, kept, orders = [], [], []
    for order, one in enumerate(objects):
        entry = _decode_typed(one[0], typed) if typed else None
        if entry is None:
            read_one(*one, entries, order)
        else:
            found.append(entry)
            kept.append(one)
            orders.append(order)
    if typed and found:
        _add_typed(typed, found, orders, [o[1] for o in kept], [o[2] for o in kept], lambda n: kept[n][0], entries)
    return entries


def _decode_typed(body: bytes, typed: Typed) -> Any:
    try:
        entry = typed.decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return None if any(get(entry) is None for get in typed.required) else entry


def _add_typed(
    typed: Typed,
    found: Sequence[Any],
    orders: Sequence[int],
    lines: Sequence[int],
    counts: Sequence[int] | None,
    take_raw: Callable[[int], bytes],
    into: Entries,
) -> None:
    columns = _columns(typed, found)
    if odd := _speechless(columns, len(found)):  # their text stands somewhere that the format does not name
        for n in odd:
            read_one(take_raw(n), lines[n], counts[n] if counts else 1, into, orders[n])
        skip = set(odd)
        keep = [n for n in range(len(found)) if n not in skip]
        columns = {c: [values[n] for n in keep] for c, values in columns.items()}
        orders = [orders[n] for n in keep]
        lines = [lines[n] for n in keep]
        counts = [counts[n] for n in keep] if counts else None
    for path, values in {typed.places[column].path: values for column, values in columns.items()}.items():
        have = into.typed.setdefault(path, [])
        have.extend(repeat(None, into.typed_count - len(have)))
        have.extend(values)
    into.typed_count += len(lines)
    into.typed_at.append((orders, lines, counts))


def _speechless(columns: dict[str, list[Any]], count: int) -> list[int]:
    """The entries that are no request and have no message where the format looks for one."""
    said = [values for column, values in columns.items() if column.startswith(("g_message#", "g_route#", "g_status#"))]
    if any(None not in values for values in said):
        return []
    empty = range(count)
    left: list[int] = list(empty)
    for values in said:
        left = [n for n in left if values[n] is None]
    return left


def read_one(raw: bytes, line: int, lines: int, into: Entries, order: int | None = None) -> None:
    """Add one entry that takes `lines` lines from `line` on: an object, else text; broken objects are rejected text."""
    order = line if order is None else order
    body = raw.strip().strip(b"\x00").removesuffix(b",")
    if body.startswith(b"["):
        body = body[1:].strip()
    if body in (b"]", b"[") or (not body and raw.strip() in (b"[", b",")):
        into.blank += lines
        return
    if not body:
        into.texts.append("")
        into.texts_at.append((order, line, lines))
        return
    if body.startswith(b"{"):
        for value in _decode(body):
            _add_object(value, order, line, lines, into)
            return
        into.rejected += lines
        into.texts.append(raw.decode("utf-8", "replace").rstrip("\r"))
        into.texts_at.append((order, line, 0))
        return
    into.texts.append(raw.decode("utf-8", "replace").replace("\x00", "").rstrip("\r"))
    into.texts_at.append((order, line, lines))


def _decode(body: bytes) -> Iterator[Entry]:
    """The object that the bytes are, leniently; nothing when they are none."""
    for text in (body, body.removesuffix(b"]").rstrip()) if body.endswith(b"]") else (body,):
        try:
            value = _PLAIN.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            try:  # lone surrogates, NaN, bytes that are no UTF-8
                value = json.loads(text.decode("utf-8", "replace"))
                value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
            except (ValueError, RecursionError):
                continue
        if isinstance(value, dict):
            yield value
            return


_PLAIN = msgspec.json.Decoder()


def _add_object(entry: Entry, order: int, line: int, lines: int, into: Entries) -> None:
    if EXPORTS.isdisjoint(entry):
        into.objects.append(entry)
        into.objects_at.append((order, line, lines))
        return
    for n, one in enumerate(explode(entry)):
        into.objects.append(one)
        into.objects_at.append((order, line, 0 if n else lines))


def frames_of(
    entries: Entries, typed: Typed | None, formats: Sequence[Format], with_fields: bool, clock: Clock, tally: Tally
) -> list[pl.DataFrame]:
    """WORK frames of the entries: typed ones, objects by format, and texts."""
    frames: list[pl.DataFrame] = []
    if typed is not None and entries.typed_count:
        frames.append(_typed_frame(entries, typed, clock, tally))
    if entries.objects:
        frames += object_frames(entries.objects, entries.objects_at, formats, with_fields, clock, tally)
    if entries.texts:
        orders, lines, counts = zip(*entries.texts_at, strict=True)
        frame = pl.DataFrame(
            {"i": orders, "line": lines, "lines": counts, "message": pl.Series(entries.texts, dtype=pl.String)}
        )
        frames.append(blank_rows(frame))
    return frames


def _typed_frame(entries: Entries, typed: Typed, clock: Clock, tally: Tally) -> pl.DataFrame:
    entry = typed.entry
    orders = pl.concat([_numbers(order) for order, _, _ in entries.typed_at])
    lines = pl.concat([_numbers(where) for _, where, _ in entries.typed_at])
    counts = pl.concat([_numbers(many) if many else _numbers([1] * len(where)) for _, where, many in entries.typed_at])
    found = {}
    for path, values in entries.typed.items():
        values.extend(repeat(None, entries.typed_count - len(values)))
        found[path] = texts(values)
    raw = {column: found[place.path] for column, place in typed.places.items() if place.path in found}
    frame = blank_rows(pl.DataFrame({"i": orders, "line": lines, "lines": counts}))
    return fill(frame.with_columns(_merge(raw, entry)), entry, clock, tally)


def _numbers(values: Sequence[int]) -> pl.Series:
    if isinstance(values, range):
        return pl.int_range(values.start, values.stop, dtype=pl.Int64, eager=True)
    return pl.Series(values, dtype=pl.Int64)


def object_frames(
    objects: Sequence[Entry],
    at: Sequence[tuple[int, int, int]],
    formats: Sequence[Format],
    with_fields: bool,
    clock: Clock,
    tally: Tally,
) -> list[pl.DataFrame]:
    """WORK frames of the objects, one for each format that some of them speak."""
    chosen: dict[tuple[str, ...], int] = {}
    groups: dict[int, list[int]] = defaultdict(list)
    for n, entry in enumerate(objects):
        shape = tuple(entry)
        which = chosen.get(shape)
        if which is None:
            which = chosen[shape] = next((k for k, f in enumerate(formats) if speaks(entry, f)), len(formats) - 1)
        groups[which].append(n)
    frames = []
    for which, members in groups.items():
        entry_format = formats[which]
        picked = [objects[n] for n in members]
        places = pl.DataFrame(
            [at[n] for n in members], schema={"i": pl.Int64, "line": pl.Int64, "lines": pl.Int64}, orient="row"
        )
        frame = blank_rows(places)
        frames.append(
            fill(frame.with_columns(columns_of(picked, entry_format, with_fields)), entry_format, clock, tally)
        )
    return frames


def speaks(entry: Entry, entry_format: Format) -> bool:
    """Whether the object has the keys of the format."""
    if any(k not in entry for k in entry_format.keys):
        return False
    return not entry_format.any_of or any(k in entry for k in entry_format.any_of)


def columns_of(objects: Sequence[Entry], entry: Format, with_fields: bool = False) -> list[pl.Series | pl.Expr]:
    """Columns g_FIELD and k_N: what the format finds in the objects, as text."""
    if entry.flatten:
        objects = [_flat(o, entry.flatten) for o in objects]
    raw = _guessed(objects, entry) if entry.aliases else _named(objects, entry)
    for n, rule in enumerate(entry.kinds):
        raw[f"k_{n}#"] = texts(_pick(objects, rule.path))
    for n, mark in enumerate(entry.structured):
        if mark == "+":
            raw[f"s_{n}#"] = pl.Series([None if entry.known.issuperset(o) else mark for o in objects], dtype=pl.String)
        elif mark in entry.fields and entry.aliases:
            found = [values for column, values in raw.items() if column.startswith(f"g_{mark}#")]
            raw[f"s_{n}#"] = (
                pl.select(pl.coalesce(found)).to_series()
                if found
                else pl.Series([None] * len(objects), dtype=pl.String)
            )
        else:
            raw[f"s_{n}#"] = texts(_pick(objects, Place(tuple(mark.split(".")))))
    columns = _merge(raw, entry)
    if with_fields:
        used = {
            p.keys[0] for places in entry.fields.values() for p in places if p.keys[0] in entry.keys or entry.aliases
        }
        rest = [to_json({k: v for k, v in o.items() if k not in used}) for o in objects]
        columns.append(pl.Series("g_fields", rest, dtype=pl.String))
    return columns


def _named(objects: Sequence[Entry], entry: Format) -> dict[str, pl.Series]:
    raw = {
        f"g_{name}#{n}": texts(_pick(objects, path), exception=name == "exception")
        for name, paths in entry.fields.items()
        for n, path in enumerate(paths)
    }
    raw["g_message#"] = pl.Series([_payload(o, entry) for o in objects], dtype=pl.String)
    return raw


def _guessed(objects: Sequence[Entry], entry: Format) -> dict[str, pl.Series]:
    present: frozenset[str] = frozenset().union(*objects)
    raw: dict[str, pl.Series] = {}
    for name, paths in entry.fields.items():
        for n, path in enumerate(paths):
            if path.keys[0] not in present and path.dotted not in present:
                continue
            values = _plausible(name, path, texts(_pick(objects, path), exception=name == "exception"))
            if values.null_count() < len(values):
                raw[f"g_{name}#{n}"] = values
                if not values.null_count():
                    break
    if not any(column.startswith("g_message#") for column in raw):
        raw["g_message#"] = pl.Series([to_json(o) for o in objects], dtype=pl.String)
    return raw


def _merge(raw: dict[str, pl.Series], entry: Format) -> list[pl.Series | pl.Expr]:
    """Candidates of a field to one column: the first that is there, what its path extracts."""
    candidates: dict[str, list[pl.Expr]] = defaultdict(list)
    for column, values in raw.items():
        name, _, number = column.partition("#")
        if not name.startswith("g_") or values.null_count() == len(values):
            continue
        paths = entry.fields.get(name[2:], ())
        extract = paths[int(number)].extract if number else None
        candidates[name].append(pl.lit(values).str.extract(extract, 1) if extract else pl.lit(values))
    out: list[pl.Series | pl.Expr] = [pl.coalesce(exprs).alias(name) for name, exprs in candidates.items()]
    for n, rule in enumerate(entry.kinds):
        if f"k_{n}#" not in raw:
            out.append(pl.lit(False).alias(f"k_{n}"))
            continue
        found = pl.lit(raw[f"k_{n}#"])
        out.append(
            (found.str.contains(rule.matches).fill_null(False) if rule.matches else found.is_not_null()).alias(f"k_{n}")
        )
    if marks := [pl.lit(values).is_not_null() for column, values in raw.items() if column.startswith("s_")]:
        out.append((pl.all_horizontal(marks) if entry.aliases else pl.any_horizontal(marks)).alias("g_structured"))
    return out


_PLAUSIBLE = {
    "status": r"^([1-5]\d\d)(?:\.0)?$",
    "route": r"^(/.*|https?://.*)$",
    "level.s": r"^([FEWID][1-5]?)$",
    "logger.c": r"^([A-Z_-]+)$",
    **dict.fromkeys(("service", "instance", "logger", "deployment"), r"^([^{\[][^\n]{0,200})$"),
}
_VAGUE = ("duration", "Duration", "latency", "elapsed")  # their unit depends on the logger


def _plausible(name: str, path: Place, values: pl.Series) -> pl.Series:
    """The values without those that cannot be what their key promises; numbers of a latency with their unit."""
    if name == "method":
        return values.str.to_uppercase().str.extract(r"^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT|TRACE)$", 1)
    if name == "latency":
        text, number = pl.lit(values), pl.lit(values).str.contains(r"^[\d.]+(?:e[+-]?\d+)?$")
        large = text.str.contains(r"^\d{7,}$") & (path.dotted in _VAGUE)  # nanoseconds: as milliseconds it were hours
        return pl.select(
            pl.when(large).then(text + "ns").when(number).then(text + (path.unit or "ms")).otherwise(text)
        ).to_series()
    regex = _PLAUSIBLE.get(f"{name}.{path.dotted}") or _PLAUSIBLE.get(name)
    return values.str.extract(regex, 1) if regex else values


def _payload(entry: Entry, entry_format: Format) -> str | None:
    """The object that holds what an entry says, as JSON, for entries without a message."""
    held = (entry[k] for k in entry_format.any_of if k != "httpRequest" and isinstance(entry.get(k), dict))
    return next(map(to_json, held), None)


def _flat(entry: Entry, key: str) -> Entry:
    listed = entry.get(key)
    if not isinstance(listed, list):
        return entry
    return {**entry, key: {p["name"]: p.get("value") for p in listed if isinstance(p, dict) and "name" in p}}


def _pick(objects: Sequence[Entry], path: Place) -> list[Any]:
    """What stands at the path in each object."""
    if len(path.keys) == 1:
        key = path.keys[0]
        return [o.get(key) for o in objects]
    first, *more = path.keys
    dotted = path.dotted
    values = []
    for entry in objects:
        value = entry.get(first)
        for key in more:
            value = value.get(key) if isinstance(value, dict) else None
        values.append(entry.get(dotted) if value is None else value)
    return values


def texts(values: Sequence[Any], *, exception: bool = False) -> pl.Series:
    """The values as text, null for what is not there."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str} and not exception:
        return pl.Series(values, dtype=pl.String)
    if exception:
        return pl.Series([as_exception(v) for v in values], dtype=pl.String)
    return pl.Series(
        [v if v is None or (kind := type(v)) is str else str(v) if kind is int else as_text(v) for v in values],
        dtype=pl.String,
    )


def enabled(formats: Sequence[Format], objects: Sequence[Entry]) -> tuple[Format, ...]:
    """The JSON formats that a source whose first objects are these may speak."""
    return tuple(f for f in formats if not f.head or any(_fits_head(o, f) for o in objects))


def _fits_head(entry: Entry, entry_format: Format) -> bool:
    return speaks(entry, entry_format) and all(
        re.search(regex, as_text(entry.get(key)) or "") for key, regex in entry_format.head.items()
    )


def known_object(entry: Entry, formats: Sequence[Format]) -> bool:
    """Whether an object inside a line of text is a log entry and not just some data: it has two of time, level, text."""
    if any(f.keys and speaks(entry, f) for f in formats):
        return True
    guesses = formats[-1].fields
    has = sum(
        any(p.keys[0] in entry or p.dotted in entry for p in guesses.get(name, ()))
        for name in ("at", "level", "message")
    )
    return has >= 2
