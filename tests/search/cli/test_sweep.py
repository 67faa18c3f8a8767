import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from search.ledger.ledger import read_ledger
from search.ledger.trial import TrialState
from tests.command_line import Answer, records_of, whosehand, write_experiment
from tests.small_disk import fill

pytest_plugins = ["tests.finished_project", "tests.small_disk"]
Command = Callable[..., Answer]


@pytest.fixture
def tiny(tmp_path: Path, empty_database: Path) -> Path:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_database, tmp_path / "mlruns" / "mlflow.db")
    return write_experiment(tmp_path)


@pytest.mark.parametrize(
    ("override", "complaints"),
    [
        ("bugdet.trials=3", ("bugdet", "did you mean budget?")),
        ("budget.trials=many", ("budget.trials", "'many'")),
        ("corpus.n_writers=1", ("corpus.n_writers", "greater than or equal to 2")),
        ("space.dimensions.dropout.high=2", ("dropout",)),
        ("space.fixed.head=none", ("head", "global_average")),
        ("tracking.uri=bogus://x", ("tracking.uri", "sqlite://")),
        ("tracking.uri=http://127.0.0.1:9", ("http://127.0.0.1:9", "tracking.uri")),
        ("engine.storage=bogus://x", ("engine.storage", "bogus://x")),
        ("engine.storage=sqlite:////nowhere/study.db", ("engine.storage", "nowhere/study.db")),
        ("objective.run=search.nothing:here", ("module:function", "search.nothing")),
    ],
)
def test_a_wrong_value_is_one_clear_message(
    override: str, complaints: tuple[str, ...], command: Command, tiny: Path
) -> None:
    message = command("sweep", tiny, "--set", override).error
    assert all(complaint in message for complaint in complaints), message


def test_a_password_in_an_address_is_not_shown(command: Command, tiny: Path) -> None:
    for key in ("engine.storage", "tracking.uri"):
        answer = command("sweep", tiny, "--set", f"{key}=postgresql://me:secret@127.0.0.1:9/x")
        assert answer.code == 1
        assert "secret" not in answer.out + answer.err


def test_a_file_that_is_not_there_is_named(command: Command) -> None:
    assert command("sweep", "nothing.yaml").error == "nothing.yaml: there is no such experiment file."


def test_a_disk_that_is_full_before_the_first_launch_is_one_message(small_disk: Path) -> None:
    experiment = write_experiment(small_disk)
    fill(small_disk)
    assert f"The disk of {small_disk} is full" in whosehand(small_disk, "sweep", experiment.name).error


def test_mlruns_that_cannot_be_a_folder_is_one_message(command: Command, tiny: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "mlruns")
    (tmp_path / "mlruns").write_text("taken")
    assert "mlruns" in command("sweep", tiny).error
    elsewhere = f"tracking.uri=sqlite:///{tmp_path}/elsewhere.db"
    assert "mlruns" in command("sweep", tiny, "--set", elsewhere).error
    assert (tmp_path / "mlruns").read_text() == "taken"


def test_a_mistake_before_the_first_trial_can_be_mended_in_the_file(
    command: Command, tiny: Path, folder_root: Path, tmp_path: Path
) -> None:
    scans = ("--set", "corpus={layout: folder, root: nowhere}")
    assert "nowhere" in command("sweep", tiny, *scans).error
    mended = ("--set", "corpus={layout: folder, root: scans}", "--set", "engine.storage=bogus://x")
    assert "engine.storage" in command("sweep", tiny, *mended).error
    other_split = ("--set", "corpus={layout: folder, root: scans}", "--set", "split.seed=5")
    assert "no module" in command("sweep", tiny, *other_split, "--set", "objective.run=search.nothing:here").error
    left = {path.name for path in (tmp_path / "mlruns" / "sweeps" / "tiny").iterdir()}
    assert left == {"lock", "corpus_report.json", "unusable.csv"}, "what was found stays to be read; nothing was begun"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.long
def test_spoilt_images_and_a_network_that_cannot_be_built_stop_no_sweep(folder_root: Path, tmp_path: Path) -> None:
    first = sorted(folder_root.iterdir())[0]
    (first / "zero.png").touch()
    (first / "broken.png").write_bytes(sorted(first.iterdir())[0].read_bytes()[:900])
    Image.new("L", (1, 1), 255).save(first / "dot.png")
    (folder_root / "empty").mkdir()
    experiment = write_experiment(
        tmp_path,
        {
            "corpus": {"layout": "folder", "root": "scans"},
            "quarantine": {"max_share": 0.3},
            "space": {
                "base": "none",
                "fixed": {"filters": 4, "batch_size": 16},
                "dimensions": {"n_blocks": {"type": "integer", "low": 2, "high": 3}},
                "enqueue": [{"n_blocks": 8}, {"n_blocks": 2}],
            },
            "training": {"epochs": 1, "precision": "float32"},
            "budget": {"trials": 2},
        },
    )
    answer = whosehand(tmp_path, "sweep", experiment)
    assert answer.code == 0, answer.err
    assert "4 unusable images; `whosehand data stats` lists them." in answer.err
    assert "Traceback" not in answer.err
    assert "trial 0 failed: ModelError: " in answer.err
    state = read_ledger(tmp_path / "mlruns" / "sweeps" / "tiny")
    assert [trial.state for trial in state.trials.values()] == [TrialState.FAILED, TrialState.COMPLETED]
    with records_of(tmp_path) as client:
        experiment_id = client.get_experiment_by_name("tiny").experiment_id
        (failed,) = client.search_runs([experiment_id], "tags.state = 'failed'")
        assert failed.info.status == "FAILED"
        assert failed.data.tags["reason"].startswith("ModelError: ")
        assert [file.path for file in client.list_artifacts(failed.info.run_id)] == ["traceback.txt"]

    # What is done is not lost when the corpus changes under a sweep; it only does not go on with
    # another split.
    shutil.rmtree(folder_root / "empty")
    sorted(first.iterdir())[0].unlink()
    changed = whosehand(tmp_path, "sweep", experiment, "--set", "budget.trials=3")
    assert "the corpus has changed since" in changed.error
    assert read_ledger(tmp_path / "mlruns" / "sweeps" / "tiny").count(TrialState.COMPLETED) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_without_a_single_completed_trial_is_no_success(tmp_path: Path) -> None:
    blocks = {"type": "integer", "low": 2, "high": 8}  # eight pool a patch away; two are possible
    space = {"base": "none", "fixed": {"filters": 4}, "dimensions": {"n_blocks": blocks}, "enqueue": [{"n_blocks": 8}]}
    experiment = write_experiment(tmp_path, {"budget": {"trials": 1}, "space": space})
    answer = whosehand(tmp_path, "sweep", experiment)
    assert answer.code == 1
    assert "trials  1 failed" in answer.out
    assert "No trial completed" in answer.out
    assert "ModelError" in answer.err
    assert "Traceback" not in answer.err
    refused = whosehand(tmp_path, "promote", "tiny")
    assert refused.error.startswith("A promotion needs a completed trial, but none of the 1 trials of 'tiny' is.")
    assert not (tmp_path / "mlruns" / "test_openings.jsonl").exists()
    events = (tmp_path / "mlruns" / "sweeps" / "tiny" / "ledger.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in events)
