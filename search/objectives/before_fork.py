"""What every trial of a patch CNN would do anew, done once by the server that workers are forked
from: imports, and MLflow's search for what is installed (35,000 files, half the time of saving a
model).
"""

import importlib

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)

_MODULES = (
    "tensorflow",
    "keras",
    "mlflow.pyfunc",
    "mlflow.tensorflow",
    "matplotlib.backends.backend_agg",
    "pandas.io.formats.csvs",
    "pyarrow.pandas_compat",
    "sklearn.metrics",
)

for _module in _MODULES:
    importlib.import_module(_module)
_requirements = importlib.import_module("mlflow.utils.requirements_utils")
_requirements.warn_dependency_requirement_mismatches(["mlflow"])  # it keeps what it found
