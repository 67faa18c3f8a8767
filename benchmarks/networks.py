"""The two networks that speeds are measured on: the cheapest that a sweep trains, and a typical
good one.
"""

from collections.abc import Mapping

from core.networks.hyperparameters import Hyperparameters
from core.networks.presets import seed_recipe

NETWORKS: Mapping[str, Hyperparameters] = {"seed recipe": seed_recipe(), "default network": Hyperparameters()}

_N_PATCHES: Mapping[str, int] = {"seed recipe": 16_384, "default network": 4_096}


def patches_a_round(network: str, scale: float) -> int:
    """How many patches a round of measuring trains: some seconds of work with either network, times
    `scale`.
    """
    return max(256, round(_N_PATCHES[network] * scale))
