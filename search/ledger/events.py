"""What a sweep's ledger can say: one frozen dataclass a kind of event.

Engine, tracker and progress hear of a sweep in these words; what a worker says is the other form
(`search.executors.base`). `at_ms` is always the Unix time at which the event was taken down, in
milliseconds; the ledger stamps it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from core.space import Point
from search.ledger.trial import EpochReport, PruningDecision, TrialResult

SweepStatus = Literal["completed", "interrupted", "failed"]
"""How a launch of a sweep ended. All three can be resumed; `completed` goes on only if its budget
was raised.
"""


@dataclass(frozen=True)
class SweepCreated:
    """The ledger's first line: what is searched, and by which code.

    Attributes:
        sweep_id: unique, also among sweeps that had the same name.
        name: as the user calls it.
        config: the whole experiment as plain values.
        config_hash: SHA-256 of `config`.
        version: of whosehand.
        git_commit: empty outside a repository.
    """

    at_ms: int
    sweep_id: str
    name: str
    config: Mapping[str, Any]
    config_hash: str
    version: str
    git_commit: str
    kind: Literal["created"] = "created"


@dataclass(frozen=True)
class BudgetLimits:
    """When no new trial starts any more; `None` for no limit. Not an event, but a part of one.

    `until` is a time as the user wrote it; `includes` says whether it and `minutes` hold for the
    promotion too.
    """

    trials: int | None
    minutes: float | None
    patches: int | None
    until: str | None = None
    includes: Literal["search", "promotion"] = "search"


@dataclass(frozen=True)
class Launched:
    """A driver took the sweep up, for the first time or again.

    `file_limits` are the budget that the experiment gave at this launch; `None` in ledgers of
    version 0.1.
    """

    at_ms: int
    host: str
    pid: int
    n_workers: int
    threads: int
    precision: str
    file_limits: BudgetLimits | None = None
    kind: Literal["launched"] = "launched"


@dataclass(frozen=True)
class TrialProposed:
    """The engine proposed a new trial, or took up a point that the user enqueued while the sweep
    ran.

    `hyperparameters` is `point` with the fixed values and the defaults; `ask_s` how long the engine
    was asked for it, the asks that it answered with Wait before among them.
    """

    at_ms: int
    number: int
    point: Point
    hyperparameters: Point
    seed: int
    until_epoch: int | None
    horizon_epochs: int
    ask_s: float = 0.0
    is_enqueued: bool = False
    kind: Literal["proposed"] = "proposed"


@dataclass(frozen=True)
class TrialContinued:
    """The engine let a paused trial go on; `ask_s` as for a new one."""

    at_ms: int
    number: int
    until_epoch: int | None
    ask_s: float = 0.0
    kind: Literal["continued"] = "continued"


@dataclass(frozen=True)
class AttemptStarted:
    """A worker started on a trial, or on a further segment of it.

    `host`, `pid` and `cpu` (the processor's model) are the worker's; 0 and empty where they are not
    known. Version 0.1 wrote no `host` and no `cpu`: the host is the launch's then.
    """

    at_ms: int
    number: int
    attempt: int
    start_epoch: int
    until_epoch: int
    threads: int
    precision: str
    pid: int
    host: str = ""
    cpu: str = ""
    kind: Literal["started"] = "started"


@dataclass(frozen=True)
class EpochReported:
    """An epoch's report, with its checkpoint, and the engine's decision on it."""

    at_ms: int
    number: int
    attempt: int
    report: EpochReport
    decision: PruningDecision
    kind: Literal["reported"] = "reported"


@dataclass(frozen=True)
class SegmentEnded:
    """A trial is COMPLETED, PRUNED, FAILED or PAUSED, and the engine is told so."""

    at_ms: int
    number: int
    attempt: int
    result: TrialResult
    kind: Literal["ended"] = "ended"


@dataclass(frozen=True)
class AttemptLost:
    """A worker died without a word. The trial goes on from its last checkpoint, unless a
    `SegmentEnded` follows. Where a whole node was `lost` the trial did nothing wrong.
    """

    at_ms: int
    number: int
    attempt: int
    exit_code: int | None
    reason: str
    lost: Literal["worker", "node"] = "worker"
    kind: Literal["lost"] = "lost"


@dataclass(frozen=True)
class AttemptInterrupted:
    """A worker ended, and its trial goes on later from its last checkpoint.

    Because the sweep was being stopped; or with a `reason`, because the disk is full or the data
    cannot be read.
    """

    at_ms: int
    number: int
    attempt: int
    reason: str = ""
    kind: Literal["interrupted"] = "interrupted"


@dataclass(frozen=True)
class TrialTracked:
    """The tracker has recorded all of an ended trial."""

    at_ms: int
    number: int
    kind: Literal["tracked"] = "tracked"


@dataclass(frozen=True)
class Slept:
    """The driver was not awake for so long (a laptop's sleep, SIGSTOP, a full disk): no working
    time.
    """

    at_ms: int
    seconds: float
    kind: Literal["slept"] = "slept"


@dataclass(frozen=True)
class StopRequested:
    """The user asked from another terminal that a trial, or with no `number` the sweep, should
    stop.

    At once if it `is_urgent`, else when the running epoch is done. `command_id` names the line of
    the control file.
    """

    at_ms: int
    command_id: str
    number: int | None
    is_urgent: bool
    kind: Literal["stop requested"] = "stop requested"


@dataclass(frozen=True)
class BudgetChanged:
    """The user changed the budget from another terminal, or by another value in the file (no
    `command_id`).

    `limits` hold until the file's change from `file_limits`.
    """

    at_ms: int
    command_id: str
    limits: BudgetLimits
    file_limits: BudgetLimits
    kind: Literal["budget changed"] = "budget changed"


@dataclass(frozen=True)
class PointEnqueued:
    """The user asked from another terminal that a point be tried next."""

    at_ms: int
    command_id: str
    point: Point
    kind: Literal["point enqueued"] = "point enqueued"


@dataclass(frozen=True)
class TrialAnnotated:
    """The user set the note or tags of a trial, while the sweep ran or after it.

    Attributes:
        command_id: of the control file; empty if no driver was on the sweep.
        number: of the trial.
        note: the new note; `None` if it stays, empty if it is taken away.
        tags: those that were set; one with an empty text is taken away.
    """

    at_ms: int
    command_id: str
    number: int
    note: str | None
    tags: Mapping[str, str]
    kind: Literal["trial annotated"] = "trial annotated"


@dataclass(frozen=True)
class CommandRefused:
    """A command of the user's could not be followed, and is not looked at again."""

    at_ms: int
    command_id: str
    reason: str
    kind: Literal["command refused"] = "command refused"


@dataclass(frozen=True)
class SweepClosed:
    """A launch ended in order; without this line it was killed."""

    at_ms: int
    status: SweepStatus
    reason: str
    kind: Literal["closed"] = "closed"


LedgerEvent = (
    SweepCreated
    | Launched
    | TrialProposed
    | TrialContinued
    | AttemptStarted
    | EpochReported
    | SegmentEnded
    | AttemptLost
    | AttemptInterrupted
    | TrialTracked
    | Slept
    | StopRequested
    | BudgetChanged
    | PointEnqueued
    | TrialAnnotated
    | CommandRefused
    | SweepClosed
)
AnyLedgerEvent = Annotated[LedgerEvent, Field(discriminator="kind")]
"""For pydantic: tells the kinds apart by their `kind`."""

EngineEvent = TrialProposed | TrialContinued | EpochReported | SegmentEnded
"""What an engine was asked and told, as far as its ledger has it; see `Engine.restore`."""
