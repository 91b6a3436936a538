"""Stamps far away from all others: their records are kept, but their times are not believed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from msgspec import Struct

from triage.schema import TIME

NEAR = timedelta(days=40)  # a log may stand still that long
_SPANS = 3  # or as many times as long as the lines at its head are apart
_ENOUGH = 3  # stamps that say where a log is
_EVER = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


class Usual(Struct, frozen=True):
    """Where the stamps of a source are: the middle of those at its head, and how far from it others may be."""

    middle: datetime
    reach: timedelta

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The first and the last stamp that is near the middle; nothing is said to be of a time before there were such logs, but
        where the head is too."""
        low = self.middle - self.reach
        return low if self.middle < _EVER[0] else max(low, _EVER[0]), self.middle + self.reach


def usual(at: pl.Series) -> Usual | None:
    """Where these stamps are; None when they are too few to say."""
    times = at.drop_nulls().sort()
    if len(times) < _ENOUGH:
        return None
    low, middle, high = (times[int(share * (len(times) - 1))] for share in (0.05, 0.5, 0.95))
    return Usual(middle, max(NEAR, _SPANS * (high - low)))


class Plausible(Struct):
    """The stamps of one source one after the other, whatever blocks they come in.

    A stamp is believed when it is near the middle of the head's or near the one believed before it; and when it is near
    the one refused right before it, for then the log went on at another time.
    """

    where: Usual | None
    last: datetime | None = None
    refused: datetime | None = None
    count: int = 0
    line: int | None = None  # of the first that was not believed, and its time
    at: datetime | None = None
    inside: bool = False  # it begins in the middle of a source, and takes the first stamp there for believed:
    entered: datetime | None = None  # this one, and `welcomes` tells later whether it is

    def believed(self, rows: pl.DataFrame, others: pl.DataFrame | None = None) -> pl.DataFrame:
        """The rows without the times that are not believed; `others` are lines and times that stand between them, all `near`."""
        at = rows["at"]
        low, high = at.min(), at.max()
        if self.where is None or not isinstance(low, datetime) or not isinstance(high, datetime):
            return rows
        if self.inside and self.entered is None:
            self.entered = self.last = at.drop_nulls()[0]
        if self._near(low, high):
            self.last, self.refused = at.drop_nulls()[-1], None
            return rows
        odd = self._odd(at.to_list()) if others is None else self._odd_among(rows, others)
        if not odd:
            return rows
        if not self.count:
            self.at, self.line = at[odd[0]], rows["line"][odd[0]]
        self.count += len(odd)
        return rows.with_columns(at.scatter(odd, pl.Series([None] * len(odd), dtype=TIME)))

    def welcomes(self, at: datetime) -> bool:
        """Whether that stamp is believed when it comes next."""
        if self.where is None:
            return True
        near = (self.where.middle, self.last or self.where.middle, self.refused or self.where.middle)
        sane = not _EVER[0] <= self.where.middle < _EVER[1] or _EVER[0] <= at < _EVER[1]
        return sane and any(abs(at - other) <= self.where.reach for other in near)

    def near(self, seen: pl.DataFrame) -> bool:
        """Whether all times from `first` to `last` are where those at the head of the source are, so that each is believed."""
        low, high = seen["first"].min(), seen["last"].max()
        told = self.where is not None and isinstance(low, datetime) and isinstance(high, datetime)
        return not told or self._usual(low, high)  # type: ignore[arg-type]

    def notices(self, name: str) -> list[str]:
        """A sentence when some were not believed."""
        if not self.count:
            return []
        stamps = "1 stamp lies" if self.count == 1 else f"{self.count:,} stamps lie"
        return [
            f"{name}: {stamps} far from all others (the first: {self.at:%Y-%m-%d %H:%M:%S} on line {self.line}) and {'was' if self.count == 1 else 'were'} not "
            "believed; the records take the place of those before them"
        ]

    def _odd_among(self, rows: pl.DataFrame, others: pl.DataFrame) -> list[int]:
        """The places of stamps that are not believed in rows between which there are others."""
        own = rows.select_seq("line", "at", place=pl.int_range(pl.len(), dtype=pl.Int64))
        both = own.merge_sorted(others.with_columns_seq(place=pl.lit(None, pl.Int64)), key="line")
        return [place for n in self._odd(both["at"].to_list()) if (place := both["place"][n]) is not None]

    def _near(self, low: datetime, high: datetime) -> bool:
        """Whether every stamp between the two is believed, in whatever order they come."""
        if self._usual(low, high):
            return True
        if self.where is None or self.last is None or not self._sane(low):
            return False
        reach = self.where.reach
        return high - low <= reach and self.last - reach <= low and high <= self.last + reach

    def _usual(self, low: datetime, high: datetime) -> bool:
        """Whether both are near the middle of the head's."""
        return self.where is not None and self.where.span[0] <= low and high <= self.where.span[1]

    def _sane(self, low: datetime) -> bool:
        """Whether nothing is said to be of a time before there were such logs, but where the head is too."""
        return self.where is None or self.where.middle < _EVER[0] or low >= _EVER[0]

    def _odd(self, times: Sequence[datetime | None]) -> list[int]:
        """The places of stamps that are not believed."""
        odd = []
        for n, at in enumerate(times):
            if at is None:
                continue
            if self.welcomes(at):
                self.last, self.refused = at, None
            else:
                self.refused = at
                odd.append(n)
        return odd
