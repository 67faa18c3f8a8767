"""A network small enough to save in a moment, and untrained."""

from pathlib import Path

import numpy as np

from core.hyperparameters import Hyperparameters
from core.ink import InkSettings
from core.model import build_model
from core.patches import PatchSettings
from search.identification.saved_model import ModelCard, save_model

WRITER_IDS = ("007", "012", "101")
CARD = ModelCard(
    writer_ids=WRITER_IDS,
    ink=InkSettings(height_px=113),
    patches=PatchSettings(per_image_at_test=6),
    corpus="toy",
    split_hash="ab" * 32,
    test_hash="cd" * 32,
    scores={"image_top1": 0.5},
    version="0.1.0",
)
EXAMPLE = np.random.default_rng(0).integers(0, 256, (1, 113, 113, 1), dtype=np.uint8)


def save_toy_model(folder: Path) -> Path:
    point = Hyperparameters(n_blocks=2, filters=4, convolutions_per_block=1)
    return save_model(build_model(point, (113, 113, 1), len(WRITER_IDS)), folder, CARD, EXAMPLE)
