"""Where a sweep stands at one moment, and how its trials are put into words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.space import Point
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.engine_share import EngineShare

ProgressCallback = Callable[[int, int], None]
"""Called with (done, in all); the same as in `core.lines.reading`, which would bring OpenCV in."""
_MAIN_HYPERPARAMETERS = 6


@dataclass(frozen=True)
class SweepView:
    """A sweep at one moment.

    Attributes:
        name: of the sweep.
        metric: that is searched for.
        running: trials that a worker is on.
        counts: trials by state.
        best: the best completed trial.
        budget: used and allowed, in words.
        elapsed_s: wall-clock seconds of all launches.
        remaining_s: estimated; `None` while there is nothing to estimate from.
        now_ms: Unix time.
        is_stopping: whether the user asked to stop.
        engine_share: what asking the engine costs; `None` while too few trials have trained.
        fixed: names of hyperparameters that all trials have alike.
        driver_host: the machine that the loop runs on.
    """

    name: str
    metric: str
    running: tuple[TrialRecord, ...]
    counts: Mapping[TrialState, int]
    best: TrialRecord | None
    budget: str
    elapsed_s: float
    remaining_s: float | None
    now_ms: int
    is_stopping: bool
    engine_share: EngineShare | None = None
    fixed: frozenset[str] = frozenset()
    driver_host: str = ""

    @property
    def has_hosts(self) -> bool:
        """Whether a trial runs on another machine than the driver's, so that it is worth saying."""
        return any(host_of(trial) not in ("", self.driver_host) for trial in self.running)

    def searched(self, trial: TrialRecord) -> str:
        """The searched hyperparameters of a trial, as many as a line holds."""
        point = trial.proposed.point or trial.hyperparameters
        return short_point({name: value for name, value in point.items() if name not in self.fixed})


def host_of(trial: TrialRecord) -> str:
    """Where its latest attempt was started; empty where the ledger does not say."""
    return trial.starts[-1].host if trial.starts else ""


def epochs_in_words(trial: TrialRecord) -> str:
    """Done and in all, such as `3/8`."""
    return f"{trial.n_epochs}/{trial.proposed.horizon_epochs}"


def short_point(point: Point) -> str:
    """The first values of a point, as many as a line holds."""
    shown = [f"{name}={_short(value)}" for name, value in list(point.items())[:_MAIN_HYPERPARAMETERS]]
    return " ".join(shown) + (" ..." if len(point) > _MAIN_HYPERPARAMETERS else "")


def clock(duration_s: float | None) -> str:
    """Write seconds as 0:07, 12:30 or 1:02:03, and `-` where there are none.

    >>> clock(7.2), clock(750), clock(3723), clock(None)
    ('0:07', '12:30', '1:02:03', '-')
    """
    if duration_s is None:
        return "-"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def outcome_in_words(trial: TrialRecord) -> str:
    """How it ended: state, value, reason, as far as there are."""
    result = trial.result
    value = "" if result is None or result.value is None else f" {result.value:.4g}"
    reason = "" if result is None or not result.reason else f": {result.reason}"
    return f"{trial.state.value}{value}{reason}"


def latest_in_words(trial: TrialRecord, metric: str) -> str:
    """A metric after the latest epoch."""
    score = trial.reports[-1].report.metrics.get(metric) if trial.reports else None
    return "-" if score is None else f"{score:.4g}"


def speed_in_words(trial: TrialRecord) -> str:
    """Patches a second in the latest epoch; `-` where none were trained."""
    if not trial.reports or trial.reports[-1].report.duration_s <= 0 or not trial.reports[-1].report.n_patches:
        return "-"
    report = trial.reports[-1].report
    return f"{report.n_patches / report.duration_s:,.0f}"


def value_in_words(trial: TrialRecord) -> str:
    """The objective's value; `-` where there is none."""
    return "-" if trial.result is None or trial.result.value is None else f"{trial.result.value:.4g}"


def _short(value: bool | int | float | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
