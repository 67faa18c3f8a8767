"""What an experiment file can say about the Optuna engine; free of Optuna, so that reading a file stays fast."""

from typing import Literal

from pydantic import Field

from core.settings import Settings


class OptunaSettings(Settings):
    """Search with Optuna."""

    name: Literal["optuna"] = "optuna"
    """The engine."""

    sampler: Literal["random", "tpe"] = "tpe"
    """How points are proposed: at random, or by tree-structured Parzen estimators, which learn from the finished
    trials which regions of the space are good."""

    n_startup_trials: int = Field(default=10, ge=1)
    """Finished trials before `tpe` begins to learn; until then it proposes at random."""

    pruner: Literal["none", "median"] = "none"
    """`median` ends a trial whose best score so far is worse than the median of the finished trials' scores at the
    same epoch."""

    pruner_startup_trials: int = Field(default=5, ge=1)
    """Finished trials before the pruner ends any."""

    pruner_warmup_epochs: int = Field(default=1, ge=0)
    """Epochs at the beginning of each trial in which it is not pruned."""

    storage: str | None = None
    """A database of your own for Optuna's study, such as `sqlite:///optuna.db` for optuna-dashboard; `null` keeps the
    study in memory, rebuilt from the sweep's ledger."""
