"""Links to what users and platforms see: exits, proxies, HTTP failures, and what they are effects of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from triage.diagnosis.drawing import (
    ENOUGH,
    EXACT_RANK,
    SATURATION,
    Drawing,
    Edge,
    by_time,
    calls_another,
    comes_before,
    is_raised_on,
    lag_words,
    runs_without,
    shares_service,
)
from triage.diagnosis.metrics import to_us
from triage.diagnosis.nodes import ERROR, LADDER, Follow, Node, follow, in_every_cycle
from triage.diagnosis.numbers import read_numbers
from triage.diagnosis.places import SYSTEM, are_data_servers, speaks_of
from triage.diagnosis.wording import percent

ENOUGH_SEEN = 0.4  # the same for what users and proxies saw: their servers see the failures of all services
ALL = 0.95  # of the answers: what fails as often explains them all
SOON_S = 1.0  # so soon who asked another service is told of its failure
AT_ONCE_S = 10.0  # the moments of refusals are known by stretches of a few seconds
STRAY = 3  # records: of so few it takes more than the time to explain ten times as many
ONSET_US = 60_000_000  # so soon after a single cause its effects begin
SAME_REQUESTS = 3  # that met both: then it is not only what else was slow
_PROBED = "probe, will be restarted"  # the cluster ends a container because its probe failed
_FRONTS = ("upstream_timeout", "proxy")  # what a server in front tells of those behind it
_GRACE_S = 120.0  # at most between the word that it is ended and the kill
_READING = "timed out (110: Operation timed out) while reading response header"


def link_retold(drawing: Drawing, retold: Mapping[str, str]) -> None:
    """An end of a process that is told of twice: the first to tell is only a label of the other."""
    for one, other in sorted(retold.items()):
        if one in drawing.nodes and other in drawing.nodes:
            drawing.draw(Edge(other, one, "wraps", drawing.nodes[one].count, 0.0, 0.95, "it tells of the same end"), main=False)  # fmt: skip
            drawing.labels.add(one)


def link_probed(drawing: Drawing) -> None:
    """A container that the cluster ends because its probe fails gets the time to end by itself, then is killed: that is its end."""
    ended = [n for n in drawing.nodes.values() if _is_ended_for_its_probe(n) and n.first is not None]
    for b in by_time(drawing, lambda n: n.role == "exit" and "exit" in n.marks and n.id not in drawing.labels):
        for a in ended:
            found = follow(a, b, 0) if a.id != b.id and b.id not in drawing.above(a.id) else None
            if (
                found is not None
                and found.share >= 0.9
                and found.lag_s <= _GRACE_S
                and not _are_of_different_units(drawing, a, b)
            ):
                why = f"the cluster ended it for its probe {lag_words(found)} before in {percent(found.share)} of {b.count:,} cases"
                drawing.draw(Edge(a.id, b.id, "rule", b.count, found.lag_s, 0.85, why))
                break


def link_effects(drawing: Drawing, role: str) -> None:
    """Exits, errors of proxies, HTTP failures and errors of clients: find what they are effects of."""
    platform_exits = any(_is_an_end(n) for n in drawing.nodes.values() if n.role == "exit")
    for b in by_time(drawing, lambda n: n.role == role and n.id not in drawing.labels):
        if role == "exit" and platform_exits and not _is_an_end(b):
            _note_exit(drawing, b)
            continue
        if b.id in drawing.parents and ((role == "exit" and "exit" in b.marks) or _is_refused(drawing, b)):
            continue
        ranked = sorted(
            ((_evidence(drawing, a, b), a) for a in drawing.nodes.values() if _may_cause(drawing, a, b)),
            key=lambda x: (-x[0][0], x[1].id),
        )
        ranked = [x for x in ranked if x[0][0] >= (ENOUGH_SEEN if role in ("http", "client") else ENOUGH)]
        if not ranked:
            continue
        if role == "proxy" and (answer := _answer_of(drawing, b)) is not None:
            why = "the record of the request says it in words"
            drawing.draw(Edge(answer.id, b.id, "wraps", b.count, 0.0, 0.95, why), main=False)
            drawing.labels.add(b.id)
            continue
        (_, edge), main = _nearest(drawing, ranked)
        drawing.draw(edge)
        if role == "http":
            for (_, edge), a in ranked:
                above = drawing.above(b.id)
                if a.id == main.id or a.id in above or not _own_share(drawing, a, b, main):
                    continue
                drawing.draw(edge)


def _is_refused(drawing: Drawing, call: Node) -> bool:
    """Whether it is known which service answered the call with the status that it tells of."""
    return call.kind != "http" and any(e.kind == "names" for e in drawing.parents[call.id])


def _answer_of(drawing: Drawing, said: Node) -> Node | None:
    """The failed answer of whose records the text is."""
    if said.kind != "message":
        return None
    own = set(said.clusters)
    answers = (n for n in drawing.nodes.values() if n.kind == "http" and n.shift is None and said.count <= n.count)
    return next((n for n in answers if own and own <= set(n.clusters)), None)


REACHED = {"network", "database_connection", "redis_connection", "queue", "dependency", "rpc", "search", "proxy"}


def link_breakdowns(drawing: Drawing) -> None:
    """Connections that fail each time right after another process was killed or ended: the process was at their other end."""
    ends = [
        n
        for n in drawing.nodes.values()
        if n.count >= 3 and n.id not in drawing.labels and ("oom" in n.marks or n.role == "exit")
    ]
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and n.rule is not None):
        if b.id in drawing.parents or b.id in drawing.labels or b.rule is None or b.rule.category not in REACHED:
            continue
        ranked: list[tuple[float, Node, Follow]] = []
        named: list[tuple[bool, int, Node]] = []
        for a in ends:
            other = not set(a.services) & set(b.services) and ("oom" in a.marks or bool(a.services))
            if not other or b.id in drawing.above(a.id) or not comes_before(a, b, drawing.slack):
                continue
            found = follow(a, b, 0)
            if found is None or found.share < 0.75:
                continue
            if found.share >= 0.9 and found.pace < 0.3 and in_every_cycle(b, a) >= 0.5:
                ranked.append((found.lag_s, a, found))
            elif drawing.names[b.id] & set(a.services) and drawing.together(a, b) >= 0.8:
                named.append(("exit" not in a.marks, -a.count, a))
        if ranked:
            _, a, found = min(ranked, key=lambda x: (x[0], x[1].id))
            why = (
                f"nothing answers after it: {lag_words(found)} behind it in {percent(found.share)} of {b.count:,} cases"
            )
            drawing.draw(Edge(a.id, b.id, "precedes", b.count, found.lag_s, 0.75, why))
        elif named:
            *_, a = min(named, key=lambda x: (x[0], x[1], x[2].id))
            why = f"its text names {', '.join(sorted(drawing.names[b.id] & set(a.services)))}, which keeps ending"
            drawing.draw(Edge(a.id, b.id, "names", b.count, None, 0.75, why))


def _nearest(drawing: Drawing, ranked: Sequence[tuple[tuple[float, Edge], Node]]) -> tuple[tuple[float, Edge], Node]:
    """Of the causes that as much speaks for, the one that stands next to the effect: the others lead to it."""
    best = ranked[0]
    for other in ranked[1:]:
        if other[0][0] >= best[0][0] - 0.15 and best[1].id in drawing.above(other[1].id):
            best = other
    return best


def _note_exit(drawing: Drawing, b: Node) -> None:
    """Another line on an end that the platform states itself: what comes behind it is its effect, all else only a note."""
    for a in by_time(drawing, _is_an_end):
        if _are_of_different_units(drawing, a, b):
            continue
        found = follow(a, b, 0)
        if (
            "worker_exit" not in b.marks
            and b.rule is not None
            and b.rule.category == "crash"
            and found is not None
            and found.share >= 0.6
        ):
            why = f"the platform's answer to it, {lag_words(found)} later"
            drawing.draw(Edge(a.id, b.id, "rule", b.count, found.lag_s, 0.8, why))
            return
    drawing.labels.add(b.id)


def _are_of_different_units(drawing: Drawing, a: Node, b: Node) -> bool:
    """Whether one line tells of another service's process than the other one, as far as it says so."""
    mine, theirs = ({speaks_of(s, n.message) for s in n.services} for n in (a, b))
    if drawing.names[b.id] & set(a.services) or drawing.names[a.id] & set(b.services) or mine & theirs - SYSTEM:
        return False
    return bool(drawing.names[b.id]) or bool(mine - SYSTEM and theirs - SYSTEM)


