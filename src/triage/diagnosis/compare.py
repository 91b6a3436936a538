"""Two reports side by side: what is new, gone, louder, quieter, slower, and whether an incident has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from math import sqrt
from typing import Any

from triage.diagnosis.wording import percent, plural, span_words
from triage.report import Change, Check, Comparison

TIMES = 2.0  # as often, and beyond chance: louder or quieter
SIGMAS = 3.0
ENOUGH = 3.0  # times that something was to be expected before it counts as gone
SLOWER = 1.5
SLOWER_MS = 50.0
FEWEST_REQUESTS = 20  # of a route before its latency says anything
_KINDS = ("new", "louder", "slower", "failing", "quieter", "gone")


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """What differs between two reports in their JSON form (`Report.to_dict()`), as rates over the time that each covers.

    Clusters count as the same by their id; a difference counts when it is at least a factor of two and not chance.
    """
    spans = (_hours(before), _hours(after))
    changes = sorted(
        [*_clusters(before, after, spans), *_routes(before, after)], key=lambda c: (_KINDS.index(c.kind), -c.after, -c.before, c.name)
    )  # fmt: skip
    return Comparison(
        before=_side(before, spans[0]), after=_side(after, spans[1]), changes=tuple(changes), notices=tuple(_notices(before, after))
    )  # fmt: skip


def verify(report: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Check, ...]:
    """The success metrics of a report, measured in what was logged since: target, before, now, and whether it is met."""
    hours = _hours(after)
    incidents = report.get("incidents") or [{}]
    roots = [str(r["failure"]) for r in incidents[0].get("roots") or []]
    known = {f["id"]: f for f in report.get("failures") or []}
    made = []
    for metric in report.get("metrics") or []:
        name = str(metric["name"])
        if name.startswith("`"):
            failure = known.get(roots.pop(0)) if roots else None
            count = _count_of(failure, after) if failure else 0
            made.append(_check(metric, f"{count:,}", count == 0))
        elif name in _MEASURES:
            now, met = _MEASURES[name](after, hours)
            made.append(_check(metric, now, met))
    if not (after.get("counts") or {}).get("records"):
        made.append(Check("records since", "at least 1", "", "0", False))
    return tuple(made)


def usual(report: Mapping[str, Any]) -> Mapping[str, float]:
    """How often each failure of a report was seen, per hour."""
    hours = _hours(report)
    return {str(f["id"]): f["count"] / hours for f in report.get("failures") or []}


def _clusters(before: Mapping[str, Any], after: Mapping[str, Any], spans: tuple[float, float]) -> Iterator[Change]:
    sides = [{c["id"]: c for c in side.get("clusters") or [] if c["id"] != "other"} for side in (before, after)]
    cut = [any(c["id"] == "other" for c in side.get("clusters") or []) for side in (before, after)]
    scale = spans[1] / spans[0]
    for key in sorted(sides[0].keys() | sides[1].keys()):
        old, new = (side.get(key) for side in sides)
        was, now = (c["count"] if c else 0 for c in (old, new))
        expected = was * scale
        kind = _kind(was, now, expected)
        if kind is None or (kind == "new" and cut[0]) or (kind == "gone" and cut[1]):
            continue
        about = new or old
        assert about is not None
        why = f"{_rate(was, spans[0])} before, {_rate(now, spans[1])} after"
        yield Change(kind, key, _name(about), about.get("level"), was, now, why)


def _kind(was: int, now: int, expected: float) -> str | None:
    if was == 0:
        return "new"
    if now == 0:
        return "gone" if expected >= ENOUGH else None
    if now >= TIMES * expected and now - expected > SIGMAS * sqrt(expected + 1):
        return "louder"
    if now * TIMES <= expected and expected - now > SIGMAS * sqrt(expected):
        return "quieter"
    return None


def _routes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    sides = [
        {(r["service"], r["method"], r["route"]): r for r in (side.get("http") or {}).get("routes") or []}
        for side in (before, after)
    ]
    for key in sorted(sides[0].keys() & sides[1].keys(), key=str):
        old, new = sides[0][key], sides[1][key]
        name = " ".join(str(k) for k in key[1:] if k)
        if min(old["requests"], new["requests"]) < FEWEST_REQUESTS:
            continue
        p95 = old["p95"], new["p95"]
        if None not in p95 and p95[1] >= SLOWER * p95[0] and p95[1] - p95[0] >= SLOWER_MS:
            why = f"p95 {span_words(p95[0] / 1000)} before, {span_words(p95[1] / 1000)} after"
            yield Change("slower", None, name, None, old["requests"], new["requests"], why)
        share = (old["errors"] + new["errors"]) / (old["requests"] + new["requests"])
        chance = sqrt(share * (1 - share) * (1 / old["requests"] + 1 / new["requests"]))
        if new["error_rate"] - old["error_rate"] > max(0.01, SIGMAS * chance):
            why = f"{percent(old['error_rate'])} of requests failed before, {percent(new['error_rate'])} after"
            yield Change("failing", None, name, None, old["errors"], new["errors"], why)


def _notices(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name, side in (("before", before), ("after", after)):
        if not (side.get("counts") or {}).get("records"):
            yield f"{name}: no records"
        elif not side.get("window"):
            yield f"{name}: no times, so counts are compared as they are"
        for cluster in side.get("clusters") or []:
            if cluster["id"] == "other":
                yield f"{name}: {cluster['message']} were not compared"


def _side(report: Mapping[str, Any], hours: float) -> str:
    counts, http = report.get("counts") or {}, report.get("http")
    parts = [
        plural(counts.get("records", 0), "record") + f" in {span_words(hours * 3600)}",
        plural(counts.get("errors", 0), "error"),
    ]
    if http:
        parts.append(f"{percent(http['error_rate'])} of {plural(http['requests'], 'request')} failed")
    parts.append(
        "healthy" if report.get("healthy") else f"{report.get('severity') or 'no severity'}: {report.get('headline')}"
    )
    return ", ".join(parts)


def _hours(report: Mapping[str, Any]) -> float:
    """The time that a report covers; an hour where it has no times."""
    window = report.get("window") or {}
    if not window.get("start") or not window.get("end"):
        return 1.0
    start, end = (datetime.fromisoformat(str(window[k]).replace("Z", "+00:00")) for k in ("start", "end"))
    return max((end - start).total_seconds(), 1.0) / 3600


def _rate(count: int, hours: float) -> str:
    per = count / hours
    return f"{count:,} ({per:,.0f} an hour)" if per >= 10 else f"{count:,} ({per:.2g} an hour)" if count else "0"


def _name(cluster: Mapping[str, Any]) -> str:
    kind, text = (
        cluster.get("exception"),
        str(cluster.get("message") or cluster.get("template") or "").strip().split("\n", 1)[0],
    )
    name = f"{kind}: {text}" if kind and kind not in text else text or str(kind or cluster["id"])
    return name if len(name) <= 140 else name[:139] + "…"


def _count_of(failure: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    same = (failure["id"], (failure.get("exception"), failure.get("message")))
    return sum(
        f["count"] for f in after.get("failures") or [] if f["id"] == same[0] or (f.get("exception"), f.get("message")) == same[1]
    )  # fmt: skip


def _check(metric: Mapping[str, Any], now: str, met: bool) -> Check:
    return Check(str(metric["name"]), str(metric["target"]), str(metric["now"]), now, met)


def _starts(after: Mapping[str, Any], _hours: float) -> tuple[str, bool]:
    exits = after.get("exits") or {}
    ended = _ends(exits)
    tried, ready = exits.get("starts") or 0, exits.get("ready") or 0
    if not tried and not ended:
        return "no start was needed", True
    return f"{ready:,} of {max(tried, ready, ended):,}", ready > 0 and ready >= ended


def _restarts(after: Mapping[str, Any], hours: float) -> tuple[str, bool]:
    count = _ends(after.get("exits") or {})
    return f"{count:,} in {span_words(hours * 3600)}", count / max(hours, 1.0) < 1


def _ends(exits: Mapping[str, Any]) -> int:
    """Exits other than orderly ones."""
    return sum(n for code, n in (exits.get("codes") or {}).items() if code not in ("0", "143"))


def _failed(after: Mapping[str, Any], _hours: float) -> tuple[str, bool]:
    http = after.get("http")
    if not http or not http["requests"]:
        return "no requests in the log", False
    return f"{percent(http['error_rate'])} ({http['errors']:,} of {http['requests']:,})", http["error_rate"] < 0.01


def _latency(after: Mapping[str, Any], _hours: float) -> tuple[str, bool]:
    latency = (after.get("http") or {}).get("latency_ms")
    if not latency:
        return "no latencies in the log", False
    return span_words(latency["p95"] / 1000), latency["p95"] < 500


_MEASURES = {"starts that succeed": _starts, "restarts": _restarts, "failed requests": _failed, "p95 latency": _latency}
