"""What is known about failures: rules, how they are recognised, and what their texts become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from triage.diagnosis.knowledge import (
    CATEGORIES,
    ROLES,
    Rule,
    Rules,
    check_samples,
    load_rules,
)
from triage.diagnosis.numbers import Numbers, name_signal, read_numbers
from triage.errors import PackError
from triage.packs import pattern_dirs


@pytest.fixture(scope="module")
def rules() -> Rules:
    return load_rules(pattern_dirs())


def names(found: Sequence[Rule]) -> list[str]:
    return [rule.name for rule in found]


def test_every_example_is_recognised_with_its_own_rule_first(rules: Rules) -> None:
    assert check_samples(rules) == []


def test_every_pattern_means_the_same_to_the_regexes_of_polars(rules: Rules) -> None:
    texts = [text for rule in rules for text in (*rule.examples, *rule.not_examples)]
    frame = pl.DataFrame({"text": texts})
    by_rule = {
        f"{rule.name}/{n}": (rule, pattern)
        for rule in rules
        for n, pattern in enumerate((*rule.patterns, *rule.unless))
    }
    found = frame.select(
        pl.col("text").str.contains(pattern, strict=True).sum().alias(name) for name, (_, pattern) in by_rule.items()
    ).row(0, named=True)
    for name, (_, pattern) in by_rule.items():
        assert found[name] == sum(bool(re.search(pattern, text)) for text in texts), (name, pattern)


def test_the_literals_of_a_pattern_never_hide_a_match(rules: Rules) -> None:
    for rule in rules:
        for text in rule.examples:
            slow = {other.name for other in rules if not other.kinds and other.match(text)}
            assert slow <= set(names(rules.recognise(text))), text


def test_the_catalogue_covers_every_area(rules: Rules) -> None:
    sections = {rule.id[0] for rule in rules if rule.id}
    assert sections >= set("ABCDEFGHIJK")
    assert len(rules) >= 250
    used = {rule.category for rule in rules}
    assert used == set(CATEGORIES)
    assert {rule.role for rule in rules} <= set(ROLES)


def test_names_are_unique_and_numbers_are_in_range(rules: Rules) -> None:
    assert len({rule.name for rule in rules}) == len(rules)
    for rule in rules:
        assert 0 <= rule.rank <= 100
        assert 0 < rule.confidence <= 1
        assert rule.checks, rule.name
        assert rule.fixes, rule.name


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("INFO auth_service started", {"auth", "jwt", "oauth"}),
        ("ModuleNotFoundError: No module named 'shop'", {"dns"}),
        ("asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already", {"memory", "rate_limit"}),
        ("order refused by bank", {"network"}),
        ("the room is full of zoom calls", {"memory"}),
        ("cannot connect the dots", {"network", "database_connection"}),
        ("GET /corsica 200", {"cors"}),
        ("user 17 changed the password", {"auth", "database_auth"}),
        ("dnsmasq started", {"dns"}),
        ("a timeout of 30 s was configured", {"timeout"}),
    ],
)
def test_keywords_inside_words_say_nothing(rules: Rules, text: str, wrong: set[str]) -> None:
    assert not {rule.category for rule in rules.recognise(text)} & wrong


@pytest.mark.parametrize(
    "text",
    [
        "INFO server started in 2.1 s",
        "GET /orders 200 12ms",
        "processed 120 orders",
        "user anna logged in",
        "connection established to db:5432",
        "health check passed",
        "Booting worker with pid: 7",
        "cache hit ratio 0.93",
        "retry policy loaded",
        "",
    ],
)
def test_ordinary_lines_are_not_recognised(rules: Rules, text: str) -> None:
    assert names(rules.recognise(text)) == []


@pytest.mark.parametrize(
    ("text", "first", "role"),
    [
        ("RuntimeError: Failed to load the plug-in registry", "wrapper-start", "wrapper"),
        ("RuntimeError: Scheduler could not be started, giving up", "wrapper-start", "wrapper"),
        ("gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>", "gunicorn-worker-boot", "wrapper"),
        ("RuntimeError: Failed to start: No module named 'shop.prices'", "python-module-missing", "cause"),
        ("acme.StrangeError: the moon is wrong", "any-exception", "cause"),
    ],
)
def test_wrappers_and_fallbacks_give_way_to_what_is_specific(rules: Rules, text: str, first: str, role: str) -> None:
    found = rules.recognise(text)
    assert (found[0].name, found[0].role) == (first, role)


@pytest.mark.parametrize(
    ("port", "category"),
    [
        (5432, "database_connection"),
        (3306, "database_connection"),
        (27017, "database_connection"),
        (1433, "database_connection"),
        (6379, "redis_connection"),
        (5672, "queue"),
        (9092, "queue"),
        (8123, "database_connection"),
        (8080, "network"),
    ],
)
def test_a_refused_port_names_what_should_listen_there(rules: Rules, port: int, category: str) -> None:
    for text in (
        f"Error: connect ECONNREFUSED 10.0.0.5:{port}",
        f"dial tcp 10.0.0.5:{port}: connect: connection refused",
    ):
        assert rules.recognise(text)[0].category == category, text


def test_numbers_of_a_failure_are_enough(rules: Rules) -> None:
    assert rules.recognise("the process ended", exit_code=137)[0].name == "exit-killed"
    assert rules.recognise("the process ended", signal="9")[0].name == "exit-killed"
    assert rules.recognise("the request ended", status=504)[0].name == "http-504"
    assert rules.recognise("order is 7", kind="exception", exception="shop.PriceError")[0].name == "any-exception"
    assert rules.recognise("shop.NoPrice: order is 7", kind="exception")[0].name == "any-raised"
    assert names(rules.recognise("shop.NoPrice: order is 7")) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Container called exit(3).", Numbers(exit_code=3)),
        ("Process exited with status 143", Numbers(exit_code=143)),
        ("main process exited, code=exited, status=203/EXEC", Numbers(exit_code=203)),
        ("main process exited, code=killed, status=9/KILL", Numbers(signal="SIGKILL")),
        ("Runtime exited with error: signal: killed", Numbers(signal="SIGKILL")),
        ("Worker (pid:7) was sent SIGTERM!", Numbers(signal="SIGTERM")),
        ("HTTP 503", Numbers(status=503)),
        ("AxiosError: Request failed with status code 502", Numbers(status=502)),
        ('{"exitCode": 137}', Numbers(exit_code=137)),
        ("429 Client Error: Too Many Requests", Numbers(status=429)),
        ("took 500 ms for 404 rows", Numbers()),
        ("exit code unknown", Numbers()),
    ],
)
def test_numbers_are_read_from_text(text: str, numbers: Numbers) -> None:
    assert read_numbers(text) == numbers


def test_a_signal_has_one_name() -> None:
    assert {name_signal(each) for each in ("9", "kill", "killed", "SIGKILL", "KILL")} == {"SIGKILL"}


def test_an_exit_of_zero_and_a_stop_on_request_are_life_cycle(rules: Rules) -> None:
    for text in ("Container called exit(0).", "Handling signal: term", "Process exited with code 143"):
        assert rules.recognise(text)[0].role == "lifecycle", text


def test_texts_are_filled_with_what_was_matched(rules: Rules) -> None:
    rule = rules.rule("python-module-missing")
    filled = rule.fill("ModuleNotFoundError: No module named 'shop.prices'")
    assert filled.title == "Python cannot import `shop.prices`"
    assert any('import shop.prices"' in check for check in filled.checks)
    neutral = rule.fill()
    assert neutral.title == "Python cannot import the module"
    assert any('import MODULE"' in check for check in neutral.checks)


def test_a_hostile_value_stays_a_short_line_of_text(rules: Rules) -> None:
    rule = rules.rule("go-panic")
    filled = rule.fill("panic: `x`\x1b[31m" + "y" * 500)
    assert "\x1b" not in filled.cause
    assert filled.cause.count("`") == 2
    assert len(filled.cause) < 250


def test_a_long_text_is_recognised_at_both_ends(rules: Rules) -> None:
    noise = "padding " * 2_000
    assert names(rules.recognise("No space left on device " + noise))[0] == "disk-full"
    assert names(rules.recognise(noise + " No space left on device"))[0] == "disk-full"


RULE = """\
name: mine
rules:
- name: {name}
  title: Ours
  category: data
  role: cause
  rank: 1
  confidence: 0.9
  cause: Because
  match: |
    {match}
  checks: Look
  fixes: Repair
  examples: |
    the flux is low
    flux lost
  not_examples: |
    reflux
{more}"""


def folder(tmp_path: Path, *, name: str = "flux", match: str = r"\bflux\b", more: str = "") -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yaml").write_text(RULE.format(name=name, match=match, more=more), encoding="utf-8")
    return tmp_path


def test_a_users_rule_joins_ours_and_wins_by_name(tmp_path: Path, rules: Rules) -> None:
    mine = load_rules(pattern_dirs([folder(tmp_path, name="disk-full")]))
    assert len(mine) == len(rules)
    assert mine.rule("disk-full").title == "Ours"
    assert mine.recognise("the flux is low")[0].title == "Ours"
    assert check_samples(mine) == []


@pytest.mark.parametrize(
    ("match", "more", "says"),
    [
        (r"(?=flux)", "", "'(?='"),
        (r"(flux)\1", "", r"'\\1'"),
        (r"(flux", "", "bad pattern"),
        (r"flux", "  colour: red\n", "unknown key"),
        (r"flux", "  category: weather\n", "weather"),
        (r"flux", "  explains: weather\n", "weather"),
        (r"flux", "  exit_codes: many\n", "numbers"),
    ],
)
def test_a_bad_rule_is_refused_with_its_place(tmp_path: Path, match: str, more: str, says: str) -> None:
    with pytest.raises(PackError) as caught:
        load_rules([folder(tmp_path, match=match, more=more)])
    assert says in caught.value.message
    assert "mine.yaml" in caught.value.message
    assert caught.value.hint


def test_bad_samples_are_named(tmp_path: Path) -> None:
    problems = check_samples(load_rules([folder(tmp_path, match="flux lost|reflux")]))
    assert any("does not recognise its example 'the flux is low'" in each for each in problems)
    assert any("recognises 'reflux'" in each for each in problems)


def test_two_rules_of_one_name_in_one_folder_are_refused(tmp_path: Path) -> None:
    text = RULE.format(name="flux", match="flux", more="")
    doubled = text + text.split("rules:\n", 1)[1]
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yaml").write_text(doubled, encoding="utf-8")
    with pytest.raises(PackError, match="two rules are called 'flux'"):
        load_rules([tmp_path])
