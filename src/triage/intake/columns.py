"""The columns that the beginnings of lines have in common, learned from the lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from triage.intake.formats import anonymous
from triage.intake.stamps import EPOCH_SHAPE, SHAPES, WHOLE, settle
from triage.intake.tokens import CLOSERS, GROUPS, NUMBER, REACH, Token, cells_of, tokens_of

ENOUGH = 3  # lines that a header is learned from
COLON = r"\s*:"
_MANY = 8  # lines from which on a bare name or a dash says where a message starts
_SHARE = 0.9  # of the lines that must agree on a column
_STEADY = 0.95  # of the lines that must agree on a column behind the last of time and level, where messages may start
# identifiers of programs: a.b.C, a::b, ALL_CAPS, camelCase, snake_case
_DOTTED = re.compile(
    r"[A-Za-z_][\w$]*(?:(?:\.|::|/|->)[\w$<>]+)+(?::[0-9]+)?|[A-Z][A-Z0-9_]+|[A-Za-z]+[a-z0-9][A-Z]\w*|[A-Za-z]\w*_\w+"
)
_RAISED = re.compile(r"(?:Error|Exception|Failure|Fault|Interrupt|Panic)$")  # opens a message, never a name's column
_QUALIFIED = re.compile(r"[A-Za-z_][\w$]*(?:(?:\.|::)[A-Za-z_$][\w$<>]*)+(?::[0-9]+)?")
_WORDS = r"[^\s\[\](){}<>|;,\"]+(?: [^\s\[\](){}<>|;,\"]+){0,3}?"
_PHRASE = re.compile(rf"({_WORDS}) - ")


class Column(Struct, frozen=True):
    """One column of a header: what it means, how a line's piece of it is matched, and an example."""

    role: str  # at, level, number, group, label, name
    regex: str
    tail: str
    opener: str = ""
    values: tuple[str, ...] = ()


def columns_of(lines: list[str], rows: list[list[Token]], words: frozenset[str]) -> list[Column] | None:
    """The columns of a header that most of these lines have, or None."""
    delimiter = _delimiter(lines, rows)
    if delimiter:
        rows = [cells_of(line, delimiter, words) for line in lines]
    width = min(REACH, max(map(len, rows)))
    anchors: dict[int, str] = {}
    level = _level_place(rows, width)
    if level is not None:
        anchors[level] = "level"
        rows = [row for row in rows if len(row) > level and row[level].kind == "level"]
    anchors |= dict.fromkeys(_stamp_places(rows, width, level), "stamp")
    if not anchors:
        return None
    last = max(anchors)
    columns: list[Column] = []
    for n in range(last + 1):
        rows = [row for row in rows if len(row) > n]
        column = _before(rows, n, anchors.get(n), delimiter)
        if column is None:
            return None
        columns.append(column)
        rows = [row for row in rows if _fits(row[n], column)]
        if len(rows) < ENOUGH:
            return None
    columns = _timed(columns)
    timed = any(c.role == "at" for c in columns)
    levels = {v.lower() for c in columns if c.role == "level" for v in c.values}
    if not timed and len(levels) < 2 and columns[0].role != "other stamp":  # one word alone may be the message's first
        return None
    columns += _behind(rows, last + 1, delimiter)
    if delimiter:  # the cells of the header end, and it may go on inside the next one
        rest = [tokens_of("".join(t.body + t.tail for t in row[len(columns) :]).lstrip()) for row in rows]
        columns += _behind(rest, 0, "")
    return columns


def _share(rows: Sequence[Sequence[Token]], n: int, test: Callable[[Token], bool]) -> float:
    return sum(1 for row in rows if len(row) > n and test(row[n])) / len(rows) if rows else 0.0


