"""What an incident means in words: headline, impact, trigger, timeline, whys, actions, success metrics, what was ruled out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import timedelta

import polars as pl
from msgspec import Struct

from triage.diagnosis.drawing import Edge, Graph, is_vague
from triage.diagnosis.incidents import Case
from triage.diagnosis.knowledge import CATEGORIES, Rules
from triage.diagnosis.metrics import Slices
from triage.diagnosis.nodes import ERROR, Node
from triage.diagnosis.places import SYSTEM, Places, addresses
from triage.diagnosis.wording import percent, plural, short_place, span_words
from triage.report import Action, Counts, Evidence, Exits, Finding, Http, Metric, Moment, RuledOut, Why, Window
from triage.summary import Summary

TITLE = 110
MOST_MOMENTS = 40
CHANGE_WINDOW = timedelta(minutes=30)


class Facts(Struct, frozen=True):
    """What the words are made from."""

    graph: Graph
    summary: Summary
    span: Window | None
    counts: Counts
    http: Http | None
    exits: Exits
    examples: Mapping[str, tuple[Evidence, ...]]
    slices: Slices | None
    places: Places

    def node(self, failure: str) -> Node:
        return self.graph.nodes[failure]

    def evidence(self, failure: str, most: int = 1) -> tuple[Evidence, ...]:
        """Records that show the failure, earliest first."""
        shift = self.graph.nodes[failure].shift if failure in self.graph.nodes else None
        if shift is not None:
            return tuple(Evidence(source, line) for source, line in shift.evidence[:most])
        return self.examples.get(failure, ())[:most]


def label(node: Node, limit: int = TITLE) -> str:
    """A failure in one line, as people name it; what ends with a colon goes on below. Backticks are the sentences' own."""
    lines = [text for line in node.text.split("\n") if (text := line.strip())] or [node.id]
    line = (f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]).replace("`", "'")
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def title(case: Case, facts: Facts) -> str:
    """The incident in a few words."""
    where = _where(case, facts)
    if case.roots:
        return (
            f"{where}: {label(facts.node(case.roots[0].failure), 80)}"
            if where
            else label(facts.node(case.roots[0].failure), 90)
        )
    shown = _shown(case, facts)
    what = label(facts.node(shown), 80) if shown else "failures"
    return f"{where}: {what}, cause not in these logs" if where else f"{what}, cause not in these logs"


def headline(found: Sequence[Case], facts: Facts) -> str:
    """One sentence for the whole log."""
    if not found:
        return _calm(facts)
    case = found[0]
    more = f" {len(found) - 1} other incident{'s' if len(found) > 2 else ''} beside it." if len(found) > 1 else ""
    where = _ending(case, facts) or _where(case, facts)
    subject = f"`{where}`" if where else "The application"
    if not case.roots:
        return f"{subject}: {impact(case, facts)}. What causes it is not in these logs; {_next_log(case, facts)}.{more}"
    root = facts.node(case.roots[0].failure)
    place = place_of(root, facts)
    unsure = "" if case.roots[0].confidence >= 0.7 else "probably " if case.roots[0].confidence >= 0.45 else "perhaps "
    shown = f"`{label(root)}`" + (f" at `{place}`" if place else "")
    if root.services and where and where not in root.services:
        shown += f" in `{root.services[0]}`"
    why = f"because {_in_a_sentence(root.rule.title)}:" if root.rule is not None and _is_remark(root) else "because of"
    return f"{subject} {_effect(case)}, {unsure}{why} {shown} ({plural(root.count, 'answer' if root.kind == 'latency' else 'time')}).{more}"


def _is_remark(node: Node) -> bool:
    """Whether a root is what a program only remarks on: its text rarely says by itself what is wrong."""
    return node.kind == "message" and node.level < ERROR and not node.stacks and not is_vague(node)


def _in_a_sentence(title: str) -> str:
    """A title as it stands within a sentence: "The pool is full" as "the pool is full", but PHP and Envoy's as they are."""
    first = title.split(" ", 1)[0]
    return title if "'" in first or any(sign.isupper() for sign in first[1:]) else title[0].lower() + title[1:]


def place_of(node: Node, facts: Facts) -> str:
    """Where in the program it is raised: its own frame, or, raised inside a library, the program's frame nearest to it."""
    return _own_place(node, facts) or (short_place(node.frame) if node.frame else "")


