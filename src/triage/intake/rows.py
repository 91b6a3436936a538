"""What a format found in entries becomes columns: the step that text and JSON formats share."""

from __future__ import annotations

import re

import polars as pl
from msgspec import Struct

from triage.intake.distinct import changed, on_distinct, plain_texts
from triage.intake.formats import UNITS_MS, Format
from triage.intake.levels import read_levels
from triage.intake.times import Clock, Stamps, read_times
from triage.schema import KIND, ROWS, TIME

# ROWS while they are being read: `i` orders, `open` says that the message may hold another layer, `part` that the
# entry goes on in the next one, `chain` names the formats that read it, outermost first.
WORK: dict[str, pl.DataType] = {
    "i": pl.Int64(),
    **{n: t for n, t in ROWS.items() if n != "source"},
    "open": pl.Boolean(),
    "part": pl.Boolean(),
    "chain": pl.String(),
}
CONTINUES = (
    r"^(?:\t| {2}|\u{a0}|Traceback \(most recent call last\)|Caused by: |\.\.\. [0-9]+ (?:more|common)|During handling of the above|"
    r"The above exception was|at [\w.$<>/]+\(|\^+$|\"?[)\]}]+[,;]?[ \t]*(?:\[\])?$|$"
    # the headline behind a trace's frames: a name that ends like an exception's, or that stands in a module of them
    r"|(?-u:(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure|Fault|Interrupt)(?:: |:?$))"
    r"|(?-u:(?:[A-Za-z_]\w*\.)+(?:errors?|exc|exceptions?)\.[A-Z]\w*(?:: |$))"
    # what Elixir tells below an exception of its own: which argument, and of what state the process was
    r"| ?\* [0-9]+(?:st|nd|rd|th) argument: |Last message(?: \(from [^)]*\))?: |State: [%\[{]"
    # lines of a trace that start at the margin: Go, Ruby, PHP, Dart and gdb, .NET, Rust, Elixir, sanitizers
    r"|goroutine [0-9]+ [^\n]*\[[^\]]+\]:?$|created by [^ ]+\.|\[signal SIG"
    r"|(?-u:(?:[\w.~%*-]+/)*[\w-]+(?:\.[\w.*()\[\]-]+)+\((?:0x[0-9a-f]+|\.\.\.|[{}?_, ]|[0-9])*\)$)"
    r"|(?:from )?[^ :]+:[0-9]+:in [`'][^']*'(?:$|: [^\n]* \([A-Z][\w:]*\)$)|#[0-9]+ +[^ ]|(?i:stack (?:backtrace|traceback|trace)):$|<asynchronous suspension>|\[stacktrace\]$"
    r"| (?:--->|---?>|at) |--- End of |note: |\*\* \([A-Z]|==[0-9]+==|SUMMARY: \w+Sanitizer"
    r"|exit status [0-9]+$|panic\([^ ]|Next [A-Z][\w\\]+(?:: | in )|\[previous exception\] |0x[0-9a-f]+ is located |(?:READ|WRITE) of size "
    r"|(?:KeyboardInterrupt|SystemExit|StopIteration)(?:: |$)"
    r"|LINE [0-9]+: |DETAIL:  |HINT:  |\[SQL: |\(Background on this error|For more information check: https?://)"  # and what libraries add to it
)
WRITER = "pid "  # in front of the number of the process that wrote a line
_NAMES = ("service", "instance", "deployment", "trace", "logger", "method", "stream")
_MIRRORS = ("info", "error")  # what a transport calls stdout and stderr
_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*"
RAISED = ("Exception", "Error", "Throwable")
_NIL = ("-", "", "null", "undefined")


class Tally(Struct):
    """What had to be assumed while a source was read; the one thing here that changes."""

    zone: int = 0
    year: int = 0


