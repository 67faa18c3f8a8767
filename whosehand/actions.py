"""What one does with sweeps: launch, open, list, compare and promote them."""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import RegistryError
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from whosehand.progress import shown
from whosehand.sweeps import Sweep

# Imported inside the functions that need them: MLflow, Optuna, pandas, Keras and SciPy take seconds
# that `import whosehand` saves.
if TYPE_CHECKING:
    from search.comparison.several_sweeps import Comparison
    from search.comparison.sweep_report import SweepReport
    from search.experiment.keys import ConfigKey, HyperparameterKey
    from search.promotion.outcome import Promotion
    from search.sweep.proposal import Proposal

Project = str | Path | None


def sweep(
    experiment: Experiment | str | Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    patches: int | None = None,
    fork: str | None = None,
    project: Project = None,
    progress: bool = True,
) -> "Sweep":
    """Launch the experiment's sweep, or resume it where it stopped; wait until it ends.

    Ctrl-C (in a notebook: interrupt the kernel) is safe: the running epochs finish, the stopped
    sweep is returned, and the same call resumes it.

    Args:
        experiment: what to do, or the path of its file.
        trials: limits the sweep instead of the experiment's own number.
        minutes: the same for the working time of all launches together.
        patches: the same for the patches trained.
        fork: launch a changed experiment as a sweep of its own, of this name.
        project: the folder that holds `mlruns` and `data`, the current one if not given.
        progress: whether to show how far it is.

    Raises:
        WhosehandError: says what is wrong and what to do; nothing of an earlier launch is lost.
    """
    from search.sweep.launch import launch_sweep

    workspace = _workspace(project)
    chosen = _with_limits(experiment, {"trials": trials, "minutes": minutes, "patches": patches})
    if fork is not None:
        from search.sweep.known_sweeps import forked

        chosen = forked(chosen, fork, workspace)
    launch_sweep(chosen, workspace, shown(progress))
    return Sweep(chosen.name, workspace.root)


def open_sweep(name: str, *, project: Project = None) -> "Sweep":
    """A sweep that was launched before; it may be running.

    Raises:
        LedgerError: if there is no such sweep; the message names those that there are.
    """
    found = Sweep(name, _workspace(project).root)
    found.known()
    return found


def list_sweeps(*, project: Project = None) -> "list[Sweep]":
    """All sweeps of the project that have begun, by name; one whose ledger is damaged is left
    out.
    """
    from search.sweep.status import list_sweeps as list_overviews

    workspace = _workspace(project)
    overviews = list_overviews(workspace, time.time_ns() // 1_000_000)
    return [Sweep(each.name, workspace.root) for each in overviews if each.counts is not None]


def compare(*sweeps: "Sweep | str", project: Project = None) -> "SweepReport | Comparison":
    """What one sweep found, or which of several on one split got further. Nothing is trained or
    written.

    Args:
        sweeps: handles or names.
        project: of names; a handle knows its own.

    Raises:
        LedgerError: if there is no such sweep.
        ComparisonError: if none is given, one is given twice, or two differ in their split or
            objective.
    """
    from core.errors import ComparisonError

    if not sweeps:
        raise ComparisonError("Which sweeps? Give `compare` one sweep or more.")
    handles = [_handle(each, project) for each in sweeps]
    workspace = Workspace(handles[0].project)
    if len(handles) > 1:
        from search.comparison.several_sweeps import compare_sweeps

        return compare_sweeps([handle.name for handle in handles], workspace)
    from search.comparison.sweep_report import read_report

    return read_report(handles[0].name, workspace, f"whosehand.compare({handles[0].name!r})")


def promote(
    sweep: "Sweep | str",
    *,
    trial: int | None = None,
    model: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    members: int | None = None,
    refit: Literal["train", "all_but_test"] | None = None,
    accept: bool = False,
    project: Project = None,
    progress: bool = True,
) -> "Promotion":
    """Refit the best trial longer, open the sealed test pages, register the model; champion if it
    passes the gate.

    Args:
        sweep: a handle or a name.
        trial: its number, if not the best finalist or the best trial.
        model: name in the registry, if not the experiment's.
        epochs: length of the refit, if not the experiment's.
        minutes: as long as it pays, at most so long by the trial's speed; not with `epochs`.
        members: refits that answer together as one model, if not the experiment's number.
        refit: pages that it trains on, if not the experiment's: `train`, or `all_but_test` for
            training and validation pages, with three cross-fits more.
        accept: make it champion also where too few test pages can tell whether it is better than
            guessing.
        project: of a name; a handle knows its own.
        progress: whether to show how far it is.

    Returns:
        What it came to: `is_champion`, `gate`, `scores`, `card`.

    Raises:
        RegistryError: if no trial has completed, or a step fails.
    """
    from search.promotion.plan import PromotionChoice
    from search.promotion.promote import promote as promote_sweep

    handle = _handle(sweep, project)
    choice = PromotionChoice(trial, model, epochs, minutes, accept, members, refit)
    promotion = promote_sweep(handle.name, Workspace(handle.project), choice, shown(progress))
    _enrol_again(promotion, handle)
    return promotion


def propose(folder: str | Path, *, name: str | None = None, measures_speed: bool = True) -> "Proposal":
    """An experiment for the scans in a folder, as `whosehand init` writes it.

    Args:
        folder: with the scans, or a table of them.
        name: of the experiment; made of the folder's if not given.
        measures_speed: whether to train for some seconds, for the budget.

    Returns:
        What was found, and `.experiment`, which `sweep` takes.

    Raises:
        CorpusError: if no layout is recognised, or there are too few writers or pages.
    """
    from search.sweep.proposal import propose_experiment

    return propose_experiment(Path(folder), name, measures_speed=measures_speed)


def keys(start: str = "") -> "tuple[ConfigKey | HyperparameterKey, ...]":
    """The keys of an experiment and the hyperparameters it may search, explained.

    Args:
        start: only those that begin so.

    >>> [key.name for key in keys("learning")]
    ['learning_rate']
    """
    from search.experiment.keys import config_keys, hyperparameter_keys

    every: list[ConfigKey | HyperparameterKey] = [*config_keys(), *hyperparameter_keys()]
    return tuple(key for key in every if key.name.startswith(start))


def _enrol_again(promotion: "Promotion", sweep: Sweep) -> None:
    """Enrol the writers of the former champion with the new one; what fails is a warning."""
    from search.identification.enrolment import carry_over
    from search.tracking.store import open_store

    if not promotion.is_champion:
        return
    store = open_store(sweep.experiment.tracking, sweep.project)
    try:
        result = carry_over(store, promotion.version.name, lambda _: None)
    except RegistryError as error:
        warnings.warn(f"Enrolled writers are not known to the new champion: {error}", stacklevel=3)
        return
    for image in result.gone if result else ():
        warnings.warn(f"Not enrolled again: {image.reason}", stacklevel=3)


def _workspace(project: Project) -> Workspace:
    return Workspace(Path(project or ".").absolute())


def _handle(sweep: "Sweep | str", project: Project) -> Sweep:
    return open_sweep(sweep, project=project) if isinstance(sweep, str) else sweep


def _with_limits(experiment: Experiment | str | Path, limits: Mapping[str, Any]) -> Experiment:
    chosen = experiment if isinstance(experiment, Experiment) else Experiment.load(experiment)
    given = {name: limit for name, limit in limits.items() if limit is not None}
    budget = BudgetSettings(**{**chosen.budget.model_dump(), **given})
    return chosen.model_copy(update={"budget": budget}) if given else chosen