def _level_place(rows: list[list[Token]], width: int) -> int | None:
    """The column of the level: nearly every line has a level word there, or many do in the form of one that was set."""
    best: tuple[float, int] | None = None
    for n in range(width):
        found = [row[n] for row in rows if len(row) > n and row[n].kind == "level"]
        share = len(found) / len(rows)
        if not found:
            continue
        letters = sum(t.shape == "letter" for t in found)
        if letters and (letters < len(found) or share < 0.97):
            share = (len(found) - letters) / len(rows)
        set_off = sum(1 for t in found if t.body.isupper() or t.opener) >= 0.9 * len(found)
        if not set_off and len({t.body for t in found}) < 2 and any(_share(rows, k, _is_word) > 0.5 for k in range(n)):
            continue  # behind words, always the same and written like one: "TLS handshake error from"
        formal = len(found) >= _MANY and set_off
        if (share >= _SHARE or (formal and share >= 0.3)) and (best is None or share > best[0] + 0.05):
            best = share, n
    return best[1] if best else None


def _is_word(token: Token) -> bool:
    return token.kind in ("name", "label", "text")


def _stamp_places(rows: list[list[Token]], width: int, level: int | None) -> list[int]:
    """The columns of stamps, up to where a message may have begun: behind a name with a colon, or behind time and level."""
    places: list[int] = []
    for n in range(width):
        if places and ((level is not None and n > level) or n > places[-1] + 3):
            break
        if _share(rows, n, lambda t: t.kind == "stamp") >= _SHARE:
            places.append(n)
        elif places and _share(rows, n, lambda t: t.kind == "label") > 1 - _SHARE:
            break
    return places


def _before(rows: list[list[Token]], n: int, anchor: str | None, delimiter: str) -> Column | None:
    """The column n at or before the last of time and level."""
    values = tuple(row[n].body for row in rows)
    if anchor == "stamp":
        forms = Counter((row[n].shape, row[n].opener) for row in rows if row[n].kind == "stamp")
        (form, opener), many = forms.most_common(1)[0]
        return (
            Column(f"stamp {form}", "", _tail(rows, n, delimiter), opener, values) if many >= 0.8 * len(rows) else None
        )
    if anchor == "level":
        opener = _common(row[n].opener for row in rows)
        shape = _common(row[n].shape for row in rows)
        return Column("level", shape, _tail(rows, n, delimiter), opener, values)
    if delimiter:
        return Column("name", rf"[^{re.escape(delimiter)}]*", _tail(rows, n, delimiter), "", values)
    if _share(rows, n, lambda t: t.kind == "group") >= _SHARE:
        opener = _common(row[n].opener for row in rows)
        return _bracketed(opener, _tail(rows, n, delimiter), values)
    if _share(rows, n, lambda t: t.kind == "number") >= _SHARE:
        return Column("number", NUMBER, _tail(rows, n, delimiter), "", values)
    return Column("name", r"[^ \t]+?", _tail(rows, n, delimiter), "", values)


def _bracketed(opener: str, tail: str, values: tuple[str, ...]) -> Column:
    """A column in brackets, which are part of it."""
    return Column("group", GROUPS[opener], tail.removeprefix(re.escape(CLOSERS[opener])), opener, values)


def _fits(token: Token, column: Column) -> bool:
    """Whether a line's piece goes with the column: the same kind of thing with the same around it."""
    if column.role.startswith("stamp"):
        return token.kind == "stamp" and token.opener == column.opener and f"stamp {token.shape}" == column.role
    if column.role == "level":
        return token.kind == "level" and token.opener == column.opener and token.shape == column.regex
    if column.role == "group":
        return token.kind == "group" and token.opener == column.opener
    return True


def _behind(rows: list[list[Token]], first: int, delimiter: str) -> list[Column]:
    """Columns behind the last of time and level: as long as nearly all lines have what no message starts with."""
    columns: list[Column] = []
    said = {tuple(_masked(t.body) for t in row[first:]) for row in rows}
    if not delimiter and len(said) < 2 and not any(parts and _QUALIFIED.fullmatch(parts[0]) for parts in said):
        return []  # they all say the same, and no a.b.C opens it: nothing tells where the message starts
    most = _fewest_cells(rows) - 1 if delimiter else first + 6
    total = len(rows)
    for n in range(first, most):
        column = _next(rows, n, delimiter)
        if column is None or (column.role not in ("group", "number") and any(c.role == "label" for c in columns)):
            break  # behind a name with a colon, words are the message's
        columns.append(column)
        rows = [row for row in rows if len(row) > n and _fits(row[n], column)]
        if len(rows) < 0.9 * total:
            return columns[:-1]
        if column.role == "phrase":
            break
    return columns


