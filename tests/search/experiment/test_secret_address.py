import copy
import pickle
from pathlib import Path

import pytest

from core.errors import ConfigError
from search.experiment.changes import differences, free_changes
from search.experiment.engine_settings import OptunaSettings
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.secret_address import STORAGE_VARIABLE, TRACKING_VARIABLE, Address, advice, reveal
from search.experiment.settings import TrackingSettings
from search.tracking.store import locate_store
from tests.command_line import write_experiment

URL = "postgresql://me:geheim@host/db"


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    changes = {
        "tracking": {"uri": "postgresql://me:geheim-1@host/db", "artifacts": "s3://bucket"},
        "engine": {"name": "optuna", "storage": "postgresql://me:geheim-2@host/study"},
    }
    return load_experiment(write_experiment(tmp_path, changes))


def test_a_password_in_the_file_is_in_nothing_that_is_shown_or_stored(experiment: Experiment, tmp_path: Path) -> None:
    stored = (
        experiment.snapshot(),
        experiment.model_dump(),
        experiment.model_dump_json(),
        experiment.to_yaml(tmp_path / "again.yaml"),
        experiment,
        pickle.dumps(experiment),
        experiment.tracking.uri,
        locate_store(experiment.tracking),
    )
    for each in stored:
        assert "geheim" not in f"{each!r} {each!s}"
    assert experiment.snapshot()["tracking"]["uri"] == f"postgresql://me:${{{TRACKING_VARIABLE}}}@host/db"


def test_it_still_opens_what_it_is_for(experiment: Experiment) -> None:
    for same in (experiment, experiment.model_copy(update={"seed": 2}), copy.deepcopy(experiment)):
        assert locate_store(same.tracking).revealed_uri == "postgresql://me:geheim-1@host/db"
        assert isinstance(same.engine, OptunaSettings)
        assert reveal(str.__str__(same.engine.storage), {STORAGE_VARIABLE: "x"}) == "postgresql://me:x@host/study"
        assert reveal(same.engine.storage or "", {}) == "postgresql://me:geheim-2@host/study"
    assert TrackingSettings(uri=experiment.tracking.uri, artifacts="s3://b").uri == experiment.tracking.uri


def test_of_a_sweep_s_record_the_password_comes_from_the_environment(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Experiment.model_validate(experiment.snapshot())
    monkeypatch.delenv(TRACKING_VARIABLE, raising=False)
    store = locate_store(known.tracking)
    with pytest.raises(ConfigError, match=f"needs the environment variable {TRACKING_VARIABLE}, which is not set"):
        _ = store.revealed_uri
    monkeypatch.setenv(TRACKING_VARIABLE, "p@ss/word")
    assert store.revealed_uri == "postgresql://me:p%40ss%2Fword@host/db"


def test_a_reference_is_stored_unread_and_read_when_the_address_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrackingSettings(uri="postgresql://me:${DB_PASSWORD}@host/db", artifacts="s3://b")
    monkeypatch.setenv("DB_PASSWORD", "late")
    assert settings.uri == "postgresql://me:${DB_PASSWORD}@host/db"
    assert locate_store(settings).revealed_uri == "postgresql://me:late@host/db"
    assert not advice("tracking.uri", settings.uri)


def test_a_password_that_is_written_out_earns_a_word_of_advice(experiment: Experiment) -> None:
    word = advice("tracking.uri", experiment.tracking.uri)
    assert f"me:${{{TRACKING_VARIABLE}}}@host" in word
    assert "chmod 600" in word
    assert "geheim" not in word


def test_what_changed_since_a_ledger_of_0_1_is_told_without_its_password(experiment: Experiment) -> None:
    old = experiment.snapshot()
    old["tracking"]["uri"], old["engine"]["storage"] = "postgresql://me:geheim-1@host/db", URL
    told = [*free_changes(old, experiment), *differences(old, experiment)]
    assert any("tracking.uri" in line for line in told)
    assert "geheim" not in " ".join(told)


def test_the_path_of_a_file_is_never_a_reference() -> None:
    assert reveal(Address.of("sqlite:////data/${X}/a.db", "Y"), {}) == "sqlite:////data/${X}/a.db"


def test_artifacts_with_a_password_are_refused_because_mlflow_would_write_it_down() -> None:
    for address in ("ftp://me:geheim@host/x", "ftp://me:${X}@host/x"):
        with pytest.raises(ConfigError, match="must hold no password") as caught:
            TrackingSettings(artifacts=address)
        assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        f"tracking={URL}",
        f"tracking.url={URL}",
        f"tracking.uri=bogus{URL}",
        f"tracking.uri=[{URL}]",
        "tracking.uri=bogus://me:ge heim@host/db",
        f"engine.storage.x={URL}",
        f"engine={{name: optuna, storages: '{URL}'}}",
        f"name={URL}",
        f"nothing {URL}",
    ],
)
def test_no_refusal_shows_a_password(override: str, tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, [override])
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "geheim" not in shown
    assert "heim@" not in shown
