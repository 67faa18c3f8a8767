"""Every search engine that an experiment file can name."""

from search.engines.optuna_settings import OptunaSettings

EngineChoice = OptunaSettings
"""Settings of one engine; its `name` says which, and `open` gives the engine. A new engine is a file and a name here.
"""
