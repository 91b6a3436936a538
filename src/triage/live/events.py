"""What happens to incidents while a log runs: told once, and once more for each change of a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from triage.report import Incident, Report

SETTLE_S = 0.2  # a traceback that is still being written looks like an incident of its own for a moment
QUIET = timedelta(seconds=20)  # of the log's own time without a failure, while other things go on, before it is over


class Event(Struct, frozen=True):
    """What happened to an incident, and the report of that moment.

    `kind` is opened, changed (its severity or its root), recovered, returned after that, or withdrawn: what came since
    shows that it is none.
    """

    kind: str
    at: datetime | None
    incident: Incident
    report: Report


class _Told(Struct, frozen=True):
    """An incident as it was told, and when that was."""

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
        known = _match(report.incidents, self._told)
        for incident in report.incidents:
            before = known.get(incident.id)
            over = _is_over(incident, at, last=last)
            shown = replace(incident, ongoing=not over)
            if before is None:
                since = self._seen.get(incident.id, now)
                if not (last or _is_whole(incident, at) or now - since >= SETTLE_S):
                    seen[incident.id] = since
                    continue
                found.append(Event("opened", at, shown, report))
                told.append(_Told(shown, over, now))
                continue
            kind = _change(before, shown, over)
            if kind and (last or now - before.at >= self._cooldown_s):
                found.append(Event(kind, at, shown, report))
                told.append(_Told(shown, over, now))
            else:
                told.append(before)
        there = frozenset().union(*map(_parts, report.incidents))
        for gone in (t for t in self._told if t not in known.values()):
            if _parts(gone.incident) & there:
                continue  # it is part of another one now
            if gone.over or not (last or now - gone.at >= self._cooldown_s):
                told.append(gone)
            else:
                found.append(Event("withdrawn", at, replace(gone.incident, ongoing=False), report))
        self._told, self._seen = told, seen
        return found


def _match(incidents: Sequence[Incident], told: Sequence[_Told]) -> dict[str, _Told]:
    """The incidents that were told before, by their ids now: by the same id, else the same root, else a failure in common."""
    found: dict[str, _Told] = {}
    left = list(told)
    for same in (_have_one_id, _have_one_root, _share_failures):
        for incident in incidents:
            if incident.id in found:
                continue
            before = next((t for t in left if same(t.incident, incident)), None)
            if before is not None:
                found[incident.id] = before
                left.remove(before)
    return found


def _have_one_id(a: Incident, b: Incident) -> bool:
    return a.id == b.id


def _have_one_root(a: Incident, b: Incident) -> bool:
    return _root(a) == _root(b) != ""


def _share_failures(a: Incident, b: Incident) -> bool:
    return bool(_parts(a) & _parts(b))


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
