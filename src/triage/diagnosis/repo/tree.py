"""The files of the source as of one commit, and where in them a frame of a traceback stands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from triage.diagnosis.repo.history import Commit, History
from triage.intake.stacks import Frame

MOST_FILES = 50_000
MOST_FILE_BYTES = 1 << 20
MOST_SEARCHED = 3_000  # files of a folder without history that are searched for a word
_SKIPPED = {
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    ".venv",
    "venv",
    "__pycache__",
    "target",
    ".tox",
    ".mypy_cache",
    ".gradle",
}
_SCHEME = re.compile(r"^(?:file://|webpack(?:-internal)?:///|app://+|~/|\(\w[\w-]*\)/)")
_LIBRARY = re.compile(r"^.*/(?:site-packages|dist-packages|node_modules|gems|\.cargo/registry/src/[^/]+|pkg/mod|deps)/")
_BUILT = ("dist", "build", "out", ".next", "server", "lib", ".output")
_SOURCES = {
    ".js": (".ts", ".tsx", ".jsx", ".mts"),
    ".mjs": (".mts", ".ts"),
    ".cjs": (".cts", ".ts"),
    ".class": (".java", ".kt"),
}


class Placed(Struct, frozen=True):
    """A frame in a file of the source. `sure` when path and line fit; `others` are files that would fit as well."""

    path: str
    line: int | None
    sure: bool
    function: str | None = None
    others: tuple[str, ...] = ()
    differs: bool = False  # the traceback prints another text for that line

    @property
    def where(self) -> str:
        """path:line"""
        return self.path if self.line is None else f"{self.path}:{self.line}"


class Tree(Struct, frozen=True):
    """The files of a folder: as they were in `commit`, or, without history, as they lie there."""

    folder: Path
    files: tuple[str, ...]
    history: History | None
    commit: Commit | None
    names: Mapping[str, tuple[str, ...]]  # the last part of a path -> the paths that end so
    texts: dict[str, str | None]  # files that were read

    @staticmethod
    def of(folder: Path, history: History | None, commit: Commit | None, notes: list[str]) -> Tree:
        """The tree of a commit, or of the folder itself; very large ones are cut, which `notes` says."""
        files = history.files(commit.id) if history is not None and commit is not None else tuple(sorted(_walk(folder)))
        if len(files) >= MOST_FILES:
            notes.append(f"only {MOST_FILES:,} files of the folder were looked at")
            files = files[:MOST_FILES]
        names: dict[str, list[str]] = {}
        for path in files:
            names.setdefault(path.rsplit("/", 1)[-1], []).append(path)
        return Tree(folder, files, history, commit, {k: tuple(v) for k, v in names.items()}, {})

    def text(self, path: str) -> str | None:
        """The text of one of the files; None for one that is not there or is too large."""
        if path not in self.texts:
            self.texts[path] = self._read(path)
        return self.texts[path]

    def _read(self, path: str) -> str | None:
        if path not in self.names.get(path.rsplit("/", 1)[-1], ()):
            return None
        if self.history is not None and self.commit is not None:
            text = self.history.text(self.commit.id, path)
            return None if text is None or len(text) > MOST_FILE_BYTES else text
        return _text_of(self.folder, path)

    def lines(self, path: str) -> list[str]:
        """The lines of a file; none when it cannot be read."""
        return (self.text(path) or "").splitlines()

    def ending(self, suffix: str) -> tuple[str, ...]:
        """Files whose path ends with these whole parts."""
        return tuple(
            p for p in self.names.get(suffix.rsplit("/", 1)[-1], ()) if p == suffix or p.endswith("/" + suffix)
        )

    def below(self, folder: str) -> tuple[str, ...]:
        """Files in a folder and its folders."""
        return tuple(p for p in self.files if p.startswith(folder.rstrip("/") + "/"))

    def holding(self, word: str) -> tuple[tuple[str, int, str], ...]:
        """Lines (path, number, text) that hold the word by itself."""
        if self.history is not None and self.commit is not None:
            return self.history.holding(self.commit.id, word)
        whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
        return tuple(
            (path, number, line)
            for path in self.files[:MOST_SEARCHED]
            if word in (self.text(path) or "")
            for number, line in enumerate(self.lines(path), 1)
            if whole.search(line)
        )

    def place(self, frame: Frame) -> Placed | None:
        """Where a frame stands in the source: the file that shares most of the end of its path, or None.

        Images hold the source under other folders than the repository does, so only the end of a path counts. A name
        alone is not enough for a path that has more, unless the line that the traceback prints is there.
        """
        if not frame.file:
            return None
        parts, library = _parts(frame.file)
        if not parts:
            return None
        candidates = self.names.get(parts[-1], ())
        if not candidates:
            return self._built_from(parts, frame)
        shared = {path: _shared(path, parts) for path in candidates}
        most = max(shared.values())
        best = sorted(path for path, n in shared.items() if n == most)
        if len(best) > 1 and frame.function:
            package = "/".join(frame.function.split(".")[:-2])
            best = [p for p in best if package and f"/{p}".rpartition("/")[0].endswith("/" + package)] or best
        seen = [path for path in best if self._line_of(path, frame) is not None] if frame.code else []
        best = seen or best
        path = best[0]
        whole = most == len(path.split("/")) or most == len(parts)
        top = path[: -len("/".join(parts)) - 1]
        if library and (most < len(parts) or not (seen or top in ("", "src", "lib"))):
            return None
        if most < 2 and not whole and not seen:
            return None
        line = (self._line_of(path, frame) if frame.code else None) or frame.line
        there = line is not None and line <= len(self.lines(path))
        differs = bool(frame.code) and not seen
        sure = there and len(best) == 1 and not differs
        return Placed(path, line if there else None, sure, frame.function, tuple(best[1:6]), differs)

    def _line_of(self, path: str, frame: Frame) -> int | None:
        """The line of the file that reads as the traceback prints it: the one named, else the only one."""
        wanted = " ".join((frame.code or "").split())
        lines = [" ".join(line.split()) for line in self.lines(path)]
        if frame.line is not None and 0 < frame.line <= len(lines) and lines[frame.line - 1] == wanted:
            return frame.line
        found = [number for number, line in enumerate(lines, 1) if line == wanted]
        return found[0] if len(found) == 1 else None

    def _built_from(self, parts: tuple[str, ...], frame: Frame) -> Placed | None:
        """The source of a compiled file: dist/api/user.js comes from src/api/user.ts. Its line is not known."""
        stem, dot, suffix = parts[-1].rpartition(".")
        inner = tuple(p for p in parts[:-1] if p not in _BUILT)
        found = [
            (path, _shared(path, (*inner, path.rsplit("/", 1)[-1])))
            for ending in _SOURCES.get(dot + suffix, ())
            for path in self.names.get(stem + ending, ())
        ]
        if not found:
            return None
        most = max(n for _, n in found)
        best = sorted(path for path, n in found if n == most)
        return Placed(best[0], None, False, frame.function, tuple(best[1:6])) if len(best) == 1 else None


def package_of(file: str) -> str | None:
    """The package of others that a frame's file belongs to, as it is installed; None for the program's own."""
    path = file.strip().replace("\\", "/")
    inside = _LIBRARY.sub("", path)
    if inside == path:
        return None
    parts = inside.split("/")
    name = "/".join(parts[:2]) if parts[0].startswith("@") else parts[0]
    return re.sub(r"(?:@v|-)\d[\w.]*$|\.py$", "", name) or None


def _parts(file: str) -> tuple[tuple[str, ...], bool]:
    """The parts of a frame's path, from the library's own folder on where it is installed; and whether it is."""
    path = _SCHEME.sub("", file.strip().replace("\\", "/"))
    path = re.sub(r"^[A-Za-z]:/", "", path).split("?", 1)[0]
    inside = _LIBRARY.sub("", path)
    return tuple(p for p in inside.split("/") if p not in ("", ".", "..")), inside != path


def _shared(path: str, parts: tuple[str, ...]) -> int:
    """How many parts at the end a path shares with those of a frame."""
    count = 0
    for mine, theirs in zip(reversed(path.split("/")), reversed(parts), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _walk(folder: Path) -> Iterator[str]:
    """Paths of the regular files of a folder; links are not followed."""
    count = 0
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED)
        for name in sorted(names):
            path = Path(here) / name
            if path.is_file() and not path.is_symlink():
                count += 1
                yield path.relative_to(folder).as_posix()
            if count >= MOST_FILES:
                return


def _text_of(folder: Path, path: str) -> str | None:
    place = folder / path
    if place.is_symlink() or not place.is_file() or place.stat().st_size > MOST_FILE_BYTES:
        return None
    return place.read_bytes().decode("utf-8", "replace")
