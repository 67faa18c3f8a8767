"""A scanned page made ready for finding its lines: no dark edges, no rules, no print of forms, level.

Each step does something only where it finds something: a clean level page comes out as it went in.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.pages.forms import find_writing_area
from core.pages.ruled_lines import Rules, erase_rules, find_rules
from core.pages.scan_edges import find_dark_edges, paint_paper
from core.pages.skew import estimate_skew, level
from core.pages.tone import normalise_tone, paper_level

_LEAST_SKEW_DEG = 1.0
"""Lines are found on pages that are turned less than this as they are; turning blurs a bit."""
_MANY_RULES = 5


@dataclass(frozen=True)
class CleanPage:
    """A page with nothing but writing on it.

    Attributes:
        tone: (height, width), tone normalised.
        shown: (height, width), the grey values that lines are cut from: `tone`, or the page's own ones.
        to_page: (2, 3) the affine map from its pixels to those of the page as it was.
        n_rules: how many rules were erased.
        skew_deg: by how much it was turned back.
        is_changed: whether anything was done.
    """

    tone: NDArray[np.uint8]
    shown: NDArray[np.uint8]
    to_page: NDArray[np.float64]
    n_rules: int
    skew_deg: float
    is_changed: bool


def clean_page(grey: NDArray[np.uint8], is_form: bool, keeps_tone: bool = False) -> CleanPage:
    """Take everything but the writing off a page.

    Args:
        grey: (height, width), dark ink on light paper.
        is_form: whether the writing stands between a printed header and footer that are to be cut off.
        keeps_tone: whether `shown` shall be in the page's own grey values.

    Raises:
        ImageError: if there is no ink, or it cannot be told where a form's header ends.
    """
    edge = find_dark_edges(grey)
    if edge is not None:
        grey = paint_paper(grey, edge)
    tone = normalise_tone(grey)
    shown = grey if keeps_tone else tone
    if edge is not None:
        tone[edge] = 255
    before = tone.copy() if keeps_tone else tone
    rules = _erase_all(tone)
    n_rules = len(rules.horizontal) + len(rules.vertical)
    if keeps_tone and n_rules:
        shown = np.where(tone > before, paper_level(grey).round().astype(np.uint8), grey)
    to_page = np.eye(2, 3)
    if is_form:
        area = find_writing_area(tone, rules.horizontal)
        tone, to_page[1, 2] = area.cut_from(tone)
        shown = area.cut_from(shown)[0] if keeps_tone else tone
    skew_deg = estimate_skew(tone)
    if abs(skew_deg) < _LEAST_SKEW_DEG:
        return CleanPage(tone, shown, to_page, n_rules, 0.0, edge is not None or n_rules > 0 or is_form)
    turned, to_cut = level(tone, skew_deg)
    if keeps_tone:
        shown = level(shown, skew_deg)[0]
    to_page = np.asarray(to_page @ np.vstack([to_cut, (0, 0, 1)]))
    return CleanPage(turned, shown if keeps_tone else turned, to_page, n_rules, skew_deg, True)


def _erase_all(tone: NDArray[np.uint8]) -> Rules:
    """Erase rules until there are no more: of two that lie side by side one hides the other."""
    rules = find_rules(tone)
    erase_rules(tone, rules)
    if len(rules.horizontal) + len(rules.vertical) < _MANY_RULES:
        return rules
    more = find_rules(tone)
    erase_rules(tone, more)
    return Rules((*rules.horizontal, *more.horizontal), (*rules.vertical, *more.vertical))
