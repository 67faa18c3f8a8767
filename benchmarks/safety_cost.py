"""What it costs a sweep that nothing gets lost: checkpoints and tracking, against neither.

    python -m benchmarks.safety_cost

Two kinds of sweeps take turns, of the seed recipe and with the same seeds: one with a checkpoint
after every epoch and an `MlflowTracker` on SQLite, one without both. Ledger, workers and the saved
model are the same for both. An epoch is made so long, by one sweep beforehand, that a trial takes
about the seconds asked for.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.corpora import prepare_experiment
from benchmarks.report import notes, print_report, spread
from benchmarks.short_sweep import run_short_sweep, short_experiment, temporary_folder
from search.experiment.experiment import Experiment
from search.sweep.launch import search_facts, tracked_datasets
from search.sweep.tracking_queue import Tracker
from search.tracking.store import open_store
from search.tracking.tracker import MlflowTracker

AIM_PERCENT = 2.0
_N_PATCHES_BEFORE = 2048


@dataclass(frozen=True)
class SweepTimes:
    """Seconds of one sweep.

    Attributes:
        sweep_s: from its launch to its end, all tracked.
        epochs_s: of all epochs, checkpoints among them, as the workers measured them.
    """

    sweep_s: float
    epochs_s: float


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Sweeps of each kind, taking turns.")] = 3,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each sweep.")] = 2,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each trial.")] = 6,
    trial_seconds: Annotated[float, typer.Option(min=0.1, help="How long a trial should take, about.")] = 30.0,
) -> None:
    """Measure what checkpoints and tracking cost a sweep."""
    with temporary_folder() as folder:
        experiment = short_experiment(_n_patches(folder, trial_seconds / epochs), epochs)
        safe: list[SweepTimes] = []
        bare: list[SweepTimes] = []
        for number in range(rounds):
            # Each kind is first as often as second.
            for is_safe in (True, False) if number % 2 == 0 else (False, True):
                notes.print(f"safety_cost: round {number + 1}, {'with' if is_safe else 'without'} ...")
                times = _run(experiment, folder / f"{number}-{is_safe}", trials, is_safe)
                (safe if is_safe else bare).append(times)
    costs = [100 * (one.sweep_s / other.sweep_s - 1) for one, other in zip(safe, bare, strict=True)]
    cost = 100 * (_median(safe) / _median(bare) - 1)
    rows = [
        _row("with checkpoints and tracking", safe),
        _row("without both", bare),
        ("cost of both, %", f"{cost:.1f} ({min(costs):.1f} to {max(costs):.1f})", "", _decision(cost)),
    ]
    remarks = [
        f"{rounds} sweeps of each kind, taking turns; each {trials} trials of {epochs} epochs; "
        f"{experiment.patches.patches_per_epoch:,} patches an epoch; one worker",
        f"cost: of the medians (lowest and highest of the rounds); aim: {AIM_PERCENT:.0f} % or less",
    ]
    print_report("Cost of safety", ("sweeps", "sweep, s", "its epochs, s", "aim"), rows, remarks)


def _n_patches(folder: Path, epoch_s: float) -> int:
    """Patches that make an epoch so long; the first sweep also starts the server that workers are
    forked from.
    """
    notes.print("safety_cost: how fast is this machine ...")
    state = run_short_sweep(short_experiment(_N_PATCHES_BEFORE, 2), folder / "before", 1)
    report = state.trials[0].reports[-1].report
    return max(64, round(epoch_s * report.n_patches / report.duration_s))


def _run(experiment: Experiment, folder: Path, n_trials: int, is_safe: bool) -> SweepTimes:
    tracker: Tracker | None = None
    if is_safe:
        datasets = tracked_datasets(prepare_experiment(experiment))
        facts = replace(search_facts(experiment), engine="fixed")
        tracker = MlflowTracker(open_store(root=folder), experiment.name, facts, datasets=datasets)
    started = time.perf_counter()
    state = run_short_sweep(experiment, folder / "sweep", n_trials, tracker, keeps_checkpoints=is_safe)
    return SweepTimes(time.perf_counter() - started, sum(trial.duration_s for trial in state.trials.values()))


def _median(times: list[SweepTimes]) -> float:
    return float(np.median([each.sweep_s for each in times]))


def _row(what: str, times: list[SweepTimes]) -> tuple[str, ...]:
    return what, spread([each.sweep_s for each in times], ".1f"), spread([each.epochs_s for each in times], ".1f"), ""


def _decision(cost: float) -> str:
    return "met" if cost <= AIM_PERCENT else "missed"


if __name__ == "__main__":
    typer.run(main)
