"""Notes and tags of trials: while a sweep runs, after it ended, and after a crash."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import whosehand as wh
from core.errors import ConfigError, LedgerError
from search.experiment.workspace import Workspace
from search.ledger.events import TrialAnnotated
from search.ledger.ledger import Ledger, read_ledger
from search.sweep.annotations import annotate_trial
from search.sweep.control import AnnotateCommand, new_command
from search.upkeep.reconcile import reconcile_sweep
from tests.command_line import whosehand
from tests.search.cheap_sweep import CheapSweep
from tests.search.sweep.test_commands import said, sending

NOTE = "mlflow.note.content"


def wait_for_word(trial: Any) -> float:
    """Goes on only when it is told to, by a file."""
    import time
    from pathlib import Path

    trial.report(1.0)
    while trial.number == 1 and not Path("go").exists():
        time.sleep(0.02)
    return float(trial.params["x"])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wh.Sweep]:
    """A sweep of two trials that were annotated while the second one ran."""
    folder = tmp_path_factory.mktemp("annotated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        experiment = wh.Experiment(
            name="noted",
            objective=wh.Objective(run=wait_for_word),
            budget=wh.Budget(trials=2),
            executor=wh.Executor(workers=1),
            space=wh.Space(dimensions={"x": {"type": "real", "low": 0, "high": 1}}),
        )
        thread = threading.Thread(target=wh.sweep, args=(experiment,), kwargs={"progress": False})
        thread.start()
        try:
            running = _wait_for_trial(folder, 1)
            assert running.trials[0].set_note("quick") == ""
            assert running.trials[1].set_note("thin pens") == ""
            assert running.trials[1].set_tag("keep", "yes") == ""
            assert running.trials[1].set_tag("drop", "soon") == ""
        finally:
            Path("go").touch()
            thread.join()
        yield running


def _wait_for_trial(folder: Path, number: int) -> wh.Sweep:
    while True:
        try:
            found = wh.open_sweep("noted", project=folder)
            if len(found.trials) > number and found.trials[number].epochs:
                return found
        except LedgerError:
            pass
        time.sleep(0.1)


def run_of(sweep: wh.Sweep, number: int) -> Run:
    return MlflowClient(f"sqlite:///{sweep.project}/mlruns/mlflow.db").get_run(sweep.trials[number].mlflow_run_id)


@pytest.mark.long
def test_what_is_set_while_the_sweep_runs_is_in_the_ledger_and_in_mlflow(sweep: wh.Sweep) -> None:
    trial, run = sweep.trials[1], run_of(sweep, 1)
    assert (trial.note, trial.tags) == ("thin pens", {"keep": "yes", "drop": "soon"})
    assert run.data.tags[NOTE] == "thin pens"
    assert (run.data.tags["keep"], run.data.tags["drop"]) == ("yes", "soon")
    assert run_of(sweep, 0).data.tags[NOTE] == "quick"


@pytest.mark.long
def test_after_the_sweep_ended_both_faces_set_them_and_show_prints_them(sweep: wh.Sweep) -> None:
    before = sweep.overview().elapsed_s
    told = whosehand(sweep.project, "note", "noted", "0", "**slow** after all")
    assert told.out == "trial 0 of noted has the note: **slow** after all\n"
    assert whosehand(sweep.project, "tag", "noted", "0", "keep=no", "drop=").out.endswith("has: keep=no, no drop\n")
    assert sweep.trials[1].set_tag("drop", "") == ""
    shown = whosehand(sweep.project, "show", "noted", "0").out
    assert "  note       **slow** after all\n  tags       keep=no\n" in shown
    assert run_of(sweep, 0).data.tags[NOTE] == "**slow** after all"
    assert "drop" not in run_of(sweep, 1).data.tags
    assert sweep.overview().elapsed_s == before, "the time since the sweep ended is no working time"
    assert sweep.status == "completed"


@pytest.mark.long
def test_what_mlflow_missed_is_seen_by_reconcile_and_told_by_the_next_launch(sweep: wh.Sweep) -> None:
    workspace = Workspace(sweep.project)
    with Ledger(workspace.sweep("noted")) as ledger:
        ledger.append(TrialAnnotated, "c", 0, "told late", {})
    (difference,) = reconcile_sweep("noted", workspace, is_dry_run=True).found
    assert (difference.trial, difference.what) == (0, "its run has not the note and tags that the ledger has")
    wh.sweep(sweep.experiment.model_copy(update={"objective": wh.Objective(run=wait_for_word)}), progress=False)
    assert run_of(sweep, 0).data.tags[NOTE] == "told late"
    assert reconcile_sweep("noted", workspace, is_dry_run=True).found == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("trial", "tags", "complaint"),
    [
        (2, {}, "has trials 0 to 1, but got 2"),
        (0, {"state": "good"}, "'state' is one that whosehand or MLflow sets itself"),
        (0, {"mlflow.user": "me"}, "sets itself"),
        (0, {"a b": "c"}, "A tag's key has letters"),
        (0, {"long": "x" * 4001}, "at most 4000 signs, but 'long' has 4001"),
    ],
)
def test_what_cannot_be_set_is_refused(sweep: wh.Sweep, trial: int, tags: dict[str, str], complaint: str) -> None:
    with pytest.raises((ConfigError, LedgerError), match=complaint):
        annotate_trial("noted", Workspace(sweep.project), trial, tags=tags)


def test_a_driver_refuses_a_trial_that_is_not_there(tmp_path: Path) -> None:
    sweep = CheapSweep(tmp_path / "sweep")
    sweep.launch(
        sending(
            sweep,
            AnnotateCommand(*new_command(), 9, "a note", {}),
            AnnotateCommand(*new_command(), 0, "a note", {"keep": "yes"}),
        )
    )
    assert said(sweep, "trial 9 is not there")
    trial = read_ledger(sweep.folder).trials[0]
    assert (trial.note, trial.tags) == ("a note", {"keep": "yes"})
