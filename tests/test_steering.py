"""Rules of the user: split, join and ignore groups, with the reason in the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage import analyze
from triage.engine import Options, read
from triage.errors import PackError
from triage.grouping.steering import check_samples, load_rules
from triage.report import Cluster, Report

RULES = """
grouping:
  - {name: tenants, split: 'tenant=(\\w+)', why: each tenant is another team's, examples: [tenant=a], counter: [tenant]}
  - {name: declined payments, join: 'payment \\S+ (?:declined|refused)', why: the bank says no in many words}
  - {name: scanner, ignore: 'no route matches /wp-', why: somebody always knocks}
"""
SAID = (
    "no quota left for tenant={tenant}",
    "payment p{n} declined by bank",
    "your payment x refused at once",
    "no route matches /wp-admin/{n}",
    "cannot store order {n}: disk full",
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    texts = [said.format(n=n, tenant="ab"[n % 2]) for n in range(10) for said in SAID]
    path.write_text("".join(f"2026-03-02 10:14:{n:02d} ERROR {t}\n" for n, t in enumerate(texts)), encoding="utf-8")
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Options:
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "grouping.yaml").write_text(RULES, encoding="utf-8")
    return Options(patterns=(folder,))


def find(report: Report, word: str) -> list[Cluster]:
    return [c for c in report.clusters if word in c.template]


def test_a_group_is_split_by_what_its_rule_captures(log: Path, rules: Options) -> None:
    report = analyze(str(log), rules)
    assert sorted((c.count, c.template.rpartition(" ")[2]) for c in find(report, "tenants")) == [(5, "a]"), (5, "b]")]
    assert all("each tenant is another team's" in c.steered for c in find(report, "tenants"))


def test_groups_are_joined(log: Path, rules: Options) -> None:
    (one,) = find(analyze(str(log), rules), "declined payments")
    assert (one.count, one.steered.startswith("joined by your rule 'declined payments'")) == (20, True)


def test_what_is_ignored_is_counted_and_takes_no_part(log: Path, rules: Options) -> None:
    report = analyze(str(log), rules)
    (one,) = find(report, "scanner")
    assert one.count == 10
    assert not [f for f in report.failures if "route" in f.message]
    assert sum(c.count for c in report.clusters) == report.counts.records == 50
    assert "10 records ignored by your rule 'scanner': somebody always knocks" in report.intake.notices


def test_without_rules_nothing_is_steered(log: Path) -> None:
    report = analyze(str(log))
    assert not any(c.steered for c in report.clusters)
    assert [f for f in report.failures if "route" in f.message]


def test_records_have_the_clusters_of_the_report(log: Path, rules: Options) -> None:
    counts = read(str(log), rules).collect()["cluster"].value_counts()
    assert dict(counts.iter_rows()) == {c.id: c.count for c in analyze(str(log), rules).clusters}


def test_samples_are_checked(rules: Options) -> None:
    assert check_samples(load_rules(rules.patterns)) == []


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{name: a, why: b}", "one of split"),
        ("{name: a, split: 'x', why: b}", "splits by nothing"),
        ("{name: a, join: '(', why: b}", "not a Rust regex"),
        ("{name: a, join: 'x'}", "no why"),
        ("{join: 'x', why: b}", "without a name"),
        ("{name: a, join: 'x', why: b, then: c}", "then"),
    ],
)
def test_a_rule_that_cannot_be_used_is_the_users_mistake(tmp_path: Path, entry: str, told: str) -> None:
    (tmp_path / "grouping.yaml").write_text(f"grouping: [{entry}]", encoding="utf-8")
    with pytest.raises(PackError, match=told):
        load_rules([tmp_path])
