"""Values that are each allowed, but impossible together: no trial could be trained.

What lies on the disk is not looked at; only generated handwriting says in the file how much there
is.
"""

from collections.abc import Mapping

from core.corpora.settings import CorpusSettings, HandsSettings, WriterSettings
from core.errors import ModelError
from core.mistakes import Keys
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import plan_layers, possible_inputs
from core.settings import InkSettings, PatchSettings
from core.space.search_space import SearchSpace, list_values
from core.splits.settings import SplitSettings

Mistakes = Mapping[Keys, str]
"""What is wrong, by the place of the key."""


def impossible_patches(ink: InkSettings, patches: PatchSettings) -> Mistakes:
    """Patches that are higher than the lines."""
    if patches.size_px <= ink.height_px:
        return {}
    height = f"ink.height_px, the height of the lines ({ink.height_px} px)"
    return {("patches", "size_px"): f"must be at most {height}, but got {patches.size_px}"}


def impossible_networks(patches: PatchSettings, space: SearchSpace, fixed: Mapping[str, object]) -> Mistakes:
    """Inputs that no patch gives, and blocks that pool an input away at every point of the space.

    Args:
        patches: that the networks see.
        space: of whosehand's own hyperparameters.
        fixed: of these; says where the wrong value stands.
    """
    possible, inputs = possible_inputs(patches.size_px), _values(space, "input_px")
    usable = set(inputs) & set(possible)
    if not usable:
        rule = (
            f"must be one of {', '.join(map(str, possible))}, which are whole parts of patches of {patches.size_px} "
            f"px, but every trial would have {' or '.join(map(str, inputs))}"
        )
        return {("space", "fixed", "input_px"): rule}
    easiest = {
        "input_px": max(usable),
        "n_blocks": min(_values(space, "n_blocks")),
        "stem_stride": min(_values(space, "stem_stride")),
        "early_filters": min(_values(space, "early_filters")),
    }
    try:
        plan_layers(Hyperparameters.from_point(easiest), patches.size_px, 2)
    except ModelError as error:
        where = "fixed" if "n_blocks" in fixed else "dimensions"
        return {("space", where, "n_blocks"): f"is too many at every point of the space. {error}".removesuffix(".")}
    return {}


def impossible_subsets(corpus: CorpusSettings, writers: WriterSettings, split: SplitSettings) -> Mistakes:
    """More writers or pages than will be generated."""
    if not isinstance(corpus, HandsSettings):
        return {}
    mistakes: dict[Keys, str] = {}
    if writers.top_writers is not None and writers.top_writers.n > corpus.n_writers:
        rule = f"must be at most corpus.n_writers ({corpus.n_writers}), but got {writers.top_writers.n}"
        mistakes["writers", "top_writers", "n"] = rule
    if writers.min_pages > corpus.n_pages:
        rule = f"must be at most corpus.n_pages ({corpus.n_pages}), but got {writers.min_pages}"
        mistakes["writers", "min_pages"] = rule
    if split.kind == "writer" and corpus.n_pages < 2:
        rule = f"must be 2 or more, so that each page has another one by the same hand, but got {corpus.n_pages}"
        mistakes["corpus", "n_pages"] = rule
    if split.kind == "page" and split.lists is None and split.leaky is None:
        n_least = (split.folds.least_pages if split.folds is not None else 2) + (split.test > 0)
        if corpus.n_pages < n_least:
            test = " and test" if split.test > 0 else ""
            rule = f"must be {n_least} or more to have pages for training, validation{test}, but got {corpus.n_pages}"
            mistakes["corpus", "n_pages"] = rule
    return mistakes


def _values(space: SearchSpace, name: str) -> list[int]:
    """All that a whole-numbered hyperparameter can be."""
    values = list_values(space[name]) if name in space.names else [getattr(Hyperparameters(), name)]
    return [int(value) for value in values]
