"""EVENTS to SIGNED and NODES: what a record says once its variables are gone, and which failures it carries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct

from triage.grouping.marks import mark
from triage.grouping.masks import mask
from triage.grouping.steering import steer
from triage.intake.stacks import Frame, Raised, Stack, Traces, known_traces, parse_stack, raising_frame
from triage.schema import EVENTS, FAILED, NODES, SIGNED, conform, empty

VERSION = "v1"
NEAREST = 5  # in-app frames that count
NEAREST_LIBRARY = 3  # the same where no frame is in-app
LONGEST = 1000  # characters of a message that are masked
_UNTIDY = r"^\s|\s$|\s\s|[^\S ]"  # white space that is more than one blank between two words
_EXAMPLE = 2000  # characters of a message that are kept as an example
_FRAMES = 40  # frames that are kept to be shown
_TOLD = ("exit", "worker_exit", "oom", "slow", "told", "holder")  # marks of what is told of whatever its level

# Types that say nothing by themselves: of these the message counts too.
GENERIC = frozenset(
    [
        "Exception",
        "BaseException",
        "Error",
        "RuntimeError",
        "SystemExit",
        "AssertionError",
        "StandardError",
        "RuntimeException",
        "Throwable",
        "java.lang.Exception",
        "java.lang.Error",
        "java.lang.RuntimeException",
        "java.lang.Throwable",
        "System.Exception",
        "System.ApplicationException",
        "System.AggregateException",
        "ExceptionGroup",
        "BaseExceptionGroup",
        "AggregateError",
        "panic",
        "fatal",
        "ErrorException",
        "UnhandledPromiseRejection",
    ]
) | {"fatal error", "Fatal error", "PHP Fatal error", "Fatal Python error", "runtime error", ""}

# A message that opens like the last line of a traceback. A bare "Error:" is any program's word, so it is no type here.
_LEAD = (
    r"^(?:\[ERROR\] |⨯ |Uncaught |Unhandled (?:exception|rejection|promise rejection)[.:]? |Unhandled Rejection: |Caused by: "
    r'|Exception in thread "[^"\n]*" |(?:PHP )?(?:Recoverable )?[Ff]atal error: +Uncaught )*'
)
_TYPE = (
    r"(?:[A-Za-z_][\w$]*(?:\.|::|\\))*(?:[A-Z][\w$]*(?:Error|Exception|Interrupt|Fault|Timeout|Failure|Panic|NotFound|Refused)"
    r"|SystemExit|Exception)"
    r"|(?:[A-Za-z_][\w$]*\.)*(?:exceptions?|exc|errors?)\.(?:[A-Za-z_][\w$]*\.)*[A-Z][\w$]*"
)
_HEADLINE = rf"(?s){_LEAD}(?P<type>{_TYPE})(?::\s+(?P<message>.*)|:?\s*)$"
_ONLY_A_TRACE = r"^(?:Traceback \(most recent call last\):|thread '.*' (?:\(\d+\) )?panicked at .*|goroutine \d+ .*)$"
_TRACE_STARTS = r"^\s*(?:Traceback \(most recent|goroutine \d|stack backtrace|Stack trace)"


class Part(Struct, frozen=True):
    """A piece of a record, whether it is part of the signature, and the reason."""

    part: str
    contributes: bool
    why: str


class _Link(Struct, frozen=True):
    """An exception of a parsed stack, as a row to be."""

    type: str
    message: str | None  # None: cut it out of the stack's text
    offset: int | None
    length: int | None
    link: str | None
    frame: str | None
    frames: tuple[str, ...]


class _Parsed(Struct, frozen=True):
    """What one parse yields for every stack that differs only in the numbers of its messages."""

    links: tuple[_Link, ...]
    frames: tuple[str, ...]  # normalised, nearest to the crash first
    by_message: bool
    exact: bool  # a message could not be found again in the text: parse each such stack by itself


def failure_id(kind: str, exception: str | None, template: str) -> str:
    """12 hex digits that stand for this failure in every run: of its kind, its type and its masked message."""
    return _digest(kind, exception or "", template)


def message_id(template: str) -> str:
    """The id of the failure that a masked message stands for."""
    return failure_id("message", None, template)


def http_signature(status: int) -> str:
    """The group of requests that were answered with that status."""
    return _signature("http", f"HTTP {status}")


def _exception_id(exception: str | None, template: str) -> str:
    return failure_id("exception", exception, template)


def message_signature(template: str) -> str:
    """The signature of records without a traceback whose masked message is this."""
    return _signature("message", template)


def sign(
    events: pl.DataFrame,
    *,
    every: bool = False,
    marks: pl.DataFrame | None = None,
    dirs: tuple[Path, ...] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """SIGNED in the order of the EVENTS, and NODES of the failures in it, sorted by id.

    Signed are records of level WARNING or above, with a stack, with an HTTP status of 500 or above, marked as an exit or
    a kill, or of no level (or of the platform) and with a word of failure in them; the others get nulls, unless `every`. `marks` is what grouping.marks.mark(events) gave, to spare
    a second look, `dirs` are the pattern folders to use instead of ours alone; nothing else than the record itself enters
    a signature.
    """
    matters = (
        pl.repeat(True, events.height, dtype=pl.Boolean, eager=True)
        if every
        else find_failing(events, marks=marks, dirs=dirs)
    )
    if not matters.any():
        return conform(events, SIGNED), empty(NODES)
    # a request is its status, whatever it says
    rows = events.filter(matters).select_seq("message", "stack", _http().alias("http"))
    rows = rows.with_columns_seq(message=pl.when(pl.col("http").is_null()).then("message"))
    signed, nodes = _sign_distinct(rows.unique(), dirs)
    values = rows.join(signed, on=rows.columns, how="left", nulls_equal=True, maintain_order="left").drop(rows.columns)
    if not matters.all():
        place = pl.when("m").then(pl.col("m").cum_sum().cast(pl.Int64) - 1)
        values = values.select_seq(pl.all().gather(matters.rename("m").to_frame().select_seq(place).to_series()))
    return conform(events.hstack(values), SIGNED), nodes


def explain(event: Mapping[str, Any]) -> list[Part]:
    """Why a record is in its group: each piece of it, whether it contributes to the signature, and the reason."""
    frame = conform(pl.DataFrame([{k: event.get(k) for k in ("message", "stack", "kind", "status", "level")}]), EVENTS)
    row = sign(frame, every=True)[0].row(0, named=True)
    outside = [
        Part(n, False, "the same failure in another place, at another time or in another format is one group")
        for n in ("at", "level", "service", "instance", "format")
    ]
    if frame.select_seq(_http()).item() is not None:
        return [Part(row["template"], True, "a request counts by its status"), *outside]
    text = event.get("stack")
    stack = parse_stack(text) if text else Stack("", ())
    if not text or not stack.exceptions:
        found = re.match(_HEADLINE, (event.get("message") or "").strip())
        if found:
            return [
                Part(found["type"], True, "the message opens with the type of an exception"),
                Part(row["template"], True, "no frames, so the message counts, masked"),
                *outside,
            ]
        return [Part(row["template"], True, "no traceback, so the message counts, masked"), *outside]
    return [*_explain_stack(stack, row["template"]), *outside]


def _explain_stack(stack: Stack, template: str) -> list[Part]:
    root, outer = stack.exceptions[0], stack.exceptions[-1]
    frames, origin = _nearest(stack)
    parts = [Part(root.type, True, "type of the root cause")]
    if outer.type != root.type:
        parts.append(Part(outer.type, True, "type that the program saw in the end"))
    parts += [Part(f, True, f"one of the frames nearest to the crash, {origin}") for f in frames]
    parts += [
        Part(
            _normal(f),
            False,
            "the program's own, but further from the crash" if f.in_app else "not the program's own code",
        )
        for e in stack.exceptions
        for f in e.frames
        if _normal(f) not in frames
    ]
    if not frames:
        parts.append(Part(root.message, True, "no frames, so the message counts, masked"))
    elif root.type in GENERIC:
        parts.append(
            Part(root.message, True, f"{root.type or 'no type'} says nothing by itself, so the message counts, masked")
        )
    else:
        parts.append(Part(root.message, False, "type and frames tell the failures apart"))
    parts.append(Part(template, False, "the text that the traceback was logged under"))
    parts.append(Part("line numbers, addresses, deployment folders", False, "they change with every release"))
    return parts


# ------------------------------------------------------------------------------------------------------------- columns


# Words by which a line without a level of its own, or a line of the platform, tells of a failure: then it is looked at more closely.
_SENTENCE = r"(?:^|\s)[a-z]+ [a-z]+ [a-z]+(?:\s|[.,:?!]|$)"
_FAILING = [
    "error", "exception", "fail", "refused", "timed out", "timeout", "denied", "blocked by", "unable to", "could not", "cannot ",
    "fatal", "panic", "killed", "crash", "back-off", "backoff", "unhealthy", "unavailable", "rejected", "exceeded", "exhausted",
    "aborted", "too many ", "unreachable", "no such host", "corrupt", "out of memory", "no space left", "deadlock", "evict",
]  # fmt: skip


def find_failing(
    events: pl.DataFrame, *, marks: pl.DataFrame | None = None, dirs: tuple[Path, ...] | None = None
) -> pl.Series:
    """Which of the events `sign` signs."""
    platform = pl.col("kind") == "platform"
    seen = events.select_seq(
        matters=(pl.col("level") >= "WARNING").fill_null(False)
        | pl.col("stack").is_not_null()
        | (pl.col("status") >= FAILED).fill_null(False),
        unsaid=(platform | (pl.col("level").is_null() & (pl.col("kind") == "app"))).fill_null(False),
    )
    matters = seen["matters"]
    unsaid = (seen["unsaid"] & ~matters).arg_true()
    if len(unsaid):
        told = events["message"].gather(unsaid).str.contains_any(_FAILING, ascii_case_insensitive=True)
        matters = matters.clone().scatter(unsaid.filter(told), True)
    found = mark(events, dirs=dirs) if marks is None else marks
    fatal = found.filter(pl.col("mark").is_in(_TOLD) & (pl.col("exit_code").fill_null(1) != 0))["row"]
    if len(fatal):
        matters = matters.clone().scatter(fatal, True)
    return matters


def _http() -> pl.Expr:
    """Status of a row that is a request and nothing else.

    A program's line on a request may tell why it failed ("request failed: no such table"), and so may a platform that answers
    in its stead ("instance refused connection"): then that counts, beside the status.
    """
    request = pl.col("kind").is_in(["access", "request"]) & pl.col("stack").is_null()
    why = (
        (pl.col("kind") == "access")
        & (pl.col("level") >= "WARNING")
        & pl.col("message").str.contains(": ", literal=True)
    )
    said = (
        (pl.col("kind") == "request")
        & (pl.col("level") >= "WARNING")
        & pl.col("message").str.contains(_SENTENCE)
        & ~pl.col("message").str.contains("=", literal=True)
    )
    told = (why | said) & pl.col("message").str.contains_any(_FAILING, ascii_case_insensitive=True)
    return pl.when(request & ~told.fill_null(False)).then(pl.col("status"))


def _template(texts: pl.Series, dirs: tuple[Path, ...] | None) -> pl.Series:
    """Masked texts on one line, from at most LONGEST characters; a text that was cut ends at a word and in an ellipsis."""
    untidy = (texts.str.contains(_UNTIDY) | (texts.str.len_bytes() > LONGEST)).fill_null(False).arg_true()
    if not len(untidy):
        return mask(texts, dirs=dirs)
    line = pl.col("t").str.replace_all(r"\s+", " ").str.strip_chars()
    cut = line.str.head(LONGEST).str.replace(r"\s\S*$", "") + "…"
    short = pl.when(line.str.len_chars() > LONGEST).then(cut).otherwise(line)
    tidy = texts.gather(untidy).rename("t").to_frame().select_seq(short).to_series()
    return mask(tidy if len(tidy) == len(texts) else texts.clone().scatter(untidy, tidy), dirs=dirs)


def _sign_distinct(distinct: pl.DataFrame, dirs: tuple[Path, ...] | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Signed columns for distinct (message, stack, http)."""
    stacks, links = _sign_stacks(distinct["stack"].drop_nulls().unique().sort(), dirs)
    table = distinct.with_columns_seq(_own_texts(distinct)).join(stacks, on="stack", how="left")
    table = table.with_columns_seq(
        pl.col("head").str.replace_all(r"\s+", " ").str.replace(_LEAD, "").alias("flat"),
        pl.col("causes").list.len().fill_null(0).gt(0).alias("raised"),
    )
    table = table.with_columns_seq(
        headline=pl.col("raised")
        & (
            pl.col("flat").str.strip_chars().eq("")
            | pl.col("flat").is_in(pl.col("headlines"))
            | pl.col("head").str.contains(_ONLY_A_TRACE)
        ).fill_null(False)
    )
    # A stack that no grammar reads is a text like any other.
    own = pl.when(pl.col("head").ne("") | pl.col("stack").is_null()).then(pl.col("head"))
    table = table.with_columns_seq(head=pl.coalesce(own, pl.col("stack").str.strip_chars()).str.head(_EXAMPLE))

    heads = table.filter(~pl.col("headline") & pl.col("http").is_null()).select_seq("head").unique()
    heads = heads.with_columns_seq(pl.col("head").str.extract_groups(_HEADLINE).alias("g"))
    heads = heads.with_columns_seq(
        pl.col("g").struct.field("type").alias("type"),
        pl.col("g").struct.field("message").fill_null("").str.strip_chars().alias("text"),
    ).drop("g")
    # both at once: every mask has a price of its own
    said = _template(pl.concat([heads["head"], heads["text"]]), dirs)
    heads = heads.with_columns_seq(
        said.head(heads.height).alias("said"), said.tail(heads.height).alias("text_template")
    )
    heads = heads.with_columns_seq(
        _ids(heads, message_id, "said").alias("said_id"),
        _ids(heads, _exception_id, "type", "text_template").alias("type_id"),
    )
    table = table.join(heads, on="head", how="left")

    bare = pl.col("type").is_not_null() & ~pl.col("raised") & ~pl.col("headline")
    status = pl.col("http").is_not_null()
    nothing = pl.lit([], dtype=pl.List(pl.String()))
    table = table.with_columns_seq(
        exception=pl.when(status).then(None).otherwise(pl.coalesce("root", pl.when(bare).then("type"))),
        template=pl.when(status)
        .then(pl.lit("HTTP ") + pl.col("http").cast(pl.String()))
        .when("headline")
        .then("last")
        .otherwise("said"),
        failure=pl.when(status | pl.col("headline") | bare | pl.col("said").eq("")).then(None).otherwise("said_id"),
        causes=pl.when(status)
        .then(nothing)
        .when(bare)
        .then(pl.concat_list("type_id"))
        .otherwise(pl.col("causes").fill_null(nothing)),
        links=pl.when(status).then(nothing).otherwise(pl.col("links").fill_null(nothing)),
        bare=bare & ~status,
    )
    parts = table.select_seq(
        key=pl.when(pl.col("http").is_null()).then("signature"),
        what=pl.when(status).then(pl.lit("http")).when("bare").then(pl.col("type")).otherwise(pl.lit("message")),
        text=pl.when("bare").then("text_template").otherwise("template").fill_null(""),
    )
    given = parts["key"]
    signature = given.zip_with(given.is_not_null(), _ids(parts, _signature, "what", "text")).alias("signature")
    # few ids stand for many texts: the smallest of each is its example
    told = table.filter(pl.col("failure").is_not_null()).group_by(id="failure").agg(
        kind=pl.lit("message"), exception=pl.lit(None, pl.String()), message=pl.col("head").str.strip_chars().min(),
        template=pl.col("said").first(), frame=pl.lit(None, pl.String()), frames=nothing,
    )  # fmt: skip
    bare_ones = table.filter("bare").group_by(id="type_id").agg(
        kind=pl.lit("exception"), exception=pl.col("type").first(), message=pl.col("text").min(),
        template=pl.col("text_template").first(), frame=pl.lit(None, pl.String()), frames=nothing,
    )  # fmt: skip
    nodes = pl.concat([links.select_seq(NODES.keys()), conform(told, NODES), conform(bare_ones, NODES)])
    names = [n for n in SIGNED if n not in EVENTS and n != "signature"]
    table = steer(table.with_columns_seq(signature), dirs, _signature)
    return table.select_seq("message", "stack", "http", *names, "signature"), _smallest(nodes)


