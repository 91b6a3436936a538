"""The benchmarks work: every kind of log is made, read by all that is installed, and all answers agree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks.__main__ import LAID_OUT, PLAIN, main
from benchmarks.generate import write_log
from benchmarks.run import disagreements


@pytest.mark.parametrize("kind", [*PLAIN, *LAID_OUT])
def test_triage_and_a_plain_loop_agree(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
    size = "5MB" if kind == "text" else "400KB"
    assert main(["run", kind, "--size", size, "--rounds", "1", "--peer", "a loop in Python"]) == 0
    assert "| triage |" in capsys.readouterr().out


def test_the_same_seed_makes_the_same_log(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_log("heroku", 20_000, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_answers_that_differ_are_told() -> None:
    ours = {"records": 3, "latency_ms": dict.fromkeys(("mean", "p50", "p95", "max"), 1.0)}
    assert not disagreements(ours, {"records": 3})
    assert disagreements(ours, {"records": 4}) == ["records 3 against 4"]
    assert disagreements(ours, {"latency_ms": dict.fromkeys(("mean", "p50", "p95", "max"), 2.0)})
