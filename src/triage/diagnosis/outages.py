"""Links to the failures of one service from what another one is known to do: it keeps ending, it answered with an error, it fails on the same queue."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from datetime import datetime, timedelta

import polars as pl

from triage.diagnosis.drawing import (
    EARLY,
    ENOUGH,
    Drawing,
    Edge,
    by_time,
    calls_another,
    comes_before,
    is_raised_on,
    is_vague,
    lag_words,
)
from triage.diagnosis.effects import REACHED, tells_of
from triage.diagnosis.metrics import to_us
from triage.diagnosis.nodes import Node, episodes, follow, waited
from triage.diagnosis.numbers import read_numbers
from triage.diagnosis.places import are_data_servers, is_client_of, is_data_server, speaks_of
from triage.diagnosis.wording import percent, span_words
from triage.report import Window
from triage.summary import Summary

LOOP = 5  # ends of a process, from which on it is down more than up
LATE = timedelta(minutes=10)  # so long callers may wait, and watchdogs may look away, before they tell
LATE_SHARE = 0.2  # and no longer than this share of the time in which they do, but for what has to pile up first
_PILED = re.compile(r"\b(?:queues?|backlog|pending|waiting|unprocessed|lag|oldest)\b", re.IGNORECASE)
DOWN_SHARE = 0.3  # of the log's time: who is down for longer is down whatever fails
DOWN_LONG = 0.8  # the same where what fails has the name of such a server
DOWN = timedelta(minutes=1)  # so soon after a server goes down its clients tell
ONE_END = timedelta(seconds=5)  # so near to each other last words are those of one process
SOON_UP_US = 300_000_000  # behind them it starts anew
STAYS = 0.8  # of what waits, in the time of what keeps ending
STAYS_SLOW = 0.5  # of the time in which callers wait, with slow statements
_AWAY = "mongo-member-away"  # the rule for a member that does not answer the others of its set
_SLOW = 5  # statements: fewer are slow at any time
QUIET = 0.05  # of the log's time: so long it shows neither of them before
FEW = 3  # records of an error that ends a consumer: who goes on raising it goes on working
LONG_S = 3_600  # so long work may pile up before anybody tells
MANY = 10  # records that set in: fewer set in by chance
_REFUSED = re.compile(r"\bECONNREFUSED\b|\bconnection refused\b", re.IGNORECASE)
_UNIT = r"(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
# how old data is; never less than the sample that stands for the others, which is later than the first
_OLD = re.compile(
    rf"\b(?P<many>\d+(?:\.\d+)?) ?(?P<unit>{_UNIT})[ -](?:old|stale|behind|out of date)\b"
    rf"|\b(?:older than|stale for|(?:not|n't) (?:been )?(?:updated|refreshed|synced|imported) (?:for|in|since)) (?P<more>\d+(?:\.\d+)?) ?(?P<of>{_UNIT})\b",
    re.IGNORECASE,
)
_STALE = re.compile(
    r"\b(?P<what>[A-Za-z]{4,})(?: (?:data|feed|cache|snapshot))? (?:is|are) (?:stale|outdated|out of date)\b",
    re.IGNORECASE,
)
_TOOK = re.compile(
    r"(?i:\b(?:duration|took|time)\b[:= ]{1,2}|\()(?P<ms>\d+(?:\.\d+)?) ?ms\b|\bQuery_time: (?P<query>\d+(?:\.\d+)?)"
    r"|(?i:\b(?:duration|took|time)\b[:= ]{1,2}|\()(?P<s>\d+(?:\.\d+)?) ?s(?:ec\w*)?\b"
)
_WORD = re.compile(r"[A-Za-z]{4,}")
_LOST = re.compile(
    r"\bconnection (?:to \S+ )?(?:was )?(?:lost|closed|reset|terminated|dropped)\b|\blost connection\b|\bdisconnected\b|\bEOF\b|\bECONNRESET\b|\bconnection reset\b",
    re.IGNORECASE,
)
_NO_START = re.compile(
    r"\b(?:start-?up|deployment|boot(?:strap)?|initiali[sz]ation) (?:has )?failed\b|\b(?:failed|unable) to (?:start|deploy|boot|bootstrap|initiali[sz]e)\b"
    r"|\bcould not (?:start|deploy|boot|initiali[sz]e)\b|\b(?:start(?:ing)?|deploying) failed\b",
    re.IGNORECASE,
)
_AT_ONCE_S = 2  # so soon behind what closed it the client tells of a connection
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SHARED = (
    r"(?:queue|topic|stream|subscription|exchange|bucket|consumer group|job|table|index|collection|volume|mailbox)"
)
# what services share and is called by a name: in quotes, or of several parts
_NAMED = re.compile(
    rf"""\b{_SHARED}s?:?\ ["'`](?P<quoted>[A-Za-z][\w.\-/]{{2,60}})["'`]
       | \b{_SHARED}s?:?\ (?P<compound>[A-Za-z][A-Za-z\d]*(?:[._\-/][A-Za-z\d]+)+)""",
    re.VERBOSE | re.IGNORECASE,
)


def link_answers(drawing: Drawing) -> None:
    """A call that failed with the status that another service logged right before: that answer is why."""
    answers = list(by_time(drawing, lambda n: n.kind == "http" and n.id not in drawing.labels))
    for b in by_time(drawing, lambda n: calls_another(n) and n.id not in drawing.labels):
        if b.id in drawing.parents or is_raised_on(drawing, b):
            continue
        for a in answers:
            found = follow(a, b, 0) if tells_of(b, a) and b.id not in drawing.above(a.id) else None
            if found is not None:
                why = f"it tells of the status that was answered {lag_words(found)} before in {percent(found.share)} of {b.count:,} cases"
                drawing.draw(Edge(a.id, b.id, "names", b.count, found.lag_s, 0.75, why))
                break


def link_refusals(drawing: Drawing, summary: Summary) -> None:
    """Calls that are told to have failed with a status of the client's doing, which one service alone answers, and the known failure of
    which that service tells meanwhile."""
    answered = summary["requests"].filter(pl.col("status").is_between(400, 499)).group_by("service", "status")
    counts = {(s, status): n for s, status, n in answered.agg(pl.col("count").sum()).iter_rows() if s is not None}
    for b in by_time(
        drawing, lambda n: n.severe and n.kind != "http" and n.count >= FEW and n.id not in drawing.labels
    ):
        status = read_numbers(b.text).status
        who = [s for (s, code), n in counts.items() if code == status and n >= b.count and s not in b.services]
        if status is None or len(who) != 1 or b.id in drawing.parents or is_raised_on(drawing, b):
            continue
        told = [
            a
            for a in drawing.nodes.values()
            if a.services == (who[0],) and a.role == "cause" and a.rule is not None and a.id not in drawing.labels
        ]
        told = [a for a in told if comes_before(a, b, drawing.slack) and b.id not in drawing.above(a.id)]
        told = [a for a in told if a.count >= FEW and not is_vague(a) and drawing.together(b, a) >= ENOUGH]
        if told:
            a = max(told, key=lambda n: (n.rule.confidence if n.rule else 0.0, n.count, n.id))
            why = f"it tells of the status {status}, which {who[0]} alone answers while that fails there"
            drawing.draw(Edge(a.id, b.id, "names", b.count, None, 0.75, why))


def link_loops(drawing: Drawing, span: Window | None) -> None:
    """Failures that say nothing of why, and set in soon after the only process began to end again and again."""
    if span is None:
        return
    loops = [n for n in drawing.nodes.values() if n.role == "exit" and n.count >= LOOP and n.id not in drawing.labels]
    for b in by_time(drawing, lambda n: _waits(n, drawing)):
        found = [a for a in loops if _sets_in(a, b, span) and not set(a.services) & set(b.services)]
        found = [a for a in found if b.id not in drawing.above(a.id)]
        if not found or len({a.services for a in found}) > 1 or not found[0].services:
            continue
        a = max(found, key=lambda n: (n.count, n.id))
        lag = _lag_s(a, b)
        why = f"sets in {span_words(lag)} after {', '.join(a.services)} began to end again and again, and stays with it"
        drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.55, why))


def link_lost_consumers(drawing: Drawing, span: Window | None) -> None:
    """Work that piles up from some time after the one error that another service, else the same, logged by then: who did that work may
    have gone with it."""
    piled = [n for n in by_time(drawing, _piles_up) if n.id not in drawing.parents and n.id not in drawing.labels]
    if span is None or not piled or piled[0].first is None:
        return
    b = piled[0]
    raised = [a for a in drawing.nodes.values() if _raises_before(a, b) and a.id not in drawing.labels]
    others = [a for a in raised if not set(a.services) & set(b.services)]
    before = others or raised
    if len(before) == 1 and before[0].id not in drawing.parents and not is_raised_on(drawing, before[0]):
        a = before[0]
        lag = _lag_s(a, b)
        if a.count <= FEW and lag <= LONG_S:
            who = "another service" if others else "the service"
            why = f"it is the only error of {who} before work piles up, {span_words(lag)} later"
            drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, ENOUGH, why))
    for c in piled[1:]:
        if c.services == b.services and c.id not in drawing.parents:
            lag = _lag_s(b, c)
            why = f"the same work piles up, {span_words(lag)} later"
            drawing.draw(Edge(b.id, c.id, "precedes", c.count, lag, 0.7, why))


def _piles_up(node: Node) -> bool:
    queue = node.rule is not None and node.rule.category == "queue"
    return queue and node.first is not None and node.count >= MANY and _PILED.search(node.message) is not None


def _raises_before(a: Node, b: Node) -> bool:
    """Whether a service raised an error before that."""
    if a.first is None or b.first is None or not a.severe or a.kind != "exception" or not a.services:
        return False
    return a.first < b.first


def link_stale(drawing: Drawing) -> None:
    """Failures that say how old is what they read: what ended with an error since then did not make it new, or failed again and again
    where it is named after that."""
    ends = [
        n for n in drawing.nodes.values() if n.role == "exit" and n.first is not None and n.id not in drawing.labels
    ]
    for b in by_time(drawing, lambda n: n.first is not None and _is_open(n, drawing)):
        age = _age_in(b.message)
        if age is None:
            _link_stale_by_name(drawing, b)
            continue
        found = [a for a in ends if not set(a.services) & set(b.services) and b.id not in drawing.above(a.id)]
        found = [a for a in found if 0 <= _lag_s(a, b) <= age.total_seconds()]
        if not found:
            said = {word.lower() for word in _WORD.findall(b.message)}
            _link_maker(drawing, b, said, age, f"it is {span_words(age.total_seconds())} old", latest=True)
            continue
        a = max(found, key=lambda n: (n.count, n.id))
        lag = _lag_s(a, b)
        who = ", ".join(a.services) or "a process"
        why = f"it says that what it reads is {span_words(age.total_seconds())} old, and {who} has ended with an error since {span_words(lag)} before"
        drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.6, why))


def _link_stale_by_name(drawing: Drawing, b: Node) -> None:
    """Where it says what is stale and not since when: a service with that in its name, which fails since before and goes on to."""
    said = _STALE.search(b.message)
    if said is None or b.count < MANY:
        return
    what = said["what"].lower()
    _link_maker(drawing, b, {what}, LATE, f"{what} is stale")


def _link_maker(
    drawing: Drawing, b: Node, named: Set[str], late: timedelta, stale: str, *, latest: bool = False
) -> None:
    """What is stale has one of these names: a service with such a name that has failed since then, and goes on to, makes it. Of several
    failures of it the first one counts, or the last one that set in, where that says more: what was there before made it still."""
    found = [a for a in drawing.nodes.values() if _makes(a, named, b, late) and b.id not in drawing.above(a.id)]
    if not found:
        return
    sign = 1 if latest else -1
    a = min(found, key=lambda n: (is_data_server(n.services[0]), n.id in drawing.labels, sign * _lag_s(n, b), n.id))
    lag = _lag_s(a, b)
    why = f"it says that {stale}, and {', '.join(a.services)} has failed again and again since {span_words(lag)} before"
    drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.6, why))


def _makes(a: Node, named: Set[str], b: Node, late: timedelta) -> bool:
    """Whether `a` fails again and again in a service that is named after what is stale, no longer before that is said and then too."""
    if a.first is None or b.first is None or a.last is None or a.count < LOOP or set(a.services) & set(b.services):
        return False
    return (
        bool(a.services)
        and all(not named.isdisjoint(re.split(r"[\W_]+", service.lower())) for service in a.services)
        and a.role in ("cause", "precursor", "exit", "timeout")
        and 0 <= _lag_s(a, b) <= late.total_seconds()
        and a.last > b.first
    )


def link_down_times(drawing: Drawing, summary: Summary, span: Window | None) -> None:
    """Connections that fail only while the one other service that had ended was not up again: from when it ended, or was asked to
    stop, to when it served again."""
    if span is None:
        return
    down: dict[str, tuple[Node, list[tuple[int, int]], float]] = {}
    for service, found in _ends(drawing, summary).items():
        starts, stops = _starts_of(service, summary), _stops_of(service, summary)
        spells = _down_spells([*stops, *(t for n in found for t in n.all_times)], starts, to_us(span.end))
        share = sum(until - since for since, until in _joined(spells)) / max(1, to_us(span.end) - to_us(span.start))
        most = max(n.count for n in found)  # several lines may tell of each end: the first one does
        down[service] = next(n for n in found if 2 * n.count >= most), spells, share
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and n.rule is not None and n.count >= 2):
        if b.rule is None or b.rule.category not in REACHED or b.id in drawing.parents or b.id in drawing.labels:
            continue
        during = [
            (a, service)
            for service, (a, spells, share) in down.items()
            if service not in b.services
            and drawing.names[b.id] <= {service}
            and share <= (DOWN_LONG if is_client_of(b.text, service) else DOWN_SHARE)
            and _share_inside(b, spells, drawing.slack) >= 0.9
        ]
        if len(during) == 1 and b.id not in drawing.above(during[0][0].id):
            a, service = during[0]
            why = f"only while {service} was down: between its end and its next start"
            drawing.draw(Edge(a.id, b.id, "precedes", b.count, None, 0.75, why))


def _ends(drawing: Drawing, summary: Summary) -> dict[str, list[Node]]:
    """What tells of the ends of each service's process: its exits, or where none is told its last words, behind each of which it starts."""
    ends: dict[str, list[Node]] = {}
    last: dict[str, list[Node]] = {}
    starts: dict[str, list[int]] = {}
    for n in by_time(drawing, lambda n: len(n.services) == 1 and n.id not in drawing.labels):
        if n.role == "exit" or (n.role == "lifecycle" and "exit" in n.marks):  # who is asked to end is down as well
            ends.setdefault(speaks_of(n.services[0], n.message) or "", []).append(n)
        elif n.role == "cause" and n.severe:
            (service,) = n.services
            if service not in starts:
                starts[service] = _starts_of(service, summary)
            if _are_last_words(n, starts[service]):
                last.setdefault(service, []).append(n)
    return last | ends


def _are_last_words(node: Node, starts: Sequence[int]) -> bool:
    """Whether the service starts anew, once and soon, each time that the failure was seen, and never else from then on."""
    times = [begin for begin, _ in episodes([node], ONE_END)]
    later = starts[bisect_right(starts, times[0]) :] if times else ()
    soon = [t for t in later if 0 <= t - times[max(0, bisect_right(times, t) - 1)] <= SOON_UP_US]
    return len(times) >= 2 and len(soon) == len(later) and len(times) - 1 <= len(later) <= len(times)


def _starts_of(service: str, summary: Summary) -> list[int]:
    """When a service was up again, in microseconds since 1970: where it says so, else where it started."""
    for mark in ("ready", "start"):
        if times := _marked(mark, service, summary):
            return times
    return []


def _stops_of(service: str, summary: Summary) -> list[int]:
    """When a service was asked to stop, where it also says when it is up: else it may have been back for long."""
    return _marked("stop", service, summary) if _marked("ready", service, summary) else []


def _marked(mark: str, service: str, summary: Summary) -> list[int]:
    rows = (
        summary["marks"].filter((pl.col("mark") == mark) & pl.col("at").is_not_null()).select("service", "text", "at")
    )
    return sorted(to_us(at) for of, text, at in rows.iter_rows() if speaks_of(of, text or "") == service)


def _joined(spells: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spells in order, those that overlap as one."""
    made: list[tuple[int, int]] = []
    for since, until in sorted(spells):
        if made and since <= made[-1][1]:
            made[-1] = made[-1][0], max(until, made[-1][1])
        else:
            made.append((since, until))
    return made


def _down_spells(ends: Sequence[int], starts: Sequence[int], last: int) -> list[tuple[int, int]]:
    """From each end to the next start, or to the end of the log."""
    spells = []
    for end in sorted(ends):
        place = bisect_right(starts, end)
        spells.append((end, starts[place] if place < len(starts) else last))
    return spells


def _share_inside(node: Node, spells: Sequence[tuple[int, int]], slack: int) -> float:
    """Share of a node's moments that lie in one of the spells, or as near as clocks tell."""
    inside = sum(any(since - slack <= t <= until + slack for since, until in spells) for t in node.all_times)
    return inside / len(node.all_times) if node.all_times else 0.0


def link_shutdowns(drawing: Drawing) -> None:
    """Connections that are refused or break off from the moment on at which the server that they name tells, in its own words, that
    it goes down."""
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and n.rule is not None and n.first is not None):
        if b.id in drawing.parents or b.id in drawing.labels or is_raised_on(drawing, b):
            continue
        found = [a for a in drawing.nodes.values() if _takes_down(a, b, drawing) and b.id not in drawing.above(a.id)]
        if found:
            a = min(found, key=lambda n: (n.first, n.id))
            lag = _lag_s(a, b)
            why = f"it names {', '.join(a.services)}, which says {span_words(lag)} before that it goes down"
            drawing.draw(Edge(a.id, b.id, "names", b.count, lag, 0.75, why))


def _takes_down(a: Node, b: Node, drawing: Drawing) -> bool:
    """Whether `a` is what the server says that `b` names, and leads to what `b` is; and `b` begins right behind it."""
    known = a.rule is not None and b.rule is not None and a.rule is not b.rule and b.rule.category in a.rule.explains
    if not known or a.role != "cause" or a.id in drawing.labels or a.first is None or b.first is None:
        return False
    if set(a.services) & set(b.services) or not drawing.names[b.id] & set(a.services):
        return False
    before = bisect_left(b.all_times, to_us(a.first) - drawing.slack)
    return before <= EARLY * len(b.all_times) and -drawing.slack <= _lag_s(a, b) * 1e6 <= to_us(a.first + DOWN) - to_us(
        a.first
    )


def link_data_servers(drawing: Drawing) -> None:
    """What clients of a kind of data server meet while such a server tells that it, or its set, is in trouble."""
    tellers = [
        n for n in drawing.nodes.values() if n.role == "cause" and n.id not in drawing.labels and "told" in n.marks
    ]
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and n.rule is not None and n.count >= FEW):
        if b.id in drawing.parents or b.id in drawing.labels or is_raised_on(drawing, b):
            continue
        ranked = []
        for a in tellers:
            known = a.rule is not None and b.rule is not None and b.rule.category in a.rule.explains
            if not known or a.rule is b.rule or not are_data_servers(a) or set(a.services) & set(b.services):
                continue
            met = any(is_client_of(b.text, service) for service in a.services)
            if met and comes_before(a, b, drawing.slack) and b.id not in drawing.above(a.id):
                ranked.append((drawing.together(b, a), a.id))
        together, cause = max(ranked, default=(0.0, ""))
        if together >= STAYS:
            why = f"the servers that it talks to tell of it in {percent(together)} of its time"
            drawing.draw(Edge(cause, b.id, "rule", b.count, None, 0.7, why))


