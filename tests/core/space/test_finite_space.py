"""Listing the points of small spaces."""

from core.space import Categorical, Condition, Integer, Real, SearchSpace
from core.space.search_space import key_of, list_points


def test_conditional_points_are_listed_once_each() -> None:
    space = SearchSpace((Categorical("norm", (True, False)), Integer("n", 0, 4, 2, when=Condition("norm", (True,)))))
    points = list_points(space)
    assert points == [{"norm": True, "n": 0}, {"norm": True, "n": 2}, {"norm": True, "n": 4}, {"norm": False}]


def test_every_listed_point_is_in_the_space() -> None:
    space = SearchSpace((Real("x", 0.0, 0.6, step=0.1), Real("y", 2.0, 2.0), Integer("n", 1, 9, log=True)))
    points = list_points(space)
    assert points is not None
    assert len({key_of(point) for point in points}) == 7 * 9
    assert all(space.contains(point) for point in points)


def test_a_continuum_and_a_vast_space_are_not_listed() -> None:
    assert list_points(SearchSpace((Real("x", 0.0, 1.0),))) is None
    assert list_points(SearchSpace((Integer("n", 0, 10**15),))) is None


def test_values_of_different_types_make_different_keys() -> None:
    assert len({key_of({"x": True}), key_of({"x": 1}), key_of({"x": 1.0}), key_of({"x": "1"})}) == 4
