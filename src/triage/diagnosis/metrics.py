"""Figures of a Summary: counts, rates over time, HTTP, latencies, exits and crash loops."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.report import UNTOLD, Counts, Exits, Http, Input, Intake, Latency, Loop, Rate, Route, Window
from triage.schema import FAILED
from triage.summary import Summary
from triage.sums import LATENCY_BASE, LATENCY_MIN_MS

SLICES = 60
EXACT, EXACT_ROUTES = 100, 3  # or so many in all, where every route was asked for exactly as often
OFTEN, ROUTES = 20, 4  # requests of a route, and such routes, by which two servers can be told to log the same requests
WALLS_S = (1, 2, 3, 5, 8, 10, 15, 20, 25, 30, 45, 60, 75, 90, 100, 120, 180, 230, 240, 300, 600, 900, 1800, 3600)
WALL_SLACK = 0.02  # a request that hits a limit ends at most so much behind it
PROXIES = ("nginx", "ingress-nginx", "apache", "haproxy", "envoy", "traefik", "caddy", "alb", "elb", "gorouter")
# of the requests of the busiest server: who has seen fewer stands in front of nobody, whatever it is called
FRONT_SHARE = 0.25
FRONT = (
    "gateway",
    "ingress",
    "proxy",
    "edge",
    "nginx",
    "traefik",
    "haproxy",
    "envoy",
    "caddy",
    "apache",
    "lb",
    "router",
)


def window(summary: Summary) -> Window | None:
    """First and last time stamp seen, or None without any."""
    sources = summary["sources"]
    first, last = sources["first"].min(), sources["last"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    return Window(first, last)


def inputs(summary: Summary) -> tuple[Input, ...]:
    """What was read, input by input."""
    rows = summary["sources"].sort("source").iter_rows(named=True)
    return tuple(
        Input(r["source"], r["format"] or "text", r["why"] or "", r["bytes"], r["lines"], r["records"]) for r in rows
    )


def intake(summary: Summary) -> Intake:
    """The ledger over all inputs."""
    s = summary["sources"]
    total = {
        n: int(s[n].sum()) for n in ("lines", "records", "blank", "rejected", "continuation", "undated", "disorder")
    }
    notices = [
        ("" if n["source"] in n["notice"] else f"{n['source']}: ")
        + n["notice"]
        + (f" ({n['count']}×)" if n["count"] > 1 else "")
        for n in summary["notices"].iter_rows(named=True)
    ] + [_missing(r["source"], r["lost"], r["count"], r["line"]) for r in summary["losses"].iter_rows(named=True)]
    return Intake(
        lines=total["lines"], records=total["records"], blank=total["blank"], rejected=total["rejected"],
        continuation=total["continuation"], undated=total["undated"], out_of_order=total["disorder"], notices=tuple(notices),
    )  # fmt: skip


def _missing(source: str, lost: int, told: int, line: int) -> str:
    """What the log says of lines that are missing from it, in a sentence."""
    many = f"at least {lost:,} {'messages were' if lost > 1 else 'message was'}" if lost else "messages were"
    places = f"line {line}" if told == 1 else f"{told:,} lines, the first is line {line}"
    return f"{source}: {many} dropped by the platform or its log daemon and are missing here (said on {places})"


def counts(summary: Summary) -> Counts:
    """Records, errors (ERROR and above, and crash dumps without a level), warnings."""
    volume = summary["volume"]
    records = int(summary["sources"]["records"].sum())
    errors = int(volume.filter(pl.col("level") >= "ERROR")["count"].sum()) + int(volume["crashes"].sum())
    warnings = int(volume.filter(pl.col("level") == "WARNING")["count"].sum())
    return Counts(records, errors, warnings, errors / records if records else 0.0)


# Paths by which platforms ask: /ready, /healthz, /-/ready, /api/health/live, /actuator/health/readiness, /_status/healthz
_PROBE = r"(?i)^/(?:[\w.-]+/){0,3}_?(?:ready|readyz|readiness|health|healthz|health[_-]?check|live|livez|liveness|alive|up|startupz?)(?:\.\w+)?/?$"
EDGE = "request"  # the kind of entries by which a platform tells of requests


class Layer(Struct, frozen=True):
    """Whose requests count: of several servers that log the same request, the outermost.

    `instead` are those that tell of the requests only that they answered in the place of these.
    """

    kind: str
    services: tuple[str | None, ...]
    name: str
    instead: tuple[str | None, ...] = ()

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table with kind and service that belong to the layer."""
        mine = (pl.col("kind") == self.kind) & pl.col("service").is_in(self.services, nulls_equal=True)
        if not self.instead:
            return rows.filter(mine)
        return rows.filter(mine | (pl.col("kind") == EDGE) & pl.col("service").is_in(self.instead, nulls_equal=True))


