import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Run

from core.errors import TrackingError
from search.experiment.settings import KeepModels, TrackingSettings
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.tracking.runs import BesideTrial, SearchFacts, TrackedDataset
from search.tracking.store import TrackingStore
from search.tracking.tracker import MlflowTracker
from tests.search.sweep.told_sweep import CREATED, POINT, closed, ended, epoch, record, started, sweep_state

DATASETS = (
    TrackedDataset("toy train", "train", "f00d" * 16, "data/toy", {"images": 10}),
    TrackedDataset("toy validation", "validation", "f00d" * 16, "data/toy", {"images": 4}),
)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "worker" / "model"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "weights.bin").write_bytes(b"12345")
    return folder


FACTS = SearchFacts("val/loss", "minimize", 3, "optuna tpe")


def _tracker(
    store: TrackingStore,
    keep_models: KeepModels = "all",
    beside: BesideTrial | None = None,
    earlier: Sequence[TrialRecord] = (),
) -> MlflowTracker:
    settings = TrackingSettings(keep_models=keep_models)
    tracker = MlflowTracker(store, "toy", FACTS, settings, DATASETS, beside=beside)
    tracker.start_sweep(CREATED, sweep_state(*earlier))
    return tracker


def _run(store: TrackingStore, tracker: MlflowTracker, number: int) -> Run:
    return store.client().get_run(tracker.run_id(number))


def _n_runs(store: TrackingStore) -> int:
    return len(store.client().search_runs([_experiment_id(store)]))


def _experiment_id(store: TrackingStore) -> str:
    return str(store.client().get_experiment_by_name("toy").experiment_id)


def _models(store: TrackingStore) -> list[str]:
    return sorted(model.name for model in store.client().search_logged_models([_experiment_id(store)]))


def _tell_all(tracker: MlflowTracker, number: int, model_folder: Path | None = None) -> None:
    tracker.start_attempt(*started(number))
    for epoch_number in (1, 2, 3):
        tracker.end_epochs(*epoch(number, epoch_number))
    tracker.end_trial(*ended(number, model=model_folder))


