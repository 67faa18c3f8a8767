"""The whole way for hands that training never saw: a sweep by writer that is killed and resumed,
its report, a promotion with sealed writers, a second champion, and the commands that ask it.
"""

import json
import re
from pathlib import Path

import pytest

from core.splits.manifest import SplitManifest
from search.ledger.trial import TrialState
from tests.command_line import Project, records_of, running_sweep, whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
FINDER = {
    "name": "finder",
    "corpus": {"layout": "hands", "n_writers": 24, "n_pages": 3, "n_lines": 3},
    "split": {"kind": "writer", "validation": 0.3, "test": 0.35},
    "objective": {},  # what is searched follows from the split
    "patches": {"patches_per_epoch": 600, "per_image_at_validation": 4, "per_image_at_test": 4},
    "space": {
        "base": "none",
        "fixed": {"filters": 8, "n_blocks": 2, "convolutions_per_block": 1, "batch_size": 16, "input_px": 113},
        "dimensions": {"learning_rate": {"type": "real", "low": 1e-3, "high": 1e-2, "log": True}},
        "enqueue": [],
    },
    "engine": {"name": "optuna", "sampler": "tpe", "pruner": "median", "pruner_startup_trials": 1},
    "training": {"epochs": 3, "precision": "float32"},
    "budget": {"trials": 4},
    "promotion": {"epochs": 4},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("finder")
    experiment = write_experiment(folder, FINDER)
    answers = {"split": whosehand(folder, "data", "split", experiment.name)}
    with running_sweep(folder, experiment, "finder") as running:
        running.wait_until(lambda state: 1 in state.trials and bool(state.trials[1].reports))
        running.kill()
    answers["sweep"] = whosehand(folder, "sweep", experiment.name)
    answers["status"] = whosehand(folder, "status", "finder")
    answers["compare"] = whosehand(folder, "compare", "finder")
    answers["dry run"] = whosehand(folder, "promote", "finder", "--dry-run")
    answers["promote"] = whosehand(folder, "promote", "finder")
    answers["again"] = whosehand(folder, "promote", "finder")
    answers["other trial"] = whosehand(folder, "promote", "finder", "--epochs", "1")
    pages = whosehand(folder, "data", "pages", experiment.name, "--subset", "validation", "--limit", "3")
    page = pages.out.splitlines()[0]
    answers["identify"] = whosehand(folder, "identify", page)
    answers["find"] = whosehand(folder, "find", page, "--in", str(Path(page).parent), "--top", "3")
    answers["retrieval"] = whosehand(folder, "retrieval", experiment.name, "--json")
    answers["doctor"] = whosehand(folder, "doctor", experiment.name)
    return Project(folder, answers)


def test_every_command_works(project: Project) -> None:
    codes = {name: answer.code for name, answer in project.answers.items()}
    assert codes.pop("other trial") in (0, 2)
    assert set(codes.values()) == {0}, {name: project.answers[name] for name, code in codes.items() if code}


def test_what_is_searched_is_said_before_and_in_the_sweep(project: Project) -> None:
    said = "validation: 21 pages by 7 writers whom training has not seen"
    assert said in project.answers["split"].out
    assert said in project.answers["sweep"].err + project.answers["sweep"].out
    assert "24 pages by 8 writers" in " ".join(project.answers["doctor"].out.split())


def test_a_killed_sweep_goes_on_with_all_its_trials(project: Project) -> None:
    from search.ledger.ledger import read_ledger

    state = read_ledger(project.folder / "mlruns" / "sweeps" / "finder")
    assert len(state.trials) == 4
    assert len(state.launches) == 2
    assert {trial.state for trial in state.trials.values()} <= {TrialState.COMPLETED, TrialState.PRUNED}


def test_mlflow_has_all_scores_of_each_epoch_and_the_picture(project: Project) -> None:
    with records_of(project.folder) as client:
        experiment = client.get_experiment_by_name("finder")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], "tags.state = 'completed'")
        for name in ("map", "top1", "top5", "top10", "eer", "auroc"):
            assert f"val/retrieval_{name}" in runs[0].data.metrics
            assert client.get_metric_history(runs[0].info.run_id, f"val/retrieval_{name}")
        assert "retrieval.png" in {file.path for file in client.list_artifacts(runs[0].info.run_id)}


def test_the_report_shows_pages_found_and_no_confusion(project: Project) -> None:
    assert "retrieval_map" in project.answers["compare"].out
    (report,) = (project.folder / "mlruns" / "sweeps" / "finder").rglob("report.html")
    text = report.read_text(encoding="utf-8")
    assert "Pages by unseen writers" in text
    assert "Where the chosen model errs" not in text
    assert "bootstrap over validation writers" in text


def test_the_dry_run_opens_nothing_and_says_what_will_be_opened(project: Project) -> None:
    assert "72 test images: this would be the 1st time these test images are opened" in project.answers["dry run"].out


def test_sealed_writers_are_opened_once_and_the_gate_speaks_of_rankings(project: Project) -> None:
    answer = project.answers["promote"]
    assert "champion of whosehand-finder: version 1" in answer.out
    assert "better than a random ranking: mean average precision" in answer.out
    assert re.search(r"^ *map +\d", answer.out, re.MULTILINE)
    assert "opened once by then" in answer.out
    assert "opened once by then, not again for this fit" in project.answers["again"].out
    openings = (project.folder / "mlruns" / "test_openings.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(openings) == 2  # and once for the other fit, which is compared on them


def test_another_fit_is_compared_on_writers_that_neither_has_seen(project: Project) -> None:
    said = project.answers["other trial"].out
    assert "than the champion, version 1, on 24 test pages that neither has seen" in said
    assert "sign-flip test over writers" in said


def test_the_card_says_what_the_model_is_for(project: Project) -> None:
    (card,) = (project.folder / "mlruns" / "sweeps" / "finder").rglob("trial-*-4-epochs/model_card.md")
    text = card.read_text(encoding="utf-8")
    assert "Finds pages by the same hand, also by hands that it has not seen" in text
    assert "24 test pages by 8 writers" in text
    assert "| mAP |" in text


def test_a_sealed_writer_is_in_no_answer_before_promotion(project: Project) -> None:
    folder = project.folder / "mlruns" / "sweeps" / "finder"
    manifest = SplitManifest.load(folder / "split.json")
    of_test = {image_id.split("-")[0] for image_id in manifest.test}
    for path in folder.glob("trials/*/**/queries.csv"):
        rows = path.read_text(encoding="utf-8").splitlines()[1:]
        assert rows
        assert not of_test & {row.split(",")[1] for row in rows}


def test_the_champion_finds_pages_and_says_that_it_names_training_writers_alone(project: Project) -> None:
    assert "It names only the writers of its training" in project.answers["identify"].err
    assert "`whosehand find`" in project.answers["identify"].err
    assert len(project.answers["find"].out.splitlines()) >= 3
    found = json.loads(project.answers["retrieval"].out)
    assert found["n_writers"] == 7  # of validation; the model's own and the sealed ones are left out
    assert found["n_sealed_images"] == 72
