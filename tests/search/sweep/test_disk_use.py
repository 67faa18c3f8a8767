import os
from pathlib import Path

from search.sweep.disk import DiskUse, measure_disk


def _write(path: Path, n_bytes: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(n_bytes))
    return path


def test_a_model_with_two_names_is_counted_once(tmp_path: Path) -> None:
    sweep, artifacts = tmp_path / "sweep", tmp_path / "artifacts"
    model = _write(sweep / "trials" / "0" / "attempt-1" / "model" / "data" / "model.keras", 1000)
    place = artifacts / "models" / "m-1" / "artifacts" / "data" / "model.keras"
    place.parent.mkdir(parents=True)
    os.link(model, place)
    _write(artifacts / "models" / "m-2" / "artifacts" / "MLmodel", 30)
    assert measure_disk(sweep, artifacts) == DiskUse(models_bytes=1030, checkpoints_bytes=0, other_bytes=0)


def test_checkpoints_models_and_the_rest_are_told_apart(tmp_path: Path) -> None:
    _write(tmp_path / "ledger.jsonl", 1)
    _write(tmp_path / "trials" / "0" / "attempt-1" / "model.txt", 10)
    _write(tmp_path / "trials" / "0" / "attempt-1" / "model" / "MLmodel", 100)
    _write(tmp_path / "refits" / "trial-000" / "trials" / "0" / "attempt-2" / "checkpoints" / "epoch-1.npz", 1000)
    assert measure_disk(tmp_path, None) == DiskUse(models_bytes=100, checkpoints_bytes=1000, other_bytes=11)


def test_a_sweep_without_a_folder_takes_nothing(tmp_path: Path) -> None:
    assert measure_disk(tmp_path / "gone", tmp_path / "gone too").total_bytes == 0
