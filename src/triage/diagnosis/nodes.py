"""Nodes of the causal graph: every failure of a Summary with its figures, its place in a chain and what is known of it."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import zip_longest
from statistics import median
from typing import Any

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.diagnosis.knowledge import Rule, Rules
from triage.diagnosis.metrics import Layer, to_us, unready
from triage.diagnosis.shifts import Shift, shifts
from triage.diagnosis.silences import silences
from triage.grouping.signature import failure_id
from triage.schema import LEVELS
from triage.summary import Summary, http_id

# Where a role stands between a cause and what the user sees. Links run from low to high.
LADDER: Mapping[str, float] = {
    "precursor": 0,
    "cause": 1,
    "slow": 1.5,
    "silent": 1.5,
    "timeout": 2,
    "wrapper": 3,
    "exit": 4,
    "proxy": 5,
    "http": 6,
    "client": 7,
}
WARNING, ERROR = LEVELS.index("WARNING"), LEVELS.index("ERROR")
MEASURED = ("slow", "silent")  # seen in the figures of many records: an effect of something, rarely a cause by itself
SURE, AGAIN = 0.8, 10  # confidence of a rule and records from which on a cause counts at any level
STARTING = timedelta(seconds=60)  # longer no server is not ready, and
PROBED = timedelta(seconds=30)  # apart are two probes of one start at most
_US = timedelta(microseconds=1)
MOST = 400  # nodes that take part in the search for causes; with the ends of their chains up to twice as many

Place = tuple[str | None, str | None]  # service, instance


class Node(Struct, frozen=True):
    """One failure. `times` holds when it was seen, in microseconds, sorted, by service and instance."""

    id: str
    kind: str
    exception: str | None
    message: str
    template: str
    count: int
    first: datetime | None
    last: datetime | None
    services: tuple[str, ...]
    level: int
    stacks: int
    frame: str | None
    frames: tuple[str, ...]
    clusters: tuple[str, ...]
    marks: frozenset[str]
    rule: Rule | None
    role: str
    inner: bool  # the innermost exception of its stacks, or a text that stands alone
    times: Mapping[Place, tuple[int, ...]]
    weighed: bool  # takes part in the search for causes: of very many failures only the most telling do
    shift: Shift | None = None  # the figures of a step, where the failure is one
    insists: bool = False  # counts, though its program calls it no error: a known cause, again and again, and nothing worse beside it

    @property
    def text(self) -> str:
        """What rules and people read."""
        return (
            f"{self.exception}: {self.message}" if self.exception and self.message else self.exception or self.message
        )

    @property
    def step(self) -> float:
        """The rung of the ladder."""
        return LADDER.get(self.role, 1)

    @property
    def severe(self) -> bool:
        """At ERROR or above, a crash, an effect that users or the platform saw, or what insists."""
        return (
            self.level >= ERROR
            or self.stacks > 0
            or self.role in ("exit", "http", "client", "proxy", *MEASURED)
            or "oom" in self.marks
            or self.insists
        )

    @property
    def all_times(self) -> list[int]:
        """All times, sorted."""
        return sorted(t for times in self.times.values() for t in times)


def nodes(summary: Summary, rules: Rules, layer: Layer | None) -> dict[str, Node]:
    """All failures by id; HTTP failures as the chosen layer saw them."""
    https = summary["nodes"].filter(pl.col("kind") == "http")["id"]
    failing = _of_layer(summary["failures"], https, layer)
    activity = _of_layer(summary["activity"], https, layer)
    total = (
        failing.group_by("failure")
        .agg(
            pl.col("count").sum(), pl.col("first").min(), pl.col("last").max(), pl.col("level").max(), pl.col("stacks").sum(),
            services=pl.col("service").drop_nulls().unique().sort(),
        )
        .sort(["count", "failure"], descending=[True, False])
    )  # fmt: skip
    named = {r["id"]: r for r in summary["nodes"].iter_rows(named=True)}
    marks: dict[str, set[str]] = {}
    for failure, mark in summary["marked"].select("failure", "mark").iter_rows():
        marks.setdefault(failure, set()).add(mark)
    clusters: dict[str, list[str]] = {}
    for signature, failure in summary["members"].select("signature", "failure").iter_rows():
        clusters.setdefault(failure, []).append(signature)
    codes = _codes(summary)
    effects = set(summary["links"].filter(pl.col("kind") != "wraps")["effect"])
    known: dict[str, Rule] = {}
    abouts: dict[str, dict[str, Any]] = {}
    for failure in total["failure"]:
        about = named.get(failure)
        if about is None:
            continue
        abouts[failure] = about
        text = f"{about['exception']}: {about['message']}" if about["exception"] else about["message"] or ""
        if (rule := _recognise(rules, text, about, *codes.get(failure, (None, None)))) is not None:
            known[failure] = rule
    kept = _weightiest(total, marks, known, summary["links"])
    times: dict[str, dict[Place, list[int]]] = {}
    for f, service, instance, bucket in (
        activity.filter(pl.col("failure").is_in(list(kept)))
        .select("failure", "service", "instance", "bucket")
        .iter_rows()
    ):
        times.setdefault(f, {}).setdefault((service, instance), []).append(bucket)
    found: dict[str, Node] = {}
    for r in total.iter_rows(named=True):
        failure = r["failure"]
        if failure not in abouts:
            continue
        about, mine, rule = abouts[failure], frozenset(marks.get(failure, ())), known.get(failure)
        code, signal = codes.get(failure, (None, None))
        inner = failure not in effects
        found[failure] = Node(
            id=failure, kind="exit" if "exit" in mine else about["kind"], exception=about["exception"], message=about["message"] or "",
            template=about["template"] or "", count=r["count"], first=r["first"], last=r["last"], services=tuple(r["services"]),
            level=r["level"] if r["level"] is not None else -1, stacks=r["stacks"], frame=about["frame"], frames=tuple(about["frames"] or ()),
            clusters=tuple(sorted(clusters.get(failure, ()))), marks=mine, rule=rule,
            role="noise" if _says_nothing(about) else _role(about["kind"], mine, rule, r["level"], code, signal, inner=inner),
            inner=inner, times={p: tuple(sorted(t)) for p, t in times.get(failure, {}).items()}, weighed=failure in kept,
        )  # fmt: skip
    for service, status in unready(summary, layer) if layer is not None else ():
        id_ = http_id(status, service)
        if layer is not None and id_ in found and _is_for_a_start(found[id_], service, summary, layer):
            found[id_] = replace(found[id_], role="noise")
    found = _with_holders(found)
    steps = (_measured(shift, rules) for shift in (*shifts(summary, layer), *silences(summary)))
    return _insisting(_with_harmless(found, summary["links"])) | {n.id: n for n in steps}


def _is_for_a_start(node: Node, service: str | None, summary: Summary, layer: Layer) -> bool:
    """Whether answers to probes fail for no longer than a start takes at a time, and not to the end."""
    starts = episodes([node], PROBED)
    if not starts or any(end - begin > STARTING // _US for begin, end in starts):
        return False
    after = layer.of(summary["traffic"]).filter(
        pl.col("service").eq_missing(service), pl.col("bucket") > starts[-1][1], pl.col("requests") > pl.col("failed")
    )
    return after.height > 0


def _with_holders(found: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes; work that holds locks for long may be a cause where somebody waits for locks."""
    if not any(waits_for_locks(n) for n in found.values()):
        return dict(found)
    return {i: replace(n, role="cause") if "holder" in n.marks else n for i, n in found.items()}


