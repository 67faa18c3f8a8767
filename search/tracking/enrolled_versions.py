"""The register of hands in the model registry: each state of it is a version of the champion's
model.

A version holds the champion's files and the register beside them, so that whoever serves
`models:/NAME@enrolled` serves the enrolled writers, too, and MLflow counts the states, says when
each was made, and brings it to every machine that reaches the server. Tags of the champion's
version would not do: they hold 5,000 characters, and a model that is served reads none. Artifacts
of its run would not either: a version is what is served. Promoted versions stay as they are.

A version is never changed, so somebody who is to be forgotten is forgotten by deleting the versions
that hold her, with their files.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from core.errors import RegistryError
from search.tracking.models import READY, KnownModel, delete_model, search_models, upload_model
from search.tracking.registry import (
    CHECKSUM_TAG,
    ENROLLED,
    PROMOTION_DONE,
    PROMOTION_TAG,
    RegisteredVersion,
    download_model,
    find_alias,
    forget_download,
    register_version,
    versions_of,
)
from search.tracking.store import TrackingStore, tracking_errors

CHAMPION_TAG = "enrolled_with"
"""The tag of a version with a register: the champion whose files it holds."""
_KIND, _NAME = "kind", "register_of"
_REGISTER = "register of hands"


@dataclass(frozen=True)
class EnrolledVersion:
    """A state of the register.

    Attributes:
        version: in the registry.
        champion: the number of the version whose files it holds.
    """

    version: RegisteredVersion
    champion: int


def find_enrolled(store: TrackingStore, name: str) -> EnrolledVersion | None:
    """The latest state of the register, whichever champion it is of; `None` if nobody is enrolled.

    Raises:
        TrackingError: if the store cannot be read.
    """
    found = find_alias(store, name, ENROLLED)
    return None if found is None else EnrolledVersion(found, int(found.tags[CHAMPION_TAG]))


def add_enrolled(
    store: TrackingStore, champion: RegisteredVersion, folder: Path, checksum: str | None, description: str
) -> RegisteredVersion:
    """Register a state of the register, and let the alias `enrolled` point to it.

    Args:
        store: an open store.
        champion: whose files the folder holds.
        folder: a model with a register.
        checksum: of the folder's files; `None` where the champion's are not those that were
            promoted, so that the code among them is not run.
        description: of the version.

    Raises:
        TrackingError: if the store cannot be written.
    """
    client = store.client()
    with tracking_errors(f"keep the register of {champion.name!r}", store):
        experiment = client.get_logged_model(champion.model_id).experiment_id
        tags = {_KIND: _REGISTER, _NAME: champion.name}
        created = client.create_logged_model(
            experiment, name=f"{champion.name}-register", source_run_id=champion.run_id or None, tags=tags
        )
        upload_model(client, KnownModel.of(created), folder)
        client.finalize_logged_model(created.model_id, READY)
        version = register_version(
            store,
            champion.name,
            created.model_id,
            {
                CHAMPION_TAG: champion.version,
                PROMOTION_TAG: PROMOTION_DONE,
                **({} if checksum is None else {CHECKSUM_TAG: checksum}),
            },
            description,
        )
        client.set_registered_model_alias(champion.name, ENROLLED, str(version.version))
    return version


def drop_alias(store: TrackingStore, name: str) -> None:
    """Let nobody be enrolled: the versions stay."""
    with tracking_errors(f"empty the register of {name!r}", store), suppress(MlflowException):
        store.client().delete_registered_model_alias(name, ENROLLED)


def registers_of(store: TrackingStore, name: str, experiment_of: RegisteredVersion) -> Iterator[tuple[str, Path]]:
    """All states of the register that are kept, also those that no version points to because a
    command was killed.

    Args:
        store: an open store.
        name: of the registered model.
        experiment_of: any of its versions.

    Yields:
        MLflow's id of the model, and its folder on this machine.
    """
    client = store.client()
    with tracking_errors(f"look for registers of {name!r}", store):
        experiments = {client.get_logged_model(experiment_of.model_id).experiment_id}
        for version in versions_of(store, name):
            if CHAMPION_TAG in version.tags:
                experiments.add(client.get_logged_model(version.model_id).experiment_id)
        models = [
            model
            for experiment in sorted(experiments)
            for model in search_models(client, experiment, {_KIND: _REGISTER})
            if model.tags.get(_NAME) == name
        ]
    for model in models:
        with suppress(RegistryError):  # its files are gone
            yield model.model_id, download_model(store, model.artifact_location)


def delete_register(store: TrackingStore, name: str, model_id: str) -> None:
    """Delete a state of the register: its version, its files, here and on the server.

    Raises:
        TrackingError: if the store cannot be written.
    """
    client = store.client()
    with tracking_errors(f"delete a register of {name!r}", store):
        for version in versions_of(store, name):
            if version.model_id == model_id:
                client.delete_model_version(name, str(version.version))
        model = client.get_logged_model(model_id)
        forget_download(store, model.artifact_location)
        delete_model(client, KnownModel.of(model))
