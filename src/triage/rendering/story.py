"""A Report in the order in which it is told: the same facts for Markdown, the page and the terminal."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from triage.rendering import figures, source
from triage.rendering.escaping import MOST_TEXT, shorten
from triage.rendering.source import Told
from triage.report import (
    UNTOLD,
    Action,
    Cluster,
    Evidence,
    Failure,
    Incident,
    Link,
    Loop,
    Moment,
    Report,
    Root,
    Route,
)

MOST_NODES = 8
MOST_CLUSTERS = 12
MOST_ROUTES = 12
MOST_EXHIBITS = 60
MOST_EXCERPT_LINES = 60
MOST_EXCERPT_CHARACTERS = MOST_TEXT

_CLIENT = re.compile(r'^\S{1,80} \S{1,80} \S{1,80} \[\d\d/\w{3}/\d{4}:[\d: +-]+\] (?=")')
_SHARE = re.compile(r"(\S{1,20} of \S{1,20} requests) failed \([^()]{1,20}\)")
_LINKS = {
    # a kind of link, read along the arrow from cause to effect
    "raised_from": "raised again as",
    "while_handling": "while it was handled",
    "wraps": "logged as",
    "same_trace": "same request",
    "same_instance": "same instance",
    "precedes": "then",
    "names": "named by",
    "rule": "known to cause",
}
_ROLES = {"http": "effect", "client": "effect", "proxy": "effect", "exit": "exit", "noise": "noise"}
_REVIEW = (
    # what only people know: the marker's name, its label, the question
    ("impact", "Impact", "Who was affected, how many, and what did it cost?"),
    ("detection", "Detection", "Who or what noticed it, and how long after the first failure?"),
    ("response", "Response", "Who did what, and when? What was known at that time?"),
    ("resolution", "Resolution", "What ended it, and how was that verified?"),
    ("went-well", "Went well", "What went well, and where was luck on your side?"),
    ("follow-up", "Follow-up", "Who owns each action, and by when?"),
)


class Fact(Struct, frozen=True):
    """A line of the impact table."""

    name: str
    figure: str
    why: str


class Exhibit(Struct, frozen=True):
    """A piece of evidence with its number in this document."""

    ref: str
    evidence: Evidence
    excerpt: str


class Node(Struct, frozen=True):
    """A step of a chain: one failure, or the HTTP failures that have the same cause."""

    key: str
    name: str  # the text of the log, on one line
    where: str
    count: str
    tone: str  # root, step, exit, effect
    failures: tuple[str, ...]


class Edge(Struct, frozen=True):
    cause: str
    effect: str
    words: str
    count: int
    confidence: float
    why: str


class Step(Struct, frozen=True):
    """A node in the order of reading: `depth` grows where a chain branches, `via` leads to it."""

    node: Node
    via: Edge | None
    depth: int


class Candidate(Struct, frozen=True):
    """A root cause; of one incident that which explains most stands first."""

    root: Root
    failure: Failure | None
    name: str
    confidence: str
    refs: tuple[str, ...]


class Case(Struct, frozen=True):
    """One incident with its causes and its chain."""

    incident: Incident
    heading: str
    window: str
    candidates: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    folded: int  # nodes that the drawing leaves out
    symptoms: tuple[str, ...]


class Story(Struct, frozen=True):
    """Everything that is told, in order, as text that is not yet escaped."""

    report: Report
    title: str
    stamp: str
    lead: tuple[str, ...]
    facts: tuple[Fact, ...]
    cases: tuple[Case, ...]
    actions: tuple[Action, ...]
    timeline: tuple[Moment, ...]
    dated: bool
    fine: bool
    clusters: tuple[Cluster, ...]
    more_clusters: int
    routes: tuple[Route, ...]
    more_routes: int
    noise: tuple[Cluster, ...]
    passed: tuple[Cluster, ...]
    ruled_out: tuple[tuple[int, tuple[str, ...]], ...]
    trends: tuple[tuple[str, tuple[int, ...], int], ...]
    trend_slice: str
    review: tuple[tuple[str, str, str], ...]
    source: Told | None
    exhibits: tuple[Exhibit, ...]
    numbers: Mapping[tuple[str, int], str]

    def refs(self, evidence: Iterable[Evidence]) -> tuple[str, ...]:
        """The numbers of that evidence in this document, E1 first."""
        found = {self.numbers[e.source, e.line] for e in evidence if (e.source, e.line) in self.numbers}
        return tuple(sorted(found, key=lambda r: int(r[1:])))


def tell(report: Report) -> Story:
    """The story of a report; pure, and the same for the same report."""
    clusters = {c.id: c for c in report.clusters}
    failures = {f.id: f for f in report.failures}
    noise, passed = set(report.noise), set(report.passed)
    ranked = sorted(report.clusters, key=lambda c: -c.count)
    loud = [c for c in ranked if c.id not in noise and c.id not in passed]
    exhibits = _exhibits(report, clusters, failures, loud[:MOST_CLUSTERS])
    numbers = {(x.evidence.source, x.evidence.line): x.ref for x in exhibits}
    moments = [m.at for m in report.timeline] + ([report.window.start, report.window.end] if report.window else [])
    routes = sorted(report.http.routes, key=lambda r: (-r.errors, -r.requests)) if report.http else []
    return Story(
        report=report,
        title=_title(report),
        stamp=_stamp(report),
        lead=_lead(report),
        facts=tuple(_facts(report)),
        cases=tuple(_case(report, i, failures, clusters, numbers) for i in report.incidents),
        actions=tuple(sorted(report.actions, key=lambda a: a.priority)),
        timeline=tuple(sorted(report.timeline, key=lambda m: m.at)),
        dated=len({figures.day(at) for at in moments}) > 1,
        fine=any(m.at.microsecond >= 100_000 for m in report.timeline),
        clusters=tuple(loud[:MOST_CLUSTERS]),
        more_clusters=len(loud) - len(loud[:MOST_CLUSTERS]),
        routes=tuple(routes[:MOST_ROUTES]),
        more_routes=len(routes) - len(routes[:MOST_ROUTES]),
        noise=tuple(c for c in ranked if c.id in noise),
        passed=tuple(c for c in ranked if c.id in passed),
        ruled_out=_ruled_out(report),
        trends=_trends(report),
        trend_slice=figures.seconds(report.slice_s) if report.slice_s else "",
        review=() if report.healthy else _REVIEW,
        source=source.tell(report),
        exhibits=exhibits,
        numbers=numbers,
    )


def name_of(failure: Failure | Cluster, width: int = 400) -> str:
    """A failure as one line of log text: "ModuleNotFoundError: No module named 'x'"."""
    text = shorten(failure.message, width)
    kind = failure.exception
    if not kind:
        return text
    if not text or text == kind:
        return shorten(kind, width)
    return text if text.startswith((kind, kind.rsplit(".", 1)[-1] + ":")) else shorten(f"{kind}: {text}", width)


def cluster_name(cluster: Cluster, width: int = 120) -> str:
    """A cluster as one line: its message, of an access line what follows client and time, else its exception."""
    return shorten(_CLIENT.sub("", cluster.message, count=1), width) or shorten(
        cluster.exception or cluster.template, width
    )


def lasted(cluster: Cluster) -> str:
    """How often its records were seen, and from when to when."""
    often = f"{figures.amount(cluster.count)}×"
    if cluster.first_seen is None or cluster.last_seen is None:
        return often
    first, last = figures.clock(cluster.first_seen), figures.clock(cluster.last_seen)
    return f"{often} at {first}" if first == last else f"{often}, {first}–{last}"


def short_place(where: str) -> str:
    """A frame where room is scarce: "a/b/core/sockets.py:53 in load" is core/sockets.py:53."""
    return "/".join(where.split(" in ")[0].replace("\\", "/").split("/")[-2:])


def ledger(report: Report) -> str:
    """The sentence that accounts for every line of the input."""
    intake = report.intake
    kept = intake.lines - intake.blank - intake.rejected
    parts = [f"{figures.plural(kept, 'line')} in {figures.plural(intake.records, 'record')}"]
    parts.append(f"{figures.amount(intake.blank)} blank")
    parts.append(
        f"{figures.amount(intake.rejected)} not as their format wants them, kept as text"
        if intake.rejected
        else "0 rejected"
    )
    text = f"{figures.plural(intake.lines, 'line')} = " + " + ".join(parts) + "."
    further = [
        figures.plural(n, *words)
        for n, words in (
            (intake.continuation, ("line continues the record before it", "lines continue the record before them")),
            (intake.undated, ("record has no time", "records have no time")),
            (
                intake.out_of_order,
                ("record came out of order and was sorted", "records came out of order and were sorted"),
            ),
        )
        if n
    ]
    return text + (f" {'; '.join(further)}." if further else "")


def _title(report: Report) -> str:
    title = shorten(report.title, 110) or "untitled"
    if report.healthy:
        return title if report.severity is None else f"{title} ({report.severity})"
    title = title if re.match(r"(?i)\w*\s?incident", title) else f"Incident: {title}"
    return f"{title} ({report.severity})" if report.severity and report.severity not in title else title


def _stamp(report: Report) -> str:
    parts = []
    if report.window:
        length = figures.seconds((report.window.end - report.window.start).total_seconds())
        state = _state(report)
        parts.append(
            f"{figures.span(report.window.start, report.window.end)} UTC ({length}{', ' + state if state else ''})"
        )
    records = figures.plural(report.counts.records, "record")
    unread = report.intake.rejected
    rest = "nothing unread" if not unread else f"{figures.plural(unread, 'line')} not in their format"
    parts.append(f"{figures.plural(len(report.inputs), 'source')}, {records}, {rest}")
    return " · ".join(parts)


def _state(report: Report) -> str:
    if not report.incidents:
        return ""
    if any(i.ongoing for i in report.incidents):
        return "still going on when the log ends"
    ends = [i.end for i in report.incidents if i.end]
    return (
        f"recovered at {figures.clock(max(ends))}" if len(ends) == len(report.incidents) else "over when the log ends"
    )


def _lead(report: Report) -> tuple[str, ...]:
    sentences: list[str] = []
    if len(report.incidents) == 1:
        incident = report.incidents[0]
        sentences += [
            incident.impact,
            f"Trigger, as far as the log shows: {incident.trigger}" if incident.trigger else "",
        ]
    severity = f"{report.severity}: {report.severity_why}" if report.severity else report.severity_why
    sentences.append(severity if report.severity_why else "")
    known = report.headline.casefold()
    new = (s for s in sentences if s.strip() and s.strip().rstrip(".").casefold() not in known)
    return tuple(stopped(s) for s in new if s != severity or not _is_told(report.severity_why, known))


def _is_told(why: str, known: str) -> bool:
    """Whether the headline says how many requests it is, and that is all the reason there is."""
    only = _SHARE.fullmatch(why)
    return only is not None and only[1] in known


def stopped(text: str) -> str:
    """The sentence with a full stop."""
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def _facts(report: Report) -> Iterable[Fact]:
    exits, http, counts = report.exits, report.http, report.counts
    if exits.starts:
        why = "nothing is serving" if not exits.ready else "each start that fails is time without that instance"
        yield Fact("Starts that succeeded", f"{figures.amount(exits.ready)} of {figures.amount(exits.starts)}", why)
    if http and http.requests:
        codes = ", ".join(f"{figures.amount(n)} × {s}" for s, n in sorted(http.status.items()) if s.startswith("5"))
        part = figures.share(http.error_rate)
        figure = f"{figures.amount(http.errors)} of {figures.amount(http.requests)}" + (
            f" ({part}: {codes})" if codes else f" ({part})"
        )
        layer = f", seen at {http.layer}" if http.layer else ""
        worst = next((i for i in report.incidents if i.failed), None)
        if worst is not None and worst.requests < http.requests:
            during = f"{figures.amount(worst.failed)} of {figures.amount(worst.requests)} while it lasted"
            yield Fact(
                "Requests that failed (5xx)",
                f"{during}; in the whole log {figure}",
                _who(worst.failed / worst.requests) + layer,
            )
        else:
            yield Fact("Requests that failed (5xx)", figure, _who(http.error_rate) + layer)
        refused = sum(n for s, n in http.status.items() if s.startswith("4"))
        if refused and refused * 50 >= http.requests:
            codes = ", ".join(f"{figures.amount(n)} × {s}" for s, n in sorted(http.status.items()) if s.startswith("4"))
            yield Fact(
                "Requests that were refused (4xx)",
                f"{figures.amount(refused)} ({codes})",
                "the client's side, or ours if it is new",
            )
    if counts.records:
        figure = (
            f"{figures.amount(counts.errors)} of {figures.amount(counts.records)} ({figures.share(counts.error_rate)})"
        )
        yield Fact("Records at ERROR or above", figure, _explained(report))
    if http and http.latency_ms and http.latency_ms.count:
        latency = http.latency_ms
        figure = (
            f"p50 {figures.millis(latency.p50)}, p95 {figures.millis(latency.p95)}, max {figures.millis(latency.max)}"
        )
        why = (
            f"the slowest requests run into a limit at {figures.millis(latency.wall)}"
            if latency.wall
            else f"mean {figures.millis(latency.mean)} over {figures.plural(latency.count, 'request')}"
        )
        yield Fact("Latency", figure, why)
    for loop in exits.loops:
        yield Fact(
            "Crash loop" + (f" of {shorten(loop.service, 60)}" if loop.service else ""),
            loop_words(loop),
            "the same end each time: waiting does not help",
        )
    if exits.signals:
        figure = ", ".join(f"{figures.amount(n)} × {s}" for s, n in sorted(exits.signals.items()))
        yield Fact("Killed by a signal", figure, "the process did not end by itself")
    if exits.restarts and not exits.loops:
        yield Fact("Restarts", figures.amount(exits.restarts), "what was in flight was lost")


def loop_words(loop: Loop) -> str:
    """A crash loop in words: "exit(3), 1,290 times, every 2.8 s"."""
    numbered = loop.code.lstrip("-").isdigit() or loop.code == UNTOLD
    code = f"exit code {loop.code}" if numbered else shorten(loop.code, 60)
    every = f", every {figures.seconds(loop.interval_s)}" if loop.interval_s else ""
    return f"{code}, {figures.amount(loop.count)} times{every}"


def _who(rate: float) -> str:
    if rate >= 0.9:
        return "everyone is affected"
    if rate >= 0.1:
        return f"about one request in {max(2, round(1 / rate))} fails"
    return f"about one request in {round(1 / rate):,} fails" if rate > 0 else "no request failed on the server's side"


def _explained(report: Report) -> str:
    roots = [i.roots[0] for i in report.incidents if i.roots]
    if len(report.incidents) == 1 and roots:
        return f"the root cause explains {figures.about(roots[0].explains)} of the incident's failing records"
    if report.counts.errors == 0:
        return "nothing was logged as an error"
    groups = sum(1 for c in report.clusters if c.level in ("ERROR", "CRITICAL"))
    return f"in {figures.plural(groups, 'group')} that say the same" if groups else ""


def _case(
    report: Report,
    incident: Incident,
    failures: Mapping[str, Failure],
    clusters: Mapping[str, Cluster],
    numbers: Mapping[tuple[str, int], str],
) -> Case:
    nodes, edges = _graph(report, incident, failures)
    drawn_nodes, drawn_edges = _drawn(nodes, edges)
    candidates = []
    for root in incident.roots:
        failure = failures.get(root.failure)
        evidence = _evidence_of(report, failure, clusters) if failure else ()
        refs = dict.fromkeys(numbers[e.source, e.line] for e in evidence if (e.source, e.line) in numbers)
        name = name_of(failure) if failure else root.failure
        candidates.append(Candidate(root, failure, name, figures.confidence(root.confidence), tuple(refs)[:3]))
    many = len(report.incidents) > 1
    heading = f"{incident.title} ({incident.severity})" if many else ""
    window = ""
    if incident.start and incident.end:
        length = figures.seconds((incident.end - incident.start).total_seconds())
        state = "still going on when the log ends" if incident.ongoing else "over"
        window = f"{figures.span(incident.start, incident.end)} UTC ({length}, {state})"
    return Case(
        incident=incident,
        heading=shorten(heading, 120),
        window=window,
        candidates=tuple(candidates),
        steps=_steps(nodes, edges),
        nodes=drawn_nodes,
        edges=drawn_edges,
        folded=len(nodes) - sum(1 for n in drawn_nodes if n.key != "gap"),
        symptoms=tuple(name_of(failures[s]) if s in failures else s for s in incident.symptoms),
    )


def _graph(
    report: Report, incident: Incident, failures: Mapping[str, Failure]
) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """The failures of the incident's chains and how they are linked; HTTP failures of one cause are one node."""
    links: dict[tuple[str, str], Link] = {}
    for link in sorted(report.links, key=lambda k: -k.confidence):
        links.setdefault((link.cause, link.effect), link)
    order = list(dict.fromkeys(f for chain in incident.chains for f in chain))
    pairs = list(dict.fromkeys(p for chain in incident.chains for p in itertools.pairwise(chain)))
    parents = {f: tuple(c for c, e in pairs if e == f) for f in order}
    leaves = [f for f in order if f in failures and failures[f].kind == "http" and not any(c == f for c, _ in pairs)]
    groups: dict[tuple[str, ...], list[str]] = {}
    for leaf in leaves:
        if parents[leaf]:
            groups.setdefault(parents[leaf], []).append(leaf)
    home = {f: group[0] for group in groups.values() for f in group}
    roots = {r.failure for r in incident.roots}
    nodes = []
    for failure in order:
        if home.get(failure, failure) == failure:
            members = tuple(f for f in order if home.get(f, f) == failure)
            nodes.append(_node(failure, members, failures, roots))
    merged: dict[tuple[str, str], list[Link | None]] = {}
    for cause, effect in pairs:
        drawn = links.get((cause, effect)) or _link_through(cause, effect, links)
        merged.setdefault((home.get(cause, cause), home.get(effect, effect)), []).append(drawn)
    return tuple(nodes), tuple(_edge(cause, effect, known) for (cause, effect), known in merged.items())


