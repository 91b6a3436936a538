"""Sources to ROWS: envelopes, levels, times, split entries, every framing of JSON, and the ledger."""

from __future__ import annotations

import io
import json
import random
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.errors import TriageError
from triage.intake.decode import ReadOptions, decode
from triage.intake.formats import Catalog, load_catalog
from triage.intake.sources import Source
from triage.packs import pattern_dirs
from triage.schema import INTAKE, ROWS

WRITTEN = datetime(2026, 3, 20, tzinfo=UTC)


@cache
def catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def source(data: bytes | str, **hints: Any) -> Source:
    raw = data.encode() if isinstance(data, str) else data
    return Source("in.log", len(raw), WRITTEN, lambda: io.BytesIO(raw), **hints)


def read(data: bytes | str, options: ReadOptions | None = None, **hints: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    batches = list(decode(source(data, **hints), catalog(), options))
    rows = pl.concat([b.rows for b in batches]) if batches else pl.DataFrame(schema=ROWS)
    intake = pl.concat([b.intake for b in batches]) if batches else pl.DataFrame(schema=INTAKE)
    assert dict(rows.schema) == ROWS
    assert dict(intake.schema) == INTAKE
    raw = data.encode() if isinstance(data, str) else data
    lines, blank, rejected = (int(intake[name].sum()) for name in ("lines", "blank", "rejected"))
    assert lines == raw.count(b"\n") + (1 if raw and not raw.endswith(b"\n") else 0)
    assert lines == int(rows["lines"].sum()) + blank + rejected
    assert int(intake["bytes"].sum()) == len(raw)
    return rows, intake


def one(line: str, **options: Any) -> dict[str, Any]:
    rows, _ = read(line + "\n", ReadOptions(**options))
    assert len(rows) == 1
    return rows.row(0, named=True)


def said(intake: pl.DataFrame) -> str:
    return "\n".join(n for notices in intake["notices"].to_list() for n in notices)


def gcp(n: int, **fields: Any) -> dict[str, Any]:
    return {
        "insertId": f"i{n}",
        "logName": "projects/p/logs/run.googleapis.com%2Fstderr",
        "timestamp": f"2026-03-02T10:{n // 60 % 60:02}:{n % 60:02}.123456789Z",
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": "api", "revision_name": "api-1"}},
        "labels": {"instanceId": "aa"},
        **fields,
    }


ENTRIES = [gcp(n, textPayload=f"ERROR:    no {n} {{ }}\n  }},\n{{\n", severity="ERROR") for n in range(5)]
FRAMINGS = {
    "one a line": "\n".join(map(json.dumps, ENTRIES)) + "\n",
    "without a last newline": "\n".join(map(json.dumps, ENTRIES)),
    "pretty array": json.dumps(ENTRIES, indent=2),
    "pretty array, four blanks": json.dumps(ENTRIES, indent=4) + "\n",
    "pretty array without indentation": json.dumps(ENTRIES, indent=0),
    "array on one line": json.dumps(ENTRIES) + "\n",
    "array, an entry a line": "[\n" + ",\n".join(map(json.dumps, ENTRIES)) + "\n]\n",
    "array that opens on the first entry's line": "[" + ",\n".join(map(json.dumps, ENTRIES)) + "]\n",
    "pretty objects back to back": "\n".join(json.dumps(e, indent=2) for e in ENTRIES) + "\n",
    "array whose braces share lines": "[" + ", ".join(json.dumps(e, indent=2) for e in ENTRIES) + "]\n",
    "windows line ends": json.dumps(ENTRIES, indent=2).replace("\n", "\r\n"),
    "wrapped and pretty": json.dumps({"entries": ENTRIES, "nextToken": "x"}, indent=2),
    "wrapped on one line": json.dumps({"entries": ENTRIES}),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_entries_are_the_same_however_they_lie_in_the_file(name: str) -> None:
    rows, _ = read(FRAMINGS[name])
    assert rows["message"].to_list() == [f"no {n} {{ }}\n  }},\n{{" for n in range(5)]
    assert rows["service"].unique().to_list() == ["api"]
    assert rows["at"][1] == datetime(2026, 3, 2, 10, 0, 1, 123456, tzinfo=UTC)


@pytest.mark.parametrize("name", FRAMINGS)
def test_block_borders_change_nothing_in_any_framing(name: str) -> None:
    whole, _ = read(FRAMINGS[name])
    for size in (100, 700):
        cut, _ = read(FRAMINGS[name], ReadOptions(batch_bytes=size))
        assert cut.equals(whole)


def test_lines_of_entries_in_a_pretty_array_are_where_they_stand() -> None:
    rows, intake = read(json.dumps(ENTRIES, indent=2))
    size = json.dumps(ENTRIES[0], indent=2).count("\n") + 1
    assert rows["line"].to_list() == [2 + n * size for n in range(5)]
    assert rows["lines"].to_list() == [size] * 5
    assert intake["blank"].sum() == 2


def test_a_cut_array_keeps_what_is_whole_and_rejects_the_rest() -> None:
    text = json.dumps(ENTRIES, indent=2)
    rows, intake = read(text[: len(text) - 150])
    assert len(rows) == 5
    assert rows["level"].to_list() == ["ERROR"] * 4 + [None]
    assert intake["rejected"].sum() > 0


def test_cloudwatch_events_are_taken_out_of_their_object() -> None:
    events = [
        {
            "logStreamName": "ecs/api/7c1f0d7c1f0d7c1f",
            "timestamp": 1772446447112 + n,
            "message": f"INFO:     hello {n}\n",
            "ingestionTime": 1,
            "eventId": "x",
        }
        for n in range(3)
    ]
    for text in (json.dumps({"events": events, "searchedLogStreams": []}, indent=4), json.dumps({"events": events})):
        rows, _ = read(text)
        assert rows["message"].to_list() == ["hello 0", "hello 1", "hello 2"]
        assert rows["service"].to_list() == ["api"] * 3


def test_a_broken_json_line_is_kept_as_text_and_counted_as_rejected() -> None:
    lines = [json.dumps(e) for e in ENTRIES]
    lines[2] = lines[2][:50]
    rows, intake = read("\n".join(lines) + "\n")
    assert rows["lines"].to_list() == [1, 1, 0, 1, 1]
    assert rows["message"][2] == lines[2]
    assert (rows["level"][2], rows["header"][2]) == (None, False)
    assert intake["rejected"].sum() == 1


def test_text_between_json_lines_is_no_broken_json() -> None:
    rows, intake = read(
        json.dumps(ENTRIES[0])
        + '\nTraceback (most recent call last):\n  File "x.py", line 1, in f\n'
        + json.dumps(ENTRIES[1])
        + "\n"
    )
    assert rows["message"].to_list()[1:3] == ["Traceback (most recent call last):", '  File "x.py", line 1, in f']
    assert intake["rejected"].sum() == 0


def test_typed_and_plain_decoding_agree() -> None:
    entries = [
        gcp(1, textPayload="INFO:     ready"),
        gcp(2, jsonPayload={"message": "paid", "level": "warning", "logger": "shop", "x": 1}),
        gcp(3, jsonPayload={"status": 7, "reason": "odd"}, severity="ERROR"),
        gcp(
            4,
            httpRequest={
                "requestMethod": "GET",
                "requestUrl": "https://x.run.app/a/1?b=c",
                "status": 503,
                "latency": "1.5s",
            },
            severity="ERROR",
        ),
        gcp(5, jsonPayload={"message": {"nested": [1, 2]}}),
        gcp(6, textPayload=None, labels=None),
        gcp(
            7,
            textPayload="",
            resource={"type": "k8s_container", "labels": {"container_name": "web", "pod_name": "web-1"}},
        ),
        gcp(
            8,
            logName="projects/p/logs/run.googleapis.com%2Fvarlog%2Fsystem",
            textPayload="Container called exit(3).",
            severity="WARNING",
        ),
    ]
    text = "\n".join(map(json.dumps, entries)) + "\n"
    typed, _ = read(text)
    plain, _ = read(text, ReadOptions(with_fields=True))
    assert typed.drop("fields").equals(plain.drop("fields"))
    assert typed["kind"].to_list() == ["app", "app", "app", "request", "app", "app", "app", "platform"]
    assert typed["message"].to_list()[2:4] == ['{"status":7,"reason":"odd"}', "GET /a/1 503"]
    assert typed["header"].to_list()[:4] == [True, True, True, True]
    assert typed["latency_ms"][3] == 1500.0
    assert typed["level"].to_list()[:4] == ["INFO", "WARNING", "ERROR", "ERROR"]


def test_fields_are_there_when_asked_for() -> None:
    entry = '{"level":"info","msg":"x","time":"2026-03-02T10:14:07Z","order":7}'
    assert json.loads(one(entry, with_fields=True)["fields"])["order"] == 7
    assert one(entry)["fields"] is None


def test_a_transport_level_counts_only_where_the_transport_means_it() -> None:
    lines = [
        {"level": "error", "message": "INFO:     ready", "timestamp": "2026-03-02T10:14:07.123456789Z"},
        {
            "level": "error",
            "message": "Traceback (most recent call last):",
            "timestamp": "2026-03-02T10:14:07.123456789Z",
        },
        {"level": "warn", "message": "Container exited with code 1", "timestamp": "2026-03-02T10:14:07.123456789Z"},
        {"level": "error", "message": "payment failed", "orderId": 7, "timestamp": "2026-03-02T10:14:07.123456789Z"},
    ]
    rows, _ = read("\n".join(map(json.dumps, lines)) + "\n")
    assert rows["level"].to_list() == ["INFO", None, "WARNING", "ERROR"]
    assert rows["header"].to_list() == [True, False, True, True]
    assert rows["kind"].to_list() == ["app", "app", "platform", "app"]


def test_an_application_that_logs_the_same_keys_keeps_its_level() -> None:
    rows, _ = read('{"level":"error","message":"db down","timestamp":"2026-03-02T10:14:07.123Z"}\n' * 3)
    assert rows["level"].to_list() == ["ERROR"] * 3
    assert rows["header"].all()


def test_layers_nest() -> None:
    inner = json.dumps({"level": "warn", "msg": "2026-03-02 slow", "time": "2026-03-02T09:00:00Z", "service": "inner"})
    row = one(json.dumps({"log": inner + "\n", "stream": "stderr", "time": "2026-03-02T10:14:07.5Z"}))
    assert (row["level"], row["message"], row["stream"], row["format"]) == (
        "WARNING",
        "2026-03-02 slow",
        "stderr",
        "json",
    )
    assert row["at"] == datetime(2026, 3, 2, 10, 14, 7, 500000, tzinfo=UTC)
    row = one("2026-03-02T10:14:07.112938471Z stderr F 09:14:07.112 [main] ERROR c.e.App - boom")
    assert (row["level"], row["logger"], row["message"]) == ("ERROR", "c.e.App", "boom")
    assert row["at"] == datetime(2026, 3, 2, 10, 14, 7, 112938, tzinfo=UTC)


def test_several_formats_interleave_in_one_stream() -> None:
    text = (
        'api-1    | INFO:     10.0.0.1:1 - "GET /a HTTP/1.1" 200 OK\n'
        'nginx-1  | 10.0.0.1 - - [02/Mar/2026:10:14:07 +0000] "GET /a HTTP/1.1" 502 10 "-" "x" rt=0.250\n'
        "redis-1  | 7:M 02 Mar 2026 10:14:07.984 # WARNING overcommit\n"
        "api-1    | 2026-03-02 10:14:07,112 ERROR app.users: boom\n"
        "api-1    | ValueError: x\n"
    )
    rows, _ = read(text)
    assert rows["service"].to_list() == ["api", "nginx", "redis", "api", "api"]
    assert rows["kind"].to_list() == ["access", "access", "app", "app", "app"]
    assert rows["level"].to_list() == ["INFO", None, "WARNING", "ERROR", None]
    assert rows["header"].to_list() == [True, True, True, True, False]
    assert rows["latency_ms"].to_list()[1] == 250.0


def test_split_container_lines_are_put_together_stream_by_stream() -> None:
    text = (
        "2026-03-02T10:14:07.1Z stdout F before\n"
        "2026-03-02T10:14:07.2Z stderr P ERROR: one \n"
        "2026-03-02T10:14:07.3Z stdout F between\n"
        "2026-03-02T10:14:07.4Z stderr P two \n"
        "2026-03-02T10:14:07.5Z stderr F three\n"
        "2026-03-02T10:14:07.6Z stdout F after\n"
    )
    whole, _ = read(text)
    assert whole["message"].to_list() == ["before", "one two three", "between", "after"]
    assert whole["lines"].to_list() == [1, 3, 1, 1]
    for size in (1, 60, 130):
        cut, _ = read(text, ReadOptions(batch_bytes=size))
        assert cut.equals(whole)


def test_two_line_records_inside_an_array_are_joined_across_blocks() -> None:
    words = ("Apr 15, 2026 06:30:00 AM com.acme.Main main", "SEVERE: no order")
    events = [
        {"logStreamName": "ecs/api/7c1f0d7c1f0d7c1f", "timestamp": 1772446447112, "message": w, "eventId": "x"}
        for w in words * 4
    ]
    for text in (
        json.dumps({"events": events}, indent=1),
        json.dumps(events, indent=2),
        "\n".join(map(json.dumps, events)),
    ):
        whole, _ = read(text)
        assert whole["message"].to_list() == ["no order"] * 4
        for size in (40, 200):
            cut, _ = read(text, ReadOptions(batch_bytes=size))
            assert cut.equals(whole)


def test_docker_fragments_of_16_kib_are_put_together() -> None:
    big = "x" * 16384
    logs = [big, big, "end\n", "next\n"]
    rows, _ = read(
        "".join(json.dumps({"log": x, "stream": "stdout", "time": "2026-03-02T10:14:07Z"}) + "\n" for x in logs)
    )
    assert rows["message"].str.len_chars().to_list() == [2 * 16384 + 3, 4]
    assert rows["lines"].to_list() == [3, 1]


def test_two_line_records_are_one_row_wherever_they_are_cut() -> None:
    text = "".join(
        f"2026-04-15T06:30:0{n}.0Z stderr F {line}\n"
        for n in range(5)
        for line in (
            "Apr 15, 2026 06:30:00 AM com.acme.Main main",
            f"SEVERE: order {n}",
            "java.lang.IllegalStateException: no",
            "\tat com.acme.Main.main(Main.java:1)",
        )
    )
    whole, _ = read(text)
    assert whole.filter("header")["message"].to_list() == [f"order {n}" for n in range(5)]
    assert whole.filter("header")["level"].unique().to_list() == ["ERROR"]
    assert whole.filter("header")["lines"].unique().to_list() == [2]
    for size in (1, 50, 333):
        cut, _ = read(text, ReadOptions(batch_bytes=size))
        assert cut.equals(whole)


def test_empty_lines_reach_the_assembler() -> None:
    rows, intake = read("2026-03-02 10:14:07,112 ERROR app: boom\nTraceback (most recent call last):\n\n> File x\n")
    assert rows["message"].to_list() == ["boom", "Traceback (most recent call last):", "", "> File x"]
    assert intake["blank"].sum() == 0


def test_stamps_without_a_zone_use_the_one_given_and_say_so() -> None:
    text = "2026-03-02 10:14:07,112 ERROR app: boom\n"
    rows, intake = read(text, ReadOptions(tz="Europe/Berlin"))
    assert rows["at"][0] == datetime(2026, 3, 2, 9, 14, 7, 112000, tzinfo=UTC)
    assert "Europe/Berlin was assumed" in said(intake)


def test_stamps_with_a_zone_assume_nothing() -> None:
    _, intake = read("[2026-03-02 10:14:07 +0200] [7] [ERROR] boom\n")
    assert said(intake) == ""


def test_stamps_without_a_year_are_not_in_the_future_of_the_file() -> None:
    rows, intake = read("Mar  2 10:14:07 h app[1]: a\nDec 31 10:14:07 h app[1]: b\n")
    assert [at.year for at in rows["at"]] == [2026, 2025]
    assert "name no year" in said(intake)
    assert one("Mar  2 10:14:07 h app[1]: a", year=2019)["at"].year == 2019


@pytest.mark.parametrize(
    ("stamp", "micros"),
    [
        ("07Z", 0),
        ("07.1Z", 100000),
        ("07.12Z", 120000),
        ("07.123456Z", 123456),
        ("07.123456789Z", 123456),
        ("07.5+00:00", 500000),
        ("07.25+0000", 250000),
    ],
)
def test_fractions_of_any_length_are_read(stamp: str, micros: int) -> None:
    row = one(f'{{"time":"2026-03-02T10:14:{stamp}","level":"info","msg":"x"}}')
    assert row["at"] == datetime(2026, 3, 2, 10, 14, 7, micros, tzinfo=UTC)


@pytest.mark.parametrize(
    "stamp", ["1772446447", "1772446447.0", "1772446447000", "1772446447000000", "1772446447000000000", '"1772446447"']
)
def test_epochs_of_every_unit_are_read(stamp: str) -> None:
    assert one(f'{{"ts":{stamp},"level":"info","msg":"x"}}')["at"] == datetime(2026, 3, 2, 10, 14, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("level", "want"),
    [
        ('"WARN"', "WARNING"),
        ("50", "ERROR"),
        ("60", "CRITICAL"),
        ('"Information"', "INFO"),
        ('"dpanic"', "CRITICAL"),
        ('"INFO+2"', "INFO"),
        ("3", "ERROR"),
        ('"zzz"', None),
    ],
)
def test_levels_of_every_logger_are_read(level: str, want: str | None) -> None:
    assert one(f'{{"level":{level},"msg":"x","time":"2026-03-02T10:14:07Z"}}')["level"] == want


def test_a_level_map_comes_first() -> None:
    assert one('{"level":"notice","msg":"x"}', level_map={"notice": "warning"})["level"] == "WARNING"
    assert one("[2026-03-02 10:14:07 +0000] [7] [ALARM] x", level_map={"ALARM": "CRITICAL"})["level"] == "CRITICAL"


def test_bad_options_are_the_users_mistake() -> None:
    with pytest.raises(TriageError, match="no time zone called 'Mars'"):
        ReadOptions(tz="Mars")
    with pytest.raises(TriageError, match="'loud' is no level"):
        ReadOptions(level_map={"x": "loud"})
    with pytest.raises(TriageError, match="no format called 'x'"):
        read("a\n", ReadOptions(input_format="x"))


def test_a_forced_format_reads_what_others_would_take() -> None:
    row = one('INFO:     10.0.0.1:1 - "GET /a HTTP/1.1" 200 OK', input_format="uvicorn")
    assert (row["format"], row["kind"]) == ("uvicorn", "app")


def test_colour_codes_and_carriage_returns_are_cleaned() -> None:
    row = one("\x1b[32m2026-03-02 10:14:07,112\x1b[0m \x1b[1;31mERROR\x1b[0m app: bo\x1b[4mom")
    assert (row["level"], row["message"]) == ("ERROR", "boom")
    assert (
        one("[ERROR] ValueError: bad\rTraceback (most recent call last):\r\u00a0\u00a0File x\r")["message"]
        == "ValueError: bad\nTraceback (most recent call last):\n  File x"
    )
    rows, _ = read("INFO:     a\r\nINFO:     b\r\n")
    assert rows["message"].to_list() == ["a", "b"]


def test_bytes_that_are_no_text_do_not_stop_it() -> None:
    rows, intake = read(b"ERROR:    caf\xe9 \x00broken\n\xff\xfe\xfd\nINFO:     fine\n")
    assert rows["level"].to_list() == ["ERROR", None, "INFO"]
    rows, intake = read(
        b'{"level":"error","msg":"caf\xe9","time":"2026-03-02T10:14:07Z"}\n{"level":"info","msg":"lone \\ud83d"}\n'
    )
    assert rows["level"].to_list() == ["ERROR", "INFO"]
    assert intake["rejected"].sum() == 0


def test_junk_is_said_not_to_be_a_log() -> None:
    _, intake = read(random.Random(7).randbytes(20000))
    assert "does not look like a log" in said(intake)


def test_messages_of_megabytes_are_shortened_in_the_middle() -> None:
    rows, intake = read("INFO:     a\nERROR:    " + "x" * 200_000 + " end\nINFO:     b\n")
    assert len(rows["message"][1]) < 66_000
    assert rows["message"][1].endswith("x end")
    assert "shortened (the first on line 2)" in said(intake)


def test_an_empty_list_has_no_records() -> None:
    for text in ("[]\n", "[\n]\n", "[]", "[ ]\n"):
        rows, intake = read(text)
        assert rows.is_empty()
        assert intake["blank"].sum() == intake["lines"].sum()
        assert intake["format"].to_list() == ["empty"]


def test_an_empty_input_is_accounted_for() -> None:
    rows, intake = read(b"")
    assert rows.is_empty()
    assert intake.select("source", "format", "lines").rows() == [("in.log", "empty", 0)]


@pytest.mark.parametrize(
    "said",
    [
        "psycopg2.errors.UndefinedColumn: column x does not exist",
        "app.errors.Missing",
        "KeyError: 'x'",
        "com.acme.OrderException",
        "LINE 1: SELECT x",
        "DETAIL:  Key (id)=(1) already exists.",
        "HINT:  Perhaps you meant y.",
        "[SQL: SELECT x]",
        "(Background on this error at: https://sqlalche.me/e/20/f405)",
    ],
)
def test_lines_of_a_traceback_open_no_record_in_syslog(said: str) -> None:
    assert not one(f"<30>1 2026-06-17T11:24:07.344752+00:00 app-01 orders 4410 - - {said}")["header"]
    assert one(f"<30>1 2026-06-17T11:24:07.344752+00:00 app-01 orders 4410 - - ready, {said}")["header"]


GCP_MAPPED = {
    "logName": "projects/p/logs/x",
    "severity": "INFO",
    "timestamp": "2026-05-27T11:16:58Z",
    "textPayload": "a",
}


@pytest.mark.parametrize(
    ("entry", "mapping", "expected"),
    [
        ({"level": "info", "sev": "error", "msg": "a"}, {"level": "sev"}, {"level": "ERROR"}),
        ({"level": "info", "msg": "a"}, {"level": "sev"}, {"level": "INFO"}),
        ({"level": "info", "msg": "a", "app": {"text": "b"}}, {"message": "app.text"}, {"message": "b"}),
        ({"level": "info", "msg": "a", "code": 503}, {"status": "code"}, {"status": 503}),
        ({**GCP_MAPPED, "team": "shop", "sev": "W"}, {"service": "team", "level": "sev"}, {"service": "shop", "level": "WARNING"}),
    ],
)  # fmt: skip
def test_a_key_of_the_user_comes_before_all_others(
    entry: dict[str, Any], mapping: dict[str, str], expected: dict[str, Any]
) -> None:
    row = one(json.dumps(entry), field_map=mapping)
    assert {name: row[name] for name in expected} == expected


def test_a_key_of_the_user_gives_the_time() -> None:
    row = one(json.dumps({"level": "info", "msg": "a", "born": 1780000000}), field_map={"time": "born"})
    assert row["at"] == datetime.fromtimestamp(1780000000, UTC)


def test_a_broken_line_changes_nothing_for_the_lines_around_it() -> None:
    good = [json.dumps({**GCP_MAPPED, "textPayload": f"line {n}", "httpRequest": {"status": 500}}) for n in range(6)]
    odd = ['{"logName":"x","textPayload":', json.dumps({**GCP_MAPPED, "httpRequest": "none"}), "plain text", ""]
    rows, intake = read("\n".join(line for pair in zip(good, [*odd, "{", "}"], strict=True) for line in pair) + "\n")
    alone, _ = read("\n".join(good) + "\n")
    beside = rows.filter(pl.col("message").str.starts_with("line "))
    assert beside.drop("line").equals(alone.drop("line"))
    assert beside["line"].to_list() == [1, 3, 5, 7, 9, 11]
    assert intake["rejected"].sum() == 2


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("odd", [b"", b"\xff", b"\x00", b"\xe2\x82"])
def test_text_lines_are_kept_whatever_their_bytes(end: bytes, odd: bytes) -> None:
    rows, _ = read(end.join([b"one" + odd, b"", b" two", b"three", b""]))
    seen = odd.replace(b"\x00", b"").decode("utf-8", "replace")
    assert rows["message"].to_list() == [f"one{seen}", "", " two", "three"]


def test_an_unknown_field_of_the_user_is_said() -> None:
    with pytest.raises(TriageError, match="no field called 'severity'"):
        ReadOptions(field_map={"severity": "sev"})


def test_hints_of_the_file_name_fill_only_what_rows_lack() -> None:
    rows, _ = read("INFO:     a\n", service_hint="api", instance_hint="api-1")
    assert rows.select("service", "instance").row(0) == ("api", "api-1")
    rows, _ = read("web-1  | INFO:     a\n", service_hint="api", instance_hint="api-1")
    assert rows.select("service", "instance").row(0) == ("web", "web-1")


def test_stacks_in_fields_follow_the_message() -> None:
    entry = {"level": "error", "msg": "failed", "time": "2026-03-02T10:14:07Z"}
    assert (
        one(json.dumps({**entry, "exc_info": "Traceback (most recent call last):\n  x\nKeyError: 'k'"}))[
            "message"
        ].splitlines()[1]
        == "Traceback (most recent call last):"
    )
    assert one(json.dumps({**entry, "error": "refused"}))["message"] == "failed: refused"
    listed = {
        **entry,
        "exception": [
            {
                "exc_type": "KeyError",
                "exc_value": "'k'",
                "frames": [{"filename": "/app/o.py", "lineno": 3, "name": "f"}],
            }
        ],
    }
    assert (
        one(json.dumps(listed))["message"]
        == "failed\nTraceback (most recent call last):\n  File \"/app/o.py\", line 3, in f\nKeyError: 'k'"
    )
    ecs = {
        "@timestamp": "2026-03-02T10:14:07Z",
        "log.level": "error",
        "message": "m",
        "error": {"type": "KeyError", "message": "'k'", "stack_trace": '  File "/a.py", line 1, in f\n'},
    }
    assert (
        one(json.dumps(ecs))["message"]
        == "m\nTraceback (most recent call last):\n  File \"/a.py\", line 1, in f\nKeyError: 'k'"
    )


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        (
            'Traceback (most recent call last):\\n  File \\"/a.py\\", line 1, in f\\n    open(\\"C:\\\\new\\")\\nKeyError: 7',
            'Traceback (most recent call last):\n  File "/a.py", line 1, in f\n    open("C:\\new")\nKeyError: 7',
        ),
        ("Error: no\\n    at f (/srv/a.js:1:2)", "Error: no\n    at f (/srv/a.js:1:2)"),
        ("cannot open C:\\new\\name", "cannot open C:\\new\\name"),
    ],
)
def test_stacks_that_an_export_encoded_twice_are_read(given: str, read_as: str) -> None:
    entry = {"level": "error", "message": "failed", "timestamp": "2026-03-02T10:14:07.112938Z", "exc_info": given}
    assert one(json.dumps(entry))["message"].split("failed", 1)[1].lstrip(":\n ") == read_as


