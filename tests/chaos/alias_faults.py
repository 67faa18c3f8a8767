"""Promotions and rollbacks that are killed while aliases move, and killed again while that is
ended.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from search.tracking.aliases import challenge, history, is_move_unfinished, restore_previous, set_champion
from search.tracking.registry import find_alias, register_version
from search.tracking.store import TrackingStore, open_store
from tests.chaos.killed_writes import ALIAS_WRITES, close_stores, in_child, kill_at_write
from tests.chaos.tally import Outcome
from tests.search.promotion.logged_model import logged_model

NAME = "toy"
Story = Callable[[TrackingStore], None]


def promote(store: TrackingStore) -> None:
    """Version 3 takes the place of version 2, which took that of version 1."""
    set_champion(store, NAME, 3, 2)


def rollback(store: TrackingStore) -> None:
    """The former champion becomes champion again."""
    restore_previous(store, NAME)


def refuse(store: TrackingStore) -> None:
    """Version 3 did not pass the gate."""
    challenge(store, NAME, 3)


def make_versions(folder: Path) -> Path:
    """A database in which version 2 is champion, version 1 was, and version 3 is challenger."""
    folder.mkdir(parents=True)
    store = open_store(root=folder)
    for _ in range(3):
        register_version(store, NAME, logged_model(store, folder), {})
    set_champion(store, NAME, 1, None)
    set_champion(store, NAME, 2, 1)
    challenge(store, NAME, 3)
    return folder / "mlruns" / "mlflow.db"


def killed_once(database: Path, scratch: Path, story: Story) -> Outcome:
    """Kill at every write, then let the same command end it."""
    problems: list[str] = []
    for number in count(1):
        store = _copy(database, scratch)
        if not kill_at_write(number, ALIAS_WRITES, partial(story, store), scratch).was_killed:
            return Outcome(number - 1, problems)
        problems += _wrong(f"write {number}", store, scratch, story, {_SINGLE[story]})
    raise AssertionError("unreachable")


def killed_twice(database: Path, scratch: Path, first: Story, second: Story) -> Outcome:
    """Kill one command at every write, the next at every write of its own, then let that end."""
    tried, problems = 0, list[str]()
    for number in count(1):
        for again in count(1):
            store = _copy(database, scratch)
            if not kill_at_write(number, ALIAS_WRITES, partial(first, store), scratch).was_killed:
                return Outcome(tried, problems)
            if not kill_at_write(again, ALIAS_WRITES, partial(second, store), scratch).was_killed:
                break
            tried += 2
            where = f"write {number} of {first.__name__}, then write {again} of {second.__name__}"
            problems += _wrong(where, store, scratch, second, _DOUBLE[first, second])
    raise AssertionError("unreachable")


_SINGLE: dict[Story, tuple[int, int]] = {promote: (3, 2), rollback: (1, 2), refuse: (2, 1)}
"""Champion and former champion once a story has ended."""
_DOUBLE: dict[tuple[Story, Story], set[tuple[int, int]]] = {
    (promote, promote): {(3, 2)},
    (rollback, rollback): {(1, 2)},
    # A promotion that had not begun to move is rolled back from version 2; one that had, from
    # version 3.
    (promote, rollback): {(1, 2), (2, 3)},
    (refuse, rollback): {(1, 2)},
}


def _wrong(
    where: str, store: TrackingStore, scratch: Path, ending: Story, allowed: set[tuple[int, int]]
) -> Iterator[str]:
    """What is lost or doubled after a kill, and after the command that ends it."""
    ended = in_child(partial(_left_and_ended, store, ending), scratch)
    if ended.error:
        yield f"{where}: {ended.error}"
        return
    left, found = ended.value
    if left is None:
        yield f"{where}: no champion is left"
    if (found["champion"], found["previous"]) not in allowed:
        yield f"{where}: champion and former champion are {found['champion']} and {found['previous']}"
    if found["is_unfinished"]:
        yield f"{where}: the move is not ended"
    if len(found["history"]) != len(set(found["history"])):
        yield f"{where}: history has an entry twice: {found['history']}"


def _left_and_ended(store: TrackingStore, ending: Story) -> tuple[int | None, dict[str, Any]]:
    left = find_alias(store, NAME, "champion")
    ending(store)
    return left.version if left else None, _state(store)


def _state(store: TrackingStore) -> dict[str, Any]:
    found = {alias: find_alias(store, NAME, alias) for alias in ("champion", "previous", "challenger")}
    return {
        **{alias: version.version if version else None for alias, version in found.items()},
        "is_unfinished": is_move_unfinished(store, NAME),
        "history": [f"{entry.at} {entry.version} {entry.event}" for entry in history(store, NAME)],
    }


def _copy(database: Path, scratch: Path) -> TrackingStore:
    path = scratch / "mlflow.db"
    is_new = not path.exists()
    for left in scratch.glob("mlflow.db-*"):
        left.unlink()
    shutil.copyfile(database, path)
    store = TrackingStore(f"sqlite:///{path}", str(scratch / "artifacts"))
    if is_new:
        for story in (promote, rollback, refuse):
            story(store)
        _state(store)
        close_stores()
        shutil.copyfile(database, path)
    return store
