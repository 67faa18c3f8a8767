"""A sweep's trial becomes the model that people use: fitted again over more epochs, calibrated and
packed.

The refit has a record of its own beside the sweep's trials, survives kills and goes on where it
was. It is packed once.
"""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from core.corpora.index import TextImage, Unit
from core.errors import RegistryError
from core.identification.prediction import Prediction, RankedWriter
from core.lines.reading import ProgressCallback
from core.lines.store import build_line_store
from core.training.plan import choose_precision
from search.executors.base import run_task
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.events import SweepCreated
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialResult, TrialSpec, TrialState
from search.objectives.tasks import OwnTask, PatchTask
from search.promotion.committee import join_refits
from search.promotion.fit_parts import WHOLE_REFIT, CrossFit, FitPart
from search.promotion.kept_model import keep_model, kept_model
from search.promotion.length import RefitLength
from search.sweep.given_points import GivenPoints, fit_given_points
from search.sweep.preparation import PreparedCorpus, index_corpus
from search.sweep.progress import Progress
from search.sweep.workers import local_executor
from search.tracking.tracker import MlflowTracker

PACKAGE_IDENTIFIER = "search.promotion.packaging:package_identifier"
REFERENCE_FILE = "reference.json"
PACKED_FILE = "identifier.json"
"""In a refit's folder once it has become a model that people use."""
FEWEST_IMAGES = 20
"""Below this many images no rate of 5 % can be told."""
_MOST_IMAGES = 400
_N_REFERENCES = 8
_FOLDER = "packaging"
_REFERENCES: TypeAdapter[dict[str, Prediction]] = TypeAdapter(dict[str, Prediction])


@dataclass(frozen=True)
class Refit:
    """A completed refit.

    Attributes:
        folder: its ledger and files.
        trial: number of the sweep's trial.
        network: folder of its saved network.
        duration_s: of all its epochs.
        metrics: of the last epoch, on validation pages.
        curves: the objective's metric after each epoch, of each member; empty where no page
            validates.
        n_epochs: that were trained.
        cross_fits: those that stand in for validation pages; empty where there are some.
    """

    folder: Path
    trial: int
    network: Path
    duration_s: float
    metrics: Mapping[str, float]
    curves: tuple[tuple[float, ...], ...] = ()
    n_epochs: int = 0
    cross_fits: tuple[CrossFit, ...] = ()


@dataclass(frozen=True)
class PackagedModel:
    """The model that people use, before it is registered.

    Attributes:
        folder: an MLflow pyfunc.
        size_bytes: of all its files.
        metrics: `calibration/...`.
        references: by image id, what the network said of validation images before it was packed.
        files: further files by name, such as the scores of its comparisons of hands.
    """

    folder: Path
    size_bytes: int
    metrics: dict[str, float]
    references: Mapping[str, Prediction]
    files: Mapping[str, Path]


@dataclass(frozen=True)
class PackagingTask:
    """A refitted network that becomes the model that people use.

    Attributes:
        model: the network's folder.
        task: of the trial that trained it.
        references: ids of validation images, whose answers are kept to be compared with those of
            the finished model.
        unit: what all images of the corpus are; `auto` where they differ.
        unknown_writers: line store of images by writers who took no part; `None` where there are
            too few: then unknown writers are made of the validation images.
        false_accept_rate: share of unknown writers' images that may be taken for a known writer's.
        max_false_reject_rate: share of validation images whose known writers may be called unknown.
        tested_writers: line store of images by yet other writers who took no part, on whom nothing
            is set; `None` where there are too few.
        cross_fits: networks to be asked about the pages that they did not train on, where the model
            itself was trained on all of them.
    """

    model: Path
    task: PatchTask
    references: tuple[str, ...]
    unit: Unit
    unknown_writers: Path | None
    false_accept_rate: float
    max_false_reject_rate: float
    tested_writers: Path | None = None
    cross_fits: tuple[CrossFit, ...] = ()