def _masked(text: str) -> str:
    return re.sub(r"[0-9]+", "0", text)


def _next(rows: list[list[Token]], n: int, delimiter: str) -> Column | None:
    def share(test: Callable[[Token], bool]) -> float:
        return _share(rows, n, test)

    values = tuple(row[n].body for row in rows if len(row) > n)
    if not values:
        return None
    different = len({_masked(v) for v in values})
    repeats = different <= max(2, 0.5 * len(values))
    tail = _tail(rows, n, delimiter)
    if delimiter:
        kind = "number" if share(lambda t: t.kind == "number") >= _STEADY else "name"
        if share(lambda t: " " not in t.body) < _STEADY or not (kind == "number" or repeats or _alike(values)):
            return None
        return Column(kind, rf"[^{re.escape(delimiter)}]*", tail, "", values)
    if share(lambda t: t.kind == "number" and not t.tail.startswith(":")) >= 0.97:
        return Column("number", NUMBER, tail, "", values)
    if share(lambda t: t.kind == "group") >= _STEADY:
        opener = _common(row[n].opener for row in rows if len(row) > n)
        return _bracketed(opener, tail, values)
    if share(lambda t: t.kind == "label" and not _RAISED.search(t.body)) >= _STEADY and (repeats or _alike(values)):
        return Column(
            "label",
            r"[^\s\[\](){}<>|,;\"]\S*?(?:\([^()]{0,40}\))?(?:\[[^\[\]\s]{0,40}\])?",
            COLON + _blank(rows, n),
            "",
            values,
        )
    if len(values) < _MANY:  # in a few lines anything repeats
        qualified = share(lambda t: t.kind == "name" and bool(_QUALIFIED.fullmatch(t.body)) and t.tail != "") == 1.0
        return Column("name", r"[^\s\[\](){}<>|,;\"]+", tail, "", values) if qualified else None
    phrases = [_phrase(row, n) for row in rows]
    said = [p for p in phrases if p is not None]
    if len(said) >= _STEADY * len(rows) and len({re.sub(r"[0-9]+", "0", p) for p in said}) <= max(2, 0.3 * len(rows)):
        return Column("phrase", _WORDS, " -" + _blank(rows, n), "", tuple(said))
    named = share(lambda t: t.kind == "name" and bool(_DOTTED.fullmatch(t.body)) and t.tail != "")
    padded = share(lambda t: t.kind == "name" and ("  " in t.tail or "\t" in t.tail))
    if (
        repeats
        and share(lambda t: t.kind == "name") >= _STEADY
        and (named >= _STEADY or (padded >= 0.6 and different <= 0.2 * len(values)))
    ):
        return Column("name", r"[^\s\[\](){}<>|,;\"]+", tail, "", values)
    if (
        repeats
        and share(lambda t: t.kind in ("name", "text")) >= _STEADY
        and share(lambda t: t.tail.strip() == "") >= _STEADY
    ):
        follower = _next(rows, n + 1, delimiter) if n < REACH + 4 else None
        if follower is not None and (
            follower.role == "label" or (named >= 0.8 and follower.role in ("group", "phrase"))
        ):
            return Column("name", r"[^\s\[\](){}<>|,;\"]+", tail, "", values)
    return None


def _alike(values: Sequence[str]) -> bool:
    """Whether the values have the form of identifiers, whatever they are."""
    return sum(1 for v in values if _DOTTED.fullmatch(re.sub(r"[\[(].*$", "", v))) >= 0.9 * len(values)


def _phrase(row: Sequence[Token], n: int) -> str | None:
    """The few words before a dash that stands by itself."""
    found = _PHRASE.match("".join(t.opener + t.body + t.tail for t in row[n : n + 6]))
    return found[1] if found else None


