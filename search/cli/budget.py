"""`whosehand budget`: change the budget of a sweep, also while it runs."""

from typing import Annotated

import typer

from core.errors import ConfigError
from search.cli.common import SweepName, current_workspace, output, print_error


def budget(
    sweep: SweepName,
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LIMIT=VALUE]...",
            help="trials=80 or until=18:00 sets a limit, minutes=+30 raises one, patches=none takes one away.",
            show_default="print the budget",
        ),
    ] = None,
) -> None:
    """Change the budget of SWEEP, also while it runs; without a change, print it.

    The new budget holds, also after a restart, until the experiment file's own value is changed.
    """
    from search.sweep.deadline import RefitRule, predict_promotion_s
    from search.sweep.known_sweeps import read_sweep
    from search.sweep.plan import BudgetUse, budget_by_ledger
    from search.sweep.steering import change_budget

    if changes:
        parts = [change.partition("=") for change in changes]
        if wrong := next((change for change in changes if "=" not in change), None):
            raise ConfigError(f"A change of the budget looks like `trials=80`, but got {wrong!r}.")
        answer = change_budget(sweep, current_workspace(), {limit.strip(): text.strip() for limit, _, text in parts})
        if answer.reason:
            print_error(f"the budget of {sweep} stays as it is: {answer.reason}")
            raise typer.Exit(1)
        if not answer.is_followed:
            output.print(f"{sweep} does not run; the budget is changed when it goes on: {' '.join(changes)}")
            return
    known = read_sweep(sweep, current_workspace())
    limits = budget_by_ledger(known.state, known.experiment.budget)
    refit = RefitRule.of(known.experiment.promotion, known.experiment.training.epochs)
    direction = known.experiment.objective.resolved_direction
    use = BudgetUse.of(
        limits, known.state, known.state.last_ms, lambda: predict_promotion_s(known.state, direction, refit)
    )
    output.print(f"{sweep}: {use}")
