"""What a check found.

Room on the disk, and what the project takes of it.

The processor, and which arithmetic it makes whosehand choose.

MLflow servers that run on this project's store.

Old records that make MLflow's own commands look elsewhere.

Python and the libraries, against the ranges that whosehand was tried with.
"""

import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.filesize import decimal

from core.training.plan import choose_precision, cpu_flags
from search.executors.machine import MEMORY_PER_WORKER_BYTES, count_cores, free_memory_bytes, list_gpus
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME
from search.ledger.ranking import readable_duration
from search.sweep.disk import measure_disk
from search.tracking.store import TrackingStore
from search.upkeep.moved_projects import database_of


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
        fix: what to do about it; empty if nothing is to be done.
    """

    level: Level
    topic: str
    text: str
    fix: str = ""


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


PROBLEM_BYTES, NOTE_BYTES = 1_000_000_000, 5_000_000_000


def check_disk(subject: Subject) -> Iterator[Finding]:
    """Compare the free space with what a sweep may need, and say what records and data take."""
    root = subject.workspace.root
    free_bytes = shutil.disk_usage(root).free
    records = measure_disk(root / "mlruns", None).total_bytes
    data = measure_disk(subject.workspace.generated, None).total_bytes
    text = f"{decimal(free_bytes)} free; mlruns takes {decimal(records)}, data {decimal(data)}"
    fix = "`whosehand gc` says what can go"
    if free_bytes < PROBLEM_BYTES:
        yield Finding(Level.PROBLEM, "disk", f"{text}; a sweep should have {decimal(PROBLEM_BYTES)}", fix)
    elif free_bytes < NOTE_BYTES:
        yield Finding(Level.NOTE, "disk", text, fix)
    else:
        yield Finding(Level.OK, "disk", text)


_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_TENSORFLOW_NEEDS = "avx"


def check_processor(subject: Subject) -> Iterator[Finding]:
    """Say what the processor can do, what precision follows and why, and whether memory suffices for a worker."""
    flags = cpu_flags()
    features = ", ".join(name for name in _FEATURES if name in flags) or "none of " + ", ".join(_FEATURES)
    gpus = list_gpus()
    cards = f", {len(gpus)} graphics cards" if gpus else ""
    yield Finding(Level.OK, "processor", f"{count_cores()} cores{cards}; {features}")
    if flags and _TENSORFLOW_NEEDS not in flags and "avx2" not in flags:
        yield Finding(
            Level.PROBLEM, "processor", "TensorFlow's wheels need AVX, which it lacks", "train on another machine"
        )
    asked = subject.experiment.training.precision if subject.experiment is not None else "auto"
    chosen = choose_precision(asked)
    if asked != "auto":
        why = "the experiment says so"
    elif chosen == "float32":
        why = "it has no amx_bf16; without it bfloat16 is slower"
    else:
        why = "it has amx_bf16"
    yield Finding(Level.OK, "precision", f"{chosen}, because {why}")
    free_bytes = free_memory_bytes()
    if free_bytes < MEMORY_PER_WORKER_BYTES:
        text = f"{free_bytes / 1e9:.1f} GB are free; a worker takes about {MEMORY_PER_WORKER_BYTES / 1e9:.1f} GB"
        yield Finding(Level.NOTE, "memory", text, "close what else runs, or expect workers to be lost")


OLD_S = 86_400.0


def check_servers(subject: Subject) -> Iterator[Finding]:
    """Look for `mlflow server` processes on the store: one that was left over holds memory and a port."""
    database = database_of(subject.store)
    if database is None:
        return
    for process in psutil.process_iter(["pid", "ppid", "cmdline", "create_time"]):
        command = process.info["cmdline"] or []
        is_server = "mlflow" in command and "server" in command
        if is_server and any(str(database) in part for part in command):
            age_s = time.time() - process.info["create_time"]
            text = f"an MLflow server runs on this store (process {process.info['pid']}, {readable_duration(age_s)})"
            if age_s > OLD_S:
                yield Finding(Level.NOTE, "servers", text, f"if nobody looks at it: kill {process.info['pid']}")
            else:
                yield Finding(Level.OK, "servers", text)


_META = "meta.yaml"


def check_stray_files(subject: Subject) -> Iterator[Finding]:
    """Look for `mlruns/<digits>/meta.yaml`, at whose sight MLflow takes plain files for its default store."""
    folder = subject.workspace.root / "mlruns"
    strays = sorted(
        path.name for path in folder.glob("*") if path.name.isdigit() and path.is_dir() and (path / _META).exists()
    )
    if strays:
        text = (
            f"{', '.join(f'mlruns/{name}' for name in strays)} of an old MLflow: its own commands take plain files "
            "for their store in this folder, and show none of whosehand's runs"
        )
        yield Finding(Level.PROBLEM, "stray files", text, f"mkdir old-mlruns && mv mlruns/{strays[0]} old-mlruns/")


_SHOWN = ("tensorflow", "keras", "mlflow", "optuna", "keras-tuner", "numpy")


def check_versions(_: Subject) -> Iterator[Finding]:
    """Compare what is installed with what the distribution asks for."""
    try:
        asked = metadata.metadata("whosehand")
    except metadata.PackageNotFoundError:
        yield Finding(Level.NOTE, "versions", "whosehand runs without being installed, so it says no ranges")
        return
    python = SpecifierSet(asked["Requires-Python"])
    found = [
        *_wrong("Python", platform.python_version(), python, "install another Python and run `make install` anew"),
        *(
            problem
            for requirement in map(Requirement, metadata.requires("whosehand") or ())
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            for problem in _wrong_distribution(requirement)
        ),
    ]
    yield from found
    if not found:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN)
        text = f"whosehand {metadata.version('whosehand')}, Python {platform.python_version()}, {shown}: all in range"
        yield Finding(Level.OK, "versions", text)


def _wrong_distribution(requirement: Requirement) -> list[Finding]:
    fix = f'python -m pip install "{requirement.name}{requirement.specifier}"'
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return [Finding(Level.PROBLEM, "versions", f"{requirement.name} is not installed", fix)]
    return _wrong(requirement.name, version, requirement.specifier, fix)


def _wrong(name: str, version: str, allowed: SpecifierSet, fix: str) -> list[Finding]:
    if allowed.contains(version, prereleases=True):
        return []
    return [Finding(Level.PROBLEM, "versions", f"{name} must be {allowed}, but is {version}", fix)]
