"""What proposes trials: one protocol, and an engine for each library."""

from search.engines.base import Engine, EngineSettings
from search.experiment.engine_settings import EngineChoice, OptunaSettings


def open_engine(choice: EngineChoice, settings: EngineSettings) -> Engine:
    """Make a fresh engine; `restore` has to be called before it is asked.

    A new engine is its settings in `search.experiment.engine_settings`, a folder here, and a line
    in this function.

    Args:
        choice: the `engine` part of an experiment file.
        settings: what every engine is given.

    Raises:
        EngineError: if the engine cannot search this space, lacks a package or cannot reach its
            storage.
    """
    # Imported here, because most commands need neither: Optuna costs a third of a second.
    # KerasTuner imports TensorFlow into the driver: 3.5 s and 410 MB more than the 320 MB that a
    # driver has otherwise (2 cores, TensorFlow 2.21).
    if isinstance(choice, OptunaSettings):
        from search.engines.optuna.engine import OptunaEngine

        return OptunaEngine(choice, settings)
    from search.engines.keras_tuner.engine import KerasTunerEngine

    return KerasTunerEngine(choice, settings)
