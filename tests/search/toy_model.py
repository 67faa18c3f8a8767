"""A network small enough to save in a moment, and untrained; and a model made of it as people use
it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from core.identification.calibration import Calibration, fit_unknown_writer_test
from core.identification.gallery import GALLERY_FILE, Gallery
from core.identification.model_record import ModelRecord
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.retrieval.known_hands import AMOUNTS, HANDS_FILE, DescribedPage, Hands, PagesByInk
from core.settings import InkSettings, PatchSettings
from search.identification.identifier_folder import ARTIFACTS, save_identifier
from search.identification.served_model import GALLERY
from search.objectives.saved_model import network_file, save_model
from search.tracking.aliases import set_champion
from search.tracking.registry import CHAMPION, find_alias, register_version
from search.tracking.store import TrackingStore

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


def toy_hands(n_set_aside: int = 36) -> Hands:
    """Points around a centre for each writer, whatever the network says; twelve writers set
    aside.
    """
    generator = np.random.default_rng(2)

    def pages(writers: Sequence[str]) -> PagesByInk:
        centre_of = {writer: generator.normal(size=N_DIMENSIONS) for writer in sorted(set(writers))}
        points = np.array([centre_of[writer] for writer in writers]).reshape(len(writers), N_DIMENSIONS)
        points += generator.normal(scale=0.5, size=points.shape)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        rows = points.astype(np.float32)
        by_amount = np.repeat(rows[:, np.newaxis], len(AMOUNTS), axis=1)
        numbers = range(len(writers))
        described = (DescribedPage(writers[number], rows[number], 64, by_amount[number]) for number in numbers)
        return PagesByInk.of(described, N_DIMENSIONS)

    centres = generator.normal(size=(len(WRITER_IDS), N_DIMENSIONS)).astype(np.float32)
    return Hands(
        centres=centres / np.linalg.norm(centres, axis=1, keepdims=True),
        n_pages=np.array([4, 4, 4]),
        n_patches=np.array([256, 256, 256]),
        validation=pages(WRITER_IDS * 4),
        set_aside=pages([f"aside {number % 12}" for number in range(n_set_aside)]),
        set_aside_from="writers of toy who took no part in training",
        false_accept_rate=0.1,
        max_false_reject_rate=1.0,
    )


def save_toy_champion(store: TrackingStore, folder: Path, name: str = "toy", hands: Hands | None = None) -> int:
    """Register a model as people use it, without code of its own, as the champion.

    Args:
        store: an open store.
        folder: must not exist.
        name: in the registry.
        hands: that it takes along; without them it is of before there were any.

    Returns:
        Its version.
    """
    network = save_toy_model(folder / "network")
    beside = folder / "identifier" / ARTIFACTS
    beside.mkdir(parents=True)
    shutil.copy(network_file(network), beside / "model.keras")
    calibrated_record().save(beside)
    (folder / "identifier" / "MLmodel").write_text("flavors: {}\n")
    if hands is not None:
        hands.save(beside / HANDS_FILE)
    client = store.client()
    experiment = client.get_experiment_by_name("toy")
    location = str(folder.parent / "models")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("toy", location)
    run = client.create_run(experiment_id)
    model = client.create_logged_model(experiment_id, name="toy-000", source_run_id=run.info.run_id)
    client.log_model_artifacts(model.model_id, str(folder / "identifier"))
    client.finalize_logged_model(model.model_id, "READY")
    before = find_alias(store, name, CHAMPION)
    version = register_version(store, name, str(model.model_id), {}).version
    set_champion(store, name, version, before.version if before else None)
    return version


def write_line(path: Path, n_strokes: int = 14) -> Path:
    """An image of one line of strokes."""
    image = Image.new("L", (40 * n_strokes + 40, 120), 255)
    pen = ImageDraw.Draw(image)
    for left in range(20, 40 * n_strokes, 40):
        pen.line([(left, 95), (left + 18, 25), (left + 30, 95)], fill=20, width=6)
    image.save(path)
    return path
