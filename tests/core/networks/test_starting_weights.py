from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import ModelError
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import shapes_below_the_last_layer
from core.networks.model import build_model
from core.networks.presets import seed_recipe, small_preset
from core.networks.starting_weights import (
    begin_with,
    load_weights,
    save_weights,
    shapes_of,
    weights_below_the_last_layer,
)

SHAPE = (32, 32, 1)
SMALL = Hyperparameters(input_px=16, n_blocks=1, filters=4, n_dense=1, dense_1=8)


@pytest.mark.parametrize(
    "hyperparameters",
    [
        seed_recipe(),
        small_preset().middle,
        replace(small_preset().middle, batch_norm=False, head="global_average_max", n_dense=2, dense_1=8, dense_2=4),
        Hyperparameters(n_blocks=2, filters_growth=1.5, convolutions_per_block=3, head="flatten", n_dense=1),
    ],
    ids=["recipe", "small", "early without batch norm", "flat"],
)
def test_the_shapes_that_are_planned_are_those_of_the_network(hyperparameters: Hyperparameters) -> None:
    model = build_model(hyperparameters, (113, 113, 1), 5)
    planned = shapes_below_the_last_layer(hyperparameters, 113)
    built = shapes_of(weights_below_the_last_layer(model))
    assert planned == built
    assert list(planned) == list(built)


def test_all_layers_but_the_last_one_are_taken_over() -> None:
    source, model = build_model(SMALL, SHAPE, 7, seed=1), build_model(SMALL, SHAPE, 3, seed=2)
    statistics = source.get_layer("block_1_batch_norm_1").moving_mean
    statistics.assign(np.arange(4, dtype=np.float32))
    own_logits = model.get_layer("logits").get_weights()
    begin_with(model, weights_below_the_last_layer(source), "the source")
    for layer in source.layers[:-2]:
        given = model.get_layer(layer.name).get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), given, strict=True)), layer.name
    assert np.array_equal(model.get_layer("block_1_batch_norm_1").moving_mean.numpy(), [0, 1, 2, 3])
    assert all(np.array_equal(a, b) for a, b in zip(own_logits, model.get_layer("logits").get_weights(), strict=True))


def test_another_architecture_is_refused_by_what_differs_in_both() -> None:
    weights = weights_below_the_last_layer(build_model(replace(SMALL, filters=6, n_dense=0), SHAPE, 3))
    with pytest.raises(ModelError) as refused:
        begin_with(build_model(SMALL, SHAPE, 3), weights, "sweep:old/7")
    assert str(refused.value) == (
        "A network begins with the weights of one of its own architecture, but that of sweep:old/7 differs: "
        "block_1_convolution_1 is 3x3x1x6 there and 3x3x1x4 here; block_1_batch_norm_1 is 6 there and 4 here; "
        "block_1_convolution_2 is 3x3x6x6 there and 3x3x4x4 here; and 2 more. Give both the same architecture, or "
        "leave training.start_from out."
    )


def test_saved_weights_come_back_and_equal_ones_are_equal_files(tmp_path: Path) -> None:
    weights = weights_below_the_last_layer(build_model(SMALL, SHAPE, 3))
    sha256 = save_weights(weights, tmp_path / "new" / "a.npz")
    assert sha256 == save_weights(weights, tmp_path / "b.npz")
    found = load_weights(tmp_path / "b.npz", sha256)
    assert list(found) == list(weights)
    for name, arrays in weights.items():
        assert all(np.array_equal(a, b) for a, b in zip(arrays, found[name], strict=True))


def test_weights_that_are_gone_damaged_or_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    with pytest.raises(ModelError, match="is gone"):
        load_weights(path)
    save_weights(weights_below_the_last_layer(build_model(SMALL, SHAPE, 3)), path)
    with pytest.raises(ModelError, match="must have the hash 000000000000"):
        load_weights(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is damaged"):
        load_weights(path)
