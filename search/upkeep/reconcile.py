"""Lays the ledger, the engine's study, MLflow and the disk side by side, and mends what differs from the ledger."""

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from core.errors import EngineError
from core.splits.manifest import SplitManifest
from search.engines.optuna.study_view import study_states
from search.experiment.workspace import Workspace
from search.ledger.events import TrialTracked
from search.ledger.ledger import Ledger
from search.ledger.locks import hold_refits, refuse_held
from search.ledger.state import TrialRecord
from search.sweep.disk_use import artifact_folder, measure_disk
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.launch import engine_settings
from search.sweep.observer import SweepEnded, SweepStarted
from search.sweep.preparation import CENSUS_FILE, QUARANTINE_FILE, SPLIT_FILE
from search.sweep.tracking_queue import RecordKeeper
from search.tracking.model_folder import local_folder, place_model
from search.tracking.models import KnownModel, delete_model
from search.tracking.store import TrackingStore, locate_store, open_store, tracking_errors
from search.tracking.tracked_data import TrackedDataset
from search.tracking.tracker import MlflowTracker
from search.upkeep.differences import (
    CatchUpEngine,
    DeleteModel,
    DeleteRun,
    Difference,
    EndRun,
    Mend,
    RemoveFolder,
    RestoreFiles,
    Retell,
    RetellSweep,
    find_differences,
)
from search.upkeep.moved_projects import database_of
from search.upkeep.sweep_records import SweepRecords, read_records
from search.upkeep.sweep_rows import SweepRow, sweep_rows


@dataclass(frozen=True)
class Reconciliation:
    """A sweep's records side by side.

    Attributes:
        rows: the trials, as they are now.
        found: where they differed from the ledger.
        left: where they differ still.
        warnings: what went wrong while mending.
    """

    rows: Sequence[SweepRow]
    found: Sequence[Difference]
    left: Sequence[Difference]
    warnings: Sequence[str] = ()


def reconcile_sweep(name: str, workspace: Workspace, is_dry_run: bool) -> Reconciliation:
    """Compare a sweep's records with its ledger, and mend them.

    Args:
        name: of a sweep in this workspace.
        workspace: where.
        is_dry_run: only look.

    Raises:
        LedgerError: if there is no such sweep, or a driver or a promotion is on it.
        TrackingError: if MLflow's store cannot be read.
        EngineError: if the engine's database cannot be read.
    """
    sweep = read_sweep(name, workspace)
    refuse_held(sweep.folder)
    if is_dry_run:
        rows, found = _compare(sweep, workspace)
        return Reconciliation(rows, found, found)
    with ExitStack() as held:
        hold_refits(held, sweep.folder)
        ledger = held.enter_context(Ledger(sweep.folder))
        sweep = replace(sweep, state=ledger.state)
        _, found = _compare(sweep, workspace)
        warnings = _Mender(sweep, workspace, ledger).mend(found) if found else []
        rows, left = _compare(sweep, workspace)
        return Reconciliation(rows, found, left, warnings)


def _compare(sweep: KnownSweep, workspace: Workspace) -> tuple[list[SweepRow], list[Difference]]:
    records = _read(sweep, workspace)
    rows = sweep_rows(sweep, records, study_states(sweep.experiment, sweep.created.sweep_id))
    return rows, find_differences(sweep, rows, records)


def _read(sweep: KnownSweep, workspace: Workspace) -> SweepRecords:
    database = database_of(locate_store(sweep.experiment.tracking, workspace.root))
    if database is not None and not database.exists():  # opening it would make it
        return SweepRecords("", (), {}, {})
    store = open_store(sweep.experiment.tracking, workspace.root)
    return read_records(store, sweep.created.name, sweep.created.sweep_id, sweep.experiment.objective.metric)


