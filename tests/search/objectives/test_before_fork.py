"""What workers need not do anew, in a process like the server that they are forked from."""

import subprocess
import sys

from search.executors.local.executor import modules_to_preload
from search.experiment.objective_settings import TRAIN_PATCH_CNN

LOOK = """
import sys
import search.objectives.before_fork
from mlflow.utils import requirements_utils
assert len(requirements_utils._MODULES_TO_PACKAGES) > 100
assert {"keras", "mlflow.tensorflow", "mlflow.pyfunc", "matplotlib.backends.backend_agg"} <= {*sys.modules}
import tensorflow as tf
from tensorflow.python.eager import context
assert not context.context()._initialized, "threads of TensorFlow do not outlive a fork"
"""


def test_the_server_imports_all_and_knows_what_is_installed_and_starts_no_tensorflow() -> None:
    assert modules_to_preload(TRAIN_PATCH_CNN)[0] == "search.objectives.before_fork"
    ended = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
