"""The trials of one sweep as the ledger, the engine's study, MLflow and the disk have them, side by
side.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)

# isort: split
import re
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from rich.filesize import decimal

from search.experiment.workspace import Workspace
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.disk import folder_bytes
from search.sweep.known_sweeps import KnownSweep
from search.tracking.models import KnownModel, ModelOwner, local_folder, search_models
from search.tracking.store import TrackingStore, all_pages, locate_store, open_store, tracking_errors
from search.tracking.tracker import TRIAL_ENDS

DROPPED_TAG = "model_dropped"
"""Marks a run whose model was removed on purpose, so that it does not count as lost."""
IN_MEMORY, OUTSIDE = "in memory", "outside"
"""Words for a study that is not kept, and for a trial that it does not have because its point is
outside the space.
"""
TRIALS, CHECKPOINTS = "trials", "checkpoints"
T = TypeVar("T")
_ATTEMPT = re.compile(r"attempt-(\d+)(-again-\d+)?")


@dataclass(frozen=True)
class RecordedRun:
    """A trial's run, as much of it as says whether it is whole.

    Attributes:
        run_id: MLflow's.
        name: shown in the runs table.
        status: RUNNING, SCHEDULED, FINISHED, KILLED or FAILED.
        n_steps: points of the objective's curve.
        started_ms: Unix time.
        model_ids: the models that are its outputs.
        is_model_dropped: whether its model was removed on purpose.
        tags: all of them.
    """

    run_id: str
    name: str
    status: str
    n_steps: int
    started_ms: int
    model_ids: tuple[str, ...]
    is_model_dropped: bool
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether MLflow shows it as not ended."""
        return self.status in ("RUNNING", "SCHEDULED")


@dataclass(frozen=True)
class RecordedModel:
    """A logged model.

    Attributes:
        known: what is needed to delete it.
        name: shown in the models table.
        status: in MLflow's words.
        has_files: whether its files are there; taken for granted where they are on another machine.
        versions: registered versions that it is, such as `whosehand-tiny 3`.
    """

    known: KnownModel
    name: str
    status: str
    has_files: bool
    versions: tuple[str, ...]


@dataclass(frozen=True)
class SweepRecords:
    """Everything in MLflow that carries a sweep's id.

    Attributes:
        sweep_runs: of the sweep itself; one if all is well.
        runs: by owner, the one to keep first.
        models: by owner, the one to keep first.
    """

    sweep_runs: Sequence[RecordedRun] = ()
    runs: Mapping[ModelOwner, Sequence[RecordedRun]] = field(default_factory=dict)
    models: Mapping[ModelOwner, Sequence[RecordedModel]] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepRow:
    """One trial.

    Attributes:
        number: of the trial.
        trial: in the ledger; `None` if it does not know the trial.
        engine: the study's word for it; `-` if it should have the trial and does not.
        runs: in MLflow, the one to keep first.
        models: in MLflow, the one to keep first.
        folder: where the worker saved the model; `None` if it saved none, or what it saved is gone.
        checkpoints: folders of the trial with checkpoints.
        attempts: folders of its attempts, in order.
        strays: folders of attempts that the ledger does not know.
    """

    number: int
    trial: TrialRecord | None
    engine: str
    runs: Sequence[RecordedRun]
    models: Sequence[RecordedModel]
    folder: Path | None
    checkpoints: Sequence[Path]
    attempts: Sequence[Path]
    strays: Sequence[Path]

    @property
    def ledger_text(self) -> str:
        """The ledger's word for it."""
        return "-" if self.trial is None else self.trial.state.value

    @property
    def run_text(self) -> str:
        """MLflow's words for its runs."""
        return ", ".join(run.status for run in self.runs) or "-"

    @property
    def model_text(self) -> str:
        """MLflow's words for its models."""
        texts = [model.status if model.has_files else f"{model.status}, no files" for model in self.models]
        return ", ".join(texts) or "-"

    @property
    def disk_text(self) -> str:
        """What is in the sweep's folder."""
        parts = {
            "model": self.folder is not None,
            f"checkpoints {decimal(sum(map(folder_bytes, self.checkpoints)))}": bool(self.checkpoints),
            f"{len(self.strays)} unknown": bool(self.strays),
        }
        return ", ".join(text for text, is_there in parts.items() if is_there) or "-"

    @property
    def expected_status(self) -> str:
        """What the run's status should be while no driver is on the sweep."""
        return "-" if self.trial is None else TRIAL_ENDS.get(self.trial.state, "SCHEDULED")

    @property
    def should_have_model(self) -> bool:
        """Whether the trial saved a model that nobody has dropped."""
        result = None if self.trial is None else self.trial.result
        if result is None or result.state is not TrialState.COMPLETED or result.model is None:
            return False
        return not any(run.is_model_dropped for run in self.runs)


