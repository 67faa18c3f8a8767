"""An enrolled writer is forgotten: no descriptor of hers stays in the register, in an earlier
version of it, or in an index.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from core.errors import RegistryError
from core.retrieval.descriptor_index import DescriptorIndex
from core.retrieval.known_hands import PagesByInk
from search.identification.enrolment import Say
from search.identification.identifier_folder import read_record
from search.identification.kept_register import keep_register, load_register, read_register
from search.identification.page_index import is_index
from search.tracking.aliases import promotion_lock
from search.tracking.enrolled_versions import EnrolledVersion, delete_register, find_enrolled, registers_of
from search.tracking.registry import RegisteredVersion, champion, download_model
from search.tracking.store import TrackingStore


def forget(store: TrackingStore, name: str, writer_id: str, indexes: Path, say: Say) -> int:
    """Delete all descriptors of an enrolled writer: from the register, from every earlier version
    of it, and from indexes of folders that hold one of the pages.

    Args:
        store: an open store.
        name: of the registered model.
        writer_id: who.
        indexes: where indexes of searched folders are kept; they are made again when needed.
        say: told that another command is waited for.

    Returns:
        How many earlier versions of the register were deleted.

    Raises:
        RegistryError: if nobody of that name is enrolled, in no version.
        TrackingError: if the store cannot be written.
    """
    with promotion_lock(store, name, say):
        best = champion(store, name)
        kept = {model_id: load_register(folder) for model_id, folder in registers_of(store, name, best)}
        holding = {model_id: register for model_id, register in kept.items() if writer_id in register.writer_ids}
        if not holding:
            raise RegistryError(_why_not_forgotten(store, best, writer_id))
        current = find_enrolled(store, name)
        if current is not None and current.version.model_id in holding:
            _replace(store, current, writer_id)
        for model_id in holding:
            delete_register(store, name, model_id)
        pages = {page.page for register in holding.values() for page in register.pages_of(writer_id)}
        _drop_indexes(indexes, writer_id, pages)
        return len(holding)


def _replace(store: TrackingStore, current: EnrolledVersion, writer_id: str) -> None:
    """Leave a writer out of the register, whichever champion it is of."""
    folder = download_model(store, current.version.location)
    register = load_register(folder).without([writer_id])
    best = replace(current.version, version=current.champion)
    keep_register(store, best, folder, register)


def _why_not_forgotten(store: TrackingStore, best: RegisteredVersion, writer_id: str) -> str:
    trained = read_record(download_model(store, best.location)).writer_ids
    if writer_id in trained:
        return (
            f"Enrolled writers can be forgotten, but {writer_id} was trained into the network of {best.name!r}. Leave "
            "this writer out of the corpus (`writers: {exclude: [...]}`), sweep, and promote again."
        )
    found = find_enrolled(store, best.name)
    known = ", ".join(read_register(store, found).writer_ids) if found else "nobody"
    return f"Nobody called {writer_id!r} is enrolled with {best.name!r}, in no version; enrolled: {known}."


def _drop_indexes(indexes: Path, writer_id: str, pages: set[str]) -> None:
    """Delete the indexes of folders that hold one of the pages, and kept calibration pages that
    hold the writer; both are made again.
    """
    for place in sorted(indexes.iterdir()) if indexes.is_dir() else ():
        if is_index(place) and any(page.page_id in pages for page in DescriptorIndex.open(place).pages):
            shutil.rmtree(place)
        elif place.suffix == ".npz" and writer_id in PagesByInk.load(place).writers:
            place.unlink()
