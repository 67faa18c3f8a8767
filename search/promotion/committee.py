"""The refits of one trial under several seeds become one model."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from core.durable_files import write_atomically
from core.errors import RegistryError
from core.training.plan import choose_precision
from search.executors.base import run_task
from search.experiment.experiment import Experiment
from search.ledger.files import is_intact
from search.ledger.references import with_absolute_paths, with_relative_paths
from search.ledger.trial import TrialResult, TrialSpec, TrialState
from search.objectives.tasks import JOIN_NETWORKS, JoiningTask, PatchTask
from search.sweep.workers import local_executor

_KEPT_FILE, _FOLDER = "committee.json", "committee"
_KEPT: TypeAdapter[TrialResult] = TypeAdapter(TrialResult)


def join_refits(networks: Sequence[Path], folder: Path, task: PatchTask, experiment: Experiment) -> TrialResult:
    """Join the networks, or return what was joined before.

    Args:
        networks: folders of the members' models.
        folder: of the refit; the committee is saved below it.
        task: of the members.
        experiment: what the work runs on.

    Returns:
        A completed result: the model, and its scores on validation pages.

    Raises:
        RegistryError: if the work fails.
    """
    kept = folder / _KEPT_FILE
    if kept.exists():
        result = _KEPT.validate_python(with_absolute_paths(json.loads(kept.read_bytes()), folder))
        if result.model is not None and is_intact(result.model):
            return result
    executor = local_executor(experiment, JOIN_NETWORKS, n_workers=1)
    spec = TrialSpec.of_task(
        JOIN_NETWORKS,
        JoiningTask(tuple(networks), task),
        folder / _FOLDER,
        precision=choose_precision(experiment.training.precision),
        seed=experiment.seed,
        threads=executor.threads,
    )
    result = run_task(executor, spec)
    if result.state is not TrialState.COMPLETED:
        raise RegistryError(f"{len(networks)} members must become one model, but that failed: {result.reason}")
    write_atomically(kept, json.dumps(with_relative_paths(_KEPT.dump_python(result, mode="json"), folder)).encode())
    return result
