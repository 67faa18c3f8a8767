"""What `whosehand doctor` looks at on this machine: versions, processor, disk, servers, files of an
older MLflow.
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

PROBLEM_BYTES, NOTE_BYTES = 1_000_000_000, 5_000_000_000
OLD_S = 86_400.0
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_SHOWN = ("tensorflow", "keras", "mlflow", "optuna", "keras-tuner", "numpy")


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


def ok(topic: str, text: str) -> Finding:
    """A finding that all is well."""
    return Finding(Level.OK, topic, text)


def note(topic: str, text: str, fix: str) -> Finding:
    """A finding that fails nothing."""
    return Finding(Level.NOTE, topic, text, fix)


def problem(topic: str, text: str, fix: str = "") -> Finding:
    """A finding that something is wrong."""
    return Finding(Level.PROBLEM, topic, text, fix)


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


def check_versions(_: Subject) -> Iterator[Finding]:
    """Compare what is installed with what the distribution asks for."""
    try:
        python = SpecifierSet(metadata.metadata("whosehand")["Requires-Python"])
    except metadata.PackageNotFoundError:
        text = "whosehand runs without being installed, so the versions of its libraries are not checked"
        yield note("versions", text, "`make install`")
        return
    fix = "install another Python, then run `make install` again"
    found = list(_wrong("Python", platform.python_version(), python, fix))
    wanted = [
        requirement
        for requirement in map(Requirement, metadata.requires("whosehand") or ())
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]
    for requirement in wanted:
        found += _wrong_distribution(requirement)
    yield from found
    if not found:
        names = [
            each.name for each in wanted if each.name.removesuffix("-cpu") in _SHOWN
        ]  # the image has tensorflow-cpu
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in sorted(names, key=_place_shown))
        text = f"whosehand {metadata.version('whosehand')}, Python {platform.python_version()}, {shown}: all in range"
        yield ok("versions", text)


def _place_shown(name: str) -> int:
    return _SHOWN.index(name.removesuffix("-cpu"))


def _wrong_distribution(requirement: Requirement) -> Iterator[Finding]:
    fix = f'python -m pip install "{requirement.name}{requirement.specifier}"'
    try:
        yield from _wrong(requirement.name, metadata.version(requirement.name), requirement.specifier, fix)
    except metadata.PackageNotFoundError:
        yield problem("versions", f"{requirement.name} is not installed", fix)


def _wrong(name: str, version: str, allowed: SpecifierSet, fix: str) -> Iterator[Finding]:
    if not allowed.contains(version, prereleases=True):
        yield problem("versions", f"{name} must be {allowed}, but is {version}", fix)


def check_processor(subject: Subject) -> Iterator[Finding]:
    """Say what the processor can do, what precision follows and why, and whether memory suffices
    for a worker.
    """
    flags = cpu_flags()
    features = ", ".join(name for name in _FEATURES if name in flags) or "none of " + ", ".join(_FEATURES)
    gpus = list_gpus()
    cards = f", {len(gpus)} graphics card{'s' if len(gpus) > 1 else ''}" if gpus else ""
    yield ok("processor", f"{count_cores()} cores{cards}; {features}")
    if flags and not flags & {"avx", "avx2"}:
        yield problem("processor", "TensorFlow's wheels need AVX, which it lacks", "train on another machine")
    asked = subject.experiment.training.precision if subject.experiment is not None else "auto"
    chosen = choose_precision(asked)
    if asked != "auto":
        why = "the experiment says so"
    elif chosen == "float32":
        why = "the processor has no amx_bf16, and without it bfloat16 is slower"
    else:
        why = "the processor has amx_bf16"
    yield ok("precision", f"{chosen}, because {why}")
    if (free_bytes := free_memory_bytes()) < MEMORY_PER_WORKER_BYTES:
        text = f"{free_bytes / 1e9:.1f} GB are free; a worker takes about {MEMORY_PER_WORKER_BYTES / 1e9:.1f} GB"
        yield note("memory", text, "close other programs, or expect to lose workers")


def check_disk(subject: Subject) -> Iterator[Finding]:
    """Compare the free space with what a sweep may need, and say what records and data take."""
    root = subject.workspace.root
    free_bytes = shutil.disk_usage(root).free
    records = measure_disk(root / "mlruns", None).total_bytes
    data = measure_disk(subject.workspace.generated, None).total_bytes
    text = f"{decimal(free_bytes)} free; mlruns takes {decimal(records)}, data {decimal(data)}"
    fix = "`whosehand gc` lists what can be deleted"
    if free_bytes < PROBLEM_BYTES:
        yield problem("disk", f"{text}; a sweep should have {decimal(PROBLEM_BYTES)}", fix)
    else:
        yield note("disk", text, fix) if free_bytes < NOTE_BYTES else ok("disk", text)


def check_servers(subject: Subject) -> Iterator[Finding]:
    """Look for `mlflow server` processes on the store: one that was left over holds memory and a
    port.
    """
    database = subject.store.database
    for process in psutil.process_iter(["pid", "cmdline", "create_time"]) if database is not None else ():
        command = process.info["cmdline"] or []
        if {"mlflow", "server"} <= {*command} and any(str(database) in part for part in command):
            age_s, pid = time.time() - process.info["create_time"], process.info["pid"]
            text = f"an MLflow server runs on this store (process {pid}, for {readable_duration(age_s)})"
            yield note("servers", text, f"if nobody uses it: kill {pid}") if age_s > OLD_S else ok("servers", text)


def check_stray_files(subject: Subject) -> Iterator[Finding]:
    """Look for `mlruns/<digits>/meta.yaml`, at whose sight MLflow takes plain files for its default
    store.
    """
    found = sorted((subject.workspace.root / "mlruns").glob("*/meta.yaml"))
    strays = [path.parent.name for path in found if path.parent.name.isdigit()]
    if strays:
        text = (
            f"{', '.join(f'mlruns/{name}' for name in strays)} of an old MLflow: because of it MLflow's own commands "
            "look for plain files in this folder, and show none of whosehand's runs"
        )
        yield problem("stray files", text, f"mkdir old-mlruns && mv mlruns/{strays[0]} old-mlruns/")
