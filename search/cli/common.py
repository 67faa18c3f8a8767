"""Arguments that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.experiment.workspace import Workspace

if TYPE_CHECKING:
    from search.experiment.experiment import Experiment

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT", help="The experiment's YAML file.", show_default=False)
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one key of the file, such as budget.trials=5; repeatable."
    ),
]


class ImageUnit(StrEnum):
    """What an image is; see `core.corpora.index.TextImage`."""

    AUTO = "auto"
    PAGE = "page"
    FORM = "form"
    LINE = "line"


def current_workspace() -> Workspace:
    """The workspace of the current folder."""
    return Workspace(Path.cwd())


def read_experiment(path: Path, overrides: list[str]) -> "Experiment":
    """Read the experiment file.

    Raises:
        ConfigError: names file, key and what is allowed.
    """
    from search.experiment.experiment import load_experiment

    return load_experiment(path, overrides)
