import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import CheckpointError, TrainingError
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.training.fit import fit
from core.training.plan import EpochRecord, FitEnd, FitPlan, FitResult, Monitor, cpu_flags
from core.training.step import TrainingStep

REPOSITORY = Path(__file__).parents[3]
SHAPE = (32, 32, 1)
SMALL = Hyperparameters(
    input_px=16, n_blocks=1, filters=4, convolutions_per_block=1, dropout=0.2, learning_rate=0.02, batch_size=16
)
MONITOR = Monitor("val/score", "minimize")


def latest(folder: Path) -> Path:
    return max(folder.glob("epoch-*.npz"))


class BarFeed:
    """Patches with one bar of ink, as broad as the writer's number says: easy to tell apart."""

    def n_batches(self, epoch: int) -> int:
        return 8

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int32]]]:
        for k in range(start_batch, 8):
            generator = np.random.default_rng([epoch, k])
            labels = generator.integers(0, 3, 16).astype(np.int32)
            patches = generator.integers(200, 256, (16, *SHAPE), dtype=np.uint8)
            for patch, label in zip(patches, labels, strict=True):
                patch[:, : 8 * (label + 1)] = 0
            yield patches, labels


class ScriptedScores:
    """Validation that gives one score after the other, and remembers the weights it saw."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = iter(scores)
        self.seen: list[list[NDArray[np.float32]]] = []

    def __call__(self, model: keras.Model) -> Mapping[str, float]:
        self.seen.append(model.get_weights())
        return {"val/score": next(self._scores), "val/image_top1": 0.5}


def fit_small(
    scores: Sequence[float], go_on: bool = True, **changes: Any
) -> tuple[FitResult, list[EpochRecord], ScriptedScores, keras.Model]:
    plan = replace(FitPlan(SMALL, MONITOR, horizon_epochs=4, checkpoint_dir=None), **changes)
    model = build_model(plan.hyperparameters, SHAPE, 3)
    validate, records = ScriptedScores(scores), list[EpochRecord]()
    result = fit(model, BarFeed(), validate, plan, lambda record: records.append(record) or go_on)  # type: ignore[func-returns-value]
    return result, records, validate, model


def test_a_fit_learns_and_reports_every_epoch() -> None:
    result, records, _, _ = fit_small([4, 3, 2, 1])
    assert [record.epoch for record in records] == [1, 2, 3, 4]
    assert all(record.n_patches == 128 and record.is_best and record.duration_s > 0 for record in records)
    assert set(records[0].metrics) == {
        "train/loss",
        "train/top1",
        "train/patches_per_s",
        "learning_rate",
        "val/score",
        "val/image_top1",
    }
    assert [list(record.seconds) for record in records] == 4 * [["steps", "validation", "checkpoint"]]
    assert all(sum(record.seconds.values()) == record.duration_s for record in records)
    assert records[-1].metrics["train/loss"] < records[0].metrics["train/loss"]
    assert records[-1].metrics["train/top1"] > 0.5
    assert (result.end, result.n_epochs, result.best_epoch) == (FitEnd.HORIZON, 4, 4)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_weights_are_the_models_at_the_end(direction: str) -> None:
    scores = [2.0, 1.0, 3.0, 2.0]
    monitor = replace(MONITOR, direction=direction)  # type: ignore[arg-type]
    result, _, validate, model = fit_small(scores, monitor=monitor)
    best = 2 if direction == "minimize" else 3
    assert (result.best_epoch, result.best_metrics["val/score"]) == (best, scores[best - 1])
    assert all(np.array_equal(a, b) for a, b in zip(validate.seen[best - 1], model.get_weights(), strict=True))


def test_patience_ends_a_fit_that_gets_no_better() -> None:
    result, records, validate, model = fit_small([1.0, 2.0, 1.0, 0.5], monitor=replace(MONITOR, patience=2))
    assert (result.end, len(records), result.best_epoch) == (FitEnd.EARLY_STOP, 3, 1)
    assert all(np.array_equal(a, b) for a, b in zip(validate.seen[0], model.get_weights(), strict=True))


def test_an_epoch_that_is_taken_ends_the_fit_whatever_the_monitor_says(tmp_path: Path) -> None:
    patient = replace(MONITOR, patience=1)
    result, records, validate, model = fit_small([1, 2, 3], takes_epoch=3, monitor=patient, checkpoint_dir=tmp_path)
    assert (result.end, result.n_epochs, result.best_epoch) == (FitEnd.HORIZON, 3, 3)
    assert all(np.array_equal(now, seen) for now, seen in zip(model.get_weights(), validate.seen[2], strict=True))
    rates = [record.metrics["learning_rate"] for record in records]
    assert rates[2] == pytest.approx(fit_small([4, 3, 2, 1])[1][2].metrics["learning_rate"]), "of the whole horizon"
    again = fit_small([], takes_epoch=3, monitor=patient, checkpoint=latest(tmp_path))
    assert (again[0].end, again[1]) == (FitEnd.HORIZON, []), "nothing is left to train"
    assert all(
        np.array_equal(now, before) for now, before in zip(again[3].get_weights(), model.get_weights(), strict=True)
    )


def test_a_fit_ends_where_it_is_told_to() -> None:
    assert fit_small([4, 3], until_epoch=2)[0].end is FitEnd.UNTIL
    result, records, _, _ = fit_small([4, 3], go_on=False)
    assert (result.end, len(records), result.end.is_complete) == (FitEnd.HALTED, 1, False)


def test_the_learning_rate_follows_the_horizon_not_the_part() -> None:
    whole = [record.metrics["learning_rate"] for record in fit_small([4, 3, 2, 1])[1]]
    part = [record.metrics["learning_rate"] for record in fit_small([4, 3], until_epoch=2)[1]]
    assert part == whole[:2]
    assert whole[0] > whole[1] > whole[2] > whole[3] == pytest.approx(0.0, abs=1e-6)


def test_parts_make_the_same_fit_as_the_whole(tmp_path: Path) -> None:
    whole, _, _, model = fit_small([4, 2, 3, 3], checkpoint_dir=tmp_path / "whole")
    scores, checkpoint = [4, 2, 3, 3], None
    for until in range(1, 5):
        part, _, _, parted = fit_small(
            scores[until - 1 :], until_epoch=until, checkpoint=checkpoint, checkpoint_dir=tmp_path / "parts"
        )
        checkpoint = latest(tmp_path / "parts")
    assert whole.checkpoint is not None
    assert part.checkpoint is not None
    assert whole.checkpoint.sha256 == part.checkpoint.sha256
    assert part.best_epoch == 2
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), parted.get_weights(), strict=True))


def test_a_fit_that_was_complete_gives_its_best_weights_without_training(tmp_path: Path) -> None:
    _, _, validate, _ = fit_small([1, 2, 3, 4], checkpoint_dir=tmp_path)
    result, records, _, model = fit_small([], checkpoint=latest(tmp_path))
    assert (result.end, result.n_epochs, result.best_epoch, records) == (FitEnd.HORIZON, 4, 1, [])
    assert all(np.array_equal(a, b) for a, b in zip(validate.seen[0], model.get_weights(), strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"horizon_epochs": 5},
        {"hyperparameters": replace(SMALL, learning_rate=0.01)},
        {"hyperparameters": replace(SMALL, filters=5)},
        {"monitor": Monitor("val/image_top1", "maximize")},
        {"begins_with": "a hash of weights"},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    fit_small([1], until_epoch=1, checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="must belong to the same fit"):
        fit_small([1], checkpoint=latest(tmp_path), **changes)


def test_a_hyperparameter_that_came_later_leaves_a_fit_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    defined: list[Mapping[str, Any]] = []

    def keep(definition: Mapping[str, Any]) -> str:
        defined.append(definition)
        return "one"

    monkeypatch.setattr("core.training.fit.fit_identity", keep)
    for hyperparameters in (SMALL, replace(SMALL, contrastive=0.5)):
        fit_small([1], until_epoch=1, hyperparameters=hyperparameters)
    assert ["contrastive" in definition["hyperparameters"] for definition in defined] == [False, True]


def test_only_a_fit_that_begins_with_given_weights_is_told_apart_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    defined: list[Mapping[str, Any]] = []
    monkeypatch.setattr("core.training.fit.fit_identity", lambda definition: defined.append(definition) or "one")  # type: ignore[func-returns-value]
    for begins_with in ("", "abc"):
        fit_small([1], until_epoch=1, begins_with=begins_with)
    assert set(defined[0]) == {"hyperparameters", "monitor", "horizon_epochs", "n_batches", "seed", "shapes"}
    assert defined[1] == {**defined[0], "begins_with": "abc"}


def test_a_loss_that_is_not_finite_ends_the_fit_with_the_reason() -> None:
    model = build_model(SMALL, SHAPE, 3)
    model.get_layer("logits").kernel.assign(np.full((4, 3), 1e38, np.float32))
    plan = FitPlan(SMALL, MONITOR, horizon_epochs=4, checkpoint_dir=None)
    with pytest.raises(TrainingError, match=r"loss must be finite, but it is (nan|inf) in epoch 1 at batch 8 .*rate"):
        fit(model, BarFeed(), ScriptedScores([]), plan, lambda record: True)


def test_a_score_that_is_missing_or_not_a_number_ends_the_fit() -> None:
    with pytest.raises(TrainingError, match=r"must give 'val/loss', but it gives train/loss, .*val/score"):
        fit_small([1], monitor=Monitor("val/loss"))
    with pytest.raises(TrainingError, match="val/score must be finite, but it is nan after epoch 1"):
        fit_small([float("nan")])


def test_a_horizon_of_no_epoch_is_refused() -> None:
    with pytest.raises(TrainingError, match="horizon_epochs must be 1 or more, but got 0"):
        fit_small([], horizon_epochs=0)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_the_loss_is_keras_cross_entropy_with_label_smoothing(label_smoothing: float) -> None:
    network = keras.Sequential([keras.Input(SHAPE), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()])
    network.add(keras.layers.Dense(3))
    patches, labels = next(BarFeed().batches(0))
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    expected = float(keras_loss(keras.ops.one_hot(labels, 3), network(patches)))
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build(network.trainable_variables)
    step = TrainingStep(network, optimizer, label_smoothing)
    step(patches, labels)
    step(patches, labels)
    loss, top1, n_patches = step.take_means()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert top1 == pytest.approx(np.mean(np.argmax(network(patches), axis=1) == labels))
    assert n_patches == 32
    assert step.loss_sum == 0.0


PROGRAM = """
import os, sys
from pathlib import Path
import numpy as np
from core.patches.augmentation import Augmentation, augment_patches
from core.training.plan import FitPlan, Monitor
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.training.fit import configure_tensorflow, fit

