"""Lines that a log says are missing from it: counted over the whole input and told."""

from __future__ import annotations

from pathlib import Path

import pytest

import triage


def notices(tmp_path: Path, text: str) -> str:
    path = tmp_path / "in.log"
    path.write_text(text)
    return "\n".join(triage.analyze(str(path)).intake.notices)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"level":"warn","timestamp":"2026-03-02T10:14:07.123456Z","message":"Railway rate limit of 500 logs/sec reached '
            'for replica, update your application to reduce the logging rate. Messages dropped: 50"}\n',
            "at least 50 messages were dropped by the platform or its log daemon and are missing here (said on line 1)",
        ),
        (
            "Mar  2 10:14:07 h1 systemd-journald[1]: Suppressed 12 messages from api.service\n"
            "Mar  2 10:14:08 h1 app[3]: ready\n"
            "Mar  2 10:14:09 h1 kernel: net_ratelimit: 44 callbacks suppressed\n",
            "at least 56 messages were dropped by the platform or its log daemon and are missing here (said on 2 lines, the first is line 1)",
        ),
        (
            "2026-03-02T10:14:07+00:00 heroku[logplex]: Error L11 (Tail buffer overflow) -> This tail session dropped 1101 "
            "messages since 2026-03-02T10:14:00+00:00.\n",
            "at least 1,101 messages were dropped",
        ),
        (
            '{"time":"2026-03-02T10:14:39.002Z","type":"platform.logsDropped","record":{"droppedBytes":12345,"droppedRecords":123,'
            '"reason":"the extension fell behind"}}\n'
            '{"time":"2026-03-02T10:15:39.002Z","type":"platform.logsDropped","record":{"droppedBytes":45,"droppedRecords":7,'
            '"reason":"the extension fell behind"}}\n',
            "at least 130 messages were dropped by the platform or its log daemon and are missing here (said on 2 lines, the first is line 1)",
        ),
        (
            "2026-03-02T10:14:07Z ERROR api: body was {'a': 1, 'b'...[truncated]\n2026-03-02T10:14:08Z INFO api: done\n"
            "2026-03-02T10:14:09Z ERROR api: body was xxxx [truncated 4000 bytes]\n",
            "in.log: 2 entries are marked as truncated by what wrote or carried them (the first on line 1)",
        ),
        (
            '{"time":"2026-03-02T10:14:07Z","level":"error","msg":"a long one","messageTruncated":true}\n'
            '{"time":"2026-03-02T10:14:08Z","level":"info","msg":"a short one","messageTruncated":false}\n',
            "in.log: 1 entry is marked as truncated",
        ),
        ("rsyslogd: imjournal: begin to drop messages due to rate-limiting\n", "messages were dropped by the platform"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, text: str, said: str) -> None:
    assert said in notices(tmp_path, text)


def test_a_table_that_was_truncated_is_no_entry_cut_short(tmp_path: Path) -> None:
    text = "2026-03-02T10:14:07Z INFO table sessions truncated\n2026-03-02T10:14:08Z INFO truncated [sessions]\n"
    assert "marked as truncated" not in notices(tmp_path, text)


def test_nothing_missing_is_nothing_told(tmp_path: Path) -> None:
    assert "dropped" not in notices(tmp_path, "2026-03-02T10:14:07Z INFO dropped 3 events from the queue\n")
