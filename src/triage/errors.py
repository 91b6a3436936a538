"""The one exception that a user's mistake becomes."""

from __future__ import annotations


class TriageError(Exception):
    """Something the user can put right: what was wrong and where, and what to try."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message


class PackError(TriageError):
    """A pattern file (format, trace, mask or rule) that cannot be used."""
