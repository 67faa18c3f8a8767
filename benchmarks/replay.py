"""What a sweep is replayed on, and a replay: the real loop, engine, budget and pruner on simulated
workers, whose scores and seconds come from recorded curves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer

from benchmarks.curves.surrogate import Surrogate
from benchmarks.curves.synthetic import DEFAULTS, METRIC, SPACE, synthetic_table
from benchmarks.curves.table import CurveTable
from core.space import Point, SearchSpace
from search.engines import open_engine
from search.engines.base import EngineSettings
from search.experiment.engine_settings import EngineChoice
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.ledger.ranking import Direction
from search.ledger.trial import TrialSpec
from search.sweep.plan import SweepPlan
from search.testing.simulation import SimulatedEpoch, SimulatedSweep, SimulatedWorkers, simulate_sweep

TABLES = Path(__file__).parent / "curves"


@dataclass(frozen=True)
class Track:
    """What is raced on.

    Attributes:
        name: of the experiment.
        table: recorded curves.
        space: that engines search.
        enqueued: points to try first.
        complete: makes all hyperparameters of a point, by which the table knows it.
        metric: that is searched for.
        direction: whether low or high values are better.
        horizon: epochs of a trial.
        defaults: a point as it is without a search.
    """

    name: str
    table: CurveTable
    space: SearchSpace
    enqueued: tuple[Point, ...]
    complete: Callable[[Point], Point]
    metric: str
    direction: Direction
    horizon: int
    defaults: Point | None = None

    @property
    def sign(self) -> int:
        """1 where low values are better, -1 where high ones are."""
        return 1 if self.direction == "minimize" else -1


def track_of(experiment: Experiment, table: Path | None) -> Track:
    """What an experiment's sweeps are replayed on.

    Args:
        experiment: with its space, metric and epochs.
        table: of curves; by default that of the experiment's name.
    """
    path = table or TABLES / f"{experiment.name}.csv"
    held = CurveTable.read(path)
    if not held.curves:
        raise typer.BadParameter(f"{path} has no curves; record some with `python -m benchmarks.curves record`.")
    return Track(
        experiment.name,
        held,
        experiment.space.search_space(),
        experiment.space.enqueued_points(experiment.complete),
        experiment.complete,
        experiment.objective.metric,
        experiment.objective.resolved_direction,
        experiment.training.epochs,
        experiment.complete({}),
    )


def made_up_track() -> Track:
    """To try a race with; it says nothing of any engine."""
    return Track(
        "a made-up table", synthetic_table(), SPACE, (DEFAULTS,), lambda point: point, METRIC, "minimize", 8, DEFAULTS
    )


def replay(
    track: Track, surrogate: Surrogate, choice: EngineChoice, seed: int, n_workers: int, budget: BudgetSettings
) -> SimulatedSweep:
    """One sweep on the surrogate."""
    settings = EngineSettings(
        track.space, track.enqueued, seed, track.metric, track.direction, track.horizon, f"race-{seed}", track.defaults
    )
    plan = SweepPlan(
        objective="",
        settings=None,
        metric=track.metric,
        direction=track.direction,
        horizon_epochs=track.horizon,
        seed=seed,
        precision="float32",
        budget=budget,
        complete=track.complete,
        max_failures_in_a_row=1_000_000,  # a space with bad corners is a part of the race
    )

    def source(spec: TrialSpec) -> list[SimulatedEpoch]:
        return surrogate.epochs(spec.hyperparameters, spec.seed)

    workers = SimulatedWorkers(source, n_workers, *_seconds_around(track.table))
    return simulate_sweep(plan, open_engine(choice, settings), workers)


def _seconds_around(table: CurveTable) -> tuple[float, float]:
    """Medians of what a trial takes before its first epoch and after its last one."""
    starts, ends = zip(*((curve.start_s, curve.end_s) for curve in table.curves if curve.epochs), strict=True)
    return float(np.median(starts)), float(np.median(ends))
