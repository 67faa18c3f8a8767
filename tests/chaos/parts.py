"""What is disturbed besides sweeps, in the order in which it is tried: the cheap parts first."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from tests.chaos.alias_faults import killed_once, killed_twice, make_versions, promote, refuse, rollback
from tests.chaos.project_faults import Became, KeptProject, cut_ledgers, killed_gc, killed_reconcile, killed_settling
from tests.chaos.promotion_faults import full_disk_at_each_line, killed_promotion
from tests.chaos.tally import Outcome, Part

T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[], Outcome]
_KILL = "SIGKILL"
_ALIASES = "a version is champion at every moment, and none is lost"
_STORIES = {"promotion": promote, "rollback": rollback, "refused promotion": refuse}


def record_parts(workspace: Path, step: int) -> Iterator[Part]:
    """All parts but sweeps.

    Args:
        workspace: for what they leave.
        step: of the longer ones each n-th place only.
    """

    @cache
    def project() -> KeptProject:
        (workspace / "upkeep").mkdir(exist_ok=True)
        return KeptProject(workspace / "upkeep")

    yield Part(
        "full disk",
        "a ledger keeps what was written before",
        "disk full at a line, or within it",
        "exception",
        _with(project, full_disk_at_each_line, workspace / "full"),
    )
    became: Became
    for became in ("moved", "copied"):
        promise = f"a {became} project is made whole" + (", its original untouched" if became == "copied" else "")
        for is_twice in (False, True):
            name = f"{became} {'twice' if is_twice else 'once'}"
            fault = f"`doctor --apply` killed{' and killed again' if is_twice else ''}"
            yield Part(name, promise, fault, _KILL, _with(project, killed_settling, became, is_twice))
    yield Part(
        "gc",
        "gc keeps what it must and ends what it began",
        "gc killed at a write",
        _KILL,
        _with(project, killed_gc, step),
    )
    yield Part(
        "reconcile",
        "MLflow is told again, and nothing twice",
        "reconcile killed at a write",
        _KILL,
        _with(project, killed_reconcile, step),
    )
    yield Part(
        "cut ledger",
        "a cut ledger is gone on with, and nothing is doubled",
        "end of the ledger cut off",
        "real fault",
        _with(project, cut_ledgers, step),
    )
    yield from _alias_parts(workspace / "aliases")
    yield Part(
        "whole promotion",
        "a promotion is resumed, the test set opened once",
        "promote killed at each of its points",
        _KILL,
        partial(killed_promotion, workspace / "promotion"),
    )


def _alias_parts(folder: Path) -> Iterator[Part]:
    @cache
    def database() -> Path:
        path = folder / "versions" / "mlruns" / "mlflow.db"
        (folder / "scratch").mkdir(parents=True, exist_ok=True)
        return path if path.exists() else make_versions(folder / "versions")

    scratch = folder / "scratch"
    for title, story in _STORIES.items():
        yield Part(title, _ALIASES, f"{title} killed at a write", _KILL, _with(database, killed_once, scratch, story))
    for first, second in (("promotion", "rollback"), ("promotion", "promotion"), ("rollback", "rollback")):
        fault = f"{first} killed, then {'the same' if first == second else second} killed"
        stories = (_STORIES[first], _STORIES[second])
        yield Part(f"{first}, {second}", _ALIASES, fault, _KILL, _with(database, killed_twice, scratch, *stories))


def _with(make: Callable[[], T], work: Callable[Concatenate[T, P], Outcome], *args: P.args, **kwargs: P.kwargs) -> Work:
    """What a part does, with something that is made when the first part needs it."""
    return lambda: work(make(), *args, **kwargs)
