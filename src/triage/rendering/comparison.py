"""A comparison of two logs, and the check of a report's success metrics, as text, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Sequence

from triage.errors import TriageError
from triage.rendering import escaping
from triage.rendering.redaction import redacted, rewritten
from triage.report import Change, Check, Comparison

_TITLES = {
    "new": "New", "louder": "Louder", "slower": "Slower", "failing": "Failing more", "quieter": "Quieter", "gone": "Gone",
}  # fmt: skip
MOST = 20  # of one kind, in text and Markdown


def show_comparison(found: Comparison, to: str, *, redact: bool = True) -> str:
    """The comparison as "terminal", "md" or "json", ending with a newline; TriageError for another output."""
    found = rewritten(redacted(found) if redact else found, escaping.capped)
    if to == "json":
        return _json(found)
    found = rewritten(found, escaping.visible)
    groups = [(kind, [c for c in found.changes if c.kind == kind]) for kind in _TITLES]
    if to == "terminal":
        lines = [f"before  {found.before}", f"after   {found.after}", ""]
        for kind, changes in groups:
            lines += _block(_TITLES[kind], changes)
        return "\n".join([*lines, *([] if found.changes else ["no difference beyond chance"]), *found.notices]) + "\n"
    if to == "md":
        lines = ["# Before and after", "", f"- Before: {_prose(found.before)}", f"- After: {_prose(found.after)}", ""]
        for kind, changes in groups:
            if changes:
                lines += [f"## {_TITLES[kind]}", ""]
                lines += [f"- {escaping.code(escaping.shorten(c.name, 200))}: {_prose(c.why)}" for c in changes[:MOST]]
                lines += [*([f"- and {len(changes) - MOST} more"] if len(changes) > MOST else []), ""]
        lines += [] if found.changes else ["No difference beyond chance.", ""]
        return "\n".join([*lines, *(f"- {_prose(n)}" for n in found.notices)]).rstrip() + "\n"
    raise TriageError(f"no output called '{to}' here", hint="known: terminal, md, json")


def show_checks(found: Sequence[Check], to: str, *, redact: bool = True) -> str:
    """The checks as "terminal", "md" or "json", ending with a newline; TriageError for another output."""
    found = rewritten(redacted(tuple(found)) if redact else tuple(found), escaping.capped)
    ended = bool(found) and all(c.met for c in found)
    verdict = "ended" if ended else "not ended" if found else "nothing to check: the report has no success metrics"
    if to == "json":
        return _json({"schema": "triage.verification/1", "ended": ended, "checks": found})
    found = rewritten(found, escaping.visible)
    if to == "terminal":
        rows = [f"{'pass' if c.met else 'FAIL'}  {c.name}: {c.target}; before {c.before}, now {c.now}" for c in found]
        return "\n".join([f"incident: {verdict}", *rows]) + "\n"
    if to == "md":
        rows = [
            f"| {'pass' if c.met else '**fail**'} | {' | '.join(map(escaping.cell, (c.name, c.target, c.before, c.now)))} |"
            for c in found
        ]
        return (
            "\n".join(
                [f"# Incident {verdict}", "", "| | metric | target | before | now |", "|---|---|---|---|---|", *rows]
            )
            + "\n"
        )
    raise TriageError(f"no output called '{to}' here", hint="known: terminal, md, json")


def _block(title: str, changes: Sequence[Change]) -> list[str]:
    if not changes:
        return []
    lines = [title, *(f"  {escaping.shorten(c.name, 110)}\n      {c.why}" for c in changes[:MOST])]
    return [*lines, *([f"  and {len(changes) - MOST} more"] if len(changes) > MOST else []), ""]


def _prose(text: str) -> str:
    return str(escaping.sentence(escaping.one_line(text)))


def _json(value: object) -> str:
    import msgspec

    encoded = msgspec.json.encode(rewritten(value, escaping.encodable))
    return msgspec.json.format(encoded, indent=2).decode("utf-8") + "\n"
