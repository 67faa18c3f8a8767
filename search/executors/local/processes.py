"""Starts processes from the one server that a driver forks its workers from.

The standard library's forkserver, made to leave alone what is the driver's: its
terminal, its signals, its command line, its environment.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import IO


def start_in_fork_server(process: BaseProcess, environment: Mapping[str, str], log: IO[bytes]) -> None:
    """Start a process of a `forkserver` context; start the server first, if there is none or it died.

    Args:
        process: not started yet.
        environment: of the server. Libraries read their variables when the server imports them, before a worker can
            set its own.
        log: takes the server's standard error.

    Raises:
        OSError, EOFError: if the server does not come up.
    """
    environment = {**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with _set_environment(environment), _signals_held(), _standard_error_to(log):
        forkserver.ensure_running()
    with _hidden_main():
        process.start()


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
    """Block Ctrl-C and SIGTERM; a process started meanwhile keeps them blocked, so that they reach the driver only."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Let multiprocessing see an empty main module: a worker would otherwise import the whole command line first."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _standard_error_to(log: IO[bytes]) -> Iterator[None]:
    """Make `log` the standard error of a process started meanwhile: TensorFlow's import would spoil a live table."""
    before = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
