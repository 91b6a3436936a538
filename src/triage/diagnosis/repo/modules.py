"""Modules and packages that cannot be loaded: where they should be, where they are, and which commit took them away."""

from __future__ import annotations

import json
import posixpath
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase

from msgspec import Struct

from triage.diagnosis.repo.clues import Clue
from triage.diagnosis.repo.history import Commit
from triage.diagnosis.repo.scene import Scene, Suspect, by_commit, code_around, named
from triage.diagnosis.repo.tree import Placed, Tree
from triage.report import Claim

_JS = (
    "",
    ".js",
    ".mjs",
    ".cjs",
    ".ts",
    ".tsx",
    ".jsx",
    ".json",
    ".vue",
    "/index.js",
    "/index.ts",
    "/index.mjs",
    "/index.tsx",
    "/package.json",
)
_JVM = (".java", ".kt", ".scala", ".groovy")
_MANIFESTS = {
    "python": r"(?:^|/)(?:[\w.-]*requirements[\w.-]*\.(?:txt|in)|requirements/.*\.(?:txt|in)|pyproject\.toml|setup\.(?:py|cfg)|Pipfile|environment\.ya?ml)$",
    "javascript": r"(?:^|/)package\.json$",
    "ruby": r"(?:^|/)(?:Gemfile|[\w.-]+\.gemspec)$",
    "php": r"(?:^|/)composer\.json$",
    "java": r"(?:^|/)(?:pom\.xml|build\.gradle(?:\.kts)?|libs\.versions\.toml)$",
    "go": r"(?:^|/)go\.mod$",
    "dotnet": r"(?:^|/)(?:[\w.-]+\.[cf]sproj|Directory\.Packages\.props|packages\.config)$",
    "elixir": r"(?:^|/)mix\.exs$",
    "rust": r"(?:^|/)Cargo\.toml$",
}
# What Python brings along itself, in this version or an earlier one: no manifest declares it.
_BUILT_IN = sys.stdlib_module_names | {
    "distutils",
    "imp",
    "asyncore",
    "asynchat",
    "smtpd",
    "cgi",
    "telnetlib",
    "pipes",
    "crypt",
}
_DEVELOPMENT = {"package.json": ("devDependencies", "dependencies"), "composer.json": ("require-dev", "require")}


class Target(Struct, frozen=True):
    """Where a module would be: `suffixes` are ends of paths, `package` the name under which others publish it."""

    shown: str
    suffixes: tuple[str, ...]
    folder: str | None
    package: str | None
    inside: bool  # the import itself, or its neighbours, say that it belongs to this source


def missing_module(scene: Scene, suspect: Suspect, clue: Clue) -> Iterator[Claim]:
    """What the source says of a module that could not be loaded, the most telling claim first."""
    place = suspect.placed[0] if suspect.placed else None
    target = _target(scene.tree, clue, place)
    if target is None:
        return
    there = _present(scene.tree, target)
    taken = next((m for m in scene.gone() if _fits(m.path, target, place)), None)
    if there is not None:
        yield from _present_but_not_loaded(scene, suspect, clue, there, place)
    elif taken is not None:
        how = f"moved `{taken.path}` to `{taken.to}`" if taken.to else f"deleted `{taken.path}`"
        asks = f"; `{place.where}` still asks for it where it was" if place is not None else ""
        yield by_commit(
            f"Introduced by {named(taken.commit)}, which {how}{asks}.", "proven", "introduced", suspect, taken.commit, file=taken.path,
            evidence=(f"git show --stat -M {taken.commit.id[:10]}", f"git log --oneline -- {taken.path}"),
        )  # fmt: skip
    elif target.inside:
        yield from _never_there(scene, suspect, target, place)
    if there is None:
        for path in _elsewhere(scene.tree, target, taken.to if taken else None):
            yield Claim(
                f"The module exists as `{path}`, not where it is looked for: as `{target.suffixes[0]}`.", "proven", "present",
                suspect.failure, path, evidence=(f"git ls-files '*{path.rsplit('/', 1)[-1]}'",),
            )  # fmt: skip
            break
    built_in = clue.language == "python" and target.package in _BUILT_IN
    if target.package is not None and there is None and taken is None and not target.inside and not built_in:
        yield from _not_declared(scene, suspect, clue, target, place)


