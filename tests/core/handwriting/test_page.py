"""Whole pages: lines that can be told apart, and hands that differ more from each other than from
themselves.
"""

from itertools import pairwise

import numpy as np
import pytest

from core.handwriting.page import WrittenPage, write_page
from core.handwriting.penmanship import draw_penmanship


def page(writer: int, number: int, n_lines: int = 3) -> WrittenPage:
    hand = draw_penmanship(np.random.default_rng([7, writer]))
    return write_page(hand, n_lines, np.random.default_rng([7, writer, number + 1]))


@pytest.fixture(scope="module")
def pages() -> list[WrittenPage]:
    return [page(writer, 0, n_lines=5) for writer in range(5)]


def test_a_page_has_as_many_lines_as_asked_for(pages: list[WrittenPage]) -> None:
    assert [len(written.lines) for written in pages] == [5] * 5
    assert len(page(0, 0, n_lines=1).lines) == 1


def test_the_paper_is_light_and_the_margins_are_empty(pages: list[WrittenPage]) -> None:
    for written in pages:
        assert np.median(written.pixels) > 200
        assert written.pixels[:40].min() > 150
        assert written.pixels[-40:].min() > 150
        assert written.pixels[:, :5].min() > 150


def test_most_lines_are_parted_by_rows_with_little_ink(pages: list[WrittenPage]) -> None:
    for written in pages:
        ink_of_row = (written.pixels < 128).sum(axis=1)
        middles = [line.top_px + line.height_px // 2 for line in written.lines]
        busy = np.median([ink_of_row[middle - 25 : middle + 25].max() for middle in middles])
        gaps = [ink_of_row[a:b].min() for a, b in pairwise(middles)]
        assert np.median(gaps) < 0.1 * busy


def test_line_ends_are_uneven(pages: list[WrittenPage]) -> None:
    for written in pages:
        assert len({line.left_px + line.width_px for line in written.lines}) > 2


def test_pages_of_one_writer_have_different_texts_and_tones() -> None:
    first, second = page(1, 0), page(1, 1)
    assert not {line.text for line in first.lines} & {line.text for line in second.lines}
    assert np.median(first.pixels) != np.median(second.pixels)


def test_writers_differ_in_slant_size_and_the_letters_they_use() -> None:
    hands = [draw_penmanship(np.random.default_rng([7, writer])) for writer in range(20)]
    assert np.std([hand.slant for hand in hands]) > 0.05
    assert np.std([hand.joining for hand in hands]) > 0.15
    assert len({tuple(hand.usual.values()) for hand in hands}) == 20
