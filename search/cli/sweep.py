"""`whosehand sweep`: launch a sweep, or go on with it."""

from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.common import ExperimentFile, Overrides, current_workspace, notes, output, read_experiment

if TYPE_CHECKING:
    from search.experiment.experiment import Experiment
    from search.sweep.launch import LaunchedSweep
    from search.sweep.plan import SweepOutcome

_EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 130}


def sweep(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006  (typer copies it)
    fork: Annotated[
        str | None,
        typer.Option(metavar="NEW_NAME", help="Launch the changed experiment as a sweep of its own, of this name."),
    ] = None,
) -> None:
    """Launch the experiment's sweep, or resume it where it stopped.

    Every trial is recorded in MLflow (see it with `whosehand ui`). Ctrl-C is safe: the running
    epochs finish, and the same command goes on from there. A finished sweep goes on if its budget
    is raised: --set budget.trials=40. An experiment whose scores would no longer mean the same is
    refused: undo the change, or --fork it.
    """
    from search.sweep.launch import launch_sweep
    from search.sweep.progress import make_progress

    settings = read_experiment(experiment, overrides)
    if fork is not None:
        from search.sweep.known_sweeps import forked

        settings = forked(settings, fork, current_workspace())
    launched = launch_sweep(settings, current_workspace(), make_progress(notes))
    _print_outcome(settings, launched)
    if launched.outcome.status == "completed":
        _promote(settings, launched.outcome)
    no_trial_completed = launched.outcome.status == "completed" and launched.outcome.best is None
    raise typer.Exit(1 if no_trial_completed else _EXIT_CODES[launched.outcome.status])


def _promote(settings: "Experiment", outcome: "SweepOutcome") -> None:
    """Promote within the time that the budget leaves; see `search.cli.promote` for exit codes."""
    from search.cli.promote import promote_best
    from search.promotion.plan import PromotionChoice
    from search.sweep.deadline import RefitRule, refit_epochs_within
    from search.sweep.sweep_view import clock

    left_s = outcome.promotion_left_s
    if outcome.best is None or left_s is None:
        return
    rule = RefitRule.of(settings.promotion, settings.training.epochs)
    epochs = refit_epochs_within(left_s, outcome.best, rule)
    shorter = f"; the refit is shortened to {epochs} epochs" if epochs is not None else ""
    notes.print(f"the promotion follows, as budget.includes says; {clock(max(0.0, left_s))} left for it{shorter}")
    promote_best(settings.name, PromotionChoice(epochs=epochs))


def _print_outcome(settings: "Experiment", launched: "LaunchedSweep") -> None:
    from search.ledger.ranking import readable_duration, trial_name

    outcome, name, metric = launched.outcome, settings.name, settings.objective.metric
    counts = ", ".join(f"{n} {state}" for state, n in outcome.n_by_state.items() if n)
    output.print(f"sweep {name} {outcome.status}: {outcome.reason}")
    output.print(f"  trials  {counts or 'none'}")
    best = outcome.best
    if best is not None:
        title = trial_name(best.number, best.hyperparameters)
        output.print(f"  best    {title}: {metric} {best.value:.4g} in {readable_duration(best.duration_s)}")
    output.print(f"  records {launched.store.uri}, {launched.folder}")
    if outcome.status == "completed" and outcome.promotion_left_s is None:
        verb = "promote" if best and best.result and best.result.model else "compare"
        output.print(f"next: whosehand {verb} {name}" if best else "No trial completed, so there is none to promote.")
