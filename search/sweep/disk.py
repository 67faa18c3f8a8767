"""Whether the disk has room for another part of a trial; a sweep whose disk is full waits instead of failing."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import DiskError

_CHECK_EVERY_S = 1.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 300.0


class RoomGate:
    """Open while there is room; shut when free space is below the limit, or when a write has failed.

    After a failed write it opens again when the limit is met and some seconds have passed, each time twice as many:
    a quota, or an epoch that needs more than the limit, cannot be seen beforehand.
    """

    def __init__(self, folder: Path, min_free_bytes: int, say: Callable[[str], None]) -> None:
        """Watch the disk that a folder is on.

        Args:
            folder: of the sweep.
            min_free_bytes: so much must be free for a part of a trial to start; 0 for no limit.
            say: takes what the user should know.
        """
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._say = say
        self._is_open = True
        self._look_again_at_s = 0.0
        self._wait_s = _FIRST_WAIT_S

    def is_open(self) -> bool:
        """Whether something may start; looks at the disk at most once a second."""
        now_s = time.monotonic()
        if now_s >= self._look_again_at_s:
            self._look_again_at_s = now_s + _CHECK_EVERY_S
            has_room = free_bytes(self._folder) >= self._min_free_bytes
            if has_room and not self._is_open:
                self._say("There is room on the disk again; going on.")
                self._is_open = True
            elif not has_room:
                self._close(f"{free_bytes(self._folder) / 1e6:.0f} MB are left")
        return self._is_open

    def shut(self, reason: str) -> None:
        """Close it, because a write failed."""
        self._close(reason)
        self._look_again_at_s = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)

    def note_progress(self) -> None:
        """An epoch was written: the next failed write is a new one."""
        self._wait_s = _FIRST_WAIT_S

    def _close(self, reason: str) -> None:
        if self._is_open:
            needed = f"{self._min_free_bytes / 1e6:.0f} MB are free" if self._min_free_bytes else "there is room"
            self._say(
                f"The disk of {self._folder} is full ({reason}). The sweep is paused, and nothing is lost; it goes on "
                f"by itself when {needed}. Ctrl-C ends it, resumable."
            )
        self._is_open = False


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write to the disk that a folder is on."""
    return shutil.disk_usage(folder).free


def check_room(folder: Path, min_free_bytes: int) -> None:
    """See that there is room before anything starts.

    Raises:
        DiskError: if there is not.
    """
    free = free_bytes(folder)
    if free < min_free_bytes:
        raise DiskError(
            f"`executor.min_free_mb` must be free before a sweep starts: {min_free_bytes / 1e6:,.0f} MB, but {folder} "
            f"has {free / 1e6:,.0f} MB. Make room (old sweeps' folders, models), or lower that key."
        )
