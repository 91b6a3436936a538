"""Links to the failures of one service from what another one is known to do: it keeps ending, or it answered with an error."""

from __future__ import annotations

from datetime import timedelta

from triage.diagnosis.drawing import Drawing, Edge, by_time, calls_another, is_raised_on, is_vague, lag_words
from triage.diagnosis.effects import tells_of
from triage.diagnosis.nodes import Node, follow
from triage.diagnosis.wording import percent, span_words
from triage.report import Window

LOOP = 5  # ends of a process, from which on it is down more than up
LATE = timedelta(minutes=10)  # so long callers may wait, and watchdogs may look away, before they tell
LATE_SHARE = 0.2  # and no longer than this share of the time in which they do
STAYS = 0.8  # of what waits, in the time of what keeps ending
QUIET = 0.05  # of the log's time: so long it shows neither of them before
MANY = 10  # records that set in: fewer set in by chance


def link_answers(drawing: Drawing) -> None:
    """A call that failed with the status that another service logged right before: that answer is why."""
    answers = list(by_time(drawing, lambda n: n.kind == "http" and n.id not in drawing.labels))
    for b in by_time(drawing, lambda n: calls_another(n) and n.id not in drawing.labels):
        if b.id in drawing.parents or is_raised_on(drawing, b):
            continue
        for a in answers:
            found = follow(a, b, 0) if tells_of(b, a) and b.id not in drawing.above(a.id) else None
            if found is not None:
                why = f"it tells of the status that was answered {lag_words(found)} before in {percent(found.share)} of {b.count:,} cases"
                drawing.draw(Edge(a.id, b.id, "names", b.count, found.lag_s, 0.75, why))
                break


def link_loops(drawing: Drawing, span: Window | None) -> None:
    """Failures that say nothing of why, and set in soon after the only process began to end again and again."""
    if span is None:
        return
    loops = [n for n in drawing.nodes.values() if n.role == "exit" and n.count >= LOOP and n.id not in drawing.labels]
    for b in by_time(drawing, lambda n: _waits(n, drawing)):
        found = [a for a in loops if _sets_in(a, b, span) and not set(a.services) & set(b.services)]
        found = [a for a in found if b.id not in drawing.above(a.id)]
        if not found or len({a.services for a in found}) > 1 or not found[0].services:
            continue
        a = max(found, key=lambda n: (n.count, n.id))
        assert a.first is not None
        assert b.first is not None
        lag = (b.first - a.first).total_seconds()
        why = f"sets in {span_words(lag)} after {', '.join(a.services)} began to end again and again, and stays with it"
        drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.55, why))


def _waits(node: Node, drawing: Drawing) -> bool:
    """Whether the failure can be that of a waiting caller or of a watchdog: it has no cause, no traceback, and its text knows none."""
    head = node.id not in drawing.parents and node.id not in drawing.labels and not is_raised_on(drawing, node)
    known = node.role == "cause" and not is_vague(node)
    plain = node.role in ("timeout", "wrapper", "cause", "precursor", "proxy") and not known and not node.stacks
    return head and plain and node.count >= MANY and not drawing.names[node.id]


def _sets_in(a: Node, b: Node, span: Window) -> bool:
    if a.first is None or a.last is None or b.first is None or b.last is None or a.first > b.first:
        return False
    soon = b.first - a.first <= min(LATE, max(timedelta(minutes=1), LATE_SHARE * (b.last - b.first)))
    quiet = a.first - span.start >= QUIET * (span.end - span.start)
    ends = a.last + LATE
    times = b.all_times
    return soon and quiet and sum(t <= ends.timestamp() * 1e6 for t in times) >= STAYS * len(times)
