"""Runs work in a forked process that sends itself SIGKILL just before its k-th write."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.store.model_registry import sqlalchemy_store as registry_store
from mlflow.store.tracking import sqlalchemy_store as tracking_store

from core.crash_points import arm

Write = tuple[Any, str]
"""An object, and the name of its function that writes."""

ALIAS_WRITES: tuple[Write, ...] = tuple(
    (MlflowClient, name)
    for name in (
        *("set_registered_model_alias", "delete_registered_model_alias"),
        *("set_model_version_tag", "set_registered_model_tag", "delete_registered_model_tag"),
    )
)
RECORD_WRITES: tuple[Write, ...] = tuple(
    (MlflowClient, name)
    for name in (
        *("create_run", "update_run", "set_terminated", "log_batch", "log_inputs", "log_outputs", "log_artifact"),
        *("set_tag", "delete_run", "create_logged_model", "finalize_logged_model", "delete_logged_model", "log_text"),
    )
)
FILE_WRITES: tuple[Write, ...] = (
    (os, "unlink"),
    (os, "rmdir"),
    (os, "link"),
    (os, "rename"),
    (os, "replace"),
    (os, "fsync"),
    (Path, "unlink"),
    (Path, "rename"),
    (Path, "replace"),
)


@dataclass(frozen=True)
class Ended:
    """How a forked process ended.

    Attributes:
        was_killed: by itself, at a write.
        value: what the work gave.
        error: what it raised.
    """

    was_killed: bool
    value: Any = None
    error: str = ""


def in_child(work: Callable[[], Any], scratch: Path) -> Ended:
    """Do work in a process of its own, so that nothing of it stays in this one.

    Args:
        work: gives something that JSON can hold.
        scratch: an existing folder for the answer.
    """
    answer = scratch / f"answer-{os.getpid()}.json"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            silence = os.open(scratch / "said.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            result: dict[str, Any] = {"value": work()}
        except BaseException as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        try:
            answer.write_text(json.dumps(result))
        finally:
            os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGKILL:
        return Ended(True)
    return Ended(False, **json.loads(answer.read_text()))


def close_stores() -> None:
    """Close this process's connections to MLflow's databases, and keep what it has learned of them:
    forked processes then need no second to open one.
    """
    for kind in (tracking_store.SqlAlchemyStore, registry_store.SqlAlchemyStore):
        for engine in kind._engine_map.values():  # MLflow has no public way to close a store
            engine.dispose()


def kill_at_write(number: int, writes: Sequence[Write], work: Callable[[], Any], scratch: Path) -> Ended:
    """Do work in a process that is killed just before its k-th write, if there are so many."""

    def doomed() -> Any:
        _arm(number, writes)
        return work()

    return in_child(doomed, scratch)


def kill_at_point(trap: str, work: Callable[[], Any], scratch: Path) -> Ended:
    """Do work in a process that is killed at a crash point such as `addresses-rewritten@2`."""

    def doomed() -> Any:
        arm(trap)
        return work()

    return in_child(doomed, scratch)


def every_write(
    start: Callable[[], Any], writes: Sequence[Write], work: Callable[[], Any], scratch: Path, step: int = 1
) -> Iterator[int]:
    """Kill work before its first write, then before its second one, until it ends by itself.

    Args:
        start: puts everything back to the state that the work begins with.
        writes: what counts as one.
        work: to kill.
        scratch: an existing folder.
        step: kill before each n-th write only.

    Yields:
        The number of the write, right after each kill.

    Raises:
        RuntimeError: if the work fails otherwise.
    """
    for number in count(1, step):
        start()
        ended = kill_at_write(number, writes, work, scratch)
        if not ended.was_killed:
            if ended.error:
                raise RuntimeError(f"The work must end by itself at last, but: {ended.error}")
            return
        yield number


def copy_folder(original: Path, place: Path) -> None:
    """Put a copy of a folder at `place`, instead of what is there."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(original, place, symlinks=True)


def _arm(number: int, writes: Sequence[Write]) -> None:
    n_left = number

    def counting(write: Any) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal n_left
            n_left -= 1
            if n_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments, **named)

        return wrapped

    for owner, name in writes:
        setattr(owner, name, counting(getattr(owner, name)))