def link_partings(drawing: Drawing) -> None:
    """Connections that a service loses right after a server tells that it closes one of a client of that name."""
    tellers = [n for n in drawing.nodes.values() if "told" in n.marks and n.role == "cause" and n.first is not None]
    for b in by_time(drawing, lambda n: _LOST.search(n.text) is not None and _is_open(n, drawing)):
        for a in tellers:
            named = [
                service for service in b.services if re.search(rf"(?<![\w.-]){re.escape(service)}(?![\w-])", a.message)
            ]
            if not named or set(a.services) & set(b.services) or b.id in drawing.above(a.id):
                continue
            found = follow(a, b, drawing.slack)
            if found is not None and found.share >= STAYS and found.lag_s <= _AT_ONCE_S:
                why = f"it closes a connection of {named[0]} {lag_words(found)} before in {percent(found.share)} of {b.count:,} cases"
                drawing.draw(Edge(a.id, b.id, "names", b.count, found.lag_s, 0.8, why))
                break


def link_lost_routes(drawing: Drawing) -> None:
    """Paths that are not known any more right after an application said that it, or a part of it, failed to start."""
    starts = [
        n for n in drawing.nodes.values() if _failed_to_start(n) and n.first is not None and n.id not in drawing.labels
    ]
    for b in by_time(
        drawing, lambda n: n.shift is not None and n.shift.status in (404, 410) and n.id not in drawing.parents
    ):
        found = [a for a in starts if b.id not in drawing.above(a.id) and 0 <= _lag_s(a, b) <= DOWN.total_seconds()]
        if not found:
            continue
        a = max(found, key=lambda n: (n.first, n.step, n.id))  # the last one stands at the end of its chain
        lag = _lag_s(a, b)
        why = f"paths that were answered are unknown from {span_words(lag)} after it failed to start"
        drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.7, why))


