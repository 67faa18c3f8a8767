"""How well a page was read, as far as that can be told without knowing what stands on it."""

import numpy as np
import pytest

from core.corpora.index import CorpusIndex, Region, Unit
from core.pages.image_files import read_grey
from core.pages.line_finding import FoundLine
from core.pages.reading_signs import Reading, TakenFor, measure_reading
from core.pages.text_lines import CleanPage, ReadPage, TextLine, read_page, scale_lines
from core.settings import InkSettings


def measure(
    rows: list[int], n_lines: int, text_px: list[float] | None = None, n_slivers: int = 0, unit: Unit = "page"
) -> Reading:
    """Of a page of 200 x 100 pixels with a bar of ink at each row, 60 x 4; the first ones are
    lines.
    """
    tone = np.full((200, 100), 255, np.uint8)
    lines = []
    for number, top in enumerate(rows):
        tone[top : top + 4, 20:80] = 0
        if number < n_lines:
            height = text_px[number] if text_px else 4.0
            lines.append(FoundLine(Region(20, top, 60, 4), np.zeros((4, 60), np.bool_), None, height))
    page = ReadPage(CleanPage(tone, tone, np.eye(2, 3), 0, 0.0, False), tuple(lines), n_slivers)
    cut = [TextLine(line.cut_from(tone), line.cut_from(tone) == 0, n_ink=240) for line in lines]
    return measure_reading(page, cut, unit)


def test_a_page_whose_ink_is_all_in_lines_of_one_height_is_read_well() -> None:
    read = measure([20, 40, 60], 3)
    assert (read.n_lines, read.n_slivers, read.n_odd, read.outside, read.signs) == (3, 0, 0, 0.0, ())
    assert read.badness == 0.0


def test_ink_in_no_line_is_a_sign_from_fifteen_percent_on() -> None:
    read = measure([20, 40, 60, 90], 3)
    assert read.outside == pytest.approx(0.25)
    assert read.signs == ("25% of the ink is in no line",)
    assert read.badness > 1
    assert measure([20, 40, 60, 80, 100, 120, 140, 160], 7).signs == ()


@pytest.mark.parametrize(("height", "n_odd"), [(4.0, 0), (6.0, 0), (10.0, 1), (1.5, 1)])
def test_a_line_far_higher_or_lower_than_the_others_is_odd(height: float, n_odd: int) -> None:
    read = measure([20, 40, 60, 80], 4, [4.0, 4.0, 4.0, height])
    assert read.n_odd == n_odd
    assert read.signs == (("of 4 lines 1 line has text far lower or higher than the others",) if n_odd else ())


def test_of_two_lines_nobody_can_tell_which_is_odd() -> None:
    assert measure([20, 40], 2, [4.0, 40.0]).n_odd == 0


def test_slivers_are_counted() -> None:
    assert measure([20, 40, 60], 3, n_slivers=2, unit="form").n_slivers == 2


def test_what_an_image_was_said_to_be_it_is_taken_for() -> None:
    assert measure([20], 1).taken_for == "page"
    assert measure([20], 1, unit="form").taken_for == "page"
    assert measure([20], 1, unit="line").taken_for == "line"


@pytest.mark.parametrize(
    ("rows", "taken_for"),
    [([20], "line"), ([60, 75, 90, 105], "page"), (list(range(10, 190, 30)), "paragraph")],
)
def test_what_nobody_said_is_told_by_the_paper_around_the_lines(rows: list[int], taken_for: TakenFor) -> None:
    assert measure(rows, len(rows), unit="auto").taken_for == taken_for


@pytest.mark.parametrize(("unit", "taken_for"), [("auto", "paragraph"), ("page", "page")])
def test_generated_pages_are_read_well(hands_index: CorpusIndex, unit: Unit, taken_for: TakenFor) -> None:
    page = read_page(read_grey(hands_index.images[0].path), unit, InkSettings())
    read = measure_reading(page, scale_lines(page, InkSettings()), unit)
    assert (read.taken_for, read.n_lines, read.n_odd, read.signs) == (taken_for, 4, 0, ())
    assert read.outside < 0.03


def test_a_stroke_far_below_its_line_is_ink_in_no_line(hands_index: CorpusIndex) -> None:
    grey = read_grey(hands_index.images[0].path, hands_index.images[0].region)
    tall = np.vstack([grey, np.full((400, grey.shape[1]), 255, np.uint8)])
    tall[grey.shape[0] // 2 : -20, 300:306] = 0
    page = read_page(tall, "line", InkSettings())
    assert measure_reading(page, scale_lines(page, InkSettings()), "line").outside > 0.05
