"""`triage diff` and `triage verify`: two reports held against each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from triage.cli.options import Format, How, NoRedact, To, make_options
from triage.cli.output import REACHED, put
from triage.errors import TriageError

if TYPE_CHECKING:
    from triage.engine import Options


def diff(
    before: Annotated[
        str, typer.Argument(metavar="BEFORE", help="A log, a folder of logs, a summary or a JSON report.")
    ],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The same, of later.")],
    to: Format = To.TERMINAL,
    how: How = How(),
    no_redact: NoRedact = False,
) -> None:
    """Say what is new, gone, louder, quieter, slower or fails more."""
    options = make_options(how)
    from triage.diagnosis.compare import compare
    from triage.rendering.comparison import show_comparison

    found = compare(report_side(before, options), report_side(after, options))
    put(show_comparison(found, to.value, redact=not no_redact).rstrip("\n"))


def verify(
    report: Annotated[Path, typer.Argument(metavar="REPORT.json", help="What triage analyze --format json wrote.")],
    after: Annotated[
        str, typer.Argument(metavar="AFTER", help="A log, a folder of logs, a summary or a report of later.")
    ],
    to: Format = To.TERMINAL,
    how: How = How(),
    no_redact: NoRedact = False,
) -> None:
    """Measure a report's success metrics again; exit with 1 while the incident has not ended."""
    then = _report_of(report)
    if then is None:
        raise TriageError(f"{report} is no JSON report", hint="triage analyze LOGS -o report.json writes one")
    options = make_options(how)
    from triage.diagnosis.compare import verify as measure
    from triage.rendering.comparison import show_checks

    found = measure(then, report_side(after, options))
    put(show_checks(found, to.value, redact=not no_redact).rstrip("\n"))
    if not all(c.met for c in found):
        raise typer.Exit(REACHED)


def report_side(name: str, options: Options) -> dict[str, Any]:
    """The report, in its JSON form, of a log, a folder, a summary or a JSON report."""
    path = Path(name)
    known = _report_of(path)
    if known is not None:
        return known
    if path.suffix == ".summary" and path.is_file():
        from triage.diagnosis.diagnose import diagnose
        from triage.summary import Summary

        return diagnose(Summary.load(path), patterns=options.patterns).to_dict()
    from triage.engine import analyze as analyze_logs

    plain = replace(options, repo=None, baseline=None, title=None)
    return analyze_logs([name], plain, stdin=None).to_dict()


def _report_of(path: Path) -> dict[str, Any] | None:
    """The JSON report in that file; None when it holds something else."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if not re.match(rb'\s*\{\s*"schema"\s*:\s*"triage\.report/1"', file.read(200)):
            return None
    import json

    try:
        held = json.loads(path.read_bytes())
    except ValueError as problem:
        raise TriageError(f"{path}: not valid JSON: {problem}", hint="write the report again") from None
    return held if isinstance(held, dict) else None
