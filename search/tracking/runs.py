"""The MLflow runs of one sweep: found by their tags, or made; opened, filled and closed.

The data that a sweep's runs are shown to have used.

A saved view for MLflow's runs table: the trials alone, the best first, with the columns that tell
them apart.

Out of the box MLflow folds the trials away under their sweep, and shows neither scores nor
hyperparameters. A view is what its `Views` menu saves: a tag of the experiment with the state of
the page as JSON (read from MLflow 3.17's pages; one that does not know the tag shows its own
table).
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from mlflow.entities import Dataset, DatasetInput, InputTag

# isort: split
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Run, RunTag
from mlflow.exceptions import MlflowException

from core.errors import TrackingError
from search.ledger.ranking import Direction, score_name
from search.ledger.trial import FileReference
from search.tracking.store import TrackingStore, each_of_all_pages, tracking_errors

DIGEST_LENGTH = 8  # as long as MLflow's own, which its pages have room for; the whole hash is in the profile


@dataclass(frozen=True)
class TrackedDataset:
    """Data that the sweep's runs are shown to have used.

    Attributes:
        name: such as `dhsd train`; train and validation need different names, or MLflow takes them
            for one.
        context: what for.
        digest: the split's hash; MLflow's pages show the start of it.
        source: where the images are.
        profile: numbers about it, such as images and writers.
    """

    name: str
    context: Literal["train", "validation", "test"]
    digest: str
    source: str
    profile: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Name and digest by which MLflow knows it."""
        return self.name, self.digest[:DIGEST_LENGTH]

    def as_input(self) -> DatasetInput:
        """The same as an input of a run."""
        name, digest = self.key
        source, profile = json.dumps({"uri": self.source}), json.dumps({**self.profile, "split": self.digest})
        dataset = Dataset(name, digest, source_type="local", source=source, profile=profile)
        return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", self.context)])

    @classmethod
    def of(cls, used: DatasetInput) -> "TrackedDataset":
        """Read an input of a run back."""
        profile = json.loads(used.dataset.profile)
        digest, context = profile.pop("split"), next(tag.value for tag in used.tags if tag.key == "mlflow.data.context")
        return cls(used.dataset.name, context, digest, json.loads(used.dataset.source)["uri"], profile)


@dataclass(frozen=True)
class SearchFacts:
    """What no event of a ledger says of a search.

    Attributes:
        metric: name of the score in the epochs' reports that is searched for.
        direction: whether low or high values are better.
        seed: of the sweep.
        engine: who searches, in a few words; empty where nobody does.
    """

    metric: str
    direction: Direction
    seed: int
    engine: str = ""


@dataclass(frozen=True)
class BesideTrial:
    """Under what fits are recorded that are not part of a search, such as the longer one at
    promotion.

    Their runs stand beside that of the sweep's trial, with names of their own; the sweep's own run
    is found and not changed.

    Attributes:
        sweep_id: of the sweep.
        sweep_name: as the user calls it.
        trial: its trial's number.
        kinds: of each fit, by the fit's own number: `("refit-30",)`, or `("finalist-1",
            "finalist-2")`.
    """

    sweep_id: str
    sweep_name: str
    trial: int
    kinds: tuple[str, ...]


RunEnd = Literal["FINISHED", "KILLED", "FAILED"]


