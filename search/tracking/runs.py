"""The MLflow runs of one sweep: found by their tags, or made; opened, filled and closed."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which reads its switches when it is imported)

# isort: split
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Run, RunTag
from mlflow.exceptions import MlflowException

from core.errors import TrackingError
from search.ledger.trial import FileReference, TrialState
from search.sweep.observer import TrialSummary
from search.tracking.paging import all_pages
from search.tracking.store import TrackingStore

RunEnd = Literal["FINISHED", "KILLED", "FAILED"]


class TrackedRuns:
    """The runs of one experiment in MLflow that belong to one sweep."""

    def __init__(self, store: TrackingStore, experiment_name: str, primary_metric: str, lower_is_better: bool) -> None:
        self.client: MlflowClient = store.client()
        self.experiment_id = _find_or_create_experiment(
            self.client,
            experiment_name,
            store.artifact_location(experiment_name),
            {
                "mlflow.experimentKind": "custom_model_development",  # else the UI asks what the experiment is
                "mlflow.experiment.primaryMetric.name": primary_metric,  # the UI charts it first
                "mlflow.experiment.primaryMetric.greaterIsBetter": str(not lower_is_better).lower(),
            },
        )

    def find_all(self, tags: Mapping[str, str]) -> list[Run]:
        """All runs that carry these tags, the latest first."""
        condition = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
        return all_pages(lambda token: self.client.search_runs([self.experiment_id], condition, page_token=token))

    def create(self, name: str, started_ms: int, tags: Mapping[str, str]) -> str:
        """Make a run that is RUNNING, and return its id."""
        run = self.client.create_run(self.experiment_id, start_time=started_ms, tags=dict(tags), run_name=name)
        return str(run.info.run_id)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set or change tags, in one write."""
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def mark(self, run_id: str, status: Literal["RUNNING", "SCHEDULED"]) -> None:
        """Open a run again, or mark it as waiting to go on."""
        self.client.update_run(run_id, status=status)

    def close(self, run_id: str, status: RunEnd, at_ms: int) -> None:
        """End a run."""
        self.client.set_terminated(run_id, status=status, end_time=at_ms)

    def log_files(self, run_id: str, files: Mapping[str, FileReference | Path]) -> None:
        """Upload files and folders under their artifact paths; the same path again is overwritten.

        Raises:
            TrackingError: if a file is gone.
        """
        for artifact_path, reference in sorted(files.items()):
            local = reference.path if isinstance(reference, FileReference) else reference
            if not local.exists():
                raise TrackingError(f"The artifact {artifact_path} should be uploaded from {local}, but that is gone.")
            self._log_file(run_id, PurePosixPath(artifact_path), local)

    def _log_file(self, run_id: str, artifact_path: PurePosixPath, local: Path) -> None:
        if local.is_dir():
            self.client.log_artifacts(run_id, str(local), str(artifact_path))
            return
        folder = None if artifact_path.parent == PurePosixPath() else str(artifact_path.parent)
        if local.name == artifact_path.name:
            self.client.log_artifact(run_id, str(local), folder)
            return
        with tempfile.TemporaryDirectory() as temporary:  # MLflow takes the name from the local file
            renamed = shutil.copy2(local, Path(temporary) / artifact_path.name)
            self.client.log_artifact(run_id, str(renamed), folder)


def metrics_at(
    values: Mapping[str, float],
    step: int,
    at_ms: int,
    model_id: str | None = None,
    dataset: tuple[str, str] | None = None,
) -> Sequence[Metric]:
    """MLflow metrics of one moment, of a model and a dataset (name, digest) if they are given."""
    name, digest = dataset if dataset and model_id else (None, None)
    return [
        Metric(key, float(value), at_ms, step, model_id=model_id, dataset_name=name, dataset_digest=digest)
        for key, value in values.items()
    ]


def summary_of(run: Run, score: str) -> TrialSummary:
    """A trial as its run tells it, for leaderboards; texts stand for the hyperparameters' values.

    Args:
        run: of a trial.
        score: name of the final score that is the trial's value.
    """
    metrics, tags = run.data.metrics, run.data.tags
    state = tags.get("state", "")
    known = state in frozenset(map(str, TrialState))
    return TrialSummary(
        number=int(tags["trial"]),
        state=TrialState(state) if known else TrialState.RUNNING,
        value=metrics.get(score) if state == TrialState.COMPLETED else None,
        metrics=metrics,
        hyperparameters=run.data.params,
        seed=int(tags.get("seed", 0)),
        n_epochs=int(metrics.get("epochs", 0)),
        n_patches=0,
        duration_s=metrics.get("duration_s", 0.0),
        attempts=int(tags.get("attempts", 1)),
        n_lost=0,
        reason=tags.get("reason", ""),
    )


def _find_or_create_experiment(client: MlflowClient, name: str, location: str | None, tags: Mapping[str, str]) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=dict(tags)))
        except MlflowException as error:  # another sweep was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    return _active(experiment, name)


def _active(experiment: Experiment | None, name: str) -> str:
    if experiment is None or experiment.lifecycle_stage != "active":
        where = f" --experiment-id {experiment.experiment_id}" if experiment else ""
        raise TrackingError(
            f"The MLflow experiment {name!r} was deleted. Restore it (`mlflow experiments restore{where}`, with your "
            "MLFLOW_TRACKING_URI), or give the experiment file another `name`."
        )
    return str(experiment.experiment_id)
