"""Puts a sweep's report beside the sweep's run in MLflow."""

from pathlib import Path

from search.comparison.sweep_report import find_sweep_run
from search.sweep.known_sweeps import KnownSweep
from search.tracking.store import TrackingStore, tracking_errors


def record_report(sweep: KnownSweep, path: Path, store: TrackingStore) -> str | None:
    """Log the report as an artifact of the sweep's run, over an earlier one.

    Returns:
        The run's id; `None` if the sweep was never tracked there.

    Raises:
        TrackingError: if the store cannot be written.
    """
    found = find_sweep_run(sweep, store)
    if found is None:
        return None
    with tracking_errors(f"record the report of {sweep.created.name!r}", store):
        store.client().log_artifact(found[0], str(path))
    return found[0]