def open_store_of(sweep: KnownSweep, workspace: Workspace) -> TrackingStore | None:
    """The sweep's tracking store; `None` if that is a database file that is not there: opening
    would make it.

    Raises:
        TrackingError: if the store cannot be opened.
    """
    database = locate_store(sweep.experiment.tracking, workspace.root).database
    if database is not None and not database.exists():
        return None
    return open_store(sweep.experiment.tracking, workspace.root)


def read_records(sweep: KnownSweep, store: TrackingStore | None) -> SweepRecords:
    """Read what MLflow holds of a sweep; nothing is changed.

    Args:
        sweep: whose id, name and objective count: the objective's curve says how much of a run was
            told.
        store: an open one; `None` finds nothing.

    Raises:
        TrackingError: if the store cannot be read.
    """
    if store is None:
        return SweepRecords()
    client, sweep_id, metric = store.client(), sweep.created.sweep_id, sweep.experiment.objective.metric
    sweep_runs: list[RecordedRun] = []
    runs: dict[ModelOwner, list[RecordedRun]] = defaultdict(list)
    models: dict[ModelOwner, list[RecordedModel]] = defaultdict(list)
    with tracking_errors(f"read the records of sweep {sweep.created.name!r}", store):
        experiment = client.get_experiment_by_name(sweep.created.name)
        if experiment is None:
            return SweepRecords()
        condition, places = f"tags.sweep_id = '{sweep_id}'", [experiment.experiment_id]
        for run in all_pages(lambda token: client.search_runs(places, condition, page_token=token)):
            recorded, owner = _recorded_run(client, run, metric), ModelOwner.of(run.data.tags)
            if owner is not None:
                runs[owner].append(recorded)
            elif run.data.tags.get("kind") == "sweep":
                sweep_runs.append(recorded)
        versions = _registered_versions(client)
        for model in search_models(client, places[0], {"sweep_id": sweep_id}):
            owner = ModelOwner.of(model.tags)
            if owner is not None:
                models[owner].append(_recorded_model(model, versions))
    return SweepRecords(
        sorted(sweep_runs, key=lambda run: run.started_ms),
        {owner: sorted(of_owner, key=_worse_run) for owner, of_owner in runs.items()},
        {owner: sorted(of_owner, key=_worse_model) for owner, of_owner in models.items()},
    )


def sweep_rows(sweep: KnownSweep, records: SweepRecords, engine: Mapping[int, str] | None) -> list[SweepRow]:
    """Lay a sweep's records side by side, by the trials' numbers.

    Args:
        sweep: with its ledger.
        records: of MLflow.
        engine: the study's words by trial number; `None` where the study is kept in memory.
    """
    runs = _by_number(records.runs, sweep.created.sweep_id)
    models = _by_number(records.models, sweep.created.sweep_id)
    on_disk, space = _attempts(sweep.folder), sweep.experiment.space.search_space()
    # An enqueued point may lie outside of the space: no study can hold it, so an engine only counts
    # it.
    outside = {trial.number for trial in sweep.state.trials.values() if not space.contains(trial.proposed.point)}
    missing = dict.fromkeys(outside, OUTSIDE)
    return [
        _row(
            sweep,
            number,
            runs.get(number, ()),
            models.get(number, ()),
            IN_MEMORY if engine is None else engine.get(number, missing.get(number, "-")),
            on_disk.get(number, ()),
        )
        for number in sorted({*sweep.state.trials, *runs, *models, *on_disk, *(engine or ())})
    ]


