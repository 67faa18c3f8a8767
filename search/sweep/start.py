"""What the fits of an experiment begin with: random weights, or those of a trained network.

The network is looked up once, at the first launch: is it one that has seen no page on which this
split judges, and do its weights fit every network of the space? A copy of the weights then lies in
the sweep's folder, so that its trials, refits and finalists all begin with the same, whatever
becomes of an alias or a sweep. Of generated handwriting a network is trained by the worker that
needs it first (`search.objectives.first_network`).
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from core.corpora.settings import CorpusSettings, HandsSettings, WriterSettings
from core.durable_files import write_atomically
from core.errors import ConfigError, ModelError
from core.networks.hyperparameters import NO_ARCHITECTURE, Hyperparameters
from core.networks.layer_plan import Shapes, differences_of, shapes_below_the_last_layer
from core.networks.origin import Origin
from core.networks.starting_weights import load_weights, shapes_of
from core.patches.kept_offsets import keep_offsets
from core.settings import START_FROM
from core.space import Categorical, Dimension, SearchSpace, Value
from core.space.search_space import list_points
from core.splits.settings import SplitSettings
from search.executors.base import run_task
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.files import reference_file
from search.ledger.trial import FileReference, TrialSpec, TrialState
from search.objectives.starts import READ_WEIGHTS, GivenStart, HandsStart, ReadingTask, Start
from search.sweep.preparation import PreparedCorpus, prepare_corpus, save_split
from search.sweep.progress import Progress
from search.sweep.start_source import LINEAGE_FILE, START_FOLDER, Lineage, StartSource, find_source, refuse_seen
from search.sweep.workers import local_executor
from search.tracking.store import TrackingStore

_WEIGHTS_FILE = "weights.npz"
_OWN_SEED = 1_900_000  # of generated writers to begin with: a corpus of `hands` has others, unless it asks for these


def prepare_start(
    experiment: Experiment,
    workspace: Workspace,
    store: TrackingStore,
    corpus: PreparedCorpus,
    folder: Path,
    progress: Progress,
    is_begun: bool = True,
) -> Start | None:
    """Find, check and keep what the fits begin with, or take what an earlier launch has kept.

    Args:
        experiment: its `training.start_from` names a network.
        workspace: where.
        store: where the registry is.
        corpus: with the split.
        folder: of the sweep.
        progress: is told what fits begin with.
        is_begun: whether the sweep was launched before: then what was kept must be there.

    Returns:
        `None` for random weights.

    Raises:
        RegistryError: if there is no such network.
        SplitError: if it has seen pages on which this split judges.
        ModelError: if its weights do not fit every network of the space.
        ConfigError: if what was kept is gone.
    """
    reference = experiment.training.start_from
    if reference is None:
        return None
    named = START_FROM.fullmatch(reference)
    if named is not None and named["writers"] is not None:
        return _of_hands(int(named["writers"]), experiment, workspace, folder / START_FOLDER, progress, is_begun)
    kept = folder / START_FOLDER
    if not (kept / LINEAGE_FILE).is_file():
        if is_begun:
            raise ConfigError(
                f"Every fit of {experiment.name!r} begins with the same weights, but {kept}, where they were kept, is "
                "gone. Put it back, or begin a sweep of another name."
            )
        _keep(find_source(reference, workspace, store), experiment, corpus, kept)
    lineage = Lineage.read(kept / LINEAGE_FILE)
    weights = FileReference(kept / _WEIGHTS_FILE, lineage.origin.sha256, _size(kept / _WEIGHTS_FILE))
    if not is_begun:
        progress.say(f"Every fit begins with the weights of {lineage.origin.name}, all but the last layer's.")
    return GivenStart(weights, lineage.origin, kept / LINEAGE_FILE)


def _of_hands(
    n_writers: int, experiment: Experiment, workspace: Workspace, folder: Path, progress: Progress, is_begun: bool
) -> HandsStart:
    """Generate and read the handwriting; the network itself is trained by the first worker that
    needs it.
    """
    hands = HandsSettings(n_writers=n_writers, seed=_seed_beside(experiment.corpus))
    parts = {"corpus": hands, "split": SplitSettings(test=0.0), "writers": WriterSettings()}
    first = experiment.model_copy(update=parts)
    with progress.working(f"preparing handwriting of {n_writers} generated writers to begin with") as advance:
        prepared = prepare_corpus(first, workspace, advance)
    keep_offsets(prepared.store, experiment.patches)
    usual = experiment.complete({})
    if not is_begun:
        progress.say(
            f"Every fit begins with the weights of a network that is trained on {n_writers} generated writers first, "
            f"as long as a trial, once for each architecture ({_n_architectures(experiment)} in this space); kept in "
            f"{workspace.starts}."
        )
    return HandsStart(
        name=f"hands:{n_writers}",
        line_store=prepared.store.folder,
        split=save_split(prepared.manifest, folder),
        split_hash=prepared.manifest.hash,
        patches=experiment.patches,
        training={name: usual[name] for name in NO_ARCHITECTURE},
        epochs=experiment.training.epochs,
        folder=workspace.starts,
    )


def _seed_beside(corpus: CorpusSettings | None) -> int:
    """A seed of other writers than a generated corpus has."""
    return _OWN_SEED + 1 if isinstance(corpus, HandsSettings) and corpus.seed == _OWN_SEED else _OWN_SEED


def _keep(source: StartSource, experiment: Experiment, corpus: PreparedCorpus, kept: Path) -> None:
    """Copy the weights of a network into the sweep's folder, if they may and can be begun with."""
    refuse_seen(source, experiment, corpus)
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=kept) as temporary:
        executor = local_executor(experiment, READ_WEIGHTS, n_workers=1)
        task, work_dir = ReadingTask(source.network, source.name), Path(temporary)
        spec = TrialSpec.of_task(
            READ_WEIGHTS, task, work_dir, precision="float32", seed=experiment.seed, threads=executor.threads
        )
        result = run_task(executor, spec)
        if result.state is not TrialState.COMPLETED:
            raise ModelError(result.reason.removeprefix("ModelError: "))
        (read,) = result.artifacts.values()
        refuse_misfits(source, shapes_of(load_weights(read.path)), experiment)
        read.path.replace(kept / _WEIGHTS_FILE)
    origin = Origin(source.name, reference_file(kept / _WEIGHTS_FILE).sha256, source.run_id)
    write_atomically(kept / LINEAGE_FILE, Lineage(origin, source.point, source.seen).as_json())


