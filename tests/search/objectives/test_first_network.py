"""Fits that begin with the weights of a network of generated handwriting, in the test's own
process.
"""

import multiprocessing
import shutil
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import ModelError
from core.identification.model_record import ModelRecord
from core.networks.committee import join_networks
from core.networks.hyperparameters import NO_ARCHITECTURE, Hyperparameters
from core.networks.model import build_model
from core.networks.origin import Origin
from core.networks.starting_weights import Weights, load_weights, save_weights, weights_below_the_last_layer
from core.settings import PatchSettings
from core.splits.manifest import SplitManifest
from core.training.fit import configure_tensorflow
from search.ledger.files import reference_file
from search.ledger.trial import EpochReport, PruningDecision, TrialSpec, TrialState
from search.objectives.first_network import give_start, read_weights
from search.objectives.patch_cnn import train_patch_cnn
from search.objectives.starts import READ_WEIGHTS, GivenStart, HandsStart, ReadingTask
from search.objectives.tasks import PatchTask
from tests.search.objectives.small_task import small_task

pytestmark = pytest.mark.timeout(600)
POINT = Hyperparameters(filters=4, n_blocks=2, convolutions_per_block=1, batch_size=16, learning_rate=0.01)
SHAPE = (113, 113, 1)
ORIGIN = Origin("models:/old/3", "", "run-1")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> PatchTask:
    return small_task(tmp_path_factory.mktemp("first"))


@pytest.fixture
def start(task: PatchTask, tmp_path: Path) -> HandsStart:
    """On the very handwriting of the trials: what matters here is when it trains."""
    return HandsStart(
        name="hands:3",
        line_store=task.line_store,
        split=task.split,
        split_hash=SplitManifest.load(task.split).hash,
        patches=task.patches,
        training={name: POINT.as_dict()[name] for name in NO_ARCHITECTURE},
        epochs=2,
        folder=tmp_path / "starts",
    )


def _begun(start: HandsStart, point: Hyperparameters = POINT) -> Weights:
    model = build_model(point, SHAPE, 5)
    give_start(model, start, point)
    return weights_below_the_last_layer(model)


def _are_equal(one: Weights, other: Weights) -> bool:
    return all(np.array_equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True))


def test_the_name_of_what_was_trained_tells_what_decides_its_weights(tmp_path: Path) -> None:
    training = {name: POINT.as_dict()[name] for name in NO_ARCHITECTURE}
    start = HandsStart("hands:3", tmp_path / "lines", tmp_path, "hash", PatchSettings(), training, 2, tmp_path)
    origin = start.origin(POINT)
    assert (origin.name, origin.run_id) == ("hands:3", "")
    assert start.origin(replace(POINT, learning_rate=0.5, dropout=0.0)) == origin
    others = [
        start.origin(replace(POINT, filters=5)),
        replace(start, epochs=3).origin(POINT),
        replace(start, split_hash="other").origin(POINT),
        replace(start, training={**start.training, "learning_rate": 0.02}).origin(POINT),
    ]
    assert len({origin.sha256, *(other.sha256 for other in others)}) == 5


@pytest.mark.long  # trains three networks
def test_a_network_is_trained_once_for_each_architecture(start: HandsStart) -> None:
    first = _begun(start)
    (kept,) = start.folder.glob("*.npz")
    written_ns = kept.stat().st_mtime_ns
    assert _are_equal(_begun(start, replace(POINT, learning_rate=0.5)), first)
    assert (list(start.folder.glob("*.npz")), kept.stat().st_mtime_ns) == ([kept], written_ns)
    assert not list(start.folder.glob("*.unfinished"))
    _begun(start, replace(POINT, filters=5))
    assert len(list(start.folder.glob("*.npz"))) == 2
    kept.write_bytes(kept.read_bytes()[:-50])  # half a file never counts
    assert _are_equal(_begun(start), first)
    assert _are_equal(load_weights(kept), first)


@pytest.mark.long  # a process that imports TensorFlow, and three trainings
def test_training_that_was_killed_goes_on_and_what_it_left_damaged_begins_anew(
    start: HandsStart, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = replace(start, epochs=20)
    process = multiprocessing.get_context("spawn").Process(
        target=_train_in_a_process, args=(longer, tmp_path / "never.npz")
    )
    process.start()
    while process.is_alive() and not list(start.folder.glob("*.unfinished/epoch-*.npz")):
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not (tmp_path / "never.npz").exists()
    (left,) = start.folder.glob("*.unfinished")
    shutil.copytree(left, tmp_path / "left")
    n_done = int(max(left.glob("epoch-*.npz")).stem.removeprefix("epoch-"))

    def first_epoch() -> str:
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("hands:3: epoch"))

    gone_on = _begun(longer)
    assert first_epoch().startswith(f"hands:3: epoch {n_done + 1} of 20")
    (kept,) = start.folder.glob("*.npz")
    kept.unlink()
    shutil.copytree(tmp_path / "left", left)
    max(left.glob("epoch-*.npz")).write_bytes(b"torn")
    assert _are_equal(_begun(longer), gone_on)
    assert first_epoch().startswith("hands:3: epoch 1 of 20")


