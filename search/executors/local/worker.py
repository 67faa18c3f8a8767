"""The main function of a worker process: trains one trial, talks to the driver, and never outlives
it.

What a worker costs the machine: memory and processor time.
"""

import contextlib
import gc
import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import psutil

from core.crash_points import arm_worker, crash_point
from core.errors import WhosehandError
from core.passwords import without_passwords
from search.executors.local.processes import raise_oom_score
from search.ledger.trial import (
    EpochReport,
    FailureKind,
    Objective,
    PruningDecision,
    ReportEpoch,
    TrialResult,
    TrialSpec,
    TrialState,
    kind_of,
)

_INTERVAL_S = 0.25


class LoadSampler:
    """Watches this process from a thread of its own; `read` gives what happened since the last
    `read`.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._peak_bytes = 0
        self._cpu_s = self._total_cpu_s()
        self._read_at_s = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="load-sampler", daemon=True)

    def read(self) -> dict[str, float]:
        """Return `system/rss_mb` (peak, in 10^6 bytes) and `system/cpu_percent` (100 a busy core),
        and begin anew.
        """
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


_DRIVER_GONE = 3  # exit code


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker process needs before it knows its trial.

    Attributes:
        log: file that takes its standard output and error.
        environment: variables to set.
        crash_at: points at which a test kills workers.
    """

    log: Path
    environment: Mapping[str, str]
    crash_at: str = ""


def run_worker(connection: Connection, setup: WorkerSetup) -> None:
    """Train the trial whose spec comes through `connection`, and leave the process.

    Sends an `EpochReport` after every epoch and waits for a `PruningDecision`; at the end sends a
    `TrialResult`. Ctrl-C, SIGTERM and SIGHUP, which reach the whole process group, are left to the
    driver. When the connection closes because the driver died or gave the trial up, the process
    exits at once, so that no orphan trains beside a resumed sweep.
    """
    began_s = time.monotonic()
    gc.freeze()  # looking through what the server imported would copy every page of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    _redirect_output(setup.log)
    os.environ.update(setup.environment)
    raise_oom_score()
    messages = _listen(connection)
    spec = messages.get()
    if isinstance(spec, Exception):
        connection.send(unreadable(spec, "a worker"))
        os._exit(0)
    if not isinstance(spec, TrialSpec):
        raise TypeError(f"The first message to a worker is its TrialSpec, but got {spec!r}.")
    arm_worker(setup.crash_at, spec.attempt)
    crash_point("worker-ready")
    with LoadSampler() as sampler:
        report_epoch = _Reports(connection, messages, sampler, began_s)
        result = _train(spec, report_epoch)
    crash_point("result-made")
    value = None if result.value is None else float(result.value)
    metrics = {name: float(value) for name, value in result.metrics.items()}
    seconds = {**result.seconds, **report_epoch.unsaid_s}
    connection.send(replace(result, metrics=metrics, value=value, seconds=seconds))
    crash_point("result-sent")
    with contextlib.suppress(OSError):  # a full disk
        sys.stdout.flush()
        sys.stderr.flush()
    # Frameworks may leave threads behind, or take seconds to tear down what the system frees at
    # once.
    os._exit(0)


class _Reports:
    """Sends an epoch's report, with what it cost the machine, and hears the answer.

    Attributes:
        unsaid_s: seconds by what they went into, that no message has said yet.
    """

    def __init__(
        self, connection: Connection, messages: "queue.SimpleQueue[object]", sampler: LoadSampler, began_s: float
    ) -> None:
        self._connection, self._messages, self._sampler = connection, messages, sampler
        self._began_s, self._has_started = began_s, False
        self.unsaid_s: dict[str, float] = {}

    def __call__(self, report: EpochReport) -> PruningDecision:
        sent_s = time.monotonic()
        if not self._has_started:
            self._has_started = True
            self.unsaid_s["start"] = max(0.0, sent_s - self._began_s - report.duration_s)
        metrics = {name: float(value) for name, value in report.metrics.items()}
        load, seconds = self._sampler.read(), {**report.seconds, **self.unsaid_s}
        self._connection.send(replace(report, metrics=metrics | load, seconds=seconds))
        crash_point("report-sent")
        decision = PruningDecision(str(self._messages.get()))
        self.unsaid_s = {"waiting": time.monotonic() - sent_s}
        crash_point("verdict-heard")
        return decision


def unreadable(error: Exception, where: str) -> TrialResult:
    """How a trial ends whose settings only the driver can read.

    Args:
        error: that reading them raised.
        where: they were read, such as `a worker`.
    """
    reason = (
        f"SettingsError: {where} must be able to read a trial's settings, but: {type(error).__name__}: {error}. "
        "Install there what the driver has."
    )
    whole = "".join(traceback.format_exception(error))
    return TrialResult(TrialState.FAILED, reason=reason, traceback=whole, failure=FailureKind.ERROR)


def load_objective(import_path: str) -> Objective:
    """Import the objective that `module:name` names.

    Raises:
        WhosehandError: if there is no such module or name in it.
    """
    module_name, _, name = import_path.partition(":")
    try:
        objective: Objective = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise WhosehandError(f"An objective is named `module:function`, but {import_path!r} gave: {error}.") from error
    return objective


def _train(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Run the objective; whatever it raises becomes a FAILED result."""
    try:
        return load_objective(spec.objective)(spec, report_epoch)
    except Exception as error:
        whole = without_passwords(traceback.format_exc())
        with contextlib.suppress(OSError):  # a full disk
            print(whole, file=sys.stderr)
        failure = kind_of(error)
        reason = without_passwords(f"{type(error).__name__}: {error}".split("\n", 1)[0])
        if failure is FailureKind.OUT_OF_MEMORY:
            reason = f"OutOfMemory: {_size()}; {reason}"
        return TrialResult(TrialState.FAILED, reason=reason, traceback=whole, failure=failure)


def _size() -> str:
    return f"there was no more when this worker held {psutil.Process().memory_info().rss / 1e6:,.0f} MB"


def _listen(connection: Connection) -> "queue.SimpleQueue[object]":
    """Put what the driver sends into a queue, and leave the process when the driver is gone."""
    messages: queue.SimpleQueue[object] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            try:
                messages.put(connection.recv())
            except (EOFError, OSError):
                os._exit(_DRIVER_GONE)
            except Exception as error:  # whatever the objects in it raise
                messages.put(error)

    threading.Thread(target=listen, name="driver-watch", daemon=True).start()
    return messages


def _redirect_output(log: Path) -> None:
    """Send standard output and error to `log`, those of C++ libraries too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
