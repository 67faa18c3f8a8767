"""How this machine is divided among workers."""

import os
from pathlib import Path
from typing import Literal

import psutil

MEMORY_PER_WORKER_BYTES = 1_500_000_000
"""A worker with TensorFlow and a small network: 0.7 to 1.2 GB were seen."""

_CGROUP = Path("/sys/fs/cgroup")
_GPUS = Path("/proc/driver/nvidia/gpus")


def divide_machine(
    workers: int | Literal["auto"], threads: int | Literal["auto"], *, n_cores: int, free_bytes: int, n_gpus: int = 0
) -> tuple[int, int]:
    """Say how many workers run at once, and with how many threads each.

    By default there is one worker a GPU, or else one for every two cores as far as memory reaches; the cores are
    divided among the workers.

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


def free_memory_bytes() -> int:
    """Memory that is free for new processes, cut by the container's limit."""
    free_bytes = int(psutil.virtual_memory().available)
    limit, used = _first_line(_CGROUP / "memory.max"), _first_line(_CGROUP / "memory.current")
    if limit.isdigit() and used.isdigit():
        free_bytes = min(free_bytes, int(limit) - int(used))
    return free_bytes


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
