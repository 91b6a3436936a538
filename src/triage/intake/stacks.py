"""One traceback as text to its exceptions and frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from msgspec import Struct, field
from msgspec.structs import replace

from triage.errors import PackError
from triage.intake.renderings import unboxed, unmarked
from triage.locating import check_types, with_lines
from triage.packs import is_ours, packs, pattern_dirs


class Frame(Struct, frozen=True):
    """One call. `file` as printed; `in_app` is False for the runtime, its library and installed packages."""

    function: str | None
    file: str | None
    line: int | None
    column: int | None = None
    in_app: bool = True
    code: str | None = None  # the source line, where the traceback prints it


class Raised(Struct, frozen=True):
    """One exception of a chain. `frames` in the order printed."""

    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    link: str | None = (
        None  # how the NEXT one of the stack came of this one: raised_from, while_handling; None at the end
    )


class Stack(Struct, frozen=True):
    """A parsed traceback: exceptions root cause first, the one that the program saw last."""

    language: str
    exceptions: tuple[Raised, ...]
    newest_first: bool = False  # order of the frames as printed: the raising frame comes first
    truncated: bool = False


LINE_CLASSES = (
    "traceback",
    "report",
    "crash",
    "remark",
    "chain",
    "cause",
    "frame",
    "more",
    "headline",
    "detail",
    "last",
)
_PARSE = (
    "frames bare folds functions places headline says cause again aside resume skip pop stop stop_at_second".split()  # noqa: SIM905 - a list of words
)
_LIBRARY = ("library", "library_functions", "runtime", "runtime_functions")


class Language(Struct, frozen=True):
    """The grammar of one language's tracebacks, compiled from one file in patterns/traces."""

    name: str
    title: str
    path: str
    order: int
    marks: re.Pattern[str]
    lines: Mapping[str, tuple[str, ...]]  # class of line -> patterns, matched from the start of a line
    rules: Mapping[str, tuple[re.Pattern[str], ...]]
    places: Mapping[str, re.Pattern[str] | None]  # library, library_functions, runtime, runtime_functions
    newest_first: bool
    last_is_root: bool
    inline_cause: str | None
    anonymous: str | None
    samples: tuple[Mapping[str, Any], ...]

    def match(self, rule: str, line: str) -> re.Match[str] | None:
        """The first pattern of that rule which matches the line from its start."""
        for pattern in self.rules[rule]:
            if found := pattern.match(line):
                return found
        return None

    def searches(self, rule: str, line: str) -> bool:
        """Whether a pattern of that rule occurs in the line."""
        return any(pattern.search(line) for pattern in self.rules[rule])


class Traces(Struct, frozen=True):
    """All languages known, the ones with the most definite marks first."""

    languages: tuple[Language, ...]

    def lines(self, kind: str) -> tuple[str, ...]:
        """The patterns of all languages for one class of line."""
        return tuple(p for language in self.languages for p in language.lines.get(kind, ()))


@with_lines
def load_traces(dirs: Sequence[Path]) -> Traces:
    """The trace grammars of those pattern folders, compiled; PackError with file and key where one is wrong."""
    languages = [_read_language(path, pack) for path, pack in packs("traces", dirs)]
    return Traces(tuple(sorted(languages, key=lambda language: (language.order, language.name))))


@cache
def default_traces() -> Traces:
    """The grammars that come with triage."""
    return load_traces(pattern_dirs())


@cache
def known_traces(dirs: tuple[Path, ...] | None) -> Traces:
    """The grammars of those pattern folders, read once; ours for None."""
    return default_traces() if dirs is None else load_traces(dirs)


