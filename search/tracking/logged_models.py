"""A sweep's models in MLflow: each trial's saved folder as one logged model, however often it is told.

MLflow makes a new logged model at every call; so a trial's is looked up by its tags first. One that a crash left
PENDING is filled again and finished.
"""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which reads its switches when it is imported)

# isort: split
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput

from core.errors import TrackingError

READY = "READY"


@dataclass(frozen=True)
class ModelOwner:
    """Whose model it is: the tags by which it is found again.

    Attributes:
        sweep_id: the sweep.
        kind: `trial`, or another fit of the same point.
        number: the trial's number.
    """

    sweep_id: str
    kind: str
    number: int

    def as_tags(self) -> dict[str, str]:
        """The same as MLflow tags."""
        return {"sweep_id": self.sweep_id, "kind": self.kind, "trial": str(self.number)}


class LoggedModels:
    """The logged models of one sweep in one MLflow experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id

    def log(self, owner: ModelOwner, name: str, run_id: str, folder: Path, step: int, params: Mapping[str, str]) -> str:
        """See to it that the owner's model is there, finished, and an output of its run.

        Args:
            owner: of the model.
            name: shown in the models table; neither `/` nor `:`.
            run_id: the run that made it.
            folder: a saved MLflow model.
            step: epochs trained.
            params: hyperparameters, shown beside the model.

        Returns:
            MLflow's id of the model.

        Raises:
            TrackingError: if the folder is gone; MLflow would take that for an empty model.
        """
        model = self.find(owner)
        if model is None:
            model = self._client.create_logged_model(
                self._experiment_id, name=name, source_run_id=run_id, tags=owner.as_tags(), params=dict(params)
            )
        if str(model.status) != READY:
            if not (folder / "MLmodel").is_file():
                raise TrackingError(f"The model of trial {owner.number} should be in {folder}, but that is no model.")
            self._client.log_model_artifacts(model.model_id, str(folder))
            self._client.finalize_logged_model(model.model_id, READY)
        outputs = self._client.get_run(run_id).outputs
        if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
        return str(model.model_id)

    def find(self, owner: ModelOwner) -> LoggedModel | None:
        """The owner's model, finished or not, or `None`."""
        found = self._search(owner.as_tags())
        return found[0] if found else None

    def delete_others(self, sweep_id: str, kept: Collection[int]) -> None:
        """Delete the models of a sweep's trials but those of the trials in `kept`, their local files too.

        MLflow itself only hides a deleted model and leaves its files to `mlflow gc`.
        """
        for model in self._search({"sweep_id": sweep_id, "kind": "trial"}):
            if int(model.tags["trial"]) in kept:
                continue
            self._client.delete_logged_model(model.model_id)
            files = Path(model.artifact_location.removeprefix("file://"))
            if files.is_dir():
                shutil.rmtree(files.parent if files.parent.name == model.model_id else files, ignore_errors=True)

    def _search(self, tags: Mapping[str, str]) -> list[LoggedModel]:
        condition = " AND ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
        models: list[LoggedModel] = []
        token = None
        while True:
            page = self._client.search_logged_models([self._experiment_id], filter_string=condition, page_token=token)
            models += page
            token = page.token
            if not token:
                return models
