"""Known failures: rules in YAML that say what a message means, what to look at and what helps."""

from __future__ import annotations

import difflib
import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from msgspec import Struct

from triage.diagnosis.numbers import name_signal, read_numbers
from triage.errors import PackError
from triage.locating import check_types, with_lines
from triage.packs import packs, pattern_dirs


class Category(Struct, frozen=True):
    """What a rule is about: a title for people, and what was looked for when nothing of it was found."""

    title: str
    looked_for: str


CATEGORIES: Mapping[str, Category] = {
    "import_error": Category("Missing module or dependency", "modules, packages and classes that cannot be loaded"),
    "configuration": Category("Configuration", "missing or invalid settings, secrets and environment variables"),
    "boot": Category("Start-up", "programs that fail before they serve"),
    "crash": Category("Crash", "processes that end by themselves or in native code"),
    "code_defect": Category("Code defect", "uncaught exceptions and panics of the program's own code"),
    "memory": Category("Memory", "out-of-memory kills, heap limits and memory quotas"),
    "disk": Category("Disk", "full disks, lost mounts and read-only file systems"),
    "permission": Category("Permission", "files, ports and system calls that are not allowed"),
    "resource_limit": Category("Resource limit", "file descriptors, threads, processes and connections at their limit"),
    "database_connection": Category("Database connection", "databases that cannot be reached or drop connections"),
    "database_auth": Category("Database login", "database logins, roles and databases that are refused"),
    "database_query": Category("Database query", "slow, cancelled and invalid queries"),
    "db_pool_exhaustion": Category("Connection pool", "connection pools and database connection slots that ran out"),
    "migration": Category("Schema migration", "tables and columns that do not fit the code, and failed migrations"),
    "data": Category("Data", "input and stored data that break a rule or cannot be parsed"),
    "concurrency": Category("Locks and concurrency", "deadlocks, lock waits and races"),
    "redis_connection": Category("Redis", "Redis and Valkey that cannot be reached or refuse commands"),
    "stale_cache": Category("Stale cache", "cached values that no longer fit the code or the data"),
    "queue": Category("Queues and brokers", "brokers that are down and consumers that stand still"),
    "search": Category("Search cluster", "Elasticsearch and OpenSearch that refuse or lose shards"),
    "storage": Category("Object storage and volumes", "buckets, objects and volumes that cannot be used"),
    "dns": Category("Name resolution", "host names that cannot be resolved"),
    "tls": Category("TLS and certificates", "expired, untrusted and mismatched certificates"),
    "network": Category("Network", "connections that are refused, reset or not routed"),
    "port": Category("Port binding", "ports that are taken, wrong or not listened on"),
    "timeout": Category("Timeout", "callers that gave up waiting"),
    "upstream_timeout": Category("Slow backend", "proxies and platforms that gave up waiting for a backend"),
    "proxy": Category("Proxy and routing", "proxies that find no healthy backend"),
    "auth": Category("Authentication", "credentials that are missing, wrong or expired"),
    "oauth": Category("OAuth", "OAuth clients, grants and tokens that are refused"),
    "jwt": Category("JSON web tokens", "tokens that are expired, malformed or signed by another key"),
    "rate_limit": Category("Rate limit", "callers that are throttled"),
    "quota": Category("Quota", "quotas and plan limits that are used up"),
    "capacity": Category("Capacity", "instances, nodes and workers that are not enough"),
    "health_check": Category("Health check", "probes and health checks that fail"),
    "deploy": Category("Deployment", "images, packages and releases that cannot be rolled out"),
    "platform": Category("Platform", "failures and maintenance of the platform itself"),
    "lifecycle": Category("Normal life cycle", "orderly stops, restarts and scale-in"),
    "client": Category("Client side", "clients that left, sent bad requests or were blocked by the browser"),
    "cors": Category("CORS", "browser requests that were blocked across origins"),
    "http": Category("HTTP errors", "error statuses of the service itself"),
    "rpc": Category("RPC", "remote calls that fail with a status of their own"),
    "dependency": Category("Third-party service", "other services and APIs that fail"),
    "clock": Category("Clock", "clocks that are wrong or jump"),
    "feature_flag": Category("Feature flags", "flag services that fail or flags that are missing"),
    "observability": Category("Logging gap", "log lines and telemetry that were dropped"),
    "noise": Category("Harmless noise", "messages that are harmless by themselves"),
}

