"""Links between causes that order in time proves: what follows in one process, early signs, what sets in after a failure."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from statistics import median

from msgspec.structs import replace

from triage.diagnosis.drawing import (
    CRASHES,
    MOSTLY_WITHOUT,
    SATURATION,
    Drawing,
    Edge,
    by_time,
    calls_another,
    comes_before,
    is_raised_on,
    is_vague,
    lag_words,
    runs_without,
    shares_service,
)
from triage.diagnosis.metrics import to_us
from triage.diagnosis.nodes import Follow, Node, follow, in_every_cycle, is_short, waits_for_locks
from triage.diagnosis.places import SYSTEM, speaks_of
from triage.diagnosis.wording import percent, span_words

_WORDS = 24  # letters of a line by which it is known again
WATCHERS = SYSTEM | {"monit", "smartd", "collectd", "netdata", "node_exporter"}  # they speak of the whole host
DEVICE = timedelta(seconds=60)  # so soon programs fail on a device that fails
AFTERMATH_US = 60_000_000  # so soon what is left broken is used again
PILED_US = 600_000_000  # so late it was tried once more to take away what fills a disk
HERALD_S = 0.1  # so soon a program raises what it says in front of it that something failed
_AGAIN = 3  # times: fewer may be chance
CHANCE = 0.05  # that warnings which come all the time stand before each of some failures
LIMITS = {"resource_limit", "disk", "quota"}  # what one operation uses up, all others miss
AT_ONCE_S = 1.0  # what follows at once does so within this time
ECHO_S = 10.0  # a single line echoes another one within this time


def link_sequences(drawing: Drawing) -> None:
    """In one process, a failure that says that something inside failed follows the one that did."""
    for b in by_time(drawing, lambda n: n.role == "wrapper" or (n.role == "cause" and is_vague(n))):
        if b.id in drawing.parents or b.id in drawing.labels:
            continue
        best: tuple[tuple[float, float, str], Edge] | None = None
        beneath = drawing.beneath(b.id)
        for a in drawing.nodes.values():
            if (
                a.id == b.id
                or a.id in beneath
                or a.id in drawing.labels
                or a.step > b.step
                or not a.severe
                or not shares_service(a, b)
            ):
                continue
            if is_raised_on(drawing, a) or (a.role == b.role == "cause" and is_vague(a) and not a.stacks):
                continue
            found = follow(a, b, 2000)
            alike = min(a.count, b.count) / max(a.count, b.count)
            if found is None or found.share < 0.6 or not comes_before(a, b, drawing.slack):
                continue
            tight = found.share >= 0.95 and found.lag_s < 5 and b.count >= 3
            if b.role != "wrapper" and not (found.share >= 0.9 and alike >= (0.5 if tight else 0.8)):
                continue
            if (
                max(found.pace, _pace_of_lives(a, found)) > 0.5
                and b.count > 2
                and not (_tells_of_an_end(b) and in_every_cycle(a, b) >= 0.8)
            ):
                continue
            confidence = round(
                min(0.92, 0.45 + 0.25 * found.share + 0.15 * alike + 0.1 * (found.scope == "instance")), 3
            )
            why = f"follows it in {percent(found.share)} of cases in the same {found.scope}, {lag_words(found)} later"
            edge = Edge(a.id, b.id, "same_instance", b.count, found.lag_s, confidence, why)
            key = (found.lag_s, -float(a.step), a.id)
            if best is None or key < best[0]:
                best = (key, edge)
        if best is not None:
            drawing.draw(best[1])


def _pace_of_lives(a: Node, found: Follow) -> float:
    """The lag over the time between two lives of the process, where each of them sees the failure once; else 0."""
    times = a.all_times
    if found.pace or len(times) < 2:
        return 0.0
    return found.lag_s * 1e6 / max(1.0, median(y - x for x, y in itertools.pairwise(times)))


def link_unready(drawing: Drawing) -> None:
    """The platform finds that nothing listens right behind each end of the process: then that is why."""
    ends = [n for n in drawing.nodes.values() if n.role == "exit" and n.id not in drawing.labels]
    for b in by_time(drawing, lambda n: n.role == "wrapper" and n.rule is not None and n.rule.category == "port"):
        for a in ends if b.id not in drawing.parents and b.id not in drawing.labels else ():
            found = follow(a, b, 0) if set(a.services) & set(b.services) else None
            if (
                found is not None
                and found.share >= 0.9
                and found.lag_s <= AT_ONCE_S
                and b.id not in drawing.above(a.id)
            ):
                why = f"nothing listens once the process has ended, {lag_words(found)} before in {percent(found.share)} of cases"
                drawing.draw(Edge(a.id, b.id, "rule", b.count, found.lag_s, 0.85, why))
                break


def _tells_of_an_end(node: Node) -> bool:
    """Whether the failure is a runtime's word that all of a process ended: what each of its lives met before is the cause."""
    return node.role == "wrapper" and node.rule is not None and node.rule.category == "crash"