class _Mender:
    """Carries mends out, those that delete before those that tell anew."""

    def __init__(self, sweep: KnownSweep, workspace: Workspace, ledger: Ledger) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._store = open_store(sweep.experiment.tracking, workspace.root)
        self._client = self._store.client()
        self._warnings: list[str] = []

    def mend(self, found: Sequence[Difference]) -> list[str]:
        mends = [difference.mend for difference in found if difference.mend is not None]
        for mend in mends:
            with tracking_errors("mend the records", self._store):
                self._mend_in_mlflow(mend)
        told = sorted({mend.number for mend in mends if isinstance(mend, Retell)})
        if told or any(isinstance(mend, RetellSweep) for mend in mends):
            self._retell(told)
        for mend in mends:
            if isinstance(mend, RemoveFolder):
                shutil.rmtree(mend.path, ignore_errors=True)
        if any(isinstance(mend, CatchUpEngine) for mend in mends):
            self._catch_up_engine()
        return self._warnings

    def _mend_in_mlflow(self, mend: Mend) -> None:
        match mend:
            case DeleteRun(run_id):
                self._client.delete_run(run_id)
            case EndRun(run_id):
                self._client.set_terminated(run_id, "KILLED")
            case DeleteModel(model):
                # Without the worker's folder: another model of the same trial has the same one.
                delete_model(self._client, KnownModel(model.model_id, model.is_ready, model.location, ""))
            case RestoreFiles(model, folder):
                place = local_folder(model.location)
                if place is not None:
                    place_model(folder, place)

    def _retell(self, numbers: Iterable[int]) -> None:
        """Tell trials again as a launch would, then close the sweep's run as the ledger says."""
        state, created, experiment = self._ledger.state, self._sweep.created, self._sweep.experiment
        artifacts = artifact_folder(self._store, created.name)
        tracker = MlflowTracker(
            self._store,
            created.name,
            experiment.tracking,
            engine=experiment.engine.label,
            datasets=_datasets(self._store, self._sweep),
            sweep_files={path.name: path for path in map(self._sweep.folder.joinpath, _FILES) if path.exists()},
            warning=_warning(self._sweep),
            remark=lambda: str(measure_disk(self._sweep.folder, artifacts)),
        )
        keeper = RecordKeeper(tracker, self._warnings.append, lambda: None)
        try:
            keeper.start_sweep(_started(self._sweep))
            for number in numbers:
                keeper.replay(self._tellable(state.trials[number]))
            summaries = tuple(trial.summary for trial in state.trials.values())
            best = state.best(experiment.objective.resolved_direction)
            status = state.closed.status if state.closed else "interrupted"
            reason = state.closed.reason if state.closed else "its driver was killed"
            number_of_best = None if best is None else best.number
            keeper.end_sweep(SweepEnded(status, reason, summaries, number_of_best, state.last_ms))
            keeper.drain(lambda: False)
            for number in keeper.take_tracked():
                if not state.trials[number].is_tracked:
                    # At the time of the last event: a launch counts as working time until its last one.
                    self._ledger.append(lambda _, number=number: TrialTracked(state.last_ms, number))  # type: ignore[misc]
        finally:
            keeper.close()

    def _tellable(self, trial: TrialRecord) -> TrialRecord:
        """The trial without files that are gone: what is left of it can be told still."""
        if trial.ended is None:
            return trial
        result = trial.ended.result
        there = {name: file for name, file in result.artifacts.items() if file.path.exists()}
        gone = sorted(result.artifacts.keys() - there.keys())
        if gone:
            self._warnings.append(f"Trial {trial.number}: these files are gone: {', '.join(gone)}.")
        model = result.model if result.model is not None and (result.model.path / "MLmodel").is_file() else None
        return replace(trial, ended=replace(trial.ended, result=replace(result, artifacts=there, model=model)))

    def _catch_up_engine(self) -> None:
        engine = self._sweep.experiment.engine.open(
            engine_settings(self._sweep.experiment, self._sweep.created.sweep_id)
        )
        try:
            engine.restore(tuple(self._ledger.state.history))
        except EngineError as error:
            self._warnings.append(str(error))


_FILES = (SPLIT_FILE, CENSUS_FILE, QUARANTINE_FILE)


def _started(sweep: KnownSweep) -> SweepStarted:
    created, experiment, launches = sweep.created, sweep.experiment, sweep.state.launches
    return SweepStarted(
        sweep_id=created.sweep_id,
        name=created.name,
        config=created.config,
        version=created.version,
        git_commit=created.git_commit,
        seed=experiment.seed,
        objective=experiment.objective.metric,
        direction=experiment.objective.resolved_direction,
        created_ms=created.at_ms,
        launched_ms=launches[-1].at_ms if launches else created.at_ms,
        n_launches=len(launches),
    )


def _warning(sweep: KnownSweep) -> str:
    """What everyone who sees a run must know of the split."""
    path = sweep.folder / SPLIT_FILE
    return SplitManifest.load(path).warning if path.exists() else ""


def _datasets(store: TrackingStore, sweep: KnownSweep) -> tuple[TrackedDataset, ...]:
    """The data that the sweep's runs have used, as one of them says: reading the corpus again would take long."""
    client = store.client()
    with tracking_errors("look up the sweep's data", store):
        experiment = client.get_experiment_by_name(sweep.created.name)
        if experiment is None:
            return ()
        condition = f"tags.sweep_id = '{sweep.created.sweep_id}' and tags.kind = 'sweep'"
        runs = client.search_runs([experiment.experiment_id], condition, max_results=1)
    datasets = []
    for used in runs[0].inputs.dataset_inputs if runs else ():
        profile = json.loads(used.dataset.profile)
        digest, context = profile.pop("split"), next(tag.value for tag in used.tags if tag.key == "mlflow.data.context")
        source = json.loads(used.dataset.source)["uri"]
        datasets.append(TrackedDataset(used.dataset.name, context, digest, source, profile))
    return tuple(datasets)
