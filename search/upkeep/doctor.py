"""All checks, one after the other.

The corpus of an experiment, or what lies in `data/`: readable, and its line store as it was written.

Ledgers and locks of the project's sweeps.

The tracking store: there, whole, of this MLflow's schema, and with its files where it says they are.

The file that counts how often test pages were opened.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rich.filesize import decimal

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)
from core.corpora.resemblance import resembling_layout
from core.errors import LedgerError, LineStoreError, WhosehandError
from core.lines.store import LIST, LineStore
from search.experiment.experiment import Experiment
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.lock import LOCK_NAME, look_at_lock
from search.ledger.trial import TrialState
from search.sweep.disk import measure_disk
from search.sweep.preparation import divide_corpus, read_corpus
from search.tracking.models import artifact_folder
from search.upkeep.machine_checks import Finding, Level, Subject

# isort: split
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import mlflow
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from core.errors import TrackingError
from search.experiment.workspace import Workspace
from search.tracking.models import local_folder
from search.tracking.store import locate_store, open_store
from search.upkeep.machine_checks import check_disk, check_processor, check_servers, check_stray_files, check_versions
from search.upkeep.moved_projects import database_of, find_moved_addresses

GENERATED = "hands"
_NO_CORPORA = ("lines",)


def check_corpora(subject: Subject) -> Iterator[Finding]:
    """Read the experiment's corpus as a sweep would; without one, look at what is there."""
    if subject.experiment is not None:
        yield from _check_corpus(subject, subject.experiment)
        return
    for folder in sorted(subject.workspace.generated.glob("*")):
        if folder.is_dir() and folder.name not in _NO_CORPORA and not folder.name.startswith((".", "benchmark-")):
            yield _check_folder(folder)
    for path in sorted(subject.workspace.line_stores.glob(f"*/{LIST}")):
        yield _check_lines(path.parent)


def _check_corpus(subject: Subject, experiment: Experiment) -> Iterator[Finding]:
    try:
        corpus = read_corpus(experiment, subject.workspace)
        corpus.store.verify()
        report = corpus.corpus_report
        text = (
            f"{report.corpus}: {report.n_found:,} images found, {report.n_used:,} used, {report.n_not_chosen:,} not "
            f"chosen, {report.n_unusable:,} unusable; {len(corpus.store):,} lines, all as they were written"
        )
        yield Finding(Level.OK, "corpus", text)
        manifest = divide_corpus(corpus, experiment).manifest
    except WhosehandError as error:
        yield Finding(Level.PROBLEM, "corpus", str(error))
        return
    if report.n_unusable:
        text = f"{report.n_unusable:,} images cannot be used"
        yield Finding(Level.NOTE, "corpus", text, "`whosehand data stats` lists them")
    counts = f"{len(manifest.train):,} + {len(manifest.validation):,} + {len(manifest.test):,} images"
    yield Finding(Level.OK, "split", f"{counts} of {len(manifest.writer_ids)} writers, hash {manifest.hash[:12]}")


def _check_folder(folder: Path) -> Finding:
    if folder.name == GENERATED:
        n_corpora = sum(path.is_dir() for path in folder.iterdir())
        return Finding(Level.OK, "corpora", f"{folder.name}: generated handwriting, {n_corpora} of its settings")
    try:
        found = resembling_layout(folder)
    except (OSError, WhosehandError) as error:
        return Finding(Level.PROBLEM, "corpora", f"{folder} cannot be read: {error}", "mend its permissions")
    if found is None:
        return Finding(Level.OK, "corpora", f"{folder.name}: of no layout that is told by its look")
    return Finding(Level.OK, "corpora", f"{folder.name}: looks like the layout {found.layout}")


def _check_lines(folder: Path) -> Finding:
    try:
        store = LineStore.open(folder)
        store.verify()
    except LineStoreError as error:
        return Finding(Level.PROBLEM, "lines", str(error))
    return Finding(Level.OK, "lines", f"{folder.name}: {len(store):,} lines, all as they were written")


def check_sweeps(subject: Subject) -> Iterator[Finding]:
    """Read every ledger, and look at every lock."""
    folders = subject.sweep_folders
    if not folders:
        yield Finding(Level.OK, "sweeps", "none yet")
    for folder in folders:
        yield from _check_sweep(subject, folder)


