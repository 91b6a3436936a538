"""What a user asks for: how inputs are read, and which of their records count."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct, field

from triage.errors import TriageError
from triage.intake.decode import BATCH_BYTES, TEXT_BYTES, ReadOptions
from triage.intake.formats import Catalog, load_catalog
from triage.intake.traces import Assembled
from triage.packs import pattern_dirs

AGO = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d)$")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE)
LEAST_MEMORY = 128 << 20
PROCESS = 240 << 20  # bytes that one process takes, batches of full size included
_BARE = 144 << 20  # of which so much before it reads anything


class Options(Struct, frozen=True):
    """How to read and what to keep. Times are ISO 8601, or "30m": that long before the log's end is `since`."""

    patterns: tuple[Path, ...] = ()
    tz: str = "UTC"
    input_format: str | None = None
    level_map: Mapping[str, str] = field(default_factory=dict)
    field_map: Mapping[str, str] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    services: tuple[str, ...] = ()
    title: str | None = None
    repo: Path | None = None
    baseline: Mapping[str, Any] | None = None  # the report of a good time, as `Report.to_dict()` gives it
    with_fields: bool = False
    jobs: int | None = None  # processes that read; None: as many as pay
    memory: int = 512 << 20  # bytes that all of them together should stay under

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise TriageError(f"{self.jobs} processes cannot read", hint="--jobs 1 reads in one process")
        if self.memory < LEAST_MEMORY:
            raise TriageError(
                f"{self.memory >> 20} MB of memory are too little", hint=f"at least {LEAST_MEMORY >> 20} MB are needed"
            )


def size(text: str) -> int:
    """Bytes of a size such as "512MB" or "2 GiB", in powers of 1,024; TriageError when it is none."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise TriageError(f"{text!r} is no size", hint="write it like 512MB or 2GB")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def moment(text: str, end: datetime | None = None) -> datetime:
    """A point in time from ISO 8601 or a span such as "30m" before `end`; TriageError when it is neither."""
    if (ago := read_span(text)) is not None:
        if end is None:
            raise TriageError(
                f"{text!r} is a span, and here a point in time is needed", hint="write it like 2026-03-02T10:14:07Z"
            )
        return end - ago
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TriageError(
            f"{text!r} is no time", hint="write it like 2026-03-02T10:14:07Z, or a span like 30m"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def read_span(text: str) -> timedelta | None:
    """How long "30m" is; None for what is no span."""
    found = AGO.match(text.strip())
    return timedelta(seconds=float(found[1]) * _UNIT[found[2]]) if found else None


def folders(options: Options) -> tuple[Path, ...] | None:
    """The pattern folders where the user brings some; None where ours alone count, which are read once."""
    return pattern_dirs(options.patterns) if options.patterns else None


def catalog_of(dirs: tuple[Path, ...] | None) -> Catalog:
    """The formats of those pattern folders; ours for None."""
    return _our_catalog() if dirs is None else load_catalog(dirs)


@cache
def _our_catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def reading_options(options: Options) -> ReadOptions:
    """What of the options concerns decoding.

    Batches are smaller where memory is short; how many processes there are has no say, so that they all read alike.
    """
    share = min(1.0, max(0.08, (options.memory - _BARE) / (PROCESS - _BARE)))
    return ReadOptions(
        batch_bytes=int(share * BATCH_BYTES),
        text_bytes=int(share * TEXT_BYTES),
        tz=options.tz,
        input_format=options.input_format,
        level_map=options.level_map,
        field_map=options.field_map,
        with_fields=options.with_fields,
    )


def keeper(options: Options) -> Callable[[Assembled], Assembled]:
    """A function that leaves out the events which the options do not ask for."""
    since, until = (moment(t) if t else None for t in (options.since, options.until))

    def keep(assembled: Assembled) -> Assembled:
        events = assembled.events
        if since is not None:
            events = events.filter(pl.col("at") >= since)
        if until is not None:
            events = events.filter(pl.col("at") <= until)
        if options.services:
            events = events.filter(pl.col("service").is_in(options.services))
        return Assembled(events, assembled.intake)

    return keep
