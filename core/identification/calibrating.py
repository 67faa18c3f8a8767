"""From a network's answers on validation pages to the calibration that goes with it."""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.identification.calibration import apply_temperature, fit_temperature
from core.identification.model_record import Calibration
from core.identification.strangers import StrangerMethod, make_stranger_test, remove_own_writer
from core.lines.source import LineSource
from core.patches.plan import PatchPlan
from core.scoring.mean_scores import mean_log_probabilities, number_groups

CalibrationUnit = Literal["image", "page"]
FloatArray = NDArray[np.float64]


def calibrate(
    log_probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    items: Sequence[Hashable],
    unit: CalibrationUnit,
    false_accept_rate: float,
    strangers: FloatArray | None = None,
) -> Calibration:
    """Fit the temperature, and set the threshold for strangers.

    Args:
        log_probabilities: (n_patches, n_writers) of validation patches.
        labels: (n_patches,) right classes.
        items: the image or page of each patch.
        unit: which of the two.
        false_accept_rate: share of strangers that may be taken for a known writer.
        strangers: (n_strangers, n_writers), mean log-probabilities of images or pages by writers that took no part;
            `None` where there are none: then each item is asked again without its own writer.

    Raises:
        ValueError: if there is no item.
    """
    means, true = item_means(log_probabilities, labels, items)
    temperature = fit_temperature(means, true)
    method: StrangerMethod = "left_out_writers"
    if strangers is None:
        method = "class_removed"
        strangers = mean_log_probabilities(remove_own_writer(log_probabilities, labels), items)[1]
    test = make_stranger_test(
        method, best_probabilities(strangers, temperature), best_probabilities(means, temperature), false_accept_rate
    )
    return Calibration(unit, temperature, len(means), test)


def item_means(
    log_probabilities: NDArray[np.floating], labels: NDArray[np.integer], items: Sequence[Hashable]
) -> tuple[FloatArray, NDArray[np.int64]]:
    """The mean log-probabilities of each item and its right class, in the order in which items first appear."""
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
    """Whether any page is made of several images, so that a whole page is something else than an image."""
    wanted = set(image_ids)
    pages = {(line.image_id, line.writer_id, line.group_id) for line in store.lines if line.image_id in wanted}
    return len({page[1:] for page in pages}) < len(pages)
