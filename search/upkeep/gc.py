"""Frees the disk: what sweeps keep of trials below their best, lines that no sweep needs, and
indexes of pages that nobody can search.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import LedgerError, WhosehandError
from core.lines.pool import Pool
from core.lines.store import LIST
from search.experiment.workspace import Workspace
from search.identification.kept_indexes import kept_indexes, why_unused
from search.ledger.ledger import LEDGER_NAME
from search.ledger.lock import LOCK_NAME, SweepLock, hold_refits, refuse_held
from search.ledger.ranking import rank
from search.sweep.disk import FreedBytes
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.tracking.models import KnownModel, delete_model, local_folder
from search.tracking.project_place import refuse_shared
from search.tracking.store import TrackingStore, tracking_errors
from search.upkeep.moved_projects import refuse_moved
from search.upkeep.sweep_records import CHECKPOINTS, DROPPED_TAG, SweepRow, open_store_of, read_records, sweep_rows

MODEL, FILES, LEFTOVER = "model", "files", "left over by a crash"
POOL_PREFIX = "pool-"
_KEY = re.compile(r"[0-9a-f]{16,}")  # nothing that somebody else put there


@dataclass(frozen=True)
class Freed:
    """What goes, or went, for one reason.

    Attributes:
        sweep: its name; empty for lines and indexes.
        what: such as `model`.
        n_trials: of the sweep that it concerns; 0 for lines and indexes.
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

    Never deleted: model and files of the best `n_kept` completed trials of a sweep or of a
    registered version, anything of a trial that may be resumed or that MLflow does not have yet,
    and refits. What the best trials lose are checkpoints, and attempts before the one that
    completed.

    Args:
        names: of sweeps; empty for all sweeps of the workspace, for unused lines, and for indexes
            of pages whose model or folder is gone.
        workspace: where.
        n_kept: the best trials of each sweep that keep their model and files.
        is_dry_run: only look.

    Raises:
        LedgerError: if a sweep is named that there is not, or that a driver is on.
        TrackingError: if MLflow's store cannot be read or written.
    """
    freed: list[Freed] = []
    skipped: list[str] = []
    known = sorted(path.parent.name for path in workspace.sweep("x").parent.glob(f"*/{LEDGER_NAME}"))
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
        freed += _delete(_unused_indexes(workspace), "indexes", is_dry_run)
    return Collection(freed, skipped)


@dataclass(frozen=True)
class _Removal:
    """Something of a sweep that can go.

    Attributes:
        trial: whose it is.
        kind: in words.
        paths: folders that are deleted.
        model: in MLflow, deleted by its id; `None` where only files go.
        run_id: where it is written down that the model was dropped.
    """

    trial: int
    kind: str
    paths: Sequence[Path]
    model: KnownModel | None = None
    run_id: str = ""


def _collect_of_sweep(sweep: KnownSweep, workspace: Workspace, n_kept: int, is_dry_run: bool) -> list[Freed]:
    refuse_shared(workspace.root, sweep.created.name)
    store = open_store_of(sweep, workspace)
    if store is not None:
        refuse_moved(store)
    rows = sweep_rows(sweep, read_records(sweep, store), None)
    ranked = rank(sweep.state.trials.values(), sweep.experiment.objective.resolved_direction)
    best = {trial.number for trial in ranked[:n_kept]}
    removals = [removal for row in rows for removal in _removals_of(row, row.number in best)]
    counted = FreedBytes()
    freed = []
    for kind in dict.fromkeys(removal.kind for removal in removals):
        alike = [removal for removal in removals if removal.kind == kind]
        paths = [path for removal in alike for path in removal.paths]
        n_trials = len({removal.trial for removal in alike})
        freed.append(Freed(sweep.created.name, kind, n_trials, counted.add(paths), paths))
    if not is_dry_run:
        for removal in removals:
            _remove(removal, store)
    return freed


def _removals_of(row: SweepRow, is_best: bool) -> Iterator[_Removal]:
    if row.strays:
        yield _Removal(row.number, LEFTOVER, row.strays)
    if row.trial is None or not row.trial.state.is_final or not row.trial.is_tracked:
        return
    is_kept = is_best or any(model.versions for model in row.models)
    for model in row.models if not is_kept else ():
        places = (local_folder(model.known.location), row.folder)
        run_id = row.runs[0].run_id if row.runs else ""
        yield _Removal(row.number, MODEL, tuple(place for place in places if place is not None), model.known, run_id)
    attempts = tuple(folder for folder in row.attempts if not (is_kept and _holds_result(folder, row)))
    if attempts:
        yield _Removal(row.number, FILES, attempts)
    spent = tuple(folder for folder in row.checkpoints if folder.parent not in attempts)
    if spent:
        yield _Removal(row.number, CHECKPOINTS, spent)


def _holds_result(folder: Path, row: SweepRow) -> bool:
    """Whether the trial's end refers to a file in this attempt's folder; where it refers to none,
    the last one does.
    """
    result = row.trial.result if row.trial is not None else None
    if result is None:
        return True
    files = [file.path for file in (*result.artifacts.values(), *((result.model,) if result.model else ()))]
    return any(path.is_relative_to(folder) for path in files) if files else folder == row.attempts[-1]


def _remove(removal: _Removal, store: TrackingStore | None) -> None:
    if removal.model is not None and store is not None:
        with tracking_errors(f"delete the model of trial {removal.trial}", store):
            client = store.client()
            if removal.run_id:  # first: a model that is gone without a word would count as lost
                client.set_tag(removal.run_id, DROPPED_TAG, time.strftime("by whosehand gc, %Y-%m-%d"))
            delete_model(client, removal.model)
    for path in removal.paths:
        shutil.rmtree(path, ignore_errors=True)


def _collect_lines(workspace: Workspace, known: Sequence[str], skipped: list[str], is_dry_run: bool) -> list[Freed]:
    sweeps = []
    for name in known:
        try:
            sweeps.append(read_sweep(name, workspace))
        except WhosehandError as error:
            skipped.append(f"Lines are left alone, because it is not known which ones {name!r} needs: {error}")
            return []
    return _delete(_unused_lines(workspace, sweeps), "lines", is_dry_run)


def _delete(unused: Mapping[Path, str], what: str, is_dry_run: bool) -> list[Freed]:
    """Delete folders, each with its reason."""
    counted = FreedBytes()
    freed = []
    for reason in dict.fromkeys(unused.values()):
        paths = [path for path, of_path in unused.items() if of_path == reason]
        freed.append(Freed("", f"{what} {reason}", 0, counted.add(paths), paths))
    for path in unused if not is_dry_run else ():
        shutil.rmtree(path, ignore_errors=True)
    return freed


def _unused_indexes(workspace: Workspace) -> dict[Path, str]:
    """The indexes that `find` and `index` keep here and nobody can search, each with the reason."""
    reasons = {path: why_unused(path) for path in kept_indexes(workspace.indexes)}
    return {path: reason for path, reason in reasons.items() if reason is not None}


def _unused_lines(workspace: Workspace, sweeps: Sequence[KnownSweep]) -> dict[Path, str]:
    """The pools of ink settings that no sweep has, and the lists that need such a pool, each with
    the reason.

    Both are built again when they are needed. A pool to which somebody is adding lines is left out.
    A list whose pool stays is small, and stays too.
    """
    folder, unused = workspace.line_stores, dict[Path, str]()
    used = {Pool(folder, sweep.experiment.ink).folder.name for sweep in sweeps}
    for path in sorted(path for path in folder.glob("*") if path.is_dir()):
        if path.name.startswith(POOL_PREFIX):
            if path.name not in used and not _is_held(path):
                unused[path] = "of ink settings that no sweep has"
        elif _KEY.fullmatch(path.name):
            pool = _pool_of(path)
            if pool is None:
                unused[path] = "of another version, or damaged"
            elif pool not in used and not _is_held(folder / pool):
                unused[path] = "without their pool"
    return unused


def _pool_of(folder: Path) -> str | None:
    """The name of the pool that a list of lines needs; `None` if this version cannot read the
    list.
    """
    try:
        with (folder / LIST).open("rb") as file:
            return str(json.loads(file.readline())["pool"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_held(pool: Path) -> bool:
    """Whether a process is adding records."""
    if not pool.is_dir():
        return False
    try:
        with FileLock(pool / ".lock", timeout=0):
            return False
    except Timeout:
        return True
