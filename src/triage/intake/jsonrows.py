"""JSON entries to rows: typed decoding where a format names its paths, plain objects with an alias table elsewhere."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial, reduce
from operator import or_
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct, field

from triage.intake.cutting import Cutting, Tree, cutting_of, tree_of
from triage.intake.distinct import cut_out, on_distinct, plain_texts
from triage.intake.exports import EXPORTS, Entry, as_text, explode
from triage.intake.formats import UNITS_MS, Format, Place, to_json
from triage.intake.given import CutRows, Given, Objects
from triage.intake.rows import Tally, blank_rows, fill, milliseconds
from triage.intake.times import ISO, Clock
from triage.intake.typedrows import STAMP, Typed, TypedEntries
from triage.schema import TIME


class Entries(Struct):
    """Entries of some blocks, sorted by how they were read, each with its place in order, first line and number of lines."""

    typed: TypedEntries = field(default_factory=TypedEntries)
    objects: list[Entry] = field(default_factory=list)
    objects_at: list[tuple[int, int, int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    texts_at: list[tuple[int, int, int]] = field(default_factory=list)
    rejected: int = 0
    blank: int = 0
    given: int = 0  # objects that were given one by one
    cutting: Cutting | None = None  # lines of which values were cut out
    suspects: list[bytes] = field(default_factory=list)  # where an entry may say that its text was cut


def read_lines(
    data: bytes,
    line: int,
    lines: int,
    typed: Typed | None,
    into: Entries | None = None,
    tree: Tree | None = None,
    numbers: bytes | None = None,
) -> Entries:
    """The entries of `lines` whole lines, of which the first is number `line`: JSON objects, and text lines between them.

    `tree` holds what may be asked of entries, if no more will be; `numbers` those of the lines (64 bits each), where not all
    that stood between them are there.
    """
    entries = Entries() if into is None else into
    if typed is not None:
        left = entries.typed.cut(typed, data, line, numbers)
    else:
        entries.cutting = entries.cutting or (cutting_of(tree) if tree is not None else None)
        left = entries.cutting.add(data, line, numbers) if entries.cutting is not None else None
        if entries.cutting is None or entries.cutting.flagged():
            entries.suspects.append(data)
        else:
            entries.suspects += [raw for _, raw in left or ()]
    if left is None:
        if not _read_whole(data, range(line, line + lines), typed, entries):  # some line is no such object
            _read_singly(dict(enumerate(data.removesuffix(b"\n").split(b"\n"), line)), typed, entries)
    elif left and not _read_whole(b"\n".join(raw for _, raw in left), [n for n, _ in left], typed, entries):
        _read_singly(dict(left), typed, entries)
    return entries


def _read_singly(raws: Mapping[int, bytes], typed: Typed | None, into: Entries) -> None:
    """Add lines, by their numbers, of which some are no object that the decoder takes, each by itself."""
    found, where = [], []
    for n, raw in raws.items():
        entry = _decode_typed(raw, typed) if typed else None
        if entry is None:
            read_one(raw, n, 1, into)
        else:
            found.append(entry)
            where.append(n)
    if typed:
        into.typed.add(typed, found, where, where, None, lambda: [raws[n] for n in where])


def _read_whole(part: bytes, where: Sequence[int], typed: Typed | None, into: Entries) -> bool:
    """Add the objects, one in each of the lines with these numbers; False, and nothing added, when some line is none."""
    if where and len(where) - 1 not in (part.count(b"}\n{"), part.count(b"}\r\n{")):
        return False  # an object might go on over a line's end, which the decoder takes
    try:
        found = typed.decoder.decode_lines(part) if typed else _PLAIN.decode_lines(part)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    if len(found) != len(where):  # a line without an object is passed over by the decoder
        return False
    if typed is not None:
        into.typed.add(typed, found, where, where, None, lambda: part.split(b"\n"))
        return True
    if not all(type(e) is dict for e in found):
        return False
    for n, entry in zip(where, found, strict=True):
        _add_object(entry, n, n, 1, into)
    return True


def read_objects(
    objects: Sequence[tuple[bytes, int, int]], typed: Typed | None, into: Entries | None = None
) -> Entries:
    """The entries that are given as (text, first line, lines), numbered in their order."""
    entries = Entries() if into is None else into
    entries.suspects += [body for body, _, _ in objects] if typed is None else ()
    found, kept, orders = [], [], []
    for order, one in enumerate(objects, entries.given):
        entry = _decode_typed(one[0], typed) if typed else None
        if entry is None:
            read_one(*one, entries, order)
        else:
            found.append(entry)
            kept.append(one)
            orders.append(order)
    if typed:
        lines, counts = [line for _, line, _ in kept], [count for _, _, count in kept]
        entries.typed.add(typed, found, orders, lines, counts, lambda: [body for body, _, _ in kept])
    entries.given += len(objects)
    return entries


def _decode_typed(body: bytes, typed: Typed) -> Any:
    try:
        return typed.decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


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


def is_rejected(raw: bytes, typed: Typed | None) -> bool:
    """Whether a line claims to be an entry and is none."""
    entries = Entries()
    if typed is None or _decode_typed(raw, typed) is None:
        read_one(raw, 1, 1, entries)
    return entries.rejected > 0


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
    if typed is not None and not entries.typed.empty:
        places, found, odd = entries.typed.sort_out(typed)
        if places.height:
            raw = {column: found[place.path] for column, place in typed.places.items() if place.path in found}
            done = {column for column, place in typed.places.items() if place.path in entries.typed.cut_out}
            frame = blank_rows(places).with_columns_seq(_merge(raw, typed.entry, done))
            frames.append(fill(frame, typed.entry, clock, tally))
        for one in odd:
            read_one(one.body, one.line, one.lines, entries, one.order)
    if entries.cutting is not None:
        frames += _cut_frames(entries, entries.cutting, formats, clock, tally)
    if entries.objects:
        frames += object_frames(entries.objects, entries.objects_at, formats, with_fields, clock, tally)
    if entries.texts:
        orders, lines, counts = zip(*entries.texts_at, strict=True)
        frame = pl.DataFrame(
            {"i": orders, "line": lines, "lines": counts, "message": pl.Series(entries.texts, dtype=pl.String)}
        )
        # what stands for no line is a broken object: no text format begins as it does
        frames.append(blank_rows(frame.with_columns(open=pl.col("lines") != 0)))
    return frames


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
            which = chosen[shape] = spoken(entry, formats)
        groups[which].append(n)
    frames = []
    for which, members in groups.items():
        entry_format = formats[which]
        picked = [objects[n] for n in members]
        places = pl.DataFrame(
            [at[n] for n in members], schema={"i": pl.Int64, "line": pl.Int64, "lines": pl.Int64}, orient="row"
        )
        if entry_format.flatten:
            picked = [_flat(o, entry_format.flatten) for o in picked]
        columns = columns_of(Objects(picked), entry_format, with_fields)
        frames.append(fill(blank_rows(places).with_columns_seq(columns), entry_format, clock, tally))
    return frames


def _cut_frames(
    entries: Entries, cutting: Cutting, formats: Sequence[Format], clock: Clock, tally: Tally
) -> list[pl.DataFrame]:
    """WORK frames of the entries that were cut, one for each format that some of them speak; others join the objects."""
    found = cutting.finish()
    if not found.count:
        return []
    chosen = [
        -1 if not EXPORTS.isdisjoint(keys) or formats[which].flatten else which
        for keys, which in ((keys, spoken(keys, formats)) for keys in found.keys)
    ]
    which = pl.Series(chosen, dtype=pl.Int64).gather(found.shapes)
    frames = []
    for one in which.unique().sort():
        rows = (which == one).arg_true()
        given = CutRows(found, cutting, rows if len(rows) < found.count else None)
        if one < 0:
            for line in given.lines:
                read_one(cutting.raw(line), line, 1, entries)
            continue
        places = pl.DataFrame({"i": given.lines, "line": given.lines}).with_columns_seq(lines=pl.lit(1, dtype=pl.Int64))
        frame = blank_rows(places).with_columns_seq(columns_of(given, formats[one]))
        frames.append(fill(frame, formats[one], clock, tally))
    return frames


def spoken(entry: Collection[str], formats: Sequence[Format]) -> int:
    """The number of the format that an entry with these keys speaks."""
    return next((k for k, f in enumerate(formats) if speaks(entry, f)), len(formats) - 1)


def speaks(entry: Collection[str], entry_format: Format) -> bool:
    """Whether the object has the keys of the format."""
    if any(k not in entry for k in entry_format.keys):
        return False
    return not entry_format.any_of or any(k in entry for k in entry_format.any_of)


def columns_of(given: Given, entry: Format, with_fields: bool = False) -> list[pl.Series | pl.Expr]:
    """Columns g_FIELD and k_N: what the format finds in the entries, as text."""
    raw = _guessed(given, entry) if entry.aliases else _named(given, entry)
    for n, rule in enumerate(entry.kinds):
        raw[f"k_{n}#"] = given.values(rule.path)
    for n, mark in enumerate(entry.structured):
        if mark == "+":
            beyond = pl.lit(given.beyond(entry.known))
            raw[f"s_{n}#"] = pl.select(pl.when(beyond).then(pl.lit(mark))).to_series()
        elif mark in entry.fields and entry.aliases:
            found = [values for column, values in raw.items() if column.startswith(f"g_{mark}#")]
            raw[f"s_{n}#"] = pl.select(pl.coalesce(found)).to_series() if found else _nothing(given.count)
        else:
            raw[f"s_{n}#"] = given.values(Place(tuple(mark.split("."))))
    columns = _merge(raw, entry, raw if entry.aliases else ())  # of guesses what is plausible was cut out already
    if with_fields:
        used = {
            p.keys[0] for places in entry.fields.values() for p in places if p.keys[0] in entry.keys or entry.aliases
        }
        entries = map(given.entry, range(given.count))
        rest = [to_json({k: v for k, v in o.items() if k not in used}) for o in entries]
        columns.append(pl.Series("g_fields", rest, dtype=pl.String))
    return columns


def asked(formats: Sequence[Format]) -> Tree:
    """The tree of what the formats ask of entries."""
    fields = [(entry, name, path) for entry in formats for name, paths in entry.fields.items() for path in paths]
    paths = [path for _, _, path in fields]
    paths += [rule.path for entry in formats for rule in entry.kinds]
    paths += [Place(tuple(mark.split("."))) for entry in formats for mark in entry.structured if mark != "+"]
    leaves = [keys for path in paths for keys in path.spellings]
    moments = {p.keys for entry, name, p in fields if name == "at" and not p.extract and ISO[0] in (entry.times or ISO)}
    others = {p.keys for entry, name, p in fields if name != "at" or p.extract or ISO[0] not in (entry.times or ISO)}
    others |= {path.keys for path in paths[len(fields) :]}
    return tree_of(leaves, strict=False, times={keys for keys in moments - others if len(keys) == 1})


def _nothing(count: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, count)


def _named(given: Given, entry: Format) -> dict[str, pl.Series]:
    raw: dict[str, pl.Series] = {}
    for name, paths in entry.fields.items():
        for n, path in enumerate(paths):
            if given.has(path):
                values = raw[f"g_{name}#{n}"] = given.values(path, exception=name == "exception")
                if not path.extract and not values.null_count():
                    break  # later candidates are only asked where the earlier ones are empty
    said = [
        values.is_not_null()
        for column, values in raw.items()
        if column.startswith(("g_message#", "g_route#", "g_status#"))
        and not entry.fields[column[2:].partition("#")[0]][int(column.partition("#")[2])].extract
    ]
    raw["g_message#"] = _for_silent(given, said, lambda one: _payload(one, entry))
    return raw


def _for_silent(given: Given, said: Sequence[pl.Series], say: Callable[[Entry], str | None]) -> pl.Series:
    """What `say` makes of the entries that say nothing; null for the others."""
    silent = (~reduce(or_, said)).arg_true().to_list() if said else range(given.count)
    if not len(silent):
        return _nothing(given.count)
    texts = pl.Series([say(given.entry(n)) for n in silent], dtype=pl.String)
    return texts if len(silent) == given.count else _nothing(given.count).scatter(silent, texts)


def _guessed(given: Given, entry: Format) -> dict[str, pl.Series]:
    raw: dict[str, pl.Series] = {}
    for name, paths in entry.fields.items():
        for n, path in enumerate(paths):
            if not given.has(path):
                continue
            values = given.values(path, exception=name == "exception", change=partial(_plausible, name, path))
            if values.null_count() < len(values):
                raw[f"g_{name}#{n}"] = values
                if not values.null_count():
                    break
    said = [values.is_not_null() for column, values in raw.items() if column.startswith(_SAYING)]
    whole = _for_silent(given, said, to_json)
    if whole.null_count() < len(whole):
        raw["g_message#"] = whole
    return raw


_SAYING = ("g_message#", "g_exception#", "g_route#", "g_status#")


def _merge(raw: dict[str, pl.Series], entry: Format, done: Collection[str] = ()) -> list[pl.Series | pl.Expr]:
    """Candidates of a field to one column: the first that is there, what its path extracts (from those of `done` it is)."""
    candidates: dict[str, list[pl.Series]] = defaultdict(list)
    for column, values in raw.items():
        name, _, number = column.partition("#")
        if not name.startswith("g_") or values.null_count() == len(values):
            continue
        paths = entry.fields.get(name[2:], ())
        place = paths[int(number)] if number else _NOWHERE
        found = cut_out(values, place.extract) if place.extract and column not in done else values
        candidates[name].append(_with_unit(found, place.unit) if place.unit and not entry.aliases else found)
    out: list[pl.Series | pl.Expr] = []
    for name, given in candidates.items():
        if len({values.dtype for values in given}) > 1:  # stamps of which some were read already
            given = [values.dt.strftime(STAMP) if values.dtype == TIME else plain_texts(values) for values in given]
        elif len(given) > 1 or name not in _OF_FEW:
            given = [plain_texts(values) for values in given]
        out.append(given[0].alias(name) if len(given) == 1 else pl.coalesce(map(pl.lit, given)).alias(name))
    for n, rule in enumerate(entry.kinds):
        if f"k_{n}#" not in raw:
            out.append(pl.lit(False).alias(f"k_{n}"))
            continue
        held = raw[f"k_{n}#"]
        kind = on_distinct(held, _matcher(rule.matches)).fill_null(False) if rule.matches else held.is_not_null()
        out.append(kind.alias(f"k_{n}"))
    if marks := [pl.lit(values).is_not_null() for column, values in raw.items() if column.startswith("s_")]:
        out.append((pl.all_horizontal(marks) if entry.aliases else pl.any_horizontal(marks)).alias("g_structured"))
    return out


_OF_FEW = ("g_level", "g_status", "g_service", "g_instance", "g_deployment", "g_logger", "g_method")


def _matcher(regex: str) -> Callable[[pl.Series], pl.Series]:
    return lambda values: values.str.contains(regex)


_PLAUSIBLE = {
    "status": r"^([1-5]\d\d)(?:\.0)?$",
    "route": r"^(/.*|https?://.*)$",
    "level.s": r"^([FEWID][1-5]?)$",
    "logger.c": r"^([A-Z_-]+)$",
    **dict.fromkeys(("service", "instance", "logger", "deployment"), r"^([^{\[][^\n]{0,200})$"),
}
_NOWHERE = Place(())


def _with_unit(values: pl.Series, unit: str) -> pl.Series:
    """Numbers as texts with their unit behind them."""
    text = pl.lit(plain_texts(values))
    return pl.select(
        pl.when(text.str.contains(r"^[\d.]+(?:e[+-]?\d+)?$")).then(text + unit).otherwise(text)
    ).to_series()


VAGUE = ("duration", "Duration", "latency", "elapsed")  # their unit depends on the logger


def _plausible(name: str, path: Place, values: pl.Series) -> pl.Series:
    """The values without those that cannot be what their key promises; numbers of a latency with their unit."""
    if path.extract:
        values = values.str.extract(path.extract, 1)
    if name == "method":
        return values.str.to_uppercase().str.extract(r"^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT|TRACE)$", 1)
    if name == "latency":
        return _latency(path, values)
    regex = _PLAUSIBLE.get(f"{name}.{path.dotted}") or _PLAUSIBLE.get(name)
    return values.str.extract(regex, 1) if regex else values


def _latency(path: Place, values: pl.Series) -> pl.Series:
    """Durations in milliseconds; numbers are in the unit that the path names."""
    numbers = values.cast(pl.Float64, strict=False)
    most = 1e6 if path.dotted in VAGUE else math.inf
    if numbers.null_count() == values.null_count() and numbers.is_between(0, most, closed="left").all():
        return numbers * UNITS_MS[path.unit or "ms"]
    text = pl.lit(values)
    large = text.str.contains(r"^\d{7,}$") & (path.dotted in VAGUE)  # nanoseconds: as milliseconds it were hours
    told = pl.select(pl.when(large).then(text + "ns").otherwise(pl.lit(_with_unit(values, path.unit or "ms"))))
    return milliseconds(told.to_series(), "ms")


def _payload(entry: Entry, entry_format: Format) -> str | None:
    """The object that holds what an entry says, as JSON, for entries without a message that are no request."""
    held = (entry[k] for k in entry_format.any_of if k != "httpRequest" and isinstance(entry.get(k), dict))
    return next(map(to_json, held), None)


def _flat(entry: Entry, key: str) -> Entry:
    listed = entry.get(key)
    if not isinstance(listed, list):
        return entry
    return {**entry, key: {p["name"]: p.get("value") for p in listed if isinstance(p, dict) and "name" in p}}


def enabled(formats: Sequence[Format], objects: Sequence[Entry]) -> tuple[Format, ...]:
    """The JSON formats that a source whose first objects are these may speak."""
    return tuple(f for f in formats if not f.head or any(_fits_head(o, f) for o in objects))


def _fits_head(entry: Entry, entry_format: Format) -> bool:
    return speaks(entry, entry_format) and all(
        re.search(regex, as_text(entry.get(key)) or "") for key, regex in entry_format.head.items()
    )


def known_object(entry: Entry, formats: Sequence[Format]) -> bool:
    """Whether an object inside a line of text is a log entry and not just some data: it has two of time, level, text,
    or tells of a request and of its time."""
    if any(f.keys and speaks(entry, f) for f in formats):
        return True
    guesses = formats[-1].fields
    has = {
        name
        for name in ("at", "level", "message", "status", "method", "route")
        if any(p.keys[0] in entry or p.dotted in entry for p in guesses.get(name, ()))
    }
    return len(has & {"at", "level", "message"}) >= 2 or has >= {"at", "status", "method", "route"}
