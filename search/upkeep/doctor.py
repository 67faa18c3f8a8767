"""All checks, one after the other."""

from collections.abc import Callable, Iterable, Mapping

from core.errors import WhosehandError
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.tracking.store import locate_store
from search.upkeep.doctor_corpora import check_corpora
from search.upkeep.doctor_disk import check_disk
from search.upkeep.doctor_openings import check_openings
from search.upkeep.doctor_processor import check_processor
from search.upkeep.doctor_servers import check_servers
from search.upkeep.doctor_stray_files import check_stray_files
from search.upkeep.doctor_sweeps import check_sweeps
from search.upkeep.doctor_tracking import check_tracking
from search.upkeep.doctor_versions import check_versions
from search.upkeep.machine_checks import Finding, Level, Subject

CHECKS: Mapping[str, Callable[[Subject], Iterable[Finding]]] = {
    "versions": check_versions,
    "processor": check_processor,
    "disk": check_disk,
    "tracking": check_tracking,
    "stray files": check_stray_files,
    "servers": check_servers,
    "sweeps": check_sweeps,
    "test pages": check_openings,
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
