"""Lines that only count are told apart by compiled code: the summary is that of reading every line as a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from polars.testing import assert_frame_equal

from triage import shards
from triage.engine import read, summarize
from triage.grouping.marks import telling_words
from triage.intake import calm, compiled
from triage.intake.calm import Sieve, Telling
from triage.intake.detection import study
from triage.intake.letters import patterns_of
from triage.intake.programs import program_of
from triage.intake.sources import open_sources
from triage.intake.stacks import default_traces
from triage.options import Options, catalog_of, reading_options
from triage.summary import Summary

Header = Callable[[str, str, str, str, str], str]
HEADERS: tuple[Header, ...] = (
    lambda day, time, level, name, text: f"{day} {time},017 {level} app.{name}: {text}",
    lambda day, time, level, name, text: f"{day}T{time}.017123Z [{level}] {name}: {text}",
    lambda day, time, level, name, text: f"{day} {time},017 {level}  [main] com.shop.{name} - {text}",
    lambda day, time, level, name, text: f"{day} {time}.017 | {level:<8} | shop.{name}:run:31 - {text}",
    lambda day, time, level, name, text: f"{day}T{time}.017+02:00  {level} 1 --- [main] c.s.{name} : {text}",
    lambda day, time, level, name, text: f"{day} {time} - app.{name} - {level} - {text}",
)
TEXTS = (
    "order 17 done in 3 ms", "Node.js v20.1.0", "KeyError: 4", "... 12 more", "", "  indented", "step:", "Listening at: http://0.0.0.0:80",
    "SHUTTING DOWN", "cut [truncated]", "Traceback (most recent call last):", "Caused by: no", "at com.x.Y(Z.java:1)", "ünï", "tab\there",
    "a\x1b[31mred\x1b[0m", "exited with code 1", "over\r", "java.lang.IllegalStateException: no", "goroutine 1 [running]:",
)  # fmt: skip
TRACES = tuple(patterns_of(default_traces()).values())
STACKS = [sample["text"].splitlines() for language in default_traces().languages for sample in language.samples]


@st.composite
def logs(draw: st.DrawFn) -> str:
    """A log with one header, most of it calm."""
    header, lines, seconds = draw(st.sampled_from(HEADERS)), list[str](), 36_000
    names, levels = (
        st.sampled_from(("order", "order", "pay", "IOError")),
        st.sampled_from(("INFO", "DEBUG", "WARNING", "ERROR")),
    )

    def put(level: str, text: str, step: int = 0) -> None:
        nonlocal seconds
        seconds += step
        day = draw(st.sampled_from(("2026-03-02",) * 60 + ("1999-01-01", "2026-02-30")))
        time = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        lines.append(header(day, time, level, draw(names), text))

    for _ in range(draw(st.integers(2, 12))):
        kind = draw(st.sampled_from(("calm", "calm", "one", "bare", "lined", "alone")))
        stack = draw(st.sampled_from(STACKS))
        if kind == "calm":
            for n in range(draw(st.sampled_from((1, 3, 9, 40)))):
                put("INFO" if n % 7 else "DEBUG", f"order {n} kept", draw(st.sampled_from((0, 0, 1, 3, -2))))
        elif kind == "one":
            put(draw(levels), draw(st.sampled_from(TEXTS)), 1)
        elif kind == "lined":
            level = draw(levels)
            for line in stack:
                put(level, line)
        else:
            if kind == "bare":
                put(draw(levels), draw(st.sampled_from(("failed", "boom:"))), 1)
            lines += stack[: draw(st.integers(1, len(stack)))]
    return "\n".join(lines) + "\n"


def summaries(path: Path, patch: pytest.MonkeyPatch, text_bytes: int) -> tuple[Summary, Summary]:
    """What is made of a log with lines that only count told apart from the first line on, and without."""
    patch.setattr(calm, "FIRST_ROWS", 0)
    patch.setattr(shards, "reading_options", lambda options: replace(reading_options(options), text_bytes=text_bytes))
    sifted = summarize([str(path)], Options(jobs=1))
    patch.setattr(shards, "Telling", lambda *_: None)
    return sifted, summarize([str(path)], Options(jobs=1))


def same(one: Summary, other: Summary) -> None:
    for name, table in one.tables.items():
        assert_frame_equal(table, other[name])
    assert one.widths == other.widths


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(logs(), st.sampled_from((700, 4_000, 1 << 20)))
def test_a_log_gives_the_same_with_and_without_the_sieve(
    tmp_path_factory: pytest.TempPathFactory, text: str, text_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("calm") / "app.log"
    path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        same(*summaries(path, patch, text_bytes))


def log_of(tmp_path: Path, *odd: str) -> Path:
    """A calm log of python's logging with odd lines in its middle."""
    lines = [f"2026-03-02 10:00:{n // 20:02d},{n % 20:03d} INFO app.order: order {n} kept" for n in range(1_200)]
    path = tmp_path / "app.log"
    path.write_text("\n".join([*lines[:600], *odd, *lines[600:]]) + "\n", encoding="utf-8")
    return path


