"""How far a promotion is: on disk beside the refit, and as a tag of the registered version.

Every step of a promotion may be done twice. The record says when each was first reached, so that
what is told again carries the same time and adds nothing. The tag shows an interrupted promotion to
`whosehand doctor`.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock

from core.durable_files import write_atomically

Step = Literal["opening", "described", "finished"]


class PromotionRecord:
    """The steps of one refit's promotion under one name in the registry.

    Args:
        folder: of the refit.
        name: of the registered model.
    """

    def __init__(self, folder: Path, name: str) -> None:
        key = hashlib.sha256(name.encode()).hexdigest()[:8]
        self._path = folder / f"promotion-{key}.json"
        self._name = name
        self._steps: dict[str, int] = json.loads(self._path.read_bytes())["steps"] if self._path.exists() else {}

    def reach(self, step: Step) -> int:
        """Write down that a step is reached.

        Returns:
            When it was reached first, Unix time in milliseconds; a promotion that was interrupted
            keeps its times.
        """
        if step not in self._steps:
            self._steps[step] = time.time_ns() // 1_000_000
            self._write()
        return self._steps[step]

    def finish(self) -> None:
        """Write down that all is done: the next promotion of this fit opens the test set for
        itself, if it must.
        """
        self._steps.pop("opening", None)
        self._steps["finished"] = time.time_ns() // 1_000_000
        self._write()

    def _write(self) -> None:
        content = json.dumps({"model": self._name, "steps": self._steps}, indent=1)
        write_atomically(self._path, content.encode())


@contextmanager
def fit_lock(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One promotion of a refit at a time, also under different names; what a killed one left half
    written is deleted.

    Args:
        folder: of the refit.
        say: told that it waits.
    """
    lock = FileLock(folder / "promotion.lock")
    if not _is_free(lock):
        say("Another promotion of this fit is at work; this one waits for it.")
    with lock:
        # Files of `write_atomically`, folders of models that were being copied or packed.
        for path in [*folder.rglob(".*.tmp"), *folder.rglob(".staging-*")]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        yield


def _is_free(lock: FileLock) -> bool:
    try:
        with lock.acquire(timeout=0):
            return True
    except TimeoutError:
        return False
