"""The tracking store: where it is, made when it is not there yet, and reachable or a clear error.

MLflow answers a search in pages; nobody wants to miss the second one.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import requests
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from core.addresses import file_url, sqlite_path, sqlite_url
from core.errors import TrackingError
from search.experiment.secret_address import reveal
from search.experiment.settings import SERVER_SCHEMES, TrackingSettings
from search.tracking.project_place import take_place

CREATION_TIMEOUT_S = 120.0  # creating a SQLite store took 1.3 s; a slow network disk may need far more
SERVER_TIMEOUT_S = 10.0
_REFUSED = (401, 403)
_WHO = (
    "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to what it knows you by, "
    "and run the same command again."
)


@dataclass(frozen=True)
class TrackingStore:
    """A store that exists and answers.

    Attributes:
        uri: its address, with an absolute path for SQLite and without its password.
        artifact_root: folder or address for files and models; `None` where a tracking server
            decides.
    """

    uri: str
    artifact_root: str | None

    @property
    def revealed_uri(self) -> str:
        """The address with its password, for what opens the store and nothing else.

        Raises:
            ConfigError: names the environment variable that is missing.
        """
        return reveal(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether the store is behind a tracking server."""
        return self.uri.split("://", 1)[0] in SERVER_SCHEMES

    @property
    def database(self) -> Path | None:
        """The file of a SQLite store; `None` for other stores."""
        return sqlite_path(self.uri)

    def client(self) -> MlflowClient:
        """A client for tracking and registry of this store, whatever MLflow's global addresses
        are.
        """
        uri = self.revealed_uri
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    def artifact_location(self, experiment_name: str) -> str | None:
        """Where a new experiment keeps its files: a folder of its own that carries its name."""
        if self.artifact_root is None:
            return None
        folder = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in experiment_name)
        return _addressed(f"{self.artifact_root.rstrip('/')}/{folder}")


def open_store(settings: TrackingSettings | None = None, root: Path | None = None) -> TrackingStore:
    """Find the tracking store, make it if it is a database that is still empty, and see that it
    answers.

    It also becomes MLflow's global address for this process: MLflow's registry looks up a logged
    model there, and nowhere else, when a version of it is registered.

    Args:
        settings: the `tracking` part of an experiment; all defaults where left out.
        root: folder that relative paths start from; the current folder where left out.

    Raises:
        TrackingError: if the address is wrong, the folder cannot be written, the server is away,
            the database is not one of this MLflow's, or the project was moved or copied.
    """
    store = locate_store(settings, root)
    take_place((root or Path.cwd()).absolute())
    if store.is_server:
        greet_server(store)
    else:
        _create_database(store)
    mlflow.set_tracking_uri(store.revealed_uri)
    mlflow.set_registry_uri(store.revealed_uri)
    return store


def locate_store(settings: TrackingSettings | None = None, root: Path | None = None) -> TrackingStore:
    """Say where the tracking store is, whether or not there is one; nothing is made or asked.

    Args:
        settings: the `tracking` part of an experiment; all defaults where left out.
        root: folder that relative paths start from; the current folder where left out.

    Raises:
        TrackingError: if the address is wrong.
    """
    settings, root = settings or TrackingSettings(), (root or Path.cwd()).absolute()
    uri = settings.uri or sqlite_url(root / "mlruns" / "mlflow.db")
    scheme = uri.split("://", 1)[0]
    if scheme in SERVER_SCHEMES:
        return TrackingStore(uri, settings.artifacts)
    if scheme.split("+")[0] != "sqlite":
        if settings.artifacts is None:
            raise TrackingError(
                f"With the database {uri} the place for artifacts must be said, but `tracking.artifacts` is not set."
            )
        return TrackingStore(uri, _absolute(settings.artifacts, root))
    named = sqlite_path(uri)
    if named is None:
        raise TrackingError(f"A SQLite address is `sqlite:///path/to/mlflow.db`, but got {uri!r}.")
    database = root / named
    artifacts = settings.artifacts or str(database.parent / "artifacts")
    return TrackingStore(sqlite_url(database), _absolute(artifacts, root))


def tracked_experiments(store: TrackingStore) -> tuple[str, ...]:
    """Names of the store's experiments that hold sweeps, the latest first; MLflow's own `Default`
    is left out.
    """
    with tracking_errors("list the experiments", store):
        found = store.client().search_experiments(order_by=["last_update_time DESC"])
    return tuple(experiment.name for experiment in found if experiment.experiment_id != "0")


