"""The model that a command asks: how the user names it, and what is found."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.wording import counted
from search.cli.common import current_workspace, notes, print_warning

if TYPE_CHECKING:
    from search.identification.page_reader import PageReader

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Registered name (its champion), models:/NAME/VERSION, runs:/RUN_ID or a model's folder.",
        show_default="the only one registered",
    ),
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Run the code in the model's folder. Only for folders whose maker you trust.")
]


@dataclass(frozen=True)
class AskedModel:
    """The model that answers.

    Attributes:
        folder: of its files.
        title: what to call it.
        is_champion: whether it was asked for as champion.
        runs_own_code: whether the code among its files is run.
    """

    folder: Path
    title: str
    is_champion: bool
    runs_own_code: bool


def find_asked_model(model: str | None, uri: str | None, trust: bool, with_enrolled: bool = False) -> AskedModel:
    """The model that --model, --uri and --trust name; without a name, the only champion.

    Args:
        model: as --model names it.
        uri: of the store, if not the project's.
        trust: whether any folder's code is run.
        with_enrolled: whether a champion brings the writers who were enrolled.

    Raises:
        RegistryError: if there is no such model.
        TrackingError: if the store cannot be read.
    """
    if model is not None and Path(model).is_dir():  # needs no store, and makes none
        return AskedModel(Path(model), model, is_champion=False, runs_own_code=trust)
    from search.identification.identifier_folder import is_as_promoted
    from search.sweep.known_sweeps import project_tracking
    from search.tracking.registry import CHAMPION, CHECKSUM_TAG, find_model, only_name
    from search.tracking.store import open_store

    workspace = current_workspace()
    store = open_store(project_tracking(workspace, uri), workspace.root)
    is_named = model is None or ":/" not in model
    found = find_model(store, f"models:/{model or only_name(store)}@{CHAMPION}" if is_named else str(model))
    version = found.version
    if with_enrolled and is_named and version is not None:
        from search.identification.known_writers import answering_model

        answering = answering_model(store, version)
        title = f"{version.name} version {version.version}"
        if answering.n_enrolled:
            return AskedModel(answering.folder, title, is_named, trust or answering.runs_own_code)
        warn_outdated(answering.outdated)
    checksum = version.tags.get(CHECKSUM_TAG) if version else None
    runs_own_code = trust or is_as_promoted(found.folder, checksum)
    if version is not None and checksum is not None and not runs_own_code:
        print_warning(
            f"its files are not those that were promoted as version {version.version} of {version.name}: the code "
            f"among them is not run ({found.folder})"
        )
    title = f"{version.name} version {version.version}" if is_named and version else str(model)
    return AskedModel(found.folder, title, is_named, runs_own_code)


def load_reader(model: AskedModel) -> "PageReader":
    """What describes pages by the model's network."""
    from search.identification.page_reader import PageReader

    with notes.status("loading the model"):
        return PageReader.load(model.folder, runs_own_code=model.runs_own_code)


def warn_outdated(outdated: Sequence[str]) -> None:
    """Say that enrolled writers are unknown to the present champion."""
    if outdated:
        print_warning(
            f"{counted(len(outdated), 'writer')} enrolled with another champion: `whosehand enrol` enrols them again "
            "from their pages"
        )