def parse_stack(text: str, *, traces: Traces | None = None) -> Stack:
    """Exceptions and frames of one traceback, root cause first; a text that is none gives a Stack without exceptions.

    Never raises on text. The lines in front of the traceback are passed over. An exception whose headline was cut off
    has the type "".
    """
    known = default_traces() if traces is None else traces
    lines = [line.rstrip() for line in _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")]
    plain = "\n".join(lines)
    for language in known.languages:
        if language.marks.search(plain):
            if language.name == "python":
                stack = _parse_python(language, unboxed(_outdented(lines)))
            else:
                stack = _parse_lines(language, _CLEANED.get(language.name, list)(lines))
            if stack.exceptions:
                return stack
    return _parse_headline(lines)


def _outdented(lines: Sequence[str]) -> Sequence[str]:
    """The lines of a Python traceback that its logger moved to the right, line by line, where they belong."""
    first = next(
        (n for n, line in enumerate(lines) if line.lstrip(" ").startswith("Traceback (most recent call last):")), None
    )
    indent = "" if first is None else lines[first][: len(lines[first]) - len(lines[first].lstrip(" "))]
    return [line.removeprefix(indent) for line in lines] if indent else lines


def _unescaped(lines: Sequence[str]) -> list[str]:
    """The lines of a PHP traceback inside of JSON (Monolog's context) with plain backslashes."""
    return [line.replace("\\\\", "\\") for line in lines]


_CLEANED: Mapping[str, Callable[[Sequence[str]], Sequence[str]]] = {"javascript": unmarked, "php": _unescaped}


def raising_frame(stack: Stack, exception: Raised) -> Frame | None:
    """The frame to show for an exception: the in-app one nearest to the crash, else the innermost outside the runtime.

    When every frame is the runtime's own it is the innermost; None when the exception has no frames.
    """
    inner_first = exception.frames if stack.newest_first else tuple(reversed(exception.frames))
    app = next((frame for frame in inner_first if frame.in_app), None)
    if app is not None:
        return app
    outside = next((frame for frame in inner_first if not _is_runtime(stack.language, frame)), None)
    return outside or (inner_first[0] if inner_first else None)


def check_samples(traces: Traces) -> list[str]:
    """What the samples of the grammars expect and do not get, one sentence each; empty when all is well."""
    problems = []
    for language in traces.languages:
        if not language.samples:
            problems.append(f"{language.path}: {language.name} has no samples")
        for number, sample in enumerate(language.samples, 1):
            where = f"{language.path}: sample {number}"
            stack = parse_stack(str(sample.get("text", "")), traces=traces)
            if stack.language != language.name:
                problems.append(f"{where}: read as {stack.language}, not {language.name}")
                continue
            got: list[Any] = [{"type": e.type, "message": e.message, "link": e.link} for e in stack.exceptions]
            if got != sample.get("exceptions"):
                problems.append(f"{where}: exceptions expected {sample.get('exceptions')}, got {got}")
            frames = [f for e in stack.exceptions for f in e.frames]
            got = [{"function": f.function, "file": f.file, "line": f.line, "in_app": f.in_app} for f in frames]
            if got != sample.get("frames"):
                problems.append(f"{where}: frames expected {sample.get('frames')}, got {got}")
    return problems


# ---------------------------------------------------------------------------------------------------- reading the files


class _Shape(TypedDict, total=False):
    name: str
    title: str
    order: int


def _read_language(path: Path, pack: Mapping[str, Any]) -> Language:
    check_types(pack, _Shape, str(path))
    parse = _mapping(path, pack, "parse")
    lines = _mapping(path, pack, "lines")
    for kind in lines:
        if kind not in LINE_CLASSES:
            raise PackError(f"{path}: no class of lines is called {kind!r}", hint=f"known: {', '.join(LINE_CLASSES)}")
    for key in parse:
        if key not in (*_PARSE, "order", "exceptions", "inline_cause", "anonymous"):
            raise PackError(f"{path}: parse has no key {key!r}", hint=f"known: {', '.join(_PARSE)}")
    marks = _strings(path, pack, "marks")
    if not marks:
        raise PackError(f"{path}: marks is missing", hint="give patterns that only this language's tracebacks match")
    samples = pack.get("samples", [])
    if not isinstance(samples, list) or not all(isinstance(s, dict) for s in samples):
        raise PackError(f"{path}: samples must be a list of mappings", hint="each with text, exceptions and frames")
    return Language(
        name=str(pack.get("name", path.stem)),
        title=str(pack.get("title", path.stem)),
        path=path.name,
        order=int(pack.get("order", 50)),
        marks=_compile(path, "marks", "|".join(f"(?:{m})" for m in marks), re.MULTILINE),
        lines={kind: _checked(path, f"lines.{kind}", _strings(path, lines, kind)) for kind in lines},
        rules=_compiled(path, _PARSE, lambda key: tuple(_compile(path, key, p) for p in _strings(path, parse, key))),
        places=_compiled(path, _LIBRARY, lambda key: _union(path, key, _strings(path, pack, key))),
        newest_first=parse.get("order", "newest_first") == "newest_first",
        last_is_root=parse.get("exceptions", "first") == "last",
        inline_cause=parse.get("inline_cause"),
        anonymous=parse.get("anonymous"),
        samples=tuple(samples),
    )


class _WhenAsked(dict[str, Any]):
    """Patterns by key, compiled when they are asked for: a log holds tracebacks of few languages."""

    def __init__(self, compiled: Callable[[str], Any]) -> None:
        super().__init__()
        self._compiled = compiled

    def __missing__(self, key: str) -> Any:
        made = self[key] = self._compiled(key)
        return made


def _compiled(path: Path, keys: Iterable[str], compiled: Callable[[str], Any]) -> Mapping[str, Any]:
    """The patterns of these keys; those of users at once, so that they learn of what is wrong."""
    return _WhenAsked(compiled) if is_ours(path) else {key: compiled(key) for key in keys}


def _mapping(path: Path, pack: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = pack.get(key, {})
    if not isinstance(value, dict):
        raise PackError(f"{path}: {key} must be a mapping", hint="look at python.yaml for its keys")
    return value


def _strings(path: Path, pack: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = pack.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise PackError(f"{path}: {key} must be a list of patterns", hint="put each in single quotes behind a dash")
    return tuple(value)


def _compile(path: Path, key: str, pattern: str, flags: int = 0) -> re.Pattern[str]:
    try:
        return re.compile(pattern, flags | re.ASCII)
    except re.error as problem:
        raise PackError(f"{path}: {key}: {problem}: {pattern}", hint="use what Rust and Python regexes share") from None


def _checked(path: Path, key: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    if is_ours(path):
        return patterns
    from triage.intake.formats import refusal

    for pattern in patterns:
        _compile(path, key, pattern)
        if re.search(r"\(\?<?[=!]|\\[1-9]", pattern):
            raise PackError(
                f"{path}: {key}: look-around and back-references do not work here: {pattern}",
                hint="give the line a class of its own instead",
            )
        if problem := refusal(pattern):
            raise PackError(f"{path}: {key}: polars refuses {pattern!r}: {problem}", hint="write it as a Rust regex")
    return patterns


def _union(path: Path, key: str, patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    return _compile(path, key, "|".join(f"(?:{p})" for p in patterns)) if patterns else None


# -------------------------------------------------------------------------------------------------------------- drafts

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ADVICE = re.compile(r"(?:: |\. |\s)?Did you mean:? .*\?$")
_BARE_HEADLINE = re.compile(
    r"(?P<type>(?:[A-Za-z_][\w$]*(?:\.|::))*[A-Z][\w$]*(?:Error|Exception|Interrupt|Exit))(?:: (?P<message>.*))?$"
)


class _Draft(Struct):
    """An exception while its lines are being read."""

    type: str = ""
    message: list[str] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    link: str | None = None

    def finish(self, link: str | None) -> Raised:
        while self.message and not self.message[-1].strip():
            self.message.pop()
        text = "\n".join(self.message).strip()
        if text.endswith("):") and text.count(")") > text.count("("):  # "Type (message of several lines):"
            text = text[:-2].rstrip()
        return Raised(self.type, text, tuple(self.frames), link)


def _parse_headline(lines: Sequence[str]) -> Stack:
    """A text without frames: a lone exception headline at the start of its first line, or nothing."""
    first = next((line for line in lines if line.strip()), "")
    found = _BARE_HEADLINE.match(first.strip())
    if not found:
        return Stack("unknown", ())
    return Stack("unknown", (Raised(found["type"], (found["message"] or "").strip()),))


def _is_library(language: Language, function: str | None, file: str | None) -> bool:
    by_file, by_function = language.places["library"], language.places["library_functions"]
    return bool(
        (by_file and file and by_file.search(file)) or (by_function and function and by_function.search(function))
    )


def _is_runtime(name: str, frame: Frame) -> bool:
    language = next((known for known in default_traces().languages if known.name == name), None)
    if language is None:
        return False
    by_file, by_function = language.places["runtime"], language.places["runtime_functions"]
    return bool(
        (by_file and frame.file and by_file.search(frame.file))
        or (by_function and frame.function and by_function.search(frame.function))
    )


def _frame(language: Language, found: re.Match[str], function: str | None = None) -> Frame:
    groups = found.groupdict()
    name = groups.get("function") or function
    if language.anonymous is not None:
        name = _name_script_function(name) or language.anonymous
    file = groups.get("file")
    line, column = groups.get("line"), groups.get("column")
    return Frame(
        function=name.strip() if name else None,
        file=file,
        line=int(line) if line else None,
        column=int(column) if column else None,
        in_app=not _is_library(language, name, file),
    )


def _name_script_function(name: str | None) -> str | None:
    """Old browsers print arguments behind a function's name, and a phrase for a function without one."""
    if not name:
        return None
    if found := re.match(r"<anonymous function(?:: (.*?))?>", name):
        return found[1]
    name = re.sub(r"(?<=[\w>])\((?:[^()]*|\[.*\])\)$", "", name)
    return None if name in ("()", "(null)", "") else name


# -------------------------------------------------------------------------------------------------------------- Python

_TRACEBACK = re.compile(r"^(?P<before>.*?)(?:Exception Group )?Traceback \(most recent call last\):\s*$")
_FILE = re.compile(r'^\s*>?\s*File "(?P<file>[^"]*)", line (?P<line>\d+)(?:,? in (?P<function>.*))?$')
_FATAL = re.compile(r"^(?P<type>Fatal Python error|Windows fatal exception): (?P<message>\S.*)$")
_THREAD = re.compile(r"^(?:(?P<current>Current thread)|Thread) 0x[0-9a-f]+ .*\(most recent call first\):")
_MARKERS = re.compile(r"^[\s^~]*$")
_DIRECT = "The above exception was the direct cause of the following exception:"
_HANDLING = "During handling of the above exception, another exception occurred:"
_TYPED = re.compile(r"^(?P<type>[A-Za-z_][\w.<>]*)(?:: ?(?P<message>.*))?$")
_SHOWN = re.compile(
    r"\n\s*[^\n]+\n[ \t]*[\^~]+(?=\)|\s*$)"
)  # the code that Ruby shows below a message, and its markers
_LOGGED = re.compile(r"^\[ERROR\] (?P<type>[A-Za-z_][\w.]*): (?P<message>.*)$")
_MARGIN = re.compile(r"^(?P<indent>\s*)[|+](?:[ -]|$)")
_DIVIDER = re.compile(r"^\s*\+(?:-\+)?-+ (?:\d+|\.\.\.) -+$")


def _parse_python(language: Language, lines: Sequence[str]) -> Stack:
    if (start := next((n for n, line in enumerate(lines) if _FATAL.match(line)), None)) is not None:
        return _read_fatal(language, lines[start:])
    drafts, truncated = _read_python(language, lines)
    last = len(drafts) - 1
    return Stack(
        language.name,
        tuple(draft.finish(draft.link if n < last else None) for n, draft in enumerate(drafts)),
        truncated=truncated,
    )


def _read_fatal(language: Language, lines: Sequence[str]) -> Stack:
    """What the interpreter prints when it dies: the calls of the thread it died in, newest first."""
    threads: dict[bool, list[Frame]] = {}
    frames: list[Frame] | None = None
    for line in lines:
        if found := _THREAD.match(line):
            frames = [] if found["current"] or not threads else None
            if frames is not None:
                threads[bool(found["current"])] = frames
        elif frames is not None and (found := _FILE.match(line)):
            frames.append(_frame(language, found))
    found = _FATAL.match(lines[0])
    kind, message = (found["type"], found["message"]) if found else ("", "")
    raised = Raised(kind, message, tuple(threads.get(True, threads.get(False, []))))
    return Stack(language.name, (raised,), newest_first=True)


def _read_python(language: Language, lines: Sequence[str]) -> tuple[list[_Draft], bool]:
    """Drafts, root cause first, each linked to its next; and whether an exception's headline is missing."""
    drafts: list[_Draft] = []
    current: _Draft | None = None
    logged: re.Match[str] | None = None
    n = 0
    while n < len(lines):
        line = lines[n]
        margin = _MARGIN.match(line)
        if margin and (current is None or not current.type) and not _FILE.match(line):
            end = n
            while end < len(lines) and _MARGIN.match(lines[end]):
                end += 1
            group = _read_group(language, lines[n:end], len(margin["indent"]))
            if group:
                drafts.extend(group)
                current = drafts[-1]
                n = end
                continue
        if (text := line.strip()) in (_DIRECT, _HANDLING):
            if drafts:
                drafts[-1].link = "raised_from" if text == _DIRECT else "while_handling"
            current = None
        elif _TRACEBACK.match(line):
            if current is not None and current.frames:  # another traceback without a chain sentence: not of this one
                break
            if current is None or current.type:
                current = _Draft()
                drafts.append(current)
        elif current is not None and not current.type:
            n = _read_python_body(language, lines, n, current)
        elif found := _FILE.match(line):
            current = _Draft()
            drafts.append(current)
            current.frames.append(_frame(language, found))
        elif current is not None:
            current.message.append(line)
        elif found := _LOGGED.match(line):
            logged = found
        n += 1
    drafts = [draft for draft in drafts if draft.type or draft.frames]
    if drafts and not drafts[-1].type and logged:
        drafts[-1].type, drafts[-1].message = logged["type"], [logged["message"]]
    for draft in drafts:
        if draft.message:
            draft.message[0] = _ADVICE.sub("", draft.message[0])
    for draft in drafts[:-1]:
        draft.link = draft.link or "raised_from"
    return drafts, any(not draft.type for draft in drafts)


def _read_python_body(language: Language, lines: Sequence[str], n: int, draft: _Draft) -> int:
    """Take line n into a draft that has no headline yet; the number of the last line taken."""
    line = lines[n]
    if found := _FILE.match(line):
        frame = _frame(language, found)
        follower = lines[n + 1] if n + 1 < len(lines) else ""
        if follower.startswith("    ") and not _FILE.match(follower) and not _MARKERS.match(follower):
            frame = replace(frame, code=follower.strip())
            n += 1
        draft.frames.append(frame)
    elif line[:1] not in (" ", "\t", "[", "") and (found := _TYPED.match(line)):
        draft.type = found["type"]
        draft.message.append(found["message"] or "")
    return n


def _read_group(language: Language, lines: Sequence[str], indent: int) -> list[_Draft]:
    """An exception group: the chain of its first member, then the group. Empty when the lines are no group."""
    own: list[str] = []
    member: list[str] = []
    dividers = 0
    for line in lines:
        if _DIVIDER.match(line):
            margin = len(line) - len(line.lstrip())
            if margin in (indent, indent + 2):
                dividers += 1
                continue
        depth = len(line) - len(line.lstrip())
        if depth == indent and dividers == 0:
            own.append(line[indent + 2 :])
        elif depth > indent and dividers == 1 and not re.fullmatch(r"\s*\+-+", line):
            member.append(line[indent + 4 :])
    if not own:
        return []
    inner, _ = _read_python(language, member) if member else ([], False)
    outer, _ = _read_python(language, own)
    if inner and outer:
        inner[-1].link = "raised_from"
    return inner + outer


# ----------------------------------------------------------------------------------------------------- other languages


def _parse_lines(language: Language, lines: Sequence[str]) -> Stack:
    """The languages whose traces are a headline and frames, by the rules of their file."""
    drafts: list[_Draft] = []
    open_drafts: list[_Draft] = []  # the last one takes the frames; inner exceptions of .NET are above the outer ones
    function: str | None = None
    aside = seen_second = numbered = False
    # a stack of fn@place lines names code without a place by its function alone
    placeless = bool(language.rules["bare"]) and any("@" in line and language.match("frames", line) for line in lines)

    def start(draft: _Draft) -> None:
        drafts.append(draft)
        open_drafts.append(draft)

    for line in _folded(language, lines):
        if not line.strip():
            continue
        current = open_drafts[-1] if open_drafts else None
        if aside:
            aside = not language.match("resume", line)
        if aside or language.match("aside", line):
            aside = True
            continue
        if language.searches("stop", line):
            break
        if language.match("stop_at_second", line):
            if seen_second:
                break
            seen_second = True
            continue
        if language.match("pop", line):
            if len(open_drafts) > 1:
                open_drafts.pop()
            continue
        if language.name == "rust" and line in ("Caused by:", "Error:"):
            numbered = True
            continue
        if numbered and line == "Location:":
            break
        if numbered and (found := re.match(r"^\s+(?:\d+: )?(?P<message>\S.*)$", line)):
            start(_Draft("Error", [found["message"]]))
            continue
        if drafts and (found := language.match("cause", line)):
            start(_draft(language, found))
            continue
        if drafts and (found := language.match("again", line)):
            drafts[-1].link = "while_handling"
            start(_draft(language, found))
            continue
        if language.searches("skip", line):
            continue
        if placeless and language.match("bare", line):
            _take(drafts, open_drafts, Frame(line.strip(), None, None))
            continue
        opened = current is not None and current.type != "" and not current.frames and drafts[-1] is current
        if opened and current is not None and not _is_call(language, line, function):
            _extend(language, current, line)
            continue
        if function is not None and (found := language.match("places", line)):
            _take(drafts, open_drafts, _frame(language, found, function))
            function = None
            continue
        if found := language.match("functions", line):
            if function is not None:
                _take(
                    drafts, open_drafts, Frame(function, None, None, in_app=not _is_library(language, function, None))
                )
            function = found["function"]
            continue
        if (current is None or (current.frames and language.name == "ruby")) and (
            found := language.match("headline", line)
        ):
            for draft in _drafts(language, found):
                start(draft)
            continue
        if found := language.match("frames", line):
            _take(drafts, open_drafts, _frame(language, found))
    if function is not None:
        _take(drafts, open_drafts, Frame(function, None, None, in_app=not _is_library(language, function, None)))
    return _close(language, drafts, lines)


def _folded(language: Language, lines: Sequence[str]) -> Sequence[str]:
    """The lines, those that only begin a frame joined with the indented one below."""
    if not language.rules["folds"]:
        return lines
    joined: list[str] = []
    for line in lines:
        if joined and line.startswith(("\t", " ")) and language.match("folds", joined[-1]):
            joined[-1] += line
        else:
            joined.append(line)
    return joined


def _is_call(language: Language, line: str, function: str | None) -> bool:
    """Whether the line is a frame, or one of the two lines of a frame."""
    if language.match("frames", line) or language.match("functions", line):
        return True
    return function is not None and language.match("places", line) is not None


def _take(drafts: list[_Draft], open_drafts: list[_Draft], frame: Frame) -> None:
    if not open_drafts:
        drafts.append(_Draft())
        open_drafts.append(drafts[-1])
    open_drafts[-1].frames.append(frame)


def _extend(language: Language, draft: _Draft, line: str) -> None:
    """A line between the headline and the frames: more of the message; Rust and Dart print the headline there."""
    if draft.type == "Unhandled exception" and not draft.message and (found := language.match("headline", line)):
        draft.type = found["type"]
        line = found["message"] or ""
    if said := language.match("says", line):
        line = said["message"]
    draft.message.append(line.strip() if not draft.message else line)


def _drafts(language: Language, found: re.Match[str]) -> list[_Draft]:
    """What a headline starts: one exception, or a chain on one line, outermost first."""
    first = _draft(language, found)
    if not language.inline_cause or not first.message or language.inline_cause not in first.message[0]:
        return [first]
    first.message[0], *inner = first.message[0].split(language.inline_cause)
    causes = (re.match(r"(?:\(Inner Exception #\d+\) )?([\w.`]+)(?:: (.*))?$", text) for text in inner)
    return [first, *(_Draft(cause[1], [cause[2] or ""]) for cause in causes if cause)]


def _draft(language: Language, found: re.Match[str]) -> _Draft:
    groups = found.groupdict()
    message = groups.get("message")
    kind = groups["type"].rstrip(".:") if groups.get("type") else ""
    if language.name == "go":
        kind = kind.lower()
    if language.name == "javascript" and message and message.endswith(" {"):
        message = message[:-2]
    draft = _Draft(kind, [message.strip()] if message else [])
    if groups.get("file"):
        draft.frames.append(_frame(language, found))
        if language.name == "rust":  # the place of the panic is the backtrace's own frame again
            draft.frames.clear()
    return draft


def _close(language: Language, drafts: list[_Draft], lines: Sequence[str]) -> Stack:
    root_first = not language.last_is_root or any(line.startswith("Wrapped by: ") for line in lines)
    if language.name == "rust" and drafts and drafts[0].type == "Error":
        root_first = False
    if any(line.startswith("[previous exception] ") for line in lines):  # Monolog begins with the outermost
        root_first = False
    drafts = [draft for draft in drafts if draft.type or draft.frames]
    if language.name == "ruby":
        for draft in drafts:
            draft.message = [_SHOWN.sub("", "\n".join(draft.message))]
    if language.name == "dotnet" and len(drafts) > 1:
        drafts = [
            d for n, d in enumerate(drafts) if (d.type, d.message) not in [(x.type, x.message) for x in drafts[:n]]
        ]
    if not root_first:
        drafts.reverse()
    last = len(drafts) - 1
    raised = tuple(d.finish((d.link or "raised_from") if n < last else None) for n, d in enumerate(drafts))
    return Stack(language.name, raised, newest_first=language.newest_first, truncated=any(not d.type for d in drafts))
