from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss, top_k_accuracy_score

from core.lines.store import LineStore
from core.patches.plan import PatchPlan, evaluation_plan
from core.scoring.evaluation import Evaluation, evaluate
from core.scoring.mean_scores import mean_log_probabilities
from core.settings import PatchSettings

SETTINGS = PatchSettings(size_px=40, min_ink=0.02)
BuildStore = Callable[[Any], LineStore]


@pytest.fixture(scope="session")
def store(build_bar_store: BuildStore) -> LineStore:
    """Eight writers with two pages of three lines each, some of them too narrow for all their
    patches.
    """
    generator = np.random.default_rng(1)
    return build_bar_store(
        [
            (f"w{w}-p{p}-l{n}", f"w{w}", f"w{w}-p{p}", int(generator.integers(42, 120)), range(0, 40, 8))
            for w in range(8)
            for p in range(2)
            for n in range(3)
        ]
    )


WRITERS = tuple(f"w{k}" for k in range(8))


def plan_of(store: LineStore, writers: tuple[str, ...] = WRITERS) -> PatchPlan:
    return evaluation_plan(store, [line.image_id for line in store.lines], writers, SETTINGS, per_image=7)


def answers(plan: PatchPlan, n_writers: int = 8, skill: float = 1.0, seed: int = 0) -> NDArray[np.float64]:
    scores = np.random.default_rng(seed).normal(size=(len(plan), n_writers))
    scores[np.arange(len(plan)), plan.labels] += skill
    return np.asarray(log_softmax(scores, axis=1))


@pytest.fixture(scope="session")
def evaluation(store: LineStore) -> Evaluation:
    plan = plan_of(store)
    return evaluate(answers(plan), plan, store, WRITERS)


