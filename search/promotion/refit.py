"""A longer fit of a sweep's trial: the same point, more epochs, a record of its own beside the sweep's trials.

A refit is a sweep of one trial with a ledger of its own, so that it too survives kills and goes on where it was.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import RegistryError
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.version import git_commit, whosehand_version
from search.experiment.workspace import Workspace
from search.ledger.events import SweepCreated
from search.ledger.ledger import open_ledger
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialResult, TrialState
from search.objectives.tasks import PatchTask
from search.sweep.given_points import FixedEngine
from search.sweep.launch import local_executor, sweep_plan
from search.sweep.loop import run_sweep
from search.sweep.observer import EpochEnded, SweepEnded, SweepStarted, TrialEnded, TrialStarted
from search.sweep.progress import Progress, SilentProgress
from search.tracking.tracker import MlflowTracker


@dataclass(frozen=True)
class Refit:
    """A completed refit.

    Attributes:
        folder: its ledger and files.
        trial: number of the sweep's trial.
        result: how it ended; its model is saved.
        duration_s: of all its epochs.
    """

    folder: Path
    trial: int
    result: TrialResult
    duration_s: float


def run_refit(
    experiment: Experiment,
    workspace: Workspace,
    sweep: SweepCreated,
    trial: TrialRecord,
    epochs: int,
    task: PatchTask,
    tracker: MlflowTracker,
    progress: Progress,
) -> Refit:
    """Fit the trial's point for `epochs` epochs, or return the fit that is already there.

    Args:
        experiment: of the sweep.
        workspace: where.
        sweep: the sweep's creation, from its ledger.
        trial: whose hyperparameters to take.
        epochs: the horizon; the learning-rate schedule runs over all of it.
        task: corpus and settings.
        tracker: of kind `refit`.
        progress: shows the fit.

    Raises:
        RegistryError: if the refit fails or is interrupted.
    """
    folder = refit_folder(workspace, experiment, trial.number, epochs)
    with open_ledger(
        folder,
        name=f"{experiment.name} refit of trial {trial.number}",
        config={"sweep_id": sweep.sweep_id, "trial": trial.number, "epochs": epochs},
        version=whosehand_version(),
        git_commit=git_commit(workspace.root),
    ) as ledger:
        is_done = any(earlier.state.is_final for earlier in ledger.state.trials.values())
        if not is_done:
            progress.say(f"Refit of trial {trial.number} over {epochs} epochs (it is trial 0 of a record of its own).")
        outcome = run_sweep(
            ledger,
            replace(sweep_plan(experiment, task, epochs, BudgetSettings(trials=1)), title="Refit"),
            FixedEngine([trial.proposed.hyperparameters]),
            local_executor(experiment, experiment.objective.run, n_workers=1),
            _AsRefit(tracker, sweep, trial.number),
            SilentProgress() if is_done else progress,
        )
        record = ledger.state.trials.get(0)
    if outcome.status == "interrupted" or record is None:
        raise RegistryError(f"The refit of trial {trial.number} was interrupted; the same command goes on from there.")
    if record.result is None or record.state is not TrialState.COMPLETED:
        reason = record.result.reason if record.result else outcome.reason
        raise RegistryError(f"The refit of trial {trial.number} must complete, but it {record.state}: {reason}")
    return Refit(folder, trial.number, record.result, record.duration_s)


def refit_folder(workspace: Workspace, experiment: Experiment, trial: int, epochs: int) -> Path:
    """Where the refit of a trial over so many epochs is kept."""
    return workspace.sweep(experiment.name) / "refits" / f"trial-{trial:03d}-{epochs}-epochs"


class _AsRefit:
    """Tells the tracker of the refit's only trial as the refit of the sweep's trial."""

    def __init__(self, tracker: MlflowTracker, sweep: SweepCreated, trial: int) -> None:
        self._tracker, self._sweep, self._trial = tracker, sweep, trial

    def start_sweep(self, event: SweepStarted) -> None:
        self._tracker.start_sweep(replace(event, sweep_id=self._sweep.sweep_id, name=self._sweep.name))

    def trial_started(self, event: TrialStarted) -> None:
        self._tracker.trial_started(replace(event, number=self._trial))

    def epoch_ended(self, event: EpochEnded) -> None:
        self._tracker.epoch_ended(replace(event, number=self._trial))

    def trial_ended(self, event: TrialEnded) -> None:
        summary = replace(event.summary, number=self._trial)
        self._tracker.trial_ended(replace(event, number=self._trial, summary=summary))

    def end_sweep(self, event: SweepEnded) -> None:
        """The sweep's own run stays as it is."""
