"""A line of text as its pieces: stamps, levels, numbers, names, what stands in brackets, and what separates them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from triage.intake.levels import WORDS
from triage.intake.stamps import EPOCH_SHAPE, SHAPES

REACH = 12  # tokens in which time and level are looked for
CLOSERS = {"[": "]", "(": ")", "<": ">", "{": "}", '"': '"', "'": "'", "*": "", "": ""}
GROUPS = {
    "[": r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]",
    "(": r"\((?:[^()]|\([^()]*\))*\)",
    "<": r"<[^<>]*>",
    "{": r"\{[^{}]*\}",
}
NUMBER = r"#?[0-9]+"
# words that mean a level to a logger but are just words in a text
_LEVELS = frozenset(w for w in WORDS if len(w) > 1) - {
    *("ok", "log", "note", "config", "success", "normal", "detail", "hint", "statement", "exception"),
}
_LETTERS = frozenset("VDIWEFCTN")
_LEVEL = re.compile(r"([A-Za-z]{1,13}[1-5]?)(?=$|[\s\])}>|:,;\"\-\[(])")
_STAMPS = {name: re.compile(pattern + r"(?![0-9A-Za-z])") for name, pattern in SHAPES.items() if name != "uptime"}
_EPOCH = re.compile(r"([0-9]{10}(?:[.,][0-9]{1,9})?|[0-9]{13}|[0-9]{16}|[0-9]{19})(?=$|[\s\])}>|:,;\"\-])")
_UPTIME = re.compile(SHAPES["uptime"] + r"(?=\])")
_EPOCHS = (946_684_800, 2_208_988_800)  # 2000 to 2040
_GROUP = {opener: re.compile(pattern) for opener, pattern in GROUPS.items()}
_NAME = re.compile(
    r"[^\s\[\](){}<>|,;\":][^\s\[\](){}<>|,;\"]*?(?:\([\w. -]{0,40}\))?(?:\[[\w./:-]{0,40}\])?(?=:?(?:[\s|,;)\]}>]|$))"
)
_JOINED = re.compile(r"[^\[\]()/|]*[/|]([A-Z]{3,13})")  # thread and level in one pair of brackets
_TAIL = re.compile(r"[\])}>\"']?(?:[ \t]*[|,;:]+|[ \t]+(?:-{1,3}|–|—|=>|>)(?=[ \t]|$))?[ \t]*")


class Token(Struct, frozen=True):
    """A piece of a line: what it is, the bracket before it, its text, what stands behind it up to the next one."""

    kind: str  # stamp, level, number, group, label (a name and a colon), name, text
    shape: str
    opener: str
    body: str
    tail: str
    end: int


def tokens_of(line: str, words: frozenset[str] = frozenset()) -> list[Token]:
    """The first pieces of the line; `words` are level words besides the usual ones."""
    out: list[Token] = []
    at = len(line) - len(line.lstrip(" \t"))
    while at < len(line) and len(out) < REACH + 6:
        token = _token(line, at, words)
        out.append(token)
        at = token.end
    return out


def _token(line: str, at: int, words: frozenset[str]) -> Token:
    opener = line[at] if line[at] in "[(<{\"'*" else ""
    inside = at + len(opener)
    while inside < len(line) and line[inside] == " ":
        inside += 1
    for kind, shape, end in _typed(line, inside, words):
        return _made(line, kind, shape, opener, inside, end)
    if opener in _GROUP and (group := _GROUP[opener].match(line, at)):
        joined = _JOINED.fullmatch(line, at + 1, group.end() - 1)
        if joined and joined[1].lower() in (_LEVELS | words):
            return replace(_made(line, "level", "joined", opener, at + 1, group.end() - 1), body=joined[1])
        return _made(line, "group", "", opener, at + 1, group.end() - 1)
    if named := _NAME.match(line, at):
        kind = "number" if re.fullmatch(NUMBER, named[0]) else "name"
        token = _made(line, kind, "", "", at, named.end())
        return replace(token, kind="label") if kind == "name" and token.tail.lstrip().startswith(":") else token
    end = at + 1
    while end < len(line) and not line[end].isspace():
        end += 1
    return _made(line, "text", "", "", at, end)


def _typed(line: str, at: int, words: frozenset[str]) -> Iterator[tuple[str, str, int]]:
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
    if (found := _LEVEL.match(line, at)) and (
        found[1].lower() in _LEVELS or found[1].lower() in words or found[1] in _LETTERS
    ):
        yield "level", "letter" if len(found[1]) == 1 else "word", found.end()


def _made(line: str, kind: str, shape: str, opener: str, start: int, end: int) -> Token:
    tail = _TAIL.match(line, end)
    stop = tail.end() if tail else end
    return Token(kind, shape, opener, line[start:end], line[end:stop], max(stop, start + 1))


def cells_of(line: str, delimiter: str, words: frozenset[str] = frozenset()) -> list[Token]:
    """The cells of a line that a delimiter cuts, each as one piece."""
    out = []
    at = 0
    for cell in line.split(delimiter)[: REACH + 6]:
        body = cell.strip(" ")
        token = _token(body, 0, words) if body else Token("name", "", "", "", "", 0)
        whole = token.opener + token.body + CLOSERS[token.opener] == body
        at += len(cell) + 1
        opener = token.opener if whole else ""
        kind = token.kind if whole and token.kind != "group" else "name" if " " not in body else "text"
        out.append(Token(kind, token.shape if whole else "", opener, token.body if whole else cell, delimiter, at))
    return out
