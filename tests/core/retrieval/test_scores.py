import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from core.errors import RetrievalError
from core.retrieval import pairs as pairs_module
from core.retrieval.pairs import WriterResamples, collect_pairs
from core.retrieval.scores import score_retrieval, verification_scores
from core.retrieval.similarities import Cosines, SimilarityMatrix
from tests.core.retrieval.generated_pages import generated_pages


def all_pairs(likeness: np.ndarray, writers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.triu_indices(len(writers), k=1)
    return writers[first] == writers[second], likeness[first, second]


def test_average_precision_is_scikit_learns_for_each_query() -> None:
    similarities, names = generated_pages()
    likeness, writers = similarities.rows(0, 48), np.array(names)
    scores = score_retrieval(similarities, names, n_resamples=0)
    for query in range(48):
        others = np.arange(48) != query
        expected = average_precision_score(writers[others] == writers[query], likeness[query, others])
        assert scores.average_precisions[query] == pytest.approx(expected)
    assert scores.metrics["map"] == pytest.approx(scores.average_precisions.mean())
    assert (scores.n_pages, scores.n_writers, scores.n_excluded, scores.intervals) == (48, 12, 0, {})


def test_top_k_is_the_share_of_queries_with_a_right_answer_among_the_first_k() -> None:
    similarities, names = generated_pages(spread=2.0)
    likeness, writers = similarities.rows(0, 48).copy(), np.array(names)
    np.fill_diagonal(likeness, -np.inf)
    right = writers[np.argsort(-likeness, axis=1)] == writers[:, None]
    metrics = score_retrieval(similarities, names, n_resamples=0).metrics
    for k in (1, 5, 10):
        assert metrics[f"top{k}"] == pytest.approx(right[:, :k].any(axis=1).mean())
    assert metrics["top1"] < metrics["top5"] < metrics["top10"]


def test_verification_is_scikit_learns_roc_of_all_pairs() -> None:
    similarities, names = generated_pages()
    is_same, likeness = all_pairs(similarities.rows(0, 48), np.array(names))
    scores = score_retrieval(similarities, names, n_resamples=0)
    assert scores.metrics["auroc"] == pytest.approx(roc_auc_score(is_same, likeness))
    false_accepts, accepts, _ = roc_curve(is_same, likeness)
    nearest = np.abs(1 - accepts - false_accepts).argmin()
    assert scores.metrics["eer"] == pytest.approx((false_accepts + 1 - accepts)[nearest] / 2, abs=0.01)
    assert (scores.n_same_pairs, scores.n_different_pairs) == (72, 48 * 47 // 2 - 72)


def test_pages_whose_writer_has_no_other_page_are_no_queries_but_may_be_wrong_answers() -> None:
    descriptors = np.eye(4)[[0, 0, 1, 1, 2]] + np.array([0, 0.1, 0, 0.1, 0])[:, None]
    descriptors[4] = descriptors[0]
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    scores = score_retrieval(Cosines(descriptors), ["a", "a", "b", "b", "alone"], n_resamples=0)
    assert (scores.n_pages, scores.n_excluded, scores.queries.tolist()) == (5, 1, [0, 1, 2, 3])
    assert scores.first_right.tolist() == [2, 2, 1, 1]
    assert scores.metrics["map"] == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)


def test_a_descriptor_that_says_nothing_is_not_scored_by_the_order_of_pages() -> None:
    names = [writer for writer in "abcde" for _ in range(2)]
    scores = score_retrieval(SimilarityMatrix(np.ones((10, 10))), names)
    assert scores.first_right.tolist() == [9] * 10
    assert scores.metrics["top5"] == 0
    assert (scores.metrics["auroc"], scores.metrics["eer"]) == (0.5, 0.5)


def test_blocks_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    similarities, names = generated_pages()
    whole = score_retrieval(similarities, names)
    monkeypatch.setattr(pairs_module, "_BLOCK_CELLS", 48 * 7)
    in_blocks = score_retrieval(similarities, names)
    assert in_blocks.metrics == pytest.approx(whole.metrics)
    for name, interval in whole.intervals.items():
        assert in_blocks.intervals[name] == pytest.approx(interval, rel=1e-3), name


def test_intervals_hold_the_score_and_a_seed_gives_them_again() -> None:
    similarities, names = generated_pages()
    scores = score_retrieval(similarities, names, seed=3)
    assert set(scores.intervals) == set(scores.metrics) == {"map", "top1", "top5", "top10", "eer", "auroc"}
    for name, (low, high) in scores.intervals.items():
        assert 0 <= low <= scores.metrics[name] <= high <= 1, name
    assert score_retrieval(similarities, names, seed=3).intervals == scores.intervals
    assert score_retrieval(similarities, names, seed=4).intervals != scores.intervals


def with_copies(likeness: np.ndarray, writers: np.ndarray, drawn: np.ndarray) -> float:
    """The AUROC of the pages of writers who were drawn, copies of one writer being no pair."""
    pages = np.concatenate([np.flatnonzero(writers == writer) for writer in drawn])
    copies = np.repeat(np.arange(len(drawn)), 4)
    first, second = np.triu_indices(len(pages), k=1)
    is_pair = (copies[first] == copies[second]) | (writers[pages[first]] != writers[pages[second]])
    first, second = first[is_pair], second[is_pair]
    return float(roc_auc_score(copies[first] == copies[second], likeness[pages[first], pages[second]]))


def test_intervals_of_pairs_are_those_of_drawing_writers_again_with_their_pages() -> None:
    similarities, names = generated_pages(n_writers=20)
    likeness, writers = similarities.rows(0, 80), np.unique(names, return_inverse=True)[1]
    first, second = np.triu_indices(80, k=1)
    first, second = (pages[np.argsort(likeness[first, second])] for pages in (first, second))
    is_same = writers[first] == writers[second]
    counts = np.random.default_rng(1).multinomial(20, np.full(20, 1 / 20), size=500)
    of_same = counts[:, writers[first]] * is_same
    of_different = counts[:, writers[first]] * counts[:, writers[second]] * ~is_same
    right = (of_same * np.cumsum(of_different, axis=1)).sum(axis=1)
    drawn = right / (of_same.sum(axis=1) * of_different.sum(axis=1))
    assert drawn[0] == pytest.approx(with_copies(likeness, writers, np.repeat(np.arange(20), counts[0])))
    expected = np.quantile(drawn, [0.025, 0.975])
    found = score_retrieval(similarities, names).intervals["auroc"]
    assert np.subtract(found, expected) == pytest.approx([0, 0], abs=0.15 * np.ptp(expected))


def test_nothing_wrong_in_few_writers_is_not_certainty() -> None:
    similarities, names = generated_pages(n_writers=8, spread=0.01)
    scores = score_retrieval(similarities, names)
    assert scores.metrics == {"map": 1, "top1": 1, "top5": 1, "top10": 1, "eer": 0, "auroc": 1}
    for name in ("map", "top1", "auroc"):
        assert scores.intervals[name] == pytest.approx((0.025 ** (1 / 8), 1.0))
    assert scores.intervals["eer"] == pytest.approx((0.0, 1 - 0.025 ** (1 / 8)))


def test_a_share_of_too_many_pairs_is_compared() -> None:
    similarities, names = generated_pages(n_writers=30, n_pages=8)
    kept = collect_pairs(similarities, names, most=600)
    assert (kept.n_same, kept.n_different) == (30 * 28, 240 * 239 // 2 - 30 * 28)
    assert 500 < kept.is_same.sum() < 700
    assert 500 < (~kept.is_same).sum() < 700
    whole = verification_scores(collect_pairs(similarities, names))
    assert verification_scores(kept) == pytest.approx(whole, abs=0.03)


def test_many_writers_are_drawn_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    similarities, names = generated_pages(n_writers=60, n_pages=2)
    found = collect_pairs(similarities, names)
    monkeypatch.setattr(pairs_module, "_MOST_GROUPS", 20)
    in_groups = WriterResamples(found, 2000).means(found.scores.astype(np.float64))
    monkeypatch.undo()
    single = WriterResamples(found, 2000).means(found.scores.astype(np.float64))
    for by_group, by_writer in zip(in_groups, single, strict=True):
        assert by_group.mean() == pytest.approx(by_writer.mean(), abs=0.01)
        assert by_group.std() == pytest.approx(by_writer.std(), rel=0.5)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["a"] * 4, "writers: 1, .* of one: 4"), (list("abcd"), "writers: 4, .* of one: 1")],
)
def test_pages_that_cannot_be_scored_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(RetrievalError, match=message):
        score_retrieval(Cosines(np.eye(4)), names)


def test_every_page_needs_a_writer() -> None:
    with pytest.raises(ValueError, match="4 pages and 2 writers"):
        score_retrieval(Cosines(np.eye(4)), ["a", "a"])
