"""Steps that only figures show: answers that take longer, refused requests, silences; and what is none of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from triage.engine import analyze
from triage.report import Failure, Incident, Report

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
Lines = list[tuple[float, str]]
Log = Callable[..., Report]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Write (seconds, line) of one service each into one log, as a platform collects them, and analyse it."""

    def run(apart: bool = False, **services: Lines) -> Report:
        lines = sorted(
            (seconds, place, f"{name:10} | {_stamp(seconds)} {line}\n")
            for name, told in services.items()
            for place, (seconds, line) in enumerate(told)
        )
        paths = []
        for name in services if apart else ("all",):
            path = tmp_path / f"{name}.log"
            path.write_text("".join(t for _, _, t in lines if not apart or t.startswith(f"{name} ")))
            paths.append(str(path))
        return analyze(paths)

    return run


def _stamp(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _request(seconds: float, status: int = 200, path: str = "/orders", ms: float = 20.0) -> tuple[float, str]:
    stamp = (START + timedelta(seconds=seconds)).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return seconds, f'10.0.0.7 - - [{stamp}] "GET {path} HTTP/1.1" {status} 512 "-" "curl/8" rt={ms / 1000:.3f}'


def _traffic(
    minutes: Sequence[float], ms: Callable[[float, random.Random], float], *, each: float = 2.0, path: str = "/orders"
) -> Lines:
    """A request every `each` seconds; `ms` gives how long it takes, by its minute."""
    dice = random.Random(7)
    low, high = minutes
    return [
        _request(at, path=path, ms=ms(at / 60, dice))
        for n in range(int((high - low) * 60 / each))
        if (at := low * 60 + n * each + dice.random())
    ]


def _usual(_: float, dice: random.Random) -> float:
    return dice.lognormvariate(3.5, 0.4)


def _measured(report: Report, kind: str) -> list[Failure]:
    return [f for f in report.failures if f.kind == kind and not f.message.startswith("HTTP 5")]


def _home(report: Report, failure: Failure) -> list[Incident]:
    return [i for i in report.incidents if failure.id in {*i.symptoms, *(f for chain in i.chains for f in chain)}]


# -- latency ---------------------------------------------------------------------------------------------------------


def _slow_from(
    low: float, high: float, ms: float = 2500.0, share: float = 0.6
) -> Callable[[float, random.Random], float]:
    def taken(minute: float, dice: random.Random) -> float:
        hit = low <= minute < high and dice.random() < share
        return ms * dice.lognormvariate(0, 0.3) if hit else _usual(minute, dice)

    return taken


def test_answers_that_take_longer_are_a_failure_with_onset_figures_and_lines(log: Log) -> None:
    report = log(api=_traffic((0, 40), _slow_from(20, 30)))
    (step,) = _measured(report, "latency")
    assert step.services == ("api",)
    assert step.message.startswith("GET /orders: median ")
    assert step.first_seen is not None
    assert step.last_seen is not None
    assert abs((step.first_seen - START).total_seconds() - 1200) < 15
    assert abs((step.last_seen - START).total_seconds() - 1800) < 15
    assert 150 <= step.count <= 210
    assert (report.severity, report.healthy) == ("P2", False)
    (incident,) = report.incidents
    assert incident.roots == ()
    assert "slow" in report.severity_why
    assert "not in these logs" in report.headline


def test_what_fails_by_itself_stays_the_root_of_answers_that_take_longer(log: Log) -> None:
    error = (
        "sqlalchemy.exc.TimeoutError: QueuePool limit of size 3 overflow 2 reached, connection timed out, timeout 30.00"
    )
    errors = [(1200.0 + 6 * n, f"ERROR app: {error}") for n in range(100)]
    failed = [_request(1200.1 + 6 * n, status=500) for n in range(100)]
    report = log(api=[*_traffic((0, 40), _slow_from(20, 30)), *errors, *failed])
    (incident,) = report.incidents
    assert "QueuePool" in report.failure(incident.roots[0].failure).message
    (step,) = _measured(report, "latency")
    assert any(link.effect == step.id and link.cause == incident.roots[0].failure for link in report.links)


def test_slow_queries_are_the_root_where_nothing_fails(log: Log) -> None:
    queries = [
        (1201.0 + 7 * n, f"WARN db: slow query: SELECT * FROM orders WHERE id = {n} took {2400 + n} ms")
        for n in range(84)
    ]
    report = log(api=[*_traffic((0, 40), _slow_from(20, 30)), *queries])
    (incident,) = report.incidents
    assert "slow query" in report.failure(incident.roots[0].failure).message
    assert incident.chains[0][-1] == _measured(report, "latency")[0].id


def test_a_slow_service_is_perhaps_the_root_of_time_outs_that_name_it(log: Log) -> None:
    waits = [
        (1202.0 + 9 * n, "ERROR client: GET http://stock:8080/items failed: Read timed out. (read timeout=2)")
        for n in range(66)
    ]
    gone = [_request(1202.1 + 9 * n, status=504, path="/basket") for n in range(66)]
    report = log(
        stock=_traffic((0, 40), _slow_from(20, 30), path="/items"), shop=[*_traffic((0, 40), _usual), *waits, *gone]
    )
    (incident,) = report.incidents
    root = report.failure(incident.roots[0].failure)
    assert (root.kind, root.services) == ("latency", ("stock",))
    assert incident.roots[0].confidence < 0.5
    assert report.failure(incident.chains[0][-1]).message == "HTTP 504"


def _after_deploy() -> Lines:
    return [(1195.0, "Deploying new revision api-00042"), (1199.0, "INFO app: Application startup complete.")]


@pytest.mark.parametrize(
    "lines",
    [
        [*_traffic((0, 40), _slow_from(20, 22, share=0.9)), *_after_deploy()],
        [*_traffic((0, 40), _usual), *_traffic((0, 40), lambda _, d: 4000 * d.lognormvariate(0, 0.3), each=20, path="/report")],
        [*_traffic((0, 40), _usual), *_traffic((20, 26), lambda _, d: 6000 * d.lognormvariate(0, 0.3), each=9, path="/export")],
        [*_traffic((0, 20), _usual, each=1), *_traffic((20, 40), lambda m, d: 1.5 * _usual(m, d), each=25)],
        _traffic((0, 40), lambda _, d: d.lognormvariate(3.5, 1.6)),
        _traffic((0, 40), _slow_from(20, 20.8)),
        _traffic((0, 40), _slow_from(0, 40)),
    ],
    ids=["warm-up", "one slow route", "a slow job", "night", "a long tail", "a hiccup", "slow all along"],
)  # fmt: skip
def test_what_is_slow_in_its_own_way_is_no_incident(log: Log, lines: Lines) -> None:
    report = log(api=lines)
    assert report.healthy
    assert report.incidents == ()


# -- requests that are refused ---------------------------------------------------------------------------------------


def _answers(minutes: tuple[float, float], status: Callable[[float, random.Random], int], *, each: float = 2.0, path: str = "/orders") -> Lines:  # fmt: skip
    dice = random.Random(5)
    low, high = minutes
    times = [low * 60 + n * each for n in range(int((high - low) * 60 / each))]
    return [_request(at, status(at / 60, dice), path) for at in times]


def test_refusals_instead_of_answers_are_an_incident(log: Log) -> None:
    report = log(
        api=_answers((0, 40), lambda m, d: 401 if (m >= 20 and d.random() < 0.8) or d.random() < 0.01 else 200)
    )
    (refused,) = _measured(report, "http")
    assert refused.message == "HTTP 401"
    assert 440 <= refused.count <= 510
    assert refused.first_seen is not None
    assert abs((refused.first_seen - START).total_seconds() - 1200) < 15
    (incident,) = report.incidents
    assert incident.roots == ()
    assert "were refused" in report.headline
    assert report.counts.errors == 0


def test_an_error_of_the_same_moments_is_the_root_of_refusals(log: Log) -> None:
    lines = _answers((0, 40), lambda m, _: 401 if m >= 20 else 200)
    told = [(s + 0.01, "ERROR auth: token refused: jwt.exceptions.InvalidSignatureError: Signature verification failed") for s, text in lines if " 401 " in text]  # fmt: skip
    report = log(api=[*lines, *told])
    (incident,) = report.incidents
    assert "InvalidSignatureError" in report.failure(incident.roots[0].failure).message
    assert report.failure(incident.chains[0][-1]).message == "HTTP 401"


def test_a_route_that_is_gone_after_a_deploy_is_an_incident(log: Log) -> None:
    lines = [
        *_answers((0, 40), lambda m, _: 404 if m >= 20 else 200, each=6, path="/v1/prices"),
        *_answers((0, 40), lambda *_: 200),
    ]
    report = log(api=[*lines, (1199.0, "Deploying new revision api-00042")])
    (gone,) = _measured(report, "http")
    assert (gone.message, gone.count) == ("HTTP 404", 200)
    (incident,) = report.incidents
    assert incident.trigger is not None
    assert "deploy" in incident.trigger


def test_a_route_that_is_gone_for_some_minutes_follows_what_failed_to_start(log: Log) -> None:
    lines = [
        *_answers((0, 60), lambda m, _: 404 if 20 <= m < 36 else 200, each=4, path="/claims/api/7"),
        *_answers((0, 60), lambda *_: 200, each=30),
        *[_request(30 + 60 * n, 404, f"/wp-{n}.php") for n in range(60)],
    ]
    started = [(1199.0, "ERROR tomcat: Context [/claims] startup failed due to previous errors")]
    trace = (
        "ERROR tomcat: Error configuring application listener",
        "java.lang.NoClassDefFoundError: javax/servlet/ServletContextListener",
        "\tat java.base/java.lang.ClassLoader.defineClass1(Native Method)",
        "Caused by: java.lang.ClassNotFoundException: javax.servlet.ServletContextListener",
        "\tat org.apache.catalina.loader.WebappClassLoaderBase.loadClass(WebappClassLoaderBase.java:1372)",
    )
    raised = [(1198.9 + place / 1e4, text) for place, text in enumerate(trace)]
    report = log(ingress=lines, claims=[*raised, *started])
    (gone,) = _measured(report, "http")
    assert (gone.message, gone.count >= 240) == ("HTTP 404", True)
    incident = report.incidents[0]
    assert "javax" in report.failure(incident.roots[0].failure).message
    assert report.failure(incident.chains[0][-1]).message == "HTTP 404"
    late = log(ingress=lines, claims=[(s + 300.0, text) for s, text in [*raised, *started]])
    assert not any(report.failure(link.effect).message == "HTTP 404" for link in late.links)


@pytest.mark.parametrize(
    "lines",
    [
        [*_answers((0, 40), lambda *_: 200), *[_request(1200 + n / 4, 404, f"/wp-{n}.php") for n in range(600)]],
        [*_answers((0, 40), lambda *_: 200), *_answers((20, 30), lambda *_: 401, each=0.5, path="/login")],
        _answers((0, 40), lambda _, d: d.choices([200, 401, 404, 429], [85, 5, 5, 5])[0]),
        [*_answers((0, 20), lambda *_: 200, each=1), *_answers((20, 40), lambda _, d: d.choices([200, 403], [6, 4])[0], each=30)],
    ],
    ids=["scanners", "guessed passwords", "as ever", "night"],
)  # fmt: skip
def test_refusals_beside_the_answers_are_no_incident(log: Log, lines: Lines) -> None:
    assert log(api=lines).healthy


def test_two_services_with_the_same_status_are_two_failures(log: Log) -> None:
    cart = [*_answers((0, 30), lambda m, _: 500 if 5 <= m < 10 else 200)]
    cart += [(300.0 + 2 * n + 0.01, "ERROR cart: KeyError: 'price' while summing up") for n in range(150)]
    mail = [*_answers((0, 30), lambda m, _: 500 if 20 <= m < 22 else 200, path="/send")]
    mail += [(1200.0 + 2 * n + 0.01, "ERROR mail: ValueError: no recipient given") for n in range(60)]
    report = log(cart=cart, mail=mail)
    failed = {f.services: f.count for f in report.failures if f.message == "HTTP 500"}
    assert failed == {("cart",): 150, ("mail",): 60}
    assert len(report.incidents) == 2
    assert report.http is not None
    assert report.http.status["500"] == 210


# -- silences --------------------------------------------------------------------------------------------------------


def _steady(minutes: tuple[float, float], each: float = 4.0, text: str = "INFO job done") -> Lines:
    dice = random.Random(3)
    low, high = minutes
    return [(low * 60 + n * each + dice.random(), text) for n in range(int((high - low) * 60 / each))]


def test_a_service_that_falls_silent_while_others_go_on_is_a_failure(log: Log) -> None:
    report = log(api=_traffic((0, 60), _usual), worker=_steady((0, 30)))
    (gap,) = _measured(report, "gap")
    assert gap.services == ("worker",)
    assert "no record for 30 min" in gap.message
    assert gap.first_seen is not None
    assert abs((gap.first_seen - START).total_seconds() - 1800) < 10
    (incident,) = report.incidents
    assert incident.roots == ()
    assert report.severity == "P3"


def test_what_a_service_says_last_is_the_cause_of_its_silence(log: Log) -> None:
    last = [
        (1795.0, "ERROR consumer: lost the connection to the broker: AMQPConnectionError"),
        (1799.0, "ERROR consumer: lost the connection to the broker: AMQPConnectionError"),
    ]
    report = log(api=_traffic((0, 60), _usual), worker=[*_steady((0, 30)), *last])
    (gap,) = _measured(report, "gap")
    assert any(link.effect == gap.id for link in report.links)
    (incident,) = report.incidents
    assert "AMQPConnectionError" in report.failure(incident.roots[0].failure).message


def test_a_job_that_comes_at_fixed_times_and_is_left_out_is_told(log: Log) -> None:
    runs = [(600.0 * n + k, f"INFO backup part {k}") for n in range(14) if n != 9 for k in range(5)]
    report = log(api=_traffic((0, 140), _usual), backup=runs)
    (gap,) = _measured(report, "gap")
    assert "no run for 20 min, before one every 10 min" in gap.message
    assert report.healthy
    assert any("no run for 20 min" in n for n in report.intake.notices)


def test_a_silence_of_the_whole_log_is_told_and_no_incident(log: Log) -> None:
    report = log(api=[*_traffic((0, 30), _usual), *_traffic((50, 70), _usual)])
    assert report.healthy
    assert any(n.startswith("No record for 20 min") for n in report.intake.notices)


@pytest.mark.parametrize(
    "worker",
    [
        [*_steady((0, 30)), (1801.0, "INFO Received SIGTERM, shutting down gracefully")],
        _steady((0, 3)),
        [(s, t) for low in (0, 12, 25, 41) for s, t in _steady((low, low + 4))],
        [(1.0 + n, "WARNING retrying the mail server") for n in range(600)],
    ],
    ids=["an orderly stop", "chatter of a start", "busy at times", "an end of warnings"],
)
def test_services_that_have_nothing_to_say_are_no_failures(log: Log, worker: Lines) -> None:
    report = log(api=_traffic((0, 60), _usual), worker=worker)
    assert report.healthy
    assert _measured(report, "gap") == []


def test_the_end_of_an_input_is_no_silence(log: Log) -> None:
    report = log(apart=True, api=_traffic((0, 60), _usual), worker=_steady((0, 30)))
    assert _measured(report, "gap") == []
