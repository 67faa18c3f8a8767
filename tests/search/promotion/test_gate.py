from collections.abc import Sequence

import numpy as np
import pytest

from search.experiment.settings import GateSettings
from search.promotion.gate import CommonPages, Comparison, compare_answers, judge, score_product
from search.promotion.model_answers import ImageAnswer, SmokeTest

GOOD_SMOKE = SmokeTest(8, 1e-6, 1e-3, 0.1, "")
COMMON = CommonPages((), 12, 0, "")


def _answers(right: Sequence[float], lines: int = 2) -> list[ImageAnswer]:
    """Two writers' pages of some lines each, with the probability of the right writer of each page."""
    return [
        ImageAnswer(f"{page}-{line}", "a", f"page{page}", {"a": sure, "b": 1 - sure}, 0.01, sure > 0.4, 8, 0.1)
        for page, sure in enumerate(right)
        for line in range(lines)
    ]


GOOD, WEAK = _answers(np.linspace(0.9, 0.99, 12).tolist()), _answers(np.linspace(0.3, 0.8, 12).tolist())


def test_the_first_model_passes_without_a_champion() -> None:
    gate_result = judge(GateSettings(), GOOD_SMOKE, 10_000_000, score_product(GOOD, "page"), None)
    assert gate_result.is_passed
    assert len(gate_result.remarks) == 5


def test_a_better_model_passes_and_the_weaker_one_stays_outside_with_a_reason() -> None:
    for first, second, passes in ((GOOD, WEAK, True), (WEAK, GOOD, False)):
        comparison = Comparison(3, COMMON, compare_answers(first, second))
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
    assert judge(GateSettings(max_calibration_error=0.01), GOOD_SMOKE, 1, unlucky, None).is_passed


def test_a_model_that_answers_otherwise_than_before_fails() -> None:
    smoke = SmokeTest(8, 0.4, 1e-3, 0.1, "its probabilities differ from the network's by 0.4, more than 0.001")
    gate_result = judge(GateSettings(), smoke, 1, None, None)
    assert "does not answer as before: its probabilities differ" in gate_result.reasons[0]


def test_a_page_is_decided_by_the_mean_over_its_lines_weighed_by_patches() -> None:
    strong = ImageAnswer("1", "a", "page", {"a": 0.9, "b": 0.1}, None, None, 8, 0.1)
    wrong = ImageAnswer("2", "a", "page", {"a": 0.4, "b": 0.6}, None, None, 8, 0.1)
    scores = score_product([strong, wrong], "page")
    assert (scores.n_units, scores.top1, scores.rejected) == (1, 1.0, 0.0)
