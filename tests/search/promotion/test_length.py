"""How long a refit trains."""

import math

import pytest

from core.errors import ConfigError, RegistryError
from search.experiment.experiment import Experiment
from search.ledger.events import EpochReported, TrialProposed
from search.ledger.state import TrialRecord
from search.ledger.trial import EpochReport, PruningDecision
from search.promotion.length import LEAST_GAIN, LOG_LOSS, RefitLength, refit_length, settled_length


def experiment(**promotion: object) -> Experiment:
    return Experiment(
        name="x", corpus={"layout": "hands"}, budget={"trials": 1}, training={"epochs": 4}, promotion=promotion
    )


def trial(*durations_s: float, log_loss: float = 1.0) -> TrialRecord:
    scores = {LOG_LOSS: log_loss}
    reports = [
        EpochReported(0, 3, 1, EpochReport(epoch, scores, 1000, duration_s), PruningDecision.GO)
        for epoch, duration_s in enumerate(durations_s, start=1)
    ]
    return TrialRecord(TrialProposed(0, 3, {}, {}, 0, None, 4), None, reports=tuple(reports))


RECORD = trial(31.0, 30.0, 30.0, 90.0)  # the last one while the machine did something else


def test_nothing_said_is_three_times_the_trials() -> None:
    length = refit_length(experiment(), RECORD)
    assert (length.epochs, length.rule) == (12, "three times training.epochs")
    assert length.minutes == pytest.approx(12 * 30.5 / 60)


def test_minutes_become_epochs_by_the_median_speed_of_the_trial() -> None:
    length = refit_length(experiment(minutes=20), RECORD)
    assert (length.epochs, length.to_measure) == (39, (1, 2)), "the most that fits, and what to measure first"
    assert refit_length(experiment(minutes=0.1), RECORD) == RefitLength(1, "as many as fit into 0.1 min", 30.5, 1000)


@pytest.mark.parametrize(
    ("losses", "epochs", "why"),
    [
        ({1: 2.0, 2: 1.4}, 39, "as many as fit"),
        ({1: 1.0e-2, 2: 0.7e-2}, 4, "a further minute would gain less than 0.001 nats"),
        ({1: 0.9, 2: 0.9}, 4, "longer fits were no better"),
        ({1: math.nan, 2: math.inf}, 4, "longer fits were no better"),
    ],
)
def test_a_refit_is_as_long_as_it_pays(losses: dict[int, float], epochs: int, why: str) -> None:
    last = {39: 1.0, 4: 0.5e-2 if losses[1] < 0.1 else 1.0}[epochs]
    record = trial(*[30.5] * 4, log_loss=last)
    length = settled_length(refit_length(experiment(minutes=20), record), record, losses)
    assert (length.epochs, length.to_measure) == (epochs, ())
    assert length.rule.startswith(why)


def test_a_power_law_is_found_again() -> None:
    def log_loss(epochs: int) -> float:
        return 0.2 * epochs**-0.5

    record = trial(*[60.0] * 8, log_loss=log_loss(8))
    length = refit_length(experiment(minutes=600), record)
    settled = settled_length(length, record, {epochs: log_loss(epochs) for epochs in length.to_measure})
    gain = log_loss(settled.epochs) - log_loss(settled.epochs + 1)
    assert gain == pytest.approx(LEAST_GAIN, rel=0.05), "an epoch takes a minute"
    assert f"20 min: 20, {log_loss(20):.3f}" in settled.in_words()


def test_what_the_caller_says_counts_before_what_the_experiment_says() -> None:
    assert refit_length(experiment(minutes=20), RECORD, epochs=7).epochs == 7
    assert refit_length(experiment(epochs=7), RECORD, minutes=20).epochs == 39
    assert refit_length(experiment(epochs=7), RECORD).epochs == 7


def test_what_to_expect_is_part_of_a_line() -> None:
    assert refit_length(experiment(minutes=20), RECORD).in_words() == (
        "39 epochs (39,000 patches), at most, as long as it pays within 20 min; about 20 min at the sweep's 30.5 s "
        "an epoch (epochs by minutes: 5 min: 9, 20 min: 39, 60 min: 118)"
    )


def test_a_trial_without_a_duration_has_no_speed() -> None:
    with pytest.raises(RegistryError, match=r"trial 3 has no epoch with a duration\. Give --epochs"):
        refit_length(experiment(minutes=20), trial())
    assert refit_length(experiment(), trial()).in_words() == "12 epochs (0 patches), three times training.epochs"


def test_several_members_share_the_minutes_and_say_so() -> None:
    length = refit_length(experiment(minutes=20), RECORD, members=3)
    assert length.epochs == 13
    assert length.minutes == pytest.approx(13 * 3 * 30.5 / 60)
    assert length.in_words().startswith("3 members of 13 epochs (13,000 patches each), at most")
    assert length.kinds() == ("refit-13-member-1", "refit-13-member-2", "refit-13-member-3")
    assert refit_length(experiment(members=2), RECORD).size() == "2 members of 12 epochs"
    assert refit_length(experiment(), RECORD).kinds() == ("refit-12",)


def test_cross_fits_share_the_minutes_and_say_so() -> None:
    length = refit_length(experiment(minutes=20), RECORD, members=2, folds=3)
    assert length.epochs == 4, "20 min are 39 epochs of one fit"
    assert length.minutes == pytest.approx(4 * 2 * 4 * 30.5 / 60)
    alone = refit_length(experiment(), RECORD, folds=3)
    assert (alone.epochs, alone.n_fits) == (12, 4)
    assert alone.in_words().startswith("12 epochs (12,000 patches each) after 3 cross-fits of as many, three times")
    assert "20 min: 9" in alone.in_words()


def test_a_further_minute_gains_less_where_fits_share_it() -> None:
    record = trial(*[60.0] * 8, log_loss=0.2 * 8**-0.5)
    losses = {epochs: 0.2 * epochs**-0.5 for epochs in (2, 4)}
    alone, shared = (
        settled_length(refit_length(experiment(minutes=600), record, folds=folds), record, losses) for folds in (0, 3)
    )
    assert shared.epochs == pytest.approx(alone.epochs / 4 ** (2 / 3), abs=1)


def test_a_refit_has_one_length() -> None:
    with pytest.raises(ConfigError, match=r"minutes.* give one of the two"):
        experiment(epochs=3, minutes=20)
