"""`triage records`: the records themselves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from triage.cli.options import How, Inputs, Verbose, Within, check_output, make_options, name_inputs
from triage.cli.output import print_frames, say, write_frames
from triage.cli.reading import open_reading

FRAMES = (".parquet", ".jsonl", ".csv")


def records(
    inputs: Inputs = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write .parquet, .jsonl or .csv instead of JSON lines."),
    ] = None,
    within: Within = Within(),
    how: How = How(),
    fields: Annotated[
        bool, typer.Option("--fields", help="Keep the other fields of structured entries, as JSON.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Write the records themselves, one row each."""
    if output is not None:
        check_output(output, FRAMES, inputs or [])
    names = name_inputs(inputs)
    options = make_options(how, within, with_fields=fields)
    from triage.engine import read

    began = time.monotonic()
    with open_reading(names) as reading:
        found = read(names, options, stdin=reading.stdin)
        if output is None:
            print_frames(found.batches())
        else:
            write_frames(found, output)
            say(f"wrote {output}")
    if verbose:
        say(f"read in {time.monotonic() - began:.1f} s")
