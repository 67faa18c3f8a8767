from dataclasses import replace

import numpy as np
import pytest

from core.identification.prediction import Prediction, rank_writers
from core.retrieval.known_hands import AMOUNTS, CrossFittedPages, DescribedPage, Hands, PagesByInk, average_hands
from core.retrieval.register import EnrolledPage, Register
from core.scoring.mean_scores import FloatArray
from search.identification.hand_comparison import HandComparison
from tests.core.retrieval.described_hands import N_DIMENSIONS, describe_hands
from tests.search.toy_model import RECORD

NOBODY = Register("model", (), np.empty((0, N_DIMENSIONS), np.float32))
TRAINED = tuple(f"1-{number}" for number in range(12))


def comparison(enrolled: list[DescribedPage], set_aside: list[DescribedPage], rate: float = 0.1) -> HandComparison:
    pages = describe_hands(12, 6, seed=1)
    training, validation = pages[::2], pages[1::2]
    hands = Hands(
        centres=average_hands(training, TRAINED),
        n_pages=np.full(12, 3),
        n_patches=np.full(12, 192),
        validation=PagesByInk.of(validation, N_DIMENSIONS),
        set_aside=PagesByInk.of(set_aside, N_DIMENSIONS),
        set_aside_from="others",
        false_accept_rate=rate,
        max_false_reject_rate=1.0,
    )
    entries = tuple(EnrolledPage(page.writer_id, f"{number}.png", "", 64, 0) for number, page in enumerate(enrolled))
    rows = np.array([page.descriptor for page in enrolled], np.float32).reshape(len(enrolled), N_DIMENSIONS)
    record = replace(RECORD, writer_ids=TRAINED)
    return HandComparison(record, hands, Register("model", entries, rows))


def says(probabilities: FloatArray) -> Prediction:
    """A network's answer."""
    return Prediction("page.png", rank_writers(probabilities, TRAINED), None, None, 1, 64)


@pytest.fixture(scope="module")
def network() -> Prediction:
    """That has an order of its own."""
    return says(np.linspace(1, 2, 12) / np.linspace(1, 2, 12).sum())


def test_an_enrolled_writer_is_named_from_one_page(network: Prediction) -> None:
    pages = describe_hands(4, 2, seed=5)
    found = comparison(pages[::2], describe_hands(20, 3, seed=2))
    for page in pages[1::2]:
        assert found.answer(network, page).writer_id == page.writer_id


def test_trained_writers_keep_the_order_that_the_network_gives_them(network: Prediction) -> None:
    pages = describe_hands(4, 2, seed=5)
    answer = comparison(pages[::2], []).answer(network, pages[1])
    kept = [writer.writer_id for writer in answer.ranking if writer.writer_id in TRAINED]
    assert kept == [writer.writer_id for writer in network.ranking]
    assert sum(writer.probability for writer in answer.ranking) == pytest.approx(1)
    assert answer.is_known is None, "nobody was set aside, so that no rate can be promised"
    assert answer.none_of_these is None


def test_unknown_writers_are_named_no_oftener_than_promised() -> None:
    """The mean over many draws: each of some tens of pages can be off."""
    shares = []
    for seed in range(20, 40):
        found = comparison(describe_hands(6, 1, seed=5), describe_hands(20, 2, seed=seed))
        test = found.test_at(6)
        assert test is not None
        unknown = PagesByInk.of(describe_hands(20, 2, seed=100 + seed), N_DIMENSIONS)
        shares.append(np.mean([test.is_known(best) for best in found.best(unknown.at(6)[0]).tolist()]))
    assert np.mean(shares) <= 0.1 + 2 * np.std(shares) / np.sqrt(len(shares))


def test_the_more_are_enrolled_the_stricter_is_the_threshold() -> None:
    set_aside = describe_hands(20, 3, seed=2)
    few, many = (comparison(describe_hands(n, 1, seed=5), set_aside).test_at(6) for n in (1, 60))
    assert few is not None
    assert many is not None
    assert np.mean(many.scores) > np.mean(few.scores)


def test_who_was_set_aside_and_is_enrolled_is_no_unknown_writer() -> None:
    set_aside = describe_hands(20, 3, seed=2)
    found = comparison(set_aside[:1], set_aside)
    assert found.unknown_writers.n_writers == 19


def test_with_little_ink_or_few_pages_set_aside_nobody_is_called_unknown(network: Prediction) -> None:
    enrolled = describe_hands(1, 1, seed=5)
    (tiny,) = describe_hands(1, 1, seed=6, n_patches=(3,))
    (page,) = describe_hands(1, 1, seed=6)
    enough, few = describe_hands(10, 2, seed=2), describe_hands(9, 2, seed=2)
    assert comparison(enrolled, enough).answer(network, page).is_known is not None
    assert comparison(enrolled, enough).answer(network, tiny).is_known is None
    assert comparison(enrolled, few).answer(network, page).is_known is None


def test_a_page_is_judged_by_no_more_ink_than_pages_set_aside_have(network: Prediction) -> None:
    short = describe_hands(20, 2, seed=2, n_patches=(20,))
    (page,) = describe_hands(1, 1, seed=6)
    found = comparison([], short)
    likeness = found.likeness_to_known(page)
    assert likeness is not None
    assert likeness[0] == found.test_at(AMOUNTS.index(16))
    assert likeness[1] == pytest.approx(found.best(page.by_amount[AMOUNTS.index(16)][np.newaxis])[0])


def test_pages_that_folds_held_out_count_as_validation_pages_do_each_in_its_own_space(network: Prediction) -> None:
    """The folds' networks are the model's own, but for a turn of their spaces."""
    validated = comparison([], describe_hands(20, 3, seed=2))
    hands = validated.hands
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(N_DIMENSIONS, N_DIMENSIONS)))[0].astype(np.float32)
    halves = [np.arange(36) % 2 == half for half in (0, 1)]
    folds = tuple(
        CrossFittedPages(
            hands.centres @ space,
            PagesByInk(
                tuple(np.array(hands.validation.writers)[half].tolist()),
                hands.validation.n_patches[half],
                (hands.validation.by_amount[:, half].astype(np.float32) @ space).astype(np.float16),
            ),
        )
        for half, space in zip(halves, (np.eye(N_DIMENSIONS, dtype=np.float32), turn), strict=True)
    )
    of_nobody = replace(hands, validation=PagesByInk.of([], N_DIMENSIONS))
    folded = HandComparison(replace(RECORD, writer_ids=TRAINED), replace(of_nobody, cross_fitted=folds), NOBODY)
    test, again = validated.test_at(6), folded.test_at(6)
    assert test is not None
    assert again is not None
    assert again.scores == test.scores
    assert again.false_reject_rate == pytest.approx(test.false_reject_rate, abs=0.03)
    page = describe_hands(12, 1, seed=1)[0]
    told = [[writer.probability for writer in each.answer(network, page).ranking[:3]] for each in (validated, folded)]
    assert told[1] == pytest.approx(told[0], rel=1e-2)
    unfitted = HandComparison(replace(RECORD, writer_ids=TRAINED), of_nobody, NOBODY)
    assert unfitted.test_at(6) is None
