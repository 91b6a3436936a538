"""The history of a repository as git tells it, with nothing of the repository's own configuration in force."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

from msgspec import Struct
from msgspec.structs import replace

CALL_S = 8.0  # one call of git
TOTAL_S = 25.0  # all calls of one report
MOST_BYTES = 8 << 20  # of one answer
MOST_COMMITS = 400  # that are looked at, newest first
_FIELD, _RECORD = "\x1f", "\x1e"
_LAYOUT = f"--format={_RECORD}%H{_FIELD}%P{_FIELD}%aI{_FIELD}%s"


class Commit(Struct, frozen=True):
    """One commit. `at` is the author's date, in UTC."""

    id: str
    parents: tuple[str, ...]
    at: datetime
    title: str


class Moved(Struct, frozen=True):
    """What a commit did to a file: A added, D deleted, R renamed to `to`, M changed."""

    commit: Commit
    how: str
    path: str
    to: str | None = None


class Hunk(Struct, frozen=True):
    """Lines of one file that a commit took out and put in, with the number of the first one put in."""

    path: str
    start: int
    removed: tuple[str, ...]
    added: tuple[str, ...]


class History(Struct, frozen=True):
    """One branch of a repository up to `head`, newest commit first. `prefix` is the folder of it that is looked at.

    Every call is limited in time and size; one that reaches its limit gives nothing, and `notes` says so.
    """

    git: str
    folder: Path  # a bare git folder of our own that borrows the objects
    objects: Path
    prefix: str
    head: str
    commits: tuple[Commit, ...]
    until: float
    notes: list[str]

    def leading_to(self, commit: Commit | None) -> tuple[Commit, ...]:
        """The commit and all that it is built on, newest first."""
        known = {c.id: c for c in self.commits}
        reached: set[str] = set()
        todo = [commit.id] if commit is not None else []
        while todo:
            here = todo.pop()
            if here in known and here not in reached:
                reached.add(here)
                todo += known[here].parents
        return tuple(c for c in self.commits if c.id in reached)

    def trunk(self) -> tuple[Commit, ...]:
        """The branch itself, newest first, without what was merged into it."""
        known = {c.id: c for c in self.commits}
        found: list[Commit] = []
        here = known.get(self.head)
        while here is not None:
            found.append(here)
            here = known.get(here.parents[0]) if here.parents else None
        return tuple(found)

    def files(self, commit: str) -> tuple[str, ...]:
        """Paths of the regular files of a commit, below the folder that is looked at."""
        answer = self._ask("ls-tree", "-r", "-z", f"{commit}:{self.prefix.rstrip('/')}")
        rows = (row.partition("\t") for row in answer.split("\0") if row)
        return tuple(path for about, _, path in rows if about.startswith("100"))

    def text(self, commit: str, path: str) -> str | None:
        """A file as it was in that commit; None when it was not there, or is too large."""
        done = self._run("cat-file", "blob", f"{commit}:{self.prefix}{path}")
        return None if done is None else done.decode("utf-8", "replace")

    def blame(self, commit: str, path: str, line: int) -> Commit | None:
        """The commit that last touched that line, as of a commit."""
        answer = self._ask("blame", "-w", "--porcelain", f"-L{line},{line}", commit, "--", self.prefix + path)
        return self.commit(answer[:40].split(" ")[0].strip()) if answer else None

    def commit(self, name: str) -> Commit | None:
        """A commit by its id."""
        known = next((c for c in self.commits if c.id == name), None)
        return known or next(iter(_commits(self._ask("log", "-1", _LAYOUT, name))), None) if name else None

    def touching(self, commit: str, path: str, most: int = 20) -> tuple[Commit, ...]:
        """Commits that touched a path (a file, or a folder with all below it), newest first, as of a commit."""
        return _commits(self._ask("log", f"-{most}", _LAYOUT, commit, "--", self.prefix + path))

    def moves(self, commit: Commit) -> tuple[Moved, ...]:
        """What the commit did to each file, against its first parent."""
        answer = self._ask(
            "diff-tree", "-r", "-z", "-M", "--root", "--no-commit-id", "--name-status", *self._against(commit)
        )
        words = iter(answer.split("\0"))
        found = []
        for how in words:
            path = next(words, "")
            to = next(words, "") if how[:1] in ("R", "C") else None
            ours = path.startswith(self.prefix) or (to or "").startswith(self.prefix)
            if how and path and ours:
                found.append(Moved(commit, how[0], self._inside(path), self._inside(to) if to else None))
        return tuple(found)

    def hunks(self, commit: Commit) -> tuple[Hunk, ...]:
        """The changed lines of a commit against its first parent; a very large commit gives none."""
        plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-prefix")
        answer = self._ask("diff-tree", "-p", "-U0", "-M", "--root", "--no-commit-id", *plain, *self._against(commit))
        return tuple(replace(h, path=self._inside(h.path)) for h in _hunks(answer) if h.path.startswith(self.prefix))

    def changing(self, commit: str, word: str, most: int = 5) -> tuple[Commit, ...]:
        """Commits that changed how often a word stands in the files, newest first, as of a commit."""
        return _commits(self._ask("log", f"-{most}", f"-S{word}", _LAYOUT, commit, "--", self.prefix or "."))

    def holding(self, commit: str, word: str) -> tuple[tuple[str, int, str], ...]:
        """Lines (path, number, text) of a commit's text files that hold a word by itself."""
        answer = self._ask(
            "grep", "-n", "-F", "-w", "-I", "-z", "--full-name", "-e", word, commit, "--", self.prefix or "."
        )
        found = []
        for row in answer.split("\n"):
            name, _, rest = row.partition("\0")
            number, _, text = rest.partition("\0")
            if number.isdigit():
                found.append((self._inside(name.partition(":")[2]), int(number), text))
        return tuple(found)

    def _against(self, commit: Commit) -> tuple[str, ...]:
        return (commit.parents[0], commit.id) if commit.parents else (commit.id,)

    def _inside(self, path: str) -> str:
        return path.removeprefix(self.prefix)

    def _ask(self, *words: str) -> str:
        done = self._run(*words)
        return "" if done is None else done.decode("utf-8", "replace")

    def _run(self, *words: str) -> bytes | None:
        left = self.until - time.monotonic()
        if left <= 0:
            self._note("the history was looked into for as long as is allowed; what was left was not")
            return None
        places = {"GIT_DIR": str(self.folder), "GIT_OBJECT_DIRECTORY": str(self.objects)}
        code, out = _call(
            self.git, words, {**_ENVIRONMENT, **places, "HOME": str(self.folder)}, min(CALL_S, left), str(self.folder)
        )
        if code == _LIMIT:
            self._note(f"git {words[0]} took too long or gave too much, and was left out")
        return out if code == 0 else None

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@contextmanager
def open_history(folder: Path, notes: list[str]) -> Iterator[History | None]:
    """The history that holds the folder, or None, with the reason added to `notes`.

    git runs on a folder of our own that only borrows the objects: neither hooks, filters, pagers nor any setting of
    the repository are in force, nothing is fetched, and nothing is written into it.
    """
    git = shutil.which("git")
    if git is None:
        notes.append("git is not installed: the source was looked at, its history was not")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="triage-git-") as made:
        place = _locate(git, folder)
        if place is None:
            notes.append("the folder is in no git repository: the source was looked at, there is no history")
            yield None
            return
        head, common, prefix = place
        ours = _borrow(Path(made), head, common)
        bare = History(git, ours, common / "objects", prefix, head, (), time.monotonic() + TOTAL_S, notes)
        commits = _commits(bare._ask("log", f"-{MOST_COMMITS}", _LAYOUT, head))
        if not commits:
            notes.append("git cannot read the history of the folder")
            yield None
            return
        if (common / "shallow").is_file():
            notes.append("the clone is shallow: only a part of the history is there")
        yield History(git, ours, common / "objects", prefix, head, commits, bare.until, notes)


