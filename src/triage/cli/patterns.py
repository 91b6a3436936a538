"""`triage patterns`: what triage knows."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from triage.cli.options import Patterns, name_inputs
from triage.cli.output import REACHED, put
from triage.cli.reading import open_reading
from triage.errors import TriageError


class Kind(StrEnum):
    """Kinds of pattern files."""

    FORMATS = "formats"
    TRACES = "traces"
    MASKS = "masks"
    MARKS = "marks"
    RULES = "rules"
    GROUPING = "grouping"
    REDACT = "redact"
    SOURCE = "source"


def list_patterns(
    kind: Annotated[Kind | None, typer.Argument(help="Only this kind.", show_default=False)] = None,
    patterns: Patterns = None,
) -> None:
    """List what is known: kind, name, title."""
    rows = [(k, name, title) for k, name, title, _ in _known(patterns or []) if kind in (None, k)]
    widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
    put("\n".join(f"{k:{widths[0]}}  {name:{widths[1]}}  {title}".rstrip() for k, name, title in rows))


def show_pattern(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of triage patterns list.")],
    patterns: Patterns = None,
) -> None:
    """Print the file that holds a pattern."""
    known = _known(patterns or [])
    paths = list(dict.fromkeys(path for _, n, _, path in known if name in (n, path.stem)))
    if not paths:
        raise TriageError(f"no pattern called {name!r}", hint=_nearest(name, [n for _, n, _, _ in known]))
    put("\n".join(f"# {path}\n{path.read_text(encoding='utf-8').rstrip()}" for path in paths))


def run_samples(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Your own patterns, tried together with triage's.")
    ] = None,
    patterns: Patterns = None,
) -> None:
    """Run the samples of every pattern; exit with 1 when one does not hold."""
    problems = _check_samples([*([folder] if folder else []), *(patterns or [])])
    if problems:
        put("\n".join(problems))
        raise typer.Exit(REACHED)
    put("every sample holds")


def detect(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Files to recognise, - for standard input.")
    ] = None,
    patterns: Patterns = None,
) -> None:
    """Say which format a file or standard input is in, and why."""
    from triage.intake.detection import study
    from triage.intake.formats import load_catalog
    from triage.intake.sources import open_sources
    from triage.packs import pattern_dirs

    catalog = load_catalog(pattern_dirs(patterns or []))
    names = name_inputs(inputs)
    with open_reading(names) as reading:
        for source in open_sources(names, stdin=reading.stdin):
            found = study(source.open(), catalog).detection
            put(f"{source.name}: {found.chain or 'text'} ({found.why})")


def _check_samples(extra: Sequence[Path]) -> list[str]:
    """What is wrong with the samples of all patterns, a sentence each."""
    from triage.diagnosis import knowledge
    from triage.diagnosis.repo import clues
    from triage.grouping import steering
    from triage.intake import formats, stacks
    from triage.packs import pattern_dirs
    from triage.rendering import redaction

    dirs = pattern_dirs(extra)
    return [
        *formats.check_samples(formats.load_catalog(dirs)),
        *stacks.check_samples(stacks.load_traces(dirs)),
        *_check_masks(dirs),
        *_check_marks(dirs),
        *redaction.check_samples(),
        *steering.check_samples(steering.load_rules(dirs)),
        *knowledge.check_samples(knowledge.load_rules(dirs)),
        *clues.check_samples(clues.load_lexicon(dirs)),
    ]


def _check_masks(dirs: tuple[Path, ...]) -> list[str]:
    import polars as pl

    from triage.grouping.masks import load_masks, mask

    masks = load_masks(dirs)
    wanted = {text: text for one in masks for text in one.unchanged} | {
        t: w for one in masks for t, w in one.examples.items()
    }
    came = mask(pl.Series("text", list(wanted), dtype=pl.String()), dirs=dirs)
    pairs = zip(wanted.items(), came, strict=True)
    return [f"masks: {text!r} becomes {got!r}, expected {want!r}" for (text, want), got in pairs if got != want]


def _check_marks(dirs: tuple[Path, ...]) -> list[str]:
    import polars as pl

    from triage.grouping.marks import load_marks, mark
    from triage.schema import EVENTS, conform

    signs = load_marks(dirs)
    texts = list(dict.fromkeys(text for sign in signs for text in (*sign.examples, *sign.counter)))
    events = conform(pl.DataFrame({"message": texts}).with_columns(kind=pl.lit("app")), EVENTS)
    rows = mark(events, dirs=dirs).to_dicts()
    came = {texts[r.pop("row")]: {k: v for k, v in r.items() if v is not None} for r in rows}
    none = {"mark": "none"}
    return [
        f"marks: {sign.name}: {text!r} gives {came.get(text, none)}, expected {dict(want)}"
        for sign in signs
        for text, want in sign.examples.items()
        if came.get(text, none) != dict(want)
    ] + [
        f"marks: {sign.name}: {text!r} gives {sign.mark}, which it should not"
        for sign in signs
        for text in sign.counter
        if came.get(text, none)["mark"] == sign.mark
    ]


def _known(extra: Sequence[Path]) -> list[tuple[str, str, str, Path]]:
    """Every pattern as (kind, name, title, file), by kind and name."""
    from triage.packs import packs, pattern_dirs, read_pack

    dirs = pattern_dirs(extra)
    found = []
    for kind in Kind:
        files = list(packs(kind, dirs))
        lists = [d / f"{kind}.yaml" for d in dirs]
        files += [(path, read_pack(path)) for path in lists[::-1] if path.is_file()][-1:]
        for path, content in files:
            entries = content.get({Kind.REDACT: "patterns", Kind.SOURCE: "clues"}.get(kind, kind.value))
            for entry in entries if isinstance(entries, list) else [content]:
                name = str(entry.get("name", path.stem))
                title = str(
                    entry.get("title")
                    or entry.get("why")
                    or entry.get("mark")
                    or entry.get("replacement")
                    or entry.get("names")
                    or ""
                )
                found.append((kind.value, name, " ".join(title.split()), path))
    return sorted(found, key=lambda row: (list(Kind).index(Kind(row[0])), row[1]))


def _nearest(name: str, names: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, 3)
    return f"triage patterns show {close[0]}" if close else "triage patterns list"
