"""Whose hand wrote this image? A network with its record, from pixels to ranked writers.

The images go the way of the evaluation: lines are found and scaled as in training, patches spaced
evenly over the ink, their log-probabilities averaged, and the mean made into probabilities by the
temperature of the record.
"""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Self

import keras
import numpy as np
from numpy.typing import NDArray

from core.corpora.index import TextImage, Unit
from core.errors import ImageError, RegistryError
from core.identification.calibration import apply_temperature
from core.identification.model_record import ModelRecord, own_layers
from core.identification.prediction import Prediction, rank_writers
from core.lines.source import ImageLines, LineSource
from core.networks.inference import Predictor
from core.pages.text_lines import lines_of_grey
from core.patches.plan import PatchPlan, evaluation_plan, read_patches
from core.scoring.mean_scores import mean_log_probabilities

BATCH_SIZE = 64


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
    def load(cls, network: Path, record: Path, runs_own_code: bool = True) -> Self:
        """Load from files.

        Args:
            network: a `.keras` file.
            record: the folder that holds `whosehand.json`.
            runs_own_code: whether a module of the user's own that lies beside the record may be
                imported.

        Raises:
            RegistryError: if one of them is missing or damaged.
        """
        known = ModelRecord.load(record)
        try:
            with own_layers(record) if runs_own_code else nullcontext():
                return cls(keras.saving.load_model(network, compile=False, safe_mode=True), known)
        except (OSError, ValueError, TypeError) as error:
            raise RegistryError(f"The network {network} cannot be loaded: {error}") from error

    def identify(self, grey: NDArray[np.uint8], name: str, read_as: Unit = "auto") -> Prediction:
        """Rank the writers by how likely they wrote an image.

        Args:
            grey: (height, width), as `core.pages.image_files` gives it: dark ink on light paper.
            name: of the image in errors.
            read_as: a single line, a page whose lines are to be found, a form, or what the ink
                tells.

        Raises:
            ImageError: if there is no handwriting on it.
            PatchError: if no patch can be cut from it.
        """
        return self.identify_lines(self.read_lines(grey, name, read_as), name)

    def identify_lines(self, lines: ImageLines, name: str) -> Prediction:
        """The same of lines that were read.

        Raises:
            PatchError: if no patch can be cut from them.
        """
        return self.predict(self.log_probabilities(lines, self.plan_patches(lines)), len(lines.lines), name)

    def read_lines(self, grey: NDArray[np.uint8], name: str, read_as: Unit = "auto") -> ImageLines:
        """Find the lines of an image and scale them as in training.

        A network that was trained on forms is likely to be given forms: where nothing is said, the
        print of one is looked for and cut off.
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

    def log_probabilities(self, lines: LineSource, plan: PatchPlan) -> NDArray[np.float32]:
        """Ask the network for each patch of a plan: (n_patches, n_writers)."""
        starts = range(0, len(plan), BATCH_SIZE)
        batches = (read_patches(lines, plan[start : start + BATCH_SIZE])[..., np.newaxis] for start in starts)
        return self.predictor.log_probabilities(batches)

    def predict(self, log_probabilities: NDArray[np.float32], n_lines: int, name: str) -> Prediction:
        """Average the patches of one image, and calibrate.

        Args:
            log_probabilities: (n_patches, n_writers).
            n_lines: of the image: of several lines, the calibration of pages counts.
            name: of the image.
        """
        mean = mean_log_probabilities(log_probabilities, [None] * len(log_probabilities))[1]
        calibration = self.record.calibration(n_lines)
        probabilities = np.exp(apply_temperature(mean, calibration.temperature if calibration else 1.0))[0]
        ranking = rank_writers(probabilities, self.record.writer_ids)
        unknown = calibration.unknown_writers if calibration and calibration.unknown_writers.is_used else None
        return Prediction(
            image=name,
            ranking=ranking,
            none_of_these=unknown.none_of_these(ranking[0].probability) if unknown else None,
            is_known=unknown.is_known(ranking[0].probability) if unknown else None,
            n_lines=n_lines,
            n_patches=len(log_probabilities),
            calibrated_on=calibration.unit if calibration else None,
        )
