"""Every search engine that an experiment file can name."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from search.experiment.engine_settings import OptunaSettings
from search.experiment.keras_tuner_settings import KerasTunerSettings

_DEFAULT = "optuna"


def _with_name(engine: Any) -> Any:
    """Say which engine is meant where a file does not, or has nothing but its name (`engine: keras_tuner`).

    The key by which a union is decided must be there.
    """
    if isinstance(engine, str):
        return {"name": engine}
    return {"name": _DEFAULT, **engine} if isinstance(engine, dict) else engine


EngineChoice = Annotated[OptunaSettings | KerasTunerSettings, Field(discriminator="name"), BeforeValidator(_with_name)]
"""Settings of one engine; its `name` says which, and `open` gives the engine. A new engine is a file and a name here.
"""
