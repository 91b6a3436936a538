"""Near-equal templates become one: those that differ only in what is surely a value."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations
from sys import intern

import polars as pl
from msgspec import Struct

from triage.grouping.values import (
    find_bracketed,
    find_fields,
    find_mixed,
    find_names,
    find_numbered,
    find_ports,
    find_structured,
    find_values,
    may_be_name,
    replace_names,
)
from triage.grouping.vocabulary import EMPTY

ANY = "<*>"
SEVERAL = 3  # variants of a path, a dotted name or a host before it is a value
PORTS = 5  # variants of the number behind "port" before it is one of a connection, not of a service
MANY = 12  # variants of a plain word before it is a value
CODES = 5  # variants of a code before it is a value: words of the same few capitals, as of currencies and airports
CROSSED = 6  # templates that differ in two words, each with each, before both are values
LONGEST = 120  # words; longer templates are folded by what is no plain word only

_ATOM = re.compile(r"[\s=,;:()\[\]{}\"'|]+|[^\s=,;:()\[\]{}\"'|]+")
_MARK = re.compile(r"[^\w\x00<>]+")
_PLACEHOLDER = re.compile(r"<[a-z*]+>")
_LETTERED = re.compile(r"[A-Za-z]")
_WORDS = re.compile(r"[A-Za-z]{2,}")
_COMPOUND = re.compile(r"\w[._-]\w|<")
_NUMBERED = re.compile(r"[A-Za-z][\w.-]*(?:<(?:num|id|uuid)>[\w.-]*)+")
_RUNS = frozenset({" ", ":", ",", ", ", "; ", " , "})

Row = tuple[list[str], list[str]]  # the words of a template, and its keys
Step = Callable[[list[str], list[str]], list[str]]  # words and the keys of the step before -> keys


class Care(Struct, frozen=True):
    """How many variants it takes before a plain word, a compound one (order-service) and a structured name is a value.

    `fields`: whether each field of a record is one.
    """

    many: int = MANY
    compound: int = MANY
    several: int = SEVERAL
    fields: bool = False


CAREFUL = Care()
PLAIN = Care(many=5, compound=3, several=2, fields=True)  # for records that tell of no failure


def fold(templates: pl.DataFrame, *, keep: Collection[str] = (), care: Care = CAREFUL) -> dict[str, str]:
    """What each template that is one of several near-equal ones becomes; templates that stay are not in it.

    `templates` has a column `template`; the order of its rows and their counts change nothing. Two templates become
    one only where they have the same words but for values: placeholders, true and false, numbered names (node1, node2),
    names that other templates call names and fields of a dump at once; paths, dotted names, hosts and names that hold a
    number of which there are SEVERAL; numbers of ports of which there are PORTS; at one or two places a plain word of which
    there are `care.many`, or two words each with each; and a word more where there are SEVERAL already. Words in `keep`
    (names of services, say), numbers that the masks kept, verbs, states and types of exceptions are never values.
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

    steps: list[Step] = [find_values]
    known: dict[str, Row] = {}  # rows as the step before left them: each step is taken once for each template
    apply(_fold_same(_rows(folded, known, steps), 2))
    names = find_names(left(), kept)
    for step, least in (
        (lambda atoms, keys: replace_names(atoms, keys, names), 2),
        (find_bracketed, 2),
        (find_numbered, 2),
        *(((find_fields, 2), (find_ports, 2)) if care.fields else ()),
        (lambda atoms, keys: find_structured(atoms, keys, kept), care.several),
        (lambda atoms, keys: find_mixed(atoms, keys, kept, parted=True), care.several),
        (lambda atoms, keys: find_mixed(atoms, keys, kept), SEVERAL),
        (find_ports, PORTS),
    ):
        steps.append(step)
        apply(_fold_same(_rows(folded, known, steps), least))
    known.clear()
    for _ in range(2):
        words = _fold_words(left(), kept, care)
        if not words:
            break
        apply(words)
    apply(_absorb(left(), _variants(folded), kept))
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
            known[text] = atoms, _step(steps[-1], atoms, keys)
        else:
            atoms = _words(text)
            keys = atoms
            for step in steps:
                keys = _step(step, atoms, keys)
            known[text] = atoms, keys
    for text in known.keys() - set(left):
        del known[text]
    return [known[text] for text in left]


