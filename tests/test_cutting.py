"""Lines of JSON that are cut by compiled code are read as msgspec and Python read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triage.engine import analyze
from triage.intake import compiled
from triage.intake.cutting import Cutting, tree_of
from triage.intake.decode import empty_rows
from triage.intake.distinct import plain_texts
from triage.intake.jsonrows import asked, frames_of, read_lines
from triage.intake.rows import Tally
from triage.intake.times import Clock
from triage.intake.truncated import Cuts
from triage.intake.typedrows import Typed, typed_decoder
from triage.options import catalog_of
from triage.rendering import render

SAMPLES = Path(__file__).parent.parent / "sample_logs"
GCP = catalog_of(None)["gcp"]
TYPED = typed_decoder(GCP)
FORMATS = catalog_of(None).json
TREE = asked(FORMATS)
KEYS = [
    "logName",
    "timestamp",
    "severity",
    "textPayload",
    "jsonPayload",
    "httpRequest",
    "resource",
    "labels",
    "message",
    "status",
    "error",
    "latency",
    "level",
    "service_name",
    "instanceId",
    "requestUrl",
    "exitCode",
    "trace",
    "stack",
    "other",
]

texts = st.text(max_size=20) | st.sampled_from(
    [
        "INFO",
        "2026-03-02T09:00:00Z",
        "https://x.example/a?b",
        "0.25s",
        "\u00e9\u20ac\U0001f600",
        'a "quoted" \\ text\n\tand more',
    ]
)
numbers = (
    st.integers() | st.floats(allow_nan=False) | st.sampled_from([0.1, 200, 34.7, 1.5, 0.0001, 1e-5, -0.0, 10**18])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=6),
    max_leaves=12,
)
entries = st.fixed_dictionaries(
    {"logName": texts},
    optional={
        "textPayload": texts,
        "severity": texts | values,
        "timestamp": texts,
        "jsonPayload": st.dictionaries(st.sampled_from(KEYS), values, max_size=5) | values,
        "httpRequest": st.dictionaries(st.sampled_from(KEYS), values, max_size=5),
        "resource": st.just({"labels": {"service_name": "shop"}, "type": "x"}) | values,
        "labels": values,
        "other": values,
    },
)


PLACES = [place for entry in FORMATS for places in entry.fields.values() for place in places]
NAMES = sorted({name for place in PLACES for name in (*place.keys, place.dotted)})
anything = st.dictionaries(
    st.sampled_from(NAMES), values | st.dictionaries(st.sampled_from(NAMES), values, max_size=3), max_size=8
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line: mostly an entry, in one of the ways to write it, sometimes damaged."""
    entry = draw(entries | anything | st.dictionaries(texts, values, max_size=4))
    text = json.dumps(
        entry,
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :  ")])),
    )
    text = text.replace('"trace": ', draw(st.sampled_from(['"trace": ', '"truncated": true, "trace": '])), 1)
    if draw(st.booleans()) and "e" in text:
        text = text.replace('"', " " * draw(st.integers(0, 2)) + '"', 1)
    line = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(line)))
        line = (
            line[:at]
            + draw(st.sampled_from([b"", b"\\", b'"', b"}", b"\xff", b"\xed\xa0\x80", b"0", b",", b"\x00", b"\\ud800"]))
            + line[at + draw(st.integers(0, 2)) :]
        )
    return line.replace(b"\n", b" ") + draw(st.sampled_from([b"", b"", b"", b"\r", b" "]))


