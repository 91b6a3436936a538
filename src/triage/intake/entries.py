"""Entries of JSON that only count: known by compiled code, they never become rows of their own.

What an entry means is learned from those that are read as rows. Two entries with the same keys, and the same texts at those
that say who, where and how loud, mean the same but for when they were written and for what they say; and what they say is
plain text that no format reads and that could be no part of a traceback. So of the first entry of each kind it is looked up
what became of it, and those that follow are counted.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from triage.intake import compiled
from triage.intake.calm import AT_ENDS, BEFORE, BEHIND, FIRST_ROWS, Calm, Header, Telling, calm_of, compiled_sieve
from triage.intake.cutting import Tree
from triage.intake.exports import EXPORTS
from triage.intake.formats import Format, Place, anonymous
from triage.intake.jsonrows import spoken
from triage.intake.plausible import Usual
from triage.intake.programs import Screen, screen_of
from triage.intake.rows import CONTINUES
from triage.intake.textrows import Layers
from triage.intake.times import ISO
from triage.intake.traces import COMPLETE, own_stream
from triage.schema import LEVEL, LEVELS, RATE_US, TIME

if TYPE_CHECKING:
    from triage.intake._cutter import EntrySieve as CompiledSieve

_NAMES_OF = {"level": LEVEL, "service": pl.String(), "deployment": pl.String()}
_NO_CALM = Calm(
    pl.DataFrame(schema={"group": pl.Int64(), "first": TIME, "last": TIME, "count": pl.Int64()}),
    pl.DataFrame(schema={"line": pl.Int64(), "at": TIME}),
    0,
    unzoned=False,
)
ENDS = 4  # entries of each stream that are kept at both ends of what is looked at in one go
WORTHWHILE = 64 << 20  # bytes of a source: of less it takes longer to learn what entries mean than to read them
_WORTH = 0.2  # of the entries that must only count, or it is not worth it to look at each twice
_TRIED = 8 << 20  # bytes after which that is asked
_QUIET = LEVELS.index("INFO")
_NOTHING, _TOUCHES_NONE, _GOES_ON = -1, -2, -3  # what a kind may be instead of a group, as _entries.c has it
_FREE, _MARK, _NAME, _MORE, _MORE_NAME, _WHEN, _SAID = range(7)  # what a leaf is, as _entries.c has it
# what an entry says of these says nothing of one that only counts; these say who, where and how loud; all others say that it
# is more than that
_OF_NO_ACCOUNT = frozenset(("trace", "logger", "latency"))
_NAMES = frozenset(("level", "service", "instance", "deployment", "stream"))


@dataclass(frozen=True, slots=True)
class Plan:
    """How the entries of a source are looked at: formats by the keys at their top, and what tells the header that most texts in
    them have."""

    tree: Tree
    formats: tuple[Format, ...]
    typed: Format | None
    layers: Layers
    header: Callable[[], Header | None]


@dataclass(frozen=True, slots=True)
class SiftedEntries:
    """The lines that are kept, with their numbers (64 bits each), and those that only count."""

    data: bytes
    numbers: bytes
    calm: Calm

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory."""
        return len(self.data) + int(self.calm.rows.estimated_size())

    @staticmethod
    def of(data: bytes, line: int, lines: int) -> SiftedEntries:
        """Whole lines, the first of which is number `line`, of which all are kept."""
        return SiftedEntries(data, array("q", range(line, line + lines)).tobytes(), _NO_CALM)

    def joined(self, others: Sequence[SiftedEntries]) -> SiftedEntries:
        """These lines and those of the others."""
        all_of_them = [self, *others]
        calm = Calm(
            pl.concat([one.calm.rows for one in all_of_them]),
            pl.concat([one.calm.ends for one in all_of_them]),
            sum(one.calm.disorder for one in all_of_them),
            unzoned=False,
        )
        return SiftedEntries(
            b"".join(one.data for one in all_of_them), b"".join(one.numbers for one in all_of_them), calm
        )

    def split(self, number: int) -> tuple[SiftedEntries, SiftedEntries]:
        """Lines in front of that number, with all that only count, and the others."""
        own = memoryview(self.numbers).cast("q")
        early = bisect_left(own, number)
        at = 0
        for _ in range(early):
            at = self.data.find(b"\n", at) + 1
        return (
            replace(self, data=self.data[:at], numbers=self.numbers[: early * 8]),
            SiftedEntries(self.data[at:], self.numbers[early * 8 :], _NO_CALM),
        )


