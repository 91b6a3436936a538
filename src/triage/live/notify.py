"""Events sent over HTTP by a thread of its own: a receiver that is slow or gone never holds up the reading."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from msgspec import Struct

from triage.errors import TriageError
from triage.rendering.events import Message, as_event, as_slack

TIMEOUT_S = 5.0  # for each try
PAUSES_S = (1.0, 4.0)  # before the second try and the third, which is the last
MOST_PAUSE_S = 15.0  # that a receiver may ask for
MOST_WAITING = 100  # events; of more the oldest are dropped
BODIES: Mapping[str, Callable[[Message], Mapping[str, Any]]] = {"slack": as_slack, "webhook": as_event}


class Receiver(Struct, frozen=True):
    """Where events go: a kind of BODIES and a URL, which is a secret as far as more than its host is concerned."""

    kind: str
    url: str

    def __str__(self) -> str:
        return f"{self.kind} at {urlsplit(self.url).hostname}"


def parse_receiver(text: str, environment: Mapping[str, str]) -> Receiver:
    """A receiver from KIND=URL, or KIND alone with its URL in the environment (TRIAGE_SLACK_URL); TriageError when it is none."""
    kind, equals, url = (part.strip() for part in text.partition("="))
    if kind not in BODIES:
        raise TriageError(f"--notify knows no {kind or 'receiver'!r}", hint=f"{' or '.join(BODIES)}, as slack=URL")
    variable = f"TRIAGE_{kind.upper()}_URL"
    url = url if equals else environment.get(variable, "")
    if not url:
        raise TriageError(f"--notify {kind} has no URL", hint=f"--notify {kind}=https://..., or set {variable}")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or any(c.isspace() or not c.isprintable() for c in url):
        raise TriageError(f"--notify {kind} takes the URL of a web hook", hint="it begins with https:// or http://")
    return Receiver(kind, url)


class _Letter(Struct, frozen=True):
    to: Receiver
    body: bytes
    text: str


class Notifier:
    """Sends events in the order in which they happened. What went wrong is taken out of `problems`, a sentence each."""

    def __init__(self, receivers: tuple[Receiver, ...], *, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        self._receivers, self._pauses_s = receivers, pauses_s
        self._changed = threading.Condition()
        self._letters: deque[_Letter] = deque()
        self._problems: deque[str] = deque()
        self._ending = threading.Event()
        self._busy = False
        self._thread: threading.Thread | None = None

    def send(self, told: Message) -> None:
        """Put it in the queue; returns at once."""
        letters = [_Letter(to, json.dumps(BODIES[to.kind](told)).encode(), told.text) for to in self._receivers]
        if not letters:
            return
        with self._changed:
            self._letters.extend(letters)
            while len(self._letters) > MOST_WAITING:
                self._fail(self._letters.popleft(), "too many wait before it")
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
            self._thread.start()

    def problems(self) -> list[str]:
        """What could not be sent since the last call, and why."""
        found = []
        while self._problems:
            found.append(self._problems.popleft())
        return found

    def finish(self, seconds: float) -> None:
        """Wait until all is sent, at most that long; what is not sent then is a problem."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._letters or self._busy), seconds)
            self._ending.set()
            while self._letters:
                self._fail(self._letters.popleft(), "there was no time left")
            if self._busy:
                self._problems.append("triage: an event was still being sent at the end")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._letters))
                letter, self._busy = self._letters.popleft(), True
            try:
                self._deliver(letter)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _deliver(self, letter: _Letter) -> None:
        for pause in (*self._pauses_s, None):
            why, asked = _post(letter)
            if not why:
                return
            if asked is None or pause is None or self._ending.wait(min(MOST_PAUSE_S, max(pause, asked))):
                self._fail(letter, why)
                return

    def _fail(self, letter: _Letter, why: str) -> None:
        self._problems.append(f"triage: {letter.to} was not told ({why}): {letter.text}")


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would become a GET without its body: better told than lost."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _post(letter: _Letter) -> tuple[str, float | None]:
    """Why it was not taken, empty when it was; and the seconds to wait before another try, None when none can help."""
    request = Request(
        letter.to.url,
        data=letter.body,
        headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "triage"},
        method="POST",
    )
    began = time.monotonic()
    try:
        with build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as answer:
            answer.read(1024)
    except HTTPError as problem:
        with problem:
            if problem.code != 429 and problem.code < 500:
                return f"HTTP {problem.code}", None
            after = problem.headers.get("Retry-After", "")
            return f"HTTP {problem.code}", float(after) if after.isdigit() else 0.0
    except TimeoutError:
        return f"no answer in {time.monotonic() - began:.0f} s", 0.0
    except (OSError, HTTPException, ValueError) as problem:
        reason = getattr(problem, "reason", None) or problem
        return getattr(reason, "strerror", None) or type(reason).__name__, 0.0
    return "", None
