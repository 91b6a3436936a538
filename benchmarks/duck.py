"""DuckDB answering the questions of a report on one log: `python -m benchmarks.duck KIND FILE` prints them as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Every kind becomes one narrow table `t` by a single scan, the fastest way that DuckDB offers; the questions run on
# that. Columns are declared, so nothing is guessed, and only those that a question needs are read.
TABLES = {
    "gcp": """
        CREATE TEMP TABLE t AS
        SELECT
            CASE severity WHEN '100' THEN 'DEBUG' WHEN '200' THEN 'INFO' WHEN '400' THEN 'WARNING'
                 WHEN '500' THEN 'ERROR' ELSE severity END AS severity,
            try_cast(httpRequest.status AS INTEGER) AS status,
            try_cast(rtrim(httpRequest.latency, 's') AS DOUBLE) * 1000 AS latency_ms,
            regexp_extract(textPayload, 'exit\\((\\d+)\\)', 1) AS exit_code,
            CASE WHEN severity IN ('ERROR', '500') AND httpRequest IS NULL
                 THEN coalesce(textPayload, jsonPayload.message) END AS message
        FROM read_json(
            $path, format = 'newline_delimited', ignore_errors = true, maximum_object_size = 67108864,
            columns = {
                severity: 'VARCHAR',
                textPayload: 'VARCHAR',
                jsonPayload: 'STRUCT(message VARCHAR)',
                httpRequest: 'STRUCT(status VARCHAR, latency VARCHAR)'
            })
    """,
    "text": """
        CREATE TEMP TABLE t AS
        SELECT
            regexp_extract(line, '^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d,\\d{3} (\\w+) ', 1) AS severity,
            NULL::INTEGER AS status, NULL::DOUBLE AS latency_ms, '' AS exit_code,
            CASE WHEN regexp_matches(line, '^[\\w.]+(?:Error|Exception)(?::|$)') THEN line END AS message
        FROM read_csv($path, columns = {line: 'VARCHAR'}, delim = '\\x01', quote = '', escape = '', header = false)
    """,
    "access": """
        CREATE TEMP TABLE t AS
        SELECT
            NULL::VARCHAR AS severity,
            try_cast(regexp_extract(line, '" (\\d{3}) ', 1) AS INTEGER) AS status,
            try_cast(regexp_extract(line, ' rt=([0-9.]+)$', 1) AS DOUBLE) * 1000 AS latency_ms,
            '' AS exit_code, NULL::VARCHAR AS message
        FROM read_csv($path, columns = {line: 'VARCHAR'}, delim = '\\x01', quote = '', escape = '', header = false)
    """,
    "flat": """
        CREATE TEMP TABLE t AS
        SELECT level AS severity, NULL::INTEGER AS status, NULL::DOUBLE AS latency_ms, '' AS exit_code,
               CASE WHEN level = 'ERROR' THEN message END AS message
        FROM read_json(
            $path, format = 'newline_delimited', ignore_errors = true, maximum_object_size = 67108864,
            columns = {level: 'VARCHAR', message: 'VARCHAR'})
    """,
    "heroku": """
        CREATE TEMP TABLE t AS
        SELECT
            NULL::VARCHAR AS severity,
            try_cast(regexp_extract(line, ' status=(\\d{3}) ', 1) AS INTEGER) AS status,
            try_cast(regexp_extract(line, ' service=(\\d+)ms ', 1) AS DOUBLE) AS latency_ms,
            '' AS exit_code, NULL::VARCHAR AS message
        FROM read_csv($path, columns = {line: 'VARCHAR'}, delim = '\\x01', quote = '', escape = '', header = false)
    """,
}
UNASKED = {
    "flat": ("top",),
    "heroku": ("top", "errors", "warnings", "error_rate"),
}  # where a record is more than its line

# A broken line gives a row of nulls.
RECORDS = {
    "gcp": "SELECT count(severity) FROM t",
    "text": "SELECT count(*) FROM t WHERE severity <> ''",
    "access": "SELECT count(*) FROM t",
    "flat": "SELECT count(severity) FROM t",
    "heroku": "SELECT count(*) FROM t",
}

TOP = """
    SELECT count(*) FROM t WHERE message IS NOT NULL
    GROUP BY regexp_replace(regexp_extract(message, '[^\\n]*$'), '[0-9]+', '#', 'g') ORDER BY 1 DESC LIMIT 5
"""


def answer(kind: str, path: Path) -> dict[str, Any]:
    """Records, errors, warnings, statuses, latency in ms, exit codes, and how often the five loudest messages came."""
    import duckdb

    base = duckdb.connect()
    base.execute(TABLES[kind], {"path": str(path)})

    def rows(query: str) -> list[tuple[Any, ...]]:
        return base.execute(query).fetchall()

    severity = dict(rows("SELECT severity, count(*) FROM t WHERE severity <> '' GROUP BY 1"))
    records = rows(RECORDS[kind])[0][0]
    errors = sum(severity.get(level, 0) for level in ("ERROR", "CRITICAL", "ALERT", "EMERGENCY"))
    mean, p50, p95, worst = rows(
        "SELECT avg(latency_ms), approx_quantile(latency_ms, 0.5), approx_quantile(latency_ms, 0.95),"
        " max(latency_ms) FROM t"
    )[0]
    found = {
        "records": records,
        "errors": errors,
        "warnings": severity.get("WARNING", 0),
        "error_rate": errors / records if records else 0.0,
        "status": {str(s): n for s, n in rows("SELECT status, count(*) FROM t WHERE status IS NOT NULL GROUP BY 1")},
        "latency_ms": {"mean": mean, "p50": p50, "p95": p95, "max": worst},
        "exits": dict(rows("SELECT exit_code, count(*) FROM t WHERE exit_code <> '' GROUP BY 1")),
        "top": [n for (n,) in rows(TOP)],
    }
    return {name: value for name, value in found.items() if name not in UNASKED.get(kind, ())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(sys.argv[1], Path(sys.argv[2]))) + "\n")
