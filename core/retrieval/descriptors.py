"""From the patch embeddings of a page to one vector, so that pages are compared by a product.

It is the mean of the patches. Others (the generalised mean, VLAD, a power, whitening, centring by
the archive) were measured against it on writers that training never saw, and none was kept:
`docs/results.md` has the figures, `benchmarks/page_descriptors.py` what was measured.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

KEY = "6b885de359a7c7a454c0"
"""Of descriptors by the mean, in what an index says that it was made by; another way needs another
key, as descriptors of two ways are not comparable."""


def describe_patches(embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    """Describe a page by its patches.

    Args:
        embeddings: (n_patches, n_features) of its patches, at least one; as
            `core.networks.inference.Embedder` gives them, each of length 1.

    Returns:
        (n_features,) of length 1, so that the product of two is their cosine, from -1 to 1; all 0
        if the patches cancel out.

    Raises:
        ValueError: if it has no patch, or a value is no finite number.
    """
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise ValueError(f"A page must have embeddings (n_patches >= 1, n_features), but got {embeddings.shape}.")
    if not np.isfinite(embeddings).all():
        raise ValueError("Embeddings must be finite numbers, but some are not.")
    mean = embeddings.astype(np.float64).mean(axis=0)
    length = float(np.linalg.norm(mean))
    return (mean / length if length > 0 else mean).astype(np.float32)


def describe_pages(pages: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Describe pages: (n_pages, n_features); see `describe_patches`. (0, 0) for none."""
    return np.stack([describe_patches(page) for page in pages]) if pages else np.empty((0, 0), np.float32)