def _is_an_end(node: Node) -> bool:
    """Whether the platform tells of the very end of a process, or why it ends it."""
    return "exit" in node.marks or _is_ended_for_its_probe(node)


def _is_ended_for_its_probe(node: Node) -> bool:
    return node.role == "exit" and _PROBED in node.message


def _may_cause(drawing: Drawing, a: Node, b: Node) -> bool:
    """Whether `a` is of a kind that brings `b` about and no moment speaks against it; what is dear to ask is asked last."""
    return _is_apt(drawing, a, b) and not _is_stray(drawing, a, b) and not _ran_before(drawing, a, b)


def _ran_before(drawing: Drawing, a: Node, b: Node) -> bool:
    """Whether the one had gone on for long before the other: they do not explain each other then."""
    if _is_over_before(b, a) or (a.role == "proxy" and _is_over_before(a, b)):
        return True  # what a proxy logs stands beside each of its answers
    if runs_without(a, b) and not _share_requests(drawing, a, b):
        return True
    if b.role == "client" and (b.level < ERROR or (b.rule is not None and b.rule.category == "client")):
        return _share_before(b, a) > 0.1  # clients leave at any time
    if _is_probe(b) and _share_before(b, a) > 0.1:
        return True
    return b.kind == "exception" and _share_before(b, a) > 0.3


