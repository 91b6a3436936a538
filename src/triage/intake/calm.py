"""Lines of text that only count: known by compiled code, they never become rows of their own.

Such a line is a whole header of the shape that the head of the source has, of level INFO or below, and what it says
holds none of the words that are asked for and could be no part of a traceback; nor do the lines near it. All that a
report takes of it is that it was there, when, and at which level.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.intake import compiled
from triage.intake.formats import Format, anonymous
from triage.intake.leads import Shape, ahead_of, behind_stamp, usual_shape
from triage.intake.levels import read_levels
from triage.intake.programs import NO_SCREEN, Program, Screen, begins_with, program_of, screen_of
from triage.intake.repeats import Repeated, Repeats
from triage.intake.rows import RAISED
from triage.intake.textrows import Layers, starts_with_letters
from triage.intake.times import Clock
from triage.schema import LEVEL, LEVELS, RATE_US, TIME
from triage.sums import Sums

if TYPE_CHECKING:
    from triage.intake._cutter import Cut, Left
    from triage.intake._cutter import Sieve as CompiledSieve

# Lines that are kept, though they only count, near others: at both ends of what is read at once; in front of a line that
# could belong to a traceback (a header three lines in front of bare text may open a crash that the text goes on), in front
# of a header that is not quiet, and behind both (a trace logged line by line may end with some lines that look calm).
AT_ENDS, BEFORE, BEFORE_LOUD, BEHIND = 16, 4, 2, 4
FIRST_ROWS = 2_000  # of a source, or of a part of one, that say whether it has the newest first: such lines are kept
_CUT = "truncated"  # of texts that say so of themselves (see truncated.py)
_GROUPS = frozenset(("at", "level", "logger"))


class Telling(Struct, frozen=True):
    """What says more than that it was written: texts that hold one of these words (of any case), those that one of these
    regexes fits, which are parts of tracebacks, and failed requests with one of the words in front of an id."""

    words: tuple[str, ...]
    parts: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


class Header(Struct, frozen=True):
    """The header that most lines of a source begin with, how far its times are `ahead` of UTC (as leads.ahead_of says), and what
    is between its stamp and the message, as a program."""

    entry: Format
    shape: Shape
    ahead: int | str
    program: Program


class Calm(Struct, frozen=True):
    """What is left of lines that only count: `rows` are how many there were of a level in a slice of time (level, first, last,
    count), `ends` line and time of the first and the last of those that stand together, `disorder` how many of them are
    dated before the one in front of them, but for the last ones in `ends`; `unzoned` says that their stamps name no zone.

    `requests` are those that they tell of, `repeated` are records among them that came before."""

    rows: pl.DataFrame
    ends: pl.DataFrame
    disorder: int
    unzoned: bool
    requests: Sums | None = None
    repeated: Repeated | None = None

    @property
    def count(self) -> int:
        """How many stamps they had."""
        return int(self.rows["count"].sum()) + (self.repeated.again.height if self.repeated is not None else 0)

    @property
    def stamps(self) -> pl.DataFrame:
        """Between which times these are: `first` and `last`."""
        rows = self.rows.select_seq("first", "last")
        again = self.repeated.again if self.repeated is not None else None
        return rows if again is None else pl.concat([rows, again.select_seq(first="at", last="at")])


class Sifted(Struct, frozen=True):
    """The lines that are kept, with their numbers, and those that only count; and whether no kept line holds an escape or a
    carriage return."""

    lines: pl.Series
    numbers: pl.Series
    calm: Calm
    tidy: bool

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory."""
        return int(self.lines.estimated_size() + self.calm.rows.estimated_size())


