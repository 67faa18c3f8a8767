"""The aliases of a registered model: who is champion, who was, who wants to be; and when that
changed.

    champion      answers `whosehand identify` and everyone who serves `models:/NAME@champion`
    previous      was champion before; `whosehand rollback` makes the two change places
    challenger    the latest that did not pass the gate

A reader looks up one alias, which MLflow moves in one transaction: there is a champion at every
moment, the old one or the new one. A change of champion moves several aliases, so it is written
down first, as a tag of the registered model. Whoever is killed on the way leaves that record, and
the next command carries it out before its own work.

Writers hold a lock of this machine. Where another machine writes to the same server, the record and
the champion are looked at again after each write, and the loser is told.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow.exceptions import MlflowException
from pydantic import TypeAdapter

from core.crash_points import crash_point
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

MOVE_TAG = "alias_move"
"""The tag of a registered model that says which change of champion is under way; gone once it is
done.
"""
_LOCK_TIMEOUT_S = 60.0
_HISTORY_TAG = "history"
_SEPARATOR = "; "
_CHAMPION_EVENT, _ROLLBACK_EVENT = "champion", "champion again (rollback)"


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
        _finish_move(store, name)
        former = find_alias(store, name, CHAMPION)
        if former is not None and former.version == version:
            return None
        if (former.version if former else None) != instead_of:
            raise ChampionMovedError(
                f"Version {version} of {name!r} was judged against "
                f"{'no champion' if instead_of is None else f'version {instead_of}'}, but meanwhile "
                f"{'there is none' if former is None else f'version {former.version}'} became champion."
            )
        _move(store, name, version, former, _CHAMPION_EVENT)
        return former


def finish_move(store: TrackingStore, name: str) -> None:
    """Carry out what an interrupted promotion or rollback has left to do, if anything.

    Raises:
        ChampionMovedError: if another machine moves the champion at the same time.
        RegistryError: if another process holds the lock for a minute.
        TrackingError: if the store cannot be written.
    """
    with _alias_lock(store, name):
        _finish_move(store, name)


def challenge(store: TrackingStore, name: str, version: int) -> None:
    """Make a version the challenger, which did not pass the gate.

    Raises:
        RegistryError: if another process holds the lock for a minute.
        TrackingError: if the store cannot be written.
    """
    with _alias_lock(store, name):
        _finish_move(store, name)
        _set_alias(store, name, CHALLENGER, version)
        _remember(store, name, version, CHALLENGER, _now())


def restore_previous(store: TrackingStore, name: str) -> tuple[RegisteredVersion, RegisteredVersion | None]:
    """Make the former champion the champion again; the two change places.

    A rollback that was interrupted is ended, and no second one is made.

    Returns:
        The champion now, and the one that was.

    Raises:
        RegistryError: if there is no former champion.
        TrackingError: if the store cannot be written.
    """
    with _alias_lock(store, name):
        unfinished = _finish_move(store, name)
        previous, former = find_alias(store, name, PREVIOUS), find_alias(store, name, CHAMPION)
        if unfinished is not None and unfinished.event == _ROLLBACK_EVENT and former is not None:
            return former, previous
        if previous is None:
            raise RegistryError(f"{name!r} has no former champion to go back to.")
        _move(store, name, previous.version, former, _ROLLBACK_EVENT)
        return previous, former


def is_move_unfinished(store: TrackingStore, name: str) -> bool:
    """Whether a change of champion was interrupted; the next promotion or rollback ends it."""
    return _pending(store, name) is not None


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
    return tuple(sorted(entries, key=lambda entry: (entry.at, entry.event != "previous")))


@dataclass(frozen=True)
class _Move:
    """A change of champion: which version gets which alias, and what history says of it."""

    champion: int
    previous: int | None
    event: str
    at: str


_MOVE: TypeAdapter[_Move] = TypeAdapter(_Move)


def _move(store: TrackingStore, name: str, version: int, former: RegisteredVersion | None, event: str) -> None:
    """Write a change of champion down, then carry it out."""
    move = _Move(version, former.version if former else None, event, _now())
    with tracking_errors(f"write down that version {version} of {name!r} becomes champion", store):
        store.client().set_registered_model_tag(name, MOVE_TAG, _MOVE.dump_json(move).decode())
    crash_point("move-written-down")
    if _pending(store, name) != move:
        raise ChampionMovedError(f"Another promotion of {name!r} moves the champion at the same time; it goes first.")
    _carry_out(store, name, move)


def _finish_move(store: TrackingStore, name: str) -> _Move | None:
    """Carry out what an interrupted command has left, and return it."""
    move = _pending(store, name)
    if move is not None:
        _carry_out(store, name, move)
    return move


def _pending(store: TrackingStore, name: str) -> _Move | None:
    with tracking_errors(f"look up the changes of {name!r}", store):
        try:
            text = store.client().get_registered_model(name).tags.get(MOVE_TAG)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
    return _MOVE.validate_json(text) if text else None


def _carry_out(store: TrackingStore, name: str, move: _Move) -> None:
    """Do a change that is written down; every step may be done twice."""
    _set_alias(store, name, CHAMPION, move.champion)
    crash_point("champion-moved")
    now = find_alias(store, name, CHAMPION)
    if now is None or now.version != move.champion:
        raise ChampionMovedError(
            f"Version {move.champion} of {name!r} became champion, but at the same time another machine made version "
            f"{now.version if now else 'none'} champion."
        )
    if move.previous is not None:
        _set_alias(store, name, PREVIOUS, move.previous)
        _remember(store, name, move.previous, "previous", move.at)
    _remember(store, name, move.champion, move.event, move.at)
    challenger = find_alias(store, name, CHALLENGER)
    with tracking_errors(f"end the change of champion of {name!r}", store):
        if challenger is not None and challenger.version == move.champion:
            store.client().delete_registered_model_alias(name, CHALLENGER)
        crash_point("aliases-moved")
        store.client().delete_registered_model_tag(name, MOVE_TAG)


def _set_alias(store: TrackingStore, name: str, alias: str, version: int) -> None:
    with tracking_errors(f"make version {version} of {name!r} the {alias}", store):
        store.client().set_registered_model_alias(name, alias, str(version))


def _remember(store: TrackingStore, name: str, version: int, event: str, at: str) -> None:
    found = find_version(store, name, version)
    entries = found.tags.get(_HISTORY_TAG, "").split(_SEPARATOR) if found else []
    entry = f"{at} {event}"
    is_challenger_again = event == CHALLENGER and entries[-1:] != [] and entries[-1].endswith(f" {CHALLENGER}")
    if entry not in entries and not is_challenger_again:
        describe_version(store, name, version, {_HISTORY_TAG: _SEPARATOR.join([*filter(None, entries), entry])})


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


@contextmanager
def promotion_lock(store: TrackingStore, name: str, say: Callable[[str], None]) -> Iterator[None]:
    """One promotion of a registered model at a time, from the test set to the alias: the second
    waits.

    It holds for all who use a SQLite database, and for this machine and user where there is a
    server.

    Args:
        store: an open store.
        name: of the registered model.
        say: told that it waits.
    """
    lock = FileLock(_lock_path(store, f"promotion-{hashlib.sha256(name.encode()).hexdigest()[:8]}"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Another promotion of {name} is at work; this one waits for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock_path(store: TrackingStore, purpose: str) -> Path:
    if store.database is not None:
        return Path(f"{store.database}.{purpose}.lock")
    key = hashlib.sha256(f"{os.getuid()} {store.uri}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"whosehand-{key}.{purpose}.lock"


@contextmanager
def _alias_lock(store: TrackingStore, name: str) -> Iterator[None]:
    """One writer at a time: beside a SQLite database for all who use it, else for this machine."""
    path = _lock_path(store, "aliases")
    try:
        with FileLock(path, timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise RegistryError(
            f"Another promotion has been moving aliases of {name!r} for {_LOCK_TIMEOUT_S:.0f} s; "
            f"if none is running, delete {path} and try again."
        ) from error
