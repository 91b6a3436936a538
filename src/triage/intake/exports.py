"""JSON of exports and runtimes as plain entries and texts: envelopes opened, exceptions printed as their runtime would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from triage.intake.formats import to_json

Entry = dict[str, Any]
_LISTS = ("events", "entries", "logs", "records", "items", "data")
EXPORTS = frozenset(
    (*_LISTS, "resourceLogs", "attributes", "_source", "result", "results", "hits", "streams", "detail-type", "record")
)  # only entries with one are envelopes


def explode(entry: Entry) -> Iterable[Entry]:
    """The entries inside an export's envelope: OTLP, CloudWatch, Loki, Datadog, Elasticsearch, New Relic, Workers; else itself."""
    if len(entry) > 12:
        return (entry,)
    if isinstance(entry.get("resourceLogs"), list):
        return list(_otlp(entry))
    if isinstance(entry.get("detail"), dict) and "detail-type" in entry:
        return (_task(entry),)
    if entry.get("type") == "platform.logsDropped" and isinstance(entry.get("record"), dict):
        return (_dropped(entry),)
    if entries := _answer(entry):
        return entries
    for key in _LISTS:
        inner = entry.get(key)
        if (
            isinstance(inner, list)
            and inner
            and all(isinstance(e, dict) for e in inner)
            and len(entry) <= 4
            and "message" not in entry
        ):
            return [_lifted(e) for e in inner]
    if "logs" in entry and "outcome" in entry and "eventTimestamp" in entry:
        return list(_worker(entry))
    return (_lifted(entry),)


def _task(entry: Entry) -> Entry:
    """An event of a task with the exit code and reason of the container that failed put up."""
    listed = entry["detail"].get("containers")
    containers = [c for c in listed if isinstance(c, dict)] if isinstance(listed, list) else []
    failed = next((c for c in containers if c.get("exitCode")), next((c for c in containers if c.get("reason")), {}))
    lifted = {"exitCode": failed.get("exitCode"), "containerReason": failed.get("reason")}
    return {**entry, "detail": {**{k: v for k, v in lifted.items() if v is not None}, **entry["detail"]}}


def _dropped(entry: Entry) -> Entry:
    """An event of Lambda on records that it dropped, with their number in its text."""
    many = entry["record"].get("droppedRecords")
    told = f"{entry['type']}: {many} records" if isinstance(many, int) else entry["type"]
    return {**entry, "record": {**entry["record"], "errorType": told}}


def _answer(entry: Entry) -> list[Entry]:
    """The entries in the answer of a log store: Loki, Elasticsearch, CloudWatch Insights, New Relic."""
    data, hits, results = entry.get("data"), entry.get("hits"), entry.get("results")
    streams = data.get("result") if isinstance(data, dict) else entry.get("streams")
    if isinstance(streams, list) and streams and all(isinstance(s, dict) and "values" in s for s in streams):
        return [
            {"labels": stream.get("stream") or {}, "timestamp": value[0], "line": value[1]}
            for stream in streams
            for value in stream["values"]
            if isinstance(value, list) and len(value) > 1
        ]
    if isinstance(hits, dict) and isinstance(hits.get("hits"), list):
        return [_lifted(hit) for hit in hits["hits"] if isinstance(hit, dict)]
    if isinstance(results, list) and results and all(_is_row(row) for row in results):
        return [{cell["field"]: cell.get("value") for cell in row if cell["field"] != "@ptr"} for row in results]
    if isinstance(entry.get("logs"), list) and isinstance(entry.get("common"), dict):
        shared = entry["common"].get("attributes") or {}
        logs = (log for log in entry["logs"] if isinstance(log, dict))
        return [{**shared, **(log.get("attributes") or {}), **log} for log in logs]
    return []


def _is_row(row: object) -> bool:
    """Whether this is a row of Insights: a list of fields and their values."""
    return isinstance(row, list) and bool(row) and all(isinstance(c, dict) and "field" in c for c in row)


def _lifted(entry: Entry) -> Entry:
    """An entry whose real fields stand one level down, put up."""
    for key, mark in (("attributes", "type"), ("_source", "_index"), ("result", "preview")):
        inner = entry.get(key)
        if mark in entry and isinstance(inner, dict) and not {"message", "msg", "level"} & entry.keys():
            inner = {k: v for k, v in inner.items() if k != "attributes" or v}  # there without any where all is text
            return {**{k: v for k, v in entry.items() if k != key and k not in ("type", "id")}, **inner}
    return entry


