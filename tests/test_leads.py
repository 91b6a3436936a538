"""Headers cut by position: the same rows as the regex of the whole pattern finds, whatever the lines are."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.intake import textrows
from triage.intake.formats import Catalog, load_catalog
from triage.intake.leads import behind_stamp, read_leads
from triage.intake.rows import Tally, blank_rows
from triage.intake.textrows import Layers, read_texts
from triage.intake.times import Clock
from triage.packs import pattern_dirs

CLOCK = Clock("Europe/Berlin", datetime(2026, 12, 31, tzinfo=UTC))
STAMPS = (
    *("2026-03-02 09:00:{s:02},{f:03}", "2026-03-02 09:00:{s:02}.{f:03}", "2026-03-02T09:00:{s:02}.{f:06}Z"),
    *("2026-03-02T09:00:{s:02}.{f:06}+00:00", "2026-03-02T09:00:{s:02}.{f:09}-0330", "2026-03-02T09:00:{s:02}Z"),
    *("2026-03-29 02:30:{s:02}.{f:03}", "2026-10-25 02:30:{s:02}", "2026-03-02 09:00:{s:02},{f:03},"),
)
BEHIND = (
    *(" INFO app.users: cache miss user:389", " WARNING [app.main] slow", " ERROR app: x", " INFO  no header here"),
    *(" app[web.1]: INFO kept", " heroku[router]: at=info method=GET path=\"/a?status=1\" host=x request_id=a-1 fwd=\"1\" dyno=web.2"
      " connect=0ms service=43ms status=200 bytes=5", " host heroku router - at=error code=H12 desc=\"a b\" method=GET path=\"/\"",
      " heroku[web.1]: Process exited with status 3", " stdout F INFO plain", " stderr P half of", "  WARN 1 --- [x] c.a.Shop : kept"),
)  # fmt: skip
ODD = (
    *("", "Traceback (most recent call last):", '  File "a.py", line 3, in f', "KeyError: 'x'", "2026-03-02", "{}"),
    *("2026-03-02 09:00:00,+12 INFO app.users: a sign", "2026-03-02 09:00:00,-12 INFO app.users: a sign"),
    *("2026-03-02 09:00:60,001 INFO app.users: a leap second", "2026-13-02 09:00:00,001 INFO app.users: no month"),
    *("２026-03-02 09:00:00,001 INFO app.users: wide", "2026-03-02 09:00:00,00é INFO app.users: x", "2026-03-02 09:00:00,1"),
    *("2026-03-02x09:00:00,001 INFO app.users: x", "<190>1 2026-03-02T09:00:00.000000+00:00 host app web.1 - drained"),
)  # fmt: skip


@cache
def catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def rows_of(lines: list[str], *, tally: Tally) -> pl.DataFrame:
    frame = pl.DataFrame({"message": lines}, schema={"message": pl.String}).with_row_index("i")
    number = pl.col("i").cast(pl.Int64)
    work = blank_rows(frame.select("message", i=number, line=number, lines=pl.lit(1, dtype=pl.Int64)))
    return read_texts(work, Layers(catalog(), catalog().text, catalog().json), CLOCK, tally, last=True).rows


stamped = st.builds(
    lambda stamp, second, part, rest: stamp.format(s=second % 60, f=part) + rest,
    st.sampled_from(STAMPS), st.integers(0, 59), st.integers(0, 999), st.sampled_from(BEHIND),
)  # fmt: skip


@settings(max_examples=16, deadline=None)
@given(
    stamp=st.sampled_from(STAMPS),
    behind=st.lists(st.sampled_from(BEHIND), min_size=1, max_size=3),
    others=st.lists(st.tuples(st.integers(0, 200), st.one_of(st.sampled_from(ODD), stamped)), max_size=12),
    every=st.sampled_from((1, 7, 1_000)),
)
def test_a_cut_header_is_read_as_its_whole_regex_reads_it(
    stamp: str, behind: list[str], others: list[tuple[int, str]], every: int
) -> None:
    lines = [stamp.format(s=n // every % 60, f=n * 37 % 1000) + behind[n % len(behind)] for n in range(150)]
    for place, line in others:
        lines.insert(place, line)
    tally, plain = Tally(), Tally()
    cut = rows_of(lines, tally=tally)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textrows, "read_leads", lambda *_args, **_named: None)
        assert cut.equals(rows_of(lines, tally=plain), null_equal=True)
    assert tally == plain


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("every", [1, 30])
def test_all_headers_behind_all_stamps_are_read_alike(stamp: str, every: int) -> None:
    for behind in BEHIND:
        lines = [stamp.format(s=n // every % 60, f=n * 37 % 1000) + behind for n in range(80)]
        tally, plain = Tally(), Tally()
        cut = rows_of(lines, tally=tally)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(textrows, "read_leads", lambda *_args, **_named: None)
            assert cut.equals(rows_of(lines, tally=plain), null_equal=True), behind
        assert tally == plain


def test_what_a_pattern_must_look_like_to_be_cut() -> None:
    names = {f.name for f in catalog().text if behind_stamp(f.pattern, dotted=False) is not None}
    assert {"python-logging", "heroku", "heroku-router", "kubernetes-cri", "spring-boot"} <= names
    assert names.isdisjoint({"access", "stamped", "stamped-level", "zap-console", "lambda-platform"})


def test_a_batch_of_too_few_rows_or_of_other_shapes_is_left_to_the_regex() -> None:
    line = "2026-03-02 09:00:00,001 INFO app.users: cache miss"
    assert read_leads(pl.Series([line] * 10), (), CLOCK, timed=True) is None
    assert read_leads(pl.Series([line] * 40 + ["x"] * 60), (), CLOCK, timed=True) is None
    leads = read_leads(pl.Series([line] * 100), (), CLOCK, timed=True)
    assert leads is not None
    assert leads.fits is None
    assert leads.unzoned
    found = leads.groups(catalog()["python-logging"])
    assert found is not None
    assert found[1].all()
