"""What the record in MLflow costs a trial and an epoch.

    python -m benchmarks.tracking_cost

One real trial of the seed recipe is trained; its record in the ledger, with its files and its
model, is then told to an `MlflowTracker` on a fresh SQLite store again and again under new numbers.
Every trial is a little better than the one before, so that each becomes the sweep's best. In a
sweep this time is paid by a thread of its own, after workers got their answers.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, TypeVar

import numpy as np
import typer

from benchmarks.corpora import prepare_experiment
from benchmarks.report import notes, print_report
from benchmarks.short_sweep import run_short_sweep, short_experiment, temporary_folder
from search.ledger.events import AttemptStarted, EpochReported, SegmentEnded, TrialProposed
from search.ledger.state import SweepState, TrialRecord
from search.sweep.launch import search_facts, tracked_datasets
from search.sweep.tracking_queue import Tracker
from search.tracking.store import open_store
from search.tracking.tracker import MlflowTracker

T = TypeVar("T", TrialProposed, AttemptStarted, EpochReported, SegmentEnded)
E = TypeVar("E")

AIM_TRIAL_S, AIM_EPOCH_S = 0.5, 0.02
N_AT_EACH_END = 10
_N_PATCHES = 512
_MS_BETWEEN_TRIALS = 600_000


def main(
    trials: Annotated[int, typer.Option(min=2, help="Trials to record.")] = 30,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each.")] = 8,
) -> None:
    """Measure what `MlflowTracker` costs."""
    experiment = short_experiment(_N_PATCHES, epochs)
    with temporary_folder() as folder:
        notes.print("tracking_cost: training a trial to tell of ...")
        state = run_short_sweep(experiment, folder / "sweep", 1)
        datasets = tracked_datasets(prepare_experiment(experiment))
        facts = replace(search_facts(experiment), engine="fixed")
        tracker = MlflowTracker(open_store(root=folder), experiment.name, facts, datasets=datasets)
        notes.print(f"tracking_cost: telling {trials} times of it ...")
        costs = measure(tracker, state, trials)
    rows = [
        _row("trial (start and end, files, model)", costs.trials, trials, AIM_TRIAL_S),
        _row("its start", costs.starts, trials),
        _row("its end", costs.ends, trials),
        _row("epoch", costs.epochs, trials, AIM_EPOCH_S),
    ]
    remarks = [
        f"{trials} trials of {epochs} epochs on SQLite; growth: the median of the last third (at most "
        f"{N_AT_EACH_END} trials) over that of as many first ones",
        f"aim: a median under {AIM_TRIAL_S} s a trial and under {1000 * AIM_EPOCH_S:.0f} ms an epoch",
    ]
    print_report("Cost of tracking", ("what", "median, ms", "95th percentile, ms", "growth", "aim"), rows, remarks)


def told_as(trial: TrialRecord, number: int) -> TrialRecord:
    """The same trial as if it were the sweep's trial `number`, later and a little better."""
    if trial.ended is None or trial.value is None:
        raise RuntimeError(f"The trial must complete, but it is {trial.state}.")
    later_ms, value = number * _MS_BETWEEN_TRIALS, trial.value * 0.99**number

    def later(event: T) -> T:
        return replace(event, number=number, at_ms=event.at_ms + later_ms)

    return replace(
        trial,
        proposed=later(trial.proposed),
        starts=tuple(map(later, trial.starts)),
        reports=tuple(map(later, trial.reports)),
        ended=later(replace(trial.ended, result=replace(trial.ended.result, value=value))),
    )


@dataclass
class Costs:
    """Seconds of each call, in order."""

    starts: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    @property
    def trials(self) -> list[float]:
        """Start and end of each trial together."""
        return [start + end for start, end in zip(self.starts, self.ends, strict=True)]


def measure(tracker: Tracker, state: SweepState, n_trials: int) -> Costs:
    """Tell the tracker of the sweep's trial again and again, under new numbers."""
    if state.created is None:
        raise RuntimeError("The sweep must have begun.")
    costs = Costs()
    tracker.start_sweep(state.created, SweepState())
    for number in range(n_trials):
        trial = told_as(state.trials[0], number)
        costs.starts.append(_seconds(tracker.start_attempt, trial.starts[0], trial))
        costs.epochs += [_seconds(tracker.end_epochs, [event], trial) for event in trial.reports]
        if trial.ended is not None:
            costs.ends.append(_seconds(tracker.end_trial, trial.ended, trial))
    return costs


def growth(seconds: Sequence[float], n_trials: int) -> float:
    """How many times as much the last trials cost as the first ones."""
    n_calls = min(N_AT_EACH_END, max(1, n_trials // 3)) * len(seconds) // n_trials
    return float(np.median(seconds[-n_calls:]) / np.median(seconds[:n_calls]))


def _seconds(tell: Callable[[E, TrialRecord], None], event: E, trial: TrialRecord) -> float:
    started = time.perf_counter()
    tell(event, trial)
    return time.perf_counter() - started


def _row(what: str, seconds: Sequence[float], n_trials: int, aim_s: float | None = None) -> tuple[str, ...]:
    middle, high = 1000 * np.median(seconds), 1000 * np.percentile(seconds, 95)
    aim = "" if aim_s is None else ("met" if middle < 1000 * aim_s else "missed")
    return what, f"{middle:.1f}", f"{high:.1f}", f"{growth(seconds, n_trials):.2f}", aim


if __name__ == "__main__":
    typer.run(main)
