"""The Optuna engine: the contract with every sampler and pruner, and what is Optuna's own."""

import importlib.util
import logging
import warnings
from pathlib import Path

import optuna
import pytest

from core.errors import EngineError
from core.networks.presets import pooled_preset
from core.space import Integer, Real, SearchSpace
from search.engines import open_engine
from search.engines.base import Engine, EngineSettings
from search.engines.optuna.engine import OptunaEngine
from search.engines.optuna.study import SEGMENT_KEY, TRIAL_KEY
from search.experiment.engine_settings import OptunaSettings
from search.ledger.events import EngineEvent
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState
from search.testing.engines import METRIC, SPACES, EngineContract, PlayedSweep


class TestRandom(EngineContract):
    """Random search."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(OptunaSettings(sampler="random"), settings)


class TestTpe(EngineContract):
    """TPE that learns from the fifth trial on."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(OptunaSettings(sampler="tpe", n_startup_trials=5), settings)


@pytest.mark.long
class TestTpeWithMedianPruner(EngineContract):
    """TPE, trials pruned."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        choice = OptunaSettings(
            sampler="tpe", n_startup_trials=5, pruner="median", pruner_startup_trials=3, pruner_warmup_epochs=0
        )
        return open_engine(choice, settings)


class TestCmaes(EngineContract):
    """CMA-ES from the fifth trial on, in generations of its own size."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(OptunaSettings(sampler="cmaes", n_startup_trials=5), settings)


class TestQmc(EngineContract):
    """A Sobol sequence."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(OptunaSettings(sampler="qmc"), settings)


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch, the extra `gp`, is not installed")
class TestGp(EngineContract):
    """A Gaussian process from the fifth trial on."""

    spaces = tuple(name for name in SPACES if name != "large integers")

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(OptunaSettings(sampler="gp", n_startup_trials=5), settings)


@pytest.mark.long
class TestRandomWithSuccessiveHalving(EngineContract):
    """Trials ended at the first epoch unless they are among the better half."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(
            OptunaSettings(sampler="random", pruner="successive_halving", rung_first_epoch=1, rung_factor=2), settings
        )


@pytest.mark.long
class TestTpeWithHyperband(EngineContract):
    """As above, with two brackets."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(
            OptunaSettings(sampler="tpe", n_startup_trials=5, pruner="hyperband", rung_first_epoch=1, rung_factor=2),
            settings,
        )


class TestTpeWithAsha(EngineContract):
    """Trials paused at the first epoch, the best of them going on."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(
            OptunaSettings(sampler="tpe", n_startup_trials=5, pruner="asha", rung_first_epoch=1, rung_factor=2),
            settings,
        )


PLAIN = SearchSpace((Real("x", -1.0, 1.0), Integer("n", 0, 1000)))


def make(choice: OptunaSettings, space: SearchSpace = PLAIN, history: tuple[EngineEvent, ...] = ()) -> PlayedSweep:
    settings = EngineSettings(space, (), 3, METRIC, "minimize", horizon_epochs=5, sweep_id="sweep-abc")
    engine = OptunaEngine(choice, settings)
    engine.restore(history)
    return PlayedSweep(engine, list(history))


def study_at(url: str) -> optuna.Study:
    return optuna.load_study(study_name="sweep-abc", storage=url)


@pytest.mark.parametrize("learning", ["tpe", "cmaes"])
def test_a_sampler_that_learns_comes_closer_than_random_search(learning: str) -> None:
    space = SearchSpace(tuple(Real(f"x{place}", -5.0, 5.0) for place in range(3)))
    best = {}
    for sampler in ("random", learning):
        sweep = make(OptunaSettings.model_validate({"sampler": sampler}), space)
        values = []
        for _ in range(60):
            number = sweep.start()
            values.append(sum(float(value) ** 2 for value in sweep.points[number].values()))
            sweep.tell(number, TrialState.COMPLETED, values[-1])
        best[sampler] = min(values)
    assert best[learning] < best["random"] / 2


def test_the_median_pruner_stops_a_bad_trial_after_startup_and_warm_up_only() -> None:
    sweep = make(OptunaSettings(sampler="random", pruner="median", pruner_startup_trials=3, pruner_warmup_epochs=2))
    for _ in range(3):
        number = sweep.start()
        assert [sweep.report(number, epoch, 1.0) for epoch in (1, 2, 3)] == [PruningDecision.GO] * 3
        sweep.tell(number, TrialState.COMPLETED, 1.0)
    bad, good = sweep.start(), sweep.start()
    assert [sweep.report(bad, epoch, 9.0) for epoch in (1, 2, 3)] == [
        PruningDecision.GO,
        PruningDecision.GO,
        PruningDecision.STOP,
    ]
    assert [sweep.report(good, epoch, 0.5) for epoch in (1, 2, 3)] == [PruningDecision.GO] * 3


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_nobody_is_judged_before_the_middle_of_a_trial_if_nothing_is_said(pruner: str) -> None:
    options = {"sampler": "random", "pruner": pruner, "pruner_startup_trials": 1, "rung_factor": 2}
    sweep = make(OptunaSettings.model_validate(options))  # trials of 5 epochs
    good, bad = sweep.start(), sweep.start()
    assert {sweep.report(good, epoch, 0.1) for epoch in range(1, 6)} == {PruningDecision.GO}
    sweep.tell(good, TrialState.COMPLETED, 0.1)
    n_free = 2 if pruner == "median" else 1  # a rung lies at an epoch, a warm-up is behind it
    assert {sweep.report(bad, epoch, 9.0) for epoch in range(1, n_free + 1)} == {PruningDecision.GO}
    assert sweep.report(bad, n_free + 1, 9.0) is PruningDecision.STOP


