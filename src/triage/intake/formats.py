"""The catalogue of log formats: one YAML file each, compiled, ordered, tested by its own samples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Required, TypedDict

import msgspec
import polars as pl
from msgspec import Struct, field

from triage.errors import PackError, TriageError
from triage.intake.levels import SCALES
from triage.locating import check_types, line_of, with_lines
from triage.packs import is_ours, packs
from triage.schema import KINDS, LEVELS

# Fields that a pattern's named groups and a JSON format's paths can fill. `part` is a tag that says whether more follows.
FIELDS = (
    *("at", "level", "stream", "service", "instance", "deployment", "trace", "logger", "message", "inner"),
    *("method", "route", "status", "latency", "exit_code", "exception", "reason", "part"),
)
# Written so that each next byte leaves one way to go (a zone behind a blank would not): the regex engine then cuts the
# groups out in one pass.
_STAMP = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
# The same with a comma behind it, in one go: where a regex never has to try two ways it runs twice as fast.
_STAMP_COMMA = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,](?:\d{1,9}(?:Z|[+-]\d\d:?\d\d)?,?)?|(?:Z|[+-]\d\d:?\d\d),?)?"
MACROS = {
    "STAMP": _STAMP,
    "STAMP,": _STAMP_COMMA,
    "DRAIN": r"(?:\d+ )?<\d{1,3}>1 ",  # what a syslog drain puts in front of a line
    "STAMPS": _STAMP + r"(?: (?:[+-]\d\d:?\d\d|UTC|GMT)\b)?",
    "LEVEL": (
        r"(?i-u:trace|debug\d?|info(?:rmation)?|notice|warn(?:ing)?|e(?:rr(?:or)?|merg(?:ency)?)|crit(?:ical)?|fatal|severe|verbose)"
        r"|PANIC|ALERT"
    ),
}
# Unicode classes make the automata of the regex engine an order of magnitude larger; headers are ASCII.
_ASCII = {r"\d": "[0-9]", r"\w": "[A-Za-z0-9_]", r"\s": r"[ \t\r\n]", r"\S": r"[^ \t\r\n]"}
UNITS_MS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6, "m": 60_000.0}


class Place(Struct, frozen=True):
    """A place in a JSON entry: keys from the outside in, and what to cut out of the text found there."""

    keys: tuple[str, ...]
    extract: str | None = None
    unit: str = ""  # of the number that is found there

    @property
    def dotted(self) -> str:
        return ".".join(self.keys)

    @property
    def spellings(self) -> tuple[tuple[str, ...], ...]:
        """The keys as loggers write them: one inside the other, all in one with dots, or so but for the outermost."""
        inside = ((self.keys[0], ".".join(self.keys[1:])),) if len(self.keys) > 2 else ()
        return tuple(dict.fromkeys((self.keys, (self.dotted,), *inside)))


class KindRule(Struct, frozen=True):
    """When an entry is of another kind than its format's: the place (a JSON path or a group) holds a match."""

    kind: str
    path: Place
    matches: str | None = None
    level: str | None = None


class Sample(Struct, frozen=True):
    """A line of the format and the fields that it must yield."""

    text: str
    expect: Mapping[str, Any]


class Format(Struct, frozen=True):
    """One log format. Text formats have a `pattern` of what stands before the message; JSON formats have `fields`."""

    name: str
    title: str
    kind: str
    order: int
    row: str = "app"
    pattern: str = ""
    groups: tuple[str, ...] = ()
    message: str = "rest"  # rest: what follows the pattern; all: the whole text; else: filled by the group `message`
    also: Mapping[str, str] = field(default_factory=dict)  # field -> regex with one group, searched in the whole text
    usual: str = ""  # how what follows the header most often begins: its groups need not be searched then
    joins: tuple[str, str] | None = None  # a first line and the next one that are one record
    keys: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    head: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    aliases: bool = False  # the fields are guesses: only those an entry has are looked at, and values must be plausible
    structured: tuple[str, ...] = ()  # places that make the entry a structured one; "*" always, "+" any further key
    known: frozenset[str] = frozenset()
    flatten: str | None = None  # a list of {name, value} that becomes an object
    times: tuple[str, ...] = ()
    levels: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[KindRule, ...] = ()
    unwraps: bool = False
    behind: bool = False  # its text stands behind a header that another format read
    generic: bool = False  # says no more than a time or a level: a header learned from the lines comes before it
    # own: opens a record; each: so it does, but for that of further lines of one message (linewise.py); plain: does unless the text
    # looks like a continuation; no: never
    header: str = "own"
    transport_level: str | None = None
    latency: str = "ms"
    retells: bool = False  # several entries of one trace tell of the same request: the first of them counts
    requests: bool = False  # an app row with a method, a route and a status is a request that the program logged itself
    whole: int = 0  # a message that is this long and has no newline at its end goes on in the next entry
    typed: bool = False
    samples: tuple[Sample, ...] = ()
    file: Path | None = None


