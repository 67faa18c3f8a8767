"""Trials by their values, and how they read in tables and pictures."""

from io import BytesIO
from typing import Literal

import pytest

from search.ledger.ranking import count_states, rank
from search.ledger.trial import TrialState
from search.tracking.sweep_page import draw_history, leaderboard
from tests.search.sweep.told_sweep import record

TRIALS = (
    record(0, TrialState.COMPLETED, 2.0),
    record(1, TrialState.PRUNED, None),
    record(2, TrialState.COMPLETED, 1.0),
    record(3, TrialState.COMPLETED, 1.0),
    record(4, TrialState.FAILED, None),
)


@pytest.mark.parametrize(("direction", "numbers"), [("minimize", [2, 3, 0]), ("maximize", [0, 2, 3])])
def test_the_best_trial_is_first_and_at_a_tie_the_earlier_one(
    direction: Literal["minimize", "maximize"], numbers: list[int]
) -> None:
    assert [trial.number for trial in rank(TRIALS, direction)] == numbers


def test_the_leaderboard_is_a_markdown_table_of_the_completed_trials() -> None:
    lines = leaderboard(TRIALS, "val/loss", "minimize", {2: "#/run"}).replace("\u00a0", " ").splitlines()
    assert lines[0] == "**3 completed, 1 pruned, 1 failed**, ranked by `loss` (lower is better)"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells[0] == ["", "trial", "loss", "image_top1", "time"]
    assert cells[2] == ["1", "[trial 002](#/run)", "1", "50.0 %", "6.0 s"]
    assert len(cells) == 2 + 3


def test_a_leaderboard_without_completed_trials_still_counts_them() -> None:
    assert leaderboard(TRIALS[1:2], "val/loss", "minimize").startswith("**1 pruned**")
    assert count_states(()) == "no trials yet"


@pytest.mark.parametrize("trials", [(), TRIALS[1:2], TRIALS])
def test_the_history_can_be_drawn_at_any_stage_of_a_sweep(trials: tuple[object, ...]) -> None:
    picture = BytesIO()
    draw_history([trial for trial in TRIALS if trial in trials], "val/loss", "minimize").savefig(picture)
    assert picture.getvalue().startswith(b"\x89PNG")