def greet_server(store: TrackingStore) -> None:
    """See that an MLflow server answers, and lets us in.

    Raises:
        TrackingError: if none does, or it does not know who we are.
    """
    try:
        answer = requests.get(f"{store.revealed_uri}/health", timeout=SERVER_TIMEOUT_S)
        if answer.ok or answer.status_code in _REFUSED:
            # A server's `health` asks nobody who he is, a proxy's everybody; this says who we are.
            store.client().search_experiments(max_results=1)
    except requests.RequestException as error:
        raise TrackingError(
            f"No MLflow server answers at {store.uri} ({type(error).__name__}). Start it, correct `tracking.uri`, "
            "or leave it out for a store in this folder."
        ) from error
    except MlflowException as error:
        if error.get_http_status_code() not in _REFUSED and not any(f"error code {n}" in str(error) for n in _REFUSED):
            raise TrackingError(f"The MLflow server at {store.uri} cannot be used: {_first_line(error)}") from error
        raise TrackingError(f"{store.uri} does not let us in. {_WHO}") from error
    if not answer.ok and answer.status_code not in _REFUSED:
        raise TrackingError(
            f"{store.uri} answers with status {answer.status_code} where an MLflow server says OK. "
            "Is `tracking.uri` right?"
        )


@contextmanager
def tracking_errors(action: str, store: TrackingStore) -> Iterator[None]:
    """Turn what MLflow and its database raise into a TrackingError that says what could not be
    done.

    Args:
        action: what is tried, to go on from `cannot`, such as "record trial 7".
        store: named in the message.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, requests.RequestException, OSError) as error:
        reason = _first_line(error)
        raise TrackingError(
            f"Cannot {action} in the tracking store {store.uri}: {reason} "
            "See that it can be reached and written, then run the same command again: what a sweep has done is in its "
            "ledger."
        ) from error


def _absolute(artifacts: str, root: Path) -> str:
    return artifacts if "://" in artifacts else str(root / artifacts)


def _create_database(store: TrackingStore) -> None:
    database, artifacts = store.database, _addressed(str(store.artifact_root))
    try:
        if database is None or _is_read_only(database):
            SqlAlchemyStore(store.revealed_uri, artifacts)
            return
        database.parent.mkdir(parents=True, exist_ok=True)
        Path(str(store.artifact_root)).mkdir(parents=True, exist_ok=True)
        _refuse_foreign_file(database)
        # Two processes that create a fresh store at once would run the same migrations and crash.
        with FileLock(f"{database}.lock", timeout=CREATION_TIMEOUT_S):
            # Made with our artifact root, or MLflow's `Default` experiment would write to
            # ./mlruns/0.
            SqlAlchemyStore(store.revealed_uri, artifacts)
    except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise TrackingError(
            f"The tracking store needs a folder that can be written, but {error.filename}: {error.strerror}. "
            "Fix its permissions, or name another place with `tracking.uri` in the experiment file."
        ) from error
    except Timeout as error:
        raise TrackingError(
            f"Another process has been creating {database} for {CREATION_TIMEOUT_S:.0f} s; "
            f"if none is running, delete {database}.lock and try again."
        ) from error
    except (ImportError, ArgumentError) as error:
        raise TrackingError(f"The address {store.uri} cannot be used: {_first_line(error)}") from error
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise TrackingError(_explain(error, store.uri)) from error


def _addressed(artifacts: str) -> str:
    """As MLflow wants it, which takes `%20` in a plain path for a blank."""
    return artifacts if "://" in artifacts else file_url(Path(artifacts))


def _is_read_only(database: Path) -> bool:
    """Whether there is a store that may be read and not written, as on a backup: nothing is to be
    made there.
    """
    is_there = database.is_file() and database.stat().st_size > 0
    return is_there and not (os.access(database, os.W_OK) and os.access(database.parent, os.W_OK))


def _refuse_foreign_file(database: Path) -> None:
    if not database.exists() or database.stat().st_size == 0:
        return
    with database.open("rb") as file:
        if file.read(16) != b"SQLite format 3\x00":
            raise TrackingError(f"A tracking store is a SQLite database, but {database} is another kind of file.")


def _explain(error: Exception, uri: str) -> str:
    reason = _first_line(error)
    if "out-of-date database schema" in reason:
        return (
            f"The database {uri} was made by another version of MLflow than the installed {mlflow.__version__}. "
            f"Copy it to a safe place, then run `mlflow db upgrade {uri}`."
        )
    if "readonly" in reason or "unable to open" in reason:
        return f"The tracking database must be writable, but {uri} is not ({reason}) Fix its permissions."
    return f"The tracking store {uri} cannot be opened: {reason}"


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if line.endswith(".") else f"{line}."


def all_pages(search: Callable[[str | None], Any]) -> list[Any]:
    """Everything that a search finds; see `each_of_all_pages`."""
    return list(each_of_all_pages(search))


def each_of_all_pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """Everything that a search finds, one page of it in memory at a time.

    Args:
        search: gives the page of MLflow's entities that a token stands for, the first one for
            `None`.
    """
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return
