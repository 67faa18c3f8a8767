"""Workers as processes of this machine: the contract of executors, and what is a process's own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from search.executors.base import ExecutorError, Message, WorkerEnded, WorkerLost, WorkerReported
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.ledger.trial import PruningDecision, TrialSpec, TrialState
from search.objectives.cheap import CheapSettings
from search.testing.executors import ExecutorContract, next_message
from tests.search.cheap_sweep import CHEAP


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    return TrialSpec(
        "s", 0, 1, CHEAP, {"x": 0.5}, 1, 0, 2, 2, 3, "float32", None, tmp_path / "attempt-1", CheapSettings()
    )


class TestLocalExecutor(ExecutorContract):
    """The contract of executors."""

    def make_executor(self, n_workers: int, threads: int) -> LocalExecutor:
        return LocalExecutor(n_workers, threads)


def test_every_trial_has_a_fresh_process(spec: TrialSpec) -> None:
    with LocalExecutor(1, 1) as executor:
        pids = set()
        for number in range(3):
            pids.add(executor.start(replace(spec, number=number, until_epoch=0, horizon_epochs=0)).pid)
            assert isinstance(next_message(executor), WorkerEnded)
        assert len(pids) == 3


def test_a_worker_says_what_it_took_to_start_and_how_long_it_waited(spec: TrialSpec) -> None:
    with LocalExecutor(1, 1) as executor:
        executor.start(spec)
        first = next_message(executor)
        time.sleep(0.05)
        executor.answer(0, PruningDecision.GO)
        second = next_message(executor)
        executor.answer(0, PruningDecision.GO)
        end = next_message(executor)
    assert isinstance(first, WorkerReported)
    assert isinstance(second, WorkerReported)
    assert isinstance(end, WorkerEnded)
    assert 0 < first.report.seconds["start"] < 60
    assert set(first.report.seconds) == {"start"}
    assert 0.05 <= second.report.seconds["waiting"] < 60
    assert set(second.report.seconds) == set(end.result.seconds) == {"waiting"}


def test_a_killed_worker_is_lost_with_its_signal_and_the_end_of_its_log(spec: TrialSpec) -> None:
    with LocalExecutor(1, 1) as executor:
        executor.start(replace(spec, settings=CheapSettings(dying=frozenset({0}))))
        next_message(executor)
        executor.answer(0, PruningDecision.GO)
        lost = next_message(executor)
        assert isinstance(lost, WorkerLost)
        assert lost.exit_code == -signal.SIGKILL
        assert "SIGKILL" in lost.reason
        assert lost.log_tail == "about to die"


def test_an_objective_that_is_not_there_fails_the_trial_with_its_name(spec: TrialSpec) -> None:
    with LocalExecutor(1, 1) as executor:
        for number, objective in enumerate(("search.nothing:train", "search.objectives.cheap:nothing", "nonsense")):
            executor.start(replace(spec, number=number, objective=objective))
            end = next_message(executor)
            assert isinstance(end, WorkerEnded)
            assert end.result.state is TrialState.FAILED
            assert objective in end.result.reason


@pytest.fixture
def environment_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An objective whose value is what the environment says about threads and GPU, and that counts
    its main module.
    """
    (tmp_path / "environment_objective.py").write_text(
        "import os, sys\n"
        "from search.ledger.trial import TrialResult, TrialState\n"
        "def train(spec, report_epoch):\n"
        "    gpu = float(os.environ.get('CUDA_VISIBLE_DEVICES', 'nan'))\n"
        "    has_pytest = float('pytest' in sys.modules)\n"
        "    return TrialResult(TrialState.COMPLETED, float(os.environ['OMP_NUM_THREADS']),\n"
        "                       {'gpu': gpu, 'has_pytest': has_pytest})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "environment_objective:train"


def test_a_worker_knows_its_threads_and_not_the_driver_s_main_module(
    spec: TrialSpec, environment_objective: str
) -> None:
    with LocalExecutor(1, 3) as executor:
        executor.start(replace(spec, objective=environment_objective))
        end = next_message(executor)
        assert isinstance(end, WorkerEnded)
        assert end.result.value == 3
        assert end.result.metrics["has_pytest"] == 0


def test_each_worker_gets_a_gpu_of_its_own_and_gives_it_back(spec: TrialSpec, environment_objective: str) -> None:
    with LocalExecutor(3, 1, gpus=("4", "5")) as executor:
        seen: list[float] = []
        for numbers in ((0, 1, 2), (3, 4, 5)):
            for number in numbers:
                executor.start(replace(spec, number=number, objective=environment_objective))
            ends: list[Message] = []
            while len(ends) < 3:
                ends.extend(executor.poll(5))
            seen += [end.result.metrics["gpu"] for end in ends if isinstance(end, WorkerEnded)]
        assert sorted(seen) == [-1, -1, 4, 4, 5, 5]


def test_workers_leave_ctrl_c_and_sigterm_to_the_driver(spec: TrialSpec) -> None:
    with LocalExecutor(1, 1) as executor:
        pid = executor.start(spec).pid
        next_message(executor)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        executor.answer(0, PruningDecision.GO)
        assert isinstance(next_message(executor), WorkerReported)


def test_a_killed_trial_says_nothing_more(spec: TrialSpec) -> None:
    with LocalExecutor(1, 1) as executor:
        pid = executor.start(spec).pid
        next_message(executor)
        executor.kill(0)
        executor.answer(0, PruningDecision.GO)
        assert executor.poll(0.1) == []
        executor.start(replace(spec, number=1))
        assert isinstance(next_message(executor), WorkerReported)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_closing_ends_all_workers_even_in_the_middle_of_an_epoch(spec: TrialSpec) -> None:
    with LocalExecutor(2, 1) as executor:
        slow = CheapSettings(seconds_per_epoch=60)
        pids = [executor.start(replace(spec, number=number, settings=slow)).pid for number in range(2)]
    executor.close()
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_waking_ends_a_poll_at_once() -> None:
    with LocalExecutor(1, 1) as executor:
        executor.wake()
        started_s = time.monotonic()
        assert executor.poll(5) == []
        assert time.monotonic() - started_s < 1
        started_s = time.monotonic()
        executor.poll(0.2)
        assert time.monotonic() - started_s >= 0.19


def test_preload_names_the_objective_s_module_and_what_it_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_objective.py").write_text('PRELOAD: tuple[str, ...] = ("json", "csv")\nraise RuntimeError\n')
    (tmp_path / "light_objective.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert modules_to_preload("heavy_objective:train") == ("json", "csv", "heavy_objective")
    assert modules_to_preload("light_objective:train") == ("light_objective",)
    with pytest.raises(ExecutorError, match="no_such_module"):
        modules_to_preload("no_such_module:train")


def test_a_forkserver_killed_just_before_a_start_costs_nothing(spec: TrialSpec) -> None:
    with LocalExecutor(1, 1) as executor:
        for number in range(12):
            pid = executor.start(replace(spec, number=number, until_epoch=0, horizon_epochs=0)).pid
            server = psutil.Process(pid).parent()
            assert server is not None
            assert isinstance(next_message(executor), WorkerEnded)
            server.kill()
            time.sleep(number / 6000)


def test_a_forkserver_that_cannot_come_up_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "broken_import.py").write_text(
        "import os, sys\nprint('no such library', file=sys.stderr)\nos._exit(4)\n"
    )
    driver = (
        "import pathlib\n"
        "from search.executors.local.executor import LocalExecutor\n"
        "from search.ledger.trial import TrialSpec\n"
        "spec = TrialSpec('s', 0, 1, 'a:b', {}, 1, 0, 1, 1, 1, 'float32', None, pathlib.Path('work'), None)\n"
        "LocalExecutor(1, 1, preload=['broken_import']).start(spec)\n"
    )
    python_path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", driver], cwd=tmp_path, env=os.environ | {"PYTHONPATH": python_path}, capture_output=True
    )
    assert ran.returncode == 1
    assert b"ExecutorError" in ran.stderr
    assert b"no such library" in ran.stderr


@pytest.mark.parametrize(("n_workers", "threads"), [(0, 1), (1, 0)])
def test_there_is_at_least_one_worker_and_one_thread(n_workers: int, threads: int) -> None:
    with pytest.raises(ValueError, match=">= 1"):
        LocalExecutor(n_workers, threads)
