"""A trial on a split by writer, small enough for seconds, in the test's own process."""

import csv
import json
from pathlib import Path

import pytest

from core.errors import SplitError
from core.identification.model_record import ModelRecord
from core.retrieval.described_pages import DescribedPages
from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.workspace import Workspace
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialSpec, TrialState
from search.objectives.patch_cnn import score_patch_cnn, train_patch_cnn
from search.objectives.tasks import PatchTask, ScoringTask
from search.sweep.launch import patch_task, tracked_datasets
from search.sweep.preparation import PreparedCorpus, prepare_corpus
from search.sweep.unseen_writers import searched_pages
from tests.command_line import write_experiment

N_EPOCHS = 2
POINT = {"filters": 4, "n_blocks": 2, "convolutions_per_block": 1, "batch_size": 16, "learning_rate": 0.01}
FINDER = {
    "corpus": {"layout": "hands", "n_writers": 10, "n_pages": 2, "n_lines": 2},
    "split": {"kind": "writer", "validation": 0.3, "test": 0.3},
    "objective": {},  # what is searched follows from the split
    "patches": {"patches_per_epoch": 64, "per_image_at_validation": 2, "per_image_at_test": 3},
}
Trained = tuple[TrialResult, list[EpochReport]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finder")


@pytest.fixture(scope="module")
def experiment(folder: Path) -> Experiment:
    return load_experiment(write_experiment(folder, FINDER))


@pytest.fixture(scope="module")
def corpus(experiment: Experiment, folder: Path) -> PreparedCorpus:
    return prepare_corpus(experiment, Workspace(folder))


@pytest.fixture(scope="module")
def task(experiment: Experiment, corpus: PreparedCorpus, folder: Path) -> PatchTask:
    return patch_task(experiment, corpus, folder / "sweep")


def _spec(task: object, work_dir: Path, objective: str = "train_patch_cnn") -> TrialSpec:
    return TrialSpec(
        sweep_id="finder",
        number=0,
        attempt=1,
        objective=f"search.objectives.patch_cnn:{objective}",
        hyperparameters=POINT,
        seed=11,
        start_epoch=0,
        until_epoch=N_EPOCHS,
        horizon_epochs=N_EPOCHS,
        threads=1,
        precision="float32",
        checkpoint=None,
        work_dir=work_dir,
        settings=task,
    )


@pytest.fixture(scope="module")
def trained(task: PatchTask, folder: Path) -> Trained:
    reports: list[EpochReport] = []

    def report(epoch: EpochReport) -> PruningDecision:
        reports.append(epoch)
        return PruningDecision.GO

    return train_patch_cnn(_spec(task, folder / "trial"), report), reports


def test_each_epoch_is_judged_by_the_pages_that_are_found(trained: Trained) -> None:
    result, reports = trained
    assert result.state is TrialState.COMPLETED
    names = {f"val/retrieval_{name}" for name in ("map", "top1", "top5", "top10", "eer", "auroc")}
    assert all(names <= set(report.metrics) for report in reports)
    assert not any("logloss" in name for report in reports for name in report.metrics)
    assert result.value == max(report.metrics["val/retrieval_map"] for report in reports)
    assert names | {"best_epoch"} == set(result.metrics)


def test_the_saved_models_score_is_that_of_its_weights(trained: Trained) -> None:
    result, _ = trained
    pages = DescribedPages.load(result.artifacts["descriptors.npz"].path)
    assert pages.scores(n_resamples=0).metrics["map"] == pytest.approx(result.value)


def test_a_trial_leaves_queries_writers_intervals_and_a_picture(trained: Trained, corpus: PreparedCorpus) -> None:
    files = trained[0].artifacts
    assert {"retrieval.png", "queries.csv", "writers.csv", "scores.json", "learning_curves.png"} <= set(files)
    scores = json.loads(files["scores.json"].path.read_text(encoding="utf-8"))
    assert scores["interval"] == "95 %, bootstrap over 3 writers"
    assert scores["scores"]["retrieval_map"]["value"] == trained[0].value
    with files["queries.csv"].path.open(encoding="utf-8", newline="") as file:
        queries = list(csv.DictReader(file))
    writer_of = {image.image_id: image.writer_id for image in corpus.index.images}
    assert len(queries) == 6
    assert {row["writer_id"] for row in queries} == {writer_of[image] for image in corpus.manifest.validation}


def test_the_network_names_training_writers_alone_and_says_so(trained: Trained, task: PatchTask) -> None:
    model = trained[0].model
    assert model is not None
    record = ModelRecord.load(model.path)
    manifest = SplitManifest.load(task.split)
    assert record.writer_ids == manifest.writer_ids
    assert len(record.writer_ids) == 4
    assert "It names only the writers of its training" in record.warning
    assert "`whosehand find`" in record.warning


def test_the_sealed_pages_are_scored_in_the_same_way(trained: Trained, task: PatchTask, tmp_path: Path) -> None:
    model = trained[0].model
    assert model is not None
    settings = ScoringTask(model.path, task, "test")
    result = score_patch_cnn(_spec(settings, tmp_path, "score_patch_cnn"), lambda _: PruningDecision.GO)
    assert 0 < result.metrics["test/retrieval_map"] <= 1
    described = DescribedPages.load(result.artifacts["test/descriptors.npz"].path)
    assert not set(described.writer_ids) & {
        *DescribedPages.load(trained[0].artifacts["descriptors.npz"].path).writer_ids,
        *SplitManifest.load(task.split).writer_ids,
    }


def test_what_is_searched_is_said(experiment: Experiment, corpus: PreparedCorpus) -> None:
    said = [pages.in_words() for pages in searched_pages(experiment, corpus)]
    assert said == [f"{part}: 6 pages by 3 writers whom training has not seen" for part in ("validation", "test")]
    counts = [dataset.profile["writers"] for dataset in tracked_datasets(corpus, with_test=True)]
    assert counts == [4, 3, 3]


def test_joined_pages_are_said_and_too_large_ones_refused(experiment: Experiment, corpus: PreparedCorpus) -> None:
    def joined(n_images: int) -> Experiment:
        objective = experiment.objective.model_copy(update={"images_per_page": n_images})
        return experiment.model_copy(update={"objective": objective})

    n_images = len(corpus.manifest.validation) // 3  # of each writer, on two pages
    said = searched_pages(joined(n_images // 2), corpus)[0].in_words()
    assert f"pages of {n_images // 2} images each by 3 writers" in said
    with pytest.raises(SplitError, match=r"3 writers of it have a page, 1 at most, of .* lower `objective.images_per"):
        searched_pages(joined(n_images), corpus)
