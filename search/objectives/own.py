"""Runs an objective of the user's own, in a worker.

An objective of the user's own has one of two forms. With one argument it is given an `OwnTrial`,
which has the methods of an Optuna trial; it returns the value, or several scores by name. With two
arguments it follows `search.ledger.trial.Objective` itself.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import OwnCodeError
from core.lines.store import LineStore
from core.patches.plan import evaluation_plan, read_patches
from core.space import Value
from core.splits.manifest import LeakySubset, SplitManifest
from search.ledger.files import reference_file
from search.ledger.trial import (
    EpochReport,
    FileReference,
    PruningDecision,
    ReportEpoch,
    TrialResult,
    TrialSpec,
    TrialState,
)
from search.objectives.own_function import load_function, n_arguments
from search.objectives.tasks import OwnTask, PatchTask

PRELOAD: tuple[str, ...] = ()
Scores = float | Mapping[str, float]


def run_own(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Run an objective of the user's own; `spec.settings` is an `OwnTask`.

    Raises:
        OwnCodeError: if the function cannot be loaded, or does not do what it must.
    """
    task: OwnTask = spec.settings
    np.random.seed(spec.seed)
    function = load_function(task.function)
    if n_arguments(function) >= 2:
        result: TrialResult = function(replace(spec, settings=task.patches), report_epoch)
        return result
    trial = OwnTrial(spec, report_epoch)
    try:
        returned = function(trial)
    except _Ended:
        return trial.ended()
    except Exception as error:
        if type(error).__name__ == "TrialPruned":  # Optuna's, which need not be installed in this form
            return trial.ended(TrialState.PRUNED)
        raise
    return trial.completed(returned)


class OwnTrial:
    """What an objective of the user's own is given: the trial's hyperparameters, and a way to
    report.

    The methods are those of an Optuna trial, so that an `objective(trial)` of Optuna's runs as it
    is. What it suggests is answered from the `space` of the experiment.

    Attributes:
        number: of the trial, from 0.
        params: its hyperparameters by name, those that are active.
        seed: of the trial; give it to whatever draws at random.
        n_epochs: how many reports a whole trial has (`training.epochs`).
        start_epoch: reports that are done already, if the trial goes on from a checkpoint; else 0.
        folder: where it may write.
    """

    def __init__(self, spec: TrialSpec, report_epoch: ReportEpoch) -> None:
        self._spec, self._report_epoch, self._task = spec, report_epoch, spec.settings
        self.number, self.seed, self.n_epochs = spec.number, spec.seed, spec.horizon_epochs
        self.params: Mapping[str, Value] = dict(spec.hyperparameters)
        self.start_epoch, self.folder = spec.start_epoch, spec.work_dir
        self._epoch, self._started_s = spec.start_epoch, time.monotonic()
        self._metrics: dict[str, float] = {}
        self._attributes: dict[str, Any] = {}
        self._decision = PruningDecision.GO
        self._model: FileReference | None = None
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path | None:
        """The file that the report of `start_epoch` named, to go on from; `None` at the start."""
        return self._spec.checkpoint.path if self._spec.checkpoint else None

    @cached_property
    def corpus(self) -> "OwnCorpus":
        """The handwriting.

        Raises:
            OwnCodeError: if the experiment has no `corpus`.
        """
        task: OwnTask = self._task
        if task.patches is None:
            raise OwnCodeError("`trial.corpus` needs a `corpus` in the experiment, but there is none.")
        return OwnCorpus(task.patches)

    def report(self, value: Scores, step: int | None = None, *, checkpoint: Path | None = None) -> None:
        """Report an epoch. The trial ends here if the engine prunes it, or the sweep is being
        stopped.

        Args:
            value: the objective's value after this epoch, or several scores by name, that one among
                them.
            step: not needed: reports are counted.
            checkpoint: a file from which the trial can go on (`objective.checkpoints: true`).

        Raises:
            OwnCodeError: if there are more reports than epochs.
        """
        task: OwnTask = self._task
        self._epoch += 1
        if self._epoch > self.n_epochs:
            raise OwnCodeError(
                f"A trial reports at most once an epoch, but this is report {self._epoch} and `training.epochs` is "
                f"{self.n_epochs}. Raise it."
            )
        if task.checkpoints and checkpoint is None:
            raise OwnCodeError("With `objective.checkpoints: true` each report needs a `checkpoint`, but got none.")
        self._metrics = self._scores(value)
        now_s = time.monotonic()
        reference = None if checkpoint is None else reference_file(Path(checkpoint))
        report = EpochReport(self._epoch, self._metrics, 0, now_s - self._started_s, reference)
        self._decision = self._report_epoch(report)
        self._started_s = time.monotonic()
        is_over = task.checkpoints and self._epoch >= self._spec.until_epoch < self.n_epochs
        if self._decision is not PruningDecision.GO or is_over:
            raise _Ended

    def should_prune(self) -> bool:
        """Always false: a trial that is pruned ends in `report`."""
        return False

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The value of a whole number of the space."""
        plain = {"type": "integer", "low": low, "high": high, **({"step": step} if step != 1 else {}), **_log(log)}
        value = self._suggested(name, plain, lambda value: low <= value <= high)
        return int(value)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The value of a number of the space."""
        plain = {"type": "real", "low": low, "high": high, **({"step": step} if step else {}), **_log(log)}
        slack = 1e-9 * max(abs(low), abs(high))
        value = self._suggested(name, plain, lambda value: low - slack <= value <= high + slack)
        return float(value)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The value of a choice of the space."""
        return self._suggested(name, {"type": "categorical", "choices": list(choices)}, lambda value: value in choices)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep something with the trial: a number becomes a metric, the rest goes to the file
        user_attrs.json.
        """
        self._attributes[key] = value

    def save_model(self, model: Any) -> None:
        """Keep a network as the trial's model, which can be promoted.

        Args:
            model: a Keras network, from patches (n, height, width, 1), 0 ink to 255 paper, to
                probabilities (n, n_writers) in float32; class k is `trial.corpus.writer_ids[k]`.
        """
        # Imported here, because most objectives have nothing to do with TensorFlow.
        from search.objectives.patch_cnn import save_network

        corpus, task = self.corpus, self._task
        example = corpus.patches("train", per_image=1)[0][:1]
        with_code = replace(corpus.task, network=task.function)  # its layers may be of the objective's module
        self._model = save_network(model, self._spec, with_code, corpus.manifest, self._metrics, example)

    def ended(self, state: TrialState | None = None) -> TrialResult:
        """What is handed back for a trial that did not run to its end."""
        is_stopped = self._decision is PruningDecision.STOP
        found = state or (TrialState.PRUNED if is_stopped else TrialState.PAUSED)
        return TrialResult(found, metrics=self._metrics, reason="stopped by the engine" if is_stopped else "")

    def completed(self, returned: Any) -> TrialResult:
        """What is handed back for a trial that ran to its end.

        Raises:
            OwnCodeError: if the objective returned no value.
        """
        if isinstance(returned, TrialResult):
            return returned
        task: OwnTask = self._task
        if returned is None:
            raise OwnCodeError(
                f"An objective must return its value, or scores by name with {task.metric!r} among them, but "
                f"{task.function.path} returned None."
            )
        scores = self._scores(returned)
        numbers = {key: float(value) for key, value in self._attributes.items() if isinstance(value, int | float)}
        artifacts = {}
        if self._attributes:
            path = self.folder / "user_attrs.json"
            path.write_text(json.dumps(self._attributes, indent=1, default=str) + "\n", encoding="utf-8")
            artifacts[path.name] = reference_file(path)
        value = scores[task.metric]
        return TrialResult(TrialState.COMPLETED, value, {**scores, **numbers}, artifacts=artifacts, model=self._model)

    def _scores(self, value: Any) -> dict[str, float]:
        task: OwnTask = self._task
        if not isinstance(value, Mapping):
            return {task.metric: float(value)}
        if task.metric not in value:
            raise OwnCodeError(f"The scores must have the objective {task.metric!r}, but got {', '.join(value)}.")
        return {name: float(score) for name, score in value.items()}

    def _suggested(self, name: str, plain: Mapping[str, Any], is_allowed: Callable[[Any], bool]) -> Any:
        line = f"{name}: {{{', '.join(f'{key}: {_yaml(value)}' for key, value in plain.items())}}}"
        if name not in self.params:
            raise OwnCodeError(
                f"The objective suggests {name!r}, but the experiment's space has no such dimension at this point. "
                f"Add below `space.dimensions`:  {line}"
            )
        if not is_allowed(self.params[name]):
            raise OwnCodeError(
                f"The objective suggests {name!r} from {line}, but the experiment's space gave {self.params[name]!r}. "
                "Let both say the same."
            )
        return self.params[name]


