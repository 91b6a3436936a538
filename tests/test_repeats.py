"""Records that came before are known by their bytes: the summary is that of reading every line of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from test_calm import HEADERS, STACKS, Header, same
from test_calm import summaries as sifted
from triage import counting
from triage.engine import read
from triage.intake import calm, compiled
from triage.intake.repeats import Repeated, Repeats
from triage.intake.sources import open_sources
from triage.options import Options
from triage.shards import Reader, put_together
from triage.summary import Summary, merge_all

TRACE = (
    "Traceback (most recent call last):",
    '  File "/app/cart.py", line 31, in load',
    "    return cache[key]",
    "KeyError: 'currency'",
)
OTHER = (
    "java.lang.IllegalStateException: closed",
    "\tat com.shop.Pay.run(Pay.java:31)",
    "\tat com.shop.Main.main(Main.java:3)",
)


def summaries(path: Path, patch: pytest.MonkeyPatch, text_bytes: int) -> tuple[Summary, Summary, int]:
    """What is made of a log with records that came before told apart, and without; and how many were."""
    patch.setattr(counting, "FIRST_ROWS", 40)  # what the first rows say is waited for before anything is put together
    told = 0
    complete = Repeats.complete

    def count(self: Repeats, events: object, repeated: Sequence[Repeated] = (), **asked: object) -> object:
        nonlocal told
        told += sum(one.again.height + one.bodies.height for one in repeated)
        return complete(self, events, repeated, **asked)  # type: ignore[arg-type]

    patch.setattr(Repeats, "complete", count)
    return *sifted(path, patch, text_bytes), told


def write(path: Path, header: Header, rng: random.Random, odd: Sequence[str], length: int = 300) -> None:
    """A log in which a few records come again and again, and now and then something that may touch them."""
    lines, seconds = list[str](), 36_000
    stacks = [rng.choice(STACKS) for _ in range(2)] + [list(TRACE), list(OTHER)]

    def put(level: str, name: str, text: str) -> None:
        nonlocal seconds
        # the first rows say that it does not run backwards: which of them are rows is not asked here
        seconds += 1 if len(lines) < 60 else rng.choice((0, 0, 0, 1, -1))
        time = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        lines.append(header("2026-03-02", time, level, name, text))

    for _ in range(length):
        kind = rng.random()
        if kind < 0.5:
            for n in range(rng.choice((1, 2, 6, 12))):
                put("INFO", "order", f"order {n} kept")
        elif kind < 0.97:
            number = rng.randrange(9) if rng.random() < 0.2 else ""
            put(rng.choice(("ERROR", "WARNING")), rng.choice(("pay", "cart")), f"cannot serve{number}")
            if kind < 0.8:
                lines += rng.choice(stacks)
                lines += [""] * (rng.random() < 0.05)
        else:
            odd_one = rng.choice(odd)
            if rng.random() < 0.5:
                put(rng.choice(("INFO", "ERROR", "WARNING")), "order", odd_one)
            else:
                lines.append(odd_one)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


ODD = (
    "plain text", "  indented", "KeyError: 4", "thread 'main' panicked at src/main.rs:3:5:", "goroutine 1 [running]:", "Traceback (most recent call last):",
    "Caused by: no", "\tat com.shop.Late.run(Late.java:1)", "", "fatal error: all goroutines are asleep", "Node.js v20.1.0", "exit status 2", "... 12 more",
    "{\"level\":\"info\",\"msg\":\"x\"}", "The above exception was the direct cause of the following exception:", "cut [truncated]",
)  # fmt: skip


@settings(
    max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate)
)
@given(st.sampled_from(HEADERS), st.integers(0, 1 << 32), st.sampled_from((8_000, 20_000)))
def test_a_log_gives_the_same_with_and_without_them(
    tmp_path_factory: pytest.TempPathFactory, header: Header, seed: int, text_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("repeats") / "app.log"
    rng = random.Random(seed)
    write(path, header, rng, rng.sample(ODD, 3))
    with pytest.MonkeyPatch.context() as patch:
        one, other, _ = summaries(path, patch, text_bytes)
        same(one, other)


def log_of(path: Path, record: str, odd: str = "") -> Path:
    """A calm log of python's logging in which a record comes again and again, and something odd once."""
    lines = list[str]()
    for n in range(2_400):
        stamp = f"2026-03-02 10:00:{n // 60:02d},{n % 60:03d}"
        lines.append(f"{stamp} INFO app.order: order {n} kept")
        if n % 12 == 0:
            lines.append(f"{stamp} {record}")
        if odd and n == 1_800:
            lines.append(odd)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_most_of_what_comes_again_never_becomes_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log_of(tmp_path / "app.log", "\n".join(("ERROR app.pay: cannot price", *TRACE)))
    one, other, told = summaries(path, monkeypatch, 16_000)
    same(one, other)
    assert told > 100 or compiled.SIEVE is None


