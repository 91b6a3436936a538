"""The command line: what goes to stdout, to stderr and into files, exit codes, signals and closed pipes."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

import triage as api
from conftest import ROOT, SAMPLES, Done, Program
from triage import cli
from triage.cli.options import MAPPED as NAMED
from triage.cli.options import read_mapping
from triage.rendering import redaction
from triage.schema import SIGNED

RUN = [sys.executable, "-c", "from triage.cli import main; main()"]
CRASH_LOOP = SAMPLES / "railway-cache-import"
COMMANDS = (
    "analyze",
    "watch",
    "records",
    "summarize",
    "report",
    "diff",
    "verify",
    "show",
    "patterns list",
    "patterns show",
    "patterns test",
    "patterns detect",
)
COLUMNS = (
    *(
        [
            "source",
            "line",
            "lines",
            "at",
            "level",
            "service",
            "instance",
            "deployment",
            "trace",
            "logger",
            "message",
            "stack",
            "exception",
            "template",
        ]
    ),
    *(["signature", "cluster", "method", "route", "status", "latency_ms", "exit_code", "fields"]),
)


def make_log(folder: Path, *, errors: int = 3) -> Path:
    """A small log, one line in four an error until `errors` are reached."""
    path = folder / "app.log"
    with path.open("w") as out:
        for n in range(40):
            bad = n % 4 == 3 and n // 4 < errors
            out.write(
                f"2026-03-02 10:14:{n:02d},250 {'ERROR' if bad else 'INFO'} app.orders: "
                f"{'cannot store order: KeyError' if bad else 'stored order'} {n}\n"
            )
    return path


def assert_mistake(done: Done, *words: str) -> None:
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("triage: ")
    for word in words:
        assert word in done.err


# ------------------------------------------------------------------------------------------------ help


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(triage: Program, command: str) -> None:
    done = triage(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: triage {command}".rstrip())


def test_the_program_without_a_command_shows_its_help(triage: Program) -> None:
    assert triage() == triage("--help")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from triage import cli; cli.run(['--help']); cli.run(['analyze', '--help']);"
        "print({'polars', 'rich', 'jinja2', 'yaml'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(triage: Program, command: str) -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.split(f"\n## triage {command.split()[0]}\n", 1)[1].split("\n## triage", 1)[0]
    shared = page.split("\n## Options that several commands share\n", 1)[1].split("\n## ", 1)[0]
    options = {word.strip(",") for word in triage(*command.split(), "--help").out.split() if word.startswith("--")}
    assert f"triage {command}" in section
    assert {o for o in options - {"--help"} if f"`{o}" not in section + shared} == set()


def test_the_version_is_that_of_the_package(triage: Program) -> None:
    assert triage("--version").out.startswith("triage 0.")


# ------------------------------------------------------------------------------------------------ mistakes


def test_no_input_at_all_is_a_mistake_with_a_hint(triage: Program) -> None:
    assert_mistake(triage("analyze"), "no input", "kubectl logs")


def test_a_file_in_place_of_a_command_gets_the_command_that_was_meant(triage: Program, tmp_path: Path) -> None:
    path = make_log(tmp_path)
    assert_mistake(triage(path), f"try: triage analyze {path}")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["analyze", "{log}", "-o", "report.pdf"], ["report.pdf", ".md, .html or .json"]),
        (["analyze", "{log}", "-o", "{log}/x/report.md"], ["report.md"]),
        (["analyze", "{log}", "-o", "missing/report.md"], ["missing"]),
        (["analyze", "{log}", "--format", "pdf"], ["--format", "pdf"]),
        (["analyze", "{log}", "--fail-on", "P7"], ["P7"]),
        (["analyze", "{log}", "--nonsense"], ["--nonsense"]),
        (["analyze", "{log}", "--tz", "Mars/Base"], ["Mars/Base"]),
        (["analyze", "{log}", "--map", "level"], ["level=sev", "oops=error"]),
        (["analyze", "{log}", "--map", "oops=nonsense"], ["nonsense"]),
        (["analyze", "{log}", "--since", "teatime"], ["teatime"]),
        (["analyze", "{log}", "--repo", "missing"], ["missing"]),
        (["analyze", "{log}", "--patterns", "missing"], ["missing"]),
        (["records", "{log}", "-o", "frame.xlsx"], ["frame.xlsx", ".parquet"]),
        (["summarize", "{log}"], ["-o app.summary"]),
        (["summarize", "{log}", "-o", "app.json"], [".summary"]),
        (["report", "missing.summary"], ["missing.summary"]),
        (["report", "{log}"], ["app.log"]),
        (["patterns", "show", "nonsense"], ["nonsense"]),
        (["anal"], ["anal"]),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    triage: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: list[str]
) -> None:
    log = make_log(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert_mistake(triage(*(a.format(log=log.name) for a in args)), *words)


def test_an_output_never_overwrites_an_input(triage: Program, tmp_path: Path) -> None:
    log = make_log(tmp_path).rename(tmp_path / "logs.json")
    before = log.read_bytes()
    assert_mistake(triage("analyze", log, "-o", log), "overwritten")
    assert log.read_bytes() == before


def test_a_fault_of_ours_is_a_sentence_unless_more_is_asked_for(
    triage: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("made\nup")

    monkeypatch.setattr("triage.engine.analyze", fail)
    log = make_log(tmp_path)
    done = triage("analyze", log)
    assert (done.code, done.out) == (70, "")
    assert done.err.startswith("triage: internal error, please report it: ZeroDivisionError: made up\n")
    assert "Traceback" not in done.err
    assert "test_cli.py" in triage("analyze", log, "--verbose").err


# ------------------------------------------------------------------------------------------------ what comes out


def test_stdout_is_plain_text_where_it_is_no_terminal(triage: Program, tmp_path: Path) -> None:
    done = triage("analyze", make_log(tmp_path))
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert done.out.endswith("\n")


def test_a_terminal_gets_colour_unless_the_environment_refuses(
    triage: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "90")
    coloured = triage("analyze", log, terminal=True).out
    assert "\x1b[" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = triage("analyze", log, terminal=True).out
    assert "\x1b[3" not in plain
    assert max(len(line) for line in plain.splitlines()) <= 90


def test_the_format_decides_what_stdout_gets(triage: Program, tmp_path: Path) -> None:
    log = make_log(tmp_path)
    assert json.loads(triage("analyze", log, "--format", "json").out)["schema"] == "triage.report/1"
    assert triage("analyze", log, "--format", "md").out.startswith("# ")
    assert "<html" in triage("analyze", log, "--format", "HTML").out


def test_outputs_are_written_by_suffix_next_to_what_stdout_gets(triage: Program, tmp_path: Path) -> None:
    log, files = make_log(tmp_path), [tmp_path / f"report.{suffix}" for suffix in ("md", "html", "json")]
    done = triage("analyze", log, *(word for f in files for word in ("-o", f)))
    assert done.code == 0
    assert done.out == triage("analyze", log).out
    assert done.err.splitlines() == [f"wrote {f}" for f in files]
    assert files[0].read_text(encoding="utf-8") == triage("analyze", log, "--format", "md").out
    assert "<html" in files[1].read_text(encoding="utf-8")
    assert json.loads(files[2].read_text(encoding="utf-8"))["schema"] == "triage.report/1"


def test_quiet_with_an_output_says_nothing(triage: Program, tmp_path: Path) -> None:
    log, report = make_log(tmp_path), tmp_path / "report.json"
    assert triage("analyze", log, "--quiet", "-o", report) == Done(0, "", "")
    assert report.is_file()


def test_verbose_says_how_each_input_was_read(triage: Program, tmp_path: Path) -> None:
    log = make_log(tmp_path)
    done = triage("analyze", log, "--verbose")
    assert f"{log}: " in done.err
    assert "40 records" in done.err


def test_standard_input_gives_what_the_file_gives(triage: Program, tmp_path: Path) -> None:
    log = make_log(tmp_path)
    piped = json.loads(triage("analyze", "--format", "json", stdin=log.read_bytes()).out)
    named = json.loads(triage("analyze", log, "--format", "json").out)
    assert piped["inputs"][0]["name"] == "-"
    assert (piped["counts"], piped["severity"], piped["window"]) == (
        named["counts"],
        named["severity"],
        named["window"],
    )
    assert [f["id"] for f in piped["failures"]] == [f["id"] for f in named["failures"]]


def test_the_title_is_the_users(triage: Program, tmp_path: Path) -> None:
    done = triage("analyze", make_log(tmp_path), "--title", "The night of the orders", "--format", "md")
    assert "The night of the orders" in done.out.splitlines()[0]


def test_a_time_span_leaves_out_the_rest(triage: Program, tmp_path: Path) -> None:
    log = make_log(tmp_path)
    cut = ("--since", "2026-03-02T10:14:10", "--until", "2026-03-02T10:14:20", "--format", "json")
    assert json.loads(triage("analyze", log, *cut).out)["counts"]["records"] == 10
    ago = ("--since", "10s", "--format", "json")
    assert json.loads(triage("analyze", log, *ago).out)["counts"]["records"] == 11


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [("P0", "P2", 1), ("P1", "p1", 1), ("P2", "P1", 0), ("P3", "P3", 1), (None, "P3", 0)],
)
def test_fail_on_is_reached_by_that_severity_and_worse(
    triage: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, severity: str | None, fail_on: str, code: int
) -> None:
    report = replace(api.analyze(make_log(tmp_path)), severity=severity)
    monkeypatch.setattr("triage.engine.analyze", lambda *_, **__: report)
    done = triage("analyze", tmp_path / "app.log", "--fail-on", fail_on)
    assert done.code == code
    assert done.out


def test_the_same_input_gives_the_same_bytes(triage: Program) -> None:
    assert triage("analyze", CRASH_LOOP) == triage("analyze", CRASH_LOOP)


# ------------------------------------------------------------------------------------------------ records, summaries


def test_records_are_json_lines_on_stdout(triage: Program, tmp_path: Path) -> None:
    done = triage("records", make_log(tmp_path))
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, done.err, len(rows)) == (0, "", 40)
    assert tuple(rows[0]) == COLUMNS
    assert (rows[3]["line"], rows[3]["level"]) == (4, "ERROR")
    assert rows[3]["at"].startswith("2026-03-02T10:14:03.25")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_records_are_written_by_suffix(triage: Program, tmp_path: Path, suffix: str) -> None:
    log, path = make_log(tmp_path), tmp_path / f"frame.{suffix}"
    assert triage("records", log, "-o", path) == Done(0, "", f"wrote {path}\n")
    readers: dict[str, Callable[[Path], pl.LazyFrame]] = {
        "parquet": pl.scan_parquet,
        "jsonl": pl.scan_ndjson,
        "csv": pl.scan_csv,
    }
    frame = readers[suffix](path).collect()
    assert tuple(frame.columns) == COLUMNS
    assert frame["line"].to_list() == list(range(1, 41))
    if suffix == "parquet":
        assert frame.equals(api.read([str(log)]).collect())


def test_records_of_an_empty_log_are_a_file_without_rows(triage: Program, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"")
    assert triage("records", tmp_path / "app.log", "-o", tmp_path / "frame.parquet").code == 0
    frame = pl.read_parquet(tmp_path / "frame.parquet")
    assert frame.height == 0
    assert tuple(frame.columns) == COLUMNS
    assert frame.schema["at"] == SIGNED["at"]


def test_summaries_of_two_hosts_give_the_report_of_both_logs(triage: Program, tmp_path: Path) -> None:
    files = sorted(CRASH_LOOP.iterdir())
    parts = []
    for n, path in enumerate(files):
        parts.append(tmp_path / f"{n}.summary")
        assert triage("summarize", path, "-o", parts[-1]) == Done(0, "", f"wrote {parts[-1]}\n")
    merged = json.loads(triage("report", *parts, "--format", "json").out)
    whole = json.loads(triage("analyze", *files, "--format", "json").out)
    for key in ("counts", "http", "exits", "severity", "window"):
        assert merged[key] == whole[key]
    assert {f["id"]: f["count"] for f in merged["failures"]} == {f["id"]: f["count"] for f in whole["failures"]}


# ------------------------------------------------------------------------------------------------ patterns


def test_patterns_are_listed_by_kind(triage: Program) -> None:
    kinds = {line.split()[0] for line in triage("patterns", "list").out.splitlines()}
    assert kinds == {"formats", "traces", "masks", "marks", "rules", "redact", "source"}
    assert {line.split()[0] for line in triage("patterns", "list", "traces").out.splitlines()} == {"traces"}


def test_a_pattern_is_shown_as_the_file_it_is(triage: Program) -> None:
    done = triage("patterns", "show", "railway")
    assert done.code == 0
    assert (ROOT / "patterns" / "formats" / "railway.yaml").read_text(encoding="utf-8").strip() in done.out


def test_the_samples_of_our_patterns_hold(triage: Program) -> None:
    done = triage("patterns", "test")
    assert (done.code, done.err) == (0, ""), done.out


def test_an_example_of_redaction_that_does_not_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert redaction.check_samples() == []
    monkeypatch.setattr(redaction, "redact", lambda text: text)
    said = "\n".join(redaction.check_samples())
    assert "redact: cookie: 'Cookie: sid=abc; theme=dark' keeps its secret" in said


def test_map_tells_a_field_from_a_level_word() -> None:
    pairs = ["level=sev", "time=meta.when", "oops=error", " status = code "]
    assert read_mapping(pairs) == ({"level": "sev", "time": "meta.when", "status": "code"}, {"oops": "error"})


def test_map_fields_are_those_that_reading_knows() -> None:
    from triage.intake.detection import MAPPED

    assert set(MAPPED) == NAMED


def test_a_sample_that_does_not_hold_is_named(triage: Program, tmp_path: Path) -> None:
    (tmp_path / "formats").mkdir()
    text = (ROOT / "patterns" / "formats" / "railway.yaml").read_text(encoding="utf-8")
    (tmp_path / "formats" / "ours.yaml").write_text(
        text.replace("name: railway\n", "name: ours\n").replace("samples:", "samples: []\nwas:")
    )
    done = triage("patterns", "test", tmp_path)
    assert done.code in (1, 2)
    assert "ours" in done.out + done.err


def test_patterns_come_from_the_environment_too(
    triage: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules").mkdir()
    monkeypatch.setenv("TRIAGE_PATTERNS", str(tmp_path))
    assert triage("patterns", "list").code == 0
    monkeypatch.setenv("TRIAGE_PATTERNS", str(tmp_path / "missing"))
    assert_mistake(triage("analyze", make_log(tmp_path)), "missing")


def test_detect_says_why(triage: Program, tmp_path: Path) -> None:
    done = triage("patterns", "detect", make_log(tmp_path), CRASH_LOOP / "logs.http.jsonl")
    assert done.code == 0
    assert "railway" in done.out.splitlines()[1]


# ------------------------------------------------------------------------------------------------ signals and pipes


def start(*args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*RUN, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until_it_reads(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Write more than a pipe holds: when that is through, the program is reading."""
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    left = text * (1 + 300_000 // len(text))
    while left:
        select.select([], [process.stdin], [], 30)
        left = left[os.write(process.stdin.fileno(), left[:4096]) :]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_stream_and_the_report_is_still_written(tmp_path: Path, number: signal.Signals) -> None:
    process = start("analyze", "--format", "json", "-o", str(tmp_path / "report.md"))
    wait_until_it_reads(process, make_log(tmp_path).read_bytes())
    process.send_signal(number)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()  # stdin stays open: nothing but the signal ended the stream
    assert process.wait() == 0, err
    assert json.loads(out)["counts"]["records"] > 1000
    assert (tmp_path / "report.md").is_file()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_a_slow_stream_is_counted_in_flat_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches of a line each are made into tables before they weigh more than what is in them."""
    from triage import counting
    from triage.engine import summarize

    held: list[int] = []
    tables = counting.summarize_counted

    def counted(batches: Sequence[counting.Counted], *rest: Any) -> Any:
        held.append(len(batches))
        return tables(batches, *rest)

    class Slow(io.RawIOBase):
        left = 30

        def readable(self) -> bool:
            return True

        def read(self, _size: int = -1) -> bytes:
            self.left -= 1
            return b"2026-03-02T10:14:07Z ERROR cannot reach db\n" if self.left >= 0 else b""

    monkeypatch.setattr(counting, "summarize_counted", counted)
    monkeypatch.setattr(counting, "_BATCHES", 10)
    summary = summarize(["-"], stdin=Slow())  # type: ignore[arg-type] # it has what is asked of it
    assert summary["sources"]["records"].sum() == 30
    assert len(held) >= 3
    assert max(held) <= 10


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """While the report of what was read is being made, the user may lose patience."""
    code = """
import os, signal, sys, threading, time
from triage import engine
from triage.cli import run
def stop():
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)
engine.analyze = lambda *_, **__: time.sleep(60)
threading.Thread(target=stop).start()
raise SystemExit(run(["analyze"]))
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert process.wait(20) == 128 + signal.SIGINT


def test_a_signal_before_anything_was_read_is_the_exit_code() -> None:
    code = """
import os, signal, threading, time
from triage.cli import run
def stop():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=stop).start()
raise SystemExit(run(["analyze"]))
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == b""
        assert b"Traceback" not in process.stderr.read()
        assert process.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize("command", [["analyze", "--format", "json"], ["records"]], ids=" ".join)
def test_a_reader_that_leaves_is_no_error(command: list[str]) -> None:
    with start(*command, str(CRASH_LOOP)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_the_exit_codes_are_those_of_the_contract() -> None:
    assert (cli.OK, cli.REACHED, cli.MISTAKE, cli.INTERNAL) == (0, 1, 2, 70)
