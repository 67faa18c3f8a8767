"""Comparing sweeps: curves from their ledgers, and what may not be compared."""

import csv
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from core.errors import ComparisonError, LedgerError
from search.comparison.several_sweeps import (
    COLUMNS,
    ComparedSweep,
    Comparison,
    Step,
    compare_sweeps,
    draw_comparison,
    write_csv,
)
from search.experiment.workspace import Workspace
from search.ledger.ranking import Direction
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import read_sweep
from tests.command_line import Project, whosehand, write_experiment

pytest_plugins = ["tests.finished_project"]
pytestmark = pytest.mark.timeout(600)


def sweep_of(name: str, bests: tuple[tuple[int, float], ...], direction: Direction = "minimize") -> ComparedSweep:
    """A sweep whose trials take 10 patches and 2 s each; (trials started, value) of the completed
    ones.
    """
    values = [value for _, value in bests]
    better = min if direction == "minimize" else max
    steps = tuple(
        Step(place, n, 10 * n, 2.0 * n, value, better(values[: place + 1])) for place, (n, value) in enumerate(bests)
    )
    n = bests[-1][0] if bests else 3
    counts = {TrialState.COMPLETED: len(steps)}
    return ComparedSweep(
        name,
        f"id-{name}",
        "optuna random",
        "val/loss",
        direction,
        "abc",
        steps,
        counts,
        n,
        10 * n,
        2.0 * n,
    )


def test_the_best_is_the_first_that_came_so_far() -> None:
    sweep = sweep_of("a", ((1, 3.0), (2, 1.0), (3, 2.0), (4, 1.0)))
    assert sweep.best is not None
    assert (sweep.best.trial, sweep.best.n_patches) == (1, 20)
    assert sweep.patches_until(2.5) == 20
    assert sweep.patches_until(0.5) is None
    assert sweep_of("b", ((1, 0.5), (2, 0.9)), "maximize").patches_until(0.6) == 20


def test_the_common_goal_is_what_the_weakest_sweep_reached() -> None:
    strong, weak, empty = sweep_of("a", ((1, 1.0),)), sweep_of("b", ((1, 2.0),)), sweep_of("c", ())
    assert Comparison((strong, weak, empty), ()).common_goal == 2.0
    assert Comparison((empty,), ()).common_goal is None


def test_sweeps_that_differ_in_the_seed_make_a_group() -> None:
    sweeps = tuple(sweep_of(name, ((1, 1.0),)) for name in ("tpe-s1", "tpe-s2", "random-s1", "odd"))
    comparison = Comparison(sweeps, ())
    assert {name: len(group) for name, group in comparison.groups(by_seed=True).items()} == {
        "tpe": 2,
        "random": 1,
        "odd": 1,
    }
    assert len(comparison.groups(by_seed=False)) == 4


def test_a_group_is_drawn_as_its_median_from_where_all_have_a_trial() -> None:
    sweeps = (
        sweep_of("tpe-s1", ((1, 9.0), (4, 1.0))),
        sweep_of("tpe-s2", ((2, 5.0), (4, 3.0))),
        sweep_of("tpe-s3", ((1, 7.0), (3, 6.0), (4, 2.0))),
    )
    figure = draw_comparison(Comparison(sweeps, ()), by_seed=True)
    line = figure.axes[0].get_lines()[0]
    assert np.asarray(line.get_xdata()).tolist() == [2, 3, 4]
    assert np.asarray(line.get_ydata()).tolist() == [7.0, 6.0, 2.0]
    assert figure.axes[1].get_xlabel().startswith("patches trained")


def test_the_table_of_curves_has_a_row_for_each_completed_trial(tmp_path: Path) -> None:
    write_csv(Comparison((sweep_of("a", ((1, 3.0), (2, 1.0))), sweep_of("b", ())), ()), tmp_path / "c.csv")
    rows = list(csv.reader((tmp_path / "c.csv").open(encoding="utf-8")))
    assert rows == [
        list(COLUMNS),
        ["a", "optuna random", "0", "1", "10", "2.000", "3.0", "3.0"],
        ["a", "optuna random", "1", "2", "20", "4.000", "1.0", "1.0"],
    ]


