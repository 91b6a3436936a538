"""Classes of rows: equal rows have one number, and it stands for what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import triage.coding
import triage.grouping.masks
import triage.summary
from test_summary import assert_same, events, rows, summary
from triage.coding import CLASS, code
from triage.errors import PackError
from triage.grouping.masks import merge_routes, route_template
from triage.packs import read_pack
from triage.schema import LEVEL, LEVELS

WORDS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "Ä", "\x00"]), st.text(max_size=3))
CELLS = st.lists(
    st.tuples(WORDS, WORDS, st.one_of(st.none(), st.sampled_from(LEVELS)), st.one_of(st.none(), st.integers(-3, 600)))
)
SCHEMA = {"one": pl.String(), "two": pl.String(), "level": LEVEL, "status": pl.Int64()}


@given(cells=CELLS, sparse=st.sampled_from([1, 7, 1 << 16]), table=st.sampled_from([1, 1 << 22]))
@settings(max_examples=40, deadline=None)
def test_a_class_stands_for_the_values_of_its_rows(cells: list[tuple[object, ...]], sparse: int, table: int) -> None:
    frame = pl.DataFrame(cells, schema=SCHEMA, orient="row").with_row_index("n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triage.coding, "_SPARSE", sparse)
        patch.setattr(triage.coding, "_LOOKED_UP", table)
        coded = code(frame, list(SCHEMA), few=0)
        known = code(frame.select("n", "status", "level"), ["status", "level"], few=0)
        more = code(frame.select("n", "one", "two"), ["one", "two"], known=known)
    assert coded.name(coded.rows).select(*SCHEMA, "n").equals(frame.select(*SCHEMA, "n"))
    assert more.name(more.rows).select(*SCHEMA, "n").equals(frame.select(*SCHEMA, "n"))
    assert coded.classes is not None
    assert coded.classes.is_duplicated().sum() == 0
    if cells:
        assert coded.rows[CLASS].n_unique() == coded.classes.height


def test_few_rows_are_left_as_they_are() -> None:
    frame = pl.DataFrame({"one": ["a", None], "n": [1, 2]})
    coded = code(frame, ["one"])
    assert coded.keys == ("one",)
    assert coded.name(coded.rows).equals(frame)


@given(
    st.lists(
        st.lists(
            st.sampled_from(["/", "12", "a", "?", "#", ";", "://", "//", "http", "7b", "\n", ".", "{id}", "-9"]),
            max_size=9,
        ),
        min_size=1,
    )
)
@settings(max_examples=50, deadline=None)
def test_merged_routes_have_the_templates_of_the_routes(parts: list[list[str]]) -> None:
    routes = pl.Series("route", ["".join(each) for each in parts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triage.grouping.masks, "_MANY", 0)
        merged = merge_routes(routes)
    assert route_template(merged).equals(route_template(routes))


@settings(deadline=None, max_examples=20)
@given(listed=rows, many=st.sampled_from([0, 1, 1_000]))
def test_a_summary_is_the_same_by_classes(listed: list[dict[str, Any]], many: int) -> None:
    frame = events(listed)
    plain = summary(frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triage.coding, "FEW", 0)
        patch.setattr(triage.summary, "_MANY_CLASSES", many)
        assert_same(summary(frame), plain)


def test_a_pack_is_read_as_yaml_says(tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text("a: &one [1, x, null, 2.5, yes]\nb: {<<: {c: [d]}, e: *one}\n? 7\n: {}\n", encoding="utf-8")
    list_of = [1, "x", None, 2.5, True]
    assert read_pack(path) == {"a": list_of, "b": {"c": ["d"], "e": list_of}, 7: {}}


def test_a_pack_that_holds_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text("a: &one [1, *one]\n", encoding="utf-8")
    with pytest.raises(PackError, match=r"pack\.yaml"):
        read_pack(path)
