"""A surrogate of recorded curves: a Gaussian process that says how any point of the space would
train.

As surrogate benchmarks of hyperparameter search do (HPOBench, YAHPO Gym, LCBench; the blackboxes of
Syne Tune): points are features, the scores and seconds of all epochs are targets, seconds and
positive scores as logarithms, and its error is that of cross-validation over points, never over
rows. Whole curves are weighted sums of recorded ones, so that they fall as real ones do. What seeds
do to a point is measured apart and drawn on top. A random forest, which these benchmarks use for
tables of thousands of points, knew less of some dozens (docs/results.md).
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.curves.table import CurveTable, RecordedCurve
from core.errors import ModelError, WhosehandError
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import plan_layers
from core.space import Point
from core.space.search_space import PointKey, key_of
from search.testing.simulation import SimulatedEpoch

_N_TREES = 60
_WIDE = 10.0
"""Positive numbers that span such a factor count by their logarithm."""
_SMALLEST = 1e-12
_SHOWN_PX, _SHOWN_WRITERS = 113, 50  # sizes of networks are compared at these
FloatArray = NDArray[np.float64]


class Features:
    """Points as rows of numbers: numbers as they are, or their logarithms where they span factors,
    words one-hot, what is absent as -1; and how large the network is, where it is one of
    whosehand's.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        names = sorted({name for point in points for name in point})
        self._columns: list[tuple[str, str | None]] = []
        for name in names:
            words = sorted({value for point in points if isinstance(value := point.get(name), str)})
            self._columns += [(name, word) for word in words] or [(name, None)]
        self._wide = {name for name in names if _is_wide([point.get(name) for point in points])}

    def __call__(self, points: Sequence[Point]) -> FloatArray:
        """The rows, of shape (n_points, n_features)."""
        rows = [[*(self._cell(point, *column) for column in self._columns), *_network_size(point)] for point in points]
        return np.array(rows, dtype=np.float64)

    def _cell(self, point: Point, name: str, word: str | None) -> float:
        value: Any = point.get(name)
        if value is None:
            return -1.0
        if word is not None:
            return float(value == word)
        return math.log10(max(float(value), _SMALLEST)) if name in self._wide else float(value)


@dataclass(frozen=True)
class SeedNoise:
    """What seeds do to a curve.

    Attributes:
        residuals: (n_curves, n_epochs), how far each repeated curve is from the mean of its point,
            in the surrogate's unit, widened for what that mean owes to it; none where nothing is
            repeated.
    """

    residuals: FloatArray

    @property
    def deviation(self) -> float:
        """Standard deviation at the last epoch; 0 where nothing is known."""
        return float(np.sqrt(np.mean(self.residuals[:, -1] ** 2))) if len(self.residuals) else 0.0

    def draw(self, generator: np.random.Generator) -> FloatArray | float:
        """The residuals of one curve, all its epochs together; with either sign."""
        if not len(self.residuals):
            return 0.0
        return self.residuals[generator.integers(len(self.residuals))] * generator.choice([-1.0, 1.0])


