"""A header that no format knows, learned from the lines: where time, level, component and the message are."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from triage.intake.formats import Format, anonymous, expand
from triage.intake.levels import WORDS
from triage.intake.stamps import EPOCH_SHAPE, SHAPES, WHOLE, settle

ORDER = 84  # behind every format that somebody wrote, before those that know no more than a time or a level
MOST = 6  # headers that one source may have
_ENOUGH = 3  # lines that a header is learned from
_SHARE = 0.9  # of the lines that must agree on a column
_STEADY = 0.95  # of the lines that must agree on a column behind the last of time and level, where messages may start
_REACH = 12  # tokens in which time and level are looked for
_WIDTH = 400  # characters of a line that are looked at

_LEVELS = frozenset(w for w in WORDS if len(w) > 1) - {"ok", "log", "note", "config", "success", "normal", "detail", "hint", "statement", "exception"}  # fmt: skip
_LETTERS = frozenset("VDIWEFCTN")
_LEVEL = re.compile(r"([A-Za-z]{1,13}[1-5]?)(?=$|[\s\])}>|:,;\"\-\[(])")
_STAMPS = {name: re.compile(pattern + r"(?![0-9A-Za-z])") for name, pattern in SHAPES.items() if name != "uptime"}
_EPOCH = re.compile(r"([0-9]{10}(?:[.,][0-9]{1,9})?|[0-9]{13}|[0-9]{16}|[0-9]{19})(?=$|[\s\])}>|:,;\"\-])")
_UPTIME = re.compile(SHAPES["uptime"] + r"(?=\])")
_EPOCHS = (946_684_800, 2_208_988_800)  # 2000 to 2040
_CLOSERS = {"[": "]", "(": ")", "<": ">", "{": "}", '"': '"', "'": "'", "*": "", "": ""}
_GROUPS = {
    "[": r"\[(?:[^\[\]]|\[[^\[\]]*\]){0,200}\]",
    "(": r"\((?:[^()]|\([^()]*\)){0,200}\)",
    "<": r"<[^<>]{0,200}>",
    "{": r"\{[^{}]{0,200}\}",
}
_GROUP = {opener: re.compile(pattern) for opener, pattern in _GROUPS.items()}
_NAMED = r"[^\s\[\](){}<>|,;\":][^\s\[\](){}<>|,;\"]*?(?:\([\w. -]{0,40}\))?(?:\[[\w./:-]{0,40}\])?"
_NAME = re.compile(_NAMED + r"(?=:?(?:[\s|,;)\]}>]|$))")
_JOINED = re.compile(r"[^\[\]()/|]*[/|]([A-Z]{3,13})")  # thread and level in one pair of brackets
_TAIL = re.compile(r"[\])}>\"']?(?:[ \t]*[|,;:]+|[ \t]+(?:-{1,3}|–|—|=>|>)(?=[ \t]|$))?[ \t]*")
_NUMBER = re.compile(r"#?[0-9]+")
_DOTTED = re.compile(r"[A-Za-z_][\w$]*(?:(?:\.|::|/|->)[\w$<>]+)+(?::[0-9]+)?|[A-Z][A-Z0-9_]+|[A-Za-z]+[a-z0-9][A-Z]\w*|[A-Za-z]\w*_\w+")
_FILE = re.compile(r".*\.log\b.*|.*\.\w{1,5}:[0-9]+")
_HOST = re.compile(r"(?:[A-Za-z][\w-]*[0-9][\w-]*(?:\.[\w-]+)*|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[\w-]+(?:\.[\w-]+){2,})(?:[:/@].*)?")
_BLANKS = (r"[ \t]", r"[ \t]+")
_COLON = r"\s*:"
_WORD = r"(?P<level>[A-Za-z]{2,13}[0-9]?)"
_ATTACHED = r"(?:\([^()]{0,40}\))?(?:\[[^\[\]\s]{0,40}\])?"
_JOB = re.compile(r"(?i)(?:main|(?:[\w.-]*(?:thread|pool|worker|exec|handler|dispatcher|req|tid|pid|nio)[\w.-]*[-_# =:/0-9].*)|[0-9a-fx#:/ -]*)")
_CLASS = re.compile(r"([A-Za-z_][\w$.]*)(?:@|:)[0-9]+$")
_WORDS = r"[^\s\[\](){}<>|;,\"]+(?: [^\s\[\](){}<>|;,\"]+){0,3}?"
_PHRASE = re.compile(rf"({_WORDS}) - ")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a line: what it is, the bracket before it, its text, what stands behind it up to the next one."""

    kind: str  # stamp, level, number, group, label (a name and a colon), name, text
    shape: str
    opener: str
    body: str
    tail: str
    end: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a header: what it means, how a line's piece of it is matched, and an example."""

    role: str  # at, level, number, group, label, name
    regex: str
    tail: str
    opener: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inferred:
    """Formats that were learned, in the order in which they are tried, and in words what each says."""

    formats: tuple[Format, ...] = ()
    why: tuple[str, ...] = ()


