"""The card of a registered model: what it is, on what it was trained, how it was tested, what it
cannot do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.identification.calibration import Calibration
from core.networks.origin import Origin
from core.scoring.score_names import LEVELS, RETRIEVAL, SCORES
from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment
from search.promotion.examination import TestScores
from search.promotion.found_pages import FoundPages
from search.promotion.gate import GateResult
from search.promotion.hand_scores import TIPPETT_FILE, HandScores
from search.promotion.tested_images import ProductScores, UnknownWriterRates

CARD_FILE = "model_card.md"
MOST_CHARACTERS = 5000
"""What MLflow's database has room for in a version's description."""

_NAMING, _FINDING = "model_card.md.jinja", "finding_card.md.jinja"


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card tells.

    Attributes:
        name: of the registered model.
        version: of it.
        experiment: of the sweep.
        manifest: of the split.
        generated: whether the corpus is no real handwriting.
        trial: number of the trial.
        epochs: of the refit.
        commit: of the code; may be empty.
        whosehand: version of whosehand.
        calibrations: of images and pages.
        scores: of the network on the test pages; `None` where there are none.
        product: of the registered model on them.
        found: of them, where they are by writers that training has not seen.
        images_per_page: so many images made a page there.
        gate_result: of the gate.
        hands: what its comparisons of hands are worth; `None` where too few writers took no part.
        origin: what its training began with; `None` for random weights.
        cross_fits: that held out training and validation pages, where the refit trained on both.
        taken_epoch: of the refit's epochs, the one after which it ended there.
    """

    name: str
    version: int
    experiment: Experiment
    manifest: SplitManifest
    generated: bool
    trial: int
    epochs: int
    commit: str
    whosehand: str
    calibrations: tuple[Calibration, ...]
    scores: TestScores | None
    product: ProductScores | None
    gate_result: GateResult
    found: FoundPages | None = None
    images_per_page: int = 1
    hands: HandScores | None = None
    origin: Origin | None = None
    cross_fits: tuple[SplitManifest, ...] = ()
    taken_epoch: int = 0


def write_card(facts: CardFacts) -> str:
    """Write the card as Markdown."""
    kept = _kept_scores(facts.scores)
    manifest = facts.manifest
    methods = {item.unknown_writers.method for item in facts.calibrations}
    environment = Environment(
        loader=PackageLoader("search.promotion", "."),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        finalize=_without_markup,
    )
    return environment.get_template(_FINDING if manifest.has_unseen_writers else _NAMING).render(
        name=facts.name,
        version=facts.version,
        n_writers=len(manifest.writer_ids),
        generated=facts.generated,
        gate_result=facts.gate_result,
        unit=manifest.unit,
        scores=facts.scores,
        no_scores="the split has no test pages." if not manifest.test else "it failed before they were opened.",
        levels=[level for level in LEVELS if f"{level}_top1" in kept.get("scores", {})],
        level=RETRIEVAL,
        found=facts.found,
        n_pages=len(facts.found.pages.page_ids) if facts.found else 0,
        n_test_writers=len(set(facts.found.pages.writer_ids)) if facts.found else 0,
        images_per_page=facts.images_per_page,
        rows=[
            (kind.title, name)
            for name, kind in SCORES.items()
            if any(f"{level}_{name}" in kept.get("scores", {}) for level in (*LEVELS, RETRIEVAL))
        ],
        cell=lambda key, level: _cell(key, kept["scores"].get(f"{level}_{key}")),
        interval=kept.get("interval", ""),
        product=facts.product,
        times=_times(facts.scores.n_openings) if facts.scores else "",
        corpus=manifest.corpus,
        n_train=len(manifest.train),
        n_validation=len(manifest.validation),
        n_test=len(manifest.test),
        trial=facts.trial,
        sweep=facts.experiment.name,
        metric=facts.experiment.objective.metric,
        epochs=facts.epochs,
        origin=facts.origin,
        split_hash=manifest.hash[:12],
        test_hash=manifest.test_hash[:12],
        seed=facts.experiment.seed,
        whosehand=facts.whosehand,
        commit=facts.commit[:12],
        calibrations=facts.calibrations,
        n_folds=len(facts.cross_fits),
        n_trained=_n_trained(facts),
        n_never_held_out=_n_never_held_out(facts),
        taken_epoch=facts.taken_epoch,
        held_out="out-of-fold" if facts.cross_fits else "validation",
        unknown_writers=lambda item: _unknown_writers(item, "out-of-fold" if facts.cross_fits else "validation"),
        unknown_writers_found=describe_rates,
        max_false_reject_rate=facts.experiment.promotion.gate.max_false_reject_rate,
        real_unknown_writers="left_out_writers" in methods,
        conditions=_conditions(facts),
        hands=facts.hands,
        tippett=TIPPETT_FILE,
    )


def _without_markup(value: Any) -> Any:
    """A name as text: Markdown takes HTML, and names of models and corpora may hold some."""
    return value.replace("&", "&amp;").replace("<", "&lt;") if isinstance(value, str) else value


def describe_rates(rates: UnknownWriterRates) -> str:
    """What the threshold for unknown writers did on images that it was not set on, in a
    sentence.
    """
    if rates.are_real:
        whom = f"{rates.n_unknown} images by writers who took no part"
    else:
        whom = f"{rates.n_unknown} test images, each asked without its own writer"
    return (
        f"Unknown writers: the model {'calls' if rates.is_used else 'would call'} {rates.false_reject_rate:.1%} of "
        f"{rates.n_known} test images unknown (false rejects), and {rates.false_accept_rate:.1%} of {whom} known "
        "(false accepts)."
    )


def shortened(card: str) -> str:
    """The card as far as the registry's description has room for it."""
    end = f"...\n\n(the whole card is the run's artifact `{CARD_FILE}`)\n"
    return card if len(card) <= MOST_CHARACTERS else card[: MOST_CHARACTERS - len(end)] + end


def _kept_scores(scores: TestScores | None) -> Mapping[str, Any]:
    if scores is None:
        return {}
    content: Mapping[str, Any] = json.loads(
        scores.result.artifacts["test/scores.json"].path.read_text(encoding="utf-8")
    )
    return content


def _cell(name: str, score: Mapping[str, float] | None) -> str:
    if score is None:
        return ""
    value, low, high = score["value"], score["low"], score["high"]
    if not SCORES[name].is_share:
        return f"{value:.3f} ({low:.3f} to {high:.3f})"
    return f"{value:.1%} ({100 * low:.1f} to {100 * high:.1f})"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _n_trained(facts: CardFacts) -> int:
    """Images that the refit trained on."""
    return len(facts.manifest.train) + (len(facts.manifest.validation) if facts.cross_fits else 0)


def _n_never_held_out(facts: CardFacts) -> int:
    return _n_trained(facts) - sum(len(fold.validation) for fold in facts.cross_fits)


def _unknown_writers(calibration: Calibration, known: str) -> str:
    test = calibration.unknown_writers
    if test.method == "left_out_writers":
        return f"{test.n_unknown_writers} {calibration.unit}s by writers of the corpus who took no part"
    return (
        f"{test.n_unknown_writers} {known} {calibration.unit}s, each asked without its own writer "
        "(optimistic: real unknown writers are harder to reject)"
    )


def _conditions(facts: CardFacts) -> str:
    kind = "generated handwriting" if facts.generated else "handwriting"
    return f"{kind} of one corpus only, {len(facts.manifest.writer_ids)} writers in {_n_trained(facts)} images"
