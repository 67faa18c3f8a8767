import numpy as np
import pytest

from core.errors import PatchError
from core.lines.store import LineStore
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.scoring.scorer import Scorer
from core.settings import PatchSettings

SMALL = Hyperparameters(input_px=16, n_blocks=1, filters=4, convolutions_per_block=1, dropout=0.0)
PATCHES = PatchSettings(size_px=32)
WRITERS = ("w0", "w1", "w2", "w3", "w4")


def _second_pages(store: LineStore) -> list[str]:
    return [line.image_id for line in store.lines if "-p1-" in line.image_id]


def _scorer(store: LineStore, seed: int = 0) -> Scorer:
    model = build_model(SMALL, (32, 32, 1), len(WRITERS), seed)
    return Scorer(model, store, _second_pages(store), WRITERS, PATCHES, per_image=3)


def test_scores_are_of_the_asked_images_only_and_the_same_each_time(bar_store: LineStore) -> None:
    scorer = _scorer(bar_store)
    first = scorer.score(n_resamples=0)
    assert first.metrics == scorer.score(n_resamples=0).metrics
    assert first.confusion.sum() == len(_second_pages(bar_store))
    assert first.writer_ids == WRITERS


def test_the_weights_of_the_moment_count(bar_store: LineStore) -> None:
    model = build_model(SMALL, (32, 32, 1), len(WRITERS))
    scorer = Scorer(model, bar_store, _second_pages(bar_store), WRITERS, PATCHES, per_image=3)
    before = scorer.score(n_resamples=0).metrics["image_logloss"]
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    after = scorer.score(n_resamples=0).metrics["image_logloss"]
    assert after == pytest.approx(np.log(len(WRITERS)), abs=1e-5)  # every writer is as likely
    assert after != before


def test_a_network_that_is_unchanged_is_not_asked_again(bar_store: LineStore) -> None:
    model = build_model(SMALL, (32, 32, 1), len(WRITERS))
    scorer = Scorer(model, bar_store, _second_pages(bar_store), WRITERS, PATCHES, per_image=3)
    first = scorer.score(n_resamples=0, is_unchanged=True)  # there is nothing to take yet
    with_intervals = scorer.score(n_resamples=50, is_unchanged=True)
    assert with_intervals.metrics == first.metrics
    assert with_intervals.intervals
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    assert scorer.score(n_resamples=0, is_unchanged=True).metrics == first.metrics, "nothing was predicted"
    assert scorer.score(n_resamples=0).metrics != first.metrics


def test_intervals_hold_the_scores(bar_store: LineStore) -> None:
    scores = _scorer(bar_store).score(n_resamples=200)
    for name, (low, high) in scores.intervals.items():
        assert low <= scores.metrics[name] <= high, name


def test_images_without_a_line_cannot_be_scored(bar_store: LineStore) -> None:
    model = build_model(SMALL, (32, 32, 1), len(WRITERS))
    with pytest.raises(PatchError):
        Scorer(model, bar_store, ["nobody"], WRITERS, PATCHES, per_image=3)