def _target(tree: Tree, clue: Clue, place: Placed | None) -> Target | None:
    asked = (clue.module or "").strip()
    if not asked:
        return None
    if clue.names == "dependency":
        return Target(asked, (), None, asked, False)
    if clue.language == "python":
        path = asked.replace(".", "/")
        first = asked.split(".")[0]
        ours = bool(tree.ending(f"{first}/__init__.py") or tree.ending(f"{first}.py")) or any(
            f"/{first}/" in f"/{p}" and p.endswith(".py") for p in tree.files
        )
        return Target(asked, (f"{path}.py", f"{path}/__init__.py"), path, first, ours)
    if clue.language == "javascript":
        return _javascript(tree, asked, clue, place)
    if clue.language == "java":
        name = asked.replace("/", ".").split("$")[0]
        path = name.replace(".", "/")
        ours = any(f"/{'/'.join(path.split('/')[:2])}/" in f"/{p}" for p in tree.files)
        return Target(name, tuple(path + s for s in _JVM), None, name.rpartition(".")[0] or name, ours)
    if clue.language == "php":
        if asked.endswith(".php"):
            return Target(asked, _ends(asked), None, None, True)
        path = asked.replace("\\", "/") + ".php"
        ours = any('"' + asked.split("\\")[0] + "\\\\" in (tree.text(p) or "") for p in tree.ending("composer.json"))
        return Target(asked, _ends(path)[: max(1, path.count("/"))], None, asked.split("\\")[0].lower(), ours)
    if clue.language == "ruby":
        words = (
            re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", asked).replace("::", "/").lower() if asked[:1].isupper() else asked
        )
        ours = asked.startswith((".", "/")) or bool(tree.ending(f"{words.split('/')[0]}.rb")) or asked[:1].isupper()
        return Target(
            asked,
            _ends(words.removesuffix(".rb") + ".rb")[:2] if "/" in words else (words.removesuffix(".rb") + ".rb",),
            None,
            words.split("/")[0],
            ours,
        )
    return Target(asked, _ends(asked), None, None, True)


def _javascript(tree: Tree, asked: str, clue: Clue, place: Placed | None) -> Target:
    if asked.startswith("node:"):
        return Target(asked, (), None, None, False)
    if asked.startswith("."):
        home = posixpath.dirname(place.path) if place is not None else ""
        if clue.origin and (from_ := _known_end(tree, clue.origin.removeprefix("file://"))):
            home = posixpath.dirname(from_)
        path = posixpath.normpath(posixpath.join(home, asked))
        return Target(asked, tuple(path + s for s in _JS), path, None, True)
    if asked.startswith(("/", "file://")):
        path = _known_folder(tree, asked.removeprefix("file://"))
        return Target(asked, tuple(path + s for s in _JS), path, None, True)
    parts = asked.split("/")
    package = "/".join(parts[:2]) if asked.startswith("@") else parts[0]
    return Target(asked, (), None, package, False)


def _ends(path: str) -> tuple[str, ...]:
    """The path and its ends: a/b/c.php, b/c.php, c.php."""
    parts = [p for p in path.replace("\\", "/").split("/") if p not in ("", ".", "..")]
    return tuple("/".join(parts[n:]) for n in range(len(parts)))


def _known_end(tree: Tree, path: str) -> str | None:
    return next((found[0] for end in _ends(path) if (found := tree.ending(end))), None)


