"""Near-equal templates become one: those that differ only in what is surely a value."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import polars as pl

ANY = "<*>"
SEVERAL = 4  # variants of a numbered name (node1, node2, ...) before it is a value
MANY = 20  # variants of a plain word before it is a value
LONGEST = 60  # tokens; longer templates are folded by their numbered names only

_PIECE = re.compile(r"<[a-z*]+>|[A-Za-z0-9]+")
_CODE = re.compile(r"[A-Z]{1,5}[0-9]{1,5}[A-Z]?|[vV][0-9]+")
_CHANGES = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_WORD = re.compile(r"[\"'(\[]*[A-Za-z][\w.@-]*[\"')\],.:;]*")
# Words with a number in them that are names of things, not one of many.
_NAMED = frozenset(
    [
        "utf8",
        "utf16",
        "utf32",
        "s3",
        "ec2",
        "ipv4",
        "ipv6",
        "h2",
        "h3",
        "http2",
        "http3",
        "x86",
        "x64",
        "x509",
        "sha1",
        "sha224",
        "sha256",
        "sha384",
        "sha512",
        "md5",
        "base64",
        "base32",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "k8s",
        "i18n",
        "l10n",
        "oauth1",
        "oauth2",
        "log4j",
        "mp3",
        "mp4",
        "h264",
        "tls1",
        "ssl3",
        "python2",
        "python3",
        "psycopg2",
        "psycopg3",
        "urllib3",
        "boto3",
        "jinja2",
        "sqlite3",
        "md4",
        "sm2",
        "route53",
        "web3",
        "p50",
        "p90",
        "p95",
        "p99",
    ]
)
# What a record says happened, or how: two of these are two different messages, however many there are.
_SAYING = frozenset(
    [
        "up",
        "down",
        "on",
        "off",
        "yes",
        "no",
        "true",
        "false",
        "ok",
        "none",
        "null",
        "nil",
        "start",
        "stop",
        "pause",
        "resume",
        "open",
        "close",
        "read",
        "write",
        "get",
        "put",
        "post",
        "delete",
        "patch",
        "head",
        "options",
        "trace",
        "debug",
        "info",
        "notice",
        "warn",
        "warning",
        "error",
        "critical",
        "fatal",
        "alert",
        "success",
        "failure",
        "fail",
        "pass",
        "timeout",
        "active",
        "inactive",
        "idle",
        "ready",
        "pending",
        "healthy",
        "unhealthy",
        "enable",
        "disable",
        "allow",
        "deny",
        "accept",
        "reject",
        "add",
        "remove",
        "create",
        "update",
        "insert",
        "select",
        "drop",
        "alter",
        "begin",
        "commit",
        "rollback",
        "abort",
        "kill",
        "exit",
        "enter",
        "leave",
        "connect",
        "disconnect",
        "login",
        "logout",
        "retry",
        "skip",
        "hit",
        "miss",
        "lock",
        "unlock",
        "before",
        "after",
        "too",
        "not",
        "and",
        "or",
        "for",
        "from",
        "with",
        "without",
        "to",
        "in",
        "at",
        "by",
        "of",
        "is",
        "was",
        "has",
        "the",
        "a",
        "an",
    ]
)
_SAYING_END = re.compile(
    r"(?:ed|ing|en|able|ible|ful|less|Error|Exception|Failure|Warning|Timeout|Fault|Exit|Interrupt)$"
)


def fold(templates: pl.DataFrame, *, keep: Collection[str] = ()) -> dict[str, str]:
    """What each template that is one of several near-equal ones becomes; templates that stay are not in it.

    `templates` has a column `template`; the order of its rows and their counts change nothing. Two templates become
    one only where they have the same tokens but for values: numbered names and ids of which there are SEVERAL, or at
    one or two places a plain word of which there are MANY. Words in `keep` (names of services, say), numbers that the
    masks kept, verbs, states and types of exceptions are never values.
    """
    texts = templates["template"].drop_nulls().unique().sort().to_list()
    folded = _fold_numbered(texts)
    kept = {word.lower() for word in keep}
    for _ in range(2):
        step = _fold_words(sorted({folded.get(t, t) for t in texts}), kept)
        if not step:
            break
        folded = {t: step.get(folded.get(t, t), folded.get(t, t)) for t in texts}
    return {t: f for t, f in folded.items() if f != t}


def _fold_numbered(texts: Sequence[str]) -> dict[str, str]:
    """Templates of one skeleton become one."""
    skeletons: dict[str, str] = {}
    groups: defaultdict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for text in texts:
        tokens = text.split(" ")
        for token in tokens:
            if token not in skeletons:
                skeletons[token] = _skeleton(token)
        groups[tuple(skeletons[t] for t in tokens)].append(tokens)
    folded = {}
    for skeleton, group in groups.items():
        if len(group) < 2 or (len(group) < SEVERAL and not _differ_in_placeholders(group)):
            continue
        same = [len(set(column)) == 1 for column in zip(*group, strict=True)]
        if not any(same):
            continue
        one = " ".join(t if s else k for t, s, k in zip(group[0], same, (_starred(k) for k in skeleton), strict=True))
        folded.update({" ".join(tokens): one for tokens in group})
    return folded


def _skeleton(token: str) -> str:
    """The token with NUL for each piece that may be a value."""
    return _PIECE.sub(lambda found: _piece(found[0]), token)


def _piece(piece: str) -> str:
    if piece.startswith("<"):
        return "\x00"
    if piece.isalpha() or piece.isdigit() or piece.lower() in _NAMED or _CODE.fullmatch(piece):
        return piece
    changes = _CHANGES.split(piece)
    if len(changes) == 2 and changes[0].isalpha():
        return changes[0] + "\x00" if len(changes[0]) > 1 else piece
    return "\x00"


def _starred(skeleton: str) -> str:
    return re.sub(r"\x00+", ANY, skeleton)


def _differ_in_placeholders(group: Iterable[Sequence[str]]) -> bool:
    return len({re.sub(r"<[a-z*]+>", "\x00", " ".join(tokens)) for tokens in group}) == 1


def _fold_words(texts: Sequence[str], kept: Collection[str]) -> dict[str, str]:
    """Templates that differ in one word, of which there are MANY, become one; each takes part in one such fold."""
    rows = [text.split(" ") for text in texts]
    places: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    usable: dict[str, bool] = {}
    for number, tokens in enumerate(rows):
        if not 3 <= len(tokens) <= LONGEST:
            continue
        hashes = [hash((at, token)) for at, token in enumerate(tokens)]
        total = sum(hashes)
        for at, token in enumerate(tokens):
            if token not in usable:
                usable[token] = _may_be_name(token, kept)
            if usable[token]:
                places[len(tokens), at, total - hashes[at]].append(number)
    found: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for (_, at, _), numbers in places.items():
        if len(numbers) >= MANY:
            for number in numbers:  # by the tokens themselves: hashes only chose the candidates
                tokens = rows[number]
                found[*tokens[:at], ANY, *tokens[at + 1 :]].append(number)
    folded: dict[str, str] = {}
    taken: set[int] = set()
    for one, numbers in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        free = [n for n in numbers if n not in taken]
        if len(free) >= MANY:
            taken.update(free)
            folded.update({texts[n]: " ".join(one) for n in free})
    return folded


def _may_be_name(token: str, kept: Collection[str]) -> bool:
    if not _WORD.fullmatch(token):
        return False
    word = token.strip("\"'()[],.:;")
    return len(word) > 1 and word.lower() not in _SAYING and word.lower() not in kept and not _SAYING_END.search(word)