def infer(samples: Sequence[Sequence[str]], *, known: Callable[[Sequence[str], str], bool] | None = None) -> Inferred:
    """The headers of these lines, each sample (one writer's lines) by itself.

    `known` says of some lines and a header's pattern that another format reads the same message out of them already.
    """
    found: dict[str, tuple[Format, str]] = {}
    for sample in samples:
        lines = [text[:_WIDTH] for text in sample]
        for entry, why, members in _learn(lines):
            if entry.pattern in found or (known is not None and known(members, entry.pattern)):
                continue
            name = "inferred" if not found else f"inferred-{len(found) + 1}"
            found[entry.pattern] = replace(entry, name=name), why
            if len(found) >= MOST:
                break
    return Inferred(tuple(f for f, _ in found.values()), tuple(w for _, w in found.values()))


def _learn(lines: list[str]) -> Iterator[tuple[Format, str, list[str]]]:
    """Headers of the lines that begin alike, most lines first; a shorter one behind each for lines that lack its end."""
    tokens = [_tokens(line) for line in lines]
    kinds: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for n, row in enumerate(tokens):
        key = _anchor(row)
        if key is not None:
            kinds[key].append(n)
    for key, members in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[1][0])):
        # a date or a level word further back may stand in messages; in few lines that says nothing
        if len(members) < (0.6 if key[1] == "level" else 0.3 if key[0] else 0) * len(lines):
            continue
        left = members
        for _ in range(3):
            if len(left) < max(_ENOUGH, 0.03 * len(lines)):
                break
            header = _header([lines[n] for n in left], [tokens[n] for n in left])
            if header is None:
                break
            yield from _formats(header, [lines[n] for n in left])
            matches = re.compile(_regex(header))
            rest = [n for n in left if not matches.match(lines[n])]
            if len(rest) == len(left):
                break
            left = rest


def _formats(header: Sequence[Column], lines: list[str]) -> Iterator[tuple[Format, str, list[str]]]:
    last = max(n for n, column in enumerate(header) if column.role in ("at", "level"))
    regex = re.compile(_regex(header))
    members = [line for line in lines if regex.match(line)]
    yield _format(header), _explain(header, len(members), len(lines)), members
    if last + 1 < len(header):
        short = header[: last + 1]
        regex = re.compile(_regex(short))
        others = [line for line in lines if regex.match(line) and line not in members]
        yield _format(short), _explain(short, len(others), len(lines)), others or members


# ---------------------------------------------------------------------------------------------------------- the pieces


def _tokens(line: str) -> list[Token]:
    out: list[Token] = []
    at = len(line) - len(line.lstrip(" \t"))
    while at < len(line) and len(out) < _REACH + 6:
        token = _token(line, at)
        out.append(token)
        at = token.end
    return out


