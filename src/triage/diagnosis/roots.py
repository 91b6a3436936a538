"""Roots of an incident: the failures that no other one leads to, ranked by what they explain, each with its confidence."""

from __future__ import annotations

from collections.abc import Sequence

from triage.diagnosis.drawing import ENOUGH, Graph
from triage.diagnosis.nodes import ERROR, MEASURED, Node, waited
from triage.diagnosis.wording import percent
from triage.report import Root, Window

MOST_ROOTS = 5


def find_roots(members: tuple[str, ...], graph: Graph, span: Window | None) -> tuple[Root, ...]:
    """Where the chains begin. Effects without a cause in the log are no roots: then there is none."""
    heads = [graph.nodes[m] for m in members if _can_be_root(graph.nodes[m], graph)]
    if not heads:  # what failed is all that is told, and why in words that no rule knows
        heads = [n for m in members if _tells_why(n := graph.nodes[m], graph)]
    return _ranked(heads, members, graph, span)


def last_roots(members: tuple[str, ...], graph: Graph, span: Window | None) -> tuple[Root, ...]:
    """Where none of the gravest incidents has a root: the ends of processes that others missed, probes by which they are ended, and the
    errors of proxies that cannot get through to what stands behind them."""
    nodes = [graph.nodes[m] for m in members]
    heads = [n for n in nodes if _is_missed(n, graph) or _ends_a_process(n, graph) or _finds_no_backend(n, graph)]
    return _ranked(heads, members, graph, span)


def _ranked(heads: Sequence[Node], members: tuple[str, ...], graph: Graph, span: Window | None) -> tuple[Root, ...]:
    if not heads:
        return ()
    shares = {n.id: _explained(n, graph) for n in heads}
    whole = sum(n.count for n in (graph.nodes[m] for m in members) if n.severe and n.id not in graph.labels) or 1
    ranked = sorted(heads, key=lambda n: (-_strength(n, shares[n.id] / whole), n.first is None, n.first, n.id))
    best = _strength(ranked[0], shares[ranked[0].id] / whole)
    kept = [n for n in ranked if _strength(n, shares[n.id] / whole) >= 0.25 * best or _apart(n, ranked[0])][:MOST_ROOTS]
    return tuple(_root(n, min(1.0, shares[n.id] / whole), graph, span, rivals=len(kept) - 1) for n in kept)


def _apart(node: Node, first: Node) -> bool:
    """Whether a head raises in a service of its own, where the first root was never seen: another failure, however rare."""
    alone = bool(node.services) and not set(node.services) & set(first.services)
    return alone and node.count >= 3 and node.kind == "exception" and node.inner and node.stacks > 0


def _can_be_root(node: Node, graph: Graph) -> bool:
    causes = [graph.nodes[e.cause] for e in graph.parents.get(node.id, ())]
    if any(c.role != "precursor" for c in causes) or node.id in graph.labels:
        return False
    if (
        node.role == "precursor"
    ):  # an early sign of slowness explains the callers that gave up; of other failures it is only a sign
        return any(waited(graph.nodes[e.effect]) for e in graph.children(node.id))
    if any(_can_be_root(graph.nodes[e.cause], graph) for e in graph.parents.get(node.id, ())):
        return False
    if node.role in MEASURED:  # slowness and silence say nothing of why; for other services they are what can be known
        return any(e.kind == "names" for e in graph.children(node.id))
    if node.role in ("cause", "timeout"):
        return node.severe or bool(graph.children(node.id))
    if _blames_another(node):
        return True
    return node.role == "wrapper" and node.kind == "exception" and node.inner and node.severe


def _tells_why(node: Node, graph: Graph) -> bool:
    """Whether an error says what failed and, behind a colon, a reason of some words that nothing else explains."""
    told = node.role == "wrapper" and node.kind == "message" and node.level >= ERROR and node.id not in graph.labels
    _, _, reason = node.message.partition(": ")
    return told and len(reason.split()) >= 2 and not graph.parents.get(node.id)


def _is_missed(node: Node, graph: Graph) -> bool:
    """Whether a process ended, nothing says why, and failures of other services follow from it."""
    known = any(graph.nodes[e.cause].role != "precursor" for e in graph.parents.get(node.id, ()))
    if node.role != "exit" or node.id in graph.labels or known:
        return False
    met = [graph.nodes[e.effect] for e in graph.children(node.id) if e.kind in ("precedes", "names")]
    return bool(node.services) and any(n.services and not set(n.services) & set(node.services) for n in met)


def _ends_a_process(node: Node, graph: Graph) -> bool:
    """Whether a probe fails, nothing says why, and the process is ended for it."""
    probe = node.rule is not None and node.rule.category == "health_check" and node.id not in graph.labels
    ends = any(graph.nodes[e.effect].role == "exit" for e in graph.children(node.id))
    return probe and ends and not graph.parents.get(node.id)


