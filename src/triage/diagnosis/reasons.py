"""Why a cluster or a failure has the id that it has: every part of it, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct

from triage.grouping.folding import ANY
from triage.grouping.signature import Part, explain
from triage.intake.stacks import known_traces
from triage.intake.traces import assemble
from triage.packs import pattern_dirs
from triage.report import Cluster, Failure, Link
from triage.schema import INTAKE, ROWS, conform, empty


class _Text(Struct, frozen=True):
    """One text as the rows of a batch."""

    rows: pl.DataFrame
    intake: pl.DataFrame


def reasons(item: Cluster | Failure | Link, *, patterns: Sequence[Path] = ()) -> list[Part]:
    """The parts of the item's id and what did not enter it, each with its reason."""
    match item:
        case Cluster():
            return _of_cluster(item, patterns)
        case Failure():
            return _of_failure(item)
    return [
        Part(item.cause, True, "a link is named by its ends: the failure that came first"),
        Part(item.effect, True, "the failure that followed"),
        Part(item.kind, False, item.why or "by what the two belong together"),
    ]


def _of_cluster(one: Cluster, patterns: Sequence[Path]) -> list[Part]:
    if not one.examples:
        return [Part(one.template, True, "no example of it was kept, so only its template is known")]
    text = one.examples[0].text
    row = conform(
        pl.DataFrame(
            {"message": [text], "source": ["-"], "line": [1], "lines": [1], "header": [True], "kind": ["app"]}
        ),
        ROWS,
    )
    traces = known_traces(pattern_dirs(patterns) if patterns else None)
    events = pl.concat([part.events for part in assemble([_Text(row, empty(INTAKE))], traces=traces)])
    if one.template.startswith("HTTP "):
        return [Part(one.template, True, "a request counts by its status")]
    parts = explain(events.row(0, named=True))
    if one.steered:
        return [Part(one.template, True, one.steered), *parts]
    if ANY not in one.template:
        return parts
    told = "near-equal templates are one: <*> stands for what differs between them and is surely a value"
    return [Part(one.template, True, told), *(Part(p.part, False, p.why) if p.contributes else p for p in parts)]


def _of_failure(one: Failure) -> list[Part]:
    parts = [Part(one.kind, True, "the kind of the failure")]
    if one.kind in ("http", "latency", "gap"):
        parts += [Part(name, True, "the service whose figures show it") for name in one.services]
        if one.kind == "http":
            parts.append(Part(one.message, True, "the status"))
        where = "the same failure of the same service in another log is one failure"
        return [*parts, *(Part(name, False, where) for name in ("figures", "first and last seen", "count"))]
    if one.exception:
        parts.append(Part(one.exception, True, "the type of the exception"))
    parts.append(Part(one.message, True, "its message, with what varies masked"))
    if one.frame:
        parts.append(
            Part(one.frame, False, "the same failure raised elsewhere is one failure; clusters tell places apart")
        )
    where = "the same failure in another place, at another time or in another format is one failure"
    return [*parts, *(Part(name, False, where) for name in ("services", "first and last seen", "count"))]