def _failed_to_start(node: Node) -> bool:
    return node.severe and node.role in ("cause", "wrapper", "exit") and _NO_START.search(node.message) is not None


def link_slow_statements(drawing: Drawing, span: Window | None) -> None:
    """Callers that gave up, or found no free connection, soon after statements of the database, or a server as a whole, began to
    be slow."""
    if span is None:
        return
    slow = [n for n in drawing.nodes.values() if (_is_slow_statement(n) or _is_held_up(n)) and n.count >= _SLOW]
    for b in by_time(drawing, lambda n: n.first is not None and _waits_for_servers(n) and n.id not in drawing.labels):
        if b.role == "proxy" and b.id in drawing.parents:
            continue
        found = [a for a in slow if b.id not in drawing.above(a.id) and _slows_down(a, b, span)]
        if not found:
            continue
        a = max(found, key=lambda n: (drawing.together(n, b), n.count, n.id))
        together = drawing.together(a, b)
        if together < STAYS_SLOW:
            continue
        lag = max(0.0, _lag_s(a, b) + _took(a).total_seconds())
        what = "work held up a whole process" if _is_held_up(a) else "statements of the database became slow"
        why = f"{what} from {span_words(lag)} before on, and in {percent(together)} of its time"
        drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.6, why))


def _waits_for_servers(node: Node) -> bool:
    """Whether callers, or a proxy in front of them, gave up waiting, or the other members of a set of servers did."""
    proxy = node.role == "proxy" and node.rule is not None and node.rule.category == "upstream_timeout"
    told = node.rule is not None and node.rule.name == _AWAY
    return told or (node.severe and (waited(node) or proxy))


