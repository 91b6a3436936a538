"""The commands of the program, and what their help says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from msgspec import Struct

from triage.cli.analyze import analyze
from triage.cli.compare import diff, verify
from triage.cli.options import spread
from triage.cli.output import put
from triage.cli.patterns import detect, list_patterns, run_samples, show_pattern
from triage.cli.records import records
from triage.cli.show import show_item
from triage.cli.summaries import report, summarize
from triage.cli.watch import watch

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Command(Struct, frozen=True):
    """What runs it, its name, and examples for its help."""

    run: Callable[..., None]
    name: str
    examples: tuple[str, ...] = ()


# In the order of the help.
COMMANDS = (
    _Command(
        analyze,
        "analyze",
        (
            "triage analyze app.log",
            "triage analyze logs/ -o report.md -o report.html",
            "journalctl -u api -o json --since -2h | triage analyze",
            "triage analyze app.log.gz --since 30m --fail-on P1 --quiet -o report.json",
        ),
    ),
    _Command(
        watch,
        "watch",
        (
            "triage watch /var/log/api.log",
            "triage watch -- kubectl logs -f deploy/api",
            "railway logs | triage watch -o report.md",
        ),
    ),
    _Command(
        records,
        "records",
        (
            "triage records app.log -o records.parquet",
            "triage records logs/ --since 1h | jq 'select(.level == \"ERROR\").message'",
        ),
    ),
    _Command(
        summarize,
        "summarize",
        ("triage summarize /var/log/api/ -o web-1.summary", "triage report *.summary -o report.md"),
    ),
    _Command(report, "report", ("triage report web-1.summary web-2.summary -o report.md",)),
    _Command(diff, "diff", ("triage diff yesterday.log today.log", "triage diff good.summary report.json --format md")),
    _Command(verify, "verify", ("triage verify report.json after-the-fix.log",)),
    _Command(show_item, "show", ("triage show 3f9a1c2b7d40 app.log", "triage show v1:3f9a1c2b7d40 app.log --why")),
)
OF_PATTERNS = (
    _Command(list_patterns, "list"),
    _Command(show_pattern, "show"),
    _Command(run_samples, "test"),
    _Command(detect, "detect"),
)


def _help_examples(lines: Sequence[str]) -> str | None:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else None


def _open(
    context: typer.Context,
    version: Annotated[bool, typer.Option("-V", "--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as read_version

        put(f"triage {read_version('triage-logs')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        put(context.get_help())


def _open_patterns(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        put(context.get_help())


def _build() -> typer.Typer:
    """The program as typer knows it."""
    examples = _help_examples(
        (
            "triage analyze app.log",
            "kubectl logs deploy/api --previous | triage analyze -o report.md",
            "triage analyze logs/ --format json | jq .headline",
        )
    )
    codes = "Exit codes: 0 analysed, 1 --fail-on reached, 2 a mistake in the call, 70 a fault of triage."
    whole = typer.Typer(
        name="triage",
        help="Turn platform logs into an incident report: what failed, why, since when, what to do. Offline.",
        epilog=f"{examples}\n\n{codes}",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )
    patterns = typer.Typer(
        name="patterns",
        help="The formats, traces, masks, marks and rules that triage knows.",
        no_args_is_help=False,
        rich_markup_mode=None,
        context_settings=_SETTINGS,
    )
    whole.add_typer(patterns)
    whole.callback(invoke_without_command=True)(_open)
    patterns.callback(invoke_without_command=True)(_open_patterns)
    for group, commands in ((whole, COMMANDS), (patterns, OF_PATTERNS)):
        for command in commands:
            group.command(command.name, epilog=_help_examples(command.examples))(spread(command.run))
    return whole


app = _build()
