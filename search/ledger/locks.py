"""Looks at sweeps' locks without taking them."""

import fcntl
import os
import re
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.errors import LedgerError
from search.ledger.ledger import LOCK_NAME
from search.ledger.lock import SweepLock


@dataclass(frozen=True)
class LockView:
    """A sweep's lock, looked at.

    Attributes:
        is_held: whether a driver has it now.
        holder: whom it names, the last one who had it; may be empty.
    """

    is_held: bool
    holder: str

    @property
    def is_of_dead_process(self) -> bool:
        """Whether it is held, but names a process of this machine that there is not."""
        found = re.match(r"process (\d+) on host (.*)", self.holder)
        if not self.is_held or found is None or found[2].strip() != socket.gethostname():
            return False
        return not psutil.pid_exists(int(found[1]))


def look_at_lock(path: Path) -> LockView:
    """Look at a lock; unlike taking it, this changes nothing in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return LockView(False, "")
    try:
        holder = os.read(descriptor, 1000).decode(errors="replace").strip()
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockView(True, holder)
    finally:
        os.close(descriptor)
    return LockView(False, holder)


def locks_of(folder: Path) -> list[Path]:
    """The locks of a sweep and of its refits."""
    return [folder / LOCK_NAME, *sorted(folder.glob(f"refits/*/{LOCK_NAME}"))]


def refuse_held(folder: Path) -> None:
    """See that nobody is on a sweep or one of its refits.

    Raises:
        LedgerError: if somebody is.
    """
    for path in locks_of(folder):
        lock = look_at_lock(path)
        if lock.is_held:
            raise LedgerError(
                f"This can be done while no driver is on a sweep, but {path.parent.name!r} is held by "
                f"{lock.holder or 'a process that it does not name'}. Wait for it to end, or stop it with Ctrl-C."
            )


def hold_refits(held: ExitStack, folder: Path) -> None:
    """Take the locks of a sweep's refits until `held` ends.

    Raises:
        LedgerError: if somebody is on one.
    """
    for path in locks_of(folder)[1:]:
        held.enter_context(SweepLock(path))
