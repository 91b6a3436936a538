"""What varies in a text replaced by a word for it, so that texts that say the same become equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from triage.errors import PackError
from triage.locating import with_lines
from triage.packs import is_ours, pattern_dirs, read_pack

MARK = "\x1a"
KEPT = MARK + "Z"  # glued to a number that stays: as part of a word it is no number for the masks
_VALUE = "[0-9]{1,6}"
_WORD_END = r"\b"
_FIELDS = {"name", "pattern", "replacement", "keep", "needs", "digitless", "examples", "unchanged"}


class Mask(Struct, frozen=True):
    """One entry of masks.yaml. `head` is None for a mask; for a kept number it is the text before it."""

    name: str
    pattern: str
    replacement: str
    needs: tuple[str, ...] = ()
    examples: Mapping[str, str] = field(default_factory=dict)
    unchanged: tuple[str, ...] = ()
    head: str | None = None
    value: str = _VALUE
    tail: str = ""
    digitless: bool = False


class Step(Struct, frozen=True):
    """One regex to run, of one mask or of several neighbours."""

    pattern: str
    replacement: str
    needs: tuple[str, ...]
    digitless: bool


@with_lines
def load_masks(dirs: Sequence[Path] | None = None) -> tuple[Mask, ...]:
    """The masks in the order they run; PackError for an entry that cannot be used. The first folder with a file wins."""
    path = find_pack("masks.yaml", dirs)
    entries = read_pack(path).get("masks")
    if not isinstance(entries, list) or not entries:
        raise PackError(f"{path}: no masks", hint="give it a list called masks:")
    masks = tuple(_read(path, entry) for entry in entries)
    for one in () if is_ours(path) else masks:
        check_regex(one.pattern, f"{path}: mask {one.name!r}: pattern")
    return masks


def find_pack(name: str, dirs: Sequence[Path] | None) -> Path:
    """The file of that name in the first folder that has one, else ours."""
    ours = pattern_dirs()[-1] / name
    return ours if dirs is None else next((p for p in (folder / name for folder in dirs) if p.is_file()), ours)


def compile_masks(masks: Sequence[Mask]) -> tuple[Step, ...]:
    """The regexes that do it, neighbours with one effect joined; PackError for a pattern that is no Rust regex."""
    for one in masks:
        check_regex(one.pattern, f"mask {one.name!r}")
    return tuple(_join(masks))


def mask(texts: pl.Series, *, dirs: tuple[Path, ...] | None = None) -> pl.Series:
    """The texts with everything that varies replaced, same length, name and order; nulls stay null.

    Masking twice equals masking once. Equal texts are masked once.
    """
    distinct = texts.drop_nulls().unique(maintain_order=True)
    masked = _mask_distinct(distinct, _steps(dirs))
    return masked if len(masked) == len(texts) else _look_up(texts, distinct, masked)


def route_template(paths: pl.Series) -> pl.Series:
    """Paths with the segments that are ids as {id}; host, query and fragment dropped; same length, name and order."""
    distinct = paths.drop_nulls().unique()
    if len(distinct) > _MANY:
        return _look_up(paths, distinct, _route_templates(distinct))
    new = pl.Series([path for path in distinct if path not in _TEMPLATES], dtype=pl.String)
    if len(_TEMPLATES) + len(new) > _KEPT:
        _TEMPLATES.clear()
        new = distinct
    if len(new):
        _TEMPLATES.update(zip(new, _route_templates(new), strict=True))
    return _look_up(paths, distinct, pl.Series([_TEMPLATES[path] for path in distinct], dtype=pl.String))


_TEMPLATES: dict[str, str] = {}  # of paths that came before, in this process: the same few come in every batch
_KEPT = 4_096


def _route_templates(distinct: pl.Series) -> pl.Series:
    plain = _replace(distinct, _ROUTE[:_ROUTE_PLAIN])
    left = plain.unique()
    return _look_up(plain, left, _replace(left, _ROUTE[_ROUTE_PLAIN:]))


def merge_routes(paths: pl.Series) -> pl.Series:
    """Paths with the templates that these have, where most are different: then a number at their end is another one."""
    return paths.str.replace(r"/[0-9]+$", "/0") if paths.head(_TRIED).n_unique() > _MANY else paths


def _replace(texts: pl.Series, rules: Iterable[tuple[str, str]]) -> pl.Series:
    for pattern, replacement in rules:
        texts = texts.str.replace_all(pattern, replacement)
    return texts


def check_regex(pattern: str, what: str) -> None:
    """PackError when polars cannot compile the pattern."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as problem:
        said = [line.strip() for line in str(problem).splitlines()]
        reason = next((line.removeprefix("error: ") for line in said if line.startswith("error: ")), said[0])
        raise PackError(
            f"{what}: {pattern!r} is not a Rust regex: {reason}", hint="no look-around, no back-references"
        ) from None


