"""The data that a sweep's runs are shown to have used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which reads its switches when it is imported)

# isort: split
from mlflow.entities import Dataset, DatasetInput, InputTag

DIGEST_LENGTH = 8  # as long as MLflow's own, which its pages have room for; the whole hash is in the profile


@dataclass(frozen=True)
class TrackedDataset:
    """Data that the sweep's runs are shown to have used.

    Attributes:
        name: such as `dhsd train`; train and validation need different names, or MLflow takes them for one.
        context: what for.
        digest: the split's hash; MLflow's pages show the start of it.
        source: where the images are.
        profile: numbers about it, such as images and writers.
    """

    name: str
    context: Literal["train", "validation", "test"]
    digest: str
    source: str
    profile: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Name and digest by which MLflow knows it."""
        return self.name, self.digest[:DIGEST_LENGTH]

    def as_input(self) -> DatasetInput:
        """The same as an input of a run."""
        name, digest = self.key
        source, profile = json.dumps({"uri": self.source}), json.dumps({**self.profile, "split": self.digest})
        dataset = Dataset(name, digest, source_type="local", source=source, profile=profile)
        return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", self.context)])