def _step(step: Step, atoms: list[str], keys: list[str]) -> list[str]:
    """The keys after one more step: what is part of a value stays part of it."""
    after = step(atoms, keys)
    return after if "" not in keys else [new if old else "" for old, new in zip(keys, after, strict=True)]


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
        one = "".join(
            _starred(k) if not s or (k != a and (k == f"{a}\x00" or _MARK.fullmatch(k))) else a
            for a, s, k in zip(group[0], same, shared, strict=False)
        )
        folded.update({whole: one for whole in wholes if whole != one})
    return folded


def _without_runs(keys: list[str], atoms: list[str]) -> tuple[list[str], list[str]]:
    """Both lists with what adds nothing left out: parts of a value, a value told again in brackets, all but one of a list.

    How many values there were says nothing.
    """
    keys = _without_asides(keys)
    again = {n for n in range(2, len(keys)) if "\x00" in keys[n] and keys[n] == keys[n - 2] and keys[n - 1] in _RUNS}
    if not again and "" not in keys:
        return keys, atoms
    kept = [n for n in range(len(keys)) if keys[n] and n not in again and n + 1 not in again]
    return [keys[n] for n in kept], [atoms[n] for n in kept]


def _without_asides(keys: list[str]) -> list[str]:
    """Keys with one value where another stands behind it in brackets, or nothing: 4096 bytes (4 KB), 10.0.0.1 (a.example)."""
    if not any("(" in key for key in keys):
        return keys
    keys = list(keys)
    for n in range(1, len(keys)):
        if "(" not in keys[n] or "\x00" not in keys[n - 1]:
            continue
        if keys[n].lstrip().startswith("()"):
            keys[n] = keys[n].lstrip()[2:]
        elif keys[n].lstrip() == "(" and n + 2 < len(keys) and "\x00" in keys[n + 1] and keys[n + 2][:1] == ")":
            keys[n] = keys[n + 1] = ""
            keys[n + 2] = keys[n + 2][1:]
    return keys


def _starred(key: str) -> str:
    return re.sub(r"\x00+", ANY, key)


# ------------------------------------------------------------------------------------ what is one word of many


def _fold_words(rows: Sequence[list[str]], kept: frozenset[str], care: Care) -> dict[str, str]:
    """Templates that differ in one word of many become one, and those that differ in two words, each with each.

    Each template takes part in one such fold.
    """
    usable: dict[str, bool] = {}
    hashes: dict[int, list[int]] = {}
    alike: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    for number, atoms in enumerate(rows):
        if not 5 <= len(atoms) <= LONGEST:
            continue
        hashes[number] = [hash((at, atom)) for at, atom in enumerate(atoms)]
        total = sum(hashes[number])
        for at, atom in enumerate(atoms):
            if atom not in usable:
                usable[atom] = may_be_name(atom, kept) or _is_code(atom) or _is_numbered(atom, kept)
            if usable[atom]:
                alike[len(atoms), at, total - hashes[number][at]].append(number)
    places: defaultdict[int, list[int]] = defaultdict(list)  # of a template: where it differs from another one
    found: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for (_, at, _), numbers in alike.items():
        for number in numbers if len(numbers) > 1 else ():
            if not _is_code(rows[number][at]):
                places[number].append(at)
            if len(numbers) >= min(
                care.many, care.compound, CODES
            ):  # by the words themselves: hashes chose the candidates
                found[_starred_at(rows[number], (at,))].append(number)
    found = defaultdict(
        list, {one: numbers for one, numbers in found.items() if len(numbers) >= _least(one, numbers, rows, care)}
    )
    for one, numbers in _crossed(rows, places, hashes).items():
        found.setdefault(one, numbers)
    folded: dict[str, str] = {}
    taken: set[int] = set()
    for one, numbers in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        free = [n for n in numbers if n not in taken]
        if len(free) == len(numbers) or len(free) >= _least(one, free, rows, care):
            taken.update(free)
            folded.update({"".join(rows[n]): "".join(one) for n in free})
    return folded


