"""Folding: ids that no mask knows become one template; words that say something never do."""

from __future__ import annotations

import random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.grouping.folding import CROSSED, MANY, PLAIN, SEVERAL, fold

NAMES = [a + b for a in ("al", "be", "car", "don", "el", "fi") for b in ("ba", "co", "ka", "lo", "mi", "na", "to")]


def frame(*templates: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"template": list(templates), "count": [1] * len(templates)}, schema={"template": pl.String, "count": pl.Int64}
    )


def test_numbered_names_become_one_template() -> None:
    texts = [f"lost node{n} again" for n in range(SEVERAL)]
    assert fold(frame(*texts)) == dict.fromkeys(texts, "lost node<*> again")


def test_two_numbered_names_are_enough() -> None:
    assert fold(frame("lost node1 again", "lost node2 again")) == dict.fromkeys(
        ("lost node1 again", "lost node2 again"), "lost node<*> again"
    )


def test_few_paths_and_few_dotted_names_stay() -> None:
    assert fold(frame("cannot open /etc/shop/a.yaml now", "cannot open /etc/shop/b.yaml now")) == {}
    assert fold(frame("mail.shop.example did not answer", "pay.shop.example did not answer")) == {}


def test_several_paths_become_one_template() -> None:
    texts = [f"cannot open /etc/shop/{name}.yaml now" for name in ("cart", "mail", "tax")]
    assert set(fold(frame(*texts)).values()) == {"cannot open <*> now"}


def test_several_hosts_with_their_ports_become_one_template() -> None:
    texts = [
        "tunnel to a.example:443 opened",
        "tunnel to mail.b.example:<num> opened",
        "tunnel to c.example:8080 opened",
    ]
    assert set(fold(frame(*texts)).values()) == {"tunnel to <*> opened"}


def test_a_numbered_file_in_several_folders_is_one_file() -> None:
    texts = ("drop /mnt/a/b/part-<num> of it", "drop /mnt/c/part-<id> of it", "drop /mnt/c/d/e/part-<num> of it")
    assert len(set(fold(frame(*texts)).values())) == 1


def test_how_long_a_list_is_says_nothing() -> None:
    texts = ["drop <id>, <id>, <id> now", "drop <num> now", "drop <id>, <num> now"]
    assert len({fold(frame(*texts)).get(text, text) for text in texts}) == 1


def test_a_name_that_one_template_calls_a_name_is_one_in_another() -> None:
    texts = ["session of user ann opened", "session of user bob opened", "bad password for ann", "bad password for bob"]
    assert set(fold(frame(*texts)).values()) == {"session of user <*> opened", "bad password for <*>"}


def test_fields_of_a_dump_are_values_but_for_those_that_tell() -> None:
    dump = "pool size=<num> max=<num> lazy={} owner={} status={}".format
    folded = fold(frame(dump("true", "a", "up"), dump("false", "b", "up"), dump("false", "b", "down")))
    assert set(folded.values()) == {"pool size=<num> max=<num> lazy=<*> owner=<*> status=up"}


def test_what_quotes_and_brackets_of_a_field_hold_is_its_value() -> None:
    dump = 'lock=<num>, flags=<hex>, tag="{}", owner={}, uid=<num>'.format
    texts = [dump("View Lock", "null"), dump("*job*", "Source{<num> app.mail}"), dump("Audio", "Source{<num>}")]
    assert set(fold(frame(*texts)).values()) == {"lock=<num>, flags=<hex>, tag=<*>, owner=<*>, uid=<num>"}


def test_what_a_field_holds_is_no_value_where_it_tells_what_happened() -> None:
    dump = "a=<num> b=<num> c=<num> ctx={{reason={} id=<num>}}".format
    assert fold(frame(dump("timeout", 1), dump("refused", 2))) == {}
    quoted = 'a=<num> b=<num> c=<num> ctx="{}"'.format
    assert fold(frame(quoted("disk is full again now"), quoted("user is not known here"))) == {}


def test_an_object_is_one_value() -> None:
    texts = ["closed Window{7cab2ba u0 Bar}", "closed Window{<id> u0 mail/.Inbox (new)}"]
    assert set(fold(frame(*texts)).values()) == {"closed Window{<*>}"}


def test_a_value_told_again_in_brackets_adds_nothing() -> None:
    texts = ["<size> sent to <ip> now", "<size>(<size>) sent to <ip> now", "<size> sent to <ip> (<mac>) now"]
    assert set(fold(frame(*texts)).values()) == {"<size> sent to <ip> now"}
    assert fold(frame("stopped after <num> tries (lost) now", "stopped after <num> tries now")) == {}


