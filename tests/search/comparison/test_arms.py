from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.corpora.index import CorpusIndex
from core.lines.store import LineStore, build_line_store
from core.patches.plan import PatchSampler, evaluation_plan
from search.comparison.leakage_audit import audit_arms
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.workspace import Workspace
from search.sweep.preparation import PreparedCorpus, prepare_corpus
from tests.command_line import write_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return load_experiment(write_experiment(tmp_path_factory.mktemp("audited")))


@pytest.fixture(scope="module")
def corpus(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return prepare_corpus(experiment, Workspace(tmp_path_factory.mktemp("audited")))


def test_the_arms_are_by_patch_line_page_and_text(corpus: PreparedCorpus) -> None:
    arms = audit_arms(corpus.index, corpus.manifest, seed=0)
    assert list(arms.divisions) == ["patch", "line", "page", "text"]
    assert (arms.baseline, arms.lacking) == ("page", {})
    assert arms.divisions["page"].train == corpus.manifest.train
    assert arms.divisions["page"].validation == corpus.manifest.validation


def test_no_arm_reads_a_test_page(corpus: PreparedCorpus, experiment: Experiment) -> None:
    """Every patch of training and validation is looked at: which line of the store, and of which
    page, it is of.
    """
    pages = {image.image_id: image.page_id for image in corpus.index.images}
    sealed = {pages[image_id] for image_id in corpus.manifest.test}
    assert sealed
    arms = audit_arms(corpus.index, corpus.manifest, seed=0)
    everything: dict[str, Any] = {"patches_per_epoch": 10**6, "fraction": 1.0, "min_ink": 0.0}
    settings = experiment.patches.model_copy(update=everything)
    for manifest in arms.divisions.values():
        assert manifest.test == ()
        writers, per_image = manifest.writer_ids, 10**4
        train = PatchSampler(corpus.store, manifest.train, writers, settings, 0, manifest.leak("train")).plan_epoch(0)
        leak = manifest.leak("validation")
        validation = evaluation_plan(corpus.store, manifest.validation, writers, settings, per_image, leak)
        lines = {*train.lines.tolist(), *validation.lines.tolist()}
        assert not {corpus.store.lines[line].group_id for line in lines} & sealed


def test_arms_have_equally_many_lines_to_validate_on(corpus: PreparedCorpus, experiment: Experiment) -> None:
    arms = audit_arms(corpus.index, corpus.manifest, seed=0)
    counts = {name: n_validation_lines(corpus.store, experiment, arms.divisions[name]) for name in arms.divisions}
    assert counts == {"patch": 9, "line": 9, "page": 9, "text": 9}


def n_validation_lines(store: LineStore, experiment: Experiment, manifest: Any) -> int:
    leak, writers = manifest.leak("validation"), manifest.writer_ids
    return len(set(evaluation_plan(store, manifest.validation, writers, experiment.patches, 2, leak).lines.tolist()))


def test_without_pages_the_image_is_the_honest_unit(corpus: PreparedCorpus) -> None:
    index = replace(corpus.index, images=tuple(replace(image, page_id=None) for image in corpus.index.images))
    arms = audit_arms(index, replace(corpus.manifest, unit="image"), seed=0)
    assert (list(arms.divisions), arms.baseline) == (["patch", "image", "text"], "image")
    assert arms.lacking == {"line": "the corpus has no pages, and its images part as lines do"}


def test_without_texts_there_is_no_arm_by_text(corpus: PreparedCorpus) -> None:
    index = replace(corpus.index, images=tuple(replace(image, text_id=None) for image in corpus.index.images))
    arms = audit_arms(index, corpus.manifest, seed=0)
    assert list(arms.divisions) == ["patch", "line", "page"]
    assert "needs to know the text of every image" in arms.lacking["text"]


def test_a_corpus_of_pages_is_divided_by_its_lines(tmp_path: Path, corpus: PreparedCorpus) -> None:
    """Where an image is a page with several lines, it is these that are dealt out, not images."""
    images = {
        image.page_id: replace(image, image_id=str(image.page_id), region=None, unit="page")
        for image in corpus.index.images
    }
    index: CorpusIndex = replace(corpus.index, images=tuple(images.values()))
    store = build_line_store(index, load_experiment(write_experiment(tmp_path)).ink, tmp_path)
    ids = tuple(image.image_id for image in index.images)
    manifest = replace(corpus.manifest, train=ids[: len(ids) // 2], validation=ids[len(ids) // 2 :], test=())
    by_line = audit_arms(index, manifest, seed=0).divisions["line"]
    chosen = [by_line.leaky.subset(part).choose(store.lines) for part in ("train", "validation")]  # type: ignore[union-attr]
    assert (chosen[0] ^ chosen[1]).all()
    both = [{store.lines[k].image_id for k in part.nonzero()[0]} for part in chosen]
    assert both[0] & both[1]
