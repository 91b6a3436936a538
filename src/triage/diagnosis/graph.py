"""The causal graph: which failure brings about which, by what evidence, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping

from triage.diagnosis.drawing import Drawing, Edge, Graph
from triage.diagnosis.effects import link_breakdowns, link_effects, link_probed, link_retold
from triage.diagnosis.locks import link_lock_holders, link_lock_queues, link_lock_starts, link_lock_timeouts
from triage.diagnosis.measured import link_measured
from triage.diagnosis.metrics import retold, window
from triage.diagnosis.nodes import MEASURED, Clock, Node
from triage.diagnosis.outages import (
    link_answers,
    link_data_servers,
    link_down_times,
    link_loops,
    link_lost_consumers,
    link_lost_routes,
    link_partings,
    link_refusals,
    link_resources,
    link_shutdowns,
    link_slow_statements,
    link_stale,
)
from triage.diagnosis.places import Places
from triage.diagnosis.sequences import (
    link_aftermath,
    link_consequences,
    link_crashes,
    link_devices,
    link_echoes,
    link_full_workers,
    link_heralds,
    link_known_effects,
    link_limits,
    link_lost_instances,
    link_pile_ups,
    link_precursors,
    link_sequences,
    link_shortages,
    link_stages,
    link_unready,
)
from triage.diagnosis.spells import link_spells
from triage.diagnosis.texts import inherit_names, link_attempts, link_embeddings, link_within_records, record_links
from triage.summary import Summary


def link(nodes: Mapping[str, Node], summary: Summary) -> Graph:
    """Find the links between failures; harmless ones (noise, lifecycle) take no part.

    Of very many failures only those that are weighed are held against one another, for that is work for every pair.
    """
    concerned = {i: n for i, n in nodes.items() if n.role not in ("noise", "lifecycle")}
    measured = {i: n for i, n in concerned.items() if n.role in MEASURED}
    taking = {i: n for i, n in concerned.items() if n.weighed and i not in measured}
    dated = [n for n in taking.values() if n.first is not None and n.last is not None]
    clock = Clock.over(min(n.first for n in dated if n.first), max(n.last for n in dated if n.last)) if dated else None
    places = Places.of(summary)
    drawing = Drawing(
        nodes=taking,
        clock=clock,
        active={i: clock.active(n) if clock else frozenset() for i, n in taking.items()},
        names={i: places.named(n) for i, n in taking.items()},
        traces=_traces(summary),
        parents={},
        edges=[],
        labels=set(),
    )
    span = window(summary)
    link_within_records(drawing, summary)
    link_retold(drawing, retold(summary))
    inherit_names(drawing)
    link_embeddings(drawing)
    link_attempts(drawing)
    link_echoes(drawing)
    link_heralds(drawing)
    link_stages(drawing)
    link_devices(drawing)
    link_limits(drawing)
    link_crashes(drawing)
    link_full_workers(drawing)
    link_down_times(drawing, summary, span)
    link_aftermath(drawing)
    link_unready(drawing)
    link_lock_queues(drawing)
    link_lock_timeouts(drawing)
    link_lock_holders(drawing)
    link_lock_starts(drawing)
    link_sequences(drawing)
    link_probed(drawing)
    for role in ("timeout", "exit"):
        link_effects(drawing, role)
    link_breakdowns(drawing)
    link_lost_instances(drawing)
    link_shortages(drawing)
    link_pile_ups(drawing)
    link_known_effects(drawing)
    link_refusals(drawing, summary)
    for role in ("proxy", "http", "client"):
        link_effects(drawing, role)
    link_answers(drawing)
    link_shutdowns(drawing)
    link_data_servers(drawing)
    link_partings(drawing)
    link_loops(drawing, span)
    link_lost_consumers(drawing, span)
    link_lost_routes(drawing)
    link_stale(drawing)
    link_slow_statements(drawing, span)
    link_resources(drawing)
    link_consequences(drawing)
    link_spells(drawing, span)
    link_precursors(drawing)
    link_measured(drawing, measured)
    below: dict[str, list[Edge]] = {}
    for edges in drawing.parents.values():
        for edge in edges:
            below.setdefault(edge.cause, []).append(edge)
    return Graph(
        {**nodes, **drawing.nodes},
        {k: tuple(v) for k, v in drawing.parents.items()},
        tuple(drawing.edges),
        frozenset(drawing.labels),
        {k: tuple(v) for k, v in below.items()},
        frozenset(concerned.keys() - drawing.nodes.keys()),
        tuple(record_links(concerned, summary, but=taking.keys())),
    )


def _traces(summary: Summary) -> dict[str, frozenset[str]]:
    rows = summary["traces"].group_by("failure").agg("trace")
    return {failure: frozenset(traces) for failure, traces in rows.iter_rows()}
