"""The protocol between a sweep and the place where its trials are trained.

One job for one worker outside of any sweep: started, waited for, its result returned.

One piece of work in a worker process: what a promotion does besides the refit.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import RegistryError, WhosehandError
from search.ledger.trial import EpochReport, FailureKind, PruningDecision, TrialResult, TrialSpec, TrialState

LOG_NAME = "worker.log"
"""What a worker prints, in its attempt's folder."""


class ExecutorError(WhosehandError):
    """No worker can be started."""


@dataclass(frozen=True)
class WorkerReported:
    """A worker finished an epoch and waits for `Executor.answer`."""

    number: int
    attempt: int
    report: EpochReport


@dataclass(frozen=True)
class WorkerEnded:
    """A worker's part of a trial ended in order; its place is free again."""

    number: int
    attempt: int
    result: TrialResult


@dataclass(frozen=True)
class WorkerLost:
    """A worker died without a word; its place is free again.

    Attributes:
        number: of the trial that it was on.
        attempt: of that trial.
        exit_code: negative for a signal, as in `subprocess`; `None` where it is not known.
        reason: one line, such as `killed by SIGKILL`.
        log_tail: the last lines that the worker wrote.
        failure: WORKER_LOST or OUT_OF_MEMORY.
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

    Called from one thread only, but for `wake`. A trial's messages come in order, and after a `WorkerEnded` or a
    `WorkerLost` there is none from that attempt.
    """

    @property
    def n_workers(self) -> int:
        """How many trials may run at once."""
        ...

    @property
    def threads(self) -> int:
        """How many threads each worker may use."""
        ...

    def start(self, spec: TrialSpec) -> int:
        """Start a worker on `spec` and return its process id (or whatever number names it there).

        Raises:
            ExecutorError: if no worker can be started.
        """
        ...

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """Return what the workers said, as soon as there is something or `wake` is called, or nothing in time."""
        ...

    def answer(self, number: int, decision: PruningDecision) -> None:
        """Answer the report of trial `number`; without effect if its worker died meanwhile."""
        ...

    def kill(self, number: int) -> None:
        """End the worker of trial `number` at once; no message follows."""
        ...

    def wake(self) -> None:
        """Make a running or the next `poll` return. May be called from any thread and from a signal handler."""
        ...

    def close(self) -> None:
        """End all workers at once and give back what is held. May be called twice."""
        ...


_POLL_S = 1.0


def run_task(executor: Executor, spec: TrialSpec) -> TrialResult:
    """Run one spec that reports no epochs, to its end.

    Args:
        executor: closed when this returns.
        spec: what to do.

    Returns:
        A FAILED result also where the worker was lost; its reason is one line.
    """
    with closing(executor):
        executor.start(spec)
        while True:
            for message in executor.poll(_POLL_S):
                match message:
                    case WorkerEnded(result=result):
                        return result
                    case WorkerLost(reason=reason):
                        return TrialResult(TrialState.FAILED, reason=f"the worker was {reason}")


@dataclass(frozen=True)
class WorkerJob:
    """What a worker is to do.

    Attributes:
        objective: import path of what does it; there are no epochs.
        settings: for the objective.
        work_dir: where it may write.
        precision: of the arithmetic.
        seed: of TensorFlow's set-up.
        rule: what must succeed, for the error: "The model must be scored on the test pages".
    """

    objective: str
    settings: Any
    work_dir: Path
    precision: str
    seed: int
    rule: str


def run_job(job: WorkerJob, executor: Executor) -> TrialResult:
    """Run it to its end.

    Args:
        job: what to do.
        executor: closed when this returns.

    Raises:
        RegistryError: if it fails, or the worker is lost.
    """
    spec = TrialSpec(
        sweep_id="promotion",
        number=0,
        attempt=1,
        objective=job.objective,
        hyperparameters={},
        seed=job.seed,
        start_epoch=0,
        until_epoch=0,
        horizon_epochs=0,
        threads=executor.threads,
        precision=job.precision,
        checkpoint=None,
        work_dir=job.work_dir,
        settings=job.settings,
    )
    with closing(executor):
        executor.start(spec)
        while True:
            for message in executor.poll(_POLL_S):
                match message:
                    case WorkerEnded(result=result) if result.state is TrialState.COMPLETED:
                        return result
                    case WorkerEnded(result=result):
                        raise RegistryError(f"{job.rule}, but that failed: {result.reason}")
                    case WorkerLost(reason=reason):
                        raise RegistryError(f"{job.rule}, but the worker {reason}.")
