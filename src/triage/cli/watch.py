"""`triage watch`: logs that still run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triage.cli.compare import report_side
from triage.cli.options import (
    Baseline,
    FailOn,
    Format,
    How,
    NoRedact,
    Outputs,
    Quiet,
    Title,
    To,
    check_outputs,
    make_options,
    name_inputs,
)
from triage.cli.output import deliver, put, say, terminal_width, wants_colour, write_files
from triage.errors import TriageError

if TYPE_CHECKING:
    from triage.report import Report


def watch(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Files that grow (they need not exist yet), globs, folders, or - for standard input; "
            "behind -- a command whose output is read.",
            show_default=False,
        ),
    ] = None,
    output: Outputs = None,
    to: Format = To.TERMINAL,
    how: How = How(),
    baseline: Baseline = None,
    title: Title = None,
    on_incident: Annotated[
        str | None,
        typer.Option(
            "--on-incident",
            metavar="COMMAND",
            help="Run this for each incident that opens, changes or recovers: JSON on its standard input, "
            "TRIAGE_EVENT, TRIAGE_SEVERITY and TRIAGE_TEXT in its environment.",
        ),
    ] = None,
    cooldown: Annotated[
        float, typer.Option("--cooldown", metavar="SECONDS", help="Between two events of one incident, at least.")
    ] = 60.0,
    jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help="Write the events to standard output, one JSON object a line, and no report."),
    ] = False,
    no_redact: NoRedact = False,
    fail_on: FailOn = None,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong while the log still runs; at the end, write the report."""
    command: Sequence[str] = context.obj or ()
    if command and inputs:
        raise TriageError("inputs and a command are given", hint="triage watch app.log, or triage watch -- COMMAND")
    outputs = check_outputs(output or [], inputs or [])
    names = [] if command else name_inputs(inputs)
    options = make_options(how, title=title)
    if baseline is not None:
        options = replace(options, baseline=report_side(baseline, options))
    from triage.live import Wishes, run

    def write_now(report: Report) -> str:
        paths = outputs or [Path("triage-report.md")]
        write_files(report, paths, redact=not no_redact)
        return f"wrote {', '.join(str(p) for p in paths)}"

    width = terminal_width()
    wishes = Wishes(
        screen=width is not None
        and not (jsonl or quiet or os.environ.get("TERM") == "dumb")
        and sys.platform != "win32",
        colour=wants_colour(),
        redact=not no_redact,
        quiet=quiet,
        cooldown_s=cooldown,
        jsonl=jsonl,
        on_incident=on_incident,
        environment=dict(os.environ),
        say=say,
        show=put,
        write=write_now,
    )
    ended = run(names, command, options, wishes, pipe=sys.stdin.fileno() if "-" in names else None)
    deliver(ended.report, outputs, to, redact=not no_redact, quiet=quiet, fail_on=fail_on, taken=jsonl)
    if ended.code:
        raise typer.Exit(ended.code)
