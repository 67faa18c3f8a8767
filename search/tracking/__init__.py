"""Sweeps, runs and models in MLflow, and the registry of models.

MLflow reads its switches when it is imported. They stand here, so that whoever imports anything of
this package has thrown them before MLflow is loaded. A value that the user has set is left alone.
"""

import getpass
import importlib
import logging
import os
import sys

MODELS_FOLDER = "models"
"""The folder in an experiment's artifacts where MLflow keeps its models."""

MLFLOW_SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else a fresh store prints a line for every table migration
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # it would tear the live table of trials
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # the default 7 hangs for four minutes when a server is away
    "GIT_PYTHON_REFRESH": "quiet",  # MLflow imports GitPython, which complains where git is not installed
}
"""What whosehand wants of MLflow, for this process and the ones it starts."""

for _name, _value in MLFLOW_SWITCHES.items():
    os.environ.setdefault(_name, _value)

if hasattr(os, "getuid"):  # in a container a user id may have no name, for which MLflow asks all the same
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"

if "mlflow" in sys.modules:  # someone else imported it first, with telemetry
    importlib.import_module("mlflow.telemetry").set_telemetry_client()

# It prints a stack trace for every database error before it raises; the error itself reaches the
# user as TrackingError.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
