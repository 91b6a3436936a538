"""What the four outputs say about a report, and how."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace
from rich.cells import cell_len

import reports
from triage.errors import TriageError
from triage.rendering import OUTPUTS, figures, render, story
from triage.report import Failure, Incident, Link, Report, Root

ALL = sorted(reports.ALL)
CALM = [n for n in ALL if n != "hostile"]


@pytest.mark.parametrize("to", sorted(OUTPUTS))
@pytest.mark.parametrize("name", ALL)
def test_every_report_becomes_every_output_the_same_each_time(name: str, to: str) -> None:
    text = render(reports.ALL[name](), to)
    assert text.endswith("\n")
    assert text == render(reports.ALL[name](), to)


def test_an_unknown_output_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TriageError, match="no output called 'pdf'") as refused:
        render(reports.healthy(), "pdf")
    assert "md, json, terminal, html" in str(refused.value)


@pytest.mark.parametrize("to", sorted(OUTPUTS))
def test_redaction_is_on_unless_it_is_switched_off(to: str) -> None:
    report = replace(reports.java_bug(), headline="db at postgres://app:s3cr3t@db/x is down")
    assert "s3cr3t" not in render(report, to)
    assert "s3cr3t" in render(report, to, redact=False)


# ---------------------------------------------------------------------------------------------------- Markdown


def headings(markdown: str) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]


def test_an_outage_is_told_from_the_verdict_to_the_evidence() -> None:
    text = render(reports.crash_loop(), "md")
    assert text.startswith("# Incident: shop-staging cannot start (P0)\n\n> **DRAFT, made from logs** · ")
    assert [h for h in headings(text) if not re.fullmatch(r"E\d+", h)] == [
        "Incident: shop-staging cannot start (P0)",
        "Root cause",
        "How it unfolds",
        "Do now",
        "The window at a glance",
        "Timeline (UTC)",
        "Five whys",
        "What failed",
        "Requests by route",
        "Exits and restarts",
        "Noise",
        "Ruled out",
        "Known failure",
        "For the review",
        "Evidence",
        "How this was made",
    ]
    for words in (
        "2026-03-14 04:41–05:40 UTC (60 min, still going on when the log ends)",
        "| Starts that succeeded | **0 of 1,290** | nothing is serving |",
        "**151 of 151 (100 %: 63 × 500, 88 × 503)**",
        "**3,280 of 4,570 (71.8 %)**",
        "run into a limit at 60 s",
        "exit(3), 1,290 times, every 2.8 s",
        "**`ModuleNotFoundError: No module named 'ledger_client'`** · raised at `core/sockets.py:53 in <module>`",
        "almost certain (confidence 0.97) · explains 99 % of the failing records · [E1](#e1)",
        "requests that fail < 1 % (now 100 %)",
        "14.1 MB",
        "4,570 lines = 4,570 lines in 4,570 records + 0 blank + 0 rejected.",
    ):
        assert words in text


def test_actions_come_in_the_order_of_their_priority() -> None:
    text = render(reports.crash_loop(), "md")
    assert re.findall(r"^\d\. \*\*(P\d)\*\*", text, flags=re.MULTILINE) == ["P0", "P0", "P1", "P2"]


def test_what_only_people_know_is_a_marker_and_a_question() -> None:
    text = render(reports.crash_loop(), "md")
    markers = re.findall(r"<!-- HUMAN: ([a-z0-9-]+) --> _[^_]+_", text)
    assert markers == ["detected", "why-5", "impact", "detection", "response", "resolution", "went-well", "follow-up"]
    assert text.count("<!-- HUMAN") == len(markers)


def test_every_reference_leads_to_an_exhibit() -> None:
    for name in CALM:
        text = render(reports.ALL[name](), "md")
        refs = set(re.findall(r"\[(E\d+)\]\(#e\d+\)", text))
        assert refs <= set(re.findall(r"^#### (E\d+)$", text, flags=re.MULTILINE))
        page = render(reports.ALL[name](), "html")
        assert set(re.findall(r'href="#(e\d+)"', page)) <= set(re.findall(r'<section id="(e\d+)">', page))


def test_a_healthy_log_gets_a_short_report_that_says_what_was_checked() -> None:
    text = render(reports.healthy(), "md")
    assert "Incident" not in text
    assert "HUMAN:" not in text
    assert "Searched in 10,000 records, found 0: memory (out of memory, signal 9); database" in text
    assert headings(text) == ["app.log", "Requests by route", "Noise", "What was checked", "How this was made"]


def test_sections_without_content_are_left_out() -> None:
    assert headings(render(reports.empty(), "md")) == ["empty.log", "How this was made"]


@pytest.mark.parametrize("to", ["md", "html", "terminal"])
def test_a_cause_that_is_not_in_the_log_is_not_invented(to: str) -> None:
    text = render(reports.cause_elsewhere(), to)
    assert "not in this log" in text
    assert "confidence" not in text
    assert "HTTP 502" in text


def test_two_incidents_are_told_apart() -> None:
    text = render(reports.two_incidents(), "md")
    one, two = text.index("## Incident 1: shop-staging"), text.index("## Incident 2: billing gets no")
    assert one < text.index("ledger_client'`** ") < two < text.index("TooManyConnectionsError: sorry")
    assert "likely (confidence 0.62)" in text[two:]
    assert "Other candidates:\n\n- `pool size raised to 200` · a guess (0.35)" in text[two:]


def test_http_failures_of_one_cause_are_one_step() -> None:
    case = story.tell(reports.crash_loop()).cases[0]
    assert [s.node.failures for s in case.steps][-1] == ("f:503", "f:500")
    assert case.steps[-1].node.count == "151×"


def long_chain(count: int) -> Report:
    base = reports.java_bug()
    names = [f"f:{n}" for n in range(count)]
    failures = tuple(Failure(n, "exception", "E" + n[2:], "text", 1, None, None, ()) for n in names)
    links = tuple(Link(a, b, "raised_from", 1, None, 1.0) for a, b in itertools.pairwise(names))
    incident = replace(base.incidents[0], roots=(Root("f:0", 0.9, 1.0, "first"),), chains=(tuple(names),))
    return replace(base, failures=failures, links=links, incidents=(incident,))


def test_a_long_chain_is_drawn_with_its_ends_and_listed_whole() -> None:
    text = render(long_chain(30), "md")
    drawing = re.search(r"```mermaid\n(.*?)```", text, flags=re.DOTALL)
    assert drawing is not None
    assert len(re.findall(r"^  n\d+\[", drawing[1], flags=re.MULTILINE)) == story.MOST_NODES
    assert "23 more steps, in the list below" in drawing[1]
    assert "E0: text" in drawing[1]
    assert "E29: text" in drawing[1]
    listed = text[drawing.end() :]
    assert all(f"`E{n}: text`" in listed for n in range(30))


def test_a_chain_that_branches_or_returns_is_listed_once() -> None:
    base = long_chain(4)
    chains = (("f:0", "f:1", "f:2", "f:0"), ("f:0", "f:3"))
    report = replace(base, incidents=(replace(base.incidents[0], chains=chains),))
    steps = story.tell(report).cases[0].steps
    assert [(s.node.key, s.depth) for s in steps] == [("f:0", 0), ("f:1", 1), ("f:2", 1), ("f:3", 1)]


def test_a_chain_that_names_an_unknown_failure_is_still_drawn() -> None:
    base = reports.java_bug()
    incident = Incident(
        "i1", "t", None, None, True, "P1", "", (Root("gone", 0.5, 0.5, ""),), (("gone", "f:h500"),), (), ""
    )
    for to in OUTPUTS:
        assert "gone" in render(replace(base, incidents=(incident,)), to)


# ------------------------------------------------------------------------------------------------------- JSON


def test_json_is_the_dictionary_of_the_report() -> None:
    report = reports.crash_loop()
    text = render(report, "json")
    assert json.loads(text) == json.loads(json.dumps(report.to_dict()))
    assert text.startswith('{\n  "schema": "triage.report/1",\n  "tool"')
    assert json.loads(text)["window"]["start"].endswith("Z")


# -------------------------------------------------------------------------------------------------------- page


@pytest.mark.parametrize("name", ALL)
def test_the_page_needs_nothing_from_elsewhere(name: str) -> None:
    page = render(reports.ALL[name](), "html")
    assert "<script" not in page
    assert not re.search(r"<(?:img|link|iframe|object|embed|form|base)\b", page)
    assert set(re.findall(r'\b(?:href|src)="([^"#]*)', page)) <= {""}
    assert "@import" not in page
    assert "url(" not in page.partition("</style>")[0]


def test_the_page_tells_the_facts_of_the_markdown() -> None:
    page = render(reports.crash_loop(), "html")
    for words in (
        "0 of 1,290",
        "confidence 0.97",
        "raised again as",
        "Roll back",
        "04:41:00.6",
        "E4",
        "DeprecationWarning",
    ):
        assert words in page


# ---------------------------------------------------------------------------------------------------- terminal


@pytest.mark.parametrize("width", [40, 80, 100, 160])
@pytest.mark.parametrize("name", ALL)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    text = render(reports.ALL[name](), "terminal", width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_wide_characters_count_as_two_columns() -> None:
    report = replace(reports.two_incidents(), headline="連線失敗" * 40)
    report = replace(report, clusters=tuple(replace(c, message="資料庫連線失敗" * 20) for c in report.clusters))
    text = render(report, "terminal", width=80)
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_the_verdict_comes_first() -> None:
    lines = render(reports.crash_loop(), "terminal", width=160).splitlines()
    assert lines[0] == " P0  shop-staging has not completed one start in 60 minutes."
    assert [line[2:11].strip() for line in lines[1:5]] == ["root", "impact", "do first", "when"]
    assert lines[5] == ""


def test_colours_are_there_only_when_asked_for() -> None:
    report = reports.crash_loop()
    plain, coloured = render(report, "terminal"), render(report, "terminal", colour=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == plain.split()


def test_a_style_ends_where_its_words_end() -> None:
    coloured = render(reports.crash_loop(), "terminal", colour=True)
    assert "\x1b[1;37;41m P0 \x1b[0m \x1b[1mshop-staging has not" in coloured
    assert "\x1b[1;31m  P0  \x1b[0mMake \x1b[36mledger_client\x1b[0m importable" in coloured


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {c: render(reports.crash_loop(), "terminal", colour=c) for c in (True, False)}
    for name, value in (("NO_COLOR", "1"), ("FORCE_COLOR", "1"), ("COLUMNS", "20"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        assert {c: render(reports.crash_loop(), "terminal", colour=c) for c in (True, False)} == plain


# ----------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (figures.share(0.7177), "71.8 %"),
        (figures.share(1.0), "100 %"),
        (figures.share(0.99999), ">99.9 %"),
        (figures.share(0.0001), "<0.1 %"),
        (figures.share(0.0), "0 %"),
        (figures.about(0.999), "99 %"),
        (figures.about(0.001), "<1 %"),
        (figures.seconds(2.8), "2.8 s"),
        (figures.seconds(0.012), "12 ms"),
        (figures.seconds(3600), "60 min"),
        (figures.seconds(86_399), "24 h"),
        (figures.seconds(3 * 86_400 + 7200), "3 d 2 h"),
        (figures.millis(0.4), "0.4 ms"),
        (figures.millis(340.0), "340 ms"),
        (figures.millis(28_500.0), "28.5 s"),
        (figures.size(999), "999 B"),
        (figures.size(14_112_000), "14.1 MB"),
        (story.short_place("/srv/a/core/sockets.py:53 in load"), "core/sockets.py:53"),
        (figures.plural(1, "record"), "1 record"),
        (figures.plural(1290, "record"), "1,290 records"),
        (figures.confidence(0.97), "almost certain"),
        (figures.confidence(0.0), "a guess"),
        (figures.sparkline((0, 1, 8, 0)), "·▁█·"),
        (figures.sparkline((3,) * 30, most=16), "█" * 16),
        (figures.sparkline((0, 0)), ""),
        (figures.sparkline(()), ""),
    ],
)
def test_figures_read_as_people_write_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_a_window_names_its_day_once() -> None:
    start = datetime(2026, 3, 14, 23, 50, tzinfo=UTC)
    assert figures.span(start, start + timedelta(seconds=30)) == "2026-03-14 23:50:00–23:50:30"
    assert figures.span(start, start + timedelta(hours=1)) == "2026-03-14 23:50 – 2026-03-15 00:50"
