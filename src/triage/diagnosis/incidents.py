"""Incidents: which failures belong together, where each begins, what it did to users, and how bad that is."""

from __future__ import annotations

import hashlib
import itertools
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.diagnosis.drawing import Edge, Graph
from triage.diagnosis.listening import told_by_listeners
from triage.diagnosis.metrics import EDGE, Layer, is_front, retold, to_us
from triage.diagnosis.nodes import AGAIN, ERROR, LADDER, Node, follow
from triage.diagnosis.roots import find_roots, last_roots
from triage.diagnosis.texts import RETRY, is_borne, is_tried_again
from triage.diagnosis.usual import (
    BROKER,
    are_jobs_tried_again,
    are_strays,
    came_and_went,
    does_without,
    is_rare,
    is_short,
    is_usual,
    runs_all_along,
)
from triage.diagnosis.wording import percent, plural
from triage.report import Root, Window
from triage.summary import Summary

MOST_CHAINS = 6
_BACKLOG = "queue-backlog"
_GIVEN_UP = re.compile(r"abort|cancel|clos|disconnect|hang ?up|hung up|\breset\b|broken ?pipe|\bEPIPE\b", re.IGNORECASE)
_WORKER = re.compile(
    r"(?:^|[^a-z])(?:workers?|jobs?|cron|consumers?|scheduler|batch|importer|mailer|sidekiq|celery|queue|indexer|sync|etl)(?:$|[^a-z])",
    re.IGNORECASE,
)
_CONSTRAINT, _CONFLICTS = "constraint-violation", (409, 422)
_MALFORMED = (400, 405, 406, 409, 411, 413, 414, 415, 417, 422, 431)
REFUSED = 0.5  # of the requests: so many refused weigh as much as a tenth of them failing
STRAY = 0.05  # of a failure's records, or of those of an incident: so few before its root do not move its beginning
AT_ONCE = timedelta(seconds=60)  # an effect that is stamped so little before its cause may still be of it
FEW_FAILED = 5  # requests: a share of fewer says little
_US = timedelta(microseconds=1)
RUN = timedelta(minutes=10)  # what is started no sooner than that again is a job: clusters wait for 5 at most
ON_TIME = timedelta(seconds=2)  # so exactly a timer starts it, and so evenly it takes its time
BLIP = 5  # requests: so few that fail within seconds of a long log weigh little
BLIP_LASTS, BLIP_PART = timedelta(seconds=10), 100  # for how long at most, and how many times as long the log is
STRAYS = 5  # records: so few before and after another incident are none of their own
OUTWEIGH = 5  # times as many records as those of the incident in whose time they fall
PILES = 10  # records that say so, before work is taken to pile up
RISE = 2.0  # times as often as in the baseline: less is no news


class Impact(Struct, frozen=True):
    """What users and the platform saw inside an incident: the inputs of its severity."""

    requests: int
    failed: int
    exits: int
    ready: int
    minutes: float
    refused: int = 0  # requests that were answered with a status of 400..499 instead of what was asked for
    slow: str = ""  # the figures of answers that take longer
    silent: str = ""  # and of a silence
    unseen: bool = False  # it befell services that serve no requests, while others did: jobs, consumers
    records: int = 0  # that carry one of its failures, each counted once however many it carries
    errors: int = 0  # of these at ERROR or above
    piled: str = ""  # what tells that work piles up
    runs: bool = False  # the exits are those of a job that is started now and then

    @property
    def share(self) -> float:
        """Failed requests of all, 0..1; 0 without requests."""
        return self.failed / self.requests if self.requests else 0.0


class Case(Struct, frozen=True):
    """One incident before it is told: its nodes, roots, chains and measured impact."""

    id: str
    members: tuple[str, ...]
    roots: tuple[Root, ...]
    chains: tuple[tuple[str, ...], ...]
    symptoms: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    ongoing: bool
    recovered: datetime | None
    impact: Impact
    severity: str
    severity_why: str


