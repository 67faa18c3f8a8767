"""What settings make of what they are told."""

import pytest

from core.errors import ConfigError
from core.settings import PatchSettings


@pytest.mark.parametrize(
    ("n_images", "patches_per_epoch", "expected"),
    [(944, 10_000, 2), (944, 2_500, 1), (944, 60_000, 13), (100, 10_000, 20), (5, 10_000, 32), (50_000, 10_000, 1)],
)
def test_an_epoch_has_five_times_the_patches_of_validation(
    n_images: int, patches_per_epoch: int, expected: int
) -> None:
    assert PatchSettings(patches_per_epoch=patches_per_epoch).of_validation_image(n_images) == expected


def test_what_is_said_of_validation_holds() -> None:
    assert PatchSettings(per_image_at_validation=40).of_validation_image(944) == 40
    for wrong in (0, -1, 2.0, True, "all"):
        with pytest.raises(ConfigError, match="must be `auto` or an integer from 1"):
            PatchSettings(per_image_at_validation=wrong)
