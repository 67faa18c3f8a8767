"""A project stays inside its folder, whatever that is called."""

from pathlib import Path

import pytest

from tests.command_line import whosehand, write_experiment

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
CHEAP = {
    "name": "cheap",
    "corpus": {"layout": "hands", "n_writers": 3, "n_pages": 3, "n_lines": 1},
    "objective": {"run": "search.objectives.cheap:train_cheaply", "metric": "val/loss"},
    "training": {"epochs": 2},
    "budget": {"trials": 2},
}


@pytest.mark.parametrize("name", ["what?", "scan%20s", "No #5", 'it\'s "here" [old]'])
def test_a_sweep_in_an_odd_folder_stays_inside_and_doctor_finds_nothing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    answer = whosehand(folder, "sweep", write_experiment(folder, CHEAP).name)
    assert answer.code == 0, answer.err
    doctor = whosehand(folder, "doctor")
    assert (doctor.code, doctor.out.splitlines()[-1]) == (0, "no problems, no notes")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sorted(path.name for path in folder.iterdir()) == ["cheap.yaml", "data", "mlruns"]
    assert (folder / "mlruns" / "mlflow.db").stat().st_size > 0
