"""Models behind a real tracking server, whose database is PostgreSQL: everything goes through
MLflow's own API.
"""

from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path

import pytest
from mlflow import MlflowClient

from core.errors import TrackingError
from search.experiment.settings import TrackingSettings
from search.identification.identifier_folder import folder_checksum
from search.identification.identify import identify
from search.tracking.aliases import restore_previous, set_champion
from search.tracking.models import LoggedModels, ModelOwner
from search.tracking.registry import (
    CHECKSUM_TAG,
    champion,
    find_alias,
    find_model,
    register_version,
    registered_names,
    versions_of,
)
from search.tracking.store import TrackingStore, open_store
from tests.search.toy_model import save_toy_identifier, write_line
from tests.search.tracking_server import TrackingServer, tracking_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
NAME = "toy"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    with tracking_server(tmp_path_factory.mktemp("server"), "postgresql") as running:
        yield running


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_identifier(tmp_path_factory.mktemp("toy"))


def _log(store: TrackingStore, folder: Path, number: int) -> str:
    client = store.client()
    experiment = client.get_experiment_by_name("toys")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("toys")
    run = client.create_run(experiment_id)
    models = LoggedModels(client, experiment_id)
    return models.log(ModelOwner("toy-1", "trial", number), f"toy-{number}", run.info.run_id, folder, 1, {})


def test_a_model_is_registered_fetched_and_asked_over_http(
    server: TrackingServer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = open_store(TrackingSettings(uri=server.url), tmp_path)
    for number in range(3):
        register_version(store, NAME, _log(store, model, number), {CHECKSUM_TAG: folder_checksum(model)})
    set_champion(store, NAME, 1, None)
    set_champion(store, NAME, 2, 1)

    found = find_model(store, f"models:/{NAME}@champion")
    assert found.version is not None
    assert found.version.version == 2
    assert not found.version.location.startswith("/")
    assert folder_checksum(found.folder) == folder_checksum(model) == found.version.tags[CHECKSUM_TAG]
    assert find_model(store, f"models:/{NAME}@champion").folder == found.folder, "fetched once"
    answer = identify([write_line(tmp_path / "line.png")], found.folder, runs_own_code=True)
    assert answer.images[0].calibrated_on == "image"

    # A page of one version at a time, as if there were hundreds.
    monkeypatch.setattr(
        MlflowClient, "search_model_versions", partialmethod(MlflowClient.search_model_versions, max_results=1)
    )
    assert [version.version for version in versions_of(store, NAME)] == [1, 2, 3]
    assert register_version(store, NAME, found.version.model_id, {}).version == 2, "the third page was looked at"
    assert registered_names(store) == (NAME,)

    # Gone, and back.
    server.kill()
    with pytest.raises(TrackingError, match="No MLflow server answers"):
        open_store(TrackingSettings(uri=server.url), tmp_path)
    with pytest.raises(TrackingError, match="Cannot look up the champion"):
        find_alias(store, NAME, "champion")
    server.start()
    now, former = restore_previous(store, NAME)
    assert former is not None
    assert (now.version, former.version, champion(store, NAME).version) == (1, 2, 1)
