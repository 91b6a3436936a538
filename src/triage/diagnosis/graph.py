"""The causal graph: which failure brings about which, by what evidence, and how sure that is."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triage.diagnosis.metrics import to_us
from triage.diagnosis.nodes import LADDER, Clock, Follow, Node, follow, in_every_cycle
from triage.diagnosis.wording import percent, span_words
from triage.summary import Summary

ENOUGH = 0.5  # a link of less evidence is not drawn
ENOUGH_SEEN = 0.4  # the same for what users and proxies saw: their servers see the failures of all services
SYSTEM = {"kernel", "systemd", "kubelet", "docker", "containerd"}  # they speak of the processes of every service
EMBEDDED = 12  # characters of an inner message that an outer text must hold to be read as its wrapper
RETRY = re.compile(r"\b(?:attempts?|retry|retries|retrying|retried)\b", re.IGNORECASE)
SATURATION = {
    "memory",
    "disk",
    "database_query",
    "concurrency",
    "db_pool_exhaustion",
    "capacity",
    "database_connection",
    "queue",
}
GENERIC_RANK = 70  # rules of this rank and above name no cause exactly


@dataclass(frozen=True, slots=True)
class Edge:
    """One link. `source` and `line` point at a record that shows it."""

    cause: str
    effect: str
    kind: str
    count: int
    lag_s: float | None
    confidence: float
    why: str
    source: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """`parents` holds for each effect its main causes, strongest first; `edges` all links that were found.

    `labels` are messages that merely head the record of a traceback: they say nothing that the exception does not.
    """

    nodes: Mapping[str, Node]
    parents: Mapping[str, tuple[Edge, ...]]
    edges: tuple[Edge, ...]
    labels: frozenset[str]

    def children(self, node: str) -> tuple[Edge, ...]:
        """Links that start at the node, by effect."""
        return tuple(e for edges in self.parents.values() for e in edges if e.cause == node)


@dataclass(slots=True)
class _Drawing:
    """The graph while it is being drawn."""

    nodes: dict[str, Node]
    clock: Clock | None
    active: dict[str, frozenset[int]]
    names: dict[str, frozenset[str]]
    traces: dict[str, frozenset[str]]
    parents: dict[str, list[Edge]]
    edges: list[Edge]
    labels: set[str]

    def draw(self, edge: Edge, *, main: bool = True) -> None:
        if edge.cause == edge.effect or any(e.cause == edge.cause and e.effect == edge.effect for e in self.edges):
            return
        self.edges.append(edge)
        if main and edge.effect not in self.above(edge.cause):
            self.parents.setdefault(edge.effect, []).append(edge)

    def above(self, node: str) -> set[str]:
        seen: set[str] = set()
        todo = [node]
        while todo:
            for edge in self.parents.get(todo.pop(), ()):
                if edge.cause not in seen:
                    seen.add(edge.cause)
                    todo.append(edge.cause)
        return seen

    def together(self, a: Node, b: Node) -> float:
        if self.clock is None:
            return 1.0
        fine = self.clock.count // max(8, 2 * min(a.count, b.count))
        return self.clock.together(self.active[a.id], self.active[b.id], max(1, fine))

    @property
    def slack(self) -> int:
        """Microseconds by which stamps of one moment may differ."""
        return min(2_000_000, self.clock.width) if self.clock is not None else 2_000_000


def link(nodes: Mapping[str, Node], summary: Summary) -> Graph:
    """Find the links between failures; harmless ones (noise, lifecycle) take no part."""
    taking = {i: n for i, n in nodes.items() if n.role not in ("noise", "lifecycle")}
    dated = [n for n in taking.values() if n.first is not None and n.last is not None]
    clock = Clock.over(min(n.first for n in dated if n.first), max(n.last for n in dated if n.last)) if dated else None
    places = Places.of(summary)
    drawing = _Drawing(
        nodes=taking,
        clock=clock,
        active={i: clock.active(n) if clock else frozenset() for i, n in taking.items()},
        names={i: places.named(n) for i, n in taking.items()},
        traces=_traces(summary),
        parents={},
        edges=[],
        labels=set(),
    )
    _within_records(drawing, summary)
    _inherit_names(drawing)
    _embeddings(drawing)
    _echoes(drawing)
    _stages(drawing)
    _sequences(drawing)
    for role in ("timeout", "exit", "proxy", "http", "client"):
        _effects(drawing, role)
    _consequences(drawing)
    _precursors(drawing)
    return Graph(
        {**nodes, **drawing.nodes},
        {k: tuple(v) for k, v in drawing.parents.items()},
        tuple(drawing.edges),
        frozenset(drawing.labels),
    )


def _traces(summary: Summary) -> dict[str, frozenset[str]]:
    rows = summary["traces"].group_by("failure").agg("trace")
    return {failure: frozenset(traces) for failure, traces in rows.iter_rows()}


def _within_records(drawing: _Drawing, summary: Summary) -> None:
    """Exception chains, and the message that heads the record of a stack."""
    for r in summary["links"].sort("count", "cause", "effect", descending=[True, False, False]).iter_rows(named=True):
        if r["cause"] not in drawing.nodes or r["effect"] not in drawing.nodes:
            continue
        where = {"count": r["count"], "lag_s": 0.0, "source": r["source"], "line": r["line"]}
        if r["kind"] == "wraps":
            cause, label = drawing.nodes[r["cause"]], drawing.nodes[r["effect"]]
            drawing.labels.add(label.id)
            why = "the record that carries the traceback"
            drawing.draw(Edge(cause.id, label.id, "wraps", confidence=0.95, why=why, **where), main=False)
        else:
            words = "raised from" if r["kind"] == "raised_from" else "raised while handling"
            drawing.draw(
                Edge(r["cause"], r["effect"], r["kind"], confidence=0.98, why=f"{words} it in one traceback", **where)
            )


def _inherit_names(drawing: _Drawing) -> None:
    """What the outer exceptions and the label of a traceback name, its innermost exception is about too."""
    for _ in range(len(drawing.edges)):
        before = dict(drawing.names)
        for edge in drawing.edges:
            mine = set(drawing.nodes[edge.cause].services)
            drawing.names[edge.cause] = drawing.names[edge.cause] | (drawing.names[edge.effect] - mine)
        if drawing.names == before:
            return


def _embeddings(drawing: _Drawing) -> None:
    """A message that holds the text of an exception speaks of it."""
    exceptions = [n for n in drawing.nodes.values() if n.kind == "exception" and len(n.template) >= EMBEDDED]
    exceptions.sort(key=lambda n: (-len(n.template), n.id))
    for outer in [n for n in drawing.nodes.values() if n.kind == "message"]:
        for inner in exceptions:
            if (
                inner.template not in outer.template
                or inner.template == outer.template
                or drawing.together(inner, outer) < ENOUGH
            ):
                continue
            drawing.labels.discard(outer.id)
            found = follow(inner, outer, drawing.slack)
            lag = found.lag_s if found is not None else None
            if RETRY.search(outer.message) and (outer.first or datetime.max) <= (inner.first or datetime.max):
                why = "each attempt logs the text of the exception that ends it"
                head = _innermost(drawing, inner.id)
                drawing.draw(Edge(outer.id, head, "precedes", min(outer.count, inner.count), lag, 0.75, why))
            else:
                why = f"its text holds “{_short(inner.message)}”"
                drawing.draw(Edge(inner.id, outer.id, "wraps", min(outer.count, inner.count), lag, 0.95, why))
                drawing.nodes[outer.id] = (
                    replace(outer, role="wrapper") if LADDER.get(outer.role, 9) < LADDER["wrapper"] else outer
                )
            break
    _order_embeddings(drawing)
    _same_text(drawing)


def _same_text(drawing: _Drawing) -> None:
    """A server and its client log one error in the same words: the server's comes first."""
    servers = [
        n
        for n in drawing.nodes.values()
        if n.kind == "message" and n.severe and n.services and n.id not in drawing.labels
    ]
    for b in [
        n
        for n in drawing.nodes.values()
        if n.kind == "exception" and n.inner and n.services and n.id not in drawing.parents
    ]:
        for a in sorted(servers, key=lambda n: n.id):
            if (
                set(a.services) & set(b.services)
                or not _same_words(a.template, b.template)
                or drawing.together(a, b) < ENOUGH
            ):
                continue
            found = follow(a, b, drawing.slack)
            why = "the client's exception repeats the words of the server's error"
            drawing.draw(Edge(a.id, b.id, "wraps", min(a.count, b.count), found.lag_s if found else None, 0.9, why))
            break


