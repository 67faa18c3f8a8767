"""What a sweep looks at: the part `objective` of an experiment file, and the scores there are."""

from difflib import get_close_matches
from typing import Literal, Self

from pydantic import field_validator, model_validator

from core.mistakes import WrongKeysError
from core.scoring.score_names import LEVELS, RETRIEVAL_SCORES, SCORES, SHARES
from core.settings import Settings, auto_or_positive
from search.experiment.mlflow_names import check_metric_name
from search.experiment.own_code import Function

Direction = Literal["minimize", "maximize"]
VALIDATION_METRICS = tuple(
    f"val/{level}_{name}" for level in LEVELS for name, kind in SCORES.items() if level in kind.levels
)
RETRIEVAL_METRICS = tuple(f"val/{name}" for name in RETRIEVAL_SCORES)
"""Validation scores where the split is by writer."""
FIND_PAGES = "val/retrieval_map"
TRAIN_PATCH_CNN = "search.objectives.patch_cnn:train_patch_cnn"
MOVED_OBJECTIVES = {
    "search.objective:train_patch_cnn": TRAIN_PATCH_CNN,
    "search.cheap_objective:train_cheaply": "search.objectives.cheap:train_cheaply",
}
"""Import paths as version 0.1 wrote them into files and ledgers, and what they are called today."""
OWN_METRIC = "val/loss"
_LOW_IS_GOOD = ("loss", "error", "retrieval_eer")
_HIGH_IS_GOOD = (*SHARES, "f1", "accuracy")


class ObjectiveSettings(Settings):
    """What the search makes as low or as high as it can."""

    metric: str = "val/patch_top1"
    """A validation score of the epochs' reports. The default is the share of patches that are
    right: patches are many, and it does not hang on how sure a network is of itself, as log-loss
    does, which a promotion calibrates (docs/results.md). With `split.kind: writer` it is
    val/retrieval_map; of an objective of your own what that calls val/loss."""

    direction: Literal["auto", "minimize", "maximize"] = "auto"
    """Whether low or high values are better; `auto` tells by the metric's name."""

    run: Function = TRAIN_PATCH_CNN
    """What runs a trial, `module:function`: whosehand's own training, or a function of your own.
    `objective: module:function` is short for it."""

    images_per_page: int | Literal["auto"] = "auto"
    """With `split.kind: writer`: so many images of a writer, dealt at random, are searched as one
    page. `auto` takes pages as they are, and joins 10 images where the corpus has single words or
    lines only."""

    checkpoints: bool = False
    """Whether an objective of your own leaves a checkpoint with each report and goes on from it.
    Without, a trial whose worker is lost starts again, and engines that pause trials are
    refused."""

    @field_validator("images_per_page", mode="before")
    @classmethod
    def _images_are_auto_or_positive(cls, value: object) -> object:
        return auto_or_positive(value)

    @field_validator("run")
    @classmethod
    def _by_its_present_name(cls, run: str) -> str:
        return MOVED_OBJECTIVES.get(run, run)

    @model_validator(mode="after")
    def _metric_is_known(self) -> Self:
        if self.is_own and "metric" not in self.model_fields_set:
            object.__setattr__(self, "metric", OWN_METRIC)
        if self.metric.startswith("test"):
            rule = f"must be a validation score, because the search sees no test page, but got {self.metric!r}"
            raise WrongKeysError({("metric",): rule})
        known = (*VALIDATION_METRICS, *RETRIEVAL_METRICS)
        if self.run == TRAIN_PATCH_CNN and self.metric not in known:
            near = get_close_matches(self.metric, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            rule = f"must be one of {', '.join(known)}, but got {self.metric!r}{hint}"
            raise WrongKeysError({("metric",): rule})
        try:
            check_metric_name(self.metric)
        except ValueError as error:
            raise WrongKeysError({("metric",): f"{error}"}) from None
        if self.direction == "auto" and not self.metric.endswith(_LOW_IS_GOOD + _HIGH_IS_GOOD):
            rule = f"must be minimize or maximize, because the name {self.metric!r} does not tell which is better"
            raise WrongKeysError({("direction",): rule})
        return self

    @property
    def is_own(self) -> bool:
        """Whether a trial is run by a function of the user's own, which whosehand knows nothing
        of.
        """
        return not self.run.startswith("search.")

    @property
    def resolved_direction(self) -> Direction:
        """`minimize` or `maximize`, also where the file says `auto`."""
        if self.direction != "auto":
            return self.direction
        return "minimize" if self.metric.endswith(_LOW_IS_GOOD) else "maximize"
