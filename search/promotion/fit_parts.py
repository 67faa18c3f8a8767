"""The fits that a refit on training and validation pages is made of: cross-fits that hold out each
of these pages once, and the fit on all of them.

What validation pages give elsewhere, the pages held out give here: the number of epochs by the
cross-fits' curves, the temperature and the thresholds by their answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.splits.manifest import SplitManifest
from core.training.plan import Monitor
from core.wording import counted
from search.ledger.ranking import Direction
from search.objectives.tasks import PatchTask
from search.promotion.length import RefitLength
from search.sweep.preparation import SPLIT_FILE, save_split
from search.tracking.runs import SearchFacts

ALL_BUT_TEST = "all-but-test"
_LOSS = "train/loss"
"""What the fit on all pages reports, for want of a page to validate on."""


@dataclass(frozen=True)
class CrossFit:
    """A network that has not seen some of the pages.

    Attributes:
        model: its folder.
        split: the manifest in which these pages validate.
    """

    model: Path
    split: Path


@dataclass(frozen=True)
class FitPart:
    """One of the fits of a refit.

    Attributes:
        title: shown while it trains.
        name: ends the names of its folder and of its runs; empty for a refit that is one fit.
        manifest: what it trains on and is judged on; `None` for the sweep's split.
        takes_epoch: where no page validates: train so many epochs of the horizon, and take their
            weights.
    """

    title: str = "Refit"
    name: str = ""
    manifest: SplitManifest | None = None
    takes_epoch: int | None = None

    @classmethod
    def cross_fit(cls, manifest: SplitManifest, number: int, n: int) -> "FitPart":
        """The fit that holds out a fold, counted from 1."""
        return cls(f"Cross-fit {number} of {n}", f"fold-{number}-of-{n}", manifest)

    @classmethod
    def of_all(cls, manifest: SplitManifest, takes_epoch: int) -> "FitPart":
        """The fit on training and validation pages together."""
        return cls(name=ALL_BUT_TEST, manifest=manifest, takes_epoch=takes_epoch)

    @property
    def is_cross_fit(self) -> bool:
        """Whether it holds out pages, and becomes no model that people use."""
        return self.manifest is not None and self.takes_epoch is None

    @property
    def metric(self) -> str | None:
        """What each epoch reports; `None` for the experiment's objective."""
        return None if self.takes_epoch is None else _LOSS

    def in_words(self, length: RefitLength) -> str:
        """How long it trains, and on what, as a part of a sentence."""
        if self.manifest is None:
            return length.in_words()
        images = counted(len(self.manifest.train), "image")
        if self.takes_epoch is None:
            return f"{length.size()} on {images}, {counted(len(self.manifest.validation), 'image')} held out"
        epochs = f"{length.size()} on {images} of training and validation"
        ends = f"; it ends after epoch {self.takes_epoch}, where the cross-fits were best"
        return epochs + (ends if self.takes_epoch < length.epochs else "")

    def change(self, task: PatchTask, folder: Path) -> PatchTask:
        """The task of this fit.

        Args:
            task: of a trial.
            folder: of this fit's record; the split is written there.

        Raises:
            SplitError: if the fit was begun with another split: the corpus has changed since.
        """
        if self.manifest is None:
            return task
        task = replace(task, split=save_split(self.manifest, folder))
        if self.takes_epoch is None:
            return task
        return replace(task, monitor=Monitor(_LOSS), takes_epoch=self.takes_epoch)

    def facts(self, facts: SearchFacts) -> SearchFacts:
        """What a tracker is told of the fit; nobody searches."""
        told = replace(facts, engine="none")
        return told if self.metric is None else replace(told, metric=self.metric, direction="minimize")


WHOLE_REFIT = FitPart()
"""A refit that is one fit, on training pages."""


def best_epoch(curves: Sequence[Sequence[float]], n_held_out: Sequence[int], direction: Direction) -> int:
    """The epoch at which cross-fits are best together, counted from 1.

    Args:
        curves: the objective's metric after each epoch of each cross-fit.
        n_held_out: images that each was judged on; their mean counts.
        direction: which values are better.

    >>> best_epoch([[3.0, 1.0, 2.0], [3.0, 2.0, 1.5]], [10, 10], "minimize")
    2
    """
    n_epochs = min(map(len, curves))  # one that stopped early has no more
    means = np.average([curve[:n_epochs] for curve in curves], axis=0, weights=n_held_out)
    return 1 + int(np.argmin(means) if direction == "minimize" else np.argmax(means))


def split_of(folder: Path) -> Path:
    """The manifest that `FitPart.change` has written into a record's folder."""
    return folder / SPLIT_FILE
