"""What a model says of many images of a corpus, asked one by one, and how that is kept."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from pydantic import TypeAdapter

from core.corpora.index import TextImage
from core.durable_files import write_atomically
from core.identification.prediction import Prediction
from core.lines.reading import ProgressCallback
from core.pages.image_files import read_grey
from search.identification.model_process import ModelProcess
from search.promotion.refit import ranked
from search.promotion.tested_images import TestedImages


@dataclass(frozen=True)
class ModelAnswers:
    """A model's answers for many images.

    Attributes:
        predictions: by image id.
        unusable: by image id, why the model could not use the image.
        latency_s: median seconds for an image; 0 where none could be used.
    """

    predictions: Mapping[str, Prediction]
    unusable: Mapping[str, str]
    latency_s: float = 0.0

    def of(self, images: Sequence[TextImage]) -> TestedImages:
        """Those for images of a corpus."""
        usable = tuple(image for image in images if image.image_id in self.predictions)
        return TestedImages(usable, self.predictions)


_ANSWERS: TypeAdapter[ModelAnswers] = TypeAdapter(ModelAnswers)


def ask_about(
    model: ModelProcess, images: Sequence[TextImage], on_progress: ProgressCallback | None = None
) -> ModelAnswers:
    """Ask a model about images of a corpus, each read as the corpus says.

    Args:
        model: that is asked.
        images: about which.
        on_progress: called with (images done, in all).

    Raises:
        ImageError: if a file cannot be read any more.
        RegistryError: if the model's process ends.
    """
    predictions: dict[str, Prediction] = {}
    unusable: dict[str, str] = {}
    durations_s: list[float] = []
    for number, image in enumerate(images):
        if on_progress is not None:
            on_progress(number, len(images))
        content = image_content(image)
        started = time.perf_counter()
        row = model.ask(content, {"top": 0, "read_as": image.unit})
        if row["error"] is not None:
            unusable[image.image_id] = row["error"]
            continue
        durations_s.append(time.perf_counter() - started)
        predictions[image.image_id] = Prediction.from_row(image.image_id, row)
    return ModelAnswers(predictions, unusable, statistics.median(durations_s) if durations_s else 0.0)


def image_content(image: TextImage) -> bytes | Path:
    """What to give to a model: the file, or of a region its grey values as PNG, which loses
    nothing.
    """
    if image.region is None:
        return image.path
    _, encoded = cv2.imencode(".png", read_grey(image.path, image.region))
    return encoded.tobytes()


def save_answers(answers: ModelAnswers, path: Path) -> None:
    """Keep answers; the file appears whole or not at all."""
    write_atomically(path, _ANSWERS.dump_json(answers))


def load_answers(path: Path) -> ModelAnswers | None:
    """Read answers, if they were kept, also those of version 0.1: the test set is not opened again
    for them.
    """
    if not path.exists():
        return None
    content = json.loads(path.read_bytes())
    if "images" not in content:
        return _ANSWERS.validate_python(content, strict=False)
    old = content["images"]
    predictions = {
        item["image_id"]: Prediction(
            item["image_id"],
            ranked(item["probabilities"]),
            item["none_of_these"],
            item["is_known"],
            1,
            item["n_patches"],
        )
        for item in old
    }
    return ModelAnswers(predictions, content["unusable"], statistics.median(item["duration_s"] for item in old))
