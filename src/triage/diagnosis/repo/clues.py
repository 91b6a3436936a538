"""What the text of a failure names of the source: modules, names, settings, columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from triage.errors import PackError
from triage.locating import with_lines
from triage.packs import pattern_dirs, read_pack

NAMES = ("module", "name", "arguments", "setting", "schema", "dependency", "file")
_GROUPS = ("module", "name", "of", "from")
_LONGEST = 4_000
_QUOTED = re.compile(r"['\"](\w+)['\"]")


class Clue(Struct, frozen=True):
    """One thing that a failure names. `origin` is the file that asks for a module, where the text says it."""

    names: str
    language: str
    module: str | None = None
    name: str | None = None
    of: str | None = None
    origin: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The names by themselves: "'owner' and 'currency'" is two."""
        if self.names == "arguments":
            return tuple(dict.fromkeys(_QUOTED.findall(self.name or ""))) or ((self.name,) if self.name else ())
        return (self.name,) if self.name else ()


class Pattern(Struct, frozen=True):
    """One kind of clue, from patterns/source.yaml."""

    name: str
    names: str
    language: str
    finds: tuple[re.Pattern[str], ...]
    examples: tuple[Mapping[str, str], ...]

    def find(self, text: str) -> Clue | None:
        """The first thing of this kind that the text names."""
        for expression in self.finds:
            if found := expression.search(text[:_LONGEST]):
                got = found.groupdict()
                return Clue(
                    self.names, self.language, got.get("module"), got.get("name"), got.get("of"), got.get("from")
                )
        return None


class Lexicon(Struct, frozen=True):
    """The patterns, the words of settings by kind of failure, and packages that go by another name."""

    patterns: tuple[Pattern, ...]
    settings: Mapping[str, frozenset[str]]
    packages: Mapping[str, Mapping[str, tuple[str, ...]]]


def clues(text: str, language: str | None, lexicon: Lexicon) -> tuple[Clue, ...]:
    """Everything that a text names, the most definite first; patterns of another language are passed over."""
    fitting = [p for p in lexicon.patterns if language is None or p.language in ("", language)]
    found = [clue for p in fitting if (clue := p.find(text)) is not None]
    return tuple(dict.fromkeys(found))


@with_lines
def load_lexicon(dirs: Sequence[Path] = ()) -> Lexicon:
    """The file source.yaml of the folder that wins; PackError when it cannot be used."""
    return _load(next(p for d in (*dirs, pattern_dirs()[-1]) if (p := d / "source.yaml").is_file()))


@cache
def _load(path: Path) -> Lexicon:
    pack = read_pack(path)
    return Lexicon(
        tuple(_compile(entry, path) for entry in pack.get("clues", ())),
        {str(k): frozenset(str(v).split()) for k, v in pack.get("settings", {}).items()},
        {
            str(language): {str(k): tuple(str(v).split()) for k, v in names.items()}
            for language, names in pack.get("packages", {}).items()
        },
    )


def _compile(entry: Mapping[str, Any], path: Path) -> Pattern:
    where = f"{path}: {entry.get('name', 'a clue without a name')}"
    try:
        finds = tuple(re.compile(line) for line in str(entry["match"]).splitlines() if line.strip())
        names = str(entry["names"])
    except KeyError as missing:
        raise PackError(f"{where}: {missing} is missing", hint="every clue has name, names, match, examples") from None
    except re.error as problem:
        raise PackError(f"{where}: {problem}", hint="check the brackets and groups of its match") from None
    unknown = {group for expression in finds for group in expression.groupindex} - set(_GROUPS)
    if names not in NAMES or unknown:
        raise PackError(
            f"{where}: knows no {sorted(unknown) or names}",
            hint=f"names: {', '.join(NAMES)}; groups: {', '.join(_GROUPS)}",
        )
    examples = tuple({str(k): str(v) for k, v in e.items()} for e in entry.get("examples", ()))
    return Pattern(str(entry["name"]), names, str(entry.get("language", "")), finds, examples)


def check_samples(lexicon: Lexicon) -> list[str]:
    """What is wrong with the examples of the clues, a sentence each."""
    problems = []
    for pattern in lexicon.patterns:
        if len(pattern.examples) < 2:
            problems.append(f"source: {pattern.name}: has {len(pattern.examples)} examples, needs 2")
        for example in pattern.examples:
            clue = pattern.find(example["text"])
            got = {} if clue is None else {"module": clue.module, "name": clue.name, "of": clue.of, "from": clue.origin}
            wanted = {k: v for k, v in example.items() if k != "text"}
            if {k: v for k, v in got.items() if v is not None} != wanted:
                problems.append(f"source: {pattern.name}: {example['text']!r} gives {got}, expected {wanted}")
    return problems