ROLES: Mapping[str, str] = {
    "cause": "can be a root by itself",
    "wrapper": "says that something inside failed",
    "exit": "a process or container ended",
    "proxy": "a proxy or platform cannot reach or wait for a backend",
    "timeout": "a caller gave up waiting: slowness is elsewhere, a root only if nothing else explains it",
    "http": "an HTTP status",
    "client": "the user's side",
    "lifecycle": "normal: deploys, orderly stops",
    "precursor": "an early warning",
    "noise": "harmless by itself",
}

_LONGEST = 2_000  # characters of one text that are looked at; a reason stands at its start or its very end
_TAIL = 500
_GRAM = 3  # letters under which a literal is filed; shorter literals say too little
_VALUE = 120  # characters of a captured value that go into a sentence

_PLACE = re.compile(r"\{([a-z_]+)\}")
_BORDERS = re.compile(r"[\x00-\x1f\x7f`]+")


class Filled(Struct, frozen=True):
    """The texts of one rule with the values of one match in them."""

    title: str
    cause: str
    checks: tuple[str, ...]
    fixes: tuple[str, ...]
    prevention: tuple[str, ...]
    refuted_by: tuple[str, ...]


class Rule(Struct, frozen=True):
    """One known failure.

    `rank` runs from 0 (names one thing exactly) to 100 (fits nearly anything); `confidence` from 0 to 1 says how
    surely the text by itself names the cause. `explains` holds categories and roles of what usually follows from it,
    `follows` the categories and roles of what a failure leaves broken behind it, where this is what is said from then on.
    """

    name: str
    title: str
    category: str
    role: str
    rank: int
    confidence: float
    cause: str
    id: str = ""
    patterns: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    exit_codes: frozenset[int] = frozenset()
    signals: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    kinds: frozenset[str] = frozenset()
    checks: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    prevention: tuple[str, ...] = ()
    refuted_by: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    not_examples: tuple[str, ...] = ()
    source: str = ""  # the file that it stands in

    def match(self, text: str) -> re.Match[str] | None:
        """The first of the rule's patterns that is found in the text, unless an `unless` is found too."""
        text = _shorten(text)
        hit = next((m for p in self.patterns if (m := _compiled(p).search(text))), None)
        if hit is None or any(_compiled(p).search(text) for p in self.unless):
            return None
        return hit

    def fill(self, found: re.Match[str] | str | None = None) -> Filled:
        """The rule's texts for one failure: `found` is its text, a match of it, or None for neutral wording.

        A value in running text is set as `code`; inside a command it is put in as it is. What was not captured
        becomes "the module" in text and MODULE in a command.
        """
        match = self.match(found) if isinstance(found, str) else found
        groups = match.groupdict() if match is not None else {}
        values = {name: _clean(value) for name, value in groups.items() if value and _clean(value)}

        def each(texts: Iterable[str]) -> tuple[str, ...]:
            return tuple(_fill(text, values) for text in texts)

        return Filled(
            _fill(self.title, values),
            _fill(self.cause, values),
            each(self.checks),
            each(self.fixes),
            each(self.prevention),
            each(self.refuted_by),
        )


class _Search(Struct, frozen=True):
    """One pattern of the rule at `place`. Of each set in `needs` one literal is in every text that it fits."""

    place: int
    pattern: str
    needs: tuple[frozenset[str], ...]  # the one that says most comes first


