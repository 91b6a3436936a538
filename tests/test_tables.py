"""Exports that are no JSON lines: tables, journald's export format, the answers of log stores."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.intake.decode import ReadOptions, decode
from triage.intake.formats import Catalog, load_catalog
from triage.intake.sources import Source
from triage.packs import pattern_dirs

WRITTEN = datetime(2026, 6, 1, tzinfo=UTC)


@cache
def catalog() -> Catalog:
    return load_catalog(pattern_dirs())


def read(data: str | bytes, block: int = 8 << 20) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = data.encode() if isinstance(data, str) else data
    source = Source("in.csv", len(raw), WRITTEN, lambda: io.BytesIO(raw))
    batches = list(decode(source, catalog(), ReadOptions(block_bytes=block)))
    rows, intake = pl.concat([b.rows for b in batches]), pl.concat([b.intake for b in batches])
    lines = raw.count(b"\n") + (not raw.endswith(b"\n"))
    assert int(intake["lines"].sum()) == lines
    assert lines == int(rows["lines"].sum()) + int(intake["blank"].sum()) + int(intake["rejected"].sum())
    assert int(intake["bytes"].sum()) == len(raw)
    return rows.sort("line"), intake


DATADOG = (
    "Date,Host,Service,Message\r\n"
    '2026-03-02T10:14:07.112Z,h1,api,"ERROR: db down\n  at x, y"\r\n'
    "\r\n"
    '2026-03-02T10:14:08.112Z,h1,api,"said ""hi"""\r\n'
)
SPLUNK = (
    '"_time","_raw",host\n'
    '"2026-03-02T10:14:07.112+00:00","2026-03-02 10:14:07,112 ERROR app db down",h1\n'
    '"2026-03-02T10:14:08.112+00:00","2026-03-02 10:14:08,112 INFO app fine",h1\n'
)
KIBANA = (
    '"@timestamp"\t"log.level"\tmessage\t"host.name"\n'
    '"Mar 2, 2026 @ 10:14:07.112"\terror\tdb down, really\th1\n'
    '"Mar 2, 2026 @ 10:14:08.112"\tinfo\tfine\th1\n'
)
POSTGRES = (
    '2026-03-02 10:14:07.112 UTC,"app","shop",12347,"10.0.0.5:41234",5ff1.303b,3,"INSERT",2026-03-02 10:00:00 UTC,3/45,0,'
    'ERROR,23505,"duplicate key value violates unique constraint ""u""","Key exists.",,,,,"INSERT INTO t\nVALUES (1)",,,"psql"\n'
    '2026-03-02 10:14:08.112 UTC,"app","shop",12347,"10.0.0.5:41234",5ff1.303b,4,"idle",2026-03-02 10:00:00 UTC,3/46,0,'
    'LOG,00000,"duration: 1523.4 ms",,,,,,,,,"psql"\n'
)


@pytest.mark.parametrize(
    ("data", "levels", "messages", "first"),
    [
        (DATADOG, ["ERROR", None], ["db down\n  at x, y", 'said "hi"'], "2026-03-02T10:14:07.112"),
        (SPLUNK, ["ERROR", "INFO"], ["app db down", "app fine"], "2026-03-02T10:14:07.112"),
        (KIBANA, ["ERROR", "INFO"], ["db down, really", "fine"], "2026-03-02T10:14:07.112"),
        (
            POSTGRES,
            ["ERROR", "INFO"],
            ['duplicate key value violates unique constraint "u"', "duration: 1523.4 ms"],
            "2026-03-02T10:14:07.112",
        ),
    ],
    ids=["datadog", "splunk", "kibana", "postgres"],
)
@pytest.mark.parametrize("block", [8, 60, 1 << 20])
def test_a_table_is_read_by_its_headings(
    data: str, levels: list[str | None], messages: list[str], first: str, block: int
) -> None:
    rows, _ = read(data, block)
    assert rows["level"].to_list() == levels
    assert rows["message"].to_list() == messages
    assert rows["at"][0] == datetime.fromisoformat(first).replace(tzinfo=UTC)