def _own_texts(rows: pl.DataFrame) -> pl.Series:
    """The `head` of every row: its message without the traceback that it may hold."""
    heads = rows["message"].fill_null("").str.strip_chars().alias("head")
    at = rows["stack"].is_not_null().arg_true()
    return heads.scatter(at, rows[at].select_seq(_own_text()).to_series()) if len(at) else heads


def _own_text() -> pl.Expr:
    """The message without the traceback that it may hold."""
    message = pl.col("message").fill_null("")
    opens = pl.col("stack").str.extract(r"^\s*([^\n]+)", 1).str.strip_chars_end()
    before = message.str.splitn(opens, 2).struct.field("field_0")
    at_line_start = before.str.contains(r"(?:^|\n)[ \t]*$") | pl.col("stack").str.contains(_TRACE_STARTS)
    return pl.when(opens.is_not_null() & at_line_start).then(before).otherwise(message).str.strip_chars()


def _ids(frame: pl.DataFrame, of: Callable[..., str], *columns: str) -> pl.Series:
    """What `of` makes of these columns, asked once for rows that are equal there."""
    distinct = frame.select_seq(columns).unique()
    ids = pl.Series("id", [of(*row) for row in distinct.iter_rows()], dtype=pl.String())
    return frame.select_seq(columns).join(
        distinct.with_columns_seq(ids), on=list(columns), how="left", nulls_equal=True, maintain_order="left"
    )["id"]