def _is_over_before(one: Node, other: Node) -> bool:
    """Whether the one was seen last well before the other was seen first, by whatever clocks."""
    return one.last is not None and other.first is not None and to_us(other.first) - to_us(one.last) > ONSET_US


def _is_apt(drawing: Drawing, a: Node, b: Node) -> bool:
    if a.id == b.id or a.id in drawing.labels or b.id in drawing.above(a.id):
        return False
    if b.kind == "http" and (tells_of(a, b) or _meets_some(a, b)):
        return False
    if b.message == "HTTP 500" and a.role == "proxy" and a.rule is not None and a.rule.category in _FRONTS:
        return False  # who waits for a backend in vain answers 502, 503 or 504
    if b.role == "http" and b.kind != "http" and a.role == "proxy":  # each tells of what it called itself
        return shares_service(a, b) or bool(drawing.names[b.id] & set(a.services))
    if b.role == "exit" and _is_probe(a):
        return _PROBED in b.message
    if b.role == "exit" and _is_refusal_of_server(a):
        return False
    if a.role == "exit" and ((_is_probe(b) and _is_ended_by(b, drawing)) or _READING in b.message):
        return False  # its probe failed before, and what is waited for an answer from was there to take the request
    if _is_probe(a) and b.role in ("http", "client"):
        return _names_status(a, b)  # a probe sees what the requests see, unless it is what asks
    if b.role == "timeout":
        other = bool(drawing.names[b.id] & set(a.services)) and not shares_service(a, b)
        slow = a.rule is not None and shares_service(a, b)
        slow = slow and (a.rule.category in SATURATION or "upstream_timeout" in a.rule.explains)  # type: ignore[union-attr]
        met = len(drawing.traces.get(a.id, frozenset()) & drawing.traces.get(b.id, frozenset())) >= SAME_REQUESTS
        return (
            not is_raised_on(drawing, a)
            and a.role != "timeout"
            and a.step <= b.step
            and (other or ((slow or met) and a.role != "precursor"))
        )
    if b.shift is not None and not _same_refusals(drawing, a, b):
        return False
    return a.role != "precursor" and not is_raised_on(drawing, a) and a.step < b.step


def _is_refusal_of_server(node: Node) -> bool:
    """Whether a server of data tells its clients that it is not to be had now: that ends no process."""
    told = node.kind == "message" and node.rule is not None and node.rule.category == "database_connection"
    return told and are_data_servers(node)


def _is_stray(drawing: Drawing, a: Node, b: Node) -> bool:
    """Whether `a` was seen a few times only, and not where the many of `b` begin: so few explain many only by what they set off."""
    if a.count > STRAY or a.count * 10 > b.count or a.id in drawing.parents:
        return False
    if _share_requests(drawing, a, b):
        return False
    mine, theirs = a.all_times, b.all_times
    if not mine or len(theirs) < 2:
        return False
    usual = (theirs[-1] - theirs[0]) / (len(theirs) - 1)
    place = bisect_left(theirs, mine[0] - drawing.slack)
    late = place > 0.1 * len(theirs)
    return late or theirs[place] - mine[0] > max(ONSET_US, 3 * usual)


def _is_ended_by(probe: Node, drawing: Drawing) -> bool:
    """Whether the platform ends the process because this probe fails."""
    return any(_is_ended_for_its_probe(n) and shares_service(n, probe) for n in drawing.nodes.values())


def _is_probe(node: Node) -> bool:
    return node.rule is not None and node.rule.category == "health_check"


