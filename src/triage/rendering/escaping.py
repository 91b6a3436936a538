"""Log text made harmless: what cannot be seen is shown, and every output gets its own escapes."""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST_TEXT = 4000  # characters of any text of a report, in every output
MOST_PROSE = 900  # characters of one sentence, whatever a log put into it
MOST_CELL = 300  # the same, in a table

_UNSEEN = re.compile(
    "["
    + "".join(
        re.escape(chr(low)) + "-" + re.escape(chr(high))
        for low, high in (
            (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD),
            (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
            (0xD800, 0xDFFF), (0xE000, 0xF8FF), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD),
            (0x13430, 0x1345F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0x10FFFF),
        )
    )
    + "]"
)  # fmt: skip
_MARK = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f]"
_PILE = re.compile(f"({_MARK}{{4}}){_MARK}+")
_CODE = re.compile(r"(?<!`)`(?!`)([^`\n]+)(?<!`)`(?!`)")
_MARKER = re.compile(r"<(?=!--\s*HUMAN\b)", flags=re.IGNORECASE)
_MD_SPECIAL = re.compile(r"[\\`*\[\]~$]|(?<![^\W_])_|_(?![^\W_])")
_MD_HTML = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w)")
_MD_OPENING = re.compile(r"^(?:[-+#=:>]|\d{1,9}(?=[.)](?:\s|$)))")
_MD_LINKS = re.compile(r"(?i)\b(?:https?|ftp)://|\bwww\.|\b(?:mailto|xmpp):|@")
_ENTITIES = {c: f"&#{ord(c)};" for c in ":.@"}
_MERMAID = {c: f"#{ord(c)};" for c in "#;<>\\%{}|&*~$"} | {'"': "'", "`": "'", "\n": " "}
_MERMAID_LIST = re.compile(r"^(\s*(?:\d+[.)]|[-+#]))\s")


def visible(text: str) -> str:
    r"""The text with control, bidirectional, zero-width and lone surrogate characters written as \x1b, \u202e.

    Newlines and tabs stay; carriage returns before a newline go; piles of combining marks end after four.
    """
    text = text.replace("\r\n", "\n")
    text = _UNSEEN.sub(lambda m: _escape(m[0]), text)
    return _PILE.sub(r"\1", text)


def encodable(text: str) -> str:
    r"""The text with lone surrogates written as \ud83d, so that it can be encoded as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """The text on one line, its white space collapsed."""
    return " ".join(text.split())


def shorten(text: str, width: int) -> str:
    """One line of at most that many characters, the cut marked with an ellipsis."""
    text = one_line(text[: 40 * width])
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def capped(text: str) -> str:
    """The text in at most MOST_TEXT characters, the cut marked; of several lines the end stays, where exceptions stand."""
    if len(text) <= MOST_TEXT:
        return text
    half = MOST_TEXT // 2
    if "\n" not in text[:half] or "\n" not in text[-half:]:
        return text[: MOST_TEXT - 1] + "…"
    return f"{text[:half]}\n…\n{text[3 - half :]}"


def spans(text: str) -> Iterator[tuple[bool, str]]:
    """A sentence as (is code, text): what stands between two backticks is code."""
    end = 0
    for match in _CODE.finditer(text):
        if match.start() > end:
            yield False, text[end : match.start()]
        yield True, match[1]
        end = match.end()
    if end < len(text):
        yield False, text[end:]


class Safe(str):
    """Markdown that is already escaped."""

    __slots__ = ()


def sentence(text: str) -> Safe:
    """Markdown that reads as the text on one line; what stands between two backticks is code."""
    text = one_line(text)
    parts = "".join(code(t) if is_code else _escape_md(t) for is_code, t in spans(text))
    return Safe(_MD_OPENING.sub(lambda m: m[0] + "\\" if m[0].isdigit() else "\\" + m[0], parts))


def code(text: str) -> Safe:
    """A code span that shows exactly the text on one line; not for tables."""
    text = _MARKER.sub(r"\\x3c", one_line(text))
    if not text:
        return Safe("")
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return Safe(f"{fence}{pad}{text}{pad}{fence}")


def cell(text: str) -> Safe:
    """`sentence` for a table: no pipe in it ends the cell."""
    pieces = spans(shorten(text, MOST_CELL))
    parts = (cell_code(t) if is_code else _escape_md(t).replace("|", "&#124;") for is_code, t in pieces)
    return Safe("".join(parts))


def cell_code(text: str) -> Safe:
    """`code` for a table: no pipe in it ends the cell."""
    if "\\|" in text or text.endswith("\\"):  # renderers disagree on how a backslash before a pipe is read
        return Safe(f"<code>{_escape_md(one_line(text)).replace('|', '&#124;')}</code>")
    return Safe(code(text).replace("|", "\\|"))


def fenced(text: str) -> Safe:
    """A fenced block that shows exactly the text, whatever backticks and HTML comments it holds."""
    fence = "`" * max(3, _longest_run(text) + 1)
    shown = _MARKER.sub(r"\\x3c", text)
    return Safe(f"{fence}text\n{shown}\n{fence}")


def mermaid(text: str) -> str:
    """A label for a quoted Mermaid node or edge: nothing in it can end the quotes or be read as syntax."""
    text = "".join(_MERMAID.get(c, c) for c in one_line(text).replace("__", "_#95;"))
    return _MERMAID_LIST.sub(r"\1#160;", text)


def _escape_md(text: str) -> str:
    text = _MD_SPECIAL.sub(lambda m: "\\" + m[0], text)
    text = _MD_HTML.sub(lambda m: "&lt;" if m[0] == "<" else "&amp;", text)
    return _MD_LINKS.sub(lambda m: "".join(_ENTITIES.get(c, c) for c in m[0]), text)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _escape(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
