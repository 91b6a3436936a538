"""Summary: the small tables that a shard of a log becomes; they merge, save and load, and are all that a diagnosis sees."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import polars as pl

from triage.errors import TriageError
from triage.grouping.marks import mark
from triage.grouping.masks import route_template
from triage.grouping.signature import failure_id
from triage.schema import KIND, LEVEL, TIME, conform, empty

VERSION = "triage.summary/1"
TICK_US = 1024  # finest time bucket; buckets coarsen by powers of two, so any two summaries share borders
LATENCY_BASE = 1.01  # one latency bucket is 1 % wide
LATENCY_MIN_MS = 0.001
EXAMPLES = 3
EXAMPLE_CHARS = 6_000

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


@dataclass(frozen=True, slots=True)
class Table:
    """A table that knows how to merge copies of itself: rows that share the keys become one."""

    keys: Mapping[str, pl.DataType]
    totals: Totals
    bucket_rows: int = 0  # with a `bucket` key: coarsen the buckets until at most so many rows are left
    keep: tuple[str, int] | None = None  # (group, k): of each group only the k earliest rows
    most: int = 0  # of all rows only so many, smallest keys first

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {**self.keys, **{n: t for n, (t, _) in self.totals.items()}}

    def fold(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Combine rows that share a key; sorted by the keys."""
        merged = rows.group_by(*self.keys).agg(**{n: e for n, (_, e) in self.totals.items()})
        merged = conform(merged, self.schema)
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

    def coarsen(self, rows: pl.DataFrame, width: int) -> tuple[pl.DataFrame, int]:
        """Rows with the finest buckets, of at least `width` microseconds, that leave no more rows than allowed."""
        while True:
            rows = self.fold(rows.with_columns(bucket=(pl.col("bucket") // width) * width))
            if len(rows) <= self.bucket_rows:
                return rows, width
            width *= 2


WHERE = {"service": STR, "instance": STR}

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
    ),
    # What an id stands for.
    "nodes": Table(
        {"id": STR},
        {
            **{n: _low(n, STR) for n in ("kind", "exception", "message", "template", "frame")},
            "frames": (
                pl.List(STR),
                pl.col("frames").sort_by(pl.col("frames").list.join("\n", ignore_nulls=True)).first(),
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
        {"failure": STR, "kind": KIND, **WHERE, "bucket": INT}, {"count": _sum("count")}, bucket_rows=100_000
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
        {"trace": STR, "failure": STR}, {"count": _sum("count"), "first": _low("first", TIME)}, most=60_000
    ),
    # Clusters: records grouped by signature.
    "groups": Table({"signature": STR}, {n: _low(n, STR) for n in ("exception", "message", "template")}),
    "clusters": Table(
        {"signature": STR, "level": LEVEL, **WHERE},
        {"count": _sum("count"), "first": _low("first", TIME), "last": _high("last", TIME)},
    ),
    "rhythm": Table({"signature": STR, "bucket": INT}, {"count": _sum("count")}, bucket_rows=32_768),
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
    "listens": Table({"service": STR, "address": STR}, {"count": _sum("count")}),
    "revisions": Table(
        {"service": STR, "deployment": STR},
        {"count": _sum("count"), "first": _low("first", TIME), "last": _high("last", TIME)},
    ),
}
BUCKETED = tuple(n for n, t in TABLES.items() if t.bucket_rows)


@dataclass(frozen=True, slots=True)
class Summary:
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
        disorder: int = 0,
        undated: int | None = None,
    ) -> Summary:
        """Summarize signed events (schema SIGNED), their NODES, and the INTAKE rows that account for them.

        `marks` is what grouping.marks.mark gave for these events, where it was asked already.

        `disorder` is the number of these events that are dated before the one in front of them, `undated` the number
        of those that had no date of their own, where the reader lent them one.
        """
        rows = _tabulate(signed, nodes, intake, mark(signed) if marks is None else marks, disorder, undated)
        return _settle({name: [table] for name, table in rows.items()}, {})

    @staticmethod
    def empty() -> Summary:
        """The neutral element of merge."""
        return Summary({n: empty(t.schema) for n, t in TABLES.items()}, dict.fromkeys(BUCKETED, TICK_US))

    @staticmethod
    def merge(summaries: Iterable[Summary]) -> Summary:
        """One Summary of all; the order does not matter."""
        parts = list(summaries)
        if len(parts) == 1:
            return parts[0]
        widths: dict[str, int] = {n: max((s.widths[n] for s in parts), default=TICK_US) for n in BUCKETED}
        return _settle({n: [s.tables[n] for s in parts] for n in TABLES}, widths)

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


def _settle(parts: Mapping[str, list[pl.DataFrame]], widths: Mapping[str, int]) -> Summary:
    tables: dict[str, pl.DataFrame] = {}
    final: dict[str, int] = {}
    for name, table in TABLES.items():
        rows = pl.concat(parts[name]) if parts.get(name) else empty(table.schema)
        if table.bucket_rows:
            tables[name], final[name] = table.coarsen(rows, widths.get(name, TICK_US))
        else:
            tables[name] = table.fold(rows)
    return Summary(tables, final)


def _bucket() -> pl.Expr:
    return (pl.col("at").dt.epoch("us") // TICK_US * TICK_US).alias("bucket")


def _text() -> pl.Expr:
    stack = pl.col("stack")
    whole = pl.when(stack.is_null() | pl.col("message").str.contains(stack, literal=True)).then(pl.col("message"))
    return whole.otherwise(pl.concat_str(pl.col("message"), stack, separator="\n", ignore_nulls=True)).str.slice(
        0, EXAMPLE_CHARS
    )


def http_id(status: int) -> str:
    """The id of the failure "HTTP <status>"."""
    return failure_id("http", "", f"HTTP {status}")


def _tabulate(
    signed: pl.DataFrame,
    nodes: pl.DataFrame,
    intake: pl.DataFrame,
    marks: pl.DataFrame,
    disorder: int,
    undated: int | None,
) -> dict[str, pl.DataFrame]:
    """Rows for every table, not yet folded."""
    events = signed.with_row_index("row").with_columns(
        _bucket(),
        http=pl.when(pl.col("status") >= 500).then(
            pl.col("status").replace_strict(_HTTP_IDS, default=None, return_dtype=STR)
        ),
    )
    marks = marks.cast({"row": pl.UInt32})
    hot = events.filter(pl.col("signature").is_not_null() | pl.col("http").is_not_null())
    requests = events.filter(pl.col("status").is_not_null())
    out: dict[str, pl.DataFrame] = {"nodes": nodes}
    out["sources"] = _sources(events, intake, disorder, undated)
    out["notices"] = (
        intake.select("source", notice="notices", count=pl.lit(1, INT)).explode("notice").drop_nulls("notice")
    )
    crash = (pl.col("stack").is_not_null() & pl.col("level").is_null()).sum()
    out["volume"] = events.group_by("service", "level", "bucket").agg(count=pl.len(), crashes=crash).pipe(_as, "volume")
    out |= _failures(hot, marks)
    out |= _clusters(hot)
    out |= _requests(requests)
    out |= _life(events, marks)
    return out


_HTTP_IDS = {status: http_id(status) for status in range(500, 600)}


def _as(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return conform(rows, TABLES[name].schema)


def _sources(events: pl.DataFrame, intake: pl.DataFrame, disorder: int, undated: int | None) -> pl.DataFrame:
    zero = pl.lit(0, INT)
    read = intake.select(
        "source", "format", "why", "bytes", "lines", "blank", "rejected", records=zero, continuation=zero, undated=zero, disorder=zero,
        first=pl.lit(None, TIME), last=pl.lit(None, TIME),
    )  # fmt: skip
    seen = events.group_by("source").agg(
        format=pl.lit(None, STR), why=pl.lit(None, STR), bytes=zero, lines=zero, blank=zero, rejected=zero,
        records=pl.len(), continuation=(pl.col("lines") - 1).clip(0).sum(), undated=pl.col("at").is_null().sum(),
        disorder=zero, first=pl.col("at").min(), last=pl.col("at").max(),
    )  # fmt: skip
    rows = pl.concat([_as(read, "sources"), _as(seen, "sources")])
    lent = 0 if undated is None else undated - int(events["at"].null_count())
    if (disorder or lent) and len(seen):
        more = pl.DataFrame({"source": [seen["source"].min()], "disorder": [disorder], "undated": [lent]})
        rows = pl.concat([rows, _as(more, "sources").with_columns(pl.col(INT).fill_null(0))])
    return rows


def _failures(hot: pl.DataFrame, marks: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Each failing record under every failure it shows: the links of its stack, its own message, its HTTP status."""
    ids = hot.with_columns(
        failures=pl.concat_list(
            pl.col("causes").fill_null([]),
            pl.concat_list("failure").list.drop_nulls(),
            pl.concat_list("http").list.drop_nulls(),
        )
    )
    each = (
        ids.select(
            "row",
            "kind",
            "service",
            "instance",
            "trace",
            "bucket",
            "at",
            "source",
            "line",
            "signature",
            "level",
            "stack",
            ids="failures",
        )
        .explode("ids", empty_as_null=True)
        .rename({"ids": "failure"})
        .drop_nulls("failure")
        .unique(["row", "failure"], keep="first", maintain_order=True)
    )
    failing = each.group_by("failure", "kind", "service", "instance").agg(
        count=pl.len(),
        first=pl.col("at").min(),
        last=pl.col("at").max(),
        level=pl.col("level").to_physical().max(),
        stacks=pl.col("stack").count(),
    )
    activity = (
        each.drop_nulls("bucket").group_by("failure", "kind", "service", "instance", "bucket").agg(count=pl.len())
    )
    marked = each.join(marks.select("row", "mark"), on="row").group_by("failure", "mark").agg(count=pl.len())
    traces = each.drop_nulls("trace").group_by("trace", "failure").agg(count=pl.len(), first=pl.col("at").min())
    return {
        "failures": _as(failing, "failures"),
        "activity": _as(activity, "activity"),
        "marked": _as(marked, "marked"),
        "traces": _as(traces, "traces"),
        "members": _as(each.drop_nulls("signature").group_by("signature", "failure").agg(count=pl.len()), "members"),
        "links": _links(hot),
        "examples": _examples(hot, each),
    }


def _links(hot: pl.DataFrame) -> pl.DataFrame:
    """What one record proves by itself: cause and effect in its stack, and the message that wraps the outermost one."""
    chained = hot.filter(pl.col("causes").list.len() > 1)
    pairs = (
        chained.select(
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
    wraps = hot.filter((pl.col("causes").list.len() > 0) & pl.col("failure").is_not_null()).select(
        cause=pl.col("causes").list.last(),
        effect="failure",
        kind=pl.lit("wraps"),
        at="at",
        source="source",
        line="line",
    )
    both = pl.concat([pairs, wraps]).filter(pl.col("cause") != pl.col("effect"))
    return _as(both.with_columns(count=pl.lit(1, INT)), "links")


def _examples(hot: pl.DataFrame, each: pl.DataFrame) -> pl.DataFrame:
    order = ["at", "source", "line"]
    ids = pl.concat(
        [
            each.select("row", *order, id="failure"),
            hot.drop_nulls("signature").select("row", *order, id="signature"),
        ]
    )
    first = ids.sort("id", *order, nulls_last=True).group_by("id", maintain_order=True).head(EXAMPLES)
    texts = hot.filter(pl.col("row").is_in(first["row"].unique().implode())).select("row", text=_text())
    return _as(first.join(texts, on="row"), "examples")


def _clusters(hot: pl.DataFrame) -> dict[str, pl.DataFrame]:
    grouped = hot.drop_nulls("signature")
    where = grouped.group_by("signature", "level", "service", "instance").agg(
        count=pl.len(), first=pl.col("at").min(), last=pl.col("at").max()
    )
    named = grouped.group_by("signature").agg(pl.col("exception", "message", "template").min())
    rhythm = grouped.drop_nulls("bucket").group_by("signature", "bucket").agg(count=pl.len())
    return {"clusters": _as(where, "clusters"), "groups": _as(named, "groups"), "rhythm": _as(rhythm, "rhythm")}


def _requests(requests: pl.DataFrame) -> dict[str, pl.DataFrame]:
    if len(requests) == 0:
        return {}
    paths = requests["route"].unique()
    routes = pl.DataFrame({"route": paths, "masked": route_template(paths)})
    seen = requests.join(routes, on="route", how="left", nulls_equal=True).with_columns(route="masked")
    ms = pl.col("latency_ms")
    counted = seen.group_by("kind", "format", "service", "method", "route", "status").agg(
        count=pl.len(), timed=ms.count(), total_us=(ms * 1000).round().cast(INT).sum(), min_ms=ms.min(), max_ms=ms.max()
    )
    step = (ms.clip(LATENCY_MIN_MS) / LATENCY_MIN_MS).log(LATENCY_BASE).floor().cast(INT)
    spread = seen.filter(ms.is_not_null()).group_by("kind", "service", "method", "route", step=step).agg(count=pl.len())
    traffic = (
        seen.drop_nulls("bucket")
        .group_by("kind", "service", "bucket")
        .agg(
            requests=pl.len(),
            failed=(pl.col("status") >= 500).sum(),
            timed=ms.count(),
            total_us=(ms * 1000).round().cast(INT).sum(),
        )
    )
    return {"requests": _as(counted, "requests"), "latency": _as(spread, "latency"), "traffic": _as(traffic, "traffic")}


def _life(events: pl.DataFrame, marks: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Starts, stops, exits, deploys: what the lines say of the processes themselves."""
    seen = marks.rename({"exit_code": "code"}).join(
        events.select("row", "service", "instance", "at", "bucket", "source", "line", "failure", "message"), on="row"
    )
    ended = seen.filter(pl.col("mark").is_in(["exit", "worker_exit", "oom"]))
    exits = ended.group_by("mark", "service", "instance", "code", "signal", "failure").agg(
        count=pl.len(), first=pl.col("at").min(), last=pl.col("at").max()
    )
    moments = seen.drop_nulls("bucket").with_columns(count=pl.lit(1, INT), text=pl.col("message").str.slice(0, 300))
    listens = seen.drop_nulls("address").group_by("service", "address").agg(count=pl.len())
    deployed = (
        events.drop_nulls("deployment")
        .group_by("service", "deployment")
        .agg(count=pl.len(), first=pl.col("at").min(), last=pl.col("at").max())
    )
    return {
        "exits": _as(exits, "exits"),
        "marks": _as(moments, "marks"),
        "listens": _as(listens, "listens"),
        "revisions": _as(deployed, "revisions"),
    }


def merge_all(parts: Iterable[Summary], *, every: int = 16, seen: Callable[[Summary], None] | None = None) -> Summary:
    """Merge many summaries in flat memory, `every` at a time."""
    waiting: list[Summary] = []
    for part in parts:
        if seen is not None:
            seen(part)
        waiting.append(part)
        if len(waiting) >= every:
            waiting = [Summary.merge(waiting)]
    return (
        reduce(lambda a, b: Summary.merge([a, b]), waiting, Summary.empty())
        if len(waiting) < 2
        else Summary.merge(waiting)
    )
