"""Words that folding never takes for values: names of things that hold a number, and what a record says happened."""

from __future__ import annotations

import re

# Words with a number in them that are names of things, not one of many.
NAMED = frozenset(
    """
    utf8 utf16 utf32 s3 ec2 ipv4 ipv6 h2 h3 http2 http3 x86 x64 x509 sha1 sha224 sha256 sha384 sha512 md5 base64
    base32 int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 k8s i18n l10n oauth1 oauth2 log4j
    mp3 mp4 h264 tls1 ssl3 python2 python3 psycopg2 psycopg3 urllib3 boto3 jinja2 sqlite3 md4 sm2 route53 web3
    p50 p90 p95 p99
    """.split()  # noqa: SIM905 - a list of words
)

# What a machine has several of: with a number behind it, it is one of them and no code.
PARTS = frozenset(
    """
    cpu gpu irq dimm core node slot port disk lun fan psu nic eth vm vlan usb sata pci bank rank host rack zone shard
    """.split()  # noqa: SIM905 - a list of words
)

# Words behind which the name of one of many stands.
NAMING = frozenset(
    """
    user username rhost login logname ruser account host hostname node client peer datasource domain realm member owner
    """.split()  # noqa: SIM905 - a list of words
)

# Names of fields whose value says what happened.
TELLING = frozenset(
    """
    msg message error err errno sig rc http port exit reason event status state level lvl severity result cause code exception type kind
    action op operation method verb outcome phase signal response answer health mode
    """.split()  # noqa: SIM905 - a list of words
)

BOOLEANS = frozenset(("true", "false"))

LINKING = frozenset(("is", "was", "has", "to", "of", "for", "with", "and", "or", "the", "set", "by"))

# Words that say nothing of what happened where other words of the same place are values ("user info", "owner null").
EMPTY = frozenset(("null", "none", "nil", "info", "debug", "notice", "new", "old", "first", "last", "normal"))

# What a record says happened, or how: two of these are two different messages, however many there are.
SAYING = frozenset(
    """
    up down on off yes no true false ok none null nil start stop pause resume open close read write get put post
    delete patch head options trace debug info notice warn warning error critical fatal alert success failure
    fail pass timeout active inactive idle ready pending healthy unhealthy enable disable allow deny accept
    reject add remove create update insert select drop alter begin commit rollback abort kill exit enter leave
    connect disconnect login logout retry skip hit miss lock unlock before after too not and or for from with
    without to in at by of is was has the a an opened closed failed succeeded running stopped paused resumed
    spawning building online offline master slave leader follower primary secondary left right high low new old
    full empty first last next previous found lost good bad valid invalid known unknown missing present normal
    degraded
    """.split()  # noqa: SIM905 - a list of words
)
SAYING_END = re.compile(
    r"(?:ed|ing|en|able|ible|ful|less|Error|Exception|Failure|Warning|Timeout|Fault|Exit|Interrupt)$"
)
