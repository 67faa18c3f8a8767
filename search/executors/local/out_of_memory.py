"""Tells a worker that the kernel ended for want of memory from one that somebody killed."""

import contextlib
import time
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_WHOLE_MACHINE = Path("/proc/vmstat")
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_MEMORY_S = 10.0


class OomKills:
    """The kernel's count of processes that it ended for want of memory, in this container or on this machine.

    A kill is counted before its process is dead, and not said to be whose; so one that was counted in the last seconds
    belongs to the worker that is found dead, the largest first where there are several.
    """

    def __init__(self, counter: Path | None = None) -> None:
        """Watch a counter.

        Args:
            counter: file with a line `oom_kill <n>`; the own cgroup's where left out.
        """
        self._counter = counter or _find_counter()
        self._n_seen = self._count()
        self._seen_at_s: list[float] = []

    def look(self) -> None:
        """Note what was counted since the last look; to be called about every second."""
        n, now_s = self._count(), time.monotonic()
        self._seen_at_s += [now_s] * max(0, n - self._n_seen)
        self._n_seen = n
        self._seen_at_s = [at_s for at_s in self._seen_at_s if now_s - at_s < _MEMORY_S]

    def take(self) -> bool:
        """Whether a kill was counted in the last seconds that no other worker has answered for."""
        self.look()
        return bool(self._seen_at_s) and self._seen_at_s.pop(0) > 0

    def _count(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            for line in self._counter.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        return 0


def offer_myself() -> None:
    """Ask the kernel to end this process first when memory runs out, rather than the driver."""
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text("1000")


def _find_counter() -> Path:
    """The counter of the innermost cgroup that can be read; that of the machine where there is none."""
    own = ""
    with contextlib.suppress(OSError):
        own = _OWN_CGROUPS.read_text()
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if "memory" in controllers.split(","):
            places = [_CGROUPS / "memory" / inside / "memory.oom_control", _CGROUPS / "memory" / "memory.oom_control"]
        elif not controllers:
            places = [_CGROUPS / inside / "memory.events", _CGROUPS / "memory.events"]
        else:
            continue
        for place in places:
            if _has_count(place):
                return place
    return _WHOLE_MACHINE


def _has_count(place: Path) -> bool:
    try:
        return "oom_kill " in place.read_text()
    except OSError:
        return False