def _is_slow_statement(node: Node) -> bool:
    return node.role == "precursor" and node.rule is not None and node.rule.category == "database_query"


def _is_held_up(node: Node) -> bool:
    """Whether a process says that work kept it from serving anything."""
    known = node.rule is not None and node.rule.category == "capacity" and "timeout" in node.rule.explains
    return known and node.role == "cause" and not node.stacks


def _slows_down(a: Node, b: Node, span: Window) -> bool:
    """Whether `a` begins before `b`, little of it long before, and not when the log does."""
    if a.first is None or b.first is None or a.first - _took(a) > b.first or not _is_quiet_before(a.first, span):
        return False
    times = a.all_times
    return bisect_left(times, to_us(b.first - LATE)) <= EARLY * len(times)


def _took(node: Node) -> timedelta:
    """How long a statement took of which it is told when it ends, as the sample of its texts says."""
    found = _TOOK.search(node.message)
    if found is None:
        return timedelta()
    ms, s = found["ms"], found["s"] or found["query"]
    return timedelta(milliseconds=float(ms)) if ms else timedelta(seconds=float(s))


def _is_quiet_before(first: datetime, span: Window) -> bool:
    return first - span.start >= QUIET * (span.end - span.start)


def _lag_s(a: Node, b: Node) -> float:
    """How many seconds the one begins before the other; both have times."""
    return (b.first - a.first).total_seconds() if a.first is not None and b.first is not None else 0.0


