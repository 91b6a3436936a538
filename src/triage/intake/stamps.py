"""Shapes of time stamps: how each is written, and its parts as UTC times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Zones whose letters mean one offset everywhere, in minutes; others (CST, IST, BST) are left to the user's --tz.
ZONES = {
    **dict.fromkeys(("Z", "z", "UTC", "GMT", "WET"), 0),
    **{"CET": 60, "WEST": 60, "CEST": 120, "EET": 120, "EEST": 180, "MSK": 180, "SGT": 480, "HKT": 480},
    **{"JST": 540, "KST": 540, "AEST": 600, "AEDT": 660, "EST": -300, "EDT": -240, "CDT": -300, "MST": -420},
    **{"MDT": -360, "PST": -480, "PDT": -420},
}
_UNSURE_ZONES = ("CST", "IST", "BST")

# The parts: y year, mo month, mon its name, d day, h, mi, s, f digits behind the second, ms milliseconds as a number,
# ap AM or PM, z zone; a and b are day and month in an order that only the other lines tell, c a third such number.
_MON = r"(?P<mon>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
_DAY = r"(?P<d>[0-9]{1,2})"
_YEAR = r"(?P<y>(?:19|20)[0-9]{2})"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}\.?,? +)?"
_FRACTION = r"(?:[.,](?P<f>[0-9]{1,9})|:(?P<ms>[0-9]{1,3}))?"
_CLOCK = rf"(?P<h>[0-9]{{1,2}}):(?P<mi>[0-9]{{1,2}}):(?P<s>[0-9]{{1,2}}){_FRACTION}(?:[ \u202f]?(?P<ap>[AaPp][Mm])\b)?"
_MINUTE = (
    rf"(?P<h>[0-9]{{1,2}}):(?P<mi>[0-9]{{2}})(?::(?P<s>[0-9]{{2}}){_FRACTION})?(?:[ \u202f]?(?P<ap>[AaPp][Mm])\b)?"
)
_DOTTED = r"(?P<h>[0-9]{2})\.(?P<mi>[0-9]{2})\.(?P<s>[0-9]{2})(?:[.,:](?P<f>[0-9]{1,9}))?"
_COMPACT = r"(?P<h>[01][0-9]|2[0-3])(?P<mi>[0-5][0-9])(?P<s>[0-5][0-9])(?:[.,](?P<f>[0-9]{1,9}))?"
_ZONE = rf"(?: ?(?P<z>Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?|(?:{'|'.join([*list(ZONES)[2:], *_UNSURE_ZONES])})\b))?"
_MONTH_DAY = r"(?P<mo>0[1-9]|1[0-2])(?P<d>0[1-9]|[12][0-9]|3[01])"
_ANY_CLOCK = rf"(?:[Tt_]|[-:]|,? +(?:at |@ |- )?){_MINUTE}{_ZONE}"

SHAPES: dict[str, str] = {  # longer before shorter: the first that fits is taken
    "weekday month day time year": rf"{_WEEKDAY}{_MON} +{_DAY} {_CLOCK}{_ZONE} {_YEAR}",
    "year-month-day time": rf"{_YEAR}[-/.](?P<mo>[0-9]{{1,2}})[-/.]{_DAY}{_ANY_CLOCK}",
    "year-month-day dotted time": rf"{_YEAR}[-/.](?P<mo>[0-9]{{1,2}})[-/.]{_DAY}[-T_ ]{_DOTTED}{_ZONE}",
    "year month name day": rf"{_YEAR}[- /]{_MON}[- /]{_DAY},?[T :]+{_CLOCK}{_ZONE}",
    "yyyymmdd time": rf"{_YEAR}{_MONTH_DAY}[-T_ :]{_CLOCK}{_ZONE}",
    "yyyymmddhhmmss": rf"{_YEAR}{_MONTH_DAY}[-T_ ]?{_COMPACT}{_ZONE}",
    "yymmdd hhmmss": rf"(?P<y>[0-9]{{2}}){_MONTH_DAY}[-T_ ]{_COMPACT}",
    "yymmdd time": rf"(?P<y>[0-9]{{2}}){_MONTH_DAY} +{_CLOCK}",
    "day month name year": rf"{_WEEKDAY}{_DAY}[- /.]{_MON}[- /.]{_YEAR},?[T :-]+{_CLOCK}{_ZONE}",
    "day month name yy": rf"{_DAY}[-/]{_MON}[-/](?P<y>[0-9]{{2}}),?[T :]+{_CLOCK}{_ZONE}",
    "month name day year": rf"{_WEEKDAY}{_MON} +{_DAY},? +{_YEAR},? +(?:at |@ )?{_CLOCK}{_ZONE}",
    "month name day": rf"{_WEEKDAY}{_MON} +{_DAY},? +{_CLOCK}{_ZONE}",
    "day month name": rf"{_WEEKDAY}{_DAY}[- ]{_MON},? +{_CLOCK}{_ZONE}",
    "a/b/year": rf"(?P<a>[0-9]{{1,2}})[-/.](?P<b>[0-9]{{1,2}})[-/.]{_YEAR}{_ANY_CLOCK}",
    "a/b/c": rf"(?P<a>[0-9]{{1,2}})[-/.](?P<b>[0-9]{{1,2}})[-/.](?P<c>[0-9]{{2}})(?:,? +(?:- )?|T){_CLOCK}{_ZONE}",
    "a/b": rf"(?P<a>[0-9]{{1,2}})[-/.](?P<b>[0-9]{{1,2}})(?:,? +|T){_CLOCK}{_ZONE}",
    "date": rf"{_YEAR}[-/.](?P<mo>0[1-9]|1[0-2])[-/.](?P<d>0[1-9]|[12][0-9]|3[01])",
    "clock": rf"{_CLOCK}",
    "uptime": r"[0-9]{1,8}\.[0-9]{6}",  # a kernel's seconds since its start
}
EPOCH_SHAPE = "epoch"
WHOLE = frozenset(SHAPES) - {"date", "clock", "uptime"}  # a day and a time of day


def settle(name: str, pattern: str, seen: Sequence[re.Match[str]]) -> str:
    """The shape's pattern with a, b and c named for what they are: told by the values that were seen.

    A number over 12 is no month; what changes most from line to line is the day. Where nothing tells, month before day
    with slashes and dashes, day before month with dots, and of three two-digit numbers the year first.
    """
    if name == "a/b/c":
        order = _settle_three(seen)
    elif name in ("a/b/year", "a/b"):
        order = _settle_two(seen)
    else:
        return pattern
    for letter, part in zip("abc", order, strict=False):
        pattern = pattern.replace(f"(?P<{letter}>", f"(?P<{part}>")
    return pattern


def _settle_two(seen: Sequence[re.Match[str]]) -> tuple[str, ...]:
    a, b = ({int(m[g]) for m in seen} for g in "ab")
    if max(a, default=0) > 12 or max(b, default=0) > 12:
        return ("d", "mo") if max(a, default=0) > 12 else ("mo", "d")
    if len(a) != len(b):
        return ("d", "mo") if len(a) > len(b) else ("mo", "d")
    dotted = any(m[0][m.end("a") - m.start()] == "." for m in seen)
    return ("d", "mo") if dotted else ("mo", "d")


def _settle_three(seen: Sequence[re.Match[str]]) -> tuple[str, ...]:
    numbers = [[int(m[g]) for m in seen] for g in "abc"]
    orders = [("y", "mo", "d"), ("mo", "d", "y"), ("d", "mo", "y")]
    if any(len(m["a"]) < 2 for m in seen):  # a year has both its digits
        del orders[0]
    fits = [
        order
        for order in orders
        if all(1 <= n <= (12 if part == "mo" else 31) for part, ns in zip(order, numbers, strict=True) if part != "y" for n in ns)
    ]  # fmt: skip

    def steadiness(order: tuple[str, ...]) -> int:
        """The days change at least as much as the months, and these as much as the years."""
        changes = {part: len(set(ns)) for part, ns in zip(order, numbers, strict=True)}
        return (changes["d"] >= changes["mo"]) + (changes["mo"] >= changes["y"]) + (changes["d"] > changes["y"])

    return max(fits or orders, key=steadiness)


def read_parts(
    text: pl.Series, pattern: str, zone: str, year: int | None, written: datetime | None
) -> tuple[pl.Series, int, int]:
    """UTC times of stamps of that pattern, null where a text is none; how many had no zone and how many no year.

    A stamp without a year gets `year`, else the one of `written` or that before it, so that none lies after it.
    """
    parts = text.str.extract_groups(f"^(?:{pattern})$").struct.unnest()
    have = set(parts.columns)

    def part(name: str) -> pl.Expr:
        return pl.col(name) if name in have else pl.lit(None, dtype=pl.String)

    month: pl.Expr = part("mo")
    if "mon" in have:
        number = {name: str(n) for n, name in enumerate(MONTHS, 1)}
        month = part("mon").str.slice(0, 3).str.to_lowercase().replace_strict(number, default=None)
    stated = pl.lit(year or (written.year if written else 1970)).cast(pl.String)
    if "y" in have:
        short = part("y").str.len_bytes() == 2
        century = pl.when(part("y") >= "70").then(pl.lit("19")).otherwise(pl.lit("20"))
        stated = pl.when(short).then(century + part("y")).otherwise(part("y"))
    hour = part("h")
    if "ap" in have:
        afternoon = part("ap").str.to_lowercase() == "pm"
        twelve = part("h").cast(pl.Int64, strict=False) % 12 + pl.when(afternoon).then(12).otherwise(0)
        hour = pl.when(part("ap").is_null()).then(hour).otherwise(twelve.cast(pl.String))
    behind = pl.coalesce(part("f").str.slice(0, 6), part("ms").str.zfill(3), pl.lit("0"))
    second = part("s").fill_null("0")
    iso = (
        pl.concat_str(stated, month, part("d"), separator="-")
        + "T"
        + pl.concat_str(hour, part("mi"), second, separator=":")
    )
    sign = pl.when(part("z").str.starts_with("-")).then(-1).otherwise(1)
    digits = (
        part("z")
        .str.extract(r"^[+-]([0-9]{2}(?::?[0-9]{2})?)$", 1)
        .str.replace(":", "", literal=True)
        .str.pad_end(4, "0")
    )
    ahead = pl.coalesce(
        part("z").replace_strict(ZONES, default=None, return_dtype=pl.Int64),
        sign * (digits.str.slice(0, 2).cast(pl.Int64) * 60 + digits.str.slice(2, 2).cast(pl.Int64)),
    )
    frame = parts.select(
        (iso + "." + behind).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).alias("local"),
        ahead.alias("ahead"),
    )
    yearless = "y" not in have
    if yearless and year is None and written is not None:
        latest = written.replace(tzinfo=None) + timedelta(days=1)
        local = pl.col("local")
        frame = frame.with_columns(
            pl.when(local > latest).then(local.dt.offset_by("-1y")).otherwise(local).alias("local")
        )
    local = pl.col("local")
    here = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
    there = (local - pl.duration(minutes=pl.col("ahead"))).dt.replace_time_zone("UTC")
    at = frame.select(pl.when(pl.col("ahead").is_null()).then(here).otherwise(there).alias("at"))["at"]
    known = at.is_not_null()
    unzoned = int((known & frame["ahead"].is_null()).sum())
    return at.rename(text.name), unzoned, int(known.sum()) if yearless else 0
