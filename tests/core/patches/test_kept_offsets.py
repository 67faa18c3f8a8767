"""What is kept of a store's offsets changes no plan."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from core.corpora.index import CorpusIndex
from core.lines.store import KEPT, LineStore, build_line_store
from core.patches.kept_offsets import keep_offsets
from core.patches.plan import PatchPlan, PatchSampler, evaluation_plan
from core.settings import InkSettings, PatchSettings

WRITERS = ("000", "001", "002")


@pytest.fixture(scope="module")
def built(hands_index: CorpusIndex, tmp_path_factory: pytest.TempPathFactory) -> LineStore:
    return build_line_store(hands_index, InkSettings(), tmp_path_factory.mktemp("lines"))


@pytest.fixture
def store(built: LineStore, tmp_path: Path) -> LineStore:
    """One beside which nothing is kept."""
    return LineStore.open(shutil.copytree(built.folder.parent, tmp_path / "lines") / built.folder.name)


def plans(store: LineStore, settings: PatchSettings) -> list[PatchPlan]:
    image_ids = [line.image_id for line in store.lines[::2]]
    sampler = PatchSampler(store, image_ids, WRITERS, settings, seed=3)
    spaced = [evaluation_plan(store, image_ids, WRITERS, settings, 5, by=by) for by in ("line", "image", "page")]
    return [*spaced, sampler.plan_epoch(0), sampler.plan_epoch(1)]


@pytest.mark.parametrize(("size_px", "min_ink"), [(113, 0.01), (113, 0.06), (60, 0.05)])
def test_plans_are_the_same_with_kept_offsets(store: LineStore, size_px: int, min_ink: float) -> None:
    settings = PatchSettings(size_px=size_px, min_ink=min_ink, patches_per_epoch=300)
    before = plans(store, settings)
    keep_offsets(store, settings)
    assert len(list(store.folder.glob(f"*{KEPT}"))) == 1
    for with_kept, without in zip(plans(LineStore.open(store.folder), settings), before, strict=True):
        for name in ("lines", "tops", "lefts", "labels"):
            np.testing.assert_array_equal(getattr(with_kept, name), getattr(without, name))


def test_offsets_are_found_once(store: LineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_offsets(store, PatchSettings())
    monkeypatch.setattr("core.patches.offsets.mark_inked", None)
    keep_offsets(store, PatchSettings())
    assert PatchSampler(store, [line.image_id for line in store.lines], WRITERS, PatchSettings(), 0).n_lines == 48


def test_damaged_offsets_are_not_taken(store: LineStore) -> None:
    settings = PatchSettings(patches_per_epoch=100)
    before = plans(store, settings)
    keep_offsets(store, settings)
    (kept,) = store.folder.glob(f"*{KEPT}")
    kept.write_bytes(kept.read_bytes()[:-90] + bytes(90))
    for with_damaged, without in zip(plans(store, settings), before, strict=True):
        np.testing.assert_array_equal(with_damaged.lefts, without.lefts)
