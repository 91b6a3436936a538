"""Inputs that are broken, empty or no logs at all: a clear result or one sentence, and every line accounted for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import triage as api
from conftest import Done, Program
from triage.rendering.escaping import capped
from triage.rendering.redaction import strings

RECORD = "2026-03-02 10:14:07,250 {level} app.orders: order {n} {what}"


def make_text(count: int = 40) -> str:
    return "".join(
        RECORD.format(level="ERROR" if n % 4 == 0 else "INFO", n=n, what="failed" if n % 4 == 0 else "stored") + "\n"
        for n in range(count)
    )


def make_json(count: int = 40) -> str:
    return "".join(
        json.dumps(
            {"timestamp": f"2026-03-02T10:14:{n:02d}Z", "level": "error" if n % 4 == 0 else "info", "message": f"m{n}"}
        )
        + "\n"
        for n in range(count)
    )


def assert_ledger(path: Path) -> None:
    """lines = lines of records + blank + rejected."""
    report = api.analyze([str(path)])
    lines = int(api.read([str(path)]).collect()["lines"].sum() or 0)
    assert report.intake.lines == lines + report.intake.blank + report.intake.rejected


def assert_mistake(done: Done, *words: str) -> None:
    """One sentence and a hint on stderr, nothing on stdout, exit code 2."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("triage: ")
    assert "\n  try: " in done.err
    assert len(done.err.splitlines()) == 2
    for word in words:
        assert word in done.err


def test_a_missing_file_is_the_users_mistake(triage: Program, tmp_path: Path) -> None:
    assert_mistake(triage("analyze", tmp_path / "gone.log"), "gone.log")


