from pathlib import Path

import pytest

from core.settings import InkSettings, PatchSettings
from core.splits.manifest import SplitManifest
from core.training.plan import Monitor
from search.ledger.ranking import Direction
from search.objectives.tasks import PatchTask
from search.promotion.fit_parts import WHOLE_REFIT, FitPart, best_epoch
from search.promotion.length import RefitLength
from search.tracking.runs import SearchFacts

LENGTH = RefitLength(12, "so many were asked for", None, 100, folds=3)
FOLD = SplitManifest("made", "page", ("1", "2"), ("a", "b", "c"), ("d",), ("e",))
WHOLE = SplitManifest("made", "page", ("1", "2"), ("a", "b", "c", "d"), (), ("e",))
TASK = PatchTask(Path("lines"), Path("split.json"), InkSettings(), PatchSettings(), Monitor("val/image_logloss"))
FACTS = SearchFacts("val/image_top1", "maximize", 3, "optuna")


@pytest.mark.parametrize(
    ("curves", "n_held_out", "direction", "epoch"),
    [
        ([[3.0, 1.0, 2.0], [3.0, 2.0, 1.5]], [10, 10], "minimize", 2),
        ([[3.0, 1.0, 2.0], [3.0, 2.0, 0.5]], [10, 30], "minimize", 3),
        ([[0.1, 0.5, 0.4], [0.1, 0.2, 0.4]], [10, 10], "maximize", 3),
        ([[3.0, 2.0, 1.0], [3.0, 2.0]], [10, 10], "minimize", 2),
    ],
    ids=["best together", "larger folds count more", "higher is better", "one stopped early"],
)
def test_the_epochs_are_where_the_cross_fits_are_best_together(
    curves: list[list[float]], n_held_out: list[int], direction: Direction, epoch: int
) -> None:
    assert best_epoch(curves, n_held_out, direction) == epoch


def test_each_part_has_a_record_of_its_own() -> None:
    parts = (WHOLE_REFIT, *(FitPart.cross_fit(FOLD, number, 3) for number in (1, 2)), FitPart.of_all(WHOLE, 7))
    assert [LENGTH.kinds(part.name) for part in parts] == [
        ("refit-12",),
        ("refit-12-fold-1-of-3",),
        ("refit-12-fold-2-of-3",),
        ("refit-12-all-but-test",),
    ]
    assert [part.is_cross_fit for part in parts] == [False, True, True, False]


def test_a_cross_fit_is_judged_on_what_it_holds_out(tmp_path: Path) -> None:
    part = FitPart.cross_fit(FOLD, 1, 3)
    changed = part.change(TASK, tmp_path / "record")
    assert SplitManifest.load(changed.split) == FOLD
    assert (changed.monitor, changed.takes_epoch) == (TASK.monitor, None)
    assert part.facts(FACTS) == SearchFacts("val/image_top1", "maximize", 3, "none")
    assert part.in_words(LENGTH) == "12 epochs on 3 images, 1 image held out"


def test_the_fit_on_all_pages_takes_an_epoch_and_reports_its_own_loss(tmp_path: Path) -> None:
    part = FitPart.of_all(WHOLE, 7)
    changed = part.change(TASK, tmp_path / "record")
    assert SplitManifest.load(changed.split) == WHOLE
    assert (changed.monitor.metric, changed.takes_epoch) == ("train/loss", 7)
    assert part.facts(FACTS) == SearchFacts("train/loss", "minimize", 3, "none")
    assert part.in_words(LENGTH) == (
        "12 epochs on 4 images of training and validation; it ends after epoch 7, where the cross-fits were best"
    )
