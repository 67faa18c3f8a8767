"""`whosehand ui`: MLflow's pages on this project's store."""

import signal
import sys
from typing import Annotated

import typer

from search.cli.common import current_workspace, notes, output


def ui(
    port: Annotated[int | None, typer.Option(help="To listen at.", show_default="the first free one from 5000")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; the default is reached from this machine alone.")] = (
        "127.0.0.1"
    ),
    uri: Annotated[
        str | None, typer.Option(help="Tracking store, as in tracking.uri.", show_default="the project's")
    ] = None,
) -> None:
    """Show sweeps, trials and models in MLflow's own pages, until Ctrl-C."""
    from search.sweep.known_sweeps import project_tracking
    from search.tracking.store import open_store, tracked_experiments
    from search.tracking.ui import start_ui

    workspace = current_workspace()
    store = open_store(project_tracking(workspace, uri), workspace.root)
    with notes.status("starting MLflow's server"):
        running = start_ui(store, host, port)
    # The server heads a process group of its own, which a terminal's hang-up or a plain `kill`
    # would not reach.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))
    try:
        output.print(f"MLflow is at {running.url} (Ctrl-C ends it)")
        for experiment in tracked_experiments(store):
            output.print(f"  {experiment}: trials, the best first: {running.page_of(store, experiment)}")
        running.wait()
    finally:
        running.stop()
