"""A sweep's models in MLflow: each trial's saved folder as one logged model, however often it is told.

MLflow makes a new logged model at every call; so a trial's is looked up by its tags first. One that a crash left
PENDING is filled again and finished.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which reads its switches when it is imported)

# isort: split
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput

from core.crash_points import crash_point
from core.errors import TrackingError
from search.experiment.tracking_settings import SERVER_SCHEMES
from search.tracking.model_folder import local_folder, place_model, remove_model
from search.tracking.paging import all_pages

READY = "READY"
FOLDER_TAG = "folder"
"""The tag that says where the worker saved the model: the same files as MLflow's, so that both are deleted together."""


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

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> "ModelOwner | None":
        """Whose model carries these tags; `None` if it is none of whosehand's."""
        if not tags.get("trial", "").isdigit() or "sweep_id" not in tags or "kind" not in tags:
            return None
        return cls(tags["sweep_id"], tags["kind"], int(tags["trial"]))

    def as_tags(self) -> dict[str, str]:
        """The same as MLflow tags."""
        return {"sweep_id": self.sweep_id, "kind": self.kind, "trial": str(self.number)}


@dataclass(frozen=True)
class KnownModel:
    """A logged model, as much of it as is needed to finish or delete it.

    Attributes:
        model_id: MLflow's.
        is_ready: whether it was finished.
        location: where MLflow keeps its files.
        folder: where the worker saved it; empty if that was not written down.
    """

    model_id: str
    is_ready: bool
    location: str
    folder: str

    @classmethod
    def of(cls, model: LoggedModel) -> "KnownModel":
        """Take from MLflow's what is needed."""
        is_ready = str(model.status) == READY
        return cls(model.model_id, is_ready, model.artifact_location, model.tags.get(FOLDER_TAG, ""))


class LoggedModels:
    """The logged models of sweeps in one MLflow experiment; what is there is asked once, for it writes alone."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._is_remote = client.tracking_uri.split("://", 1)[0] in SERVER_SCHEMES
        self._known: dict[str, dict[ModelOwner, KnownModel]] = {}

    def log(self, owner: ModelOwner, name: str, run_id: str, folder: Path, step: int, params: Mapping[str, str]) -> str:
        """See to it that the owner's model is there, finished, and an output of its run.

        Its files are kept once: where MLflow keeps them on the same disk, they are the worker's own under a second
        name.

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
        is_new = model is None
        if model is None:
            tags = owner.as_tags() | {FOLDER_TAG: str(folder)}
            created = self._client.create_logged_model(
                self._experiment_id, name=name, source_run_id=run_id, tags=tags, params=dict(params)
            )
            model = self._remember(owner, KnownModel.of(created))
            crash_point("model-created")
        if not model.is_ready:
            if not (folder / "MLmodel").is_file():
                raise TrackingError(f"The model of trial {owner.number} should be in {folder}, but that is no model.")
            self._upload(model, folder)
            crash_point("model-uploaded")
            self._client.finalize_logged_model(model.model_id, READY)
            self._remember(owner, replace(model, is_ready=True))
            crash_point("model-ready")
        if is_new or model.model_id not in self._outputs_of(run_id):
            self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
        return model.model_id

    def find(self, owner: ModelOwner) -> KnownModel | None:
        """The owner's model, finished or not, or `None`."""
        return self._of_sweep(owner.sweep_id).get(owner)

    def delete_others(self, sweep_id: str, kept: Collection[int]) -> None:
        """Delete the models of a sweep's trials but those of the trials in `kept`, with their files."""
        for owner, model in list(self._of_sweep(sweep_id).items()):
            if owner.kind == "trial" and owner.number not in kept:
                delete_model(self._client, model)
                del self._known[sweep_id][owner]

    def _upload(self, model: KnownModel, folder: Path) -> None:
        place = None if self._is_remote else local_folder(model.location)
        if place is None:
            self._client.log_model_artifacts(model.model_id, str(folder))
        else:
            place_model(folder, place)

    def _outputs_of(self, run_id: str) -> set[str]:
        outputs = self._client.get_run(run_id).outputs
        return {output.model_id for output in outputs.model_outputs} if outputs else set()

    def _remember(self, owner: ModelOwner, model: KnownModel) -> KnownModel:
        self._of_sweep(owner.sweep_id)[owner] = model
        return model

    def _of_sweep(self, sweep_id: str) -> dict[ModelOwner, KnownModel]:
        if sweep_id not in self._known:
            known: dict[ModelOwner, KnownModel] = {}
            for model in search_models(self._client, self._experiment_id, {"sweep_id": sweep_id}):
                owner, found = ModelOwner.of(model.tags), KnownModel.of(model)
                if owner is not None and (found.is_ready or owner not in known):
                    known[owner] = found
            self._known[sweep_id] = known
        return self._known[sweep_id]


def search_models(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> list[LoggedModel]:
    """All logged models of an experiment that carry these tags."""
    condition = " AND ".join(f"tags.{key} = '{value}'" for key, value in tags.items()) or None
    return all_pages(
        lambda token: client.search_logged_models([experiment_id], filter_string=condition, page_token=token)
    )


def delete_model(client: MlflowClient, model: KnownModel) -> None:
    """Delete a model and its local files, those in the sweep's folder too.

    MLflow itself only hides a deleted model, and leaves its files on the disk even after `mlflow gc`.
    """
    client.delete_logged_model(model.model_id)
    for place in (local_folder(model.location), Path(model.folder) if model.folder else None):
        if place is not None:
            remove_model(place)
