"""Lays the ledger, the engine's study, MLflow and the disk side by side, and mends what differs from the ledger.

Where the records of a sweep differ from its ledger, and what would mend each difference.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import EngineError
from core.splits.manifest import SplitManifest
from search.engines import open_engine
from search.engines.optuna.study import STATES, study_states
from search.experiment.workspace import Workspace
from search.ledger.events import TrialTracked
from search.ledger.ledger import Ledger
from search.ledger.lock import hold_refits, refuse_held
from search.ledger.ranking import rank
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.disk import measure_disk
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.launch import engine_settings
from search.sweep.observer import SweepEnded, SweepStarted
from search.sweep.preparation import CORPUS_REPORT_FILE, SPLIT_FILE, UNUSABLE_FILE
from search.sweep.tracking_queue import TrackingQueue
from search.tracking.models import KnownModel, artifact_folder, delete_model, local_folder, place_model
from search.tracking.runs import TrackedDataset
from search.tracking.store import TrackingStore, locate_store, open_store, tracking_errors
from search.tracking.tracker import MlflowTracker
from search.upkeep.moved_projects import database_of
from search.upkeep.sweep_records import IN_MEMORY, RecordedModel, SweepRecords, SweepRow, read_records, sweep_rows


@dataclass(frozen=True)
class Retell:
    """Tell MLflow all of a trial again, with the times of then."""

    number: int


@dataclass(frozen=True)
class RetellSweep:
    """Bring the sweep's own run up to date, and close it."""


@dataclass(frozen=True)
class EndRun:
    """Mark a run as killed."""

    run_id: str


@dataclass(frozen=True)
class DeleteRun:
    """Delete a run; MLflow can restore it."""

    run_id: str


@dataclass(frozen=True)
class DeleteModel:
    """Delete a logged model, by its id, and what MLflow keeps of its files."""

    model: RecordedModel


@dataclass(frozen=True)
class RestoreFiles:
    """Put a model's files back where MLflow keeps them, from the sweep's folder."""

    model: RecordedModel
    folder: Path


@dataclass(frozen=True)
class RemoveFolder:
    """Delete a folder of the sweep's."""

    path: Path


@dataclass(frozen=True)
class CatchUpEngine:
    """Replay the ledger into the engine's study."""