@pytest.mark.parametrize("pruner", ["successive_halving", "hyperband", "asha"])
def test_a_pruner_whose_first_rung_is_no_earlier_than_the_end_is_refused(pruner: str) -> None:
    choice = OptunaSettings.model_validate({"pruner": pruner, "rung_first_epoch": 5})
    with pytest.raises(EngineError, match=r"`engine\.rung_first_epoch` is 5 and trials have 5 epochs"):
        make(choice)


def test_the_patient_pruner_asks_the_median_only_of_a_trial_that_gets_no_better() -> None:
    options = {"sampler": "random", "pruner_startup_trials": 3, "pruner_warmup_epochs": 0, "pruner_patience": 1}
    decisions = {}
    for pruner in ("patient", "median"):
        sweep = make(OptunaSettings.model_validate({**options, "pruner": pruner}))
        for _ in range(3):
            number = sweep.start()
            assert {sweep.report(number, epoch, 1.0) for epoch in range(1, 6)} == {PruningDecision.GO}
            sweep.tell(number, TrialState.COMPLETED, 1.0)
        better, stuck, good = sweep.start(), sweep.start(), sweep.start()
        decisions[pruner] = [sweep.report(better, epoch, 9.0 - epoch) for epoch in range(1, 5)]
        if pruner == "patient":
            assert [sweep.report(stuck, *report) for report in ((1, 5.0), (2, 6.0), (3, 6.0))] == [
                *(PruningDecision.GO, PruningDecision.GO),
                PruningDecision.STOP,
            ]
            assert {sweep.report(good, epoch, 0.1 * epoch) for epoch in range(1, 5)} == {PruningDecision.GO}
    assert set(decisions["patient"]) == {PruningDecision.GO}
    assert decisions["median"][0] is PruningDecision.STOP, "though it will get better"


def test_the_threshold_pruner_stops_what_leaves_the_range_after_warm_up() -> None:
    choice = OptunaSettings(
        sampler="random", pruner="threshold", pruner_lower=0.5, pruner_upper=2.0, pruner_warmup_epochs=1
    )
    sweep = make(choice)
    within, above, below = sweep.start(), sweep.start(), sweep.start()
    assert [sweep.report(within, epoch, value) for epoch, value in ((1, 9.0), (2, 2.0), (3, 0.5))] == [
        PruningDecision.GO
    ] * 3
    assert [sweep.report(above, epoch, 2.1) for epoch in (1, 2)] == [PruningDecision.GO, PruningDecision.STOP]
    assert [sweep.report(below, epoch, 0.4) for epoch in (1, 2)] == [PruningDecision.GO, PruningDecision.STOP]


