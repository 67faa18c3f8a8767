"""Ways to compare pages, each with one lever more than the mean of the patches, and their scores on
writers that the network never saw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.held_out_pages import Described
from benchmarks.page_descriptors import DescriptorSettings, PageDescriber
from core.errors import RetrievalError
from core.retrieval.adaptation import Adaptation
from core.retrieval.likelihood_ratios import RatioCalibration, calibrate_ratios, score_ratios
from core.retrieval.page_embeddings import EmbeddedPage
from core.retrieval.pairs import PagePairs, collect_pairs, interval_of
from core.retrieval.scores import RetrievalScores, score_retrieval, verification_intervals, verification_scores
from core.retrieval.similarities import Cosines, Similarities, rerank
from core.scoring.intervals import draw_resamples
from core.scoring.mean_scores import FloatArray

N_RESAMPLES = 1000
_N_NEIGHBOURS, _N_EXPANDED = 8, 3
_RIDGE = 0.1  # of the archive's mean variance, so that whitening by few pages stays finite
_N_WHITENED, _N_CLUSTERS = 64, 16
_UNBOUNDED = RatioCalibration(1.0, 0.0, -np.inf, np.inf, 0, 0, 0, 0)

Archive = Literal["as it is", "centred", "whitened", "adapted"]


@dataclass(frozen=True)
class Lever:
    """A way to compare pages.

    Attributes:
        name: in the table.
        settings: from patches to a vector; what is learned is learned on training pages.
        archive: what is done by the pages at hand, without labels: their mean is taken off, or
            their directions get the same variance, too; `adapted` is what was kept of it.
        is_reranked: whether k-reciprocal neighbours are looked at.
    """

    name: str
    settings: DescriptorSettings = field(default_factory=DescriptorSettings)
    archive: Archive = "as it is"
    is_reranked: bool = False


_VLAD = DescriptorSettings(pooling="vlad", n_clusters=_N_CLUSTERS, power=0.5)
LEVERS = (
    Lever("mean"),
    Lever("generalised mean, exponent 3", DescriptorSettings(pooling="generalised_mean")),
    Lever("power 0.5", DescriptorSettings(power=0.5)),
    Lever("whitened by training pages", DescriptorSettings(n_whitened=_N_WHITENED)),
    Lever("VLAD, 16 centres", DescriptorSettings(pooling="vlad", n_clusters=_N_CLUSTERS)),
    Lever("VLAD, power 0.5, whitened", _VLAD.model_copy(update={"n_whitened": _N_WHITENED})),
    Lever("centred by the archive", archive="centred"),
    Lever("whitened by the archive", archive="whitened"),
    Lever("adapted to the archive", archive="adapted"),
    Lever("reranked", is_reranked=True),
    Lever("adapted to the archive, reranked", archive="adapted", is_reranked=True),
    Lever("power 0.5, centred by the archive", DescriptorSettings(power=0.5), "centred"),
    Lever("VLAD, power 0.5, centred by the archive", _VLAD, "centred"),
    Lever("centred by the archive, reranked", archive="centred", is_reranked=True),
    Lever(
        "all: VLAD, power, whitened by training pages and by the archive, reranked",
        _VLAD.model_copy(update={"n_whitened": _N_WHITENED}),
        "whitened",
        is_reranked=True,
    ),
)
PATTERNS = (Lever("local binary patterns"), Lever("local binary patterns, centred", archive="centred"))
"""For descriptors that are there already."""


@dataclass(frozen=True, eq=False)
class EmbeddedFold:
    """The pages of a fold that are described.

    Attributes:
        calibrate: likelihood ratios are from these.
        test: these are scored.
    """

    calibrate: Sequence[EmbeddedPage]
    test: Sequence[EmbeddedPage]


def fit_lever(lever: Lever, train: Sequence[EmbeddedPage]) -> PageDescriber:
    """What makes a vector of a page's patches, learned on training pages."""
    return PageDescriber.fit(lever.settings, [page.embeddings for page in train])


def describe_fold(describer: PageDescriber, fold: EmbeddedFold) -> tuple[Described, Described]:
    """The pages that calibrate and those that are scored, as vectors."""
    calibrate, test = (
        Described(describer.describe_all([page.embeddings for page in pages]), [page.writer_id for page in pages])
        for pages in (fold.calibrate, fold.test)
    )
    return calibrate, test


def adapted(descriptors: NDArray[np.floating], archive: Archive) -> NDArray[np.floating]:
    """Descriptors by what the pages at hand have in common, each of length 1 again."""
    if archive == "as it is":
        return descriptors
    if archive == "adapted":
        return Adaptation.fit(descriptors).adapt(descriptors)
    moved = np.asarray(descriptors, dtype=np.float64) - descriptors.mean(axis=0)
    if archive == "whitened":
        covariance = moved.T @ moved / len(moved)
        ridge = _RIDGE * float(np.trace(covariance)) / len(covariance)
        values, vectors = np.linalg.eigh(covariance)
        moved = moved @ vectors / np.sqrt(np.maximum(values, 0) + ridge)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return moved / np.maximum(lengths, np.finfo(np.float64).tiny)


