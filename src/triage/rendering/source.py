"""What the user's source shows, in the order in which it is told."""

from __future__ import annotations

from msgspec import Struct

from triage.rendering import figures
from triage.rendering.escaping import MOST_PROSE, shorten
from triage.report import Claim, Report


class Told(Struct, frozen=True):
    """The section on the source: as of which commit, the claims, what could not be looked at."""

    stamp: str
    claims: tuple[Shown, ...]
    notices: tuple[str, ...]


class Shown(Struct, frozen=True):
    """One claim. `code` holds lines with their numbers, the one that is meant marked; empty when it was shown before."""

    text: str
    basis: str
    place: str
    code: str
    evidence: tuple[str, ...]


def tell(report: Report) -> Told | None:
    """The section on the source; None when nobody asked for it."""
    found = report.source
    if found is None:
        return None
    seen: set[tuple[str | None, int | None]] = set()
    shown = []
    for claim in found.claims:
        fresh = (claim.file, claim.line) not in seen
        if claim.code:
            seen.add((claim.file, claim.line))
        shown.append(_shown(claim, with_code=fresh))
    when = f" of {found.revision_date:%Y-%m-%d %H:%M} UTC" if found.revision_date else ""
    what = f"As of commit `{found.revision[:10]}`{when}" if found.revision else "As it lies in the folder"
    stamp = f"{what}, {figures.plural(found.files, 'file')}. It was read, nothing of it was run."
    return Told(stamp, tuple(shown), found.notices)


def _shown(claim: Claim, *, with_code: bool) -> Shown:
    place = claim.file or ""
    if claim.file and claim.line:
        place = f"{claim.file}:{claim.line}"
    width = len(str(claim.code[-1].number)) if claim.code else 0
    lines = (f"{'>' if c.meant else ' '} {c.number:>{width}}  {c.text}".rstrip() for c in claim.code)
    return Shown(
        shorten(claim.text, MOST_PROSE), claim.basis, place, "\n".join(lines) if with_code else "",
        claim.evidence,
    )  # fmt: skip
