"""A header's regex as a program for compiled code: the steps that try it on the bytes of a line, first choice first.

Only what such patterns are made of is known: letters, classes, groups, choices, repetitions and the end of the text. Of
anything else there is no program, and the regex is left to polars. The program may meet bytes that are no ASCII: whoever
runs it then has to leave the line, for here a class holds ASCII characters only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache

from msgspec import Struct, field
from msgspec.structs import replace

CHAR, SET, RUN, SPLIT, JUMP, SAVE, END, MATCH, GULP = range(9)
ANY = 0x7FFF
_LARGEST = 600  # steps
_LARGEST_OF_MANY = 20_000  # of all regexes of a Screen
_MOST = 1 << 30  # repetitions, where there is no bound
_CLASSES = {
    "d": frozenset(b"0123456789"),
    "s": frozenset(b"\t\n\v\f\r "),
    "w": frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"),
}
_ASCII = frozenset(range(128))
_ESCAPED = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11}
_PLAIN = set(r"\.+*?()|[]{}^$#&-~/ :;,<>=@%!\"'`")


class Program(Struct, frozen=True):
    """`steps` are four 32-bit numbers each (what, and up to three operands), `sets` 256 bytes for each set of bytes."""

    steps: bytes
    sets: bytes


class Screen(Struct, frozen=True):
    """What tells of texts that surely fit none of many regexes: steps and sets as those of a Program, and `others`, for each of
    the regexes the bytes that a text must hold (128 bits), the set of those it begins with, and its first step."""

    steps: bytes
    sets: bytes
    others: bytes


NO_PROGRAM = Program(b"", b"")
NO_SCREEN = Screen(b"", b"", b"")


class _Node(Struct, frozen=True):
    """A part of a regex. `kind` is set, all, any, repeat, group or end; what the others hold depends on it."""

    kind: str
    bytes_: frozenset[int] = frozenset()
    parts: tuple[_Node, ...] = ()
    least: int = 0
    most: int = 0
    greedy: bool = True
    slot: int = -1

    @property
    def may_be_empty(self) -> bool:
        """Whether it fits no text at all."""
        if self.kind == "any":
            return any(part.may_be_empty for part in self.parts)
        if self.kind == "repeat":
            return not self.least or self.parts[0].may_be_empty
        return self.kind != "set" and all(part.may_be_empty for part in self.parts)

    @property
    def needs(self) -> frozenset[int]:
        """Bytes that every text holds which it fits."""
        if self.kind == "set":
            return self.bytes_ if len(self.bytes_) == 1 else frozenset()
        if self.kind == "repeat":
            return self.parts[0].needs if self.least else frozenset()
        each = [part.needs for part in self.parts]
        if self.kind == "any":
            return frozenset.intersection(*each)
        return frozenset().union(*each)


class _UnknownError(Exception):
    """The regex holds something of which nothing is known here."""


def program_of(pattern: str, names: Sequence[str]) -> Program | None:
    """What tries a regex at the start of a text; None where it holds what is not known here.

    The groups called `names` are saved: the n-th begins at 2n and ends at 2n + 1.
    """
    try:
        node = _Parser(pattern, names).whole()
        assembly = _Assembly()
        assembly.add(node)
    except _UnknownError:
        return None
    steps = assembly.finished()
    return Program(
        b"".join(struct.pack("=4i", *step) for step in steps),
        _as_bytes(assembly.sets),
    )


def begins_with(pattern: str, signs: bytes) -> bool:
    """Whether a text that the regex fits may begin with one of these."""
    assembly = _Assembly()
    try:
        assembly.add(_Parser(pattern, (), loose=True).whole())
    except _UnknownError:
        return True
    assembly.steps.append((MATCH, 0, 0, 0))
    number = assembly.begins(0)
    return number == ANY or not assembly.sets[number].isdisjoint(signs)


@cache
def front_of(pattern: str) -> tuple[frozenset[str] | None, frozenset[str]]:
    """The ASCII characters that a text may begin with which the regex fits (None: any), and those that it must hold."""
    assembly = _Assembly(most=_LARGEST_OF_MANY)
    try:
        node = _Parser(pattern, (), loose=True).whole()
        assembly.add(node)
    except _UnknownError:
        return None, frozenset()
    assembly.steps.append((MATCH, 0, 0, 0))
    number = assembly.begins(0)
    return None if number == ANY else frozenset(map(chr, assembly.sets[number])), frozenset(map(chr, node.needs))


def first_pairs(pattern: str) -> bytes | None:
    """The first two bytes of each text that the regex fits; None where it may fit a shorter one."""
    assembly = _Assembly()
    assembly.add(_Parser(pattern, ()).whole())
    assembly.steps.append((MATCH, 0, 0, 0))
    pairs = assembly.pairs()
    return bytes(byte for pair in sorted(pairs) for byte in pair) if pairs is not None else None


@cache
def screen_of(patterns: tuple[str, ...]) -> Screen | None:
    """What tells whether a text may fit one of these regexes at its start; None where one holds what is not known here.

    It says so of some texts too many: of those that a regex fits but for a border of a word.
    """
    assembly = _Assembly(most=_LARGEST_OF_MANY)
    starts: list[tuple[int, frozenset[int]]] = []
    try:
        for pattern in patterns:
            for node in _choices_of(_Parser(pattern, (), loose=True).whole()):
                starts.append((len(assembly.steps), node.needs))
                assembly.add(node)
                assembly.steps.append((MATCH, 0, 0, 0))
    except _UnknownError:
        return None
    steps = assembly.finished()
    others = [
        struct.pack(
            "=QQ2i",
            *(sum(1 << (n & 63) for n in needs if n >> 6 == half) for half in (0, 1)),
            assembly.begins(start),
            start,
        )
        for start, needs in starts
    ]
    return Screen(b"".join(struct.pack("=4i", *step) for step in steps), _as_bytes(assembly.sets), b"".join(others))


def _choices_of(node: _Node) -> Iterator[_Node]:
    """The regexes of which one has to fit: fewer bytes are needed for all of them than for each."""
    parts = [part for part in node.parts if part.kind != "all" or part.parts]
    if node.kind == "any":
        for part in node.parts:
            yield from _choices_of(part)
    elif node.kind in ("all", "group") and len(parts) == 1:
        yield from _choices_of(parts[0])
    elif node.kind in ("all", "group") and len(node.needs) < _TELLING and (spread := _spread(node)):
        for one in spread:
            yield from _choices_of(one)
    else:
        yield node


def _spread(node: _Node) -> list[_Node]:
    """The same for each choice of the first part that has some, if that says more of the bytes that are needed."""
    for n, part in enumerate(node.parts):
        inner = part.parts[0] if part.kind == "group" and len(part.parts) == 1 else part
        if (
            inner.kind == "any"
            and len(inner.parts) <= _FEW
            and all(choice.needs - node.needs for choice in inner.parts)
        ):
            return [replace(node, parts=(*node.parts[:n], choice, *node.parts[n + 1 :])) for choice in inner.parts]
    return []


_TELLING = 4  # bytes that are needed: most texts lack one of them
_FEW = 16


def _as_bytes(sets: Sequence[frozenset[int]]) -> bytes:
    return b"".join(bytes(n in held for n in range(256)) for held in sets)


class _Parser(Struct):
    """Reads the regex from left to right. `loose`: what is not known here, but fits no character of ASCII or none at all, is
    taken for that."""

    text: str
    names: Sequence[str]
    at: int = 0
    loose: bool = False

    def whole(self) -> _Node:
        node = self._choices(fold=False, dotted=False)
        if self.at < len(self.text):
            raise _UnknownError
        return node

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def _next(self) -> str:
        if self.at >= len(self.text):
            raise _UnknownError
        self.at += 1
        return self.text[self.at - 1]

    def _choices(self, *, fold: bool, dotted: bool) -> _Node:
        found = [self._sequence(fold=fold, dotted=dotted)]
        while self._peek() == "|":
            self.at += 1
            found.append(self._sequence(fold=fold, dotted=dotted))
        return found[0] if len(found) == 1 else _Node("any", parts=tuple(found))

    def _sequence(self, *, fold: bool, dotted: bool) -> _Node:
        parts: list[_Node] = []
        while (sign := self._peek()) and sign not in "|)":
            parts.append(self._repeated(self._atom(fold=fold, dotted=dotted)))
        return _Node("all", parts=tuple(parts))

    def _repeated(self, node: _Node) -> _Node:
        sign = self._peek()
        if sign in ("*", "+", "?"):
            self.at += 1
            least, most = {"*": (0, _MOST), "+": (1, _MOST), "?": (0, 1)}[sign]
        elif sign == "{":
            end = self.text.find("}", self.at)
            low, comma, high = self.text[self.at + 1 : end].partition(",")
            if end < 0 or not low.isdigit() or (high and not high.isdigit()):
                raise _UnknownError
            self.at = end + 1
            least, most = int(low), int(high) if high else _MOST if comma else int(low)
        else:
            return node
        greedy = self._peek() != "?"
        self.at += not greedy
        if self._peek() in ("*", "+", "?", "{"):
            raise _UnknownError
        return _Node("repeat", parts=(node,), least=least, most=most, greedy=greedy)

    def _atom(self, *, fold: bool, dotted: bool) -> _Node:
        sign = self._next()
        if sign == "(":
            return self._group(fold=fold, dotted=dotted)
        if sign == "[":
            return _Node("set", self._class(fold=fold))
        if sign == ".":
            return _Node("set", _ASCII if dotted else _ASCII - {10})
        if sign == "$":
            return _Node("end")
        if self.loose and (sign == "^" or (sign == "\\" and self._peek() in "bB")):
            self.at += sign != "^"
            return _Node("all")
        if sign == "\\":
            return _Node("set", _folded(self._escape(), fold=fold))
        if sign in "^*+?{}":
            raise _UnknownError
        return _Node("set", _folded(self._ascii(sign), fold=fold))

    def _ascii(self, sign: str) -> frozenset[int]:
        """The character, where it is one of ASCII."""
        if ord(sign) < 128:
            return frozenset((ord(sign),))
        if not self.loose:
            raise _UnknownError
        return frozenset()

    def _group(self, *, fold: bool, dotted: bool) -> _Node:
        slot = -1
        if self._peek() == "?":
            self.at += 1
            self.at += self._peek() == "P"
            if self._peek() == "<":
                end = self.text.index(">", self.at)
                name = self.text[self.at + 1 : end]
                slot = self.names.index(name) if name in self.names else -1
                self.at = end + 1
            else:
                on = True
                while (flag := self._next()) != ":":
                    if flag == "-":
                        on = False
                    elif flag == "i":
                        fold = on
                    elif flag == "s":
                        dotted = on
                    elif flag != "u":
                        raise _UnknownError
        node = self._choices(fold=fold, dotted=dotted)
        if self._next() != ")":
            raise _UnknownError
        return _Node("group", parts=(node,), slot=slot)

    def _escape(self) -> frozenset[int]:
        sign = self._next()
        if sign.lower() in _CLASSES:
            held = _CLASSES[sign.lower()]
            return held if sign.islower() else _ASCII - held
        if sign in _ESCAPED:
            return frozenset((_ESCAPED[sign],))
        if self.loose and sign in "xu":
            braced = self._peek() == "{"
            end = self.text.index("}", self.at) if braced else self.at + (2 if sign == "x" else 4)
            code, self.at = int(self.text[self.at + braced : end], 16), end + braced
            return self._ascii(chr(code))
        if sign not in _PLAIN:
            raise _UnknownError
        return frozenset((ord(sign),))

    def _class(self, *, fold: bool) -> frozenset[int]:
        turned = self._peek() == "^"
        self.at += turned
        held: set[int] = set()
        first = True
        while (sign := self._next()) != "]" or first:
            first = False
            if sign == "[":
                if self._peek() == ":":
                    raise _UnknownError
                held |= self._class(fold=fold)
                continue
            if sign in "&~-" and self._peek() == sign:  # classes that are cut, or taken away
                raise _UnknownError
            low = self._escape() if sign == "\\" else self._ascii(sign)
            if self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", "-", "["):
                self.at += 1
                sign = self._next()
                high = self._escape() if sign == "\\" else self._ascii(sign)
                if len(low) != 1 or len(high) != 1:
                    raise _UnknownError
                low = frozenset(range(min(low), max(high) + 1))
            held |= low
        known = _folded(frozenset(held), fold=fold)
        return _ASCII - known if turned else known


def _folded(held: frozenset[int], *, fold: bool) -> frozenset[int]:
    if not fold:
        return held
    return frozenset(ord(case) for n in held for case in (chr(n).lower(), chr(n).upper()))


class _Assembly(Struct):
    """Lays the parts of a regex down as steps."""

    steps: list[tuple[int, int, int, int]] = field(default_factory=list)
    sets: list[frozenset[int]] = field(default_factory=list)
    most: int = _LARGEST

    def add(self, node: _Node) -> None:
        if len(self.steps) > self.most:
            raise _UnknownError
        if node.kind == "set":
            self._set(node.bytes_)
        elif node.kind == "end":
            self.steps.append((END, 0, 0, 0))
        elif node.kind == "any":
            self._choose(node.parts)
        elif node.kind == "repeat":
            self._repeat(node)
        else:
            if node.slot >= 0:
                self.steps.append((SAVE, 2 * node.slot, 0, 0))
            for part in node.parts:
                self.add(part)
            if node.slot >= 0:
                self.steps.append((SAVE, 2 * node.slot + 1, 0, 0))

    def _set(self, held: frozenset[int]) -> None:
        self.steps.append((CHAR, min(held), 0, 0) if len(held) == 1 else (SET, self._number(held), 0, 0))

    def _number(self, held: frozenset[int]) -> int:
        if held not in self.sets:
            self.sets.append(held)
        return self.sets.index(held)

    def _choose(self, parts: Sequence[_Node]) -> None:
        """The first of these that leads on."""
        jumps: list[int] = []
        for part in parts[:-1]:
            split = self._step()
            self.add(part)
            jumps.append(self._step())
            self.steps[split] = (SPLIT, split + 1, len(self.steps), 0)
        self.add(parts[-1])
        for jump in jumps:
            self.steps[jump] = (JUMP, len(self.steps), 0, 0)

    def finished(self) -> list[tuple[int, int, int, int]]:
        """All steps, those that choose with the bytes that each way may begin with: most choices are made by the next byte."""
        steps = [*self.steps, (MATCH, 0, 0, 0)]
        return [
            (what, a, b, self._begins(steps, a) | self._begins(steps, b) << 16 if what == SPLIT else c)
            for what, a, b, c in (
                (GULP if step[0] == RUN and self._gives_nothing_back(steps, n) else step[0], *step[1:])
                for n, step in enumerate(steps)
            )
        ]

    def _gives_nothing_back(self, steps: list[tuple[int, int, int, int]], at: int) -> bool:
        """Whether what follows a run begins with none of its bytes: then a shorter run is of no use."""
        behind = self._begins(steps, at + 1)
        return behind != ANY and self.sets[behind].isdisjoint(self.sets[steps[at][1]])

    def pairs(self) -> set[tuple[int, int]] | None:
        """The first two bytes of a text that fits; None where it may have fewer."""
        found: set[tuple[int, int]] = set()
        waiting, seen = [0], set[int]()
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            what, a, b, c = self.steps[at]
            if what in (END, MATCH):
                return None
            if what in (SPLIT, JUMP):
                waiting += [a, b] if what == SPLIT else [a]
                continue
            if what == SAVE or (what == RUN and not b):
                waiting.append(at + 1)
            if what == SAVE:
                continue
            behind = self._begins(self.steps, at + 1) if what != RUN or b <= 1 else None
            if behind == ANY:
                return None
            held = set(self.sets[a]) if what == RUN and c > 1 else set[int]()
            held |= self.sets[behind] if behind is not None else set()
            found |= {(one, other) for one in ({a} if what == CHAR else self.sets[a]) for other in held}
        return found

    def begins(self, start: int) -> int:
        """The number of the set of bytes with which a text begins that fits from a step on; ANY where it may be at its end."""
        return self._begins(self.steps, start)

    def _begins(self, steps: list[tuple[int, int, int, int]], start: int) -> int:
        """The number of the set of bytes with which a text begins that fits from a step on; ANY where it may be at its end."""
        held: set[int] = set()
        seen: set[int] = set()
        waiting = [start]
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            what, a, b, _ = steps[at]
            if what in (END, MATCH):
                return ANY
            if what == CHAR:
                held.add(a)
            elif what in (SET, RUN):
                held |= self.sets[a]
            if what == SPLIT:
                waiting += [a, b]
            elif what == JUMP:
                waiting.append(a)
            elif what == SAVE or (what == RUN and not b):
                waiting.append(at + 1)
        return self._number(frozenset(held))

    def _step(self) -> int:
        self.steps.append((JUMP, 0, 0, 0))
        return len(self.steps) - 1

    def _repeat(self, node: _Node) -> None:
        (body,) = node.parts
        if body.kind == "set" and node.greedy and (node.least, node.most) != (0, 1):
            self.steps.append((RUN, self._number(body.bytes_), node.least, node.most))
            return
        if body.may_be_empty:
            raise _UnknownError
        for _ in range(node.least):
            self.add(body)
        if node.most == _MOST:
            split = self._step()
            self.add(body)
            self.steps.append((JUMP, split, 0, 0))
            self._split(split, greedy=node.greedy)
            return
        splits = []
        for _ in range(node.most - node.least):
            splits.append(self._step())
            self.add(body)
        for split in splits:
            self._split(split, greedy=node.greedy)

    def _split(self, at: int, *, greedy: bool) -> None:
        """At that step go on into what follows it, or out to where the steps end now; the choice that is tried first in front."""
        self.steps[at] = (SPLIT, at + 1, len(self.steps), 0) if greedy else (SPLIT, len(self.steps), at + 1, 0)
