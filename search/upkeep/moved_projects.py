"""Makes a moved or copied project whole: the addresses of files in MLflow's database, which are
absolute, and the project's identity.

A database in a moved folder still names the old one. Every picture and model then seems to be gone,
or, after a copy, is another project's. Killed at any place, the same command ends what was begun.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.addresses import file_url, read_only
from core.crash_points import crash_point
from core.errors import TrackingError
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME
from search.ledger.lock import refuse_held
from search.sweep.known_sweeps import read_sweep
from search.tracking.project_place import Displacement, find_displacement, read_place, write_place
from search.tracking.store import TrackingStore, locate_store, tracking_errors

_COLUMNS = {
    "experiments": ("experiments", "artifact_location"),
    "runs": ("runs", "artifact_uri"),
    "models": ("logged_models", "artifact_location"),
    "registered versions": ("model_versions", "storage_location"),
    "sources of versions": ("model_versions", "source"),
}
"""Where MLflow 3 keeps addresses: table and column."""


@dataclass(frozen=True)
class MovedAddresses:
    """Addresses below a folder where this project's files are not, or no longer.

    Attributes:
        moves: the start of the addresses -> what it should be.
        counts: how many there are of each kind, such as `runs`.
    """

    moves: Mapping[str, str]
    counts: Mapping[str, int]

    def __str__(self) -> str:
        """How many of what, in words."""
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.items())


def find_moved_addresses(store: TrackingStore, displaced: Displacement | None = None) -> MovedAddresses | None:
    """Say which addresses do not point below the store's own artifact folder; `None` if all is
    well.

    An experiment whose files are not in this project, because `tracking.artifacts` was another
    folder then, is left alone.

    Args:
        store: a SQLite database with local artifacts; others know no moving.
        displaced: where the project was, if that is known.

    Raises:
        TrackingError: if the database cannot be read.
    """
    database = store.database
    if database is None or store.artifact_root is None or "://" in store.artifact_root:
        return None
    root = store.artifact_root.rstrip("/")
    with _reading(database, store) as connection:
        experiments = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
        moves = dict([_addressed(displaced.was.root, str(displaced.root))]) if displaced is not None else {}
        for experiment_id, name, location in experiments:
            own = f"{root}/0" if experiment_id == 0 else store.artifact_location(name)
            # Without files here it is no move: the address was chosen otherwise.
            if location and own and location != own and Path(own).is_dir():
                moves |= dict([_roots(location, own)])
        counts: Counter[str] = Counter()
        for old, new in moves.items():
            for kind, (table, column) in _COLUMNS.items():
                question = f"SELECT count(*) FROM {table} WHERE {_is_old(column)}"
                counts[kind] += connection.execute(question, _old_and_new(old, new)).fetchone()[0]
    found = {kind: count for kind, count in counts.items() if count}
    return MovedAddresses(moves, found) if found else None


def fix_addresses(store: TrackingStore, moved: MovedAddresses) -> Path:
    """Rewrite the addresses in one transaction, after a backup of the database.

    Returns:
        The backup.

    Raises:
        TrackingError: if the database cannot be copied or written.
    """
    database = store.database
    if database is None:
        raise TrackingError(f"Addresses can be fixed in a SQLite database only, but the store is {store.uri}.")
    with tracking_errors("fix the addresses", store), closing(sqlite3.connect(database)) as connection:
        backup = _back_up(connection, database)
        crash_point("addresses-backed-up")
        with connection:
            for old, new in moved.moves.items():
                for table, column in _COLUMNS.values():
                    change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {_is_old(column)}"
                    connection.execute(change, (new, len(old) + 1, *_old_and_new(old, new)))
                    crash_point("addresses-half-rewritten")
    crash_point("addresses-rewritten")
    return backup


def settle_project(workspace: Workspace, store: TrackingStore, as_what: Literal["moved", "copied"] | None) -> list[str]:
    """Make a project that is found elsewhere whole; without effect on one that is not.

    Args:
        workspace: where the project is now.
        store: located, not open: a displaced project's is not opened.
        as_what: what became of it, where that is known better than it can be told from here.

    Returns:
        What was done, a line each.

    Raises:
        LedgerError: if a driver is on one of its sweeps.
        TrackingError: if it cannot be told whether the project was moved or copied, or the database
            cannot be written.
    """
    if store.database is not None and store.database.exists():
        _roll_back(store.database, store)
    displaced = find_displacement(workspace.root)
    how = as_what or (displaced.how if displaced is not None else "moved")
    # A copy's original needs what the two share as it is.
    is_kept = how == "copied" and not _is_own(store, workspace)
    moved = None if is_kept else find_moved_addresses(store, displaced)
    if displaced is None and moved is None and as_what is None:
        return []
    refuse_while_used(workspace)
    if displaced is not None and how == "unknown":
        raise TrackingError(
            f"It cannot be told from here whether {displaced}; it was on the machine {displaced.was.host}. "
            "Run the command again with --as moved if the project is here alone now, or with --as copied if the other "
            "one stays in use."
        )
    done = []
    if moved is not None:
        backup = fix_addresses(store, moved)
        done.append(f"rewritten: {moved}; the database as it was is {backup}")
    if displaced is not None or as_what is not None:
        done += _settle(workspace, how == "copied")
    return done


def _settle(workspace: Workspace, is_copied: bool) -> list[str]:
    """Write the place down, after the addresses: until then, all is done again."""
    was = read_place(workspace.root)
    if not is_copied:
        place = write_place(workspace.root, was.project_id if was else "", was.shared_sweeps if was else ())
        crash_point("place-written")
        return [f"this project is {place.project_id}, and is at home in {place.root} now"]
    shared = _shared_sweeps(workspace)
    place = write_place(workspace.root, shared_sweeps=shared)
    crash_point("place-written")
    said = [f"this copy is a project of its own now, {place.project_id}, at home in {place.root}"]
    if shared:
        said.append(f"only to be read, because the original records them in the same store: {', '.join(shared)}")
    return said


def _shared_sweeps(workspace: Workspace) -> tuple[str, ...]:
    """The sweeps whose store is not in the project's folder: its original has them there, too."""
    shared = []
    for ledger in sorted(workspace.sweep("x").parent.glob(f"*/{LEDGER_NAME}")):
        store = locate_store(read_sweep(ledger.parent.name, workspace).experiment.tracking, workspace.root)
        if not _is_own(store, workspace):
            shared.append(ledger.parent.name)
    return tuple(shared)