def test_telemetry_batches_are_taken_apart() -> None:
    record = {
        "timeUnixNano": "1772446447112938000",
        "severityNumber": 17,
        "severityText": "ERROR",
        "traceId": "5b8e",
        "body": {"stringValue": "db down"},
    }
    batch = {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "orders"}}]},
                "scopeLogs": [{"scope": {"name": "app"}, "logRecords": [record, record]}],
            }
        ]
    }
    rows, _ = read(json.dumps(batch) + "\n")
    assert rows["message"].to_list() == ["db down", "db down"]
    assert rows["lines"].to_list() == [1, 0]
    assert rows.select("service", "level", "trace", "logger").row(0) == ("orders", "ERROR", "5b8e", "app")


LINES = (
    "2026-03-02 10:14:07,112 ERROR app.users: boom",
    "Traceback (most recent call last):",
    '  File "/app/x.py", line 1, in f',
    "",
    "INFO:     ready",
    '10.0.0.1 - - [02/Mar/2026:10:14:07 +0000] "GET /a HTTP/1.1" 502 10 "-" "x"',
    "[2026-03-02 10:14:07 +0000] [7] [ERROR] Worker exited",
    "2026-03-02T10:14:07.1Z stderr P part ",
    "2026-03-02T10:14:07.2Z stderr F whole",
    "Apr 15, 2026 06:30:00 AM com.acme.Main main",
    "SEVERE: order",
    '{"level":"error","msg":"json","time":"2026-03-02T10:14:07Z"}',
    '{"level":"broken',
    "api-1  | WARNING:  slow",
    "plain words",
)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=25), st.integers(60, 500), st.booleans())
def test_where_the_input_is_cut_changes_no_row(lines: list[str], size: int, newline: bool) -> None:
    text = "\n".join(lines) + ("\n" if newline else "")
    whole, _ = read(text)
    cut, _ = read(text, ReadOptions(batch_bytes=size))
    assert cut.equals(whole)
    assert whole["line"].is_sorted()