def run_refit(
    experiment: Experiment,
    workspace: Workspace,
    sweep: SweepCreated,
    trial: TrialRecord,
    length: RefitLength,
    task: PatchTask | OwnTask,
    tracker: MlflowTracker,
    progress: Progress,
    part: FitPart = WHOLE_REFIT,
) -> Refit:
    """Fit the trial's point for so long, or return the fit that is already there.

    Args:
        experiment: of the sweep.
        workspace: where.
        sweep: the sweep's creation, from its ledger.
        trial: whose hyperparameters to take.
        length: the learning-rate schedule runs over all of it.
        task: corpus and settings.
        tracker: records beside the trial.
        progress: shows the fit.
        part: which of its fits, where it is made of several.

    Raises:
        RegistryError: if the refit fails or is interrupted.
    """
    further: dict[str, object] = {"members": length.members} if length.members > 1 else {}
    further |= {"part": part.name} if part.name else {}
    title = part.title
    given = GivenPoints(
        refit_folder(workspace, experiment, trial.number, length.epochs, length.members, part.name),
        name=f"{experiment.name} refit of trial {trial.number}",
        config={"sweep_id": sweep.sweep_id, "trial": trial.number, "epochs": length.epochs, **further},
        points=[trial.proposed.hyperparameters] * length.members,
        epochs=length.epochs,
        title=title,
        announcement=f"{title} of trial {trial.number}, trial 0 of a record of its own: {part.in_words(length)}.",
        metric=part.metric,
    )
    fitted = fit_given_points(given, experiment, workspace, task, progress, tracker)
    records = [fitted.state.trials[number] for number in sorted(fitted.state.trials)]
    if fitted.is_interrupted or len(records) < length.members:
        raise RegistryError(f"The refit of trial {trial.number} was interrupted; the same command resumes it.")
    networks = [_network_of(record, trial, fitted.reason, experiment) for record in records]
    duration_s = sum(record.duration_s for record in records)
    curves = tuple(_curve(record, experiment) for record in records) if part.metric is None else ()
    alone = Refit(given.folder, trial.number, networks[0], duration_s, records[0].metrics, curves, records[0].n_epochs)
    if length.members == 1 or not isinstance(task, PatchTask):
        return alone
    progress.say(f"joining {length.members} members to one model ...")
    model, metrics = join_refits(networks, given.folder, task, experiment)
    return replace(alone, network=model.path, metrics=metrics)


def refit_folder(
    workspace: Workspace, experiment: Experiment, trial: int, epochs: int, members: int = 1, part: str = ""
) -> Path:
    """Where the refit of a trial over so many epochs, and by so many members, or a part of it, is
    kept.
    """
    several = (f"-{members}-members" if members > 1 else "") + (f"-{part}" if part else "")
    return workspace.sweep(experiment.name) / "refits" / f"trial-{trial:03d}-{epochs}-epochs{several}"


def _curve(record: TrialRecord, experiment: Experiment) -> tuple[float, ...]:
    scores = (event.report.metrics.get(experiment.objective.metric, math.nan) for event in record.reports)
    return tuple(map(float, scores))


def _network_of(record: TrialRecord, trial: TrialRecord, reason: str, experiment: Experiment) -> Path:
    if record.result is None or record.state is not TrialState.COMPLETED:
        reason = record.result.reason if record.result else reason
        raise RegistryError(f"The refit of trial {trial.number} must complete, but it {record.state}: {reason}")
    if record.result.model is None:
        raise RegistryError(f"The refit must save its model, but {experiment.objective.run} saved none.")
    return record.result.model.path


def package_refit(
    refit: Refit,
    experiment: Experiment,
    workspace: Workspace,
    corpus: PreparedCorpus,
    task: PatchTask,
    on_progress: ProgressCallback | None = None,
) -> PackagedModel:
    """Calibrate the refit on pages that training has not seen and make it a model that others can
    use, or take the one that is there.

    Args:
        refit: completed.
        experiment: of the sweep.
        workspace: where line stores are kept.
        corpus: whose validation images it is calibrated on.
        task: of the refit.
        on_progress: called with (images asked about, in all).

    Raises:
        RegistryError: if it fails.
    """
    kept = refit.folder / PACKED_FILE
    result = kept_model(kept)
    if result is None:
        halves = images_of_unknown_writers(experiment, workspace, corpus)
        stores = [_lines_of(images, experiment, workspace, corpus) for images in halves]
        result = _package(refit, experiment, corpus, task, (stores[0], stores[1]), on_progress)
        keep_model(result, kept)
    if result.model is None:
        raise RegistryError(f"Packaging must leave a model, but {refit.folder / _FOLDER} has none.")
    references = read_references(result.artifacts[REFERENCE_FILE].path)
    files = {name: file.path for name, file in result.artifacts.items() if name != REFERENCE_FILE}
    return PackagedModel(result.model.path, result.model.size_bytes, dict(result.metrics), references, files)


