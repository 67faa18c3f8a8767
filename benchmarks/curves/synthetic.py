"""A made-up table of curves, to try the surrogate and the race with; it says nothing of any engine.

Losses fall from chance towards a floor that depends on the point, faster with a good learning rate;
large networks take longer; some points fail; seeds differ by some percent.
"""

import math

import numpy as np

from benchmarks.curves.table import CurveTable, RecordedCurve
from core.space import Categorical, Condition, Integer, Point, Real, SearchSpace
from search.testing.simulation import SimulatedEpoch

METRIC = "val/image_logloss"
SPACE = SearchSpace(
    (
        Real("rate", 1e-4, 1e-1, log=True),
        Integer("width", 8, 64, 8),
        Categorical("kind", ("flat", "deep")),
        Integer("depth", 1, 4, when=Condition("kind", ("deep",))),
    )
)
DEFAULTS: Point = {"rate": 3e-3, "width": 24, "kind": "flat"}


def synthetic_table(n_points: int = 40, horizon: int = 8, n_repeated: int = 8, seed: int = 0) -> CurveTable:
    """Curves of points drawn at random, the first ones with three seeds."""
    generator = np.random.default_rng(seed)
    curves = []
    for place in range(n_points):
        point = SPACE.sample(generator)
        for repeat in range(3 if place < n_repeated else 1):
            curves.append(_curve(point, repeat, horizon, generator))
    return CurveTable().with_recording("made up by benchmarks.curves.synthetic", curves)


def _curve(point: Point, repeat: int, horizon: int, generator: np.random.Generator) -> RecordedCurve:
    width, depth = float(point["width"]), float(point.get("depth", 0))
    off = math.log10(float(point["rate"])) + 2.5
    if off > 1.4:
        return RecordedCurve(point, repeat, horizon, (), "TrainingError: the loss is no number")
    floor = 0.2 + 0.3 * off**2 + 4 / width + 0.1 * abs(depth - 2)
    luck = math.exp(0.04 * generator.standard_normal())
    epochs = []
    for epoch in range(1, horizon + 1):
        left = math.exp(-2.5 * epoch / horizon / (1 + off**2))
        score = luck * (floor + (3.5 - floor) * left) * math.exp(0.01 * generator.standard_normal())
        epochs.append(SimulatedEpoch({METRIC: score}, 2 + width * (1 + depth) / 8, 10_000))
    return RecordedCurve(point, repeat, horizon, tuple(epochs))
