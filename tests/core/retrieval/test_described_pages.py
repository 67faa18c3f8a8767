from pathlib import Path

import numpy as np
import pytest

from core.errors import RetrievalError
from core.lines.store import LineStore
from core.retrieval.counted_pages import pages_by_writer
from core.retrieval.described_pages import DescribedPages, PagesToDescribe, compare_pages
from core.retrieval.pictures import retrieval_picture
from core.settings import PatchSettings
from tests.core.retrieval.generated_pages import generated_pages
from tests.core.retrieval.test_page_embeddings import InkEmbedder, image_ids

SETTINGS = PatchSettings(size_px=40, min_ink=0.0)


def generated(n_writers: int = 6) -> DescribedPages:
    similarities, writers = generated_pages(n_writers=n_writers)
    vectors = np.linalg.cholesky(similarities.rows(0, len(writers)).astype(np.float64) + 1e-6 * np.eye(len(writers)))
    return DescribedPages(tuple(f"p{k}" for k in range(len(writers))), tuple(writers), vectors.astype(np.float32))


def test_pages_are_described_as_they_are_or_joined(bar_store: LineStore) -> None:
    whole = PagesToDescribe(bar_store, image_ids(bar_store), SETTINGS, 4).describe(InkEmbedder())
    assert len(whole.page_ids) == 10
    assert whole.descriptors.shape == (10, 2)
    np.testing.assert_allclose(np.linalg.norm(whole.descriptors, axis=1), 1, rtol=1e-5)
    joined = PagesToDescribe(bar_store, image_ids(bar_store), SETTINGS, 4, images_per_page=3).describe(InkEmbedder())
    assert set(joined.keys) == {(f"w{writer}", f"w{writer}, page {page}") for writer in range(5) for page in (1, 2)}


def test_the_same_network_describes_the_same_pages_again(bar_store: LineStore) -> None:
    pages = PagesToDescribe(bar_store, image_ids(bar_store), SETTINGS, 4, images_per_page=2)
    first, again = pages.describe(InkEmbedder()), pages.describe(InkEmbedder())
    assert first.keys == again.keys
    np.testing.assert_array_equal(first.descriptors, again.descriptors)


def test_counted_are_the_pages_that_are_described(bar_store: LineStore) -> None:
    for n_images in (1, 2, 4):
        described = PagesToDescribe(bar_store, image_ids(bar_store), SETTINGS, 1, n_images).describe(InkEmbedder())
        counts = pages_by_writer(bar_store, image_ids(bar_store), n_images)
        assert counts == {writer: described.writer_ids.count(writer) for writer in set(described.writer_ids)}
    assert pages_by_writer(bar_store, image_ids(bar_store), 7) == {}
    with pytest.raises(RetrievalError, match="none of 1 images has one"):
        pages_by_writer(bar_store, ["nothing"])


def test_each_query_has_its_nearest_page() -> None:
    pages = generated()
    scores = pages.scores(n_resamples=0)
    queries = pages.queries(scores)
    assert [query.page_id for query in queries] == [pages.page_ids[place] for place in scores.queries]
    assert all(query.page_id != query.nearest_page_id for query in queries)
    n_right = sum(query.nearest_writer_id == query.writer_id for query in queries)
    assert n_right / len(queries) == scores.metrics["top1"]
    assert {query.first_right == 1 for query in queries if query.nearest_writer_id == query.writer_id} == {True}


def test_pages_come_back_from_a_file_and_another_file_is_refused(tmp_path: Path) -> None:
    pages = generated()
    pages.save(tmp_path / "pages.npz")
    read = DescribedPages.load(tmp_path / "pages.npz")
    assert read.keys == pages.keys
    np.testing.assert_array_equal(read.descriptors, pages.descriptors)
    (tmp_path / "other.npz").write_bytes(b"nothing")
    for name in ("other.npz", "missing.npz"):
        with pytest.raises(RetrievalError, match=f"{name} must hold page descriptors"):
            DescribedPages.load(tmp_path / name)


def test_some_writers_and_some_pages_can_be_taken() -> None:
    pages = generated()
    some = pages.of_writers({"w1", "w4"})
    assert set(some.writer_ids) == {"w1", "w4"}
    assert some.only(some.keys[:3]).keys == some.keys[:3]


def test_two_networks_are_compared_on_the_pages_that_both_described() -> None:
    pages = generated(8)
    blind = DescribedPages(pages.page_ids, pages.writer_ids, np.eye(len(pages.page_ids), dtype=np.float32))
    test = compare_pages(pages.only(pages.keys[4:]), blind)
    assert test is not None
    assert (test.n_queries, test.is_better) == (len(pages.keys) - 4, True)
    assert compare_pages(pages.only(pages.keys[:1]), blind) is None
    assert compare_pages(pages.of_writers({"w1"}), blind) is None


def test_the_picture_takes_few_and_many_writers_of_any_name(tmp_path: Path) -> None:
    for n_writers in (3, 41):
        pages = generated(n_writers)
        named = DescribedPages(pages.page_ids, tuple(f"${name} $<" for name in pages.writer_ids), pages.descriptors)
        retrieval_picture(named, named.scores(n_resamples=0), tmp_path / f"{n_writers}.png")
        assert (tmp_path / f"{n_writers}.png").read_bytes().startswith(b"\x89PNG")
