import numpy as np
import pytest

from core.patches.offsets import count_by_group, draw_distinct, share_equally


def test_shares_are_level_where_there_is_room() -> None:
    shares = share_equally(np.array([100, 3, 100, 0, 7]), 60, np.random.default_rng(0))
    assert shares.tolist() == [25, 3, 25, 0, 7]


@pytest.mark.parametrize("seed", range(20))
def test_shares_sum_to_the_total_and_are_one_apart_below_the_rim(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rooms = generator.integers(0, 30, 12)
    n_total = int(generator.integers(0, rooms.sum() + 1))
    shares = share_equally(rooms, n_total, generator)
    assert shares.sum() == n_total
    assert (shares <= rooms).all()
    short = shares[shares < rooms]
    assert len(short) == 0 or shares.max() - short.min() <= 1


def test_what_is_left_over_does_not_go_to_the_same_groups_each_time() -> None:
    lucky = {tuple(share_equally(np.full(4, 10), 6, np.random.default_rng(seed)).tolist()) for seed in range(20)}
    assert len(lucky) > 3


@pytest.mark.parametrize("seed", range(20))
def test_draws_are_distinct_and_as_many_as_wanted(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(0, 50, 30)
    wanted = generator.integers(0, sizes + 1)
    wanted[:5] = sizes[:5]
    drawn = draw_distinct(sizes, wanted, generator)
    assert len(np.unique(drawn)) == len(drawn)
    assert count_by_group(drawn, sizes).tolist() == wanted.tolist()


def test_every_number_is_drawn_equally_often() -> None:
    generator = np.random.default_rng(0)
    n_rounds, sizes, wanted = 3000, np.array([10, 0, 10]), np.array([3, 0, 8])
    counts = np.zeros(20)
    for _ in range(n_rounds):
        counts[draw_distinct(sizes, wanted, generator)] += 1
    shares = np.repeat([0.3, 0.8], 10)
    deviations = (counts - n_rounds * shares) / np.sqrt(n_rounds * shares * (1 - shares))
    assert np.abs(deviations).max() < 4
