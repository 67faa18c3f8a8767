"""What decided in a search, and pictures of it for any number of trials."""

import base64

import numpy as np
import pytest

from core.space import Categorical, Condition, Integer, Real, SearchSpace
from search.comparison.figures import report_style
from search.comparison.search_figures import draw_history
from search.comparison.searched import LEAST_TRIALS, Searched, SearchedTrial, measure_importance
from search.comparison.space_figures import draw_contour, draw_importance, draw_parallel, draw_slices
from search.comparison.trial_table import Score, TrialRow
from search.ledger.ranking import Direction
from search.ledger.trial import TrialState

SPACE = SearchSpace(
    (
        Real("learning_rate", 1e-4, 1e-1, log=True),
        Integer("n_dense", 0, 2),
        Integer("dense_1", 128, 512, 128, when=Condition("n_dense", (1, 2))),
        Categorical("pooling", ("max", "average")),
        Categorical("filters", (32,)),
        Real("dropout", 0.0, 0.5, step=0.1),
    )
)


def searched(n: int, direction: Direction = "minimize") -> Searched:
    """Trials whose value hangs on the learning rate alone; best at 1e-2."""
    sign = 1 if direction == "minimize" else -1
    points = SPACE.spread(n, seed=1)
    trials = [
        SearchedTrial(k, point, sign * abs(np.log10(float(point["learning_rate"])) + 2))
        for k, point in enumerate(points)
    ]
    return Searched(SPACE, direction, tuple(trials), ())


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_what_decides_is_the_most_important(direction: Direction) -> None:
    importances = measure_importance(searched(40, direction))
    assert importances[0].name == "learning_rate"
    assert sum(importance.ped_anova for importance in importances) == pytest.approx(1)
    assert importances[0].fanova is not None
    assert importances[0].fanova > 0.7
    by_name = {importance.name: importance for importance in importances}
    assert "filters" not in by_name, "it did not vary"
    assert by_name["dense_1"].fanova is None, "not every trial has it"
    assert all(importance.low <= importance.high for importance in importances)
    with report_style():
        assert "40 completed trials" in draw_importance(importances, 40).caption


def test_importance_is_the_same_at_every_call() -> None:
    assert measure_importance(searched(12), seed=3) == measure_importance(searched(12), seed=3)


def test_too_few_trials_say_nothing_of_importance() -> None:
    assert measure_importance(searched(LEAST_TRIALS - 1)) == ()
    alike = searched(6)
    same = tuple(SearchedTrial(k, alike.trials[0].point, 1.0) for k in range(6))
    assert measure_importance(Searched(SPACE, "minimize", same, ())) == ()


def test_trials_that_are_all_equally_good_can_be_measured_and_drawn() -> None:
    equal = tuple(SearchedTrial(t.number, t.point, 0.5) for t in searched(8).trials)
    flat = Searched(SPACE, "minimize", equal, ())
    assert measure_importance(flat) == ()
    names = [dimension.name for dimension in flat.varied]
    with report_style():
        draw_parallel(flat, names, "val/image_logloss", 3)


@pytest.mark.parametrize("n", [2, 3, 30])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_any_number_of_trials_can_be_drawn(n: int, direction: Direction) -> None:
    found = searched(n, direction)
    names = [dimension.name for dimension in found.varied]
    with report_style():
        pictures = [draw_parallel(found, names, "val/image_top1", 0), draw_slices(found, names, "val/image_top1", 0)]
        contour = draw_contour(found, ("learning_rate", "dropout"), "val/image_top1", 0)
        assert (contour is None) == (n < 3)
        draw_contour(found, ("pooling", "dense_1"), "val/image_top1", None)
    for picture in pictures:
        drawn = base64.b64decode(picture.source.split(",", 1)[1]).decode()
        assert drawn.count("<path") > n
        assert "learning_rate" in drawn, "text stays text"
        assert f"{n} " in picture.caption


def test_the_contour_is_interpolated_only_where_both_axes_have_an_order() -> None:
    with report_style():
        numbers = draw_contour(searched(30), ("learning_rate", "dropout"), "val/image_logloss", None)
        words = draw_contour(searched(30), ("learning_rate", "pooling"), "val/image_logloss", None)
    assert numbers is not None
    assert words is not None
    assert "shades between them are interpolated" in numbers.caption
    assert "interpolated" not in words.caption


def row(number: int, state: TrialState, value: float | None, place: int | None = None) -> TrialRow:
    score = None if value is None else Score(value, value - 0.1, value + 0.1)
    return TrialRow(
        *(number, f"{number:03d}", state, place, score, {}, {}, 3, 300, 2.0, 10, None, 150.0, 1, 0, ""),
    )


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (row(0, TrialState.FAILED, None),),
        (row(0, TrialState.COMPLETED, 0.5, 1),),
        (row(0, TrialState.COMPLETED, 90.0, 2), row(1, TrialState.PRUNED, None), row(2, TrialState.COMPLETED, 0.5, 1)),
    ],
    ids=["none", "failed", "one", "mixed"],
)
def test_the_history_can_be_drawn_at_any_stage(rows: tuple[TrialRow, ...]) -> None:
    with report_style():
        picture = draw_history(rows, "val/image_logloss", "minimize")
    assert f"{sum(r.score is not None for r in rows)} completed trials" in picture.caption
    assert picture.text
