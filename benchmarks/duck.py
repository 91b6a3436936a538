"""DuckDB answering the questions of a report on one log: `python -m benchmarks.duck KIND FILE` prints them as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Every kind becomes one table `t` by a single scan, the fastest way that DuckDB offers; the questions run on that. Columns
# are declared, so nothing is guessed, and only those that a question needs are read: they are those of a report that are
# counted and not concluded.
TABLES = {
    "gcp": """
        CREATE TEMP TABLE t AS
        SELECT
            try_cast("timestamp" AS TIMESTAMP) AS moment,
            CASE severity WHEN '100' THEN 'DEBUG' WHEN '200' THEN 'INFO' WHEN '400' THEN 'WARNING'
                 WHEN '500' THEN 'ERROR' ELSE severity END AS severity,
            resource.labels.service_name AS service,
            httpRequest.requestMethod AS method,
            regexp_extract(httpRequest.requestUrl, '^[a-z]+://[^/]*([^?#]*)', 1) AS route,
            try_cast(httpRequest.status AS INTEGER) AS status,
            try_cast(rtrim(httpRequest.latency, 's') AS DOUBLE) * 1000 AS latency_ms,
            regexp_extract(textPayload, 'exit\\((\\d+)\\)', 1) AS exit_code,
            CASE WHEN severity IN ('ERROR', '500') AND httpRequest IS NULL
                 THEN coalesce(textPayload, jsonPayload.message) END AS message
        FROM read_json(
            $path, format = 'newline_delimited', ignore_errors = true, maximum_object_size = 67108864,
            columns = {
                "timestamp": 'VARCHAR',
                severity: 'VARCHAR',
                textPayload: 'VARCHAR',
                jsonPayload: 'STRUCT(message VARCHAR)',
                resource: 'STRUCT(labels STRUCT(service_name VARCHAR))',
                httpRequest: 'STRUCT(status VARCHAR, latency VARCHAR, requestMethod VARCHAR, requestUrl VARCHAR)'
            })
    """,
    "text": """
        CREATE TEMP TABLE t AS
        SELECT
            try_cast(replace(substr(line, 1, 23), ',', '.') AS TIMESTAMP) AS moment,
            regexp_extract(line, '^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d,\\d{3} (\\w+) ', 1) AS severity,
            NULL::VARCHAR AS service, NULL::VARCHAR AS method, NULL::VARCHAR AS route,
            NULL::INTEGER AS status, NULL::DOUBLE AS latency_ms, '' AS exit_code,
            CASE WHEN regexp_matches(line, '^[\\w.]+(?:Error|Exception)(?::|$)') THEN line END AS message
        FROM read_csv($path, columns = {line: 'VARCHAR'}, delim = '\\x01', quote = '', escape = '', header = false)
    """,
    "access": """
        CREATE TEMP TABLE t AS
        SELECT
            strptime(regexp_extract(line, '\\[([^ \\]]*)', 1), '%d/%b/%Y:%H:%M:%S') AS moment,
            NULL::VARCHAR AS severity, NULL::VARCHAR AS service,
            regexp_extract(line, '"([A-Z]+) ', 1) AS method, regexp_extract(line, '"[A-Z]+ ([^ ?#]*)', 1) AS route,
            try_cast(regexp_extract(line, '" (\\d{3}) ', 1) AS INTEGER) AS status,
            try_cast(regexp_extract(line, ' rt=([0-9.]+)$', 1) AS DOUBLE) * 1000 AS latency_ms,
            '' AS exit_code, NULL::VARCHAR AS message
        FROM read_csv($path, columns = {line: 'VARCHAR'}, delim = '\\x01', quote = '', escape = '', header = false)
    """,
    "flat": """
        CREATE TEMP TABLE t AS
        SELECT try_cast("timestamp" AS TIMESTAMP) AS moment, level AS severity, service,
               NULL::VARCHAR AS method, NULL::VARCHAR AS route,
               NULL::INTEGER AS status, NULL::DOUBLE AS latency_ms, '' AS exit_code,
               CASE WHEN level = 'ERROR' THEN message END AS message
        FROM read_json(
            $path, format = 'newline_delimited', ignore_errors = true, maximum_object_size = 67108864,
            columns = {"timestamp": 'VARCHAR', level: 'VARCHAR', service: 'VARCHAR', message: 'VARCHAR'})
    """,
    "heroku": """
        CREATE TEMP TABLE t AS
        SELECT
            try_cast(substr(line, 1, 26) AS TIMESTAMP) AS moment,
            NULL::VARCHAR AS severity, regexp_extract(line, ' dyno=(\\w+)', 1) AS service,
            regexp_extract(line, ' method=([A-Z]+) ', 1) AS method,
            regexp_extract(line, ' path="([^"?#]*)', 1) AS route,
            try_cast(regexp_extract(line, ' status=(\\d{3}) ', 1) AS INTEGER) AS status,
            try_cast(regexp_extract(line, ' service=(\\d+)ms ', 1) AS DOUBLE) AS latency_ms,
            '' AS exit_code, NULL::VARCHAR AS message
        FROM read_csv($path, columns = {line: 'VARCHAR'}, delim = '\\x01', quote = '', escape = '', header = false)
    """,
}
UNASKED = {
    "flat": ("top",),
    "heroku": ("top", "errors", "warnings", "error_rate", "errors_by_minute"),
}  # where a record is more than its line

# A broken line gives a row of nulls.
RECORDS = {
    "gcp": "SELECT count(severity) FROM t",
    "text": "SELECT count(*) FROM t WHERE severity <> ''",
    "access": "SELECT count(*) FROM t",
    "flat": "SELECT count(severity) FROM t",
    "heroku": "SELECT count(*) FROM t",
}

FAILED = ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")
MINUTES = f"""
    SELECT strftime(date_trunc('minute', moment), '%Y-%m-%dT%H:%M:%SZ'), count(*) FILTER (severity IN {FAILED}),
           count(status), count(*) FILTER (status >= 500)
    FROM t WHERE moment IS NOT NULL GROUP BY 1 ORDER BY 1
