"""Networks of the user's own, tried on one batch in the test's own process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import keras_tuner
import pytest

from core.errors import OwnCodeError
from core.space import Categorical, Condition, Integer, Real, SearchSpace
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialSpec, TrialState
from search.objectives.network_check import check_network, declared_dimensions
from search.objectives.tasks import CHECK_NETWORK, FunctionReference, NetworkCheck

SHAPE = (32, 32, 1)


def check(function: Any, folder: Path, needs_embedding: bool = False, **hyperparameters: Any) -> TrialResult:
    pickle = folder / "function.pickle"
    pickle.write_bytes(cloudpickle.dumps(function))
    task = NetworkCheck(FunctionReference("tests:build", pickle=pickle), hyperparameters, SHAPE[0], needs_embedding)
    spec = TrialSpec.of_task(CHECK_NETWORK, task, folder / "check", precision="float32", seed=0, threads=1)
    return check_network(spec, _no_report)


def _no_report(report: EpochReport) -> PruningDecision:
    raise AssertionError(report)


def network(
    units: int | None = None, activation: str | None = "softmax", name: str | None = None, size: int = 32
) -> Callable[..., Any]:
    def build(hyperparameters: Any, patch_shape: Any, n_writers: int) -> Any:
        x = patches = keras.Input((size, size, 1))
        x = keras.layers.Flatten(name=name)(keras.layers.AveragePooling2D(8)(x))
        return keras.Model(patches, keras.layers.Dense(units or n_writers, activation=activation)(x))

    return build


def test_a_network_that_fits_passes_and_says_its_size(tmp_path: Path) -> None:
    result = check(network(), tmp_path)
    assert (result.state, result.n_parameters, dict(result.artifacts)) == (TrialState.COMPLETED, 17 * 5, {})


def not_a_model(hyperparameters: Any, patch_shape: Any, n_writers: int) -> Any:
    return n_writers


def fails(hyperparameters: Any, patch_shape: Any, n_writers: int) -> Any:
    return hyperparameters["width"]


def frozen(hyperparameters: Any, patch_shape: Any, n_writers: int) -> Any:
    model = network()(hyperparameters, patch_shape, n_writers)
    model.trainable = False
    return model


def with_own_layer(hyperparameters: Any, patch_shape: Any, n_writers: int) -> Any:
    class Twice(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    x = patches = keras.Input(patch_shape)
    x = Twice()(keras.layers.Flatten()(x))
    return keras.Model(patches, keras.layers.Dense(n_writers, activation="softmax")(x))


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (not_a_model, "must return a Keras model, but got int"),
        (fails, r"fails with .*KeyError: 'width'.*test_network_check.py, line \d+"),
        (frozen, "must have something to train"),
        (network(size=16), r"must take patches of shape \(32, 32, 1\), but takes \(None, 16, 16, 1\)"),
        (network(units=7), r"here \(3, 5\), but gives \(3, 7\) in float32.*activation='softmax'"),
        (network(activation=None), "must give probabilities that sum to 1"),
        (with_own_layer, "The layer Twice is defined where no other process can import it"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_with_what_to_do(tmp_path: Path, function: Any, complaint: str) -> None:
    with pytest.raises(OwnCodeError, match=complaint):
        check(function, tmp_path)


def test_a_layer_of_a_module_must_be_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_layers_module.py").write_text(
        "import keras\nclass Twice(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
        "def build(hyperparameters, patch_shape, n_writers):\n    x = patches = keras.Input(patch_shape)\n"
        "    x = Twice()(keras.layers.Flatten()(x))\n"
        "    return keras.Model(patches, keras.layers.Dense(n_writers, activation='softmax')(x))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    task = NetworkCheck(FunctionReference("own_layers_module:build", tmp_path), {}, SHAPE[0])
    spec = TrialSpec.of_task(CHECK_NETWORK, task, tmp_path / "check", precision="float32", seed=0, threads=1)
    with pytest.raises(OwnCodeError, match=r"@keras.saving.register_keras_serializable\(package='own_layers_module'\)"):
        check_network(spec, _no_report)


def test_a_network_without_an_embedding_is_trained_with_a_remark_unless_it_is_judged_by_that(tmp_path: Path) -> None:
    def build(hyperparameters: Any, patch_shape: Any, n_writers: int) -> Any:
        x = patches = keras.Input(patch_shape)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(n_writers, 3)(x))
        return keras.Model(patches, keras.layers.Softmax(dtype="float32")(x))

    assert "no similar patches" in check(build, tmp_path).artifacts["remark.txt"].path.read_text()
    with pytest.raises(OwnCodeError, match="pages are found by the network's embedding"):
        check(build, tmp_path, needs_embedding=True)


class Tuned(keras_tuner.HyperModel):
    def __init__(self, patch_shape: Any, n_writers: int) -> None:
        super().__init__()
        self.patch_shape, self.n_writers = patch_shape, n_writers

    def build(self, hp: Any) -> Any:
        x = patches = keras.Input(self.patch_shape)
        x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(x))
        for layer in range(hp.Int("layers", 0, 2)):
            with hp.conditional_scope("layers", list(range(layer + 1, 3))):
                x = keras.layers.Dense(hp.Int(f"units_{layer}", 4, 12, step=4))(x)
        if hp.Boolean("dropped"):
            with hp.conditional_scope("dropped", [True]):
                x = keras.layers.Dropout(hp.Float("dropout", 0.1, 0.5, step=0.1))(x)
        hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        model = keras.Model(patches, keras.layers.Dense(self.n_writers, activation="softmax")(x))
        model.compile("adam", "sparse_categorical_crossentropy")
        return model


def test_the_space_of_a_hyper_model_is_what_it_declares(tmp_path: Path) -> None:
    declared = declared_dimensions(Tuned, SHAPE, 5)
    by_name = {dimension.name: dimension for dimension in declared}
    assert by_name["layers"] == Integer("layers", 0, 2)
    assert by_name["dropped"] == Categorical("dropped", (False, True))
    assert by_name["dropout"] == Real("dropout", 0.1, 0.5, 0.1, when=Condition("dropped", (True,)))
    assert by_name["learning_rate"] == Real("learning_rate", 1e-4, 1e-2, log=True)
    assert by_name["units_0"] == Integer("units_0", 4, 12, 4, when=Condition("layers", (1, 2)))
    written = json.loads(check(Tuned, tmp_path).artifacts["space.json"].path.read_text())
    assert set(SearchSpace.from_dict(written).dimensions) == set(declared)