def cases(
    graph: Graph, summary: Summary, layer: Layer | None, span: Window | None, usual: Mapping[str, float] | None = None
) -> tuple[tuple[Case, ...], tuple[str, ...], tuple[str, ...]]:
    """Incidents, worst first, and the ids of failures that were there but deserve none: the noise, and what came and went.

    `usual` holds how often an hour each failure was seen in a good time, where one is known.
    """
    groups = _components(graph)
    found: list[Case] = []
    quiet: list[str] = []
    passed: list[str] = []
    loose: list[tuple[str, ...]] = []
    for members in groups:
        nodes = [graph.nodes[m] for m in members]
        if not _deserves(nodes, graph, summary, layer):
            quiet += members
        elif _visible(nodes) or _known_cause(nodes):
            found.append(_case(members, graph, summary, layer, span))
        else:
            loose.append(members)
    found = [c for c in found if not _background(c, found, span, graph, summary, quiet)]
    found = [c for c in found if not _knocking(c, span, graph, quiet)]
    found = [c for c in found if not _usual(c, graph, summary, layer, span, quiet)]
    found = [c for c in found if not _passing(c, graph, summary, layer, span, passed)]
    for members in loose:
        home = _home(members, found, graph)
        if home is None:
            found.append(_case(members, graph, summary, layer, span))
        else:
            place = found.index(home)
            found[place] = _with_symptoms(home, members)
    found = [c for c in found if not _background(c, found, span, graph, summary, quiet)]
    found = [c for c in found if not _usual(c, graph, summary, layer, span, quiet)]
    found = [c for c in found if not _refused_as_asked(c, graph, summary, layer, span, quiet)]
    found = [c for c in found if not _passing(c, graph, summary, layer, span, passed)]
    found = _with_kin(found, graph)
    if usual is not None:
        found = [_against(c, usual, graph, span) for c in found if not _as_ever(c, usual, graph, span, quiet)]
    gravest = min((c.severity for c in found), default="")
    if not any(c.roots for c in found if c.severity == gravest):
        found = [c if c.roots else _with_last_roots(c, graph, summary, span) for c in found]
    found.sort(key=lambda c: (c.severity, not c.roots, -c.impact.failed, c.start is None, c.start, c.id))
    return tuple(found), tuple(sorted(quiet)), tuple(sorted(passed))


def _with_last_roots(case: Case, graph: Graph, summary: Summary, span: Window | None) -> Case:
    return replace(case, roots=told_by_listeners(last_roots(case.members, graph, span), graph, summary))


def _components(graph: Graph) -> list[tuple[str, ...]]:
    """Failures that links connect, as sorted ids; harmless ones stay out unless a link holds them."""
    leader: dict[str, str] = {}

    def find(node: str) -> str:
        while leader.setdefault(node, node) != node:
            node = leader[node]
        return node

    labelled: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.effect not in graph.labels:
            leader[find(edge.cause)] = find(edge.effect)
        else:
            labelled.setdefault(edge.effect, []).append(edge.cause)
    for label in sorted(
        graph.labels
    ):  # one label may head records of several failures: it joins nothing, and goes with the weightiest
        causes = [graph.nodes[cause] for cause in labelled.get(label, ())]
        if causes:
            leader[find(label)] = find(min(causes, key=lambda n: (-n.count, n.id)).id)
    for node in graph.nodes.values():
        if node.id in graph.aside:
            continue
        if node.role not in ("noise", "lifecycle") and (node.severe or node.id in leader):
            find(node.id)
    members: dict[str, list[str]] = {}
    for name in leader:
        members.setdefault(find(name), []).append(name)
    return sorted(tuple(sorted(m)) for m in members.values())


def _deserves(nodes: Sequence[Node], graph: Graph, summary: Summary, layer: Layer | None) -> bool:
    """Whether this is more than a hiccup."""
    severe = [n for n in nodes if n.severe and n.id not in graph.labels]
    if any(n.shift is not None and n.shift.bears for n in severe):
        return True
    severe = [n for n in severe if n.shift is None]
    if not severe:
        return False
    if any(n.role == "exit" or "oom" in n.marks for n in severe):
        return True
    failed = sum(n.count for n in severe if n.kind == "http")
    requests = int(layer.of(summary["requests"])["count"].sum()) if layer is not None else 0
    own = [n for n in severe if not _given_up_with_client(n, graph)]
    causes = [
        n for n in own if n.role in ("cause", "wrapper") and not _raised_from_client(n, graph) and not _odd_guest(n)
    ]
    if failed:
        return failed > 2 or failed > 0.001 * requests or any(n.stacks for n in causes)
    waits = [n for n in own if n.role in ("timeout", "proxy", "client") and not _left(n)]
    if not causes:
        return sum(n.count for n in waits) > 2
    return any(n.stacks or n.count > 1 or (n.rule is not None and n.rule.rank < 50) for n in causes)


def _odd_guest(node: Node) -> bool:
    """Whether a request that no client should send was refused once or twice."""
    return node.count < 3 and node.rule is not None and node.rule.category == "client"


