"""The register of hands as it lies in a model's folder, and how a new state of it is kept."""

import shutil
import tempfile
from pathlib import Path

from core.retrieval.known_hands import HANDS_FILE, Hands
from core.retrieval.register import REGISTER_FILE, Register
from search.identification.identifier_folder import ARTIFACTS, folder_checksum, is_as_promoted
from search.tracking.enrolled_versions import EnrolledVersion, add_enrolled, drop_alias
from search.tracking.registry import CHECKSUM_TAG, RegisteredVersion, download_model
from search.tracking.store import TrackingStore

_MOST_CHARACTERS = 4000  # of a description; MLflow's database has room for 5,000


def read_register(store: TrackingStore, found: EnrolledVersion) -> Register:
    """A state of the register.

    Raises:
        RegistryError: if its files are gone or damaged.
    """
    return load_register(download_model(store, found.version.location))


def load_register(folder: Path) -> Register:
    """The register in a model's folder.

    Raises:
        RegistryError: if there is none, or it is damaged.
    """
    return Register.load(folder / ARTIFACTS / REGISTER_FILE)


def load_hands(folder: Path) -> Hands | None:
    """What a model takes along to compare hands by; `None` if nothing.

    Raises:
        RegistryError: if it is damaged.
    """
    path = folder / ARTIFACTS / HANDS_FILE
    return Hands.load(path) if path.is_file() else None


def keep_register(
    store: TrackingStore, best: RegisteredVersion, folder: Path, register: Register
) -> RegisteredVersion | None:
    """Make a state of the register the one that counts; without writers there is none.

    Args:
        store: an open store.
        best: the champion.
        folder: of its files, or of the same files with another register.
        register: the new state.

    Raises:
        TrackingError: if the store cannot be written.
    """
    if not register.pages:
        drop_alias(store, best.name)
        return None
    with tempfile.TemporaryDirectory(prefix="whosehand-register-") as around:
        model = Path(around) / "model"
        shutil.copytree(folder, model, ignore=shutil.ignore_patterns("__pycache__", REGISTER_FILE))
        register.save(model / ARTIFACTS / REGISTER_FILE)
        names = ", ".join(register.writer_ids)
        description = f"Version {best.version}, and {len(register.writer_ids)} enrolled: {names}"[:_MOST_CHARACTERS]
        is_trusted = is_as_promoted(folder, best.tags.get(CHECKSUM_TAG))
        return add_enrolled(store, best, model, folder_checksum(model) if is_trusted else None, description)
