"""How lines run across a page is followed from strip to strip."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core.pages.line_flow import LineFlow, find_flow

SHAPE, LETTER_PX, PITCH_PX = (1200, 2000), 40.0, 70


def strokes(shift: NDArray[np.float64], stretch: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the strokes of 14 lines that run as (width,) shifts and stretches say."""
    generator = np.random.default_rng(0)
    columns = np.repeat(np.arange(100, 1900, 6), 14)
    level = np.tile(np.arange(14) * PITCH_PX + 150, 300) + generator.normal(0, 6, len(columns))
    return np.rint(level + shift[columns] + stretch[columns] * (level - 600)).astype(np.int64), columns


def test_level_lines_are_left_alone() -> None:
    assert find_flow(*strokes(np.zeros(2000), np.zeros(2000)), SHAPE, LETTER_PX) is None


@pytest.mark.parametrize(("rise", "fan", "arc"), [(150, 0, 0), (0, 0.08, 0), (0, 0, 35), (-60, -0.06, 20)])
def test_lines_that_rise_fan_and_bend_are_made_level(rise: float, fan: float, arc: float) -> None:
    share = np.linspace(-0.5, 0.5, 2000)
    rows, columns = strokes(rise * share + arc * np.cos(np.pi * share), fan * share)
    flow = find_flow(rows, columns, SHAPE, LETTER_PX)
    assert flow is not None
    level = flow.level_rows(rows, columns)
    # The first line's strokes lie around one row again.
    for line in (0, 6, 13):
        assert level[line::14].std() < 12 < max(12.1, rows[line::14].std())


def test_a_bend_is_what_level_rows_take_off() -> None:
    flow = LineFlow(np.linspace(0, 50, 100), np.full(100, 0.1), middle=500.0)
    bend = flow.bend(400.0, 0, 100)
    rows = np.rint(400 + bend).astype(np.int64)
    assert np.abs(flow.level_rows(rows, np.arange(100)) - 400).max() <= 1