class Catalog(Struct, frozen=True):
    """All formats, text and JSON, in the order in which they are tried."""

    formats: Mapping[str, Format]
    text: tuple[Format, ...]
    json: tuple[Format, ...]
    opens: str  # one regex that every text format's lines match
    special: str  # the same without those that say no more than a time or a level
    words: Mapping[str, str] = field(default_factory=dict)  # level words of the user, in lower case
    behind: tuple[Format, ...] = ()  # text formats of what programs write behind their header

    def __getitem__(self, name: str) -> Format:
        """The format of that name; TriageError with the known ones when there is none."""
        try:
            return self.formats[name]
        except KeyError:
            raise TriageError(f"no format called {name!r}", hint=f"known: {', '.join(sorted(self.formats))}") from None


class Detection(Struct, frozen=True):
    """Which formats a source speaks. `chain` joins envelopes and what they hold by " > "; matched of tried lines."""

    chain: str
    formats: tuple[str, ...]
    matched: int
    tried: int
    why: str


@with_lines
def load_catalog(dirs: Sequence[Path]) -> Catalog:
    """The catalogue of the `formats` folders in `dirs`, first of a name wins.

    PackError with the file when one does not follow the rules or has a regex that polars refuses.
    """
    formats = [_format(path, content) for path, content in packs("formats", dirs)]
    if not formats:
        raise PackError("no log formats found", hint="a pattern folder has formats/*.yaml")
    return make_catalog(formats)


def make_catalog(formats: Sequence[Format]) -> Catalog:
    """The catalogue of these formats."""
    ordered = sorted(formats, key=lambda f: (f.order, f.name))
    text = tuple(f for f in ordered if f.kind == "text" and not f.behind)
    behind = tuple(f for f in ordered if f.kind == "text" and f.behind)

    def opens(formats: Iterable[Format]) -> str:
        return f"^(?:{'|'.join(f'(?:{anonymous(f.pattern)})' for f in formats) or '$^'})"

    json = tuple(f for f in ordered if f.kind == "json")
    return Catalog(
        {f.name: f for f in ordered}, text, json, opens(text), opens(f for f in text if not f.generic), behind=behind
    )


def anonymous(pattern: str) -> str:
    """The pattern with its groups unnamed."""
    return re.sub(r"\(\?P?<\w+>", "(?:", pattern)


def check_samples(catalog: Catalog) -> list[str]:
    """What is wrong with the samples: fields that differ, and formats that steal the lines of others."""
    from triage.intake.detection import read_samples

    problems = [
        f"{_where(f)}: needs at least 2 samples, has {len(f.samples)}"
        for f in catalog.formats.values()
        if len(f.samples) < 2
    ]
    samples = [
        (entry.name, n, sample) for entry in catalog.formats.values() for n, sample in enumerate(entry.samples, 1)
    ]
    for (name, n, sample), got in zip(samples, read_samples([s.text for _, _, s in samples], catalog), strict=True):
        chain = str(got.get("chain") or "")
        if name not in chain.split(" > "):
            problems.append(f"{_where(catalog[name], n)}: sample {n} is read as {chain or 'plain text'}")
            continue
        problems += [
            f"{_where(catalog[name], n)}: sample {n}: {key} is {got.get(key)!r}, expected {want!r}"
            for key, want in sample.expect.items()
            if not _same(got.get(key), want)
        ]
    return problems


