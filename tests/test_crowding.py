"""Very many different messages: a summary keeps the weightiest, counts the rest together, and the report says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage import counting
from triage.diagnosis.diagnose import diagnose
from triage.diagnosis.nodes import MOST
from triage.engine import summarize
from triage.grouping import crowding
from triage.grouping.crowding import OTHER
from triage.report import Report
from triage.summary import Summary

LETTERS = "abcdefghij"
CAUSE = (
    "Traceback (most recent call last):",
    '  File "/app/store.py", line 4, in load',
    "    return rows[key]",
    "KeyError: 'cart'",
)


def word(number: int) -> str:
    """A word of its own for each number, which no mask and no fold takes for a value."""
    return "q" + "".join(LETTERS[int(digit)] for digit in f"{number:05d}")


def write(path: Path, numbers: range, *more: str) -> str:
    lines = [
        f"2026-03-02 10:{n // 60 % 60:02d}:{n % 60:02d},000 ERROR [shop] {word(n)} broke {word(n * 7 % 99_991)}"
        for n in numbers
    ]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return str(path)


def records(summary: Summary) -> int:
    return int(summary["clusters"]["count"].sum())


def test_what_a_bound_cuts_is_counted_and_the_frequent_and_the_traced_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowding, "MOST_IDS", 40)
    often = ["2026-03-02 11:00:00,000 ERROR [shop] the printer is on fire"] * 5
    traced = ["2026-03-02 11:00:01,000 ERROR [shop] cannot load", *CAUSE]
    summary = summarize([write(tmp_path / "a.log", range(500), *often, *traced)])
    assert summary["nodes"].height == summary["groups"].height == 40
    assert records(summary) == 506
    report = diagnose(summary)
    assert sum(c.count for c in report.clusters) == 506
    assert {"the printer is on fire": 5}.items() <= {c.message: c.count for c in report.clusters}.items()
    assert any(c.exception == "KeyError" for c in report.clusters)
    assert report.clusters[-1].id == OTHER
    assert f"({report.clusters[-1].count:,} records)" in report.clusters[-1].message
    assert any("counted together" in notice for notice in report.intake.notices)


def test_shards_keep_the_same_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write(tmp_path / "whole.log", range(300))
    parts = [write(tmp_path / f"{n}.log", range(n, n + 100)) for n in (0, 100, 200)]
    monkeypatch.setattr(crowding, "MOST_IDS", 30)
    one, several = summarize([whole]), summarize(parts)
    again = Summary.merge([summarize([part]) for part in reversed(parts)])
    assert one["nodes"].equals(several["nodes"])
    assert one["groups"].equals(again["groups"])
    assert records(one) == records(several) == records(again) == 300


def test_a_message_and_its_group_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "MOST_IDS", 30)
    summary = summarize([write(tmp_path / "a.log", range(300))])
    assert summary["members"].height == 30


def test_large_batches_are_summarized_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.log", range(300), "2026-03-02 11:00:01,000 ERROR [shop] cannot load", *CAUSE)
    whole = summarize([path])
    monkeypatch.setattr(counting, "_LOUD", 64)
    pieces = summarize([path])
    assert all(whole[name].equals(pieces[name]) for name in whole.tables)


def many(tmp_path: Path, count: int) -> Report:
    more = ["2026-03-02 11:00:01,000 ERROR [shop] cannot load", *CAUSE]
    return diagnose(summarize([write(tmp_path / "a.log", range(count), *more)]))


def test_of_very_many_failures_the_most_telling_are_held_against_one_another(tmp_path: Path) -> None:
    report = many(tmp_path, 2 * MOST)
    assert any("were not held against the others" in notice for notice in report.intake.notices)
    assert any(link.kind == "wraps" for link in report.links)
    assert sum(c.count for c in report.clusters) == 2 * MOST + 1


def test_of_fewer_all_are(tmp_path: Path) -> None:
    report = many(tmp_path, MOST // 2)
    assert not any("held against" in notice for notice in report.intake.notices)
