"""What was found on a generated sheet, held against what was written on it; matched by ink.

A found line is its pixels of ink: those of its rectangle that are ink after cleaning and not
another line's. A true line is the pixels that its pen covered. A true line is found *whole* where
one found line has 90 % of its ink, and 90 % of that found line's ink is the true line's. Two pixels
off are no miss: what counts is whose a stroke is, not how thick it came out. Of the other true
lines each is one of

    merged   a found line has a quarter or more of this one's ink, and of another one's
    split    two found lines or more have a quarter of its ink or more each
    cut      one found line has a quarter of its ink or more
    missed   none has

As in the ICDAR 2009 handwriting segmentation contest (Gatos, Stamatopoulos, Louloudis), but told
apart by what went wrong.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from core.handwriting.sheet import WrittenSheet
from core.pages.line_finding import FoundLine, text_rows
from core.pages.scan import INK_LEVEL
from core.pages.text_lines import TEXT_CROSSINGS, ReadPage

WHOLE, PART = 0.9, 0.25
OUTCOMES = ("whole", "merged", "split", "cut", "missed")
_OFF = np.ones((5, 5), np.uint8)


@dataclass(frozen=True)
class LineTruth:
    """How the lines found on one sheet compare with those written.

    Attributes:
        outcomes: of each true line, one of `OUTCOMES`.
        n_foreign: found lines less than a quarter of which is ink of any line.
        text_errors: of the lines found whole, height of the text over what it is in the pen's own
            ink, minus 1.
        sizes: of the lines found whole, height of the text over the writer's x-height on the sheet.
    """

    outcomes: tuple[str, ...]
    n_foreign: int
    text_errors: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @property
    def share_whole(self) -> float:
        """Of the true lines."""
        return self.outcomes.count("whole") / len(self.outcomes)


def compare_lines(sheet: WrittenSheet, page: ReadPage) -> LineTruth:
    """Hold what was found against the truth.

    Args:
        sheet: with the truth.
        page: what was read from its pixels.
    """
    n_true = len(sheet.lines)
    height, width = page.clean.tone.shape
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    truth = np.asarray(cv2.warpAffine(sheet.line_of_pixel, page.clean.to_page, (width, height), flags=flags))
    n_written = np.bincount(sheet.line_of_pixel.ravel(), minlength=n_true + 1)[1:].astype(np.float64)
    recall = np.zeros((len(page.lines), n_true))
    precision = np.zeros((len(page.lines), n_true))
    n_foreign = 0
    found_px = np.zeros(len(page.lines))
    for k, line in enumerate(page.lines):
        region = line.region
        place = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
        own = (page.clean.tone[place] < INK_LEVEL) & ~line.is_foreign
        found_px[k] = _text_px(line.cut_from(page.clean.tone) < INK_LEVEL)
        wide = cv2.dilate(own.view(np.uint8), _OFF) > 0
        recall[k] = np.bincount(truth[place][wide], minlength=n_true + 1)[1:] / n_written
        near = np.unique(truth[place][wide])
        for number in near[near > 0]:
            is_true = cv2.dilate((truth[place] == number).view(np.uint8), _OFF) > 0
            precision[k, number - 1] = np.count_nonzero(own & is_true) / max(1, int(np.count_nonzero(own)))
        n_foreign += bool(precision[k].sum() < PART)
    is_whole = (recall >= WHOLE) & (precision >= WHOLE)
    outcomes = tuple(_outcome(recall, is_whole, number) for number in range(n_true))
    pairs: list[tuple[int, int]] = [(k, t) for k in range(len(page.lines)) for t in range(n_true) if is_whole[k, t]]
    true_px = {(k, t): _true_text_px(page.lines[k], truth == t + 1) for k, t in pairs}
    return LineTruth(
        outcomes=outcomes,
        n_foreign=n_foreign,
        text_errors=np.array([found_px[k] / true_px[k, t] - 1 for k, t in pairs]),
        sizes=np.array([found_px[k] / sheet.x_height_px for k, t in pairs]),
    )


def _outcome(recall: NDArray[np.float64], is_whole: NDArray[np.bool_], number: int) -> str:
    if is_whole[:, number].any():
        return "whole"
    having = np.flatnonzero(recall[:, number] >= PART)
    if len(having) == 0:
        return "missed"
    if (np.count_nonzero(recall[having] >= PART, axis=1) > 1).any():
        return "merged"
    return "split" if len(having) > 1 else "cut"


def _true_text_px(line: FoundLine, is_true: NDArray[np.bool_]) -> float:
    """The height of a true line's text, made level like the found line."""
    ink = np.where(is_true, np.uint8(0), np.uint8(255))
    return _text_px(replace(line, is_foreign=np.zeros_like(line.is_foreign)).cut_from(ink) < INK_LEVEL)


def _text_px(ink: NDArray[np.bool_]) -> float:
    top, bottom = text_rows(ink, TEXT_CROSSINGS)
    return bottom - top
