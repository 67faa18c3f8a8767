"""How `benchmarks.scale` measures a call."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Size:
    """Of a synthetic corpus."""

    n_writers: int
    n_pages: int

    def scaled(self, factor: float) -> "Size":
        """So many times as many of both, at least two writers with ten pages each."""
        n_writers = max(2, round(factor * self.n_writers))
        return Size(n_writers, max(10 * n_writers, round(factor * self.n_pages)))


@dataclass(frozen=True)
class Cost:
    """What a call took.

    Attributes:
        what: was measured.
        seconds: of the clock.
        peak_mb: resident memory above what there was before, in 10^6 bytes, at its highest.
    """

    what: str
    seconds: float
    peak_mb: float


def measured(what: str, call: Callable[[], object]) -> Cost:
    """Take time and memory of a call; its result is dropped.

    Linux alone tells and forgets a process's peak (proc(5): VmHWM, clear_refs).
    """
    before = psutil.Process().memory_info().rss
    _CLEAR.write_text("5")
    started = time.perf_counter()
    call()
    seconds = time.perf_counter() - started
    peak_kib = next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return Cost(what, seconds, max(0, 1024 * peak_kib - before) / 1e6)
