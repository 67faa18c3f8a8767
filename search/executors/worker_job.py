"""One piece of work in a worker process: what a promotion does besides the refit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import RegistryError
from search.executors.base import WorkerEnded, WorkerLost
from search.executors.local.executor import LocalExecutor
from search.ledger.trial import TrialResult, TrialSpec, TrialState

_POLL_S = 1.0


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


def run_job(job: WorkerJob, executor: LocalExecutor) -> TrialResult:
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
    with executor:
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
