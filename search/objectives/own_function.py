"""Functions of the user's own in a worker: loaded, and called to build a network."""

import importlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from core.errors import OwnCodeError
from core.space import Value
from search.executors.local.worker import load_objective
from search.experiment.own_code import find_source
from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec, TrialState
from search.objectives.tasks import CodeTrial, FunctionReference, OwnTask, PatchTask


def load_function(reference: FunctionReference) -> Any:
    """Import or unpickle a function.

    Raises:
        OwnCodeError: if that fails.
    """
    for folder in (reference.beside, reference.folder):
        if folder is not None and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if reference.pickle is not None:
        import cloudpickle  # most functions are imported

        with reference.pickle.open("rb") as file:
            return cloudpickle.load(file)
    module_name, _, name = reference.path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise OwnCodeError(f"{reference.path!r} cannot be imported: {error}.") from error


def try_code(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Import what trials on this machine will need, as they will; `spec.settings` is a `CodeTrial`.

    Raises:
        OwnCodeError: if something is missing, or has another source than where the sweep was
            launched.
    """
    trial: CodeTrial = spec.settings
    load_objective(trial.objective)
    patches = trial.settings.patches if isinstance(trial.settings, OwnTask) else trial.settings
    own = [trial.settings.function] if isinstance(trial.settings, OwnTask) else []
    if isinstance(patches, PatchTask) and patches.network is not None:
        own.append(patches.network)
    for reference in own:
        load_function(reference)
        if reference.sha256 and find_source(reference.path, []).sha256 != reference.sha256:
            raise OwnCodeError(f"{reference.path!r} has another source than where the sweep was launched.")
    return TrialResult(TrialState.COMPLETED)


def n_arguments(function: Any) -> int:
    """How many arguments without a default a function takes."""
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is each.empty for each in parameters)


def build_own(function: Any, hyperparameters: Mapping[str, Value], patch_shape: tuple[int, ...], n_writers: int) -> Any:
    """Build a Keras network of the user's own, from a function or a HyperModel of KerasTuner's."""
    if not is_hyper_model(function):
        return function(dict(hyperparameters), tuple(patch_shape), n_writers)
    import keras_tuner  # only where a HyperModel is there, which has imported it

    hp = keras_tuner.HyperParameters()
    hp.values = dict(hyperparameters)
    return make_hyper_model(function, patch_shape, n_writers).build(hp)


def is_hyper_model(function: Any) -> bool:
    """Whether it is a HyperModel of KerasTuner's, or a class of them."""
    return callable(getattr(function, "build", None))


def make_hyper_model(function: Any, patch_shape: tuple[int, ...], n_writers: int) -> Any:
    """A HyperModel: itself, or made of its class, which may take `patch_shape` and `n_writers`."""
    if not inspect.isclass(function):
        return function
    known = {"patch_shape": tuple(patch_shape), "n_writers": n_writers}
    taken = inspect.signature(function).parameters
    return function(**{name: value for name, value in known.items() if name in taken})
