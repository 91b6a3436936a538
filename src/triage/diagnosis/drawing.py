"""The causal graph, and the sheet on which it is drawn."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import timedelta

from msgspec import Struct, field

from triage.diagnosis.metrics import to_us
from triage.diagnosis.nodes import Clock, Follow, Node
from triage.diagnosis.wording import span_words

ENOUGH = 0.5  # a link of less evidence is not drawn
# what a runtime prints by itself: a header in front of it was logged before, and is not what carries it
CRASHES = ("panic", "fatal error")
MOSTLY_WITHOUT = 3  # times as often as with a crash behind it
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
EARLY = 0.25  # of a failure's records, and of its effect's time: so much before it is not what sets the effect off
GENERIC_RANK = 70  # rules of this rank and above name no cause exactly
EXACT_RANK = 20  # rules below this rank name one thing exactly


class Edge(Struct, frozen=True):
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


class Graph(Struct, frozen=True):
    """`parents` holds for each effect its main causes, strongest first; `edges` all links that were found.

    `labels` are messages that merely head the record of a traceback: they say nothing that the exception does not.
    `below` holds the links of `parents` by their cause. `aside` are failures that were too many to be held against the
    others; the links that records prove of them are in `beyond`.
    """

    nodes: Mapping[str, Node]
    parents: Mapping[str, tuple[Edge, ...]]
    edges: tuple[Edge, ...]
    labels: frozenset[str]
    below: Mapping[str, tuple[Edge, ...]]
    aside: frozenset[str]
    beyond: tuple[Edge, ...]

    def children(self, node: str) -> tuple[Edge, ...]:
        """Links that start at the node, by effect."""
        return self.below.get(node, ())


class Drawing(Struct, frozen=True):
    """The sheet on which links are drawn: its nodes, parents, edges and labels grow and change until it becomes a Graph."""

    nodes: dict[str, Node]
    clock: Clock | None
    active: dict[str, frozenset[int]]
    names: dict[str, frozenset[str]]
    traces: dict[str, frozenset[str]]
    parents: dict[str, list[Edge]]
    edges: list[Edge]
    labels: set[str]
    drawn: set[tuple[str, str]] = field(default_factory=set)
    raised_on: set[str] = field(default_factory=set)

    def draw(self, edge: Edge, *, main: bool = True) -> None:
        if edge.cause == edge.effect or (edge.cause, edge.effect) in self.drawn:
            return
        self.drawn.add((edge.cause, edge.effect))
        if edge.kind in ("raised_from", "while_handling"):
            self.raised_on.add(edge.cause)
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

    def beneath(self, node: str) -> set[str]:
        """All that the node leads to: those of which it is `above`."""
        effects: dict[str, list[str]] = {}
        for effect, edges in self.parents.items():
            for edge in edges:
                effects.setdefault(edge.cause, []).append(effect)
        seen: set[str] = set()
        todo = [node]
        while todo:
            for effect in effects.get(todo.pop(), ()):
                if effect not in seen:
                    seen.add(effect)
                    todo.append(effect)
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


def by_time(drawing: Drawing, wanted: object) -> Iterable[Node]:
    assert callable(wanted)
    chosen = [n for n in drawing.nodes.values() if wanted(n)]
    return sorted(chosen, key=lambda n: (n.step, n.first is None, n.first, n.id))


def shares_service(a: Node, b: Node) -> bool:
    return bool(set(a.services) & set(b.services)) or not a.services or not b.services


def comes_before(a: Node, b: Node, slack_us: int) -> bool:
    if a.first is None or b.first is None:
        return True
    return a.first <= b.first + timedelta(microseconds=slack_us)


def runs_without(a: Node, b: Node) -> bool:
    """Whether `a`, the rarer one, had gone on for long before any of `b`: then it is not what set `b` off."""
    if a.first is None or b.first is None or b.last is None or a.count * 2 > b.count:
        return False
    times = a.all_times
    before = bisect_left(times, to_us(b.first))
    return before >= 2 and before >= EARLY * len(times) and b.first - a.first >= EARLY * (b.last - b.first)


def is_vague(node: Node) -> bool:
    return node.rule is None or node.rule.rank >= GENERIC_RANK


def calls_another(*nodes: Node) -> bool:
    """Whether these are calls of another service that fail, or repeats of such calls."""
    return all(
        n.role in ("proxy", "precursor") and n.rule is not None and n.rule.category == "dependency" for n in nodes
    )


def is_raised_on(drawing: Drawing, node: Node) -> bool:
    """Whether the node is raised further in its own record: then the outer exception speaks for it."""
    return node.id in drawing.raised_on


def lag_words(found: Follow) -> str:
    return span_words(found.lag_s)


def shorten(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= 80 else line[:79] + "…"