def _link_through(cause: str, effect: str, links: Mapping[tuple[str, str], Link]) -> Link | None:
    """The link to what stands between two steps of a chain: an exception that a library only turned into another."""
    between = sorted(b for a, b in links if a == cause and (b, effect) in links)
    return links[cause, between[0]] if between else None


def _node(key: str, members: Sequence[str], failures: Mapping[str, Failure], roots: set[str]) -> Node:
    known = [failures[m] for m in members if m in failures]
    if not known:
        return Node(key, key, "", "", "step", tuple(members))
    tone = "root" if key in roots else _ROLES.get(known[0].role, "effect" if known[0].kind == "http" else "step")
    if len(known) == 1:
        return Node(
            key, name_of(known[0]), known[0].frame or "", f"{figures.amount(known[0].count)}×", tone, tuple(members)
        )
    name = ", ".join(f"{name_of(f, 60)} {figures.amount(f.count)}×" for f in known)
    return Node(key, name, "", f"{figures.amount(sum(f.count for f in known))}×", tone, tuple(members))


def _edge(cause: str, effect: str, known: Sequence[Link | None]) -> Edge:
    links = [link for link in known if link]
    if not links:
        return Edge(cause, effect, "leads to", 0, 0.0, "")
    best = max(links, key=lambda k: (k.confidence, k.count))
    words = _LINKS.get(best.kind, best.kind.replace("_", " "))
    if best.lag_s is not None and best.lag_s > 0:
        words += f", after {figures.seconds(best.lag_s)}"
    return Edge(cause, effect, words, sum(k.count for k in links), best.confidence, best.why)


