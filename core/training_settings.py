"""What an experiment file can say about the training of one trial; free of TensorFlow, unlike `core.training.fit`."""

from typing import Literal

from pydantic import Field

from core.settings import Settings

PrecisionChoice = Literal["auto", "float32", "mixed_bfloat16"]


class TrainingSettings(Settings):
    """How long a trial trains, and in which arithmetic."""

    epochs: int = Field(default=10, ge=1, le=10_000)
    """Full length of a trial (its horizon): the learning-rate schedule runs over all of it. An epoch is
    `patches.patches_per_epoch` patches, not one pass over the pages."""

    early_stopping_patience: int | None = Field(default=None, ge=1)
    """End a trial after so many epochs without a better objective; `null` never does."""

    precision: PrecisionChoice = "auto"
    """`auto` takes mixed_bfloat16 where the processor has the instructions for it, and float32 elsewhere."""