class Rules(Struct, frozen=True):
    """All known failures, ready to be recognised; the most specific rules come first."""

    rules: tuple[Rule, ...]
    _searches: tuple[_Search, ...]  # in the order of their rules
    _grams: Mapping[str, tuple[str, ...]]  # three letters -> the literals that are filed under them
    _literals: Mapping[str, tuple[int, ...]]  # literal -> the searches that it makes worth a try
    _always: tuple[int, ...]  # searches without a literal
    _exit_codes: Mapping[int, tuple[int, ...]]
    _signals: Mapping[str, tuple[int, ...]]
    _statuses: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Rules:
        """Rules in their order, with the tables that make recognition fast."""
        ordered = tuple(sorted(rules, key=lambda rule: (rule.rank, rule.name)))
        searches = tuple(
            _Search(place, pattern, _literals(pattern))
            for place, rule in enumerate(ordered)
            for pattern in rule.patterns
        )
        wanted: dict[str, list[int]] = {}
        for number, search in enumerate(searches):
            for literal in search.needs[0] if search.needs else ():
                wanted.setdefault(literal, []).append(number)
        return cls(
            ordered,
            searches,
            _file(literal for search in searches for needed in search.needs for literal in needed),
            {literal: tuple(numbers) for literal, numbers in wanted.items()},
            tuple(number for number, search in enumerate(searches) if not search.needs),
            _index(rule.exit_codes for rule in ordered),
            _index(rule.signals for rule in ordered),
            _index(rule.statuses for rule in ordered),
        )

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def rule(self, name: str) -> Rule:
        """The rule of that name; KeyError without one."""
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise KeyError(name)

    def recognise(
        self,
        text: str,
        *,
        kind: str = "message",
        exception: str | None = None,
        exit_code: int | None = None,
        signal: str | None = None,
        status: int | None = None,
    ) -> tuple[Rule, ...]:
        """Every rule that fits one failure, the most specific first; empty when nothing is known about it.

        `text` is "Type: message" of an exception, a log message or a platform's line. An exit code, a signal or an
        HTTP status that only the text tells is read from it. A rule fits when a pattern of it is found or one of its
        numbers is the failure's, and none of its `unless` patterns is found.
        """
        if exception and exception.rpartition(".")[2] not in text:
            text = f"{exception}: {text}"
        text = _shorten(text)
        numbers = read_numbers(text)
        exit_code = numbers.exit_code if exit_code is None else exit_code
        signal = numbers.signal if signal is None else name_signal(signal)
        status = numbers.status if status is None else status

        sure: set[int] = set()
        if exit_code is not None:
            sure.update(self._exit_codes.get(exit_code, ()))
        if signal is not None:
            sure.update(self._signals.get(signal, ()))
        if status is not None:
            sure.update(self._statuses.get(status, ()))

        found, told = [], self._search(text)
        for place in sorted(sure | told):
            rule = self.rules[place]
            if rule.kinds and kind not in rule.kinds:
                continue
            if kind == "exception" and rule.role == "noise" and place not in told:
                continue  # what a server that was called answered, and the program could not live with
            if any(_compiled(p).search(text) for p in rule.unless):
                continue
            found.append(rule)
        return tuple(found)

    def _search(self, text: str) -> set[int]:
        """The places of all rules of which a pattern is found in the text."""
        lower = text.lower()
        grams = {lower[n : n + _GRAM] for n in range(len(lower) - _GRAM + 1)}
        there = {literal for gram in self._grams.keys() & grams for literal in self._grams[gram] if literal in lower}
        numbers = set(self._always).union(*(self._literals.get(literal, ()) for literal in there))
        found: set[int] = set()
        for number in numbers:
            search = self._searches[number]
            if search.place in found or any(needed.isdisjoint(there) for needed in search.needs):
                continue
            if _compiled(search.pattern).search(text):
                found.add(search.place)
        return found


