"""Links between services whose failures begin shortly one after the other and end, or go on, together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from triage.diagnosis.drawing import Drawing, Edge, by_time, calls_another, is_raised_on, is_vague
from triage.diagnosis.nodes import Node
from triage.diagnosis.numbers import read_numbers
from triage.diagnosis.wording import span_words
from triage.report import Window

LEAST = timedelta(minutes=5)  # a shorter spell begins and ends with others by chance
MANY = 10  # records on both sides: fewer have no beginning and no end
NEAR = 0.03  # of the spell: so near are beginnings, and ends
NEAR_ONSET = 0.01  # where both go on to the end of the log, and only the beginnings speak
SOON = timedelta(seconds=60)
USUAL = 0.1  # of the log's time: so long it shows neither of them before


def link_spells(drawing: Drawing, span: Window | None) -> None:
    """A failure of one service that says nothing of why, and the only known cause in another one whose spell it shares."""
    if span is None:
        return
    for b in by_time(drawing, lambda n: _unexplained(n, drawing)):
        found = {}
        for a in drawing.nodes.values():
            if (lag := _lag(a, b, span)) is not None and _leads(a, b, drawing):
                found[a.id] = (a, lag)
        origins = {frozenset(_origins(a, drawing)) for a, _ in found.values()}
        if len(found) == 0 or len(frozenset.union(*origins)) > 1:
            continue
        a, lag = max(found.values(), key=lambda f: (len(drawing.above(f[0].id)), f[0].id))
        answer = next((n for n in drawing.nodes.values() if a.id in drawing.above(n.id) and _answered(n, b)), a)
        ends = "go on together to the end of the log" if _lasts(a, span) and _lasts(b, span) else "end together"
        why = f"begins {span_words(lag.total_seconds())} after it, and they {ends}"
        drawing.draw(Edge(answer.id, b.id, "precedes", b.count, lag.total_seconds(), 0.55, why))


def _unexplained(b: Node, drawing: Drawing) -> bool:
    known = not calls_another(b) and (b.stacks > 0 or (b.role == "cause" and not is_vague(b)))
    head = b.id not in drawing.parents and b.id not in drawing.labels and not is_raised_on(drawing, b)
    led = b.severe or any(e.cause == b.id and drawing.nodes[e.effect].severe for e in drawing.edges)
    return head and led and b.count >= MANY and b.role in ("cause", "wrapper", "timeout", "proxy") and not known


def _leads(a: Node, b: Node, drawing: Drawing) -> bool:
    apart = bool(a.services) and bool(b.services) and not set(a.services) & set(b.services)
    plain = a.severe and a.count >= MANY and a.role in ("cause", "wrapper") and a.id not in drawing.labels
    fits = apart and plain and not is_raised_on(drawing, a) and b.id not in drawing.above(a.id)
    return fits and bool(set(_origins(a, drawing)))


def _answered(a: Node, b: Node) -> bool:
    """Whether `b` tells of an answer of another service, and `a` is that answer."""
    status = read_numbers(b.text).status if calls_another(b) else None
    return a.kind == "http" and status is not None and a.message.split(":")[0] == f"HTTP {status}"


def _origins(a: Node, drawing: Drawing) -> Iterator[str]:
    """Causes of a known kind, or with a traceback, at which the chain of the node begins."""
    for name in (a.id, *drawing.above(a.id)):
        node = drawing.nodes[name]
        sure = node.rule is not None and node.rule.confidence >= 0.5 and not is_vague(node)
        if name not in drawing.parents and node.role == "cause" and (sure or node.stacks > 0):
            yield name


def _lag(a: Node, b: Node, span: Window) -> timedelta | None:
    """How long after `a` it is that `b` begins, where the two share one spell; None where they do not."""
    if a.first is None or a.last is None or b.first is None or b.last is None or b.last - b.first < LEAST:
        return None
    both_last = _lasts(a, span) and _lasts(b, span)
    near = max(SOON, (NEAR_ONSET if both_last else NEAR) * (b.last - b.first))
    lag = b.first - a.first
    fresh = a.first - span.start >= USUAL * (span.end - span.start)
    together = both_last or _close(a.last, b.last, near)
    return lag if timedelta(0) <= lag <= near and fresh and together else None


def _lasts(node: Node, span: Window) -> bool:
    return node.last is not None and span.end - node.last <= max(SOON, NEAR * (span.end - span.start))


def _close(one: datetime, other: datetime, near: timedelta) -> bool:
    return abs(one - other) <= near
