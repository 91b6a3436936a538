"""Times: every shape of stamp, what they leave out, and stamps that cannot be believed."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from functools import cache

import polars as pl
import pytest

from triage.intake.decode import ReadOptions, decode
from triage.intake.formats import Catalog, load_catalog
from triage.intake.sources import Source
from triage.intake.stamps import SHAPES, settle
from triage.intake.times import Clock, read_times
from triage.packs import pattern_dirs

WRITTEN = datetime(2026, 6, 1, tzinfo=UTC)


@cache
def catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def rows_of(text: str, **options: object) -> tuple[pl.DataFrame, str]:
    raw = text.encode()
    source = Source("in.log", len(raw), WRITTEN, lambda: io.BytesIO(raw))
    batches = list(decode(source, catalog(), ReadOptions(**options)))  # type: ignore[arg-type]
    notices = [n for b in batches for said in b.intake["notices"].to_list() for n in said]
    return pl.concat([b.rows for b in batches]), "\n".join(notices)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "want"),
    [
        ("Sun Dec 04 04:47:44 2005", "2005-12-04T04:47:44"),
        ("Mon Jan  5 10:11:12 CET 2026", "2026-01-05T09:11:12"),
        ("2005-06-03-15.42.50.363779", "2005-06-03T15:42:50.363779"),
        ("2026.01.02-10.11.12:345", "2026-01-02T10:11:12.345"),
        ("20171224-0:0:5:37", "2017-12-24T00:00:05.037"),
        ("20260102T101112Z", "2026-01-02T10:11:12"),
        ("20260102101112", "2026-01-02T10:11:12"),
        ("081109 203615", "2008-11-09T20:36:15"),
        ("150305  9:46:16", "2015-03-05T09:46:16"),
        ("17/06/09 20:10:40", "2017-06-09T20:10:40"),
        ("25/12/09 20:10:40", "2025-12-09T20:10:40"),
        ("1/13/26 10:11:12:345", "2026-01-13T10:11:12.345"),
        ("10.30 16:49:06", "2025-10-30T16:49:06"),
        ("03-17 16:13:38.811", "2026-03-17T16:13:38.811"),
        ("Nov 9 12:01:01", "2025-11-09T12:01:01"),
        ("02-JAN-2026 10:11:12", "2026-01-02T10:11:12"),
        ("2 January 2026 10:11:12,5", "2026-01-02T10:11:12.500"),
        ("Jan 02, 2026 10:11:12 PM", "2026-01-02T22:11:12"),
        ("1/2/2026 12:02:03 AM", "2026-01-02T00:02:03"),
        ("02.01.2026 10:11:12", "2026-01-02T10:11:12"),
        ("2026-01-02T10:11:12.345678901+0530", "2026-01-02T04:41:12.345678"),
        ("2026-01-02 10:11:12,345 EST", "2026-01-02T15:11:12.345"),
        ("2026-01-02 10:11", "2026-01-02T10:11:00"),
    ],
)
def test_a_stamp_is_read_by_its_shape(stamp: str, want: str) -> None:
    import re

    name, found = next((n, m) for n, pattern in SHAPES.items() if (m := re.match(pattern, stamp)))
    assert found[0] == stamp
    pattern = settle(name, SHAPES[name], [found])
    assert read_times(pl.Series([stamp]), [pattern], clock=Clock("UTC", WRITTEN)).at[0] == utc(want)


def test_other_stamps_settle_which_number_is_the_day() -> None:
    import re

    pattern = SHAPES["a/b/year"]
    seen = [re.match(pattern, s) for s in ("03/04/2026 10:00:00", "25/04/2026 10:00:00")]
    settled = settle("a/b/year", pattern, [m for m in seen if m])
    assert read_times(pl.Series(["03/04/2026 10:00:00"]), [settled], clock=Clock()).at[0] == utc("2026-04-03T10:00:00")


@pytest.mark.parametrize(
    ("stamps", "want"),
    [
        (("03/04/2026 10:00:00", "25/04/2026 11:00:00"), "2026-04-03T10:00:00"),
        (("03/04/2026 10:00:00", "04/25/2026 11:00:00"), "2026-03-04T10:00:00"),
        (("03.04.2026 10:00:00", "04.04.2026 11:00:00"), "2026-04-03T10:00:00"),
        (("Apr 3, 2026 10:00:00 AM", "Apr 4, 2026 10:00:00 AM"), "2026-04-03T10:00:00"),
        (("20260403T100000Z", "20260403T100001Z"), "2026-04-03T10:00:00"),
        (("1775210400,5", "1775210401,5"), "2026-04-03T10:00:00.5"),
    ],
)
def test_entries_have_stamps_of_any_shape(stamps: tuple[str, ...], want: str) -> None:
    rows, _ = rows_of("".join(f'{{"time":"{s}","level":"info","msg":"x"}}\n' for s in stamps))
    assert rows["at"][0] == utc(want)


def test_what_stamps_leave_out_is_said() -> None:
    lines = "".join(f"13.06 22:10:{n:02} [Import] INFO row {n}\n" for n in range(20))
    rows, said = rows_of(lines, tz="Europe/Berlin")
    assert rows["at"][0] == utc("2025-06-13T20:10:00")
    assert "20 stamps name no time zone; Europe/Berlin was assumed" in said
    assert "20 stamps name no year" in said


def test_a_date_inside_a_message_never_wins_over_the_stamp() -> None:
    lines = "".join(f"170613 2210{n:02} 7 INFO net.Server: backup of 2024-01-05 10:00:00 done\n" for n in range(20))
    rows, _ = rows_of(lines)
    assert rows["at"].dt.year().unique().to_list() == [2017]
    assert rows["message"].unique().to_list() == ["backup of 2024-01-05 10:00:00 done"]


@pytest.mark.parametrize("block", [90, 1 << 20])
@pytest.mark.parametrize("odd", ["1970-01-01T00:00:03Z", "2039-01-01T00:00:00Z", "2025-01-02T10:00:00Z"])
def test_a_stamp_far_from_all_others_is_not_believed(odd: str, block: int) -> None:
    lines = [f"2026-03-02T10:00:{n:02}Z INFO row {n}\n" for n in range(50)]
    lines[30] = f"{odd} INFO row 30\n"
    rows, said = rows_of("".join(lines), block_bytes=block)
    assert len(rows) == 50
    assert rows["message"][30] == "row 30"
    assert rows["at"][30] is None
    assert rows["at"].null_count() == 1
    assert f"1 stamp lies far from all others (the first: {odd[:10]} {odd[11:19]} on line 31)" in said


def test_a_log_that_went_on_later_is_believed() -> None:
    lines = [f"2026-03-02T10:00:{n:02}Z INFO row {n}\n" for n in range(600)]
    lines = [f"2026-0{1 if n < 500 else 5}-02T10:{n // 60:02}:{n % 60:02}Z INFO row {n}\n" for n in range(600)]
    rows, said = rows_of("".join(lines), block_bytes=400)
    assert rows["at"].null_count() == 1  # the first one after the gap
    assert "1 stamp lies far" in said


def test_stamps_of_many_years_are_believed_when_the_head_has_them() -> None:
    lines = [f"{2000 + n % 20}-03-02T10:00:00Z INFO row {n}\n" for n in range(100)]
    rows, said = rows_of("".join(lines))
    assert rows["at"].null_count() == 0
    assert "far from all others" not in said