class OwnCorpus:
    """The handwriting of an experiment, for an objective of the user's own.

    Attributes:
        task: where it lies, and how patches are cut.
        store: the text lines.
        manifest: the split.
        writer_ids: class k is `writer_ids[k]`.
    """

    def __init__(self, task: PatchTask) -> None:
        self.task = task
        self.store, self.manifest = LineStore.open(task.line_store), SplitManifest.load(task.split)
        self.writer_ids = self.manifest.writer_ids

    def lines(self, subset: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
        """The text lines of a subset, each with the class of its writer.

        Args:
            subset: `train` or `validation`.

        Yields:
            (height_px, width_px), 0 ink to 255 paper, and the class.
        """
        wanted = set(self._image_ids(subset))
        label_of = {writer_id: label for label, writer_id in enumerate(self.writer_ids)}
        numbers = [number for number, line in enumerate(self.store.lines) if line.image_id in wanted]
        leak = self._leak(subset)
        is_chosen = None if leak is None else leak.choose([self.store.lines[number] for number in numbers])
        for place, number in enumerate(numbers):
            if is_chosen is None or is_chosen[place]:
                yield np.asarray(self.store.pixels(number)), label_of[self.store.lines[number].writer_id]

    def patches(self, subset: str, per_image: int = 8) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Patches, spaced evenly over the ink of each image of a subset.

        Args:
            subset: `train` or `validation`.
            per_image: most patches of one image.

        Returns:
            (n, size_px, size_px, 1), 0 ink to 255 paper, and the classes (n,).
        """
        image_ids = self._image_ids(subset)
        leak, settings = self._leak(subset), self.task.patches
        plan = evaluation_plan(self.store, image_ids, self.writer_ids, settings, per_image, leak)
        return read_patches(self.store, plan)[..., np.newaxis], plan.labels

    def _leak(self, subset: str) -> LeakySubset | None:
        return self.manifest.leak("train" if subset == "train" else "validation")

    def _image_ids(self, subset: str) -> Sequence[str]:
        if subset == "train":
            return self.manifest.train
        if subset == "validation":
            return self.manifest.validation
        raise OwnCodeError(
            f"A trial sees the subsets train and validation, the test pages stay sealed; got {subset!r}."
        )


class _Ended(BaseException):
    """Ends an objective in `report`; no `except Exception` of the user's holds it up."""


def _log(log: bool) -> dict[str, Any]:
    return {"log": True} if log else {}


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return f"[{', '.join(_yaml(item) for item in value)}]" if isinstance(value, list) else str(value)
