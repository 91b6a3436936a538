"""From one merged Summary to a Report: calls the others, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl
from msgspec.structs import replace

from triage.diagnosis import incidents, metrics, skew, story
from triage.diagnosis.drawing import Edge, Graph
from triage.diagnosis.graph import link
from triage.diagnosis.incidents import Case
from triage.diagnosis.knowledge import Rules, load_rules
from triage.diagnosis.nodes import WARNING, Node, nodes
from triage.diagnosis.places import Places
from triage.diagnosis.wording import plural
from triage.grouping.clusters import fold_ids
from triage.grouping.crowding import MOST_IDS, OTHER
from triage.grouping.signature import message_id, message_signature
from triage.grouping.steering import Rule, reason
from triage.grouping.steering import load_rules as load_grouping
from triage.packs import pattern_dirs
from triage.report import Cluster, Evidence, Failure, Incident, Intake, Link, Report
from triage.schema import LEVELS
from triage.summary import TABLES, Summary

MOST_CLUSTERS = 200
MOST_FAILURES = 300
MOST_LISTED = 2_000


def diagnose(
    summary: Summary,
    *,
    title: str | None = None,
    patterns: Sequence[Path] = (),
    repo: Path | None = None,
    baseline: Mapping[str, Any] | None = None,
) -> Report:
    """What happened, by what evidence. The same summary gives the same report.

    `baseline` is the report of a good time in its JSON form: what was as frequent then is no news.
    """
    summary = folded(summary)
    rules = load_rules(pattern_dirs(patterns)) if patterns else _our_rules()
    span = metrics.window(summary)
    layer = metrics.layer(summary)
    found_nodes = nodes(summary, rules, layer)
    clocks = skew.measure(found_nodes, summary)
    graph = link(skew.set_right(found_nodes, clocks), summary)
    graph = skew.as_logged(graph, found_nodes) if clocks else graph
    usually = None
    if baseline is not None:
        from triage.diagnosis.compare import usual  # nothing of it is needed where nobody asks

        usually = usual(baseline)
    cases, quiet, passed = incidents.cases(graph, summary, layer, span, usually)
    counts = metrics.counts(summary)
    onset = min((c.start for c in cases if c.start is not None), default=None)
    cut = metrics.slices(span)
    examples = _examples(summary)
    facts = story.Facts(
        graph,
        summary,
        span,
        counts,
        metrics.http(summary, layer),
        metrics.exits(summary, onset),
        examples,
        cut,
        Places.of(summary),
    )
    known = story.findings(cases, facts)
    whys = story.whys(cases[0], facts) if cases else ()
    actions = story.actions(cases, known, facts) if cases else ()
    seen = None
    if repo is not None:
        from triage.diagnosis.source import examine, explain, mend  # nothing of it is needed where nobody asks

        seen = examine(repo, cases, graph.nodes, examples, span)
        whys, actions = (explain(whys, seen, cases[0]), mend(actions, seen, cases[0])) if cases else ((), ())
    told = [_incident(c, facts) for c in cases]
    headline = story.headline(cases, facts)
    members = incidents.all_members(cases)
    steering = load_grouping(pattern_dirs(patterns)) if patterns else ()
    begun = _only_begun(found_nodes, members)
    clusters = tuple(c for c in _clusters(summary, cut, examples, steering) if c.id not in begun)
    return Report(
        tool={"name": "triage", "version": _version()},
        title=title or (told[0].title if told else "No incident found"),
        inputs=metrics.inputs(summary), intake=_told(metrics.intake(summary), summary, steering, clocks, graph, members), window=span,
        healthy=not cases, severity=cases[0].severity if cases else None, severity_why=cases[0].severity_why if cases else "",
        headline=headline, counts=counts, http=facts.http, exits=facts.exits,
        clusters=clusters, failures=_failures(found_nodes, members, graph), links=_links(graph, facts),
        incidents=tuple(told), findings=known, source=seen,
        ruled_out=story.ruled_out(found_nodes, rules, counts), timeline=story.timeline(cases, facts),
        five_whys=tuple(whys), actions=tuple(actions), metrics=story.success(cases, facts),
        rates=metrics.rates(summary, layer, cut), slice_s=cut.width / 1e6 if cut is not None else None,
        noise=tuple(c for c in _noise(found_nodes, members | set(passed), quiet, clusters) if c not in begun),
        passed=_passed(found_nodes, members, passed),
    )  # fmt: skip


@cache
def _our_rules() -> Rules:
    return load_rules(pattern_dirs())


def folded(summary: Summary) -> Summary:
    """The summary with near-equal templates of messages made one, in every table that holds their ids."""
    texts = summary["nodes"].filter(pl.col("kind") == "message").select("id", "template")
    failures = fold_ids(texts.drop_nulls().iter_rows(), message_id, keep=_services(summary))
    clusters = folded_clusters(summary)
    if not failures and not clusters:
        return summary
    shared = failures | clusters
    ids = {key: one for key, (one, _) in shared.items()}
    templates = {key: template for key, (_, template) in shared.items()}
    columns = {"failure", "signature", "id", "cause", "effect"}
    tables = {}
    for name, rows in summary.tables.items():
        held = [c for c in rows.columns if c in columns]
        if name in ("nodes", "groups"):
            key = pl.col(held[0])
            told = key.replace_strict(templates, default=None, return_dtype=pl.String())
            rows = rows.with_columns(template=pl.coalesce(told, "template"))
        tables[name] = TABLES[name].fold(rows.with_columns(pl.col(held).replace(ids))) if held else rows
    return Summary(tables, summary.widths)


def folded_clusters(summary: Summary) -> dict[str, tuple[str, str]]:
    """Of signatures that are counted as one with others: the cluster's id and template."""
    groups = summary["groups"].filter(pl.col("exception").is_null()).select("signature", "template")
    return fold_ids(groups.drop_nulls().iter_rows(), message_signature, keep=_services(summary))


