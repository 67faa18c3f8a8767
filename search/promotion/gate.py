"""The gate: what a refitted model must keep to become champion, and in words what it does not.

On which pages can two models be compared? On those that neither was trained or chosen on.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.corpora.index import TextImage
from core.scoring.diagnostics import excess_calibration_error
from core.scoring.intervals import PairedTest, compare_paired
from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment
from search.experiment.settings import GateSettings
from search.promotion.model_answers import ImageAnswer, SmokeTest, page_decisions

FEWEST_PAGES = 6
"""Below six pages no paired difference can pass 5 %: even if all go one way, chance does so with 2 / 2**5 = 6 %."""


@dataclass(frozen=True)
class CommonPages:
    """Test images of the candidate that the champion has not seen either.

    Attributes:
        images: to compare on.
        n_pages: of them.
        n_seen: test pages excluded, because the champion was trained or validated on them.
        refusal: why there can be no comparison; empty if there can.
    """

    images: tuple[TextImage, ...]
    n_pages: int
    n_seen: int
    refusal: str


def common_pages(
    images: Sequence[TextImage],
    candidate: SplitManifest,
    champion: SplitManifest | None,
    same_corpus: bool,
) -> CommonPages:
    """Find the test pages of the candidate that the champion has not seen.

    A page counts as seen also if the champion saw another image of it: pen, scan and mood are the page's.

    Args:
        images: the candidate's corpus.
        candidate: its split.
        champion: the champion's split; `None` if its model does not say.
        same_corpus: whether both name the same corpus with the same settings, so that image ids mean the same.
    """
    if champion is None:
        return _refuse("the champion does not say on which pages it was trained")
    if not same_corpus:
        return _refuse("the champion was trained on another corpus, or the same one with other settings")
    if set(champion.writer_ids) != set(candidate.writer_ids):
        return _refuse(f"the champion knows other writers ({len(champion.writer_ids)}) than the candidate")
    test = set(candidate.test)
    page_of = {image.image_id: (image.writer_id, image.group_id) for image in images}
    seen = {page_of[image_id] for image_id in (*champion.train, *champion.validation) if image_id in page_of}
    pages = {page_of[image_id] for image_id in test if image_id in page_of}
    common = tuple(image for image in images if image.image_id in test and page_of[image.image_id] not in seen)
    n_common = len(pages - seen)
    refusal = ""
    if n_common < FEWEST_PAGES:
        refusal = (
            f"only {n_common} of the candidate's {len(pages)} test {candidate.unit}s were unseen by the champion; "
            f"{FEWEST_PAGES} are needed to tell two models apart"
        )
    return CommonPages(common, n_common, len(pages & seen), refusal)


def corpus_key(experiment: Experiment) -> str:
    """A hash of the corpus's settings; not of the folder, which may lie elsewhere on another machine."""
    settings = experiment.corpus.model_dump(mode="json", exclude={"root"})
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _refuse(reason: str) -> CommonPages:
    return CommonPages((), 0, 0, reason)


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
class GateResult:
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
) -> GateResult:
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
    return GateResult(reasons, tuple(text for is_kept, text in checks if is_kept))


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
    seen = f" ({comparison.pages.n_seen} more were seen by the champion)" if comparison.pages.n_seen else ""
    where = f"on {comparison.pages.n_pages} test {unit}s that neither has seen{seen}"
    return comparison.test.is_better, f"{how} than {champion}, {where}: {_in_words(comparison.test)}"


def _in_words(test: PairedTest) -> str:
    low, high = test.logloss_interval
    drawn = f"{test.n_items} images" + ("" if test.n_units == test.n_items else f" in {test.n_units} pages")
    return (
        f"log-loss {test.logloss_difference:+.3f} nats an image (95 % from {low:+.3f} to {high:+.3f}, {drawn}); "
        f"decided correctly by the candidate alone {test.n_only_first}, by the champion alone {test.n_only_second} "
        f"(McNemar p = {test.p_value:.2g})"
    )
