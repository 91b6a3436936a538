"""Rows to records: what joins, what does not, and that the cuts between batches do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.engine import Options, read, summarize
from triage.intake.records import LINE_CAP
from triage.intake.stacks import parse_stack
from triage.intake.traces import _RECORD, _starts, assemble
from triage.schema import EVENTS, INTAKE, ROWS, conform, empty

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACE = ["Traceback (most recent call last):", '  File "/srv/a.py", line 3, in f', "    g(x)", "    ~^^^"]


@dataclass(frozen=True, slots=True)
class Cut:
    rows: pl.DataFrame
    intake: pl.DataFrame


def line(text: str, header: str | None = None, **fields: Any) -> dict[str, Any]:
    """A row of the program: bare, or with a header of that level ("-" for one without a level)."""
    level = None if header in (None, "-") else header
    return {"message": text, "header": header is not None, "level": level, "kind": "app", **fields}


def rows(*lines: dict[str, Any] | str) -> pl.DataFrame:
    full = [
        {"source": "a", "line": n, "lines": 1, **(one if isinstance(one, dict) else line(one))}
        for n, one in enumerate(lines, 1)
    ]
    return conform(pl.DataFrame(full, infer_schema_length=None), ROWS)


def cuts(frame: pl.DataFrame, size: int) -> list[Cut]:
    return [Cut(frame[n : n + size], empty(INTAKE)) for n in range(0, frame.height, size)]


def joined(frame: pl.DataFrame, *, size: int = 1_000_000, newest_first: bool = False) -> pl.DataFrame:
    return pl.concat([part.events for part in assemble(cuts(frame, size), newest_first=newest_first)])


def starts(*lines: dict[str, Any] | str) -> list[int]:
    return joined(rows(*lines))["line"].to_list()


def test_a_traceback_below_an_error_is_one_record_with_message_and_stack() -> None:
    events = joined(rows(line("boom", "ERROR"), *TRACE, "KeyError: 'x'", line("next", "INFO")))
    assert events.schema == EVENTS
    assert events["message"].to_list() == ["boom", "next"]
    assert events["stack"][0].startswith("Traceback")
    assert events["stack"][0].endswith("KeyError: 'x'")
    assert events["lines"].to_list() == [6, 1]
    assert not events["truncated"].any()


def test_a_traceback_alone_is_called_by_its_exception_and_is_an_error() -> None:
    events = joined(rows(line("started", "INFO"), *TRACE, "shop.errors.Broken: all of it", "    note"))
    assert events["message"].to_list() == ["started", "shop.errors.Broken: all of it"]
    assert events["level"].to_list() == ["INFO", "ERROR"]


def test_a_header_of_unknown_level_keeps_the_traceback_below_it() -> None:
    assert starts(line("job 7 failed", "-"), *TRACE, "KeyError: 'x'") == [1]


def test_a_header_of_unknown_level_that_tells_of_no_trouble_keeps_nothing_of_a_crash_below_it() -> None:
    crash = ["panic: nil map", "", "goroutine 1 [running]:", "main.f(0x1)", "\t/srv/m.go:3 +0x1d"]
    assert starts(line("paid 20 for cart 7", "-"), *crash) == [1, 2]
    assert starts(line("paid 20 for cart 7", "-"), *TRACE, "KeyError: 'x'") == [1, 2]
    assert starts(line("cannot pay for cart 7", "-"), *crash) == [1]
    assert starts(line("worker 7 said:", "-"), *TRACE, "KeyError: 'x'") == [1]
    assert starts(line("paid 20 for cart 7", "-"), "    with a card", "and a coupon") == [1]


@pytest.mark.parametrize(
    ("level", "pause", "expected"),
    [("WARNING", 100, [1]), ("WARNING", 300, [1, 2]), ("ERROR", 300, [1]), ("ERROR", 2_500, [1, 2])],
)
def test_a_warning_waits_less_for_its_trace_than_an_error(level: str, pause: int, expected: list[int]) -> None:
    at, later = START + timedelta(milliseconds=1), START + timedelta(milliseconds=1 + pause)
    trace = [line(text, at=later) for text in ("a.b.XException: no", "\tat a.B.c(B.java:1)")]
    assert starts(line("trying again", level, at=at), *trace) == expected


def test_stamps_of_whole_seconds_may_turn_between_a_warning_and_its_trace() -> None:
    trace = [line(text, at=START + timedelta(seconds=1)) for text in [*TRACE, "KeyError: 'x'"]]
    assert starts(line("trying again", "WARNING", at=START), *trace) == [1]


FATAL = [
    "Fatal Python error: Aborted",
    "",
    "Current thread 0x00007f10 (most recent call first):",
    '  File "/srv/a.py", line 3 in f',
    "",
    "Extension modules: a.native (total: 1)",
]
HEAP = [
    "<--- Last few GCs --->",
    "",
    "[1:0x1e]  1843 ms: Mark-Compact 50.7 (52.9) -> 50.5 (52.1) MB",
    "",
    "",
    "<--- JS stacktrace --->",
    "",
    "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    "----- Native stack trace -----",
    "",
    " 1: 0xb7 node::OOMErrorHandler(char const*) [node]",
    "10: 0xb8 v8::internal::Heap::Collect() [node]",
]
RECOVERY = [
    "[Recovery] 2026/01/02 - 03:04:05 panic recovered:",
    "no stock",
    "/usr/local/go/src/runtime/panic.go:88 (0x10)",
    "\tgopanic: panic(e)",
    "/srv/cart.go:14 (0x2b)",
    "\ttake: return stock[sku]",
]


@pytest.mark.parametrize(
    ("lines", "message", "exception"),
    [
        (FATAL, FATAL[0], "Fatal Python error"),
        (HEAP, HEAP[7], "FATAL ERROR"),
        (RECOVERY, " ".join(RECOVERY[:2]), "panic"),
    ],
)
def test_a_dump_with_blank_lines_inside_is_one_record_called_by_what_it_says(
    lines: list[str], message: str, exception: str
) -> None:
    before, after = line("up", "INFO"), line("on", "INFO")
    alone = joined(rows(before, *lines, after))
    inside = joined(rows(before, line("\n".join(lines), "-"), after))
    for events in (alone, inside):
        assert events["message"].to_list() == ["up", message, "on"]
        assert events["level"].to_list() == ["INFO", "ERROR", "INFO"]
        assert parse_stack(events["stack"][1]).exceptions[0].type == exception


def test_a_crash_whose_transport_gives_every_line_a_level_is_one_record_and_an_error() -> None:
    given = [line(text, None if text.startswith("\t") else "INFO") for text in RECOVERY]
    frame = rows(line("up", "INFO"), *given, line("on", "INFO"))
    for size in (1, 2, 3, 100):
        events = joined(frame, size=size).sort("line")
        assert events["line"].to_list() == [1, 2, 8]
        assert events["level"].to_list() == ["INFO", "ERROR", "INFO"]


def test_two_tracebacks_join_only_through_a_chain_sentence() -> None:
    chain = "During handling of the above exception, another exception occurred:"
    assert starts(*TRACE, "KeyError: 'x'", "", chain, "", *TRACE, "ValueError: y") == [1]
    assert starts(*TRACE, "KeyError: 'x'", *TRACE, "ValueError: y") == [1, 6]


def test_an_access_line_inside_a_traceback_is_a_record_and_does_not_tear_it() -> None:
    access = line("GET / 200", "INFO", kind="access")
    events = joined(rows(line("boom", "ERROR"), *TRACE[:2], access, *TRACE[2:], "KeyError: 'x'")).sort("line")
    assert events["line"].to_list() == [1, 4]
    assert events["stack"][0].count("\n") == 4


def test_bare_text_behind_an_access_line_starts_a_record() -> None:
    assert starts(line("ready", "INFO"), line("GET /", "INFO", kind="access"), "a print") == [1, 2, 3]


def test_an_entry_that_could_not_be_read_joins_nothing() -> None:
    assert starts(line("ready", "INFO"), line("{broken", lines=0), line("more", "INFO")) == [1, 2, 3]


def test_text_joins_its_header_but_not_after_two_seconds() -> None:
    late = START + timedelta(seconds=3)
    assert starts(line("q", "INFO", at=START), line("rest", at=START), line("print", at=late)) == [1, 3]


def test_lines_of_a_message_below_the_exception_belong_to_it() -> None:
    events = joined(
        rows(line("up", "INFO"), *TRACE, "db.Error: no", "\tIs it running?", "", "(Background on this error at: u)")
    )
    assert events["line"].to_list() == [1, 2]
    assert events["message"][1] == "db.Error: no"
    assert events["lines"][1] == 8


def test_blank_lines_outside_of_traces_are_counted_not_kept() -> None:
    parts = list(assemble([Cut(rows("one", "", "two", "", ""), empty(INTAKE))]))
    assert pl.concat([part.events for part in parts])["lines"].sum() == 2
    assert sum(part.intake["blank"].sum() for part in parts) == 3


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [
                "java.lang.IllegalStateException: no",
                "\tat a.B.c(B.java:1)",
                "Caused by: java.io.IOException",
                "\t... 1 more",
            ],
            None,
        ),
        (["TypeError: x is not a function", "    at f (/srv/a.js:1:2)", "    at async g (/srv/b.js:3:4)"], None),
        (
            [
                "panic: nil map",
                "",
                "goroutine 1 [running]:",
                "main.f(0x1, {0x2, 0x3})",
                "\t/srv/m.go:3 +0x1d",
                "exit status 2",
            ],
            None,
        ),
        (
            [
                "thread 'main' (7) panicked at src/m.rs:1:2:",
                "no stock",
                "stack backtrace:",
                "   0: a::b",
                "             at ./m.rs:1:2",
            ],
            "thread 'main' (7) panicked at src/m.rs:1:2: no stock",
        ),
        (
            [
                "PHP Fatal error:  Uncaught E: no in /a.php:1",
                "Stack trace:",
                "#0 {main}",
                "  thrown in /a.php on line 1",
            ],
            None,
        ),
        (
            [
                "Unhandled exception. System.E: no",
                " ---> System.F: in",
                "   at A.B() in /a.cs:line 1",
                "   --- End of inner exception stack trace ---",
            ],
            None,
        ),
        (["/srv/a.rb:1:in `f': no (KeyError)", "\tfrom /srv/b.rb:2:in `<main>'"], None),
        (["** (KeyError) no", "    (shop 0.1.0) lib/a.ex:1: A.b/1"], None),
        (
            [
                "/srv/a.js:10",
                "throw new Error('no')",
                "^",
                "",
                "Error: no",
                "    at f (/srv/a.js:10:3)",
                "",
                "Node.js v22.1.0",
            ],
            "Error: no",
        ),
        (["Unhandled exception:", "FormatException: no", "#0      f (file:///a.dart:1:2)"], "FormatException: no"),
        (
            [
                "==7==ERROR: AddressSanitizer: heap-use-after-free",
                "    #0 0x4a in f /a.c:1",
                "SUMMARY: AddressSanitizer: x",
            ],
            None,
        ),
    ],
)
def test_a_crash_of_every_language_is_one_record(lines: list[str], message: str | None) -> None:
    events = joined(rows(line("up", "INFO"), *lines, line("on", "INFO")))
    assert events["line"].to_list() == [1, 2, 2 + len(lines)]
    assert events["message"][1] == (message or lines[0])
    assert events["stack"][1] == "\n".join(lines)
    assert events["level"][1] == "ERROR"


def test_a_second_java_trace_is_a_second_record() -> None:
    frame = "\tat a.B.c(B.java:1)"
    assert starts(line("no", "ERROR"), "a.b.XException: 1", frame, "a.b.YException: 2", frame) == [1, 4]


def test_words_that_only_sound_like_a_crash_start_nothing() -> None:
    events = joined(rows("It sounds tympanic: a drum.", "at noon we met", "no Traceback here"))
    assert events["stack"].null_count() == 3


def test_a_trace_inside_one_entry_is_split_from_its_message() -> None:
    text = "Exception in worker\n" + "\n".join(TRACE) + "\nKeyError: 'x'"
    events = joined(rows(line(text, "ERROR"), line("plain\nof two lines", "INFO")))
    assert events["message"].to_list() == ["Exception in worker", "plain\nof two lines"]
    assert events["stack"].to_list() == [text.split("\n", 1)[1], None]


def test_a_headline_in_the_header_goes_with_its_frames() -> None:
    events = joined(rows(line("job failed: a.b.XException: no", "ERROR"), "\tat a.B.c(B.java:1)"))
    assert events["stack"][0].startswith("job failed: a.b.XException: no\n\tat")


CHAIN = "During handling of the above exception, another exception occurred:"
LINEWISE = [
    [*TRACE, "KeyError: 'x'"],
    [*TRACE, "shop.Broken: all of it"],
    [*TRACE, "KeyError: 'x'", "", CHAIN, "", *TRACE, "ValueError: y"],
    [
        "a.b.XException: no",
        "\tat a.B.c(B.java:1)",
        "Caused by: a.YException: y",
        "\tat a.D.e(D.java:2)",
        "\t... 2 more",
    ],
    ["TypeError: no id", "    at charge (/srv/pay.js:17:22)", "    at run (node:internal/process/task_queues:95:5)"],
    ["NoMethodError: undefined method 'pay' for nil", "/srv/lib/pay.rb:17:in 'charge'", "/srv/lib/web.rb:9:in 'call'"],
    ["PHP Fatal error:  Uncaught Exception: no stock", "#0 /srv/a.php(12): take()", "#1 {main}"],
    ["System.InvalidOperationException: order failed", "   at Shop.Order.Place() in /src/Order.cs:line 30"],
    [
        "thread 'worker' (71) panicked at src/pay.rs:23:35:",
        "no stock left",
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ],
]


@pytest.mark.parametrize("trace", LINEWISE, ids=lambda lines: lines[-1][:20])
@pytest.mark.parametrize("level", ["WARNING", "ERROR"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_traceback_that_is_logged_line_by_line_is_one_record(trace: list[str], level: str, size: int) -> None:
    again = [line(text, level, logger="stderr") for text in trace]
    events = joined(rows(line("up", "INFO"), *again, *again, line("cannot pay", level), line("on", "INFO")), size=size)
    assert events["line"].to_list() == [1, 2, 2 + len(trace), 2 + 2 * len(trace), 3 + 2 * len(trace)]
    assert events["stack"][1] == events["stack"][2] == "\n".join(trace)
    assert events["level"].to_list() == ["INFO", level, level, level, "INFO"]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_a_runtime_says_at_its_end_goes_on_the_crash_above_it(size: int) -> None:
    crash: list[dict[str, Any] | str] = [
        line("/srv/pay.js:17", "-"),
        "    throw new TypeError('no stock');",
        "",
        "TypeError: no stock",
    ]
    crash += ["    at charge (/srv/pay.js:17:22)", "", line("Node.js v20.11.0", "-")]
    events = joined(rows(line("up", "-"), *crash, *crash, line("Node.js v20.11.0 is here", "-")), size=size)
    assert events["line"].to_list() == [1, 2, 9, 16]
    assert events["message"].to_list()[1:] == ["TypeError: no stock", "TypeError: no stock", "Node.js v20.11.0 is here"]


@pytest.mark.parametrize(
    ("before", "frame"),
    [
        ({"header": "INFO"}, {"header": "ERROR"}),
        ({"header": "ERROR", "logger": "shop.pay"}, {"header": "ERROR", "logger": "shop.web"}),
        ({"header": "ERROR", "service": "a"}, {"header": "ERROR", "service": "b"}),
        ({"header": "ERROR", "at": START}, {"header": "ERROR", "at": START + timedelta(seconds=3)}),
        ({"header": "ERROR", "kind": "request"}, {"header": "ERROR"}),
    ],
)
def test_a_frame_goes_only_on_what_its_own_writer_just_said(before: dict[str, Any], frame: dict[str, Any]) -> None:
    assert starts(line("cannot pay", **before), line("\tat a.B.c(B.java:1)", **frame)) == [1, 2]


def test_what_a_program_says_of_a_failed_request_brings_its_exception_along() -> None:
    trace = ["System.InvalidOperationException: no stock", "   at Shop.Order.Place() in /src/Order.cs:line 30"]
    request = {"kind": "access", "status": 500}
    assert starts(line("POST /orders 500", "ERROR", **request), *trace, line("on", "INFO")) == [1, 4]
    assert starts(line("POST /orders 500", "INFO", **request), *trace, line("on", "INFO")) == [1, 2, 4]


def test_a_crash_behind_a_warning_is_an_error_of_its_own() -> None:
    crash = ["panic: nil map", "", "goroutine 1 [running]:", "main.f(0x1)", "\t/srv/m.go:3 +0x1d"]
    for size in (1, 2, 100):
        events = joined(rows(line("slow statement", "WARNING"), *crash, line("up", "INFO")), size=size)
        assert events["level"].to_list() == ["WARNING", "ERROR", "INFO"]
    assert starts(line("cannot go on", "ERROR"), *crash) == [1]
    assert starts(line("cannot pay", "WARNING"), *TRACE, "KeyError: 'x'") == [1]


def test_indented_messages_are_no_lines_of_a_traceback() -> None:
    told = [line(text, "ERROR") for text in ("cannot pay:", "  - no stock", "    for cart 7", "KeyError: 'x'")]
    assert starts(*told) == [1, 2, 3, 4]


def test_a_trace_that_was_cut_off_says_so() -> None:
    events = joined(rows(line("boom", "ERROR"), *TRACE, line("started", "INFO")))
    assert events["truncated"].to_list() == [True, False]


def test_streams_are_put_together_apart() -> None:
    one, two = {"service": "a"}, {"service": "b"}
    mixed = [line(text, **who) for text in (*TRACE, "KeyError: 'x'") for who in (one, two)]
    events = joined(rows(*mixed))
    assert events["line"].to_list() == [1, 2]
    assert events["stack"][0] == events["stack"][1]


def test_a_cut_record_waits_for_its_tail() -> None:
    frame = rows(line("boom", "ERROR"), *TRACE, "KeyError: 'x'")
    parts = list(assemble(cuts(frame, 2)))
    assert [part.events.height for part in parts] == [0, 0, 0, 1]


def test_input_that_runs_backwards_is_put_together_forwards() -> None:
    frame = rows(*(line(t, at=START + timedelta(milliseconds=n)) for n, t in enumerate([*TRACE, "KeyError: 'x'"])))
    head = rows(line("boom", "ERROR", at=START))
    frame = pl.concat([head, frame]).with_columns(line=pl.int_range(pl.len(), 0, -1)).reverse()
    for size in (1, 2, 100):
        events = joined(frame, size=size, newest_first=True)
        assert events["message"].to_list() == ["boom"]
        assert events["stack"][0].startswith("Traceback")
        assert events["line"].to_list() == [1]


def test_a_very_long_trace_keeps_head_and_tail_wherever_it_was_cut() -> None:
    calls = ['  File "/srv/a.py", line 3, in f', "    f()"] * 5_000
    frame = rows(TRACE[0], *calls, "RecursionError: deep")
    parts = [list(assemble(cuts(frame, size))) for size in (100_000, 1_700)]
    for part in parts:
        events = pl.concat([p.events for p in part])
        assert events["lines"].to_list() == [10_002]
        assert events["truncated"].to_list() == [True]
        assert events["stack"][0].count("\n") == LINE_CAP
        assert events["message"].to_list() == ["RecursionError: deep"]
        assert [n for p in part for notices in p.intake["notices"] for n in notices]
    assert parts[0][-1].events["stack"].to_list() == parts[1][-1].events["stack"].to_list()


def test_a_huge_line_is_cut_to_head_and_tail() -> None:
    events = joined(rows(line("a" * 200_000 + "\n" + "b" * 200_000, "INFO")))
    assert len(events["message"][0]) < 300_000
    assert events["truncated"].to_list() == [True]


TEXTS = [
    "(Use `node --trace-warnings ...` to show where the warning was created)",
    *(*TRACE, "ValueError: x", "Boom: z", "", "plain text", "Caused by: a.XException: y", "\tat a.B.c(D.java:1)"),
    *("During handling of the above exception, another exception occurred:", "panic: x", "goroutine 1 [running]:"),
    *(
        "java.lang.IllegalStateException: x",
        "/srv/x.js:10",
        "thread 'main' panicked at src/m.rs:1:2:",
        "[SQL: select]",
        "}",
    ),
]
ROW = st.one_of(
    st.sampled_from(TEXTS).map(line),
    st.sampled_from([line("h", "ERROR"), line("h", "INFO"), line("h\n" + "\n".join(TRACE), "-")]),
    st.sampled_from([line("h", "WARNING"), line("h", "-"), line("no stock", "-"), *map(line, HEAP), *map(line, FATAL)]),
    st.just(line("GET /", "INFO", kind="access")),
    st.sampled_from(TEXTS).map(lambda text: line(text, "ERROR")),
    st.sampled_from(TEXTS).map(lambda text: line(text, "INFO")),
)


@settings(max_examples=15, deadline=None)
@given(
    lines=st.lists(st.tuples(ROW, st.sampled_from(["a", "b"]), st.sampled_from([0, 0, 0, 3])), min_size=1, max_size=30),
    size=st.integers(1, 9),
    timed=st.booleans(),
    newest_first=st.booleans(),
)
def test_cutting_the_input_anywhere_changes_nothing(
    lines: Sequence[tuple[dict[str, Any], str, int]], size: int, timed: bool, newest_first: bool
) -> None:
    at, full = START, []
    for row, service, pause in lines:
        at += timedelta(seconds=pause)
        full.append({**row, "service": service, "at": at if timed else None})
    frame = rows(*full)
    frame = frame.reverse() if newest_first else frame
    parts = list(assemble(cuts(frame, size), newest_first=newest_first))
    events = pl.concat([part.events for part in parts]).sort("line")
    assert events.equals(joined(frame, newest_first=newest_first).sort("line"))
    blank = pl.concat([part.intake for part in parts])["blank"]
    assert sum(events["lines"].to_list() + blank.to_list()) == frame.height


def test_whether_a_quiet_frame_goes_on_does_not_depend_on_where_a_batch_ends() -> None:
    api = (
        "order 1",
        "[stacktrace]",
        "#0 /srv/x.php(70): PDO->__construct()",
        "order 2",
        "order 3",
        "order 4",
        "order 5",
    )
    mixed = [one for text in api for one in (line(text, "INFO", service="a"), line("plain", service="b"))]
    frame = rows(*mixed, *[line(f"order {n}", "INFO", service="a") for n in range(5)])
    whole = joined(frame).sort("line")
    for size in range(1, 12):
        assert joined(frame, size=size).sort("line").equals(whole), size


@pytest.mark.parametrize("dump", [HEAP, FATAL])
@pytest.mark.parametrize("size", range(1, 13))
def test_a_dump_sent_line_by_line_and_backwards_is_one_record_wherever_it_is_cut(
    dump: Sequence[str], size: int
) -> None:
    frame = rows(line("started", "INFO"), *dump, line("gone", "ERROR")).reverse()
    events = joined(frame, size=size, newest_first=True).sort("line")
    assert events["line"].to_list() == [1, 2, 2 + len(dump)]
    assert events.equals(joined(frame, newest_first=True).sort("line"))


def test_a_lone_header_reads_the_same_whatever_is_near_it() -> None:
    crash = line("thread 'main' panicked at src/m.rs:1:2:", "ERROR")
    far = joined(rows(line("a", "INFO"), crash, *[line("b", "INFO")] * 9))
    near = joined(rows(line("a", "INFO"), crash, line("b", "INFO"), "bare"))
    assert far["stack"][1] is None
    assert near["stack"][1] is None


def test_plain_lines_behind_a_trace_are_their_own_where_the_stream_began_with_one() -> None:
    trace = ["panic: x", "", "goroutine 1 [running]:", "main.main()", "\t/srv/m.go:3 +0x1"]
    served = line("http: panic serving 10.0.0.1:5: x", "-")
    assert starts("plain", served, *trace[2:], "plain again", served, *trace[2:]) == [1, 2, 6, 7]
    assert starts(line("first", "INFO"), served, *trace[2:], "goes on") == [1, 2]


def test_a_folder_of_the_user_reaches_traces_masks_and_marks(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    (folder / "traces").mkdir(parents=True)
    (folder / "traces" / "oops.yaml").write_text(
        "name: oops\nmarks: ['^OOPS ']\nlines: {crash: ['OOPS \\w'], frame: [' in \\w+ ']}\n"
        "parse:\n  headline: ['^OOPS (?P<type>\\w+) (?P<message>.*)$']\n"
        "  frames: ['^ in (?P<function>\\w+) (?P<file>\\S+) (?P<line>\\d+)$']\n",
        encoding="utf-8",
    )
    (folder / "masks.yaml").write_text(
        "masks: [{name: pet, pattern: 'cat|dog', replacement: <pet>, digitless: true}]", encoding="utf-8"
    )
    (folder / "marks.yaml").write_text(
        "marks: [{name: nap, mark: stop, needs: [naps], pattern: '^it naps$'}]", encoding="utf-8"
    )
    log = tmp_path / "app.log"
    log.write_text(
        "2026-03-02T10:00:00Z ERROR no cat today\n2026-03-02T10:00:01Z ERROR broken\nOOPS Bad thing\n in feed a.m 3\n"
        "2026-03-02T10:00:02Z INFO it naps\n",
        encoding="utf-8",
    )
    made = summarize([str(log)], Options(patterns=(folder,)))
    assert "no <pet> today" in made["groups"]["template"].to_list()
    assert "Bad" in made["groups"]["exception"].to_list()
    assert made["marks"]["mark"].to_list() == ["stop"]
    plain = summarize([str(log)])
    assert "no cat today" in plain["groups"]["template"].to_list()
    assert "Bad" not in plain["groups"]["exception"].to_list()


@settings(max_examples=120, deadline=None)
@given(st.text(alphabet="hiiiIIXXYPpfftobenqkxyvwmsBTEF", max_size=24))
def test_what_starts_a_record_whatever_was_not_looked_at(letters: str) -> None:
    found = _starts(pl.Series(list(letters), dtype=pl.String)).arg_true().to_list()
    assert found == [match.start() for match in _RECORD.finditer(letters)]


RABBIT = "2026-03-02 10:00:{} [{}] <0.{}.0> {}"


@pytest.mark.parametrize(
    ("lines", "records"),
    [
        (((("07.307885", "error", 7, "Channel error on connection:"), ("07.307885", "error", 7, "operation queue.declare failed"))), 1),
        (((("07.307885", "error", 7, "Channel error on connection:"), ("07.307985", "error", 7, "operation queue.declare failed"))), 2),
        (((("07.307885", "error", 7, "Channel error"), ("07.307885", "error", 8, "another process"))), 2),
        (((("07.307885", "error", 7, "Channel error"), ("07.307885", "warning", 7, "another level"))), 2),
        (((("07.307000", "error", 7, "stamps of milliseconds"), ("07.307000", "error", 7, "say nothing"))), 2),
        (((("07.307885", "info", 7, "quiet"), ("07.307885", "info", 7, "ones"))), 2),
        (((("07.307885", "error", 7, ""), ("07.307885", "error", 7, "BOOT FAILED"), ("07.307885", "error", 7, "==========="))), 1),
    ],
)  # fmt: skip
def test_a_message_with_its_header_on_each_line_is_one_record(
    tmp_path: Path, lines: Sequence[tuple[str, str, int, str]], records: int
) -> None:
    path = tmp_path / "rabbit.log"
    around = [RABBIT.format(f"{n:02d}.000001", "info", n, "accepting AMQP connection") for n in range(6)]
    said = [RABBIT.format(*line) for line in lines]
    path.write_text("\n".join([*around, *said, RABBIT.format("09.5", "info", 9, "done")]) + "\n")
    found = read(str(path)).collect()
    assert found.height == len(around) + records + 1
    assert found["lines"].sum() == len(around) + len(lines) + 1
