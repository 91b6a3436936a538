"""Miniature logs of many kinds of systems: one statement of the program is one group, two are two, with one setting for all."""

from __future__ import annotations

from collections import defaultdict

import polars as pl
import pytest

from triage.grouping.folding import fold
from triage.grouping.signature import sign
from triage.schema import EVENTS, conform

NAMES = ("ada", "boris", "carl", "dora", "emil", "fatou", "gus", "hana")
HOSTS = ("198.51.100.7", "203.0.113.99", "cpe-203-0-113-4.dyn.isp.example", "static.44.city.net.example")

# Each inner list is what one statement of a program printed.
CORPORA: dict[str, list[list[str]]] = {
    "logins": [
        [f"Invalid user {name} from 198.51.100.{n}" for n, name in enumerate(NAMES)],
        [f"Failed password for invalid user {name} from 198.51.100.4 port {40123 + n} ssh2" for n, name in enumerate(NAMES)],
        ["Failed password for ada from 198.51.100.4 port 1022 ssh2", "Failed password for boris from 203.0.113.9 port 60022 ssh2"],
        ["Accepted publickey for ada from 198.51.100.4 port 7022 ssh2", "Accepted publickey for carl from 203.0.113.9 port 4022 ssh2"],
        [f"session opened for user {name} by (uid=0)" for name in NAMES[:3]],
        [f"session closed for user {name}" for name in NAMES[:3]],
        [f"authentication failure; uid=0 euid=0 tty=ssh ruser= rhost={host}" for host in HOSTS],
        [f"authentication failure; uid=0 euid=0 tty=ssh ruser= rhost={host} user=ada" for host in HOSTS],
        ["check pass; user unknown", "check pass; user unknown"],
        [f"Received disconnect from 203.0.113.{n}: 11: Bye Bye" for n in (1, 22, 133)],
    ],
    "block store": [
        ["Received block blk_-3544583377289625738 of size 67108864 from /10.9.8.7", "Received block blk_7071 of size 91178 from /10.9.8.6"],
        ["Deleting block blk_12 file /data/dfs/current/blk_12", "Deleting block blk_-99887766 file /data/dfs/current/subdir4/blk_-99887766"],
        ["ask 10.9.8.7:50010 to delete blk_1", "ask 10.9.8.7:50010 to delete blk_-1 blk_22 blk_-333333333"],
        ["allocate /user/ann/rand/_temporary/_task_202603_0001_m_000590_0/part-00590. blk_5", "allocate /user/ann/sort8/_temporary/_task_202603_0002_m_000001_1/part-00001. blk_-5"],
        [f"Progress of TaskAttempt attempt_1772_0020_{kind}_00000{n}_0 is : {share}" for n, (kind, share) in enumerate((("m", "0.0"), ("m", "0.48271953"), ("r", "1.0")))],
        [f"Resolved {host} to /default-rack" for host in ("WKS-SA-41.corp.example", "MINI-FAL5.corp.example", "04DN8.corp.example", "WKS-SA-7.corp.example")],
        ["Address change detected. Old: wks-41/10.9.8.7:9000 New: wks-41:9000", "Address change detected. Old: wks-7/10.9.8.6:8030 New: wks-7:8030"],
        ["attempt_1_0001_m_000001_0 TaskAttempt Transitioned from NEW to UNASSIGNED", "attempt_1_0001_r_000002_0 TaskAttempt Transitioned from NEW to UNASSIGNED"],
        ["attempt_1_0001_m_000001_0 TaskAttempt Transitioned from ASSIGNED to RUNNING"],
    ],
    "supercomputer": [
        [f"generating core.{n}" for n in (86, 2275, 1)],
        ["CE sym 20, at 0x0b85eee0, mask 0x05", "CE sym 2, at 0x1438f9e0, mask 0x40"],
        ["lr:0010a5b0 cr:44242484 xer:20000002 ctr:00000000", "lr:deadbeef cr:4424248c xer:00000002 ctr:0000cafe"],
        ["data TLB error interrupt"],
        ["data storage interrupt"],
        ["shutting down NodeCard(mLctn(R43-M1-N5), mSer(20323150383334300000), mLp(FF:F2:9F:16:D6:4F)) as part of action 549", "shutting down NodeCard(mLctn(R63-M0-N8), mSer(20323150383334311111), mLp(FF:F2:9F:15:A6:8B)) as part of action 7"],
        ["Node card check: missing U11 node in slot J18", "Node card check: missing U01 node in slot J16"],
        ["warning for torus y+ wire, suppressing further interrupts", "warning for torus z- wire, suppressing further interrupts"],
        ["Temperature (41C) exceeds warning threshold", "Temperature (44C) exceeds warning threshold"],
        ["Fan speeds ( 3552 3534 3375 **** 3515 )", "Fan speeds ( 3552 3534 3375 4245 3515 3479 )"],
        ["PSU status ( off on )"],
        ["PSU status ( on off )"],
        ["node-17 is configured out"],
        ["node-17 is running"],
    ],
    "virtual machines": [
        *([f"[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1{x}] VM {word} (Lifecycle Event)" for x in "abc"] for word in ("Started", "Paused", "Resumed", "Stopped")),
        [f'10.1.2.3 "GET {path} HTTP/1.1" status: 200 len: {len(path)} time: 0.2477829' for path in ("/v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail", "/v2/54fadb412c4e40cdbaed9335e4c35a9e/flavors/2", "/latest/meta-data/public-keys/0/openssh-key")],
        ['10.1.2.3 "GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1" status: 503 len: 9 time: 30.0'],
        ['10.1.2.3 "POST /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers HTTP/1.1" status: 202 len: 733 time: 0.49'],
        ["image 0673dd71-34c5-4fbb-86c4-40623fbe45b4 at (/var/lib/vm/_base/a489c868f0c37da93b76227c91bb03908ac0e742): checking"],
        ["image 0673dd71-34c5-4fbb-86c4-40623fbe45b4 at (/var/lib/vm/_base/a489c868f0c37da93b76227c91bb03908ac0e742): in use"],
        ["vcpu limit not specified, defaulting to unlimited"],
        ["disk limit not specified, defaulting to unlimited"],
    ],
    "proxy": [
        [
            *("a.example:443 close, 403 bytes sent, 426 bytes received, lifetime 00:02", "m.b.example:80 close, 1190 bytes sent, 1671 bytes received, lifetime <1 sec"),
            *("192.0.2.4:8080 close, 0 bytes sent, 6 bytes received, lifetime 1:02:03", "[2001:db8::7]:443 close, 0 bytes sent, 6 bytes received, lifetime 1:02:03"),
            *(f"{host} close, {n} bytes ({n / 1024:.2f} KB) sent, {n + 4} bytes ({n / 1024:.2f} KB) received, lifetime 00:02" for host, n in (("a.example:443", 1190), ("m.b.example:80", 2000), ("192.0.2.4:80", 99000))),
        ],
        [f"{host} open through proxy p.corp.example:3128 HTTPS" for host in ("a.example:443", "m.b.example:80", "x.y.z.example:443")],
        [f"{host} open through proxy p.corp.example:1080 SOCKS5" for host in ("a.example:443", "m.b.example:80", "x.y.z.example:443")],
    ],
    "compute job": [
        ["Found block rdd_2_0 locally", "Found block rdd_14_12 locally"],
        ["Running task 42.0 in stage 27.0 (TID 1172)", "Running task 4.0 in stage 2.0 (TID 11)"],
        ["Block broadcast_9 stored as values in memory (estimated size 17.6 KB, free 409.2 KB)", "Block broadcast_11 stored as values in memory (estimated size 384.0 B, free 4.1 MB)"],
        ["Block broadcast_9 stored as bytes in memory (estimated size 17.6 KB, free 409.2 KB)"],
        [f"shop.{a} is deprecated. Instead, use shop.{b}" for a, b in (("tip.id", "task.id"), ("task.nr", "task.attempt.nr"), ("task.part", "task.partition"), ("job.id", "job.ids"))],
        ["Times: total = 40, boot = -100, init = 110, finish = 30", "Times: total = 41, boot = 23, init = 11, finish = 3"],
    ],
    "telephone": [
        [f"handle action:phone.intent.action.{word}" for word in ("SCREEN_ON", "SCREEN_OFF", "TIME_TICK", "USER_PRESENT")],
        ["ready=true,policy=3,wake=1,sum=0x23,boost=false,mode=false,auto=-1", "ready=true,policy=3,wake=0,sum=0x1,boost=true,mode=false,auto=1"],
        ["startAnimation begin"],
        ["startAnimation end"],
        ["steps = 1514038440000##6993##548365##8661", "steps = 1514038440001##7##548##8"],
        ["route = 0x0 plug = -1, wake time set -30 s", "route = 0x10 plug = 1, wake time set +5 s"],
        ["addr 2607:f140:6000:8:c6b3:1ff:fecd:467f is up", "addr 2607:F140:6000:8:C6B3:1FF:FECD:467F is up"],
    ],
}  # fmt: skip


