"""What is known when one failure is looked up in the source: the files, the history before it, the frames in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from triage.diagnosis.repo.clues import Clue, Lexicon
from triage.diagnosis.repo.history import Commit, History, Hunk, Moved
from triage.diagnosis.repo.tree import Placed, Tree
from triage.report import Claim, CodeLine

AROUND = 2  # lines of code shown before and behind the one that is meant
MOST_RECENT = 25  # commits before the onset whose changes are read
LONGEST_LINE = 200
_CODE = frozenset(
    "py js mjs cjs ts tsx jsx rb php java kt scala go rs cs ex exs erl clj swift c cc cpp h vue groovy fs vb pl lua dart".split()  # noqa: SIM905 - a list of words
)
_DOCS = frozenset(("md", "rst", "adoc", "txt"))


class Suspect(Struct, frozen=True):
    """One failure with what its tracebacks say."""

    failure: str
    text: str
    language: str | None
    category: str | None
    onset: datetime | None
    seen_before: bool  # the log begins inside the failure
    placed: tuple[Placed, ...]  # frames in the source, nearest to the crash first
    clues: tuple[Clue, ...]
    libraries: tuple[str, ...] = ()  # packages that its tracebacks run through, nearest to the crash first


class Scene(Struct, frozen=True):
    """The source around one failure.

    `recent` holds the commits that the one looked at is built on, itself included, newest first and without merges;
    `last` is the last one of the branch before the onset, and `fresh` holds what came with it.
    """

    tree: Tree
    history: History | None
    lexicon: Lexicon
    recent: tuple[Commit, ...]
    last: Commit | None
    fresh: frozenset[str]
    memory: dict[tuple[str, str], object]  # answers of the history, which several failures ask for

    def hunks(self, commit: Commit) -> tuple[Hunk, ...]:
        """The changed lines of a commit; none of a first one, which changes nothing (of a shallow clone, hides what it changed)."""
        if self.history is None or not commit.parents:
            return ()
        key = ("hunks", commit.id)
        if key not in self.memory:
            self.memory[key] = self.history.hunks(commit)
        found = self.memory[key]
        assert isinstance(found, tuple)
        return found

    def moves(self, commit: Commit) -> tuple[Moved, ...]:
        """What a commit did to the files."""
        if self.history is None:
            return ()
        key = ("moves", commit.id)
        if key not in self.memory:
            self.memory[key] = self.history.moves(commit)
        found = self.memory[key]
        assert isinstance(found, tuple)
        return found

    def blame(self, place: Placed) -> Commit | None:
        """The commit that last touched the line of a frame, as of the commit that is looked at."""
        if self.history is None or self.tree.commit is None or place.line is None or place.differs:
            return None
        key = ("blame", place.where)
        if key not in self.memory:
            self.memory[key] = self.history.blame(self.tree.commit.id, place.path, place.line)
        found = self.memory[key]
        assert found is None or isinstance(found, Commit)
        return found

    def touching(self, path: str) -> tuple[Commit, ...]:
        """Commits before the onset that touched a file or folder, newest first."""
        if self.history is None or self.tree.commit is None:
            return ()
        return self.history.touching(self.tree.commit.id, path)

    def changing(self, word: str) -> tuple[Commit, ...]:
        """Commits before the onset that changed how often a word occurs, newest first."""
        if self.history is None or self.tree.commit is None:
            return ()
        return self.history.changing(self.tree.commit.id, word)

    def gone(self) -> Iterator[Moved]:
        """Files that commits before the onset deleted or renamed and that are not there now, newest first."""
        there = set(self.tree.files)
        for commit in self.recent[:MOST_RECENT]:
            yield from (m for m in self.moves(commit) if m.how in ("D", "R") and m.path not in there)


def code_around(tree: Tree, path: str, line: int | None, around: int = AROUND) -> tuple[CodeLine, ...]:
    """The line of a file and its neighbours."""
    lines = tree.lines(path)
    if line is None or not 0 < line <= len(lines):
        return ()
    first, last = max(1, line - around), min(len(lines), line + around)
    return tuple(CodeLine(n, lines[n - 1][:LONGEST_LINE].rstrip(), n == line) for n in range(first, last + 1))


def named(commit: Commit) -> str:
    """A commit as a sentence names it."""
    title = " ".join(commit.title.replace("`", "'").split())
    title = title if len(title) <= 80 else title[:79] + "…"
    return f"`{commit.id[:10]}` (“{title}”, {commit.at:%Y-%m-%d %H:%M} UTC)"


def by_commit(
    text: str, basis: str, kind: str, suspect: Suspect, commit: Commit, *, file: str | None = None, line: int | None = None,
    code: tuple[CodeLine, ...] = (), evidence: Iterable[str] = (),
) -> Claim:  # fmt: skip
    """A claim that names a commit."""
    shown = tuple(evidence) or (f"git show {commit.id[:10]}" + (f" -- {file}" if file else ""),)
    return Claim(text, basis, kind, suspect.failure, file, line, code, commit.id, commit.at, commit.title, shown)


def is_code(path: str) -> bool:
    """Whether the file holds a program, by its name."""
    return path.rpartition(".")[2].lower() in _CODE


def is_prose(path: str) -> bool:
    """Whether the file is documentation or a test, by its name."""
    return (path.rpartition(".")[2].lower() in _DOCS and "requirements" not in path) or bool(re.search(r"(?:^|/)(?:tests?|spec|__tests__)/|[._]test\.|test_|_spec\.", path))  # fmt: skip


def holds(word: str, line: str) -> bool:
    """Whether the word stands in the line by itself."""
    return bool(re.search(rf"(?<![\w$]){re.escape(word)}(?![\w$])", line))
