"""Takes a comparison of sweeps down in MLflow: one run for the same sweeps, however often they are compared."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

from search.comparison.several_sweeps import Comparison
from search.ledger.ranking import score_name
from search.tracking.runs import TrackedRuns
from search.tracking.store import TrackingStore, tracking_errors
from search.tracking.sweep_page import warning_note

EXPERIMENT = "comparisons"


def comparison_key(comparison: Comparison) -> str:
    """What names a comparison: a hash of its sweeps' ids."""
    ids = " ".join(sorted(sweep.sweep_id for sweep in comparison.sweeps))
    return hashlib.sha256(ids.encode()).hexdigest()[:12]


def record_comparison(comparison: Comparison, files: Mapping[str, Path], table: str, store: TrackingStore) -> str:
    """Write the run of this comparison anew, or make it; return its id.

    Args:
        comparison: of finished or running sweeps.
        files: pictures and tables by artifact path.
        table: Markdown, for the run's description.
        store: where.

    Raises:
        TrackingError: if the store cannot be written.
    """
    key, now_ms = comparison_key(comparison), time.time_ns() // 1_000_000
    with tracking_errors("record the comparison", store):
        runs = TrackedRuns(store, EXPERIMENT, score_name(comparison.metric), comparison.direction == "minimize")
        tags = {"kind": "comparison", "comparison": key}
        found = runs.find_all(tags)
        names = [sweep.name for sweep in comparison.sweeps]
        title = " | ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        run_id = found[0].info.run_id if found else runs.create(title, now_ms, tags)
        try:
            pictures = [name for name in files if name.endswith(".png")]
            shown = "\n\n".join(f"![{name}](get-artifact?path={name}&run_uuid={run_id})" for name in pictures)
            runs.log_files(run_id, files)
            note = {"mlflow.note.content": f"{warning_note(comparison.warning)}{table}\n\n{shown}"}
            if comparison.warning:
                note["warning"] = comparison.warning
            split = {"split_hash": comparison.sweeps[0].split_hash[:12]}
            runs.set_tags(run_id, {"sweeps": ", ".join(names), **split, **note})
        except BaseException:
            runs.close(run_id, "FAILED", now_ms)
            raise
        runs.close(run_id, "FINISHED", now_ms)
    return str(run_id)