def _known_folder(tree: Tree, path: str) -> str:
    """The end of an absolute path of the image that begins at a folder of the source."""
    folders = {f.split("/")[0] for f in tree.files if "/" in f}
    ends = _ends(path)
    return next((end for end in ends if end.split("/")[0] in folders), ends[-1] if ends else path)


def _fits(path: str, target: Target, place: Placed | None) -> bool:
    """Whether a file was the module, or a part of it, seen from a folder that modules are looked for in.

    That is the top, a usual source folder, or a folder above the file that asks.
    """
    above = place.path.split("/")[:-1] if place is not None else []
    tops = {"", "src", "lib", "app", *("/".join(above[:n]) for n in range(1, len(above) + 1))}
    if any(
        path == s or (path.endswith("/" + s) and path[: -len(s) - 1] in tops | {"src/main/java"})
        for s in target.suffixes
    ):
        return True
    if target.folder is None:
        return any("/" in s and path.endswith("/" + s) for s in target.suffixes)
    return any(path.startswith(f"{top}/{target.folder}/" if top else f"{target.folder}/") for top in tops)


def _present(tree: Tree, target: Target) -> str | None:
    """The file, or the folder, that is the module; None when there is none where it is looked for."""
    for suffix in target.suffixes:
        if found := tree.ending(suffix):
            return min(found, key=len)
    if target.folder is not None and not target.suffixes[0].startswith("."):
        below = [p for p in tree.files if f"/{p}".find(f"/{target.folder}/") >= 0 and p.endswith(".py")]
        if below:
            inside = min(below, key=len)
            return inside[: f"/{inside}".find(f"/{target.folder}/") + len(target.folder)]
    return None


def _elsewhere(tree: Tree, target: Target, known: str | None) -> list[str]:
    if not target.suffixes:
        return []
    name = target.suffixes[0].rsplit("/", 1)[-1]
    found = tree.names.get(name, ()) or tree.names.get(
        target.suffixes[-1].rsplit("/", 1)[-1] if target.folder is None else name, ()
    )
    return [p for p in sorted(found, key=lambda p: (p.count("/"), p)) if p != known][:3]


def _present_but_not_loaded(
    scene: Scene, suspect: Suspect, clue: Clue, there: str, place: Placed | None
) -> Iterator[Claim]:
    """The module is in the source, so it is missing in what was built from it."""
    tree = scene.tree
    folder = there if "." not in there.rsplit("/", 1)[-1] else posixpath.dirname(there)
    bare = clue.language == "python" and there == folder and f"{folder}/__init__.py" not in tree.files
    if bare:
        siblings = [
            p
            for p in tree.files
            if p.endswith("/__init__.py") and posixpath.dirname(posixpath.dirname(p)) == posixpath.dirname(folder)
        ]
        setup = next(
            (p for p in ("setup.py", "setup.cfg") if re.search(r"find(?:_packages\(|:)", tree.text(p) or "")), None
        )
        why = (
            f", and `{setup}` ships only folders that have one"
            if setup
            else ", which its neighbours have"
            if siblings
            else ""
        )
        begun = scene.touching(folder)[-1:]
        yield Claim(
            f"The folder `{folder}/` has no `__init__.py`{why}: what is built from this source may lack it.",
            "proven" if setup else "suggested", "missing", suspect.failure, f"{folder}/__init__.py", evidence=(f"git ls-files {folder}",),
        )  # fmt: skip
        if begun:
            asked = scene.blame(place) if place is not None else None
            same = asked is not None and asked.id == begun[0].id and bool(begun[0].parents)
            words = "Introduced by" if same else "The folder came with"
            also = f" and the import of it at `{place.where}`" if same and place is not None else ""
            yield by_commit(
                f"{words} {named(begun[0])}, which added `{folder}/` without `__init__.py`{also}.", "proven" if same else "suggested",
                "introduced" if same else "changed", suspect, begun[0], file=place.path if place else folder,
                line=place.line if place else None, code=code_around(tree, place.path, place.line) if place else (),
            )  # fmt: skip
        return
    left_out = next(iter(_shut_out(tree, there)), None)
    if left_out is not None:
        file, line, rule = left_out
        yield Claim(
            f"`{there}` is in the source, but `{file}:{line}` (`{rule}`) keeps it out of the image.", "proven", "missing", suspect.failure,
            file, line, code_around(tree, file, line),
        )  # fmt: skip
        blamed = scene.blame(Placed(file, line, True))
        if blamed is not None and blamed.parents:
            yield by_commit(
                f"Introduced by {named(blamed)}, which added that rule.",
                "proven",
                "introduced",
                suspect,
                blamed,
                file=file,
                line=line,
            )
        return
    if (copied := _not_copied(tree, there)) is not None:
        file, line = copied
        yield Claim(
            f"`{there}` is in the source, but no COPY of `{file}` takes it into the image.", "suggested", "missing", suspect.failure, file,
            line, code_around(tree, file, line),
        )  # fmt: skip
        return
    yield Claim(
        f"`{there}` is in the source as of this commit: the build or the path that modules are looked for in leaves it out.", "suggested",
        "present", suspect.failure, there,
    )  # fmt: skip


