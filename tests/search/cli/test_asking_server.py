"""A tracking server that asks who one is, set up as in `deploy/`: what is said to it comes from the
environment and stays there.
"""

import http.client
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from core.errors import TrackingError
from search.experiment.settings import TrackingSettings
from search.tracking.aliases import set_champion
from search.tracking.models import LoggedModels, ModelOwner
from search.tracking.registry import find_model, register_version
from search.tracking.store import open_store
from tests.command_line import ROOT, Answer, whosehand
from tests.search.toy_model import save_toy_identifier
from tests.search.tracking_server import TrackingServer, tracking_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
ADMIN, PASSWORD, TOKEN = "administrator-7f3a", "geheim-99-anna", "token-31c2-anna"

OBJECTIVE = """
def descend(trial):
    for step in range(2):
        trial.report(trial.params["x"] / (step + 1))
    return trial.params["x"]
"""

EXPERIMENT = """
name: own
objective: objective:descend
space: {dimensions: {x: {type: real, low: 0, high: 1}}}
engine: {name: optuna, sampler: random}
tracking: {uri: "URI"}
executor: {workers: 1, threads: 1, min_free_mb: 0}
budget: {trials: 3}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    pytest.importorskip("flask_wtf", reason="MLflow asks for no password without Flask-WTF")
    folder = tmp_path_factory.mktemp("server")

    def configure(database: str) -> Mapping[str, str]:
        settings = (ROOT / "deploy" / "basic_auth.ini").read_text()
        of_compose = "database_uri = postgresql://mlflow@database/mlflow"
        assert of_compose in settings
        (folder / "basic_auth.ini").write_text(settings.replace(of_compose, f"database_uri = {database}"))
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "any",
        }

    with tracking_server(folder, "postgresql", configure) as running:
        made = requests.post(
            f"{running.url}/api/2.0/mlflow/users/create",
            json={"username": "anna", "password": PASSWORD},
            auth=("admin", ADMIN),
            timeout=60,
        )
        assert made.ok, made.text
        yield running


ANNA = {"MLFLOW_TRACKING_USERNAME": "anna", "MLFLOW_TRACKING_PASSWORD": PASSWORD}


def _project(folder: Path, uri: str) -> Path:
    (folder / "objective.py").write_text(OBJECTIVE)
    (folder / "own.yaml").write_text(EXPERIMENT.replace("URI", uri))
    return folder


def _holds(folder: Path, secret: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_sweep_says_who_it_is_and_leaves_the_password_nowhere(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _project(tmp_path, server.url)
    answers: list[Answer] = []
    for arguments in (("sweep", "own.yaml"), ("reconcile", "own"), ("doctor",), ("ui",), ("gc", "--keep", "1")):
        answers.append(whosehand(folder, *arguments, variables=ANNA))
        assert answers[-1].code == 0, answers[-1]
    for name, value in ANNA.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(server.url, server.url)
    experiment = client.get_experiment_by_name("own")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 3
    assert _holds(folder, PASSWORD) == []
    assert _holds(server.log.parent, PASSWORD) == _holds(server.log.parent, ADMIN) == []
    assert not any(PASSWORD in answer.out + answer.err for answer in answers)


@pytest.mark.parametrize("said", [{}, ANNA | {"MLFLOW_TRACKING_PASSWORD": "wrong"}], ids=["nothing", "wrong password"])
def test_who_is_not_known_is_told_before_anything_trains(
    server: TrackingServer, tmp_path: Path, said: Mapping[str, str]
) -> None:
    folder = _project(tmp_path, server.url)
    refused = whosehand(folder, "sweep", "own.yaml", variables=said)
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN" in refused.error
    assert not list(folder.glob("mlruns/sweeps/own/trials/*"))


def test_a_model_goes_there_and_comes_back(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ANNA.items():
        monkeypatch.setenv(name, value)
    store = open_store(TrackingSettings(uri=server.url), tmp_path)
    client = store.client()
    experiment_id = client.create_experiment("toys")
    run = client.create_run(experiment_id)
    folder = save_toy_identifier(tmp_path / "toy")
    owner = ModelOwner("toy-1", "trial", 0)
    model_id = LoggedModels(client, experiment_id).log(owner, "toy-0", run.info.run_id, folder, 1, {})
    register_version(store, "toy", model_id, {})
    set_champion(store, "toy", 1, None)
    found = find_model(store, "models:/toy@champion").folder
    assert (found / "MLmodel").is_file()
    assert found != folder


class _Gate(BaseHTTPRequestHandler):
    """Lets a request through to the server behind it if it brings the token, as a proxy with single
    sign-on does.
    """

    protocol_version = "HTTP/1.1"
    behind = ""

    def _pass_on(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key: value for key, value in self.headers.items() if key not in ("Host", "Authorization")}
        connection = http.client.HTTPConnection(self.behind.removeprefix("http://"), timeout=60)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[str]:
    """A server that asks nobody, behind a proxy that wants a token."""
    with tracking_server(tmp_path, "sqlite") as behind:
        _Gate.behind = behind.url
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Gate)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            proxy.server_close()


def test_a_token_goes_with_every_request(gate: str, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    folder = _project(tmp_path / "project", gate)
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_TOKEN"):
        open_store(TrackingSettings(uri=gate), folder)
    swept = whosehand(folder, "sweep", "own.yaml", variables={"MLFLOW_TRACKING_TOKEN": TOKEN})
    assert swept.code == 0, swept
    assert "could not be tracked" not in swept.err
    agreed = whosehand(folder, "reconcile", "own", variables={"MLFLOW_TRACKING_TOKEN": TOKEN})
    assert agreed.code == 0, agreed
    assert _holds(folder, TOKEN) == []
    assert TOKEN not in swept.out + swept.err
