"""The README and the pages of docs/: commands that name sample logs are run as they stand there, links lead somewhere."""

from __future__ import annotations

import gzip
import itertools
import lzma
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import triage as api
from conftest import ROOT, SAMPLES, Program

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), SAMPLES / "README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")


def list_commands(page: Path) -> Iterator[str]:
    """The lines of a page's shell blocks that run triage on sample logs or need no log at all."""
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines() if language == "sh" else ():
            runs = re.search(r"(?:^|&& |\| )(?:\S*/)?triage (?:patterns|report|\S+ .*sample_logs|.*$)", line)
            if runs and ("sample_logs" in line or re.match(r"\s*triage (?:patterns|report) ", line)):
                yield line.strip()


def run_line(triage: Program, line: str) -> None:
    """Run what a shell would run of it: `cat` and `gzip -dc` into a pipe, and every triage command."""
    for step in line.split(" && "):
        piped: bytes | None = None
        for part in step.split(" | "):
            words = shlex.split(part, comments=True)
            name = Path(words[0]).name if words else ""
            if name == "cat":
                piped = b"".join(Path(w).read_bytes() for w in words[1:])
            elif name == "triage":
                done = triage(*words[1:], stdin=piped)
                assert done.code == 0, f"{line}\n{done.err}"
                piped = done.out.encode()


def copy_samples(folder: Path) -> None:
    """The sample logs cut to their first lines: what is tried here are the commands. Packed files are told by content."""
    opener = {".gz": gzip.open, ".xz": lzma.open}
    for path in (p for p in SAMPLES.glob("*/*") if p.is_file()):
        copy = folder / path.relative_to(SAMPLES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with opener.get(path.suffix, Path.open)(path, "rb") as log:  # type: ignore[operator] # all take a path and a mode
            copy.write_bytes(b"".join(itertools.islice(log, 100)))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_commands_of_a_page_run(
    triage: Program, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_samples(tmp_path / "sample_logs")
    monkeypatch.chdir(tmp_path)
    for line in list_commands(page):
        run_line(triage, line)


def test_the_readme_has_commands_to_run() -> None:
    assert len(list(list_commands(ROOT / "README.md"))) >= 3


def test_the_first_block_analyses_a_sample_and_the_second_runs_the_tests() -> None:
    blocks = [b for language, b in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")) if language == "sh"]
    first, second = (b.strip().splitlines() for b in blocks[:2])
    assert len(first) == len(second) == 1
    assert "triage analyze sample_logs/" in first[0]
    assert second[0].endswith("pytest -n auto")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    code = [block for language, block in blocks if language == "python"]
    assert code
    for block in code:
        exec(compile(block, "README.md", "exec"), {"print": lambda *_: None})


def test_the_excerpt_is_what_comes_out(update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = api.render(api.analyze(["sample_logs/gcp-auth-service"]), "md")
    top = "\n## ".join(text.split("\n## ")[:2]).rstrip()
    top = re.sub(r"(?: · |, )\[E\d+\]\(#e\d+\)", "", top)
    quoted = "".join(f"> {line}".rstrip() + "\n" for line in top.splitlines())
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    before, excerpt, after = re.split(r"(?<=<!-- excerpt -->\n)(.*?)(?=<!-- end of excerpt -->)", page, flags=re.DOTALL)
    if update_golden:
        (ROOT / "README.md").write_text(before + quoted + after, encoding="utf-8", newline="\n")
        excerpt = quoted
    assert excerpt == quoted, "pytest --update-golden writes it anew"


def test_every_page_is_reachable_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if f"docs/{p.name}" not in text] == []


def test_the_patterns_that_the_pages_show_pass_their_own_samples(triage: Program, tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "patterns.md").read_text(encoding="utf-8"))
    for block in [block for language, block in blocks if language == "yaml"]:
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block, encoding="utf-8")
    assert len(list(tmp_path.rglob("*.yaml"))) == 2
    done = triage("patterns", "test", tmp_path)
    assert done.code == 0, done.out + done.err
