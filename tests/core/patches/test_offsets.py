from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.errors import PatchError
from core.lines.store import LineStore
from core.patches.offsets import InkedOffsets, ink_shares, n_possible_offsets


@pytest.mark.parametrize("size_px", [40, 25, 8])
def test_ink_shares_are_those_of_the_pixels(bar_store: LineStore, size_px: int) -> None:
    shares = ink_shares(bar_store, 3, size_px)
    is_ink = bar_store.pixels(3) < 128
    windows = np.lib.stride_tricks.sliding_window_view(is_ink, (size_px, size_px))
    np.testing.assert_allclose(shares, windows.mean(axis=(2, 3)))
    assert shares.size == n_possible_offsets(40, bar_store.lines[3].width_px, size_px)


@pytest.mark.parametrize("size_px", [40, 32])
def test_paper_beside_a_narrow_line_counts_as_no_ink(build_bar_store: Callable[[Any], LineStore], size_px: int) -> None:
    store = build_bar_store([("i", "w", None, 20, [8])])
    np.testing.assert_allclose(ink_shares(store, 0, size_px), np.full((40 - size_px + 1, 1), 3 / size_px))


@pytest.mark.parametrize("size_px", [40, 25])
def test_the_numbered_offsets_are_exactly_the_inked_ones(bar_store: LineStore, size_px: int) -> None:
    lines = [4, 1, 7]
    offsets = InkedOffsets.find(bar_store, lines, size_px, min_ink=0.2)
    found = np.stack(offsets.locate(np.arange(offsets.n_per_line.sum())), axis=1)
    expected = [
        (place, top, left)
        for place, line in enumerate(lines)
        for top, left in np.argwhere(ink_shares(bar_store, line, size_px) >= 0.2)
    ]
    assert found.tolist() == [list(map(int, offset)) for offset in expected]


def test_a_patch_higher_than_a_line_is_refused(bar_store: LineStore) -> None:
    with pytest.raises(PatchError, match=r"size_px=41 and lines of 40 px.*Lower patches\.size_px"):
        InkedOffsets.find(bar_store, [0], 41, 0.0)
