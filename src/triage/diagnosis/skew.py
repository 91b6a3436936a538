"""Clocks that differ: measured where effects bear earlier stamps than their causes again and again, between services and instances."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from statistics import median

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.diagnosis.drawing import Graph
from triage.diagnosis.nodes import MEASURED, Node, Place
from triage.diagnosis.places import Places
from triage.summary import Summary

ENOUGH_PAIRS = 8  # fewer pairs prove no offset
LEAST_US = 3_000_000  # stamps of one moment may differ by less for many reasons
MOST_US = 3_600_000_000  # more is another day or another zone, not a clock that runs wrong
SPREAD_US = 1_500_000  # the middle half of the offsets lies within this: clocks are steady, delays are not
SHARE = 0.9  # of all pairs, so many agree
RIVAL = 0.5  # another offset that fits so well leaves the choice open: events at a steady pace fit many
MOST_TIMES = 200
MOST_COMPARED = 24

# Lines that are written when a wait ends, which may be long after the caller gave up: their lateness proves no clock.
_LATE = re.compile(
    r"time[d -]{0,2}out|cancel|abort|\bslow|took|elapsed|duration|retry|retri|dead.?letter|\d\s?(?:ms|s|sec|seconds?)\b",
    re.IGNORECASE,
)
_COMES_FIRST = ("cause", "precursor", "wrapper")
_BEHIND = {"HTTP 502", "HTTP 503", "HTTP 504"}  # statuses that speak of a server behind the one that answers


class Skew(Struct, frozen=True):
    """The clock of `late` runs at least `offset_us` ahead of that of `early`: its causes are stamped behind their effects.

    Both are services, as a whole, or two instances of one.
    """

    late: Place
    early: Place
    offset_us: int
    spread_us: int
    pairs: int
    traced: bool

    def told(self) -> str:
        """The finding as a sentence for the report."""
        proof = f"{self.pairs:,} shared traces" if self.traced else f"{self.pairs:,} pairs of failures"
        return (
            f"the clock of `{_name(self.late)}` runs about {_seconds(self.offset_us)} or more ahead of `{_name(self.early)}` ({proof}, "
            f"middle half within {_seconds(self.spread_us)}): causes are stamped behind their effects; the order in chains follows the causes, "
            "all times are shown as logged"
        )


def _name(place: Place) -> str:
    service, instance = place
    return instance or service or "?"


def measure(nodes: Mapping[str, Node], summary: Summary) -> tuple[Skew, ...]:
    """Offsets between the clocks of two services each, or of two instances of one; none without many pairs that agree."""
    taking = {i: n for i, n in nodes.items() if n.role not in ("noise", "lifecycle", *MEASURED)}
    inside = _by_instance(taking, summary["traces"])
    if len({s for n in taking.values() for s in n.services}) < 2:
        return tuple(inside)
    places = Places.of(summary)
    named = {i: places.named(n) for i, n in taking.items()}
    found = {(s.late[0], s.early[0]): s for s in _by_trace(taking, named, summary["traces"])}
    if summary.widths["activity"] <= SPREAD_US:
        for skew in _by_rhythm(taking, named, known={frozenset(s for s in pair if s) for pair in found}):
            found.setdefault((skew.late[0], skew.early[0]), skew)
    whole = tuple(s for pair, s in sorted(found.items()) if pair[::-1] not in found)
    return whole or tuple(inside)


def set_right(nodes: Mapping[str, Node], skews: Sequence[Skew]) -> dict[str, Node]:
    """The nodes with the times of services whose clock differs moved, so that causes stand before their effects."""
    moves = _moves(skews)
    return {i: _moved(n, moves) for i, n in nodes.items()} if moves else dict(nodes)


def as_logged(graph: Graph, nodes: Mapping[str, Node]) -> Graph:
    """The graph with all times as the log has them."""
    told = {
        i: replace(n, first=nodes[i].first, last=nodes[i].last, times=nodes[i].times) for i, n in graph.nodes.items()
    }
    return replace(graph, nodes=told)


def _by_trace(nodes: Mapping[str, Node], named: Mapping[str, frozenset[str]], traces: pl.DataFrame) -> Iterator[Skew]:
    """Requests that fail in two services: the first stamp of the cause's service behind that of the effect's."""
    rows = traces.drop_nulls(["first", "service"]).filter(pl.col("failure").is_in(list(nodes)))
    if rows["service"].n_unique() < 2:
        return
    seen = rows.select("trace", "service", "failure", at=pl.col("first").dt.epoch("us"))
    pairs = (
        seen.join(seen, on="trace", suffix="_effect")
        .filter(pl.col("service") != pl.col("service_effect"))
        .group_by("service", "service_effect", "failure", "failure_effect")
        .agg("trace")
    )
    effects: dict[tuple[str, str], set[str]] = {}
    causes: dict[tuple[str, str], set[str]] = {}
    for late, early, a, b, _ in pairs.iter_rows():
        if _leads(nodes[a], nodes[b], late, named[b]):
            effects.setdefault((late, early), set()).add(b)
            causes.setdefault((late, early), set()).add(a)
    for (late, early), led in sorted(effects.items()):
        # whatever the cause's service says of the request may stand before the effect: then nothing is contradicted
        first = seen.filter(pl.col("service") == late).group_by("trace").agg(pl.col("at").min())
        with_cause = seen.filter(
            (pl.col("service") == late) & pl.col("failure").is_in(sorted(causes[late, early]))
        ).select("trace")
        answer = seen.filter((pl.col("service") == early) & pl.col("failure").is_in(sorted(led)))
        answer = answer.group_by("trace").agg(pl.col("at").min().alias("told")).join(first, on="trace")
        gaps = answer.join(with_cause, on="trace", how="semi").select(pl.col("at") - pl.col("told")).to_series()
        skew = _steady(gaps.to_list(), (late, None), (early, None))
        if skew is not None:
            yield skew


def _by_instance(nodes: Mapping[str, Node], traces: pl.DataFrame) -> list[Skew]:
    """The same for two instances of one service, where the request is in both and the effect's text tells which came first."""
    rows = traces.drop_nulls(["first", "instance"])
    instances = rows["instance"].unique().to_list()
    effects = [
        i for i, n in nodes.items() if n.step > 1 and (_speaks_behind(n) or any(_says(n.text, x) for x in instances))
    ]
    if len(instances) < 2 or not effects:
        return []
    causes = [i for i, n in nodes.items() if n.role in _COMES_FIRST]
    rows = rows.filter(pl.col("failure").is_in([*effects, *causes]))
    seen = rows.select("trace", "service", "instance", "failure", at=pl.col("first").dt.epoch("us"))
    pairs = seen.join(seen, on=["trace", "service"], suffix="_effect", nulls_equal=True).filter(
        pl.col("instance") != pl.col("instance_effect")
    )
    gaps: dict[tuple[Place, Place], list[int]] = {}
    for service, late, early, a, b, offsets in (
        pairs.group_by("service", "instance", "instance_effect", "failure", "failure_effect")
        .agg(pl.col("at") - pl.col("at_effect"))
        .sort("service", "instance", "instance_effect", "failure", "failure_effect")
        .iter_rows()
    ):
        named = frozenset({late}) if _says(nodes[b].text, late) else frozenset()
        if _leads(nodes[a], nodes[b], late, named):
            gaps.setdefault(((service, late), (service, early)), []).extend(offsets)
    found = {pair: s for pair, offsets in gaps.items() if (s := _steady(offsets, *pair)) is not None}
    return [s for (late, early), s in sorted(found.items(), key=str) if (early, late) not in found]


