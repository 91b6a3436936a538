"""Entries of JSON that only count: known by compiled code, they never become rows of their own.

What an entry means is learned from those that are read as rows. Two entries with the same keys, and the same texts at those
that say who, where and how loud, mean the same but for when they were written, for what they say, and of requests for how
long they took and the ids in their paths; and what they say is plain text that no format reads and that could be no part of a
traceback. So of the first entry of each kind it is looked up what became of it, and those that follow are counted. Lines of
text that tell of a request are sifted alike.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING

import polars as pl
from msgspec import Struct, field
from msgspec.structs import astuple, replace

from triage.intake import compiled
from triage.intake.calm import (
    AT_ENDS,
    BEFORE,
    BEHIND,
    FIRST_ROWS,
    Calm,
    Header,
    Telling,
    calm_of,
    compiled_sieve,
)
from triage.intake.cutting import Tree
from triage.intake.exports import EXPORTS
from triage.intake.formats import UNITS_MS, Format, Place, anonymous
from triage.intake.jsonrows import VAGUE, is_rejected, spoken
from triage.intake.plausible import Usual
from triage.intake.programs import NO_PROGRAM, Program, Screen, first_pairs, program_of, screen_of
from triage.intake.rows import CONTINUES
from triage.intake.textrows import Layers
from triage.intake.times import ISO
from triage.intake.traces import COMPLETE, own_stream
from triage.intake.typedrows import Typed
from triage.schema import ANSWERED, ASKED, EXAMPLES, FAILED, LEVEL, LEVELS, RATE_US, TICK_US, TIME
from triage.sums import BAND, PACE_US, Sums, bounds

if TYPE_CHECKING:
    from triage.intake._cutter import EntrySieve as CompiledSieve
    from triage.intake._cutter import Looked

_NAMES_OF = {"level": LEVEL, "service": pl.String(), "deployment": pl.String()}
_ASKED_OF = {n: dtype for n, dtype in ASKED.items() if n != "source"}
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
_PATIENCE = 1_000  # entries kept because it is not known yet what some mean: to look at a piece again costs less than more of them
_FEW_KINDS = 256  # that are asked for in one piece
_QUIET = LEVELS.index("INFO")
_NOTHING, _GOES_ON = -1, -2  # what a kind may be instead of a group, as _entries.c has it
_OPEN, _CLOSED, _SAYS_SO = range(3)  # whether it is a record by itself, as _entries.c has it
# what a leaf is, as _entries.c has it
_FREE, _MARK, _NAME, _MORE, _MORE_NAME, _WHEN, _SAID, _ROUTE, _TOOK, _INSTANCE = range(10)
_VAGUE = 0x80  # of a duration whose unit its size tells too
# what an entry says of these says nothing of one that only counts; these say who, where and how loud, and what came of a
# request; all others say that it is more than that
_OF_NO_ACCOUNT = frozenset(("trace", "logger"))
_NAMES = frozenset(("level", "service", "deployment", "stream", "method", "status"))
_OTHERS = {"at": _WHEN, "message": _SAID, "route": _ROUTE, "latency": _TOOK}
_GROUPS = ("at", "method", "route", "status", "latency")  # of a regex that reads requests, in the order of _entries.c
_LINES_WORTHWHILE = 4 << 20  # bytes of a source of which each line is a request: one look at it tells all
COMMON = "%d/%b/%Y:%H:%M:%S %z"  # stamps of access logs


class Plan(Struct, frozen=True):
    """How the entries of a source are looked at: formats by the keys at their top, and what tells the header that most texts in
    them have."""

    tree: Tree
    formats: tuple[Format, ...]
    typed: Typed | None
    layers: Layers
    header: Callable[[], Header | None]


class Lines(Struct, frozen=True):
    """How lines of text are looked at that tell of requests: the regex with the groups of `_GROUPS`, the one that is searched for
    how long a request took, with the two bytes that it may begin with, and what tells of lines that another format reads first."""

    entry: Format
    pattern: Program
    search: Program
    begins: bytes
    screen: Screen


class SiftedEntries(Struct, frozen=True):
    """The lines that are kept, with their numbers (64 bits each), and those that only count."""

    data: bytes
    numbers: bytes
    calm: Calm

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory."""
        requests = self.calm.requests
        return len(self.data) + int(self.calm.rows.estimated_size()) + (requests.weight if requests is not None else 0)

    @staticmethod
    def of(data: bytes, line: int, lines: int) -> SiftedEntries:
        """Whole lines, the first of which is number `line`, of which all are kept."""
        return SiftedEntries(data, array("q", range(line, line + lines)).tobytes(), _NO_CALM)

    def joined(self, others: Sequence[SiftedEntries]) -> SiftedEntries:
        """These lines and those of the others."""
        all_of_them = [self, *others]
        requests = [one.calm.requests for one in all_of_them if one.calm.requests is not None]
        calm = Calm(
            pl.concat([one.calm.rows for one in all_of_them]),
            pl.concat([one.calm.ends for one in all_of_them]),
            sum(one.calm.disorder for one in all_of_them),
            unzoned=False,
            requests=Sums.together(requests) if requests else None,
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


class Widths(Struct):
    """Microseconds of the slices of time in which are told apart entries, requests among them, and failed ones: fine, and for their
    rhythm."""

    entries: int = RATE_US
    moments: int = RATE_US
    ticks: int = TICK_US
    rhythm: int = RATE_US

    def widen(self, other: Widths) -> None:
        """Make none of them finer than that of the other."""
        for name in self.__struct_fields__:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


class _Learned(Struct):
    """What is known of the entries of a source: the numbers of groups (level, service, deployment), of classes of requests, of
    answers that failed and of those who write lines, and the compiled part that knows which kind of entry is of which."""

    by: CompiledSieve | None = None
    groups: dict[tuple[object, ...], int] = field(default_factory=dict)
    classes: dict[tuple[object, ...], int] = field(default_factory=dict)
    answers: dict[tuple[object, ...], int] = field(default_factory=dict)
    writers: dict[tuple[object, ...], int] = field(default_factory=dict)


class EntrySieve:
    """Sifts the entries of one source.

    `hint` is the service, and the instance, of entries that name no service; `size` how many bytes are known to come.
    """

    def __init__(
        self,
        plan: Plan | Lines,
        telling: Telling,
        usual: Usual | None,
        hint: tuple[str | None, str | None],
        size: int = 0,
    ) -> None:
        self._plan, self._telling, self._hint = plan, telling, hint
        self._span = _span(usual)
        self.widths = Widths()
        self._learned = _Learned()
        self._asked: list[tuple[int, int, int | None, float | None, bool]] = []
        self._looked_at = self._calm = 0
        self._rest, self._next = b"", 0  # of streams, as _entries.c has it, in front of the line of that number
        self._passed, self._size = 0, size
        self._off = False

    def fork(self) -> EntrySieve:
        """Another for the same source, or a part of it, that shares what is learned."""
        other = copy(self)
        other._asked, other._looked_at, other._calm = [], 0, 0
        other._rest, other._next = b"", 0
        other.widths = Widths()
        return other

    @property
    def names(self) -> pl.DataFrame:
        """Level, service and deployment of the entries of each group that only count."""
        return pl.DataFrame([*self._learned.groups], schema=_NAMES_OF, orient="row")

    @property
    def classes(self) -> pl.DataFrame:
        """What the requests of each class have in common, of their routes the first one."""
        return pl.DataFrame([*self._learned.classes], schema=_ASKED_OF, orient="row")

    @property
    def answers(self) -> pl.DataFrame:
        """What the failed requests of each answer have in common."""
        return pl.DataFrame([*self._learned.answers], schema=ANSWERED, orient="row")

    @property
    def worthwhile(self) -> bool:
        """Whether the source is large enough, as far as that is known by now."""
        return max(self._passed, self._size) > (WORTHWHILE if isinstance(self._plan, Plan) else _LINES_WORTHWHILE)

    def sift(
        self, data: bytes, line: int, lines: int, read: Callable[[SiftedEntries], pl.DataFrame]
    ) -> SiftedEntries | None:
        """So many whole lines, the first of which is number `line`; None where all are to be read as they are. `read` gives the
        ROWS of some of them: it is asked where much would be kept only because of a few that are not known yet."""
        self._passed += len(data)
        if self._off or not self.worthwhile:
            return None
        self._learned.by = self._learned.by or self._make()
        if self._learned.by is None:
            self._off = True
            return None
        before = self._rest if line == self._next else b""
        found, asked, waiting, rest = self._look(self._learned.by, data, line, before)
        if waiting >= _PATIENCE and asked and len(asked) <= _FEW_KINDS:
            earlier, self._asked = self._asked, asked  # whose rows are still to come
            self.learn(read(_lines_at(data, line, [one[1] for one in asked])))
            self._asked = [*earlier, *self._asked]
            found, asked, _, rest = self._look(self._learned.by, data, line, before)
        self._asked += asked
        self._rest, self._next = rest, line + lines
        sifted = None
        if found is not None:
            requests = Sums.of([[*map(pl.Series, table)] for table in found[3]]) if found[3] is not None else None
            calm = replace(calm_of(found[2]), requests=requests)
            sifted = SiftedEntries(found[0], found[1], calm)
            self._calm += len(data) - len(sifted.data)
        self._looked_at += len(data) if line > FIRST_ROWS else 0
        self._off = self._looked_at > _TRIED and self._calm < _WORTH * self._looked_at
        return sifted

    def _look(self, by: CompiledSieve, data: bytes, line: int, before: bytes) -> Looked:
        return by.sift(data, line, FIRST_ROWS, astuple(self.widths), *self._span, before)

    def learn(self, rows: pl.DataFrame) -> None:
        """Take in what became of the entries that were asked for, if they are among these rows."""
        if not self._asked or self._learned.by is None:
            return
        lines = [one[1] for one in self._asked]
        found = rows.filter(pl.col("line").is_in(lines)).select_seq(
            "line", "lines", "at", "level", "kind", "format", "header", "service", "instance", "deployment", "status", "method",
            "route", "latency_ms", "exit_code", stream=own_stream(), complete=COMPLETE,
        )  # fmt: skip
        known: dict[int, dict[str, object]] = {}
        for row in found.iter_rows(named=True):
            known[row["line"]] = row if row["line"] not in known else {}
        last = int(rows["line"][-1]) if rows.height else 0
        for number, line, at, took, named in self._asked:
            if line <= last:
                self._learned.by.learn(number, *self._meant(known.get(line) or {}, at, took, named=named))
        self._asked = [one for one in self._asked if one[1] > last]

    def _make(self) -> CompiledSieve | None:
        plan = self._plan
        margins = (AT_ENDS, ENDS, BEFORE, BEHIND, EXAMPLES, array("d", bounds()).tobytes(), BAND, PACE_US)
        if compiled.CUTTER is None or compiled.ENTRY_SIEVE is None:
            return None
        if isinstance(plan, Lines):
            entry, common = plan.entry, plan.entry.times[0] == COMMON
            programs = plan.pattern.steps, plan.pattern.sets, plan.search.steps, plan.search.sets
            reader = (*programs, plan.begins, int(common), _unit(entry, Place(())))
            judge = compiled_sieve(self._telling.ids, None, plan.screen)
            return compiled.ENTRY_SIEVE(None, judge, None, None, reader, *margins)
        screen = _screen(plan, self._telling.parts)
        if screen is None:
            return None
        typed = plan.typed
        roles = Roles(plan, named=self._hint[1] is None)
        cutter = compiled.CUTTER(list(plan.tree.slots), plan.tree.strict)
        judge = compiled_sieve(self._telling.words, plan.header(), screen)
        return compiled.ENTRY_SIEVE(cutter, judge, roles.of, lambda line: is_rejected(line, typed), None, *margins)

    def _meant(
        self, row: dict[str, object], at: int | None, took: float | None, *, named: bool
    ) -> tuple[int, int, int, int, int]:
        """The group in which entries like this one count, the numbers of who writes them, of their class of requests and of the answer
        where those failed, and whether they are records by themselves. `named` says that others of the kind may be of other instances."""
        if not row or not row["lines"]:
            return _NOTHING, -1, -1, -1, _OPEN if not row else _CLOSED
        known = self._learned
        service, instance = row["service"], row["instance"]
        if service is None:
            service, instance = self._hint[0], instance if instance is not None else self._hint[1]
        writer = _number(known.writers, service, None if named else instance, row["stream"])
        closed = _OPEN if not row["complete"] else _SAYS_SO if row["kind"] == "access" else _CLOSED
        if not closed and not row["header"]:
            return _GOES_ON, writer, -1, -1, _OPEN
        failed = isinstance(row["status"], int) and row["status"] >= FAILED
        if not _only_counts(row, at, took) or (failed and isinstance(self._plan, Plan)):
            return _NOTHING, writer, -1, -1, closed
        group = _number(known.groups, row["level"], service, row["deployment"])
        asked = {**row, "service": service, "instance": instance}
        request = -1 if row["status"] is None else _number(known.classes, *(asked[name] for name in _ASKED_OF))
        answer = _number(known.answers, *(asked[name] for name in ANSWERED)) if failed else -1
        return group, writer, request, answer, closed


def _lines_at(data: bytes, line: int, numbers: Sequence[int]) -> SiftedEntries:
    """Those of some lines, the first of which is number `line`, that have these numbers, in ascending order."""
    kept, place, at = [], line, 0
    for number in numbers:
        while place < number:
            at, place = data.find(b"\n", at) + 1, place + 1
        end = data.find(b"\n", at) + 1 or len(data)
        kept.append(data[at:end])
    return SiftedEntries(b"".join(kept), array("q", numbers).tobytes(), _NO_CALM)


def _number(known: dict[tuple[object, ...], int], *names: object) -> int:
    return known.setdefault(names, len(known))


def _only_counts(row: dict[str, object], at: int | None, took: float | None) -> bool:
    """Whether all that a report takes of such an entry is what compiled code read of it."""
    level = row["level"]
    if row["lines"] != 1 or at is None or row["at"] != _time(at) or row["latency_ms"] != took:
        return False
    if (isinstance(level, str) and LEVELS.index(level) > _QUIET) or row["exit_code"] is not None:
        return False
    return row["kind"] in ("access", "request") if row["complete"] else level is not None


def lines_of(layers: Layers) -> Lines | None:
    """How lines of text are looked at, where they tell of requests in a form that compiled code can read."""
    if layers.forced is not None or not layers.first:
        return None
    ahead = layers.first
    entry = next((one for one in ahead if one.row == "access"), None)
    if entry is None or not _is_plain(entry):
        return None
    pattern = program_of(entry.pattern, _GROUPS)
    searched = _TOKENS.sub(_named_group, entry.also["latency"]) if "latency" in entry.also else None
    if searched is not None and searched.count("(?P<latency>") != 1:
        return None
    search = program_of(searched, ("latency",)) if searched is not None else NO_PROGRAM
    begins = first_pairs(searched) if searched is not None and search is not None else b""
    joined = (f.joins[0] for f in layers.catalog.text if f.joins)
    screen = screen_of((*(anonymous(f.pattern) for f in ahead[: ahead.index(entry)]), *joined))
    if pattern is None or search is None or screen is None or begins is None:
        return None
    return Lines(entry, pattern, search, begins, screen)


_TOKENS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\((?!\?)")  # of a regex: what hides a bracket, and where a group begins


def _named_group(token: re.Match[str]) -> str:
    return "(?P<latency>" if token[0] == "(" else token[0]


def _is_plain(entry: Format) -> bool:
    """Whether a line of the format is one request of which nothing is said but what `_GROUPS` names."""
    named = {group for group in re.findall(r"\(\?P?<(\w+)>", entry.pattern) if not group.endswith("_")}
    return (
        entry.kind == "text"
        and entry.message == "all"
        and not (entry.unwraps or entry.generic or entry.kinds or entry.usual or entry.whole or entry.joins)
        and {"at", "status"} <= named <= {*_GROUPS}
        and entry.also.keys() <= {"latency"} - named
        and bool(entry.times)
        and entry.times[0] in (COMMON, ISO[0])
    )


class Roles:
    """What the leaves of entries are, by the keys at the top of these.

    `named` says that entries which name no instance are of none.
    """

    def __init__(self, plan: Plan, *, named: bool) -> None:
        self._plan, self._named = plan, named
        self._leaves = {keys: n for n, keys in enumerate(plan.tree.paths)}
        self._known: dict[str, bytes | None] = {}

    def of(self, keys: tuple[str, ...]) -> bytes | None:
        """Four bytes for each leaf: its role, its rank among those with the same one, whether no entry lacks it, and the unit of a
        duration there; None where nothing is known of such entries."""
        entry = self._format(keys)
        if entry is None:
            return None
        if entry.name not in self._known:
            self._known[entry.name] = self._roles(entry)
        return self._known[entry.name]

    def _format(self, keys: tuple[str, ...]) -> Format | None:
        typed = self._plan.typed
        if typed is not None:
            return typed.entry if set(typed.entry.keys) <= set(keys) else None
        if not EXPORTS.isdisjoint(keys):
            return None
        return self._plan.formats[spoken(keys, self._plan.formats)]

    def _roles(self, entry: Format) -> bytes | None:
        # of one that may be whole only with the next (`Format.whole`) the text is longer than that of any that only counts
        if entry.flatten or entry.retells or "part" in entry.fields or "inner" in entry.fields:
            return None
        roles: dict[int, int] = {}
        ranks: dict[int, int] = {}
        units: dict[int, int] = {}
        for role, place, rank in _parts(entry, named=self._named):
            for leaf in self._at(place):
                roles[leaf] = _both(roles.get(leaf, _FREE), role)
                ranks[leaf] = min(rank, ranks.get(leaf, rank))
                units[leaf] = _unit(entry, place)
        required = {self._leaves.get((key,)) for key in entry.keys} if entry.typed else set()
        if None in required or _UNCLEAR in roles.values():
            return None
        cells = (
            (roles.get(n, _FREE), ranks.get(n, 0), int(n in required), units.get(n, 0))
            for n in range(len(self._leaves))
        )
        return bytes(cell for part in cells for cell in part)

    def _at(self, place: Place) -> list[int]:
        return [self._leaves[keys] for keys in place.spellings if keys in self._leaves]


_UNCLEAR = -1


def _parts(entry: Format, *, named: bool) -> Iterator[tuple[int, Place, int]]:
    """The roles of places in the entries of a format, and their rank among those of one field."""
    stamped = not entry.times or ISO[0] in entry.times
    instances = entry.fields.get("instance", ())
    others = {place.dotted for name, places in entry.fields.items() if name != "instance" for place in places}
    others |= {rule.path.dotted for rule in entry.kinds}
    named = named and not any(place.extract or place.dotted in others for place in instances)
    for name, places in entry.fields.items():
        for rank, place in enumerate(places):
            if name == "instance":
                yield (_INSTANCE if named else _NAME), place, min(rank, 255)
            elif name in _OTHERS:
                clear = name == "route" or (not place.extract and (stamped or name != "at"))
                yield (_OTHERS[name] if clear else _UNCLEAR), place, min(rank, 255)
            else:
                yield (_FREE if name in _OF_NO_ACCOUNT else _NAME if name in _NAMES else _MORE), place, 0
    for rule in entry.kinds:
        yield (_NAME if rule.matches else _MARK), rule.path, 0
    for mark in entry.structured:
        if mark != "+":  # such a mark is a matter of the keys
            yield _MARK, Place(tuple(mark.split("."))), 255


def _unit(entry: Format, place: Place) -> int:
    """The number of the unit of durations there that name none, as _entries.c has it."""
    unit = [*UNITS_MS].index(place.unit or ("ms" if entry.aliases else entry.latency)) + 1
    return unit | (_VAGUE if entry.aliases and place.dotted in VAGUE else 0)


def _both(one: int, other: int) -> int:
    """The role of a leaf that has two."""
    low, high = sorted((one, other))
    if low in (_FREE, _MARK, high):
        return high
    if high in (_NAME, _MORE, _MORE_NAME, _ROUTE):
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
