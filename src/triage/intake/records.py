"""Lines that stand together to records: message, stack, and what was left out of them."""

from __future__ import annotations

import polars as pl

from triage.schema import EVENTS, INTAKE, LEVEL, conform

LINE_CAP = 1_000
BYTE_CAP = 256 * 1024
# in the letters of one record, where its trace starts
_OPENING = r"[tops]|[eq][xymnwvbe]{0,40}[fqk]|r[xymnwvbe]{0,40}f|y[fq]|kf|f|q"
_LAST_HEADLINE = r"^(.*[fnktx]b{0,9})[eyv]"
_CUT = r"t[^eyv]*$"
_CRASH = r"^[op].*f"

_WORDY = r"[A-Za-z](?:Error|Exception|Throwable|Panic|Fault)\b"
_RAISES = r"[A-Za-z](?:Error|Exception)\s*:?\s*$"
_GROUP = r"(?m)^[ \t]*\|[ \t]+([A-Za-z_][A-Za-z0-9_.]*: .*\([0-9]+ sub-exceptions?\))[ \t]*$"
_PREFIX = r'^Exception in thread "[^"]*" '
# an entry of MySQL's slow log, whose first line is the time: who asked, how long it took, the statement
_STATEMENT = (
    r"(?s)^# Time: [^\n]*\n(?:# (User@Host:[^\n]*)\n)?# (Query_time:[^\n]*[^\s])\s*\n(?:#[^\n]*\n)*(?:use [^\n]*;\n)?"
    r"(?:SET timestamp=[0-9]+;\n)?(.+)$"
)


