"""Marks: the life of processes and deployments, in any platform's words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from triage.errors import PackError
from triage.grouping.marks import MARKS, load_marks, mark
from triage.schema import EVENTS, conform

SIGNS = load_marks()


def events(*messages: str | None, exit_code: int | None = None) -> pl.DataFrame:
    frame = pl.DataFrame({"message": list(messages)}, schema={"message": pl.String()})
    return conform(frame.with_columns(exit_code=pl.lit(exit_code, dtype=pl.Int64), kind=pl.lit("app")), EVENTS)


def facts(message: str) -> dict[str, Any]:
    rows = mark(events(message)).drop("row").to_dicts()
    return {k: v for k, v in rows[0].items() if v is not None} if rows else {"mark": "none"}


@pytest.mark.parametrize(("text", "expected"), [(t, e) for s in SIGNS for t, e in s.examples.items()])
def test_every_example_of_the_pack_gives_its_mark(text: str, expected: Mapping[str, Any]) -> None:
    assert facts(text) == dict(expected)


@pytest.mark.parametrize(("name", "text"), [(s, t) for s in SIGNS for t in s.counter], ids=lambda v: str(v)[:40])
def test_a_line_that_only_has_the_words_gives_another_mark_or_none(name: Any, text: str) -> None:
    assert facts(text)["mark"] != name.mark


@pytest.mark.parametrize(
    "text",
    [
        "user asked why the container exited with code 1 yesterday",
        "retrying: process exited with status unknown",
        "GET /restart?reason=SIGTERM",
        "documentation of exit codes: 137 means OOMKilled or a kill".replace("OOMKilled", "out of memory"),
        "started order 17",
        "TooManyConnectionsError: too many clients",
        "listening to the customer",
    ],
)
def test_a_line_that_mentions_a_word_is_no_mark(text: str) -> None:
    assert facts(text) == {"mark": "none"}


def test_rows_are_the_indexes_of_the_events() -> None:
    found = mark(events("hello", "Container called exit(3).", None, "Container called exit(3).", "Killed"))
    assert found.schema == MARKS
    assert found["row"].to_list() == [1, 3, 4]
    assert found["exit_code"].to_list() == [3, 3, 137]


def test_only_the_first_line_speaks() -> None:
    assert mark(events("Traceback (most recent call last):\nContainer called exit(3).")).is_empty()


def test_an_exit_code_of_its_own_is_an_exit() -> None:
    found = mark(events("Task stopped", None, exit_code=137)).to_dicts()
    assert [(f["mark"], f["exit_code"], f["signal"]) for f in found] == [("exit", 137, "SIGKILL")] * 2


def test_a_deploy_keeps_no_exit_code() -> None:
    assert mark(events("Release v7 created by user x", exit_code=0))["exit_code"].to_list() == [None]


def test_no_hit_gives_an_empty_frame_of_the_same_form() -> None:
    assert mark(events("all is well")).schema == MARKS
    assert mark(events()).schema == MARKS


def test_each_entry_has_an_example_and_a_name_of_its_own() -> None:
    assert len({s.name for s in SIGNS}) == len(SIGNS)
    assert all(s.examples for s in SIGNS)


def test_a_broken_entry_is_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "marks.yaml"
    path.write_text("marks: [{name: a, mark: exit, needs: [x], pattern: '(?P<code>x)'}]")
    with pytest.raises(PackError, match="code"):
        load_marks([tmp_path])
    path.write_text("marks: [{name: a, mark: gone, needs: [x], pattern: x}]")
    with pytest.raises(PackError, match="gone"):
        load_marks([tmp_path])
    path.write_text("marks: [{name: a, mark: exit, needs: [x], pattern: '(?=x)'}]")
    with pytest.raises(PackError, match="Rust regex"):
        mark(events("x"), dirs=(tmp_path,))
