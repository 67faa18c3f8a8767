import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.errors import CorpusError, ImageError, RegistryError
from core.pages.frames import Page
from core.retrieval.descriptor_index import DescriptorIndex
from core.retrieval.register import REGISTER_FILE
from search.experiment.settings import TrackingSettings
from search.identification.enrolment import carry_over, enrol, files_by_writer
from search.identification.forgetting import forget
from search.identification.identifier_folder import ARTIFACTS
from search.identification.identify import identify
from search.identification.kept_register import keep_register, load_register, read_register
from search.identification.known_writers import answering_model, list_writers
from search.identification.page_index import extend_index
from search.identification.page_reader import PageReader
from search.identification.served_model import NETWORK, RECORD, ServedModel
from search.tracking.aliases import set_champion
from search.tracking.enrolled_versions import find_enrolled
from search.tracking.registry import ENROLLED, champion, find_alias, register_version, versions_of
from search.tracking.store import TrackingStore, open_store
from tests.search.toy_model import WRITER_IDS, save_toy_champion, toy_hands, write_line

NAME = "toy"


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, to be copied."""
    folder = tmp_path_factory.mktemp("kept")
    store = open_store(TrackingSettings(uri=f"sqlite:///{folder / 'mlflow.db'}"), folder)
    save_toy_champion(store, folder / "first", hands=toy_hands())
    return folder


@pytest.fixture
def store(kept: Path) -> TrackingStore:
    return open_store(TrackingSettings(uri=f"sqlite:///{kept / 'mlflow.db'}"), kept)


@pytest.fixture
def name(store: TrackingStore, kept: Path, request: pytest.FixtureRequest) -> str:
    """A registered model of the test's own, whose champion is the kept one's."""
    own = f"toy-{request.node.name}"
    register_version(store, own, champion(store, NAME).model_id, {})
    set_champion(store, own, 1, None)
    return own


def files_holding(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob(REGISTER_FILE) if text in str(np.load(path)["words"])]


@pytest.mark.long
def test_an_enrolled_writer_is_identified_by_her_page(store: TrackingStore, name: str, tmp_path: Path) -> None:
    pages = {"anna": [write_line(tmp_path / "a.png", 14)], "berta": [write_line(tmp_path / "b.png", 30)]}
    result = enrol(store, name, pages, silent)
    assert result.n_pages == {"anna": 1, "berta": 1}
    model = answering_model(store, champion(store, name))
    assert (model.n_enrolled, model.outdated) == (2, ())
    answer = identify([tmp_path / "a.png", tmp_path / "b.png"], model.folder)
    for prediction, writer in zip(answer.images, pages, strict=True):
        assert {each.writer_id for each in prediction.ranking} == {*WRITER_IDS, *pages}
        assert sum(each.probability for each in prediction.ranking) == pytest.approx(1)
        assert max(pages, key=prediction.probability_of) == writer
        assert prediction.is_known is not None
    assert {writer.writer_id for writer in answer.together} == {*WRITER_IDS, *pages}


def test_every_state_of_the_register_is_a_version_and_the_champion_stays(
    store: TrackingStore, name: str, tmp_path: Path
) -> None:
    for number, writer in enumerate(("anna", "berta")):
        enrol(store, name, {writer: [write_line(tmp_path / f"{number}.png", 5 + number)]}, silent)
    assert [version.version for version in versions_of(store, name)] == [1, 2, 3]
    assert champion(store, name).version == 1
    enrolled = find_alias(store, name, ENROLLED)
    assert enrolled is not None
    assert enrolled.version == 3
    known = list_writers(store, name)
    assert [(writer.writer_id, writer.kind) for writer in known] == [
        *((writer, "trained") for writer in WRITER_IDS),
        ("anna", "enrolled"),
        ("berta", "enrolled"),
    ]
    assert known[-1].origin == str(tmp_path)
    assert all(writer.n_patches > 0 for writer in known)


def test_a_page_that_is_enrolled_again_counts_once(store: TrackingStore, name: str, tmp_path: Path) -> None:
    page = write_line(tmp_path / "a.png", 5)
    for _ in range(2):
        enrol(store, name, {"anna": [page]}, silent)
    assert list_writers(store, name)[-1].n_pages == 1


def test_who_is_forgotten_is_in_no_version_of_the_register_and_in_no_index(
    store: TrackingStore, name: str, tmp_path: Path, kept: Path
) -> None:
    files = [write_line(tmp_path / f"{number}.png", 5 + number) for number in range(3)]
    enrol(store, name, {"anna": files[:1]}, silent)
    enrol(store, name, {f"berta {name}": files[1:2]}, silent)
    enrol(store, name, {"clara": files[2:]}, silent)
    reader = PageReader.load(answering_model(store, champion(store, name)).folder)
    for index, some in (("with", files), ("without", files[2:])):
        extend_index(tmp_path / "indexes" / index, some, reader)
    assert len(files_holding(kept, f"berta {name}")) == 2
    assert forget(store, name, f"berta {name}", tmp_path / "indexes", silent) == 2
    assert files_holding(kept, f"berta {name}") == []
    assert [writer.writer_id for writer in list_writers(store, name)][-2:] == ["anna", "clara"]
    assert [version.version for version in versions_of(store, name)] == [1, 2, 5]
    assert [folder.name for folder in (tmp_path / "indexes").iterdir()] == ["without"]
    assert len(DescriptorIndex.open(tmp_path / "indexes" / "without")) == 1
    with pytest.raises(RegistryError, match="in no version; enrolled: anna, clara"):
        forget(store, name, f"berta {name}", tmp_path / "indexes", silent)


def test_forgetting_ends_what_a_killed_one_has_begun(store: TrackingStore, name: str, tmp_path: Path) -> None:
    pages = [write_line(tmp_path / f"{number}.png", number) for number in (5, 6)]
    enrol(store, name, {"anna": pages[:1], "berta": pages[1:]}, silent)
    found = find_enrolled(store, name)
    assert found is not None
    register, best = read_register(store, found), champion(store, name)
    keep_register(store, best, answering_model(store, best).folder, register.without(["anna"]))
    assert forget(store, name, "anna", tmp_path / "indexes", silent) == 1
    assert list_writers(store, name)[-1].writer_id == "berta"


def test_the_last_writer_can_be_forgotten(store: TrackingStore, name: str, tmp_path: Path) -> None:
    enrol(store, name, {"anna": [write_line(tmp_path / "a.png", 5)]}, silent)
    assert forget(store, name, "anna", tmp_path / "indexes", silent) == 1
    assert find_enrolled(store, name) is None
    assert len(versions_of(store, name)) == 1
    assert answering_model(store, champion(store, name)).n_enrolled == 0


@pytest.mark.long
def test_a_new_champion_enrols_everybody_again_and_says_whose_pages_are_gone(
    store: TrackingStore, tmp_path: Path
) -> None:
    own = "toy-twice"
    save_toy_champion(store, tmp_path / "one", own, toy_hands())
    strokes = {"stays": 5, "goes": 6, "changes": 8}
    stays, goes, changes = (write_line(tmp_path / f"{stem}.png", n) for stem, n in strokes.items())
    enrol(store, own, {"anna": [stays, changes], "berta": [goes]}, silent)
    assert carry_over(store, own, silent) is None, "the champion is the same"
    save_toy_champion(store, tmp_path / "two", own, toy_hands())
    best = champion(store, own)
    assert answering_model(store, best).outdated == ("anna", "berta")
    goes.unlink()
    write_line(changes, 7)
    result = carry_over(store, own, silent)
    assert result is not None
    assert [(image.path.name, image.reason.split(") ")[-1]) for image in result.gone] == [
        ("changes.png", "is another file now"),
        ("goes.png", "is gone"),
    ]
    assert result.gone_writers == ("berta",)
    model = answering_model(store, best)
    assert (model.n_enrolled, model.outdated) == (1, ())
    reader = PageReader.load(model.folder)
    np.testing.assert_allclose(load_register(model.folder).descriptors[0], reader.describe(Page(stays)), atol=1e-6)


def test_a_champion_without_hands_and_a_trained_writer_are_refused(
    store: TrackingStore, name: str, tmp_path: Path
) -> None:
    page = write_line(tmp_path / "a.png", 5)
    with pytest.raises(RegistryError, match=f"it was trained on {WRITER_IDS[0]}"):
        enrol(store, name, {WRITER_IDS[0]: [page]}, silent)
    with pytest.raises(RegistryError, match="was trained into the network"):
        forget(store, name, WRITER_IDS[0], tmp_path, silent)
    with pytest.raises(ImageError, match="none can be"):
        enrol(store, name, {"anna": [tmp_path / "missing.png"]}, silent)
    save_toy_champion(store, tmp_path / "old", "toy-old")
    with pytest.raises(RegistryError, match="Promote a fit anew"):
        enrol(store, "toy-old", {"anna": [page]}, silent)


def test_writers_of_a_folder_are_its_folders(tmp_path: Path) -> None:
    for writer in ("anna", "berta"):
        (tmp_path / writer).mkdir()
        for number in range(2):
            write_line(tmp_path / writer / f"{number}.png", 5 + number)
    found: dict[str, list[Path]] = files_by_writer(tmp_path)
    assert {writer: [file.name for file in files] for writer, files in found.items()} == {
        "anna": ["0.png", "1.png"],
        "berta": ["0.png", "1.png"],
    }
    shutil.rmtree(tmp_path / "anna")
    shutil.rmtree(tmp_path / "berta")
    with pytest.raises(CorpusError, match="--writer NAME"):
        files_by_writer(tmp_path)


def test_the_served_model_ranks_enrolled_writers_and_gives_the_descriptor_that_find_uses(
    store: TrackingStore, name: str, tmp_path: Path
) -> None:
    page = write_line(tmp_path / "a.png", 20)
    enrol(store, name, {"anna": [page]}, silent)
    folder = answering_model(store, champion(store, name)).folder
    served = ServedModel(runs_own_code=False)
    files = {NETWORK: folder / ARTIFACTS / "model.keras", RECORD: folder / ARTIFACTS / "whosehand.json"}
    served.load_context(SimpleNamespace(artifacts=files))
    row = served.predict(None, {"image": [str(page)]}, {"describe": True, "top": 0}).to_dict("records")[0]
    assert {each["writer_id"] for each in row["ranking"]} == {*WRITER_IDS, "anna"}
    np.testing.assert_allclose(row["descriptor"], PageReader.load(folder).describe(Page(page)), atol=1e-6)
    assert "descriptor" not in served.predict(None, {"image": [str(page)]}).columns
