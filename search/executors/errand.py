"""One job for one worker outside of any sweep: started, waited for, its result returned."""

from search.executors.base import WorkerEnded, WorkerLost
from search.executors.local.executor import LocalExecutor
from search.ledger.trial import TrialResult, TrialSpec, TrialState

_POLL_S = 1.0


def run_errand(executor: LocalExecutor, spec: TrialSpec) -> TrialResult:
    """Run one spec that reports no epochs, to its end.

    Args:
        executor: closed when this returns.
        spec: what to do.

    Returns:
        A FAILED result also where the worker was lost; its reason is one line.
    """
    with executor:
        executor.start(spec)
        while True:
            for message in executor.poll(_POLL_S):
                match message:
                    case WorkerEnded(result=result):
                        return result
                    case WorkerLost(reason=reason):
                        return TrialResult(TrialState.FAILED, reason=f"the worker was {reason}")
