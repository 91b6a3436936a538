"""Links that texts prove: tracebacks, messages that hold other messages, clients that repeat their server."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from msgspec.structs import replace

from triage.diagnosis.drawing import CRASHES, ENOUGH, EXACT_RANK, MOSTLY_WITHOUT, Drawing, Edge, comes_before, shorten
from triage.diagnosis.nodes import LADDER, Node, follow, in_every_cycle
from triage.diagnosis.places import is_data_server
from triage.diagnosis.wording import percent
from triage.summary import Summary

EMBEDDED = 12  # characters of an inner message that an outer text must hold to be read as its wrapper
TRIED_AGAIN = re.compile(  # what says so of itself
    r"\b(?:will (?:be )?(?:retry|retried)|retrying|(?:second|next|another) (?:try|attempt|run)|try(?:ing)? again|(?:goes|put|sent) back (?:to|in|into) the queue"
    r"|re-?(?:en)?queue[sd]?|(?:will be )?(?:delivered again|redelivered))\b",
    re.IGNORECASE,
)
GIVEN_UP = re.compile(
    r"\b(?:giv(?:e|es|en|ing) up|gave up|exhausted|no (?:more )?retr(?:y|ies)|last (?:try|attempt)|dead[- ]letter)",
    re.IGNORECASE,
)
GOES_ON = re.compile(  # without what failed
    r"\b(?:(?:check|feature|module|integration|support|plugin|exporter|agent|monitoring|tracing)s? (?:is |are |stays? )?disabled|skipp(?:ed|ing)|fall(?:s|ing)? ?back"
    r"|(?:continuing|going on|carrying on) without|ignor(?:ed|ing)|using .{1,40} instead|stays? in use|leaving .{1,40} empty"
    r"|(?:using|serving|showing|keeping|kept|reading|loading) .{0,30}?(?:last|old|stale|cached|default|placeholder|fallback|snapshot|from disk|from the (?:disk|database|origin)))\b",
    re.IGNORECASE,
)
RETRY = re.compile(r"\b(?:attempts?|retry|retries|retrying|retried)\b", re.IGNORECASE)


_HANDSHAKE = re.compile(
    r"\bTLS handshake (?:error|failed)\b|\bSSL_do_handshake\(\) failed\b|\bhandshake (?:failure|failed)\b",
    re.IGNORECASE,
)
_ALERT = re.compile(
    r"\bremote error: tls\b|\b(?:ssl|tls)v?\d* ?alert\b|\balert (?:bad|unknown|certificate|handshake)\b", re.IGNORECASE
)
_SAYING = 24  # characters of a text that two programs would hardly say by chance


def is_tried_again(text: str) -> bool:
    """Whether it says that what failed is tried again."""
    return TRIED_AGAIN.search(text) is not None and GIVEN_UP.search(text) is None


def is_borne(text: str) -> bool:
    """Whether it says that what failed is tried again, or that the program goes on without it."""
    return is_tried_again(text) or (GOES_ON.search(text) is not None and GIVEN_UP.search(text) is None)


def link_within_records(drawing: Drawing, summary: Summary) -> None:
    """Exception chains, and the message that heads the record of a stack."""
    for edge in record_links(drawing.nodes, summary):
        raised, head = drawing.nodes[edge.cause], drawing.nodes[edge.effect]
        if edge.kind == "wraps" and raised.exception in CRASHES and head.count >= MOSTLY_WITHOUT * edge.count:
            continue  # it was logged before (see link_crashes)
        if edge.kind == "wraps":
            drawing.labels.add(edge.effect)
        drawing.draw(edge, main=edge.kind != "wraps")


def record_links(nodes: Mapping[str, Node], summary: Summary, *, but: Collection[str] = ()) -> Iterator[Edge]:
    """What single records prove of these nodes, most often seen first; no links with both ends in `but`."""
    for r in summary["links"].sort("count", "cause", "effect", descending=[True, False, False]).iter_rows(named=True):
        cause, effect = r["cause"], r["effect"]
        if cause not in nodes or effect not in nodes or (cause in but and effect in but):
            continue
        where = {"count": r["count"], "lag_s": 0.0, "source": r["source"], "line": r["line"]}
        if r["kind"] == "wraps":
            yield Edge(cause, effect, "wraps", confidence=0.95, why="the record that carries the traceback", **where)
        else:
            words = "raised from" if r["kind"] == "raised_from" else "raised while handling"
            yield Edge(cause, effect, r["kind"], confidence=0.98, why=f"{words} it in one traceback", **where)


def inherit_names(drawing: Drawing) -> None:
    """What the outer exceptions and the label of a traceback name, its innermost exception is about too."""
    for _ in range(len(drawing.edges)):
        before = dict(drawing.names)
        for edge in drawing.edges:
            mine = set(drawing.nodes[edge.cause].services)
            drawing.names[edge.cause] = drawing.names[edge.cause] | (drawing.names[edge.effect] - mine)
        if drawing.names == before:
            return


def link_embeddings(drawing: Drawing) -> None:
    """A message that holds the text of an exception speaks of it."""
    exceptions = [n for n in drawing.nodes.values() if n.kind == "exception" and len(n.template) >= EMBEDDED]
    exceptions.sort(key=lambda n: (-len(n.template), n.id))
    for outer in [n for n in drawing.nodes.values() if n.kind == "message"]:
        for inner in exceptions:
            if (
                inner.template not in outer.template
                or inner.template == outer.template
                or drawing.together(inner, outer) < ENOUGH
                or _is_server_of(outer, inner, drawing.slack)
            ):
                continue
            same = outer.role == "cause" and outer.rule is inner.rule
            if (outer.role == "proxy" or same) and (inner.id, outer.id) in drawing.drawn:
                break  # the record that carries the exception repeats its words: it is no step of its own
            drawing.labels.discard(outer.id)
            found = follow(inner, outer, drawing.slack)
            lag = found.lag_s if found is not None else None
            if RETRY.search(outer.message) and (outer.first or datetime.max) <= (inner.first or datetime.max):
                why = "each attempt logs the text of the exception that ends it"
                head = _innermost(drawing, inner.id)
                drawing.draw(Edge(outer.id, head, "precedes", min(outer.count, inner.count), lag, 0.75, why))
            else:
                why = f"its text holds “{shorten(inner.message)}”"
                drawing.draw(Edge(inner.id, outer.id, "wraps", min(outer.count, inner.count), lag, 0.95, why))
                drawing.nodes[outer.id] = (
                    replace(outer, role="wrapper") if LADDER.get(outer.role, 9) < LADDER["wrapper"] else outer
                )
            break
    _order_embeddings(drawing)
    _same_text(drawing)


def _same_text(drawing: Drawing) -> None:
    """A server and its client log one error in the same words: the server's comes first. So it does where the client's is a plain
    message that quotes the server's."""
    servers = [
        n
        for n in drawing.nodes.values()
        if n.kind == "message" and (n.severe or _is_handshake(n)) and n.id not in drawing.labels
    ]
    for b in [n for n in drawing.nodes.values() if n.inner and n.id not in drawing.parents and _repeats(n)]:
        for a in sorted(servers, key=lambda n: n.id):
            told = _how_alike(a, b, drawing) if _apart(a, b) else ""
            if not told or drawing.together(a, b) < ENOUGH:
                continue
            found = follow(a, b, drawing.slack)
            why = f"the client's {'exception' if b.kind == 'exception' else 'error'} {told} the server's error"
            drawing.draw(Edge(a.id, b.id, "wraps", min(a.count, b.count), found.lag_s if found else None, 0.9, why))
            break


