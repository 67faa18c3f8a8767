"""A model's answers for images whose writers are known: scores, rates of unknown writers, two
models beside each other.

Everything here is counted from predictions; nothing is asked or opened.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.corpora.index import TextImage
from core.identification.model_record import ModelRecord
from core.identification.prediction import Prediction, combine
from core.scoring.diagnostics import excess_calibration_error
from core.scoring.intervals import PairedTest, compare_paired

_SMALLEST = 1e-12
Page = tuple[str, str]
"""A writer and their page, or image where there are no pages: hands on a shared page count
apart.
"""


@dataclass(frozen=True)
class TestedImages:
    """A model's predictions for images whose writers are known.

    Attributes:
        images: that it could use, in the order asked.
        predictions: by image id.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    images: tuple[TextImage, ...]
    predictions: Mapping[str, Prediction]

    def log_loss(self, image: TextImage) -> float:
        """Of the true writer, in nats; a writer that the model does not know counts as nearly
        impossible.
        """
        return -math.log(max(self.predictions[image.image_id].probability_of(image.writer_id), _SMALLEST))

    def pages(self) -> dict[Page, bool]:
        """Whether each page is identified correctly: by the mean over its images, weighted by their
        patches.
        """
        pages: dict[Page, list[Prediction]] = {}
        for image in self.images:
            pages.setdefault(page_of(image), []).append(self.predictions[image.image_id])
        return {page: combine(own)[0].writer_id == page[0] for page, own in pages.items()}


@dataclass(frozen=True)
class UnknownWriterRates:
    """What a model's threshold for unknown writers does on images that it was not set on.

    Attributes:
        is_used: whether the model may answer that nobody known wrote an image.
        false_reject_rate: share of the test images whose known writers are called unknown, or would
            be.
        n_known: test images.
        false_accept_rate: share of the images by unknown writers that are taken for a known
            writer's, or would be.
        n_unknown: images by unknown writers.
        are_real: whether these are by writers who took no part, and whose other images did not set
            the threshold either; else they are the test images, each asked without its own writer.
    """

    is_used: bool
    false_reject_rate: float
    n_known: int
    false_accept_rate: float
    n_unknown: int
    are_real: bool

    @property
    def metrics(self) -> dict[str, float]:
        """What MLflow is told of it."""
        return {"test/false_reject_rate": self.false_reject_rate, "test/false_accept_rate": self.false_accept_rate}


@dataclass(frozen=True)
class ProductScores:
    """What the registered model did on the test pages, asked image by image.

    Attributes:
        unit: `page`, or `image` where there are no pages.
        n_units: of them.
        top1: share of units that were identified correctly.
        true_writers: of each unit.
        log_loss: calibrated, mean over images.
        calibration_error: of images, beyond chance; see `core.scoring.diagnostics`.
        calibration_p: share of perfectly calibrated models with as large an error.
        unknown_writers: how often the model takes known writers for unknown ones, and the other way
            round; `None` for a model without calibration.
    """

    unit: str
    n_units: int
    top1: float
    true_writers: tuple[str, ...]
    log_loss: float
    calibration_error: float
    calibration_p: float
    unknown_writers: UnknownWriterRates | None

    @property
    def metrics(self) -> dict[str, float]:
        """What MLflow is told of it."""
        rates = self.unknown_writers
        of_unknown_writers = {} if rates is None else rates.metrics
        return {
            f"test/served_{self.unit}_top1": self.top1,
            "test/served_image_logloss": self.log_loss,
            "test/calibration_error": self.calibration_error,
            **of_unknown_writers,
        }


def score_product(
    tested: TestedImages,
    unit: str,
    record: ModelRecord | None = None,
    unknown_writers: Sequence[Prediction] = (),
) -> ProductScores:
    """Score a model's predictions for test images.

    Args:
        tested: at least one image.
        unit: of the split.
        record: of the model.
        unknown_writers: what it says of images by writers who took no part.
    """
    predictions = [tested.predictions[image.image_id] for image in tested.images]
    is_right = np.array([p.writer_id == image.writer_id for p, image in zip(predictions, tested.images, strict=True)])
    error, chance = excess_calibration_error(np.array([p.probability for p in predictions]), is_right)
    decisions = tested.pages()
    return ProductScores(
        unit=unit,
        n_units=len(decisions),
        top1=float(np.mean(list(decisions.values()))),
        true_writers=tuple(writer_id for writer_id, _ in decisions),
        log_loss=float(np.mean([tested.log_loss(image) for image in tested.images])),
        calibration_error=error,
        calibration_p=chance,
        unknown_writers=_unknown_writer_rates(tested, record, unknown_writers) if record else None,
    )


def compare_models(candidate: TestedImages, champion: TestedImages) -> PairedTest:
    """Compare two models on the images that both could use.

    Raises:
        ValueError: if there is no such image.
    """
    images = tuple(image for image in candidate.images if image.image_id in champion.predictions)
    ours, theirs = TestedImages(images, candidate.predictions), TestedImages(images, champion.predictions)
    our_pages, their_pages = ours.pages(), theirs.pages()
    number = {page: k for k, page in enumerate(our_pages)}
    return compare_paired(
        [ours.log_loss(image) for image in images],
        [theirs.log_loss(image) for image in images],
        [number[page_of(image)] for image in images],
        list(our_pages.values()),
        [their_pages[page] for page in our_pages],
    )


def page_of(image: TextImage) -> Page:
    """The page that an image counts to."""
    return image.writer_id, image.group_id


def guess_rate(true_writers: Sequence[str]) -> float:
    """How often somebody is right who always names the most frequent writer.

    >>> guess_rate(["a", "b", "a", "c"])
    0.5
    """
    return max(Counter(true_writers).values()) / len(true_writers)


def _unknown_writer_rates(
    tested: TestedImages, record: ModelRecord, unknown_writers: Sequence[Prediction]
) -> UnknownWriterRates | None:
    if not record.calibrations:
        return None
    known, without_own = [], []
    for image in tested.images:
        prediction = tested.predictions[image.image_id]
        known.append((prediction.n_lines, prediction.probability))
        own = prediction.probability_of(image.writer_id)
        best_other = max((w.probability for w in prediction.ranking if w.writer_id != image.writer_id), default=0.0)
        without_own.append((prediction.n_lines, best_other / max(1 - own, _SMALLEST)))
    unknown = [(prediction.n_lines, prediction.probability) for prediction in unknown_writers] or without_own
    return UnknownWriterRates(
        is_used=any(calibration.unknown_writers.is_used for calibration in record.calibrations),
        false_reject_rate=float(np.mean([not _is_known(record, *asked) for asked in known])),
        n_known=len(known),
        false_accept_rate=float(np.mean([_is_known(record, *asked) for asked in unknown])),
        n_unknown=len(unknown),
        are_real=bool(unknown_writers),
    )


def _is_known(record: ModelRecord, n_lines: int, probability: float) -> bool:
    calibration = record.calibration(n_lines)
    return calibration is None or calibration.unknown_writers.is_known(probability)
