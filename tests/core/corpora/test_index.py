import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.corpora.folder import FolderCorpus
from core.corpora.index import CorpusIndex, exclude_odd_names
from core.corpora.settings import FolderSettings


@pytest.fixture
def index(tmp_path: Path) -> CorpusIndex:
    """Three writers, one of whom has a page with a Latin-1 name, another a name of that kind."""
    for name in (b"a/1.png", b"a/M\xfcller.png", b"b/1.png", b"M\xfcller/1.png"):
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((9, 9), 255, np.uint8)).save(path)
    return FolderCorpus(FolderSettings(root=tmp_path)).index()


def test_names_that_are_no_text_are_unusable_in_words_that_can_be_printed(index: CorpusIndex) -> None:
    kept = exclude_odd_names(index)
    assert [image.image_id for image in kept.images] == ["a/1.png", "b/1.png"]
    assert {"/".join(entry.path.parts[-2:]) for entry in kept.unusable} == {r"a/M\xfcller.png", r"M\xfcller/1.png"}
    assert all(entry.reason == "its name holds bytes that are no UTF-8; rename it" for entry in kept.unusable)
    assert len(index.images) == len(kept.images) + len(kept.unusable)


def test_other_letters_are_text(tmp_path: Path) -> None:
    for writer in ("Zoë", "林"):
        (tmp_path / writer).mkdir()
        Image.fromarray(np.full((9, 9), 255, np.uint8)).save(tmp_path / writer / "ä.png")
    index = FolderCorpus(FolderSettings(root=tmp_path)).index()
    assert exclude_odd_names(index) is index


def test_two_unicode_forms_of_a_name_are_one_writer(tmp_path: Path) -> None:
    for writer in ("Jörg", "Zoë"):
        names = unicodedata.normalize("NFC", writer), unicodedata.normalize("NFD", writer)
        for place, name in enumerate(names):
            folder = tmp_path / name
            folder.mkdir()
            for number in (2 * place, 2 * place + 1):
                Image.fromarray(np.full((9, 9), number, np.uint8)).save(folder / f"p{number}.png")
    index = exclude_odd_names(FolderCorpus(FolderSettings(root=tmp_path)).index())
    assert index.writer_ids == ("Jörg", "Zoë")
    assert len({image.page_id for image in index.images}) == len(index.images) == 8
    assert all(unicodedata.is_normalized("NFC", image.image_id) and image.path.is_file() for image in index.images)


def test_two_files_that_differ_in_the_unicode_form_of_their_names_alone_count_once(tmp_path: Path) -> None:
    for name in ("a/ö.png", f"a/{unicodedata.normalize('NFD', 'ö')}.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((9, 9), len(name), np.uint8)).save(tmp_path / name)
    index = exclude_odd_names(FolderCorpus(FolderSettings(root=tmp_path)).index())
    assert [image.image_id for image in index.images] == ["a/ö.png", "b/1.png"]
    assert ["another Unicode form" in entry.reason for entry in index.unusable] == [True]
