"""Whose hand wrote this image? A network with its record, from pixels to ranked writers.

The images go the way of the evaluation: lines are found and scaled as in training, patches spaced evenly over the ink,
their log-probabilities averaged, and the mean made into probabilities by the temperature of the record.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import keras
import numpy as np
from numpy.typing import NDArray

from core.corpora.index import TextImage, Unit
from core.errors import ImageError, RegistryError
from core.identification.calibration import apply_temperature
from core.identification.model_record import ModelRecord
from core.lines.source import ImageLines
from core.networks.inference import Predictor
from core.pages.text_lines import lines_of_grey
from core.patches.plan import PatchPlan, evaluation_plan, read_patches
from core.scoring.mean_scores import mean_log_probabilities

BATCH_SIZE = 64


@dataclass(frozen=True)
class RankedWriter:
    """A writer and the probability, 0 to 1, that the model gives them."""

    writer_id: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """The answer for one image.

    Attributes:
        ranking: all writers that the model knows, the most probable first; their probabilities sum to 1, as if the
            image were by one of them.
        none_of_these: the share of unknown writers that look at least as much like a known one; near 1
            the writer is unknown. `None` for a network without calibration.
        is_known: whether it is taken for one of the known writers, at the record's false accept rate.
        n_lines: text lines found.
        n_patches: patches asked.
        calibrated_on: `image` or `page`, whose temperature and unknown writers were used.
    """

    ranking: tuple[RankedWriter, ...]
    none_of_these: float | None
    is_known: bool | None
    n_lines: int
    n_patches: int
    calibrated_on: str | None


class WriterIdentifier:
    """A network and what must be known to ask it.

    Attributes:
        record: writers, settings and calibration.
        predictor: of the network.
    """

    def __init__(self, network: keras.Model, record: ModelRecord) -> None:
        self.record = record
        self.predictor = Predictor(network)

    @classmethod
    def load(cls, network: Path, record: Path) -> Self:
        """Load from files.

        Args:
            network: a `.keras` file.
            record: the folder that holds `whosehand.json`.

        Raises:
            RegistryError: if one of them is missing or damaged.
        """
        known = ModelRecord.load(record)
        try:
            return cls(keras.saving.load_model(network, compile=False), known)
        except (OSError, ValueError, TypeError) as error:
            raise RegistryError(f"The network {network} cannot be loaded: {error}") from error

    def identify(self, grey: NDArray[np.uint8], name: str, read_as: Unit = "auto") -> Answer:
        """Rank the writers by how likely they wrote an image.

        Args:
            grey: (height, width), as `core.pages.image_files` gives it: dark ink on light paper.
            name: of the image in errors.
            read_as: a single line, a page whose lines are to be found, a form, or what the ink tells.

        Raises:
            ImageError: if there is no handwriting on it.
            PatchError: if no patch can be cut from it.
        """
        lines = self.read_lines(grey, name, read_as)
        plan = self.plan_patches(lines)
        return self.answer(self.log_probabilities(lines, plan), len(lines.lines))

    def read_lines(self, grey: NDArray[np.uint8], name: str, read_as: Unit = "auto") -> ImageLines:
        """Find the lines of an image and scale them as in training.

        A network that was trained on forms is likely to be given forms: where nothing is said, the print of one is
        looked for and cut off.
        """
        if read_as == "auto" and self.record.unit == "form":
            with suppress(ImageError):  # no form
                return self._read_lines(grey, name, "form")
        return self._read_lines(grey, name, read_as)

    def _read_lines(self, grey: NDArray[np.uint8], name: str, unit: Unit) -> ImageLines:
        image = TextImage(image_id=name, path=Path(name), writer_id="", unit=unit)
        return ImageLines(name, lines_of_grey(grey, image, self.record.ink), self.record.ink.height_px, unit)

    def plan_patches(self, lines: ImageLines) -> PatchPlan:
        """Space patches evenly over the ink of all lines together."""
        patches = self.record.patches
        return evaluation_plan(lines, [line.image_id for line in lines.lines], None, patches, patches.per_image_at_test)

    def log_probabilities(self, lines: ImageLines, plan: PatchPlan) -> NDArray[np.float32]:
        """Ask the network for each patch of a plan: (n_patches, n_writers)."""
        starts = range(0, len(plan), BATCH_SIZE)
        batches = (read_patches(lines, plan[start : start + BATCH_SIZE])[..., np.newaxis] for start in starts)
        return self.predictor.log_probabilities(batches)

    def answer(self, log_probabilities: NDArray[np.float32], n_lines: int) -> Answer:
        """Average the patches of one image, and calibrate.

        Args:
            log_probabilities: (n_patches, n_writers).
            n_lines: of the image: of several lines, the calibration of pages counts.
        """
        mean = mean_log_probabilities(log_probabilities, [None] * len(log_probabilities))[1]
        calibration = self.record.calibration(n_lines)
        probabilities = np.exp(apply_temperature(mean, calibration.temperature if calibration else 1.0))[0]
        order = np.argsort(-probabilities, kind="stable")
        best = float(probabilities[order[0]])
        return Answer(
            ranking=tuple(RankedWriter(self.record.writer_ids[k], float(probabilities[k])) for k in order),
            none_of_these=calibration.unknown_writers.none_of_these(best) if calibration else None,
            is_known=calibration.unknown_writers.is_known(best) if calibration else None,
            n_lines=n_lines,
            n_patches=len(log_probabilities),
            calibrated_on=calibration.unit if calibration else None,
        )