def link_echoes(drawing: Drawing) -> None:
    """Several lines tell of one event (the kernel's kill, the supervisor's note of it): the first one speaks for all."""
    causes = list(
        by_time(drawing, lambda n: n.role == "cause" and n.kind != "exception" and n.id not in drawing.parents)
    )
    for place, b in enumerate(causes):
        for a in causes[:place]:
            same = a.rule is not None and b.rule is not None and a.rule.category == b.rule.category
            if not same or a.id in drawing.labels or min(a.count, b.count) < 0.9 * max(a.count, b.count):
                continue
            found = follow(a, b, 0)
            near = found is not None and (a.count > 2 or found.lag_s <= ECHO_S)
            if found is not None and near and found.share >= 0.9 and found.pace < 0.3:
                # work that asks for a lock as often as it begins waits itself: others hold it
                waits = "holder" in a.marks and waits_for_locks(b)
                first, second = (b, a) if waits or _tells_more(b, a, found.lag_s) else (a, b)
                why = f"tells of the same event {lag_words(found)} {'later' if first is a else 'before'}"
                drawing.draw(Edge(first.id, second.id, "precedes", second.count, found.lag_s, 0.8, why))
                drawing.labels.add(second.id)
                drawing.nodes[first.id] = replace(first, level=max(a.level, b.level))  # it speaks for both
                break


def link_heralds(drawing: Drawing) -> None:
    """A line that only says that something failed, or what the traceback will say, each time right in front of that traceback of the same
    process."""
    for b in by_time(
        drawing, lambda n: n.role in ("wrapper", "cause") and n.kind == "message" and n.severe and not n.stacks
    ):
        if b.id in drawing.labels or b.id in drawing.parents or b.count < 2:
            continue
        ranked = []
        for a in drawing.nodes.values():
            told = a.kind == "exception" and a.inner and a.stacks and a.id not in drawing.labels and a.count >= b.count
            if not told or not set(b.services) <= set(a.services) or b.id in drawing.above(a.id):
                continue
            if b.role == "cause" and (b.count != a.count or not _says_the_same(b, a)):
                continue
            found = follow(b, a, 0)
            if found is not None and found.scope != "any" and found.share >= 0.9 and found.lag_s <= HERALD_S:
                ranked.append((found.lag_s, a.id))
        if ranked:
            lag, cause = min(ranked)
            why = "what is raised right behind it, in the same process, says what failed"
            drawing.draw(Edge(cause, b.id, "wraps", b.count, lag, 0.85, why), main=False)
            drawing.labels.add(b.id)


def _says_the_same(line: Node, raised: Node) -> bool:
    """Whether the exception's message begins with the words of the line, whatever the numbers in them."""
    said, told = (re.sub(r"\d+", "0", text.split("\n", 1)[0]) for text in (line.message, raised.message))
    return len(said) >= _WORDS and said[:_WORDS] in told


def _tells_more(b: Node, a: Node, lag_s: float) -> bool:
    """Whether the later one is the error of another service, and the earlier one, at the same moment, only a remark."""
    return b.severe and not a.severe and not set(a.services) & set(b.services) and lag_s <= 2.0


