"""Folding: ids that no mask knows become one template; words that say something never do."""

from __future__ import annotations

import random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.grouping.folding import MANY, SEVERAL, fold

NAMES = [a + b for a in ("al", "be", "car", "don", "el", "fi") for b in ("ba", "co", "ka", "lo", "mi", "na", "to")]


def frame(*templates: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"template": list(templates), "count": [1] * len(templates)}, schema={"template": pl.String, "count": pl.Int64}
    )


def test_numbered_names_become_one_template() -> None:
    texts = [f"lost node{n} again" for n in range(SEVERAL)]
    assert fold(frame(*texts)) == dict.fromkeys(texts, "lost node<*> again")


def test_few_variants_stay() -> None:
    assert fold(frame("lost node1 again", "lost node2 again")) == {}


def test_random_ids_become_one_template() -> None:
    texts = ["job x2x9k failed", "job 7bq4d failed", "job p4m2z failed", "job r9t8v failed"]
    assert set(fold(frame(*texts)).values()) == {"job <*> failed"}


def test_placeholders_of_two_kinds_are_one() -> None:
    assert fold(frame("order <num> lost", "order <hex> lost")) == dict.fromkeys(
        ("order <num> lost", "order <hex> lost"), "order <*> lost"
    )


def test_statuses_are_never_folded() -> None:
    assert fold(frame(*(f"GET /a HTTP/1.1 status {n}" for n in (200, 301, 404, 500, 502, 503, 504)))) == {}
    assert fold(frame(*(f"Container called exit({n})." for n in range(9)))) == {}


def test_error_codes_are_never_folded() -> None:
    assert fold(frame(*(f"at=error code=H{n} method=GET" for n in range(10, 30)))) == {}
    assert fold(frame(*(f"machine error PR0{n} from edge" for n in range(1, 9)))) == {}


def test_verbs_and_states_are_never_folded() -> None:
    verbs = [f"{v}ed" for v in NAMES[:MANY]] + ["started", "paused", "up", "down"]
    assert fold(frame(*(f"the machine has {v} now" for v in verbs))) == {}


def test_types_of_exceptions_are_never_folded() -> None:
    assert fold(frame(*(f"worker died of {n.title()}Error at boot" for n in NAMES))) == {}


def test_versions_and_algorithms_are_never_folded() -> None:
    assert (
        fold(
            frame(
                *(
                    f"cannot use {w} for it"
                    for w in ("sha1", "sha256", "sha384", "sha512", "md5", "v1", "v2", "v3", "v4")
                )
            )
        )
        == {}
    )


def test_many_names_become_one_template_and_few_do_not() -> None:
    texts = [f"no account for {n} found here" for n in NAMES]
    assert set(fold(frame(*texts)).values()) == {"no account for <*> found here"}
    assert fold(frame(*texts[: MANY - 1])) == {}


def test_names_that_are_kept_are_never_folded() -> None:
    assert fold(frame(*(f"no answer from {n} in time" for n in NAMES)), keep=NAMES) == {}


def test_other_lengths_and_other_words_stay() -> None:
    texts = [f"lost node{n} again" for n in range(9)]
    others = ["lost node1 again now", "lost edge1 again", "found node1 again"]
    assert set(fold(frame(*texts, *others))) == set(texts)


def test_a_template_of_values_only_stays() -> None:
    assert fold(frame("node1", "node2", "node3", "node4", "node5")) == {}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from(["a", "node1", "node2", "x2x9k", "7bq4d", "<num>", "<hex>", "503", "failed", "bo"]),
            min_size=1,
            max_size=5,
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_templates_changes_nothing(rows: list[list[str]], chance: random.Random) -> None:
    texts = [" ".join(row) for row in rows]
    mixed = list(texts)
    chance.shuffle(mixed)
    assert fold(frame(*texts)) == fold(frame(*mixed))
