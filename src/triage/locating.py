"""Pattern files that are wrong: values of another type than a key takes, and the line that a message speaks of."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from triage.errors import PackError

Given = ParamSpec("Given")
Made = TypeVar("Made")

_TOLD = re.compile(r"(?P<path>.+?\.ya?ml): (?P<what>.*)", re.DOTALL)
_QUOTED = re.compile(r"'([^']*)'")
_INDEX = re.compile(r"(\w+)(?:\[(\d+)\]| (\d+)\b)")


def with_lines(load: Callable[Given, Made]) -> Callable[Given, Made]:
    """The loader with the line in every PackError that names its file."""

    @wraps(load)
    def loading(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        try:
            return load(*args, **kwargs)
        except PackError as problem:
            found = _TOLD.fullmatch(problem.message)
            if found is None or not Path(found["path"]).is_file():
                raise
            place = line_of(Path(found["path"]), found["what"])
            raise PackError(f"{found['path']}:{place}: {found['what']}", hint=problem.hint) from None

    return loading


def check_types(content: Any, shape: Any, where: str, hint: str = "") -> None:
    """PackError when a value is of another type than the shape (a TypedDict) says; `where` names file and entry."""
    import msgspec

    try:
        msgspec.convert(content, shape)
    except msgspec.ValidationError as problem:
        told, _, place = str(problem).partition(" - at `$")
        key = place.strip("`.").replace("[...]", "")
        needs = (
            told.replace("`", "").replace("Object", "the mapping").replace("array", "list").replace("object", "mapping")
        )
        raise PackError(
            f"{where}: {key}: {needs[0].lower()}{needs[1:]}" if key else f"{where}: {needs[0].lower()}{needs[1:]}",
            hint=hint or "compare with the patterns that come with triage (triage patterns show NAME)",
        ) from None


def line_of(path: Path, what: str) -> int:
    """The line of the entry and the key that a message about this file speaks of; 1 where it names none."""
    import yaml

    root: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if root is None:
        return 1
    entry = max(_entries(root, what), key=lambda e: e[0], default=((False, 0), root))[1]
    for key, value in entry.value if entry.id == "mapping" and entry is not root else ():
        if key.value == "name":
            what = re.sub(rf"^(?:\w+ )?{re.escape(repr(value.value))}|\b{re.escape(value.value)}\b", "", what, count=1)
    entry, keyed = _by_index(entry, what)
    if keyed is None and (key := _at_path(entry, what)) is not None:
        return _line(key)
    if keyed is None and not re.search(r"unknown key|has \[", what) and (line := _quoted_line(entry, what)) is not None:
        return line
    return _line(keyed or _key_in(entry, what) or entry)


def _at_path(node: Any, what: str) -> Any:
    """The key that the message begins with: `order`, or `frame` for `lines.frame`."""
    for key, value in node.value if node.id == "mapping" else ():
        found = re.match(rf"\W*{re.escape(str(key.value))}(?![\w-])", what)
        if found:
            inner = _at_path(value, what[found.end() + 1 :]) if what[found.end() :].startswith(".") else None
            return inner if inner is not None else key
    return None


def _entries(root: Any, what: str) -> list[tuple[tuple[bool, int], Any]]:
    """Mappings in lists whose name the message holds, or that it counts: the longest name tells best."""
    found = []
    for node in _mappings(root):
        for key, value in node.value:
            if key.value == "name" and node is not root and isinstance(value.value, str):
                named = re.search(rf"(?<![\w-]){re.escape(value.value)}(?![\w-])", what)
                if named:
                    found.append(((repr(value.value) in what, len(value.value)), node))
    return found


def _mappings(node: Any) -> list[Any]:
    found, todo = [], [node]
    while todo:
        here = todo.pop(0)
        if here.id == "mapping":
            found.append(here)
            todo += [value for _, value in here.value]
        elif here.id == "sequence":
            todo += here.value
    return found


def _by_index(entry: Any, what: str) -> tuple[Any, Any]:
    """The entry, or the one that `rule 3` or `samples[2]` counts from 1 on; and the node of what is counted."""
    for counted in _INDEX.finditer(what):
        place = int(counted[2] or counted[3]) - 1
        for key, value in entry.value if entry.id == "mapping" else ():
            listed = value.value if value.id == "sequence" else []
            if key.value in (counted[1], f"{counted[1]}s") and 0 <= place < len(listed):
                return listed[place], (_key_in(listed[place], what) or listed[place])
    return entry, None


def _key_in(entry: Any, what: str) -> Any:
    """The first key of the entry that the message names, those inside of it before itself; a value that it quotes next."""
    pairs = [(key, value) for node in _mappings(entry) for key, value in node.value]
    named = [
        (found.start(), -n, key)
        for n, (key, _) in enumerate(pairs)
        if key.id == "scalar"
        and key.value
        and (found := re.search(rf"(?<![\w-]){re.escape(key.value)}(?![\w-])", what))
    ]
    strict = [key for _, _, key in sorted(named, key=lambda k: (k[0], k[1])) if repr(key.value) in what]
    return strict[0] if strict else min(named, key=lambda k: (k[0], k[1]))[2] if named else None


def _quoted_line(entry: Any, what: str) -> int | None:
    """The line of the longest text that the message quotes and that stands in a value of the entry."""
    for text in sorted(_QUOTED.findall(what), key=len, reverse=True):
        for node in _scalars(entry):
            if text and text in node.value:
                before = str(node.value[: node.value.index(text)])
                return _line(node) + before.count("\n") + int(node.style in ("|", ">"))
    return None


def _scalars(node: Any) -> list[Any]:
    """The values in a node that are texts, in their order."""
    if node.id == "scalar":
        return [node]
    inner = [value for _, value in node.value] if node.id == "mapping" else node.value
    return [found for value in inner for found in _scalars(value)]


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
