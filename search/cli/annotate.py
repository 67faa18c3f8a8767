"""`whosehand note` and `whosehand tag`: what you have to say of a trial, in the ledger and in
MLflow.
"""

from typing import Annotated

import typer

from core.errors import ConfigError
from search.cli.common import SweepName, current_workspace, output

TrialNumber = Annotated[int, typer.Argument(metavar="TRIAL", help="The trial's number.", min=0, show_default=False)]


def note(
    sweep: SweepName,
    trial: TrialNumber,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Markdown; '' takes the note away.", show_default=False)],
) -> None:
    """Set the note of a TRIAL, also while SWEEP runs; MLflow shows it as the run's description.

    A note of before is replaced.
    """
    from search.sweep.annotations import annotate_trial

    remark = annotate_trial(sweep, current_workspace(), trial, text)
    output.print(f"trial {trial} of {sweep} has {'the note: ' + text if text else 'no note'}")
    _print_remark(remark)


def tag(
    sweep: SweepName,
    trial: TrialNumber,
    tags: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Such as keep=yes; `keep=` takes one away.")
    ],
) -> None:
    """Set tags of a TRIAL, also while SWEEP runs; MLflow can filter its runs by them."""
    from search.sweep.annotations import annotate_trial

    if wrong := next((each for each in tags if "=" not in each), None):
        raise ConfigError(f"A tag looks like `keep=yes`, but got {wrong!r}.")
    chosen = {key.strip(): text.strip() for key, _, text in (each.partition("=") for each in tags)}
    remark = annotate_trial(sweep, current_workspace(), trial, tags=chosen)
    shown = ", ".join(f"{key}={text}" if text else f"no {key}" for key, text in chosen.items())
    output.print(f"trial {trial} of {sweep} has: {shown}")
    _print_remark(remark)


def _print_remark(remark: str) -> None:
    if remark:
        output.print(remark)
