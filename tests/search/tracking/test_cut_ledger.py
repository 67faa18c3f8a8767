"""A finished sweep whose ledger lost its last bytes, as after a power cut, and that is launched
again.
"""

from collections import Counter
from pathlib import Path

import pytest

from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.tracking.store import TrackingStore, all_pages
from tests.search.upkeep.kept_project import N_TRIALS, NAME, make_project

pytest_plugins = ["tests.search.upkeep.copied_project"]


def metric_points(store: TrackingStore) -> Counter[tuple[str, str, int]]:
    """How often each run has each step of each metric."""
    client = store.client()
    experiment = client.get_experiment_by_name(NAME)
    runs = all_pages(lambda token: client.search_runs([experiment.experiment_id], page_token=token))
    return Counter(
        (run.info.run_name, key, point.step)
        for run in runs
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)
    )


@pytest.mark.parametrize("lost", ["a byte", "the close", "a trial's end", "an epoch", "a trial"])
def test_what_mlflow_has_beyond_the_ledger_is_kept_said_and_not_doubled(
    lost: str, project: TrackingStore, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace.sweep(NAME) / LEDGER_NAME
    before, lines = metric_points(project), path.read_bytes().splitlines(keepends=True)
    last = N_TRIALS - 1
    starts = {
        "the close": b'"kind": "closed"',
        "a trial's end": b'"kind": "ended"',
        "an epoch": b'"kind": "reported"',
        "a trial": b'"kind": "proposed"',
    }
    if lost == "a byte":
        kept = b"".join(lines)[:-1]
    else:
        place = max(number for number, line in enumerate(lines) if starts[lost] in line)
        kept = b"".join(lines[:place])
    path.write_bytes(kept)
    Path("optuna.db").unlink()  # a second copy of the user's, which the ledger fills again
    make_project(workspace.root)
    state = read_ledger(workspace.sweep(NAME))
    assert len(state.trials) == N_TRIALS
    assert all(trial.is_tracked for trial in state.trials.values())
    after = metric_points(project)
    assert {point: count for point, count in after.items() if count > 1} == {}
    assert after.keys() == before.keys()
    is_made_again = lost in ("a trial's end", "an epoch", "a trial")
    assert (f"MLflow has more of trial {last} than the ledger" in capsys.readouterr().err) is is_made_again


def test_a_whole_ledger_is_told_of_nothing(
    project: TrackingStore, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = metric_points(project)
    make_project(workspace.root)
    assert metric_points(project) == before
    assert "than the ledger" not in capsys.readouterr().err
