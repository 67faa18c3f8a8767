"""MLflow's own pages on the project's store, with as few processes as it can do with."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import IO

import requests

from core.errors import TrackingError
from search.tracking import MLFLOW_SWITCHES
from search.tracking.runs import view_address
from search.tracking.store import TrackingStore, tracking_errors

FIRST_PORT = 5000
N_PORTS = 50
START_TIMEOUT_S = 180.0  # a machine that trains on all cores takes over a minute
STOP_TIMEOUT_S = 10.0


@dataclass
class RunningUi:
    """The pages' server, until `stop`.

    Attributes:
        url: to open in a browser.
        server: the process; it heads a group of its own, so that `stop` reaches its workers too.
        log: what it says; unlike a pipe it cannot fill up and block the server.
    """

    url: str
    server: "subprocess.Popen[bytes]"
    log: IO[bytes]

    def wait(self) -> int:
        """Wait until the server ends by itself, and return its exit code."""
        return self.server.wait()

    def stop(self) -> None:
        """End the server and the workers that it started."""
        if self.server.poll() is not None:
            return
        os.killpg(self.server.pid, signal.SIGTERM)
        try:
            self.server.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
        self.log.close()


def page_of(store: TrackingStore, experiment: str, url: str) -> str:
    """Where a browser sees an experiment's trials, the best first, their columns chosen.

    Args:
        store: that has the experiment.
        experiment: its name.
        url: of the pages.

    Raises:
        TrackingError: if there is no such experiment.
    """
    with tracking_errors(f"look up experiment {experiment!r}", store):
        found = store.client().get_experiment_by_name(experiment)
    if found is None:
        raise TrackingError(f"Nothing is recorded of a sweep {experiment!r} in {store.uri}.")
    return view_address(url, found.experiment_id)


def start_ui(
    store: TrackingStore, host: str = "127.0.0.1", port: int | None = None, environment: Mapping[str, str] | None = None
) -> RunningUi:
    """Start MLflow's server on a store, and wait until it answers.

    Args:
        store: an open one; behind a tracking server there is nothing to start, as it shows its own
            pages.
        host: to listen at; the default is reached from this machine alone.
        port: the first free one from 5000 where left out.
        environment: variables of the server's process; this process's where left out.

    Raises:
        TrackingError: if the port is taken, the store shows its own pages, or the server does not
            come up.
    """
    if store.is_server:
        raise TrackingError(f"The tracking server shows its pages itself: open {store.uri} in a browser.")
    port = _free_port(host) if port is None else _checked_port(host, port)
    log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `stop`)
    server = subprocess.Popen(
        _command(store, host, port),
        env=_server_environment(os.environ if environment is None else environment, host)
        | {"MLFLOW_BACKEND_STORE_URI": store.revealed_uri},  # arguments are seen by all users of the machine
        stdin=subprocess.PIPE,  # closed by the system when this process is gone; see `ui_server`
        stdout=log,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    running = RunningUi(f"http://{host}:{port}", server, log)
    try:
        _wait_until_up(running)
    except BaseException:
        running.stop()
        raise
    return running


def _command(store: TrackingStore, host: str, port: int) -> Sequence[str]:
    artifacts = ["--default-artifact-root", store.artifact_root] if store.artifact_root else []
    return [
        *(sys.executable, "-m", "search.tracking.ui_server", "server", *artifacts),
        *("--host", host, "--port", str(port), "--workers", "1"),
    ]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False


def _server_environment(environment: Mapping[str, str], host: str) -> dict[str, str]:
    # By default a server starts job runners for features that whosehand has no use for: 15
    # processes and 1.6 GB instead of 2 processes and 0.4 GB.
    switches = {**MLFLOW_SWITCHES, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if is_loopback(host):
        # By default MLflow also answers to names and addresses of the local network, which a page
        # in a browser can give itself (DNS rebinding). Writes from other pages it refuses by
        # default.
        switches["MLFLOW_SERVER_ALLOWED_HOSTS"] = "localhost,localhost:*,127.0.0.1,127.0.0.1:*,[[]::1]:*"
    # MLFLOW_TRACKING_URI is set by open_store and would make the server a client of its own store.
    return switches | {key: value for key, value in environment.items() if key != "MLFLOW_TRACKING_URI"}


def _free_port(host: str) -> int:
    for port in range(FIRST_PORT, FIRST_PORT + N_PORTS):
        if _is_free(host, port):
            return port
    raise TrackingError(f"The pages need a free port, but {FIRST_PORT} to {FIRST_PORT + N_PORTS - 1} are all taken.")


def _checked_port(host: str, port: int) -> int:
    if not 0 < port < 65536:
        raise TrackingError(f"A port is a number from 1 to 65535, but got {port}.")
    if not _is_free(host, port):
        raise TrackingError(f"The pages need a free port, but {port} is taken; leave it out to find a free one.")
    return port


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _wait_until_up(running: RunningUi) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if running.server.poll() is not None:
            running.log.seek(0)
            said = running.log.read().decode(errors="replace").strip() or "it said nothing"
            last_line = said.splitlines()[-1]
            raise TrackingError(f"MLflow's server ended at once (exit code {running.server.returncode}): {last_line}")
        try:
            if requests.get(f"{running.url}/health", timeout=1.0).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise TrackingError(f"MLflow's server did not answer at {running.url} within {START_TIMEOUT_S:.0f} s.")
