"""Entries of JSON that only count are told apart by compiled code: the summary is that of reading every entry as a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random
from uuid import UUID

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from test_calm import STACKS, TEXTS, same
from triage import shards
from triage.engine import summarize
from triage.grouping.masks import route_template
from triage.intake import calm, compiled, entries
from triage.intake.programs import screen_of
from triage.options import Options, reading_options
from triage.summary import Summary

LEVELS = ("INFO", "INFO", "INFO", "DEBUG", "WARNING", "ERROR")
CALM = (
    "order {n} kept",
    "basket {n} priced in {n} ms",
    "user u-{n} seen",
    'said "hello" to {n}',
    "[worker] took {n}",
    "200 {n}",
    "größe {n}",
)
PATHS = (
    "/orders/{n}",
    "/users/{id}/cart",
    "/files/{n:x}",
    "/x?y={n}",
    "https://shop.example.com/v1/{n}?q=1",
    "/exited/{n}",
    "/",
    "health",
)
STATUSES = (200, 200, 200, "200", 304, 404, 500)
TOOK = ("{n}", '"{n}ms"', '"0.0{n}s"', "0.{n}", "{n}.5", '"{n}us"', '""', "-1", "1e3", "null")
Reads = Callable[[entries.SiftedEntries], pl.DataFrame]
INSIDE = "2026-03-02 {time},017 {level} app.order: {text}"


class Log:
    """Entries of one platform, one after the other, most of them calm."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.shape = self.random.choice((self.flat, self.cloud, self.agent, self.nested))
        self.names = self.random.sample(["api", "worker", "cron", None], self.random.choice((1, 1, 2)))
        behind = self.random.choice(("", "-7c9f8b6d5f", "-7c9f8b6d5f"))
        self.pods = [f"pod-{n}{behind}" for n in range(self.random.choice((1, 2, 3)))]
        self.paths, self.statuses = self.random.sample(PATHS, 2), self.random.sample(STATUSES, 2)
        self.noise = self.random.choice((0.0, 0.0, 0.001, 0.01))
        self.texts = self.random.sample(CALM, 3)
        self.took = self.random.sample(TOOK, 2)
        self.inside = self.random.random() < 0.5
        self.moment = self.random.randrange(3)
        self.seconds = 36_000.0
        self.lines: list[str] = []

    def stream(self, pod: str) -> str:
        return "stdout" if self.random.random() < 0.05 or pod == "pod-0" else "stderr"

    def flat(self, at: str, level: str, name: str | None, pod: str, text: str) -> dict[str, object]:
        more = {"request_id": f"{self.random.getrandbits(32):08x}"} if self.random.random() < 0.5 else {}
        moments: tuple[object, ...] = (
            at,
            at.replace("Z", "+00:00"),
            int(datetime.fromisoformat(at).timestamp() * 1000),
        )
        return {
            "timestamp": moments[self.moment],
            "level": level,
            **({"service": name} if name else {}),
            "pod": pod,
            "message": text,
            **more,
        }

    def cloud(self, at: str, level: str, name: str | None, pod: str, text: str) -> dict[str, object]:
        labels = {"revision_name": "api-1", **({"service_name": name} if name else {})}
        said = (
            {"textPayload": text}
            if self.random.random() < 0.8
            else {"jsonPayload": {"message": text, "n": self.random.randrange(9)}}
        )
        return {
            "logName": f"projects/p/logs/run.googleapis.com%2F{self.stream(pod)}", "timestamp": at,
            "labels": {"instanceId": pod}, "resource": {"labels": labels}, "severity": level, **said,
        }  # fmt: skip

    def agent(self, at: str, level: str, name: str | None, pod: str, text: str) -> dict[str, object]:
        return {
            "time": at,
            "stream": self.stream(pod),
            "kubernetes": {"container_name": name, "pod_name": pod},
            "log": f"{text}\n",
            "severity": level,
        }

    def nested(self, at: str, level: str, name: str | None, pod: str, text: str) -> dict[str, object]:
        return {
            "@timestamp": at,
            "log.level": level.lower(),
            "message": text,
            "service": {"name": name},
            "host": {"name": pod},
            "trace": {"id": None},
        }

    def request(self, at: str, name: str | None, pod: str) -> dict[str, object]:
        """An entry that tells of a request, as platforms and programs do."""
        random = self.random
        n = random.randrange(10 ** random.randrange(1, 10))
        path = random.choice(self.paths).format(n=n, id=UUID(int=random.getrandbits(128)))
        took, status = json.loads(random.choice(self.took).format(n=n)), random.choice(self.statuses)
        level = "INFO" if random.random() < 0.97 else random.choice(LEVELS)
        if self.shape == self.cloud:
            told = {"requestMethod": "GET", "requestUrl": path, "status": status, "latency": took}
            entry = self.cloud(at, level, name, pod, "request served")
            for key in ("textPayload", "jsonPayload") if random.random() < 0.8 else ():
                entry.pop(key, None)
            return {**entry, "httpRequest": told}
        entry = self.shape(at, level, name, pod, random.choice(("request served", "request failed: no pool", "")))
        return entry | {"method": "GET", "path": path, "status": status, "duration_ms": took}

    def put(self, level: str, text: str, name: str | None, pod: str, step: float = 0.0) -> None:
        self.seconds += step
        time = f"{int(self.seconds) // 3600:02d}:{int(self.seconds) // 60 % 60:02d}:{int(self.seconds) % 60:02d}"
        day = "1999-01-01" if self.random.random() < 0.001 else "2026-03-02"
        if self.inside and self.random.random() < 0.9:
            text = INSIDE.format(
                time=time,
                level=self.random.choice((level, level, "INFO", "ERROR")) if self.random.random() < 0.1 else level,
                text=text,
            )
        entry = self.shape(f"{day}T{time}.{int(self.seconds % 1 * 1000):03d}Z", level, name, pod, text)
        die = self.random.random()
        if die > 0.7 and level in ("INFO", "DEBUG"):
            entry = self.request(f"{day}T{time}.{int(self.seconds % 1 * 1000):03d}Z", name, pod)
        elif die < self.noise:
            entry |= self.random.choice(
                (
                    {"status": 503, "method": "GET", "path": "/x"},
                    {"error": "no pool"},
                    {"exitCode": 1},
                    {"duration_ms": 7},
                    {"level": None},
                )
            )
        elif die < self.noise * 1.5:
            self.lines.append(
                self.random.choice(("plain text", '{"broken', "", "Traceback (most recent call last):", "}"))
            )
        self.lines.append(json.dumps(entry, ensure_ascii=self.random.random() < 0.9))

    def write(self) -> str:
        random = self.random
        for _ in range(random.randrange(8, 16)):
            name, pod = random.choice(self.names), random.choice(self.pods)
            kind = random.choice(("calm", "calm", "calm", "one", "lined", "whole", "split", "mixed"))
            stack = random.choice(STACKS)
            if kind == "calm":
                for n in range(random.choice((40, 1_200))):
                    text = random.choice(self.texts).format(n=random.randrange(10**6))
                    self.put(
                        random.choice(("INFO", "INFO", "DEBUG")),
                        text,
                        random.choice(self.names),
                        random.choice(self.pods),
                        random.choice((0.0, 0.01, 0.3, -0.1)) if n else 1,
                    )
            elif kind == "one":
                self.put(random.choice(LEVELS), random.choice(TEXTS), name, pod, 0.5)
            elif kind == "whole":
                self.put(random.choice(LEVELS), "\n".join(["failed", *stack]), name, pod, 0.5)
            elif kind == "split":  # some lines in one entry, the others line by line
                level, lines = random.choice(LEVELS), [*random.choice(([], ["failed"], ["failed:"])), *stack]
                cut = random.randrange(len(lines)) + 1
                self.put(level, "\n".join(lines[:cut]), name, pod, 0.5)
                for line in lines[cut:]:
                    self.put(level, line, name, pod)
            else:  # one entry for each line, among those of others where it is mixed
                level = random.choice(LEVELS)
                for line in stack:
                    self.put(level, line, name, pod)
                    if kind == "mixed" and random.random() < 0.5:
                        self.put(
                            "INFO",
                            f"order {random.randrange(10**6)} kept",
                            random.choice(self.names),
                            random.choice(self.pods),
                            0.001,
                        )
        return "\n".join(self.lines) + "\n"


