"""What a worker must know to train or score patch CNNs; free of TensorFlow, since the driver makes
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.settings import InkSettings, PatchSettings
from core.space import Value
from core.training.plan import Monitor
from search.objectives.starts import Start

_OF_IMAGE_TO_FIND = 8  # patches of a validation image, where pages by unseen writers are found


@dataclass(frozen=True)
class FunctionReference:
    """Where a worker finds a function of the user's own.

    Attributes:
        path: `module:function`.
        folder: with a copy of its sources as they were when the sweep was launched; `None` if it is
            installed.
        beside: where the sources were found; other modules there can be imported, too.
        pickle: the function itself; `None` where it can be imported.
        sha256: of its source, where it is installed: it must be the same on every node.
    """

    path: str
    folder: Path | None = None
    beside: Path | None = None
    pickle: Path | None = None
    sha256: str = ""


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
        keeps_checkpoints: whether every epoch leaves a checkpoint; without, a lost trial begins
            anew. Only to measure what they cost.
        network: builds a network of the user's own; `None` for whosehand's.
        images_per_page: so many images of a writer are searched as one page (1: pages as they are),
            where validation and test are of writers that training has not seen; `None` where they
            are of those of training.
        start: the weights that a fit begins with; `None` for random ones.
        takes_epoch: train so many epochs of the horizon and take their weights: no page is left to
            validate on; `None` takes the best epoch by the monitor.
    """

    line_store: Path
    split: Path
    ink: InkSettings
    patches: PatchSettings
    monitor: Monitor
    keeps_model: bool = True
    keeps_checkpoints: bool = True
    network: FunctionReference | None = None
    images_per_page: int | None = None
    start: Start | None = None
    takes_epoch: int | None = None

    def of_validation_image(self, n_images: int) -> int:
        """Most patches of each of so many validation images."""
        if self.images_per_page is not None and self.patches.per_image_at_validation == "auto":
            return _OF_IMAGE_TO_FIND
        return self.patches.of_validation_image(n_images)


DESCRIPTORS_FILE, RETRIEVAL_PICTURE = "descriptors.npz", "retrieval.png"
"""What scoring leaves where a subset is of writers that training has not seen."""


SPEED_METRIC = "patches_per_s"


@dataclass(frozen=True)
class SpeedTask:
    """What `search.objectives.speed:measure_speed` trains on.

    Attributes:
        size_px: side of a patch.
        n_writers: length of the output.
        seconds: how long to train in a round.
        n_rounds: how often.
    """

    size_px: int
    n_writers: int
    seconds: float
    n_rounds: int


RUN_OWN = "search.objectives.own:run_own"


@dataclass(frozen=True)
class OwnTask:
    """What a trial of an objective of the user's own must know.

    Attributes:
        function: the objective.
        metric: its score that is searched for.
        checkpoints: whether it leaves a checkpoint with each report, and goes on from it.
        patches: the corpus, and how patches are cut; `None` where the experiment has no corpus.
    """

    function: FunctionReference
    metric: str
    checkpoints: bool
    patches: PatchTask | None


TRY_CODE = "search.objectives.own_function:try_code"


@dataclass(frozen=True)
class CodeTrial:
    """What a machine must be able to import before it gets trials.

    Attributes:
        objective: import path of what runs them.
        settings: of the trials; the user's own functions are in them.
    """

    objective: str
    settings: PatchTask | OwnTask


CHECK_NETWORK = "search.objectives.network_check:check_network"


@dataclass(frozen=True)
class NetworkCheck:
    """A network of the user's own that is tried on one batch before a sweep starts.

    Attributes:
        network: builds it.
        hyperparameters: a point of the space.
        size_px: side of a patch.
        needs_embedding: whether it is judged by that.
    """

    network: FunctionReference
    hyperparameters: Mapping[str, Value]
    size_px: int
    needs_embedding: bool = False


@dataclass(frozen=True)
class ScoringTask:
    """A saved model, and the subset of a split that it is scored on by
    `search.objectives.patch_cnn:score_patch_cnn`.

    Attributes:
        model: the model's folder.
        task: of the trial that trained it.
        subset: of the split; `test` only after the opening was written down.
    """

    model: Path
    task: PatchTask
    subset: Literal["validation", "test"]


JOIN_NETWORKS = "search.objectives.patch_cnn:join_patch_cnns"


@dataclass(frozen=True)
class JoiningTask:
    """Saved models of one point that become one.

    Attributes:
        models: the models' folders.
        task: of the trials that trained them.
    """

    models: tuple[Path, ...]
    task: PatchTask


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
