"""`python -m benchmarks generate KIND SIZE FILE`, `run [KIND] [--size SIZE]` and `live [KIND] [--lines LINES]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.generate import KINDS, parse_size, write_log
from benchmarks.live import describe_live
from benchmarks.run import compare, describe
from triage.errors import TriageError


def main() -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Made-up logs, and triage measured on them."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="write a made-up log, the same for the same seed")
    generate.add_argument("kind", choices=KINDS)
    generate.add_argument("size", help="100MB, 1GB")
    generate.add_argument("file", type=Path)
    generate.add_argument("--seed", type=int, default=7)
    run = commands.add_parser("run", help="triage against DuckDB (pip install duckdb) on the same questions")
    run.add_argument("kind", choices=KINDS, nargs="?", default="gcp")
    run.add_argument("--size", default="100MB")
    run.add_argument("--file", type=Path, help="a log that generate wrote, instead of a new one")
    run.add_argument("--pairs", type=int, default=3)
    live = commands.add_parser("live", help="triage watch on a log that runs (Linux)")
    live.add_argument("kind", choices=KINDS, nargs="?", default="text")
    live.add_argument("--lines", type=int, default=5_000_000, help="how many are sent as fast as they are taken")
    live.add_argument("--every", type=int, default=1_000_000, help="a row of the table for each so many")
    live.add_argument("--rate", type=int, default=50_000, help="lines a second, for the time to the first verdict")
    live.add_argument("--times", type=int, default=5, help="how often that is measured")
    call = parser.parse_args()
    try:
        if call.command == "generate":
            lines = write_log(call.kind, parse_size(call.size), call.file, seed=call.seed)
            sys.stdout.write(f"{call.file}: {lines:,} lines\n")
        elif call.command == "live":
            for line in describe_live(call.kind, call.lines, every=call.every, rate=call.rate, times=call.times):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
        else:
            sys.stdout.write(measure(call.kind, call.size, call.file, call.pairs) + "\n")
    except TriageError as mistake:
        sys.stderr.write(f"benchmarks: {mistake}\n")
        return 2
    return 0


def measure(kind: str, size: str, file: Path | None, pairs: int) -> str:
    """The table for one log, made for the occasion where none is given."""
    if file is not None:
        return describe(file, compare(kind, file, pairs=pairs))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{kind}-{size}.log"
        write_log(kind, parse_size(size), made)
        return describe(made, compare(kind, made, pairs=pairs))


if __name__ == "__main__":
    sys.exit(main())
