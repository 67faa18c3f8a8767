"""Compares the engine's study, MLflow and the disk with a sweep's ledger, and fixes what differs
from it.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from core.errors import EngineError
from core.splits.manifest import SplitManifest
from search.engines import open_engine
from search.engines.optuna.study import STATES, study_states
from search.experiment.workspace import Workspace
from search.ledger.events import SweepClosed, TrialTracked
from search.ledger.ledger import Ledger
from search.ledger.lock import hold_refits, refuse_held
from search.ledger.ranking import rank
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.disk import measure_disk
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.launch import engine_settings, search_facts
from search.sweep.preparation import CORPUS_REPORT_FILE, SPLIT_FILE, UNUSABLE_FILE
from search.sweep.tracking_queue import TrackingQueue
from search.tracking.models import artifact_folder, delete_model, local_folder, place_model
from search.tracking.project_place import refuse_shared
from search.tracking.runs import TrackedDataset, find_sweep_run
from search.tracking.store import open_store, tracking_errors
from search.tracking.sweep_page import NOTE_TAG
from search.tracking.tracker import MlflowTracker
from search.upkeep.sweep_records import (
    IN_MEMORY,
    OUTSIDE,
    RecordedModel,
    SweepRecords,
    SweepRow,
    open_store_of,
    read_records,
    sweep_rows,
)

_SWEEP_FILES = (SPLIT_FILE, CORPUS_REPORT_FILE, UNUSABLE_FILE)
_OTHER_DATABASE = "name another database in `engine.storage`"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the ledger says.

    Attributes:
        trial: its number; `None` for the sweep as a whole.
        what: is wrong.
        remedy: in words: what `fix` does, or what the user can do.
        fix: what is done about it; `None` if nothing can be done here.
    """

    trial: int | None
    what: str
    remedy: str
    fix: "Callable[[_Fixer], None] | None" = field(default=None, compare=False)


@dataclass(frozen=True)
class Reconciliation:
    """A sweep's records side by side.

    Attributes:
        rows: the trials, as they are now.
        found: where they differed from the ledger.
        left: where they still differ.
        warnings: what went wrong while fixing.
    """

    rows: Sequence[SweepRow]
    found: Sequence[Difference]
    left: Sequence[Difference]
    warnings: Sequence[str] = ()


