"""Every folder of sample_logs through the public API to its report in tests/golden, whose diff is the review."""

from __future__ import annotations

from pathlib import Path

import pytest

import triage
from conftest import ROOT, SAMPLES

GOLDEN = ROOT / "tests" / "golden"
CASES = sorted(p.name for p in SAMPLES.iterdir() if p.is_dir())


@pytest.mark.parametrize("case", CASES)
def test_a_sample_gives_its_golden_report(case: str, update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the report names its inputs as they were given
    text = triage.render(triage.analyze([f"sample_logs/{case}"]), "md")
    golden = GOLDEN / f"{case}.md"
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert golden.is_file(), f"{golden.name} is missing: pytest --update-golden writes it, then read it"
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_a_sample_accounts_for_every_line(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    report = triage.analyze([f"sample_logs/{case}"])
    lines = triage.read([f"sample_logs/{case}"]).collect()["lines"].sum()
    assert report.intake.lines == lines + report.intake.blank + report.intake.rejected
    assert report.intake.lines == sum(i.lines for i in report.inputs)


def test_every_golden_report_belongs_to_a_sample() -> None:
    assert {p.stem for p in GOLDEN.glob("*.md")} <= set(CASES)


def test_samples_stay_small() -> None:
    big = [p.name for p in SAMPLES.rglob("*") if p.is_file() and p.stat().st_size > 300_000]
    assert not big


def test_one_incident_given_file_by_file_or_as_a_folder_is_the_same_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    folder = Path("sample_logs/railway-cache-import")
    files = sorted(str(p) for p in folder.iterdir())
    assert triage.analyze(files[::-1]).failures == triage.analyze([str(folder)]).failures
