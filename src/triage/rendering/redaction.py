"""Secrets and people taken out of a report; what stays of each is a stable pseudonym."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from triage.errors import PackError
from triage.packs import pattern_dirs, read_pack

T = TypeVar("T")
Check = Callable[[re.Match[str], str], str | None]

RANDOM = "q7Zt9wXb2LmKc4Rv8NsYd1Hf6GjPa3EuTo5Ci0"  # no secret of anyone: what stands for one in examples
_FIRST = "\U000f0000"  # the private characters that stand for hidden values begin here
_MOST = 0x10FFFF - 0xF0000
_GROUPS = ("secret", "secret2", "secret3")
_WORDLESS = re.compile(r"[\W_]*")
_PLAIN_WORD = re.compile(r"[A-Za-z]+(?:[-/][A-Za-z]+)*[.:!?]*")
_NEXT_SETTING = re.compile(r",\s*[\w.-]+\s*[=:]|,$|[)\]}]+[,.;:]*$")
_PROSE_AFTER = re.compile(r"\s+(?![\w.-]+\s*[=:])\S|\s+$")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_STANDS_FOR_NONE = re.compile(
    r"(?i)(?:null|none|nil|undefined|unset|empty|missing|required|invalid|incorrect|wrong|bad|expired?|expiry|true|false"
    r"|yes|no|not|set|ok|valid|malformed|mismatch(?:ed)?|denied|rejected|revoked|unknown|failed|failure|error|is|was|has"
    r"|must|cannot|expected|changed|reset|updated|bearer|basic|digest|str|string|bytes|int|object|optional|redacted|hidden|masked"
    r"|filtered|omitted|scrubbed|secret|password|token|n/?a|x{3,}|\*+|\.+|\$\{?\w+\}?|%\(?\w+\)?s?|\{\w*\}|\[\w+\])[.:!?]*"
)
_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|arn:.*|\.{0,2}/.*|[a-z][a-z0-9_-]{0,40}(?:/[a-z0-9_.-]{1,40})+")
_PORT = re.compile(r"\d{1,5}(?:[/?#'\")\],;].*)?", flags=re.DOTALL)
_HOST = re.compile(r"(?:[\w-]+\.)+[A-Za-z0-9-]+|\[[0-9a-fA-F:]+\]|localhost|[\w.-]+:\d{1,5}")
_NO_MAILBOX = re.compile(
    r"(?i)git@.*|.*\.gserviceaccount\.com|.*@.*\.(?:service|socket|timer|mount|slice|scope|target|device|path)"
    r"|.*@v?\d+(?:\.\d+)+.*|.*\.(?:py|js|ts|go|rb|java|php|log|json|yaml|yml|html?|css|png|jpe?g|svg|conf|txt)"
)


class Hidden(Struct, frozen=True):
    """A value that was taken out, and what it becomes."""

    kind: str
    value: str
    named: bool


class _Masked(Struct, frozen=True):
    text: str
    hidden: dict[Hidden, str]  # to the private character that stands for it


class Pattern(Struct, frozen=True):
    """One kind of thing to take out, from patterns/redact.yaml."""

    name: str
    finds: re.Pattern[str]
    becomes: str
    named: bool
    needs: tuple[str, ...]
    checks: tuple[Check, ...]
    examples: tuple[str, ...]
    not_examples: tuple[str, ...]


def redacted(report: T) -> T:
    """The report (or another value of plain data) without secrets and e-mail addresses in any of its strings.

    The same value has the same pseudonym everywhere in the report. Environment variable names, ids, paths, IP
    addresses and hashes stay.
    """
    patterns = load_patterns()
    masked = {text: _mask(text, patterns) for text in dict.fromkeys(strings(report))}
    if not any(m.hidden for m in masked.values()):
        return report
    names = _pseudonyms(h for m in masked.values() for h in m.hidden)
    clean = {text: _unmask(m, names) for text, m in masked.items()}
    return rewritten(report, clean.__getitem__)


def redact(text: str) -> str:
    """One text without secrets; its pseudonyms hold within this text."""
    masked = _mask(text, load_patterns())
    return _unmask(masked, _pseudonyms(masked.hidden))


def check_samples() -> list[str]:
    """What is wrong with the examples of patterns/redact.yaml, a sentence each."""
    patterns = load_patterns()
    kept = [(p, text) for p in patterns for text in map(grown, p.examples) if not _is_taken_out(text, p)]
    lost = [(p, text) for p in patterns for text in map(grown, p.not_examples) if redact(text) != text]
    return [f"redact: {p.name}: {text!r} keeps its secret: {redact(text)!r}" for p, text in kept] + [
        f"redact: {p.name}: {text!r} becomes {redact(text)!r}, and should stay" for p, text in lost
    ]


def grown(example: str) -> str:
    """An example with {24} as 24 letters and digits, {UPPER14} as capitals: no file holds what looks like a token."""

    def grow(found: re.Match[str]) -> str:
        run = (RANDOM * 4)[: int(found[2])]
        return run.upper() if found[1] else run

    return re.sub(r"\{(UPPER)?(\d+)\}", grow, example)


def _is_taken_out(text: str, pattern: Pattern) -> bool:
    shown = redact(text)
    return f"<{pattern.becomes}" in shown and RANDOM[:14] not in shown and RANDOM[:14].upper() not in shown


def strings(value: Any) -> Iterable[str]:
    """Every string inside a value of structs, tuples, lists and mappings; keys of mappings are not values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from strings(getattr(value, name))


