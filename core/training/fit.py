"""Fit a network: epochs with reports, exact checkpoints, early stopping, the best weights at the
end.

The loop is our own: Keras' `fit` cannot stop and go on bit-equal, and is not faster. One of its
steps is `core.training.step`.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.errors import CheckpointError, TrainingError
from core.networks.inference import OwnNetwork, copy_variables, network_to_train
from core.networks.model import build_optimizer
from core.training.checkpoint import CheckpointFile, FitState, fit_identity, load_checkpoint, save_checkpoint
from core.training.part_times import PartTimes
from core.training.plan import EpochRecord, FitEnd, FitPlan, FitResult
from core.training.step import TrainingStep
from core.training.weight_average import WeightAverage

Validate = Callable[[keras.Model], Mapping[str, float]]
SPEED = "train/patches_per_s"
_N_BATCHES_BETWEEN_CHECKS = 50  # of the loss; each check waits for the device


class Feed(Protocol):
    """Batches of training patches, as `core.patches.feed.TrainingFeed` gives them."""

    def n_batches(self, epoch: int) -> int:
        """How many batches an epoch has."""
        ...

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int32]]]:
        """Patches (n, height, width, 1) and labels (n,) of one epoch, counted from 0."""
        ...


def configure_tensorflow(threads: int, precision: str, seed: int) -> None:
    """Set up TensorFlow and Keras for one trial; once, before anything is computed.

    Args:
        threads: of an operation's inside (a matrix product); operations themselves run one after
            the other.
        precision: `float32` or `mixed_bfloat16`, of the layers that are built from now on.
        seed: of Python's, NumPy's and Keras' global generators, from which nothing here should
            draw.

    Raises:
        TrainingError: if TensorFlow has already started with another number of threads.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise TrainingError(f"TensorFlow must be configured before it starts, but it runs already: {error}") from error
    keras.mixed_precision.set_global_policy(precision)
    keras.utils.set_random_seed(seed)


def fit(
    model: keras.Model, feed: Feed, validate: Validate, plan: FitPlan, on_epoch: Callable[[EpochRecord], bool]
) -> FitResult:
    """Train until the horizon, `until_epoch`, early stopping, or until `on_epoch` says no.

    A fit that goes on from a checkpoint gives the same bits as one that never stopped, if the feed,
    the number of threads and the precision are the same.

    Args:
        model: of `build_model`, or the user's own. Its weights are those of the latest epoch
            whenever `validate` or `on_epoch` is called, and those of the best epoch after a
            complete fit; with `average_weights` they are their running mean.
        feed: of training patches.
        validate: scores the model after every epoch, without changing it.
        plan: from where and how far.
        on_epoch: is told of every epoch; `False` ends the fit at once.

    Raises:
        TrainingError: if the loss or the monitored metric is not finite, or that metric is missing.
        CheckpointError: if the checkpoint is missing, damaged or of another fit, or one cannot be
            written.
    """
    if plan.horizon_epochs < 1:
        raise TrainingError(f"horizon_epochs must be 1 or more, but got {plan.horizon_epochs}.")
    twin = network_to_train(model)
    optimizer = build_optimizer(plan.hyperparameters, plan.horizon_epochs * feed.n_batches(0))
    optimizer.build(twin.trainable_variables)
    step = TrainingStep(twin, optimizer, plan.hyperparameters.label_smoothing, plan.hyperparameters.contrastive)
    step.trace()
    state = _first_state(plan, feed, twin)
    if plan.checkpoint is not None:
        state = _restore(plan.checkpoint, plan, state, twin, optimizer)
    average = _average_from(state, plan, twin, optimizer)
    written: CheckpointFile | None = None
    until = min(plan.until_epoch or plan.horizon_epochs, plan.horizon_epochs)
    end = _end_before(state, plan, until)
    while end is None:
        times = PartTimes()
        metrics, n_patches = _train_epoch(step, feed, state.epoch, average)
        times.end("steps")
        trained = _values(twin)
        if average is None:
            copy_variables(twin, model)
        else:
            _assign(model.variables, average.values)
        metrics |= validate(model)
        times.end("validation")
        state = _next_state(state, plan, metrics, trained, optimizer, average)
        if plan.checkpoint_dir is not None:
            written = save_checkpoint(state, plan.checkpoint_dir)
        times.end("checkpoint")
        is_best = state.best_epoch == state.epoch
        record = EpochRecord(state.epoch, metrics, n_patches, times.total_s, is_best, written, times.seconds)
        goes_on = on_epoch(record)
        if average is not None:
            _assign(twin.variables, trained)  # a network of the user's own is its own twin, and has the mean now
        end = _end_before(state, plan, until) or (None if goes_on else FitEnd.HALTED)
    if end.is_complete:
        _assign(model.variables, state.best)
    return FitResult(end, state.epoch, state.best_epoch, state.best_metrics, written)


def _first_state(plan: FitPlan, feed: Feed, twin: keras.Model | OwnNetwork) -> FitState:
    definition = {
        "hyperparameters": plan.hyperparameters.as_identity(),
        "monitor": [plan.monitor.metric, plan.monitor.direction, plan.monitor.patience],
        "horizon_epochs": plan.horizon_epochs,
        "n_batches": feed.n_batches(0),
        "seed": plan.seed,
        "shapes": [list(variable.shape) for variable in twin.variables],
        **({"own": dict(plan.own)} if plan.own else {}),
        **({"begins_with": plan.begins_with} if plan.begins_with else {}),  # fits of before are still the same
        **({"takes_epoch": plan.takes_epoch} if plan.takes_epoch is not None else {}),
    }
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    precision = keras.config.dtype_policy().name
    return FitState(fit_identity(definition), 0, plan.seed, threads, precision, _values(twin), ())


