"""Whose hand wrote these images: ranked writers from a saved model.

The images go the way of the evaluation: lines are found and scaled as in training, patches spaced evenly over the ink,
and their log-probabilities averaged. The writers are those of the training corpus; someone else's hand gets the name of
the most similar of them.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.corpora.base import CorpusIndex, SetAside, TextImage
from core.errors import ImageError
from core.feed import evaluation_batches
from core.ink import text_lines
from core.levels import mean_log_probabilities
from core.linestore import LineStore, build_line_store
from core.patches import evaluation_plan
from search.identification.saved_model import ModelCard, load_model

BATCH_SIZE = 64


@dataclass(frozen=True)
class RankedWriter:
    """A writer and the probability, 0 to 1, that the model gives them."""

    writer_id: str
    probability: float


@dataclass(frozen=True)
class ImageVerdict:
    """The answer for one image.

    Attributes:
        path: of the image.
        ranking: all writers, the most probable first.
        n_lines: text lines found.
        n_patches: patches asked.
    """

    path: Path
    ranking: tuple[RankedWriter, ...]
    n_lines: int
    n_patches: int


@dataclass(frozen=True)
class Identification:
    """The answers for all images.

    Attributes:
        images: one verdict for each readable image, in the order given.
        together: the ranking if one writer wrote all of them: the mean over all patches.
        unreadable: images that could not be used, and why.
        card: of the model that was asked.
    """

    images: tuple[ImageVerdict, ...]
    together: tuple[RankedWriter, ...]
    unreadable: tuple[SetAside, ...]
    card: ModelCard


def identify(paths: Sequence[Path], model_folder: Path) -> Identification:
    """Rank the writers that a model knows by how likely they wrote each image, and all of them together.

    Args:
        paths: of image files: pages, lines or words.
        model_folder: a model saved by `search.identification.saved_model`.

    Raises:
        ImageError: if none of the images can be used; it names each with the reason. Where some can, the others are
            in the answer's `unreadable`.
        RegistryError: if the model cannot be loaded.
    """
    card = ModelCard.load(model_folder)
    images, unreadable = _readable(paths, card)
    if not images:
        reasons = "\n".join(f"  {item.reason}" for item in unreadable) or "  no image was given"
        raise ImageError(f"At least one image must show handwriting, but none does:\n{reasons}")
    model = load_model(model_folder)
    with tempfile.TemporaryDirectory(prefix="whosehand-") as folder:
        index = CorpusIndex("to identify", Path(), images)
        store = build_line_store(index, card.ink, Path(folder))
        verdicts, together = _ask(model, store, card, images)
    return Identification(verdicts, together, unreadable, card)


def _readable(paths: Sequence[Path], card: ModelCard) -> tuple[tuple[TextImage, ...], tuple[SetAside, ...]]:
    images, unreadable = [], []
    for path in dict.fromkeys(paths):
        image = TextImage(image_id=str(path), path=path, writer_id="", unit="auto")
        try:
            text_lines(image, card.ink)
        except ImageError as error:
            unreadable.append(SetAside(path, str(error)))
        else:
            images.append(image)
    return tuple(images), tuple(unreadable)


def _ask(
    model: Any, store: LineStore, card: ModelCard, images: Sequence[TextImage]
) -> tuple[tuple[ImageVerdict, ...], tuple[RankedWriter, ...]]:
    image_ids = [image.image_id for image in images]
    plan = evaluation_plan(store, image_ids, None, card.patches, card.patches.per_image_at_test)
    batches = evaluation_batches(store, plan, BATCH_SIZE)
    probabilities = [model.predict_on_batch(batch) for batch in batches]
    log_probabilities = np.log(np.maximum(np.concatenate(probabilities), np.finfo(np.float32).tiny))
    owners = [store.lines[line].image_id for line in plan.lines.tolist()]
    names, scores = mean_log_probabilities(log_probabilities, owners)
    score_of = dict(zip(names, scores, strict=True))
    n_lines = {image_id: sum(line.image_id == image_id for line in store.lines) for image_id in image_ids}
    verdicts = tuple(
        ImageVerdict(
            image.path,
            _ranking(score_of[image.image_id], card.writer_ids),
            n_lines[image.image_id],
            owners.count(image.image_id),
        )
        for image in images
        if image.image_id in score_of
    )
    _, overall = mean_log_probabilities(log_probabilities, [None] * len(owners))
    return verdicts, _ranking(overall[0], card.writer_ids)


def _ranking(log_probabilities: npt.NDArray[np.float64], writer_ids: Sequence[str]) -> tuple[RankedWriter, ...]:
    order = np.argsort(-log_probabilities, kind="stable")
    return tuple(RankedWriter(writer_ids[k], float(np.exp(log_probabilities[k]))) for k in order)
