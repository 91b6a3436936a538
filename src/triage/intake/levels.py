"""Level words and numbers of every logger to the six levels of triage."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from triage.intake.distinct import changed
from triage.schema import LEVEL

WORDS: dict[str, str] = {
    **dict.fromkeys(
        (
            "trace",
            "trc",
            "trce",
            "verbose",
            "v",
            "silly",
            "finer",
            "finest",
            "debug5",
            "debug4",
            "debug3",
            "debug2",
            "d2",
            "d3",
            "d4",
            "d5",
        ),
        "TRACE",
    ),
    **dict.fromkeys(("debug", "debug1", "dbug", "dbg", "debu", "d", "d1", "fine"), "DEBUG"),
    **dict.fromkeys(
        (
            "info",
            "information",
            "informational",
            "inf",
            "i",
            "notice",
            "note",
            "log",
            "config",
            "ok",
            "success",
            "normal",
            "statement",
            "detail",
            "hint",
        ),
        "INFO",
    ),
    **dict.fromkeys(("warning", "warn", "wrn", "w", "warns"), "WARNING"),
    **dict.fromkeys(("error", "err", "erro", "eror", "e", "fail", "failure", "severe", "exception"), "ERROR"),
    **dict.fromkeys(
        (
            "critical",
            "crit",
            "crt",
            "fatal",
            "ftl",
            "f",
            "panic",
            "dpanic",
            "alert",
            "emerg",
            "emergency",
            "emergencies",
            "c",
            "a",
        ),
        "CRITICAL",
    ),
}
SYSLOG = {
    "0": "CRITICAL",
    "1": "CRITICAL",
    "2": "CRITICAL",
    "3": "ERROR",
    "4": "WARNING",
    "5": "INFO",
    "6": "INFO",
    "7": "DEBUG",
}
PINO = {"10": "TRACE", "20": "DEBUG", "30": "INFO", "40": "WARNING", "50": "ERROR", "60": "CRITICAL"}
GCP = {
    "100": "DEBUG",
    "200": "INFO",
    "300": "INFO",
    "400": "WARNING",
    "500": "ERROR",
    "600": "CRITICAL",
    "700": "CRITICAL",
    "800": "CRITICAL",
}
MONOLOG = {
    "100": "DEBUG",
    "200": "INFO",
    "250": "INFO",
    "300": "WARNING",
    "400": "ERROR",
    "500": "CRITICAL",
    "550": "CRITICAL",
    "600": "CRITICAL",
}
LOGBACK = {"5000": "TRACE", "10000": "DEBUG", "20000": "INFO", "30000": "WARNING", "40000": "ERROR"}
OTEL = {
    str(n): name
    for n, name in enumerate(
        [w for w in ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") for _ in range(4)], start=1
    )
}
PRI = {str(n): SYSLOG[str(n % 8)] for n in range(192)}  # facility * 8 + severity
SCALES = {"pri": PRI, "syslog": SYSLOG, "pino": PINO, "gcp": GCP, "monolog": MONOLOG, "logback": LOGBACK, "otel": OTEL}
_NUMBERS = {**SYSLOG, **GCP, **PINO, **LOGBACK}  # without a scale: the numbers that mean one thing


def read_levels(words: pl.Series, own: Mapping[str, str] | None = None) -> pl.Series:
    """Levels of level words; null where a word says nothing. `own` maps a format's words (lower case) first."""
    table = {**_NUMBERS, **WORDS, **(own or {})}
    if not isinstance(words.dtype, pl.Enum):
        few = words.unique().drop_nulls()
        if all(table.get(_clean(word)) == word for word in few):
            return words.cast(LEVEL)
        words = words.cast(pl.Enum(few))
    return changed(words, lambda few: pl.Series([table.get(_clean(word)) for word in few], dtype=LEVEL))


def read_level(word: str) -> str | None:
    """The level that a word stands for, or None."""
    return WORDS.get(_clean(word)) or _NUMBERS.get(word.strip())


def _clean(word: str) -> str:
    text = word.strip().strip("[]<>:").strip().lower()
    return text.partition("+")[0] if text[:1].isalpha() else text
