"""The gate for a model that finds pages by writers whom training has not seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from core.corpora.index import TextImage
from core.retrieval.described_pages import DescribedPages
from core.retrieval.rank_tests import compare_rankings
from core.splits.manifest import SplitManifest
from search.experiment.settings import GateSettings
from search.promotion.found_pages import FoundPages, too_few_writers
from search.promotion.gate import CommonPages, Comparison, SmokeTest, common_writers, judge

GOOD_SMOKE = SmokeTest(8, 1e-6, 1e-3, 0.1, "")
COMMON = CommonPages((), 24, 0, "")


def _found(spread: float, n_writers: int = 8, n_pages: int = 3) -> FoundPages:
    """The larger the spread, the harder hands are told from each other."""
    generator = np.random.default_rng(0)
    writers = np.repeat(np.arange(n_writers), n_pages)
    points = generator.normal(size=(n_writers, 16))[writers] + generator.normal(0, spread, (len(writers), 16))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    ids = tuple(f"w{writer}" for writer in writers)
    return FoundPages.of(DescribedPages(tuple(f"p{k}" for k in range(len(ids))), ids, points.astype(np.float32)))


def _against(first: FoundPages, second: FoundPages) -> Comparison:
    ours, theirs = first.pages.scores(n_resamples=0), second.pages.scores(n_resamples=0)
    test = compare_rankings(ours.average_precisions, theirs.average_precisions, first.pages.writer_ids)
    return Comparison(3, COMMON, test)


GOOD, FAIR, BLIND = _found(0.5), _found(2.0), _found(100.0)


def test_a_model_that_finds_pages_passes_and_says_by_how_much() -> None:
    result = judge(GateSettings(), GOOD_SMOKE, 1, GOOD, None)
    assert result.is_passed
    assert any("better than a random ranking: mean average precision" in remark for remark in result.remarks)
    assert not any("calibrat" in text or "identified" in text for text in result.remarks)


def test_a_model_that_finds_nothing_is_refused() -> None:
    result = judge(GateSettings(), GOOD_SMOKE, 1, BLIND, None)
    assert result.reasons[0].startswith("not shown to be better than a random ranking")


def test_the_least_top1_counts_nearest_pages() -> None:
    result = judge(GateSettings(min_top1=0.99), GOOD_SMOKE, 1, FAIR, None)
    assert "of the test pages the most similar one is by the same hand (at least 99.0%" in result.reasons[0]


def test_too_few_pages_decide_nothing_unless_somebody_accepts() -> None:
    few = _found(0.1, n_writers=2, n_pages=3)
    result = judge(GateSettings(), GOOD_SMOKE, 1, few, None)
    assert not result.is_passed
    assert "of 6 pages by 2 writers even a perfect ranking would be chance with probability 0.1" in result.undecided
    assert judge(GateSettings(), GOOD_SMOKE, 1, few, None, accept=True).is_accepted
    assert too_few_writers(GOOD.pages.writer_ids, 0.01) == ""
    assert too_few_writers((), 0.01)


@pytest.mark.parametrize(("first", "second", "passes"), [(GOOD, FAIR, True), (FAIR, GOOD, False), (GOOD, GOOD, False)])
def test_a_champion_is_followed_by_a_better_one_alone(first: FoundPages, second: FoundPages, passes: bool) -> None:
    result = judge(GateSettings(), GOOD_SMOKE, 1, first, _against(first, second))
    assert result.is_passed is passes
    (said,) = [text for text in result.reasons + result.remarks if "the champion, version 3" in text]
    assert "sign-flip test over writers" in said


def _split(train: Sequence[str], validation: Sequence[str], test: Sequence[str]) -> SplitManifest:
    def ids(writers: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{writer}-{page}" for writer in writers for page in range(2))

    settings = {"kind": "writer"}
    return SplitManifest("hands", "page", tuple(train), ids(train), ids(validation), ids(test), settings=settings)


WRITERS = tuple("abcdefghijklmnop")
IMAGES = tuple(
    TextImage(f"{writer}-{page}", Path("x.png"), writer, page_id=f"{writer}-{page}")
    for writer in WRITERS
    for page in range(2)
)


def test_a_comparison_is_on_writers_of_whom_the_champion_has_seen_no_page() -> None:
    candidate = _split("ab", "cd", WRITERS[4:])
    champion = _split("ae", "bf", WRITERS[6:])
    common = common_writers(IMAGES, candidate, champion, same_corpus=True)
    assert {image.writer_id for image in common.images} == set(WRITERS[6:])
    assert (common.n_pages, common.n_seen, common.refusal) == (20, 4, "")


def test_too_few_unseen_writers_and_other_corpora_are_refused() -> None:
    candidate = _split("ab", "cd", WRITERS[4:])
    champion = _split(WRITERS[:9], "jk", WRITERS[11:])
    assert common_writers(IMAGES, candidate, champion, same_corpus=True).refusal == (
        "only 5 of the candidate's 12 test writers were unseen by the champion; 6 are needed to tell two models apart"
    )
    assert "another corpus" in common_writers(IMAGES, candidate, champion, same_corpus=False).refusal
    assert "does not say" in common_writers(IMAGES, candidate, None, same_corpus=True).refusal
