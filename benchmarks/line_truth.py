"""What was found on a generated sheet, held against what was written on it; matched by ink.

A found line is its pixels of ink: those of its rectangle that are ink after cleaning and not
    another line's. A true
line is the pixels that its pen covered. Their likeness is the ink that they share over the ink of
either, as in the ICDAR 2009 handwriting segmentation contest (Gatos, Stamatopoulos, Louloudis). A
true line counts as found where one found line is alike by 75 % or more, so that no found line can
serve two true ones. Merged are those of which a found line has a quarter of the ink or more.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.written_sheets import WrittenSheet
from core.pages.line_finding import text_rows
from core.pages.scan import INK_LEVEL, level
from core.pages.text_lines import TEXT_CROSSINGS, ReadPage

FOUND, PART = 0.75, 0.25


@dataclass(frozen=True)
class LineTruth:
    """How the lines found on one sheet compare with those written.

    Attributes:
        likeness: (n_true,) of each true line, the ink that it shares with the found line most like
            it over the ink of either.
        n_merged: (n_found,) of how many true lines each found one has a quarter or more.
        n_foreign: found lines less than a quarter of which is ink of any line.
        text_errors: of the lines found, height of the text over what it is in the pen's own ink,
            minus 1.
        sizes: of the lines found, height of the text over the writer's x-height on the sheet.
    """

    likeness: NDArray[np.float64]
    n_merged: NDArray[np.int64]
    n_foreign: int
    text_errors: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @property
    def is_found(self) -> NDArray[np.bool_]:
        """Which of the true lines are found."""
        return self.likeness >= FOUND


def compare_lines(sheet: WrittenSheet, page: ReadPage, skew_deg: float) -> LineTruth:
    """Hold what was found against the truth.

    Args:
        sheet: with the truth.
        page: what was read from its pixels.
        skew_deg: by how much the sheet is turned; the true height of a text is measured level.
    """
    n_true = len(sheet.texts)
    height, width = page.clean.tone.shape
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    truth = np.asarray(cv2.warpAffine(sheet.line_of_pixel, page.clean.to_page, (width, height), flags=flags))
    shared = np.zeros((len(page.lines), n_true), dtype=np.int64)
    n_ink = np.zeros(len(page.lines), dtype=np.int64)
    found_px = np.zeros(len(page.lines))
    for k, line in enumerate(page.lines):
        bottom, right = line.region.top + line.region.height, line.region.left + line.region.width
        place = slice(line.region.top, bottom), slice(line.region.left, right)
        own = (page.clean.tone[place] < INK_LEVEL) & ~line.is_foreign
        n_ink[k] = own.sum()
        shared[k] = np.bincount(truth[place][own], minlength=n_true + 1)[1:]
        found_px[k] = _text_px(line.cut_from(page.clean.tone) < INK_LEVEL)
    n_written = np.bincount(sheet.line_of_pixel.ravel(), minlength=n_true + 1)[1:]
    alike = shared / (n_ink[:, None] + n_written - shared)
    true_px = _true_text_px(sheet, skew_deg)
    pairs = [(k, t) for k, t in zip(*np.nonzero(alike >= FOUND), strict=True)]
    return LineTruth(
        likeness=alike.max(axis=0, initial=0.0),
        n_merged=(shared >= PART * n_written).sum(axis=1),
        n_foreign=int((shared.sum(axis=1) < PART * n_ink).sum()),
        text_errors=np.array([found_px[k] / true_px[t] - 1 for k, t in pairs]),
        sizes=np.array([found_px[k] / sheet.x_height_px for k, t in pairs]),
    )


def _true_text_px(sheet: WrittenSheet, skew_deg: float) -> NDArray[np.float64]:
    """The height of each true line's text in its own ink."""
    heights = []
    for number in range(1, len(sheet.texts) + 1):
        ink = np.where(sheet.line_of_pixel == number, np.uint8(0), np.uint8(255))
        rows = np.flatnonzero((ink == 0).any(axis=1))
        heights.append(_text_px(level(ink[rows[0] : rows[-1] + 1], skew_deg)[0] < INK_LEVEL))
    return np.array(heights)


def _text_px(ink: NDArray[np.bool_]) -> float:
    top, bottom = text_rows(ink, TEXT_CROSSINGS)
    return bottom - top
