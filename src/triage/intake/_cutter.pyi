from collections.abc import Callable

VERSION: int

def count_lines(data: bytes, /) -> int: ...
def lines_of(data: bytes, /) -> tuple[Cut, bool, bool] | None: ...
def plain_route(path: bytes, /) -> bytes: ...

Left = tuple[tuple[Cut, Cut, Cut, Cut], tuple[Cut, Cut], int]
Questions = list[tuple[int, int, int, int, str]]
Repeated = tuple[tuple[Cut, Cut, Cut], tuple[Cut, Cut], Questions]
Asked = list[tuple[int, int, int | None, float | None, bool]]
Looked = tuple[tuple[bytes, bytes, Left, tuple[list[Cut], list[Cut], list[Cut]] | None] | None, Asked, int, bytes]

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
        other_steps: bytes,
        other_sets: bytes,
        others: bytes,
        /,
    ) -> Sieve: ...
    def sift(
        self, data: bytes, line: int, start: int, width: int, /
    ) -> tuple[Cut, Cut, Left, bool, bool, Repeated | None] | None: ...
    def settle(self, is_record: bool, number: int, known: bool, /) -> None: ...

class EntrySieve:
    def __new__(
        cls,
        cutter: Cutter | None,
        sieve: Sieve,
        plan: Callable[[tuple[str, ...]], bytes | None] | None,
        broken: Callable[[bytes], bool] | None,
        reader: tuple[bytes, bytes, bytes, bytes, bytes, int, int] | None,
        at_ends: int,
        ends: int,
        before: int,
        behind: int,
        shown: int,
        bounds: bytes,
        band: int,
        pace: int,
        /,
    ) -> EntrySieve: ...
    def sift(
        self,
        data: bytes,
        line: int,
        start: int,
        widths: tuple[int, int, int, int],
        low: int,
        high: int,
        before: bytes,
        /,
    ) -> Looked: ...
    def learn(self, kind: int, group: int, writer: int, request: int, answer: int, closed: int, /) -> None: ...

class Cutter:
    def __new__(cls, slots: list[tuple[int, bytes, int, int, int]], strict: bool, /) -> Cutter: ...
    def add(self, data: bytes, line: int, numbers: bytes | None = None, /) -> list[tuple[int, int, int]]: ...
    def flagged(self) -> bool: ...
    def finish(
        self,
    ) -> tuple[int, Cut, Cut, list[tuple[str, ...]], dict[int, tuple[Cut | tuple[Cut, list[str]] | str, bool]]]: ...
