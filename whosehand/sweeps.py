"""Sweeps and their trials, as objects: launched, opened again, compared, promoted."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ConfigError, LedgerError, RegistryError
from core.space import Value
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from whosehand.models import Identifier

# Imported inside the functions that need them: MLflow, Optuna, pandas, Keras and SciPy take seconds
# that `import whosehand` saves.
if TYPE_CHECKING:
    import keras
    import optuna
    import pandas as pd

    from search.ledger.state import TrialRecord
    from search.ledger.trial import TrialState
    from search.sweep.known_sweeps import KnownSweep
    from search.sweep.status import SweepOverview
    from search.sweep.steering import Answer

_SHOWN_TRIALS = 10


@dataclass(frozen=True)
class Sweep:
    """A sweep, as its ledger has it at the moment when it is asked; it may be running.

    Attributes:
        name: the experiment's.
        project: the folder that holds `mlruns` and `data`.
    """

    name: str
    project: Path
    _kept: "dict[tuple[int, int], KnownSweep]" = field(default_factory=dict, repr=False, compare=False)

    @property
    def experiment(self) -> Experiment:
        """As the sweep was first launched."""
        return self.known().experiment

    @property
    def status(self) -> str:
        """`running`, or how the last launch ended: `completed`, `interrupted`, `failed` or
        `killed`.
        """
        return self.overview().condition

    def overview(self) -> "SweepOverview":
        """The sweep at a glance: state, best trial, running trials, budget and time left."""
        from search.sweep.status import look_at_sweep

        return look_at_sweep(Workspace(self.project).sweep(self.name), time.time_ns() // 1_000_000)

    def stop(self, trial: int | None = None, *, now: bool = False) -> "Answer":
        """Stop the running sweep, wherever it runs, as Ctrl-C does; or one of its trials for good.

        Args:
            trial: number of the trial, which counts as pruned then; the sweep if not given, which
                can go on later.
            now: at once; otherwise when the running epoch is done.

        Raises:
            LedgerError: if the sweep does not run, or the trial does not.
        """
        from search.sweep.steering import stop_sweep

        return stop_sweep(self.name, Workspace(self.project), trial, now)

    def change_budget(self, **limits: int | float | str) -> "Answer":
        """Change `trials`, `minutes` or `patches`, also while the sweep runs.

        Args:
            limits: a number, a text such as `+30` or `-5` that changes the limit by so much, or
                `none`.

        Raises:
            ConfigError: if there is no such limit, or it is no number.
        """
        from search.sweep.steering import change_budget

        return change_budget(self.name, Workspace(self.project), {name: str(each) for name, each in limits.items()})

    def enqueue(self, **values: Value) -> Mapping[str, Value]:
        """Let the sweep try a point next, also while it runs.

        Args:
            values: some hyperparameters; the others have their fixed value or their default.

        Returns:
            The point as it will be tried.

        Raises:
            ConfigError: if a name or a value is not possible, or the driver refuses the point.
        """
        from search.sweep.steering import enqueue_point

        point, answer = enqueue_point(self.name, Workspace(self.project), values)
        if answer.reason:
            raise ConfigError(f"The sweep {self.name!r} does not take this point: {answer.reason}")
        return point

    @property
    def trials(self) -> "tuple[Trial, ...]":
        """All trials, by number."""
        return tuple(_trial_of(self, record) for record in self.known().state.trials.values())

    @property
    def best_trial(self) -> "Trial":
        """The completed trial with the best value.

        Raises:
            LedgerError: if none has completed yet.
        """
        known = self.known()
        best = known.state.best(known.experiment.objective.resolved_direction)
        if best is None:
            raise LedgerError(f"No trial of the sweep {self.name!r} has completed yet, so that none is the best.")
        return _trial_of(self, best)

    @property
    def best_params(self) -> Mapping[str, Value]:
        """The searched hyperparameters of the best trial."""
        return self.best_trial.params

    @property
    def best_value(self) -> float:
        """The value of the best trial."""
        value = self.best_trial.value
        assert value is not None  # it has completed
        return value

    def trials_dataframe(self) -> "pd.DataFrame":
        """A row a trial: number, state, value, every hyperparameter, seconds, epochs."""
        import pandas as pd

        rows = [
            {"number": trial.number, "state": str(trial.state), "value": trial.value}
            | dict(trial.hyperparameters)
            | {"seconds": trial.seconds, "epochs": trial.epochs}
            for trial in self.trials
        ]
        return pd.DataFrame(rows, columns=None if rows else ["number", "state", "value", "seconds", "epochs"])

    def leaderboard(self, sort: str | None = None, top: int | None = None) -> "pd.DataFrame":
        """A row a trial, the best first: scores with the ends of their intervals, what varies,
        costs.

        Args:
            sort: name of a score (the best first) or of another column (the smallest first); the
                objective if not given.
            top: so many trials at the most.

        Raises:
            ComparisonError: if there is no such column.
        """
        import pandas as pd

        from search.comparison.leaderboard import leaderboard_records, read_leaderboard

        return pd.DataFrame(leaderboard_records(read_leaderboard(self.known(), sort, top)))

    def optuna_study(self) -> "optuna.Study":
        """The sweep as an Optuna study in memory, whichever engine searched: for
        `optuna.visualization`.
        """
        from search.engines.optuna.study import study_from_ledger

        known = self.known()
        objective = known.experiment.objective
        space = known.experiment.space.search_space()
        return study_from_ledger(known.state, space, objective.metric, objective.resolved_direction)

    @property
    def mlflow_run_id(self) -> str:
        """MLflow's id of the sweep's own run, whose children the trials' runs are.

        Raises:
            TrackingError: if MLflow has none.
        """
        return self.run_id(None)

    def run_id(self, trial: int | None) -> str:
        """MLflow's id of the run of a trial, or of the sweep itself (`None`).

        Raises:
            TrackingError: if MLflow has none.
        """
        from core.errors import TrackingError
        from search.tracking.runs import find_run
        from search.tracking.store import locate_store

        known = self.known()
        store = locate_store(known.experiment.tracking, self.project)
        run = find_run(store, self.name, known.created.sweep_id, trial)
        if run is None:
            what = "the sweep" if trial is None else f"trial {trial} of the sweep"
            raise TrackingError(f"MLflow has no run of {what} {self.name!r} in {store.uri} yet.")
        return str(run.info.run_id)

    def known(self) -> "KnownSweep":
        """The ledger, read again only when it has grown."""
        from search.ledger.ledger import LEDGER_NAME
        from search.sweep.known_sweeps import read_sweep

        workspace = Workspace(self.project)
        try:
            found = (workspace.sweep(self.name) / LEDGER_NAME).stat()
        except OSError:
            return read_sweep(self.name, workspace)
        key = (found.st_size, found.st_mtime_ns)
        if key not in self._kept:
            known = read_sweep(self.name, workspace)
            self._kept.clear()
            self._kept[key] = known
        return self._kept[key]

    def __repr__(self) -> str:
        """The sweep in a line.

        Example: `Sweep quickstart: completed, 8 trials, best 0.09702 (trial 3)`.
        """
        trials = self.trials
        completed = [trial for trial in trials if trial.value is not None]
        best = f", best {self.best_value:.4g} (trial {self.best_trial.number})" if completed else ""
        return f"Sweep {self.name}: {self.status}, {len(trials)} trial{'s' * (len(trials) != 1)}{best}"

    def _repr_html_(self) -> str:
        direction = self.experiment.objective.resolved_direction
        trials = self.trials
        completed = [trial for trial in trials if trial.value is not None]
        ranked = sorted(completed, key=lambda t: (t.value if direction == "minimize" else -t.value, t.number))  # type: ignore[operator]
        shown = ranked[:_SHOWN_TRIALS]
        varying = [name for name in (shown[0].params if shown else {}) if len({t.params.get(name) for t in shown}) > 1]
        header = ["trial", self.experiment.objective.metric, *varying, "epochs", "seconds"]
        rows = [
            [
                *(str(trial.number), f"{trial.value:.4g}"),
                *(_shown_value(trial.params.get(name, "")) for name in varying),
                *(str(trial.epochs), f"{trial.seconds:.1f}"),
            ]
            for trial in shown
        ]
        head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        return f"<p>{escape(repr(self))}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep, as its ledger has it.

    Attributes:
        number: from 0.
        state: where it stands.
        value: the objective's; `None` unless it has completed.
        params: the hyperparameters that the sweep searches, as far as they count at this point.
        hyperparameters: all of them, fixed ones and defaults, too.
        intermediate_values: the objective's value after each epoch.
        metrics: final scores by name.
        epochs: how many were trained.
        seconds: of training and validation.
        reason: why it failed or ended early; empty otherwise.
        note: the user's; empty if there is none.
        tags: the user's.
        files: what it left, by name: scores, tables, pictures.
        sweep: that it belongs to.
    """

    number: int
    state: "TrialState"
    value: float | None
    params: Mapping[str, Value]
    hyperparameters: Mapping[str, Value] = field(repr=False)
    intermediate_values: Mapping[int, float] = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)
    epochs: int
    seconds: float
    reason: str
    note: str = field(repr=False)
    tags: Mapping[str, str] = field(repr=False)
    files: Mapping[str, Path] = field(repr=False)
    sweep: Sweep = field(repr=False)

    @property
    def mlflow_run_id(self) -> str:
        """MLflow's id of the trial's run.

        Raises:
            TrackingError: if MLflow has none.
        """
        return self.sweep.run_id(self.number)

    def set_note(self, text: str) -> str:
        """Set the trial's note, also while the sweep runs; MLflow shows it as the description.

        Args:
            text: Markdown; an empty one takes the note away.

        Returns:
            What you should know, such as that MLflow is away and hears of it later; else empty.

        Raises:
            LedgerError: if the sweep's driver refuses.
            ConfigError: if the text is too long.
        """
        from search.sweep.annotations import annotate_trial

        return annotate_trial(self.sweep.name, Workspace(self.sweep.project), self.number, text)

    def set_tag(self, key: str, text: str) -> str:
        """Set a tag of the trial, also while the sweep runs; MLflow can filter its runs by it.

        Args:
            key: letters, digits, `_`, `.` and `-`.
            text: an empty one takes the tag away.

        Returns:
            As `set_note`.

        Raises:
            LedgerError: if the sweep's driver refuses.
            ConfigError: if the key is not possible, or the text is too long.
        """
        from search.sweep.annotations import annotate_trial

        return annotate_trial(self.sweep.name, Workspace(self.sweep.project), self.number, tags={key: str(text)})

    def model(self) -> "keras.Model":
        """The trained Keras network: patches (n, height, width, 1) to writer probabilities (n,
        n_writers).

        Raises:
            RegistryError: if the trial has no model.
        """
        from core.networks.quiet_tensorflow import quiet_stderr
        from search.objectives.saved_model import load_model

        with quiet_stderr():  # where TensorFlow says on starting that it found no graphics card
            return load_model(self._model_folder())

    def identifier(self) -> Identifier:
        """What names writers by this trial's network; it is not calibrated, unlike a promoted
        model.

        Raises:
            RegistryError: if the trial has no model.
        """
        return Identifier(f"{self.sweep.name} trial {self.number}", self._model_folder(), runs_own_code=True)

    def _model_folder(self) -> Path:
        result = self.sweep.known().state.trials[self.number].result
        if result is None or result.model is None or not result.model.path.exists():
            raise RegistryError(
                f"Trial {self.number} of the sweep {self.sweep.name!r} has no saved model: only completed trials have "
                "one, and `tracking.keep_models` or `whosehand gc` may have left it out."
            )
        return result.model.path


def _trial_of(sweep: Sweep, record: "TrialRecord") -> Trial:
    experiment = sweep.known().experiment
    metric, result = experiment.objective.metric, record.result
    reports = (event.report for event in record.reports)
    return Trial(
        number=record.number,
        state=record.state,
        value=None if result is None else result.value,
        params={name: v for name, v in record.proposed.point.items() if name not in experiment.space.fixed},
        hyperparameters=dict(record.proposed.hyperparameters),
        intermediate_values={each.epoch: each.metrics[metric] for each in reports if metric in each.metrics},
        metrics={} if result is None else dict(result.metrics),
        epochs=record.n_epochs,
        seconds=record.duration_s,
        reason="" if result is None else result.reason,
        note=record.note or "",
        tags=record.tags,
        files={} if result is None else {name: file.path for name, file in result.artifacts.items()},
        sweep=sweep,
    )


def _shown_value(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