def images_of_unknown_writers(
    experiment: Experiment, workspace: Workspace, corpus: PreparedCorpus
) -> tuple[tuple[TextImage, ...], tuple[TextImage, ...]]:
    """Images by writers whom the experiment excluded, or who had too few pages for the split.

    Args:
        experiment: names the corpus.
        workspace: where it may be generated.
        corpus: as the experiment prepared it.

    Returns:
        Those that the threshold is set on, and those that only report its rates, by other writers;
        at most 400 of each, evenly chosen. Where there are too few for both, all are for the
        threshold, and none where there are fewer than twenty, or the split is by writer.
    """
    if corpus.manifest.has_unseen_writers:  # those of its test stay sealed
        return (), ()
    known = set(corpus.manifest.writer_ids)
    unknown = [image for image in index_corpus(experiment, workspace).images if image.writer_id not in known]
    of_test = set(sorted({image.writer_id for image in unknown})[1::2])
    halves = [[i for i in unknown if (i.writer_id in of_test) is is_test] for is_test in (False, True)]
    if min(map(len, halves)) < FEWEST_IMAGES:
        halves = [unknown if len(unknown) >= FEWEST_IMAGES else [], []]
    for_threshold, for_test = (tuple(half[:: max(1, -(-len(half) // _MOST_IMAGES))]) for half in halves)
    return for_threshold, for_test


def write_references(references: Mapping[str, Prediction], path: Path) -> None:
    """Write what a network says of validation images, by image id, to be compared with the packed
    model's answers.
    """
    path.write_bytes(_REFERENCES.dump_json(dict(references), indent=1))


def read_references(path: Path) -> dict[str, Prediction]:
    """Read what `write_references` wrote, or version 0.1."""
    content = TypeAdapter(Any).validate_json(path.read_bytes())
    if isinstance(content, dict):
        return _REFERENCES.validate_python(content)
    probabilities = {item["image"]["image_id"]: item["probabilities"] for item in content}
    return {name: Prediction(name, ranked(of_writer), None, None, 1, 1) for name, of_writer in probabilities.items()}


def ranked(probabilities: Mapping[str, float]) -> tuple[RankedWriter, ...]:
    """Writers in the order of their probabilities, which version 0.1 wrote down by writer id."""
    return tuple(RankedWriter(*item) for item in sorted(probabilities.items(), key=lambda item: -item[1]))


def _package(
    refit: Refit,
    experiment: Experiment,
    corpus: PreparedCorpus,
    task: PatchTask,
    unknown_writers: tuple[Path | None, Path | None],
    on_progress: ProgressCallback | None,
) -> TrialResult:
    work_dir = refit.folder / _FOLDER
    shutil.rmtree(work_dir, ignore_errors=True)
    promotion = experiment.promotion
    settings = PackagingTask(
        model=refit.network,
        task=task,
        references=_references(corpus),
        unit=_unit(corpus),
        unknown_writers=unknown_writers[0],
        tested_writers=unknown_writers[1],
        false_accept_rate=promotion.false_accept_rate,
        max_false_reject_rate=promotion.gate.max_false_reject_rate,
        cross_fits=refit.cross_fits,
    )
    executor = local_executor(experiment, PACKAGE_IDENTIFIER, n_workers=1)
    spec = TrialSpec.of_task(
        PACKAGE_IDENTIFIER,
        settings,
        work_dir,
        precision=choose_precision(experiment.training.precision),
        seed=experiment.seed,
        threads=executor.threads,
    )
    result = run_task(executor, spec, on_progress)
    if result.state is not TrialState.COMPLETED:
        raise RegistryError(f"The model must be calibrated and packed, but that failed: {result.reason}")
    return result


def _lines_of(
    images: tuple[TextImage, ...], experiment: Experiment, workspace: Workspace, corpus: PreparedCorpus
) -> Path | None:
    """The line store of images by unknown writers; `None` if fewer than twenty can be used."""
    if not images:
        return None
    store = build_line_store(replace(corpus.index, images=images), experiment.ink, workspace.line_stores)
    return store.folder if len({line.image_id for line in store.lines}) >= FEWEST_IMAGES else None


def _references(corpus: PreparedCorpus) -> tuple[str, ...]:
    """Some validation images, evenly chosen."""
    validation = set(corpus.manifest.validation)
    images = [image.image_id for image in corpus.index.images if image.image_id in validation]
    return tuple(images[:: max(1, len(images) // _N_REFERENCES)][:_N_REFERENCES])


def _unit(corpus: PreparedCorpus) -> Unit:
    units = {image.unit for image in corpus.index.images}
    return units.pop() if len(units) == 1 else "auto"
