"""Answers that pass by in batches score as they do all at once, to the last bit."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from core.lines.source import ImageLines, StoredLine
from core.patches.plan import PatchPlan
from core.scoring.evaluation import evaluate
from core.scoring.levels import Level, build_levels
from core.scoring.mean_scores import mean_log_probabilities

N_WRITERS, N_IMAGES, PER_IMAGE = 9, 40, 3
WRITERS = tuple(f"w{k}" for k in range(N_WRITERS))
_generator = np.random.default_rng(0)
LABELS = _generator.integers(0, N_WRITERS, N_IMAGES)


class Lines(ImageLines):
    """Forty images of one line on two pages a writer; their pixels are never asked for."""

    def __init__(self) -> None:
        super().__init__("none", [], 40)
        pages = _generator.integers(0, 2, N_IMAGES)
        self.lines = tuple(
            StoredLine(f"i{k}", 0, f"w{label}", f"w{label}-p{page}", 100)
            for k, (label, page) in enumerate(zip(LABELS, pages, strict=True))
        )


LINES = Lines()


def plan_of(lines: NDArray[np.integer]) -> PatchPlan:
    zeros = np.zeros(len(lines), dtype=np.int32)
    return PatchPlan(lines.astype(np.int32), zeros, zeros, LABELS[lines].astype(np.int32), 40)


IN_ORDER = np.repeat(np.arange(N_IMAGES), PER_IMAGE)
SCATTERED = np.random.default_rng(1).permutation(IN_ORDER)


def answers(lines: NDArray[np.integer]) -> NDArray[np.float32]:
    scores = 2 * np.random.default_rng(2).normal(size=(len(lines), N_WRITERS))
    scores[:4] = 0.0  # all alike
    scores[5, 0] = -1e9
    return np.asarray(log_softmax(scores, axis=1), dtype=np.float32)


def level_of(lines: NDArray[np.integer], name: str) -> Level:
    return build_levels([answers(lines)], plan_of(lines), LINES, N_WRITERS)[name]


@pytest.mark.parametrize("lines", [IN_ORDER, SCATTERED], ids=["in order", "scattered"])
@pytest.mark.parametrize("name", ["patch", "image", "page"])
def test_an_item_scores_by_the_mean_of_its_patches(lines: NDArray[np.integer], name: str) -> None:
    stored = [LINES.lines[line] for line in lines.tolist()]
    keys_of: dict[str, Sequence[Hashable]] = {
        "patch": list(range(len(lines))),
        "image": [line.image_id for line in stored],
        "page": [(line.writer_id, line.group_id) for line in stored],
    }
    keys = keys_of[name]
    groups, means = mean_log_probabilities(answers(lines), keys)
    labels = dict(zip(keys, LABELS[lines].tolist(), strict=True))
    true = np.array([labels[group] for group in groups])
    level, items = level_of(lines, name), np.arange(len(groups))
    ranked = np.argsort(-means, axis=1, kind="stable")
    assert (level.true == true).all()
    assert (level.predicted == means.argmax(axis=1)).all()
    assert (level.n_ahead == (ranked == true[:, np.newaxis]).argmax(axis=1)).all()
    assert (level.true_log_probability == means[items, true]).all()  # equal, not nearly so
    assert (level.predicted_log_probability == means.max(axis=1)).all()


@pytest.mark.parametrize("lines", [IN_ORDER, SCATTERED], ids=["in order", "scattered"])
@pytest.mark.parametrize("n_at_once", [1, 7, 256])
def test_batches_have_the_same_evaluation_as_all_answers_at_once(lines: NDArray[np.integer], n_at_once: int) -> None:
    given, plan = answers(lines), plan_of(lines)
    whole = asdict(evaluate(given, plan, LINES, WRITERS, 50))
    batches = (given[start : start + n_at_once] for start in range(0, len(given), n_at_once))
    streamed = asdict(evaluate(batches, plan, LINES, WRITERS, 50))
    assert (whole.pop("confusion") != streamed.pop("confusion")).nnz == 0
    ours, theirs = whole.pop("levels"), streamed.pop("levels")
    assert list(ours) == list(theirs)
    for name, level in ours.items():
        assert all(np.array_equal(value, theirs[name][part]) for part, value in level.items()), name
    assert whole == streamed


@pytest.mark.parametrize("n_answers", [len(IN_ORDER) - 1, len(IN_ORDER) + 1])
def test_each_patch_must_have_one_answer(n_answers: int) -> None:
    given = np.zeros((n_answers, N_WRITERS))
    with pytest.raises(ValueError, match="120 patches must have as many answers, but got"):
        build_levels([given], plan_of(IN_ORDER), LINES, N_WRITERS)
