"""Clocks that differ are measured where causality proves it, and nowhere else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from triage.engine import analyze
from triage.report import Report

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
Lines = Sequence[tuple[float, str]]
Log = Callable[..., Report]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Write named logs of (seconds, line), each by its own clock, and analyse them together."""

    def run(ahead: dict[str, float] | None = None, **files: Lines) -> Report:
        paths = []
        for name, lines in files.items():
            shift = (ahead or {}).get(name, 0.0)
            text = [
                f"{(START + timedelta(seconds=s + shift)).strftime('%Y-%m-%dT%H:%M:%S.%fZ')} {line}\n"
                for s, line in sorted(lines)
            ]
            path = tmp_path / f"{name}.log"
            path.write_text("".join(text))
            paths.append(str(path))
        return analyze(paths)

    return run


def _clocks(report: Report) -> list[str]:
    return [n for n in report.intake.notices if n.startswith("the clock of")]


def _moments(count: int, seed: int = 7) -> list[float]:
    dice = random.Random(seed)
    at, found = 200.0, []
    for _ in range(count):
        at += dice.expovariate(1 / 11)
        found.append(at)
    return found


def _shared(count: int, lag: float = 0.2, traced: bool = True) -> dict[str, Lines]:
    """An API that fails, and a web server that names it in its own error right after."""
    api: list[tuple[float, str]] = [(float(i), "INFO api: tick") for i in range(0, 900, 5)]
    web: list[tuple[float, str]] = [(float(i), "INFO web: tick") for i in range(0, 900, 5)]
    for n, at in enumerate(_moments(count)):
        told = f" request_id=r{n:07d}" if traced else ""
        api.append((at, f"ERROR api: KeyError: 'price' while pricing the basket{told}"))
        web.append((at + lag, f"ERROR web: call to http://api:8080/price failed: 500 Internal Server Error{told}"))
    return {"api": api, "web": web}


def test_a_clock_that_runs_ahead_is_measured_by_shared_traces(log: Log) -> None:
    report = log({"api": 38.0}, **_shared(41))
    told = _clocks(report)
    assert len(told) == 1
    assert told[0].startswith("the clock of `api` runs about 38 s or more ahead of `web` (41 shared traces")


def test_the_cause_stays_the_root_when_its_clock_runs_ahead(log: Log) -> None:
    right, skewed = log(**_shared(41)), log({"api": 38.0}, **_shared(41))
    for report in (right, skewed):
        assert report.failure(report.incidents[0].roots[0].failure).services == ("api",)
    assert [i.roots[0].failure for i in skewed.incidents] == [i.roots[0].failure for i in right.incidents]


def test_times_are_shown_as_logged(log: Log) -> None:
    right, skewed = log(**_shared(41)), log({"api": 38.0}, **_shared(41))
    (mine,) = (f for f in skewed.failures if f.services == ("api",))
    (theirs,) = (f for f in right.failures if f.services == ("api",))
    assert mine.first_seen is not None
    assert theirs.first_seen is not None
    assert (mine.first_seen - theirs.first_seen).total_seconds() == 38.0


def test_irregular_failures_without_a_trace_tell_the_offset_too(log: Log) -> None:
    told = _clocks(log({"api": 52.0}, **_shared(40, traced=False)))
    assert len(told) == 1
    assert "`api` runs about 52 s or more ahead of `web` (40 pairs" in told[0]


@pytest.mark.parametrize("ahead", [0.0, -38.0, 1.0])
def test_clocks_that_contradict_nothing_are_not_spoken_of(log: Log, ahead: float) -> None:
    assert _clocks(log({"api": ahead}, **_shared(41))) == []
    assert _clocks(log({"api": ahead}, **_shared(41, traced=False))) == []


def test_few_pairs_prove_nothing(log: Log) -> None:
    assert _clocks(log({"api": 38.0}, **_shared(5))) == []


def test_offsets_that_vary_are_delays_and_no_clock(log: Log) -> None:
    files = _shared(41)
    dice = random.Random(3)
    late = [(at + (dice.uniform(3, 60) if "ERROR" in text else 0), text) for at, text in files["api"]]
    assert _clocks(log(api=late, web=files["web"])) == []


def test_failures_at_a_steady_pace_fit_many_offsets_and_prove_none(log: Log) -> None:
    api = [(200.0 + 10 * i, "ERROR api: KeyError: 'price' while pricing") for i in range(40)]
    web = [(200.2 + 10 * i, "ERROR web: call to http://api:8080/price failed: 500") for i in range(40)]
    assert _clocks(log({"api": 34.0}, api=api, web=web)) == []


def test_a_line_written_when_a_wait_ends_may_be_late_by_itself(log: Log) -> None:
    """The caller gives up after 3 s, the server's own limit is 30 s: no clock is wrong."""
    api, web = [], []
    for n, at in enumerate(_moments(40)):
        web.append((at, f"ERROR web: GET http://api:8080/price: Read timed out. request_id=r{n:07d}"))
        api.append((at + 27, f"ERROR api: canceling statement due to statement timeout request_id=r{n:07d}"))
    assert _clocks(log(api=api, web=web)) == []


def _nodes(path: Path, *, ahead: float, traced: bool = True) -> Report:
    """One program on two hosts: node-b fails, node-a says so of the same request and names node-b. Clock of b `ahead`."""
    lines: list[tuple[float, str, str]] = [(float(i), f"node-{h}", "INFO tick") for i in range(0, 900, 5) for h in "ab"]
    for n, at in enumerate(_moments(41)):
        told = f" request_id=r{n:07d}" if traced else ""
        lines += [
            (at, "node-b", f"ERROR KeyError: 'price' while pricing the basket{told}"),
            (at + 0.2, "node-a", f"ERROR peer node-b failed: 500 Internal Server Error{told}"),
        ]
    moved = sorted((s + ahead if host == "node-b" else s, host, text) for s, host, text in lines)
    path.write_text(
        "".join(
            f"{(START + timedelta(seconds=s)).strftime('%Y-%m-%dT%H:%M:%S.%fZ')} {host} app[7]: {text}\n"
            for s, host, text in moved
        )
    )
    return analyze([str(path)])


def test_clocks_of_two_hosts_of_one_service_are_measured_where_one_names_the_other(tmp_path: Path) -> None:
    report = _nodes(tmp_path / "app.log", ahead=38.0)
    (told,) = _clocks(report)
    assert told.startswith("the clock of `node-b` runs about 38 s or more ahead of `node-a` (41 shared traces")
    assert "'price'" in report.failure(report.incidents[0].roots[0].failure).message


def test_hosts_of_one_service_whose_order_contradicts_nothing_are_not_spoken_of(tmp_path: Path) -> None:
    assert _clocks(_nodes(tmp_path / "right.log", ahead=0.0)) == []
    assert _clocks(_nodes(tmp_path / "behind.log", ahead=-38.0)) == []
    assert _clocks(_nodes(tmp_path / "untraced.log", ahead=38.0, traced=False)) == []
