"""The user's own code in a sweep: found and hashed at the launch, tried on one batch, kept in the
sweep's folder.

Workers import the copy in the sweep's folder, so that a module that is edited meanwhile changes no
trial, and a promotion of next year finds what was trained. A function that cannot be imported is
pickled there, once, with all that it closes over.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.durable_files import write_atomically
from core.errors import OwnCodeError
from core.training.plan import choose_precision
from search.executors.base import Executor, run_task
from search.experiment.experiment import Experiment
from search.experiment.own_code import FunctionPath, Source, read_code
from search.ledger.trial import TrialSpec, TrialState
from search.objectives.tasks import CHECK_NETWORK, FunctionReference, NetworkCheck

OWN_CODE_FOLDER = "own_code"
"""In a sweep's folder."""
_SPACE_FILE, _REMARK_FILE = "space.json", "remark.txt"  # that `search.objectives.network_check` leaves
Sources = Mapping[str, Source]


def with_code(experiment: Experiment, root: Path) -> tuple[Experiment, Sources]:
    """The experiment with what its own functions are made of today.

    Args:
        experiment: may name functions of the user's own.
        root: the project's folder, where modules are looked for after the experiment file's.

    Raises:
        OwnCodeError: if a function is not to be found.
    """
    found = {path: read_code(path, [root]) for path in experiment.own_functions()}
    if not found:
        return experiment, {}
    code = {str(path): code for path, (code, _) in found.items()}
    return experiment.model_copy(update={"code": code}), {str(path): source for path, (_, source) in found.items()}


def keep_code(experiment: Experiment, sources: Sources, folder: Path) -> tuple[str, ...]:
    """Write the sources (and pickles) of the user's own functions into a sweep's folder.

    Returns:
        The files that were written, by their path below `folder`.

    Raises:
        OwnCodeError: if a function cannot be pickled.
    """
    shutil.rmtree(folder / OWN_CODE_FOLDER, ignore_errors=True)
    written = []
    for path in experiment.own_functions():
        code = experiment.code[str(path)]
        for name, text in sources[str(path)].texts.items():
            relative = f"{OWN_CODE_FOLDER}/{name if name.endswith('.py') else f'{_file_name(name)}.txt'}"
            write_atomically(folder / relative, text.encode())
            written.append(relative)
        if code.pickled and isinstance(path, FunctionPath):
            write_atomically(_pickle_path(path, folder), _pickled(path))
    return tuple(written)


def function_reference(experiment: Experiment, path: str, folder: Path) -> FunctionReference:
    """Where workers find a function of the experiment's.

    Args:
        experiment: with its code; see `with_code`.
        path: of the function.
        folder: the sweep's.

    Raises:
        OwnCodeError: if the function is not there any more.
    """
    code = experiment.code.get(str(path))
    if code is None:
        raise OwnCodeError(f"{path} is a function of your own, which only a sweep, its finalists and promotion run.")
    if not code.pickled:
        copy = folder / OWN_CODE_FOLDER if code.folder is not None else None
        return FunctionReference(str(path), copy, code.folder, sha256="" if copy else code.sha256)
    pickle = _pickle_path(path, folder)
    if not pickle.exists():
        raise OwnCodeError(f"The function {path} must lie in {pickle}, because it cannot be imported, but does not.")
    return FunctionReference(str(path), pickle=pickle)


def checked_network(experiment: Experiment, sources: Sources, executor: Executor) -> tuple[Experiment, str]:
    """Try the experiment's own network on one batch, in a worker.

    Args:
        experiment: with a `model` and its code.
        sources: of `with_code`.
        executor: closed when this returns.

    Returns:
        The experiment, with the dimensions that a HyperModel declares in its space; and a remark
        for the user.

    Raises:
        OwnCodeError: if it is no network that can be trained.
    """
    path = str(experiment.model)
    with tempfile.TemporaryDirectory(prefix="whosehand-") as temporary:
        folder = Path(temporary)
        keep_code(experiment, sources, folder)
        space = experiment.space.search_space()
        point = experiment.complete(space.at([0.5] * len(space.dimensions)))
        network = function_reference(experiment, path, folder)
        spec = TrialSpec.of_task(
            CHECK_NETWORK,
            NetworkCheck(network, point, experiment.patches.size_px, experiment.split.kind == "writer"),
            folder / "check",
            precision=choose_precision(experiment.training.precision),
            seed=experiment.seed,
            threads=executor.threads,
        )
        result = run_task(executor, spec)
        if result.state is not TrialState.COMPLETED:
            raise OwnCodeError(result.reason.removeprefix("OwnCodeError: "))
        read = {name: reference.path.read_text(encoding="utf-8") for name, reference in result.artifacts.items()}
    declared = json.loads(read.get(_SPACE_FILE, "{}"))
    return _with_dimensions(experiment, declared), read.get(_REMARK_FILE, "")


def _with_dimensions(experiment: Experiment, declared: Mapping[str, Any]) -> Experiment:
    """Declared dimensions below those that the file has under the same names, and the fixed
    ones.
    """
    if not declared:
        return experiment
    dimensions = {**declared, **experiment.space.dimensions}
    space = experiment.space.model_copy(update={"dimensions": dimensions})
    space.search_space()  # or it raises a SpaceError
    return experiment.model_copy(update={"space": space})


def _pickled(path: FunctionPath) -> bytes:
    import cloudpickle  # only for what cannot be imported

    try:
        pickled: bytes = cloudpickle.dumps(path.function)
    except Exception as error:  # whatever the objects in it raise
        raise OwnCodeError(
            f"{path} must be picklable, to reach a worker, but: {type(error).__name__}: {error}. Let it make what it "
            "needs itself, or put it into a module beside the experiment file."
        ) from error
    return pickled


def _pickle_path(path: str, folder: Path) -> Path:
    return folder / OWN_CODE_FOLDER / f"{_file_name(path)}.pickle"


def _file_name(path: str) -> str:
    """A function's path as a file's name, without what some systems refuse."""
    return "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in path)
