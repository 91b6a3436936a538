"""Before and after: what is told apart, what is chance, and when an incident has ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import triage
from conftest import Program
from triage.diagnosis.compare import compare, verify
from triage.engine import Options
from triage.report import Comparison

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def write(
    path: Path, *, errors: dict[str, int], requests: int = 200, failed: int = 0, slow_ms: int = 20, hours: float = 1.0
) -> Path:
    """A log of some hours with that many errors of each text, spread evenly, and requests."""
    lines: list[tuple[float, str]] = []
    for text, count in errors.items():
        lines += [((n + 0.5) / count * 3600 * hours, f"ERROR shop: {text}") for n in range(count)]
    for n in range(requests):
        status = 500 if n < failed else 200
        lines.append(
            (
                n / requests * 3600 * hours,
                f'10.0.0.7 - - [x] "GET /orders HTTP/1.1" {status} 12 "-" "curl/8" rt=0.{slow_ms:03}',
            )
        )
    lines += [(0.0, "INFO shop: begin"), (3600 * hours, "INFO shop: end")]

    def told(seconds: float, text: str) -> str:
        at = START + timedelta(seconds=seconds)
        return f"{at:%Y-%m-%dT%H:%M:%S.%fZ} " + text.replace("[x]", f"[{at:%d/%b/%Y:%H:%M:%S} +0000]")

    path.write_text("".join(told(s, text) + "\n" for s, text in sorted(lines)), encoding="utf-8")
    return path


def kinds(found: Comparison) -> dict[str, str]:
    return {c.name: c.kind for c in found.changes}


def test_what_is_new_gone_louder_and_quieter_is_told_apart(tmp_path: Path) -> None:
    texts = ("disk is nearly full", "cache was lost", "job was refused", "mail bounced", "lamp is broken")
    before = write(tmp_path / "a.log", errors=dict(zip(texts, (0, 40, 20, 100, 50), strict=True)))
    after = write(tmp_path / "b.log", errors=dict(zip(texts, (9, 0, 90, 20, 55), strict=True)))
    found = compare(triage.analyze(before).to_dict(), triage.analyze(after).to_dict())
    assert kinds(found) == {texts[0]: "new", texts[1]: "gone", texts[2]: "louder", texts[3]: "quieter"}


def test_counts_are_held_against_the_time_that_each_log_covers(tmp_path: Path) -> None:
    before = write(tmp_path / "a.log", errors={"job was refused": 200}, hours=10)
    after = write(tmp_path / "b.log", errors={"job was refused": 22}, hours=1)
    assert compare(triage.analyze(before).to_dict(), triage.analyze(after).to_dict()).changes == ()


def test_a_log_against_itself_does_not_differ(tmp_path: Path) -> None:
    log = triage.analyze(write(tmp_path / "a.log", errors={"job was refused": 20}, failed=9)).to_dict()
    assert compare(log, log).changes == ()


def test_routes_that_are_slower_or_fail_more(tmp_path: Path) -> None:
    before = write(tmp_path / "a.log", errors={}, slow_ms=20)
    after = write(tmp_path / "b.log", errors={}, slow_ms=400, failed=60)
    found = compare(triage.analyze(before).to_dict(), triage.analyze(after).to_dict())
    routes = {c.kind: c.name for c in found.changes if c.cluster is None}
    assert routes == {"slower": "GET /orders", "failing": "GET /orders"}


def test_logs_summaries_and_reports_compare_with_each_other(tmp_path: Path, triage: Program) -> None:
    before = write(tmp_path / "a.log", errors={"job was refused": 20})
    after = write(tmp_path / "b.log", errors={"job was refused": 20, "disk is nearly full": 9})
    triage("summarize", before, "-o", tmp_path / "a.summary", "--quiet")
    triage("analyze", after, "-o", tmp_path / "b.json", "--quiet")
    whole = triage("diff", before, after, "--format", "json")
    assert whole.code == 0
    assert [c["kind"] for c in json.loads(whole.out)["changes"]] == ["new"]
    assert triage("diff", tmp_path / "a.summary", tmp_path / "b.json", "--format", "json").out == whole.out
    for to in ("terminal", "md"):
        assert "disk is nearly full" in triage("diff", before, after, "--format", to).out


@pytest.mark.parametrize("to", ["terminal", "md", "json"])
def test_verify_fails_while_the_incident_lasts_and_passes_when_it_has_ended(
    tmp_path: Path, triage: Program, to: str
) -> None:
    during = write(tmp_path / "a.log", errors={"job was refused": 60}, failed=100)
    fixed = write(tmp_path / "b.log", errors={"lamp is broken": 1})
    triage("analyze", during, "-o", tmp_path / "report.json", "--quiet")
    assert triage("verify", tmp_path / "report.json", during, "--format", to).code == 1
    assert triage("verify", tmp_path / "report.json", fixed, "--format", to).code == 0


def test_an_empty_log_does_not_end_an_incident(tmp_path: Path) -> None:
    report = triage.analyze(write(tmp_path / "a.log", errors={"job was refused": 60}, failed=100)).to_dict()
    empty = tmp_path / "b.log"
    empty.touch()
    assert not all(c.met for c in verify(report, triage.analyze(empty).to_dict()))


def test_verify_wants_a_report(tmp_path: Path, triage: Program) -> None:
    log = write(tmp_path / "a.log", errors={})
    done = triage("verify", log, log)
    assert (done.code, done.out) == (2, "")
    assert "no JSON report" in done.err


def test_what_was_as_frequent_in_the_baseline_is_no_incident(tmp_path: Path, triage: Program) -> None:
    usual = write(tmp_path / "a.log", errors={"job was refused": 60})
    today = write(tmp_path / "b.log", errors={"job was refused": 62})
    worse = write(tmp_path / "c.log", errors={"job was refused": 62, "KeyError: 17 in the basket": 30})
    assert not json.loads(triage("analyze", today, "--format", "json").out)["healthy"]
    assert json.loads(triage("analyze", today, "--baseline", usual, "--format", "json").out)["healthy"]
    report = json.loads(triage("analyze", worse, "--baseline", usual, "--format", "json").out)
    assert not report["healthy"]
    first = report["incidents"][0]["roots"][0]
    named = {f["id"]: f["message"] for f in report["failures"]}
    assert named[first["failure"]].startswith("17")
    assert "the baseline does not have it" in first["why"]


def test_a_grave_incident_stays_one_though_the_baseline_had_it(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", errors={"job was refused": 60}, failed=190)
    good = triage.analyze(log).to_dict()
    report = triage.analyze(log, Options(baseline=good))
    assert not report.healthy
    assert report.incidents[0].roots[0].against.endswith("in the baseline")


def test_secrets_stay_out_of_a_comparison(tmp_path: Path, triage: Program) -> None:
    secret = "q7Zt9wXb2LmKc4Rv8NsYd1Hf6G"
    before, after = (
        write(tmp_path / "a.log", errors={}),
        write(tmp_path / "b.log", errors={f"refused password={secret}": 9}),
    )
    assert all(secret not in triage("diff", before, after, "--format", to).out for to in ("terminal", "md", "json"))
