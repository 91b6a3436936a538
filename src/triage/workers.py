"""Processes that read side by side: each does one task after the other and sends back what came of it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from msgspec.structs import replace

from triage.errors import TriageError
from triage.options import PROCESS, Options
from triage.shards import Outcome, Reader, Task

PAYS = 48 << 20  # bytes for each process from which on starting one is worth what it costs
MOST = 16  # processes: one reads and merges what the others send
_AHEAD = 4  # tasks for each process that are done before those in front of them
# A worker runs this. It is not told of Ctrl-C: who started it ends it.
_PROGRAM = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    "import json; sys.path[:] = json.loads(sys.argv[1]); from triage.tuning import tune; tune(os.environ);"
    "from triage.workers import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_jobs(tasks: Sequence[Task], options: Options) -> int:
    """How many processes are worth it for these tasks, this one among them."""
    if len(tasks) < 2 or getattr(sys, "frozen", False) or not sys.executable:
        return 1
    pays, fits = sum(task.size for task in tasks) // PAYS, options.memory // PROCESS
    return min(len(tasks), options.jobs or max(1, min(processors(), MOST, pays, fits)))


@contextmanager
def do_all(
    tasks: Sequence[Task], options: Options, reader: Reader, dropped: Callable[[Task], bool]
) -> Iterator[Iterator[Outcome]]:
    """What comes of each task, in their order, by this process and others that end with the block at the latest.

    A task that is `dropped` by the time it is its turn is not done. TriageError when one of the others is killed.
    """
    jobs = choose_jobs(tasks, options)
    if jobs == 1:
        yield (None if dropped(task) else reader.run(task) for task in tasks)
        return
    crew = _Crew(tasks, replace(options, repo=None, baseline=None), dropped)
    try:
        crew.start(jobs - 1)
        yield crew.outcomes(reader)
    except BaseException:
        crew.end(kill=True)
        raise
    else:
        crew.end(kill=False)


class _Crew:
    """Tasks that are being done, and who does them."""

    def __init__(self, tasks: Sequence[Task], options: Options, dropped: Callable[[Task], bool]) -> None:
        self._tasks, self._options, self._dropped = tasks, options, dropped
        self._changed = threading.Condition()
        self._next = self._taken = 0  # the task to be done next, the outcome that is wanted next
        self._done: dict[int, Outcome] = {}
        self._failed: list[BaseException] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._over = False

    def start(self, count: int) -> None:
        """Start so many processes, each with a thread that talks to it."""
        command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)]
        for _ in range(count):
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self._processes.append(process)
            self._threads.append(threading.Thread(target=self._talk, args=(process,), daemon=True))
            self._threads[-1].start()

    def end(self, *, kill: bool) -> None:
        """End all processes."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for process in self._processes:
            if kill:
                process.kill()
            elif process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        for process in self._processes:
            process.wait()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was to be written when it ended
                    if pipe is not None:
                        pipe.close()

    def outcomes(self, reader: Reader) -> Iterator[Outcome]:
        """What came of each task, in order; while it is waited for, this process does others."""
        for n in range(len(self._tasks)):
            while True:
                with self._changed:
                    if self._failed:
                        raise self._failed[0]
                    if n in self._done:
                        self._taken = n + 1
                        self._changed.notify_all()
                        outcome = self._done.pop(n)
                        break
                    mine = self._draw()
                    if mine is None:
                        self._changed.wait()
                        continue
                done = None if self._dropped(self._tasks[mine]) else reader.run(self._tasks[mine])
                with self._changed:
                    self._done[mine] = done
            yield outcome

    def _draw(self) -> int | None:
        """The task that is to be done next; None when there is none or so many are ahead already."""
        n = self._next
        if n >= len(self._tasks) or not self._free():
            return None
        self._next = n + 1
        return n

    def _talk(self, process: subprocess.Popen[bytes]) -> None:
        try:
            if process.stdin is None or process.stdout is None:
                return
            _send(process.stdin, self._options)
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._over or self._next >= len(self._tasks) or self._free())
                    mine = None if self._over else self._draw()
                if mine is None:
                    process.stdin.close()  # it ends, and gives its memory back while its outcomes are put together
                    return
                outcome: Outcome = None
                if not self._dropped(self._tasks[mine]):
                    _send(process.stdin, self._tasks[mine])
                    answer = _receive(process.stdout)
                    if isinstance(answer, BaseException):
                        raise answer
                    outcome = answer
                with self._changed:
                    self._done[mine] = outcome
                    self._changed.notify_all()
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._fail(_ended(process))
        except BaseException as problem:  # noqa: BLE001 - it is raised again where the outcome is waited for
            self._fail(problem)

    def _free(self) -> bool:
        """Whether not too many tasks are ahead of the outcome that is wanted next."""
        return self._next - self._taken <= _AHEAD * (len(self._processes) + 1)

    def _fail(self, problem: BaseException) -> None:
        with self._changed:
            if not self._over:
                self._failed.append(problem)
            self._changed.notify_all()


def _ended(process: subprocess.Popen[bytes]) -> TriageError:
    code = process.wait()
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return TriageError(
        f"a process that read a part of the input was ended {how}",
        hint="there may be too little memory for several: --jobs 1 reads in one process",
    )


def serve(tasks: IO[bytes], outcomes: IO[bytes]) -> None:
    """Do the tasks that come, until no more do: what a worker does all its life."""
    try:
        reader = Reader(_receive(tasks))
        while True:
            task = _receive(tasks)
            try:
                outcome: Any = reader.run(task)
            except BaseException as problem:  # noqa: BLE001 - who waits for the outcome is told
                outcome = problem
            _send(outcomes, outcome)
    except (EOFError, OSError):
        os._exit(0)  # nothing to be tidied up: memory is given back faster by the system


def _send(pipe: IO[bytes], value: object) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    size = pipe.read(8)
    if len(size) < 8:
        raise EOFError
    data = pipe.read(int.from_bytes(size, "little"))
    return pickle.loads(data)