def _services(summary: Summary) -> list[str]:
    services: list[str] = summary["volume"]["service"].drop_nulls().unique().to_list()
    return services


def _examples(summary: Summary) -> dict[str, tuple[Evidence, ...]]:
    found: dict[str, list[Evidence]] = {}
    for r in summary["examples"].sort("id", "at", "source", "line", nulls_last=True).iter_rows(named=True):
        found.setdefault(r["id"], []).append(Evidence(r["source"], r["line"], r["text"] or "", r["at"]))
    return {k: tuple(v) for k, v in found.items()}


def _incident(case: Case, facts: story.Facts) -> Incident:
    return Incident(
        id=case.id, title=story.title(case, facts), start=case.start, end=case.end, ongoing=case.ongoing, severity=case.severity,
        severity_why=case.severity_why, roots=case.roots, chains=case.chains, symptoms=case.symptoms,
        impact=story.impact(case, facts), trigger=story.trigger(case, facts), requests=case.impact.requests, failed=case.impact.failed,
    )  # fmt: skip


def _clusters(
    summary: Summary,
    cut: metrics.Slices | None,
    examples: Mapping[str, tuple[Evidence, ...]],
    steering: Sequence[Rule],
) -> tuple[Cluster, ...]:
    where = summary["clusters"]
    total = where.group_by("signature").agg(
        pl.col("count").sum(), pl.col("first").min(), pl.col("last").max(), level=pl.col("level").to_physical().max(),
        services=pl.col("service").drop_nulls().unique().sort(), instances=pl.col("instance").drop_nulls().n_unique(),
    )  # fmt: skip
    named = total.join(summary["groups"], on="signature").sort(["count", "signature"], descending=[True, False])
    shown = named.head(MOST_CLUSTERS)
    paced = summary["rhythm"].filter(pl.col("signature").is_in(shown["signature"].implode()))
    rhythm: Mapping[str, pl.DataFrame] = {str(k[0]): g for k, g in paced.group_by("signature")}
    made = []
    for r in shown.iter_rows(named=True):
        mine = rhythm.get(r["signature"])
        made.append(
            Cluster(
                id=r["signature"],
                level=LEVELS[r["level"]] if r["level"] is not None else None,
                exception=r["exception"],
                message=(r["template"] if (r["template"] or "").startswith("HTTP ") else r["message"]) or "",
                template=r["template"] or "",
                count=r["count"],
                first_seen=r["first"],
                last_seen=r["last"],
                services=tuple(r["services"]),
                instances=r["instances"],
                examples=examples.get(r["signature"], ()),
                trend=cut.spread(mine) if cut is not None and mine is not None else (),
                steered=why[1] if (why := reason(r["template"] or "", steering)) else "",
            )
        )
    named_rest, lumped = named.slice(MOST_CLUSTERS), total.filter(pl.col("signature") == OTHER)
    spans = [pl.col("count").sum(), pl.col("first").min(), pl.col("last").max()]
    if len(named_rest) or len(lumped):
        more = f"{len(named_rest):,} more clusters"
        if len(lumped):
            more += (
                f", and messages so many and so rare that they are counted together ({lumped['count'].sum():,} records)"
            )
        count, first, last = (
            pl.concat([r.select("count", "first", "last") for r in (named_rest, lumped)]).select(spans).row(0)
        )
        made.append(Cluster(OTHER, None, None, more, "", count, first, last, (), 0))
    return tuple(made)


