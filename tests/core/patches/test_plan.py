from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.errors import ConfigError, PatchError
from core.lines.store import LineStore
from core.patches.offsets import n_possible_offsets
from core.patches.plan import PatchPlan, PatchSampler, evaluation_plan, read_patches
from core.settings import PatchSettings

WRITERS = ("w0", "w1", "w2", "w3", "w4")
SETTINGS = PatchSettings(size_px=40, patches_per_epoch=200, min_ink=0.1)
BuildStore = Callable[[Any], LineStore]


def all_images(store: LineStore) -> list[str]:
    return [line.image_id for line in store.lines]


def rows(plan: PatchPlan) -> list[list[int]]:
    return np.stack([plan.lines, plan.tops, plan.lefts, plan.labels], axis=1).tolist()


def everything_allowed(**changes: Any) -> PatchSettings:
    return PatchSettings(**{"size_px": 40, "patches_per_epoch": 100_000, "min_ink": 0.1, **changes})


@pytest.mark.parametrize("size_px", [40, 30])
def test_no_line_gives_more_than_its_fraction_and_no_offset_comes_twice(bar_store: LineStore, size_px: int) -> None:
    settings = everything_allowed(size_px=size_px)
    plan = PatchSampler(bar_store, all_images(bar_store), WRITERS, settings, seed=0).plan_epoch(0)
    per_line = np.bincount(plan.lines, minlength=len(bar_store.lines))
    n_possible = [n_possible_offsets(40, line.width_px, size_px) for line in bar_store.lines]
    assert (per_line <= np.floor(0.3 * np.array(n_possible))).all()
    assert (per_line > 0).all()
    assert len({tuple(row) for row in rows(plan)}) == len(plan)


@pytest.mark.parametrize("size_px", [40, 30])
def test_every_training_patch_has_enough_ink(bar_store: LineStore, size_px: int) -> None:
    settings = everything_allowed(size_px=size_px, min_ink=0.15)
    plan = PatchSampler(bar_store, all_images(bar_store), WRITERS, settings, seed=0).plan_epoch(0)
    shares = (read_patches(bar_store, plan) < 128).mean(axis=(1, 2))
    assert 0.15 <= shares.min() < 0.2


def test_a_plan_depends_on_seed_and_epoch_only(bar_store: LineStore) -> None:
    images = all_images(bar_store)
    sampler = PatchSampler(bar_store, images, WRITERS, SETTINGS, seed=3)
    for epoch in range(4):
        sampler.plan_epoch(epoch)
    again = PatchSampler(bar_store, images[::-1], WRITERS, SETTINGS, seed=3)
    assert rows(again.plan_epoch(2)) == rows(sampler.plan_epoch(2))
    other = PatchSampler(bar_store, images, WRITERS, SETTINGS, seed=4)
    assert rows(other.plan_epoch(2)) != rows(sampler.plan_epoch(2)) != rows(sampler.plan_epoch(3))


def test_writers_have_equal_shares(bar_store: LineStore) -> None:
    images = [image for image in all_images(bar_store) if not image.startswith("w2-p1")]
    plan = PatchSampler(bar_store, images, WRITERS, SETTINGS, seed=0).plan_epoch(0)
    assert np.bincount(plan.labels).tolist() == [40] * 5


def test_what_a_writer_is_short_of_goes_to_the_others(bar_store: LineStore, build_bar_store: BuildStore) -> None:
    store = build_bar_store([("a", "w0", None, 49, [20]), ("b", "w1", None, 539, range(0, 530, 10)),
                             ("c", "w2", None, 539, range(0, 530, 10))])  # fmt: skip
    settings = everything_allowed(patches_per_epoch=103, min_ink=0.0)
    plan = PatchSampler(store, all_images(store), WRITERS[:3], settings, seed=0).plan_epoch(0)
    assert np.bincount(plan.labels).tolist() == [3, 50, 50]  # 30 % of 10 offsets


