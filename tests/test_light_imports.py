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


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_no_heavy_library_is_imported(code: str) -> None:
    ending = "import atexit, sys; atexit.register(lambda: print('\\nMODULES', *sys.modules)); "
    run = subprocess.run(
        [sys.executable, "-c", ending + code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    imported = run.stdout.rpartition("\nMODULES ")[2].split()
    assert "sys" in imported
    assert HEAVY & set(imported) == set()