"""
ROUTES = """
    SELECT regexp_replace(route, '[0-9]+', '#', 'g') AS route, service, method, count(*), count(*) FILTER (status >= 500), approx_quantile(latency_ms, 0.5),
           approx_quantile(latency_ms, 0.95), max(latency_ms)
    FROM t WHERE status IS NOT NULL
    GROUP BY 1, 2, 3
"""
TOP = """
    SELECT count(*), min(moment), max(moment), min(message) FROM t WHERE message IS NOT NULL
    GROUP BY regexp_replace(regexp_extract(message, '[^\\n]*$'), '[0-9]+', '#', 'g') ORDER BY 1 DESC LIMIT 5
"""


def answer(kind: str, path: Path) -> dict[str, Any]:
    """Records, errors, warnings, statuses, latency in ms, exit codes, errors and requests by minute, the busiest routes, and
    how often the five loudest messages came."""
    import duckdb

    base = duckdb.connect()
    base.execute(TABLES[kind], {"path": str(path)})

    def rows(query: str) -> list[tuple[Any, ...]]:
        return base.execute(query).fetchall()

    severity = dict(rows("SELECT severity, count(*) FROM t WHERE severity <> '' GROUP BY 1"))
    records = rows(RECORDS[kind])[0][0]
    errors = sum(severity.get(level, 0) for level in FAILED)
    minutes = rows(MINUTES)
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
        "errors_by_minute": {minute: errors for minute, errors, _, _ in minutes},
        "requests_by_minute": {minute: [requests, failed] for minute, _, requests, failed in minutes},
        "routes": {
            f"{service or ''} {method} {route}": {"requests": n, "errors": failed, "p50": p50, "p95": p95, "max": worst}
            for route, service, method, n, failed, p50, p95, worst in rows(ROUTES)
        },
        "top": [n for n, *_ in rows(TOP)],
    }
    return {name: value for name, value in found.items() if name not in UNASKED.get(kind, ())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(sys.argv[1], Path(sys.argv[2]))) + "\n")
