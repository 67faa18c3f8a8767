from dataclasses import replace
from typing import Any

import pytest

from core.errors import ModelError
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import plan_layers
from core.networks.presets import seed_recipe


def test_the_seed_recipe_is_followed_from_56_to_3_pixels() -> None:
    plan = plan_layers(seed_recipe(), 113, 50)
    assert (plan.shrink, plan.block_sizes, plan.head_size, plan.n_weights) == (2, (14, 7, 3), 1152, 827_698)
    convolutions = 28**2 * 25 * 32 + 14**2 * 9 * 32 * 64 + 7**2 * 9 * 64 * 128
    assert plan.n_multiplications == convolutions + 1152 * 512 + 512 * 256 + 256 * 50


@pytest.mark.parametrize(
    ("changes", "patch_px", "n_writers", "message"),
    [
        (
            {"n_blocks": 6, "stem_stride": 1},
            113,
            50,
            r"block 6 of 6 has a feature map of 1x1 \(input_px=56, stem_stride=1\)",
        ),
        ({"n_blocks": 5, "stem_stride": 2}, 113, 50, r"block 5 of 5 .* take 4 blocks"),
        ({"input_px": 64}, 113, 50, r"input_px=64 for patches of 113 px; possible are 113, 56, 37, 28"),
        ({"input_px": 226}, 113, 50, r"input_px=226 for patches of 113 px"),
        (
            {"n_blocks": 1, "stem_stride": 1, "head": "flatten", "n_dense": 1, "dense_1": 4096},
            113,
            50,
            r"50,000,000 weights.* give 77,\d{3},\d{3}; .*head=flatten gives 18,816",
        ),
        ({}, 113, 1, r"2 writers or more apart, but got n_writers=1"),
    ],
)
def test_a_network_that_cannot_be_is_refused_before_it_is_built(
    changes: dict[str, Any], patch_px: int, n_writers: int, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        plan_layers(replace(Hyperparameters(), **changes), patch_px, n_writers)
