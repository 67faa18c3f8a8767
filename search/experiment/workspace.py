"""Where a project keeps its files: everything lies below one folder, the current one by default."""

from dataclasses import dataclass
from pathlib import Path

from search.ledger.access_log import OPENINGS_FILE


@dataclass(frozen=True)
class Workspace:
    """The folders of a project.

    Attributes:
        root: the project's folder; relative paths of an experiment file start here.
    """

    root: Path

    @property
    def generated(self) -> Path:
        """Corpora that were generated or fetched."""
        return self.root / "data"

    @property
    def line_stores(self) -> Path:
        """Line stores, one folder each, shared by all sweeps."""
        return self.root / "data" / "lines"

    @property
    def openings_file(self) -> Path:
        """When sealed test pages were opened, a line each."""
        return self.root / "mlruns" / OPENINGS_FILE

    def sweep(self, name: str) -> Path:
        """The ledger, split, checkpoints and files of a sweep."""
        return self.root / "mlruns" / "sweeps" / name
