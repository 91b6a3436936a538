"""Figures and places as people say them, the same in every sentence."""

from __future__ import annotations

import re

_PREFIX = re.compile(
    r"^(?:.*/(?:site|dist)-packages/|/opt/render/project/src/|/usr/src/app/|/var/task/|/workspace/|/app/|/srv/|/code/)(?=.)"
)


def percent(share: float) -> str:
    """A share of 0..1: 71.8 %, 100 %, 0.4 %; never rounded to nothing or to all."""
    value = share * 100
    if 0 < value < 0.1:
        return "under 0.1 %"
    if 99.9 < value < 100:
        return "over 99.9 %"
    text = f"{value:.1f}".removesuffix(".0")
    return f"{text} %"


def span_words(seconds: float) -> str:
    """A duration: 250 ms, 2.8 s, 14 min, 3.2 h, 4 days."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f}".removesuffix(".0") + " s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f}".removesuffix(".0") + " h"
    return f"{seconds / 86_400:.0f} days"


def plural(count: int, word: str, words: str | None = None) -> str:
    """1 exit, 1,290 exits."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def short_place(frame: str) -> str:
    """A frame without the folder that the platform deploys to and without its function: app/core/db.py:9."""
    return _PREFIX.sub("", frame.split(" in ", 1)[0])
