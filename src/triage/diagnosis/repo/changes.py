"""What commits before the onset changed of the names, arguments, settings, columns and values that a failure names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import SequenceMatcher

from msgspec import Struct

from triage.diagnosis.repo.clues import Clue
from triage.diagnosis.repo.history import Commit, Hunk
from triage.diagnosis.repo.modules import version_changed
from triage.diagnosis.repo.scene import Scene, Suspect, by_commit, code_around, holds, is_code, is_prose, named
from triage.report import Claim

REACH = timedelta(days=14)  # a changed value counts when it was changed this long before the onset, at most
MOST_HELD = 400  # lines that hold a word: of a word in more of them nothing is said
_DEFINES = (
    r"(?:\b(?:def|class|function|func|fn|fun|module|interface|trait|struct|enum|type|const|let|var|val|defp?|defmodule|object|record"
    r"|public|private|protected|internal|static|export|async|abstract|final|override)\b[^=;]{{0,120}}?(?<![\w$.]){name}(?![\w$])"
    r"|^\s*(?:self\.)?{name}\s*(?::[^=]{{1,60}})?(?:=(?!=)|:\s*\w)|^\s*(?:async\s+|get\s+|set\s+|\*)?{name}\s*\([^;]*\)\s*\{{"
    r"|\bexports\.{name}\b|\b(?:attr_(?:accessor|reader|writer)|scope|has_one|has_many|belongs_to)\b.*:{name}\b)"
)
_SCHEMA = re.compile(
    r"(?:^|/)(?:\w*migrat\w*|alembic|db/schema|schema|flyway|liquibase|prisma)(?:[/._]|$)|\.sql$",
    re.IGNORECASE,
)
_SETTING = re.compile(
    r"""^\s*(?:[-+*]\s+)?(?:export\s+|ENV\s+|ARG\s+|set\s+)?["'<]?(?P<key>[A-Za-z_][\w.\-/]*)["'>]?\s*(?:[:=]|\s)\s*(?P<value>\S.*?)\s*[,;]?$"""
)
_ASSIGNED = re.compile(
    r"""(?P<key>[A-Za-z_][\w.\-]*)["']?\s*(?:=>|:=|[:=]|\()\s*(?P<value>["'][^"']*["']|[\w.:/\-]+)"""
)
_OF_THE_IMAGE = {"import_error", "deploy", "crash", "boot"}
_RUNTIME = re.compile(
    r"(?:^|/)(?:[\w.-]*Dockerfile[\w.-]*|Containerfile|runtime\.txt|\.(?:python|node|ruby|go|java)-version|\.nvmrc|\.tool-versions"
    r"|package\.json|app\.json|project\.toml|[\w.-]+\.csproj|pom\.xml|build\.gradle(?:\.kts)?)$"
)
_VERSIONED = re.compile(
    r"^\s*FROM\s+\S+|^\s*(?:python|ruby|node|nodejs|java|golang|go)?[- ]?v?\d+(?:\.\d+)*\s*$|\"node\"\s*:|TargetFramework|java\.version|sourceCompatibility|languageVersion"
)
_TOKEN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-:/@]*[A-Za-z0-9]|\d")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


# -- names ------------------------------------------------------------------------------------------------------------