def _never_there(scene: Scene, suspect: Suspect, target: Target, place: Placed | None) -> Iterator[Claim]:
    """The module belongs to this source by its name, and no commit that was looked at had it."""
    name = target.suffixes[0] if target.suffixes else target.shown
    ignored = next(iter(_shut_out(scene.tree, name, only=".gitignore")), None)
    lies = (
        next((s for s in target.suffixes if s and (scene.tree.folder / s).is_file()), None)
        if scene.tree.commit
        else None
    )
    if ignored is not None:
        file, line, rule = ignored
        yield Claim(
            f"`{name}` is not in the commit: `{file}:{line}` (`{rule}`) keeps it out of git.", "proven", "missing", suspect.failure, file, line,
            code_around(scene.tree, file, line), evidence=(f"git check-ignore -v {name}",),
        )  # fmt: skip
    elif lies is not None:
        yield Claim(
            f"`{lies}` lies in the folder but is not in the commit.",
            "proven",
            "missing",
            suspect.failure,
            lies,
            evidence=("git status",),
        )
    blamed = scene.blame(place) if place is not None and place.sure else None
    if blamed is None or place is None:
        yield Claim(
            f"The source has no `{name}`, and no commit that was looked at took it away.",
            "suggested",
            "missing",
            suspect.failure,
        )
        return
    fresh = bool(blamed.parents) and not suspect.seen_before
    start = "Introduced by" if fresh else "The line that asks for it was last changed by"
    yield by_commit(
        f"{start} {named(blamed)}: it asks for `{target.shown}` at `{place.where}`, and no commit has `{name}`.", "proven" if fresh else "suggested",
        "introduced" if fresh else "changed", suspect, blamed, file=place.path, line=place.line, code=code_around(scene.tree, place.path, place.line),
    )  # fmt: skip


# -- packages of others -----------------------------------------------------------------------------------------------


def manifests(tree: Tree, language: str) -> tuple[str, ...]:
    """Files that declare dependencies, those nearest to the top first."""
    wanted = _MANIFESTS.get(language)
    found = [p for p in tree.files if wanted and re.search(wanted, p) and "node_modules/" not in p]
    return tuple(sorted(found, key=lambda p: (p.count("/"), p))[:8])


def published(scene: Scene, language: str, name: str) -> tuple[str, ...]:
    """Names under which a module is published."""
    known = scene.lexicon.packages.get(language, {})
    if language == "java":
        longest = max((k for k in known if name == k or name.startswith(k + ".")), key=len, default=None)
        parts = name.split(".")
        return known[longest] if longest else (".".join(parts[:3]), ".".join(parts[:2]), *parts[1:3])
    return known.get(name) or tuple(dict.fromkeys((name, name.replace("_", "-"))))


