"""Seeded logs that look like real exports: Cloud Logging JSON lines, Python text with tracebacks, nginx access."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from triage.errors import TriageError

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ONSET = 0.6  # the incident begins behind this share of the file
BROKEN_PER_BYTE = 100 / 1e9

ROUTES = ("/api/orders", "/api/orders/{}", "/api/users/{}", "/api/cart", "/api/search", "/health")
WORDS = ("order", "invoice", "basket", "session", "report", "payment", "profile", "shipment")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 Version/18.2 Mobile/15E148",
    "okhttp/4.12.0",
    "GoogleHC/1.0",
)
FAULTS = (
    (
        "KeyError: 'currency'",
        (("app/api/orders.py", 88, "create_order"), ("app/pricing/convert.py", 41, "to_minor")),
    ),
    (
        "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, timeout 30.00",
        (
            ("app/api/users.py", 52, "get_user"),
            ("app/db/session.py", 19, "session"),
            ("/usr/local/lib/python3.12/site-packages/sqlalchemy/pool/impl.py", 166, "_do_get"),
        ),
    ),
    (
        "redis.exceptions.ConnectionError: Error 111 connecting to cache:6379. Connection refused.",
        (("app/api/cart.py", 31, "load_cart"), ("app/cache.py", 27, "fetch")),
    ),
)


def parse_size(text: str) -> int:
    """Bytes of "100MB", "1GB" or a plain number; TriageError when it is none."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    number, unit = (text[:-2], units[text[-2:].upper()]) if text[-2:].upper() in units else (text, 1)
    try:
        return int(float(number) * unit)
    except ValueError:
        raise TriageError(f"{text!r} is no size", hint="write it like 100MB or 1GB") from None


def write_log(kind: str, size: int, path: Path, *, seed: int = 7) -> int:
    """Write at least `size` bytes of that kind, the same for the same seed; returns the number of lines."""
    from benchmarks.shapes import make_flat, make_heroku

    kinds = {**KINDS, "flat": make_flat, "heroku": make_heroku}
    if kind not in kinds:
        raise TriageError(f"no kind of log called {kind!r}", hint=f"known: {', '.join(kinds)}")
    lines = 0
    with path.open("wb") as out:
        for text in kinds[kind](Random(seed), lambda: out.tell() / size):
            out.write(text.encode() + b"\n")
            lines += text.count("\n") + 1
            if out.tell() >= size:
                break
    return lines


def make_gcp(random: Random, share: Callable[[], float]) -> Iterator[str]:
    """Cloud Logging entries as JSON lines, about 790 bytes each.

    A third are requests, the rest program lines (some with a traceback, some structured) and platform lines. A few have
    another type where the others agree (a status as text, a severity as number, a null label), a few are broken.
    """
    at = START
    instances = [f"{random.getrandbits(256):064x}" for _ in range(12)]
    encode = json.JSONEncoder(separators=(",", ":")).encode
    while True:
        failing = share() > ONSET
        at += timedelta(microseconds=random.randrange(100, 17_000))
        text = encode(_entry(random, at, random.choice(instances), failing=failing))
        if random.random() < BROKEN_PER_BYTE * len(text):
            text = text[: random.randrange(40, len(text) - 1)]
        yield text


def _entry(random: Random, at: datetime, instance: str, *, failing: bool) -> dict[str, object]:
    stamp = at.isoformat(timespec="microseconds").replace("+00:00", "")
    entry: dict[str, object] = {
        "insertId": f"{random.getrandbits(80):020x}",
        "labels": {"instanceId": instance, "managed-by": "cloudfunctions" if random.random() < 0.99 else None},
        "logName": "projects/shop-prod/logs/run.googleapis.com%2Fstderr",
        "receiveTimestamp": f"{stamp}{random.randrange(1000):03d}Z",
        "resource": {
            "labels": {
                "configuration_name": "shop-api",
                "location": "europe-west3",
                "project_id": "shop-prod",
                "revision_name": "shop-api-00212-kez" if failing else "shop-api-00211-bud",
                "service_name": "shop-api",
            },
            "type": "cloud_run_revision",
        },
        "timestamp": f"{stamp}Z",
        "trace": f"projects/shop-prod/traces/{random.getrandbits(128):032x}",
        "spanId": f"{random.getrandbits(64):016x}",
    }
    die = random.random()
    if die < 0.34:
        entry |= _request(random, failing=failing)
    elif die < 0.3404 and failing:
        entry |= {
            "logName": "projects/shop-prod/logs/run.googleapis.com%2Fvarlog%2Fsystem",
            "severity": "WARNING",
            "textPayload": f"Container called exit({random.choice((1, 1, 3))}).",
        }
    elif die < 0.50:
        entry |= _structured(random, failing=failing)
    else:
        entry |= _program_line(random, at, failing=failing)
    if random.random() < 0.0005 and entry["severity"] in SEVERITY_NUMBERS:
        entry["severity"] = SEVERITY_NUMBERS[str(entry["severity"])]
    return entry


