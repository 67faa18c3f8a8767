import numpy as np
from numpy.typing import NDArray

from core.identification.evidence import occlusion_map


def test_the_map_finds_the_stroke_that_the_network_looks_at() -> None:
    patch = np.full((60, 60), 255, np.uint8)
    patch[5:10, 5:55] = 0  # looked at
    patch[45:50, 5:55] = 0  # of no interest

    def weigh(patches: NDArray[np.uint8]) -> NDArray[np.float64]:
        return (patches[:, 5:10] < 128).sum(axis=(1, 2)) / 250.0

    found = occlusion_map(patch, weigh)
    assert found.shape == (12, 12)
    assert (found[1, 1:11] > 0).all()
    assert np.abs(found[8:11]).max() == 0.0


def test_paper_says_nothing_and_ink_can_speak_against() -> None:
    patch = np.full((60, 60), 255, np.uint8)
    patch[20:40, 20:40] = 0
    found = occlusion_map(patch, lambda patches: (patches > 128).mean(axis=(1, 2)))
    assert found.min() < 0.0
    assert found.max() == 0.0
    assert found[0, 0] == found[11, 11] == 0.0
