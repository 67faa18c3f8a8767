"""A trained network that fits are to begin with: where it lies, and which pages it has seen.

A network that has been trained on a page recognises it. So a split's validation and test pages must
be new to the network that its fits begin with, and to those that this one began with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import TypeAdapter

from core.corpora.settings import HandsSettings
from core.errors import LedgerError, RegistryError, SplitError
from core.identification.model_record import PACKED_FOLDER
from core.networks.hyperparameters import Hyperparameters
from core.networks.origin import Origin
from core.settings import START_FROM
from core.space import Value
from core.splits.manifest import SplitManifest, Subset
from core.wording import counted
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.trial import TrialState
from search.objectives.saved_model import network_file
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.preparation import SPLIT_FILE, PreparedCorpus
from search.sweep.trial_models import find_trial_model
from search.tracking.registry import RegisteredVersion, find_model
from search.tracking.runs import find_run
from search.tracking.store import TrackingStore, open_store, tracking_errors

START_FOLDER = "start"
"""In a sweep's folder, with what its fits begin with."""
LINEAGE_FILE = "lineage.json"
"""There, and in the folder of a model whose training began with another one."""


@dataclass(frozen=True)
class SeenPages:
    """What a network was trained on.

    Attributes:
        corpus: its name.
        train: image ids.
        validation: of the images by which it was chosen.
        writers: of training.
        seed: of generated handwriting; `None` of real one, or if it is not known.
    """

    corpus: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    writers: tuple[str, ...]
    seed: int | None = None

    @classmethod
    def of(cls, manifest: SplitManifest, experiment: Experiment | None) -> "SeenPages":
        """What a fit on a split has seen; without the experiment where that is not known."""
        corpus = experiment.corpus if experiment is not None else None
        seed = corpus.seed if isinstance(corpus, HandsSettings) else None
        return cls(manifest.corpus, manifest.train, manifest.validation, manifest.writer_ids, seed)


@dataclass(frozen=True)
class Lineage:
    """Where weights are from.

    Attributes:
        origin: the network whose weights they are.
        point: its hyperparameters, as far as they are known.
        seen: what it was trained on, and the networks that it began with.
    """

    origin: Origin
    point: Mapping[str, Value]
    seen: tuple[SeenPages, ...]

    def as_json(self) -> bytes:
        """For a file."""
        return _LINEAGE.dump_json(self, indent=1)

    @classmethod
    def read(cls, path: Path) -> "Lineage":
        """Read such a file.

        Raises:
            RegistryError: if it is damaged.
        """
        try:
            return _LINEAGE.validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RegistryError(
                f"{path} must say what a network was trained on, but cannot be read: {error}"
            ) from error


_LINEAGE: TypeAdapter[Lineage] = TypeAdapter(Lineage)


@dataclass(frozen=True)
class StartSource:
    """A trained network that fits are to begin with.

    Attributes:
        network: its `.keras` file.
        name: exactly which: a version and no alias.
        run_id: of the run in MLflow that trained it; empty if there is none.
        point: its hyperparameters, as far as they are known.
        seen: what it was trained on, and the networks that it began with.
    """

    network: Path
    name: str
    run_id: str
    point: Mapping[str, Value]
    seen: tuple[SeenPages, ...]


def find_source(reference: str, workspace: Workspace, store: TrackingStore) -> StartSource:
    """The network that `training.start_from` names, unless it is one of generated handwriting.

    Args:
        reference: `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `sweep:NAME/TRIAL`.
        workspace: where sweeps are.
        store: where the registry is.

    Raises:
        RegistryError: if there is no such model, or the trial has none.
        LedgerError: if there is no such sweep.
    """
    found = START_FROM.fullmatch(reference)
    if found is not None and found["sweep"] is not None:
        return _of_trial(read_sweep(found["sweep"], workspace), int(found["trial"]), workspace)
    return _of_version(reference, workspace, store)


def refuse_seen(source: StartSource, experiment: Experiment, corpus: PreparedCorpus) -> None:
    """Refuse a network that knows pages on which a split judges.

    Args:
        source: whose pages count.
        experiment: of the fits that are to begin with it.
        corpus: with their split.

    Raises:
        SplitError: names the subset, how many of its images were seen, and some of them.
    """
    manifest = corpus.manifest
    settings = experiment.corpus
    seed = settings.seed if isinstance(settings, HandsSettings) else None
    judged: tuple[Subset, ...] = ("test",) if manifest.leaky is not None else ("validation", "test")
    for seen in source.seen:
        if seen.corpus != manifest.corpus or (None not in (seen.seed, seed) and seen.seed != seed):
            continue
        for subset in judged:
            _refuse_pages(source.name, seen, manifest, subset)
            if manifest.has_unseen_writers:
                _refuse_writers(source.name, seen, corpus, subset)


