"""Faults that are not kills: each is one sweep of its own, and gives what is wrong with it
afterwards.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.ledger.ledger import LEDGER_NAME, read_ledger
from tests.chaos.audit import audit
from tests.chaos.experiments import METRIC, TINY_METRIC, write_cheap, write_tiny
from tests.chaos.faults import Launch, wait_for_epochs
from tests.search.tracking_server import TrackingServer
from tests.small_disk import fill, make_room, mounted

_SLOW = {"run": "tests.chaos.slow_objective:train_slowly", "metric": METRIC}
_DISK_BYTES = 24_000_000
_FULL_S = 8.0


def launch_of(workspace: Path, experiment: Path) -> Launch:
    """A launch that is disturbed by hand."""
    return Launch(workspace, experiment, lambda _: None)


def full_disk(folder: Path) -> list[str]:
    """A whole workspace on a disk that fills up in the middle of a sweep and is full for
    seconds.
    """
    changes = {"objective": _SLOW, "budget": {"trials": 4}, "executor": _one_worker(min_free_mb=1)}
    twin = _undisturbed(folder, "full-disk-twin", changes)
    with mounted(folder / "small", _DISK_BYTES) as small:
        experiment = write_cheap(small, "full-disk", changes)
        launch = launch_of(small, experiment)
        driver = launch.begin()
        wait_for_epochs(launch, driver, 3)
        fill(small)
        time.sleep(_FULL_S)
        make_room(small)
        code = driver.end()
        said = driver.log.read_text()
        problems = [] if code == 0 else [f"the sweep ended with {code}: {said}"]
        if "is full" not in said or "There is room on the disk again" not in said:
            problems.append(f"nothing was said of the full disk: {said}")
        return problems + audit(small, "full-disk", METRIC, twin)


def store_away(folder: Path, seconds: float) -> list[str]:
    """A tracking server that is away for a while; the sweep goes on, and the server has all of it
    at the end.
    """
    port = _free_port()
    uri = f"http://127.0.0.1:{port}"
    n_trials = max(6, round(seconds / 1.5))
    changes = {
        "objective": _SLOW,
        "tracking": {"uri": uri},
        "budget": {"trials": n_trials},
        "executor": _one_worker(),
    }
    experiment = write_cheap(folder, "store-away", changes)
    launch = launch_of(folder, experiment)
    with _tracking_server(folder, port):
        driver = launch.begin()
        wait_for_epochs(launch, driver, 3)
    time.sleep(seconds)
    n_meanwhile = len(launch.state().trials)
    with _tracking_server(folder, port):
        code = driver.end()
        said = driver.log.read_text()
        problems = [] if code == 0 else [f"the sweep ended with {code}: {said}"]
        if "could not be tracked" not in said or "The tracking store answers again" not in said:
            problems.append(f"nothing was said of the store that was away: {said}")
        if n_meanwhile < 5:
            problems.append(f"the sweep did not go on while the store was away: {n_meanwhile} trials")
        return problems + audit(folder, "store-away", METRIC, uri=uri)


def truncated_checkpoint(folder: Path) -> list[str]:
    """Real training: the driver is killed after the third epoch, and half of that epoch's
    checkpoint is gone.
    """
    twin = folder / "mlruns/sweeps/tiny-twin"
    experiment = write_tiny(folder, "truncated-checkpoint")
    launch = launch_of(folder, experiment)
    launch.begin("report-recorded@3").end()
    checkpoint = launch.state().trials[0].checkpoints[0][1].path
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    driver = launch.begin()
    code = driver.end()
    problems = [] if code == 0 else [f"the sweep ended with {code}: {driver.log.read_text()}"]
    start = launch.state().trials[0].starts[-1].start_epoch
    if start != 2:
        problems.append(f"the trial went on from epoch {start} instead of 2")
    return problems + audit(folder, "truncated-checkpoint", TINY_METRIC, twin)


def torn_ledger(folder: Path, twin: Path) -> list[str]:
    """The ledger's last line is cut in its middle after a kill."""
    engine = {"name": "optuna", "sampler": "tpe", "n_startup_trials": 2, "pruner": "none"}
    changes = {"engine": engine, "budget": {"trials": 4}, "executor": _one_worker()}
    experiment = write_cheap(folder, "torn-ledger", changes)
    launch = launch_of(folder, experiment)
    launch.begin("report-answered@3").end()
    ledger = launch.sweep / LEDGER_NAME
    content = ledger.read_bytes()
    os.truncate(ledger, len(content) - len(content.splitlines()[-1]) // 2)
    driver = launch.begin()
    code, said = driver.end(), driver.log.read_text()
    problems = [] if code == 0 and "was torn by a crash" in said else [f"the sweep ended with {code}: {said}"]
    return problems + audit(folder, "torn-ledger", METRIC, twin)


def torn_engine_storage(folder: Path, twin: Path) -> list[str]:
    """The engine's own database loses its tail; it is a projection, so it is moved away as the
    message says.
    """
    database = folder / "study.db"
    changes = {
        "engine": {"name": "optuna", "sampler": "random", "pruner": "none", "storage": f"sqlite:///{database}"},
        "budget": {"trials": 4},
        "executor": _one_worker(),
    }
    experiment = write_cheap(folder, "torn-engine", changes)
    launch = launch_of(folder, experiment)
    launch.begin("report-answered@5").end()
    os.truncate(database, database.stat().st_size // 2)
    driver = launch.begin()
    code, said = driver.end(), driver.log.read_text()
    problems = []
    if code != 0:
        if "engine.storage" not in said:
            problems.append(f"the message does not name the storage: {said}")
        database.rename(folder / "study-damaged.db")
        driver = launch.begin()
        code = driver.end()
    if code != 0:
        problems.append(f"the sweep ended with {code}: {driver.log.read_text()}")
    return problems + audit(folder, "torn-engine", METRIC, twin)


def _one_worker(**others: object) -> dict[str, object]:
    return {"workers": 1, "threads": 1, "max_attempts": 9, "min_free_mb": 0, **others}


def _undisturbed(folder: Path, name: str, changes: dict[str, object]) -> Path:
    launch = launch_of(folder, write_cheap(folder, name, changes))
    driver = launch.begin()
    if driver.end() != 0:
        raise RuntimeError(driver.log.read_text())
    read_ledger(launch.sweep)
    return launch.sweep


@contextmanager
def _tracking_server(folder: Path, port: int) -> Iterator[None]:
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}"),
        *("--artifacts-destination", str(folder / "server-artifacts")),
    ]
    server = TrackingServer(command, f"http://127.0.0.1:{port}", folder / "server.log")
    server.start()
    try:
        yield
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
