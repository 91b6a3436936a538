"""Further lines of a message below a header that names its writer: journalctl sets them in by the header's width."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from triage.intake.formats import Format
from triage.intake.rows import WORK
from triage.intake.sources import SET_IN

_NAMES = ("service", "instance", "stream")
_SET_IN = SET_IN.decode()


def names_above(formats: Sequence[Format]) -> bool:
    """Whether one of these formats is of a header in front of text that names the program which wrote it."""
    return any(f.kind == "text" and f.unwraps and f.header == "plain" and "service" in f.groups for f in formats)


class SetIn:
    """The last row of a source that had a header, and how far what follows it was set in."""

    def __init__(self) -> None:
        self._above: pl.DataFrame | None = None

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """WORK rows in input order, those without a header that are set in with the names of the row above that has one, and no
        further set in than the first of them."""
        first = self._above.height if self._above is not None else 0
        both = pl.concat([self._above, rows]) if self._above is not None else rows
        headed = both["chain"] != ""
        if not headed.any():
            return rows
        set_in = ~headed & both["message"].str.starts_with(_SET_IN).fill_null(False)
        last = headed.arg_true()[-1]
        behind = set_in.slice(last + 1).arg_true().head(1)
        self._above = both[[last, *(last + 1 + behind)]]
        if not set_in.any():
            return rows
        table = both.with_columns_seq(
            run=headed.cum_sum(), set_in=set_in, blanks=pl.col("message").str.extract("^( *)", 1).str.len_bytes()
        )
        moved = pl.min_horizontal("blanks", pl.col("blanks").filter("set_in").first().over("run"))
        below = {"message": pl.col("message").str.slice(moved), **{n: pl.col(n).first().over("run") for n in _NAMES}}
        fixed = table.with_columns_seq(
            pl.when("set_in").then(value).otherwise(name).alias(name) for name, value in below.items()
        )
        return fixed.slice(first).select_seq(list(WORK))
