"""Whose hand wrote this? Sweeps of patch CNNs that tell writers apart by their handwriting.

An experiment says what to search; a sweep searches; a promotion makes its best trial the champion;
the champion names writers:

    import whosehand as wh

    experiment = wh.Experiment.load("experiments/dhsd.yaml")
    sweep = wh.sweep(experiment, minutes=25)
    print(sweep.best_trial, sweep.best_params)
    promotion = wh.promote(sweep)
    print(wh.champion().identify("letter.png"))

Functions take `project`: the folder that holds `mlruns` and `data`, the current one if not given.
What goes wrong on purpose is a `WhosehandError`, whose text says what is wrong, where, and what to
do.

Examples:
    Whatever a file says, constructors of the same names say, too:

    >>> import whosehand as wh
    >>> experiment = wh.Experiment(
    ...     name="mine",
    ...     corpus=wh.corpora.Folder("scans"),
    ...     space=wh.Space(
    ...         base="none", dimensions=[wh.Real("learning_rate", 1e-4, 1e-2, log=True)]
    ...     ),
    ...     engine=wh.engines.Optuna(sampler="random"),
    ...     budget=wh.Budget(trials=20),
    ... )
    >>> print(experiment.to_yaml())
    name: mine
    corpus: {layout: folder, root: scans}
    space:
      base: none
      dimensions:
        learning_rate: {type: real, low: 0.0001, high: 0.01, log: true}
    engine: {name: optuna, sampler: random}
    budget: {trials: 20}
    <BLANKLINE>
"""

from whosehand._own_packages import check_own_packages

check_own_packages()

from core.corpora.settings import UnusableSettings as Quarantine  # noqa: E402  (after the check of where they lie)
from core.corpora.settings import WriterSettings as Writers  # noqa: E402
from core.errors import WhosehandError  # noqa: E402
from core.settings import InkSettings as Ink  # noqa: E402
from core.settings import PatchSettings as Patches  # noqa: E402
from core.settings import TrainingSettings as Training  # noqa: E402
from core.space import Categorical, Condition, Integer, Real  # noqa: E402
from core.splits.settings import SplitSettings as Split  # noqa: E402
from search.experiment.experiment import Experiment  # noqa: E402
from search.experiment.objective_settings import ObjectiveSettings as Objective  # noqa: E402
from search.experiment.settings import BudgetSettings as Budget  # noqa: E402
from search.experiment.settings import ExecutorSettings as Executor  # noqa: E402
from search.experiment.settings import GateSettings as Gate  # noqa: E402
from search.experiment.settings import PromotionSettings as Promotion  # noqa: E402
from search.experiment.settings import TrackingSettings as Tracking  # noqa: E402
from search.experiment.space_settings import SpaceSettings as Space  # noqa: E402
from search.experiment.workspace import whosehand_version  # noqa: E402
from whosehand import corpora, engines  # noqa: E402
from whosehand.actions import compare, keys, list_sweeps, open_sweep, promote, propose, sweep  # noqa: E402
from whosehand.models import Identifier, champion  # noqa: E402
from whosehand.sweeps import Sweep, Trial  # noqa: E402

__version__ = whosehand_version()
__all__ = [
    "Budget",
    "Categorical",
    "Condition",
    "Executor",
    "Experiment",
    "Gate",
    "Identifier",
    "Ink",
    "Integer",
    "Objective",
    "Patches",
    "Promotion",
    "Quarantine",
    "Real",
    "Space",
    "Split",
    "Sweep",
    "Tracking",
    "Training",
    "Trial",
    "WhosehandError",
    "Writers",
    "__version__",
    "champion",
    "compare",
    "corpora",
    "engines",
    "keys",
    "list_sweeps",
    "open_sweep",
    "promote",
    "propose",
    "sweep",
]
