"""A whole page: lines of words with margins, and where each line lies."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.handwriting.pen import Ink, Pen, draw_paths, rasterise, scan
from core.handwriting.penmanship import Penmanship, draw_mood
from core.handwriting.skeletons import FloatArray
from core.handwriting.writing import Writer, compose

_TEXT_WIDTH_PX = 1260
_MARGIN_PX = 90


@dataclass(frozen=True)
class WrittenLine:
    """One line of a page: its text, and the box around its ink in pixels of the page."""

    text: str
    left_px: int
    top_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True)
class WrittenPage:
    """A page: `pixels` (height, width), 0 for black to 255, and its lines from top to bottom."""

    pixels: NDArray[np.uint8]
    lines: tuple[WrittenLine, ...]


@dataclass(frozen=True)
class LaidLine:
    """A line before it has its place: words, and the pen's paths in x-heights from the line's start
    on the baseline.
    """

    words: tuple[str, ...]
    paths: tuple[FloatArray, ...]


def write_page(hand: Penmanship, n_lines: int, generator: np.random.Generator) -> WrittenPage:
    """Let a writer fill a page with a text of its own."""
    mood = draw_mood(generator)
    unit = hand.x_height_px * mood.size
    writer = Writer(hand, mood, generator)
    laid = lay_lines(writer, compose(generator), n_lines, _TEXT_WIDTH_PX / unit)
    paths, line_of_path = place_lines(laid, hand, unit, _MARGIN_PX, generator)
    pen = Pen(hand.pen_px * mood.pen, hand.contrast, hand.nib_angle, hand.taper, hand.tension, hand.rounding * unit)
    ink = draw_paths(paths, pen, generator)
    low, high = np.minimum(ink.starts, ink.ends).min(axis=0), np.maximum(ink.starts, ink.ends).max(axis=0)
    width = int(max(high[0] + _MARGIN_PX / 2, _TEXT_WIDTH_PX + 2 * _MARGIN_PX))
    height = int(high[1] - low[1] + 2 * _MARGIN_PX)
    shift = np.array([max(0.0, 10 - low[0]), _MARGIN_PX - low[1]])
    ink = Ink(ink.starts + shift, ink.ends + shift, ink.widths, ink.paths)
    pixels = scan(rasterise(ink, height, width), hand.darkness, generator)
    boxes = _boxes(ink, line_of_path, height, width)
    lines = (WrittenLine(" ".join(line.words), *box) for line, box in zip(laid, boxes, strict=True))
    return WrittenPage(pixels, tuple(lines))


def lay_lines(writer: Writer, words: Iterator[str], n_lines: int, width: float) -> list[LaidLine]:
    """Break the text where the next word would run into the margin, as far as this writer minds.

    Args:
        writer: at work on this page.
        words: of the text, without end.
        n_lines: how many lines to write.
        width: of the lines, in x-heights; a single word may be longer.
    """
    lines: list[LaidLine] = []
    word = next(words)
    written = writer.write_word(word)
    while len(lines) < n_lines:
        texts: list[str] = []
        paths: list[FloatArray] = []
        x = 0.0
        while not texts or x + written.width < width:
            paths += [path + np.array([x, 0.0]) for path in written.paths]
            texts.append(word)
            x += written.width + writer.word_gap()
            word = next(words)
            written = writer.write_word(word)
        lines.append(LaidLine(tuple(texts), tuple(paths)))
    return lines


def place_lines(
    laid: list[LaidLine], hand: Penmanship, unit: float, left_px: float, generator: np.random.Generator
) -> tuple[list[FloatArray], NDArray[np.intp]]:
    """Give each line its place on the page; baselines drift and lines start unevenly.

    Args:
        laid: the lines from top to bottom.
        hand: whose lines they are.
        unit: the x-height in pixels.
        left_px: where lines start, but for some pixels.
        generator: for what varies from line to line.

    Returns:
        Paths in pixels, y downward from the first line's baseline, and the line of each.
    """
    paths: list[FloatArray] = []
    line_of_path: list[int] = []
    slope = hand.line_slope + generator.normal(0, 0.002)
    for number, line in enumerate(laid):
        left = left_px + generator.normal(0, 5)
        baseline = number * hand.line_gap * unit + generator.normal(0, 2.5)
        tilt, sag = slope + generator.normal(0, 0.002), generator.normal(0, 0.05)
        phase, wave = generator.uniform(0, 6.3), generator.uniform(7, 20)
        for path in line.paths:
            x, y = path[:, 0], path[:, 1]
            y = y + sag * np.sin(x / wave + phase)
            paths.append(np.stack([left + unit * x, baseline - unit * (y + tilt * x)], axis=1))
            line_of_path.append(number)
    return paths, np.array(line_of_path)


def _boxes(ink: Ink, line_of_path: NDArray[np.intp], height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of the box around each line's ink."""
    boxes = []
    line = line_of_path[ink.paths]
    reach = ink.widths[:, None] / 2 + 2
    low, high = np.minimum(ink.starts, ink.ends) - reach, np.maximum(ink.starts, ink.ends) + reach
    for number in range(int(line.max()) + 1):
        left, top = np.maximum(np.floor(low[line == number].min(axis=0)).astype(int), 0)
        right, bottom = np.minimum(np.ceil(high[line == number].max(axis=0)).astype(int), [width, height])
        boxes.append((int(left), int(top), int(right - left), int(bottom - top)))
    return boxes