def _raised_from_client(node: Node, graph: Graph) -> bool:
    """Whether an exception only passes on that the client went away."""
    inner = [
        graph.nodes[e.cause] for e in graph.parents.get(node.id, ()) if e.kind in ("raised_from", "while_handling")
    ]
    return (
        node.role == "wrapper"
        and bool(inner)
        and all(n.role == "client" or _raised_from_client(n, graph) for n in inner)
    )


def _given_up_with_client(node: Node, graph: Graph) -> bool:
    """Whether work ends each time in the very request whose client goes away."""
    return _GIVEN_UP.search(node.text) is not None and any(
        e.cause == node.id and e.kind == "same_trace" and e.count >= node.count and _left(graph.nodes[e.effect])
        for e in graph.edges
    )


def _left(node: Node) -> bool:
    """Whether this only tells that clients went away, and the program thinks little of it."""
    return node.role == "client" and node.level < ERROR and node.rule is not None and node.rule.category == "client"


def _visible(nodes: Sequence[Node]) -> bool:
    return any(n.role in ("exit", "proxy", "http", "client") and (n.shift is None or n.shift.bears) for n in nodes)


def _known_cause(nodes: Sequence[Node]) -> bool:
    return any(n.role == "cause" and (n.stacks or (n.rule is not None and n.rule.confidence >= 0.5)) for n in nodes)


def _background(
    case: Case, found: Sequence[Case], span: Window | None, graph: Graph, summary: Summary, quiet: list[str]
) -> bool:
    """Whether the case ran evenly all along, or before and after, while another one, with visible effects, began in the middle of the log."""
    if span is None or case.start is None or case.end is None or _visible([graph.nodes[m] for m in case.members]):
        return False
    length = span.end - span.start
    others = [c for c in found if c is not case and c.start is not None and c.start > span.start + 0.1 * length]
    seen = [c for c in others if _visible([graph.nodes[m] for m in c.members])]
    even = case.start <= span.start + 0.05 * length and case.end >= span.end - 0.05 * length
    severe = _severe(case.members, graph)
    if not even and seen and is_rare(severe, summary, None):
        even = runs_all_along(severe, span) or _around(case, seen, severe)
    if seen and even:
        quiet += case.members
        return True
    return False


def _around(case: Case, others: Sequence[Case], severe: Sequence[Node]) -> bool:
    """Whether a few failures, of no cause that is known for sure, were there before each of the other cases and after it; before is enough
    where the program says that it goes on without, or tries again."""
    harmless = bool(severe) and all(does_without(n) or _is_to_be_tried_again(n) for n in severe)
    if harmless and sum(n.count for n in severe) < STRAYS:
        return all(c.start is not None and case.start is not None and case.start < c.start for c in others)
    if any(n.rule is not None and n.rule.confidence >= 0.8 and n.role == "cause" for n in severe):
        return False
    return sum(n.count for n in severe) < STRAYS and all(
        c.start is not None and c.end is not None and case.start is not None and case.end is not None
        and case.start < c.start and c.end < case.end
        for c in others
    )  # fmt: skip


def _is_to_be_tried_again(node: Node) -> bool:
    """Whether the program says that it will try again."""
    return node.kind == "message" and not node.stacks and RETRY.search(node.message) is not None


def _severe(members: Sequence[str], graph: Graph) -> list[Node]:
    return [n for m in members if (n := graph.nodes[m]).severe and m not in graph.labels]


def _usual(
    case: Case, graph: Graph, summary: Summary, layer: Layer | None, span: Window | None, quiet: list[str]
) -> bool:
    """Whether the case is the noise of every day."""
    severe = _severe(case.members, graph)
    told = [n for n in severe if not RETRY.search(n.message)] or severe  # a remark on each of them counts none twice
    again = _tried_again(case, severe, graph) or are_jobs_tried_again(severe, summary)
    again = again and is_rare(told, summary, None)  # what is tried again fails no request
    if case.impact.failed or not (again or is_usual(severe, summary, layer, span, retried=_retried(severe, graph))):
        return False
    quiet += case.members
    return True


def _passing(
    case: Case, graph: Graph, summary: Summary, layer: Layer | None, span: Window | None, passed: list[str]
) -> bool:
    """Whether the case came and went, and the log shows nobody whom it harmed."""
    if case.impact.failed or case.severity != "P3":
        return False
    severe = _severe(case.members, graph)
    over = case.recovered is not None and came_and_went(severe, summary, layer, span)
    if not over and not are_strays(severe, summary, layer, span):
        return False
    passed += case.members
    return True


