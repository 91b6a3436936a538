"""Signatures: one failure, one id, whatever the format, the place and the time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from triage.grouping import signature
from triage.grouping.signature import explain, failure_id, sign
from triage.schema import EVENTS, NODES, SIGNED, conform

CHAIN = """Traceback (most recent call last):
  File "/usr/local/lib/python3.11/site-packages/lib/pool.py", line 168, in get
    return self.queue.get()
  File "/app/shop/orders.py", line {line}, in load
    return ORDERS[order]
KeyError: 'order_{order}'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/shop/main.py", line 11, in run
    load(order)
  File "/app/shop/orders.py", line 57, in load
    raise LookupError(f"no order {number}") from e
LookupError: no order {order}"""

JAVA = """java.lang.IllegalStateException: cannot place order 7
\tat com.acme.Orders.place(Orders.java:31)
\tat com.acme.Main.lambda$main$0(Main.java:12)
Caused by: java.lang.NullPointerException: price is null
\tat com.acme.Prices.of(Prices.java:9)
\t... 2 more"""


def chain(order: int = 17, line: int = 53) -> str:
    return CHAIN.replace("{order}", str(order)).replace("{line}", str(line))


def events(*rows: dict[str, Any]) -> pl.DataFrame:
    full = [{"level": "ERROR", "kind": "app", "message": None, "stack": None, "status": None, **r} for r in rows]
    kinds = {n: EVENTS[n] for n in ("level", "kind", "message", "stack", "status")}
    return conform(pl.DataFrame(full, schema=kinds), EVENTS)


def signed(*rows: dict[str, Any], every: bool = False) -> list[dict[str, Any]]:
    frame, _ = sign(events(*rows), every=every)
    assert frame.schema == SIGNED
    return frame.to_dicts()


def nodes(*rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    _, found = sign(events(*rows))
    assert found.schema == NODES
    return {n["id"]: n for n in found.to_dicts()}


def test_a_chain_is_root_first_with_its_links() -> None:
    row = signed({"message": "worker failed", "stack": chain()})[0]
    assert row["exception"] == "KeyError"
    assert row["causes"] == [
        failure_id("exception", "KeyError", "'order_<num>'"),
        failure_id("exception", "LookupError", "no order <num>"),
    ]
    assert row["links"] == ["raised_from"]
    assert row["failure"] == failure_id("message", None, "worker failed")
    assert row["template"] == "worker failed"
    assert row["signature"].startswith("v1:")
    assert len(row["signature"]) == 15


def test_java_puts_the_last_cause_first() -> None:
    row = signed({"message": "request failed", "stack": JAVA})[0]
    assert row["exception"] == "java.lang.NullPointerException"
    assert len(row["causes"]) == 2


def test_numbers_lines_and_format_do_not_split_a_group() -> None:
    first, second, third, fourth = signed(
        {"message": "worker failed", "stack": chain(17)},
        {"message": "worker failed", "stack": chain(20177, line=54)},
        {"message": "worker failed\n" + chain(3), "stack": chain(3), "level": "CRITICAL"},
        {"message": "worker failed", "stack": chain(4).replace("/app/", "/opt/render/project/src/")},
    )
    assert len({r["signature"] for r in (first, second, third, fourth)}) == 1
    assert len({tuple(r["causes"]) for r in (first, second, third, fourth)}) == 1
    assert len({r["failure"] for r in (first, second, third, fourth)}) == 1


def test_a_headline_is_no_failure_of_its_own() -> None:
    rows = signed(
        {"message": chain(), "stack": chain()},
        {"message": "LookupError: no order 17", "stack": chain()},
        {"message": "Traceback (most recent call last):", "stack": chain()},
        {"message": None, "stack": chain()},
        {"message": "no order 17", "stack": chain()},
        {"message": JAVA.splitlines()[0], "stack": JAVA},
    )
    assert [r["failure"] for r in rows] == [None] * 6
    assert {r["template"] for r in rows[:5]} == {"LookupError: no order <num>"}


def test_a_headline_without_a_stack_is_the_same_exception() -> None:
    bare, full = signed(
        {"message": "redis.exceptions.ConnectionError: Error 111 connecting to cache:6379"},
        {
            "message": "no cache",
            "stack": 'Traceback (most recent call last):\n  File "/app/a.py", line 3, in b\n    c()\n'
            "redis.exceptions.ConnectionError: Error 111 connecting to cache:6379",
        },
    )
    assert bare["exception"] == "redis.exceptions.ConnectionError"
    assert bare["causes"] == full["causes"]
    assert bare["failure"] is None
    assert bare["links"] == []


@pytest.mark.parametrize("text", ["Error: it broke", "app.orders: started", "Errors: 3", "TooMany requests"])
def test_a_plain_sentence_is_no_exception(text: str) -> None:
    row = signed({"message": text})[0]
    assert row["exception"] is None
    assert row["failure"] is not None


def test_types_tell_groups_apart_where_frames_are_equal() -> None:
    one, two = signed({"stack": chain()}, {"stack": chain().replace("KeyError:", "IndexError:")})
    assert one["signature"] != two["signature"]


def test_functions_with_numbers_in_their_names_stay_apart() -> None:
    one, two = signed(
        {"stack": chain().replace("in load", "in step1")}, {"stack": chain().replace("in load", "in step2")}
    )
    assert one["signature"] != two["signature"]


def test_a_generic_type_needs_its_message() -> None:
    trace = 'Traceback (most recent call last):\n  File "/app/a.py", line 3, in b\n    c()\n'
    one, two, three = signed(
        {"stack": trace + "RuntimeError: no space"},
        {"stack": trace + "RuntimeError: no memory for 7"},
        {"stack": trace + "RuntimeError: no memory for 8"},
    )
    assert one["signature"] != two["signature"]
    assert two["signature"] == three["signature"]


def test_status_numbers_inside_a_stack_stay_apart() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/app/a.py", line 3, in b\n    c()\nhttpx.HTTPStatusError: status '
    )
    one, two = signed({"stack": trace + "503"}, {"stack": trace + "500"})
    assert one["causes"] != two["causes"]


def test_the_depth_of_a_recursion_does_not_count() -> None:
    def deep(times: int) -> str:
        frame = '  File "/app/a.py", line 3, in walk\n    walk(n)\n'
        return (
            "Traceback (most recent call last):\n" + frame * times + "RecursionError: maximum recursion depth exceeded"
        )

    assert len({r["signature"] for r in signed({"stack": deep(3)}, {"stack": deep(9)})}) == 1


def test_requests_are_named_by_their_status() -> None:
    one, two, app = signed(
        {"kind": "access", "message": '"GET /a HTTP/1.1" 503', "status": 503, "level": None},
        {"kind": "request", "message": "The request failed", "status": 503},
        {"kind": "app", "message": "upstream said 503", "status": 503, "level": None},
    )
    assert one["template"] == two["template"] == "HTTP 503"
    assert one["signature"] == two["signature"] != app["signature"]
    assert one["failure"] is None
    assert one["causes"] == []
    assert app["failure"] is not None


def test_records_that_do_not_matter_are_left_alone() -> None:
    frame, found = sign(events({"level": "INFO", "message": "hello 1"}, {"level": None, "message": "hello"}))
    assert frame["signature"].null_count() == 2
    assert found.is_empty()
    assert all(r["template"] for r in signed({"level": "INFO", "message": "hello 1"}, every=True))


def test_an_exit_matters_at_any_level() -> None:
    rows = signed(
        {"level": "INFO", "message": "Container called exit(3)."},
        {"level": "INFO", "message": "Container called exit(0)."},
    )
    assert rows[0]["template"] == "Container called exit(3)."
    assert rows[1]["template"] is None


def test_the_example_is_the_smallest_text_in_any_order_and_cut() -> None:
    rows = [{"message": f"lost order {n}", "stack": chain(n)} for n in (30, 17, 99, 5)]
    whole = nodes(*rows)
    assert nodes(*reversed(rows)) == whole
    signature._MEMORY.clear()
    parts = [nodes(r) for r in rows]
    for key, node in whole.items():
        assert node["message"] == min(p[key]["message"] for p in parts)
    assert whole[failure_id("message", None, "lost order <num>")]["message"] == "lost order 17"
    assert whole[failure_id("exception", "LookupError", "no order <num>")]["message"] == "no order 17"


def test_a_node_knows_where_it_was_raised() -> None:
    node = nodes({"stack": chain()})[failure_id("exception", "KeyError", "'order_<num>'")]
    assert node["frame"] == "/app/shop/orders.py:53 in load"
    assert node["frames"] == ["/app/shop/orders.py:53 in load"]
    assert node["kind"] == "exception"
    assert node["message"] == "'order_17'"


def test_stacks_that_differ_in_numbers_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = signature._read_stack

    def count(text: str, *given: Any) -> Any:
        read.append(text)
        return real(text, *given)

    monkeypatch.setattr(signature, "_read_stack", count)
    signature._MEMORY.clear()
    for _ in range(3):
        sign(events(*({"message": "x", "stack": chain(100 + n)} for n in range(50))))
    assert len(read) == 1


def test_what_is_remembered_of_stacks_changes_nothing_and_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "_KEPT", 3)
    monkeypatch.setattr(signature, "_SIGNED", {})
    batches = [
        [{"message": "failed", "stack": stack} for stack in (*(chain(order=n) for n in numbers), "no stack at all")]
        for numbers in ((1,), (1, 2), (3, 4, 5, 6), (2, 3), (1,))
    ]
    remembered = []
    for rows in batches:
        remembered.append((signed(*rows), nodes(*rows)))
        assert all(table.height <= 3 for table, _ in signature._SIGNED.values())
    for rows, before in zip(batches, remembered, strict=True):
        signature._SIGNED.clear()
        assert (signed(*rows), nodes(*rows)) == before


def test_a_stack_that_no_grammar_reads_is_a_text() -> None:
    row = signed({"message": None, "stack": "### dump 17 ###\nregisters: none"})[0]
    assert row["failure"] is not None
    assert row["exception"] is None


def test_an_exception_raised_again_is_one_failure() -> None:
    again = chain().split("\n\n")[0]
    link = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    row = signed({"stack": link.join([again, again])})[0]
    assert len(row["causes"]) == 1
    assert row["links"] == []


def test_place_and_time_do_not_count() -> None:
    base = events({"message": "disk full"})
    other = base.with_columns(
        service=pl.lit("b"),
        at=pl.lit(datetime(2026, 3, 2, tzinfo=UTC)).cast(EVENTS["at"]),
        level=pl.lit("CRITICAL").cast(EVENTS["level"]),
        format=pl.lit("json"),
    )
    assert sign(base)[0]["signature"].to_list() == sign(other)[0]["signature"].to_list()


def test_a_long_message_is_cut_at_a_word() -> None:
    row = signed({"message": "word " * 400 + "17"})[0]
    assert len(row["template"]) <= 1001
    assert row["template"].endswith("word…")


def test_a_record_without_a_text_has_a_signature_too() -> None:
    row = signed({"message": None})[0]
    assert row["signature"] is not None
    assert row["failure"] is None


def test_empty_events_give_empty_frames() -> None:
    frame, found = sign(events())
    assert frame.schema == SIGNED
    assert found.schema == NODES


def test_every_part_of_a_signature_is_explained() -> None:
    parts = explain({"message": "worker failed", "stack": chain(), "kind": "app"})
    counts = {p.part for p in parts if p.contributes}
    assert {"KeyError", "LookupError", "shop/orders.py:load"} <= counts
    assert any(p.part == "line numbers, addresses, deployment folders" and not p.contributes for p in parts)
    assert all(p.why for p in parts)
    assert any(p.part == "HTTP 503" for p in explain({"kind": "access", "status": 503}))
    assert any(p.part == "disk <num> full" and p.contributes for p in explain({"message": "disk 7 full"}))


@pytest.mark.parametrize(
    ("file", "function", "expected"),
    [
        ("/app/shop/orders.py", "load", "shop/orders.py:load"),
        ("/opt/render/project/src/shop/orders.py", "load", "shop/orders.py:load"),
        ("/var/task/shop/orders.py", "load", "shop/orders.py:load"),
        ("/usr/lib/python3.11/site-packages/lib/pool.py", "get", "lib/pool.py:get"),
        ("Main.java", "com.acme.Main.lambda$main$3", "Main.java:com.acme.Main.lambda$main"),
        ("X.java", "com.acme.X$$EnhancerBySpringCGLIB$$ab12cd.run", "X.java:com.acme.X.run"),
        ("/usr/src/app/dist/main.3f9a1c2b.js", "handle", "dist/main.js:handle"),
        (
            "/go/pkg/mod/github.com/lib/pq@v1.10.2/conn.go",
            "github.com/lib/pq.(*conn).send",
            "github.com/lib/pq/conn.go:github.com/lib/pq.(*conn).send",
        ),
        ("/src/main.go", "main.main.func1.2", "main.go:main.main.func"),
        ("/src/File.cs", "App.Orders.<Place>d__5.MoveNext", "File.cs:App.Orders.Place"),
        ("app/models/x.rb", "block (2 levels) in load", "app/models/x.rb:load"),
        ("src/main.rs", "app::run::{{closure}}::h0123456789abcdef", "src/main.rs:app::run"),
    ],
)
def test_frames_lose_what_changes_from_build_to_build(file: str, function: str, expected: str) -> None:
    from triage.intake.stacks import Frame

    assert signature._normal(Frame(function, file, 7)) == expected
