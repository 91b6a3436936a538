"""Turn platform logs into an incident report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triage.diagnosis.diagnose import diagnose
    from triage.engine import Options, analyze, read, summarize
    from triage.errors import TriageError
    from triage.intake.stacks import parse_stack
    from triage.rendering import render
    from triage.report import Report
    from triage.summary import Summary

__all__ = [
    "Options",
    "Report",
    "Summary",
    "TriageError",
    "analyze",
    "diagnose",
    "parse_stack",
    "read",
    "render",
    "summarize",
]

_HOMES = {
    "Options": "triage.engine", "Report": "triage.report", "Summary": "triage.summary", "TriageError": "triage.errors",
    "analyze": "triage.engine", "diagnose": "triage.diagnosis.diagnose", "parse_stack": "triage.intake.stacks", "read": "triage.engine",
    "render": "triage.rendering", "summarize": "triage.engine",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """The public names, each imported when it is first asked for: `import triage` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'triage' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
