"""Sweeps that whosehand 0.1 recorded go on with today's code.

`tests/data/ledgers_0_1` has two experiment files and the ledgers and splits that 0.1.0 made of
them. Trials' pictures and models are left out: a sweep goes on without them.
"""

import shutil
from pathlib import Path

import pytest

from search.ledger.ledger import LEDGER_NAME, read_ledger
from tests.command_line import whosehand

RECORDED = Path(__file__).parent / "data" / "ledgers_0_1"
RATE_THAT_0_1_PROPOSES_NEXT = 0.009237760257281685  # of trial 3, seen when 0.1.0 went on with the same ledger
LOSS_THAT_0_1_REACHES = 1.0233  # of trial 3, in the same run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "of_0_1"
    shutil.copytree(RECORDED, folder)
    return folder


def ledger_of(project: Path, name: str) -> Path:
    return project / "mlruns" / "sweeps" / name / LEDGER_NAME


@pytest.mark.parametrize("name", ["tiny", "tpe"])
def test_the_ledger_is_read(name: str) -> None:
    state = read_ledger(ledger_of(RECORDED, name).parent)
    assert sorted(state.trials) == list(range({"tiny": 2, "tpe": 3}[name]))


@pytest.mark.slow
@pytest.mark.long
def test_with_a_higher_budget_the_sweep_goes_on_as_0_1_would_have(project: Path) -> None:
    before = ledger_of(project, "tpe").read_bytes()
    answer = whosehand(project, "sweep", "tpe.yaml", "--set", "budget.trials=4")
    assert answer.code == 0, answer.err
    assert ledger_of(project, "tpe").read_bytes().startswith(before)
    trial = read_ledger(ledger_of(project, "tpe").parent).trials[3]
    assert trial.proposed.point["learning_rate"] == RATE_THAT_0_1_PROPOSES_NEXT
    assert trial.ended is not None
    assert trial.ended.result.value == pytest.approx(LOSS_THAT_0_1_REACHES, rel=0.01)

    compared = whosehand(project, "compare", "tpe")
    assert compared.code == 0, compared.err
    assert "3 completed trials" in compared.out


@pytest.mark.slow
def test_a_sweep_that_is_finished_stays_finished(project: Path) -> None:
    before = ledger_of(project, "tiny").read_bytes()
    answer = whosehand(project, "sweep", "tiny.yaml")
    assert answer.code == 0, answer.err
    assert '"kind": "proposed"' not in ledger_of(project, "tiny").read_text()[len(before) :]
    assert "2 of 2 trials" in answer.out


@pytest.mark.slow
def test_doctor_finds_the_sweeps_of_0_1_whole(project: Path) -> None:
    answer = whosehand(project, "doctor")
    assert answer.code == 0, answer.out
    assert "tiny: 2 of 2 trials have ended" in " ".join(answer.out.split())