ODD = st.sampled_from(
    [
        None,
        "",
        "-",
        "null",
        7,
        -1,
        2**70,
        1.5,
        True,
        [],
        ["a"],
        {},
        {"message": "inside"},
        "x: y",
        "Käse\u2028\n",
        "ERROR: no",
    ]
)
PATHS = (
    *(("severity",), ("timestamp",), ("textPayload",), ("logName",), ("trace",), ("labels",), ("resource",)),
    *(("labels", "instanceId"), ("resource", "labels"), ("resource", "labels", "service_name"), ("jsonPayload",)),
    *(("jsonPayload", "message"), ("jsonPayload", "severity"), ("httpRequest", "status"), ("httpRequest", "latency")),
)
CHANGES = st.lists(st.tuples(st.sampled_from(PATHS), ODD | st.just("drop")), max_size=3)


def change(entry: dict[str, Any], changes: list[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    for path, value in changes:
        inner = entry
        for key in path[:-1]:
            inner = inner.setdefault(key, {}) if isinstance(inner.get(key, {}), dict) else {}
        if value == "drop":
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = deepcopy(value)  # a change to come may put something into it
    if "jsonPayload" in entry:  # an entry has one payload
        entry.pop("textPayload", None)
    return entry


@settings(max_examples=10, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=12), st.integers(200, 3_000))
def test_what_the_typed_decoder_reads_the_plain_one_reads_too(many: list[Any], size: int) -> None:
    entries = [
        gcp(n, textPayload=f"INFO: no {n}", severity="INFO") if n % 2 else
        gcp(n, severity="ERROR", httpRequest={"requestMethod": "GET", "requestUrl": "https://a.b/c?d", "status": 503, "latency": "1.5s"})
        for n in range(len(many))
    ]  # fmt: skip
    texts = [json.dumps(change(entry, changes)) for entry, changes in zip(entries, many, strict=True)]
    texts += ['{"logName": "cut', "", json.dumps(gcp(99, textPayload="last", severity="INFO"))]
    text = "\n".join([json.dumps(gcp(98, textPayload="first")), *texts]) + "\n"
    typed, ledger = read(text)
    plain, same = read(text, ReadOptions(with_fields=True))
    assert typed.drop("fields").to_dicts() == plain.drop("fields").to_dicts()
    assert ledger["rejected"].sum() == same["rejected"].sum() == 1
    cut, _ = read(text, ReadOptions(block_bytes=size // 4, batch_bytes=size))
    assert cut.equals(typed)


def test_requests_that_a_program_logs_as_fields_are_read_alike_by_both_decoders() -> None:
    request = {"message": "request", "method": "GET", "path": "/items/7?x=1", "status": 500, "latency_ms": 7.5}
    entries = [
        gcp(1, jsonPayload=request),
        gcp(2, jsonPayload={k: v for k, v in request.items() if k != "method"}),
        gcp(3, jsonPayload={"message": "job ended", "status": "done", "path": "reports/1"}),
        gcp(4, jsonPayload={"status": 500, "reason": "odd"}),
    ]
    text = "\n".join(map(json.dumps, entries)) + "\n"
    typed, _ = read(text)
    plain, _ = read(text, ReadOptions(with_fields=True))
    assert typed.drop("fields").equals(plain.drop("fields"))
    assert typed["kind"].to_list() == ["access", "app", "app", "app"]
    assert typed.row(0, named=True)["route"] == "/items/7"
    assert typed["latency_ms"][0] == 7.5
    assert typed["message"].to_list()[2:] == ["job ended", '{"status":500,"reason":"odd"}']


@pytest.mark.parametrize(
    "inside", ['{"service.name":"shop"}', '{"service":{"name":"shop"}}', '{"app":"x","service.name":"shop"}']
)
def test_keys_with_dots_inside_an_object_are_found(inside: str) -> None:
    line = f'{{"timestamp":1772446447112,"message":"a","logtype":"x","attributes":{inside}}}\n'
    rows, _ = read(line * 3)
    assert set(rows["service"]) == {"shop"}


def _vercel(n: int, request: str, message: str, status: int = 500) -> str:
    proxy = {"method": "GET", "path": f"/blog/{n}", "statusCode": status}
    entry = {
        "id": str(n),
        "deploymentId": "dpl_1",
        "source": "lambda",
        "host": "x.example",
        "projectId": "prj_1",
        "level": "info",
    }
    return json.dumps(
        {
            **entry,
            "timestamp": 1791273870000 + n,
            "message": message,
            "requestId": request,
            "statusCode": status,
            "proxy": proxy,
        }
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(200, 5_000))
def test_a_request_of_which_several_entries_tell_counts_once_wherever_they_are_cut(asked: list[int], size: int) -> None:
    lines = "".join(_vercel(n, f"fra1::{which}", f"step {n}") + "\n" for n, which in enumerate(asked))
    rows, _ = read(lines, ReadOptions(block_bytes=size, batch_bytes=size))
    first = [asked.index(which) == n for n, which in enumerate(asked)]
    assert rows["status"].is_not_null().to_list() == first
    assert rows["message"].to_list() == [f"step {n}" for n in range(len(asked))]


def test_a_request_id_that_comes_again_far_away_is_another_request() -> None:
    far = [_vercel(n, f"fra1::{n}", "", 200) for n in range(1, 4_200)]
    rows, _ = read("\n".join([_vercel(0, "fra1::x", ""), *far, _vercel(9_999, "fra1::x", "")]) + "\n")
    assert rows["status"].null_count() == 0
