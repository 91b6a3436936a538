"""The frames that cross module borders: their columns, types and meaning."""

from __future__ import annotations

import polars as pl

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
KINDS = ("app", "access", "request", "platform")

LEVEL = pl.Enum(LEVELS)
KIND = pl.Enum(KINDS)
TIME = pl.Datetime("us", "UTC")

ROWS: dict[str, pl.DataType] = {
    # One row per physical entry: a text line, a JSON object. Made by intake.decode, in input order.
    "source": pl.String(),  # the input's name as the user gave it, "-" for standard input
    "line": pl.Int64(),  # first physical line in that input, from 1
    "lines": pl.Int64(),  # physical lines that the entry takes
    "at": TIME,  # event time; null when the entry has none
    "level": LEVEL,  # the program's own level, else the transport's where that one means something; null = unknown
    "kind": KIND,  # app: a program's log line; access: a server's access line; request: a platform's request entry;
    # platform: a line of the platform itself (exit, deploy, kernel, systemd)
    "header": pl.Boolean(),  # the text itself opens a record (own time or level in the text, or a structured entry)
    "stream": pl.String(),  # stdout, stderr, or another name of a sub-stream; null = unknown
    "service": pl.String(),
    "instance": pl.String(),  # pod, container, dyno, revision instance
    "deployment": pl.String(),  # revision, release, deployment id
    "trace": pl.String(),  # trace or request id
    "logger": pl.String(),
    "message": pl.String(),  # the text behind every header that was recognised; may hold newlines
    "method": pl.String(),
    "route": pl.String(),  # path as logged, without query string; masked later
    "status": pl.Int64(),  # HTTP status 100..599, or null
    "latency_ms": pl.Float64(),
    "exit_code": pl.Int64(),  # where a field of its own says it (structured entries)
    "format": pl.String(),  # the innermost format that read the entry
    "fields": pl.String(),  # other fields of a structured entry as one JSON object; null unless asked for
}

EVENTS: dict[str, pl.DataType] = {
    # One row per record: what the program logged as one thing. Made by intake.traces, in input order.
    **{n: t for n, t in ROWS.items() if n not in ("header",)},
    "stack": pl.String(),  # the traceback or crash dump inside the record, as text; null when there is none
    "truncated": pl.Boolean(),  # the record was cut: by a kill, a size cap or the transport
}

# What is kept of an event that carries no failure and no mark: it only counts.
QUIET: dict[str, pl.DataType] = {
    n: EVENTS[n]
    for n in ("source", "line", "lines", "at", "level", "kind", "service", "deployment", "method", "route", "status", "latency_ms", "format")
}  # fmt: skip

RATE_US = 15_625  # microseconds of the finest slice of time in which what only counts is told apart: 64 are a second

CALM: dict[str, pl.DataType] = {
    # Lines that only count and never became rows: how many there were of a level (and a service, a deployment) in a slice of time.
    **{n: QUIET[n] for n in ("source", "service", "deployment", "level")},
    "first": TIME,  # of these lines the earliest and the latest
    "last": TIME,
    "count": pl.Int64(),
}

FAILED = 500  # HTTP status from which on a request is a failure
TICK_US = 1024  # microseconds of the finest slice of time in which failures are told apart
EXAMPLES = 3  # records that are shown of each failure

# What failed requests have in common that are counted together.
ANSWERED: dict[str, pl.DataType] = {n: EVENTS[n] for n in ("kind", "level", "service", "instance", "status")}

# What requests have in common that are counted together.
ASKED: dict[str, pl.DataType] = {
    n: QUIET[n] for n in ("kind", "source", "format", "service", "method", "status", "route")
}

SIGNED: dict[str, pl.DataType] = {
    # EVENTS that were signed. Made by grouping.signature.
    **EVENTS,
    "exception": pl.String(),  # type of the root exception of the stack, or of a headline inside the message
    "template": pl.String(),  # message with what varies masked
    "signature": pl.String(),  # versioned id of the group: "v1:" + 12 hex digits
    "failure": pl.String(),  # id of the message failure (the record's own text); null when the text is only a traceback
    "causes": pl.List(pl.String()),  # ids of the exception failures in the stack, root cause first
    "links": pl.List(
        pl.String()
    ),  # for causes[i] -> causes[i+1]: raised_from or while_handling; one shorter than causes
}

NODES: dict[str, pl.DataType] = {
    # What an id of a failure stands for. Same id, same meaning, in every run and format.
    "id": pl.String(),
    "kind": pl.String(),  # exception, message
    "exception": pl.String(),  # fully qualified type, null for messages
    "message": pl.String(),  # an example as logged (smallest text), so merging is a minimum
    "template": pl.String(),
    "frame": pl.String(),  # "file:line in function" of the raising in-app frame, null without one
    "frames": pl.List(pl.String()),  # in-app frames, outermost first, same form
}

INTAKE: dict[str, pl.DataType] = {
    # The ledger, one row per batch; rows of one source add up.
    "source": pl.String(),
    "format": pl.String(),  # of the source as a whole, envelopes joined by " > "
    "why": pl.String(),  # how the format was recognised, a sentence
    "bytes": pl.Int64(),
    "lines": pl.Int64(),  # physical lines read
    "blank": pl.Int64(),  # lines without content, and lone brackets and commas of a JSON array
    "rejected": pl.Int64(),  # lines that claim to be of the format and are broken; kept as text records too
    "notices": pl.List(pl.String()),  # sentences for the report: lines lost by the platform, caps reached, assumptions
}


def empty(schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """A frame of that schema without rows."""
    return pl.DataFrame(schema=schema)


def conform(frame: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The frame with exactly the schema's columns, in its order, missing ones null."""
    have = frame.schema
    return frame.select_seq(
        (pl.col(n) if have[n] == t else pl.col(n).cast(t)) if n in have else pl.lit(None, dtype=t).alias(n)
        for n, t in schema.items()
    )


def alone(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with texts of their own: as long as some rows of a frame are there, all of its texts stay in memory."""
    return rows.with_columns_seq(pl.col(pl.String) + "")
