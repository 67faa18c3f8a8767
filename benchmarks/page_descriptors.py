"""Ways from the patch embeddings of a page to one vector, of which the mean was kept
(`core.retrieval.descriptors`).

The way is pooling, power normalisation, length 1, and where asked for whitening and length 1 again.
What is learned (the codebook of VLAD, the whitening) is learned on training pages alone: pages that
are searched or scored take no part in it.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from core.errors import RetrievalError
from core.scoring.mean_scores import FloatArray
from core.settings import Settings

_MOST_TRAINING_PATCHES = 200_000  # of the codebook: 400 MB at 512 features
_BATCH_SIZE = 4096  # of k-means; its own default is 1024, and is noisier


class DescriptorSettings(Settings):
    """How the patches of a page become one vector."""

    pooling: Literal["mean", "generalised_mean", "vlad"] = "mean"
    """`mean` of the patches; `generalised_mean` leans towards their largest values (Radenović,
    Tolias and Chum 2019); `vlad` sums how patches differ from the centres nearest to them (Jégou et
    al. 2010), and needs training pages."""

    exponent: float = Field(default=3.0, gt=0, le=100)
    """Of the generalised mean: 1 is the mean, and the larger, the nearer to the maximum."""

    n_clusters: int = Field(default=64, ge=2, le=4096)
    """Centres of VLAD's codebook; a descriptor has so many times the features of a patch."""

    power: float = Field(default=1.0, gt=0, le=1)
    """Every value is raised to it and keeps its sign: below 1 (often 0.5) a few large values count
    for less (Perronnin, Sánchez and Mensink 2010)."""

    n_whitened: int | None = Field(default=None, ge=1)
    """Keep so many principal components, each scaled to variance 1 on the training pages (Jégou and
    Chum 2012); `null` does not whiten."""


