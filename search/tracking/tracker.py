"""The sweep's record in MLflow: the sweep is a parent run, each trial a nested run with its model.

A projection of the ledger, and during a sweep the only writer to MLflow. Everything can be told twice: runs are found
by their tags before they are made, and metrics carry the ledger's times, so that a repeated one adds nothing.
"""

import getpass
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Param, Run, RunTag

from core.crash_points import crash_point
from core.errors import TrackingError
from search.experiment.settings import TrackingSettings
from search.ledger.ranking import plain_scores, rank, score_name, trial_name
from search.ledger.trial import TrialState
from search.sweep.observer import EpochEnded, SweepEnded, SweepStarted, TrialEnded, TrialStarted, TrialSummary
from search.tracking.models import LoggedModels, ModelOwner, remove_model
from search.tracking.runs import RunEnd, TrackedDataset, TrackedRuns, metrics_at, summary_of
from search.tracking.store import TrackingStore, tracking_errors
from search.tracking.sweep_page import SweepPage, warning_note

TRACEBACK_FILE = "traceback.txt"
TRIAL_ENDS: Mapping[TrialState, RunEnd] = {
    TrialState.COMPLETED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}
SWEEP_ENDS: Mapping[str, RunEnd] = {"completed": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MlflowTracker:
    """A `SweepObserver` that writes to MLflow.

    Args:
        store: an open tracking store.
        experiment: name of the MLflow experiment, made if it is new.
        settings: the `tracking` part of the experiment file.
        engine: who searches, a tag.
        datasets: inputs of every run.
        sweep_files: files of the sweep as a whole by artifact path, such as the split's manifest.
        kind: anything but `trial` for a fit that is not part of the search, such as the longer one at promotion. Its
            run stands beside the trials' with a name of its own, and the sweep's own run is found but not changed;
            call `start_sweep` and the trial methods, not `end_sweep`.
        warning: what everyone who sees a run must know, such as that its split leaks; on every run as tag and text.
        remark: asked at the end of each launch for a line below the leaderboard, such as what the disk holds.
        command: that makes the runs, shown as their source; by default the sweep, or the promotion for other kinds.
    """

    def __init__(
        self,
        store: TrackingStore,
        experiment: str,
        settings: TrackingSettings | None = None,
        engine: str = "",
        datasets: Sequence[TrackedDataset] = (),
        sweep_files: Mapping[str, Path] | None = None,
        kind: str = "trial",
        warning: str = "",
        remark: Callable[[], str] = str,
        command: str = "",
    ) -> None:
        self._command = command or ("whosehand sweep" if kind == "trial" else "whosehand promote")
        self._warning = warning
        self._remark = remark
        self._store = store
        self._experiment = experiment
        self._keep_models = (settings or TrackingSettings()).keep_models
        self._engine = engine
        self._datasets = tuple(datasets)
        self._sweep_files = dict(sweep_files or {})
        self._kind = kind
        self._run_ids: dict[int, str] = {}
        self._model_ids: dict[int, str] = {}
        self._attempts: dict[int, int] = {}
        self._trials: dict[int, TrialSummary] = {}

    def start_sweep(self, event: SweepStarted) -> None:
        """Make the sweep's run, or find it, and everything of it that is there."""
        with tracking_errors(f"record sweep {event.name!r}", self._store):
            self._sweep = event
            self._score = score_name(event.objective)
            self._runs = TrackedRuns(self._store, self._experiment, self._score, event.direction == "minimize")
            self._models = LoggedModels(self._runs.client, self._runs.experiment_id)
            found = self._runs.find_all({"sweep_id": event.sweep_id})
            parents = [run.info.run_id for run in found if run.data.tags.get("kind") == "sweep"]
            self.sweep_run_id = parents[0] if parents else self._create_sweep_run(event)
            crash_point("sweep-run-created")
            self._page = SweepPage(self._runs, self.sweep_run_id, event, self._warning)
            for run in found:
                self._remember(run)
            self._page.begin(self._trials)
            if self._kind == "trial":
                self._describe_sweep(event)
                self._runs.mark(self.sweep_run_id, "RUNNING")
                self._runs.set_tags(self.sweep_run_id, {"state": "running", "launches": str(event.n_launches)})

    def trial_started(self, event: TrialStarted) -> None:
        """Make the trial's run, or find it and mark it running again."""
        with tracking_errors(f"record the start of trial {event.number}", self._store):
            tags = {
                "state": "running",
                "attempts": str(event.attempt),
                "threads": str(event.threads),
                "precision": event.precision,
            }
            self._attempts[event.number] = event.attempt
            run_id = self._run_ids.get(event.number)
            if run_id is None:
                run_id = self._run_ids[event.number] = self._create_trial_run(event)
                crash_point("trial-run-created")
            else:
                self._runs.mark(run_id, "RUNNING")
            # Also for a run that was there: a crash may have come between making it and this.
            params = [Param(name, str(value)) for name, value in event.hyperparameters.items()]
            self._runs.client.log_batch(run_id, params=params, tags=[RunTag(*tag) for tag in tags.items()])
            self._runs.client.log_inputs(run_id, datasets=[data.as_input() for data in self._datasets])
            crash_point("trial-run-described")

    def epoch_ended(self, event: EpochEnded) -> None:
        """Add an epoch's metrics, in one write; a paused trial's run waits as SCHEDULED."""
        with tracking_errors(f"record epoch {event.report.epoch} of trial {event.number}", self._store):
            report, run_id = event.report, self.run_id(event.number)
            metrics = dict(report.metrics)
            if report.n_patches and report.duration_s > 0:
                metrics["train/patches_per_s"] = report.n_patches / report.duration_s
            self._runs.client.log_batch(run_id, metrics=metrics_at(metrics, report.epoch, event.at_ms))
            crash_point("epoch-tracked")
            # Told again after a crash, an epoch may be followed by a later attempt.
            if event.is_pause and event.attempt == self._attempts.get(event.number):
                self._runs.mark(run_id, "SCHEDULED")
                self._runs.set_tags(run_id, {"state": str(TrialState.PAUSED)})
            if self._kind == "trial":
                self._page.refresh(self._trials, self._run_ids)  # of trials that ended when it was not time

    def trial_ended(self, event: TrialEnded) -> None:
        """Add scores, files and model, close the run, and bring the sweep's leaderboard up to date."""
        with tracking_errors(f"record the end of trial {event.number}", self._store):
            run_id, result, summary = self.run_id(event.number), event.result, event.summary
            self._trials[event.number] = summary
            model_id = self._keep_model(event, run_id)
            scores = self._final_scores(event)
            validation = next((data.key for data in self._datasets if data.context == "validation"), None)
            metrics = metrics_at(scores, summary.n_epochs, event.at_ms, model_id, validation)
            tags = {"state": str(result.state), "attempts": str(summary.attempts), "reason": result.reason}
            if result.state is TrialState.FAILED:
                failure = f"**Failed:** {result.reason} (whole story in `{TRACEBACK_FILE}`)"
                tags["mlflow.note.content"] = f"{warning_note(self._warning)}{failure}"
            self._runs.client.log_batch(
                run_id, metrics=metrics, tags=[RunTag(key, text) for key, text in tags.items() if text]
            )
            self._runs.log_files(run_id, result.artifacts)
            if result.traceback:
                self._runs.client.log_text(run_id, result.traceback, TRACEBACK_FILE)
            self._runs.close(run_id, TRIAL_ENDS[result.state], event.at_ms)
            crash_point("trial-run-closed")
            if self._kind == "trial":
                self._page.add(event)
                self._page.refresh(self._trials, self._run_ids)

    def end_sweep(self, event: SweepEnded) -> None:
        """Bring the sweep's run up to date and close it; trials that go on later wait as SCHEDULED."""
        with tracking_errors(f"record the end of sweep {self._sweep.name!r}", self._store):
            self._trials = {trial.number: trial for trial in event.trials}
            for trial in event.trials:
                if trial.state is TrialState.RUNNING and trial.number in self._run_ids:
                    self._runs.mark(self._run_ids[trial.number], "SCHEDULED")
                    self._runs.set_tags(self._run_ids[trial.number], {"state": "interrupted"})
            self._page.finish(self._trials, self._run_ids, self._remark())
            tags = {"state": event.status, "reason": event.reason}
            if event.best is not None:
                tags["best_trial"] = str(event.best)
            self._runs.set_tags(self.sweep_run_id, {key: value for key, value in tags.items() if value})
            self._runs.close(self.sweep_run_id, SWEEP_ENDS[event.status], event.at_ms)

    def add_scores(
        self,
        number: int,
        scores: Mapping[str, float],
        files: Mapping[str, Path],
        at_ms: int,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add scores, such as `test/page_top1`, and files to a run that has ended, and to its model."""
        with tracking_errors(f"record scores of {self._kind} {number}", self._store):
            run_id, model_id = self.run_id(number), self._model_ids.get(number)
            test = next((data.key for data in self._datasets if data.context == "test"), None)
            self._runs.client.log_batch(run_id, metrics=metrics_at(scores, 0, at_ms, model_id, test))
            self._runs.log_files(run_id, files)
            self._runs.set_tags(run_id, tags or {})

    def add_model(self, number: int, label: str, folder: Path, step: int) -> str:
        """Add a further model to a run that has ended, or find the one that is there.

        Args:
            number: of the trial.
            label: what kind of model it is; part of its name.
            folder: a saved MLflow model.
            step: epochs trained.

        Returns:
            MLflow's id of the model.
        """
        with tracking_errors(f"record the {label} of {self._kind} {number}", self._store):
            run_id = self.run_id(number)
            owner = ModelOwner(self._sweep.sweep_id, f"{self._kind}-{label}", number)
            params = dict(self._runs.client.get_run(run_id).data.params)
            name = f"{self._sweep.name}-{number:03d}-{self._kind}-{label}"
            return self._models.log(owner, name, run_id, folder, step, params)

    def run_id(self, number: int) -> str:
        """MLflow's id of a trial's run.

        Raises:
            TrackingError: if the trial's start was never recorded.
        """
        if number not in self._run_ids:
            raise TrackingError(f"A {self._kind} is recorded from its start, but {number} has no run in MLflow.")
        return self._run_ids[number]

    def model_id(self, number: int) -> str:
        """MLflow's id of a trial's logged model.

        Raises:
            TrackingError: if it has none: it did not complete, or `keep_models` left it out.
        """
        if number not in self._model_ids:
            owner = ModelOwner(self._sweep.sweep_id, self._kind, number)
            with tracking_errors(f"look up the model of {self._kind} {number}", self._store):
                model = self._models.find(owner)
            if model is None:
                raise TrackingError(
                    f"Only completed trials have a model, and {self._kind} {number} has none in MLflow."
                )
            self._model_ids[number] = model.model_id
        return self._model_ids[number]

    def _create_sweep_run(self, event: SweepStarted) -> str:
        created = datetime.fromtimestamp(event.created_ms / 1000, tz=UTC)
        tags = {"kind": "sweep", "objective": f"{event.objective} ({event.direction})", "git_commit": event.git_commit}
        return self._runs.create(
            f"sweep {created:%Y-%m-%d %H:%M}",
            event.created_ms,
            self._common_tags() | {key: text for key, text in tags.items() if text},
        )

    def _describe_sweep(self, event: SweepStarted) -> None:
        self._runs.client.log_inputs(self.sweep_run_id, datasets=[data.as_input() for data in self._datasets])
        self._runs.client.log_dict(self.sweep_run_id, dict(event.config), "experiment.yaml")
        self._runs.log_files(self.sweep_run_id, self._sweep_files)

    def _create_trial_run(self, event: TrialStarted) -> str:
        name = trial_name(event.number, event.hyperparameters)
        tags = self._common_tags() | ModelOwner(self._sweep.sweep_id, self._kind, event.number).as_tags()
        return self._runs.create(
            name if self._kind == "trial" else f"{name} {self._kind}",
            event.first_started_ms,
            tags | {"mlflow.parentRunId": self.sweep_run_id, "seed": str(event.seed)},
        )

    def _common_tags(self) -> dict[str, str]:
        tags = {
            "sweep": self._sweep.name,
            "sweep_id": self._sweep.sweep_id,
            "engine": self._engine,
            "seed": str(self._sweep.seed),
            "version": self._sweep.version,
            "mlflow.source.name": self._command,
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": self._sweep.git_commit,
            "mlflow.user": getpass.getuser(),
            "warning": self._warning,
            "mlflow.note.content": warning_note(self._warning),
        }
        return {key: value for key, value in tags.items() if value}

    def _remember(self, run: Run) -> None:
        """Take up what an earlier launch, or an earlier process, has recorded."""
        kind, number = run.data.tags.get("kind"), run.data.tags.get("trial", "")
        if kind == self._kind and number.isdigit():
            self._run_ids[int(number)] = run.info.run_id
        if kind == "trial" and number.isdigit():
            self._trials[int(number)] = summary_of(run, self._score)

    def _keep_model(self, event: TrialEnded, run_id: str) -> str | None:
        """Log the trial's model if it is to be kept, and delete those that are not among the best, files and all."""
        model = event.result.model
        if model is None or event.result.state is not TrialState.COMPLETED:
            return None
        kept = None
        if self._kind == "trial" and self._keep_models != "all":
            best = rank(tuple(self._trials.values()), self._sweep.direction)[: self._keep_models]
            kept = {trial.number for trial in best}
        if kept is not None and event.number not in kept:
            remove_model(model.path)
            return None
        self._model_ids[event.number] = self._models.log(
            ModelOwner(self._sweep.sweep_id, self._kind, event.number),
            f"{self._sweep.name}-{event.number:03d}" + ("" if self._kind == "trial" else f"-{self._kind}"),
            run_id,
            model.path,
            event.summary.n_epochs,
            {name: str(value) for name, value in event.summary.hyperparameters.items()},
        )
        if kept is not None:
            self._models.delete_others(self._sweep.sweep_id, kept)
        return self._model_ids[event.number]

    def _final_scores(self, event: TrialEnded) -> dict[str, float]:
        result, summary = event.result, event.summary
        scores = plain_scores(result.metrics)
        if result.value is not None:
            scores |= plain_scores({self._score: result.value})
        scores |= {"duration_s": round(summary.duration_s, 3), "epochs": float(summary.n_epochs)}
        if summary.n_patches and summary.duration_s > 0:
            scores["patches_per_s"] = round(summary.n_patches / summary.duration_s, 1)
        if result.n_parameters:
            scores["n_weights"] = float(result.n_parameters)
        return scores
