"""Lines of an image in memory, read like those of a line store."""

import numpy as np
import pytest

from core.corpora.index import CorpusIndex
from core.lines.source import ImageLines
from core.lines.store import LineStore, build_line_store
from core.pages.image_files import read_grey
from core.pages.text_lines import lines_of_grey
from core.patches.plan import evaluation_plan, read_patches
from core.settings import InkSettings, PatchSettings

SETTINGS = InkSettings(height_px=48)


@pytest.fixture(scope="module")
def hands_store(hands_index: CorpusIndex, tmp_path_factory: pytest.TempPathFactory) -> LineStore:
    return build_line_store(hands_index, SETTINGS, tmp_path_factory.mktemp("lines"))


def test_an_image_in_memory_gives_the_patches_that_the_line_store_gives(
    hands_index: CorpusIndex, hands_store: LineStore
) -> None:
    image = hands_index.images[5]
    found = lines_of_grey(read_grey(image.path, image.region), image, SETTINGS)
    lines = ImageLines("page", found, SETTINGS.height_px)
    patches = PatchSettings(size_px=hands_store.height_px)
    stored = evaluation_plan(hands_store, [image.image_id], None, patches, 9)
    own = evaluation_plan(lines, ["page"], None, patches, 9)
    assert len(own) == 9
    assert np.array_equal(read_patches(lines, own), read_patches(hands_store, stored))


def test_patches_by_page_are_spaced_over_all_its_images(hands_index: CorpusIndex, hands_store: LineStore) -> None:
    page = hands_index.images[0].page_id
    own = [image.image_id for image in hands_index.images if image.page_id == page]
    settings = PatchSettings(size_px=hands_store.height_px)
    plan = evaluation_plan(hands_store, own, None, settings, 8, by="page")
    assert len(own) == 4
    assert len(plan) == 8
    assert {hands_store.lines[line].image_id for line in plan.lines.tolist()} == set(own)
