"""The gate: what a refitted model must keep to become champion, and in words what it does not.

Two models are compared on pages that neither was trained or chosen on; two that find pages by
unseen writers on those by writers of whom neither has seen a page.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from core.corpora.index import TextImage
from core.retrieval.rank_tests import FEWEST_WRITERS, PairedRankings
from core.scoring.intervals import PairedTest
from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment
from search.experiment.settings import GateSettings
from search.promotion.found_pages import FoundPages, check_chance, check_nearest, rankings_in_words, too_few_writers
from search.promotion.tested_images import ProductScores, guess_rate, page_of

FEWEST_PAGES = 6
"""Below six pages no paired difference can pass 5 %: even if all go one way, chance does so with 2
/ 2**5 = 6 %.
"""
GUESSING_ALPHA = 0.01
"""A model that only guesses passes for better than guessing in at most so many of all cases."""
_CHANCE = 0.05


@dataclass(frozen=True)
class SmokeTest:
    """Whether a registered model, loaded afresh in another process, answers as its network did
    before it was packed.

    Attributes:
        n_images: that were asked about.
        largest_difference: of any writer's probability.
        tolerance: that it had to stay within.
        latency_s: median seconds for an image, once the model is loaded.
        failure: what went wrong; empty if nothing did.
    """

    n_images: int
    largest_difference: float
    tolerance: float
    latency_s: float
    failure: str


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
    test: PairedTest | PairedRankings | None


@dataclass(frozen=True)
class GateResult:
    """What the gate says.

    Attributes:
        reasons: why the model may not become champion, whatever anyone says; empty if no check
            failed.
        remarks: the checks that passed.
        undecided: why the test pages cannot tell whether it is better than guessing; empty if they
            can.
        is_accepted: somebody has said that it may become champion where that cannot be told.
    """

    reasons: tuple[str, ...]
    remarks: tuple[str, ...]
    undecided: str = ""
    is_accepted: bool = False

    @property
    def is_passed(self) -> bool:
        """Whether the model may become champion."""
        return not self.reasons and (not self.undecided or self.is_accepted)

    @property
    def objections(self) -> tuple[str, ...]:
        """Everything that speaks against it, in words."""
        return (*self.reasons, self.undecided) if self.undecided else self.reasons


def judge(
    settings: GateSettings,
    smoke: SmokeTest,
    size_bytes: int,
    scores: ProductScores | FoundPages | None,
    comparison: Comparison | None,
    accept: bool = False,
) -> GateResult:
    """Say whether a model may become champion.

    Args:
        settings: thresholds.
        smoke: of the registered model.
        size_bytes: of all its files.
        scores: on the test pages, or of the test pages that it found where they are by writers that
            training has not seen; `None` where the split has none.
        comparison: with the champion; `None` if there is none yet.
        accept: let it pass where the test pages are too few to tell whether it is better than
            guessing.
    """
    undecided = ""
    checks = [_smoke(smoke), _latency(smoke, settings), _size(size_bytes, settings)]
    if isinstance(scores, FoundPages):
        checks.append(check_nearest(scores, settings))
        undecided = too_few_writers(scores.pages.writer_ids, GUESSING_ALPHA)
        if not undecided:
            checks.append(check_chance(scores, GUESSING_ALPHA))
    elif scores is not None:
        checks += [_top1(scores, settings), _calibration(scores, settings)]
        undecided = too_few_to_tell(scores.true_writers, scores.unit)
        if not undecided:
            checks.append(_guessing(scores))
    elif not smoke.failure:
        undecided = too_few_to_tell((), "page")
    if comparison is not None:
        checks.append(_comparison(comparison, scores.unit if isinstance(scores, ProductScores) else "page"))
    reasons = tuple(text for is_kept, text in checks if not is_kept)
    remarks = tuple(text for is_kept, text in checks if is_kept)
    return GateResult(reasons, remarks, undecided, accept and bool(undecided) and not reasons)


def too_few_to_tell(true_writers: Sequence[str], unit: str) -> str:
    """Why not even a perfect score could show that a model does not guess; empty if it could.

    Args:
        true_writers: of each test page (of each test image, where there are no pages).
        unit: of the split.
    """
    n_units = len(true_writers)
    if n_units == 0:
        return "no test page was used, so that nothing tells whether it is better than guessing"
    best = guess_rate(true_writers) ** n_units
    if best < GUESSING_ALPHA:
        return ""
    return (
        f"too few test {unit}s to tell whether it is better than guessing: even if all {n_units} were correct, "
        f"guessing would do as well with probability {best:.2g} (must be below {GUESSING_ALPHA:g})"
    )


def common_pages(
    images: Sequence[TextImage],
    candidate: SplitManifest,
    champion: SplitManifest | None,
    same_corpus: bool,
) -> CommonPages:
    """Find the test pages of the candidate that the champion has not seen.

    A page counts as seen also if the champion saw another image of it: pen, scan and mood are the
    page's.

    Args:
        images: the candidate's corpus.
        candidate: its split.
        champion: the champion's split; `None` if its model does not say.
        same_corpus: whether both name the same corpus with the same settings, so that image ids
            mean the same.
    """
    if champion is None:
        return _refuse("the champion does not say on which pages it was trained")
    if not same_corpus:
        return _refuse("the champion was trained on another corpus, or the same one with other settings")
    if set(champion.writer_ids) != set(candidate.writer_ids):
        return _refuse(f"the champion knows other writers ({len(champion.writer_ids)}) than the candidate")
    test = set(candidate.test)
    learned = {*champion.train, *champion.validation}
    seen = {page_of(image) for image in images if image.image_id in learned}
    pages = {page_of(image) for image in images if image.image_id in test}
    common = tuple(image for image in images if image.image_id in test and page_of(image) not in seen)
    n_common = len(pages - seen)
    refusal = ""
    if n_common < FEWEST_PAGES:
        refusal = (
            f"only {n_common} of the candidate's {len(pages)} test {candidate.unit}s were unseen by the champion; "
            f"{FEWEST_PAGES} are needed to tell two models apart"
        )
    return CommonPages(common, n_common, len(pages & seen), refusal)


def common_writers(
    images: Sequence[TextImage],
    candidate: SplitManifest,
    champion: SplitManifest | None,
    same_corpus: bool,
) -> CommonPages:
    """Find the candidate's test pages by writers of whom the champion has seen no page.

    Args:
        images: the candidate's corpus.
        candidate: its split, by writer.
        champion: the champion's split; `None` if its model does not say.
        same_corpus: see `common_pages`.
    """
    if champion is None:
        return _refuse("the champion does not say on which pages it was trained")
    if not same_corpus:
        return _refuse("the champion was trained on another corpus, or the same one with other settings")
    learned, test = {*champion.train, *champion.validation}, set(candidate.test)
    known = {image.writer_id for image in images if image.image_id in learned}
    tested = [image for image in images if image.image_id in test]
    common = tuple(image for image in tested if image.writer_id not in known)
    n_pages, n_common = (len({page_of(image) for image in own}) for own in (tested, common))
    writers, n_unseen = {image.writer_id for image in tested}, len({image.writer_id for image in common})
    refusal = ""
    if n_unseen < FEWEST_WRITERS:
        refusal = (
            f"only {n_unseen} of the candidate's {len(writers)} test writers were unseen by the champion; "
            f"{FEWEST_WRITERS} are needed to tell two models apart"
        )
    return CommonPages(common, n_common, n_pages - n_common, refusal)


def corpus_key(experiment: Experiment) -> str:
    """A hash of the corpus's settings; not of the folder, which may lie elsewhere on another
    machine.
    """
    settings = experiment.handwriting.model_dump(mode="json", exclude={"root"})
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _refuse(reason: str) -> CommonPages:
    return CommonPages((), 0, 0, reason)


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
        f"{scores.top1:.1%} of {scores.n_units} test {scores.unit}s identified correctly "
        f"(at least {settings.min_top1:.1%}, promotion.gate.min_top1)"
    )


def _guessing(scores: ProductScores) -> tuple[bool, str]:
    n_right = round(scores.top1 * scores.n_units)
    rate = guess_rate(scores.true_writers)
    p = float(binomtest(n_right, scores.n_units, rate, alternative="greater").pvalue)
    is_better = p < GUESSING_ALPHA
    return is_better, (
        f"{'better' if is_better else 'not shown to be better'} than guessing: {n_right} of {scores.n_units} test "
        f"{scores.unit}s correct, {rate:.1%} by always naming the most frequent writer (exact binomial "
        f"test, p = {p:.2g}, must be below {GUESSING_ALPHA:g})"
    )


def _calibration(scores: ProductScores, settings: GateSettings) -> tuple[bool, str]:
    is_kept = scores.calibration_error <= settings.max_calibration_error or scores.calibration_p > _CHANCE
    return is_kept, (
        f"stated probabilities and shares of correct answers differ by {scores.calibration_error:.3f} beyond chance, "
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


def _in_words(test: PairedTest | PairedRankings) -> str:
    if isinstance(test, PairedRankings):
        return rankings_in_words(test)
    low, high = test.logloss_interval
    drawn = f"{test.n_items} images" + ("" if test.n_units == test.n_items else f" in {test.n_units} pages")
    return (
        f"log-loss {test.logloss_difference:+.3f} nats an image (95 % from {low:+.3f} to {high:+.3f}, {drawn}); "
        f"decided correctly by the candidate alone {test.n_only_first}, by the champion alone {test.n_only_second} "
        f"(McNemar p = {test.p_value:.2g})"
    )
