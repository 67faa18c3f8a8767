import errno
import os
from pathlib import Path

import pytest

from search.tracking.models import local_folder, place_model, remove_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "worker" / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "data" / "model.keras").write_bytes(bytes(10_000))
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_placed_model_is_the_same_files_under_a_second_name(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "models" / "m-1" / "artifacts"
    place_model(model, place)
    assert _files(place) == _files(model)
    assert (place / "data" / "model.keras").samefile(model / "data" / "model.keras")


def test_what_an_earlier_try_left_is_replaced(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "models" / "m-1" / "artifacts"
    place.mkdir(parents=True)
    (place / "half").write_bytes(b"torn")
    place_model(model, place)
    place_model(model, place)
    assert _files(place) == _files(model)
    assert [path.name for path in place.parent.iterdir()] == ["artifacts"]


def test_what_a_killed_process_left_aside_is_deleted_and_a_living_one_s_is_not(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "models" / "m-1" / "artifacts"
    dead, living = (place.with_name(f".artifacts.{pid}.tmp") for pid in (2**22 + 1, os.getppid()))
    for folder in (dead, living):
        (folder / "data").mkdir(parents=True)
    place_model(model, place)
    assert sorted(place.parent.iterdir()) == [living, place]


def test_a_disk_that_knows_no_links_gets_a_copy(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    place_model(model, tmp_path / "place")
    assert _files(tmp_path / "place") == _files(model)


def test_a_full_disk_leaves_no_half_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", fill)
    place = tmp_path / "models" / "m-1" / "artifacts"
    with pytest.raises(OSError, match="No space left"):
        place_model(model, place)
    assert list(place.parent.iterdir()) == []


def test_removing_takes_mlflows_folder_around_a_model_too_and_no_other(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "models" / "m-1" / "artifacts"
    place_model(model, place)
    remove_model(place)
    remove_model(place)
    assert list((tmp_path / "models").iterdir()) == []
    remove_model(model)
    assert list((tmp_path / "worker").iterdir()) == []


def test_a_remote_address_is_no_local_folder() -> None:
    assert local_folder("mlflow-artifacts:/1/models/m-1/artifacts") is None
    assert local_folder("s3://bucket/m-1") is None
