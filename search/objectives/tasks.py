"""What a worker must know to train or score patch CNNs; free of TensorFlow, since the driver makes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.settings import InkSettings, PatchSettings
from core.training.plan import Monitor


@dataclass(frozen=True)
class PatchTask:
    """The corpus and the settings of a trial of `search.objectives.patch_cnn:train_patch_cnn`.

    Attributes:
        line_store: folder of the built line store.
        split: the split's manifest.
        ink: how the lines were made; kept with the model.
        patches: how patches are drawn.
        monitor: the objective, and when to stop early.
        keeps_model: whether a completed trial saves its model.
        keeps_checkpoints: whether every epoch leaves a checkpoint; without, a lost trial begins anew. Only to measure
            what they cost.
    """

    line_store: Path
    split: Path
    ink: InkSettings
    patches: PatchSettings
    monitor: Monitor
    keeps_model: bool = True
    keeps_checkpoints: bool = True


@dataclass(frozen=True)
class ScoringTask:
    """A saved model, and the part of a split that it is scored on by `search.objectives.patch_cnn:score_patch_cnn`.

    Attributes:
        model: the model's folder.
        task: of the trial that trained it.
        part: of the split; `test` only after the opening was written down.
    """

    model: Path
    task: PatchTask
    part: Literal["validation", "test"]


ANSWER_PATCHES = "search.objectives.patch_cnn:answer_validation_patches"


@dataclass(frozen=True)
class AnsweringTask:
    """What the worker must know.

    Attributes:
        model: the saved model's folder.
        line_store: folder of the built line store.
        split: the split's manifest.
        patches: how patches are cut.
        per_line: most patches of one line.
    """

    model: Path
    line_store: Path
    split: Path
    patches: PatchSettings
    per_line: int
