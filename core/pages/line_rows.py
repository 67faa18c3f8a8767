"""The middle rows of the lines of a column of text: peaks of its profile of stroke crossings.

A short line (the end of a paragraph) makes a small peak, which drowns in the descenders of a long
one above. It is as clear as any other line in the profile of its own columns, so that windows of
the page are looked at one by one for what the whole page does not show.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from core.pages.strokes import Strokes

_TEXT_PER_PITCH = 0.6
"""Lines are set about so far apart that their letters take this share of the pitch."""
_CELLS = 3
"""A window is so many cells wide, and windows overlap by all but one."""
_LEAST_CLEAR = 0.35
"""A peak's prominence over its height."""
_LEAST_STRENGTH = 0.45
_LEAST_STROKES = 4.0
_TEXT_PER_X = 1.5
_CLEAR_OF_LINES, _CLEAR_OF_LINE = 0.7, 1.6
"""How far from all others the middle of a line is: in distances of lines, in heights of an x."""


def line_rows(strokes: Strokes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The middle row of each line, and the smoothed count of letters' crossings per row."""
    crossings = strokes.crossings()
    text_px = min(strokes.letter_px, _TEXT_PER_PITCH * _line_pitch(crossings, least_px=0.7 * strokes.letter_px))
    profile = gaussian_filter1d(crossings, 0.25 * text_px, mode="constant")
    peaks = _peaks(profile, text_px, 0.03 * float(profile.max()))
    if len(peaks) == 0:
        return peaks, profile
    return np.sort(np.concatenate([peaks, _short_lines(strokes, peaks, text_px)])), profile


def _peaks(profile: NDArray[np.float64], text_px: float, least: float) -> NDArray[np.int64]:
    padded = np.concatenate([[0.0], profile, [0.0]])
    peaks, found = find_peaks(padded, height=least, distance=max(1.0, 0.7 * text_px), prominence=0)
    clear = found["prominences"] >= _LEAST_CLEAR * found["peak_heights"]
    return np.asarray(peaks[clear] - 1, dtype=np.int64)


def _line_pitch(crossings: NDArray[np.float64], least_px: float) -> float:
    """The distance of the lines where they are evenly spaced, else infinity: the first strong peak
    of the autocorrelation of the crossings. Where ascenders and descenders overlap, only this tells
    lines from letters.
    """
    rows = np.flatnonzero(crossings)
    profile = crossings[rows[0] : rows[-1] + 1]
    n_rows = len(profile)
    profile = profile - gaussian_filter1d(profile, n_rows / 4)
    power = np.abs(np.fft.rfft(profile, 2 * n_rows)) ** 2
    likeness = np.fft.irfft(power)[: max(2, n_rows // 2)]
    likeness = gaussian_filter1d(likeness / max(likeness[0], 1e-9), 1.0)
    peaks, _ = find_peaks(likeness, height=0.2)
    peaks = peaks[peaks >= least_px]
    if len(peaks) == 0:
        return np.inf
    return float(peaks[likeness[peaks] >= 0.6 * likeness[peaks].max()][0])


def _short_lines(strokes: Strokes, peaks: NDArray[np.int64], text_px: float) -> NDArray[np.int64]:
    """The rows of lines that only windows of the page show."""
    starts = strokes.starts()
    rows, columns = strokes.level_rows[starts], strokes.columns[starts]
    n_cells = max(_CELLS, round(float(np.ptp(columns) + 1) / text_px))
    n_rows = int(rows.max()) + 1
    cells = (columns - columns.min()) * n_cells // (np.ptp(columns) + 1) * n_rows + rows
    counts = np.bincount(cells, minlength=n_cells * n_rows).reshape(n_cells, n_rows).astype(np.float64)
    windows = np.stack([counts[k : k + _CELLS].sum(axis=0) for k in range(n_cells - _CELLS + 1)])
    if len(peaks) > 1:
        clear_px = _CLEAR_OF_LINES * float(np.median(np.diff(peaks)))
    else:  # The height of pieces is that of two lines where their letters touch.
        x_px = _middle_half(windows)
        text_px, clear_px = min(text_px, _TEXT_PER_X * x_px), _CLEAR_OF_LINE * x_px
    windows = gaussian_filter1d(windows, 0.25 * text_px, axis=1, mode="constant")
    heights = windows.max(axis=1)
    typical = float(np.median(heights[heights > 0]))
    found = []
    for window in windows:
        for row in _peaks(window, text_px, max(_LEAST_STROKES, _LEAST_STRENGTH * typical)):
            if np.abs(peaks - row).min() >= clear_px:
                found.append(int(row))
    return _grouped(np.sort(np.array(found, dtype=np.int64)), clear_px)


def _middle_half(windows: NDArray[np.float64]) -> float:
    """The height of the rows with the middle half of the crossings, in most windows: about that of
    an x.
    """
    running = np.cumsum(windows, axis=1)
    inked = running[:, -1] > 0
    share = running[inked] / running[inked, -1:]
    return float(np.median((share < 0.75).sum(axis=1) - (share < 0.25).sum(axis=1))) + 1.0


def _grouped(rows: NDArray[np.int64], apart_px: float) -> NDArray[np.int64]:
    """One row for each group of them."""
    groups = np.split(rows, np.flatnonzero(np.diff(rows) > 0.5 * apart_px) + 1)
    return np.array([int(np.median(group)) for group in groups if len(group)], dtype=np.int64)
