"""One driver a sweep: a lock that dies with its holder and says who holds it."""

import fcntl
import os
import socket
from pathlib import Path
from typing import Self

from core.errors import LedgerError


class SweepLock:
    """The exclusive right to write to a sweep's folder.

    An advisory `flock` on a file that is never deleted and that holds the host and process id of its holder. The
    operating system drops it when the holder dies, however it dies, so a dead driver's lock is simply taken over. A
    network file system does the same for a driver on another host, when that host is gone; where it keeps such locks
    on each host alone, nobody can tell, and the message about the take-over names the other host.
    (`filelock` empties the file when it tries, and with it the holder's name.)

    Attributes:
        taken_over_from: who held it and died without giving it back, such as `process 7 on host here`; else empty.
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
