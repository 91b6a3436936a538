"""The command line: builds an Options value, calls one function, writes what it returns."""

from __future__ import annotations

from triage.cli.output import REACHED
from triage.cli.running import INTERNAL, MISTAKE, OK, main, run

__all__ = ["INTERNAL", "MISTAKE", "OK", "REACHED", "main", "run"]
