"""Reading from the middle of a source: the rows that may belong to records in front of it are put aside for who read those."""

from __future__ import annotations

import polars as pl

from triage.intake.traces import BARE, COMPLETE, STREAM, Assembler, stream_of

BORDER = "\x00border"  # the format of rows that only show where a record begins, and are no records themselves
_PUT_ASIDE = 20_000  # rows beyond which it is no use
_TRIES = 64  # rows of one stream that are looked at in a batch for one that surely starts a record


class Opening:
    """The rows of every stream up to the first one that starts a record whatever was before it are put aside.

    Behind that row a stream reads the same whoever reads it; it passes, and is put aside as a BORDER too. Rows that are
    records of their own pass, unless they stand between others that do not.
    """

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._count = 0
        self._begun: set[int] = set()
        self._open: set[int] = set()
        self._touched: set[int] = set()
        self._height = 0
        self.bare: set[int] = set()  # streams of which bare text passed

    @property
    def hopeless(self) -> bool:
        """Whether so much had to be put aside that the source is better read from its start."""
        return self._height > _PUT_ASIDE

    @property
    def count(self) -> int:
        """How many rows it was given."""
        return self._count

    def take(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """The rows that pass and those that are put aside, with their places in `_pos`."""
        place = pl.int_range(self._count, self._count + rows.height, dtype=pl.Int64)
        rows = rows.with_columns_seq(place.alias("_pos"), stream_of(rows).alias(STREAM))
        self._count += rows.height
        if not rows.height:
            return rows, None
        looked = rows.select_seq(key=STREAM, bare=BARE, complete=COMPLETE)
        streams = set(looked["key"].unique().to_list())
        new = streams - self._begun
        if idle := new & self._touched - self._open:  # streams that held nothing but records of their own so far
            new -= idle - set(looked.filter(~pl.col("complete"))["key"].unique().to_list())
        passing, aside = self._put_aside(rows, looked, new) if new else (rows, None)
        bare = looked.select_seq(pl.col("bare") & ~pl.col("complete")).to_series()
        if bare.any():
            self.bare.update(looked["key"].filter(bare).unique().to_list())
        return passing, aside

    def _put_aside(
        self, rows: pl.DataFrame, looked: pl.DataFrame, new: set[int]
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        places = looked.with_columns_seq(n=pl.int_range(pl.len(), dtype=pl.Int64)).filter(
            pl.col("key").is_in(list(new))
        )
        firsts = places.group_by("key", maintain_order=True).agg(
            first=pl.col("n").first(),
            opened=pl.col("n").filter(~pl.col("complete")).first(),
            heads=pl.col("n").filter(~pl.col("complete") & ~pl.col("bare")).head(_TRIES),
        )
        starts = self._starts(rows, firsts)
        borders: list[int] = []
        aside = pl.Series("aside", [False]).extend_constant(False, rows.height - 1)
        key, number = places["key"], places["n"]
        for stream, first, opened, _ in firsts.iter_rows():
            start = starts.get(stream)
            if opened is None and stream not in self._open:  # nothing but records of their own
                if stream not in self._touched:
                    borders.append(first)
                self._touched.add(stream)
                continue
            begin = first if stream in self._open else opened
            end = rows.height if start is None else start
            if begin < end:
                mine = number.filter((key == stream) & (number >= begin) & (number < end))
                aside = aside.scatter(mine, True)
                before = number.filter((key == stream) & (number < begin))
                borders += [before[-1]] if len(before) else []
            if start is None:
                self._open.add(stream)
                continue
            borders.append(start)
            self._begun.add(stream)
            self._open.discard(stream)
        found = [rows.filter(aside)] if aside.any() else []
        if borders:
            found.append(rows[sorted(borders)].with_columns_seq(format=pl.lit(BORDER)))
        self._height += sum(frame.height for frame in found)
        out = pl.concat(found).sort("_pos", maintain_order=True) if found else None
        return (rows.filter(~aside) if aside.any() else rows), out

    def _starts(self, rows: pl.DataFrame, firsts: pl.DataFrame) -> dict[int, int]:
        """For each stream the first of its heads that surely starts a record, where there is one."""
        starts: dict[int, int] = {}
        left = firsts.select_seq("key", "heads")
        for n in range(_TRIES):
            left = left.filter(pl.col("heads").list.len() > n)
            if not left.height:
                break
            tried = left.select_seq("key", n=pl.col("heads").list.get(n))
            sure = self._assembler.start_surely(rows[tried["n"]])
            starts.update(tried.filter(sure).iter_rows())
            left = left.filter(~sure)
        return starts
