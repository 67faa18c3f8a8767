import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from core.errors import SpaceError
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import plan_layers
from core.networks.presets import PRESETS, find_preset, pooled_preset, seed_recipe
from core.space import SearchSpace, Value


def test_the_pooled_preset_holds_the_seed_recipe_and_the_defaults() -> None:
    space = pooled_preset().space
    for hyperparameters in (seed_recipe(), Hyperparameters()):
        assert Hyperparameters.from_point(space.restrict(hyperparameters.as_dict())) == hyperparameters


def test_every_point_of_the_pooled_preset_can_be_built_and_afforded() -> None:
    generator = np.random.default_rng(0)
    points = [pooled_preset().space.sample(generator) for _ in range(2000)]
    costs = [plan_layers(Hyperparameters.from_point(point), 113, 50).n_multiplications for point in points]
    seed_cost = plan_layers(seed_recipe(), 113, 50).n_multiplications
    assert max(costs) < 50 * seed_cost
    assert np.median(costs) < 3 * seed_cost


def test_the_space_holds_the_net_that_costs_ten_times_the_seed_recipe() -> None:
    net = Hyperparameters(stem_stride=1, filters=32, filters_growth=1.5, n_blocks=4)
    assert pooled_preset().space.contains(pooled_preset().space.restrict(net.as_dict()))
    cost = plan_layers(net, 113, 50).n_multiplications / plan_layers(seed_recipe(), 113, 50).n_multiplications
    assert 9 < cost < 11


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_yaml_and_holds_its_middle(name: str) -> None:
    preset = find_preset(name)
    assert SearchSpace.from_dict(json.loads(json.dumps(preset.space.to_dict()))) == preset.space
    assert Hyperparameters.from_point(preset.space.restrict(preset.middle.as_dict())) == preset.middle


@pytest.mark.parametrize(("name", "least", "most"), [("small", 0.05, 0.9), ("standard", 0.1, 1.5), ("large", 0.5, 18)])
def test_every_point_of_a_patchwise_preset_can_be_built_and_afforded(name: str, least: float, most: float) -> None:
    generator = np.random.default_rng(0)
    points = [find_preset(name).space.sample(generator) for _ in range(500)]
    costs = [plan_layers(Hyperparameters.from_point(point), 113, 50).n_multiplications for point in points]
    seed_cost = plan_layers(seed_recipe(), 113, 50).n_multiplications
    assert least * seed_cost < min(costs)
    assert max(costs) < most * seed_cost


def test_missing_names_get_the_defaults_and_json_gives_the_same_back() -> None:
    hyperparameters = Hyperparameters.from_point({"filters": 48, "dropout": 0})
    assert (hyperparameters.filters, hyperparameters.n_blocks) == (48, Hyperparameters().n_blocks)
    assert Hyperparameters.from_point(json.loads(json.dumps(hyperparameters.as_dict()))) == hyperparameters


def test_each_part_of_the_augmentation_is_a_factor_and_one_that_is_off_leaves_the_identity() -> None:
    point = Hyperparameters(augmentation=0.2, augment_binarise=2.5, augment_noise=1.0)
    assert point.augmentation_parts["binarise"] == 0.5
    assert Hyperparameters(augmentation=0.5, augment_binarise=5.0).augmentation_parts["binarise"] == 1.0
    assert Hyperparameters().augmentation_parts["binarise"] == 0.0
    assert "augment_binarise" not in Hyperparameters().as_identity()
    assert point.as_identity()["augment_binarise"] == 2.5


def test_whole_numbers_become_floats_where_a_float_is_meant() -> None:
    assert isinstance(Hyperparameters(dropout=0).dropout, float)


def test_filters_grow_from_block_to_block_and_unused_dense_layers_are_left_out() -> None:
    hyperparameters = Hyperparameters(filters=32, filters_growth=1.5, n_blocks=4, n_dense=1, dense_1=128)
    assert hyperparameters.block_filters == (32, 48, 72, 108)
    assert hyperparameters.dense_units == (128,)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"learning_rat": 0.1}, r"must be one of input_px, .*, but got 'learning_rat'"),
        ({"pooling": "median"}, r"pooling must be one of max, average, but got 'median'"),
        ({"n_blocks": 0}, r"n_blocks must lie in \[1, 8\], but got 0"),
        ({"n_blocks": 2.0}, r"n_blocks must be of type int, but got 2.0"),
        ({"n_blocks": True}, r"n_blocks must be of type int, but got True"),
        ({"batch_norm": 1}, r"batch_norm must be of type bool, but got 1"),
        ({"dropout": 1.0}, r"dropout must lie in \[0.0, 0.95\], but got 1.0"),
        ({"learning_rate": float("nan")}, r"learning_rate must lie in .*, but got nan"),
        ({"learning_rate": "1e-3"}, r"learning_rate must be of type float, but got '1e-3'"),
        ({"optimizer": ["adam"]}, r"optimizer must be of type str"),
    ],
)
def test_a_bad_value_is_refused_with_the_rule(point: dict[str, Value], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Hyperparameters.from_point(point)


def test_space_and_hyperparameters_come_without_tensorflow() -> None:
    program = (
        "import core.networks.hyperparameters, core.networks.hyperparameters, sys;"
        "import core.training.plan, core.training.checkpoint, core.training.plan;"
        "sys.exit(bool({'tensorflow', 'keras', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_architecture_is_what_decides_the_layers() -> None:
    point = Hyperparameters(n_dense=1, dense_1=8)
    same = replace(point, learning_rate=0.1, dropout=0.0, batch_size=8, augment_tone=0.0, contrastive=1.0, dense_2=9)
    assert same.architecture == point.architecture
    for changed in (replace(point, dense_1=9), replace(point, head="flatten"), replace(point, kernel_size=5)):
        assert changed.architecture != point.architecture
