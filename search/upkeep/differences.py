"""Where the records of a sweep differ from its ledger, and what would mend each difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.engines.optuna.study_view import STATES
from search.ledger.ranking import rank
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import KnownSweep
from search.upkeep.sweep_records import RecordedModel, SweepRecords
from search.upkeep.sweep_rows import IN_MEMORY, SweepRow


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


Mend = Retell | RetellSweep | EndRun | DeleteRun | DeleteModel | RestoreFiles | RemoveFolder | CatchUpEngine


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the ledger says.

    Attributes:
        trial: its number; `None` for the sweep as a whole.
        what: is wrong.
        remedy: in words: what `mend` does, or what the user can do.
        mend: `None` if nothing here can mend it.
    """

    trial: int | None
    what: str
    remedy: str
    mend: Mend | None


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


def _missing(row: SweepRow, what: str, mend: Mend) -> Difference:
    if row.folder is not None:
        return Difference(row.number, what, "take it from the sweep's folder", mend)
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
