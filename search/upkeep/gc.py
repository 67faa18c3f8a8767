"""Frees the disk: what sweeps keep of trials below their best, and lines that no sweep needs."""

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.errors import LedgerError, WhosehandError
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, LOCK_NAME
from search.ledger.lock import SweepLock
from search.ledger.locks import hold_refits, refuse_held
from search.sweep.disk_use import FreedBytes
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.tracking.models import delete_model
from search.tracking.store import TrackingStore, locate_store, open_store, tracking_errors
from search.upkeep.line_stores import UnusedLines, find_unused_lines
from search.upkeep.moved_projects import database_of, find_moved_addresses
from search.upkeep.removals import Removal, find_removals
from search.upkeep.sweep_records import DROPPED_TAG, SweepRecords, read_records
from search.upkeep.sweep_rows import sweep_rows


@dataclass(frozen=True)
class Freed:
    """What goes, or went, for one reason.

    Attributes:
        sweep: its name; empty for lines.
        what: such as `model`.
        n_trials: of the sweep that it concerns; 0 for lines.
        n_bytes: on the disk.
        paths: the folders.
    """

    sweep: str
    what: str
    n_trials: int
    n_bytes: int
    paths: Sequence[Path]


@dataclass(frozen=True)
class Collection:
    """What one call frees, or would free.

    Attributes:
        freed: by sweep and reason.
        skipped: sweeps that were left alone, and why.
    """

    freed: Sequence[Freed]
    skipped: Sequence[str]

    @property
    def n_bytes(self) -> int:
        """Of all together."""
        return sum(freed.n_bytes for freed in self.freed)


def collect_garbage(names: Sequence[str], workspace: Workspace, n_kept: int, is_dry_run: bool) -> Collection:
    """Delete what nobody needs, or say what that would be.

    Args:
        names: of sweeps; for all sweeps of the workspace, and for unused lines, none.
        workspace: where.
        n_kept: how many of each sweep's best trials keep model and files.
        is_dry_run: only look.

    Raises:
        LedgerError: if a sweep is named that there is not, or that a driver is on.
        TrackingError: if MLflow's store cannot be read or written.
    """
    freed: list[Freed] = []
    skipped: list[str] = []
    known = _known_sweeps(workspace)
    for name in names or known:
        with ExitStack() as held:
            try:
                sweep = read_sweep(name, workspace)
                refuse_held(sweep.folder)
                if not is_dry_run:
                    held.enter_context(SweepLock(sweep.folder / LOCK_NAME))
                    hold_refits(held, sweep.folder)
            except LedgerError as error:
                if names:
                    raise
                skipped.append(str(error))
                continue
            freed += _collect_of_sweep(sweep, workspace, n_kept, is_dry_run)
    if not names:
        freed += _collect_lines(workspace, known, skipped, is_dry_run)
    return Collection(freed, skipped)


def _known_sweeps(workspace: Workspace) -> list[str]:
    return sorted(path.parent.name for path in workspace.sweep("x").parent.glob(f"*/{LEDGER_NAME}"))


def _collect_of_sweep(sweep: KnownSweep, workspace: Workspace, n_kept: int, is_dry_run: bool) -> list[Freed]:
    store = _store_of(sweep, workspace)
    created, metric = sweep.created, sweep.experiment.objective.metric
    records = SweepRecords("", (), {}, {})
    if store is not None:
        _refuse_moved(store)
        records = read_records(store, created.name, created.sweep_id, metric)
    removals = find_removals(sweep, sweep_rows(sweep, records, None), n_kept)
    counted = FreedBytes()
    freed = []
    for kind in dict.fromkeys(removal.kind for removal in removals):
        alike = [removal for removal in removals if removal.kind == kind]
        paths = [path for removal in alike for path in removal.paths]
        n_trials = len({removal.trial for removal in alike})
        freed.append(Freed(created.name, kind, n_trials, counted.add(paths), paths))
    if not is_dry_run:
        for removal in removals:
            _remove(removal, store)
    return freed


def _store_of(sweep: KnownSweep, workspace: Workspace) -> TrackingStore | None:
    """The sweep's store, unless it is a database that is not there."""
    database = database_of(locate_store(sweep.experiment.tracking, workspace.root))
    if database is not None and not database.exists():
        return None
    return open_store(sweep.experiment.tracking, workspace.root)


def _refuse_moved(store: TrackingStore) -> None:
    moved = find_moved_addresses(store)
    if moved is not None:
        raise WhosehandError(
            f"Files are deleted where the tracking store says they are, but it points to {', '.join(moved.moves)} "
            f"({moved}): the project was moved or copied. Run `whosehand doctor --mend` first."
        )


def _remove(removal: Removal, store: TrackingStore | None) -> None:
    if removal.model is not None and store is not None:
        with tracking_errors(f"delete the model of trial {removal.trial}", store):
            client = store.client()
            if removal.run_id:  # first: a model that is gone without a word would be missed
                client.set_tag(removal.run_id, DROPPED_TAG, time.strftime("by whosehand gc, %Y-%m-%d"))
            delete_model(client, removal.model)
    for path in removal.paths:
        shutil.rmtree(path, ignore_errors=True)


def _collect_lines(workspace: Workspace, known: list[str], skipped: list[str], is_dry_run: bool) -> list[Freed]:
    sweeps = []
    for name in known:
        try:
            sweeps.append(read_sweep(name, workspace))
        except WhosehandError as error:
            skipped.append(f"Lines are left alone, because it is not known which ones {name!r} needs: {error}")
            return []
    unused = find_unused_lines(workspace, sweeps)
    counted = FreedBytes()
    freed = [_freed_lines(reason, unused, counted) for reason in dict.fromkeys(lines.reason for lines in unused)]
    if not is_dry_run:
        for lines in unused:
            shutil.rmtree(lines.path, ignore_errors=True)
    return freed


def _freed_lines(reason: str, unused: Sequence[UnusedLines], counted: FreedBytes) -> Freed:
    paths = [lines.path for lines in unused if lines.reason == reason]
    return Freed("", f"lines {reason}", 0, counted.add(paths), paths)
