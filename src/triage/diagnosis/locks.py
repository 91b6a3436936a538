"""Links between those who wait for locks of a database, and what their waits end in."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from triage.diagnosis.drawing import Drawing, Edge, by_time, comes_before, is_raised_on
from triage.diagnosis.metrics import to_us
from triage.diagnosis.nodes import Node, is_short, waited, waits_for_locks
from triage.diagnosis.places import speaks_of
from triage.diagnosis.wording import percent, span_words

MOSTLY = 0.8  # of what waits end in, behind a wait for a lock
BEHIND_US = 120_000_000  # by no more than this
# PostgreSQL's locks on tables from the weakest on, and from which on each of the strong ones keeps others out
_LOCKS = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_STRENGTH = {name: n for n, name in enumerate(_LOCKS)}
_KEEPS_OUT = {"ShareLock": 2, "ShareRowExclusiveLock": 2, "ExclusiveLock": 1, "AccessExclusiveLock": 0}
_GAVE_UP = re.compile(
    r"(?i)\block (?:wait )?timeout|\bLockWaitTimeout\b|\bLockNotAvailable\b|\bcould not obtain lock\b"
)
_WAITS = re.compile(r"\bstill waiting for (?P<lock>\w+Lock) on (?P<table>relation \d+ of database \d+)")


def link_lock_queues(drawing: Drawing) -> None:
    """Who asks for a strong lock waits for those who have one, and everybody who comes later queues behind it."""
    waits = [(n, found) for n in by_time(drawing, _waits) if (found := _WAITS.search(n.message)) is not None]
    for b, of_b in waits:
        for a, of_a in waits:
            weakest = _KEEPS_OUT.get(of_a["lock"])
            fits = weakest is not None and weakest <= _STRENGTH.get(of_b["lock"], -1) < _STRENGTH[of_a["lock"]]
            if not fits or of_a["table"] != of_b["table"] or not set(a.services) & set(b.services):
                continue
            if comes_before(a, b, 0) and b.id not in drawing.above(a.id):
                why = f"who waits for {of_a['lock']} on the same table keeps out all who ask for a lock after it"
                drawing.draw(Edge(a.id, b.id, "rule", b.count, None, 0.85, why))
                break


def link_lock_holders(drawing: Drawing) -> None:
    """Work on whole tables (a migration, a backup) that begins right before others wait for locks, each time that it does."""
    holders = [n for n in drawing.nodes.values() if "holder" in n.marks and n.first is not None]
    for b in by_time(drawing, lambda n: waits_for_locks(n) and n.first is not None):
        if not holders or b.id in drawing.parents or b.id in drawing.labels or b.first is None:
            continue
        times = b.all_times
        mine = [a for a in holders if b.id not in drawing.above(a.id) and _is_behind_each(times, a.all_times)]
        if not mine:
            continue
        a = max(mine, key=lambda n: (n.first, n.id))
        lag = (to_us(b.first) - a.all_times[0]) / 1e6
        why = f"work on a whole table began {span_words(lag)} before the first wait for a lock"
        drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.7, why))


def link_lock_starts(drawing: Drawing) -> None:
    """A program whose start waits for a lock each time does not answer its liveness probe, and is ended for that."""
    waits = [n for n in drawing.nodes.values() if _waits(n)]
    holders = [n for n in drawing.nodes.values() if "holder" in n.marks]
    for b in by_time(drawing, lambda n: n.rule is not None and n.rule.name == "k8s-liveness" and n.first is not None):
        if b.id in drawing.parents or b.id in drawing.labels:
            continue
        of = {speaks_of(s, b.message) for s in b.services}
        for a in waits:
            mine = [h for h in holders if of & set(h.services) and _is_behind_each(a.all_times, h.all_times)]
            share = _share_behind(b, a.all_times)
            if mine and share >= MOSTLY and comes_before(a, b, 0) and b.id not in drawing.above(a.id):
                why = f"it waits for a lock as it starts, in the two minutes before {percent(share)} of them"
                drawing.draw(Edge(a.id, b.id, "rule", b.count, None, 0.75, why))
                break


def _is_behind_each(waits: Sequence[int], begins: Sequence[int]) -> bool:
    """Whether each of these begins has a wait soon behind it, and no wait came before the first."""
    if not waits or not begins or waits[0] < begins[0]:
        return False
    return all(bisect_right(waits, t + BEHIND_US) > bisect_left(waits, t) for t in begins)


def link_lock_timeouts(drawing: Drawing) -> None:
    """What waits for locks end in: statements that are cancelled, and callers that find no free connection meanwhile."""
    for b in by_time(drawing, lambda n: n.severe and (_is_cancelled(n) or waited(n))):
        if b.id in drawing.parents or b.id in drawing.labels or is_raised_on(drawing, b):
            continue
        ends = [n for n in drawing.nodes.values() if _is_cancelled(n) and n.id != b.id]
        met = [n for n in ends if set(n.services) & set(b.services)]
        queues = [n for n in drawing.nodes.values() if _waits(n) and b.id not in drawing.above(n.id)]
        mine = [n for n in queues if set(n.services) & {s for o in (b, *met) for s in o.services}]
        share = _share_behind(b, sorted(t for n in mine for t in n.all_times))
        if share < MOSTLY or (not _is_cancelled(b) and not met and not is_short(b)):
            continue
        above = {i for n in mine for i in drawing.above(n.id)}
        last = [n for n in mine if n.id not in above and comes_before(n, b, 0)]
        for a in last if _is_cancelled(b) or not met else [n for n in met if comes_before(n, b, 0)]:
            what = (
                "statements wait for locks"
                if _waits(a)
                else "statements are cancelled that hold a connection until then"
            )
            why = f"{what} in the two minutes before {percent(share)} of them"
            drawing.draw(Edge(a.id, b.id, "rule", b.count, None, 0.75, why))


def _waits(node: Node) -> bool:
    return node.role == "cause" and _WAITS.search(node.message) is not None


def _is_cancelled(node: Node) -> bool:
    if not node.severe or node.role != "cause" or node.rule is None:
        return False
    return node.rule.category == "database_query" or (waits_for_locks(node) and bool(_GAVE_UP.search(node.text)))


def _share_behind(b: Node, waits: Sequence[int]) -> float:
    """Share of its moments that have a wait for a lock not long before."""
    times = b.all_times
    met = sum(bisect_left(waits, t - BEHIND_US) < bisect_right(waits, t) for t in times)
    return met / len(times) if times else 0.0
