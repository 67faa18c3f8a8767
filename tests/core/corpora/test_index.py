import os
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
