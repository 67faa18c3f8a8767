import numpy as np
import pytest

from core.scoring.diagnostics import confused_pairs, order_by_confusion


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
