"""What a search takes over from earlier sweeps: their best points are its first ones.

On another corpus of handwriting, points have nearly the same order (docs/results.md).
"""

from collections.abc import Iterable

from core.errors import ConfigError, SpaceError
from core.space import SearchSpace, Value
from core.space.search_space import key_of
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.ranking import rank
from search.ledger.state import TrialRecord
from search.sweep.known_sweeps import read_sweep
from search.sweep.progress import Progress

N_POINTS = 3
"""That are taken over of each sweep."""


def with_learned_points(experiment: Experiment, workspace: Workspace, progress: Progress) -> Experiment:
    """The experiment, with the best points of the sweeps that `engine.learn_from` names as its
    first ones: in place of the usual ones, and before those that the file says.

    Args:
        experiment: that is launched for the first time.
        workspace: of the earlier sweeps.
        progress: is told what is taken over.

    Raises:
        LedgerError: if there is no such sweep.
        ConfigError: if it is the sweep itself, or has no completed trial whose point lies in the
            space.
    """
    learned: list[dict[str, Value]] = []
    for name in experiment.engine.learn_from:
        if name == experiment.name:
            raise ConfigError(f"A sweep learns from others, but `engine.learn_from` of {name!r} names itself.")
        earlier = read_sweep(name, workspace)
        trials = rank(earlier.state.trials.values(), earlier.experiment.objective.resolved_direction)
        points = best_points(trials, experiment.space.search_space())
        if not points:
            raise ConfigError(
                f"`engine.learn_from` names {name!r}, but no completed trial of it has a point in this space. Leave "
                "it out, or search the same space."
            )
        progress.say(f"The first {len(points)} points are the best of the sweep {name!r}.")
        learned += [point for point in points if point not in learned]
    if not learned:
        return experiment
    said = experiment.space.enqueue if "enqueue" in experiment.space.model_fields_set else ()
    space = experiment.space.model_copy(update={"enqueue": (*learned, *said)})
    return experiment.model_copy(update={"space": space})


def best_points(ranked: Iterable[TrialRecord], space: SearchSpace, n_points: int = N_POINTS) -> list[dict[str, Value]]:
    """The first of the trials' points that lie in a space, each once.

    Args:
        ranked: completed trials, the best first.
        space: of the search that learns.
        n_points: at most.
    """
    found: dict[object, dict[str, Value]] = {}
    for trial in ranked:
        try:
            point = space.restrict(trial.hyperparameters)
        except SpaceError:
            continue
        found.setdefault(key_of(point), point)
        if len(found) == n_points:
            break
    return list(found.values())