def blank_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with all columns of WORK, those it lacks empty."""
    have = frame.columns
    empty = {
        "kind": pl.lit("app", dtype=KIND),
        "header": pl.lit(False),
        "open": pl.lit(True),
        "part": pl.lit(False),
        "chain": pl.lit(""),
    }
    return frame.with_columns_seq(
        empty.get(name, pl.lit(None, dtype=dtype)).alias(name) for name, dtype in WORK.items() if name not in have
    ).select_seq(list(WORK))


def fill(frame: pl.DataFrame, entry: Format, clock: Clock, tally: Tally) -> pl.DataFrame:
    """WORK rows with what `entry` found in them (columns g_FIELD and k_N of the frame) put in its place.

    Times come from the outermost layer that has one, levels and texts from the innermost, names from the outermost.
    """
    have = set(frame.columns)
    new: dict[str, pl.Expr | pl.Series] = {}
    structured = pl.col("g_structured") if "g_structured" in have else pl.lit(False)

    kind: pl.Expr = pl.lit(entry.row, dtype=KIND)
    guessed = entry.aliases or entry.requests or {"method", "route", "status"} <= entry.also.keys()
    if entry.row == "app" and {"g_method", "g_route", "g_status"} <= have and guessed:
        kind = (
            pl.when(pl.all_horizontal(pl.col("g_method", "g_route", "g_status").is_not_null()))
            .then(pl.lit("access", dtype=KIND))
            .otherwise(kind)
        )
    for n, rule in reversed(list(enumerate(entry.kinds))):
        if f"k_{n}" in have:
            kind = pl.when(pl.col(f"k_{n}")).then(pl.lit(rule.kind, dtype=KIND)).otherwise(kind)
    frame = frame.with_columns_seq(kind.alias("kind"), structured.alias("g_structured"))
    own = pl.col("kind") == "app"

    if "g_time" in have:
        new["at"] = pl.col("g_time").alias("at")
    elif "g_at" in have and (missing := frame["at"].null_count()):
        text = (
            frame["g_at"]
            if missing == len(frame)
            else frame["g_at"].zip_with(frame["at"].is_null(), pl.Series([None], dtype=frame["g_at"].dtype))
        )
        stamps = Stamps(text) if text.dtype == TIME else read_times(text, entry.times, clock=clock)
        tally.zone += stamps.zone_assumed
        tally.year += stamps.year_assumed
        new["at"] = pl.coalesce("at", stamps.at.alias("g_time")) if missing < len(frame) else stamps.at.alias("at")
    if "g_level" in have:
        words = frame["g_level"]
        level: pl.Expr = pl.lit(read_levels(words, entry.levels).alias("g_read"))
        if entry.transport_level == "stream":
            mirrored = own & ~pl.col("g_structured") & pl.lit(plain_texts(words)).str.to_lowercase().is_in(_MIRRORS)
            level = pl.when(~mirrored).then(level)
        elif entry.transport_level == "journal" and "g_stream" in have:
            level = pl.when(~(own & (pl.col("g_stream") == "stdout") & (pl.lit(plain_texts(words)) == "6"))).then(level)
        new["level"] = level if frame["level"].null_count() == len(frame) else pl.coalesce(level, "level")
    empty = {n for n in _NAMES if frame[n].null_count() == len(frame)}
    for name in ("service", "instance", "deployment"):
        if f"g_{name}" in have:
            named = _names(frame[f"g_{name}"], entry, name)
            new[name] = named if name in empty else pl.coalesce(name, named)
    for name in ("trace", "logger", "method", "stream"):
        if f"g_{name}" in have:
            named = _names(frame[f"g_{name}"], entry, name)
            new[name] = named if name in empty else pl.coalesce(named, name)
    if entry.transport_level == "journal" and "g_stream" in have:
        new["stream"] = pl.when(pl.col("g_stream") == "stdout").then(pl.lit("stdout"))
    elif entry.kind == "text" and entry.header == "plain" and "g_service" in have and "stream" in empty:
        pid = pl.Series(frame["g_service"]).str.extract(r"\[([0-9]+)\]$", 1)
        if pid.null_count() < len(pid):
            new["stream"] = WRITER + pid  # two processes of one program write between each other's lines
    if "g_route" in have:
        new["route"] = pl.coalesce(pl.lit(_paths(frame["g_route"])), "route")
    if "g_status" in have:
        new["status"] = pl.coalesce(pl.lit(changed(frame["g_status"], _statuses)), "status")
    if "g_latency" in have:
        new["latency_ms"] = pl.coalesce(pl.lit(milliseconds(frame["g_latency"], entry.latency)), "latency_ms")
    if "g_exit_code" in have:
        new["exit_code"] = pl.coalesce(pl.col("g_exit_code").cast(pl.Int64, strict=False), "exit_code")
    if "g_fields" in have:
        new["fields"] = pl.coalesce("g_fields", "fields")
    if entry.kind == "json" and "g_exception" in have:
        frame = frame.with_columns_seq(changed(frame["g_exception"], _decoded))
    new["message"] = _message(entry, have)
    if entry.kind == "text" and entry.message == "rest" and "g_logger" in have:
        # "ERROR [main] java.lang.IllegalStateException: no pool" names no logger
        raised = [name for name in frame["g_logger"].unique().drop_nulls() if name.endswith(RAISED)]
        if raised:
            names = pl.col("g_logger").is_in(raised)
            new["message"] = pl.when(names).then(pl.col("g_logger") + ": " + new["message"]).otherwise(new["message"])
            new["logger"] = pl.when(~names.fill_null(False)).then(new["logger"])
    if entry.kind == "text" and entry.message == "rest" and "g_level" in have:
        fatal = plain_texts(frame["g_level"]) == "FATAL"
        if fatal.any():  # "FATAL ERROR: Reached heap limit": both words are what V8 says
            both = pl.lit(fatal) & new["message"].str.starts_with("ERROR: ")
            new["message"] = pl.when(both).then(pl.lit("FATAL ") + new["message"]).otherwise(new["message"])
    frame = frame.with_columns_seq(
        **{name: value if isinstance(value, pl.Expr) else pl.lit(value) for name, value in new.items()}
    )

    if entry.whole:
        cut = (pl.col("g_message").str.len_bytes() >= entry.whole) & ~pl.col("g_message").str.ends_with("\n")
        frame = frame.with_columns_seq(cut.alias("part"), pl.col("message").str.strip_suffix("\n"))
    elif "g_part" in have:
        frame = frame.with_columns_seq((pl.col("g_part") == "P").alias("part"))
    header = ~own | pl.col("g_structured") | _opens(entry)
    opens = own & ~pl.col("g_structured") & entry.unwraps
    if entry.kind == "json":
        silent = (frame["message"] == "").fill_null(False)
        if silent.any():  # what tells of a request and says nothing beside is a record, and no blank line
            answers = pl.lit(silent & frame["status"].is_not_null())
            header, opens = header | answers, opens & ~answers
        frame = frame.with_columns_seq(_fallback_message(frame, silent).alias("message"))
    first = not frame["chain"].str.len_bytes().sum()
    chain = (pl.lit(entry.name) if first else pl.col("chain") + f" > {entry.name}").alias("chain")
    return frame.with_columns_seq(
        header.alias("header"),
        opens.alias("open"),
        pl.lit(entry.name).alias("format"),
        chain,
    ).select_seq(list(WORK))


def _opens(entry: Format) -> pl.Expr:
    if entry.header in ("own", "each"):
        return pl.lit(True)
    if entry.header == "plain":
        return ~pl.col("message").str.contains(CONTINUES)
    if entry.header == "journal":
        return (pl.col("stream").is_null()) & ~pl.col("message").str.contains(CONTINUES)
    return pl.col("header")


def _message(entry: Format, have: set[str]) -> pl.Expr:
    """The text of the entry: its message, the reason that stands in a field of its own, and the stack."""
    if "g_message" in have:
        text = pl.col("g_message")
        if entry.kind == "text" and "message" in entry.also:
            text = pl.coalesce(_unquoted("g_message"), "message")
    elif "g_inner" in have:
        text = pl.col("g_inner")
    elif entry.kind == "text" and entry.message == "rest":
        text = pl.col("message").str.strip_prefix(pl.col("g_head")) if "g_head" in have else pl.col("message")
    else:
        text = pl.col("message")
    if "g_reason" in have:
        text = _with_reason(text, have)
    if "g_exception" not in have:
        return text
    exception = _unquoted("g_exception") if entry.kind == "text" else pl.col("g_exception").str.strip_chars_end("\n")
    text = pl.when(text.str.len_bytes() > 0).then(text)
    joint = pl.when(exception.str.contains("\n", literal=True)).then(pl.lit("\n")).otherwise(pl.lit(": "))
    return (
        pl.when(exception.is_null() | (exception == ""))
        .then(text)
        .when(text.is_null())
        .then(exception)
        .when(text.str.contains(exception, literal=True))
        .then(text)
        .otherwise(text + joint + exception)
    )


def _with_reason(text: pl.Expr, have: set[str]) -> pl.Expr:
    """The text with the error of its own field behind it, unless text or stack say it too: "payment failed: x509: ..."."""
    reason = pl.col("g_reason").str.strip_chars()
    said = text.str.contains(reason, literal=True)
    if "g_exception" in have:
        said = said | pl.col("g_exception").str.contains(reason, literal=True)
    plain = reason.is_not_null() & (reason != "") & ~reason.str.contains(r"^[\[{]|^(?:true|false|\d+)$")
    return (
        pl.when(plain & ~said.fill_null(False) & (text.str.len_bytes() > 0))
        .then(text + pl.lit(": ") + reason)
        .otherwise(text)
    )


def _fallback_message(frame: pl.DataFrame, empty: pl.Series) -> pl.Series:
    """The messages, with what stands in for one that an entry does not have, or that is `empty`: the request, else nothing."""
    text = frame["message"]
    bare = empty & ((frame["kind"] != "app") | frame["status"].is_not_null()) if empty.any() else empty
    rows = (bare | text.is_null()).arg_true()
    if not len(rows):
        return text
    parts = frame.select_seq(pl.col("method", "route", "status").gather(rows))
    request = parts.select_seq(pl.concat_str("method", "route", "status", separator=" ", ignore_nulls=True)).to_series()
    return text.scatter(rows, request)


def _names(given: pl.Series, entry: Format, name: str) -> pl.Series:
    """Names that entries give; null for what stands for none. A process id behind a program's name is cut off."""
    if entry.kind == "text" and name == "service" and entry.header == "plain":
        return on_distinct(given, lambda names: _without_nil(names.str.replace(r"\[[0-9]+\]$", "")))
    if given.dtype == pl.String and not any((given == nil).any() for nil in _NIL):
        return given
    return changed(given, _without_nil)


