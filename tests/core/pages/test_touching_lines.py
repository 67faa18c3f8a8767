"""Letters of two lines that touch are divided along their strokes."""

import cv2
import numpy as np
from numpy.typing import NDArray

from core.pages.line_finding import find_lines
from core.pages.scan import INK_LEVEL

UPPER, LOWER = 60, 130


def two_lines(short: int = 600) -> NDArray[np.uint8]:
    """Two lines of upright strokes, the lower one so wide."""
    page = np.full((190, 640), 255, np.uint8)
    for row, end in ((UPPER, 600), (LOWER, short)):
        for column in range(20, end, 14):
            cv2.line(page, (column, row - 18), (column, row + 18), 0, 3)
            cv2.line(page, (column, row + 18), (column + 8, row + 18), 0, 2)
    return page


def test_a_descender_that_ends_beside_a_letter_it_touches_stays_with_its_own_line() -> None:
    page = two_lines()
    cv2.line(page, (314, UPPER + 18), (314, LOWER - 22), 0, 3)
    cv2.line(page, (314, LOWER - 22), (314, LOWER - 18), 0, 3)  # touches the stroke below at its top
    upper, lower = find_lines(page)
    assert upper.region.top + upper.region.height in range(LOWER - 48, LOWER - 14)
    assert lower.region.top >= UPPER + 18
    n_in_lines = sum(int((line.cut_from(page) < INK_LEVEL).sum()) for line in (upper, lower))
    assert n_in_lines >= 0.99 * (page < INK_LEVEL).sum()


def test_a_descender_that_hangs_where_the_next_line_is_not_written_stays_whole() -> None:
    page = two_lines(short=200)
    cv2.line(page, (454, UPPER + 18), (454, LOWER + 25), 0, 3)
    upper, lower = find_lines(page)
    assert upper.region.top + upper.region.height >= LOWER + 25
    assert lower.region.width < 220
