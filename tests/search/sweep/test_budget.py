import pytest

from search.experiment.settings import BudgetSettings
from search.sweep.plan import BudgetUse


def use(limits: BudgetSettings, n_trials: int = 0, minutes: float = 0.0, n_patches: int = 0) -> BudgetUse:
    return BudgetUse(limits, n_trials, minutes, n_patches, trials_done=n_trials)


@pytest.mark.parametrize(("n_trials", "is_used"), [(0, False), (4, False), (5, True), (6, True)])
def test_a_limit_on_trials_is_used_up_when_reached(n_trials: int, is_used: bool) -> None:
    budget = use(BudgetSettings(trials=5), n_trials=n_trials)
    assert budget.are_trials_used is is_used
    assert not budget.is_work_used


def test_time_and_patches_use_up_the_work() -> None:
    assert use(BudgetSettings(minutes=2), minutes=2).is_work_used
    assert use(BudgetSettings(patches=100), n_patches=100).is_work_used
    assert not use(BudgetSettings(minutes=2, patches=100), minutes=1.9, n_patches=99).is_work_used


def test_the_share_is_of_the_nearest_limit_and_at_most_all() -> None:
    limits = BudgetSettings(trials=10, minutes=100, patches=1000)
    assert use(limits, n_trials=2, minutes=50, n_patches=100).share == 0.5
    assert use(limits, n_trials=20).share == 1.0


def test_it_reads_well() -> None:
    text = str(use(BudgetSettings(trials=40, minutes=30, patches=2_000_000), 12, 3.52, 150_000))
    assert text == "12 of 40 trials, 3.5 of 30 minutes, 150,000 of 2,000,000 patches"