_FEW, _SHORT = 6, 1 << 20  # literals, and characters to look at for all of them: more are sooner searched for at once
_TRIED, _MANY = 2_000, 200  # paths that are looked at, and how many different ones are many
_ROUTE_PLAIN = 4  # after so many of them most paths that differ in a number are one
# Slashes are doubled first, so that neighbouring segments do not share one: no pattern can look ahead.
_ROUTE = (
    (r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", ""),
    (r"[?#;].*$", ""),
    (r"/", "//"),
    (r"/[0-9]+(?P<end>/|$)", "/{id}${end}"),
    (r"/[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<end>[/T]|$)", "/{id}${end}"),
    (r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", "{id}"),
    (
        r"(?P<left>[/._-])(?:[0-9][0-9a-fA-F]{7,}|[a-fA-F]{1,2}[0-9][0-9a-fA-F]{5,}|[a-fA-F]{3,4}[0-9][0-9a-fA-F]{3,}"
        r"|[a-fA-F]{5}[0-9][0-9a-fA-F]{2,}|[a-fA-F]{6,}[0-9][0-9a-fA-F]*)(?P<end>[/._-]|$)",
        "${left}{id}${end}",
    ),
    (r"/[^/@]+@[^/@]+\.[^/@]+(?P<end>/|$)", "/{id}${end}"),
    (r"/[A-Za-z_-]*[0-9]+[A-Za-z_-]+[0-9]+[A-Za-z_-]+[0-9]+[\w=-]*(?P<end>[/.]|$)", "/{id}${end}"),
    (r"/[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]{23,}(?P<end>/|$)", "/{id}${end}"),
    (r"/(?P<word>[A-Za-z]+[_-])[0-9]+(?P<end>[/.]|$)", "/${word}{id}${end}"),
    (r"/(?P<word>[A-Za-z]{1,3})[0-9]{2,}(?P<end>[/.]|$)", "/${word}{id}${end}"),
    (r"/[0-9]+(?P<end>\.[A-Za-z]+(?:/|$))", "/{id}${end}"),
    (r"//", "/"),
)


def _mask_distinct(texts: pl.Series, steps: Sequence[Step]) -> pl.Series:
    out = texts.str.replace_all(MARK, "", literal=True)
    numbered = out.str.contains("[0-9]").arg_true()
    plain = _run(out, [step for step in steps if step.digitless]) if len(numbered) < len(out) else out
    if not len(numbered):
        return plain
    masked = _run(out.gather(numbered), steps).str.replace_all(KEPT, "", literal=True)
    return masked if len(numbered) == len(out) else plain.clone().scatter(numbered, masked)


def _run(texts: pl.Series, steps: Iterable[Step]) -> pl.Series:
    out, all_of_it = texts, ""  # the texts put together: whether a literal is in any is asked of all at once
    for step in steps:
        if not step.needs:
            out, all_of_it = out.str.replace_all(step.pattern, step.replacement), ""
            continue
        all_of_it = all_of_it or out.str.join("\n").item()
        if not _holds_any(all_of_it, step.needs):
            continue
        if len(step.needs) == 1:
            hit = out.str.contains(step.needs[0], literal=True)
        else:
            hit = out.str.contains_any(list(step.needs))
        at = hit.arg_true()
        all_of_it = "" if len(at) else all_of_it
        if len(at) == len(out):
            out = out.str.replace_all(step.pattern, step.replacement)
        elif len(at):
            out = out.clone().scatter(at, out.gather(at).str.replace_all(step.pattern, step.replacement))
    return out


def _holds_any(text: str, literals: Sequence[str]) -> bool:
    if len(literals) * len(text) <= _SHORT or len(literals) <= _FEW:
        return any(one in text for one in literals)
    return bool(pl.Series([text]).str.contains_any(list(literals))[0])


def _look_up(texts: pl.Series, distinct: pl.Series, masked: pl.Series) -> pl.Series:
    table = pl.DataFrame({"text": distinct, "masked": masked})
    joined = texts.rename("text").to_frame().join(table, on="text", how="left", maintain_order="left")
    return joined["masked"].rename(texts.name)


@cache
def _steps(dirs: tuple[Path, ...] | None) -> tuple[Step, ...]:
    masks = load_masks(dirs)
    return tuple(_join(masks)) if is_ours(find_pack("masks.yaml", dirs)) else compile_masks(masks)


def _join(masks: Sequence[Mask]) -> Iterator[Step]:
    for _, run in groupby(masks, key=_effect):
        group = list(run)
        first = group[0]
        if first.head is not None:
            yield _join_kept(group)
        elif len(group) == 1:
            yield Step(first.pattern, first.replacement, first.needs, first.digitless)
        else:
            yield Step("|".join(f"(?:{m.pattern})" for m in group), first.replacement, (), first.digitless)


def _effect(one: Mask) -> tuple[str, ...]:
    if not one.needs:
        if one.head is not None:
            return ("keep",)
        if "$" not in one.replacement:
            return ("mask", one.replacement, str(one.digitless))
    return ("alone", one.name)


def _join_kept(group: Sequence[Mask]) -> Step:
    """One regex for all; of its groups only those of the alternative that matched are not empty."""
    shapes: dict[tuple[str, str], list[str]] = {}
    for one in group:
        shapes.setdefault((one.value, one.tail), []).append(one.head or r"\b")
    pattern = "|".join(_keep(heads, *shape, str(n)) for n, (shape, heads) in enumerate(shapes.items()))
    heads, values, tails = (
        "".join(f"${{{part}{n}}}" for n in range(len(shapes))) for part in ("head", "value", "tail")
    )
    return Step(pattern, heads + KEPT + values + tails, group[0].needs, False)


def _keep(heads: Sequence[str], value: str, tail: str, number: str = "") -> str:
    # a sign is no part of the number: the mark that keeps it must stand directly before its digits
    head = "|".join(f"(?:{h})" for h in heads)
    return _ascii(f"(?P<head{number}>(?:{head})-?)(?P<value{number}>{value})(?P<tail{number}>{tail or _WORD_END})")


def _ascii(pattern: str) -> str:
    """The pattern with the word boundaries and classes of ASCII: with those of Unicode a regex is many times slower."""
    out: list[str] = []
    inside = False
    at = 0
    while at < len(pattern):
        two = pattern[at : at + 2]
        if two in _ASCII:
            out.append(_ASCII[two][inside])
            at += 2
        elif two[0] == "\\":
            out.append(two)
            at += 2
        else:
            inside = two[0] == "[" or (inside and two[0] != "]")
            out.append(two[0])
            at += 1
    return "".join(out)


_ASCII = {
    r"\b": (r"(?-u:\b)", r"\b"),
    r"\w": ("[0-9A-Za-z_]", "0-9A-Za-z_"),
    r"\d": ("[0-9]", "0-9"),
}


def _read(path: Path, entry: Any) -> Mask:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise PackError(f"{path}: a mask without a name", hint="give each entry name:, pattern: and replacement:")
    name = entry["name"]
    if unknown := set(entry) - _FIELDS:
        raise PackError(f"{path}: mask {name!r} has {sorted(unknown)}", hint=f"known: {', '.join(sorted(_FIELDS))}")
    needs = tuple(str(n) for n in entry.get("needs", ()))
    examples = {str(k): str(v) for k, v in (entry.get("examples") or {}).items()}
    unchanged = tuple(str(t) for t in entry.get("unchanged") or ())
    digitless = entry.get("digitless") is True
    keep = entry.get("keep")
    if isinstance(keep, dict):
        head, value, tail = str(keep.get("head", "")), str(keep.get("value", _VALUE)), str(keep.get("tail", ""))
        kept = Mask(name, "", "${head}" + KEPT + "${value}${tail}", needs, examples, unchanged, head, value, tail)
        return replace(kept, pattern=_keep([head or r"\b"], value, tail))
    if not isinstance(entry.get("pattern"), str) or not isinstance(entry.get("replacement"), str):
        raise PackError(f"{path}: mask {name!r} lacks pattern or replacement", hint="or say keep: with head and value")
    return Mask(name, _ascii(entry["pattern"]), entry["replacement"], needs, examples, unchanged, digitless=digitless)