def _restore(
    checkpoint: Path,
    plan: FitPlan,
    fresh: FitState,
    twin: keras.Model | OwnNetwork,
    optimizer: keras.optimizers.Optimizer,
) -> FitState:
    """Load the checkpoint into network and optimizer; threads and precision stay those of now."""
    state = load_checkpoint(checkpoint, plan.checkpoint_sha256)
    if state.fit_id != fresh.fit_id:
        raise CheckpointError(
            f"{checkpoint} must belong to the same fit (hyperparameters, seed, horizon, monitor, batches an "
            f"epoch, network, first weights), but it is of fit {state.fit_id[:12]} and this is {fresh.fit_id[:12]}."
        )
    _assign(twin.variables, state.model)
    _assign(optimizer.variables, state.optimizer)
    return replace(state, threads=fresh.threads, precision=fresh.precision)


def _average_from(
    state: FitState, plan: FitPlan, twin: keras.Model | OwnNetwork, optimizer: keras.optimizers.Optimizer
) -> WeightAverage | None:
    """The running mean after the steps that were done; `None` if none is wanted."""
    if not plan.hyperparameters.average_weights:
        return None
    n_steps = int(keras.ops.convert_to_numpy(optimizer.iterations))
    average = WeightAverage(twin, plan.hyperparameters.batch_size, n_steps)
    if state.average:
        average.assign(state.average)
    return average


def _end_before(state: FitState, plan: FitPlan, until: int) -> FitEnd | None:
    """Why there is no next epoch; `None` if there is one."""
    patience = plan.monitor.patience
    if state.epoch >= (plan.takes_epoch or plan.horizon_epochs):
        return FitEnd.HORIZON
    if patience is not None and state.n_epochs_without_better >= patience:
        return FitEnd.EARLY_STOP
    return FitEnd.UNTIL if state.epoch >= until else None


def _train_epoch(
    step: TrainingStep, feed: Feed, epoch: int, average: WeightAverage | None
) -> tuple[dict[str, float], int]:
    """Train on all batches of an epoch; give its metrics and how many patches it had."""
    started = time.perf_counter()
    batch = 0
    for batch, (patches, labels) in enumerate(feed.batches(epoch), start=1):
        step(patches, labels)
        if average is not None:
            average.after_step()
        if batch % _N_BATCHES_BETWEEN_CHECKS == 0:
            _check_loss(step, epoch, batch)
    if batch == 0:
        raise TrainingError(f"An epoch must have one batch or more, but epoch {epoch + 1} has none.")
    _check_loss(step, epoch, batch)
    loss, top1, n_patches = step.take_means()
    duration_s = time.perf_counter() - started
    metrics = {
        "train/loss": loss,
        "train/top1": top1,
        SPEED: n_patches / duration_s,
        "learning_rate": step.learning_rate,
    }
    return metrics, n_patches


def _check_loss(step: TrainingStep, epoch: int, batch: int) -> None:
    if not math.isfinite(step.loss_sum):
        raise TrainingError(
            f"The loss must be finite, but it is {step.loss_sum} in epoch {epoch + 1} at batch {batch} or up to "
            f"{_N_BATCHES_BETWEEN_CHECKS - 1} before (learning rate {step.learning_rate:.3g}); "
            "take a lower learning rate."
        )


def _next_state(
    state: FitState,
    plan: FitPlan,
    metrics: Mapping[str, float],
    trained: list[NDArray[np.generic]],
    optimizer: keras.optimizers.Optimizer,
    average: WeightAverage | None,
) -> FitState:
    """The state after one more epoch, which left these weights."""
    monitor = plan.monitor
    if monitor.metric not in metrics:
        raise TrainingError(f"Validation must give {monitor.metric!r}, but it gives {', '.join(metrics)}.")
    value = metrics[monitor.metric]
    if not math.isfinite(value):
        raise TrainingError(f"{monitor.metric} must be finite, but it is {value} after epoch {state.epoch + 1}.")
    means = () if average is None else average.values
    # without the speed two equal fits write equal bytes
    scores = {name: score for name, score in metrics.items() if name != SPEED}
    now = replace(state, epoch=state.epoch + 1, model=trained, optimizer=_values(optimizer), average=means)
    is_taken = plan.takes_epoch is not None
    if state.best_epoch and not is_taken and not monitor.is_better(value, state.best_metrics[monitor.metric]):
        return replace(now, n_epochs_without_better=state.n_epochs_without_better + 1)
    return replace(now, best=means or trained, best_epoch=now.epoch, best_metrics=scores, n_epochs_without_better=0)


def _values(holder: keras.Model | OwnNetwork | keras.optimizers.Optimizer) -> list[NDArray[np.generic]]:
    return [variable.numpy() for variable in holder.variables]


def _assign(variables: list[keras.Variable], values: Sequence[NDArray[np.generic]]) -> None:
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise CheckpointError("A checkpoint must hold the shapes of this network and optimizer, but holds others.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
