"""A budget that includes the promotion: the sweep's own command promotes, and says what it has."""

from pathlib import Path

import pytest

from tests.command_line import whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_the_sweeps_own_command_promotes_its_best_trial(tmp_path: Path) -> None:
    budget = {"trials": 2, "minutes": 30, "includes": "promotion"}
    experiment = write_experiment(tmp_path, {"budget": budget})
    answer = whosehand(tmp_path, "sweep", experiment)
    assert answer.code in (0, 2), answer.err
    assert "the promotion follows" in answer.err
    assert "whosehand-tiny: version 1" in answer.out
    status = " ".join(whosehand(tmp_path, "status", "tiny").out.split())
    assert "promotion included" in status
    assert "promotion included (about" not in status  # it is over