precision, folder, killed = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "killed"
configure_tensorflow(threads=2, precision=precision, seed=0)

class Feed:
    def n_batches(self, epoch):
        return 6

    def batches(self, epoch, start_batch=0):
        for k in range(6):
            generator = np.random.default_rng([epoch, k])
            patches = generator.integers(0, 256, (16, 56, 56), dtype=np.uint8)
            patches = augment_patches(patches, Augmentation.even(0.5), generator)
            yield patches[..., None], generator.integers(0, 5, 16).astype(np.int32)

def end_of(name, hyperparameters, folder, at_epoch):
    latest = max(folder.glob("epoch-*.npz"), default=None)
    plan = FitPlan(hyperparameters, Monitor("val/x"), 4, folder, checkpoint=latest)
    model = build_model(hyperparameters, (56, 56, 1), 5, seed=3)
    probe = np.full((2, 56, 56, 1), 90, np.uint8)
    result = fit(model, Feed(), lambda model: {"val/x": float(model(probe)[0, 0])}, plan, at_epoch)
    print(name, result.checkpoint.sha256)

nets = {
    "norm": Hyperparameters(filters=8, n_blocks=2, dropout=0.3, n_dense=1, dense_1=32),
    "plain": Hyperparameters(filters=8, n_blocks=2, batch_norm=False, head="flatten", dropout=0.5, optimizer="sgd"),
}
if killed:  # the second network's process dies after its second epoch, the first network waits there
    end_of("norm", nets["norm"], folder / "parts" / "norm", lambda record: record.epoch < 2)
    end_of("plain", nets["plain"], folder / "parts" / "plain", lambda record: record.epoch < 2 or os._exit(9))
