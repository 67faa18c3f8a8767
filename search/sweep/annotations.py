"""Sets the note and tags of a trial, while its sweep runs, before it goes on, or after it ended.

A running sweep's driver takes them down and tells MLflow. Where nobody is on the sweep, that is
done here.
"""

import re
from collections.abc import Mapping

from core.errors import ConfigError, LedgerError, TrackingError
from search.experiment.workspace import Workspace
from search.ledger.events import TrialAnnotated
from search.ledger.ledger import Ledger
from search.ledger.state import TrialRecord
from search.sweep.control import AnnotateCommand, new_command
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.steering import is_running, send_and_wait

_LONGEST_TEXT = 4000  # MLflow keeps 8,000 signs in a tag, and the note shares one with a warning and a failure
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_OUR_TAGS = (
    *("sweep", "sweep_id", "trial", "kind", "state", "engine", "seed", "version", "warning", "reason"),
    *("attempts", "threads", "precision", "launches", "best_trial", "objective", "git_commit", "model_dropped"),
)


def annotate_trial(
    name: str, workspace: Workspace, trial: int, note: str | None = None, tags: Mapping[str, str] | None = None
) -> str:
    """Set a trial's note and tags, in the ledger and in MLflow.

    Args:
        name: of the sweep.
        workspace: where.
        trial: its number.
        note: Markdown; `None` leaves it as it is, an empty text takes it away.
        tags: to set; an empty text takes a tag away.

    Returns:
        What the user should know, such as that MLflow did not answer; empty if all is done.

    Raises:
        LedgerError: if there is no such sweep or trial, or the driver refuses.
        ConfigError: if a tag's key is not possible, or a text is too long.
    """
    sweep = read_sweep(name, workspace)
    if trial not in sweep.state.trials:
        raise LedgerError(f"The sweep {name!r} has {_there(sweep)}, but got {trial}.")
    chosen = dict(tags or {})
    _check(note, chosen)
    command_id, at_ms = new_command()
    if is_running(sweep.folder):
        answer = send_and_wait(sweep, AnnotateCommand(command_id, at_ms, trial, note, chosen))
        if answer.reason:
            raise LedgerError(f"The sweep {name!r} refuses it: {answer.reason}")
        return "" if answer.is_followed else "The driver has not answered yet; the next launch takes it up otherwise."
    with Ledger(sweep.folder) as ledger:
        ledger.append(TrialAnnotated, command_id, trial, note, chosen)
        try:
            _tell_mlflow(sweep, workspace, ledger.state.trials[trial])
        except TrackingError as error:
            return f"The ledger has it, MLflow has not: {error} The next launch, or `whosehand reconcile`, tells it."
    return ""


def _there(sweep: KnownSweep) -> str:
    n_trials = len(sweep.state.trials)
    return f"trials 0 to {n_trials - 1}" if n_trials else "no trial yet"


def _check(note: str | None, tags: Mapping[str, str]) -> None:
    for key, text in tags.items():
        if not _KEY.fullmatch(key):
            raise ConfigError(f"A tag's key has letters, digits, `_`, `.` and `-`, 100 at most, but got {key!r}.")
        if key in _OUR_TAGS or key.startswith("mlflow."):
            raise ConfigError(f"The tag {key!r} is one that whosehand or MLflow sets itself. Take another key.")
        if len(text) > _LONGEST_TEXT:
            raise ConfigError(f"A tag has at most {_LONGEST_TEXT} signs, but {key!r} has {len(text)}.")
    if note is not None and len(note) > _LONGEST_TEXT:
        raise ConfigError(f"A note has at most {_LONGEST_TEXT} signs, but got {len(note)}.")


def _tell_mlflow(sweep: KnownSweep, workspace: Workspace, trial: TrialRecord) -> None:
    # Imported here, because MLflow takes seconds, and a running sweep's driver tells it by itself.
    from mlflow.entities import RunTag

    from search.tracking.runs import find_run
    from search.tracking.store import open_store, tracking_errors
    from search.tracking.sweep_page import annotations

    store = open_store(sweep.experiment.tracking, workspace.root)
    run = find_run(store, sweep.created.name, sweep.created.sweep_id, trial.number)
    if run is None:
        return  # the run is made with them
    client, known = store.client(), run.data.tags
    tags = [RunTag(key, text) for key, text in annotations(trial, known.get("warning", "")).items()]
    with tracking_errors(f"record the note and tags of trial {trial.number}", store):
        client.log_batch(run.info.run_id, tags=tags)
        for key in sorted(known.keys() & (trial.set_tags.keys() - trial.tags.keys())):
            client.delete_tag(run.info.run_id, key)
