"""Links to and from what only figures show: answers that take longer, services that fall silent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from triage.diagnosis.drawing import SATURATION, Drawing, Edge, is_raised_on, shares_service
from triage.diagnosis.metrics import is_front
from triage.diagnosis.nodes import Node
from triage.diagnosis.wording import percent

TOGETHER = 0.5
ALL_ALONG = 0.8
ONSET = timedelta(seconds=90)  # a step is seen some requests after it began
LAST_WORDS = timedelta(seconds=60)  # what a service said last, before it fell silent


def link_measured(drawing: Drawing, measured: Mapping[str, Node]) -> None:
    """Add these nodes to a sheet on which everything else is drawn: they explain only what nothing else explains."""
    if drawing.clock is not None:
        drawing.active.update({i: drawing.clock.active(n) for i, n in measured.items()})
    drawing.names.update(dict.fromkeys(measured, frozenset()))
    others = dict(drawing.nodes)
    drawing.nodes.update(measured)
    for m in sorted(measured.values(), key=lambda n: (n.first is None, n.first, n.id)):
        ranked = sorted(_causes(drawing, m, others), key=lambda x: (-x[0], x[1].cause))
        if ranked:
            drawing.draw(ranked[0][1])
        for edge in _effects(drawing, m, others):
            drawing.draw(edge)


def _causes(drawing: Drawing, m: Node, others: Mapping[str, Node]) -> Iterator[tuple[float, Edge]]:
    for a in others.values():
        if a.id in drawing.labels or is_raised_on(drawing, a) or a.role in ("http", "client", "proxy"):
            continue
        if m.first is None or a.first is None or a.first > m.first + ONSET:
            continue
        if not set(a.services) & set(m.services) and not _behind(a, m, drawing):
            continue
        if m.role == "silent":
            if a.severe and a.last is not None and abs(a.last - m.first) <= LAST_WORDS:
                near = 1 - abs(a.last - m.first) / LAST_WORDS
                yield near, Edge(a.id, m.id, "precedes", 1, None, 0.6, "the last that it says before it falls silent")
            continue
        saturated = a.rule is not None and a.rule.category in SATURATION
        if a.role == "exit" or not (saturated or a.role == "timeout") or a.count < 3:
            continue
        together = min(drawing.together(a, m), drawing.together(m, a))
        if together >= TOGETHER:
            why = f"answers take longer in the same stretches of time ({percent(together)}) as it is logged"
            yield together + saturated, Edge(a.id, m.id, "rule" if saturated else "precedes", m.count, None, 0.6, why)


def _behind(a: Node, m: Node, drawing: Drawing) -> bool:
    """Whether a program says why it is slow just where the server in front of it is, all the while and at no other time."""
    fronts = m.role == "slow" and bool(m.services) and all(is_front(service) for service in m.services)
    begins = a.first is not None and m.first is not None and a.first >= m.first - ONSET
    return fronts and begins and min(drawing.together(a, m), drawing.together(m, a)) >= ALL_ALONG


def _effects(drawing: Drawing, m: Node, others: Mapping[str, Node]) -> Iterator[Edge]:
    for b in sorted(others.values(), key=lambda n: (n.step, n.id)):
        if b.role not in ("timeout", "proxy", "http", "client") or b.shift is not None or b.id in drawing.labels:
            continue
        if b.id in drawing.parents or m.first is None or b.first is None or b.first < m.first - ONSET:
            continue
        named = bool(drawing.names[b.id] & set(m.services))
        behind = b.role == "timeout" and any(
            e.cause == b.id and others[e.effect].kind == "http" and shares_service(m, others[e.effect])
            for e in drawing.edges
            if e.effect in others
        )  # it is what fails the requests of the server in front that shows the slowness
        if not named and not behind and not (shares_service(m, b) and b.role in ("timeout", "http")):
            continue
        if m.role == "silent" and not named:
            continue
        together = drawing.together(m, b)
        if together < TOGETHER:
            continue
        why = f"its text names {m.services[0]}, " if named else ""
        why += "which answers late at that time" if m.role == "slow" else "which is silent at that time"
        if not named:
            why = f"the slowest of the same answers: {percent(together)} of them in its time"
        yield Edge(m.id, b.id, "names" if named else "precedes", b.count, None, 0.6 if named else 0.5, why)
