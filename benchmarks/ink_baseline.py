"""A linear model on plain ink statistics of patches: what can be told of a writer without looking
at shapes.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.ink_shape import simple_statistics
from core.lines.store import LineStore
from core.patches.plan import PatchPlan, PatchSampler, evaluation_plan, read_patches
from core.settings import PatchSettings
from core.splits.manifest import SplitManifest

_N_AT_ONCE = 1000


def linear_top1(store: LineStore, manifest: SplitManifest, patches: PatchSettings, n_train: int, seed: int) -> float:
    """Share of the validation patches that a logistic regression gives to the right writer.

    The patches are those that a network is validated on. Statistics are standardised by those of
    the training patches.

    Args:
        store: the line store.
        manifest: its train and validation parts are used.
        patches: how patches are drawn.
        n_train: training patches, of the train part.
        seed: of the training patches.
    """
    drawn = patches.model_copy(update={"patches_per_epoch": n_train})
    train = PatchSampler(store, manifest.train, manifest.writer_ids, drawn, seed).plan_epoch(0)
    per_image = patches.of_validation_image(len(manifest.validation))
    validation = evaluation_plan(store, manifest.validation, manifest.writer_ids, patches, per_image)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(statistics_of(store, train), train.labels)
    return float(model.score(statistics_of(store, validation), validation.labels))


def statistics_of(store: LineStore, plan: PatchPlan) -> NDArray[np.float32]:
    """The plain statistics of each patch, (n_patches, 8)."""
    parts = [read_patches(store, plan[start : start + _N_AT_ONCE]) for start in range(0, len(plan), _N_AT_ONCE)]
    return np.array([simple_statistics(patch) for part in parts for patch in part], dtype=np.float32)
