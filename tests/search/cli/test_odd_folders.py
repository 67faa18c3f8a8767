"""A project stays inside its folder, whatever that is called."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command_line import COMMAND, Project, environment, whosehand, write_experiment

pytest_plugins = ["tests.finished_project"]
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


@pytest.mark.parametrize("command", ["identify", "compare"])
def test_a_project_that_may_only_be_looked_at_answers(finished_project: Project, tmp_path: Path, command: str) -> None:
    folder = shutil.copytree(finished_project.folder, tmp_path / "copy", symlinks=True)
    shutil.rmtree(folder / "mlruns" / "sweeps" / "tiny" / "report", ignore_errors=True)
    page = next((folder / "data" / "hands").rglob("*.png"))
    asked = f"{COMMAND} identify {page} --model whosehand-tiny" if command == "identify" else f"{COMMAND} compare tiny"
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}' && cd '{folder}'"
    if subprocess.run(["unshare", "--mount", "bash", "-c", mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    script = f"{mount} && {asked}"
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("writer " if command == "identify" else "sweep tiny: 3 trials") in done.stdout
