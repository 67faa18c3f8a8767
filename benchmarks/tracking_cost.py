"""What the record in MLflow costs a trial and an epoch.

    python -m benchmarks.tracking_cost

One real trial of the seed recipe is trained; what the sweep tells its observer of it, with its files and its model, is
then told to an `MlflowTracker` on a fresh SQLite store again and again under new numbers. Every trial is a little
better than the one before, so that each becomes the sweep's best. In a sweep this time is paid by a thread of its
own, after workers got their answers.
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
from search.sweep.launch import tracked_datasets
from search.sweep.observer import EpochEnded, NullObserver, SweepObserver, SweepStarted, TrialEnded, TrialStarted
from search.tracking.store import open_store
from search.tracking.tracker import MlflowTracker

T = TypeVar("T")

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
        told = ToldTrial()
        run_short_sweep(experiment, folder / "sweep", 1, told)
        datasets = tracked_datasets(prepare_experiment(experiment))
        tracker = MlflowTracker(open_store(root=folder), experiment.name, engine="fixed", datasets=datasets)
        notes.print(f"tracking_cost: telling {trials} times of it ...")
        costs = measure(tracker, told, trials)
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


@dataclass
class ToldTrial(NullObserver):
    """Keeps what a sweep of one trial tells."""

    sweeps: list[SweepStarted] = field(default_factory=list)
    starts: list[TrialStarted] = field(default_factory=list)
    epochs: list[EpochEnded] = field(default_factory=list)
    ends: list[TrialEnded] = field(default_factory=list)

    def start_sweep(self, event: SweepStarted) -> None:
        """Keep it."""
        self.sweeps.append(event)

    def trial_started(self, event: TrialStarted) -> None:
        """Keep it."""
        self.starts.append(event)

    def epoch_ended(self, event: EpochEnded) -> None:
        """Keep it."""
        self.epochs.append(event)

    def trial_ended(self, event: TrialEnded) -> None:
        """Keep it."""
        self.ends.append(event)

    def under(self, number: int) -> tuple[TrialStarted, list[EpochEnded], TrialEnded]:
        """The same trial as if it were the sweep's trial `number`, later and a little better."""
        later = number * _MS_BETWEEN_TRIALS
        start, end = self.starts[0], self.ends[0]
        value = (end.result.value or 0.0) * 0.99**number
        return (
            replace(start, number=number, first_started_ms=start.first_started_ms + later, at_ms=start.at_ms + later),
            [replace(epoch, number=number, at_ms=epoch.at_ms + later) for epoch in self.epochs],
            replace(
                end,
                number=number,
                result=replace(end.result, value=value),
                summary=replace(end.summary, number=number, value=value),
                first_started_ms=end.first_started_ms + later,
                at_ms=end.at_ms + later,
            ),
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


def measure(tracker: SweepObserver, told: ToldTrial, n_trials: int) -> Costs:
    """Tell the tracker of the trial again and again, under new numbers."""
    costs = Costs()
    tracker.start_sweep(told.sweeps[0])
    for number in range(n_trials):
        start, epochs, end = told.under(number)
        costs.starts.append(_seconds(tracker.trial_started, start))
        costs.epochs += [_seconds(tracker.epoch_ended, epoch) for epoch in epochs]
        costs.ends.append(_seconds(tracker.trial_ended, end))
    return costs


def growth(seconds: Sequence[float], n_trials: int) -> float:
    """How many times as much the last trials cost as the first ones."""
    n_calls = min(N_AT_EACH_END, max(1, n_trials // 3)) * len(seconds) // n_trials
    return float(np.median(seconds[-n_calls:]) / np.median(seconds[:n_calls]))


def _seconds(tell: Callable[[T], None], event: T) -> float:
    started = time.perf_counter()
    tell(event)
    return time.perf_counter() - started


def _row(what: str, seconds: Sequence[float], n_trials: int, aim_s: float | None = None) -> tuple[str, ...]:
    middle, high = 1000 * np.median(seconds), 1000 * np.percentile(seconds, 95)
    aim = "" if aim_s is None else ("met" if middle < 1000 * aim_s else "missed")
    return what, f"{middle:.1f}", f"{high:.1f}", f"{growth(seconds, n_trials):.2f}", aim


if __name__ == "__main__":
    typer.run(main)
