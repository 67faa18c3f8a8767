import math

import numpy as np
import pytest

from core.errors import SpaceError
from core.space import Categorical, Condition, Dimension, Integer, Real, Value, is_same_value

EVENLY = np.linspace(0.0, 1.0, 2001)

DIMENSIONS: list[Dimension] = [
    Integer("n", 1, 4),
    Integer("n", 64, 512, step=64),
    Integer("n", 1, 1000, log=True),
    Integer("n", 3, 3),
    Real("x", 0.0, 1.0),
    Real("x", 1e-4, 1e-2, log=True),
    Real("x", 0.0, 0.6, step=0.1),
    Real("x", 0.5, 0.5),
    Categorical("c", (True, 1, 1.0, "1")),
]


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=str)
def test_every_quantile_gives_a_value_of_the_dimension(dimension: Dimension) -> None:
    values = [dimension.at(float(quantile)) for quantile in EVENLY]
    for value in values:
        dimension.check(value)
    if isinstance(dimension, Integer | Real):
        assert (values[0], values[-1]) == pytest.approx((dimension.low, dimension.high))


@pytest.mark.parametrize("dimension", [d for d in DIMENSIONS if d.n_values is not None and d.n_values < 20], ids=str)
def test_even_quantiles_give_each_of_few_values_equally_often(dimension: Dimension) -> None:
    drawn = [repr(dimension.at(float(quantile))) for quantile in EVENLY[:-1]]
    counts = [drawn.count(value) for value in set(drawn)]
    assert len(counts) == dimension.n_values
    assert max(counts) - min(counts) <= 1


def test_log_quantiles_are_even_in_the_logarithm() -> None:
    assert Real("x", 1e-4, 1e-2, log=True).at(0.5) == pytest.approx(1e-3)
    assert Integer("n", 1, 1000, log=True).at(0.5) == pytest.approx(math.sqrt(1000), abs=10)


def test_stepped_reals_are_round_numbers() -> None:
    dropout = Real("dropout", 0.0, 0.6, step=0.1)
    assert sorted({dropout.at(float(quantile)) for quantile in EVENLY}) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_true_and_one_are_different_values() -> None:
    assert not is_same_value(True, 1)
    assert not is_same_value(1, 1.0)
    assert not Condition("parent", (True,)).is_met_by(1)
    assert Categorical("c", (True, 1)).n_values == 2
    with pytest.raises(SpaceError, match=r"one of True, but got 1 \(int\)"):
        Categorical("c", (True,)).check(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Integer("n", 4, 1), r"n: `low <= high` must hold, but got low=4, high=1"),
        (lambda: Integer("n", 0, 8, log=True), r"`log` needs `low > 0`, but got low=0"),
        (lambda: Integer("n", 1, 8, step=0), r"`step > 0` must hold, but got step=0"),
        (lambda: Integer("n", 1, 9, step=2, log=True), r"`step` and `log` exclude each other"),
        (lambda: Integer("n", 64, 500, step=64), r"reachable from `low` by steps.*take high=448"),
        (lambda: Integer("n", 1.0, 2), r"n: `low` must be an integer, but got 1.0"),  # type: ignore[arg-type]
        (lambda: Integer("n", True, 2), r"n: `low` must be an integer, but got True"),
        (lambda: Integer("n", 1, 2, log=1), r"`log` must be true or false, but got 1"),  # type: ignore[arg-type]
        (lambda: Real("x", 1.0, 0.5), r"x: `low <= high` must hold"),
        (lambda: Real("x", 0.0, 1.0, log=True), r"`log` needs `low > 0`, but got low=0.0"),
        (lambda: Real("x", 0.1, 1.0, step=0.1, log=True), r"`step` and `log` exclude each other"),
        (lambda: Real("x", 0.0, 1.0, step=-0.1), r"`step > 0` must hold, but got step=-0.1"),
        (lambda: Real("x", 0.0, 1.0, step=0.3), r"take high=0.9"),
        (lambda: Real("x", 0.0, math.inf), r"x: `high` must be a finite number, but got inf"),
        (lambda: Real("x", "low", 1.0), r"x: `low` must be a finite number, but got 'low'"),  # type: ignore[arg-type]
        (lambda: Categorical("c", ()), r"c: `choices` must hold one value or more"),
        (lambda: Categorical("c", ("a", "a")), r"`choices` must differ, but 'a' is there twice"),
        (lambda: Categorical("c", ("a", None)), r"strings, numbers or bools, but got None"),  # type: ignore[arg-type]
        (lambda: Categorical("c", (math.nan,)), r"strings, numbers or bools, but got nan"),
        (lambda: Categorical("c", "adam"), r"`choices` must be a list, but got 'adam'"),  # type: ignore[arg-type]
        (lambda: Categorical("two words", (1,)), r"name must be a word.*'two words'"),
        (lambda: Condition("c", ()), r"one value of 'c' or more"),
        (lambda: Condition("c", "adam"), r"one value of 'c' or more, but got 'adam'"),  # type: ignore[arg-type]
    ],
)
def test_a_broken_rule_is_refused_with_the_value(make: object, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Integer("n", 1, 4), 5),
        (Integer("n", 1, 4), 2.0),
        (Integer("n", 0, 4), True),
        (Integer("n", 64, 512, step=64), 100),
        (Real("x", 0.0, 1.0), 1),
        (Real("x", 0.0, 1.0), math.nan),
        (Real("x", 0.0, 1.0, step=0.1), 0.25),
        (Real("x", 0.0, 1.0, step=0.1), math.inf),
        (Real("x", 0.0, 1.0), "0.5"),
        (Categorical("c", ("a", "b")), "c"),
    ],
    ids=str,
)
def test_a_value_of_another_type_or_place_is_refused(dimension: Dimension, value: Value) -> None:
    with pytest.raises(SpaceError, match=f"^{dimension.name} must"):
        dimension.check(value)