def _how_alike(a: Node, b: Node, drawing: Drawing) -> str:
    """What a client's error is to the server's; "" where it is none of its."""
    if _same_known(a, b) or (_is_handshake(a) and _is_refused_by(b, a, drawing)):
        return "is the same failure as"
    raised = b.kind == "exception"
    repeats = raised and (_same_words(a.template, b.template) or _same_failure(a, b))
    quotes = _is_quoted(a, b) and (raised or _told_alike(a, b))
    return "repeats the words of" if repeats or quotes else ""


def _repeats(node: Node) -> bool:
    """Whether it may repeat another service's words: an exception, or a message of an error that is no proxy's."""
    alert = _ALERT.search(node.message) is not None
    return node.kind == "exception" or (
        node.kind == "message" and (node.severe or alert) and node.role in ("cause", "wrapper", "timeout")
    )


def _is_handshake(node: Node) -> bool:
    """Whether a server tells of a handshake that it refused, at whatever level."""
    return node.rule is not None and node.rule.category == "tls" and _HANDSHAKE.search(node.message) is not None


def _is_refused_by(client: Node, server: Node, drawing: Drawing) -> bool:
    """Whether a client was sent the alert by which that server refuses a handshake: it names the server, or there were as many."""
    if client.rule is None or client.rule.category != "tls" or not _ALERT.search(client.message):
        return False
    named = bool(drawing.names[client.id] & set(server.services))
    return named or min(client.count, server.count) >= 0.9 * max(client.count, server.count)


def link_attempts(drawing: Drawing) -> None:
    """Remarks on attempts that failed, and the error with the same reason that says that they were the last."""
    said = sorted((n for n in drawing.nodes.values() if n.kind == "message" and _reason(n)), key=lambda n: n.id)
    remarks = [n for n in said if not n.severe and RETRY.search(n.message)]
    tried = [n for n in said if GIVEN_UP.search(n.message) is None]
    for b in [n for n in said if n.severe and n.id not in drawing.labels]:
        for a in tried if GIVEN_UP.search(b.message) else remarks:
            alike = a.services == b.services and a.count >= b.count and _reason(a) == _reason(b)
            if not alike or b.id in drawing.above(a.id):
                continue
            if a.severe and comes_before(a, b, drawing.slack) and drawing.together(b, a) >= 0.9:
                why = "it says that it is given up, which failed for the same reason before, all along"
                drawing.draw(Edge(a.id, b.id, "precedes", b.count, None, 0.8, why))
                break
            found = None if a.severe else follow(a, b, 0)
            if found is not None and found.share >= 0.9 and in_every_cycle(a, b) >= 0.8:
                why = f"attempts that failed for the same reason come before it in {percent(found.share)} of {b.count:,} cases"
                drawing.draw(Edge(a.id, b.id, "precedes", b.count, found.lag_s, 0.8, why))
                break


