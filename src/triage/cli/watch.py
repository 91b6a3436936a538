"""`triage watch`: logs that still run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from triage.cli.compare import report_side
from triage.cli.options import (
    Baseline,
    FailOn,
    Format,
    How,
    NoRedact,
    Outputs,
    Quiet,
    Repo,
    Title,
    To,
    check_outputs,
    make_options,
    name_inputs,
)
from triage.cli.output import deliver, put, say, terminal_width, wants_colour, write_files
from triage.errors import TriageError
from triage.live.signals import catch_signals

if TYPE_CHECKING:
    from triage.engine import Options
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
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Leave out what is older: 2025-09-16T04:41, or 30m before now."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="End then, and leave out what is younger; 30m is in 30 minutes."),
    ] = None,
    how: How = How(),
    repo: Repo = None,
    baseline: Baseline = None,
    title: Title = None,
    on_incident: Annotated[
        str | None,
        typer.Option(
            "--on-incident",
            metavar="COMMAND",
            help="Run this for each incident that opens, changes or recovers: JSON on its standard input; TRIAGE_EVENT, "
            "TRIAGE_SEVERITY, TRIAGE_TEXT and TRIAGE_MARKDOWN in its environment.",
        ),
    ] = None,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            "--notify",
            metavar="KIND=URL",
            help="Send the same events to slack=URL (an incoming webhook) or webhook=URL (JSON); without =URL it is "
            "taken from TRIAGE_SLACK_URL or TRIAGE_WEBHOOK_URL. Nothing else leaves this machine. Repeatable.",
            show_default=False,
        ),
    ] = None,
    cooldown: Annotated[
        float, typer.Option("--cooldown", metavar="SECONDS", help="Between two events of one incident, at least.")
    ] = 60.0,
    jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help="Write the events to standard output, one JSON object a line, and no report."),
    ] = False,
    reconnect: Annotated[
        bool, typer.Option("--reconnect", help="Start the command behind -- again whenever it ends by itself.")
    ] = False,
    no_redact: NoRedact = False,
    fail_on: FailOn = None,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong while the log still runs; at the end, write the report."""
    command: Sequence[str] = context.obj or ()
    if command and inputs:
        raise TriageError("inputs and a command are given", hint="triage watch app.log, or triage watch -- COMMAND")
    if reconnect and not command:
        raise TriageError("--reconnect needs a command", hint="triage watch --reconnect -- kubectl logs -f deploy/api")
    outputs = check_outputs(output or [], inputs or [])
    names = [] if command else name_inputs(inputs)
    with catch_signals() as asked:  # from here on: what takes long are the imports, and Ctrl-C may come during those
        from triage.live.notify import parse_receiver
        from triage.live.session import Wishes, run

        asked.again()
        options, end = _options(how, since, until, repo, title)
        if baseline is not None:
            options = replace(options, baseline=report_side(baseline, options))

        def write_now(report: Report) -> str:
            paths = outputs or [Path("triage-report.md")]
            write_files(report, paths, redact=not no_redact)
            return f"wrote {', '.join(str(p) for p in paths)}"

        wishes = Wishes(
            screen=not (jsonl or quiet) and _has_screen(),
            colour=wants_colour(),
            redact=not no_redact,
            quiet=quiet,
            cooldown_s=cooldown,
            jsonl=jsonl,
            on_incident=on_incident,
            receivers=tuple(parse_receiver(text, os.environ) for text in notify or []),
            reconnect=reconnect,
            until=end,
            environment=dict(os.environ),
            say=say,
            show=put,
            write=write_now,
        )
        ended = run(names, command, options, wishes, asked, pipe=sys.stdin.fileno() if "-" in names else None)
        deliver(ended.report, outputs, to, redact=not no_redact, quiet=quiet, fail_on=fail_on, taken=jsonl)
    if ended.code:
        raise typer.Exit(ended.code)


def _options(
    how: How, since: str | None, until: str | None, repo: Path | None, title: str | None
) -> tuple[Options, datetime | None]:
    """The options with spans counted from now, and when the watch ends."""
    options = make_options(how, repo=repo, title=title)
    if since is None and until is None:
        return options, None
    from triage.options import moment, read_span

    now = datetime.now(UTC)
    first = moment(since, now).isoformat() if since is not None else None
    if until is None:
        return replace(options, since=first), None
    ahead = read_span(until)
    last = now + ahead if ahead is not None else moment(until)
    return replace(options, since=first, until=last.isoformat()), last


def _has_screen() -> bool:
    return terminal_width() is not None and os.environ.get("TERM") != "dumb" and sys.platform != "win32"