def _token(line: str, at: int) -> Token:
    opener = line[at] if line[at] in "[(<{\"'*" else ""
    inside = at + len(opener)
    while inside < len(line) and line[inside] == " ":
        inside += 1
    for kind, shape, end in _typed(line, inside):
        return _made(line, kind, shape, opener, inside, end)
    if opener in _GROUP and (group := _GROUP[opener].match(line, at)):
        joined = _JOINED.fullmatch(line, at + 1, group.end() - 1)
        if joined and joined[1].lower() in _LEVELS:
            return replace(_made(line, "level", "joined", opener, at + 1, group.end() - 1), body=joined[1])
        return _made(line, "group", "", opener, at + 1, group.end() - 1)
    if named := _NAME.match(line, at):
        kind = "number" if _NUMBER.fullmatch(named[0]) else "name"
        token = _made(line, kind, "", "", at, named.end())
        return replace(token, kind="label") if kind == "name" and token.tail.lstrip().startswith(":") else token
    end = at + 1
    while end < len(line) and not line[end].isspace():
        end += 1
    return _made(line, "text", "", "", at, end)


def _typed(line: str, at: int) -> Iterator[tuple[str, str, int]]:
    """The stamp or level that starts there."""
    head = line[at : at + 1]
    if head.isdigit() or head.isupper():
        if at and line[at - 1] in "[ " and "[" in line[:at] and (found := _UPTIME.match(line, at)):
            yield "stamp", "uptime", found.end()
            return
        for name, pattern in _STAMPS.items():
            if found := pattern.match(line, at):
                yield "stamp", name, found.end()
                return
        if (found := _EPOCH.match(line, at)) and _EPOCHS[0] <= int(found[1][:10]) < _EPOCHS[1]:
            yield "stamp", EPOCH_SHAPE, found.end()
            return
    if (found := _LEVEL.match(line, at)) and (found[1].lower() in _LEVELS or found[1] in _LETTERS):
        yield "level", "letter" if len(found[1]) == 1 else "word", found.end()


def _made(line: str, kind: str, shape: str, opener: str, start: int, end: int) -> Token:
    tail = _TAIL.match(line, end)
    stop = tail.end() if tail else end
    return Token(kind, shape, opener, line[start:end], line[end:stop], max(stop, start + 1))


def _anchor(row: Sequence[Token]) -> tuple[object, ...] | None:
    """What lines of one header have in common before anything is learned: where the first stamp is, else the first level."""
    for n, token in enumerate(row[:8]):
        if token.kind == "stamp" and token.shape not in ("clock", "uptime"):
            return n, token.shape, token.opener
    for n, token in enumerate(row[:8]):
        if token.kind in ("stamp", "level") and token.shape != "letter":
            return n, token.kind, token.opener
    return None


# ---------------------------------------------------------------------------------------------------------- the columns


def _header(lines: list[str], rows: list[list[Token]]) -> list[Column] | None:
    """The columns of a header that most of these lines have, or None."""
    delimiter = _delimiter(lines, rows)
    if delimiter:
        rows = [_cells(line, delimiter) for line in lines]
    width = min(_REACH, max(map(len, rows)))
    anchors: dict[int, str] = {}
    level = _level_place(rows, width)
    if level is not None:
        anchors[level] = "level"
        rows = [row for row in rows if len(row) > level and row[level].kind == "level"]
    stamps = [n for n in range(width) if _share(rows, n, lambda t: t.kind == "stamp") >= _SHARE]
    anchors |= dict.fromkeys(stamps, "stamp")
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
        if len(rows) < _ENOUGH:
            return None
    columns = _timed(columns)
    if not any(c.role == "level" or c.role == "at" for c in columns):
        return None
    columns += _behind(rows, last + 1, delimiter)
    if delimiter and not columns[-1].tail.startswith("=" + delimiter):  # the cells end, and lines may go on inside the last
        rest = [_tokens("".join(t.body + t.tail for t in row[len(columns) :])) for row in rows]
        columns += _behind(rest, 0, "")
    return _roles(columns)


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
        formal = sum(1 for t in found if t.body.isupper() or t.opener or n == 1) >= 0.9 * len(found)
        if (share >= _SHARE or (formal and share >= 0.3)) and (best is None or share > best[0] + 0.05):
            best = share, n
    return best[1] if best else None


