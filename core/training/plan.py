"""What goes into a fit and comes out of it, and in which arithmetic; free of TensorFlow, unlike
`core.training.fit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, cast, get_args

from core.networks.hyperparameters import Hyperparameters
from core.space import Value
from core.training.checkpoint import CheckpointFile

Precision = Literal["float32", "mixed_bfloat16"]
_FLAG = "amx_bf16"


@dataclass(frozen=True)
class Monitor:
    """The score that tells which epoch is the best, and when to stop.

    Attributes:
        metric: its name among those that validation gives.
        direction: which values are better.
        patience: end the fit after so many epochs without a better one; `None` never does.
    """

    metric: str
    direction: Literal["minimize", "maximize"] = "minimize"
    patience: int | None = None

    def is_better(self, value: float, than: float) -> bool:
        """Whether the first value is strictly better."""
        return value < than if self.direction == "minimize" else value > than


@dataclass(frozen=True)
class FitPlan:
    """What to fit, from where and how far.

    Attributes:
        hyperparameters: those of the training count here.
        monitor: chooses the best epoch.
        horizon_epochs: the full length; the learning-rate schedule runs over it.
        checkpoint_dir: one file an epoch is written here; `None` writes none.
        until_epoch: stop when so many epochs are done; `None` for the horizon.
        checkpoint: go on from here; `None` to start.
        checkpoint_sha256: expected hash of that file, where it is known.
        seed: recorded and compared on going on; the network and the feed have their own.
        own: hyperparameters of a network of the user's own; compared on going on.
        begins_with: hash of the weights that the network was given before it was trained; compared
            on going on. Empty for random ones.
        takes_epoch: end after so many epochs of the horizon and take their weights, whatever the
            monitor says; `None` takes those of the best epoch.
    """

    hyperparameters: Hyperparameters
    monitor: Monitor
    horizon_epochs: int
    checkpoint_dir: Path | None
    until_epoch: int | None = None
    checkpoint: Path | None = None
    checkpoint_sha256: str | None = None
    seed: int = 0
    own: Mapping[str, Value] = field(default_factory=dict)
    begins_with: str = ""
    takes_epoch: int | None = None


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave.

    Attributes:
        epoch: counted from 1.
        metrics: `train/loss`, `train/top1` (of augmented patches, with dropout, as they were
            trained), `train/patches_per_s` (without validation), `learning_rate` (where the epoch
            ends), and what validation gave.
        n_patches: trained in this epoch.
        duration_s: of training, validation and checkpoint.
        is_best: whether it is the best so far.
        checkpoint: the state after this epoch.
        seconds: `duration_s` by what it went into: `steps`, `validation`, `checkpoint`.
    """

    epoch: int
    metrics: Mapping[str, float]
    n_patches: int
    duration_s: float
    is_best: bool
    checkpoint: CheckpointFile | None
    seconds: Mapping[str, float] = field(default_factory=dict)


class FitEnd(StrEnum):
    """Why a fit ended."""

    HORIZON = "horizon"  # all epochs are done
    EARLY_STOP = "early_stop"  # no better epoch within the patience
    UNTIL = "until"  # `until_epoch` came before the horizon
    HALTED = "halted"  # `on_epoch` said so

    @property
    def is_complete(self) -> bool:
        """Whether the fit is over; otherwise it can go on from its checkpoint."""
        return self in (FitEnd.HORIZON, FitEnd.EARLY_STOP)


@dataclass(frozen=True)
class FitResult:
    """How a fit, or a segment of it, ended.

    Attributes:
        end: why.
        n_epochs: done in all, those before the checkpoint among them.
        best_epoch: counted from 1; its weights are the model's now if `end.is_complete`.
        best_metrics: of that epoch, without the speed.
        checkpoint: the latest one that this segment wrote.
    """

    end: FitEnd
    n_epochs: int
    best_epoch: int
    best_metrics: Mapping[str, float] = field(default_factory=dict)
    checkpoint: CheckpointFile | None = None


def choose_precision(choice: str = "auto", cpu_description: Path = Path("/proc/cpuinfo")) -> Precision:
    """Resolve `auto`.

    Args:
        choice: `auto`, `float32` or `mixed_bfloat16`; the last two are given back as they are.
        cpu_description: where Linux lists the processor's flags.

    Returns:
        For `auto`, `mixed_bfloat16` where the processor has tiles for bfloat16 matrices (amx_bf16),
        else `float32`. The vector instructions avx512_bf16 alone do not count: with them the
        convolutions of a small network took 1.5 to 2 times as long as in float32.

    Raises:
        ValueError: if the choice is none of the three.
    """
    if choice == "auto":
        return "mixed_bfloat16" if _FLAG in cpu_flags(cpu_description) else "float32"
    for precision in get_args(Precision):
        if choice == precision:
            return cast(Precision, precision)
    raise ValueError(f"A precision must be auto, float32 or mixed_bfloat16, but got {choice!r}.")


def cpu_flags(cpu_description: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The flags of the first processor; empty on systems that do not list them (macOS, Windows)."""
    try:
        with cpu_description.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()