_LIMIT = -1
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}


def _locate(git: str, folder: Path) -> tuple[str, Path, str] | None:
    """The commit that is checked out, the git folder, and the path of `folder` inside the repository."""
    where = folder.resolve()
    # This one call sees the repository's configuration; rev-parse only reads names and starts nothing.
    safe = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    asked = (*safe, "rev-parse", "--path-format=absolute", "--git-common-dir")
    code, common = _call(git, asked, _ENVIRONMENT, CALL_S, str(where))
    if code != 0:
        return None
    _, prefix = _call(git, (*safe, "rev-parse", "--show-prefix"), _ENVIRONMENT, CALL_S, str(where))
    code, head = _call(git, (*safe, "rev-parse", "--verify", "HEAD^{commit}"), _ENVIRONMENT, CALL_S, str(where))
    if code != 0:
        return None
    return (
        head.decode().strip(),
        Path(common.decode("utf-8", "surrogateescape").rstrip("\n")),
        prefix.decode("utf-8", "replace").rstrip("\n"),
    )


def _borrow(folder: Path, head: str, common: Path) -> Path:
    """A bare git folder with nothing in it but the name of the commit."""
    ours = folder / "bare"
    (ours / "refs").mkdir(parents=True)
    (ours / "objects").mkdir()
    (ours / "HEAD").write_text(head + "\n", encoding="ascii")
    sha256 = "[extensions]\n\tobjectFormat = sha256\n" if len(head) == 64 else ""
    version = 1 if sha256 else 0
    (ours / "config").write_text(
        f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{sha256}", encoding="ascii"
    )
    shallow = common / "shallow"
    if shallow.is_file():
        shutil.copyfile(shallow, ours / "shallow")
    return ours


