"""A sweep as an Optuna study: Optuna's own pictures draw it."""

import warnings

import optuna
import pytest
from optuna.visualization import matplotlib as drawn

import whosehand as wh
from tests.search.comparison.conditional_sweep import N_TRIALS, run_conditional_sweep

PLOTS = (
    "plot_contour",
    "plot_edf",
    "plot_intermediate_values",
    "plot_optimization_history",
    "plot_parallel_coordinate",
    "plot_param_importances",
    "plot_rank",
    "plot_slice",
    "plot_timeline",
)
"""All of a single objective but the terminator's, which asks a Gaussian process."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> optuna.Study:
    folder = tmp_path_factory.mktemp("studied")
    run_conditional_sweep(folder, seed=1)
    return wh.open_sweep("cheap", project=folder).optuna_study()


def _arguments(name: str) -> dict[str, list[str]]:
    """Two hyperparameters where a plot has a field for each pair, which takes minutes for all."""
    return {"params": ["learning_rate", "dropout"]} if name in ("plot_contour", "plot_rank") else {}


@pytest.mark.parametrize("name", PLOTS)
def test_optuna_draws_the_study(study: optuna.Study, name: str) -> None:
    from matplotlib import pyplot

    assert len(study.trials) == N_TRIALS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's figures are experimental, and say so
        getattr(drawn, name)(study, **_arguments(name))
    assert any(axes.has_data() for axes in pyplot.gcf().axes)
    pyplot.close("all")


@pytest.mark.parametrize("name", PLOTS)
def test_plotly_draws_the_study_where_it_is_installed(study: optuna.Study, name: str) -> None:
    pytest.importorskip("plotly")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = getattr(optuna.visualization, name)(study, **_arguments(name))
    assert figure.data