def _own_place(node: Node, facts: Facts) -> str:
    """The nearest frame that is the program's own, of the exception or of those that it was raised on as; "" where all are of libraries."""
    if node.frames:
        return short_place(node.frame) if node.frame else ""
    for edge in facts.graph.edges:
        if edge.cause == node.id and edge.kind in ("raised_from", "while_handling"):
            outer = _own_place(facts.node(edge.effect), facts)
            if outer:
                return outer
    return ""


def _calm(facts: Facts) -> str:
    c = facts.counts
    if c.records == 0:
        return "No records: there is nothing to analyse."
    parts = [plural(c.records, "record")]
    if facts.http is not None:
        parts.append(
            f"{plural(facts.http.requests, 'request')}, {plural(facts.http.errors, 'server error') if facts.http.errors else 'no server error'}"
        )
    parts.append(f"{plural(c.errors, 'error')}, {plural(c.warnings, 'warning')}")
    return f"Nothing here deserves an incident: {'; '.join(parts)}."


def _effect(case: Case) -> str:
    gone = case.impact
    if case.severity == "P0" and gone.exits:
        return f"has not completed a start in {span_words(gone.minutes * 60)}"
    if case.severity == "P0":
        return f"serves nothing ({gone.failed:,} of {gone.requests:,} requests failed)"
    if gone.failed:
        return f"fails {gone.failed:,} of {gone.requests:,} requests ({percent(gone.share)})"
    if gone.exits and gone.runs:
        return f"fails in each of its runs ({gone.exits:,} exits)"
    if gone.exits:
        return f"keeps dying ({gone.exits:,} exits)"
    if gone.refused:
        part = percent(gone.refused / max(gone.requests, gone.refused))
        return f"refuses {gone.refused:,} of {max(gone.requests, gone.refused):,} requests ({part})"
    if gone.slow:
        return f"answers late (`{gone.slow}`)"
    if gone.silent:
        return "falls silent"
    if gone.piled:
        return f"does not get its work done (`{gone.piled}`)"
    return "reports failures"


def _ending(case: Case, facts: Facts) -> str:
    """The service whose starts fail, where that is what the headline tells."""
    if not case.impact.exits or (case.severity != "P0" and case.impact.failed):
        return ""
    ends = [facts.node(m) for m in case.members if facts.node(m).role == "exit"]
    named = [n.services[0] for n in ends if n.services and not set(n.services) <= SYSTEM]
    roots = [facts.node(r.failure).services[0] for r in case.roots if facts.node(r.failure).services]
    return (roots or named or [""])[0] if set(roots[:1]) - SYSTEM else (named or [""])[0]


def _where(case: Case, facts: Facts) -> str:
    """The service that an incident is told of: the one whose requests fail or whose processes end, else the root's."""
    told = [facts.node(i) for chain in case.chains for i in chain] or [facts.node(m) for m in case.members]
    seen = [n for role in ("http", "exit") for n in told if n.role == role and n.services]
    roots = [facts.node(r.failure) for r in case.roots if facts.node(r.failure).services]
    inner = [n for n in told if n.kind == "exception" and n.services]
    if seen and seen[0].role == "http" and inner and facts.http is not None and facts.http.layer != "edge":
        return inner[-1].services[0]  # a proxy logged the requests; the program that raised is behind it
    for node in (*seen, *inner, *roots):
        return node.services[0]
    shown = _shown(case, facts)
    return facts.node(shown).services[0] if shown and facts.node(shown).services else ""


def _shown(case: Case, facts: Facts) -> str | None:
    """The weightiest failure of a case without a root."""
    ranked = sorted(case.members, key=lambda m: (-facts.node(m).step, -facts.node(m).count, m))
    return ranked[0] if ranked else None


