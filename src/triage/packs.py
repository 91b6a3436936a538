"""Pattern files: where they are, and how one is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from triage.errors import PackError

_HERE = Path(__file__).resolve().parent


def pattern_dirs(extra: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Folders with patterns, the ones that win first: the user's, then ours.

    An installed wheel carries ours inside the package; a checkout has them at its top.
    """
    ours = next((p for p in (_HERE / "patterns", _HERE.parent.parent / "patterns") if p.is_dir()), None)
    if ours is None:
        raise PackError(f"the pattern files that belong to triage are missing near {_HERE}", hint="reinstall triage")
    for folder in extra:
        if not folder.is_dir():
            raise PackError(
                f"no pattern folder {folder}", hint="--patterns takes a folder with formats/, traces/ or rules/"
            )
    return (*extra, ours)


def is_ours(path: Path) -> bool:
    """Whether a pattern file came with triage: its regexes were tried by our tests, to compile them all again costs time."""
    return path.is_relative_to(pattern_dirs()[-1])


def packs(kind: str, dirs: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every YAML mapping of one kind (formats, traces, rules), first of a name wins, sorted by name."""
    found: dict[str, Path] = {}
    for folder in dirs:
        for path in sorted((folder / kind).glob("*.yaml")):
            found.setdefault(path.stem, path)
    for name in sorted(found):
        yield found[name], read_pack(found[name])


def read_pack(path: Path) -> dict[str, Any]:
    """One YAML file as a mapping; PackError with the place when it is not one."""
    import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except RecursionError:
        raise PackError(
            f"{path}: a list or a mapping holds itself", hint="take out the alias (*) that does it"
        ) from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else os.fspath(path)
        raise PackError(
            f"{where}: not valid YAML: {getattr(problem, 'problem', problem)}",
            hint="check the indentation and quotes there",
        ) from None
    if not isinstance(content, dict):
        raise PackError(f"{path}: the file must hold a mapping", hint="start it with name: and the keys of its kind")
    return content


@cache
def _loader() -> Any:
    """The safe loader of YAML, texts, lists and mappings made by a short way: they are nearly all of a pack, and half the time.

    The long way is there for all else: numbers, empty values, merged mappings.
    """
    import yaml

    text, rows, mapping = (f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_document(self, node: Any) -> Any:
            return self.build(node)

        def build(self, node: Any) -> Any:
            tag, value = node.tag, node.value
            if tag == text:
                return value
            if tag == rows:
                return [each.value if each.tag == text else self.build(each) for each in value]
            if tag == mapping and all(key.tag == text for key, _ in value):
                return {key.value: each.value if each.tag == text else self.build(each) for key, each in value}
            return self.construct_object(node, deep=True)

    return Loader
