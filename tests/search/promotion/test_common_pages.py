from dataclasses import replace
from pathlib import Path

from core.corpora.index import TextImage
from core.splits.manifest import SplitManifest
from search.promotion.gate import common_pages

WRITERS = ("a", "b")
IMAGES = tuple(
    TextImage(f"{writer}{page}-{line}", Path("x.png"), writer, page_id=f"{writer}{page}")
    for writer in WRITERS
    for page in range(10)
    for line in range(2)
)


def _split(train: range, validation: range, test: range) -> SplitManifest:
    def part(pages: range) -> tuple[str, ...]:
        return tuple(image.image_id for image in IMAGES if int(str(image.page_id)[1:]) in pages)

    return SplitManifest("toy", "page", WRITERS, part(train), part(validation), part(test))


CANDIDATE = _split(range(4), range(4, 6), range(6, 10))


def test_models_of_the_same_split_are_compared_on_all_test_pages() -> None:
    common = common_pages(IMAGES, CANDIDATE, CANDIDATE, same_corpus=True)
    assert (common.n_pages, common.n_seen, common.refusal) == (8, 0, "")
    assert {image.image_id for image in common.images} == set(CANDIDATE.test)


def test_pages_that_the_champion_trained_or_validated_on_are_excluded() -> None:
    champion = _split(range(5, 7), range(0, 3), range(3, 5))
    common = common_pages(IMAGES, CANDIDATE, champion, same_corpus=True)
    assert (common.n_pages, common.n_seen, common.refusal) == (6, 2, "")
    assert {image.page_id for image in common.images} == {f"{w}{page}" for w in WRITERS for page in (7, 8, 9)}


def test_one_line_of_a_page_makes_the_whole_page_seen() -> None:
    champion = replace(_split(range(0), range(0), range(0)), train=("a6-0",))
    common = common_pages(IMAGES, CANDIDATE, champion, same_corpus=True)
    assert (common.n_pages, common.n_seen) == (7, 1)
    assert "a6-1" not in {image.image_id for image in common.images}


def test_too_few_common_pages_are_refused() -> None:
    champion = _split(range(6, 9), range(0, 2), range(2, 4))
    common = common_pages(IMAGES, CANDIDATE, champion, same_corpus=True)
    assert common.refusal.startswith("only 2 of the candidate's 8 test pages were unseen by the champion")


def test_another_corpus_other_writers_or_an_unknown_split_are_refused() -> None:
    assert "another corpus" in common_pages(IMAGES, CANDIDATE, CANDIDATE, same_corpus=False).refusal
    others = replace(CANDIDATE, writer_ids=("a", "b", "c"))
    assert "knows other writers (3)" in common_pages(IMAGES, CANDIDATE, others, same_corpus=True).refusal
    assert "does not say" in common_pages(IMAGES, CANDIDATE, None, same_corpus=True).refusal