@with_lines
def load_rules(dirs: Sequence[Path]) -> Rules:
    """The rules of all folders; of two with one name the one in the folder that comes first wins.

    PackError names the file and the rule when one cannot be used.
    """
    chosen: dict[str, tuple[int, Rule]] = {}
    collects = gc.isenabled()
    gc.disable()  # thousands of small YAML nodes: collecting between them is a third of the time
    try:
        files = list(packs("rules", dirs))
    finally:
        if collects:
            gc.enable()
    ours = pattern_dirs()[-1]
    for path, content in files:
        order = next((n for n, folder in enumerate(dirs) if path.is_relative_to(folder)), len(dirs))
        for rule in _read_file(path, content):
            if not path.is_relative_to(ours):
                for pattern in (*rule.patterns, *rule.unless):
                    _check_pattern(pattern, rule)
            known = chosen.get(rule.name)
            if known is not None and known[0] == order:
                raise PackError(
                    f"{path}: two rules are called {rule.name!r}, the other one is in {known[1].source}",
                    hint="give one of them another name",
                )
            if known is None or order < known[0]:
                chosen[rule.name] = (order, rule)
    return Rules.of(rule for _, rule in chosen.values())


def check_samples(rules: Rules) -> list[str]:
    """What is wrong with the rules by their own examples, a sentence each; empty when all of them hold.

    Every example must be recognised with its own rule first, tried against all rules; no rule may recognise what it
    lists as not an example; and every value that a text asks for must be captured by a pattern.
    """
    problems = []
    for rule in rules:
        where = f"{rule.source}: {rule.name}"
        try:
            for pattern in (*rule.patterns, *rule.unless):
                _check_pattern(pattern, rule)
        except PackError as problem:
            problems.append(problem.message)
            continue
        captured = {name for p in rule.patterns for name in _compiled(p).groupindex}
        texts = (rule.title, rule.cause, *rule.checks, *rule.fixes, *rule.prevention, *rule.refuted_by)
        asked = {name for text in texts for name in _PLACE.findall(text)}
        problems += [f"{where}: no pattern captures {{{name}}}" for name in sorted(asked - captured)]
        if len(rule.examples) < 2:
            problems.append(f"{where}: has {len(rule.examples)} examples, needs 2")
        if not rule.not_examples:
            problems.append(f"{where}: has no not_examples")
        kind = min(rule.kinds) if rule.kinds else "message"
        for example in rule.examples:
            found = rules.recognise(example, kind=kind)
            if not found:
                problems.append(f"{where}: does not recognise its example {example!r}")
            elif found[0].name != rule.name:
                problems.append(f"{where}: its example {example!r} is taken by {found[0].name} first")
        for near in rule.not_examples:
            if any(other.name == rule.name for other in rules.recognise(near, kind=kind)):
                problems.append(f"{where}: recognises {near!r}, which it should not")
    return problems


_TEXTS = ("checks", "fixes", "prevention", "refuted_by", "examples", "not_examples")
_KEYS = frozenset(
    {"name", "id", "title", "category", "role", "rank", "confidence", "cause", "match", "unless", "exit_codes"}
    | {"signals", "statuses", "kinds", "explains", "follows", *_TEXTS}
)
_NEEDED = ("name", "title", "category", "role", "rank", "confidence", "cause")


class _Names(TypedDict, total=False):
    name: str
    title: str
    category: str
    role: str
    cause: str


def _read_file(path: Path, content: Mapping[str, Any]) -> Iterator[Rule]:
    listed = content.get("rules")
    if not isinstance(listed, list):
        raise PackError(f"{path}: the file has no list of rules", hint="write them under rules:")
    for place, entry in enumerate(listed, start=1):
        if not isinstance(entry, dict):
            raise PackError(f"{path}: rule {place} is not a mapping", hint="start it with - name:")
        yield _read_rule(path, place, entry)