def _tried_again(case: Case, severe: Sequence[Node], graph: Graph) -> bool:
    """Whether all that is told of the case are remarks that something is tried again, none of them an error."""
    if any(graph.nodes[m].level >= ERROR for m in case.members):
        return False
    labels = [graph.nodes[m] for m in case.members if m in graph.labels]
    if any(not RETRY.search(n.message) for n in labels):
        return False
    if _visible(severe) or any("oom" in n.marks for n in severe):
        return False
    around = [n for n in graph.nodes.values() if n.level < ERROR and RETRY.search(n.message)]
    told = _retried(severe, graph)
    return all(
        RETRY.search(n.message) or n.id in told or any(_is_beside(n, remark) for remark in around) for n in severe
    )


def _is_beside(node: Node, remark: Node) -> bool:
    """Whether the remark is made right before each of the failures, in a record of its own, by the same service."""
    found = follow(remark, node, 0)
    return found is not None and found.share >= 0.9 and found.lag_s <= 1.0 and node.services == remark.services


def _retried(severe: Sequence[Node], graph: Graph) -> set[str]:
    """The failures of which a remark that is no error tells each time that it is tried again, and those whose own text, or that of
    their record, says that it is, or that the program goes on without."""
    told = [e for e in graph.edges if _tells_of_retry(graph.nodes[e.effect]) or _heads_what_is_borne(e, graph)]
    by_remark = {n.id for n in severe if sum(graph.nodes[e.effect].count for e in told if e.cause == n.id) >= n.count}
    by_itself = {n.id for n in severe if n.kind == "message" and is_borne(n.message)}
    return by_remark | by_itself


def _tells_of_retry(node: Node) -> bool:
    if RETRY.search(node.message) and node.level < ERROR:
        return True
    return is_tried_again(node.message)


def _heads_what_is_borne(edge: Edge, graph: Graph) -> bool:
    return edge.effect in graph.labels and is_borne(graph.nodes[edge.effect].message)


def _knocking(case: Case, span: Window | None, graph: Graph, quiet: list[str]) -> bool:
    """Whether nothing but refused logins ran evenly all along while every request was served: strangers at a public door."""
    if span is None or case.start is None or case.end is None or case.impact.failed or not case.impact.requests:
        return False
    severe = _severe(case.members, graph)
    length = span.end - span.start
    even = case.start <= span.start + 0.15 * length and case.end >= span.end - 0.15 * length
    refused = all(n.rule is not None and n.rule.category in ("auth", "database_auth") for n in severe)
    if even and refused and all(n.kind == "message" and not n.stacks for n in severe):
        quiet += case.members
        return True
    return False


def _refused_as_asked(
    case: Case, graph: Graph, summary: Summary, layer: Layer | None, span: Window | None, quiet: list[str]
) -> bool:
    """Whether all that failed broke a constraint of the data, and whoever asked for it was told so: with a conflict, and no error; or
    whether as many requests were refused as malformed, all along."""
    severe = _severe(case.members, graph)
    broken = all(n.rule is not None and n.rule.name == _CONSTRAINT and not n.stacks for n in severe)
    if case.impact.failed or not severe or case.impact.exits:
        return False
    rows = summary["requests"]
    many = [n.count for n in severe if n.inner or broken]
    if not broken:
        services = {s for n in severe for s in n.services}
        kin = _worded_alike(severe, graph)
        own = rows.filter(pl.col("service").is_in(list(services)))
        # who logs no requests answers those of the server in front of it
        rows = own if own.height or layer is None else layer.of(rows)
        if span is None or case.severity != "P3" or not runs_all_along(kin or severe, span):
            return False
        many = [n.count for n in kin] or many
    told = int(rows.filter(pl.col("status").is_in(_CONFLICTS if broken else _MALFORMED))["count"].sum())
    if told < (max(many) if broken else sum(many)):
        return False
    quiet += case.members
    return True


def _worded_alike(severe: Sequence[Node], graph: Graph) -> list[Node]:
    """All refusals of a program that begin with the same words as these ("Order rejected: ..."); none where one is no such text."""
    heads = {(n.services, n.message.partition(": ")[0]) for n in severe}
    plain = all(n.kind == "message" and n.rule is None and not n.stacks and ": " in n.message for n in severe)
    if not plain or len(heads) > 1:
        return []
    others = (n for n in graph.nodes.values() if n.severe and n.kind == "message" and n.rule is None and not n.stacks)
    return [n for n in others if (n.services, n.message.partition(": ")[0]) in heads]


