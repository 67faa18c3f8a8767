"""Which strokes of a patch speak for a writer: paint over a part, and see how much less the network is sure.

Method: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014. It asks the network itself and
needs no gradient, so that it holds for every network alike.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PAPER = 255
_INK_LEVEL = 128
_WINDOWS_PER_SIDE = 6
FloatArray = NDArray[np.float64]
Weigh = Callable[[NDArray[np.uint8]], FloatArray]
"""From patches (n, size_px, size_px) to how much each speaks for the decision, (n,), in nats."""


def occlusion_map(patch: NDArray[np.uint8], weigh: Weigh) -> FloatArray:
    """By how much each part of a patch speaks for the decision.

    A square of a sixth of the patch is painted with paper, in steps of half its side.

    Args:
        patch: (size_px, size_px), 0 ink to 255 paper.
        weigh: asks the network.

    Returns:
        (n_cells, n_cells), rows before columns, in nats: the mean loss of the squares that cover the cell. Above 0
        what is there speaks for the decision. Where there is no ink it is 0.
    """
    edges = np.linspace(0, len(patch), 2 * _WINDOWS_PER_SIDE + 1).round().astype(int)
    n_cells = len(edges) - 1
    squares = [(row, column) for row in range(n_cells - 1) for column in range(n_cells - 1)]
    painted, asked = [patch], []
    for row, column in squares:
        part = (slice(edges[row], edges[row + 2]), slice(edges[column], edges[column + 2]))
        if (patch[part] < _INK_LEVEL).any():
            without = patch.copy()
            without[part] = PAPER
            painted.append(without)
            asked.append((row, column))
    weights = weigh(np.stack(painted))
    total, count = np.zeros((n_cells, n_cells)), np.zeros((n_cells, n_cells))
    for (row, column), loss in zip(asked, (weights[0] - weights[1:]).tolist(), strict=True):
        total[row : row + 2, column : column + 2] += loss
        count[row : row + 2, column : column + 2] += 1
    has_ink = np.array(
        [
            [(patch[edges[r] : edges[r + 1], edges[c] : edges[c + 1]] < _INK_LEVEL).any() for c in range(n_cells)]
            for r in range(n_cells)
        ]
    )
    return np.where(has_ink, total / np.maximum(count, 1), 0.0)