def _reason(node: Node) -> str:
    """What a message says behind its last colon, masked: why something failed; "" where it says too little."""
    reason = node.template.rpartition(": ")[2].strip()
    return reason if len(reason) >= EMBEDDED else ""


def _told_alike(a: Node, b: Node) -> bool:
    """Whether two services that log it come about as often, and one says more than the other."""
    often = min(a.count, b.count) >= 0.8 * max(a.count, b.count)
    return often and bool(a.services) and len(b.template) > len(a.template.strip()) + len("x: ")


def _same_known(a: Node, b: Node) -> bool:
    """Whether a server that others use and one of them log the same failure, one that a rule knows exactly, about as often."""
    exact = a.rule is not None and b.rule is not None and a.rule.name == b.rule.name and a.rule.rank < EXACT_RANK
    servers = bool(a.services) and all(map(is_data_server, a.services)) and not any(map(is_data_server, b.services))
    return exact and servers and min(a.count, b.count) >= 0.9 * max(a.count, b.count)


def _apart(a: Node, b: Node) -> bool:
    """Whether two services log them; where the log names none, whether they come equally often."""
    if not a.services and not b.services:
        return min(a.count, b.count) >= 0.9 * max(a.count, b.count)
    return bool(a.services) and bool(b.services) and not set(a.services) & set(b.services)


def _is_server_of(a: Node, b: Node, slack: int) -> bool:
    """Whether the message is the error of another service, said before its client raises it in the same words."""
    return _apart(a, b) and a.severe and _same_failure(a, b) and comes_before(a, b, slack)


def _same_words(one: str, other: str) -> bool:
    """Whether two texts begin alike: enough to say something, and two thirds of the shorter one."""
    alike = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))
    return alike >= _SAYING and alike >= 2 / 3 * min(len(one), len(other))


def _is_quoted(a: Node, b: Node) -> bool:
    """Whether the text of the one stands in that of the other, behind words that its client puts in front of it."""
    text = a.template.strip()
    return len(text) >= _SAYING and text in b.template


def _same_failure(a: Node, b: Node) -> bool:
    """Whether the one text begins with the whole of the other, and both are the same known failure about as often."""
    short, long = sorted((a.template.strip(), b.template.strip()), key=len)
    whole = len(short) >= 8 and (long == short or long.startswith((short + " ", short + ":")))
    known = a.rule is not None and b.rule is not None and a.rule.name == b.rule.name
    return whole and known and min(a.count, b.count) >= 0.5 * max(a.count, b.count)


def _innermost(drawing: Drawing, node: str) -> str:
    """Where the exception chain begins that the node ends."""
    for edge in drawing.parents.get(node, ()):
        if edge.kind in ("raised_from", "while_handling"):
            return _innermost(drawing, edge.cause)
    return node


def _order_embeddings(drawing: Drawing) -> None:
    """Several messages speak of one exception: in the order in which one cycle logs them, before the next exception of the chain."""
    by_inner: dict[str, list[Node]] = {}
    for edge in drawing.edges:
        if edge.kind == "wraps" and edge.effect not in drawing.labels:
            by_inner.setdefault(edge.cause, []).append(drawing.nodes[edge.effect])
    for inner, outers in by_inner.items():
        outers.sort(key=lambda n: (n.first is None, n.first, n.id))
        last = inner
        for outer in outers:
            if last != inner:
                found = follow(drawing.nodes[last], outer, drawing.slack)
                if found is None or found.share < 0.8:
                    continue
                drawing.parents[outer.id] = []
                drawing.draw(
                    Edge(
                        last,
                        outer.id,
                        "same_instance",
                        outer.count,
                        found.lag_s,
                        0.85,
                        "logged next, of the same exception, in every cycle",
                    )
                )
            last = outer.id
        for edge in [e for e in drawing.edges if e.cause == inner and e.kind in ("raised_from", "while_handling")]:
            following = drawing.nodes[edge.effect]
            if last != inner and (drawing.nodes[last].first or datetime.max) <= (following.first or datetime.max):
                drawing.parents[following.id] = [e for e in drawing.parents[following.id] if e.cause != inner]
                drawing.draw(
                    Edge(
                        last,
                        following.id,
                        "wraps",
                        following.count,
                        0.0,
                        0.85,
                        "logged in the record that raises it",
                        edge.source,
                        edge.line,
                    )
                )
