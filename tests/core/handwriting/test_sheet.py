"""Sheets with everything that disturbs on them: the writing stays, and the truth about it is
known.
"""

import numpy as np
import pytest

from core.handwriting.penmanship import draw_penmanship
from core.handwriting.sheet import WrittenSheet, write_sheet
from core.handwriting.sheet_style import Edge, SheetStyle, draw_style

N_LINES = 2


def sheet(style: SheetStyle, seed: int = 3) -> WrittenSheet:
    return write_sheet(draw_penmanship(np.random.default_rng(seed)), style, np.random.default_rng([seed, 1]), N_LINES)


@pytest.fixture(scope="module")
def plain() -> WrittenSheet:
    return sheet(SheetStyle())


def test_the_truth_covers_the_ink_of_a_plain_sheet(plain: WrittenSheet) -> None:
    assert len(plain.lines) == N_LINES
    assert np.unique(plain.line_of_pixel).tolist() == [0, 1, 2]
    ink = plain.pixels < 128
    assert (plain.line_of_pixel[ink] > 0).mean() > 0.98
    for number, line in enumerate(plain.lines, 1):
        rows, columns = np.nonzero(plain.line_of_pixel == number)
        assert [int(rows.min()), int(columns.min())] == [line.top_px, line.left_px]
        assert [int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1] == [line.height_px, line.width_px]


def test_paper_and_edge_leave_the_writing_as_it_is(plain: WrittenSheet) -> None:
    other = sheet(SheetStyle(paper="squared", edge="band"))
    assert np.array_equal(other.line_of_pixel, plain.line_of_pixel)
    assert (other.pixels.mean(axis=0) < plain.pixels.mean(axis=0) - 20).any(), "rules"


@pytest.mark.parametrize("edge", ["shadow", "band", "corners"])
def test_a_dark_edge_reaches_the_edge_of_the_image(edge: Edge) -> None:
    pixels = sheet(SheetStyle(edge=edge, edge_share=0.05)).pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert 0.02 < (border < 0.8 * np.median(pixels)).mean() < 0.9


def test_lines_rise_fan_and_bend_as_the_style_says() -> None:
    def rises(style: SheetStyle) -> list[float]:
        """How far each line lies higher at its right end than at its left one, in rows."""
        written = sheet(style)
        found = []
        for number in (1, 2):
            rows, columns = np.nonzero(written.line_of_pixel == number)
            third = np.ptp(columns) // 3
            left, right = columns < columns.min() + third, columns > columns.max() - third
            found.append(float(rows[left].mean() - rows[right].mean()))
        return found

    level = np.abs(rises(SheetStyle()))
    assert min(rises(SheetStyle(slope_deg=6.0))) > 80 + max(level)
    upper, lower = rises(SheetStyle(fan_deg=6.0))
    assert lower - upper > 60


def test_a_short_last_line_is_short_and_columns_stand_side_by_side() -> None:
    last = sheet(SheetStyle(last_line="short")).lines[-1]
    assert last.width_px < 700
    columns = sheet(SheetStyle(columns=2)).lines
    assert len(columns) == 2 * N_LINES
    assert columns[1].left_px + columns[1].width_px < columns[2].left_px + 60


def test_a_form_has_print_above_and_below_and_a_signature_is_no_line() -> None:
    def ink_around(form: WrittenSheet) -> tuple[int, int]:
        """Pixels of ink above the first line, and some way below the last one."""
        top = min(line.top_px for line in form.lines)
        bottom = max(line.top_px + line.height_px for line in form.lines) + 60
        return int((form.pixels[:top] < 128).sum()), int((form.pixels[bottom:] < 128).sum())

    empty, signed = sheet(SheetStyle(form="iam")), sheet(SheetStyle(form="iam", is_signed=True))
    assert len(signed.lines) == N_LINES
    assert min(ink_around(empty)) > 2000
    assert ink_around(signed)[1] > ink_around(empty)[1] + 1000


def test_the_seed_decides_how_strong_a_trouble_is() -> None:
    styles = [draw_style(np.random.default_rng(seed), skew="slope", edge="band") for seed in range(30)]
    assert styles[0] == draw_style(np.random.default_rng(0), skew="slope", edge="band")
    slopes = np.abs([style.slope_deg for style in styles])
    assert 1 <= slopes.min() < 3
    assert 7 < slopes.max() <= 10
    assert max(style.edge_share for style in styles) <= 0.08
