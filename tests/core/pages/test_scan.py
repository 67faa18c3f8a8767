"""A scan's paper becomes white and its ink black."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from core.corpora.dhsd import DhsdCorpus
from core.corpora.index import CorpusIndex
from core.corpora.settings import DhsdSettings
from core.errors import ImageError
from core.pages.image_files import read_grey
from core.pages.scan import INK_LEVEL, normalise_tone


@pytest.fixture
def written(hands_index: CorpusIndex) -> NDArray[np.uint8]:
    """A page of handwriting on clean white, ink 0."""
    return normalise_tone(read_grey(hands_index.images[0].path))


def seen_as(page: NDArray[np.uint8], paper: float | NDArray[np.float64], ink: float) -> NDArray[np.uint8]:
    """The page with that paper level, and ink that reflects such a share of the paper's light."""
    share = ink + (1 - ink) * page / 255.0
    return np.clip(paper * share, 0, 255).round().astype(np.uint8)


def test_paper_is_white_and_ink_is_black(hands_index: CorpusIndex) -> None:
    tone = normalise_tone(read_grey(hands_index.images[0].path))
    assert tone.dtype == np.uint8
    assert (tone == 255).mean() > 0.85
    assert (tone == 0).sum() > 0.5 * (tone < INK_LEVEL).sum()


@pytest.mark.parametrize(("paper", "ink"), [(255, 0.0), (240, 0.2), (180, 0.3), (250, 0.75), (120, 0.5)])
def test_paper_level_and_pen_do_not_show(written: NDArray[np.uint8], paper: float, ink: float) -> None:
    tone = normalise_tone(seen_as(written, paper, ink))
    assert np.abs(tone.astype(int) - normalise_tone(written)).mean() < 2
    assert ((tone < INK_LEVEL) ^ (written < INK_LEVEL)).mean() < 0.01


def test_a_slow_shadow_over_the_page_is_taken_away(written: NDArray[np.uint8]) -> None:
    shadow = np.linspace(240, 130, written.shape[1])[None, :] * np.linspace(1, 0.8, written.shape[0])[:, None]
    tone = normalise_tone(seen_as(written, shadow, 0.3))
    assert (tone[written == 255] > 250).mean() > 0.98
    assert ((tone < INK_LEVEL) ^ (written < INK_LEVEL)).mean() < 0.01


def test_the_grain_of_the_paper_is_taken_away(written: NDArray[np.uint8]) -> None:
    grain = np.random.default_rng(0).normal(0, 5, written.shape)
    noisy = np.clip(seen_as(written, 225, 0.3) + grain, 0, 255).round().astype(np.uint8)
    far_from_ink = cv2.erode(written, np.ones((9, 9), np.uint8)) == 255
    assert (normalise_tone(noisy)[far_from_ink] == 255).mean() > 0.97


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_is_refused(level: int) -> None:
    with pytest.raises(ImageError, match="Is the image blank"):
        normalise_tone(np.full((64, 256), level, np.uint8))


def test_paper_with_nothing_but_grain_is_refused() -> None:
    grain = np.random.default_rng(0).normal(230, 6, (200, 400)).clip(0, 255).astype(np.uint8)
    with pytest.raises(ImageError, match="Is the image blank"):
        normalise_tone(grain)


def test_a_few_specks_are_not_ink() -> None:
    page = np.full((100, 100), 240, np.uint8)
    page[[10, 50, 90], [20, 60, 90]] = 0
    with pytest.raises(ImageError, match="Is the image blank"):
        normalise_tone(page)


def test_real_pens_of_37_writers_come_out_alike(dhsd_root: Path) -> None:
    first = {image.writer_id: image for image in DhsdCorpus(DhsdSettings(root=dhsd_root)).index().images}
    before, after = [], []
    for image in first.values():
        grey = read_grey(image.path)
        tone = normalise_tone(grey)
        before.append(np.median(grey[tone < INK_LEVEL]))
        after.append(np.median(tone[tone < INK_LEVEL]))
    assert np.std(before) > 25
    assert np.std(after) < 10
