"""Options that several commands share, each said once, and what becomes of them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct
from msgspec.structs import replace

from triage.errors import TriageError

if TYPE_CHECKING:
    from triage.options import Options

SUFFIXES = {".md": "md", ".html": "html", ".json": "json"}
MAPPED = frozenset(("time", "level", "message", "service", "instance", "trace", "logger", "status", "latency"))


class To(StrEnum):
    """What stdout gets."""

    TERMINAL = "terminal"
    MD = "md"
    JSON = "json"
    HTML = "html"


class Severity(StrEnum):
    """Severities, the worst first."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="Files, globs, folders, or - for standard input (the default when something is piped in). "
        "gzip, zstd, bzip2 and xz are opened by content. Several inputs are one incident.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="Leave out what is older: 2025-09-16T04:41, or 30m before the log's end."
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Leave out what is younger.")]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="NAME", help="Only this service. Repeatable.", show_default=False),
]
Tz = Annotated[
    str, typer.Option("--tz", metavar="ZONE", help="Zone of time stamps that have none, e.g. Europe/Berlin.")
]
Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=KEY",
        help="Take a field of JSON entries from a key of your own, level=sev or time=meta.when, "
        "or read a level word of your own as a level, oops=error. Repeatable.",
        show_default=False,
    ),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--input-format", metavar="NAME", help="Read as this format instead of recognising it (triage patterns list)."
    ),
]
Patterns = Annotated[
    list[Path] | None,
    typer.Option(
        "--patterns",
        metavar="DIR",
        envvar="TRIAGE_PATTERNS",
        help="Your own patterns; they win over triage's by name. Repeatable.",
        show_default=False,
    ),
]
Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write the report: .md, .html or .json. Repeatable.", show_default=False
    ),
]
Format = Annotated[
    To,
    typer.Option(
        "--format",
        metavar="FORMAT",
        case_sensitive=False,
        help="What standard output gets: terminal, md, json or html.",
    ),
]
Title = Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Title of the report.")]
Repo = Annotated[
    Path | None,
    typer.Option(
        "--repo",
        metavar="DIR",
        help="The application's source: frames are shown with their lines, and its git history is searched for the "
        "commit that brought the failure in. Read only; nothing of it is run.",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="A log, summary or JSON report of a good time: what was as frequent then is no incident.",
    ),
]
NoRedact = Annotated[bool, typer.Option("--no-redact", help="Show secrets and personal data as they were logged.")]
FailOn = Annotated[
    Severity | None,
    typer.Option(
        "--fail-on",
        metavar="P0..P3",
        case_sensitive=False,
        help="Exit with 1 for an incident as severe as this or worse.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress; with -o, nothing on standard output either.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        help="Processes that read; as many as processors and --memory allow where it pays, unless you say.",
        show_default=False,
    ),
]
Memory = Annotated[
    str, typer.Option("--memory", metavar="SIZE", help="Memory that all of them together should stay under.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say how each input was read; on a crash, show where.")]


class Within(Struct, frozen=True, kw_only=True):
    """Which part of the time counts."""

    since: Since = None
    until: Until = None


class How(Struct, frozen=True, kw_only=True):
    """How logs are read, and what of them."""

    service: Services = None
    tz: Tz = "UTC"
    mapped: Mapped = None
    input_format: InputFormat = None
    patterns: Patterns = None


class Limits(Struct, frozen=True, kw_only=True):
    """What of the machine may be used."""

    jobs: Jobs = None
    memory: Memory = "512MB"


GROUPS: tuple[type, ...] = (Within, How, Limits)


@cache
def _members(group: type) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(group, eval_str=True).parameters.values())


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer wants it: the members of its groups of options are parameters of their own."""
    asked = inspect.signature(command, eval_str=True).parameters
    groups = {name: p.annotation for name, p in asked.items() if p.annotation in GROUPS}
    flat = [m for name, p in asked.items() for m in (_members(groups[name]) if name in groups else (p,))]

    @wraps(command)
    def call(**given: Any) -> None:
        made = {name: group(**{m.name: given.pop(m.name) for m in _members(group)}) for name, group in groups.items()}
        command(**given, **made)

    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined] # inspect reads it, and typer asks inspect
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in flat]
    )
    call.__annotations__ = {p.name: p.annotation for p in flat}
    return call


def name_inputs(names: Sequence[str] | None) -> list[str]:
    """The inputs to read; standard input when none is named and something is piped in."""
    if names:
        return list(names)
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise TriageError(
            "no input", hint="triage analyze app.log, or pipe a log in: kubectl logs POD | triage analyze"
        )
    return ["-"]


def make_options(
    how: How | None = None,
    within: Within | None = None,
    limits: Limits | None = None,
    *,
    repo: Path | None = None,
    title: str | None = None,
    with_fields: bool = False,
) -> Options:
    """What the engine is asked for; TriageError for what cannot be."""
    how, within, limits = how or How(), within or Within(), limits or Limits()
    _check_zone(how.tz)
    check_repo(repo)
    field_map, level_map = read_mapping(how.mapped or [])
    from triage.options import Options, size

    options = Options(
        patterns=tuple(how.patterns or ()),
        tz=how.tz,
        input_format=how.input_format,
        level_map=level_map,
        since=within.since,
        until=within.until,
        services=tuple(how.service or ()),
        title=title,
        repo=repo,
        with_fields=with_fields,
        jobs=limits.jobs,
        memory=size(limits.memory),
    )
    further: dict[str, Any] = {"field_map": field_map} if field_map else {}
    return replace(options, **further)


def read_mapping(pairs: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Fields and the keys they are under, and level words and what they mean."""
    fields: dict[str, str] = {}
    words: dict[str, str] = {}
    for pair in pairs:
        left, equals, right = (part.strip() for part in pair.partition("="))
        if not (left and equals and right):
            raise TriageError(
                f"--map takes FIELD=KEY or WORD=LEVEL, not {pair!r}", hint="--map level=sev or --map oops=error"
            )
        (fields if left in MAPPED else words)[left] = right
    return fields, words


def _check_zone(tz: str) -> None:
    if tz == "UTC":
        return
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(tz)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise TriageError(f"no time zone called {tz!r}", hint="a name like Europe/Berlin or America/New_York") from None


def check_repo(repo: Path | None) -> None:
    if repo is not None and not repo.is_dir():
        raise TriageError(f"no folder {repo}", hint="--repo takes the folder of the application's source")


def check_outputs(outputs: Sequence[Path], inputs: Sequence[str]) -> list[Path]:
    for path in outputs:
        check_output(path, tuple(SUFFIXES), inputs)
    return list(outputs)


def check_output(path: Path, suffixes: Sequence[str], inputs: Sequence[str]) -> None:
    if path.suffix.lower() not in suffixes:
        raise TriageError(
            f"cannot tell what to write to {path}",
            hint=f"end the name in {', '.join(suffixes[:-1])}{' or ' * (len(suffixes) > 1)}{suffixes[-1]}",
        )
    if path.is_dir() or not path.parent.is_dir():
        raise TriageError(f"cannot write {path}", hint="name a file in a folder that exists")
    if path.exists() and any(Path(name).exists() and path.samefile(name) for name in inputs):
        raise TriageError(f"{path} is an input, it would be overwritten", hint="name another file after -o")