def waits_for_locks(node: Node) -> bool:
    """Whether it tells of a wait for locks, or of one that was given up."""
    return node.role == "cause" and node.rule is not None and node.rule.name in ("lock-wait", "lock-queue")


def _with_harmless(found: Mapping[str, Node], links: pl.DataFrame) -> dict[str, Node]:
    """The nodes; exceptions that are only told of as telemetry that cannot be sent are as harmless as that."""
    told: dict[str, int] = {}
    raised: dict[str, set[str]] = {}
    for cause, effect, kind, count in links.select("cause", "effect", "kind", "count").iter_rows():
        if kind != "wraps":
            raised.setdefault(cause, set()).add(effect)
        elif effect in found and _is_telemetry(found[effect]):
            told[cause] = told.get(cause, 0) + count
    harmless = {i for i, count in told.items() if i in found and count >= found[i].count}
    while inner := {i for i, outer in raised.items() if i in found and outer <= harmless} - harmless:
        harmless |= inner
    return {i: replace(n, role="noise") if i in harmless else n for i, n in found.items()}


def _is_telemetry(node: Node) -> bool:
    return node.role == "noise" and node.rule is not None and node.rule.category == "observability"


def _insisting(found: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes, with those told that count at any level: job runners log failed jobs as warnings, and many a program prints without levels."""
    severe = [
        n for n in found.values() if n.severe and n.role != "precursor" and n.first is not None and n.last is not None
    ]

    def alone(node: Node) -> bool:
        return not any(
            s.first <= node.last and node.first <= s.last and AGAIN * s.count >= node.count  # type: ignore[operator]
            for s in severe
        )

    def insists(node: Node) -> bool:
        known = node.role == "cause" and node.rule is not None and node.rule.confidence >= SURE
        return known and node.count >= AGAIN and not node.severe and node.first is not None and alone(node)

    return {i: replace(n, insists=True) if insists(n) else n for i, n in found.items()}


def _weightiest(
    total: pl.DataFrame, marks: Mapping[str, set[str]], known: Mapping[str, Rule], links: pl.DataFrame
) -> set[str]:
    """Failures that may matter for causes: all where they are no more than MOST, else the most telling.

    The first of several orders, in turns: by marks, by how exactly a rule knows them, by stacks, by how often they were
    seen, by how late they set in. Failures that one record links with one of these come along.
    """
    if total.height <= MOST:
        return set(total["failure"])
    ranked = total.with_columns(
        marked=pl.col("failure").is_in(list(marks)),
        rank=pl.col("failure").replace_strict(
            {f: r.rank for f, r in known.items()}, default=None, return_dtype=pl.Int64
        ),
        severe=(pl.col("level").fill_null(0) >= ERROR) | (pl.col("stacks") > 0),
    )
    often = [pl.col("severe").not_(), -pl.col("count"), pl.col("failure")]
    orders = (
        ranked.filter("marked").sort(often),
        ranked.drop_nulls("rank").sort("rank", *often),
        ranked.filter(pl.col("stacks") > 0).sort(often),
        ranked.sort(often),
        ranked.filter("severe", pl.col("count") > 1).sort("first", *often, descending=[True, False, False, False]),
    )
    kept: dict[str, None] = {}
    for turn in zip_longest(*(order["failure"].head(MOST).to_list() for order in orders)):
        kept.update(dict.fromkeys(f for f in turn if f is not None))
        if len(kept) >= MOST:
            break
    chosen = set(list(kept)[:MOST])
    for cause, effect in (
        links.sort("count", "cause", "effect", descending=[True, False, False]).select("cause", "effect").iter_rows()
    ):
        if len(chosen) < 2 * MOST and not chosen.isdisjoint((cause, effect)):
            chosen |= {cause, effect}
    return chosen


def _of_layer(rows: pl.DataFrame, https: pl.Series, layer: Layer | None) -> pl.DataFrame:
    """Rows without the HTTP failures that other layers logged for the same requests."""
    answers = pl.col("failure").is_in(https.implode())
    own = layer.of(rows.filter(answers)) if layer is not None else rows.clear()
    return pl.concat([rows.filter(~answers), own])


def _measured(shift: Shift, rules: Rules) -> Node:
    """A step of the figures as a failure."""
    id_ = http_id(shift.status, shift.service) if shift.status is not None else failure_id(shift.kind, shift.service or "", shift.template)  # fmt: skip
    rule = _recognise(rules, shift.text, {"kind": "http", "exception": None}, None, None) if shift.status else None
    return Node(
        id=id_, kind=shift.kind, exception=None, message=shift.text, template=shift.template, count=shift.count, first=shift.first,
        last=shift.last, services=(shift.service,) if shift.service else (), level=-1, stacks=0, frame=None, frames=(), clusters=(),
        marks=frozenset(), rule=rule, role={"latency": "slow", "gap": "silent"}.get(shift.kind, "http"), inner=True,
        times={(shift.service, None): shift.times}, weighed=True, shift=shift,
    )  # fmt: skip


def _codes(summary: Summary) -> dict[str, tuple[int | None, str | None]]:
    rows = summary["exits"].drop_nulls("failure").sort("count", "code", "signal", nulls_last=True)
    return {r["failure"]: (r["code"], r["signal"]) for r in rows.iter_rows(named=True)}


def _recognise(rules: Rules, text: str, about: Mapping[str, Any], code: int | None, signal: str | None) -> Rule | None:
    kind, exception = about["kind"], about["exception"]
    status = int(text.removeprefix("HTTP ")) if kind == "http" else None
    found = rules.recognise(
        text,
        kind=str(kind),
        exception=str(exception) if exception else None,
        exit_code=code,
        signal=signal,
        status=status,
    )
    return found[0] if found else None


_MASK = re.compile(r"<\w+>")


def _says_nothing(about: Mapping[str, Any]) -> bool:
    """Whether a message holds no word: only ids, numbers and signs."""
    return about["kind"] == "message" and not re.search(r"[^\W\d_]{2}", _MASK.sub("", about["template"] or "x" * 2))


def _role(
    kind: str,
    marks: frozenset[str],
    rule: Rule | None,
    level: int | None,
    code: int | None,
    signal: str | None,
    *,
    inner: bool,
) -> str:
    if kind == "http":
        return "http"
    asked = code in (0, 143) or signal == "SIGTERM"  # to end, by whoever runs it
    if "exit" in marks:
        return "lifecycle" if asked else "exit"
    if "oom" in marks:
        return "cause"
    if "worker_exit" in marks:
        if asked:
            return "lifecycle"
        named = kind == "exception" and rule is not None and rule.role == "cause"
        return "cause" if named and inner else "exit"
    if marks & {"stop", "start", "ready", "deploy", "listen", "config", "holder"}:
        return "lifecycle"
    if kind == "exception" and not inner:
        return "wrapper"
    if rule is not None:
        role = rule.role
        if role in ("proxy", "client") and rule.rank >= 70 and (level or 0) < ERROR:
            return "precursor"  # a vague remark on a dependency, not the error of a proxy
        return "cause" if role == "exit" and kind == "exception" else role
    if kind == "exception":
        return "cause"
    return "cause" if (level or 0) >= ERROR else "precursor"


def episodes(nodes: Iterable[Node], apart: timedelta) -> list[tuple[int, int]]:
    """When each episode of the failures begins and ends, in microseconds: moments no further than this from each other are of one."""
    found: list[tuple[int, int]] = []
    for t in sorted(t for n in nodes for t in n.all_times):
        if found and t - found[-1][1] <= apart // _US:
            found[-1] = found[-1][0], t
        else:
            found.append((t, t))
    return found


def waited(node: Node) -> bool:
    """Whether it is a matter of time: a caller gave up, connections were held for too long, or answers take long or do not come."""
    return (is_short(node) and node.role == "cause") or node.role in ("timeout", *MEASURED)


def is_short(node: Node) -> bool:
    """Whether a pool has no connection left to give."""
    return node.rule is not None and node.rule.category == "db_pool_exhaustion"


class Follow(Struct, frozen=True):
    """How `b` follows `a`: share of b's moments with an a in the same cycle before it, median lag, lag over a's own pace."""

    share: float
    lag_s: float
    pace: float
    scope: str  # instance, service, any


def follow(a: Node, b: Node, slack_us: int) -> Follow | None:
    """Order of two failures in time, in the narrowest scope they share; None when b was never behind an a."""
    for scope, pairs in _scopes(a, b):
        lags: list[int] = []
        total = 0
        gaps: list[int] = []
        for times_a, times_b in pairs:
            total += len(times_b)
            gaps += [y - x for x, y in itertools.pairwise(times_a)]
            for t in times_b:
                place = bisect_right(times_a, t + slack_us)
                if place:
                    lags.append(max(0, t - times_a[place - 1]))
        if not lags:
            continue
        pace = median(gaps) if gaps else 0
        within = [x for x in lags if not pace or x <= max(1.5 * pace, slack_us)] or lags
        lag = median(within)
        return Follow(len(within) / total, lag / 1e6, lag / pace if pace else 0.0, scope)
    return None


def in_every_cycle(a: Node, b: Node) -> float:
    """Share of b's moments that have an a between them and the b before."""
    times, cycles = a.all_times, [None, *b.all_times]
    hits = 0
    for before, t in itertools.pairwise(cycles):
        place = bisect_right(times, t or 0)
        hits += place > 0 and (before is None or times[place - 1] > before)
    return hits / (len(cycles) - 1) if len(cycles) > 1 else 0.0


def _scopes(a: Node, b: Node) -> Iterator[tuple[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]]:
    same = [p for p in a.times if p in b.times and p[1] is not None]
    covered = sum(len(b.times[p]) for p in same)
    if same and covered * 2 >= sum(len(t) for t in b.times.values()):
        yield "instance", [(a.times[p], b.times[p]) for p in same]
    shared = {p[0] for p in a.times} & {p[0] for p in b.times}
    if shared:
        yield "service", [(_of_service(a, s), _of_service(b, s)) for s in sorted(shared, key=lambda s: s or "")]
    yield "any", [(tuple(a.all_times), tuple(b.all_times))]


def _of_service(node: Node, service: str | None) -> tuple[int, ...]:
    return tuple(sorted(t for p, times in node.times.items() if p[0] == service for t in times))


class Clock(Struct, frozen=True):
    """The log's window cut into equal slices, to ask whether two failures were active together."""

    start: int
    width: int
    count: int

    @staticmethod
    def over(first: datetime, last: datetime, count: int = 240) -> Clock:
        start, end = to_us(first), to_us(last)
        return Clock(start, max(1, -(-(end - start + 1) // count)), count)

    def active(self, node: Node) -> frozenset[int]:
        """Slices in which the node was seen."""
        return frozenset((t - self.start) // self.width for t in node.all_times)

    def together(self, a: frozenset[int], b: frozenset[int], coarse: int = 1) -> float:
        """Share of b's slices in which, or next to which, a was active too; `coarse` slices count as one."""
        if not b:
            return 0.0
        if coarse > 1:
            a, b = frozenset(s // coarse for s in a), frozenset(s // coarse for s in b)
        wide = a | {s - 1 for s in a} | {s + 1 for s in a}
        return len(b & wide) / len(b)
