"""Input as it comes: banners first, a stack first, broken lines, several formats line by line; no line is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import triage
from conftest import Program
from triage.report import Report

STACK = 'Traceback (most recent call last):\n  File "/app/shop/orders.py", line 7, in price\n    return rates[code]\nKeyError: 17\n'
BANNER = "=" * 60 + "\n   ___  shop server 4.2\n  (c) the shop\n" + "=" * 60 + "\n\n"
JOURNAL = "Mar  2 10:14:{s:02d} h1 systemd[1]: Started session {s} of user root.\n"
NGINX = '10.0.0.7 - - [02/Mar/2026:10:14:{s:02d} +0000] "GET /orders/{s} HTTP/1.1" 200 12 "-" "curl/8"\n'
APP = "2026-03-02 10:14:{s:02d},112 ERROR shop.orders: cannot price order {s}\n"
ENTRY = '{{"time":"2026-03-02T10:14:{s:02d}.5Z","level":"warn","msg":"slow answer {s}"}}\n'


def read(tmp_path: Path, text: str) -> tuple[list[dict[str, object]], Report]:
    path = tmp_path / "in.log"
    path.write_text(text)
    report = triage.analyze(str(path))
    rows = triage.read(str(path)).collect().sort("line").to_dicts()  # a record that may go on is held back
    told = report.intake
    assert told.lines == text.count("\n")
    assert told.lines == sum(int(str(r["lines"])) for r in rows) + told.blank + told.rejected
    assert told.records == len(rows)
    return rows, report


def test_formats_that_interleave_are_read_line_by_line(tmp_path: Path) -> None:
    text = "".join(line.format(s=s) for s in range(1, 41) for line in (JOURNAL, NGINX, APP, ENTRY))
    rows, report = read(tmp_path, text)
    assert len(rows) == 160
    assert [r for r in rows if r["at"] is None] == []
    assert [r["level"] for r in rows[2:8]] == ["ERROR", "WARNING", None, None, "ERROR", "WARNING"]
    assert [r["message"] for r in rows[2:4]] == ["cannot price order 1", "slow answer 1"]
    assert rows[1]["status"] == 200
    assert (report.counts.errors, report.counts.warnings) == (40, 40)


def test_json_that_comes_late_and_text_that_comes_late_are_both_read(tmp_path: Path) -> None:
    for first, second in ((APP, ENTRY), (ENTRY, APP)):
        text = "".join(first.format(s=s % 60) for s in range(600)) + "".join(second.format(s=s % 60) for s in range(30))
        rows, _ = read(tmp_path, text)
        assert len(rows) == 630
        assert {r["level"] for r in rows[600:]} == {"WARNING" if second is ENTRY else "ERROR"}


@pytest.mark.parametrize("line", [APP, ENTRY, NGINX, JOURNAL])
def test_a_banner_in_front_changes_nothing_behind_it(tmp_path: Path, line: str) -> None:
    body = "".join(line.format(s=s) for s in range(1, 31))
    plain, _ = read(tmp_path, body)
    rows, _ = read(tmp_path, BANNER + body)
    keys = ("at", "level", "message", "status")
    assert [[r[k] for k in keys] for r in rows[-30:]] == [[r[k] for k in keys] for r in plain]


@pytest.mark.parametrize("line", [APP, ENTRY, NGINX])
def test_a_stack_in_front_is_an_exception_and_the_rest_is_read(tmp_path: Path, line: str) -> None:
    rows, report = read(tmp_path, STACK + "".join(line.format(s=s) for s in range(1, 31)))
    assert len(rows) == 31
    assert rows[0]["exception"] == "KeyError"
    assert [r for r in rows[1:] if r["at"] is None] == []
    assert any(f.exception == "KeyError" and f.count == 1 for f in report.failures)


@pytest.mark.parametrize(
    "broken", ['{"time":"2026-03-02T10:14:09Z","level":"err', '{"a":1}}', "\x00\x01", "}{", '{"msg": "a" "b"}']
)
def test_one_malformed_line_is_kept_and_counted(tmp_path: Path, broken: str) -> None:
    lines = [ENTRY.format(s=s) for s in range(1, 31)]
    rows, report = read(tmp_path, "".join([*lines[:10], broken + "\n", *lines[10:]]))
    assert sum(r["level"] == "WARNING" for r in rows) == 30
    assert report.counts.warnings == 30
    assert report.intake.rejected + report.intake.continuation <= 1


@pytest.mark.parametrize("body", [APP, ENTRY, NGINX, JOURNAL])
@pytest.mark.parametrize("front", ["", BANNER, STACK])
def test_detection_says_the_same_of_a_pipe(tmp_path: Path, triage: Program, front: str, body: str) -> None:
    text = front + "".join(body.format(s=s) for s in range(1, 31))
    path = tmp_path / "in.log"
    path.write_text(text)
    detect = ("patterns", "detect")
    runs = [triage(*detect, path), triage(*detect, "-", stdin=text.encode()), triage(*detect, stdin=text.encode())]
    assert [run.code for run in runs] == [0, 0, 0]
    told = [run.out.strip() for run in runs]
    assert len({t.split(": ", 1)[1] for t in told}) == 1
    assert told[1].startswith("-: ")
    assert "30 of the first" in told[0]


def test_what_aws_logs_tail_prints_as_json_is_one_record_each(tmp_path: Path) -> None:
    text = ""
    for s in range(1, 31):
        entry = {"level": "error" if s % 3 == 0 else "info", "msg": f"answer {s}", "inner": {"list": [1, {"a": "}"}]}}
        stream = ("ecs/api/d02d500cb2f75d18188f6e0a84d15268", "2026/04/02/[$LATEST]ab12ab12", "i-0abc123def4567890")[
            s % 3
        ]
        text += f"2026-04-02T08:00:{s:02d}.123000+00:00 {stream} {json.dumps(entry, indent=4)}\n"
        if s in (10, 20):
            text += f"2026-04-02T08:00:{s:02d}.500000+00:00 {stream} plain words {{\nand more of them\n"
    rows, report = read(tmp_path, text)
    assert [r["message"] for r in rows][:3] == ["answer 1", "answer 2", "answer 3"]
    assert report.counts.errors == 10
    assert len(rows) == 32
    assert [r["lines"] for r in rows if "plain words" in str(r["message"])] == [2, 2]


def test_an_object_that_never_ends_keeps_its_lines(tmp_path: Path) -> None:
    head = '2026-04-02T08:00:01.123000+00:00 prod {\n    "level": "error",\n    "msg": "cut of'
    whole = '2026-04-02T08:00:00.123000+00:00 prod {\n    "level": "error",\n    "msg": "whole"\n}\n'
    rows, _ = read(tmp_path, whole + head + "\n")
    assert rows[0]["message"] == "whole"


@pytest.mark.parametrize("times", [1, 4])
def test_stamps_of_whole_seconds_behind_finer_ones_are_in_order(tmp_path: Path, times: int) -> None:
    header = "[2026-03-02 10:14:{s:02d},112] ERROR in app: Exception on /orders/{s} [GET]\n"
    access = '10.0.0.7 - - [02/Mar/2026 10:14:{s:02d}] "GET /orders/{s} HTTP/1.1" 500 -\n'
    rows, report = read(tmp_path, "".join((header + STACK + access).format(s=s) for s in range(times)))
    assert report.intake.out_of_order == 0
    assert [row["stack"] for row in rows[::2]] == [STACK.rstrip("\n")] * times
    assert [row["message"] for row in rows[::2]] == [f"Exception on /orders/{s} [GET]" for s in range(times)]


@pytest.mark.parametrize("label", [{"service": "worker"}, {"labels": {"app": "worker"}}, {}])
def test_labels_beside_the_text_make_no_record_of_a_printed_line(tmp_path: Path, label: dict[str, object]) -> None:
    """An exporter adds a name of its own to each line that a program prints: level and header are those in the text."""
    said: list[tuple[str, str, str]] = []
    for s in range(1, 13):
        clock = f"10:14:{s:02d}"
        said += [
            ("error", f"{clock}.112", f"2026-03-02 {clock},110 INFO shop.jobs: render {s}"),
            ("info", f"{clock}.612", f"{clock} Worker 7f: default: Job OK ({s})"),
            ("info", f"{clock}.613", f"{clock} Worker 7f: result is kept"),
        ]
        if s % 4 == 0:
            said += [("error", f"{clock}.7", f"2026-03-02 {clock},700 ERROR shop.jobs: cannot render {s}")]
            said += [("error", f"{clock}.70{n}", line) for n, line in enumerate(STACK.splitlines(), 1)]
    text = "".join(
        json.dumps({"timestamp": f"2026-03-02T{at}00Z", "level": level, "message": message, **label}) + "\n"
        for level, at, message in said
    )
    rows, report = read(tmp_path, text)
    assert len(rows) == 39
    assert (report.counts.errors, report.counts.warnings) == (3, 0)
    assert [r["lines"] for r in rows if r["exception"] == "KeyError"] == [5, 5, 5]


def test_printed_lines_long_after_a_record_are_no_part_of_it(tmp_path: Path) -> None:
    text = "".join(
        json.dumps({"timestamp": f"2026-03-02T10:14:{s:02d}.{ms}Z", "level": "info", "message": message}) + "\n"
        for s in range(1, 20)
        for ms, message in (
            (112345, f"2026-03-02 10:14:{s:02d},110 INFO shop.jobs: effective settings of run {s}:"),
            (112399, "retries = 3"),
            (812345, f"stored {s} files"),
        )
    )
    rows, _ = read(tmp_path, text)
    assert [r["lines"] for r in rows] == [2, 1] * 19


@pytest.mark.parametrize(("stamp", "unit"), [("1772446447.{s:03d}", 1000.0), ('"2026-03-02T10:14:07.{s:03d}Z"', 1.0)])
def test_durations_without_a_unit_are_seconds_where_the_stamps_are(tmp_path: Path, stamp: str, unit: float) -> None:
    text = "".join(
        f'{{"level":"info","ts":{stamp.format(s=s)},"msg":"request","method":"GET","path":"/a","status":200,"duration":0.00{s}}}\n'
        for s in range(101, 130)
    )
    rows, _ = read(tmp_path, text)
    assert [r["latency_ms"] for r in rows] == pytest.approx([s * 1e-5 * unit for s in range(101, 130)])
