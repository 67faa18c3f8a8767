"""Finalists are trained under fresh seeds, once, in runs beside the trials'."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ComparisonError
from search.experiment.workspace import Workspace
from search.ledger.ledger import read_ledger
from search.ledger.trial import TrialState
from search.sweep.finalists import (
    FinalistChoice,
    choose_finalists,
    choose_trial,
    chosen_finalist,
    finalist_folder,
    finalist_seed,
    read_finalists,
)
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.plan import trial_rng_seed
from tests.command_line import Project, records_of

pytest_plugins = ["tests.search.comparison.reported_project"]
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def sweep(reported_project: Project) -> KnownSweep:
    assert reported_project.answers["finalists"].code == 0, reported_project.answers["finalists"].err
    return read_sweep("tiny", Workspace(reported_project.folder))


def test_the_best_trials_points_are_fitted_under_the_same_fresh_seeds(sweep: KnownSweep) -> None:
    best = choose_finalists(sweep, FinalistChoice(2, 2))
    for trial in best:
        repeats = read_ledger(finalist_folder(sweep.folder, trial.number)).trials
        assert [r.proposed.seed for r in repeats.values()] == [trial_rng_seed(finalist_seed(3), r) for r in (0, 1)]
        assert {r.state for r in repeats.values()} == {TrialState.COMPLETED}
        for repeat in repeats.values():
            assert repeat.proposed.hyperparameters == trial.proposed.hyperparameters
            assert repeat.n_epochs == trial.proposed.horizon_epochs
            assert repeat.n_attempts == 1, "what an earlier call trained is not trained again"
    ranking = read_finalists(sweep)
    assert ranking is not None
    assert {finalist.trial for finalist in ranking.finalists} == {trial.number for trial in best}
    assert all(len(set(finalist.repeats.values())) == 2 for finalist in ranking.finalists), "the seeds differ"
    means = [finalist.spread.mean for finalist in ranking.finalists if finalist.spread]
    assert means == sorted(means)


def test_repeats_are_child_runs_of_their_own_kinds_beside_the_trials(
    sweep: KnownSweep, reported_project: Project
) -> None:
    with records_of(reported_project.folder) as client:
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
    parent = next(run for run in runs if run.data.tags["kind"] == "sweep")
    repeats = [run for run in runs if run.data.tags["kind"].startswith("finalist-")]
    ranking = read_finalists(sweep)
    assert ranking is not None
    told = {(run.data.tags["trial"], run.data.tags["kind"]): run.data.metrics["image_logloss"] for run in repeats}
    assert len(repeats) == len(told) == 4
    for finalist in ranking.finalists:
        for repeat, value in finalist.repeats.items():
            assert told[str(finalist.trial), f"finalist-{repeat + 1}"] == pytest.approx(value, rel=1e-4)
    for run in repeats:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["mlflow.source.name"] == "whosehand compare"


def test_the_best_mean_is_what_a_promotion_takes_and_it_says_why(sweep: KnownSweep) -> None:
    ranking, chosen = read_finalists(sweep), choose_trial(sweep)
    assert ranking is not None
    assert chosen is not None
    assert chosen == chosen_finalist(sweep)
    assert chosen.trial.number == ranking.finalists[0].trial
    assert chosen.rule.startswith("the best mean image_logloss of 2 fresh fits (")
    assert chosen.rule.endswith("among 2 finalists")


def test_without_finalists_the_searchs_best_is_taken(sweep: KnownSweep, tmp_path: Path) -> None:
    sweep = replace(sweep, folder=tmp_path)
    chosen, best = choose_trial(sweep), sweep.state.best("minimize")
    assert chosen is not None
    assert best is not None
    assert chosen.trial == best
    assert chosen.rule.endswith("no finalists")
    assert chosen_finalist(sweep) is None


def test_a_seed_recipe_that_was_not_tried_cannot_be_a_finalist(sweep: KnownSweep) -> None:
    with pytest.raises(ComparisonError, match="no completed trial of 'tiny' has its values"):
        choose_finalists(sweep, FinalistChoice(1, 1, with_seed_recipe=True))
