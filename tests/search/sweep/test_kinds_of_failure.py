"""What a sweep does about each kind of failure."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import search.sweep.loop
from core.errors import CheckpointError, DiskError
from search.executors.local.processes import OomKills
from search.experiment.settings import BudgetSettings
from search.ledger.events import AttemptStarted, SegmentEnded
from search.ledger.ledger import read_ledger
from search.ledger.trial import EpochReport, FailureKind, PruningDecision, TrialState, kind_of
from search.objectives.cheap import CheapSettings
from search.sweep.disk import check_disk_space
from search.sweep.tracking_queue import TrackingQueue
from tests.search.cheap_sweep import CheapSweep, KeepingTracker, ScriptedEngine
from tests.small_disk import fill, make_room

pytest_plugins = ["tests.small_disk"]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def sweep(tmp_path: Path) -> CheapSweep:
    return CheapSweep(tmp_path / "cheap")


def values(sweep: CheapSweep) -> list[float | None]:
    return [trial.value for trial in read_ledger(sweep.folder).trials.values()]


def said(sweep: CheapSweep, text: str) -> int:
    return sum(text in line for line in sweep.progress.lines)


def test_a_value_that_no_sampler_can_square_fails_the_trial(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(huge=frozenset({1}))
    outcome = sweep.launch()
    result = read_ledger(sweep.folder).trials[1].result
    assert outcome.n_by_state == {TrialState.FAILED: 1, TrialState.COMPLETED: 2}
    assert result is not None
    assert "must be a finite number below 1e+100 in size, but got 1e+300" in result.reason


class TestOutOfMemory:
    def test_memory_that_is_refused_fails_the_trial_with_its_size_and_is_not_tried_again(
        self, sweep: CheapSweep
    ) -> None:
        sweep.settings = CheapSettings(hungry=frozenset({1}), hungry_bytes=2**60)
        outcome = sweep.launch()
        trial = read_ledger(sweep.folder).trials[1]
        assert outcome.n_by_state == {TrialState.COMPLETED: 2, TrialState.FAILED: 1}
        assert trial.n_attempts == 1
        assert trial.result is not None
        assert trial.result.failure is FailureKind.OUT_OF_MEMORY
        assert trial.result.reason.startswith("OutOfMemory: there was no more when this worker held ")
        assert "MemoryError" in trial.result.traceback

    def test_the_kernel_s_choice_is_the_worker_and_fails_its_trial_with_its_size(
        self, small_memory: Path, tmp_path: Path
    ) -> None:
        code = (
            "import os, sys; from pathlib import Path\n"
            "Path(sys.argv[1]).write_text(str(os.getpid()))\n"
            "from search.objectives.cheap import CheapSettings\n"
            "from tests.search.cheap_sweep import CheapSweep\n"
            "sweep = CheapSweep(Path(sys.argv[2]), settings=CheapSettings(hungry=frozenset({1}), hungry_bytes=10**9))\n"
            "print(sweep.launch().status)"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, str(small_memory / "cgroup.procs"), str(tmp_path / "cheap")],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.stdout == "completed\n", run.stderr
        trials = read_ledger(tmp_path / "cheap").trials
        assert [trial.state for trial in trials.values()] == ["completed", "failed", "completed"]
        assert trials[1].n_attempts == 1
        assert trials[1].result is not None
        assert trials[1].result.failure is FailureKind.OUT_OF_MEMORY
        assert "ended for want of memory, last seen with" in trials[1].result.reason

    @pytest.fixture
    def small_memory(self) -> Iterator[Path]:
        """A group of processes that may have 300 MB."""
        for parent, limit in (
            (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            (Path("/sys/fs/cgroup"), "memory.max"),
        ):
            group = parent / f"whosehand-test-{os.getpid()}"
            try:
                group.mkdir()
            except OSError:
                continue
            if (group / limit).exists():
                (group / limit).write_text("300000000")
                yield group
                ends_s = time.monotonic() + 10
                while (group / "cgroup.procs").read_text() and time.monotonic() < ends_s:
                    time.sleep(0.05)
                group.rmdir()
                return
            group.rmdir()
        pytest.skip("a control group for memory must be made, which needs a privileged user")

    def test_a_kill_that_was_counted_belongs_to_one_lost_worker(self, tmp_path: Path) -> None:
        counter = tmp_path / "memory.events"
        counter.write_text("oom 1\noom_kill 4\n")
        kills = OomKills(counter)
        assert not kills.take()
        counter.write_text("oom 1\noom_kill 5\n")
        assert kills.take()
        assert not kills.take()

    def test_a_counter_that_is_not_there_counts_nothing(self, tmp_path: Path) -> None:
        assert not OomKills(tmp_path / "none").take()


class TestBadData:
    def test_the_sweep_stops_and_the_trial_goes_on_when_the_data_are_mended(
        self, sweep: CheapSweep, tmp_path: Path
    ) -> None:
        damaged = tmp_path / "damaged"
        damaged.touch()
        sweep.settings = CheapSettings(unreadable=damaged)
        outcome = sweep.launch()
        trials = read_ledger(sweep.folder).trials
        assert outcome.status == "failed"
        assert "LineStoreError: Lines must be readable" in outcome.reason
        assert "worker.log" in outcome.reason
        assert {trial.state for trial in trials.values()} == {TrialState.RUNNING}
        assert len(trials) == 1
        damaged.unlink()
        assert sweep.launch().n_by_state == {TrialState.COMPLETED: 3}
        assert read_ledger(sweep.folder).trials[0].starts[-1].start_epoch == 1


class TestFullDisk:
    def test_the_sweep_pauses_and_goes_on_when_there_is_room(
        self, sweep: CheapSweep, small_disk: Path, tmp_path: Path
    ) -> None:
        undisturbed = CheapSweep(tmp_path / "undisturbed", horizon_epochs=4)
        undisturbed.launch()

        def fill_once(number: int, report: EpochReport) -> PruningDecision:
            if (number, report.epoch) == (1, 2):
                fill(small_disk)
                threading.Timer(1.0, make_room, (small_disk,)).start()
            return PruningDecision.GO

        sweep.folder, sweep.horizon_epochs = small_disk / "cheap", 4
        outcome = sweep.launch(ScriptedEngine(on_report=fill_once))
        assert outcome.n_by_state == {TrialState.COMPLETED: 3}
        assert values(sweep) == values(undisturbed)
        assert said(sweep, "is full") == 1
        assert said(sweep, "There is room on the disk again") == 1
        assert all(trial.n_lost == 0 for trial in read_ledger(sweep.folder).trials.values())

    def test_a_checkpoint_that_does_not_fit_costs_its_trial_no_failure(
        self, sweep: CheapSweep, small_disk: Path
    ) -> None:
        """The ledger is elsewhere, the trials' files are on the full disk."""
        sweep.folder.mkdir()
        (sweep.folder / "trials").symlink_to(small_disk)
        fill(small_disk)
        threading.Timer(1.0, make_room, (small_disk,)).start()
        outcome = sweep.launch()
        trials = read_ledger(sweep.folder).trials.values()
        assert outcome.n_by_state == {TrialState.COMPLETED: 3}
        assert any(trial.n_attempts > 1 for trial in trials) or any(trial.n_lost for trial in trials)
        assert not any(trial.state is TrialState.FAILED for trial in trials)

    def test_ctrl_c_ends_a_pause(self, sweep: CheapSweep, small_disk: Path) -> None:
        sweep.folder = small_disk / "cheap"
        sweep.min_free_bytes = 10**15
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        outcome = sweep.launch()
        assert outcome.status == "interrupted"
        assert said(sweep, "1000000000 MB are free") == 1

    def test_too_little_room_is_refused_before_the_start(self, tmp_path: Path) -> None:
        check_disk_space(tmp_path, 1)
        with pytest.raises(DiskError, match=r"min_free_mb.*1,000,000,000 MB"):
            check_disk_space(tmp_path, 10**15)