def _call(git: str, words: Sequence[str], environment: dict[str, str], limit: float, folder: str) -> tuple[int, bytes]:
    """Exit code and output of one call; _LIMIT when it took too long or wrote too much."""
    over: list[bool] = []

    def stop() -> None:
        over.append(True)
        running.kill()

    with subprocess.Popen(
        [git, "--no-pager", *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:  # fmt: skip
        clock = Timer(limit, stop)
        clock.start()
        try:
            assert running.stdout is not None
            out = running.stdout.read(MOST_BYTES + 1)
            if len(out) > MOST_BYTES:
                stop()
        finally:
            clock.cancel()
        running.wait()
    return (_LIMIT, b"") if over else (running.returncode, out)


def _commits(answer: str) -> tuple[Commit, ...]:
    found = []
    for record in answer.split(_RECORD):
        fields = record.strip("\n").split(_FIELD)
        if len(fields) != 4:
            continue
        try:
            at = datetime.fromisoformat(fields[2]).astimezone(UTC)
        except (ValueError, OverflowError):  # a commit may claim any date
            continue
        found.append(Commit(fields[0], tuple(fields[1].split()), at, fields[3][:200]))
    return tuple(found)


def _hunks(answer: str) -> Iterator[Hunk]:
    path, start = "", 0
    removed: list[str] = []
    added: list[str] = []
    left = right = 0  # lines of the current hunk that are still to come
    for line in answer.split("\n"):
        if left > 0 and line.startswith("-"):
            removed.append(line[1:])
            left -= 1
        elif right > 0 and line.startswith("+"):
            added.append(line[1:])
            right -= 1
        elif line.startswith("\\"):
            continue
        else:
            if removed or added:
                yield Hunk(path, start, tuple(removed), tuple(added))
                removed, added = [], []
            if (line.startswith("--- ") and line != "--- /dev/null") or (
                line.startswith("+++ ") and line != "+++ /dev/null"
            ):
                path = line[4:].rstrip("\t")
            elif line.startswith("@@ "):
                left, start, right = _sizes(line)
    if removed or added:
        yield Hunk(path, start, tuple(removed), tuple(added))


def _sizes(line: str) -> tuple[int, int, int]:
    """ "@@ -3,2 +7 @@": two lines out, from line 7 one in."""
    words = line.split(" ")
    (_, _, out), (start, _, into) = words[1].partition(","), words[2].partition(",")
    return int(out or 1), int(start[1:]), int(into or 1)
