"""What a picture of a page shows of how it was read."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.scoring.page_picture import (
    CUT_OFF,
    ERASED,
    LEGEND,
    LINES,
    OUTSIDE,
    PATCHES,
    Colour,
    PageReading,
    page_picture,
)
from core.settings import InkSettings, PatchSettings

BAND_PX, RULE_ROW, PALE_ROW = 70, 700, 760


def written() -> NDArray[np.uint8]:
    """Four lines of upright strokes, a black band at the left, a dark and a pale rule."""
    page = np.full((1100, 900), 235, np.uint8)
    for row in (150, 300, 450, 600):
        for number in range(25):
            x, height = 160 + 25 * number, 60 if number % 4 == 0 else 34
            cv2.line(page, (x, row), (x + 4, row - height), 20, thickness=4, lineType=cv2.LINE_AA)
    page[:, :BAND_PX] = 5
    page[RULE_ROW : RULE_ROW + 3, BAND_PX:] = 60
    page[PALE_ROW : PALE_ROW + 3, BAND_PX:] = 160
    return page


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.uint8], PageReading]:
    folder = tmp_path_factory.mktemp("drawn")
    Image.fromarray(written()).save(folder / "page.png")
    read = page_picture(
        folder / "page.png", "page", InkSettings(), PatchSettings(), folder / "a.png", small_copy=folder / "s.jpg"
    )
    with Image.open(folder / "s.jpg") as small:
        assert small.width == 480  # of at most 480 x 640
    return np.asarray(Image.open(folder / "a.png")), read


def share(picture: NDArray[np.uint8], colour: Colour) -> float:
    return float((np.abs(picture.astype(int) - colour).max(axis=2) < 8).mean())


def test_what_is_cut_off_is_striped(drawn: tuple[NDArray[np.uint8], PageReading]) -> None:
    picture, _ = drawn
    assert share(picture[:1100, : BAND_PX - 20], CUT_OFF) > 0.2
    assert share(picture[:1100, BAND_PX + 30 :], CUT_OFF) < 0.002  # soft edges of strokes


def test_what_is_erased_has_a_colour(drawn: tuple[NDArray[np.uint8], PageReading]) -> None:
    picture, read = drawn
    assert read.n_rules == 2
    for row in (RULE_ROW, PALE_ROW):
        assert share(picture[row : row + 3, BAND_PX + 30 : 850], ERASED) > 0.9


def test_lines_and_patches_are_framed(drawn: tuple[NDArray[np.uint8], PageReading]) -> None:
    picture, read = drawn
    assert read.reading.n_lines == len(read.lines) == 4
    for number in range(4):
        rows = slice(80 + 150 * number, 170 + 150 * number)
        assert share(picture[rows, 120:820], LINES[number % 2]) > 0.01
    assert share(picture[:1100], PATCHES) > 0.001
    assert share(picture[:1100], OUTSIDE) < 0.001


def test_a_legend_names_every_colour_below(drawn: tuple[NDArray[np.uint8], PageReading]) -> None:
    picture, _ = drawn
    assert picture.shape[1] == 900
    assert all(share(picture[1100:], colour) > 0.001 for _, colour in LEGEND)


def test_ink_in_no_line_has_a_colour(tmp_path: Path) -> None:
    page = written()
    page[900:908, 300:308] = 20  # dust
    Image.fromarray(page).save(tmp_path / "page.png")
    page_picture(tmp_path / "page.png", "page", InkSettings(), PatchSettings(), tmp_path / "a.png")
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert share(picture[900:908, 300:308], OUTSIDE) > 0.9
    assert share(picture[:1100], OUTSIDE) < 0.001
