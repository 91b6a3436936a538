"""What happened to an incident, as a sentence, Markdown, JSON and a message for Slack."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from triage.rendering import escaping, figures, story
from triage.rendering.redaction import redacted, rewritten
from triage.report import Incident, Report

SCHEMA = "triage.event/1"
_MOST_HEADER = 150  # characters that Slack takes in a header
_MOST_SECTION = 2_900  # and in a section, with some room for escapes
_SLACK = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_STYLING = re.compile(r"[*_~`]")


class Message(Struct, frozen=True):
    """An event in the words that everybody gets, redacted; its other forms are made of it."""

    kind: str  # opened, changed, recovered, returned, withdrawn
    at: datetime | None
    incident: Incident
    headline: str
    cause: str
    place: str
    sure: str
    confidence: float | None
    todo: str
    inputs: tuple[str, ...]

    @property
    def text(self) -> str:
        """The event as one line of plain text."""
        title = escaping.shorten(escaping.visible(self.incident.title), 160)
        words = _plain(self.headline)
        tail = f" - {words}" if words and self.kind not in ("recovered", "withdrawn") else ""
        return f"{self.incident.severity} {self.kind}: {title}{tail}"


def message(kind: str, at: datetime | None, incident: Incident, report: Report, *, redact: bool = True) -> Message:
    """An event of an incident that the report tells of, or told of before."""
    root = incident.roots[0] if incident.roots else None
    failure = next((f for f in report.failures if root is not None and f.id == root.failure), None)
    first = bool(report.incidents) and report.incidents[0].id == incident.id
    made = Message(
        kind=kind,
        at=at,
        incident=incident,
        headline=report.headline if first else "",
        cause=story.name_of(failure) if failure is not None else "",
        place=(failure.frame or "") if failure is not None else "",
        sure=figures.confidence(root.confidence) if root is not None and failure is not None else "",
        confidence=root.confidence if root is not None and failure is not None else None,
        todo=report.actions[0].text if first and report.actions and kind not in ("recovered", "withdrawn") else "",
        inputs=tuple(i.name for i in report.inputs),
    )
    return rewritten(redacted(made) if redact else made, escaping.encodable)


def as_event(told: Message) -> dict[str, Any]:
    """The event as plain data, schema `triage.event/1`: what --jsonl, --on-incident and webhooks get."""
    incident = told.incident
    return {
        "schema": SCHEMA,
        "event": told.kind,
        "at": _stamp(told.at),
        "incident": incident.id,
        "severity": incident.severity,
        "title": incident.title,
        "headline": told.headline,
        "ongoing": incident.ongoing,
        "start": _stamp(incident.start),
        "end": _stamp(incident.end),
        "cause": {"text": told.cause, "place": told.place, "confidence": told.confidence} if told.cause else None,
        "impact": incident.impact,
        "requests": incident.requests,
        "failed": incident.failed,
        "todo": told.todo,
        "inputs": list(told.inputs),
        "text": told.text,
        "markdown": as_markdown(told),
    }


def as_markdown(told: Message) -> str:
    """The event as a few lines for an issue, a merge request or a chat that reads Markdown."""
    incident = told.incident
    shown = rewritten(told, escaping.visible)
    lines = [f"### {incident.severity} {told.kind}: {escaping.sentence(shown.incident.title)}"]
    if shown.headline:
        lines += ["", escaping.sentence(shown.headline)]
    lines.append("")
    lines += [f"- **{label}:** {words}" for label, words in _facts(shown, escaping.sentence, escaping.code)]
    return "\n".join(lines) + "\n"


def as_slack(told: Message) -> dict[str, Any]:
    """The body for an incoming webhook of Slack: blocks, and a plain text for notifications."""
    shown = rewritten(told, escaping.visible)
    title = escaping.shorten(f"{shown.incident.severity} {shown.kind}: {shown.incident.title}", _MOST_HEADER)
    facts = "\n".join(f"*{label}:* {words}" for label, words in _facts(shown, _slack, _slack_code))
    sections = [text for text in (_slack(shown.headline), facts) if text]
    told_by = _slack(", ".join(shown.inputs[:4]) + (" …" if len(shown.inputs) > 4 else ""))
    return {
        "text": _escape(told.text),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}},
            *(
                {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text), "verbatim": True}}
                for text in sections
            ),
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f"triage watch · {told_by}"[:_MOST_SECTION]}]},
        ],
    }


def _facts(told: Message, prose: Any, code: Any) -> Sequence[tuple[str, str]]:
    """What is told in each form, as (label, text): `prose` and `code` write log text so that it means nothing there."""
    incident, found = told.incident, []
    if told.cause:
        place = f" at {code(told.place)}" if told.place else ""
        sure = f" ({told.sure}, {told.confidence:.2f})" if told.confidence is not None else ""
        found.append(("Root cause", code(escaping.shorten(told.cause, 300)) + place + sure))
    elif told.kind not in ("recovered", "withdrawn"):
        found.append(("Root cause", "not in this log, which shows only effects"))
    if incident.impact:
        found.append(("Impact", prose(incident.impact)))
    if incident.start is not None:
        last = f" to {figures.clock(incident.end, dated=True)}" if incident.end is not None else ""
        still = ", still going on" if incident.ongoing and told.kind not in ("recovered", "withdrawn") else ""
        found.append(("When", f"{figures.clock(incident.start, dated=True)}{last} UTC{still}"))
    if told.todo:
        found.append(("Do first", prose(told.todo)))
    return found


def _cut(text: str) -> str:
    """At most what a section takes, cut between two words."""
    return text if len(text) <= _MOST_SECTION else text[:_MOST_SECTION].rsplit(" ", 1)[0] + " …"


def _plain(text: str) -> str:
    return " ".join(" ".join(t for _, t in escaping.spans(escaping.one_line(escaping.visible(text)))).split())


def _escape(text: str) -> str:
    return "".join(_SLACK.get(c, c) for c in text)


def _slack(text: str) -> str:
    """Prose in which nothing of a log makes a link, a mention or a style."""
    parts = escaping.spans(escaping.one_line(text))
    return "".join(_slack_code(t) if is_code else _STYLING.sub("\u200b\\g<0>", _escape(t)) for is_code, t in parts)


def _slack_code(text: str) -> str:
    return f"`{_escape(escaping.one_line(text)).replace('`', chr(0x2BC))}`"


def _stamp(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None
