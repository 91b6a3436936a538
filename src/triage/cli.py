"""The command line: builds an Options value, calls one function, writes what it returns."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from triage.errors import TriageError

if TYPE_CHECKING:
    import polars as pl

    from triage.engine import Options, Progress, Records
    from triage.report import Report

OK, REACHED, MISTAKE, INTERNAL = 0, 1, 2, 70
SUFFIXES = {".md": "md", ".html": "html", ".json": "json"}
FRAMES = (".parquet", ".jsonl", ".csv")
MAPPED = frozenset(("time", "level", "message", "service", "instance", "trace", "logger", "status", "latency"))
PATIENCE_S = 0.7  # a progress bar appears only when the work takes longer than this

# UsageError of click, or of the copy of click that newer typer carries: the parent of the one name that typer exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


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


class Kind(StrEnum):
    """Kinds of pattern files."""

    FORMATS = "formats"
    TRACES = "traces"
    MASKS = "masks"
    MARKS = "marks"
    RULES = "rules"
    GROUPING = "grouping"
    REDACT = "redact"
    SOURCE = "source"


# ---------------------------------------------------------------- options that several commands share

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
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say how each input was read; on a crash, show where.")]


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


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
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

app = typer.Typer(
    name="triage",
    help="Turn platform logs into an incident report: what failed, why, since when, what to do. Offline.",
    epilog=_examples(
        "triage analyze app.log",
        "kubectl logs deploy/api --previous | triage analyze -o report.md",
        "triage analyze logs/ --format json | jq .headline",
    )
    + "\n\n\b\nExit codes: 0 analysed, 1 --fail-on reached, 2 a mistake in the call, 70 a fault of triage.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)
patterns_app = typer.Typer(
    name="patterns",
    help="The formats, traces, masks, marks and rules that triage knows.",
    no_args_is_help=False,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
)
app.add_typer(patterns_app)


# ---------------------------------------------------------------- commands


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("-V", "--version", help="Print the version.")] = False,
) -> None:
    if version:
        _print(f"triage {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _print(context.get_help())


@app.command(
    epilog=_examples(
        "triage analyze app.log",
        "triage analyze logs/ -o report.md -o report.html",
        "journalctl -u api -o json --since -2h | triage analyze",
        "triage analyze app.log.gz --since 30m --fail-on P1 --quiet -o report.json",
    )
)
def analyze(
    inputs: Inputs = None,
    output: Outputs = None,
    to: Format = To.TERMINAL,
    since: Since = None,
    until: Until = None,
    service: Services = None,
    tz: Tz = "UTC",
    mapped: Mapped = None,
    input_format: InputFormat = None,
    patterns: Patterns = None,
    repo: Repo = None,
    baseline: Baseline = None,
    title: Title = None,
    no_redact: NoRedact = False,
    fail_on: FailOn = None,
    quiet: Quiet = False,
    jobs: Jobs = None,
    memory: Memory = "512MB",
    verbose: Verbose = False,
) -> None:
    """Turn logs into an incident report."""
    outputs = _check_outputs(output or [], inputs or [])
    names = _inputs(inputs)
    options = _options(since, until, service, tz, mapped, input_format, patterns, repo=repo, title=title)
    options = _within(options, jobs, memory)
    if baseline is not None:
        options = replace(options, baseline=_side(baseline, options))
    from triage.engine import analyze as analyze_logs

    began = time.monotonic()
    with _reading(names) as reading, _meter(not quiet) as meter:
        report = analyze_logs(names, options, stdin=reading.stdin, progress=meter)
    if verbose:
        _tell_how(report, time.monotonic() - began)
    if reading.signals and not report.counts.records:
        raise _Stopped(reading.signals[0])
    _deliver(report, outputs, to, redact=not no_redact, quiet=quiet, fail_on=fail_on)


@app.command(
    epilog=_examples(
        "triage watch /var/log/api.log",
        "triage watch -- kubectl logs -f deploy/api",
        "railway logs | triage watch -o report.md",
    )
)
def watch(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Files that grow (they need not exist yet), globs, folders, or - for standard input; "
            "behind -- a command whose output is read.",
            show_default=False,
        ),
    ] = None,
    output: Outputs = None,
    to: Format = To.TERMINAL,
    service: Services = None,
    tz: Tz = "UTC",
    mapped: Mapped = None,
    input_format: InputFormat = None,
    patterns: Patterns = None,
    baseline: Baseline = None,
    title: Title = None,
    on_incident: Annotated[
        str | None,
        typer.Option(
            "--on-incident",
            metavar="COMMAND",
            help="Run this for each incident that opens, changes or recovers: JSON on its standard input, "
            "TRIAGE_EVENT, TRIAGE_SEVERITY and TRIAGE_TEXT in its environment.",
        ),
    ] = None,
    cooldown: Annotated[
        float, typer.Option("--cooldown", metavar="SECONDS", help="Between two events of one incident, at least.")
    ] = 60.0,
    jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help="Write the events to standard output, one JSON object a line, and no report."),
    ] = False,
    no_redact: NoRedact = False,
    fail_on: FailOn = None,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong while the log still runs; at the end, write the report."""
    command: Sequence[str] = context.obj or ()
    if command and inputs:
        raise TriageError("inputs and a command are given", hint="triage watch app.log, or triage watch -- COMMAND")
    outputs = _check_outputs(output or [], inputs or [])
    names = [] if command else _inputs(inputs)
    options = _options(None, None, service, tz, mapped, input_format, patterns, title=title)
    if baseline is not None:
        options = replace(options, baseline=_side(baseline, options))
    from triage.live import Wishes, run

    def write_now(report: Report) -> str:
        paths = outputs or [Path("triage-report.md")]
        _write_files(report, paths, redact=not no_redact)
        return f"wrote {', '.join(str(p) for p in paths)}"

    width = _width()
    wishes = Wishes(
        screen=width is not None
        and not (jsonl or quiet or os.environ.get("TERM") == "dumb")
        and sys.platform != "win32",
        colour=_colour(),
        redact=not no_redact,
        quiet=quiet,
        cooldown_s=cooldown,
        jsonl=jsonl,
        on_incident=on_incident,
        environment=dict(os.environ),
        say=_say,
        show=_print,
        write=write_now,
    )
    ended = run(names, command, options, wishes, pipe=sys.stdin.fileno() if "-" in names else None)
    _deliver(ended.report, outputs, to, redact=not no_redact, quiet=quiet, fail_on=fail_on, taken=jsonl)
    if ended.code:
        raise typer.Exit(ended.code)


