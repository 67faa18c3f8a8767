import numpy as np
import pytest
import yaml

from core.errors import SpaceError
from core.space import Categorical, Condition, Dimension, Integer, Real, SearchSpace, Value

SPACE = SearchSpace(
    (
        Categorical("batch_norm", (True, False)),
        Integer("n_dense", 0, 2),
        Integer("dense_1", 64, 512, 64, when=Condition("n_dense", (1, 2))),
        Categorical("activation", ("relu", "elu"), when=Condition("dense_1", (64, 128))),
        Real("learning_rate", 1e-4, 1e-2, log=True),
    )
)

FROM_YAML = """
learning_rate: {type: real, low: 1e-4, high: 1e-2, log: true}
n_dense: {type: integer, low: 0, high: 2}
dense_1: {type: integer, low: 64, high: 512, step: 64, when: {n_dense: [1, 2]}}
batch_norm: {type: categorical, choices: [true, false]}
decay: {type: real, low: 0, high: 0.3, step: "0.1", when: {batch_norm: true}}
"""


def test_a_child_counts_only_where_its_parent_counts_and_has_the_value() -> None:
    assert SPACE.active({"n_dense": 0, "dense_1": 64}) == ("batch_norm", "n_dense", "learning_rate")
    assert "activation" in SPACE.active({"n_dense": 1, "dense_1": 64})
    assert "activation" not in SPACE.active({"n_dense": 1, "dense_1": 512})


def test_samples_are_points_of_the_space_and_reach_all_of_it() -> None:
    generator = np.random.default_rng(0)
    points = [SPACE.sample(generator) for _ in range(300)]
    for point in points:
        SPACE.check(point)
    assert {point["n_dense"] for point in points} == {0, 1, 2}
    assert {len(point) for point in points} == {3, 4, 5}


def test_the_same_seed_gives_the_same_samples() -> None:
    first, second = ([SPACE.sample(np.random.default_rng(seed)) for seed in range(9)] for _ in range(2))
    assert first == second


def test_spread_points_cover_each_dimension_evenly() -> None:
    points = SPACE.spread(12, seed=0)
    for point in points:
        SPACE.check(point)
    assert (
        sorted(value for point in points if isinstance(value := point["n_dense"], int)) == [0] * 4 + [1] * 4 + [2] * 4
    )
    assert points == SPACE.spread(12, seed=0) != SPACE.spread(12, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_dens": 1}, r"must be among .*, but got 'n_dens'"),
        ({"learning_rate": None}, r"learning_rate is active at this point and must have a value"),
        ({"dense_1": 64}, r"dense_1 is not active at this point \(it counts only where n_dense is 1 or 2\)"),
        ({"batch_norm": 1}, r"batch_norm must be one of True, False, but got 1 \(int\)"),
        ({"learning_rate": 1.0}, r"learning_rate must lie in \[0.0001, 0.01\], but got 1.0"),
    ],
)
def test_a_point_outside_is_refused_with_the_reason(change: dict[str, Value | None], message: str) -> None:
    point: dict[str, Value] = {"batch_norm": True, "n_dense": 0, "learning_rate": 1e-3}
    assert SPACE.contains(point)
    changed = {name: value for name, value in {**point, **change}.items() if value is not None}
    assert not SPACE.contains(changed)
    with pytest.raises(SpaceError, match=message):
        SPACE.check(changed)


def test_restrict_drops_what_does_not_count_and_types_whole_numbers() -> None:
    space = SearchSpace((*SPACE.dimensions, Real("dropout", 0.0, 1.0)))
    full: dict[str, Value] = {"batch_norm": True, "n_dense": 0, "dense_1": 64, "learning_rate": 1e-3, "other": "x"}
    point = space.restrict({**full, "dropout": 0})
    assert point == {"batch_norm": True, "n_dense": 0, "learning_rate": 1e-3, "dropout": 0.0}
    assert isinstance(point["dropout"], float)
    with pytest.raises(SpaceError, match="dropout is active"):
        space.restrict(full)


