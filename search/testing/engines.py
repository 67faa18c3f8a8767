"""What every engine must keep, whatever it is made of: a base class of tests.

A subclass says how its engine is made; `PlayedSweep` plays the sweep's part, without workers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from core.space import Categorical, Condition, Integer, Point, Real, SearchSpace
from search.engines.base import (
    Continue,
    Engine,
    EngineSettings,
    Exhausted,
    Proposal,
    Start,
    Wait,
)
from search.ledger.events import EngineEvent, EpochReported, SegmentEnded, TrialContinued, TrialProposed
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState

METRIC = "val/loss"
HORIZON = 2

SPACES: Mapping[str, SearchSpace] = {
    "logarithmic": SearchSpace((Real("rate", 1e-8, 1e2, log=True), Integer("units", 1, 100_000, log=True))),
    "stepped": SearchSpace((Real("dropout", 0.0, 0.6, step=0.1), Integer("units", 64, 4096, 64), Real("x", 0.0, 1.0))),
    "boolean": SearchSpace((Categorical("norm", (True, False)), Real("x", -1.0, 1.0))),
    "nested conditions": SearchSpace(
        (
            Categorical("kind", ("flat", "deep")),
            Integer("depth", 1, 3, when=Condition("kind", ("deep",))),
            Integer("width_2", 8, 512, 8, when=Condition("depth", (2, 3))),
            Real("width_3", 0.1, 10.0, log=True, when=Condition("depth", (3,))),
            Real("x", 0.0, 1.0),
        )
    ),
    "one choice": SearchSpace((Categorical("only", ("this",)), Integer("same", 7, 7), Real("x", 0.0, 1.0))),
    "large integers": SearchSpace((Integer("units", 10**12, 2**50),)),
    "alike choices": SearchSpace((Categorical("c", (True, 1, 1.0, "1")), Real("x", 0.0, 1.0))),
}


@dataclass
class PlayedSweep:
    """A sweep without workers: asks, reports, tells, and keeps the events that a ledger would.

    It refuses what a real one refuses: a Continue for a trial that is not paused, a Wait while
    nothing runs, a rung that ends before it begins or after the horizon.
    """

    engine: Engine
    history: list[EngineEvent] = field(default_factory=list)
    points: dict[int, Point] = field(default_factory=dict)
    states: dict[int, TrialState] = field(default_factory=dict)
    n_epochs: dict[int, int] = field(default_factory=dict)
    until: dict[int, int] = field(default_factory=dict)

    @classmethod
    def going_on(cls, engine: Engine, history: Sequence[EngineEvent]) -> "PlayedSweep":
        """A sweep that is where its history ends."""
        sweep = cls(engine)
        for event in history:
            sweep.note(event)
        return sweep

    @property
    def at_ms(self) -> int:
        """The next event's time: a count, so that the same sweep has the same history."""
        return len(self.history)

    def ask(self) -> Proposal:
        """Ask, and do what is proposed."""
        proposal = self.engine.ask(len(self.points))
        self.take(proposal)
        return proposal

    def take(self, proposal: Proposal) -> None:
        """Do what a proposal says."""
        number = len(self.points)
        match proposal:
            case Start():
                point = dict(proposal.point)
                self.note(TrialProposed(self.at_ms, number, point, point, 0, proposal.until_epoch, HORIZON))
            case Continue():
                number = proposal.number
                assert self.states[number] is TrialState.PAUSED
                self.note(TrialContinued(self.at_ms, number, proposal.until_epoch))
            case Wait():
                assert TrialState.RUNNING in self.states.values()
        if isinstance(proposal, Start | Continue):
            assert self.n_epochs[number] < self.until[number] <= HORIZON

    def enqueue(self, point: Point) -> Start:
        """Let the engine take up a point of the user's."""
        number = len(self.points)
        start = self.engine.enqueue(number, point)
        taken = dict(start.point)
        epochs = start.until_epoch, HORIZON
        self.note(TrialProposed(self.at_ms, number, taken, taken, 0, *epochs, is_enqueued=True))
        return start

    def ask_for_new(self) -> Proposal:
        """Ask, letting trials go on to the end of their rung, until there is another answer."""
        while isinstance(proposal := self.ask(), Continue):
            self.play(proposal.number)
        return proposal

    def start(self) -> int:
        """Ask for a new trial and return its number."""
        proposal = self.ask_for_new()
        assert isinstance(proposal, Start), proposal
        return len(self.points) - 1

    def report(self, number: int, epoch: int, value: float) -> PruningDecision:
        """Report an epoch, and note the decision."""
        report = EpochReport(epoch, {METRIC: value}, n_patches=1, duration_s=0.1)
        decision = self.engine.report(number, report)
        self.note(EpochReported(self.at_ms, number, 1, report, decision))
        return decision

    def tell(self, number: int, state: TrialState, value: float | None = None) -> None:
        """End a trial, or a segment of it."""
        metrics = {} if value is None else {METRIC: value}
        result = TrialResult(state, value, metrics)
        self.engine.tell(number, result)
        self.note(SegmentEnded(self.at_ms, number, 1, result))

    def play(self, number: int) -> None:
        """Let a started trial run to the end of its segment."""
        value = score(self.points[number])
        for epoch in range(self.n_epochs[number] + 1, self.until[number] + 1):
            decision = self.report(number, epoch, value + HORIZON - epoch)
            if decision is PruningDecision.STOP:
                self.tell(number, TrialState.PRUNED)
                return
            if decision is PruningDecision.PAUSE:
                self.tell(number, TrialState.PAUSED)
                return
        is_done = self.until[number] == HORIZON
        self.tell(number, TrialState.COMPLETED if is_done else TrialState.PAUSED, value if is_done else None)

    def run(self, n_trials: int) -> None:
        """Start so many trials, and run each to its end or its pause before the next."""
        for _ in range(n_trials):
            self.play(self.start())

    def note(self, event: EngineEvent) -> None:
        self.history.append(event)
        number = event.number
        match event:
            case TrialProposed() | TrialContinued():
                if isinstance(event, TrialProposed):
                    self.points[number] = event.point
                    self.n_epochs[number] = 0
                self.states[number] = TrialState.RUNNING
                self.until[number] = event.until_epoch or HORIZON
            case EpochReported():
                self.n_epochs[number] = event.report.epoch
            case SegmentEnded():
                self.states[number] = event.result.state


