"""One fit of a point, scored on the validation pages after every epoch, in a process of its own.

A fresh process a fit keeps memory from growing, and lets every fit start from the same state.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import TrainingError
from core.settings import PatchSettings
from core.space import Point

SCORES = ("patch_top1", "patch_logloss", "image_top1", "image_logloss", "page_top1")
"""What is kept of an epoch; of pages only where the corpus has some."""
_MONITORED = "image_logloss"


@dataclass(frozen=True)
class ValidationFit:
    """What to fit.

    Attributes:
        line_store: folder of the built line store.
        split: the split's manifest; its test part is not touched.
        patches: number of patches an epoch, and more.
        hyperparameters: of network and training, by name.
        n_epochs: the full length of the fit.
        threads: of TensorFlow.
        precision: `float32` or `mixed_bfloat16`.
        seed: of patches, network and augmentation.
        begins_with: a file of weights, as `leaves` of another fit made it, for all layers but the
            last; `None` for random ones.
        leaves: a file to be made of the weights of the best epoch; see
            `core.networks.starting_weights`.
    """

    line_store: Path
    split: Path
    patches: PatchSettings
    hyperparameters: Point
    n_epochs: int
    threads: int
    precision: str
    seed: int
    begins_with: Path | None = None
    leaves: Path | None = None


def run_in_own_process(fit: ValidationFit) -> dict[str, Any]:
    """Run `run` in a fresh process and wait for it.

    Raises:
        concurrent.futures.process.BrokenProcessPool: if that process is killed.
        WhosehandError: if the network cannot be built.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(run, fit).result()


def run(fit: ValidationFit) -> dict[str, Any]:
    """Fit and score.

    Returns:
        `epochs`: the scores of every epoch; `best`: those of the epoch with the lowest image
        log-loss, as a sweep would rank the trial; `last`: those of the last epoch; `duration_s`;
        `n_patches`; `failed`: why the loss was not finite, or empty (then `best` and `last` may be
        missing).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    started = time.perf_counter()
    epochs: list[dict[str, float]] = []
    failed, n_patches = "", 0
    try:
        n_patches = _fit(fit, epochs.append)
    except TrainingError as error:
        failed = str(error)
    result: dict[str, Any] = {"epochs": epochs, "failed": failed, "n_patches": n_patches}
    if epochs and not failed:
        result |= {"best": min(epochs, key=lambda scores: scores[_MONITORED]), "last": epochs[-1]}
    return result | {"duration_s": round(time.perf_counter() - started, 1)}


def _fit(fit: ValidationFit, add: Callable[[dict[str, float]], None]) -> int:
    # TensorFlow is imported in the fit's own process only.
    import core.networks.quiet_tensorflow  # noqa: F401

    # isort: split
    from core.lines.store import LineStore
    from core.networks.hyperparameters import Hyperparameters
    from core.networks.model import build_model
    from core.networks.starting_weights import begin_with, load_weights, save_weights, weights_below_the_last_layer
    from core.patches.augmentation import Augmentation
    from core.patches.feed import TrainingFeed
    from core.patches.plan import PatchSampler
    from core.scoring.scorer import Scorer
    from core.splits.manifest import SplitManifest
    from core.training.fit import configure_tensorflow
    from core.training.fit import fit as train
    from core.training.plan import EpochRecord, FitPlan, Monitor

    configure_tensorflow(fit.threads, fit.precision, fit.seed)
    hyperparameters = Hyperparameters.from_point(fit.hyperparameters)
    store, manifest = LineStore.open(fit.line_store), SplitManifest.load(fit.split)
    sampler = PatchSampler(store, manifest.train, manifest.writer_ids, fit.patches, fit.seed)
    augmentation = Augmentation(**hyperparameters.augmentation_parts)
    feed = TrainingFeed(sampler, hyperparameters.batch_size, augmentation, fit.seed)
    shape = (fit.patches.size_px, fit.patches.size_px, 1)
    model = build_model(hyperparameters, shape, len(manifest.writer_ids), fit.seed)
    if fit.begins_with is not None:
        begin_with(model, load_weights(fit.begins_with), fit.begins_with.name)
    per_image = fit.patches.of_validation_image(len(manifest.validation))
    scorer = Scorer(model, store, manifest.validation, manifest.writer_ids, fit.patches, per_image)
    n_patches = 0

    def on_epoch(record: EpochRecord) -> bool:
        nonlocal n_patches
        n_patches += record.n_patches
        kept = ("train/loss", "train/patches_per_s", *SCORES)
        add({name: round(float(record.metrics[name]), 5) for name in kept if name in record.metrics})
        return True

    def validate(_: object) -> Mapping[str, float]:
        return scorer.score(n_resamples=0).metrics

    plan = FitPlan(hyperparameters, Monitor(_MONITORED), fit.n_epochs, checkpoint_dir=None, seed=fit.seed)
    train(model, feed, validate, plan, on_epoch)
    if fit.leaves is not None:
        save_weights(weights_below_the_last_layer(model), fit.leaves)
    return n_patches
