"""What a worker costs the machine: memory and processor time."""

import threading
import time
from typing import Self

import psutil

_INTERVAL_S = 0.25


class LoadSampler:
    """Watches this process from a thread of its own; `read` gives what happened since the last `read`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._peak_bytes = 0
        self._cpu_s = self._total_cpu_s()
        self._read_at_s = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="load-sampler", daemon=True)

    def read(self) -> dict[str, float]:
        """Return `system/rss_mb` (peak, in 10^6 bytes) and `system/cpu_percent` (100 a busy core), and begin anew."""
        now_s, cpu_s = time.monotonic(), self._total_cpu_s()
        elapsed_s = max(now_s - self._read_at_s, 1e-9)
        rss_bytes = int(self._process.memory_info().rss)
        load = {
            "system/rss_mb": max(self._peak_bytes, rss_bytes) / 1e6,
            "system/cpu_percent": 100.0 * (cpu_s - self._cpu_s) / elapsed_s,
        }
        self._peak_bytes, self._cpu_s, self._read_at_s = rss_bytes, cpu_s, now_s
        return load

    def _total_cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _watch(self) -> None:
        while not self._stopped.wait(_INTERVAL_S):
            self._peak_bytes = max(self._peak_bytes, int(self._process.memory_info().rss))

    def __enter__(self) -> Self:
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopped.set()