def _check_sweep(subject: Subject, folder: Path) -> Iterator[Finding]:
    name = subject.name_of(folder)
    lock = look_at_lock(folder / LOCK_NAME)
    if lock.is_of_dead_process:
        text = f"{name} is locked by {lock.holder}, which is gone; something that it started holds the lock still"
        yield Finding(Level.PROBLEM, "locks", text, f"`fuser {folder / LOCK_NAME}` names it: end it")
    try:
        state = read_ledger(folder)
    except LedgerError as error:
        yield Finding(Level.PROBLEM, "ledgers", str(error))
        return
    n_final = sum(trial.state.is_final for trial in state.trials.values())
    artifacts = artifact_folder(subject.store, folder.name) if "/" not in name else None
    takes = decimal(measure_disk(folder, artifacts).total_bytes)
    text = f"{name}: {n_final} of {len(state.trials)} trials have ended, {takes}"
    if lock.is_held:
        yield Finding(Level.OK, "sweeps", f"{text}; running, by {lock.holder}")
        return
    torn = _torn_bytes(folder / LEDGER_NAME)
    if torn:
        what = f"{name}: the last line of its ledger is torn ({torn} bytes); nobody acted on it"
        yield Finding(Level.NOTE, "ledgers", what, "the next launch cuts it off")
    if state.launches and state.closed is None:
        n_running = state.count(TrialState.RUNNING)
        what = f"{text}; its driver was killed ({lock.holder or 'not named'}), {n_running} trials can go on"
        fix = "launch it again, or `whosehand reconcile` closes its records as they are"
        yield Finding(Level.NOTE, "sweeps", what, fix)
    else:
        status = state.closed.status if state.closed else "not begun"
        yield Finding(Level.OK, "sweeps", f"{text}; {status}")


def _torn_bytes(path: Path) -> int:
    content = path.read_bytes()
    return len(content) - (content.rfind(b"\n") + 1)


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
    fix = "move it away; `whosehand reconcile SWEEP --apply` makes a sweep's records anew from its ledger"
    try:
        with database.open("rb") as file:
            if file.read(16) not in (b"", b"SQLite format 3\x00"):
                return Finding(Level.PROBLEM, _TOPIC, f"{database} is no SQLite database", fix)
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
        return Finding(Level.PROBLEM, _TOPIC, f"{database} is damaged: {error}", fix)
    if said != "ok":
        return Finding(Level.PROBLEM, _TOPIC, f"{database} is damaged: {said}", fix)
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


def check_access_log(subject: Subject) -> Iterator[Finding]:
    """Read every line: a promotion refuses to count with a damaged one."""
    path = subject.workspace.access_log
    if not path.exists():
        yield Finding(Level.OK, "test pages", "never opened in this project")
        return
    counts: Counter[str] = Counter()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            counts[json.loads(line)["test_hash"]] += 1
        except (ValueError, KeyError, TypeError):
            text = f"line {number} of {path} is no opening: {line[:60]!r}"
            yield Finding(
                Level.PROBLEM, "test pages", text, "mend or remove that line by hand; promotion needs the count"
            )
    most = max(counts.values(), default=0)
    text = f"{counts.total()} openings of {len(counts)} sets of test pages, at most {most} of one"
    yield Finding(Level.OK, "test pages", text)


CHECKS: Mapping[str, Callable[[Subject], Iterable[Finding]]] = {
    "versions": check_versions,
    "processor": check_processor,
    "disk": check_disk,
    "tracking": check_tracking,
    "stray files": check_stray_files,
    "servers": check_servers,
    "sweeps": check_sweeps,
    "test pages": check_access_log,
    "corpora": check_corpora,
}
"""A check a topic. A new one is a file and a line here."""


def examine(workspace: Workspace, experiment: Experiment | None = None) -> list[Finding]:
    """Look at machine, store, sweeps and corpora; nothing is changed but line stores, which are built if they must be.

    Args:
        workspace: the project.
        experiment: whose corpus and tracking store are looked at; `None` for the project's own.

    Raises:
        TrackingError: if the address of the store is wrong.
    """
    store = locate_store(experiment.tracking if experiment else None, workspace.root)
    subject = Subject(workspace, experiment, store)
    return [finding for topic, check in CHECKS.items() for finding in _run(topic, check, subject)]


def _run(topic: str, check: Callable[[Subject], Iterable[Finding]], subject: Subject) -> list[Finding]:
    """A check's findings; that it cannot be made is one too."""
    try:
        return list(check(subject))
    except (WhosehandError, OSError) as error:
        return [Finding(Level.PROBLEM, topic, f"this could not be looked at: {error}")]
