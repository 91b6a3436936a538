"""The report as a Markdown document that a team can publish and complete."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triage.rendering import escaping, figures, story
from triage.rendering.escaping import Safe
from triage.rendering.redaction import rewritten
from triage.report import Report

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def markdown(report: Report) -> str:
    """The document: what happened, the cause with its evidence, what to do; questions for people are marked HUMAN."""
    told = story.tell(rewritten(report, escaping.visible))
    return _environment().get_template("report.md.j2").render(story=told, report=told.report)


def environment(*, html: bool) -> jinja2.Environment:
    """The templates with the filters that both documents share; whatever is not marked safe is escaped."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=html,
        finalize=None if html else _shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        amount=figures.amount,
        plural=figures.plural,
        share=figures.share,
        about=figures.about,
        millis=figures.millis,
        seconds=figures.seconds,
        size=figures.size,
        clock=figures.clock,
        spark=figures.sparkline,
        shorten=escaping.shorten,
        name_of=story.name_of,
        short_place=story.short_place,
        cluster_name=story.cluster_name,
        lasted=story.lasted,
        excerpt=story.excerpt,
        ledger=story.ledger,
        loop_words=story.loop_words,
    )
    return made


@cache
def _environment() -> jinja2.Environment:
    made = environment(html=False)
    made.filters.update(
        code=escaping.code,
        cell=escaping.cell,
        cell_code=escaping.cell_code,
        fenced=escaping.fenced,
        mermaid=lambda text: Safe(escaping.mermaid(text)),
        plain=Safe,
        refs=_refs,
        place=_place,
        human=_human,
    )
    return made


def _shown(value: Any) -> Any:
    """What an expression of the template becomes: escaped, unless a filter has done it."""
    return (
        value if isinstance(value, Safe | int) else escaping.sentence(escaping.shorten(str(value), escaping.MOST_PROSE))
    )


def _refs(refs: tuple[str, ...]) -> Safe:
    """The numbers of evidence as links into the appendix: [E1](#e1)."""
    return Safe(", ".join(f"[{r}](#{r.lower()})" for r in refs))


def _place(nodes: tuple[story.Node, ...], key: str) -> int:
    """The number of a node in the drawing, from 1."""
    return next(n for n, node in enumerate(nodes, 1) if node.key == key)


def _human(question: str, name: str) -> Safe:
    """A question that only people can answer, with its marker."""
    return Safe(f"<!-- HUMAN: {name} --> _{escaping.sentence(question)}_")
