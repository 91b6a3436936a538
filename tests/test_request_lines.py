"""Lines of access logs that only count are summed up by compiled code: the summary is that of reading every line as a row."""

from __future__ import annotations

from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from test_calm import same
from test_entries import summaries
from triage.engine import summarize
from triage.intake import compiled, entries
from triage.intake.programs import first_pairs
from triage.options import Options
from triage.sums import bounds, step_of

ROUTES = (
    "/orders/{n}",
    "/",
    "/cart?x={n}",
    "/f/{n:x}/y",
    "/exit/killed",
    "http://h.example/a/{n}#b",
    "*",
    "/a;b={n}",
    "/größe",
)
AGENTS = (
    '"-" "curl/8"',
    '"https://a.example/ rt=9" "Mozilla/5.0 (X11; Linux) rt 5"',
    '"-" "é"',
    '"-" "cut [truncated]"',
    '"-" "curl/8" Request-ID: "a81bc{n}01"',
    "",
)
TOOK = (
    "",
    " rt=0.{n:03d}",
    " rt={n}.5",
    ' rt="0.004"',
    " {n}ms",
    " 0.{n:06d}",
    " rt=-",
    " request_time:{n}us",
    " rt=1e3",
)
ODD = (
    '203.0.113.9 - - [02/Mar/2026:10:00:00 +0000] "\\x16\\x03" 400 150 "-" "-"', "", "Traceback (most recent call last):", "plain text",
    "ValueError: no", '{"message": "json"}', '10.0.0.1 - - [30/Feb/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1',
    '10.0.0.1 - - [02/Mar/1999:10:00:00 +0000] "GET / HTTP/1.1" 200 1', '10.0.0.1 - - [02/Mar/2026:10:00:00 +0000] "GET /\t HTTP/1.1" 200 1',
    "2026-03-02 10:00:00,000 ERROR app.order: lost", '"GET / HTTP/1.1" 500',
)  # fmt: skip
BROKEN = b'10.0.0.1 - - [02/Mar/2026:10:00:00 +0000] "GET /\xff\xfe HTTP/1.1" 200 7 "-" "\xff"\n'


def log_of(seed: int) -> bytes:
    """An access log of one server, most of it calm."""
    random, lines, seconds = Random(seed), list[bytes](), 36_000.0
    routes, agents, took = (random.sample(given_, 2) for given_ in (ROUTES, AGENTS, TOOK))
    zone, noise = random.choice(("+0000", "+0000", "+0130", "-0800")), random.choice((0.0, 0.002, 0.05))
    end = random.choice(("\n", "\n", "\r\n"))
    statuses = random.choice(((200,) * 30 + (304, 302, 404, 404, 500, 503), (200, 200, 404, 500, 503, 503)))
    for _ in range(random.choice((50, 2_000))):
        if random.random() < noise:
            odd = random.choice((*ODD, None))
            lines.append(BROKEN if odd is None else f"{odd}{end}".encode())
            continue
        seconds += random.choice((0, 0, 0, 1, -2 if noise else 0, 7))
        n, status = (
            random.randrange(10 ** random.randrange(1, 7)),
            random.choice(statuses),
        )
        time = f"{int(seconds) // 3600 % 24:02d}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
        route = random.choice(routes).format(n=n)
        lines.append(
            f"10.0.{n % 256}.7 - {random.choice(('-', 'bob'))} [02/Mar/2026:{time} {zone}] "
            f'"{random.choice(("GET", "GET", "POST"))} {route} HTTP/1.1" {status} {n} {random.choice(agents).format(n=n)}'
            f"{random.choice(took).format(n=n)}{end}".encode()
        )
    return b"".join(lines)


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(st.integers(0, 1 << 32), st.sampled_from((4_000, 40_000)))
def test_an_access_log_gives_the_same_with_and_without_the_sieve(
    tmp_path_factory: pytest.TempPathFactory, seed: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("access") / "access.log"
    path.write_bytes(log_of(seed))
    with pytest.MonkeyPatch.context() as patch:
        first, second, _ = summaries(path, patch, block)
        same(first, second)


LINE = '10.0.0.7 - - [02/Mar/2026:10:{:02d}:{:02d} +0000] "GET /orders/{} HTTP/1.1" {} 17 "-" "curl/8" rt=0.{:03d}\n'


def test_most_of_a_calm_access_log_never_becomes_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    lines = [LINE.format(n // 60, n % 60, n, 503 if n % 100 == 99 else 200, n % 1_000) for n in range(3_000)]
    path.write_text("".join(lines))
    sifted, read_, count = summaries(path, monkeypatch, 30_000)
    same(sifted, read_)
    assert count > 2_000 or compiled.ENTRY_SIEVE is None
    requests = sifted["requests"].sort("status").select("route", "status", "count", "timed", "max_ms").rows()
    assert requests == [("/orders/{id}", 200, 2_970, 2_970, 998.0), ("/orders/{id}", 503, 30, 30, 999.0)]


def test_failed_requests_become_no_rows_but_those_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    random = Random(7)
    lines = [
        LINE.format(n // 60, random.randrange(60), random.randrange(9_000), random.choice((200, 502, 503)), n % 1_000)
        for n in range(3_000)
    ]
    path.write_text("".join(lines))
    sifted, read_, count = summaries(path, monkeypatch, 30_000)
    same(sifted, read_)
    assert sifted["clusters"]["count"].sum() > 1_800
    assert count > 2_500 or compiled.ENTRY_SIEVE is None


def test_failed_requests_that_name_their_id_are_known_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    said = [f"{n}?{id_}id=a81bc{n}" for n, id_ in enumerate(("x-request-", "req_", "Trace", "correlation-") * 750)]
    path.write_text("".join(LINE.format(n // 60, n % 60, said[n], 502, 7) for n in range(3_000)))
    sifted, read_, _ = summaries(path, monkeypatch, 30_000)
    same(sifted, read_)
    assert sifted["traces"].height == 3_000


def test_single_requests_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    path.write_text("".join(LINE.format(n // 60, n % 60, n, 200, 7) for n in range(3_000)))
    monkeypatch.setattr(entries, "_LINES_WORTHWHILE", 0)
    assert summarize([str(path)], Options(jobs=1, since="2026-03-02T10:40:00Z"))["requests"]["count"].sum() == 600


def test_steps_of_durations_begin_where_compiled_code_is_told() -> None:
    known = bounds()
    around = pl.DataFrame({"step": pl.int_range(1, len(known) + 1, eager=True), "at": known})
    told = around.select("step", at=step_of(pl.col("at")), below=step_of(pl.col("at") * (1 - 1e-15)))
    assert (told["at"] == told["step"]).all()
    assert (told["below"] == told["step"] - 1).all()
    assert known.is_sorted()


@pytest.mark.parametrize(
    ("regex", "pairs"),
    [("ab", {"ab"}), ("a|bc", None), ("[ab]c?d", {"ac", "bc", "ad", "bd"}), ("a{1,2}b", {"aa", "ab"}), ("a*bc", {"aa", "ab", "bc"})],
)  # fmt: skip
def test_the_first_two_bytes_of_what_a_regex_fits(regex: str, pairs: set[str] | None) -> None:
    found = first_pairs(regex)
    assert (found if found is None else {found[n : n + 2].decode() for n in range(0, len(found), 2)}) == pairs
