"""`python -m benchmarks generate KIND SIZE FILE`, `run [KIND...] [--size SIZE]`, `check` and `live [KIND] [--lines LINES]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.generate import KINDS, parse_size, write_log
from benchmarks.live import describe_live
from benchmarks.run import OURS, Run, compare, describe, disagreements, run_triage
from benchmarks.shapes import lay_out
from triage.errors import TriageError

PLAIN = ("gcp", "flat", "text", "access", "heroku")
LAID_OUT = ("many", "gzip")  # the text log in many small files, or packed


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Made-up logs, and triage measured on them."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="write a made-up log, the same for the same seed")
    generate.add_argument("kind", choices=PLAIN)
    generate.add_argument("size", help="100MB, 1GB")
    generate.add_argument("file", type=Path)
    generate.add_argument("--seed", type=int, default=7)
    run = commands.add_parser("run", help="triage against whatever else is installed, on the same questions, by turns")
    run.add_argument("kinds", choices=[*PLAIN, *LAID_OUT], nargs="*", default=list(PLAIN))
    run.add_argument("--size", default="100MB")
    run.add_argument("--file", type=Path, help="a log that generate wrote, instead of a new one; for one kind")
    run.add_argument("--rounds", type=int, default=3)
    run.add_argument("--peer", action="append", default=[], help="only this one; repeatable")
    run.add_argument("--jobs", help="as of triage analyze")
    check = commands.add_parser("check", help="every kind once, small: do all agree?")
    check.add_argument("--size", default="5MB")
    live = commands.add_parser("live", help="triage watch on a log that runs (Linux)")
    live.add_argument("kind", choices=KINDS, nargs="?", default="text")
    live.add_argument("--lines", type=int, default=5_000_000, help="how many are sent as fast as they are taken")
    live.add_argument("--every", type=int, default=1_000_000, help="a row of the table for each so many")
    live.add_argument("--rate", type=int, default=50_000, help="lines a second, for the time to the first verdict")
    live.add_argument("--times", type=int, default=5, help="how often that is measured")
    call = parser.parse_args(args)
    try:
        if call.command == "generate":
            lines = write_log(call.kind, parse_size(call.size), call.file, seed=call.seed)
            sys.stdout.write(f"{call.file}: {lines:,} lines\n")
            return 0
        if call.command == "live":
            for line in describe_live(call.kind, call.lines, every=call.every, rate=call.rate, times=call.times):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
            return 0
        if call.command == "check":
            call.kinds, call.rounds, call.file, call.peer, call.jobs = [*PLAIN, *LAID_OUT], 1, None, [], None
        for kind in call.kinds:
            options = ["--jobs", call.jobs] if call.jobs else []
            sys.stdout.write(measure(kind, call.size, call.file, call.rounds, call.peer, options) + "\n\n")
            sys.stdout.flush()
    except TriageError as mistake:
        sys.stderr.write(f"benchmarks: {mistake}\n")
        return 2
    return 0


def measure(kind: str, size: str, file: Path | None, rounds: int, peers: Sequence[str], options: Sequence[str]) -> str:
    """The table for one kind, on a log made for the occasion where none is given."""
    with tempfile.TemporaryDirectory() as folder:
        made = file or Path(folder) / f"{kind}-{size}.log"
        if file is None:
            write_log("text" if kind in LAID_OUT else kind, parse_size(size), made)
        if kind in PLAIN:
            runs = compare(kind, made, rounds=rounds, names=peers, options=options)
            return describe(kind, made.stat().st_size, runs)
        laid = lay_out(made, kind)
        return describe(kind, made.stat().st_size, _by_turns(laid, made, rounds, options))


def _by_turns(laid: Path, plain: Path, rounds: int, options: Sequence[str]) -> dict[str, list[Run]]:
    """triage on a log as it is laid out, and on the same log in one plain file."""
    runs: dict[str, list[Run]] = {OURS: [], "triage, one plain file": []}
    for _ in range(rounds):
        ours, again = run_triage(laid, options), run_triage(plain, options)
        same = {name: value for name, value in again.answer.items() if name in ("errors", "warnings")}
        if problems := disagreements(ours.answer, same):
            raise TriageError(f"{laid.name} and {plain.name} differ: " + "; ".join(problems))
        runs[OURS].append(ours)
        runs["triage, one plain file"].append(again)
    return runs


if __name__ == "__main__":
    sys.exit(main())
