"""What MLflow holds of one sweep, by the trials that it belongs to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which reads its switches when it is imported)

# isort: split
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

from search.tracking.model_folder import local_folder
from search.tracking.models import READY, ModelOwner, search_models
from search.tracking.paging import all_pages
from search.tracking.store import TrackingStore, tracking_errors

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
