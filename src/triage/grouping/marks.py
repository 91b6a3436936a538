"""Lines that say what happened to a process or a deployment: starts, stops, exits, kills, deploys, lost lines."""

from __future__ import annotations

import re
import signal as signals
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict

import polars as pl
from msgspec import Struct, field

from triage.errors import PackError
from triage.grouping.masks import check_regex, find_pack
from triage.locating import check_types, with_lines
from triage.packs import is_ours, read_pack

NAMES = (
    "start",
    "ready",
    "stop",
    "exit",
    "worker_exit",
    "oom",
    "deploy",
    "loss",
    "listen",
    "config",
    "slow",
    "told",
    "holder",
    "retry",
)

MARKS: dict[str, pl.DataType] = {
    # One row per event that says such a thing, in order of the rows.
    "row": pl.Int64(),  # index of the event in the frame, from 0
    "mark": pl.String(),  # one of NAMES
    "exit_code": pl.Int64(),  # of exit and worker_exit; 128 + n for a signal n
    "signal": pl.String(),  # "SIGKILL"; null when the process ended by itself
    "address": pl.String(),  # of ready and listen: "host:port", ":port" when only the port is told
    "revision": pl.String(),  # of deploy: commit, release or revision, where it is told
    "count": pl.Int64(),  # of loss: how many lines, where it is told
}

_FIELDS = {"name", "mark", "needs", "pattern", "signal", "kinds", "examples", "counter"}
_GROUPS = ("exit_code", "signal", "name", "number", "address", "host", "port", "revision", "count", "command")
_PIECE = 4
_COMMON = (  # words of lines that tell of none of these things
    " action= application= client= connection= container= database= duration= error= function= import= message= order= payment="
    " port= process= query= report= request= response= request_id= service= session= starting= status= support= thread= timeout="
    " transaction= transport= version= worker= user= read= action application client connection container database duration"
    " error function import message order payment port process query report request response service session started status"
    " support thread timeout transaction transport version worker user read reading loading completed failed "
)
_DEAR = 4
_SHORT = 60  # bytes
_LONGEST = 500  # characters of the first line that are looked at
_NUMBERS = {s.value: s.name for s in signals.Signals if s.value < 32}
_WORDS = {"killed": "SIGKILL", "segmentation fault": "SIGSEGV", "aborted": "SIGABRT"}
_SHELL = {129, 130, 131, 132, 134, 135, 136, 137, 139, 141, 143}  # exit codes that mean 128 + signal
_FACTS = {n: t for n, t in MARKS.items() if n != "row"}


class Sign(Struct, frozen=True):
    """One entry of marks.yaml."""

    name: str
    mark: str
    needs: tuple[str, ...]
    pattern: str
    signal: str | None = None
    kinds: tuple[str, ...] = ()
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counter: tuple[str, ...] = ()


@with_lines
def load_marks(dirs: Sequence[Path] | None = None) -> tuple[Sign, ...]:
    """The entries in the order they are tried; PackError for one that cannot be used. The first folder with a file wins."""
    path = find_pack("marks.yaml", dirs)
    entries = read_pack(path).get("marks")
    if not isinstance(entries, list) or not entries:
        raise PackError(f"{path}: no marks", hint="give it a list called marks:")
    signs = tuple(_read(path, entry) for entry in entries)
    for sign in () if is_ours(path) else signs:
        check_regex(sign.pattern, f"{path}: mark {sign.name!r}: pattern")
    return signs


def telling_words(dirs: tuple[Path, ...] | None = None) -> tuple[str, ...]:
    """Of every line that says such a thing at least one of these stands in it, as it is written here."""
    return tuple(sorted({need for sign in _table(dirs)[0] for need in sign.needs}))


