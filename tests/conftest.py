"""What the tests share: the program run inside this process, the project's folders, how golden files are renewed."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_logs"

# New cases at every run of a developer; the same ones at every run of a gate, so that it stops the change that broke them.
settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("gate")


@dataclass(frozen=True, slots=True)
class Done:
    """How a run of the program ended."""

    code: int
    out: str
    err: str


Program = Callable[..., Done]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/ anew from what comes out now")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def triage(monkeypatch: pytest.MonkeyPatch) -> Program:
    """`triage("analyze", path, stdin=b"...")` runs the program in this process; without stdin, nothing is piped in."""

    def run(*args: str | Path, stdin: bytes | None = None, terminal: bool = False) -> Done:
        from triage import cli

        window = _Terminal if terminal else io.TextIOWrapper
        out, err = window(io.BytesIO(), encoding="utf-8"), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        given = _Terminal(io.BytesIO()) if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", given)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = cli.run([str(a) for a in args])
            out.flush()
            err.flush()
        text = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined] # a BytesIO
        return Done(code, *text)

    return run


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start: a job in the background of a shell ignores it, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.pop(
        "PYTHONDONTWRITEBYTECODE", None
    ):  # the many programs that tests start are not to be compiled each time
        folder = os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="triage-bytecode-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: some tests wait for programs that they started."""
    return min(os.cpu_count() or 1, 16) + 1
