"""Near-equal templates become one: those that differ only in what is surely a value."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from sys import intern

import polars as pl

from triage.grouping.vocabulary import NAMED, NAMING, SAYING, SAYING_END, TELLING

ANY = "<*>"
SEVERAL = 3  # variants of a path, a dotted name or a host before it is a value
PORTS = 5  # variants of the number behind "port" before it is one of a connection, not of a service
MANY = 12  # variants of a plain word before it is a value
FIELDS = 4  # fields (a=1) from which on a record is a dump of a state, whose fields are values
LONGEST = 120  # words; longer templates are folded by what is no plain word only

# A template is words and the marks between them; a value hides in a word.
_ATOM = re.compile(r"[\s=,;:()\[\]{}\"'|]+|[^\s=,;:()\[\]{}\"'|]+")
_MARK = re.compile(r"[\s=,;:()\[\]{}\"'|]")
_PIECE = re.compile(r"<[a-z*]+>|[A-Za-z0-9]+")
_PLACEHOLDER = re.compile(r"<[a-z*]+>")
_SIGNED = re.compile(r"[-+*#~@]*<[a-z*]+>|\*{3,}")
_HEX = re.compile(r"\b(?:(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{6,}|[a-f]{8})\b")
_LETTER = re.compile(r"(?<=\x00_)[a-z](?=_\x00)")  # inside of an id
_CODE = re.compile(r"[A-Z]{1,5}[0-9]{1,5}[A-Z]?|[vV][0-9]+")
_AXIS = re.compile(r"[a-z][+-]")
_CHANGES = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_NAME = re.compile(r"[A-Za-z][\w.@$+-]*")
_WORDS = re.compile(r"[A-Za-z]{2,}")
_QUOTED = re.compile(r"([\w.]+)(\s*[=:]\s*\")[^\"]*\"")
# names with parts: /var/lib/x, C:\x\y (its drive is a word of its own), a.b.c, R24-M0-J18
_PATH = re.compile(r"(?:[\w.~*-]*[/\\]+|\.{1,2}[/\\])[^/\\]*(?:[/\\].*)?")
_DOTTED = re.compile(r"[\w$<][\w$<>*-]*(?:[./][\w$<>*+-]+){2,}\.?")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}")
_PLACE = re.compile(r"[A-Z]{1,5}[0-9]{1,5}(?:-[A-Z0-9]{1,6})+")
_DOMAIN = re.compile(r"(?:com|org|net|io|java|javax|android)\.")
_FILE = re.compile(r"[\w<>*.~-]*<[\w<>*.~-]*\.[a-z][a-z0-9]{1,5}")
_RUNS = frozenset({" ", ":", ",", ", ", "; ", " , "})

Row = tuple[list[str], list[str]]  # the words of a template, and its keys
Step = Callable[[list[str], list[str]], list[str]]  # words and the keys of the step before -> keys


def fold(templates: pl.DataFrame, *, keep: Collection[str] = ()) -> dict[str, str]:
    """What each template that is one of several near-equal ones becomes; templates that stay are not in it.

    `templates` has a column `template`; the order of its rows and their counts change nothing. Two templates become
    one only where they have the same words but for values: placeholders, numbered names (node1, node2), names that other
    templates call names and fields of a dump at once; paths, dotted names and hosts of which there are SEVERAL; numbers
    of ports of which there are PORTS; at one or two places a plain word of which there are MANY. Words in `keep` (names of services, say),
    numbers that the masks kept, verbs, states and types of exceptions are never values.
    """
    texts = templates["template"].drop_nulls().unique().sort().to_list()
    kept = frozenset(word.lower() for word in keep)
    folded = {text: text for text in texts}

    def apply(step: dict[str, str]) -> None:
        if step:
            for text, now in folded.items():
                folded[text] = step.get(now, now)

    def left() -> list[list[str]]:
        return [_words(text) for text in sorted(set(folded.values()))]

    steps: list[Step] = [_valued]
    known: dict[str, Row] = {}  # rows as the step before left them: each step is taken once for each template
    apply(_fold_same(_rows(folded, known, steps), 2))
    names = _names(left(), kept)
    for step, least in (
        (lambda atoms, keys: _named(atoms, keys, names), 2),
        (_numbered, 2),
        (lambda atoms, keys: _structured(atoms, keys, kept), SEVERAL),
        (_ported, PORTS),
    ):
        steps.append(step)
        apply(_fold_same(_rows(folded, known, steps), least))
    known.clear()
    for _ in range(2):
        words = _fold_words(left(), kept)
        if not words:
            break
        apply(words)
    return {text: now for text, now in folded.items() if now != text}


def _words(text: str) -> list[str]:
    """Words and the marks between them; each word is held once, for templates share most of theirs."""
    return list(map(intern, _ATOM.findall(text)))


def _rows(folded: Mapping[str, str], known: dict[str, Row], steps: Sequence[Step]) -> list[Row]:
    """The templates that are left, with their keys after the last step: what was known before it, taken one step further."""
    left = sorted(set(folded.values()))
    for text in left:
        if text in known:
            atoms, keys = known[text]
            known[text] = atoms, steps[-1](atoms, keys)
        else:
            atoms = _words(text)
            keys = atoms
            for step in steps:
                keys = step(atoms, keys)
            known[text] = atoms, keys
    for text in known.keys() - set(left):
        del known[text]
    return [known[text] for text in left]


def _fold_same(rows: Iterable[Row], least: int) -> dict[str, str]:
    """Templates whose keys are equal word by word become one, where there are at least so many of them."""
    candidates: defaultdict[int, list[Row]] = defaultdict(list)
    for atoms, keys in rows:
        if any("\x00" in key for key in keys):  # without a value in it a template is like no other
            candidates[hash(tuple(_without_runs(keys, atoms)[0]))].append((atoms, keys))
    groups: defaultdict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for alike in candidates.values():
        for atoms, keys in alike if len(alike) >= least else ():
            one_key, shorter = _without_runs(keys, atoms)
            groups[tuple(one_key)].append([*shorter, "".join(atoms)])
    folded = {}
    for shared, group in groups.items():
        if len(group) < least:
            continue
        *columns, wholes = zip(*group, strict=True)
        same = [len(set(column)) == 1 for column in columns]
        if not any(s and _WORDS.search(_PLACEHOLDER.sub("", a)) for s, a in zip(same, group[0], strict=False)):
            continue
        one = "".join(a if s else _starred(k) for a, s, k in zip(group[0], same, shared, strict=False))
        folded.update({whole: one for whole in wholes if whole != one})
    return folded


def _without_runs(keys: list[str], atoms: list[str]) -> tuple[list[str], list[str]]:
    """Both lists with one of the values of a list: how many there were says nothing."""
    again = {n for n in range(2, len(keys)) if "\x00" in keys[n] and keys[n] == keys[n - 2] and keys[n - 1] in _RUNS}
    if not again:
        return keys, atoms
    kept = [n for n in range(len(keys)) if n not in again and n + 1 not in again]
    return [keys[n] for n in kept], [atoms[n] for n in kept]


def _starred(key: str) -> str:
    return re.sub(r"\x00+", ANY, key)


# ------------------------------------------------------------------------------------- what surely is a value
# Each step gives a template's words with NUL for what may differ, and takes in what the step before it does.


def _valued(atoms: list[str], _: list[str]) -> list[str]:
    """Placeholders; a numbered file in several folders is one file; fields of a dump."""
    return _undumped(list(map(_value, atoms)))


@lru_cache(maxsize=65_536)
def _value(atom: str) -> str:
    key = _HEX.sub("\x00", _SIGNED.sub("\x00", atom))
    if "\x00" not in key:
        return atom
    key = _LETTER.sub("\x00", key.rstrip("…")) if key.count("\x00") > 1 else key.rstrip("…")
    return _file(key) if key.count("/") > 2 and "\x00" in key else key


def _file(key: str) -> str:
    """A path as its first folder and its file, where a number and letters name the file."""
    first, *_, last = key.lstrip("/").split("/")
    return f"/{first}/\x00/{last}" if "\x00" in last and _WORDS.search(last) else key


def _undumped(keys: list[str]) -> list[str]:
    """The keys; of a record with many fields each value is one, but for those of fields that say what happened."""
    if sum("=" in key for key in keys) < FIELDS:
        return keys
    return [
        "\x00" if n >= 2 and keys[n - 1].strip() == "=" and keys[n - 2].lower() not in TELLING else key
        for n, key in enumerate(keys)
    ]


def _names(rows: Iterable[list[str]], kept: Collection[str]) -> frozenset[str]:
    """Words that stand behind one that says what they name ("user ann", "host=web"): elsewhere they are names as well."""
    found: set[str] = set()
    for atoms in rows:
        for at in range(2, len(atoms)):
            if atoms[at - 2].lower() in NAMING:
                name, mark = atoms[at], atoms[at - 1].strip("\"'")
                field = mark == "=" and name.lower() not in SAYING
                if "<" in name or field or (mark in (" ", ":", ": ") and _may_be_name(name, kept)):
                    found.add(name)
    return frozenset(name for name in found if name.lower() not in kept)


def _named(atoms: list[str], keys: list[str], names: frozenset[str]) -> list[str]:
    if names.isdisjoint(atoms):
        return keys
    return ["\x00" if atom in names else key for atom, key in zip(atoms, keys, strict=True)]


def _numbered(atoms: list[str], keys: list[str]) -> list[str]:
    codes = [n for n, atom in enumerate(atoms) if _is_code(atom)]
    found = list(map(_number, keys))
    if len(codes) > 1:
        for n in codes:
            found[n] = "\x00"
    return found


@lru_cache(maxsize=65_536)
def _is_code(atom: str) -> bool:
    return _CODE.fullmatch(atom) is not None


@lru_cache(maxsize=65_536)
def _number(atom: str) -> str:
    """The word with NUL for each piece that may be a value; an error code is none, nor is a single version."""
    if _CODE.fullmatch(atom):
        return atom
    return "\x00" if _AXIS.fullmatch(atom) else _PIECE.sub(lambda found: _piece(found[0]), atom)


def _piece(piece: str) -> str:
    if piece.startswith("<"):
        return "\x00"
    if piece.isalpha() or piece.isdigit() or piece.lower() in NAMED or piece[0] in "vV":
        return piece
    changes = _CHANGES.split(piece)
    if len(changes) == 2 and changes[0].isalpha():
        return piece if changes[0].lower() in TELLING else changes[0] + "\x00" if len(changes[0]) > 1 else "\x00"
    return "\x00"


def _structured(atoms: list[str], keys: list[str], kept: frozenset[str]) -> list[str]:
    """Paths, dotted names, hosts with the port behind them, and places in a rack."""
    keys = list(keys)
    for at, atom in enumerate(atoms):
        if len(atom) < 4 or (kept and _names_kept(atom.lower(), kept)):
            continue
        port = at + 2 < len(atoms) and atoms[at + 1] == ":" and atoms[at + 2][:1] in "0123456789<"
        if _is_structured(atom) or (port and _HOST.fullmatch(atom)):
            keys[at] = "\x00"
            if port:
                keys[at + 2] = "\x00"
    return keys


def _names_kept(atom: str, kept: frozenset[str]) -> bool:
    """Whether a host in it is one of the names that are kept."""
    if _DOMAIN.match(atom) or ("/" in atom and not atom.startswith("//")):
        return False
    return not kept.isdisjoint(_WORDS.findall(atom.lstrip("/").split("/")[0]))


@lru_cache(maxsize=65_536)
def _is_structured(atom: str) -> bool:
    if _PLACE.fullmatch(atom) or _FILE.fullmatch(atom):
        return True
    if not _PATH.fullmatch(atom) and not _DOTTED.fullmatch(atom):
        return False
    if "/" in atom and not re.search(r"^[/.~]|[/\\].*[/\\]|[.<\\]", atom):
        return False  # and/or, text/html
    end = re.split(r"[./\\]", atom.rstrip("./\\"))[-1]
    return not SAYING_END.search(end) and (end.lower() not in SAYING or _DOMAIN.match(atom) is not None)


def _ported(atoms: list[str], keys: list[str]) -> list[str]:
    """Numbers of ports."""
    keys = list(keys)
    for at in range(2, len(atoms)):
        if atoms[at].isdigit() and atoms[at - 2].lower() in ("port", "ports"):
            keys[at] = "\x00"
    return keys


# ------------------------------------------------------------------------------------ what is one word of many


def _fold_words(rows: Sequence[list[str]], kept: Collection[str]) -> dict[str, str]:
    """Templates that differ in one word, of which there are MANY, become one; each takes part in one such fold."""
    places: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    usable: dict[str, bool] = {}
    for number, atoms in enumerate(rows):
        if not 5 <= len(atoms) <= LONGEST:
            continue
        hashes = [hash((at, atom)) for at, atom in enumerate(atoms)]
        total = sum(hashes)
        for at, atom in enumerate(atoms):
            if atom not in usable:
                usable[atom] = _may_be_name(atom, kept)
            if usable[atom]:
                places[len(atoms), at, total - hashes[at]].append(number)
    found: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for (_, at, _), numbers in places.items():
        if len(numbers) >= MANY:
            for number in numbers:  # by the words themselves: hashes only chose the candidates
                atoms = rows[number]
                found[*atoms[:at], ANY, *atoms[at + 1 :]].append(number)
    folded: dict[str, str] = {}
    taken: set[int] = set()
    for one, numbers in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        free = [n for n in numbers if n not in taken]
        if len(free) >= MANY:
            taken.update(free)
            folded.update({"".join(rows[n]): "".join(one) for n in free})
    return folded


def _may_be_name(atom: str, kept: Collection[str]) -> bool:
    if not _NAME.fullmatch(atom) or _CODE.fullmatch(atom) or atom.isupper():
        return False
    word = atom.strip(".")
    return len(word) > 1 and word.lower() not in SAYING and word.lower() not in kept and not SAYING_END.search(word)
