"""The report as one page of HTML that needs nothing else: no script, no font, no image from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from triage.rendering import escaping, figures, story
from triage.rendering.markdown import environment
from triage.rendering.redaction import rewritten
from triage.report import Report

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_UNIT = re.compile(r"(?<=\d) (?=(?:%|×|ms|s|min|h|d|kB|MB|GB)(?!\w))|(?<=×) (?=\d)")


def page(report: Report) -> str:
    """The page: the facts of the Markdown document, with its chain, trends and evidence drawn."""
    told = story.tell(rewritten(report, escaping.visible))
    return _environment().get_template("report.html.j2").render(story=told, report=told.report)


@cache
def _environment() -> jinja2.Environment:
    made = environment(html=True)
    made.filters.update(prose=_prose, refs=_refs, bars=_bars, tight=_tight)
    return made


def _prose(text: str) -> Markup:
    """A sentence; what stands between two backticks is code."""
    from markupsafe import Markup

    parts = (
        Markup("<code>{}</code>").format(t) if is_code else Markup("{}").format(_tight(t))
        for is_code, t in escaping.spans(escaping.shorten(text, escaping.MOST_PROSE))
    )
    return Markup("").join(parts)


def _tight(text: str) -> str:
    """The text with figures and their units on one line: 100 %, 28.6 s, 63 × 500."""
    return _UNIT.sub("\u00a0", text)


def _refs(refs: Sequence[str]) -> Markup:
    """The numbers of evidence as links into the page."""
    from markupsafe import Markup

    return Markup(" ").join(Markup('<a class="ref" href="#{}">{}</a>').format(r.lower(), r) for r in refs)


def _bars(values: Sequence[int], most: int = 40, height: int = 22) -> Markup:
    """Counts as a small bar chart, at most that many bars of 5 by `height` units."""
    from markupsafe import Markup

    squeezed = figures.squeeze(values, most)
    top = max(squeezed, default=0)
    if top <= 0:
        return Markup("")
    bars = Markup("").join(
        Markup('<rect x="{}" y="{:.1f}" width="4" height="{:.1f}"/>').format(5 * n, height - tall, tall)
        for n, value in enumerate(squeezed)
        if (tall := max(1.5, value / top * height) if value > 0 else 0.0)
    )
    frame = '<svg class="bars" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" width="{}" height="{}">{}</svg>'
    words = f"from {min(values):,} to {max(values):,} in a slice"
    return Markup(frame).format(words, 5 * len(squeezed), height, 5 * len(squeezed), height, bars)
