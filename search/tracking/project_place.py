"""Which project this is, and where it was at work last: `mlruns/project.json` tells a project that
stayed from one that was moved, and both from a copy.

MLflow keeps addresses of files absolute. In a moved project they lead nowhere; in a copy they lead
into the original, which must not be written by it.
"""

import json
import os
import secrets
import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from core.addresses import file_path, read_only
from core.durable_files import write_atomically
from core.errors import TrackingError

PLACE_FILE = "project.json"
Displaced = Literal["moved", "copied", "unknown"]


@dataclass(frozen=True)
class ProjectPlace:
    """A project's identity, and its place.

    Attributes:
        project_id: stays when the project is moved; a copy has one of its own.
        root: the project's folder when it was at work last, absolute.
        host: the machine that it was on.
        shared_sweeps: of a copy, the sweeps whose records are in a store that the original uses,
            too.
    """

    project_id: str
    root: str
    host: str
    shared_sweeps: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Displacement:
    """A project that is found elsewhere than it was at work last.

    Attributes:
        was: its place then.
        root: where it is now.
        how: `unknown` where that cannot be told from here.
    """

    was: ProjectPlace
    root: Path
    how: Displaced

    def __str__(self) -> str:
        """What happened, in words."""
        if self.how == "copied":
            return f"this project, in {self.root}, is a copy of the one in {self.was.root}"
        how = {"moved": "was moved", "unknown": "was moved or copied"}[self.how]
        return f"this project {how} from {self.was.root} to {self.root}"


_PLACE: TypeAdapter[ProjectPlace] = TypeAdapter(ProjectPlace)
_FIRST_EXPERIMENT = (
    "SELECT artifact_location FROM experiments WHERE experiment_id = 0 "
    "AND EXISTS (SELECT 1 FROM experiments WHERE experiment_id <> 0)"
)


def read_place(root: Path) -> ProjectPlace | None:
    """The place that is written down; of a project of version 0.1, which wrote none down, the one
    that its database knows; `None` if there is neither.

    Raises:
        TrackingError: if the file is damaged.
    """
    path = _file(root)
    if path.exists():
        try:
            return _PLACE.validate_json(path.read_bytes())
        except ValidationError as error:
            raise TrackingError(
                f"{path} says where the project was at work last, but it cannot be read ({error.errors()[0]['msg']}). "
                "Delete it, then run `whosehand doctor`."
            ) from error
    if (root / "mlruns" / "sweeps").is_dir() and (old := _place_of_first_version(root)) is not None:
        return ProjectPlace("", old, socket.gethostname())
    return None


def write_place(root: Path, project_id: str = "", shared_sweeps: tuple[str, ...] = ()) -> ProjectPlace:
    """Write down that the project is here.

    Args:
        root: the project's folder.
        project_id: that it keeps; a new one where left out.
        shared_sweeps: see `ProjectPlace`.
    """
    place = ProjectPlace(project_id or secrets.token_hex(8), str(root.absolute()), socket.gethostname(), shared_sweeps)
    write_atomically(_file(root), json.dumps(asdict(place), indent=1).encode())
    return place


def find_displacement(root: Path) -> Displacement | None:
    """Say whether the project is elsewhere than it was; `None` if it is where it was, or never was
    at work.

    Raises:
        TrackingError: if its file is damaged.
    """
    root, was = root.absolute(), read_place(root)
    if was is None or was.root == str(root) or _is_same_folder(Path(was.root), root):
        return None
    return Displacement(was, root, _how(was))


def take_place(root: Path) -> None:
    """See that the project is where it was, before it is worked on; the first time, write its place
    down.

    Raises:
        TrackingError: if it is elsewhere.
    """
    displaced = find_displacement(root)
    # What can only be read, such as a backup, harms nobody.
    if displaced is not None and os.access(root / "mlruns", os.W_OK):
        choice = " --as moved` or ` --as copied" if displaced.how == "unknown" else ""
        raise TrackingError(
            f"MLflow keeps addresses of files absolute, but {displaced}. "
            f"Run `whosehand doctor --apply{choice}` here first: it makes the addresses those of this folder."
        )
    if displaced is None and (root / "mlruns").is_dir() and not _file(root).exists():
        with suppress(OSError):  # a project that can only be read
            write_place(root)


def refuse_shared(root: Path, sweep: str) -> None:
    """See that a copy's sweep is recorded in a store of the copy's own.

    Raises:
        TrackingError: if the original writes there, too.
    """
    place = read_place(root)
    if place is not None and sweep in place.shared_sweeps:
        raise TrackingError(
            f"The sweep {sweep!r} of this copied project is recorded in a store that the original uses, too: both "
            "would write to the same runs. Begin a changed experiment as a sweep of its own with --fork NEW_NAME, or "
            "give the experiment file another `name`."
        )


def _file(root: Path) -> Path:
    return root / "mlruns" / PLACE_FILE


def _how(was: ProjectPlace) -> Displaced:
    there = Path(was.root)
    if not was.project_id and (there / "mlruns" / "sweeps").is_dir():
        return "copied"
    with suppress(TrackingError):
        other = read_place(there)
        if other is not None:
            return "copied" if other.project_id == was.project_id else "moved"
    return "moved" if was.host == socket.gethostname() else "unknown"


def _is_same_folder(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _place_of_first_version(root: Path) -> str | None:
    """The folder in which MLflow's first experiment was made, with the database; `None` if no sweep
    was recorded in it, for then nothing has an address.
    """
    database = root / "mlruns" / "mlflow.db"
    with suppress(sqlite3.Error), closing(read_only(database)) as connection:
        found = connection.execute(_FIRST_EXPERIMENT).fetchone()
        artifacts = file_path(found[0]) if found and found[0] else None
        if artifacts is not None and artifacts.parts[-3:] == ("mlruns", "artifacts", "0"):
            return str(artifacts.parents[2])
    return None