def lost_name(scene: Scene, suspect: Suspect, clue: Clue) -> Iterator[Claim]:
    """A name that the program asks for: where it is defined now, and which commit removed or renamed it."""
    name = clue.name
    if name is None or (len(name) < 3 and not clue.of):
        return
    shape = re.compile(_DEFINES.format(name=re.escape(name)))
    held = [h for h in scene.tree.holding(name) if not is_prose(h[0])]
    if len(held) > MOST_HELD:
        return
    defined = [h for h in held if is_code(h[0]) and shape.search(h[2])]
    place = suspect.placed[0] if suspect.placed else None
    for commit in scene.recent:
        for hunk in scene.hunks(commit):
            if not is_code(hunk.path) or is_prose(hunk.path):
                continue
            old = next((x for x in hunk.removed if shape.search(x)), None)
            if old is None or any(shape.search(x) for x in hunk.added) or any(p == hunk.path for p, _, _ in defined):
                continue
            if defined and clue.of is None and clue.module is None:
                continue
            new = _renamed(name, old, hunk.added)
            how = f"renamed `{name}` to `{new}`" if new else f"removed `{name}`"
            asks = f"; `{place.where}` still asks for it" if place is not None else ""
            yield by_commit(
                f"Introduced by {named(commit)}, which {how} in `{hunk.path}`{asks}.", "proven", "introduced", suspect, commit,
                file=hunk.path, line=hunk.start or None, code=code_around(scene.tree, hunk.path, hunk.start or None),
            )  # fmt: skip
            return
    if defined and clue.module and clue.language == "python":
        home = clue.module.replace(".", "/")
        path, line, _ = defined[0]
        if path not in (f"{home}.py", f"{home}/__init__.py") and not path.endswith(
            (f"/{home}.py", f"/{home}/__init__.py")
        ):
            yield Claim(
                f"`{name}` is defined at `{path}:{line}`, not in `{clue.module}`.", "proven", "present", suspect.failure, path, line,
                code_around(scene.tree, path, line, 1),
            )  # fmt: skip
    outer = clue.module.split(".")[0] if clue.module and clue.language == "python" else clue.module
    if outer and not defined and (changed := version_changed(scene, clue.language, outer)) is not None:
        commit, path, before, after = changed
        yield by_commit(
            f"`{path}`: {named(commit)} changed `{before}` to `{after}`; that version may lack `{name}`.", "suggested", "changed", suspect,
            commit, file=path,
        )  # fmt: skip
        return
    yield from _new_word(scene, suspect, name, "asks for")


def changed_signature(scene: Scene, suspect: Suspect, clue: Clue) -> Iterator[Claim]:
    """A call that no longer fits: which commit changed what the function takes, or brought in the names it misses."""
    parts = (clue.of or "").split(".")
    name = parts[-2] if parts[-1] == "__init__" and len(parts) > 1 else parts[-1]
    if name:
        shape = re.compile(_DEFINES.format(name=re.escape(name)))
        for commit in scene.recent:
            for hunk in scene.hunks(commit):
                old = next((x for x in hunk.removed if shape.search(x)), None)
                new = next((x for x in hunk.added if shape.search(x)), None)
                if (
                    old is None
                    or new is None
                    or old.strip() == new.strip()
                    or is_prose(hunk.path)
                    or not is_code(hunk.path)
                ):
                    continue
                yield by_commit(
                    f"Introduced by {named(commit)}, which changed what `{name}` takes at `{hunk.path}:{hunk.start}`: "
                    f"`{_flat(old)}` became `{_flat(new)}`.", "proven", "introduced", suspect, commit, file=hunk.path, line=hunk.start,
                    code=code_around(scene.tree, hunk.path, hunk.start),
                )  # fmt: skip
                return
    words = clue.words
    for commit in scene.recent if words else ():
        for hunk in scene.hunks(commit):
            if not is_code(hunk.path) or is_prose(hunk.path):
                continue
            brought = [
                w for w in words if any(holds(w, x) for x in hunk.added) and not any(holds(w, x) for x in hunk.removed)
            ]
            if len(brought) * 2 < len(words):
                continue
            line = next(
                (hunk.start + n for n, x in enumerate(hunk.added) if any(holds(w, x) for w in brought)), hunk.start
            )
            fields = ", ".join(f"`{w}`" for w in brought[:5])
            of = f" of `{name}`" if name else ""
            yield by_commit(
                f"Introduced by {named(commit)}, which added {fields}{of} at `{hunk.path}:{line}`.", "proven" if commit.parents else "suggested",
                "introduced" if commit.parents else "changed", suspect, commit, file=hunk.path, line=line,
                code=code_around(scene.tree, hunk.path, line),
            )  # fmt: skip
            return


