"""The report as JSON, schema triage.report/1."""

from __future__ import annotations

from triage.rendering.escaping import encodable
from triage.rendering.redaction import rewritten
from triage.report import Report


def as_json(report: Report) -> str:
    """The report's dictionary as JSON, indented by two, keys in the schema's order, valid UTF-8 whatever a log held."""
    import msgspec

    encoded = msgspec.json.encode(rewritten(report, encodable).to_dict())
    return msgspec.json.format(encoded, indent=2).decode("utf-8") + "\n"
