"""Records learning curves of an experiment's space, and says what tables hold.

    python -m benchmarks.curves record EXPERIMENT --points 60 --seeds 0,1,2 --repeated 8 --horizons 8,24
    python -m benchmarks.curves show TABLE
    python -m benchmarks.curves agree TABLE TABLE

A recording may be stopped (Ctrl-C, or a kill) and goes on with the same command, or with another
one that wants more. What stands in the table is not trained again. The table is
`benchmarks/curves/<experiment>.csv`; commit it where it was recorded on a quiet machine.
"""  # noqa: W505

import datetime
import re
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.curves.points import curve_points, wanted_curves
from benchmarks.curves.ranks import early_ranks, rank_agreement
from benchmarks.curves.record import Recorder, without_early_stopping
from benchmarks.curves.surrogate import cross_validate
from benchmarks.curves.table import CurveTable
from benchmarks.report import machine_line, notes, print_report
from search.experiment.experiment import load_experiment
from search.experiment.objective_settings import ObjectiveSettings
from search.experiment.workspace import Workspace
from search.sweep.progress import make_progress

TABLES = Path(__file__).parent
app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def record(
    experiment: Annotated[Path, typer.Argument(help="Experiment file.")],
    points: Annotated[int, typer.Option(min=1, help="Points: recipe, defaults, corners, a Sobol set.")] = 60,
    seeds: Annotated[str, typer.Option(help="With commas; the first for all points.")] = "0,1,2",
    repeated: Annotated[int, typer.Option(min=0, help="Points that have all seeds.")] = 8,
    horizons: Annotated[str, typer.Option(help="Epochs, with commas; by default the experiment's.")] = "",
    every: Annotated[int, typer.Option(min=1, help="Each so many-th point has all horizons.")] = 3,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the experiment.")] = None,
    table: Annotated[Path | None, typer.Option(help="Another file for the table.")] = None,
) -> None:
    """Train what the table does not have, and add it."""
    loaded = without_early_stopping(load_experiment(experiment, overrides or (), needs_budget=False))
    if loaded.objective.is_own or loaded.model is not None:
        raise typer.BadParameter(
            "Curves are those of whosehand's own networks, but the experiment has code of its own."
        )
    epochs = [int(each) for each in horizons.split(",")] if horizons else [loaded.training.epochs]
    wanted = wanted_curves(
        curve_points(loaded, points), [int(seed) for seed in seeds.split(",")], repeated, epochs, every
    )
    command = shlex.join(["python", "-m", "benchmarks.curves", *_without_places(sys.argv[1:])])
    workspace = Workspace(Path.cwd())
    recorder = Recorder(
        loaded,
        workspace,
        folder=workspace.root / "mlruns" / "curves" / loaded.name,
        table=table or TABLES / f"{loaded.name}.csv",
        said=f"{datetime.date.today().isoformat()}; {machine_line()}; {command}",
        progress=make_progress(notes),
    )
    if not recorder.record(wanted):
        raise typer.Exit(130)
    print(f"{recorder.table}: {len(CurveTable.read(recorder.table).curves)} curves")


def _without_places(arguments: Sequence[str]) -> list[str]:
    """A command line without paths of this machine: the table is for others.

    >>> _without_places(["record", "/home/me/dhsd.yaml", "--set", "corpus.root=/data/DHSD"])
    ['record', 'dhsd.yaml', '--set', 'corpus.root=DHSD']
    """
    return [re.sub(r"(?<![^=])/\S*/", "", argument) for argument in arguments]


@app.command()
def show(
    table: Annotated[Path, typer.Argument(help="Table of curves.")],
    metric: Annotated[str, typer.Option(help="The score that is searched for.")] = ObjectiveSettings().metric,
) -> None:
    """Say what a table holds, how well a surrogate knows points that it has not seen, and how soon
    a trial's end can be told.
    """
    held = CurveTable.read(table)
    is_low_good = ObjectiveSettings(metric=metric).resolved_direction == "minimize"
    rows, early = [], []
    for horizon, n_curves in sorted(Counter(curve.horizon for curve in held.curves).items()):
        n_points = len({curve.key[0] for curve in held.curves if curve.horizon == horizon})
        n_failed = sum(curve.horizon == horizon and bool(curve.failed) for curve in held.curves)
        error = cross_validate(held, metric, horizon, is_low_good=is_low_good)
        rows.append((f"{horizon}", f"{n_curves}", f"{n_points}", f"{n_failed}", *error.cells()))
        ranks = early_ranks(held, metric, horizon, is_low_good=is_low_good)
        early.append(
            f"rank correlation of the score after each of {horizon} epochs with the best one, over the points: "
            + ", ".join(f"{rho:.2f}" for rho in ranks)
        )
    columns = ("horizon", "curves", "points", "failed", "R²", "rank correlation", "error", "noise of seeds", "seconds")
    remarks = [
        *held.recordings,
        *early,
        f"of the best {metric} of a curve, points left out by fifths: R² and error (of a loss: of its logarithm), "
        "Spearman's rank correlation; noise: standard deviation of the same among seeds of a point; seconds: median "
        "of the relative error of a trial's time",
    ]
    print_report(f"Curves in {table.name}", columns, rows, remarks)


@app.command()
def agree(
    first: Annotated[Path, typer.Argument(help="Table of curves.")],
    second: Annotated[Path, typer.Argument(help="Table of curves of another corpus.")],
    metric: Annotated[str, typer.Option(help="The score that is searched for.")] = ObjectiveSettings().metric,
) -> None:
    """Say whether two corpora rank the same points alike."""
    is_low_good = ObjectiveSettings(metric=metric).resolved_direction == "minimize"
    found = rank_agreement(CurveTable.read(first), CurveTable.read(second), metric, is_low_good=is_low_good)
    rows = [(f"{at.horizon}", f"{at.n_points}", f"{at.rho:.2f}", f"{at.low:.2f} to {at.high:.2f}") for at in found]
    remarks = [
        f"of the best {metric} of each point's first curve, the points that both have; the interval by a bootstrap "
        "over points"
    ]
    columns = ("horizon", "points", "Spearman's rho", "95 %")
    print_report(f"{first.stem} and {second.stem}", columns, rows, remarks)


if __name__ == "__main__":
    app()
