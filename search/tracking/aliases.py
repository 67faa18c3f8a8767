"""The aliases of a registered model: who is champion, who was, who wants to be; and when that changed.

    champion      answers `whosehand identify` and everyone who serves `models:/NAME@champion`
    previous      was champion before; `whosehand rollback` makes the two change places
    challenger    the latest that did not pass the gate

A reader looks up one alias, which MLflow moves in one transaction: there is a champion at every moment, the old one or
the new one. Writers hold a lock and look again before they write, so that of two promotions at once the second is
judged against the first.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import RegistryError
from search.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    RegisteredVersion,
    describe_version,
    find_alias,
    find_version,
    versions_of,
)
from search.tracking.store import TrackingStore, tracking_errors

_LOCK_TIMEOUT_S = 60.0
_HISTORY_TAG = "history"
_SEPARATOR = "; "


class ChampionMovedError(RegistryError):
    """Another promotion has moved the champion meanwhile."""


@dataclass(frozen=True)
class HistoryEntry:
    """Something that happened to a version.

    Attributes:
        at: UTC, to the second, as ISO 8601.
        version: its number.
        event: `champion`, `challenger`, `previous` or `champion again (rollback)`.
        version_tags: of the version, such as scores and the gate's reasons.
    """

    at: str
    version: int
    event: str
    version_tags: tuple[tuple[str, str], ...]


def set_champion(store: TrackingStore, name: str, version: int, instead_of: int | None) -> RegisteredVersion | None:
    """Make a version the champion; the former one becomes `previous`.

    Args:
        store: an open store.
        name: of the registered model.
        version: the new champion.
        instead_of: the champion that it was judged against; `None` if there was none.

    Returns:
        The former champion, or `None` if there was none or it is the same version.

    Raises:
        ChampionMovedError: if the champion is another one by now.
        RegistryError: if there is no such version, or another process holds the lock for a minute.
        TrackingError: if the store cannot be written.
    """
    if find_version(store, name, version) is None:
        raise RegistryError(f"The champion must be a registered version, but {name!r} has no version {version}.")
    with _alias_lock(store, name):
        former = find_alias(store, name, CHAMPION)
        if former is not None and former.version == version:
            return None
        if (former.version if former else None) != instead_of:
            raise ChampionMovedError(
                f"Version {version} of {name!r} was judged against "
                f"{'no champion' if instead_of is None else f'version {instead_of}'}, but meanwhile "
                f"{'there is none' if former is None else f'version {former.version}'} became champion."
            )
        _move(store, name, version, former, "champion")
        challenger = find_alias(store, name, CHALLENGER)
        if challenger is not None and challenger.version == version:
            with tracking_errors(f"take an alias from version {version} of {name!r}", store):
                store.client().delete_registered_model_alias(name, CHALLENGER)
        return former


def challenge(store: TrackingStore, name: str, version: int) -> None:
    """Make a version the challenger, which did not pass the gate.

    Raises:
        RegistryError: if another process holds the lock for a minute.
        TrackingError: if the store cannot be written.
    """
    with _alias_lock(store, name):
        _set_alias(store, name, CHALLENGER, version)
        _remember(store, name, version, "challenger")


def restore_previous(store: TrackingStore, name: str) -> tuple[RegisteredVersion, RegisteredVersion | None]:
    """Make the former champion the champion again; the two change places.

    Returns:
        The champion now, and the one that was.

    Raises:
        RegistryError: if there is no former champion.
        TrackingError: if the store cannot be written.
    """
    with _alias_lock(store, name):
        previous, former = find_alias(store, name, PREVIOUS), find_alias(store, name, CHAMPION)
        if previous is None:
            raise RegistryError(f"{name!r} has no former champion to go back to.")
        _move(store, name, previous.version, former, "champion again (rollback)")
        return previous, former


def history(store: TrackingStore, name: str) -> tuple[HistoryEntry, ...]:
    """Everything that happened to the versions of a model, the first first.

    Raises:
        RegistryError: if there is no such model.
        TrackingError: if the store cannot be read.
    """
    versions = versions_of(store, name)
    if not versions:
        raise RegistryError(f"No model is registered under {name!r}; `whosehand promote` registers one.")
    entries = [
        HistoryEntry(entry.split(" ", 1)[0], version.version, entry.split(" ", 1)[1], tuple(version.tags.items()))
        for version in versions
        for entry in version.tags.get(_HISTORY_TAG, "").split(_SEPARATOR)
        if " " in entry
    ]
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _move(store: TrackingStore, name: str, version: int, former: RegisteredVersion | None, event: str) -> None:
    # `previous` first: a crash between the two leaves a champion in place.
    if former is not None:
        _set_alias(store, name, PREVIOUS, former.version)
    _set_alias(store, name, CHAMPION, version)
    if former is not None:
        _remember(store, name, former.version, "previous")
    _remember(store, name, version, event)


def _set_alias(store: TrackingStore, name: str, alias: str, version: int) -> None:
    with tracking_errors(f"make version {version} of {name!r} the {alias}", store):
        store.client().set_registered_model_alias(name, alias, str(version))


def _remember(store: TrackingStore, name: str, version: int, event: str) -> None:
    found = find_version(store, name, version)
    before = found.tags.get(_HISTORY_TAG, "") if found else ""
    entry = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {event}"
    describe_version(store, name, version, {_HISTORY_TAG: f"{before}{_SEPARATOR}{entry}" if before else entry})


@contextmanager
def _alias_lock(store: TrackingStore, name: str) -> Iterator[None]:
    """One writer at a time: beside a SQLite database for all who use it, else for this machine."""
    if store.uri.startswith("sqlite:///"):
        path = Path(f"{store.uri.removeprefix('sqlite:///')}.aliases.lock")
    else:
        key = hashlib.sha256(store.uri.encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"whosehand-{key}.aliases.lock"
    try:
        with FileLock(path, timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise RegistryError(
            f"Another promotion has been moving aliases of {name!r} for {_LOCK_TIMEOUT_S:.0f} s; "
            f"if none is running, delete {path} and try again."
        ) from error
