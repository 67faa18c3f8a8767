"""How long a refit trains."""

import pytest

from core.errors import ConfigError, RegistryError
from search.experiment.experiment import Experiment
from search.ledger.events import EpochReported, TrialProposed
from search.ledger.state import TrialRecord
from search.ledger.trial import EpochReport, PruningDecision
from search.promotion.length import refit_length


def experiment(**promotion: object) -> Experiment:
    return Experiment(
        name="x", corpus={"layout": "hands"}, budget={"trials": 1}, training={"epochs": 4}, promotion=promotion
    )


def trial(*durations_s: float) -> TrialRecord:
    reports = [
        EpochReported(0, 3, 1, EpochReport(epoch, {}, 1000, duration_s), PruningDecision.GO)
        for epoch, duration_s in enumerate(durations_s, start=1)
    ]
    return TrialRecord(TrialProposed(0, 3, {}, {}, 0, None, 4), None, reports=tuple(reports))


RECORD = trial(31.0, 30.0, 30.0, 90.0)  # the last one while the machine did something else


def test_nothing_said_is_three_times_the_trials() -> None:
    length = refit_length(experiment(), RECORD)
    assert (length.epochs, length.rule) == (12, "three times training.epochs")
    assert length.minutes == pytest.approx(12 * 30.5 / 60)


def test_minutes_become_epochs_by_the_median_speed_of_the_trial() -> None:
    assert refit_length(experiment(minutes=20), RECORD).epochs == 39
    assert refit_length(experiment(minutes=0.1), RECORD).epochs == 1


def test_what_the_caller_says_counts_before_what_the_experiment_says() -> None:
    assert refit_length(experiment(minutes=20), RECORD, epochs=7).epochs == 7
    assert refit_length(experiment(epochs=7), RECORD, minutes=20).epochs == 39
    assert refit_length(experiment(epochs=7), RECORD).epochs == 7


def test_what_to_expect_is_part_of_a_line() -> None:
    assert refit_length(experiment(minutes=20), RECORD).in_words() == (
        "39 epochs (39,000 patches), as many as fit into 20 min; about 20 min at the sweep's 30.5 s "
        "an epoch (epochs by minutes: 5 min: 9, 20 min: 39, 60 min: 118)"
    )


def test_a_trial_without_a_duration_has_no_speed() -> None:
    with pytest.raises(RegistryError, match=r"trial 3 has no epoch with a duration\. Give --epochs"):
        refit_length(experiment(minutes=20), trial())
    assert refit_length(experiment(), trial()).in_words() == "12 epochs (0 patches), three times training.epochs"


def test_a_refit_has_one_length() -> None:
    with pytest.raises(ConfigError, match=r"minutes.* give one of the two"):
        experiment(epochs=3, minutes=20)