def test_sweeps_are_compared_by_what_their_ledgers_say(finished_project: Project, tmp_path: Path) -> None:
    workspace = Workspace(finished_project.folder)
    (sweep,) = compare_sweeps(["tiny"], workspace).sweeps
    state = read_sweep("tiny", workspace).state
    best = state.best("minimize")
    assert best is not None
    assert sweep.best is not None
    assert (sweep.best.trial, sweep.best.value) == (best.number, best.value)
    assert sweep.n_patches == sum(trial.n_patches for trial in state.trials.values())
    assert [step.best for step in sweep.steps] == np.minimum.accumulate([s.value for s in sweep.steps]).tolist()
    assert sweep.steps[-1].n_patches == sweep.n_patches, "the last trial ended last"
    assert 0 < sweep.steps[0].elapsed_s < sweep.steps[-1].elapsed_s <= sweep.elapsed_s


def test_what_cannot_be_compared_is_refused_with_the_reason(finished_project: Project) -> None:
    workspace = Workspace(finished_project.folder)
    with pytest.raises(ComparisonError, match="tiny is named twice"):
        compare_sweeps(["tiny", "tiny"], workspace)
    with pytest.raises(LedgerError, match=r"No sweep is called 'tini'.*there are .*tiny"):
        compare_sweeps(["tini"], workspace)


@pytest.fixture(scope="module")
def two_engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps of one experiment by two engines, one on another split, one with another
    objective.
    """
    folder = tmp_path_factory.mktemp("compare")
    small: dict[str, object] = {"budget": {"trials": 2}, "training": {"epochs": 1}, "tracking": {"keep_models": 0}}
    engines: dict[str, dict[str, object]] = {
        "ours-s1": {"engine": {"name": "optuna", "sampler": "random"}},
        "theirs-s1": {"engine": {"name": "keras_tuner", "oracle": "random"}},
        "elsewhere": {"split": {"validation": 0.25, "test": 0.25, "seed": 9}},
        "otherwise": {"objective": {"metric": "val/image_top1"}},
    }
    for name, changes in engines.items():
        answer = whosehand(folder, "sweep", write_experiment(folder, {**small, **changes, "name": name}))
        assert answer.code == 0, answer.err
    return folder


@pytest.mark.long
def test_a_comparison_is_printed_drawn_written_and_recorded_once(two_engines: Path) -> None:
    answers = [whosehand(two_engines, "compare", "ours-s1", "theirs-s1") for _ in range(2)]
    assert [answer.code for answer in answers] == [0, 0], answers[0].err
    assert "optuna" in answers[0].out
    (picture,) = (two_engines / "mlruns" / "comparisons").glob("*/comparison.png")
    assert np.asarray(Image.open(picture).convert("L")).std() > 5
    rows = list(csv.DictReader(picture.with_suffix(".csv").open(encoding="utf-8")))
    assert {row["sweep"] for row in rows} == {"ours-s1", "theirs-s1"}
    client = MlflowClient(f"sqlite:///{two_engines}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("comparisons")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["kind"] == "comparison"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"comparison.png", "comparison.csv"}
    assert "theirs-s1" in run.data.tags["mlflow.note.content"]


@pytest.mark.long
def test_another_split_or_objective_is_refused(two_engines: Path) -> None:
    split = whosehand(two_engines, "compare", "ours-s1", "elsewhere")
    assert split.code == 1
    assert "their scores are of other pages" in " ".join(split.err.split())
    objective = whosehand(two_engines, "compare", "ours-s1", "otherwise")
    assert objective.code == 1
    assert "val/image_top1" in objective.err


@pytest.mark.long
def test_both_engines_give_the_ui_the_same_columns(two_engines: Path) -> None:
    client = MlflowClient(f"sqlite:///{two_engines}/mlruns/mlflow.db")
    columns = []
    for name in ("ours-s1", "theirs-s1"):
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        runs = [r for r in client.search_runs([experiment.experiment_id]) if r.data.tags.get("kind") == "trial"]
        assert len(runs) == 2
        columns.append([(sorted(run.data.params), sorted(run.data.metrics)) for run in runs])
    assert columns[0][0] == columns[0][1] == columns[1][0] == columns[1][1]