def build(rows: pl.DataFrame, out: pl.Series, lines: pl.DataFrame | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """EVENTS of the complete records in order of position, and INTAKE rows for blanks and shortened records."""
    events = rows.with_columns_seq(stack=pl.lit(None, dtype=pl.String), truncated=pl.lit(False))
    if lines is None or lines.height == 0:
        return conform(events.filter(~out) if out.any() else events, EVENTS), pl.DataFrame(schema=INTAKE)
    made = _describe(lines.filter(~pl.col("blank")))
    if made.height:
        events = _put_together(events, made)
    events = events.filter(~out) if out.any() else events
    told = [_notice(rows, out, made.filter(flag)["record"], text) for flag, text in _TOLD.items()]
    blank = lines.filter("blank")
    return conform(events, EVENTS), _account(pl.concat(told), rows[blank["row"]])


def _put_together(events: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """The rows with what was made of those that records of several lines start with: they are few, so only they are touched."""
    at = made["record"]
    own = events.select_seq("message", "level", "kind")[at]
    level, message = own["level"], made["_message"].zip_with(made["_message"].is_not_null(), own["message"])
    if message.str.starts_with("# Time: ").any():
        message = message.str.replace(_STATEMENT, "$2: $3\n$1").str.strip_chars_end("\n")
    calm = level.is_null() | (made["_crash"] & (level <= pl.Series(["INFO"], dtype=LEVEL)))
    uncaught = (calm & made["_stack"].is_not_null() & (own["kind"] == "app")).fill_null(False)
    return events.with_columns_seq(
        events["message"].clone().scatter(at, message),
        events["stack"].clone().scatter(at, made["_stack"]),
        events["truncated"].clone().scatter(at, made["_cut"].fill_null(False)),
        events["lines"].clone().scatter(at, made["_lines"]),
        events["line"].clone().scatter(at, made["_line"]),
        events["level"].clone().scatter(at, level.zip_with(~uncaught, pl.Series(["ERROR"], dtype=LEVEL))),
    )


def _account(told: pl.DataFrame, blank: pl.DataFrame) -> pl.DataFrame:
    """An INTAKE row for each source with dropped blanks or with a notice."""
    blanks = blank.group_by("source").agg(pl.col("lines").sum().alias("blank"))
    if blanks.height + told.height == 0:
        return pl.DataFrame(schema=INTAKE)
    notices = told.group_by("source").agg(pl.col("notice").sort())
    both = blanks.join(notices, on="source", how="full", coalesce=True).sort("source")
    return conform(
        both.select_seq(
            "source",
            bytes=pl.lit(0),
            lines=pl.lit(0),
            blank=pl.col("blank").fill_null(0),
            rejected=pl.lit(0),
            notices=pl.col("notice").fill_null(pl.lit([], dtype=pl.List(pl.String))),
        ),
        INTAKE,
    )


_NOTICE = {"source": pl.String, "notice": pl.String}
_TOLD = {
    "_capped": f"a record longer than {LINE_CAP:,} lines or {BYTE_CAP // 1024} KiB keeps head and tail",
    "_ended": "a traceback ends before its exception, as when a process is killed",
}


def _notice(rows: pl.DataFrame, out: pl.Series, records: pl.Series, text: str) -> pl.DataFrame:
    """A sentence for each of these records that is complete: the summary adds up equal ones."""
    sources = rows["source"].gather(records.filter(~out.gather(records)))
    return pl.DataFrame({"source": sources, "notice": [text] * len(sources)}, schema=_NOTICE)


def _describe(lines: pl.DataFrame) -> pl.DataFrame:
    """Message and stack of every record of several lines: record, _lines, _line, _message, _stack, _cut, _capped, _ended, _crash."""
    record = pl.col("record")
    # a header that looks like a crash and has nothing below it is a message: whether it was looked at depends on its neighbours
    crash = pl.col("own").str.contains("^[top]") & pl.col("bare")
    several = record.eq_missing(record.shift(1)) | record.eq_missing(
        record.shift(-1)
    )  # lines of a record stand together
    table = lines.filter(several | crash | (pl.col("_left") > 0))
    table = table.group_by("record", maintain_order=True).agg(
        "text",
        pl.col("own").str.join("").alias("own"),
        pl.col("_left").filter("lead").sum().alias("left"),
        pl.col("lines").sum().alias("_lines"),
        pl.col("line").min().alias("_line"),
        pl.col("bare").any().alias("bare"),
    )
    table = table.filter((pl.col("own").str.len_bytes() > 1) | crash | (pl.col("left") > 0))
    if table.height == 0:
        return table.select_seq(
            "record",
            "_lines",
            "_line",
            _message=pl.lit(None, dtype=pl.String),
            _stack=pl.lit(None, dtype=pl.String),
            _cut=pl.lit(False),
            _capped=pl.lit(False),
            _ended=pl.lit(False),
            _crash=pl.lit(False),
        )
    own, text = pl.col("own"), pl.col("text")
    # a remark with more of it below, as a dump of threads, raises nothing
    found = pl.when(~own.str.starts_with("rk")).then(own.str.find(_OPENING).cast(pl.Int64))
    named = text.list.get(found - 1, null_on_oob=True).str.contains(_WORDY)
    raises = text.list.first().str.contains(_RAISES)
    table = table.with_columns_seq(
        # frames below a line that names an exception somewhere: that line is their headline; or the first one, where it
        # ends with the name and the message stands in the lines between
        at=pl.when((found > 0) & (own.str.slice(found, 1) == "f"))
        .then(pl.when(named).then(found - 1).when(raises).then(0).otherwise(found))
        .otherwise(found),
        capped=(text.list.len() + pl.col("left") > LINE_CAP),
    )
    table = table.with_columns_seq(trace=own.str.slice(pl.col("at")))
    last = pl.col("trace").str.extract(_LAST_HEADLINE, 1).str.len_bytes().cast(pl.Int64)
    opening = pl.col("trace").str.head(1)
    first_e = pl.col("trace").str.find("e").cast(pl.Int64)
    first_s = pl.col("trace").str.find("s").cast(pl.Int64)
    line = text.list.slice(pl.col("at"))
    top = line.list.first().str.replace(_PREFIX, "").str.strip_chars()
    joined = pl.concat_str([top, line.list.get(1, null_on_oob=True).fill_null("")], separator=" ").str.strip_chars()
    python = pl.col("trace").str.contains("t", literal=True) | opening.is_in(["s"])
    stack = (
        pl.when(pl.col("capped"))
        .then(_ends(line, pl.col("left")))
        .otherwise(line.list.join("\n"))
        .str.strip_chars_end("\n ")
    )
    head = text.list.head(pl.col("at"))
    whole = pl.when(pl.col("capped")).then(_ends(text, pl.col("left"))).otherwise(text.list.join("\n"))
    table = table.with_columns_seq(
        stack=stack,
        headline=pl.when(python & last.is_not_null())
        .then(line.list.get(last, null_on_oob=True))
        .when((opening == "o") & first_s.is_not_null())  # the sentence that names the crash stands below its opening
        .then(line.list.get(first_s, null_on_oob=True))
        .when(opening == "p")
        .then(pl.when(first_e.is_not_null()).then(line.list.get(first_e, null_on_oob=True)).otherwise(joined))
        .otherwise(top),
        before=head.list.join("\n").str.strip_chars_end("\n "),
        whole=whole.str.strip_chars_end("\n "),
    ).with_columns_seq(group=pl.when(python & last.is_null()).then(pl.col("stack").str.extract(_GROUP, 1)))
    big = pl.col("stack").str.len_bytes().fill_null(0).ge(BYTE_CAP) | pl.col("whole").str.len_bytes().ge(BYTE_CAP)
    incomplete = python & pl.col("trace").str.contains(_CUT) & pl.col("group").is_null()
    return table.select_seq(
        "record",
        "_lines",
        "_line",
        _message=_fit(
            pl.when(pl.col("at").is_null())
            .then(pl.col("whole"))
            .when(pl.col("before") != "")
            .then(pl.col("before"))
            .otherwise(pl.coalesce("group", "headline"))
        ),
        _stack=_fit(pl.when(pl.col("at").is_not_null()).then(pl.col("stack"))),
        _cut=(incomplete.fill_null(False) | pl.col("capped") | big),
        _capped=pl.col("capped") | big,
        # some runtimes print the exception above its traceback, and nothing below
        _ended=incomplete.fill_null(False) & ~pl.col("own").str.starts_with("e"),
        _crash=own.str.contains(_CRASH),
    )


def _ends(lines: pl.Expr, left: pl.Expr) -> pl.Expr:
    """Head and tail of a long list of lines, as text."""
    half = LINE_CAP // 2
    gap = pl.format("... {} lines left out ...", (lines.list.len() + left - 2 * half).clip(0))
    return pl.concat_str(
        [lines.list.head(half).list.join("\n"), gap, lines.list.tail(half).list.join("\n")], separator="\n"
    )


def _fit(text: pl.Expr) -> pl.Expr:
    """The text, or head and tail of one that is larger than the cap."""
    half = BYTE_CAP // 2
    long = pl.concat_str([text.str.head(half), pl.lit("\n... left out ...\n"), text.str.tail(half)])
    return pl.when(text.str.len_bytes() > BYTE_CAP).then(long).otherwise(text)