def _same_words(one: str, other: str) -> bool:
    """Whether two texts begin alike: at least 24 characters and two thirds of the shorter one."""
    alike = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))
    return alike >= 24 and alike >= 2 / 3 * min(len(one), len(other))


def _innermost(drawing: _Drawing, node: str) -> str:
    """Where the exception chain begins that the node ends."""
    for edge in drawing.parents.get(node, ()):
        if edge.kind in ("raised_from", "while_handling"):
            return _innermost(drawing, edge.cause)
    return node


def _order_embeddings(drawing: _Drawing) -> None:
    """Several messages speak of one exception: in the order in which one cycle logs them, before the next exception of the chain."""
    by_inner: dict[str, list[Node]] = {}
    for edge in drawing.edges:
        if edge.kind == "wraps" and edge.effect not in drawing.labels:
            by_inner.setdefault(edge.cause, []).append(drawing.nodes[edge.effect])
    for inner, outers in by_inner.items():
        outers.sort(key=lambda n: (n.first is None, n.first, n.id))
        last = inner
        for outer in outers:
            if last != inner:
                found = follow(drawing.nodes[last], outer, drawing.slack)
                if found is None or found.share < 0.8:
                    continue
                drawing.parents[outer.id] = []
                drawing.draw(
                    Edge(
                        last,
                        outer.id,
                        "same_instance",
                        outer.count,
                        found.lag_s,
                        0.85,
                        "logged next, of the same exception, in every cycle",
                    )
                )
            last = outer.id
        for edge in [e for e in drawing.edges if e.cause == inner and e.kind in ("raised_from", "while_handling")]:
            following = drawing.nodes[edge.effect]
            if last != inner and (drawing.nodes[last].first or datetime.max) <= (following.first or datetime.max):
                drawing.parents[following.id] = [e for e in drawing.parents[following.id] if e.cause != inner]
                drawing.draw(
                    Edge(
                        last,
                        following.id,
                        "wraps",
                        following.count,
                        0.0,
                        0.85,
                        "logged in the record that raises it",
                        edge.source,
                        edge.line,
                    )
                )