def layer(summary: Summary) -> Layer | None:
    """The outermost layer that logs requests: the platform's edge, else a proxy, else the applications."""
    seen = (
        summary["requests"]
        .group_by("kind", "service")
        .agg(pl.col("count").sum(), pl.col("format").min(), pl.col("timed").sum())
    )
    if len(seen) == 0:
        return None
    edge, behind = seen.filter(kind=EDGE), seen.filter(pl.col("kind") != EDGE)
    if len(edge):
        services = tuple(edge["service"].sort())
        if not len(behind) or (summary["requests"].filter(kind=EDGE)["status"] < FAILED).any():
            return Layer(EDGE, services, "edge")
        return replace(_servers(summary, behind), instead=services)  # it tells of its failures only
    return _servers(summary, seen)


def _servers(summary: Summary, seen: pl.DataFrame) -> Layer:
    """The layer among proxies and applications."""
    rows = seen.sort("count", "service", descending=[True, False]).iter_rows(named=True)
    servers = list(rows)
    called = [s for s in servers if is_front(s["service"]) and s["count"] >= FRONT_SHARE * servers[0]["count"]]
    fronts = [s for s in servers if is_front(None, s["format"])] or called
    if fronts and len(servers) > len(fronts):
        best = fronts[0]
        return Layer(best["kind"], (best["service"],), best["service"] or "proxy")
    kind = servers[0]["kind"]
    named = [s["service"] for s in servers if s["kind"] == kind]
    services: tuple[str | None, ...] = tuple(
        sorted(_outermost(named, summary["requests"].filter(kind=kind)), key=lambda s: s or "")
    )
    return Layer(kind, services, (services[0] or "access log") if len(services) == 1 else "access logs")


def _outermost(services: Sequence[str | None], requests: pl.DataFrame) -> list[str | None]:
    """The services without those that log the very requests that another one of them logs too.

    Requests are taken for the same where two services saw every frequent route as often, within one in a hundred: what is
    spread over equal servers is never that even; or where all routes are, exactly. Of two such, the one that tells of more failures is in front: it adds its own.
    """
    seen: dict[str | None, dict[tuple[str | None, str | None], int]] = {service: {} for service in services}
    failed = dict.fromkeys(services, 0)
    waited = dict.fromkeys(services, 0)
    for r in requests.filter(pl.col("service").is_in(services, nulls_equal=True)).iter_rows(named=True):
        routes, place = seen[r["service"]], (r["method"], r["route"])
        routes[place] = routes.get(place, 0) + r["count"]
        failed[r["service"]] += r["count"] if r["status"] >= FAILED else 0
        waited[r["service"]] += r["total_us"]

    def same(one: str | None, other: str | None) -> bool:
        mine, theirs = seen[one], seen[other]
        often = [place for place in {*mine, *theirs} if max(mine.get(place, 0), theirs.get(place, 0)) >= OFTEN]
        near = all(abs(mine.get(p, 0) - theirs.get(p, 0)) <= max(1, 0.01 * mine.get(p, 0)) for p in often)
        exact = len(mine) >= EXACT_ROUTES and mine == theirs and sum(mine.values()) >= EXACT
        return exact or (len(often) >= ROUTES and near)

    left: list[str | None] = []
    for service in sorted(services, key=lambda s: (-failed[s], -waited[s], s or "")):
        if not any(same(service, other) for other in left):
            left.append(service)
    return left


def unready(summary: Summary, chosen: Layer) -> frozenset[tuple[str | None, int]]:
    """Services and statuses of failed answers that only probes got, of which twice as many were answered well: so servers tell a platform
    that they are not up yet."""
    rows = chosen.of(summary["requests"]).with_columns(
        probe=pl.col("route").str.contains(_PROBE).fill_null(False), failed=pl.col("status") >= FAILED
    )
    if not rows["failed"].any():
        return frozenset()
    well = rows.filter("probe", pl.col("status") < 400).group_by("service").agg(well=pl.col("count").sum())
    asked = rows.filter("probe", "failed").group_by("service").agg(asked=pl.col("count").sum())
    starting = asked.join(well, on="service", nulls_equal=True).filter(pl.col("well") >= 2 * pl.col("asked"))
    failed = rows.filter("failed").join(starting, on="service", how="semi", nulls_equal=True)
    mine = failed.join(failed.filter(~pl.col("probe")), on=["service", "status"], how="anti", nulls_equal=True)
    return frozenset(mine.select("service", "status").iter_rows())