def _without_nil(names: pl.Series) -> pl.Series:
    return names.zip_with(~names.is_in(_NIL), pl.Series([None], dtype=pl.String))


def _unquoted(name: str) -> pl.Expr:
    column = pl.col(name)
    inner = column.str.slice(1, column.str.len_chars() - 2)
    plain = (
        inner.str.replace_all(r"\"", '"', literal=True)
        .str.replace_all(r"\n", "\n", literal=True)
        .str.replace_all(r"\t", "\t", literal=True)
    )
    return pl.when(column.str.starts_with('"')).then(plain).otherwise(column)


_ENCODED = r"\\n(?:\s|\\t)*(?:at |File |from )|\(most recent call last\):\\n"


def _decoded(stacks: pl.Series) -> pl.Series:
    """Stacks as they were: where an export encoded them twice, line ends are two characters, a backslash and an n."""
    at = (stacks.str.contains("\\n", literal=True) & ~stacks.str.contains("\n", literal=True)).arg_true()
    at = at.filter(stacks.gather(at).str.contains(_ENCODED))
    if not len(at):
        return stacks
    plain = stacks.gather(at).str.replace_all("\\\\", "\0", literal=True)
    for written, stands_for in (("\\n", "\n"), ("\\t", "\t"), ('\\"', '"'), ("\0", "\\")):
        plain = plain.str.replace_all(written, stands_for, literal=True)
    return stacks.clone().scatter(at, plain)