for name, hyperparameters in nets.items():
    end_of(name, hyperparameters, folder / sys.argv[3] / name, lambda record: True)
"""


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_killed_fit_goes_on_bit_equal_in_a_fresh_process(tmp_path: Path, precision: str) -> None:
    if precision == "mixed_bfloat16" and not {"avx512_bf16", "amx_bf16"} & cpu_flags():
        pytest.skip("this processor only emulates bfloat16")
    whole = run_program(precision, str(tmp_path), "whole")
    assert run_program(precision, str(tmp_path), "killed").returncode == 9
    parts = run_program(precision, str(tmp_path), "parts")
    assert whole.stdout.split() == parts.stdout.split(), whole.stderr + parts.stderr
    assert len(whole.stdout.split()) == 4


def test_tensorflow_is_configured_before_it_starts_or_not_at_all() -> None:
    program = """
import keras, tensorflow as tf
from core.errors import TrainingError
from core.training.fit import configure_tensorflow
configure_tensorflow(threads=1, precision="mixed_bfloat16", seed=3)
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
assert keras.config.dtype_policy().name == "mixed_bfloat16"
tf.zeros(1)
try:
    configure_tensorflow(threads=2, precision="float32", seed=3)
except TrainingError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert "TensorFlow must be configured before it starts" in done.stdout, done.stderr