def link_stages(drawing: Drawing) -> None:
    """Two causes of one kind in one service, the milder before each of the graver: quota exceeded, then vastly exceeded."""
    causes = list(
        by_time(
            drawing, lambda n: n.role == "cause" and n.kind != "exception" and n.severe and n.id not in drawing.parents
        )
    )
    for b in causes:
        for a in causes:
            same = (
                a.rule is not None
                and b.rule is not None
                and a.rule.category == b.rule.category
                and a.rule.category in SATURATION
            )
            if (
                a.id == b.id
                or not same
                or a.id in drawing.labels
                or b.id in drawing.labels
                or a.count < b.count
                or b.count < 2
            ):
                continue
            if (
                set(a.services) & set(b.services)
                and comes_before(a, b, 0)
                and a.first != b.first
                and in_every_cycle(a, b) >= 0.8
            ):
                drawing.draw(
                    Edge(
                        a.id,
                        b.id,
                        "precedes",
                        b.count,
                        None,
                        0.7,
                        "the same trouble at an earlier stage, before each of them",
                    )
                )
                break


def link_crashes(drawing: Drawing) -> None:
    """A runtime that gives up right behind an error that the same service had logged again and again, each time."""
    for b in by_time(drawing, lambda n: n.exception in CRASHES and n.id not in drawing.labels):
        if b.id in drawing.parents:
            continue
        ranked = []
        for a in drawing.nodes.values():
            again = a.kind == "message" and a.severe and a.role == "cause" and a.count >= MOSTLY_WITHOUT * b.count
            if (
                not again
                or a.id in drawing.labels
                or not set(a.services) & set(b.services)
                or b.id in drawing.above(a.id)
            ):
                continue
            found = follow(a, b, 0)
            if found is not None and found.share >= 0.9 and found.lag_s <= ECHO_S and in_every_cycle(a, b) >= 0.8:
                ranked.append((found.lag_s, a.id, found))
        if ranked:
            _, cause, found = min(ranked, key=lambda x: x[:2])
            why = f"the program crashes {lag_words(found)} behind it, each time, and it had been logged again and again"
            drawing.draw(Edge(cause, b.id, "precedes", b.count, found.lag_s, 0.7, why))


def link_limits(drawing: Drawing) -> None:
    """One limit that several operations of a service run into: the one that met it first, and most often, speaks for all."""
    met = list(
        by_time(
            drawing,
            lambda n: (
                n.role == "cause"
                and n.severe
                and n.rule is not None
                and n.rule.category in LIMITS
                and n.id not in drawing.labels
            ),
        )
    )
    for b in met:
        if b.id in drawing.parents or is_raised_on(drawing, b):
            continue
        for a in met:
            same = (
                a.id != b.id and a.rule is b.rule and set(a.services) >= set(b.services) and a.id not in drawing.parents
            )
            if not same or a.count < b.count or is_raised_on(drawing, a) or b.id in drawing.above(a.id):
                continue
            if comes_before(a, b, drawing.slack) and drawing.together(a, b) >= 0.8:
                drawing.draw(
                    Edge(a.id, b.id, "rule", b.count, None, 0.7, "it runs into the same limit, at the same time")
                )
                break


def link_devices(drawing: Drawing) -> None:
    """The kernel tells of a failing device, and right after it, once, of what it does about it; programs fail on the same disk."""
    disks = [
        n
        for n in drawing.nodes.values()
        if n.role == "cause" and n.severe and n.rule is not None and n.rule.category == "disk" and n.first is not None
    ]
    told = sorted(
        (n for n in disks if n.services == ("kernel",) and n.id not in drawing.parents), key=lambda n: (n.first, n.id)
    )
    if not told:
        return
    a = told[0]
    for b in disks:
        free = b.id not in drawing.parents and b.id not in drawing.labels and a.id not in (b.id, *drawing.labels)
        if free and a.first is not None and b.first is not None and a.first <= b.first <= a.first + DEVICE:
            lag = (b.first - a.first).total_seconds()
            why = f"the kernel tells of the failing device {span_words(lag)} before"
            drawing.draw(Edge(a.id, b.id, "precedes", b.count, lag, 0.75, why))


