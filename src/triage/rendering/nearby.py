"""One group of a log that still runs, from near: what it is, how it goes, where it stands in the chain, its newest lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from triage.rendering import figures, story, terminal
from triage.report import Cluster, Evidence, Failure, Report

if TYPE_CHECKING:
    from rich.text import Text

_MOST_LINKS = 3


def parts(
    report: Report, one: Cluster, newest: Sequence[Evidence], marked: int | None, width: int
) -> tuple[list[Text], list[Text]]:
    """What stays on top and the lines to scroll; `marked` is how many records there were at the mark.

    All text is harmless already. Without newest records the examples of the report are shown.
    """
    return list(_about(report, one, marked, width)), list(_lines(newest or one.examples, bool(newest), width))


def _about(report: Report, one: Cluster, marked: int | None, width: int) -> Iterable[Text]:
    from rich.text import Text

    level = one.level or "no level"
    tone = "bold white on red" if one.level in ("ERROR", "CRITICAL") else "bold black on yellow"
    title = terminal.styled(f" {level} ", tone)
    title.append(" ")
    title.append(story.cluster_name(one, 3 * width), style="bold")
    yield terminal.hang(title, width, len(level) + 3, most=3)
    count = Text(figures.plural(one.count, "record"), style="bold")
    if report.counts.errors and one.level in ("ERROR", "CRITICAL"):
        count.append(
            f", {figures.about(min(1.0, one.count / report.counts.errors))} of the errors", style="default not bold"
        )
    if one.instances > 1:
        count.append(f", from {figures.plural(one.instances, 'instance')}", style="default not bold")
    if marked is not None:
        count.append(f", {figures.amount(max(0, one.count - marked))} since the mark", style="cyan not bold")
    yield terminal.row("count", count, width, 2)
    if one.first_seen is not None and one.last_seen is not None:
        ago = f", the last one {_before(report, one.last_seen)}" if report.window is not None else ""
        yield terminal.row("seen", Text(f"{figures.span(one.first_seen, one.last_seen)} UTC{ago}"), width, 2)
    if one.services:
        yield terminal.row("service", Text(", ".join(one.services)), width, 1)
    yield from _trend(report, one, width)
    failures = [f for f in report.failures if one.id in f.clusters]
    frame = next((f.frame for f in failures if f.frame), None)
    if frame:
        yield terminal.row("raised", Text(frame), width, 2)
    yield from _links(report, failures, width)
    yield Text("")


def _before(report: Report, at: datetime) -> str:
    assert report.window is not None
    gap = (report.window.end - at).total_seconds()
    return "is the log's newest moment" if gap < 1 else f"{figures.seconds(round(gap))} before the log's newest"


def _trend(report: Report, one: Cluster, width: int) -> Iterable[Text]:
    from rich.text import Text

    bars = figures.sparkline(one.trend, most=max(8, min(len(one.trend), width - 30)))
    if not bars or report.window is None:
        return
    start, end = report.window.start, report.window.end
    line = Text(f"{figures.clock(start)} ", style="dim")
    line.append(bars, style="red" if one.level in ("ERROR", "CRITICAL") else "yellow")
    line.append(f" {figures.clock(end)}", style="dim")
    yield terminal.row("trend", line, width, 1)


def _links(report: Report, failures: Sequence[Failure], width: int) -> Iterable[Text]:
    """What the group's failures came of and led to: their place in the chain."""
    from rich.text import Text

    mine = {f.id for f in failures}
    names = {f.id: story.name_of(f) for f in report.failures}
    roots = {r.failure for i in report.incidents for r in i.roots[:1]}
    if mine & roots:
        yield terminal.row("chain", Text("the root cause of the incident", style="bold red"), width, 1)
    for label, ends in (
        ("came of", [(n.cause, n) for n in report.links if n.effect in mine and n.cause not in mine]),
        ("led to", [(n.effect, n) for n in report.links if n.cause in mine and n.effect not in mine]),
    ):
        best = sorted(
            dict.fromkeys(end for end, _ in sorted(ends, key=lambda e: -e[1].confidence)), key=lambda e: e not in roots
        )
        for end in best[:_MOST_LINKS]:
            yield terminal.row(label, Text(terminal.fit(names.get(end, end), width - 14)), width, 1)
            label = ""
        if len(best) > _MOST_LINKS:
            yield terminal.row("", Text(f"and {len(best) - _MOST_LINKS} more", style="dim"), width, 1)


def _lines(found: Sequence[Evidence], newest: bool, width: int) -> Iterable[Text]:
    from rich.text import Text

    yield terminal.heading("Newest first" if newest else "Its first records")
    for one in found:
        at = f"{one.at:%Y-%m-%d %H:%M:%S}.{one.at.microsecond // 1000:03d}Z  " if one.at is not None else ""
        yield terminal.styled(f"  {at}", "cyan").append(
            terminal.fit(f"{one.source}:{one.line}", max(8, width - 30)), style="dim"
        )
        for text in one.text.expandtabs(4).split("\n"):
            yield from _wrapped(text, width)
        yield Text("")


def _wrapped(text: str, width: int) -> Iterable[Text]:
    """The line in rows of the screen, its whitespace kept."""
    from rich.cells import chop_cells
    from rich.text import Text

    for row in chop_cells(text, max(8, width - 5)) or [""]:
        yield Text("    " + row)
