"""`triage analyze --format json` and its peers on the same log, by turns: CPU seconds, wall, memory, and whether they agree."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS, Peer
from triage.errors import TriageError

EXACT = ("records", "errors", "warnings", "status", "exits", "top", "server_errors")
TOLERANCE = {"mean": 0.001, "p50": 0.02, "p95": 0.02, "max": 0.0001}  # DuckDB's quantiles are estimates too
OURS = "triage"


@dataclass(frozen=True, slots=True)
class Run:
    """One finished program: user and system seconds with those of its children, seconds on the wall, and the largest sum
    of the resident sizes of all its processes."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    answer: Mapping[str, Any]


def compare(
    kind: str, path: Path, *, rounds: int = 3, names: Sequence[str] = (), options: Sequence[str] = ()
) -> dict[str, list[Run]]:
    """Run triage and the peers that are installed (or those that are named) by turns.

    TriageError when their answers differ, for then their times mean nothing.
    """
    peers = [p for p in PEERS if kind in p.kinds and p.installed and (not names or p.name in names)]
    runs: dict[str, list[Run]] = {OURS: [], **{peer.name: [] for peer in peers}}
    for _ in range(rounds):
        ours = run_triage(path, options)
        runs[OURS].append(ours)
        for peer in peers:
            theirs = _run_peer(peer, kind, path)
            if problems := disagreements(ours.answer, theirs.answer):
                raise TriageError(
                    f"triage and {peer.name} differ: " + "; ".join(problems),
                    hint="one of the two reads this log wrongly",
                )
            runs[peer.name].append(theirs)
    return runs


def run_triage(path: Path, options: Sequence[str] = ()) -> Run:
    """One run of triage."""
    program = [sys.executable, "-c", "from triage.cli import main; main()", "analyze", str(path), "--format", "json"]
    return measure([*program, *options], lambda out: from_report(json.loads(out)))


def _run_peer(peer: Peer, kind: str, path: Path) -> Run:
    return measure(peer.command(kind, path), lambda out: peer.read(kind, out))


