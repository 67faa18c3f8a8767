"""The gate: what a refitted model must keep to become champion, and in words what it does not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.scoring.diagnostics import excess_calibration_error
from core.scoring.paired_test import PairedTest, compare_paired
from search.experiment.settings import GateSettings
from search.promotion.common_pages import CommonPages
from search.promotion.model_answers import ImageAnswer, page_decisions
from search.promotion.smoke_test import SmokeTest

_CHANCE = 0.05


@dataclass(frozen=True)
class ProductScores:
    """What the registered model did on the test pages, asked image by image.

    Attributes:
        unit: `page`, or `image` where there are no pages.
        n_units: of them.
        top1: share of units decided rightly.
        log_loss: calibrated, mean over images.
        calibration_error: of images, beyond chance; see `core.scoring.diagnostics`.
        calibration_p: share of perfectly calibrated models with as large an error.
        rejected: share of images that were taken for strangers'.
    """

    unit: str
    n_units: int
    top1: float
    log_loss: float
    calibration_error: float
    calibration_p: float
    rejected: float


@dataclass(frozen=True)
class Comparison:
    """A candidate beside the champion.

    Attributes:
        champion: its version.
        pages: that both were asked about.
        test: how they differ; `None` where the comparison was refused.
    """

    champion: int
    pages: CommonPages
    test: PairedTest | None


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        reasons: why the model may not become champion; empty if it may.
        remarks: what was looked at and found well.
    """

    reasons: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether the model may become champion."""
        return not self.reasons


def score_product(answers: Sequence[ImageAnswer], unit: str) -> ProductScores:
    """Score a model's answers for test images.

    Args:
        answers: at least one.
        unit: of the split.
    """
    best = np.array([answer.probabilities[answer.named] for answer in answers])
    is_right = np.array([answer.is_right for answer in answers])
    error, chance = excess_calibration_error(best, is_right)
    decisions = page_decisions(answers)
    return ProductScores(
        unit=unit,
        n_units=len(decisions),
        top1=float(np.mean(list(decisions.values()))),
        log_loss=float(np.mean([answer.log_loss for answer in answers])),
        calibration_error=error,
        calibration_p=chance,
        rejected=float(np.mean([answer.is_known is False for answer in answers])),
    )


def compare_answers(candidate: Sequence[ImageAnswer], champion: Sequence[ImageAnswer]) -> PairedTest:
    """Compare two models on the images that both could use.

    Raises:
        ValueError: if there is no such image.
    """
    of_champion = {answer.image_id: answer for answer in champion}
    pairs = [(answer, of_champion[answer.image_id]) for answer in candidate if answer.image_id in of_champion]
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    our_decisions, their_decisions = page_decisions(ours), page_decisions(theirs)
    number = {page: k for k, page in enumerate(our_decisions)}
    return compare_paired(
        [answer.log_loss for answer in ours],
        [answer.log_loss for answer in theirs],
        [number[answer.writer_id, answer.group_id] for answer in ours],
        list(our_decisions.values()),
        [their_decisions[page] for page in our_decisions],
    )


def judge(
    settings: GateSettings,
    smoke: SmokeTest,
    size_bytes: int,
    scores: ProductScores | None,
    comparison: Comparison | None,
) -> Verdict:
    """Say whether a model may become champion.

    Args:
        settings: thresholds.
        smoke: of the registered model.
        size_bytes: of all its files.
        scores: on the test pages; `None` where the split has none.
        comparison: with the champion; `None` if there is none yet.
    """
    checks = [_smoke(smoke), _latency(smoke, settings), _size(size_bytes, settings)]
    if scores is not None:
        checks += [_top1(scores, settings), _calibration(scores, settings)]
    if comparison is not None:
        checks.append(_comparison(comparison, scores.unit if scores else "page"))
    reasons = tuple(text for is_kept, text in checks if not is_kept)
    return Verdict(reasons, tuple(text for is_kept, text in checks if is_kept))


def _smoke(smoke: SmokeTest) -> tuple[bool, str]:
    if smoke.failure:
        return False, f"the registered model, loaded afresh, does not answer as before: {smoke.failure}"
    return True, (
        f"loaded afresh from the registry it gives the same probabilities on {smoke.n_images} validation images "
        f"(difference {smoke.largest_difference:.1g}, tolerance {smoke.tolerance:g})"
    )


def _latency(smoke: SmokeTest, settings: GateSettings) -> tuple[bool, str]:
    text = f"{smoke.latency_s:.2f} s an image (at most {settings.max_latency_s:g}, promotion.gate.max_latency_s)"
    return smoke.latency_s <= settings.max_latency_s, text


def _size(size_bytes: int, settings: GateSettings) -> tuple[bool, str]:
    size_mb = size_bytes / 1e6
    return size_mb <= settings.max_size_mb, (
        f"{size_mb:.1f} MB (at most {settings.max_size_mb:g}, promotion.gate.max_size_mb)"
    )


def _top1(scores: ProductScores, settings: GateSettings) -> tuple[bool, str]:
    return scores.top1 >= settings.min_top1, (
        f"{scores.top1:.1%} of {scores.n_units} test {scores.unit}s named rightly "
        f"(at least {settings.min_top1:.1%}, promotion.gate.min_top1)"
    )


def _calibration(scores: ProductScores, settings: GateSettings) -> tuple[bool, str]:
    is_kept = scores.calibration_error <= settings.max_calibration_error or scores.calibration_p > _CHANCE
    return is_kept, (
        f"stated probabilities and shares of right answers differ by {scores.calibration_error:.3f} beyond chance, "
        f"p = {scores.calibration_p:.2g} (at most {settings.max_calibration_error:g}, "
        "promotion.gate.max_calibration_error)"
    )


def _comparison(comparison: Comparison, unit: str) -> tuple[bool, str]:
    champion = f"the champion, version {comparison.champion}"
    if comparison.test is None:
        return False, f"it cannot be compared with {champion}: {comparison.pages.refusal}"
    how = "better" if comparison.test.is_better else "not shown to be better"
    left_out = f" ({comparison.pages.n_seen} more were seen by the champion)" if comparison.pages.n_seen else ""
    where = f"on {comparison.pages.n_pages} test {unit}s that neither has seen{left_out}"
    return comparison.test.is_better, f"{how} than {champion}, {where}: {comparison.test}"
