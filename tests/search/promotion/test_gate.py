from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from core.corpora.index import TextImage
from core.identification.prediction import Prediction, RankedWriter
from search.experiment.settings import GateSettings
from search.promotion.gate import (
    CommonPages,
    Comparison,
    SmokeTest,
    TestedImages,
    compare_models,
    judge,
    score_product,
)

GOOD_SMOKE = SmokeTest(8, 1e-6, 1e-3, 0.1, "")
COMMON = CommonPages((), 12, 0, "")


def _tested(right: Sequence[Sequence[float]]) -> TestedImages:
    """Pages of writer `a` by the probability of `a` for each of their lines; there is one other writer, `b`."""
    lines = {f"{page}-{line}": sure for page, lines in enumerate(right) for line, sure in enumerate(lines)}
    return TestedImages(
        tuple(TextImage(name, Path("x.png"), "a", page_id=name.split("-")[0]) for name in lines),
        {name: Prediction(name, _ranking(sure), 0.01, sure > 0.4, 1, 8) for name, sure in lines.items()},
    )


def _ranking(sure: float) -> tuple[RankedWriter, ...]:
    both = (RankedWriter("a", sure), RankedWriter("b", 1 - sure))
    return both if sure >= 0.5 else both[::-1]


def _answers(right: Sequence[float], lines: int = 2) -> TestedImages:
    return _tested([[sure] * lines for sure in right])


GOOD, WEAK = _answers(np.linspace(0.9, 0.99, 12).tolist()), _answers(np.linspace(0.3, 0.8, 12).tolist())


def test_the_first_model_passes_without_a_champion() -> None:
    gate_result = judge(GateSettings(), GOOD_SMOKE, 10_000_000, score_product(GOOD, "page"), None)
    assert gate_result.is_passed
    assert len(gate_result.remarks) == 5


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
    assert judge(GateSettings(max_calibration_error=0.01), GOOD_SMOKE, 1, unlucky, None).is_passed


def test_a_model_that_answers_otherwise_than_before_fails() -> None:
    smoke = SmokeTest(8, 0.4, 1e-3, 0.1, "its probabilities differ from the network's by 0.4, more than 0.001")
    gate_result = judge(GateSettings(), smoke, 1, None, None)
    assert "does not answer as before: its probabilities differ" in gate_result.reasons[0]


def test_a_page_is_decided_by_the_mean_over_its_lines_weighted_by_patches() -> None:
    scores = score_product(_tested([[0.9, 0.4]]), "page")
    assert (scores.n_units, scores.top1, scores.rejected) == (1, 1.0, 0.5)
