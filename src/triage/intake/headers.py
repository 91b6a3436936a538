"""A header that no format knows, learned from the lines: where time, level, component and the message are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from triage.intake.columns import COLON, ENOUGH, Column, columns_of
from triage.intake.formats import Format, expand
from triage.intake.tokens import CLOSERS, Token, tokens_of

ORDER = 84  # behind every format that somebody wrote, before those that know no more than a time or a level
MOST = 6  # headers that one source may have
WIDTH = 400  # characters of a line that are looked at

_FILE = re.compile(r".*\.log\b.*|.*\.\w{1,5}:[0-9]+")
_HOST = re.compile(
    r"(?:[A-Za-z][\w-]*[0-9][\w-]*(?:\.[\w-]+)*|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[\w-]+(?:\.[\w-]+){2,})(?:[:/@].*)?"
)
_METHOD = re.compile("GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS")
_JOB = re.compile(
    r"(?i)(?:main|(?:[\w.-]*(?:thread|pool|worker|exec|handler|dispatcher|req|tid|pid|nio)[\w.-]*[-_# =:/0-9].*)|[0-9a-fx#:/ -]*)"
)
_CLASS = re.compile(r"([A-Za-z_][\w$.]*)(?:@|:)[0-9]+$")
_BLANKS = (r"[ \t]", r"[ \t]+")
_LAST_BLANK, _LAST_BLANKS = r"(?:[ \t]|$)", r"(?:[ \t]+|$)"
_WORD = r"(?P<level>[A-Za-z]{2,13}[0-9]?)"
_STAMPED = ("at", "other stamp")


class Inferred(Struct, frozen=True):
    """Formats that were learned, in the order in which they are tried, and in words what each says."""

    formats: tuple[Format, ...] = ()
    why: tuple[str, ...] = ()


class Sample(Struct, frozen=True):
    """Lines of one writer, and which of the fields at and level a header in them must have to be worth it.

    What stands inside an envelope that has a time may begin like a header and be none, unless it tells the level.
    """

    lines: Sequence[str]
    wanted: frozenset[str] = frozenset()


def infer(
    samples: Sequence[Sample],
    *,
    words: Mapping[str, str] | None = None,
    known: Callable[[Sequence[str], str], bool] | None = None,
) -> Inferred:
    """The headers of these lines, each sample by itself. `words` are level words (lower case) besides the usual ones.

    `known` says of some lines and a header's pattern that another format reads the same message out of them already.
    """
    found: dict[str, tuple[Format, str]] = {}
    for sample in samples:
        lines = [text[:WIDTH] for text in sample.lines]
        for entry, why, members in _learn(lines, frozenset(words or ())):
            if sample.wanted and sample.wanted.isdisjoint(entry.groups):
                continue
            if entry.pattern in found or (known is not None and known(members, entry.pattern)):
                continue
            name = "inferred" if not found else f"inferred-{len(found) + 1}"
            found[entry.pattern] = replace(entry, name=name, levels=words or {}), why
    formats, why_each = zip(*list(found.values())[:MOST], strict=True) if found else ((), ())
    return Inferred(formats, why_each)


def _learn(lines: list[str], words: frozenset[str]) -> Iterator[tuple[Format, str, list[str]]]:
    """Headers of the lines that begin alike, most lines first; a shorter one behind each for lines that lack its end."""
    tokens = [tokens_of(line, words) for line in lines]
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
            if len(left) < max(ENOUGH, 0.03 * len(lines)):
                break
            found = columns_of([lines[n] for n in left], [tokens[n] for n in left], words)
            if found is None:
                break
            header = _roles(_before_requests(found))
            yield from _formats(header, [lines[n] for n in left])
            matches = re.compile(_regex(header))
            rest = [n for n in left if not matches.match(lines[n])]
            if len(rest) == len(left):
                break
            left = rest


def _formats(header: Sequence[Column], lines: list[str]) -> Iterator[tuple[Format, str, list[str]]]:
    last = max(n for n, column in enumerate(header) if column.role in (*_STAMPED, "level"))
    regex = re.compile(_regex(header))
    members = [line for line in lines if regex.match(line)]
    yield _format(header, indents=_indents(regex, members)), _explain(header, len(members), len(lines)), members
    if last + 1 < len(header):
        short = header[: last + 1]
        regex = re.compile(_regex(short))
        others = [line for line in lines if regex.match(line) and line not in members]
        yield _format(short), _explain(short, len(others), len(lines)), others or members


def _indents(regex: re.Pattern[str], lines: Sequence[str]) -> bool:
    """Whether what stands behind the header is moved to the right in some lines: the same words end with one blank, or more."""
    blanks: defaultdict[str, set[int]] = defaultdict(set)
    for line in lines:
        if (found := regex.match(line)) and (head := found[0]).strip():
            words = head.rstrip(" \t")
            blanks[" ".join(words.split()[-2:])].add(len(head) - len(words))
    return any(1 in sizes and len(sizes) > 1 for sizes in blanks.values())


def _anchor(row: Sequence[Token]) -> tuple[object, ...] | None:
    """What lines of one header have in common before anything is learned: where the first stamp is, else the first level."""
    for n, token in enumerate(row[:8]):
        if token.kind == "stamp" and token.shape not in ("clock", "uptime"):
            return n, token.shape, token.opener
    for n, token in enumerate(row[:8]):
        if token.kind in ("stamp", "level") and token.shape != "letter":
            return n, token.kind, token.opener
    return None


def _before_requests(columns: Sequence[Column]) -> Sequence[Column]:
    """The columns up to one that names the method of a request: there the message begins."""
    asked = (n for n, c in enumerate(columns) if n and c.role == "name" and _many(c, _METHOD) > 0.5)
    return columns[: next(asked, len(columns))]


def _roles(columns: Sequence[Column]) -> list[Column]:
    """The columns with the component and the instance named."""
    out = list(columns)
    logger = _logger(out)
    if logger is not None:
        out[logger] = _with_role(out[logger], "logger")
        for n, column in enumerate(out):
            host = _many(column, _HOST) if column.role == "name" and _many(column, _FILE) < 0.5 else 0.0
            if host > (0.3 if n and out[n - 1].role in _STAMPED else 0.8):
                out[n] = _with_role(column, "instance")
                break
        else:
            host = logger - 1
            if (
                logger > 1
                and out[logger].tail.startswith(COLON)
                and out[host].role == "name"
                and "at" in (out[host - 1].role,)
            ):
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
    classes = [
        n
        for n, c in enumerate(columns)
        if c.role == "group" and sum(1 for v in c.values if _CLASS.search(v)) > 0.8 * len(c.values)
    ]
    for choice in (plain, classes, groups, [n for n in names if n in behind]):
        if choice:
            return choice[0]
    return None


def _many(column: Column, pattern: re.Pattern[str]) -> float:
    return sum(1 for v in column.values if pattern.fullmatch(v)) / max(1, len(column.values))


def _with_role(column: Column, role: str) -> Column:
    regex = column.regex
    if column.role == "group":
        inside = r"(?:[^\[\]]|\[[^\[\]]*\])*?" if column.opener == "[" else rf"[^{re.escape(CLOSERS[column.opener])}]*?"
        named = sum(1 for v in column.values if _CLASS.search(v)) > 0.8 * len(column.values)
        within = rf"{inside}(?P<logger>[A-Za-z_][\w$.]*)[@:][0-9]+" if named else rf"(?P<logger>{inside})"
        regex = re.escape(column.opener) + within + re.escape(CLOSERS[column.opener])
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
    if role == "logger" and tail.startswith(COLON):
        body = r"(?P<logger>[^\s\[\](){}<>|,;\"]\S*?(?:\([^()]{0,40}\))?)(?:\[[^\[\]\s]{0,40}\])?"
    elif role in ("at", "instance", "logger"):
        body = f"(?P<{role}>{body})"
    return re.escape(column.opener) + (" *" if column.opener else "") + body + tail


def _format(columns: Sequence[Column], *, indents: bool = False) -> Format:
    stamp = next((c for c in columns if c.role == "at"), None)
    pattern = _regex(columns)
    if stamp is None:  # only its level tells a header from other text
        pattern = pattern.replace(_WORD, "(?P<level>%{LEVEL})")
    pattern = expand(pattern)
    levelled = any(c.role == "level" for c in columns)
    transport = not levelled and not any(c.role in ("logger", "group", "in brackets") for c in columns)
    if (transport or indents) and pattern.endswith(_LAST_BLANKS):  # what is inside may be indented
        pattern = pattern.removesuffix(_LAST_BLANKS) + _LAST_BLANK
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
    return {
        "other stamp": "another time",
        "label": "logger",
        "phrase": "logger",
        "in brackets": "logger",
        "group": "brackets",
    }.get(column.role, column.role)