def find_groups(lines: list[str]) -> list[str]:
    """The template under which each line is counted."""
    events = conform(pl.DataFrame({"message": lines}).with_columns(kind=pl.lit("app")), EVENTS)
    templates = sign(events, every=True)[0]["template"]
    into = fold(pl.DataFrame({"template": templates}))
    return [into.get(template, template) for template in templates]


@pytest.mark.parametrize("name", CORPORA)
def test_one_statement_is_one_group_and_two_are_two(name: str) -> None:
    lines = [(line, number) for number, group in enumerate(CORPORA[name]) for line in group]
    templates: defaultdict[int, set[str]] = defaultdict(set)
    statements: defaultdict[str, set[int]] = defaultdict(set)
    for (_, number), template in zip(lines, find_groups([line for line, _ in lines]), strict=True):
        templates[number].add(template)
        statements[template].add(number)
    assert {CORPORA[name][n][0]: found for n, found in templates.items() if len(found) > 1} == {}
    assert {template: found for template, found in statements.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    "pair",
    [
        ("upstream returned 500", "upstream returned 503"),
        ("GET /pay status 200", "GET /pay status 500"),
        ("open failed: [Errno 13] denied", "open failed: [Errno -2] denied"),
        ("query failed SQLSTATE[23505]", "query failed SQLSTATE[40001]"),
        ("worker exited with code 1", "worker exited with code 137"),
        ("killed by signal 9", "killed by signal 11"),
        ("cannot connect to db:5432", "cannot connect to db:6379"),
        ("nothing listens on port 8080", "nothing listens on port 9090"),
        ("consumer started", "consumer paused"),
        ("link eth0 is up", "link eth0 is down"),
        ("ORA-00942: no table", "ORA-01017: no table"),
        ("connect ECONNREFUSED 10.0.0.1:5432", "connect ETIMEDOUT 10.0.0.1:5432"),
        ("machine error H10 at the edge", "machine error H12 at the edge"),
    ],
)
def test_what_names_a_failure_is_never_folded(pair: tuple[str, str]) -> None:
    assert len(set(find_groups(list(pair)))) == 2
