"""What a process of triage asks of Python and of polars before it reads anything."""

from __future__ import annotations

import gc
from collections.abc import MutableMapping


def tune(environment: MutableMapping[str, str]) -> None:
    """Set it, where the environment does not say otherwise; polars looks there once, when it is imported.

    Tables here are small: more threads wait for each other and more arenas hold memory, measured at 8 % of the time and
    50 MB. Memory that is freed is wanted again for the next batch, but not all of it: given back at once it costs a third of
    the time, kept for long 60 MB, and 0.3 s is in between. What is decoded are many objects and no cycles: to look for them
    costs 3 %, and 30 ms while the patterns are read.
    """
    environment.setdefault("POLARS_MAX_THREADS", "1")
    environment.setdefault("_RJEM_MALLOC_CONF", "narenas:1,oversize_threshold:0,dirty_decay_ms:300,muzzy_decay_ms:0")
    gc.set_threshold(1_000_000)
