from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from core.lines.store import LineStore
from core.patches.plan import PatchPlan, evaluation_plan, read_patches
from core.scoring.pictures import confusion_picture, learning_curves, patch_collage
from core.settings import PatchSettings

WRITERS = ("w0", "w1", "w2", "w3", "w4")


@pytest.fixture
def plan(bar_store: LineStore) -> PatchPlan:
    settings = PatchSettings(size_px=40, min_ink=0.1)
    return evaluation_plan(bar_store, [line.image_id for line in bar_store.lines], WRITERS, settings, per_image=4)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))


def test_a_collage_shows_the_patches_of_each_writer_in_a_row(
    bar_store: LineStore, plan: PatchPlan, tmp_path: Path
) -> None:
    patch_collage(bar_store, plan, WRITERS, tmp_path / "new" / "collage.png", per_writer=6)
    picture = read(tmp_path / "new" / "collage.png")
    patches = read_patches(bar_store, plan)
    for row, label in enumerate(range(5)):
        top = 12 + row * 44
        left = picture.shape[1] - 12 - 6 * 44 + 4
        for column, patch in enumerate(patches[plan.labels == label][::4]):
            shown = picture[top : top + 40, left + column * 44 : left + column * 44 + 40]
            assert (shown == patch).all()


def test_a_collage_of_many_writers_stays_of_a_size_to_look_at(
    bar_store: LineStore, plan: PatchPlan, tmp_path: Path
) -> None:
    labels = (np.arange(len(plan)) % 100).astype(np.int32)
    many = PatchPlan(plan.lines, plan.tops, plan.lefts, labels, 40)
    names = [f"a long name that does not fit the margin {k}" for k in range(100)]
    patch_collage(bar_store, many, names, tmp_path / "collage.png", per_writer=1)
    height, width = read(tmp_path / "collage.png").shape
    assert height < 4500
    assert width < 300


def test_of_very_many_writers_a_collage_shows_some(bar_store: LineStore, plan: PatchPlan, tmp_path: Path) -> None:
    many = plan[np.arange(3000) % len(plan)]
    many = PatchPlan(many.lines, many.tops, many.lefts, np.arange(3000, dtype=np.int32), 40)
    patch_collage(bar_store, many, [f"w{k}" for k in range(3000)], tmp_path / "collage.png", per_writer=1)
    assert read(tmp_path / "collage.png").shape[0] == 2 * 12 + 700 * 44 - 4


def test_a_collage_of_nobody_is_refused(bar_store: LineStore, plan: PatchPlan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a patch by one of"):
        patch_collage(bar_store, plan[:0], WRITERS, tmp_path / "collage.png")


@pytest.mark.parametrize("n_writers", [2, 5, 40, 100, 300, 2500])
def test_a_confusion_matrix_of_any_size_is_drawn(n_writers: int, tmp_path: Path) -> None:
    confusion = np.diag(np.full(n_writers, 9))
    confusion[0, 1], confusion[1] = 3, 0
    confusion_picture(confusion, [f"w{k}" for k in range(n_writers)], tmp_path / "confusion.png")
    height, width = read(tmp_path / "confusion.png").shape
    assert 300 < height < 2600
    assert 300 < width < 2600


def test_where_mistakes_are_many_single_ones_have_a_colour_and_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, s, **_: written.append(s))
    names = [f"w{k}" for k in range(20)]
    few = np.diag(np.full(20, 9)) + np.eye(20, k=1, dtype=int)
    confusion_picture(few, names, tmp_path / "few.png")
    assert sorted(written) == ["1"] * 19 + ["9"] * 20
    written.clear()
    confusion_picture(few + 1, names, tmp_path / "many.png")
    assert sorted(written) == ["10"] * 20 + ["2"] * 19


def test_a_confusion_matrix_must_fit_its_writers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 3\), but got \(2, 2\)"):
        confusion_picture(np.eye(2, dtype=int), ["a", "b", "c"], tmp_path / "confusion.png")


def test_learning_curves_are_drawn_from_what_is_there(tmp_path: Path) -> None:
    history = [{"train/loss": 1 / epoch, "train/top1": 0.5, "val/image_top1": 0.6} for epoch in range(1, 6)]
    history[2]["train/loss"] = float("nan")
    learning_curves(history, tmp_path / "curves.png")
    learning_curves(history[:1], tmp_path / "one.png")
    assert (read(tmp_path / "curves.png") < 200).mean() > 0.005
    assert (read(tmp_path / "curves.png") != read(tmp_path / "one.png")).any()


def test_learning_curves_of_no_epoch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        learning_curves([], tmp_path / "curves.png")
