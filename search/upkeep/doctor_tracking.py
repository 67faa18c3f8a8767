"""The tracking store: there, whole, of this MLflow's schema, and with its files where it says they are."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which reads its switches when it is imported)

# isort: split
import mlflow
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from core.errors import TrackingError
from search.tracking.model_folder import local_folder
from search.tracking.store import open_store
from search.upkeep.machine_checks import Finding, Level, Subject
from search.upkeep.moved_projects import database_of, find_moved_addresses

_TOPIC = "tracking"
_LOCK_PATIENCE_S = 1.0
_MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations"


def check_tracking(subject: Subject) -> Iterator[Finding]:
    """Open the store as far as it can be, and stop at the first thing that makes the rest meaningless."""
    database = database_of(subject.store)
    if subject.store.is_server:
        yield _check_server(subject)
    elif database is None:
        yield _check_schema(subject)
    elif not database.exists():
        text = f"no tracking store at {database} yet; the first sweep makes it"
        yield Finding(Level.OK, _TOPIC, text)
    else:
        damage = _check_file(database)
        if damage is not None:
            yield damage
            return
        schema = _check_schema(subject)
        yield schema
        if schema.level is Level.OK:
            yield from _check_addresses(subject)
            yield from _check_models(database)


def _check_server(subject: Subject) -> Finding:
    experiment = subject.experiment
    try:
        open_store(experiment.tracking if experiment else None, subject.workspace.root)
    except TrackingError as error:
        return Finding(Level.PROBLEM, _TOPIC, str(error))
    return Finding(Level.OK, _TOPIC, f"the server at {subject.store.shown_uri} answers")


def _check_file(database: Path) -> Finding | None:
    """What is wrong with the file, or `None`."""
    mend = "move it away; `whosehand reconcile SWEEP --apply` makes a sweep's records anew from its ledger"
    try:
        with database.open("rb") as file:
            if file.read(16) not in (b"", b"SQLite format 3\x00"):
                return Finding(Level.PROBLEM, _TOPIC, f"{database} is no SQLite database", mend)
        with closing(sqlite3.connect(database, timeout=_LOCK_PATIENCE_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            text = f"{database} is locked by another process for longer than {_LOCK_PATIENCE_S:.0f} s"
            return Finding(Level.PROBLEM, _TOPIC, text, f"end that process: `fuser {database}` names it")
        return Finding(Level.PROBLEM, _TOPIC, f"{database} cannot be written: {error}", "mend its permissions")
    except (sqlite3.DatabaseError, OSError) as error:
        return Finding(Level.PROBLEM, _TOPIC, f"{database} is damaged: {error}", mend)
    if said != "ok":
        return Finding(Level.PROBLEM, _TOPIC, f"{database} is damaged: {said}", mend)
    return None


def _check_schema(subject: Subject) -> Finding:
    shown, migrations = subject.store.shown_uri, ScriptDirectory(str(_MIGRATIONS))
    try:
        engine = create_engine(subject.store.uri)
        with closing(engine.connect()) as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        if "alembic_version" in str(error):
            return Finding(
                Level.PROBLEM, _TOPIC, f"{shown} is a database, but none of MLflow's", "name another in `tracking.uri`"
            )
        reason = str(error).splitlines()[0]
        return Finding(
            Level.PROBLEM, _TOPIC, f"{shown} cannot be reached: {reason}", "start it, or mend `tracking.uri`"
        )
    head = migrations.get_current_head()
    if found == head:
        return Finding(Level.OK, _TOPIC, f"{shown} is whole, its schema is MLflow {mlflow.__version__}'s")
    if found in {revision.revision for revision in migrations.walk_revisions()}:
        text_ = f"{shown} has the schema {found} of an older MLflow than the installed {mlflow.__version__}"
        return Finding(Level.PROBLEM, _TOPIC, text_, f"copy it to a safe place, then `mlflow db upgrade {shown}`")
    text_ = f"{shown} has the schema {found}, which MLflow {mlflow.__version__} does not know: a newer one made it"
    return Finding(Level.PROBLEM, _TOPIC, text_, "install that newer MLflow, or name another store in `tracking.uri`")


def _check_addresses(subject: Subject) -> Iterator[Finding]:
    moved = find_moved_addresses(subject.store)
    if moved is None:
        yield Finding(
            Level.OK, "addresses", f"files and models are where MLflow says, below {subject.store.artifact_root}"
        )
    else:
        where = ", ".join(f"{old} (now {new})" for old, new in moved.moves.items())
        text_ = f"the project was moved or copied: MLflow's database points to {where}: {moved}"
        yield Finding(Level.PROBLEM, "addresses", text_, "`whosehand doctor --mend` rewrites them, after a backup")


def _check_models(database: Path) -> Iterator[Finding]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT name, artifact_location FROM logged_models WHERE lifecycle_stage = 'active' AND status = 2"
        ).fetchall()
    places = [(name, place) for name, location in found if (place := local_folder(location)) is not None]
    gone = [name for name, place in places if not (place / "MLmodel").is_file()]
    if gone:
        shown = ", ".join(gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        text_ = f"the files of {len(gone)} of {len(places)} models are gone: {shown}"
        yield Finding(Level.PROBLEM, "models", text_, "`whosehand reconcile SWEEP` takes them from the sweep's folder")