def _paths(urls: pl.Series) -> pl.Series:
    """Paths of URLs, without scheme, host and query."""
    if urls.str.contains(r"[?#]|://").any():
        if urls.str.contains("://", literal=True).any():
            first = urls.drop_nulls()[0]
            found = re.match(_HOST, first)  # most often all are of one host
            if found and urls.str.starts_with(f"{found[0]}/").all():
                urls = urls.str.strip_prefix(found[0])
            if urls.str.contains("://", literal=True).any():
                urls = urls.str.replace(_HOST, "")
        if urls.str.contains("[?#]").any():
            urls = urls.str.replace(r"(?s)[?#].*$", "")
    if urls.str.len_bytes().min() != 0:
        return urls
    return urls.zip_with((urls != "").fill_null(True), pl.Series(["/"]))


def _statuses(texts: pl.Series) -> pl.Series:
    """HTTP statuses; null for what is none."""
    numbers = texts.cast(pl.Int64, strict=False)
    if numbers.null_count() > texts.null_count():
        numbers = numbers.zip_with(
            numbers.is_not_null(), texts.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
        )
    return numbers.zip_with(numbers.is_between(100, 599).fill_null(True), pl.Series([None], dtype=pl.Int64))


def milliseconds(texts: pl.Series, unit: str) -> pl.Series:
    """Durations as milliseconds; `unit` is that of texts which name none."""
    if texts.dtype == pl.Float64:
        return texts
    numbers = texts.cast(pl.Float64, strict=False) * UNITS_MS[unit]
    if numbers.null_count() == texts.null_count():
        return numbers
    unread = texts.filter(numbers.is_null()).drop_nulls()
    first = str(unread[0])
    # the first one's unit is most often that of all
    for ending in sorted(_ENDINGS, key=lambda e: (not first.endswith(e), -len(e))):
        plain = texts.str.strip_suffix(ending)
        ended = plain.cast(pl.Float64, strict=False) * _ENDINGS[ending]
        ended = ended.zip_with((plain != texts) & ended.is_between(0, 1e15), pl.Series([None], dtype=pl.Float64))
        numbers = numbers.zip_with(numbers.is_not_null(), ended)
        if numbers.null_count() == texts.null_count():
            break
    return numbers


_ENDINGS = {
    ending: factor for unit, factor in (*UNITS_MS.items(), ("µs", UNITS_MS["us"])) for ending in (f" {unit}", unit)
}
