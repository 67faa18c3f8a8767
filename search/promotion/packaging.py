"""A refitted network becomes the model that people use: calibrated on validation pages, or on those
that cross-fits held out, with its code and record.

The objective runs in a worker process; the driver gets a reference to the folder.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelError
from core.identification.calibration import (
    Calibration,
    CalibrationUnit,
    apply_temperature,
    calibrate,
    has_pages_of_images,
    item_means,
    items_of,
)
from core.identification.gallery import GALLERY_FILE, Gallery, choose_gallery
from core.identification.model_record import OWN_CODE_FOLDER, ModelRecord
from core.identification.prediction import Prediction, rank_writers
from core.lines.reading import ProgressCallback
from core.lines.store import LineStore
from core.networks.inference import Embedder, Predictor, in_batches
from core.patches.plan import PatchPlan, evaluation_plan, read_patches
from core.retrieval.described_corpus import describe_corpus, image_ids_of
from core.retrieval.known_hands import HANDS_FILE, Hands, PagesByInk
from core.scoring.mean_scores import mean_log_probabilities
from core.splits.manifest import SplitManifest
from core.training.fit import configure_tensorflow
from search.executors.base import task_progress
from search.identification.identifier_folder import SPLIT, save_identifier
from search.identification.served_model import GALLERY, HANDS
from search.ledger.files import reference_file
from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec, TrialState
from search.objectives.saved_model import load_model, network_file
from search.objectives.starts import GivenStart
from search.objectives.tasks import PatchTask
from search.promotion.hand_scores import HAND_SCORES_FILE, TIPPETT_FILE, HandScores, score_hands
from search.promotion.known_hands import describe_fold, gather_hands
from search.promotion.refit import REFERENCE_FILE, PackagingTask, write_references

PRELOAD = ("tensorflow", "keras", "mlflow.pyfunc", "mlflow.tensorflow", "pandas")
_BATCH_SIZE = 256
_CANDIDATES = 64  # patches of each writer, from which the gallery is chosen


def package_identifier(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Calibrate a network and save it as a model that others can use; `spec.settings` is a
    `PackagingTask`.

    Raises:
        WhosehandError: if the network cannot be loaded, or the line store is damaged.
    """
    job: PackagingTask = spec.settings
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    store, manifest = LineStore.open(job.task.line_store), SplitManifest.load(job.task.split)
    folds = tuple(SplitManifest.load(fit.split) for fit in job.cross_fits)
    unseen = [image_id for each in folds or (manifest,) for image_id in each.validation]
    units: list[CalibrationUnit] = []  # nothing is known of its own writers' new pages: all of theirs were trained on
    if not manifest.has_unseen_writers:
        units = ["image", "page"] if has_pages_of_images(store, unseen) else ["image"]
    n_unknown = len(image_ids_of(LineStore.open(job.unknown_writers))) if job.unknown_writers else 0
    n_asked = len(units) * (len(unseen) + n_unknown) + len(job.references)
    progress = _ImagesAsked(n_asked, task_progress(report_epoch))
    asked = _Asked(Predictor(load_model(job.model)), store, manifest, job.task, progress)
    held_out = tuple(
        replace(asked, predictor=Predictor(load_model(fit.model)), manifest=fold)
        for fit, fold in zip(job.cross_fits, folds, strict=True)
    )
    calibrated = [_calibrate(asked, held_out, unit, job) for unit in units]
    calibrations = tuple(calibration for calibration, _ in calibrated)
    record = replace(ModelRecord.load(job.model), calibrations=calibrations, unit=job.unit)
    further = {SPLIT: job.task.split}
    tested = None
    with suppress(ModelError):  # a network of the user's own without an embedding: no examples, and no enrolment
        embedder = Embedder(asked.predictor.model)
        further[GALLERY], further[HANDS] = spec.work_dir / GALLERY_FILE, spec.work_dir / HANDS_FILE
        _gallery(asked, embedder).save(further[GALLERY])
        hands = _hands(asked, held_out, record, embedder, job)
        hands.save(further[HANDS])
        tested = _test_hands(hands, record, embedder, job, spec.work_dir)
    if isinstance(job.task.start, GivenStart):
        further["lineage"] = job.task.start.lineage
    if record.own_module:
        further["own_code"] = job.model / OWN_CODE_FOLDER
    folder = save_identifier(network_file(job.model), record, spec.work_dir / "identifier", further)
    reference_path = spec.work_dir / REFERENCE_FILE
    write_references(_references(asked, record, job.references), reference_path)
    metrics = {name: value for _, told in calibrated for name, value in told.items()}
    kept = [reference_path, *(spec.work_dir / name for name in (HAND_SCORES_FILE, TIPPETT_FILE) if tested)]
    return TrialResult(
        TrialState.COMPLETED,
        metrics=metrics | (tested.metrics if tested else {}),
        artifacts={path.name: reference_file(path) for path in kept},
        model=reference_file(folder),
    )