def _read_rule(path: Path, place: int, entry: Mapping[str, Any]) -> Rule:
    where = f"{path}: rule {entry.get('name', place)!r}"
    for key in entry:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(_KEYS))}"
            raise PackError(f"{where}: unknown key {key!r}", hint=hint)
    for key in _NEEDED:
        if entry.get(key) in (None, ""):
            raise PackError(f"{where}: {key} is missing", hint=f"every rule has {', '.join(_NEEDED)}")
    check_types(entry, _Names, where)
    if entry["category"] not in CATEGORIES:
        raise PackError(f"{where}: no category {entry['category']!r}", hint=f"known: {', '.join(CATEGORIES)}")
    if entry["role"] not in ROLES:
        raise PackError(f"{where}: no role {entry['role']!r}", hint=f"known: {', '.join(ROLES)}")
    explains = tuple(_words(entry.get("explains")))
    for word in explains:
        if word not in CATEGORIES and word not in ROLES:
            raise PackError(f"{where}: explains {word!r}", hint="it takes names of categories and roles")
    follows = tuple(_words(entry.get("follows")))
    for word in follows:
        if word not in CATEGORIES and word not in ROLES:
            raise PackError(f"{where}: follows {word!r}", hint="it takes names of categories and roles")
    rank = _number(entry["rank"], 0, 100, f"{where}: rank")
    confidence = _number(entry["confidence"], 0, 1, f"{where}: confidence")
    try:
        exit_codes = frozenset(int(word) for word in _words(entry.get("exit_codes")))
        statuses = frozenset(int(word) for word in _words(entry.get("statuses")))
    except ValueError:
        raise PackError(f"{where}: exit_codes and statuses are numbers", hint="write exit_codes: 126 127") from None
    rule = Rule(
        name=str(entry["name"]),
        id=str(entry.get("id", "")),
        title=str(entry["title"]).strip(),
        category=entry["category"],
        role=entry["role"],
        rank=int(rank),
        confidence=confidence,
        cause=" ".join(str(entry["cause"]).split()),
        patterns=_lines(entry.get("match")),
        unless=_lines(entry.get("unless")),
        exit_codes=exit_codes,
        signals=frozenset(name_signal(word) for word in _words(entry.get("signals"))),
        statuses=statuses,
        kinds=frozenset(_words(entry.get("kinds"))),
        explains=explains,
        follows=follows,
        source=str(path),
        **{key: _lines(entry.get(key)) for key in _TEXTS},
    )
    if not (rule.patterns or rule.exit_codes or rule.signals or rule.statuses):
        raise PackError(f"{where}: nothing says when it fits", hint="add match:, exit_codes:, signals: or statuses:")
    return rule


def _lines(value: Any) -> tuple[str, ...]:
    """One text a line, or a YAML list of them."""
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(str(item).strip() for item in value)
    return tuple(line for each in str(value).split("\n") if (line := each.strip()))


def _words(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else str(value).split()


def _number(value: Any, low: float, high: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise PackError(f"{what} is {value!r}", hint=f"it is a number from {low:g} to {high:g}")
    return float(value)


@cache  # a bounded set: the patterns of the rule files
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_ESCAPED = re.compile(r"\\[^1-9GZz]")
_FOREIGN = re.compile(r"\(\?(?:[=!>(]|<[=!]|P[=>])|\\[1-9]|\\[GZz]|[+*?}]\+")


def _check_pattern(pattern: str, rule: Rule) -> None:
    """PackError when a pattern does not compile or leaves what Python and Rust regexes have in common."""
    where = f"{rule.source}: rule {rule.name!r}"
    foreign = _FOREIGN.search(_ESCAPED.sub("a", pattern))
    if foreign is not None:
        raise PackError(
            f"{where}: {foreign.group()!r} in the pattern {pattern!r}",
            hint="no look-around, back-references or possessive quantifiers; use unless: for what must not be there",
        )
    try:
        _compiled(pattern)
    except re.error as problem:
        raise PackError(f"{where}: bad pattern {pattern!r}: {problem}", hint="escape signs that are meant") from None


def _index(numbers: Iterable[frozenset[Any]]) -> dict[Any, tuple[int, ...]]:
    found: dict[Any, list[int]] = {}
    for place, each in enumerate(numbers):
        for number in each:
            found.setdefault(number, []).append(place)
    return {number: tuple(places) for number, places in found.items()}


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - _TAIL]}\n{text[-_TAIL:]}"


