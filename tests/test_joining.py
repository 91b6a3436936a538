"""Lines to records, end to end: what prefixes, transports, processes and kills do to tracebacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import Program

TRACE = ("Traceback (most recent call last):", '  File "/srv/a.py", line 3, in one', "    take()", "KeyError: 'a'")
OTHER = ("Traceback (most recent call last):", '  File "/srv/b.py", line 9, in two', "    give()", "ValueError: b")


def read(triage: Program, folder: Path, lines: Sequence[str]) -> list[dict[str, Any]]:
    log, out = folder / "app.log", folder / "records.jsonl"
    log.write_text("\n".join(lines) + "\n")
    triage("records", log, "-o", out)
    with out.open(encoding="utf-8") as records:
        return [json.loads(line) for line in records]


def behind(prefix: str, lines: Sequence[str]) -> list[str]:
    return [prefix + line for line in lines]


def test_two_processes_of_one_program_that_write_between_each_others_lines(triage: Program, tmp_path: Path) -> None:
    pairs = zip(
        behind("Mar  3 10:00:00 h1 shop[11]: ", TRACE), behind("Mar  3 10:00:00 h1 shop[22]: ", OTHER), strict=True
    )
    found = read(triage, tmp_path, [line for pair in pairs for line in pair])
    assert [(one["exception"], one["lines"]) for one in found] == [("KeyError", 4), ("ValueError", 4)]


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        ("panic: no stock", ["", "goroutine 1 [running]:", "main.take(0x1, {0x2, 0x3})", "\t/srv/main.go:9 +0x1d"]),
        (
            "PHP Fatal error:  Uncaught Error: no stock in /srv/a.php:3",
            ["Stack trace:", "#0 /srv/b.php(9): take()", "#1 {main}"],
        ),
        (
            "/srv/a.rb:3:in `take': no stock (KeyError)",
            ["\tfrom /srv/b.rb:9:in `give'", "\tfrom /srv/c.rb:1:in `<main>'"],
        ),
    ],
)
def test_a_trace_behind_a_header_on_every_line_is_one_record(
    triage: Program, tmp_path: Path, first: str, rest: list[str]
) -> None:
    lines = behind("Mar  3 10:00:00 h1 shop[11]: ", [first, *rest])
    found = read(
        triage, tmp_path, ["Mar  3 09:59:58 h1 shop[11]: open", *lines, "Mar  3 10:00:09 h1 shop[11]: open again"]
    )
    assert [one["lines"] for one in found] == [1, len(lines), 1]


def test_text_that_comes_later_than_a_trace_is_no_part_of_it(triage: Program, tmp_path: Path) -> None:
    stamped = [f"2026-03-03T10:00:00.00000{n}001Z stderr F {line}" for n, line in enumerate(TRACE)]
    found = read(triage, tmp_path, [*stamped, "2026-03-03T10:00:01.500000001Z stderr F listening again"])
    assert [one["lines"] for one in found] == [4, 1]


def test_a_trace_that_a_kill_cut_off_is_kept_and_said_so(triage: Program, tmp_path: Path) -> None:
    lines = ["2026-03-03 10:00:00,000 INFO app: open", "2026-03-03 10:00:01,000 ERROR app: broken", *TRACE[:3]]
    assert [one["lines"] for one in read(triage, tmp_path, lines)] == [1, 4]
    report = triage("analyze", tmp_path / "app.log", "--format", "md").out
    assert "a traceback ends before its exception, as when a process is killed" in report


def test_a_number_in_brackets_of_a_header_is_no_frame(triage: Program, tmp_path: Path) -> None:
    found = read(
        triage, tmp_path, behind("Mar  3 10:00:00 h1 disk[0]: ", ["hibernate now", "PollerOpen(0)", "PollerClose(0)"])
    )
    assert len(found) == 3


@pytest.mark.parametrize(
    "block",
    [
        [
            "lua: shop.lua:4: attempt to index a nil value",
            "stack traceback:",
            "\tshop.lua:4: in function 'total'",
            "\t[C]: in ?",
        ],
        [
            "shop: Prelude.head: empty list",
            "CallStack (from HasCallStack):",
            "  head, called at src/A.hs:12:9 in main:A",
        ],
        ["Error in total(cart) : ", "  object 'sku' not found", "Calls: run -> total", "Execution halted"],
        [
            "*** Error in `./srv': double free ***",
            "======= Backtrace: =========",
            "./srv(drop+0x18)[0x400598]",
            "./srv[0x400469]",
        ],
    ],
)
def test_blocks_between_plain_lines_are_records(triage: Program, tmp_path: Path, block: list[str]) -> None:
    found = read(triage, tmp_path, ["open for business", *block, "open for business"])
    assert [one["line"] for one in found] == [1, 2, 2 + len(block)]
