"""What every executor must keep, wherever it trains: a base class of tests.

A subclass says how its executor is made. The trials are those of `search.objectives.cheap`, which
need no framework and take milliseconds; workers must be able to import it and to write to the
test's folder.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from search.executors.base import Executor, ExecutorError, Message, WorkerEnded, WorkerLost, WorkerReported, run_task
from search.ledger.files import is_intact
from search.ledger.trial import FailureKind, PruningDecision, TrialSpec, TrialState
from search.objectives.cheap import METRIC, CheapSettings

CHEAP = "search.objectives.cheap:train_cheaply"
N_EPOCHS = 2
_DRIVER_MODULE = "module_of_the_driver_alone"


@contextmanager
def settings_of_the_driver_alone() -> Iterator[Any]:
    """Settings of a class whose module is on the driver and nowhere else."""
    module = ModuleType(_DRIVER_MODULE)
    made = type("Settings", (), {"__module__": _DRIVER_MODULE})
    module.Settings = made  # type: ignore[attr-defined]
    sys.modules[_DRIVER_MODULE] = module
    try:
        yield made()
    finally:
        del sys.modules[_DRIVER_MODULE]


def next_message(executor: Executor, timeout_s: float = 60.0) -> Message:
    """Wait for one message.

    Raises:
        TimeoutError: if none comes in time.
    """
    ends_s = time.monotonic() + timeout_s
    while time.monotonic() < ends_s:
        messages = executor.poll(1)
        if messages:
            (message,) = messages
            return message
    raise TimeoutError(f"A worker must say something within {timeout_s} s.")


class ExecutorContract:
    """The tests; a subclass must overwrite `make_executor`."""

    def make_executor(self, n_workers: int, threads: int) -> Executor:
        """Make an executor that trains so many trials at once, each with so many threads."""
        raise NotImplementedError

    @pytest.fixture
    def spec(self, tmp_path: Path) -> TrialSpec:
        """A trial of two epochs."""
        return TrialSpec(
            "s", 0, 1, CHEAP, {"x": 0.5}, 1, 0, N_EPOCHS, N_EPOCHS, 1, "float32", None, tmp_path / "0", CheapSettings()
        )

    def test_it_says_how_many_workers_and_threads_it_has(self) -> None:
        with closing(self.make_executor(2, 3)) as executor:
            assert (executor.n_workers, executor.threads) == (2, 3)

    def test_a_trial_reports_each_epoch_waits_for_the_answer_and_ends(self, spec: TrialSpec) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            place = executor.start(spec)
            assert place.host
            assert place.threads >= 1
            for epoch in range(1, N_EPOCHS + 1):
                reported = next_message(executor)
                assert isinstance(reported, WorkerReported)
                assert (reported.number, reported.attempt, reported.report.epoch) == (0, 1, epoch)
                assert METRIC in reported.report.metrics
                assert list(executor.poll(0.1)) == [], "it waits for the answer"
                executor.answer(0, PruningDecision.GO)
            ended = next_message(executor)
            assert isinstance(ended, WorkerEnded)
            assert ended.result.state is TrialState.COMPLETED
            assert ended.result.value is not None

    def test_files_that_are_referred_to_lie_below_the_trial_s_folder_and_are_whole(self, spec: TrialSpec) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.start(replace(spec, until_epoch=1, horizon_epochs=1))
            reported = next_message(executor)
            assert isinstance(reported, WorkerReported)
            executor.answer(0, PruningDecision.GO)
            ended = next_message(executor)
            assert isinstance(ended, WorkerEnded)
            for reference in (reported.report.checkpoint, ended.result.model):
                assert reference is not None
                assert reference.path.is_relative_to(spec.work_dir)
                assert is_intact(reference)

    @pytest.mark.parametrize(
        ("decision", "state"), [(PruningDecision.STOP, TrialState.PRUNED), (PruningDecision.PAUSE, TrialState.PAUSED)]
    )
    def test_a_trial_ends_as_it_is_answered(
        self, spec: TrialSpec, decision: PruningDecision, state: TrialState
    ) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.start(spec)
            next_message(executor)
            executor.answer(0, decision)
            ended = next_message(executor)
            assert isinstance(ended, WorkerEnded)
            assert ended.result.state is state

    def test_a_trial_goes_on_from_the_checkpoint_of_another_attempt(self, spec: TrialSpec, tmp_path: Path) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            values = []
            for n_epochs_first in (0, 1):
                folder = tmp_path / str(n_epochs_first)
                first = replace(spec, work_dir=folder / "1", until_epoch=n_epochs_first or N_EPOCHS)
                executor.start(first)
                reported = next_message(executor)
                assert isinstance(reported, WorkerReported)
                executor.answer(0, PruningDecision.GO)
                if n_epochs_first:
                    assert isinstance(next_message(executor), WorkerEnded)
                    checkpoint = reported.report.checkpoint
                    executor.start(
                        replace(spec, attempt=2, start_epoch=1, checkpoint=checkpoint, work_dir=folder / "2")
                    )
                next_message(executor)
                executor.answer(0, PruningDecision.GO)
                ended = next_message(executor)
                assert isinstance(ended, WorkerEnded)
                values.append(ended.result.value)
            assert values[0] == values[1]

    def test_a_worker_is_free_again_after_each_trial(self, spec: TrialSpec, tmp_path: Path) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            for number in range(3):
                folder = tmp_path / f"trial-{number}"
                executor.start(replace(spec, number=number, until_epoch=0, horizon_epochs=0, work_dir=folder))
                assert isinstance(next_message(executor), WorkerEnded)

    def test_no_more_trials_start_than_there_are_workers(self, spec: TrialSpec) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.start(spec)
            with pytest.raises(ExecutorError):
                executor.start(replace(spec, number=1))

    def test_what_an_objective_raises_fails_its_trial_with_the_traceback(self, spec: TrialSpec) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.start(replace(spec, settings=CheapSettings(failing=frozenset({0}))))
            next_message(executor)
            executor.answer(0, PruningDecision.GO)
            ended = next_message(executor)
            assert isinstance(ended, WorkerEnded)
            assert ended.result.state is TrialState.FAILED
            assert ended.result.reason.startswith("TrainingError: ")
            assert "Traceback" in ended.result.traceback

    def test_an_objective_that_is_not_there_fails_the_trial_with_its_name(self, spec: TrialSpec) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.start(replace(spec, objective="search.nothing:train"))
            ended = next_message(executor)
            assert isinstance(ended, WorkerEnded)
            assert ended.result.state is TrialState.FAILED
            assert "search.nothing:train" in ended.result.reason

    def test_settings_that_cannot_be_sent_are_an_error_and_leave_no_worker(self, spec: TrialSpec) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            with pytest.raises(ExecutorError):
                executor.start(replace(spec, settings=lambda: None))
            executor.start(spec)
            assert isinstance(next_message(executor), WorkerReported)

    def test_settings_that_cannot_be_read_fail_the_trial_with_what_is_missing(self, spec: TrialSpec) -> None:
        with closing(self.make_executor(1, 1)) as executor, settings_of_the_driver_alone() as settings:
            executor.start(replace(spec, settings=settings))
            ended = next_message(executor)
            assert isinstance(ended, WorkerEnded)
            assert ended.result.state is TrialState.FAILED
            assert ended.result.failure is FailureKind.ERROR
            assert ended.result.reason.startswith("SettingsError: ")
            assert f"No module named '{_DRIVER_MODULE}'" in ended.result.reason
            executor.start(replace(spec, number=1))
            assert isinstance(next_message(executor), WorkerReported)

    def test_a_worker_that_dies_is_lost_and_free_again(self, spec: TrialSpec, tmp_path: Path) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.start(replace(spec, settings=CheapSettings(dying=frozenset({0}))))
            next_message(executor)
            executor.answer(0, PruningDecision.GO)
            lost = next_message(executor)
            assert isinstance(lost, WorkerLost)
            assert (lost.number, lost.attempt) == (0, 1)
            assert lost.reason
            executor.answer(0, PruningDecision.GO)  # without effect
            executor.start(replace(spec, attempt=2, work_dir=tmp_path / "again"))
            assert isinstance(next_message(executor), WorkerReported)

    def test_a_killed_trial_says_nothing_more(self, spec: TrialSpec, tmp_path: Path) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.start(spec)
            next_message(executor)
            executor.kill(0)
            executor.answer(0, PruningDecision.GO)
            assert list(executor.poll(0.1)) == []
            executor.start(replace(spec, number=1, work_dir=tmp_path / "1"))
            reported = next_message(executor)
            assert reported.number == 1

    def test_waking_ends_a_poll_at_once(self) -> None:
        with closing(self.make_executor(1, 1)) as executor:
            executor.wake()
            started_s = time.monotonic()
            assert list(executor.poll(30)) == []
            assert time.monotonic() - started_s < 10

    def test_closing_ends_workers_in_the_middle_of_an_epoch_and_may_be_done_twice(self, spec: TrialSpec) -> None:
        executor = self.make_executor(1, 1)
        executor.start(replace(spec, settings=CheapSettings(seconds_per_epoch=600)))
        started_s = time.monotonic()
        executor.close()
        executor.close()
        assert time.monotonic() - started_s < 60

    def test_a_task_is_run_and_the_executor_is_closed(self, tmp_path: Path) -> None:
        spec = TrialSpec.of_task(CHEAP, CheapSettings(), tmp_path / "task", precision="float32", seed=1, threads=1)
        assert run_task(self.make_executor(1, 1), spec).state is TrialState.COMPLETED
