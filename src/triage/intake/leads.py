"""Headers that begin with a stamp: where the stamps of a batch have one shape they are cut off by position, not by a regex."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import polars as pl
from msgspec import Struct

from triage.intake.formats import Format, expand
from triage.intake.times import Clock, read_times
from triage.schema import TIME

_FEW = 64  # rows: fewer are not worth it
_PROBE = 64  # rows that say which shape to expect
_SHARE = 0.5  # of the rows that must have it
_BLANK = r" (?![?*{])"  # which the rest of a header begins with: no stamp goes on with one
_SHAPE = re.compile(
    r"\d{4}-\d\d-\d\d(?P<between>[T ])\d\d:\d\d:\d\d(?:(?P<point>[.,])(?P<digits>\d{1,9}))?(?P<tail>(?:Z|[+-]\d\d:?\d\d)?,?)",
    re.ASCII,
)


class Shape(Struct, frozen=True):
    """How stamps like 2026-03-02 10:14:07,123 differ: what is between date and time, in front of the fraction and behind it (a
    zone, a comma), and how many digits the fraction has."""

    between: str
    point: str
    digits: int
    tail: str

    @property
    def lead(self) -> str:
        """A stamp up to its fraction."""
        return f"2001-02-03{self.between}04:05:06{self.point}"


class Leads(Struct, frozen=True):
    """The stamps that texts begin with: which texts have the digits of the shape (None: all), what is behind these, the
    `tail` that still belongs to a stamp, and where times were asked for, these, read as `times` says, and whether without
    a zone."""

    fits: pl.Series | None
    behind: pl.Series
    tail: str
    at: pl.Series | None
    unzoned: bool
    times: tuple[str, ...]

    def kept(self, mask: pl.Series) -> Leads | None:
        """Those of some of the texts; None where none of these has a stamp of the shape."""
        fits = self.fits.filter(mask) if self.fits is not None else None
        if fits is not None and not fits.any():
            return None
        at = self.at.filter(mask) if self.at is not None else None
        return Leads(fits, self.behind.filter(mask), self.tail, at, self.unzoned, self.times)

    def groups(self, entry: Format) -> tuple[pl.DataFrame, pl.Series] | None:
        """What the pattern of a format finds in the texts with a stamp of the shape, as the regex of the whole pattern does,
        `g_head` without the stamp; and which texts it reads. None where the pattern does not begin with a stamp."""
        found = behind_stamp(entry.pattern, dotted=entry.message == "group")
        if found is None or (self.at is not None and entry.times != self.times):
            return None
        rest, comma = found
        if self.tail.endswith(",") and not comma:
            return None
        groups = self.behind.str.extract_groups(f"^(?P<g_head>{re.escape(self.tail)}{rest})").struct.unnest()
        hit = groups["g_head"].is_not_null()
        return groups, hit if self.fits is None else hit & self.fits

    def undecided(self) -> pl.Series:
        """The rows whose stamp is not of the shape, or has no blank behind it: only a regex can tell of them."""
        whole = self.behind.str.starts_with(f"{self.tail} ")
        return (~(whole if self.fits is None else whole & self.fits)).arg_true()


def read_leads(text: pl.Series, times: tuple[str, ...], clock: Clock, *, timed: bool) -> Leads | None:
    """The stamps that these texts begin with, of the most frequent shape; None where that is not worth the effort.

    Not `timed`: the times are not asked for.
    """
    if len(text) < _FEW or (shape := usual_shape(text.head(_PROBE).to_list())) is None:
        return None
    lead, digits, tail = shape.lead, shape.digits, shape.tail
    seconds = text.str.head(len(lead))
    runs: pl.Series | None = seconds.rle_id()  # lines of one second stand together most often: they are asked once
    count = int(runs[-1]) + 1 if runs is not None else 0
    if runs is not None and count <= len(text) // 2:
        seconds = seconds.gather(runs.search_sorted(pl.int_range(count, dtype=pl.UInt32, eager=True)))
    else:
        runs = None
    right = seconds.str.contains(_regex_of(lead))
    fits = None
    if not right.all():
        seconds = seconds.zip_with(right, pl.Series([None], dtype=pl.String))
        fits = right if runs is None else right.gather(runs)
    part = None
    if digits:
        digit = text.str.slice(len(lead), digits)
        part = digit.cast(pl.Int64, strict=False)
        if part.null_count() or str(digit.min()) < "0":  # a sign is not refused when text becomes numbers
            number = part.is_not_null() & (digit >= "0") & (digit.str.len_bytes() == digits)
            fits = number if fits is None else fits & number
    behind = text.str.slice(len(lead) + digits)
    if fits is not None and fits.sum() < _SHARE * len(fits):
        return None
    at, unzoned = None, False
    if timed:
        ahead = ahead_of(shape, times, clock)
        if ahead is None:
            return None
        unzoned = isinstance(ahead, str)
        local = seconds.str.to_datetime(f"%Y-%m-%d{shape.between}%H:%M:%S{shape.point}", time_unit="us", strict=False)
        if isinstance(ahead, str):
            local = local.dt.replace_time_zone(ahead, ambiguous="earliest", non_existent="null")
        micros = local.to_physical() if isinstance(ahead, str) else local.to_physical() - ahead
        micros = micros if runs is None else micros.gather(runs)
        if part is not None:
            micros = micros + (part * 10 ** (6 - digits) if digits <= 6 else part // 10 ** (digits - 6))
        at = micros.cast(TIME)
    return Leads(fits, behind, tail, at, unzoned, times)


def usual_shape(texts: Sequence[str | None]) -> Shape | None:
    """The shape of the stamp that most of these texts begin with."""
    found = [match for text in texts if text and (match := _SHAPE.match(text))]
    kinds = Counter((m["between"], m["point"] or "", len(m["digits"] or ""), m["tail"]) for m in found)
    return Shape(*kinds.most_common(1)[0][0]) if kinds else None


@cache
def ahead_of(shape: Shape, times: tuple[str, ...], clock: Clock) -> int | str | None:
    """How many microseconds stamps of this shape are ahead of UTC, or the zone to assume; None where they are not read."""
    behind = shape.point + "0" * shape.digits + shape.tail.removesuffix(",")
    stamps = read_times(pl.Series([f"2001-02-03{shape.between}04:05:06{behind}"]), times, clock=clock)
    at = stamps.at[0]
    zoned = behind.lstrip(".,0123456789") != ""
    if at is None or stamps.year_assumed or bool(stamps.zone_assumed) == zoned:
        return None
    return (datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC) - at) // timedelta(microseconds=1) if zoned else clock.zone


def _regex_of(lead: str) -> str:
    """What fits every text of the form of this date and time of day, of which the seconds are no leap second."""
    digits = re.sub(r"\d", "[0-9]", re.escape(lead[:17]))
    return f"^{digits}[0-5][0-9]{re.escape(lead[19:])}$"


@cache
def behind_stamp(pattern: str, *, dotted: bool) -> tuple[str, bool] | None:
    """The part of a format's pattern behind the stamp at its start, and whether a comma may end that; None where the
    pattern does not begin with a stamp and a blank."""
    for front in ("", expand("%{DRAIN}?")):  # that one begins with no digits of a date
        for stamp in ("%{STAMP}", "%{STAMP,}"):
            lead = f"{front}(?P<at>{expand(stamp)})"
            rest = pattern.removeprefix(lead)
            if rest != pattern and re.match(_BLANK, rest) and not _forks(pattern):
                named = re.sub(r"\(\?P?<(\w+)>", r"(?P<g_\1>", rest)
                return f"(?s:{named})" if dotted else named, "," in stamp
    return None


def _forks(pattern: str) -> bool:
    """Whether the whole pattern is one of several."""
    bare = re.sub(r"\\.|\[\^?\]?[^\]\\]*(?:\\.[^\]\\]*)*\]", "", pattern)
    depth = 0
    for sign in bare:
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and not depth:
            return True
    return False
