"""Which formats a source speaks: its head is read with the whole catalogue, and counted."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import compress, islice
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.intake.calm import Header, header_of
from triage.intake.cutting import Tree
from triage.intake.entries import Lines, Plan, lines_of
from triage.intake.exports import Entry, explode
from triage.intake.formats import Catalog, Detection, Format, Place, anonymous
from triage.intake.framing import Framing, find_framing, pieces
from triage.intake.given import Objects
from triage.intake.jsonrows import (
    VAGUE,
    Entries,
    asked,
    columns_of,
    enabled,
    frames_of,
    read_lines,
    read_objects,
    speaks,
)
from triage.intake.levels import read_level
from triage.intake.plausible import Usual, usual
from triage.intake.rows import CONTINUES, Tally, blank_rows
from triage.intake.sources import Stream
from triage.intake.textrows import Layers, read_texts
from triage.intake.times import EPOCH, ISO, Clock
from triage.intake.typedrows import Typed, typed_decoder
from triage.schema import LEVELS

if TYPE_CHECKING:
    from triage.intake.headers import Inferred

HEAD_LINES = 400
MAPPED = {  # fields that a user may look for under a key of his own, and what they are called here
    **{"time": "at"},
    **{name: name for name in ("level", "message", "service", "instance", "trace", "logger", "status", "latency")},
}
_TOLD = 3  # requests in messages of the head that make them one of the source's formats
_AT_ONCE = timedelta(milliseconds=5)  # lines of one message are written so soon one after the other
_OWN = 3  # lines with headers of their own, before those of a service are taken to have one
_MOSTLY = 0.75  # of the runs of its lines without one that surely go on a record
_ENOUGH = 5  # lines that are enough to tell that all are indented
_JSON_SHARE = 0.5  # of the lines at the head that must be objects for a JSON source


class Reading(Struct, frozen=True):
    """How a source is read: fixed by its head, so that every later line means the same in any block."""

    framing: Framing
    json_first: bool
    typed: Typed | None
    tree: Tree  # what the JSON formats ask of entries
    json: tuple[Format, ...]
    layers: Layers
    detection: Detection
    usual: Usual | None = None
    day_first: bool = False
    notices: tuple[str, ...] = ()
    header: Header | None = None  # of lines that only count
    plan: Plan | Lines | None = None  # of entries that only count


def study(stream: Stream, catalog: Catalog, forced: str | None = None, clock: Clock | None = None) -> Reading:
    """How the source of this stream is read; looks at its head and consumes nothing."""
    head = stream.head()
    day_first = any(int(found[1]) > 12 for found in _DAY_MONTH.finditer(head))
    clock = replace(clock or Clock(), day_first=day_first)
    whole = head if stream.ended or b"\n" not in head else head[: head.rfind(b"\n") + 1]
    how = find_framing(whole)
    only = catalog[forced] if forced else None
    entries = _head_entries(whole, how)
    objects = entries.objects[:HEAD_LINES]
    filled = len(objects) + sum(1 for t in entries.texts if t.strip())
    json_first = how.how != "lines" or (bool(objects) and len(objects) >= _JSON_SHARE * filled)
    if whole and not whole.strip(b"[]{}, \t\r\n") and whole.strip():  # an empty list
        json_first = True
    if only is not None:
        json_first = only.kind == "json"
    formats = (
        enabled(catalog.json, objects)
        if only is None or only.kind == "text"
        else tuple(dict.fromkeys((only, catalog.json[-1])))
    )
    spoken = [next((f.name for f in formats if speaks(o, f)), "") for o in objects]
    formats = _in_seconds(_unlabelled(formats, objects, spoken, catalog), objects)
    main = Counter(spoken).most_common(1)
    best = next((f for f in formats if main and f.name == main[0][0]), None)
    typed = typed_decoder(best) if best is not None and best.typed else None
    layers = Layers(catalog, (), formats, only)
    rows = _read_head(entries, formats, layers, json_first, whole, clock)
    seen = {name for chain in rows["chain"].unique().to_list() for name in chain.split(" > ")}
    layers = replace(layers, first=tuple(f for f in catalog.text if f.name in seen))
    learned = None if only is not None else _learn(rows, entries, layers, json_first, whole, clock)
    if learned is not None and learned.formats:
        first = sorted((*layers.first, *learned.formats), key=lambda f: f.order)
        layers = replace(layers, first=tuple(first))
        rows = _read_head(entries, formats, layers, json_first, whole, clock)
        seen = {name for chain in rows["chain"].unique().to_list() for name in chain.split(" > ")}
        layers = replace(layers, first=tuple(f for f in first if f.name in seen or f in learned.formats))
    if indentation := _shared_indentation(rows, catalog):
        layers = _indented(layers, *indentation)
        rows = _read_head(entries, formats, layers, json_first, whole, clock)
    layers = _told_requests(rows, layers, clock) if only is None else layers
    if layers.behind:
        rows = _read_head(entries, formats, layers, json_first, whole, clock)
    if within := _headed_within(rows, layers):
        layers = replace(layers, within=within)
    rising = not _runs_back(rows["at"])
    header = header_of(entries.texts[:HEAD_LINES], layers, clock) if rising and not json_first else None
    plan: Plan | Lines | None = None
    if rising and not json_first and how.how == "lines" and header is None:
        plan = lines_of(layers)
    elif rising and json_first and how.how == "lines" and only is None and not layers.behind:
        tree = typed.tree if typed is not None else asked(formats)
        plan = Plan(tree, formats, typed, layers, partial(_own_header, entries, layers, clock))
    notices: tuple[str, ...] = ()
    if _is_binary(whole):
        notices = (f"{stream.name}: does not look like a log: its first bytes are not text",)
    return Reading(
        Framing("lines") if only is not None and only.kind == "text" else how,
        json_first,
        typed,
        asked(formats),
        formats,
        layers,
        _conclude(rows, learned),
        usual(rows["at"]),
        day_first,
        notices,
        header,
        plan,
    )


def _unlabelled(
    formats: Sequence[Format], objects: Sequence[Entry], spoken: Sequence[str], catalog: Catalog
) -> tuple[Format, ...]:
    """The formats of a head, of whose objects each is of the one named in `spoken`, with what stands beside a program's own lines taken for labels of the transport: who writes a time
    and a level into a text did not write the entry around it, nor did who prints a frame of a traceback."""
    return tuple(
        _without_labels(f, [o for o, name in zip(objects, spoken, strict=True) if name == f.name], catalog)
        if "+" in f.structured
        else f
        for f in formats
    )


def _without_labels(entry: Format, objects: Sequence[Entry], catalog: Catalog) -> Format:
    if len(objects) < _OWN:
        return entry
    found = pl.select(*columns_of(Objects(objects), entry))
    if not {"g_structured", "g_message"} <= set(found.columns):
        return entry
    text = found["g_message"]
    own = (found["g_structured"] & text.str.contains(_OF_A_PROGRAM)).fill_null(False)
    if own.sum() < _OWN:
        return entry
    headed = [anonymous(f.pattern) for f in catalog.text if {"at", "level"} <= {*f.groups} and f.row == "app"]
    own &= text.str.contains("|".join(f"(?:^{pattern})" for pattern in headed)) | text.str.contains(CONTINUES)
    if own.sum() < _OWN:
        return entry
    labels = {key for o in compress(objects, own) for key in o}
    return replace(entry, known=entry.known | labels)


def _in_seconds(formats: Sequence[Format], objects: Sequence[Entry]) -> tuple[Format, ...]:
    """The formats with durations that name no unit in seconds, where the stamps are seconds since 1970 with a fraction: a logger
    (zap) writes both alike."""
    told = sum(isinstance(o.get("ts"), float) and any(isinstance(o.get(key), float) for key in VAGUE) for o in objects)
    if told < _OWN:
        return tuple(formats)
    return tuple(replace(f, fields={**f.fields, "latency": _seconds(f)}) if f.aliases else f for f in formats)


def _seconds(entry: Format) -> tuple[Place, ...]:
    places = entry.fields.get("latency", ())
    return tuple(replace(place, unit="s") if place.dotted in VAGUE else place for place in places)


def _headed_within(rows: pl.DataFrame, layers: Layers) -> frozenset[str | None]:
    """Services whose lines have a header of their own behind that of the transport, but for those that go on a record.

    Of the runs of lines without one nearly all hold a line that surely goes on another (a frame, an indented line), and
    stamps that are fine enough say that what surely goes on nothing was written in one go with what is above it.
    """
    plain = list(layers.plain)
    names = pl.col("chain").str.split(" > ")
    carried = names.list.eval(pl.element().is_in(plain)).list.any() & (pl.col("kind") == "app")
    told = rows.filter(carried).select(
        "service", "header", writer=pl.concat_str("service", "instance", "stream", ignore_nulls=True),
        bare=pl.col("format").is_in(plain), at="at",
    )  # fmt: skip
    told = told.sort("writer", maintain_order=True).with_columns(
        run=(pl.col("bare") != pl.col("bare").shift(1)).fill_null(True).cum_sum(),
        apart=(pl.col("at") - pl.col("at").shift(1)).over("writer") > _AT_ONCE,
        fine=pl.col("at").to_physical() % 1_000_000 != 0,
    )
    alone = told.filter("bare", "header", "fine").group_by("service").agg(alone=pl.col("apart").mean() > 0.5)
    own = told.filter(~pl.col("bare")).group_by("service").len("own")
    runs = told.filter("bare").group_by("service", "run").agg(goes_on=(~pl.col("header")).any())
    runs = runs.group_by("service").agg(pl.len().alias("runs"), pl.col("goes_on").sum())
    found = own.join(runs, on="service", nulls_equal=True).join(alone, on="service", how="left", nulls_equal=True)
    found = found.filter(
        ~pl.col("alone").fill_null(False), pl.col("own") >= _OWN, pl.col("goes_on") >= _MOSTLY * pl.col("runs")
    )
    return frozenset(found["service"])


def _own_header(entries: Entries, layers: Layers, clock: Clock) -> Header | None:
    """The header that stands in what the entries of a head say."""
    frames = frames_of(entries, None, layers.json, False, clock, Tally())
    return header_of([text for frame in frames for text in frame["message"].drop_nulls()], layers, clock)


def _runs_back(at: pl.Series) -> bool:
    """Whether the last of these times is before the first."""
    times = at.drop_nulls()
    return len(times) > 1 and bool(times[-1] < times[0])


def _told_requests(rows: pl.DataFrame, layers: Layers, clock: Clock) -> Layers:
    """The layers with the formats of requests that the programs of this head tell of in their messages, but for those services
    that log requests as such."""
    answering = rows.filter(pl.col("status").is_not_null())["service"].unique()
    silent = rows.filter(~pl.col("service").is_in(answering.implode(), nulls_equal=True))
    if not silent.height:
        return layers
    all_of_them = replace(layers, behind=layers.catalog.behind)
    closed = silent.with_columns(pl.lit(False).alias("open"))
    read = read_texts(closed, all_of_them, clock, Tally(), last=True).rows
    counts = Counter(read.filter(pl.col("status").is_not_null())["format"].to_list())
    told = tuple(f for f in layers.catalog.behind if counts[f.name] >= _TOLD)
    return replace(layers, behind=told, answering=frozenset(answering)) if told else layers


def _shared_indentation(rows: pl.DataFrame, catalog: Catalog) -> tuple[Format, int] | None:
    """The format of a transport that all lines of the head are of, and how many blanks all of them begin with: what all
    have in common tells nothing of any."""
    filled = rows.filter(pl.col("message").str.strip_chars() != "")
    entry = catalog.formats.get(filled["format"][0] or "") if filled.height >= _ENOUGH else None
    if (
        entry is None
        or entry.kind != "text"
        or entry.header in ("own", "each")
        or not filled["format"].eq_missing(entry.name).all()
    ):
        return None
    blanks = filled["message"].str.extract("^( *)", 1).str.len_bytes().min()
    return (entry, blanks) if isinstance(blanks, int) and blanks > 1 else None


def _indented(layers: Layers, entry: Format, blanks: int) -> Layers:
    """The layers whose format takes so many blanks for a part of its header."""
    changed = replace(entry, pattern=entry.pattern + f"(?: {{{blanks}}})?")

    def swap(one: Format) -> Format:
        return changed if one.name == entry.name else one

    catalog = _with_formats(layers.catalog, {**layers.catalog.formats, entry.name: changed})
    forced = layers.forced and swap(layers.forced)
    return replace(layers, catalog=catalog, first=tuple(map(swap, layers.first)), forced=forced)


def _learn(
    rows: pl.DataFrame, entries: Entries, layers: Layers, json_first: bool, head: bytes, clock: Clock
) -> Inferred | None:
    """Headers that no format knows, learned from the texts of the head that nothing but generic formats reads."""
    generic = [f.name for f in layers.catalog.text if f.generic]
    envelopes = [f.name for f in layers.catalog.formats.values() if f.unwraps]
    read_by = pl.col("chain").str.split(" > ").list.last()
    vague = (read_by.is_in([*generic, *envelopes]) | (pl.col("chain") == "")) & ~pl.col("message").str.contains(
        CONTINUES
    )
    poor = rows.filter(vague & (read_by.is_in(generic) | pl.col("message").str.contains(_MAY_HAVE_A_HEADER)))
    if not poor.height:
        return None
    from triage.intake.headers import Sample, infer

    bare = replace(layers, first=tuple(f for f in layers.first if not f.generic), generic=False)
    rows = _read_head(entries, bare.json, bare, json_first, head, clock).filter(
        vague & pl.col("message").str.contains(_MAY_HAVE_A_HEADER) & pl.col("line").is_in(poor["line"].implode())
    )
    writers = rows.group_by("chain", "service", maintain_order=True).agg(
        "message", timed=pl.col("at").is_not_null().any()
    )
    samples = [
        Sample(row["message"], frozenset(("level",) if row["timed"] else ("at", "level") if row["chain"] else ()))
        for row in writers.iter_rows(named=True)
    ]
    opens = pl.Series([f"^(?:{anonymous(f.pattern)})" for f in layers.catalog.text if f.generic])

    def said_already(lines: Sequence[str], pattern: str) -> bool:
        """Whether a generic format reads the same message out of nearly all these lines."""
        text = pl.Series(lines)
        own = text.str.replace(f"^(?:{pattern})", "")
        return any(((text.str.replace(known, "") == own) & text.str.contains(known)).mean() > 0.97 for known in opens)  # type: ignore[operator]

    return infer(samples, words=layers.catalog.words, known=said_already)


# day and month as numbers, the year behind them; which comes first is the same in the whole source
_DAY_MONTH = re.compile(rb"\b(\d{1,2})[/.-]\d{1,2}[/.-]\d{4}[ T,]+\d{1,2}:\d\d")
# a date, a time of day and a level at the head of a text, or what stands in a traceback alone
_OF_A_PROGRAM = (
    r"^(?:[^\w]{0,2}[0-9]{2,4}[-/.][0-9]{2}[-/.][0-9]{2,4}[T ,]+[0-9]{2}:[0-9]{2}:[0-9]{2}.{0,80}?\b(?:TRACE|DEBUG|INFO|NOTICE|WARN"
    r"|WARNING|ERROR|FATAL|CRITICAL|SEVERE)\b|Traceback \(most recent call last\):$|  File \"[^\"]+\", line [0-9]+|\s+at [\w.$<>]+\()"
)
# a time of day, seconds since 1970, or a level early in the text
_MAY_HAVE_A_HEADER = (
    r"^.{0,120}?(?:\d[:.]\d\d?[:.]\d|\[ *\d+\.\d{6}\]|\b\d{10}\b|\b\d{13}\b|\b\d{6} \d{6}\b|\d{8}T?\d{4}"
    r"|\b(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|SEVERE)\b|\[(?:info|warn|warning|error|debug)\])"
)


def with_levels(catalog: Catalog, level_map: Mapping[str, str]) -> Catalog:
    """The catalogue whose formats read these words as these levels, before their own."""
    if not level_map:
        return catalog
    meant = {
        w.strip().lower(): (v.upper() if v.upper() in LEVELS else read_level(v) or "INFO") for w, v in level_map.items()
    }
    mapped = _with_formats(catalog, {n: replace(f, levels={**f.levels, **meant}) for n, f in catalog.formats.items()})
    return replace(mapped, words=meant)


def with_fields(catalog: Catalog, field_map: Mapping[str, str]) -> Catalog:
    """The catalogue whose JSON formats look for these fields (names of MAPPED) under these keys first."""
    if not field_map:
        return catalog
    places = {MAPPED[name]: Place(tuple(key.split("."))) for name, key in field_map.items()}
    return _with_formats(
        catalog, {n: _with_places(f, places) if f.kind == "json" else f for n, f in catalog.formats.items()}
    )


def _with_places(entry: Format, places: Mapping[str, Place]) -> Format:
    return replace(
        entry,
        fields={**entry.fields, **{name: (place, *entry.fields.get(name, ())) for name, place in places.items()}},
        known=entry.known | {place.keys[0] for place in places.values()},
        times=(*entry.times, *ISO, EPOCH) if entry.times and "at" in places else entry.times,
        typed=False,
    )


def _with_formats(catalog: Catalog, mapped: Mapping[str, Format]) -> Catalog:
    return replace(
        catalog,
        formats=mapped,
        text=tuple(mapped[f.name] for f in catalog.text),
        json=tuple(mapped[f.name] for f in catalog.json),
    )


def detect_lines(lines: Sequence[str], catalog: Catalog) -> Detection:
    """Which formats these lines speak."""
    stream = Stream("-", io.BytesIO("".join(f"{line}\n" for line in lines).encode("utf-8", "replace")))
    return study(stream, catalog).detection


def read_samples(texts: Sequence[str], catalog: Catalog) -> list[dict[str, Any]]:
    """What the catalogue reads in each sample, as plain rows; times as ISO 8601 with Z."""
    lines = [(n, line) for n, text in enumerate(texts) if not text.startswith("{") for line in text.split("\n")]
    frames = [_read_lines([line for _, line in lines], [n for n, _ in lines], catalog)] if lines else []
    frames += [
        _read_object(n, msgspec.json.decode(text), catalog) for n, text in enumerate(texts) if text.startswith("{")
    ]
    found: list[dict[str, Any]] = [{} for _ in texts]
    for row in pl.concat(frames).iter_rows(named=True) if frames else ():
        if row["at"] is not None:
            row["at"] = row["at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found[row["line"]] = found[row["line"]] or row
    return found


def _read_lines(lines: Sequence[str], numbers: Sequence[int], catalog: Catalog) -> pl.DataFrame:
    frame = pl.DataFrame({"i": range(len(lines)), "line": numbers, "message": lines}, schema_overrides={"i": pl.Int64})
    frame = blank_rows(frame.with_columns(lines=pl.lit(1, dtype=pl.Int64)))
    layers = Layers(catalog, (), catalog.json, behind=catalog.behind)
    return read_texts(frame, layers, _SAMPLES, Tally(), last=True).rows


def _read_object(number: int, value: Entry, catalog: Catalog) -> pl.DataFrame:
    formats = enabled(catalog.json, [value])
    entries = Entries()
    for one in explode(value):
        entries.objects.append(one)
        entries.objects_at.append((number, number, 1))
    frame = pl.concat(frames_of(entries, None, formats, False, _SAMPLES, Tally()))
    return read_texts(frame, Layers(catalog, (), formats), _SAMPLES, Tally(), last=True).rows


_SAMPLES = Clock(written=datetime(2026, 12, 31, tzinfo=UTC))


def _head_entries(head: bytes, how: Framing) -> Entries:
    if how.how != "lines":
        found = (one for piece in pieces(Stream("-", io.BytesIO(head)), how, 1 << 20) for one in piece.objects or ())
        return read_objects(list(islice(found, HEAD_LINES)), None)
    lines = head.split(b"\n", HEAD_LINES)[:HEAD_LINES]
    return read_lines(b"\n".join(lines) + b"\n" if head else b"", 1, len(lines), None)


def _read_head(
    entries: Entries, formats: tuple[Format, ...], layers: Layers, json_first: bool, head: bytes, clock: Clock
) -> pl.DataFrame:
    tally = Tally()
    if json_first:
        frames = frames_of(entries, None, formats, False, clock, tally)
        frame = pl.concat(frames) if frames else blank_rows(pl.DataFrame({"i": pl.Series([], dtype=pl.Int64)}))
    else:
        lines = head.decode("utf-8", "replace").split("\n", HEAD_LINES)[:HEAD_LINES]
        number = pl.int_range(1, len(lines) + 1, dtype=pl.Int64, eager=True)
        frame = blank_rows(
            pl.DataFrame({"i": number, "line": number, "message": lines}).with_columns(lines=pl.lit(1, dtype=pl.Int64))
        )
    return read_texts(frame, layers, clock, tally, last=True).rows


def _conclude(rows: pl.DataFrame, learned: Inferred | None) -> Detection:
    filled = rows.filter(pl.col("message").str.strip_chars() != "")
    chains = Counter(c for c in filled["chain"].to_list() if c)
    tried, matched = len(filled), sum(chains.values())
    if not matched:
        if not tried:
            return Detection("empty", (), 0, 0, "the input is empty")
        return Detection("text", (), 0, tried, f"none of the first {tried} lines has a known header")
    outer = Counter[str]()
    inner = Counter[str]()
    for chain, count in chains.items():
        names = chain.split(" > ")
        outer[" > ".join(names[:-1])] += count
        inner[names[-1]] += count
    leaves = [n for n, _ in sorted(inner.items(), key=lambda item: (-item[1], item[0]))]
    envelopes = [e for e, _ in sorted(outer.items(), key=lambda item: (-item[1], item[0])) if e]
    envelope = envelopes[0] if envelopes else ""
    inside = [n for n in leaves if n not in envelope.split(" > ")][:4]
    chain = " > ".join(filter(None, (envelope, ", ".join(inside)))) or leaves[0]
    why = f"{matched} of the first {tried} entries have a known header: {', '.join(f'{n} {inner[n]}' for n in leaves[:4])}"
    for entry, said in zip(learned.formats, learned.why, strict=True) if learned is not None else ():
        if inner[entry.name]:
            why += f"; {entry.name}: {said}"
    return Detection(chain, tuple(sorted({n for c in chains for n in c.split(" > ")})), matched, tried, why)


def _is_binary(head: bytes) -> bool:
    sample = head[:4096]
    if not sample:
        return False
    odd = sum(sample.count(bytes([b])) for b in (*range(9), *range(14, 27), *range(28, 32)))
    return odd > 0.1 * len(sample) and sample.count(0) != len(sample)
