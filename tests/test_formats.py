"""The catalogue: every sample of every format, bad pattern files, detection and its reasons."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from triage.errors import PackError, TriageError
from triage.intake.formats import Catalog, check_samples, detect, load_catalog
from triage.packs import pattern_dirs

PAGE = Path(__file__).resolve().parent.parent / "docs" / "formats.md"


@cache
def catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def write(tmp_path: Path, body: str) -> Path:
    (tmp_path / "formats").mkdir(exist_ok=True)
    (tmp_path / "formats" / "mine.yaml").write_text(body)
    return tmp_path


def test_every_sample_yields_the_fields_expected_of_it_and_no_format_steals_anothers_lines() -> None:
    assert check_samples(catalog()) == []


def test_every_format_has_two_samples_and_a_title() -> None:
    assert [f.name for f in catalog().formats.values() if len(f.samples) < 2 or not f.title] == []


def test_a_greedy_newcomer_is_reported(tmp_path: Path) -> None:
    body = "name: mine\norder: 1\npattern: '(?P<level>[A-Z]+)'\nsamples:\n  - {text: 'ABC x'}\n  - {text: 'DEF x'}\n"
    problems = check_samples(load_catalog((write(tmp_path, body), *pattern_dirs())))
    assert any(p.startswith("uvicorn: sample 1 is read as mine") for p in problems)


def test_a_wrong_expectation_is_reported_with_what_was_read(tmp_path: Path) -> None:
    body = "name: mine\npattern: '<<(?P<level>[A-Z]+)>> '\nsamples:\n  - {text: '<<INFO>> a', expect: {level: ERROR}}\n  - {text: '<<INFO>> b'}\n"
    problems = check_samples(load_catalog((write(tmp_path, body), *pattern_dirs())))
    place = tmp_path / "formats" / "mine.yaml"
    assert f"{place}:4: mine: sample 1: level is 'INFO', expected 'ERROR'" in problems


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("name: mine\npattern: '(?=x)'\n", "polars refuses the regex"),
        ("name: mine\npattern: '(?P<color>x)'\n", "unknown group 'color'"),
        ("name: mine\npatern: x\n", "unknown key 'patern'"),
        ("name: mine\n", "needs a pattern"),
        ("name: mine\nkind: csv\npattern: x\n", "kind is 'csv'"),
        ("name: mine\npattern: x\nlevels: {a: LOUD}\n", "unknown level 'LOUD'"),
        ("name: mine\npattern: x\nrow: metric\n", "row is 'metric'"),
        ("name: mine\nkind: json\nfields: {colour: [a]}\n", "unknown field 'colour'"),
    ],
)
def test_a_bad_format_file_is_named_with_a_hint(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(PackError, match=said) as problem:
        load_catalog((write(tmp_path, body),))
    assert "mine.yaml" in problem.value.message
    assert problem.value.hint


def test_a_users_format_wins_by_name(tmp_path: Path) -> None:
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "gunicorn.yaml").write_text("name: gunicorn\ntitle: ours\npattern: 'x'\n")
    assert load_catalog((tmp_path, *pattern_dirs()))["gunicorn"].title == "ours"


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(TriageError, match="no format called 'nginz'") as problem:
        catalog()["nginz"]
    assert "nginx-error" in problem.value.hint


def test_detection_names_envelope_and_contents_and_says_why() -> None:
    lines = [
        'api-1    | INFO:     127.0.0.1:49396 - "GET /users/389 HTTP/1.0" 200 OK',
        "api-1    | INFO:     Application startup complete.",
        "redis-1  | 1:M 02 Oct 2025 10:00:00.920 * Ready to accept connections",
        "redis-1  | 1:M 02 Oct 2025 10:00:00.920 * Running mode=standalone",
    ]
    found = detect(lines, catalog())
    assert found.chain == "docker-compose > redis, uvicorn, uvicorn-access"
    assert (found.matched, found.tried) == (4, 4)
    assert "redis 2" in found.why


def test_text_that_speaks_no_format_says_so() -> None:
    found = detect(b"hello\nworld\n", catalog())
    assert (found.chain, found.matched, found.tried) == ("text", 0, 2)
    assert "none of the first 2 lines" in found.why


def test_polars_takes_every_regex_of_our_formats(tmp_path: Path) -> None:
    copy = tmp_path / "formats"
    shutil.copytree(pattern_dirs()[-1] / "formats", copy)
    assert len(load_catalog((tmp_path,)).formats) == len(catalog().formats)
    (copy / "gcp.yaml").write_text((copy / "gcp.yaml").read_text().replace("(stdout|stderr)$", "(?=stdout)"))
    with pytest.raises(PackError, match="polars refuses the regex"):
        load_catalog((tmp_path,))


def table() -> str:
    """All formats as they stand in the documentation."""
    words = {
        "app": "a program's lines",
        "access": "access lines",
        "request": "requests",
        "platform": "the platform's lines",
    }
    rows = [
        f"| `{f.name}` | {f.title} | {f.kind} | {words[f.row]}{', which are recognised in turn' if f.unwraps else ''} |"
        for f in sorted(catalog().formats.values(), key=lambda f: f.name)
    ]
    return "\n".join(("| name | what it is | kind | holds |", "|---|---|---|---|", *rows)) + "\n"


def test_the_documentation_lists_every_format(update_golden: bool) -> None:
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition("--update-golden -->\n")
    listed, end, after = rest.partition("<!-- /formats -->")
    assert mark
    assert end
    if update_golden:
        PAGE.write_text(before + mark + table() + end + after, encoding="utf-8")
    else:
        assert listed == table()