def test_without_balance_shares_follow_the_length_of_the_text(build_bar_store: BuildStore) -> None:
    store = build_bar_store([("a", "w0", None, 139, range(0, 130, 10)), ("b", "w1", None, 939, range(0, 930, 10))])
    settings = everything_allowed(patches_per_epoch=200, min_ink=0.0, balance=False)
    counts = np.zeros(2)
    for epoch in range(20):
        sampler = PatchSampler(store, ["a", "b"], WRITERS[:2], settings, seed=0)
        counts += np.bincount(sampler.plan_epoch(epoch).labels)
    assert counts.sum() == 4000
    assert counts[0] == pytest.approx(400, abs=60)  # 100 of 1,000 offsets


def test_an_epoch_is_no_longer_than_the_fraction_allows(bar_store: LineStore) -> None:
    sampler = PatchSampler(bar_store, all_images(bar_store), WRITERS, everything_allowed(fraction=0.01), seed=0)
    expected = sum(max(1, int(0.01 * (line.width_px - 39))) for line in bar_store.lines)
    assert len(sampler.plan_epoch(0)) == sampler.n_patches_per_epoch == expected
    assert PatchSampler(bar_store, all_images(bar_store), WRITERS, SETTINGS, seed=0).n_patches_per_epoch == 200


def test_labels_are_the_places_of_the_writers(bar_store: LineStore) -> None:
    writers = ("w3", "w0", "w4", "w2", "w1")
    plan = PatchSampler(bar_store, all_images(bar_store), writers, SETTINGS, seed=0).plan_epoch(0)
    assert [writers[label] for label in plan.labels] == [bar_store.lines[line].writer_id for line in plan.lines]


def test_only_the_asked_images_are_used(bar_store: LineStore) -> None:
    images = [image for image in all_images(bar_store) if image.endswith("l1")]
    train = PatchSampler(bar_store, images, WRITERS, SETTINGS, seed=0).plan_epoch(0)
    validation = evaluation_plan(bar_store, images, WRITERS, SETTINGS, per_image=4)
    for plan in (train, validation):
        assert {bar_store.lines[line].image_id for line in plan.lines} == set(images)


def test_a_narrow_line_is_centred_on_paper(build_bar_store: BuildStore) -> None:
    store = build_bar_store([("a", "w0", None, 20, [8])])
    plan = PatchSampler(store, ["a"], ["w0"], everything_allowed(min_ink=0.01), seed=0).plan_epoch(0)
    (patch,) = read_patches(store, plan)
    assert (patch[:, 10:30] == store.pixels(0)).all()
    assert (patch[:, :10] == 255).all()
    assert (patch[:, 30:] == 255).all()


def test_patches_are_the_pixels_of_the_store(bar_store: LineStore) -> None:
    plan = PatchSampler(bar_store, all_images(bar_store), WRITERS, everything_allowed(size_px=30), seed=0).plan_epoch(0)
    plan = plan[:50]
    patches = read_patches(bar_store, plan)
    assert patches.shape == (50, 30, 30)
    assert patches.dtype == np.uint8
    for patch, (line, top, left, _) in zip(patches, rows(plan), strict=True):
        assert (patch == bar_store.pixels(line)[top : top + 30, left : left + 30]).all()


def test_a_writer_without_ink_is_named(bar_store: LineStore) -> None:
    images = [image for image in all_images(bar_store) if not image.startswith("w1")]
    with pytest.raises(PatchError, match=r"min_ink=0\.1 .* 1 of 5 writers have none: w1\. Lower patches\.min_ink"):
        PatchSampler(bar_store, images, WRITERS, SETTINGS, seed=0)


def test_an_image_by_a_writer_who_is_not_in_the_split_is_refused(bar_store: LineStore) -> None:
    with pytest.raises(PatchError, match="one of the 4 given writers, but got images by w4"):
        PatchSampler(bar_store, all_images(bar_store), WRITERS[:4], SETTINGS, seed=0)