def _sequences(drawing: _Drawing) -> None:
    """In one process, a failure that says that something inside failed follows the one that did."""
    for b in _by_time(drawing, lambda n: n.role == "wrapper" or (n.role == "cause" and _vague(n))):
        if b.id in drawing.parents or b.id in drawing.labels:
            continue
        best: tuple[tuple[float, float, str], Edge] | None = None
        for a in drawing.nodes.values():
            if a.id == b.id or a.id in drawing.labels or a.step > b.step or not a.severe or not _shares_service(a, b):
                continue
            if (
                b.id in drawing.above(a.id)
                or _outer(drawing, a)
                or (a.role == b.role == "cause" and _vague(a) and not a.stacks)
            ):
                continue
            found = follow(a, b, 2000)
            alike = min(a.count, b.count) / max(a.count, b.count)
            if found is None or found.share < 0.6 or not _before(a, b, drawing.slack):
                continue
            tight = found.share >= 0.95 and found.lag_s < 5 and b.count >= 3
            if b.role != "wrapper" and not (found.share >= 0.9 and alike >= (0.5 if tight else 0.8)):
                continue
            if found.pace > 0.5 and b.count > 2:
                continue
            confidence = round(
                min(0.92, 0.45 + 0.25 * found.share + 0.15 * alike + 0.1 * (found.scope == "instance")), 3
            )
            why = f"follows it in {percent(found.share)} of cases in the same {found.scope}, {_lag(found)} later"
            edge = Edge(a.id, b.id, "same_instance", b.count, found.lag_s, confidence, why)
            key = (found.lag_s, -float(a.step), a.id)
            if best is None or key < best[0]:
                best = (key, edge)
        if best is not None:
            drawing.draw(best[1])


