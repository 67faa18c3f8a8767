"""What decided in a search, and pictures of it for any number of trials."""

import base64
from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from matplotlib import pyplot, rcParams

from core.space import Categorical, Condition, Integer, Point, Real, SearchSpace
from search.comparison.figures import Picture, report_style
from search.comparison.search_figures import (
    LEAST_TRIALS,
    MOST_AXES,
    completed_trials,
    draw_contour,
    draw_history,
    draw_importance,
    draw_parallel,
    draw_slices,
    measure_importance,
    trials_outside,
    varied_names,
)
from search.engines.optuna.study import study_from_ledger
from search.ledger.events import LedgerEvent, SegmentEnded, SweepCreated, TrialProposed
from search.ledger.ranking import Direction
from search.ledger.state import SweepState
from search.ledger.trial import TrialResult, TrialState

METRIC = "val/image_logloss"
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


def study_of(
    points: Sequence[Point],
    values: Sequence[float | None],
    direction: Direction = "minimize",
    space: SearchSpace = SPACE,
) -> optuna.Study:
    """A ledger with these trials as a study; those without a value are pruned."""
    events: list[LedgerEvent] = [SweepCreated(1, "cheap-1", "cheap", {}, "", "0.2.0", "")]
    for number, (point, value) in enumerate(zip(points, values, strict=True)):
        events.append(TrialProposed(1000 + number, number, point, point, 7, None, 3))
        state = TrialState.PRUNED if value is None else TrialState.COMPLETED
        events.append(SegmentEnded(2000 + number, number, 1, TrialResult(state, value)))
    return study_from_ledger(SweepState.fold(events), space, METRIC, direction)


def searched(n: int, direction: Direction = "minimize") -> optuna.Study:
    """Trials whose value depends on the learning rate alone; best at 1e-2."""
    sign = 1 if direction == "minimize" else -1
    points = SPACE.spread(n, seed=1)
    return study_of(points, [sign * abs(np.log10(float(p["learning_rate"])) + 2) for p in points], direction)


def pictures_of(study: optuna.Study, direction: Direction = "minimize") -> list[Picture]:
    """Everything that there is enough for."""
    importance = measure_importance(study)
    order = list(dict.fromkeys([*importance, *varied_names(study)]))
    with report_style():
        pictures = [
            draw_history(study, METRIC, direction),
            draw_importance(study, importance),
            draw_parallel(study, order, METRIC),
            draw_slices(study, order, METRIC),
            draw_contour(study, order, METRIC),
        ]
    return [picture for picture in pictures if picture is not None]


def svg_of(picture: Picture) -> str:
    return base64.b64decode(picture.source.split(",", 1)[1]).decode()


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_what_decides_is_the_most_important(direction: Direction) -> None:
    importance = measure_importance(searched(40, direction))
    assert next(iter(importance)) == "learning_rate"
    assert sum(importance.values()) == pytest.approx(1)
    assert importance["learning_rate"] > 0.5
    assert "filters" not in importance, "it did not vary"


def test_a_hyperparameter_that_few_trials_have_is_named_and_not_measured() -> None:
    spread = SPACE.spread(40, seed=2)
    points = [*[p for p in spread if "dense_1" not in p][:6], *[p for p in spread if "dense_1" in p][:2]]
    study = study_of(points, [float(k) for k in range(8)])
    importance = measure_importance(study)
    assert "dense_1" not in importance
    with report_style():
        picture = draw_importance(study, importance)
    assert picture is not None
    assert f"Not measured, because fewer than {LEAST_TRIALS} trials have it: dense_1." in picture.caption


def test_too_few_trials_say_nothing_of_importance() -> None:
    assert measure_importance(searched(LEAST_TRIALS - 1)) == {}
    assert measure_importance(study_of([SPACE.spread(1, seed=1)[0]] * 6, [1.0] * 6)) == {}


def test_trials_that_are_all_equally_good_can_be_drawn() -> None:
    flat = study_of(SPACE.spread(8, seed=1), [0.5] * 8)
    assert measure_importance(flat) == {}
    assert len(pictures_of(flat)) >= 3


@pytest.mark.parametrize(
    ("n", "direction"), [(0, "minimize"), (1, "maximize"), (2, "minimize"), (3, "maximize"), (30, "minimize")]
)
def test_any_number_of_trials_can_be_drawn(n: int, direction: Direction) -> None:
    pictures = pictures_of(searched(n, direction) if n else study_of((), ()), direction)
    assert len(pictures) >= (0 if n == 0 else 1 if n == 1 else 3)
    for picture in pictures:
        assert "<text" in svg_of(picture), "text stays text"
        assert picture.text
        assert picture.caption
    if n == 30:
        assert "learning_rate" in svg_of(pictures[1])


def test_drawing_leaves_no_figure_open_and_no_style_behind() -> None:
    before = dict(rcParams)
    pictures_of(searched(10))
    assert pyplot.get_fignums() == []
    assert dict(rcParams) == before


def test_what_there_is_no_room_for_is_named() -> None:
    space = SearchSpace(tuple(Real(f"factor_{k}", 0.0, 1.0) for k in range(MOST_AXES + 2)))
    points = space.spread(10, seed=1)
    study = study_of(points, [float(point["factor_0"]) for point in points], space=space)
    order = list(measure_importance(study))
    with report_style():
        parallel = draw_parallel(study, order, METRIC)
    assert parallel is not None
    assert f"{MOST_AXES} most important of {MOST_AXES + 2} that varied, not {', '.join(order[MOST_AXES:])}" in (
        parallel.caption
    )


def test_a_point_outside_of_the_space_is_in_the_history_only() -> None:
    points: list[Point] = [*SPACE.spread(5, seed=1), {"learning_rate": 5.0}]
    study = study_of(points, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert trials_outside(study) == [5]
    assert len(completed_trials(study)) == 5
    with report_style():
        history = draw_history(study, METRIC, "minimize")
        parallel = draw_parallel(study, varied_names(study), METRIC)
    assert history is not None
    assert "6 completed trials" in history.caption
    assert parallel is not None
    assert "5 completed trials" in parallel.caption


def test_pruned_trials_are_counted_beside_the_history() -> None:
    with report_style():
        history = draw_history(study_of(SPACE.spread(3, seed=1), [1.0, None, 0.5]), METRIC, "minimize")
    assert history is not None
    assert history.caption == "History: 2 completed trials, 1 pruned."
