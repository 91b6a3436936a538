"""Pattern files that are wrong are refused when they are loaded, with file, line and a hint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from triage.diagnosis import knowledge
from triage.errors import PackError
from triage.grouping import marks, masks, steering
from triage.intake import formats, stacks

LOADERS: dict[str, Callable[[tuple[Path, ...]], Any]] = {
    "formats/mine.yaml": formats.load_catalog,
    "rules/mine.yaml": knowledge.load_rules,
    "traces/mine.yaml": stacks.load_traces,
    "masks.yaml": masks.load_masks,
    "marks.yaml": marks.load_marks,
    "grouping.yaml": steering.load_rules,
}

RULES = """\
name: mine
rules:
- name: other
  title: Another one
  category: network
  role: cause
  rank: 10
  confidence: 0.5
  cause: c
  match: reflux
- name: flux
  title: The flux is lost
  category: network
  role: cause
  rank: 10
  confidence: 0.5
  cause: c
  match: |
    flux lost
    %s
  %s
"""
FORMAT = """\
name: mine
title: mine
%s
%s
samples:
- text: 'x1 a'
- text: 'x2 b'
"""
MARKS = (
    "marks:\n- name: one\n  mark: start\n  needs: [one]\n  pattern: one\n- name: two\n  mark: start\n  needs: [two]\n"
)


def refused(tmp_path: Path, name: str, text: str) -> PackError:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PackError) as caught:
        LOADERS[name]((tmp_path,))
    return caught.value


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("formats/mine.yaml", FORMAT % ("pattern: 'x(?P<level>[A-Z]+) '", "row: [app"), 5, "not valid YAML"),
        ("formats/mine.yaml", FORMAT % ("pattern: 'x(?P<level>[A-Z]+) '", "patern: y"), 4, "unknown key 'patern'"),
        ("formats/mine.yaml", FORMAT % ("pattern: 'x(?P<level>[A-Z]+) '", "order: soon"), 4, "order: expected int"),
        ("formats/mine.yaml", FORMAT % ("pattern: 'x(?P<level>[A-Z]+) '", "also: [a]"), 4, "also: expected mapping"),
        ("formats/mine.yaml", FORMAT % ("kind: text", "pattern: 'x(?=1)'"), 4, "polars refuses the regex"),
        ("formats/mine.yaml", FORMAT % ("pattern: x", "also: {latency: '(?<!x)(1)'}"), 4, "polars refuses the regex"),
        ("formats/mine.yaml", FORMAT % ("kind: json", "fields: {message: msg}"), 4, "expected list"),
        ("formats/mine.yaml", FORMAT % ("pattern: x", "kinds: [{path: a}]"), 4, "missing required field kind"),
        ("rules/mine.yaml", RULES % ("x", "colour: red"), 21, "unknown key 'colour'"),
        ("rules/mine.yaml", RULES % ("x", "statuses: many"), 21, "are numbers"),
        ("rules/mine.yaml", RULES % ("(?=x)", "unless: y"), 20, "'(?=' in the pattern"),
        ("rules/mine.yaml", RULES.replace("rank: 10", "rank: high") % ("x", "unless: y"), 7, "rank is 'high'"),
        ("rules/mine.yaml", RULES.replace("role: cause", "role: [a]") % ("x", "unless: y"), 6, "role: expected str"),
        ("traces/mine.yaml", "name: mine\ntitle: mine\norder: soon\nmarks: ['a']\n", 3, "order: expected int"),
        ("traces/mine.yaml", "name: mine\nmarks: [a]\nlines:\n  frame: ['(?=x)']\n", 4, "look-around"),
        ("masks.yaml", "masks:\n- {name: a, pattern: x, replacement: y}\n- name: b\n  pattern: '(?=x)'\n  replacement: y\n", 4, "is not a Rust regex"),
        ("marks.yaml", MARKS + "  pattern: '(two'\n", 9, "is not a Rust regex"),
        ("marks.yaml", MARKS + "  pattern: two\n  counter: 3\n", 10, "counter: expected list"),
        ("grouping.yaml", "grouping:\n- name: g\n  why: w\n  split: '(?=x)(y)'\n", 4, "is not a Rust regex"),
        ("grouping.yaml", "grouping:\n- name: g\n  why: w\n  split: '(y)'\n  examples: y\n", 5, "examples: expected list"),
    ],
)  # fmt: skip
def test_it_is_refused_with_its_line(tmp_path: Path, name: str, text: str, line: int, said: str) -> None:
    problem = refused(tmp_path, name, text)
    assert said in problem.message
    assert problem.message.startswith(f"{tmp_path / name}:{line}: "), problem.message
    assert problem.hint


WRONG = (None, 3, "(?=x)", ["(?=x)"], [1, 2], {"a": 1}, {"a": [1]}, True, [{"a": 1}], [None])
WHOLE: dict[str, dict[str, Any]] = {
    "formats/mine.yaml": {
        "name": "mine", "title": "t", "kind": "json", "order": 5, "row": "app", "pattern": "x", "message": "rest", "also": {"latency": "(1)"},
        "joins": {"first": "a", "next": "b"}, "keys": ["a"], "any": ["b"], "head": {"a": "^x"}, "fields": {"message": ["msg"]},
        "aliases": True, "structured": ["*"], "known": ["x"], "flatten": "z", "times": "epoch", "levels": {"a": "INFO"},
        "kinds": [{"kind": "platform", "path": "a", "matches": "x"}], "unwraps": False, "generic": False, "header": "own",
        "transport_level": "INFO", "latency": "ms", "whole": 3, "typed": False, "samples": [{"text": "{}", "expect": {}}],
    },
    "rules/mine.yaml": {
        "name": "flux", "title": "t", "category": "network", "role": "cause", "rank": 10, "confidence": 0.5, "cause": "c", "match": "flux",
        "unless": "no", "exit_codes": "1", "signals": "SIGKILL", "statuses": "500", "kinds": "message", "explains": "http",
        "examples": "flux", "not_examples": "z", "checks": "x", "fixes": "x", "prevention": "x", "refuted_by": "x",
    },
    "masks.yaml": {"name": "m", "pattern": "x", "replacement": "<y>"},
    "marks.yaml": {"name": "m", "mark": "start", "needs": ["x"], "pattern": "x", "examples": {"x": {"mark": "start"}}, "counter": ["y"]},
    "grouping.yaml": {"name": "g", "split": "t=(.)", "why": "w", "examples": ["t=a"], "counter": ["u"]},
}  # fmt: skip


def told(load: Callable[[tuple[Path, ...]], Any], folder: Path) -> PackError | None:
    try:
        load((folder,))
    except PackError as problem:
        return problem
    return None


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, entry in WHOLE.items() for key in entry])
def test_no_value_of_another_type_ends_in_a_traceback(tmp_path: Path, name: str, key: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    head = name.removesuffix(".yaml") if "/" not in name else "rules"
    for value in WRONG:
        entry = {**WHOLE[name], key: value}
        path.write_text(yaml.safe_dump(entry if name.startswith("formats") else {head: [entry]}, sort_keys=False))
        problem = told(LOADERS[name], tmp_path)
        assert problem is None or (problem.message.startswith(f"{path}:") and problem.hint)