def rewritten(value: T, change: Callable[[str], str]) -> T:
    """The same value with every string inside it changed."""
    return _rewritten(value, change)  # type: ignore[no-any-return]


def load_patterns() -> tuple[Pattern, ...]:
    """The patterns of patterns/redact.yaml, in the order in which they apply; PackError when it cannot be used."""
    return _load(pattern_dirs()[-1] / "redact.yaml")


@cache
def _load(path: Path) -> tuple[Pattern, ...]:
    if not path.is_file():
        raise PackError(f"the patterns for redaction are missing: {path}", hint="reinstall triage")
    pack = read_pack(path)
    words: dict[str, str] = pack.get("words", {})
    return tuple(_compile(entry, words, path) for entry in pack["patterns"])


def _compile(entry: Mapping[str, Any], words: Mapping[str, str], path: Path) -> Pattern:
    try:
        finds = entry["finds"]
        for word, expression in words.items():
            finds = finds.replace(f"<<{word}>>", expression)
        return Pattern(
            name=entry["name"],
            finds=re.compile(finds),
            becomes=entry["becomes"],
            named=entry.get("named", False),
            needs=tuple(n.lower() for n in entry.get("needs", ())),
            checks=tuple(CHECKS[c] for c in entry.get("checks", ())),
            examples=tuple(entry.get("examples", ())),
            not_examples=tuple(entry.get("not_examples", ())),
        )
    except (KeyError, re.error) as problem:
        hint = "every entry needs name, finds, becomes; known checks: " + ", ".join(CHECKS)
        raise PackError(f"{path}: {entry.get('name', 'an entry without a name')}: {problem}", hint=hint) from None


