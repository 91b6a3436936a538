"""`triage summarize` and `triage report`: the two halves of analyze."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from triage.cli.compare import report_side
from triage.cli.options import (
    Baseline,
    FailOn,
    Format,
    How,
    Inputs,
    Limits,
    NoRedact,
    Outputs,
    Patterns,
    Quiet,
    Repo,
    Title,
    To,
    Verbose,
    Within,
    check_output,
    check_outputs,
    check_repo,
    make_options,
    name_inputs,
)
from triage.cli.output import deliver, say, tell_how
from triage.cli.reading import open_reading, show_progress
from triage.errors import TriageError


def summarize(
    inputs: Inputs = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.summary", help="Where the summary goes.")
    ] = None,
    within: Within = Within(),
    how: How = How(),
    limits: Limits = Limits(),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Read logs into a small file that merges with others: the first half of analyze, for many hosts."""
    if output is None:
        raise TriageError("summarize needs a file to write", hint="triage summarize app.log -o app.summary")
    check_output(output, (".summary",), inputs or [])
    names = name_inputs(inputs)
    options = make_options(how, within, limits)
    from triage.engine import summarize as summarize_logs

    began = time.monotonic()
    with open_reading(names) as reading, show_progress(not quiet) as progress:
        summary = summarize_logs(names, options, stdin=reading.stdin, progress=progress)
    summary.save(output)
    if not quiet:
        say(f"wrote {output}")
    if verbose:
        say(f"read in {time.monotonic() - began:.1f} s")


def report(
    summaries: Annotated[list[Path], typer.Argument(metavar="FILE.summary...", help="What triage summarize wrote.")],
    output: Outputs = None,
    to: Format = To.TERMINAL,
    patterns: Patterns = None,
    repo: Repo = None,
    baseline: Baseline = None,
    title: Title = None,
    no_redact: NoRedact = False,
    fail_on: FailOn = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn summaries into one incident report: the second half of analyze."""
    outputs = check_outputs(output or [], [str(p) for p in summaries])
    for path in summaries:
        if not path.is_file():
            raise TriageError(f"no such file: {path}", hint="triage summarize LOGS -o FILE.summary makes one")
    check_repo(repo)
    from triage.diagnosis.diagnose import diagnose
    from triage.summary import Summary

    began = time.monotonic()
    merged = Summary.merge([Summary.load(p) for p in summaries])
    good = report_side(baseline, make_options(How(patterns=patterns))) if baseline is not None else None
    found = diagnose(merged, title=title, patterns=tuple(patterns or ()), repo=repo, baseline=good)
    if verbose:
        tell_how(found, time.monotonic() - began)
    deliver(found, outputs, to, redact=not no_redact, quiet=quiet, fail_on=fail_on)
