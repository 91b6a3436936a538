"""The questions answered by a plain, slow, obviously right loop: `python -m benchmarks.plain KIND FILE`."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_LEVELS = {"100": "DEBUG", "200": "INFO", "400": "WARNING", "500": "ERROR"}
_HEAD = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) ")
_ACCESS = re.compile(rb'" (\d{3}) ')
_ROUTER = re.compile(rb" status=(\d{3}) ")
_SAID = re.compile(rb"app\[[\w.]+\]: (ERROR|INFO) ")


def answer(kind: str, path: Path) -> dict[str, Any]:
    """Records, errors, warnings and statuses, as far as the kind has them."""
    with path.open("rb") as lines:
        return _READERS[kind](lines)


def _entries(lines: Iterable[bytes]) -> dict[str, Any]:
    records, levels, status = 0, Counter[str](), Counter[str]()
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        records += 1
        level = str(entry.get("severity") or entry.get("level"))
        levels[_LEVELS.get(level, level)] += 1
        if request := entry.get("httpRequest"):
            status[str(request["status"])] += 1
    return {"records": records, "errors": levels["ERROR"], "warnings": levels["WARNING"], "status": dict(status)}


def _text(lines: Iterable[bytes]) -> dict[str, Any]:
    levels = Counter(found[1] for line in lines if (found := _HEAD.match(line)))
    return {"records": sum(levels.values()), "errors": levels[b"ERROR"], "warnings": levels[b"WARNING"]}


def _access(lines: Iterable[bytes]) -> dict[str, Any]:
    status = Counter(found[1].decode() for line in lines if (found := _ACCESS.search(line)))
    return {"records": sum(status.values()), "status": dict(status)}


def _heroku(lines: Iterable[bytes]) -> dict[str, Any]:
    records, status = 0, Counter[str]()
    for line in lines:
        records += 1
        if found := _ROUTER.search(line):
            status[found[1].decode()] += 1
    return {"records": records, "status": dict(status)}


_READERS: dict[str, Callable[[Iterable[bytes]], dict[str, Any]]] = {
    "gcp": _entries,
    "flat": _entries,
    "text": _text,
    "access": _access,
    "heroku": _heroku,
}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(sys.argv[1], Path(sys.argv[2]))) + "\n")
