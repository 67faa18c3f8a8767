import numpy as np
import pytest

from core.scoring.confusion import (
    cells_to_write,
    confused_pairs,
    count_confusion,
    order_by_confusion,
    writers_to_draw,
)


def test_writers_who_are_confused_stand_side_by_side() -> None:
    confusion = 20 * np.eye(6)
    for one, other in ((0, 3), (1, 5), (2, 4)):
        confusion[one, other] = confusion[other, one] = 5
    order = order_by_confusion(confusion).tolist()
    assert sorted(order) == list(range(6))
    for one, other in ((0, 3), (1, 5), (2, 4)):
        assert abs(order.index(one) - order.index(other)) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 250])
def test_any_number_of_writers_can_be_ordered(n: int) -> None:
    assert sorted(order_by_confusion(np.eye(n)).tolist()) == list(range(n))
    assert sorted(order_by_confusion(np.zeros((n, n))).tolist()) == list(range(n))


def test_the_worst_pairs_come_first_and_unconfused_ones_not_at_all() -> None:
    confusion = np.array([[8, 2, 0], [0, 10, 0], [3, 0, 1]])
    worst, next_ = confused_pairs(confusion, 5)
    assert (worst.one, worst.other, worst.one_as_other, worst.n_one, worst.other_as_one, worst.n_other) == (
        *(2, 0, 3, 4),
        *(0, 10),
    )
    assert worst.rate == pytest.approx(0.75)
    assert (next_.one, next_.other) == (0, 1)
    assert confused_pairs(confusion, 1) == (worst,)
    assert confused_pairs(np.eye(3, dtype=np.int64), 5) == ()


def test_every_writer_has_a_cell_to_write_and_mistakes_follow_it() -> None:
    confusion = count_confusion(np.array([0, 0, 0, 2]), np.array([2, 1, 0, 0]), 4)
    assert confusion.nnz == 4
    assert cells_to_write(confusion).tolist() == [
        [0, 0, 1],
        [0, 1, 1],
        [0, 2, 1],
        [1, 1, 0],
        [2, 2, 0],
        [2, 0, 1],
        [3, 3, 0],
    ]


def test_of_very_many_writers_the_most_confused_are_drawn() -> None:
    true = np.arange(10_000)
    named = true.copy()
    named[[5, 9_000]] = [7_000, 8]
    drawn = writers_to_draw(count_confusion(true, named, 10_000))
    assert len(drawn) == 400
    assert {5, 8, 7_000, 9_000} <= set(drawn.tolist())
    assert (np.diff(drawn) > 0).all()
    assert len(writers_to_draw(np.eye(2000))) == 2000
