"""What epochs and trials come to, as metrics of MLflow."""

from collections.abc import Mapping, Sequence

from mlflow.entities import Metric

from search.ledger.events import EpochReported, SegmentEnded
from search.ledger.ranking import plain_scores
from search.ledger.state import TrialRecord


def epoch_metrics(event: EpochReported) -> Sequence[Metric]:
    """All that an epoch reported, its speed and where its time went."""
    report = event.report
    metrics = dict(report.metrics)
    if report.n_patches and report.duration_s > 0:
        metrics["train/patches_per_s"] = report.n_patches / report.duration_s
    metrics |= _seconds(report.seconds)
    return metrics_at(metrics, report.epoch, event.at_ms)


def final_scores(event: SegmentEnded, trial: TrialRecord, objective: str) -> dict[str, float]:
    """What a trial came to, by metric.

    Args:
        event: its end.
        trial: with all its epochs.
        objective: the name under which its value is recorded.
    """
    result = event.result
    scores = plain_scores(result.metrics)
    if result.value is not None:
        scores |= plain_scores({objective: result.value})
    scores |= {"duration_s": round(trial.duration_s, 3), "epochs": float(trial.n_epochs)}
    if trial.n_patches and trial.duration_s > 0:
        scores["patches_per_s"] = round(trial.n_patches / trial.duration_s, 1)
    scores |= _seconds(result.seconds, without=("waiting",))  # which the last epoch has, at this step
    if result.n_parameters:
        scores["n_weights"] = float(result.n_parameters)
    return scores


def metrics_at(
    values: Mapping[str, float],
    step: int,
    at_ms: int,
    model_id: str | None = None,
    dataset: tuple[str, str] | None = None,
) -> Sequence[Metric]:
    """MLflow metrics of one moment, of a model and a dataset (name, digest) if they are given."""
    name, digest = dataset if dataset and model_id else (None, None)
    return [
        Metric(key, float(value), at_ms, step, model_id=model_id, dataset_name=name, dataset_digest=digest)
        for key, value in values.items()
    ]


def _seconds(parts: Mapping[str, float], without: Sequence[str] = ()) -> dict[str, float]:
    """What an epoch's or an end's seconds are called in MLflow, such as `seconds/steps`."""
    return {f"seconds/{part}": round(seconds, 3) for part, seconds in parts.items() if part not in without}