SEVERITY_NUMBERS = {"DEBUG": 100, "INFO": 200, "WARNING": 400, "ERROR": 500}


def _request(random: Random, *, failing: bool) -> dict[str, object]:
    status = pick_status(random, failing=failing)
    latency = 60.0 + random.random() / 50 if status == 503 else random.lognormvariate(-3, 0.9)
    route = random.choice(ROUTES).format(random.randrange(10**6))
    return {
        "logName": "projects/shop-prod/logs/run.googleapis.com%2Frequests",
        "severity": "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO",
        "httpRequest": {
            "requestMethod": "POST" if route == "/api/orders" else "GET",
            "requestUrl": f"https://shop.example.com{route}",
            "requestSize": str(random.randrange(200, 4000)),
            "status": str(status) if random.random() < 0.001 else status,
            "responseSize": str(random.randrange(100, 90_000)),
            "userAgent": random.choice(AGENTS),
            "remoteIp": f"203.0.113.{random.randrange(256)}",
            "serverIp": "198.51.100.7",
            "latency": f"{latency:.9f}s",
            "protocol": "HTTP/1.1",
        },
    }


def pick_status(random: Random, *, failing: bool) -> int:
    """An HTTP status: behind the onset nearly a fifth are failures."""
    die = random.random()
    if failing and die < 0.18:
        return 503 if die < 0.06 else 500
    return 404 if die > 0.985 else 304 if die > 0.96 else 200


def _structured(random: Random, *, failing: bool) -> dict[str, object]:
    word = random.choice(WORDS)
    severity = (
        "ERROR" if failing and random.random() < 0.05 else random.choice(("DEBUG", "INFO", "INFO", "INFO", "WARNING"))
    )
    message = (
        f"could not store {word} {random.randrange(10**6)}"
        if severity == "ERROR"
        else f"{word} {random.randrange(10**6)} kept"
    )
    payload: dict[str, object] = {
        "message": message,
        "logger": f"app.{word}",
        "user": random.choice((random.randrange(10**5), f"u-{random.randrange(10**5)}", None)),
        "tags": {"attempt": random.randrange(4), "queue": "default"},
        "duration_ms": round(random.random() * 90, 3),
    }
    return {"severity": severity, "jsonPayload": payload}


def _program_line(random: Random, at: datetime, *, failing: bool) -> dict[str, object]:
    die = random.random()
    if failing and die < 0.06:
        return {"severity": "ERROR", "textPayload": _failure(random, at)}
    if die > 0.985:
        return {
            "severity": "WARNING",
            "textPayload": _headed(random, at, "WARNING", "slow query took {n} ms on {word}"),
        }
    return {"severity": "INFO", "textPayload": _headed(random, at, "INFO", "{word} {n} done in {n} ms")}


def _headed(random: Random, at: datetime, level: str, text: str) -> str:
    word = random.choice(WORDS)
    while "{n}" in text:
        text = text.replace("{n}", str(random.randrange(10**5)), 1)
    stamp = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d}"
    return f"{stamp} {level} app.{word}: {text.replace('{word}', word)}"


def _failure(random: Random, at: datetime) -> str:
    message, frames = random.choice(FAULTS)
    stack = "\n".join(
        f'  File "{file}", line {line}, in {function}\n    result = self.{function}(value)'
        for file, line, function in frames
    )
    return f"{_headed(random, at, 'ERROR', 'Request failed')}\nTraceback (most recent call last):\n{stack}\n{message}"


def make_text(random: Random, share: Callable[[], float]) -> Iterator[str]:
    """Lines of Python's logging module, one record in 40 with a traceback behind the onset."""
    at = START
    while True:
        at += timedelta(microseconds=random.randrange(50, 2000))
        die = random.random()
        if share() > ONSET and die < 0.025:
            yield _failure(random, at)
        elif die > 0.99:
            yield _headed(random, at, "WARNING", "slow query took {n} ms on {word}")
        else:
            yield _headed(random, at, "INFO", "{word} {n} done in {n} ms")


def make_access(random: Random, share: Callable[[], float]) -> Iterator[str]:
    """nginx's combined access lines with the request time at the end."""
    at = START
    while True:
        failing = share() > ONSET
        at += timedelta(microseconds=random.randrange(100, 5000))
        status = pick_status(random, failing=failing)
        seconds = 60.0 if status == 503 else min(random.lognormvariate(-3, 0.9), 59.0)
        route = random.choice(ROUTES).format(random.randrange(10**6))
        yield (
            f'203.0.113.{random.randrange(256)} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {route} HTTP/1.1" {status} '
            f'{random.randrange(100, 90_000)} "-" "{random.choice(AGENTS)}" rt={seconds:.3f}'
        )


KINDS: dict[str, Callable[[Random, Callable[[], float]], Iterator[str]]] = {
    "gcp": make_gcp,
    "text": make_text,
    "access": make_access,
}
