import json
from collections.abc import Callable
from pathlib import Path

import pytest

from search.tracking.store import TrackingStore
from tests.command_line import Answer
from tests.search.upkeep.kept_project import N_TRIALS, NAME

pytest_plugins = ["tests.finished_project", "tests.search.upkeep.copied_project"]
Command = Callable[..., Answer]


@pytest.fixture
def whosehand(command: Command, project: TrackingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("COLUMNS", "80")
    return command


def test_reconcile_shows_all_side_by_side_and_fixes_when_told_to(whosehand: Command, project: TrackingStore) -> None:
    whole = whosehand("reconcile", NAME)
    assert (whole.code, "MLflow and disk agree" in whole.out) == (0, True)
    assert whole.out.count("completed") == N_TRIALS
    client = project.client()
    run = client.search_runs(["1"], "tags.trial = '2'")[0]
    client.update_run(run.info.run_id, status="RUNNING")
    dry = whosehand("reconcile", NAME)
    assert dry.code == 1
    assert "trial 2: it is completed, but its run is RUNNING" in " ".join(dry.out.split())
    assert "1 of 1 difference can be fixed: --apply does it.\nNothing was changed." in dry.out
    told = json.loads(whosehand("reconcile", NAME, "--json").out)
    assert [found["trial"] for found in told["left"]] == [2]
    assert len(told["trials"]) == N_TRIALS
    fixed = whosehand("reconcile", NAME, "--apply")
    assert (fixed.code, "1 fixed, 0 left." in fixed.out) == (0, True)
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert "No sweep is called 'tinny'" in whosehand("reconcile", "tinny").error


def test_gc_says_what_would_go_and_deletes_when_told_to(whosehand: Command) -> None:
    dry = whosehand("gc", "--keep", "1")
    assert dry.code == 0
    assert "nothing was changed. --apply deletes it." in dry.out
    told = json.loads(whosehand("gc", NAME, "--keep", "1", "--json").out)
    assert {freed["what"]: freed["n_trials"] for freed in told["freed"]} == {"model": 3, "files": 3}
    assert "deleted " in whosehand("gc", "--keep", "1", "--apply").out
    assert "There is nothing to delete." in whosehand("gc", "--keep", "1").out


def test_doctor_lists_what_it_found_and_fails_on_a_problem(whosehand: Command) -> None:
    well = whosehand("doctor")
    assert well.code == 0
    assert "no problems" in well.out
    assert max(map(len, well.out.splitlines())) <= 80
    Path("mlruns/0").mkdir()
    Path("mlruns/0/meta.yaml").write_text("name: Default\n")
    ill = whosehand("doctor")
    assert ill.code == 1
    assert "1 problem" in ill.out
    told = json.loads(whosehand("doctor", "--json").out)
    assert told["n_problems"] == 1
    assert [found["topic"] for found in told["findings"] if found["level"] == "problem"] == ["stray files"]


def test_doctor_fixes_addresses_after_a_move(
    whosehand: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert "the project was moved or copied" in " ".join(whosehand("doctor").out.split())
    fixed = whosehand("doctor", "--apply")
    assert fixed.code == 0
    assert "rewritten: " in fixed.err
    assert len(list(Path("mlruns").glob("mlflow.db.before-fix-*"))) == 1
    assert "no addresses to fix" in whosehand("doctor", "--mend").err, "the flag of 0.1 still works"