def summaries(path: Path, patch: pytest.MonkeyPatch, block_bytes: int) -> tuple[Summary, Summary, int]:
    """What is made of a log with entries that only count told apart as soon as it is known what they are, and without; and how
    many they were."""
    counted = 0
    learned = entries.EntrySieve.sift

    def sift(self: entries.EntrySieve, data: bytes, line: int, lines: int, read: Reads) -> entries.SiftedEntries | None:
        nonlocal counted
        found = learned(self, data, line, lines, read)
        counted += found.calm.count if found is not None else 0
        return found

    for module in (calm, entries):
        patch.setattr(module, "FIRST_ROWS", 0)
    for name, value in (("_WORTH", 0), ("WORTHWHILE", 0), ("_LINES_WORTHWHILE", 0), ("_PATIENCE", 1)):
        patch.setattr(entries, name, value)
    patch.setattr(entries.EntrySieve, "sift", sift)
    patch.setattr(
        shards,
        "reading_options",
        lambda options: replace(
            reading_options(options), block_bytes=block_bytes, text_bytes=block_bytes, batch_bytes=block_bytes
        ),
    )
    sifted = summarize([str(path)], Options(jobs=1))
    patch.setattr(entries.EntrySieve, "sift", lambda *_: None)
    return sifted, summarize([str(path)], Options(jobs=1)), counted


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(st.integers(0, 1 << 32), st.sampled_from((60_000, 200_000)))
@example(338, 60_000)  # frames that go on an entry over five that join nothing
def test_a_log_gives_the_same_with_and_without_the_sieve(
    tmp_path_factory: pytest.TempPathFactory, seed: int, block_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("entries") / "app.jsonl"
    path.write_text(Log(seed).write(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        first, second, _ = summaries(path, patch, block_bytes)
        same(first, second)


def log_of(tmp_path: Path, *odd: dict[str, object]) -> Path:
    """A calm log of two services with odd entries in its middle."""
    entries_ = [
        {"timestamp": f"2026-03-02T10:{n // 600:02d}:{n // 10 % 60:02d}.{n % 10}00Z", "level": "INFO", "service": ("api", "worker")[n % 2], "message": f"order {n} kept"}
        for n in range(4_000)
    ]  # fmt: skip
    path = tmp_path / "app.jsonl"
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in [*entries_[:3_000], *odd, *entries_[3_000:]]))
    return path


def counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Summary, int]:
    first, second, count = summaries(path, monkeypatch, 60_000)
    same(first, second)
    return first, count


