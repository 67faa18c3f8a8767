"""`gc`, `reconcile --apply` and `doctor --apply` on a project with a finished sweep, killed at each
of their writes; and ledgers that lost their end.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

from core.crash_points import UPKEEP_POINTS
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.tracking.project_place import find_displacement, read_place
from search.tracking.store import locate_store, open_store
from search.upkeep.gc import collect_garbage
from search.upkeep.moved_projects import find_moved_addresses, settle_project
from search.upkeep.reconcile import reconcile_sweep
from tests.chaos.killed_writes import (
    FILE_WRITES,
    RECORD_WRITES,
    Ended,
    close_stores,
    copy_folder,
    in_child,
    kill_at_point,
    kill_at_write,
)
from tests.chaos.tally import Outcome
from tests.search.upkeep.kept_project import N_TRIALS, NAME, make_project

Became = Literal["moved", "copied"]


class KeptProject:
    """A project with a finished sweep of the cheap objective, kept aside and put back before each
    fault.

    Attributes:
        root: where the project is at home.
        scratch: for answers of forked processes.
    """

    def __init__(self, folder: Path) -> None:
        """Run the sweep, or take the one that an earlier run has made."""
        self.root, self._kept = folder / "project", folder / "kept"
        self.scratch, self.elsewhere = folder / "scratch", folder / "elsewhere"
        self.scratch.mkdir(parents=True, exist_ok=True)
        if not self._kept.is_dir():
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir()
            ended = in_child(partial(_make, self.root), self.scratch)
            if ended.error:
                raise RuntimeError(ended.error)
            copy_folder(self.root, self._kept)
        self.put_back()
        open_store(root=self.root)
        close_stores()

    def put_back(self) -> None:
        """Make the project what it was."""
        copy_folder(self._kept, self.root)

    def put_elsewhere(self, became: Became) -> None:
        """The project is moved, or copied, to `elsewhere`."""
        shutil.rmtree(self.elsewhere, ignore_errors=True)
        if became == "moved":
            self.put_back()
            self.root.rename(self.elsewhere)
        else:
            copy_folder(self.root, self.elsewhere)


def _make(root: Path) -> None:
    os.chdir(root)
    make_project(root)


def killed_gc(project: KeptProject, step: int) -> Outcome:
    """The same command ends what a killed one began; the best trial keeps its model."""
    problems: list[str] = []
    for n, number in enumerate(count(1, step)):
        project.put_back()
        ended = kill_at_write(number, (*RECORD_WRITES, *FILE_WRITES), partial(_collect, project.root), project.scratch)
        if not ended.was_killed:
            return Outcome(n, [*problems, *_errors("gc", ended)])
        problems += _errors(f"gc, write {number}", in_child(partial(_collected, project.root), project.scratch))
    raise AssertionError("unreachable")


def _collect(root: Path) -> None:
    os.chdir(root)
    collect_garbage([NAME], Workspace(root), 1, is_dry_run=False)


def _collected(root: Path) -> list[str]:
    """What is wrong after the command has been run again."""
    _collect(root)
    found = []
    if collect_garbage([NAME], Workspace(root), 1, is_dry_run=False).freed:
        found.append("there is still something to collect")
    rows = reconcile_sweep(NAME, Workspace(root), is_dry_run=True)
    found += [difference.what for difference in rows.left]
    if sum(bool(row.models) and row.folder is not None for row in rows.rows) != 1:
        found.append("the best trial's model is not there, or not the only one")
    if len(list((root / "mlruns" / "artifacts").rglob("MLmodel"))) != 1:
        found.append("files of deleted models are left")
    return found


def killed_reconcile(project: KeptProject, step: int) -> Outcome:
    """A sweep whose records in MLflow are gone, and which is told again with kills on the way."""
    problems: list[str] = []
    for n, number in enumerate(count(1, step)):
        project.put_back()
        in_child(partial(_damage, project.root), project.scratch)
        ended = kill_at_write(number, RECORD_WRITES, partial(_reconcile, project.root), project.scratch)
        if not ended.was_killed:
            return Outcome(n, [*problems, *_errors("reconcile", ended)])
        found = in_child(partial(_reconciled, project.root), project.scratch)
        problems += _errors(f"reconcile, write {number}", found)
    raise AssertionError("unreachable")


def _damage(root: Path) -> None:
    """A run is deleted, another is RUNNING, a model is gone, and checkpoints are left over."""
    client = open_store(root=root).client()
    experiment = client.get_experiment_by_name(NAME)
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    client.delete_run(runs[0].info.run_id)
    client.update_run(runs[1].info.run_id, status="RUNNING")
    client.delete_logged_model(client.search_logged_models([experiment.experiment_id])[0].model_id)


def _reconcile(root: Path) -> None:
    os.chdir(root)
    reconcile_sweep(NAME, Workspace(root), is_dry_run=False)


def _reconciled(root: Path) -> list[str]:
    _reconcile(root)
    left = reconcile_sweep(NAME, Workspace(root), is_dry_run=True).left
    return [*(difference.what for difference in left), *_doubled(root)]


def _doubled(root: Path) -> Iterator[str]:
    """Steps of metrics that are there twice, runs that are RUNNING."""
    client = open_store(root=root).client()
    experiment = client.get_experiment_by_name(NAME)
    for run in client.search_runs([experiment.experiment_id]):
        if run.info.status == "RUNNING":
            yield f"{run.info.run_name} is RUNNING"
        for key in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
            if len(steps) != len(set(steps)):
                yield f"{run.info.run_name} has {key} at the steps {steps}"


def killed_settling(project: KeptProject, became: Became, is_twice: bool) -> Outcome:
    """`doctor --apply` in a moved or copied project, killed once or twice, then let end."""
    project.put_back()
    original = _contents(project.root)
    tried, problems = 0, list[str]()
    for first in _traps():
        for second in _traps() if is_twice else ("",):
            project.put_elsewhere(became)
            settle = partial(_settle, project.elsewhere)
            if not kill_at_point(first, settle, project.scratch).was_killed:
                break
            tried += 1
            if second and kill_at_point(second, settle, project.scratch).was_killed:
                tried += 1
            where = f"{became}, {first} {second}".strip()
            problems += _errors(where, in_child(partial(_settled, project.elsewhere, became), project.scratch))
            if became == "copied" and _contents(project.root) != original:
                problems.append(f"{where}: the original has changed")
        problems += _errors(f"{became}, {first}", in_child(partial(_reconcilable, project.elsewhere), project.scratch))
    return Outcome(tried, problems)


def _traps() -> Iterator[str]:
    for point in UPKEEP_POINTS:
        yield from (f"{point}@{n}" for n in range(1, 6)) if point == "addresses-half-rewritten" else (point,)


def _settle(root: Path) -> None:
    settle_project(Workspace(root), locate_store(root=root), None)


def _settled(root: Path, became: Became) -> list[str]:
    os.chdir(root)
    _settle(root)
    found = ["it is still elsewhere"] if find_displacement(root) is not None else []
    if find_moved_addresses(locate_store(root=root)) is not None:
        found.append("addresses lead elsewhere")
    place = read_place(root)
    if place is None or (became == "copied" and place.root != str(root)):
        found.append(f"its place is {place}")
    found += [f"{path} is left" for path in (root / "mlruns").rglob("*.tmp*")]
    return found


def _reconcilable(root: Path) -> list[str]:
    os.chdir(root)
    return [difference.what for difference in reconcile_sweep(NAME, Workspace(root), is_dry_run=True).left]


def cut_ledgers(project: KeptProject, step: int) -> Outcome:
    """The ledger of a finished sweep loses its end, at a line or within one, and is launched
    again.
    """
    project.put_back()
    content = (project.root / "mlruns" / "sweeps" / NAME / LEDGER_NAME).read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    cuts = sorted({place for end in ends[2:] for place in (end - 1, end - 20, end)} - {len(content)})
    problems: list[str] = []
    for cut in cuts[::step]:
        project.put_back()
        os.truncate(project.root / "mlruns" / "sweeps" / NAME / LEDGER_NAME, cut)
        (project.root / "optuna.db").unlink()  # a projection, which the ledger fills again
        ended = in_child(partial(_relaunched, project.root), project.scratch)
        problems += _errors(f"cut at byte {cut}", ended)
    return Outcome(len(cuts[::step]), problems)


def _relaunched(root: Path) -> list[str]:
    _make(root)
    state = read_ledger(root / "mlruns" / "sweeps" / NAME)
    found = [f"trial {trial.number} is not tracked" for trial in state.trials.values() if not trial.is_tracked]
    if len(state.trials) != N_TRIALS:
        found.append(f"{len(state.trials)} trials instead of {N_TRIALS}")
    return [*found, *_doubled(root)]


def _errors(where: str, ended: Ended) -> list[str]:
    if ended.was_killed:
        return [f"{where}: it was killed again"]
    found: Any = [ended.error] if ended.error else ended.value or []
    return [f"{where}: {what}" for what in found]


def _contents(root: Path) -> dict[str, str]:
    """Hashes of all files."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
