from dataclasses import replace

import numpy as np
import pytest

from benchmarks.held_out_pages import Described, alternating, binarise, fade, rotating_folds
from benchmarks.page_levers import (
    LEVERS,
    EmbeddedFold,
    Lever,
    adapted,
    describe_fold,
    fit_lever,
    paired_difference,
    pool_pairs,
    score_lever,
)
from core.retrieval.page_embeddings import EmbeddedPage
from core.retrieval.pairs import collect_pairs
from core.retrieval.similarities import Cosines


def pages_of(writers: list[str], seed: int, scale: float = 2.0, n_pages: int = 4) -> list[EmbeddedPage]:
    """Patches of some writers; the larger the scale, the harder their hands are told apart."""
    generator, pages = np.random.default_rng(seed), []
    for writer in writers:
        hand = np.random.default_rng(int(writer)).normal(size=8) + 3  # 3: what all hands have in common
        for page in range(n_pages):
            points = hand + generator.normal(scale=scale, size=(24, 8))
            rows = points / np.linalg.norm(points, axis=1, keepdims=True)
            pages.append(EmbeddedPage(f"{writer}-{page}", writer, rows.astype(np.float32)))
    return pages


def two_folds(lever: Lever, scale: float = 2.0) -> list[tuple[Described, Described]]:
    names = [str(number) for number in range(40)]
    described = []
    for starts in ((0, 10, 20), (10, 20, 30)):
        parts = [pages_of(names[start : start + 10], seed, scale) for seed, start in enumerate(starts)]
        described.append(describe_fold(fit_lever(lever, parts[0]), EmbeddedFold(*parts[1:])))
    return described


def test_every_writer_is_scored_once_and_has_one_part_in_a_fold() -> None:
    writers = [f"{number}" for number in range(37)]
    folds = rotating_folds(writers, 5)
    assert sorted(writer for fold in folds for writer in fold.test) == sorted(writers)
    for fold in folds:
        assert sorted(fold.train + fold.calibrate + fold.test) == sorted(writers)


def test_changes_leave_paper_white() -> None:
    pixels = np.array([[255, 200, 90, 0]], np.uint8)
    assert binarise(pixels).tolist() == [[255, 255, 0, 0]]
    faded = fade(pixels)[0].tolist()
    assert faded[0] == 255
    assert faded == sorted(faded, reverse=True)
    assert 130 < faded[3] < 150


def test_pages_that_are_adapted_have_no_common_direction_and_when_whitened_no_strong_one() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(200, 5)) * [5, 1, 1, 1, 1] + [20, 0, 0, 0, 0]
    pages = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert adapted(pages, "as it is") is pages
    spreads = {}
    for archive in ("centred", "whitened"):
        found = adapted(pages, archive)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
        values = np.linalg.eigvalsh(np.cov(found.T))
        spreads[archive] = values[-1] / values[0]
    assert np.linalg.norm(adapted(pages, "centred").mean(axis=0)) < 0.2 < np.linalg.norm(pages.mean(axis=0))
    assert spreads["whitened"] < spreads["centred"] / 2


def test_folds_are_pooled_and_none_of_their_writers_meet() -> None:
    similarities = Cosines(np.eye(4, dtype=np.float32))
    parts = [collect_pairs(similarities, writers) for writers in (["a", "a", "b", "b"], ["c", "c", "d", "d"])]
    pooled = pool_pairs(parts)
    assert set(np.unique(pooled.first[:6])) & set(np.unique(pooled.first[6:])) == set()
    assert (pooled.n_same, pooled.n_different) == (4, 8)


@pytest.mark.parametrize(
    "lever",
    [
        # k-means takes threads that a busy machine has not
        pytest.param(lever, marks=[pytest.mark.long] if lever.settings.pooling == "vlad" else [], id=lever.name)
        for lever in LEVERS
    ],
)
def test_every_lever_finds_hands_that_are_easily_told_apart(lever: Lever) -> None:
    found = score_lever(_smaller(lever), two_folds(_smaller(lever), scale=0.5), n_resamples=0)
    assert found["scores"]["map"] > 0.9
    assert found["scores"]["eer"] < 0.15
    assert found["scores"]["cllr"] < 0.7
    assert len(found["precisions"]) == len(found["writers"]) == 80


def _smaller(lever: Lever) -> Lever:
    """The same lever for embeddings of 8 values."""
    change = {} if lever.settings.n_whitened is None else {"n_whitened": 6}
    return replace(lever, settings=lever.settings.model_copy(update={**change, "n_clusters": 4}))


def test_a_lever_is_compared_on_the_same_queries_by_writers() -> None:
    base = score_lever(LEVERS[0], two_folds(LEVERS[0]), n_resamples=50)
    assert set(base["intervals"]) == {"map", "top1", "eer", "auroc", "cllr"}
    assert paired_difference(base, base) == (0.0, (0.0, 0.0))
    worse = {**base, "precisions": [max(0.0, value - 0.2) for value in base["precisions"]]}
    difference, (low, high) = paired_difference(worse, base)
    assert low <= difference <= high < 0


def test_pages_that_calibrate_nothing_cost_one_bit() -> None:
    alike = np.eye(4, dtype=np.float32)[[0, 1, 0, 1]]
    described = Described(alike, ["a", "a", "b", "b"])
    found = score_lever(LEVERS[0], [(described, described)], n_resamples=0)
    assert found["scores"]["cllr"] == pytest.approx(1)


def test_every_second_page_of_a_writer_is_changed() -> None:
    plain, changed = pages_of(["1", "2"], 0, n_pages=3), pages_of(["1", "2"], 1, n_pages=3)
    chosen = alternating(plain, changed)
    assert [page is plain[place] for place, page in enumerate(chosen)] == [True, False, True, True, False, True]
