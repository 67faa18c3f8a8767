"""What a fit begins with, as a worker is told: free of TensorFlow, since the driver makes it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.networks.hyperparameters import Hyperparameters
from core.networks.origin import Origin
from core.settings import PatchSettings
from core.space import Value
from search.ledger.trial import FileReference

READ_WEIGHTS = "search.objectives.first_network:read_weights"
_FORMAT = 1


@dataclass(frozen=True)
class ReadingTask:
    """A saved network whose weights shall lie in a file of their own.

    Attributes:
        network: a `.keras` file.
        name: what to call it.
    """

    network: Path
    name: str


@dataclass(frozen=True)
class GivenStart:
    """The weights of a network that is there: a registered model, or a trial of a sweep.

    Attributes:
        weights: their file, see `core.networks.starting_weights`.
        network: whose weights they are.
        lineage: a file that says on which images that network was trained, and those that it began
            with.
    """

    weights: FileReference
    network: Origin
    lineage: Path

    def origin(self, hyperparameters: Hyperparameters) -> Origin:
        """What a fit of a point begins with."""
        return self.network


@dataclass(frozen=True)
class HandsStart:
    """The weights of a network that is trained on generated handwriting first, one for each
    architecture.

    Attributes:
        name: such as `hands:500`.
        line_store: folder of the lines of that handwriting.
        split: its manifest.
        split_hash: of that.
        patches: how patches are cut.
        training: the training's hyperparameters, the same for each architecture.
        epochs: that it trains.
        folder: where trained ones are kept, for all sweeps.
    """

    name: str
    line_store: Path
    split: Path
    split_hash: str
    patches: PatchSettings
    training: Mapping[str, Value]
    epochs: int
    folder: Path

    def first_network(self, hyperparameters: Hyperparameters) -> Hyperparameters:
        """Those of the network that is trained first: the architecture of the one that follows."""
        return Hyperparameters.from_point({**self.training, **hyperparameters.architecture})

    def origin(self, hyperparameters: Hyperparameters) -> Origin:
        """What a fit of a point begins with; its hash is of all that decides the weights, but
        threads and precision.
        """
        content = {
            "format": _FORMAT,
            "lines": self.line_store.name,  # a hash of the images and how they were read
            "split": self.split_hash,
            "patches": self.patches.model_dump(mode="json"),
            "hyperparameters": self.first_network(hyperparameters).as_identity(),
            "epochs": self.epochs,
        }
        return Origin(self.name, hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest())


Start = GivenStart | HandsStart


def origin_tags(start: Start | None, point: Mapping[str, Value]) -> dict[str, str]:
    """What the run of a fit of that point says of what it began with; nothing for random
    weights.
    """
    return {} if start is None else start.origin(Hyperparameters.from_point(point)).as_tags()
