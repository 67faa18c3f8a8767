"""The text lines of a page whose tone is normalised."""

import itertools
from collections import defaultdict

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from core.corpora.index import CorpusIndex, Region, TextImage
from core.pages.image_files import read_grey
from core.pages.line_finding import find_lines, letter_height, sole_line, text_rows
from core.pages.scan import INK_LEVEL, normalise_tone


@pytest.fixture
def pages(hands_index: CorpusIndex) -> list[tuple[NDArray[np.uint8], list[TextImage]]]:
    """Each page with its true lines."""
    lines = defaultdict(list)
    for image in hands_index.images:
        lines[image.path].append(image)
    return [(normalise_tone(read_grey(path)), images) for path, images in lines.items()]


def overlap(one: Region, other: Region) -> float:
    """Intersection over union."""
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    both = max(0, height) * max(0, width)
    return both / (one.width * one.height + other.width * other.height - both)


def stacked(lines: list[NDArray[np.uint8]], pitch: int) -> NDArray[np.uint8]:
    """Lines of one height set so many rows apart, ink over ink."""
    page = np.full((pitch * len(lines) + lines[0].shape[0], max(line.shape[1] for line in lines)), 255, np.uint8)
    for number, line in enumerate(lines):
        there = page[number * pitch : number * pitch + line.shape[0], : line.shape[1]]
        np.minimum(there, line, out=there)
    return page


def test_the_lines_of_generated_pages_are_found_where_they_are(
    pages: list[tuple[NDArray[np.uint8], list[TextImage]]],
) -> None:
    for page, images in pages:
        found = find_lines(page)
        assert len(found) == len(images)
        for line, image in zip(found, images, strict=True):
            assert image.region is not None
            assert overlap(line.region, image.region) > 0.75


def test_every_stroke_is_in_one_line(pages: list[tuple[NDArray[np.uint8], list[TextImage]]]) -> None:
    page, _ = pages[0]
    n_in_lines = sum(int((line.cut_from(page) < INK_LEVEL).sum()) for line in find_lines(page))
    assert n_in_lines == pytest.approx((page < INK_LEVEL).sum(), rel=0.01)


def test_lines_whose_letters_touch_are_parted(pages: list[tuple[NDArray[np.uint8], list[TextImage]]]) -> None:
    page, images = pages[1]
    regions = [image.region for image in images if image.region is not None]
    height = max(region.height for region in regions)
    cuts = [page[region.top : region.top + height] for region in regions]
    pitch = int(0.65 * np.median([find_lines(cut)[0].region.height for cut in cuts]))
    tight = stacked([_padded(find_lines(cut)[0].cut_from(cut), height) for cut in cuts], pitch)
    found = find_lines(tight)
    assert len(found) == len(images)
    tops = [line.region.top for line in found]
    assert all(abs(lower - upper - pitch) < 0.4 * pitch for upper, lower in itertools.pairwise(tops))


def _padded(line: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    return np.pad(line, ((0, max(0, height - line.shape[0])), (0, 0)), constant_values=255)[:height]


def test_a_descender_stays_with_its_letter() -> None:
    page = np.full((120, 300), 255, np.uint8)
    for baseline in (40, 80):
        for left in range(10, 280, 30):
            cv2.rectangle(page, (left, baseline - 20), (left + 12, baseline), 0, -1)
    cv2.line(page, (142, 40), (136, 57), 0, 2)  # hangs below its line, to where accents of the next would be
    cv2.circle(page, (200, 52), 2, 0, -1)  # an accent of the second line
    upper, lower = find_lines(page)
    assert upper.region.top + upper.region.height >= 57
    assert lower.region.top <= 52
    assert (lower.cut_from(page)[:8, 118:138] == 255).all()


def test_a_short_last_line_is_a_line(pages: list[tuple[NDArray[np.uint8], list[TextImage]]]) -> None:
    page, images = pages[0]
    region = images[-1].region
    assert region is not None
    page = page.copy()
    page[region.top + 8 :, region.left + region.width // 5 :] = 255
    assert len(find_lines(page)) == len(images)


def test_a_single_line_with_dots_is_one_line(pages: list[tuple[NDArray[np.uint8], list[TextImage]]]) -> None:
    for page, images in pages:
        for image in images:
            region = image.region
            assert region is not None
            assert len(find_lines(page[region.top : region.top + region.height])) == 1


def test_a_page_without_letters_has_no_lines() -> None:
    page = np.full((100, 100), 255, np.uint8)
    assert find_lines(page) == []
    page[50, 50] = 0
    assert find_lines(page) == []


def test_strokes_that_reach_into_a_cut_out_line_are_foreign() -> None:
    cut = np.full((80, 300), 255, np.uint8)
    for left in range(10, 280, 30):
        cv2.rectangle(cut, (left, 30), (left + 12, 55), 0, -1)
    own = cut.copy()
    cut[:12, 100:103] = 0  # the tail of a letter above
    cut[76:, 20:200] = 0  # the end of a ruled line below
    own[:30, 45] = cut[:30, 45] = 0  # a tall letter of the line itself
    assert np.array_equal(sole_line(cut).cut_from(cut), own)


def test_a_clean_line_is_cut_out_unchanged(hands_index: CorpusIndex) -> None:
    page = np.full((80, 100), 255, np.uint8)
    page[30:50, 10:90:7] = 0
    assert np.array_equal(sole_line(page).cut_from(page), page)


def test_rows_of_the_text_follow_the_crossings_and_not_a_ruled_line() -> None:
    ink = np.zeros((100, 300), np.bool_)
    ink[40:60, 10:290:10] = True
    bounds = text_rows(ink, kept=0.8)
    assert bounds == pytest.approx((42, 58), abs=0.01)
    ink[90, :] = True
    assert text_rows(ink, kept=0.8) == pytest.approx(bounds, abs=0.5)


def test_a_short_line_close_below_a_long_one_is_a_line() -> None:
    """Its peak in the profile of the page drowns in the descenders of the line above."""
    page = np.full((160, 1000), 255, np.uint8)
    for column in range(20, 980, 12):
        tall = 45 if column % 5 == 0 else 20
        cv2.line(page, (column, 60 - tall), (column, 60), 0, 3)
        if column % 3 == 0:
            cv2.line(page, (column, 60), (column, 60 + 28), 0, 3)
        if column < 120:
            cv2.line(page, (column + 4, 105), (column + 4, 125), 0, 3)
    upper, lower = find_lines(page)
    assert lower.region.width < 150
    assert upper.region.width > 900


def test_bits_of_neighbouring_lines_do_not_set_the_size_of_letters() -> None:
    page = np.full((150, 900), 255, np.uint8)
    for column in range(20, 880, 60):
        cv2.rectangle(page, (column, 40), (column + 30, 110), 0, 3)
    assert letter_height(page) == pytest.approx(74, abs=3)
    for column in range(10, 890, 12):  # more than there are letters
        page[:8, column : column + 4] = 0
    assert letter_height(page) == pytest.approx(74, abs=3)
    assert len(find_lines(page)) == 1
