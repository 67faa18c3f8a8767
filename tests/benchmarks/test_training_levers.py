from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.held_out_pages import Fold, FoldPages, PageCorpus
from benchmarks.training_levers import find_pages
from benchmarks.trainings import PLAIN, TRAININGS, Training
from core.lines.source import StoredLine
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed
from core.patches.plan import PatchSampler
from core.retrieval.page_embeddings import EmbeddedPage
from core.settings import PatchSettings

WRITERS = ("a", "b")
AT_INK = PatchSettings(size_px=16, patches_per_epoch=64, at="ink")


class BarLines:
    """Six lines by two writers: a bar of 3 px (a) or 9 px (b) on grey-white paper."""

    height_px = 32

    def __init__(self) -> None:
        self.lines = [StoredLine(f"{w}{n}", 0, w, f"{w}{n}", 60) for w in WRITERS for n in range(3)]

    def pixels(self, line: int) -> NDArray[np.uint8]:
        pixels = np.full((32, 60), 240, np.uint8)
        pixels[4:28, 30 : 30 + (3 if line < 3 else 9)] = 40
        return pixels

    def n_ink(self, line: int) -> NDArray[np.int32]:
        n_inked = (self.pixels(line) < 128).sum(axis=0)
        return np.concatenate([[0], np.cumsum(n_inked)]).astype(np.int32)

    def kept_arrays(self, about: Mapping[str, object]) -> None:
        return None


def image_ids() -> list[str]:
    return [line.image_id for line in BarLines().lines]


def test_half_of_the_patches_are_ink_or_paper_where_that_is_the_way() -> None:
    (way,) = (way for way in TRAININGS if way.name == "half of the patches binarised")
    assert way.point.augmentation_parts["binarise"] == 0.5
    assert replace(way.point, augment_binarise=0.0) == PLAIN.point


def test_ways_to_train_are_kept_apart_and_the_plain_one_is_that_of_the_page_levers() -> None:
    corpus = PageCorpus("bars", BarLines(), tuple(image_ids()), "bars")
    fold = Fold(("a",), (), ("b",))

    def key(training: Training) -> str:
        return FoldPages(corpus, fold, 400, 4, None, training=training).key  # type: ignore[arg-type]

    assert len({key(training) for training in TRAININGS}) == len(TRAININGS)
    assert key(PLAIN) == FoldPages(corpus, fold, 400, 4, None).key  # type: ignore[arg-type]
    assert key(replace(PLAIN, name="renamed")) == key(PLAIN)


def test_pages_are_found_by_the_mean_of_their_patches() -> None:
    hands = np.eye(3, dtype=np.float32)
    pages = [EmbeddedPage(f"{w}{n}", str(w), np.repeat(hands[[w]], 2, axis=0)) for w in range(3) for n in range(2)]
    found = find_pages(pages)
    assert found == {"writers": ["0", "0", "1", "1", "2", "2"], "precisions": [1.0] * 6, "right": [1] * 6}


@pytest.mark.long  # networks
def test_a_network_learns_by_a_margin() -> None:
    from benchmarks.margin import StepWithMargin, with_cosines
    from core.networks.hyperparameters import Hyperparameters
    from core.networks.inference import network_to_train
    from core.networks.model import build_model, build_optimizer

    point = Hyperparameters(
        input_px=16, n_blocks=2, filters=4, convolutions_per_block=1, dropout=0.0, learning_rate=0.01
    )
    model = build_model(point, (16, 16, 1), 2)
    network = network_to_train(with_cosines(model, 2, 0))
    optimizer = build_optimizer(point, 48)
    optimizer.build(network.trainable_variables)
    step = StepWithMargin(0.2, network, optimizer, 0.0, 0.5)
    sampler = PatchSampler(BarLines(), image_ids(), WRITERS, AT_INK, seed=0)  # anywhere, a bar may be cut off
    means = []
    for epoch in range(12):
        for patches, labels in TrainingFeed(sampler, 16, Augmentation(), 0).batches(epoch):
            step(patches, labels)
        means.append(step.take_means())
    assert means[-1][0] < means[0][0] / 2
    assert means[-1][1] > 0.9