def _echoes(drawing: _Drawing) -> None:
    """Several lines tell of one event (the kernel's kill, the supervisor's note of it): the first one speaks for all."""
    causes = list(
        _by_time(drawing, lambda n: n.role == "cause" and n.kind != "exception" and n.id not in drawing.parents)
    )
    for place, b in enumerate(causes):
        for a in causes[:place]:
            same = a.rule is not None and b.rule is not None and a.rule.category == b.rule.category
            if not same or a.id in drawing.labels or min(a.count, b.count) < 0.9 * max(a.count, b.count):
                continue
            found = follow(a, b, 0)
            if found is not None and found.share >= 0.9 and found.pace < 0.3:
                drawing.draw(
                    Edge(
                        a.id,
                        b.id,
                        "precedes",
                        b.count,
                        found.lag_s,
                        0.8,
                        f"tells of the same event {_lag(found)} later",
                    )
                )
                drawing.labels.add(b.id)
                break


def _stages(drawing: _Drawing) -> None:
    """Two causes of one kind in one service, the milder before each of the graver: quota exceeded, then vastly exceeded."""
    causes = list(
        _by_time(
            drawing, lambda n: n.role == "cause" and n.kind != "exception" and n.severe and n.id not in drawing.parents
        )
    )
    for b in causes:
        for a in causes:
            same = (
                a.rule is not None
                and b.rule is not None
                and a.rule.category == b.rule.category
                and a.rule.category in SATURATION
            )
            if (
                a.id == b.id
                or not same
                or a.id in drawing.labels
                or b.id in drawing.labels
                or a.count < b.count
                or b.count < 2
            ):
                continue
            if (
                set(a.services) & set(b.services)
                and _before(a, b, 0)
                and a.first != b.first
                and in_every_cycle(a, b) >= 0.8
            ):
                drawing.draw(
                    Edge(
                        a.id,
                        b.id,
                        "precedes",
                        b.count,
                        None,
                        0.7,
                        "the same trouble at an earlier stage, before each of them",
                    )
                )
                break


def _vague(node: Node) -> bool:
    return node.rule is None or node.rule.rank >= GENERIC_RANK


def _outer(drawing: _Drawing, node: Node) -> bool:
    """Whether the node is raised further in its own record: then the outer exception speaks for it."""
    return any(e.cause == node.id and e.kind in ("raised_from", "while_handling") for e in drawing.edges)


def _effects(drawing: _Drawing, role: str) -> None:
    """Exits, errors of proxies, HTTP failures and errors of clients: find what they are effects of."""
    platform_exits = any("exit" in n.marks for n in drawing.nodes.values() if n.role == "exit")
    for b in _by_time(drawing, lambda n: n.role == role):
        if role == "exit" and "exit" not in b.marks and platform_exits:
            _note_exit(drawing, b)
            continue
        if b.id in drawing.labels:
            continue
        ranked = sorted(
            ((_evidence(drawing, a, b), a) for a in drawing.nodes.values() if _may_cause(drawing, a, b)),
            key=lambda x: (-x[0][0], x[1].id),
        )
        ranked = [x for x in ranked if x[0][0] >= (ENOUGH_SEEN if role in ("http", "client") else ENOUGH)]
        if not ranked:
            continue
        (_, edge), main = _nearest(drawing, ranked)
        drawing.draw(edge)
        if role == "http":
            for (_, edge), a in ranked:
                above = drawing.above(b.id)
                if a.id == main.id or a.id in above or not _own_share(drawing, a, b, main):
                    continue
                drawing.draw(edge)


def _nearest(drawing: _Drawing, ranked: Sequence[tuple[tuple[float, Edge], Node]]) -> tuple[tuple[float, Edge], Node]:
    """Of the causes that as much speaks for, the one that stands next to the effect: the others lead to it."""
    best = ranked[0]
    for other in ranked[1:]:
        if other[0][0] >= best[0][0] - 0.15 and best[1].id in drawing.above(other[1].id):
            best = other
    return best


def _note_exit(drawing: _Drawing, b: Node) -> None:
    """Another line on an end that the platform states itself: what comes behind it is its effect, all else only a note."""
    for a in _by_time(drawing, lambda n: "exit" in n.marks):
        found = follow(a, b, 0)
        if (
            "worker_exit" not in b.marks
            and b.rule is not None
            and b.rule.category == "crash"
            and found is not None
            and found.share >= 0.6
        ):
            why = f"the platform's answer to it, {_lag(found)} later"
            drawing.draw(Edge(a.id, b.id, "rule", b.count, found.lag_s, 0.8, why))
            return
    drawing.labels.add(b.id)


