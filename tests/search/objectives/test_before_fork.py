"""What workers need not do anew, in a process like the server that they are forked from."""

import subprocess
import sys

from search.executors.local.executor import modules_to_preload
from search.experiment.objective_settings import TRAIN_PATCH_CNN

LOOK = """
import importlib
import sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from mlflow.utils import requirements_utils
assert len(requirements_utils._MODULES_TO_PACKAGES) > 100
from tensorflow.python.eager import context
assert not context.context()._initialized, "threads of TensorFlow do not outlive a fork"
"""


def test_the_server_knows_what_is_installed_and_starts_no_tensorflow() -> None:
    names = modules_to_preload(TRAIN_PATCH_CNN)
    assert "search.objectives.before_fork" in names
    ended = subprocess.run([sys.executable, "-c", LOOK, *names], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
