"""Names to blocks: globs, folders, packed and damaged files, encodings, huge lines, names of services."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.errors import TriageError
from triage.intake import sources
from triage.intake.sources import Block, Source, Stream, cut_lines, open_sources

TEXT = b"".join(b"line %d of a log\n" % n for n in range(2000))


def read(source: Source, size: int = 4096) -> bytes:
    return b"".join(block.data for block in source.blocks(size))


def notices(source: Source) -> list[str]:
    return [n for block in source.blocks() for n in block.notices]


def test_a_file_comes_back_whole_in_blocks_of_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(TEXT)
    [source] = open_sources([str(path)])
    blocks = list(source.blocks(1000))
    assert b"".join(b.data for b in blocks) == TEXT
    assert all(b.data.endswith(b"\n") for b in blocks)
    assert [b.line for b in blocks] == [1 + sum(x.lines for x in blocks[:n]) for n in range(len(blocks))]
    assert (source.name, source.size) == (str(path), len(TEXT))


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
def test_packed_files_are_known_by_their_content_not_their_name(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "packed.log"
    assert callable(pack)
    path.write_bytes(pack(TEXT) + pack(b"a second member\n"))
    [source] = open_sources([str(path)])
    assert read(source) == TEXT + b"a second member\n"
    assert notices(source) == []


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_what_could_be_read_of_a_cut_archive_is_kept_and_said(tmp_path: Path, pack: object) -> None:
    noise = b"".join(b"%d %s\n" % (n, os.urandom(20).hex().encode()) for n in range(30000))
    path = tmp_path / "cut.gz"
    assert callable(pack)
    packed = pack(noise)
    path.write_bytes(packed[: len(packed) * 9 // 10])
    [source] = open_sources([str(path)])
    got = read(source)
    assert noise.startswith(got)
    assert len(got) > 0
    assert any("ends early" in n for n in notices(source))


def test_damage_in_the_middle_of_an_archive_ends_it_with_a_notice(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(os.urandom(200_000)))
    packed[100_000:100_020] = b"\xff" * 20
    path = tmp_path / "bad.gz"
    path.write_bytes(bytes(packed))
    [source] = open_sources([str(path)])
    list(source.blocks())
    assert any("ends early" in n for n in notices(source))


def test_a_missing_file_is_one_sentence_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "application.log").write_text("x\n")
    with pytest.raises(TriageError, match="no such file: ") as problem:
        open_sources([str(tmp_path / "aplication.log")])
    assert "application.log" in problem.value.hint


def test_a_folder_gives_its_log_like_files_also_rotated_and_packed_ones(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in (
        "a.log",
        "a.log.1",
        "a.log.2.gz",
        "deep/b.jsonl",
        "deep/c-2026-03-01.log",
        "picture.png",
        "notes.md",
        ".hidden.log",
    ):
        (tmp_path / name).write_text("x\n")
    names = {Path(s.name).name for s in open_sources([str(tmp_path)])}
    assert names == {"a.log", "a.log.1", "a.log.2.gz", "b.jsonl", "c-2026-03-01.log"}


def test_a_folder_without_logs_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_text("x")
    with pytest.raises(TriageError, match="no log files"):
        open_sources([str(tmp_path)])


def test_a_glob_finds_files_in_order_and_none_twice(tmp_path: Path) -> None:
    for name in ("b.log", "a.log"):
        (tmp_path / name).write_text("x\n")
    sources = open_sources([str(tmp_path / "*.log"), str(tmp_path / "a.log")])
    assert [Path(s.name).name for s in sources] == ["a.log", "b.log"]
    with pytest.raises(TriageError, match="no file matches"):
        open_sources([str(tmp_path / "*.nothing")])


def test_a_pipe_is_read_without_seeking() -> None:
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as out:
            for _ in range(5):
                out.write(TEXT)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        [source] = open_sources(["-"], stdin=pipe)
        assert source.size is None
        assert read(source) == TEXT * 5
    thread.join()


def test_looking_at_the_head_takes_nothing_away() -> None:
    stream = Stream("-", io.BytesIO(TEXT))
    assert TEXT.startswith(stream.head(100))
    assert b"".join(b.data for b in stream.blocks()) == TEXT


def test_a_huge_line_keeps_its_first_part_and_says_what_it_lost() -> None:
    data = b"first\n" + b"x" * 5_000_000 + b"\nlast\n"
    blocks = list(Stream("big", io.BytesIO(data)).blocks(1 << 16, cap=2_000_000))
    lines = b"".join(b.data for b in blocks).split(b"\n")
    assert (lines[0], lines[2]) == (b"first", b"last")
    assert 1_000_000 <= len(lines[1]) <= 3_100_000
    assert sum(b.lines for b in blocks) == 3
    [said] = [n for b in blocks for n in b.notices]
    assert "line 2 is too long" in said


def test_a_huge_last_line_is_cut_too() -> None:
    blocks = list(Stream("big", io.BytesIO(b"x" * 6_000_000)).blocks(1 << 16, cap=2_000_000))
    assert sum(len(b.data) for b in blocks) <= 3_100_000
    assert sum(b.lines for b in blocks) == 1
    assert any("too long" in n for b in blocks for n in b.notices)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_with_a_mark_becomes_utf_8(encoding: str) -> None:
    mark = {"utf-16": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[encoding]
    data = mark + "ERROR: Größe\r\nnächste\r\n".encode(encoding)
    assert b"".join(Stream("-", io.BytesIO(data)).chunks()).decode() == "ERROR: Größe\r\nnächste\r\n"


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert b"".join(Stream("-", io.BytesIO(b"\xef\xbb\xbfINFO: x\n")).chunks()) == b"INFO: x\n"


def test_an_empty_input_has_no_blocks() -> None:
    assert list(Stream("-", io.BytesIO(b"")).blocks()) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 200))
def test_blocks_lose_nothing_whatever_their_size(parts: list[bytes], size: int) -> None:
    data = b"\n".join(
        p.replace(b"\xff", b"").replace(b"\xef", b"").replace(b"\x1f", b"").replace(b"\xfe", b"") for p in parts
    )
    if data[:3] == b"BZh" or data[:1] in (b"\x28", b"\xfd"):
        data = b"_" + data
    blocks: list[Block] = list(Stream("-", io.BytesIO(data)).blocks(size))
    assert b"".join(b.data for b in blocks) == data
    assert sum(b.lines for b in blocks) == data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0)


def hints(tmp_path: Path, *names: str) -> dict[str, tuple[str | None, str | None]]:
    for name in names:
        (tmp_path / name).write_text("x\n")
    return {
        Path(s.name).name: (s.service_hint, s.instance_hint) for s in open_sources([str(tmp_path / n) for n in names])
    }


def test_services_are_what_the_names_do_not_share(tmp_path: Path) -> None:
    got = hints(tmp_path, "prod.gateway.jsonl", "prod.order-service.jsonl", "prod.http.jsonl")
    assert got["prod.gateway.jsonl"] == ("gateway", None)
    assert got["prod.order-service.jsonl"] == ("order-service", None)
    assert got["prod.http.jsonl"] == (None, None)


def test_a_single_file_has_no_service_unless_a_platform_named_it(tmp_path: Path) -> None:
    assert hints(tmp_path, "app.log")["app.log"] == (None, None)
    name = "3f2a9b1c0d4e-vault-json.log"
    assert hints(tmp_path, name)[name] == ("vault", None)


def test_container_log_names_give_workload_and_pod(tmp_path: Path) -> None:
    long = "orders-6d5f9c7b8-x2x9k_prod_orders-" + "ab" * 32 + ".log"
    short = "ingress-c2b47006d3_prod_nginx.log"
    got = hints(tmp_path, long, short)
    assert got[long] == ("orders", "orders-6d5f9c7b8-x2x9k")
    assert got[short] == ("nginx", "ingress-c2b47006d3")


def test_numbered_files_are_instances_of_one_service(tmp_path: Path) -> None:
    got = hints(tmp_path, "web-1.log", "web-2.log")
    assert got == {"web-1.log": ("web", "web-1"), "web-2.log": ("web", "web-2")}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from((0, 1, 7, 60, 300, 2_000)), max_size=60),
    bom=st.booleans(),
    ends=st.booleans(),
    size=st.integers(5, 900),
    part=st.integers(1, 5_000),
)
def test_parts_of_a_file_are_read_in_one_go_as_they_are_in_chunks(
    tmp_path: Path, sizes: list[int], bom: bool, ends: bool, size: int, part: int
) -> None:
    path = tmp_path / "app.log"
    lines = b"\n".join(b"%d" % (n % 10) * length for n, length in enumerate(sizes))
    path.write_bytes((codecs.BOM_UTF8 if bom else b"") + lines + (b"\n" if ends and lines else b""))
    (source,) = open_sources([str(path)])
    parts = cut_lines(source, part)

    def read() -> list[list[tuple[bytes, int]]]:
        found = []
        for one in parts:
            blocks = list(source.open(one).blocks(size))
            assert [b.line for b in blocks[1:]] == [b.line + b.lines for b in blocks[:-1]]
            found.append([(b"".join(b.data for b in blocks), sum(b.lines for b in blocks))])
        return found

    in_one_go = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources._Window, "is_regular", False)
        assert in_one_go == read()
