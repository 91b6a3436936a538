"""What else people would reach for, each asked what it can answer of a log."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A program: `command` makes its command line for a kind and a file, `read` the answer from what it prints."""

    name: str
    installed: bool
    kinds: frozenset[str]
    command: Callable[[str, Path], list[str]]
    read: Callable[[str, bytes], Answer]


_FAILED = {  # lines that tell of a failure, as a regex that several tools take
    "gcp": r'"status":"?50[0-9]"?,',
    "flat": r'"level":"ERROR"',
    "text": r" ERROR app",
    "access": r'" 50[0-9] ',
    "heroku": r" status=50[0-9] ",
}
_ASKED = {
    "gcp": "server_errors",
    "flat": "errors",
    "text": "errors",
    "access": "server_errors",
    "heroku": "server_errors",
}
_MAWK = {
    "text": '$3 == "ERROR" && $4 ~ /^app/ { n++ } END { print n + 0 }',
    "access": "$9 >= 500 { n++ } END { print n + 0 }",
    "heroku": "/ status=50[0-9] / { n++ } END { print n + 0 }",
}
_JQ = {
    "gcp": "select(.httpRequest.status // 0 | tonumber >= 500)",
    "flat": 'select(.level == "ERROR")',
}
_LNAV = {
    "access": ";SELECT count(*) AS n FROM access_log WHERE sc_status >= 500",
    "text": ";SELECT count(*) AS n FROM all_logs WHERE log_level = 'error'",
}


def _python(module: str) -> Callable[[str, Path], list[str]]:
    return lambda kind, path: [sys.executable, "-m", module, kind, str(path)]


def _count(kind: str, out: bytes) -> Answer:
    digits = "".join(c if c.isdigit() else " " for c in out.decode(errors="replace")).split()
    return {_ASKED[kind]: int(digits[-1]) if digits else 0}


def _json(_kind: str, out: bytes) -> Answer:
    answer: Answer = json.loads(out)
    return answer


def _goaccess(_kind: str, out: bytes) -> Answer:
    report = json.loads(out)
    found = (code for group in report["status_codes"]["data"] for code in group.get("items", [group]))
    return {"status": {str(code["data"])[:3]: code["hits"]["count"] for code in found}}


_FORMAT = '%h - - [%d:%t %^] "%r" %s %b "%R" "%u" rt=%T'
PEERS = (
    Peer("duckdb", find_spec("duckdb") is not None, frozenset(("gcp", "flat", "text", "access", "heroku")), _python("benchmarks.duck"), _json),
    Peer("lnav", shutil.which("lnav") is not None, frozenset(_LNAV), lambda kind, path: ["lnav", "-n", "-N", "-c", _LNAV[kind], "-c", ":write-json-to -", str(path)], _count),
    Peer("goaccess", shutil.which("goaccess") is not None, frozenset(("access",)), lambda _, path: ["goaccess", str(path), "-o", "json", "--no-progress", "--no-global-config", f"--log-format={_FORMAT}", "--date-format=%d/%b/%Y", "--time-format=%H:%M:%S"], _goaccess),
    Peer("drain3", find_spec("drain3") is not None, frozenset(("text",)), lambda _, path: [sys.executable, "-m", "benchmarks.drain", str(path)], _json),
    Peer("jq", shutil.which("jq") is not None, frozenset(_JQ), lambda kind, path: ["jq", "-nR", f"reduce (inputs | fromjson? | {_JQ[kind]}) as $x (0; . + 1)", str(path)], _count),
    Peer("mawk", shutil.which("mawk") is not None, frozenset(_MAWK), lambda kind, path: ["mawk", _MAWK[kind], str(path)], _count),
    Peer("ripgrep", shutil.which("rg") is not None, frozenset(_FAILED), lambda kind, path: ["rg", "-c", _FAILED[kind], str(path)], _count),
    Peer("a loop in Python", True, frozenset(_FAILED), _python("benchmarks.plain"), _json),
)  # fmt: skip
