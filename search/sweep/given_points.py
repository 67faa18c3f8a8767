"""Fits of given points: nothing is searched, each point is trained to its end, under a record of
its own.

A refit, the repeats of a finalist and the arms of an audit are such fits. They are a sweep with a
ledger of its own, so that they survive kills and go on where they were; what is finished is not
trained again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.space import Point
from search.engines.base import Exhausted, Proposal, Start
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace, git_commit, whosehand_version
from search.ledger.events import EngineEvent
from search.ledger.ledger import Ledger, open_ledger
from search.ledger.state import SweepState
from search.ledger.trial import EpochReport, PruningDecision, TrialResult
from search.objectives.tasks import OwnTask, PatchTask
from search.sweep.launch import sweep_plan
from search.sweep.loop import run_sweep
from search.sweep.progress import Progress, SilentProgress
from search.sweep.tracking_queue import Tracker
from search.sweep.workers import chosen_precision, open_executor


@dataclass(frozen=True)
class GivenPoints:
    """Points to fit, and where their record is.

    Attributes:
        folder: of ledger and files.
        name: of the record.
        config: what the fits are of; a record with another one is refused.
        points: one a fit; a hyperparameter that a point leaves out has the experiment's value.
        epochs: of each fit; the learning-rate schedule runs over all of them.
        title: shown when they end, such as `Refit`.
        announcement: said before anything is trained.
        seed: that those of the fits derive from; `None` for the experiment's.
        metric: that each epoch reports, and lower is better; `None` for the experiment's.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    points: Sequence[Point]
    epochs: int
    title: str
    announcement: str
    seed: int | None = None
    metric: str | None = None


@dataclass(frozen=True)
class FittedPoints:
    """How far the fits are.

    Attributes:
        state: of their record: trial k is point k.
        is_interrupted: whether the user stopped them; the same call goes on.
        reason: how they ended, one line.
    """

    state: SweepState
    is_interrupted: bool
    reason: str


def fit_given_points(
    given: GivenPoints,
    experiment: Experiment,
    workspace: Workspace,
    task: PatchTask | OwnTask,
    progress: Progress,
    tracker: Tracker | None = None,
) -> FittedPoints:
    """Fit each point once, or go on with that.

    Args:
        given: the points.
        experiment: what trains them, and on how many workers.
        workspace: where.
        task: corpus and settings.
        progress: shows the fits, unless all are done.
        tracker: such as MLflow's, made with the numbers under which it records; told of the fits in
            any case.

    Raises:
        LedgerError: if another process works on the same fits.
    """
    n_points = len(given.points)
    with open_ledger(
        given.folder,
        name=given.name,
        config=dict(given.config),
        version=whosehand_version(),
        git_commit=git_commit(workspace.root),
    ) as ledger:
        is_trained, is_recorded = _how_far(ledger, n_points, tracker)
        if is_recorded:
            if tracker is not None and ledger.state.created is not None:
                tracker.start_sweep(ledger.state.created, ledger.state)
            return FittedPoints(ledger.state, False, "all points were fitted before")
        if not is_trained:
            progress.say(given.announcement)
        plan = sweep_plan(experiment, task, given.epochs, BudgetSettings(trials=n_points))
        executor = open_executor(experiment, task, progress.say, n_workers=1 if n_points == 1 else None)
        if given.metric is not None:
            plan = replace(plan, metric=given.metric, direction="minimize")
        precision, seed = chosen_precision(experiment, executor, ledger.state), given.seed
        outcome = run_sweep(
            ledger,
            replace(plan, title=given.title, seed=plan.seed if seed is None else seed, precision=precision),
            FixedEngine(given.points),
            executor,
            tracker,
            SilentProgress() if is_trained else progress,
        )
        return FittedPoints(ledger.state, outcome.status == "interrupted", outcome.reason)


class FixedEngine:
    """Starts given points in order and lets each train to its end. See
    `search.engines.base.Engine`.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = tuple(points)

    def restore(self, history: Sequence[EngineEvent]) -> None:
        """Nothing to restore: which point is next follows from the trial's number."""

    def ask(self, number: int) -> Proposal:
        """Start the point with this number."""
        return Start(self._points[number]) if number < len(self._points) else Exhausted()

    def enqueue(self, number: int, point: Point) -> Start:
        """Start it; the list is not changed by it."""
        return Start(point)

    def report(self, number: int, report: EpochReport) -> PruningDecision:
        """Let every trial go on."""
        return PruningDecision.GO

    def tell(self, number: int, result: TrialResult) -> None:
        """Nothing to learn."""


def _how_far(ledger: Ledger, n_points: int, tracker: Tracker | None) -> tuple[bool, bool]:
    """Whether all points are trained, and whether all that is also tracked."""
    trials = ledger.state.trials.values()
    is_trained = len(trials) >= n_points and all(trial.state.is_final for trial in trials)
    return is_trained, is_trained and (tracker is None or all(trial.is_tracked for trial in trials))
