from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from core.errors import RetrievalError
from core.lines.store import LineStore
from core.retrieval import page_embeddings
from core.retrieval.page_embeddings import JoinedLines, embed_pages
from core.settings import PatchSettings

SETTINGS = PatchSettings(size_px=40, min_ink=0.0)


class InkEmbedder:
    """Embeds a patch by how much ink is in its left and in its right half."""

    def embed(self, batches: Iterable[np.ndarray]) -> np.ndarray:
        def halves(batch: np.ndarray) -> np.ndarray:
            ink = (batch < 128)[..., 0].sum(axis=1)
            return np.stack([ink[:, :20].sum(axis=1) + 1, ink[:, 20:].sum(axis=1) + 1], axis=1).astype(np.float32)

        return np.concatenate([halves(batch) for batch in batches])


def image_ids(store: LineStore) -> list[str]:
    return list(dict.fromkeys(line.image_id for line in store.lines))


def test_every_page_has_its_patches_in_the_order_of_the_store(bar_store: LineStore) -> None:
    done: list[tuple[int, int]] = []
    wanted = image_ids(bar_store)
    pages = list(embed_pages(bar_store, wanted, SETTINGS, 7, InkEmbedder(), lambda *n: done.append(n)))
    assert [(page.writer_id, page.page_id) for page in pages] == [
        (f"w{writer}", f"w{writer}-p{page}") for writer in range(5) for page in range(2)
    ]
    assert {page.embeddings.shape for page in pages} == {(7, 2)}
    assert done == [(number, 10) for number in range(1, 11)]


def test_a_page_is_embedded_alike_whatever_is_beside_it(bar_store: LineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(embed_pages(bar_store, image_ids(bar_store), SETTINGS, 70, InkEmbedder()))
    monkeypatch.setattr(page_embeddings, "_PAGES_AT_ONCE", 3)
    in_parts = list(embed_pages(bar_store, image_ids(bar_store), SETTINGS, 70, InkEmbedder()))
    (alone,) = embed_pages(bar_store, [f"w2-p1-l{line}" for line in range(3)], SETTINGS, 70, InkEmbedder())
    np.testing.assert_array_equal(alone.embeddings, whole[5].embeddings)
    for one, other in zip(whole, in_parts, strict=True):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)


def test_images_of_a_writer_are_joined_to_pages_of_so_many(bar_store: LineStore) -> None:
    joined = JoinedLines(bar_store, image_ids(bar_store), 4)
    assert (len(joined.image_ids), joined.n_left_over) == (20, 10)
    on_pages = Counter(line.group_id for line in joined.lines if line.image_id in joined.image_ids)
    assert on_pages == {f"w{writer}, page 1": 4 for writer in range(5)}
    pages = list(embed_pages(joined, joined.image_ids, SETTINGS, 5, InkEmbedder()))
    assert [page.page_id for page in pages] == [f"w{writer}, page 1" for writer in range(5)]
    again = JoinedLines(bar_store, image_ids(bar_store), 4)
    assert again.image_ids == joined.image_ids
    assert JoinedLines(bar_store, image_ids(bar_store), 4, seed=1).image_ids != joined.image_ids


def test_too_few_images_to_join_are_refused(bar_store: LineStore) -> None:
    with pytest.raises(RetrievalError, match=r"Joining 7 images .* more than 6"):
        JoinedLines(bar_store, image_ids(bar_store), 7)
    with pytest.raises(RetrievalError, match="none of 1 images has one"):
        list(embed_pages(bar_store, ["nobody"], SETTINGS, 5, InkEmbedder()))