def _consequences(drawing: _Drawing) -> None:
    """Errors of no known kind that set in after a known failure of the same service and stay with it."""
    for b in _by_time(
        drawing,
        lambda n: (
            n.kind == "message"
            and n.role in ("cause", "wrapper")
            and n.severe
            and (n.role == "wrapper" or _vague(n))
            and not n.stacks
        ),
    ):
        if b.id in drawing.parents or b.id in drawing.labels or any(e.cause == b.id for e in drawing.edges):
            continue
        ranked = []
        for a in drawing.nodes.values():
            if (
                a.id == b.id
                or a.id in drawing.labels
                or _outer(drawing, a)
                or not a.severe
                or a.count < 2
                or not (set(a.services) & set(b.services) or (b.rule is not None and b.rule.category == "queue"))
            ):
                continue
            if (
                (_vague(a) and not a.stacks)
                or a.role in ("http", "client")
                or not _before(a, b, 0)
                or b.id in drawing.above(a.id)
            ):
                continue
            together = drawing.together(a, b)
            if together >= 0.6:
                ranked.append((together, a))
        if ranked:
            together, a = max(ranked, key=lambda x: (x[0], -x[1].step, x[1].id))
            found = follow(a, b, drawing.slack)
            why = f"an error of the same service that sets in after it and stays with it in {percent(together)} of its time"
            drawing.draw(
                Edge(
                    a.id, b.id, "precedes", b.count, found.lag_s if found else None, round(0.3 + 0.3 * together, 2), why
                )
            )


def _may_cause(drawing: _Drawing, a: Node, b: Node) -> bool:
    if a.id == b.id or a.id in drawing.labels or b.id in drawing.above(a.id):
        return False
    if a.rule is not None and a.rule.category == "health_check" and b.role in ("http", "client"):
        return False  # a probe sees what the requests see
    if b.role == "timeout":
        other = bool(drawing.names[b.id] & set(a.services)) and not _shares_service(a, b)
        slow = a.rule is not None and a.rule.category in SATURATION and _shares_service(a, b)
        return (
            not _outer(drawing, a)
            and a.role != "timeout"
            and a.step <= b.step
            and (other or (slow and a.role != "precursor"))
        )
    return a.role != "precursor" and not _outer(drawing, a) and a.step < b.step


def _own_share(drawing: _Drawing, a: Node, b: Node, main: Node) -> bool:
    """Whether `a` accounts for HTTP failures that the main cause does not: as severe, of the same kind, at the same moments."""
    if not a.severe or a.role not in ("cause", "timeout", "wrapper") or a.count > 1.5 * b.count:
        return False
    if drawing.together(b, a) < 0.8:
        return False
    if main.role in ("exit", "proxy"):
        found = follow(a, b, drawing.slack)
        return found is not None and found.pace < 0.3 and found.scope != "any" and _shares_service(a, b)
    return True