def test_lines_below_a_header_are_known_whatever_the_header_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = log_of(tmp_path / "app.log", "")
    text, lines = "", path.read_text(encoding="utf-8").splitlines()
    for n, line in enumerate(lines):
        empty = line.endswith(" ")
        text += f"{line}ERROR app.pay: cannot price order {n}\n{chr(10).join(TRACE)}\n" if empty else f"{line}\n"
    path.write_text(text, encoding="utf-8")
    one, other, told = summaries(path, monkeypatch, 16_000)
    same(one, other)
    assert told > 100 or compiled.SIEVE is None
    assert one["clusters"]["count"].max() == 200


@pytest.mark.parametrize(
    "record",
    [
        "ERROR app.pay: cut [truncated]", "\n".join(("ERROR app.pay: cannot price", *TRACE, "", "")), "ERROR app.pay: KeyError: 'currency'",
        "\n".join(("ERROR app.pay: cannot price", *TRACE[:2])), "\n".join(("CALM app.pay: cannot price", *TRACE)), "ERROR app.pay: red \x1b[0m",
    ],
)  # fmt: skip
def test_a_record_of_which_more_is_counted_is_read_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str
) -> None:
    one, other, told = summaries(log_of(tmp_path / "app.log", record), monkeypatch, 16_000)
    same(one, other)
    assert not told


def test_near_what_may_touch_it_a_record_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = "\n".join(("ERROR app.pay: cannot price", *TRACE))
    plain = summaries(log_of(tmp_path / "plain.log", record), monkeypatch, 16_000)[2]
    monkeypatch.undo()
    one, other, told = summaries(log_of(tmp_path / "odd.log", record, "goroutine 1 [running]:"), monkeypatch, 16_000)
    same(one, other)
    assert told == (plain - 1 if compiled.SIEVE is not None else 0)


def test_in_a_file_of_many_parts_they_are_known_in_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "FIRST_ROWS", 40)
    path = log_of(tmp_path / "app.log", "\n".join(("ERROR app.pay: cannot price", *TRACE)))
    path.write_text(path.read_text(encoding="utf-8") * 4, encoding="utf-8")

    def parts(size: int | None) -> Summary:
        reader = Reader(Options(jobs=1))
        tasks = reader.plan(open_sources([str(path)]), size=size)
        assert len(tasks) == (1 if size is None else 8)
        return merge_all(put_together(tasks, map(reader.run, tasks), reader, lambda _: None))

    cut, whole = parts(path.stat().st_size // 8), parts(None)
    for name, table in whole.tables.items():
        if name != "notices":
            assert_frame_equal(cut[name], table)


def test_a_log_that_runs_backwards_is_read_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log_of(tmp_path / "app.log", "\n".join(("ERROR app.pay: cannot price", *TRACE)))
    path.write_text("\n".join(reversed(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")
    one, other, told = summaries(path, monkeypatch, 16_000)
    same(one, other)
    assert not told


def test_what_came_before_has_the_level_and_the_place_of_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = log_of(tmp_path / "app.log", "\n".join(("ERROR app.pay: cannot price", *TRACE)))
    records = read(str(path), Options()).collect()
    found = summaries(path, monkeypatch, 16_000)[0]
    failed = records.filter(records["stack"].is_not_null())
    assert failed.height == 200 == found["failures"]["count"].max() == found["failures"]["stacks"].max()
    assert found["failures"]["last"].max() == failed["at"].max()
