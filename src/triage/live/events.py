"""What happens to incidents while a log runs: told once, and once more for each change of a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage.report import Incident, Report

SETTLE_S = 0.2  # a traceback that is still being written looks like an incident of its own for a moment
QUIET = timedelta(seconds=20)  # of the log's own time without a failure, while other things go on, before it is over


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an incident, and the report of that moment.

    `kind` is opened, changed (its severity or its root), recovered, returned after that, or withdrawn: what came since
    shows that it is none.
    """

    kind: str
    at: datetime | None
    incident: Incident
    report: Report


@dataclass(frozen=True, slots=True)
class _Told:
    """An incident that was told: the failures it is known by, how it stood then, and when that was."""

    parts: frozenset[str]
    incident: Incident
    over: bool
    at: float


class Announcer:
    """Tells each incident once, and once more for each change of its verdict, with a pause of `cooldown_s` between."""

    def __init__(self, cooldown_s: float) -> None:
        self._cooldown_s = cooldown_s
        self._told: list[_Told] = []
        self._seen: dict[str, float] = {}  # incidents that are to be told, and since when they are there

    @property
    def waits(self) -> bool:
        """Whether an incident is there that is not told yet, since more of it may come at any moment."""
        return bool(self._seen)

    def take(self, report: Report, now: float, *, last: bool = False) -> list[Event]:
        """The events that are to be told at `now`, seconds on a clock that only goes forward; `last`: nothing more comes."""
        at = report.window.end if report.window else None
        found: list[Event] = []
        seen, told = {}, []
        for incident in report.incidents:
            parts = _parts(incident)
            known = [t for t in self._told if t.parts & parts]
            self._told = [t for t in self._told if not t.parts & parts]
            over = _is_over(incident, at, last=last)
            shown = replace(incident, ongoing=not over)
            if not known:
                since = self._seen.get(incident.id, now)
                if not (last or _is_whole(incident, at) or now - since >= SETTLE_S):
                    seen[incident.id] = since
                    continue
                found.append(Event("opened", at, shown, report))
                told.append(_Told(parts, shown, over, now))
                continue
            before = known[0]
            parts = parts.union(*(t.parts for t in known))
            kind = _change(before, shown, over)
            if kind and (last or now - before.at >= self._cooldown_s):
                found.append(Event(kind, at, shown, report))
                told.append(_Told(parts, shown, over, now))
            else:
                told.append(replace(before, parts=parts))
        for gone in self._told:  # what is left of them is not in the report any more
            if gone.over or not (last or now - gone.at >= self._cooldown_s):
                told.append(gone)
            else:
                found.append(Event("withdrawn", at, replace(gone.incident, ongoing=False), report))
        self._told, self._seen = told, seen
        return found


def _change(before: _Told, incident: Incident, over: bool) -> str:
    if before.over != over:
        return "recovered" if over else "returned"
    if (before.incident.severity, _root(before.incident)) != (incident.severity, _root(incident)):
        return "changed"
    return ""


def _root(incident: Incident) -> str:
    return incident.roots[0].failure if incident.roots else ""


def _is_over(incident: Incident, at: datetime | None, *, last: bool) -> bool:
    """Whether the log shows that it ended: when nothing comes any more, the log's time stands and nothing is over."""
    if incident.ongoing:
        return False
    return last or (incident.end is not None and at is not None and at - incident.end >= QUIET)


def _is_whole(incident: Incident, at: datetime | None) -> bool:
    """Whether something else was logged since: its last record is complete then."""
    return incident.end is not None and at is not None and incident.end < at


def _parts(incident: Incident) -> frozenset[str]:
    roots = (r.failure for r in incident.roots)
    return frozenset([incident.id, *roots, *(step for chain in incident.chains for step in chain)])