def header_of(texts: Sequence[str], layers: Layers, clock: Clock) -> Header | None:
    """The header of lines that only count, where the first format that a source speaks of lines with a stamp has one which compiled code can read.

    None where stamps name no zone and the one to assume is another than UTC: its clocks may leap.
    """
    if compiled.SIEVE is None or not layers.first or layers.behind or layers.forced is not None:
        return None
    entry, shape = _dated(layers.first), usual_shape(texts)
    if entry is None or shape is None or not _is_plain(entry) or not starts_with_letters(layers.catalog):
        return None
    found = behind_stamp(entry.pattern, dotted=False)
    if found is None or (shape.tail.endswith(",") and not found[1]):
        return None
    ahead = ahead_of(shape, entry.times, clock)
    if ahead is None or (isinstance(ahead, str) and ahead != "UTC"):
        return None
    program = program_of(re.escape(shape.tail) + found[0], ("g_level", "g_logger"))
    return Header(entry, shape, ahead, program) if program is not None else None


def _dated(formats: Sequence[Format]) -> Format | None:
    """The first of these that may read a line which begins with a digit."""
    return next((entry for entry in formats if begins_with(anonymous(entry.pattern), b"0123456789")), None)


def _is_plain(entry: Format) -> bool:
    """Whether a header of the format says when, how loud and who, and nothing else."""
    named = {group for group in re.findall(r"\(\?P?<(\w+)>", entry.pattern) if not group.endswith("_")}
    return (
        entry.kind == "text"
        and entry.row == "app"
        and entry.header == "own"
        and entry.message == "rest"
        and not (entry.unwraps or entry.generic or entry.also or entry.kinds or entry.usual or entry.whole)
        and entry.transport_level is None
        and named <= _GROUPS
        and "level" in named
    )


def compiled_sieve(words: tuple[str, ...], header: Header | None, screen: Screen = NO_SCREEN) -> CompiledSieve:
    """What tells lines that only count (or, without a header and with a screen, texts of entries) from all others; what `words` (of
    any case) stand in is kept."""
    if compiled.SIEVE is None:
        raise RuntimeError("there is no compiled part")
    words = (*words, _CUT)
    classes, table, count, found = _automaton(words)
    endings = b"".join(bytes((len(ending),)) + ending for ending in map(str.encode, RAISED)) + b"\0"
    program = header.program if header is not None else Program(b"", b"")
    shape = header.shape if header is not None else Shape("", "", 0, "")

    def ask(word: str) -> int:
        return _quiet(word, header.entry) if header is not None else -1

    return compiled.SIEVE(
        program.steps, program.sets, _pieces(words), classes, table, count, found, endings, shape.between.encode(),
        shape.point.encode(), shape.digits, AT_ENDS, BEFORE, BEFORE_LOUD, BEHIND, ask, screen.steps, screen.sets, screen.others,
    )  # fmt: skip


class Sieve:
    """Sifts the lines of one source."""

    def __init__(self, header: Header, telling: Telling) -> None:
        self._header, self._telling = header, telling
        self._unzoned = isinstance(header.ahead, str)
        self._ahead = header.ahead if isinstance(header.ahead, int) else 0
        self.width = RATE_US  # microseconds of a slice of time in which lines are told apart
        self._made: tuple[CompiledSieve, Repeats] | None = None

    @property
    def _sieve(self) -> tuple[CompiledSieve, Repeats]:
        """The compiled one and what it learns, made when it is first used: a short log never needs it."""
        if self._made is None:
            screen = screen_of(self._telling.parts) or NO_SCREEN
            sieve = compiled_sieve(self._telling.words, self._header, screen)
            self._made = sieve, Repeats(sieve.settle)
        return self._made

    def sift(self, data: bytes, line: int, lines: int) -> Sifted | None:
        """So many lines, the first of which is number `line`; None where all are to be read as they are."""
        if line + lines <= FIRST_ROWS:
            return None
        sieve, repeats = self._sieve
        found = sieve.sift(data, line, FIRST_ROWS, self.width)
        if found is None:
            return None
        texts, numbers, left, escapes, returns, again = found
        calm = calm_of(left, self._ahead, unzoned=self._unzoned)
        rows = calm.rows.with_columns_seq(pl.col("group").cast(pl.UInt8).cat.to(LEVEL).alias("level"))
        repeated = Repeated.of(again, repeats, self._ahead) if again is not None else None
        calm = replace(calm, rows=rows.drop("group"), repeated=repeated)
        return Sifted(pl.Series("message", texts), pl.Series("i", numbers), calm, not (escapes or returns))