def rows_of(data: bytes, typed: Typed | None, *, cut: bool, pieces: int = 1) -> tuple[pl.DataFrame, int, int, int]:
    """The rows of these lines, in order, and how many lines were rejected and blank, entries said to be cut."""
    with pytest.MonkeyPatch.context() as patch:
        if not cut:
            patch.setattr(compiled, "CUTTER", None)
        entries = None
        raws = data.split(b"\n")
        size = -(-len(raws) // pieces)
        for start in range(0, len(raws), size):
            part = b"\n".join(raws[start : start + size]) + (b"\n" if start + size < len(raws) else b"")
            count = part.count(b"\n") + (part[-1:] not in (b"", b"\n"))
            entries = read_lines(part, start + 1, count, typed, entries, TREE)
        assert entries is not None
        frames = frames_of(entries, typed, FORMATS, False, Clock(), Tally())
    cuts = Cuts()
    if typed is None:
        cuts.see_flags(entries.suspects)
    return pl.concat([empty_rows(), *frames]).sort("i"), entries.rejected, entries.blank, cuts.entries


@given(
    st.lists(
        lines() | st.sampled_from([b"plain text", b"[", b"]", b" ", b"{}", b"{", b"null"]), min_size=1, max_size=12
    )
)
@settings(max_examples=25, deadline=None)
@example([b'{"logName":"a","textPayload":"x"}', b'{"logName":"a","logName":"b","textPayload":"x"}'])
@example(
    [b'{"logName":"a","textPayload":"\\ud83d\\ude00 \\u00e9\\u0000\\/"}', b'{"logName":"a","textPayload":"\\ud83d"}']
)
@example(
    [b'{"logName":"a","textPayload":1.50}', b'{"logName":"a","textPayload":-0}', b'{"logName":"a","textPayload":1e2}']
)
@example(
    [b'{"logName":"a","textPayload":01}', b'{"logName":"a","textPayload":0.00001}', b'{"logName":"a","textPayload":""}']
)
@example([b'{"logName":"a","httpRequest":{"status":200}}', b'{"logName":"a","httpRequest":{"status":"200"}}'])
@example([b'{"logName":"a","httpRequest":null,"textPayload":"x"}', b'{"logName":"a","x":[1,2,],"textPayload":"x"}'])
@example([b'{"log\\u004eame":"a","textPayload":"x"}', b'{"logName":"a","textPayload":"x"} {}', b'{"logName":"a",}'])
def test_rows_are_the_same_whatever_reads_the_lines(given_lines: list[bytes]) -> None:
    data = b"\n".join(given_lines)
    for typed in (TYPED, None):
        plain, *counts = rows_of(data, typed, cut=False)
        for pieces in (1, 3):
            cut, *cut_counts = rows_of(data, typed, cut=True, pieces=pieces)
            assert cut_counts == counts
            assert cut.to_dicts() == plain.to_dicts()


def entry(**fields: Any) -> bytes:
    return json.dumps({"logName": "a", **fields}).encode()


def test_a_deep_line_and_a_wide_one_are_read_as_well() -> None:
    deep = b'{"logName":"a","textPayload":"deep","other":' + b"[" * 500 + b"]" * 500 + b"}"
    wide = entry(textPayload="wide", **{f"k{n}": n for n in range(1000)})
    rows, rejected, *_ = rows_of(b"\n".join([deep, wide, entry(textPayload="plain")]), TYPED, cut=True)
    assert rows["message"].to_list() == ["deep", "wide", "plain"]
    assert rejected == 0


def test_more_shapes_than_are_told_apart() -> None:
    many = [entry(textPayload=f"text {n}", **{f"k{n}": n}) for n in range(3000)]
    rows, rejected, *_ = rows_of(b"\n".join(many), TYPED, cut=True, pieces=7)
    assert rows["message"].to_list() == [f"text {n}" for n in range(3000)]
    assert rejected == 0


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 63, 64, 65, 5000])
def test_columns_of_any_length(count: int) -> None:
    """One text for all, then one that differs; values that are missing at the start, the end, and between."""
    given_lines = [
        entry(
            textPayload="the same long text for all of them" if n < count - 1 else "x",
            **({"trace": f"trace number {n // 3}"} if n % 3 else {}),
            httpRequest={"status": 200 + n % 2},
        )
        for n in range(count)
    ]
    data = b"\n".join(given_lines)
    assert rows_of(data, TYPED, cut=True)[0].to_dicts() == rows_of(data, TYPED, cut=False)[0].to_dicts()


@given(st.binary(max_size=40).map(lambda data: data.replace(b"a", b"\n")), st.integers(0, 1_000))
def test_lines_are_counted_alike(data: bytes, times: int) -> None:
    data *= times
    assert compiled.count_lines(data) == data.count(b"\n") + (data[-1:] not in (b"", b"\n"))