def _registered_versions(client: MlflowClient) -> Mapping[str, tuple[str, ...]]:
    """The registered versions of each logged model, by its id. What has an alias is a version
    too.
    """
    versions: dict[str, tuple[str, ...]] = {}
    for version in all_pages(lambda token: client.search_model_versions(page_token=token)):
        model_id = version.model_id or version.source.removeprefix("models:/")
        versions[model_id] = (*versions.get(model_id, ()), f"{version.name} {version.version}")
    return versions


def _recorded_run(client: MlflowClient, run: Run, metric: str) -> RecordedRun:
    curve = client.get_metric_history(run.info.run_id, metric) if metric in run.data.metrics else []
    outputs = run.outputs.model_outputs if run.outputs else ()
    return RecordedRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        n_steps=len({point.step for point in curve}),
        started_ms=run.info.start_time,
        model_ids=tuple(output.model_id for output in outputs),
        is_model_dropped=DROPPED_TAG in run.data.tags,
        tags=run.data.tags,
    )


def _recorded_model(model: LoggedModel, versions: Mapping[str, tuple[str, ...]]) -> RecordedModel:
    place = local_folder(model.artifact_location)
    has_files = place is None or (place / "MLmodel").is_file()
    return RecordedModel(
        KnownModel.of(model), model.name, str(model.status), has_files, versions.get(model.model_id, ())
    )


def _worse_run(run: RecordedRun) -> tuple[bool, int, int]:
    """Orders runs: keep the finished one, then the one that was told most, then the oldest."""
    return run.is_open, -run.n_steps, run.started_ms


def _worse_model(model: RecordedModel) -> tuple[bool, bool, bool]:
    return not model.versions, not model.known.is_ready, not model.has_files


def _row(
    sweep: KnownSweep,
    number: int,
    runs: Sequence[RecordedRun],
    models: Sequence[RecordedModel],
    engine: str,
    attempts: Sequence[Path],
) -> SweepRow:
    trial = sweep.state.trials.get(number)
    # A start is written down after the worker was started: a killed driver may leave a folder of a
    # later attempt.
    n_attempts = 0 if trial is None else trial.n_attempts
    known = [folder for folder in attempts if _attempt_of(folder) <= n_attempts]
    model = trial.result.model if trial is not None and trial.result is not None else None
    return SweepRow(
        number=number,
        trial=trial,
        engine=engine,
        runs=runs,
        models=models,
        folder=model.path if model is not None and (model.path / "MLmodel").is_file() else None,
        # A trial could go on from these; what else is in such a folder is small.
        checkpoints=tuple(folder / CHECKPOINTS for folder in known if any((folder / CHECKPOINTS).glob("epoch-*"))),
        attempts=tuple(known),
        strays=tuple(folder for folder in attempts if folder not in known),
    )


def _by_number(of_owner: Mapping[ModelOwner, Sequence[T]], sweep_id: str) -> dict[int, Sequence[T]]:
    return {
        owner.number: found for owner, found in of_owner.items() if (owner.sweep_id, owner.kind) == (sweep_id, "trial")
    }


def _attempts(folder: Path) -> dict[int, list[Path]]:
    """The folders of attempts by trial number."""
    return {
        int(trial.name): sorted((path for path in trial.iterdir() if _is_attempt(path)), key=_attempt_of)
        for trial in sorted((folder / TRIALS).glob("*"))
        if trial.name.isdigit() and trial.is_dir()
    }


def _is_attempt(path: Path) -> bool:
    return path.is_dir() and _ATTEMPT.fullmatch(path.name) is not None


def _attempt_of(folder: Path) -> int:
    """The number in `attempt-2` or `attempt-2-again-1`."""
    found = _ATTEMPT.fullmatch(folder.name)
    return int(found[1]) if found else 0
