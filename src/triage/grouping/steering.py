"""What users say about groups: split one, join several, ignore some; each with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import polars as pl
from msgspec import Struct

from triage.errors import PackError
from triage.grouping.masks import check_regex
from triage.locating import check_types, with_lines
from triage.packs import pattern_dirs, read_pack

WAYS = ("split", "join", "ignore")
_FIELDS = {"name", *WAYS, "why", "examples", "counter"}
# How a template tells that a rule made it: the reason is found again by the name of the rule.
_MARKS = {"split": " [split by {}: ", "join": "[joined: {}]", "ignore": " [ignored: {}]"}
_MARKED = re.compile(
    r"(?:^| )\[(?:split by (?P<split>[^:\]]+): [^\]]*|joined: (?P<join>[^\]]+)|ignored: (?P<ignore>[^\]]+))\]$"
)


class Rule(Struct, frozen=True):
    """One entry of grouping.yaml. A split has one group in its pattern: what it captures tells the parts apart."""

    name: str
    way: str
    pattern: str
    why: str
    examples: tuple[str, ...] = ()
    counter: tuple[str, ...] = ()


@with_lines
def load_rules(dirs: Sequence[Path] | None = None) -> tuple[Rule, ...]:
    """The entries of all folders, first of a name wins; PackError for one that cannot be used."""
    found: dict[str, Rule] = {}
    for folder in pattern_dirs() if dirs is None else dirs:
        path = folder / "grouping.yaml"
        entries = (read_pack(path).get("grouping") or []) if path.is_file() else []
        if not isinstance(entries, list):
            raise PackError(
                f"{path}: grouping must be a list", hint="give each entry name:, why: and split:, join: or ignore:"
            )
        for entry in entries:
            rule = _read(path, entry)
            found.setdefault(rule.name, rule)
    return tuple(found.values())


def steer(table: pl.DataFrame, dirs: tuple[Path, ...] | None, signature: Callable[..., str]) -> pl.DataFrame:
    """Signed columns with the signatures and templates that the rules ask for; what is ignored carries no failure.

    `signature` makes one of its parts. A rule looks at the record's own text and at "Type: message" of its exceptions, the first that matches
    counts. Requests count by their status and are left as they are.
    """
    rules = _rules(dirs)
    if not rules or table.is_empty():
        return table
    raised = pl.col("headlines").list.join("\n").fill_null("")
    text = pl.concat_str(pl.col("head").fill_null(""), raised, separator="\n")
    left = table["http"].is_null()
    texts = table.select(text).to_series()
    signatures, templates = table["signature"].to_list(), table["template"].to_list()
    ignored = [False] * table.height
    for rule in rules:
        hits = (texts.str.contains(rule.pattern) & left).fill_null(False)
        if not hits.any():
            continue
        parts = texts.str.extract(rule.pattern, 1) if rule.way == "split" else texts
        for row in hits.arg_true():
            if rule.way == "join":
                templates[row] = _MARKS["join"].format(rule.name)
                signatures[row] = signature(templates[row])
            elif rule.way == "split":
                part = (parts[row] or "").replace("]", ")")[:80]
                templates[row] = f"{templates[row] or ''}{_MARKS['split'].format(rule.name)}{part}]"
                signatures[row] = signature(signatures[row] or "", rule.name, part)
            else:
                templates[row] = f"{templates[row] or ''}{_MARKS['ignore'].format(rule.name)}"
                signatures[row] = signature(signatures[row] or "", rule.name)
                ignored[row] = True
        left = left & ~hits
    none = pl.Series("ignored", ignored)
    empty = pl.lit([], dtype=pl.List(pl.String()))
    return table.with_columns(
        pl.Series("signature", signatures, dtype=pl.String()),
        pl.Series("template", templates, dtype=pl.String()),
        failure=pl.when(none).then(None).otherwise("failure"),
        causes=pl.when(none).then(empty).otherwise("causes"),
        links=pl.when(none).then(empty).otherwise("links"),
    )


def is_steered(template: str) -> bool:
    """Whether a rule made the template: then it is not folded with others."""
    return template.endswith("]") and _MARKED.search(template) is not None


def reason(template: str, rules: Sequence[Rule]) -> tuple[Rule, str] | None:
    """The rule that made the template, and a sentence that says what it did and why."""
    found = _MARKED.search(template)
    if not found:
        return None
    way = str(found.lastgroup)
    rule = next((r for r in rules if r.name == found[way] and r.way == way), None)
    if rule is None:
        return None
    did = {"split": "split", "join": "joined", "ignore": "ignored"}[way]
    return rule, f"{did} by your rule {rule.name!r}: {rule.why}"


def check_samples(rules: Sequence[Rule]) -> list[str]:
    """What the examples of the rules expect and do not get, one sentence each."""
    return [
        f"grouping: {rule.name}: {text!r} is {'not ' * wanted}matched"
        for rule in rules
        for texts, wanted in ((rule.examples, True), (rule.counter, False))
        for text in texts
        if bool(pl.Series([text]).str.contains(rule.pattern)[0]) is not wanted
    ]


@cache
def _rules(dirs: tuple[Path, ...] | None) -> tuple[Rule, ...]:
    return load_rules(dirs)


class _Shape(TypedDict, total=False):
    examples: list[str]
    counter: list[str]


def _read(path: Path, entry: Any) -> Rule:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise PackError(
            f"{path}: an entry without a name", hint="give each entry name:, why: and split:, join: or ignore:"
        )
    name = entry["name"]
    check_types(entry, _Shape, f"{path}: {name!r}")
    if unknown := set(entry) - _FIELDS:
        raise PackError(f"{path}: {name!r} has {sorted(unknown)}", hint=f"known: {', '.join(sorted(_FIELDS))}")
    if re.search(r"[:\]]", name):
        raise PackError(f"{path}: {name!r} holds a colon or a bracket", hint="take them out of the name")
    ways = [way for way in WAYS if way in entry]
    if len(ways) != 1 or not isinstance(entry[ways[0]], str):
        raise PackError(f"{path}: {name!r} must have one of split, join and ignore", hint="each takes a Rust regex")
    if not isinstance(entry.get("why"), str) or not entry["why"].strip():
        raise PackError(f"{path}: {name!r} has no why", hint="the reason is shown in the report")
    (way,) = ways
    pattern = entry[way]
    check_regex(pattern, f"{path}: {name!r}")
    if way == "split" and not re.search(r"\((?!\?:|\?[a-z]+\))", pattern):
        raise PackError(
            f"{path}: {name!r} splits by nothing", hint="put what tells the parts apart into brackets: tenant=(\\w+)"
        )
    examples, counter = (tuple(str(t) for t in entry.get(key) or ()) for key in ("examples", "counter"))
    return Rule(name, way, pattern, " ".join(entry["why"].split()), examples, counter)
