"""What a user waits for before anything happens: reading a file and asking for help import no heavy
library.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "cv2",
    "keras",
    "keras_tuner",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "requests",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "tensorflow",
}
COMMAND = "import runpy, sys; sys.argv = {arguments}; runpy.run_module('search.cli.main', run_name='__main__')"
LIGHT = {
    "importing the Python API": "import whosehand",
    "importing the package": "import search.experiment",
    "importing the experiment": "import search.experiment.experiment",
    "reading and checking a file": (
        "from pathlib import Path; from search.experiment.experiment import load_experiment; "
        "load_experiment(Path('experiments/dhsd.yaml')).space.enqueued_points()"
    ),
    "whosehand --help": COMMAND.format(arguments=["whosehand", "--help"]),
    "whosehand keys": COMMAND.format(arguments=["whosehand", "keys"]),
}


STATUS = """
import tempfile
from pathlib import Path
from search.ledger.ledger import open_ledger
from search.experiment.workspace import Workspace
import search.cli.status
from search.sweep.status import list_sweeps

with tempfile.TemporaryDirectory() as project:
    workspace = Workspace(Path(project))
    config = {"objective": {"metric": "val/image_logloss"}, "budget": {"trials": 3}}
    with open_ledger(workspace.sweep("small"), name="small", config=config, version="0.2.0", git_commit=""):
        print(list_sweeps(workspace, 0))
"""
"""Lists sweeps; the whole of `whosehand status` but what it prints."""


def test_the_list_of_sweeps_needs_no_numpy_and_no_whole_experiment() -> None:
    code = f"{STATUS}\nimport sys; print('MODULES', *sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    shown, _, imported = run.stdout.rpartition("MODULES ")
    assert "small" in shown
    assert (HEAVY | {"numpy", "search.experiment.experiment"}) & set(imported.split()) == set()


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_no_heavy_library_is_imported(code: str) -> None:
    ending = "import atexit, sys; atexit.register(lambda: print('\\nMODULES', *sys.modules)); "
    run = subprocess.run(
        [sys.executable, "-c", ending + code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    imported = run.stdout.rpartition("\nMODULES ")[2].split()
    assert "sys" in imported
    assert HEAVY & set(imported) == set()
