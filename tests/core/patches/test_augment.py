import numpy as np
import pytest
from numpy.typing import NDArray

from core.patches.augmentation import Augmentation, augment_patches

Patches = NDArray[np.uint8]


@pytest.fixture
def patches() -> Patches:
    """Twenty patches with an upright cross of ink."""
    drawn = np.full((20, 60, 60), 255, dtype=np.uint8)
    drawn[:, 15:45, 28:32] = 0
    drawn[:, 28:32, 15:45] = 0
    return drawn


def augment(patches: Patches, strength: float, seed: int = 0) -> Patches:
    return augment_patches(patches, Augmentation.even(strength), np.random.default_rng(seed))


def test_strength_zero_changes_nothing(patches: Patches) -> None:
    changed = augment(patches, 0.0)
    assert (changed == patches).all()
    assert changed is not patches


def test_each_patch_changes_in_its_own_way_and_the_given_ones_stay(patches: Patches) -> None:
    before = patches.copy()
    changed = augment(patches, 0.5)
    assert changed.shape == patches.shape
    assert changed.dtype == np.uint8
    assert len({patch.tobytes() for patch in changed}) == len(patches)
    assert (patches == before).all()


def test_the_generator_decides(patches: Patches) -> None:
    assert (augment(patches, 0.5, seed=1) == augment(patches, 0.5, seed=1)).all()
    assert (augment(patches, 0.5, seed=1) != augment(patches, 0.5, seed=2)).any()


def test_more_strength_changes_more(patches: Patches) -> None:
    changes = [np.abs(augment(patches, strength) - patches.astype(float)).mean() for strength in (0.1, 0.3, 1.0)]
    assert changes == sorted(changes)
    assert changes[0] > 0


def test_paper_stays_paper_and_ink_stays_dark(patches: Patches) -> None:
    assert (augment(np.full_like(patches, 255), 1.0) == 255).all()
    changed = augment(patches, 1.0)
    assert (changed.reshape(20, -1).max(axis=1) == 255).all()
    assert (changed.reshape(20, -1).min(axis=1) < 110).all()


def test_strokes_become_wider_and_narrower(patches: Patches) -> None:
    blackness = (255.0 - augment(patches, 1.0)).sum(axis=(1, 2)) / (255.0 - patches).sum(axis=(1, 2))
    assert blackness.min() < 0.8
    assert blackness.max() > 1.1


def test_slant_goes_both_ways(patches: Patches) -> None:
    def lean(patch: Patches) -> float:
        ink = 255.0 - patch
        tops, bottoms = ink[:25].sum(axis=0), ink[35:].sum(axis=0)
        columns = np.arange(ink.shape[1])
        return float((columns * tops).sum() / tops.sum() - (columns * bottoms).sum() / bottoms.sum())

    leans = [lean(patch) for patch in augment(patches, 1.0)]
    assert min(leans) < -1
    assert max(leans) > 1


def test_patches_need_not_be_square() -> None:
    assert augment(np.full((2, 30, 50), 200, dtype=np.uint8), 1.0).shape == (2, 30, 50)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="0 <= tone <= 1"):
        Augmentation(tone=strength)


@pytest.mark.parametrize("part", ["slant", "scale", "stroke", "tone", "noise"])
def test_each_part_changes_patches_by_itself_and_more_with_more_strength(patches: Patches, part: str) -> None:
    def change(strength: float) -> float:
        strengths = Augmentation(**{part: strength})
        first, again = (augment_patches(patches, strengths, np.random.default_rng(0)) for _ in range(2))
        assert (first == again).all()
        return float(np.abs(first - patches.astype(float)).mean())

    assert 0 < change(0.3) < change(1.0)


def test_a_share_of_the_patches_becomes_ink_or_paper_and_the_others_are_as_they_would_be() -> None:
    patches = np.tile(np.linspace(30, 250, 40, dtype=np.uint8), (200, 40, 1))
    plain = augment_patches(patches, Augmentation(slant=0.5, tone=0.5), np.random.default_rng(0))
    found = augment_patches(patches, Augmentation(slant=0.5, tone=0.5, binarise=0.5), np.random.default_rng(0))
    is_changed = (found != plain).any(axis=(1, 2))
    assert 0.4 < is_changed.mean() < 0.6
    assert set(np.unique(found[is_changed])) == {0, 255}
    for before, after in zip(plain[is_changed], found[is_changed], strict=True):
        assert before[after == 0].max() < before[after == 255].min()