@dataclass(slots=True)
class _Learned:
    """What is known of the entries of a source: the numbers of groups (level, service, deployment) and of streams of lines, and the
    compiled part that knows which kind of entry is of which."""

    by: CompiledSieve | None = None
    groups: dict[tuple[str, str | None, str | None], int] = field(default_factory=dict)
    streams: dict[tuple[str | None, ...], int] = field(default_factory=dict)


class EntrySieve:
    """Sifts the entries of one source.

    `hint` is the service, and the instance, of entries that name no service; `size` how many bytes are known to come.
    """

    def __init__(
        self, plan: Plan, telling: Telling, usual: Usual | None, hint: tuple[str | None, str | None], size: int = 0
    ) -> None:
        self._plan, self._telling, self._hint = plan, telling, hint
        self._span = _span(usual)
        self.width = RATE_US  # microseconds of a slice of time in which entries are told apart
        self._learned = _Learned()
        self._asked: list[tuple[int, int, int | None]] = []
        self._looked_at = self._calm = 0
        self._passed, self._size = 0, size
        self._off = False

    def fork(self) -> EntrySieve:
        """Another for the same source, or a part of it, that shares what is learned."""
        other = copy(self)
        other._asked, other._looked_at, other._calm, other.width = [], 0, 0, RATE_US
        return other

    @property
    def names(self) -> pl.DataFrame:
        """Level, service and deployment of the entries of each group that only count."""
        return pl.DataFrame([*self._learned.groups], schema=_NAMES_OF, orient="row")

    @property
    def asks(self) -> bool:
        """Whether there are entries that it could learn from."""
        return bool(self._asked)

    def sift(self, data: bytes, line: int) -> SiftedEntries | None:
        """Whole lines, the first of which is number `line`; None where all are to be read as they are."""
        self._passed += len(data)
        if self._off or max(self._passed, self._size) <= WORTHWHILE:
            return None
        self._learned.by = self._learned.by or self._make()
        if self._learned.by is None:
            self._off = True
            return None
        found, asked = self._learned.by.sift(data, line, FIRST_ROWS, self.width, *self._span)
        self._asked += asked
        sifted = None
        if found is not None:
            sifted = SiftedEntries(found[0], found[1], calm_of(found[2]))
            self._calm += len(data) - len(sifted.data)
        self._looked_at += len(data) if line > FIRST_ROWS else 0
        self._off = self._looked_at > _TRIED and self._calm < _WORTH * self._looked_at
        return sifted

    def learn(self, rows: pl.DataFrame) -> None:
        """Take in what became of the entries that were asked for, if they are among these rows."""
        if not self._asked or self._learned.by is None:
            return
        lines = [line for _, line, _ in self._asked]
        found = rows.filter(pl.col("line").is_in(lines)).select_seq(
            "line", "lines", "at", "level", "header", "service", "instance", "deployment", "status", "method",
            "route", "exit_code", stream=own_stream(), complete=COMPLETE,
        )  # fmt: skip
        known: dict[int, dict[str, object]] = {}
        for row in found.iter_rows(named=True):
            known[row["line"]] = row if row["line"] not in known else {}
        last = int(rows["line"][-1]) if rows.height else 0
        for number, line, at in self._asked:
            if line <= last:
                self._learned.by.learn(number, *self._meant(known.get(line) or {}, at))
        self._asked = [one for one in self._asked if one[1] > last]

    def _make(self) -> CompiledSieve | None:
        plan = self._plan
        screen = _screen(plan, self._telling.parts)
        if compiled.CUTTER is None or compiled.ENTRY_SIEVE is None or screen is None:
            return None
        roles = Roles(plan)
        cutter = compiled.CUTTER(list(plan.tree.slots), plan.tree.strict)
        judge = compiled_sieve(self._telling.words, plan.header(), screen)
        return compiled.ENTRY_SIEVE(cutter, judge, roles.of, AT_ENDS, ENDS, BEFORE, BEHIND)

    def _meant(self, row: dict[str, object], at: int | None) -> tuple[int, int]:
        """The group in which entries like this one count, and the number of their stream."""
        if not row:
            return _NOTHING, -1
        if row["complete"]:
            return (_TOUCHES_NONE if row["lines"] else _NOTHING), -1
        service, instance = row["service"], row["instance"]
        if service is None:
            service, instance = self._hint[0], instance if instance is not None else self._hint[1]
        stream = self._learned.streams.setdefault((service, instance, row["stream"]), len(self._learned.streams))  # type: ignore[arg-type]
        if not row["header"]:
            return _GOES_ON, stream
        level, time = row["level"], row["at"]
        more = any(row[name] is not None for name in ("status", "method", "route", "exit_code")) or row["lines"] != 1
        if level is None or LEVELS.index(level) > _QUIET or at is None or more or time != _time(at):
            return _NOTHING, stream
        group = (level, service, row["deployment"])
        return self._learned.groups.setdefault(group, len(self._learned.groups)), stream  # type: ignore[arg-type]


