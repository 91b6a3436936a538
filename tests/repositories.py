"""Small repositories with fixed dates and authors, and logs of programs that fail in them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import triage
from triage.engine import Options
from triage.report import Claim, Report

BEGIN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)  # the log begins; the failure sets in after 30 minutes


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder under git."""

    folder: Path

    @staticmethod
    def at(folder: Path) -> Repository:
        folder.mkdir(parents=True, exist_ok=True)
        made = Repository(folder)
        made.git("init", "-q", "-b", "main")
        return made

    def git(self, *words: str, at: datetime = BEGIN) -> str:
        when = at.isoformat()
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada Example",
            "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_NAME": "Ada Example",
            "GIT_COMMITTER_EMAIL": "ada@example.com",
            "GIT_COMMITTER_DATE": when,
        }
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, title: str, files: Mapping[str, str | None], *, before: timedelta) -> str:
        """Write files (None takes one away) and commit them that long before the log begins; the commit's id."""
        for name, text in files.items():
            place = self.folder / name
            if text is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", title, at=BEGIN - before)
        return self.git("rev-parse", "HEAD")


def log_of(text: str, *, times: int = 6, after: timedelta = timedelta(minutes=30), quiet: int = 40) -> str:
    """A log in which a service works for a while and then fails with that text, again and again."""
    lines = [f"{stamp(n * 20)} INFO shop.web: served basket {n}" for n in range(quiet)]
    start = int(after.total_seconds())
    for n in range(times):
        first, *rest = text.split("\n")
        lines += [f"{stamp(start + 60 * n)} ERROR shop.web: {first}", *rest]
        lines.append(f"{stamp(start + 60 * n + 5)} INFO shop.web: waiting for work {n}")
    return "\n".join(lines) + "\n"


def stamp(seconds: float) -> str:
    return f"{BEGIN + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S},000"


def look(tmp_path: Path, folder: Path, text: str, **how: object) -> Report:
    """The report on a log of that failure, with the source looked at."""
    log = tmp_path / "app.log"
    log.write_text(log_of(text, **how), encoding="utf-8")  # type: ignore[arg-type] # how log_of is called
    return triage.analyze(log, Options(repo=folder))


def claims(report: Report, kind: str | None = None, basis: str | None = None) -> list[Claim]:
    """The claims of a report, of one kind and basis."""
    assert report.source is not None
    return [c for c in report.source.claims if kind in (None, c.kind) and basis in (None, c.basis)]


def python_trace(frames: list[tuple[str, int, str, str]], error: str, root: str = "/app") -> str:
    """A traceback as Python prints it: (path, line, function, code) from the outermost call to the innermost."""
    told = [f'  File "{root}/{p}", line {n}, in {f}\n    {code}' for p, n, f, code in frames]
    return "\n".join(["request failed", "Traceback (most recent call last):", *told, error])
