"""Addresses of files in MLflow's database after the project was moved: MLflow keeps them absolute.

A database in a moved folder still names the old one. Every picture and model then seems to be gone,
or, after a copy, is another project's.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.addresses import read_only
from core.errors import TrackingError
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME
from search.ledger.lock import refuse_held
from search.tracking.models import FOLDER_TAG
from search.tracking.store import TrackingStore, tracking_errors

_COLUMNS = {
    "experiments": ("experiments", "artifact_location", ""),
    "runs": ("runs", "artifact_uri", ""),
    "models": ("logged_models", "artifact_location", ""),
    "registered versions": ("model_versions", "storage_location", ""),
    "sources of versions": ("model_versions", "source", ""),
    "folders of models": ("logged_model_tags", "tag_value", f"tag_key = '{FOLDER_TAG}' AND "),
}
"""Where MLflow 3 keeps addresses: table, column, and which of its rows."""
_SWEEPS = "/mlruns/sweeps/"


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


def find_moved_addresses(store: TrackingStore) -> MovedAddresses | None:
    """Say which addresses do not point below the store's own artifact folder; `None` if all is
    well.

    An experiment whose files are not in this project, because `tracking.artifacts` was another
    folder then, is left alone.

    Args:
        store: a SQLite database with local artifacts; others know no moving.

    Raises:
        TrackingError: if the database cannot be read.
    """
    database = store.database
    if database is None or store.artifact_root is None or "://" in store.artifact_root:
        return None
    root = store.artifact_root.rstrip("/")
    with _reading(database, store) as connection:
        experiments = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
        moves = _moved_folders(connection, Path(root))
        for experiment_id, name, location in experiments:
            own = f"{root}/0" if experiment_id == 0 else store.artifact_location(name)
            # Without files here it is no move: the address was chosen otherwise.
            if location and own and location != own and Path(own).is_dir():
                moves |= dict([_roots(location, own)])
        counts: Counter[str] = Counter()
        for old, new in moves.items():
            for kind, (table, column, condition) in _COLUMNS.items():
                question = f"SELECT count(*) FROM {table} WHERE {condition}{_is_old(column)}"
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
    backup = database.with_name(f"{database.name}.before-fix-{time.strftime('%Y%m%d-%H%M%S')}")
    with tracking_errors("fix the addresses", store), closing(sqlite3.connect(database)) as connection:
        with closing(sqlite3.connect(backup)) as copy:
            connection.backup(copy)
        with connection:
            for old, new in moved.moves.items():
                for table, column, condition in _COLUMNS.values():
                    change = (
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {condition}{_is_old(column)}"
                    )
                    connection.execute(change, (new, len(old) + 1, *_old_and_new(old, new)))
    return backup


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


def _moved_folders(connection: sqlite3.Connection, artifacts: Path) -> dict[str, str]:
    """The models' own folders lie in the project, wherever its artifacts are."""
    found = connection.execute(f"SELECT tag_value FROM logged_model_tags WHERE tag_key = '{FOLDER_TAG}'").fetchall()
    roots = {folder.split(_SWEEPS)[0] for (folder,) in found if _SWEEPS in folder}
    here = str(artifacts.parent.parent)
    is_project = (artifacts.parent / "sweeps").is_dir()
    return {root: here for root in roots if root != here and is_project}


def _is_old(column: str) -> str:
    return f"substr({column}, 1, ?) = ? AND substr({column}, 1, ?) != ?"


def _old_and_new(old: str, new: str) -> tuple[int, str, int, str]:
    """Below the old folder, and not yet below the new one, which may lie in it."""
    return len(old) + 1, f"{old}/", len(new) + 1, f"{new}/"


@contextmanager
def _reading(database: Path, store: TrackingStore) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, with errors of the database as TrackingError."""
    with (
        tracking_errors("read the addresses", store),
        closing(read_only(database)) as connection,
    ):
        yield connection