def test_a_fixed_space_has_the_value_at_every_point() -> None:
    space = SPACE.with_fixed({"n_dense": 1, "dense_1": 64, "epochs": 3})
    points = [space.sample(np.random.default_rng(seed)) for seed in range(20)]
    assert all((point["n_dense"], point["dense_1"], point["epochs"]) == (1, 64, 3) for point in points)
    assert {point["activation"] for point in points} == {"relu", "elu"}


def test_fixing_a_parent_removes_children_that_can_never_count() -> None:
    assert SPACE.with_fixed({"n_dense": 0}).names == ("batch_norm", "n_dense", "learning_rate")


def test_a_space_reads_from_yaml_and_writes_what_it_reads() -> None:
    space = SearchSpace.from_dict(yaml.safe_load(FROM_YAML))
    assert space["learning_rate"] == Real("learning_rate", 1e-4, 1e-2, log=True)
    assert space["dense_1"] == Integer("dense_1", 64, 512, 64, when=Condition("n_dense", (1, 2)))
    assert space["decay"] == Real("decay", 0.0, 0.3, 0.1, when=Condition("batch_norm", (True,)))
    assert SearchSpace.from_dict(yaml.safe_load(yaml.safe_dump(space.to_dict(), sort_keys=False))) == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: {low: 1, high: 2}", r"x: `type` must be one of integer, real, categorical, but got None"),
        ("x: {type: integer, low: 1, hihg: 2}", r"x: the keys of type integer are low, high.* not 'hihg'"),
        ("x: {type: integer, low: 1}", r"x: a dimension of type integer must have `high`"),
        ("x: {type: integer, low: 1, high: 2.5}", r"x: `high` must be an integer, but got 2.5"),
        ("x: {type: real, low: small, high: 2}", r"x: `low` must be a number, but got 'small'"),
        ("x: {type: real, low: true, high: 2}", r"x: `low` must be a number, but got True"),
        ("x: {type: real, low: 1, high: 2, log: 'yes'}", r"x: `log` must be true or false, but got 'yes'"),
        ("x: {type: categorical, choices: adam}", r"x: `choices` must be a list, but got 'adam'"),
        ("x: {type: categorical, choices: [a], when: y}", r"x: `when` must name one parent and its values"),
        ("x: {type: categorical, choices: [a], when: {y: [1]}}", r"x: the parent of `when` must stand before it.*'y'"),
        ("x: 3", r"x: a dimension must be a mapping with a `type`, but got 3"),
        ("[1, 2]", r"A space must map names to dimensions"),
        ("{}", r"one dimension or more, but got none"),
        ("1: {type: categorical, choices: [a]}", r"name must be a word .*, but got 1"),
    ],
)
def test_a_bad_key_in_yaml_is_named_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SearchSpace.from_dict(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        ((Integer("a", 0, 1), Integer("a", 0, 1)), r"must differ, but 'a' is there twice"),
        ((Integer("a", 0, 1, when=Condition("b", (1,))), Integer("b", 0, 1)), r"a: the parent .*'b' does not"),
        ((Integer("a", 0, 1), Integer("b", 0, 1, when=Condition("a", (2,)))), r"b: `when` must hold values.*got 2"),
        ((Integer("a", 0, 1), Integer("b", 0, 1, when=Condition("a", (True,)))), r"b: `when` must hold.*True \(bool\)"),
        ((Real("a", 0, 1), Integer("b", 0, 1, when=Condition("a", (0.5,)))), r"integer or categorical, but it is real"),
        (("a",), r"must be Integer, Real or Categorical, but got 'a'"),
    ],
)
def test_a_space_that_contradicts_itself_is_refused(dimensions: tuple[Dimension, ...], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SearchSpace(dimensions)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpaceError, match="batch_norm, n_dense, dense_1, activation, learning_rate, but got 'lr'"):
        SPACE["lr"]