def _says(text: str, instance: str) -> bool:
    return len(instance) >= 3 and re.search(rf"(?<![\w-]){re.escape(instance)}(?![\w-])", text) is not None


def _steady(gaps: Sequence[int], late: Place, early: Place) -> Skew | None:
    """The offset of many gaps of which nearly all agree."""
    if len(gaps) < ENOUGH_PAIRS:
        return None
    ordered = sorted(gaps)
    middle = int(median(ordered))
    spread = ordered[len(ordered) * 3 // 4] - ordered[len(ordered) // 4]
    behind = sum(g > 0 for g in ordered) / len(ordered)
    if behind < SHARE or not LEAST_US <= middle <= MOST_US or spread > SPREAD_US:
        return None
    return Skew(late, early, middle, spread, len(ordered), traced=True)


def _by_rhythm(
    nodes: Mapping[str, Node], named: Mapping[str, frozenset[str]], known: set[frozenset[str]]
) -> Iterator[Skew]:
    """Failures without a shared trace: the one offset at which nearly every effect meets a cause of its own."""
    for late, early, a, b in islice(_candidates(nodes, named), MOST_COMPARED):
        if frozenset((late, early)) in known:
            continue
        skew = _matched(_of_service(a, late), _of_service(b, early), late, early)
        if skew is not None:
            known.add(frozenset((late, early)))
            yield skew


def _candidates(
    nodes: Mapping[str, Node], named: Mapping[str, frozenset[str]]
) -> Iterable[tuple[str, str, Node, Node]]:
    effects = [n for n in nodes.values() if n.count >= ENOUGH_PAIRS and len(n.services) == 1 and _speaks_of(n, named)]
    causes = [n for n in nodes.values() if n.count >= ENOUGH_PAIRS and len(n.services) == 1 and n.severe]
    found = []
    for b in effects:
        for a in causes:
            alike = min(a.count, b.count) / max(a.count, b.count)
            if a.services != b.services and alike >= 0.8 and _leads(a, b, a.services[0], named[b.id]):
                found.append((-alike, -b.count, a.id, b.id))
    return [(nodes[a].services[0], nodes[b].services[0], nodes[a], nodes[b]) for _, _, a, b in sorted(found)]


def _matched(causes: Sequence[int], effects: Sequence[int], late: str, early: str) -> Skew | None:
    """The offset at which the moments of two failures fall together, where there is exactly one."""
    causes, effects = causes[:MOST_TIMES], effects[:MOST_TIMES]
    if min(len(causes), len(effects)) < ENOUGH_PAIRS:
        return None
    gaps = sorted(
        a - b for b in effects for a in causes[bisect_left(causes, b - MOST_US) : bisect_right(causes, b + MOST_US)]
    )
    fits: Counter[int] = Counter()
    end = 0
    for start, gap in enumerate(gaps):
        while end < len(gaps) and gaps[end] <= gap + SPREAD_US:
            end += 1
        fits[start] = end - start
    if not fits:
        return None
    start, pairs = max(fits.items(), key=lambda f: (f[1], -f[0]))
    inside = gaps[start : start + pairs]
    middle = int(median(inside))
    rival = max((n for s, n in fits.items() if abs(gaps[s] - gaps[start]) > 2 * SPREAD_US), default=0)
    met = min(pairs, len(effects), len(causes))
    if met < SHARE * max(len(effects), len(causes)) or met < ENOUGH_PAIRS or rival > RIVAL * pairs:
        return None
    if not LEAST_US <= middle <= MOST_US:
        return None
    spread = inside[len(inside) * 3 // 4] - inside[len(inside) // 4]
    return Skew((late, None), (early, None), middle, spread, met, traced=False)


def _speaks_of(node: Node, named: Mapping[str, frozenset[str]]) -> bool:
    return bool(named[node.id]) or _speaks_behind(node)


def _speaks_behind(node: Node) -> bool:
    return node.role in ("proxy", "timeout") or node.message in _BEHIND


def _leads(a: Node, b: Node, service: str, named: frozenset[str]) -> bool:
    """Whether `a`, seen in `service`, must come before `b`: b's text names that service, or b speaks of a server behind it."""
    # an end of a process is no proof: a supervisor may end it for what the effect tells of
    if a.role not in _COMES_FIRST or _LATE.search(a.text) or a.step >= b.step:
        return False
    if named:
        return service in named
    return a.severe and _speaks_behind(b)


def _moves(skews: Sequence[Skew]) -> dict[Place, int]:
    """How far the times of a place are moved: of two, the one that differs from more others is taken to be wrong."""
    weight = Counter(s for k in skews for s in (k.late, k.early))
    moves: dict[Place, int] = {}
    for k in sorted(skews, key=lambda k: (-k.pairs, str(k.late), str(k.early))):
        way = k.offset_us + k.spread_us
        if k.early in moves and k.late in moves:
            continue
        if k.early in moves or (k.late not in moves and weight[k.late] > weight[k.early]):
            moves[k.late] = moves.get(k.early, 0) - way
        else:
            moves[k.early] = moves.get(k.late, 0) + way
    return moves


def _moved(node: Node, moves: Mapping[Place, int]) -> Node:
    ways = {place: moves.get(place, moves.get((place[0], None), 0)) for place in node.times}
    if not any(ways.values()):
        return node
    times = {place: tuple(t + ways[place] for t in seen) for place, seen in node.times.items()}
    if len(set(ways.values())) > 1:  # seen in several places: the ends of what is left of its moments
        before, after = node.all_times, sorted(t for seen in times.values() for t in seen)
        if not after:
            return node
        first, last = after[0] - before[0], after[-1] - before[-1]
    else:
        first = last = next(iter(ways.values()))
    return replace(
        node,
        first=node.first + timedelta(microseconds=first) if node.first else None,
        last=node.last + timedelta(microseconds=last) if node.last else None,
        times=times,
    )


def _of_service(node: Node, service: str) -> tuple[int, ...]:
    return tuple(sorted(t for place, seen in node.times.items() if place[0] == service for t in seen))


def _seconds(us: int) -> str:
    return f"{us / 1e6:,.0f} s" if us >= 10_000_000 else f"{us / 1e6:,.1f} s"
