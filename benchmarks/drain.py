"""drain3 grouping the error lines of a log: `python -m benchmarks.drain FILE` prints how many there are."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) (.*)")


def answer(path: Path) -> dict[str, Any]:
    """Records and errors, every record's text sorted into a group."""
    from drain3 import TemplateMiner  # type: ignore[import-not-found] # where it is installed
    from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-not-found]

    miner = TemplateMiner(config=TemplateMinerConfig())
    records = errors = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if found := _HEAD.match(line):
                records += 1
                errors += found[1] == "ERROR"
                miner.add_log_message(found[2])
    return {"records": records, "errors": errors}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(Path(sys.argv[1]))) + "\n")
