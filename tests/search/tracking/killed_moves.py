"""Kills a process at each write to MLflow that a story about aliases makes, and says what is left
each time.

`python -m tests.search.tracking.killed_moves DATABASE FOLDER STORY` prints a JSON object a kill.
Each telling of the story runs in a process of its own (`tests.chaos.killed_writes`), with a copy of
the same database.
"""

import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from search.tracking.aliases import history, restore_previous, set_champion
from search.tracking.registry import find_alias
from search.tracking.store import TrackingStore
from tests.chaos.killed_writes import ALIAS_WRITES, in_child, kill_at_write

NAME = "toy"


def promote(store: TrackingStore) -> None:
    """Version 3 takes the place of version 2, which took that of version 1."""
    set_champion(store, NAME, 3, 2)


def rollback(store: TrackingStore) -> None:
    """Version 1 becomes champion again."""
    restore_previous(store, NAME)


STORIES = {"promotion": (promote, (promote, rollback)), "rollback": (rollback, (rollback,))}
"""What is killed, and the commands of which somebody runs one afterwards."""


def main(database: Path, folder: Path, story: str) -> None:
    """Tell the story with a kill before the first write, then before the second one, until it ends
    by itself.
    """
    killed, commands = STORIES[story]
    for number in range(1, 100):
        store = _copy(database, folder / f"{number}.db")
        was_killed = kill_at_write(number, ALIAS_WRITES, partial(_tell, killed, store), folder).was_killed
        found: dict[str, Any] = {"write": number, "killed": was_killed}
        for command in commands:
            again = _copy(Path(store.uri.removeprefix("sqlite:///")), folder / f"{number}-{command.__name__}.db")
            ended = in_child(partial(_repeat, command, again), folder)
            found[command.__name__] = {"error": ended.error} if ended.error else ended.value
        print(json.dumps(found), flush=True)
        if not was_killed:
            return


def _copy(database: Path, path: Path) -> TrackingStore:
    shutil.copy(database, path)
    return TrackingStore(f"sqlite:///{path}", str(path.parent / "artifacts"))


def _tell(story: Callable[[TrackingStore], None], store: TrackingStore) -> str:
    story(store)
    return "ended"


def _aliases(store: TrackingStore) -> dict[str, int | None]:
    found = {alias: find_alias(store, NAME, alias) for alias in ("champion", "previous", "challenger")}
    return {alias: version.version if version else None for alias, version in found.items()}


def _repeat(command: Callable[[TrackingStore], None], store: TrackingStore) -> dict[str, Any]:
    left = _aliases(store)["champion"]
    command(store)
    entries = [f"{entry.version} {entry.event}" for entry in history(store, NAME)]
    return {**_aliases(store), "left": left, "history": entries}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