@app.command(
    epilog=_examples(
        "triage records app.log -o records.parquet",
        "triage records logs/ --since 1h | jq 'select(.level == \"ERROR\").message'",
    )
)
def records(
    inputs: Inputs = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write .parquet, .jsonl or .csv instead of JSON lines."),
    ] = None,
    since: Since = None,
    until: Until = None,
    service: Services = None,
    tz: Tz = "UTC",
    mapped: Mapped = None,
    input_format: InputFormat = None,
    patterns: Patterns = None,
    fields: Annotated[
        bool, typer.Option("--fields", help="Keep the other fields of structured entries, as JSON.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Write the records themselves, one row each."""
    if output is not None:
        _check_output(output, FRAMES, inputs or [])
    names = _inputs(inputs)
    options = _options(since, until, service, tz, mapped, input_format, patterns, with_fields=fields)
    from triage.engine import read

    began = time.monotonic()
    with _reading(names) as reading:
        found = read(names, options, stdin=reading.stdin)
        if output is None:
            _print_frames(found.batches())
        else:
            _write_frames(found, output)
            _say(f"wrote {output}")
    if verbose:
        _say(f"read in {time.monotonic() - began:.1f} s")


@app.command(
    epilog=_examples("triage summarize /var/log/api/ -o web-1.summary", "triage report *.summary -o report.md")
)
def summarize(
    inputs: Inputs = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.summary", help="Where the summary goes.")
    ] = None,
    since: Since = None,
    until: Until = None,
    service: Services = None,
    tz: Tz = "UTC",
    mapped: Mapped = None,
    input_format: InputFormat = None,
    patterns: Patterns = None,
    quiet: Quiet = False,
    jobs: Jobs = None,
    memory: Memory = "512MB",
    verbose: Verbose = False,
) -> None:
    """Read logs into a small file that merges with others: the first half of analyze, for many hosts."""
    if output is None:
        raise TriageError("summarize needs a file to write", hint="triage summarize app.log -o app.summary")
    _check_output(output, (".summary",), inputs or [])
    names = _inputs(inputs)
    options = _within(_options(since, until, service, tz, mapped, input_format, patterns), jobs, memory)
    from triage.engine import summarize as summarize_logs

    began = time.monotonic()
    with _reading(names) as reading, _meter(not quiet) as meter:
        summary = summarize_logs(names, options, stdin=reading.stdin, progress=meter)
    summary.save(output)
    if not quiet:
        _say(f"wrote {output}")
    if verbose:
        _say(f"read in {time.monotonic() - began:.1f} s")


@app.command(epilog=_examples("triage report web-1.summary web-2.summary -o report.md"))
def report(
    summaries: Annotated[list[Path], typer.Argument(metavar="FILE.summary...", help="What triage summarize wrote.")],
    output: Outputs = None,
    to: Format = To.TERMINAL,
    patterns: Patterns = None,
    repo: Repo = None,
    baseline: Baseline = None,
    title: Title = None,
    no_redact: NoRedact = False,
    fail_on: FailOn = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn summaries into one incident report: the second half of analyze."""
    outputs = _check_outputs(output or [], [str(p) for p in summaries])
    for path in summaries:
        if not path.is_file():
            raise TriageError(f"no such file: {path}", hint="triage summarize LOGS -o FILE.summary makes one")
    _check_repo(repo)
    from triage.diagnosis.diagnose import diagnose
    from triage.summary import Summary

    began = time.monotonic()
    merged = Summary.merge([Summary.load(p) for p in summaries])
    good = _side(baseline, _options(None, None, None, "UTC", None, None, patterns)) if baseline is not None else None
    found = diagnose(merged, title=title, patterns=tuple(patterns or ()), repo=repo, baseline=good)
    if verbose:
        _tell_how(found, time.monotonic() - began)
    _deliver(found, outputs, to, redact=not no_redact, quiet=quiet, fail_on=fail_on)


@app.command(
    epilog=_examples("triage diff yesterday.log today.log", "triage diff good.summary report.json --format md")
)
def diff(
    before: Annotated[
        str, typer.Argument(metavar="BEFORE", help="A log, a folder of logs, a summary or a JSON report.")
    ],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The same, of later.")],
    to: Format = To.TERMINAL,
    service: Services = None,
    tz: Tz = "UTC",
    mapped: Mapped = None,
    input_format: InputFormat = None,
    patterns: Patterns = None,
    no_redact: NoRedact = False,
) -> None:
    """Say what is new, gone, louder, quieter, slower or fails more."""
    options = _options(None, None, service, tz, mapped, input_format, patterns)
    from triage.diagnosis.compare import compare
    from triage.rendering.comparison import show_comparison

    found = compare(_side(before, options), _side(after, options))
    _print(show_comparison(found, to.value, redact=not no_redact).rstrip("\n"))


@app.command(epilog=_examples("triage verify report.json after-the-fix.log"))
def verify(
    report: Annotated[Path, typer.Argument(metavar="REPORT.json", help="What triage analyze --format json wrote.")],
    after: Annotated[
        str, typer.Argument(metavar="AFTER", help="A log, a folder of logs, a summary or a report of later.")
    ],
    to: Format = To.TERMINAL,
    service: Services = None,
    tz: Tz = "UTC",
    mapped: Mapped = None,
    input_format: InputFormat = None,
    patterns: Patterns = None,
    no_redact: NoRedact = False,
) -> None:
    """Measure a report's success metrics again; exit with 1 while the incident has not ended."""
    then = _report_of(report)
    if then is None:
        raise TriageError(f"{report} is no JSON report", hint="triage analyze LOGS -o report.json writes one")
    options = _options(None, None, service, tz, mapped, input_format, patterns)
    from triage.diagnosis.compare import verify as measure
    from triage.rendering.comparison import show_checks

    found = measure(then, _side(after, options))
    _print(show_checks(found, to.value, redact=not no_redact).rstrip("\n"))
    if not all(c.met for c in found):
        raise typer.Exit(REACHED)


def _side(name: str, options: Options) -> dict[str, Any]:
    """The report, in its JSON form, of a log, a folder, a summary or a JSON report."""
    path = Path(name)
    known = _report_of(path)
    if known is not None:
        return known
    if path.suffix == ".summary" and path.is_file():
        from triage.diagnosis.diagnose import diagnose
        from triage.summary import Summary

        return diagnose(Summary.load(path), patterns=options.patterns).to_dict()
    from triage.engine import analyze as analyze_logs

    plain = replace(options, repo=None, baseline=None, title=None)
    return analyze_logs([name], plain, stdin=None).to_dict()


def _report_of(path: Path) -> dict[str, Any] | None:
    """The JSON report in that file; None when it holds something else."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if not re.match(rb'\s*\{\s*"schema"\s*:\s*"triage\.report/1"', file.read(200)):
            return None
    import json

    try:
        held = json.loads(path.read_bytes())
    except ValueError as problem:
        raise TriageError(f"{path}: not valid JSON: {problem}", hint="write the report again") from None
    return held if isinstance(held, dict) else None


@app.command(
    "show",
    epilog=_examples("triage show 3f9a1c2b7d40 app.log", "triage show v1:3f9a1c2b7d40 app.log --why"),
)
def show_item(
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a cluster or failure, or its beginning; of a link CAUSE->EFFECT.")
    ],
    inputs: Inputs = None,
    why: Annotated[
        bool, typer.Option("--why", help="Every part of the signature, whether it contributes, and why.")
    ] = False,
    since: Since = None,
    until: Until = None,
    service: Services = None,
    tz: Tz = "UTC",
    mapped: Mapped = None,
    input_format: InputFormat = None,
    patterns: Patterns = None,
    no_redact: NoRedact = False,
    quiet: Quiet = False,
) -> None:
    """Show one cluster, failure or link of a report with all its evidence."""
    names = _inputs(inputs)
    options = _options(since, until, service, tz, mapped, input_format, patterns)
    from triage.diagnosis.reasons import reasons
    from triage.engine import report_on
    from triage.rendering.closeup import closeup, find

    with _reading(names) as reading, _meter(not quiet) as meter:
        report = report_on(names, options, stdin=reading.stdin, progress=meter)
    item = find(report, wanted)
    parts = reasons(item, patterns=options.patterns) if why else None
    _print(closeup(report, item, why=parts, width=_width(), colour=_colour(), redact=not no_redact))


@patterns_app.callback(invoke_without_command=True)
def _patterns(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _print(context.get_help())


@patterns_app.command("list")
def list_patterns(
    kind: Annotated[Kind | None, typer.Argument(help="Only this kind.", show_default=False)] = None,
    patterns: Patterns = None,
) -> None:
    """List what is known: kind, name, title."""
    rows = [(k, name, title) for k, name, title, _ in _known(patterns or []) if kind in (None, k)]
    widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
    _print("\n".join(f"{k:{widths[0]}}  {name:{widths[1]}}  {title}".rstrip() for k, name, title in rows))


@patterns_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of triage patterns list.")],
    patterns: Patterns = None,
) -> None:
    """Print the file that holds a pattern."""
    known = _known(patterns or [])
    paths = list(dict.fromkeys(path for _, n, _, path in known if name in (n, path.stem)))
    if not paths:
        raise TriageError(f"no pattern called {name!r}", hint=_nearest(name, [n for _, n, _, _ in known]))
    _print("\n".join(f"# {path}\n{path.read_text(encoding='utf-8').rstrip()}" for path in paths))


@patterns_app.command("test")
def run_samples(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Your own patterns, tried together with triage's.")
    ] = None,
    patterns: Patterns = None,
) -> None:
    """Run the samples of every pattern; exit with 1 when one does not hold."""
    problems = _check_samples([*([folder] if folder else []), *(patterns or [])])
    if problems:
        _print("\n".join(problems))
        raise typer.Exit(REACHED)
    _print("every sample holds")


@patterns_app.command()
def detect(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Files to recognise, - for standard input.")
    ] = None,
    patterns: Patterns = None,
) -> None:
    """Say which format a file or standard input is in, and why."""
    from triage.intake.detection import study
    from triage.intake.formats import load_catalog
    from triage.intake.sources import open_sources
    from triage.packs import pattern_dirs

    catalog = load_catalog(pattern_dirs(patterns or []))
    names = _inputs(inputs)
    with _reading(names) as reading:
        for source in open_sources(names, stdin=reading.stdin):
            found = study(source.open(), catalog).detection
            _print(f"{source.name}: {found.chain or 'text'} ({found.why})")


def _check_samples(extra: Sequence[Path]) -> list[str]:
    """What is wrong with the samples of all patterns, a sentence each."""
    from triage.diagnosis import knowledge
    from triage.diagnosis.repo import clues
    from triage.grouping import steering
    from triage.intake import formats, stacks
    from triage.packs import pattern_dirs
    from triage.rendering import redaction

    dirs = pattern_dirs(extra)
    return [
        *formats.check_samples(formats.load_catalog(dirs)),
        *stacks.check_samples(stacks.load_traces(dirs)),
        *_check_masks(dirs),
        *_check_marks(dirs),
        *redaction.check_samples(),
        *steering.check_samples(steering.load_rules(dirs)),
        *knowledge.check_samples(knowledge.load_rules(dirs)),
        *clues.check_samples(clues.load_lexicon(dirs)),
    ]


def _check_masks(dirs: tuple[Path, ...]) -> list[str]:
    import polars as pl

    from triage.grouping.masks import load_masks, mask

    masks = load_masks(dirs)
    wanted = {text: text for one in masks for text in one.unchanged} | {
        t: w for one in masks for t, w in one.examples.items()
    }
    came = mask(pl.Series("text", list(wanted), dtype=pl.String()), dirs=dirs)
    pairs = zip(wanted.items(), came, strict=True)
    return [f"masks: {text!r} becomes {got!r}, expected {want!r}" for (text, want), got in pairs if got != want]


def _check_marks(dirs: tuple[Path, ...]) -> list[str]:
    import polars as pl

    from triage.grouping.marks import load_marks, mark
    from triage.schema import EVENTS, conform

    signs = load_marks(dirs)
    texts = list(dict.fromkeys(text for sign in signs for text in (*sign.examples, *sign.counter)))
    events = conform(pl.DataFrame({"message": texts}).with_columns(kind=pl.lit("app")), EVENTS)
    rows = mark(events, dirs=dirs).to_dicts()
    came = {texts[r.pop("row")]: {k: v for k, v in r.items() if v is not None} for r in rows}
    none = {"mark": "none"}
    return [
        f"marks: {sign.name}: {text!r} gives {came.get(text, none)}, expected {dict(want)}"
        for sign in signs
        for text, want in sign.examples.items()
        if came.get(text, none) != dict(want)
    ] + [
        f"marks: {sign.name}: {text!r} gives {sign.mark}, which it should not"
        for sign in signs
        for text in sign.counter
        if came.get(text, none)["mark"] == sign.mark
    ]


def _known(extra: Sequence[Path]) -> list[tuple[str, str, str, Path]]:
    """Every pattern as (kind, name, title, file), by kind and name."""
    from triage.packs import packs, pattern_dirs, read_pack

    dirs = pattern_dirs(extra)
    found = []
    for kind in Kind:
        files = list(packs(kind, dirs))
        lists = [d / f"{kind}.yaml" for d in dirs]
        files += [(path, read_pack(path)) for path in lists[::-1] if path.is_file()][-1:]
        for path, content in files:
            entries = content.get({Kind.REDACT: "patterns", Kind.SOURCE: "clues"}.get(kind, kind.value))
            for entry in entries if isinstance(entries, list) else [content]:
                name = str(entry.get("name", path.stem))
                title = str(
                    entry.get("title")
                    or entry.get("why")
                    or entry.get("mark")
                    or entry.get("replacement")
                    or entry.get("names")
                    or ""
                )
                found.append((kind.value, name, " ".join(title.split()), path))
    return sorted(found, key=lambda row: (list(Kind).index(Kind(row[0])), row[1]))


def _nearest(name: str, names: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, 3)
    return f"triage patterns show {close[0]}" if close else "triage patterns list"


# ---------------------------------------------------------------- running


def main() -> None:
    """The `triage` program: runs the command of sys.argv and exits."""
    # Tables here are small: more threads wait for each other and more arenas hold memory, measured at 8 % of the time and
    # 50 MB. Polars asks for both once, when it is imported.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1")
    gc.set_threshold(100_000)  # what is decoded are many objects and no cycles: to look for them more often costs 3 %
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit code; never raises, never prints a traceback unless --verbose asks for it."""
    command = typer.main.get_command(app)
    ours, watched = _part(args)
    try:
        code = command.main(args=ours, prog_name="triage", standalone_mode=False, obj=watched)
    except TriageError as mistake:
        return _fail(MISTAKE, mistake.message, mistake.hint)
    except _UsageError as mistake:
        return _fail(MISTAKE, *_explain_usage(mistake, args))
    except (KeyboardInterrupt, typer.Abort):
        return _fail(128 + signal.SIGINT, "stopped before there was anything to report")
    except _Stopped as stopped:
        return _fail(128 + stopped.number, "stopped before there was anything to report")
    except OSError as problem:
        name = f"{problem.filename}: " if problem.filename else ""
        return _fail(
            MISTAKE, f"{name}{problem.strerror or problem}", "check that the path is right and that you may use it"
        )
    except SystemExit as end:  # shell completion ends this way
        return end.code if isinstance(end.code, int) else OK
    except BaseException as fault:  # noqa: BLE001 - a panic of a native library is no Exception, and must end in a sentence too
        return _crash(fault, args)
    return code if isinstance(code, int) else OK


def _part(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that are ours, and behind the -- of `watch` the command to be watched."""
    if "--" not in args or args[0] != "watch":
        return list(args), []
    cut = list(args).index("--")
    return list(args[:cut]), list(args[cut + 1 :])


class _Stopped(BaseException):
    """A signal ended the work before there was a result."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _fail(code: int, message: str, hint: str = "") -> int:
    _say(f"triage: {TriageError(message, hint=hint)}")
    return code


def _crash(fault: BaseException, args: Sequence[str]) -> int:
    if {"-v", "--verbose"} & set(args):
        import traceback

        _say("".join(traceback.format_exception(fault)).rstrip())
    detail = " ".join(str(fault).split())[:300]
    return _fail(
        INTERNAL,
        f"internal error, please report it: {type(fault).__name__}{': ' if detail else ''}{detail}",
        "the same command with --verbose shows where",
    )


def _explain_usage(mistake: Exception, args: Sequence[str]) -> tuple[str, str]:
    message = " ".join(str(getattr(mistake, "format_message", lambda: mistake)()).split())
    context = getattr(mistake, "ctx", None)
    path = getattr(context, "command_path", "triage")
    first = next((a for a in args if not a.startswith("-")), "")
    if path == "triage" and first and Path(first).exists():
        return f"{first} is no command", f"triage analyze {first}"
    return message[:1].lower() + message[1:].rstrip("."), f"{path} --help"


# ---------------------------------------------------------------- options


def _inputs(names: Sequence[str] | None) -> list[str]:
    """The inputs to read; standard input when none is named and something is piped in."""
    if names:
        return list(names)
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise TriageError(
            "no input", hint="triage analyze app.log, or pipe a log in: kubectl logs POD | triage analyze"
        )
    return ["-"]


def _options(
    since: str | None,
    until: str | None,
    services: Sequence[str] | None,
    tz: str,
    mapped: Sequence[str] | None,
    input_format: str | None,
    patterns: Sequence[Path] | None,
    *,
    repo: Path | None = None,
    title: str | None = None,
    with_fields: bool = False,
) -> Options:
    _check_zone(tz)
    _check_repo(repo)
    field_map, level_map = _mapping(mapped or [])
    from triage.engine import Options

    options = Options(
        patterns=tuple(patterns or ()),
        tz=tz,
        input_format=input_format,
        level_map=level_map,
        since=since,
        until=until,
        services=tuple(services or ()),
        title=title,
        repo=repo,
        with_fields=with_fields,
    )
    further: dict[str, Any] = {"field_map": field_map} if field_map else {}
    return replace(options, **further)


def _within(options: Options, jobs: int | None, memory: str) -> Options:
    """The options with what the machine may be asked for."""
    from triage.options import size

    return replace(options, jobs=jobs, memory=size(memory))


def _mapping(pairs: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
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


def _check_repo(repo: Path | None) -> None:
    if repo is not None and not repo.is_dir():
        raise TriageError(f"no folder {repo}", hint="--repo takes the folder of the application's source")


def _check_outputs(outputs: Sequence[Path], inputs: Sequence[str]) -> list[Path]:
    for path in outputs:
        _check_output(path, tuple(SUFFIXES), inputs)
    return list(outputs)


def _check_output(path: Path, suffixes: Sequence[str], inputs: Sequence[str]) -> None:
    if path.suffix.lower() not in suffixes:
        raise TriageError(
            f"cannot tell what to write to {path}",
            hint=f"end the name in {', '.join(suffixes[:-1])}{' or ' * (len(suffixes) > 1)}{suffixes[-1]}",
        )
    if path.is_dir() or not path.parent.is_dir():
        raise TriageError(f"cannot write {path}", hint="name a file in a folder that exists")
    if path.exists() and any(Path(name).exists() and path.samefile(name) for name in inputs):
        raise TriageError(f"{path} is an input, it would be overwritten", hint="name another file after -o")


# ---------------------------------------------------------------- reading


@dataclass(slots=True)
class _Reading:
    """What the signals said while inputs are read; `stdin` ends when one arrived."""

    stdin: BinaryIO | None = None
    signals: list[int] = field(default_factory=list)


@contextmanager
def _reading(names: Sequence[str]) -> Iterator[_Reading]:
    """While this lasts, Ctrl-C and SIGTERM end standard input where it is one of the inputs, else they end the work."""
    reading = _Reading()
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    live = "-" in names
    wake_read, wake_write = os.pipe()

    def on_signal(number: int, _frame: object) -> None:
        if not live or reading.signals:  # nothing to save, or asked for the second time
            raise _Stopped(number)
        reading.signals.append(number)
        os.write(wake_write, b"!")

    if live:
        reading.stdin = _open_stdin(wake_read)
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, on_signal)
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wake_read)
        os.close(wake_write)


def _open_stdin(wake: int) -> BinaryIO:
    """Standard input as bytes that end when `wake` becomes readable, even while a read waits for a quiet pipe."""
    import io

    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        return io.BytesIO()
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return stream  # type: ignore[no-any-return] # not a file of the system: nothing to wait for
    if sys.platform == "win32":
        return stream  # type: ignore[no-any-return] # select() knows sockets only there
    import select

    class Ending(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, room: memoryview) -> int:  # type: ignore[override] # typeshed: any writable buffer
            ready, _, _ = select.select([descriptor, wake], [], [])
            return 0 if wake in ready else os.readv(descriptor, [room])

    return io.BufferedReader(Ending(), 1 << 20)


@contextmanager
def _meter(wanted: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A function that draws progress on stderr once the work takes long; None where nobody would see it."""
    if not (wanted and sys.stderr is not None and sys.stderr.isatty()):
        yield None
        return
    import rich.progress as bars
    from rich.console import Console

    began = time.monotonic()
    seen: dict[str, int] = {}  # input -> its records
    drawing = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=30),
        bars.DownloadColumn(),
        bars.TextColumn("{task.fields[records]:,} records"),
        bars.TimeRemainingColumn(),
        console=Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR"))),
        transient=True,
    )
    task = drawing.add_task("", total=None, records=0)

    def advance(now: Progress) -> None:
        another, seen[now.name] = now.name not in seen, now.records
        if time.monotonic() - began < PATIENCE_S:
            return
        if another:
            drawing.reset(task, description=_shorten(now.name), total=now.bytes_total)
        drawing.update(task, description=_shorten(now.name), total=now.bytes_total, completed=now.bytes_read)
        drawing.update(task, records=sum(seen.values()))
        if not drawing.live.is_started:
            drawing.start()

    try:
        yield advance
    finally:
        if drawing.live.is_started:
            drawing.stop()


def _shorten(name: str, to: int = 40) -> str:
    shown = "standard input" if name == "-" else name
    return (shown if len(shown) <= to else "…" + shown[-to + 1 :]).replace("[", "\\[")


# ---------------------------------------------------------------- writing


def _deliver(
    report: Report,
    outputs: Sequence[Path],
    to: To,
    *,
    redact: bool,
    quiet: bool,
    fail_on: Severity | None,
    taken: bool = False,
) -> None:
    """Write the files, then stdout unless it is taken by something else, then exit by severity."""
    from triage.rendering import render

    _write_files(report, outputs, redact=redact)
    if not quiet:
        for path in outputs:
            _say(f"wrote {path}")
    if not (taken or (quiet and outputs)):
        _print(render(report, to.value, width=_width(), colour=_colour(), redact=redact))
    if fail_on is not None and report.severity is not None and report.severity <= fail_on.value:
        raise typer.Exit(REACHED)


def _write_files(report: Report, outputs: Sequence[Path], *, redact: bool) -> None:
    from triage.rendering import render

    for path in outputs:
        path.write_bytes(_encode(render(report, SUFFIXES[path.suffix.lower()], redact=redact)))


def _print_frames(frames: Iterator[pl.DataFrame]) -> None:
    for frame in frames:
        if frame.height and not _print(_with_text_times(frame.lazy()).collect().write_ndjson()):
            return


def _write_frames(records: Records, path: Path) -> None:
    """Stream the records into a file; memory stays that of a few batches."""
    from polars.io.plugins import register_io_source

    batches = records.batches()
    first = next(batches, None)
    if first is None:
        first = records.collect()

    def all_batches(
        _columns: list[str] | None, _predicate: pl.Expr | None, _rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:  # a sink asks for everything, so there is nothing to push down
        yield first
        yield from batches

    lazy = register_io_source(all_batches, schema=first.schema)
    match path.suffix.lower():
        case ".parquet":
            lazy.sink_parquet(path)
        case ".csv":
            _with_text_times(lazy).sink_csv(path)
        case _:
            _with_text_times(lazy).sink_ndjson(path)


def _with_text_times(records: pl.LazyFrame) -> pl.LazyFrame:
    """Times as in a report, ISO 8601 with Z: formats without a type for times have several ways to write one."""
    import polars as pl

    return records.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))


def _tell_how(report: Report, seconds: float) -> None:
    for i in report.inputs:
        _say(f"{i.name}: {i.format} ({i.why}), {i.lines:,} lines, {i.records:,} records")
    for notice in report.intake.notices:
        _say(notice)
    _say(f"{report.counts.records:,} records in {seconds:.1f} s")


def _width() -> int | None:
    """Columns of the terminal that stdout is; None where it is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _encode(text: str) -> bytes:
    return (text if text.endswith("\n") or not text else text + "\n").encode("utf-8", "backslashreplace")


def _print(text: str, *, flush: bool = True) -> bool:
    """Data to stdout, as UTF-8 whatever the locale says; False when nobody reads it any more."""
    raw = getattr(sys.stdout, "buffer", None)
    try:
        if raw is None:
            sys.stdout.write(_encode(text).decode())
        else:
            raw.write(_encode(text))
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        # what is still buffered must not fail again at exit
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
        return False
    return True


def _say(text: str) -> None:
    """A sentence to stderr; a stderr that is closed is no reason to fail."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
            sys.stderr.flush()


def _version() -> str:
    from importlib.metadata import version

    return version("triage-logs")