def _before(rows: list[list[Token]], n: int, anchor: str | None, delimiter: str) -> Column | None:
    """The column n at or before the last of time and level."""
    values = tuple(row[n].body for row in rows)
    if anchor == "stamp":
        shape, many = Counter((row[n].shape, row[n].opener) for row in rows if row[n].kind == "stamp").most_common(1)[0]
        if many < 0.8 * len(rows):
            return None
        return Column(f"stamp {shape[0]}", "", _tail(rows, n, delimiter), shape[1], values)
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
        return Column("number", _NUMBER.pattern, _tail(rows, n, delimiter), "", values)
    return Column("name", r"[^ \t]+?", _tail(rows, n, delimiter), "", values)


def _bracketed(opener: str, tail: str, values: tuple[str, ...]) -> Column:
    """A column in brackets, which are part of it."""
    return Column("group", _GROUPS[opener], tail.removeprefix(re.escape(_CLOSERS[opener])), opener, values)


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
    most = _fewest_cells(rows) - 1 if delimiter else first + 6
    total = len(rows)
    for n in range(first, most):
        column = _next(rows, n, delimiter)
        if column is None:
            break
        columns.append(column)
        rows = [row for row in rows if len(row) > n and _fits(row[n], column)]
        if len(rows) < 0.9 * total:
            return columns[:-1]
        if column.role == "phrase":
            break
    return columns


def _next(rows: list[list[Token]], n: int, delimiter: str) -> Column | None:
    def share(test: Callable[[Token], bool]) -> float:
        return _share(rows, n, test)

    values = tuple(row[n].body for row in rows if len(row) > n)
    if not values:
        return None
    different = len({re.sub(r"[0-9]+", "0", v) for v in values})
    repeats = different <= max(2, 0.5 * len(values))
    tail = _tail(rows, n, delimiter)
    if delimiter:
        kind = "number" if share(lambda t: t.kind == "number") >= _STEADY else "name"
        if share(lambda t: " " not in t.body) < _STEADY or not (kind == "number" or repeats or _alike(values)):
            return None
        return Column(kind, rf"[^{re.escape(delimiter)}]*", tail, "", values)
    if share(lambda t: t.kind == "number" and not t.tail.startswith(":")) >= 0.97:
        return Column("number", _NUMBER.pattern, tail, "", values)
    if share(lambda t: t.kind == "group") >= _STEADY:
        opener = _common(row[n].opener for row in rows if len(row) > n)
        return _bracketed(opener, tail, values)
    if share(lambda t: t.kind == "label") >= _STEADY and (repeats or _alike(values)):
        return Column("label", r"[^\s\[\](){}<>|,;\"]\S*?(?:\([^()]{0,40}\))?(?:\[[^\[\]\s]{0,40}\])?", _COLON + _blank(rows, n), "", values)
    phrases = [_phrase(row, n) for row in rows]
    said = [p for p in phrases if p is not None]
    if len(said) >= _STEADY * len(rows) and len({re.sub(r"[0-9]+", "0", p) for p in said}) <= max(2, 0.3 * len(rows)):
        return Column("phrase", _WORDS, " -" + _blank(rows, n), "", tuple(said))
    named = share(lambda t: t.kind == "name" and bool(_DOTTED.fullmatch(t.body)) and t.tail != "")
    padded = share(lambda t: t.kind == "name" and ("  " in t.tail or "\t" in t.tail))
    if repeats and share(lambda t: t.kind == "name") >= _STEADY and (named >= _STEADY or (padded >= 0.6 and different <= 0.2 * len(values))):
        return Column("name", r"[^\s\[\](){}<>|,;\"]+", tail, "", values)
    if repeats and share(lambda t: t.kind in ("name", "text")) >= _STEADY and share(lambda t: t.tail.strip() == "") >= _STEADY:
        follower = _next(rows, n + 1, delimiter) if n < _REACH + 4 else None
        if follower is not None and (follower.role == "label" or named >= 0.8 and follower.role in ("group", "phrase")):
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
    """The regex of the blanks behind a column: one where it is always one, so that a message keeps its indentation."""
    widths = Counter(len(t) - len(t.rstrip(" \t")) for row in rows if len(row) > n + 1 for t in (row[n].tail,))
    if not widths or widths.most_common(1)[0][0] == 0:
        return r"[ \t]*" if widths else r"[ \t]"
    tabbed = sum(1 for row in rows if len(row) > n + 1 and row[n].tail.endswith("\t"))
    one = widths.most_common(1)[0][0] == 1
    return r"[ \t]" if one and (len(widths) == 1 or tabbed) else r"[ \t]+"


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


