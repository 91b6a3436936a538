"""Summary: the small tables that a shard of a log becomes; they merge, save and load, and are all that a diagnosis sees."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import Literal

import polars as pl
from msgspec import Struct

from triage.coding import CLASS, FEW, Coded, code
from triage.errors import TriageError
from triage.grouping.crowding import thin_out
from triage.grouping.marks import mark
from triage.grouping.masks import merge_routes, route_template
from triage.grouping.requests import said_traces
from triage.grouping.signature import failure_id, http_signature
from triage.schema import (
    ASKED,
    CALM,
    EXAMPLES,
    FAILED,
    KIND,
    LEVEL,
    NODES,
    QUIET,
    RATE_US,
    TICK_US,
    TIME,
    conform,
    empty,
)
from triage.sums import BAND, PACE_US, Sums, step_of

VERSION = "triage.summary/1"
EXAMPLE_CHARS = 6_000
# to start the streaming engine costs more than it gains where rows are few, and those of one summary are
_ENGINE: Literal["in-memory"] = "in-memory"
_SHORT = 1 << 15  # rows of a table that are few

STR, INT, FLOAT, BOOL = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()
Totals = Mapping[str, tuple[pl.DataType, pl.Expr]]


def _sum(name: str) -> tuple[pl.DataType, pl.Expr]:
    return INT, pl.col(name).sum()


def _low(name: str, dtype: pl.DataType) -> tuple[pl.DataType, pl.Expr]:
    return dtype, pl.col(name).min()


def _high(name: str, dtype: pl.DataType) -> tuple[pl.DataType, pl.Expr]:
    return dtype, pl.col(name).max()


def _earliest(name: str, dtype: pl.DataType) -> tuple[pl.DataType, pl.Expr]:
    order = [pl.col("at"), pl.col("source"), pl.col("line")]
    return dtype, pl.col(name).sort_by(order, nulls_last=True).first()


class Table(Struct, frozen=True):
    """A table that knows how to merge copies of itself: rows that share the keys become one."""

    keys: Mapping[str, pl.DataType]
    totals: Totals
    bucket_rows: int = 0  # with a `bucket` key: coarsen the buckets until at most so many rows are left
    finest: int = TICK_US  # the finest bucket, in microseconds: wider ones are powers of two of them, so any two summaries share borders
    keep: tuple[str, int] | None = None  # (group, k): of each group only the k earliest rows
    most: int = 0  # of all rows only so many, smallest keys first

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {**self.keys, **{n: t for n, (t, _) in self.totals.items()}}

    def folded(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Rows that share a key combined; sorted by the keys."""
        merged = rows.group_by(*self.keys).agg(**{n: e for n, (_, e) in self.totals.items()})
        merged = merged.select(pl.col(n).cast(t) for n, t in self.schema.items())
        if self.keep is not None:
            group, most = self.keep
            merged = (
                merged.sort(group, "at", "source", "line", nulls_last=True)
                .group_by(group, maintain_order=True)
                .head(most)
                .select(self.schema.keys())
            )
        merged = merged.sort(*self.keys)
        return merged.head(self.most) if self.most else merged

    def fold(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Combine rows that share a key; sorted by the keys."""
        if not rows.height:
            return empty(self.schema)
        if (ranked := self._rank(rows)) is None:
            return self.folded(rows.lazy()).collect(engine=_engine(rows))
        return self._name(self._fold_ranked(ranked.rows), ranked)

    def coarsen(self, rows: pl.DataFrame, width: int) -> tuple[pl.DataFrame, int]:
        """Rows with the finest buckets, of at least `width` microseconds, that leave no more rows than allowed."""
        rows = rows.with_columns(_wider(width))
        if (ranked := self._rank(rows)) is None:
            return self.widen(self.fold(rows), width)
        folded = self._fold_ranked(ranked.rows)
        wider = self._width(folded, width, [CLASS, *self._numbers[:-1]])
        if wider > width:
            folded = self._fold_ranked(folded.with_columns(_wider(wider)))
        return self._name(folded, ranked), wider

    def widen(self, rows: pl.DataFrame, width: int) -> tuple[pl.DataFrame, int]:
        """The same for rows as `fold` gives them, with buckets of that width."""
        wider = self._width(rows, width, [name for name in self.keys if name != "bucket"])
        return (self.fold(rows.with_columns(_wider(wider))) if wider > width else rows), wider

    def is_ranked(self, rows: pl.DataFrame) -> bool:
        """Whether to sort rows by their keys takes most of the time, and all but numbers at the end can be put into one."""
        return rows.height >= FEW and self.keep is None and not self.most and 0 < len(self._numbers) < len(self.keys)

    @property
    def _numbers(self) -> list[str]:
        """The keys at the end that are whole numbers; none where there are others behind a text."""
        numbers = [name for name, dtype in self.keys.items() if dtype == INT]
        return numbers if [*self.keys][-len(numbers) :] == numbers else []

    def _rank(self, rows: pl.DataFrame) -> Coded | None:
        """The rows with one number for all keys but those, which sorts as they do; None where it is not worth it."""
        if not self.is_ranked(rows):
            return None
        names = [name for name in self.keys if name not in self._numbers]
        probe = rows.select(names).gather_every(max(1, rows.height // _PROBE))
        if probe.n_unique() > _PROBE // 2:  # nearly every row has keys of its own: to sort those takes as long
            return None
        coded = code(rows.select(*self.keys, *(name for name in rows.columns if name not in self.keys)), names)
        spans = prod(_span(rows[name])[1] for name in self._numbers)
        if coded.classes is None or coded.classes.height * spans > _LARGEST:
            return None
        order = coded.classes.with_row_index("place").sort(names)
        rank = pl.Series([0], dtype=INT).new_from_index(0, order.height)
        rank = rank.scatter(order["place"], pl.int_range(order.height, dtype=INT, eager=True))
        return Coded(coded.rows.with_columns(rank.gather(coded.rows[CLASS]).alias(CLASS)), order.drop("place"))

    def _fold_ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Combine rows that share their class and the numbers; sorted by them, as one number."""
        key, spans = rows[CLASS], {name: _span(rows[name]) for name in self._numbers}
        for name, (least, size) in spans.items():
            key = key * size + (rows[name] - least + 1).fill_null(0)  # no number comes first
        plan = rows.drop(spans).with_columns(key.alias(CLASS)).lazy().group_by(CLASS)
        folded = plan.agg(**{n: e for n, (_, e) in self.totals.items()}).sort(CLASS).collect(engine=_engine(rows))
        key = folded[CLASS]
        for name, (least, size) in reversed(spans.items()):
            number, key = key % size, key // size
            none = pl.Series([None], dtype=INT)
            folded = folded.with_columns((number + (least - 1)).zip_with(number > 0, none).alias(name))
        return folded.with_columns(key.alias(CLASS))

    def _name(self, folded: pl.DataFrame, ranked: Coded) -> pl.DataFrame:
        return ranked.name(folded).select(pl.col(n).cast(t) for n, t in self.schema.items())

    def _width(self, rows: pl.DataFrame, width: int, group: Sequence[str]) -> int:
        """The least width, by doubling, at which rows as `fold` gives them are no more than allowed.

        Two buckets fall together once their numbers, shifted right, are equal: after as many doublings as the highest bit
        in which they differ. So neighbours (`bucket` is the last key, `group` are the others) tell how many rows every
        doubling takes away.
        """
        if rows.height <= self.bucket_rows:
            return width
        apart = rows.lazy().select(
            pl.all_horizontal(*(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in group)).alias("same"),
            _doublings(pl.col("bucket") // width),
        )
        merging = (
            apart.filter("same").drop_nulls().group_by("doublings").len().sort("doublings").collect(engine=_ENGINE)
        )
        left = rows.height
        for doublings, count in merging.iter_rows():
            left -= count
            if left <= self.bucket_rows:
                return int(width << doublings)
        return int(width << merging["doublings"][-1]) if merging.height else width


def _engine(rows: pl.DataFrame) -> Literal["in-memory", "streaming"]:
    return _ENGINE if rows.height <= _SHORT else "streaming"


_LARGEST = 1 << 62
_PROBE = 1_000  # rows that tell whether keys repeat


def _span(numbers: pl.Series) -> tuple[int, int]:
    """The least of the numbers, and how many there are from it to the largest, and one more for none."""
    least, most = numbers.min(), numbers.max()
    return (least, most - least + 2) if isinstance(least, int) and isinstance(most, int) else (0, 2)


def _doublings(number: pl.Expr) -> pl.Expr:
    """After how many doublings of the width a bucket falls together with the one in front of it."""
    return (64 - (number ^ number.shift(1)).bitwise_leading_zeros()).alias("doublings")


def _least_width(table: Table, buckets: pl.Series, width: int) -> int:
    """A width, at least this one, that is no wider than the table needs for rows with these buckets: so few different ones are left that it may do."""
    if len(buckets) <= table.bucket_rows:
        return width
    number = (buckets.drop_nulls() // width).unique().sort().alias("n").to_frame()
    merging = number.select(_doublings(pl.col("n"))).drop_nulls().group_by("doublings").len().sort("doublings")
    left, least = number.height, width
    for doublings, count in merging.iter_rows():
        if left <= table.bucket_rows:
            break
        left, least = left - count, int(width << doublings)
    return least


def _wider(width: int) -> pl.Expr:
    return (pl.col("bucket") // width * width).alias("bucket")


WHERE = {"service": STR, "instance": STR}
PACED: Totals = {
    "count": _sum("count"),
    "line": _low("line", INT),  # of the first such request: a source is among the keys
    "first": _low("first", TIME),
    "last": _high("last", TIME),
}

TABLES: dict[str, Table] = {
    # The ledger of each input.
    "sources": Table(
        {"source": STR},
        {
            "format": _low("format", STR),
            "why": _low("why", STR),
            **{
                n: _sum(n)
                for n in ("bytes", "lines", "blank", "rejected", "records", "continuation", "undated", "disorder")
            },
            "first": _low("first", TIME),
            "last": _high("last", TIME),
        },
    ),
    "notices": Table({"source": STR, "notice": STR}, {"count": _sum("count")}),
    # All records, by time: the denominators.
    "volume": Table(
        {"service": STR, "level": LEVEL, "bucket": INT},
        {"count": _sum("count"), "crashes": _sum("crashes")},
        bucket_rows=16_384,
        finest=RATE_US,
    ),
    # What an id stands for.
    "nodes": Table(
        {"id": STR},
        {
            **{n: _low(n, STR) for n in ("kind", "exception", "message", "template", "frame")},
            "frames": (
                pl.List(STR),
                pl.col("frames")
                .sort_by("frame", pl.col("frames").list.join("\n", ignore_nulls=True), nulls_last=True)
                .first(),
            ),
        },
    ),
    # Failures: who, where, how often; and when, for order and co-occurrence.
    "failures": Table(
        {"failure": STR, "kind": KIND, **WHERE},
        {
            "count": _sum("count"),
            "first": _low("first", TIME),
            "last": _high("last", TIME),
            "level": _high("level", INT),
            "stacks": _sum("stacks"),
        },
    ),
    "activity": Table(
        {"failure": STR, "kind": KIND, **WHERE, "bucket": INT}, {"count": _sum("count")}, bucket_rows=60_000
    ),
    "marked": Table({"failure": STR, "mark": STR}, {"count": _sum("count")}),
    "links": Table(
        {"cause": STR, "effect": STR, "kind": STR},
        {
            "count": _sum("count"),
            "at": _low("at", TIME),
            "source": _earliest("source", STR),
            "line": _earliest("line", INT),
        },
    ),
    "traces": Table(
        {"trace": STR, "failure": STR, **WHERE},
        {"count": _sum("count"), "first": _low("first", TIME)},
        most=20_000,
    ),
    # Clusters: records grouped by signature.
    "groups": Table({"signature": STR}, {n: _low(n, STR) for n in ("exception", "message", "template")}),
    "clusters": Table(
        {"signature": STR, "level": LEVEL, **WHERE},
        {"count": _sum("count"), "first": _low("first", TIME), "last": _high("last", TIME)},
    ),
    "rhythm": Table({"signature": STR, "bucket": INT}, {"count": _sum("count")}, bucket_rows=32_768, finest=RATE_US),
    "members": Table({"signature": STR, "failure": STR}, {"count": _sum("count")}),
    "examples": Table(
        {"id": STR, "source": STR, "line": INT},
        {"at": _low("at", TIME), "text": _low("text", STR)},
        keep=("id", EXAMPLES),
    ),
    # Requests.
    "requests": Table(
        {"kind": KIND, "format": STR, "service": STR, "method": STR, "route": STR, "status": INT},
        {
            "count": _sum("count"),
            "timed": _sum("timed"),
            "total_us": _sum("total_us"),
            "min_ms": _low("min_ms", FLOAT),
            "max_ms": _high("max_ms", FLOAT),
        },
    ),
    "latency": Table(
        {"kind": KIND, "service": STR, "method": STR, "route": STR, "step": INT}, {"count": _sum("count")}
    ),
    "traffic": Table(
        {"kind": KIND, "service": STR, "bucket": INT},
        {"requests": _sum("requests"), "failed": _sum("failed"), "timed": _sum("timed"), "total_us": _sum("total_us")},
        bucket_rows=16_384,
        finest=RATE_US,
    ),
    # How long answers took and which requests were refused, over time. The one of services stays fine where routes are many.
    "pace": Table(
        {"kind": KIND, "source": STR, "service": STR, "band": INT, "bucket": INT},
        PACED,
        bucket_rows=16_384,
        finest=PACE_US,
    ),
    "route_pace": Table(
        {"kind": KIND, "source": STR, "service": STR, "method": STR, "route": STR, "band": INT, "bucket": INT},
        PACED,
        bucket_rows=24_576,
        finest=PACE_US,
    ),
    "refused": Table(
        {"kind": KIND, "source": STR, "service": STR, "status": INT, "bucket": INT},
        PACED,
        bucket_rows=8_192,
        finest=PACE_US,
    ),
    # Life of the processes.
    "exits": Table(
        {"mark": STR, **WHERE, "code": INT, "signal": STR, "failure": STR},
        {"count": _sum("count"), "first": _low("first", TIME), "last": _high("last", TIME)},
    ),
    "marks": Table(
        {"mark": STR, "service": STR, "bucket": INT},
        {
            "count": _sum("count"),
            "at": _low("at", TIME),
            **{n: _earliest(n, STR) for n in ("text", "revision", "source")},
            "line": _earliest("line", INT),
        },
        bucket_rows=8_192,
    ),
    # What the log says of lines that are missing from it.
    "losses": Table(
        {"source": STR},
        {"count": _sum("count"), "lost": _sum("lost"), "line": _low("line", INT)},
    ),
    "listens": Table({"service": STR, "address": STR}, {"count": _sum("count")}),
    "revisions": Table(
        {"service": STR, "deployment": STR},
        {"count": _sum("count"), "first": _low("first", TIME), "last": _high("last", TIME)},
    ),
}
BUCKETED = tuple(n for n, t in TABLES.items() if t.bucket_rows)


class Summary(Struct, frozen=True):
    """All tables of TABLES by name, and the width of the time buckets in microseconds of those that have them."""

    tables: Mapping[str, pl.DataFrame]
    widths: Mapping[str, int]

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self.tables[name]

    @staticmethod
    def of(
        signed: pl.DataFrame,
        nodes: pl.DataFrame,
        intake: pl.DataFrame,
        *,
        marks: pl.DataFrame | None = None,
        quiet: pl.DataFrame | None = None,
        calm: pl.DataFrame | None = None,
        requests: Sums | None = None,
        disorder: int = 0,
        undated: int | None = None,
        widths: Mapping[str, int] | None = None,
    ) -> Summary:
        """Summarize signed events (schema SIGNED), their NODES, and the INTAKE rows that account for them.

        `marks` is what grouping.marks.mark gave for these events, where it was asked already. `quiet` are further events
        (schema QUIET) that carry no failure and no mark: they only count. `calm` are such that never became rows (schema
        CALM), `requests` those that they tell of.

        `disorder` is the number of these events that are dated before the one in front of them, `undated` the number
        of those that had no date of their own, where the reader lent them one. `widths` are those of a summary that this
        one will be merged with: finer buckets are not made then.
        """
        widths = widths or {}
        marked = mark(signed) if marks is None else marks
        events = signed.select(QUIET.keys())
        events = (events if quiet is None else pl.concat([events, quiet])).with_columns(_bucket(RATE_US))
        asked = events.filter(pl.col("status").is_not_null()).select(_REQUEST)
        calm = (empty(CALM) if calm is None else calm).with_columns(_bucket(RATE_US, "first"))
        moments = [asked["bucket"], *([] if requests is None else [requests.moments["bucket"]])]
        buckets = {"volume": pl.concat([events["bucket"], calm["bucket"]]), "traffic": pl.concat(moments)}
        least = {n: _least_width(TABLES[n], b, widths.get(n, TABLES[n].finest)) for n, b in buckets.items()}
        widths = {**widths, **least}
        rows = _tabulate(events, calm, signed, nodes, intake, marked, disorder, undated, widths["volume"])
        rows |= _requests(asked, requests)
        for name, more in _failed(requests).items():
            columns = [*TABLES[name].schema]
            rows[name] = pl.concat([rows[name].select(columns), more.select(columns)]) if name in rows else more
        return _settle(rows, widths)

    @staticmethod
    def empty() -> Summary:
        """The neutral element of merge."""
        return _settle({}, {})

    @staticmethod
    def merge(summaries: Iterable[Summary]) -> Summary:
        """One Summary of all; the order does not matter."""
        parts = list(summaries)
        if len(parts) == 1:
            return parts[0]
        widths: dict[str, int] = {n: max((s.widths[n] for s in parts), default=TABLES[n].finest) for n in BUCKETED}
        tables: dict[str, pl.DataFrame] = {}  # one after the other: all at once would double the memory of a large log
        for name, table in TABLES.items():
            filled = [s.tables[name] for s in parts if s.tables[name].height]
            if not filled:
                tables[name] = _none(name)
                continue
            tables[name] = pl.concat(filled)
            if table.bucket_rows:
                tables[name], widths[name] = table.coarsen(tables[name], widths[name])
            else:
                tables[name] = table.fold(tables[name])
        return Summary(_thinned(tables), widths)

    def save(self, path: Path) -> None:
        """Write one file: a zip of Arrow tables. The same summary gives the same bytes."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            meta = json.dumps({"schema": VERSION, "widths": dict(self.widths)}, sort_keys=True)
            archive.writestr(zipfile.ZipInfo("summary.json"), meta)
            for name, rows in self.tables.items():
                buffer = io.BytesIO()
                rows.write_ipc(buffer)
                archive.writestr(zipfile.ZipInfo(f"{name}.arrow"), buffer.getvalue(), zipfile.ZIP_DEFLATED)

    @staticmethod
    def load(path: Path) -> Summary:
        """Read what `save` wrote; TriageError when the file is no summary or of another version."""
        if not path.exists():
            raise TriageError(f"no such file: {path}", hint="make one with: triage summarize app.log -o app.summary")
        try:
            with zipfile.ZipFile(path) as archive:
                meta = json.loads(archive.read("summary.json"))
                if meta.get("schema") != VERSION:
                    raise TriageError(
                        f"{path} is a summary of another version ({meta.get('schema')})",
                        hint="make it again with this triage",
                    )
                tables = {
                    n: conform(pl.read_ipc(io.BytesIO(archive.read(f"{n}.arrow"))), t.schema) for n, t in TABLES.items()
                }
        except (zipfile.BadZipFile, KeyError, ValueError, pl.exceptions.PolarsError) as problem:
            raise TriageError(
                f"{path} is not a summary ({problem})", hint="make one with: triage summarize app.log -o app.summary"
            ) from None
        return Summary(tables, {n: int(w) for n, w in meta["widths"].items()})


def _settle(rows: Mapping[str, pl.LazyFrame], widths: Mapping[str, int]) -> Summary:
    """The summary of rows that are not folded yet; a table that is not among them is empty."""
    plans = {
        name: table.with_columns(_wider(widths.get(name, TABLES[name].finest))) if TABLES[name].bucket_rows else table
        for name, table in rows.items()
    }
    made = dict(zip(plans, pl.collect_all(plans.values(), engine=_ENGINE), strict=True))
    many = {name for name, frame in made.items() if TABLES[name].is_ranked(frame)}
    few = {name: TABLES[name].folded(frame.lazy()) for name, frame in made.items() if name not in many}
    made |= zip(few, pl.collect_all(few.values(), engine=_ENGINE), strict=True)
    tables: dict[str, pl.DataFrame] = {}
    final: dict[str, int] = {}
    for name, table in TABLES.items():
        frame = made.get(name, _none(name))
        if table.bucket_rows:
            settle = table.coarsen if name in many else table.widen
            tables[name], final[name] = settle(frame, widths.get(name, table.finest))
        else:
            tables[name] = table.fold(frame) if name in many else frame
    return Summary(_thinned(tables), final)


@cache
def _none(name: str) -> pl.DataFrame:
    """The table without rows."""
    return empty(TABLES[name].schema)


def _thinned(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The tables with no more different messages than a summary tells apart."""
    return tables | {name: TABLES[name].fold(rows) for name, rows in thin_out(tables).items()}


def _bucket(width: int, of: str = "at") -> pl.Expr:
    return (pl.col(of).dt.epoch("us") // width * width).alias("bucket")


def _text() -> pl.Expr:
    stack = pl.col("stack")
    whole = pl.when(stack.is_null() | pl.col("message").str.contains(stack, literal=True)).then(pl.col("message"))
    return whole.otherwise(pl.concat_str(pl.col("message"), stack, separator="\n", ignore_nulls=True)).str.slice(
        0, EXAMPLE_CHARS
    )


def http_id(status: int, service: str | None = None) -> str:
    """The id of the failure "HTTP <status>" of a service; None where the log tells of none."""
    return failure_id("http", service or "", f"HTTP {status}")


def _tabulate(
    events: pl.DataFrame,
    calm: pl.DataFrame,
    signed: pl.DataFrame,
    nodes: pl.DataFrame,
    intake: pl.DataFrame,
    marks: pl.DataFrame,
    disorder: int,
    undated: int | None,
    width: int,
) -> dict[str, pl.LazyFrame]:
    """Rows for every table that has some, not yet folded; those of the volume in buckets of `width` microseconds."""
    failing = pl.col("signature").is_not_null() | (pl.col("status") >= FAILED).fill_null(False)
    out = {"nodes": nodes.lazy()} if nodes.height else {}
    coded = code(events.select("source", "service", "deployment", "level", "at", "bucket", "lines"), _PLACE)
    seen = coded.name(coded.rows.lazy().group_by(coded.keys).agg(**_SEEN).collect(engine=_ENGINE))
    if calm.height:
        seen = pl.concat([seen, _seen(calm).select(pl.col(n).cast(t) for n, t in seen.schema.items())])
    out["sources"] = _sources(seen, intake, disorder, undated)
    if seen["deployment"].null_count() < seen.height:
        out["revisions"] = seen.lazy().drop_nulls("deployment").with_columns(count="records")
    if intake["notices"].list.len().sum():
        notices = intake.lazy().select("source", notice="notices", count=pl.lit(1, INT))
        out["notices"] = notices.explode("notice", empty_as_null=True).drop_nulls("notice")
    out["volume"] = _volume(coded, calm, signed, width)
    placed = signed.lazy().with_row_index("row").with_columns(_bucket(TICK_US))
    hot, answers = _answered(placed.filter(failing).select(_HOT).collect(engine=_ENGINE))
    if answers.height:
        out["nodes"] = pl.concat([nodes, answers]).lazy()
    out |= _failures(hot, marks)
    out |= _life(placed, marks)
    return out


def _seen(calm: pl.DataFrame) -> pl.DataFrame:
    """What is seen of lines that never became rows, each of which is a record with a time."""
    zero = pl.lit(0, INT)
    told = {"records": pl.col("count").sum(), "first": pl.col("first").min(), "last": pl.col("last").max()}
    return calm.group_by(_PLACE).agg(**told).with_columns(continuation=zero, undated=zero)


_ONE = pl.lit(1, INT)
_PLACE = ["source", "service", "deployment", "level"]
_SEEN = {
    "records": pl.len().cast(INT),
    "continuation": (pl.col("lines") - 1).clip(0).sum(),
    "undated": pl.col("at").null_count().cast(INT),
    "first": pl.col("at").min(),
    "last": pl.col("at").max(),
}
# The columns that the tables of failures and of requests are made of: texts are looked up for examples only.
_HOT = (
    "row", "source", "line", "at", "bucket", "level", "kind", "service", "instance", "trace", "status", "message", "stack",
    "exception", "template", "signature", "failure", "causes", "links",
)  # fmt: skip
_REQUEST = (
    "source", "line", "at", "kind", "format", "service", "method", "route", "status", "latency_ms", "bucket",
)  # fmt: skip


def _answered(hot: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows with the id of the HTTP failure that they are, by service and status (null: none), and its NODES."""
    pairs = hot.filter(pl.col("status") >= FAILED).select("service", "status").unique().sort("service", "status")
    ids = [http_id(status, service) for service, status in pairs.iter_rows()]
    text = "HTTP " + pairs["status"].cast(STR)
    named = pl.DataFrame({"id": ids, "message": text, "template": text}, schema_overrides=dict.fromkeys(("id",), STR))
    known = pairs.with_columns(http=pl.Series(ids, dtype=STR))
    rows = hot.join(known, on=["service", "status"], how="left", nulls_equal=True, maintain_order="left")
    return rows, conform(named.with_columns(kind=pl.lit("http")), NODES)


def _volume(coded: Coded, calm: pl.DataFrame, signed: pl.DataFrame, width: int) -> pl.LazyFrame:
    """Events of each service and level in buckets of `width` microseconds; those of no level that carry a stack are crashes.

    A key that is one number makes runs once it is sorted, which takes a fifth of the time of a group_by: events are nearly
    in order.
    """
    columns = list(TABLES["volume"].schema)
    rows = coded.rows.select(*coded.keys, "bucket")
    counted = rows.clear().with_columns(count=_ONE)
    if coded.classes is not None and 0 < coded.classes.height <= _MANY_CLASSES:
        many = coded.classes.height
        key = pl.col("bucket") // width * many + pl.col(CLASS)
        runs = rows.drop_nulls().select(key.sort().rle().struct.unnest())
        counted = runs.select(
            (pl.col("value") % many).alias(CLASS),
            (pl.col("value") // many * width).alias("bucket"),
            count=pl.col("len").cast(INT),
        )
        rows = rows.filter(pl.col("bucket").is_null())
    counted = coded.name(pl.concat([counted, rows.with_columns(count=_ONE)]))
    crashed = signed.lazy().filter(pl.col("stack").is_not_null() & pl.col("level").is_null())
    crashed = crashed.with_columns(_bucket(RATE_US), count=pl.lit(0, INT), crashes=_ONE)
    both = pl.concat([counted.select(columns[:-1]), calm.select(columns[:-1])]) if calm.height else counted
    return pl.concat([both.lazy().with_columns(crashes=pl.lit(0, INT)).select(columns), crashed.select(columns)])


_MANY_CLASSES = 1_000  # so that key and bucket are one number of 64 bits, whatever the time


def _sources(seen: pl.DataFrame, intake: pl.DataFrame, disorder: int, undated: int | None) -> pl.LazyFrame:
    zero, untimed = pl.lit(0, INT), pl.lit(None, TIME)
    unsaid = {n: pl.lit(None, STR) for n in ("format", "why")}
    names = list(TABLES["sources"].schema)
    read = intake.lazy().with_columns(
        records=zero, continuation=zero, undated=zero, disorder=zero, first=untimed, last=untimed
    )
    counted = seen.lazy().with_columns(bytes=zero, lines=zero, blank=zero, rejected=zero, disorder=zero, **unsaid)
    parts = [read.select(names), counted.select(names)]
    lent = 0 if undated is None else undated - seen["undated"].sum()
    told = seen["source"].min() if seen.height else intake["source"].min()
    if (disorder or lent) and told is not None:
        more = pl.LazyFrame({"source": [told], "disorder": [disorder], "undated": [lent]})
        counts = dict.fromkeys(("bytes", "lines", "blank", "rejected", "records", "continuation"), zero)
        parts.append(more.with_columns(first=untimed, last=untimed, **counts, **unsaid).select(names))
    return pl.concat(parts)


def _failures(hot: pl.DataFrame, marks: pl.DataFrame) -> dict[str, pl.LazyFrame]:
    """Each failing record under every failure it shows: the links of its stack, its own message, its HTTP status."""
    if not hot.height:
        return {}
    hot = said_traces(hot)
    plain = hot.lazy().select(
        "row", "kind", "service", "instance", "trace", "bucket", "at", "source", "line", "signature",
        level=pl.col("level").to_physical().cast(INT), stacks=pl.col("stack").is_not_null().cast(INT),
        failure="failure", http="http", causes="causes",
    )  # fmt: skip
    # what a record shows is of three kinds, and an id tells its kind: only the causes can hold one twice
    ways = [
        plain.drop_nulls("failure"),
        plain.drop_nulls("http").with_columns(failure="http"),
        plain.filter(pl.col("causes").list.len() > 0)
        .with_columns(failure=pl.col("causes").list.unique())
        .explode("failure", empty_as_null=True)
        .drop_nulls("failure"),
    ]
    shown = pl.concat([way.drop("http", "causes") for way in ways])
    each = shown.with_columns(count=_ONE, first="at", last="at").collect(engine=_ENGINE)
    rows = each.lazy()
    out = {
        "failures": rows,
        "activity": rows.drop_nulls("bucket"),
        "members": rows.drop_nulls("signature"),
        "links": _links(hot),
        "examples": _examples(hot, each),
    } | _clusters(hot)
    if each["trace"].null_count() < each.height:
        out["traces"] = rows.drop_nulls("trace")
    if marks.height:
        out["marked"] = rows.join(marks.lazy().select(pl.col("row").cast(pl.UInt32), "mark"), on="row")
    return out


def _links(hot: pl.DataFrame) -> pl.LazyFrame:
    """What one record proves by itself: cause and effect in its stack, and the message that wraps the outermost one."""
    raised = hot.lazy().filter(pl.col("causes").list.len() > 0)
    pairs = (
        raised.filter(pl.col("causes").list.len() > 1)
        .select(
            cause=pl.col("causes").list.slice(0, pl.col("causes").list.len() - 1),
            effect=pl.col("causes").list.slice(1),
            kind=pl.col("links"),
            at="at",
            source="source",
            line="line",
        )
        .explode("cause", "effect", "kind", empty_as_null=True)
        .drop_nulls(["cause", "effect"])
    )
    wraps = raised.drop_nulls("failure").select(
        cause=pl.col("causes").list.last(),
        effect="failure",
        kind=pl.lit("wraps"),
        at="at",
        source="source",
        line="line",
    )
    return pl.concat([pairs, wraps]).filter(pl.col("cause") != pl.col("effect")).with_columns(count=_ONE)


def _examples(hot: pl.DataFrame, each: pl.DataFrame) -> pl.LazyFrame:
    order = ["at", "source", "line"]
    ids = pl.concat(
        [
            each.lazy().select("row", *order, id="failure"),
            hot.lazy().drop_nulls("signature").select("row", *order, id="signature"),
        ]
    )
    first = (
        ids.sort("id", *order, nulls_last=True)
        .group_by("id", maintain_order=True)
        .head(EXAMPLES)
        .collect(engine=_ENGINE)
    )
    texts = hot.filter(pl.col("row").is_in(first["row"].unique().implode()))
    return first.lazy().join(texts.lazy().select("row", text=_text()), on="row")


def _clusters(hot: pl.DataFrame) -> dict[str, pl.LazyFrame]:
    grouped = hot.lazy().drop_nulls("signature")
    keys = ("signature", "level", "service", "instance", "exception", "template")
    told = {"count": pl.len().cast(INT), "first": pl.col("at").min(), "last": pl.col("at").max(), "message": pl.col("message").min()}  # fmt: skip
    rows = grouped.group_by(keys).agg(**told).collect(engine=_ENGINE).lazy()
    return {
        "clusters": rows,
        "groups": rows,
        "rhythm": grouped.drop_nulls("bucket").with_columns(_bucket(RATE_US), count=_ONE),
    }


def _requests(asked: pl.DataFrame, requests: Sums | None) -> dict[str, pl.LazyFrame]:
    """Tables of requests: of those that are rows, and of those that never became any."""
    parts = [_requests_of(_by_route(asked))] if asked.height else []
    if requests is not None:
        parts.append(_summed(requests))
    return {name: pl.concat([one[name] for one in parts]) for name in (parts[0] if parts else ())}


def _requests_of(coded: Coded) -> dict[str, pl.LazyFrame]:
    ms = pl.col("latency_ms")
    us = (ms * 1000).round().cast(INT).alias("us")
    rows = coded.rows.lazy().with_columns(step_of(ms).alias("step"), us)
    timed = {"timed": ms.count().cast(INT), "total_us": pl.col("us").sum()}
    counted = rows.group_by(*coded.keys, "step").agg(
        count=pl.len().cast(INT), **timed, min_ms=ms.min(), max_ms=ms.max()
    )
    dated = rows.drop_nulls("bucket")
    failed = (pl.col("answer") >= FAILED).sum().cast(INT)
    wide = dated.with_columns(pl.col("bucket") // PACE_US * PACE_US, band=pl.col("step") // BAND)
    told = {"count": pl.len().cast(INT), "line": pl.col("line").min(), "first": pl.col("at").min(), "last": pl.col("at").max()}  # fmt: skip
    plans = (
        counted,
        dated.group_by(*coded.keys, "bucket").agg(requests=pl.len().cast(INT), failed=failed, **timed),
        # answers by how long they took, and requests that were refused, in stretches of time
        wide.filter(pl.col("answer") < 400).group_by(*coded.keys, "band", "bucket").agg(**told),
        wide.filter(_refused("answer")).group_by(*coded.keys, "bucket").agg(**told),
    )
    return _tables(*(coded.name(rows) for rows in pl.collect_all(plans, engine=_ENGINE)))


def _refused(status: str) -> pl.Expr:
    return pl.col(status).is_between(400, FAILED, closed="left")


def _summed(requests: Sums) -> dict[str, pl.LazyFrame]:
    """The same of requests that were summed up already."""
    classes = requests.classes.with_columns(route_template(requests.classes["route"]))

    def named(rows: pl.DataFrame) -> pl.DataFrame:
        return classes[rows[CLASS]].hstack(rows.drop(CLASS))

    moments = named(requests.moments.rename({"count": "requests"}))
    failed = pl.when(pl.col("status") >= FAILED).then("requests").otherwise(0).alias("failed")
    paced = named(requests.paces.drop("timed", "total_us", "min_ms", "max_ms").rename({"step": "band"}))
    return _tables(
        named(requests.steps.drop("bucket", "line", "first", "last")),
        moments.select(*classes.columns, "bucket", "requests", failed, "timed", "total_us"),
        paced.filter(pl.col("status") < 400).select(*classes.columns, "band", "bucket", *PACED),
        paced.filter(_refused("status")).select(*classes.columns, "bucket", *PACED),
    )


def _failed(requests: Sums | None) -> dict[str, pl.LazyFrame]:
    """What the tables of failures take of failed requests that were summed up already. Those that they may show are rows, as an
    answer has one in each batch: so ids and groups are known from these."""
    if requests is None or not requests.failures.height:
        return {}
    statuses = requests.answers.select("service", "status")
    answers = requests.answers.with_columns(
        pl.col("level").to_physical().cast(INT).alias("loudness"),
        signature=pl.Series([http_signature(status) for status in statuses["status"]], dtype=STR),
        failure=pl.Series([http_id(status, service) for service, status in statuses.iter_rows()], dtype=STR),
    )
    failures, rhythm = (
        answers[table[CLASS]].hstack(table.drop(CLASS)) for table in (requests.failures, requests.rhythm)
    )
    return {
        "failures": failures.lazy().with_columns(pl.col("loudness").alias("level"), stacks=pl.lit(0, INT)),
        "activity": failures.lazy(),
        "members": failures.lazy(),
        "clusters": failures.lazy(),
        "rhythm": rhythm.lazy(),
    }


def _tables(
    seen: pl.DataFrame, moments: pl.DataFrame, paces: pl.DataFrame, refused: pl.DataFrame
) -> dict[str, pl.LazyFrame]:
    seen, moments, paces, refused = (
        rows.select(*ASKED, pl.exclude(*ASKED)) for rows in (seen, moments, paces, refused)
    )
    return {
        "requests": seen.lazy(),
        "latency": seen.lazy().drop_nulls("step"),
        "traffic": moments.lazy(),
        "route_pace": paces.lazy(),
        "pace": paces.lazy(),
        "refused": refused.lazy(),
    }


_ASKED = ["kind", "source", "format", "service", "method", "status"]


def _by_route(requests: pl.DataFrame) -> Coded:
    """The requests by what they have in common, of their routes the templates."""
    requests = requests.with_columns(answer="status")
    routes = code(requests.select(merge_routes(requests["route"])), ["route"])
    if routes.classes is None:
        return code(requests.with_columns(route_template(requests["route"])), [*_ASKED, "route"])
    templates = code(routes.classes.select(route_template(routes.classes["route"])), ["route"], few=0)
    places = templates.rows.select(pl.col(CLASS).gather(routes.rows[CLASS]))
    return code(requests.drop("route"), _ASKED, known=Coded(places, templates.classes))


def _life(placed: pl.LazyFrame, marks: pl.DataFrame) -> dict[str, pl.LazyFrame]:
    """Starts, stops, exits, deploys: what the lines say of the processes themselves."""
    out: dict[str, pl.LazyFrame] = {}
    if not marks.height:
        return out
    place = placed.select(
        "service", "instance", "at", "bucket", "source", "line", "failure", "message", first="at", last="at"
    ).collect(engine=_ENGINE)[marks["row"]]
    seen = (
        marks.rename({"exit_code": "code", "count": "lost"})
        .hstack(place)
        .with_columns(text=pl.col("message").str.slice(0, 300), count=_ONE)
        .lazy()
    )
    out["exits"] = seen.filter(pl.col("mark").is_in(["exit", "worker_exit", "oom"]))
    out["marks"] = seen.drop_nulls("bucket")
    out["listens"] = seen.drop_nulls("address")
    out["losses"] = seen.filter(pl.col("mark") == "loss").with_columns(pl.col("lost").fill_null(0))
    return out


class Merging:
    """Summaries that come one after the other, merged in flat memory: several at a time, or fewer where they are large."""

    def __init__(self) -> None:
        self._waiting: list[Summary] = []

    def add(self, part: Summary) -> None:
        """Take one more."""
        self._waiting.append(part)
        rows = sum(table.height for summary in self._waiting for table in summary.tables.values())
        if len(self._waiting) > 1 and (len(self._waiting) >= _AT_ONCE or rows > _MANY_ROWS):
            self._waiting = [Summary.merge(self._waiting)]

    @property
    def widths(self) -> Mapping[str, int]:
        """Widths of buckets that the summary of all will have at least."""
        return {n: max((s.widths[n] for s in self._waiting), default=TABLES[n].finest) for n in BUCKETED}

    def merged(self) -> Summary:
        """The one Summary of all."""
        return Summary.merge(self._waiting) if self._waiting else Summary.empty()


_AT_ONCE = 5
_MANY_ROWS = 400_000  # of all tables together: some 32 MB


def merge_all(parts: Iterable[Summary]) -> Summary:
    """Merge many summaries in flat memory."""
    merging = Merging()
    for part in parts:
        merging.add(part)
    return merging.merged()
