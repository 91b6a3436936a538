"""Lines to letters: what each line of a log may be to a traceback, by its text alone."""

from __future__ import annotations

import polars as pl

from triage.intake.stacks import LINE_CLASSES, Traces


def patterns_of(traces: Traces) -> dict[str, str]:
    """One anchored Rust regex for each class of line."""
    return {
        kind: _to_ascii("^(?:" + "|".join(f"(?:{p})" for p in traces.lines(kind)) + ")")
        for kind in LINE_CLASSES
        if traces.lines(kind)
    }


def _to_ascii(pattern: str) -> str:
    """The same pattern with ASCII classes, whose automata are small and fast."""
    for short, long in ((r"\d", "[0-9]"), (r"\w", "[A-Za-z0-9_]"), (r"\s", r"[ \t\r\n\u{a0}]"), (r"\S", r"[^ \t\r\n]")):
        pattern = pattern.replace(short, long)
    return pattern


_LETTERS = (  # specific before general: the first class that a line matches is its own
    ("t", "traceback"),
    ("p", "report"),
    ("o", "crash"),
    ("r", "remark"),
    ("s", "chain"),
    ("q", "cause"),
    ("f", "frame"),
    ("k", "more"),
    ("m", "detail"),
    ("e", "headline"),
)
_INDENTED = ("t", "s", "q", "f", "k", "e")
_MANY = 2_000  # lines from which on it pays to look whether they repeat
_PLAUSIBLE = r"^(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_][A-Za-z0-9_]*(?::.*)?$"


def classify(lines: pl.Series, patterns: dict[str, str]) -> pl.Series:
    """The letter of every line by its text alone."""
    text = pl.col("line")
    frame = pl.DataFrame({"line": lines}).with_row_index("n")
    indented = text.str.starts_with(" ") | text.str.starts_with("\t") | text.str.starts_with("\u00a0")
    inner, outer = frame.filter(indented), frame.filter(~indented)
    parts = []
    if inner.height:
        # most lines of traces are frames and code: those first, and the many rare classes in one go
        calls = inner.select_seq("n", "line", hit=text.str.contains(patterns.get("frame", "$^")))
        parts.append(calls.filter("hit").select_seq("n", letter=pl.lit("f")))
        calls = calls.filter(~pl.col("hit"))
        rare = "|".join(patterns[kind] for letter, kind in _LETTERS if letter in _INDENTED and kind in patterns)
        calls = calls.with_columns_seq(hit=text.str.contains(rf"^[ \t\u{{a0}}]+$|{rare}"))
        parts.append(calls.filter(~pl.col("hit")).select_seq("n", letter=pl.lit("n")))
        calls = calls.filter("hit")
        parts.append(calls.select_seq("n", letter=_letter(patterns, _INDENTED, pl.lit("n"))))
    if outer.height:
        # most lines are of no class at all: one regex for all of them tells
        classes = "|".join(patterns[kind] for _, kind in _LETTERS if kind in patterns)
        told = outer.select_seq("n", "line", hit=text.str.contains(classes) if classes else pl.lit(False))
        plausible = pl.when(text.str.contains(_PLAUSIBLE)).then(pl.lit("y")).otherwise(pl.lit("x"))
        free = pl.when(text.str.strip_chars() == "").then(pl.lit("b")).otherwise(plausible)
        parts.append(told.filter(~pl.col("hit")).select_seq("n", letter=free))
        named = told.filter("hit")
        parts.append(
            named.select_seq("n", letter=_letter(patterns, tuple(letter for letter, _ in _LETTERS), plausible))
        )
    return pl.concat(parts).sort("n")["letter"]


def letters_of(lines: pl.Series, patterns: dict[str, str]) -> pl.Series:
    """The letter of every line by its text alone, asked once for each text where the same ones come again and again."""
    if len(lines) < _MANY or lines.head(_MANY).n_unique() > _MANY // 4:
        return classify(lines, patterns)
    table = lines.rename("line").to_frame()
    own = table.unique()
    own = own.with_columns_seq(letter=classify(own["line"], patterns))
    return table.join(own, on="line", how="left", maintain_order="left")["letter"]


def _letter(patterns: dict[str, str], letters: tuple[str, ...], otherwise: pl.Expr) -> pl.Expr:
    text = pl.col("line")
    for letter, kind in reversed(_LETTERS):
        if letter in letters and kind in patterns:
            otherwise = pl.when(text.str.contains(patterns[kind])).then(pl.lit(letter)).otherwise(otherwise)
    return pl.when(text.str.strip_chars() == "").then(pl.lit("b")).otherwise(otherwise)
