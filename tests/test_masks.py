"""Masks: what varies goes, what names the failure stays."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.errors import PackError
from triage.grouping.masks import Mask, compile_masks, load_masks, mask, route_template

MASKS = load_masks()


def masked(*texts: str) -> list[str]:
    return mask(pl.Series("t", list(texts), dtype=pl.String())).to_list()


@pytest.mark.parametrize(("text", "expected"), [(t, e) for m in MASKS for t, e in m.examples.items()])
def test_every_example_of_the_pack_comes_out_as_written(text: str, expected: str) -> None:
    assert masked(text) == [expected]


@pytest.mark.parametrize("text", [t for m in MASKS for t in m.unchanged])
def test_every_text_that_must_stay_stays(text: str) -> None:
    assert masked(text) == [text]


@pytest.mark.parametrize("one", MASKS, ids=lambda m: m.name)
def test_every_mask_has_a_sample(one: Mask) -> None:
    assert one.examples or one.unchanged


def test_names_are_used_once() -> None:
    assert len({m.name for m in MASKS}) == len(MASKS)


def test_status_codes_stay_apart() -> None:
    assert len(set(masked("status 200 in 3 ms", "status 500 in 4 ms", "status 503 in 5 ms"))) == 3
    assert len(set(masked('"GET /a HTTP/1.1" 200', '"GET /a HTTP/1.1" 500'))) == 2


def test_verbs_and_status_words_are_never_masked() -> None:
    assert masked("VM 17 started", "VM 18 paused") == ["VM <num> started", "VM <num> paused"]


def test_nulls_stay_and_order_is_kept() -> None:
    assert mask(pl.Series("t", ["a 1", None, "b 2", "a 1"])).to_list() == ["a <num>", None, "b <num>", "a <num>"]
    assert mask(pl.Series("t", [], dtype=pl.String())).to_list() == []


WORDS = st.sampled_from(
    [
        "error",
        "code",
        "status",
        "503",
        "port",
        "5432",
        "exit(",
        ")",
        ":",
        "=",
        "/",
        ".",
        "-",
        "_",
        "@",
        "%",
        "'",
        '"',
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "(",
        ",",
        "http://",
        "HTTP/1.1",
        "10.0.0.1",
        "1.2.3",
        "2026-03-02",
        "10:14:07",
        "Z",
        "T",
        "7",
        "12",
        "0x1f",
        "1a2b3c4d",
        "user_",
        "id=",
        "a",
        "b",
        "utf8",
        "s3",
        "ms",
        "s",
        "MiB",
        "500",
        "Internal",
        "localhost",
        "db.internal",
        ".py",
        "eyJ",
        "==",
        "?",
        "&",
        "#",
        "+",
        "e5",
        "th",
        "550e8400-e29b-41d4-a716-446655440000",
        "Mar",
        "ORA-",
        "\x1a",
        "\x1b[0m",
        "é",
        "中",
        "signal",
        "errno",
    ]
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(WORDS, st.just(" "), st.text(max_size=3)), max_size=14).map("".join), min_size=1, max_size=20
    )
)
def test_masking_twice_equals_once(texts: list[str]) -> None:
    once = masked(*texts)
    assert masked(*once) == once


def test_a_broken_pattern_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="look-around"):
        compile_masks([Mask("bad", "(?=x)", "<x>")])
    (tmp_path / "masks.yaml").write_text("masks: [{name: a, patern: x}]")
    with pytest.raises(PackError, match="patern"):
        load_masks([tmp_path])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/orders/109/lines/3", "/orders/{id}/lines/{id}"),
        ("/1/2/3", "/{id}/{id}/{id}"),
        ("/users/4299ee26-8d1d-4ea9-bd43-77b85ed96cfe", "/users/{id}"),
        ("/v1/items?id=9", "/v1/items"),
        ("https://api.example.com/v2/x/17#top", "/v2/x/{id}"),
        ("/static/main.3f9a1c2b.js", "/static/main.{id}.js"),
        ("/health", "/health"),
        ("/", "/"),
        ("/oauth2/callback", "/oauth2/callback"),
        ("/order-17/pay", "/order-{id}/pay"),
        ("/u/jo@example.com/x", "/u/{id}/x"),
        ("/files/01HXYZ8K3M4N5P6Q7R8S9T0V1W", "/files/{id}"),
        ("/reports/2026-03-02", "/reports/{id}"),
        ("/2024/05/my-post-title", "/{id}/{id}/my-post-title"),
        ("/api/very_long_resource_name_without_numbers", "/api/very_long_resource_name_without_numbers"),
    ],
)
def test_ids_in_a_route_become_one_word(path: str, expected: str) -> None:
    assert route_template(pl.Series([path])).to_list() == [expected]
