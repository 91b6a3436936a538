"""Tracebacks to exceptions and frames, root cause first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.errors import PackError
from triage.intake.stacks import (
    Frame,
    Raised,
    Stack,
    check_samples,
    default_traces,
    load_traces,
    parse_stack,
    raising_frame,
)
from triage.packs import pattern_dirs

PYTHON = """Traceback (most recent call last):
  File "/srv/shop/db.py", line 4, in connect
    open_socket()
    ~~~~~~~~~~~^^
  File "/usr/lib/python3.12/socket.py", line 836, in open_socket
    raise exceptions[0]
ConnectionRefusedError: [Errno 111] Connection refused

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/shop/run.py", line 9, in <module>
    main()
shop.errors.StartError: cannot start
twice
"""


def kinds(stack: Stack) -> list[tuple[str, str, str | None]]:
    return [(e.type, e.message, e.link) for e in stack.exceptions]


def test_every_sample_of_every_grammar_parses_as_it_says() -> None:
    assert check_samples(default_traces()) == []


def test_a_python_chain_is_root_first_with_its_links() -> None:
    stack = parse_stack(PYTHON)
    assert kinds(stack) == [
        ("ConnectionRefusedError", "[Errno 111] Connection refused", "while_handling"),
        ("shop.errors.StartError", "cannot start\ntwice", None),
    ]
    assert stack.exceptions[0].frames[0] == Frame("connect", "/srv/shop/db.py", 4, code="open_socket()")
    assert [f.in_app for f in stack.exceptions[0].frames] == [True, False]


def test_what_the_interpreter_prints_when_it_dies_has_the_calls_of_its_current_thread() -> None:
    text = """Fatal Python error: Segmentation fault

Thread 0x00007f11 (most recent call first):
  File "/usr/lib/python3.12/threading.py", line 9 in wait

Current thread 0x00007f10 (most recent call first):
  File "/usr/lib/python3.12/ctypes/__init__.py", line 5 in string_at
  File "/srv/shop/scan.py", line 3 in scan
  File "/srv/shop/run.py", line 8 in <module>
