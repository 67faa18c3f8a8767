"""What every check finds, on stores and folders that are damaged as they are in life."""

import fcntl
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

from core.corpora.index import CorpusIndex
from core.lines.store import build_line_store
from core.settings import InkSettings
from search.experiment.experiment import load_experiment
from search.experiment.settings import TrackingSettings
from search.experiment.workspace import Workspace
from search.ledger.access_log import TestAccess, record_test_access
from search.ledger.events import Launched
from search.ledger.ledger import LEDGER_NAME, Ledger, open_ledger
from search.ledger.lock import LOCK_NAME
from search.tracking.store import TrackingStore, locate_store
from search.upkeep import doctor, machine_checks
from search.upkeep.doctor import CHECKS, check_access_log, check_corpora, check_sweeps, check_tracking, examine
from search.upkeep.machine_checks import (
    Finding,
    Level,
    Subject,
    check_disk,
    check_processor,
    check_servers,
    check_stray_files,
    check_versions,
)
from tests.command_line import write_experiment

pytest_plugins = ["tests.search.upkeep.copied_project"]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def _subject(root: Path, uri: str | None = None) -> Subject:
    return Subject(Workspace(root), None, locate_store(TrackingSettings(uri=uri), root))


def _only(found: Iterable[Finding]) -> Finding:
    (finding,) = found
    return finding


def _problem(found: Iterable[Finding]) -> Finding:
    (finding,) = [finding for finding in found if finding.level is not Level.OK]
    return finding


@pytest.fixture
def database(store: TrackingStore) -> Path:
    return Path(store.uri.removeprefix("sqlite:///"))


# Versions and machine.
def test_installed_versions_are_in_range(tmp_path: Path) -> None:
    found = _only(check_versions(_subject(tmp_path)))
    assert found.level is Level.OK
    assert f"mlflow {metadata.version('mlflow')}" in found.text


def test_a_library_out_of_range_or_missing_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata, "requires", lambda name: ["numpy>=99", "no-such-library>=1", 'torch>=9; extra == "gp"']
    )
    old, missing = check_versions(_subject(tmp_path))
    assert (old.level, missing.level) == (Level.PROBLEM, Level.PROBLEM)
    assert f"numpy must be >=99, but is {metadata.version('numpy')}" in old.text
    assert 'pip install "no-such-library>=1"' in missing.fix


def test_the_precision_comes_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.upkeep.machine_checks.choose_precision", lambda choice: "mixed_bfloat16")
    monkeypatch.setattr("search.upkeep.machine_checks.cpu_flags", lambda: frozenset({"avx2", "amx_bf16"}))
    processor, precision, *_ = check_processor(_subject(tmp_path))
    assert "avx2, amx_bf16" in processor.text
    assert precision.text == "mixed_bfloat16, because the processor has amx_bf16"


def test_a_processor_without_avx_and_little_memory_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.upkeep.machine_checks.cpu_flags", lambda: frozenset({"sse2"}))
    monkeypatch.setattr("search.upkeep.machine_checks.free_memory_bytes", lambda: 500_000_000)
    found = [finding for finding in check_processor(_subject(tmp_path)) if finding.level is not Level.OK]
    assert [(finding.level, finding.topic) for finding in found] == [
        (Level.PROBLEM, "processor"),
        (Level.NOTE, "memory"),
    ]


@pytest.mark.parametrize(
    ("free_bytes", "level"), [(500_000_000, Level.PROBLEM), (2_000_000_000, Level.NOTE), (50_000_000_000, Level.OK)]
)
def test_a_disk_that_fills_is_told(
    free_bytes: int, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, free_bytes))
    assert _only(check_disk(_subject(tmp_path))).level is level


# The tracking store.
def test_a_store_that_is_not_there_yet_is_fine_and_is_not_made(tmp_path: Path) -> None:
    assert _only(check_tracking(_subject(tmp_path))).level is Level.OK
    assert list(tmp_path.iterdir()) == []


def test_a_whole_store_is_fine(store: TrackingStore, tmp_path: Path) -> None:
    assert {finding.level for finding in check_tracking(_subject(tmp_path))} == {Level.OK}


@pytest.mark.parametrize(
    ("revision", "words", "fix"),
    [
        ("451aebb31d03", "older MLflow", "mlflow db upgrade sqlite:///"),  # MLflow 1.0
        ("ffffffffffff", "newer one made it", "install that newer MLflow"),
    ],
)
def test_a_schema_of_another_mlflow_is_a_problem(
    revision: str, words: str, fix: str, database: Path, tmp_path: Path
) -> None:
    _execute(database, f"UPDATE alembic_version SET version_num = '{revision}'")
    found = _problem(check_tracking(_subject(tmp_path)))
    assert found.level is Level.PROBLEM
    assert words in found.text
    assert fix in found.fix