def _drawn(nodes: Sequence[Node], edges: Sequence[Edge]) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """At most MOST_NODES of them: the beginning and the end of the longest walk stay, the middle becomes one node."""
    if len(nodes) <= MOST_NODES:
        return tuple(nodes), tuple(edges)
    by_key = {n.key: n for n in nodes}
    walk = [by_key[s.node.key] for s in _steps(nodes, edges)]
    first, last = walk[: MOST_NODES - 4], walk[-3:]
    kept = {n.key for n in (*first, *last)}
    gap = Node("gap", f"{len(nodes) - len(kept)} more steps, in the list below", "", "", "step", ())
    inside = [e for e in edges if e.cause in kept and e.effect in kept]
    into = [e for e in edges if e.cause in kept and e.effect not in kept]
    out = [e for e in edges if e.cause not in kept and e.effect in kept]
    drawn = dict.fromkeys(inside)
    drawn |= dict.fromkeys(Edge(c, "gap", "", 0, 0.0, "") for c in dict.fromkeys(e.cause for e in into))
    drawn |= dict.fromkeys(Edge("gap", t, "", 0, 0.0, "") for t in dict.fromkeys(e.effect for e in out))
    return (*first, gap, *last), tuple(drawn)


def _steps(nodes: Sequence[Node], edges: Sequence[Edge]) -> tuple[Step, ...]:
    """Every node once, causes before effects; a chain without branches stays at one depth."""
    by_key = {n.key: n for n in nodes}
    out: dict[str, list[Edge]] = {}
    for edge in edges:
        out.setdefault(edge.cause, []).append(edge)
    reached = {e.effect for e in edges}
    steps: list[Step] = []
    seen: set[str] = set()
    starts = [n.key for n in nodes if n.key not in reached] + [n.key for n in nodes]
    for start in starts:
        waiting: list[tuple[str, Edge | None, int]] = [(start, None, 0)]
        while waiting:
            key, via, depth = waiting.pop()
            if key in seen or key not in by_key:
                continue
            seen.add(key)
            steps.append(Step(by_key[key], via, depth))
            nexts = [e for e in out.get(key, ()) if e.effect not in seen]
            deeper = depth + (1 if len(nexts) > 1 else 0)
            waiting += [(e.effect, e, deeper) for e in reversed(nexts)]
    return tuple(steps)


