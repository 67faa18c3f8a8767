"""What the Python API says of a project that the command line finished: both are faces of one
thing.
"""

import mlflow
import optuna.visualization.matplotlib as optuna_figures
import pytest

import whosehand as wh
from tests.command_line import Project

pytest_plugins = ["tests.finished_project"]
pytestmark = pytest.mark.timeout(1500)  # the first test waits for the project


@pytest.fixture(scope="module")
def sweep(finished_project: Project) -> wh.Sweep:
    return wh.open_sweep("tiny", project=finished_project.folder)


def test_the_sweeps_of_a_project_are_listed(finished_project: Project, sweep: wh.Sweep) -> None:
    assert wh.list_sweeps(project=finished_project.folder) == [sweep]
    assert repr(sweep).startswith("Sweep tiny: completed, 3 trials, best ")


def test_an_unknown_sweep_is_an_error_that_names_the_known_ones(finished_project: Project) -> None:
    with pytest.raises(wh.WhosehandError, match="there are tiny"):
        wh.open_sweep("tinny", project=finished_project.folder)


def test_trials_are_typed_and_the_best_one_is_among_them(sweep: wh.Sweep) -> None:
    assert [trial.number for trial in sweep.trials] == [0, 1, 2]
    values = [trial.value for trial in sweep.trials if trial.value is not None]
    assert sweep.best_value == sweep.best_trial.value == min(values)
    assert set(sweep.best_params) == {"learning_rate", "dropout"}
    assert sweep.best_trial.hyperparameters["filters"] == 4
    assert list(sweep.best_trial.intermediate_values) == [1, 2, 3, 4]


def test_the_table_has_a_row_a_trial_and_every_hyperparameter(sweep: wh.Sweep) -> None:
    table = sweep.trials_dataframe()
    assert list(table.columns[:3]) == ["number", "state", "value"]
    assert list(table.columns[-2:]) == ["seconds", "epochs"]
    assert set(sweep.best_trial.hyperparameters) <= set(table.columns)
    assert table["value"].min() == sweep.best_value


def test_the_leaderboard_is_sorted_and_cut_as_on_the_command_line(sweep: wh.Sweep) -> None:
    table = sweep.leaderboard(sort="trial", top=2)
    assert list(table["trial"]) == [0, 1]
    assert sweep.leaderboard()["image_logloss"].iloc[0] == pytest.approx(sweep.best_value, abs=1e-3)
    assert {"low", "high", "dropout", "learning_rate", "time_s"} <= set(table.columns)


def test_a_trials_files_are_there(sweep: wh.Sweep) -> None:
    assert {"scores.json", "confusion.png"} <= sweep.best_trial.files.keys()
    assert all(path.exists() for path in sweep.best_trial.files.values())


def test_optuna_draws_the_sweep(sweep: wh.Sweep) -> None:
    study = sweep.optuna_study()
    assert study.best_trial.number == sweep.best_trial.number
    assert study.best_params == dict(sweep.best_params) | dict(sweep.experiment.space.fixed)
    figure = optuna_figures.plot_optimization_history(study).figure
    assert figure is not None


def test_the_runs_in_mlflow_are_found(finished_project: Project, sweep: wh.Sweep) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{finished_project.folder}/mlruns/mlflow.db")
    run = client.get_run(sweep.best_trial.mlflow_run_id)
    assert run.data.tags["trial"] == str(sweep.best_trial.number)
    assert run.data.tags["mlflow.parentRunId"] == sweep.mlflow_run_id


@pytest.mark.slow
@pytest.mark.long
def test_a_trial_gives_its_network_and_names_writers(finished_project: Project, sweep: wh.Sweep) -> None:
    model = sweep.best_trial.model()
    assert model.output_shape == (None, 3)
    pages = finished_project.answers["pages"].out.splitlines()
    paths = [finished_project.folder / page for page in pages]
    predictions = sweep.best_trial.identifier().identify(paths)
    assert [prediction.image for prediction in predictions] == [str(path) for path in paths]


@pytest.mark.slow
def test_the_champion_answers_as_the_command_does(finished_project: Project) -> None:
    champion = wh.champion(project=finished_project.folder)
    assert champion.name == "whosehand-tiny"
    assert champion.card.startswith("# whosehand-tiny")
    page = finished_project.answers["pages"].out.splitlines()[0]
    one = champion.identify(finished_project.folder / page)
    assert one.writer_id in champion.writer_ids
    row = next(line for line in finished_project.answers["identify"].out.splitlines() if line.startswith(" data/"))
    assert row.split()[1:3] == [one.writer_id, f"{one.probability:.1%}"]
    with pytest.raises(wh.WhosehandError, match="nowhere"):
        champion.identify(["nowhere.png"])


def test_a_sweep_that_does_not_run_cannot_be_stopped(sweep: wh.Sweep) -> None:
    assert sweep.status == "completed"
    with pytest.raises(wh.WhosehandError, match="Only a running sweep can be stopped"):
        sweep.stop()
    with pytest.raises(wh.WhosehandError, match="trials must be a number"):
        sweep.change_budget(trials="many")
    with pytest.raises(wh.WhosehandError, match="learning_rat"):
        sweep.enqueue(learning_rat=0.1)


@pytest.mark.long
def test_one_sweep_compared_is_its_report(sweep: wh.Sweep) -> None:
    report = wh.compare(sweep)
    assert report.name == "tiny"  # type: ignore[union-attr]  # a report, not a comparison


def test_what_a_notebook_shows_is_the_leaderboard_with_names_as_text(sweep: wh.Sweep) -> None:
    html = sweep._repr_html_()
    assert html.count("<tr>") == 1 + 3
    assert "val/image_logloss" in html
