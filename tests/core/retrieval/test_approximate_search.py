import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import RetrievalError
from core.retrieval.approximate_search import FILE, ApproximateSearch
from core.retrieval.descriptor_index import DescriptorIndex, IndexedPage

N_HANDS, N_DIMENSIONS = 60, 16


def pages_of_hands(n_pages: int, seed: int) -> np.ndarray:
    """Pages near the points of their hands, as real ones are."""
    hands = np.random.default_rng(0).normal(size=(N_HANDS, N_DIMENSIONS))
    generator = np.random.default_rng(seed)
    points = hands[generator.integers(N_HANDS, size=n_pages)] + generator.normal(
        scale=0.3, size=(n_pages, N_DIMENSIONS)
    )
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def filled(folder: Path, n_pages: int = 3000) -> DescriptorIndex:
    index = DescriptorIndex.open_or_create(folder, N_DIMENSIONS, "model 1")
    index.add([IndexedPage(str(page)) for page in range(n_pages)], pages_of_hands(n_pages, 1))
    return index


def test_without_faiss_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(RetrievalError, match=r"whosehand\[faiss\]"):
        ApproximateSearch(filled(tmp_path, 10))


def test_it_finds_nearly_all_that_the_exact_search_finds_with_the_same_scores(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="faiss is an extra, and not installed")
    index, queries = filled(tmp_path), pages_of_hands(50, 2)
    exact, found = index.search(queries, 10), ApproximateSearch(index).search(queries, 10)
    shared = [len(set(one) & set(other)) / 10 for one, other in zip(exact.places, found.places, strict=True)]
    assert np.mean(shared) > 0.95
    is_same = found.places == exact.places
    np.testing.assert_allclose(found.scores[is_same], exact.scores[is_same], rtol=1e-5)
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_pages_that_come_later_or_are_described_anew_are_found(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="faiss is an extra, and not installed")
    index = filled(tmp_path)
    ApproximateSearch(index)
    before = (tmp_path / FILE).stat().st_size
    rows = pages_of_hands(2, 3)
    index.add([IndexedPage("new"), IndexedPage("7")], rows, replaces=True)
    found = ApproximateSearch(index).search(rows, 1)
    assert found.places[:, 0].tolist() == [3000, 3001]
    assert (tmp_path / FILE).stat().st_size > before
    old = index.descriptors()[7:8]
    assert 7 not in ApproximateSearch(index).search(old, 20).places
    (tmp_path / FILE).write_bytes(b"damaged")
    assert ApproximateSearch(index).search(rows, 1).places[:, 0].tolist() == [3000, 3001]


def test_of_few_pages_all_are_compared(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="faiss is an extra, and not installed")
    index = filled(tmp_path, 20)
    found, exact = (search.search(pages_of_hands(3, 2), 50) for search in (ApproximateSearch(index), index))
    np.testing.assert_array_equal(found.places, exact.places)
