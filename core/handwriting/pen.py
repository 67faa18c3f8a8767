"""Strokes to ink, and ink to a scan: curves through waypoints, the pen's changing width, paper.

Paper and scanner change by page and not by writer.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.handwriting.skeletons import FloatArray

_SAMPLES_PER_PIECE = 8
_STEP_PX = 2.4  # between the samples of a drawn path; chords this short look round at these sizes
_OVERSAMPLING = 3


@dataclass(frozen=True)
class Pen:
    """What makes a path into a stroke; see `Penmanship` for the fields of the same name."""

    width_px: float
    contrast: float
    nib_angle: float
    taper: float
    tension: float
    rounding_px: float


@dataclass(frozen=True)
class Ink:
    """Drawn strokes as short straight pieces.

    Attributes:
        starts: (n_pieces, 2) of (x, y) in pixels.
        ends: likewise.
        widths: (n_pieces,) in pixels.
        paths: (n_pieces,) the number of the path that each piece belongs to.
    """

    starts: FloatArray
    ends: FloatArray
    widths: FloatArray
    paths: NDArray[np.intp]


def draw_paths(paths: list[FloatArray], pen: Pen, generator: np.random.Generator) -> Ink:
    """Let the pen follow each path of waypoints, arrays (n_waypoints, 2) of (x, y) in pixels, y
    downward.
    """
    points, path = _sample(paths, pen)
    points = _round_off(points, path, pen.rounding_px / _STEP_PX)
    widths = _widths(points, path, pen, generator)
    inside = np.flatnonzero(path[1:] == path[:-1])
    return Ink(points[inside], points[inside + 1], (widths[inside] + widths[inside + 1]) / 2, path[inside])


def rasterise(ink: Ink, height_px: int, width_px: int) -> NDArray[np.float32]:
    """Cover of each pixel with ink, (height_px, width_px), 0 for none to 1."""
    canvas = np.zeros((height_px * _OVERSAMPLING, width_px * _OVERSAMPLING), np.uint8)
    fine = 16 * _OVERSAMPLING  # four bits of a pixel's fraction
    pieces = np.rint(np.stack([ink.starts, ink.ends], axis=1) * fine).astype(np.int32)
    thickness = np.maximum(np.rint(ink.widths * _OVERSAMPLING).astype(int), 2)
    for width in np.unique(thickness):
        cv2.polylines(canvas, list(pieces[thickness == width]), False, 255, int(width), cv2.LINE_8, 4)
    small = cv2.resize(canvas, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def _sample(paths: list[FloatArray], pen: Pen) -> tuple[FloatArray, NDArray[np.intp]]:
    """Points about `_STEP_PX` apart on cardinal splines through the waypoints, and the path of
    each.
    """
    lengths = np.array([len(path) for path in paths])
    waypoints = np.concatenate(paths)
    path = np.repeat(np.arange(len(paths)), lengths)
    first = np.concatenate([[True], path[1:] != path[:-1]])
    last = np.concatenate([path[1:] != path[:-1], [True]])
    index = np.arange(len(path))
    tangents = (
        pen.tension / 2 * (waypoints[np.where(last, index, index + 1)] - waypoints[np.where(first, index, index - 1)])
    )
    start = index[~last]
    t = np.arange(_SAMPLES_PER_PIECE)[None, :, None] / _SAMPLES_PER_PIECE
    p0, p1, m0, m1 = (
        v[:, None, :] for v in (waypoints[start], waypoints[start + 1], tangents[start], tangents[start + 1])
    )
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * p0 + (t**3 - 2 * t**2 + t) * m0 + (3 * t**2 - 2 * t**3) * p1 + (t**3 - t**2) * m1
    )
    return _even_steps(curve.reshape(-1, 2), np.repeat(path[start], _SAMPLES_PER_PIECE), waypoints[last])


def _even_steps(curve: FloatArray, path: NDArray[np.intp], ends: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    cuts = np.flatnonzero(path[1:] != path[:-1]) + 1
    curve = np.insert(curve, [*cuts, len(curve)], ends, axis=0)
    path = np.insert(path, [*cuts, len(path)], path[[*(cuts - 1), len(path) - 1]])
    steps = np.hypot(*np.diff(curve, axis=0).T)
    steps[path[1:] != path[:-1]] = 0
    way = np.concatenate([[0], np.cumsum(steps + 1e-9)])
    opens = np.concatenate([[0], np.flatnonzero(path[1:] != path[:-1]) + 1])
    closes = np.concatenate([opens[1:] - 1, [len(path) - 1]])
    counts = np.maximum(np.ceil((way[closes] - way[opens]) / _STEP_PX).astype(int), 1) + 1
    path_of_sample = np.repeat(np.arange(len(opens)), counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    share = number / (counts - 1)[path_of_sample]
    at = way[opens][path_of_sample] * (1 - share) + way[closes][path_of_sample] * share
    return np.stack([np.interp(at, way, curve[:, 0]), np.interp(at, way, curve[:, 1])], axis=1), path_of_sample


def _round_off(points: FloatArray, path: NDArray[np.intp], sigma: float) -> FloatArray:
    """Smooth along each path, its ends held by repeating them."""
    reach = max(int(np.ceil(2.5 * sigma)), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    kernel /= kernel.sum()
    change = path[1:] != path[:-1]
    repeats = (
        np.ones(len(path), int) + reach * np.concatenate([[True], change]) + reach * np.concatenate([change, [True]])
    )
    padded = np.repeat(points, repeats, axis=0)
    smooth = np.stack([np.convolve(padded[:, axis], kernel, mode="same") for axis in (0, 1)], axis=1)
    keep = np.cumsum(repeats) - 1 - reach * np.concatenate([change, [True]])
    return smooth[keep]


def _widths(points: FloatArray, path: NDArray[np.intp], pen: Pen, generator: np.random.Generator) -> FloatArray:
    step = np.gradient(points, axis=0)
    direction = np.arctan2(-step[:, 1], step[:, 0])
    across = np.abs(np.sin(direction - pen.nib_angle))
    pressing = np.clip(-np.sin(direction), 0, 1)  # downstrokes
    unevenness = cv2.GaussianBlur(generator.normal(0, 1, (len(points), 1)), (1, 31), 8).ravel()
    widths = pen.width_px * (1 + pen.contrast * (0.6 * across + 0.4 * pressing - 0.5) + 0.35 * unevenness)
    change = path[1:] != path[:-1]
    opens = np.flatnonzero(np.concatenate([[True], change]))
    closes = np.flatnonzero(np.concatenate([change, [True]]))
    index = np.arange(len(path))
    to_lift_px = np.minimum(closes[path] - index, 0.6 * (index - opens[path]) + 4) * _STEP_PX
    length_px = (closes - opens)[path] * _STEP_PX
    widths *= 1 - pen.taper * np.minimum(length_px / 40, 1) * np.exp(-to_lift_px / 6)
    widths *= 1 + 0.3 * np.exp(-length_px / 12)  # a dot is pressed
    result: FloatArray = np.maximum(widths, 1.0)
    return result


def scan(cover: NDArray[np.float32], darkness: float, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A grey page as a scanner would give it.

    Args:
        cover: (height, width), share of each pixel that the pen covered, 0..1.
        darkness: of the ink, 1 for black.
        generator: for the paper's tone, its slow changes, the flow of ink and the scanner's noise
            and blur.

    Returns:
        (height, width), 0 for black to 255.
    """
    height, width = cover.shape
    paper = generator.uniform(222, 250) + generator.uniform(0.5, 2) * _clouds(height, width, 5, generator)
    ink = cv2.GaussianBlur(cover, (0, 0), generator.uniform(0.45, 0.75))
    ink *= np.clip(darkness * (1 + 0.07 * _clouds(height, width, 24, generator)), 0, 1)
    page = paper * (1 - ink)
    noise = generator.integers(0, 256, (height, width), dtype=np.uint8).astype(np.float32)
    page += np.float32(generator.uniform(0.5, 1.4) / 74) * (noise - 127.5)  # 74 is the deviation of 0..255
    return np.clip(page, 0, 255).astype(np.uint8)


def _clouds(height: int, width: int, n: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """A smooth field of about unit variance with `n` hills across."""
    coarse = generator.normal(0, 1, (n, n)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]
