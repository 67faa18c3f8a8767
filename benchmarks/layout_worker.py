"""A process that trains a round whenever it is told to, for `benchmarks.worker_layout`."""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import core.networks.quiet_tensorflow  # noqa: F401  (before whatever imports TensorFlow)

# isort: split
from benchmarks.timed_fit import fit_in_rounds
from core.lines.store import LineStore
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed
from core.patches.plan import PatchSampler
from core.settings import PatchSettings
from core.splits.manifest import SplitManifest
from core.training.fit import configure_tensorflow
from core.training.plan import EpochRecord


@dataclass(frozen=True)
class LayoutTask:
    """What a worker trains.

    Attributes:
        line_store: folder of the built line store.
        split: the split's manifest.
        hyperparameters: of network and training.
        n_patches: of one round.
        n_rounds: after the warm-up.
        threads: of TensorFlow.
        precision: `float32` or `mixed_bfloat16`.
        seed: of patches and network.
    """

    line_store: Path
    split: Path
    hyperparameters: Hyperparameters
    n_patches: int
    n_rounds: int
    threads: int
    precision: str
    seed: int


def train_on_demand(task: LayoutTask, link: Connection) -> None:
    """Warm up, say so, then train a round for every message; each time send how many patches it
    had.
    """
    configure_tensorflow(task.threads, task.precision, task.seed)
    store, manifest = LineStore.open(task.line_store), SplitManifest.load(task.split)
    settings = PatchSettings(patches_per_epoch=task.n_patches)
    sampler = PatchSampler(store, manifest.train, manifest.writer_ids, settings, task.seed)
    augmentation = Augmentation(**task.hyperparameters.augmentation_parts)
    feed = TrainingFeed(sampler, task.hyperparameters.batch_size, augmentation, task.seed)
    shape = (settings.size_px, settings.size_px, 1)
    model = build_model(task.hyperparameters, shape, len(manifest.writer_ids), task.seed)

    def take_turn(record: EpochRecord) -> None:
        link.send(record.n_patches)
        if record.epoch < n_epochs:
            link.recv()

    # The first epoch traces the graph and is not told; the second says that this worker is ready.
    n_epochs = task.n_rounds + 2
    fit_in_rounds(model, task.hyperparameters, feed, n_epochs - 1, take_turn)
