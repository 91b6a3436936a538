"""One cluster, failure or link of a report for a terminal, with all its evidence and, where asked for, why it is what it is."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from triage.errors import TriageError
from triage.rendering import escaping, terminal
from triage.rendering.redaction import redact as redact_text
from triage.rendering.redaction import redacted, rewritten
from triage.report import Cluster, Evidence, Failure, Link, Report

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 80
_NARROWEST = 40
_LABEL = 11  # columns that the names on the left take
Item = Cluster | Failure | Link


class Part(Protocol):
    """A piece of what was looked at, whether it is part of the id, and the reason."""

    @property
    def part(self) -> str: ...
    @property
    def contributes(self) -> bool: ...
    @property
    def why(self) -> str: ...


class _Part(Struct, frozen=True):
    part: str
    contributes: bool
    why: str


def find(report: Report, wanted: str) -> Item:
    """The cluster, failure or link whose id starts so; a link is named by its ends, CAUSE->EFFECT. TriageError when none is."""
    if "->" in wanted:
        cause, effect = (end.strip() for end in wanted.split("->", 1))
        links = [n for n in report.links if n.cause.startswith(cause) and n.effect.startswith(effect)]
        if cause and effect and len(links) == 1:
            return links[0]
        raise TriageError(f"no link {wanted}", hint="triage show FAILURE lists the links of a failure")
    named: list[Cluster | Failure] = [*report.clusters, *report.failures]
    exact = [item for item in named if item.id in (wanted, f"v1:{wanted}")]
    found = exact or [item for item in named if item.id.removeprefix("v1:").startswith(wanted.removeprefix("v1:"))]
    if len(found) == 1 or (exact and found):
        return found[0]
    if found:
        raise TriageError(f"{len(found)} ids start with {wanted}", hint=", ".join(item.id for item in found[:4]))
    raise TriageError(
        f"nothing here has the id {wanted}", hint="triage analyze --format json lists the ids of clusters and failures"
    )


def closeup(
    report: Report,
    item: Item,
    *,
    why: Sequence[Part] | None = None,
    width: int | None = None,
    colour: bool = False,
    redact: bool = True,
) -> str:
    """The item in lines of at most `width` columns (80 when None); `why` are the parts of its id."""
    if redact:
        report = redacted(report)
        item = rewritten(item, redact_text)
    change = (lambda text: escaping.visible(redact_text(text))) if redact else escaping.visible
    report, item = rewritten(report, escaping.visible), rewritten(item, escaping.visible)
    parts = None if why is None else [_Part(change(p.part), p.contributes, p.why) for p in why]
    out = io.StringIO()
    console = terminal.console_on(out, max(_NARROWEST, width or WIDTH), colour=colour)
    match item:
        case Cluster():
            evidence = _show_cluster(console, report, item)
        case Failure():
            evidence = _show_failure(console, report, item)
        case Link():
            evidence = _show_link(console, report, item)
    if parts is not None:
        _show_why(console, parts)
    _show_evidence(console, evidence)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().split("\n")) + "\n"


def _show_cluster(console: Console, report: Report, one: Cluster) -> Sequence[Evidence]:
    _title(console, f"cluster {one.id}", one.exception or one.level or "")
    _rows(
        console,
        ("message", one.message),
        ("template", one.template),
        ("steered", one.steered),
        ("level", one.level),
        ("records", _count(one.count, one.instances)),
        ("seen", _span(one.first_seen, one.last_seen)),
        ("services", ", ".join(one.services)),
        ("failures", "\n".join(f"{f.id}  {_name(f)}" for f in report.failures if one.id in f.clusters)),
    )
    return one.examples


def _show_failure(console: Console, report: Report, one: Failure) -> Sequence[Evidence]:
    _title(console, f"failure {one.id}", one.exception or one.kind)
    names = {f.id: _name(f) for f in report.failures}
    _rows(
        console,
        ("message", one.message),
        ("kind", f"{one.kind}, {one.role}"),
        ("records", _count(one.count, 0)),
        ("seen", _span(one.first_seen, one.last_seen)),
        ("services", ", ".join(one.services)),
        ("figures", one.why),
        ("raised", one.frame),
        ("frames", "\n".join(one.frames)),
        ("clusters", "\n".join(one.clusters)),
        ("came of", "\n".join(_end(n, n.cause, names) for n in report.links if n.effect == one.id)),
        ("led to", "\n".join(_end(n, n.effect, names) for n in report.links if n.cause == one.id)),
    )
    return [*(e for c in report.clusters if c.id in one.clusters for e in c.examples), *one.evidence]


def _show_link(console: Console, report: Report, one: Link) -> Sequence[Evidence]:
    names = {f.id: _name(f) for f in report.failures}
    _title(console, f"link {one.cause}->{one.effect}", one.kind)
    _rows(
        console,
        ("cause", f"{one.cause}  {names.get(one.cause, '')}"),
        ("effect", f"{one.effect}  {names.get(one.effect, '')}"),
        ("kind", one.kind),
        ("why", one.why),
        ("confidence", f"{one.confidence:.2f}"),
        ("seen", f"{one.count:,} times" + (f", {one.lag_s:.3g} s later" if one.lag_s is not None else "")),
    )
    return one.evidence


def _show_why(console: Console, parts: Sequence[_Part]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    for title, wanted in (("Part of the id", True), ("Not part of it", False)):
        chosen = [part for part in parts if part.contributes is wanted]
        if chosen:
            console.print()
            console.print(Text(title, style="bold"))
        for part in chosen:
            console.print(Padding(Text(f"{'+' if wanted else '-'} {part.part or '(empty)'}"), (0, 0, 0, 2)))
            console.print(Padding(Text(part.why, style="dim"), (0, 0, 0, 6)))


def _title(console: Console, words: str, kind: str) -> None:
    from rich.text import Text

    console.print(Text(words, style="bold") + Text(f"  {kind}" if kind else ""))


def _rows(console: Console, *rows: tuple[str, str | None]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(width=_LABEL - 1, no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows:
        if text:
            table.add_row(Text(label, style="dim"), Text(text))
    console.print(table)


def _show_evidence(console: Console, found: Iterable[Evidence]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    for one in _once(found):
        console.print()
        at = f"  {_stamp(one.at)}" if one.at is not None else ""
        console.print(Text(f"{one.source}:{one.line}", style="cyan") + Text(at, style="dim"))
        if one.text:
            console.print(Padding(Text(one.text.expandtabs(4), overflow="fold"), (0, 0, 0, 2)))


def _once(found: Iterable[Evidence]) -> Iterator[Evidence]:
    seen: set[tuple[str, int]] = set()
    for one in found:
        if (one.source, one.line) not in seen:
            seen.add((one.source, one.line))
            yield one


def _end(link: Link, other: str, names: dict[str, str]) -> str:
    return f"{other}  {names.get(other, '')} ({link.kind}, {link.confidence:.2f})"


def _name(one: Failure) -> str:
    return escaping.shorten(f"{one.exception}: {one.message}" if one.exception else one.message, 90)


def _count(count: int, instances: int) -> str:
    return f"{count:,}" + (f" from {instances} instances" if instances > 1 else "")


def _span(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    return _stamp(first) if first == last else f"{_stamp(first)} to {_stamp(last)}"


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