def sifted_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that are kept of what is not near an end or an odd line."""
    monkeypatch.setattr(calm, "FIRST_ROWS", 0)
    reading = study(open_sources([str(path)])[0].open(), catalog_of(None))
    assert (reading.header is None) == (compiled.SIEVE is None)
    if reading.header is None:
        return path.read_text(encoding="utf-8").splitlines()
    found = Sieve(reading.header, Telling(telling_words(), TRACES)).sift(path.read_bytes(), 1, 1_201)
    assert found is not None
    assert len(found.lines) + found.calm.count == len(path.read_text(encoding="utf-8").splitlines())
    return found.lines.to_list()


@pytest.mark.parametrize(
    "text",
    [
        "INFO app.order: Listening at: http://0.0.0.0:8000 (7)", "INFO app.order: gunicorn: shutting down: Master", "WARNING app.order: slow",
        "INFO app.order: payload [TRUNCATED: 3 bytes]", "INFO app.order:   indented", "INFO app.order: what follows:", "INFO appläden.order: x",
        "INFO app.MyError: x", "CALM app.order: no such level", "INFO no colon",
    ],
)  # fmt: skip
def test_a_line_that_says_more_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    line = f"2026-03-02 10:00:30,000 {text}"
    kept = sifted_of(log_of(tmp_path, line), monkeypatch)
    assert line in kept
    assert compiled.SIEVE is None or len(kept) < 60


def test_next_to_a_warning_only_what_may_go_on_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = "2026-03-02 10:00:30,000 {} app.order: {}".format
    odd = [header("INFO", "before"), header("WARNING", "slow query"), header("INFO", "kept")]
    kept = sifted_of(log_of(tmp_path, *odd), monkeypatch)
    assert [line for line in kept if line in odd] == (odd[1:2] if compiled.SIEVE is not None else odd)
    odd[2] = header("INFO", "at com.x.Y.run(Z.java:1)")
    kept = sifted_of(log_of(tmp_path, *odd), monkeypatch)
    assert [line for line in kept if line in odd] == odd


def test_most_of_a_calm_log_never_becomes_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = sifted_of(log_of(tmp_path), monkeypatch)
    assert len(kept) == (32 if compiled.SIEVE is not None else 1_200)


def test_times_without_a_zone_are_counted_for_lines_that_only_count(tmp_path: Path) -> None:
    path = log_of(tmp_path, "2026-03-02 10:00:30,000 ERROR app.order: lost")
    (said,) = [n for n in summarize([str(path)], Options())["notices"]["notice"] if "zone" in n]
    assert "1,201 stamps name no time zone" in said


def test_what_a_zone_is_ahead_is_taken_from_the_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.log"
    path.write_text(
        "".join(f"2026-03-02T10:00:{n // 20:02d}.000+02:00  INFO 1 --- [main] c.s.Pay : {n} kept\n" for n in range(900))
    )
    first, second = summaries(path, monkeypatch, 1 << 20)
    same(first, second)
    assert str(first["sources"]["first"][0]) == "2026-03-02 08:00:00+00:00"


def test_a_stamp_far_off_is_refused_among_lines_that_only_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = "1971-03-02 10:00:30,000 INFO app.order: Listening at: http://0.0.0.0:80"
    first, second = summaries(
        log_of(tmp_path, far, *["2026-03-02 10:00:30,000 INFO app.order: kept"] * 40, far), monkeypatch, 1 << 20
    )
    same(first, second)
    assert any("2 stamps lie far from all others" in notice for notice in first["notices"]["notice"])


@pytest.mark.parametrize("options", [Options(since="2026-03-02T10:00:20Z"), Options(until="2026-03-02T10:00:20Z")])
def test_single_records_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options) -> None:
    monkeypatch.setattr(calm, "FIRST_ROWS", 0)
    path = log_of(tmp_path)
    counted = summarize([str(path)], options)["volume"]["count"].sum()
    assert counted == read(str(path), options).collect().height < 1_200


@pytest.mark.parametrize("regex", [r"a\b", "(?x)a b", "[a&&b]", "(a*)*", r"\pL", "a**", "(?-u:\xff)"])
def test_a_regex_that_holds_what_is_not_known_has_no_program(regex: str) -> None:
    assert program_of(regex, ("level",)) is None


def test_every_plain_header_of_the_catalogue_is_sifted(tmp_path: Path) -> None:
    """A line that its format reads is read alike by the program."""
    if compiled.SIEVE is None:
        return  # built without the compiled part
    seen = set()
    for entry in catalog_of(None).text:
        for sample in entry.samples:
            line = sample.text.splitlines()[0]
            if not (str(sample.expect.get("level", "")) in ("INFO", "DEBUG") and len(sample.text.splitlines()) == 1):
                continue
            path = tmp_path / f"{entry.name}.log"
            path.write_text(f"{line}\n" * 100)
            reading = study(open_sources([str(path)])[0].open(), catalog_of(None))
            if reading.header is None or reading.header.entry.name != entry.name:
                continue
            found = Sieve(reading.header, Telling(())).sift(path.read_bytes(), 3_000, 100)
            assert found is not None
            if found.calm.count:
                assert found.calm.rows["level"].unique().to_list() == [sample.expect["level"]]
                seen.add(entry.name)
    assert seen >= {"python-logging", "log4j", "loguru", "spring-boot", "python-dashes"}


def test_what_a_runtime_says_at_its_end_goes_on_no_header_of_another_logger(tmp_path: Path) -> None:
    lines = (
        "INFO app.pay: kept",
        "INFO app.order: order 1 kept",
        "INFO app.order: Node.js v20.1.0",
        "INFO app.pay: kept",
    )
    path = tmp_path / "app.log"
    path.write_text("".join(f"2026-03-02 10:00:00,{n:03d} {line}\n" for n, line in enumerate(lines)))
    assert read(str(path)).collect()["lines"].to_list() == [1, 1, 1, 1]


def test_lines_that_end_as_on_windows_are_sifted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log_of(tmp_path, "2026-03-02 10:00:30,000 ERROR app.order: lost")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    first, second = summaries(path, monkeypatch, 1 << 20)
    same(first, second)
    assert len(sifted_of(path, monkeypatch)) == (33 if compiled.SIEVE is not None else 1_201)
