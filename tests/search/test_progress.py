import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from search.executors.local import LocalExecutor
from search.progress import make_progress
from search.sweep import run_sweep
from tests.search.cheap_sweep import CheapSweep, ScriptedEngine


def run(sweep: CheapSweep, console: Console) -> str:
    with sweep.open() as ledger:
        run_sweep(ledger, sweep.plan(), ScriptedEngine(), LocalExecutor(1, 1), progress=make_progress(console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def sweep(tmp_path: Path) -> CheapSweep:
    return CheapSweep(tmp_path / "cheap")


def test_plain_lines_are_one_an_epoch_and_one_a_trial(sweep: CheapSweep) -> None:
    lines = run(sweep, Console(file=io.StringIO(), width=200)).splitlines()
    kinds = Counter(
        "epoch" if "  epoch " in line else "trial" if line.startswith("trial") else "other" for line in lines
    )
    assert kinds == {"epoch": 9, "trial": 3, "other": 2}
    assert lines[1].startswith("trial 0  epoch 1/3  val/loss 0.53")
    assert lines[4].startswith("trial 0 completed 0.973")
    assert "1 of 3 trials" in lines[4]
    assert "\x1b" not in "".join(lines)


def test_a_terminal_gets_a_table_with_the_best_trial_and_the_counts(sweep: CheapSweep) -> None:
    text = run(sweep, Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None))
    assert "sweep cheap" in text
    assert "val/loss" in text
    assert "best 0.9609 (trial 1)" in text
    assert "x=0.118" in text
    assert "completed 3" in text
    assert "3 of 3 trials" in text


def test_square_brackets_in_messages_are_printed_as_they_are() -> None:
    for console in (Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)):
        with make_progress(console) as progress:
            progress.say("epochs [1, 2] of [/bold]")
        assert isinstance(console.file, io.StringIO)
        assert "epochs [1, 2] of [/bold]" in console.file.getvalue()
