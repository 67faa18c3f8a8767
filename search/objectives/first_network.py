"""The network whose weights a fit begins with: read from a saved model, or trained on generated
handwriting.

One that is trained is kept for all fits with the same architecture. Training goes on from its last
epoch where a worker was killed; a second worker that needs the same network waits for the first.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import keras
from filelock import FileLock

from core.errors import CheckpointError, ModelError
from core.lines.store import LineStore
from core.networks.committee import MEMBERS_LAYER
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import is_own
from core.networks.model import build_model
from core.networks.starting_weights import (
    Weights,
    begin_with,
    load_weights,
    save_weights,
    weights_below_the_last_layer,
)
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed
from core.patches.plan import PatchSampler
from core.scoring.scorer import Scorer
from core.splits.manifest import SplitManifest
from core.training.checkpoint import latest_checkpoint
from core.training.fit import fit
from core.training.plan import EpochRecord, FitPlan, Monitor
from search.ledger.files import reference_file
from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec, TrialState
from search.objectives.starts import GivenStart, HandsStart, ReadingTask, Start

PRELOAD = ("tensorflow", "keras")
WEIGHTS_FILE = "weights.npz"
_MONITOR = Monitor("image_logloss")
_SEED = 0  # of each first network: it is no matter of the sweep's


def give_start(model: keras.Model, start: Start, hyperparameters: Hyperparameters) -> None:
    """Give a network that is not trained yet the weights that its fit begins with; train the
    network that they are of first, if it is not there.

    Raises:
        ModelError: if they do not fit, or their file is gone or damaged.
    """
    if isinstance(start, GivenStart):
        weights = load_weights(start.weights.path, start.weights.sha256)
    else:
        weights = _weights_of_hands(start, hyperparameters)
    begin_with(model, weights, start.origin(hyperparameters).name)


def read_weights(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Write the weights of a saved network, without its last layer's, into a file; `spec.settings`
    is a `ReadingTask`.

    No code of the model's folder is run: whosehand's own networks are of Keras' own layers.

    Raises:
        ModelError: if it cannot be loaded, is a network of the user's own, or several in one.
    """
    task: ReadingTask = spec.settings
    try:
        model = keras.saving.load_model(task.network, compile=False)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"The network of {task.name} cannot be loaded from {task.network}: {error}") from error
    if is_own(model):
        raise ModelError(
            f"A fit can begin with a network that whosehand has built, but {task.name} is one of your own."
        )
    if any(layer.name == MEMBERS_LAYER for layer in model.layers):
        raise ModelError(
            f"A fit can begin with one network, but {task.name} is several that answer together (promotion.members). "
            "Begin with a trial of its sweep, or promote that with one member."
        )
    path = spec.work_dir / WEIGHTS_FILE
    save_weights(weights_below_the_last_layer(model), path)
    return TrialResult(TrialState.COMPLETED, artifacts={WEIGHTS_FILE: reference_file(path)})


def _weights_of_hands(start: HandsStart, hyperparameters: Hyperparameters) -> Weights:
    """The weights of the network that was trained on generated handwriting; train it if it is not
    there.
    """
    key = start.origin(hyperparameters).sha256[:16]
    kept, unfinished = start.folder / f"{key}.npz", start.folder / f"{key}.unfinished"
    start.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(start.folder / f"{key}.lock"):
        try:
            return load_weights(kept)
        except ModelError:  # not there, or damaged: trained again
            pass
        print(f"training the network to begin with on {start.name}: {kept}", flush=True)
        weights = _train(start, start.first_network(hyperparameters), unfinished)
        save_weights(weights, kept)
        shutil.rmtree(unfinished, ignore_errors=True)
    return weights


def _train(start: HandsStart, hyperparameters: Hyperparameters, checkpoints: Path) -> Weights:
    """Train the first network, from the last epoch that an earlier worker has left."""
    store, manifest, patches = LineStore.open(start.line_store), SplitManifest.load(start.split), start.patches
    sampler = PatchSampler(store, manifest.train, manifest.writer_ids, patches, _SEED)
    augmentation = Augmentation(**hyperparameters.augmentation_parts)
    feed = TrainingFeed(sampler, hyperparameters.batch_size, augmentation, _SEED)
    shape = (patches.size_px, patches.size_px, 1)
    per_image = patches.of_validation_image(len(manifest.validation))

    def fit_from(checkpoint: Path | None) -> keras.Model:
        model = build_model(hyperparameters, shape, len(manifest.writer_ids), _SEED)
        scorer = Scorer(model, store, manifest.validation, manifest.writer_ids, patches, per_image)

        def validate(_: keras.Model) -> Mapping[str, float]:
            return scorer.score(n_resamples=0).metrics

        plan = FitPlan(hyperparameters, _MONITOR, start.epochs, checkpoints, checkpoint=checkpoint, seed=_SEED)
        fit(model, feed, validate, plan, lambda record: _say(start, record))
        return model

    latest = latest_checkpoint(checkpoints)
    try:
        return weights_below_the_last_layer(fit_from(latest))
    except CheckpointError:
        if latest is None:
            raise
        shutil.rmtree(checkpoints)  # damaged: it begins anew
        return weights_below_the_last_layer(fit_from(None))


def _say(start: HandsStart, record: EpochRecord) -> bool:
    top1 = record.metrics["image_top1"]
    print(f"{start.name}: epoch {record.epoch} of {start.epochs}, {top1:.1%} of unseen lines right", flush=True)
    return True
