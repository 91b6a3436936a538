"""What was there all along: failures that run evenly through a log, at a low rate, and that nobody suffers from."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from statistics import mean, pstdev

from triage.diagnosis.metrics import Layer, to_us, unready
from triage.diagnosis.nodes import ERROR, MEASURED, Node, episodes
from triage.diagnosis.places import are_data_servers
from triage.diagnosis.texts import GOES_ON
from triage.report import Window
from triage.schema import FAILED
from triage.summary import Summary

ODD_ONES = 5  # statements: where more of them set in, something has changed
STARTS = 10  # probes of one instance that fail: more are no start
ENOUGH = 5  # moments, from which on it can be said how evenly they come
RARE = 0.01  # of all records, and of the requests
RETRIED = 0.1  # the same of what is tried again each time
BORNE, ANSWERED = 0.1, 100  # the same where so many requests and more are answered well, all of them
REFUSALS = {
    "data",
    "concurrency",
    "database_query",
    "database_connection",
    "database_auth",
    "migration",
}  # what a database may refuse its clients
EPISODE = timedelta(seconds=60)  # a call and its repeats are one moment
CLOCKWORK = 0.4  # spread of the pauses over their mean: below it a timer sets the pace, and each of its runs fails
# What callers and other parties bring about; a failure of the program's own is never taken for usual by its pace alone.
OUTSIDE = {"auth", "oauth", "jwt", "client", "cors", "rate_limit", "data", "timeout", "database_auth"}
# And what befalls a connection to another program.
ELSEWHERE = {
    "concurrency",
    "network",
    "dns",
    "dependency",
    "upstream_timeout",
    "redis_connection",
    "database_connection",
    "rpc",
}
BROKER = "broker-unreachable"
PASSING = 0.2  # of the log's time: what lasts no longer, and is over, came and went
APART = 0.05  # of the log's time: so far from each other two moments are not of one episode
FEW = 10  # records
ODD = 3  # warnings


def runs_all_along(nodes: Sequence[Node], span: Window) -> bool:
    """Whether the failures come from about the first to about the last of the log's time, as far as so few can, without a long pause."""
    times = [begin for begin, _ in episodes(nodes, EPISODE)]
    start, end = to_us(span.start), to_us(span.end)
    if len(times) < ENOUGH or end <= start:
        return False
    edge = max(0.05, min(0.33, 3 / len(times))) * (end - start)
    pause = max(y - x for x, y in itertools.pairwise(times))
    longest = (math.log(len(times)) + 3) / len(times) * (end - start)
    return times[0] <= start + edge and times[-1] >= end - edge and pause <= longest


def is_rare(nodes: Sequence[Node], summary: Summary, layer: Layer | None) -> bool:
    """Whether the failures are less than one in a hundred of the records, and of the requests where the log shows any."""
    many = sum(n.count for n in nodes)
    records = int(summary["sources"]["records"].sum())
    requests = int(layer.of(summary["requests"])["count"].sum()) if layer is not None else 0
    return many < RARE * records and (not requests or many < RARE * requests)


def is_usual(
    nodes: Sequence[Node], summary: Summary, layer: Layer | None, span: Window | None, *, retried: Collection[str] = ()
) -> bool:
    """Whether these failures are the noise of every day: from outside or tried again, rare, all along, by no timer, and without an effect."""
    if span is None or _was_seen(nodes):
        return False
    refusals = [n for n in nodes if _is_refusal(n)]
    alone = len(refusals) == len(nodes)  # no program says what it makes of them
    news = alone and sum(n.count for n in refusals) > ODD_ONES and not runs_all_along(refusals, span)
    if not news and _is_borne(nodes, summary, layer):
        return True
    if any(n.role == "proxy" for n in nodes):
        return False
    outside = all(n.id in retried or _from_outside(n) for n in nodes if n.inner)
    inner = [n for n in nodes if n.inner]
    seen = int(summary["sources"]["records"].sum())
    again = all(n.id in retried for n in inner) and sum(n.count for n in inner) < RETRIED * seen
    rare = again or (is_rare(nodes, summary, layer) and not _clockwork(nodes))
    return outside and rare and runs_all_along(nodes, span)


def _was_seen(nodes: Sequence[Node]) -> bool:
    """Whether a process ended, a request failed, or figures show that something is wrong."""
    return any(n.role in ("exit", "http", *MEASURED) or "oom" in n.marks for n in nodes)


def is_short(nodes: Sequence[Node], span: Window) -> bool:
    """Whether the failures lasted a small part of the log's time; between moments that are far apart things were well."""
    length = span.end - span.start
    lasted = sum(end - begin for begin, end in episodes(nodes, min(EPISODE, APART * length)))
    return timedelta(microseconds=lasted) <= PASSING * length


def came_and_went(nodes: Sequence[Node], summary: Summary, layer: Layer | None, span: Window | None) -> bool:
    """Whether failures that are over, and lasted a part of the log, did no harm that it shows, though they were told as errors:
    the programs answered all their requests well; or there are few, of what is outside the program, or texts that no rule knows."""
    inner = [n for n in nodes if n.inner]
    if span is None or not inner or not is_short(nodes, span):
        return False
    if _was_seen(nodes):
        return False
    if any(n.stacks and n.level >= ERROR and not _from_elsewhere(n) for n in inner):
        return False  # a bug that a program lives with is a bug
    records = int(summary["sources"]["records"].sum())
    many = sum(n.count for n in inner)
    if _answers_all(nodes, summary, layer):
        return many < BORNE * records
    told = many < ODD and all(0 <= n.level < ERROR and not n.stacks for n in inner)  # and the program goes on
    return (
        many < FEW
        and many < RARE * records
        and (told or all(_from_elsewhere(n) or _is_vague(n) or does_without(n) for n in inner))
    )


