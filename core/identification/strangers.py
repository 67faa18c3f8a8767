"""Is it one of the known writers at all? A threshold on the best writer's probability, set by writers held out.

A closed set has no strangers in its validation pages, so they must be made. Where the corpus has writers that took no
part in training, those are the strangers. Where it has none, each validation image is asked again with its own writer
struck from the answers, as if that writer had never been seen (`class_removed`). That is kinder than life: the network
has learned from this hand's training pages to keep it apart, and real strangers may resemble a known hand more, or
less. The rate that is stated holds for strangers like these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

FloatArray = NDArray[np.float64]
StrangerMethod = Literal["class_removed", "left_out_writers"]
_MOST_KEPT = 1000


@dataclass(frozen=True)
class StrangerTest:
    """Tells strangers from known writers by the probability of the best one.

    Attributes:
        method: who the strangers were.
        scores: the best writer's calibrated probability for each stranger image (evenly chosen among more than 1000),
            rising.
        n_strangers: images.
        false_accept_rate: the share of such strangers that is taken for a known writer, at most. Larger than was
            asked for where there are too few strangers to tell: n cannot hold less than 1 / (n + 1).
        false_reject_rate: the share of the known writers' validation images that is taken for strangers'.
    """

    method: StrangerMethod
    scores: tuple[float, ...]
    n_strangers: int
    false_accept_rate: float
    false_reject_rate: float

    def none_of_these(self, probability: float) -> float:
        """The share of strangers that look at least as much like a known writer; 1 is surely a stranger.

        In other words the false-accept rate at which this image would just be taken for a known writer's (the
        conformal p-value of being a stranger: Vovk et al. 2005).
        """
        n_as_good = len(self.scores) - int(np.searchsorted(self.scores, probability, side="left"))
        return (1 + n_as_good) / (1 + len(self.scores))

    def is_known(self, probability: float) -> bool:
        """Whether an image whose best writer has this probability is taken for a known writer's."""
        return self.none_of_these(probability) <= self.false_accept_rate + 1e-12


def make_stranger_test(
    method: StrangerMethod, strangers: FloatArray, known: FloatArray, false_accept_rate: float
) -> StrangerTest:
    """Set the threshold.

    Args:
        method: who the strangers are.
        strangers: (n,) the best writer's calibrated probability for each image by a stranger, at least one.
        known: (m,) the same for validation images by known writers.
        false_accept_rate: wanted, between 0 and 1.

    Raises:
        ValueError: if there is no stranger or no known image.
    """
    if len(strangers) == 0 or len(known) == 0:
        raise ValueError(f"Both kinds of images are needed, but got {len(strangers)} strangers, {len(known)} known.")
    ordered = np.sort(strangers)
    if len(ordered) > _MOST_KEPT:
        ordered = np.quantile(ordered, np.linspace(0, 1, _MOST_KEPT), method="higher")
    scores = tuple(float(score) for score in ordered)
    rate = max(false_accept_rate, 1 / (1 + len(scores)))
    test = StrangerTest(method, scores, len(strangers), rate, 0.0)
    rejected = sum(not test.is_known(float(score)) for score in known)
    return StrangerTest(method, scores, len(strangers), rate, rejected / len(known))


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


def shares_accepted(test: StrangerTest, probabilities: Sequence[float]) -> float:
    """How many images of this kind are taken for a known writer's."""
    return sum(test.is_known(probability) for probability in probabilities) / max(1, len(probabilities))
