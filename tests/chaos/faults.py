"""Faults that can befall a launch of a sweep, chosen by a seeded generator."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.crash_points import DRIVER_POINTS, WORKER_POINTS
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState
from tests.chaos.drivers import RunningDriver, start_driver

STOPPED_S = 2.0
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Launch:
    """One launch to be disturbed.

    Attributes:
        workspace: folder in which it runs.
        experiment: its file; the sweep has the file's name.
        moment: waits for a random moment of it, or until the driver has ended.
    """

    workspace: Path
    experiment: Path
    moment: Callable[[RunningDriver], None]

    @property
    def sweep(self) -> Path:
        return self.workspace / "mlruns" / "sweeps" / self.experiment.stem

    def state(self) -> SweepState:
        return read_ledger(self.sweep) if (self.sweep / LEDGER_NAME).exists() else SweepState()

    def begin(self, crash_at: str = "") -> RunningDriver:
        return start_driver(self.workspace, self.experiment, crash_at)


@dataclass(frozen=True)
class Done:
    """What a launch made of a fault.

    Attributes:
        code: how the driver ended.
        n_injected: how often the fault happened; 0 if the launch was over before, or never came to
            the point.
    """

    code: int
    n_injected: int


Fault = Callable[[Launch, random.Random], Done]


def driver_at_point(launch: Launch, generator: random.Random) -> Done:
    """SIGKILL of the driver at a named point."""
    driver = launch.begin(f"{generator.choice(DRIVER_POINTS)}@{generator.randint(1, 3)}")
    code = driver.end()
    return Done(code, int(code == -signal.SIGKILL))


def driver_stopped_at_point(launch: Launch, generator: random.Random) -> Done:
    """SIGTERM of the driver at a named point."""
    driver = launch.begin(f"{generator.choice(DRIVER_POINTS)}@{generator.randint(1, 3)}!TERM")
    code = driver.end()
    # Before the driver listens for signals, SIGTERM ends it as it would any program.
    return Done(code, int(code in (130, -signal.SIGTERM)))


def worker_at_point(launch: Launch, generator: random.Random) -> Done:
    """SIGKILL of the first worker of each trial at a named point."""
    n_before = _n_lost(launch.state())
    code = launch.begin(f"{generator.choice(WORKER_POINTS[:-1])}@{generator.randint(1, 2)}").end()
    return Done(code, _n_lost(launch.state()) - n_before)


def driver_at_random(launch: Launch, generator: random.Random) -> Done:
    """SIGKILL of the driver at a random time."""
    driver = launch.begin()
    launch.moment(driver)
    _signal(driver.pid, signal.SIGKILL)
    code = driver.end()
    return Done(code, int(code == -signal.SIGKILL))


def driver_stopped_at_random(launch: Launch, generator: random.Random) -> Done:
    """SIGTERM of the driver at a random time."""
    driver = launch.begin()
    launch.moment(driver)
    _signal(driver.pid, signal.SIGTERM)
    code = driver.end()
    return Done(code, int(code in (130, -signal.SIGTERM)))


def worker_at_random(launch: Launch, generator: random.Random) -> Done:
    """SIGKILL of a worker at a random time."""
    n_before = _n_lost(launch.state())
    driver = launch.begin()
    launch.moment(driver)
    if (pid := _worker(driver)) is not None:
        _signal(pid, signal.SIGKILL)
    code = driver.end()
    return Done(code, _n_lost(launch.state()) - n_before)


def worker_told_at_random(launch: Launch, generator: random.Random) -> Done:
    """SIGTERM of a worker at a random time, which leaves stopping to the driver."""
    driver = launch.begin()
    launch.moment(driver)
    pid = _worker(driver)
    was_sent = pid is not None and _signal(pid, signal.SIGTERM)
    return Done(driver.end(), int(was_sent))


def driver_suspended(launch: Launch, generator: random.Random) -> Done:
    """SIGSTOP and SIGCONT of the driver."""
    driver = launch.begin()
    launch.moment(driver)
    was_sent = _suspend(driver.pid)
    return Done(driver.end(), int(was_sent))


def worker_suspended(launch: Launch, generator: random.Random) -> Done:
    """SIGSTOP and SIGCONT of a worker."""
    driver = launch.begin()
    launch.moment(driver)
    pid = _worker(driver)
    was_sent = pid is not None and _suspend(pid)
    return Done(driver.end(), int(was_sent))


KILLS: tuple[Fault, ...] = (
    driver_at_point,
    driver_stopped_at_point,
    driver_at_random,
    driver_stopped_at_random,
    worker_at_point,
    worker_at_random,
    worker_told_at_random,
)
SUSPENSIONS: tuple[Fault, ...] = (driver_suspended, worker_suspended)


def wait_for_epochs(launch: Launch, driver: RunningDriver, n_epochs: int) -> bool:
    """Wait until so many epochs are in the ledger; False if the driver ended before."""
    ends_s = time.monotonic() + _PATIENCE_S
    while psutil.pid_exists(driver.pid) and psutil.Process(driver.pid).status() != psutil.STATUS_ZOMBIE:
        if count_epochs(launch.state()) >= n_epochs:
            return True
        if time.monotonic() > ends_s:
            raise TimeoutError(f"{launch.experiment.stem} did not reach {n_epochs} epochs; see {driver.log}")
        time.sleep(0.02)
    return False


def count_epochs(state: SweepState) -> int:
    """Epochs of all trials together."""
    return sum(trial.n_epochs for trial in state.trials.values())


def _n_lost(state: SweepState) -> int:
    return sum(trial.n_lost for trial in state.trials.values())


def _worker(driver: RunningDriver) -> int | None:
    """A worker of the driver: a child of its fork server."""
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
        workers = [child.pid for child in children if child.ppid() != driver.pid]
    except psutil.Error:
        return None
    return workers[-1] if workers else None


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        psutil.Process(pid).send_signal(number)
    except psutil.Error:
        return False
    return True


def _suspend(pid: int) -> bool:
    was_sent = _signal(pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    _signal(pid, signal.SIGCONT)
    return was_sent
