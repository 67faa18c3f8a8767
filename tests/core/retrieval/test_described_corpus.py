"""Pages of a corpus described: single words are joined to pages, and pages stay as they are."""

from collections import Counter
from collections.abc import Callable, Sequence

from core.lines.store import LineStore
from core.retrieval.described_corpus import describe_corpus, image_ids_of
from core.settings import PatchSettings
from tests.core.retrieval.test_page_embeddings import InkEmbedder

SETTINGS = PatchSettings(size_px=40, min_ink=0.0)
Line = tuple[str, str, str, int, Sequence[int]]
BuildStore = Callable[[Sequence[Line]], LineStore]


def words_of(n_words: int, n_writers: int = 3, width_px: int = 240) -> list[Line]:
    bars = range(4, width_px - 8, 12)
    return [
        (f"w{writer}-{word:02d}", f"w{writer}", f"w{writer}-{word:02d}", width_px, [*bars])
        for writer in range(n_writers)
        for word in range(n_words)
    ]


def n_pages_of(store: LineStore, per_writer: int | None = None) -> dict[str, int]:
    pages = describe_corpus(store, image_ids_of(store), SETTINGS, InkEmbedder(), per_writer)
    return dict(Counter(page.writer_id for page in pages))


def test_words_are_joined_so_that_writers_have_four_pages(build_bar_store: BuildStore) -> None:
    store = build_bar_store(words_of(9))
    assert n_pages_of(store) == {"w0": 4, "w1": 4, "w2": 4}
    pages = describe_corpus(store, image_ids_of(store), SETTINGS, InkEmbedder())
    alone = build_bar_store(words_of(2))
    words = describe_corpus(alone, image_ids_of(alone), SETTINGS, InkEmbedder())
    assert min(page.n_patches for page in pages) >= 1.5 * max(word.n_patches for word in words) > 0


def test_at_most_ten_words_are_a_page_and_few_words_stay_alone(build_bar_store: BuildStore) -> None:
    assert n_pages_of(build_bar_store(words_of(50))) == {"w0": 5, "w1": 5, "w2": 5}
    assert n_pages_of(build_bar_store(words_of(7))) == {"w0": 7, "w1": 7, "w2": 7}


def test_a_writer_with_too_few_words_for_a_page_is_described_by_words(build_bar_store: BuildStore) -> None:
    many, few = words_of(16), words_of(2, n_writers=4)[-2:]
    assert n_pages_of(build_bar_store([*many, *few])) == {"w0": 4, "w1": 4, "w2": 4, "w3": 2}


def test_images_with_much_ink_and_images_of_a_page_are_not_joined(build_bar_store: BuildStore) -> None:
    assert n_pages_of(build_bar_store(words_of(9, width_px=1200))) == {"w0": 9, "w1": 9, "w2": 9}
    pairs = [
        (image, writer, f"{writer}-{k // 2}", px, bars) for k, (image, writer, _, px, bars) in enumerate(words_of(8))
    ]
    assert n_pages_of(build_bar_store(pairs)) == {"w0": 4, "w1": 4, "w2": 4}


def test_so_many_pages_of_a_writer_are_chosen_evenly(build_bar_store: BuildStore) -> None:
    assert n_pages_of(build_bar_store(words_of(50)), per_writer=2) == {"w0": 2, "w1": 2, "w2": 2}
