"""A project's identity and place: found elsewhere, it says so before anything is written."""

import json
import shutil
from pathlib import Path

import pytest

from core.errors import TrackingError
from search.tracking.project_place import find_displacement, read_place, refuse_shared, take_place, write_place


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "mlruns").mkdir(parents=True)
    take_place(root)
    return root


def test_the_first_launch_writes_the_place_down_and_the_next_one_keeps_it(project: Path) -> None:
    place = read_place(project)
    assert place is not None
    assert place.root == str(project)
    take_place(project)
    assert read_place(project) == place
    assert find_displacement(project) is None


def test_a_moved_project_is_refused_and_keeps_its_identity(project: Path, tmp_path: Path) -> None:
    place = read_place(project)
    moved = project.rename(tmp_path / "elsewhere")
    displaced = find_displacement(moved)
    assert displaced is not None
    assert displaced.how == "moved"
    with pytest.raises(TrackingError, match=r"was moved from .*project to .*elsewhere"):
        take_place(moved)
    assert place is not None
    write_place(moved, place.project_id)
    take_place(moved)
    assert read_place(moved) != place


def test_a_copy_is_told_from_a_moved_project_by_the_original(project: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(project, tmp_path / "copy")
    displaced = find_displacement(copy)
    assert displaced is not None
    assert displaced.how == "copied"
    with pytest.raises(TrackingError, match="is a copy of the one in"):
        take_place(copy)
    write_place(copy)
    copied, original = read_place(copy), read_place(project)
    assert copied is not None
    assert original is not None
    assert copied.project_id != original.project_id
    take_place(project)


def test_another_project_in_the_old_place_makes_it_no_copy(project: Path, tmp_path: Path) -> None:
    moved = project.rename(tmp_path / "elsewhere")
    (project / "mlruns").mkdir(parents=True)
    take_place(project)
    displaced = find_displacement(moved)
    assert displaced is not None
    assert displaced.how == "moved"


def test_it_cannot_be_told_what_happened_on_another_machine(project: Path, tmp_path: Path) -> None:
    file = project / "mlruns" / "project.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"host": "another", "root": "/home/anna/scans"}))
    displaced = find_displacement(project)
    assert displaced is not None
    assert displaced.how == "unknown"
    with pytest.raises(TrackingError, match="--as moved` or ` --as copied"):
        take_place(project)


def test_another_name_of_the_same_folder_is_no_other_place(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    assert find_displacement(link) is None


def test_a_damaged_file_is_one_message(project: Path) -> None:
    (project / "mlruns" / "project.json").write_text("{")
    with pytest.raises(TrackingError, match=r"project\.json says where .* cannot be read"):
        take_place(project)


def test_a_sweep_that_a_copy_shares_with_its_original_is_refused(project: Path) -> None:
    write_place(project, shared_sweeps=("forms",))
    with pytest.raises(TrackingError, match="both would write to the same runs"):
        refuse_shared(project, "forms")
    refuse_shared(project, "lines")