def test_a_trial_is_a_nested_run_with_everything_needed_to_compare_it(
    store: TrackingStore, model_folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "attempt-1.png"
    picture.write_bytes(b"png")
    tracker = _tracker(store)
    tracker.start_attempt(*started(7))
    tracker.end_epochs(*epoch(7, 1))
    tracker.end_trial(*ended(7, value=0.25, model=model_folder, artifacts={"confusion/matrix.png": picture}))
    run = _run(store, tracker, 7)
    assert run.data.tags["mlflow.parentRunId"] == tracker.sweep_run_id
    assert run.info.run_name == "trial 007"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"n_blocks": "3", "learning_rate": "0.001", "batch_norm": "True", "pooling": "max"}
    assert run.data.metrics["val/loss"] == 3.0
    assert run.data.metrics["loss"] == 0.25
    assert run.data.metrics["image_top1"] == 0.5
    assert run.data.metrics["patches_per_s"] == 50.0
    assert run.data.metrics["n_weights"] == 12
    assert run.info.end_time - run.info.start_time == 30_000
    expected = {"version": "0.1.0", "seed": "107", "engine": "optuna tpe", "state": "completed", "attempts": "1"}
    assert expected.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.source.git.commit"] == "abc1234"
    assert [(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs] == [
        ("toy train", "f00df00d"),
        ("toy validation", "f00df00d"),
    ]
    files = [file.path for file in store.client().list_artifacts(run.info.run_id, "confusion")]
    assert files == ["confusion/matrix.png"]


def test_a_run_says_on_which_machine_its_latest_attempt_runs(store: TrackingStore) -> None:
    tracker = _tracker(store)
    event, trial = started(0)
    for host, cpu in (("node-a", "Model A"), ("node-b", "Model B")):
        tracker.start_attempt(replace(event, host=host, cpu=cpu), trial)
        tags = _run(store, tracker, 0).data.tags
        assert (tags["host"], tags["cpu"]) == (host, cpu)


def test_metrics_of_an_epoch_have_its_number_and_the_time_of_the_ledger(store: TrackingStore) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    for epoch_number in (1, 2):
        tracker.end_epochs(*epoch(0, epoch_number))
    history = store.client().get_metric_history(tracker.run_id(0), "val/loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 1.5)]
    assert [point.timestamp for point in history] == [epoch(0, 1)[0][0].at_ms, epoch(0, 2)[0][0].at_ms]


def test_telling_all_again_in_another_process_adds_nothing(store: TrackingStore, model_folder: Path) -> None:
    first = _tracker(store)
    _tell_all(first, 0, model_folder)
    n_runs, history = _n_runs(store), store.client().get_metric_history(first.run_id(0), "train/loss")
    second = _tracker(store)
    _tell_all(second, 0, model_folder)
    run = _run(store, second, 0)
    assert second.run_id(0) == first.run_id(0)
    assert second.model_id(0) == first.model_id(0)
    assert _n_runs(store) == n_runs == 2
    assert len(store.client().get_metric_history(run.info.run_id, "train/loss")) == len(history) == 3
    assert len(store.client().get_metric_history(run.info.run_id, "loss")) == 1
    assert len(run.outputs.model_outputs) == 1
    assert len(run.inputs.dataset_inputs) == 2
    metrics = store.client().get_logged_model(first.model_id(0)).metrics
    assert len([metric for metric in metrics if metric.key == "loss"]) == 1


def test_a_completed_trial_has_a_logged_model_with_scores_and_hyperparameters(
    store: TrackingStore, model_folder: Path
) -> None:
    tracker = _tracker(store)
    _tell_all(tracker, 4, model_folder)
    model = store.client().get_logged_model(tracker.model_id(4))
    assert str(model.status) == "READY"
    assert model.name == "toy-004"
    assert model.source_run_id == tracker.run_id(4)
    assert model.params["learning_rate"] == "0.001"
    score = next(metric for metric in model.metrics if metric.key == "loss")
    assert (score.value, score.dataset_name) == (5.0, "toy validation")
    assert (Path(model.artifact_location) / "weights.bin").read_bytes() == b"12345"
    outputs = [output.model_id for output in _run(store, tracker, 4).outputs.model_outputs]
    assert outputs == [model.model_id]


def test_a_model_that_a_crash_left_pending_is_finished_and_not_doubled(
    store: TrackingStore, model_folder: Path
) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    client = store.client()
    tags = {"sweep_id": CREATED.sweep_id, "kind": "trial", "trial": "0"}
    pending = client.create_logged_model(_experiment_id(store), name="toy-000", tags=tags)
    tracker = _tracker(store)
    tracker.end_trial(*ended(0, model=model_folder))
    assert tracker.model_id(0) == pending.model_id
    assert str(client.get_logged_model(pending.model_id).status) == "READY"
    assert _models(store) == ["toy-000"]


def test_a_model_folder_that_is_gone_is_an_error_and_no_empty_model(store: TrackingStore, tmp_path: Path) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    with pytest.raises(TrackingError, match="trial 0 should be in"):
        tracker.end_trial(*ended(0, model=tmp_path / "gone"))


def _copy_of(model_folder: Path, number: int) -> Path:
    return shutil.copytree(model_folder, model_folder.parent / str(number) / "model")


def test_a_models_files_are_on_the_disk_once(store: TrackingStore, model_folder: Path) -> None:
    tracker = _tracker(store)
    _tell_all(tracker, 0, model_folder)
    location = Path(store.client().get_logged_model(tracker.model_id(0)).artifact_location)
    assert (location / "weights.bin").samefile(model_folder / "weights.bin")


def test_half_a_model_that_a_crash_left_is_made_whole(store: TrackingStore, model_folder: Path) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    tags = {"sweep_id": CREATED.sweep_id, "kind": "trial", "trial": "0"}
    pending = store.client().create_logged_model(_experiment_id(store), name="toy-000", tags=tags)
    half = Path(pending.artifact_location)
    half.mkdir(parents=True)
    (half / "torn").write_bytes(b"")
    tracker = _tracker(store)
    tracker.end_trial(*ended(0, model=model_folder))
    assert sorted(path.name for path in half.iterdir()) == ["MLmodel", "weights.bin"]


def test_only_the_best_models_are_kept_when_asked(store: TrackingStore, model_folder: Path) -> None:
    tracker = _tracker(store, keep_models=2)
    locations, folders = {}, {}
    for number, value in enumerate((3.0, 2.0, 5.0, 1.0)):
        folders[number] = _copy_of(model_folder, number)
        tracker.start_attempt(*started(number))
        tracker.end_trial(*ended(number, value=value, model=folders[number]))
        if number in (0, 1, 3):
            model = store.client().get_logged_model(tracker.model_id(number))
            locations[number] = Path(model.artifact_location)
    assert _models(store) == ["toy-001", "toy-003"]
    assert [number for number, place in locations.items() if place.exists()] == [1, 3]
    assert [number for number, folder in folders.items() if folder.exists()] == [1, 3]


def test_no_model_is_kept_when_asked(store: TrackingStore, model_folder: Path) -> None:
    tracker = _tracker(store, keep_models=0)
    _tell_all(tracker, 0, model_folder)
    assert _models(store) == []
    with pytest.raises(TrackingError, match="trial 0 has none"):
        tracker.model_id(0)


def test_a_pruned_trial_is_killed_and_keeps_metrics_and_hyperparameters(store: TrackingStore) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    tracker.end_epochs(*epoch(0, 1))
    tracker.end_trial(*ended(0, TrialState.PRUNED))
    run = _run(store, tracker, 0)
    assert run.info.status == "KILLED"
    assert run.data.tags["state"] == "pruned"
    assert run.data.metrics["val/loss"] == 3.0
    assert len(run.data.params) == len(POINT)
    assert _models(store) == []


def test_a_failed_trial_is_failed_and_keeps_its_traceback(store: TrackingStore) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    tracker.end_trial(*ended(0, TrialState.FAILED))
    run = _run(store, tracker, 0)
    assert run.info.status == "FAILED"
    assert "the loss is not a number" in run.data.tags["mlflow.note.content"]
    assert [file.path for file in store.client().list_artifacts(run.info.run_id)] == ["traceback.txt"]


def test_a_paused_trial_waits_as_scheduled_and_goes_on_as_running(store: TrackingStore) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    tracker.end_epochs(*epoch(0, 1, is_pause=True))
    assert _run(store, tracker, 0).info.status == "SCHEDULED"
    tracker.start_attempt(*started(0, attempt=2))
    assert _run(store, tracker, 0).info.status == "RUNNING"
    tracker.end_epochs(*epoch(0, 1, attempt=1, is_pause=True))  # told again
    assert _run(store, tracker, 0).info.status == "RUNNING"
    assert _run(store, tracker, 0).data.tags["attempts"] == "2"


def test_the_sweep_run_shows_leaderboard_history_and_end(store: TrackingStore) -> None:
    tracker = _tracker(store)
    _tell_all(tracker, 0)
    _tell_all(tracker, 1)
    tracker.end_sweep(closed("completed"), sweep_state(record(0, value=1.0), record(1, value=2.0)))
    run = store.client().get_run(tracker.sweep_run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "sweep 2023-11-14 22:13"
    note = run.data.tags["mlflow.note.content"]
    assert "2 completed" in note
    assert f"[trial\u00a0000](#/experiments/{_experiment_id(store)}/runs/{tracker.run_id(0)})" in note
    assert run.data.metrics["best/loss"] == 1.0
    assert run.data.tags["best_trial"] == "0"
    files = {file.path for file in store.client().list_artifacts(run.info.run_id)}
    assert files == {"optimisation_history.png", "experiment.yaml"}


def test_the_page_of_a_running_sweep_is_written_now_and_then_and_at_the_end(
    store: TrackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.tracking.sweep_page.TEXT_PAUSE_S", 1000.0)

    def note() -> str:
        return str(store.client().get_run(tracker.sweep_run_id).data.tags["mlflow.note.content"])

    tracker = MlflowTracker(store, "toy", FACTS, remark=lambda: "12.3 MB on the disk")
    tracker.start_sweep(CREATED, sweep_state())
    for number in range(4):
        _tell_all(tracker, number)
    assert "1 completed" in note()  # the others ended within the pause
    history = store.client().get_metric_history(tracker.sweep_run_id, "best/loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]
    told = [record(number, value=1.0 + number) for number in range(4)]
    tracker.end_sweep(closed("completed"), sweep_state(*told))
    assert "4 completed" in note()
    assert "12.3 MB on the disk" in note()


def test_an_interrupted_sweep_is_killed_and_runs_again_when_resumed(store: TrackingStore) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    tracker.end_sweep(closed("interrupted"), sweep_state(record(0, TrialState.RUNNING)))
    assert store.client().get_run(tracker.sweep_run_id).info.status == "KILLED"
    assert _run(store, tracker, 0).info.status == "SCHEDULED"
    resumed = _tracker(store)
    assert resumed.sweep_run_id == tracker.sweep_run_id
    assert store.client().get_run(resumed.sweep_run_id).info.status == "RUNNING"


def test_a_resumed_sweep_still_ranks_the_trials_of_before(store: TrackingStore) -> None:
    _tell_all(_tracker(store), 0)
    resumed = _tracker(store, earlier=[record(0, value=1.0)])
    _tell_all(resumed, 1)
    note = store.client().get_run(resumed.sweep_run_id).data.tags["mlflow.note.content"]
    assert "2 completed" in note
    assert "trial\u00a0000" in note


def test_a_refit_stands_beside_its_trial_and_takes_test_scores(
    store: TrackingStore, model_folder: Path, tmp_path: Path
) -> None:
    trials = _tracker(store)
    _tell_all(trials, 0, model_folder)
    refit = _tracker(store, beside=BesideTrial(CREATED.sweep_id, "toy", 0, ("refit-30",)))
    _tell_all(refit, 0, model_folder)
    table = tmp_path / "writers.csv"
    table.write_text("writer_id\n")
    refit.add_scores({"test/loss": 0.5}, {"test/writers.csv": table}, CREATED.at_ms, {"test_openings": "1"})
    run = _run(store, refit, 0)
    assert refit.run_id(0) != trials.run_id(0)
    assert refit.model_id(0) != trials.model_id(0)
    assert run.info.run_name == "trial 000 refit-30"
    assert run.data.metrics["test/loss"] == 0.5
    assert run.data.tags["test_openings"] == "1"
    assert "test/loss" in {metric.key for metric in store.client().get_logged_model(refit.model_id(0)).metrics}


def test_each_fit_of_a_finalist_is_a_run_beside_the_sweeps_trial(store: TrackingStore) -> None:
    sweep = _tracker(store)
    fits = _tracker(store, beside=BesideTrial(CREATED.sweep_id, "toy", 7, ("finalist-1", "finalist-2")))
    for number in (0, 1):
        _tell_all(fits, number)
    fits.end_sweep(closed("completed"), sweep_state(record(0, value=1.0), record(1, value=2.0)))
    runs = [_run(store, fits, number) for number in (0, 1)]
    assert [run.info.run_name for run in runs] == ["trial 007 finalist-1", "trial 007 finalist-2"]
    assert [(run.data.tags["kind"], run.data.tags["trial"]) for run in runs] == [
        ("finalist-1", "7"),
        ("finalist-2", "7"),
    ]
    assert store.client().get_run(sweep.sweep_run_id).info.status == "RUNNING", "the sweep's own run is left as it is"
    again = _tracker(store, beside=BesideTrial(CREATED.sweep_id, "toy", 7, ("finalist-1", "finalist-2", "finalist-3")))
    assert [again.run_id(number) for number in (0, 1)] == [run.info.run_id for run in runs]


def test_a_trial_told_again_after_better_ones_keeps_the_best_value_of_its_time(store: TrackingStore) -> None:
    tracker = _tracker(store)
    for number, value in enumerate((3.0, 1.0)):
        tracker.start_attempt(*started(number))
        tracker.end_trial(*ended(number, value=value))
    again = _tracker(store, earlier=[record(0, value=3.0), record(1, value=1.0)])
    again.start_attempt(*started(0))
    again.end_trial(*ended(0, value=3.0))
    history = store.client().get_metric_history(again.sweep_run_id, "best/loss")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 1.0)]


def test_models_are_kept_by_the_values_of_the_ledger_and_not_by_rounded_ones(
    store: TrackingStore, model_folder: Path
) -> None:
    first = _tracker(store, keep_models=1)
    first.start_attempt(*started(0))
    first.end_trial(*ended(0, value=0.1234567, model=_copy_of(model_folder, 0)))
    resumed = _tracker(store, keep_models=1, earlier=[record(0, value=0.1234567)])
    resumed.start_attempt(*started(1))
    resumed.end_trial(*ended(1, value=0.1234563, model=_copy_of(model_folder, 1)))
    assert _models(store) == ["toy-001"], "in five digits both are 0.12346"


def test_the_experiment_offers_a_view_of_the_trials_with_their_scores(store: TrackingStore) -> None:
    tracker = _tracker(store)
    _tell_all(tracker, 0)
    experiment = store.client().get_experiment_by_name("toy")
    view = experiment.tags["mlflow.sharedViewState.trials"]
    assert "metrics.`loss`" in view
    assert "metrics.`image_top1`" in view
    assert experiment.artifact_location.endswith("mlruns/artifacts/toy")


def test_a_deleted_experiment_is_an_error_that_says_how_to_restore_it(store: TrackingStore) -> None:
    _tracker(store)
    experiment_id = _experiment_id(store)
    store.client().delete_experiment(experiment_id)
    with pytest.raises(TrackingError, match=f"mlflow experiments restore --experiment-id {experiment_id}"):
        _tracker(store)


def test_an_epoch_of_a_trial_that_never_started_is_an_error(store: TrackingStore) -> None:
    with pytest.raises(TrackingError, match="5 has no run"):
        _tracker(store).end_epochs(*epoch(5, 1))


def test_a_store_that_breaks_is_a_clear_error(store: TrackingStore) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    Path(store.uri.removeprefix("sqlite:///")).write_bytes(b"broken" * 1000)
    with pytest.raises(TrackingError, match="Cannot record epoch 1 of trial 0"):
        tracker.end_epochs(*epoch(0, 1))


def test_the_driver_side_does_not_import_tensorflow() -> None:
    modules = (
        "search.tracking.tracker",
        "search.tracking.store",
        "search.tracking.ui",
        "search.ledger.ranking",
        "search.promotion.promote",
        "search.tracking.registry",
        "search.objectives.saved_model",
        "search.identification.identify",
    )
    code = f"import sys, {', '.join(modules)}; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["False", "False"]


def test_epochs_told_together_are_those_told_one_by_one(store: TrackingStore) -> None:
    tracker = _tracker(store)
    for number in (0, 1):
        tracker.start_attempt(*started(number))
    events = [event for epoch_number in (1, 2, 3) for event in epoch(0, epoch_number)[0]]
    tracker.end_epochs(events, epoch(0, 3)[1])
    for epoch_number in (1, 2, 3):
        tracker.end_epochs(*epoch(1, epoch_number))
    client = store.client()
    together, one_by_one = (
        [(point.step, point.value) for point in client.get_metric_history(tracker.run_id(number), "val/loss")]
        for number in (0, 1)
    )
    assert together == one_by_one
    assert len(together) == 3


def test_more_metrics_than_mlflow_takes_at_once_are_written_in_parts(store: TrackingStore) -> None:
    tracker = _tracker(store)
    tracker.start_attempt(*started(0))
    (event,), trial = epoch(0, 1)
    many = replace(event, report=replace(event.report, metrics={f"m{k}": float(k) for k in range(1200)}))
    tracker.end_epochs([many], trial)
    run = store.client().get_run(tracker.run_id(0))
    assert {"m0", "m999", "m1199"} <= run.data.metrics.keys()
