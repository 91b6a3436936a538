"""Where a program says that it listens, held against where others look for it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec.structs import replace

from triage.diagnosis.drawing import Graph
from triage.diagnosis.nodes import Node
from triage.diagnosis.places import addresses
from triage.report import Root
from triage.summary import Summary

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SURE = 0.3  # what the program's own words add to what a proxy tells
_MOST = 0.85


def told_by_listeners(roots: Sequence[Root], graph: Graph, summary: Summary) -> tuple[Root, ...]:
    """The roots; those that tell of an address at which nothing listens, with where the program says that it does."""
    told = []
    for root in roots:
        node = graph.nodes[root.failure]
        where = listens_elsewhere(node, summary) if node.role == "proxy" else None
        if where is not None:
            confidence = round(min(_MOST, root.confidence + _SURE), 2)
            why = f"the program says that it listens on {where}, and nowhere else"
            root = replace(root, confidence=confidence, why=why[0].upper() + why[1:], against="")
        told.append(root)
    return tuple(told)


def listens_elsewhere(node: Node, summary: Summary) -> str | None:
    """The address at which the program said last, before the failure, that it listens; None where others reach it there, or nobody said so."""
    asked = {port for _, port in addresses(node.message) if port is not None}
    if not asked or node.first is None:
        return None
    said = summary["marks"].filter(pl.col("mark").is_in(["ready", "listen"]) & (pl.col("at") <= node.first))
    if node.services:
        said = said.filter(pl.col("service").is_in(list(node.services)))
    for text in said.sort("at", descending=True)["text"].drop_nulls():
        open_at = [(host, port) for host, port in addresses(text) if port is not None]
        if open_at:
            reached = any(port in asked and host not in LOOPBACK for host, port in open_at)
            return None if reached else ":".join(part for part in open_at[0] if part)
    return None
