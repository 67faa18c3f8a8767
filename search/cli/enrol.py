"""`whosehand enrol`, `forget`, `writers`: whom the champion can name besides those that it was
trained on.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import RegistryError
from core.wording import counted
from search.cli.asked_model import warn_outdated
from search.cli.common import (
    StoreOption,
    current_workspace,
    labelled,
    notes,
    output,
    print_note,
    print_table,
    print_warning,
    progress_bar,
)

if TYPE_CHECKING:
    from search.identification.enrolment import Enrolment
    from search.tracking.store import TrackingStore

NameOption = Annotated[
    str | None, typer.Option("--model", help="Name in the registry.", show_default="the only one registered")
]


def enrol(
    pages: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PAGE...|FOLDER",
            help="Pages by one writer (--writer), or a folder whose writers are known: a folder for each, or the "
            "layout of a known corpus. Without any, everybody is enrolled again with the present champion.",
            show_default=False,
        ),
    ] = None,
    writer: Annotated[str | None, typer.Option(metavar="NAME", help="Who wrote all of these pages.")] = None,
    model: NameOption = None,
    uri: StoreOption = None,
) -> None:
    """Add writers to those that the champion can name, from one page each, without training.

    `identify` then answers over trained and enrolled writers together, and so does a server of
    `models:/NAME@enrolled`. Descriptors are kept, and where the pages lie, so that a new champion
    can enrol them again; the pages themselves are not.
    """
    from search.identification.enrolment import enrol as enrol_pages

    files_of = _files_of(pages or [], writer)
    store, name = _find(model, uri)
    with progress_bar("describing pages") as advance:
        result = enrol_pages(store, name, files_of, print_note, advance)
    for writer_id, n_pages in result.n_pages.items():
        output.print(f"enrolled: {writer_id}, {counted(n_pages, 'page')}")
    print_enrolment(result, name)
    if not files_of and result.version is None and not result.gone:
        output.print("everybody is enrolled with the present champion already")
    for image in result.unreadable:
        notes.print(labelled("skipped", image.reason, "yellow"))
    raise typer.Exit(2 if result.unreadable else 0)


def forget(
    writer: Annotated[str, typer.Argument(metavar="NAME", help="An enrolled writer.", show_default=False)],
    model: NameOption = None,
    uri: StoreOption = None,
) -> None:
    """Delete all descriptors of an enrolled writer, also from earlier versions of the register.

    Versions of the register that hold the writer are deleted with their files, and indexes in
    data/indexes that hold one of the pages, too; these are made again when they are needed. Pages
    stay where they are. Copies elsewhere are yours: a server that runs keeps what it was started
    with, and so does an index of your own (`index --out`).
    """
    from search.identification.forgetting import forget as forget_writer

    store, name = _find(model, uri)
    n_versions = forget_writer(store, name, writer, current_workspace().indexes, print_note)
    output.print(f"forgotten: {writer}; {counted(n_versions, 'version')} of the register deleted")


def writers(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    model: NameOption = None,
    uri: StoreOption = None,
) -> None:
    """List whom the champion can name: trained and enrolled writers, their pages, ink and origin.

    Ink is counted in patches that show different places, 64 a page at the most.
    """
    from search.identification.known_writers import answering_model, list_writers
    from search.tracking.registry import champion

    store, name = _find(model, uri)
    best, known = champion(store, name), list_writers(store, name)
    outdated = answering_model(store, best).outdated
    if as_json:
        rows = [
            {
                "writer_id": each.writer_id,
                "kind": each.kind,
                "n_pages": each.n_pages,
                "n_patches": each.n_patches,
                "since": _utc(each.since_ms),
                "origin": each.origin,
            }
            for each in known
        ]
        content = {"model": name, "version": best.version, "writers": rows, "not_carried_over": list(outdated)}
        output.print_json(json.dumps(content))
    else:
        cells = [
            (each.writer_id, each.kind, each.origin, _utc(each.since_ms)[:10], str(each.n_pages), f"{each.n_patches:,}")
            for each in known
        ]
        header = ("writer", "how", "from", "since (UTC)", "pages", "ink, patches")
        print_table(header, cells, n_text_columns=4, path_column=2)
        output.print(f"model: {name} version {best.version}")
    warn_outdated(outdated)


def carry_over_to(store: "TrackingStore", name: str) -> None:
    """Enrol everybody with a new champion, and say how it went; what fails is a warning."""
    from search.identification.enrolment import carry_over

    try:
        with progress_bar("enrolling writers again") as advance:
            result = carry_over(store, name, print_note, advance)
    except RegistryError as error:
        print_warning(f"enrolled writers are not known to the new champion: {error}")
        return
    if result is not None:
        print_enrolment(result, name)


def print_enrolment(result: "Enrolment", name: str) -> None:
    """What a new champion could not enrol again, and which version holds the register."""
    for image in result.gone:
        notes.print(labelled("not enrolled again", image.reason, "yellow"))
    if result.gone_writers:
        print_warning(f"no longer enrolled, for want of pages: {', '.join(result.gone_writers)}")
    if result.version is not None:
        output.print(f"register: version {result.version.version} of {name}")


def _files_of(pages: Sequence[Path], writer: str | None) -> Mapping[str, Sequence[Path]]:
    from core.corpora.image_walk import expand_folders
    from search.identification.enrolment import files_by_writer

    if writer is not None:
        if not pages:
            raise RegistryError(f"Which pages did {writer} write? `whosehand enrol --writer NAME PAGE...`.")
        return {writer: expand_folders(pages)}
    if not pages:
        return {}
    if len(pages) > 1 or not pages[0].is_dir():
        raise RegistryError(
            "Who wrote these pages? Say --writer NAME, or give one folder with a folder for each writer inside."
        )
    return files_by_writer(pages[0])


def _find(model: str | None, uri: str | None) -> "tuple[TrackingStore, str]":
    from search.sweep.known_sweeps import project_tracking
    from search.tracking.registry import only_name
    from search.tracking.store import open_store

    workspace = current_workspace()
    store = open_store(project_tracking(workspace, uri), workspace.root)
    return store, model or only_name(store)


def _utc(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
