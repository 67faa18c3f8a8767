"""Described pages by hands that were generated: points around a centre for each writer."""

from collections.abc import Sequence

import numpy as np

from core.retrieval.descriptors import describe_patches
from core.retrieval.known_hands import AMOUNTS, DescribedPage

N_DIMENSIONS = 32


def describe_hands(
    n_writers: int, n_pages: int, seed: int, spread: float = 6.0, n_patches: Sequence[int] = (64,)
) -> list[DescribedPage]:
    """Of each writer so many pages, of each so many patches in turn; the larger the spread, the
    harder to tell.
    """
    generator, pages = np.random.default_rng(seed), []
    for writer in range(n_writers):
        centre = generator.normal(size=N_DIMENSIONS)
        for page in range(n_pages):
            n = n_patches[page % len(n_patches)]
            patches = centre + generator.normal(scale=spread, size=(n, N_DIMENSIONS))
            patches /= np.linalg.norm(patches, axis=1, keepdims=True)
            rows = [describe_patches(patches[:amount]) for amount in AMOUNTS if amount <= n]
            by_amount = np.array(rows, np.float32).reshape(len(rows), N_DIMENSIONS)
            pages.append(DescribedPage(f"{seed}-{writer}", describe_patches(patches), n, by_amount))
    return pages
