"""JSON entries to rows: typed decoding where a format names its paths, plain objects with an alias table elsewhere."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl

from triage.intake.formats import Format, Path_, to_json
from triage.intake.rows import Tally, blank_rows, fill
from triage.intake.times import Clock

Entry = dict[str, Any]
SUB_BLOCK = 1 << 20  # bytes that are decoded at once: objects stay in the cache of the processor

# Where an unknown logger's entry keeps what: first hit wins. A unit behind | belongs to the number found there.
ALIASES: dict[str, tuple[str, ...]] = {
    "at": tuple(
        "timestamp @timestamp time ts t.$date @t date datetime eventTime event_time TimeGenerated TimeStamp Timestamp timestampInMs "
        "eventTimestamp EventTimestampMs asctime log_time start_time StartUTC _time record.time.timestamp timeUnixNano "
        "observedTimeUnixNano receiveTimestamp ingestionTime t".split()
    ),
    "level": tuple(
        "level severity lvl levelname level_name log.level log_level LogLevel loglevel Level @l PRIORITY priority error_severity s "
        "severityText severityNumber record.level.name meta.level".split()
    ),
    "message": tuple(
        "message msg event @m @mt short_message MESSAGE Message Msg textPayload jsonPayload.message body.stringValue body log Log Log_s "
        "line _raw result._raw @message fields.message record.message text".split()
    ),
    "exception": tuple(
        "exception exc_info stack_trace stacktrace stackTrace stack error err @x Exception exception.stacktrace errorVerbose traceback "
        "full_message context.exception".split()
    ),
    "service": tuple(
        "service.name service service_name serviceName ContainerAppName ContainerAppName_s application app app_name "
        "kubernetes.labels.app kubernetes.container_name containerName container_name scriptName resource.service.name".split()
    ),
    "instance": tuple(
        "instance instanceId service.instance.id deploymentInstanceId pod podName kubernetes.pod_name ReplicaName ContainerGroupName "
        "ContainerGroupName_s container_id containerId logStreamName hostname host.name host HOSTNAME dyno".split()
    ),
    "deployment": tuple(
        "revision_name RevisionName RevisionName_s deploymentId release service.version version git_sha commit".split()
    ),
    "trace": tuple(
        "trace_id traceId trace.id otelTraceID dd.trace_id @tr traceparent request_id requestId req_id reqId req.id x_request_id "
        "correlation_id correlationId RequestId aws_request_id span.request_id".split()
    ),
    "logger": tuple(
        "logger logger_name name log.logger target Category category channel component c SourceContext Properties.SourceContext".split()
    ),
    "stream": tuple("stream Stream Stream_s".split()),
    "method": tuple(
        "method httpMethod http_method requestMethod req.method request.method http.method http.request.method RequestMethod verb "
        "httpRequest.requestMethod proxy.method request_method CsMethod".split()
    ),
    "route": tuple(
        "path url uri route req.url request.uri request.url http.url http.target url.path requestPath RequestPath request_uri "
        "httpRequest.requestUrl proxy.path http.route CsUriStem".split()
    ),
    "status": tuple(
        "status statusCode status_code http_status httpStatus res.statusCode response.status http.status_code http.response.status_code "
        "responseStatusCode response_code DownstreamStatus ScStatus elb_status_code proxy.statusCode httpRequest.status code".split()
    ),
    "latency": tuple(
        "latency_ms|ms duration_ms|ms durationMs|ms elapsed_ms|ms responseTime|ms response_time_ms|ms response_time|ms took|ms "
        "durationMillis|ms totalDuration|ms TimeTaken|ms request_time|s target_processing_time|s event.duration|ns Duration|ns "
        "httpRequest.latency|s latency|ms duration|ms elapsed|ms".split()
    ),
    "exit_code": tuple("exitCode exit_code EXIT_STATUS terminated.exitCode".split()),
}
_ALIASED = {
    name: tuple(
        (Path_((path,)) if "." not in path else Path_(tuple(path.split("."))), unit)
        for path, _, unit in (a.partition("|") for a in aliases)
    )
    for name, aliases in ALIASES.items()
}
_FIRST_KEYS = frozenset(part for paths in _ALIASED.values() for p, _ in paths for part in (p.keys[0], p.dotted))


@dataclass(frozen=True, slots=True)
class Typed:
    """A decoder of one format's entries that builds only what the format asks for."""

    entry: Format
    decoder: Any
    required: tuple[Callable[[Any], Any], ...]
    fields: Mapping[str, tuple[tuple[str, Place], ...]]  # field -> its candidates, each a column and a place


