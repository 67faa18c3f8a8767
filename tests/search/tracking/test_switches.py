"""MLflow's switches are thrown by whoever imports anything of `search.tracking`."""

import os
import subprocess
import sys

from search.tracking import MLFLOW_SWITCHES

LOOK = "import os, sys, {module}; print('mlflow' in sys.modules, *(os.environ[name] for name in {names!r}))"


def _look(module: str, **environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if name not in MLFLOW_SWITCHES}
    code = LOOK.format(module=module, names=list(MLFLOW_SWITCHES))
    run = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=True
    )
    return run.stdout.split()


def test_the_package_throws_them_and_does_not_import_mlflow() -> None:
    assert _look("search.tracking") == ["False", *MLFLOW_SWITCHES.values()]


def test_what_the_user_has_set_is_left_alone() -> None:
    assert _look("search.tracking", MLFLOW_DISABLE_TELEMETRY="false")[1] == "false"
