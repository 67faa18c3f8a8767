"""MLflow's search for what is installed: it looks at 35,000 files, which is most of the time of
saving a first model. The server that workers are forked from imports this file, so that it is done
once for all trials.
"""

from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)

warn_dependency_requirement_mismatches(["mlflow"])  # MLflow keeps what it found