class Surrogate:
    """Says how points would train; of one score and one horizon.

    Attributes:
        metric: the score.
        horizon: epochs of every curve.
        noise: what seeds do.
        points: those that it was fitted to, the failed ones not among them.
    """

    def __init__(self, table: CurveTable, metric: str, horizon: int, bootstrap: int | None = None) -> None:
        """Fit it.

        Args:
            table: with curves of that horizon.
            metric: its name in the table.
            horizon: of the curves that count.
            bootstrap: a seed, for a surrogate of as many points drawn with replacement; `None` for
                one of all points.

        Raises:
            ValueError: if there are not five points or more that were trained to their end.
        """
        curves = [curve for curve in table.curves if curve.horizon == horizon]
        whole = [curve for curve in curves if not curve.failed and len(curve.epochs) == horizon]
        if len({curve.key[0] for curve in whole}) < 5:
            raise ValueError(
                f"A surrogate needs 5 points with curves of {horizon} epochs, but got {len(whole)} curves."
            )
        self.metric, self.horizon = metric, horizon
        self._is_log = _is_loss(metric) and all(e.metrics[metric] > 0 for curve in whole for e in curve.epochs)
        self._patches = int(np.median([epoch.n_patches for curve in whole for epoch in curve.epochs]))
        self.noise = self._measure_noise(whole)  # of all curves: a bootstrap of points would lose most of it
        if bootstrap is not None:
            curves = _resampled(curves, bootstrap)
            whole = [curve for curve in curves if not curve.failed and len(curve.epochs) == horizon]
        self.points = list({curve.key[0]: curve.point for curve in whole}.values())
        self._features = Features([curve.point for curve in curves])
        rows = self._features([curve.point for curve in whole])
        self._models = []
        for targets in (self._in_unit, _log_seconds):  # each with a kernel of its own
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a kernel at its bound is one, too
                self._models.append(_process().fit(rows, np.array([targets(curve) for curve in whole])))
        self._fails: RandomForestClassifier | None = None
        if any(curve.failed for curve in curves):
            self._fails = RandomForestClassifier(_N_TREES, random_state=bootstrap or 0)
            self._fails.fit(self._features([curve.point for curve in curves]), [bool(c.failed) for c in curves])
        self._known: dict[PointKey, tuple[FloatArray, FloatArray, bool]] = {}

    def curves(self, points: Sequence[Point]) -> tuple[FloatArray, FloatArray]:
        """Scores and seconds without noise, each of shape (n_points, horizon)."""
        scores, log_seconds = self._predict(self._features(points))
        return self._score(scores), np.exp(log_seconds)

    def fails(self, point: Point) -> bool:
        """Whether a trial of the point would rather fail."""
        return self._predict_once(point)[2]

    def epochs(self, point: Point, seed: int) -> list[SimulatedEpoch]:
        """A trial's epochs, with the noise of its seed; always the same for the same seed.

        Raises:
            ModelError: if a trial of that point would rather fail.
        """
        in_unit, log_seconds, fails = self._predict_once(point)
        if fails:
            raise ModelError("Points near this one could not be trained.")
        scores = self._score(in_unit + self.noise.draw(np.random.default_rng(seed)))
        return [
            SimulatedEpoch({self.metric: float(score)}, float(each_s), self._patches)
            for score, each_s in zip(scores, np.exp(log_seconds), strict=True)
        ]

    def _predict(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scores in the surrogate's unit and logarithms of seconds, each of shape (n_rows,
        horizon).
        """
        scores, log_seconds = (model.predict(rows).reshape(len(rows), self.horizon) for model in self._models)
        return scores, log_seconds

    def _predict_once(self, point: Point) -> tuple[FloatArray, FloatArray, bool]:
        """The same of one point, and whether it would fail; kept, because sweeps repeat points."""
        key = key_of(point)
        if key not in self._known:
            row = self._features([point])
            (scores,), (log_seconds,) = self._predict(row)
            fails = self._fails is not None and bool(self._fails.predict(row)[0])
            self._known[key] = scores, log_seconds, fails
        return self._known[key]

    def _in_unit(self, curve: RecordedCurve) -> FloatArray:
        scores = np.array([epoch.metrics[self.metric] for epoch in curve.epochs])
        return np.log(scores) if self._is_log else scores

    def _score(self, in_unit: FloatArray) -> FloatArray:
        return np.exp(in_unit) if self._is_log else in_unit

    def _measure_noise(self, whole: Sequence[RecordedCurve]) -> SeedNoise:
        by_point: dict[PointKey, list[FloatArray]] = defaultdict(list)
        for curve in whole:
            by_point[curve.key[0]].append(self._in_unit(curve))
        residuals = [
            (each - np.mean(group, axis=0)) * math.sqrt(len(group) / (len(group) - 1))
            for group in by_point.values()
            for each in group
            if len(group) > 1
        ]
        return SeedNoise(np.array(residuals).reshape(-1, self.horizon))


def _log_seconds(curve: RecordedCurve) -> FloatArray:
    return np.log([max(epoch.duration_s, 1e-3) for epoch in curve.epochs])


@dataclass(frozen=True)
class SurrogateError:
    """How well a surrogate knows points that it was not fitted to.

    Attributes:
        r2: of a point's best score, in the surrogate's unit.
        rank_correlation: Spearman's, of the same.
        deviation: root of the mean squared error, of the same.
        noise: standard deviation among seeds of a point, of the same unit.
        seconds: median of |predicted / seen - 1| of a whole trial's time.
    """

    r2: float
    rank_correlation: float
    deviation: float
    noise: float
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """For a table."""
        numbers = (self.r2, self.rank_correlation, self.deviation, self.noise)
        return (*(f"{number:.2f}" for number in numbers), f"{100 * self.seconds:.0f} %")


def cross_validate(
    table: CurveTable, metric: str, horizon: int, n_folds: int = 5, is_low_good: bool = True
) -> SurrogateError:
    """Leave out a fifth of the points at a time, with all their seeds, and predict their means.

    Raises:
        ValueError: if what is left is too little for a surrogate.
    """
    whole = [curve for curve in table.curves if curve.horizon == horizon and not curve.failed]
    keys = list(dict.fromkeys(curve.key[0] for curve in whole))
    order = np.random.default_rng(0).permutation(len(keys))
    seen, said, seconds = [], [], []
    best = np.min if is_low_good else np.max
    for fold in range(n_folds):
        out = {keys[place] for place in order[fold::n_folds]}
        fitted = Surrogate(CurveTable((), tuple(c for c in whole if c.key[0] not in out)), metric, horizon)
        left = _by_point([curve for curve in whole if curve.key[0] in out and len(curve.epochs) == horizon])
        scores, times = fitted.curves([curves[0].point for curves in left.values()])
        for curves, score, time_s in zip(left.values(), scores, times, strict=True):
            seen.append(float(np.mean([best([epoch.metrics[metric] for epoch in curve.epochs]) for curve in curves])))
            said.append(float(best(score)))
            took_s = np.mean([sum(epoch.duration_s for epoch in curve.epochs) for curve in curves])
            seconds.append(abs(float(time_s.sum() / took_s) - 1))
    is_log = _is_loss(metric) and min(seen) > 0 and min(said) > 0
    truth, guess = (np.log(seen), np.log(said)) if is_log else (np.array(seen), np.array(said))
    missed = truth - guess
    return SurrogateError(
        r2=float(1 - np.mean(missed**2) / np.var(truth)),
        rank_correlation=float(spearmanr(seen, said).statistic),
        deviation=float(np.sqrt(np.mean(missed**2))),
        noise=Surrogate(table, metric, horizon).noise.deviation,
        seconds=float(np.median(seconds)),
    )


def _resampled(curves: Sequence[RecordedCurve], seed: int) -> list[RecordedCurve]:
    """As many points, drawn with replacement, each with all its seeds; the draws go on until five
    points are whole.
    """
    by_point: Mapping[PointKey, list[RecordedCurve]] = _by_point(curves)
    generator, keys = np.random.default_rng([seed, 5]), list(by_point)
    while True:
        drawn = [keys[place] for place in generator.integers(len(keys), size=len(keys))]
        if len({key for key in drawn if not any(curve.failed for curve in by_point[key])}) >= min(5, len(keys)):
            return [curve for key in drawn for curve in by_point[key]]


def _by_point(curves: Sequence[RecordedCurve]) -> dict[PointKey, list[RecordedCurve]]:
    by_point: dict[PointKey, list[RecordedCurve]] = defaultdict(list)
    for curve in curves:
        by_point[curve.key[0]].append(curve)
    return dict(by_point)


def _is_loss(metric: str) -> bool:
    """Losses are predicted as logarithms. Shares are not: to guess among 37 writers is a share of
    0.03, and seeds that make it 0.05 would count as much as those that make 0.9 of 0.5.
    """
    return "loss" in metric


def _is_wide(values: Sequence[Any]) -> bool:
    numbers = [value for value in values if type(value) in (int, float)]
    return bool(numbers) and min(numbers) > 0 and max(numbers) > _WIDE * min(numbers)


def _process() -> Pipeline:
    """A Gaussian process for some dozens of points in some ten dimensions, all of which count
    alike: there are too few points to learn which count more.
    """
    kernel = ConstantKernel() * Matern(3.0, nu=2.5) + WhiteKernel(0.1)
    return make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True, random_state=0))


def _network_size(point: Point) -> tuple[float, ...]:
    """Weights and multiplications as logarithms: seconds go by them; (0, 0) where there is no such
    network.
    """
    try:
        plan = plan_layers(Hyperparameters.from_point(point), _SHOWN_PX, _SHOWN_WRITERS)
    except WhosehandError:
        return 0.0, 0.0
    return math.log10(plan.n_weights), math.log10(plan.n_multiplications)
