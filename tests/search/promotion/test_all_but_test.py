"""A promotion that trains on validation pages too, killed in the middle of its second cross-fit."""

import json
import signal
from pathlib import Path

import pytest
from mlflow.entities import Run, ViewType

from core.retrieval.known_hands import HANDS_FILE, Hands
from core.splits.manifest import SplitManifest
from search.cli.main import CRASH_VARIABLE
from search.identification.identifier_folder import read_record
from search.ledger.ledger import read_ledger
from search.ledger.state import TrialRecord
from tests.command_line import Project, records_of, whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
MODEL = "whosehand-tiny"
FOLDS = ("fold-1-of-3", "fold-2-of-3", "fold-3-of-3")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A sweep of one trial, a promotion that dies at the third epoch that its cross-fits report,
    and the same again.
    """
    folder = tmp_path_factory.mktemp("all-but-test")
    experiment = write_experiment(folder, {"budget": {"trials": 1}, "training": {"epochs": 2, "precision": "float32"}})
    command = ("promote", "tiny", "--refit", "all_but_test", "--accept")
    answers = {
        "sweep": whosehand(folder, "sweep", experiment.name),
        "plan": whosehand(folder, *command[:-1], "--dry-run"),
        "killed": whosehand(folder, *command, variables={CRASH_VARIABLE: "report-recorded@3"}),
        "promote": whosehand(folder, *command),
        "again": whosehand(folder, *command),
        "members": whosehand(folder, *command, "--epochs", "1", "--members", "2"),
    }
    return Project(folder, answers)


def _record(project: Project, part: str) -> TrialRecord:
    return read_ledger(project.sweep / "refits" / f"trial-000-2-epochs-{part}").trials[0]


def _split(project: Project, part: str) -> SplitManifest:
    return SplitManifest.load(project.sweep / "refits" / f"trial-000-2-epochs-{part}" / "split.json")


def _identifier(project: Project) -> Path:
    refit = project.sweep / "refits" / "trial-000-2-epochs-all-but-test"
    return Path(refit / json.loads((refit / "identifier.json").read_text())["model"]["path"])


def test_what_it_costs_is_said_before(project: Project) -> None:
    plan = " ".join(project.answers["plan"].out.split())
    assert "2 epochs (384 patches each) after 3 cross-fits of as many" in plan
    assert "it would train on training and validation pages, 27 images together" in plan
    assert "3 fits more, less than a minute" in plan
    assert "opened" in plan


def test_the_same_command_goes_on_in_the_middle_of_a_cross_fit(project: Project) -> None:
    assert project.answers["killed"].code == -signal.SIGKILL, project.answers["killed"]
    assert project.answers["promote"].code == 0, project.answers["promote"]
    attempts = [_record(project, part).n_attempts for part in (*FOLDS, "all-but-test")]
    assert attempts == [1, 2, 1, 1]
    assert [event.report.epoch for event in _record(project, FOLDS[1]).reports] == [1, 2]
    assert "epoch 1/" not in project.answers["again"].err


def test_every_page_but_the_sealed_ones_is_held_out_once_and_trained_on(project: Project) -> None:
    split = SplitManifest.load(project.sweep / "split.json")
    held_out = [image for part in FOLDS for image in _split(project, part).validation]
    assert sorted(held_out) == sorted((*split.train, *split.validation))
    whole = _split(project, "all-but-test")
    assert set(whole.train) == {*split.train, *split.validation}
    assert (whole.validation, whole.test) == ((), split.test)


def test_the_fit_on_all_pages_ends_where_the_cross_fits_were_best(project: Project) -> None:
    curves = [[event.report.metrics["val/image_logloss"] for event in _record(project, part).reports] for part in FOLDS]
    means = [sum(losses) / 3 for losses in zip(*curves, strict=True)]
    whole = _record(project, "all-but-test")
    assert whole.n_epochs == 1 + means.index(min(means))
    assert not [name for name in whole.reports[0].report.metrics if name.startswith("val/")]


def test_the_model_is_calibrated_by_what_was_held_out(project: Project) -> None:
    calibration = read_record(_identifier(project)).calibrations[0]
    assert (calibration.unit, calibration.n_items) == ("image", 27)
    assert calibration.unknown_writers.n_unknown_writers == 27
    hands = Hands.load(_identifier(project) / "artifacts" / HANDS_FILE)
    assert len(hands.validation.writers) == 0
    assert sum(len(fold.pages.writers) for fold in hands.cross_fitted) == 9


def test_card_version_and_run_say_which_pages_it_had(project: Project) -> None:
    with records_of(project.folder) as client:
        version = client.get_model_version(MODEL, "1")
        runs = client.search_runs(["1"], run_view_type=ViewType.ACTIVE_ONLY)
    assert version.tags["refit"] == "all_but_test"
    assert "trained on **training and validation pages together** (27 images)" in version.description
    assert "**out-of-fold**: from 3 networks" in version.description
    by_kind: dict[str, Run] = {run.data.tags["kind"]: run for run in runs}
    assert {f"refit-2-{part}" for part in (*FOLDS, "all-but-test")} <= set(by_kind)
    assert len(runs) == len(by_kind), "the killed one's run is the same"
    whole = by_kind["refit-2-all-but-test"]
    assert {"out_of_fold/image_top1", "out_of_fold/image_logloss", "calibration/image_temperature"} <= set(
        whole.data.metrics
    )
    assert whole.data.tags["calibrated_on"].startswith("out-of-fold answers of 3 cross-fits")
    used = [each.dataset for each in whole.inputs.dataset_inputs]
    images = {dataset.name.split()[-1]: json.loads(dataset.profile)["images"] for dataset in used}
    assert images == {"train": 27, "test": 9}


def test_the_test_set_is_opened_once_for_each_refit(project: Project) -> None:
    lines = (project.folder / "mlruns" / "test_openings.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in lines] == [
        "promote tiny trial 0, 2 epochs on all but test pages",
        "promote tiny trial 0, 2 members of 1 epoch on all but test pages",
    ]


def test_each_cross_fit_has_as_many_members_as_the_refit(project: Project) -> None:
    assert project.answers["members"].code in (0, 2), project.answers["members"]
    folders = sorted((project.sweep / "refits").glob("trial-000-1-epochs-2-members-*"))
    assert [folder.name.partition("members-")[2] for folder in folders] == ["all-but-test", *FOLDS]
    assert all(len(read_ledger(folder).trials) == 2 for folder in folders)
    assert all((folder / "committee.json").is_file() for folder in folders)