def mark(events: pl.DataFrame, *, dirs: tuple[Path, ...] | None = None) -> pl.DataFrame:
    """MARKS of EVENTS: one row for each event that says something of the life of a process or a deployment.

    Only the first line of a message is looked at; a structured entry with an exit code of its own is an exit. Access
    lines say nothing of the kind: whatever stands in their URL was written by a client.
    """
    table, hint, pieces = _table(dirs)
    message = pl.col("message")
    rows = events.select_seq(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), "message", "kind", "exit_code")
    if (access := rows["kind"] == "access").any():
        rows = rows.filter(~access.fill_null(False))
    # vectors do not pay on short texts
    short = (rows["message"].str.len_bytes().mean() or 0) < _SHORT  # type: ignore[operator]
    text = rows["message"].str
    held = (text.contains_any(list(pieces)) if short else text.contains("|".join(map(re.escape, pieces)))).fill_null(
        False
    )
    if rows["exit_code"].null_count() < rows.height:
        held |= rows["exit_code"].is_not_null()
    hits = (
        rows.filter(held)
        .filter(message.str.contains(hint) | pl.col("exit_code").is_not_null())
        .with_columns_seq(message.str.extract(r"^\s*([^\r\n]*)").str.head(_LONGEST).alias("text"))
    )
    if hits.is_empty():
        return pl.DataFrame(schema=MARKS)
    texts = hits.select_seq("text", kind=pl.col("kind").cast(pl.String())).filter(pl.col("text").is_not_null()).unique()
    facts = _read_texts(texts, table)
    told = pl.col("mark").is_not_null() & (pl.col("mark") != "none")
    silent = pl.col("mark").is_null() & pl.col("own").is_not_null()
    code = pl.coalesce(pl.col("exit_code"), pl.when(pl.col("mark").is_in(["exit", "worker_exit"])).then(pl.col("own")))
    return (
        hits.rename({"exit_code": "own"})
        .with_columns_seq(pl.col("kind").cast(pl.String()))
        .join(facts, on=["text", "kind"], how="left", nulls_equal=True, maintain_order="left")
        .filter(told | silent)
        .with_columns_seq(pl.col("mark").fill_null("exit"))
        .with_columns_seq(exit_code=code)
        .with_columns_seq(
            signal=pl.when(pl.col("mark").is_in(["exit", "worker_exit"])).then(
                pl.coalesce(
                    pl.col("signal"),
                    pl.col("exit_code").replace_strict(
                        {c: _NUMBERS[c - 128] for c in sorted(_SHELL)}, default=None, return_dtype=pl.String()
                    ),
                )
            )
        )
        .select_seq(MARKS.keys())
        .sort("row")
    )


def _read_texts(texts: pl.DataFrame, table: Sequence[Sign]) -> pl.DataFrame:
    """Facts of distinct (text, kind); the first entry that matches a text speaks for it."""
    literals = sorted({n for sign in table for n in sign.needs})
    held = texts["text"].str.extract_many(literals, overlapping=True).explode().unique()
    present = set(held.drop_nulls().to_list())
    left = texts
    found: list[pl.DataFrame] = []
    for sign in table:
        if present.isdisjoint(sign.needs):
            continue
        here = left.filter(_any_literal(sign.needs))
        if sign.kinds:
            here = here.filter(pl.col("kind").is_in(list(sign.kinds)))
        if here.is_empty():  # compiling a regex costs more than running it on so few texts
            continue
        here = here.filter(pl.col("text").str.contains(sign.pattern))
        if here.is_empty():
            continue
        found.append(
            here.select_seq(
                "text", "kind", pl.col("text").str.extract_groups(_named(sign.pattern)).alias("groups")
            ).select_seq("text", "kind", *_facts(sign))
        )
        left = left.join(here, on=["text", "kind"], how="anti", nulls_equal=True)
    if not found:
        return pl.DataFrame(schema={"text": pl.String(), "kind": pl.String(), **_FACTS})
    return pl.concat(found)


def _named(pattern: str) -> str:
    return pattern if "(?P<" in pattern else f"(?P<command>{pattern})"