def link_aftermath(drawing: Drawing) -> None:
    """What a failure leaves broken: a transaction or session that refuses everything from then on, however rare the failure was."""
    for b in by_time(drawing, lambda n: n.rule is not None and bool(n.rule.follows) and n.first is not None):
        if b.id in drawing.parents or b.rule is None or b.first is None:
            continue
        ranked = []
        for a in drawing.nodes.values():
            fits = (
                a.rule is not None
                and a.rule.category in b.rule.follows
                and a.rule is not b.rule
                and a.role in ("cause", b.role)  # a proxy's own errors take its backends out
            )
            before = a.last is not None and a.last <= b.first  # else it is what that leads to
            fits |= a.role == "exit" and a.role in b.rule.follows and shares_service(a, b) and before
            if not fits or b.id in drawing.above(a.id) or a.id in drawing.labels:
                continue
            moments = [t for t in a.all_times if 0 <= to_us(b.first) + drawing.slack - t <= AFTERMATH_US]
            if moments:
                ranked.append((not shares_service(a, b), -moments[-1], a.id, a))
        if ranked:
            _, moment, _, a = min(ranked, key=lambda r: r[:3])
            lag = max(0.0, (to_us(b.first) + moment) / 1e6)
            drawing.labels.discard(b.id)
            why = f"the first of {b.count:,} comes {span_words(lag)} behind it, and says that what it left is broken"
            # an end by itself tells no more of why than what it left behind
            drawing.draw(Edge(a.id, b.id, "rule", b.count, lag, 0.8, why), main=a.role != "exit")


def link_lost_instances(drawing: Drawing) -> None:
    """Instances of a service that keep ending leave all its requests to the others, which run out of what each of them has."""
    ends = [n for n in drawing.nodes.values() if n.role == "exit" and n.severe and n.count >= 3 and n.first is not None]
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and is_short(n)):
        if b.id in drawing.parents or b.id in drawing.labels:
            continue
        ranked = []
        for a in ends:
            platform = set(a.services) <= SYSTEM  # it tells of others
            of = {speaks_of(s, a.message) for s in a.services} if platform else set()
            if (
                not of & set(b.services)
                or a.id in drawing.labels
                or not comes_before(a, b, 0)
                or b.id in drawing.above(a.id)
            ):
                continue
            if (together := drawing.together(b, a)) >= 0.6:
                ranked.append((together, a.first, a))
        if ranked:
            together, _, a = max(ranked, key=lambda x: (x[0], x[1], x[2].id))
            why = f"other instances of it keep ending meanwhile, in {percent(together)} of its time: fewer do all the work"
            drawing.draw(Edge(a.id, b.id, "rule", b.count, None, 0.65, why))


def link_shortages(drawing: Drawing) -> None:
    """What runs out, because what fills it fails: a pool without connections while none can be made."""
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and is_short(n)):
        if b.id in drawing.parents or b.id in drawing.labels or is_raised_on(drawing, b):
            continue
        ranked = []
        for a in drawing.nodes.values():
            known = a.rule is not None and b.rule is not None and not is_vague(a) and b.rule.category in a.rule.explains
            if not known or a.role != "cause" or not a.severe or a.id in drawing.labels or a.id == b.id or is_short(a):
                continue
            fits = bool(set(a.services) & set(b.services)) and comes_before(a, b, drawing.slack) and a.count >= 3
            if fits and b.id not in drawing.above(a.id) and not is_raised_on(drawing, a):
                together = min(drawing.together(a, b), drawing.together(b, a))
                if together >= 0.8:
                    ranked.append((together, a))
        if ranked:
            together, a = max(ranked, key=lambda x: (x[0], x[1].count, x[1].id))
            why = f"it runs out while that fails: both in {percent(together)} of the time"
            drawing.draw(Edge(a.id, b.id, "rule", b.count, None, 0.7, why))


