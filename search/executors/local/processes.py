"""Starts processes from the one server that a driver forks its workers from.

The standard library's forkserver, made to leave alone what is the driver's: its
terminal, its signals, its command line, its environment.

Tells a worker that the kernel ended for want of memory from one that somebody killed.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from pathlib import Path
from types import ModuleType
from typing import IO

_START = threading.Lock()
"""Held while a process is started: what is changed for it (environment, standard error, the main
module) is the whole process's, and two sweeps may run in two threads.
"""


def start_in_fork_server(process: BaseProcess, environment: Mapping[str, str], log: IO[bytes]) -> None:
    """Start a process of a `forkserver` context; start the server first, if there is none or it
    died.

    Args:
        process: not started yet.
        environment: of the server. Libraries read their variables when the server imports them,
            before a worker can set its own.
        log: takes the server's standard error.

    Raises:
        OSError, EOFError: if the server does not come up.
    """
    environment = {**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with _START:
        _choose_socket_folder()
        with _standard_error_to(log):
            resource_tracker.ensure_running()  # which the server would start, and unblock the signals held for it
        with _set_environment(environment), _signals_held(), _standard_error_to(log):
            forkserver.ensure_running()
        with _hidden_main():
            process.start()


_LONGEST_FOLDER = 60  # of the 107 characters that the path of a socket may have; the rest is its own


def _choose_socket_folder() -> None:
    """Where temporary files lie too deep for the path of a socket, have sockets lie in a shorter
    place.
    """
    if len(tempfile.gettempdir()) <= _LONGEST_FOLDER:
        return
    kept = tempfile.tempdir
    try:
        tempfile.tempdir = next(
            (place for place in ("/tmp", "/var/tmp", "/dev/shm") if os.access(place, os.W_OK)), kept
        )
        get_temp_dir()  # it makes the folder of this process's sockets once, and removes it at the end
    finally:
        tempfile.tempdir = kept


@contextlib.contextmanager
def _set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Block the signals that stop a sweep; a process started meanwhile keeps them blocked: they are
    the driver's.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Let multiprocessing see an empty main module: a worker would otherwise import the whole
    command line first.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _standard_error_to(log: IO[bytes]) -> Iterator[None]:
    """Make `log` the standard error of a process started meanwhile: TensorFlow's import would spoil
    a live table.
    """
    before = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_WHOLE_MACHINE = Path("/proc/vmstat")
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_MEMORY_S = 10.0


class OomKills:
    """The kernel's count of processes that it ended for want of memory, in this container or on
    this machine.

    A kill is counted before its process is dead, and not said to be whose; so one that was counted
    in the last seconds belongs to the worker that is found dead, the largest first where there are
    several.
    """

    def __init__(self, counter: Path | None = None) -> None:
        """Watch a counter.

        Args:
            counter: file with a line `oom_kill <n>`; the own cgroup's where left out.
        """
        self._counter = counter or _find_counter()
        self._n_seen = self._count()
        self._seen_at_s: list[float] = []

    def look(self) -> None:
        """Note what was counted since the last look; to be called about every second."""
        n, now_s = self._count(), time.monotonic()
        self._seen_at_s += [now_s] * max(0, n - self._n_seen)
        self._n_seen = n
        self._seen_at_s = [at_s for at_s in self._seen_at_s if now_s - at_s < _MEMORY_S]

    def take(self) -> bool:
        """Whether a kill was counted in the last seconds that no other worker has answered for."""
        self.look()
        return bool(self._seen_at_s) and self._seen_at_s.pop(0) > 0

    def _count(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            for line in self._counter.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        return 0


def raise_oom_score() -> None:
    """Ask the kernel to end this process first when memory runs out, rather than the driver."""
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text("1000")


def _find_counter() -> Path:
    """The counter of the innermost cgroup that can be read; that of the machine where there is
    none.
    """
    own = ""
    with contextlib.suppress(OSError):
        own = _OWN_CGROUPS.read_text()
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if "memory" in controllers.split(","):
            places = [_CGROUPS / "memory" / inside / "memory.oom_control", _CGROUPS / "memory" / "memory.oom_control"]
        elif not controllers:
            places = [_CGROUPS / inside / "memory.events", _CGROUPS / "memory.events"]
        else:
            continue
        for place in places:
            if _has_count(place):
                return place
    return _WHOLE_MACHINE


def _has_count(place: Path) -> bool:
    try:
        return "oom_kill " in place.read_text()
    except OSError:
        return False
