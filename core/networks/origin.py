"""Which network the training of another one began with; free of TensorFlow and of all that reads
pages.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """What a network's training began with: all weights of another one but its last layer's.

    Attributes:
        name: `models:/NAME/VERSION`, `sweep:NAME/TRIAL` or `hands:N`.
        sha256: of the weights; of `hands:N` of all that these were made of.
        run_id: of the run in MLflow that trained the other network; empty if it is not known.
    """

    name: str
    sha256: str
    run_id: str = ""

    def as_tags(self) -> dict[str, str]:
        """What a run in MLflow, or a version of the registry, says of it."""
        tags = {"start_from": self.name, "start_from_sha256": self.sha256, "start_from_run": self.run_id}
        return {key: value for key, value in tags.items() if value}
