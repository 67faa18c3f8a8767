"""What a model's comparisons of hands are worth: tested on pages by writers whom neither training
nor calibration saw.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from core.errors import RetrievalError
from core.identification.model_record import ModelRecord
from core.retrieval.known_hands import AMOUNTS, Hands, PagesByInk
from core.retrieval.likelihood_ratios import TippettCurves
from core.retrieval.register import Register
from core.retrieval.same_hand import SameHandScores, score_same_hand
from core.scoring.intervals import Interval
from search.identification.hand_comparison import HandComparison

HAND_SCORES_FILE, TIPPETT_FILE = "hand_scores.json", "tippett.png"
_N_RESAMPLES = 200
_BLUE, _ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito: safe for colour blindness


@dataclass(frozen=True)
class HandScores:
    """How likelihood ratios, and the threshold for unknown writers, did on writers unseen by both.

    Attributes:
        amount: of ink of each page, in patches.
        n_writers: who were tested.
        n_pages: by them.
        n_calibration_writers: who were calibrated on.
        cllr: of the likelihood ratios.
        cllr_interval: 95 %, over writers.
        cllr_min: what no calibration could avoid.
        misleading_same: share of pairs by one hand whose ratio speaks for two.
        misleading_different: share of pairs by two hands whose ratio speaks for one.
        promised: false accept rate that the threshold was set for; `None` where it could not be.
        found: share of the tested pages that were given a trained writer's name.
    """

    amount: int
    n_writers: int
    n_pages: int
    n_calibration_writers: int
    cllr: float
    cllr_interval: Interval
    cllr_min: float
    misleading_same: float
    misleading_different: float
    promised: float | None
    found: float | None

    @property
    def metrics(self) -> dict[str, float]:
        """What MLflow is told of it."""
        shown = {"hands/cllr": self.cllr, "hands/cllr_min": self.cllr_min}
        return shown | ({} if self.found is None else {"hands/false_accept_rate": self.found})

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "HandScores":
        """Read what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**content | {"cllr_interval": tuple(content["cllr_interval"])})


def score_hands(hands: Hands, record: ModelRecord, tested: PagesByInk, folder: Path) -> HandScores | None:
    """Test on yet other writers, and draw the Tippett plot.

    Args:
        hands: that the model takes along.
        record: of the model.
        tested: pages by writers who are in neither.
        folder: for the picture and the scores.

    Returns:
        `None` where there are too few writers to tell.
    """
    try:
        found = score_same_hand(hands.set_aside, tested, _N_RESAMPLES)
    except RetrievalError:  # pages by one hand are no more alike than pages by two
        found = None
    if found is None:
        return None
    draw_tippett(found.curves, folder / TIPPETT_FILE)
    promised, share = _false_accepts(hands, record, tested, AMOUNTS.index(found.amount))
    scores = _summary(found, promised, share)
    scores.save(folder / HAND_SCORES_FILE)
    return scores


def draw_tippett(curves: TippettCurves, path: Path) -> None:
    """Draw a Tippett plot.

    Args:
        curves: of both kinds of pairs.
        path: of the PNG file.
    """
    figure = Figure(figsize=(6.5, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curves.log10_ratios, curves.same, color=_BLUE, label="pairs of pages by one hand")
    axes.plot(curves.log10_ratios, curves.different, color=_ORANGE, label="pairs of pages by two hands")
    axes.axvline(0, color="#8a8a8a", linewidth=0.8)
    axes.set_xlabel("log10 likelihood ratio")
    axes.set_ylabel("share of pairs with at least this ratio")
    axes.set_ylim(0, 1)
    axes.legend(loc="center")  # between the curves, whichever way they fall
    figure.savefig(path)


def _summary(found: SameHandScores, promised: float | None, share: float | None) -> HandScores:
    return HandScores(
        amount=found.amount,
        n_writers=found.n_writers,
        n_pages=found.n_pages,
        n_calibration_writers=found.n_calibration_writers,
        cllr=found.scores.cllr,
        cllr_interval=found.scores.intervals["cllr"],
        cllr_min=found.scores.cllr_min,
        misleading_same=found.scores.misleading_same,
        misleading_different=found.scores.misleading_different,
        promised=promised,
        found=share,
    )


def _false_accepts(
    hands: Hands, record: ModelRecord, tested: PagesByInk, level: int
) -> tuple[float | None, float | None]:
    """Promised and found, among the trained writers."""
    nobody = Register("", (), np.empty((0, hands.centres.shape[1]), np.float32))
    comparison = HandComparison(record, hands, nobody)
    test = comparison.test_at(level)
    if test is None:
        return None, None
    rows, _ = tested.at(level)
    return test.false_accept_rate, float(np.mean([test.is_known(best) for best in comparison.best(rows).tolist()]))
