"""A random forest on ink shape: what whole text images give away without a network.

    python -m benchmarks.ink_shape_forest experiments/dhsd.yaml

Fits on the training and validation images, scores the test images once (the opening is counted like
any other).
"""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier

from benchmarks.ink_shape import shape_statistics
from core.lines.store import LineStore
from search.experiment.experiment import load_experiment
from search.experiment.workspace import Workspace
from search.ledger.access_log import TestAccess, record_test_access
from search.sweep.preparation import PreparedCorpus, prepare_corpus

N_TREES = 500


def main(
    experiment: Path,
    overrides: Annotated[list[str], typer.Option("--set")] = [],  # noqa: B006  (typer copies it)
    seed: int = 0,
) -> None:
    """Print the top-1 of the test images."""
    workspace = Workspace(Path.cwd())
    corpus = prepare_corpus(load_experiment(experiment, overrides), workspace)
    manifest = corpus.manifest
    train, train_writers = _statistics(corpus, (*manifest.train, *manifest.validation))
    reason = f"benchmarks.ink_shape_forest, seed {seed}"
    n_openings = record_test_access(
        workspace.access_log, TestAccess(manifest.test_hash, int(1000 * time.time()), reason)
    )
    test, test_writers = _statistics(corpus, manifest.test)
    forest = RandomForestClassifier(N_TREES, random_state=seed, n_jobs=-1).fit(train, train_writers)
    n_right = int((forest.predict(test) == test_writers).sum())
    interval = binomtest(n_right, len(test)).proportion_ci()
    Console().print(
        f"random forest on ink shape, {N_TREES} trees, seed {seed}: {n_right / len(test):.1%} of {len(test)} test "
        f"images (95 %: {interval.low:.1%} to {interval.high:.1%}); these test images were opened {n_openings} times"
    )


def _statistics(corpus: PreparedCorpus, image_ids: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Mean statistics of each image's lines, and their writers."""
    store: LineStore = corpus.store
    wanted = set(image_ids)
    lines: dict[str, list[int]] = {}
    for number, line in enumerate(store.lines):
        if line.image_id in wanted:
            lines.setdefault(line.image_id, []).append(number)
    rows = [np.mean([shape_statistics(store.pixels(i)) for i in own], axis=0) for own in lines.values()]
    return np.array(rows, dtype=np.float32), np.array([store.lines[own[0]].writer_id for own in lines.values()])


if __name__ == "__main__":
    typer.run(main)