def _finds_no_backend(node: Node, graph: Graph) -> bool:
    """Whether a proxy tells in an error of its own that it cannot get through to what stands behind it, and nothing explains that."""
    refused = node.role == "proxy" and node.rule is not None and node.rule.category in ("proxy", "port")  # no time-out
    told = refused and node.kind == "message" and node.level >= ERROR and not node.stacks
    return told and node.id not in graph.labels and not graph.parents.get(node.id) and bool(graph.children(node.id))


def _blames_another(node: Node) -> bool:
    """Whether this failed because another service answered with an error: the innermost of its tracebacks, or an error that tells so for sure."""
    if node.role != "proxy" or node.rule is None or node.rule.category != "dependency":
        return False
    if node.kind == "exception":
        return node.inner and node.stacks > 0
    return node.level >= ERROR and node.rule.confidence >= 0.5


def _explained(node: Node, graph: Graph) -> float:
    """Failing records that the node leads to, itself included; an effect of several causes is shared out by their counts."""
    portion: dict[str, float] = {node.id: 1.0}
    todo = [node.id]
    while todo:
        here = todo.pop(0)
        for edge in graph.children(here):
            peers = graph.parents[edge.effect]
            weight = graph.nodes[here].count / sum(graph.nodes[p.cause].count for p in peers)
            share = portion[here] * weight
            if share > portion.get(edge.effect, 0.0):
                portion[edge.effect] = share
                todo.append(edge.effect)
    return sum(graph.nodes[i].count * p for i, p in portion.items() if graph.nodes[i].severe and i not in graph.labels)


def _strength(node: Node, explains: float) -> float:
    """What makes a head the first root: how much it explains, and whether its text names a cause."""
    named = node.rule.confidence if node.rule is not None and node.role != "timeout" else 0.3
    return explains * (0.5 + named)


def _root(node: Node, explains: float, graph: Graph, span: Window | None, *, rivals: int) -> Root:
    named = node.rule.confidence if node.rule is not None else 0.3
    confidence = 0.3 + 0.45 * named
    reasons = []
    against = []
    if node.kind == "exception" and node.inner and node.stacks:
        confidence += 0.12
        reasons.append("it stands innermost in every traceback that carries it")
    elif node.rule is not None and node.rule.rank < 50:
        confidence += 0.08
        reasons.append("the message itself names the cause")
    if explains >= 0.8:
        confidence += 0.1
        reasons.append(f"it leads to {percent(explains)} of the failing records of the incident")
    elif explains < 0.3:
        confidence -= 0.1
        against.append(f"it explains only {percent(explains)} of the failing records")
    effects = [graph.nodes[e.effect] for e in graph.children(node.id)]
    if effects and all(node.first is None or e.first is None or node.first <= e.first for e in effects):
        reasons.append("nothing that it leads to was seen before it")
        confidence += 0.03
    if rivals and explains < 0.8:
        against.append("another failure begins by itself in the same time")
        confidence -= 0.05
    if node.role == "timeout":
        confidence = min(confidence, 0.5)
        against.append(
            "a time-out shows that something else was slow; the log of that side is not among the inputs or shows nothing"
        )
    if node.role in MEASURED:
        confidence = min(confidence, 0.4)
        against.append("the figures show when, not why: the reason is not among what it logs")
    if _is_missed(node, graph):
        confidence = min(confidence, 0.45)
        against.append("it shows that the process ended, not why: that is not among the inputs")
    if _finds_no_backend(node, graph) and not _blames_another(node):
        confidence = min(confidence, 0.45)
        against.append("a proxy sees only that its backend does not answer; why is not among the inputs")
    if _blames_another(node):
        confidence = min(confidence, 0.5)
        against.append("another service answered with an error; its log is not among the inputs or shows nothing")
    if not effects:
        confidence -= 0.08
    elif max(e.confidence for e in graph.children(node.id)) <= ENOUGH:
        confidence = min(confidence, 0.5)
        against.append("that it leads to the others is told by their order alone")
    if (
        span is not None
        and node.first is not None
        and (node.first - span.start) < 0.005 * (span.end - span.start)
        and span.end > span.start
    ):
        against.append("the log begins inside the failure: what came before cannot be seen")
    confidence = round(max(0.2, min(0.97, confidence)), 2)
    return Root(
        node.id,
        confidence,
        round(explains, 4),
        _sentence(reasons) or "no other failure comes before it",
        _sentence(against),
    )


def _sentence(parts: Sequence[str]) -> str:
    if not parts:
        return ""
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return text[0].upper() + text[1:]