def _common(values: Iterator[str]) -> str:
    return Counter(values).most_common(1)[0][0]


def _tail(rows: Sequence[Sequence[Token]], n: int, delimiter: str) -> str:
    """The regex of what stands between the column and the next one."""
    if delimiter:
        return "=" + delimiter
    tails = Counter(re.sub(r"[ \t]+", " ", row[n].tail) for row in rows if len(row) > n + 1)
    if not tails:
        return ""
    common = tails.most_common(1)[0][0]
    marks = common.strip()
    lead = r"[ \t]+" if common.startswith(" ") and marks else ""
    return lead + re.escape(marks).replace(r"\ ", r"[ \t]+") + _blank(rows, n)


def _blank(rows: Sequence[Sequence[Token]], n: int) -> str:
    """The regex of the blanks behind a column: one where more of them are not its padding, so that a message keeps its indentation."""
    ends = [(row[n].body, row[n].tail, row[n].tail.rstrip(" \t")) for row in rows if len(row) > n + 1]
    behind = [(len(body) + len(marks), len(tail) - len(marks)) for body, tail, marks in ends]
    common = Counter(blanks for _, blanks in behind).most_common(1)
    if not common or common[0][0] == 0:
        return r"[ \t]*" if common else r"[ \t]"
    wide = {size + blanks for size, blanks in behind if blanks > 1}
    # a padded column ends at one place, or behind it where its text is longer
    padded = len(wide) == 1 and all(size + blanks >= min(wide) for size, blanks in behind)
    tabbed = any(tail.endswith("\t") for _, tail, _ in ends)
    return r"[ \t]" if common[0][0] == 1 and (tabbed or not padded) else r"[ \t]+"


def _timed(columns: Sequence[Column]) -> list[Column]:
    """The columns with the one stamp that counts chosen: the first that names a moment by itself, then the most complete."""
    stamps = {n: c for n, c in enumerate(columns) if c.role.startswith("stamp ")}
    worth = {n: _worth(c) for n, c in stamps.items()}
    best = max(worth, key=lambda n: (worth[n], -n), default=None)
    return [_stamp(c, n == best) if n in stamps else c for n, c in enumerate(columns)]


def _worth(column: Column) -> int:
    shape = column.role.removeprefix("stamp ")
    if shape == EPOCH_SHAPE:
        return 3
    if shape not in WHOLE:
        return 1 if shape == "date" else 0
    zoned = sum(1 for v in column.values if re.search(r"(?:Z|[+-]\d\d:?\d\d|UTC|GMT)$", v)) > 0.5 * len(column.values)
    return 3 if zoned else 2


def _stamp(column: Column, chosen: bool) -> Column:
    shape = column.role.removeprefix("stamp ")
    if shape == EPOCH_SHAPE:
        pattern = r"[0-9]{10,19}(?:[.,][0-9]{1,9})?"
        return Column("at" if chosen else "other stamp", pattern, column.tail, column.opener, ("epoch", *column.values))
    seen = [m for v in column.values if (m := re.match(SHAPES[shape], v))]
    pattern = settle(shape, SHAPES[shape], seen)
    role = "at" if chosen and shape in WHOLE else "other stamp"
    return Column(role, anonymous(pattern), column.tail, column.opener, (pattern, *column.values))


def _delimiter(lines: Sequence[str], rows: Sequence[Sequence[Token]]) -> str:
    """The character that cuts every line into cells, or nothing."""
    for mark in ("|", "\t", ";", ","):
        behind = sum(1 for row in rows if row and any(mark in t.tail for t in row[:2]))
        tight = mark not in ",;" or sum(1 for line in lines if mark + " " in line[:60]) < 0.2 * len(lines)
        if behind >= 0.9 * len(rows) and tight and sum(line.count(mark) >= 2 for line in lines) >= _STEADY * len(lines):
            return mark
    return ""


def _fewest_cells(rows: Sequence[Sequence[Token]]) -> int:
    counts = sorted(map(len, rows))
    return counts[int(0.05 * len(counts))] if counts else 0
