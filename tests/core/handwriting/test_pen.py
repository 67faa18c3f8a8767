"""Ink follows the path, and the pen sets its width."""

from dataclasses import replace

import numpy as np

from core.handwriting.pen import Pen, draw_paths, rasterise

PLAIN = Pen(width_px=5, contrast=0, nib_angle=0, taper=0, tension=1, rounding_px=0.1)
STRAIGHT = np.array([[20.0, 50.0], [180.0, 50.0]])


def draw(pen: Pen, *paths: np.ndarray) -> np.ndarray:
    return rasterise(draw_paths(list(paths), pen, np.random.default_rng(0)), 100, 200)


def test_a_straight_stroke_covers_its_length_times_its_width() -> None:
    cover = draw(PLAIN, STRAIGHT)
    assert cover.shape == (100, 200)
    assert cover.min() == 0
    assert cover.max() == 1
    assert 160 * 5 * 0.85 < cover.sum() < 165 * 5 * 1.2


def test_ink_lies_where_the_path_is() -> None:
    rows, columns = np.nonzero(draw(PLAIN, STRAIGHT) > 0.5)
    assert abs(rows.mean() - 50) < 1
    assert columns.min() < 22
    assert columns.max() > 178


def test_the_pen_is_lifted_between_paths() -> None:
    cover = draw(PLAIN, np.array([[20.0, 20.0], [60.0, 20.0]]), np.array([[140.0, 80.0], [180.0, 80.0]]))
    assert cover[:, 75:125].sum() == 0


def test_a_wider_pen_leaves_more_ink() -> None:
    assert draw(replace(PLAIN, width_px=8), STRAIGHT).sum() > 1.3 * draw(PLAIN, STRAIGHT).sum()


def test_a_nib_is_thin_along_its_angle() -> None:
    nib = replace(PLAIN, contrast=0.9)
    upright = np.array([[100.0, 90.0], [100.0, 10.0]])
    assert draw(nib, upright).sum() / 80 > 1.2 * draw(nib, STRAIGHT).sum() / 160


def test_curves_pass_through_their_waypoints_and_rounding_cuts_corners() -> None:
    corner = np.array([[20.0, 80.0], [100.0, 20.0], [180.0, 80.0]])
    sharp, round_ = draw(PLAIN, corner), draw(replace(PLAIN, rounding_px=15), corner)
    assert sharp[20, 100] > 0.5
    assert np.flatnonzero(round_.any(axis=1))[0] > np.flatnonzero(sharp.any(axis=1))[0] + 1


def test_a_dot_is_still_ink() -> None:
    assert draw(PLAIN, np.array([[50.0, 50.0], [51.0, 51.0]])).sum() > 10
