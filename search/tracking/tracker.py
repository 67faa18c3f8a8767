"""The sweep's record in MLflow: the sweep is a parent run, each trial a nested run with its model.

A projection of the ledger, and during a sweep the only writer to MLflow. Everything can be told
twice: runs are found by their tags before they are made, and metrics carry the ledger's times, so
that a repeated one adds nothing.
"""

import getpass
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Metric, Param, Run, RunTag

from core.crash_points import crash_point
from core.errors import TrackingError
from core.passwords import without_passwords
from core.space import Point
from search.experiment.settings import TrackingSettings
from search.ledger.events import AttemptStarted, EpochReported, SegmentEnded, SweepClosed, SweepCreated
from search.ledger.ranking import rank, score_name, trial_name
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import TrialState
from search.tracking.metrics import epoch_metrics, final_scores, metrics_at
from search.tracking.models import LoggedModels, ModelOwner, remove_model
from search.tracking.runs import (
    BesideTrial,
    RunEnd,
    SearchFacts,
    TrackedDataset,
    TrackedRuns,
)
from search.tracking.store import TrackingStore, tracking_errors
from search.tracking.sweep_page import NOTE_TAG, TRACEBACK_FILE, SweepPage, annotations, warning_note

TRIAL_ENDS: Mapping[TrialState, RunEnd] = {
    TrialState.COMPLETED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}
