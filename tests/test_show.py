"""`triage show`: one cluster, failure or link of a report, with its evidence and the reasons for its id."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import SAMPLES
from triage import analyze
from triage.cli import run
from triage.diagnosis.reasons import reasons

LOG = SAMPLES / "railway-lifespan"


@pytest.fixture(scope="module")
def report() -> object:
    return analyze(str(LOG))


def show(capfd: pytest.CaptureFixture[str], *args: str) -> str:
    assert run(["show", *args, "--quiet"]) == 0
    return capfd.readouterr().out


def test_a_cluster_is_shown_with_every_example_in_80_columns(report, capfd) -> None:  # type: ignore[no-untyped-def]
    one = next(c for c in report.clusters if c.exception)
    shown = show(capfd, one.id, str(LOG))
    whole = "".join(shown.split())  # a long path takes more than one line
    assert all("".join(f"{e.source}:{e.line}".split()) in whole for e in one.examples)
    assert max(map(len, shown.split("\n"))) <= 80
    assert "\x1b" not in shown


def test_a_failure_is_shown_with_what_it_came_of_and_led_to(report, capfd) -> None:  # type: ignore[no-untyped-def]
    link = report.links[0]
    assert link.effect in show(capfd, link.cause, str(LOG))
    assert link.cause in show(capfd, link.effect, str(LOG))


def test_a_link_is_named_by_its_ends(report, capfd) -> None:  # type: ignore[no-untyped-def]
    link = report.links[0]
    shown = show(capfd, f"{link.cause}->{link.effect}", str(LOG), "--why")
    assert link.kind in shown
    assert "Part of the id" in shown


def test_why_names_each_part_and_its_reason(report, capfd) -> None:  # type: ignore[no-untyped-def]
    one = next(c for c in report.clusters if c.exception)
    parts = reasons(one)
    assert {p.contributes for p in parts} == {True, False}
    assert one.exception in {p.part for p in parts if p.contributes}
    shown = show(capfd, one.id.removeprefix("v1:")[:8], str(LOG), "--why")
    assert f"+ {one.exception}" in shown


def test_the_reasons_of_a_folded_cluster_say_that_it_is_one(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(
        "".join(f"2026-03-02 10:14:0{n} ERROR cannot reach node{n} at all\n" for n in range(5)), encoding="utf-8"
    )
    (one,) = analyze(str(log)).clusters
    assert (one.template, one.count) == ("cannot reach node<*> at all", 5)
    assert [p.part for p in reasons(one) if p.contributes] == [one.template]


def test_a_summary_serves_as_well_as_its_log(report, tmp_path: Path, capfd) -> None:  # type: ignore[no-untyped-def]
    summary = tmp_path / "a.summary"
    assert run(["summarize", str(LOG), "-o", str(summary), "--quiet"]) == 0
    assert show(capfd, report.clusters[0].id, str(summary)) == show(capfd, report.clusters[0].id, str(LOG))


def test_an_unknown_id_is_a_mistake_with_a_hint(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "nothing", str(LOG), "--quiet"]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "nothing here has the id nothing" in said.err