def calm_of(left: Left, ahead: int = 0, *, unzoned: bool = False) -> Calm:
    """What compiled code tells of lines that only count, their times so many microseconds ahead of UTC; `rows` by `group`."""
    (groups, firsts, lasts, counts), (places, times), disorder = left

    def time(local: Cut) -> pl.Series:
        return (pl.Series(local) - ahead).cast(TIME)

    rows = {"group": pl.Series(groups), "first": time(firsts), "last": time(lasts), "count": pl.Series(counts)}
    return Calm(pl.DataFrame(rows), pl.DataFrame({"line": pl.Series(places), "at": time(times)}), disorder, unzoned)


def _quiet(word: str, entry: Format) -> int:
    """The number of the level that a word stands for where that is INFO or below; -1 above WARNING, -3 for that, -4 for none."""
    level = read_levels(pl.Series([word]), entry.levels)[0]
    if level is None or level == "WARNING":
        return -4 if level is None else -3
    return LEVELS.index(level) if LEVELS.index(level) <= LEVELS.index("INFO") else -1


@cache
def _pieces(words: tuple[str, ...]) -> bytes:
    """A table of bits for numbers made of four bytes: those of a piece of each word, the rarest that it has.

    It is looked up for every place of a text, each for itself, which takes a fraction of the time of the automaton; only
    texts that have a piece are given to that.
    """
    bits = bytearray(16_384)
    for word in words:
        text = word.encode().lower()
        rarest = min((text[n : n + 4] for n in range(len(text) - 3)), key=_commonness, default=None)
        if rarest is None:  # a word so short may be anywhere
            return b"\xff" * len(bits)
        number = int.from_bytes(bytes(byte | 0x20 for byte in rarest), "little")
        place = (number * 0x9E3779B1 & 0xFFFFFFFF) >> 15
        bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


_FREQUENT = b" etaoinsrldhcumpgfybwvkxjqz"


def _commonness(piece: bytes) -> tuple[bool, int]:
    """How often four letters stand together, by whether they are a part of a word that logs are full of and by how often each
    of them is used."""
    return piece in _WORDS, sum(
        len(_FREQUENT) - _FREQUENT.find(letter) if letter in _FREQUENT else 0 for letter in piece
    )


_WORDS = (
    b" connection container database function import message order payment port process query report request response "
    b"service session started status support thread timeout transaction version worker user read listening loading "
    b"completed failed created updated deleted processing finished received application client instance resource "
)


@cache
def _automaton(words: tuple[str, ...]) -> tuple[bytes, bytes, int, int]:
    """What finds any of the words, whatever their case (after Aho and Corasick): the class of each byte, for each state and
    class the next state, how many classes there are, and from which state on a word was found."""
    bare = sorted({word.encode().lower() for word in words})  # bytes know the case of ASCII only
    letters = sorted({letter for word in bare for letter in word})
    number = {letter: n + 1 for n, letter in enumerate(letters)}  # 0 is for all bytes that are in no word
    classes = bytes(number.get(ord(chr(n).lower()) if n < 128 else n, 0) for n in range(256))
    next_: list[dict[int, int]] = [{}]
    told = [False]
    for word in bare:
        state = 0
        for letter in word:
            if letter not in next_[state]:
                next_[state][letter] = len(next_)
                next_.append({})
                told.append(False)
            state = next_[state][letter]
        told[state] = True
    back = [0] * len(next_)
    full: list[list[int]] = [[0] * (len(letters) + 1) for _ in next_]
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        told[state] |= told[back[state]]
        for letter in letters:
            beyond = full[back[state]][number[letter]] if state else 0
            if (child := next_[state].get(letter)) is None:
                full[state][number[letter]] = beyond
            else:
                back[child] = beyond
                full[state][number[letter]] = child
                waiting.append(child)
    # numbered anew: those that found a word last
    order = sorted(range(len(next_)), key=lambda state: (told[state], state))
    place = {state: n for n, state in enumerate(order)}
    cells = [place[child] for state in order for child in full[state]]
    return classes, struct.pack(f"={len(cells)}H", *cells), len(letters) + 1, len(order) - sum(told)