@dataclass
class _ImagesAsked:
    """How far the questions to the network are.

    Attributes:
        n_in_all: images, counted once for each time that they are asked about.
        on_progress: called with (images done, in all).
        n_done: of the questions that were answered.
    """

    n_in_all: int
    on_progress: ProgressCallback
    n_done: int = 0

    def of_question(self, n_images: int, batches: Iterable[NDArray[np.uint8]], n_batches: int) -> Iterator[Any]:
        """Give the batches of a question about images, and say after each how far it is."""
        for number, batch in enumerate(batches):
            self.on_progress(self.n_done + n_images * number // n_batches, self.n_in_all)
            yield batch
        self.n_done += n_images


@dataclass(frozen=True)
class _Asked:
    """A network and the images that it can be asked about."""

    predictor: Predictor
    store: LineStore
    manifest: SplitManifest
    task: PatchTask
    progress: _ImagesAsked

    def about(self, image_ids: Sequence[str], unit: CalibrationUnit) -> tuple[PatchPlan, NDArray[np.float32]]:
        """The patches of images, as many of each image or page as when a writer is identified, and
        the answers.
        """
        settings = self.task.patches
        plan = evaluation_plan(self.store, image_ids, None, settings, settings.per_image_at_test, by=unit)
        starts = range(0, len(plan), _BATCH_SIZE)
        batches = (read_patches(self.store, plan[start : start + _BATCH_SIZE])[..., np.newaxis] for start in starts)
        told = self.progress.of_question(len(image_ids), batches, len(starts))
        return plan, self.predictor.log_probabilities(told)

    def labels(self, plan: PatchPlan) -> NDArray[np.int64]:
        label_of = {writer_id: label for label, writer_id in enumerate(self.manifest.writer_ids)}
        return np.array([label_of[self.store.lines[line].writer_id] for line in plan.lines.tolist()], dtype=np.int64)


@dataclass(frozen=True)
class _PooledAnswers:
    """What networks say of images that none of them was trained on, each of its own ones.

    Attributes:
        log_probabilities: (n_patches, n_writers).
        labels: (n_patches,) right classes.
        items: the image or page of each patch.
    """

    log_probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    items: tuple[Hashable, ...]

    @classmethod
    def of(cls, networks: Sequence[_Asked], unit: CalibrationUnit) -> Self:
        """Ask each network about the validation images of its manifest."""
        asked = [(each, *each.about(each.manifest.validation, unit)) for each in networks]
        return cls(
            np.concatenate([answers for _, _, answers in asked]),
            np.concatenate([each.labels(plan) for each, plan, _ in asked]),
            tuple(item for each, plan, _ in asked for item in items_of(plan, each.store, unit)),
        )

    def scores(self, unit: CalibrationUnit) -> dict[str, float]:
        """Share of items that are identified correctly, and their log-loss in nats, not yet
        calibrated.
        """
        means, true = item_means(self.log_probabilities, self.labels, self.items)
        return {
            f"out_of_fold/{unit}_top1": float(np.mean(means.argmax(axis=1) == true)),
            f"out_of_fold/{unit}_logloss": float(-means[np.arange(len(true)), true].mean()),
        }


def _hands(
    asked: _Asked, held_out: Sequence[_Asked], record: ModelRecord, embedder: Embedder, job: PackagingTask
) -> Hands:
    """What enrolled writers, and unknown ones, are told by."""
    set_aside = LineStore.open(job.unknown_writers) if job.unknown_writers else None
    rates = job.false_accept_rate, job.max_false_reject_rate
    settings, names = asked.task.patches, record.writer_ids
    hands = gather_hands(asked.store, asked.manifest, names, set_aside, settings, embedder, *rates)
    folds = [
        describe_fold(fold.store, fold.manifest, names, settings, Embedder(fold.predictor.model)) for fold in held_out
    ]
    return replace(hands, cross_fitted=tuple(folds))


def _test_hands(
    hands: Hands, record: ModelRecord, embedder: Embedder, job: PackagingTask, folder: Path
) -> HandScores | None:
    """What comparing hands is worth, on writers on whom nothing was set."""
    if job.tested_writers is None:
        return None
    store = LineStore.open(job.tested_writers)
    pages = describe_corpus(store, image_ids_of(store), record.patches, embedder)
    return score_hands(hands, record, PagesByInk.of(pages, hands.centres.shape[1]), folder)


def _gallery(asked: _Asked, embedder: Embedder) -> Gallery:
    """Training patches that show each writer's hand; candidates are spaced evenly over the writer's
    pages.
    """
    store, settings = asked.store, asked.task.patches
    plan = evaluation_plan(store, asked.manifest.train, asked.manifest.writer_ids, settings, _CANDIDATES, by="page")
    own = [np.flatnonzero(plan.labels == label) for label in range(len(asked.manifest.writer_ids))]
    spread = [numbers[np.linspace(0, len(numbers) - 1, min(_CANDIDATES, len(numbers))).astype(int)] for numbers in own]
    chosen = plan[np.concatenate(spread)]
    pixels = read_patches(store, chosen)
    embeddings = embedder.embed(in_batches(pixels))
    image_ids = [store.lines[line].image_id for line in chosen.lines.tolist()]
    return choose_gallery(pixels, chosen.labels.astype(np.int64), embeddings, image_ids)


def _calibrate(
    asked: _Asked, held_out: Sequence[_Asked], unit: CalibrationUnit, job: PackagingTask
) -> tuple[Calibration, dict[str, float]]:
    """The calibration and its metrics, by what networks say of pages that they have not seen.

    Unknown writers are always asked about of the model itself: it has not seen them either.
    """
    unseen = _PooledAnswers.of(held_out or (asked,), unit)
    unknown_writers = _unknown_writers(asked, unit, job.unknown_writers) if job.unknown_writers else None
    known = unseen.log_probabilities, unseen.labels, unseen.items
    found = calibrate(*known, unit, job.false_accept_rate, unknown_writers, job.max_false_reject_rate)
    return found, _metrics(found) | (unseen.scores(unit) if held_out else {})


def _unknown_writers(asked: _Asked, unit: CalibrationUnit, line_store: Path) -> NDArray[np.float64]:
    """Mean log-probabilities of images or pages by writers who took no part."""
    others = replace(asked, store=LineStore.open(line_store))
    plan, answers = others.about(image_ids_of(others.store), unit)
    return mean_log_probabilities(answers, items_of(plan, others.store, unit))[1]


def _references(asked: _Asked, record: ModelRecord, image_ids: Sequence[str]) -> dict[str, Prediction]:
    """What the network says of some validation images, calibrated as the packed model will."""
    n_lines = Counter(line.image_id for line in asked.store.lines)
    wanted = [image_id for image_id in image_ids if n_lines[image_id]]
    if not wanted:
        return {}
    plan, answers = asked.about(wanted, "image")
    items = items_of(plan, asked.store, "image")
    n_patches = Counter(items)
    references = {}
    for item, row in zip(*mean_log_probabilities(answers, items), strict=True):
        name = str(item)
        calibration = record.calibration(n_lines[name])
        probabilities = np.exp(apply_temperature(row, calibration.temperature if calibration else 1.0))
        ranking = rank_writers(probabilities, record.writer_ids)
        references[name] = Prediction(name, ranking, None, None, n_lines[name], n_patches[item])
    return references


def _metrics(calibration: Calibration) -> dict[str, float]:
    return {
        f"calibration/{calibration.unit}_temperature": calibration.temperature,
        f"calibration/{calibration.unit}_false_accept_rate": calibration.unknown_writers.false_accept_rate,
        f"calibration/{calibration.unit}_false_reject_rate": calibration.unknown_writers.false_reject_rate,
    }