class Roles:
    """What the leaves of entries are, by the keys at the top of these."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._leaves = {keys: n for n, keys in enumerate(plan.tree.paths)}
        self._known: dict[str, bytes | None] = {}

    def of(self, keys: tuple[str, ...]) -> bytes | None:
        """Three bytes for each leaf: its role, its rank among those with the same one, and whether no entry lacks it; None where
        nothing is known of such entries."""
        entry = self._format(keys)
        if entry is None:
            return None
        if entry.name not in self._known:
            self._known[entry.name] = self._roles(entry)
        return self._known[entry.name]

    def _format(self, keys: tuple[str, ...]) -> Format | None:
        typed = self._plan.typed
        if typed is not None:
            return typed if set(typed.keys) <= set(keys) else None
        if not EXPORTS.isdisjoint(keys):
            return None
        return self._plan.formats[spoken(keys, self._plan.formats)]

    def _roles(self, entry: Format) -> bytes | None:
        # of one that may be whole only with the next (`Format.whole`) the text is longer than that of any that only counts
        if entry.flatten or "part" in entry.fields or "inner" in entry.fields:
            return None
        roles: dict[int, int] = {}
        ranks: dict[int, int] = {}
        for role, place, rank in _parts(entry):
            for leaf in self._at(place):
                roles[leaf] = _both(roles.get(leaf, _FREE), role)
                ranks[leaf] = min(rank, ranks.get(leaf, rank))
        required = {self._leaves.get((key,)) for key in entry.keys} if entry.typed else set()
        if None in required or _UNCLEAR in roles.values():
            return None
        cells = ((roles.get(n, _FREE), ranks.get(n, 0), int(n in required)) for n in range(len(self._leaves)))
        return bytes(cell for part in cells for cell in part)

    def _at(self, place: Place) -> list[int]:
        return [self._leaves[keys] for keys in {place.keys, (place.dotted,)} if keys in self._leaves]


_UNCLEAR = -1


def _parts(entry: Format) -> Iterator[tuple[int, Place, int]]:
    """The roles of places in the entries of a format, and their rank among those of one field."""
    stamped = not entry.times or ISO[0] in entry.times
    for name, places in entry.fields.items():
        for rank, place in enumerate(places):
            if name in ("at", "message"):
                clear = not place.extract and (stamped or name != "at")
                yield (_UNCLEAR if not clear else _WHEN if name == "at" else _SAID), place, min(rank, 255)
            else:
                yield (_FREE if name in _OF_NO_ACCOUNT else _NAME if name in _NAMES else _MORE), place, 0
    for rule in entry.kinds:
        yield (_NAME if rule.matches else _MORE), rule.path, 0
    for mark in entry.structured:
        if mark != "+":  # such a mark is a matter of the keys
            yield _MARK, Place(tuple(mark.split("."))), 255


def _both(one: int, other: int) -> int:
    """The role of a leaf that has two."""
    low, high = sorted((one, other))
    if low in (_FREE, _MARK, high):
        return high
    if high in (_NAME, _MORE, _MORE_NAME):
        return _MORE_NAME
    return _UNCLEAR


def _screen(plan: Plan, parts: tuple[str, ...]) -> Screen | None:
    """What tells of texts that no format reads, that head no record of two lines and could be no part of a traceback."""
    texts = {f.name: f for f in (*plan.layers.catalog.text, *plan.layers.first)}.values()
    patterns = [f"(?s:{anonymous(f.pattern)})" if f.message == "group" else anonymous(f.pattern) for f in texts]
    joined = [f.joins[0] for f in texts if f.joins]
    plain = [CONTINUES] if any(f.header != "own" for f in plan.formats) else []
    return screen_of((*patterns, *joined, *plain, *parts))


def _time(micros: int) -> object:
    return pl.Series([micros]).cast(TIME)[0]


def _span(usual: Usual | None) -> tuple[int, int]:
    """The first and the last time, in microseconds since 1970, that is believed whatever was in front of it."""
    if usual is None:
        return -_EVER, _EVER
    low, high = pl.Series(usual.span).cast(TIME).to_physical()
    return low, high


_EVER = 2**62