def _as_ever(case: Case, usual: Mapping[str, float], graph: Graph, span: Window | None, quiet: list[str]) -> bool:
    """Whether every severe failure of a case of little weight was about as frequent in the good time."""
    if case.severity in ("P0", "P1"):
        return False
    severe = _severe(case.members, graph)
    if severe and all(_rise(n, usual, span) < RISE for n in severe):
        quiet += case.members
        return True
    return False


def _against(case: Case, usual: Mapping[str, float], graph: Graph, span: Window | None) -> Case:
    """The case with its roots held against the good time: new ones gain, those that were as frequent lose."""

    def held(root: Root) -> Root:
        rise = _rise(graph.nodes[root.failure], usual, span)
        if root.failure not in usual:
            return replace(
                root,
                confidence=min(0.97, round(root.confidence + 0.03, 2)),
                why=f"{root.why}; the baseline does not have it",
            )
        if rise >= RISE:
            return replace(root, why=f"{root.why}; {rise:,.0f} times as frequent as in the baseline")
        against = "it was about as frequent in the baseline"
        return replace(
            root,
            confidence=max(0.2, round(root.confidence - 0.25, 2)),
            against="; ".join(p for p in (root.against, against) if p),
        )

    roots = sorted((held(r) for r in case.roots), key=lambda r: r.against.endswith("in the baseline"))
    return replace(case, roots=tuple(roots))


def _rise(node: Node, usual: Mapping[str, float], span: Window | None) -> float:
    """How many times as frequent as in the good time; a thousand for what was not there."""
    hours = max((span.end - span.start).total_seconds(), 1.0) / 3600 if span is not None else 1.0
    return node.count / hours / usual[node.id] if usual.get(node.id) else 1000.0


def _home(members: tuple[str, ...], found: Sequence[Case], graph: Graph) -> Case | None:
    """The incident in whose time, give or take a tenth, these failures of no known cause fall, unless they are far more than it."""
    first = min((f for m in members if (f := graph.nodes[m].first) is not None), default=None)
    home = next((c for c in found if _falls_into(first, c)), None)
    return None if home is None or _outweighs(members, home, graph) else home


def _falls_into(first: datetime | None, case: Case) -> bool:
    if first is None or case.start is None or case.end is None:
        return True
    grace = max(timedelta(seconds=5), 0.1 * (case.end - case.start))
    return case.start - grace <= first <= case.end + grace


def _outweighs(members: tuple[str, ...], home: Case, graph: Graph) -> bool:
    """Whether the failures are far more than those of an incident: then they are no part of it because of their time alone."""
    return max((n.count for n in _severe(members, graph)), default=0) > OUTWEIGH * max(1, home.impact.records)


def _with_kin(found: Sequence[Case], graph: Graph) -> list[Case]:
    """The incidents, each with those that are the same known failure in the same service, within its time and much rarer."""
    kept = sorted(found, key=lambda c: (-c.impact.records, c.id))
    for case in reversed(list(kept)):
        mine = _severe(case.members, graph)
        home = next((c for c in kept if c is not case and _is_kin(mine, case, c, graph)), None)
        if home is not None:
            kept[kept.index(home)] = _with_symptoms(home, case.members)
            kept.remove(case)
    return kept


def _is_kin(mine: Sequence[Node], case: Case, other: Case, graph: Graph) -> bool:
    # without times (a table of events with ages) it is the same thing told again
    if case.start is None and other.start is not None:
        rules = {t.rule.name for t in _severe(other.members, graph) if t.rule is not None}
        return bool(mine) and all(n.rule is not None and n.rule.name in rules for n in mine)
    if None in (case.start, case.end, other.start, other.end) or AGAIN * case.impact.records > other.impact.records:
        return False
    theirs = _severe(other.members, graph)
    within = other.start <= case.start and case.end <= other.end  # type: ignore[operator]
    return within and all(
        n.rule is not None and any(t.rule is n.rule and set(t.services) >= set(n.services) for t in theirs)
        for n in mine
    )


def _with_symptoms(case: Case, members: tuple[str, ...]) -> Case:
    return replace(case, members=(*case.members, *members), symptoms=(*case.symptoms, *members))