def measure(command: Sequence[str], read: Callable[[bytes], Mapping[str, Any]]) -> Run:
    """Run a program and read what it prints; TriageError with its last words when it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        watched = _Watched(process.pid)
        watched.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began
        watched.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            last = err.read().decode(errors="replace").strip()[-500:]
            raise TriageError(f"{' '.join(command[:3])} ended with {process.returncode}: {last}")
        alone_mb = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
        return Run(usage.ru_utime + usage.ru_stime, wall_s, max(alone_mb, watched.peak_mb), read(out.read()))


class _Watched(threading.Thread):
    """Looks now and then how much memory a process and its children take together, where /proc tells."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self.peak_mb = 0.0

    def run(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        while pages := sum(map(_pages, _family(self._process))):
            self.peak_mb = max(self.peak_mb, pages * page / (1 << 20))
            time.sleep(0.02)


def _family(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return [process]
    return [process, *(one for child in children for one in _family(int(child)))]


def _pages(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0


def from_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a report that the peers are asked for too.

    Lines that are broken count as records of their own in a report and are left out by others: they are taken off here.
    """
    counts, http = report["counts"], report["http"] or {}
    latency = http.get("latency_ms") or {}
    messages = [
        c for c in report["clusters"] if c["level"] in ("ERROR", "CRITICAL") and not c["template"].startswith("HTTP ")
    ]
    return {
        "records": counts["records"] - report["intake"]["rejected"],
        "errors": counts["errors"],
        "warnings": counts["warnings"],
        "status": dict(http.get("status") or {}),
        "server_errors": http.get("errors") or 0,
        "latency_ms": {key: latency.get(key) for key in TOLERANCE},
        "exits": dict(report["exits"]["codes"]),
        "errors_by_minute": {rate["at"]: rate["errors"] for rate in report["rates"]},
        "requests_by_minute": {rate["at"]: [rate["requests"], rate["failed"]] for rate in report["rates"]},
        "slice_s": report["slice_s"],
        "routes": {
            f"{route['service'] or ''} {route['method']} {_VARIES.sub('#', route['route'])}": {
                name: route[name] for name in ("requests", "errors", "p50", "p95", "max")
            }
            for route in http.get("routes") or ()
        },
        "top": sorted((c["count"] for c in messages), reverse=True)[:5],
    }


def disagreements(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What the two answers do not share of what both say, as sentences; none when they agree."""
    found = [f"{key} {ours[key]} against {theirs[key]}" for key in EXACT if key in theirs and ours[key] != theirs[key]]
    if "latency_ms" in theirs:
        found += _differing("latency", ours["latency_ms"], theirs["latency_ms"])
    for name in ("errors_by_minute", "requests_by_minute"):
        if name in theirs:
            a, b = _busy(ours, name), _busy({**theirs, "slice_s": ours["slice_s"]}, name)
            found += [
                f"{name}: {a.get(at)} at {at} against {b.get(at)}" for at in sorted({*a, *b}) if not _close(a, b, at)
            ]
    for name, a in ours["routes"].items() if "routes" in theirs else ():
        b = theirs["routes"].get(name, dict.fromkeys(a, 0))
        found += [f"{key} of {name} {a[key]} against {b[key]}" for key in ("requests", "errors") if a[key] != b[key]]
        found += _differing(name, a, b, times=5)  # each has fewer requests to estimate from
    return found


_VARIES = re.compile(r"\{[^}]*\}|<[^>]*>|[0-9]+")


def _busy(answer: Mapping[str, Any], name: str) -> dict[int, list[int]]:
    """What happened in each minute, or each slice of the report where those are longer: sums of what is not 0."""
    width = max(60, int(answer["slice_s"]))
    sums: dict[int, list[int]] = {}
    for moment, counts in answer[name].items():
        second = int(datetime.fromisoformat(moment).timestamp()) // width * width
        several = counts if isinstance(counts, list) else [counts]
        sums[second] = [a + b for a, b in zip(sums.get(second, [0] * len(several)), several, strict=True)]
    return {second: counts for second, counts in sums.items() if any(counts)}


def _close(a: Mapping[int, list[int]], b: Mapping[int, list[int]], at: int) -> bool:
    """Whether both tell the same of that time, up to a tenth: in a long log a bucket reaches over the border of two minutes."""
    pairs = zip(a.get(at) or b[at], b.get(at) or a[at], strict=True)
    return all(abs(one - other) <= 0.1 * max(one, other) + 2 for one, other in pairs)


def _differing(what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], times: float = 1) -> list[str]:
    """Which milliseconds of the two are further apart than `times` what they may be."""
    found = []
    for key in TOLERANCE.keys() & ours.keys() & theirs.keys():
        a, b = ours[key], theirs[key]
        if (a is None) != (b is None) or (a is not None and abs(a - b) > times * TOLERANCE[key] * b):
            found.append(f"{what} {key} {a} against {b}")
    return found


def describe(title: str, size: int, runs: Mapping[str, Sequence[Run]]) -> str:
    """A Markdown table of the medians, and of how many times as much CPU triage takes."""
    ours = _median(runs[OURS], "cpu_s")
    wall = _median(runs[OURS], "wall_s")
    rows = []
    for name, done in runs.items():
        cpu, walls, peak = (_median(done, of) for of in ("cpu_s", "wall_s", "peak_mb"))
        rows.append(
            f"| {name} | {cpu:.2f} | {walls:.2f} | {peak:.0f} | {size / 1e6 / max(cpu, 0.01):,.0f} "
            f"| {ours / max(cpu, 0.01):.2f} | {wall / max(walls, 0.01):.2f} |"
        )
    return "\n".join(
        [
            f"{title}, {size / 1e6:,.0f} MB",
            "",
            "| | CPU s | wall s | peak MB | MB per CPU s | triage's CPU to its | triage's wall to its |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _median(runs: Sequence[Run], of: str) -> float:
    return float(statistics.median(getattr(run, of) for run in runs))
