"""How far a replay can be believed: real sweeps beside replays of them.

    python -m benchmarks.race_check SWEEP [SWEEP ...] --table benchmarks/curves/dhsd.csv

Each sweep was run in earnest in the space that the table's curves are of, with as many epochs a
trial. It is replayed under as many seeds as are wanted, with its own engine, first points, budget
and number of workers. For some times since its launch: the best validation score of a completed
trial, the replays' median and middle half, and how many replays had a better one. Where a replay can
be believed, a real sweep is like one of them.
"""  # noqa: W505

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.curves.surrogate import Surrogate
from benchmarks.race import FloatArray, quartiles
from benchmarks.replay import Track, replay, track_of
from benchmarks.report import notes, print_report
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.state import SweepState
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import read_sweep

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of a sweep's time, at which it is looked at."""


def main(
    sweeps: Annotated[list[str], typer.Argument(help="Names of sweeps of this project.")],
    table: Annotated[Path | None, typer.Option(help="Curves; by default benchmarks/curves/NAME.csv.")] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Replays of each sweep.")] = 50,
) -> None:
    """Compare real sweeps with their replays."""
    rows: list[tuple[str, ...]] = []
    for name in sweeps:
        sweep = read_sweep(name, Workspace(Path.cwd()))
        if not sweep.state.launches:
            raise typer.BadParameter(f"The sweep {name} was never launched.")
        track, n_workers = track_of(sweep.experiment, table), sweep.state.launches[0].n_workers
        notes.print(f"race_check: {name}, {sweep.experiment.engine.label}, {seeds} replays ...")
        rows += check(name, sweep.state, track, sweep.experiment, n_workers, seeds)
    columns = ("sweep", "engine", "workers", "minutes", "real", "replays: median, middle half", "better replays")
    remarks = [
        "the best validation score of a completed trial so far; each replay on a surrogate of a bootstrap of the "
        "recorded points, with the noise of seeds"
    ]
    print_report("Real sweeps beside their replays", columns, rows, remarks)


def check(
    name: str, state: SweepState, track: Track, experiment: Experiment, n_workers: int, n_seeds: int
) -> list[tuple[str, ...]]:
    """Replay a sweep, and say at each share of its time how it compares; one row a share."""
    began_ms = state.launches[0].at_ms
    times_s = np.array(SHARES) * (state.last_ms - began_ms) / 1000
    real = best_at(state, began_ms, track, times_s)
    replays = []
    for seed in range(n_seeds):
        surrogate = Surrogate(track.table, track.metric, track.horizon, bootstrap=seed)
        sweep = replay(track, surrogate, experiment.engine, seed, n_workers, experiment.budget)
        replays.append(best_at(sweep.state, sweep.began_ms, track, times_s))
    rows: list[tuple[str, ...]] = []
    for time_s, own, others in zip(times_s, real, np.array(replays).T, strict=True):
        low, middle, high = quartiles(others)
        n_better = int(np.sum(track.sign * others < track.sign * own))
        compared = f"{_number(middle)}, {_number(low)} to {_number(high)}"
        place = f"{time_s / 60:.1f}"
        rows.append(
            (name, experiment.engine.label, f"{n_workers}", place, _number(own), compared, f"{n_better} of {n_seeds}")
        )
    return rows


def best_at(state: SweepState, began_ms: int, track: Track, times_s: FloatArray) -> FloatArray:
    """The best score of a completed trial at each time since the beginning; infinitely bad before
    there is one.
    """
    done: Sequence[tuple[float, float]] = [
        ((trial.ended.at_ms - began_ms) / 1000, track.sign * trial.value)
        for trial in state.trials.values()
        if trial.state is TrialState.COMPLETED and trial.ended is not None and trial.value is not None
    ]
    return np.array(
        [track.sign * min((value for at_s, value in done if at_s <= time_s), default=np.inf) for time_s in times_s]
    )


def _number(score: float) -> str:
    return f"{score:.3f}" if np.isfinite(score) else "none"


if __name__ == "__main__":
    typer.run(main)