def tells_of(a: Node, b: Node) -> bool:
    """Whether `a` is a caller in another service that tells of the answer `b`, each time right after it."""
    if not calls_another(a) or set(a.services) & set(b.services) or f"HTTP {read_numbers(a.text).status}" != b.message:
        return False
    told, caused = follow(b, a, 0), follow(a, b, 0)
    after = told is not None and told.share >= 0.9 and told.lag_s <= AT_ONCE_S
    return after and told is not None and (caused is None or told.lag_s < caused.lag_s)


def _meets_some(a: Node, b: Node) -> bool:
    """Whether `a` is a call of another service that fails with the status of the answers `b`, half as often or less: it meets some."""
    return calls_another(a) and 2 * a.count <= b.count and f"HTTP {read_numbers(a.text).status}" == b.message


def _share_requests(drawing: Drawing, a: Node, b: Node) -> bool:
    return bool(drawing.traces.get(a.id, frozenset()) & drawing.traces.get(b.id, frozenset()))


def _same_refusals(drawing: Drawing, a: Node, b: Node) -> bool:
    """Whether `a` may be why requests are refused: it names the status, or is logged where they are, or as often, each time at once."""
    if _names_status(a, b) or shares_service(a, b) or drawing.names[b.id] & set(a.services):
        return True
    found = follow(a, b, drawing.slack)
    alike = min(a.count, b.count) >= 0.5 * max(a.count, b.count)
    return alike and found is not None and found.share >= 0.9 and found.lag_s <= AT_ONCE_S


def _names_status(a: Node, b: Node) -> bool:
    """Whether the text of `a` tells of the very status that `b` is, about as often."""
    if b.shift is None or b.shift.status is None or min(a.count, b.count) < 0.5 * max(a.count, b.count):
        return False
    return read_numbers(a.text).status == b.shift.status


def _own_share(drawing: Drawing, a: Node, b: Node, main: Node) -> bool:
    """Whether `a` accounts for HTTP failures that the main cause does not: as severe, of the same kind, at the same moments."""
    blames = a.role == "proxy" and calls_another(a)  # a program that says who answered badly
    if not a.severe or not (blames or a.role in ("cause", "timeout", "wrapper")) or a.count > 1.5 * b.count:
        return False
    mine, theirs = (drawing.traces.get(n.id, frozenset()) for n in (a, b))
    if len(mine & theirs) >= max(SAME_REQUESTS, 0.8 * a.count):
        return not drawing.traces.get(main.id, frozenset()) & mine & theirs
    if blames:
        return False
    if drawing.together(b, a) < 0.8 or _covers(drawing, main, b):
        return False
    few = a.count <= STRAY and a.count * 10 <= b.count
    if few and not shares_service(a, b) and not _share_requests(drawing, a, b):
        return False
    if main.role in ("exit", "proxy"):
        found = follow(a, b, drawing.slack)
        return found is not None and found.pace < 0.3 and found.scope != "any" and shares_service(a, b)
    return True


def _covers(drawing: Drawing, main: Node, b: Node) -> bool:
    """Whether each of these answers has one of that failure right before it: nothing is left for others to explain."""
    found = follow(main, b, drawing.slack)
    near = found is not None and found.share >= 0.98 and found.lag_s <= SOON_S and found.pace < 0.3
    return near and ALL * b.count <= main.count <= b.count / ALL