_METRICS_A_WRITE = 1000  # MLflow takes no more
SWEEP_ENDS: Mapping[str, RunEnd] = {"completed": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MlflowTracker:
    """A `Tracker` that writes to MLflow.

    Args:
        store: an open tracking store.
        experiment: name of the MLflow experiment, made if it is new.
        facts: of the search.
        settings: the `tracking` part of the experiment file.
        datasets: inputs of every run.
        sweep_files: files of the sweep as a whole by artifact path, such as the split's manifest.
        beside: for fits that are not part of the search.
        warning: what everyone who sees a run must know, such as that its split leaks; on every run
            as tag and text.
        remark: asked at the end of each launch for a line below the leaderboard, such as what the
            disk holds.
        command: that makes the runs, shown as their source.
        say: takes what the user should know; called from the tracker's thread.
        start_tags: what the run of a fit of a point says of the weights that it began with.
    """

    def __init__(
        self,
        store: TrackingStore,
        experiment: str,
        facts: SearchFacts,
        settings: TrackingSettings | None = None,
        datasets: Sequence[TrackedDataset] = (),
        sweep_files: Mapping[str, Path] | None = None,
        beside: BesideTrial | None = None,
        warning: str = "",
        remark: Callable[[], str] = str,
        command: str = "whosehand sweep",
        say: Callable[[str], None] = lambda _: None,
        start_tags: Callable[[Point], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self._say = say
        self._start_tags = start_tags
        self._has_said_of: set[int] = set()
        self._command = command
        self._warning = warning
        self._remark = remark
        self._store = store
        self._experiment = experiment
        self._facts = facts
        self._score = score_name(facts.metric)
        self._keep_models = (settings or TrackingSettings()).keep_models
        self._datasets = tuple(datasets)
        self._sweep_files = dict(sweep_files or {})
        self._beside = beside
        self._run_ids: dict[int, str] = {}
        self._model_ids: dict[int, str] = {}
        self._attempts: dict[int, int] = {}
        self._trials: dict[int, TrialRecord] = {}

    def start_sweep(self, event: SweepCreated, state: SweepState) -> None:
        """Make the sweep's run, or find it, and the trials' runs that are there."""
        self._created = event
        with tracking_errors(f"record sweep {self._sweep_name!r}", self._store):
            lower_is_better = self._facts.direction == "minimize"
            self._runs = TrackedRuns(self._store, self._experiment, self._score, lower_is_better)
            self._models = LoggedModels(self._runs.client, self._runs.experiment_id)
            parents = []
            for run in self._runs.each({"sweep_id": self._sweep_id}):
                self._runs.look_into([run.info.run_id])
                self._remember(run)
                if run.data.tags.get("kind") == "sweep":
                    parents.append(run.info.run_id)
            self.sweep_run_id = parents[0] if parents else self._create_sweep_run(event)
            crash_point("sweep-run-created")
            if self._beside is None:
                self._trials = dict(state.trials)
                self._page = SweepPage(
                    self._runs, self.sweep_run_id, self._facts.metric, self._facts.direction, self._warning
                )
                self._describe_sweep(event)
                self._page.begin(self._trials)
                self._runs.mark(self.sweep_run_id, "RUNNING")
                self._runs.set_tags(self.sweep_run_id, {"state": "running", "launches": str(len(state.launches))})

    def start_attempt(self, event: AttemptStarted, trial: TrialRecord) -> None:
        """Make the trial's run, or find it and mark it running again."""
        with tracking_errors(f"record the start of {self._shown(trial.number)}", self._store):
            tags = {
                **annotations(trial, self._warning),
                "state": "running",
                "attempts": str(event.attempt),
                "threads": str(event.threads),
                "precision": event.precision,
                **{key: text for key, text in (("host", event.host), ("cpu", event.cpu)) if text},
                **self._start_tags(trial.hyperparameters),
            }
            self._attempts[trial.number] = event.attempt
            self._trials[trial.number] = trial
            run_id = self._run_ids.get(trial.number)
            if run_id is None:
                run_id = self._run_ids[trial.number] = self._create_trial_run(trial)
                crash_point("trial-run-created")
            else:
                self._runs.mark(run_id, "RUNNING")
            # Also for a run that was there: a crash may have come between making it and this.
            params = [Param(name, str(value)) for name, value in trial.hyperparameters.items()]
            self._runs.client.log_batch(run_id, params=params, tags=[RunTag(*tag) for tag in tags.items()])
            self._runs.client.log_inputs(run_id, datasets=[data.as_input() for data in self._datasets])
            crash_point("trial-run-described")

    def end_epochs(self, events: Sequence[EpochReported], trial: TrialRecord) -> None:
        """Add the metrics of epochs, in one write; a paused trial's run waits as SCHEDULED."""
        what = f"epoch {events[0].report.epoch}" + (f" to {events[-1].report.epoch}" if len(events) > 1 else "")
        with tracking_errors(f"record {what} of {self._shown(trial.number)}", self._store):
            run_id = self.run_id(trial.number)
            self._log_metrics(trial.number, [metric for event in events for metric in epoch_metrics(event)])
            crash_point("epoch-tracked")
            # Told again after a crash, an epoch may be followed by a later attempt.
            if trial.waits_after(events[-1]) and events[-1].attempt == self._attempts.get(trial.number):
                self._runs.mark(run_id, "SCHEDULED")
                self._runs.set_tags(run_id, {"state": str(TrialState.PAUSED)})
            if self._beside is None:
                self._page.refresh(self._trials, self._run_ids)  # of trials that ended when it was not time

    def end_trial(self, event: SegmentEnded, trial: TrialRecord) -> None:
        """Add scores, files and model, close the run, and bring the sweep's leaderboard up to
        date.
        """
        with tracking_errors(f"record the end of {self._shown(trial.number)}", self._store):
            run_id, result = self.run_id(trial.number), event.result
            self._trials[trial.number] = trial
            model_id = self._keep_model(event, trial, run_id)
            scores = final_scores(event, trial, self._score)
            validation = next((data.key for data in self._datasets if data.context == "validation"), None)
            metrics = metrics_at(scores, trial.n_epochs, event.at_ms, model_id, validation)
            tags = {"state": str(result.state), "attempts": str(trial.n_attempts), "reason": result.reason}
            tags |= annotations(trial, self._warning)
            self._log_metrics(trial.number, metrics)
            self._runs.set_tags(run_id, {key: text for key, text in tags.items() if text})
            self._runs.log_files(run_id, result.artifacts)
            if result.traceback:
                self._runs.client.log_text(run_id, result.traceback, TRACEBACK_FILE)
            self._runs.close(run_id, TRIAL_ENDS[result.state], event.at_ms)
            crash_point("trial-run-closed")
            if self._beside is None:
                self._page.add(event, trial, self._trials)
                self._page.refresh(self._trials, self._run_ids)

    def annotate(self, trial: TrialRecord) -> None:
        """Set the user's note and tags; a run that is not made yet gets them when it is."""
        with tracking_errors(f"record the note and tags of {self._shown(trial.number)}", self._store):
            if trial.number in self._run_ids:
                self._runs.set_tags(self._run_ids[trial.number], annotations(trial, self._warning))
                self._runs.delete_tags(self._run_ids[trial.number], trial.set_tags.keys() - trial.tags.keys())

    def end_sweep(self, event: SweepClosed, state: SweepState) -> None:
        """Bring the sweep's run up to date and close it; trials that go on later wait as
        SCHEDULED.
        """
        if self._beside is not None:
            return  # the sweep's own run stays as it is
        with tracking_errors(f"record the end of sweep {self._sweep_name!r}", self._store):
            self._trials = dict(state.trials)
            for trial in self._trials.values():
                if trial.state is TrialState.RUNNING and trial.number in self._run_ids:
                    self._runs.mark(self._run_ids[trial.number], "SCHEDULED")
                    self._runs.set_tags(self._run_ids[trial.number], {"state": "interrupted"})
            self._page.finish(self._trials, self._run_ids, self._remark())
            tags = {"state": event.status, "reason": event.reason}
            best = rank(self._trials.values(), self._facts.direction)
            if best:
                tags["best_trial"] = str(best[0].number)
            self._runs.set_tags(self.sweep_run_id, {key: value for key, value in tags.items() if value})
            self._runs.close(self.sweep_run_id, SWEEP_ENDS[event.status], event.at_ms)

    def add_scores(
        self,
        scores: Mapping[str, float],
        files: Mapping[str, Path],
        at_ms: int,
        tags: Mapping[str, str] | None = None,
        number: int = 0,
    ) -> None:
        """Add scores, such as `test/page_top1`, and files to a run that has ended, and to its
        model.

        Args:
            scores: by name.
            files: by artifact path.
            at_ms: Unix time.
            tags: of the run.
            number: of the trial, or of the fit beside one.
        """
        with tracking_errors(f"record scores of {self._shown(number)}", self._store):
            run_id, model_id = self.run_id(number), self._model_ids.get(number)
            test = next((data.key for data in self._datasets if data.context == "test"), None)
            self._runs.client.log_batch(run_id, metrics=metrics_at(scores, 0, at_ms, model_id, test))
            self._runs.log_files(run_id, files)
            self._runs.set_tags(run_id, tags or {})

    def add_model(self, label: str, folder: Path, step: int, number: int = 0) -> str:
        """Add a further model to a run that has ended, or find the one that is there.

        Args:
            label: what kind of model it is; part of its name.
            folder: a saved MLflow model.
            step: epochs trained.
            number: of the trial, or of the fit beside one.

        Returns:
            MLflow's id of the model.
        """
        with tracking_errors(f"record the {label} of {self._shown(number)}", self._store):
            run_id, owner = self.run_id(number), self._owner(number)
            params = dict(self._runs.client.get_run(run_id).data.params)
            name = f"{self._sweep_name}-{owner.number:03d}-{owner.kind}-{label}"
            return self._models.log(replace(owner, kind=f"{owner.kind}-{label}"), name, run_id, folder, step, params)

    def run_id(self, number: int) -> str:
        """MLflow's id of the run of a trial, or of a fit beside one.

        Raises:
            TrackingError: if its start was never recorded.
        """
        if number not in self._run_ids:
            raise TrackingError(f"A trial is recorded from its start, but {self._shown(number)} has no run in MLflow.")
        return self._run_ids[number]

    def model_id(self, number: int) -> str:
        """MLflow's id of the logged model of a trial, or of a fit beside one.

        Raises:
            TrackingError: if it has none: it did not complete, or `keep_models` left it out.
        """
        if number not in self._model_ids:
            with tracking_errors(f"look up the model of {self._shown(number)}", self._store):
                model = self._models.find(self._owner(number))
            if model is None:
                raise TrackingError(
                    f"Only completed trials have a model, and {self._shown(number)} has none in MLflow."
                )
            self._model_ids[number] = model.model_id
        return self._model_ids[number]

    @property
    def _sweep_id(self) -> str:
        return self._created.sweep_id if self._beside is None else self._beside.sweep_id

    @property
    def _sweep_name(self) -> str:
        return self._created.name if self._beside is None else self._beside.sweep_name

    def _owner(self, number: int) -> ModelOwner:
        """Under what a trial of the ledger that is told is recorded."""
        if self._beside is None:
            return ModelOwner(self._sweep_id, "trial", number)
        return ModelOwner(self._sweep_id, self._beside.kinds[number], self._beside.trial)

    def _shown(self, number: int) -> str:
        owner = self._owner(number)
        return f"{owner.kind} {owner.number}" if self._beside is None else f"{owner.kind} of trial {owner.number}"

    def _log_metrics(self, number: int, metrics: Sequence[Metric]) -> None:
        """Add metrics to a trial's run; what it has beyond the ledger, whose last lines were lost,
        is not doubled.
        """
        new = self._runs.without_known(self._run_ids[number], metrics)
        if len(new) < len(metrics) and number not in self._has_said_of:
            self._has_said_of.add(number)
            self._say(
                f"MLflow has more of {self._shown(number)} than the ledger, whose last lines were lost: what is there "
                "is kept, and not sent again."
            )
        for start in range(0, len(new), _METRICS_A_WRITE):
            self._runs.client.log_batch(self._run_ids[number], metrics=new[start : start + _METRICS_A_WRITE])

    def _create_sweep_run(self, event: SweepCreated) -> str:
        created = datetime.fromtimestamp(event.at_ms / 1000, tz=UTC)
        objective = f"{self._facts.metric} ({self._facts.direction})"
        tags = {"kind": "sweep", "objective": objective, "git_commit": event.git_commit}
        return self._runs.create(
            f"sweep {created:%Y-%m-%d %H:%M}",
            event.at_ms,
            self._common_tags() | {key: text for key, text in tags.items() if text},
        )

    def _describe_sweep(self, event: SweepCreated) -> None:
        self._runs.describe_experiment(self._facts, str(event.config.get("description", "")))
        self._runs.client.log_inputs(self.sweep_run_id, datasets=[data.as_input() for data in self._datasets])
        config = json.loads(without_passwords(json.dumps(event.config)))  # a ledger of version 0.1 may hold some
        self._runs.client.log_dict(self.sweep_run_id, config, "experiment.yaml")
        self._runs.log_files(self.sweep_run_id, self._sweep_files)

    def _create_trial_run(self, trial: TrialRecord) -> str:
        owner = self._owner(trial.number)
        name = trial_name(owner.number, trial.hyperparameters)
        tags = {**self._common_tags(), **owner.as_tags()}
        return self._runs.create(
            name if self._beside is None else f"{name} {owner.kind}",
            trial.began_ms,
            tags | {"mlflow.parentRunId": self.sweep_run_id, "seed": str(trial.seed)},
        )

    def _common_tags(self) -> dict[str, str]:
        tags = {
            "sweep": self._sweep_name,
            "sweep_id": self._sweep_id,
            "engine": self._facts.engine,
            "seed": str(self._facts.seed),
            "version": self._created.version,
            "mlflow.source.name": self._command,
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": self._created.git_commit,
            "mlflow.user": getpass.getuser(),
            "warning": self._warning,
            NOTE_TAG: warning_note(self._warning),
        }
        return {key: value for key, value in tags.items() if value}

    def _remember(self, run: Run) -> None:
        """Take up a run that an earlier launch, or an earlier process, has made."""
        owner = ModelOwner.of(run.data.tags)
        if owner is None:
            return
        if self._beside is None and owner.kind == "trial":
            self._run_ids[owner.number] = run.info.run_id
        elif self._beside is not None and owner.kind in self._beside.kinds and owner.number == self._beside.trial:
            self._run_ids[self._beside.kinds.index(owner.kind)] = run.info.run_id

    def _keep_model(self, event: SegmentEnded, trial: TrialRecord, run_id: str) -> str | None:
        """Log the trial's model if it is to be kept, and delete those that are not among the best,
        files and all.
        """
        model = event.result.model
        if model is None or event.result.state is not TrialState.COMPLETED:
            return None
        kept = None
        if self._beside is None and self._keep_models != "all":
            best = rank(self._trials.values(), self._facts.direction)[: self._keep_models]
            kept = {each.number for each in best}
        if kept is not None and trial.number not in kept:
            remove_model(model.path)
            return None
        owner = self._owner(trial.number)
        self._model_ids[trial.number] = self._models.log(
            owner,
            f"{self._sweep_name}-{owner.number:03d}" + ("" if self._beside is None else f"-{owner.kind}"),
            run_id,
            model.path,
            trial.n_epochs,
            {name: str(value) for name, value in trial.hyperparameters.items()},
        )
        if kept is not None:
            for number in self._models.delete_others(self._sweep_id, kept):
                other = self._trials[number].result if number in self._trials else None
                if other is not None and other.model is not None:
                    remove_model(other.model.path)
        return self._model_ids[trial.number]
