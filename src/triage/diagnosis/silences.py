"""Silences: a service that logged at a steady pace and stops while others go on, held against its own rhythm."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.diagnosis.metrics import from_us, to_us
from triage.diagnosis.shifts import Shift
from triage.diagnosis.wording import percent, span_words
from triage.summary import Summary

MOMENTS = 60  # so many moments make a rhythm
RUNS = 6  # and so many runs of something that comes at fixed times
BESIDE_US = 1_000_000
LEAST_US = 60_000_000
CHANCE = 14.0  # a silence that a steady pace would have by luck once in a million times, for each moment that was seen
LONGER = 5.0  # times the longest pause that was usual
EVENLY = 3.0  # the same for a pace that hardly varies
MISSED = 1.8  # times the usual pause between runs: at least one did not come
VARIES = 1.25  # the longest pause between runs over the shortest one
GRACE_US = 30_000_000
REST = 0.3  # of the log: a silence to its end, of a service that was there for as long, is worth a look by itself
STEADY = 10.0
_ENDS = ("stop", "exit", "worker_exit", "oom", "deploy", "start", "ready")
_CELLS = 240


class _Silence(Struct, frozen=True):
    start: int
    end: int
    pace: float  # microseconds between two moments before
    runs: int  # runs that did not come, of something that comes at fixed times
    steady: float  # times the longest usual pause
    before: int  # microseconds for which it was there


def silences(summary: Summary) -> list[Shift]:
    """Services that fall silent, and a silence of all of them. The end of the log, or of an input, is none."""
    every = summary["volume"].drop_nulls("bucket")
    if not every.height:
        return []
    width = summary.widths["volume"]
    all_of_it = every["bucket"].unique().sort().to_list()
    ends = {to_us(t) // width * width for t in summary["sources"]["last"].drop_nulls()}
    found: list[Shift] = []
    services = every["service"].unique().sort(nulls_last=True).to_list()
    for service in services:
        mine = every.filter(pl.col("service").eq_missing(service))
        pause = mine["bucket"].unique().sort().extend_constant(all_of_it[-1], 1).diff().max()
        if not isinstance(pause, int) or pause < LEAST_US:
            continue
        calm = (mine["level"] < "WARNING").fill_null(value=True)
        times, failing = sorted(set(mine.filter(calm)["bucket"])), sorted(set(mine.filter(~calm)["bucket"]))
        for silence in _silences(_apart(times, failing), all_of_it[-1]):
            last = [t for t in failing if silence.start < t < silence.end]
            if any(t > silence.start + LEAST_US for t in last):
                continue
            silence = replace(silence, start=max([silence.start, *last]))
            others = [t for t in all_of_it if silence.start < t < silence.end]
            to_the_end = silence.end == all_of_it[-1]
            if (to_the_end and silence.start in ends) or _orderly(silence, service, summary):
                continue
            if len(others) * 20 < len(all_of_it) * (silence.end - silence.start) / max(1, all_of_it[-1] - all_of_it[0]):
                others = []  # a line or two of others do not make them go on
            if not others and to_the_end:
                continue
            found.append(_told(silence, service if others else None, to_the_end, all_of_it))
    return _once(found)


def _apart(times: Sequence[int], failing: Sequence[int]) -> list[int]:
    """The moments that are not beside a failure: an end of failures, and of what is said along with them, is no silence."""
    return [t for t in times if bisect_left(failing, t - BESIDE_US) == bisect_right(failing, t + BESIDE_US)]


def _silences(times: Sequence[int], end: int) -> Iterator[_Silence]:
    """Where the moments of one service leave a pause that its own rhythm does not have."""
    gaps = [b - a for a, b in pairwise(times)]
    if len(gaps) < RUNS:
        return
    pauses = [(gap, at, at + gap) for at, gap in zip(times, gaps, strict=False)] + [(end - times[-1], times[-1], end)]
    longest, start, stop = max(pauses)
    if longest < LEAST_US:
        return
    rest = sorted(gap for gap, at, _ in pauses[:-1] if at != start)
    if not rest:
        return
    before = start - times[0]
    usual = rest[-1]
    pace = sum(rest) / len(rest)
    factor = EVENLY if usual <= 1.5 * median(rest) else LONGER
    seen = sum(t <= start for t in times)
    if (
        seen >= MOMENTS
        and longest >= factor * usual
        and longest >= pace * (math.log(len(times)) + CHANCE)
        and before >= longest / 2
    ):
        yield _Silence(start, stop, pace, 0, longest / usual, before)
        return
    between = [gap for gap in rest if gap > 10 * median(rest)] or rest
    if len(between) >= RUNS and between[-1] <= VARIES * between[0] and longest >= MISSED * between[-1] and before >= 3 * between[0]:  # fmt: skip
        yield _Silence(
            start, stop, median(between), max(1, round(longest / median(between)) - 1), longest / usual, before
        )


def _orderly(silence: _Silence, service: str | None, summary: Summary) -> bool:
    """Whether the log says at its beginning that the service was stopped, ended or is being replaced."""
    marks = summary["marks"].filter(
        pl.col("mark").is_in(_ENDS), pl.col("service").is_null() | pl.col("service").eq_missing(service),
        pl.col("bucket").is_between(silence.start - GRACE_US, silence.start + GRACE_US),
    )  # fmt: skip
    return marks.height > 0


def _told(silence: _Silence, service: str | None, to_the_end: bool, all_of_it: Sequence[int]) -> Shift:
    long = span_words((silence.end - silence.start) / 1e6)
    pace = span_words(silence.pace / 1e6)
    who = f"{service}: no" if service else "No"
    if silence.runs:
        text = f"{who} run for {long}, before one every {pace}"
        why = f"{silence.runs} did not come"
    else:
        text = f"{who} record for {long}, before one every {pace}"
        why = f"{silence.steady:,.0f} times its longest pause"
    window = max(1, all_of_it[-1] - all_of_it[0])
    step = max(1, window // _CELLS)
    rest = (silence.end - silence.start) / window
    steady = silence.steady >= STEADY and silence.before >= REST * window
    return Shift(
        "gap", service, text, "silence", f"{why}; {percent(rest)} of the log's time", 1, from_us(silence.start), from_us(silence.end),
        tuple(range(silence.start, silence.end, step)), (),
        bears=service is not None and to_the_end and steady and rest >= REST / 2,
    )  # fmt: skip


def _once(found: Sequence[Shift]) -> list[Shift]:
    """Services that fall silent together are one silence."""
    whole = [s for s in found if s.service is None]
    return [s for s in found if s.service is not None] + whole[:1]
