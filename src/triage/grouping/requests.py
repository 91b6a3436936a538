"""Ids of requests that a program writes into its message, where no field of its own holds one."""

from __future__ import annotations

import polars as pl

_OF = ("request", "req", "trace", "correlation")
WORDS = tuple(f"{word}{between}id" for word in _OF for between in ("", "_", "-"))  # one stands in front of each such id
_SAID = (
    rf"(?i)\b(?:x[_-])?(?:{'|'.join(_OF)})[_-]?id"
    r"[\"']?\s{0,2}[=:]\s{0,2}[\"']?"
    r"([0-9a-z][0-9a-z_-]{5,63})\b"
)


def said_traces(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `trace` taken from the message where it is null and the message names the request."""
    if not rows["trace"].null_count():
        return rows
    said = pl.when(pl.col("trace").is_null()).then(pl.col("message")).str.extract(_SAID, 1)
    return rows.with_columns(trace=pl.coalesce("trace", said))