def _evidence(drawing: _Drawing, a: Node, b: Node) -> tuple[float, Edge]:
    """How much speaks for `a` as the cause of `b`, 0..1, and the link that says it."""
    found = follow(a, b, drawing.slack)
    together = (drawing.together(a, b) + drawing.together(b, a)) / 2
    named = drawing.names[b.id] & set(a.services)
    names = bool(named) and not set(b.services) >= set(a.services)
    same = _shares_service(a, b) or b.role in ("http", "client")  # what users see is logged by the server in front
    reasons = [_MECHANICS.get((_kind_of_cause(a), b.role), "")]
    score = 0.3 * together
    kind = "precedes"
    steady = found is not None and bool(found.pace) and found.pace < 0.3 and a.count >= 3
    if found is not None:
        score += (0.3 if found.scope == "instance" else 0.2 if found.scope == "service" else 0.1) * found.share
        if steady:
            score += 0.15
            reasons.append(f"{_lag(found)} behind it in {percent(found.share)} of {b.count:,} cases")
            kind = "same_instance" if found.scope == "instance" else "precedes"
    if not steady and together:
        reasons.append(f"seen in the same stretches of time ({percent(together)})")
    if same or set(a.services) <= SYSTEM:
        score += 0.15
    mine, theirs = drawing.traces.get(a.id, frozenset()), drawing.traces.get(b.id, frozenset())
    if len(mine & theirs) >= 2 or (mine and mine == theirs):
        shared = len(mine & theirs) / min(len(mine), len(theirs))
        score += 0.4 * shared
        kind = "same_trace"
        reasons.append(f"in the same request {len(mine & theirs):,} times")
    if names:
        score += 0.5
        kind = "names"
        reasons.append(f"its text names {', '.join(sorted(named))}")
    score += (0.2 if b.role == "http" else 0.1) * min(a.count, b.count) / max(a.count, b.count)
    if a.rule is not None and (
        b.role in a.rule.explains or (b.rule is not None and b.rule.category in a.rule.explains)
    ):
        score += 0.1
        kind = "rule" if kind == "precedes" else kind
    if _kills(a, b) and found is not None:
        score += 0.4 if found.pace < 0.3 else 0.1
        kind = "rule"
        reasons[0] = "the process was killed for its memory"
    if not names and not _before(a, b, drawing.slack):  # clocks of two services may differ; a name is proof enough
        early = _share_before(b, a)  # of what is explained, what came before the explanation
        score -= 0.25 * early if b.role == "http" else 0.1 + 0.2 * early if b.step > LADDER["exit"] else 0.3
    score -= (0.02 if b.role == "http" else 0.04) * max(0, b.step - a.step - 1)
    score += 0.01 * min(9, len(drawing.above(a.id)))
    if (
        together >= 0.6 and (a.role, b.role) in _NEXT
    ):  # a proxy's own error line is the nearest reason for its 502, and so on
        score += 0.25
    if not a.severe and b.severe:
        score -= 0.1
    lag = found.lag_s if found is not None and steady else None
    why = "; ".join(r for r in reasons if r) or "at the same time"
    return score, Edge(a.id, b.id, kind, b.count, lag, round(max(0.3, min(0.95, score)), 3), why)


def _kind_of_cause(node: Node) -> str:
    return node.role if node.role in ("exit", "proxy", "http", "timeout") else "failure"


_MECHANICS = {
    ("failure", "exit"): "the process ends on it",
    ("timeout", "exit"): "the process is ended for it",
    ("failure", "proxy"): "the backend behind the proxy fails",
    ("exit", "proxy"): "the proxy finds no process that listens",
    ("timeout", "proxy"): "the proxy waits for a backend that waits itself",
    ("exit", "http"): "no instance is up to answer",
    ("proxy", "http"): "the proxy answers for a backend that does not",
    ("timeout", "http"): "the request ends when the wait does",
    ("failure", "http"): "requests fail where it is raised",
    ("http", "client"): "the client sees the failed answer",
    ("proxy", "client"): "the client sees the proxy's answer",
    ("failure", "timeout"): "callers give up waiting for it",
}
_NEXT = {("proxy", "http"), ("http", "client"), ("proxy", "client")}


def _share_before(b: Node, a: Node) -> float:
    """Share of b's moments that came before the first a."""
    if a.first is None or not b.times:
        return 0.0
    times = b.all_times
    return bisect_left(times, to_us(a.first)) / len(times)


def _kills(a: Node, b: Node) -> bool:
    memory = "oom" in a.marks or (a.rule is not None and a.rule.category == "memory" and a.role == "cause")
    return (
        memory and b.role == "exit" and ("KILL" in b.message.upper() or "137" in b.message or "signal 9" in b.message)
    )


