"""One run of the program: its arguments, its exit code, and a sentence for whatever goes wrong."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from triage.cli.app import app
from triage.cli.output import say
from triage.cli.reading import Stopped
from triage.errors import TriageError
from triage.tuning import tune

OK, MISTAKE, INTERNAL = 0, 2, 70

# UsageError of click, or of the copy of click that newer typer carries: the parent of the one name that typer exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """The `triage` program: runs the command of sys.argv and exits."""
    tune(os.environ)
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # nobody reads it any more
                stream.flush()
    os._exit(code)  # the system takes all memory back at once: to free it piece by piece takes a tenth of a short run


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
    except Stopped as stopped:
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


def _fail(code: int, message: str, hint: str = "") -> int:
    say(f"triage: {TriageError(message, hint=hint)}")
    return code


def _crash(fault: BaseException, args: Sequence[str]) -> int:
    if {"-v", "--verbose"} & set(args):
        import traceback

        say("".join(traceback.format_exception(fault)).rstrip())
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
