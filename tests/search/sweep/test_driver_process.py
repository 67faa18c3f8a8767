"""Drivers in processes of their own, killed and interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import LedgerError
from search.ledger.ledger import read_ledger
from search.ledger.state import SweepState
from search.ledger.trial import TrialState
from tests.search.cheap_sweep import CheapSweep, ScriptedEngine

ROOT = Path(__file__).parents[3]
Driver = subprocess.Popen[str]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    drivers: list[Driver] = []
    of_tests = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup make test` would have it ignored

    def start(n_trials: int, n_epochs: int, seconds_per_epoch: float, n_workers: int = 1) -> Driver:
        arguments = (tmp_path / "cheap", n_trials, n_epochs, seconds_per_epoch, n_workers)
        driver = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/search/cheap_sweep.py"), *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the whole group, and must not reach pytest
        )
        drivers.append(driver)
        return driver

    yield start
    for driver in drivers:
        driver.kill()
        driver.wait()
    signal.signal(signal.SIGHUP, of_tests)


def wait_for(folder: Path, is_reached: Callable[[SweepState], bool], timeout_s: float = 20) -> SweepState:
    ends_s = time.monotonic() + timeout_s
    while time.monotonic() < ends_s:
        if (folder / "ledger.jsonl").exists():
            state = read_ledger(folder)
            if is_reached(state):
                return state
        time.sleep(0.02)
    raise TimeoutError("The driver did not get there.")


def n_epochs(state: SweepState) -> int:
    return sum(trial.n_epochs for trial in state.trials.values())


def worker_pids(state: SweepState) -> set[int]:
    return {start.pid for trial in state.trials.values() for start in trial.starts}


def wait_until_gone(pids: set[int]) -> set[int]:
    """The processes that are still there after two seconds."""
    ends_s = time.monotonic() + 2
    while time.monotonic() < ends_s and any(map(_is_alive, pids)):
        time.sleep(0.02)
    return {pid for pid in pids if _is_alive(pid)}


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_driver_leaves_no_orphans_and_its_sweep_goes_on(launch: Callable[..., Driver], tmp_path: Path) -> None:
    driver = launch(4, 5, 0.05, 2)
    wait_for(tmp_path / "cheap", lambda state: n_epochs(state) >= 7)
    children = {child.pid for child in psutil.Process(driver.pid).children(recursive=True)}
    driver.kill()
    driver.wait()
    before = read_ledger(tmp_path / "cheap")
    assert wait_until_gone(children | worker_pids(before)) == set()

    sweep = CheapSweep(tmp_path / "cheap", n_workers=2, horizon_epochs=5)
    sweep.budget = sweep.budget.model_copy(update={"trials": 4})
    engine = ScriptedEngine()
    outcome = sweep.launch(engine)
    after = read_ledger(tmp_path / "cheap")
    assert outcome.n_by_state == {TrialState.COMPLETED: 4}
    assert [trial.n_epochs for trial in after.trials.values()] == [5, 5, 5, 5]
    assert len(engine.reported) == 20 - n_epochs(before)
    for number, trial in before.trials.items():
        if trial.state is TrialState.RUNNING:
            assert after.trials[number].starts[-1].start_epoch == trial.n_epochs


def test_killing_again_and_again_loses_and_doubles_nothing(launch: Callable[..., Driver], tmp_path: Path) -> None:
    for target in (2, 7):
        driver = launch(3, 4, 0.03)
        wait_for(tmp_path / "cheap", lambda state, target=target: n_epochs(state) >= target)  # type: ignore[misc]
        driver.kill()
        driver.wait()
    sweep = CheapSweep(tmp_path / "cheap", horizon_epochs=4)
    assert sweep.launch().n_by_state == {TrialState.COMPLETED: 3}
    undisturbed = CheapSweep(tmp_path / "undisturbed", horizon_epochs=4)
    undisturbed.launch()
    values = [
        [trial.value for trial in read_ledger(folder).trials.values()] for folder in (sweep.folder, undisturbed.folder)
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_finish_the_epochs_and_say_how_to_go_on(
    launch: Callable[..., Driver], tmp_path: Path, number: signal.Signals
) -> None:
    driver = launch(5, 10, 0.1, 2)
    wait_for(tmp_path / "cheap", lambda state: n_epochs(state) >= 3)
    os.killpg(driver.pid, number)
    output, _ = driver.communicate(timeout=10)
    state = read_ledger(tmp_path / "cheap")
    assert driver.returncode == 0
    assert "interrupted" in output
    assert "The same command goes on from here." in output
    assert "Traceback" not in output
    assert state.closed is not None
    assert state.closed.status == "interrupted"
    assert {trial.state for trial in state.trials.values()} == {TrialState.RUNNING}
    assert all(trial.n_lost == 0 for trial in state.trials.values())
    assert wait_until_gone(worker_pids(state)) == set()


def test_sigterm_stops_like_ctrl_c(launch: Callable[..., Driver], tmp_path: Path) -> None:
    driver = launch(5, 10, 0.1)
    wait_for(tmp_path / "cheap", lambda state: n_epochs(state) >= 1)
    os.killpg(driver.pid, signal.SIGTERM)
    driver.communicate(timeout=10)
    state = read_ledger(tmp_path / "cheap")
    assert driver.returncode == 0
    assert state.closed is not None
    assert state.closed.status == "interrupted"


def test_a_second_ctrl_c_stops_at_once_and_the_sweep_can_go_on(launch: Callable[..., Driver], tmp_path: Path) -> None:
    driver = launch(1, 2, 30.0)
    state = wait_for(tmp_path / "cheap", lambda state: bool(worker_pids(state)))
    os.killpg(driver.pid, signal.SIGINT)
    time.sleep(0.3)
    assert driver.poll() is None
    os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=5)
    assert wait_until_gone(worker_pids(state)) == set()
    sweep = CheapSweep(tmp_path / "cheap", horizon_epochs=2)
    sweep.budget = sweep.budget.model_copy(update={"trials": 1})
    assert sweep.launch().n_by_state == {TrialState.COMPLETED: 1}


def test_a_second_driver_is_refused_and_told_who_is_first(launch: Callable[..., Driver], tmp_path: Path) -> None:
    driver = launch(1, 2, 30.0)
    wait_for(tmp_path / "cheap", lambda state: bool(worker_pids(state)))
    with pytest.raises(LedgerError, match=rf"process {driver.pid} on host"):
        CheapSweep(tmp_path / "cheap").launch()


def test_a_killed_forkserver_costs_an_attempt_and_not_the_sweep(launch: Callable[..., Driver], tmp_path: Path) -> None:
    driver = launch(2, 8, 0.1)
    state = wait_for(tmp_path / "cheap", lambda state: n_epochs(state) >= 2)
    forkserver = psutil.Process(next(iter(worker_pids(state)))).parent()
    assert forkserver is not None
    forkserver.kill()
    output, _ = driver.communicate(timeout=20)
    state = read_ledger(tmp_path / "cheap")
    assert state.count(TrialState.COMPLETED) == 2, output
    assert state.trials[0].n_lost == 1
    assert wait_until_gone(worker_pids(state)) == set()


def test_a_driver_that_sleeps_for_a_while_loses_nothing(launch: Callable[..., Driver], tmp_path: Path) -> None:
    driver = launch(3, 4, 0.1)
    wait_for(tmp_path / "cheap", lambda state: n_epochs(state) >= 2)
    driver.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    driver.send_signal(signal.SIGCONT)
    output, _ = driver.communicate(timeout=20)
    state = read_ledger(tmp_path / "cheap")
    assert state.count(TrialState.COMPLETED) == 3, output
    assert all(trial.n_attempts == 1 for trial in state.trials.values())


def test_the_lock_of_a_killed_driver_is_taken_over(launch: Callable[..., Driver], tmp_path: Path) -> None:
    driver = launch(1, 2, 30.0)
    wait_for(tmp_path / "cheap", lambda state: bool(worker_pids(state)))
    driver.kill()
    driver.wait()
    sweep = CheapSweep(tmp_path / "cheap", horizon_epochs=2)
    sweep.budget = sweep.budget.model_copy(update={"trials": 1})
    assert sweep.launch().n_by_state == {TrialState.COMPLETED: 1}
    assert any(f"process {driver.pid} on host" in line and "taken over" in line for line in sweep.progress.lines)
