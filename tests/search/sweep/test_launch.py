import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from core.errors import CorpusError, LedgerError, TrackingError
from core.lines.reading import ProgressCallback
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, open_ledger
from search.sweep.launch import launch_sweep, patch_task, sweep_plan, tracked_datasets
from search.sweep.plain_lines import PlainProgress
from search.sweep.preparation import CORPUS_REPORT_FILE, SPLIT_FILE, UNUSABLE_FILE, PreparedCorpus, prepare_corpus
from search.sweep.progress import SilentProgress
from search.sweep.workers import local_executor
from tests.command_line import records_of, write_experiment
from tests.search.cheap_sweep import CHEAP

Read = Callable[..., Experiment]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The small experiment, with overrides."""

    def load(*overrides: str) -> Experiment:
        return load_experiment(write_experiment(tmp_path), overrides)

    return load


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    folder = tmp_path_factory.mktemp("prepared")
    return prepare_corpus(load_experiment(write_experiment(folder)), Workspace(folder))


def test_a_task_says_what_a_worker_must_know(read: Read, corpus: PreparedCorpus, tmp_path: Path) -> None:
    task = patch_task(read("training.early_stopping_patience=3"), corpus, tmp_path / "sweep")
    assert task.line_store == corpus.store.folder
    assert task.split == tmp_path / "sweep" / SPLIT_FILE
    assert (task.monitor.metric, task.monitor.direction, task.monitor.patience) == ("val/image_logloss", "minimize", 3)
    assert task.patches.patches_per_epoch == 200
    assert task.keeps_model
    assert not patch_task(read("tracking.keep_models=0"), corpus, tmp_path / "sweep").keeps_model


def test_a_plan_completes_points_by_fixed_values_and_defaults(
    read: Read, corpus: PreparedCorpus, tmp_path: Path
) -> None:
    experiment = read("objective.metric=val/page_top1")
    task = patch_task(experiment, corpus, tmp_path / "sweep")
    plan = sweep_plan(experiment, task, epochs=12, budget=BudgetSettings(trials=1))
    complete = plan.complete({"learning_rate": 0.002})
    assert (complete["learning_rate"], complete["filters"], complete["optimizer"]) == (0.002, 4, "adamw")
    assert (plan.horizon_epochs, plan.budget.trials) == (12, 1)
    assert (plan.metric, plan.direction) == ("val/page_top1", "maximize")
    assert (plan.seed, plan.precision) == (3, "float32")


def test_workers_and_threads_are_as_asked(read: Read) -> None:
    experiment = read("executor.workers=3", "executor.threads=2")
    for n_workers, expected in ((None, 3), (1, 1)):
        with local_executor(experiment, experiment.objective.run, n_workers) as executor:
            assert (executor.n_workers, executor.threads) == (expected, 2)


def test_datasets_are_named_by_part_and_carry_the_hash_of_the_split(corpus: PreparedCorpus) -> None:
    search = tracked_datasets(corpus)
    assert [data.context for data in search] == ["train", "validation"]
    assert {data.digest for data in search} == {corpus.manifest.hash}
    promotion = tracked_datasets(corpus, with_test=True)
    assert promotion[-1].context == "test"
    assert promotion[-1].digest == corpus.manifest.test_hash
    assert promotion[-1].profile["images"] == len(corpus.manifest.test)


def test_a_launch_that_never_began_leaves_no_ledger_and_no_split(read: Read, tmp_path: Path) -> None:
    class PressesCtrlC(SilentProgress):
        @contextmanager
        def working(self, label: str, unit: str = "images") -> Iterator[ProgressCallback]:
            def press(done: int, total: int) -> None:
                raise KeyboardInterrupt

            yield press

    workspace = Workspace(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        launch_sweep(read(), workspace, PressesCtrlC())
    with pytest.raises(TrackingError):
        launch_sweep(read("tracking.uri=http://127.0.0.1:9"), workspace, SilentProgress())
    assert [path.name for path in workspace.sweep("tiny").iterdir()] == ["lock"]


def test_too_many_unusable_images_begin_no_sweep_and_leaves_the_table(read: Read, folder_root: Path) -> None:
    workspace = Workspace(folder_root.parent)
    for page in sorted(folder_root.rglob("*.png"))[:4]:
        page.write_bytes(b"torn")
    with pytest.raises(CorpusError, match=r"(?s)quarantine\.max_share\), but 4 of 12.*\n.*sweeps/tiny/unusable\.csv"):
        launch_sweep(read(f"corpus={{layout: folder, root: {folder_root}}}"), workspace, SilentProgress())
    left = {path.name for path in workspace.sweep("tiny").iterdir()}
    assert left == {"lock", CORPUS_REPORT_FILE, UNUSABLE_FILE}
    assert len((workspace.sweep("tiny") / UNUSABLE_FILE).read_text().splitlines()) == 5


def test_what_is_unusable_is_told_and_recorded_with_the_sweep(
    read: Read, folder_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(folder_root.parent)
    (folder_root / "000" / "zero.png").touch()
    experiment = read(
        f"corpus={{layout: folder, root: {folder_root}}}",
        f"objective.run={CHEAP}",  # it fails at once, as its settings are of another kind
        "budget.trials=1",
    )
    launched = launch_sweep(experiment, workspace, PlainProgress(Console()))
    assert "1 unusable image; `whosehand data stats` lists them." in capsys.readouterr().out
    with records_of(folder_root.parent) as client:
        (sweep,) = client.search_runs(["1"], "tags.kind = 'sweep'")
        recorded = client.download_artifacts(sweep.info.run_id, ".", str(folder_root))
    for name in (SPLIT_FILE, CORPUS_REPORT_FILE, UNUSABLE_FILE):
        assert (Path(recorded) / name).read_bytes() == (launched.folder / name).read_bytes()
    assert "zero.png,000/zero.png," in (launched.folder / UNUSABLE_FILE).read_text()
    assert json.loads((launched.folder / CORPUS_REPORT_FILE).read_text())["n_unusable"] == 1


def test_a_launch_beside_another_one_is_refused_and_harms_nothing(read: Read, tmp_path: Path) -> None:
    experiment, folder = read(), Workspace(tmp_path).sweep("tiny")
    with open_ledger(folder, name="tiny", config=experiment.snapshot(), version="0", git_commit="") as ledger:
        before = (folder / LEDGER_NAME).read_bytes()
        with pytest.raises(LedgerError, match="Only one driver"):
            launch_sweep(experiment, Workspace(tmp_path), SilentProgress())
        assert (folder / LEDGER_NAME).read_bytes() == before
        assert ledger.created.name == "tiny"
