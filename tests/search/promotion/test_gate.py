from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from core.corpora.index import TextImage
from core.identification.prediction import Prediction, RankedWriter
from search.experiment.settings import GateSettings
from search.promotion.gate import CommonPages, Comparison, SmokeTest, judge
from search.promotion.tested_images import TestedImages, compare_models, guess_rate, score_product

GOOD_SMOKE = SmokeTest(8, 1e-6, 1e-3, 0.1, "")
COMMON = CommonPages((), 12, 0, "")


def _tested(right: Sequence[Sequence[float]]) -> TestedImages:
    """Two writers' pages in turn, with the probability of the true writer for each of their
    lines.
    """
    images, predictions = [], {}
    for page, lines in enumerate(right):
        writer, other = ("a", "b") if page % 2 else ("b", "a")
        for line, sure in enumerate(lines):
            name = f"{page}-{line}"
            images.append(TextImage(name, Path("x.png"), writer, page_id=f"{page}"))
            both = (RankedWriter(writer, sure), RankedWriter(other, 1 - sure))
            ranking = both if sure >= 0.5 else both[::-1]
            predictions[name] = Prediction(name, ranking, 0.01, sure > 0.4, 1, 8)
    return TestedImages(tuple(images), predictions)


def _answers(right: Sequence[float], lines: int = 2) -> TestedImages:
    return _tested([[sure] * lines for sure in right])


GOOD, WEAK = _answers(np.linspace(0.9, 0.99, 12).tolist()), _answers(np.linspace(0.3, 0.8, 12).tolist())


def test_the_first_model_passes_without_a_champion() -> None:
    gate_result = judge(GateSettings(), GOOD_SMOKE, 10_000_000, score_product(GOOD, "page"), None)
    assert gate_result.is_passed
    assert len(gate_result.remarks) == 6


def test_a_better_model_passes_and_the_weaker_one_stays_outside_with_a_reason() -> None:
    for first, second, passes in ((GOOD, WEAK, True), (WEAK, GOOD, False)):
        comparison = Comparison(3, COMMON, compare_models(first, second))
        gate_result = judge(GateSettings(), GOOD_SMOKE, 1, score_product(first, "page"), comparison)
        said = "; ".join(gate_result.reasons + gate_result.remarks)
        assert ("not shown to be better than the champion, version 3" in said) is not passes
        assert ("not shown to be better" in "; ".join(gate_result.reasons)) is not passes


def test_a_comparison_that_is_refused_is_a_reason() -> None:
    refused = Comparison(3, CommonPages((), 0, 0, "the champion knows other writers"), None)
    gate_result = judge(GateSettings(), GOOD_SMOKE, 1, score_product(GOOD, "page"), refused)
    assert gate_result.reasons == (
        "it cannot be compared with the champion, version 3: the champion knows other writers",
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (GateSettings(min_top1=0.999, max_calibration_error=1), "promotion.gate.min_top1"),
        (GateSettings(max_latency_s=0.05), "promotion.gate.max_latency_s"),
        (GateSettings(max_size_mb=0.5), "promotion.gate.max_size_mb"),
    ],
)
def test_each_threshold_can_fail_and_names_its_key(settings: GateSettings, reason: str) -> None:
    gate_result = judge(settings, GOOD_SMOKE, 1_000_000, score_product(WEAK, "page"), None)
    assert [line for line in gate_result.reasons if reason in line] != []


def test_probabilities_that_are_wrong_beyond_chance_fail_and_a_few_unlucky_ones_do_not() -> None:
    bold = _answers([0.95] * 20 + [0.05] * 20, lines=3)
    gate_result = judge(GateSettings(), GOOD_SMOKE, 1, score_product(bold, "page"), None)
    assert [line for line in gate_result.reasons if "max_calibration_error" in line] != []
    unlucky = score_product(_answers([0.9] * 4 + [0.2], lines=1), "page")
    assert unlucky.calibration_p > 0.05
    assert not judge(GateSettings(max_calibration_error=0.01), GOOD_SMOKE, 1, unlucky, None).reasons


def test_a_model_that_answers_otherwise_than_before_fails() -> None:
    smoke = SmokeTest(8, 0.4, 1e-3, 0.1, "its probabilities differ from the network's by 0.4, more than 0.001")
    gate_result = judge(GateSettings(), smoke, 1, None, None, accept=True)
    assert not gate_result.is_passed
    assert "does not answer as before: its probabilities differ" in gate_result.reasons[0]


def test_a_page_is_decided_by_the_mean_over_its_lines_weighted_by_patches() -> None:
    scores = score_product(_tested([[0.9, 0.4]]), "page")
    assert (scores.n_units, scores.top1) == (1, 1.0)


def _guessed(n_right: int, n_pages: int, n_writers: int) -> TestedImages:
    """Pages of writers in equal shares, of which some are identified correctly."""
    writers = [f"w{page % n_writers}" for page in range(n_pages)]
    images = tuple(
        TextImage(f"p{page}", Path("x.png"), writer, page_id=f"p{page}") for page, writer in enumerate(writers)
    )
    others = [f"w{(page + 1) % n_writers}" for page in range(n_pages)]
    predictions = {}
    for page, (writer, other) in enumerate(zip(writers, others, strict=True)):
        first, second = (writer, other) if page < n_right else (other, writer)
        ranking = (RankedWriter(first, 0.6), RankedWriter(second, 0.4))
        predictions[f"p{page}"] = Prediction(f"p{page}", ranking, None, None, 1, 8)
    return TestedImages(images, predictions)


LENIENT = GateSettings(max_calibration_error=1.0)


@pytest.mark.parametrize(("n_right", "passes"), [(2, False), (4, False), (5, True), (10, True)])
def test_a_model_that_is_no_better_than_guessing_fails(n_right: int, passes: bool) -> None:
    scores = score_product(_guessed(n_right, 10, 10), "page")
    assert guess_rate(scores.true_writers) == pytest.approx(0.1)
    result = judge(LENIENT, GOOD_SMOKE, 1, scores, None)
    assert result.is_passed is passes
    assert "better than guessing" in "; ".join(result.remarks if passes else result.reasons)


def test_guessing_means_the_most_frequent_writer_of_the_test_pages() -> None:
    five_of_nine = _guessed(9, 9, 2)
    assert guess_rate(score_product(five_of_nine, "page").true_writers) == pytest.approx(5 / 9)


def test_where_a_perfect_score_could_not_pass_too_few_pages_are_no_failure_and_can_be_accepted() -> None:
    scores = score_product(_guessed(3, 3, 3), "page")
    result = judge(LENIENT, GOOD_SMOKE, 1, scores, None)
    assert (result.is_passed, result.reasons) == (False, ())
    assert result.undecided.startswith("too few test pages to tell")
    accepted = judge(LENIENT, GOOD_SMOKE, 1, scores, None, accept=True)
    assert accepted.is_passed
    assert accepted.undecided == result.undecided


def test_a_split_without_test_pages_tells_nothing() -> None:
    result = judge(LENIENT, GOOD_SMOKE, 1, None, None)
    assert (result.is_passed, result.reasons) == (False, ())
    assert "no test page was used" in result.undecided
    assert judge(LENIENT, GOOD_SMOKE, 1, None, None, accept=True).is_passed


def test_what_failed_cannot_be_accepted() -> None:
    scores = score_product(_guessed(3, 3, 3), "page")
    assert not judge(GateSettings(max_size_mb=0.5), GOOD_SMOKE, 1_000_000, scores, None, accept=True).is_passed
