"""Texts that are not whole: entries marked as cut by whoever carried them, and messages too long to be kept whole."""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl
from msgspec import Struct

MESSAGE_CAP = 64 << 10  # characters of a message that are kept, most from its start
# anchored at the end only, so that it is searched from there: a look at the last byte is enough for most texts
_MARKED = (
    r"(?:truncated(?:[\])>…]|\.\.\.)|T(?:RUNCATED|runcated)\]|\[(?i:truncated)[ :][^\]\n]{1,60}\]"
    r"|(?i:\d+ (?:more )?(?:bytes|characters|chars) truncated)\W{0,3})$"
)
_KEY = b'runcated"'
_FLAG = re.compile(
    rb'"(?:is|was|message|msg|log|event|entry|text|body|line|_)*[_-]?truncated"\s*:\s*true\b', re.IGNORECASE
)


class Cuts(Struct):
    """How many entries are marked as truncated, and the first line of one whose text says so."""

    entries: int = 0
    line: int | None = None

    def see_texts(self, rows: pl.DataFrame) -> None:
        """Count messages that end with a mark of truncation."""
        marked = rows["message"].str.contains(_MARKED).fill_null(False)
        if marked.any():
            self.entries += int(marked.sum())
            first = rows.filter(marked)["line"].min()
            if isinstance(first, int) and (self.line is None or first < self.line):
                self.line = first

    def see_flags(self, bodies: Iterable[bytes]) -> None:
        """Count JSON entries with a field that says so."""
        self.entries += sum(len(_FLAG.findall(body)) for body in bodies if _KEY in body)

    def notices(self, name: str) -> list[str]:
        """What was counted, as sentences."""
        if not self.entries:
            return []
        many = f"{self.entries:,} entries are" if self.entries > 1 else "1 entry is"
        place = f" (the first on line {self.line})" if self.line is not None else ""
        return [f"{name}: {many} marked as truncated by what wrote or carried them{place}: their ends are missing here"]


class Long(Struct):
    """How many messages were too long to be kept whole, and the first line of one."""

    count: int = 0
    line: int | None = None

    def shorten(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with messages of a bearable length."""
        long = rows["message"].str.len_bytes() > MESSAGE_CAP
        if not long.any():
            return rows
        text, tail = pl.col("message"), MESSAGE_CAP // 4
        short = text.str.slice(0, MESSAGE_CAP - tail) + "\n[...]\n" + text.str.tail(tail)
        self.count += int(long.sum())
        self.line = rows.filter(long)["line"][0] if self.line is None else self.line
        much = (text.str.len_bytes() > MESSAGE_CAP) & (text.str.len_chars() > MESSAGE_CAP)
        return rows.with_columns_seq(pl.when(much).then(short).otherwise(text))

    def notices(self, name: str) -> list[str]:
        """What was counted, as a sentence."""
        if not self.count:
            return []
        many = f"{self.count:,} messages" if self.count > 1 else "1 message"
        was = "were" if self.count > 1 else "was"
        return [f"{name}: {many} longer than {MESSAGE_CAP >> 10} KiB {was} shortened (the first on line {self.line})"]
