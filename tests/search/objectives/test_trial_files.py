import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.lines.store import LineStore
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.patches.plan import PatchSampler, evaluation_plan
from core.scoring.evaluation import Evaluation, evaluate
from core.settings import PatchSettings
from search.experiment.experiment import load_experiment
from search.experiment.workspace import Workspace
from search.ledger.files import is_intact
from search.objectives.judges import write_score_files
from search.objectives.patch_cnn import write_fit_files
from search.sweep.preparation import PreparedCorpus, prepare_corpus
from tests.command_line import write_experiment

PATCHES = PatchSettings(patches_per_epoch=60)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    folder = tmp_path_factory.mktemp("files")
    return prepare_corpus(load_experiment(write_experiment(folder)), Workspace(folder))


@pytest.fixture(scope="module")
def scores(corpus: PreparedCorpus) -> Evaluation:
    """Of a model that takes writer 002 for 000, and knows the others."""
    store, manifest = corpus.store, corpus.manifest
    plan = evaluation_plan(store, manifest.validation, manifest.writer_ids, PATCHES, per_image=2)
    said = np.array([0, 1, 0])[plan.labels]
    log_probabilities = np.full((len(plan), 3), np.log(0.1))
    log_probabilities[np.arange(len(plan)), said] = np.log(0.8)
    return evaluate(log_probabilities, plan, store, manifest.writer_ids, 200)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_confusion_table_says_who_was_taken_for_whom(scores: Evaluation, tmp_path: Path) -> None:
    files = write_score_files(scores, tmp_path / "new" / "folder")
    assert all(is_intact(reference) for reference in files.values())
    rows = [tuple(row.values()) for row in _rows(files["confusion.csv"].path)]
    assert rows == [("000", "000", "3"), ("001", "001", "3"), ("002", "002", "0"), ("002", "000", "3")]
    with Image.open(files["confusion.png"].path) as picture:
        assert min(picture.size) > 200


def test_the_scores_come_with_their_intervals(scores: Evaluation, tmp_path: Path) -> None:
    content = json.loads(write_score_files(scores, tmp_path)["scores.json"].path.read_text())
    assert content["interval"] == "95 %, bootstrap over 3 pages"
    assert content["scores"].keys() == scores.metrics.keys()
    top1 = content["scores"]["page_top1"]
    assert top1["value"] == pytest.approx(2 / 3)
    assert top1["low"] < top1["value"] < top1["high"]


def test_there_is_a_row_for_every_writer_and_for_every_page(scores: Evaluation, tmp_path: Path) -> None:
    files = write_score_files(scores, tmp_path)
    assert [row["writer_id"] for row in _rows(files["writers.csv"].path)] == ["000", "001", "002"]
    assert len(_rows(files["decisions.csv"].path)) == 3


def test_a_fit_leaves_curves_layers_and_patches(corpus: PreparedCorpus, tmp_path: Path) -> None:
    model = build_model(Hyperparameters(filters=4, n_blocks=2), (113, 113, 1), 3)
    manifest, store = corpus.manifest, corpus.store
    plan = PatchSampler(store, manifest.train, manifest.writer_ids, PATCHES, 0).plan_epoch(0)
    history = [{"train/loss": 1.0, "val/image_logloss": 1.1}, {"train/loss": 0.9, "val/image_logloss": 1.0}]
    files = write_fit_files(model, history, store, plan, manifest.writer_ids, tmp_path)
    assert set(files) == {"learning_curves.png", "model.txt", "patches.png"}
    layers = files["model.txt"].path.read_text()
    assert "block_1_convolution_1" in layers
    assert f"{model.count_params():,}" in layers
    for name in ("learning_curves.png", "patches.png"):
        with Image.open(files[name].path) as picture:
            assert min(picture.size) > 100


def test_words_without_pages_are_decided_one_by_one(build_word_store: Callable[[], LineStore], tmp_path: Path) -> None:
    store = build_word_store()
    image_ids = [line.image_id for line in store.lines]
    plan = evaluation_plan(store, image_ids, ("a", "b"), PATCHES, per_image=1)
    scores = evaluate(np.log(np.full((len(plan), 2), 0.5)), plan, store, ("a", "b"), 50)
    files = write_score_files(scores, tmp_path / "scores")
    assert json.loads(files["scores.json"].path.read_text())["interval"].endswith(f"over {len(image_ids)} images")
    assert len(_rows(files["decisions.csv"].path)) == len(image_ids)


@pytest.fixture
def build_word_store(tmp_path: Path) -> Callable[[], LineStore]:
    from core.corpora.index import CorpusIndex, TextImage
    from core.lines.store import build_line_store
    from core.settings import InkSettings

    def build() -> LineStore:
        images = []
        for number, writer in enumerate("abab"):
            pixels = np.full((40, 150), 255, np.uint8)
            pixels[5:35, 10 : 40 + 10 * number : 8] = 0
            path = tmp_path / f"{number}.png"
            Image.fromarray(pixels).save(path)
            images.append(TextImage(path.stem, path, writer, None))
        return build_line_store(CorpusIndex("words", tmp_path, tuple(images)), InkSettings(), tmp_path / "lines")

    return build
