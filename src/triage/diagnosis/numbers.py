"""How a process ended and how a request was answered, as a text tells it."""

from __future__ import annotations

import re

from msgspec import Struct


class Numbers(Struct, frozen=True):
    """How a process ended or a request was answered, as far as a text tells."""

    exit_code: int | None = None
    signal: str | None = None
    status: int | None = None


_HINT = re.compile(
    r"exit|code|status|signal|sig[A-Z]|SIG|HTTP|http|returned|responded|Error|Gateway|Unavailable|\bTERM\b"
)
_SYSTEMD = re.compile(r"code=(?P<how>exited|killed|dumped),? status=(?P<code>\d{1,3})(?:/(?P<name>\w+))?")
_EXIT = re.compile(
    r"(?i)\bexit\((\d{1,3})\)"
    r"|\bexit(?:s|ed|ing)?\b[^\n\d]{0,40}?\b(?:code|status|rc)\b[\"']?\s{0,2}[:=]?\s{0,2}\(?\"?(\d{1,3})\b"
    r"|\bexit_?code[\"']?\s{0,2}[:=]?\s{0,2}\"?(\d{1,3})\b"
    r"|\bnon-zero (?:exit )?(?:code|status):?\s(\d{1,3})\b"
    r"|\bexit(?:ed)? with (\d{1,3})\b"
)
_SIGNAL = re.compile(
    r"\b(SIG(?:KILL|TERM|SEGV|ABRT|INT|HUP|QUIT|BUS|ILL|FPE|PIPE|USR1|USR2|TRAP|SYS|XCPU|XFSZ))\b"
    r"|(?i:\bsignal\b[:= ]{1,3}\(?(\d{1,2}|kill(?:ed)?|term(?:inated)?|segv|segmentation fault|abrt|aborted|int|hup|quit"
    r"|bus)\b)"
)
_STATUS = re.compile(
    r"\bHTTP(?:/[\d.]{1,3})?\"?\s(?:error |status |code |response ){0,2}:?\s?([1-5]\d\d)\b"
    r"|(?i:\bstatus(?:[ _-]?code)?\b[\"']?\s{0,2}(?:of |is |was )?[:= ]\s{0,2}[\"'(]?([1-5]\d\d)\b)"
    r"|(?i:\b(?:responded|returned|replied|answered|failed|response)(?: with| code| status| an?| http| the| error){0,4}"
    r"[: ]{1,2}([1-5]\d\d)\b)"
    r"|\b([45]\d\d) (?:Server Error|Client Error|Bad Gateway|Service (?:Temporarily )?Unavailable|Gateway Time-?[Oo]ut"
    r"|Internal Server Error|Too Many Requests|Unauthorized|Forbidden|Bad Request|Not Found)"
)
_NUMBERED = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 15: "SIGTERM", 24: "SIGXCPU",
    25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip
_WORDS = {"KILLED": "SIGKILL", "TERMINATED": "SIGTERM", "SEGMENTATION FAULT": "SIGSEGV", "ABORTED": "SIGABRT"}


def name_signal(signal: str) -> str:
    """A signal's usual name: "9", "killed", "KILL" and "SIGKILL" are all "SIGKILL"."""
    word = signal.strip().upper()
    if word.isdigit():
        return _NUMBERED.get(int(word), word)
    return _WORDS.get(word) or (word if word.startswith("SIG") else f"SIG{word}")


def read_numbers(text: str) -> Numbers:
    """Exit code, signal and HTTP status that a text tells; a code of an exit is never taken for a status."""
    if not _HINT.search(text):
        return Numbers()
    unit = _SYSTEMD.search(text)
    if unit is not None:
        if unit["how"] == "exited":
            return Numbers(exit_code=int(unit["code"]))
        return Numbers(signal=name_signal(unit["name"] or unit["code"]))
    ended = _EXIT.search(text)
    exit_code = next((int(g) for g in ended.groups() if g), None) if ended else None
    sent = _SIGNAL.search(text)
    signal = name_signal(next(g for g in sent.groups() if g)) if sent else None
    if exit_code is not None or signal is not None:
        return Numbers(exit_code, signal)
    answered = _STATUS.search(text)
    status = next((int(g) for g in answered.groups() if g), None) if answered else None
    return Numbers(status=status)
