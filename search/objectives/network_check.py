"""Tries a network of the user's own on one batch, before a sweep trains it for hours. Runs in a
worker process.
"""

import json
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from core.errors import ModelError, OwnCodeError
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import Embedder, Predictor
from core.networks.model import build_optimizer
from core.space import Categorical, Condition, Dimension, Integer, Real
from core.space.dimensions import dimension_to_plain
from core.training.fit import configure_tensorflow
from search.ledger.files import reference_file
from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec, TrialState
from search.objectives.own_function import build_own, is_hyper_model, load_function, make_hyper_model
from search.objectives.tasks import FunctionReference, NetworkCheck

PRELOAD = ("tensorflow", "keras")
SPACE_FILE = "space.json"
REMARK_FILE = "remark.txt"
_N_PATCHES, _N_WRITERS = 3, 5
_MOST_BUILDS = 100


def check_network(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Build a network, ask it, load it again; `spec.settings` is a `NetworkCheck`.

    Returns:
        With the artifact `space.json`, if it is a HyperModel: the dimensions that it declares.

    Raises:
        OwnCodeError: says what is wrong with the network, and what to do.
    """
    check: NetworkCheck = spec.settings
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    function = load_function(check.network)
    shape = (check.size_px, check.size_px, 1)
    spec.work_dir.mkdir(parents=True, exist_ok=True)
    artifacts, values = {}, dict(check.hyperparameters)
    if is_hyper_model(function):
        declared = declared_dimensions(function, shape, _N_WRITERS)
        path = spec.work_dir / SPACE_FILE
        path.write_text(json.dumps({each.name: dimension_to_plain(each) for each in declared}), encoding="utf-8")
        artifacts[SPACE_FILE] = reference_file(path)
    try:
        model = build_own(function, values, shape, _N_WRITERS)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise OwnCodeError(
            f"{check.network.path} fails with {values}, {shape} and {_N_WRITERS} writers: {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''} ({where.filename}, line {where.lineno})."
        ) from error
    _check_model(model, shape, check.network)
    _check_layers(model, check.network)
    remark = _embedding_remark(model)
    if remark and check.needs_embedding:
        raise OwnCodeError(f"With `split.kind: writer` pages are found by the network's embedding. {remark}")
    if remark:
        path = spec.work_dir / REMARK_FILE
        path.write_text(remark, encoding="utf-8")
        artifacts[REMARK_FILE] = reference_file(path)
    return TrialResult(TrialState.COMPLETED, n_parameters=model.count_params(), artifacts=artifacts)


def declared_dimensions(function: Any, patch_shape: tuple[int, ...], n_writers: int) -> tuple[Dimension, ...]:
    """The dimensions that a HyperModel declares in `build(hp)`, in the order in which it does.

    What stands below `if hp.Boolean(...)` shows only where that is true. So `build` is called with
    each value of each choice, and with the ends of each whole number, the others as they are by
    default.

    Raises:
        OwnCodeError: if one is of a kind that a space does not have.
    """
    import keras_tuner  # only where a HyperModel is there, which has imported it

    model = make_hyper_model(function, patch_shape, n_writers)
    found: dict[str, list[Any]] = {}
    waiting: list[dict[str, Any]] = [{}]
    for n_builds, values in enumerate(waiting):
        if n_builds == _MOST_BUILDS:
            break
        hp = keras_tuner.HyperParameters()
        hp.values = dict(values)
        model.build(hp)
        for each in hp.space:
            if each.name not in found:
                waiting += [{**values, each.name: value} for value in _values_to_try(each)]
            if each.conditions not in [other.conditions for other in found.setdefault(each.name, [])]:
                found[each.name].append(each)
    return tuple(_dimension(declared) for declared in found.values())


def _values_to_try(each: Any) -> list[Any]:
    """Other values than the default that may let a HyperModel declare something more."""
    import keras_tuner.engine.hyperparameters as kinds

    match each:
        case kinds.Boolean():
            values = [True, False]
        case kinds.Choice():
            values = list(each.values)
        case kinds.Int():
            values = [each.max_value, each.min_value]
        case _:
            values = []
    return [value for value in values if value != each.default]


def _dimension(declared: list[Any]) -> Dimension:
    """One dimension, declared once or under several conditions."""
    import keras_tuner.engine.hyperparameters as kinds

    each, when = declared[0], _condition(declared)
    match each:
        case kinds.Boolean():
            return Categorical(each.name, (False, True), when)
        case kinds.Fixed():
            return Categorical(each.name, (each.value,), when)
        case kinds.Choice():
            return Categorical(each.name, tuple(each.values), when)
        case kinds.Int():
            is_log = each.sampling in ("log", "reverse_log")
            step = 1 if is_log else each.step or 1
            high = each.min_value + (each.max_value - each.min_value) // step * step
            return Integer(each.name, each.min_value, high, step, is_log, when)
        case kinds.Float():
            is_log = each.sampling in ("log", "reverse_log")
            return Real(each.name, each.min_value, each.max_value, None if is_log else each.step, is_log, when)
    raise OwnCodeError(f"{each.name}: a hyperparameter must be Int, Float, Choice, Boolean or Fixed, but got {each!r}.")


def _condition(declared: list[Any]) -> Condition | None:
    """The innermost condition; `None` where the declarations hang on different parents, or one on
    none.
    """
    inner = [each.conditions[-1] for each in declared if each.conditions]
    parents = {condition.name for condition in inner}
    if len(parents) != 1 or len(inner) < len(declared):
        return None
    return Condition(parents.pop(), tuple(dict.fromkeys(value for condition in inner for value in condition.values)))


def _check_model(model: Any, shape: tuple[int, ...], network: FunctionReference) -> None:
    """Raise OwnCodeError unless it takes patches and gives probabilities that can be trained."""
    path = network.path
    if not isinstance(model, keras.Model):
        raise OwnCodeError(f"{path} must return a Keras model, but got {type(model).__name__}.")
    if tuple(getattr(model, "input_shape", ()) or ())[1:] != shape:
        raise OwnCodeError(
            f"The model of {path} must take patches of shape {shape}, but takes "
            f"{getattr(model, 'input_shape', None)}. Begin with `x = keras.Input(patch_shape)` and end with "
            "`keras.Model(x, y)`."
        )
    generator = np.random.default_rng(0)
    patches = generator.integers(0, 256, (_N_PATCHES, *shape), dtype=np.uint8)
    answers = model(patches, training=False)
    if tuple(answers.shape) != (_N_PATCHES, _N_WRITERS) or keras.backend.standardize_dtype(answers.dtype) != "float32":
        raise OwnCodeError(
            f"The model of {path} must give probabilities of shape (n, n_writers) in float32, here "
            f"{(_N_PATCHES, _N_WRITERS)}, but gives {tuple(answers.shape)} in "
            f"{keras.backend.standardize_dtype(answers.dtype)}. Let the last layer be `keras.layers.Dense(n_writers, "
            "activation='softmax', dtype='float32')`."
        )
    sums = np.asarray(answers).sum(axis=1)
    if not np.allclose(sums, 1, atol=1e-3) or np.asarray(answers).min() < 0:
        raise OwnCodeError(
            f"The model of {path} must give probabilities that sum to 1, but the sums are {sums.round(3).tolist()}. "
            "Let the last layer have `activation='softmax'`."
        )
    if not model.trainable_variables:
        raise OwnCodeError(f"The model of {path} must have something to train, but all its weights are frozen.")
    Predictor(model).log_probabilities([patches])
    build_optimizer(Hyperparameters(), 1).build(model.trainable_variables)


def _check_layers(model: keras.Model, network: FunctionReference) -> None:
    """Raise OwnCodeError if the model cannot be saved and loaded: a trial would be lost at its
    end.
    """
    for layer in _layers(model):
        kind = type(layer)
        if kind.__module__.split(".")[0] == "keras":
            continue
        if network.pickle is not None:
            raise OwnCodeError(
                f"The layer {kind.__name__} is defined where no other process can import it, so that its network could "
                "not be loaded again. Put the function and the layer into a module beside the experiment file."
            )
        if keras.saving.get_registered_name(kind) == kind.__name__:
            raise OwnCodeError(
                f"The layer {kind.__name__} must be registered with Keras, so that its network can be loaded again: "
                f"write `@keras.saving.register_keras_serializable(package={kind.__module__!r})` above its class, and "
                "give it `get_config` if its constructor has arguments."
            )
    try:
        with tempfile.TemporaryDirectory(prefix="whosehand-") as folder:
            path = Path(folder) / "network.keras"
            model.save(path)
            keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise OwnCodeError(
            f"The model of {network.path} must be one that Keras can save and load, but: {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}."
        ) from error


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _embedding_remark(model: keras.Model) -> str:
    """What a promotion will miss; empty if nothing."""
    try:
        Embedder(model)
    except ModelError as error:
        return f"The evidence for its answers will show no similar patches. {error}"
    return ""