def _where(entry: Format, sample: int = 0) -> str:
    """The name of a format, behind file and line where it is not one of ours."""
    if entry.file is None or is_ours(entry.file):
        return entry.name
    return f"{entry.file}:{line_of(entry.file, f'samples[{sample}]') if sample else 1}: {entry.name}"


def detect(head: bytes | Sequence[str], catalog: Catalog) -> Detection:
    """Which formats the first lines of an input speak, and why that is believed."""
    from triage.intake.detection import detect_lines

    lines = head.decode("utf-8", "replace").splitlines() if isinstance(head, bytes) else list(head)
    return detect_lines(lines, catalog)


def _same(got: Any, want: Any) -> bool:
    if isinstance(want, float) and isinstance(got, int | float):
        return abs(got - want) < 1e-6
    return bool(got == want or (want is not None and got is not None and str(got) == str(want)))


def _format(path: Path, content: dict[str, Any]) -> Format:
    def fail(what: str, hint: str = "compare with the formats that come with triage") -> PackError:
        return PackError(f"{path}: {what}", hint=hint)

    unknown = {str(key) for key in content} - _KEYS
    if unknown:
        raise fail(f"unknown key {sorted(unknown)[0]!r}", f"known: {', '.join(sorted(_KEYS))}")
    check_types(content, _Shape, str(path))
    name, kind = content.get("name", path.stem), content.get("kind", "text")
    if kind not in ("text", "json"):
        raise fail(f"kind is {kind!r}", "kind: text or kind: json")
    if (row := content.get("row", "app")) not in KINDS:
        raise fail(f"row is {row!r}", f"one of {', '.join(KINDS)}")
    levels = content.get("levels", {})
    if isinstance(levels, str):
        if levels not in SCALES:
            raise fail(f"no level scale {levels!r}", f"known: {', '.join(SCALES)}")
        levels = SCALES[levels]
    if not isinstance(levels, dict):
        raise fail(
            "levels: expected a mapping or the name of a scale", f"a word and its level, or one of {', '.join(SCALES)}"
        )
    levels = {str(k).lower(): str(v) for k, v in levels.items()}
    if bad := [v for v in levels.values() if v not in LEVELS]:
        raise fail(f"unknown level {bad[0]!r}", f"one of {', '.join(LEVELS)}")
    pattern = expand(content.get("pattern", ""))
    groups = tuple(re.findall(r"\(\?P?<(\w+)>", pattern))
    if kind == "text" and not pattern:
        raise fail("a text format needs a pattern")
    if odd := [g for g in groups if g not in FIELDS and not g.endswith("_")]:
        raise fail(f"unknown group {odd[0]!r}", f"known: {', '.join(FIELDS)}; end others with _")
    joins = content.get("joins")
    also = {k: expand(v) for k, v in content.get("also", {}).items()}
    usual = expand(content.get("usual", ""))
    if odd := [g for g in re.findall(r"\(\?P?<(\w+)>", usual) if g not in also]:
        raise fail(f"usual: {odd[0]!r} is not among those of also")
    kinds = tuple(
        KindRule(
            str(k["kind"]),
            _path(k.get("path", k.get("has"))),
            expand(k["matches"]) if k.get("matches") else None,
            k.get("level"),
        )
        for k in content.get("kinds", ())
    )
    regexes = {
        "pattern": pattern,
        **also,
        **content.get("head", {}),
        **{f"kinds[{n}]": k.matches or "" for n, k in enumerate(kinds)},
        "usual": usual,
    }
    if joins:
        regexes |= {"joins.first": joins["first"], "joins.next": joins["next"]}
    fields = {f: tuple(_path(p) for p in paths) for f, paths in content.get("fields", {}).items()}
    if odd := [f for f in (*fields, *also) if f not in FIELDS]:
        raise fail(f"unknown field {odd[0]!r}", f"known: {', '.join(FIELDS)}")
    regexes |= {f"{f}[{n}]": p.extract or "" for f, paths in fields.items() for n, p in enumerate(paths)}
    for where, regex in ({} if is_ours(path) else regexes).items():
        if problem := refusal(regex):
            raise fail(
                f"{where}: polars refuses the regex: {problem}",
                "Rust regexes have no look-around and no back-references",
            )
    return Format(
        name=name,
        title=content.get("title", name),
        kind=kind,
        order=int(content.get("order", 50)),
        row=row,
        pattern=pattern,
        groups=tuple(g for g in groups if g in FIELDS),
        message="group" if "message" in groups or "inner" in groups else content.get("message", "rest"),
        also=also,
        usual=usual,
        joins=(expand(joins["first"]), expand(joins["next"])) if joins else None,
        keys=tuple(content.get("keys", ())),
        any_of=tuple(content.get("any", ())),
        head=content.get("head", {}),
        fields=fields,
        aliases=bool(content.get("aliases", False)),
        structured=tuple(content.get("structured", ())),
        known=frozenset(content.get("known", ())),
        flatten=content.get("flatten"),
        times=tuple([times] if isinstance(times := content.get("times", ()), str) else times),
        levels=levels,
        kinds=kinds,
        unwraps=bool(content.get("unwraps", False)),
        behind=bool(content.get("behind", False)),
        generic=bool(content.get("generic", False)),
        header=content.get("header", "no" if content.get("unwraps") else "own"),
        transport_level=content.get("transport_level"),
        latency=content.get("latency", "ms"),
        retells=bool(content.get("retells", False)),
        requests=bool(content.get("requests", False)),
        whole=int(content.get("whole", 0)),
        typed=bool(content.get("typed", False)),
        samples=tuple(Sample(str(s["text"]), s.get("expect", {})) for s in content.get("samples", ())),
        file=path,
    )


