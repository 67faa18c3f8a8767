import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmarks import __main__ as bench
from benchmarks import engine_cost
from benchmarks.ink_shape import shape_statistics, simple_statistics
from benchmarks.kept_results import KeptResults
from benchmarks.report import machine_line, markdown_table
from benchmarks.thousand_trials import ends_of
from benchmarks.tracking_cost import growth
from benchmarks.worker_layout import all_layouts, parse_layouts

FOLDER = Path(bench.__file__).parent
COMMANDS = sorted(
    path.stem for path in FOLDER.glob("[!_]*.py") if "typer.run(main)" in path.read_text(encoding="utf-8")
)


def _page_with_bar(width: int, shear: float = 0.0) -> NDArray[np.uint8]:
    """A black bar of that width, 60 px high, leaning to the right by `shear`, on 113 x 113 px of
    paper.
    """
    patch = np.full((113, 113), 255, dtype=np.uint8)
    for row in range(20, 80):
        left = round(50 + shear * (80 - row))
        patch[row, left : left + width] = 0
    return patch


@pytest.mark.parametrize("name", ["__main__", *COMMANDS])
def test_every_benchmark_says_what_its_options_are(name: str) -> None:
    app = typer.Typer()
    app.command()(importlib.import_module(f"benchmarks.{name}").main)
    said = CliRunner().invoke(app, ["--help"])
    assert said.exit_code == 0, said.output
    assert "Usage" in said.output


def test_every_short_benchmark_is_a_command() -> None:
    assert set(bench.SHORT) <= set(COMMANDS)


def test_every_command_tells_its_own_command_line() -> None:
    for name in COMMANDS:
        said = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
        assert f"python -m benchmarks.{name}" in said


def test_an_unknown_short_benchmark_is_refused() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "feed_sped"], capture_output=True, text=True, cwd=FOLDER.parent
    )
    assert run.returncode == 2
    assert "feed_speed" in run.stderr
    assert "Traceback" not in run.stderr


def test_statistics_tell_a_thick_stroke_from_a_thin_one() -> None:
    thin, thick = simple_statistics(_page_with_bar(3)), simple_statistics(_page_with_bar(9))
    assert thin[0] == pytest.approx(3, abs=1.5)
    assert thick[0] == pytest.approx(9, abs=1.5)
    assert thick[4] == pytest.approx(3 * thin[4])


def test_statistics_tell_which_way_a_stroke_leans() -> None:
    assert simple_statistics(_page_with_bar(4))[2] == pytest.approx(0, abs=0.02)
    assert simple_statistics(_page_with_bar(4, shear=0.4))[2] == pytest.approx(0.4, abs=0.02)
    assert simple_statistics(_page_with_bar(4, shear=-0.4))[2] == pytest.approx(-0.4, abs=0.02)


def test_statistics_tell_where_the_ink_stands() -> None:
    upper, lower = simple_statistics(_page_with_bar(4))[6:]
    assert (upper, lower) == (pytest.approx(34.75), pytest.approx(64.25))


def test_an_empty_patch_has_statistics() -> None:
    paper = np.full((113, 113), 255, dtype=np.uint8)
    assert not simple_statistics(paper).any()
    assert np.isfinite(shape_statistics(paper)).all()


def test_statistics_of_a_line_leave_grey_level_out() -> None:
    black, grey = _page_with_bar(5), np.maximum(_page_with_bar(5), 60).astype(np.uint8)
    np.testing.assert_array_equal(shape_statistics(black), shape_statistics(grey))
    assert simple_statistics(black)[5] != simple_statistics(grey)[5]


def test_kept_results_are_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    assert KeptResults(path).get_or_make({"seed": 1}, lambda: {"top1": 0.5}) == {"top1": 0.5}
    again = KeptResults(path)
    assert again.get_or_make({"seed": 1}, lambda: pytest.fail("made again")) == {"top1": 0.5}
    assert again.get_or_make({"seed": 2}, lambda: 0.25) == 0.25
    assert len(json.loads(path.read_text())) == 2


def test_a_file_that_holds_no_results_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="JSON object"):
        KeptResults(path)


def test_growth_compares_the_last_trials_with_the_first() -> None:
    assert growth([1.0] * 15 + [2.0] * 15, n_trials=30) == 2
    assert growth([1.0] * 240, n_trials=30) == 1


def test_what_an_engine_costs_is_measured_after_a_history_that_it_takes_back() -> None:
    for choice in engine_cost.CHOICES[:4]:  # the quick ones of Optuna; the last of them pauses trials
        (restored_s,), *parts = engine_cost.measure(choice, 12)
        assert restored_s > 0
        assert [len(part) for part in parts] == [2] * engine_cost.N_ASKS
        assert min(map(min, parts)) > 0


def test_an_engine_s_row_ends_where_an_ask_takes_too_long_or_the_time_is_up() -> None:
    app = typer.Typer()
    app.command()(engine_cost.main)
    options = ["--trials", "3,4", "--engines", "qmc", "--limit-s"]
    (row,) = (line for line in CliRunner().invoke(app, [*options, "0.000001"]).stdout.splitlines() if "qmc " in line)
    assert "an ask over 1e-06 s: ended |" in row
    assert row.endswith(" - |")
    late = CliRunner().invoke(app, [*options, "60", "--total-s", "0.000001"])
    assert late.stdout.count("time up |") == 2


def test_a_long_sweeps_ends_are_its_first_and_last_tenth() -> None:
    assert ends_of([1.0] * 10 + [5.0] * 80 + [2.0] * 10) == (1.0, 2.0)
    assert ends_of([3.0, 4.0]) == (3.0, 4.0)


def test_layouts_use_all_cores() -> None:
    assert all_layouts(2) == [(1, 2), (2, 1)]
    assert all(workers * threads == 12 for workers, threads in all_layouts(12))


@pytest.mark.parametrize("text", ["1", "1x", "0x2", "1x2,ax1"])
def test_a_layout_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="WORKERSxTHREADS"):
        parse_layouts(text)


def test_a_table_is_markdown() -> None:
    lines = markdown_table(("what", "s"), [("start", "0.3"), ("end", "12.0")]).splitlines()
    assert lines[1] == "| ----- | ---: |"
    assert len({len(line) for line in lines}) == 1
    with pytest.raises(ValueError, match="2 cells"):
        markdown_table(("what", "s"), [("start",)])


def test_the_machine_line_names_cores_and_versions() -> None:
    line = machine_line()
    assert " cores; " in line
    assert "tensorflow 2." in line
