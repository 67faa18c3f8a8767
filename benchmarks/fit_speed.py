"""Training through our feed and loop against Keras' `fit` on the same patches in memory.

    python -m benchmarks.fit_speed

Same network, optimizer, batch size, precision and threads in one process; epochs of both take
turns. Keras gets its patches as one uint8 array, augmented beforehand; our side cuts and augments
its own while it trains. Neither validates or writes checkpoints. Keras' time is that from the
beginning of an epoch to its end, without what a call of `fit` costs before; ours is all that an
epoch costs, keeping the best weights among it.

The network is compared twice: as `build_model` gives it (what a user of Keras would fit), and with
the fused batch norm that our loop trains with, so that only feed and loop differ. The second ratio
is the one to judge.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

import core.networks.quiet_tensorflow  # noqa: F401  (before whatever imports TensorFlow)

# isort: split
import keras
import typer

from benchmarks.corpora import prepare_hands, training_sampler
from benchmarks.networks import NETWORKS, patches_a_round
from benchmarks.options import Precision, Rounds, Scale, Threads, resolve_threads
from benchmarks.report import median, notes, print_report, spread
from benchmarks.timed_fit import InMemoryFeed, fit_in_rounds
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import fast_twin
from core.networks.model import build_model, build_optimizer
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed
from core.training.fit import configure_tensorflow
from core.training.plan import EpochRecord, choose_precision
from search.sweep.preparation import PreparedCorpus

AIM = 0.97
OURS, SAME_LAYERS, AS_BUILT = "ours", "Keras fit, same layers", "Keras fit, as built"


def main(
    rounds: Rounds = 5, scale: Scale = 1.0, writers: int = 20, threads: Threads = 0, precision: Precision = "auto"
) -> None:
    """Measure our training against Keras' `fit`."""
    configure_tensorflow(resolve_threads(threads), choose_precision(precision), seed=0)
    corpus = prepare_hands(writers)
    rows: list[tuple[str, ...]] = []
    for name, hyperparameters in _cases().items():
        notes.print(f"fit_speed: {name} ...")
        network = next(network for network in NETWORKS if name.startswith(network))
        speeds = measure(corpus, hyperparameters, patches_a_round(network, scale), rounds)
        ratios = {
            side: [ours / theirs for ours, theirs in zip(speeds[OURS], speeds[side], strict=True)]
            for side in (SAME_LAYERS, AS_BUILT)
        }
        cells = [f"{median(speeds[side])}" for side in (OURS, SAME_LAYERS, AS_BUILT)]
        rows.append((name, *cells, spread(ratios[SAME_LAYERS]), spread(ratios[AS_BUILT])))
    columns = ("network", *(f"{side}, patches/s" for side in (OURS, SAME_LAYERS, AS_BUILT)))
    remarks = [
        f"{rounds} rounds after a warm-up; speeds are medians, ratios the median (lowest to highest) of the rounds",
        f"aim: {AIM} or more of Keras' `fit` on the same layers; {resolve_threads(threads)} threads, no XLA",
    ]
    print_report("Our training against Keras fit", (*columns, "ratio, same layers", "ratio, as built"), rows, remarks)


def measure(
    corpus: PreparedCorpus, hyperparameters: Hyperparameters, n_patches: int, n_rounds: int
) -> dict[str, list[float]]:
    """Take turns; patches a second by side, one a round."""
    sampler = training_sampler(corpus, n_patches)
    feed = TrainingFeed(sampler, hyperparameters.batch_size, Augmentation(**hyperparameters.augmentation_parts), seed=0)
    shape, n_writers = (sampler.settings.size_px,) * 2 + (1,), len(corpus.manifest.writer_ids)
    as_built = build_model(hyperparameters, shape, n_writers)
    fitters = {
        SAME_LAYERS: KerasFitter(fast_twin(as_built), True, hyperparameters, feed),
        AS_BUILT: KerasFitter(as_built, False, hyperparameters, feed),
    }
    for fitter in fitters.values():
        fitter.fit_epoch()  # warm-up
    speeds: dict[str, list[float]] = {side: [] for side in (OURS, *fitters)}

    def take_turn(record: EpochRecord) -> None:
        speeds[OURS].append(record.n_patches / record.duration_s)
        for side, fitter in fitters.items():
            speeds[side].append(fitter.fit_epoch())

    fit_in_rounds(build_model(hyperparameters, shape, n_writers), hyperparameters, feed, n_rounds, take_turn)
    return speeds


class KerasFitter:
    """Keras' own `fit` on the patches of the feed's first epoch."""

    def __init__(
        self, network: keras.Model, gives_logits: bool, hyperparameters: Hyperparameters, feed: TrainingFeed
    ) -> None:
        """Compile.

        Args:
            network: from patches to logits or probabilities.
            gives_logits: which of them.
            hyperparameters: of the training; label smoothing must be 0.
            feed: where the patches come from, before any time is taken.
        """
        self._network, self._batch_size = network, hyperparameters.batch_size
        in_memory = InMemoryFeed(list(feed.batches(0)))
        self._patches, self._labels = in_memory.patches, in_memory.labels
        network.compile(
            optimizer=build_optimizer(hyperparameters, 100 * feed.n_batches(0)),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=gives_logits),
            metrics=["accuracy"],
            jit_compile=False,
        )

    def fit_epoch(self) -> float:
        """Fit one more epoch and return its patches a second."""
        clock = _EpochClock()
        self._network.fit(
            self._patches, self._labels, self._batch_size, epochs=1, shuffle=True, verbose=0, callbacks=[clock]
        )
        return len(self._labels) / clock.duration_s


class _EpochClock(keras.callbacks.Callback):
    """Times an epoch from within."""

    duration_s = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._started_s = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.duration_s = time.perf_counter() - self._started_s


def _cases() -> dict[str, Hyperparameters]:
    """Each network as it is, and without augmentation where it has some."""
    cases: dict[str, Hyperparameters] = {}
    for name, hyperparameters in NETWORKS.items():
        if hyperparameters.augmentation > 0:
            cases[f"{name}, augmentation 0"] = replace(hyperparameters, augmentation=0.0)
        cases[f"{name}, augmentation {hyperparameters.augmentation:g}"] = hyperparameters
    return cases


if __name__ == "__main__":
    typer.run(main)
