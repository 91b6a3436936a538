"""Steps in what a service did before: answers that take longer, requests that it refuses, held against its own usual."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import polars as pl
from msgspec import Struct

from triage.diagnosis.metrics import Layer, find_wall, to_us
from triage.diagnosis.wording import percent, span_words
from triage.schema import TIME
from triage.summary import Summary
from triage.sums import BAND, LATENCY_BASE, LATENCY_MIN_MS

SLICES = 48  # the window is cut into so many, to ask where a stretch of it differs from the rest
ENOUGH_BEFORE = 30  # requests that make a usual
ENOUGH_INSIDE = 20
CHANCE = 24.0  # log of how much likelier a step is than chance; of the thousands of stretches tried none comes near it by luck
LEAST_US = 90_000_000  # shorter is a hiccup, or a program that warms up
WARM_UP_US = 240_000_000  # after a start or a deploy, so much is forgiven if it ends by itself
CALM = 0.2  # before, what is called slow or refused was at most so frequent, as a share of what it became
MEDIAN_TIMES, MEDIAN_MS = 2.5, 200.0  # a step of the median counts from here on
TAIL_TIMES, TAIL_MS, TAIL_SHARE = 3.0, 500.0, 0.2  # and of the slowest, where so many are slow
HARM_MS = 1000.0  # answers that take so long are felt: then the step can be an incident by itself
HARM_SHARE = 0.1  # if it is so much of what the service answers
MOST_ROUTES = 24  # of a service, the most frequent ones
REFUSED_SHARE = 0.05
KNOWN_SHARE = 0.6  # of unknown paths, on routes that are known at other times
INSTEAD = 0.75  # refusals instead of successes: so many successes at most are left
_UNSAID = (
    404,
    405,
    408,
    410,
    499,
)  # unknown paths are judged by their route; clients that left say nothing of a refusal
_STARTS = ("start", "ready", "deploy", "listen", "config")


class Shift(Struct, frozen=True):
    """A failure that no single record shows: the figures of a stretch of time, and the requests that stand for it.

    `bears` says that it can be an incident by itself. `times` are moments at which it was seen, in microseconds.
    """

    kind: str  # latency, http, gap
    service: str | None
    text: str
    template: str
    why: str
    count: int
    first: datetime
    last: datetime
    times: tuple[int, ...]
    evidence: tuple[tuple[str, int], ...]
    bears: bool
    status: int | None = None


class Stretch(Struct, frozen=True):
    """Buckets from `start` to `end` (exclusive, microseconds) in which a share of requests was higher, and how surely."""

    start: int
    end: int
    inside: float
    outside: float
    weight: float


def shifts(summary: Summary, layer: Layer | None) -> list[Shift]:
    """All steps of a log, those of the layer that requests are counted at, and latencies of every service."""
    if layer is None:
        return []
    vanished = list(_vanished(summary, layer))
    told = {(one.service, one.status) for one in vanished}
    refused = [one for one in _refusals(summary, layer) if (one.service, one.status) not in told]
    return [*_latencies(summary), *refused, *vanished]


# -- a stretch that differs from the rest ----------------------------------------------------------------------------


def find_stretch(totals: Mapping[int, int], hits: Mapping[int, int], width: int) -> Stretch | None:
    """Where hits are so much denser than elsewhere that chance does not explain it, with a usual before it.

    `totals` and `hits` are counts by bucket of `width` microseconds. Of all stretches of up to SLICES slices the one with
    the greatest likelihood ratio is taken; its edges are then set on the buckets.
    """
    times = sorted(totals)
    if not times:
        return None
    begin, size = times[0], max(width, -(-(times[-1] - times[0] + width) // SLICES))
    count = (times[-1] - begin) // size + 1
    n, k = [0] * (count + 1), [0] * (count + 1)
    for at in times:
        n[(at - begin) // size + 1] += totals[at]
        k[(at - begin) // size + 1] += hits.get(at, 0)
    n, k = list(itertools.accumulate(n)), list(itertools.accumulate(k))
    whole = _entropy(k[-1], n[-1])
    best: tuple[float, int, int] | None = None
    for i in range(bisect_left(n, ENOUGH_BEFORE), count):
        for j in range(i + 1, count + 1):
            inner, hit = n[j] - n[i], k[j] - k[i]
            if hit * n[-1] <= k[-1] * inner:
                continue
            weight = _entropy(hit, inner) + _entropy(k[-1] - hit, n[-1] - inner) - whole
            if best is None or weight > best[0]:
                best = (weight, i, j)
    if best is None or best[0] < CHANCE:
        return None
    weight, i, j = best
    inside = (k[j] - k[i]) / (n[j] - n[i])
    outside = (k[-1] - k[j] + k[i]) / max(1, n[-1] - n[j] + n[i])
    near = [t for t in times if begin + (i - 1) * size <= t < begin + (j + 1) * size]
    edges = _edges([(t, totals[t], hits.get(t, 0)) for t in near], inside, outside)
    return None if edges is None else Stretch(edges[0], edges[1] + width, inside, outside, weight)


def _entropy(hits: int, total: int) -> float:
    """The log likelihood of so many hits at their own rate."""
    if not 0 < hits < total:
        return 0.0
    return hits * math.log(hits / total) + (total - hits) * math.log((total - hits) / total)


def _edges(buckets: Sequence[tuple[int, int, int]], inside: float, outside: float) -> tuple[int, int] | None:
    """The run of buckets that speaks most for the one rate against the other: its first and its last bucket."""
    p, q = min(inside, 0.999), max(outside, 0.001)
    if p <= q:
        return None
    for_hit, for_miss = math.log(p / q), math.log((1 - p) / (1 - q))
    best, run, start, found = 0.0, 0.0, 0, None
    for at, total, hit in buckets:
        if run <= 0.0:
            run, start = 0.0, at
        run += hit * for_hit + (total - hit) * for_miss
        if run > best:
            best, found = run, (start, at)
    return found


_Cell = tuple[int, int, int]  # bucket, band of latency, answers


# -- latency ---------------------------------------------------------------------------------------------------------


class _Slower(Struct, frozen=True):
    """One route, or all of a service, whose answers take longer from some time on."""

    name: str
    stretch: Stretch
    band: int  # from this band on, an answer is slow
    slow: int
    before: tuple[float, float]  # median and 95th percentile, ms
    after: tuple[float, float]
    rows: pl.DataFrame  # of slow answers in the stretch


def _latencies(summary: Summary) -> Iterator[Shift]:
    """At most one for each service: its routes that slow down together are one step."""
    routes = summary["route_pace"].drop_nulls("band")
    whole = summary["pace"].drop_nulls("band")
    seen = whole.group_by("service", "kind").agg(pl.col("count").sum()).sort("count", "kind", descending=[True, False])
    seen = seen.unique("service", keep="first", maintain_order=True).sort("service")
    for service, kind, answers in seen.select("service", "kind", "count").iter_rows():
        mine = (pl.col("kind") == kind) & pl.col("service").eq_missing(service)
        parts = routes.filter(mine).partition_by("method", "route", as_dict=True)
        counts = {path: int(rows["count"].sum()) for path, rows in parts.items()}
        named = [path for path, count in counts.items() if count >= ENOUGH_BEFORE + ENOUGH_INSIDE]
        named.sort(key=lambda path: (-counts[path], _path(*path)))
        slower = [_slower(_path(*path), parts[path], summary.widths["route_pace"]) for path in named[:MOST_ROUTES]]
        if sum(counts[path] for path in named) < 0.5 * answers:
            slower.append(_slower("", whole.filter(mine), summary.widths["pace"]))
        found = [s for s in slower if s is not None and not _warms_up(s.stretch, service, summary)]
        if any(s.name for s in found):
            found = [s for s in found if s.name]
        if found:
            rows, steps = (
                summary[t].filter(pl.col("kind") == kind, pl.col("service").eq_missing(service))
                for t in ("requests", "latency")
            )
            yield _told(found, service, whole.filter(mine), find_wall(rows, steps))


def _path(method: str | None, route: str | None) -> str:
    return " ".join(p for p in (method, route) if p)


def _slower(name: str, rows: pl.DataFrame, width: int) -> _Slower | None:
    cells = list(rows.select("bucket", "band", "count").iter_rows())
    if not _varies(cells):
        return None
    totals = _sums(cells)
    answered = sum(totals.values())
    best: tuple[Stretch, int] | None = None
    for band in sorted({band for _, band, _ in cells})[1:]:
        hits = _sums([c for c in cells if c[1] >= band])
        if not ENOUGH_INSIDE / 2 <= sum(hits.values()) <= 0.9 * answered:
            continue
        stretch = find_stretch(totals, hits, width)
        if stretch is not None and (best is None or stretch.weight > best[0].weight):
            best = (stretch, band)
    if best is None or best[0].end - best[0].start < LEAST_US:
        return None
    stretch, band = best
    inside = [c for c in cells if stretch.start <= c[0] < stretch.end]
    before = [c for c in cells if c[0] < stretch.start]
    if _many(before) < ENOUGH_BEFORE or _many(inside) < ENOUGH_INSIDE:
        return None
    slow = _many([c for c in inside if c[1] >= band])
    share, usual = slow / _many(inside), _many([c for c in before if c[1] >= band]) / _many(before)
    then, now = _spread(before), _spread(inside)
    median = now[0] >= MEDIAN_TIMES * then[0] and now[0] - then[0] >= MEDIAN_MS
    tail = now[1] >= TAIL_TIMES * then[1] and now[1] - then[1] >= TAIL_MS and share >= TAIL_SHARE
    if usual > CALM * share or not (median or tail):
        return None
    reach = pl.col("bucket").is_between(stretch.start, stretch.end, closed="left")
    return _Slower(name, stretch, band, slow, then, now, rows.filter(reach, pl.col("band") >= band))


def _varies(cells: Sequence[_Cell]) -> bool:
    """Whether a part of the time is slower by two bands than another: most routes are done with here."""
    begin = min(at for at, _, _ in cells)
    span = max(at for at, _, _ in cells) - begin + 1
    count = max(4, min(SLICES, _many(cells) // 10))
    slices: dict[int, list[_Cell]] = {}
    for cell in cells:
        slices.setdefault((cell[0] - begin) * count // span, []).append(cell)
    shown = [(_band(part, 0.5), _band(part, 1 - TAIL_SHARE)) for part in slices.values() if _many(part) >= 5]
    return any(max(bands) - min(bands) >= 2 for bands in zip(*shown, strict=True))


def _sums(cells: Sequence[_Cell]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for at, _, count in cells:
        sums[at] = sums.get(at, 0) + count
    return sums


def _many(cells: Sequence[_Cell]) -> int:
    return sum(count for _, _, count in cells)


def _band(cells: Sequence[_Cell], share: float) -> int:
    """The band by which so much of the answers has come."""
    counts: dict[int, int] = {}
    for _, band, count in cells:
        counts[band] = counts.get(band, 0) + count
    left = math.ceil(_many(cells) * share)
    for band in sorted(counts):
        left -= counts[band]
        if left <= 0:
            return band
    return max(counts)


def _spread(cells: Sequence[_Cell]) -> tuple[float, float]:
    """Median and 95th percentile in ms, from counts per band, at the band's middle."""
    return _middle(_band(cells, 0.5)), _middle(_band(cells, 0.95))