def score(point: Point) -> float:
    """A value that depends on everything in the point, and always in the same way."""
    numbers = [value if isinstance(value, float | int) else len(value) for value in point.values()]
    return sum(math.sin(7 * float(number)) + abs(float(number) - 0.3) / (1 + abs(number)) for number in numbers)


class EngineContract:
    """The tests; a subclass must overwrite `make_engine`, and may leave spaces out.

    Attributes:
        spaces: those that the engine can search.
        is_seeded: whether another seed gives other proposals.
    """

    spaces: Sequence[str] = tuple(SPACES)
    is_seeded = True

    def make_engine(self, settings: EngineSettings) -> Engine:
        """Make a fresh engine."""
        raise NotImplementedError

    def begin(
        self,
        space: SearchSpace,
        seed: int = 1,
        enqueued: tuple[Point, ...] = (),
        history: Sequence[EngineEvent] = (),
        sweep_id: str = "sweep",
    ) -> PlayedSweep:
        settings = EngineSettings(space, enqueued, seed, METRIC, "minimize", horizon_epochs=HORIZON, sweep_id=sweep_id)
        engine = self.make_engine(settings)
        engine.restore(history)
        return PlayedSweep.going_on(engine, history)

    @pytest.fixture(params=list(SPACES))
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        if request.param not in self.spaces:
            pytest.skip("this engine cannot search it, and says so")
        return SPACES[request.param]

    def test_every_point_is_in_the_space_with_exact_types_and_no_inactive_names(self, space: SearchSpace) -> None:
        sweep = self.begin(space)
        sweep.run(25)
        for point in sweep.points.values():
            space.check(point)  # which knows types, ranges, steps, and what is active

    def test_no_two_trials_have_the_same_point(self, space: SearchSpace) -> None:
        sweep = self.begin(space)
        sweep.run(20)
        assert len({str(point) for point in sweep.points.values()}) == 20

    def test_the_same_seed_proposes_the_same_and_another_seed_something_else(self, space: SearchSpace) -> None:
        first, second, other = self.begin(space), self.begin(space), self.begin(space, seed=2)
        for sweep in (first, second, other):
            sweep.run(15)
        assert first.points == second.points
        assert (first.points != other.points) is self.is_seeded

    def test_an_interrupted_sweep_proposes_what_an_uninterrupted_one_does(self, space: SearchSpace) -> None:
        whole = self.begin(space)
        whole.run(20)
        for n_before in (1, 7, 14):
            before = self.begin(space)
            before.run(n_before)
            after = self.begin(space, history=before.history)
            after.run(20 - n_before)
            assert after.points == whole.points
            assert after.history == whole.history
        assert len({str(point) for point in whole.points.values()}) == 20, "nothing is proposed twice"

    def test_an_interruption_while_trials_are_pending_changes_nothing(self, space: SearchSpace) -> None:
        whole = self.begin(space)
        whole.run(12)
        for _ in range(3):
            whole.start()
        whole.report(13, 1, 0.5)
        resumed = self.begin(space, history=whole.history)
        for sweep in (whole, resumed):
            sweep.report(13, 2, 0.4)
            sweep.tell(13, TrialState.COMPLETED, 0.4)
            sweep.start()
            sweep.tell(12, TrialState.COMPLETED, 0.7)
            sweep.start()
        assert resumed.points == whole.points

    def test_four_pending_trials_differ(self, space: SearchSpace) -> None:
        sweep = self.begin(space)
        sweep.run(12)
        for _ in range(4):
            sweep.start()
        assert len({str(sweep.points[number]) for number in range(12, 16)}) == 4

    def test_failed_trials_and_values_that_are_no_number_do_not_end_the_sweep(self) -> None:
        sweep = self.begin(SPACES["nested conditions"])
        sweep.tell(sweep.start(), TrialState.FAILED)
        sweep.tell(sweep.start(), TrialState.COMPLETED, math.nan)
        sweep.tell(sweep.start(), TrialState.COMPLETED, math.inf)
        diverged = sweep.start()
        sweep.report(diverged, 1, math.nan)
        sweep.tell(diverged, TrialState.FAILED)
        sweep.run(12)
        resumed = self.begin(SPACES["nested conditions"], history=sweep.history)
        sweep.run(3)
        resumed.run(3)
        assert resumed.points == sweep.points

    def test_ten_failures_in_a_row_do_not_end_the_sweep(self) -> None:
        sweep = self.begin(SPACES["stepped"])
        for _ in range(10):
            sweep.tell(sweep.start(), TrialState.FAILED)
        sweep.run(12)
        assert len(sweep.points) == 22

    def test_trials_may_end_in_any_order(self) -> None:
        sweep = self.begin(SPACES["stepped"])
        numbers = [sweep.start() for _ in range(6)]
        for number in reversed(numbers):
            sweep.report(number, 1, 1.0)
            sweep.tell(number, TrialState.COMPLETED, float(number))
        sweep.run(10)

    def test_pruned_trials_are_learnt_and_restored(self) -> None:
        sweep = self.begin(SPACES["logarithmic"])
        for _ in range(6):
            number = sweep.start()
            sweep.report(number, 1, float(number))
            sweep.tell(number, TrialState.PRUNED)
        sweep.tell(sweep.start(), TrialState.PRUNED)  # without any report
        resumed = self.begin(SPACES["logarithmic"], history=sweep.history)
        sweep.run(10)
        resumed.run(10)
        assert resumed.points == sweep.points

    def test_a_paused_trial_can_go_on_and_finish_also_after_a_restart(self) -> None:
        space = SPACES["nested conditions"]
        whole = self.begin(space)
        whole.run(3)
        paused = whole.start()
        whole.report(paused, 1, -100.0)  # by far the best: whoever promotes trials must promote this one
        whole.tell(paused, TrialState.PAUSED)
        resumed = self.begin(space, history=whole.history)
        for sweep in (whole, resumed):
            self.let_it_go_on(sweep, paused)
        again = self.begin(space, history=whole.history)
        for sweep in (whole, resumed, again):
            sweep.report(paused, 2, 0.4)
            sweep.tell(paused, TrialState.COMPLETED, 0.4)
            sweep.run(12)
        assert whole.points == resumed.points == again.points

    def let_it_go_on(self, sweep: PlayedSweep, number: int) -> None:
        """Ask until the paused trial goes on; what is started on the way fails."""
        for _ in range(50):
            proposal = sweep.ask()
            if isinstance(proposal, Continue) and proposal.number == number:
                return
            if isinstance(proposal, Continue):
                sweep.play(proposal.number)
            else:
                assert isinstance(proposal, Start)
                sweep.tell(len(sweep.points) - 1, TrialState.FAILED)
        raise AssertionError("a paused trial must go on some time")

    def test_a_start_that_came_too_late_is_proposed_again(self) -> None:
        space = SPACES["nested conditions"]
        point: Point = {"kind": "flat", "x": 0.25}
        plain, repeated = self.begin(space, enqueued=(point,)), self.begin(space, enqueued=(point,))
        for _ in range(14):
            plain.run(1)
            number = len(repeated.points)
            while isinstance(proposal := repeated.engine.ask(number), Continue):
                repeated.take(proposal)
                repeated.play(proposal.number)
            assert repeated.engine.ask(number) == proposal
            repeated.run(1)
        assert repeated.points == plain.points
        assert repeated.history == plain.history

    def test_enqueued_points_come_first_inside_the_space_or_not(self) -> None:
        space = SPACES["nested conditions"]
        inside: Point = {"kind": "deep", "depth": 2, "width_2": 64, "x": 0.25}
        outside: Point = {"kind": "flat", "x": 99.0, "other": True}
        sweep = self.begin(space, enqueued=(outside, inside, outside))
        sweep.run(16)
        assert [sweep.points[number] for number in range(3)] == [outside, inside, outside]
        assert all(space.contains(sweep.points[number]) for number in range(3, 16))
        n_events = 1 + next(place for place, event in enumerate(sweep.history) if isinstance(event, SegmentEnded))
        resumed = self.begin(space, enqueued=(outside, inside, outside), history=sweep.history[:n_events])
        resumed.run(15)
        assert resumed.points == sweep.points

    def test_a_point_that_the_user_enqueues_on_the_way_is_taken_up_and_known_after_a_restart(self) -> None:
        space = SPACES["nested conditions"]
        inside: Point = {"kind": "deep", "depth": 2, "width_2": 64, "x": 0.25}
        outside: Point = {"kind": "flat", "x": 99.0, "other": True}
        sweep = self.begin(space)
        sweep.run(5)
        for point in (inside, outside):
            number = len(sweep.points)
            assert sweep.enqueue(point).point == point
            sweep.play(number)
        n_events = len(sweep.history)
        sweep.run(8)
        assert all(space.contains(sweep.points[number]) for number in range(7, 15))
        resumed = self.begin(space, history=sweep.history[:n_events])
        resumed.run(8)
        assert resumed.points == sweep.points
        assert resumed.history == sweep.history

    def test_a_small_space_is_exhausted_after_each_point_was_proposed_once(self) -> None:
        space = SearchSpace(
            (
                Categorical("norm", (True, False)),
                Integer("n", 0, 2, when=Condition("norm", (True,))),
                Real("x", 0.0, 0.3, step=0.1),
            )
        )
        sweep = self.begin(space)
        sweep.run(16)  # (3 + 1) x 4
        assert sweep.ask_for_new() == Exhausted()
        assert len({str(point) for point in sweep.points.values()}) == 16
        assert self.begin(space, history=sweep.history).ask_for_new() == Exhausted()

    def test_the_sweep_may_go_up_as_well_as_down(self) -> None:
        space = SPACES["stepped"]
        settings = EngineSettings(space, (), 1, METRIC, "maximize", horizon_epochs=HORIZON, sweep_id="sweep")
        engine = self.make_engine(settings)
        engine.restore(())
        PlayedSweep(engine).run(12)