def link_known_effects(drawing: Drawing) -> None:
    """A failure that usually follows from a known one of the same service, and is only seen while that goes on, less often."""
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and n.rule is not None and not is_short(n)):
        if b.id in drawing.parents or b.id in drawing.labels or is_raised_on(drawing, b) or b.rule is None:
            continue
        ranked = []
        for a in drawing.nodes.values():
            known = a.rule is not None and b.rule.category in a.rule.explains and a.rule.category != b.rule.category
            if (
                not known
                or a.role != "cause"
                or not a.severe
                or a.id in drawing.labels
                or a.count < max(3, 2 * b.count)
            ):
                continue
            fits = bool(a.services) and set(a.services) >= set(b.services) and _goes_on_meanwhile(a, b)
            if not fits or b.id in drawing.above(a.id) or is_raised_on(drawing, a) or is_vague(a):
                continue
            found = follow(a, b, drawing.slack)
            at_once = found is not None and found.share >= 0.9 and found.lag_s <= AT_ONCE_S
            if at_once or drawing.together(b, a) >= 0.8:
                ranked.append((at_once, a.count, a.id, found))
        if ranked:
            at_once, _, cause, found = max(ranked, key=lambda x: x[:3])
            lag = found.lag_s if found is not None and at_once else None
            when = (
                f"comes {lag_words(found)} behind it"
                if found is not None and at_once
                else "is seen only while that goes on"
            )
            drawing.draw(Edge(cause, b.id, "rule", b.count, lag, 0.7, f"it usually follows from that, and {when}"))


def link_pile_ups(drawing: Drawing) -> None:
    """A disk that is full, behind what failed again and again to take away what fills it, in the same service."""
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and n.rule is not None and n.first is not None):
        if b.rule is None or b.rule.category != "disk" or b.first is None or b.id in drawing.labels:
            continue
        if b.id in drawing.parents or is_raised_on(drawing, b):
            continue
        start, ranked = to_us(b.first), []
        for a in drawing.nodes.values():
            known = (
                a.role == "cause" and a.rule is not None and a.rule.category == "storage" and "disk" in a.rule.explains
            )
            if not known or not shares_service(a, b) or b.id in drawing.above(a.id):
                continue
            before = [t for t in a.all_times if t < start]
            if len(before) >= _AGAIN and start - before[-1] <= PILED_US:
                ranked.append((len(before), a.id))
        if ranked:
            many, cause = max(ranked)
            why = f"what is not taken away piles up: it failed {many:,} times before"
            drawing.draw(Edge(cause, b.id, "rule", b.count, None, 0.75, why))


def _goes_on_meanwhile(a: Node, b: Node) -> bool:
    """Whether all of `b` lies between the first and the last of `a`."""
    if a.first is None or a.last is None or b.first is None or b.last is None:
        return False
    return a.first <= b.first and b.last <= a.last


def link_full_workers(drawing: Drawing) -> None:
    """Workers that take no more, because those that are at work wait for answers that do not come: each says so when its wait ends."""
    for b in by_time(drawing, lambda n: n.role == "cause" and n.severe and n.rule is not None and n.first is not None):
        if b.rule is None or b.rule.category != "capacity" or b.id in drawing.parents or b.id in drawing.labels:
            continue
        ranked = []
        for a in drawing.nodes.values():
            waits = a.role == "timeout" and a.stacks > 0 and a.first is not None and a.id not in drawing.labels
            if not waits or not set(a.services) & set(b.services) or b.id in drawing.above(a.id) or a.count < 3:
                continue
            soon = (
                to_us(a.first) - to_us(b.first) <= AFTERMATH_US
                if a.first is not None and b.first is not None
                else False
            )
            together = min(drawing.together(a, b), drawing.together(b, a))
            if soon and together >= 0.6 and "timeout" in b.rule.explains:
                ranked.append((together, a.count, a.id))
        if ranked:
            together, _, cause = max(ranked)
            why = f"its workers wait for answers that do not come: both in {percent(together)} of the time"
            drawing.draw(Edge(cause, b.id, "rule", b.count, None, 0.6, why))