def is_front(service: str | None, fmt: str | None = None) -> bool:
    """Whether a server stands before others, by its name or by the format of its lines."""
    words = (service or "").lower().replace("_", "-").split("-")
    return any(w in FRONT for w in words) or (fmt or "").startswith(PROXIES)


def http(summary: Summary, chosen: Layer | None) -> Http | None:
    """Requests of the chosen layer: statuses, 5xx rate, latencies, routes."""
    if chosen is None:
        return None
    rows = chosen.of(summary["requests"])
    steps = chosen.of(summary["latency"])
    requests, errors = int(rows["count"].sum()), int(rows.filter(pl.col("status") >= FAILED)["count"].sum())
    by_status = rows.group_by("status").agg(pl.col("count").sum()).sort("status")
    routes = []
    grouped = rows.with_columns(failed=pl.when(pl.col("status") >= FAILED).then("count").otherwise(0))
    table = (
        grouped.group_by("service", "method", "route")
        .agg(pl.col("count").sum(), pl.col("failed").sum(), pl.col("max_ms").max())
        .sort(
            ["failed", "count", "route", "method", "service"],
            descending=[True, True, False, False, False],
            nulls_last=True,
        )
    )
    for r in table.head(25).iter_rows(named=True):
        mine = steps.filter(
            pl.col("service").eq_missing(r["service"])
            & pl.col("method").eq_missing(r["method"])
            & pl.col("route").eq_missing(r["route"])
        )
        p50, p95 = _percentiles(mine, (50, 95))
        routes.append(
            Route(
                r["service"],
                r["method"],
                r["route"] or "?",
                r["count"],
                r["failed"],
                r["failed"] / r["count"],
                p50,
                p95,
                r["max_ms"],
            )
        )
    return Http(
        requests=requests, errors=errors, error_rate=errors / requests if requests else 0.0,
        status={str(s): int(c) for s, c in by_status.iter_rows()},
        latency_ms=_latency(rows, steps), routes=tuple(routes), layer=chosen.name,
    )  # fmt: skip


def _latency(rows: pl.DataFrame, steps: pl.DataFrame) -> Latency | None:
    timed = int(rows["timed"].sum())
    if not timed:
        return None
    p50, p90, p95, p99 = _percentiles(steps, (50, 90, 95, 99))
    top = float(rows["max_ms"].max())  # type: ignore[arg-type]
    low = float(rows["min_ms"].min())  # type: ignore[arg-type]
    mean = int(rows["total_us"].sum()) / 1000 / timed
    p50, p90, p95, p99 = (round(min(max(p or 0.0, low), top), 3) for p in (p50, p90, p95, p99))
    return Latency(timed, round(mean, 3), p50, p90, p95, p99, top, find_wall(rows, steps))


def _percentiles(steps: pl.DataFrame, wanted: Sequence[int]) -> list[float | None]:
    """Percentiles in ms by nearest rank, from counts per log-spaced bucket (at most 1 % wide), at the bucket's middle."""
    spread = steps.group_by("step").agg(pl.col("count").sum()).sort("step")
    total = int(spread["count"].sum())
    if not total:
        return [None for _ in wanted]
    running = spread["count"].cum_sum()
    found: list[float | None] = []
    for percent in wanted:
        rank = max(1, math.ceil(total * percent / 100))
        step = spread["step"][int((running < rank).sum())]
        found.append(round(LATENCY_MIN_MS * LATENCY_BASE ** (step + 0.5), 4) if step > 0 else 0.0)
    return found


def find_wall(rows: pl.DataFrame, steps: pl.DataFrame) -> float | None:
    """The time-out limit that requests run into: a round number just below the maximum, in ms, with a crowd at it."""
    top = rows["max_ms"].max()
    if not isinstance(top, float):
        return None
    for wall in WALLS_S:
        limit = wall * 1000.0
        if limit * 0.999 <= top <= limit * (1 + WALL_SLACK):
            at_wall = _count_from(steps, limit * 0.99)
            below = _count_from(steps, limit * 0.9) - at_wall
            return (
                limit
                if (at_wall >= 3 and at_wall > below) or (at_wall >= 1 and wall >= 30 and top - limit <= 50)
                else None
            )
    return None


def _count_from(steps: pl.DataFrame, ms: float) -> int:
    step = math.log(ms / LATENCY_MIN_MS) / math.log(LATENCY_BASE)
    return int(steps.filter(pl.col("step") >= math.floor(step))["count"].sum())


