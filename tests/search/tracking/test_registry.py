from pathlib import Path

import pytest

from core.errors import RegistryError
from search.tracking.aliases import restore_previous, set_champion
from search.tracking.registry import champion, download_model, find_model, register_version, registered_names
from search.tracking.store import TrackingStore
from tests.search.promotion.logged_model import logged_model

NAME = "whosehand-toy"


def test_a_registered_version_carries_lineage_and_finds_its_files(store: TrackingStore, tmp_path: Path) -> None:
    model_id = logged_model(store, tmp_path)
    tags: dict[str, str | int | float] = {"sweep_id": "toy-1", "trial": 7, "image_top1": 0.91234567, "test_openings": 1}
    version = register_version(store, NAME, model_id, tags, "the best of toy")
    assert (version.name, version.version, version.model_id, version.aliases) == (NAME, 1, model_id, ())
    assert version.tags == {"sweep_id": "toy-1", "trial": "7", "image_top1": "0.912346", "test_openings": "1"}
    assert version.run_id
    assert (download_model(store, version.location) / "MLmodel").exists()


def test_registering_the_same_model_again_makes_no_second_version(store: TrackingStore, tmp_path: Path) -> None:
    model_id = logged_model(store, tmp_path)
    first = register_version(store, NAME, model_id, {"test_openings": 1})
    second = register_version(store, NAME, model_id, {"test_openings": 2})
    assert (second.version, second.tags) == (first.version, {"test_openings": "2"})


def test_a_model_is_found_by_alias_version_id_run_and_folder(store: TrackingStore, tmp_path: Path) -> None:
    version = register_version(store, NAME, logged_model(store, tmp_path), {})
    set_champion(store, NAME, 1, None)
    names = [f"models:/{NAME}@champion", f"models:/{NAME}/1", f"models:/{version.model_id}", str(tmp_path / "saved")]
    for name in names:
        assert (find_model(store, name).folder / "MLmodel").exists(), name


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("no/such/folder", "there is no such folder"),
        (f"models:/{NAME}@champion", "the registry is empty"),
        (f"models:/{NAME}@previous", "no version with the alias 'previous'"),
        (f"models:/{NAME}/7", "There is no model"),
        ("models:/m-0123", "There is no model"),
        ("runs:/0123456789abcdef0123456789abcdef", "There is no model"),
    ],
)
def test_a_model_that_is_not_there_is_a_clear_error(store: TrackingStore, reference: str, reason: str) -> None:
    with pytest.raises(RegistryError, match=reason):
        find_model(store, reference)


def test_a_model_without_a_champion_says_to_promote(store: TrackingStore, tmp_path: Path) -> None:
    register_version(store, NAME, logged_model(store, tmp_path), {})
    with pytest.raises(RegistryError, match="no champion yet; run `whosehand promote`"):
        champion(store, NAME)
    with pytest.raises(RegistryError, match="no former champion"):
        restore_previous(store, NAME)


def test_an_unknown_name_lists_the_known_ones(store: TrackingStore, tmp_path: Path) -> None:
    register_version(store, NAME, logged_model(store, tmp_path), {})
    assert registered_names(store) == (NAME,)
    with pytest.raises(RegistryError, match=f"there are only '{NAME}'"):
        champion(store, "another")


def test_only_finished_models_that_exist_can_be_registered(store: TrackingStore, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="there is no 'm-none'"):
        register_version(store, NAME, "m-none", {})
    with pytest.raises(RegistryError, match="PENDING"):
        register_version(store, NAME, logged_model(store, tmp_path, finished=False), {})


def test_a_model_whose_files_are_gone_is_a_clear_error(store: TrackingStore, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="that folder is gone"):
        download_model(store, str(tmp_path / "moved"))