def _age_in(text: str) -> timedelta | None:
    """How old something is by a text: "prices are 47 minutes old", "rates.json is older than 90 min"."""
    found = _OLD.search(text)
    if found is None:
        return None
    number, unit = (found["many"], found["unit"]) if found["many"] else (found["more"], found["of"])
    return timedelta(seconds=float(number) * _SECONDS[unit[0].lower()])


def link_resources(drawing: Drawing) -> None:
    """Failures that say nothing of why, and name the same queue, topic or bucket as a failure of a known cause before them."""
    names = {n.id: found for n in drawing.nodes.values() if (found := _names_in(n.text))}
    told = list(by_time(drawing, lambda n: n.first is not None and _is_told(n, drawing)))
    for b in by_time(drawing, lambda n: n.first is not None and _is_open(n, drawing)):
        mine = names.get(b.id, ())
        for a in told if mine else [n for n in told if n.id in names]:
            name = _shared_name(a, names.get(a.id, ()), b, mine)
            if name is None:
                continue
            head = _carried(a, drawing)
            if head.id == b.id or b.id in drawing.above(head.id) or head.first is None:
                continue
            if (lag := _lag_s(head, b)) >= 0:
                why = f"both are about {name}, and it sets in {span_words(lag)} after the other"
                drawing.labels.discard(b.id)
                drawing.draw(Edge(head.id, b.id, "names", b.count, lag, 0.6, why))
                break


