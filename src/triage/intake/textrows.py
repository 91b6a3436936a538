"""Text rows to rows with fields: layer by layer, each line read by the first format that fits it."""

from __future__ import annotations

import re
from functools import cache

import msgspec
import polars as pl
from msgspec import Struct

from triage.intake.exports import Entry
from triage.intake.formats import Catalog, Format, anonymous
from triage.intake.jsonrows import known_object, object_frames
from triage.intake.leads import Leads, behind_stamp, read_leads
from triage.intake.programs import front_of
from triage.intake.rows import WORK, Tally, fill
from triage.intake.times import Clock

DEPTH = 5  # layers that are unwrapped
_FEW = 1_000  # rows, of which it is asked first which formats may read any
_LETTERED = re.compile(
    r"\^(?:\(\?:[A-Za-z]+(?:\|[A-Za-z]+)*\)|\[A-Z\]|[A-Za-z])(?![?*{|])"
)  # a regex for what begins with a letter
ANSI = r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"


_NEWLINE, _TABULATOR = "#012", "#011"  # as rsyslog writes them: a record is one line there


class Layers(Struct, frozen=True):
    """How the texts of a source are read: the formats of its head first, then all others, in the catalogue's order."""

    catalog: Catalog
    first: tuple[Format, ...]
    json: tuple[Format, ...]
    forced: Format | None = None
    generic: bool = True  # formats that say no more than a time or a level are tried as well
    behind: tuple[Format, ...] = ()  # what programs of this source write behind their header
    answering: frozenset[str | None] = frozenset()  # services that do not: they log requests as such
    within: frozenset[str | None] = frozenset()  # services that write headers of their own behind that of the transport

    @property
    def plain(self) -> frozenset[str]:
        """Names of transports whose header stands in front of each line that a program writes."""
        formats = (*self.catalog.text, *self.first)
        return frozenset(f.name for f in formats if f.unwraps and f.header == "plain")

    @property
    def others(self) -> tuple[Format, ...]:
        """The text formats that the head does not speak."""
        return tuple(f for f in self.catalog.text if f not in self.first and (self.generic or not f.generic))


class Read(Struct, frozen=True):
    """Rows that are done, and the place in order (`i`) from which on the next block is needed to go on (None: nowhere)."""

    rows: pl.DataFrame
    pending: int | None = None


def read_texts(
    frame: pl.DataFrame,
    layers: Layers,
    clock: Clock,
    tally: Tally,
    *,
    last: bool,
    with_fields: bool = False,
    tidy: bool = False,
) -> Read:
    """Every open row of a WORK frame read as deep as formats go, in order of `i`; a row's result depends on nothing but its text.

    `tidy` says that no text holds an escape or a line end.
    Split entries are put together; when the rest of one is not there yet and this is not the `last` block,
    `pending` names its first row.
    """
    done: list[pl.DataFrame] = []
    pending: int | None = None
    for depth in range(DEPTH):
        is_open = frame["open"]
        if not is_open.any():
            break
        if not is_open.all():
            done.append(frame.filter(~is_open))
            frame = frame.filter(is_open)
        frame = frame if tidy and not depth else _tidy(frame)
        frame, waits = _join_pairs(frame, layers.catalog, last)
        pending = _earlier(pending, waits)
        pieces = _unwrap_objects(frame, layers, with_fields, clock, tally)
        rest = pieces.pop()
        pieces += _cascade(rest, layers, depth, clock, tally)
        frame = pl.concat(pieces)
        if frame["part"].any():
            frame, waits = _rejoin(frame.sort("i", maintain_order=True), last)
            pending = _earlier(pending, waits)
    if done:
        frame = pl.concat([*done, frame])
    if layers.within:
        # what has no header of its own there goes on what has
        further = pl.col("format").is_in(list(layers.plain)) & (pl.col("kind") == "app")
        further &= pl.col("service").is_in([*layers.within], nulls_equal=True)
        frame = frame.with_columns_seq(header=pl.col("header") & ~further.fill_null(False))
    if layers.behind:
        frame = pl.concat(_read_behind(frame, layers, clock, tally))
    if not frame["i"].is_sorted():
        # in one piece, gathered by places that were sorted: a third of the time that it takes to sort pieces
        order = frame.select_seq("i", place=pl.int_range(pl.len(), dtype=pl.UInt32)).sort("i", maintain_order=True)
        frame = frame.rechunk()[order["place"]]
    return Read(frame, pending)


