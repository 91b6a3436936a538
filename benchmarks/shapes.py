"""More made-up logs: flat JSON of an application, Heroku's drain, and how a log is laid out on disk."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

from benchmarks.generate import AGENTS, FAULTS, ONSET, ROUTES, START, WORDS, pick_status

SMALL = 200_000  # bytes of each of many files


def make_flat(random: Random, share: Callable[[], float]) -> Iterator[str]:
    """One flat JSON object a line, as structured loggers write them."""
    at = START
    encode = json.JSONEncoder(separators=(",", ":")).encode
    while True:
        failing = share() > ONSET
        at += timedelta(microseconds=random.randrange(100, 9_000))
        word = random.choice(WORDS)
        entry: dict[str, object] = {
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "INFO",
            "service": random.choice(("shop-api", "shop-worker")),
            "logger": f"app.{word}",
            "request_id": f"{random.getrandbits(64):016x}",
            "user_agent": random.choice(AGENTS),
            "duration_ms": round(random.lognormvariate(3, 0.9), 3),
        }
        die = random.random()
        if failing and die < 0.03:
            message, frames = random.choice(FAULTS)
            stack = "\n".join(f'  File "{file}", line {line}, in {name}' for file, line, name in frames)
            entry |= {"level": "ERROR", "message": f"could not store {word} {random.randrange(10**6)}"}
            entry["exc_info"] = f"Traceback (most recent call last):\n{stack}\n{message}"
        elif die > 0.99:
            entry |= {"level": "WARNING", "message": f"slow query took {random.randrange(10**5)} ms on {word}"}
        else:
            entry["message"] = f"{word} {random.randrange(10**6)} kept"
        yield encode(entry)


def make_heroku(random: Random, share: Callable[[], float]) -> Iterator[str]:
    """Router and dyno lines as a log drain hands them on."""
    at = START
    while True:
        failing = share() > ONSET
        at += timedelta(microseconds=random.randrange(100, 9_000))
        stamp = at.isoformat(timespec="microseconds")
        dyno = f"web.{random.randrange(1, 5)}"
        if random.random() < 0.6:
            status = pick_status(random, failing=failing)
            route = random.choice(ROUTES).format(random.randrange(10**6))
            service = 30_000 if status == 503 else int(random.lognormvariate(4, 0.9))
            error = 'at=error code=H12 desc="Request timeout"' if status == 503 else "at=info"
            yield (
                f'{stamp} heroku[router]: {error} method=GET path="{route}" host=shop.example.com '
                f'request_id={random.getrandbits(128):032x} fwd="203.0.113.{random.randrange(256)}" dyno={dyno} '
                f"connect=0ms service={service}ms status={status} bytes={random.randrange(100, 90_000)} protocol=https"
            )
        else:
            word = random.choice(WORDS)
            level = "ERROR" if failing and random.random() < 0.05 else "INFO"
            said = f"could not store {word}" if level == "ERROR" else f"{word} kept"
            yield f"{stamp} app[{dyno}]: {level} {said} {random.randrange(10**6)}"


def lay_out(plain: Path, how: str) -> Path:
    """The log as many small files in a folder, or packed by gzip, next to it."""
    if how == "gzip":
        packed = plain.with_name(plain.name + ".gz")
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as out:
            while data := source.read(1 << 20):
                out.write(data)
        return packed
    folder = plain.with_name(plain.stem + "-many")
    folder.mkdir(exist_ok=True)
    with plain.open("rb") as source:
        number = 0
        while data := source.read(SMALL):
            (folder / f"{number:05d}.log").write_bytes(data + source.readline())
            number += 1
    return folder
