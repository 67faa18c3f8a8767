"""`whosehand enqueue`: let a sweep try a point of your own next."""

from typing import Annotated

import typer

from core.errors import ConfigError
from search.cli.common import SweepName, current_workspace, output, print_error


def enqueue(
    sweep: SweepName,
    values: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Hyperparameters, such as learning_rate=1e-3.")
    ],
) -> None:
    """Let SWEEP try these hyperparameters next, also while it runs; the others have their default.

    The trial counts in the budget. `whosehand keys space` lists the hyperparameters.
    """
    from search.experiment.file import read_value
    from search.sweep.steering import enqueue_point

    if wrong := next((value for value in values if "=" not in value), None):
        raise ConfigError(f"A hyperparameter looks like `learning_rate=1e-3`, but got {wrong!r}.")
    parts = [value.partition("=") for value in values]
    chosen = {name.strip(): read_value(text, f"{name}={text}") for name, _, text in parts}
    _, answer = enqueue_point(sweep, current_workspace(), chosen)
    if answer.reason:
        print_error(f"the point is not enqueued: {answer.reason}")
        raise typer.Exit(1)
    shown = " ".join(f"{name}={value}" for name, value in chosen.items())
    waits = "is tried next" if answer.is_followed else "waits until the sweep goes on"
    output.print(f"{sweep}: {waits}: {shown}")
