"""Streams as the tools of platforms write them: each is recognised as it comes, and the watch says what analyze says."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from conftest import ROOT, Program
from triage.diagnosis.diagnose import diagnose
from triage.engine import analyze
from triage.intake.sources import Block, Source
from triage.options import Options, catalog_of
from triage.watch import Growing

STREAMS = ROOT / "tests" / "streams"
FORMATS = {
    # a file in tests/streams and the outermost format it must be taken for; both forms of what one tool can write
    "aws.txt": "aws-logs-tail",
    "docker-compose.txt": "docker-compose",
    "docker.txt": "python-logging",
    "fly.jsonl": "fly-shipper",
    "fly.txt": "fly",
    "gcloud.json": "gcp",
    "heroku.txt": "heroku",
    "journalctl.jsonl": "journald",
    "kubectl.txt": "kubectl-prefix",
    "railway.jsonl": "railway",
    "railway.txt": "uvicorn",
    "render.jsonl": "render",
    "ssh-tail.txt": "python-logging",
    "stern.txt": "stern",
    "vercel.jsonl": "json",
}
TOOLS = (
    "railway",
    "render",
    "gcloud",
    "aws",
    "heroku",
    "fly",
    "vercel",
    "kubectl",
    "stern",
    "docker",
    "journalctl",
    "ssh",
)


def test_every_stream_is_tried() -> None:
    assert {p.name for p in STREAMS.iterdir()} == set(FORMATS)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_stream_is_recognised_and_its_failure_found_while_it_comes(name: str) -> None:
    data = (STREAMS / name).read_bytes()
    lines, at, chance = data.splitlines(keepends=True), 0, random.Random(name)
    growing = Growing(Source("-", None, datetime.now(UTC), BytesIO), catalog_of(None), Options())
    while at < len(lines):
        part = lines[at : at + chance.choice((1, 5, max(30, len(lines) // 6)))]
        growing.take([Block(b"".join(part), at + 1, len(part))])
        at += len(part)
        growing.summary()
    live, whole = diagnose(growing.summary(ended=True)), analyze("-", stdin=BytesIO(data))
    assert live.to_dict() | {"intake": None} == whole.to_dict() | {"intake": None}
    assert whole.inputs[0].format.split(" > ")[0].split(", ")[0] == FORMATS[name]
    assert whole.intake.rejected == 0
    roots = {r.failure for i in whole.incidents for r in i.roots}
    assert any(f.id in roots and f.exception == "KeyError" and "LEDGER_URL" in f.message for f in whole.failures)
    assert sum(c.count for c in whole.clusters if c.exception == "KeyError") == 3 - (name == "heroku.txt")


@pytest.mark.parametrize("how", ["pipe", "command"])
def test_the_program_takes_a_stream_from_a_pipe_and_from_a_command(how: str) -> None:
    path = STREAMS / "railway.jsonl"
    run = [sys.executable, "-c", "from triage.cli import main; main()", "watch", "--jsonl"]
    given = ["-"] if how == "pipe" else ["--", "cat", str(path)]
    done = subprocess.run([*run, *given], input=path.read_bytes() if how == "pipe" else b"", capture_output=True)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(e["event"] == "opened" and e["cause"] and "LEDGER_URL" in e["cause"]["text"] for e in events)


def test_the_same_stream_is_analysed_from_a_pipe(triage: Program) -> None:
    done = triage("analyze", "-", "--format", "json", stdin=(STREAMS / "heroku.txt").read_bytes())
    assert done.code == 0
    assert json.loads(done.out)["counts"]["records"] == 11


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_has_its_line_in_the_documentation_and_its_stream(tool: str) -> None:
    page = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("|") and re.search(rf"[`-] ?{tool}\b", row)]
    assert any("triage watch" in row for row in rows)
    assert any(name.startswith(tool) for name in FORMATS)


def test_streams_are_short() -> None:
    assert max(Path(p).stat().st_size for p in STREAMS.iterdir()) < 12_000