def test_most_of_a_calm_log_never_becomes_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, count = counted(log_of(tmp_path), monkeypatch)
    assert summary["sources"]["records"].sum() == 4_000
    assert sorted(summary["volume"]["service"].unique().to_list()) == ["api", "worker"]
    assert count > 2_500 or compiled.ENTRY_SIEVE is None


ODD: tuple[dict[str, object], ...] = (
    {"level": "INFO", "service": "api", "message": "Listening at: http://0.0.0.0:8000 (7)"},
    {"level": "INFO", "service": "api", "message": "    at com.x.Y(Z.java:1)"},
    {"level": "INFO", "service": "api", "message": "2026-03-02 10:05:00,000 ERROR app.order: lost"},
    {"level": "INFO", "service": "api", "message": "order 7 kept", "status": 503},
    {"level": "INFO", "service": "api", "message": "order 7 kept", "error": "no pool"},
    {"level": "INFO", "service": "api", "message": "two\nlines"},
    {"level": "INFO", "service": "api", "message": ""},
    {"level": "INFO", "service": "api", "msg": "order 7 kept", "version": "7"},
    {"level": "ERROR", "service": "api", "message": "order 7 kept"},
    {"level": None, "service": "api", "message": "order 7 kept"},
    {"level": "INFO", "service": None, "message": "order 7 kept"},
    {"level": "INFO", "service": "api", "message": {"order": 7}},
)


def test_entries_that_say_more_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calm_: list[dict[str, object]] = [
        {"level": "INFO", "service": "api", "message": f"order {n} kept"} for n in range(250)
    ]
    odd: list[dict[str, object]] = [
        {"timestamp": "2026-03-02T10:05:00.000Z", **entry} for one in ODD for entry in (one, *calm_)
    ]
    seen: list[str] = []
    learned = entries.EntrySieve.sift

    def sift(self: entries.EntrySieve, data: bytes, line: int, lines: int, read: Reads) -> entries.SiftedEntries | None:
        found = learned(self, data, line, lines, read)
        seen.append((found.data if found is not None else data).decode())
        return found

    with monkeypatch.context() as patch:
        patch.setattr(entries.EntrySieve, "sift", sift)
        _, count = counted(log_of(tmp_path, *odd), patch)
    if compiled.ENTRY_SIEVE is not None:
        kept = "".join(seen).splitlines()
        assert count > 2_000
        # one of another release only counts as well: what it means is looked up before the others are sifted
        telling = [one for one in ODD if "version" not in one]
        assert {json.dumps({"timestamp": "2026-03-02T10:05:00.000Z", **one}) for one in telling} <= set(kept)