def reconcile_sweep(name: str, workspace: Workspace, is_dry_run: bool) -> Reconciliation:
    """Compare a sweep's records with its ledger, and fix them.

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
    refuse_shared(workspace.root, name)
    with ExitStack() as held:
        hold_refits(held, sweep.folder)
        ledger = held.enter_context(Ledger(sweep.folder))
        sweep = replace(sweep, state=ledger.state)
        _, found = _compare(sweep, workspace)
        warnings = _Fixer(sweep, workspace, ledger).fix_all(found) if found else []
        rows, left = _compare(sweep, workspace)
        return Reconciliation(rows, found, left, warnings)


def _compare(sweep: KnownSweep, workspace: Workspace) -> tuple[list[SweepRow], list[Difference]]:
    records = read_records(sweep, open_store_of(sweep, workspace))
    rows = sweep_rows(sweep, records, study_states(sweep.experiment, sweep.created.sweep_id))
    kept = _kept_models(sweep)
    found = [*_of_sweep(sweep, records), *_of_refits(records)]
    for row in rows:
        if row.trial is None:
            found += _of_unknown(row)
        else:
            found += [
                *_of_runs(row, row.trial),
                *_of_models(row, row.trial, row.number in kept),
                *_of_engine(row, row.trial),
                *_of_disk(row, row.trial),
            ]
    return rows, found


def _kept_models(sweep: KnownSweep) -> set[int]:
    """The trials whose model is to be kept."""
    keep = sweep.experiment.tracking.keep_models
    best = rank(sweep.state.trials.values(), sweep.experiment.objective.resolved_direction)
    return {trial.number for trial in (best if keep == "all" else best[:keep])}


def _of_sweep(sweep: KnownSweep, records: SweepRecords) -> Iterator[Difference]:
    runs, tell = records.sweep_runs, partial(_Fixer.tell, numbers=())
    if sweep.state.launches and not runs:
        yield Difference(None, "the sweep has no run in MLflow", "make it", tell)
    for run in runs[1:]:
        what = f"the sweep has a second run, {run.name!r}"
        yield Difference(None, what, "delete that run", partial(_Fixer.delete_run, run_id=run.run_id))
    if runs and runs[0].is_open:
        what = "the sweep's run is RUNNING, but no driver is on it"
        yield Difference(None, what, "close it as the ledger says", tell)


def _of_refits(records: SweepRecords) -> Iterator[Difference]:
    for owner, runs in records.runs.items():
        for run in runs if owner.kind != "trial" else ():
            if run.status == "RUNNING":
                what = f"the run of its {owner.kind} is RUNNING, but nobody is on it"
                remedy = "mark it as killed; `whosehand promote` resumes it"
                yield Difference(owner.number, what, remedy, partial(_Fixer.end_run, run_id=run.run_id))
    for owner, models in records.models.items():
        if owner.kind != "trial" and not models[0].known.is_ready:
            what = f"the model of its {owner.kind} is {models[0].status}"
            yield Difference(owner.number, what, "run `whosehand promote` again to finish it")


def _of_unknown(row: SweepRow) -> Iterator[Difference]:
    """Everything of a trial that the ledger does not know."""
    for run in row.runs:
        what = f"run {run.name!r} has no trial in the ledger"
        yield Difference(row.number, what, "delete it", partial(_Fixer.delete_run, run_id=run.run_id))
    for model in row.models:
        yield _superfluous(row, model, "has no trial in the ledger")
    for folder in row.strays:
        what = f"{folder} belongs to no trial in the ledger"
        yield Difference(row.number, what, "delete it", partial(_Fixer.remove_folder, path=folder))
    if row.engine == STATES[TrialState.RUNNING]:
        what = "the engine's study has a trial that the ledger does not have"
        yield Difference(row.number, what, "end it", _Fixer.catch_up_engine)
    elif row.engine not in (IN_MEMORY, "-"):
        what = "the engine's study has a finished trial that the ledger does not have"
        yield Difference(row.number, what, _OTHER_DATABASE)


def _of_runs(row: SweepRow, trial: TrialRecord) -> Iterator[Difference]:
    if not (trial.starts or trial.state.is_final):
        return
    for run in row.runs[1:]:
        what = f"it has a second run, {run.status}, with {run.n_steps} epochs"
        yield Difference(row.number, what, "delete that run", partial(_Fixer.delete_run, run_id=run.run_id))
    what, n_epochs = "", len(trial.reports)
    if not row.runs:
        what = "it has no run in MLflow"
    elif row.runs[0].status != row.expected_status:
        state = "waits to be resumed" if trial.state is TrialState.RUNNING else f"is {trial.state}"
        what = f"it {state}, but its run is {row.runs[0].status}"
    elif row.runs[0].n_steps < n_epochs:
        what = f"its run has {row.runs[0].n_steps} of {n_epochs} epochs"
    elif trial.state.is_final and not trial.is_tracked:
        what = "the ledger does not know whether MLflow has all of it"
    elif not (
        trial.tags.items() <= row.runs[0].tags.items() and (trial.note or "") in row.runs[0].tags.get(NOTE_TAG, "")
    ):
        what = "its run has not the note and tags that the ledger has"
    if what:
        yield Difference(row.number, what, "tell MLflow all of it again", _tell(row))


def _of_models(row: SweepRow, trial: TrialRecord, is_kept: bool) -> Iterator[Difference]:
    for model in row.models[1:]:
        yield _superfluous(row, model, "is a second one")
    if not row.models:
        if row.should_have_model and is_kept:
            yield _missing(row, "it has no model in MLflow", _tell(row))
        return
    model = row.models[0]
    if trial.state is not TrialState.COMPLETED:
        yield _superfluous(row, model, f"belongs to a trial that is {row.ledger_text}")
    elif not model.known.is_ready and row.folder is None:
        yield _superfluous(row, model, f"is {model.status}, and the sweep's folder has none to finish it from")
    elif not model.known.is_ready:
        what = f"its model in MLflow is {model.status}"
        yield Difference(row.number, what, "finish it from the sweep's folder", _tell(row))
    elif not model.has_files:
        restore = partial(_Fixer.restore_files, model=model, folder=row.folder or Path())
        yield _missing(row, "the files of its model are gone from MLflow", restore)
    elif row.runs and model.known.model_id not in row.runs[0].model_ids:
        yield Difference(row.number, "its model is no output of its run", "make it one", _tell(row))


def _of_engine(row: SweepRow, trial: TrialRecord) -> Iterator[Difference]:
    if row.engine in (IN_MEMORY, OUTSIDE, STATES[trial.state]):
        return
    what = f"it is {trial.state}, but {row.engine.replace('-', 'not there')} in the engine's study"
    if row.engine in ("-", STATES[TrialState.RUNNING]):
        yield Difference(row.number, what, "replay the ledger into the study", _Fixer.catch_up_engine)
    else:
        yield Difference(row.number, what, f"what has ended there cannot be changed; {_OTHER_DATABASE}")


def _of_disk(row: SweepRow, trial: TrialRecord) -> Iterator[Difference]:
    for folder in row.checkpoints if trial.state.is_final else ():
        what = "it has ended, but its checkpoints are still there"
        yield Difference(row.number, what, "delete them", partial(_Fixer.remove_folder, path=folder))
    for folder in row.strays:
        what = f"{folder.name} is an attempt that the ledger does not know"
        yield Difference(row.number, what, "delete its folder", partial(_Fixer.remove_folder, path=folder))


def _tell(row: SweepRow) -> "Callable[[_Fixer], None]":
    return partial(_Fixer.tell, numbers=(row.number,))


def _missing(row: SweepRow, what: str, fix: "Callable[[_Fixer], None]") -> Difference:
    if row.folder is not None:
        return Difference(row.number, what, "take it from the sweep's folder", fix)
    remedy = f"it cannot be restored; `whosehand promote SWEEP --trial {row.number}` trains the point again"
    return Difference(row.number, f"{what}, and the sweep's folder has none", remedy)


def _superfluous(row: SweepRow, model: RecordedModel, reason: str) -> Difference:
    """A model that nobody needs; a registered one is never deleted."""
    what = f"model {model.name!r} ({model.known.model_id}) {reason}"
    if model.versions:
        return Difference(row.number, what, f"left alone, because it is registered as {', '.join(model.versions)}")
    return Difference(row.number, what, "delete it", partial(_Fixer.delete_model, model=model))


class _Fixer:
    """Carries fixes out. What is told again, the study and folders wait until everything
    superfluous is gone.
    """

    def __init__(self, sweep: KnownSweep, workspace: Workspace, ledger: Ledger) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._store = open_store(sweep.experiment.tracking, workspace.root)
        self._client = self._store.client()
        self._warnings: list[str] = []
        self._is_told = False
        self._numbers_to_tell: set[int] = set()
        self._folders: list[Path] = []
        self._is_engine_behind = False

    def fix_all(self, found: Sequence[Difference]) -> list[str]:
        """Fix what can be fixed; return what went wrong."""
        for difference in found:
            if difference.fix is not None:
                with tracking_errors("fix the records", self._store):
                    difference.fix(self)
        if self._is_told:
            self._tell_again()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        if self._is_engine_behind:
            self._replay_into_study()
        return self._warnings

    def tell(self, numbers: Sequence[int]) -> None:
        """Tell MLflow all of these trials again, with the times of then; the sweep's own run is
        closed with them.
        """
        self._is_told = True
        self._numbers_to_tell |= {*numbers}

    def end_run(self, run_id: str) -> None:
        """Mark a run as killed."""
        self._client.set_terminated(run_id, "KILLED")

    def delete_run(self, run_id: str) -> None:
        """Delete a run; MLflow can restore it."""
        self._client.delete_run(run_id)

    def delete_model(self, model: RecordedModel) -> None:
        """Delete a logged model and what MLflow keeps of its files."""
        delete_model(self._client, model.known)

    def restore_files(self, model: RecordedModel, folder: Path) -> None:
        """Put a model's files back where MLflow keeps them, from the sweep's folder."""
        place = local_folder(model.known.location)
        if place is not None:
            place_model(folder, place)

    def remove_folder(self, path: Path) -> None:
        """Delete a folder of the sweep's."""
        self._folders.append(path)

    def catch_up_engine(self) -> None:
        """Replay the ledger into the engine's study."""
        self._is_engine_behind = True

    def _tell_again(self) -> None:
        """Tell trials again as a launch would, then close the sweep's run as the ledger says."""
        state, created, experiment = self._ledger.state, self._sweep.created, self._sweep.experiment
        artifacts = artifact_folder(self._store, created.name)
        run = find_sweep_run(self._store, created.name, created.sweep_id)
        tracker = MlflowTracker(
            self._store,
            created.name,
            search_facts(experiment),
            experiment.tracking,
            datasets=tuple(map(TrackedDataset.of, run.inputs.dataset_inputs if run else ())),
            sweep_files={path.name: path for path in map(self._sweep.folder.joinpath, _SWEEP_FILES) if path.exists()},
            warning=_warning(self._sweep),
            remark=lambda: str(measure_disk(self._sweep.folder, artifacts)),
        )
        tracking_queue = TrackingQueue(tracker, self._warnings.append, lambda: None)
        try:
            tracking_queue.start_sweep(created, state)
            for number in sorted(self._numbers_to_tell):
                tracking_queue.replay(self._tellable(state.trials[number]))
            killed = SweepClosed(state.last_ms, "interrupted", "its driver was killed")
            tracking_queue.end_sweep(state.closed or killed, state)
            tracking_queue.drain(lambda: False)
            for number in tracking_queue.take_tracked():
                if not state.trials[number].is_tracked:
                    # At the time of the last event: a launch counts as working time until its last
                    # one.
                    self._ledger.append(lambda _, tracked: TrialTracked(state.last_ms, tracked), number)
        finally:
            tracking_queue.close()

    def _tellable(self, trial: TrialRecord) -> TrialRecord:
        """The trial without files that are gone: what is left of it can still be told."""
        if trial.ended is None:
            return trial
        result = trial.ended.result
        there = {name: file for name, file in result.artifacts.items() if file.path.exists()}
        gone = sorted(result.artifacts.keys() - there.keys())
        if gone:
            self._warnings.append(f"Trial {trial.number}: these files are gone: {', '.join(gone)}.")
        model = result.model if result.model is not None and (result.model.path / "MLmodel").is_file() else None
        return replace(trial, ended=replace(trial.ended, result=replace(result, artifacts=there, model=model)))

    def _replay_into_study(self) -> None:
        experiment, sweep_id = self._sweep.experiment, self._sweep.created.sweep_id
        engine = open_engine(experiment.engine, engine_settings(experiment, sweep_id))
        try:
            engine.restore(tuple(self._ledger.state.history))
        except EngineError as error:
            self._warnings.append(str(error))


def _warning(sweep: KnownSweep) -> str:
    """What everyone who sees a run must know of the split."""
    path = sweep.folder / SPLIT_FILE
    return SplitManifest.load(path).warning if path.exists() else ""
