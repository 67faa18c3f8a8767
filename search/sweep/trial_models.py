"""Where a trial's model is."""

from pathlib import Path

from core.errors import RegistryError
from search.ledger.state import TrialRecord
from search.sweep.known_sweeps import KnownSweep
from search.tracking.models import LoggedModels, ModelOwner
from search.tracking.registry import download_model
from search.tracking.store import TrackingStore, tracking_errors


def find_trial_model(sweep: KnownSweep, trial: TrialRecord, store: TrackingStore | None) -> Path | None:
    """The folder of a trial's model: where the worker left it, or as MLflow has it; `None` if it
    was not kept.
    """
    saved = trial.result.model if trial.result else None
    if saved is None:
        return None
    if (saved.path / "MLmodel").is_file():
        return saved.path
    if store is None:
        return None
    client = store.client()
    with tracking_errors(f"find the model of trial {trial.number}", store):
        experiment = client.get_experiment_by_name(sweep.experiment.name)
        if experiment is None:
            return None
        owner = ModelOwner(sweep.created.sweep_id, "trial", trial.number)
        logged = LoggedModels(client, experiment.experiment_id).find(owner)
    if logged is None:
        return None
    try:
        return download_model(store, logged.location)
    except RegistryError:
        return None