def _clean(value: str) -> str:
    flat = " ".join(_BORDERS.sub(" ", value).split())
    return flat if len(flat) <= _VALUE else flat[: _VALUE - 1] + "…"


def _fill(text: str, values: Mapping[str, str]) -> str:
    if "{" not in text:
        return text

    def put(place: re.Match[str]) -> str:
        name = place[1]
        if text.count("`", 0, place.start()) % 2:
            return values.get(name) or name.upper()
        value = values.get(name)
        return f"`{value}`" if value else f"the {name.replace('_', ' ')}"

    filled = _PLACE.sub(put, text)
    return filled[:1].upper() + filled[1:]


def _file(literals: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each literal under its first letters."""
    filed: dict[str, list[str]] = {}
    for literal in sorted(set(literals)):
        filed.setdefault(literal[:_GRAM], []).append(literal)
    return {gram: tuple(each) for gram, each in filed.items()}


def _literals(pattern: str) -> tuple[frozenset[str], ...]:
    """Sets of lower-case strings: every text that the pattern fits holds at least one of each set."""
    needs, _ = _alternatives(pattern, 0)
    return tuple(sorted(needs, key=_worth, reverse=True))


def _worth(needed: frozenset[str]) -> tuple[int, int]:
    return min(map(len, needed)), -len(needed)


def _alternatives(pattern: str, at: int) -> tuple[list[frozenset[str]], int]:
    """What `a|b|...` from `at` up to its closing bracket needs, and where it ends."""
    branches = []
    while True:
        needs, at = _sequence(pattern, at)
        branches.append(needs)
        if at >= len(pattern) or pattern[at] == ")":
            break
        at += 1  # the bar
    if len(branches) == 1:
        return branches[0], at
    if not all(branches):
        return [], at
    return [frozenset().union(*(max(needs, key=_worth) for needs in branches))], at


def _sequence(pattern: str, at: int) -> tuple[list[frozenset[str]], int]:
    """What the atoms from `at` up to a bar or a closing bracket need, and where they end."""
    needs: list[frozenset[str]] = []
    run: list[str] = []
    size = len(pattern)
    while True:
        sign = pattern[at] if at < size else "|"
        literal: str | None = None
        group: list[frozenset[str]] = []
        if sign in "|)":
            _end_run(run, needs)
            return needs, at
        if sign == "\\":
            literal = None if pattern[at + 1].isalnum() else pattern[at + 1]
            at += 2
        elif sign == "[":
            closed = _CLASS.match(pattern, at)
            at = closed.end() if closed else size
        elif sign == "(":
            opened = _OPEN.match(pattern, at)
            at = opened.end() if opened else at + 1
            group, at = _alternatives(pattern, at)
            at += 1
        elif sign in ".^$":
            at += 1
        else:
            plain = _PLAIN.match(pattern, at)
            literal = plain.group() if plain else sign
            at += len(literal)
        times = _TIMES.match(pattern, at) if at < size and pattern[at] in "*+?{" else None
        if times is None:
            if literal is None:
                _end_run(run, needs)
                needs += group
            else:
                run.append(literal)
            continue
        at = times.end()
        optional = times.group()[0] in "?*" or times["low"] == "0"
        if literal is not None:  # the sign repeats the last character only
            run.append(literal[:-1] if optional else literal)
        _end_run(run, needs)
        if not optional:
            needs += group


def _end_run(run: list[str], needs: list[frozenset[str]]) -> None:
    literal = "".join(run).lower()
    run.clear()
    if len(literal) >= _GRAM:
        needs.append(frozenset({literal}))


_PLAIN = re.compile(r"[\w :,;'\"=/<>!@#%&~`\-]+")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]")
_OPEN = re.compile(r"\((?:\?(?:P<\w+>|[a-z]*:|[a-z]+(?=\))))?")
_TIMES = re.compile(r"(?:[*+?]|\{(?P<low>\d+)(?:,\d*)?\})\??")