def test_a_database_of_somebody_elses_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    _execute(tmp_path / "mlruns" / "mlflow.db", "CREATE TABLE recipes (name TEXT)")
    assert "not one of MLflow's" in _problem(check_tracking(_subject(tmp_path))).text


def test_a_locked_store_is_a_problem(database: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = _problem(check_tracking(_subject(tmp_path)))
    assert "has been locked by another process" in found.text
    assert "fuser" in found.fix


@pytest.mark.parametrize("damage", ["head", "middle"])
def test_a_damaged_store_is_a_problem(damage: str, database: Path, tmp_path: Path) -> None:
    content = bytearray(database.read_bytes())
    place = 0 if damage == "head" else 4096 * 5
    content[place : place + 8000] = b"\xff" * 8000
    database.write_bytes(content)
    found = _problem(check_tracking(_subject(tmp_path)))
    assert "damaged" in found.text or "not an SQLite database" in found.text
    assert "whosehand reconcile SWEEP --apply" in found.fix


def test_a_server_that_is_away_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = load_experiment(write_experiment(tmp_path, {"tracking": {"uri": "http://127.0.0.1:9"}}))
    subject = Subject(Workspace(tmp_path), experiment, locate_store(experiment.tracking, tmp_path))
    assert "No MLflow server answers at http://127.0.0.1:9" in _problem(check_tracking(subject)).text


def test_another_database_that_is_away_is_a_problem(tmp_path: Path) -> None:
    store = locate_store(None, tmp_path)
    moved = TrackingStore("postgresql://127.0.0.1:9/mlflow", store.artifact_root)
    assert "cannot be reached" in _problem(check_tracking(Subject(Workspace(tmp_path), None, moved))).text


def test_after_a_move_the_addresses_are_a_problem(original: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(original, tmp_path / "moved"))
    found = next(finding for finding in check_tracking(_subject(root)) if finding.topic == "addresses")
    assert found.level is Level.PROBLEM
    assert f"{original} (now {root})" in found.text
    assert "5 runs, 4 models" in found.text
    assert "--apply" in found.fix


def test_models_without_files_are_a_problem(project: TrackingStore, workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "mlruns" / "artifacts" / "tiny" / "models")
    found = _problem(check_tracking(_subject(workspace.root)))
    assert "the files of 4 of 4 models are gone" in found.text
    assert "whosehand reconcile" in found.fix


def test_old_records_in_plain_files_are_a_problem(tmp_path: Path) -> None:
    assert list(check_stray_files(_subject(tmp_path))) == []
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    assert list(check_stray_files(_subject(tmp_path))) == []
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    assert "mv mlruns/0" in _problem(check_stray_files(_subject(tmp_path))).fix


def test_a_server_on_the_store_is_told_and_an_old_one_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = _subject(tmp_path)
    code = "import sys, time; print('up', flush=True); time.sleep(60)"
    arguments = [sys.executable, "-c", code, "mlflow", "server", "--backend-store-uri", subject.store.uri]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            found = _only(check_servers(subject))
            assert (found.level, f"process {server.pid}" in found.text) == (Level.OK, True)
            monkeypatch.setattr("search.upkeep.machine_checks.OLD_S", -1.0)
            assert f"kill {server.pid}" in _problem(check_servers(subject)).fix
        finally:
            server.kill()


# Sweeps.
@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """The folder of a sweep that was created and launched by a driver that is gone."""
    folder = Workspace(tmp_path).sweep("toy")
    with open_ledger(folder, name="toy", config={}, version="", git_commit="") as ledger:
        ledger.append(lambda at_ms: Launched(at_ms, "host", 1, 1, 1, "float32"))
    (folder / LOCK_NAME).write_text("process 7 on host there\n")
    return folder


def test_a_running_sweep_is_fine_and_names_its_driver(sweep: Path, tmp_path: Path) -> None:
    with Ledger(sweep):
        found = _only(check_sweeps(_subject(tmp_path)))
    assert found.level is Level.OK
    assert f"running, by process {os.getpid()} on host {socket.gethostname()}" in found.text


def test_a_killed_sweep_is_a_note_that_says_how_to_go_on(sweep: Path, tmp_path: Path) -> None:
    found = _problem(check_sweeps(_subject(tmp_path)))
    assert found.level is Level.NOTE
    assert "its driver was killed (process 7 on host there)" in found.text
    assert "whosehand reconcile" in found.fix


def test_a_lock_whose_holder_is_dead_but_whose_child_lives_is_a_problem(sweep: Path, tmp_path: Path) -> None:
    (sweep / LOCK_NAME).write_text(f"process 4194305 on host {socket.gethostname()}\n")
    with (sweep / LOCK_NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = _problem(check_sweeps(_subject(tmp_path)))
    assert (found.level, found.topic) == (Level.PROBLEM, "locks")
    assert "fuser" in found.fix


def test_a_torn_ledger_is_a_note_and_a_damaged_one_a_problem(sweep: Path, tmp_path: Path) -> None:
    with (sweep / LEDGER_NAME).open("ab") as file:
        file.write(b'{"kind": "prop')
    torn = next(finding for finding in check_sweeps(_subject(tmp_path)) if finding.topic == "ledgers")
    assert torn.level is Level.NOTE
    assert "torn (14 bytes)" in torn.text
    (sweep / LEDGER_NAME).write_bytes(b"not an event\n" + (sweep / LEDGER_NAME).read_bytes())
    damaged = _problem(check_sweeps(_subject(tmp_path)))
    assert (damaged.level, damaged.topic) == (Level.PROBLEM, "ledgers")
    assert "line 1" in damaged.text


def test_a_project_without_sweeps_is_fine(tmp_path: Path) -> None:
    assert _only(check_sweeps(_subject(tmp_path))) == Finding(Level.OK, "sweeps", "none yet")


# Test pages and corpora.
def test_openings_are_counted_and_a_damaged_line_is_a_problem(tmp_path: Path) -> None:
    assert "never opened" in _only(check_access_log(_subject(tmp_path))).text
    path = Workspace(tmp_path).access_log
    for at_ms, test_hash in enumerate(("a", "a", "b")):
        record_test_access(path, TestAccess(test_hash, at_ms, "test"))
    assert (
        "2 sets of test pages opened 3 times, at most 2 of them for one set"
        in _only(check_access_log(_subject(tmp_path))).text
    )
    path.write_text(path.read_text() + "torn\n")
    assert "line 4" in _problem(check_access_log(_subject(tmp_path))).text


def test_the_corpus_of_an_experiment_is_read_and_its_lines_verified(tmp_path: Path) -> None:
    experiment = load_experiment(write_experiment(tmp_path))
    subject = Subject(Workspace(tmp_path), experiment, locate_store(root=tmp_path))
    corpus, split = check_corpora(subject)
    assert "36 images found, 36 used" in corpus.text
    assert "36 lines, all as they were written" in corpus.text
    assert "of 3 writers, hash " in split.text
    _damage_lines(tmp_path)
    assert "must have the checksum" in _problem(check_corpora(subject)).text


def test_a_corpus_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    changes = {"corpus": {"layout": "folder", "root": "nowhere"}}
    experiment = load_experiment(write_experiment(tmp_path, changes))
    subject = Subject(Workspace(tmp_path), experiment, locate_store(root=tmp_path))
    assert "nowhere" in _problem(check_corpora(subject)).text


def test_without_an_experiment_what_lies_in_data_is_looked_at(tmp_path: Path, hands_index: CorpusIndex) -> None:
    workspace = Workspace(tmp_path)
    build_line_store(hands_index, InkSettings(), workspace.line_stores)
    (workspace.generated / "scans" / "anna").mkdir(parents=True)
    assert {finding.topic: finding.level for finding in check_corpora(_subject(tmp_path))} == {
        "corpora": Level.OK,
        "lines": Level.OK,
    }
    _damage_lines(tmp_path)
    assert "must have the checksum" in _problem(check_corpora(_subject(tmp_path))).text


# All together.
def test_a_check_that_breaks_is_a_problem_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(subject: Subject) -> Iterable[Finding]:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    checks: dict[str, Callable[[Subject], Iterable[Finding]]] = {"sweeps": break_down, "disk": check_disk}
    monkeypatch.setattr("search.upkeep.doctor.CHECKS", checks)
    broken, disk = examine(Workspace(tmp_path))
    assert (broken.level, disk.topic) == (Level.PROBLEM, "disk")
    assert "Permission denied" in broken.text


def test_every_check_is_listed() -> None:
    written = {name for module in (doctor, machine_checks) for name in vars(module) if name.startswith("check_")}
    assert {check.__name__ for check in CHECKS.values()} == written


def _execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def _damage_lines(root: Path) -> None:
    pack = next((root / "data" / "lines").glob("pool-*/*.pack"))
    content = bytearray(pack.read_bytes())
    content[1000] ^= 255
    pack.write_bytes(content)