def _otlp(entry: Entry) -> Iterator[Entry]:
    for resource in entry["resourceLogs"]:
        shared = _attributes(resource.get("resource"))
        for scope in resource.get("scopeLogs") or resource.get("instrumentationLibraryLogs") or ():
            logger = (scope.get("scope") or {}).get("name")
            for record in scope.get("logRecords") or ():
                own = _attributes(record)
                flat = {k: v for k, v in record.items() if k not in ("attributes", "body")}
                body = _otlp_value(record.get("body"))
                yield {**shared, **own, **flat, "message": body, **({"logger": logger} if logger else {})}


def _attributes(holder: Any) -> Entry:
    listed = (holder or {}).get("attributes") or ()
    return {a["key"]: _otlp_value(a.get("value")) for a in listed if isinstance(a, dict) and "key" in a}


def _otlp_value(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "kvlistValue":
        return {v.get("key"): _otlp_value(v.get("value")) for v in inner.get("values", ())}
    return [_otlp_value(v) for v in inner.get("values", ())] if kind == "arrayValue" else inner


def _worker(entry: Entry) -> Iterator[Entry]:
    shared = {"service": entry.get("scriptName"), "timestamp": entry["eventTimestamp"]}
    request = (entry.get("event") or {}).get("request") or {}
    response = (entry.get("event") or {}).get("response") or {}
    yield {**shared, "message": f"{request.get('method', '')} {request.get('url', '')} {entry['outcome']}".strip(), "outcome": entry["outcome"],
           "method": request.get("method"), "url": request.get("url"), "status": response.get("status")}  # fmt: skip
    for log in entry.get("logs") or ():
        words = log.get("message")
        text = " ".join(as_text(w) or "" for w in words) if isinstance(words, list) else as_text(words)
        yield {**shared, "timestamp": log.get("timestamp"), "level": log.get("level"), "message": text}
    for raised in entry.get("exceptions") or ():
        text = raised.get("stack") or f"{raised.get('name')}: {raised.get('message')}"
        yield {**shared, "timestamp": raised.get("timestamp"), "level": "error", "message": text}


def as_text(value: Any) -> str | None:
    """A JSON value as text: bytes that a journal lists are decoded, objects become JSON again."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and value and all(type(v) is int and 0 <= v < 256 for v in value):
        return bytes(value).decode("utf-8", "replace")
    return to_json(value)


def as_exception(value: Any) -> str | None:
    """What an entry says about an exception, as the text that the runtime would have printed."""
    if isinstance(value, dict):
        return _exception_object(value)
    if isinstance(value, list):
        if value and all(isinstance(v, dict) and ("exc_type" in v or "type" in v) for v in value):
            return "\n".join(filter(None, map(_exception_object, value)))
        return (
            "".join(map(str, value))
            if any(str(v).endswith("\n") for v in value)
            else "\n".join(map(str, value)) or None
        )
    if isinstance(value, bool) or value in ("", "None", "NoneType: None"):
        return None
    return as_text(value)


def _exception_object(value: Entry) -> str | None:
    kind = value.get("exc_type") or value.get("type") or value.get("name") or value.get("class") or value.get("kind")
    said = value.get("exc_value") or value.get("message") or value.get("value")
    head = ": ".join(str(x) for x in (kind, said) if x)
    stack = value.get("stack") or value.get("stack_trace") or value.get("stacktrace") or value.get("trace")
    if isinstance(stack, list):
        stack = "\n".join(map(str, stack))
    if isinstance(stack, str) and stack.strip():
        if stack.lstrip("\n").startswith("  File "):
            return f"Traceback (most recent call last):\n{stack.rstrip()}\n{head}"
        if not kind or str(kind).rpartition(".")[2] in stack[:300]:
            return stack
        generic = f"Error: {said}\n"  # JavaScript's stack keeps the name that the error was made with
        return f"{head}\n{stack.removeprefix(generic)}"
    frames = value.get("frames")
    if isinstance(frames, list) and frames and isinstance(frames[0], dict):
        listed = "\n".join(f'  File "{f.get("filename")}", line {f.get("lineno")}, in {f.get("name")}' for f in frames)
        return f"Traceback (most recent call last):\n{listed}\n{head}"
    return head or None
