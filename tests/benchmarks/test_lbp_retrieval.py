import numpy as np
import pytest

from benchmarks.lbp_retrieval import RADII, count_patterns, describe_pages
from core.lines.source import StoredLine, running_ink
from core.pages.text_lines import TextLine


def test_an_edge_is_the_pattern_of_its_ink_and_paper_is_none() -> None:
    line = np.full((40, 60), 255, np.uint8)
    assert count_patterns(line).sum() == 0
    line[:, 30:] = 0
    counts = count_patterns(line)
    right = sum(1 << bit for bit in (0, 1, 7))  # east, north-east and south-east
    assert np.flatnonzero(counts[0]).tolist() == [right]
    assert counts[0, right] == 38, "the column beside the ink, without the first and the last row"
    assert counts.shape == (len(RADII), 256)


def test_a_line_turned_upside_down_has_the_patterns_turned() -> None:
    line = np.full((40, 60), 255, np.uint8)
    line[:20] = 0
    up, down = count_patterns(line), count_patterns(line[::-1])
    assert np.flatnonzero(up[0]).tolist() == [sum(1 << bit for bit in (1, 2, 3))]
    assert np.flatnonzero(down[0]).tolist() == [sum(1 << bit for bit in (5, 6, 7))]


class Bars:
    """Two lines of two pages of each of two writers: the page sets where the second bar is."""

    height_px = 40
    lines = tuple(
        StoredLine(f"{writer}-{page}", number, writer, f"{writer}-{page}", 150)
        for writer in "ab"
        for page in range(2)
        for number in range(2)
    )

    def pixels(self, line: int) -> np.ndarray:
        pixels = np.full((40, 150), 255, np.uint8)
        second = 40 + 7 * int(self.lines[line].group_id[-1])
        pixels[:, [30, 31, second, second + 1]] = 0
        return pixels

    def n_ink(self, line: int) -> np.ndarray:
        return running_ink(TextLine(self.pixels(line), self.pixels(line) < 128))

    def kept_arrays(self, about: object) -> None:
        pass


def test_every_page_has_one_descriptor() -> None:
    descriptors, writers = describe_pages(Bars(), [line.image_id for line in Bars.lines])
    assert writers == ["a", "a", "b", "b"]
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1)
    assert descriptors[0] @ descriptors[2] == pytest.approx(1)
    assert descriptors[0] @ descriptors[1] < 0.999
