"""Clusters: groups whose templates differ in values only, under one id."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from triage.grouping.folding import CAREFUL, PLAIN, Care, fold
from triage.grouping.signature import message_signature
from triage.grouping.steering import is_steered

_IN_MEMORY = 256 << 20  # bytes of records that wait for their clusters in memory; more wait in a file


def fold_ids(
    groups: Iterable[tuple[str, str]], id_of: Callable[[str], str], *, keep: Collection[str] = (), care: Care = CAREFUL
) -> dict[str, tuple[str, str]]:
    """Of groups (id, template) that are one with others: the id and the template that they share.

    The id is `id_of` the template, so it is the same in every run in which the same values vary.
    """
    named = sorted(one for one in groups if not is_steered(one[1]))
    into = fold(pl.DataFrame({"template": [t for _, t in named]}, schema={"template": pl.String}), keep=keep, care=care)
    members: dict[str, list[str]] = {}
    for key, template in named:
        members.setdefault(into.get(template, template), []).append(key)
    changed = set(into.values())
    shared: dict[str, tuple[str, str]] = {}
    for template, keys in members.items():
        if len(keys) > 1:
            one = min(keys) if template not in changed else id_of(template)
            shared.update(dict.fromkeys(keys, (one, template)))
    return shared


def cluster_records(frames: Iterable[tuple[pl.DataFrame, pl.Series]]) -> Iterator[pl.DataFrame]:
    """Records with their `cluster`, which is certain once all of them are seen; in the order given.

    Each frame comes with a mask of the records that a report counts. Those are folded by themselves, so that a record has
    the cluster that the report gives it; the others join them or one another.
    """
    counted: dict[str, str] = {}
    others: dict[str, str] = {}
    services: set[str] = set()
    with TemporaryDirectory(prefix="triage-") as folder:
        waiting = _Waiting(Path(folder))
        for frame, matters in frames:
            waiting.add(frame)
            services.update(frame["service"].drop_nulls().unique())
            plain = frame.select("signature", "template", bare=pl.col("exception").is_null(), matters=matters)
            plain = plain.filter("bare").drop_nulls("template").unique()
            for signature, template, _, counts in plain.iter_rows():
                (counted if counts else others)[signature] = template
        table = _cluster(counted, others, services)
        for frame in waiting:
            yield frame.with_columns(cluster=pl.col("signature").replace(table))


def _cluster(counted: dict[str, str], others: dict[str, str], services: Collection[str]) -> dict[str, str]:
    """The cluster of every signature that has another one than itself."""
    first = fold_ids(counted.items(), message_signature, keep=services)
    settled = {key: first.get(key, (key, template)) for key, template in counted.items()}
    mixed = dict(settled.values()) | {key: t for key, t in others.items() if key not in settled}
    second = fold_ids(mixed.items(), message_signature, keep=services, care=PLAIN)
    table = {key: one for key, (one, _) in settled.items()}
    known = {second[one][0]: one for one, _ in sorted(settled.values(), reverse=True) if one in second}
    for key in others:
        if key not in settled and key in second:
            table[key] = known.get(second[key][0], second[key][0])
    return {key: one for key, one in table.items() if key != one}


class _Waiting:
    """Frames in the order they came, the many of them in a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[pl.DataFrame] = []
        self._files: list[Path] = []
        self._bytes = 0

    def add(self, frame: pl.DataFrame) -> None:
        self._held.append(frame)
        self._bytes += int(frame.estimated_size())
        if self._bytes > _IN_MEMORY:
            path = self._folder / f"{len(self._files)}.arrow"
            pl.concat(self._held).write_ipc(path, compression="lz4")
            self._files.append(path)
            self._held, self._bytes = [], 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for path in self._files:
            yield pl.read_ipc(path)
        yield from self._held