@pytest.mark.parametrize(
    ("bounds", "complaint"),
    [
        ({}, "needs `pruner_lower`, `pruner_upper` or both"),
        ({"pruner_lower": 2.0, "pruner_upper": 2.0}, "`pruner_lower < pruner_upper` must hold, but got 2.0 and 2.0"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(bounds: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        OptunaSettings.model_validate({"pruner": "threshold", **bounds})


def test_successive_halving_stops_at_a_rung_who_is_not_among_the_best() -> None:
    sweep = make(OptunaSettings(sampler="random", pruner="successive_halving", rung_first_epoch=1, rung_factor=2))
    first, second, third = sweep.start(), sweep.start(), sweep.start()
    assert sweep.report(first, 1, 1.0) is PruningDecision.GO
    assert sweep.report(second, 1, 2.0) is PruningDecision.STOP
    assert sweep.report(third, 1, 0.5) is PruningDecision.GO


def test_without_a_pruner_no_trial_is_stopped() -> None:
    sweep = make(OptunaSettings(sampler="random", pruner="none"))
    sweep.run(8)
    number = sweep.start()
    assert {sweep.report(number, epoch, 1e9) for epoch in range(1, 6)} == {PruningDecision.GO}


def test_a_users_database_shows_the_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    choice = OptunaSettings(sampler="tpe", n_startup_trials=2, storage=url)
    sweep = make(choice, SPACES["nested conditions"])
    sweep.run(3)
    sweep.tell(sweep.start(), TrialState.FAILED)
    paused = sweep.start()
    sweep.report(paused, 1, 0.5)
    sweep.tell(paused, TrialState.PAUSED)
    sweep.ask()
    trials = study_at(url).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3 + ["FAIL", "PRUNED", "RUNNING"]
    assert [(trial.user_attrs[TRIAL_KEY], trial.user_attrs[SEGMENT_KEY]) for trial in trials[-2:]] == [(4, 0), (4, 1)]
    assert trials[0].params == sweep.points[0]
    assert trials[-1].intermediate_values == {1: 0.5}

    resumed = make(choice, SPACES["nested conditions"], tuple(sweep.history))
    assert len(study_at(url).trials) == 6, "nothing is doubled"
    resumed.report(paused, 2, 0.4)
    resumed.tell(paused, TrialState.COMPLETED, 0.4)
    assert study_at(url).trials[-1].value == 0.4


def test_a_users_database_changes_no_proposal(tmp_path: Path) -> None:
    beside = make(OptunaSettings(n_startup_trials=3, storage=f"sqlite:///{tmp_path / 'optuna.db'}"))
    alone = make(OptunaSettings(n_startup_trials=3))
    for sweep in (beside, alone):
        sweep.run(6)
    assert beside.points == alone.points


def test_a_database_that_is_behind_or_ahead_of_the_ledger_is_brought_into_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    choice = OptunaSettings(sampler="random", storage=url)
    sweep = make(choice)
    sweep.run(2)
    known = tuple(sweep.history)
    lost = sweep.start()  # asked, and the driver died before the ledger had it
    resumed = make(choice, history=known)
    resumed.points = dict(list(sweep.points.items())[:2])
    states = [trial.state.name for trial in study_at(url).trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL"]
    again = resumed.start()
    assert resumed.points[again] == sweep.points[lost]

    optuna.delete_study(study_name="sweep-abc", storage=url)  # a ledger without its study
    make(choice, history=tuple(resumed.history))
    assert [trial.state.name for trial in study_at(url).trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    make(choice, history=tuple(resumed.history))
    assert len(study_at(url).trials) == 3


def test_a_study_of_another_sweep_is_refused(tmp_path: Path) -> None:
    choice = OptunaSettings(sampler="random", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    make(choice).run(2)
    with pytest.raises(EngineError, match=r"no finished trials of a sweep but the ledger's.*engine\.storage"):
        make(choice)
    other = make(OptunaSettings(sampler="random"), SearchSpace((Real("x", 5.0, 6.0),)))
    other.run(1)
    with pytest.raises(EngineError, match="must have the ledger's parameters"):
        make(choice, SearchSpace((Real("x", 5.0, 6.0),)), tuple(other.history))


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "",
        "sqlite:////no/such/folder/optuna.db",
        "http://localhost/x",
        "redis://localhost",
        "mysql+no://x/y",
    ],
)
def test_a_wrong_storage_address_is_an_error_that_says_how_to_mend_it(url: str) -> None:
    with pytest.raises(EngineError, match=r"`engine.storage` must be .* Mend it, or leave it out"):
        make(OptunaSettings(storage=url))


def test_an_error_about_a_database_does_not_tell_its_password() -> None:
    with pytest.raises(EngineError) as caught:
        make(OptunaSettings(storage="nosuch://me:secret@host/db"))
    assert "secret" not in str(caught.value)


def test_a_database_that_goes_away_is_an_engine_error(tmp_path: Path) -> None:
    database = tmp_path / "optuna.db"
    sweep = make(OptunaSettings(sampler="random", storage=f"sqlite:///{database}"))
    number = sweep.start()
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(EngineError, match="its ledger has it all"):
        sweep.tell(number, TrialState.COMPLETED, 1.0)


def test_an_objective_that_is_not_reported_is_an_error_that_lists_what_is() -> None:
    sweep = make(OptunaSettings())
    number = sweep.start()
    with pytest.raises(EngineError, match=r"trial 0 reports val/other, not 'val/loss'"):
        sweep.engine.report(number, EpochReport(1, {"val/other": 1.0}, 1, 0.1))


def test_what_does_not_run_can_neither_report_nor_end() -> None:
    sweep = make(OptunaSettings())
    with pytest.raises(EngineError, match="must run"):
        sweep.report(0, 1, 1.0)
    sweep.run(1)
    with pytest.raises(EngineError, match="must run"):
        sweep.engine.tell(0, TrialResult(TrialState.COMPLETED, 1.0))
    with pytest.raises(EngineError, match="new number"):
        sweep.engine.ask(0)


def test_an_integer_that_optuna_would_round_is_refused() -> None:
    with pytest.raises(EngineError, match=r"2\*\*53"):
        make(OptunaSettings(), SearchSpace((Integer("n", 0, 2**60),)))


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "qmc"])
@pytest.mark.parametrize("pruner", ["none", "median", "patient", "successive_halving", "hyperband", "asha"])
def test_optuna_is_quiet(
    sampler: str, pruner: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        options = {"sampler": sampler, "pruner": pruner, "n_startup_trials": 2, "rung_first_epoch": 1}
        make(OptunaSettings.model_validate(options), pooled_preset().space).run(4)
    assert caplog.text == ""
    assert capfd.readouterr().err == ""
