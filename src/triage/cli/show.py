"""`triage show`: one item of a report."""

from __future__ import annotations

from typing import Annotated

import typer

from triage.cli.options import How, Inputs, NoRedact, Quiet, Within, make_options, name_inputs
from triage.cli.output import put, terminal_width, wants_colour
from triage.cli.reading import open_reading, show_progress


def show_item(
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a cluster or failure, or its beginning; of a link CAUSE->EFFECT.")
    ],
    inputs: Inputs = None,
    why: Annotated[
        bool, typer.Option("--why", help="Every part of the signature, whether it contributes, and why.")
    ] = False,
    within: Within = Within(),
    how: How = How(),
    no_redact: NoRedact = False,
    quiet: Quiet = False,
) -> None:
    """Show one cluster, failure or link of a report with all its evidence."""
    names = name_inputs(inputs)
    options = make_options(how, within)
    from triage.diagnosis.reasons import reasons
    from triage.engine import report_on
    from triage.rendering.closeup import closeup, find

    with open_reading(names) as reading, show_progress(not quiet) as progress:
        report = report_on(names, options, stdin=reading.stdin, progress=progress)
    item = find(report, wanted)
    parts = reasons(item, patterns=options.patterns) if why else None
    put(closeup(report, item, why=parts, width=terminal_width(), colour=wants_colour(), redact=not no_redact))
