"""The model registry: versions, found by name, alias or address.

A version is registered once and never changed; aliases move (`search.tracking.aliases`).
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from core.errors import RegistryError
from search.tracking.models import local_folder
from search.tracking.store import TrackingStore, all_pages, tracking_errors

CHAMPION = "champion"
PREVIOUS = "previous"
CHALLENGER = "challenger"
ENROLLED = "enrolled"
"""The alias of the champion with the writers who were enrolled (`enrolled_versions`)."""
CHECKSUM_TAG = "files_sha256"
"""The tag of a version with the checksum of its files at its promotion; only such files may run
their code.
"""
PROMOTION_TAG, PROMOTION_DONE = "promotion", "done"
"""The tag of a version that says how far its promotion is; any other value is one that runs, or was
interrupted.
"""


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model.

    Attributes:
        name: of the registered model.
        version: counted from 1.
        model_id: MLflow's id of the logged model that it is.
        location: where its files are.
        run_id: the run that trained it.
        aliases: such as `champion`.
        tags: lineage and scores.
        description: Markdown, shown in the registry.
        created_ms: when it was registered, Unix time.
    """

    name: str
    version: int
    model_id: str
    location: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    description: str = ""
    created_ms: int = 0

    @property
    def uri(self) -> str:
        """MLflow's address of exactly this version."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class FoundModel:
    """A model that somebody asked for.

    Attributes:
        folder: of its files, on this machine.
        version: that it is; `None` for a model that is not registered.
    """

    folder: Path
    version: RegisteredVersion | None = None


def register_version(
    store: TrackingStore, name: str, model_id: str, tags: Mapping[str, str | int | float], description: str = ""
) -> RegisteredVersion:
    """Register a logged model as the next version of `name`, which is made if it is new. No alias
    moves.

    A model that is a version already is not registered again; that version gets the tags instead,
    so that an interrupted promotion can be repeated.

    Raises:
        RegistryError: if there is no such logged model, or it was never finished.
        TrackingError: if the store cannot be written.
    """
    client = store.client()
    with tracking_errors(f"register model {name!r}", store):
        try:
            model = client.get_logged_model(model_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise RegistryError(f"A version is made of a logged model, but there is no {model_id!r}.") from error
        if str(model.status) != "READY":
            raise RegistryError(f"A version is made of a finished model, but {model_id} is {model.status}.")
        _create_registered_model(client, name)
        texts = _texts(tags)
        source = f"models:/{model_id}"
        for version in _all_versions(client, name):
            if version.source == source:
                for key, text in texts.items():
                    client.set_model_version_tag(name, version.version, key, text)
                return _described(client, client.get_model_version(name, version.version))
        version = client.create_model_version(
            name, source, run_id=model.source_run_id, tags=texts, description=description, model_id=model_id
        )
        return _described(client, version)


def champion(store: TrackingStore, name: str) -> RegisteredVersion:
    """The version that carries the alias `champion`.

    Raises:
        RegistryError: if there is no such model, or it has no champion yet.
        TrackingError: if the store cannot be read.
    """
    found = find_alias(store, name, CHAMPION)
    if found is not None:
        return found
    names = registered_names(store)
    if name in names:
        raise RegistryError(f"The model {name!r} has no champion yet; run `whosehand promote` on its sweep.")
    known = f"there are only {', '.join(map(repr, names))}" if names else "the registry is empty"
    raise RegistryError(f"No registered model is called {name!r}, {known}; `whosehand promote` on a sweep makes one.")


def find_alias(store: TrackingStore, name: str, alias: str) -> RegisteredVersion | None:
    """The version that carries an alias, or `None`."""
    client = store.client()
    with tracking_errors(f"look up the {alias} of {name!r}", store):
        try:
            return _described(client, client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            # An unknown model is RESOURCE_DOES_NOT_EXIST, an unknown alias of a known one
            # INVALID_PARAMETER_VALUE.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def find_version(store: TrackingStore, name: str, version: int) -> RegisteredVersion | None:
    """A version by its number, or `None`."""
    client = store.client()
    with tracking_errors(f"look up version {version} of {name!r}", store):
        found = _version(client, name, version)
        return None if found is None else _described(client, found)


def versions_of(store: TrackingStore, name: str) -> tuple[RegisteredVersion, ...]:
    """All versions of a registered model, the first one first; none if there is no such model."""
    client = store.client()
    with tracking_errors(f"list the versions of {name!r}", store):
        numbers = sorted(int(version.version) for version in _all_versions(client, name))
        # A search gives versions without their aliases.
        return tuple(_described(client, client.get_model_version(name, str(number))) for number in numbers)


def describe_version(
    store: TrackingStore, name: str, version: int, tags: Mapping[str, str | int | float], description: str | None = None
) -> None:
    """Set tags of a version, and its description where one is given.

    Raises:
        TrackingError: if the store cannot be written.
    """
    client = store.client()
    with tracking_errors(f"describe version {version} of {name!r}", store):
        for key, text in _texts(tags).items():
            client.set_model_version_tag(name, str(version), key, text)
        if description is not None:
            client.update_model_version(name, str(version), description)


def registered_names(store: TrackingStore) -> tuple[str, ...]:
    """The registered models, in the order of their names."""
    with tracking_errors("list the registered models", store):
        client = store.client()
        found = all_pages(lambda token: client.search_registered_models(page_token=token))
        return tuple(sorted(model.name for model in found))


def unfinished_promotions(store: TrackingStore) -> tuple[RegisteredVersion, ...]:
    """Versions whose promotion was interrupted, or runs at this moment; without their aliases.

    Raises:
        TrackingError: if the store cannot be read.
    """
    client, condition = store.client(), f"tags.{PROMOTION_TAG} != '{PROMOTION_DONE}'"
    with tracking_errors("look for unfinished promotions", store):
        found = all_pages(lambda token: client.search_model_versions(condition, page_token=token))
        return tuple(_described(client, version) for version in found)


def only_name(store: TrackingStore) -> str:
    """The name of the only registered model.

    Raises:
        RegistryError: if there is none, or several.
        TrackingError: if the store cannot be read.
    """
    names = registered_names(store)
    if len(names) == 1:
        return names[0]
    if not names:
        where = store.uri
        raise RegistryError(f"No model is registered in {where} yet; `whosehand promote SWEEP` registers one.")
    raise RegistryError(f"Which model? Say --model with one of {', '.join(names)}.")


def find_model(store: TrackingStore, reference: str) -> FoundModel:
    """A model, however it is named.

    Args:
        store: where the model is known.
        reference: a folder; `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `models:/m-ID`;
            `runs:/RUN_ID` for the model of a run.

    Raises:
        RegistryError: if there is no such model, or its files are gone.
        TrackingError: if the store cannot be read.
    """
    if Path(reference).is_dir():
        return FoundModel(Path(reference))
    kind, _, rest = reference.partition(":/")
    if kind not in ("models", "runs") or not rest:
        raise RegistryError(
            "A model is a folder, models:/NAME@champion, models:/NAME/VERSION or runs:/RUN_ID, "
            f"but got {reference!r}; there is no such folder."
        )
    if kind == "models" and ("@" in rest or "/" in rest):
        version = _registered(store, reference, rest)
        return FoundModel(download_model(store, version.location), version)
    client = store.client()
    with tracking_errors(f"look up {reference}", store):
        try:
            return FoundModel(download_model(store, _location(client, kind, rest)))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise RegistryError(f"There is no model {reference} in {store.uri}.") from error


def download_model(store: TrackingStore, location: str) -> Path:
    """A local folder with a model's files; the files themselves where they are local already.

    Files that a server keeps are fetched once through MLflow, into a folder of this user's for
    temporary files.

    Args:
        store: where `location` is known.
        location: a registered version's `location`, or any artifact address.

    Raises:
        RegistryError: if the files are gone.
        TrackingError: if they cannot be fetched.
    """
    local = local_folder(location)
    if local is None:
        return _fetch(store, location)
    if local.is_dir():
        return local
    raise RegistryError(f"The model's files should be in {local}, but that folder is gone. Was the project moved?")


def _fetch(store: TrackingStore, location: str) -> Path:
    around = _fetched_folder()
    around.mkdir(mode=0o700, exist_ok=True)
    if around.stat().st_uid != os.getuid():
        raise RegistryError(f"Fetched models are kept in {around}, but that folder is another user's. Set TMPDIR.")
    place = _fetched_place(store, location)
    if place.is_dir():
        return place
    with (
        tracking_errors("fetch the model", store),
        tempfile.TemporaryDirectory(prefix=".fetching-", dir=around) as aside,
    ):
        found = mlflow.artifacts.download_artifacts(
            artifact_uri=location, tracking_uri=store.revealed_uri, dst_path=aside
        )
        with suppress(OSError):  # another process was faster
            Path(found).rename(place)
    return place


def forget_download(store: TrackingStore, location: str) -> None:
    """Delete the copy of a model's files that was fetched from a server, if there is one."""
    shutil.rmtree(_fetched_place(store, location), ignore_errors=True)


def _fetched_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"whosehand-models-{os.getuid()}"


def _fetched_place(store: TrackingStore, location: str) -> Path:
    return _fetched_folder() / hashlib.sha256(f"{store.uri} {location}".encode()).hexdigest()[:16]


def _texts(tags: Mapping[str, str | int | float]) -> dict[str, str]:
    return {key: f"{value:.6g}" if isinstance(value, float) else str(value) for key, value in tags.items()}


def _create_registered_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _registered(store: TrackingStore, reference: str, rest: str) -> RegisteredVersion:
    """The version that `NAME@ALIAS` or `NAME/VERSION` names."""
    if "@" in rest:
        name, _, alias = rest.rpartition("@")
        found = champion(store, name) if alias == CHAMPION else find_alias(store, name, alias)
        if found is None:
            raise RegistryError(f"The model {name!r} has no version with the alias {alias!r}.")
        return found
    name, _, number = rest.rpartition("/")
    found = find_version(store, name, int(number)) if number.isdigit() else None
    if found is None:
        raise RegistryError(f"There is no model {reference} in {store.uri}.")
    return found


def _location(client: MlflowClient, kind: str, rest: str) -> str:
    if kind == "runs":
        outputs = client.get_run(rest.split("/", 1)[0]).outputs
        model_ids = [output.model_id for output in outputs.model_outputs] if outputs else []
        if not model_ids:
            raise RegistryError(f"The run {rest} has no model: only completed trials keep one.")
        return str(client.get_logged_model(model_ids[-1]).artifact_location)
    return str(client.get_logged_model(rest).artifact_location)


def _all_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    condition = f"name = '{name}'"
    return all_pages(lambda token: client.search_model_versions(condition, page_token=token))


def _version(client: MlflowClient, name: str, version: int) -> ModelVersion | None:
    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _described(client: MlflowClient, version: ModelVersion) -> RegisteredVersion:
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        model_id=version.source.removeprefix("models:/"),
        location=client.get_model_version_download_uri(version.name, version.version),
        run_id=version.run_id or "",
        aliases=tuple(version.aliases),
        tags=dict(version.tags),
        description=version.description or "",
        created_ms=int(version.creation_timestamp),
    )