def _new_word(scene: Scene, suspect: Suspect, word: str, verb: str) -> Iterator[Claim]:
    """The commit that brought a word into the code: before it nothing could ask for it."""
    for commit in scene.changing(word):
        hunks = [h for h in scene.hunks(commit) if is_code(h.path) and not is_prose(h.path)]
        hunk = next(
            (h for h in hunks if any(holds(word, x) for x in h.added) and not any(holds(word, x) for x in h.removed)),
            None,
        )
        if hunk is None:
            continue
        line = next(hunk.start + n for n, x in enumerate(hunk.added) if holds(word, x))
        on_path = any(p.path == hunk.path for p in suspect.placed)
        first = bool(commit.parents) and not _known_before(scene, commit, word)
        if not on_path and not first:
            continue
        proven = first and on_path and not suspect.seen_before
        start = "Introduced by" if proven else "Asked for since"
        rest = ": no file named it before" if first else ""
        yield by_commit(
            f"{start} {named(commit)}, which {verb} `{word}` at `{hunk.path}:{line}`{rest}.", "proven" if proven else "suggested",
            "introduced" if proven else "changed", suspect, commit, file=hunk.path, line=line, code=code_around(scene.tree, hunk.path, line),
            evidence=(f"git log -S{word} --oneline",),
        )  # fmt: skip
        return


def _known_before(scene: Scene, commit: Commit, word: str) -> bool:
    assert scene.history is not None
    return any(not is_prose(path) for path, _, _ in scene.history.holding(commit.parents[0], word))


def _renamed(name: str, old: str, added: tuple[str, ...]) -> str | None:
    """The other name of the line that took the place of a definition."""
    for line in added:
        before, after = re.findall(r"[\w$]+", old), re.findall(r"[\w$]+", line)
        if name not in before:
            return None
        changed = [(b, a) for b, a in zip(before, after, strict=False) if b != a]
        if len(changed) >= 1 and changed[0][0] == name and SequenceMatcher(None, before, after).ratio() >= 0.5:
            return str(changed[0][1])
    return None


# -- settings, columns and files --------------------------------------------------------------------------------------


def unset_setting(scene: Scene, suspect: Suspect, clue: Clue) -> Iterator[Claim]:
    """A setting that the program needs: who reads it, who sets it, and since when."""
    name = clue.name
    if name is None:
        return
    held = [h for h in scene.tree.holding(name) if not is_prose(h[0])]
    sets = [h for h in held if not is_code(h[0])]
    for commit in scene.recent:
        for hunk in scene.hunks(commit):
            gone = any(holds(name, x) for x in hunk.removed) and not any(holds(name, x) for x in hunk.added)
            if gone and not is_code(hunk.path) and not is_prose(hunk.path) and hunk.path not in {p for p, _, _ in sets}:
                new = next((m["key"] for x in hunk.added if (m := _SETTING.match(x))), None)
                also = f" (`{new}` is set there instead)" if new and new != name else ""
                yield by_commit(
                    f"Introduced by {named(commit)}, which took `{name}` out of `{hunk.path}`{also}.", "proven", "introduced", suspect, commit,
                    file=hunk.path, line=hunk.start or None, code=code_around(scene.tree, hunk.path, hunk.start or None),
                )  # fmt: skip
                return
    yield from _new_word(scene, suspect, name, "needs")
    if held:
        where = ", ".join(f"`{p}:{n}`" for p, n, _ in sets[:3])
        path, line, _ = next((h for h in held if is_code(h[0])), held[0])
        text = f"`{name}` is set in {where}; the environment that failed may not use it." if sets else f"`{name}` is read at `{path}:{line}`, and no file of the source sets it."  # fmt: skip
        yield Claim(
            text,
            "suggested" if sets else "proven",
            "setting",
            suspect.failure,
            path,
            line,
            code_around(scene.tree, path, line, 1),
        )