def _is_told(node: Node, drawing: Drawing) -> bool:
    """Whether the failure says what failed: it has a traceback or a known cause, or heads the record of one that has."""
    if node.id in drawing.labels:
        return _carried(node, drawing).id != node.id
    sure = node.stacks > 0 or (node.rule is not None and node.rule.confidence >= 0.5 and not is_vague(node))
    return node.role in ("cause", "wrapper") and node.severe and sure


def _is_open(node: Node, drawing: Drawing, *also: str) -> bool:
    """Whether nothing is known of why the failure happens; `also` holds further roles that it may have."""
    head = node.id not in drawing.parents and node.id not in drawing.labels and not is_raised_on(drawing, node)
    known = node.role == "cause" and not is_vague(node)
    return head and node.role in ("timeout", "wrapper", "cause", "precursor", *also) and not known and not node.stacks


def _carried(node: Node, drawing: Drawing) -> Node:
    """What the record carries that a label heads, and of a traceback the exception that left the program."""
    if node.id in drawing.labels:
        found = [drawing.nodes[e.cause] for e in drawing.edges if e.effect == node.id and e.kind == "wraps"]
        node = max(found, key=lambda n: (n.count, n.id), default=node)
    passed = {node.id}
    while is_raised_on(drawing, node):
        outer = [e.effect for e in drawing.edges if e.cause == node.id and e.kind in ("raised_from", "while_handling")]
        if not (left := [o for o in outer if o not in passed]):
            break
        passed.add(left[0])
        node = drawing.nodes[left[0]]
    return node


