"""What MLflow holds of one sweep, by the trials that it belongs to.

A sweep's trials as the ledger, the engine's study, MLflow and the disk have them, side by side.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)

# isort: split
import re
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from rich.filesize import decimal

from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.disk import folder_bytes
from search.sweep.known_sweeps import KnownSweep
from search.tracking.models import READY, ModelOwner, local_folder, search_models
from search.tracking.store import TrackingStore, all_pages, tracking_errors
from search.tracking.tracker import TRIAL_ENDS

DROPPED_TAG = "model_dropped"
"""Marks a run whose model was removed on purpose, so that nobody misses it."""


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
    """

    run_id: str
    name: str
    status: str
    n_steps: int
    started_ms: int
    model_ids: tuple[str, ...]
    is_model_dropped: bool


@dataclass(frozen=True)
class RecordedModel:
    """A logged model.

    Attributes:
        model_id: MLflow's.
        name: shown in the models table.
        is_ready: whether it was finished.
        status: in MLflow's words.
        location: where MLflow keeps its files.
        folder: where the worker saved it; empty if that was not written down.
        has_files: whether its files are there; taken for granted where they are elsewhere.
        run_id: of the run that made it.
        versions: registered versions that it is, such as `whosehand-tiny 3`.
    """

    model_id: str
    name: str
    is_ready: bool
    status: str
    location: str
    folder: str
    has_files: bool
    run_id: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class SweepRecords:
    """Everything in MLflow that carries a sweep's id.

    Attributes:
        experiment_id: MLflow's; empty if there is no such experiment yet.
        sweep_runs: of the sweep itself; one if all is well.
        runs: by owner, the one to keep first.
        models: by owner, the one to keep first.
    """

    experiment_id: str
    sweep_runs: Sequence[RecordedRun]
    runs: Mapping[ModelOwner, Sequence[RecordedRun]]
    models: Mapping[ModelOwner, Sequence[RecordedModel]]


def read_records(store: TrackingStore, experiment: str, sweep_id: str, metric: str) -> SweepRecords:
    """Read what MLflow holds of a sweep; nothing is changed.

    Args:
        store: an open one.
        experiment: MLflow's name of it, which is the sweep's.
        sweep_id: the sweep's.
        metric: the objective, whose curve says how far a run was told.

    Raises:
        TrackingError: if the store cannot be read.
    """
    client = store.client()
    with tracking_errors(f"read the records of sweep {experiment!r}", store):
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return SweepRecords("", (), {}, {})
        experiment_id = str(found.experiment_id)
        versions = registered_versions(client)
        sweep_runs, runs = [], defaultdict(list)
        of_sweep = f"tags.sweep_id = '{sweep_id}'"
        for run in all_pages(lambda token: client.search_runs([experiment_id], of_sweep, page_token=token)):
            recorded, owner = _recorded_run(client, run, metric), ModelOwner.of(run.data.tags)
            if owner is not None:
                runs[owner].append(recorded)
            elif run.data.tags.get("kind") == "sweep":
                sweep_runs.append(recorded)
        models = defaultdict(list)
        for model in search_models(client, experiment_id, {"sweep_id": sweep_id}):
            owner = ModelOwner.of(model.tags)
            if owner is not None:
                models[owner].append(_recorded_model(model, versions))
    return SweepRecords(
        experiment_id,
        sorted(sweep_runs, key=lambda run: run.started_ms),
        {owner: sorted(of_owner, key=_is_worse_run) for owner, of_owner in runs.items()},
        {owner: sorted(of_owner, key=_is_worse_model) for owner, of_owner in models.items()},
    )


def registered_versions(client: MlflowClient) -> Mapping[str, tuple[str, ...]]:
    """The registered versions of each logged model, by its id. What has an alias is a version too."""
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
    )


def _recorded_model(model: LoggedModel, versions: Mapping[str, tuple[str, ...]]) -> RecordedModel:
    place = local_folder(model.artifact_location)
    return RecordedModel(
        model_id=model.model_id,
        name=model.name,
        is_ready=str(model.status) == READY,
        status=str(model.status),
        location=model.artifact_location,
        folder=model.tags.get("folder", ""),
        has_files=place is None or (place / "MLmodel").is_file(),
        run_id=model.source_run_id or "",
        versions=versions.get(model.model_id, ()),
    )


