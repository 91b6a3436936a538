"""Turn a Report into Markdown, a page, JSON or text for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from triage.errors import TriageError
from triage.report import Report

__all__ = ["OUTPUTS", "render"]


def _markdown(report: Report, _width: int | None, _colour: bool) -> str:
    from triage.rendering.markdown import markdown

    return markdown(report)


def _json(report: Report, _width: int | None, _colour: bool) -> str:
    from triage.rendering.plain import as_json

    return as_json(report)


def _terminal(report: Report, width: int | None, colour: bool) -> str:
    from triage.rendering.terminal import terminal

    return terminal(report, width=width, colour=colour)


def _page(report: Report, _width: int | None, _colour: bool) -> str:
    from triage.rendering.page import page

    return page(report)


OUTPUTS: dict[str, Callable[[Report, int | None, bool], str]] = {
    "md": _markdown,
    "json": _json,
    "terminal": _terminal,
    "html": _page,
}


def render(report: Report, to: str, *, width: int | None = None, colour: bool = False, redact: bool = True) -> str:
    """The report as text that ends with a newline: "md", "json", "terminal" or "html".

    Secrets and e-mail addresses are taken out unless `redact` is False. `width` (characters, 100 when None) and
    `colour` concern the terminal only. Texts longer than 4,000 characters are cut, after redaction. The same report
    gives the same text. TriageError for another output.
    """
    if to not in OUTPUTS:
        raise TriageError(f"no output called '{to}'", hint=f"known: {', '.join(OUTPUTS)}")
    from triage.rendering import escaping
    from triage.rendering.redaction import redacted, rewritten

    if redact:
        report = redacted(report)
    report = rewritten(report, escaping.capped)
    return OUTPUTS[to](report, width, colour)
