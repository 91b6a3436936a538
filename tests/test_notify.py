"""Events that are sent: what a receiver gets, and that one that is slow, gone or cross never holds up the watch."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from msgspec.structs import replace

from conftest import SAMPLES
from triage.engine import analyze
from triage.errors import TriageError
from triage.live.notify import Notifier, Receiver, parse_receiver
from triage.rendering.events import as_event, as_markdown, as_slack, message
from triage.report import Report

LOG = SAMPLES / "railway-cache-import" / "logs.jsonl"


class Desk(ThreadingHTTPServer):
    """A receiver that answers with the given codes, one after the other, the last one for ever."""

    daemon_threads = True

    def __init__(self, *codes: int, wait: threading.Event | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.codes, self.wait = list(codes) or [200], wait
        self.got: list[tuple[str, dict[str, Any]]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook/secret"


class Answer(BaseHTTPRequestHandler):
    server: Desk

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, json.loads(body)))
        if self.server.wait is not None:
            self.server.wait.wait(20)
        code = self.server.codes.pop(0) if len(self.server.codes) > 1 else self.server.codes[0]
        self.send_response(code)
        if code in (301, 302):
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def report() -> Report:
    return analyze(LOG)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receivers of these tests are here, whatever the network around asks for."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def desks() -> Iterator[list[Desk]]:
    opened: list[Desk] = []
    yield opened
    for desk in opened:
        desk.shutdown()
        desk.server_close()


def send(report: Report, *receivers: Receiver, seconds: float = 10) -> list[str]:
    notifier = Notifier(receivers, pauses_s=(0.01, 0.01))
    notifier.send(message("opened", None, report.incidents[0], report))
    notifier.finish(seconds)
    return notifier.problems()


# ------------------------------------------------------------------------------------------------ what is sent


def test_a_webhook_gets_the_event_and_slack_gets_blocks(report: Report, desks: list[Desk]) -> None:
    desks += [Desk(), Desk()]
    assert send(report, Receiver("webhook", desks[0].url), Receiver("slack", desks[1].url)) == []
    [(path, event)] = desks[0].got
    assert path == "/hook/secret"
    assert (event["schema"], event["event"], event["severity"]) == ("triage.event/1", "opened", "P0")
    assert event["cause"]["text"].startswith("ModuleNotFoundError: No module named 'caching.cache_manager'")
    assert event["markdown"].startswith("### P0 opened: ")
    [(_, body)] = desks[1].got
    assert body["blocks"][0]["type"] == "header"
    assert "caching.cache\\_manager" not in json.dumps(body)
    assert any("*Root cause:* `ModuleNotFoundError" in b.get("text", {}).get("text", "") for b in body["blocks"])


def test_events_are_redacted_in_every_form(report: Report) -> None:
    secret = "password=hunter2-Zq81xWv"
    incident = replace(report.incidents[0], title=f"cannot log in with {secret}", impact=secret)
    told = message("opened", None, incident, replace(report, headline=f"all is lost, {secret}"))
    for form in (json.dumps(as_event(told)), as_markdown(told), json.dumps(as_slack(told))):
        assert "hunter2" not in form
    bare = message("opened", None, incident, report, redact=False)
    assert "hunter2" in json.dumps(as_event(bare))


def test_what_a_log_says_is_no_markup_for_slack(report: Report) -> None:
    hostile = "<!channel> *bold* <https://evil.example|click> & `code` @here"
    incident = replace(report.incidents[0], impact=hostile)
    body = as_slack(message("opened", None, incident, replace(report, headline=hostile)))
    for block in body["blocks"][1:-1]:
        text = block["text"]["text"]
        assert "<" not in text
        assert "&lt;!channel&gt;" in text
        assert len(text) <= 3000
    assert "<" not in body["text"]


def test_a_recovery_is_short_and_asks_for_nothing(report: Report) -> None:
    told = message("recovered", None, replace(report.incidents[0], ongoing=False), report)
    assert told.text.startswith("P0 recovered: ")
    assert told.todo == ""
    assert "Do first" not in as_markdown(told)


# ------------------------------------------------------------------------------------------------ receivers that fail


def test_a_receiver_that_stumbles_is_asked_again(report: Report, desks: list[Desk]) -> None:
    desks.append(Desk(503, 429, 200))
    assert send(report, Receiver("webhook", desks[0].url)) == []
    assert len(desks[0].got) == 3


@pytest.mark.parametrize(("codes", "tries"), [((404,), 1), ((302,), 1), ((500,), 3)])
def test_a_receiver_that_refuses_is_told_of_without_its_secret(
    report: Report, desks: list[Desk], codes: tuple[int, ...], tries: int
) -> None:
    desks.append(Desk(*codes))
    [problem] = send(report, Receiver("webhook", desks[0].url))
    assert f"webhook at 127.0.0.1 was not told (HTTP {codes[0]})" in problem
    assert "secret" not in problem
    assert len(desks[0].got) == tries


def test_a_receiver_that_is_not_there_is_told_of(report: Report, desks: list[Desk]) -> None:
    desk = Desk()
    desk.shutdown()
    desk.server_close()
    [problem] = send(report, Receiver("slack", desk.url))
    assert "slack at 127.0.0.1 was not told (Connection refused)" in problem


def test_a_receiver_that_hangs_holds_nobody_up(report: Report, desks: list[Desk]) -> None:
    wait = threading.Event()
    desks.append(Desk(wait=wait))
    began = time.monotonic()
    notifier = Notifier((Receiver("webhook", desks[0].url),))
    for _ in range(200):
        notifier.send(message("opened", None, report.incidents[0], report, redact=False))
    notifier.finish(0.2)
    assert time.monotonic() - began < 5
    problems = notifier.problems()
    assert sum("too many wait before it" in p for p in problems) >= 95
    assert any("there was no time left" in p for p in problems)
    wait.set()


# ------------------------------------------------------------------------------------------------ the option


def test_a_receiver_is_named_by_its_kind_and_its_url() -> None:
    assert parse_receiver("slack=https://hooks.example.com/a=b", {}) == Receiver(
        "slack", "https://hooks.example.com/a=b"
    )
    there = {"TRIAGE_WEBHOOK_URL": "http://localhost:8080/x"}
    assert parse_receiver("webhook", there) == Receiver("webhook", "http://localhost:8080/x")
    assert str(Receiver("slack", "https://hooks.example.com/T0/secret")) == "slack at hooks.example.com"


@pytest.mark.parametrize(
    "text",
    [
        "mail=me@example.com",
        "slack",
        "slack=",
        "webhook=file:///etc/passwd",
        "webhook=https://",
        "=x",
        "webhook=https://a b",
    ],
)
def test_a_receiver_that_cannot_be_is_the_users_mistake(text: str) -> None:
    with pytest.raises(TriageError):
        parse_receiver(text, {})