def declares(line: str, names: tuple[str, ...]) -> bool:
    """Whether a line of a manifest declares one of the packages."""
    if line.lstrip().startswith(("#", "//", "<!--")):
        return False
    shapes = (re.sub(r"[-_.]", "[-_.]", re.escape(n).replace(r"\-", "-").replace(r"\.", ".")) for n in names)
    return any(re.search(rf"(?i)(?<![\w.@/-]){shape}(?![\w-])", line) for shape in shapes)


def _not_declared(scene: Scene, suspect: Suspect, clue: Clue, target: Target, place: Placed | None) -> Iterator[Claim]:
    files = manifests(scene.tree, clue.language)
    assert target.package is not None
    names = published(scene, clue.language, target.package)
    found = [(p, n) for p in files for n, line in enumerate(scene.tree.lines(p), 1) if declares(line, names)]
    needed = [(p, n) for p, n in found if not _for_development(scene.tree, p, names)]
    if needed:
        path, line = needed[0]
        yield Claim(
            f"`{path}:{line}` declares `{names[0]}`: the image was not built from it, or the install did not finish.", "suggested", "present",
            suspect.failure, path, line, code_around(scene.tree, path, line, 1),
        )  # fmt: skip
        return
    if found:
        path, line = found[0]
        yield Claim(
            f"`{path}:{line}` declares `{names[0]}` for development only; an install for production leaves it out.", "proven", "missing",
            suspect.failure, path, line, code_around(scene.tree, path, line, 1),
        )  # fmt: skip
    elif files:
        listed = ", ".join(f"`{p}`" for p in files[:3])
        yield Claim(f"`{names[0]}` is declared in none of {listed}.", "proven", "missing", suspect.failure, files[0])
    else:
        yield Claim(
            f"The source has no file that declares dependencies, and no `{target.shown}` of its own.",
            "suggested",
            "missing",
            suspect.failure,
        )
    taken = _taken_out(scene, files, names)
    if taken is not None:
        commit, path, text = taken
        words = "moved it to the dependencies of development" if found else f"took `{text}` out of `{path}`"
        yield by_commit(
            f"Introduced by {named(commit)}, which {words}.", "proven", "introduced", suspect, commit, file=path
        )
        return
    blamed = scene.blame(place) if place is not None and place.sure else None
    if blamed is not None and place is not None:
        fresh = bool(blamed.parents) and bool(files) and not found and not suspect.seen_before
        start = "Introduced by" if fresh else "The line that asks for it was last changed by"
        yield by_commit(
            f"{start} {named(blamed)}: it asks for `{target.shown}` at `{place.where}`" + (" without declaring it." if fresh else "."),
            "proven" if fresh else "suggested", "introduced" if fresh else "changed", suspect, blamed, file=place.path, line=place.line,
            code=code_around(scene.tree, place.path, place.line),
        )  # fmt: skip


def _taken_out(scene: Scene, files: tuple[str, ...], names: tuple[str, ...]) -> tuple[Commit, str, str] | None:
    """The last commit before the onset that removed the package from where it was declared."""
    for commit in scene.recent:
        if not any(m.path in files or m.how == "D" for m in scene.moves(commit)):
            continue
        hunks = [h for h in scene.hunks(commit) if any(re.search(m, h.path) for m in _MANIFESTS.values())]
        lost = [(h.path, line) for h in hunks for line in h.removed if declares(line, names)]
        kept = [h.path for h in hunks for line in h.added if declares(line, names)]
        if lost and (not kept or any(_for_development(scene.tree, p, names) for p in kept)):
            return commit, lost[0][0], lost[0][1].strip().rstrip(",")[:80]
    return None


