"""Memory of the workers from the first trial to the last, and what a trial costs besides its
epochs.

    python -m benchmarks.worker_memory

A sweep of the seed recipe on ten generated writers with one worker, an epoch a trial. Peak memory
is told twice: as the worker reports it with its epoch (`system/rss_mb` in the ledger), and as seen
from outside until the worker's end, with evaluation, pictures and the saved model. Both count the
pages that a worker shares with the server it was forked from.
"""

import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
import psutil
import typer

from benchmarks.report import median, notes, print_report
from benchmarks.short_sweep import run_short_sweep, short_experiment, temporary_folder
from search.ledger.state import SweepState, TrialRecord

_INTERVAL_S = 0.05


def main(
    trials: Annotated[int, typer.Option(min=2, help="Trials of the sweep.")] = 30,
    patches: Annotated[int, typer.Option(min=128, help="Patches of each trial's one epoch.")] = 1024,
) -> None:
    """Measure memory and overhead of the workers."""
    experiment = short_experiment(patches, n_epochs=1)
    notes.print(f"worker_memory: a sweep of {trials} trials ...")
    with temporary_folder() as folder, ChildrenWatch() as watch:
        state = run_short_sweep(experiment, folder, trials)
    records = list(state.trials.values())
    first, last = records[0], records[-1]
    rows = [
        ("peak while training, MB", *(f"{reported_peak_mb(trial):.0f}" for trial in (first, last))),
        ("peak until the end, MB", *(f"{watch.peaks_mb[trial.starts[0].pid]:.0f}" for trial in (first, last))),
        ("start to first epoch, s", *(f"{start_s(trial):.2f}" for trial in (first, last))),
        ("last epoch to end, s", *(f"{end_s(trial):.2f}" for trial in (first, last))),
    ]
    rows = [(*row, text) for row, text in zip(rows, _medians(records, watch.peaks_mb), strict=True)]
    remarks = [
        f"{state.launches[0].n_workers} worker of {state.launches[0].threads} threads; the first start waits for the "
        "imports of the server that workers are forked from, before the ledger takes it down",
        f"between the end of a trial and the start of the next: {median(gaps_s(state), '.2f')} s (median)",
        f"growth of the peak until the end over all trials: {_slope(records, watch.peaks_mb):+.2f} MB a trial",
    ]
    columns = ("what", "trial 1", f"trial {trials}", "median of all")
    print_report("Memory and overhead of workers", columns, rows, remarks)


class ChildrenWatch:
    """Watches the memory of all processes below this one.

    Attributes:
        peaks_mb: the highest resident memory seen of each process id, in 10^6 bytes.
    """

    def __init__(self) -> None:
        self.peaks_mb: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="children-watch", daemon=True)

    def __enter__(self) -> Self:
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while not self._ended.wait(_INTERVAL_S):
            for child in this.children(recursive=True):
                try:
                    rss_mb = child.memory_info().rss / 1e6
                except psutil.Error:  # it ended meanwhile
                    continue
                self.peaks_mb[child.pid] = max(self.peaks_mb.get(child.pid, 0.0), rss_mb)


def reported_peak_mb(trial: TrialRecord) -> float:
    """Peak resident memory that the worker reported with its epochs, in 10^6 bytes."""
    return max(event.report.metrics["system/rss_mb"] for event in trial.reports)


def start_s(trial: TrialRecord) -> float:
    """Seconds from the worker's start to the beginning of its first epoch."""
    first = trial.reports[0]
    return (first.at_ms - trial.starts[0].at_ms) / 1000 - first.report.duration_s


def end_s(trial: TrialRecord) -> float:
    """Seconds from the last epoch to the trial's result: scores with intervals, pictures, the saved
    model.
    """
    if trial.ended is None:
        raise ValueError(f"Only an ended trial has an end, but trial {trial.number} is {trial.state}.")
    return (trial.ended.at_ms - trial.reports[-1].at_ms) / 1000


def gaps_s(state: SweepState) -> list[float]:
    """Seconds from each trial's end to the start of the next one."""
    pairs = pairwise(state.trials.values())
    return [(after.starts[0].at_ms - before.ended.at_ms) / 1000 for before, after in pairs if before.ended is not None]


def _medians(trials: list[TrialRecord], peaks_mb: Mapping[int, float]) -> tuple[str, str, str, str]:
    return (
        median([reported_peak_mb(trial) for trial in trials]),
        median([peaks_mb[trial.starts[0].pid] for trial in trials]),
        median([start_s(trial) for trial in trials], ".2f"),
        median([end_s(trial) for trial in trials], ".2f"),
    )


def _slope(trials: list[TrialRecord], peaks_mb: Mapping[int, float]) -> float:
    peaks = [peaks_mb[trial.starts[0].pid] for trial in trials]
    return float(np.polyfit(np.arange(len(peaks)), peaks, 1)[0])


if __name__ == "__main__":
    typer.run(main)