def unknown_column(scene: Scene, suspect: Suspect, clue: Clue) -> Iterator[Claim]:
    """A column or table that the database does not have: whether a migration makes it, and since when it is asked for."""
    name = clue.name
    if name is None:
        return
    held = [h for h in scene.tree.holding(name) if not is_prose(h[0])]
    made = [h for h in held if _SCHEMA.search(h[0])]
    for commit in scene.recent:
        for hunk in scene.hunks(commit):
            took = next(
                (
                    x
                    for x in hunk.added
                    if _SCHEMA.search(hunk.path)
                    and not is_prose(hunk.path)
                    and holds(name, x)
                    and re.search(r"(?i)\b(?:drop|rename|remove)", x)
                ),
                None,
            )
            if took is not None:
                yield by_commit(
                    f"Introduced by {named(commit)}: the migration `{hunk.path}` takes `{name}` away (`{_flat(took)}`).", "proven", "introduced",
                    suspect, commit, file=hunk.path, line=hunk.start, code=code_around(scene.tree, hunk.path, hunk.start),
                )  # fmt: skip
                return
    lost = next((m for m in scene.gone() if _SCHEMA.search(m.path) and name in m.path), None)
    if lost is not None:
        yield by_commit(
            f"Introduced by {named(lost.commit)}, which took the migration `{lost.path}` away.",
            "proven",
            "introduced",
            suspect,
            lost.commit,
            file=lost.path,
        )
    yield from _new_word(scene, suspect, name, "asks for")
    if made:
        path, line, _ = made[-1]
        yield Claim(
            f"`{path}:{line}` makes `{name}`: that migration has not run in this database.", "suggested", "present", suspect.failure, path,
            line, code_around(scene.tree, path, line, 1), evidence=("compare the database's table of migrations with the folder",),
        )  # fmt: skip
    elif held:
        any_schema = any(_SCHEMA.search(p) for p in scene.tree.files)
        path, line, _ = held[0]
        text = f"No migration of the source makes `{name}`, which `{path}:{line}` uses." if any_schema else f"`{name}` is used at `{path}:{line}`; the source has no migrations."  # fmt: skip
        yield Claim(
            text,
            "proven" if any_schema else "suggested",
            "missing",
            suspect.failure,
            path,
            line,
            code_around(scene.tree, path, line, 1),
        )


def lost_file(scene: Scene, suspect: Suspect, clue: Clue) -> Iterator[Claim]:
    """A file that the program opens: whether a commit took it away."""
    name = (clue.module or "").replace("\\", "/").rstrip("/")
    parts = [p for p in name.split("/") if p not in ("", ".", "..")]
    if not parts or len(parts[-1]) < 4:
        return
    for moved in scene.gone():
        theirs = moved.path.split("/")
        most = min(len(parts), len(theirs), 2)
        if theirs[-most:] == parts[-most:]:
            how = f"moved `{moved.path}` to `{moved.to}`" if moved.to else f"deleted `{moved.path}`"
            yield by_commit(
                f"Introduced by {named(moved.commit)}, which {how}.",
                "proven",
                "introduced",
                suspect,
                moved.commit,
                file=moved.path,
            )
            return


# -- values -----------------------------------------------------------------------------------------------------------


def changed_version(scene: Scene, suspect: Suspect) -> Iterator[Claim]:
    """A package that the traceback runs through and that was given another version, or another version of the runtime."""
    for name in suspect.libraries if suspect.language else ():
        changed = version_changed(scene, suspect.language or "", name)
        if changed is not None and changed[0].parents:
            commit, path, before, after = changed
            yield by_commit(
                f"{named(commit)} changed `{before}` to `{after}` in `{path}`, and the traceback runs through that package.",
                "suggested", "changed", suspect, commit, file=path,
            )  # fmt: skip
            return
    if suspect.category in _OF_THE_IMAGE:
        yield from changed_runtime(scene, suspect)


def changed_runtime(scene: Scene, suspect: Suspect) -> Iterator[Claim]:
    """The last commit before the onset that gave the program another base image or version of its language."""
    for commit in scene.recent:
        for hunk in scene.hunks(commit) if commit.parents else ():
            if not _RUNTIME.search(hunk.path):
                continue
            old = next((x for x in hunk.removed if _VERSIONED.search(x)), None)
            new = next((x for x in hunk.added if _VERSIONED.search(x)), None)
            if old and new and old.strip() != new.strip():
                yield by_commit(
                    f"{named(commit)} changed `{_flat(old)}` to `{_flat(new)}` at `{hunk.path}:{hunk.start}`: what the image brings along "
                    "differs.", "suggested", "changed", suspect, commit, file=hunk.path, line=hunk.start,
                    code=code_around(scene.tree, hunk.path, hunk.start),
                )  # fmt: skip
                return


class Changed(Struct, frozen=True):
    """A setting that a commit gave another value."""

    commit: Commit
    path: str
    line: int
    key: str
    old: str
    new: str