def _evidence_of(report: Report, failure: Failure, clusters: Mapping[str, Cluster]) -> tuple[Evidence, ...]:
    direct = [e for link in report.links if link.cause == failure.id for e in link.evidence]
    examples = [e for c in failure.clusters if c in clusters for e in clusters[c].examples]
    return (*direct[:1], *examples[:2], *failure.evidence[:2])


def _exhibits(
    report: Report, clusters: Mapping[str, Cluster], failures: Mapping[str, Failure], top: Sequence[Cluster]
) -> tuple[Exhibit, ...]:
    """All evidence that the document refers to, in the order in which it is referred to."""
    cited: list[Evidence] = []
    for incident in report.incidents:
        for root in incident.roots:
            if root.failure in failures:
                cited += _evidence_of(report, failures[root.failure], clusters)
    for moment in report.timeline:
        cited += moment.evidence
    for why in report.five_whys:
        cited += why.evidence
    for cluster in top:
        cited += cluster.examples[:1]
    for finding in report.findings:
        cited += finding.evidence[:3]
    texts: dict[tuple[str, int], Evidence] = {}
    everything = (
        *cited,
        *(e for c in report.clusters for e in c.examples),
        *(e for link in report.links for e in link.evidence),
    )
    for evidence in everything:
        known = texts.get((evidence.source, evidence.line))
        if known is None or (len(evidence.text) > len(known.text)):
            texts[evidence.source, evidence.line] = evidence
    places = list(dict.fromkeys((e.source, e.line) for e in cited))[:MOST_EXHIBITS]
    return tuple(Exhibit(f"E{n}", texts[place], excerpt(texts[place].text)) for n, place in enumerate(places, 1))