def _precursors(drawing: _Drawing) -> None:
    """Warnings that come before a root in the same service: again and again, or of the same kind. Early signs, no roots."""
    roots = [n for n in drawing.nodes.values() if n.severe and n.role == "cause" and n.id not in drawing.parents]
    for early in _by_time(drawing, lambda n: n.role == "precursor" and not n.severe):
        if any(e.cause == early.id or (e.effect == early.id and e.kind != "wraps") for e in drawing.edges):
            continue
        for root in sorted(roots, key=lambda n: (n.first is None, n.first, n.id)):
            if (
                root.count < 2
                or root.rule is None
                or root.rule.category not in SATURATION
                or not _before(early, root, 0)
            ):
                continue
            if (
                early.rule is not None
                and early.rule.category == root.rule.category
                and set(early.services) & set(root.services)
            ):
                why = "an early warning of the same kind in the same service"
                drawing.labels.discard(early.id)
                drawing.draw(Edge(early.id, root.id, "precedes", early.count, None, 0.7, why))
                break
            if early.count < root.count:
                continue
            found = follow(early, root, 0)
            if found is None or in_every_cycle(early, root) < 0.8:
                continue
            drawing.draw(Edge(early.id, root.id, "precedes", root.count, found.lag_s, 0.6, "comes before it each time"))
            break


def _by_time(drawing: _Drawing, wanted: object) -> Iterable[Node]:
    assert callable(wanted)
    chosen = [n for n in drawing.nodes.values() if wanted(n)]
    return sorted(chosen, key=lambda n: (n.step, n.first is None, n.first, n.id))


def _shares_service(a: Node, b: Node) -> bool:
    return bool(set(a.services) & set(b.services)) or not a.services or not b.services


def _before(a: Node, b: Node, slack_us: int) -> bool:
    if a.first is None or b.first is None:
        return True
    return a.first <= b.first + timedelta(microseconds=slack_us)


def _lag(found: Follow) -> str:
    return span_words(found.lag_s)


def _short(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= 80 else line[:79] + "…"


_HOST = re.compile(
    r"""(?:https?|postgres(?:ql)?|redis|mysql|amqp|mongodb|grpc|tcp)://(?:[^@/\s"']*@)?([A-Za-z0-9_.\-]+)(?::(\d+))?  # a URL
      | \bhost\s*[=:]\s*["']?([A-Za-z0-9_.\-]+)["']?(?:[,;\s]+port\s*[=:]\s*["']?(\d+))?                               # host=… port=…
      | \bserver\ at\ "([^"]+)"(?:\ \([^)]*\))?,\ port\ (\d+)                                                          # libpq
      | \b([A-Za-z0-9_.\-]+\.[A-Za-z0-9_.\-]+|localhost|[A-Za-z][A-Za-z0-9_\-]{2,}):(\d{2,5})\b                        # host:port
    """,
    re.VERBOSE,
)
_LOCAL = {"localhost", "127.0.0.1", "0.0.0.0", "::1", "::", "*"}


def addresses(text: str) -> tuple[tuple[str, str | None], ...]:
    """Hosts and ports that a text names."""
    found = []
    for match in _HOST.finditer(text):
        host, port = next(((match[i], match[i + 1]) for i in (1, 3, 5, 7) if match[i]), (None, None))
        if host:
            found.append((host.lower().rstrip("."), port))
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Places:
    """Which services there are, and at which addresses they said that they listen."""

    services: frozenset[str]
    listening: Mapping[tuple[str, str | None], frozenset[str]]

    @staticmethod
    def of(summary: Summary) -> Places:
        """From the failures' services and the addresses of the listeners."""
        services = set(summary["volume"]["service"].drop_nulls().unique()) | set(
            summary["listens"]["service"].drop_nulls()
        )
        listening: dict[tuple[str, str | None], set[str]] = {}
        for service, address in summary["listens"].select("service", "address").drop_nulls().iter_rows():
            host, _, port = address.rpartition(":")
            for known in {host.lower().strip("[]"), ""}:
                listening.setdefault((known, port), set()).add(service)
        return Places(frozenset(services), {k: frozenset(v) for k, v in listening.items()})

    def named(self, node: Node) -> frozenset[str]:
        """Other services that the failure's text names: by host name, or by the address that they listen at."""
        found: set[str] = set()
        for host, port in addresses(node.message):
            name = host.split(".")[0]
            found |= {s for s in self.services if s.lower() in (name, host) or s.lower().replace("_", "-") == name}
            if port is not None:
                found |= self.listening.get((host, port)) or (
                    self.listening.get(("", port), frozenset()) if host in _LOCAL else frozenset()
                )
        return frozenset(found - set(node.services))
