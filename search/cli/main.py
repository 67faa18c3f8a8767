"""The command `whosehand`: its sub-commands, and how errors reach the user.

Commands import what they work with when they are called: MLflow and its kin take seconds, and
`--help` should not.
"""

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from core.crash_points import arm
from core.errors import WhosehandError
from core.passwords import without_passwords
from search.cli import (
    annotate,
    budget,
    compare,
    data,
    doctor,
    enqueue,
    enrol,
    find,
    gc,
    identify,
    init,
    keys,
    promote,
    reconcile,
    retrieval,
    status,
    stop,
    sweep,
    ui,
    verify,
)
from search.cli.common import output, print_error

CRASH_VARIABLE = "WHOSEHAND_CRASH_AT"
"""Names the crash points (see docs/safety.md) at which this process kills itself; for tests."""

app = typer.Typer(
    name="whosehand",
    help="Whose hand wrote this? Sweeps over patch CNNs that tell writers apart by their handwriting.",
    epilog="An EXPERIMENT is a YAML file such as experiments/quickstart.yaml. Its paths start at the current folder.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.command("init")(init.init)
app.command("sweep")(sweep.sweep)
app.command("status")(status.status)
app.command("show")(status.show)
app.command("stop")(stop.stop)
app.command("budget")(budget.budget)
app.command("enqueue")(enqueue.enqueue)
app.command("note")(annotate.note)
app.command("tag")(annotate.tag)
app.command("compare")(compare.compare)
app.command("promote")(promote.promote)
app.command("rollback")(promote.rollback)
app.command("identify")(identify.identify)
app.command("enrol")(enrol.enrol)
app.command("forget")(enrol.forget)
app.command("writers")(enrol.writers)
app.command("retrieval")(retrieval.retrieval)
app.command("index")(find.index)
app.command("find")(find.find)
app.command("verify")(verify.verify)
app.command("ui")(ui.ui)
app.command("doctor")(doctor.doctor)
app.command("reconcile")(reconcile.reconcile)
app.command("gc")(gc.gc)
app.command("keys")(keys.keys)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from search.experiment.workspace import whosehand_version

        output.print(f"whosehand {whosehand_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that come before a command; the text of `--help` is above."""


def main() -> None:
    """Run the command line; an error of ours, or of a file or disk, is one clear message and exit
    code 1.
    """
    sys.excepthook = _print_traceback
    try:
        arm_crash_points()
        app()
    except WhosehandError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:
        from search.ledger.trial import is_disk_full  # only here: commands that go well need it not

        if is_disk_full(error):
            print_error(
                f"The disk of {Path.cwd()} is full ({error.strerror}). Make room, and run the same command again."
            )
            sys.exit(1)
        if error.filename is None:
            raise
        print_error(f"{error.filename} must be there and usable, but: {error.strerror}. Mend that and try again.")
        sys.exit(1)


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a defect of ours as Python does, but no password that stands in an address."""
    sys.stderr.write(without_passwords("".join(traceback.format_exception(kind, error, trace))))


def arm_crash_points() -> None:
    """Take the crash points that the environment names.

    Raises:
        WhosehandError: if there is no such point.
    """
    try:
        arm(os.environ.get(CRASH_VARIABLE, ""))
    except ValueError as error:
        raise WhosehandError(f"{CRASH_VARIABLE}: {error}") from error


if __name__ == "__main__":
    main()