def version_changed(scene: Scene, language: str, module: str) -> tuple[Commit, str, str, str] | None:
    """The last commit before the onset that gave a package another version: commit, file, old line, new line."""
    names = published(scene, language, module)
    for commit in scene.recent:
        for hunk in scene.hunks(commit):
            if not re.search(_MANIFESTS.get(language, r"^$"), hunk.path):
                continue
            old = next((x for x in hunk.removed if declares(x, names)), None)
            new = next((x for x in hunk.added if declares(x, names)), None)
            if old and new and old.strip() != new.strip():
                return commit, hunk.path, old.strip()[:80], new.strip()[:80]
    return None


def _for_development(tree: Tree, path: str, names: tuple[str, ...]) -> bool:
    """Whether the file declares the packages for development or tests only."""
    name = path.rsplit("/", 1)[-1]
    if name in _DEVELOPMENT:
        try:
            held = json.loads(tree.text(path) or "{}")
        except ValueError:
            return False
        extra, usual = (held.get(key) if isinstance(held, dict) else None for key in _DEVELOPMENT[name])
        return bool(isinstance(extra, dict) and set(names) & set(extra)) and not (
            isinstance(usual, dict) and set(names) & set(usual)
        )
    return bool(re.search(r"(?:^|[-_./])(?:dev|test|tests|lint|docs?|ci)(?:[-_./]|$)", path))


# -- files that are left out ------------------------------------------------------------------------------------------


def _shut_out(tree: Tree, path: str, only: str | None = None) -> Iterator[tuple[str, int, str]]:
    """Rules of ignore files that leave a path out: (file, line, rule); the last rule that fits counts."""
    for name in (".dockerignore", ".gcloudignore", ".slugignore", ".gitignore"):
        if only is not None and name != only:
            continue
        for file in tree.names.get(name, ()):
            home = posixpath.dirname(file)
            if home and not path.startswith(home + "/"):
                continue
            inside = path[len(home) + 1 :] if home else path
            verdict: tuple[str, int, str] | None = None
            for number, line in enumerate(tree.lines(file), 1):
                rule = line.strip()
                if (
                    rule
                    and not rule.startswith("#")
                    and _ignores(rule.lstrip("!"), inside, everywhere=name != ".dockerignore")
                ):
                    verdict = None if rule.startswith("!") else (file, number, rule)
            if verdict is not None and (name != ".gitignore" or path not in tree.files):
                yield verdict


def _ignores(rule: str, path: str, *, everywhere: bool) -> bool:
    """Whether a rule of an ignore file fits the path or a folder above it; Docker's rules hold at the top only."""
    anchored = rule.startswith("/") or "/" in rule.rstrip("/")
    rule = rule.strip("/").removeprefix("./")
    parts = path.split("/")
    above = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    if rule.startswith("**/"):
        return any(fnmatchcase(p, rule[3:]) or fnmatchcase(p, "*/" + rule[3:]) for p in above)
    if anchored or not everywhere:
        return any(
            (fnmatchcase(p, rule) and p.count("/") == rule.count("/")) or ("**" in rule and fnmatchcase(p, rule))
            for p in above
        )
    return any(fnmatchcase(part, rule) for part in parts)


def _not_copied(tree: Tree, path: str) -> tuple[str, int] | None:
    """The last COPY line of the Dockerfile when none of them takes the path along; None when one does, or there are none."""
    file = next((p for p in ("Dockerfile", "docker/Dockerfile", "Containerfile") if p in tree.files), None)
    if file is None:
        return None
    last = 0
    for number, line in enumerate(tree.lines(file), 1):
        words = line.split()
        if not words or words[0].upper() not in ("COPY", "ADD") or any(w.startswith("--from=") for w in words):
            continue
        last = number
        sources = [w.strip('[]",').removeprefix("./").rstrip("/") for w in words[1:-1] if not w.startswith("--")]
        if any(s in ("", ".", "*") or path == s or path.startswith(s + "/") or fnmatchcase(path, s) for s in sources):
            return None
    return (file, last) if last else None
