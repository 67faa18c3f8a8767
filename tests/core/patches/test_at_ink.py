"""Patches at ink: a stroke's edge in the middle, as many of each line as at random."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import PatchError
from core.lines.store import LineStore
from core.patches.at_ink import edge_points, move_to_ink
from core.patches.plan import PatchPlan, PatchSampler
from core.settings import PatchSettings
from core.splits.manifest import LeakyDeal, LeakySubset

WRITERS = ["w00", "w01", "w02"]
SIZE_PX = 32


def settings(**changes: object) -> PatchSettings:
    return PatchSettings.model_validate({"size_px": SIZE_PX, "patches_per_epoch": 60, **changes})


def plan_of(store: LineStore, epoch: int = 1, seed: int = 0, **changes: object) -> PatchPlan:
    images = [line.image_id for line in store.lines]
    writer_ids = sorted({line.writer_id for line in store.lines})
    return PatchSampler(store, images, writer_ids, settings(**changes), seed).plan_epoch(epoch)


def test_an_edge_is_ink_beside_paper() -> None:
    pixels = np.full((5, 5), 255, np.uint8)
    pixels[1:4, 1:4] = 0
    assert sorted(map(tuple, edge_points(pixels).tolist())) == [
        (row, column) for row in (1, 2, 3) for column in (1, 2, 3) if (row, column) != (2, 2)
    ]
    assert len(edge_points(np.full((5, 5), 255, np.uint8))) == 0


def test_patches_have_an_edge_in_their_middle_and_are_as_many_of_each_line(bar_store: LineStore) -> None:
    anywhere, at_ink = plan_of(bar_store), plan_of(bar_store, at="ink")
    assert at_ink.lines.tolist() == anywhere.lines.tolist()
    assert at_ink.labels.tolist() == anywhere.labels.tolist()
    half = SIZE_PX // 2
    for line, top, left in zip(*(part.tolist() for part in (at_ink.lines, at_ink.tops, at_ink.lefts)), strict=True):
        pixels = bar_store.pixels(line)
        height, width = pixels.shape
        assert 0 <= top <= height - SIZE_PX
        edges = edge_points(pixels).tolist()
        within = [row == top + half or top in (0, height - SIZE_PX) for row, _ in edges]
        beside = [column == left + half or left in (0, max(0, width - SIZE_PX)) for _, column in edges]
        assert any(map(all, zip(within, beside, strict=True)))


def test_they_depend_on_seed_and_epoch_only(bar_store: LineStore) -> None:
    def places(epoch: int, seed: int) -> list[list[int]]:
        plan = plan_of(bar_store, epoch, seed, at="ink")
        return [plan.lines.tolist(), plan.tops.tolist(), plan.lefts.tolist()]

    assert places(1, 0) == places(1, 0)
    assert places(1, 0) != places(2, 0)
    assert places(1, 0) != places(1, 1)


def test_a_line_without_edges_keeps_its_patches() -> None:
    class Paper:
        def pixels(self, line: int) -> NDArray[np.uint8]:
            return np.full((40, 90), 255, np.uint8)

    places = np.array([3, 8], np.int32)
    tops, lefts = move_to_ink(Paper(), np.zeros(2, np.int32), places, places, 32, np.random.default_rng(0))  # type: ignore[arg-type]
    assert (tops.tolist(), lefts.tolist()) == ([3, 8], [3, 8])
    empty = np.zeros(0, np.int32)
    assert len(move_to_ink(Paper(), empty, empty, empty, 32, np.random.default_rng(0))[0]) == 0  # type: ignore[arg-type]


def test_a_leaky_split_refuses_them(bar_store: LineStore) -> None:
    images = [line.image_id for line in bar_store.lines]
    leak = LeakySubset(LeakyDeal("patch", 0.25, 0), "train")
    with pytest.raises(PatchError, match="page-disjoint splits alone"):
        PatchSampler(bar_store, images, WRITERS, settings(at="ink"), 0, leak)
