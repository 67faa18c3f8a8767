"""The protocol between a sweep and the place where its trials are trained, and one task on its own.

What workers say to the driver are the messages here; the ledger's events are all that follows.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from core.errors import WhosehandError
from search.ledger.trial import (
    EpochReport,
    FailureKind,
    PruningDecision,
    ReportEpoch,
    TrialResult,
    TrialSpec,
    TrialState,
)

LOG_NAME = "worker.log"
"""What a worker prints, in its attempt's folder."""


class ExecutorError(WhosehandError):
    """No worker can be started."""


@dataclass(frozen=True)
class WorkerPlace:
    """Where a worker was started.

    Attributes:
        host: name of the machine.
        threads: that the worker may use there.
        pid: of its process there; 0 where that is not known.
        cpu: model of the processor; empty where that is not known. Bits are equal on one model.
    """

    host: str
    threads: int
    pid: int = 0
    cpu: str = ""


@dataclass(frozen=True)
class WorkerReported:
    """A worker finished an epoch and waits for `Executor.answer`."""

    number: int
    attempt: int
    report: EpochReport


@dataclass(frozen=True)
class WorkerEnded:
    """A worker's part of a trial ended in order; its place is free again.

    Attributes:
        number: of the trial.
        attempt: of that trial.
        result: how it ended.
        resting: for DISK_FULL, what rests until there is room, such as `node b`; empty where it is
            the sweep's own disk, and all must rest.
    """

    number: int
    attempt: int
    result: TrialResult
    resting: str = ""


@dataclass(frozen=True)
class WorkerLost:
    """A worker died without a word; its place is free again.

    Attributes:
        number: of the trial that it was on.
        attempt: of that trial.
        exit_code: negative for a signal, as in `subprocess`; `None` where it is not known.
        reason: one line, such as `killed by SIGKILL`.
        log_tail: the last lines that the worker wrote.
        failure: WORKER_LOST, OUT_OF_MEMORY, or NODE_LOST where the trial did nothing wrong.
    """

    number: int
    attempt: int
    exit_code: int | None
    reason: str
    log_tail: str
    failure: FailureKind = FailureKind.WORKER_LOST


Message = WorkerReported | WorkerEnded | WorkerLost


class Executor(Protocol):
    """Trains trials somewhere, at most `n_workers` at once.

    Called from one thread only, but for `wake`. A trial's messages come in order, and after a
    `WorkerEnded` or a `WorkerLost` there is none from that attempt. Files that a message refers to
    lie below the spec's `work_dir` and can be read here, wherever they were written.
    """

    @property
    def n_workers(self) -> int:
        """How many trials may run at once. It may change in `poll`, also to 0 while no node is
        there; those that run count until their message comes.
        """
        ...

    @property
    def threads(self) -> int:
        """How many threads each worker may use."""
        ...

    def start(self, spec: TrialSpec) -> WorkerPlace:
        """Start a worker on `spec` and say where.

        Raises:
            ExecutorError: if no worker can be started.
        """
        ...

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """Return what the workers said, as soon as there is something or `wake` is called, or
        nothing in time.
        """
        ...

    def answer(self, number: int, decision: PruningDecision) -> None:
        """Answer the report of trial `number`; without effect if its worker died meanwhile."""
        ...

    def kill(self, number: int) -> None:
        """End the worker of trial `number` at once; no message follows."""
        ...

    def wake(self) -> None:
        """Make a running or the next `poll` return. May be called from any thread and from a signal
        handler.
        """
        ...

    def close(self) -> None:
        """End all workers at once and give back what is held. May be called twice."""
        ...


_POLL_S = 1.0
_IN_ALL = "in all"


def task_progress(report_epoch: ReportEpoch, every_s: float = 1.0) -> Callable[[int, int], None]:
    """What a task calls with (done, in all), in a worker; it reaches `run_task`'s `on_progress`.

    Args:
        report_epoch: of the worker.
        every_s: not more often.
    """
    said_at_s = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal said_at_s
        if time.monotonic() - said_at_s >= every_s:
            said_at_s = time.monotonic()
            report_epoch(EpochReport(done, {_IN_ALL: float(total)}, n_patches=0, duration_s=0.0))

    return advance


def run_task(executor: Executor, spec: TrialSpec, on_progress: Callable[[int, int], None] | None = None) -> TrialResult:
    """Run one piece of work outside of any sweep, to its end.

    Args:
        executor: closed when this returns.
        spec: what to do; see `TrialSpec.of_task`. It reports no epochs, but may say how far it is
            with `task_progress`.
        on_progress: called with (done, in all).

    Returns:
        A FAILED result also where the worker was lost; its reason is one line.

    Raises:
        ExecutorError: if no worker can be started.
    """
    with closing(executor):
        executor.start(spec)
        while True:
            for message in executor.poll(_POLL_S):
                match message:
                    case WorkerReported(number=number, report=report):
                        if on_progress is not None:
                            on_progress(report.epoch, int(report.metrics[_IN_ALL]))
                        executor.answer(number, PruningDecision.GO)
                    case WorkerEnded(result=result):
                        return result
                    case WorkerLost(reason=reason):
                        return TrialResult(TrialState.FAILED, reason=f"the worker was {reason}")
