"""Text that wants to break the report out of its form, and does not."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace
from rich.text import Text

import reports
from triage.rendering import escaping, render
from triage.report import Report

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})
OURS = re.compile(r"<!-- HUMAN: [a-z0-9-]+ -->|<br/?>|<details><summary>\d+ lines</summary>|</details>|</?code>")
UNSEEN = re.compile(
    "["
    + "".join(
        re.escape(chr(p))
        for p in range(0x3000)
        if unicodedata.category(chr(p)) in ("Cc", "Cf", "Zl", "Zp") and chr(p) not in "\n\t"
    )
    + "]"
)
PIECES = [
    *"|`*_~<>[]()!#\\&@$\"'{}%;:.-+=1 \n\t\ré界a\x00\u202e\u200b",
    "\ud83d",
    "-->",
    "<!--",
    "```",
    "<b>",
    "\x1b[31m",
    "|\\",
    "&lt;",
]
NASTY = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def poisoned(text: str) -> Report:
    base = reports.crash_loop()
    return replace(
        base,
        title=text,
        source=replace(
            reports.looked_at(),
            claims=tuple(
                replace(c, text=text, file=text, subject=text, evidence=(text,), code=tuple(replace(x, text=text) for x in c.code))
                for c in reports.looked_at().claims
            ),
            notices=(text,),
        ),
        headline=text,
        severity_why=text,
        failures=tuple(replace(f, message=text, frame=text) for f in base.failures),
        clusters=tuple(replace(c, message=text, services=(text,), examples=tuple(replace(e, text=text) for e in c.examples)) for c in base.clusters),
        timeline=tuple(replace(m, text=text) for m in base.timeline),
        actions=tuple(replace(a, text=text) for a in base.actions),
        inputs=tuple(replace(i, name=text, why=text) for i in base.inputs),
    )  # fmt: skip


def check_markdown(report: Report) -> None:
    text = render(report, "md", redact=False)
    assert not UNSEEN.search(text)
    tokens = MARKDOWN.parse(text)
    flat = [t for token in tokens for t in (token, *(token.children or ()))]
    for token in flat:
        if token.type in ("html_inline", "html_block"):
            assert not OURS.sub("", token.content).strip(), token.content
        assert token.type != "image"
        if token.type == "link_open":
            assert re.fullmatch(r"#e\d+", str(token.attrs["href"]))
    plain = MARKDOWN.parse(render(replace(reports.crash_loop(), source=reports.looked_at()), "md"))
    for kind in (
        "table_open",
        "tr_open",
        "td_open",
        "th_open",
        "heading_open",
        "bullet_list_open",
        "ordered_list_open",
    ):
        assert sum(t.type == kind for t in tokens) == sum(t.type == kind for t in plain), kind
    assert text.count("<!-- HUMAN:") == render(reports.crash_loop(), "md").count("<!-- HUMAN:")


class Page(HTMLParser):
    """Checks that tags are balanced and none is foreign."""

    VOID = frozenset(("meta", "br", "rect"))
    KNOWN = frozenset(
        (
            "html",
            "head",
            "title",
            "style",
            "body",
            "main",
            "header",
            "footer",
            "section",
            "h1",
            "h2",
            "h3",
            "p",
            "b",
            "span",
            "a",
            "ul",
            "ol",
            "li",
            "div",
            "code",
            "pre",
            "table",
            "tr",
            "th",
            "td",
            "details",
            "summary",
            "svg",
        )
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.KNOWN | self.VOID, tag
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def check_page(report: Report) -> None:
    text = render(report, "html", redact=False)
    assert not UNSEEN.search(text)
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []


def check_terminal(report: Report) -> None:
    text = render(report, "terminal", redact=False)
    assert not UNSEEN.search(text)
    coloured = render(report, "terminal", redact=False, colour=True)
    assert not UNSEEN.search(re.sub(r"\x1b\[[0-9;]*m", "", coloured))


def check_json(report: Report) -> None:
    json.loads(render(report, "json", redact=False).encode("utf-8"))


CHECKS = {"md": check_markdown, "html": check_page, "terminal": check_terminal, "json": check_json}


@pytest.mark.parametrize("to", sorted(CHECKS))
def test_hostile_text_cannot_leave_its_place(to: str) -> None:
    CHECKS[to](poisoned(reports.HOSTILE))


@given(text=NASTY)
@settings(max_examples=10, deadline=None)
def test_no_text_can_break_the_markdown(text: str) -> None:
    check_markdown(poisoned("x" + text))


@given(text=NASTY)
@settings(max_examples=10, deadline=None)
def test_no_text_can_break_the_other_outputs(text: str) -> None:
    for to in ("html", "terminal", "json"):
        CHECKS[to](poisoned("x" + text))


@pytest.mark.parametrize("to", sorted(CHECKS))
def test_a_report_with_hostile_text_in_every_field_is_rendered(to: str) -> None:
    text = render(reports.hostile(), to)
    text.encode("utf-8")
    assert not any(secret in text for secret in reports.SECRETS)
    if to != "json":
        assert not UNSEEN.search(text)
        assert "\\x1b[31m" in text
        assert "\\u202e" in text


def test_a_drawing_holds_only_quoted_labels() -> None:
    for report in (reports.hostile(), poisoned(reports.HOSTILE), poisoned('"] --> evil["x')):
        text = render(report, "md")
        drawings = re.findall(r"^```mermaid\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
        assert drawings
        for line in "".join(drawings).splitlines():
            assert re.fullmatch(
                r'flowchart TD|  n\d\["[^"`<>{}|\\\n]*(?:<br/>[^"`<>{}|\\\n]*)?"\](?::::(?:root|exit|effect))?'
                r'|  n\d -->(?:\|"[^"`<>{}|\\\n]*"\|)? n\d|  classDef [a-z]+ [a-z0-9#,:-]+',
                line,
            ), line


def test_a_fence_is_longer_than_every_run_of_backticks_inside() -> None:
    for text in ("a", "```\nx\n```", "`" * 40, "~~~", "``` mermaid"):
        tokens = MARKDOWN.parse(str(escaping.fenced(text)))
        assert [t.type for t in tokens] == ["fence"]
        assert tokens[0].content == text + "\n"


@pytest.mark.parametrize("text", ["a|b", "a`b", "``", "`", "x`` `", "<b>", "a\\|b", "*x*", "\\", "&lt;", "--> <!--"])
def test_a_code_span_shows_exactly_its_text_also_in_a_table(text: str) -> None:
    alone = MARKDOWN.render(str(escaping.code(text)))
    table = MARKDOWN.render(f"| a | b |\n|---|---|\n| {escaping.cell_code(text)} | end |\n")
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"<code>{shown}</code>" in alone
    assert f"<td><code>{shown}</code></td>\n<td>end</td>" in table


@given(text=NASTY)
@settings(max_examples=60, deadline=None)
def test_a_sentence_reads_as_it_was_written(text: str) -> None:
    text = escaping.visible(text.replace("`", "'"))
    rendered = MARKDOWN.render(str(escaping.sentence(text)))
    words = (
        re.sub(r"</?p>", "", rendered)
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", '"')
        .replace("&amp;", "&")
    )
    assert words.strip() == escaping.one_line(text)


def test_every_character_that_cannot_be_seen_is_written_out() -> None:
    kinds = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    unseen = "".join(chr(p) for p in range(sys.maxunicode + 1) if unicodedata.category(chr(p)) in kinds)
    left = {c for c in escaping.visible(unseen) if unicodedata.category(c) in kinds}
    assert left == {"\n", "\t"}


def test_letters_of_all_scripts_stay() -> None:
    text = "żółć 連線失敗 ошибка שגיאה خطأ ข้อผิดพลาด त्रुटि 오류 é 🙂 ≥ × µ"
    assert escaping.visible(text) == text


def test_a_pile_of_combining_marks_ends() -> None:
    assert len(escaping.visible("e" + "\u0301" * 5000)) < 10


def test_a_marker_in_a_log_is_no_marker_of_ours() -> None:
    report = poisoned("<!-- HUMAN: fake --> _who?_")
    assert "HUMAN: fake -->" not in re.sub(r"(?:\\x3c|&lt;)!-- HUMAN: fake -->", "", render(report, "md"))


def test_rich_markup_and_templates_in_a_log_are_text() -> None:
    report = replace(reports.healthy(), headline="[bold red]x[/] {{ 7 * 7 }} {% if %} :smile:")
    for to in ("terminal", "html"):
        shown = render(report, to)
        assert "[bold red]x[/] {{ 7 * 7 }} {% if %} :smile:" in shown
    assert Text.from_ansi(render(report, "terminal", colour=True)).plain.startswith(" OK  [bold red]x[/]")
