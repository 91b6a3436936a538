"""`triage analyze`: logs to an incident report."""

from __future__ import annotations

import time

from msgspec.structs import replace

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
    Quiet,
    Repo,
    Title,
    To,
    Verbose,
    Within,
    check_outputs,
    make_options,
    name_inputs,
)
from triage.cli.output import deliver, tell_how
from triage.cli.reading import Stopped, open_reading, show_progress


def analyze(
    inputs: Inputs = None,
    output: Outputs = None,
    to: Format = To.TERMINAL,
    within: Within = Within(),
    how: How = How(),
    limits: Limits = Limits(),
    repo: Repo = None,
    baseline: Baseline = None,
    title: Title = None,
    no_redact: NoRedact = False,
    fail_on: FailOn = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn logs into an incident report."""
    outputs = check_outputs(output or [], inputs or [])
    names = name_inputs(inputs)
    options = make_options(how, within, limits, repo=repo, title=title)
    if baseline is not None:
        options = replace(options, baseline=report_side(baseline, options))
    from triage.engine import analyze as analyze_logs

    began = time.monotonic()
    with open_reading(names) as reading, show_progress(not quiet) as progress:
        report = analyze_logs(names, options, stdin=reading.stdin, progress=progress)
    if verbose:
        tell_how(report, time.monotonic() - began)
    if reading.signals and not report.counts.records:
        raise Stopped(reading.signals[0])
    deliver(report, outputs, to, redact=not no_redact, quiet=quiet, fail_on=fail_on)