def _evidence(drawing: Drawing, a: Node, b: Node) -> tuple[float, Edge]:
    """How much speaks for `a` as the cause of `b`, 0..1, and the link that says it."""
    found = follow(a, b, drawing.slack)
    together = (drawing.together(a, b) + drawing.together(b, a)) / 2
    named = drawing.names[b.id] & _speaks_of(drawing, a)
    names = bool(named) and not set(b.services) >= set(a.services)
    # what users see is logged by the server in front; what their browsers complain of is what it answered
    same = shares_service(a, b) or b.role == "http" or (b.role == "client" and a.role in ("http", "proxy", "timeout"))
    reasons = [_MECHANICS.get((_kind_of_cause(a), b.role), "")]
    score = 0.3 * together
    kind = "precedes"
    steady = found is not None and bool(found.pace) and found.pace < 0.3 and a.count >= 3
    if found is not None:
        score += (0.3 if found.scope == "instance" else 0.2 if found.scope == "service" else 0.1) * found.share
        if steady:
            score += 0.15
            reasons.append(f"{lag_words(found)} behind it in {percent(found.share)} of {b.count:,} cases")
            kind = "same_instance" if found.scope == "instance" else "precedes"
    if not steady and together:
        reasons.append(f"seen in the same stretches of time ({percent(together)})")
    if same or set(a.services) <= SYSTEM:
        score += 0.15
    mine, theirs = drawing.traces.get(a.id, frozenset()), drawing.traces.get(b.id, frozenset())
    if len(mine & theirs) >= 2 or (mine and mine == theirs):
        shared = len(mine & theirs) / min(len(mine), len(theirs))
        score += 0.4 * shared
        kind = "same_trace"
        reasons.append(f"in the same request {len(mine & theirs):,} times")
    if names:
        score += 0.5
        kind = "names"
        reasons.append(f"its text names {', '.join(sorted(named))}")
    if _names_status(a, b):
        score += 0.5
        kind = "names"
        reasons.append("its text tells of that status, as often")
    score += (0.2 if b.role == "http" else 0.1) * min(a.count, b.count) / max(a.count, b.count)
    if a.rule is not None and (
        b.role in a.rule.explains or (b.rule is not None and b.rule.category in a.rule.explains)
    ):
        score += 0.1
        kind = "rule" if kind == "precedes" else kind
    if found is not None and _is_behind(a, b, found):
        score += 0.25
        reasons.append("another service fails each time right before it is told of its answer")
    if _kills(a, b) and found is not None:
        score += 0.4 if found.pace < 0.3 else 0.1
        kind = "rule"
        reasons[0] = "the process was killed for its memory"
    if not names and not comes_before(a, b, drawing.slack):  # clocks of two services may differ; a name is proof enough
        early = _share_before(b, a)  # of what is explained, what came before the explanation
        score -= 0.25 * early if b.role == "http" else 0.1 + 0.2 * early if b.step > LADDER["exit"] else 0.3
    score -= (0.02 if b.role == "http" else 0.04) * max(0, b.step - a.step - 1)
    score += 0.01 * min(9, len(drawing.above(a.id)))
    if (
        together >= 0.6 and (a.role, b.role) in _NEXT
    ):  # a proxy's own error line is the nearest reason for its 502, and so on
        score += 0.25
    exact = a.rule is not None and a.rule.rank < EXACT_RANK and bool(a.rule.explains)
    if not a.severe and b.severe and not exact:  # a warning that names one limit exactly weighs as much as an error
        score -= 0.1
    lag = found.lag_s if found is not None and steady else None
    why = "; ".join(r for r in reasons if r) or "at the same time"
    return score, Edge(a.id, b.id, kind, b.count, lag, round(max(0.3, min(0.95, score)), 3), why)


def _is_behind(a: Node, b: Node, found: Follow) -> bool:
    """Whether `b` is told of a bad answer as often as another service fails, each time at once."""
    alike = min(a.count, b.count) >= 0.8 * max(a.count, b.count)
    answered = calls_another(b) and read_numbers(b.text).status is not None
    return answered and alike and not shares_service(a, b) and found.share >= 0.9 and found.lag_s <= SOON_S


def _speaks_of(drawing: Drawing, node: Node) -> set[str]:
    """The services of a failure; of an end that a platform tells of, also those that it ends for."""
    if node.role != "exit":
        return set(node.services)
    causes = [drawing.nodes[e.cause] for e in drawing.parents.get(node.id, ())]
    return {s for n in (node, *causes) for s in n.services}


def _kind_of_cause(node: Node) -> str:
    return node.role if node.role in ("exit", "proxy", "http", "timeout") else "failure"


_MECHANICS = {
    ("failure", "exit"): "the process ends on it",
    ("timeout", "exit"): "the process is ended for it",
    ("failure", "proxy"): "the backend behind the proxy fails",
    ("exit", "proxy"): "the proxy finds no process that listens",
    ("timeout", "proxy"): "the proxy waits for a backend that waits itself",
    ("exit", "http"): "no instance is up to answer",
    ("proxy", "http"): "the proxy answers for a backend that does not",
    ("timeout", "http"): "the request ends when the wait does",
    ("failure", "http"): "requests fail where it is raised",
    ("http", "client"): "the client sees the failed answer",
    ("proxy", "client"): "the client sees the proxy's answer",
    ("failure", "timeout"): "callers give up waiting for it",
}
_NEXT = {("proxy", "http"), ("http", "client"), ("proxy", "client")}


def _share_before(b: Node, a: Node) -> float:
    """Share of b's moments that came before the first a."""
    if a.first is None or not b.times:
        return 0.0
    times = b.all_times
    return bisect_left(times, to_us(a.first)) / len(times)


def _kills(a: Node, b: Node) -> bool:
    memory = "oom" in a.marks or (a.rule is not None and a.rule.category == "memory" and a.role == "cause")
    return (
        memory and b.role == "exit" and ("KILL" in b.message.upper() or "137" in b.message or "signal 9" in b.message)
    )