def are_strays(nodes: Sequence[Node], summary: Summary, layer: Layer | None, span: Window | None) -> bool:
    """Whether all that fails, now and then and never for long, is what clients do wrong, and few calls of others, while the programs
    answer all their requests well."""
    if span is None or layer is None or not is_short(nodes, span) or not _answers_all(nodes, summary, layer):
        return False
    inner = [n for n in nodes if n.inner]
    wrong = sum(n.count for n in inner if _is_of_client(n))
    others = [n for n in inner if not _is_of_client(n)]
    requests = int(layer.of(summary["requests"])["count"].sum())
    if not all(_from_elsewhere(n) for n in others) or wrong >= BORNE * requests:
        return False
    return sum(n.count for n in others) < FEW and is_rare(others, summary, layer)


def _is_of_client(node: Node) -> bool:
    return node.rule is not None and node.rule.category == "client"


def _answers_all(nodes: Sequence[Node], summary: Summary, layer: Layer | None) -> bool:
    """Whether the programs that the failures are of answer requests, a hundred and more, and none of them failed."""
    answering = _answering(summary, layer)
    return answering is not None and all(set(n.services) <= answering for n in nodes)


def _answering(summary: Summary, layer: Layer | None) -> set[str] | None:
    """The services that answer requests, where the log shows a hundred and more of them and none failed; else None."""
    if layer is None:
        return None
    asked = layer.of(summary["requests"])
    failed = asked.filter(asked["status"] >= FAILED).select("service", "status")
    if int(asked["count"].sum()) < ANSWERED or not unready(summary, layer).issuperset(failed.iter_rows()):
        return None
    return set(summary["requests"]["service"].drop_nulls())


def _from_elsewhere(node: Node) -> bool:
    """Whether the failure is of what is outside the program, or of the way there."""
    known = node.rule is not None and (node.rule.category in ELSEWHERE or node.rule.name == BROKER)
    return known or _from_outside(node)


def are_jobs_tried_again(nodes: Sequence[Node], summary: Summary) -> bool:
    """Whether what failed is of what is outside the program, and a runner of jobs says as often that it tries one again."""
    inner = [n for n in nodes if n.inner]
    if not inner or _was_seen(nodes):
        return False
    services = sorted({s for n in inner for s in n.services})
    marks = summary["marks"]
    told = marks.filter((marks["mark"] == "retry") & marks["service"].is_in(services))
    return all(map(_from_elsewhere, inner)) and int(told["count"].sum()) >= sum(n.count for n in inner)


def does_without(node: Node) -> bool:
    """Whether the program says that it goes on without what failed."""
    return node.kind == "message" and not node.stacks and GOES_ON.search(node.message) is not None


def _is_vague(node: Node) -> bool:
    return node.kind == "message" and node.rule is None and not node.stacks


def _is_borne(nodes: Sequence[Node], summary: Summary, layer: Layer | None) -> bool:
    """Whether programs that answer all their requests well know what to do then: what they tell of themselves is no error to them, and what
    a database refuses them they ask in order to be refused (an upsert, a request that is repeated), or do without."""
    answering = _answering(summary, layer)
    if answering is None:
        return False
    known = all(_is_refusal(n) or _is_handled(n, answering) or _is_start(n) for n in nodes)
    innermost = sum(n.count for n in nodes if n.inner)  # what wraps a failure counts it twice
    return known and innermost < BORNE * int(summary["sources"]["records"].sum())


def _is_refusal(node: Node) -> bool:
    """Whether a data server refuses something: no end of its own, and nothing that it lacks."""
    told = node.kind == "message" and node.rule is not None and node.rule.category in REFUSALS
    return told and are_data_servers(node)


def _is_start(node: Node) -> bool:
    """Whether a probe finds a few times that a program is not up yet."""
    instances = max(1, len({instance for _, instance in node.times}))
    probe = node.rule is not None and node.rule.category == "health_check" and node.count <= STARTS * instances
    return probe and re.search(r"\b(?:startup|readiness)\b", node.message, re.IGNORECASE) is not None


def _is_handled(node: Node, answering: Collection[str]) -> bool:
    """Whether a program that answers requests logs it, always with a level below an error."""
    return 0 <= node.level < ERROR and bool(node.services) and set(node.services) <= set(answering)


def _from_outside(node: Node) -> bool:
    return node.role in ("timeout", "client") or (node.rule is not None and node.rule.category in OUTSIDE)


def _clockwork(nodes: Sequence[Node]) -> bool:
    """Whether the failures come at fixed times: then each run of a job fails."""
    begins = [begin for begin, _ in episodes(nodes, EPISODE)]
    pauses = [y - x for x, y in itertools.pairwise(begins)]
    return len(pauses) >= 3 and pstdev(pauses) < CLOCKWORK * mean(pauses)