def test_a_network_of_the_users_own_goes_on_from_its_checkpoint_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    def fit_own(folder: Path, until: int, seed: int = 0) -> tuple[FitResult, keras.Model]:
        keras.utils.set_random_seed(seed)
        x = patches = keras.Input((8, 8, 1))
        x = keras.layers.Dropout(0.5, seed=3)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x)))
        model = keras.Model(patches, keras.layers.Dense(5, activation="softmax")(x))
        plan = FitPlan(
            SMALL,
            Monitor("val/x", "maximize"),
            4,
            folder,
            until_epoch=until,
            checkpoint=max(folder.glob("epoch-*.npz"), default=None) if folder.exists() else None,
            own={"width": 3},
        )
        probe = np.full((1, 8, 8, 1), 90, np.uint8)
        return fit(model, OwnFeed(), lambda model: {"val/x": float(model(probe)[0, 0])}, plan, lambda _: True), model

    whole, model = fit_own(tmp_path / "whole", 4)
    fit_own(tmp_path / "parts", 2)
    parts, resumed = fit_own(tmp_path / "parts", 4, seed=9)
    assert whole.checkpoint is not None
    assert parts.checkpoint is not None
    assert whole.checkpoint.sha256 == parts.checkpoint.sha256
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), resumed.get_weights(), strict=True))


class OwnFeed:
    def n_batches(self, epoch: int) -> int:
        return 3

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int32]]]:
        for k in range(3):
            generator = np.random.default_rng([epoch, k])
            yield (
                generator.integers(0, 256, (8, 8, 8, 1), dtype=np.uint8),
                generator.integers(0, 5, 8).astype(np.int32),
            )