def _train_in_a_process(start: HandsStart, place: Path) -> None:
    configure_tensorflow(1, "float32", 0)  # as the tests' own process is
    save_weights(_begun(start), place)


@pytest.mark.long  # two processes that import TensorFlow
def test_two_processes_train_one_network(start: HandsStart, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    places = [tmp_path / "a.npz", tmp_path / "b.npz"]
    processes = [context.Process(target=_train_in_a_process, args=(start, place)) for place in places]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert places[0].read_bytes() == places[1].read_bytes()
    assert len(list(start.folder.glob("*.npz"))) == 1


def test_the_weights_of_a_saved_network_are_read_and_those_of_no_single_one_of_ours_are_refused(tmp_path: Path) -> None:
    model = build_model(POINT, SHAPE, 3)
    model.save(tmp_path / "model.keras")

    def read(network: Path) -> Path:
        spec = TrialSpec.of_task(
            READ_WEIGHTS, ReadingTask(network, "sweep:old/7"), tmp_path, precision="float32", seed=0, threads=1
        )
        return read_weights(spec, _never).artifacts["weights.npz"].path

    assert _are_equal(load_weights(read(tmp_path / "model.keras")), weights_below_the_last_layer(model))
    own = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)], name="mine")
    own.save(tmp_path / "own.keras")
    with pytest.raises(ModelError, match="sweep:old/7 is one of your own"):
        read(tmp_path / "own.keras")
    join_networks([model, build_model(POINT, SHAPE, 3, seed=1)]).save(tmp_path / "joined.keras")
    with pytest.raises(ModelError, match=r"sweep:old/7 is several that answer together"):
        read(tmp_path / "joined.keras")
    with pytest.raises(ModelError, match="sweep:old/7 cannot be loaded"):
        read(tmp_path / "none.keras")


@pytest.mark.long  # four fits
def test_a_fit_begins_with_given_weights_and_goes_on_from_its_checkpoint_without_them(
    task: PatchTask, tmp_path: Path
) -> None:
    given = weights_below_the_last_layer(build_model(POINT, SHAPE, 3, seed=77))
    path, lineage = tmp_path / "weights.npz", tmp_path / "lineage.json"
    save_weights(given, path)
    network = replace(ORIGIN, sha256=reference_file(path).sha256)
    start = GivenStart(reference_file(path), network, lineage)
    spec = _spec(replace(task, start=start), tmp_path / "1")
    values: list[float] = []

    def report(epoch: EpochReport) -> PruningDecision:
        values.append(epoch.metrics["val/image_logloss"])
        return PruningDecision.GO

    result = train_patch_cnn(spec, report)
    assert result.state is TrialState.COMPLETED
    assert result.model is not None
    assert ModelRecord.load(result.model.path).origin == network
    whole, values = values, []
    reports: list[EpochReport] = []
    train_patch_cnn(replace(spec, until_epoch=1, work_dir=tmp_path / "2"), lambda e: reports.append(e) or report(e))  # type: ignore[func-returns-value]
    path.unlink()  # the checkpoint has all that is needed
    later = replace(spec, attempt=2, start_epoch=1, checkpoint=reports[0].checkpoint, work_dir=tmp_path / "3")
    assert train_patch_cnn(later, report).state is TrialState.COMPLETED
    assert values == whole
    values = []
    train_patch_cnn(_spec(task, tmp_path / "4"), report)
    assert values != whole
    with pytest.raises(ModelError, match="is gone"):
        train_patch_cnn(replace(spec, work_dir=tmp_path / "5"), _never)


def _spec(task: PatchTask, work_dir: Path) -> TrialSpec:
    return TrialSpec(
        sweep_id="tiny",
        number=0,
        attempt=1,
        objective="search.objectives.patch_cnn:train_patch_cnn",
        hyperparameters=POINT.as_dict(),
        seed=11,
        start_epoch=0,
        until_epoch=2,
        horizon_epochs=2,
        threads=1,
        precision="float32",
        checkpoint=None,
        work_dir=work_dir,
        settings=task,
    )


def _never(report: EpochReport) -> PruningDecision:
    raise AssertionError("There are no epochs.")