def exits(summary: Summary, onset: datetime | None = None) -> Exits:
    """Exit codes, signals, restarts and crash loops. `starts` and `ready` count from `onset` on.

    Where nothing ends and nothing says that it serves, starts are not counted: whether they succeeded is not in the log.
    """
    told = summary["exits"].filter(pl.col("failure").is_null() | ~pl.col("failure").is_in(list(retold(summary))))
    ended = told.filter((pl.col("mark") == "exit") | ((pl.col("mark") == "oom") & pl.col("code").is_not_null()))
    if len(ended) == 0:
        ended = told.filter(pl.col("mark") == "worker_exit")
    codes = ended.drop_nulls("code").group_by("code").agg(pl.col("count").sum()).sort("code")
    signals = ended.drop_nulls("signal").group_by("signal").agg(pl.col("count").sum()).sort("signal")
    bad = ended.filter(pl.col("code").fill_null(1) != 0)
    of_unit = pl.col("failure").replace_strict(_units(summary), default=None, return_dtype=pl.String)
    bad = bad.with_columns(
        service=pl.when(pl.col("service") == INIT).then(of_unit.fill_null(INIT)).otherwise("service")
    )
    loops = []
    per = bad.group_by("service", "code", "signal").agg(
        pl.col("count").sum(), pl.col("first").min(), pl.col("last").max()
    )
    for r in per.sort("count", "service", "code", descending=[True, False, False], nulls_last=True).iter_rows(
        named=True
    ):
        if r["count"] >= 3:
            span = (r["last"] - r["first"]).total_seconds() if r["first"] is not None else None
            interval = round(span / (r["count"] - 1), 3) if span else None
            code = r["signal"] or (str(r["code"]) if r["code"] is not None else UNTOLD)
            loops.append(Loop(r["service"], code, r["count"], interval))
    marks = summary["marks"]
    if onset is not None:
        marks = marks.filter(pl.col("at") >= onset)
    started, lasting = _by_service(marks, "start"), _lasting(marks)
    # some say twice that they serve
    ready = sum(min(count, started.get(service, count)) for service, count in lasting.items())
    starts = sum(started.get(service, 0) or lasting.get(service, 0) for service in {**started, **lasting})
    died = int(bad["count"].sum())
    judged = died > 0 or bool((summary["marks"]["mark"] == "ready").any())
    return Exits(
        codes={str(c): int(n) for c, n in codes.iter_rows()},
        signals={str(s): int(n) for s, n in signals.iter_rows()},
        restarts=died, loops=tuple(loops), starts=max(starts, died) if judged else 0, ready=ready,
    )  # fmt: skip


SOON_S = 60.0  # a process that ends so soon after it said that it serves was no server, or none that came up


def _by_service(marks: pl.DataFrame, mark: str) -> dict[str | None, int]:
    found = marks.filter(pl.col("mark") == mark).group_by("service").agg(pl.col("count").sum())
    return {service: int(count) for service, count in found.iter_rows()}


def _lasting(marks: pl.DataFrame) -> dict[str | None, int]:
    """How many processes of each service came up: they said so, and none of it ended right after."""
    ends: dict[str | None, list[datetime]] = {}
    for r in marks.filter(pl.col("mark") == "exit").sort("at").iter_rows(named=True):
        ends.setdefault(r["service"], []).append(r["at"])
    left: dict[str | None, int] = {}
    for r in marks.filter(pl.col("mark") == "ready").iter_rows(named=True):
        mine = ends.get(r["service"], [])
        place = bisect_left(mine, r["at"])
        if place == len(mine) or (mine[place] - r["at"]).total_seconds() > SOON_S:
            left[r["service"]] = left.get(r["service"], 0) + r["count"]
    return left


ONE_END_S = 15.0  # so soon the platform tells of an end that the init process has told of


def retold(summary: Summary) -> dict[str, str]:
    """Failures that tell of ends of processes which another failure tells of as well, with that other one.

    So it is where each instance has as many of both, with one code, and the first and the last of them within seconds:
    the init process tells of the end, then the platform, which is the one that counts.
    """
    ends = summary["exits"].filter(pl.col("mark") == "exit").drop_nulls(["failure", "instance", "code", "first"])
    told = {
        str(failure): _ends_of(rows)
        for (failure,), rows in ends.sort("failure").group_by("failure", maintain_order=True)
    }
    units = _units(summary)
    found: dict[str, str] = {}
    for one, mine in told.items():
        same_unit = {o for o in told if len({units[i] for i in (o, one) if i in units}) < 2} - {one, *found}
        others = {o: ends for o, ends in told.items() if o in same_unit and ends.keys() <= mine.keys()}
        if one in found.values() or not others:
            continue
        most = max(others, key=lambda o: (sum(e.count for e in others[o].values()), o))
        # one that tells of all of them, else all others together: some ends may be told of in other words
        same = next((o for o in others if _tell_of_the_same(mine, [others[o]])), None)
        if same is not None or _tell_of_the_same(mine, [*others.values()]):
            found[one] = same or most
    return found


