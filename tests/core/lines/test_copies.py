"""One content counts once, however a file of it is reached."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from core.corpora.folder import FolderCorpus
from core.corpora.index import CorpusIndex
from core.corpora.settings import FolderSettings
from core.lines import fingerprints
from core.lines.copies import COPY, exclude_copies
from core.lines.fingerprints import Fingerprint


def save(path: Path, number: int, n_more: int = 0) -> None:
    """A bitmap: its size tells nothing of what it shows."""
    Image.new("L", (8, 8), number).save(path, format="bmp")
    path.write_bytes(path.read_bytes() + bytes(n_more))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three writers with three pages each, all of the same size and different."""
    for number in range(9):
        page = tmp_path / "scans" / "abc"[number // 3] / f"p{number % 3}.png"
        page.parent.mkdir(parents=True, exist_ok=True)
        save(page, number)
    return tmp_path / "scans"


def without_copies(root: Path) -> CorpusIndex:
    return exclude_copies(FolderCorpus(FolderSettings(root=root)).index(), root.parent / "prints.json")


def ids(index: CorpusIndex) -> set[str]:
    return {image.image_id for image in index.images}


ALL = {f"{writer}/p{page}.png" for writer in "abc" for page in range(3)}


def test_a_corpus_without_copies_stays_as_it_is(root: Path) -> None:
    index = FolderCorpus(FolderSettings(root=root)).index()
    assert exclude_copies(index, root.parent / "prints.json") is index


def test_a_copy_by_the_same_writer_is_not_chosen_and_named(root: Path) -> None:
    shutil.copy(root / "a" / "p0.png", root / "a" / "p0 (copy).png")
    index = without_copies(root)
    assert ids(index) == ALL
    (entry,) = index.not_chosen
    assert (entry.path.name, entry.reason) == ("p0 (copy).png", f"{COPY}, {root / 'a' / 'p0.png'}, which is used")


def test_a_copy_by_another_writer_is_unusable(root: Path) -> None:
    shutil.copy(root / "a" / "p0.png", root / "b" / "p9.png")
    index = without_copies(root)
    assert ids(index) == ALL
    (entry,) = index.unusable
    assert (entry.path, entry.writer_id) == (root / "b" / "p9.png", "b")
    assert "by writer 'a'" in entry.reason


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_to_files_are_copies(root: Path, link: object) -> None:
    assert callable(link)
    link(root / "a" / "p0.png", root / "a" / "another name.png")
    assert ids(without_copies(root)) == ALL


def test_of_a_file_and_a_link_to_it_the_file_is_used(root: Path) -> None:
    (root / "a" / "0.png").symlink_to(root / "a" / "p0.png")
    index = without_copies(root)
    assert ids(index) == ALL
    assert [entry.path.name for entry in index.not_chosen] == ["0.png"]


def test_a_link_to_a_writers_folder_is_no_further_writer(root: Path) -> None:
    (root / "d").symlink_to(root / "a")
    index = without_copies(root)
    assert index.writer_ids == ("a", "b", "c")
    assert len(index.unusable) == 3


def test_empty_files_are_no_copies_of_each_other(root: Path) -> None:
    for name in ("x.png", "y.png"):
        (root / "a" / name).touch()
    assert ids(without_copies(root)) == ALL | {"a/x.png", "a/y.png"}


def test_files_that_are_no_images_are_each_told_by_themselves(root: Path) -> None:
    for name in ("x.png", "y.png"):
        (root / "a" / name).write_bytes(b"torn")
    assert ids(without_copies(root)) == ALL | {"a/x.png", "a/y.png"}


def test_only_files_of_equal_size_are_read_and_each_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = fingerprints._fingerprint

    def note(path: Path) -> object:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(fingerprints, "_fingerprint", note)
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        save(path, number, n_more=number)
        os.utime(path, (1, 1))
    without_copies(root)
    assert read == []
    save(root / "c" / "p2.png", 77)
    without_copies(root)
    assert sorted(read) == ["p0.png", "p2.png"]
    assert all(isinstance(original(root / "a" / name), Fingerprint) for name in ("p0.png",))
