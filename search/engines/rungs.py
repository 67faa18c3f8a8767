"""Asynchronous successive halving that goes on: which trials wait at a rung, and which of them may
leave it.

After Li, Jamieson, Rostamizadeh et al., "A System for Massively Parallel Hyperparameter Tuning"
(ASHA), MLSys 2020, https://arxiv.org/abs/1810.05934. A trial that comes to a rung waits there,
unless it is among the best so far; as more trials come, those that turn out to be among the best go
on. Nothing that was trained is thrown away.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.errors import EngineError

N_LATE = 2
"""Rungs in seconds that only slower trials come to: at the end of the trial whose speed was taken,
and beyond."""
_SLACK = 0.9  # of a rung in seconds: two trials of one speed come to it after the same epoch


def rung_seconds(first_epoch: int, factor: int, horizon_epochs: int, epoch_s: float) -> tuple[float, ...]:
    """The seconds at which rungs lie for all trials, by the speed of one of them.

    As far as that trial goes, where its epochs are those of `rung_epochs`; then one at its end, and
    one `factor` times as far: a trial that trains that much more slowly is judged there again.

    Args:
        first_epoch: of that trial.
        factor: from one rung to the next.
        horizon_epochs: of all trials.
        epoch_s: seconds of one of its epochs, more than 0.
    """
    epochs = [*rung_epochs(first_epoch, factor, horizon_epochs), horizon_epochs, factor * horizon_epochs]
    return tuple(_SLACK * epoch_s * epoch for epoch in epochs)


def rung_epochs(first_epoch: int, factor: int, horizon_epochs: int) -> tuple[int, ...]:
    """The epochs at which rungs lie: the first, then each `factor` times as far, all before the
    horizon.

    Raises:
        EngineError: if the first rung is not before the horizon, so that no trial would ever be
            judged.
    """
    epochs = []
    epoch = first_epoch
    while epoch < horizon_epochs:
        epochs.append(epoch)
        epoch *= factor
    if not epochs:
        raise EngineError(
            f"The first rung must lie before the last epoch, but `engine.rung_first_epoch` is {first_epoch} and trials "
            f"have {horizon_epochs} epochs. Make the trials longer, or choose another pruner."
        )
    return tuple(epochs)


class RungLadder:
    """Decides at every rung who is among the best `1 / factor` of those that came so far.

    Scores are the best ones up to the rung. A trial that ended by itself before a rung (early
    stopping, say) counts there with its best score, else the rung would look easier than it is; one
    that failed counts only where it was.
    """

    def __init__(self, places: Sequence[float] | None, factor: int, direction: Literal["minimize", "maximize"]) -> None:
        """Lay the rungs.

        Args:
            places: where they lie, in epochs or in seconds; `None` if `lay` will say it, and until
                then nobody is judged.
            factor: one trial in so many leaves a rung.
            direction: which scores are better.
        """
        self._factor, self._is_up = factor, direction == "maximize"
        self._rungs: list[_Rung] = []
        self.is_laid = places is not None
        if places is not None:
            self.lay(places)

    def lay(self, places: Sequence[float]) -> None:
        """Say where the rungs lie."""
        self._rungs = [_Rung(place, self._factor, self._is_up) for place in places]
        self.is_laid = True

    def lay_in_seconds(self, first_epoch: int, horizon_epochs: int, epoch_s: float) -> None:
        """Lay rungs by the speed of one trial; see `rung_seconds`.

        At those that only slower trials come to, the best one goes on however few they are: a sweep
        whose good trials are slow would else end without a completed one.
        """
        self.lay(rung_seconds(first_epoch, self._factor, horizon_epochs, epoch_s))
        for rung in self._rungs[-N_LATE:]:
            rung.n_least = 1

    def may_go_on(self, number: int, place: float, best: float) -> bool:
        """Take down how far a trial has come, and say whether it goes on without a pause.

        Args:
            number: of the trial.
            place: epochs, or seconds, done.
            best: its best score so far.
        """
        reached = [rung for rung in self._rungs if rung.place <= place]
        if not reached:
            return True
        for rung in reached[:-1]:
            rung.add(number, best)
            rung.gone_on.add(number)  # it was not judged there, and is past it
        last = reached[-1]
        last.add(number, best)
        if number not in last.gone_on and number in last.best():
            last.gone_on.add(number)
        return number in last.gone_on

    def pass_by(self, number: int, place: float, best: float) -> None:
        """Take down how far a trial has come that is not judged; others are compared with it."""
        for rung in self._rungs:
            if rung.place <= place:
                rung.add(number, best)
                rung.gone_on.add(number)

    @property
    def n_at_last(self) -> int:
        """How many trials came to the last rung, or ended before it by themselves."""
        return len(self._rungs[-1].scores) if self._rungs else 0

    def best_at_the_top(self) -> list[int]:
        """The best `1 / factor` of the highest rung to which enough trials came, the best first."""
        return next((best for rung in reversed(self._rungs) if (best := rung.best())), [])

    def next_to_go_on(self, waiting: Sequence[int]) -> int | None:
        """The trial that should leave its rung next, if any: of the highest rung, the best one."""
        for rung in reversed(self._rungs):
            for number in rung.best():
                if number in waiting and number not in rung.gone_on:
                    return number
        return None

    def is_at_a_rung(self, number: int) -> bool:
        """Whether the trial came to a rung that it has not left."""
        return any(number in rung.scores and number not in rung.gone_on for rung in self._rungs)

    def let_go_on(self, number: int) -> None:
        """Take down that a trial goes on from where it is."""
        for rung in self._rungs:
            if number in rung.scores:
                rung.gone_on.add(number)

    def end(self, number: int, best: float) -> None:
        """Take down that a trial ended by itself: it has passed all rungs with its best score."""
        self.pass_by(number, math.inf, best)

    def forget(self, number: int) -> None:
        """Take back a trial that was never used."""
        for rung in self._rungs:
            rung.scores.pop(number, None)
            rung.gone_on.discard(number)


@dataclass
class _Rung:
    place: float
    factor: int
    is_up: bool
    n_least: int = 0
    scores: dict[int, float] = field(default_factory=dict)
    gone_on: set[int] = field(default_factory=set)

    def add(self, number: int, score: float) -> None:
        """Take down a score; the first one counts."""
        if math.isfinite(score):
            self.scores.setdefault(number, score)

    def best(self) -> list[int]:
        """The best `1 / factor` of the trials that came so far, or `n_least` if that is more, best
        first; the earlier trial among equals.
        """
        ranked = sorted(
            self.scores, key=lambda number: (-self.scores[number] if self.is_up else self.scores[number], number)
        )
        return ranked[: max(self.n_least, len(ranked) // self.factor)]