def _middle(band: int) -> float:
    return float(LATENCY_MIN_MS * LATENCY_BASE ** ((band + 0.5) * BAND))


def _warms_up(stretch: Stretch, service: str | None, summary: Summary) -> bool:
    """Whether a start or a deploy lies right before a stretch that soon ends by itself."""
    if stretch.end - stretch.start > WARM_UP_US:
        return False
    marks = summary["marks"].filter(
        pl.col("mark").is_in(_STARTS),
        pl.col("bucket").is_between(stretch.start - WARM_UP_US, stretch.end),
        pl.col("service").is_null() | pl.lit(service is None) | pl.col("service").eq_missing(service),
    )
    return marks.height > 0


def _told(found: Sequence[_Slower], service: str | None, whole: pl.DataFrame, wall: float | None) -> Shift:
    main = max(found, key=lambda s: (s.slow * math.log(s.after[1] / max(s.before[1], 0.001)), s.name))
    joined = [s for s in found if s.stretch.start < main.stretch.end and main.stretch.start < s.stretch.end]
    rows = pl.concat([s.rows for s in joined])
    start, end = min(s.stretch.start for s in joined), max(s.stretch.end for s in joined)
    answered = int(whole.filter(pl.col("bucket").is_between(start, end, closed="left"))["count"].sum())
    slow = int(rows["count"].sum())
    share = slow / max(slow, answered)
    more = f" and {len(joined) - 1} more" if len(joined) > 1 else ""
    name = f"{main.name or 'requests'}{more}"
    text = f"{name}: median {_ms(main.after[0])} ({_ms(main.before[0])} before), p95 {_ms(main.after[1])} ({_ms(main.before[1])} before)"  # fmt: skip
    why = (
        f"{percent(share)} of the answers in its time are slower than {_ms(_low(main.band))}; before, "
        f"nineteen of twenty came within {_ms(main.before[1])}"
    )
    if wall is not None and wall >= main.after[1] / 2:
        why += f"; the slowest run into a limit at {_ms(wall)}"
    shown = rows.sort("band", "first", "source", "line", descending=[True, False, False, False], nulls_last=True)
    return Shift(
        "latency", service, text, "latency", why, slow, rows["first"].min(), rows["last"].max(), _moments(rows),  # type: ignore[arg-type]
        tuple(shown.select("source", "line").head(3).iter_rows()),
        bears=share >= HARM_SHARE and main.after[1] >= HARM_MS,
    )  # fmt: skip