def excerpt(text: str) -> str:
    """The text as evidence: all of it, but for the middle of very long ones, which is counted instead."""
    lines = text.strip("\n").split("\n")
    if len(lines) > MOST_EXCERPT_LINES:
        head = MOST_EXCERPT_LINES * 2 // 3
        tail = MOST_EXCERPT_LINES - head
        gap = f"… {figures.plural(len(lines) - head - tail, 'line')} left out …"
        lines = [*lines[:head], gap, *lines[-tail:]]
    shown = "\n".join(line if len(line) <= 2000 else f"{line[:1999]}…" for line in lines)
    if len(shown) <= MOST_EXCERPT_CHARACTERS:
        return shown
    half = MOST_EXCERPT_CHARACTERS // 2
    return f"{shown[:half]}\n… {figures.amount(len(shown) - 2 * half)} characters left out …\n{shown[-half:]}"


def _ruled_out(report: Report) -> tuple[tuple[int, tuple[str, ...]], ...]:
    groups: dict[int, list[str]] = {}
    for entry in report.ruled_out:
        words = f"{entry.category} ({entry.looked_for})" if entry.looked_for else entry.category
        groups.setdefault(entry.records_checked, []).append(words)
    return tuple((checked, tuple(words)) for checked, words in sorted(groups.items(), reverse=True))


def _trends(report: Report) -> tuple[tuple[str, tuple[int, ...], int], ...]:
    if len(report.rates) < 2:
        return ()
    rows = (
        ("records", tuple(r.records for r in report.rates)),
        ("errors", tuple(r.errors for r in report.rates)),
        ("warnings", tuple(r.warnings for r in report.rates)),
        ("requests", tuple(r.requests for r in report.rates)),
        ("5xx", tuple(r.failed for r in report.rates)),
    )
    return tuple((name, values, max(values)) for name, values in rows if any(values))