_PIECES = ("a", "word ", "a longer text than twelve", "\n", "\r\n", "\r", "\t", "é", "日本", "𝄞", "\x1b[0m", "\u2028")


@settings(deadline=None, max_examples=90)
@given(
    st.lists(st.sampled_from(_PIECES), max_size=60).map("".join).map(str.encode),
    st.sampled_from((b"", b"", b"", b"\xff", b"\xed\xa0\x80", b"\xc3", b"\x00")),
    st.integers(0, 200),
)
def test_lines_are_taken_apart_alike(text: bytes, broken: bytes, at: int) -> None:
    data = text[:at] + broken + text[at:]
    try:
        split = data.decode().removesuffix("\n").split("\n") if data else []
    except UnicodeDecodeError:
        split = None
    if compiled.lines_of is None:
        return
    found = compiled.lines_of(data)
    if split is None or b"\x00" in data:
        assert found is None
        return
    assert found is not None
    lines, escapes, returns = found
    assert pl.Series(lines).to_list() == [line.removesuffix("\r") for line in split]
    assert (escapes, returns) == (b"\x1b" in data, b"\r" in data)


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(1, 40)), max_size=120),
    st.sampled_from(["", "a", "the same beginning of every one of them ", "long " * 60]),
    st.integers(0, 60),
)
def test_few_texts_and_many_are_held_alike(runs: list[tuple[int, int]], start: str, few: int) -> None:
    """Rows hold the numbers of few different texts, of many the texts: it must not show where the one becomes the other."""
    said = [None if text < 5 else f"{start}{text % max(few, 6)}" for text, times in runs for _ in range(times)]
    if compiled.CUTTER is None:
        return
    cutting = Cutting(tree_of([("a",)], strict=False), compiled.CUTTER)
    lines = [json.dumps({"b": 1} if text is None else {"a": text}).encode() for text in said]
    for n in range(0, len(lines), 700):
        assert cutting.add(b"\n".join(lines[n : n + 700]) + b"\n", n + 1) == []
    found = cutting.finish()
    assert found.count == len(said)
    values = found.columns[("a",)].said() if ("a",) in found.columns else [None] * len(said)
    if isinstance(values, pl.Series):
        assert isinstance(values.dtype, pl.Enum) == (len({*said} - {None}) <= 48 and len(start) < 250)
        values = plain_texts(values).to_list()
    assert ([values] * len(said) if isinstance(values, str) else values) == said


def test_what_is_cut_is_what_was_asked_for() -> None:
    assert_cut = {("a",): ["x", None, "z"], ("b", "c"): [1, 2, None], ("b", "a"): [None, "true", None]}
    if (
        compiled.CUTTER is None
    ):  # there was no compiler: nothing is cut, and the tests above read in the one way there is
        return
    asked_for = [("a",), ("b", "c"), ("b", "a")]
    cutting = Cutting(tree_of(asked_for, strict=False, numbers=[("b", "c")]), compiled.CUTTER)
    left = cutting.add(b'{"a":"x","b":{"c":1}}\nno\n{"b":{"c":2,"a":true}}\n{"b":7,"a":"z"}', 5)
    assert left == [(6, b"no")]
    found = cutting.finish()
    assert (found.count, found.lines.to_list()) == (3, [5, 7, 8])
    said = {keys: column.said() for keys, column in found.columns.items()}
    assert {keys: v.to_list() if isinstance(v, pl.Series) else v for keys, v in said.items()} == assert_cut
    assert [found.keys[n] for n in found.shapes] == [("a", "b"), ("b",), ("b", "a")]
    assert cutting.raw(7) == b'{"b":{"c":2,"a":true}}'


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.iterdir() if path.is_dir()))
def test_a_report_is_the_same_without_the_compiled_part(sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = render(analyze(SAMPLES / sample), "json")
    monkeypatch.setattr(compiled, "CUTTER", None)
    assert render(analyze(SAMPLES / sample), "json") == cut
