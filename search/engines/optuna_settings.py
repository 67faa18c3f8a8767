"""What an experiment file can say about the Optuna engine; free of Optuna, so that reading a file stays fast."""

from typing import Literal

from pydantic import Field

from core.settings import Settings
from search.engines.base import Engine, EngineSettings


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

    @property
    def label(self) -> str:
        """The engine in a few words, for tables and pictures."""
        return f"optuna {self.sampler}" + ("" if self.pruner == "none" else f" + {self.pruner}")

    def open(self, settings: EngineSettings) -> Engine:
        """Return a fresh engine; `restore` has to be called before it is asked.

        Args:
            settings: what every engine is given.

        Raises:
            EngineError: if the engine cannot search this space or cannot reach its storage.
        """
        # Imported here, because it costs a third of a second that `data` and `identify` need not wait for.
        from search.engines.optuna_engine import OptunaEngine

        return OptunaEngine(self, settings)
