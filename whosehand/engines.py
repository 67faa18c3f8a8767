"""The search engines, by the names that a file gives them: `wh.engines.Optuna(sampler="tpe")`."""

from search.experiment.engine_settings import KerasTunerSettings as KerasTuner
from search.experiment.engine_settings import OptunaSettings as Optuna

__all__ = ["KerasTuner", "Optuna"]
