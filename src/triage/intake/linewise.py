"""Tracebacks that a program logs line by line: a header whose text can only go on the trace above it heads nothing."""

from __future__ import annotations

import re

import polars as pl

from triage.intake.letters import classify
from triage.intake.nearness import far
from triage.schema import LEVEL

LINED = "_lined"  # the column that tells which rows had a header that headed nothing
# A traceback in the letters of `letters.py`, by its text alone: nothing in here may lie about a line of its own. An
# upper-case letter is a row that another writer, another level or time parts from the one in front of it, U is bare text, B a
# bare blank.
# Whatever part of it is there so far, the same rows go on: where the input was cut changes nothing.
_SAID = r"[ey](?:b{0,2}m)*"  # an exception, and the details of its message
# its exception comes last; who logs it says so in front of it
_OPEN = rf"(?:[^bBtTU]k?t|[tT])f[fnk]*(?:(?:{_SAID})?b{{0,9}}sb{{0,9}}t[fnk]*)*(?:{_SAID}b{{0,9}}(?:sb{{0,9}})?)?"
_REPORT = r"[pP][xemo][fnk]*"  # a report says in its next line what happened
_LAST = r"(?:d{0,2}l)?"  # blank lines, and what a runtime says at its end
_TRACE = re.compile(rf"{_OPEN}|{_REPORT}|[^bBtT][fq][fnkqm]*{_LAST}|[UB]{_LAST}")
_PROCESS = r"^<\d+(?:\.\d+)+>$"  # of Erlang, as RabbitMQ names it in its header
_AT_ONCE_US = 50  # between the lines of one message: what is said in two is further apart, or has no such fine stamps
_GOES_ON = list("fqnkmebst")  # letters that a header may go on with, and y of WARNING and above
_LOUD = (pl.col("level") >= pl.lit("WARNING", dtype=LEVEL)).fill_null(False)
_ASKS = pl.col("message").str.ends_with(":").fill_null(False)
_SHORT = (pl.col("message").str.len_bytes() < 24).fill_null(False)
_INDENTED = (pl.col("message") < "!").fill_null(False)
_MAY_REPEAT = (_LOUD & pl.col("logger").str.contains(_PROCESS)).fill_null(False)


def joined(rows: pl.DataFrame, patterns: dict[str, str], stream: str, complete: pl.Expr) -> pl.DataFrame:
    """The rows, those that go on a trace without their header and marked in LINED; in order of position.

    A frame or a cause goes on what its writer said right above it at the same level, or at whatever level where its own
    is that of its transport; code, blanks and the headline go on a trace that asks for them, and the message below a
    report, where both have the same level or none. `stream` names the column
    that tells writers apart, `complete` which rows are records of their own whatever they say.
    """
    parts = "|".join(patterns[kind] for kind in ("frame", "cause") if kind in patterns)
    if not parts:
        return rows
    own = (pl.col("header").fill_null(False) & ~complete) | pl.col(LINED)
    asked = [(_LOUD | _INDENTED, parts)]
    asked += [(which, patterns[kind]) for which, kind in ((_ASKS, "report"), (_SHORT, "last")) if kind in patterns]
    hits = pl.concat([_matching(rows, own & which, pattern) for which, pattern in asked]).unique().sort()
    if not hits.len():
        return rows
    light = rows.select_seq(
        "_pos", "at", "level", "logger", key=stream, own=own, loud=_LOUD, complete=complete,
        row=pl.int_range(pl.len(), dtype=pl.Int64), bare=~pl.col("header").fill_null(False),
    )  # fmt: skip
    light = light.with_columns_seq(hit=pl.lit(pl.Series([False]).new_from_index(0, rows.height).scatter(hits, True)))
    light = light.filter(pl.col("key").is_in(light["key"].gather(hits).unique().implode()) & ~pl.col("complete"))
    light = light.sort("key", maintain_order=True).with_columns_seq(parted=_parted())
    run = pl.col("parted").cum_sum()
    light = light.filter(pl.col("hit").any().over(run))
    letters = _letters(rows["message"].gather(light["row"]).fill_null("\n"), light, patterns)
    word = letters.str.join("").item()
    spans = [match.span() for match in _TRACE.finditer(word)]
    on = [place for start, end in spans for place in range(start + 1, end)]
    if not on:
        return rows
    lined = pl.Series([False]).new_from_index(0, rows.height).scatter(light["row"].gather(on), True)
    return rows.with_columns_seq(header=pl.col("header") & ~pl.lit(lined), **{LINED: pl.col(LINED) | pl.lit(lined)})


