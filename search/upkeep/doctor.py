"""`whosehand doctor`: all checks, and those of the project itself: tracking store, sweeps, test
pages, data.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)

# isort: split
import mlflow
from alembic.script import ScriptDirectory
from rich.filesize import decimal
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from core.addresses import read_only
from core.corpora.resemblance import resembling_layout
from core.errors import LedgerError, LineStoreError, RetrievalError, SplitError, TrackingError, WhosehandError
from core.lines.store import LIST, LineStore
from core.retrieval.descriptor_index import DescriptorIndex
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.identification.kept_indexes import kept_indexes, read_origin, why_unused
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.lock import LOCK_NAME, look_at_lock
from search.ledger.trial import TrialState
from search.sweep.disk import measure_disk
from search.sweep.known_sweeps import project_tracking
from search.sweep.preparation import divide_corpus, read_corpus
from search.sweep.unseen_writers import searched_pages
from search.tracking.aliases import is_move_unfinished
from search.tracking.models import artifact_folder, local_folder
from search.tracking.project_place import find_displacement
from search.tracking.registry import registered_names, unfinished_promotions
from search.tracking.store import TrackingStore, greet_server, locate_store
from search.upkeep.machine_checks import (
    Finding,
    Level,
    Subject,
    check_disk,
    check_processor,
    check_servers,
    check_stray_files,
    check_versions,
    note,
    ok,
    problem,
)
from search.upkeep.moved_projects import find_moved_addresses

_GENERATED = "hands"
_NO_CORPORA = ("lines", "indexes")
_LOCK_PATIENCE_S = 1.0
_MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations"


def examine(workspace: Workspace, experiment: Experiment | None = None) -> list[Finding]:
    """Look at machine, store, sweeps and corpora; nothing is changed but line stores, which are
    built if they must be.

    Args:
        workspace: the project.
        experiment: whose corpus and tracking store are looked at; `None` for the project's own: the
            store of the sweep that was at work last.

    Raises:
        TrackingError: if the address of the store is wrong.
    """
    settings = experiment.tracking if experiment else project_tracking(workspace)
    store = locate_store(settings, workspace.root)
    subject = Subject(workspace, experiment, store)
    return [finding for topic, check in CHECKS.items() for finding in _run(topic, check, subject)]


def _run(topic: str, check: Callable[[Subject], Iterable[Finding]], subject: Subject) -> list[Finding]:
    """A check's findings; a check that fails is one too."""
    try:
        return list(check(subject))
    except (WhosehandError, OSError) as error:
        return [problem(topic, f"this could not be checked: {error}")]


def check_tracking(subject: Subject) -> Iterator[Finding]:
    """Open the store as far as it can be, and stop at the first thing that makes the rest
    meaningless.
    """
    store, database = subject.store, subject.store.database
    if database is not None and not database.exists():
        yield ok("tracking", f"no tracking store at {database} yet; the first sweep makes it")
        return
    if database is not None and (damage := _check_file(database)):
        yield damage
        return
    reached = _check_server(store) if store.is_server else _check_schema(subject)
    yield reached
    if reached.level is Level.OK:
        if database is not None:
            yield _check_addresses(subject)
            yield from _check_models(database)
        yield from _check_promotions(store)


def _check_server(store: TrackingStore) -> Finding:
    try:
        greet_server(store)
    except TrackingError as error:
        return problem("tracking", str(error))
    return ok("tracking", f"the server at {store.uri} answers")


