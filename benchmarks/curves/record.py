"""Records curves by sweeps of our own: each is a set of given points, resumable like any sweep."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.curves.points import WantedCurve
from benchmarks.curves.table import CurveTable, RecordedCurve
from core.settings import TrainingSettings
from core.space.search_space import key_of
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import TrialState
from search.objectives.tasks import OwnTask, PatchTask
from search.sweep.given_points import GivenPoints, fit_given_points
from search.sweep.launch import trial_task
from search.sweep.preparation import prepare_corpus
from search.sweep.progress import Progress
from search.testing.simulation import SimulatedEpoch

_RECORD, _TRIALS = "record-{:03d}", "trials"


@dataclass(frozen=True)
class Recorder:
    """Records what a table does not have.

    Attributes:
        experiment: its corpus, patches, space and objective count.
        workspace: where corpora are prepared.
        folder: of the sweeps; one that was stopped goes on from there.
        table: file of the table; it grows after each sweep.
        said: command, machine and date.
        progress: shows the sweeps.
    """

    experiment: Experiment
    workspace: Workspace
    folder: Path
    table: Path
    said: str
    progress: Progress

    def record(self, wanted: Sequence[WantedCurve]) -> bool:
        """Train what is missing; False if the user stopped it, and the same call goes on."""
        task = self._task()
        for folder in sorted(self.folder.glob("record-*")):
            if (folder / LEDGER_NAME).exists() and not self._fit(folder, _begun_with(read_ledger(folder)), task):
                return False
        for group in _groups(wanted, CurveTable.read(self.table)):
            if not self._fit(self.folder / _RECORD.format(_n_records(self.folder)), group, task):
                return False
        return True

    def _task(self) -> PatchTask | OwnTask:
        self.folder.mkdir(parents=True, exist_ok=True)
        corpus = prepare_corpus(self.experiment, self.workspace) if self.experiment.corpus is not None else None
        return trial_task(self.experiment, corpus, self.folder, keeps_model=False)

    def _fit(self, folder: Path, group: Sequence[WantedCurve], task: PatchTask | OwnTask) -> bool:
        """Train a group, all of one seed and horizon, or go on with it; and put it into the
        table.
        """
        seed, horizon = group[0].seed, group[0].horizon
        points = [dict(curve.point) for curve in group]
        given = GivenPoints(
            folder,
            name=f"curves of {self.experiment.name}",
            # As it will be read from the ledger.
            config=json.loads(json.dumps({"points": points, "seed": seed, "horizon": horizon})),
            points=points,
            epochs=horizon,
            title="Recording",
            announcement=f"{len(points)} curves of {horizon} epochs, seed {seed}.",
            seed=1000 * self.experiment.seed + seed,
        )
        fitted = fit_given_points(given, self.experiment, self.workspace, task, self.progress)
        if fitted.is_interrupted or len(fitted.state.trials) < len(points):
            self.progress.say(f"Stopped: {fitted.reason}. The same command goes on.")
            return False
        table = CurveTable.read(self.table).with_recording(self.said, list(curves_of(fitted.state)))
        table.write(self.table)
        shutil.rmtree(folder / _TRIALS, ignore_errors=True)  # pictures and tables of each trial
        return True


def without_early_stopping(experiment: Experiment) -> Experiment:
    """The experiment with whole curves."""
    training = TrainingSettings(**{**experiment.training.model_dump(), "early_stopping_patience": None})
    return experiment.model_copy(update={"training": training})


def curves_of(state: SweepState) -> Iterator[RecordedCurve]:
    """The trials of a record that ended."""
    if state.created is None:
        return
    seed, horizon = int(state.created.config["seed"]), int(state.created.config["horizon"])
    for trial in state.trials.values():
        epochs = [
            SimulatedEpoch(dict(event.report.metrics), event.report.duration_s, event.report.n_patches)
            for event in trial.reports
        ]
        failed = (trial.reason or "failed") if trial.state is TrialState.FAILED else ""
        if trial.state.is_final:
            around_s = _seconds_around(trial)
            yield RecordedCurve(dict(trial.hyperparameters), seed, horizon, tuple(epochs), failed, 0, *around_s)


def _seconds_around(trial: TrialRecord) -> tuple[float, float]:
    """Before its first epoch and after its last one, as the driver saw it; (0, 0) without an
    epoch.
    """
    if not trial.reports or trial.ended is None:
        return 0.0, 0.0
    first, last = trial.reports[0], trial.reports[-1]
    start_s = (first.at_ms - trial.began_ms) / 1000 - first.report.duration_s
    return max(0.0, start_s), (trial.ended.at_ms - last.at_ms) / 1000


def _begun_with(state: SweepState) -> list[WantedCurve]:
    if state.created is None:
        return []
    config = state.created.config
    return [WantedCurve(point, int(config["seed"]), int(config["horizon"])) for point in config["points"]]


def _groups(wanted: Sequence[WantedCurve], table: CurveTable) -> list[list[WantedCurve]]:
    """What the table does not have, by seed and horizon."""
    known: dict[tuple[int, int], list[WantedCurve]] = defaultdict(list)
    keys = table.keys
    for curve in wanted:
        if (key_of(curve.point), curve.seed, curve.horizon) not in keys:
            known[curve.seed, curve.horizon].append(curve)
    return list(known.values())


def _n_records(folder: Path) -> int:
    return len(list(folder.glob("record-*")))
