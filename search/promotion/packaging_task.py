"""What a worker must know to make the model that people use, and what it leaves; free of TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from core.corpora.index import TextImage, Unit
from search.objectives.tasks import PatchTask

PACKAGE_IDENTIFIER = "search.promotion.packaging:package_identifier"
REFERENCE_FILE = "reference.json"


@dataclass(frozen=True)
class PackagingTask:
    """A refitted network that becomes the model that people use.

    Attributes:
        model: the network's folder.
        task: of the trial that trained it.
        references: validation images, whose answers are kept to be compared with those of the finished model.
        unit: what all images of the corpus are; `auto` where they differ.
        strangers: line store of images by writers who took no part; `None` where there are too few: then strangers
            are made of the validation images.
        false_accept_rate: share of strangers that may be taken for a known writer.
    """

    model: Path
    task: PatchTask
    references: tuple[TextImage, ...]
    unit: Unit
    strangers: Path | None
    false_accept_rate: float


@dataclass(frozen=True)
class ReferenceAnswer:
    """What the network says about a validation image, by the way of the evaluation.

    Attributes:
        image: where it lies, and how it is to be read.
        probabilities: calibrated, by writer id.
    """

    image: TextImage
    probabilities: Mapping[str, float]


_REFERENCES: TypeAdapter[tuple[ReferenceAnswer, ...]] = TypeAdapter(tuple[ReferenceAnswer, ...])


def write_references(references: Sequence[ReferenceAnswer], path: Path) -> None:
    """Write answers for later comparison."""
    path.write_bytes(_REFERENCES.dump_json(tuple(references), indent=1))


def read_references(path: Path) -> tuple[ReferenceAnswer, ...]:
    """Read what `write_references` wrote."""
    return _REFERENCES.validate_json(path.read_bytes())