def _cells(line: str, delimiter: str) -> list[Token]:
    out = []
    at = 0
    for cell in line.split(delimiter)[: _REACH + 6]:
        body = cell.strip(" ")
        token = _token(body, 0) if body else Token("name", "", "", "", "", 0)
        whole = token.opener + token.body + _CLOSERS[token.opener] == body
        at += len(cell) + 1
        opener = token.opener if whole else ""
        kind = token.kind if whole and token.kind != "group" else "name" if " " not in body else "text"
        out.append(Token(kind, token.shape if whole else "", opener, token.body if whole else cell, delimiter, at))
    return out


def _fewest_cells(rows: Sequence[Sequence[Token]]) -> int:
    counts = sorted(map(len, rows))
    return counts[int(0.05 * len(counts))] if counts else 0


# -------------------------------------------------------------------------------------------------------- what they mean


def _roles(columns: Sequence[Column]) -> list[Column]:
    """The columns with the component and the instance named."""
    out = list(columns)
    logger = _logger(out)
    if logger is not None:
        out[logger] = _with_role(out[logger], "logger")
        for n, column in enumerate(out):
            host = _many(column, _HOST) if column.role == "name" and _many(column, _FILE) < 0.5 else 0.0
            if host > (0.3 if n and out[n - 1].role in ("at", "other stamp") else 0.8):
                out[n] = _with_role(column, "instance")
                break
        else:
            host = logger - 1
            if logger > 1 and out[logger].tail.startswith(_COLON) and out[host].role == "name" and "at" in (out[host - 1].role,):
                out[host] = _with_role(out[host], "instance")
    return out


def _logger(columns: Sequence[Column]) -> int | None:
    """The column that names the component: one with a colon, else the name next behind the level, else a bracket with a class."""
    level = next((n for n, c in enumerate(columns) if c.role == "level"), None)
    anchor = level if level is not None else next((n for n, c in enumerate(columns) if c.role == "at"), 0)
    for role in ("label", "phrase"):
        if (found := next((n for n, c in enumerate(columns) if c.role == role), None)) is not None:
            return found
    behind = [n for n, c in enumerate(columns) if c.role == "name" and n > anchor]
    before = [n for n, c in enumerate(columns) if c.role == "name" and n < anchor]
    if level is None:
        before.reverse()
    names = [n for n in (*behind, *reversed(before)) if _many(columns[n], _JOB) < 0.5]
    plain = [n for n in names if _many(columns[n], _HOST) < 0.5 and len(set(columns[n].values)) > 1]
    groups = [n for n, c in enumerate(columns) if c.role == "group" and _many(c, _JOB) < 0.5]
    classes = [n for n, c in enumerate(columns) if c.role == "group" and sum(1 for v in c.values if _CLASS.search(v)) > 0.8 * len(c.values)]
    for choice in (plain, classes, groups, [n for n in names if n in behind]):
        if choice:
            return choice[0]
    return None


