"""Whose hand it is, as a model answers: for an image, for a page, for all images together.

One type all the way: the network's process makes it, JSON carries it, commands print it and the
gate scores it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.identification.calibration import apply_temperature
from core.identification.model_record import ModelRecord

_SMALLEST = 1e-300  # probabilities below are 0 in a row


@dataclass(frozen=True)
class RankedWriter:
    """A writer and the probability, 0 to 1, that the model gives them."""

    writer_id: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image.

    Attributes:
        image: its path, or its id in a corpus.
        ranking: the writers that the model knows, the most probable first. Where all are there,
            their probabilities sum to 1, as if the image were by one of them.
        none_of_these: the share of unknown writers' images that look at least as much like a known
            writer; near 1 it is by an unknown writer. `None` for a network without calibration, or
            one that may not say so.
        is_known: whether it is taken for one of the known writers, at the record's false accept
            rate; `None` likewise.
        n_lines: text lines found.
        n_patches: patches asked.
        calibrated_on: `image` or `page`, whose temperature and unknown writers were used.
    """

    image: str
    ranking: tuple[RankedWriter, ...]
    none_of_these: float | None
    is_known: bool | None
    n_lines: int
    n_patches: int
    calibrated_on: str | None = None

    @property
    def writer_id(self) -> str:
        """The writer with the highest probability."""
        return self.ranking[0].writer_id

    @property
    def probability(self) -> float:
        """Of that writer."""
        return self.ranking[0].probability

    def probability_of(self, writer_id: str) -> float:
        """Of any writer; 0 for one that the model does not know."""
        return next((writer.probability for writer in self.ranking if writer.writer_id == writer_id), 0.0)

    def as_row(self, top: int = 0) -> dict[str, Any]:
        """As plain values that go through JSON: the columns that a registered model answers with.

        Args:
            top: how many writers to rank; 0 for all.
        """
        return {
            "writer_id": self.writer_id,
            "probability": self.probability,
            "none_of_these": self.none_of_these,
            "is_known": self.is_known,
            "ranking": ranking_as_json(self.ranking[: top or None]),
            "n_lines": self.n_lines,
            "n_patches": self.n_patches,
            "calibrated_on": self.calibrated_on,
        }

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, and the first five writers with bars."""
        unknown = "" if self.is_known is not False else " It looks like none of the known writers."
        rows = "".join(
            f"<tr><td>{escape(writer.writer_id)}</td><td>{writer.probability:.1%}</td>"
            f'<td style="width: 12em"><div style="background: #4c72b0; height: 0.8em; '
            f'width: {writer.probability:.1%}"></div></td></tr>'
            for writer in self.ranking[:5]
        )
        head = "<tr><th>writer</th><th>probability</th><th></th></tr>"
        read = f"{self.n_lines} {'line' if self.n_lines == 1 else 'lines'} read."
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        return f"<p><b>{escape(self.image)}</b>: {read}{unknown}</p>{table}"

    @classmethod
    def from_row(cls, image: str, row: Mapping[str, Any]) -> Self:
        """Read what `as_row` wrote, of this version or of 0.1, which is the same.

        Args:
            image: its path or id, which a row has not.
            row: without an error.
        """
        return cls(
            image,
            tuple(RankedWriter(writer["writer_id"], writer["probability"]) for writer in row["ranking"]),
            row["none_of_these"],
            row["is_known"],
            row["n_lines"],
            row["n_patches"],
            row.get("calibrated_on"),
        )


def ranking_as_json(ranking: Sequence[RankedWriter]) -> list[dict[str, Any]]:
    """Ranked writers as plain values."""
    return [{"writer_id": writer.writer_id, "probability": writer.probability} for writer in ranking]


def rank_writers(probabilities: NDArray[np.floating], writer_ids: Sequence[str]) -> tuple[RankedWriter, ...]:
    """Rank writers by their probabilities, (n_writers,)."""
    order = np.argsort(-probabilities, kind="stable")
    return tuple(RankedWriter(writer_ids[k], float(probabilities[k])) for k in order)


def combine(predictions: Sequence[Prediction], record: ModelRecord | None = None) -> tuple[RankedWriter, ...]:
    """Rank the writers if one of them wrote all of these images: the mean over all their patches.

    Args:
        predictions: at least one, each with all writers.
        record: of the model. Its calibrations are undone for the mean, and that of as many lines is
            put on; without it, or where writers were enrolled, the calibrated probabilities are
            averaged as they are.
    """
    if record and len(predictions[0].ranking) != len(record.writer_ids):
        record = None
    writer_ids = record.writer_ids if record else tuple(writer.writer_id for writer in predictions[0].ranking)
    means = np.zeros(len(writer_ids))
    for prediction in predictions:
        of_writer = {writer.writer_id: writer.probability for writer in prediction.ranking}
        probabilities = np.maximum([of_writer[writer_id] for writer_id in writer_ids], _SMALLEST)
        means += prediction.n_patches * np.log(probabilities) * _temperature(record, prediction.n_lines)
    means /= sum(prediction.n_patches for prediction in predictions)
    n_lines = sum(prediction.n_lines for prediction in predictions)
    return rank_writers(np.exp(apply_temperature(means, _temperature(record, n_lines))), writer_ids)


def _temperature(record: ModelRecord | None, n_lines: int) -> float:
    calibration = record.calibration(n_lines) if record else None
    return calibration.temperature if calibration else 1.0
