"""Every search engine that an experiment file can name."""

from search.engines.base import Engine, EngineSettings
from search.engines.optuna_settings import OptunaSettings

EngineChoice = OptunaSettings
"""Settings of one engine; its `name` says which. Becomes a union discriminated by `name` with the second engine."""


def open_engine(choice: EngineChoice, settings: EngineSettings) -> Engine:
    """Return a fresh engine; `restore` has to be called before it is asked.

    Args:
        choice: which engine, and how it is set.
        settings: what every engine is given.

    Raises:
        EngineError: if the engine cannot search this space or cannot reach its storage.
    """
    # Imported here, because it costs a third of a second that `data` and `identify` need not wait for.
    from search.engines.optuna_engine import OptunaEngine

    return OptunaEngine(choice, settings)
