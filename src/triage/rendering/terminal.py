"""The report for a terminal: the verdict in five lines, then what it rests on."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from triage.rendering import escaping, figures, story
from triage.rendering.redaction import rewritten
from triage.rendering.source import Told
from triage.rendering.story import Candidate, Case, Step, Story
from triage.report import Cluster, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDTH = 100
_NARROWEST = 40
_BADGES = {
    "P0": "bold white on red",
    "P1": "bold white on red",
    "P2": "bold black on yellow",
    "P3": "bold black on cyan",
}
_TONES = {"root": "bold red", "exit": "yellow", "effect": "cyan", "noise": "dim"}
_PACKAGE = re.compile(r"^(?:[A-Za-z_]\w*\.)+(?=[A-Z]\w*(?:Error|Exception|Warning|Fault|Timeout)\b)")
_MOST_STEPS = 9
_MOST_CLUSTERS = 6
_MOST_CLAIMS = 4
_ROOMY = 34  # rows of a screen that has room for everything
_MOST_ACTIONS = 6
_LABEL = 11  # columns that the names on the left take


def console_on(out: io.StringIO, width: int, *, colour: bool) -> Console:
    """A console that writes to `out` just what it is given: nothing of it depends on where the program runs."""
    from rich.console import Console

    return Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        force_interactive=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )


def terminal(report: Report, *, width: int | None = None, colour: bool = False) -> str:
    """Lines of at most `width` columns (100 when None), with ANSI colours only where asked for."""
    told = story.tell(rewritten(report, escaping.visible))
    columns = max(_NARROWEST, width or WIDTH)
    out = io.StringIO()
    console = console_on(out, columns, colour=colour)
    for block in _blocks(told, columns):
        for line in block:
            console.print(line, soft_wrap=False)
        console.print()
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().split("\n")) + "\n"


def _blocks(told: Story, columns: int) -> Iterable[list[Text]]:
    yield _verdict(told, columns)
    for case in told.cases:
        if len(case.steps) > 1:
            yield chain(case, columns)
    if told.source:
        yield _source(told.source, columns)
    if told.clusters and not told.report.healthy:
        yield _clusters(told, columns)
    rates = _rates(told, columns)
    if rates:
        yield rates
    if told.actions:
        yield _actions(told, columns)
    yield _closing(told, columns)


def live_blocks(told: Story, columns: int, rows: int, groups: list[Text]) -> Iterable[list[Text]]:
    """What matters of a log that still runs, what matters most first: a screen shows as much as there is room for."""
    yield _verdict(told, columns) if rows >= _ROOMY else _brief(told, columns)
    rates = _rates(told, columns)
    if rates:
        yield rates
    if groups:
        yield groups
    for case in told.cases:
        if len(case.steps) > 1:
            yield chain(case, columns)
    if told.actions:
        yield _actions(told, columns)


def _verdict(told: Story, columns: int) -> list[Text]:
    from rich.text import Text

    lines = [_headline(told, columns, 3)]
    for number, case in enumerate(told.cases, 1):
        label = "root" if len(told.cases) == 1 else f"root {number}"
        if not case.candidates:
            lines.append(
                row(label, Text("not in this log; only its effects are: " + ", ".join(case.symptoms[:4])), columns, 2)
            )
            continue
        lines.append(row(label, _cause(case.candidates[0], 2 * (columns - _LABEL) - 12), columns, 3))
    figures_of_impact = list(_impact(told.report))
    if figures_of_impact:
        lines.append(row("impact", Text(" · ").join(figures_of_impact), columns, 2))
    first = next(iter(told.actions), None)
    if first:
        lines.append(row("do first", _prose(first.text), columns, 2))
    lines.append(row("when", Text(told.stamp, style="dim"), columns, 2))
    return lines


def _brief(told: Story, columns: int) -> list[Text]:
    """The verdict where rows are scarce: what and why."""
    from rich.text import Text

    lines = [_headline(told, columns, 2)]
    lines += [
        row("root", _cause(case.candidates[0], 2 * (columns - _LABEL) - 16), columns, 2)
        for case in told.cases[:2]
        if case.candidates
    ]
    impact = list(_impact(told.report))
    if impact:
        lines.append(row("impact", Text(" · ").join(impact), columns, 1))
    return lines


def _headline(told: Story, columns: int, most: int) -> Text:
    report = told.report
    badge = report.severity or ("OK" if report.healthy else "??")
    head = styled(f" {badge} ", _BADGES.get(badge, "bold white on green" if report.healthy else "bold black on yellow"))
    head.append(" ")
    head.append(escaping.shorten(_plain(report.headline), most * columns), style="bold")
    return hang(head, columns, len(badge) + 3, most=most)


def _cause(best: Candidate, room: int) -> Text:
    """A root cause in about that many columns: its name gives way first, then the folders of its place."""
    place = best.failure.frame if best.failure and best.failure.frame else ""
    if len(place) * 2 > room:
        place = story.short_place(place)
    where = f"  at {fit(place, room // 2)}" if place else ""
    sure = f"  {best.confidence}, {best.root.confidence:.2f}; explains {figures.about(best.root.explains)}"
    text = styled(fit(best.name, max(room // 3, room - len(where) - len(sure))), "red")
    text.append(where, style="default")
    text.append(sure, style="dim")
    return text


def _impact(report: Report) -> Iterable[Text]:
    from rich.text import Text

    http, exits = report.http, report.exits
    if exits.starts:
        yield Text.assemble(
            (f"{figures.amount(exits.ready)} of {figures.amount(exits.starts)}", "bold"), " starts succeeded"
        )
    if http and http.requests:
        worst = next((i for i in report.incidents if i.failed and i.requests < http.requests), None)
        bad, of = (worst.failed, worst.requests) if worst else (http.errors, http.requests)
        during = " while it lasted" if worst else ""
        failed = f"{figures.amount(bad)} of {figures.amount(of)}"
        yield Text.assemble((failed, "bold"), f" requests failed{during} ({figures.share(bad / of)})")
        refused = sum(n for status, n in http.status.items() if status.startswith("4"))
        if not bad and refused * 50 >= http.requests:
            yield Text.assemble((figures.amount(refused), "bold"), f" were refused ({figures.share(refused / of)})")
    if report.counts.records:
        errors = f"{figures.amount(report.counts.errors)} of {figures.amount(report.counts.records)}"
        yield Text.assemble((errors, "bold"), " records are errors")


def chain(case: Case, columns: int) -> list[Text]:
    from rich.text import Text

    lines = [heading(escaping.shorten(case.heading, columns - 2) if case.heading else "How it unfolds")]
    shown = case.steps[:_MOST_STEPS]
    levels: dict[str, int] = {}
    for step in shown:
        levels[step.node.key] = levels.get(step.via.cause, 0) + 1 if step.via else 0
    lines += [_step(step, levels[step.node.key], columns) for step in shown]
    if len(case.steps) > len(shown):
        lines.append(Text(f"   … {figures.plural(len(case.steps) - len(shown), 'more step')}", style="dim"))
    return lines


def _step(step: Step, level: int, columns: int) -> Text:
    from rich.cells import cell_len
    from rich.text import Text

    text = Text("  ")
    if step.via:
        text.append("  " * min(level - 1, 6) + "└─ " + step.via.words + " → ", style="dim")
    count = f"  {step.node.count}" if len(step.node.failures) <= 1 and step.node.count else ""
    room = columns - text.cell_len - len(count) - 1
    places = (step.node.where, step.node.where.split(" in ")[0], story.short_place(step.node.where))
    where = next((f"  {p}" for p in places if p and cell_len(step.node.name + p) + 2 <= room), "")
    text.append(fit(step.node.name, max(16, room)), style=_TONES.get(step.node.tone, "default"))
    text.append(count, style="bold")
    text.append(where, style="dim")
    return text


def _source(told: Told, columns: int) -> list[Text]:
    from rich.text import Text

    lines = [heading("In the source")]
    for claim in told.claims[:_MOST_CLAIMS]:
        text = styled(f"  {claim.basis:<9}  ", "bold green" if claim.basis == "proven" else "yellow")
        text.append_text(_prose(claim.text))
        lines.append(hang(text, columns, 13, most=4))
        lines += [
            Text(" " * 13 + fit(row, columns - 14), style="dim")
            for row in claim.code.split("\n")
            if row.startswith(">")
        ]
    if len(told.claims) > _MOST_CLAIMS:
        lines.append(Text(f"  and {figures.plural(len(told.claims) - _MOST_CLAIMS, 'more claim')}", style="dim"))
    if not told.claims:
        lines.append(Text("  nothing of these failures was found in it", style="dim"))
    lines += [hang(Text(f"  {notice}", style="dim"), columns, 2, most=2) for notice in told.notices[:3]]
    return lines


def _clusters(told: Story, columns: int) -> list[Text]:
    from rich.cells import cell_len
    from rich.text import Text

    lines = [heading("What failed")]
    bars = 24 if columns >= 110 else 12
    shown = told.clusters[:_MOST_CLUSTERS]
    wide = max(len(figures.amount(c.count)) for c in shown)
    room = columns - (2 + wide + 2 + bars + 2) - 1
    seen = {
        c.id: f"  {figures.clock(c.first_seen)}–{figures.clock(c.last_seen)}" if c.first_seen and c.last_seen else ""
        for c in shown
    }
    names = {c.id: fit(label_of(c), room - len(seen[c.id])) for c in shown}
    longest = max(cell_len(n) for n in names.values())
    for cluster in shown:
        tone = "red" if cluster.level in ("ERROR", "CRITICAL") else "yellow"
        name, trend = names[cluster.id], figures.sparkline(cluster.trend, most=bars)
        line = styled(f"  {figures.amount(cluster.count):>{wide}}  ", "bold")
        line.append(f"{trend:<{bars}}  ", style=tone)
        line.append(name + " " * (longest - cell_len(name)))
        line.append(seen[cluster.id], style="dim")
        lines.append(line)
    rest = len(told.clusters) - len(shown) + told.more_clusters
    if rest:
        lines.append(Text(f"  and {figures.plural(rest, 'smaller group')}", style="dim"))
    return lines


def label_of(cluster: Cluster) -> str:
    name = story.cluster_name(cluster, 300)
    kind = cluster.exception
    return f"{name} · {kind.rsplit('.', 1)[-1]}" if kind and kind not in name else name


def _rates(told: Story, columns: int) -> list[Text]:
    from rich.text import Text

    report, rows = told.report, []
    bars = 60 if columns >= 110 else 30
    trends = {name: figures.sparkline(values, most=bars) for name, values, _ in told.trends}
    counts, http = report.counts, report.http
    if counts.records:
        errors = Text(
            f"{figures.plural(counts.errors, 'error')}, {figures.plural(counts.warnings, 'warning')} in {figures.plural(counts.records, 'record')} ({figures.share(counts.error_rate)})"
        )
        rows.append(("records", errors, trends.get("errors", trends.get("records", ""))))
    if http and http.requests:
        text = Text(
            f"{figures.amount(http.errors)} of {figures.amount(http.requests)} with 5xx ({figures.share(http.error_rate)})"
        )
        rows.append(("requests", text, trends.get("5xx", trends.get("requests", ""))))
    if http and http.latency_ms and http.latency_ms.count:
        latency = http.latency_ms
        text = Text(
            f"p50 {figures.millis(latency.p50)}  p95 {figures.millis(latency.p95)}  max {figures.millis(latency.max)}"
        )
        if latency.wall:
            text.append(f"  (limit {figures.millis(latency.wall)})", style="yellow")
        rows.append(("latency", text, ""))
    for loop in report.exits.loops[:3]:
        text = Text(
            f"{escaping.shorten(loop.service, 40) + ': ' if loop.service else ''}{story.loop_words(loop)}",
            style="yellow",
        )
        rows.append(("loop", text, ""))
    if report.exits.restarts and not report.exits.loops:
        rows.append(("restarts", Text(figures.amount(report.exits.restarts)), ""))
    if not rows:
        return []
    lines = [heading("Rates")]
    wide = max(text.cell_len for _, text, bar in rows if bar) if any(bar for *_, bar in rows) else 0
    for name, text, bar in rows:
        if bar and _LABEL + 2 + wide + 2 + len(bar) < columns:
            text.append(" " * (wide - text.cell_len + 2))
            text.append(bar, style="red" if not report.healthy else "green")
        lines.append(row(name, text, columns, 2))
    return lines


def _actions(told: Story, columns: int) -> list[Text]:

    lines = [heading("Do")]
    for action in told.actions[:_MOST_ACTIONS]:
        text = styled(f"  {action.priority}  ", "bold red" if action.priority == "P0" else "bold")
        text.append_text(_prose(action.text))
        lines.append(hang(text, columns, 6, most=3))
    if told.report.metrics:
        text = styled("  Fixed when ", "dim")
        done = (f"{m.name} {m.target} (now {m.now})" for m in told.report.metrics)
        text.append(_plain(" · ".join(done)), style="dim")
        lines.append(hang(text, columns, 2, most=4))
    return lines


def _closing(told: Story, columns: int) -> list[Text]:
    from rich.text import Text

    report, lines = told.report, []
    if told.passed:
        shown = " · ".join(f"{story.cluster_name(c, 60)} {story.lasted(c)}" for c in told.passed[:3])
        rest = f" · and {len(told.passed) - 3} more" if len(told.passed) > 3 else ""
        words = f"Came and went, and harmed nobody as far as the logs show: {shown}{rest}."
        lines.append(hang(Text(words), columns, 0, most=4))
    if told.noise:
        groups = figures.plural(len(told.noise), "group")
        words = f"Noise, there all along: {groups}, e.g. {story.cluster_name(told.noise[0], 60)}."
        lines.append(hang(Text(words, style="dim"), columns, 0, most=2))
    if told.ruled_out:
        categories = list(dict.fromkeys(r.category for r in report.ruled_out))
        words = ("Checked" if report.healthy else "Ruled out") + f": {', '.join(categories)}."
        lines.append(hang(Text(words, style="dim"), columns, 0, most=2))
    words = "Read: " + " ".join((story.ledger(report), *map(story.stopped, report.intake.notices[:3])))
    lines.append(hang(Text(words, style="dim"), columns, 0, most=3))
    lines.append(Text("-o report.md writes the full report with its evidence", style="dim"))
    return lines


def styled(words: str, style: str) -> Text:
    """A text whose beginning only is in that style: what is appended is not."""
    from rich.text import Text

    return Text().append(words, style=style)


def heading(words: str) -> Text:
    from rich.text import Text

    return Text(words, style="bold")


def row(label: str, text: Text, columns: int, most: int) -> Text:
    from rich.text import Text

    line = styled(f"  {label:<{_LABEL - 2}}", "dim")
    line.append_text(Text.assemble(text))
    return hang(line, columns, _LABEL, most=most)


def hang(text: Text, columns: int, indent: int, *, most: int = 4) -> Text:
    """The text wrapped to the width, its further lines indented, at most that many, the cut marked."""
    from rich.console import Console
    from rich.text import Text

    if text.cell_len < columns:
        return text
    console = Console(file=io.StringIO(), width=columns, _environ={})
    first = text.divide([indent])
    head, rest = (first[0], first[1]) if len(first) > 1 else (Text(""), text)
    wrapped = rest.wrap(console, columns - indent - 1, overflow="fold")
    lines = list(wrapped)
    if len(lines) > most:
        lines = lines[:most]
        lines[-1].rstrip()
        lines[-1].truncate(columns - indent - 3)
        lines[-1].append(" …")
    joined = head
    for number, line in enumerate(lines):
        line.rstrip()
        if number:
            joined.append("\n" + " " * indent)
        joined.append_text(line)
    return joined


def _prose(text: str) -> Text:
    """A sentence; what stands between two backticks is set apart."""
    from rich.text import Text

    parts = (Text(t, style="cyan" if is_code else "") for is_code, t in escaping.spans(escaping.one_line(text)))
    return Text("").join(parts)


def _plain(text: str) -> str:
    return "".join(t for _, t in escaping.spans(escaping.one_line(text)))


def fit(text: str, cells: int) -> str:
    """The text cut to that many columns of the terminal, wide characters as two; an exception loses its package first."""
    from rich.cells import cell_len, set_cell_size

    text = escaping.shorten(text, 400)
    if cell_len(text) <= cells:
        return text
    text = _PACKAGE.sub("", text)
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(1, cells - 1)).rstrip() + "…"
