from collections.abc import Callable

VERSION: int

def count_lines(data: bytes, /) -> int: ...
def lines_of(data: bytes, /) -> tuple[Cut, bool, bool] | None: ...

class Cut:
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...

class Sieve:
    def __new__(
        cls,
        steps: bytes,
        sets: bytes,
        pieces: bytes,
        classes: bytes,
        words: bytes,
        class_count: int,
        found: int,
        endings: bytes,
        between: bytes,
        point: bytes,
        digits: int,
        at_ends: int,
        before: int,
        before_loud: int,
        behind: int,
        ask: Callable[[str], int],
        /,
    ) -> Sieve: ...
    def sift(
        self, data: bytes, line: int, start: int, width: int, /
    ) -> tuple[Cut, Cut, tuple[Cut, Cut, Cut, Cut], tuple[Cut, Cut], int, bool, bool] | None: ...

class Cutter:
    def __new__(cls, slots: list[tuple[int, bytes, int, int, int]], strict: bool, /) -> Cutter: ...
    def add(self, data: bytes, line: int, /) -> list[tuple[int, int, int]]: ...
    def flagged(self) -> bool: ...
    def finish(
        self,
    ) -> tuple[int, Cut, Cut, list[tuple[str, ...]], dict[int, tuple[Cut | tuple[Cut, list[str]] | str, bool]]]: ...