def test_rows_stand_where_they_start_and_the_headings_are_no_record() -> None:
    rows, intake = read(DATADOG)
    assert rows.select("line", "lines").rows() == [(2, 2), (5, 1)]
    assert int(intake["blank"].sum()) == 2
    assert rows["service"].to_list() == ["api", "api"]
    assert rows["instance"].to_list() == ["h1", "h1"]


def test_a_row_with_too_many_cells_is_kept_as_text() -> None:
    rows, _ = read("timestamp,message\n2026-03-02T10:14:07Z,fine\n2026-03-02T10:14:08Z,a,b,c\n")
    assert rows["message"][0] == "fine"
    assert "a,b,c" in rows["message"][1]


def test_a_table_that_is_no_log_stays_text() -> None:
    rows, intake = read("name,price\nbread,3\n")
    assert rows["message"].to_list() == ["name,price", "bread,3"]
    assert intake["format"][0] == "text"


@pytest.mark.parametrize("block", [8, 1 << 20])
def test_the_export_format_of_the_journal_is_read(block: int) -> None:
    said = b"two\nlines"
    data = (
        b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1772446447112938\n_HOSTNAME=h1\nPRIORITY=3\nSYSLOG_IDENTIFIER=api\n"
        b"MESSAGE=could not connect = refused\n\n"
        b"__CURSOR=s=2\n__REALTIME_TIMESTAMP=1772446448112938\n_HOSTNAME=h1\nPRIORITY=6\nSYSLOG_IDENTIFIER=api\n"
        b"MESSAGE\n" + len(said).to_bytes(8, "little") + said + b"\n\n"
    )
    rows, intake = read(data, block)
    assert rows["message"].to_list() == ["could not connect = refused", "two\nlines"]
    assert rows["level"].to_list() == ["ERROR", "INFO"]
    assert rows["lines"].to_list() == [6, 8]
    assert rows["at"][0] == datetime(2026, 3, 2, 10, 14, 7, 112938, tzinfo=UTC)
    assert int(intake["blank"].sum()) == 2


ENTRIES = [("2026-03-02T10:14:07.112Z", "error", "boom"), ("2026-03-02T10:14:08.112Z", "info", "fine")]
ANSWERS = {
    "loki": {
        "status": "success",
        "data": {
            "resultType": "streams",
            "result": [{"stream": {"app": "api", "level": lv}, "values": [[at, said]]} for at, lv, said in ENTRIES],
        },
    },
    "elasticsearch": {
        "took": 3,
        "hits": {
            "total": {"value": 2},
            "hits": [
                {"_index": "l", "_id": said, "_source": {"@timestamp": at, "level": lv, "message": said, "app": "api"}}
                for at, lv, said in ENTRIES
            ],
        },
    },
    "insights": {
        "status": "Complete",
        "results": [
            [
                {"field": "@timestamp", "value": at.replace("T", " ").rstrip("Z")},
                {"field": "@message", "value": said},
                {"field": "level", "value": lv},
                {"field": "app", "value": "api"},
                {"field": "@ptr", "value": "x"},
            ]
            for at, lv, said in ENTRIES
        ],
    },
    "new relic": {
        "common": {"attributes": {"service": "api"}},
        "logs": [{"timestamp": at, "message": said, "attributes": {"level": lv}} for at, lv, said in ENTRIES],
    },
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("store", ANSWERS)
def test_the_answer_of_a_log_store_is_taken_apart(store: str, indent: int | None) -> None:
    rows, _ = read(json.dumps(ANSWERS[store], indent=indent) + "\n")
    rows = rows.sort("at")
    assert rows["message"].to_list() == ["boom", "fine"]
    assert rows["level"].to_list() == ["ERROR", "INFO"]
    assert rows["service"].to_list() == ["api", "api"]
    assert [str(at) for at in rows["at"].to_list()] == [
        "2026-03-02 10:14:07.112000+00:00",
        "2026-03-02 10:14:08.112000+00:00",
    ]


@given(
    body=st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b"\x00", b"\xff", b" ", b"=", b"_A"]), max_size=60),
    head=st.sampled_from([b"timestamp,message\n", b"__CURSOR=1\n__REALTIME_TIMESTAMP=1772446447112938\n"]),
    block=st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_where_a_table_is_cut_changes_no_row(body: list[bytes], head: bytes, block: int) -> None:
    data = head + b"".join(body)
    assert read(data, block)[0].equals(read(data)[0])
