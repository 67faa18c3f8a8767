"""Descriptors of pages by writers whose hands are told from each other more or less easily."""

import numpy as np

from core.retrieval.similarities import Cosines


def generated_pages(
    n_writers: int = 12, n_pages: int = 4, spread: float = 1.0, seed: int = 0
) -> tuple[Cosines, list[str]]:
    """Of each writer so many pages, in random order; the larger the spread, the harder."""
    generator = np.random.default_rng(seed)
    writers = generator.permutation(np.repeat(np.arange(n_writers), n_pages))
    points = generator.normal(size=(n_writers, 8))[writers] + generator.normal(0, spread, (len(writers), 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Cosines(points), [f"w{number}" for number in writers]
