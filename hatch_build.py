"""Compiles what reads logs fast, where there is a C compiler; without one triage works as well, and reads slower."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = tuple(
    Path(f"src/triage/intake/{name}.c") for name in ("_cutter", "_sieve", "_entries", "_requests", "_repeats")
)
LIBRARY = SOURCES[0].with_suffix(".abi3.so")  # of the stable interface: the same for Python 3.11 and all that follow


class CompiledPart(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the library next to its source; a wheel with it is one for this platform, a wheel without it one for all."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's way to call it
        """Compile, unless this is a source distribution or TRIAGE_PURE is set."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        (root / LIBRARY).unlink(missing_ok=True)  # it may be of another machine
        if os.environ.get("TRIAGE_PURE"):
            return
        problem = _compile([root / source for source in SOURCES], root / LIBRARY)
        if problem:
            self.app.display_warning(f"triage is installed without its compiled part, which reads faster: {problem}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def _compile(sources: list[Path], library: Path) -> str:
    """Why it could not be compiled; "" when it was."""
    if os.name != "posix" or sys.implementation.name != "cpython":
        return "it is built for CPython on Linux and macOS"
    compiler = _compiler()
    if not compiler:
        return "there is no C compiler (cc, gcc or clang)"
    shared = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    headers = sysconfig.get_path("include")
    command = [
        *compiler,
        "-O3",
        "-fPIC",
        "-fvisibility=hidden",
        "-std=c11",
        *shared,
        f"-I{headers}",
        *map(str, sources),
        "-o",
        str(library),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if done.returncode:
        return next((line for line in done.stderr.splitlines() if "error" in line), "the compiler refused it")
    return ""


def _compiler() -> list[str]:
    """The C compiler: the one that CC names, else that which Python was built with, else any."""
    for name in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        words = shlex.split(name or "")
        if words and shutil.which(words[0]):
            return words
    return []
