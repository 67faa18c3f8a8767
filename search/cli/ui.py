"""`whosehand ui`: MLflow's pages on this project's store."""

import os
import signal
import sys
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.common import StoreOption, complete_sweeps, current_workspace, notes, output, print_note, print_warning

if TYPE_CHECKING:
    from search.experiment.workspace import Workspace


def ui(
    sweep: Annotated[
        str | None,
        typer.Argument(
            metavar="[SWEEP]", help="Open this sweep's runs.", show_default="the newest", autocompletion=complete_sweeps
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(help="To listen at.", show_default="the first free one from 5000")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; the default is reached from this machine alone.")] = (
        "127.0.0.1"
    ),
    uri: StoreOption = None,
    browser: Annotated[bool, typer.Option(help="Open a browser where there is one, or only print the address.")] = True,
) -> None:
    """Show a sweep's trials, and all that is recorded, in MLflow's own pages, until Ctrl-C.

    The page that is opened lists the sweep's runs, the best first, with the scores and the
    hyperparameters that vary as columns.
    """
    from search.experiment.settings import TrackingSettings
    from search.sweep.known_sweeps import project_tracking, read_sweep
    from search.tracking.store import open_store, tracked_experiments
    from search.tracking.ui import is_loopback, page_of, start_ui

    workspace = current_workspace()
    settings = read_sweep(sweep, workspace).experiment.tracking if sweep else project_tracking(workspace, uri)
    store = open_store(TrackingSettings(uri=uri) if uri is not None else settings, workspace.root)
    wanted = [sweep] if sweep else _newest_first(tracked_experiments(store), workspace)
    if store.is_server:
        _show({name: page_of(store, name, store.uri) for name in wanted}, browser)
        return
    pages = {name: page_of(store, name, "") for name in wanted}  # a wrong name is an error before a server is started
    with notes.status("starting MLflow's server"):
        running = start_ui(store, host, port)
    # The server heads a process group of its own, which a terminal's hang-up or a plain `kill`
    # would not reach.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))
    try:
        output.print(f"MLflow is at {running.url} (Ctrl-C ends it)")
        _show({name: f"{running.url}{page}" for name, page in pages.items()}, browser)
        _say_who_reaches_it(host, is_loopback(host))
        running.wait()
    finally:
        running.stop()


def _newest_first(names: Sequence[str], workspace: "Workspace") -> list[str]:
    """The sweep that did something last comes first; what has no ledger here comes last."""

    def changed_ns(name: str) -> int:
        ledger = workspace.sweep(name) / "ledger.jsonl"
        return ledger.stat().st_mtime_ns if ledger.exists() else 0

    return sorted(names, key=changed_ns, reverse=True)


def _say_who_reaches_it(host: str, is_loopback: bool) -> None:
    if is_loopback:
        print_note("it is reached from this machine alone, by everyone who is logged in here; it asks for no password")
    else:
        print_warning(
            f"everyone who reaches {host} can read, change and delete all records: there is no password. "
            "docs/security.md says what to put before it"
        )


def _show(pages: dict[str, str], browser: bool) -> None:
    for name, page in pages.items():
        output.print(f"  {name}: trials, the best first: {page}")
    has_screen = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if pages and browser and output.is_terminal and has_screen:  # else a browser of text would take the terminal
        webbrowser.open(next(iter(pages.values())))
