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


@pytest.mark.parametrize(
    "prefix",
    [
        "Mar  3 10:00:0{second} h1 shop[11]: ",
        "2026-03-03T10:00:0{second}+0000 h1 shop[11]: ",
        "2026-03-03T10:00:0{second}.000{n}12345Z ",
    ],
)
def test_lines_behind_a_transport_go_on_what_has_a_header_of_its_own(
    triage: Program, tmp_path: Path, prefix: str
) -> None:
    blocks = [
        ["10:00:00.1 INFO open"],
        ["10:00:00.2 ERROR cannot save: disk full", "free: 0", "main.save", "\t/build/main.go:5"],
        ["10:00:00.3 INFO plan", "first", "  deep"],
        ["10:00:00.4 WARN thread died", "index out of bounds", "  left: [1]", " right: []"],
    ]
    lines = [
        prefix.format(second=second, n=n) + text
        for second in range(4)
        for block in blocks
        for n, text in enumerate(block)
    ]
    assert [one["lines"] for one in read(triage, tmp_path, lines)] == [len(block) for block in blocks] * 4


def test_lines_of_programs_without_headers_are_records_though_some_have_one(triage: Program, tmp_path: Path) -> None:
    texts = [
        "session opened",
        "10:00:00.1 INFO key read",
        "session closed",
        "reload",
        "10:00:00.2 INFO key read",
        "bye",
    ]
    lines = [f"Mar  3 10:00:{n % 60:02} h1 sshd[11]: {text}" for n, text in enumerate(texts * 5)]
    assert len(read(triage, tmp_path, lines)) == len(lines)
    times = (f"2026-03-03T10:00:00.{n * 20:03}123456Z {text}" for n, text in enumerate(texts * 5))
    assert len(read(triage, tmp_path, list(times))) == len(lines)


HEADER = "2026-03-03 10:00:00,{n:03} ERROR    shop - "


@pytest.mark.parametrize(
    "block",
    [
        ["cannot sell", *TRACE],
        ["2 hosts down", "  + Exception Group Traceback (most recent call last):", '  |   File "/srv/a.py", line 3, in f',
         "  |     raise eg", "  | ExceptionGroup: down (1 sub-exception)", "  +-+---------------- 1 ----------------",
         "    | OSError: no route", "    +------------------------------------"],
        ["Task exception was never retrieved", "future: <Task finished name='a' coro=<f() done>>", *TRACE],
    ],
)  # fmt: skip
def test_a_logger_that_repeats_its_header_on_every_line_of_a_trace(
    triage: Program, tmp_path: Path, block: list[str]
) -> None:
    calm = "2026-03-03 10:00:00,000 INFO     shop - next"
    lines = [HEADER.format(n=n) + line for n, line in enumerate(block)]
    assert [one["lines"] for one in read(triage, tmp_path, [calm, *lines, calm, calm])] == [1, len(block), 1, 1]


@pytest.mark.parametrize(
    "remark",
    [
        "(node:6821) MaxListenersExceededWarning: Possible leak",
        "ls: cannot access '/srv/a': No such file or directory",
        "deploy.sh: line 26: /srv/b: Permission denied",
        "odd feed at p.pl line 5.",
        "a.rb:21: warning: method redefined; discarding old total",
    ],
)
def test_what_a_tool_says_between_the_lines_of_a_logger_is_a_record(
    triage: Program, tmp_path: Path, remark: str
) -> None:
    log = ["2026-03-03 10:00:00,000 INFO shop: open", remark, "2026-03-03 10:00:00,001 INFO shop: done"]
    found = read(triage, tmp_path, log)
    assert [(one["lines"], one["level"]) for one in found] == [(1, "INFO"), (1, None), (1, "INFO")]
    failed = ["2026-03-03 10:00:00,000 ERROR shop: backup failed, it said:", remark, log[2]]
    # a warning of Node has a header of its own
    assert [one["lines"] for one in read(triage, tmp_path, failed)] == ([1, 1, 1] if "node" in remark else [2, 1])