def _case(members: tuple[str, ...], graph: Graph, summary: Summary, layer: Layer | None, span: Window | None) -> Case:
    roots = find_roots(members, graph, span)
    chains = _chains([r.failure for r in roots], members, graph)
    told = {i for chain in chains for i in chain} | {r.failure for r in roots}
    symptoms = tuple(m for m in members if m not in told)
    core = [graph.nodes[i] for i in sorted(told) if graph.nodes[i].first is not None] or [
        graph.nodes[m] for m in members if graph.nodes[m].first is not None
    ]
    minor = {r.failure for r in roots[1:] if r.explains < STRAY}
    fresh = [n for n in core if n.id not in minor and (n.role != "precursor" or not _stood(n, span))] or core
    lead = graph.nodes[roots[0].failure] if roots else None
    start = min((b for n in fresh if (b := _begins(n, lead)) is not None), default=None)
    end = max((n.last for n in core if n.last), default=None)
    severe = [n for n in core if n.severe]
    onset = min((b for n in severe if n.id not in minor and (b := _begins(n, lead)) is not None), default=start)
    impact = _impact([graph.nodes[m] for m in members], summary, layer, onset, end)
    recovered = _recovered(core, summary, layer, span, end)
    stands = recovered is None or span is None or not is_short(core, span)
    severity, why = _severity([graph.nodes[m] for m in members], impact, layer, stands=stands)
    if (
        severity in ("P0", "P1", "P2")
        and impact.failed
        and not impact.exits
        and _is_blip(core, impact, recovered, span)
    ):
        severity = "P3"
    seed = "\n".join([*(r.failure for r in roots), *sorted(members)])
    return Case(
        id="i" + hashlib.blake2b(seed.encode(), digest_size=4).hexdigest(), members=members, roots=roots, chains=chains, symptoms=symptoms,
        start=start, end=end, ongoing=recovered is None, recovered=recovered, impact=impact, severity=severity, severity_why=why,
    )  # fmt: skip


def _is_blip(core: Sequence[Node], impact: Impact, recovered: datetime | None, span: Window | None) -> bool:
    """Whether a few requests failed within seconds, in a log that goes on for long, and then were answered again."""
    times = [t for n in core for t in n.all_times]
    if span is None or recovered is None or not times or impact.failed > BLIP:
        return False
    lasted = timedelta(microseconds=max(times) - min(times))
    return lasted <= BLIP_LASTS and lasted * BLIP_PART <= span.end - span.start


def _begins(node: Node, lead: Node | None) -> datetime | None:
    """When the failure begins in an incident: strays of an effect that were there before the incident's root do not count."""
    if lead is None or lead.first is None or node.first is None or node.step <= lead.step:
        return node.first
    if node.first >= lead.first - AT_ONCE:
        return node.first
    times = node.all_times
    return lead.first if bisect_left(times, to_us(lead.first)) <= STRAY * len(times) else node.first


def _stood(node: Node, span: Window | None) -> bool:
    """Whether an early sign was there when the log began: then it does not tell when the incident did."""
    return span is not None and node.first is not None and node.first - span.start < 0.02 * (span.end - span.start)


# -- chains -----------------------------------------------------------------------------------------------------------