def _next_log(case: Case, facts: Facts) -> str:
    period = ""
    if case.start is not None and case.end is not None:
        period = f" for {case.start:%H:%M:%S} to {case.end:%H:%M:%S} UTC"
    for m in case.members:
        node = facts.node(m)
        named = facts.places.named(node)
        _, upstream, behind = node.message.partition("upstream: ")  # of a proxy's line only this is the other side
        text = behind.split(",")[0] if upstream else node.message
        hosts = [h if p is None else f"{h}:{p}" for h, p in addresses(text)]
        if node.role in ("proxy", "timeout") and (named or hosts):
            return f"get the log of `{min(named) if named else hosts[0]}`{period}"
    if case.impact.slow:
        return f"get the log of what it waits for (its database, the services that it calls){period}"
    if case.impact.refused and not case.impact.failed:
        if all(facts.node(m).message in ("HTTP 404", "HTTP 410") for m in case.members):
            return (
                f"compare its routes before and after {case.start:%H:%M:%S} UTC" if case.start else "compare its routes"
            )
        return f"get the log in which it says why it refuses them{period}"
    if case.impact.silent:
        return f"see whether its process runs, and what its host or platform says of it{period}"
    if any("exit" in facts.node(m).marks for m in case.members):
        return f"get the standard error of the process before it exits (the previous container's log){period}"
    return f"get the log of the application behind it{period}"


def impact(case: Case, facts: Facts) -> str:
    """What was seen from outside, in figures."""
    parts = []
    nodes = [facts.node(m) for m in case.members]
    for told, kind in (("failed", [n for n in nodes if n.kind == "http" and n.shift is None]),
                       ("were refused", [n for n in nodes if n.kind == "http" and n.shift is not None])):  # fmt: skip
        counts: dict[str, int] = {}
        for n in kind:
            counts[n.message] = counts.get(n.message, 0) + n.count
        if not counts:
            continue
        listed = ", ".join(f"{c:,} × {s.removeprefix('HTTP ')}" for s, c in sorted(counts.items(), key=lambda s: -s[1]))
        if len(kind) == 1 and (shift := kind[0].shift) is not None:
            listed += f": {shift.why}"
        many = case.impact.failed if told == "failed" else case.impact.refused
        parts.append(
            f"{many:,} of {max(many, case.impact.requests):,} requests {told} ({listed})"
            if case.impact.requests
            else listed
        )
    if case.impact.slow:
        parts.append(f"answers take longer (`{case.impact.slow}`)")
    if case.impact.silent and not parts:
        parts.append(f"it falls silent (`{case.impact.silent}`)")
    if case.impact.exits:
        loops = [x for x in facts.exits.loops if x.interval_s]
        pace = f", one every {span_words(loops[0].interval_s or 0)}" if loops and case.impact.exits >= 3 else ""
        codes = ", ".join(f"code {c}" for c in facts.exits.codes) or ", ".join(facts.exits.signals)
        parts.append(plural(case.impact.exits, "exit") + (f" ({codes})" if codes else "") + pace)
    if not parts:
        parts.append(plural(case.impact.records, "failing record"))
    return "; ".join(parts)


# -- changes ----------------------------------------------------------------------------------------------------------


def trigger(case: Case, facts: Facts) -> str | None:
    """A change that the log shows shortly before the onset; it coincides, more is not claimed."""
    if case.start is None or facts.span is None:
        return None
    reach = max(CHANGE_WINDOW, 0.25 * (facts.span.end - facts.span.start))
    marks = (
        facts.summary["marks"].filter((pl.col("at") <= case.start) & (pl.col("at") >= case.start - reach)).sort("at")
    )
    named = {s for r in case.roots for s in facts.places.named(facts.node(r.failure))}
    first = facts.node(case.roots[0].failure).first if case.roots else None
    stops = facts.summary["marks"].filter((pl.col("mark") == "stop") & pl.col("service").is_in(list(named)))
    if first is not None:
        stops = stops.filter(pl.col("at") <= first).sort("at")
        if len(stops):
            r = stops.row(0, named=True)
            return f"coincides with `{r['service']}` stopping at {r['at']:%H:%M:%S} ({_quote(r['text'])})"
    deploys = marks.filter(pl.col("mark").is_in(["deploy", "config"]))
    if len(deploys):
        r = deploys.row(-1, named=True)
        before = span_words((case.start - r["at"]).total_seconds())
        return f"coincides with a {r['mark']} at {r['at']:%H:%M:%S}, {before} before the onset ({_quote(r['text'])})"
    revisions = facts.summary["revisions"].drop_nulls("first").sort("first")
    if len(revisions) > 1:
        fresh = revisions.filter(
            (pl.col("first") <= case.start)
            & (pl.col("first") >= case.start - reach)
            & (pl.col("first") > facts.span.start)
        )
        if len(fresh):
            r = fresh.row(-1, named=True)
            return f"coincides with revision `{r['deployment']}`, first seen at {r['first']:%H:%M:%S}"
    return None


