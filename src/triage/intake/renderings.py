"""Tracebacks that a library drew its own way, as the lines that the runtime itself prints."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BOX = re.compile(r"^\s*[╭┌+].*Traceback \(most recent call last\).*[╮┐+]\s*$")
_BOX_END = re.compile(r"^\s*[╰└+][─-]+[╯┘+]\s*$")
_SIDE = re.compile(r"^\s*[│|] ?(.*?)\s*[│|]?\s*$")
_BOXED = re.compile(r"^(?P<file>\S.*):(?P<line>\d+)(?: in (?P<function>\S.*?))?\s*$")
_BOXED_CODE = re.compile(r"^[❱>]\s*\d+\s*[│|]?\s?(?P<code>.*)$")
_PLACE = re.compile(r"^\S.*:\d+\s*$")
_CARET = re.compile(r"^\s*\^+\s*$")


def unboxed(lines: Sequence[str]) -> Sequence[str]:
    """The lines of a Python traceback without the box that rich draws around it; other lines stay."""
    if not any(_BOX.match(line) for line in lines):
        return lines
    plain: list[str] = []
    inside = False
    for line in lines:
        if _BOX.match(line):
            inside = True
            plain.append("Traceback (most recent call last):")
        elif inside and _BOX_END.match(line):
            inside = False
        elif inside and (side := _SIDE.match(line)):
            if found := _BOXED.match(side[1]):
                plain.append(f'  File "{found["file"]}", line {found["line"]}, in {found["function"] or "<module>"}')
            elif (code := _BOXED_CODE.match(side[1])) and plain[-1].startswith("  File "):
                plain.append(f"    {code['code'].strip()}")
        else:
            plain.append(line)
    return plain


def unmarked(lines: Sequence[str]) -> Sequence[str]:
    """The lines without the place, the source line and the caret that Node prints above an error that nobody caught."""
    for n in range(len(lines) - 2):
        if _PLACE.match(lines[n]) and _CARET.match(lines[n + 2]):
            return [*lines[:n], *lines[n + 3 :]]
    return lines
