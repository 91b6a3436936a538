"""A log that still runs as one screen of a terminal, and as single lines where there is none."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from triage.rendering import escaping, figures, story, terminal
from triage.rendering.redaction import redacted, rewritten
from triage.report import Incident, Report

if TYPE_CHECKING:
    from rich.text import Text

KEYS = "q quit · w write the report · f freeze · m mark a moment"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that the user marked, and how many records and errors there were by then."""

    at: datetime
    records: int
    errors: int


@dataclass(frozen=True, slots=True)
class Status:
    """How the reading goes: lines so far, lines a second, seconds since the last one, what was marked and what was said."""

    names: tuple[str, ...]
    lines: int
    rate: float
    quiet_s: float
    frozen: bool = False
    mark: Mark | None = None
    said: tuple[str, ...] = ()


def screen(
    report: Report | None, status: Status, *, width: int, height: int, colour: bool, redact: bool = True
) -> list[str]:
    """At most `height` lines of at most `width` columns: the verdict first, then as much as there is room for."""
    out = io.StringIO()
    console = terminal.console_on(out, width, colour=colour)
    head, foot = _head(status, width), _foot(report, status, width)
    rows = [head, *_body(report, width, redact)] if report is not None else [head]
    for row in rows:
        console.print(row, soft_wrap=False)
    shown = out.getvalue().rstrip("\n").split("\n")[: max(1, height - len(foot))]
    shown += [""] * (height - len(foot) - len(shown))
    out.seek(0)
    out.truncate()
    for row in foot:
        console.print(row, soft_wrap=False)
    return (shown + out.getvalue().rstrip("\n").split("\n"))[-height:]


def pulse(report: Report, status: Status, *, redact: bool = True) -> str:
    """One line on how it stands."""
    report = rewritten(redacted(report) if redact else report, escaping.visible)
    counts, http = report.counts, report.http
    parts = [
        f"{_badge(report)}",
        f"{figures.plural(counts.records, 'record')}",
        f"{figures.plural(counts.errors, 'error')} ({figures.share(counts.error_rate)})",
    ]
    if http and http.requests:
        parts.append(f"{figures.amount(http.errors)} of {figures.amount(http.requests)} requests with 5xx")
    if http and http.latency_ms and http.latency_ms.count:
        parts.append(f"p95 {figures.millis(http.latency_ms.p95)}")
    if report.exits.restarts:
        parts.append(figures.plural(report.exits.restarts, "restart"))
    parts.append(
        f"{status.rate:,.0f} lines/s" if status.quiet_s < 5 else f"silent for {figures.seconds(round(status.quiet_s))}"
    )
    return " · ".join(parts)


def announcement(kind: str, incident: Incident, headline: str) -> str:
    """An event as one sentence of plain text."""
    words = " ".join(t for _, t in escaping.spans(escaping.one_line(escaping.visible(headline))))
    title = escaping.shorten(escaping.visible(incident.title), 160)
    words = " ".join(words.split())
    return f"{incident.severity} {kind}: {title}" + (f" - {words}" if kind != "recovered" and words else "")


def _badge(report: Report) -> str:
    return report.severity or "OK"


def _head(status: Status, width: int) -> Text:
    from rich.text import Text

    state = (
        "frozen"
        if status.frozen
        else "live"
        if status.quiet_s < 5
        else f"silent for {figures.seconds(round(status.quiet_s))}"
    )
    right = f"{figures.plural(status.lines, 'line')} · {status.rate:,.0f}/s · {state}"
    names = escaping.shorten(", ".join(escaping.visible(n) for n in status.names), max(8, width - len(right) - 12))
    line = Text("triage watch ", style="dim")
    line.append(terminal.fit(names, max(1, width - len(right) - 15)))
    line.append(" " * max(1, width - line.cell_len - len(right) - 1))
    line.append(right, style="bold" if status.frozen else "dim")
    line.truncate(width - 1)
    return line


def _foot(report: Report | None, status: Status, width: int) -> list[Text]:
    from rich.text import Text

    lines = [Text(terminal.fit(escaping.visible(said), width - 1), style="yellow") for said in status.said[-1:]]
    if status.mark is not None:
        records = report.counts.records - status.mark.records if report is not None else 0
        errors = report.counts.errors - status.mark.errors if report is not None else 0
        since = f"since the mark at {figures.clock(status.mark.at)}: {figures.plural(errors, 'error')} in {figures.plural(records, 'record')}"
        lines.append(Text(terminal.fit(since, width - 1), style="cyan"))
    return [*lines, Text(terminal.fit(KEYS, width - 1), style="dim")]


def _body(report: Report | None, width: int, redact: bool) -> Iterable[Text]:
    from rich.text import Text

    if report is None:
        return
    shown = rewritten(redacted(report) if redact else report, escaping.capped)
    told = story.tell(rewritten(shown, escaping.visible))
    for block in terminal.live_blocks(told, width):
        yield from block
        yield Text("")