def link_consequences(drawing: Drawing) -> None:
    """Errors of no known kind that set in after a known failure of the same service and stay with it."""
    for b in by_time(
        drawing,
        lambda n: (
            n.kind == "message"
            and n.role in ("cause", "wrapper")
            and n.severe
            and (n.role == "wrapper" or is_vague(n))
            and not n.stacks
        ),
    ):
        if b.id in drawing.parents or b.id in drawing.labels or any(e.cause == b.id for e in drawing.edges):
            continue
        ranked = []
        for a in drawing.nodes.values():
            if (
                a.id == b.id
                or a.id in drawing.labels
                or is_raised_on(drawing, a)
                or not a.severe
                or a.count < 2
                or not (set(a.services) & set(b.services) or (b.rule is not None and b.rule.category == "queue"))
            ):
                continue
            if (
                (is_vague(a) and not a.stacks)
                or a.role in ("http", "client")
                or not comes_before(a, b, 0)
                or b.id in drawing.above(a.id)
                or runs_without(a, b)
            ):
                continue
            together = drawing.together(a, b)
            if together < 0.6:
                continue
            found = follow(a, b, drawing.slack)
            if found is None or b.count <= 2 or _pace_of_lives(a, found) <= 0.5:
                ranked.append((together, a, found))
        if ranked:
            together, a, found = max(ranked, key=lambda x: (x[0], -x[1].step, x[1].id))
            why = f"an error of the same service that sets in after it and stays with it in {percent(together)} of its time"
            drawing.draw(
                Edge(
                    a.id, b.id, "precedes", b.count, found.lag_s if found else None, round(0.3 + 0.3 * together, 2), why
                )
            )


def link_precursors(drawing: Drawing) -> None:
    """Warnings that come before a root in the same service: again and again, or of the same kind. Early signs, no roots."""
    leads = {e.cause for edges in drawing.parents.values() for e in edges}
    heads = [n for n in drawing.nodes.values() if (n.severe or n.id in leads) and n.id not in drawing.parents]
    roots = [n for n in heads if n.role == "cause" or calls_another(n)]
    for early in by_time(drawing, lambda n: n.role == "precursor" and (not n.severe or n.rule is not None)):
        if any(e.cause == early.id or (e.effect == early.id and e.kind != "wraps") for e in drawing.edges):
            continue
        for root in sorted(roots, key=lambda n: (n.first is None, n.first, n.id)):
            if (
                root.count < 2
                or root.rule is None
                or not (root.rule.category in SATURATION or calls_another(early, root))
                or not comes_before(early, root, 0)
            ):
                continue
            if calls_another(root) and min(drawing.together(early, root), drawing.together(root, early)) < 0.8:
                continue
            if (
                early.rule is not None
                and early.rule.category == root.rule.category
                and (set(early.services) & set(root.services) or set(early.services) <= WATCHERS)
            ):
                why = f"an early warning of the same kind {'in the same service' if set(early.services) & set(root.services) else 'by the host'}"
                drawing.labels.discard(early.id)
                drawing.draw(Edge(early.id, root.id, "precedes", early.count, None, 0.7, why))
                if not set(early.services) <= WATCHERS:
                    break
                continue
            if early.count < root.count or root.count < _AGAIN or set(early.services) <= SYSTEM:
                continue
            found = follow(early, root, 0)
            if found is None or in_every_cycle(early, root) < 0.8 or _is_tighter(follow(root, early, 0), found):
                continue
            if _covered(early, found.lag_s, drawing) ** root.count > CHANCE:
                continue
            drawing.draw(Edge(early.id, root.id, "precedes", root.count, found.lag_s, 0.6, "comes before it each time"))
            break


def _covered(early: Node, lag_s: float, drawing: Drawing) -> float:
    """The share of the time in which failures were seen that lies within so many seconds behind one of these: how likely it is by chance."""
    clock = drawing.clock
    if clock is None:
        return 0.0
    times, lag = early.all_times, int(lag_s * 1e6)
    ends = [*times[1:], clock.start + clock.width * clock.count]
    return sum(min(end - t, lag) for t, end in zip(times, ends, strict=True)) / (clock.width * clock.count)


def _is_tighter(back: Follow | None, found: Follow) -> bool:
    """Whether the early one comes right behind the other most often, and long before the next: then it is what that leads to."""
    return back is not None and back.share >= 0.8 and back.lag_s < 0.2 * found.lag_s
