"""Points from what the user believes, from what is best so far, and at random.

After Mallik, Bergman, Hvarfner et al., "PriorBand: Practical Hyperparameter Optimization in the Age
of Deep Learning", NeurIPS 2023, https://arxiv.org/abs/2306.12370, on asynchronous successive
halving. Different here: the random share is the same for all trials, since all begin at the first
rung; likelihoods are means over dimensions, so that a space of twenty does not make them all or
nothing; once enough trials came to the last rung, TPE proposes instead of prior and incumbent (the
paper's model is a Gaussian process).
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from core.errors import SpaceError
from core.space import Categorical, Dimension, Integer, Point, SearchSpace, Value
from core.space.dimensions import is_same_value
from search.engines.base import EngineSettings

DEVIATION = 0.25
"""Of a normal distribution around a centre, in quantiles of a dimension; the paper's."""
KEPT = 0.5
"""Probability that a choice stays as in the centre, and that a draw leaves a dimension of the
incumbent alone."""
_STREAM = 11  # keeps these random numbers apart from those of other uses of the same seed


class PriorBand:
    """Draws points from the mixture; what was drawn before has no effect on later draws.

    Args:
        settings: the prior's centres are their defaults, as far as they lie in the space, and the
            enqueued points that do.
        factor: of the rungs; one point in `1 + factor` is random.
        n_before_model: so many trials come to the last rung before TPE proposes.
    """

    def __init__(self, settings: EngineSettings, factor: int, n_before_model: int) -> None:
        self._space, self._seed = settings.space, settings.seed
        self._random_share, self._n_before_model = 1 / (1 + factor), n_before_model
        # A point outside of the space, such as the recipe, is a baseline and no belief.
        believed = [point for point in settings.enqueued if settings.space.contains(point)]
        defaults = [] if settings.defaults is None else [settings.defaults]
        known = [_known(settings.space, point) for point in (*defaults, *believed)]
        self._centres = [point for place, point in enumerate(known) if point and point not in known[:place]]

    def draws(
        self, number: int, best: Sequence[Point], n_at_last: int, model_draws: Callable[[], Iterator[dict[str, Value]]]
    ) -> Iterator[dict[str, Value]]:
        """Points for one trial, the later ones as substitutes for the first; they may repeat.

        Args:
            number: of the trial.
            best: the best trials' points at the highest rung with enough of them, the best first.
            n_at_last: trials that came to the last rung.
            model_draws: of TPE.
        """
        for centre in self._centres:
            if self._space.contains(centre):
                yield dict(centre)
        generator = np.random.default_rng([self._seed, number, _STREAM])
        model = model_draws() if n_at_last >= self._n_before_model else None
        inside = [known for point in best if (known := _known(self._space, point))]
        incumbent = inside[0] if inside else None
        prior_share = self._prior_share(inside, incumbent)
        while True:
            chance = float(generator.random())
            if chance < self._random_share:
                yield self._space.sample(generator)
            elif model is not None:
                yield next(model)
            elif incumbent is None or generator.random() < prior_share:
                yield self._around_prior(generator)
            else:
                yield self._around(incumbent, generator, share_changed=1 - KEPT)

    def _prior_share(self, best: Sequence[Point], incumbent: Point | None) -> float:
        """How much of what is not random is the prior's: by how likely it makes the best points,
        compared with the incumbent, better ones counting more.
        """
        if not self._centres or incumbent is None:
            return 0.0 if incumbent is not None else 1.0
        prior, own = (self._likelihood(best, centres) for centres in (self._centres, [incumbent]))
        return prior / (prior + own)

    def _likelihood(self, best: Sequence[Point], centres: Sequence[Point]) -> float:
        """Of points around centres, the first point counting most."""
        densities = [sum(_density(self._space, point, centre) for centre in centres) for point in best]
        weighted = sum((len(best) - place) * density for place, density in enumerate(densities))
        return weighted / len(centres)

    def _around_prior(self, generator: np.random.Generator) -> dict[str, Value]:
        if not self._centres:
            return self._space.sample(generator)
        return self._around(self._centres[generator.integers(len(self._centres))], generator, share_changed=1.0)

    def _around(self, centre: Point, generator: np.random.Generator, share_changed: float) -> dict[str, Value]:
        """A point near a centre; what the centre does not have is drawn at random."""
        quantiles: list[float] = []
        kept: dict[str, Value] = {}
        for dimension in self._space.dimensions:
            changes, anywhere = generator.random(2)
            near = _normal_within(_place(dimension, centre), generator) if dimension.name in centre else anywhere
            stays = dimension.name in centre and changes >= share_changed
            if isinstance(dimension, Categorical) and dimension.name in centre:
                near = _place(dimension, centre) if generator.random() < KEPT else anywhere
            quantiles.append(_place(dimension, centre) if stays else near)
            if stays:
                kept[dimension.name] = centre[dimension.name]
        point = self._space.at(quantiles)
        return {name: kept.get(name, value) for name, value in point.items()}


def _known(space: SearchSpace, point: Point) -> dict[str, Value]:
    """The part of a point that the space has and allows."""
    known: dict[str, Value] = {}
    for dimension in space.dimensions:
        if dimension.name in point:
            try:
                dimension.check(point[dimension.name])
            except SpaceError:
                continue
            known[dimension.name] = point[dimension.name]
    active = space.active(known)
    return {name: value for name, value in known.items() if name in active}


def _place(dimension: Dimension, point: Point) -> float:
    """The quantile of a point's value; `dimension.at` gives the value again."""
    value = point[dimension.name]
    if isinstance(dimension, Categorical):
        place = next(k for k, choice in enumerate(dimension.choices) if is_same_value(choice, value))
        return (place + 0.5) / len(dimension.choices)
    number, low, high = float(value), float(dimension.low), float(dimension.high)
    if isinstance(dimension, Integer):
        if dimension.log:
            low, high = math.log(low - 0.5), math.log(high + 0.5)
            return (math.log(number) - low) / (high - low)
        return ((number - low) / dimension.step + 0.5) / dimension.n_values
    if dimension.step is not None and dimension.n_values is not None:
        return (round((number - low) / dimension.step) + 0.5) / dimension.n_values
    if low == high:
        return 0.5
    if dimension.log:
        return (math.log(number) - math.log(low)) / (math.log(high) - math.log(low))
    return (number - low) / (high - low)


def _normal_within(centre: float, generator: np.random.Generator) -> float:
    """Draw from a normal distribution around a quantile, cut off at 0 and 1."""
    while True:
        drawn = float(generator.normal(centre, DEVIATION))
        if 0 <= drawn <= 1:
            return drawn


def _density(space: SearchSpace, point: Point, centre: Point) -> float:
    """How likely a point is around a centre: the geometric mean over the dimensions of both."""
    logs = []
    for dimension in space.dimensions:
        if dimension.name not in point or dimension.name not in centre:
            continue
        here, there = _place(dimension, point), _place(dimension, centre)
        if isinstance(dimension, Categorical):
            others = (1 - KEPT) / len(dimension.choices)
            logs.append(math.log(others + KEPT * (here == there)))
            continue
        whole = _below((1 - there) / DEVIATION) - _below(-there / DEVIATION)
        logs.append(-(((here - there) / DEVIATION) ** 2) / 2 - math.log(DEVIATION * math.sqrt(2 * math.pi) * whole))
    return math.exp(sum(logs) / len(logs)) if logs else 1.0


def _below(deviations: float) -> float:
    return (1 + math.erf(deviations / math.sqrt(2))) / 2