def _least(one: Sequence[str], numbers: Sequence[int], rows: Sequence[list[str]], care: Care) -> int:
    """How many templates it takes that differ in one word: fewer where all of the words are codes or compounds."""
    places = [at for at, atom in enumerate(one) if atom == ANY and any(rows[n][at] != ANY for n in numbers)]
    if len(places) != 1:
        return care.many
    words = {rows[n][places[0]] for n in numbers}
    if all(map(_COMPOUND.search, words)):
        return care.compound
    if not any(map(_is_code, words)):
        return care.many
    return min(care.many, CODES) if all(map(_is_code, words)) and len(set(map(len, words))) == 1 else len(rows) + 1


def _is_numbered(word: str, kept: frozenset[str]) -> bool:
    """Whether it is a name with a number of its own in it (console-consumer-<num>)."""
    return _NUMBERED.fullmatch(word) is not None and kept.isdisjoint(_WORDS.findall(word.lower()))


def _is_code(word: str) -> bool:
    """Whether a word may be one of a list of codes."""
    return 2 <= len(word) <= 4 and word.isalpha() and word.isupper()


def _crossed(
    rows: Sequence[list[str]], places: Mapping[int, list[int]], hashes: Mapping[int, list[int]]
) -> dict[tuple[str, ...], list[int]]:
    """Templates that differ in two words of which most stand with most others: what is said does not, values do."""
    pairs: defaultdict[tuple[int, int, int, int], list[int]] = defaultdict(list)
    for number, ats in places.items():
        total = sum(hashes[number])
        for one, other in combinations(sorted(ats), 2) if len(ats) <= CROSSED else ():
            pairs[len(rows[number]), one, other, total - hashes[number][one] - hashes[number][other]].append(number)
    found: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for (_, one, other, _), numbers in pairs.items():
        for number in numbers if len(numbers) >= CROSSED else ():
            found[_starred_at(rows[number], (one, other))].append(number)
    crossed = {}
    for template, numbers in found.items():
        one, other = (at for at, atom in enumerate(template) if atom == ANY and rows[numbers[0]][at] != ANY)
        kinds = len({rows[n][one] for n in numbers}), len({rows[n][other] for n in numbers})
        if min(kinds) > 1 and len(numbers) >= CROSSED and 3 * len(numbers) >= 2 * kinds[0] * kinds[1]:
            crossed[template] = numbers
    return crossed


def _starred_at(atoms: Sequence[str], places: Collection[int]) -> tuple[str, ...]:
    return tuple(ANY if at in places else atom for at, atom in enumerate(atoms))


# ---------------------------------------------------------------------------------- what stands where a value stands


def _variants(folded: Mapping[str, str]) -> dict[str, frozenset[int]]:
    """Of templates that stand for several: the places at which these have SEVERAL words of letters."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for text, now in folded.items():
        if text != now:
            members[now].append(text)
    found = {}
    for now, texts in members.items():
        atoms = _words(now)
        columns = zip(*(one for one in map(_words, texts) if len(one) == len(atoms)), strict=True)
        found[now] = frozenset(
            at
            for at, (atom, column) in enumerate(zip(atoms, columns, strict=False))
            if atom == ANY
            and sum(_LETTERED.search(_PLACEHOLDER.sub("", word)) is not None for word in set(column)) >= SEVERAL
        )
    return {now: places for now, places in found.items() if places}


def _absorb(rows: Sequence[list[str]], variants: Mapping[str, frozenset[int]], kept: Collection[str]) -> dict[str, str]:
    """Templates that have another word where a template stands for SEVERAL words: it is one more value."""
    shapes: defaultdict[int, defaultdict[frozenset[int], dict[tuple[str, ...], str]]]
    shapes = defaultdict(lambda: defaultdict(dict))
    for text in sorted(variants):
        atoms = _words(text)
        shapes[len(atoms)][variants[text]][_starred_at(atoms, variants[text])] = text
    folded = {}
    for atoms in rows:
        for places, known in shapes[len(atoms)].items() if len(atoms) in shapes else ():
            into = known.get(_starred_at(atoms, places))
            if into and "".join(atoms) != into and all(_is_one_more(atoms[at], kept) for at in places):
                folded["".join(atoms)] = into
                break
    return folded


def _is_one_more(atom: str, kept: Collection[str]) -> bool:
    return (
        atom == ANY
        or (len(atom) == 1 and atom.isalpha())
        or _PLACEHOLDER.search(atom) is not None
        or atom.lower() in EMPTY
        or may_be_name(atom, kept)
        or ("." in atom[1:-1] and _LETTERED.search(atom) is not None)
    )