def _smallest(nodes: pl.DataFrame) -> pl.DataFrame:
    """One row an id: the smallest message, and the smallest frame with the frames that belong to it."""
    ordered = nodes.with_columns_seq(pl.col("frames").list.join("\n").alias("order")).sort(
        "id", pl.col("frame").is_null(), "frame", "order"
    )
    return conform(
        ordered.group_by("id", maintain_order=True).agg(
            pl.col("kind").first(),
            pl.col("exception").first(),
            pl.col("message").min(),
            pl.col("template").first(),
            pl.col("frame").first(),
            pl.col("frames").first(),
        ),
        NODES,
    )


# -------------------------------------------------------------------------------------------------------------- stacks

# Stacks that differ in nothing but the numbers of their messages are parsed once. Digits are replaced one by one, so the
# text keeps its length and a message is found in each of them at the same place. What must not be confused (frames, types,
# dotted names, places in files) enters the key as it is.
_FIXED_LENGTH = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "0" * 36),
    (r"\b[0-9a-f]{64}\b", "0" * 64),
    (r"\b[0-9a-f]{40}\b", "0" * 40),
    (r"\b[0-9a-f]{32}\b", "0" * 32),
    (r"\b[0-9a-f]{16}\b", "0" * 16),
    (r"[0-9]", "0"),
)
_AS_IT_IS = r"(?m)^(?:[ \t]+\S|#[0-9]+ ).*$|^[^\s:]+|[A-Za-z_][\w$]*(?:[.:\\]+[A-Za-z_$][\w$]*)+|[\w./-]+\.\w+:[0-9]+"
_PARTS: dict[str, pl.DataType] = {
    "key": pl.Int64(),
    "pos": pl.Int64(),
    "type": pl.String(),
    "text": pl.String(),
    "offset": pl.Int64(),
    "length": pl.Int64(),
    "link": pl.String(),
    "frame": pl.String(),
    "frames": pl.List(pl.String()),
}
_STACKS: dict[str, pl.DataType] = {
    "stack": pl.String(),
    "signature": pl.String(),
    "root": pl.String(),
    "last": pl.String(),
    "headlines": pl.List(pl.String()),
    "causes": pl.List(pl.String()),
    "links": pl.List(pl.String()),
}


