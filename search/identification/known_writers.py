"""Whom a champion can name: the writers that it was trained on, and those who were enrolled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.retrieval.register import Register
from search.identification.identifier_folder import is_as_promoted, read_record
from search.identification.kept_register import load_hands, read_register
from search.tracking.enrolled_versions import find_enrolled
from search.tracking.registry import CHECKSUM_TAG, RegisteredVersion, champion, download_model
from search.tracking.store import TrackingStore


@dataclass(frozen=True)
class KnownWriter:
    """Somebody whom the champion can name.

    Attributes:
        writer_id: who.
        kind: `trained` into the network, or `enrolled` afterwards.
        n_pages: that the descriptor is made of.
        n_patches: how much ink these have: patches that are not the same place.
        since_ms: when the model was registered, or the last page enrolled; Unix time.
        origin: the corpus, or the folders of the pages.
    """

    writer_id: str
    kind: Literal["trained", "enrolled"]
    n_pages: int
    n_patches: int
    since_ms: int
    origin: str


@dataclass(frozen=True)
class AnsweringModel:
    """The champion with the enrolled writers, if any.

    Attributes:
        champion: the version.
        folder: of the files that answer.
        runs_own_code: whether they are those that were registered.
        n_enrolled: writers who were enrolled.
        outdated: enrolled writers of another champion, who are not known to this one.
    """

    champion: RegisteredVersion
    folder: Path
    runs_own_code: bool
    n_enrolled: int = 0
    outdated: tuple[str, ...] = ()


def answering_model(store: TrackingStore, version: RegisteredVersion) -> AnsweringModel:
    """What answers for a champion: its own files, or the same with the register beside them.

    Raises:
        RegistryError: if files are gone.
        TrackingError: if the store cannot be read.
    """
    found = find_enrolled(store, version.name)
    if found is None or found.champion != version.version:
        folder = download_model(store, version.location)
        own_code = is_as_promoted(folder, version.tags.get(CHECKSUM_TAG))
        outdated = () if found is None else read_register(store, found).writer_ids
        return AnsweringModel(version, folder, own_code, outdated=outdated)
    folder = download_model(store, found.version.location)
    own_code = is_as_promoted(folder, found.version.tags.get(CHECKSUM_TAG))
    return AnsweringModel(version, folder, own_code, len(read_register(store, found).writer_ids))


def list_writers(store: TrackingStore, name: str) -> list[KnownWriter]:
    """Everybody whom the champion can name: trained writers, then enrolled ones.

    Raises:
        RegistryError: if there is no champion.
        TrackingError: if the store cannot be read.
    """
    best = champion(store, name)
    folder = download_model(store, best.location)
    record, hands = read_record(folder), load_hands(folder)
    trained = [
        KnownWriter(
            writer_id,
            "trained",
            int(hands.n_pages[number]) if hands else 0,
            int(hands.n_patches[number]) if hands else 0,
            best.created_ms,
            record.corpus,
        )
        for number, writer_id in enumerate(record.writer_ids)
    ]
    found = find_enrolled(store, name)
    return [*trained, *(_enrolled(read_register(store, found)) if found and found.champion == best.version else [])]


def _enrolled(register: Register) -> list[KnownWriter]:
    writers = []
    for writer_id in register.writer_ids:
        pages = register.pages_of(writer_id)
        folders = dict.fromkeys(str(Path(page.page).parent) for page in pages)
        writers.append(
            KnownWriter(
                writer_id,
                "enrolled",
                len(pages),
                sum(page.n_patches for page in pages),
                max(page.enrolled_ms for page in pages),
                ", ".join(folders),
            )
        )
    return writers
