"""Did one hand write both pages? From a similarity to a likelihood ratio that can be defended.

The likelihood ratio (LR) says how many times more probable this similarity is if one hand wrote
both pages than if two did. It is no probability that one hand wrote them: that also depends on all
else that is known of the case. log10 LR above 0 speaks for one hand, below 0 for two.

Everything is fitted on calibration pairs, whose writers took no part in training, and is scored on
pairs of yet other writers. What is here is validated on no casework.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from core.errors import RetrievalError
from core.retrieval.pairs import PagePairs, WriterResamples, bin_pairs, interval_of
from core.scoring.intervals import Interval
from core.scoring.mean_scores import FloatArray

_INVERSE_PENALTY = 1e4  # next to none; it only keeps the slope finite where no score is in doubt
_NEWTON_STEPS, _LONGEST_STEP = 40, 2.0  # of a slope over similarities of standard deviation 1
_STEP = 0.01  # of the bounds, in log10 LR, as in the authors' own code
_SCALE = (
    (6.0, "extremely strong"),
    (4.0, "very strong"),
    (3.0, "strong"),
    (2.0, "moderately strong"),
    (1.0, "moderate"),
    (float(np.log10(2)), "weak"),
)


@dataclass(frozen=True)
class RatioCalibration:
    """Turns similarities into likelihood ratios.

    Attributes:
        slope: of log10 LR over the similarity.
        intercept: log10 LR at similarity 0, before the bounds.
        lowest: log10 LR below which the calibration pairs support no number, at most 0.
        highest: log10 LR above which they support none, at least 0.
        n_same: pairs by one hand that it was fitted on.
        n_different: pairs by two hands.
        n_writers_of_same: who wrote the pairs by one hand.
        n_writers_of_different: who wrote those by two.
    """

    slope: float
    intercept: float
    lowest: float
    highest: float
    n_same: int
    n_different: int
    n_writers_of_same: int
    n_writers_of_different: int

    def log10_ratios(self, scores: NDArray[np.floating]) -> FloatArray:
        """log10 LR of similarities of any shape, from `lowest` to `highest`."""
        return np.clip(self.slope * np.asarray(scores, np.float64) + self.intercept, self.lowest, self.highest)


@dataclass(frozen=True)
class RatioScores:
    """What likelihood ratios are worth, on pairs whose truth is known.

    Attributes:
        cllr: 0 is perfect, 1 says nothing, above 1 misleads (Brümmer and du Preez 2006).
        cllr_min: the same if the best of all calibrations were known: what the similarity itself
            cannot tell. The rest of `cllr` is due to the calibration.
        misleading_same: share of the pairs by one hand whose LR speaks for two.
        misleading_different: share of the pairs by two hands whose LR speaks for one.
        intervals: 95 %, by these names; writers are drawn again, whole.
    """

    cllr: float
    cllr_min: float
    misleading_same: float
    misleading_different: float
    intervals: dict[str, Interval]


@dataclass(frozen=True, eq=False)
class TippettCurves:
    """What a Tippett plot draws: the shares of pairs whose log10 LR is at least so large.

    Attributes:
        log10_ratios: (n_points,) rising, from the smallest to the largest.
        same: (n_points,) of the pairs by one hand.
        different: (n_points,) of the pairs by two hands; where log10 LR is 0, this is the share of
            misleading ones.
    """

    log10_ratios: FloatArray
    same: FloatArray
    different: FloatArray


def calibrate_ratios(pairs: PagePairs) -> RatioCalibration:
    """Fit likelihood ratios on calibration pairs.

    Logistic regression, both kinds of pairs with the same weight in all: its log odds are then the
    log LR, as the prior odds are 1 (Morrison 2013, "Tutorial on logistic-regression calibration and
    fusion"). They are bounded by what the pairs support; see `empirical_bounds`. Pairs of one
    writer resemble each other, so the bounds count writers, not pairs.

    Args:
        pairs: of writers who took no part in training, and take none in what is scored later.

    Raises:
        RetrievalError: if there is no pair of one kind, or similarity speaks for two hands.
    """
    n_same, n_different = int(pairs.is_same.sum()), int((~pairs.is_same).sum())
    if n_same == 0 or n_different == 0:
        raise RetrievalError(
            f"Likelihood ratios need pairs of pages of both kinds, but got {n_same} by one hand and {n_different} by "
            "two. Give pages of at least two writers, of whom one has two pages."
        )
    scores = pairs.scores.astype(np.float64)
    centre, spread = scores.mean(), max(scores.std(), np.finfo(np.float64).tiny)
    fitted = LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced", tol=1e-8, max_iter=1000)
    fitted.fit(((scores - centre) / spread)[:, np.newaxis], pairs.is_same)
    slope = float(fitted.coef_[0, 0] / spread / np.log(10))
    intercept = float(fitted.intercept_[0] / np.log(10) - slope * centre)
    if slope <= 0:
        raise RetrievalError(
            "Pages by one hand must be more alike than pages by two, but on the calibration pairs they are not. The "
            "descriptor cannot tell these hands; train another network, or describe pages otherwise."
        )
    ratios = slope * scores + intercept
    lowest, highest = empirical_bounds(
        ratios[pairs.is_same], ratios[~pairs.is_same], pairs.n_writers_of_same, pairs.n_writers_of_different
    )
    writers = pairs.n_writers_of_same, pairs.n_writers_of_different
    return RatioCalibration(slope, intercept, lowest, highest, n_same, n_different, *writers)


def ratio_interval(
    calibration: RatioCalibration, pairs: PagePairs, score: float, n_resamples: int = 200, seed: int = 0
) -> Interval:
    """How much a likelihood ratio would differ with other writers to calibrate on: 95 %.

    Writers are drawn again, whole, and the line is fitted anew on each resample, of similarities in
    bins. The bounds stay as they are.

    Args:
        calibration: fitted on the pairs.
        pairs: the calibration pairs.
        score: the similarity of the two pages in question.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    bins, n_bins = bin_pairs(pairs)
    counts = np.maximum(np.bincount(bins, minlength=n_bins), 1)
    middles = np.bincount(bins, pairs.scores.astype(np.float64), n_bins) / counts
    same, different = WriterResamples(pairs, n_resamples, seed).shares(bins, n_bins)
    slopes, intercepts = _fit_lines(middles, same, different, len(pairs.scores))
    ratios = np.clip(slopes * score + intercepts, calibration.lowest, calibration.highest)
    return interval_of(ratios, float(calibration.log10_ratios(np.array(score))), None)


def empirical_bounds(
    same: FloatArray, different: FloatArray, n_same: int | None = None, n_different: int | None = None
) -> tuple[float, float]:
    """The smallest and the largest log10 LR that data support (ELUB).

    Deciding by LRs must cost less than deciding without them, at whatever prior odds, also if one
    more LR of each kind had been as misleading as can be (Vergeer, van Es, de Jongh, Alberink and
    Stoel, "Numerical likelihood ratios outputted by LR systems are often based on extrapolation:
    when to stop extrapolating?", Science & Justice 56, 2016). n independent LRs by two hands never
    support an LR above n + 1.

    Args:
        same: (n,) log10 LRs of pairs by one hand, at least one.
        different: (m,) those of pairs by two hands, at least one.
        n_same: so many independent LRs of pairs by one hand there are; all of them if not given.
        n_different: the same for two hands.

    Returns:
        At most 0, and at least 0.

    Raises:
        ValueError: if there is none of one kind.
    """
    if len(same) == 0 or len(different) == 0:
        raise ValueError(f"LRs of both kinds are needed, but got {len(same)} of one hand, {len(different)} of two.")
    n_same, n_different = n_same or len(same), n_different or len(different)
    least = max(min(same.min(), different.min()), -np.log10(n_same + 1))
    most = min(max(same.max(), different.max()), np.log10(n_different + 1))
    thresholds = np.arange(min(0, np.floor(least / _STEP)), max(0, np.ceil(most / _STEP)) + 1) * _STEP
    rejected = np.searchsorted(np.sort(same), thresholds, side="right") / len(same)
    accepted = 1 - np.searchsorted(np.sort(different), thresholds, side="right") / len(different)
    misses = (rejected * n_same + 1) / (n_same + 1)
    false_alarms = (accepted * n_different + 1) / (n_different + 1)
    odds = 10.0**thresholds
    is_worse = misses + odds * false_alarms > np.minimum(odds, 1)
    too_low, too_high = thresholds[is_worse & (thresholds <= 0)], thresholds[is_worse & (thresholds >= 0)]
    lowest = too_low.max() + _STEP if len(too_low) else thresholds[0]
    highest = too_high.min() - _STEP if len(too_high) else thresholds[-1]
    return min(0.0, float(lowest)), max(0.0, float(highest))


def score_ratios(
    calibration: RatioCalibration, pairs: PagePairs, n_resamples: int = 1000, seed: int = 0
) -> RatioScores:
    """Score likelihood ratios on pairs whose truth is known.

    Args:
        calibration: fitted on pairs of other writers.
        pairs: of both kinds.
        n_resamples: of the bootstrap over writers; 0 for no intervals. The calibration stays as it
            is.
        seed: of the bootstrap.
    """
    ratios = calibration.log10_ratios(pairs.scores)
    costs, misleads = _costs(ratios, pairs.is_same), np.where(pairs.is_same, ratios < 0, ratios > 0) * 1.0
    same, different = pairs.is_same, ~pairs.is_same
    scores = {
        "cllr": float(costs[same].mean() + costs[different].mean()) / 2,
        "cllr_min": least_cllr(pairs.scores, same),
        "misleading_same": float(misleads[same].mean()),
        "misleading_different": float(misleads[different].mean()),
    }
    intervals = {}
    if n_resamples:
        resamples = WriterResamples(pairs, n_resamples, seed)
        drawn_same, drawn_different = resamples.means(misleads)
        n_same, n_different = pairs.n_writers_of_same, pairs.n_writers_of_different
        intervals = {
            "cllr": interval_of(np.sum(resamples.means(costs), axis=0) / 2, scores["cllr"], None),
            "cllr_min": interval_of(_resampled_minima(pairs, resamples), scores["cllr_min"], n_same),
            "misleading_same": interval_of(drawn_same, scores["misleading_same"], n_same),
            "misleading_different": interval_of(drawn_different, scores["misleading_different"], n_different),
        }
    return RatioScores(**scores, intervals=intervals)


def least_cllr(
    scores: NDArray[np.floating] | NDArray[np.integer], is_same: NDArray[np.bool_], weights: FloatArray | None = None
) -> float:
    """Cllr if the best rising calibration of the scores were known, from 0 to 1.

    It is found by the pool-adjacent-violators algorithm (Brümmer and du Preez, "Application-
    independent evaluation of speaker detection", Computer Speech and Language 20, 2006).

    Args:
        scores: (n_pairs,) the larger the more alike.
        is_same: (n_pairs,) whether one hand wrote both.
        weights: (n_pairs,) how often each pair counts; once if not given. Both kinds of pairs have
            the same weight in all, whatever these are.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    of_kind = np.where(is_same, weights[is_same].sum(), weights[~is_same].sum())
    shares = weights / of_kind
    probabilities = IsotonicRegression(y_min=0, y_max=1).fit_transform(scores, is_same * 1.0, sample_weight=shares)
    right = np.where(is_same, probabilities, 1 - probabilities)
    counts = shares > 0  # a pair without weight may have any probability
    return float((shares[counts] * np.abs(np.log2(right[counts]))).sum() / 2)


def tippett(calibration: RatioCalibration, pairs: PagePairs, n_points: int = 500) -> TippettCurves:
    """The curves of a Tippett plot (Evett and Buckleton 1996), from the smallest log10 LR to the
    largest.

    Args:
        calibration: fitted on pairs of other writers.
        pairs: of both kinds.
        n_points: of the curves.
    """
    ratios = calibration.log10_ratios(pairs.scores)
    points = np.linspace(ratios.min(), ratios.max(), n_points)

    def at_least(chosen: NDArray[np.bool_]) -> FloatArray:
        ordered = np.sort(ratios[chosen])
        return 1 - np.searchsorted(ordered, points, side="left") / len(ordered)

    return TippettCurves(points, at_least(pairs.is_same), at_least(~pairs.is_same))


def in_words(log10_ratio: float) -> str:
    """A likelihood ratio by the verbal scale of ENFSI (Guideline for Evaluative Reporting in
    Forensic Science, 2015).

    Args:
        log10_ratio: positive speaks for one hand. LRs between 1/2 and 2, of which the guideline
            names 1 alone, support neither.

    >>> in_words(2.5)
    'moderately strong support for one hand over two'
    >>> in_words(-0.5), in_words(0.1)
    ('weak support for two hands over one', 'no support for one hand over two, or two over one')
    """
    for least, words in _SCALE:
        if abs(log10_ratio) >= least:
            return f"{words} support for {'one hand over two' if log10_ratio > 0 else 'two hands over one'}"
    return "no support for one hand over two, or two over one"


def _fit_lines(
    middles: FloatArray, same: FloatArray, different: FloatArray, n_pairs: int
) -> tuple[FloatArray, FloatArray]:
    """`calibrate_ratios`' regression on every resample at once, by Newton's method.

    Args:
        middles: (n_bins,) similarities.
        same: (n_resamples, n_bins) shares of the pairs by one hand in each bin.
        different: (n_resamples, n_bins) of those by two.
        n_pairs: that the penalty is weighed against.

    Returns:
        (n_resamples,) slopes, and intercepts, of log10 LR over the similarity.
    """
    centre, spread = middles.mean(), max(middles.std(), np.finfo(np.float64).tiny)
    x, total = (middles - centre) / spread, same + different
    slope, offset = np.zeros(len(same)), np.zeros(len(same))
    penalty = 2 / (_INVERSE_PENALTY * n_pairs)
    for _ in range(_NEWTON_STEPS):
        odds = expit(slope[:, np.newaxis] * x + offset[:, np.newaxis])
        gap, curve = total * odds - same, total * odds * (1 - odds)
        by_slope, by_offset = gap @ x + penalty * slope, gap.sum(axis=1)
        a, b, c = curve @ x**2 + penalty, curve @ x, curve.sum(axis=1) + np.finfo(np.float64).tiny
        size = np.maximum(a * c - b**2, np.finfo(np.float64).tiny)
        slope -= np.clip((c * by_slope - b * by_offset) / size, -_LONGEST_STEP, _LONGEST_STEP)
        offset -= np.clip((a * by_offset - b * by_slope) / size, -_LONGEST_STEP, _LONGEST_STEP)
    slopes = slope / spread / np.log(10)
    return slopes, offset / np.log(10) - slopes * centre


def _costs(ratios: FloatArray, is_same: NDArray[np.bool_]) -> FloatArray:
    """In bits: log2(1 + 1 / LR) of a pair by one hand, log2(1 + LR) of one by two."""
    return np.logaddexp(0, np.where(is_same, -ratios, ratios) * np.log(10)) / np.log(2)


def _resampled_minima(pairs: PagePairs, resamples: WriterResamples) -> FloatArray:
    """`least_cllr` of each resample, of similarities in bins; what the bins change is taken off."""
    bins, n_bins = bin_pairs(pairs)
    same, different = resamples.shares(bins, n_bins)
    places, is_same = np.tile(np.arange(n_bins), 2), np.arange(2 * n_bins) < n_bins
    drawn = [least_cllr(places, is_same, np.concatenate(weights)) for weights in zip(same, different, strict=True)]
    change = least_cllr(bins, pairs.is_same) - least_cllr(pairs.scores, pairs.is_same)
    return np.clip(np.array(drawn) - change, 0, 1)
