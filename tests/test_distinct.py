"""What is asked once for each distinct value gives what asking every value would."""

from __future__ import annotations

import polars as pl
import pytest

from triage.intake.distinct import on_distinct


@pytest.mark.parametrize("values", [[None] * 5_000, ["a"] * 5_000, ["a", None] * 2_500, ["a"], []])
def test_the_answer_has_the_type_of_the_change_whatever_the_values_are(values: list[str | None]) -> None:
    series = pl.Series("x", values, dtype=pl.String)
    found = on_distinct(series, lambda texts: texts.str.contains("a"))
    assert found.dtype == pl.Boolean
    assert found.to_list() == series.str.contains("a").to_list()