def _quote(text: str | None) -> str:
    line = (text or "").strip().split("\n", 1)[0]
    return "“" + (line if len(line) <= 90 else line[:89] + "…") + "”"


def timeline(found: Sequence[Case], facts: Facts) -> tuple[Moment, ...]:
    """The log in at most 40 moments: changes, the first of each failure, the worst slice, the end."""
    moments: list[tuple[int, Moment]] = []
    for place, case in enumerate(found):
        told = list(dict.fromkeys(i for chain in case.chains for i in chain)) or [r.failure for r in case.roots]
        for i in dict.fromkeys([*(r.failure for r in case.roots), *told, *case.symptoms[:6]]):
            node = facts.node(i)
            if node.first is None or i in facts.graph.labels or _retold(i, facts):
                continue
            onset = node.first == case.start
            more = f" (×{node.count:,}, until {node.last:%H:%M:%S})" if node.count > 1 and node.last else ""
            kind = "onset" if onset else node.kind if node.kind in ("http", "exit", "latency", "gap") else "error"
            text = _MEASURED_WORDS.get(node.kind, "first") + f" `{label(node, 90)}`{more}"
            if node.kind == "gap" and node.last is not None:
                text += f" (until {node.last:%H:%M:%S})"
            moments.append((place, Moment(node.first, kind, text, facts.evidence(i))))
        if case.recovered is not None:
            moments.append(
                (place, Moment(case.recovered, "recovery", "last sign of the failure; the log goes on without it"))
            )
    moments += _changes(found, facts)
    if facts.span is not None and found:
        last = "the log ends: still failing" if any(c.ongoing for c in found) else "the log ends"
        moments.append((9, Moment(facts.span.end, "end", last)))
        if found[0].start is not None and (found[0].start - facts.span.start) <= 0.005 * (
            facts.span.end - facts.span.start
        ):
            moments.append(
                (
                    -1,
                    Moment(
                        facts.span.start, "start", "the log begins, inside the failure: it may have started earlier"
                    ),
                )
            )
    ranked = sorted(moments, key=lambda m: (m[0], m[1].at))[:MOST_MOMENTS]
    return tuple(m for _, m in sorted(ranked, key=lambda m: (m[1].at, m[0], m[1].kind, m[1].text)))


_MEASURED_WORDS = {"latency": "first of the slower answers,", "gap": "the last record before a silence,"}
_CHANGE_WORDS = {
    "deploy": "deploy",
    "config": "configuration change",
    "ready": "serving",
    "stop": "stopping",
    "loss": "log lines lost",
}


def _retold(failure: str, facts: Facts) -> bool:
    """Whether the failure is only an exception raised anew in the traceback that shows its cause."""
    return any(e.effect == failure and e.kind in ("raised_from", "while_handling") for e in facts.graph.edges)


def _changes(found: Sequence[Case], facts: Facts) -> list[tuple[int, Moment]]:
    """Deploys, stops and successful starts: of many of a kind only the first and the last."""
    marks = (
        facts.summary["marks"]
        .filter(pl.col("mark").is_in(list(_CHANGE_WORDS)))
        .sort("at", "service", "mark", nulls_last=True)
    )
    if not found:
        marks = marks.filter(pl.col("mark").is_in(["deploy", "config", "loss"]))
    picked: list[tuple[int, Moment]] = []
    for (_, _), rows in marks.group_by("mark", "service", maintain_order=True):
        ends = rows if len(rows) <= 4 else pl.concat([rows.head(2), rows.tail(1)])
        for r in ends.iter_rows(named=True):
            who = f"`{r['service']}` " if r["service"] else ""
            proof = (Evidence(r["source"], r["line"], r["text"] or "", r["at"]),)
            picked.append(
                (5, Moment(r["at"], r["mark"], f"{who}{_CHANGE_WORDS[r['mark']]}: {_quote(r['text'])}", proof))
            )
    return picked


