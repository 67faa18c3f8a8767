"""One driver a sweep: a lock that dies with its holder and says who holds it.

Looks at sweeps' locks without taking them.
"""

import fcntl
import os
import re
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from core.errors import LedgerError

LOCK_NAME = "lock"


class SweepLock:
    """The exclusive right to write to a sweep's folder.

    An advisory `flock` on a file that is never deleted and that holds the host and process id of
    its holder. The operating system drops it when the holder dies, however it dies, so a dead
    driver's lock is simply taken over. A network file system does the same for a driver on another
    host, when that host is gone; where it keeps such locks on each host alone, nobody can tell, and
    the message about the take-over names the other host. (`filelock` empties the file when it
    tries, and with it the holder's name.)

    Attributes:
        taken_over_from: who held it and died without giving it back, such as `process 7 on host
            here`; else empty.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            LedgerError: if another process holds it; the message names its host and process id.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._is_held = False
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 1000, 0).decode(errors="replace").strip() or "an unnamed process"
            self.release()
            raise LedgerError(
                f"Only one driver may run a sweep at a time, but {path.parent.name!r} is held by {holder}. "
                "Wait for it to end, or stop it with Ctrl-C."
            ) from None
        self._is_held = True
        left = os.pread(self._descriptor, 1000, 0).decode(errors="replace").strip().split("\n")[0]
        self.taken_over_from = left
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on host {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back. May be called twice."""
        if self._descriptor is not None:
            if self._is_held:
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """Hold the lock for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back at the end of the block."""
        self.release()


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