def _many(column: Column, pattern: re.Pattern[str]) -> float:
    return sum(1 for v in column.values if pattern.fullmatch(v)) / max(1, len(column.values))


def _with_role(column: Column, role: str) -> Column:
    regex = column.regex
    if column.role == "group":
        inside = r"(?:[^\[\]]|\[[^\[\]]*\]){0,200}?" if column.opener == "[" else rf"[^{re.escape(_CLOSERS[column.opener])}]{{0,200}}?"
        named = sum(1 for v in column.values if _CLASS.search(v)) > 0.8 * len(column.values)
        within = rf"{inside}(?P<logger>[A-Za-z_][\w$.]*)[@:][0-9]+" if named else rf"(?P<logger>{inside})"
        regex = re.escape(column.opener) + within + re.escape(_CLOSERS[column.opener])
        return Column("in brackets", regex, column.tail, "", column.values)
    return Column(role, regex, column.tail, column.opener, column.values)


def _regex(columns: Sequence[Column]) -> str:
    """The pattern of the header: columns one behind the other, what they mean as named groups."""
    out = [r"[ \t]*"] if columns[0].role != "at" else []
    for n, column in enumerate(columns):
        out.append(_piece(column, n + 1 == len(columns)))
    return "".join(out)


def _piece(column: Column, last: bool) -> str:
    role, body, tail = column.role, column.regex, column.tail
    if tail.startswith("="):
        mark = re.escape(tail[1:])
        tail = rf" *(?:{mark} ?|$)" if last else rf" *{mark} *"
    elif tail.endswith(_BLANKS):
        bare, blanks = tail.removesuffix("+").removesuffix(r"[ \t]"), "+" if tail.endswith("+") else ""
        tail = rf"{bare}(?:[ \t]{blanks}|$)" if last else rf"{bare}[ \t]+"
    if role in ("group", "in brackets"):
        return body + tail
    if role == "level":
        body = {"letter": r"(?P<level>[A-Z])", "joined": r"[^\[\]()/|]*[/|](?P<level>[A-Z]{3,13})"}.get(body, _WORD)
    if role == "logger" and tail.startswith(_COLON):
        body = r"(?P<logger>[^\s\[\](){}<>|,;\"]\S*?)" + _ATTACHED
    elif role in ("at", "instance", "logger"):
        body = f"(?P<{role}>{body})"
    return re.escape(column.opener) + (" *" if column.opener else "") + body + tail


def _format(columns: Sequence[Column]) -> Format:
    stamp = next((c for c in columns if c.role == "at"), None)
    pattern = _regex(columns)
    if stamp is None:  # only its level tells a header from other text
        pattern = pattern.replace(_WORD, "(?P<level>%{LEVEL})")
    pattern = expand(pattern)
    levelled = any(c.role == "level" for c in columns)
    transport = not levelled and not any(c.role in ("logger", "group", "in brackets") for c in columns)
    return Format(
        name="inferred",
        title="a header learned from the lines",
        kind="text",
        order=ORDER,
        pattern=pattern,
        groups=tuple(re.findall(r"\(\?P<(\w+)>", pattern)),
        times=() if stamp is None else stamp.values[:1],
        unwraps=transport,
        header="own" if levelled else "plain",
    )


def _explain(columns: Sequence[Column], matched: int, tried: int) -> str:
    return f"{' · '.join(_in_words(c) for c in columns)} · message, learned from {matched} of {tried} lines"


def _in_words(column: Column) -> str:
    if column.role == "at":
        return "time"
    return {"other stamp": "another time", "label": "logger", "phrase": "logger", "in brackets": "logger", "group": "brackets"}.get(
        column.role, column.role
    )
