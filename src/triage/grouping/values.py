"""What of a template surely is a value: steps that give its words with NUL for what may differ, empty what belongs to a value."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from triage.grouping.vocabulary import BOOLEANS, LINKING, NAMED, NAMING, PARTS, SAYING, SAYING_END, TELLING

MOST_QUOTED = 3  # words in quotes that are a value; more of them may say something
FIELDS = 4  # fields (a=1) from which on a record is a dump of a state, whose fields are values

# A template is words and the marks between them; a value hides in a word.
_PIECE = re.compile(r"<[a-z*]+>|[A-Za-z0-9]+")
_SIGNED = re.compile(r"(?:(?<![A-Za-z])[-+*#~@]+)?<[a-z*]+>|\*{3,}")
_HEX = re.compile(r"\b(?:(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{6,}|[a-f]{8})\b")
_LETTER = re.compile(r"(?<=\x00_)[a-z](?=_\x00)")  # inside of an id
_CODE = re.compile(r"[A-Z]{1,5}[0-9]{1,5}[A-Z]?|[vV][0-9]+")
_DISK = re.compile(r"(?:[shv]d|xvd)[a-z]{1,2}[0-9]{0,2}")
_AXIS = re.compile(r"[a-z][+-]")
_CHANGES = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_NAME = re.compile(r"[A-Za-z][\w.@$+-]*")
_WORDS = re.compile(r"[A-Za-z]{2,}")
# names with parts: /var/lib/x, C:\x\y (its drive is a word of its own), a.b.c, R24-M0-J18
_PATH = re.compile(r"(?:[\w.~*-]*[/\\]+|\.{1,2}[/\\])[^/\\]*(?:[/\\].*)?")
_DOTTED = re.compile(r"[\w$<][\w$<>*-]*(?:[./][\w$<>*+-]+){2,}\.?")
_PACKAGE = re.compile(r"(?:com|org|net|io|java|javax|android)(?:\.[\w$<>*-]+)+[:/]?")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}")
_PLACE = re.compile(r"[A-Z]{1,5}[0-9]{1,5}(?:-[A-Z0-9]{1,6})+")
_DOMAIN = re.compile(r"(?:com|org|net|io|java|javax|android)\.")
_FILE = re.compile(r"[\w<>*.~-]*<[\w<>*.~-]*\.[a-z][a-z0-9]{1,5}")
_MIXED = re.compile(r"[\w.~@#+:/$-]*\x00[\w\x00.~@#+:/$-]*")  # letters and a value in one word
_PLURAL = re.compile(r"[A-Za-z]{2,}[^\W\dsui_]s")
_QUOTES = "\"'"
_OPENING, _CLOSING = "([{" + _QUOTES, ")]}" + _QUOTES


def find_values(atoms: list[str], _: list[str]) -> list[str]:
    """Placeholders; a numbered file in several folders is one file; true and false; fields of a dump."""
    keys = list(map(_value, atoms))
    for n, atom in enumerate(atoms):
        if atom.lower() in BOOLEANS and not _tells(atoms, n):
            keys[n] = "\x00"
        elif _PLURAL.fullmatch(atom) and "\x00" in keys[max(0, n - 6) : n] and not _names_field(atoms, n):
            keys[n] = atom[:-1]  # 1 time, 2 times
    for n in range(1, len(atoms) - 2):
        if atoms[n] == "{" and keys[n + 1] == "\x00" and atoms[n + 2] == " " and (end := _end(atoms, n, n + 1)):
            at, place = end
            keys[n + 2 : at] = [""] * (at - n - 2)  # Window{92848aa u0 StatusBar}
            keys[at] = atoms[at][place:]
    if sum("=" in key for key in keys) < FIELDS:
        return keys
    for n in range(2, len(atoms)):
        if _is_field(keys, n):
            _find_field(atoms, keys, n)
    return keys


def _find_field(atoms: list[str], keys: list[str], n: int) -> None:
    """Make the word at n a value, and what its quotes and brackets hold part of it."""
    end = _end(atoms, n - 1, n)
    if end:
        at, place = end
        keys[n - 1] = keys[n - 1].rstrip(_OPENING)
        keys[n + 1 : at] = [""] * (at - n - 1)
        keys[at] = atoms[at][place + 1 :]
    if end or atoms[n - 1].strip() == "=":
        keys[n] = "\x00"


def _end(atoms: list[str], opening: int, first: int) -> tuple[int, int] | None:
    """Where brackets and quotes that open before a value, or directly behind its first word, are closed again: word and letter.

    What they hold is part of the value (tag="a b", ws=Source{7 x}), unless it tells what happened.
    """
    held = [one for one in atoms[opening].lstrip(" =") if one in _OPENING]
    if not held and (first + 1 >= len(atoms) or atoms[first + 1][0] not in "{(["):
        return None
    quoted = bool(held) and held[0] in _QUOTES
    for at in range(first + 1, len(atoms), 2):
        for place, one in enumerate(atoms[at]):
            if one in _OPENING and not (held and held[-1] in _QUOTES):
                held.append(one)
            elif held and one in _CLOSING and (one == held[-1] or not {one, held[-1]} & set(_QUOTES)):
                held.pop()
            if not held:
                told = any(atoms[n][:1] in "=:" and atoms[n - 1].lower() in TELLING for n in range(first + 1, at, 2))
                return None if told or (quoted and at > first + 2 * MOST_QUOTED) else (at, place)
    return None


@lru_cache(maxsize=65_536)
def _value(atom: str) -> str:
    key = _HEX.sub("\x00", _SIGNED.sub("\x00", atom))
    if "\x00" not in key:
        return atom
    key = key.rstrip("…")
    key = _LETTER.sub("\x00", key) if key.count("\x00") > 1 else key.removesuffix(".") if key.endswith("\x00.") else key
    return _file(key) if key.count("/") > 2 and "\x00" in key else key


def _file(key: str) -> str:
    """A path as its first folder and its file, where a number and letters name the file."""
    first, *_, last = key.lstrip("/").split("/")
    return f"/{first}/\x00/{last}" if "\x00" in last and _WORDS.search(last) else key


def _names_field(atoms: list[str], n: int) -> bool:
    return n + 1 < len(atoms) and atoms[n + 1][0] == "="


def _is_field(keys: list[str], n: int) -> bool:
    return n >= 2 and keys[n - 1].strip(" \"'([{") == "=" and keys[n - 2].lower() not in TELLING


def _tells(atoms: list[str], n: int) -> bool:
    """Whether the word before says what happened."""
    before = atoms[n - 2].lower() if n >= 2 else ""
    return before not in LINKING and (before in TELLING or before in SAYING)


def find_fields(atoms: list[str], keys: list[str]) -> list[str]:
    """Fields (a=1) wherever they stand, however few, and those of a list of many (a: 1, b: 2)."""
    found = list(keys)
    for n in range(2, len(atoms)):
        if keys[n] and _is_field(atoms, n) and _WORDS.search(atoms[n]):
            _find_field(atoms, found, n)
    listed = [n for n in range(2, len(atoms)) if _is_listed(atoms, n)]
    for n in listed if len(listed) >= FIELDS else ():
        if _WORDS.search(atoms[n]):
            found[n] = "\x00"
    return found


def _is_listed(atoms: list[str], n: int) -> bool:
    if atoms[n - 1] not in (":", ": ") or (n + 1 < len(atoms) and atoms[n + 1] != ", "):
        return False
    return n >= 4 and atoms[n - 3] == ", " and atoms[n - 2].lower() not in TELLING


def find_names(rows: Iterable[list[str]], kept: Collection[str]) -> frozenset[str]:
    """Words that stand behind one that says what they name ("user ann", "host=web"): elsewhere they are names as well."""
    found: set[str] = set()
    for atoms in rows:
        for at in range(2, len(atoms)):
            if atoms[at - 2].lower() in NAMING:
                name, mark = atoms[at], atoms[at - 1].strip("\"'")
                field = mark == "=" and name.lower() not in SAYING
                if "<" in name or field or (mark in (" ", ":", ": ") and may_be_name(name, kept)):
                    found.add(name)
    return frozenset(name for name in found if name.lower() not in kept)


def replace_names(atoms: list[str], keys: list[str], names: frozenset[str]) -> list[str]:
    """The names."""
    if names.isdisjoint(atoms):
        return keys
    return ["\x00" if atom in names else key for atom, key in zip(atoms, keys, strict=True)]


def find_numbered(atoms: list[str], keys: list[str]) -> list[str]:
    """Numbers in words; several codes like A1 in one record."""
    codes = [n for n, atom in enumerate(atoms) if _is_code(atom)]
    found = list(map(_number, keys))
    if len(codes) > 1:
        for n in codes:
            found[n] = "\x00"
    return found


@lru_cache(maxsize=65_536)
def _is_code(atom: str) -> bool:
    return _CODE.fullmatch(atom) is not None and atom.rstrip("0123456789").lower() not in PARTS


@lru_cache(maxsize=65_536)
def _number(atom: str) -> str:
    """The word with NUL for each piece that may be a value; an error code is none, nor is a single version."""
    if _is_code(atom):
        return atom
    return (
        "\x00" if _AXIS.fullmatch(atom) or _DISK.fullmatch(atom) else _PIECE.sub(lambda found: _piece(found[0]), atom)
    )


def _piece(piece: str) -> str:
    if piece.startswith("<"):
        return "\x00"
    if piece.isalpha() or piece.isdigit() or piece.lower() in NAMED or piece[0] in "vV":
        return piece
    changes = _CHANGES.split(piece)
    if len(changes) == 2 and changes[0].isalpha():
        return piece if changes[0].lower() in TELLING else changes[0] + "\x00" if len(changes[0]) > 1 else "\x00"
    return "\x00"


def find_bracketed(atoms: list[str], keys: list[str]) -> list[str]:
    """Addresses in brackets with the port behind them ([<ip>]:443); names of several in one (node-[1-3])."""
    found = list(keys)
    for at in range(1, len(atoms) - 1):
        if atoms[at] == "<ip>" and atoms[at - 1].endswith("[") and atoms[at + 1].startswith("]:"):
            found[at - 1 : at + 2] = keys[at - 1][:-1], keys[at], keys[at + 1][1:]
        elif at > 1 and atoms[at - 1] == "[" and atoms[at - 2].endswith("-"):
            end = next((n for n in range(at + 1, len(atoms), 2) if atoms[n] not in (" ", ",")), len(atoms))
            if end < len(atoms) and atoms[end][0] == "]" and not "".join(keys[at:end:2]).strip("\x00-"):
                found[at - 2] += "\x00"
                found[at - 1 : end] = [""] * (end - at + 1)
                found[end] = atoms[end][1:]
    return found


def find_structured(atoms: list[str], keys: list[str], kept: frozenset[str]) -> list[str]:
    """Paths, dotted names, hosts with the port behind them, places in a rack, ids of several numbers."""
    keys = list(keys)
    for at, atom in enumerate(atoms):
        if kept and _names_kept(atom.lower(), kept):
            continue
        port = at + 2 < len(atoms) and atoms[at + 1] == ":" and atoms[at + 2][:1] in "0123456789<"
        if len(atom) > 3 and (_is_structured(atom) or (port and _HOST.fullmatch(atom))):
            keys[at] = "\x00"
            if port:
                keys[at + 2] = "\x00"
        elif keys[at].count("\x00") > 1 and _MIXED.fullmatch(keys[at]):
            keys[at] = "\x00"
    return keys


def find_mixed(atoms: list[str], keys: list[str], kept: frozenset[str], *, parted: bool = False) -> list[str]:
    """Names that hold a number, whatever their letters; `parted`: only where it is a part of its own (rdd_<num>, not en0)."""
    keys = list(keys)
    for at, key in enumerate(keys):
        mixed = (
            len(key) > 2 and "\x00" in key and _MIXED.fullmatch(key) is not None and (not parted or "<" in atoms[at])
        )
        if mixed and not (kept and _names_kept(atoms[at].lower(), kept)):
            keys[at] = "\x00"
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
    if not _PATH.fullmatch(atom) and not _DOTTED.fullmatch(atom) and not _PACKAGE.fullmatch(atom):
        return False
    if "/" in atom and not re.search(r"^[/.~]|[/\\].*[/\\]|[.<\\]", atom):
        return False  # and/or, text/html
    end = re.split(r"[./\\]", atom.rstrip("./\\"))[-1]
    return not SAYING_END.search(end) and (end.lower() not in SAYING or _DOMAIN.match(atom) is not None)


def find_ports(atoms: list[str], keys: list[str]) -> list[str]:
    """Numbers of ports."""
    keys = list(keys)
    for at in range(2, len(atoms)):
        if atoms[at].rstrip(".").isdigit() and (
            atoms[at - 2].lower() in ("port", "ports") or (atoms[at - 2].endswith("<ip>") and atoms[at - 1][-1] == ":")
        ):
            keys[at] = "\x00"
        elif atoms[at - 2].endswith("<ip>") and atoms[at - 1][-1] == ":" and atoms[at][:1].isdigit():
            keys[at] = re.sub(r"^\d+", "\x00", atoms[at])  # 80/healthz
    return keys


def may_be_name(atom: str, kept: Collection[str]) -> bool:
    """Whether it is a plain word that says nothing of what happened."""
    if not _NAME.fullmatch(atom) or _CODE.fullmatch(atom) or atom.isupper():
        return False
    word = atom.strip(".")
    return len(word) > 1 and word.lower() not in SAYING and word.lower() not in kept and not SAYING_END.search(word)