def _told(
    intake: Intake,
    summary: Summary,
    steering: Sequence[Rule],
    clocks: Sequence[skew.Skew],
    graph: Graph,
    members: frozenset[str],
) -> Intake:
    """The ledger with a notice for clocks that differ, for what was left out for its size, and for every rule of the user that did something."""
    if clocks:
        intake = replace(intake, notices=(*(c.told() for c in clocks), *intake.notices))
    silent = sorted((n for n in graph.nodes.values() if n.kind == "gap" and n.id not in members), key=lambda n: n.id)
    notices = [
        f"{n.message} ({n.first:%H:%M:%S} to {n.last:%H:%M:%S}; {n.shift.why}): nothing ran, or its lines are missing here"
        for n in silent
        if n.shift is not None
    ]
    lumped = int(summary["clusters"].filter(pl.col("signature") == OTHER)["count"].sum())
    if lumped:
        notices.append(
            f"more than {MOST_IDS:,} different messages: {plural(lumped, 'record')} of the rarest are counted together, "
            "and the counts of single messages may be too low"
        )
    if graph.aside:
        notices.append(
            f"{plural(len(graph.aside), 'rarer failure')} of {len(graph.nodes):,} were not held against the others in the search for causes"
        )
    if not steering:
        return replace(intake, notices=(*intake.notices, *notices))
    counts = summary["clusters"].group_by("signature").agg(pl.col("count").sum())
    done: dict[str, int] = {}
    for template, count in counts.join(summary["groups"], on="signature").select("template", "count").iter_rows():
        if template and (found := reason(template, steering)):
            done[found[1]] = done.get(found[1], 0) + count
    notices += [f"{count:,} record{'s' * (count != 1)} {why}" for why, count in sorted(done.items())]
    return replace(intake, notices=(*intake.notices, *notices))


def _failures(found: Mapping[str, Node], members: frozenset[str], graph: Graph) -> tuple[Failure, ...]:
    ranked = sorted(found.values(), key=lambda n: (n.id not in members, -n.count, n.id))[:MOST_FAILURES]
    return tuple(
        Failure(
            n.id, n.kind, n.exception, n.message, n.count, n.first, n.last, n.services, n.clusters, n.frame, n.frames,
            "label" if n.id in graph.labels else n.role,
            *((n.shift.why, tuple(Evidence(*place) for place in n.shift.evidence)) if n.shift is not None else ()),
        )
        for n in ranked
    )  # fmt: skip


def _links(graph: Graph, facts: story.Facts) -> tuple[Link, ...]:
    found = sorted(graph.edges, key=lambda e: (-e.confidence, e.cause, e.effect)) + list(graph.beyond)
    return tuple(_link(e, facts) for e in found[:MOST_LISTED])


def _link(edge: Edge, facts: story.Facts) -> Link:
    if edge.source is not None and edge.line is not None:
        known = [x for x in facts.evidence(edge.effect, 3) if (x.source, x.line) == (edge.source, edge.line)]
        proof = tuple(known) or (Evidence(edge.source, edge.line),)
    else:
        proof = (*facts.evidence(edge.cause), *facts.evidence(edge.effect))
    return Link(edge.cause, edge.effect, edge.kind, edge.count, edge.lag_s, edge.confidence, proof, edge.why)


def _noise(
    found: Mapping[str, Node], members: frozenset[str], quiet: Sequence[str], clusters: Sequence[Cluster]
) -> tuple[str, ...]:
    """Clusters with no failure of these members; where they are very many, only those that the report shows."""
    inside = {c for i in members for c in found[i].clusters}
    outside = {c for n in found.values() if n.id not in members or n.id in quiet for c in n.clusters}
    noise = outside - inside
    return tuple(sorted(noise if len(noise) <= MOST_LISTED else noise & {c.id for c in clusters}))


def _only_begun(found: Mapping[str, Node], members: frozenset[str]) -> frozenset[str]:
    """Clusters of work that begins (a migration, a backup) and that is no part of an incident: it failed nobody."""
    begun = {
        c
        for n in found.values()
        if "holder" in n.marks and n.id not in members and n.level < WARNING
        for c in n.clusters
    }
    return frozenset(begun - {c for i in members for c in found[i].clusters})


def _passed(found: Mapping[str, Node], members: frozenset[str], passed: Sequence[str]) -> tuple[str, ...]:
    """Clusters of what came and went."""
    inside = {c for i in members for c in found[i].clusters}
    return tuple(sorted({c for i in passed for c in found[i].clusters} - inside))[:MOST_LISTED]


@cache
def _version() -> str:
    try:
        return version("triage-logs")
    except PackageNotFoundError:
        return "0+unknown"
