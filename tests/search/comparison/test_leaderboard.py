"""The leaderboard on a sweep over the default space: in a terminal, in a CSV file, as JSON."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ComparisonError
from search.cli.common import output
from search.comparison.leaderboard import Leaderboard, leaderboard_json, read_leaderboard, write_leaderboard
from search.experiment.workspace import Workspace
from search.ledger.state import TrialRecord
from search.sweep.known_sweeps import KnownSweep, read_sweep
from tests.command_line import Answer
from tests.search.comparison.conditional_sweep import N_TRIALS, run_conditional_sweep

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished sweep that costs milliseconds; tests only look at it."""
    folder = tmp_path_factory.mktemp("conditional")
    run_conditional_sweep(folder, seed=1)
    return folder


@pytest.fixture
def sweep(folder: Path) -> KnownSweep:
    return read_sweep("cheap", Workspace(folder))


def _numbers(board: Leaderboard) -> list[int]:
    return [row.number for row in board.rows]


def test_the_best_trial_comes_first_and_the_top_is_cut(sweep: KnownSweep) -> None:
    board = read_leaderboard(sweep)
    values = [row.score.value for row in board.rows if row.score]
    assert values == sorted(values)
    assert len(values) == N_TRIALS
    assert _numbers(read_leaderboard(sweep, top=3)) == _numbers(board)[:3]


def test_a_column_can_be_sorted_by(sweep: KnownSweep) -> None:
    assert _numbers(read_leaderboard(sweep, "trial")) == list(range(N_TRIALS))
    rates = [row.hyperparameters["learning_rate"] for row in read_leaderboard(sweep, "learning_rate").rows]
    assert rates == sorted(rates)
    with_gaps = [row.hyperparameters.get("dense_1") for row in read_leaderboard(sweep, "dense_1").rows]
    there = [value for value in with_gaps if value is not None]
    assert with_gaps == [*sorted(there), *[None] * (N_TRIALS - len(there))]
    assert 0 < len(there) < N_TRIALS
    assert _numbers(read_leaderboard(sweep, "val/loss")) == _numbers(read_leaderboard(sweep))


def test_a_default_that_has_no_effect_is_not_shown(sweep: KnownSweep) -> None:
    def with_default(trial: TrialRecord) -> TrialRecord:
        complete = {"dense_1": 512, **trial.hyperparameters}
        return replace(trial, proposed=replace(trial.proposed, hyperparameters=complete))

    sweep.state._trials.update({number: with_default(trial) for number, trial in sweep.state.trials.items()})
    rows = read_leaderboard(sweep).rows
    assert {row.hyperparameters.get("dense_1") for row in rows if row.hyperparameters["n_dense"] == 0} == {None}
    assert all(row.hyperparameters.get("dense_1") for row in rows if row.hyperparameters["n_dense"] != 0)


def test_an_unknown_column_is_refused_with_those_that_there_are(sweep: KnownSweep) -> None:
    with pytest.raises(ComparisonError, match=r"sorted by one of place, trial, .*learning_rate.*but got 'rate'"):
        read_leaderboard(sweep, "rate")


def test_csv_and_json_have_every_trial_with_what_varied(sweep: KnownSweep) -> None:
    board, file = read_leaderboard(sweep), io.StringIO()
    write_leaderboard(board, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    trials = leaderboard_json(board)["trials"]
    assert isinstance(trials, list)
    assert [int(row["trial"]) for row in rows] == [trial["trial"] for trial in trials] == _numbers(board)
    for row, trial, known in zip(rows, trials, board.rows, strict=True):
        assert known.score is not None
        assert float(row["loss"]) == trial["loss"] == known.score.value
        assert float(row["learning_rate"]) == trial["learning_rate"] == known.hyperparameters["learning_rate"]
        assert trial["dense_1"] == known.hyperparameters.get("dense_1")
    assert json.dumps(trials)


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_the_terminal_and_names_what_does_not(
    width: int, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(output, "width", width)
    answer = command("compare", "cheap", "--no-track", "--top", "5")
    assert answer.code == 0, answer.err
    table, _, rest = answer.out.partition("no room for ")
    assert max(map(len, table.splitlines())) <= width
    board = read_leaderboard(read_sweep("cheap", Workspace(folder)))
    for row in board.rows[:5]:
        assert row.score is not None
        assert sum(f"{row.number:03d}" in line and f"{row.score.value:.4g}" in line for line in table.splitlines()) == 1
    left_out = rest.split(": use a wider terminal")[0].split(", ")
    shown = [name for name in board.hyperparameters if name not in left_out]
    assert len(shown) >= width // 30
    assert all(part in table for name in shown for part in name.split("_")), "each is shown, or named below"
    assert table.count("\n") < 15, "no cell is broken into several lines"


def test_lists_go_to_standard_output_and_files_without_a_report(
    folder: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    told = json.loads(command("compare", "cheap", "--json", "--sort", "trial", "--top", "2").out)
    assert [trial["trial"] for trial in told["trials"]] == [0, 1]
    out = command("compare", "cheap", "--csv", "-").out
    assert len(out.splitlines()) == N_TRIALS + 1
    command("compare", "cheap", "--csv", str(tmp_path / "trials.csv"))
    assert (tmp_path / "trials.csv").read_text(encoding="utf-8") == out


def test_a_notebook_shows_the_ten_best_trials(sweep: KnownSweep) -> None:
    board = read_leaderboard(sweep)
    html = board._repr_html_()
    assert html.count("<tr>") == 1 + sum(row.place is not None for row in board.rows) > 2
    assert "<th>trial</th>" in html