def _is_worse_run(run: RecordedRun) -> tuple[bool, int, int]:
    """Keep the finished one, then the one that was told most, then the oldest."""
    return run.status in ("RUNNING", "SCHEDULED"), -run.n_steps, run.started_ms


def _is_worse_model(model: RecordedModel) -> tuple[bool, bool, bool]:
    return not model.versions, not model.is_ready, not model.has_files


T = TypeVar("T")
IN_MEMORY = "in memory"
TRIALS, CHECKPOINTS = "trials", "checkpoints"
_ATTEMPT = re.compile(r"attempt-(\d+)(-again-\d+)?")


@dataclass(frozen=True)
class SweepRow:
    """One trial.

    Attributes:
        number: of the trial.
        trial: in the ledger; `None` if it does not know the trial.
        engine: the study's word for it.
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
        return (
            ", ".join(model.status if model.has_files else f"{model.status}, no files" for model in self.models) or "-"
        )

    @property
    def disk_text(self) -> str:
        """What is in the sweep's folder."""
        size = sum(map(folder_bytes, self.checkpoints))
        parts = {
            "model": self.folder is not None,
            f"checkpoints {decimal(size)}": bool(self.checkpoints),
            f"{len(self.strays)} unknown": bool(self.strays),
        }
        return ", ".join(text for text, is_there in parts.items() if is_there) or "-"

    @property
    def expected_status(self) -> str:
        """What the run's status should be while no driver is on the sweep."""
        if self.trial is None:
            return "-"
        return TRIAL_ENDS.get(self.trial.state, "SCHEDULED")

    @property
    def should_have_model(self) -> bool:
        """Whether the trial saved a model that nobody has dropped."""
        result = None if self.trial is None else self.trial.result
        if result is None or result.state is not TrialState.COMPLETED or result.model is None:
            return False
        return not any(run.is_model_dropped for run in self.runs)


def sweep_rows(sweep: KnownSweep, records: SweepRecords, engine: Mapping[int, str] | None) -> list[SweepRow]:
    """Lay a sweep's records side by side, by the trials' numbers.

    Args:
        sweep: with its ledger.
        records: of MLflow.
        engine: the study's words by trial number; `None` where the study is kept in memory.
    """
    runs = _by_number(records.runs, sweep.created.sweep_id)
    models = _by_number(records.models, sweep.created.sweep_id)
    trials = sweep.state.trials
    on_disk = _attempts(sweep.folder)
    numbers = sorted({*trials, *runs, *models, *on_disk, *(engine or ())})
    return [
        _row(sweep, number, runs.get(number, ()), models.get(number, ()), engine, on_disk.get(number, ()))
        for number in numbers
    ]


def has_checkpoints(folder: Path) -> bool:
    """Whether a trial could go on from this folder; what else is in it is small."""
    return any(folder.glob("epoch-*"))


def _row(
    sweep: KnownSweep,
    number: int,
    runs: Sequence[RecordedRun],
    models: Sequence[RecordedModel],
    engine: Mapping[int, str] | None,
    attempts: Sequence[Path],
) -> SweepRow:
    trial = sweep.state.trials.get(number)
    # A start is written down after the worker was started: a killed driver may leave a folder of a later attempt.
    n_attempts = 0 if trial is None else trial.n_attempts
    known = [folder for folder in attempts if _attempt_of(folder) <= n_attempts]
    model = trial.result.model if trial is not None and trial.result is not None else None
    return SweepRow(
        number=number,
        trial=trial,
        engine=IN_MEMORY if engine is None else engine.get(number, "-"),
        runs=runs,
        models=models,
        folder=model.path if model is not None and (model.path / "MLmodel").is_file() else None,
        checkpoints=tuple(
            folder / CHECKPOINTS for folder in attempts if folder in known and has_checkpoints(folder / CHECKPOINTS)
        ),
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