def test_revisions_are_those_of_entries_that_only_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cloud.jsonl"
    path.write_text("".join(
        json.dumps({"timestamp": f"2026-03-02T10:{n // 60:02d}:{n % 60:02d}Z", "level": "INFO", "service": "api", "message": f"order {n} kept", "release": f"r{n // 1000}"}) + "\n"
        for n in range(3_000)
    ))  # fmt: skip
    summary, count = counted(path, monkeypatch)
    assert summary["revisions"]["count"].to_list() == [1_000, 1_000, 1_000]
    assert count > 0 or compiled.ENTRY_SIEVE is None


def test_a_stamp_far_off_is_refused_among_entries_that_only_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far: dict[str, object] = {
        "timestamp": "1971-03-02T10:00:00Z",
        "level": "INFO",
        "service": "api",
        "message": "order 7 kept",
    }
    summary, _ = counted(log_of(tmp_path, far, far), monkeypatch)
    assert any("2 stamps lie far from all others" in notice for notice in summary["notices"]["notice"])


def test_requests_that_only_count_are_told_apart_by_route_and_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "http.jsonl"
    path.write_text("".join(
        json.dumps({"timestamp": f"2026-03-02T10:{n // 60:02d}:{n % 60:02d}Z", "level": "INFO", "method": "GET", "path": f"/orders/{n}", "status": 200 + n % 2, "duration_ms": n}) + "\n"
        for n in range(2_000)
    ))  # fmt: skip
    summary, count = counted(path, monkeypatch)
    assert count > 900 or compiled.ENTRY_SIEVE is None
    requests = summary["requests"].sort("status")
    assert requests.select("route", "status", "count", "min_ms", "max_ms").rows() == [
        ("/orders/{id}", 200, 1_000, 0.0, 1_998.0),
        ("/orders/{id}", 201, 1_000, 1.0, 1_999.0),
    ]


SEGMENTS = st.one_of(
    st.sampled_from(("", "v1", "0", "123", "api", "a.b", "x@y.z", "2026-03-02", "order_12", "ab12", "{id}")),
    st.text("0123456789abcdefABCDEF", min_size=1, max_size=24),
    st.uuids().map(str),
    st.text("abz09-_.;?#@:é\n", max_size=12),
)


@given(
    st.lists(SEGMENTS, max_size=6).map("/".join), st.sampled_from(("", "/", "https://h.example/", "http://10.0.0.1/"))
)
def test_what_compiled_code_leaves_out_of_a_path_does_not_change_its_template(path: str, front: str) -> None:
    if compiled.plain_route is not None and "\n" not in path:
        plain = compiled.plain_route((front + path).encode()).decode()
        both = pl.Series([plain, front + path])
        one, other = route_template(both)
        assert one == other


@pytest.mark.parametrize(
    ("pattern", "fits", "not_"),
    [
        (r"[a-z]+: ", "db: x", "db x"), (r"\bab\b", "ab", "ba"), (r"(?:Error|Exit)\b.*!", "Exit now!", "exit now!"), (r"a{2,3}\x{202f}?b", "aab", "ab"),
    ],
)  # fmt: skip
def test_a_screen_knows_what_surely_fits_no_regex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, fits: str, not_: str
) -> None:
    screen = screen_of((pattern,))
    assert screen is not None
    if compiled.SIEVE is None:
        return
    for text, count in ((fits, False), (not_, True)):
        with monkeypatch.context() as patch:
            patch.setattr(entries, "_screen", lambda *_: screen)
            lines = [
                {"timestamp": f"2026-03-02T10:{n // 60:02d}:{n % 60:02d}Z", "level": "INFO", "message": text}
                for n in range(2_000)
            ]
            path = tmp_path / "app.jsonl"
            path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
            assert (summaries(path, patch, 20_000)[2] > 0) == count


def test_a_screen_holds_no_regex_that_it_does_not_know() -> None:
    assert screen_of((r"(?x)a b",)) is None


def test_a_record_of_two_entries_waits_for_the_second_where_those_that_only_count_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Console lines of .NET inside entries: the head and the text below it are one record, wherever a piece ends."""
    lines, time = list[str](), 0
    for n in range(3_000):
        texts = ("warn: Shop.Pay[7]", f"      card {n} refused") if n % 40 == 0 else (f"order {n} kept",)
        for text in texts:
            time += 1
            at = f"2026-03-02T10:{time // 6000:02d}:{time // 100 % 60:02d}.{time % 100:02d}0Z"
            lines.append(json.dumps({"timestamp": at, "level": "INFO", "service": "api", "message": text}))
    path = tmp_path / "app.jsonl"
    path.write_text("\n".join(lines) + "\n")
    for size in (20_000, 20_700, 21_300):
        with monkeypatch.context() as patch:
            first, second, count = summaries(path, patch, size)
            same(first, second)
            assert count > 0 or compiled.ENTRY_SIEVE is None