def _refuse_pages(name: str, seen: SeenPages, manifest: SplitManifest, subset: Subset) -> None:
    # By the source's validation pages it was chosen: too much for a test, and no harm to a search.
    known = (*seen.train, *seen.validation) if subset == "test" else seen.train
    shared = shared_images(manifest.image_ids(subset), known)
    if shared:
        raise SplitError(
            f"{name} was trained or chosen on {len(shared)} of the {counted(len(manifest.image_ids(subset)), 'image')} "
            f"of this split's {subset} subset, such as {', '.join(shared[:3])}: scores of a fit that begins with it "
            "would say nothing about new pages. Begin with a network of another corpus, or of the same split."
        )


def _refuse_writers(name: str, seen: SeenPages, corpus: PreparedCorpus, subset: Subset) -> None:
    ids = set(corpus.manifest.image_ids(subset))
    shared = sorted({image.writer_id for image in corpus.index.images if image.image_id in ids} & set(seen.writers))
    if shared:
        raise SplitError(
            f"{name} was trained on {counted(len(shared), 'writer')} of this split's {subset} subset, such as "
            f"{', '.join(shared[:3])}, and the split is by writer: scores of a fit that begins with it would say "
            "nothing about new hands. Begin with a network of another corpus, or of the same split."
        )


def shared_images(images: Sequence[str], known: Sequence[str]) -> list[str]:
    """The images that are among the known ones, or a part of one, or have one as a part, as a line
    `a01-000u-00` is one of the page `a01-000u`.

    >>> shared_images(["a01-000u-00", "b02", "c03"], ["a01-000u", "c03-01", "d"])
    ['a01-000u-00', 'c03']
    """
    whole, wholes_of_parts = set(known), {whole for image in known for whole in _wholes(image)}
    return [
        image
        for image in images
        if image in whole or image in wholes_of_parts or any(each in whole for each in _wholes(image))
    ]


def _wholes(image: str) -> list[str]:
    parts = image.split("-")
    return ["-".join(parts[:n]) for n in range(1, len(parts))]


def _of_trial(sweep: KnownSweep, number: int, workspace: Workspace) -> StartSource:
    name = f"sweep:{sweep.created.name}/{number}"
    trial = sweep.state.trials.get(number)
    if trial is None or trial.state is not TrialState.COMPLETED:
        completed = [each.number for each in sweep.state.trials.values() if each.state is TrialState.COMPLETED]
        there = f"completed are {', '.join(map(str, completed))}" if completed else "none is completed"
        raise RegistryError(f"A fit can begin with a completed trial, but {name} is none; of its trials {there}.")
    store = open_store(sweep.experiment.tracking, workspace.root)
    folder = find_trial_model(sweep, trial, store)
    if folder is None:
        raise RegistryError(
            f"A fit begins with a model, but that of {name} was not kept (tracking.keep_models). Take another one, or "
            "promote this one and name the registered model."
        )
    run = find_run(store, sweep.created.name, sweep.created.sweep_id, number)
    seen = SeenPages.of(SplitManifest.load(sweep.folder / SPLIT_FILE), sweep.experiment)
    ancestors = _ancestors(sweep.folder / START_FOLDER / LINEAGE_FILE)
    run_id = str(run.info.run_id) if run is not None else ""
    return StartSource(network_file(folder), name, run_id, dict(trial.hyperparameters), (seen, *ancestors))


def _of_version(reference: str, workspace: Workspace, store: TrackingStore) -> StartSource:
    model = find_model(store, reference)
    packed, version = model.folder / PACKED_FOLDER, model.version
    network = packed / network_file(model.folder).name
    if version is None or not network.is_file() or not (packed / SPLIT_FILE).is_file():
        raise RegistryError(
            f"A fit can begin with a model that whosehand has promoted, but {reference} has no {PACKED_FOLDER}/"
            f"{network.name} and {PACKED_FOLDER}/{SPLIT_FILE} in {model.folder}."
        )
    seen = SeenPages.of(SplitManifest.load(packed / SPLIT_FILE), _experiment_of(version, workspace))
    ancestors = _ancestors(packed / LINEAGE_FILE)
    return StartSource(network, version.uri, version.run_id, _point_of(version, store), (seen, *ancestors))


def _ancestors(path: Path) -> tuple[SeenPages, ...]:
    return Lineage.read(path).seen if path.is_file() else ()


def _experiment_of(version: RegisteredVersion, workspace: Workspace) -> Experiment | None:
    """Of the sweep that a version is from, if it is in this project."""
    try:
        sweep = read_sweep(version.tags.get("sweep", ""), workspace)
    except LedgerError:
        return None
    return sweep.experiment if sweep.created.sweep_id == version.tags.get("sweep_id") else None


def _point_of(version: RegisteredVersion, store: TrackingStore) -> dict[str, Value]:
    """The hyperparameters that a version's run tells; MLflow has them as text."""
    if not version.run_id:
        return {}
    with tracking_errors(f"look up the run of {version.uri}", store):
        told = store.client().get_run(version.run_id).data.params
    kinds = {field.name: field.type for field in fields(Hyperparameters)}
    return {name: _value(told[name], kind) for name, kind in kinds.items() if name in told}


def _value(text: str, kind: object) -> Value:
    if kind is bool:
        return text == "True"
    if kind is int:
        return int(text)
    return float(text) if kind is float else text
