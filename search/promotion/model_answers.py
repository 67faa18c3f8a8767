"""What a finished model says about images of a corpus: asked as anybody would ask it, in a process of its own.

Candidate and champion may differ in all that comes before the network, even in the version of whosehand: so each is
given the images, not patches, and the answers are compared.

Does the registered model, loaded afresh in another process, say what the network said before it was packed?
"""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pydantic import TypeAdapter

from core.corpora.index import TextImage
from core.identification.calibration import apply_temperature
from core.pages.image_files import read_grey
from search.identification.model_process import ModelProcess
from search.ledger.files import write_atomically
from search.promotion.refit import ReferenceAnswer

_SMALLEST = 1e-12


@dataclass(frozen=True)
class ImageAnswer:
    """A model's answer for one image of a corpus.

    Attributes:
        image_id: of the image.
        writer_id: who wrote it.
        group_id: its page, or the image itself where there are no pages.
        probabilities: calibrated, by writer id.
        none_of_these: see `core.identification.calibration`.
        is_known: whether the model takes it for one of its writers'.
        n_patches: patches asked.
        duration_s: from the question to the answer.
    """

    image_id: str
    writer_id: str
    group_id: str
    probabilities: Mapping[str, float]
    none_of_these: float | None
    is_known: bool | None
    n_patches: int
    duration_s: float

    @property
    def log_loss(self) -> float:
        """Of the right writer, in nats; a writer that the model does not know counts as nearly impossible."""
        return -math.log(max(self.probabilities.get(self.writer_id, 0.0), _SMALLEST))

    @property
    def named(self) -> str:
        """The writer with the highest probability."""
        return max(self.probabilities, key=lambda writer_id: self.probabilities[writer_id])

    @property
    def is_right(self) -> bool:
        """Whether that is who wrote it."""
        return self.named == self.writer_id


@dataclass(frozen=True)
class ModelAnswers:
    """The answers for many images.

    Attributes:
        images: in the order asked.
        unusable: images that the model could not use, with the reason.
    """

    images: tuple[ImageAnswer, ...]
    unusable: Mapping[str, str]


_ANSWERS: TypeAdapter[ModelAnswers] = TypeAdapter(ModelAnswers)


def ask_about(model: ModelProcess, images: Sequence[TextImage]) -> ModelAnswers:
    """Ask a model about images of a corpus, each read as the corpus says.

    Raises:
        ImageError: if a file cannot be read any more.
        RegistryError: if the model's process ends.
    """
    answers: list[ImageAnswer] = []
    unusable: dict[str, str] = {}
    for image in images:
        content = image_content(image)
        started = time.perf_counter()
        row = model.ask(content, {"top": 0, "read_as": image.unit})
        duration_s = time.perf_counter() - started
        if row["error"] is not None:
            unusable[image.image_id] = row["error"]
            continue
        probabilities = {writer["writer_id"]: writer["probability"] for writer in row["ranking"]}
        answers.append(
            ImageAnswer(
                image.image_id,
                image.writer_id,
                image.group_id,
                probabilities,
                row["none_of_these"],
                row["is_known"],
                row["n_patches"],
                duration_s,
            )
        )
    return ModelAnswers(tuple(answers), unusable)


def image_content(image: TextImage) -> bytes | Path:
    """What to give to a model: the file, or of a region its grey values as PNG, which loses nothing."""
    if image.region is None:
        return image.path
    _, encoded = cv2.imencode(".png", read_grey(image.path, image.region))
    return encoded.tobytes()


def page_decisions(answers: Sequence[ImageAnswer]) -> dict[tuple[str, str], bool]:
    """Whether each page is decided rightly: the mean over its images, weighed by their patches.

    Returns:
        By (writer, page): hands on a shared page count apart.
    """
    pages: dict[tuple[str, str], list[ImageAnswer]] = {}
    for answer in answers:
        pages.setdefault((answer.writer_id, answer.group_id), []).append(answer)
    return {page: _named_together(own) == page[0] for page, own in pages.items()}


def save_answers(answers: ModelAnswers, path: Path) -> None:
    """Write answers, so that pages need not be opened again for the same model."""
    write_atomically(path, _ANSWERS.dump_json(answers))


def load_answers(path: Path) -> ModelAnswers | None:
    """Read answers, if they were kept."""
    return _ANSWERS.validate_json(path.read_bytes()) if path.exists() else None


def _named_together(answers: Sequence[ImageAnswer]) -> str:
    writer_ids = list(answers[0].probabilities)
    logarithms = np.log(
        np.maximum([[answer.probabilities[writer_id] for writer_id in writer_ids] for answer in answers], 1e-300)
    )
    weights = np.array([answer.n_patches for answer in answers], dtype=np.float64)
    return writer_ids[int(apply_temperature(weights @ logarithms / weights.sum(), 1.0).argmax())]


TOLERANCE = {"float32": 1e-3, "mixed_bfloat16": 2e-2}
"""Largest difference of any writer's probability that still counts as the same.

Before, patches of many images went through the network in one batch, afterwards those of one: sums are added in another
order, and a temperature below 1 enlarges the difference. In float32 1e-5 and less was seen."""


@dataclass(frozen=True)
class SmokeTest:
    """How it went.

    Attributes:
        n_images: that were asked about.
        largest_difference: of any writer's probability.
        tolerance: that it had to stay within.
        latency_s: median seconds for an image, once the model is loaded.
        failure: what went wrong; empty if nothing did.
    """

    n_images: int
    largest_difference: float
    tolerance: float
    latency_s: float
    failure: str


def smoke_test(model: ModelProcess, references: Sequence[ReferenceAnswer], precision: str) -> SmokeTest:
    """Ask a freshly loaded model about validation images whose answers are known.

    Args:
        model: loaded from the registry.
        references: the network's own answers.
        precision: that both compute in.

    Raises:
        RegistryError: if the model's process ends.
    """
    answers = ask_about(model, [reference.image for reference in references])
    tolerance = TOLERANCE.get(precision, max(TOLERANCE.values()))
    expected = {reference.image.image_id: reference.probabilities for reference in references}
    differences = [
        abs(probability - expected[answer.image_id][writer_id])
        for answer in answers.images
        for writer_id, probability in answer.probabilities.items()
    ]
    largest = max(differences, default=0.0)
    failure = ""
    if answers.unusable:
        failure = f"it could not use {len(answers.unusable)} of {len(references)} validation images: " + "; ".join(
            answers.unusable.values()
        )
    elif not differences:
        failure = "there was no validation image to ask about"
    elif largest > tolerance:
        failure = f"its probabilities differ from the network's by {largest:.2g}, more than {tolerance:g}"
    latency_s = statistics.median(answer.duration_s for answer in answers.images) if answers.images else 0.0
    return SmokeTest(len(answers.images), largest, tolerance, latency_s, failure)
