"""Headers that no format knows: learned from the lines, class by class, without a word of the message lost."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from triage.engine import analyze
from triage.intake.decode import ReadOptions, decode
from triage.intake.formats import Catalog, detect, load_catalog
from triage.intake.headers import Sample, infer
from triage.intake.sources import Source
from triage.packs import pattern_dirs
from triage.schema import ROWS

MESSAGES = (
    "connection from 10.1.2.{n} port 4{n} accepted",
    "Receiving chunk chk_{n}88 src: /10.2.0.{n}:50010 dest: /10.2.0.9:50010",
    "error while reading frame {n}",
    "[instance: 7f{n}] resumed (lifecycle event)",
    "Retrying in {n} ms: time is up",
    "cache parity error corrected",
    "Failed to open /var/lib/x{n}: No such file or directory",
    "job {n} finished - took {n}.5 s",
    "session closed for user svc{n}",
    "user=alice id={n} ok",
    "INFO is not the level here {n}",
    "Starting",
    "state_change: idle -> busy ({n})",
    "*** {n} slots left",
    "GET /v2/items/{n} HTTP/1.1 status: 200 len: {n}",
    '"quoted" value {n}',
    "Low disk on /dev/sd{n}, 3 left | 2 used; ok",
    "reached 2024-01-05 10:00:0{n} of the backup",
    "x = {n}, y = 3",
)
START = datetime(2017, 6, 13, 22, 10, 5, 123000, tzinfo=UTC)
WRITTEN = datetime(2017, 12, 20, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Logged:
    """What was logged, before it became a line."""

    at: datetime
    level: str
    name: str
    number: int
    message: str

    def stamp(self, form: str) -> str:
        return self.at.strftime(form.replace("%L", f"{self.at.microsecond // 1000:03}"))


@cache
def logged(count: int = 240, levels: str = "INFO INFO INFO WARN ERROR") -> tuple[Logged, ...]:
    chance = random.Random(3)
    at, out = START, []
    for _ in range(count):
        n = chance.randint(1, 9)
        name = chance.choice(("net.Server", "disk.Cache", "job.Runner$Step", "net.Client"))
        message = chance.choice(MESSAGES).format(n=n)
        out.append(Logged(at, chance.choice(levels.split()), name, chance.randint(100, 29999), message))
        at += timedelta(milliseconds=chance.randint(1, 60000))
    return tuple(out)


@cache
def catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def rows_of(lines: list[str], block: int = 8 << 20, **options: Any) -> pl.DataFrame:
    raw = "".join(f"{line}\n" for line in lines).encode()
    source = Source("in.log", len(raw), WRITTEN, lambda: io.BytesIO(raw))
    batches = list(decode(source, catalog(), ReadOptions(block_bytes=block, **options)))
    intake = pl.concat([b.intake for b in batches])
    rows = pl.concat([b.rows for b in batches])
    assert dict(rows.schema) == ROWS
    assert len(lines) == int(rows["lines"].sum()) + int(intake["blank"].sum()) + int(intake["rejected"].sum())
    return rows


def plain(name: str) -> str:
    return name.rpartition(".")[2].partition("$")[0]


def epoch(one: Logged) -> int:
    return int(one.at.timestamp())


Line = Callable[[Logged], str]
SECONDS = timedelta(seconds=1)
HEADERS: dict[str, tuple[Line, Callable[[Logged], str | None] | None, timedelta | None]] = {
    # the line; the component expected, if any; how exactly the time is known (None: not at all)
    "compact stamp and thread number": (
        lambda e: f"{e.stamp('%y%m%d %H%M%S')} {e.number} {e.level} {e.name}: {e.message}",
        lambda e: e.name,
        SECONDS,
    ),
    "two-digit year with slashes": (
        lambda e: f"{e.stamp('%y/%m/%d %H:%M:%S')} {e.level} {e.name}: {e.message}",
        lambda e: e.name,
        SECONDS,
    ),
    "seconds since 1970 first, the node twice": (
        lambda e: (
            f"- {epoch(e)} {e.stamp('%Y.%m.%d')} R0{e.number % 7}-M1-N{e.number % 9} {e.stamp('%Y-%m-%d-%H.%M.%S.%f')} "
            f"R0{e.number % 7}-M1-N{e.number % 9} HW {plain(e.name).upper()} {e.level} {e.message}"
        ),
        lambda e: plain(e.name).upper(),
        SECONDS,
    ),
    "seconds since 1970, then a syslog line": (
        lambda e: (
            f"- {epoch(e)} {e.stamp('%Y.%m.%d')} dn{e.number % 9} {e.stamp('%b %d %H:%M:%S')} dn{e.number % 9}/dn{e.number % 9} "
            f"{plain(e.name)}(pam)[{e.number}]: {e.message}"
        ),
        lambda e: f"{plain(e.name)}(pam)",
        SECONDS,
    ),
    "seconds since 1970 in the fifth column": (
        lambda e: f"{e.number} node-{e.number % 99} {plain(e.name).lower()} state.change {epoch(e)} 1 {e.message}",
        lambda e: plain(e.name).lower(),
        SECONDS,
    ),
    "milliseconds since 1970": (
        lambda e: f"{epoch(e)}{e.stamp('%L')} {e.level} {e.name} {e.message}",
        lambda e: e.name,
        timedelta(milliseconds=1),
    ),
    "the name of the file in front, a request in brackets": (
        lambda e: (
            f"api.log.1.2017-05-16_13:53:08 {e.stamp('%Y-%m-%d %H:%M:%S.%L')} {e.number} {e.level} {e.name} "
            f"[req-{e.number:08}-41c - - -] {e.message}"
        ),
        lambda e: e.name,
        timedelta(milliseconds=1),
    ),
    "month and day in brackets, a program and a dash": (
        lambda e: f"[{e.stamp('%m.%d %H:%M:%S')}] {plain(e.name)}.exe{' *64' if e.number % 2 else ''} - {e.message}",
        lambda e: f"{plain(e.name)}.exe{' *64' if e.number % 2 else ''}",
        SECONDS,
    ),
    "process, thread and a letter for the level": (
        lambda e: (
            f"{e.stamp('%m-%d %H:%M:%S.%L')}  {e.number:5d}  {e.number:5d} {e.level[0]} {plain(e.name):<8}: {e.message}"
        ),
        lambda e: plain(e.name),
        timedelta(milliseconds=1),
    ),
    "a comma behind the stamp, padded columns": (
        lambda e: f"{e.stamp('%Y-%m-%d %H:%M:%S')}, {e.level.title():<22}{plain(e.name)[:3].upper():<7}{e.message}",
        lambda e: plain(e.name)[:3].upper(),
        SECONDS,
    ),
    "pipes, numbers without leading zeros": (
        lambda e: (
            f"{e.stamp('%Y%m%d')}-{e.at.hour}:{e.at.minute}:{e.at.second}:{e.at.microsecond // 1000}|{plain(e.name)}|30002|{e.message}"
        ),
        lambda e: plain(e.name),
        timedelta(milliseconds=1),
    ),
    "semicolons": (
        lambda e: f"{e.stamp('%Y-%m-%dT%H:%M:%S')};{e.level};{e.name};{e.number};{e.message}",
        lambda e: e.name,
        SECONDS,
    ),
    "a class and its line in brackets": (
        lambda e: (
            f"{e.stamp('%Y-%m-%d %H:%M:%S,%L')} - {e.level:<5} [peer[id=1]/0:0:0:2181:{plain(e.name)}@{e.number}] - {e.message}"
        ),
        lambda e: plain(e.name),
        timedelta(milliseconds=1),
    ),
    "level and thread before the stamp": (
        lambda e: (
            f"{e.level:<5} [main-{e.number % 7}] {e.stamp('%Y-%m-%d %H:%M:%S,%L')} {plain(e.name)}.java:{e.number} - {e.message}"
        ),
        None,
        timedelta(milliseconds=1),
    ),
    "month names, a dotted name without a colon": (
        lambda e: f"{e.stamp('%d-%b-%Y %H:%M:%S.%L')} {e.level} [main] {e.name}.start {e.message}",
        lambda e: f"{e.name}.start",
        timedelta(milliseconds=1),
    ),
    "brackets without blanks": (
        lambda e: f"[{e.stamp('%Y-%m-%d %H:%M:%S.%L')}][{e.number}][{e.level.lower()}][{plain(e.name)}] {e.message}",
        lambda e: plain(e.name),
        timedelta(milliseconds=1),
    ),
    "day first, dots": (
        lambda e: f"{e.stamp('%d.%m.%Y %H:%M:%S')} [{plain(e.name)}] {e.level} {e.message}",
        lambda e: plain(e.name),
        SECONDS,
    ),
    "month first, morning and afternoon": (
        lambda e: f"{e.stamp('%m/%d/%Y %I:%M:%S %p')} {e.level}: {e.message}",
        None,
        SECONDS,
    ),
    "no level at all": (
        lambda e: (
            f"[{e.stamp('%Y.%m.%d-%H.%M.%S')}:{e.stamp('%L')}][{e.number % 999:3d}]Log{plain(e.name)}: {e.message}"
        ),
        lambda e: f"Log{plain(e.name)}",
        timedelta(milliseconds=1),
    ),
    "a clock without a day, thread and level in one": (
        lambda e: f"[{e.stamp('%H:%M:%S')}] [worker-{e.number % 7}/{e.level}]: {e.message}",
        None,
        None,
    ),
    "an offset": (
        lambda e: f"{e.stamp('%Y-%m-%dT%H:%M:%S')}+00:00 {e.level} ({plain(e.name)}) {e.message}",
        lambda e: plain(e.name),
        SECONDS,
    ),
}
LEVEL_OF = {"INFO": "INFO", "WARN": "WARNING", "ERROR": "ERROR"}
WITHOUT_LEVEL = frozenset(
    (
        "seconds since 1970, then a syslog line",
        "seconds since 1970 in the fifth column",
        "month and day in brackets, a program and a dash",
        "pipes, numbers without leading zeros",
        "no level at all",
    )
)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_learned(name: str) -> None:
    line, component, exact = HEADERS[name]
    entries = logged()
    rows = rows_of([line(e) for e in entries])
    assert rows["message"].str.strip_chars().to_list() == [e.message for e in entries]
    if name not in WITHOUT_LEVEL:
        assert rows["level"].to_list() == [LEVEL_OF[e.level] for e in entries]
    else:
        assert rows["level"].null_count() == len(rows)
    if component is not None:
        assert rows["logger"].to_list() == [component(e) for e in entries]
    if exact is None:
        assert rows["at"].null_count() == len(rows)
    else:
        assert all(abs(at - e.at) < exact for at, e in zip(rows["at"].to_list(), entries, strict=True))


@pytest.mark.parametrize("name", HEADERS)
def test_a_learned_header_is_the_same_wherever_the_input_is_cut(name: str) -> None:
    lines = [HEADERS[name][0](e) for e in logged()]
    assert rows_of(lines, block=700).equals(rows_of(lines))


def test_what_was_learned_is_told() -> None:
    line = HEADERS["compact stamp and thread number"][0]
    found = detect([line(e) for e in logged()], catalog())
    assert found.chain == "inferred"
    assert (found.matched, found.tried) == (240, 240)
    assert "inferred: time · number · level · logger · message, learned from 240 of 240 lines" in found.why


def test_lines_of_another_shape_among_them_stay_text_or_get_what_they_have() -> None:
    line = HEADERS["two-digit year with slashes"][0]
    lines = [line(e) for e in logged(60)]
    lines[20:20] = ["   at net.Server.accept(Server.java:7)", "BANNER of the program", ""]
    lines += ["17/06/14 10:00:00 WARN without a component"]
    rows = rows_of(lines)
    assert rows["message"].to_list()[20:23] == ["   at net.Server.accept(Server.java:7)", "BANNER of the program", ""]
    assert rows.row(-1, named=True)["message"] == "without a component"
    assert rows.row(-1, named=True)["level"] == "WARNING"


def test_two_programs_that_interleave_are_both_learned() -> None:
    one, two = HEADERS["pipes, numbers without leading zeros"][0], HEADERS["level and thread before the stamp"][0]
    entries = logged(80)
    rows = rows_of([(one if n % 3 else two)(e) for n, e in enumerate(entries)])
    assert rows["message"].to_list() == [e.message for e in entries]
    assert rows["at"].null_count() == 0


def test_a_header_inside_an_envelope_is_learned() -> None:
    line = HEADERS["a class and its line in brackets"][0]
    entries = logged(60)
    rows = rows_of([f"2017-06-14T10:00:00.{n:09}Z stdout F {line(e)}" for n, e in enumerate(entries)])
    assert rows["message"].to_list() == [e.message for e in entries]
    assert rows["level"].to_list() == [LEVEL_OF[e.level] for e in entries]


@pytest.mark.parametrize(
    "lines",
    [
        ["just words", "and more of them", "without any header at all"] * 5,
        [f"ALERT exited abnormally with [{n}]" for n in range(20)],  # one word in capitals is a message's first
        ["took 12:30:45 to finish", "at 10:00 we leave", "nothing else"] * 5,
        ["2017-06-13 22:10:05 one line"],
        [f"Processing file 2017-06-1{n} 10:00:00" for n in range(3)] + [f"word {n}" for n in range(40)],
    ],
)
def test_text_without_a_header_has_none(lines: list[str]) -> None:
    assert not infer([Sample(lines)]).formats


def test_first_words_of_messages_are_no_component() -> None:
    verbs = ("Processing", "Finished", "Received", "Dropped")
    said = [f"{verbs[n % 4]} order {n} of customer {n * 7}" for n in range(60)]
    rows = rows_of([f"13.06.2017 22:10:{n:02} INFO {text}" for n, text in enumerate(said)])
    assert rows["message"].to_list() == said
    assert rows["logger"].null_count() == len(rows)


def test_a_source_of_a_known_format_learns_nothing() -> None:
    lines = [f"[2026-11-22 00:13:{n:02} +0000] [24913] [INFO] Booting worker {n}" for n in range(50)]
    assert "inferred" not in detect(lines, catalog()).why


def test_a_level_word_of_the_user_is_one_in_a_learned_header() -> None:
    lines = [f"13.06.2017 22:10:{n:02} [{'grumpy' if n % 3 else 'fine'}] job {n} ended" for n in range(60)]
    rows = rows_of(lines, level_map={"grumpy": "error", "fine": "info"})
    assert rows["level"].to_list() == ["ERROR" if n % 3 else "INFO" for n in range(60)]
    assert rows["message"][5] == "job 5 ended"


def test_the_name_of_an_exception_stays_in_its_message() -> None:
    said = ["RuntimeException: run from this", "TimeoutError: too slow", "java.io.IOException: gone"] * 8
    rows = rows_of([f"2017.06.13-22.10.{n:02} net.Server: {text}" for n, text in enumerate(said)])
    assert rows["message"].to_list() == said
    rows = rows_of([f"2017.06.13-22.10.{n:02} WARN {text}" for n, text in enumerate(said)])
    assert rows["message"].to_list() == said


def test_a_word_of_the_message_that_is_always_the_same_is_no_level_and_opens_no_header() -> None:
    lines = [
        f"2026-03-02T10:00:{n:02}Z http: TLS handshake error from 10.1.4.{n}:41000: remote error: bad certificate"
        for n in range(30)
    ]
    for inferred in infer([Sample(lines)]).formats:
        assert re.sub(f"^{inferred.pattern}", "", lines[0]).startswith("http: TLS handshake error")
    paired = [
        f"2026-03-02 10:00:{n:02} WARNING: [pool www] server reached the limit of {n} children" for n in range(30)
    ]
    for inferred in infer([Sample(paired)]).formats:
        assert re.sub(f"^{inferred.pattern}", "", paired[0]).startswith("[pool www] server")


@pytest.mark.parametrize("head", ["[2026-03-02T10:0{0}:0{1}Z] ", "2026-03-02 10:0{0}:0{1} ", "10:0{0}:0{1}.250 | "])
def test_what_stands_behind_a_learned_stamp_keeps_its_indentation(head: str, tmp_path: Path) -> None:
    trace = (
        "Traceback (most recent call last):",
        '  File "/app/shop.py", line 7, in sell',
        "    raise KeyError(sku)",
        "KeyError: 'a-17'",
    )
    log = tmp_path / "shop.log"
    log.write_text(
        "".join(
            head.format(n, second) + text + "\n" for n in range(6) for second, text in enumerate(("sold", *trace), 1)
        )
    )
    report = analyze(log)
    assert [(cluster.exception, cluster.count) for cluster in report.clusters] == [("KeyError", 6)]
    assert report.counts.records == 12


def test_blanks_that_fill_a_column_up_are_no_part_of_the_message(tmp_path: Path) -> None:
    log = tmp_path / "shop.log"
    levels = ("INFO", "ERROR", "WARN", "INFO", "DEBUG")
    log.write_text(
        "".join(
            f"2026-03-02 10:00:{n:02} | {levels[n % 5]:<5} item {n * 7} was {'lost' if n % 5 == 1 else 'sold'}\n"
            for n in range(40)
        )
    )
    assert {cluster.template for cluster in analyze(log).clusters} == {"item <num> was lost", "item <num> was sold"}


def test_the_method_of_a_request_is_no_part_of_a_header() -> None:
    lines = [f"2026-09-15T21:58:{n % 60:02}.678Z INFO GET /courts/c{n} status=200 duration=9.8ms" for n in range(200)]
    lines += [f"2026-09-15T21:59:{n % 60:02}.678Z INFO POST /bookings status=201 duration=1.{n}ms" for n in range(100)]
    (entry, *_), _ = (found := infer([Sample(lines)])).formats, found.why
    match = re.match(entry.pattern, lines[0])
    assert match is not None
    assert lines[0][match.end() :].startswith("GET /courts/c0")
    assert "logger" not in match.groupdict()