class PageDescriber:
    """Turns the patch embeddings of a page into one vector of length 1.

    Args:
        settings: how.
        centres: (n_clusters, n_features), VLAD's codebook; `None` for other poolings.
        whitening: the training pages' mean (n_pooled,) and what it is multiplied by after that is
            subtracted (n_pooled, n_whitened); `None` without whitening.

    Raises:
        ValueError: if what the settings need is missing.
    """

    def __init__(
        self,
        settings: DescriptorSettings,
        centres: FloatArray | None = None,
        whitening: tuple[FloatArray, FloatArray] | None = None,
    ) -> None:
        if (centres is None) != (settings.pooling != "vlad") or (whitening is None) != (settings.n_whitened is None):
            raise ValueError("VLAD needs centres and whitening its components: make it by `PageDescriber.fit`.")
        self.settings = settings
        self._centres = centres
        self._whitening = whitening

    @classmethod
    def fit(
        cls, settings: DescriptorSettings, training_pages: Sequence[NDArray[np.floating]] = (), seed: int = 0
    ) -> Self:
        """Learn what the settings need from training pages.

        Args:
            settings: how.
            training_pages: (n_patches, n_features) of each page; without effect where nothing is
                learned. None of them may be among the pages that are scored later.
            seed: of k-means, and of the choice among more than 200,000 training patches.

        Raises:
            RetrievalError: if there are fewer training patches than clusters, or not more training
                pages than components to keep, or more components than a descriptor has values.
            ValueError: if a page is not as `describe` wants it.
        """
        pages = [_checked(page) for page in training_pages]
        centres = _fit_centres(pages, settings.n_clusters, seed) if settings.pooling == "vlad" else None
        if settings.n_whitened is None:
            return cls(settings, centres)
        plain = cls(settings.model_copy(update={"n_whitened": None}), centres)
        return cls(settings, centres, _fit_whitening(plain.describe_all(pages), settings.n_whitened, seed))

    def describe(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Describe a page.

        Args:
            embeddings: (n_patches, n_features) of its patches, at least one; as
                `core.networks.inference.Embedder` gives them, each of length 1.

        Returns:
            (n_dimensions,) of length 1, so that the product of two is their cosine, from -1 to 1;
            all 0 if the patches cancel out.

        Raises:
            ValueError: if it has no patch, a value is no finite number, or the features are not as
                many as those of the training pages.
        """
        patches = _checked(embeddings)
        pooled = self._pool(patches)
        pooled = _unit(np.sign(pooled) * np.abs(pooled) ** self.settings.power)
        if self._whitening is not None:
            mean, components = self._whitening
            if len(pooled) != len(mean):
                raise ValueError(f"A page must pool to {len(mean)} values as in training, but has {len(pooled)}.")
            pooled = _unit((pooled - mean) @ components)
        return pooled.astype(np.float32)

    def describe_all(self, pages: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
        """Describe pages: (n_pages, n_dimensions); see `describe`. (0, 0) for none."""
        return np.stack([self.describe(page) for page in pages]) if pages else np.empty((0, 0), np.float32)

    @cached_property
    def key(self) -> str:
        """A hash of all that a descriptor depends on besides the embeddings; those of two keys are
        not comparable.
        """
        digest = hashlib.sha256(json.dumps(self.settings.model_dump(mode="json"), sort_keys=True).encode())
        for array in self._arrays().values():
            digest.update(array.tobytes())
        return digest.hexdigest()[:20]

    def _arrays(self) -> dict[str, FloatArray]:
        centres = {} if self._centres is None else {"centres": self._centres}
        whitening = {} if self._whitening is None else dict(zip(("mean", "components"), self._whitening, strict=True))
        return centres | whitening

    def _pool(self, patches: FloatArray) -> FloatArray:
        """(n_pooled,) of a page's patches."""
        if self._centres is not None:
            return _vlad(patches, self._centres)
        if self.settings.pooling == "mean":
            return patches.mean(axis=0)
        # The authors raise values that are not negative. Ours may be where a network of the user's
        # own ends without a ReLU: they keep their sign on both ways.
        raised = (np.sign(patches) * np.abs(patches) ** self.settings.exponent).mean(axis=0)
        return np.sign(raised) * np.abs(raised) ** (1 / self.settings.exponent)


def _checked(embeddings: NDArray[np.floating]) -> FloatArray:
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise ValueError(f"A page must have embeddings (n_patches >= 1, n_features), but got {embeddings.shape}.")
    if not np.isfinite(embeddings).all():
        raise ValueError("Embeddings must be finite numbers, but some are not.")
    return embeddings.astype(np.float64)


def _unit(vector: FloatArray) -> FloatArray:
    """Of length 1; a vector of zeros stays one."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def _vlad(patches: FloatArray, centres: FloatArray) -> FloatArray:
    """For each centre the sum of (patch - centre) over the patches nearest to it, one after the
    other: (n_clusters * n_features,).
    """
    if patches.shape[1] != centres.shape[1]:
        raise ValueError(f"A patch must have {centres.shape[1]} features as in training, but has {patches.shape[1]}.")
    nearest = (patches @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
    is_nearest = (nearest == np.arange(len(centres))[:, np.newaxis]).astype(np.float64)
    return (is_nearest @ patches - is_nearest.sum(axis=1, keepdims=True) * centres).ravel()


def _fit_centres(pages: Sequence[FloatArray], n_clusters: int, seed: int) -> FloatArray:
    n_patches = sum(map(len, pages))
    if n_patches < n_clusters:
        raise RetrievalError(
            f"A codebook of {n_clusters} clusters needs at least as many patches of training pages, but there are "
            f"{n_patches}. Give more training pages, or fewer clusters."
        )
    patches = np.concatenate(pages)
    if n_patches > _MOST_TRAINING_PATCHES:
        patches = patches[np.random.default_rng(seed).choice(n_patches, _MOST_TRAINING_PATCHES, replace=False)]
    found = MiniBatchKMeans(n_clusters, batch_size=_BATCH_SIZE, n_init=1, random_state=seed).fit(patches)
    return np.asarray(found.cluster_centers_, dtype=np.float64)


def _fit_whitening(descriptors: NDArray[np.float32], n_whitened: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """The mean, and the components each divided by its standard deviation."""
    n_pages, n_pooled = descriptors.shape
    most = min(n_pages - 1, n_pooled)
    if n_whitened > most:
        raise RetrievalError(
            f"Whitening can keep at most {max(most, 0)} components: one fewer than training pages ({n_pages}), and no "
            f"more than a descriptor has values ({n_pooled}); but {n_whitened} were asked for."
        )
    with np.errstate(invalid="ignore"):  # shares of a variance that is 0; said below
        found = PCA(n_whitened, random_state=seed).fit(descriptors.astype(np.float64))
    deviations = np.sqrt(found.explained_variance_)
    if deviations[-1] <= deviations[0] * np.finfo(np.float32).eps:
        raise RetrievalError(
            f"Whitening must keep components in which training pages differ, but the last of {n_whitened} is the same "
            "for all. Keep fewer."
        )
    return np.asarray(found.mean_), np.asarray((found.components_ / deviations[:, np.newaxis]).T)
