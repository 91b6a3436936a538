"""Small blocks put together: on a stream each is a few lines, and every step of reading has a price per block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from triage.intake.sources import Block


def joined(blocks: Sequence[Block], size: int) -> Iterator[Block]:
    """The same lines in blocks of about `size` bytes; each of the blocks given must follow the one before it."""
    held: list[Block] = []
    weight = 0
    for block in blocks:
        if held and weight + len(block.data) > size:
            yield _one(held)
            held, weight = [], 0
        held.append(block)
        weight += len(block.data)
    if held:
        yield _one(held)


def _one(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        b"".join(b.data for b in blocks),
        blocks[0].line,
        sum(b.lines for b in blocks),
        tuple(chain.from_iterable(b.notices for b in blocks)),
    )
