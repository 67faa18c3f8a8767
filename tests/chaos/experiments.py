"""Experiments that go the whole way of a sweep and cost next to nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from search.objectives.cheap import METRIC as METRIC

CHEAP = {
    "seed": 3,
    "corpus": {"layout": "hands", "n_writers": 3, "n_pages": 4, "n_lines": 2},
    "split": {"validation": 0.25, "test": 0.25},
    "space": {
        "base": "none",
        "fixed": {"filters": 4},
        "dimensions": {"dropout": {"type": "real", "low": 0.1, "high": 0.5}},
        "enqueue": [],
    },
    "engine": {"name": "optuna", "sampler": "tpe", "n_startup_trials": 2, "pruner": "none"},
    "objective": {"run": "search.objectives.cheap:train_cheaply", "metric": METRIC},
    "training": {"epochs": 2, "precision": "float32"},
    "executor": {"workers": 1, "threads": 1},
    "budget": {"trials": 2},
}
"""The cheap objective; corpus, split, engine, ledger, workers and MLflow are those of any sweep."""


def write_cheap(folder: Path, name: str, changes: Mapping[str, Any] | None = None) -> Path:
    """Write the cheap experiment, with whole parts of it changed, as `<name>.yaml`."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **CHEAP, **(changes or {})}, sort_keys=False), encoding="utf-8")
    return path


TINY = {
    "seed": 3,
    "corpus": {"layout": "hands", "n_writers": 3, "n_pages": 4, "n_lines": 3},
    "split": {"validation": 0.25, "test": 0.25},
    "patches": {"patches_per_epoch": 400, "per_image_at_validation": 2, "per_image_at_test": 4},
    "space": {
        "base": "none",
        "fixed": {"filters": 4, "n_blocks": 2, "convolutions_per_block": 1, "batch_size": 16},
        "dimensions": {
            "learning_rate": {"type": "real", "low": 1e-3, "high": 1e-2, "log": True},
            "dropout": {"type": "real", "low": 0.1, "high": 0.5},
        },
        "enqueue": [],
    },
    "engine": {"name": "optuna", "sampler": "tpe", "n_startup_trials": 2, "pruner": "none"},
    "training": {"epochs": 4, "precision": "float32"},
    "executor": {"workers": 1, "threads": 1, "max_attempts": 9},
    "budget": {"trials": 3},
}
"""Real training of a small network."""

TINY_METRIC = "val/image_logloss"


def write_tiny(folder: Path, name: str, changes: Mapping[str, Any] | None = None) -> Path:
    """Write the experiment with real training, with whole parts of it changed, as `<name>.yaml`."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **TINY, **(changes or {})}, sort_keys=False), encoding="utf-8")
    return path
