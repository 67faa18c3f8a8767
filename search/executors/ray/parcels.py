"""What travels between the driver and a node: small, picklable, with no framework inside.

Orders go to the node and parcels come back, each numbered from 1. Either side sends again what the
other has not acknowledged, and passes over what it has had, so that a lost call loses and doubles
nothing.
"""

import hashlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from search.executors.base import ExecutorError, Message
from search.ledger.trial import FileReference, PruningDecision, TrialResult, TrialSpec

Count = int | Literal["auto"]


@dataclass(frozen=True)
class AgentSetup:
    """What an agent must know before its first trial.

    Attributes:
        session: of the driver: one launch; names the agent's folder.
        scratch: folder of the node for trials and line stores; `None` for one below its folder for
            temporary files.
        workers: how many trials at once; `auto` goes by the node.
        threads: of each worker; `auto` divides the node's cores.
        preload: modules that are imported once for all workers.
        packages: that the user's own code imports; their versions must be the driver's.
        silent_s: as that of `LocalExecutor`.
        lease_s: after so long without a word from the driver the workers are ended.
    """

    session: str
    scratch: Path | None = None
    workers: Count = "auto"
    threads: Count = "auto"
    preload: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    silent_s: float | None = None
    lease_s: float = 120.0


@dataclass(frozen=True)
class NodeDescription:
    """What a node is.

    Attributes:
        host: its name.
        pid: of the agent.
        cpu: model of the processor.
        n_workers: trials at once.
        threads: of each.
        precision: that suits its processor.
        versions: of what decides scores, by name; they must be the driver's.
        scratch: its folder for trials and line stores.
        free_bytes: of the disk there.
        clock_s: Unix time there.
    """

    host: str
    pid: int
    cpu: str
    n_workers: int
    threads: int
    precision: str
    versions: Mapping[str, str]
    scratch: Path
    free_bytes: int
    clock_s: float


@dataclass(frozen=True)
class CarriedFile:
    """A file with its content.

    Attributes:
        path: where it shall lie, below a folder that both sides know.
        sha256: of the content.
        content: whole.
    """

    path: Path
    sha256: str
    content: bytes

    @classmethod
    def read(cls, source: Path, path: Path) -> "CarriedFile":
        """Read a file.

        Raises:
            OSError: if it cannot be read.
        """
        content = source.read_bytes()
        return cls(path, hashlib.sha256(content).hexdigest(), content)

    @property
    def is_whole(self) -> bool:
        """Whether the content is what was read."""
        return hashlib.sha256(self.content).hexdigest() == self.sha256


@dataclass(frozen=True)
class PackedSpec:
    """A spec whose settings travel as bytes: what they are made of may be missing on a node, which
    must be able to say so.

    Attributes:
        bare: without settings.
        settings: pickled.
    """

    bare: TrialSpec
    settings: bytes

    @classmethod
    def of(cls, spec: TrialSpec) -> "PackedSpec":
        """Pack a spec.

        Raises:
            ExecutorError: if it cannot be pickled.
        """
        try:
            pickle.dumps(bare := replace(spec, settings=None))
            return cls(bare, pickle.dumps(spec.settings))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ExecutorError(
                f"A trial's settings and hyperparameters must be picklable, to reach a worker, but: {error}."
            ) from error

    def unpacked(self) -> TrialSpec:
        """The spec, as it was. Raises whatever the objects in its settings raise."""
        return replace(self.bare, settings=pickle.loads(self.settings))


@dataclass(frozen=True)
class StartOrder:
    """Start a worker. `ticket` names this start in all that follows; `checkpoint` is the spec's."""

    ticket: int
    spec: PackedSpec
    checkpoint: CarriedFile | None


@dataclass(frozen=True)
class AnswerOrder:
    """Answer a worker's report."""

    ticket: int
    decision: PruningDecision


@dataclass(frozen=True)
class KillOrder:
    """End a worker."""

    ticket: int


@dataclass(frozen=True)
class Order:
    """What an agent shall do, numbered from 1."""

    seq: int
    what: StartOrder | AnswerOrder | KillOrder


@dataclass(frozen=True)
class Parcel:
    """What a worker said, numbered from 1.

    Attributes:
        seq: of the agent.
        ticket: of the start that it belongs to.
        message: file references in it are relative to the trial's folder.
        files: all that the message refers to.
        log: what the worker has printed since the last parcel.
    """

    seq: int
    ticket: int
    message: Message
    files: tuple[CarriedFile, ...] = ()
    log: bytes = b""


@dataclass(frozen=True)
class Exchange:
    """An agent's answer: the parcels that were not acknowledged, and the last order that it
    took.
    """

    parcels: tuple[Parcel, ...]
    n_orders: int


def paths_in(value: Any) -> Iterator[Path]:
    """All paths in a dataclass, a sequence or a mapping of such."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from paths_in(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from paths_in(getattr(value, field.name))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for each in value:
            yield from paths_in(each)


def with_paths(value: Any, places: Mapping[Path, Path]) -> Any:
    """The same with other paths, where `places` has others."""
    if isinstance(value, Path):
        return places.get(value, value)
    if not any(path in places for path in paths_in(value)):
        return value
    if isinstance(value, Mapping):
        return {key: with_paths(each, places) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: with_paths(getattr(value, field.name), places) for field in fields(value)})
    return type(value)(with_paths(each, places) for each in value)


def references_of(message: Message) -> list[FileReference]:
    """All files and folders that a message refers to."""
    report, result = getattr(message, "report", None), getattr(message, "result", None)
    found = [report.checkpoint] if report is not None else []
    if isinstance(result, TrialResult):
        found += [*result.artifacts.values(), result.model]
    return [reference for reference in found if reference is not None]


def with_references(message: Message, places: Mapping[Path, Path]) -> Message:
    """The same message with the files' paths as they are elsewhere."""
    changed: Message = with_paths(message, places)
    return changed