def _is_own(store: TrackingStore, workspace: Workspace) -> bool:
    """Whether the store is in the project's folder, and is copied with it."""
    return store.database is not None and store.database.resolve().is_relative_to(workspace.root.resolve())


def _back_up(connection: sqlite3.Connection, database: Path) -> Path:
    """Copy the database beside it, whole or not at all."""
    for left in database.parent.glob(f"{database.name}.before-fix-*.tmp*"):
        left.unlink()
    backup = database.with_name(f"{database.name}.before-fix-{time.strftime('%Y%m%d-%H%M%S')}")
    aside = backup.with_name(f"{backup.name}.tmp")
    with closing(sqlite3.connect(aside)) as copy:
        connection.backup(copy)
    aside.replace(backup)
    return backup


def _roll_back(database: Path, store: TrackingStore) -> None:
    """Have SQLite undo what a killed process left half written; who only reads cannot do that."""
    with tracking_errors("open the database", store), closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


def _addressed(old: str, new: str) -> tuple[str, str]:
    """Folders as they begin addresses."""
    return file_url(Path(old)), file_url(Path(new))


def refuse_moved(store: TrackingStore) -> None:
    """See that the addresses are those of this project before something is deleted where they point
    to.

    Raises:
        TrackingError: if they are not.
    """
    moved = find_moved_addresses(store)
    if moved is not None:
        raise TrackingError(
            f"Files are deleted where the tracking store says they are, but it points to {', '.join(moved.moves)} "
            f"({moved}): the project was moved or copied. Run `whosehand doctor --apply` first."
        )


def refuse_while_used(workspace: Workspace) -> None:
    """See that no driver is on any sweep.

    Raises:
        LedgerError: if one is; the message names it.
    """
    for ledger in sorted(workspace.sweep("x").parent.glob(f"*/{LEDGER_NAME}")):
        refuse_held(ledger.parent)


def _roots(location: str, own: str) -> tuple[str, str]:
    """What differs at the start of two addresses, without the last parts that they share."""
    old, new = location.split("/"), own.split("/")
    while len(old) > 1 and len(new) > 1 and old[-1] == new[-1]:
        old.pop()
        new.pop()
    return "/".join(old), "/".join(new)


def _is_old(column: str) -> str:
    return f"substr({column}, 1, ?) = ? AND substr({column}, 1, ?) != ?"


def _old_and_new(old: str, new: str) -> tuple[int, str, int, str]:
    """Below the old folder; and where the new one lies in it, not yet below that."""
    done = f"{new}/" if new.startswith(f"{old}/") else "/done already/"
    return len(old) + 1, f"{old}/", len(done), done


@contextmanager
def _reading(database: Path, store: TrackingStore) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, with errors of the database as TrackingError."""
    with (
        tracking_errors("read the addresses", store),
        closing(read_only(database)) as connection,
    ):
        yield connection
