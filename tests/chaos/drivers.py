"""Launches of sweeps in processes of their own, to be killed."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.command_line import environment

ROOT = Path(__file__).parents[2]


@dataclass
class RunningDriver:
    """A launch that may still be running.

    Attributes:
        pid: of the driver, which heads a process group of its own.
        log: what it prints.
    """

    pid: int
    log: Path
    _answers: IO[str]
    _code: int | None = None

    def end(self) -> int:
        """Wait for its end; returns its exit code, negative for a signal."""
        if self._code is None:
            self._code = int(self._answers.readline())
        return self._code


class DriverServer:
    """One launch after the other; a launch must have ended before the next begins."""

    def __init__(self) -> None:
        """Start the server; its imports take seconds."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.driver_server"],
            cwd=ROOT,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def launch(
        self, folder: Path, experiment: Path, overrides: Sequence[str] = (), crash_at: str = ""
    ) -> RunningDriver:
        """Launch a sweep in a workspace folder, or go on with it."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ValueError("The server must have pipes.")
        log = folder / f"{experiment.stem}.log"
        order = {
            "folder": str(folder),
            "experiment": str(experiment),
            "overrides": list(overrides),
            "crash_at": crash_at,
            "log": str(log),
        }
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return RunningDriver(int(stdout.readline()), log, stdout)

    def close(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def driver_server() -> Iterator[DriverServer]:
    """A server for a block."""
    server = DriverServer()
    try:
        yield server
    finally:
        server.close()
