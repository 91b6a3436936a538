"""Report: what a diagnosis found, as frozen plain data; its JSON form is schema `triage.report/1`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

SCHEMA = "triage.report/1"


class Evidence(Struct, frozen=True):
    """A place in the input that proves a claim."""

    source: str
    line: int
    text: str = ""
    at: datetime | None = None


class Input(Struct, frozen=True):
    name: str
    format: str
    why: str
    bytes: int
    lines: int
    records: int


class Intake(Struct, frozen=True):
    """The ledger: lines = lines of records + blank + rejected."""

    lines: int
    records: int
    blank: int
    rejected: int
    continuation: int
    undated: int
    out_of_order: int
    notices: tuple[str, ...] = ()


class Window(Struct, frozen=True):
    start: datetime
    end: datetime


class Counts(Struct, frozen=True):
    records: int
    errors: int
    warnings: int
    error_rate: float


class Latency(Struct, frozen=True):
    """Milliseconds. `wall` is the time-out that the slowest requests run into, e.g. 60000.0 for 60,001 ms."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    wall: float | None = None


class Route(Struct, frozen=True):
    service: str | None
    method: str | None
    route: str
    requests: int
    errors: int
    error_rate: float
    p50: float | None
    p95: float | None
    max: float | None


class Http(Struct, frozen=True):
    requests: int
    errors: int
    error_rate: float
    status: Mapping[str, int]
    latency_ms: Latency | None
    routes: tuple[Route, ...] = ()
    layer: str = ""  # whose requests these are: "edge", "nginx", ...; other layers saw the same requests again


UNTOLD = "unknown"  # the code of an exit that no line tells


class Loop(Struct, frozen=True):
    """A crash loop: the same exit again and again; its code, or signal, as text."""

    service: str | None
    code: str
    count: int
    interval_s: float | None


class Exits(Struct, frozen=True):
    codes: Mapping[str, int]
    signals: Mapping[str, int]
    restarts: int
    loops: tuple[Loop, ...] = ()
    starts: int = 0  # starts that were attempted after onset
    ready: int = 0  # starts that got as far as serving, after onset


class Cluster(Struct, frozen=True):
    """Records that say the same. `trend` is the count in equal slices of the log's window, for sparklines."""

    id: str
    level: str | None
    exception: str | None
    message: str
    template: str
    count: int
    first_seen: datetime | None
    last_seen: datetime | None
    services: tuple[str, ...]
    instances: int
    examples: tuple[Evidence, ...] = ()
    trend: tuple[int, ...] = ()
    steered: str = ""  # what a rule of the user did to it, and why


class Failure(Struct, frozen=True):
    """A node of the causal graph. `role` places it: cause, wrapper, exit, proxy, http, client, noise, precursor, slow, silent.

    A failure that only figures show has no clusters: `why` holds the figures, `evidence` records that stand for it.
    """

    id: str
    kind: str
    exception: str | None
    message: str
    count: int
    first_seen: datetime | None
    last_seen: datetime | None
    services: tuple[str, ...]
    clusters: tuple[str, ...] = ()
    frame: str | None = None
    frames: tuple[str, ...] = ()
    role: str = "cause"
    why: str = ""
    evidence: tuple[Evidence, ...] = ()


class Link(Struct, frozen=True):
    cause: str
    effect: str
    kind: str
    count: int
    lag_s: float | None
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    why: str = ""


class Root(Struct, frozen=True):
    failure: str
    confidence: float
    explains: float  # share of the incident's failing records that it explains, 0..1
    why: str
    against: str = ""


class Incident(Struct, frozen=True):
    id: str
    title: str
    start: datetime | None
    end: datetime | None
    ongoing: bool
    severity: str
    severity_why: str
    roots: tuple[Root, ...]
    chains: tuple[tuple[str, ...], ...]
    symptoms: tuple[str, ...]
    impact: str
    trigger: str | None = None
    requests: int = 0  # while it lasted, of the services that it hit
    failed: int = 0  # of those, with a status of 500 and above


class Finding(Struct, frozen=True):
    """A known failure that was recognised, with what helps."""

    rule: str
    title: str
    category: str
    failures: tuple[str, ...]
    cause: str
    checks: tuple[str, ...]
    fixes: tuple[str, ...]
    prevention: tuple[str, ...]
    refuters: tuple[str, ...]
    confidence: float
    evidence: tuple[Evidence, ...] = ()


