import numpy as np
import pytest

from core.retrieval.rank_tests import compare_rankings, compare_with_chance, least_p_value
from core.retrieval.scores import score_retrieval
from core.retrieval.similarities import Cosines
from tests.core.retrieval.generated_pages import generated_pages


def test_a_ranking_that_finds_hands_is_told_from_chance_and_has_the_protocols_score() -> None:
    similarities, writers = generated_pages()
    found = compare_with_chance(similarities, writers)
    assert found.p_value == 1 / (1 + found.n_shuffles) < 0.01
    assert found.score == pytest.approx(score_retrieval(similarities, writers, n_resamples=0).metrics["map"])
    assert found.of_chance < 0.2 < found.score


def test_rankings_that_say_nothing_pass_as_often_as_the_level_says() -> None:
    n_passed = 0
    for seed in range(30):
        similarities, writers = generated_pages(n_writers=5, n_pages=3, seed=seed)
        shuffled = np.random.default_rng(seed).permutation(writers).tolist()
        n_passed += compare_with_chance(similarities, shuffled, seed).p_value < 0.1
    assert n_passed <= 8  # 3 expected, standard deviation 1.6


def test_the_order_of_the_files_is_no_ranking() -> None:
    writers = [f"w{number}" for number in np.repeat(np.arange(8), 4)]
    assert compare_with_chance(Cosines(np.ones((32, 1))), writers).p_value > 0.01


@pytest.mark.parametrize(
    ("writers", "expected"),
    [("aabb", 1 / 3), ("aaab", 1 / 4), ("aaabbb", 1 / 10), ("ab", 1.0), ("aabbcc", 1 / 15)],
)
def test_the_least_p_value_counts_the_ways_to_group_pages(writers: str, expected: float) -> None:
    assert least_p_value(list(writers)) == pytest.approx(expected)


def _of_writers(n_writers: int, gains: list[float]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Average precisions of three pages a writer: first, second, writers."""
    writers = [f"w{writer}" for writer in range(n_writers) for _ in range(3)]
    second = np.random.default_rng(0).uniform(0.2, 0.6, len(writers))
    return second + np.repeat(gains, 3), second, writers


def test_a_ranking_that_is_better_for_every_writer_is_better() -> None:
    test = compare_rankings(*_of_writers(8, [0.1] * 8))
    assert test.is_better
    assert (test.n_writers, test.n_writers_better, test.n_writers_worse) == (8, 8, 0)
    assert test.map_difference == pytest.approx(0.1)
    first, second, writers = _of_writers(8, [0.1] * 8)
    assert not compare_rankings(second, first, writers).is_better


def test_many_pages_of_few_writers_decide_nothing() -> None:
    assert not compare_rankings(*_of_writers(4, [0.3] * 4)).is_better  # 2 / 2**4 = 12 %


def test_one_writer_who_gains_much_is_no_evidence() -> None:
    assert not compare_rankings(*_of_writers(10, [0.4, *[0.0] * 9])).is_better


def test_equal_rankings_do_not_differ() -> None:
    first, _, writers = _of_writers(8, [0.0] * 8)
    test = compare_rankings(first, first, writers)
    assert (test.map_difference, test.p_value, test.is_better) == (0.0, 1.0, False)
    with pytest.raises(ValueError, match="equally many"):
        compare_rankings(first, first[:-1], writers)