INIT = "systemd"  # it speaks of the processes of others
_UNIT = re.compile(r"^(?:(?:Started|Starting|Stopped|Stopping|Failed to start) )?(?P<unit>[\w@.:-]+?)\.service\b")


def _units(summary: Summary) -> dict[str, str]:
    """The units of systemd of whose ends failures tell, by failure."""
    ends = summary["nodes"].join(summary["exits"].select(id="failure"), on="id", how="semi").select("id", "message")
    return {failure: unit for failure, text in ends.iter_rows() if (unit := unit_of(text or "")) is not None}


def unit_of(text: str) -> str | None:
    """The unit of which a line of systemd tells, without its ending; None where it is no service."""
    found = _UNIT.match(text)
    return found["unit"] if found is not None else None


class _Ends(Struct, frozen=True):
    """Ends of one instance with one code."""

    count: int
    first: datetime
    last: datetime


def _ends_of(rows: pl.DataFrame) -> dict[tuple[object, ...], _Ends]:
    return {
        tuple(row[:3]): _Ends(*row[3:])
        for row in rows.select("service", "instance", "code", "count", "first", "last").iter_rows()
    }


def _tell_of_the_same(
    mine: Mapping[tuple[object, ...], _Ends], group: Sequence[Mapping[tuple[object, ...], _Ends]]
) -> bool:
    """Whether the ends of a group are these, told of within seconds."""
    for key, ends in mine.items():
        theirs = [other[key] for other in group if key in other]
        if sum(e.count for e in theirs) != ends.count:
            return False
        first, last = min(e.first for e in theirs) - ends.first, max(e.last for e in theirs) - ends.last
        if not all(0 <= apart.total_seconds() <= ONE_END_S for apart in (first, last)):
            return False
    return True


class Slices(Struct, frozen=True):
    """The log's window in equal slices: start in microseconds since 1970, width in microseconds, how many."""

    start: int
    width: int
    count: int

    def at(self, index: int) -> datetime:
        """When slice `index` begins."""
        return from_us(self.start + index * self.width)

    def index(self, column: str = "bucket") -> pl.Expr:
        """The slice of each bucket."""
        return ((pl.col(column) - self.start) // self.width).clip(0, self.count - 1)

    def spread(self, rows: pl.DataFrame, value: str = "count") -> tuple[int, ...]:
        """Sum of `value` in each slice, of rows with a `bucket`."""
        sums = dict(rows.group_by(self.index().alias("slice")).agg(pl.col(value).sum()).iter_rows())
        return tuple(int(sums.get(i, 0)) for i in range(self.count))


def slices(span: Window | None) -> Slices | None:
    """The window cut into at most 60 slices of a width that reads well (0.1 s, 1 s, 5 s, 1 min, 5 min, 1 h ...)."""
    if span is None:
        return None
    seconds = (span.end - span.start).total_seconds()
    nice = (0.1, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
    width = next((w for w in nice if seconds / w <= SLICES), 86400 * math.ceil(seconds / 86400 / SLICES))
    start = to_us(span.start) // int(width * 1e6) * int(width * 1e6)
    return Slices(start, int(width * 1e6), int((to_us(span.end) - start) // int(width * 1e6)) + 1)


def rates(summary: Summary, chosen: Layer | None, cut: Slices | None) -> tuple[Rate, ...]:
    """Records, errors, warnings and requests in each slice."""
    if cut is None:
        return ()
    volume = summary["volume"].drop_nulls("bucket")
    bad = volume.with_columns(
        errors=pl.when(pl.col("level") >= "ERROR").then("count").otherwise("crashes"),
        warnings=pl.when(pl.col("level") == "WARNING").then("count").otherwise(0),
    )
    columns = [cut.spread(bad, n) for n in ("count", "errors", "warnings")]
    traffic = chosen.of(summary["traffic"]) if chosen is not None else summary["traffic"].clear()
    columns += [cut.spread(traffic, n) for n in ("requests", "failed")]
    return tuple(Rate(cut.at(i), *(c[i] for c in columns)) for i in range(cut.count))


def to_us(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """The time, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
