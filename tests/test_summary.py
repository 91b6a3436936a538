"""The laws of a Summary: merging is exact, wherever the input was cut and whatever the order; and a plain loop agrees."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from polars.testing import assert_frame_equal

from triage.engine import Progress, analyze, summarize
from triage.errors import TriageError
from triage.grouping.signature import sign
from triage.schema import EVENTS, INTAKE, LEVELS, RATE_US, conform, empty
from triage.summary import TABLES, Summary, http_id

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
MESSAGES = (
    "payment 17 failed",
    "ValueError: bad amount 3",
    "Container called exit(3).",
    "listening at http://10.0.0.1:8080",
    "cache miss",
    "connection to db-1 lost",
)
STACK = 'Traceback (most recent call last):\n  File "/app/pay.py", line 7, in pay\n    raise ValueError("bad")\nValueError: bad amount 3'

rows = st.lists(
    st.fixed_dictionaries(
        {
            "message": st.sampled_from(MESSAGES),
            "level": st.sampled_from((*LEVELS, None)),
            "kind": st.sampled_from(("app", "access", "request", "platform")),
            "service": st.sampled_from(("api", "worker", None)),
            "instance": st.sampled_from(("a", "b", None)),
            "status": st.sampled_from((None, None, 200, 302, 401, 404, 500, 503)),
            "latency_ms": st.sampled_from((None, 0.4, 12.5, 60001.0)),
            "seconds": st.one_of(st.none(), st.floats(0, 4000, allow_nan=False)),
            "stack": st.sampled_from((None, None, STACK)),
            "trace": st.sampled_from((None, "t1", "t2")),
        }
    ),
    max_size=30,
)


def events(listed: list[dict[str, Any]], *, first_line: int = 1) -> pl.DataFrame:
    made = [
        {
            **{k: v for k, v in r.items() if k != "seconds"},
            "source": "app.log",
            "line": first_line + i,
            "lines": 1,
            "at": None if r["seconds"] is None else START + timedelta(seconds=r["seconds"]),
            "route": "/pay/7" if r["status"] else None,
            "method": "GET" if r["status"] else None,
        }
        for i, r in enumerate(listed)
    ]
    return conform(pl.DataFrame(made, schema_overrides=EVENTS), EVENTS) if made else empty(EVENTS)


def ledger(lines: int) -> pl.DataFrame:
    row = {"source": ["app.log"], "bytes": [lines], "lines": [lines], "blank": [0], "rejected": [0]}
    return conform(pl.DataFrame(row), INTAKE)


def summary(frame: pl.DataFrame) -> Summary:
    signed, nodes = sign(frame)
    return Summary.of(signed, nodes, ledger(len(frame)))


def assert_same(a: Summary, b: Summary) -> None:
    assert a.widths == b.widths
    for name in TABLES:
        assert_frame_equal(a[name], b[name])


@settings(deadline=None, max_examples=15)
@given(rows, st.integers(0, 30), st.integers(0, 30))
def test_cutting_the_input_anywhere_changes_nothing(listed: list[dict[str, Any]], x: int, y: int) -> None:
    frame = events(listed)
    low, high = sorted((min(x, len(frame)), min(y, len(frame))))
    parts = [frame[:low], frame[low:high], frame[high:]]
    whole = Summary.merge([summary(frame), summary(empty(EVENTS)), summary(empty(EVENTS))])
    assert_same(Summary.merge(map(summary, parts)), whole)


@settings(deadline=None, max_examples=10)
@given(rows, rows, rows)
def test_merging_is_associative_and_commutative_and_has_an_identity(a: Any, b: Any, c: Any) -> None:
    x, y, z = (summary(events(r, first_line=n)) for r, n in ((a, 1), (b, 101), (c, 201)))
    assert_same(Summary.merge([Summary.merge([x, y]), z]), Summary.merge([x, Summary.merge([z, y])]))
    assert_same(Summary.merge([x, Summary.empty()]), x)


@settings(deadline=None, max_examples=10)
@given(rows, st.randoms(use_true_random=False))
def test_shuffled_records_give_the_same_summary(listed: list[dict[str, Any]], random: Any) -> None:
    frame = events(listed)
    order = list(range(len(frame)))
    random.shuffle(order)
    assert_same(summary(frame[order]), summary(frame))


@settings(deadline=None, max_examples=15)
@given(rows)
def test_a_plain_loop_counts_the_same(listed: list[dict[str, Any]]) -> None:
    made = summary(events(listed))
    levels = Counter(r["level"] for r in listed)
    assert dict(made["volume"].group_by("level").agg(pl.col("count").sum()).iter_rows()) == levels
    statuses = Counter(r["status"] for r in listed if r["status"])
    assert dict(made["requests"].group_by("status").agg(pl.col("count").sum()).iter_rows()) == statuses
    failed = Counter((http_id(r["status"], r["service"])) for r in listed if (r["status"] or 0) >= 500)
    seen = made["failures"].filter(pl.col("failure").is_in(list(failed)))
    assert dict(seen.group_by("failure").agg(pl.col("count").sum()).iter_rows()) == failed
    assert set(made["nodes"].filter(pl.col("kind") == "http")["id"]) == set(failed)
    timed = [r["latency_ms"] for r in listed if r["status"] and r["latency_ms"] is not None]
    assert int(made["requests"]["total_us"].sum()) == sum(round(t * 1000) for t in timed)
    dated = [r for r in listed if r["status"] and r["seconds"] is not None]
    refused = Counter((r["service"], r["status"]) for r in dated if 400 <= r["status"] < 500)
    told = made["refused"].group_by("service", "status").agg(pl.col("count").sum())
    assert {(service, status): count for service, status, count in told.iter_rows()} == refused
    answers = Counter((r["service"], r["latency_ms"] is None) for r in dated if r["status"] < 400)
    for table in ("pace", "route_pace"):
        paced = made[table].group_by("service", pl.col("band").is_null()).agg(pl.col("count").sum())
        assert {(service, untimed): count for service, untimed, count in paced.iter_rows()} == answers
    weighty = [
        r for r in listed if r["level"] in ("WARNING", "ERROR", "CRITICAL") or r["stack"] or (r["status"] or 0) >= 500
    ]
    assert int(made["clusters"]["count"].sum()) >= len(weighty)


def test_time_buckets_coarsen_until_the_table_is_small() -> None:
    table = TABLES["volume"]
    rows = pl.DataFrame({"bucket": [i * RATE_US for i in range(40_000)], "count": [1] * 40_000}).with_columns(
        service=pl.lit("api"), level=pl.lit("INFO", pl.Enum(LEVELS)), crashes=pl.lit(0, pl.Int64())
    )
    small, width = table.coarsen(conform(rows, table.schema), RATE_US)
    assert len(small) <= table.bucket_rows
    assert width == 4 * RATE_US
    assert int(small["count"].sum()) == 40_000


def test_stamps_of_whole_seconds_fall_into_their_own_slice(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    lines = [
        f'203.0.113.{n} - - [02/Mar/2026:09:{second // 60:02}:{second % 60:02} +0000] "GET /a HTTP/1.1" 200 7 "-" "curl"'
        for second in range(120)
        for n in range(5)
    ]
    log.write_text("\n".join(lines))
    report = analyze(log)
    assert report.slice_s == 2.0
    assert {rate.requests for rate in report.rates} == {10}
    assert {rate.records for rate in report.rates} == {10}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(("api", "worker", None)), st.one_of(st.none(), st.integers(0, 5_000)))),
    st.integers(1, 20),
)
def test_the_width_is_the_first_doubling_that_leaves_few_enough_rows(
    listed: list[tuple[str | None, int | None]], most: int
) -> None:
    table = replace(TABLES["volume"], bucket_rows=most)
    rows = pl.DataFrame(listed, schema={"service": pl.String(), "bucket": pl.Int64()}, orient="row").with_columns(
        bucket=pl.col("bucket") * RATE_US,
        level=pl.lit(None, pl.Enum(LEVELS)),
        count=pl.lit(1, pl.Int64()),
        crashes=pl.lit(0, pl.Int64()),
    )
    _, width = table.coarsen(conform(rows, table.schema), RATE_US)
    sizes = {RATE_US << n: len({(s, None if b is None else b >> n) for s, b in listed}) for n in range(14)}
    enough = [w for w, size in sizes.items() if size <= most]
    assert width == (min(enough) if enough else min(w for w, size in sizes.items() if size == min(sizes.values())))


_VALUES = {
    pl.String: st.sampled_from((None, "", "a", "b", "zeta", "Z")),
    pl.Int64: st.one_of(st.none(), st.integers(-3, 9), st.integers(-(2**55), 2**55)),
    pl.Float64: st.one_of(st.none(), st.floats(0, 9)),
    pl.Datetime: st.one_of(st.none(), st.integers(0, 9)),
}


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(TABLES)), st.sampled_from((1, RATE_US, 1 << 40)))
def test_keys_put_into_one_number_fold_as_the_keys_do(data: st.DataObject, name: str, width: int) -> None:
    table = replace(TABLES[name], bucket_rows=5 if TABLES[name].bucket_rows else 0)
    values = {
        column: st.sampled_from((None, *dtype.categories[:3]))
        if isinstance(dtype, pl.Enum)
        else _VALUES.get(type(dtype))
        for column, dtype in table.schema.items()
    }
    if any(strategy is None for strategy in values.values()):  # lists of frames, which no numbered table has
        return
    listed = data.draw(st.lists(st.fixed_dictionaries(values), max_size=25))  # type: ignore[arg-type]
    rows = pl.DataFrame({c: pl.Series([r[c] for r in listed], dtype=t) for c, t in table.schema.items()})
    plain = table.coarsen(rows, width) if table.bucket_rows else (table.fold(rows), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triage.summary.FEW", 1)
        patch.setattr("triage.coding.FEW", 0)
        numbered = table.coarsen(rows, width) if table.bucket_rows else (table.fold(rows), 0)
    assert numbered[1] == plain[1]
    assert_frame_equal(numbered[0], plain[0])


@settings(deadline=None, max_examples=10)
@given(rows, rows)
def test_a_part_with_the_widths_of_another_merges_to_the_same(a: Any, b: Any) -> None:
    x, y = (summary(events(r, first_line=n)) for r, n in ((a, 1), (b, 101)))
    wide = dict.fromkeys(x.widths, RATE_US * 64)
    frame = events(b, first_line=101)
    signed, nodes = sign(frame)
    coarse = Summary.of(signed, nodes, ledger(len(frame)), widths=wide)
    assert coarse.widths == wide
    z = Summary.of(*sign(events(a, first_line=1)), ledger(len(a)), widths=wide)
    assert_same(Summary.merge([x, coarse]), Summary.merge([z, y]))


def test_the_frames_of_a_failure_are_those_of_its_frame_also_where_it_was_named_without_any() -> None:
    common = {
        "level": "ERROR",
        "kind": "app",
        "service": None,
        "instance": None,
        "status": None,
        "latency_ms": None,
        "seconds": 1.0,
        "trace": None,
    }
    traced, bare = (
        {**common, "message": "boom", "stack": STACK},
        {**common, "message": "ValueError: bad amount 3", "stack": None},
    )
    parts = [summary(events([r], first_line=n)) for n, r in ((1, traced), (2, bare))]
    whole = summary(events([traced, bare]))
    assert_frame_equal(Summary.merge(parts)["nodes"], whole["nodes"])
    assert ["/app/pay.py:7 in pay"] in whole["nodes"]["frames"].to_list()


def test_a_saved_summary_loads_as_it_was(tmp_path: Path) -> None:
    made = summary(events([{"message": "payment 17 failed", "level": "ERROR", "kind": "app", "service": "api", "instance": None,
                            "status": None, "latency_ms": None, "seconds": 3.0, "stack": STACK, "trace": "t1"}]))  # fmt: skip
    made.save(tmp_path / "a.summary")
    made.save(tmp_path / "b.summary")
    assert (tmp_path / "a.summary").read_bytes() == (tmp_path / "b.summary").read_bytes()
    assert_same(Summary.load(tmp_path / "a.summary"), made)


def test_a_file_that_is_no_summary_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "x.summary").write_text("not a zip")
    with pytest.raises(TriageError, match="is not a summary"):
        Summary.load(tmp_path / "x.summary")
    with pytest.raises(TriageError, match="no such file"):
        Summary.load(tmp_path / "missing.summary")


def test_progress_comes_as_reading_goes_on_and_ends_with_all_records(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    line = "2026-03-02T10:00:00Z INFO " + "x" * 1000 + "\n"
    path.write_text(line * 17_000, encoding="utf-8")
    seen: list[Progress] = []
    summarize([str(path)], progress=seen.append)
    steps = [b.bytes_read - a.bytes_read for a, b in pairwise(seen)]
    assert max(seen[0].bytes_read, *steps) <= 8 << 20
    assert seen[-1] == Progress(str(path), path.stat().st_size, path.stat().st_size, 17_000)
