"""How many times faster the feed makes patches than a network trains on them.

    python -m benchmarks.feed_speed

The feed runs alone and nobody waits for it. The training step is `core.training.fit.fit` on batches
that lie in memory. Both take turns; a ratio is taken in each round, and the median of the ratios is
told. On all cores a feed that is 10 times faster takes about a tenth of one core's time from the
training.
"""

import time

import core.networks.quiet_tensorflow  # noqa: F401  (before whatever imports TensorFlow)

# isort: split
import typer

from benchmarks.corpora import prepare_hands, training_sampler
from benchmarks.networks import NETWORKS, patches_a_round
from benchmarks.options import Precision, Rounds, Scale, Threads, resolve_threads
from benchmarks.report import median, notes, print_report, spread
from benchmarks.timed_fit import InMemoryFeed, fit_in_rounds
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed
from core.patches.plan import PatchSampler
from core.training.fit import SPEED, configure_tensorflow
from core.training.plan import EpochRecord, choose_precision
from search.sweep.preparation import PreparedCorpus

AUGMENTATIONS = (0.0, 0.3)
AIM = 10


def main(
    rounds: Rounds = 5, scale: Scale = 1.0, writers: int = 20, threads: Threads = 0, precision: Precision = "auto"
) -> None:
    """Measure the feed against the training step."""
    configure_tensorflow(resolve_threads(threads), choose_precision(precision), seed=0)
    corpus = prepare_hands(writers)
    rows: list[tuple[str, ...]] = []
    for name, hyperparameters in NETWORKS.items():
        notes.print(f"feed_speed: {name} ...")
        steps, feeds = measure(corpus, hyperparameters, patches_a_round(name, scale), rounds)
        for augmentation, speeds in feeds.items():
            ratios = [feed / step for feed, step in zip(speeds, steps, strict=True)]
            rows.append((name, f"{augmentation}", median(speeds), median(steps), spread(ratios, ".1f")))
    columns = ("network", "augmentation", "feed, patches/s", "training step, patches/s", "ratio")
    remarks = [
        f"{rounds} rounds after a warm-up; speeds are medians, ratios the median (lowest to highest) of the rounds",
        f"aim: {AIM} or more; the feed has one thread, TensorFlow {resolve_threads(threads)}",
    ]
    print_report("Feed against training step", columns, rows, remarks)


def measure(
    corpus: PreparedCorpus, hyperparameters: Hyperparameters, n_patches: int, n_rounds: int
) -> tuple[list[float], dict[float, list[float]]]:
    """Take turns.

    Returns:
        Patches a second of the training step, one a round, and of the feed by augmentation, one a
        round.
    """
    sampler = training_sampler(corpus, n_patches)
    in_memory = InMemoryFeed(list(_feed(sampler, hyperparameters, 0.0).batches(0)))
    model = build_model(hyperparameters, (sampler.settings.size_px,) * 2 + (1,), len(corpus.manifest.writer_ids))
    steps: list[float] = []
    feeds: dict[float, list[float]] = {augmentation: [] for augmentation in AUGMENTATIONS}

    def take_turn(record: EpochRecord) -> None:
        steps.append(record.metrics[SPEED])
        for augmentation, speeds in feeds.items():
            speeds.append(feed_speed(_feed(sampler, hyperparameters, augmentation), record.epoch))

    fit_in_rounds(model, hyperparameters, in_memory, n_rounds, take_turn)
    return steps, feeds


def feed_speed(feed: TrainingFeed, epoch: int) -> float:
    """Patches a second of one epoch, its planning among it, when nobody trains."""
    started = time.perf_counter()
    n_patches = sum(len(labels) for _, labels in feed.batches(epoch))
    return n_patches / (time.perf_counter() - started)


def _feed(sampler: PatchSampler, hyperparameters: Hyperparameters, augmentation: float) -> TrainingFeed:
    return TrainingFeed(sampler, hyperparameters.batch_size, Augmentation.even(augmentation), seed=0)


if __name__ == "__main__":
    typer.run(main)
