"""The refits of one trial under several seeds become one model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import RegistryError
from core.training.plan import choose_precision
from search.executors.base import run_task
from search.experiment.experiment import Experiment
from search.ledger.trial import FileReference, TrialResult, TrialSpec, TrialState
from search.objectives.tasks import JOIN_NETWORKS, JoiningTask, PatchTask
from search.promotion.kept_model import keep_model, kept_model
from search.sweep.workers import local_executor

_KEPT_FILE, _FOLDER = "committee.json", "committee"


def join_refits(
    networks: Sequence[Path], folder: Path, task: PatchTask, experiment: Experiment
) -> tuple[FileReference, Mapping[str, float]]:
    """Join the networks, or return what was joined before.

    Args:
        networks: folders of the members' models.
        folder: of the refit; the committee is saved below it.
        task: of the members.
        experiment: what the work runs on.

    Returns:
        The model, and its scores on validation pages.

    Raises:
        RegistryError: if the work fails.
    """
    kept = folder / _KEPT_FILE
    result = kept_model(kept) or _join(networks, folder, task, experiment)
    if result.state is not TrialState.COMPLETED or result.model is None:
        raise RegistryError(f"{len(networks)} members must become one model, but that failed: {result.reason}")
    keep_model(result, kept)
    return result.model, result.metrics


def _join(networks: Sequence[Path], folder: Path, task: PatchTask, experiment: Experiment) -> TrialResult:
    executor = local_executor(experiment, JOIN_NETWORKS, n_workers=1)
    spec = TrialSpec.of_task(
        JOIN_NETWORKS,
        JoiningTask(tuple(networks), task),
        folder / _FOLDER,
        precision=choose_precision(experiment.training.precision),
        seed=experiment.seed,
        threads=executor.threads,
    )
    return run_task(executor, spec)
