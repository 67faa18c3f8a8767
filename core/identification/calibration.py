"""Probabilities that mean what they say, and whether it is one of the known writers at all.

One temperature for a model's scores is fitted on validation pages. The mean log-probability of many
patches ranks writers well, but its exponential is too timid or too bold. Dividing by one number
keeps the ranking (Guo et al., "On calibration of modern neural networks", 2017).

A threshold on the best writer's probability rejects unknown writers (an open set). Validation pages
have none, so they must be made. Where the corpus has writers that took no part in training, those
are the unknown writers. Where it has none, each validation image is asked again with its own writer
struck from the answers, as if that writer had never been seen (`class_removed`). That is
optimistic: the network has learned from this hand's training pages to keep it apart, and real
unknown writers are harder to reject. The rate that is stated holds for unknown writers like these.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from core.lines.source import LineSource
from core.patches.plan import PatchPlan
from core.scoring.mean_scores import FloatArray, mean_log_probabilities, number_groups

CalibrationUnit = Literal["image", "page"]
UnknownWriterMethod = Literal["class_removed", "left_out_writers"]
_LOG_RANGE = (-4.0, 4.0)  # of the temperature's logarithm: 0.018 to 55
_MOST_KEPT = 1000


@dataclass(frozen=True)
class UnknownWriterTest:
    """Tells unknown writers from known ones by the probability of the best one.

    Attributes:
        method: who the unknown writers were.
        scores: the best writer's calibrated probability for each image by an unknown writer (evenly
            chosen among more than 1000), rising.
        n_unknown_writers: images.
        false_accept_rate: the share of such images by unknown writers for which a known writer is
            named, at most. Larger than was asked for where there are too few images to tell: n of
            them cannot hold less than 1 / (n + 1).
        false_reject_rate: the share of the known writers' validation images whose writer is called
            unknown.
        is_used: whether the model may answer that nobody known wrote an image. It may not where
            that would reject too many images by known writers.
    """

    method: UnknownWriterMethod
    scores: tuple[float, ...]
    n_unknown_writers: int
    false_accept_rate: float
    false_reject_rate: float
    is_used: bool = True

    def none_of_these(self, probability: float) -> float:
        """The share of unknown writers that look at least as much like a known one; 1 is surely
        unknown.

        In other words the false accept rate at which this image would just be taken for a known
        writer's (the conformal p-value of an unknown writer: Vovk et al. 2005).
        """
        n_as_good = len(self.scores) - int(np.searchsorted(self.scores, probability, side="left"))
        return (1 + n_as_good) / (1 + len(self.scores))

    def is_known(self, probability: float) -> bool:
        """Whether an image whose best writer has this probability is taken for a known writer's."""
        return self.none_of_these(probability) <= self.false_accept_rate + 1e-12


@dataclass(frozen=True)
class Calibration:
    """What makes scores of images, or of whole pages, into probabilities; fitted on validation
    pages alone.

    Attributes:
        unit: what it was fitted on: images as the corpus has them (often lines or words), or whole
            pages.
        temperature: that mean log-probabilities are divided by.
        n_items: images or pages it was fitted on.
        unknown_writers: tells writers that the model does not know.
    """

    unit: CalibrationUnit
    temperature: float
    n_items: int
    unknown_writers: UnknownWriterTest


def calibrate(
    log_probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    items: Sequence[Hashable],
    unit: CalibrationUnit,
    false_accept_rate: float,
    unknown_writers: FloatArray | None = None,
    max_false_reject_rate: float = 1.0,
) -> Calibration:
    """Fit the temperature, and set the threshold for unknown writers.

    Args:
        log_probabilities: (n_patches, n_writers) of validation patches.
        labels: (n_patches,) right classes.
        items: the image or page of each patch.
        unit: which of the two.
        false_accept_rate: share of unknown writers for whom a known one may be named.
        unknown_writers: (n_unknown_writers, n_writers), mean log-probabilities of images or pages
            by writers that took no part; `None` where there are none: then each item is asked again
            without its own writer.
        max_false_reject_rate: share of the known writers' items that may be called unknown; beyond
            it the threshold is kept, but not used.

    Raises:
        ValueError: if there is no item.
    """
    means, true = item_means(log_probabilities, labels, items)
    temperature = fit_temperature(means, true)
    method: UnknownWriterMethod = "left_out_writers"
    if unknown_writers is None:
        method = "class_removed"
        unknown_writers = mean_log_probabilities(remove_own_writer(log_probabilities, labels), items)[1]
    test = fit_unknown_writer_test(
        method,
        best_probabilities(unknown_writers, temperature),
        best_probabilities(means, temperature),
        false_accept_rate,
        max_false_reject_rate,
    )
    return Calibration(unit, temperature, len(means), test)


