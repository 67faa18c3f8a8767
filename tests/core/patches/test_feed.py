import itertools
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import numpy as np
import pytest

from core.errors import PatchError
from core.lines.store import LineStore
from core.patches.augmentation import Augmentation, augment_patches
from core.patches.feed import N_AHEAD, TrainingFeed, evaluation_batches, make_ahead
from core.patches.plan import PatchSampler, evaluation_plan, read_patches
from core.settings import PatchSettings

WRITERS = ("w0", "w1", "w2", "w3", "w4")
SETTINGS = PatchSettings(size_px=40, patches_per_epoch=100, min_ink=0.1)


@pytest.fixture
def sampler(bar_store: LineStore) -> PatchSampler:
    return PatchSampler(bar_store, [line.image_id for line in bar_store.lines], WRITERS, SETTINGS, seed=0)


def feeding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("whosehand-feed")]


def test_an_epoch_is_its_plan_in_full_batches(sampler: PatchSampler, bar_store: LineStore) -> None:
    feed = TrainingFeed(sampler, batch_size=16, augmentation=Augmentation.even(0.0), seed=0)
    batches = list(feed.batches(1))
    plan = sampler.plan_epoch(1)[:96]
    assert len(batches) == feed.n_batches(1) == 6
    assert all(patches.shape == (16, 40, 40, 1) and patches.dtype == np.uint8 for patches, _ in batches)
    assert (np.concatenate([patches[..., 0] for patches, _ in batches]) == read_patches(bar_store, plan)).all()
    assert (np.concatenate([labels for _, labels in batches]) == plan.labels).all()


def test_a_batch_is_the_same_wherever_the_epoch_is_started(sampler: PatchSampler) -> None:
    feed = TrainingFeed(sampler, batch_size=16, augmentation=Augmentation.even(0.8), seed=5)
    whole = list(feed.batches(2))
    again = TrainingFeed(sampler, batch_size=16, augmentation=Augmentation.even(0.8), seed=5)
    resumed = list(again.batches(2, start_batch=4))
    assert len(resumed) == 2
    for (patches, labels), (same_patches, same_labels) in zip(whole[4:], resumed, strict=True):
        assert (patches == same_patches).all()
        assert (labels == same_labels).all()
    assert list(feed.batches(2, start_batch=6)) == []


def test_augmentation_differs_by_seed_epoch_and_batch(sampler: PatchSampler) -> None:
    def differences(seed: int, epoch: int) -> list[bytes]:
        feed = TrainingFeed(sampler, batch_size=50, augmentation=Augmentation.even(1.0), seed=seed)
        plain = TrainingFeed(sampler, batch_size=50, augmentation=Augmentation.even(0.0), seed=seed)
        pairs = zip(feed.batches(epoch), plain.batches(epoch), strict=True)
        return [(changed.astype(int) - patches).tobytes() for (changed, _), (patches, _) in pairs]

    seen = [difference for seed, epoch in itertools.product((0, 1), (0, 1)) for difference in differences(seed, epoch)]
    assert len(set(seen)) == len(seen) == 8


def test_augmentation_is_that_of_the_function(sampler: PatchSampler, bar_store: LineStore) -> None:
    feed = TrainingFeed(sampler, batch_size=100, augmentation=Augmentation.even(1.0), seed=0)
    ((patches, _),) = feed.batches(0)
    plain = read_patches(bar_store, sampler.plan_epoch(0))
    generator = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(2, 0, 0)))
    assert (patches[..., 0] == augment_patches(plain, Augmentation.even(1.0), generator)).all()


def test_closing_early_ends_the_thread(sampler: PatchSampler) -> None:
    batches = TrainingFeed(sampler, batch_size=1, augmentation=Augmentation.even(0.5), seed=0).batches(0)
    next(batches)
    assert len(feeding_threads()) == 1
    cast("Generator[Any]", batches).close()
    assert feeding_threads() == []


def test_a_consumer_that_raises_ends_the_thread(sampler: PatchSampler) -> None:
    def train() -> None:
        for _ in TrainingFeed(sampler, batch_size=1, augmentation=Augmentation.even(0.5), seed=0).batches(0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert feeding_threads() == []


def test_the_thread_ends_with_the_epoch(sampler: PatchSampler) -> None:
    assert len(list(TrainingFeed(sampler, batch_size=10, augmentation=Augmentation.even(0.5), seed=0).batches(0))) == 10
    assert feeding_threads() == []


def test_no_thread_is_started_before_the_first_batch(sampler: PatchSampler) -> None:
    batches = TrainingFeed(sampler, batch_size=10, augmentation=Augmentation.even(0.5), seed=0).batches(0)
    assert feeding_threads() == []
    del batches


def test_what_goes_wrong_in_the_thread_is_raised_here(build_bar_store: Callable[[Any], LineStore]) -> None:
    store = build_bar_store([("a", "w0", None, 200, [20, 40]), ("b", "w1", None, 200, [60, 90])])
    sampler = PatchSampler(store, ["a", "b"], ["w0", "w1"], SETTINGS, seed=0)
    sampler.store = LineStore.open(store.folder)  # opened anew: its pixels are not mapped yet
    for pack in store.folder.parent.glob("pool-*/*.pack"):
        pack.unlink()
    with pytest.raises(FileNotFoundError):
        list(TrainingFeed(sampler, 10, Augmentation(), seed=0).batches(0))
    assert feeding_threads() == []


def test_the_thread_works_ahead_but_not_without_limit() -> None:
    made: list[int] = []
    numbers = cast("Generator[None]", make_ahead(made.append, range(100)))
    next(numbers)
    time.sleep(0.1)
    assert made == list(range(1 + N_AHEAD))
    numbers.close()


def test_evaluation_batches_are_the_plan_in_order(bar_store: LineStore) -> None:
    plan = evaluation_plan(bar_store, [line.image_id for line in bar_store.lines], WRITERS, SETTINGS, per_image=3)
    batches = list(evaluation_batches(bar_store, plan, 32))
    assert [len(batch) for batch in batches] == [32, 32, 26]
    assert (np.concatenate(batches)[..., 0] == read_patches(bar_store, plan)).all()


@pytest.mark.parametrize(("batch_size", "seed"), [(0, 0), (1, -1)])
def test_what_is_out_of_range_is_refused(sampler: PatchSampler, batch_size: int, seed: int) -> None:
    with pytest.raises(PatchError, match="must hold, but got"):
        TrainingFeed(sampler, batch_size, Augmentation(), seed)


def test_an_epoch_shorter_than_a_batch_is_refused(sampler: PatchSampler) -> None:
    with pytest.raises(PatchError, match="it has 100 patches and batch_size=101"):
        TrainingFeed(sampler, batch_size=101, augmentation=Augmentation.even(0.0), seed=0)


def test_a_batch_that_is_not_there_is_refused_at_once(sampler: PatchSampler, bar_store: LineStore) -> None:
    feed = TrainingFeed(sampler, batch_size=10, augmentation=Augmentation.even(0.0), seed=0)
    for start_batch in (-1, 11):
        with pytest.raises(PatchError, match="0 <= start_batch <= 10"):
            feed.batches(0, start_batch)
    with pytest.raises(PatchError, match="batch_size=0"):
        evaluation_batches(bar_store, sampler.plan_epoch(0), 0)