def changed_values(scene: Scene, suspect: Suspect) -> Iterator[Claim]:
    """Settings that were changed shortly before the onset and that the failure speaks of: by their new value, or by their kind."""
    if suspect.category is None and not suspect.text:
        return
    mine = scene.lexicon.settings.get(suspect.category or "", frozenset())
    told = {t.strip(".,:").lower() for t in _TOKEN.findall(suspect.text)}
    numbers = set(_NUMBER.findall(suspect.text))
    words = {w.lower() for w in re.findall(r"[A-Za-z]{3,}", suspect.text)}
    suggested: Changed | None = None
    for changed in _changed_settings(scene, suspect):
        key = {w.lower() for w in _WORDS.findall(changed.key)}
        kind = bool(key & mine) or changed.key.lower() in mine
        if _speaks_of(changed, told, numbers, key & (words | mine)):
            yield _changed_claim(scene, suspect, changed, proven=True)
            return
        if suggested is None and kind:
            suggested = changed
    if suggested is not None:
        yield _changed_claim(scene, suspect, suggested, proven=False)


def _speaks_of(changed: Changed, told: set[str], numbers: set[str], shared: set[str]) -> bool:
    """Whether the failure's text quotes the new value: a name or an address by itself, a number with a word of its key."""
    new, old = changed.new.strip("\"'").lower(), changed.old.strip("\"'").lower()
    fresh = {t.strip(".,:").lower() for t in _TOKEN.findall(new)} - {
        t.strip(".,:").lower() for t in _TOKEN.findall(old)
    }
    pieces = {
        p
        for t in fresh
        for p in (t, *re.split(r"[/@]+", t), *re.split(r"[/@:]+", t))
        if len(p) >= 4 and re.search(r"[a-z]", p)
    }
    if any(p in told or any(p in re.split(r"[/@:]+", t) for t in told) for p in pieces):
        return True
    values = {float(v) for v in _NUMBER.findall(new)} - {float(v) for v in _NUMBER.findall(old)}
    scaled = {_plain(v * unit) for v in values if v for unit in (1, 1000, 0.001)}
    return bool(scaled & {_plain(float(n)) for n in numbers}) and bool(shared)


def _plain(value: float) -> str:
    return f"{value:g}" if value < 1e6 else f"{value:.0f}"


def _changed_claim(scene: Scene, suspect: Suspect, changed: Changed, *, proven: bool) -> Claim:
    what = f"changed `{changed.key}` from `{changed.old}` to `{changed.new}` at `{changed.path}:{changed.line}`"
    text = f"Introduced by {named(changed.commit)}, which {what}: the failure speaks of the new value." if proven else f"{named(changed.commit)} {what} before the onset; that may be the reason."  # fmt: skip
    return by_commit(
        text[0].upper() + text[1:], "proven" if proven else "suggested", "introduced" if proven else "setting", suspect, changed.commit,
        file=changed.path, line=changed.line, code=code_around(scene.tree, changed.path, changed.line),
    )  # fmt: skip


def _changed_settings(scene: Scene, suspect: Suspect) -> Iterator[Changed]:
    for commit in scene.recent:
        if suspect.onset is not None and suspect.onset - commit.at > REACH:
            return
        if not commit.parents:
            continue
        for hunk in scene.hunks(commit):
            if not is_prose(hunk.path) and not hunk.path.endswith((".lock", "-lock.json", ".sum")):
                yield from _pairs(commit, hunk)


def _pairs(commit: Commit, hunk: Hunk) -> Iterator[Changed]:
    """Keys of a hunk that had one value before and have another one after it."""
    for n, line in enumerate(hunk.added):
        for key, new in _settings(line, hunk.path):
            old = next((v for x in hunk.removed for k, v in _settings(x, hunk.path) if k == key), None)
            if old is not None and old != new:
                yield Changed(commit, hunk.path, hunk.start + n, key, old[:80], new[:80])


def _settings(line: str, path: str) -> list[tuple[str, str]]:
    """Keys and values of a line: all assignments of code, the one of a line of configuration."""
    found = [(m["key"], m["value"]) for m in _ASSIGNED.finditer(line[:500])]
    if not is_code(path) and (whole := _SETTING.match(line[:500])):
        found.append((whole["key"], whole["value"]))
    return found


def _flat(line: str) -> str:
    text = " ".join(line.replace("`", "'").split())
    return text if len(text) <= 100 else text[:99] + "…"
