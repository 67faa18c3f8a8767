"""How a sweep reads: a trial's short name, the leaderboard, the history of the search as a
picture.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from core.space import Point
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState

Direction = Literal["minimize", "maximize"]
SCORE_DIGITS = 5
COUNTED_STATES = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.PAUSED, TrialState.RUNNING)
SCORE_ORDER = (
    *("page_top1", "image_top1", "patch_top1", "page_logloss", "image_logloss", "patch_logloss"),
    *(f"retrieval_{name}" for name in ("map", "top1", "eer", "auroc", "top5", "top10")),
)


def trial_name(number: int, hyperparameters: Point) -> str:
    """A name that tells trials apart in a table or a legend.

    Blocks x convolutions a block x filters of the first block, then what else stands out.

    >>> trial_name(7, {"n_blocks": 4, "convolutions_per_block": 2, "filters": 32, "batch_norm": True, "input_px": 56})
    '007 4x2x32 56px bn'
    >>> trial_name(12, {"x": 0.5})
    'trial 012'
    """  # noqa: W505
    shape = [hyperparameters.get(name) for name in ("n_blocks", "convolutions_per_block", "filters")]
    if None in shape:
        return f"trial {number:03d}"
    words = [f"{number:03d}", "x".join(map(str, shape))]
    if "input_px" in hyperparameters:
        words.append(f"{hyperparameters['input_px']}px")
    if hyperparameters.get("batch_norm") is True:
        words.append("bn")
    return " ".join(words)


def score_name(metric: str) -> str:
    """The name of a trial's final score: that of the epochs' metric without `val/`.

    The prefix parts the two: a curve ends at the last epoch, the score belongs to the best weights.

    >>> score_name("val/image_logloss"), score_name("train/loss")
    ('image_logloss', 'train/loss')
    """
    return metric.removeprefix("val/")


def plain_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    """Final scores under their short names, with as many digits as a table's column shows.

    >>> plain_scores({"val/image_logloss": 0.675065091, "n": 1234567.0})
    {'image_logloss': 0.67507, 'n': 1234567.0}
    """
    return {score_name(name): _shown(float(value)) for name, value in metrics.items()}


def rank(trials: Iterable[TrialRecord], direction: Direction) -> list[TrialRecord]:
    """The completed trials, the best first, the earlier one at a tie."""
    sign = 1.0 if direction == "minimize" else -1.0
    completed = [
        (sign * float(trial.value), trial.number, trial)
        for trial in trials
        if trial.state is TrialState.COMPLETED and trial.value is not None
    ]
    return [trial for *_, trial in sorted(completed)]


def count_states(trials: Collection[TrialRecord]) -> str:
    """How many trials are in which state, such as `12 completed, 3 pruned`."""
    counts = [(sum(trial.state is state for trial in trials), state) for state in COUNTED_STATES]
    return ", ".join(f"{count} {state}" for count, state in counts if count) or "no trials yet"


def readable_duration(duration_s: float) -> str:
    """Seconds as a short text.

    >>> readable_duration(8.31), readable_duration(75), readable_duration(7325)
    ('8.3 s', '1 min 15 s', '2 h 2 min')
    """
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _shown(value: float) -> float:
    return value if value.is_integer() else float(f"{value:.{SCORE_DIGITS}g}")