# -- whys, actions, metrics -------------------------------------------------------------------------------------------


def whys(case: Case, facts: Facts) -> tuple[Why, ...]:
    """From what users saw down to the root, one step a link; the last question is for people."""
    chain = case.chains[0] if case.chains else tuple(r.failure for r in case.roots[:1])
    found: list[Why] = []
    links = {(e.cause, e.effect): e for e in facts.graph.edges}
    for cause, effect in reversed(list(itertools.pairwise(chain))):
        edge = links.get((cause, effect))
        found.append(
            Why(
                _question(facts.node(effect)),
                _answer(facts.node(cause), edge, facts),
                _basis(edge),
                facts.evidence(cause),
            )
        )
    if case.roots:
        root = facts.node(case.roots[0].failure)
        if root.rule is not None and root.rule.cause and root.rule.rank < 90:
            found.append(Why(_question(root), root.rule.fill(root.text).cause, "inferred", facts.evidence(root.id)))
        found.append(
            Why(
                "Why did nothing stop this before users met it?",
                "Which check, test or alert should have caught it?",
                "human",
            )
        )
    else:
        found.append(Why("Why did it begin?", f"These logs do not show it: {_next_log(case, facts)}.", "human"))
    return tuple(found)


def _question(node: Node) -> str:
    if node.kind == "http":
        return f"Why {'do requests fail' if node.shift is None else 'are requests refused'} with {node.message}?"
    if node.kind == "latency":
        return f"Why do answers take longer (`{label(node, 90)}`)?"
    if node.kind == "gap":
        return f"Why is it silent (`{label(node, 90)}`)?"
    if node.role == "exit":
        return f"Why does the process end (`{label(node, 80)}`)?"
    if node.kind == "exception":
        return f"Why is `{label(node, 80)}` raised?"
    return f"Why `{label(node, 80)}`?"


def _answer(node: Node, edge: Edge | None, facts: Facts) -> str:
    where = place_of(node, facts)
    place = f" at `{where}`" if where else ""
    shown = f"`{label(node, 100)}`{place}, {node.count:,}×"
    return f"{shown}: {edge.why}." if edge is not None else f"{shown}."


def _basis(edge: Edge | None) -> str:
    return (
        "observed"
        if edge is not None and edge.kind in ("raised_from", "while_handling", "wraps", "same_trace", "names")
        else "inferred"
    )


def findings(found: Sequence[Case], facts: Facts) -> tuple[Finding, ...]:
    """Known failures among the nodes of incidents: roots first, then what they led to."""
    made: dict[str, Finding] = {}
    order = (
        [r.failure for c in found for r in c.roots]
        + [i for c in found for ch in c.chains for i in ch]
        + [m for c in found for m in c.symptoms]
    )
    for i in dict.fromkeys(order):
        node = facts.node(i)
        if node.rule is None or node.rule.rank >= 80 or node.kind == "http":
            continue
        if node.rule.name in made:
            old = made[node.rule.name]
            made[node.rule.name] = Finding(
                old.rule, old.title, old.category, (*old.failures, i), old.cause, old.checks, old.fixes, old.prevention, old.refuters,
                old.confidence, old.evidence,
            )  # fmt: skip
            continue
        told = node.rule.fill(node.text)
        made[node.rule.name] = Finding(
            node.rule.name, told.title, node.rule.category, (i,), told.cause, told.checks, told.fixes, told.prevention, told.refuted_by,
            node.rule.confidence, facts.evidence(i),
        )  # fmt: skip
    return tuple(made.values())