def _names_in(text: str) -> tuple[str, ...]:
    """The names that a text gives to something that services share."""
    return tuple(dict.fromkeys(str(m["quoted"] or m["compound"]) for m in _NAMED.finditer(text)))


def _shared_name(a: Node, of_a: Sequence[str], b: Node, of_b: Sequence[str]) -> str | None:
    """A name that one of the texts gives, and the other holds."""
    for names, text in ((of_a, b.text), (of_b, a.text)):
        for name in names:
            if name in text and re.search(rf"(?<![\w.\-/]){re.escape(name)}(?![\w\-/])", text):
                return name
    return None


def _waits(node: Node, drawing: Drawing) -> bool:
    """Whether the failure can be that of a waiting caller or of a watchdog: nothing is known of why, or no more than that
    nobody listened, and its text names nobody."""
    alone = node.id not in {*drawing.parents, *drawing.labels}
    refused = alone and _REFUSED.search(node.text) is not None
    piled = (
        alone and node.rule is not None and node.rule.category == "queue" and _PILED.search(node.message) is not None
    )
    return (refused or piled or _is_open(node, drawing, "proxy")) and node.count >= MANY and not drawing.names[node.id]


def _sets_in(a: Node, b: Node, span: Window) -> bool:
    if a.first is None or a.last is None or b.first is None or b.last is None or a.first > b.first:
        return False
    wait = LATE if _PILED.search(b.message) else max(timedelta(minutes=1), LATE_SHARE * (b.last - b.first))
    soon = b.first - a.first <= min(LATE, wait)
    quiet = _is_quiet_before(a.first, span)
    ends = a.last + LATE
    times = b.all_times
    return soon and quiet and bisect_right(times, to_us(ends)) >= STAYS * len(times)
