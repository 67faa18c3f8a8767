"""A network small enough to save in a moment, and untrained; and a model made of it as people use
it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from core.identification.calibration import Calibration, fit_unknown_writer_test
from core.identification.gallery import GALLERY_FILE, Gallery
from core.identification.model_record import ModelRecord
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.settings import InkSettings, PatchSettings
from search.identification.identifier_folder import save_identifier
from search.identification.served_model import GALLERY
from search.objectives.saved_model import network_file, save_model

N_DIMENSIONS = 8  # of what comes before the logits
WRITER_IDS = ("007", "012", "101")
RECORD = ModelRecord(
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
    return save_model(build_model(point, (113, 113, 1), len(WRITER_IDS)), folder, RECORD, EXAMPLE)


def calibrated_record() -> ModelRecord:
    """With a temperature and unknown writers that fit nothing in particular, another one for
    pages.
    """
    spread = np.linspace(0.3, 0.6, 40)
    test = fit_unknown_writer_test("class_removed", spread, spread + 0.2, 0.1)
    return replace(RECORD, calibrations=(Calibration("image", 0.8, 40, test), Calibration("page", 0.5, 40, test)))


def toy_gallery() -> Gallery:
    """Three random patches of each writer; their points are random, too."""
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (9, 113, 113), dtype=np.uint8)
    points = generator.normal(size=(9, N_DIMENSIONS)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Gallery(pixels, np.repeat(np.arange(3), 3), points, tuple(f"page-{number}" for number in range(9)))


def save_toy_identifier(folder: Path) -> Path:
    """Save the model in `folder / identifier`, its network in `folder / network`."""
    network = save_toy_model(folder / "network")
    toy_gallery().save(folder / GALLERY_FILE)
    further = {GALLERY: folder / GALLERY_FILE}
    return save_identifier(network_file(network), calibrated_record(), folder / "identifier", further)


def write_line(path: Path, n_strokes: int = 14) -> Path:
    """An image of one line of strokes."""
    image = Image.new("L", (40 * n_strokes + 40, 120), 255)
    pen = ImageDraw.Draw(image)
    for left in range(20, 40 * n_strokes, 40):
        pen.line([(left, 95), (left + 18, 25), (left + 30, 95)], fill=20, width=6)
    image.save(path)
    return path