def compare(lever: Lever, described: Described) -> Similarities:
    """How alike any two of some pages are; these pages are the archive."""
    descriptors = adapted(described.descriptors, lever.archive)
    return rerank(descriptors, _N_NEIGHBOURS, _N_EXPANDED) if lever.is_reranked else Cosines(descriptors)


def score_lever(lever: Lever, folds: Sequence[tuple[Described, Described]], n_resamples: int) -> dict[str, Any]:
    """Score a lever on all folds, pooled.

    Each fold ranks its own pages. Pairs of all folds are pooled as log likelihood ratios, as
    similarities of two networks are not of one scale.

    Args:
        lever: how pages are compared.
        folds: pages that calibrate and pages that are scored, of each fold.
        n_resamples: of the bootstrap over writers, for the scores of pairs; those of queries always
            have intervals.

    Returns:
        `scores`, `intervals`, and of each query its `writers` and `precisions`.
    """
    rankings: list[RetrievalScores] = []
    writers: list[str] = []
    ratios: list[PagePairs] = []
    bounded: list[PagePairs] = []
    for calibrate, test in folds:
        alike = compare(lever, test)
        rankings.append(score_retrieval(alike, test.writers, n_resamples=0))
        writers += [test.writers[place] for place in rankings[-1].queries.tolist()]
        pairs, own = collect_pairs(alike, test.writers), _calibrated(lever, calibrate)
        ratios.append(_with_scores(pairs, own.slope * pairs.scores + own.intercept))
        bounded.append(_with_scores(pairs, own.log10_ratios(pairs.scores)))
    precisions = np.concatenate([ranking.average_precisions for ranking in rankings])
    first_right = np.concatenate([ranking.first_right for ranking in rankings])
    queries = {"map": precisions, "top1": (first_right == 1) * 1.0}
    scores: dict[str, Any] = {name: float(values.mean()) for name, values in queries.items()}
    intervals: dict[str, Any] = {name: writer_interval(values, writers) for name, values in queries.items()}
    pooled, found = pool_pairs(ratios), score_ratios(_UNBOUNDED, pool_pairs(bounded), n_resamples)
    scores |= verification_scores(pooled) | {"cllr": found.cllr, "cllr_min": found.cllr_min}
    if n_resamples:
        intervals |= verification_intervals(pooled, n_resamples) | {"cllr": found.intervals["cllr"]}
    return {
        "scores": scores,
        "intervals": {name: list(interval) for name, interval in intervals.items()},
        "writers": writers,
        "precisions": precisions.round(6).tolist(),
    }


def pool_pairs(parts: Sequence[PagePairs]) -> PagePairs:
    """The pairs of several folds, whose writers are others."""
    starts = np.cumsum([0, *(1 + int(max(part.first.max(), part.second.max())) for part in parts)])
    return PagePairs(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.is_same for part in parts]),
        np.concatenate([part.first + start for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.second + start for part, start in zip(parts, starts, strict=False)]),
        sum(part.n_same for part in parts),
        sum(part.n_different for part in parts),
    )


def paired_difference(result: Mapping[str, Any], base: Mapping[str, Any]) -> tuple[float, tuple[float, float]]:
    """By how much the mean average precision differs from that of another way on the same queries,
    and its 95 % interval: writers are drawn again, whole.
    """
    difference = np.array(result["precisions"]) - np.array(base["precisions"])
    return float(difference.mean()), writer_interval(difference, result["writers"], is_share=False)


def writer_interval(values: FloatArray, writers: Sequence[str], is_share: bool = True) -> tuple[float, float]:
    """The 95 % interval of a mean over queries, a bootstrap over their writers."""
    places = np.unique(writers, return_inverse=True)[1]
    n_writers = int(places.max()) + 1
    drawn = draw_resamples(n_writers, N_RESAMPLES, seed=0)
    means = drawn @ np.bincount(places, values) / (drawn @ np.bincount(places))
    return interval_of(means, float(values.mean()), n_writers if is_share else None)


def _calibrated(lever: Lever, pages: Described) -> RatioCalibration:
    """Of the calibrating pages; ratios of 1 for all where their similarity speaks for two hands."""
    try:
        return calibrate_ratios(collect_pairs(compare(lever, pages), pages.writers))
    except RetrievalError:
        return RatioCalibration(0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0)


def _with_scores(pairs: PagePairs, scores: NDArray[np.floating]) -> PagePairs:
    return PagePairs(
        scores.astype(np.float32), pairs.is_same, pairs.first, pairs.second, pairs.n_same, pairs.n_different
    )
