"""Trials of a real network, small enough for seconds, in the test's own process."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import LineStoreError, ModelError, SplitError
from core.identification.model_record import ModelRecord
from core.settings import PatchSettings
from search.ledger.files import is_intact
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialSpec, TrialState
from search.objectives.patch_cnn import score_patch_cnn, train_patch_cnn
from search.objectives.tasks import PatchTask, ScoringTask
from tests.search.objectives.small_task import small_task

pytestmark = pytest.mark.timeout(600)
N_EPOCHS = 3
POINT = {"filters": 4, "n_blocks": 2, "convolutions_per_block": 1, "batch_size": 16, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> PatchTask:
    return small_task(tmp_path_factory.mktemp("objective"))


@pytest.fixture
def spec(task: PatchTask, tmp_path: Path) -> TrialSpec:
    return _spec(task, tmp_path / "attempt-1")


def _spec(task: PatchTask, work_dir: Path) -> TrialSpec:
    return TrialSpec(
        sweep_id="tiny",
        number=0,
        attempt=1,
        objective="search.objectives.patch_cnn:train_patch_cnn",
        hyperparameters=POINT,
        seed=11,
        start_epoch=0,
        until_epoch=N_EPOCHS,
        horizon_epochs=N_EPOCHS,
        threads=1,
        precision="float32",
        checkpoint=None,
        work_dir=work_dir,
        settings=task,
    )


class Reports(list[EpochReport]):
    """Keeps reports and answers them by epoch; GO where nothing is said."""

    def __init__(self, decisions: Mapping[int, PruningDecision] | None = None) -> None:
        super().__init__()
        self._decisions = decisions or {}

    def __call__(self, report: EpochReport) -> PruningDecision:
        self.append(report)
        return self._decisions.get(report.epoch, PruningDecision.GO)

    @property
    def scores(self) -> list[float]:
        return [report.metrics["val/image_logloss"] for report in self]


Trained = tuple[TrialResult, Reports]


@pytest.fixture(scope="module")
def whole(task: PatchTask, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    reports = Reports()
    return train_patch_cnn(_spec(task, tmp_path_factory.mktemp("whole")), reports), reports


def test_a_whole_trial_gives_the_best_epochs_score_and_model(whole: Trained, task: PatchTask) -> None:
    result, reports = whole
    assert result.state is TrialState.COMPLETED
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert result.value == min(reports.scores)
    assert result.metrics["best_epoch"] == 1 + int(np.argmin(reports.scores))
    # Scored again with the best weights, and with intervals, it is the score that the epoch
    # reported.
    assert result.metrics["val/image_logloss"] == pytest.approx(result.value, abs=1e-6)
    assert result.n_parameters > 0
    assert all(report.n_patches == 96 for report in reports)
    assert [bool(report.checkpoint and is_intact(report.checkpoint)) for report in reports][-2:] == [True, True]
    assert result.model is not None
    record = ModelRecord.load(result.model.path)
    assert record.writer_ids == ("000", "001", "002")
    assert record.patches == task.patches


def test_every_file_that_a_person_looks_at_is_there(whole: Trained) -> None:
    result, _ = whole
    assert set(result.artifacts) == {
        *("confusion.png", "confusion.csv", "writers.csv", "decisions.csv", "scores.json"),
        *("learning_curves.png", "model.txt", "patches.png"),
    }
    assert all(is_intact(reference) for reference in result.artifacts.values())


@pytest.mark.parametrize(
    ("decision", "state"), [(PruningDecision.STOP, TrialState.PRUNED), (PruningDecision.PAUSE, TrialState.PAUSED)]
)
def test_a_verdict_ends_the_trial_without_a_model(
    decision: PruningDecision, state: TrialState, spec: TrialSpec
) -> None:
    reports = Reports({2: decision})
    result = train_patch_cnn(spec, reports)
    assert result.state is state
    assert len(reports) == 2
    assert (result.value, result.model, dict(result.artifacts)) == (None, None, {})
    assert result.metrics["val/image_logloss"] == reports.scores[-1]


def test_a_part_that_ends_before_the_horizon_is_paused(spec: TrialSpec) -> None:
    result = train_patch_cnn(replace(spec, until_epoch=1), Reports())
    assert result.state is TrialState.PAUSED


def test_going_on_from_a_checkpoint_equals_never_having_stopped(
    whole: Trained, spec: TrialSpec, tmp_path: Path
) -> None:
    first = Reports({1: PruningDecision.PAUSE})
    train_patch_cnn(spec, first)
    later = Reports()
    result = train_patch_cnn(
        replace(spec, attempt=2, start_epoch=1, checkpoint=first[0].checkpoint, work_dir=tmp_path / "attempt-2"), later
    )
    assert first.scores + later.scores == whole[1].scores
    assert result.value == whole[0].value
    checkpoints = [reports[-1].checkpoint for reports in (later, whole[1])]
    arrays = [_arrays(checkpoint.path) for checkpoint in checkpoints if checkpoint]
    assert arrays[0].keys() == arrays[1].keys()
    assert [name for name in arrays[0] if not np.array_equal(arrays[0][name], arrays[1][name])] == []


def test_a_sweep_that_keeps_no_models_saves_none(spec: TrialSpec, task: PatchTask) -> None:
    result = train_patch_cnn(
        replace(spec, settings=replace(task, keeps_model=False), until_epoch=1, horizon_epochs=1), Reports()
    )
    assert result.state is TrialState.COMPLETED
    assert result.model is None


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda spec, _: replace(spec, hyperparameters=POINT | {"n_blocks": 8}), ModelError),
        (lambda spec, folder: replace(spec, settings=replace(spec.settings, line_store=folder)), LineStoreError),
        (lambda spec, folder: replace(spec, settings=replace(spec.settings, split=folder / "no.json")), SplitError),
    ],
)
def test_what_cannot_be_trained_is_an_error_of_ours(
    spoil: Callable[[TrialSpec, Path], TrialSpec], error: type[Exception], spec: TrialSpec, tmp_path: Path
) -> None:
    with pytest.raises(error):
        train_patch_cnn(spoil(spec, tmp_path), Reports())


def test_a_saved_model_scores_as_it_did_at_the_end_of_its_training(
    whole: Trained, spec: TrialSpec, task: PatchTask, tmp_path: Path
) -> None:
    result, _ = whole
    assert result.model is not None
    patches = task.patches.model_copy(update={"per_image_at_test": task.patches.per_image_at_validation})
    assert isinstance(patches, PatchSettings)
    scoring = ScoringTask(result.model.path, replace(task, patches=patches), "validation")
    scored = score_patch_cnn(replace(spec, settings=scoring, work_dir=tmp_path / "scores"), _never)
    assert scored.state is TrialState.COMPLETED
    for name, value in scored.metrics.items():
        assert value == pytest.approx(result.metrics[name], abs=1e-5), name
    assert set(scored.artifacts) == {
        f"validation/{name}"
        for name in ("confusion.png", "confusion.csv", "writers.csv", "decisions.csv", "scores.json")
    }


def _never(report: EpochReport) -> PruningDecision:
    raise AssertionError("Scoring has no epochs.")


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
