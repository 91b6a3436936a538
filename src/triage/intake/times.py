"""Stamps of every shape to UTC times in microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

import polars as pl
from msgspec import Struct

from triage.intake.stamps import SHAPES, WHOLE, read_parts
from triage.schema import TIME

# Shapes that are tried when a format names none of its own, most frequent first.
ISO = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S,%3f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%d %H:%M:%S%.f GMT",
    "%Y-%m-%dT%H:%M:%S,%3f%#z",
    "%Y-%m-%dT%H:%M:%S,%3f",
    "%Y-%m-%d %H:%M:%S,%3f %#z",
    "%Y-%m-%d %H:%M:%S,%3f%#z",
    "%Y-%m-%d %H:%M:%S,%6f",
    "%Y-%m-%d %H:%M:%S%.f %z UTC",
    "%Y-%m-%d %H:%M:%S:%3f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S,%3f",
    "%Y/%m/%d %H:%M:%S%.f %#z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S%.f",
    "%d/%b/%Y %H:%M:%S",
    "%d %b %Y %H:%M:%S%.f",
    "%d-%b-%Y %H:%M:%S%.f",
    "%a %b %e %H:%M:%S%.f %Y",
    "%b %e, %Y %I:%M:%S %p",
    "%b %e, %Y @ %H:%M:%S%.f",
    "%a, %d %b %Y %H:%M:%S %#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M",
)
EPOCH = "epoch"
_UTC_WORDS = (" UTC", " GMT")


class Clock(Struct, frozen=True):
    """What stamps leave out: the zone of those without one, and when the log was last written, for the year."""

    zone: str = "UTC"
    written: datetime | None = None
    year: int | None = None
    day_first: bool = False  # of day and month as numbers before the year; dots put the day first anyway


class Stamps(Struct, frozen=True):
    """Times read, and how many of them had to assume a zone or a year."""

    at: pl.Series
    zone_assumed: int = 0
    year_assumed: int = 0


def read_times(text: pl.Series, shapes: Sequence[str] = (), *, clock: Clock) -> Stamps:
    """UTC times of stamps as text, null where a stamp cannot be read. Digits behind the microsecond are cut.

    `shapes` are chrono formats; those without a year get the clock's, "epoch" reads numbers (s, ms, us or ns), and one
    that starts with "(?" is a regex whose groups are the parts of a stamp (see intake.stamps).
    """
    if (repeated := _read_repeated(text, shapes, clock)) is not None:
        return repeated
    at = pl.Series(text.name, [None], dtype=TIME).new_from_index(0, len(text))
    zone_assumed = year_assumed = 0
    if text.null_count() == len(text):
        return Stamps(at)
    if text.str.ends_with(",").any():
        text = text.str.strip_suffix(",")
    left = text
    wanted = tuple(shapes) or (*ISO, EPOCH)
    if ISO[0] in wanted and str(text[text.is_not_null().arg_max()]).endswith("Z"):
        at = _read_utc(text)
        if at.null_count() == text.null_count():
            return Stamps(at)
        if at.null_count() < len(at):
            left = text.zip_with(at.is_null(), pl.Series([None], dtype=pl.String))
    for shape in _order(left, wanted):
        found, assumed, guessed = _read_shape(left, shape, clock)
        if found.null_count() == len(found):
            continue
        at = found if at.null_count() == len(at) else at.zip_with(at.is_not_null(), found)
        zone_assumed += assumed
        year_assumed += guessed
        if at.null_count() == text.null_count():
            break
        left = text.zip_with(at.is_null(), pl.Series([None], dtype=pl.String))
    if not shapes and at.null_count() > text.null_count() and left.str.contains(_DATED).any():
        for pattern in _other_shapes(clock.day_first):
            found, assumed, guessed = _read_shape(left, pattern, clock)
            if found.null_count() < len(found):
                at, zone_assumed, year_assumed = at.fill_null(found), zone_assumed + assumed, year_assumed + guessed
                left = text.zip_with(at.is_null(), pl.Series([None], dtype=pl.String))
    return Stamps(at.rename(text.name), zone_assumed, year_assumed)


def _read_repeated(text: pl.Series, shapes: Sequence[str], clock: Clock) -> Stamps | None:
    """The same for stamps that mostly repeat the one in front of them; None where they do not."""
    if len(text) < _MANY or text.head(_MANY).rle_id()[-1] > _MANY // 4:
        return None
    runs = text.rle_id()
    count = int(runs[-1]) + 1
    if count > len(text) // 4:
        return None
    own = text.gather(runs.search_sorted(pl.int_range(count, dtype=pl.UInt32, eager=True)))
    stamps = read_times(own, shapes, clock=clock)
    read = len(own) - stamps.at.null_count()
    if stamps.zone_assumed not in (0, read) or stamps.year_assumed not in (0, read):
        return None
    at = stamps.at.gather(runs)
    read = len(at) - at.null_count()
    return Stamps(at, read if stamps.zone_assumed else 0, read if stamps.year_assumed else 0)


_MANY = 512  # stamps from which on it pays to look whether they repeat
_SECOND = "%Y-%m-%dT%H:%M:%S"
_SHORTEST, _LONGEST = 20, 30  # bytes of 2026-03-02T10:14:07Z, and with nanoseconds


def _read_utc(text: pl.Series) -> pl.Series:
    """Stamps like 2026-03-02T10:14:07.123Z, several times as fast as chrono reads them; null for all others."""
    sizes = text.str.len_bytes()
    if sizes.min() == sizes.max() and not text.null_count():
        return _read_utc_of(text, int(sizes[0]))
    at = pl.Series(text.name, [None], dtype=TIME).new_from_index(0, len(text))
    for size in range(_SHORTEST, _LONGEST + 1):
        rows = (sizes == size).arg_true()
        if len(rows):
            at = at.scatter(rows, _read_utc_of(text.gather(rows), size))
    return at


def _read_utc_of(text: pl.Series, size: int) -> pl.Series:
    """The same for stamps of one size in bytes."""
    nothing = pl.Series(text.name, [None], dtype=TIME)
    if not _SHORTEST <= size <= _LONGEST or size == _SHORTEST + 1:
        return nothing.new_from_index(0, len(text))
    micros = text.str.head(19).str.to_datetime(_SECOND, time_unit="us", strict=False).to_physical()
    fits = text.str.ends_with("Z")
    if size > _SHORTEST:
        digits = size - _SHORTEST - 1
        part = text.str.slice(20, digits).cast(pl.Int64, strict=False)
        fits = fits & (text.str.slice(19, 1) == ".") & (part >= 0)
        micros = micros + (part * 10 ** (6 - digits) if digits <= 6 else part // 10 ** (digits - 6))
    at = micros.cast(TIME)
    return at if fits.all(ignore_nulls=False) else at.zip_with(fits.fill_null(False), nothing)


_DATED = r"\d{1,4}[-/. ](?:\d{1,2}|[A-Z][a-z]{2,})[-/. ]\d|[A-Z][a-z]{2,8}\.? +\d|\d{8}"


@cache
def _other_shapes(day_first: bool) -> tuple[str, ...]:
    """Patterns of all shapes that name a moment, for stamps that no listed form reads."""
    slashes = ("d", "mo") if day_first else ("mo", "d")
    patterns: list[str] = []
    for name, pattern in SHAPES.items():
        if name not in WHOLE or name in ("a/b/c", "a/b"):
            continue
        orders = (("d", "mo"), slashes) if name == "a/b/year" else (("", ""),)
        for separator, (a, b) in zip((r"\.", "[/-]"), orders, strict=False):
            named = pattern.replace("(?P<a>", f"(?P<{a}>").replace("(?P<b>", f"(?P<{b}>")
            patterns.append(named.replace("[-/.]", separator) if a else named)
    return tuple(patterns)


def _order(text: pl.Series, shapes: tuple[str, ...]) -> list[str]:
    """The shapes, those that read the first stamps in front; the rest keep their order."""
    probe = text.slice(text.is_not_null().arg_max() or 0, 1)
    clock = Clock()
    good = next((s for s in shapes if _read_shape(probe, s, clock)[0].null_count() == 0), None)
    return list(shapes) if good is None else [good, *(s for s in shapes if s != good)]


def _read_shape(text: pl.Series, shape: str, clock: Clock) -> tuple[pl.Series, int, int]:
    """Times of one shape, how many of them had to assume a zone and how many a year."""
    if shape == EPOCH:
        return _read_epoch(text), 0, 0
    if shape.startswith("(?"):
        return read_parts(text, shape, clock.zone, clock.year, clock.written)
    yearless = "%Y" not in shape and "%y" not in shape
    if yearless:
        year = clock.year or (clock.written.year if clock.written else 1970)
        text, shape = pl.select(pl.concat_str(pl.lit(f"{year} "), text)).to_series(), f"%Y {shape}"
    zoned = "z" in shape.replace("%Z", "")
    try:
        found = text.str.to_datetime(shape, time_unit="us", strict=False, ambiguous="earliest")
    except pl.exceptions.PolarsError:
        return pl.Series([None], dtype=TIME).new_from_index(0, len(text)), 0, 0
    if yearless and clock.year is None and clock.written is not None:
        latest = clock.written.replace(tzinfo=None) + timedelta(days=1)
        found = pl.select(
            pl.when(found.dt.replace_time_zone(None) > latest).then(found.dt.offset_by("-1y")).otherwise(found)
        ).to_series()
    utc = shape.endswith(_UTC_WORDS)
    if zoned:
        found = found.dt.convert_time_zone("UTC")
    else:
        found = found.dt.replace_time_zone(
            "UTC" if utc else clock.zone, ambiguous="earliest", non_existent="null"
        ).dt.convert_time_zone("UTC")
    got = len(found) - found.null_count()
    return found.cast(TIME), 0 if zoned or utc else got, got if yearless else 0


def _read_epoch(text: pl.Series) -> pl.Series:
    """Seconds (also with a fraction), milli-, micro- or nanoseconds since 1970, told apart by size; years 1990 to 2100."""
    if text.str.contains(",", literal=True).any():
        text = text.str.replace(",", ".", literal=True)
    number = text.cast(pl.Float64, strict=False)
    whole = text.cast(pl.Int64, strict=False)
    micros = pl.select(
        pl.when(number.is_between(6e8, 4.2e9))
        .then(pl.coalesce(whole * 1_000_000, (number * 1e6).round(0).cast(pl.Int64, strict=False)))
        .when(number.is_between(6e11, 4.2e12))
        .then(pl.coalesce(whole * 1_000, (number * 1e3).cast(pl.Int64, strict=False)))
        .when(number.is_between(6e14, 4.2e15))
        .then(whole)
        .when(number.is_between(6e17, 4.2e18))
        .then(whole // 1_000)
    ).to_series()
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").rename(text.name)