class TestSilence:
    def test_a_worker_that_falls_silent_is_lost_and_its_trial_goes_on(self, sweep: CheapSweep) -> None:
        sweep.settings, sweep.silent_s = CheapSettings(hanging=frozenset({1})), 1.0
        assert sweep.launch().n_by_state == {TrialState.COMPLETED: 3}
        trial = read_ledger(sweep.folder).trials[1]
        assert [start.start_epoch for start in trial.starts] == [0, 1]
        assert trial.n_lost == 1
        assert said(sweep, "silent for 1.0 s") == 1

    def test_a_stopped_worker_is_not_silent(self, sweep: CheapSweep) -> None:
        sweep.settings, sweep.silent_s = CheapSettings(seconds_per_epoch=0.3), 1.5
        sweep.budget = BudgetSettings(trials=1)

        def stop_for_a_while(number: int, report: EpochReport) -> PruningDecision:
            if report.epoch == 1:
                worker = psutil.Process(read_ledger(sweep.folder).trials[0].starts[0].pid)
                worker.suspend()
                threading.Timer(2.5, worker.resume).start()
            return PruningDecision.GO

        assert sweep.launch(ScriptedEngine(on_report=stop_for_a_while)).n_by_state == {TrialState.COMPLETED: 1}
        assert read_ledger(sweep.folder).trials[0].n_lost == 0


