"""The terminal while a screen is shown: its other screen, and its keys one by one under their names."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_NAMES = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "5~": "page up", "6~": "page down",
    "1~": "home", "4~": "end", "7~": "home", "8~": "end",
}  # fmt: skip
_KEY = re.compile(r"\x1b[\[O](?P<code>[\d;]*[A-Za-z~])|(?P<esc>\x1b)|(?P<plain>.)", re.DOTALL)
_PLAIN = {"\r": "enter", "\n": "enter", "\x7f": "back", "\x08": "back", "\t": "down", "\x03": "q", "\x04": "q"}

_SPLIT_S = 0.03  # a slow line may cut what an arrow sends behind its first byte

Keys = Callable[[], list[str]]


def name_keys(typed: str) -> list[str]:
    """The keys in what a terminal sent: "up", "enter", "esc", or the character itself."""
    found = []
    for match in _KEY.finditer(typed):
        if match["esc"]:
            found.append("esc")
        elif match["code"]:
            number, end = match["code"][:-1].split(";")[0], match["code"][-1]  # behind ; are shift and its like
            found.append(_NAMES.get(f"{number}~" if end == "~" else end, ""))
        else:
            found.append(_PLAIN.get(match["plain"], match["plain"]))
    return [key for key in found if key]


def terminal_size() -> tuple[int, int]:
    """Columns and rows of the terminal now, whatever the environment said when the program began."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 80, 24
    return columns or 80, rows or 24


@contextmanager
def take_over(wanted: bool) -> Iterator[Keys]:
    """The other screen of the terminal and its keys; whatever happens, the terminal is as before afterwards."""
    if not wanted:
        yield list
        return
    import termios
    import tty

    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        terminal = os.dup(sys.stdout.fileno())
    before = termios.tcgetattr(terminal)

    def keys() -> list[str]:
        typed, patience = b"", 0.0
        try:
            while select.select([terminal], [], [], patience)[0] and (more := os.read(terminal, 256)):
                typed += more
                patience = _SPLIT_S if typed.endswith((b"\x1b", b"\x1b[", b"\x1bO")) else 0.0
        except OSError:  # nobody is there any more
            return ["q"]
        return name_keys(typed.decode("ascii", "ignore"))

    try:
        tty.setcbreak(terminal)
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        yield keys
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        os.close(terminal)