# what distinct stacks came to before, in this process
_SIGNED: dict[tuple[Path, ...] | None, tuple[pl.DataFrame, pl.DataFrame]] = {}
_KEPT = 512


def _sign_stacks(stacks: pl.Series, dirs: tuple[Path, ...] | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of distinct stacks: _STACKS, and a NODES row with its `stack` for each exception in each of them."""
    if len(stacks) > _KEPT:
        return _sign_new(stacks, dirs)
    table, nodes = _SIGNED.get(dirs, (empty(_STACKS), empty({"stack": pl.String(), **NODES})))
    new = stacks.filter(~stacks.is_in(table["stack"].implode()))
    if table.height + len(new) > _KEPT:
        table, nodes, new = table.clear(), nodes.clear(), stacks
    if len(new):
        more, raised = _sign_new(new, dirs)
        # a stack without an exception has no row; none is looked at twice all the same
        blank = new.rename("stack").to_frame().join(more, on="stack", how="anti")
        table = pl.concat([table, more, conform(blank, _STACKS)])
        nodes = pl.concat([nodes, raised])
        _SIGNED[dirs] = table, nodes
    here = pl.col("stack").is_in(stacks.implode())
    return table.filter(here & pl.col("signature").is_not_null()), nodes.filter(here)


def _sign_new(stacks: pl.Series, dirs: tuple[Path, ...] | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    if stacks.is_empty():
        return empty(_STACKS), empty({"stack": pl.String(), **NODES})
    key = pl.col("stack")
    for pattern, zeros in _FIXED_LENGTH:
        key = key.str.replace_all(pattern, zeros)
    keyed = (
        stacks.rename("stack")
        .to_frame()
        .with_columns_seq((key + "\x00" + pl.col("stack").str.extract_all(_AS_IT_IS).list.join("\x00")).alias("key"))
    )
    order: list[_Parsed] = []
    numbers: dict[str, int] = {}
    keys = []
    for stack, text in keyed.iter_rows():
        digest = _digest_of(text)
        number = numbers.get(digest)
        if number is None or order[number].exact:
            number = numbers[digest] = len(order)
            order.append(_parse_once(digest, stack, dirs))
        keys.append(number)
    rows = [
        (n, pos, link.type, link.message, link.offset, link.length, link.link, link.frame, list(link.frames))
        for n, one in enumerate(order)
        for pos, link in enumerate(one.links)
    ]
    parts = pl.DataFrame(rows, schema=_PARTS, orient="row")
    table = keyed.select_seq("stack", pl.Series("key", keys, dtype=pl.Int64()))
    long = table.join(parts, on="key", how="inner", maintain_order="left").with_columns_seq(
        message=pl.coalesce("text", pl.col("stack").str.slice(pl.col("offset"), pl.col("length"))).str.head(_EXAMPLE)
    )
    long = long.with_columns_seq(_template(long["message"], dirs).alias("template"))
    long = long.with_columns_seq(_ids(long, _exception_id, "type", "template").alias("id"))
    flat = pl.col("message").str.replace_all(r"\s+", " ")
    titled = pl.col("type") + pl.when(flat.eq("")).then(pl.lit("")).otherwise(": " + flat)
    title = pl.col("type") + pl.when(pl.col("template").eq("")).then(pl.lit("")).otherwise(": " + pl.col("template"))
    whole = (
        long.sort("stack", "pos")
        .group_by("stack", maintain_order=True)
        .agg(
            pl.col("key").first(),
            pl.col("type").first().alias("root"),
            pl.col("type").last().alias("outer"),
            pl.col("template").first().alias("root_template"),
            title.last().alias("last"),
            titled.append(flat).append(pl.col("type")).alias("headlines"),
        )
    )
    # an exception raised again as itself is one failure
    again = pl.col("id").eq(pl.col("id").shift(-1)).over("stack", order_by="pos").fill_null(False)
    chain = (
        long.sort("stack", "pos")
        .filter(~again)
        .group_by("stack", maintain_order=True)
        .agg(pl.col("id").alias("causes"), pl.col("link").fill_null("raised_from").alias("links"))
    )
    whole = whole.join(chain, on="stack").with_columns_seq(pl.col("links").list.head(pl.col("links").list.len() - 1))
    whole = whole.with_columns_seq(
        pl.Series(
            "signature",
            [
                _signature(root, outer if outer != root else "", *order[k].frames, text if order[k].by_message else "")
                for k, root, outer, text in whole.select_seq("key", "root", "outer", "root_template").iter_rows()
            ],
            dtype=pl.String(),
        )
    )
    nodes = long.select_seq(
        "stack",
        "id",
        pl.lit("exception").alias("kind"),
        pl.col("type").alias("exception"),
        "message",
        "template",
        "frame",
        "frames",
    )
    return conform(whole, _STACKS), conform(nodes, {"stack": pl.String(), **NODES})


# what was parsed before, in this process: the same stacks come in every batch
_MEMORY: dict[tuple[str, tuple[Path, ...] | None], _Parsed] = {}
_REMEMBERED = 4096


def _parse_once(digest: str, stack: str, dirs: tuple[Path, ...] | None) -> _Parsed:
    known = _MEMORY.get((digest, dirs))
    if known is not None and not known.exact:
        return known
    if known is not None:  # such stacks are told apart by their whole text
        digest = _digest_of(stack)
        known = _MEMORY.get((digest, dirs))
        if known is not None:
            return known
    while len(_MEMORY) >= _REMEMBERED:
        del _MEMORY[next(iter(_MEMORY))]
    _MEMORY[digest, dirs] = read = _read_stack(stack, known_traces(dirs))
    return read


def _read_stack(text: str, traces: Traces) -> _Parsed:
    stack = parse_stack(text, traces=traces)
    named = tuple(e for e in stack.exceptions if e.type)  # a headline that was cut off has no type: nothing to name
    links: list[_Link] = []
    exact = False
    for raised in named:
        shown: str | None = raised.message
        offset = None
        if any(c.isdigit() for c in raised.message):
            offset = _place(text, raised)
            exact = exact or offset is None
            shown = raised.message if offset is None else None
        length = None if offset is None else len(raised.message)
        nearest = raising_frame(stack, raised)
        links.append(
            _Link(
                raised.type,
                shown,
                offset,
                length,
                raised.link,
                _place_of(nearest) if nearest else None,
                _shown_frames(stack, raised),
            )
        )
    frames, _ = _nearest(stack)
    by_message = not frames or bool(named and named[0].type in GENERIC)
    return _Parsed(tuple(links), frames, by_message, exact)


def _place(text: str, raised: Raised) -> int | None:
    """Where the message starts in the text; None when that is not certain."""
    headline = f"{raised.type}: {raised.message}"
    if (found := text.find(headline)) >= 0:
        return found + len(raised.type) + 2
    found = text.find(raised.message)
    return found if found >= 0 and text.find(raised.message, found + 1) < 0 else None


def _place_of(frame: Frame) -> str:
    place = (frame.file or "") + (f":{frame.line}" if frame.line is not None else "")
    function = f"in {frame.function}" if frame.function else ""
    return " ".join(part for part in (place, function) if part)


def _shown_frames(stack: Stack, raised: Raised) -> tuple[str, ...]:
    frames = [_place_of(f) for f in raised.frames if f.in_app]
    if stack.newest_first:
        frames.reverse()
    # in an endless recursion the entry and the crash are what tells
    return tuple(frames if len(frames) <= _FRAMES else frames[:5] + frames[5 - _FRAMES :])


def _nearest(stack: Stack) -> tuple[tuple[str, ...], str]:
    """Normalised frames that count, nearest to the crash first, and whose they are.

    The root cause's own in-app frames, else those of the next exception that has some, else library frames of the root.
    """
    for raised in stack.exceptions:
        frames = _distinct(_normal(f) for f in _inner_first(stack, raised) if f.in_app)
        if frames:
            return frames[:NEAREST], "the program's own"
    for raised in stack.exceptions:
        frames = _distinct(_normal(f) for f in _inner_first(stack, raised))
        if frames:
            return frames[:NEAREST_LIBRARY], "of a library, for none is the program's own"
    return (), ""


def _inner_first(stack: Stack, raised: Raised) -> Sequence[Frame]:
    return raised.frames if stack.newest_first else tuple(reversed(raised.frames))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, where it came first: recursion and cycles of any depth look the same."""
    return tuple(dict.fromkeys(name for name in names if name))


# Folders into which a platform or a base image puts the program, and what a package manager puts before a module.
_PREFIX = re.compile(
    r"^(?:file://)?(?:[A-Za-z]:)?(?:.*/(?:site-packages|dist-packages|node_modules|gems|mod)/"
    r"|/opt/render/project/(?:src|go/src/[^/]+/[^/]+/[^/]+)/|/usr/src/app/|/var/task/|/var/www/(?:html/)?|/var/lib/[^/]+/"
    r"|/(?:app|workspace|code|src|build|srv|repo|function|project)/|/home/[^/]+/(?:site/wwwroot/)?|/Users/[^/]+/"
    r"|/root/|/opt/[^/]+/|/tmp/[^/]+/|webpack(?:-internal)?:/+|\./|/)"
)
_MADE = (
    # names that a compiler, a proxy or a bundler makes anew: (pattern, what stays), in this order
    (
        re.compile(
            r"[.-](?=[0-9a-f]*\d)[0-9a-f]{6,}(?=\.)|@v?\d+(?:\.\d+)*[\w.+-]*(?=/|$)|(?<=[a-z])-\d+\.\d+[\w.]*(?=/)"
        ),
        "",
    ),
    (re.compile(r"\$\$Lambda.*"), "$$Lambda"),
    (re.compile(r"(?:\$\$(?:EnhancerBy|FastClassBy|KeyFactoryBy)\w+\$\$|_\$\$_(?:javassist|jvst))\w*"), ""),
    (re.compile(r"(Generated(?:Method|Constructor|SerializationConstructor)Accessor)\d+"), r"\1"),
    (re.compile(r"\$(?:suspendImpl|lambda|delayedInit\$body|sp)\b"), ""),
    (re.compile(r"(lambda\$[\w<>]+?)\$\d+"), r"\1"),
    (re.compile(r"(\$+anonfun|\$fn__|\$eval|__fn)(?:\$?\d+)*"), r"\1"),
    (re.compile(r"<(\w+)>[db]__\d+(?:_\d+)?(?:\.MoveNext)?"), r"\1"),
    (re.compile(r"\.?<>c(?:__DisplayClass\d+_\d+)?"), ""),
    (re.compile(r"(?:\.func\d+(?:\.\d+)*)+"), ".func"),
    (re.compile(r"::h[0-9a-f]{16}\b"), ""),
    (re.compile(r"(?:::)?\{\{?(?:closure|impl)[^}]*\}?\}"), ""),
    (re.compile(r"^(?:rescue in |ensure in |block (?:\(\d+ levels\) )?in )+"), ""),
    (re.compile(r"^(?:async |new |get |set )"), ""),
    (re.compile(r"(?<=\w)\((?!\*).*\)$|0x[0-9a-fA-F]+"), ""),
    (re.compile(r"_(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|_{2}\d[\d_]*$"), ""),
)


def _normal(frame: Frame) -> str:
    """`path:function` without what changes from build to build: folders of the deployment, lines, made-up names."""
    file = _PREFIX.sub("", (frame.file or "").replace("\\", "/").split("?")[0])
    function = frame.function or ""
    for pattern, stays in _MADE:
        file, function = pattern.sub(stays, file), pattern.sub(stays, function)
    return f"{file}:{function}" if file or function else ""


def _signature(*parts: str) -> str:
    return f"{VERSION}:{_digest(*parts)}"


@lru_cache(maxsize=8192)  # the same templates come in every batch
def _digest(*parts: str) -> str:
    return _digest_of(*parts)


def _digest_of(*parts: str) -> str:
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