class TestStoreAway:
    def test_the_sweep_goes_on_and_the_store_is_told_as_soon_as_it_answers(
        self, sweep: CheapSweep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search.sweep.loop, "TrackingQueue", functools.partial(TrackingQueue, quiet_s=0.2))
        tracker = KeepingTracker(is_down=True)
        told_before_the_end: list[int] = []

        def come_back(number: int, report: EpochReport) -> PruningDecision:
            tracker.is_down = number < 1
            if (number, report.epoch) == (3, 3):
                told_before_the_end.extend(event.number for event in tracker.of(SegmentEnded))
            return PruningDecision.GO

        sweep.budget = BudgetSettings(trials=4)
        sweep.settings = CheapSettings(seconds_per_epoch=0.2)
        outcome = sweep.launch(ScriptedEngine(on_report=come_back), tracker)
        assert outcome.n_by_state == {TrialState.COMPLETED: 4}
        assert told_before_the_end[:2] == [0, 1]
        assert {event.number for event in tracker.of(AttemptStarted)} == {0, 1, 2, 3}
        assert all(trial.is_tracked for trial in read_ledger(sweep.folder).trials.values())
        assert said(sweep, "could not be tracked") == 1
        assert said(sweep, "The tracking store answers again") == 1


class TestARunOfFailures:
    def test_it_ends_the_sweep_with_reason_and_log(self, sweep: CheapSweep) -> None:
        sweep.settings = CheapSettings(failing=frozenset(range(9)))
        sweep.budget, sweep.max_failures_in_a_row = BudgetSettings(trials=9), 2
        outcome = sweep.launch()
        assert outcome.status == "failed"
        assert "2 trials in a row" in outcome.reason
        log = Path(outcome.reason.split("(log: ")[1].split(")")[0])
        assert "TrainingError" in log.read_text()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: OSError(28, "No space left on device"), FailureKind.DISK_FULL),
        (lambda: OSError("h5py: errno = 28, 'No space left on device'"), FailureKind.DISK_FULL),
        (lambda: _caused(CheckpointError("cannot be written"), OSError(28, "full")), FailureKind.DISK_FULL),
        (lambda: MemoryError(), FailureKind.OUT_OF_MEMORY),
        (lambda: type("ResourceExhaustedError", (Exception,), {})("OOM"), FailureKind.OUT_OF_MEMORY),
        (lambda: ValueError("anything"), FailureKind.ERROR),
    ],
)
def test_kinds_are_told_by_the_exception_and_by_what_caused_it(
    make: Callable[[], BaseException], kind: FailureKind
) -> None:
    assert kind_of(make()) is kind


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
