"""Who trains an experiment's trials: workers of this machine, or those of a Ray cluster's nodes."""

import os
from collections.abc import Callable
from pathlib import Path

from core.training.plan import choose_precision
from search.executors.base import Executor
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.executors.machine import count_cores, divide_machine, free_memory_bytes, list_gpus
from search.executors.ray.cluster import RayCluster
from search.executors.ray.executor import ClusterExecutor, agreed_precision
from search.executors.ray.parcels import AgentSetup
from search.experiment.experiment import Experiment
from search.ledger.state import SweepState
from search.ledger.trial import TrialSpec
from search.objectives.tasks import RUN_OWN, TRY_CODE, CodeTrial, OwnTask, PatchTask


def worker_objective(experiment: Experiment) -> str:
    """What a worker runs: whosehand's training, or what runs an objective of the user's own."""
    return RUN_OWN if experiment.objective.is_own else str(experiment.objective.run)


def open_executor(
    experiment: Experiment, task: PatchTask | OwnTask, say: Callable[[str], None], n_workers: int | None = None
) -> Executor:
    """The workers that the experiment's `executor` names.

    Args:
        experiment: its `executor` part counts.
        task: of the trials; the files that it names are brought to nodes, and each node imports
            what it needs before it gets a trial.
        say: takes what the user should know.
        n_workers: of this machine, where there is less to do than the experiment allows.

    Raises:
        ExecutorError: if no cluster can be joined, or its nodes cannot be used.
    """
    settings, objective = experiment.executor, worker_objective(experiment)
    if settings.name == "local":
        return local_executor(experiment, objective, n_workers)
    setup = AgentSetup(
        session="",
        scratch=None if settings.scratch == "auto" else Path(settings.scratch),
        workers=settings.workers,
        threads=settings.threads,
        preload=modules_to_preload(objective),
        packages=tuple(sorted({name for code in experiment.code.values() for name in code.packages})),
        silent_s=_silent_s(experiment),
    )
    first = TrialSpec.of_task(
        TRY_CODE, CodeTrial(objective, task), Path("first-task"), precision="float32", seed=experiment.seed, threads=1
    )
    return ClusterExecutor(RayCluster(settings.address), setup, first_task=first, say=say)


def chosen_precision(experiment: Experiment, executor: Executor, state: SweepState) -> str:
    """`float32` or `mixed_bfloat16`: one for all trials, on whatever node.

    Args:
        experiment: says it, or leaves it to the processors.
        executor: that will train.
        state: of the sweep; what a launch chose once for nodes that come and go stays.
    """
    choice = experiment.training.precision
    if not isinstance(executor, ClusterExecutor):
        return choose_precision(choice)
    if choice == "auto" and state.launches:
        return state.launches[-1].precision
    return agreed_precision(choice, executor.descriptions)


def local_executor(experiment: Experiment, objective: str, n_workers: int | None = None) -> LocalExecutor:
    """Workers on this machine, as the experiment says.

    Args:
        experiment: its `executor` part counts.
        objective: what the workers will run; its imports are done beforehand.
        n_workers: where there is less to do than the experiment allows.
    """
    gpus = list_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    workers, threads = divide_machine(
        n_workers or experiment.executor.workers,
        experiment.executor.threads,
        n_cores=count_cores(),
        free_bytes=free_memory_bytes(),
        n_gpus=len(gpus),
    )
    return LocalExecutor(
        workers,
        threads,
        preload=modules_to_preload(objective),
        gpus=gpus,
        silent_s=_silent_s(experiment),
    )


def _silent_s(experiment: Experiment) -> float | None:
    minutes = experiment.executor.silent_minutes
    return None if minutes is None else 60 * minutes