def test_lines_of_a_message_inside_of_a_trace_that_moves_only_the_first(triage: Program, tmp_path: Path) -> None:
    java = [
        "java.lang.IllegalStateException: close failed",
        "\tat a.B.c(B.java:1)",
        "\tSuppressed: java.io.IOException: pipe",
    ]
    java += ["broken", "\t\t... 3 more"]
    head, tail = "2026-03-03 10:00:00,000 INFO shop: open", "2026-03-03 10:00:00,001 INFO shop: done"
    assert [one["lines"] for one in read(triage, tmp_path, [head, *java, tail])] == [1, 5, 1]


def test_a_thread_dump_is_one_record(triage: Program, tmp_path: Path) -> None:
    dump = [
        "2026-03-03 10:00:01",
        "Full thread dump OpenJDK 64-Bit Server VM (17.0.15+6 mixed mode):",
        "",
        "Threads class SMR info:",
    ]
    dump += ["_java_thread_list=0x00007fe9e001b120, length=1, elements={", "0x00007fea540178f0", "}", ""]
    dump += [
        '"main" #1 prio=5 os_prio=0 tid=0x00007fea540178f0 nid=0x2066 runnable',
        "   java.lang.Thread.State: RUNNABLE",
    ]
    dump += [
        "\tat a.B.c(B.java:1)",
        "\t- locked <0x0000000687400000> (a a.B)",
        "",
        "JNI global refs: 15, weak refs: 0",
        "",
        "Heap",
    ]
    dump += [" garbage-first heap   total 116160K, used 10329K"]
    head, tail = "2026-03-03 10:00:00,000 INFO shop: open", "2026-03-03 10:00:02,001 INFO shop: done"
    found = read(triage, tmp_path, [head, *dump, tail])
    assert [(one["lines"], one["level"]) for one in found] == [(1, "INFO"), (len(dump), None), (1, "INFO")]


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


def test_a_chain_that_is_moved_to_the_right_goes_on(triage: Program, tmp_path: Path) -> None:
    link = ("", "During handling of the above exception, another exception occurred:", "")
    block = [
        "[E 261123 20:49:33 web:2108] Uncaught exception GET /cart (127.0.0.1)",
        *behind("    ", [*TRACE, *link, *OTHER]),
    ]
    calm = [f"[I 261123 20:49:33 web:2591] 200 GET /{n} (127.0.0.1) 0.44ms" for n in range(4)]
    found = read(triage, tmp_path, [*calm[:2], *block, *calm[2:]])
    assert sorted(one["line"] for one in found) == [1, 2, 3, 3 + len(block), 4 + len(block)]


def test_lines_below_a_header_that_names_its_node_or_stream_are_of_the_same_writer(
    triage: Program, tmp_path: Path
) -> None:
    node = "[2026-03-02T10:14:0{n},112][{level}][o.e.b.Store    ] [node-1] {text}"
    search = [
        node.format(n=1, level="INFO ", text="started"),
        node.format(n=2, level="WARN ", text="took[1.2s], source[{"),
        '  "id" : 7',
        "}]",
        node.format(n=3, level="ERROR", text="cannot load"),
        "java.lang.IllegalStateException: closed",
        "\tat com.acme.Store.load(Store.java:6)",
    ]
    assert [one["lines"] for one in read(triage, tmp_path, search)] == [1, 3, 3]
    stream = "2026-03-02T10:14:07.112000+00:00 2026/03/02/[$LATEST]8f1c0d "
    tail = [
        f"{stream}[INFO]\t2026-03-02T10:14:07.100Z\t4299ee26\topen",
        f"{stream}[ERROR] KeyError: 'a'",
        *TRACE[:3],
        f"{stream}[INFO]\t2026-03-02T10:14:07.200Z\t4299ee27\topen",
    ]
    assert [one["lines"] for one in read(triage, tmp_path, tail)] == [1, 4, 1]


def test_what_a_runtime_says_last_ends_its_record(triage: Program, tmp_path: Path) -> None:
    warned = [
        "Starting Container",
        "(node:5494) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.",
        "(Use `node --trace-deprecation ...` to show where the warning was created)",
        "rates listening on 8080",
        "rates has read its table",
    ]
    stamp = "2026-03-02T10:14:07.{:03}Z"
    entries = [json.dumps({"message": text, "timestamp": stamp.format(n)}) for n, text in enumerate(warned)]
    assert [one["lines"] for one in read(triage, tmp_path, entries)][:2] == [1, 2]