def test_a_missing_file_is_named_even_among_others(triage: Program, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text(make_text())
    assert_mistake(triage("analyze", tmp_path / "app.log", tmp_path / "gone.log"), "gone.log")


def test_a_folder_without_logs_is_the_users_mistake(triage: Program, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    assert_mistake(triage("analyze", tmp_path), tmp_path.name)


def test_a_glob_without_a_match_is_the_users_mistake(triage: Program, tmp_path: Path) -> None:
    assert_mistake(triage("analyze", tmp_path / "*.log"))


def test_an_unknown_input_format_is_the_users_mistake(triage: Program, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text(make_text())
    assert_mistake(triage("analyze", tmp_path / "app.log", "--input-format", "nonsense"), "nonsense")


def test_inputs_without_records_are_analysed_and_say_so(triage: Program, tmp_path: Path) -> None:
    for n, content in enumerate((b"", b"\n", b"\n\n  \n\n", b"\xef\xbb\xbf", b"[]\n", b"[\n]\n")):
        (tmp_path / f"{n}.log").write_bytes(content)
    done = triage("analyze", tmp_path, "--format", "json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["counts"]["records"] == 0
    assert report["counts"]["error_rate"] == 0
    assert "record" in report["headline"]
    assert_ledger(tmp_path)


def test_an_empty_pipe_is_analysed_and_says_so(triage: Program) -> None:
    done = triage("analyze", stdin=b"")
    assert (done.code, done.err) == (0, "")
    assert "record" in done.out


def spoil_with_nothing(text: str) -> bytes:
    return text.encode()


def spoil_with_crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def spoil_with_a_byte_order_mark(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.encode()


def spoil_with_utf16(text: str) -> bytes:
    return text.encode("utf-16")


def spoil_with_no_last_newline(text: str) -> bytes:
    return text.rstrip("\n").encode()


def spoil_with_blank_lines(text: str) -> bytes:
    return text.replace("\n", "\n\n").encode()


HARMLESS = (
    spoil_with_nothing,
    spoil_with_crlf,
    spoil_with_a_byte_order_mark,
    spoil_with_utf16,
    spoil_with_no_last_newline,
    spoil_with_blank_lines,
)


def test_encoding_and_line_ends_change_no_figure(tmp_path: Path) -> None:
    for spoil in HARMLESS:
        (tmp_path / f"text-{spoil.__name__}.log").write_bytes(spoil(make_text()))
    for spoil in (spoil_with_crlf, spoil_with_utf16):
        (tmp_path / f"json-{spoil.__name__}.log").write_bytes(spoil(make_json()))
    report = api.analyze([str(tmp_path)])
    assert {i.name: i.records for i in report.inputs} == {str(p): 40 for p in tmp_path.iterdir()}
    assert report.counts.errors == 10 * len(report.inputs)
    assert_ledger(tmp_path)


def test_invalid_utf8_and_nul_bytes_stay_in_their_records(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = make_text().encode().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"failed", b"fail\xff\xfe\xc3(ed")
    lines[8] = lines[8].replace(b"failed", b"fail\x00\x00ed")
    path.write_bytes(b"".join(lines))
    done = triage("analyze", path, "--format", "json")
    assert done.code == 0
    assert json.loads(done.out)["counts"]["records"] == 40
    assert "\x00" not in triage("analyze", path).out
    assert_ledger(path)


def test_binary_junk_invents_no_incident(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(Random(5).randbytes(300_000))
    done = triage("analyze", path, "--format", "json")
    assert done.code == 0
    report = json.loads(done.out)
    assert report["incidents"] == []
    assert report["counts"]["errors"] == 0
    assert_ledger(path)


def test_broken_json_lines_are_counted_and_the_rest_is_read(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = make_json().splitlines()
    lines[10] = lines[10][:30]
    lines[20] = "{"
    path.write_text("\n".join(lines) + "\n")
    report = json.loads(triage("analyze", path, "--format", "json").out)
    assert report["intake"]["rejected"] == 2
    assert report["counts"]["records"] >= 38
    assert_ledger(path)


def test_a_json_array_that_is_cut_off_keeps_what_was_whole(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.json"
    whole = json.dumps([json.loads(line) for line in make_json().splitlines()], indent=2)
    path.write_text(whole[:-60])
    done = triage("analyze", path, "--format", "json")
    assert done.code == 0
    report = json.loads(done.out)
    assert 38 <= report["counts"]["records"] <= 41
    assert report["intake"]["rejected"] > 0
    assert_ledger(path)


def test_a_gzip_file_that_is_cut_off_keeps_what_could_be_read_and_says_so(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.log.gz"
    packed = gzip.compress(make_text(5000).encode(), mtime=0)
    path.write_bytes(packed[: len(packed) // 2])
    done = triage("analyze", path, "--format", "json")
    assert done.code == 0
    report = json.loads(done.out)
    assert 0 < report["counts"]["records"] < 5000
    assert any("early" in notice for notice in report["intake"]["notices"])
    assert_ledger(path)


def test_a_line_of_50_megabytes_is_cut_and_its_neighbours_are_read(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with path.open("w") as out:
        out.write(make_text())
        out.write(RECORD.format(level="ERROR", n=7, what="x" * 50_000_000) + "\n")
        out.write(make_text())
    done = triage("analyze", path, "--format", "json")
    assert done.code == 0
    report = json.loads(done.out)
    assert report["counts"]["records"] == 81
    assert report["counts"]["errors"] == 21
    assert report["intake"]["lines"] == 81
    assert report["intake"]["notices"]
    assert len(done.out) < 1_000_000


def test_no_text_of_a_report_is_longer_than_4000_characters_and_no_half_secret_is_left(
    triage: Program, tmp_path: Path
) -> None:
    path = tmp_path / "long.log"
    secret = "hunter" + "7z" * 20
    padding = "x " * 1980
    lines = [f"2026-03-02 10:14:{n:02d},250 ERROR app.orders: {padding} password={secret} {padding}" for n in range(9)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for form in ("json", "md", "html"):
        text = triage("analyze", path, "--format", form).out
        assert secret[:12] not in text
        assert len(text) < 60_000
    found = list(strings(json.loads(triage("analyze", path, "--format", "json").out)))
    assert max(map(len, found)) == 4000
    assert all(text.endswith("…") for text in found if len(text) == 4000)


def test_of_a_long_text_of_several_lines_the_end_stays() -> None:
    text = "".join(f"  frame {n}\n" for n in range(2000)) + "KeyError: 'k'"
    cut = capped(text)
    assert len(cut) == 4000
    assert cut.startswith("  frame 0\n")
    assert cut.endswith("frame 1999\nKeyError: 'k'")
    assert capped(cut) == cut


def test_a_log_without_time_stamps_is_analysed_without_a_window(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(f"{'ERROR' if n % 4 == 0 else 'INFO'}: job {n} of the night\n" for n in range(40)))
    done = triage("analyze", path, "--format", "json")
    assert done.code == 0
    report = json.loads(done.out)
    assert report["window"] is None
    assert (report["counts"]["records"], report["counts"]["errors"]) == (40, 10)
    assert report["intake"]["undated"] == 40
    outputs = [word for suffix in ("md", "html") for word in ("-o", tmp_path / f"report.{suffix}")]
    assert triage("analyze", path, *outputs).code == 0
    assert_ledger(path)


def test_prose_is_no_incident(triage: Program, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("A long time ago there was a program.\nIt had no errors, or so its author said.\n\nThe end.\n" * 20)
    done = triage("analyze", path, "--format", "json")
    assert done.code == 0
    assert json.loads(done.out)["incidents"] == []
    assert_ledger(path)


def test_no_input_ends_in_a_traceback_of_ours(triage: Program, tmp_path: Path) -> None:
    random = Random(11)
    for n in range(8):
        spoiled = bytearray((make_json if n % 2 else make_text)(20).encode())
        for _ in range(n * 12):
            spoiled[random.randrange(len(spoiled))] = random.randrange(256)
        (tmp_path / f"{n}.log").write_bytes(bytes(spoiled))
    analysed, listed = triage("analyze", tmp_path, "--format", "json"), triage("records", tmp_path)
    assert (analysed.code, analysed.err, listed.code, listed.err) == (0, "", 0, "")
    intake, rows = json.loads(analysed.out)["intake"], [json.loads(line) for line in listed.out.splitlines()]
    assert intake["lines"] == sum(r["lines"] for r in rows) + intake["blank"] + intake["rejected"]