def _low(band: int) -> float:
    return float(LATENCY_MIN_MS * LATENCY_BASE ** (band * BAND))


def _ms(value: float) -> str:
    return span_words(value / 1000) if value >= 1 else "under 1 ms"


def _moments(rows: pl.DataFrame) -> tuple[int, ...]:
    return tuple(sorted({to_us(t) for name in ("first", "last") for t in rows[name].drop_nulls()}))


# -- requests that are refused ---------------------------------------------------------------------------------------


def _refusals(summary: Summary, layer: Layer) -> Iterator[Shift]:
    """A status of 400..499 that from some time on is answered far more often than before."""
    width = max(summary.widths["refused"], summary.widths["traffic"])
    refused = layer.of(summary["refused"]).with_columns(pl.col("bucket") // width * width)
    traffic = layer.of(summary["traffic"]).with_columns(pl.col("bucket") // width * width)
    lost = _lost_routes(summary, layer).group_by("service", "status").agg(pl.col("missed").sum())
    seen = refused.group_by("service", "status").agg(pl.col("count").sum())
    seen = seen.join(lost, on=["service", "status"], how="left", nulls_equal=True)
    seen = seen.filter(~pl.col("status").is_in(_UNSAID) | (pl.col("missed") >= KNOWN_SHARE * pl.col("count"))).drop(
        "missed"
    )
    for service, status, count in seen.sort("service", "status").iter_rows():
        if count < ENOUGH_INSIDE / 2:
            continue
        mine = refused.filter(pl.col("service").eq_missing(service))
        all_of_it = traffic.filter(pl.col("service").eq_missing(service))
        rows = mine.filter(pl.col("status") == status)
        stretch = find_stretch(_by_bucket(all_of_it, "requests"), _by_bucket(rows, "count"), width)
        if stretch is None or stretch.end - stretch.start < LEAST_US / 2 or stretch.inside < REFUSED_SHARE:
            continue
        before = _rates(all_of_it, mine, None, stretch.start, width)
        inside = _rates(all_of_it, mine, stretch.start, stretch.end, width)
        usual = int(rows.filter(pl.col("bucket") < stretch.start)["count"].sum()) / max(1.0, before[2])
        if usual > CALM * stretch.inside or before[2] < ENOUGH_BEFORE:
            continue
        instead = inside[0] <= INSTEAD * before[0] and inside[1] >= 0.5 * before[1] and stretch.inside >= HARM_SHARE
        if instead or status not in _UNSAID:
            yield _refusal(rows, service, status, stretch, usual, bears=instead)


def _lost_routes(summary: Summary, layer: Layer) -> pl.DataFrame:
    """Routes that were answered with 404 or 410 (`missed` times) and are answered at other times (`count`, from `first` to `last`)."""
    keys = ["service", "method", "route"]
    unknown = layer.of(summary["requests"]).filter(pl.col("status").is_in([404, 410]))
    unknown = unknown.group_by(*keys, "status").agg(missed=pl.col("count").sum())
    answered = layer.of(summary["route_pace"]).group_by(keys)
    known = answered.agg(pl.col("count").sum(), pl.col("first").min(), pl.col("last").max())
    return unknown.join(known, on=keys, nulls_equal=True).filter(
        pl.col("count") >= ENOUGH_BEFORE, pl.col("missed") >= ENOUGH_INSIDE
    )


def _by_bucket(rows: pl.DataFrame, column: str) -> dict[int, int]:
    return dict(rows.group_by("bucket").agg(pl.col(column).sum()).iter_rows())


def _rates(
    traffic: pl.DataFrame, refused: pl.DataFrame, start: int | None, end: int, width: int
) -> tuple[float, float, float]:
    """Successes and requests a microsecond from `start` (None: the first) to `end`, and how many requests that were."""
    low = start if start is not None else min(traffic["bucket"].to_list(), default=0)
    reach = pl.col("bucket").is_between(low, end, closed="left")
    rows = traffic.filter(reach)
    requests = int(rows["requests"].sum())
    refusals = int(refused.filter(reach)["count"].sum())
    span = max(width, end - low)
    return (requests - int(rows["failed"].sum()) - refusals) / span, requests / span, float(requests)


def _refusal(
    rows: pl.DataFrame, service: str | None, status: int, stretch: Stretch, usual: float, *, bears: bool
) -> Shift:
    inside = rows.filter(pl.col("bucket").is_between(stretch.start, stretch.end, closed="left"))
    if not usual:
        inside = rows.filter(pl.col("bucket") >= stretch.start)  # the last strays are of the same thing
    text = f"HTTP {status}"
    why = f"{percent(stretch.inside)} of the requests in its time, {percent(usual)} before"
    return Shift(
        "http", service, text, text, why, int(inside["count"].sum()), inside["first"].min(), inside["last"].max(), _moments(inside),  # type: ignore[arg-type]
        tuple(inside.sort("first", "source", "line", nulls_last=True).select("source", "line").head(3).iter_rows()), bears, status,
    )  # fmt: skip


def _vanished(summary: Summary, layer: Layer) -> Iterator[Shift]:
    """Routes that were answered and from some time on are not known: what asks for paths that never were is noise."""
    gone = _lost_routes(summary, layer)
    refused = layer.of(summary["refused"])
    end = refused["last"].max()
    if not gone.height or end is None:
        return
    pace = pl.col("count") / (pl.col("last") - pl.col("first")).dt.total_microseconds().clip(1)
    owed = (
        pace * (pl.lit(end, TIME) - pl.col("last")).dt.total_microseconds()
    )  # answers that its own pace would have had since
    gone = gone.filter(owed >= ENOUGH_INSIDE, pl.col("missed") >= 0.3 * owed).sort(
        "service", "status", "method", "route"
    )
    for (service, status), routes in gone.group_by("service", "status", maintain_order=True):
        last = routes["last"].max()
        assert isinstance(last, datetime)
        after = refused.filter(
            pl.col("service").eq_missing(pl.lit(service)), pl.col("status") == status, pl.col("first") > last
        )
        missed, seen = int(routes["missed"].sum()), int(after["count"].sum())
        if seen < 0.9 * missed:  # they are still answered in between: no route has gone
            continue
        text = f"HTTP {status}"
        names = ", ".join(sorted(_path(m, r) for m, r in routes.select("method", "route").iter_rows())[:3])
        shown = after.sort("first", "source", "line", nulls_last=True)
        yield Shift(
            "http", str(service) if service is not None else None, text, text, f"{names}: answered until {last:%H:%M:%S}, unknown since",
            seen, after["first"].min(), after["last"].max(), _moments(after),  # type: ignore[arg-type]
            tuple(shown.select("source", "line").head(3).iter_rows()), bears=True, status=int(str(status)),
        )  # fmt: skip