def test_one_and_several_are_one_template() -> None:
    assert set(fold(frame("spilled <num> time so far", "spilled <num> times so far")).values()) == {
        "spilled <num> time so far"
    }
    assert fold(frame("disk of <num> is full", "disks of <num> are full", "<num> status now", "<num> statu now")) == {}


def test_a_list_of_machines_is_one_name() -> None:
    texts = ["lost node-<num> again", "lost node-[<num>-<num>] again", "lost node-[<num> <num>,<num>] again"]
    assert set(fold(frame(*texts)).values()) == {"lost node-<*> again"}


def test_addresses_of_both_versions_and_hosts_are_endpoints() -> None:
    texts = ["tunnel to [<ip>]:<num> opened", "tunnel to <ip>:<num> opened", "tunnel to a.example:443 opened"]
    assert len(set(fold(frame(*texts), care=PLAIN).values())) == 1


def test_few_compound_names_are_values_only_where_nothing_failed() -> None:
    texts = [f"group {name} is stable" for name in ("order-service", "billing.prod", "console-<num>")]
    assert fold(frame(*texts)) == {}
    assert set(fold(frame(*texts), care=PLAIN).values()) == {"group <*> is stable"}
    several = ["removed broadcast_<num> now", "removed rdd_<num>_<num> now"]
    assert set(fold(frame(*several), care=PLAIN).values()) == {"removed <*> now"}
    assert fold(frame("link up on en0 now", "link up on awdl0 now"), care=PLAIN) == {}


def test_a_list_of_named_states_is_a_dump_where_nothing_failed() -> None:
    texts = [f"plan: id: <num>, now: {a}, then: {b}, later: {a}, last: {b}" for a, b in (("in", "out"), ("up", "gone"))]
    assert len(set(fold(frame(*texts), care=PLAIN).values())) == 1
    assert fold(frame(*texts)) == {}


def test_few_ports_stay_and_many_are_those_of_connections() -> None:
    assert fold(frame("nothing listens on port 5432 here", "nothing listens on port 6379 here")) == {}
    texts = [f"tunnel uses port {n} now" for n in range(4000, 4009)]
    assert set(fold(frame(*texts)).values()) == {"tunnel uses port <*> now"}


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


@settings(max_examples=40, deadline=None)
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


def test_true_and_false_are_values_but_where_they_say_what_happened() -> None:
    texts = ("overlap: true, height <num>", "overlap: false, height <num>")
    assert (
        set(fold(frame(*texts)).values()) == {"overlap: <*>, height <*>"} or len(set(fold(frame(*texts)).values())) == 1
    )
    assert fold(frame("health: true, height <num>", "health: false, height <num>")) == {}


def test_words_that_stand_each_with_each_are_values() -> None:
    texts = [f"moved {a} over to {b} at last" for a in ("alba", "bela", "cilo") for b in ("domo", "elka")]
    assert len(texts) == CROSSED
    assert set(fold(frame(*texts)).values()) == {"moved <*> over to <*> at last"}
    states = [f"moved {a} and is {b} at last" for a in ("alba", "bela", "cilo") for b in ("started", "stopped")]
    assert fold(frame(*states)) == {}


def test_a_place_where_values_stand_takes_one_more() -> None:
    texts = [f"no account for {n} found here" for n in NAMES]
    more = ("no account for null found here", "no account for <num> found here", "no account for a.b found here")
    assert set(fold(frame(*texts, *more)).values()) == {"no account for <*> found here"}
    assert "no account for failed found here" not in fold(frame(*texts, "no account for failed found here"))


def test_parts_of_a_machine_are_numbered_and_codes_are_not() -> None:
    assert len(fold(frame("heat on CPU1 is high", "heat on CPU2 is high"))) == 2
    assert fold(frame("trap H1 on the edge", "trap H2 on the edge")) == {}
    assert len(fold(frame("disk sda is slow", "disk sdb is slow"))) == 2


def test_names_with_numbers_are_values_when_there_are_several() -> None:
    texts = ["lost worker<num> again", "lost edge<num>-a again", "lost cache1 again"]
    assert set(fold(frame(*texts)).values()) == {"lost <*> again"}
    assert fold(frame(*texts[:2])) == {}


def test_more_is_a_value_where_nothing_failed() -> None:
    fields = ("opened unit=metric in time", "opened unit=imperial in time")
    ports = ("listening on <ip>:8080 now", "listening on <ip>:9090 now")
    paths = ("read /etc/shop/a.yaml now", "read /var/shop/b.yaml now")
    for pair in (fields, ports, paths):
        assert fold(frame(*pair)) == {}
        assert len(set(fold(frame(*pair), care=PLAIN).values())) == 1
    states = ("opened state=ready in time", "opened state=full in time")
    assert fold(frame(*states), care=PLAIN) == {}
