"""`whosehand stop`: stop a running sweep, or one of its trials, from another terminal."""

from typing import Annotated

import typer

from search.cli.common import SweepName, current_workspace, output, print_error


def stop(
    sweep: SweepName,
    trial: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Stop this trial alone, for good.", show_default="the sweep")
    ] = None,
    is_urgent: Annotated[bool, typer.Option("--now", help="Do not wait for the running epochs to end.")] = False,
) -> None:
    """Stop a running SWEEP as Ctrl-C would, or one of its trials.

    A stopped sweep goes on with the command that began it. A stopped trial counts as pruned, and
    its worker takes the next one.
    """
    from search.sweep.steering import stop_sweep

    answer = stop_sweep(sweep, current_workspace(), trial, is_urgent)
    what = f"sweep {sweep}" if trial is None else f"trial {trial} of {sweep}"
    if answer.reason:
        print_error(f"{what} is not stopped: {answer.reason}")
        raise typer.Exit(1)
    if not answer.is_followed:
        output.print(f"{what} was asked to stop; its driver has not answered yet.")
    elif is_urgent:
        output.print(f"{what} is stopped.")
    else:
        output.print(f"{what} stops when its running epoch is done.")