class RuledOut(Struct, frozen=True):
    category: str
    looked_for: str
    records_checked: int


class Moment(Struct, frozen=True):
    at: datetime
    kind: str  # onset, error, exit, restart, deploy, start, ready, stop, http, latency, gap, peak, recovery, end, loss
    text: str
    evidence: tuple[Evidence, ...] = ()


class Why(Struct, frozen=True):
    why: str
    because: str
    basis: str  # observed, inferred, human
    evidence: tuple[Evidence, ...] = ()


class Action(Struct, frozen=True):
    priority: str
    kind: str  # mitigate, repair, prevent, detect
    text: str
    because: tuple[str, ...] = ()


class Metric(Struct, frozen=True):
    """A success metric of the fix: `now` is what it is in this log."""

    name: str
    target: str
    now: str


class Rate(Struct, frozen=True):
    """One slice of the log's window: when it starts, and what happened in it."""

    at: datetime
    records: int
    errors: int
    warnings: int
    requests: int
    failed: int


class CodeLine(Struct, frozen=True):
    number: int
    text: str
    meant: bool = False  # the line that the claim is about


class Claim(Struct, frozen=True):
    """What the user's source or its history shows of a failure.

    `basis` is proven (files or history show it by themselves) or suggested. `kind` says what is claimed: raised,
    introduced, changed, missing, present, setting, last. `evidence` holds commands that show the same.
    """

    text: str
    basis: str
    kind: str
    failure: str | None = None
    file: str | None = None
    line: int | None = None
    code: tuple[CodeLine, ...] = ()
    commit: str | None = None
    author_date: datetime | None = None
    subject: str | None = None
    evidence: tuple[str, ...] = ()


class Source(Struct, frozen=True):
    """What was found in the user's source, as of the commit that was the last one before the onset."""

    revision: str | None
    revision_date: datetime | None
    files: int
    claims: tuple[Claim, ...] = ()
    notices: tuple[str, ...] = ()


class Report(Struct, frozen=True):
    tool: Mapping[str, str]
    title: str
    inputs: tuple[Input, ...]
    intake: Intake
    window: Window | None
    healthy: bool
    severity: str | None
    severity_why: str
    headline: str
    counts: Counts
    http: Http | None
    exits: Exits
    clusters: tuple[Cluster, ...] = ()
    failures: tuple[Failure, ...] = ()
    links: tuple[Link, ...] = ()
    incidents: tuple[Incident, ...] = ()
    findings: tuple[Finding, ...] = ()
    source: Source | None = None
    ruled_out: tuple[RuledOut, ...] = ()
    timeline: tuple[Moment, ...] = ()
    five_whys: tuple[Why, ...] = ()
    actions: tuple[Action, ...] = ()
    metrics: tuple[Metric, ...] = ()
    rates: tuple[Rate, ...] = ()
    slice_s: float | None = None
    noise: tuple[str, ...] = ()  # cluster ids that were there all along, before the incident too
    passed: tuple[str, ...] = ()  # cluster ids of what came and went, and harmed nobody as far as the log shows
    schema: str = field(default=SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: plain dicts and lists, times as ISO 8601 UTC with Z."""
        import msgspec

        plain = msgspec.to_builtins(self, enc_hook=_plain)
        assert isinstance(plain, dict)
        return {"schema": plain.pop("schema"), **plain}

    def failure(self, failure: str) -> Failure:
        """The failure of that id; KeyError when the report has none."""
        return next(f for f in self.failures if f.id == failure)


COMPARISON = "triage.comparison/1"


class Change(Struct, frozen=True):
    """One difference. `kind`: new, louder, slower, failing (a route), quieter, gone; counts before and after."""

    kind: str
    cluster: str | None
    name: str
    level: str | None
    before: int
    after: int
    why: str


class Comparison(Struct, frozen=True):
    """What differs between two logs, each in a sentence, and the differences, those that matter most first."""

    before: str
    after: str
    changes: tuple[Change, ...] = ()
    notices: tuple[str, ...] = ()
    schema: str = field(default=COMPARISON)


class Check(Struct, frozen=True):
    """A success metric, measured again."""

    name: str
    target: str
    before: str
    now: str
    met: bool


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(type(value).__name__)
