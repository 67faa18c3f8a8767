"""What an experiment file can say about each search engine: plain settings, free of the engines
themselves.

`search.engines.open_engine` opens what they describe.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WrapValidator, field_validator, model_validator

from core.settings import Settings
from search.experiment.secret_address import STORAGE_VARIABLE, Address, keep_address

Sampler = Literal["random", "tpe", "priorband", "gp", "cmaes", "qmc", "grid"]
Count = Annotated[int, Field(ge=0)]
Epoch = Annotated[int, Field(ge=1)]
Pruner = Literal["none", "median", "patient", "threshold", "successive_halving", "hyperband", "asha"]


class OptunaSettings(Settings):
    """Search with Optuna."""

    name: Literal["optuna"] = "optuna"
    """The engine."""

    sampler: Sampler = "tpe"
    """How points are proposed: at random; by tree-structured Parzen estimators, which learn from
    the finished trials which regions of the space are good (`tpe`); near the defaults and the
    enqueued points, near the best so far, and at random, with many short trials of which the best
    go on (`priorband`, which has `pruner: asha` of itself); by a Gaussian process (`gp`,
    which needs the extra `whosehand[gp]`); by CMA-ES, which learns from whole generations and moves
    only numbers that are always active (`cmaes`, for hundreds of trials); evenly by a scrambled
    Sobol sequence (`qmc`); or each point of a finite space once (`grid`)."""

    n_startup_trials: int = Field(default=10, ge=1)
    """Finished trials before `tpe`, `gp` or `cmaes` begins to learn; until then they propose at
    random. Of `priorband`: trials at the last rung before it asks `tpe`.
    """

    pruner: Pruner = "none"
    """Which trials do not run to their end. `median` ends one whose best score so far is worse than
    the median of the others' scores at the same epoch; `patient` does so only where more than
    `pruner_patience` epochs were no better; `threshold` ends one whose score leaves
    [`pruner_lower`, `pruner_upper`]; `successive_halving` ends all but the best `1 / rung_factor`
    at each rung; `hyperband` does so with several first rungs, each for a share of the trials;
    `asha` pauses instead: a trial waits at its rung and goes on from its checkpoint when it is
    among the best."""

    pruner_startup_trials: int = Field(default=5, ge=1)
    """Finished trials before `median` (and `patient`) ends any."""

    pruner_warmup_epochs: Count | Literal["auto"] = "auto"
    """Epochs at the beginning of each trial in which `median`, `patient` and `threshold` do not end
    it. `auto` is half of a trial's epochs: with a cosine schedule, what comes before tells little
    (docs/engines.md).
    """

    pruner_patience: int = Field(default=2, ge=0)
    """Epochs in a row without a better score that `patient` lets pass; after one more it asks the
    median.
    """

    pruner_min_delta: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """What `patient` counts as better: at least by so much."""

    pruner_lower: float | None = None
    """`threshold` ends a trial whose score is below this."""

    pruner_upper: float | None = None
    """`threshold` ends a trial whose score is above this."""

    rung_first_epoch: Epoch | Literal["auto"] = "auto"
    """Where the first rung of `successive_halving`, `hyperband`, `asha` and `priorband` lies.
    `auto` is the middle of a trial: with a cosine schedule, what comes before tells little
    (docs/engines.md)."""

    rung_factor: int = Field(default=3, ge=2)
    """One trial in so many leaves a rung, and the next rung is so many times as far."""

    rung_by: Literal["auto", "epochs", "seconds"] = "auto"
    """By what the rungs of `asha` are laid. `seconds` lays them where the first trial to report has
    the epochs of `rung_first_epoch` and so on, and some beyond its end: what trains slowly is
    judged as early as the rest. `auto` is `seconds` for `priorband` and `epochs` otherwise."""

    storage: Annotated[str | None, WrapValidator(keep_address)] = None
    """A database of your own for Optuna's study, such as `sqlite:///optuna.db` for
    optuna-dashboard; `null` keeps the study in memory, rebuilt from the sweep's ledger. Its
    password is best a variable of the environment: `postgresql://me:${DB_PASSWORD}@host/db`."""

    @field_validator("storage")
    @classmethod
    def _without_password(cls, storage: str | None) -> str | None:
        return None if storage is None else Address.of(storage, STORAGE_VARIABLE)

    @model_validator(mode="after")
    def _check_thresholds(self) -> Self:
        if self.sampler == "priorband" and self.pruner not in ("none", "asha"):
            raise ValueError(f"`sampler: priorband` has `pruner: asha` of itself, but got `pruner: {self.pruner}`.")
        lower, upper = self.pruner_lower, self.pruner_upper
        if self.pruner == "threshold" and lower is None and upper is None:
            raise ValueError("`pruner: threshold` needs `pruner_lower`, `pruner_upper` or both, but has neither.")
        if lower is not None and upper is not None and lower >= upper:
            raise ValueError(f"`pruner_lower < pruner_upper` must hold, but got {lower} and {upper}.")
        return self

    def n_warmup_epochs(self, n_epochs: int) -> int:
        """Epochs in which nobody is ended, of trials of so many."""
        return n_epochs // 2 if self.pruner_warmup_epochs == "auto" else self.pruner_warmup_epochs

    def first_rung(self, n_epochs: int) -> int:
        """The epoch of the first rung, in trials of so many."""
        return max(1, n_epochs // 2) if self.rung_first_epoch == "auto" else self.rung_first_epoch

    @property
    def pauses(self) -> bool:
        """Whether it pauses trials, which then go on from their checkpoints."""
        return self.pruner == "asha" or self.sampler == "priorband"

    @property
    def has_rungs_by_seconds(self) -> bool:
        """Whether a trial comes to a rung by its seconds, not by its epochs."""
        return self.rung_by == "seconds" or (self.rung_by == "auto" and self.sampler == "priorband")

    @property
    def label(self) -> str:
        """The engine in a few words, for tables and pictures."""
        return f"optuna {self.sampler}" + ("" if self.pruner == "none" else f" + {self.pruner}")


def judging_early(engine: OptunaSettings, n_epochs: int) -> OptunaSettings:
    """The engine with a median pruner that begins after a quarter of a trial of so many epochs, as
    a default: what a file says of the engine stays what it says, so that a sweep that was begun
    keeps its own (`search.experiment.changes`). Trials of under four epochs run to their end.
    """
    if n_epochs < 4:
        return engine
    values = {**dict(engine), "pruner": "median", "pruner_warmup_epochs": n_epochs // 4}
    return OptunaSettings.model_construct(_fields_set=set(engine.model_fields_set), **values)


class KerasTunerSettings(Settings):
    """Search with KerasTuner."""

    name: Literal["keras_tuner"] = "keras_tuner"
    """The engine."""

    oracle: Literal["random", "bayesian", "grid", "hyperband"] = "bayesian"
    """How points are proposed: at random; by a Gaussian process over the finished trials; one after
    the other on a grid; or at random with few epochs at first, and only the best of each rung going
    on."""

    num_initial_points: int = Field(default=10, ge=1)
    """Finished trials before `bayesian` begins to learn; until then it proposes at random."""

    alpha: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    """Noise of a score that `bayesian` expects: what it adds to the diagonal of its kernel
    matrix.
    """

    beta: float = Field(default=2.6, ge=0, allow_inf_nan=False)
    """How much `bayesian` explores: the weight of a prediction's deviation against its mean."""

    grid_values: int = Field(default=10, ge=2)
    """The most values that `grid` tries of a number, spread evenly from low to high (where the
    dimension is logarithmic, in the logarithm). All choices of a categorical dimension are
    tried."""

    factor: int = Field(default=3, ge=2)
    """Of `hyperband`: one trial in so many goes on from a rung to the next, which is so many times
    longer.
    """

    hyperband_iterations: int | None = Field(default=None, ge=1)
    """How often `hyperband` goes through all its brackets; `null` until the budget is used up."""

    @property
    def pauses(self) -> bool:
        """Whether it pauses trials, which then go on from their checkpoints."""
        return self.oracle == "hyperband"

    @property
    def label(self) -> str:
        """The engine in a few words, for tables and pictures."""
        return f"keras_tuner {self.oracle}"


_DEFAULT = "optuna"


def _with_name(engine: Any) -> Any:
    """Say which engine is meant where a file does not, has nothing but its name (`engine:
    keras_tuner`), or leaves the choice (`engine: auto`).

    The key by which a union is decided must be there.
    """
    if isinstance(engine, str):
        return {"name": _DEFAULT if engine == "auto" else engine}
    return {"name": _DEFAULT, **engine} if isinstance(engine, dict) else engine


EngineChoice = Annotated[OptunaSettings | KerasTunerSettings, Field(discriminator="name"), BeforeValidator(_with_name)]
"""Settings of one engine; its `name` says which."""
