"""One rule, followed to the pixel: where it runs, where it ends, how thick and dark it is.

A rule is dark in most columns also where writing hides it; writing alone is not: of any row along
it a good part is paper.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

REACH_PX = 6
"""In pixels of the map: what is thicker than about 1 mm is no rule."""
LEAST_RIDGE = 16
"""A rule is at least so much darker than the paper beside it, 0..255."""
_BLOCK_PX = 48
"""Of the map: what a rule's columns are taken together in."""
_LEAST_BLOCKS = 4
_MOST_HIDDEN = 2
"""A rule ends where it is not seen in more blocks than this."""
_STRAIGHT_PX = 0.7
_UNBROKEN = 0.4
_END_WINDOW_PX = 15


@dataclass(frozen=True)
class Rule:
    """A rule on a page, in pixels of the page.

    Attributes:
        start: its first column.
        rows: (length,) the row of its middle in each column from `start` on.
        thickness_px: with the grey slopes of its edges.
        darkness: 0..255, of its middle.
        weight_px: how thick it were if it were black.
    """

    start: int
    rows: NDArray[np.float64]
    thickness_px: float
    darkness: float
    weight_px: float

    @property
    def end(self) -> int:
        """The column behind its last one."""
        return self.start + len(self.rows)

    @property
    def columns(self) -> NDArray[np.float64]:
        """Its columns."""
        return np.arange(self.start, self.end, dtype=np.float64)

    @property
    def middle_row(self) -> float:
        """The row of its middle, halfway along."""
        return float(np.median(self.rows))

    def row_at(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its row in any columns; beyond its ends it goes on straight."""
        slope, offset = self._straight
        known = np.interp(columns, self.columns, self.rows)
        outside = (columns < self.start) | (columns >= self.end)
        return np.where(outside, slope * columns + offset, known)

    @cached_property
    def _straight(self) -> tuple[float, float]:
        slope, offset = np.polyfit(self.columns[::8], self.rows[::8], 1)
        return float(slope), float(offset)


def fit_rule(page: NDArray[np.uint8], guess: NDArray[np.float64], within: tuple[int, int], factor: int) -> Rule | None:
    """Find a rule to the pixel, and follow it as far as it goes.

    Args:
        page: (height, width), tone normalised.
        guess: (width,) about where it runs.
        within: the first column of the part where it must be, and the one behind its last.
        factor: pixels of the page for one of the map.

    Returns:
        The rule; nothing if there is none.
    """
    width = len(guess)
    block, reach = _BLOCK_PX * factor, REACH_PX * factor
    sure = slice(within[0] // block, max(within[0] // block + 1, within[1] // block))
    columns = np.arange(width)
    sampled = columns[::factor]
    profiles = _profiles(darkness_along(page, sampled, guess[sampled], reach), _BLOCK_PX)
    peaks = profiles.max(axis=0)
    darkness = float(np.median(peaks[sure])) if len(peaks[sure]) else 0.0
    is_seen = peaks >= max(LEAST_RIDGE, 0.6 * darkness)
    if darkness < LEAST_RIDGE or is_seen[sure].mean() < 0.5:
        return None
    run = _run(is_seen, sure)
    is_seen[: run.start] = is_seen[run.stop :] = False
    if run.stop - run.start < _LEAST_BLOCKS or is_seen[run].mean() < 0.5:
        return None
    seen = ((np.arange(len(peaks)) + 0.5) * block)[is_seen]
    traced = _smooth_curve(seen, np.interp(seen, columns, guess) + _centres(profiles)[is_seen] - reach, columns)
    half = reach // 2 + 1
    band = darkness_along(page, columns, traced, half)
    blocks = _profiles(band, block)[:, is_seen[: width // block]]
    middle = _profiles(band[half : half + 1], block, share=10)[0, is_seen[: width // block]]
    profile = np.median(blocks, axis=1)
    pale = np.flatnonzero(profile < 0.25 * profile[half])
    first, last = int(pale[pale < half].max(initial=-1)) + 1, int(pale[pale > half].min(initial=2 * half + 1)) - 1
    thickness = float(last - first + 1)
    is_unbroken = middle >= _UNBROKEN * blocks[half]
    if profile[half] < LEAST_RIDGE or thickness > reach or is_unbroken.mean() < 0.5:
        return None
    start, end = _ends(band[half - 1 : half + 2].max(axis=0) >= 0.5 * profile[half], run, block)
    weight_px = float(profile[first : last + 1].sum()) / 255.0
    return Rule(start, traced[start:end], thickness, float(profile[half]), weight_px)


def darkness_along(
    page: NDArray[np.uint8], columns: NDArray[np.integer], rows: NDArray[np.float64], reach: int
) -> NDArray[np.uint8]:
    """Darkness along a rule, (2 * reach + 1, length); beyond the page there is paper.

    Args:
        page: (height, width), tone normalised.
        columns: (length,) where to look.
        rows: (length,) the row of the middle in each of them.
        reach: how many rows above and below.
    """
    height, width = page.shape
    places = np.rint(rows).astype(np.int64) + np.arange(-reach, reach + 1)[:, None]
    is_on_page = places[0].min() >= 0 and places[-1].max() < height
    band = 255 - np.take(page, (places if is_on_page else places.clip(0, height - 1)) * width + columns)
    if not is_on_page:
        band[(places < 0) | (places >= height)] = 0
    return np.asarray(band, dtype=np.uint8)


def _run(is_seen: NDArray[np.bool_], sure: slice) -> slice:
    """The blocks from the sure ones outwards in which the rule is seen, but for short gaps."""
    places = np.flatnonzero(is_seen)
    inside = places[(places >= sure.start) & (places < sure.stop)]
    gaps = np.flatnonzero(np.diff(places) > _MOST_HIDDEN + 1)
    before = gaps[places[gaps] < inside[0]]
    after = gaps[places[gaps] >= inside[-1]]
    first = places[before[-1] + 1] if len(before) else places[0]
    last = places[after[0]] if len(after) else places[-1]
    return slice(int(first), int(last) + 1)


def _ends(is_dark: NDArray[np.bool_], run: slice, block: int) -> tuple[int, int]:
    """The first column and the one behind the last: from the middles of the outermost blocks on
    outwards as long as most columns nearby are dark.
    """
    smooth = cv2.blur(is_dark[None].astype(np.float32), (_END_WINDOW_PX, 1), borderType=cv2.BORDER_REPLICATE)
    breaks = np.flatnonzero(np.asarray(smooth).reshape(-1) < 0.5)
    left, right = run.start * block + block // 2, run.stop * block - block // 2
    start = breaks[breaks < left].max(initial=-1) + 1
    end = breaks[breaks >= right].min(initial=len(is_dark))
    return int(start), int(end)


def _profiles(band: NDArray[np.uint8], block: int, share: int = 4) -> NDArray[np.float64]:
    """What all but a quarter (or another share) of each row in each block of columns is darker
    than, (rows, blocks).
    """
    n_blocks = band.shape[1] // block
    blocks = band[:, : n_blocks * block].reshape(band.shape[0], n_blocks, block)
    return np.partition(blocks, block // share, axis=2)[:, :, block // share].astype(np.float64)


def _centres(profiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The row of the rule's middle in each block: the centre of mass around the darkest row."""
    rows = np.arange(len(profiles), dtype=np.float64)[:, None]
    near = np.where(np.abs(rows - profiles.argmax(axis=0)) <= REACH_PX, profiles, 0.0)
    return np.asarray((rows * near).sum(axis=0) / np.maximum(near.sum(axis=0), 1.0))


def _smooth_curve(
    at: NDArray[np.float64], values: NDArray[np.float64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """A straight line through the values, or a cubic where paper is bent; what lies off it is left
    out.
    """
    straight, off = _fit(at, values, 1)
    if off <= _STRAIGHT_PX or len(at) <= 8:
        return np.polyval(straight, columns - at[0])
    bent, _ = _fit(at, values, 3)
    # A cubic is good for nothing beyond what it was fitted to.
    known = columns.clip(at[0], at[-1])
    slopes = np.polyval(np.polyder(bent), np.where(columns < at[0], at[0], at[-1]) - at[0])
    return np.polyval(bent, known - at[0]) + slopes * (columns - known)


def _fit(at: NDArray[np.float64], values: NDArray[np.float64], degree: int) -> tuple[NDArray[np.float64], float]:
    """A polynomial of the distance from the first place, and how far the middle one of the values
    lies off it.
    """
    places = at - at[0]
    # Theil, "A rank-invariant method of linear and polynomial regression analysis" (1950).
    first, second = np.triu_indices(len(at), 1)
    slope = float(np.median((values[second] - values[first]) / (at[second] - at[first])))
    rest = values - slope * places
    kept = np.abs(rest - np.median(rest)) <= 2 * REACH_PX
    powers = np.vander(places / max(1.0, places[-1]), degree + 1)
    for _ in range(4):
        curve = np.linalg.lstsq(powers[kept], values[kept], rcond=None)[0]
        off = np.abs(powers @ curve - values)
        before, kept = kept, off <= max(1.0, 2.5 * float(np.median(off[kept])))
        if np.array_equal(before, kept):
            break
    scale = max(1.0, places[-1]) ** np.arange(degree, -1, -1)
    return np.asarray(curve / scale), float(np.median(off))
