"""How this machine is divided among workers.

A clock that stands still while its process does: a laptop's sleep, SIGSTOP.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil

MEMORY_PER_WORKER_BYTES = 1_500_000_000
"""A worker with TensorFlow and a small network: 0.7 to 1.2 GB were seen."""
_CGROUP = Path("/sys/fs/cgroup")
_CPU = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def divide_machine(
    workers: int | Literal["auto"], threads: int | Literal["auto"], *, n_cores: int, free_bytes: int, n_gpus: int = 0
) -> tuple[int, int]:
    """Say how many workers run at once, and with how many threads each.

    By default there is one worker a GPU, or else one for every two cores as far as memory reaches;
    the cores are divided among the workers.

    Examples:
        >>> divide_machine("auto", "auto", n_cores=8, free_bytes=16_000_000_000)
        (4, 2)
        >>> divide_machine("auto", "auto", n_cores=8, free_bytes=2_000_000_000)
        (1, 8)
        >>> divide_machine(3, "auto", n_cores=8, free_bytes=2_000_000_000)
        (3, 2)
    """
    by_size = n_gpus or max(1, min(n_cores // 2, free_bytes // MEMORY_PER_WORKER_BYTES))
    n_workers = by_size if workers == "auto" else workers
    return n_workers, max(1, n_cores // n_workers) if threads == "auto" else threads


def count_cores() -> int:
    """Count the cores that this process may use: its affinity, cut by the container's quota."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _first_line(_CGROUP / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        n_cores = min(n_cores, max(1, int(quota[0]) // int(quota[1])))
    return n_cores


def name_processor() -> str:
    """The processor's name as the system gives it, such as `AMD EPYC`; of Linux alone it is the
    model's.
    """
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def free_memory_bytes() -> int:
    """Memory that is free for new processes, cut by the container's limit."""
    free_bytes = int(psutil.virtual_memory().available)
    limit, used = _first_line(_CGROUP / "memory.max"), _first_line(_CGROUP / "memory.current")
    if limit.isdigit() and used.isdigit():
        free_bytes = min(free_bytes, int(limit) - int(used))
    return free_bytes


def cpu_model() -> str:
    """Name the processor's model; empty where the system does not say."""
    try:
        lines = _CPU.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def list_gpus(visible: str | None = None) -> tuple[str, ...]:
    """Name the NVIDIA GPUs as `CUDA_VISIBLE_DEVICES` does, without TensorFlow.

    Args:
        visible: what the user set `CUDA_VISIBLE_DEVICES` to; `None` for all.
    """
    if not _GPUS.is_dir():
        return ()
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))
    return tuple(str(i) for i in range(len(list(_GPUS.iterdir()))))


def _first_line(path: Path) -> str:
    try:
        return path.read_text().split("\n", 1)[0]
    except OSError:
        return ""


LONGEST_TURN_S = 60.0
"""A loop that turns twice a second and has not turned for so long was not awake."""


class ActiveTimeClock:
    """Seconds in which a loop was turning.

    The monotonic clock stands still while Linux is suspended, but not while a process is stopped;
    the clock on the wall does neither. A gap between two turns that no turn of a working loop takes
    is neither's work.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, longest_turn_s: float = LONGEST_TURN_S) -> None:
        """Start at 0.

        Args:
            clock: what time is read from, in seconds.
            longest_turn_s: a longer gap does not count.
        """
        self._clock = clock
        self._longest_turn_s = longest_turn_s
        self._turned_at_s = clock()
        self.now_s = 0.0

    def turn(self) -> float:
        """Note that the loop turned; return the seconds since the last turn if it was not awake,
        else 0.
        """
        before_s, self._turned_at_s = self._turned_at_s, self._clock()
        gap_s = max(0.0, self._turned_at_s - before_s)
        if gap_s > self._longest_turn_s:
            return gap_s
        self.now_s += gap_s
        return 0.0
