"""Where patches may lie in the lines of a store, found once and kept beside them.

Every trial wants to know it at its start, and with a million lines finding out takes minutes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.lines.store import LineStore
from core.patches.offsets import PER_LINE, PER_RUN, InkedOffsets, kept_as
from core.settings import PatchSettings

_LINES_AT_ONCE = 4096


def keep_offsets(store: LineStore, settings: PatchSettings) -> None:
    """Test the offsets of all lines, unless that is kept already.

    Raises:
        PatchError: if a patch is higher than the lines.
    """
    about = kept_as(settings.size_px, settings.min_ink)
    if store.kept_arrays(about) is None:
        store.keep_arrays(about, _find_all(store, settings))


def _find_all(store: LineStore, settings: PatchSettings) -> Mapping[str, NDArray[Any]]:
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in (*PER_LINE, *PER_RUN)}
    n_runs = 0
    for start in range(0, max(1, len(store)), _LINES_AT_ONCE):
        lines = range(start, min(start + _LINES_AT_ONCE, len(store)))
        found = InkedOffsets.find(store, lines, settings.size_px, settings.min_ink)
        for name, arrays in parts.items():
            arrays.append(getattr(found, name) + (n_runs if name == "first_runs" else 0))
        n_runs += len(found.run_tops)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}
