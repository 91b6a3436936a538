"""What the command line writes: data to stdout, sentences to stderr, reports into files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from triage.cli.options import SUFFIXES, Severity, To

if TYPE_CHECKING:
    import polars as pl

    from triage.engine import Records
    from triage.report import Report

REACHED = 1


def deliver(
    report: Report,
    outputs: Sequence[Path],
    to: To,
    *,
    redact: bool,
    quiet: bool,
    fail_on: Severity | None,
    taken: bool = False,
) -> None:
    """Write the files, then stdout unless it is taken by something else, then exit by severity."""
    from triage.rendering import render

    write_files(report, outputs, redact=redact)
    if not quiet:
        for path in outputs:
            say(f"wrote {path}")
    if not (taken or (quiet and outputs)):
        put(render(report, to.value, width=terminal_width(), colour=wants_colour(), redact=redact))
    if fail_on is not None and report.severity is not None and report.severity <= fail_on.value:
        raise typer.Exit(REACHED)


def write_files(report: Report, outputs: Sequence[Path], *, redact: bool) -> None:
    from triage.rendering import render

    for path in outputs:
        path.write_bytes(_encode(render(report, SUFFIXES[path.suffix.lower()], redact=redact)))


def print_frames(frames: Iterator[pl.DataFrame]) -> None:
    for frame in frames:
        if frame.height and not put(_with_text_times(frame.lazy()).collect().write_ndjson()):
            return


def write_frames(records: Records, path: Path) -> None:
    """Stream the records into a file; memory stays that of a few batches."""
    from polars.io.plugins import register_io_source

    batches = records.batches()
    first = next(batches, None)
    if first is None:
        first = records.collect()

    def all_batches(
        _columns: list[str] | None, _predicate: pl.Expr | None, _rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:  # a sink asks for everything, so there is nothing to push down
        yield first
        yield from batches

    lazy = register_io_source(all_batches, schema=first.schema)
    match path.suffix.lower():
        case ".parquet":
            lazy.sink_parquet(path)
        case ".csv":
            _with_text_times(lazy).sink_csv(path)
        case _:
            _with_text_times(lazy).sink_ndjson(path)


def _with_text_times(records: pl.LazyFrame) -> pl.LazyFrame:
    """Times as in a report, ISO 8601 with Z: formats without a type for times have several ways to write one."""
    import polars as pl

    return records.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))


def tell_how(report: Report, seconds: float) -> None:
    for i in report.inputs:
        say(f"{i.name}: {i.format} ({i.why}), {i.lines:,} lines, {i.records:,} records")
    for notice in report.intake.notices:
        say(notice)
    say(f"{report.counts.records:,} records in {seconds:.1f} s")


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None where it is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _encode(text: str) -> bytes:
    return (text if text.endswith("\n") or not text else text + "\n").encode("utf-8", "backslashreplace")


def put(text: str, *, flush: bool = True) -> bool:
    """Data to stdout, as UTF-8 whatever the locale says; False when nobody reads it any more."""
    raw = getattr(sys.stdout, "buffer", None)
    try:
        if raw is None:
            sys.stdout.write(_encode(text).decode())
        else:
            raw.write(_encode(text))
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        # what is still buffered must not fail again at exit
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
        return False
    return True


def say(text: str) -> None:
    """A sentence to stderr; a stderr that is closed is no reason to fail."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
            sys.stderr.flush()