Fix = Retell | RetellSweep | EndRun | DeleteRun | DeleteModel | RestoreFiles | RemoveFolder | CatchUpEngine


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the ledger says.

    Attributes:
        trial: its number; `None` for the sweep as a whole.
        what: is wrong.
        remedy: in words: what `fix` does, or what the user can do.
        fix: `None` if nothing here can mend it.
    """

    trial: int | None
    what: str
    remedy: str
    fix: Fix | None


def find_differences(sweep: KnownSweep, rows: Sequence[SweepRow], records: SweepRecords) -> list[Difference]:
    """Compare a sweep's records with its ledger, while no driver is on it.

    Args:
        sweep: with its ledger, which is the truth.
        rows: its trials side by side.
        records: of MLflow.
    """
    kept = _kept_models(sweep)
    found = [*_of_sweep(sweep, records), *_of_refits(records)]
    for row in rows:
        if row.trial is None:
            found += _of_unknown(row)
        else:
            found += [*_of_runs(row), *_of_models(row, row.number in kept), *_of_engine(row), *_of_disk(row)]
    return found


def _of_sweep(sweep: KnownSweep, records: SweepRecords) -> Iterator[Difference]:
    if sweep.state.launches and not records.sweep_runs:
        yield Difference(None, "the sweep has no run in MLflow", "make it", RetellSweep())
    for run in records.sweep_runs[1:]:
        yield Difference(None, f"the sweep has a second run, {run.name!r}", "delete that run", DeleteRun(run.run_id))
    if records.sweep_runs and records.sweep_runs[0].status in ("RUNNING", "SCHEDULED"):
        yield Difference(
            None, "the sweep's run is RUNNING, but no driver is on it", "close it as the ledger says", RetellSweep()
        )


def _of_refits(records: SweepRecords) -> Iterator[Difference]:
    for owner, runs in records.runs.items():
        if owner.kind != "trial":
            for run in runs:
                if run.status == "RUNNING":
                    what = f"the run of its {owner.kind} is RUNNING, but nobody is on it"
                    yield Difference(owner.number, what, "mark it as killed; `promote` goes on", EndRun(run.run_id))
    for owner, models in records.models.items():
        if owner.kind != "trial" and not models[0].is_ready:
            what = f"the model of its {owner.kind} is {models[0].status}"
            yield Difference(owner.number, what, "`whosehand promote` again finishes it", None)


def _of_unknown(row: SweepRow) -> Iterator[Difference]:
    for run in row.runs:
        yield Difference(row.number, f"run {run.name!r} has no trial in the ledger", "delete it", DeleteRun(run.run_id))
    for model in row.models:
        yield _without(row, model, "has no trial in the ledger")
    for folder in row.strays:
        yield Difference(row.number, f"{folder} is of no trial in the ledger", "delete it", RemoveFolder(folder))
    if row.engine == STATES[TrialState.RUNNING]:
        yield Difference(
            row.number, "the engine's study has a trial that the ledger has not", "end it", CatchUpEngine()
        )
    elif row.engine not in (IN_MEMORY, "-"):
        remedy = "name another database in `engine.storage`"
        yield Difference(row.number, "the engine's study has a finished trial that the ledger has not", remedy, None)


def _of_runs(row: SweepRow) -> Iterator[Difference]:
    trial = row.trial
    if trial is None or not (trial.starts or trial.state.is_final):
        return
    for run in row.runs[1:]:
        what = f"it has a second run, {run.status}, with {run.n_steps} epochs"
        yield Difference(row.number, what, "delete that run", DeleteRun(run.run_id))
    retell = "tell MLflow all of it again", Retell(row.number)
    n_epochs = len(trial.reports)
    if not row.runs:
        yield Difference(row.number, "it has no run in MLflow", *retell)
    elif row.runs[0].status != row.expected_status:
        waits = trial.state is TrialState.RUNNING
        what = f"it {'waits to go on' if waits else f'is {trial.state}'}, but its run is {row.runs[0].status}"
        yield Difference(row.number, what, *retell)
    elif row.runs[0].n_steps < n_epochs:
        yield Difference(row.number, f"its run has {row.runs[0].n_steps} of {n_epochs} epochs", *retell)
    elif trial.state.is_final and not trial.is_tracked:
        yield Difference(row.number, "the ledger does not know whether MLflow has all of it", *retell)


def _of_models(row: SweepRow, is_kept: bool) -> Iterator[Difference]:
    trial = row.trial
    for model in row.models[1:]:
        yield _without(row, model, "is a second one")
    if not row.models:
        if row.should_have_model and is_kept:
            yield _missing(row, "it has no model in MLflow", Retell(row.number))
        return
    model = row.models[0]
    if trial is None or trial.state is not TrialState.COMPLETED:
        yield _without(row, model, f"belongs to a trial that is {row.ledger_text}")
    elif not model.is_ready:
        if row.folder is not None:
            what = f"its model in MLflow is {model.status}"
            yield Difference(row.number, what, "finish it from the sweep's folder", Retell(row.number))
        else:
            yield _without(row, model, f"is {model.status}, and the sweep's folder has none to finish it from")
    elif not model.has_files:
        yield _missing(row, "the files of its model are gone from MLflow", RestoreFiles(model, row.folder or Path()))
    elif row.runs and model.model_id not in row.runs[0].model_ids:
        yield Difference(row.number, "its model is no output of its run", "make it one", Retell(row.number))


def _missing(row: SweepRow, what: str, fix: Fix) -> Difference:
    if row.folder is not None:
        return Difference(row.number, what, "take it from the sweep's folder", fix)
    remedy = f"it cannot be restored; `whosehand promote SWEEP --trial {row.number}` trains the point again"
    return Difference(row.number, f"{what}, nor in the sweep's folder", remedy, None)


def _without(row: SweepRow, model: RecordedModel, reason: str) -> Difference:
    """A model that nobody needs; a registered one is never deleted."""
    what = f"model {model.name!r} ({model.model_id}) {reason}"
    if model.versions:
        remedy = f"left alone, because it is registered as {', '.join(model.versions)}"
        return Difference(row.number, what, remedy, None)
    return Difference(row.number, what, "delete it", DeleteModel(model))


def _of_engine(row: SweepRow) -> Iterator[Difference]:
    if row.trial is None or row.engine in (IN_MEMORY, STATES[row.trial.state]):
        return
    what = f"it is {row.trial.state}, but in the engine's study {row.engine.replace('-', 'not there')}"
    if row.engine in ("-", STATES[TrialState.RUNNING]):
        yield Difference(row.number, what, "replay the ledger into the study", CatchUpEngine())
    else:
        yield Difference(
            row.number, what, "what has ended there stays; name another database in `engine.storage`", None
        )


def _of_disk(row: SweepRow) -> Iterator[Difference]:
    if row.trial is not None and row.trial.state.is_final:
        for folder in row.checkpoints:
            what = "it has ended, but its checkpoints are still there"
            yield Difference(row.number, what, "delete them", RemoveFolder(folder))
    for folder in row.strays:
        what = f"{folder.name} is an attempt that the ledger does not know"
        yield Difference(row.number, what, "delete its folder", RemoveFolder(folder))


def _kept_models(sweep: KnownSweep) -> set[int]:
    """The trials whose model is to be kept."""
    keep = sweep.experiment.tracking.keep_models
    best = rank([trial.summary for trial in sweep.state.trials.values()], sweep.experiment.objective.resolved_direction)
    return {trial.number for trial in (best if keep == "all" else best[:keep])}


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
        warnings = _Fixer(sweep, workspace, ledger).fix(found) if found else []
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


class _Fixer:
    """Carries mends out, those that delete before those that tell anew."""

    def __init__(self, sweep: KnownSweep, workspace: Workspace, ledger: Ledger) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._store = open_store(sweep.experiment.tracking, workspace.root)
        self._client = self._store.client()
        self._warnings: list[str] = []

    def fix(self, found: Sequence[Difference]) -> list[str]:
        fixes = [difference.fix for difference in found if difference.fix is not None]
        for fix in fixes:
            with tracking_errors("mend the records", self._store):
                self._fix_in_mlflow(fix)
        told = sorted({fix.number for fix in fixes if isinstance(fix, Retell)})
        if told or any(isinstance(fix, RetellSweep) for fix in fixes):
            self._retell(told)
        for fix in fixes:
            if isinstance(fix, RemoveFolder):
                shutil.rmtree(fix.path, ignore_errors=True)
        if any(isinstance(fix, CatchUpEngine) for fix in fixes):
            self._catch_up_engine()
        return self._warnings

    def _fix_in_mlflow(self, fix: Fix) -> None:
        match fix:
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
        tracking_queue = TrackingQueue(tracker, self._warnings.append, lambda: None)
        try:
            tracking_queue.start_sweep(_started(self._sweep))
            for number in numbers:
                tracking_queue.replay(self._tellable(state.trials[number]))
            summaries = tuple(trial.summary for trial in state.trials.values())
            best = state.best(experiment.objective.resolved_direction)
            status = state.closed.status if state.closed else "interrupted"
            reason = state.closed.reason if state.closed else "its driver was killed"
            number_of_best = None if best is None else best.number
            tracking_queue.end_sweep(SweepEnded(status, reason, summaries, number_of_best, state.last_ms))
            tracking_queue.drain(lambda: False)
            for number in tracking_queue.take_tracked():
                if not state.trials[number].is_tracked:
                    # At the time of the last event: a launch counts as working time until its last one.
                    self._ledger.append(lambda _, number=number: TrialTracked(state.last_ms, number))  # type: ignore[misc]
        finally:
            tracking_queue.close()

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
        engine = open_engine(
            self._sweep.experiment.engine, engine_settings(self._sweep.experiment, self._sweep.created.sweep_id)
        )
        try:
            engine.restore(tuple(self._ledger.state.history))
        except EngineError as error:
            self._warnings.append(str(error))


_FILES = (SPLIT_FILE, CORPUS_REPORT_FILE, UNUSABLE_FILE)


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