"""
    stack = parse_stack(text)
    assert kinds(stack) == [("Fatal Python error", "Segmentation fault", None)]
    assert stack.newest_first
    frame = raising_frame(stack, stack.exceptions[0])
    assert frame == Frame("scan", "/srv/shop/scan.py", 3)


@pytest.mark.parametrize(
    "headline",
    [
        "panic: no stock [recovered, repanicked]",
        "http: panic serving 10.0.0.1:5: no stock",
        "[PANIC RECOVER] no stock goroutine 18 [running]:",
        "Recovered from panic: no stock",
    ],
)
def test_a_panic_that_a_go_framework_recovered_is_a_panic(headline: str) -> None:
    stack = parse_stack(f"{headline}\ngoroutine 18 [running]:\nmain.take(0x1)\n\t/srv/shop/main.go:14 +0x5a\n")
    assert kinds(stack) == [("panic", "no stock", None)]
    assert stack.exceptions[0].frames == (Frame("main.take", "/srv/shop/main.go", 14),)


def test_the_raising_frame_is_the_applications_own_nearest_to_the_crash() -> None:
    stack = parse_stack(PYTHON)
    frame = raising_frame(stack, stack.exceptions[0])
    assert frame is not None
    assert (frame.file, frame.line) == ("/srv/shop/db.py", 4)


def test_without_an_application_frame_the_innermost_outside_the_runtime_raises() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/x/lib/python3.11/site-packages/app/main.py", line 5, in <module>\n'
        "    import y\n  File \"<frozen importlib._bootstrap>\", line 9, in _find\nModuleNotFoundError: No module named 'y'\n"
    )
    stack = parse_stack(text)
    frame = raising_frame(stack, stack.exceptions[0])
    assert frame is not None
    assert frame.line == 5


def test_colours_recursion_and_frames_without_source_do_not_disturb() -> None:
    text = (
        'Traceback (most recent call last):\n  File \x1b[35m"/srv/a.py"\x1b[0m, line \x1b[35m3\x1b[0m, in \x1b[35mf\x1b[0m\n'
        "  [Previous line repeated 996 more times]\n"
        '  File "<string>", line 1\n    f(\n     ^\n\x1b[1;35mSyntaxError\x1b[0m: \x1b[35mnever closed\x1b[0m\n'
    )
    stack = parse_stack(text)
    assert kinds(stack) == [("SyntaxError", "never closed", None)]
    assert [(f.function, f.file, f.line) for f in stack.exceptions[0].frames] == [
        ("f", "/srv/a.py", 3),
        (None, "<string>", 1),
    ]


def test_a_bare_exception_name_is_a_headline() -> None:
    assert kinds(parse_stack('Traceback (most recent call last):\n  File "/a.py", line 3, in f\nKeyboardInterrupt'))[0][
        0
    ] == ("KeyboardInterrupt")


def test_a_trace_without_its_end_is_truncated() -> None:
    stack = parse_stack('Traceback (most recent call last):\n  File "/a.py", line 3, in f')
    assert stack.truncated
    assert kinds(stack) == [("", "", None)]


def test_advice_behind_a_message_is_dropped() -> None:
    text = "Traceback (most recent call last):\n  File \"/a.py\", line 3, in f\nNameError: name 'a' is not defined. Did you mean: 'b'?"
    assert parse_stack(text).exceptions[0].message == "name 'a' is not defined"


def test_a_suppressed_java_exception_is_no_cause() -> None:
    text = (
        "a.OuterException: out\n\tat a.B.c(B.java:1)\n\tSuppressed: a.CloseException: shut\n\t\tat a.B.d(B.java:2)\n"
        "\t\tCaused by: a.LostException\nCaused by: a.RootException: in\n\tat a.B.e(B.java:3)\n"
    )
    assert kinds(parse_stack(text)) == [("a.RootException", "in", "raised_from"), ("a.OuterException", "out", None)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Error\n    at new Foo (/a.js:1:2)", [("new Foo", "/a.js", 1)]),
        (
            "E: x\n    at Object.d [as add] (blob:http%3A//h%3A1/x:31:30)",
            [("Object.d [as add]", "blob:http%3A//h%3A1/x", 31)],
        ),
        (
            "E: x\n    at baz (eval at foo (eval at speak (http://h/f.js:21:17)), <anonymous>:1:30)",
            [("baz", "http://h/f.js", 21)],
        ),
        (
            "E: x\n    at <anonymous>\n    at f (native)\n    at C:\\my dir\\a.js:1:34",
            [("<unknown>", "C:\\my dir\\a.js", 1)],
        ),
        (
            'obj["@f"]@http://h/@s/f.js:4:9\nf/<@http://h/f.js:1:1',
            [('obj["@f"]', "http://h/@s/f.js", 4), ("f/<", "http://h/f.js", 1)],
        ),
        ("b@http://h/f.js line 26 > eval line 2 > eval:1:30", [("b", "http://h/f.js", 26)]),
        ("v@[native code]\nw@app.bundle:29:3\n42.js:1:8", [("w", "app.bundle", 29), ("<unknown>", "42.js", 1)]),
    ],
)
def test_script_engines_print_frames_in_their_own_ways(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert [(f.function, f.file, f.line) for e in parse_stack(text).exceptions for f in e.frames] == expected


def test_only_the_goroutine_that_panicked_counts() -> None:
    text = "panic: a [recovered]\n\tpanic: b\n\ngoroutine 4 [running]:\nmain.f(0x1)\n\t/s/m.go:6 +0x39\n\ngoroutine 1 [chan receive]:\nmain.g()\n\t/s/m.go:9 +0x1\n"
    stack = parse_stack(text)
    assert kinds(stack) == [("panic", "a", "while_handling"), ("panic", "b", None)]
    assert [f.function for e in stack.exceptions for f in e.frames] == ["main.f"]


def test_inner_exceptions_of_dotnet_on_one_line_are_a_chain() -> None:
    text = "A.OuterException: out ---> A.InnerException: in\n   at A.B.C() in /a.cs:line 1\n   --- End of inner exception stack trace ---\n   at A.B.D() in /a.cs:line 2\n"
    stack = parse_stack(text)
    assert kinds(stack) == [("A.InnerException", "in", "raised_from"), ("A.OuterException", "out", None)]
    assert [[f.line for f in e.frames] for e in stack.exceptions] == [[1], [2]]


def test_a_lone_headline_is_an_exception_without_frames() -> None:
    assert parse_stack("shop.errors.CartError: empty").exceptions == (Raised("shop.errors.CartError", "empty"),)


@pytest.mark.parametrize("text", ["", "\n\n", "all is well", "at noon (we met)", "GET /a.js:1:2 200", "#1 in sales"])
def test_other_text_is_no_stack(text: str) -> None:
    assert [e for e in parse_stack(text).exceptions if e.type] == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*PYTHON.splitlines(), "\tat a.B.c(B.java:1)", "panic: x", "goroutine 1 [x]:", "Caused by:", "  + x"]
        )
        | st.text(max_size=30)
    )
)
def test_no_text_makes_it_fail(lines: list[str]) -> None:
    assert isinstance(parse_stack("\n".join(lines)), Stack)


def test_a_wrong_pattern_file_is_named_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "mine.yaml").write_text("name: mine\nmarks: ['(']\n", encoding="utf-8")
    with pytest.raises(PackError, match=r"mine\.yaml:2: marks"):
        load_traces([tmp_path])


def test_a_users_language_is_known_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "mine.yaml").write_text(
        "name: mine\nmarks: ['^OOPS ']\nparse:\n  headline: ['^OOPS (?P<type>\\w+) (?P<message>.*)$']\n"
        "  frames: ['^ in (?P<function>\\w+) (?P<file>\\S+) (?P<line>\\d+)$']\n",
        encoding="utf-8",
    )
    stack = parse_stack("OOPS Bad thing\n in f a.m 3", traces=load_traces([tmp_path]))
    assert stack.exceptions == (Raised("Bad", "thing", (Frame("f", "a.m", 3),)),)


def test_the_grammars_that_come_with_triage_pass_the_checks_of_anybodys(tmp_path: Path) -> None:
    shutil.copytree(pattern_dirs()[-1] / "traces", tmp_path / "traces")
    assert load_traces((tmp_path,)).lines("frame") == default_traces().lines("frame")


def test_what_a_database_shows_of_a_query_stays_in_the_message() -> None:
    text = """Traceback (most recent call last):
  File "/srv/app/orders.py", line 7, in load
    cursor.execute(query)
psycopg2.errors.UndefinedColumn: column "total" does not exist
LINE 1: SELECT total FROM orders
               ^
"""
    assert "LINE 1: SELECT total FROM orders" in parse_stack(text).exceptions[0].message