def repeated_headers(rows: pl.DataFrame, stream: str, complete: pl.Expr) -> pl.DataFrame:
    """The rows, those without their header and marked in LINED that are further lines of what an Erlang process says at once: RabbitMQ
    writes its header in front of each. `stream` and `complete` as in `joined`."""
    if rows["logger"].null_count() == rows.height:
        return rows
    at = rows.select_seq((_MAY_REPEAT & ~complete).arg_true()).to_series()
    if at.len() < 2:
        return rows
    order = rows.select_seq(stream, row=pl.int_range(pl.len(), dtype=pl.Int64))
    order = order.with_columns_seq(place=pl.col("row").rank("ordinal").over(stream))  # among the rows of its writer
    told = rows.select_seq("at", "level", "logger", key=stream)[at].hstack(order.select_seq("row", "place")[at])
    told = told.sort("key", "place")
    alike = [pl.col(name) == pl.col(name).shift(1) for name in ("key", "level", "logger")]
    near = (pl.col("at") - pl.col("at").shift(1)).dt.total_microseconds().abs() <= _AT_ONCE_US
    fine = pl.col("at").to_physical() % 1_000 != 0
    goes_on = pl.all_horizontal(*alike, near, fine, pl.col("place") == pl.col("place").shift(1) + 1).fill_null(False)
    found = told.filter(goes_on)["row"].sort()
    if not found.len():
        return rows
    on = pl.Series([False]).new_from_index(0, rows.height).scatter(found, True)
    return rows.with_columns_seq(header=pl.col("header") & ~pl.lit(on), **{LINED: pl.col(LINED) | pl.lit(on)})


def may_repeat(rows: pl.DataFrame) -> pl.Series:
    """Which of these rows might be such further lines, if the first one were above them."""
    return rows.select_seq(_MAY_REPEAT).to_series()


def _matching(rows: pl.DataFrame, asked: pl.Expr, pattern: str) -> pl.Series:
    """The indices of these rows whose text matches."""
    found = rows.select_seq(asked.arg_true()).to_series()
    return found.filter(rows["message"].gather(found).str.contains(pattern).fill_null(False)) if found.len() else found


def may_go_on(rows: pl.DataFrame, letters: pl.Series) -> pl.Series:
    """Which of these headers, by the letters of their first lines, might go on a trace, if one were above them."""
    letter = pl.lit(letters)
    told = rows["message"].is_not_null()
    return rows.select_seq((letter.is_in(_GOES_ON) | ((letter == "y") & _LOUD)) & pl.lit(told)).to_series()


def _parted() -> pl.Expr:
    """Whether a row cannot go on the one in front of it, whatever it says."""
    other = (pl.col("key") != pl.col("key").shift(1)).fill_null(True)
    logger = (pl.col("logger") != pl.col("logger").shift(1)).fill_null(False)  # not every line names its own
    level = (pl.col("level") != pl.col("level").shift(1)).fill_null(False) & pl.col("loud")
    return other | logger | level | far().fill_null(True)


def first_lines(texts: pl.Series) -> pl.Series:
    """The first line of each text."""
    return texts.str.extract(r"^([^\n]*)", 1).str.strip_chars_end("\r")


def _letters(texts: pl.Series, light: pl.DataFrame, patterns: dict[str, str]) -> pl.Series:
    own = pl.lit(classify(first_lines(texts), patterns))
    letter = (
        pl.when(~pl.col("own"))
        .then(pl.when(own == "b").then(pl.lit("B")).otherwise(pl.lit("U")))
        .when(pl.lit(texts == "\n"))
        .then(pl.lit("d"))
        .when((own == "t") & ~pl.col("loud"))
        .then(pl.lit("T"))
        .when((own.is_in(["f", "q", "p"]) & ~pl.col("hit")) | ((own == "y") & ~pl.col("loud")))
        .then(pl.lit("x"))
        .when(pl.col("hit") & (own == "k"))
        .then(pl.lit("l"))
        .otherwise(own)
    )
    other = pl.col("level").ne_missing(pl.col("level").shift(1)) & (letter.shift(1) == "p")
    letter = pl.when(other).then(pl.lit("z")).otherwise(letter)
    return light.select_seq(pl.when("parted").then(letter.str.to_uppercase()).otherwise(letter)).to_series()