def fit_temperature(log_probabilities: FloatArray, true: NDArray[np.int64]) -> float:
    """Fit the temperature that gives the items the lowest cross-entropy.

    The targets are softened as Platt (1999) softens them: after n items the right writer is given
    (n + 1) / (n + 2), never 1. Otherwise a few pages that are all identified correctly would make
    the model certain.

    Args:
        log_probabilities: (n_items, n_writers), mean log-probabilities of images or pages,
            normalised.
        true: (n_items,) right classes.

    Raises:
        ValueError: if there is no item, or the lengths differ.

    >>> timid = np.log([[0.6, 0.4]] * 50 + [[0.4, 0.6]])
    >>> fit_temperature(timid, np.zeros(51, dtype=np.int64)) < 0.2
    True
    """
    n_items, n_writers = log_probabilities.shape
    if n_items == 0 or len(true) != n_items:
        raise ValueError(f"Every item needs a right class, but got {n_items} items and {len(true)} classes.")
    certain = (n_items + 1) / (n_items + 2)
    targets = np.full((n_items, n_writers), (1 - certain) / max(1, n_writers - 1))
    targets[np.arange(n_items), true] = certain

    def cross_entropy(log_temperature: float) -> float:
        return float(-(targets * apply_temperature(log_probabilities, np.exp(log_temperature))).sum(axis=1).mean())

    found = minimize_scalar(cross_entropy, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def apply_temperature(log_probabilities: FloatArray, temperature: float) -> FloatArray:
    """Divide by the temperature and normalise: above 1 less certain, below 1 more; (n_items,
    n_writers).
    """
    return np.asarray(log_softmax(log_probabilities / temperature, axis=-1), dtype=np.float64)


def fit_unknown_writer_test(
    method: UnknownWriterMethod,
    unknown_writers: FloatArray,
    known: FloatArray,
    false_accept_rate: float,
    max_false_reject_rate: float = 1.0,
) -> UnknownWriterTest:
    """Set the threshold.

    Args:
        method: who the unknown writers are.
        unknown_writers: (n,) the best writer's calibrated probability for each of their images, at
            least one.
        known: (m,) the same for validation images by known writers.
        false_accept_rate: wanted, between 0 and 1.
        max_false_reject_rate: beyond it the threshold is not used.

    Raises:
        ValueError: if there is no image of one of the two kinds.
    """
    if len(unknown_writers) == 0 or len(known) == 0:
        raise ValueError(
            f"Images of both kinds are needed, but got {len(unknown_writers)} by unknown writers and {len(known)} by "
            "known ones."
        )
    ordered = np.sort(unknown_writers)
    if len(ordered) > _MOST_KEPT:
        ordered = np.quantile(ordered, np.linspace(0, 1, _MOST_KEPT), method="higher")
    scores = tuple(float(score) for score in ordered)
    rate = max(false_accept_rate, 1 / (1 + len(scores)))
    test = UnknownWriterTest(method, scores, len(unknown_writers), rate, 0.0)
    rejected = sum(not test.is_known(float(score)) for score in known) / len(known)
    return replace(test, false_reject_rate=rejected, is_used=rejected <= max_false_reject_rate)


def item_means(
    log_probabilities: NDArray[np.floating], labels: NDArray[np.integer], items: Sequence[Hashable]
) -> tuple[FloatArray, NDArray[np.int64]]:
    """The mean log-probabilities of each item and its right class, in the order in which items
    first appear.
    """
    first = np.unique(number_groups(items)[1], return_index=True)[1]
    return mean_log_probabilities(log_probabilities, items)[1], np.asarray(labels)[first].astype(np.int64)


def best_probabilities(means: FloatArray, temperature: float) -> FloatArray:
    """The calibrated probability of the first writer of each item."""
    return np.exp(apply_temperature(means, temperature)).max(axis=1)


def items_of(plan: PatchPlan, store: LineSource, unit: CalibrationUnit) -> list[Hashable]:
    """The image or the page of each patch; hands on a shared page count apart."""
    lines = [store.lines[number] for number in plan.lines.tolist()]
    return [line.image_id if unit == "image" else (line.writer_id, line.group_id) for line in lines]


def has_pages_of_images(store: LineSource, image_ids: Sequence[str]) -> bool:
    """Whether any page is made of several images, so that a whole page is something else than an
    image.
    """
    wanted = set(image_ids)
    pages = {(line.image_id, line.writer_id, line.group_id) for line in store.lines if line.image_id in wanted}
    return len({page[1:] for page in pages}) < len(pages)


def remove_own_writer(log_probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> FloatArray:
    """The answers without the right one: what the network would say if it did not know the writer.

    Args:
        log_probabilities: (n_patches, n_writers).
        labels: (n_patches,) right classes.

    Returns:
        (n_patches, n_writers - 1), normalised; the remaining writers in their order.
    """
    n_patches, n_writers = log_probabilities.shape
    is_other = np.arange(n_writers) != np.asarray(labels)[:, np.newaxis]
    others = np.asarray(log_probabilities, dtype=np.float64)[is_other].reshape(n_patches, n_writers - 1)
    return np.asarray(log_softmax(others, axis=1), dtype=np.float64)