def _check_file(database: Path) -> Finding | None:
    """What is wrong with the file, or `None`."""
    fix = "move it away; `whosehand reconcile SWEEP --apply` makes a sweep's records again from its ledger"
    try:
        with database.open("rb") as file:
            if file.read(16) not in (b"", b"SQLite format 3\x00"):
                return problem("tracking", f"{database} is not an SQLite database", fix)
        with closing(sqlite3.connect(database, timeout=_LOCK_PATIENCE_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            what = f"{database} has been locked by another process for more than {_LOCK_PATIENCE_S:.0f} s"
            return problem("tracking", what, f"end that process: `fuser {database}` names it")
        return problem("tracking", f"{database} cannot be written: {error}", "fix its permissions")
    except (sqlite3.DatabaseError, OSError) as error:
        return problem("tracking", f"{database} is damaged: {error}", fix)
    return None if said == "ok" else problem("tracking", f"{database} is damaged: {said}", fix)


def _check_schema(subject: Subject) -> Finding:
    shown, migrations = subject.store.uri, ScriptDirectory(str(_MIGRATIONS))
    try:
        engine = create_engine(subject.store.revealed_uri)
        with closing(engine.connect()) as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        if "alembic_version" in str(error):
            what = f"{shown} is a database, but not one of MLflow's"
            return problem("tracking", what, "name another in `tracking.uri`")
        what = f"{shown} cannot be reached: {str(error).splitlines()[0]}"
        return problem("tracking", what, "start it, or correct `tracking.uri`")
    if found == migrations.get_current_head():
        return ok("tracking", f"{shown} is whole; its schema is that of MLflow {mlflow.__version__}")
    if found in {revision.revision for revision in migrations.walk_revisions()}:
        what = f"{shown} has the schema {found} of an older MLflow than the installed {mlflow.__version__}"
        return problem("tracking", what, f"copy it to a safe place, then `mlflow db upgrade {shown}`")
    what = f"{shown} has the schema {found}, which MLflow {mlflow.__version__} does not know: a newer one made it"
    return problem("tracking", what, "install that newer MLflow, or name another store in `tracking.uri`")


def check_place(subject: Subject) -> Iterator[Finding]:
    """See whether the project is where it was, and the addresses in its database with it."""
    displaced = find_displacement(subject.workspace.root)
    if displaced is not None:
        choice = " --as moved` or ` --as copied" if displaced.how == "unknown" else ""
        yield problem("place", str(displaced), f"`whosehand doctor --apply{choice}` makes it whole, after a backup")


def _check_addresses(subject: Subject) -> Finding:
    moved = find_moved_addresses(subject.store, find_displacement(subject.workspace.root))
    if moved is None:
        return ok("addresses", f"files and models are where MLflow says, below {subject.store.artifact_root}")
    where = ", ".join(f"{old} (now {new})" for old, new in moved.moves.items())
    what = f"the project was moved or copied: MLflow's database points to {where}: {moved}"
    return problem("addresses", what, "`whosehand doctor --apply` rewrites them, after a backup")


def _check_models(database: Path) -> Iterator[Finding]:
    with closing(read_only(database)) as connection:
        found = connection.execute(
            "SELECT name, artifact_location FROM logged_models WHERE lifecycle_stage = 'active' AND status = 2"
        ).fetchall()
    places = [(name, place) for name, location in found if (place := local_folder(location)) is not None]
    gone = [name for name, place in places if not (place / "MLmodel").is_file()]
    if gone:
        shown = ", ".join(gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        what = f"the files of {len(gone)} of {len(places)} models are gone: {shown}"
        yield problem("models", what, "`whosehand reconcile SWEEP` takes them from the sweep's folder")


def _check_promotions(store: TrackingStore) -> Iterator[Finding]:
    """Promotions and rollbacks that stopped half way; one that runs at this moment looks the
    same.
    """
    for version in unfinished_promotions(store):
        what = f"version {version.version} of {version.name} was registered, but its promotion did not end, or runs now"
        sweep = version.tags.get("sweep", "SWEEP")
        yield note("promotions", what, f"`whosehand promote {sweep}` resumes it")
    for name in registered_names(store):
        if is_move_unfinished(store, name):
            what = f"the champion of {name} was being changed when that was interrupted"
            yield note("promotions", what, f"`whosehand promote SWEEP` or `whosehand rollback --model {name}` ends it")


def check_sweeps(subject: Subject) -> Iterator[Finding]:
    """Read every ledger, and look at every lock."""
    if not subject.sweep_folders:
        yield ok("sweeps", "none yet")
    for folder in subject.sweep_folders:
        yield from _check_sweep(subject, folder)


def _check_sweep(subject: Subject, folder: Path) -> Iterator[Finding]:
    name, lock = subject.name_of(folder), look_at_lock(folder / LOCK_NAME)
    if lock.is_of_dead_process:
        what = f"{name} is locked by {lock.holder}, which is gone; something that it started still holds the lock"
        yield problem("locks", what, f"`fuser {folder / LOCK_NAME}` names it: end it")
    try:
        state = read_ledger(folder)
    except LedgerError as error:
        yield problem("ledgers", str(error))
        return
    n_final = sum(trial.state.is_final for trial in state.trials.values())
    artifacts = artifact_folder(subject.store, folder.name) if "/" not in name else None
    what = f"{name}: {n_final} of {len(state.trials)} trials have ended"
    what += f", {decimal(measure_disk(folder, artifacts).total_bytes)}"
    if lock.is_held:
        yield ok("sweeps", f"{what}; running, by {lock.holder}")
        return
    content = (folder / LEDGER_NAME).read_bytes()
    if torn := len(content) - (content.rfind(b"\n") + 1):
        line = f"{name}: the last line of its ledger is torn ({torn} bytes); nobody acted on it"
        yield note("ledgers", line, "the next launch cuts it off")
    if state.launches and state.closed is None:
        n = state.count(TrialState.RUNNING)
        what += f"; its driver was killed ({lock.holder or 'not named'}), {n} trial{'' if n == 1 else 's'} can resume"
        yield note("sweeps", what, "launch it again, or `whosehand reconcile` closes its records as they are")
    else:
        yield ok("sweeps", f"{what}; {state.closed.status if state.closed else 'not begun'}")


def check_access_log(subject: Subject) -> Iterator[Finding]:
    """Read every line: a promotion refuses to count with a damaged one."""
    path = subject.workspace.access_log
    if not path.exists():
        yield ok("test pages", "never opened in this project")
        return
    counts: Counter[str] = Counter()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            counts[json.loads(line)["test_hash"]] += 1
        except (ValueError, KeyError, TypeError):
            what = f"line {number} of {path} records no access to test pages: {line[:60]!r}"
            yield problem("test pages", what, "correct or remove that line by hand; promotion needs the count")
    n, n_sets, most = counts.total(), len(counts), max(counts.values(), default=0)
    sets = f"{n_sets} set{'' if n_sets == 1 else 's'} of test pages"
    yield ok("test pages", f"{sets} opened {n} time{'' if n == 1 else 's'}, at most {most} of them for one set")


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
        what = (
            f"{report.corpus}: {report.n_found:,} images found, {report.n_used:,} used, {report.n_not_chosen:,} not "
            f"chosen, {report.n_unusable:,} unusable; {len(corpus.store):,} lines, all as they were written"
        )
        yield ok("corpus", what)
        divided = divide_corpus(corpus, experiment)
        manifest = divided.manifest
    except WhosehandError as error:
        yield problem("corpus", str(error))
        return
    if report.n_unusable:
        what = f"{report.n_unusable:,} image{'' if report.n_unusable == 1 else 's'} cannot be used"
        yield note("corpus", what, "`whosehand data stats` lists them")
    counts = f"{len(manifest.train):,} + {len(manifest.validation):,} + {len(manifest.test):,} images"
    if not manifest.has_unseen_writers:
        yield ok("split", f"{counts} of {len(manifest.writer_ids)} writers, hash {manifest.hash[:12]}")
        return
    try:
        searched = "; ".join(pages.in_words() for pages in searched_pages(experiment, divided))
    except SplitError as error:
        yield problem("split", str(error))
        return
    what = f"{counts}, by writer: {len(manifest.writer_ids)} to train on; {searched}; hash {manifest.hash[:12]}"
    yield ok("split", what)


def _check_folder(folder: Path) -> Finding:
    if folder.name == _GENERATED:
        n = sum(path.is_dir() for path in folder.iterdir())
        return ok("corpora", f"{folder.name}: generated handwriting, {n} cop{'y' if n == 1 else 'ies'}")
    try:
        found = resembling_layout(folder)
    except (OSError, WhosehandError) as error:
        return problem("corpora", f"{folder} cannot be read: {error}", "fix its permissions")
    layout = "no layout is recognised" if found is None else f"looks like the layout {found.layout}"
    return ok("corpora", f"{folder.name}: {layout}")


def _check_lines(folder: Path) -> Finding:
    try:
        store = LineStore.open(folder)
        store.verify()
    except LineStoreError as error:
        return problem("lines", str(error))
    return ok("lines", f"{folder.name}: {len(store):,} lines, all as they were written")


def check_indexes(subject: Subject) -> Iterator[Finding]:
    """Read every index of pages that is kept here, and see whether its folder and model are
    there.
    """
    for path in kept_indexes(subject.workspace.indexes):
        reason = why_unused(path)
        if reason is not None:
            yield note("indexes", f"{path.name} is one of those {reason}", "`whosehand gc --apply` deletes it")
            continue
        try:
            index = DescriptorIndex.open(path)
            index.verify()
        except RetrievalError as error:
            yield problem("indexes", str(error))
            continue
        origin = read_origin(path)
        where = origin.archive if origin is not None else path.name
        yield ok("indexes", f"{where}: {len(index):,} pages, all as they were written")


CHECKS: Mapping[str, Callable[[Subject], Iterable[Finding]]] = {
    "versions": check_versions,
    "processor": check_processor,
    "disk": check_disk,
    "place": check_place,
    "tracking": check_tracking,
    "stray files": check_stray_files,
    "servers": check_servers,
    "sweeps": check_sweeps,
    "test pages": check_access_log,
    "corpora": check_corpora,
    "indexes": check_indexes,
}
"""A check for each topic. A new one is a function `check_...` here or in `machine_checks`, and a
line in this table.
"""