def refuse_misfits(source: StartSource, shapes: Shapes, experiment: Experiment) -> None:
    """Refuse a network whose weights do not fit every network of the space, and every point that is
    tried first.

    Args:
        source: the network.
        shapes: of its weights.
        experiment: says the space, and the size of a patch.

    Raises:
        ModelError: says what differs, and what to write into the file.
    """
    wrong = ""
    for point in architectures(experiment):
        own = _shapes(Hyperparameters.from_point(experiment.complete(point)), experiment.patches.size_px)
        wrong = wrong or (differences_of(shapes, own, source.name) if own is not None else "")
    if wrong:
        raise ModelError(f"{wrong} {_advice(source, experiment)}")


def architectures(experiment: Experiment) -> list[dict[str, Value]]:
    """Points of the space that differ in what decides a network's layers, and those that are tried
    first.

    Of what has no finite number of values both ends count; of very many points the middle alone.
    """
    space = experiment.space.search_space()
    chosen = [_finite(dimension) for dimension in space.dimensions if dimension.name not in NO_ARCHITECTURE]
    names = {dimension.name for dimension in chosen}
    free = [each if each.when is None or each.when.parent in names else replace(each, when=None) for each in chosen]
    points: list[dict[str, Value]] | None = list_points(SearchSpace(tuple(free))) if free else [{}]
    middle = space.at([0.5] * len(space.dimensions))
    return [*(points or [middle]), *experiment.space.enqueued_points(experiment.complete)]


def _n_architectures(experiment: Experiment) -> int:
    points = [Hyperparameters.from_point(experiment.complete(point)) for point in architectures(experiment)]
    return len({tuple(point.architecture.items()) for point in points})


def _finite(dimension: Dimension) -> Dimension:
    if dimension.n_values is not None or isinstance(dimension, Categorical):
        return dimension
    return Categorical(dimension.name, (dimension.low, dimension.high), dimension.when)


def _shapes(hyperparameters: Hyperparameters, patch_px: int) -> Shapes | None:
    """Those of its network; `None` if there is none: such a trial fails by itself."""
    try:
        return shapes_below_the_last_layer(hyperparameters, patch_px)
    except ModelError:
        return None


def _advice(source: StartSource, experiment: Experiment) -> str:
    """What to write into the file, so that the weights fit."""
    if not source.point:
        return "Give the space the architecture of that network (space.fixed, space.enqueue: [{}])."
    wanted = Hyperparameters.from_point(source.point).architecture
    searched = {dimension.name for dimension in experiment.space.search_space().dimensions if dimension.n_values != 1}
    usual = experiment.complete({})
    fixed = {name: value for name, value in wanted.items() if name in searched or usual[name] != value}
    preset = f"preset: {experiment.space.preset}, " if experiment.space.base == "default" else ""
    values = ", ".join(f"{name}: {_plain(value)}" for name, value in {**experiment.space.fixed, **fixed}.items())
    return f"Give the space that network's architecture: space: {{{preset}fixed: {{{values}}}, enqueue: [{{}}]}}."


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise ConfigError(f"Weights that every fit begins with must lie in {path}, but they are gone.") from None


def check_agreement(experiment: Experiment, start: Start | None) -> None:
    """Refuse a task that would begin otherwise than the experiment says.

    Raises:
        ConfigError: if so.
    """
    if (experiment.training.start_from is None) != (start is None):
        raise ConfigError(
            f"Fits of {experiment.name!r} begin with {experiment.training.start_from or 'random weights'} "
            "(training.start_from), which this cannot do."
        )
