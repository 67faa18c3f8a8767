import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from core.corpora.index import CorpusIndex
from core.errors import ConfigError, CorpusError, RetrievalError
from search.comparison.retrieval_report import RetrievalChoice, RetrievalReport, report_retrieval
from search.experiment.workspace import Workspace
from search.identification.identifier_folder import read_record
from tests.search.toy_model import save_toy_model

FEW = RetrievalChoice(per_page=4)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def scans(hands_index: CorpusIndex, workspace: Workspace) -> Path:
    """Pages as a folder for each of three writers, four pages each."""
    for image in hands_index.images:
        folder = workspace.root / "scans" / image.writer_id
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(image.path, folder)
    return workspace.root / "scans"


@pytest.fixture(scope="module")
def model(workspace: Workspace) -> Path:
    """An untrained network, of another corpus."""
    return save_toy_model(workspace.root / "model")


def report(place: Path, model: Path, workspace: Workspace, choice: RetrievalChoice = FEW) -> RetrievalReport:
    return report_retrieval(place, model, "toy", workspace, choice)


def write_experiment(workspace: Workspace, scans: Path, name: str = "scans", **changes: object) -> Path:
    content = {
        "name": name,
        "corpus": {"layout": "folder", "root": str(scans)},
        "split": {"validation": 0.25, "test": 0.25},
        **changes,
    }
    path = workspace.root / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def trained_on(model: Path, corpus: str, writer_ids: tuple[str, ...], folder: Path) -> Path:
    """The same network, said to be trained on these writers."""
    shutil.copytree(model, folder)
    replace(read_record(model), corpus=corpus, writer_ids=writer_ids).save(folder)
    return folder


def test_every_page_of_a_folder_is_a_query(scans: Path, model: Path, workspace: Workspace) -> None:
    steps: dict[str, tuple[int, int]] = {}

    def progress(label: str):  # type: ignore[no-untyped-def]
        return lambda done, total: steps.update({label: (done, total)})

    found = report_retrieval(scans, model, "toy", workspace, FEW, say=progress)
    scores = found.scores
    assert (found.corpus, found.item, found.model) == ("scans", "page", "toy")
    assert (scores.n_pages, scores.n_writers, len(scores.queries), scores.n_excluded) == (12, 3, 12, 0)
    assert steps["embedding pages"] == (12, 12)
    assert set(scores.intervals) == {"map", "top1", "top5", "top10", "eer", "auroc"}
    content = found.as_json()
    assert content["scores"]["map"]["value"] == scores.metrics["map"]
    assert content["n_same_pairs"] == 18


def test_sealed_test_pages_of_an_experiment_stay_sealed(scans: Path, model: Path, workspace: Workspace) -> None:
    found = report(write_experiment(workspace, scans), model, workspace)
    assert (found.scores.n_pages, found.pages.n_sealed) == (9, 3)


def test_writers_that_the_model_knows_are_left_out_unless_they_are_asked_for(
    scans: Path, model: Path, workspace: Workspace, tmp_path: Path
) -> None:
    writers = sorted(folder.name for folder in scans.iterdir())
    knows_one = trained_on(model, "scans", (writers[0], "someone else"), tmp_path / "one")
    found = report(scans, knows_one, workspace)
    assert (found.scores.n_writers, found.pages.n_known_writers) == (2, 1)
    knows_all = trained_on(model, "scans", tuple(writers), tmp_path / "all")
    with pytest.raises(RetrievalError, match=r"trained on every writer of scans \(3\), .* --known-writers"):
        report(scans, knows_all, workspace)
    with pytest.raises(RetrievalError, match="Give the experiment's file"):
        report(scans, knows_all, workspace, replace(FEW, includes_known=True))
    experiment = write_experiment(workspace, scans)
    known = report(experiment, knows_all, workspace, replace(FEW, includes_known=True))
    assert (known.scores.n_pages, known.scores.n_writers, known.pages.n_known_writers) == (9, 3, 3)


def test_images_are_joined_to_pages_and_pages_are_reranked(scans: Path, model: Path, workspace: Workspace) -> None:
    found = report(scans, model, workspace, replace(FEW, join=2, n_neighbours=2))
    assert (found.item, found.scores.n_pages, found.n_left_over) == ("joined page", 6, 0)
    assert found.as_json()["reranked_by"] == 2
    with pytest.raises(RetrievalError, match="the most pages of one: 1"):
        report(scans, model, workspace, replace(FEW, join=3))


def test_a_lone_page_and_one_that_cannot_be_read_are_counted(
    scans: Path, model: Path, workspace: Workspace, tmp_path: Path
) -> None:
    root = tmp_path / "few"
    writers = sorted(folder.name for folder in scans.iterdir())
    for writer, n_pages in zip(writers, (1, 2, 2), strict=True):
        (root / writer).mkdir(parents=True)
        for page in sorted((scans / writer).iterdir())[:n_pages]:
            shutil.copy(page, root / writer)
    (root / writers[2] / "broken.png").write_bytes(b"no image")
    found = report(root, model, workspace)
    assert (found.scores.n_pages, found.scores.n_excluded, found.n_unusable) == (5, 1, 1)


def test_what_is_no_corpus_is_refused(scans: Path, model: Path, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing is not there\. Name an experiment"):
        report(tmp_path / "nothing", model, workspace)
    with pytest.raises(CorpusError, match="looks like no known corpus"):
        report(tmp_path, model, workspace)
    with pytest.raises(ConfigError, match="--set changes keys of an experiment file"):
        report_retrieval(scans, model, "toy", workspace, FEW, overrides=["seed=1"])