def _rewritten(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {k: _rewritten(v, change) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_rewritten(v, change) for v in value)
    if isinstance(value, Struct):
        return replace(value, **{name: _rewritten(getattr(value, name), change) for name in value.__struct_fields__})
    return value


def _mask(text: str, patterns: Iterable[Pattern]) -> _Masked:
    """Each secret becomes one private character, so that a later pattern sees that something is there, not what."""
    masked = _Masked(text, {})
    for pattern in (_ALREADY_SHOWN, *patterns):
        low = masked.text.lower() if pattern.needs else ""
        if not pattern.needs or any(n in low for n in pattern.needs):
            masked = _mask_one(masked, pattern)
    return masked


def _mask_one(masked: _Masked, pattern: Pattern) -> _Masked:
    text, hidden = masked.text, masked.hidden
    parts: list[str] = []
    done = position = 0
    while match := pattern.finds.search(text, position):
        group = next(g for g in _GROUPS if match.re.groupindex.get(g) and match[g] is not None)
        start = match.start(group)
        value: str | None = match[group]
        for check in pattern.checks:
            value = check(match, value) if value else None
        if not value or (len(value) == 1 and value >= _FIRST):
            position = max(start, match.start() + 1)
            continue
        if not hidden and not parts:
            text = "".join(c if c < _FIRST else "\ufffd" for c in text)
        whole = "".join(_original(hidden, c) for c in value)
        secret = Hidden(pattern.becomes, whole, pattern.named)
        parts += text[done:start], hidden.setdefault(secret, chr(ord(_FIRST) + min(len(hidden), _MOST)))
        done = position = start + len(value)
    return _Masked("".join((*parts, text[done:])), hidden) if parts else masked


def _original(hidden: Mapping[Hidden, str], character: str) -> str:
    return character if character < _FIRST else next(h.value for h, c in hidden.items() if c == character)


def _unmask(masked: _Masked, names: Mapping[Hidden, str]) -> str:
    if not masked.hidden:
        return masked.text
    shown = {
        ord(c): h.value if h.kind == _ALREADY_SHOWN.becomes else f"<{h.kind}:{names[h]}>" if h.named else f"<{h.kind}>"
        for h, c in masked.hidden.items()
    }
    return masked.text.translate(shown)


def _pseudonyms(hidden: Iterable[Hidden]) -> dict[Hidden, str]:
    """A short name for each value, as long as needed to be unique; keyed by all of them, so none can be looked up."""
    values = sorted({h for h in hidden if h.named}, key=lambda h: (h.kind, h.value))
    lines = "\0".join(f"{h.kind}\0{h.value}" for h in values)
    key = blake2b(lines.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    full = {h: blake2b(h.value.encode("utf-8", "surrogatepass"), key=key, digest_size=16).hexdigest() for h in values}
    length = next((n for n in (4, 6, 8, 12) if len({(h.kind, d[:n]) for h, d in full.items()}) == len(full)), 32)
    return {h: digest[:length] for h, digest in full.items()}


def _bare_value(match: re.Match[str], value: str) -> str | None:
    """The value without quotes at the start of the text: up to white space or the next setting."""
    end = re.search(r"[\s\"'&;]", value)
    head, rest = (value[: end.start()], value[end.start() :]) if end else (value, "")
    cut = _NEXT_SETTING.search(head)
    if cut and not (head[cut.start()] in ")]}" and _opens(head[: cut.start()])):
        head, rest = head[: cut.start()], head[cut.start() :] + rest
    if not head or _WORDLESS.fullmatch(head):
        return None
    text, sign = match.string, match.start("sign")
    tight = (
        match["sign"] != ":" and text[sign - 1 : sign] not in (" ", "\t") and match.end("sign") == match.start("secret")
    )
    if tight or match.re.groupindex.get("password"):
        prose = not tight and _PLAIN_WORD.fullmatch(head) and _PROSE_AFTER.match(rest) and rest.strip()
        return None if prose else head
    if not (any(c.isdigit() for c in head) and any(c.isalpha() for c in head) and len(head) >= 4):
        return None
    return head


def _opens(text: str) -> bool:
    return any(c in "([{" for c in text)


def _not_prose(_match: re.Match[str], value: str) -> str | None:
    """A value, not a word that says there is none and not a sentence."""
    bare = value.strip()
    if re.fullmatch(r"/[\w./-]*", bare):  # PWD=/home/app
        return None
    if not bare or (_WORDLESS.fullmatch(bare) and len(bare) < 4) or _STANDS_FOR_NONE.fullmatch(bare):
        return None
    if bare.count(" ") >= 2 and bare[-1] in ".!?":
        return None
    first, _, rest = bare.partition(" ")
    return None if rest and _STANDS_FOR_NONE.fullmatch(first) else value


def _not_a_name(_match: re.Match[str], value: str) -> str | None:
    """A value, not the name of a variable, a path or a resource that holds one."""
    return None if _NAME.fullmatch(value) else value


def _url_password(_match: re.Match[str], value: str) -> str | None:
    """The password of an URL: up to the @ before the host, also when it holds an @ or a slash itself."""
    following = value.find("://")
    run = value[:following] if following >= 0 else value
    if "@" not in run:
        return None
    authority = re.split(r"[/?#]", run, maxsplit=1)[0]
    if "@" in authority:
        password, host = authority.rsplit("@", 1)
        if run.count("@") == authority.count("@") or _HOST.match(host):
            return password
    if _PORT.fullmatch(run):
        return None
    return run.rsplit("@", 1)[0]


def _random(_match: re.Match[str], value: str) -> str | None:
    """A value that looks random: letters and digits, many different ones; not a UUID, a path or joined words."""
    if len(value) < 16 or _UUID.fullmatch(value) or _NAME.fullmatch(value):
        return None
    digits = sum(c.isdigit() for c in value)
    if digits < 2 or digits == len(value) or _entropy(value) < 3.0:
        return None
    words = [w for w in re.split(r"[-_./=]", value) if w]
    return None if len(words) > 2 and sum(w.isalpha() for w in words) * 2 >= len(words) else value


def _mixed(_match: re.Match[str], value: str) -> str | None:
    """A value with digits in it."""
    return value if any(c.isdigit() for c in value) else None


def _luhn(match: re.Match[str], value: str) -> str | None:
    """A number with the check digit of a payment card, and no further digits joined to it."""
    after = match.string[match.end("secret") : match.end("secret") + 2]
    if len(after) == 2 and after[0] in "-." and after[1].isdigit():
        return None
    digits = [int(c) for c in value if c.isdigit()]
    total = sum(digits[-1::-2]) + sum(sum(divmod(2 * d, 10)) for d in digits[-2::-2])
    return value if total % 10 == 0 else None


def _mailbox(match: re.Match[str], value: str) -> str | None:
    """A person's address: not the user and host of an URL, a unit, a file or a service account."""
    in_url = match.string[: match.start("secret")].endswith("://")
    return None if in_url or _NO_MAILBOX.fullmatch(value) else value


def _entropy(text: str) -> float:
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)


CHECKS: dict[str, Check] = {
    # what a value must be besides matching; each gives the part of the value to take out, or None
    "bare_value": _bare_value,
    "not_prose": _not_prose,
    "not_a_name": _not_a_name,
    "url_password": _url_password,
    "random": _random,
    "mixed": _mixed,
    "luhn": _luhn,
    "mailbox": _mailbox,
}
_ALREADY_SHOWN = Pattern(
    name="already-shown",
    finds=re.compile(r"(?P<secret><(?:secret|token|email|cookie|card|aws-key|private-key)(?::[0-9a-f]{4,32})?>)"),
    becomes="as it was",
    named=False,
    needs=("<",),
    checks=(),
    examples=(),
    not_examples=(),
)
