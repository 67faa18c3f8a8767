"""Who races: an engine with its settings, and the points that it tries first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, Self

import typer

from benchmarks.curves.surrogate import Surrogate
from benchmarks.replay import Track, replay
from core.space import Point
from search.experiment.engine_settings import EngineChoice, KerasTunerSettings, OptunaSettings
from search.experiment.settings import BudgetSettings
from search.ledger.ranking import rank

ENGINES: Mapping[str, EngineChoice] = {
    "random": OptunaSettings(sampler="random"),
    "qmc": OptunaSettings(sampler="qmc"),
    "tpe": OptunaSettings(sampler="tpe"),
    "tpe, soon": OptunaSettings(sampler="tpe", n_startup_trials=4),
    "cmaes": OptunaSettings(sampler="cmaes"),
    "gp": OptunaSettings(sampler="gp"),
    "random+median": OptunaSettings(sampler="random", pruner="median"),
    "tpe+median": OptunaSettings(sampler="tpe", pruner="median"),
    "tpe+successive_halving": OptunaSettings(sampler="tpe", pruner="successive_halving"),
    "tpe+hyperband": OptunaSettings(sampler="tpe", pruner="hyperband"),
    "random+asha": OptunaSettings(sampler="random", pruner="asha"),
    "tpe+asha": OptunaSettings(sampler="tpe", pruner="asha"),
    "tpe+asha, halves": OptunaSettings(sampler="tpe", pruner="asha", rung_factor=2),
    "tpe+asha by seconds": OptunaSettings(sampler="tpe", pruner="asha", rung_by="seconds"),
    "priorband": OptunaSettings(sampler="priorband"),
    "priorband, halves": OptunaSettings(sampler="priorband", rung_factor=2),
    "priorband by epochs": OptunaSettings(sampler="priorband", rung_by="epochs"),
    "priorband by epochs, halves": OptunaSettings(sampler="priorband", rung_by="epochs", rung_factor=2),
    # Judged from the first epochs on; the others are from the middle of a trial on.
    "tpe+median, early": OptunaSettings(sampler="tpe", pruner="median", pruner_warmup_epochs=1),
    "tpe+asha, early": OptunaSettings(sampler="tpe", pruner="asha", rung_first_epoch=1),
    "priorband, early": OptunaSettings(sampler="priorband", rung_first_epoch=1),
    # From a quarter of a trial of eight epochs on.
    "tpe+median, from 2": OptunaSettings(sampler="tpe", pruner="median", pruner_warmup_epochs=2),
    "tpe+asha, from 2": OptunaSettings(sampler="tpe", pruner="asha", rung_first_epoch=2),
    "tpe+asha, from 2, halves": OptunaSettings(sampler="tpe", pruner="asha", rung_first_epoch=2, rung_factor=2),
    "priorband, from 2": OptunaSettings(sampler="priorband", rung_by="epochs", rung_first_epoch=2),
    "priorband, from 2, halves": OptunaSettings(
        sampler="priorband", rung_by="epochs", rung_first_epoch=2, rung_factor=2
    ),
    "priorband by seconds, from 2": OptunaSettings(sampler="priorband", rung_first_epoch=2),
    "keras_tuner hyperband": KerasTunerSettings(oracle="hyperband"),
    "keras_tuner bayesian": KerasTunerSettings(oracle="bayesian"),
}
First = Literal["usual", "recipe first", "middle alone", "taught"]
_FIRSTS: Sequence[First] = ("recipe first", "middle alone", "taught")
_ANOTHER_SEED, _N_TAUGHT = 1000, 3  # of a teacher's sweep


@dataclass(frozen=True)
class Contender:
    """Who races.

    Attributes:
        name: of the engine, one of `ENGINES`; it may end in `, recipe first` (then the middle, as
            before), `, middle alone` (without the recipe) or `, taught` (after the usual points the
            three best ones of the same engine's sweep on another table).
        engine: with its settings.
        first: which points it tries first.
    """

    name: str
    engine: EngineChoice
    first: First = "usual"

    @classmethod
    def of(cls, name: str) -> Self:
        """The contender of that name.

        Raises:
            typer.BadParameter: if there is no such engine.
        """
        if name in ENGINES:
            return cls(name, ENGINES[name])
        engine, _, first = name.rpartition(", ")
        for known in _FIRSTS:
            if engine in ENGINES and first == known:
                return cls(name, ENGINES[engine], known)
        raise typer.BadParameter(f"An engine is one of {', '.join(ENGINES)}, but got {name}.")

    def first_points(
        self, track: Track, teacher: Track | None, seed: int, n_workers: int, budget: BudgetSettings
    ) -> tuple[Point, ...]:
        """The points that it tries first in a sweep of this seed.

        Raises:
            typer.BadParameter: if it is to be taught, and there is no teacher.
        """
        if self.first == "usual":
            return track.enqueued
        if self.first == "recipe first":
            return track.enqueued[::-1]
        if self.first == "middle alone":
            return track.enqueued[:1]
        if teacher is None:
            raise typer.BadParameter("Who teaches? Say an experiment with a table, by --taught-by.")
        other = _ANOTHER_SEED + seed
        surrogate = Surrogate(teacher.table, teacher.metric, teacher.horizon, bootstrap=other)
        sweep = replay(teacher, surrogate, self.engine, other, n_workers, budget)
        best = rank(sweep.state.trials.values(), teacher.direction)
        inside = [point for trial in best if track.space.contains(point := trial.proposed.point)]
        return (*track.enqueued, *inside[:_N_TAUGHT])


def contenders_of(names: str) -> list[Contender]:
    """Those that are named, with semicolons; for `all` every engine that can run here (`gp` needs
    PyTorch).

    Raises:
        typer.BadParameter: if there is no engine of a name.
    """
    if names.strip() == "all":
        names = ";".join(name for name in ENGINES if name != "gp" or find_spec("torch") is not None)
    return [Contender.of(name.strip()) for name in names.split(";")]
