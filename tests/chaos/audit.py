"""Whether a sweep that was disturbed is whole: ledger, MLflow and disk against each other and an
undisturbed sweep.

It reads MLflow and the ledger by itself and uses nothing of what mends them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from core.errors import LedgerError
from search.ledger.ledger import read_ledger
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import CHECKPOINT_FOLDER, TrialState

RUN_STATUS = {
    TrialState.COMPLETED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
    TrialState.PAUSED: "SCHEDULED",
}


def audit(workspace: Path, name: str, metric: str, twin: Path | None = None, uri: str | None = None) -> list[str]:
    """Find what is wrong with a finished sweep.

    Args:
        workspace: in which it was run.
        name: of the sweep.
        metric: whose curve is checked.
        twin: folder of a sweep of the same experiment that nothing disturbed.
        uri: of the tracking store; by default the workspace's database.

    Returns:
        A line for every fault; empty if the sweep is whole.
    """
    folder = workspace / "mlruns" / "sweeps" / name
    try:
        state = read_ledger(folder)
    except LedgerError as error:
        return [str(error)]
    client = MlflowClient(uri or f"sqlite:///{workspace / 'mlruns' / 'mlflow.db'}")
    faults = [*_ledger_faults(state), *_disk_faults(folder, state), *_record_faults(client, name, state, metric)]
    if twin is not None and (story := _story(state)) != (expected := _story(read_ledger(twin))):
        faults += [
            f"trial {k}: {one} instead of {other}"
            for k, (one, other) in enumerate(zip(story, expected, strict=False))
            if one != other
        ]
        if len(story) != len(expected):
            faults.append(f"{len(story)} trials instead of {len(expected)}")
    return faults


def _story(state: SweepState) -> list[tuple[Any, ...]]:
    """All that must not depend on what happened to driver and workers."""
    return [
        (
            trial.proposed.point,
            trial.proposed.seed,
            str(trial.state),
            [_scores(event.report.metrics) for event in trial.reports],
            trial.result.value if trial.result else None,
        )
        for trial in state.trials.values()
    ]


def _scores(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("system/") and "per_s" not in name}


def _ledger_faults(state: SweepState) -> Iterator[str]:
    points = Counter(str(sorted(trial.proposed.point.items())) for trial in state.trials.values())
    yield from (f"{n} trials have the point {point}" for point, n in points.items() if n > 1)
    budget = (state.created.config if state.created else {}).get("budget", {}).get("trials")
    if state.budget_changed is not None:
        budget = state.budget_changed.limits.trials
    if budget is not None and len(state.trials) != budget:
        yield f"{len(state.trials)} trials in the ledger with a budget of {budget}"
    for trial in state.trials.values():
        epochs = [event.report.epoch for event in trial.reports]
        if epochs != list(range(1, len(epochs) + 1)):
            yield f"trial {trial.number} has the epochs {epochs}"
        if trial.state is TrialState.RUNNING:
            yield f"trial {trial.number} is still running"
        if trial.state.is_final and not trial.is_tracked:
            yield f"trial {trial.number} is not tracked"
    if state.closed is None or state.closed.status != "completed":
        yield f"the sweep is not completed: {state.closed}"
    for pid in {start.pid for trial in state.trials.values() for start in trial.starts}:
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            yield f"worker {pid} is still there"


def _disk_faults(folder: Path, state: SweepState) -> Iterator[str]:
    for trial in state.trials.values():
        if trial.state.is_final:
            left = list((folder / "trials" / str(trial.number)).glob(f"*/{CHECKPOINT_FOLDER}/*"))
            yield from (f"{path} is left over" for path in left)
        if trial.result and trial.result.model and not trial.result.model.path.exists():
            yield f"the model of trial {trial.number} is gone"


def _record_faults(client: MlflowClient, name: str, state: SweepState, metric: str) -> Iterator[str]:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        yield "MLflow does not know the sweep"
        return
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    parents = [run.info.status for run in runs if run.data.tags.get("kind") == "sweep"]
    if parents != ["FINISHED"]:
        yield f"the runs of the sweep are {parents}"
    by_number: dict[int, list[Run]] = {number: [] for number in state.trials}
    for run in runs:
        if run.data.tags.get("kind") == "trial":
            by_number.setdefault(int(run.data.tags["trial"]), []).append(run)
    for number, found in by_number.items():
        if number not in state.trials or len(found) != 1:
            yield f"trial {number} has {len(found)} runs"
        else:
            yield from _run_faults(client, state.trials[number], found[0], metric)
    completed = [number for number, trial in state.trials.items() if trial.state is TrialState.COMPLETED]
    models = client.search_logged_models([experiment.experiment_id])
    if sorted((int(model.tags["trial"]), str(model.status)) for model in models) != [(n, "READY") for n in completed]:
        yield f"the models are {[(model.tags['trial'], str(model.status)) for model in models]}"


def _run_faults(client: MlflowClient, trial: TrialRecord, run: Run, metric: str) -> Iterator[str]:
    if run.info.status != RUN_STATUS.get(trial.state):
        yield f"the run of trial {trial.number} is {run.info.status}, and the trial {trial.state}"
    if run.data.params != {key: str(value) for key, value in trial.proposed.hyperparameters.items()}:
        yield f"the run of trial {trial.number} has other parameters: {run.data.params}"
    curve = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]
    expected = [(event.report.epoch, event.report.metrics[metric]) for event in trial.reports]
    if sorted(curve) != expected:
        yield f"the curve of trial {trial.number} is {sorted(curve)} instead of {expected}"
