"""Numbers, times and trends as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

BARS = "▁▂▃▄▅▆▇█"
_DECIMAL_PREFIXES = ("B", "kB", "MB", "GB", "TB", "PB")
_CONFIDENCE = ((0.9, "almost certain"), (0.75, "very likely"), (0.6, "likely"), (0.4, "possible"), (0.0, "a guess"))


def amount(value: int) -> str:
    """A count with thousands separated: 1,290."""
    return f"{value:,}"


def plural(value: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 record", "1,290 records"."""
    return f"{amount(value)} {one if value == 1 else many or one + 's'}"


def share(ratio: float) -> str:
    """A ratio 0..1 as a percentage that says 0 % and 100 % only when it is so: 71.8 %."""
    percent = ratio * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f}".removesuffix(".0") + " %"


def about(ratio: float) -> str:
    """A ratio 0..1 as a percentage without decimals, 0 % and 100 % only when it is so."""
    percent = ratio * 100
    if 0 < percent < 1:
        return "<1 %"
    return f"{min(99, round(percent)) if percent < 100 else 100} %"


def millis(value: float) -> str:
    """Milliseconds in the unit that fits: 12 ms, 8.5 s, 4 min."""
    if value < 1:
        return f"{value:.2g} ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    return seconds(value / 1000)


def seconds(value: float) -> str:
    """A duration in the unit that fits: 0.5 s, 60 s, 4 min, 1 h 5 min, 3 d 2 h."""
    if value < 0:
        return "-" + seconds(-value)
    if 0 < value < 0.095:
        return f"{value * 1000:.2g} ms"
    if value < 119.95:
        return f"{value:.1f}".removesuffix(".0") + " s"
    minutes = round(value / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{amount(days)} d {hours} h" if hours else f"{amount(days)} d"


def size(octets: int) -> str:
    """Bytes with a decimal prefix: 14.1 MB."""
    value = float(octets)
    for prefix in _DECIMAL_PREFIXES:
        if value < 999.95 or prefix == _DECIMAL_PREFIXES[-1]:
            break
        value /= 1000
    return f"{amount(octets)} B" if prefix == "B" else f"{value:.1f}".removesuffix(".0") + f" {prefix}"


def day(at: datetime) -> str:
    """The date in UTC: 2025-09-16."""
    return f"{_utc(at):%Y-%m-%d}"


def clock(at: datetime, *, dated: bool = False, fine: bool = False) -> str:
    """The time of day in UTC, with its date and its tenths of a second where asked for."""
    at = _utc(at)
    text = f"{at:%H:%M:%S}" + (f".{at.microsecond // 100_000}" if fine else "")
    return f"{at:%Y-%m-%d} {text}" if dated else text


def span(start: datetime, end: datetime) -> str:
    """A window in UTC with as few repetitions as possible: 2025-09-16 04:41–05:40."""
    start, end = _utc(start), _utc(end)
    form = "%H:%M" if (end - start).total_seconds() >= 600 else "%H:%M:%S"
    left = f"{start:%Y-%m-%d} {start:{form}}"
    return f"{left}–{end:{form}}" if start.date() == end.date() else f"{left} – {end:%Y-%m-%d} {end:{form}}"


def confidence(value: float) -> str:
    """A confidence 0..1 as words: "almost certain" to "a guess"."""
    return next(words for floor, words in _CONFIDENCE if value >= floor or floor == 0.0)


def squeeze(values: Sequence[int], most: int) -> tuple[float, ...]:
    """At most that many numbers, each the mean of its part of the values, so that an even trend stays even."""
    count = len(values)
    if count <= most:
        return tuple(float(v) for v in values)
    return tuple(_mean(values, n * count / most, (n + 1) * count / most) for n in range(most))


def sparkline(values: Sequence[int], *, most: int = 24) -> str:
    """Counts as block characters, at most that many; a slice without any is a low dot, so that silence is seen."""
    squeezed = squeeze(values, most)
    top = max(squeezed, default=0)
    if top <= 0:
        return ""
    return "".join(BARS[min(7, int(v / top * 7.999))] if v > 0 else "·" for v in squeezed)


def _mean(values: Sequence[int], start: float, end: float) -> float:
    first, last = int(start), min(len(values), math.ceil(end - 1e-9))
    parts = (values[n] * (min(end, n + 1) - max(start, n)) for n in range(first, last))
    return sum(parts) / (end - start)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
