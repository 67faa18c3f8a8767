"""A saved view for MLflow's runs table: the trials alone, the best first, with the columns that tell them apart.

Out of the box MLflow folds the trials away under their sweep, and shows neither scores nor hyperparameters. A view is
what its `Views` menu saves: a tag of the experiment with the state of the page as JSON (read from MLflow 3.17's pages;
one that does not know the tag shows its own table).
"""

import json
from collections.abc import Sequence
from typing import Literal

VIEW_KEY = "trials"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
MAX_HYPERPARAMETERS = 9


def saved_view(score: str, scores: Sequence[str], hyperparameters: Sequence[str], lower_is_better: bool) -> str:
    """The value of the experiment's tag `VIEW_TAG`.

    Args:
        score: the one that was searched for, the first column.
        scores: further columns.
        hyperparameters: columns after them, as far as there is room.
        lower_is_better: the direction of `score`.
    """
    columns = [
        "attributes.`Duration`",
        "tags.`state`",
        *(f"metrics.`{name}`" for name in (score, *scores)),
        *(f"params.`{name}`" for name in hyperparameters[:MAX_HYPERPARAMETERS]),
    ]
    state = {
        "searchFilter": "tags.kind != 'sweep'",
        "orderByKey": f"metrics.`{score}`",
        "orderByAsc": lower_is_better,
        "selectedColumns": columns,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    return json.dumps({"name": "Trials, the best first", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def view_address(url: str, experiment_id: str, page: Literal["runs", "models"] = "runs") -> str:
    """Where a browser sees an experiment's trials in this view, with the pages for model training in front."""
    key = f"&viewStateShareKey={VIEW_KEY}" if page == "runs" else ""
    return f"{url}/#/experiments/{experiment_id}/{page}?workflowType=machine_learning{key}"
