import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import CheckpointError
from core.training.checkpoint import FitState, fit_identity, load_checkpoint, save_checkpoint

GENERATOR = np.random.default_rng(0)
STATE = FitState(
    fit_id=fit_identity({"seed": 3}),
    epoch=7,
    seed=3,
    threads=2,
    precision="float32",
    model=[GENERATOR.normal(size=(3, 4)).astype(np.float32), np.array([5, 6], np.int64)],
    optimizer=[np.array(99, np.int64), *(np.full((2,), i, np.float32) for i in range(12))],
    best=[np.zeros((3, 4), np.float32), np.array([1, 2], np.int64)],
    best_epoch=5,
    best_metrics={"val/image_logloss": 0.25},
    n_epochs_without_better=2,
    average=[np.ones((3, 4), np.float32)],
)


def test_a_checkpoint_gives_back_every_bit(tmp_path: Path) -> None:
    state = load_checkpoint(save_checkpoint(STATE, tmp_path / "new" / "folder").path)
    for group in ("model", "optimizer", "best", "average"):
        pairs = list(zip(getattr(STATE, group), getattr(state, group), strict=True))
        assert all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)
    without_arrays = [repr(replace(one, model=(), optimizer=(), best=(), average=())) for one in (state, STATE)]
    assert without_arrays[0] == without_arrays[1]


def test_equal_states_are_equal_files_and_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    first, second = save_checkpoint(STATE, tmp_path / "a"), save_checkpoint(STATE, tmp_path / "b")
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert first.size_bytes == len(first.path.read_bytes())


def test_the_latest_two_are_kept(tmp_path: Path) -> None:
    (tmp_path / "epoch-00001.123.part").write_bytes(b"left by a process that was killed")
    for epoch in range(1, 5):
        save_checkpoint(replace(STATE, epoch=epoch), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00003.npz", "epoch-00004.npz"]


def test_an_epoch_that_is_written_again_does_not_remove_itself(tmp_path: Path) -> None:
    for epoch in (8, 9, 1):
        written = save_checkpoint(replace(STATE, epoch=epoch), tmp_path)
    assert written.path.exists()


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must exist"):
        load_checkpoint(tmp_path / "epoch-00001.npz")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    path = save_checkpoint(STATE, tmp_path).path
    whole = path.read_bytes()
    place = whole.index(STATE.model[0].tobytes())
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    path.write_bytes({"cut": whole[:-100], "flipped": flipped, "empty": b"", "text": b"not a checkpoint"}[damage])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_a_checkpoint_of_another_content_is_refused(tmp_path: Path) -> None:
    written = save_checkpoint(STATE, tmp_path)
    assert load_checkpoint(written.path, written.sha256).epoch == 7
    with pytest.raises(CheckpointError, match="must have the hash 0000"):
        load_checkpoint(written.path, "0" * 64)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(CheckpointError, match="must be written"):
        save_checkpoint(STATE, tmp_path / "file")
