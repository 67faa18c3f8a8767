"""What a candidate found among test pages by writers whom training has not seen, and what the gate
makes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from core.retrieval.described_pages import DescribedPages
from core.retrieval.rank_tests import ChanceTest, PairedRankings, compare_with_chance, least_p_value
from core.scoring.score_names import RETRIEVAL
from search.experiment.settings import GateSettings


@dataclass(frozen=True, eq=False)
class FoundPages:
    """How well a network finds the test pages by the same hand, each page a query.

    Attributes:
        pages: described by it.
        scores: by name, such as `map`; see `core.retrieval.scores`.
    """

    pages: DescribedPages
    scores: Mapping[str, float]

    @classmethod
    def of(cls, pages: DescribedPages) -> "FoundPages":
        """Score them."""
        return cls(pages, pages.scores(n_resamples=0).metrics)

    @cached_property
    def chance(self) -> ChanceTest:
        """Beside rankings of shuffled writers."""
        return compare_with_chance(self.pages.similarities, self.pages.writer_ids)

    @property
    def metrics(self) -> dict[str, float]:
        """What MLflow is told beside the scores."""
        return {f"test/{RETRIEVAL}_map_of_chance": self.chance.of_chance}


def too_few_writers(writer_ids: Sequence[str], alpha: float) -> str:
    """Why not even a perfect ranking could be told from a random one; empty if it could.

    Args:
        writer_ids: of each test page.
        alpha: that a p-value must be below.
    """
    best = least_p_value(writer_ids) if writer_ids else 1.0
    if best < alpha:
        return ""
    return (
        f"too few test pages to tell a ranking from a random one: of {len(writer_ids)} pages by "
        f"{len(set(writer_ids))} writers even a perfect ranking would be chance with probability {best:.2g} (must be "
        f"below {alpha:g})"
    )


def check_nearest(found: FoundPages, settings: GateSettings) -> tuple[bool, str]:
    """Whether enough of the most similar pages are by the same hand, in words."""
    top1 = found.scores["top1"]
    return top1 >= settings.min_top1, (
        f"for {top1:.1%} of the test pages the most similar one is by the same hand (at least "
        f"{settings.min_top1:.1%}, promotion.gate.min_top1)"
    )


def check_chance(found: FoundPages, alpha: float) -> tuple[bool, str]:
    """Whether the ranking is better than a random one, in words."""
    chance = found.chance
    is_better = chance.p_value < alpha
    return is_better, (
        f"{'better' if is_better else 'not shown to be better'} than a random ranking: mean average precision "
        f"{chance.score:.3f}, {chance.of_chance:.3f} with writers shuffled {chance.n_shuffles} times (permutation "
        f"test, p = {chance.p_value:.2g}, must be below {alpha:g})"
    )


def rankings_in_words(test: PairedRankings) -> str:
    """How two rankings differ, for the gate's reasons."""
    low, high = test.map_interval
    return (
        f"mean average precision {test.map_difference:+.3f} (95 % from {low:+.3f} to {high:+.3f}, a bootstrap over "
        f"{test.n_writers} writers); of these {test.n_writers_better} are found better, {test.n_writers_worse} worse "
        f"(sign-flip test over writers, p = {test.p_value:.2g})"
    )