def test_a_patch_higher_than_the_lines_is_refused(bar_store: LineStore) -> None:
    settings = everything_allowed(size_px=113)
    with pytest.raises(PatchError, match="size_px=113 and lines of 40 px"):
        PatchSampler(bar_store, all_images(bar_store), WRITERS, settings, seed=0)
    with pytest.raises(PatchError, match="size_px=113 and lines of 40 px"):
        evaluation_plan(bar_store, all_images(bar_store), WRITERS, settings, per_image=1)


def test_a_negative_seed_is_refused(bar_store: LineStore) -> None:
    with pytest.raises(PatchError, match="must not be negative, but got -1"):
        PatchSampler(bar_store, all_images(bar_store), WRITERS, SETTINGS, seed=-1)


@pytest.mark.parametrize(
    "wrong", [{"fraction": 0}, {"fraction": 1.1}, {"min_ink": 1}, {"size_px": 0}, {"patches_per_epoch": 0}, {"x": 1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        PatchSettings(**wrong)


def test_arrays_of_a_plan_must_be_equally_long() -> None:
    one, two = np.zeros(1, np.int32), np.zeros(2, np.int32)
    with pytest.raises(PatchError, match=r"lengths \[1, 2\]"):
        PatchPlan(one, two, one, one, 40)


def test_evaluation_patches_are_evenly_spaced(build_bar_store: BuildStore) -> None:
    store = build_bar_store([("a", "w0", None, 139, range(0, 137, 5))])
    plan = evaluation_plan(store, ["a"], ["w0"], SETTINGS, per_image=4)
    assert plan.lefts.tolist() == [12, 37, 62, 87]  # the middles of four quarters of 100 offsets
    low = evaluation_plan(store, ["a"], ["w0"], everything_allowed(size_px=30), per_image=4)
    assert (np.diff(low.lefts) > 25).all()


def test_evaluation_spreads_over_all_lines_of_an_image(bar_store: LineStore) -> None:
    plan = evaluation_plan(bar_store, all_images(bar_store), WRITERS, SETTINGS, per_image=6)
    n_per_image = np.unique([bar_store.lines[line].image_id for line in plan.lines], return_counts=True)[1]
    assert n_per_image.tolist() == [6] * 30
    assert (np.diff(plan.lines) >= 0).all()
    again = evaluation_plan(bar_store, all_images(bar_store)[::-1], WRITERS, SETTINGS, per_image=6)
    assert rows(again) == rows(plan)


def test_a_narrow_image_gives_all_its_patches(build_bar_store: BuildStore) -> None:
    store = build_bar_store([("a", "w0", None, 42, [20]), ("b", "w0", None, 15, [6])])
    plan = evaluation_plan(store, ["a", "b"], ["w0"], everything_allowed(min_ink=0.01), per_image=8)
    assert rows(plan) == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 2, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("size_px", [40, 20])
def test_an_image_with_little_ink_is_still_evaluated_where_it_has_most(
    build_bar_store: BuildStore, size_px: int
) -> None:
    store = build_bar_store([("a", "w0", None, 200, [])])
    plan = evaluation_plan(store, ["a"], ["w0"], everything_allowed(size_px=size_px), per_image=8)
    assert len(plan) == 1
    assert (read_patches(store, plan) < 128).sum() == 24  # the whole dot


def test_writers_to_be_found_have_no_label(bar_store: LineStore) -> None:
    plan = evaluation_plan(bar_store, all_images(bar_store), None, SETTINGS, per_image=2)
    assert set(plan.labels.tolist()) == {-1}


def test_evaluation_without_any_line_is_refused(bar_store: LineStore) -> None:
    with pytest.raises(PatchError, match="None of the 1 images to evaluate has a text line"):
        evaluation_plan(bar_store, ["gone"], WRITERS, SETTINGS, per_image=2)
    with pytest.raises(PatchError, match="per_image=0"):
        evaluation_plan(bar_store, all_images(bar_store), WRITERS, SETTINGS, per_image=0)
