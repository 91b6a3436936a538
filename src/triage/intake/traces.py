"""Rows to records: continuation lines join their record, and tracebacks are put together.

Every row gets a letter for what it is; a record is then what one regular expression over those letters matches.
A capital letter is a row that cannot continue anything: too long after the row before it, or another writer's.

    h  header of level WARNING or above, or one of unknown level whose text tells of trouble
    i  header of level INFO or below, or one of unknown level whose text does not
    t  opens a traceback whose exception comes last                o  opens a crash, exception on the same line
    p  opens a crash, exception on the lines below                 e  exception headline ("KeyError: 'x'")
    s  sentence that chains two tracebacks                         q  cause with its headline ("Caused by: ...")
    f  frame                                                       k  another line of a trace, by its words
    r  remark of a runtime or a tool, which is part of what failed above it or of nothing
    n  indented text                                               m  detail of an exception's message
    y  may be a headline ("Boom: x")                               x  other text
    w  x, and v  y, where nothing says that they belong to the line above: no times, and a stream without headers or
       one that began with a line that had none
    b  blank

A line that a runtime says last of what failed (Node.js' version, Rust's note) is a `k` behind which other text starts anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from copy import copy
from functools import reduce
from operator import xor
from typing import Protocol

import polars as pl
from msgspec import Struct

from triage.intake import linewise
from triage.intake.letters import classify, letters_of, patterns_of
from triage.intake.linewise import LINED
from triage.intake.nearness import REACH, far, late
from triage.intake.records import build
from triage.intake.rows import WRITER
from triage.intake.stacks import Traces, default_traces
from triage.schema import EVENTS, INTAKE, LEVEL

_LONG = 3_000  # rows of an open record from which on its middle is dropped while it waits for its end
_ENDS = 600


class Rows(Protocol):
    """A batch as decode makes it."""

    @property
    def rows(self) -> pl.DataFrame:
        """ROWS in input order."""

    @property
    def intake(self) -> pl.DataFrame:
        """INTAKE rows that account for them."""


class Assembled(Struct, frozen=True):
    """Records of a part of the input: EVENTS, and the INTAKE rows that account for them."""

    events: pl.DataFrame
    intake: pl.DataFrame


def assemble(
    batches: Iterable[Rows], *, newest_first: bool = False, traces: Traces | None = None
) -> Iterator[Assembled]:
    """Records of the rows, each as soon as its end is certain; where the batches were cut changes no record.

    Each frame is in order of position; a record that waited for its end comes with a later one.
    `newest_first` says that the input runs backwards in time: records come out in order of time within each batch.
    Rows of kind access, request and platform are records of their own. Blank rows outside of traces are dropped and
    counted in an intake row. A record longer than 1,000 lines or 256 KiB keeps its head and tail and is marked.
    """
    work = Assembler(traces or default_traces(), newest_first)
    yield from map(work.take, batches)
    rest = work.finish()
    if rest.events.height or rest.intake.height:
        yield rest


# ------------------------------------------------------------------------------------------------------- the grammar

_MESSAGE = (
    r"(?:(?:(?:b{0,3}[xyvwmn])|(?<=n)b{0,3}e|p(?=b)){1,10}?(?=b{0,3}[fqk]))?"  # lines of a message, if frames follow
)
_WITHIN = r"(?:(?<=f)[xyvw](?=kf)|(?<=[fnkmqe])[xyvw]{1,3}(?=b{0,3}k(?!f)))"  # lines of a message of which only the first is moved to the right
_BODY = rf"(?:b{{0,9}}[fnkm]|(?<=f)[xw]|{_WITHIN})*(?:b{{0,9}}[eyv](?:b{{0,2}}[xymnr])*)?"
_CHAIN = rf"b{{0,9}}s(?:b{{0,9}}t{_BODY})?"
_TAIL = rf"(?:b{{0,64}}[fnkm]|{_WITHIN}|b{{0,9}}q{_MESSAGE}|{_CHAIN})*"
_RECORD = re.compile(
    "|".join(
        (
            # a header that may announce a trace: its text, one trace, and what goes on after it
            rf"h(?:b{{0,9}}[xymnkvfr]|(?<=[hxyvwmnr])b{{0,9}}w)*(?:b{{0,9}}(?:o?(?:b{{0,3}}k)?b{{0,3}}t{_BODY}|pb{{0,3}}o|[poe]))?"
            rf"(?:b{{0,64}}[fnkqxymvr]|(?<=[eyxmnvwqpor])b{{0,64}}w|{_CHAIN}|(?<=[eyxmnwpo])b{{0,2}}e)*",
            r"[iI](?:b{0,64}[xymnkvwfq])*",
            rf"[tT]{_BODY}{_TAIL}",
            rf"[oO](?:(?:b{{0,3}}k)?b{{0,3}}t{_BODY}|(?:b{{0,3}}[xyvwmne]){{1,3}}?(?=b{{0,3}}[fqk]))?{_TAIL}",
            rf"[pP]k?[nm]{{0,5}}(?:b{{0,3}}[xyvwemo]|b{{0,3}}i(?=b{{0,3}}f))?(?:(?:b{{0,3}}[xyvwmne]){{0,9}}?(?=b{{0,3}}[fqk]))?{_TAIL}",
            rf"[eEqQ]{_MESSAGE}{_TAIL}",
            rf"[sS](?:b{{0,9}}t{_BODY})?{_TAIL}",
            r"[rR](?:b{0,9}[fnk])*",
            r"[bB]",
            # the end of one whose exception comes last, of which the beginning is lost
            rf"[fFnN](?:b{{0,9}}[fnk])*(?:(?<=[nk])e(?:b{{0,2}}[xymn])*)?{_TAIL}",
            rf"[^bB]{_TAIL}",
        )
    )
)
# the end of what is known, when a line to come may still change where the last records start
_UNSURE = re.compile(r"[eEqQpPoO][bxyvwmnep]{1,47}$|[pP]b{0,3}i$|[fnkmqe][xyvw]{1,3}b{0,3}k?$")
_WINDOW = 48
_AHEAD = 3  # a header this close in front of bare text may open a crash that the text goes on
# words of trouble: a header that has none of them announces no traceback
_TROUBLE = (
    r"(?i)err\b|error|fail|except|panic|fatal|crash|trace|abort|unhandled|uncaught|caught|raise|throw|unable|cannot|can't"
    r"|n't\b|could not|not |refuse|denied|reject|time[d ]*out|invalid|missing|broken|lost|kill|bad |wrong|oops|problem"
    r"|trouble|recover|critical|severe|alert|corrupt|unexpected|unknown|illegal|dead|died|stuck|retry|again|exit|stop|terminat"
    r"|dump|stack|bug|warn|issue|[:>=-]\s*$|^\s*$"
)


# --------------------------------------------------------------------------------------------------------- the work

# What is known of a row beside its text: its place, whether a complete row of its stream is directly before or behind
# it, whether rows were dropped in front of it and how many lines with them, whether its stream had a header before it.
_STATE = ("_pos", "_after", "_done", "_joined", "_left", "_headed")
STREAM = "_stream"  # the column with the number of the stream of lines that a row belongs to
_KEYS = ("source", "service", "instance", "stream")
# what a program itself logs of a request that failed may bring the exception along
_FAILED = (pl.col("kind") == "access") & (pl.col("level") >= pl.lit("ERROR", dtype=LEVEL)) & pl.col("header")
# an entry that its format could not read (it stands for no line: the ledger has it) joins nothing either
COMPLETE = ((pl.col("kind") != "app") & ~_FAILED.fill_null(False)).fill_null(False) | (pl.col("lines") == 0).fill_null(
    False
)
BARE = ~pl.col("header").fill_null(False)
_WARNING = pl.lit("WARNING", dtype=LEVEL)
_QUIET = (pl.col("level") <= pl.lit("INFO", dtype=LEVEL)).fill_null(False)
# what the sequence says of a row that starts and ends by itself
_ALONE = {
    **dict.fromkeys(("new", "wanted", "gap", "late", "apart"), pl.lit(True)),
    **dict.fromkeys(("bare", "warned"), pl.lit(False)),
}
_BROKEN = pl.col("message").str.contains("\n", literal=True).fill_null(False)


class Waiting(Struct, frozen=True):
    """What an assembler knows between two batches: how many rows it had, those that wait for their end, and of its streams
    which it has seen, which of them with a header, and which began with bare text."""

    count: int
    held: pl.DataFrame | None
    seen: frozenset[int]
    headed: frozenset[int]
    mixed: frozenset[int]


class Assembler:
    """What waits for its end between two batches."""

    def __init__(self, traces: Traces, newest_first: bool, mixed: Iterable[int] = ()) -> None:
        self._patterns = patterns_of(traces)
        self._parts = "|".join(self._patterns[kind] for kind in ("frame", "cause", "report") if kind in self._patterns)
        # of a header that opens a traceback the rows behind it tell whether it does
        self._opens = "|".join(p for p in (self._parts, self._patterns.get("traceback", "")) if p)
        self._newest_first = newest_first
        self._count = 0
        self._held: pl.DataFrame | None = None
        self._headed: set[int] = set()  # streams in which a header was seen
        self._seen: set[int] = set()  # streams of which a row was seen
        self._mixed = set(mixed)  # streams that began with bare text: a header there says nothing of the lines below

    def take(self, batch: Rows) -> Assembled:
        """Records that are complete with this batch."""
        rows, intake = batch.rows, batch.intake
        height = rows.height
        if self._newest_first:
            rows = rows.reverse()
        first = -(self._count + height) if self._newest_first else self._count
        self._count += height
        return self._enter(rows.with_columns_seq(_pos=pl.int_range(first, first + height, dtype=pl.Int64)), intake)

    def insert(self, rows: pl.DataFrame, intake: pl.DataFrame) -> Assembled:
        """Take some of the rows that follow, each with its place among them in `_pos`; `follow` tells how many they are."""
        return self._enter(rows.with_columns_seq(pl.col("_pos") + self._count), intake)

    def _enter(self, rows: pl.DataFrame, intake: pl.DataFrame) -> Assembled:
        if STREAM not in rows.columns:
            rows = rows.with_columns_seq(stream_of(rows).alias(STREAM))
        rows = rows.with_columns_seq(
            _after=pl.lit(False),
            _done=pl.lit(False),
            _joined=pl.lit(False),
            _left=pl.lit(0, dtype=pl.Int64),
            _headed=pl.lit(None, dtype=pl.Boolean),
            **{LINED: pl.lit(False)},
        )
        if self._held is not None and self._held.height:
            rows = pl.concat([rows, self._held] if self._newest_first else [self._held, rows])
        if not self._newest_first:  # read backwards a row would have to wait for a record that may never come
            rows = linewise.repeated_headers(rows, STREAM, COMPLETE)
            rows = linewise.joined(rows, self._patterns, STREAM, COMPLETE)
        return self._advance(rows, intake, end=False)

    def fork(self) -> Assembler:
        """Another that goes on from here: what it is given, or that it is finished, changes nothing in this one."""
        other = copy(self)
        other._headed, other._seen, other._mixed = set(self._headed), set(self._seen), set(self._mixed)
        return other

    @property
    def waiting(self) -> Waiting:
        """What it knows now."""
        known = (frozenset(streams) for streams in (self._seen, self._headed, self._mixed))
        return Waiting(self._count, self._held, *known)

    def close(self, ends: pl.DataFrame) -> Assembled:
        """The records that wait in the streams of these rows, each of which surely starts one: nothing more joins them."""
        none = Assembled(pl.DataFrame(schema=EVENTS), pl.DataFrame(schema=INTAKE))
        ends = ends.filter(~COMPLETE)
        if self._held is None or not self._held.height or not ends.height:
            return none
        streams = ends[STREAM]
        closed = self._held[STREAM].is_in(streams.implode())
        other = self.fork()
        other._held, self._held = self._held.filter(closed), self._held.filter(~closed)
        return other.finish()

    @property
    def oldest(self) -> int | None:
        """The first line of what waits for its end."""
        oldest = self._held["line"].min() if self._held is not None and self._held.height else None
        return oldest if isinstance(oldest, int) else None

    def follow(self, after: Waiting) -> None:
        """Go on behind rows that another assembler took, whose rows and streams these are, as if it had been this one."""
        if after.held is not None and after.held.height:
            held = after.held.with_columns_seq(pl.col("_pos") + self._count)
            self._held = held if self._held is None else pl.concat([self._held, held]).sort("_pos", maintain_order=True)
        self._count += after.count
        self._seen |= after.seen
        self._headed |= after.headed
        self._mixed |= after.mixed

    def finish(self) -> Assembled:
        """The records that were still open."""
        held = self._held
        self._held = None
        none = pl.DataFrame(schema=INTAKE)
        if held is None or held.height == 0:
            return Assembled(pl.DataFrame(schema=EVENTS), none)
        return self._advance(held, none, end=True)

    def _advance(self, rows: pl.DataFrame, intake: pl.DataFrame, *, end: bool) -> Assembled:
        if rows.height == 0:
            return Assembled(pl.DataFrame(schema=EVENTS), intake)
        bare = rows.select_seq(BARE & ~COMPLETE).to_series()
        if not end and not bare.any():
            return self._advance_headers(rows, intake)
        sequence, lines = self._read(rows)
        out = pl.Series("out", [False]).extend_constant(False, rows.height - 1)
        if not end:
            waiting = self._hold(rows, sequence, lines)
            out = out.scatter(waiting, True)
            if lines is not None and waiting.len():
                lines = lines.filter(~out.gather(lines["row"]))
        idle = sequence.filter(~pl.col("start") | pl.col("blank"))["row"]
        events, extra = build(rows, out.scatter(idle, True) if idle.len() else out, lines)
        return Assembled(events, pl.concat([intake.select_seq(list(INTAKE)), extra]) if extra.height else intake)

    def _advance_headers(self, rows: pl.DataFrame, intake: pl.DataFrame) -> Assembled:
        """Rows that are records of their own, all of them: only the last ones of each stream may go on."""
        light = rows.select_seq(
            *_STATE, row=pl.int_range(pl.len(), dtype=pl.Int64), key=STREAM, complete=COMPLETE, broken=_BROKEN
        )
        out = pl.Series("out", [False]).extend_constant(False, rows.height - 1)
        self._held = None
        if not self._newest_first:
            waiting = self._hold_headers(rows, light)
            out = out.scatter(waiting, True) if waiting.len() else out
        several = light.filter(pl.col("broken") & ~out)
        lines = None
        if several.height:
            own = rows.select_seq("at", "level", "line", "lines")[several["row"]]
            several = several.hstack(own).with_columns_seq(**_ALONE)
            _, lines = self._tokenize(rows, several, several.clear())
        events, extra = build(rows, out, lines)
        return Assembled(events, pl.concat([intake.select_seq(list(INTAKE)), extra]) if extra.height else intake)

    def _hold_headers(self, rows: pl.DataFrame, light: pl.DataFrame) -> pl.Series:
        """Keep back the last header of every stream, and those before it where one looks like a part of a trace."""
        row = pl.col("row")
        ends = light.group_by("key").agg(
            row.filter(~pl.col("complete")).tail(_AHEAD),
            row.filter("complete").last().alias("closed"),
            pl.col("_pos").filter(~pl.col("complete")).last(),
        )
        self._headed.update(ends.filter(pl.col("_pos").is_not_null())["key"].to_list())
        self._seen.update(self._headed)
        near = ends.filter(pl.col("_pos") > rows["_pos"][-1] - REACH)
        held = near.explode("row", empty_as_null=False, keep_nulls=False).sort("row")
        part = rows["message"].gather(held["row"]).str.contains(self._opens).fill_null(False)
        last = row == row.max().over("key")
        held = held.filter(pl.lit(part.any()) | last)
        closed = held.select_seq((pl.col("closed") > row).fill_null(False)).to_series()
        self._held = rows[held["row"]].with_columns_seq(_done=pl.col("_done") | closed)
        return held["row"]

    def _read(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """One line per row that can take part in a record, ordered by stream; and the lines of those that do.

        The sequence has `row` (index in rows), `key`, `start` (it starts a record), `blank`; the lines have `row`,
        `line`, `letter`, `own` (the letter by text) and `record` (the row that starts it), in the same order.
        """
        light = rows.select_seq(
            "at",
            "level",
            *_STATE,
            row=pl.int_range(pl.len(), dtype=pl.Int64),
            key=STREAM,
            line="line",
            lines="lines",
            complete=COMPLETE,
            bare=BARE & ~COMPLETE,
            broken=_BROKEN,
        )
        if light["key"].n_unique() > 1:
            light = light.sort("key", maintain_order=True)
        same_key = pl.col("key") == pl.col("key").shift(1)
        if light["complete"].any():
            before = (pl.col("complete").shift(1) & same_key).fill_null(False)
            behind = (pl.col("complete").shift(-1) & (pl.col("key") == pl.col("key").shift(-1))).fill_null(False)
            light = light.with_columns_seq(_after=pl.col("_after") | before, _done=pl.col("_done") | behind)
            alone = light.filter(pl.col("complete") & pl.col("broken"))
            light = light.filter(~pl.col("complete"))
        else:
            alone = light.clear()
        near = [
            (pl.col("bare").shift(-n) & (pl.col("key") == pl.col("key").shift(-n))).fill_null(False)
            for n in range(1, _AHEAD + 1)
        ]
        last = pl.col("key").ne_missing(pl.col("key").shift(-_AHEAD))
        light = light.with_columns_seq(
            new=(~same_key).fill_null(True),
            wanted=pl.any_horizontal("bare", "broken", last, *near),
            gap=((~same_key).fill_null(True) | (far() & ~pl.col("_joined"))).fill_null(True),
            late=late() & ~pl.col("_joined"),
            # what the runtime prints of a crash is no part of a warning
            warned=pl.when(~pl.col("bare"))
            .then(pl.col("level") == _WARNING)
            .forward_fill()
            .over("key")
            .fill_null(False),
            _after=pl.col("_after") | (pl.col("_done").shift(1) & same_key).fill_null(False),
        ).with_columns_seq(apart=pl.col("gap") | ~pl.col("wanted").shift(1).fill_null(False))
        light = self._note_headers(rows, light)
        if not light["wanted"].any() and not alone.height:
            return light.with_columns_seq(start=pl.lit(True), blank=pl.lit(False)), None
        return self._tokenize(rows, light, alone)

    def unsettled(self, rows: pl.DataFrame) -> bool:
        """Whether it depends on all that follows what becomes of these rows.

        A line that opens a report may take a header into it; a quiet header that is a frame joins what is in front of it
        only near bare text or at the end.
        """
        report = self._patterns.get("report")
        if report and rows["message"].str.contains(f"(?m:{report})").any():
            return True
        headers = rows.filter(~BARE & ~COMPLETE & _QUIET)["message"].fill_null("")
        return headers.str.contains(r"^\s").any() and headers.str.contains(self._parts).any()

    def start_surely(self, rows: pl.DataFrame) -> pl.Series:
        """Which of these rows begin a record whatever was before them, unless that opened a report."""
        letters = classify(linewise.first_lines(rows["message"].fill_null("")), self._patterns)
        odd = _QUIET & pl.lit(letters.is_in(["o", "p"]))
        sure = rows.select_seq(~BARE & ~COMPLETE & ~odd).to_series()
        return sure & ~linewise.may_go_on(rows, letters) & ~linewise.may_repeat(rows)

    def _note_headers(self, rows: pl.DataFrame, light: pl.DataFrame) -> pl.DataFrame:
        """Mark the rows whose stream has shown a header before, and remember which streams did."""
        if self._newest_first:
            return light.with_columns_seq(_headed=pl.lit(True))
        first = light.unique("key", keep="first").filter("bare", pl.col("at").is_null())
        begun = first.filter(~rows["message"].gather(first["row"]).fill_null(" ").str.contains(r"^\s|^$"))["key"]
        self._mixed.update(set(begun) - self._seen)
        self._seen.update(light["key"].unique())
        heads = light.filter(~pl.col("bare"))["key"].unique().to_list()
        if light["wanted"].any():
            seen = pl.col("key").is_in(list(self._headed)) if self._headed else pl.lit(False)
            here = (~pl.col("bare")).cum_max()
            here = here.over("key") if light["key"].n_unique() > 1 else here
            mixed = pl.col("key").is_in(list(self._mixed)) if self._mixed else pl.lit(False)
            light = light.with_columns_seq(_headed=pl.coalesce("_headed", (seen | here) & ~mixed))
        self._headed.update(heads)
        return light

    def _tokenize(
        self, rows: pl.DataFrame, light: pl.DataFrame, alone: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        wanted = pl.concat([light.filter("wanted"), *([_lone(alone, light)] if alone.height else [])])
        lines = wanted.with_columns_seq(
            text=rows["message"].gather(wanted["row"]).fill_null("").str.strip_chars_end("\r\n")
        )
        if wanted["broken"].any():
            lines = lines.with_columns_seq(pl.col("text").str.split("\n")).explode(
                "text", empty_as_null=False, keep_nulls=False
            )
            lines = lines.with_columns_seq(lead=pl.col("row").ne_missing(pl.col("row").shift(1)))
        else:
            lines = lines.with_columns_seq(lead=pl.lit(True))
        lines = lines.with_columns_seq(own=letters_of(lines["text"], self._patterns))
        lines = lines.with_columns_seq(behind=self._behind_last(lines), under=_under(lines))
        own = pl.col("own")
        quiet = (pl.col("level") <= pl.lit("INFO", dtype=LEVEL)).fill_null(False)
        calm = _calm(lines)
        letter = (
            pl.when(~pl.col("lead"))
            .then(own)
            .when(~pl.col("bare") & quiet & own.is_in(["o", "p"]))
            .then(own.str.to_uppercase())
            # a line of a trace is no record, whatever level and time its transport gave it; read backwards it would have
            # to wait for a record that may never come
            .when(~pl.col("bare") & own.is_in(["f", "q"]) & quiet & pl.lit(not self._newest_first))
            .then(pl.when("apart").then(own.str.to_uppercase()).otherwise(own))
            .when(~pl.col("bare"))
            .then(
                pl.when(~(quiet | calm))
                .then(pl.lit("h"))
                .when(pl.lit(self._newest_first) | pl.col("apart"))
                .then(pl.lit("I"))
                .otherwise(pl.lit("i"))
            )
            .when(
                pl.col("gap")
                | (pl.col("_after") & own.is_in(list("xytopm")))
                | (pl.col("warned") & own.is_in(["o", "p"]))
                | (pl.col("behind") & own.is_in(["x", "y"]))
            )
            .then(own.str.to_uppercase())
            .when(pl.col("late") & own.is_in(["x", "y"]))
            .then(own.str.to_uppercase())
            .when(pl.col("under") & (own == "x"))
            .then(pl.lit("n"))
            .when(~pl.col("_headed") & pl.col("at").is_null() & (own == "x"))
            .then(pl.lit("w"))
            .when(~pl.col("_headed") & pl.col("at").is_null() & (own == "y"))
            .then(pl.lit("v"))
            .otherwise(own)
        )
        lines = lines.with_columns_seq(letter=letter)
        lines = lines.with_columns_seq(start=_starts(lines["letter"]) & lines["lead"])
        # a row whose first line goes on a record belongs to it as a whole
        lines = lines.with_columns_seq(
            record=pl.when(pl.col("start")).then(pl.col("row")).forward_fill(),
            blank=pl.col("start") & pl.col("letter").is_in(["b", "B"]),
        )
        asked = light["wanted"].arg_true()
        heads = lines.filter(pl.col("lead")).head(len(asked))  # in the order in which they were asked for
        none = pl.Series([False]).new_from_index(0, light.height)
        light = light.with_columns_seq(
            start=(~none).scatter(asked, heads["start"]), blank=none.scatter(asked, heads["blank"])
        )
        lines = lines.with_columns_seq(lines=pl.when("lead").then("lines").otherwise(0))
        return light, lines.select_seq(
            "row", "key", "text", "letter", "own", "record", "blank", "lines", "line", "lead", "bare", "_left"
        )

    def _behind_last(self, lines: pl.DataFrame) -> pl.Series:
        """Which lines stand right behind one that a runtime says last of what failed."""
        none = pl.Series([False]).new_from_index(0, lines.height)
        told = (lines["own"] == "k").arg_true()
        if "last" not in self._patterns or not told.len():
            return none
        last = told.filter(lines["text"].gather(told).str.contains(self._patterns["last"]))
        ends = none.scatter(last, True).shift(1, fill_value=False)
        return ends & (lines["key"] == lines["key"].shift(1)).fill_null(False)

    # ------------------------------------------------------------------------------------------------------ holding

    def _hold(self, rows: pl.DataFrame, sequence: pl.DataFrame, lines: pl.DataFrame | None) -> pl.Series:
        """Keep back the rows that lines to come may still join: their indices."""
        place = sequence.with_columns_seq(order=pl.int_range(pl.len(), dtype=pl.Int64))
        if self._newest_first:
            certain = ~pl.col("bare") | (pl.col("gap") & ~pl.col("new"))
            border = pl.when(certain).then(pl.col("order")).min().over("key").fill_null(place.height)
            far = pl.col("_pos").max().over("key") - pl.col("_pos").min().over("key") > REACH
            waits = (pl.col("order") < border) & ~far
        else:
            solid = pl.col("start") & ~pl.col("blank")
            limit = rows["_pos"][-1] - REACH
            # whether a quiet header that is a frame joins what is in front of it is known once three rows are behind it
            parts = (
                lines.filter("lead", ~pl.col("bare"), pl.col("own").is_in(["f", "q", "p"]))["key"]
                if lines is not None
                else None
            )
            open_end = (
                pl.col("key").is_in(parts.unique().implode()) if parts is not None and parts.len() else pl.lit(False)
            )
            last = pl.col("order").max() - pl.when(open_end.first()).then(_AHEAD - 1).otherwise(0)
            starts = pl.col("order").filter(solid)
            # streams stand one behind the other: what waits of each is its end
            ends = place.group_by("key").agg(
                pl.coalesce(starts.filter(starts <= last).max(), starts.min()).alias("border"),
                pl.col("order").max() + 1,
                pl.col("_pos").max(),
            )
            ends = ends.filter((pl.col("_pos") > limit) & pl.col("border").is_not_null())
            waiting = ends.select_seq(pl.int_ranges("border", "order").alias("n")).explode(
                "n", empty_as_null=False, keep_nulls=False
            )
            waits = pl.lit(pl.Series([False]).new_from_index(0, place.height).scatter(waiting["n"], True))
        held = place.filter(waits)
        if lines is not None and not self._newest_first and held.height:
            earlier = self._unsure(lines, held)
            if earlier is not None:
                held = place.join(earlier, on="key", how="left", maintain_order="left").filter(
                    waits | (pl.col("row") >= pl.col("from_row")).fill_null(False)
                )
        numbers = held["row"]
        kept = rows[numbers].with_columns_seq(held.select_seq("_after", "_done", "_joined", "_headed")).sort("_pos")
        self._held = kept if self._newest_first else _shorten(kept, held)
        return numbers

    def _unsure(self, lines: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame | None:
        """For streams whose last lines may belong to a trace yet: the row from which on they wait."""
        waiting = set(held["key"].to_list())
        tails = lines.group_by("key", maintain_order=True).agg(
            pl.col("letter").tail(_WINDOW).str.join("").alias("tail"), pl.col("record").tail(_WINDOW)
        )
        found: list[tuple[int, int]] = []
        for key, tail, record in tails.iter_rows():
            if key in waiting and (match := _UNSURE.search(tail)):
                found.append((key, record[match.start()]))
        if not found:
            return None
        return pl.DataFrame(found, schema={"key": pl.UInt64, "from_row": pl.Int64}, orient="row")


def stream_of(rows: pl.DataFrame) -> pl.Expr:
    """A number for the stream of lines that a row belongs to."""
    parts = {**{name: pl.col(name) for name in _KEYS[:3]}, "stream": own_stream()}
    hashes = [part.hash(seed).alias(name) for seed, (name, part) in enumerate(parts.items())]
    firsts = rows.head(1).select_seq(hashes).row(0) if rows.height else (0,) * len(parts)
    varied = rows.select_seq(part.ne_missing(part.first()).any().alias(name) for name, part in parts.items()).row(0)
    same = [pl.lit(first, dtype=pl.UInt64) for first, differs in zip(firsts, varied, strict=True) if not differs]
    return reduce(xor, [*(h for h, differs in zip(hashes, varied, strict=True) if differs), *same])


def own_stream() -> pl.Expr:
    """The sub-stream of a row, where that has lines of its own."""
    own = pl.col("stream").is_in(["stdout", "stderr"]) | pl.col("stream").str.starts_with(WRITER)
    return pl.when(own).then(pl.col("stream"))


def _starts(letters: pl.Series) -> pl.Series:
    """Which of these letters start a record.

    What surely starts one (a capital or a header: only behind a report may a header be a part of it) and stands between
    two such is one by itself: it need not be looked at, and whether it is there changes nothing for the others.
    """
    opens = (letters < "a") | (letters == "h") | (letters == "i")
    sure = opens & (letters != "P")
    alone = sure & sure.shift(1, fill_value=False) & opens.shift(-1, fill_value=False)
    left = (~alone).arg_true()
    word = letters.gather(left).str.join("").item()
    starts = pl.Series([match.start() for match in _RECORD.finditer(word)], dtype=pl.UInt32)
    return alone.scatter(left.gather(starts), True).alias("start")


def _under(lines: pl.DataFrame) -> pl.Series:
    """Which lines without a time stand below plain text that had one from its transport, with no part of a trace in between: they go
    on it, though it opened no record of its own by a header."""
    none = pl.Series([False]).new_from_index(0, lines.height)
    timed = pl.col("at").is_not_null()
    if not lines.select_seq((timed & pl.col("bare")).any()).item():
        return none
    run = (timed | (pl.col("key") != pl.col("key").shift(1))).fill_null(True).cum_sum()
    plain = pl.col("bare") & pl.col("own").is_in(["x", "y", "n", "b"])
    begun = (timed & pl.col("bare") & (pl.col("own") == "x")).first().over(run)
    return lines.select_seq((~timed & begun & plain.cum_min().over(run)).fill_null(False)).to_series()


def _calm(lines: pl.DataFrame) -> pl.Series:
    """Whether a line is a header of unknown level whose text tells of no trouble."""
    unknown = pl.col("lead") & ~pl.col("bare") & pl.col("level").is_null() & pl.col("own").is_in(["x", "y"])
    at = lines.select_seq(unknown.arg_true()).to_series()
    calm = pl.Series("calm", [False]).extend_constant(False, lines.height - 1)
    return calm.scatter(at, ~lines["text"].gather(at).str.contains(_TROUBLE)) if at.len() else calm


def _lone(alone: pl.DataFrame, light: pl.DataFrame) -> pl.DataFrame:
    """Complete rows of several lines in the shape of the sequence: they start and end by themselves."""
    return alone.with_columns_seq(**_ALONE).select_seq(light.columns)


def _shorten(kept: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """The rows kept back, records of very many rows without their middle; its lines are counted where it was."""
    sizes = held.group_by("key").agg(pl.len(), pl.col("_pos"))
    for key, size, positions in sizes.filter(pl.col("len") > _LONG).select_seq("key", "len", "_pos").iter_rows():
        del key, size
        head, tail = positions[_ENDS - 1], positions[-_ENDS]
        middle = pl.col("_pos").is_in(positions[_ENDS:-_ENDS])
        lost = (
            kept.filter(middle)
            .select_seq(pl.col("lines").sum(), (pl.len() + pl.col("_left").sum()).alias("_left"))
            .row(0)
        )
        kept = kept.filter(~middle).with_columns_seq(
            lines=pl.when(pl.col("_pos") == head).then(pl.col("lines") + lost[0]).otherwise("lines"),
            _left=pl.when(pl.col("_pos") == head).then(pl.col("_left") + int(lost[1])).otherwise("_left"),
            _joined=pl.col("_joined") | (pl.col("_pos") == tail),
        )
    return kept
