"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME
from search.tracking.store import TrackingStore


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # nothing fails, but somebody may wonder
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        level: how bad it is.
        topic: what was looked at, one or two words.
        text: what is so.
        mend: what to do about it; empty if nothing is to be done.
    """

    level: Level
    topic: str
    text: str
    mend: str = ""


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Attributes:
        workspace: the project.
        experiment: of the user's interest; `None` for the project as a whole.
        store: where the tracking store is, or should be.
    """

    workspace: Workspace
    experiment: Experiment | None
    store: TrackingStore

    @property
    def sweep_folders(self) -> list[Path]:
        """Folders of all sweeps and refits with a ledger."""
        root = self.workspace.sweep("x").parent
        return sorted(path.parent for pattern in ("*", "*/refits/*") for path in root.glob(f"{pattern}/{LEDGER_NAME}"))

    def name_of(self, folder: Path) -> str:
        """A sweep's folder in short, such as `tiny` or `tiny/refits/trial-003-30-epochs`."""
        return folder.relative_to(self.workspace.sweep("x").parent).as_posix()