def actions(found: Sequence[Case], known: Sequence[Finding], facts: Facts) -> tuple[Action, ...]:
    """What to do: stop the harm, repair the root, keep it from coming back, see it sooner."""
    made: list[Action] = []
    by_failure = {i: f for f in known for i in f.failures}
    for case in found[:3]:
        because = tuple(r.failure for r in case.roots[:1])
        urgent = "P0" if case.severity in ("P0", "P1") else "P1"
        for root in case.roots[:2]:
            node = facts.node(root.failure)
            told = by_failure.get(root.failure)
            if told is not None and told.fixes:
                made.append(_fix(urgent, told.fixes[0], root.failure))
                made += [_fix("P1", text, root.failure) for text in told.fixes[1:2]]
            else:
                place = place_of(node, facts)
                where = f" at `{place}`" if place else ""
                made.append(
                    Action(
                        urgent,
                        "repair",
                        _search(node, where),
                        (root.failure,),
                    )
                )
            if told is not None and told.checks:
                made.append(Action(urgent, "mitigate", f"Check first: {told.checks[0]}", (root.failure,)))
        if not case.roots:
            text = _next_log(case, facts)
            made.append(Action(urgent, "detect", text[0].upper() + text[1:], tuple(case.members[:1])))
        started = trigger(case, facts)
        if started is not None and "stopping" not in started:
            made.append(Action(urgent, "mitigate", f"Consider rolling back: the onset {started}", because))
        for root in case.roots[:1]:
            told = by_failure.get(root.failure)
            made += [
                Action("P2", "prevent", text, (root.failure,))
                for text in (told.prevention[:2] if told is not None else ())
            ]
        if case.impact.exits:
            made.append(Action("P2", "detect", "Alert on the rate of restarts, not on each error", because))
        elif case.impact.failed:
            made.append(Action("P2", "detect", "Alert on the share of failed requests of each route", because))
    rank = {"mitigate": 1, "repair": 0, "detect": 3, "prevent": 2}
    unique = {a.text: a for a in reversed(made)}
    return tuple(sorted(unique.values(), key=lambda a: (a.priority, rank[a.kind], made.index(a))))


def _search(node: Node, where: str) -> str:
    if node.kind == "latency":
        return f"Find out what `{node.services[0]}` waits for (`{label(node, 90)}`), and mend it there"
    if node.kind == "gap":
        return f"Find out why it is silent (`{label(node, 90)}`), and mend it there"
    return f"Find out why `{label(node, 90)}` is raised{where}, and mend it there"


_STOPGAPS = ("roll back", "restart", "scale", "raise", "drain", "fail over", "switch off", "disable")


def _fix(priority: str, text: str, failure: str) -> Action:
    return Action(priority, "mitigate" if text.lower().startswith(_STOPGAPS) else "repair", text, (failure,))


def success(found: Sequence[Case], facts: Facts) -> tuple[Metric, ...]:
    """What must be true when the incident is over, and what is true now."""
    made: list[Metric] = []
    if not found:
        return ()
    case = found[0]
    if case.impact.exits:
        ready = facts.exits.ready
        made.append(
            Metric(
                "starts that succeed",
                "at least 1 in 5 min",
                f"{ready:,} of {max(facts.exits.starts, ready, case.impact.exits):,}",
            )
        )
        hours = max(case.impact.minutes / 60, 1 / 60)
        made.append(Metric("restarts", "under 1 per hour", f"{case.impact.exits:,} in {span_words(hours * 3600)}"))
    if case.impact.requests and (case.impact.failed or not (case.impact.refused or case.impact.slow)):
        made.append(
            Metric(
                "failed requests",
                "under 1 %",
                f"{percent(case.impact.share)} ({case.impact.failed:,} of {case.impact.requests:,})",
            )
        )
    for root in case.roots[:2]:
        node = facts.node(root.failure)
        if node.shift is None:
            made.append(Metric(f"`{label(node, 60)}`", "0 in 1 h", f"{node.count:,}"))
    if facts.http is not None and facts.http.latency_ms is not None and facts.http.latency_ms.p95 >= 1000:
        made.append(Metric("p95 latency", "under 500 ms", span_words(facts.http.latency_ms.p95 / 1000)))
    return tuple(made)


_ASKED = (
    "database_connection", "db_pool_exhaustion", "redis_connection", "memory", "disk", "dns", "tls", "auth", "configuration",
    "import_error", "timeout", "rate_limit",
)  # fmt: skip


def ruled_out(nodes: Mapping[str, Node], rules: Rules, counts: Counts) -> tuple[RuledOut, ...]:
    """Kinds of causes that were looked for in every record and not found once."""
    seen = {n.rule.category for n in nodes.values() if n.rule is not None}
    known = {r.category for r in rules}
    return tuple(
        RuledOut(CATEGORIES[c].title, CATEGORIES[c].looked_for, counts.records)
        for c in _ASKED
        if c in known and c not in seen
    )
