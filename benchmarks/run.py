"""`triage analyze --format json` and DuckDB on the same log, by turns: CPU seconds, memory, and whether they agree."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triage.errors import TriageError

EXACT = ("records", "errors", "warnings", "status", "exits", "top")
TOLERANCE = {"mean": 0.001, "p50": 0.02, "p95": 0.02, "max": 0.0001}  # DuckDB's quantiles are estimates too


@dataclass(frozen=True, slots=True)
class Run:
    """One finished program: user and system seconds with those of its children, largest resident size."""

    cpu_s: float
    peak_mb: float
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Both programs, one right after the other."""

    triage: Run
    duckdb: Run

    @property
    def ratio(self) -> float:
        """CPU seconds of triage for one of DuckDB."""
        return self.triage.cpu_s / self.duckdb.cpu_s


def compare(kind: str, path: Path, *, pairs: int = 3) -> list[Pair]:
    """Run both programs by turns; TriageError when their answers differ, for then their times mean nothing."""
    done = []
    for _ in range(pairs):
        ours = measure(
            [sys.executable, "-c", "from triage.cli import main; main()", "analyze", str(path), "--format", "json"]
        )
        theirs = measure([sys.executable, "-m", "benchmarks.duck", kind, str(path)])
        pair = Pair(Run(ours.cpu_s, ours.peak_mb, from_report(ours.answer)), theirs)
        if problems := disagreements(pair.triage.answer, pair.duckdb.answer):
            raise TriageError(
                "the answers differ: " + "; ".join(problems), hint="one of the two reads this log wrongly"
            )
        done.append(pair)
    return done


def measure(command: Sequence[str]) -> Run:
    """Run a program that prints one JSON value; TriageError with its last words when it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            last = err.read().decode(errors="replace").strip()[-500:]
            raise TriageError(f"{' '.join(command[1:3])} ended with {process.returncode}: {last}")
        peak_mb = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
        return Run(usage.ru_utime + usage.ru_stime, peak_mb, json.load(out))


def from_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a report that DuckDB is asked for too.

    Lines that are broken count as records of their own in a report and are left out by DuckDB: they are taken off here.
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
        "error_rate": counts["error_rate"],
        "status": dict(http.get("status") or {}),
        "latency_ms": {key: latency.get(key) for key in TOLERANCE},
        "exits": dict(report["exits"]["codes"]),
        "top": sorted((c["count"] for c in messages), reverse=True)[:5],
    }


def disagreements(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What the two answers do not share, as sentences; none when they agree."""
    found = [f"{key} {ours[key]} against {theirs[key]}" for key in EXACT if ours[key] != theirs[key]]
    for key, tolerance in TOLERANCE.items():
        a, b = ours["latency_ms"][key], theirs["latency_ms"][key]
        if (a is None) != (b is None) or (a is not None and abs(a - b) > tolerance * b):
            found.append(f"latency {key} {a} against {b}")
    return found


def describe(path: Path, pairs: Sequence[Pair]) -> str:
    """A table of the pairs with the medians."""
    size = path.stat().st_size / 1e9
    rows = [(p.triage.cpu_s, p.duckdb.cpu_s, p.ratio, p.triage.peak_mb, p.duckdb.peak_mb) for p in pairs]
    middle = tuple(statistics.median(column) for column in zip(*rows, strict=True))
    return "\n".join(
        [
            f"{path.name}, {size:.2f} GB, CPU seconds and peak MB; the answers agree",
            f"{'':8}{'triage':>10}{'duckdb':>10}{'ratio':>8}{'triage MB':>12}{'duckdb MB':>12}",
            *(_row(f"pair {n}", row) for n, row in enumerate(rows, 1)),
            _row("median", middle),
            f"a GB: triage {middle[0] / size:.2f} s, duckdb {middle[1] / size:.2f} s",
        ]
    )


def _row(name: str, row: Sequence[float]) -> str:
    ours, theirs, ratio, our_mb, their_mb = row
    return f"{name:8}{ours:10.2f}{theirs:10.2f}{ratio:8.2f}{our_mb:12.0f}{their_mb:12.0f}"
