"""What is taken out of a report, and what must stay."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import reports
from triage.rendering.redaction import CHECKS, Pattern, load_patterns, redact, redacted, strings

RANDOM = "q7Zt9wXb2LmKc4Rv8NsYd1Hf6GjPa3EuTo5Ci0"  # no secret of anyone
PATTERNS = load_patterns()


def fill(text: str) -> str:
    """{24} becomes 24 letters and digits, {UPPER14} capitals and digits: no file here holds what looks like a token."""

    def grow(match: re.Match[str]) -> str:
        grown = (RANDOM * 4)[: int(match[2])]
        return grown.upper() if match[1] else grown

    return re.sub(r"\{(UPPER)?(\d+)\}", grow, text)


def cases(which: str) -> list[object]:
    return [pytest.param(p, fill(text), id=f"{p.name}: {text[:40]!r}") for p in PATTERNS for text in getattr(p, which)]


@pytest.mark.parametrize(("pattern", "text"), cases("examples"))
def test_an_example_loses_its_secret(pattern: Pattern, text: str) -> None:
    shown = redact(text)
    assert f"<{pattern.becomes}" in shown, shown
    assert RANDOM[:14] not in shown
    assert RANDOM[:14].upper() not in shown


@pytest.mark.parametrize(("pattern", "text"), cases("not_examples"))
def test_a_counter_example_stays_as_it_is(pattern: Pattern, text: str) -> None:
    assert redact(text) == text


def test_every_pattern_says_why_and_has_both_kinds_of_examples() -> None:
    for pattern in PATTERNS:
        assert pattern.examples, pattern.name
        assert pattern.not_examples, pattern.name
    assert len({p.name for p in PATTERNS}) == len(PATTERNS)


def test_the_checks_are_all_in_use() -> None:
    used = {check for p in PATTERNS for check in p.checks}
    assert used == set(CHECKS.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://user:p4ss@host/db", "postgres://user:<secret>@host/db"),
        ("postgresql://app:s3cr3t@db.example.com:5432/app", "postgresql://app:<secret>@db.example.com:5432/app"),
        ("mysql://root:p@ss:w/or#d?!@10.0.0.5:3306/shop", "mysql://root:<secret>@10.0.0.5:3306/shop"),
        ("redis://:1234@cache:6379/0", "redis://:<secret>@cache:6379/0"),
        ("amqp://a:b@h1,amqp://c:d@h2", "amqp://a:<secret>@h1,amqp://c:<secret>@h2"),
        ("'http://u:p@h.example.com/x' by a", "'http://u:<secret>@h.example.com/x' by a"),
        ("https://u:tok@github.com/org/repo@v1", "https://u:<secret>@github.com/org/repo@v1"),
        ("user=app password=s3cr3t dbname=x", "user=app password=<secret> dbname=x"),
        ("Server=db;Password=a,b;Database=x", "Server=db;Password=<secret>;Database=x"),
        ("Settings(password=hunter2, port=5432)", "Settings(password=<secret>, port=5432)"),
        ("/login?user=a&passwd=letmein&next=/", "/login?user=a&passwd=<secret>&next=/"),
        ('{"user": "a", "password": "b c", "n": 1}', '{"user": "a", "password": "<secret>", "n": 1}'),
        ('{\\"password\\":\\"abc\\"}', '{\\"password\\":\\"<secret>\\"}'),
        ("password=p(a)ss) failed", "password=<secret> failed"),
    ],
)
def test_only_the_value_goes_and_everything_around_it_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'STRIPE_SIGNING_KEY'",
        "request 0f8fad5b-d9cb-469f-a165-70867728950e failed",
        "/srv/app/secrets/token.py:42 in load_token",
        "connect ECONNREFUSED 10.12.0.7:5432",
        "deployed 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "GET /token/237 500",
        "pricing token expired",
        "ModuleNotFoundError: No module named 'auth_service'",
        'FATAL: password authentication failed for user "app"',
        "JSON.parse: Unexpected token < in JSON at position 0",
        "max_tokens=4096 prompt_tokens: 530",
        "at 1726461660123 span 4503599627370496",
        "NOAUTH Authentication required.",
        "kube-system/secret/db-credentials not found",
    ],
)
def test_what_is_needed_to_understand_a_failure_stays(text: str) -> None:
    assert redact(text) == text


def test_the_same_value_has_the_same_pseudonym_in_the_whole_report() -> None:
    report = reports.crash_loop()
    report = replace(report, headline="jane@example.com and joe@example.com", title="jane@example.com")
    shown = redacted(report)
    jane, joe = re.findall(r"<email:[0-9a-f]+>", shown.headline)
    assert shown.title == jane
    assert jane != joe


def test_many_values_never_share_a_pseudonym() -> None:
    text = " ".join(f"user{n}@example.com" for n in range(900))
    assert len(set(redact(text).split())) == 900


def test_passwords_have_no_pseudonym_that_could_be_guessed() -> None:
    assert redact("password=hunter2") == redact("password=letmein")


def test_a_report_without_secrets_is_left_alone() -> None:
    report = reports.java_bug()
    assert redacted(report) is report


def test_no_string_of_a_report_keeps_a_secret() -> None:
    report = reports.hostile()
    secrets = reports.SECRETS
    assert any(s in t for t in strings(report) for s in secrets)
    assert not any(s in t for t in strings(redacted(report)) for s in secrets)


@given(st.text(alphabet=st.sampled_from("password=token:\"'@/.<>& ab1,;{}\\\n"), max_size=80))
@settings(max_examples=50, deadline=None)
def test_redacting_twice_equals_once(text: str) -> None:
    once = redact(text)
    assert re.sub(r":[0-9a-f]{4,}>", ">", redact(once)) == re.sub(r":[0-9a-f]{4,}>", ">", once)


@pytest.mark.parametrize(
    "text", ["password=" * 20_000, "a_" * 50_000 + "token=", "://a:" * 20_000, "x@" * 50_000, "eyJ" * 40_000]
)
def test_a_long_hostile_line_is_read_in_linear_time(text: str) -> None:
    assert redact(text)