class _Found(TypedDict):
    path: str | list[str]
    extract: str | list[str]


class _Kind(TypedDict, total=False):
    kind: Required[str]
    path: str | list[str]
    has: str | list[str]
    matches: str | list[str]
    level: str


class _Joins(TypedDict):
    first: str | list[str]
    next: str | list[str]


class _Text(TypedDict, total=False):
    text: Required[str]
    expect: dict[str, Any]


class _Shape(TypedDict, total=False):
    name: str
    title: str
    kind: str
    row: str
    message: str
    flatten: str
    header: str
    transport_level: str
    latency: str
    retells: bool
    requests: bool
    order: int
    whole: int
    aliases: bool
    unwraps: bool
    behind: bool
    generic: bool
    typed: bool
    keys: list[str]
    any: list[str]
    structured: list[str]
    known: list[str]
    pattern: str | list[str]
    also: dict[str, str | list[str]]
    usual: str | list[str]
    joins: _Joins
    head: dict[str, str]
    fields: dict[str, list[Any]]
    times: str | list[str]
    levels: Any
    kinds: list[_Kind]
    samples: list[_Text]


_KEYS = frozenset(_Shape.__annotations__)


def _path(spec: Any) -> Place:
    if isinstance(spec, dict):
        return Place(_path(spec["path"]).keys, expand(spec["extract"]))
    if isinstance(spec, list):
        return Place(tuple(str(s) for s in spec))
    dotted, _, unit = str(spec or "").partition("|")
    return Place(tuple(dotted.split(".")) if dotted else (), unit=unit)


def expand(pattern: str | Sequence[str]) -> str:
    """A pattern as polars runs it: pieces joined, %{STAMP} and %{LEVEL} spelled out, classes cut down to ASCII."""
    text = pattern.strip("\n") if isinstance(pattern, str) else "".join(pattern)
    for name, meaning in MACROS.items():
        text = text.replace(f"%{{{name}}}", f"(?:{meaning})")
    return re.sub(r"\\\\|\\[dwsS]", lambda found: _ASCII.get(found[0], found[0]), text)


def refusal(regex: str) -> str:
    """Why polars refuses the regex; "" when it takes it."""
    try:
        pl.Series(["", "x"]).str.contains(f"^(?P<head_>{regex})" if regex else "", strict=True)
    except pl.exceptions.ComputeError as problem:
        said = [line.strip() for line in str(problem).splitlines()]
        return next((line.removeprefix("error: ") for line in said if line.startswith("error: ")), said[0])[:160]
    return ""


def to_json(value: Any) -> str:
    """The value as compact JSON."""
    return msgspec.json.encode(value).decode("utf-8", "replace")