def _chains(roots: Sequence[str], members: Sequence[str], graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Paths from the roots to what was seen last, the longest first; early warnings stand in front of their root."""
    paths: list[tuple[str, ...]] = []
    starts = roots or _heads(members, graph)
    for root in starts:
        signs = [e.cause for e in graph.parents.get(root, ()) if graph.nodes[e.cause].role == "precursor"]
        early = sorted(signs, key=lambda s: -graph.nodes[s].count)[:1]
        paths += [(*early, *path) for path in _paths(root, graph, (root,))]
    paths = [q for p in paths if len(q := _plain(p, graph, starts)) > 1]
    if not paths:  # nothing came of it but the record that tells of it
        paths = [
            (root, e.effect) for root in roots for e in graph.edges if e.cause == root and e.effect in graph.labels
        ]
    paths.sort(key=lambda p: (starts.index(p[0]) if p[0] in starts else 0, -_height(p, graph), -len(p), p))
    return tuple(dict.fromkeys(paths))[:MOST_CHAINS]


def _plain(path: tuple[str, ...], graph: Graph, roots: Sequence[str]) -> tuple[str, ...]:
    """The path without the exceptions that libraries turned into one another on the way: no frame of the program raised them.

    What the program saw stays (the outermost exception of a traceback), and so does a root.
    """

    def passing(place: int, failure: str) -> bool:
        node = graph.nodes[failure]
        outer = place + 1 < len(path) and any(
            e.cause == failure and e.effect == path[place + 1] and e.kind in ("raised_from", "while_handling")
            for e in graph.edges
        )
        return outer and node.kind == "exception" and not node.frames and failure not in roots and place > 0

    return tuple(f for place, f in enumerate(path) if not passing(place, f))


def _heads(members: Sequence[str], graph: Graph) -> list[str]:
    """Effects that nothing in the log explains."""
    return [m for m in members if not graph.parents.get(m) and m not in graph.labels and graph.nodes[m].severe]


def _paths(node: str, graph: Graph, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    effects = [e.effect for e in graph.children(node) if e.effect not in path and e.effect not in graph.labels]
    onward = [e for e in effects if _leads_on(e, graph)]
    effects = onward or effects
    if not effects:
        return [path]
    return [p for e in sorted(effects) for p in _paths(e, graph, (*path, e))]


def _leads_on(node: str, graph: Graph) -> bool:
    """Whether the node is, or leads to, something that users or the platform saw, or an exception."""
    if LADDER.get(graph.nodes[node].role, 0) >= LADDER["exit"] or graph.nodes[node].kind == "exception":
        return True
    return any(_leads_on(e.effect, graph) for e in graph.children(node) if e.effect != node)


def _height(path: tuple[str, ...], graph: Graph) -> float:
    return max(LADDER.get(graph.nodes[i].role, 0.0) for i in path)


# -- impact and severity ----------------------------------------------------------------------------------------------


def _impact(
    nodes: Sequence[Node], summary: Summary, layer: Layer | None, onset: datetime | None, end: datetime | None
) -> Impact:
    twice = retold(summary)
    ends = [n for n in nodes if n.role == "exit" and n.id not in twice]
    # where the platform states the end, other lines only tell of it
    ends = [n for n in ends if "exit" in n.marks] or ends
    died = sum(n.count for n in ends if "worker_exit" not in n.marks) or sum(n.count for n in ends)
    refused = sum(n.count for n in nodes if n.kind == "http" and n.shift is not None)
    slow = next((n.message for n in nodes if n.kind == "latency"), "")
    silent = next((n.message for n in nodes if n.kind == "gap"), "")
    piled = next((n.message for n in nodes if n.rule is not None and n.rule.name == _BACKLOG and n.count >= PILES), "")
    records, errors = _records(nodes, summary)
    served = set(layer.of(summary["requests"])["service"].drop_nulls()) if layer is not None else set()
    homes = {s for n in nodes if n.severe for s in n.services}
    unseen = bool(served) and bool(homes) and not homes & served
    if unseen and layer is not None and (layer.kind == EDGE or all(is_front(s) for s in served)):
        unseen = any(_WORKER.search(s) for s in homes)  # the others may stand behind
    if onset is None or end is None:
        return Impact(0, 0, died, 0, 0.0, unseen=unseen, records=records, errors=errors)
    requests = failed = 0
    if layer is not None:
        low, high = to_us(onset) - summary.widths["traffic"], to_us(end)
        rows = layer.of(summary["traffic"]).filter(pl.col("bucket").is_between(low, high))
        hit = {s for n in nodes if n.kind in ("http", "latency") for s in (p[0] for p in n.times)}
        if hit:
            rows = rows.filter(pl.col("service").is_in(list(hit), nulls_equal=True))
        failing = any(n.kind == "http" and n.shift is None for n in nodes)
        requests, failed = int(rows["requests"].sum()), int(rows["failed"].sum()) if failing else 0
    marks = summary["marks"].filter((pl.col("mark") == "ready") & pl.col("at").is_between(onset, end))
    raising = [s for n in nodes if n.role in ("exit", "wrapper", "cause") for s in n.services]
    if raising:
        marks = marks.filter(pl.col("service").is_in(raising))
    return Impact(
        requests, failed, died, int(marks["count"].sum()), (end - onset).total_seconds() / 60, refused, slow, silent,
        unseen, records, errors, piled, _are_runs(ends),
    )  # fmt: skip


def _are_runs(ends: Sequence[Node]) -> bool:
    """Whether a process ends again and again after whole minutes, and many of them: a timer starts it, and it is no program that is started again."""
    times = sorted(t for n in ends for t in n.all_times)
    pauses = [b - a for a, b in itertools.pairwise(times) if b - a > AT_ONCE // _US]
    minute = timedelta(minutes=1) // _US
    timed = all(min(p % minute, -p % minute) <= ON_TIME // _US for p in pauses)
    return len(pauses) >= 2 and min(pauses) >= RUN // _US and timed


def _records(nodes: Sequence[Node], summary: Summary) -> tuple[int, int]:
    """Records that carry one of these failures, and those of them at ERROR or above: a record is in one cluster only."""
    mine = sorted({cluster for n in nodes if n.severe for cluster in n.clusters})
    rows = summary["clusters"].filter(pl.col("signature").is_in(mine))
    return int(rows["count"].sum()), int(rows.filter(pl.col("level") >= "ERROR")["count"].sum())


def _recovered(
    core: Sequence[Node], summary: Summary, layer: Layer | None, span: Window | None, end: datetime | None
) -> datetime | None:
    """When things were well again: requests succeed, or the log goes on for long without the failure; None while it lasts."""
    if span is None or end is None:
        return None
    tail = span.end - end
    times = sorted(t for n in core for t in n.all_times)
    gaps = [b - a for a, b in itertools.pairwise(times) if b > a]
    usual = timedelta(microseconds=median(gaps)) if gaps else timedelta(0)
    long = sorted(gaps)[-1] if gaps else 0
    if tail <= max(3 * usual, timedelta(microseconds=1.2 * long), 0.02 * (span.end - span.start)):
        return None
    if layer is not None:
        after = layer.of(summary["traffic"]).filter(pl.col("bucket") > to_us(end))
        served = int((after["requests"] - after["failed"]).sum())
        if served == 0 and any(n.kind == "http" for n in core):
            return None
    return end


def _severity(nodes: Sequence[Node], impact: Impact, layer: Layer | None, *, stands: bool) -> tuple[str, str]:
    """P0..P3 with the figures that it rests on."""
    share = (
        f"{impact.failed:,} of {impact.requests:,} requests failed ({percent(impact.share)})" if impact.requests else ""
    )
    if impact.failed >= 5 and impact.share >= 0.9:
        return "P0", f"{share}: nothing is served"
    ended = any(n.role == "exit" and "worker_exit" not in n.marks for n in nodes)
    workers = (
        not ended and not impact.requests and not any(n.rule is not None and n.rule.category == "boot" for n in nodes)
    )
    if impact.runs and impact.ready == 0:
        return "P1", f"each run of a job fails: {impact.exits:,} exits" + (f"; {share}" if share else "")
    looping = impact.exits >= 2 and impact.ready == 0 and not workers  # workers are replaced while their server runs on
    if looping and impact.requests - impact.failed <= 0.1 * impact.requests:
        return "P0", f"{impact.exits:,} exits and no start that got as far as serving" + (f"; {share}" if share else "")
    if impact.share >= 0.1 and impact.failed >= FEW_FAILED:
        return "P1", share
    if impact.exits >= 3:
        return "P1", f"instances keep dying: {impact.exits:,} exits" + (f"; {share}" if share else "")
    queues = [n.rule for n in nodes if n.severe and n.rule is not None and n.rule.category == "queue"]
    if any(stands or rule.name != BROKER for rule in queues):
        return "P1", "a consumer of a queue stands still"
    if stands and impact.piled:
        return "P1", "work piles up in a queue"
    if impact.failed:
        return "P2", share
    if impact.exits:
        return "P2", f"{plural(impact.exits, 'exit')}; no failed request in the log"
    if impact.refused and any(n.kind == "http" and n.shift is not None and n.shift.bears for n in nodes):
        part = impact.refused / max(impact.requests, impact.refused)
        told = f"{impact.refused:,} of {max(impact.requests, impact.refused):,} requests were refused ({percent(part)})"
        return ("P1" if part >= REFUSED else "P2"), told
    slow = next((n for n in nodes if n.kind == "latency" and n.shift is not None and n.shift.bears), None)
    if slow is not None and slow.shift is not None:
        return "P2", f"it is slow: {slow.shift.why}"
    seen = (
        "no failed request in the log"
        if layer is not None
        else "the log shows no requests, so what users saw is unknown"
    )
    many, what = (
        (impact.errors, "error record")
        if impact.errors >= 10 or impact.records < 10
        else (impact.records, "failing record")
    )
    if impact.unseen:
        seen = "in a service that answers no requests: what its users missed is not in the log"
    return ("P2" if many >= 10 and (layer is None or impact.unseen) else "P3"), f"{plural(many, what)}; {seen}"


def all_members(found: Sequence[Case]) -> frozenset[str]:
    """Ids of all failures that belong to an incident."""
    return frozenset(m for c in found for m in c.members)