def _facts(sign: Sign) -> list[pl.Expr]:
    names = _group_names(_named(sign.pattern))

    def group(word: str) -> pl.Expr:
        own = [pl.col("groups").struct.field(n) for n in names if n.rstrip("0123456789") == word]
        return pl.coalesce(*own) if own else pl.lit(None, dtype=pl.String())

    number = group("number").cast(pl.Int64, strict=False)
    signal = pl.coalesce(
        group("signal"),
        number.replace_strict(_NUMBERS, default=None, return_dtype=pl.String()),
        group("name").replace_strict(_WORDS, default=None, return_dtype=pl.String()),
        pl.lit(sign.signal, dtype=pl.String()),
    )
    by_signal = 128 + signal.replace_strict({n: v for v, n in _NUMBERS.items()}, default=None, return_dtype=pl.Int64())
    place = pl.coalesce(group("host"), pl.lit("")) + ":" + group("port")
    return [
        pl.lit(sign.mark).alias("mark"),
        pl.coalesce(group("exit_code").cast(pl.Int64, strict=False), by_signal).alias("exit_code"),
        signal.alias("signal"),
        pl.coalesce(group("address"), place).alias("address"),
        group("revision").alias("revision"),
        group("count").cast(pl.Int64, strict=False).alias("count"),
    ]


def _group_names(pattern: str) -> list[str]:
    return [part.split(">", 1)[0] for part in pattern.split("(?P<")[1:]]


def _any_literal(literals: Sequence[str]) -> pl.Expr:
    return pl.any_horizontal(pl.col("text").str.contains(n, literal=True) for n in literals)


@cache
def _table(dirs: tuple[Path, ...] | None) -> tuple[tuple[Sign, ...], str, tuple[str, ...]]:
    """The entries, a regex for a text that holds what one of them needs, and pieces that find all of these and some more.

    The regex is twice as fast as contains_any, a search for the pieces two to four times as fast as that.
    """
    table = load_marks(dirs)
    needs = {n for sign in table for n in sign.needs}
    shortest = sorted(n for n in needs if not any(other != n and other in n for other in needs))
    return table, "|".join(map(re.escape, shortest)), tuple(_shared_pieces(shortest))


def _shared_pieces(literals: Sequence[str]) -> list[str]:
    """Few short pieces of the literals, of which each literal holds one: a search for so few goes by vectors.

    A piece of what stands in very many lines is taken only where it saves several others.
    """
    own = {n: {n[i : i + _PIECE] for i in range(max(1, len(n) - _PIECE + 1))} for n in literals}
    price = {p: _DEAR if p in _COMMON else 1 for ps in own.values() for p in ps}
    pieces = []
    while own:
        counts = Counter(chain.from_iterable(own.values()))
        piece = max(counts, key=lambda p: (counts[p] / price[p], p))
        pieces.append(piece)
        own = {n: ps for n, ps in own.items() if piece not in ps}
    return pieces


class _Shape(TypedDict, total=False):
    needs: list[str]
    pattern: str
    kinds: list[str]
    examples: dict[str, dict[str, Any]] | None
    counter: list[str]


def _read(path: Path, entry: Any) -> Sign:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise PackError(f"{path}: an entry without a name", hint="give each entry name:, mark:, needs: and pattern:")
    name = entry["name"]
    if unknown := set(entry) - _FIELDS:
        raise PackError(f"{path}: {name!r} has {sorted(unknown)}", hint=f"known: {', '.join(sorted(_FIELDS))}")
    check_types(entry, _Shape, f"{path}: {name!r}")
    kind = entry.get("mark")
    if kind != "none" and kind not in NAMES:
        raise PackError(f"{path}: {name!r} has mark {kind!r}", hint=f"known: none, {', '.join(NAMES)}")
    needs = tuple(str(n) for n in entry.get("needs") or ())
    if not needs or not all(needs):
        raise PackError(f"{path}: {name!r} has no needs", hint="name a literal that every such line holds")
    if not isinstance(entry.get("pattern"), str):
        raise PackError(f"{path}: {name!r} has no pattern", hint="give it a Rust regex")
    for group in _group_names(entry["pattern"]):
        if group.rstrip("0123456789") not in _GROUPS:
            raise PackError(f"{path}: {name!r} has a group {group!r}", hint=f"known: {', '.join(_GROUPS)}")
    return Sign(
        name,
        str(kind),
        needs,
        entry["pattern"],
        entry.get("signal"),
        tuple(str(k) for k in entry.get("kinds") or ()),
        entry.get("examples") or {},
        tuple(str(t) for t in entry.get("counter") or ()),
    )
