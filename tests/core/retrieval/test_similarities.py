import numpy as np
import pytest

from core.errors import RetrievalError
from core.retrieval.similarities import Cosines, SimilarityMatrix, rerank


def described(n_pages: int = 12, n_writers: int = 3, spread: float = 0.6, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    hands = generator.normal(size=(n_writers, 8))
    points = hands[np.arange(n_pages) % n_writers] + generator.normal(0, spread, (n_pages, 8))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def by_the_paper(descriptors: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    """Its equations with sets and loops, distances scaled as in its authors' code."""
    n = len(descriptors)
    distance = 1 - descriptors.astype(np.float64) @ descriptors.T.astype(np.float64)
    np.fill_diagonal(distance, 0)
    distance /= distance.max(axis=1, keepdims=True)
    nearest = np.argsort(distance, axis=1, kind="stable").tolist()
    ranked = [[page, *(other for other in nearest[page] if other != page)] for page in range(n)]

    def reciprocal(page: int, k: int) -> set[int]:
        return {other for other in ranked[page][: k + 1] if page in ranked[other][: k + 1]}

    sets = []
    for page in range(n):
        own = reciprocal(page, k1)
        more = [reciprocal(other, round(k1 / 2)) for other in own]
        sets.append(own.union(*(others for others in more if len(others & own) > 2 / 3 * len(others))))
    encoded = np.zeros((n, n))
    for page, own in enumerate(sets):
        for other in own:
            encoded[page, other] = np.exp(-distance[page, other])
    encoded /= encoded.sum(axis=1, keepdims=True)
    expanded = np.array([encoded[ranked[page][:k2]].mean(axis=0) for page in range(n)])
    jaccard = [
        [1 - np.minimum(one, other).sum() / np.maximum(one, other).sum() for other in expanded] for one in expanded
    ]
    return 1 - ((1 - weight) * np.array(jaccard) + weight * distance)


@pytest.mark.parametrize(("k1", "k2", "weight"), [(3, 2, 0.3), (6, 1, 0.0), (4, 3, 1.0), (11, 6, 0.3)])
def test_reranking_is_what_the_paper_says(k1: int, k2: int, weight: float) -> None:
    descriptors = described()
    found = rerank(descriptors, k1, k2, weight).rows(0, 12)
    np.testing.assert_allclose(found, by_the_paper(descriptors, k1, k2, weight), atol=1e-5)


def test_as_many_are_averaged_as_in_the_paper_if_nothing_is_said() -> None:
    descriptors = described(40, 5)
    for n_neighbours, n_expanded in ((20, 6), (8, 3), (1, 1)):
        given = rerank(descriptors, n_neighbours, n_expanded).rows(0, 40)
        np.testing.assert_array_equal(rerank(descriptors, n_neighbours).rows(0, 40), given)


def test_reranking_brings_the_pages_of_a_hand_together() -> None:
    descriptors = described(n_pages=60, n_writers=6, spread=1.0)
    same = np.arange(60)[:, None] % 6 == np.arange(60) % 6

    def gap(likeness: np.ndarray) -> float:
        others = ~np.eye(60, dtype=bool)
        return float((likeness[same & others].mean() - likeness[~same].mean()) / likeness[others].std())

    assert gap(rerank(descriptors, 9, 3).rows(0, 60)) > gap(Cosines(descriptors).rows(0, 60))


def test_more_neighbours_than_pages_are_all_of_them() -> None:
    np.testing.assert_array_equal(rerank(described(5), 100, 3).rows(0, 5), rerank(described(5), 4, 3).rows(0, 5))


def test_cosines_come_in_blocks() -> None:
    descriptors = described()
    cosines = Cosines(descriptors)
    assert cosines.n_pages == 12
    in_blocks = np.concatenate([cosines.rows(0, 5), cosines.rows(5, 12)])
    np.testing.assert_allclose(in_blocks, cosines.rows(0, 12), atol=1e-6)
    np.testing.assert_allclose(np.diag(cosines.rows(0, 12)), 1, atol=1e-6)


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="weight=2"):
        rerank(described(), weight=2)
    with pytest.raises(ValueError, match="finite"):
        Cosines(np.array([[np.nan]]))
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        SimilarityMatrix(np.zeros((2, 3)))
    with pytest.raises(RetrievalError, match="30,001"):
        rerank(np.zeros((30_001, 1), np.float32))
