"""What the user sees of a sweep, in a terminal and in a file."""

import io
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from search.engines.base import Proposal, Start
from search.executors.local.executor import LocalExecutor
from search.experiment.settings import BudgetSettings
from search.ledger.ledger import read_ledger
from search.objectives.cheap import CheapSettings
from search.sweep.loop import run_sweep
from search.sweep.plain_lines import PlainProgress
from search.sweep.progress import make_progress
from tests.search.cheap_sweep import CheapSweep, ScriptedEngine


def run(sweep: CheapSweep, console: Console, engine: ScriptedEngine | None = None) -> str:
    engine = engine or ScriptedEngine()
    with sweep.open() as ledger:
        run_sweep(ledger, sweep.plan(), engine, LocalExecutor(1, 1), progress=make_progress(console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def sweep(tmp_path: Path) -> CheapSweep:
    return CheapSweep(tmp_path / "cheap")


def test_plain_lines_are_one_an_epoch_and_one_a_trial(sweep: CheapSweep) -> None:
    lines = run(sweep, Console(file=io.StringIO(), width=200)).splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines), "each has the time of day"
    lines = [line[9:] for line in lines]
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
    assert "best val/loss 0.9609 (trial 1)" in text
    assert "x=0.118" in text
    assert "completed 3" in text
    assert "3 of 3 trials" in text


@pytest.mark.parametrize("width", [40, 80, 160])
def test_finished_trials_stay_above_the_table_and_no_line_is_broken(sweep: CheapSweep, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", run(sweep, console)).replace("\r", "\n")
    lines = text.splitlines()
    assert not [line for line in lines if line.startswith("x=")], (
        "nothing of a trial's line stands on a line of its own"
    )
    for number in range(3):
        assert sum(line.lstrip("* ").startswith(f"trial   {number} completed") for line in lines) == 1
    assert max(map(len, lines)) <= width


def test_a_file_gets_a_line_at_least_every_so_often_while_nothing_happens(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(seconds_per_epoch=1.0)
    sweep.budget = BudgetSettings(trials=1)
    console = Console(file=io.StringIO(), width=200)
    progress = PlainProgress(console, longest_silence_s=0.4)
    with progress.working("preparing the corpus") as advance:
        advance(3, 10)
        time.sleep(0.6)
    with sweep.open() as ledger:
        run_sweep(ledger, sweep.plan(), ScriptedEngine(), LocalExecutor(1, 1), progress=progress)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert re.search(r"preparing the corpus: 3 of 10 images  left 0:0\d", text)
    assert len(re.findall(r"running: trial 0 \([0-2]/3\)  \|  1 of 1 trial", text)) >= 4


def ask_slowly(number: int) -> Proposal:
    time.sleep(0.02 if number < 3 else 0.3)
    return Start({"x": 0.1 * number})


def test_a_slow_engine_is_told_of_once_in_plain_lines_and_always_in_the_table(sweep: CheapSweep) -> None:
    sweep.budget = BudgetSettings(trials=7)
    lines = run(sweep, Console(file=io.StringIO(), width=200), ScriptedEngine(on_ask=ask_slowly)).splitlines()
    (told,) = [line for line in lines if "asking the engine takes" in line]
    assert "random search does not grow" in told
    sweep.budget = BudgetSettings(trials=8)
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    assert "asking the engine takes" in run(sweep, console, ScriptedEngine(on_ask=ask_slowly))
    asks_s = [trial.ask_s for trial in read_ledger(sweep.folder).trials.values()]
    assert max(asks_s[:3]) < 0.25 < 0.3 <= min(asks_s[3:])


def test_a_quick_engine_is_not_told_of(sweep: CheapSweep) -> None:
    assert "asking" not in run(sweep, Console(file=io.StringIO(), width=200))


def test_square_brackets_in_messages_are_printed_as_they_are() -> None:
    for console in (Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)):
        with make_progress(console) as progress:
            progress.say("epochs [1, 2] of [/bold]")
        assert isinstance(console.file, io.StringIO)
        assert "epochs [1, 2] of [/bold]" in console.file.getvalue()