@pytest.mark.parametrize("level", ["patch", "image", "page"])
def test_scores_are_those_of_scikit_learn(store: LineStore, evaluation: Evaluation, level: str) -> None:
    plan = plan_of(store)
    lines = [store.lines[line] for line in plan.lines]
    ids = {
        "patch": list(map(str, range(len(plan)))),
        "image": [line.image_id for line in lines],
        "page": [line.group_id for line in lines],
    }
    groups, scores = mean_log_probabilities(answers(plan), ids[level])
    label_of = dict(zip(ids[level], plan.labels.tolist(), strict=True))
    true = np.array([label_of[str(group)] for group in groups])
    predicted = scores.argmax(axis=1)
    metrics = evaluation.metrics
    assert metrics[f"{level}_top1"] == pytest.approx(accuracy_score(true, predicted))
    assert metrics[f"{level}_top5"] == pytest.approx(top_k_accuracy_score(true, scores, k=5, labels=range(8)))
    assert metrics[f"{level}_logloss"] == pytest.approx(log_loss(true, np.exp(scores), labels=range(8)))
    if level != "patch":
        assert metrics[f"{level}_macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))


def test_a_page_is_the_mean_of_all_its_patches(store: LineStore, evaluation: Evaluation) -> None:
    plan = plan_of(store)
    own = np.array([store.lines[line].group_id == "w3-p1" for line in plan.lines])
    mean = answers(plan)[own].mean(axis=0)
    (decision,) = (page for page in evaluation.page_decisions if page.page_id == "w3-p1")
    assert decision.n_patches == own.sum()
    assert decision.predicted == WRITERS[mean.argmax()]
    assert decision.probability == pytest.approx(np.exp(log_softmax(mean)).max())
    assert decision.image_id is None


def test_more_patches_decide_better(store: LineStore) -> None:
    plan = plan_of(store)
    metrics = evaluate(answers(plan, skill=1.5), plan, store, WRITERS).metrics
    assert metrics["patch_top1"] < metrics["image_top1"] <= metrics["page_top1"]


def test_every_score_has_an_interval_around_it(evaluation: Evaluation) -> None:
    assert evaluation.intervals.keys() == evaluation.metrics.keys()
    assert (evaluation.interval_unit, evaluation.n_interval_units) == ("page", 16)
    for name, (low, high) in evaluation.intervals.items():
        assert low <= evaluation.metrics[name] <= high
        assert low < high


def test_a_perfect_score_has_the_exact_interval_over_pages(store: LineStore) -> None:
    plan = plan_of(store)
    evaluation = evaluate(answers(plan, skill=50), plan, store, WRITERS)
    for name in ("patch_top1", "image_top1", "page_top5", "page_macro_f1"):
        assert evaluation.metrics[name] == 1.0
        assert evaluation.intervals[name] == pytest.approx((0.025 ** (1 / 16), 1.0))


def test_without_pages_the_image_is_the_unit(build_bar_store: BuildStore) -> None:
    store = build_bar_store([(f"w{k}-{n}", f"w{k}", None, 90, range(0, 80, 8)) for k in range(8) for n in range(3)])
    plan = plan_of(store)
    evaluation = evaluate(answers(plan), plan, store, WRITERS)
    assert not any(name.startswith("page") for name in evaluation.metrics)
    assert evaluation.page_decisions == ()
    assert (evaluation.interval_unit, evaluation.n_interval_units) == ("image", 24)
    assert all(image.page_id is None for image in evaluation.image_decisions)
    assert all(writer.n_pages is None for writer in evaluation.per_writer)


def test_a_network_that_knows_nothing_is_not_right_by_a_tie(store: LineStore) -> None:
    plan = plan_of(store)
    metrics = evaluate(np.full((len(plan), 8), -np.log(8)), plan, store, WRITERS).metrics
    assert metrics["image_top1"] == pytest.approx(1 / 8)
    assert metrics["image_top5"] == pytest.approx(5 / 8)
    assert metrics["image_logloss"] == pytest.approx(np.log(8))


def test_with_fewer_than_five_writers_top5_is_certain(build_bar_store: BuildStore) -> None:
    store = build_bar_store([("a", "w0", "p0", 60, [20]), ("b", "w1", "p1", 60, [20])])
    plan = plan_of(store, ("w0", "w1"))
    assert evaluate(answers(plan, 2, skill=-9), plan, store, ("w0", "w1")).metrics["page_top5"] == 1.0


def test_the_confusion_matrix_has_the_true_writers_in_rows(store: LineStore) -> None:
    plan = plan_of(store)
    given = answers(plan, skill=50)
    given[plan.labels == 2] = np.log(np.eye(8)[5] * 0.9 + 0.0125)
    evaluation = evaluate(given, plan, store, WRITERS)
    assert evaluation.confusion[2, 5] == 6
    assert evaluation.confusion.sum() == 48
    row = evaluation.per_writer[2]
    assert (row.writer_id, row.n_images, row.n_pages, row.top1) == ("w2", 6, 2, 0.0)
    assert (row.most_confused_with, row.n_confused) == ("w5", 6)
    assert evaluation.per_writer[5].most_confused_with is None
    wrong = [image for image in evaluation.image_decisions if image.predicted != image.true]
    assert [(image.true, image.predicted) for image in wrong] == [("w2", "w5")] * 6
    assert wrong[0].true_probability < 0.02 < 0.9 < wrong[0].probability


def test_a_writer_without_images_does_not_count(store: LineStore) -> None:
    plan = plan_of(store)
    plan = plan[plan.labels != 7]
    evaluation = evaluate(answers(plan, skill=50), plan, store, WRITERS)
    assert evaluation.metrics["image_macro_f1"] == 1.0
    assert (evaluation.per_writer[7].n_images, evaluation.per_writer[7].top1) == (0, None)


def test_the_same_answers_have_the_same_evaluation(store: LineStore, evaluation: Evaluation) -> None:
    plan = plan_of(store)
    first, again = asdict(evaluation), asdict(evaluate(answers(plan), plan, store, WRITERS))
    assert (first.pop("confusion") != again.pop("confusion")).nnz == 0
    np.testing.assert_equal(again, first)


def test_intervals_can_be_left_out(store: LineStore, evaluation: Evaluation) -> None:
    plan = plan_of(store)
    quick = evaluate(answers(plan), plan, store, WRITERS, n_resamples=0)
    assert quick.metrics == evaluation.metrics
    assert quick.intervals == {}


def test_answers_of_another_shape_are_refused(store: LineStore) -> None:
    plan = plan_of(store)
    with pytest.raises(ValueError, match=r"Shape .* was expected, but got"):
        evaluate(answers(plan)[:, :7], plan, store, WRITERS)


def test_patches_without_a_writer_are_refused(store: LineStore) -> None:
    plan = evaluation_plan(store, ["w0-p0-l0"], None, SETTINGS, per_image=2)
    with pytest.raises(ValueError, match=r"Labels must be from 0 to 7, but got -1\.\.-1"):
        evaluate(np.zeros((len(plan), 8)), plan, store, WRITERS)
