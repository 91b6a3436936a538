"""Requests of which several entries tell: each line that a function writes carries the request that it answered."""

from __future__ import annotations

import polars as pl

REACH = 4_096  # lines: entries of one request stand no further apart


class Retold:
    """What was told of the requests of one source so far, as far as it reaches."""

    def __init__(self) -> None:
        self._before = pl.DataFrame(schema={"line": pl.Int64(), "trace": pl.String()})

    def once(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, in input order, with the status of each request at the first of its entries alone, wherever rows are cut."""
        asked = pl.col("status").is_not_null() & pl.col("trace").is_not_null()
        told = rows.select_seq("line", "trace", row=pl.int_range(pl.len())).filter(rows.select_seq(asked).to_series())
        if not told.height:
            return rows
        both = pl.concat([self._before, told.drop("row")])
        near = (
            both.select_seq(pl.col("line") - pl.col("line").shift(1).over("trace") <= REACH)
            .to_series()
            .fill_null(False)
        )
        self._before = both.filter(both["line"] > both["line"][-1] - REACH)
        again = told["row"].filter(near.tail(told.height))
        return rows.with_columns_seq(rows["status"].scatter(again, None)) if len(again) else rows
