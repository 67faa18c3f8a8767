"""A sweep's models in MLflow: each trial's saved folder as one logged model, however often it is
told.

MLflow makes a new logged model at every call; so a trial's is looked up by its tags first. One that
a crash left PENDING is filled again and finished.

A model's folder, kept once: the sweep's folder and MLflow's have the same files under two names
(hard links).
"""

import errno
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import requests
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from core.addresses import file_path
from core.crash_points import crash_point
from core.errors import TrackingError
from search.experiment.settings import SERVER_SCHEMES
from search.tracking import MODELS_FOLDER
from search.tracking.store import TrackingStore, all_pages

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)


def local_folder(location: str) -> Path | None:
    """The folder of an artifact address, or `None` if it is not on this machine.

    >>> local_folder("/data/models/m-1"), local_folder("s3://b/m-1")
    (PosixPath('/data/models/m-1'), None)
    """
    return file_path(location)


def place_model(folder: Path, place: Path) -> None:
    """Make a model's files appear in a second folder, without a second copy where the file system
    can do that.

    The new folder is filled aside and renamed, so that a crash leaves no half model; the old one
    stays as it is. What an earlier try left at `place` is replaced, and what a killed process left
    aside is deleted.

    Args:
        folder: the model's.
        place: where it is to be too.

    Raises:
        OSError: if the disk is full, or `place` cannot be written.
    """
    aside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f".{place.name}.*.tmp"):
        if not psutil.pid_exists(int(left.suffixes[-2].lstrip("."))):
            shutil.rmtree(left, ignore_errors=True)
    try:
        shutil.copytree(folder, aside, copy_function=_link_or_copy)
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_model(place: Path) -> None:
    """Delete a model's folder, and the one around it that MLflow makes for each model; without
    effect if it is gone.
    """
    around = place.parent
    shutil.rmtree(place, ignore_errors=True)
    if around.name.startswith("m-") and around.parent.name == MODELS_FOLDER:
        shutil.rmtree(around, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return str(shutil.copy2(source, target))
    return target


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
    """

    model_id: str
    is_ready: bool
    location: str

    @classmethod
    def of(cls, model: LoggedModel) -> "KnownModel":
        """Take from MLflow's what is needed."""
        return cls(model.model_id, str(model.status) == READY, model.artifact_location)


class LoggedModels:
    """The logged models of sweeps in one MLflow experiment; what is there is asked once, for it
    writes alone.
    """

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._known: dict[str, dict[ModelOwner, KnownModel]] = {}

    def log(self, owner: ModelOwner, name: str, run_id: str, folder: Path, step: int, params: Mapping[str, str]) -> str:
        """See to it that the owner's model is there, finished, and an output of its run.

        Its files are kept once: where MLflow keeps them on the same disk, they are the worker's own
        under a second name.

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
            created = self._client.create_logged_model(
                self._experiment_id, name=name, source_run_id=run_id, tags=owner.as_tags(), params=dict(params)
            )
            model = self._remember(owner, KnownModel.of(created))
            crash_point("model-created")
        if not model.is_ready:
            if not (folder / "MLmodel").is_file():
                raise TrackingError(f"The model of trial {owner.number} should be in {folder}, but that is no model.")
            upload_model(self._client, model, folder)
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

    def delete_others(self, sweep_id: str, kept: Collection[int]) -> list[int]:
        """Delete the models of a sweep's trials but those of the trials in `kept`.

        Returns:
            The trials whose models went; the worker's own files of them are the caller's to delete.
        """
        gone = []
        for owner, model in list(self._of_sweep(sweep_id).items()):
            if owner.kind == "trial" and owner.number not in kept:
                delete_model(self._client, model)
                del self._known[sweep_id][owner]
                gone.append(owner.number)
        return gone

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


def upload_model(client: MlflowClient, model: KnownModel, folder: Path) -> None:
    """Bring a model's files to where MLflow keeps them: on the same disk under a second name."""
    is_remote = client.tracking_uri.split("://", 1)[0] in SERVER_SCHEMES
    place = None if is_remote else local_folder(model.location)
    if place is None:
        client.log_model_artifacts(model.model_id, str(folder))
    else:
        place_model(folder, place)


def delete_model(client: MlflowClient, model: KnownModel) -> None:
    """Delete a model and its files in MLflow, here or on the server.

    MLflow itself only hides a deleted model, and leaves its files even after `mlflow gc`. They go
    first: of a model that is hidden nobody would find them.
    """
    place = local_folder(model.location)
    if place is not None:
        remove_model(place)
    else:
        with suppress(MlflowException, requests.RequestException):  # a store that cannot delete
            get_artifact_repository(model.location, client.tracking_uri).delete_artifacts()
    client.delete_logged_model(model.model_id)


def artifact_folder(store: TrackingStore, experiment: str) -> Path | None:
    """Where MLflow keeps the files of an experiment, or `None` if that is not on this machine."""
    location = None if store.is_server else store.artifact_location(experiment)
    return None if location is None else local_folder(location)
