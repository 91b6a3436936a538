"""What the user's source and its history say of the failures: mapped, quoted, and never executed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from triage.diagnosis.incidents import Case
from triage.diagnosis.nodes import Node
from triage.diagnosis.repo.changes import (
    changed_signature,
    changed_values,
    changed_version,
    lost_file,
    lost_name,
    unknown_column,
    unset_setting,
)
from triage.diagnosis.repo.clues import Clue, Lexicon, clues, load_lexicon
from triage.diagnosis.repo.history import Commit, History, open_history
from triage.diagnosis.repo.modules import missing_module
from triage.diagnosis.repo.scene import MOST_RECENT, Scene, Suspect, by_commit, code_around, named
from triage.diagnosis.repo.tree import Placed, Tree, package_of
from triage.intake.stacks import Frame, Stack, parse_stack
from triage.report import Action, Claim, Evidence, Source, Why, Window

MOST_SUSPECTS = 6
MOST_CLAIMS = 12
LATE = timedelta(days=2)  # the last commit before the onset is worth a word when it is not older
_FRAME = re.compile(r"^(?P<file>.*?)(?::(?P<line>\d+))?(?::\d+)?(?: in (?P<function>.*))?$")
_LOOKS = {
    "module": missing_module,
    "dependency": missing_module,
    "name": lost_name,
    "arguments": changed_signature,
    "setting": unset_setting,
    "schema": unknown_column,
    "file": lost_file,
}
_RANK = {"introduced": 0, "missing": 1, "present": 2, "setting": 3, "changed": 4, "raised": 5, "last": 6}


def examine(
    folder: Path,
    cases: Sequence[Case],
    nodes: Mapping[str, Node],
    examples: Mapping[str, tuple[Evidence, ...]],
    span: Window | None,
) -> Source:
    """What the folder shows of the incidents' roots, and of what they lead to where that says more.

    Read only: files are read, git is asked; nothing of the folder is imported, run or written.
    """
    notes: list[str] = []
    lexicon = load_lexicon()
    chosen = _chosen(cases)
    onset = min((c.start for c in cases if c.start is not None), default=None)
    with open_history(folder, notes) as history:
        commit, young = _deployed(history, onset, notes) if history is not None else (None, False)
        tree = Tree.of(folder, history, commit, notes)
        scene = _scene(tree, history, lexicon, None if young else commit)
        roots = {r.failure for c in cases for r in c.roots}
        suspects: list[Suspect] = []
        claims: list[Claim] = []
        for failure in chosen:
            if failure not in roots and any(s.placed for s in suspects):
                break  # what the roots lead to is looked up only where the source says nothing of the roots
            suspects.append(_suspect(failure, nodes, examples, tree, lexicon, span))
            claims += _about(scene, suspects[-1])
        claims += _last_before(scene, claims, cases)
        if cases and not any(s.placed for s in suspects):
            notes.append("no frame of the failures stands in a file of the folder")
        return Source(
            commit.id if commit is not None else None, commit.at if commit is not None else None, len(tree.files),
            _ordered(claims, chosen), tuple(notes),
        )  # fmt: skip


def _chosen(cases: Sequence[Case]) -> list[str]:
    """Failures to look up: the roots, then what they lead to on the first chains."""
    roots = [r.failure for c in cases for r in c.roots]
    further = [i for c in cases for chain in c.chains[:1] for i in chain[:3]]
    return list(dict.fromkeys([*roots, *further]))[:MOST_SUSPECTS]


def _scene(tree: Tree, history: History | None, lexicon: Lexicon, last: Commit | None) -> Scene:
    before = history.leading_to(last) if history is not None else ()
    older: set[str] = set()
    if history is not None and last is not None and last.parents:
        older = {c.id for c in history.leading_to(history.commit(last.parents[0]))}
    recent = tuple(c for c in before if len(c.parents) < 2)[:MOST_RECENT]
    return Scene(tree, history, lexicon, recent, last, frozenset(c.id for c in before if c.id not in older), {})


def _deployed(history: History, onset: datetime | None, notes: list[str]) -> tuple[Commit | None, bool]:
    """The last commit of the branch before the onset, which most likely ran; and whether even that one is younger."""
    trunk = history.trunk()
    found = next((c for c in trunk if onset is None or c.at <= onset), None)
    if found is None:
        notes.append("every commit is younger than the onset: the source is shown as it is now")
        return (trunk[0] if trunk else None), True
    if trunk and found.id != trunk[0].id:
        notes.append(
            f"looked at the source as of {found.id[:10]}, the last commit before the onset; the branch has gone on since"
        )
    return found, False


def _suspect(
    failure: str, nodes: Mapping[str, Node], examples: Mapping[str, tuple[Evidence, ...]], tree: Tree, lexicon: Lexicon, span: Window | None
) -> Suspect:  # fmt: skip
    node = nodes[failure]
    stack = next((s for e in examples.get(failure, ()) if (s := parse_stack(e.text)).exceptions), None)
    frames = _frames(node, stack)
    placed = tuple(p for f in frames if (p := tree.place(f)) is not None)
    first = node.first
    seen_before = span is not None and first is not None and first - span.start < 0.005 * (span.end - span.start)
    language = stack.language if stack is not None else None
    found = clues(node.text, language, lexicon)
    libraries = tuple(dict.fromkeys(name for f in frames if f.file and (name := package_of(f.file)) is not None))
    return Suspect(
        failure,
        node.text,
        language,
        node.rule.category if node.rule is not None else None,
        first,
        seen_before,
        placed,
        _definite(found),
        libraries,
    )


def _definite(found: tuple[Clue, ...]) -> tuple[Clue, ...]:
    """At most three, and no vague name beside a definite thing."""
    definite = [c for c in found if c.names != "name"] or list(found)
    return tuple(definite[:3])


def _frames(node: Node, stack: Stack | None) -> list[Frame]:
    """Frames of the failure, nearest to the crash first: with their code where an example prints it."""
    if stack is not None:
        for raised in stack.exceptions:
            if raised.frames and (raised.type == node.exception or (node.exception or "").endswith(f".{raised.type}")):
                inner_first = raised.frames if stack.newest_first else tuple(reversed(raised.frames))
                outer = [
                    f for x in stack.exceptions for f in (x.frames if stack.newest_first else tuple(reversed(x.frames)))
                ]
                return list(dict.fromkeys([*inner_first, *outer]))[:60]
    texts = dict.fromkeys([*([node.frame] if node.frame else []), *reversed(node.frames)])
    found = [m for t in texts if (m := _FRAME.match(t)) is not None]
    return [Frame(m["function"], m["file"], int(m["line"]) if m["line"] else None) for m in found]


def _about(scene: Scene, suspect: Suspect) -> Iterator[Claim]:
    """Claims on one failure: what it names, the values it speaks of, the lines that raise it."""
    told: list[Claim] = []
    for clue in suspect.clues:
        told += _LOOKS[clue.names](scene, suspect, clue)
        if any(c.basis == "proven" and c.kind == "introduced" for c in told):
            break
    if not any(c.kind == "introduced" for c in told):
        told += changed_values(scene, suspect)
        told += [] if any(c.commit for c in told) else changed_version(scene, suspect)
    yield from told
    if suspect.placed:
        yield from _raising(scene, suspect, suspect.placed[0], told)


def _raising(scene: Scene, suspect: Suspect, place: Placed, told: Sequence[Claim]) -> Iterator[Claim]:
    """The line that raises, and the commit that last touched it."""
    code = code_around(scene.tree, place.path, None if place.differs else place.line)
    inside = f", in `{place.function}`" if place.function and place.function not in ("<module>", "<anonymous>") else ""
    if place.others:
        also = ", ".join(f"`{p}`" for p in place.others)
        text = f"Raised at `{place.where}`, or at the same place of {also}: the frame fits all of them."
    elif place.line is None:
        text = f"Raised in what was built from `{place.path}`{inside}."
    elif place.differs:
        text = f"Raised at `{place.where}`{inside}; the traceback prints another text for that line, so another version ran."
    else:
        text = f"Raised at `{place.where}`{inside}."
    yield Claim(text, "proven" if place.sure else "suggested", "raised", suspect.failure, place.path, place.line, code)
    blamed = scene.blame(place) if not place.others else None
    if blamed is None or any(c.commit == blamed.id for c in told):
        return
    proven_elsewhere = any(c.kind == "introduced" for c in told)
    fresh = blamed.id in scene.fresh and bool(blamed.parents) and not suspect.seen_before and place.sure
    if fresh and not proven_elsewhere:
        text = f"Introduced by {named(blamed)}, the last change before the onset: it wrote the line that raises, `{place.where}`."
        yield by_commit(
            text,
            "proven",
            "introduced",
            suspect,
            blamed,
            file=place.path,
            line=place.line,
            code=code,
            evidence=_blame(place),
        )
    else:
        since = "; there since the first commit" if not blamed.parents else ""
        text = f"`{place.where}` was last changed by {named(blamed)}{since}."
        yield by_commit(
            text, "suggested", "changed", suspect, blamed, file=place.path, line=place.line, evidence=_blame(place)
        )


def _blame(place: Placed) -> tuple[str, ...]:
    return (f"git blame -L{place.line},{place.line} {place.path}",)


def _last_before(scene: Scene, claims: Sequence[Claim], cases: Sequence[Case]) -> Iterator[Claim]:
    """The last commit before the onset, where no recent one is proven and no claim names it: it coincides, no more."""
    last = scene.last
    onset = min((c.start for c in cases if c.start is not None), default=None)
    if last is None or onset is None or not last.parents or onset - last.at > LATE:
        return
    lately = any(c.kind == "introduced" and c.author_date and onset - c.author_date <= LATE for c in claims)
    if lately or any(c.commit == last.id for c in claims):
        return
    moves = scene.moves(last)
    files = ", ".join(f"`{m.to or m.path}`" for m in moves[:4]) + (
        f" and {len(moves) - 4} more" if len(moves) > 4 else ""
    )
    failure = cases[0].roots[0].failure if cases[0].roots else cases[0].members[0]
    suspect = Suspect(failure, "", None, None, onset, False, (), ())
    text = (
        f"The last commit before the onset is {named(last)}, in {files}. Nothing ties it to the failure but the time."
    )
    yield by_commit(text, "suggested", "last", suspect, last, evidence=(f"git show {last.id[:10]}",))


def explain(found: Sequence[Why], source: Source | None, case: Case) -> tuple[Why, ...]:
    """The whys with what the source shows of the root, before the question that is left to people."""
    best = _telling(source, case)
    if best is None or not case.roots:
        return tuple(found)
    fresh = Why("Why does the source do that?", best.text, "observed" if best.basis == "proven" else "inferred")
    return (*found[:-1], fresh, *found[-1:])


def mend(found: Sequence[Action], source: Source | None, case: Case) -> tuple[Action, ...]:
    """The actions, led by the commit that the history proves to have brought the root in."""
    best = _telling(source, case)
    if best is None or best.commit is None or best.kind != "introduced":
        return tuple(found)
    urgent = "P0" if case.severity in ("P0", "P1") else "P1"
    place = f" (`{best.file}`)" if best.file else ""
    text = f"Mend or revert commit `{best.commit[:10]}`{place}: the history proves that it brought the root in"
    return (Action(urgent, "repair", text, (best.failure,) if best.failure else ()), *found)


def _telling(source: Source | None, case: Case) -> Claim | None:
    """The claim on the incident's first root that says most."""
    first = case.roots[0].failure if case.roots else None
    mine = [
        c
        for c in (source.claims if source is not None else ())
        if c.failure == first and c.kind not in ("raised", "last")
    ]
    return min(mine, key=lambda c: (c.basis != "proven", _RANK[c.kind]), default=None)


def _ordered(claims: Sequence[Claim], chosen: Sequence[str]) -> tuple[Claim, ...]:
    """Proven before suggested of each failure, the roots' first; one claim for each text and one commit brings it in."""
    unique: dict[str, Claim] = {}
    for claim in claims:
        unique.setdefault(claim.text, claim)
    place = {failure: n for n, failure in enumerate(chosen)}
    ranked = sorted(unique.values(), key=lambda c: (place.get(c.failure or "", 99), _RANK[c.kind], c.basis != "proven"))
    return tuple(ranked[:MOST_CLAIMS])