def _earlier(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def _tidy(frame: pl.DataFrame) -> pl.DataFrame:
    """Messages without colour codes, with plain line ends inside, those of syslog too."""
    text = frame["message"]
    fixed = text
    if fixed.str.contains("\x1b", literal=True).any():
        fixed = fixed.str.replace_all(ANSI, "")
    if fixed.str.contains("\r", literal=True).any():
        inside = fixed.str.strip_chars_end("\r\n").str.contains("\r", literal=True)
        lambda_text = fixed.str.replace_all("\r\n", "\n", literal=True).str.replace_all("\r", "\n", literal=True)
        fixed = fixed.str.strip_suffix("\r").zip_with(
            ~inside, lambda_text.str.replace_all("\u00a0", " ", literal=True).str.strip_chars_end("\n")
        )
    if fixed.str.contains(_NEWLINE, literal=True).any():
        plain = fixed.str.replace_all(_NEWLINE, "\n", literal=True).str.replace_all(_TABULATOR, "\t", literal=True)
        fixed = plain.zip_with(frame["chain"].str.contains("syslog", literal=True), fixed)
    if fixed.str.ends_with("\n").any():
        fixed = (
            fixed.str.strip_chars_end("\n")
            if frame["chain"].str.contains("docker-json", literal=True).not_().all()
            else fixed.str.strip_suffix("\n")
        )
    return frame if fixed is text else frame.with_columns_seq(fixed.alias("message"))


def _unwrap_objects(
    frame: pl.DataFrame, layers: Layers, with_fields: bool, clock: Clock, tally: Tally
) -> list[pl.DataFrame]:
    """Frames of the rows whose text is a JSON entry, then the frame of all others."""
    text = frame["message"]
    if not (text >= "{").any():  # far cheaper than to look at each
        return [frame]
    looks = text.str.starts_with("{")
    if not looks.any() or (layers.forced is not None and layers.forced.kind == "text" and not layers.forced.unwraps):
        return [frame]
    looks &= text.str.contains(r"\}\s*$")
    objects: list[Entry] = []
    rows: list[int] = []
    for n in looks.arg_true().to_list():
        try:
            value = msgspec.json.decode(text[n])
        except msgspec.MsgspecError:
            continue
        if isinstance(value, dict) and known_object(value, layers.json):
            objects.append(value)
            rows.append(n)
    if not rows:
        return [frame]
    inner = pl.concat(
        object_frames(objects, [(n, n, 1) for n in range(len(rows))], layers.json, with_fields, clock, tally)
    ).sort("i")
    outer = frame[rows]
    merged = outer.with_columns_seq(
        *(pl.coalesce(outer[c], inner[c]).alias(c) for c in ("at", "service", "instance", "deployment")),
        *(
            pl.coalesce(inner[c], outer[c]).alias(c)
            for c in (
                "level",
                "stream",
                "trace",
                "logger",
                "method",
                "route",
                "status",
                "latency_ms",
                "exit_code",
                "fields",
            )
        ),
        *(inner[c] for c in ("kind", "header", "message", "format", "open", "part")),
        chain=pl.when(outer["chain"] == "").then(inner["chain"]).otherwise(outer["chain"] + " > " + inner["chain"]),
    ).select_seq(list(WORK))
    others = pl.Series([True]).new_from_index(0, len(frame)).scatter(rows, False)
    return [merged, frame.filter(others)]


def _cascade(frame: pl.DataFrame, layers: Layers, depth: int, clock: Clock, tally: Tally) -> list[pl.DataFrame]:
    """Frames of the rows that a format read and of those that none did: the head's formats first, then all others.

    Inside an envelope formats that say no more than a time or a level come behind all others: the head's may have been of
    another program.
    """
    if layers.forced is not None and layers.forced.kind == "text" and depth == 0:
        pieces, frame = _try(frame, (layers.forced,), clock, tally)
        return [*pieces, _close(frame)]
    vague = tuple(f for f in layers.first if f.generic) if depth else ()
    pieces, frame = _try(frame, tuple(f for f in layers.first if f not in vague), clock, tally)
    if vague and not frame.is_empty():
        may = _may_be(frame, layers.catalog.special)
        if may.any():
            special = tuple(f for f in layers.others if not f.generic)
            more, left = _try(frame.filter(may), special, clock, tally)
            pieces, frame = [*pieces, *more], pl.concat([left, frame.filter(~may)])
        more, frame = _try(frame, vague, clock, tally)
        pieces += more
    if not frame.is_empty():
        may = _may_be(frame, layers.catalog.opens)
        if may.any():
            more, left = _try(frame.filter(may), layers.others, clock, tally)
            pieces += [*more, _close(left), _close(frame.filter(~may))]
        else:
            pieces.append(_close(frame))
    return pieces or [frame]


def _may_be(frame: pl.DataFrame, formats: str) -> pl.Series:
    """Which rows one of the formats may read, by a regex of all of them: of a few rows each, for that takes as long to compile as to try
    hundreds, and `_that_may_fit` tells of those."""
    if frame.height <= _FEW:
        return pl.Series([True]).new_from_index(0, frame.height)
    return frame["message"].str.contains(formats)


def _read_behind(frame: pl.DataFrame, layers: Layers, clock: Clock, tally: Tally) -> list[pl.DataFrame]:
    """Frames of the programs' lines that hold a request behind their header, and of all others."""
    may = ((pl.col("kind") == "app") & pl.col("status").is_null()).fill_null(False)
    if layers.answering:
        may &= ~pl.col("service").is_in([*layers.answering], nulls_equal=True)
    pieces, left = _try(frame.filter(may), layers.behind, clock, tally)
    return [*pieces, left, frame.filter(~may)]


def _close(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns_seq(pl.lit(False).alias("open"))


def _try(
    frame: pl.DataFrame, formats: tuple[Format, ...], clock: Clock, tally: Tally
) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """Frames of the rows that the formats read, one each, and the rows that none of them reads."""
    pieces: list[pl.DataFrame] = []
    dated = frame.height - frame["at"].null_count()
    cuts = dated in (0, frame.height)
    leads: Leads | None = None
    if frame.height <= _FEW and len(formats) > 1:
        formats = _that_may_fit(frame["message"], formats)
    for entry in formats:
        if frame.is_empty():
            break
        if cuts and leads is None and behind_stamp(entry.pattern, dotted=False) is not None:
            leads = read_leads(frame["message"], entry.times, clock, timed=not dated)
            cuts = leads is not None
        found = leads.groups(entry) if leads is not None else None
        hit = pl.Series([False]).new_from_index(0, frame.height)
        left: pl.Series | None = None  # the rows that only the regex of the whole pattern can tell; None: all
        if found is not None and leads is not None:
            groups, hit = found
            if hit.any():
                pieces.append(_fill_cut(frame, groups, hit, leads, entry, clock, tally))
            left = hit.head(0).arg_true() if hit.all() else leads.undecided()
        if left is None or len(left):
            rows = frame if left is None else frame[left]
            groups = rows["message"].str.extract_groups(_compiled(entry)).struct.unnest()
            more = groups["g_head"].is_not_null()
            if count := more.sum():
                everything = count == rows.height
                read = rows.hstack(groups) if everything else rows.filter(more).hstack(groups.filter(more))
                pieces.append(fill(_searched(read, read["message"], entry), entry, clock, tally))
                hit = more if left is None else hit.scatter(left.filter(more), True)
        if hit.any():
            others = ~hit
            frame = frame.filter(others)
            leads = leads.kept(others) if leads is not None else None
    return pieces, frame


def _that_may_fit(texts: pl.Series, formats: tuple[Format, ...]) -> tuple[Format, ...]:
    """The formats that may read one of these texts, by the first byte of each and by the bytes it holds: a regex costs as much to
    compile as to try on hundreds of texts."""
    seen = {(text[:1], frozenset(text)) for text in texts.fill_null("")}
    if any(first > "\x7f" for first, _ in seen):
        return formats
    fronts = ((entry, *front_of(anonymous(entry.pattern))) for entry in formats)
    return tuple(
        entry
        for entry, begins, needs in fronts
        if any((begins is None or first in begins) and needs <= held for first, held in seen)
    )


def _fill_cut(
    frame: pl.DataFrame,
    groups: pl.DataFrame,
    hit: pl.Series,
    leads: Leads,
    entry: Format,
    clock: Clock,
    tally: Tally,
) -> pl.DataFrame:
    """The rows that a format reads behind their stamps."""
    behind = leads.behind
    if leads.at is not None:
        groups = groups.with_columns_seq(leads.at.alias("g_time"))
    if not hit.all():
        frame, groups, behind = frame.filter(hit), groups.filter(hit), behind.filter(hit)
    if leads.unzoned:
        tally.zone += groups.height - groups["g_time"].null_count()
    return fill(_searched(frame.hstack(groups), behind, entry), entry, clock, tally)


def _searched(found: pl.DataFrame, rest: pl.Series, entry: Format) -> pl.DataFrame:
    """The rows with what is searched in their texts and which rules for their kind hold; `rest` is what `g_head` begins."""
    text = found["message"]
    if rest is not text and entry.message == "rest":
        found = found.with_columns_seq(rest.alias("message"))
    told: dict[str, pl.Series] = {}
    left: pl.Series | None = None  # the rows that have to be searched; None: all
    if entry.usual:
        behind = found.select_seq(pl.lit(rest).str.strip_prefix(pl.col("g_head")).alias("message")).to_series()
        groups = behind.str.extract_groups(f"^{_named(entry.usual)}").struct.unnest()
        told = {column.name: column for column in groups}
        left = groups.to_series(0).is_null().arg_true()
        if entry.message == "rest":
            found = found.with_columns_seq(behind).drop("g_head")
    for name, regex in entry.also.items():
        usual = told.get(f"g_{name}")
        if usual is None or left is None:
            told[f"g_{name}"] = text.str.extract(regex, 1)
        elif len(left):
            told[f"g_{name}"] = usual.scatter(left, text.gather(left).str.extract(regex, 1))
    rules = [
        pl.col(f"g_{rule.path.dotted}").str.contains(rule.matches or "").fill_null(False).alias(f"k_{n}")
        for n, rule in enumerate(entry.kinds)
    ]
    found = found.with_columns_seq(column.alias(name) for name, column in told.items()) if told else found
    return found.with_columns_seq(*rules) if rules else found


@cache
def _compiled_pattern(pattern: str) -> str:
    return f"^(?P<g_head>{_named(pattern)})"


@cache
def _named(pattern: str) -> str:
    return re.sub(r"\(\?P?<(\w+)>", r"(?P<g_\1>", pattern)


def _compiled(entry: Format) -> str:
    return _compiled_pattern(entry.pattern if entry.message != "group" else _dotted(entry.pattern))


def _dotted(pattern: str) -> str:
    """A pattern whose dots match newlines: its message group holds all lines of the text."""
    return f"(?s:{pattern})"


def _join_pairs(frame: pl.DataFrame, catalog: Catalog, last: bool) -> tuple[pl.DataFrame, int | None]:
    """Records that take two rows (a head and the line behind it) as one row each, stream by stream."""
    pairs = [f.joins for f in catalog.text if f.joins]
    if not pairs:
        return frame, None
    firsts = "|".join(anonymous(first) for first, _ in pairs)
    text = frame["message"]
    # to compare is far cheaper than a regex, and most lines begin with the digits of a stamp
    may = text.filter(text >= "A") if starts_with_letters(catalog) else text
    if not may.str.contains(firsts).any():
        return frame, None
    frame = frame.sort("i", maintain_order=True).with_columns_seq(_stream_key())
    joined = frame.with_columns_seq(
        pl.col("message").shift(-1).over("key").alias("next"), pl.col("lines").shift(-1).over("key").alias("next_lines")
    )
    heads = pl.any_horizontal(
        pl.col("message").str.contains(first) & pl.col("next").str.contains(following) for first, following in pairs
    )
    joined = joined.with_columns_seq(heads.fill_null(False).alias("head"))
    joined = joined.with_columns_seq(pl.col("head").shift(1, fill_value=False).over("key").alias("tail"))
    waits = None
    if not last:
        open_end = joined.filter(pl.col("next").is_null() & pl.col("message").str.contains(firsts))
        waits = open_end["i"].min()
    joined = joined.with_columns_seq(
        pl.when("head").then(pl.col("message") + "\n" + pl.col("next")).otherwise("message").alias("message"),
        pl.when("head").then(pl.col("lines") + pl.col("next_lines")).otherwise("lines").alias("lines"),
    ).filter(~pl.col("tail"))
    return joined.select_seq(list(WORK)), waits if isinstance(waits, int) else None


def starts_with_letters(catalog: Catalog) -> bool:
    """Whether every record that takes two rows begins with a letter."""
    return all(_LETTERED.match(f.joins[0]) for f in catalog.text if f.joins)


def _rejoin(frame: pl.DataFrame, last: bool) -> tuple[pl.DataFrame, int | None]:
    """Entries that the transport split as one row each, stream by stream."""
    frame = frame.with_columns_seq(_stream_key())
    frame = frame.with_columns_seq(((~pl.col("part")).shift(1, fill_value=False).cum_sum().over("key")).alias("group"))
    split = frame.filter(pl.col("part").any().over("key", "group"))
    whole = frame.filter(~pl.col("part").any().over("key", "group"))
    waits = None
    if not last:
        waits = split.group_by("key", "group").agg(pl.col("i").min(), pl.col("part").last()).filter("part")["i"].min()
    first = [c for c in WORK if c not in ("message", "lines", "part")]
    glued = split.group_by("key", "group", maintain_order=True).agg(
        *(pl.col(c).first() for c in first), pl.col("message").str.join(""), pl.col("lines").sum(), part=pl.lit(False)
    )
    return pl.concat(
        [whole.select_seq(list(WORK)), glued.select_seq(list(WORK)).cast(frame.select_seq(list(WORK)).schema)]
    ).sort("i", maintain_order=True), (waits if isinstance(waits, int) else None)


def _stream_key() -> pl.Expr:
    return (
        pl.concat_str(pl.col("instance", "service", "stream"), separator="\x1f", ignore_nulls=True)
        .fill_null("")
        .alias("key")
    )
