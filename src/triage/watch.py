"""Logs that still run: what has come so far as a Report, at any moment, by the same steps as `analyze`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from glob import has_magic
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from triage.counting import Beginning, Counted, Gathering, Order, count, summarize_counted
from triage.diagnosis.diagnose import diagnose, folded_clusters
from triage.grouping.signature import sign
from triage.intake.decode import Batch, Decoder, look, piece_bytes
from triage.intake.formats import Catalog
from triage.intake.framing import pieces
from triage.intake.growing import GrowingFile, Pipe
from triage.intake.joining import joined
from triage.intake.sources import HEAD_BYTES, STDIN, Block, Source, Stream, hint_services, open_sources
from triage.intake.stacks import known_traces
from triage.intake.traces import Assembler
from triage.options import Options, catalog_of, folders, keeper, reading_options
from triage.report import Evidence, Report
from triage.schema import EVENTS
from triage.summary import Summary

_ROOM = 16 << 20  # bytes that wait to be read into tables; when they are there, the writer waits
_BLOCK = 1 << 20
NEWEST = 200  # failing records of each source that are kept as they came, for a close look at the newest


class _Given(Stream):
    """Blocks passed on one by one, as framing asks for them."""

    def __init__(self, name: str) -> None:
        super().__init__(name, BytesIO())
        self.queue: deque[Block] = deque()
        self.over = False

    def blocks(self, size: int = 0, cap: int = 0) -> Iterator[Block]:  # noqa: ARG002 - they are cut already
        while self.queue or not self.over:
            yield self.queue.popleft()

    def chunks(self) -> Iterator[bytes]:
        for block in self.blocks():
            self.notices += block.notices
            yield block.data


class _Steps:
    """The steps from blocks to tables, from a head that shows how the source is read."""

    def __init__(self, source: Source, head: bytes, catalog: Catalog, options: Options, *, keeps: bool) -> None:
        reading_as = reading_options(options)
        reading = look(source, Stream(source.name, BytesIO(head)), catalog, reading_as)
        self._keeps = keeps  # the newest failing records
        self._dirs = folders(options)
        self._keep = keeper(options)
        self._decoder = Decoder(source, reading, reading_as)
        self._given = _Given(source.name)
        self._pieces = pieces(self._given, reading.framing, piece_bytes(reading, reading_as))
        self._traces = known_traces(self._dirs)
        self._assembler: Assembler | None = None
        self._order = Order(Beginning())
        self._gathering = Gathering(self._dirs)
        self._total = Summary.empty()
        self._newest = self._open = pl.DataFrame(schema=EVENTS)

    def take(self, blocks: Sequence[Block]) -> None:
        """Read these into the tables, as far as what is in them is complete."""
        group = []
        for block in blocks:
            self._given.queue.append(block)
            group.append(next(self._pieces))  # framing makes one piece of each
        if not group:
            return
        batch = self._decoder.take(group, last=False)
        if self._assembler is None:
            self._order = Order(Beginning.of(batch.rows))
            self._assembler = Assembler(self._traces, self._order.begun.newest_first)
        counted = self._count(self._assembler, batch, self._order)
        self._add(self._gathering.take(counted))
        if self._keeps:
            self._newest = pl.concat([self._newest, counted.loud.tail(NEWEST)]).tail(NEWEST)
            # rows of their own: what is cut out of a frame holds on to all of its memory
            self._newest = pl.DataFrame(self._newest.rows(), schema=EVENTS, orient="row")

    def summary(self, *, ended: bool) -> Summary:
        """All so far; what waits for its end is taken as it is now. Once `ended`, nothing more can be taken."""
        self._add(self._gathering.rest())
        decoder = self._decoder.fork()
        assembler = (self._assembler or Assembler(self._traces, newest_first=False)).fork()
        rest: list[Batch] = []
        if ended:
            self._given.over = True
            group = list(self._pieces)
            rest += [decoder.take(group, last=True)] if group else []
        rest += decoder.finish(self._given.take_notices() if ended else ())
        order = self._order.fork()
        tail = [self._count(assembler, batch, order) for batch in rest]
        tail.append(count(self._keep(assembler.finish()), order, self._dirs))
        if self._keeps:
            self._open = pl.concat([c.loud for c in tail])
        return Summary.merge([self._total, summarize_counted(tail, self._dirs, self._total.widths)])

    def newest(self) -> pl.DataFrame:
        """The last failing records as they came, those that were still open at the last look too."""
        return pl.concat([self._newest, self._open])

    def _count(self, assembler: Assembler, batch: Batch, order: Order) -> Counted:
        order.see(batch.rows)
        counted = count(self._keep(assembler.take(batch)), order, self._dirs)
        order.forget(assembler.oldest)
        return counted

    def _add(self, parts: Iterable[Summary]) -> None:
        for part in parts:
            self._total = Summary.merge([self._total, part])


class Growing:
    """One source as it grows: blocks go in, the Summary of all so far comes out at any moment.

    How a source is read is decided by its head. Until the head is full it is decided anew with all that has come, so
    that it never depends on how much of it came first.
    """

    def __init__(self, source: Source, catalog: Catalog, options: Options, *, newest: bool = False) -> None:
        self._source, self._catalog, self._options, self._keeps = source, catalog, options, newest
        self._head: list[Block] = []
        self._steps: _Steps | None = None
        self._looked: _Steps | None = None

    def take(self, blocks: Sequence[Block]) -> None:
        """Whole lines that came behind those before them."""
        if self._steps is not None:
            self._steps.take(list(joined(blocks, _BLOCK)))
            return
        self._head += blocks
        if sum(len(b.data) for b in self._head) >= HEAD_BYTES:
            self._steps, self._head = self._begin(), []

    def summary(self, *, ended: bool = False) -> Summary:
        """The tables of all that came; `ended` says that nothing more will."""
        self._looked = self._steps or self._begin()
        return self._looked.summary(ended=ended)

    def newest(self) -> pl.DataFrame:
        """The last failing records by the time of the last summary; none when they were not to be kept."""
        return self._looked.newest() if self._looked is not None else pl.DataFrame(schema=EVENTS)

    def _begin(self) -> _Steps:
        head = b"".join(b.data for b in self._head)[:HEAD_BYTES]
        steps = _Steps(self._source, head, self._catalog, self._options, keeps=self._keeps)
        steps.take(list(joined(self._head, _BLOCK)))
        return steps


class Arrived(Struct, frozen=True):
    """How much has come so far."""

    lines: int
    bytes: int


class Watch:
    """Sources read side by side by threads of their own, until they end or are ended.

    An input is the name of a file, which need not exist yet, or "-" for the open descriptor `pipe`. With `newest` the last
    failing records are kept as they came.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        options: Options,
        *,
        pipe: int | None = None,
        called: str = STDIN,
        newest: bool = False,
    ) -> None:
        self._options = options
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._queues: dict[str, deque[Block]] = {}
        self._running = 0
        self._lines = self._bytes = self._held = 0
        self._failed: list[Exception] = []
        self._growing: dict[str, Growing] = {}
        self._summary = Summary.empty()
        self._files: dict[str, GrowingFile | Pipe] = {}
        catalog, now = catalog_of(folders(options)), datetime.now(UTC)
        names = dict.fromkeys(found for name in inputs for found in _names(name))
        for source in hint_services([Source(name, None, now, BytesIO) for name in names]):
            by_pipe = source.name == STDIN and pipe is not None
            shown = replace(source, name=called) if by_pipe else source
            self._queues[shown.name] = deque()
            self._growing[shown.name] = Growing(shown, catalog, options, newest=newest)
            self._files[shown.name] = (
                Pipe(pipe, self._ended) if by_pipe and pipe is not None else GrowingFile(Path(source.name), self._ended)
            )

    def start(self) -> None:
        """Begin to read."""
        self._running = len(self._files)
        for name, file in self._files.items():
            threading.Thread(target=self._read, args=(name, file), name=f"read {name}", daemon=True).start()

    def end(self) -> None:
        """Read what is there and then no more."""
        self._ended.set()

    def drain(self, seconds: float) -> None:
        """End, and take what is still there, as far as that takes no longer."""
        self.end()
        until = time.monotonic() + seconds
        while not self.over and time.monotonic() < until:
            self.wait(0.1)
            self.take()
        self.take()

    def wait(self, seconds: float) -> bool:
        """Wait for something new, at most that long; whether there is some."""
        with self._changed:
            return self._changed.wait_for(self._is_news, seconds)

    @property
    def over(self) -> bool:
        """Whether all sources have ended and all that came was taken."""
        return self._running == 0 and not any(self._queues.values())

    @property
    def full(self) -> bool:
        """Whether so much waits that it is time to take it."""
        return self._held >= _ROOM // 2

    @property
    def arrived(self) -> Arrived:
        """How much has come."""
        return Arrived(self._lines, self._bytes)

    def take(self) -> None:
        """Read what came into the tables. TriageError or OSError when a source could not be read."""
        with self._changed:
            came = {name: list(queue) for name, queue in self._queues.items()}
            for queue in self._queues.values():
                queue.clear()
            self._held = 0
            self._changed.notify_all()
            if self._failed:
                raise self._failed.pop()
        for name, blocks in came.items():
            if blocks:
                self._growing[name].take(blocks)

    def report(self, *, ended: bool = False, repo: Path | None = None) -> Report:
        """What all that was taken tells; `repo` is the source to look at, which takes its time."""
        options = self._options
        self._summary = Summary.merge([g.summary(ended=ended) for g in self._growing.values()])
        return diagnose(
            self._summary, title=options.title, patterns=options.patterns, repo=repo, baseline=options.baseline
        )

    def newest(self, cluster: str) -> tuple[Evidence, ...]:
        """The newest records of a cluster of the last report, the last one first."""
        events = pl.concat([g.newest() for g in self._growing.values()])
        if events.is_empty():
            return ()
        signed, _ = sign(events, dirs=folders(self._options))
        ids = {key: one for key, (one, _) in folded_clusters(self._summary).items()}
        mine = signed.filter(pl.col("signature").replace(ids) == cluster).sort(
            "at", nulls_last=False, maintain_order=True
        )
        rows = mine.select("source", "line", "message", "stack", "at").rows()[::-1]
        return tuple(Evidence(source, line, _whole(message, stack), at) for source, line, message, stack, at in rows)

    def _is_news(self) -> bool:
        return any(self._queues.values()) or self._running == 0 or bool(self._failed)

    def _read(self, name: str, file: GrowingFile | Pipe) -> None:
        try:
            for block in Stream(name, cast(BinaryIO, file), live=True).blocks():
                said, file.notices = tuple(file.notices), []
                self._put(name, replace(block, notices=(*block.notices, *said)))
        except Exception as problem:  # noqa: BLE001 - it is raised again where it can be told
            self._failed.append(problem)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _put(self, name: str, block: Block) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._held < _ROOM)
            self._queues[name].append(block)
            self._lines += block.lines
            self._bytes += len(block.data)
            self._held += len(block.data)
            self._changed.notify_all()


def _whole(message: str | None, stack: str | None) -> str:
    message = message or ""
    return message if not stack or stack in message else f"{message}\n{stack}"


def _names(name: str) -> list[str]:
    """The files that a folder or a glob stands for now; any other name is itself, whether there is such a file or not."""
    several = name != STDIN and (Path(name).is_dir() or (has_magic(name) and not Path(name).exists()))
    return [s.name for s in open_sources([name])] if several else [name]