class TrackedRuns:
    """The runs of one experiment in MLflow that belong to one sweep."""

    def __init__(self, store: TrackingStore, experiment_name: str, primary_metric: str, lower_is_better: bool) -> None:
        self.client: MlflowClient = store.client()
        self._earlier_runs: set[str] = set()
        self._known_times: dict[tuple[str, str], Mapping[int, int]] = {}
        self.experiment_id = _find_or_create_experiment(
            self.client,
            experiment_name,
            store.artifact_location(experiment_name),
            {
                "mlflow.experimentKind": "custom_model_development",  # else the UI asks what the experiment is
                "mlflow.experiment.primaryMetric.name": primary_metric,  # the UI charts it first
                "mlflow.experiment.primaryMetric.greaterIsBetter": str(not lower_is_better).lower(),
            },
        )

    def describe_experiment(self, facts: SearchFacts, description: str) -> None:
        """Say at the head of the experiment's page what it is, unless somebody wrote there.

        Args:
            facts: of the search.
            description: the experiment file's own.
        """
        note = sweep_note(facts, description)
        there = self.client.get_experiment(self.experiment_id).tags.get("mlflow.note.content", "")
        if there != note and (not there or _OURS in there):
            self.client.set_experiment_tag(self.experiment_id, "mlflow.note.content", note)

    def look_into(self, run_ids: Iterable[str]) -> None:
        """Have `without_known` look at what these runs hold; runs that are made later hold nothing
        unknown.
        """
        self._earlier_runs.update(run_ids)

    def without_known(self, run_id: str, metrics: Sequence[Metric]) -> list[Metric]:
        """Leave out the points that a run of before has already, at another time.

        A point that is told again has the time of then, and MLflow keeps it once. One with another
        time was made again, because the ledger had lost it: it would stand beside the first.
        """
        if run_id not in self._earlier_runs:
            return list(metrics)
        return [
            metric for metric in metrics if self._times(run_id, metric.key).get(metric.step) in (None, metric.timestamp)
        ]

    def _times(self, run_id: str, key: str) -> Mapping[int, int]:
        """When each step of a metric was recorded before this launch."""
        if (run_id, key) not in self._known_times:
            history = self.client.get_metric_history(run_id, key)
            self._known_times[run_id, key] = {point.step: point.timestamp for point in history}
        return self._known_times[run_id, key]

    def each(self, tags: Mapping[str, str]) -> Iterator[Run]:
        """All runs that carry these tags, the latest first; not all of a long sweep's are in memory
        at once.
        """
        condition = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
        return each_of_all_pages(
            lambda token: self.client.search_runs([self.experiment_id], condition, page_token=token)
        )

    def create(self, name: str, started_ms: int, tags: Mapping[str, str]) -> str:
        """Make a run that is RUNNING, and return its id."""
        run = self.client.create_run(self.experiment_id, start_time=started_ms, tags=dict(tags), run_name=name)
        return str(run.info.run_id)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set or change tags, in one write."""
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def delete_tags(self, run_id: str, keys: Iterable[str]) -> None:
        """Take tags away, those of them that are there."""
        wanted = set(keys)
        for key in sorted(wanted & self.client.get_run(run_id).data.tags.keys()) if wanted else ():
            self.client.delete_tag(run_id, key)

    def mark(self, run_id: str, status: Literal["RUNNING", "SCHEDULED"]) -> None:
        """Open a run again, or mark it as waiting to go on."""
        self.client.update_run(run_id, status=status)

    def close(self, run_id: str, status: RunEnd, at_ms: int) -> None:
        """End a run."""
        self.client.set_terminated(run_id, status=status, end_time=at_ms)

    def log_files(self, run_id: str, files: Mapping[str, FileReference | Path]) -> None:
        """Upload files and folders under their artifact paths; the same path again is overwritten.

        Raises:
            TrackingError: if a file is gone.
        """
        for artifact_path, reference in sorted(files.items()):
            local = reference.path if isinstance(reference, FileReference) else reference
            if not local.exists():
                raise TrackingError(f"The artifact {artifact_path} should be uploaded from {local}, but that is gone.")
            self._log_file(run_id, PurePosixPath(artifact_path), local)

    def _log_file(self, run_id: str, artifact_path: PurePosixPath, local: Path) -> None:
        if local.is_dir():
            self.client.log_artifacts(run_id, str(local), str(artifact_path))
            return
        folder = None if artifact_path.parent == PurePosixPath() else str(artifact_path.parent)
        if local.name == artifact_path.name:
            self.client.log_artifact(run_id, str(local), folder)
            return
        with tempfile.TemporaryDirectory() as temporary:  # MLflow takes the name from the local file
            renamed = shutil.copy2(local, Path(temporary) / artifact_path.name)
            self.client.log_artifact(run_id, str(renamed), folder)


def find_sweep_run(store: TrackingStore, sweep_name: str, sweep_id: str) -> Run | None:
    """The sweep's own run; `None` if it was never tracked there.

    Raises:
        TrackingError: if the store cannot be read.
    """
    return find_run(store, sweep_name, sweep_id, None)


def find_run(store: TrackingStore, sweep_name: str, sweep_id: str, trial: int | None) -> Run | None:
    """A trial's run, or the sweep's own where `trial` is `None`; `None` if it was never tracked
    there.

    Raises:
        TrackingError: if the store cannot be read.
    """
    client = store.client()
    of_what = f"sweep {sweep_name!r}" if trial is None else f"trial {trial} of sweep {sweep_name!r}"
    kind = "tags.kind = 'sweep'" if trial is None else f"tags.kind = 'trial' and tags.trial = '{trial}'"
    with tracking_errors(f"find the run of {of_what}", store):
        experiment = client.get_experiment_by_name(sweep_name)
        if experiment is None:
            return None
        condition = f"tags.sweep_id = '{sweep_id}' and {kind}"
        return next(iter(client.search_runs([experiment.experiment_id], condition, max_results=1)), None)


def _find_or_create_experiment(client: MlflowClient, name: str, location: str | None, tags: Mapping[str, str]) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=dict(tags)))
        except MlflowException as error:  # another sweep was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    return _active(experiment, name)


def _active(experiment: Experiment | None, name: str) -> str:
    if experiment is None or experiment.lifecycle_stage != "active":
        where = f" --experiment-id {experiment.experiment_id}" if experiment else ""
        raise TrackingError(
            f"The MLflow experiment {name!r} was deleted. Restore it (`mlflow experiments restore{where}`, with your "
            "MLFLOW_TRACKING_URI), or give the experiment file another `name`."
        )
    return str(experiment.experiment_id)


_OURS = "A sweep of whosehand"


def sweep_note(facts: SearchFacts, description: str) -> str:
    """What an experiment's page in MLflow says at its head, as Markdown.

    Args:
        facts: of the search.
        description: the experiment file's own.
    """
    goal = "lower" if facts.direction == "minimize" else "higher"
    about = f"{description.strip()}\n\n" if description.strip() else ""
    return (
        f"{about}{_OURS}: a run for each trial, searched for `{score_name(facts.metric)}` ({goal} is "
        "better). The run that is named like the sweep holds its leaderboard and report; refits and finalists stand "
        "beside their trial."
    )


VIEW_KEY = "trials"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
MAX_HYPERPARAMETERS = 9


def saved_view(score: str, scores: Sequence[str], hyperparameters: Sequence[str], lower_is_better: bool) -> str:
    """The value of the experiment's tag `VIEW_TAG`.

    Args:
        score: the one that was searched for, the first column.
        scores: further columns.
        hyperparameters: columns after them, as far as there is room.
        lower_is_better: the direction of `score`.
    """
    columns = [
        "attributes.`Duration`",
        "tags.`state`",
        *(f"metrics.`{name}`" for name in (score, *scores)),
        *(f"params.`{name}`" for name in hyperparameters[:MAX_HYPERPARAMETERS]),
    ]
    state = {
        "searchFilter": "tags.kind != 'sweep'",
        "orderByKey": f"metrics.`{score}`",
        "orderByAsc": lower_is_better,
        "selectedColumns": columns,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    return json.dumps({"name": "Trials, the best first", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def view_address(url: str, experiment_id: str, page: Literal["runs", "models"] = "runs") -> str:
    """Where a browser sees an experiment's trials in this view, with the pages for model training
    in front.
    """
    key = f"&viewStateShareKey={VIEW_KEY}" if page == "runs" else ""
    return f"{url}/#/experiments/{experiment_id}/{page}?workflowType=machine_learning{key}"
