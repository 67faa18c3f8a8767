"""Rules are found where writing hides them, end where they end, and are no strokes."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from core.pages.ruled_lines import erase_rules, find_rules
from core.pages.scan import INK_LEVEL

HEIGHT, WIDTH, PITCH_PX = 1200, 900, 60


def written(rows: range, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Dense upright strokes, as of letters, 40 px high around each of the rows."""
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for row in rows:
        for column in range(80, WIDTH - 80, 13):
            top, bottom = generator.integers(8, 20, 2)
            cv2.line(page, (column, row - top), (column + int(generator.integers(-5, 6)), row + bottom), 0, 3)
    return page


def ruled(
    page: NDArray[np.uint8], rows: range, grey: int, slope: float = 0.0, ends: tuple[int, int] = (0, WIDTH)
) -> None:
    for row in rows:
        first, last = (round(row + slope * (column - WIDTH / 2)) for column in ends)
        canvas = np.full_like(page, 255)
        cv2.line(canvas, (ends[0], first), (ends[1] - 1, last), grey, 3)
        np.minimum(page, canvas, out=page)


@pytest.mark.parametrize(("grey", "slope"), [(0, 0.0), (0, 0.05), (120, -0.05)])
def test_rules_under_every_second_line_of_dense_writing_are_found(grey: int, slope: float) -> None:
    page = written(range(210, 1000, 2 * PITCH_PX), np.random.default_rng(0))
    bare = page.copy()
    ruled(page, range(90, 1120, PITCH_PX), grey, slope)
    rules = find_rules(page)
    assert len(rules.horizontal) == len(range(90, 1120, PITCH_PX))
    erase_rules(page, rules)
    assert (page < INK_LEVEL).sum() < 1.2 * (bare < INK_LEVEL).sum()
    margins = np.hstack([page[:, :60], page[:, -60:]])
    assert (margins < INK_LEVEL).mean() < 0.001


def test_a_rule_ends_where_it_ends() -> None:
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    ruled(page, range(100, 1100, PITCH_PX), 60, ends=(137, 701))
    rules = find_rules(page).horizontal
    assert len(rules) == len(range(100, 1100, PITCH_PX))
    assert all(abs(rule.start - 137) <= 10 and abs(rule.end - 701) <= 10 for rule in rules)


def test_a_tall_slanted_stroke_of_a_low_image_is_no_rule() -> None:
    page = written(range(100, 300, 60), np.random.default_rng(1))[:360]
    page = np.hstack([page, page])
    for column in range(150, 800, 150):
        cv2.line(page, (column, 60), (column - 60, 290), 0, 4)
    assert find_rules(page).vertical == ()


def test_paper_without_rules_has_none() -> None:
    rules = find_rules(written(range(100, 1100, PITCH_PX), np.random.default_rng(2)))
    assert (rules.horizontal, rules.vertical) == ((), ())
