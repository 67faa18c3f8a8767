import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders import Contender, contenders_of
from benchmarks.curves.surrogate import Surrogate
from benchmarks.curves.synthetic import DEFAULTS, METRIC, SPACE, synthetic_table
from benchmarks.race import draw_race, mean_ranks, minutes_until_near, race, times_of
from benchmarks.replay import Track
from core.space import Point
from search.experiment.settings import BudgetSettings

TRACK = Track("made up", synthetic_table(24), SPACE, (DEFAULTS,), lambda point: point, METRIC, "minimize", 8)
BUDGET = BudgetSettings(minutes=20, trials=12)


def test_a_race_gives_the_regret_of_every_engine_and_seed_over_time() -> None:
    regrets = race(TRACK, [Contender.of("random+asha")], range(1), 2, BUDGET)
    assert set(regrets) == {"random+asha"}
    for each in regrets.values():
        assert each.shape == (1, len(times_of(BUDGET)))
        assert np.isinf(each[0, 0]), "nothing was completed yet"
        assert np.isfinite(each[0, -1])


def test_a_race_that_was_stopped_goes_on(tmp_path: Path) -> None:
    contenders = contenders_of("random; random+median")

    def results() -> dict[str, int]:
        return {file.name: len(json.loads(file.read_text())) for file in sorted(tmp_path.glob("*.json"))}

    first = race(TRACK, contenders[:1], range(1), 2, BUDGET, kept=tmp_path)
    written = (tmp_path / "2-workers-seed-0.json").stat().st_mtime_ns
    again = race(TRACK, contenders[:1], range(1), 2, BUDGET, kept=tmp_path)
    assert (tmp_path / "2-workers-seed-0.json").stat().st_mtime_ns == written, "nothing was replayed"
    assert np.array_equal(first["random"], again["random"])
    race(TRACK, contenders, range(2), 2, BUDGET, kept=tmp_path)
    assert results() == {"2-workers-seed-0.json": 2, "2-workers-seed-1.json": 2}
    race(replace(TRACK, enqueued=()), contenders[:1], range(1), 2, BUDGET, kept=tmp_path)
    assert results()["2-workers-seed-0.json"] == 3, "with other first points it is another race"


def test_what_another_table_taught_is_tried_first_and_the_recipe_may_be_left_out() -> None:
    recipe: Point = {"rate": 1e-4, "width": 8, "kind": "flat"}
    track = replace(TRACK, enqueued=(DEFAULTS, recipe))

    def first(name: str) -> tuple[Point, ...]:
        return Contender.of(name).first_points(track, TRACK, 0, 1, BUDGET)

    assert first("random") == (DEFAULTS, recipe)
    assert first("random, recipe first") == (recipe, DEFAULTS)
    assert first("random, middle alone") == (DEFAULTS,)
    taught = first("random, taught")
    assert taught[:2] == (DEFAULTS, recipe)
    assert len(taught) == 5
    surrogate = Surrogate(TRACK.table, TRACK.metric, TRACK.horizon, bootstrap=0)
    ends = surrogate.curves([recipe, *taught[2:]])[0].min(axis=1)
    assert (ends[1:] < ends[0]).all(), "the best of twelve are better than a bad point"


def test_a_race_is_drawn(tmp_path: Path) -> None:
    times_s = times_of(BUDGET)
    regrets = np.full((2, len(times_s)), 0.1)
    regrets[0, :20] = np.inf
    draw_race({2: {"random": regrets}}, times_s, TRACK, tmp_path / "race.png")
    assert (tmp_path / "race.png").stat().st_size > 0


def test_ranks_are_means_over_seeds() -> None:
    first, second = np.array([[9.0, 0.1], [9.0, 0.2]]), np.array([[0.0, 0.2], [0.0, 0.2]])
    assert mean_ranks({"a": first, "b": second}) == {"a": 1.25, "b": 1.75}


def test_a_sweep_is_near_the_best_from_when_it_stays_there() -> None:
    times_s = np.array([60.0, 120.0, 180.0])
    regrets = np.array([[0.0, 0.5, 0.005], [0.009, 0.0, 0.0], [0.1, 0.1, 0.1]])
    assert minutes_until_near(regrets, times_s).tolist() == [3.0, 1.0, np.inf]


@pytest.mark.long
def test_every_engine_can_race() -> None:
    regrets = race(TRACK, contenders_of("all"), range(2), 4, BUDGET)
    assert all(np.isfinite(each[:, -1]).all() for each in regrets.values())
