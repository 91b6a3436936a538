"""`triage watch` on a made-up log that runs: how much it takes, in how much memory, how soon it speaks, what it costs while idle."""

from __future__ import annotations

import json
import os
import random
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.generate import KINDS, START
from triage.errors import TriageError

WATCH = (sys.executable, "-c", "from triage.cli import main; main()", "watch")
_TICK_HZ = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_STAMP = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d")
_SHAPES = {b"T": "%Y-%m-%dT%H:%M:%S", b" ": "%Y-%m-%d %H:%M:%S", b":": "%d/%b/%Y:%H:%M:%S"}
_LEN = 50_000  # records that are made once and sent again and again, with other times


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process that runs has used so far."""

    cpu_s: float
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Sample:
    """How a watch stood when it had taken so many lines."""

    lines: int
    seconds: float
    usage: Usage


def usage_of(pid: int) -> Usage:
    """CPU seconds and resident size of a process, as Linux counts them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / _TICK_HZ, resident * _PAGE / (1 << 20))


def make_blocks(kind: str, *, failing: bool, lines: int = _LEN) -> Iterator[bytes]:
    """The same records for ever, each block a second later than the one before it."""
    made = KINDS[kind](random.Random(7), lambda: 1.0 if failing else 0.0)
    text = b"\n".join(next(made).encode() for _ in range(lines)) + b"\n"
    found = _STAMP.search(text)
    if found is None:
        raise TriageError(f"the lines of {kind} have no time")
    pieces = _STAMP.split(text)
    shapes = [_SHAPES[b":" if b"/" in stamp else stamp[10:11]] for stamp in _STAMP.findall(text)]
    at = START
    while True:
        stamps = {shape: at.strftime(shape).encode() for shape in set(shapes)}
        block = bytearray(pieces[0])
        for shape, piece in zip(shapes, pieces[1:], strict=True):
            block += stamps[shape]
            block += piece
        yield bytes(block)
        at += timedelta(seconds=1)


def measure_flow(kind: str, lines: int, *, every: int, failing: bool = True) -> Iterator[Sample]:
    """Send that many lines as fast as they are taken; a sample after each `every` of them."""
    process = subprocess.Popen([*WATCH, "--quiet", "--jsonl", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    began, sent, due = time.monotonic(), 0, every
    assert process.stdin is not None
    try:
        for block in make_blocks(kind, failing=failing):
            process.stdin.write(block)
            sent += block.count(b"\n")
            if sent >= due:
                due += every
                yield Sample(sent, time.monotonic() - began, usage_of(process.pid))
            if sent >= lines:
                break
        process.stdin.close()
        if process.wait(600):
            raise TriageError(f"triage watch ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()


def measure_verdict(kind: str, rate: int, *, healthy_s: float) -> float:
    """Seconds from the first failing record, after some healthy seconds at `rate` records a second, to the first event."""
    process = subprocess.Popen([*WATCH, "--quiet", "--jsonl", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    steps = 50  # a second
    good = make_blocks(kind, failing=False, lines=rate // steps)
    bad = make_blocks(kind, failing=True, lines=rate // steps)
    failed = 0.0
    try:
        began = time.monotonic()
        for step in count():
            if step / steps < healthy_s:
                block = next(good)
                next(bad)
            else:
                failed = failed or time.monotonic()
                block = next(bad)
            process.stdin.write(block)
            process.stdin.flush()
            wait = max(0.0, began + (step + 1) / steps - time.monotonic())
            if select.select([process.stdout], [], [], wait)[0]:
                event = json.loads(process.stdout.readline())
                if not failed:
                    raise TriageError(f"an event without a failure: {event['text']}")
                return time.monotonic() - failed
            if failed and time.monotonic() - failed > 30:
                raise TriageError("no event in 30 s")
        raise AssertionError
    finally:
        process.kill()
        process.wait()


def measure_idle(seconds: float) -> float:
    """The share of one processor that a watch takes while nothing comes, once it has read some lines."""
    process = subprocess.Popen([*WATCH, "--quiet", "--jsonl", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    try:
        process.stdin.write(next(make_blocks("text", failing=True, lines=5_000)))
        process.stdin.flush()
        time.sleep(4)
        before = usage_of(process.pid)
        time.sleep(seconds)
        return (usage_of(process.pid).cpu_s - before.cpu_s) / seconds
    finally:
        process.kill()
        process.wait()


def describe_live(kind: str, lines: int, *, every: int, rate: int, times: int) -> Iterator[str]:
    """All measures as lines of text, each as soon as it is known."""
    yield f"{kind}, as fast as it is taken"
    yield from describe_flow(measure_flow(kind, lines, every=every))
    waits = sorted(measure_verdict(kind, rate, healthy_s=6) for _ in range(times))
    if waits:
        yield f"first verdict at {rate:,} lines/s: median {median(waits):.2f} s, slowest {waits[-1]:.2f} s"
    yield f"idle: {measure_idle(20):.1%} of a processor"


def describe_flow(samples: Iterator[Sample]) -> Iterator[str]:
    """A row for each sample as it comes: lines, lines a second, lines a CPU second, memory."""
    yield f"{'lines':>14}{'lines/s':>12}{'lines/CPU s':>14}{'MB':>8}"
    last = Sample(0, 0.0, Usage(0.0, 0.0))
    for now in samples:
        lines, cpu = now.lines - last.lines, now.usage.cpu_s - last.usage.cpu_s
        yield (
            f"{now.lines:>14,}{lines / (now.seconds - last.seconds):>12,.0f}"
            f"{lines / max(cpu, 0.01):>14,.0f}{now.usage.resident_mb:>8.0f}"
        )
        last = now
