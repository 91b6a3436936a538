"""A log that still runs as one screen of a terminal, and as single lines where there is none."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from triage.rendering import escaping, figures, nearby, story, terminal
from triage.rendering.redaction import redacted, rewritten
from triage.report import Cluster, Evidence, Report

if TYPE_CHECKING:
    from rich.text import Text

KEYS = "q quit · ↑↓ ⏎ look at a group · w write the report · f freeze · m mark"
KEYS_NEAR = "esc back · ↑↓ scroll · ←→ other groups · w write the report · f freeze · q quit"


class Mark(Struct, frozen=True):
    """A moment that the user marked, and how many records there were by then: all, errors, of each group."""

    at: datetime
    records: int
    errors: int
    groups: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, report: Report | None, at: datetime) -> Mark:
        """The moment `at`, when that was what is known."""
        if report is None:
            return cls(at, 0, 0)
        return cls(at, report.counts.records, report.counts.errors, {c.id: c.count for c in report.clusters})


class Status(Struct, frozen=True):
    """How the reading goes: lines so far, lines a second, seconds since the last one, what was marked and what was said."""

    names: tuple[str, ...]
    lines: int
    rate: float
    quiet_s: float
    frozen: bool = False
    mark: Mark | None = None
    said: tuple[str, ...] = ()


class View(Struct, frozen=True):
    """What the user looks at: the group that is chosen, whether it is opened, how far its lines are scrolled."""

    chosen: str = ""
    opened: bool = False
    scroll: int = 0
    newest: tuple[Evidence, ...] = ()


def turn(view: View, key: str, report: Report) -> View:
    """What is looked at after a key."""
    ids = [c.id for c in listed(report)]
    place = ids.index(view.chosen) if view.chosen in ids else -1
    match key:
        case "esc" | "back" if view.opened:
            return replace(view, opened=False, scroll=0)
        case "esc" | "back":
            return View()
        case "enter" if view.opened:
            return replace(view, opened=False, scroll=0)
        case "enter" if ids:
            return View(ids[max(place, 0)], opened=True)
        case "down" | "j" if view.opened:
            return replace(view, scroll=view.scroll + 1)
        case "up" | "k" if view.opened:
            return replace(view, scroll=max(0, view.scroll - 1))
        case "page down" | " " if view.opened:
            return replace(view, scroll=view.scroll + 10)
        case "page up" if view.opened:
            return replace(view, scroll=max(0, view.scroll - 10))
        case "home" if view.opened:
            return replace(view, scroll=0)
        case "left" | "right" if view.opened and ids:
            return View(ids[(max(place, 0) + (1 if key == "right" else -1)) % len(ids)], opened=True)
        case "down" | "j" if ids:
            return View(ids[min(place + 1, len(ids) - 1)])
        case "up" | "k" if ids:
            return View(ids[max(place - 1, 0)])
        case digit if digit.isdigit() and 0 < int(digit) <= len(ids):
            return View(ids[int(digit) - 1], opened=True)
        case _:
            return view


def listed(report: Report) -> tuple[Cluster, ...]:
    """The groups that can be chosen, in the order in which they are shown."""
    noisy = {*report.noise, *report.passed}
    loud = sorted((c for c in report.clusters if c.id not in noisy), key=lambda c: -c.count)
    return tuple(loud[: story.MOST_CLUSTERS])


def screen(
    report: Report | None,
    status: Status,
    view: View | None = None,
    *,
    width: int,
    height: int,
    colour: bool,
    redact: bool = True,
) -> list[str]:
    """`height` lines of at most `width` columns: the verdict first, then as much as there is room for."""
    view = view or View()
    out = io.StringIO()
    console = terminal.console_on(out, width, colour=colour)

    def printed(rows: Iterable[Text]) -> list[str]:
        out.seek(0)
        out.truncate()
        for row in rows:
            console.print(row, soft_wrap=False)
        return out.getvalue().rstrip("\n").split("\n") if out.getvalue() else []

    if report is not None:
        if redact:
            report, newest = redacted((report, view.newest))
            view = replace(view, newest=newest)
        report = rewritten(rewritten(report, escaping.capped), escaping.visible)
        view = replace(view, newest=rewritten(view.newest, escaping.visible))
    one = (
        next((c for c in report.clusters if c.id == view.chosen), None) if report is not None and view.opened else None
    )
    foot = printed(_foot(report, status, width, KEYS_NEAR if one is not None else KEYS))
    top = printed([_head(status, width)])
    room = max(1, height - len(foot) - len(top))
    if report is None:
        body = printed(_waiting(status))
    elif one is not None:
        known = status.mark.groups.get(one.id, 0) if status.mark is not None else None
        about, lines = nearby.parts(report, one, view.newest, known, width)
        body = _scrolled(printed(about), printed(lines), view.scroll, room)
    else:
        body = printed(_body(report, view, width, height))[:room]
    body += [""] * (room - len(body))
    return (top + body[:room] + foot)[-height:]


def _scrolled(fixed: list[str], lines: list[str], scroll: int, room: int) -> list[str]:
    """What is known of a group on top, and as many of its lines below as there is room for."""
    fixed = fixed[: max(1, room - 3)]
    space = room - len(fixed)
    start = min(scroll, max(0, len(lines) - space))
    return [*fixed, *lines[start : start + space]]


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


def _foot(report: Report | None, status: Status, width: int, keys: str) -> list[Text]:
    from rich.text import Text

    lines = [Text(terminal.fit(escaping.visible(said), width - 1), style="yellow") for said in status.said[-1:]]
    if status.mark is not None:
        records = report.counts.records - status.mark.records if report is not None else 0
        errors = report.counts.errors - status.mark.errors if report is not None else 0
        since = f"since the mark at {figures.clock(status.mark.at)}: {figures.plural(errors, 'error')} in {figures.plural(records, 'record')}"
        lines.append(Text(terminal.fit(since, width - 1), style="cyan"))
    return [*lines, Text(terminal.fit(keys, width - 1), style="dim")]


def _waiting(status: Status) -> Iterable[Text]:
    from rich.text import Text

    words = "no line has come yet" if not status.lines else "reading the first lines"
    yield Text("")
    yield Text(f"  {words}", style="dim")


def _body(report: Report, view: View, width: int, height: int) -> Iterable[Text]:
    from rich.text import Text

    told = story.tell(report)
    most = 4 if height < 30 else 6 if height < 40 else story.MOST_CLUSTERS
    groups = [] if report.healthy and not view.chosen else _groups(report, view, width, most)
    for block in terminal.live_blocks(told, width, height, groups):
        yield from block
        yield Text("")


def _groups(report: Report, view: View, width: int, most: int) -> list[Text]:
    """The groups by their numbers, the chosen one marked; of many those around it."""
    from rich.cells import cell_len
    from rich.text import Text

    every = listed(report)
    if not every:
        return []
    place = next((n for n, c in enumerate(every) if c.id == view.chosen), -1)
    first = max(0, min(place - most + 1, len(every) - most))
    shown = every[first : first + most]
    bars = 24 if width >= 110 else 12
    wide = max(len(figures.amount(c.count)) for c in shown)
    lines = [terminal.heading("What failed")]
    for number, one in enumerate(shown, first + 1):
        here = one.id == view.chosen
        tone = "red" if one.level in ("ERROR", "CRITICAL") else "yellow"
        seen = f"  {figures.clock(one.last_seen)}" if one.last_seen else ""
        line = Text("▶" if here else " ", style="bold cyan" if here else "")
        line.append(f"{number if number < 10 else '·'} ", style="dim")
        line.append(f"{figures.amount(one.count):>{wide}}  ", style="bold")
        line.append(f"{figures.sparkline(one.trend, most=bars):<{bars}}  ", style=tone)
        name = terminal.fit(terminal.label_of(one), max(8, width - line.cell_len - cell_len(seen) - 1))
        line.append(name, style="bold" if here else "")
        line.append(" " * max(0, width - line.cell_len - cell_len(seen) - 1))
        line.append(seen, style="dim")
        lines.append(line)
    more = len(every) - len(shown)
    if more:
        lines.append(Text(f"   and {figures.plural(more, 'other group')}", style="dim"))
    return lines
