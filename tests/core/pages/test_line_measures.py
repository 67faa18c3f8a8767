"""What is said about a line: heights, slant, skew and scale, against what was drawn."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from core.pages.line_measures import LineMeasures, measure_line
from core.pages.text_lines import place_of_line, read_page
from core.settings import InkSettings

X_HEIGHT_PX, PEN_PX = 40, 5


def strokes(slant_deg: float = 0.0, skew_deg: float = 0.0) -> NDArray[np.uint8]:
    """A line of forty slanted strokes, each fourth one with an ascender; it rises to the right."""
    image = np.full((400, 1400), 255, np.uint8)
    lean, rise = np.tan(np.deg2rad(slant_deg)), np.tan(np.deg2rad(skew_deg))
    for number in range(40):
        x, height = 100 + 30 * number, X_HEIGHT_PX * (2 if number % 4 == 0 else 1)
        foot = 250 - rise * (x - 700)
        top = round(x + lean * height), round(foot - height)
        cv2.line(image, (x, round(foot)), top, 0, thickness=PEN_PX, lineType=cv2.LINE_AA)
    return image


def measure(image: NDArray[np.uint8], settings: InkSettings | None = None) -> LineMeasures:
    page = read_page(image, "page", settings or InkSettings())
    (line,) = page.lines
    return measure_line(page, line, settings or InkSettings())


@pytest.mark.parametrize("slant_deg", [-15.0, 0.0, 10.0, 30.0])
def test_letters_lean_by_their_slant(slant_deg: float) -> None:
    assert measure(strokes(slant_deg)).slant_deg == pytest.approx(slant_deg, abs=2.0)


@pytest.mark.parametrize("skew_deg", [-3.0, 0.0, 0.75, 5.0])
def test_a_line_rises_by_its_skew_also_where_the_page_was_turned_for_it(skew_deg: float) -> None:
    assert measure(strokes(10.0, skew_deg)).skew_deg == pytest.approx(skew_deg, abs=0.3)


def test_the_body_of_the_text_is_as_high_as_an_x() -> None:
    measured = measure(strokes())
    assert measured.x_height_px == pytest.approx(X_HEIGHT_PX + PEN_PX, abs=4)
    assert X_HEIGHT_PX < measured.text_px < 2 * X_HEIGHT_PX


def test_the_scale_leads_to_the_height_asked_for() -> None:
    image, settings = strokes(), InkSettings(height_px=60)
    page = read_page(image, "page", settings)
    measured = measure(image, settings)
    assert measured.scale * place_of_line(page, page.lines[0], settings).height == pytest.approx(60)


def test_the_band_lies_on_the_text() -> None:
    band = measure(strokes()).band
    assert band[0, 0] == pytest.approx(100, abs=6)
    assert band[-1, 0] == pytest.approx(100 + 39 * 30, abs=6)
    assert np.all((band[:, 1] > 250 - 2 * X_HEIGHT_PX) & (band[:, 1] < band[:, 2]) & (band[:, 2] < 256))