@dataclass(frozen=True, slots=True)
class Place:
    """Where a typed entry holds a value: the object around it (one shared empty one where it is missing), and the key."""

    path: str
    around: Callable[[Any], Any] | None
    missing: Any
    get: Callable[[Any], Any]


@dataclass(slots=True)
class Entries:
    """Entries of one block, sorted by how they were read, each with its first line and its number of lines."""

    typed: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    typed_count: int = 0
    typed_lines: list[range | list[int]] = field(default_factory=list)
    objects: list[Entry] = field(default_factory=list)
    objects_at: list[tuple[int, int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    texts_at: list[tuple[int, int]] = field(default_factory=list)
    rejected: int = 0
    blank: int = 0


def typed_decoder(entry: Format) -> Typed:
    """The decoder for a format whose paths are known."""
    paths = {f"g_{name}#{n}": p for name, ps in entry.fields.items() for n, p in enumerate(ps)}
    paths |= {f"k_{n}#": rule.path for n, rule in enumerate(entry.kinds)}
    paths |= {f"s_{n}#": Path_(tuple(s.split("."))) for n, s in enumerate(entry.structured)}
    longer = {path.keys[:n] for path in paths.values() for n in range(1, len(path.keys))}
    paths = {column: path for column, path in paths.items() if path.keys not in longer}
    tree: dict[str, Any] = {}
    for keys in [*(p.keys for p in paths.values()), *((k,) for k in entry.keys)]:
        node = tree
        for key in keys:
            node = node.setdefault(key, {})
    names: dict[tuple[str, ...], str] = {}
    empties: dict[tuple[str, ...], Any] = {}
    model = _struct(tree, (), names, empties)

    def getter(keys: tuple[str, ...], start: int = 0) -> Callable[[Any], Any]:
        return attrgetter(".".join(names[keys[: n + 1]] for n in range(start, len(keys))))

    fields: dict[str, list[tuple[str, Place]]] = defaultdict(list)
    for column, path in paths.items():
        outer = path.keys[:1] if len(path.keys) > 1 else ()
        place = Place(path.dotted, getter(outer) if outer else None, empties.get(outer), getter(path.keys, len(outer)))
        fields[column.partition("#")[0]].append((column, place))
    required = tuple(getter((key,)) for key in entry.keys)
    return Typed(
        entry,
        msgspec.json.Decoder(model, strict=False),
        required,
        {name: tuple(places) for name, places in fields.items()},
    )


def _struct(
    tree: dict[str, Any], at: tuple[str, ...], names: dict[tuple[str, ...], str], empties: dict[tuple[str, ...], Any]
) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    for n, (key, below) in enumerate(tree.items()):
        inner = (*at, key)
        names[inner] = f"f{n}"
        if below:
            model = _struct(below, inner, names, empties)
            empties[inner] = model()
            fields.append((f"f{n}", model, msgspec.field(name=key, default_factory=_constant(empties[inner]))))
        else:
            fields.append((f"f{n}", Any, msgspec.field(name=key, default=None)))
    return msgspec.defstruct("_".join(("Entry", *(k for k in at if k.isidentifier()))), fields, frozen=True, gc=False)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _columns(typed: Typed, found: Sequence[Any]) -> dict[str, list[Any]]:
    """The columns that these entries fill; a field's later candidates are only asked where the earlier ones are empty."""
    columns: dict[str, list[Any]] = {}
    read: dict[str, list[Any]] = {}
    inside: dict[int, tuple[list[int] | None, list[Any]]] = {}
    for places in typed.fields.values():
        for column, place in places:
            values = read.get(place.path)
            if values is None:
                values = read[place.path] = _values(place, found, inside)
            if values:
                columns[column] = values
                if None not in values:
                    break
    return columns


def _values(place: Place, found: Sequence[Any], inside: dict[int, tuple[list[int] | None, list[Any]]]) -> list[Any]:
    """One value an entry; an empty list when no entry has the object around it."""
    if place.around is None:
        return list(map(place.get, found))
    known = inside.get(id(place.missing))
    if known is None:
        around = list(map(place.around, found))
        missing = place.missing
        where = [n for n, value in enumerate(around) if value is not missing]
        known = inside[id(missing)] = (
            (None, around) if len(where) == len(around) else (where, [around[n] for n in where])
        )
    where_, objects = known
    if where_ is None:
        return list(map(place.get, objects))
    if not where_:
        return []
    values: list[Any] = [None] * len(found)
    for n, value in zip(where_, map(place.get, objects), strict=True):
        values[n] = value
    return values


def read_lines(data: bytes, line: int, typed: Typed | None, into: Entries) -> None:
    """Add the lines of `data`, of which the first is number `line`: JSON objects, and text lines between them."""
    start = 0
    while start < len(data):
        end = (
            len(data)
            if len(data) - start <= SUB_BLOCK
            else (data.rfind(b"\n", start, start + SUB_BLOCK) + 1 or data.find(b"\n", start) + 1 or len(data))
        )
        part = data[start:end]
        count = part.count(b"\n") + (not part.endswith(b"\n"))
        if not _read_whole(part, line, count, typed, into):
            for n, raw in enumerate(part.removesuffix(b"\n").split(b"\n")):
                read_one(raw, line + n, 1, typed, into)
        line += count
        start = end


def _read_whole(part: bytes, line: int, count: int, typed: Typed | None, into: Entries) -> bool:
    try:
        found = typed.decoder.decode_lines(part) if typed else _PLAIN.decode_lines(part)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    if len(found) != count:
        return False
    if typed is not None:
        if any(None in map(get, found) for get in typed.required):
            return False
        columns = _columns(typed, found)
        lines: range | list[int] = range(line, line + count)
        if odd := _speechless(columns, count):  # their text stands somewhere that the format does not name
            raws = part.split(b"\n")
            for n in odd:
                read_one(raws[n], line + n, 1, None, into)
            skip = set(odd)
            keep = [n for n in range(count) if n not in skip]
            columns = {c: [values[n] for n in keep] for c, values in columns.items()}
            lines = [line + n for n in keep]
        for column, values in columns.items():
            have = into.typed[column]
            have.extend([None] * (into.typed_count - len(have)))
            have.extend(values)
        into.typed_count += len(lines)
        into.typed_lines.append(lines)
    else:
        if not all(type(e) is dict for e in found):
            return False
        for n, entry in enumerate(found):
            _add_object(entry, line + n, 1, into)
    return True


def _speechless(columns: dict[str, list[Any]], count: int) -> list[int]:
    """The entries that are no request and have no message where the format looks for one."""
    said = [values for column, values in columns.items() if column.startswith(("g_message#", "g_route#", "g_status#"))]
    if any(None not in values for values in said):
        return []
    empty = range(count)
    left: list[int] = list(empty)
    for values in said:
        left = [n for n in left if values[n] is None]
    return left


def read_one(raw: bytes, line: int, lines: int, typed: Typed | None, into: Entries) -> None:
    """Add one entry that takes `lines` lines from `line` on: an object, else text; broken objects are rejected text."""
    body = raw.strip().strip(b"\x00").removesuffix(b",")
    if body.startswith(b"["):
        body = body[1:].strip()
    if body in (b"]", b"[") or (not body and raw.strip() in (b"[", b",")):
        into.blank += lines
        return
    if not body:
        into.texts.append("")
        into.texts_at.append((line, lines))
        return
    if body.startswith(b"{"):
        for value in _decode(body):
            _add_object(value, line, lines, into)
            return
        into.rejected += lines
        into.texts.append(raw.decode("utf-8", "replace").rstrip("\r"))
        into.texts_at.append((line, 0))
        return
    into.texts.append(raw.decode("utf-8", "replace").replace("\x00", "").rstrip("\r"))
    into.texts_at.append((line, lines))


def _decode(body: bytes) -> Iterator[Entry]:
    """The object that the bytes are, leniently; nothing when they are none."""
    for text in (body, body.removesuffix(b"]").rstrip()) if body.endswith(b"]") else (body,):
        try:
            value = _PLAIN.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            try:  # lone surrogates, NaN, bytes that are no UTF-8
                value = json.loads(text.decode("utf-8", "replace"))
                value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
            except (ValueError, RecursionError):
                continue
        if isinstance(value, dict):
            yield value
            return


_LISTS = ("events", "entries", "logs", "records", "items", "data")
_EXPORTS = frozenset((*_LISTS, "resourceLogs", "attributes", "_source", "result"))
_PLAIN = msgspec.json.Decoder()


def _add_object(entry: Entry, line: int, lines: int, into: Entries) -> None:
    if _EXPORTS.isdisjoint(entry):
        into.objects.append(entry)
        into.objects_at.append((line, lines))
        return
    for n, one in enumerate(explode(entry)):
        into.objects.append(one)
        into.objects_at.append((line, 0 if n else lines))


def explode(entry: Entry) -> Iterable[Entry]:
    """The entries inside an export's envelope: OTLP, CloudWatch, Loki, Datadog, Elasticsearch, Workers; else itself."""
    if len(entry) > 12:
        return (entry,)
    if isinstance(entry.get("resourceLogs"), list):
        return list(_otlp(entry))
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


def _lifted(entry: Entry) -> Entry:
    """An entry whose real fields stand one level down, put up."""
    for key, mark in (("attributes", "type"), ("_source", "_index"), ("result", "preview")):
        inner = entry.get(key)
        if mark in entry and isinstance(inner, dict) and not {"message", "msg", "level"} & entry.keys():
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


def frames_of(
    entries: Entries, typed: Typed | None, formats: Sequence[Format], with_fields: bool, clock: Clock, tally: Tally
) -> list[pl.DataFrame]:
    """WORK frames of the entries: typed ones, objects by format, and texts."""
    frames: list[pl.DataFrame] = []
    if typed is not None and entries.typed_lines:
        frames.append(_typed_frame(entries, typed, clock, tally))
    if entries.objects:
        frames += object_frames(entries.objects, entries.objects_at, formats, with_fields, clock, tally)
    if entries.texts:
        lines, counts = zip(*entries.texts_at, strict=True)
        frame = pl.DataFrame(
            {"i": lines, "line": lines, "lines": counts, "message": pl.Series(entries.texts, dtype=pl.String)}
        )
        frames.append(blank_rows(frame))
    return frames


def _typed_frame(entries: Entries, typed: Typed, clock: Clock, tally: Tally) -> pl.DataFrame:
    entry = typed.entry
    lines = pl.concat(
        [
            pl.int_range(r.start, r.stop, dtype=pl.Int64, eager=True)
            if isinstance(r, range)
            else pl.Series(r, dtype=pl.Int64)
            for r in entries.typed_lines
        ]
    ).alias("line")
    raw = {
        column: texts([*values, *[None] * (entries.typed_count - len(values))])
        for column, values in entries.typed.items()
    }
    frame = blank_rows(pl.DataFrame({"i": lines, "line": lines}).with_columns(lines=pl.lit(1, dtype=pl.Int64)))
    return fill(frame.with_columns(_merge(raw, entry)), entry, clock, tally)


def object_frames(
    objects: Sequence[Entry],
    at: Sequence[tuple[int, int]],
    formats: Sequence[Format],
    with_fields: bool,
    clock: Clock,
    tally: Tally,
) -> list[pl.DataFrame]:
    """WORK frames of the objects, one for each format that some of them speak."""
    chosen: dict[tuple[str, ...], int] = {}
    groups: dict[int, list[int]] = defaultdict(list)
    for n, entry in enumerate(objects):
        shape = tuple(entry)
        which = chosen.get(shape)
        if which is None:
            which = chosen[shape] = next((k for k, f in enumerate(formats) if speaks(entry, f)), len(formats) - 1)
        groups[which].append(n)
    frames = []
    for which, members in groups.items():
        entry_format = formats[which]
        picked = [objects[n] for n in members]
        lines = [at[n][0] for n in members]
        frame = blank_rows(
            pl.DataFrame(
                {"i": lines, "line": lines, "lines": [at[n][1] for n in members]},
                schema_overrides={"i": pl.Int64, "lines": pl.Int64},
            )
        )
        frames.append(
            fill(frame.with_columns(columns_of(picked, entry_format, with_fields)), entry_format, clock, tally)
        )
    return frames


def speaks(entry: Entry, entry_format: Format) -> bool:
    """Whether the object has the keys of the format."""
    if any(k not in entry for k in entry_format.keys):
        return False
    return not entry_format.any_of or any(k in entry for k in entry_format.any_of)


def columns_of(objects: Sequence[Entry], entry: Format, with_fields: bool = False) -> list[pl.Series | pl.Expr]:
    """Columns g_FIELD and k_N: what the format finds in the objects, as text."""
    if entry.flatten:
        objects = [_flat(o, entry.flatten) for o in objects]
    raw: dict[str, pl.Series] = {}
    if entry.fields:
        for name, paths in entry.fields.items():
            for n, path in enumerate(paths):
                raw[f"g_{name}#{n}"] = texts(_pick(objects, path), exception=name == "exception")
        raw["g_message#"] = pl.Series([_payload(o, entry) for o in objects], dtype=pl.String)
    else:
        present = frozenset().union(*(o.keys() for o in objects)) & _FIRST_KEYS
        for name, aliases in _ALIASED.items():
            for n, (path, unit) in enumerate(aliases):
                if path.keys[0] not in present and path.dotted not in present:
                    continue
                column = texts(_pick(objects, path), exception=name == "exception")
                if column.null_count() < len(column):
                    column = raw[f"g_{name}#{n}"] = _plausible(name, path, column, unit)
                    if not column.null_count():
                        break
        if not any(c.startswith("g_message#") for c in raw):
            raw["g_message#0"] = pl.Series([to_json(o) for o in objects])
    raw |= {f"k_{n}#": texts(_pick(objects, rule.path)) for n, rule in enumerate(entry.kinds)}
    for n, place in enumerate(entry.structured):
        if place == "+":
            raw[f"s_{n}#"] = pl.Series([None if entry.known.issuperset(o) else "+" for o in objects], dtype=pl.String)
        elif place == "*":
            raw[f"s_{n}#"] = pl.Series(["*"] * len(objects))
        elif not entry.fields and place in ALIASES:  # an unknown logger's: has it a level of its own?
            raw[f"s_{n}#"] = pl.select(
                pl.coalesce(
                    [c for name, c in raw.items() if name.startswith(f"g_{place}#")]
                    or [pl.Series([None] * len(objects), dtype=pl.String)]
                )
            ).to_series()
        else:
            raw[f"s_{n}#"] = texts(_pick(objects, Path_(tuple(place.split(".")))))
    columns = _merge(raw, entry)
    if with_fields:
        used = {p.keys[0] for ps in entry.fields.values() for p in ps} if entry.fields else _FIRST_KEYS
        columns.append(
            pl.Series(
                "g_fields", [to_json({k: v for k, v in o.items() if k not in used}) for o in objects], dtype=pl.String
            )
        )
    return columns


def _merge(raw: dict[str, pl.Series], entry: Format) -> list[pl.Series | pl.Expr]:
    """Candidates of a field to one column: the first that is there, what its path extracts."""
    grouped: dict[str, list[pl.Expr]] = defaultdict(list)
    for column, values in raw.items():
        name, _, n = column.partition("#")
        if name.startswith("g_"):
            paths = entry.fields.get(name[2:])
            extract = paths[int(n)].extract if paths and n else None
            if values.null_count() < len(values):
                grouped[name].append(pl.lit(values).str.extract(extract, 1) if extract else pl.lit(values))
    out: list[pl.Series | pl.Expr] = [pl.coalesce(exprs).alias(name) for name, exprs in grouped.items()]
    for n, rule in enumerate(entry.kinds):
        if f"k_{n}#" not in raw:
            out.append(pl.lit(False).alias(f"k_{n}"))
            continue
        values = pl.lit(raw[f"k_{n}#"])
        out.append(
            (values.str.contains(rule.matches).fill_null(False) if rule.matches else values.is_not_null()).alias(
                f"k_{n}"
            )
        )
    marks = [pl.lit(values).is_not_null() for column, values in raw.items() if column.startswith("s_")]
    if marks:
        out.append((pl.all_horizontal(marks) if not entry.fields else pl.any_horizontal(marks)).alias("g_structured"))
    return out


def _plausible(name: str, path: Path_, column: pl.Series, unit: str) -> pl.Series:
    """The column without values that cannot be what its alias promises."""
    if name == "status":
        return column.str.extract(r"^([1-5]\d\d)(?:\.0)?$", 1)
    if name == "latency":
        if path.dotted in ("duration", "Duration", "latency", "elapsed"):  # whole numbers this large are nanoseconds
            return pl.select(
                pl.when(pl.lit(column).str.contains(r"^\d{7,}$"))
                .then(pl.lit(column) + "ns")
                .when(pl.lit(column).str.contains(r"^[\d.]+$"))
                .then(pl.lit(column) + (unit or "ms"))
                .otherwise(pl.lit(column))
            ).to_series()
        return pl.select(
            pl.when(pl.lit(column).str.contains(r"^[\d.]+$")).then(pl.lit(column) + unit).otherwise(pl.lit(column))
        ).to_series()
    if name == "route":
        return column.str.extract(r"^(/.*|https?://.*)$", 1)
    if name == "method":
        return column.str.to_uppercase().str.extract(r"^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT|TRACE)$", 1)
    if name == "level" and path.dotted == "s":
        return column.str.extract(r"^([FEWID][1-5]?)$", 1)
    if name == "logger" and path.dotted == "c":
        return column.str.extract(r"^([A-Z_-]+)$", 1)
    if name in ("service", "instance", "logger", "deployment"):
        return column.str.extract(r"^([^{\[][^\n]{0,200})$", 1)
    return column


def _payload(entry: Entry, entry_format: Format) -> str | None:
    """The object that holds what an entry says, as JSON, for entries without a message."""
    return next(
        (to_json(entry[k]) for k in entry_format.any_of if isinstance(entry.get(k), dict) and k != "httpRequest"), None
    )


def _flat(entry: Entry, key: str) -> Entry:
    listed = entry.get(key)
    if not isinstance(listed, list):
        return entry
    return {**entry, key: {p["name"]: p.get("value") for p in listed if isinstance(p, dict) and "name" in p}}


def _pick(objects: Sequence[Entry], path: Path_) -> list[Any]:
    """What stands at the path in each object."""
    if len(path.keys) == 1:
        key = path.keys[0]
        return [o.get(key) for o in objects]
    return [_walk(o, path) for o in objects]


def _walk(entry: Entry, path: Path_) -> Any:
    value: Any = entry
    for key in path.keys:
        if not isinstance(value, dict):
            value = None
            break
        value = value.get(key)
    return entry.get(path.dotted) if value is None else value


def texts(values: Sequence[Any], *, exception: bool = False) -> pl.Series:
    """The values as text, null for what is not there."""
    if not exception:
        for dtype in (pl.String, pl.Int64):
            try:
                return pl.Series(values, dtype=dtype, strict=True).cast(pl.String)
            except (TypeError, OverflowError):
                continue
    return pl.Series([as_exception(v) if exception else as_text(v) for v in values], dtype=pl.String)


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
        return stack if not kind or str(kind).rpartition(".")[2] in stack[:300] else f"{head}\n{stack}"
    frames = value.get("frames")
    if isinstance(frames, list) and frames and isinstance(frames[0], dict):
        listed = "\n".join(f'  File "{f.get("filename")}", line {f.get("lineno")}, in {f.get("name")}' for f in frames)
        return f"Traceback (most recent call last):\n{listed}\n{head}"
    return head or None


def enabled(formats: Sequence[Format], objects: Sequence[Entry]) -> tuple[Format, ...]:
    """The JSON formats that a source whose first objects are these may speak."""
    return tuple(f for f in formats if not f.head or any(_fits_head(o, f) for o in objects))


def _fits_head(entry: Entry, entry_format: Format) -> bool:
    import re

    return speaks(entry, entry_format) and all(
        re.search(regex, as_text(entry.get(key)) or "") for key, regex in entry_format.head.items()
    )


def known_object(entry: Entry, formats: Sequence[Format]) -> bool:
    """Whether an object inside a line of text is a log entry and not just some data."""
    named = next((f for f in formats if f.keys and speaks(entry, f)), None)
    if named is not None:
        return True
    keys = entry.keys() & _FIRST_KEYS
    return (
        bool(keys & set(ALIASES["message"]))
        and bool(keys & {*ALIASES["at"], *ALIASES["level"]})
        or bool(keys & set(ALIASES["at"]) and keys & set(ALIASES["level"]))
    )
